"""What is fuzzed: functions of some bytes that must pass, or refuse with an error of mmcore.

Those named ``read_…`` are parsers: the bytes are what they read, and whatever they accept must be consistent.
The others are the properties of the tests, each drawn from the bytes by Hypothesis: streams of operations on
the book, the orders and the replay, compared with their twins in plain Python at every step.
"""

from __future__ import annotations

import gzip
import importlib
import io
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import cache, wraps
from math import floor
from pathlib import Path
from random import Random
from types import ModuleType

import numpy as np

import mmcore as mm
from mmcore import feeds
from mmcore.cli.returns import read_returns as returns_of
from mmcore.configuration import loads, template
from mmcore.decimals import Fields, parse
from mmcore.dp.problem_file import EXAMPLE, load_problem
from mmcore.errors import Error
from mmcore.feeds import hftbacktest

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
    needs : str
        A package without which there is nothing to fuzz.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]] = field(default=tuple)
    words: tuple[str, ...] = ()
    needs: str = ""


TARGETS: dict[str, Target] = {}


def target(
    seeds: Callable[[], Iterable[bytes]] = tuple, words: tuple[str, ...] = (), needs: str = ""
) -> Callable[[Callable[[bytes], None]], Callable[[bytes], None]]:
    """Register a parser under its name."""

    def register(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
        @wraps(run)
        def refusing(data: bytes) -> None:
            with suppress(Error):
                run(data)

        TARGETS[run.__name__] = Target(refusing, seeds, words, needs)
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


_STAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:(\d\d)([.,](\d{1,9}))?)?[ \t]*(Z|[+-]\d\d(:?\d\d)?)?", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@target(
    lambda: (b"2024-08-08T12:00:00.5Z", b"1970-01-01 00:00+0530", b"2016-12-31T23:59:60,123456789-05"),
    words=("T", "Z", "+", "2262-04-11", "1677-09-21"),
)
def read_stamps(data: bytes) -> None:
    """An ISO 8601 stamp → ns: what is taken is what :mod:`datetime` makes of it."""
    if b"\n" in data or b"\r" in data or b'"' in data or b"|" in data:
        return
    fields = Fields(data, 1, "|")
    if not len(fields):
        return
    found = fields.stamps(0).tolist()
    text = data.decode("ascii").strip(" \t")
    parts = _STAMP.fullmatch(text)
    assert parts, f"{text!r} was taken for {found}"
    day, minute, _, second, _, fraction, zone, minutes = parts.groups()
    offset = "+00:00" if zone in (None, "Z") else zone if minutes else zone + ":00"
    value = datetime.fromisoformat(f"{day}T{minute}:00{offset}") - _EPOCH
    whole = value // timedelta(seconds=1) + int(second or "0")
    assert found == [whole * 10**9 + int((fraction or "0").ljust(9, "0"))]


_SESSIONS = (
    b'zone = "America/New_York"\nweekmask = "1111100"\nholidays = [2024-11-28]\n'
    b'regular = [["-1d 18:00", "pre_open"], ["09:30:00.5", "continuous"], ["16:00", "closed"]]\n'
    b'[special]\n2024-11-29 = [["09:30", "continuous"], ["13:00", "closed"]]\n'
)


@target(
    lambda: (_SESSIONS,),
    words=("closed", "opening_auction", '"UTC"', '"24:00"', "0001-01-01", "9999-12-31"),
)
def read_sessions(data: bytes) -> None:
    """A file of sessions: what passes has phases everywhere."""
    sessions = mm.Sessions.load(_file(data, "sessions.toml"))
    for at in (-(2**63), 0, 1_732_890_600 * 10**9, 2**63 - 1):
        with suppress(Error):  # sessions that overlap
            (phase,) = sessions.phases([at]).tolist()
            assert sessions.phase(at) == phase
    assert mm.Sessions(**sessions.to_dict()) == sessions


@target(
    lambda: (
        b"date,A,B\n2024-01-02,0.01,-0.02\n2024-01-03,0,0.5\n2024-01-04,-1,1e-3\n",
        b"A,B\n100,7\n101.5,7.25\n99,8\n98,9\n",
        b"ts,A,B\n20240101,1,2\n20240102,3,4\n20240103,3,4\n20240104,3,4\n",
    ),
    words=("nan", "inf", "1e400", ";", '"', "2024-01"),
)
def read_returns(data: bytes) -> None:
    """Returns or prices of assets, by all that may be said of them."""
    path = str(_file(data, "returns.csv"))
    for prices in (None, False, True):
        for index in (None, False, "A"):
            with suppress(Error):
                names, returns, _ = returns_of(path, prices, index)
                assert returns.shape[1] == len(names) >= 2
                assert not np.isnan(returns).any()
                assert (returns >= -1.0).all()


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


