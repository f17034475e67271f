"""Quoting, booking, keeping a ledger and replaying give the same bits through every door.

One generator for each, and one list of doors: functions that take what was generated and return what came of
it. ``MMCORE_DOORS`` is the number of rows of each, and where it is set, headers are compiled in more ways;
``make doors`` sets ten million. The inputs of a block depend on its number alone, which a failure names.
"""

import ctypes
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import mmcore as mm
from mmcore import cpu
from mmcore.book import FILL, _contract
from mmcore.errors import Error
from mmcore.matching import DECISION, FILL_CONTEXT, MESSAGE, STANDING, Matching
from mmcore.quoting import QUOTE, QuoteBuffer, Why

from .building import CPP, STRICT, C, build, compiler, include

HERE = Path(__file__).parent
ROWS = int(os.environ.get("MMCORE_DOORS", "30000"))
THOROUGH = "MMCORE_DOORS" in os.environ
NO_BID, NO_ASK = -(2**63), 2**63 - 1
STATUS = {"invalid": -1, "overflow": -2, "conflict": -3, "unsupported": -4, "unknown": -5}
CAPACITY = -6

NATIVE = ["-O3", "-march=native"] if platform.machine() in ("x86_64", "AMD64") else ["-O3", "-mcpu=native"]
BUILDS = {
    "C -O0": (C, ["-std=c11", "-O0"]),
    "C for this machine": (C, ["-std=c11", *NATIVE]),
}
if THOROUGH:
    BUILDS |= {
        "C -O2": (C, ["-std=c11", "-O2"]),
        "C -O3": (C, ["-std=c11", "-O3"]),
        "C, plainest": (C, ["-std=c11", "-O2", "-DMM_NO_INT128", "-DMMCORE_ONE_LEVEL"]),
        "C++": (CPP, ["-std=c++17", "-O2", "-x", "c++"]),
    }


def available(names):
    """The compiler of a language, or None: then the doors that need none are left."""
    try:
        return compiler(*names)
    except pytest.skip.Exception:
        return None


@pytest.fixture(scope="module")
def libraries(tmp_path_factory):
    """``doors.c``, compiled in each of the ways."""
    folder, found = tmp_path_factory.mktemp("doors"), {}
    for i, (name, (names, flags)) in enumerate(BUILDS.items()):
        out = folder / f"doors{i}.so"
        if command := available(names):
            all_flags = [*flags, *STRICT, "-shared", "-fPIC", include()]
            build(command, *all_flags, HERE / "doors.c", "-o", out, "-lm")
            found[name] = ctypes.CDLL(str(out))
    return found


@pytest.fixture(scope="module")
def kernels():
    """Where else the kernels are found: (name of the door, name of the kernel) -> address."""
    pointer, name = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_GetName
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    table = pointer(mm._C_API, b"mmcore._C_API")
    found = {}
    for i, kernel in enumerate(mm.api.KERNELS):
        found["capsule", kernel] = ctypes.c_void_p.from_address(table + 8 * (i + 1)).value
        found["address", kernel] = mm.api.address(kernel)
    for module, kernel in (
        (mm.quoting, "c_quote_make"),
        (mm.book, "position_fill"),
        (mm.book, "position_mark"),
    ):
        capsule = module.__pyx_capi__[kernel]
        found["declaration", f"mm_{kernel.removeprefix('c_')}"] = pointer(capsule, name(capsule))
    return found


def at(array):
    """Address of an array, for C."""
    return ctypes.c_void_p(array.ctypes.data)


def blocks(seed):
    """Random generators and lengths of blocks, short ones and long ones, until all rows are out."""
    done, i = 0, 0
    while done < ROWS:
        rng = np.random.default_rng([seed, i])
        n = int(2 ** rng.uniform(0, 11.5))
        yield i, rng, n
        done, i = done + n, i + 1


def sprinkle(rng, values, often, odd):
    """Put one of `odd` in the place of some."""
    where = rng.random(len(values)) < often
    values[where] = rng.choice(odd, where.sum())
    return values


# -- quoting -----------------------------------------------------------------------------------


class Door(NamedTuple):
    """(quoter, market) -> an array with fields of QUOTE; `every`: it is shown one in so many rows."""

    quote: Callable
    every: int = 1


COLUMNS = ("reference", "inventory", "bid", "ask", "shift", "target", "time_left", "state", "age")
COLUMN = np.dtype([("data", "u8"), ("stride", "i8")])
PRICES = np.dtype([("bid", "i8"), ("ask", "i8")])
TINY = 5e-324
QUANTUM = 2.0**-20


def around(*values):
    """Return the values, their neighbours among doubles, and all of them negated."""
    near = [x for v in values for x in (v, np.nextafter(v, math.inf), np.nextafter(v, -math.inf))]
    return np.array([*near, *(-x for x in near)])


STRANGE = np.array([math.nan, math.inf, -math.inf, -0.0, TINY, -TINY, 1e300, -1.7e308, 2.0**53, -(2.0**63)])
ODD_REFERENCE = np.concatenate([STRANGE, around(2.0**31, 2.0**32, 2.0**52, 2.0**31 - 2.0**-21, 2.0**51)])
ODD_TOUCH = np.array(
    [NO_BID, NO_ASK, 2**52, 2**52 - 1, 1 - 2**52, -(2**52), 2**53, 2**62, -(2**62), 0, NO_BID + 1]
)
ODD_STATE = np.array([-1, 3, 2**31, 2**32, NO_BID, NO_ASK])


def number(rng, scale):
    """Return a coefficient: usual, a tie of the rounding, or at an edge."""
    kind = rng.random()
    if kind < 0.5:
        return float(rng.uniform(-0.2, 1) * scale)
    if kind < 0.85:
        return float(rng.integers(-3, 40) * scale * rng.choice([1, 0.5, QUANTUM, QUANTUM / 2]))
    return float(rng.choice([0.0, -0.0, TINY, -TINY, 2.0**31 * scale, 2.0**52, -(2.0**52), 1e300]))


def affine(rng):
    size = float(rng.choice([1, 1, 3, 7, 2**31 - 1]))
    rates = rng.random() < 0.5
    return mm.Affine(
        (number(rng, 5), number(rng, 5)),
        (number(rng, 0.2), number(rng, 0.2)),
        (number(rng, 0.1), number(rng, 0.1)) if rates else 0.0,
        (number(rng, 0.01), number(rng, 0.01)) if rates else 0.0,
        q_max=float(rng.choice([math.inf, size, 10 * size, 50 * size])),
        order_size=size,
        horizon=float(rng.choice([math.inf, 100.0, TINY])),
        version=[1, 2**63, 2**64 - 1][rng.integers(3)],
    )


