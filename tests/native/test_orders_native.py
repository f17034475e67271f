"""The orders kernel as C: every interleaving to a depth, under sanitizers; the header in C++."""

import shutil
import subprocess
from pathlib import Path

import pytest

import mmcore as mm

from .building import CHECKED, CPP, STRICT, C, build, compiler, include, starts

MODEL = Path(__file__).parent / "orders_model.c"


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True)


def model(tmp_path, *flags):
    program = tmp_path / "model"
    build(compiler(*C), "-std=c11", *STRICT, *flags, include(), MODEL, "-o", program)
    return program


def test_no_interleaving_to_a_depth_of_seven_passes_the_limit(tmp_path):
    done = run(model(tmp_path, "-O2"), 7)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 100_000


def test_the_model_runs_clean_under_sanitizers(tmp_path):
    flags = ["-O1", "-g", *CHECKED]
    if not starts(compiler(*C), flags, tmp_path):
        pytest.skip("this compiler has no sanitizers")
    done = run(model(tmp_path, *flags), 5)
    assert done.returncode == 0, done.stderr


BROKEN = {
    "an amend counts its new size only": (
        "if ((x->pending & MM_PENDING_AMEND) && x->new_size > size)",
        "if (x->pending & MM_PENDING_AMEND)",
    ),
    "a canceled order stops counting when the cancel is sent": (
        "x->cancel_sent = now;",
        "x->cancel_sent = now;\n  x->size = x->filled;",
    ),
    "new orders are not checked": ("> o->settings.max_exposure - w->size)", "> MM_LOTS_LIMIT)"),
    "no cancel is set aside": ("2 + mm_orders_cancelable(o), due", "1, due"),
    "own orders may meet": ("if (mm_prices_meet(side, w->price, x->price) ||", "if (0 ||"),
}


@pytest.mark.parametrize("fault", BROKEN, ids=lambda name: name.replace(" ", "-"))
def test_the_model_finds_planted_faults(tmp_path, fault):
    right, wrong = BROKEN[fault]
    header = tmp_path / "mmcore" / "orders.h"
    shutil.copytree(Path(mm.get_include()) / "mmcore", header.parent)
    text = header.read_text()
    assert text.count(right) == 1
    header.write_text(text.replace(right, wrong))
    program = tmp_path / "broken"
    build(compiler(*C), "-std=c11", "-O2", "-w", f"-I{tmp_path}", MODEL, "-o", program)
    done = run(program, 6)
    assert done.returncode == 1, "not found"


def test_the_header_is_valid_cplusplus(tmp_path):
    source = tmp_path / "orders.cpp"
    source.write_text('#include <mmcore/orders.h>\nstatic_assert(sizeof(mm_action) == 40, "the record");\n')
    build(compiler(*CPP), "-std=c++17", *STRICT, include(), "-c", source, "-o", tmp_path / "o")