def _arrays() -> Iterable[bytes]:
    square = {"rewards": np.array([[1.0, 0.0], [0.5, 2.0]]), "transitions": np.full((2, 2, 2), 0.5)}
    rows = {"rewards": np.ones(2), "s_indices": [0, 1], "a_indices": [0, 0]}
    sparse = {"data": np.ones(2), "indices": np.array([1, 0]), "indptr": np.array([0, 1, 2])}
    for arrays in (square, rows | sparse):
        stored = io.BytesIO()
        np.savez(stored, **arrays)
        yield stored.getvalue()


@target(_arrays, words=("descr", "fortran_order", "shape", "<f8", "|O", "(2, 2)"))
def read_problem_arrays(data: bytes) -> None:
    """The arrays of a problem file."""
    _file(data, "arrays.npz")
    text = b'[mdp]\npath = "arrays.npz"\ndiscount = 0.5\n[solve]\ntol = 1e-3\n'
    problem = load_problem(_file(text, "arrays.toml")).problem
    assert isinstance(problem, mm.dp.MDP)
    assert problem.n_states > 0


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


_CENTS = mm.Instrument("X", tick="0.01")
_QUOTES = b"time,bid,ask\n2024-08-08T12:00:00.5Z,99.99,100.02\n2024-08-08T12:00:01Z,,100.03\n"
_TRADES = b"time,price,size,side\n1723118400500000000,99.99,5,buy\n1723118400500000001,100,1,sell\n"


@target(lambda: (_QUOTES, _TRADES), words=("bid_size", "ask_size", "price", "side", "T", "Z", ";"))
def read_csv(data: bytes) -> None:
    """Delimited text."""
    _events(data, "feed.csv", format="csv", instrument=_CENTS)


_LAYOUTS: tuple[dict[str, object], ...] = (
    {"columns": {"time": "t", "bid": "b", "ask": "a"}, "time_format": "iso", "rounding": "nearest"},
    {"columns": {"time": 0, "price": 1, "size": 2, "side": 3}, "header": False, "delimiter": ";"},
    {"columns": {"local_time": "l", "exchange_time": "e", "price": "p", "size": "s"}, "sort": True},
    {"columns": {"time": "t", "kind": "k", "bid": "b", "ask": "a", "price": "p", "size": "s", "id": "i"}},
    {"columns": {"time": "t", "bid": "b", "ask": "a"}, "time_format": "%Y%m%d %H:%M:%S.%f"},
    {"columns": {"time": "t", "price": "p", "size": "s"}, "date": "2024-08-08", "where": {"w": ["x", ""]}},
)


@target(
    lambda: (
        b"\0t,b,a,c,zz\n2024-08-08T12:00:00.5Z,99.994,100.02,1,2\n2024-08-08 16:00+02,,100.03,1,2\n",
        b"\x011723118400.25;99.99;5;buy\n1723118400.5;100.5;1;sell\n",
        b"\x02l,e,p,s\n1723118400001,1723118400000,99.99,5\n1723118399001,1723118400000,99.99,5\n",
        b"\x03t,k,b,a,p,s,i\n1723118400000,quote,1,2,,,7\n1723118400000,trade,,,1,3,8\n",
        b"\x04t,b,a\n20240808 12:00:00.5,1,2\n",
        b"\x05t,p,s,w\n34200.5,1,2,x\n34200.6,1,2,y\n",
    ),
    words=("quote", "trade", "%", "iso", "1723118400"),
)
def read_columns(data: bytes) -> None:
    """Delimited text by a map of its columns."""
    if data:
        layout = _LAYOUTS[data[0] % len(_LAYOUTS)]
        _events(data[1:], "columns.csv", format="csv", instrument=_CENTS, **layout)


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


_SCHEMAS = ("trades", "tbbo", "mbp-1", "mbp-10", "mbo")
_MICE = mm.Instrument("ESH1", tick="0.25")