def table(rng):
    size, steps, finer = int(rng.choice([2, 6, 2**30])), int(rng.integers(1, 12)), int(rng.integers(1, 3))
    n_states, n_knots = int(rng.integers(1, 4)), int(rng.integers(0, 5))
    stationary = n_knots == 0 or rng.random() < 0.6
    shape = (n_states, n_knots + stationary, 2 * steps * finer + 1)
    depth = rng.uniform(-0.5, 4, (2, *shape)) * rng.choice([1, 1, 1e6])
    depth[rng.random(depth.shape) < 0.3] = rng.choice([1.5, 2 + QUANTUM / 2, -0.0, 2.0**52, -(2.0**52), TINY])
    depth[rng.random(depth.shape) < 0.1] = math.nan
    sizes = rng.choice([size, size, 1, 0, 2**31 - 1], (2, *shape))
    takes = rng.choice([0, 0, 1, -2, 2**31 - 1, 1 - 2**31], shape) if rng.random() < 0.3 else None
    depth[0, 0, 0, 0], sizes[0, 0, 0, 0] = 1.0, size  # not all absent
    knots = np.concatenate([[0.0], np.sort(rng.choice([TINY, 0.5, 1.0, 33.3, 60.0], 4, replace=False))])[
        :n_knots
    ]
    return mm.Table(
        *depth,
        q_max=size * steps,
        order_size=size,
        time_left=knots if n_knots else None,
        stationary=stationary,
        bid_size=sizes[0],
        ask_size=sizes[1],
        take=takes,
    )


def quoter_of(rng):
    """Return a policy of either shape, under some of the rules."""
    policy = affine(rng) if rng.random() < 0.6 else table(rng)
    if rng.random() < 0.4:  # plain rules, which batches of prices compute straight
        return mm.Quoter(policy, limits=mm.Limits(float(rng.choice([0, 40, 2.0**31, 1e300]))))
    spread, size = (None, 1, 4, 2**52), (None, 1, 5, 2**52)
    some = [rng.random() < 0.5 for _ in range(4)]
    quoter = mm.Quoter(
        policy,
        limits=mm.Limits(float(rng.choice([0, 1, 40.5, 2.0**31, 1e300])), bool(rng.random() < 0.5))
        if some[0]
        else None,
        obligations=mm.Obligations(spread[rng.integers(4)], size[rng.integers(4)]) if some[1] else None,
        feed_age=mm.FeedAge(float(rng.choice([2.0, 1e-3])), 0.5, float(rng.choice([1.0, TINY, 2.0**30])))
        if some[2]
        else None,
    )
    if some[3]:
        quoter.volatility_scale = float(rng.choice([0.0, TINY, 0.7, 1.0 + 2**-52, 2.0, 1e300]))
    if rng.random() < 0.05:
        quoter.halt()
    return quoter


def market_of(rng, n, policy):
    """Arguments of n quotes by name; a number stands for a column of equal ones."""
    often = rng.choice([0.0, 0.0, 0.0005, 0.01, 0.3])
    scale = rng.choice([0.0, 1.0, 100.0, 6e5, 2.0**31, 2.0**51])
    reference = scale + rng.normal(0, 1, n) * rng.choice([1.0, 30.0])
    ties = rng.random(n) < rng.choice([0.0, 0.3, 1.0])
    reference[ties] = np.round(reference[ties] / QUANTUM * 2) * QUANTUM / 2
    ties = rng.random(n) < rng.choice([0.0, 0.3])
    reference[ties] = np.round(reference[ties]) + rng.choice([0, 0.5, QUANTUM / 2, -QUANTUM / 2], ties.sum())

    q_max, size = policy.q_max, policy.order_size
    bound = q_max if math.isfinite(q_max) else 50 * size
    inventory = np.round(rng.uniform(-1.2, 1.2, n) * bound)
    part = rng.random(n) < rng.choice([0.0, 0.3])
    inventory[part] += rng.uniform(-1, 1, part.sum())
    edges = np.concatenate([STRANGE, around(bound, bound - size, 40.0, 40.0 - size, 0.5)])

    whole = np.floor(np.where(np.abs(reference) < 2.0**52, reference, 0.0)).astype(np.int64)
    bid = whole + rng.integers(-5, 3, n)
    ask = bid + rng.integers(-1 if often else 0, 8, n)
    for touch in (bid, ask):
        sprinkle(rng, touch, often, ODD_TOUCH)
    if rng.random() < 0.2:
        bid[:], ask[:] = NO_BID, NO_ASK

    knots = getattr(policy, "time_left", np.empty(0))
    times = np.array([math.inf, 0.0, -0.0, TINY, -TINY, -1.0, math.nan, 1.0, policy.horizon, 2.0**60, *knots])
    times = np.concatenate([times, np.nextafter(times, math.inf), np.nextafter(times, -math.inf)])
    usual = math.inf if policy.stationary else min(policy.horizon, 33.3) * rng.random()
    columns = {
        "shift": (0.0, np.concatenate([STRANGE, rng.normal(0, 1, 5), [QUANTUM / 2, 0.5]])),
        "target": (0.0, np.concatenate([STRANGE, rng.integers(-3, 4, 5), [0.5, bound]])),
        "time_left": (usual, times),
        "state": (0, np.concatenate([ODD_STATE, [1, 2]])),
        "age": (0.0, np.concatenate([STRANGE, around(2.0, 0.5, 1e-3), [-1.0, 1.0, 7.0]])),
    }
    market = {
        "reference": sprinkle(rng, reference, often, ODD_REFERENCE),
        "inventory": sprinkle(rng, inventory, often, edges),
        "bid": bid,
        "ask": ask,
    }
    plain = rng.random() < 0.6
    for name, (ordinary, odd) in columns.items():
        if plain or rng.random() < 0.3:
            market[name] = ordinary if rng.random() < 0.8 else rng.choice(odd).item()
        else:
            values = np.full(n, ordinary)
            market[name] = sprinkle(rng, values, max(often, 0.2), odd.astype(values.dtype))
    if rng.random() < 0.2:
        market["inventory"] = market["inventory"][0].item()
    return market


def spread(market):
    """All columns as arrays of one length."""
    n = len(market["reference"])
    return [np.broadcast_to(np.asarray(market[name]), n) for name in COLUMNS]


def call_c(function, *first):
    """Door to a loop of ``doors.c`` that takes columns and writes quotes."""
    function.restype = None

    def quote(quoter, market):
        columns, policy, rules = spread(market), quoter.policy, mm.api.rules(quoter)
        table = np.array([(c.ctypes.data, c.strides[0]) for c in columns], COLUMN)
        out = np.zeros(len(columns[0]), QUOTE)
        function(
            *first, ctypes.c_void_p(policy.address), rules, ctypes.c_ssize_t(len(out)), at(table), at(out)
        )
        return out

    return quote


def call_c_prices(function, level):
    function.restype = None

    def price(quoter, market):
        columns, policy, rules = spread(market), quoter.policy, mm.api.rules(quoter)
        table = np.array([(c.ctypes.data, c.strides[0]) for c in columns], COLUMN)
        out = np.zeros((2, len(columns[0])), np.int64)
        function(
            ctypes.c_int(level), ctypes.c_void_p(policy.address), rules, ctypes.c_ssize_t(out.shape[1]),
            at(table), at(out[0]), at(out[1]),
        )  # fmt: skip
        return pair(out)

    return price


def pair(prices):
    out = np.empty(prices.shape[1], PRICES)
    out["bid"], out["ask"] = prices
    return out


