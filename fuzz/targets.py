"""What is fuzzed: functions of some bytes that must pass, or refuse with an error of mmcore.

Those named ``read_…`` are parsers: the bytes are what they read, and whatever they accept must be consistent.
The others are the properties of the tests, each drawn from the bytes by Hypothesis: streams of operations on
the book, the orders and the replay, compared with their twins in plain Python at every step.
"""

from __future__ import annotations

import importlib
import io
import re
import struct
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import wraps
from math import floor
from pathlib import Path
from random import Random

import numpy as np

import mmcore as mm
from mmcore import feeds
from mmcore.configuration import loads, template
from mmcore.decimals import Fields, parse
from mmcore.dp.problem_file import EXAMPLE, load_problem
from mmcore.errors import Error

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """A function to fuzz, and what to begin with.

    Attributes
    ----------
    run : callable
        Takes the bytes. Raises only where something is wrong; what it wraps, where they are refused too.
    seeds : callable
        Returns bytes to begin with, whole and plain examples of what is read.
    words : tuple of str
        What random changes would hardly come upon.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]] = field(default=tuple)
    words: tuple[str, ...] = ()


TARGETS: dict[str, Target] = {}


def target(
    seeds: Callable[[], Iterable[bytes]] = tuple, words: tuple[str, ...] = ()
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a parser under its name."""

    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        @wraps(run)
        def refusing(data: bytes) -> None:
            with suppress(Error):
                run(data)

        TARGETS[run.__name__] = Target(refusing, seeds, words)
        return run

    return register


# ---- text

_STEPS = ("1", "0.01", "0.25", "1e-8", "12.5", "3", "0.000000001", "1000000000000")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


@target(lambda: (b"\0000.29", b"\00361700.10", b"\003-1.5e-3", b"\0014611686018427387904"))
def read_decimals(data: bytes) -> None:
    """Decimal text → integers: what is taken is right, and what is a number is taken."""
    if len(data) < 2:
        return
    step, text = _STEPS[data[0] % len(_STEPS)], data[1:].decode("latin-1")
    plain = len(text) < 60 and _NUMBER.fullmatch(text)
    try:
        low = parse([text], step, "floor").tolist()
    except mm.errors.OutOfBounds:
        return
    except mm.errors.InvalidArgument:
        assert not plain, f"{text!r} is a number"
        return
    assert plain or text.strip() != text or len(text) >= 60, f"{text!r} was taken for {low}"
    if plain and abs(int(re.split("[eE]", text + "e0")[1])) < 1000:
        value = Fraction(text) / Fraction(step)
        assert low == [floor(value)]
        assert parse([text], step, "nearest").tolist() == [round(value)]


@target(lambda: (b"\002a,1,2.5\nb,3,4.5\n", b'\002"x, y",1,2\r\n', b"\000\n\n"), words=('"', "\r\n", ","))
def read_fields(data: bytes) -> None:
    """Delimited text → columns: each has a value for each row."""
    if not data:
        return
    fields = Fields(data[1:], data[0] % 8 + 1, ",;\t|"[data[0] >> 3 & 3])
    for column in range(fields.columns):
        assert len(fields.strings(column)) == len(fields) == len(fields.lines)
        with suppress(Error):
            assert len(fields.integers(column, "0.01", "nearest")) == len(fields)
        with suppress(Error):
            assert len(fields.integers_floor(column, "0.01")[0]) == len(fields)


def _configurations() -> Iterable[bytes]:
    """Yield every key with its value, without what is said of it."""
    for model in ("as", "cj", "glft"):
        lines = (line.removeprefix("# ").split(" #")[0].rstrip() for line in template(model).splitlines())
        keys = [x for x in lines if re.match(r"(\[|[a-z_]+ = )", x)]
        if model == "as":  # which has a horizon, or omega
            keys = [x for x in keys if not x.startswith("omega = ")]
        yield "\n".join(keys).encode()


@target(_configurations, words=("[", "]", "=", "true", "nan", "1e400"))
def read_configuration(data: bytes) -> None:
    """A configuration file."""
    loads(data.decode("utf-8", "replace"))


def _problems() -> Iterable[bytes]:
    yield EXAMPLE.encode()
    arrays = io.BytesIO()
    np.savez(arrays, rewards=np.zeros((2, 1)), transitions=np.full((2, 1, 2), 0.5))
    _file(arrays.getvalue(), "two.npz")
    yield b'[mdp]\npath = "two.npz"\ndiscount = 0.9\n[solve]\ntol = 1e-6\n'