@cache
def _dbn(schema: str) -> tuple[bytes, np.dtype[np.void], int]:
    """Return metadata, the layout of a record and its type."""
    import databento_dbn as dbn

    of = {"trades": (dbn.TradeMsg, 0), "mbp-10": (dbn.MBP10Msg, 10), "mbo": (dbn.MBOMsg, 160)}
    message, kind = of.get(schema, (dbn.MBP1Msg, 1))
    said = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=_START,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema(schema),
        symbols=["ESH1"],
        partial=[],
        not_found=[],
        mappings=[],
        version=3,
    )
    return bytes(said.encode()), np.dtype(message._dtypes), kind


_START = 1609160400 * 10**9


def _dbn_records() -> Iterable[bytes]:
    yield bytes([len(_SCHEMAS)]) + _dbn("trades")[0]
    quarter = 250_000_000
    for at, schema in enumerate(_SCHEMAS):
        _, layout, kind = _dbn(schema)
        rows = np.zeros(8, layout)
        rows["length"], rows["rtype"], rows["instrument_id"] = layout.itemsize // 4, kind, 5
        rows["ts_recv"] = rows["ts_event"] = _START + np.arange(8)
        rows["action"], rows["side"], rows["size"], rows["price"] = b"T", b"B", 3, 9 * quarter
        if schema == "mbo":
            rows["action"] = [bytes([byte]) for byte in b"RAAAMTFC"]
            rows["side"] = [bytes([byte]) for byte in b"NBABAAAA"]
            rows["price"] = quarter * np.array([0, 9, 12, 10, 11, 10, 10, 11])
            rows["order_id"], rows["flags"] = [0, 1, 2, 3, 2, 0, 3, 2], [128, 0, 128, 128, 128, 0, 0, 128]
        elif schema != "trades":
            rows["action"] = b"A" if schema != "tbbo" else b"T"
            rows["bid_px_00"], rows["ask_px_00"] = 9 * quarter, 10 * quarter
            rows["bid_sz_00"], rows["ask_sz_00"] = np.arange(8), 2
        yield bytes([at]) + rows[: 4 if schema == "mbp-10" else 8].tobytes()


@target(
    _dbn_records,
    words=("A", "C", "M", "R", "T", "F", "N", "\xa0", "\x7f\xff\xff\xff"),
    needs="databento_dbn",
)
def read_databento(data: bytes) -> None:
    """DBN: records of a schema, or a whole file with its metadata."""
    if not data:
        return
    which = data[0] % (len(_SCHEMAS) + 1)
    head = b"" if which == len(_SCHEMAS) else _dbn(_SCHEMAS[which])[0]
    _events(head + data[1:], "day.dbn", format="databento", instrument=_MICE)


def _hftbacktest() -> Iterable[bytes]:
    rows = np.zeros(6, hftbacktest._DTYPE)
    rows["ev"] = 1 << 30 | np.array([4, 4, 2, 1, 5, 3]) | 1 << np.array([29, 28, 28, 29, 28, 29])
    rows["exch_ts"] = rows["local_ts"] = _START + np.arange(6) // 2
    rows["px"], rows["qty"] = [9.9, 10.1, 9.9, 9.8, 10.2, 9.8], 1.5
    yield b"\0" + rows.tobytes()
    stored = io.BytesIO()
    np.savez_compressed(stored, data=rows)
    yield b"\x01" + stored.getvalue()