def rows_of(market):
    """Arguments of the scalar doors: absent touches are None, whole inventories ints now and then."""
    for i, row in enumerate(zip(*(column.tolist() for column in spread(market)), strict=True)):
        reference, inventory, bid, ask, *rest = row
        if i & 1 and inventory.is_integer():
            inventory = int(inventory)
        yield reference, inventory, None if bid == NO_BID else bid, None if ask == NO_ASK else ask, *rest


def recorded(quotes):
    """Quotes, or what has their attributes, as records."""
    return np.array(
        [
            (
                NO_BID if q.bid is None else q.bid,
                NO_ASK if q.ask is None else q.ask,
                q.bid_size,
                q.ask_size,
                q.take,
                q.version,
                q.why,
            )
            for q in quotes
        ],
        QUOTE,
    )


def scalar(quoter, market):
    return recorded(quoter.quote(*row) for row in rows_of(market))


def scalar_into(quoter, market):
    buffer = QuoteBuffer()

    def filled():
        for row in rows_of(market):
            quoter.quote_into(buffer, *row)
            yield buffer

    return recorded(filled())


def explained(quoter, market):
    return recorded(quoter.explain(*row).quote for row in rows_of(market))


def batch(quoter, market):
    return quoter.quote_batch(**market)


def price_batch(level):
    def price(quoter, market):
        before = cpu.level()
        cpu.use(level)
        try:
            return pair(quoter.price_batch(**market))
        finally:
            cpu.use(before)

    return price


def by_ctypes(quoter, market):
    real, whole, pointer = ctypes.c_double, ctypes.c_int64, ctypes.c_void_p
    form = ctypes.CFUNCTYPE(
        None, pointer, pointer, real, real, whole, whole, real, real, real, whole, real, pointer
    )  # fmt: skip
    make, policy, rules = form(mm.api.address("mm_quote_make")), quoter.policy, mm.api.rules(quoter)
    held = ctypes.create_string_buffer(rules, len(rules))
    out = np.zeros(len(market["reference"]), QUOTE)
    for i, row in enumerate(zip(*(column.tolist() for column in spread(market)), strict=True)):
        make(policy.address, ctypes.addressof(held), *row, out.ctypes.data + i * QUOTE.itemsize)
    return out


OUTSIDE = """
# cython: boundscheck=False, wraparound=False
from libc.stdint cimport int64_t, uintptr_t
from mmcore.quoting cimport Policy, Quoter, mm_quote, mm_quote_make

def quote_many(Quoter quoter, const double[:] reference, const double[:] inventory, const int64_t[:] bid,
               const int64_t[:] ask, const double[:] shift, const double[:] target, const double[:] time_left,
               const int64_t[:] state, const double[:] age, uintptr_t out):
    cdef Py_ssize_t i
    cdef Policy policy = quoter.policy
    cdef mm_quote *quotes = <mm_quote *>out
    with nogil:
        for i in range(reference.shape[0]):
            mm_quote_make(policy.c_policy, &quoter.c_rules, reference[i], inventory[i], bid[i], ask[i],
                          shift[i], target[i], time_left[i], state[i], age[i], &quotes[i])
"""

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
import mmcore
flags = ["-O2", "-ffp-contract=off"]
places = [mmcore.get_include()]
extension = Extension("outside", ["outside.pyx"], include_dirs=places, extra_compile_args=flags)
setup(name="outside", ext_modules=cythonize([extension], language_level="3"))
"""


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A loop in a Cython module of somebody else's."""
    if not available(C):
        return None
    folder = tmp_path_factory.mktemp("outside")
    (folder / "outside.pyx").write_text(OUTSIDE)
    (folder / "setup.py").write_text(SETUP)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, cwd=folder, check=True, timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import outside

    def quote(quoter, market):
        columns = spread(market)
        out = np.zeros(len(columns[0]), QUOTE)
        outside.quote_many(quoter, *columns, out.ctypes.data)
        return out

    return quote


def numba_quotes():
    """Loops in numba's ``@njit``, over the kernels and over their twins; none without numba."""
    try:
        from mmcore.numba import policy_block, pure, quote, rules_of
    except mm.errors.MissingExtra:
        return {}
    return {
        "numba": Door(numba_loop(policy_block, rules_of, quote)),
        "numba, pure": Door(numba_loop(pure.policy_of, pure.rules_of, pure.quote)),
    }


def numba_loop(policy_of, rules_of, quote):
    import numba

    @numba.njit
    def loop(
        policy, rules, reference, inventory, bid, ask, shift, target, time_left, state, age, out, version
    ):
        for i in range(reference.size):
            q = quote(
                policy, rules, reference[i], inventory[i], bid[i], ask[i], shift[i], target[i], time_left[i],
                state[i], age[i],
            )  # fmt: skip
            out[i, 0], out[i, 1] = q.price
            out[i, 2], out[i, 3] = q.size
            out[i, 4], out[i, 5], version[i] = q.take, q.why, q.version

    def door(quoter, market):
        columns = [np.array(column) for column in spread(market)]  # of one type: compiled once
        found, version = np.zeros((len(columns[0]), 6), np.int64), np.zeros(len(columns[0]), np.uint64)
        loop(policy_of(quoter), rules_of(quoter), *columns, found, version)
        out = np.zeros(len(found), QUOTE)
        out["version"] = version
        for i, name in enumerate(("bid", "ask", "bid_size", "ask_size", "take", "why")):
            out[name] = found[:, i]
        return out

    return door


@pytest.fixture(scope="module")
def quoting_doors(libraries, kernels, outside):
    doors = {
        "Quoter.quote": Door(scalar),
        "Quoter.quote_into": Door(scalar_into),
        "Quoter.explain": Door(explained, 32),
        "ctypes": Door(by_ctypes, 16),
        **numba_quotes(),
    }
    if outside:
        doors["Cython"] = Door(outside)
    for level, runs in cpu.levels().items():
        if runs:
            doors[f"Quoter.price_batch, {level}"] = Door(price_batch(level))
    for name, library in libraries.items():
        doors[f"{name}: mm_quote_make"] = Door(call_c(library.quote_each, None))
        doors[f"{name}: mm_quote_rows"] = Door(call_c(library.quote_rows, None))
        doors[f"{name}: mm_quote_explain"] = Door(call_c(library.quote_explained))
        doors[f"{name}: mm_live_quote"] = Door(call_c(library.quote_live))
        for level in range(3):
            if library.level_runs(level):
                doors[f"{name}: mm_price_rows, {level}"] = Door(call_c_prices(library.price_rows, level))
                blocks_of = call_c(library.quote_blocks, ctypes.c_int(level))
                doors[f"{name}: mm_quote_blocks, {level}"] = Door(blocks_of)
    loops = libraries.get("C -O0")
    for place in ("capsule", "address", "declaration") if loops else ():
        each = ctypes.c_void_p(kernels[place, "mm_quote_make"])
        doors[f"{place}: mm_quote_make"] = Door(call_c(loops.quote_each, each))
    for place in ("capsule", "address") if loops else ():
        rows = ctypes.c_void_p(kernels[place, "mm_quote_rows"])
        doors[f"{place}: mm_quote_rows"] = Door(call_c(loops.quote_rows, rows))
    return doors