@target(_problems)
def read_problem(data: bytes) -> None:
    """A problem file of ``mmcore solve``, read and not solved."""
    load_problem(_file(data, "problem.toml"))


# ---- files

_FOLDER = tempfile.TemporaryDirectory(
    prefix="mmcore-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None
)
_SMALL = 1 << 16


def _file(data: bytes, name: str) -> Path:
    path = Path(_FOLDER.name, name)
    path.write_bytes(data)
    return path


def _events(data: bytes, name: str, **options: object) -> None:
    """Whatever is read is in order, and the same after it was saved."""
    events = feeds.load(_file(data, name), cache=False, **options)  # type: ignore[arg-type]
    assert len(events) == len(events.quotes) + len(events.trades)
    path = Path(_FOLDER.name, "again.events")
    events.save(path)
    again = mm.Events.load(path)
    assert again.kind.tolist() == events.kind.tolist()
    for read, kept in ((events.quotes, again.quotes), (events.trades, again.trades)):
        for name, column in read.columns().items():
            assert kept.columns()[name].tolist() == column.tolist(), name


_QUOTES = b"time,bid,ask\n2024-08-08T12:00:00.5Z,99.99,100.02\n2024-08-08T12:00:01Z,,100.03\n"
_TRADES = b"time,price,size,side\n1723118400500000000,99.99,5,buy\n1723118400500000001,100,1,sell\n"


@target(lambda: (_QUOTES, _TRADES), words=("bid_size", "ask_size", "price", "side", "T", "Z", ";"))
def read_csv(data: bytes) -> None:
    """Delimited text."""
    _events(data, "feed.csv", format="csv", instrument=mm.Instrument("X", tick="0.01"))


_CAPTURE = (
    b'1723118400500000000 {"stream":"ethusdt@bookTicker","data":{"e":"bookTicker","u":1,"s":"ETHUSDT",'
    b'"b":"2400.10","B":"3.000","a":"2400.11","A":"1.5","T":1723118401700,"E":1723118401701}}\n'
    b'1723118400600000000 {"stream":"ethusdt@trade","data":{"e":"trade","E":1723118401801,"T":1723118401800,'
    b'"s":"ETHUSDT","t":1,"p":"2400.11","q":"0.100","X":"MARKET","m":false}}\n'
)


@target(lambda: (_CAPTURE,), words=('"m":true', '"e":"depthUpdate"', '"pu"', "null", "[", "]"))
def read_binance(data: bytes) -> None:
    """A websocket capture."""
    _events(
        data, "capture.txt", format="binance", instrument=mm.Instrument("ETHUSDT", tick="0.01", lot="0.001")
    )


_DEPTH = (
    b'1723118400500000000 {"lastUpdateId":5,"bids":[["2400.10","3.000"]],"asks":[["2400.11","1.5"]]}\n'
    b'1723118400600000000 {"e":"depthUpdate","T":1723118401700,"s":"ETHUSDT","U":6,"u":7,"pu":5,'
    b'"b":[["2400.10","0.000"],["2400.09","1"]],"a":[]}\n'
)


@target(lambda: (_DEPTH,), words=('"pu":', '"U":', '"u":', '"lastUpdateId":', "[]", "0.000"))
def read_depth(data: bytes) -> None:
    """A websocket capture whose quotes are the rebuilt book's."""
    coin = mm.Instrument("ETHUSDT", tick="0.01", lot="0.001")
    _events(data, "depth.txt", format="binance", instrument=coin, quotes="depth")


_FILES = (
    b"1,100.3,0.006,0.6018,1700000000000,false\n2,100.2,0.250,25.05,1700000000001000,true\n",
    b"1,100.3,0.006,11,12,1700000000000,false,True\n2,0,0,-1,-1,1700000000000,true,True\n",
    b"1,100.2,2.500,100.3,2.600,1700000000000,1700000000005\n",
)


@target(lambda: _FILES, words=("true", "false", "-1", "e9"))
def read_binance_files(data: bytes) -> None:
    """Trades, aggregated trades or quotes of Binance's public files."""
    coin = mm.Instrument("BTCUSDT", tick="0.1", lot="0.001")
    _events(data, "files.csv", format="binance_files", instrument=coin)


_BITSTAMP = (
    b'1400000000000 trade {"price": 200.61000000000001, "amount": 1.1000000000000001, "id": 1}\n'
    b'1400000000001 order_book {"bids": [["200.40", "1.5"]], "asks": [["200.60", "3.7"]]}\n'
)