@target(_hftbacktest, words=("\x01\x00\x00\x60", "\x02\x00\x00\xd0", "\x03\x00\x00\x60", "\x05\x00\x00\x60"))
def read_hftbacktest(data: bytes) -> None:
    """Rows of hftbacktest's events, or a whole file of them."""
    coin = mm.Instrument("COIN", tick="0.1", lot="0.001")
    if data and data[0] & 1 == 0:
        stored = io.BytesIO()
        size = hftbacktest._DTYPE.itemsize
        np.save(stored, np.frombuffer(data, hftbacktest._DTYPE, (len(data) - 1) // size, 1))
        data = b"\x01" + stored.getvalue()
    _events(data[1:], "day.npz", format="hftbacktest", instrument=coin)


def _arrow_files() -> Iterable[bytes]:
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.parquet as pq

    quotes = pa.table({"time": [_START, _START + 1], "bid": [1.25, None], "ask": ["1.5", "2"]})
    said = {"instrument_id": "X.SIM", "price_precision": "2", "size_precision": "1"}
    scaled = pa.array([(123 << 4).to_bytes(16, "little")] * 2, pa.binary(16))
    ticks = {"price": scaled, "size": scaled, "aggressor_side": pa.array([1, 2], pa.uint8())}
    trades = pa.table(ticks | {"ts_event": [_START] * 2, "ts_init": [_START, _START + 1]})
    views = pa.DictionaryArray.from_arrays(
        pa.array([1, None], pa.int8()), pa.array(["7", "8"]).cast("string_view")
    )
    kinds = {"bid_size": views, "levels": [[1], None], "day": pa.array([1, 2], pa.time64("ns"))}
    runs = pa.compute.run_end_encode(pa.array(["a\nb"] * 2))
    odd = pa.table({name: quotes[name] for name in quotes.column_names} | kinds | {"note": runs})
    for table in (quotes, odd, trades.replace_schema_metadata(said)):
        for new in (pa.ipc.new_file, pa.ipc.new_stream):
            sink = io.BytesIO()
            with new(sink, table.schema) as file:
                file.write_table(table)
            yield sink.getvalue()
        if table is odd:  # Parquet has no runs
            continue
        sink = io.BytesIO()
        pq.write_table(table, sink, store_schema=False, compression="none", write_page_checksum=True)
        yield sink.getvalue()


@target(
    _arrow_files,
    words=("PAR1", "ARROW1", "price_precision", "size_precision", "bid_price"),
    needs="pyarrow",
)
def read_arrow(data: bytes) -> None:
    """A Parquet or Arrow file, as columns and as Nautilus' ticks."""
    for format, instrument in (("csv", _CENTS), ("nautilus", None)):
        with suppress(Error):
            _events(data, "rows.parquet", format=format, instrument=instrument)


def _any_files() -> Iterable[bytes]:
    import lzma
    import zipfile

    yield gzip.compress(_QUOTES, mtime=0)
    yield lzma.compress(_TRADES)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(zipfile.ZipInfo("rows.csv"), _QUOTES, zipfile.ZIP_DEFLATED)
    yield packed.getvalue()
    if zstd := _zstd():
        yield zstd.compress(_TRADES)
    yield from (_QUOTES, _BITSTAMP, *_TAQ)


def _zstd() -> ModuleType | None:
    with suppress(ImportError):
        if sys.version_info >= (3, 14):
            return importlib.import_module("compression.zstd")
        return importlib.import_module("backports.zstd")
    return None


@target(_any_files, words=("MMEVENTS", "PAR1", "PK\x03\x04", "\x1f\x8b", "\x28\xb5\x2f\xfd", "DBN"))
def read_any(data: bytes) -> None:
    """A file of which nothing is said, packed or not."""
    fine = mm.Instrument("X", tick="0.01", lot="0.00000001")
    _events(data, "feed", instrument=None if data[:8] == b"MMEVENTS" else fine)


def _event_files() -> Iterable[bytes]:
    for text in (_QUOTES, _TRADES):
        events = feeds.load(
            _file(text, "seed.csv"), instrument=mm.Instrument("X", tick="0.01"), format="csv", cache=False
        )
        events.save(Path(_FOLDER.name, "seed.events"))
        yield Path(_FOLDER.name, "seed.events").read_bytes()


@target(_event_files, words=("MMEVENTS",))
def read_events(data: bytes) -> None:
    """An event file, and again with its head made right, its columns believed: they stay within it."""
    with suppress(Error):
        mm.Events.load(_file(data, "feed.events"))
    text = data[64 : 64 + int.from_bytes(data[16:24], "little")]
    head = data[:12].ljust(12, b"\0") + struct.pack("<IQQ28x", zlib.crc32(text), len(text), len(data))
    data = head + struct.pack("<I", zlib.crc32(head)) + data[64:]
    events = mm.Events.load(_file(data, "feed.events"), verify=False)
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
    named = mm.Book(_INSTRUMENTS, cost="specific")
    for k in range(4):
        named.fill("X", 3, 1000 + k, id=f"a{k}")
    named.fill("X", -4, 1001, id="b", lots=[("a2", 2), ("a1", 1)])
    yield named.to_bytes()
    named.bust("X", "a1")
    named.split("X", 3, 2)
    yield named.to_bytes()
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