def test_quotes(quoting_doors):
    seen, sizes = 0, set()
    for i, rng, n in blocks(1):
        quoter = quoter_of(rng)
        market = market_of(rng, n, quoter.policy)
        want = batch(quoter, market)
        seen |= int(np.bitwise_or.reduce(want["why"]))
        sizes |= set(np.sign(want[["take", "bid_size"]].tolist()).ravel().tolist())
        for name, door in quoting_doors.items():
            shown = {k: v[:: door.every] if isinstance(v, np.ndarray) else v for k, v in market.items()}
            got = door.quote(quoter, shown)
            for field in got.dtype.names:
                wrong = np.flatnonzero(got[field] != want[field][:: door.every])
                assert not wrong.size, (
                    f"{name}, block {i}, row {wrong[0] * door.every}: {field} "
                    f"{got[field][wrong[0]]}, not {want[field][wrong[0] * door.every]}\n{quoter}\n"
                    f"{ {k: v[wrong[0]] if isinstance(v, np.ndarray) else v for k, v in shown.items()} }"
                )
    assert seen == sum(Why)  # every reason there is
    assert sizes == {-1, 0, 1}


def test_a_build_that_contracts_is_told_apart(tmp_path):
    if not cpu.levels().get("avx2"):
        pytest.skip("this machine, or this build, is not known to have fused multiply-adds")
    # -std=c11 and contraction are no IEEE arithmetic to GCC, and the headers refuse it
    flags = ["-std=gnu11", *NATIVE, *STRICT, "-ffp-contract=fast", "-shared", "-fPIC", include()]
    build(compiler(*C), *flags, HERE / "doors.c", "-o", tmp_path / "doors.so", "-lm")
    door = call_c(ctypes.CDLL(str(tmp_path / "doors.so")).quote_each, None)
    for _, rng, n in blocks(1):
        quoter = quoter_of(rng)
        market = market_of(rng, n, quoter.policy)
        if (door(quoter, market) != batch(quoter, market)).any():
            return
    pytest.fail("the quotes are the same: the inputs miss what a contraction changes")


# -- booking -----------------------------------------------------------------------------------

POSITION = np.dtype(
    [(name, "i8") for name in ("net", "cash_low", "cash", "cost_low", "cost", "fees_low", "fees")]
    + [(name, "i8") for name in ("mark", "bought", "sold", "fills", "head", "tail", "used")]
    + [("method", "i4"), ("flags", "i4")]
)
BOOK = np.dtype(
    [(name, "u8") for name in ("positions", "lots", "lots_capacity", "pools", "currency")]
    + [("n_instruments", "i4"), ("n_currencies", "i4")]
    + [(name, "u8") for name in ("history", "n_history", "history_capacity", "slots", "n_slots")]
    + [(name, "i8") for name in ("ids_window", "ids_from", "names")]
)
MARK = np.dtype([("row", "i8"), ("instrument", "i8"), ("ticks", "i8")])
HAS_MARK, NEGATIVE_PRICES = 1, 2

USD, EUR = mm.Currency("USD"), mm.Currency("EUR")
BOOKED = [
    mm.Instrument("P", tick="0.01", currency=USD),
    mm.Instrument("N", tick="0.01", currency=EUR, negative_prices=True),
]


class Episode(NamedTuple):
    """Fills of two instruments from flat, marks between them; `bare`: of quantity, price and fee alone."""

    method: str
    bare: bool
    records: np.ndarray
    marks: np.ndarray


EDGES = np.array([0, 1, -1, 2**31, 2**32 - 1, 2**53, 2**62, -(2**62), NO_ASK, NO_BID, NO_BID + 1])


def episode_of(rng, n):
    records = np.zeros(n, FILL)
    lots, ticks = rng.choice([3, 1000, 2**31, 2**50, 2**62]), rng.choice([3, 1000, 617_000, 2**40, 2**62])
    often, bare = rng.choice([0, 0, 0.02, 0.2]), bool(rng.random() < 0.5)
    records["instrument"] = np.cumsum(rng.random(n) < rng.choice([0.5, 0.01])) % 2  # now and then for long
    records["qty"] = sprinkle(rng, rng.integers(-lots, lots + 1, n), often, EDGES)
    records["price"] = sprinkle(rng, rng.integers(1, ticks + 1, n), often, EDGES)
    negative = (rng.random(n) < 0.4) & (records["instrument"] == 1)
    records["price"][negative] = -np.maximum(records["price"][negative], -NO_ASK)
    records["fee"] = sprinkle(rng, rng.integers(-50, 100, n), often, EDGES)
    closes = rng.choice([0, 1, 2, 3], n, p=[0.7, 0.2, 0.05, 0.05])
    net = [0, 0]
    for i, (which, qty, close) in enumerate(
        zip(records["instrument"].tolist(), records["qty"].tolist(), closes.tolist(), strict=True)
    ):
        if close:  # all that is open, a lot less, or twice as much
            qty = -net[which] * (2 if close == 3 else 1) + (close == 2)
            qty = qty if abs(qty) < 2**63 else 1
            records["qty"][i] = qty
        if abs(net[which] + qty) < 2**63:
            net[which] += qty
    records["fee_currency"] = -1
    if not bare:
        records["time"] = rng.integers(0, 3, n)
        named = rng.choice([0, 0.5])
        records["id"] = np.where(rng.random(n) < named, rng.choice([b"a", b"b", b"0123456789abcdef"], n), b"")
        fresh = rng.random(n) < 0.6 * named
        records["id"][fresh] = np.arange(n)[fresh].astype("S16")
        sprinkle(rng, records["fee_currency"], 0.3, np.array([0, 1, 2, -2], np.int16))
        sprinkle(rng, records["liquidity"], 0.3, np.array([1, 2, 3, -1], np.int8))
        sprinkle(rng, records["kind"], often, np.array([11, 12, -1], np.int8))  # mm_book_apply: fills alone
        sprinkle(rng, records["instrument"], often, np.array([2, -1], np.int32))
        again = np.flatnonzero(rng.random(n) < 0.1)
        records[again] = records[rng.integers(0, np.maximum(again, 1))]
    n_marks = int(rng.integers(0, 6))
    marks = np.zeros(n_marks, MARK)
    marks["row"] = np.sort(rng.integers(0, n + 1, n_marks))
    marks["instrument"] = rng.integers(0, 2, n_marks)
    marks["ticks"] = sprinkle(rng, rng.integers(1, ticks + 1, n_marks), 0.2, EDGES)
    return Episode(str(rng.choice(["average", "fifo"])), bare, records, marks)


def wide_of(low, high):
    return (int(high) << 64) + int(low) % 2**64


def state_of(positions, lots, pools):
    """What Position.state_dict tells, from the structs."""
    states = []
    for i, p in enumerate(positions):
        wide = {name: wide_of(p[f"{name}_low"], p[name]) for name in ("cash", "cost", "fees")}
        queue = [[int(x) for x in lot] for lot in lots[i, p["head"] : p["tail"]]]
        if queue and p["used"]:
            queue[0][0] -= int(p["used"]) * (1 if queue[0][0] > 0 else -1)
        owed = {c.name: wide_of(*pools[i, j]) for j, c in enumerate((USD, EUR))}
        states.append(
            {
                **{name: int(p[name]) for name in ("net", "bought", "sold", "fills")},
                **wide,
                "mark": int(p["mark"]) if p["flags"] & HAS_MARK else None,
                "lots": tuple(tuple(lot) for lot in queue),
                "other_fees": {name: fee for name, fee in owed.items() if fee},
                "payments": {},
                "carried": 0,
            }
        )
    return states


