"""What the compiler makes of the hot loops: packed arithmetic, and no call out of them."""

import platform
import re
import shutil
import subprocess

import pytest

import mmcore as mm

FLAGS = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno"]
SOURCE = """
#include "mmcore/market_making.h"
#include "mmcore/orders.h"
#include "mmcore/prices.h"
#define SHOWN __attribute__((noinline, used))
/* The copy for the baseline becomes a part of its caller; the others cannot. */
SHOWN void prices(mm_cpu cpu, const mm_price_block *b, ptrdiff_t n, uint64_t *odd) {
  MM_CPU_CALL(cpu, mm_price_fast, (b, n, mm_price_is_wide(b, b->inventory != NULL), odd));
}
SHOWN void quotes(mm_cpu cpu, mm_quote_block *b, ptrdiff_t n, uint64_t *odd) {
  MM_CPU_CALL(cpu, mm_quote_fast, (b, n, odd));
}
SHOWN void step(mm_cpu cpu, const mm_making *p, mm_making_state *w, const double *v, double *out) {
  mm_making_step(cpu, p, w, v, v, out);
}
SHOWN void quote(const mm_policy *policy, const mm_rules *rules, double r, double q, int64_t b, int64_t a,
                 mm_quote *out) {
  mm_quote_make(policy, rules, r, q, b, a, 0, 0, INFINITY, 0, 0, out);
}
SHOWN unsigned depths(const mm_policy *policy, double q, mm_cell *out) {
  return mm_depths(policy, q, INFINITY, 0, out);
}
SHOWN int target(mm_orders *o, const mm_quote *q, int64_t now, mm_action *actions) {
  return mm_orders_target(o, q, 99, 102, now, actions);
}
"""
WIDTH = {"baseline": "xmm", "avx2": "ymm", "avx512": "zmm"}


@pytest.fixture(scope="module")
def functions(tmp_path_factory):
    """Instructions of each function, by its name."""
    compiler = shutil.which("gcc")
    if compiler is None or platform.machine() != "x86_64":
        pytest.skip("reads what gcc makes for x86-64")
    place = tmp_path_factory.mktemp("assembly")
    (place / "shown.c").write_text(SOURCE)
    command = [compiler, *FLAGS, f"-I{mm.get_include()}", "-S", "shown.c", "-o", "shown.s"]
    subprocess.run(command, cwd=place, check=True)
    found, name = {}, None
    for line in (place / "shown.s").read_text().splitlines():
        if label := re.match(r"(\w[\w.]*):", line):
            name = label[1]
            found[name] = []
        elif name and (instruction := re.match(r"\t([a-z]\w*)\s*(.*)", line)):
            found[name].append(f"{instruction[1]} {instruction[2]}")
    return found


def body(functions, name):
    """The instructions of a function wherever the compiler put its parts."""
    return [line for part, lines in functions.items() if part.split(".")[0] == name for line in lines]


@pytest.mark.parametrize("level", WIDTH)
def test_prices_are_packed_and_call_nothing(functions, level):
    lines = body(functions, "prices" if level == "baseline" else f"mm_price_fast_{level}")
    packed = [line for line in lines if re.match(r"v?(add|sub|mul)pd ", line) and WIDTH[level] in line]
    assert len(packed) > 10
    assert not [line for line in lines if line.startswith("call")]


@pytest.mark.parametrize("level", ["avx2", "avx512"])
def test_sides_of_quotes_are_packed_and_call_nothing(functions, level):
    lines = body(functions, f"mm_quote_fast_{level}")
    packed = [line for line in lines if re.match(r"vcmp\w*pd ", line) and WIDTH[level] in line]
    assert len(packed) >= 2 * 4  # with an inventory in each row: four bounds, with a touch and without
    assert not [line for line in lines if line.startswith("call")]


@pytest.mark.parametrize("level", ["avx2", "avx512"])
def test_steps_of_a_market_maker_are_packed(functions, level):
    lines = body(functions, f"mm_making_step_{level}")
    packed = [line for line in lines if re.match(r"v?(add|sub|mul)pd ", line) and WIDTH[level] in line]
    assert len(packed) >= 5
    calls = {line.split()[1] for line in lines if line.startswith("call")}
    rare = {"mm_making_resettle", "mm_making_settle", "mm_making_step_general"}  # lines change; not plain
    assert {call.split(".")[0] for call in calls} <= rare, calls


def test_one_quote_calls_only_what_is_rare(functions):
    for name, rare in (
        ("quote", {"mm_quote_general", "mm_quote_refuse", "mm_oblige", "mm_apart", "mm_floor_wide", "sqrt"}),
        ("depths", {"mm_unreadable"}),
    ):
        lines = body(functions, name)
        assert lines
        calls = {
            line.split()[1].split(".")[0].removesuffix("@PLT") for line in lines if line.startswith("call")
        }
        assert calls <= rare, calls


def test_nothing_is_fused(functions):
    """No product is added without being rounded, whatever the instruction set."""
    fused = [line for lines in functions.values() for line in lines if re.match(r"vf(n?m)(add|sub)", line)]
    assert not fused