@target(lambda: (_BITSTAMP,), words=("order_created {", "[]", "1e9", "null"))
def read_bitstamp(data: bytes) -> None:
    """A log of Bitstamp's order events."""
    _events(data, "bitstamp.log", format="bitstamp")


_TAQ = (
    b"DT,EX,BID,BIDSIZ,OFR,OFRSIZ,SYMBOL\n2018-01-02T14:30:00.000001Z,N,99.57,1,0,0,XXX\n",
    b"DT,EX,SYMBOL,COND,SIZE,PRICE,CORR\n2018-01-02T14:30:00.000001Z,N,XXX,F,2,99.8125,0\n",
)


@target(lambda: _TAQ, words=("CORR", "SYMBOL", ",P,", ",N,"))
def read_taq(data: bytes) -> None:
    """Quotes or trades in the columns of TAQ."""
    _events(data, "taq.csv", format="taq", venue="N")


_LOBSTER = (
    b"34200.1,5,0,1,1000200,-1\n34200.2,1,7,21,1000100,1\n34200.3,4,7,20,1000100,1\0"
    b"1000500,100,1000000,100\n1000500,100,1000100,21\n1000500,100,1000100,1\n"
)


@target(lambda: (_LOBSTER,), words=("-9999999999", "9999999999", ",7,"))
def read_lobster(data: bytes) -> None:
    """A pair of files: messages, a zero byte, the order book after each."""
    messages, _, orderbook = data.partition(b"\0")
    _file(orderbook, "X_2012-06-21_34200000_57600000_orderbook_1.csv")
    _events(messages, "X_2012-06-21_34200000_57600000_message_1.csv", format="lobster")


def _event_files() -> Iterable[bytes]:
    for text in (_QUOTES, _TRADES):
        events = feeds.load(
            _file(text, "seed.csv"), instrument=mm.Instrument("X", tick="0.01"), format="csv", cache=False
        )
        events.save(Path(_FOLDER.name, "seed.events"))
        yield Path(_FOLDER.name, "seed.events").read_bytes()


@target(_event_files, words=("MMEVENTS",))
def read_events(data: bytes) -> None:
    """An event file, its checksum believed or not: the columns stay within it."""
    path = _file(data, "feed.events")
    with suppress(Error):
        mm.Events.load(path)
    events = mm.Events.load(path, verify=False)
    if len(events) <= _SMALL:
        events.quotes.bid.sum()
        events.trades.price.sum()
        repr(events)


# ---- blocks of bytes


def _checksum(hash: int, data: bytes) -> int:
    """FNV-1a, as ``mm_checksum``."""
    for byte in data:
        hash = (hash ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return hash


def _repaired(data: bytes, whole: bool) -> bytes:
    """A block whose size and checksum are right, so that what it says is looked at.

    Every block begins with magic, version, size and checksum; the checksum is of what follows it, and in a
    policy (`whole`) of what stands before it too.
    """
    data = data[:8] + struct.pack("<Q", len(data)) + data[16:]
    start = _checksum(0xCBF29CE484222325, data[:16] if whole else b"")
    return data[:16] + struct.pack("<Q", _checksum(start, data[24:])) + data[24:]


def _policies() -> Iterable[bytes]:
    yield mm.AvellanedaStoikov(sigma=2.0, k=0.3, gamma=0.1, horizon=60.0).policy().to_bytes()
    yield mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=2).policy().to_bytes()
    table = mm.Table([0.5, 1.0, float("nan")], [float("nan"), 1.0, 0.5], q_max=1)
    yield table.to_bytes()


@target(_policies)
def read_policy(data: bytes) -> None:
    """A policy's block: what passes can be read anywhere."""
    for kind in (mm.Affine, mm.Table):
        with suppress(Error):
            policy = kind.from_bytes(_repaired(data, True) if len(data) >= 24 else data)
            for inventory in (-1e9, -1.0, 0.0, 0.4, 1e9):
                for left in (0.0, 1.0, 1e300, float("inf")):
                    with suppress(Error):
                        policy.depths(inventory, left)
            assert kind.from_bytes(policy.to_bytes()).to_bytes() == policy.to_bytes()


_INSTRUMENTS = (mm.Instrument("X", tick="0.01"), mm.Instrument("S", tick="0.01", negative_prices=True))