def new_positions(method):
    positions = np.zeros(2, POSITION)
    positions["method"] = method == "fifo"
    positions["flags"] = [0, NEGATIVE_PRICES]
    return positions


def book_c(library, fill=None, mark=None, bare=0):
    """Door to ``book_episode``."""
    function = library.book_episode
    function.restype = None

    def run(e):
        n = len(e.records)
        positions, lots = new_positions(e.method), np.zeros((2, n + 1, 2), np.int64)
        queues = np.array([lots[0].ctypes.data, lots[1].ctypes.data], np.uint64)
        rooms, pools = np.full(2, n + 1, np.int64), np.zeros((2, 2, 2), np.int64)
        currency, history = np.array([0, 1], np.int16), np.zeros(n + 1, FILL)
        slots = np.full(1 << (2 * n + 2).bit_length(), -1, np.int64)
        book = np.zeros(1, BOOK)
        for name, array in (
            ("positions", positions),
            ("lots", queues),
            ("lots_capacity", rooms),
            ("pools", pools),
        ):
            book[name] = array.ctypes.data
        book["currency"], book["n_instruments"], book["n_currencies"] = currency.ctypes.data, 2, 2
        if not e.bare:
            book["history"], book["history_capacity"] = history.ctypes.data, n + 1
            book["slots"], book["n_slots"] = slots.ctypes.data, len(slots)
        status, marked = np.full(n, 99, np.int8), np.full(len(e.marks), 99, np.int8)
        function(
            fill, mark, ctypes.c_int(bare), at(book), ctypes.c_int64(n), at(e.records), at(status),
            ctypes.c_int64(len(e.marks)), at(e.marks), at(marked),
        )  # fmt: skip
        return status.tolist(), marked.tolist(), state_of(positions, lots, pools)

    return run


def status_of(call, *arguments, **named):
    try:
        return int(call(*arguments, **named) or 0)
    except Error as error:
        return STATUS[error.code]


def book_python(fill):
    """Door to a Book; `fill(book, records)` returns statuses."""

    def run(e):
        book = mm.Book(BOOKED, cost=e.method, history="none" if e.bare else "full", currencies=[USD, EUR])
        status, marked, begin = [], [], 0
        for row, instrument, ticks in e.marks.tolist():
            status += fill(book, e.records[begin:row])
            marked.append(status_of(book.mark, "PN"[instrument], ticks))
            begin = row
        status += fill(book, e.records[begin:])
        return status, marked, [book[name].state_dict() for name in book]

    return run


def apply(book, records):
    return book.apply(records, on_error="skip").tolist()


def book_fill(book, records):
    """By Book.fill, as far as its arguments can say what the record does."""
    instruments, liquidity, kinds = ("P", "N"), (None, "maker", "taker"), ("new", "bust", "correct")
    currencies = {-1: None, 0: "USD", 1: "EUR"}
    status = []
    for i, row in enumerate(records.tolist()):
        r = dict(zip(records.dtype.names, row, strict=True))
        codes = r["instrument"], r["liquidity"], r["kind"]
        said = all(0 <= c < len(n) for c, n in zip(codes, (instruments, liquidity, kinds), strict=True))
        if not said or r["fee_currency"] not in currencies:
            status += apply(book, records[i : i + 1])
            continue
        named = {
            "time": r["time"],
            "id": r["id"] or None,
            "liquidity": liquidity[r["liquidity"]],
            "fee_currency": currencies[r["fee_currency"]],
            "kind": kinds[r["kind"]],
        }
        numbers = r["qty"], r["price"], r["fee"]
        status.append(status_of(book.fill, instruments[r["instrument"]], *numbers, **named))
    return status


def position_fill(book, records):
    positions = [book["P"], book["N"]]
    columns = (records[name].tolist() for name in ("instrument", "qty", "price", "fee"))
    return [status_of(positions[i].fill, *row) for i, *row in zip(*columns, strict=True)]


def position_fill_batch(book, records):
    """All of one instrument at once, who is refused passed over."""
    status, begin = [], 0
    while begin < len(records):
        mine = records["instrument"][begin:] == records["instrument"][begin]
        end = begin + (len(mine) if mine.all() else int(mine.argmin()))
        position = book["PN"[records["instrument"][begin]]]
        try:
            position.fill_batch(*(records[name][begin:end] for name in ("qty", "price", "fee")))
            status += [0] * (end - begin)
        except Error as error:
            good = begin + error.index
            position.fill_batch(*(records[name][begin:good] for name in ("qty", "price", "fee")))
            status += [0] * (good - begin) + [STATUS[error.code]]
            end = good + 1
        begin = end
    return status


def numba_books():
    try:
        from mmcore.numba import POSITION as RECORD
        from mmcore.numba import fill, mark
    except mm.errors.MissingExtra:
        return {}
    import numba

    @numba.njit
    def loop(position, begin, end, instrument, mine, qty, price, fee, status):
        for i in range(begin, end):
            if instrument[i] == mine:
                status[i] = fill(position, qty[i], price[i], fee[i])

    @numba.njit
    def marked(position, ticks):
        return mark(position, ticks)

    def run(e):
        r, positions = e.records, new_positions(e.method)
        each = [positions[i : i + 1].view(RECORD) for i in range(2)]
        status, marks, begin = np.full(len(r), 99, np.int64), [], 0
        columns = [np.ascontiguousarray(r[name]) for name in ("instrument", "qty", "price", "fee")]
        for row, instrument, ticks in [*e.marks.tolist(), (len(r), None, None)]:
            for i in range(2):
                loop(each[i], begin, row, columns[0], i, *columns[1:], status)
            begin = row
            if instrument is not None:
                marks.append(marked(each[instrument], ticks))
        none = np.zeros((2, 2, 2), np.int64)
        return status.tolist(), marks, state_of(positions, np.zeros((2, 0, 2)), none)

    return {"numba": run}


@pytest.fixture(scope="module")
def booking_doors(libraries, kernels):
    """(for every episode, for bare ones, for bare ones at average cost)."""
    every = {"Book.fill": book_python(book_fill)}
    bare = {
        "Position.fill": book_python(position_fill),
        "Position.fill_batch": book_python(position_fill_batch),
    }
    for name, library in libraries.items():
        every[f"{name}: mm_book_apply"] = book_c(library)
        bare[f"{name}: mm_position_fill"] = book_c(library, bare=1)
        bare[f"{name}: mm_position_fills"] = book_c(library, bare=2)
    for place in ("capsule", "address", "declaration") if libraries else ():
        fill, mark = (ctypes.c_void_p(kernels[place, f"mm_position_{what}"]) for what in ("fill", "mark"))
        bare[f"{place}: mm_position_fill"] = book_c(libraries["C -O0"], fill, mark)
    return every, bare, numba_books()


