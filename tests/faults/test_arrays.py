"""Arrays of every kind, threads, forks and pickles: row 26 of the faults.

Each door that takes arrays is given the same numbers laid out in every way that NumPy knows: what comes back
is the same to the bit, and the arrays that were given are as they were.
"""

import contextlib
import ctypes
import math
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import mmcore as mm
from mmcore.decimals import parse
from mmcore.errors import Error, InvalidArgument

pytestmark = pytest.mark.compiled

STOCK = mm.Instrument("X", tick="0.01")
N = 12
DRAW = np.random.default_rng(5)
POLICY = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=5).policy()
REWARDS = DRAW.uniform(size=(N, 3))
TRANSITIONS = DRAW.dirichlet(np.ones(N), size=(N, 3))
RETURNS = DRAW.normal(size=(3 * N, 4)) / 100
QUOTER = mm.Quoter(POLICY)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS = {
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "backward": lambda a: a[::-1].copy()[::-1],
    "Fortran": np.asfortranarray,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "read-only": read_only,
    "unaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "field of records": lambda a: np.rec.fromarrays([a, a], names="x,y")["x"],
    "list": lambda a: a.tolist(),
}


def replayed(time, bid, ask):
    events = mm.Events(STOCK, np.ones(N, "u1"), mm.Quotes(time, bid, ask), None)
    return events.quotes.bid.tolist(), mm.replay(events, mm.Quoter(POLICY), interval=1.0).decisions[
        "bid"
    ].tolist()


TIME = np.arange(1, N + 1) * 10**9
BID = 1000 + np.arange(N) % 3
DOORS = {
    "quote_batch": (lambda a, b: QUOTER.quote_batch(a, b), DRAW.uniform(90, 110, N), DRAW.integers(-5, 6, N)),
    "price_batch": (lambda a, b: QUOTER.price_batch(a, b), DRAW.uniform(90, 110, N), DRAW.uniform(-4, 4, N)),
    "MDP": (lambda r, p: mm.dp.MDP(r, p, 0.9).solve().value, REWARDS, TRANSITIONS),
    "mean_variance": (
        lambda c, r: mm.portfolio.mean_variance(c, r).weights,
        np.cov(RETURNS.T),
        RETURNS.mean(axis=0),
    ),
    "frontier": (
        lambda c, r: mm.portfolio.efficient_frontier(c, r).weights,
        np.cov(RETURNS.T),
        RETURNS.mean(axis=0),
    ),
    "replay": (replayed, TIME, BID, BID + 2),
    "eoq": (
        lambda d, s: mm.inventory_control.eoq(d, s, 0.5).quantity,
        DRAW.uniform(1, 9, N),
        DRAW.uniform(1, 9, N),
    ),
    "parse": (lambda a: parse(a, "1"), DRAW.integers(0, 1000, N)),
}


def plain(result):
    return (
        np.asarray(result, dtype=object).tolist()
        if isinstance(result, tuple)
        else np.asarray(result).tolist()
    )


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("door", DOORS)
def test_row_26_the_layout_of_an_array_changes_nothing(door, layout):
    call, *arrays = DOORS[door]
    expected = plain(call(*arrays))
    given = [LAYOUTS[layout](a) for a in arrays]
    before = [np.array(a) for a in given]
    assert plain(call(*given)) == expected
    for a, b in zip(given, before, strict=True):
        np.testing.assert_array_equal(np.asarray(a), b)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name not in ("field of records", "list")])
def test_row_26_records_of_fills(layout):
    book = mm.Book([STOCK], history="full")
    fills = book.records(qty=[3, -5, 4], price=[100, 101, 99], id=["a", "b", "c"])
    other = mm.Book([STOCK], history="full")
    book.apply(fills)
    other.apply(LAYOUTS[layout](fills))
    assert other.snapshot() == book.snapshot()