def _books() -> Iterable[bytes]:
    for cost in ("average", "fifo", "lifo"):
        for history in ("full", "none"):
            book = mm.Book(_INSTRUMENTS, cost=cost, history=history)
            book.fill("X", 5, 1000, id="a" if history == "full" else None)
            book.fill("X", -7, 1001, fee=3)
            book.fill("S", 1, -5)
            book.mark("X", 999)
            yield book.to_bytes()
            book.payment("X", "funding", 5)
            book.split("S", 3, 2)
            if history == "full":
                book.suspend("Z", 3, 100, id="z")
                book.release(5, "X")
                book.bust("X", "a")
                book.correct("S", row=2, qty=2, price=-6)
            book.fill("S", -9, -5)
            book.convert("S", "S", 2, 3)
            yield book.to_bytes()


@target(_books)
def read_book(data: bytes) -> None:
    """A book's block: what passes goes on, and is written again as it was."""
    book = mm.Book.from_bytes(_repaired(data, False) if len(data) >= 24 else data, _INSTRUMENTS)
    assert book.to_bytes() == mm.Book.from_bytes(book.to_bytes(), _INSTRUMENTS).to_bytes()
    for name in ("X", "S"):
        with suppress(Error):
            book.fill(name, 1, 100)
        with suppress(Error):
            book.fill(name, -(2**40), 2**40)
    book.snapshot()


def _orders() -> Iterable[bytes]:
    yield mm.Orders().to_bytes()
    orders = mm.Orders(max_exposure=3, messages=[(5, 1000)])
    orders.target((99, 102, 1, 1), now=0)
    yield orders.to_bytes()
    orders.target((98, 101, 2, 1), now=50)
    orders.cancel_all(60)
    yield orders.to_bytes()


@target(_orders)
def read_orders(data: bytes) -> None:
    """A block of orders: what passes goes on."""
    orders = mm.Orders.from_bytes(_repaired(data, False) if len(data) >= 24 else data)
    assert mm.Orders.from_bytes(orders.to_bytes()).working == orders.working
    for now in (0, 100, 2**61):
        with suppress(Error):
            orders.target((99, 102, 1, 1), now=now)
        with suppress(Error):
            orders.cancel_all(now)


def _states() -> Iterable[bytes]:
    model = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=2)
    book = mm.Book(_INSTRUMENTS)
    path = Path(_FOLDER.name, "seed.state")
    mm.save(path, model=model, book=book, x=(1, 2.5, "a", None, b"b"))
    yield path.read_bytes()
    mm.save(path, quoter=mm.Quoter(model.policy(), _INSTRUMENTS[0]), orders=mm.Orders())
    yield path.read_bytes()


@target(_states, words=('"kind"', '"ref"', '"section"', '"decimal"', '"int"', '"float"', "Instrument"))
def read_state(data: bytes) -> None:
    """A saved session whose length and checksum are right."""
    import hashlib

    body = data.partition(b"\n")[2][:-32]
    first = b"mmcore state 1 %d\n" % (len(body) + 32)
    with suppress(Error):
        mm.restore(_file(data, "given.state"))
    mm.restore(_file(first + body + hashlib.sha256(first + body).digest(), "repaired.state"))


# ---- operations: the tests' own properties


def _noise() -> Iterable[bytes]:
    """Yield bytes enough for many steps: the fuzzer begins with short inputs, which draw nothing."""
    for seed in range(8):
        yield Random(seed).randbytes(1024 << seed % 4)


def _property(module: str, name: str) -> None:
    """Register a property of the tests: Hypothesis makes its arguments of the bytes."""

    def run(data: bytes) -> None:
        function = _drawn(module, name)
        function(data)

    TARGETS[module.removeprefix("test_")] = Target(run, _noise)


_found: dict[str, Callable[[bytes], object]] = {}


def _drawn(module: str, name: str) -> Callable[[bytes], object]:
    if module not in _found:
        from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test

        home = importlib.import_module(module)
        test = getattr(home, name)
        if isinstance(test, type) and issubclass(test, RuleBasedStateMachine):
            test = get_state_machine_test(test)
        _found[module] = test.hypothesis.fuzz_one_input
    return _found[module]


_property("test_book_oracle", "BookMachine")
_property("test_ledger_oracle", "LedgerMachine")
_property("test_orders_exposure", "test_exposure_never_passes_the_limit")
_property("test_replay_orders", "test_the_kernel_equals_its_twin")
_property("test_replay_properties", "test_the_kernel_equals_its_twin")