def test_books(booking_doors):
    every, bare, average = booking_doors
    seen = set()
    for i, rng, n in blocks(2):
        e = episode_of(rng, n)
        want = book_python(apply)(e)
        seen |= {(e.method, status) for status in want[0]} | {("mark", status) for status in want[1]}
        doors = every | (bare if e.bare else {}) | (average if e.bare and e.method == "average" else {})
        for name, door in doors.items():
            for what, mine, other in zip(("status", "status of marks", "state"), door(e), want, strict=True):
                wrong = [k for k, (x, y) in enumerate(zip(mine, other, strict=True)) if x != y]
                assert not wrong, (
                    f"{name}, block {i}: {what} {wrong[0]}: {mine[wrong[0]]}, not {other[wrong[0]]}"
                )
    # refused for every reason, and known ids
    assert seen == {(m, s) for m in ("average", "fifo") for s in (-5, -3, -2, -1, 0, 1)} | {
        ("mark", s) for s in (-2, -1, 0)
    }


# -- records of every kind ---------------------------------------------------------------------

XBT = mm.Currency("XBT", unit="1e-8")
LISTED = [
    mm.Instrument("P", tick="0.01", currency=USD),
    mm.Instrument("Q", tick="0.003", currency=USD),
    mm.Instrument("N", tick="0.01", currency=EUR, negative_prices=True),
    mm.Instrument("I", tick="0.5", lot="100", currency=XBT, kind="inverse"),
]
CURRENCIES = [USD, EUR, XBT]
CONTRACT = np.dtype([("scale", "u8", 2), ("per", "i8"), ("unit", "i8", 2), ("reserved", "i8")])
LEDGER = np.dtype(
    [(name, "u8") for name in ("book", "contracts", "amended")]
    + [("n_amended", "i8"), ("amended_capacity", "i8"), ("trial", "u8"), ("trial_pools", "u8")]
    + [("suspends", "i4"), ("full", "i4"), ("fault", "i8"), ("converted", "i8")]
)
INVERSE, STACK, NAMED = 4, 16, 32
METHODS = ("average", "fifo", "lifo", "specific")


class Chronicle(NamedTuple):
    """Records of any kind, the marks (or 0) that instruments had before, and the options of the book."""

    options: dict
    records: np.ndarray
    marks: list


def chronicle_of(rng, n):
    records = np.zeros(n, FILL)
    often = rng.choice([0, 0, 0.005, 0.05])
    records["kind"] = rng.choice(
        [*range(10), 11], n, p=[0.6, 0.05, 0.05, 0.08, 0.04, 0.03, 0.03, 0.03, 0.03, 0.05, 0.01]
    )
    records["instrument"] = sprinkle(rng, rng.integers(0, 4, n), max(often, 0.02), np.array([-1, 4]))
    records["qty"] = sprinkle(rng, rng.integers(-5, 6, n), often, EDGES)
    records["price"] = sprinkle(rng, rng.integers(1, 60, n), often, EDGES)
    records["fee"] = sprinkle(rng, rng.integers(-4, 9, n), often, EDGES)
    records["fee_currency"] = rng.choice([-1, 0, 1, 2, 3], n, p=[0.6, 0.13, 0.13, 0.13, 0.01])
    records["time"] = rng.integers(0, 3, n)
    ids, named = rng.integers(0, n + 1, n).astype("S16"), rng.random(n) < 0.5
    records["id"][named] = ids[named]
    amends = np.isin(records["kind"], (1, 2, 4))
    targets = rng.integers(-1, np.arange(n) + 2)
    records["target"][amends] = targets[amends]
    # Mostly a record that such an amendment can be about.
    for i in np.flatnonzero(amends & (targets > 0) & (rng.random(n) < 0.9)):
        told = np.flatnonzero((records["kind"][:i] == 3) == (records["kind"][i] == 4))
        if len(told):
            target = rng.choice(told)
            records["target"][i] = target + 1
            if records["kind"][i] != 4:
                records["instrument"][i] = records["instrument"][target]
    records["reference"][amends] = ids[rng.integers(0, n, n)][amends]
    unknown = (records["kind"] == 3) & (rng.random(n) < 0.3)  # under a name, which the book has or not
    records["instrument"][unknown] = -1
    records["reference"][unknown] = rng.choice([b"", b"P", b"I", b"Z"], n)[unknown]
    converts = records["kind"] == 9
    records["target"][converts] = np.where(rng.random(n) < 0.5, records["instrument"], rng.integers(0, 4, n))[
        converts
    ]
    records["qty"][converts], records["price"][converts] = rng.integers(0, 4, (2, converts.sum()))
    again = np.flatnonzero(rng.random(n) < 0.05)
    records[again] = records[rng.integers(0, np.maximum(again, 1))]
    options = {
        "cost": str(rng.choice(METHODS)),
        "unknown": str(rng.choice(["refuse", "suspend"])),
        "ids_window": [None, None, 7, 100][rng.integers(4)],
    }
    return Chronicle(options, records, (rng.integers(0, 2, 4) * rng.integers(1, 60, 4)).tolist())


def ledger_python(step, restored=False):
    """Door to a Book: `step` rows at a time, not cut behind a name, and saved and restored between them."""

    def run(c):
        book = mm.Book(LISTED, currencies=CURRENCIES, **c.options)
        for name, ticks in zip(book, c.marks, strict=True):
            if ticks:
                book.mark(name, ticks)
        status = []
        starts = np.arange(0, len(c.records), step or len(c.records))
        starts = starts[(starts == 0) | (c.records["kind"][starts - 1] != 10)]
        for begin, end in zip(starts, [*starts[1:], len(c.records)], strict=True):
            status += apply(book, c.records[begin:end])
            if restored:
                book = mm.Book.from_bytes(book.to_bytes(), LISTED, CURRENCIES)
        return status, book.to_bytes()

    return run