def test_row_26_no_rows_at_all():
    empty = np.zeros(0)
    assert len(QUOTER.quote_batch(empty, empty)) == 0
    assert QUOTER.price_batch(empty, empty).shape == (2, 0)
    assert parse([]).tolist() == []
    book = mm.Book([STOCK])
    assert len(book.apply(np.zeros(0, mm.FILL))) == 0
    for call in (
        lambda: mm.dp.MDP(np.zeros((0, 0)), np.zeros((0, 0, 0)), 0.9),
        lambda: mm.portfolio.mean_variance(np.zeros((0, 0)), empty),
    ):
        with pytest.raises(Error):
            call()


@pytest.mark.parametrize("bad", [np.array(["a", "b"]), np.array([None, 1.0]), np.array([1j, 2.0]), object()])
def test_row_26_arrays_of_another_kind_are_refused(bad):
    for batch in (QUOTER.quote_batch, QUOTER.price_batch):
        with pytest.raises(TypeError, match=r"^reference must be (numbers|a number), got "):
            batch(bad, 0.0)
        with pytest.raises(TypeError, match=r"^bid must be (integers|an integer), got "):
            batch(100.0, 0.0, bid=bad)
    with pytest.raises(InvalidArgument) as refused:
        mm.portfolio.mean_variance(np.eye(2), bad)
    assert refused.value.argument == "expected_returns"


PICKLED = {
    "Instrument": STOCK,
    "Currency": mm.Currency("USD"),
    "Affine": mm.AvellanedaStoikov(sigma=2.0, k=0.3, gamma=0.1, horizon=60.0).policy(),
    "Table": POLICY,
    "Quoter": mm.Quoter(POLICY, STOCK, mm.Limits(3), mm.Obligations(9, 1)),
    "Quote": mm.Quoter(POLICY).quote(100.0, 1),
    "Orders": mm.Orders(max_exposure=3),
    "Book": mm.Book([STOCK], history="full"),
    "model": mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=5),
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", PICKLED)
def test_row_26_pickles_of_every_protocol(name, protocol):
    thing = PICKLED[name]
    again = pickle.loads(pickle.dumps(thing, protocol))
    assert type(again) is type(thing)
    assert pickle.dumps(again, protocol) == pickle.dumps(thing, protocol)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_row_26_a_fork_goes_on_by_itself():
    """After a fork parent and child have books of their own."""
    code = (
        "import os, mmcore as mm\n"
        "book = mm.Book([mm.Instrument('X', tick='0.01')], history='full')\n"
        "book.fill('X', 3, 100, id='a')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    book.fill('X', -1, 101, id='b')\n"
        "    os._exit(0 if book['X'].net == 2 else 1)\n"
        "book.fill('X', 4, 102, id='c')\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "assert book['X'].net == 7\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def _quoted(seed):
    rows = np.random.default_rng(seed).uniform(90, 110, 1000)
    return mm.Quoter(POLICY).quote_batch(rows, np.zeros(1000)).tobytes()


def test_row_26_threads_and_processes_give_the_same_bits():
    expected = [_quoted(seed) for seed in range(4)]
    found = [b""] * 4

    def run(seed):
        found[seed] = _quoted(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected
    code = "import numpy as np, pickle, sys, mmcore as mm\npolicy = pickle.loads(sys.stdin.buffer.read())\n"
    code += "rows = np.random.default_rng(3).uniform(90, 110, 1000)\n"
    code += "sys.stdout.buffer.write(mm.Quoter(policy).quote_batch(rows, np.zeros(1000)).tobytes())"
    ran = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(POLICY), capture_output=True, check=True
    )
    assert ran.stdout == expected[3]


# ---- more than 2**31 rows

REFUSED = """
import resource, sys
import numpy as np
import mmcore as mm
from mmcore.decimals import parse

resource.setrlimit(resource.RLIMIT_AS, (5 << 29, 5 << 29))
N = 2**31 + 8
STOCK = mm.Instrument("X", tick="0.01")
book = mm.Book([STOCK], history="full")
book.fill("X", 3, 100, id="a")
before = book.to_bytes()
quoter = mm.Quoter(mm.Affine(base=1.0, q_max=10), STOCK)


def rows(value):
    made = np.broadcast_to(np.asarray(value), N)  # one number in memory
    assert not made.flags.writeable
    return made


doors = {
    "quote_batch": lambda: quoter.quote_batch(rows(100.0), rows(0)),
    "price_batch": lambda: quoter.price_batch(rows(100.0), rows(0)),
    "records": lambda: book.records(qty=rows(1), price=rows(5)),
    "apply": lambda: book.apply(rows(book.records(qty=[1], price=[5])[0])),
    "reconcile": lambda: book.reconcile(rows(book.history[0])),
    "parse": lambda: parse(rows(7), "1"),
    "Quotes": lambda: mm.Quotes(rows(10**18), rows(5), rows(7)),
    "Trades": lambda: mm.Trades(rows(10**18), rows(5), rows(7)),
    "phases": lambda: mm.Sessions("UTC", [("00:00", "continuous"), ("24:00", "closed")]).phases(rows(10**18)),
    "estimate": lambda: mm.clocks.estimate(rows(10**18), rows(10**18)),
    "mean_variance": lambda: mm.portfolio.mean_variance(np.broadcast_to(1.0, (N, 1)), rows(0.0)),
    "covariance": lambda: mm.portfolio.sample_covariance(np.broadcast_to(1.0, (N, 2))),
    "MDP": lambda: mm.dp.MDP(np.broadcast_to(1.0, (N, 1)), np.broadcast_to(0.5, (N, 1, 1)), 0.5),
    "eoq": lambda: mm.inventory_control.eoq(rows(5.0), 1.0, 0.5),
}
for name, call in doors.items():
    try:
        call()
    except (MemoryError, mm.errors.Error):
        continue
    sys.exit(f"{name} took {N} rows")
assert book.to_bytes() == before
assert quoter.quote(100.0, 0).bid is not None
print(len(doors))
"""


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="no room for its shadow")
def test_row_26_rows_that_memory_cannot_hold_are_refused_at_once_by_every_door():
    pytest.importorskip("resource")
    ran = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("14\n", "")