def ledger_c(library):
    function = library.ledger_episode
    function.restype = None

    def run(c):
        n, m = len(c.records), len(LISTED)
        amended = np.zeros((n, 2), np.int64)
        # A queue takes two entries for a lot, once for each time that a history is replayed; a stack three,
        # and a copy of those that are open for each conversion, which are few.
        room = 2 * (n + 1) * (2 + int(np.isin(c.records["kind"], (1, 2)).sum()))
        if c.options["cost"] in ("lifo", "specific"):
            room *= 8
        lots, rooms = np.empty((m, room, 2), np.int64), np.full(m, room, np.int64)
        queues = np.array([queue.ctypes.data for queue in lots], np.uint64)
        positions, trial = np.zeros((2, m), POSITION)
        pools, trial_pools = np.zeros((2, m * (5 * len(CURRENCIES) + 1), 2), np.int64)
        history, slots = np.zeros(n, FILL), np.full(1 << (2 * n + 2).bit_length(), -1, np.int64)
        currency = np.array([CURRENCIES.index(i.currency) for i in LISTED], np.int16)
        contracts, book, ledger = np.zeros(m, CONTRACT), np.zeros(1, BOOK), np.zeros(1, LEDGER)
        names = np.array([i.name for i in LISTED], "S16")
        for contract, position, instrument in zip(contracts, positions, LISTED, strict=True):
            scale, per, *unit = _contract(instrument)
            contract["scale"], contract["per"], contract["unit"] = (scale % 2**64, scale >> 64), per, unit
            position["method"] = METHODS.index(c.options["cost"])
            position["flags"] = INVERSE * (instrument.kind == "inverse") + 2 * instrument.negative_prices
            position["flags"] |= STACK * (c.options["cost"] == "lifo")
            position["flags"] |= NAMED * (c.options["cost"] == "specific")
        for name, array in (
            ("positions", positions), ("lots", queues), ("lots_capacity", rooms), ("pools", pools),
            ("currency", currency), ("history", history), ("slots", slots), ("names", names),
        ):  # fmt: skip
            book[name] = array.ctypes.data
        book["n_instruments"], book["n_currencies"], book["history_capacity"] = m, len(CURRENCIES), n
        book["n_slots"], book["ids_window"] = len(slots), c.options["ids_window"] or 0
        for name, array in (
            ("book", book), ("contracts", contracts), ("amended", amended), ("trial", trial),
            ("trial_pools", trial_pools),
        ):  # fmt: skip
            ledger[name] = array.ctypes.data
        ledger["amended_capacity"], ledger["suspends"] = n, c.options["unknown"] == "suspend"
        empty = mm.Book(LISTED, currencies=CURRENCIES).to_bytes()
        block = np.zeros(len(empty) // 8 + 12 * n + 4 * m * n, np.uint64)
        status, marks = np.full(n, 99, np.int8), np.array(c.marks, np.int64)
        function(
            at(ledger), at(marks), ctypes.c_int64(n), at(c.records), at(status),
            ctypes.c_uint64(int.from_bytes(empty[24:32], sys.byteorder)), at(block),
        )  # fmt: skip
        return status.tolist(), block.tobytes()[: int(block[1])]

    return run


def test_ledgers(libraries):
    doors = {
        "Book.apply, row by row": ledger_python(1),
        "Book.apply, saved and restored": ledger_python(97, restored=True),
    }
    doors |= {f"{name}: mm_ledger_apply": ledger_c(library) for name, library in libraries.items()}
    seen, kinds = set(), set()
    for i, rng, n in blocks(4):
        c = chronicle_of(rng, n)
        want = ledger_python(0)(c)
        seen |= {(c.options["cost"], status) for status in want[0]}
        taken = np.isin(want[0], (mm.Status.OK, mm.Status.SUSPENDED))
        kinds |= {(c.options["cost"], kind) for kind in c.records["kind"][taken].tolist()}
        for name, door in doors.items():
            status, block = door(c)
            wrong = [k for k, (x, y) in enumerate(zip(status, want[0], strict=True)) if x != y]
            assert not wrong, (
                f"{name}, block {i}: status {wrong[0]}: {status[wrong[0]]}, not {want[0][wrong[0]]}"
            )
            assert block == want[1], f"{name}, block {i}: saved books differ"
    assert seen == {(method, status) for method in METHODS for status in (-5, -3, -2, -1, 0, 1, 2)}
    assert kinds == {(method, kind) for method in METHODS for kind in range(10)}


# -- replaying ---------------------------------------------------------------------------------

EVENTS = np.dtype([(name, "u8") for name in (
    "rows", "quotes", "trades", "kind", "quote_time", "bid", "ask", "bid_size", "ask_size", "exchange_time",
    "trade_time", "price", "size", "subtick", "side", "flags",
)])  # fmt: skip
REPLAY = np.dtype(
    [(name, "i8") for name in ("interval", "latency", "first", "last", "end", "expiry")]
    + [("time_left", "f8"), ("fee_num", "i8"), ("fee_den", "i8")]
    + [(name, "i4") for name in ("countdown", "touch", "weighted", "hidden")]
)
SETTINGS = np.dtype(
    [(name, "i8") for name in ("max_exposure", "min_life", "hysteresis", "timeout", "retry")]
    + [("amend", "i4"), ("n_budgets", "i4"), ("budgets", "i8", (8, 2))]
)
LOGS = np.dtype(
    [(name, "u8") for name in ("decisions", "fills", "contexts", "messages", "standing", "held", "ring")]
    + [(name, "i8") for name in ("n_decisions", "n_fills", "n_messages", "n_standing", "row")]
    + [(name, "i8") for name in ("spread2", "revaluation2", "fees", "crossed")]
    + [("messages_of", "i8", 2), ("position", POSITION)]
)


class Replay(NamedTuple):
    """A market, who quotes in it, and the arguments of Matching; `orders`: those of Orders, or None."""

    events: mm.Events
    quoter: mm.Quoter
    setup: dict
    orders: dict | None


def replay_of(rng, n):
    n += 2
    negative = bool(rng.random() < 0.3)
    centre = int(
        rng.choice([0 if negative else 200, 617_000, 2**40, 2**52 - 3, 2**58 if rng.random() < 0.1 else 99])
    )
    walk = centre + np.cumsum(rng.integers(-1, 2, n)) * int(rng.choice([1, 3]))
    quote = rng.random(n) < 0.6
    quote[0] = True
    time = 10**9 + np.cumsum(rng.choice([0, 1, 5, 10**6, 3 * 10**8], n, p=[0.2, 0.1, 0.1, 0.5, 0.1]))
    bid = walk - rng.integers(0, 4, n)
    ask = walk + rng.integers(-1, 4, n)
    price = walk + rng.integers(-6, 7, n)
    if not negative:
        bid, ask, price = (np.maximum(x, 1) for x in (bid, ask, price))
    sizes = rng.integers(1, 9, (2, n))
    sprinkle(rng, bid, 0.02, np.array([NO_BID]))
    sprinkle(rng, ask, 0.02, np.array([NO_ASK]))
    sizes[0][bid == NO_BID], sizes[1][ask == NO_ASK] = 0, 0
    q, t = np.flatnonzero(quote), np.flatnonzero(~quote)
    trades = mm.events.Trades(
        time[t],
        price[t],
        rng.integers(1, 6, len(t)),
        rng.integers(-1, 2, len(t)),
        rng.choice([0, 0, 500_000], len(t)),
        rng.choice([0, 0, 0, 1], len(t)),
        time[t] - rng.integers(0, 9, len(t)),
    )
    quotes = mm.events.Quotes(time[q], bid[q], ask[q], sizes[0][q], sizes[1][q])
    instrument = BOOKED[negative]
    events = mm.Events(instrument, np.where(quote, 1, 2).astype(np.uint8), quotes, trades)
    half, lean = float(rng.choice([0.5, 1.5, 1.0 + QUANTUM / 2])), float(rng.choice([0.0, 0.125, 0.3]))
    shape = rng.random()
    if shape < 0.5:
        policy = mm.Affine(half, lean, q_max=20)
    elif shape < 0.75:
        policy = mm.Affine(half, lean, base_rate=0.01, horizon=1e4, q_max=20, order_size=2)
    else:
        depth = rng.uniform(0, 2, (2, 3, 21))
        takes = np.zeros((3, 21))
        takes[1, 10] = rng.random() < 0.1
        policy = mm.Table(*depth, q_max=10, time_left=[0.0, 1.0, 60.0], stationary=False, take=takes)
    quoter = mm.Quoter(
        policy,
        limits=mm.Limits(float(rng.choice([3, 10])), bool(rng.random() < 0.5)),
        obligations=mm.Obligations(5, 1) if rng.random() < 0.3 else None,
        feed_age=mm.FeedAge(0.5, 0.001, 1.0) if rng.random() < 0.3 else None,
    )
    first, end = int(time[0]), int(time[-1])
    interval = int(rng.choice([0, 10**6, 10**8]))
    interval = max(interval, (end - first) // 5000) if interval else 0
    latency = int(rng.choice([0, 1, 10**6, 10**8]))
    left = [3.0] if policy.horizon < math.inf else [math.inf]
    setup = {
        "interval": interval,
        "latency": latency,
        "first": first,
        "last": end - int(rng.integers(0, 2)) * (end - first) // 7,
        "end": end,
        "time_left": float(rng.choice([*left, math.nan])),
        "expiry": end + int(rng.choice([0, 10**9])),
        "fee": tuple(rng.choice([(0, 1), (1, 3), (-1, 7), (2**62, 1)], p=[0.3, 0.4, 0.28, 0.02]).tolist()),
        "touch": bool(rng.random() < 0.5),
        "weighted": bool(rng.random() < 0.3),
        "hidden": bool(rng.random() < 0.5),
    }
    orders = None
    if rng.random() < 0.5:
        orders = {
            "max_exposure": int(rng.choice([3, 12])),
            "min_life": int(rng.choice([0, 10**6, 2 * 10**8])),
            "hysteresis": int(rng.choice([0, 2])),
            "timeout": 10**9,
            "retry": int(rng.choice([0, 10**8])),
            "amend": bool(rng.random() < 0.5),
            "messages": [(5, 10**7), (40, 10**9)] if rng.random() < 0.5 else [],
        }
    return Replay(events, quoter, setup, orders)


def plain(records):
    """Bytes of records."""
    return np.ascontiguousarray(records).tobytes()


def replay_python(step, **room):
    """Door to Matching: all rows at once, or so many at a time from little room."""

    def run(replay):
        orders = None if replay.orders is None else mm.Orders(**replay.orders)
        matching = Matching(replay.events, replay.quoter, **replay.setup, orders=orders, **room)
        try:
            for stop in range(step, len(replay.events) + step, step):
                matching.run(stop)
        except Error as error:
            return {"status": STATUS[error.code]}
        decisions, fills, contexts, totals, logs = matching.finish()
        messages, standing, held = logs or ([], [], [])
        totals["messages_of"] = totals.pop("messages")
        return {
            "decisions": plain(decisions.array()), "fills": plain(fills), "contexts": plain(contexts),
            "messages": plain(messages), "standing": plain(standing), "held": plain(held), **totals,
        }  # fmt: skip

    return run


def replay_c(library):
    def run(replay):
        q, t, n = replay.events.quotes, replay.events.trades, len(replay.events)
        kind, side, flags = (np.ascontiguousarray(x) for x in (replay.events.kind, t.side, t.flags))
        columns = [kind, q.local_time, q.bid, q.ask, q.bid_size, q.ask_size, t.exchange_time, t.local_time]
        columns += [t.price, t.size, t.subtick, side, flags]
        events = np.array([(n, len(q), len(t), *(c.ctypes.data for c in columns))], EVENTS)
        setup, s = np.zeros(1, REPLAY), replay.setup
        for name in REPLAY.names:
            if name in s:
                setup[name] = s[name]
        setup["countdown"] = math.isnan(s["time_left"])
        setup["fee_num"], setup["fee_den"] = s["fee"]
        settings = np.zeros(1, SETTINGS)
        o = replay.orders or {}
        for name in set(o) - {"messages"}:
            settings[name] = o[name]
        for i, budget in enumerate(o.get("messages", [])):
            settings["budgets"][0, i], settings["n_budgets"] = budget, i + 1
        room = 3 * n + 6000
        decisions, fills = np.zeros(room, DECISION), np.zeros(16 * n + 64, FILL)
        contexts = np.zeros(len(fills), FILL_CONTEXT)
        many = 8 * room if replay.orders else 1
        messages, standing = np.zeros(many, MESSAGE), np.zeros(many, STANDING)
        held, ring = np.zeros((room, 2), np.uint16), np.zeros(64, np.int64)
        logs = np.zeros(1, LOGS)
        for name, array in (
            ("decisions", decisions), ("fills", fills), ("contexts", contexts), ("messages", messages),
            ("standing", standing), ("held", held), ("ring", ring),
        ):  # fmt: skip
            logs[name] = array.ctypes.data
        if not replay.orders:
            logs["messages"] = 0
        logs["n_decisions"], logs["n_fills"] = len(decisions), len(fills)
        logs["n_messages"] = logs["n_standing"] = many
        rules, policy = mm.api.rules(replay.quoter), replay.quoter.policy
        status = library.replay_run(
            at(events), at(setup), ctypes.c_void_p(policy.address), rules,
            ctypes.c_int(replay.events.instrument.negative_prices), at(settings), at(logs),
        )  # fmt: skip
        assert status != CAPACITY
        if status:
            return {"status": status}
        found = {name: logs[name][0].item() for name in LOGS.names[7:-2]}
        totals = state_of(logs["position"], np.zeros((1, 0, 2)), np.zeros((1, 2, 2), np.int64))[0]
        mid = q.mid2[q.two_sided & (q.bid <= q.ask)]
        return {
            "decisions": plain(decisions[: found["n_decisions"]]),
            "fills": plain(fills[: found["n_fills"]]),
            "contexts": plain(contexts[: found["n_fills"]]),
            "messages": plain(messages[: found["n_messages"]]),
            "standing": plain(standing[: found["n_standing"]]),
            "held": plain(held[: found["n_decisions"]] if replay.orders else []),
            **{name: found[name] for name in ("spread2", "revaluation2", "crossed")},
            **{name: totals[name] for name in ("cash", "net", "fees", "bought", "sold")},
            "mid2": int(mid[-1]) if len(mid) else 0,
            "messages_of": tuple(logs["messages_of"][0].tolist()),
        }

    return run


def test_replays(libraries):
    doors = {"Matching, a few rows at a time": replay_python(7, decisions=1, fills=1)}
    doors |= {name: replay_c(library) for name, library in libraries.items()}
    fills, orders, refused = 0, 0, set()
    for i, rng, n in blocks(3):
        replay = replay_of(rng, n)
        want = replay_python(n + 2)(replay)
        refused.add(want.get("status", 0))
        fills += len(want.get("fills", b"")) // FILL.itemsize
        orders += len(want.get("messages", b"")) // MESSAGE.itemsize if replay.orders else 0
        for name, door in doors.items():
            got = door(replay)
            wrong = [key for key in want if got.get(key) != want[key]]
            assert not wrong, f"{name}, block {i}: {wrong}"
    assert fills > ROWS / 100
    assert orders > ROWS / 100
    assert 0 in refused