@contextlib.contextmanager
def long_array(shape, piece=1 << 26):
    """Give int64 of any length: a piece of memory, mapped again and again, and an end of its own; zeros."""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    size = -(-8 * math.prod(shape) // piece) * piece
    both, shared, private, fixed, anonymous, no_reserve = 3, 1, 2, 0x10, 0x20, 0x4000
    file = os.memfd_create("rows")
    os.ftruncate(file, piece)
    start = libc.mmap(None, size, both, private | anonymous | no_reserve, -1, 0)
    try:
        for at in range(start, start + size - piece, piece):
            assert libc.mmap(at, piece, both, shared | fixed, file, 0) == at
        yield np.ctypeslib.as_array(ctypes.cast(start, ctypes.POINTER(ctypes.c_int64)), shape)
    finally:
        libc.munmap(start, size)
        os.close(file)


@pytest.mark.skipif("MMCORE_DOORS" not in os.environ, reason="a minute: make doors")
@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory")
def test_row_26_more_rows_than_32_bits_count():
    """The last of 2**31 + 8 rows are priced as they are alone."""
    rows, last = 2**31 + 8, 8
    with long_array((rows,)) as reference, long_array((rows,)) as inventory, long_array((2, rows)) as out:
        reference, inventory = reference.view(np.float64), inventory.view(np.float64)
        reference[-last:] = DRAW.uniform(90, 110, last)
        inventory[-last:] = DRAW.integers(-4, 5, last)
        quoter = mm.Quoter(mm.AvellanedaStoikov(sigma=2.0, k=0.3, gamma=0.1, horizon=60.0).policy())
        quoter.price_batch(reference, inventory, time_left=30.0, out=out)
        alone = quoter.price_batch(reference[-last:], inventory[-last:], time_left=30.0)
        assert out[1, -last:].tolist() == alone[1].tolist()
