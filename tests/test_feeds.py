"""Readers on samples made here: what each row becomes, and what is refused, by file and line."""

import csv
import errno
import gzip
import io
import itertools
import json
import logging
import lzma
import mmap
import os
import pathlib
import random
import re
import sys
import zipfile
import zlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import (
    ConflictError,
    CorruptError,
    InvalidArgument,
    MissingExtra,
    OutOfBounds,
    UnknownName,
    Unsupported,
)
from mmcore.events import HIDDEN, NO_ASK, NO_BID, QUOTE, TRADE
from mmcore.feeds import cache_folder, clear_cache, lobster

STOCK = mm.Instrument("XYZ", tick="0.01")
COIN = mm.Instrument("COIN", tick="0.1", lot="0.001")
MIDNIGHT = 1340251200 * 10**9  # 2012-06-21 00:00 in New York


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Keep the tests out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMCORE_CACHE", str(folder))
    return folder


# ---- LOBSTER

MESSAGES = """\
34200.017459617,5,0,1,2238200,-1
34200.18960767,1,11885113,21,2238100,1
34200.2,4,11885113,20,2238100,1
34200.2,3,11885113,1,2238100,1
34200.5,5,0,7,2238250,1
34201,4,7,100,2239500,-1
34201.000000001,2,8,5,2230000,1
34202,6,0,1000,2235000,-1
"""
BOOKS = """\
2239500,100,2231800,100
2239500,100,2238100,21
2239500,100,2238100,1
2239500,100,2231800,100
2239500,100,2231800,100
9999999999,0,2231800,100
9999999999,0,-9999999999,0
2239600,5,2231800,1
"""


def pair(folder, messages=MESSAGES, books=BOOKS, name="XYZ_2012-06-21_34200000_57600000_{}_1.csv"):
    paths = [folder / name.format(kind) for kind in ("message", "orderbook")]
    for path, text in zip(paths, (messages, books), strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


def test_lobster_rows(tmp_path):
    pair(tmp_path)
    events = mm.load(tmp_path)
    # The trade stands before the quote it leaves behind; every message has its quote.
    assert events.kind.tolist() == [2, 1, 1, 2, 1, 1, 2, 1, 2, 1, 1, 1]
    q, t = events.quotes, events.trades
    times = [17459617, 189607670, 200000000, 200000000, 500000000, 1000000000, 1000000001, 2000000000]
    assert (q.local_time - MIDNIGHT - 34200 * 10**9).tolist() == times
    assert q.ask.tolist() == [22395] * 5 + [NO_ASK, NO_ASK, 22396]
    assert q.ask_size.tolist() == [100] * 5 + [0, 0, 5]
    assert q.bid.tolist() == [22318, 22381, 22381, 22318, 22318, 22318, NO_BID, 22318]
    assert q.bid_size.tolist() == [100, 21, 1, 100, 100, 100, 0, 1]
    # A sell limit order (-1) that executes is a buyer-initiated trade (+1), and the reverse.
    assert t.side.tolist() == [1, -1, -1, 1]
    assert t.flags.tolist() == [HIDDEN, 0, HIDDEN, 0]
    assert t.price.tolist() == [22382, 22381, 22382, 22395]
    assert t.subtick.tolist() == [0, 0, 500_000, 0]  # 223.825 is half a cent off the grid
    assert t.size.tolist() == [1, 20, 7, 100]
    assert events.source["ignored"] == {"cross": 1}
    assert events.instrument == mm.Instrument("XYZ", tick="0.01")
    assert events.name == "XYZ 2012-06-21"
    assert (events.trades.exchange_time == events.trades.local_time).all()


@pytest.mark.parametrize("pick", ["message", "orderbook", "folder", "prefix"])
def test_lobster_pair_by_any_of_its_names(tmp_path, pick):
    message, book = pair(tmp_path)
    prefix = tmp_path / "XYZ_2012-06-21"
    path = {"message": message, "orderbook": book, "folder": tmp_path, "prefix": prefix}[pick]
    assert len(mm.load(path)) == 12


def test_lobster_packed_files_and_more_levels(tmp_path):
    name = "XYZ_2012-06-21_34200000_57600000_{}_3.csv"
    books = "".join(line + ",1,1,1,1,2,2,2,2\n" for line in BOOKS.splitlines())
    message, _ = pair(tmp_path, gzip.compress(MESSAGES.encode()), books, name)
    message.rename(message.with_name(message.name + ".gz"))
    events = mm.load(tmp_path)
    assert len(events) == 12
    assert events.quotes.bid.tolist()[0] == 22318


def test_lobster_without_a_date(tmp_path):
    pair(tmp_path, name="{}.csv")
    events = mm.load(tmp_path / "message.csv")
    assert events.start_time == 34200017459617
    assert "no date known" in events.clock_note
    dated = mm.load(tmp_path / "message.csv", date="2012-06-21")
    assert dated.start_time == MIDNIGHT + 34200017459617
    with pytest.raises(InvalidArgument, match="date must be a day"):
        mm.load(tmp_path / "message.csv", date="21.6.2012")
    for day in ("9999-12-31", 20120621):
        with pytest.raises(InvalidArgument, match=r"date must be a day .* 2007 to 2200"):
            mm.load(tmp_path / "message.csv", date=day)
    with pytest.raises(InvalidArgument, match=r"tick must be a multiple of 0.0001, less than 2\*\*63"):
        mm.load(tmp_path / "message.csv", instrument=mm.Instrument("XYZ", tick="1e40"))


def test_lobster_midnight_agrees_with_the_zone_database():
    zoneinfo = pytest.importorskip("zoneinfo")
    try:
        zone = zoneinfo.ZoneInfo("America/New_York")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no zone database here")
    day = date(2007, 1, 1)
    while day.year < 2031:
        if date(2007, 3, 11) <= day:  # the rule's first day
            expected = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
            assert lobster._midnight(day.isoformat()) == int(expected) * 10**9
        day += timedelta(days=1)
    with pytest.raises(Unsupported, match="before 2007"):
        lobster._midnight("2006-12-31")


def test_lobster_halts_empty_the_book(tmp_path):
    messages = "1,1,1,1,100,1\n2,7,0,0,-1,-1\n3,3,1,1,100,1\n4,7,0,0,0,-1\n5,7,0,0,1,-1\n6,7,0,0,-1,-1\n"
    pair(tmp_path, messages, "200,1,100,1\n" * 6)
    events = mm.load(tmp_path)
    assert events.quotes.two_sided.tolist() == [True, False, False, True, True, False]
    assert events.source["halts"] == 2


@pytest.mark.parametrize(
    ("messages", "books", "what"),
    [
        ("", "", "message.*: is empty"),
        ("1,1,1,1,100,1\n1,1,1\n", BOOKS, r"message.*, line 2: has 3 fields instead of 6"),
        ("1,1,1,1,100,1\n0.5,1,1,1,100,1\n", BOOKS, r"message.*, line 2: time: earlier"),
        ("1,1,1,1,100,1\nx,1,1,1,100,1\n", BOOKS, r"message.*, line 2: time: 'x' is not a decimal number"),
        ("1.0000000001,1,1,1,100,1\n", BOOKS, r"line 1: time: '1.0000000001' is not a multiple"),
        ("1,8,1,1,100,1\n", BOOKS, r"line 1: type: not one of 1 to 7"),
        ("1,4,1,1,100,0\n", BOOKS, r"line 1: direction: not 1 or -1"),
        ("1,4,1,0,100,1\n", BOOKS, r"line 1: size: is not above 0"),
        ("1,4,1,1,0,1\n", BOOKS, r"line 1: price: is not above 0"),
        ("1,1,1,1,100,1\n", "200,1,-100,1\n", r"orderbook.*, line 1: bid: is not above 0"),
        ("1,1,1,1,100,1\n", "0,1,100,1\n", r"orderbook.*, line 1: ask: is not above 0"),
        ("1,1,1,1,100,1\n", "200,-1,100,1\n", r"orderbook.*, line 1: ask size: is negative"),
        ("1,4,1,99999999999999999999,100,1\n", BOOKS, r"line 1: size: '9+' is too large"),
        ("999999,1,1,1,100,1\n", BOOKS, r"line 1: time: more than two days"),
        ("1,1,1,1,100,1\n", BOOKS, r"orderbook.*: 8 rows for 1 messages"),
        (MESSAGES, "1,1,1\n", r"orderbook.*, line 1: has 3 fields; an order book has four"),
        (MESSAGES, "2239500,100,2231850,100\n", r"line 1: bid: 2231850 .* not a multiple of the tick 0.01"),
        ("Time,Type,Order ID,Size,Price,Direction\n", BOOKS, r"line 1: type: 'Type' is not a decimal number"),
    ],
)
def test_lobster_refusals_name_file_and_line(tmp_path, messages, books, what):
    pair(tmp_path, messages, books)
    with pytest.raises((InvalidArgument, OutOfBounds), match=what):
        mm.load(tmp_path)


def test_lobster_missing_and_ambiguous_files(tmp_path):
    message, book = pair(tmp_path)
    book.rename(tmp_path / "elsewhere.csv")
    with pytest.raises(FileNotFoundError, match=r"no LOBSTER pair \(.*\) here"):
        mm.load(message)
    pair(tmp_path)
    pair(tmp_path, name="ABC_2012-06-22_34200000_57600000_{}_1.csv")
    with pytest.raises(InvalidArgument, match=r"several days, name one of ABC.*XYZ"):
        mm.load(tmp_path)
    with pytest.raises(InvalidArgument, match=r"a multiple of 0\.0001"):
        mm.load(message, instrument=mm.Instrument("XYZ", tick="0.00001"))


@pytest.mark.parametrize("format", [None, "lobster", "binance", "csv", "events"])
def test_a_folder_of_other_files_says_what_it_holds(tmp_path, format):
    with pytest.raises((FileNotFoundError, InvalidArgument), match="it holds no file"):
        mm.load(tmp_path, format=format)
    for i in range(7):
        (tmp_path / f"{i}.csv").write_text("")
    words = r"it holds 0\.csv, 1\.csv, 2\.csv, 3\.csv, 4\.csv and 2 more: name the file that is to be read"
    with pytest.raises((FileNotFoundError, InvalidArgument), match=words):
        mm.load(tmp_path, format=format)


def test_lobster_long_files_are_read_in_pieces(tmp_path, monkeypatch):
    import mmcore.feeds.text

    rng = random.Random(5)
    time, rows, book = 0, [], []
    for _ in range(2000):
        time += rng.randrange(3)
        rows.append(f"{Decimal(time).scaleb(-9)},4,1,{rng.randrange(1, 9)},{rng.randrange(1, 99)}00,1\n")
        book.append(f"{rng.randrange(50, 99)}00,1,{rng.randrange(1, 50)}00,1\n")
    pair(tmp_path, "".join(rows), "".join(book))
    whole = mm.load(tmp_path, cache=False)
    monkeypatch.setattr(mmcore.feeds.text, "_BLOCK", 97)
    done = []
    pieces = mm.load(tmp_path, cache=False, progress=lambda at, total: done.append((at, total)))
    for a, b in ((whole.quotes, pieces.quotes), (whole.trades, pieces.trades)):
        for name, column in a.columns().items():
            assert column.tolist() == b.columns()[name].tolist()
    total = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert done == sorted(done)
    assert done[-1] == (total, total)
    rows[1500] = "x" + rows[1500]
    pair(tmp_path, "".join(rows), "".join(book))
    with pytest.raises(InvalidArgument, match=r"line 1501: time: 'x0\.0"):
        mm.load(tmp_path, cache=False)


# ---- Binance


def ticker(local, bid="99.90", ask="100.00", stamp=1723161256310, symbol="COIN", sizes=("1.500", "0.001")):
    data = {"e": "bookTicker", "u": 1, "s": symbol, "b": bid, "B": sizes[0], "a": ask, "A": sizes[1]}
    return line(local, f"{str(symbol).lower()}@bookTicker", data | {"T": stamp, "E": stamp + 1})


IDS = itertools.count(1)


def trade(local, price="100.00", size="0.250", maker=False, stamp=1723161256310, symbol="COIN", **extra):
    data = {"e": "trade", "E": stamp, "T": stamp, "s": symbol, "t": next(IDS)}
    data |= {"p": price, "q": size, "m": maker}
    return line(local, f"{symbol.lower()}@trade", data | extra)


def line(local, stream, data):
    return f"{1723161255000000000 + local} " + json.dumps(
        {"stream": stream, "data": data}, separators=(",", ":")
    )


def capture(folder, *lines, name="capture.gz"):
    path = folder / name
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def test_binance_rows(tmp_path):
    path = capture(
        tmp_path,
        ticker(1),
        line(2, "coin@depth@0ms", {"e": "depthUpdate", "b": [["1", "@trade"]]}),
        trade(3, maker=True),
        trade(3, "100.10", maker=False, X="MARKET"),
        trade(4, X="INSURANCE_FUND"),
        line(5, "coin@aggTrade", {"e": "aggTrade", "p": "1", "q": "1", "m": True, "T": 1}),
        "1723161255000000006 " + json.dumps({"lastUpdateId": 7, "bids": [], "asks": []}),
        ticker(7, bid="0.00", sizes=("0.000", "2")),
    )
    events = mm.load(path, instrument=COIN)
    assert events.kind.tolist() == [QUOTE, TRADE, TRADE, QUOTE]
    q, t = events.quotes, events.trades
    assert (q.bid.tolist(), q.ask.tolist()) == ([999, NO_BID], [1000, 1000])
    assert (q.bid_size.tolist(), q.ask_size.tolist()) == ([1500, 0], [1, 2000])
    assert t.side.tolist() == [-1, 1]  # the buyer was the maker: the seller came
    assert (t.price.tolist(), t.size.tolist()) == ([1000, 1001], [250, 250])
    assert (q.local_time % 10).tolist() == [1, 7]
    assert q.exchange_time.tolist() == [1723161256310000000] * 2
    assert events.source["ignored"] == {
        "coin@aggTrade": 1,
        "coin@depth@0ms": 1,
        "snapshot": 1,
        "trade X=INSURANCE_FUND": 1,
    }


def test_binance_trades_told_twice_are_one(tmp_path):
    again = trade(5, t=77)
    path = capture(tmp_path, ticker(1), trade(2), again, trade(6, t=77), trade(7, t=None), trade(8, t=None))
    events = mm.load(path, instrument=COIN)
    assert (len(events.trades), events.source["ignored"]) == (4, {"repeated ids": 1})
    for other in (trade(9, "100.10", t=77), trade(9, maker=True, t=77), trade(9, t=77, stamp=1723161256311)):
        with pytest.raises(ConflictError, match=r"capture.gz, line 3: trade id 77 came again with other"):
            mm.load(capture(tmp_path, ticker(1), again, other), instrument=COIN)
    with pytest.raises(InvalidArgument, match="line 2: is not a"):
        mm.load(capture(tmp_path, ticker(1), trade(2, t=[7])), instrument=COIN)


def test_repeats_are_known_by_the_last_ids(monkeypatch):
    from mmcore.feeds import repeats

    monkeypatch.setattr(repeats, "_KEPT", 3)
    known = repeats.Repeats(pathlib.Path("x"))
    assert [known.has(i, (i,), 0) for i in (1, 2, 3, 1, 4, 1)] == [False, False, False, True, False, False]
    assert (known.count, len(known._known)) == (1, 3)


def test_binance_clock_behind_the_exchange_is_told_and_not_corrected(tmp_path, caplog):
    path = capture(tmp_path, ticker(1), trade(2), ticker(3))
    with caplog.at_level(logging.WARNING):
        events = mm.load(path, instrument=COIN)
    assert "the local clock runs 1.310 s behind the exchange's" in events.clock_note
    assert "--correct-clock" in events.clock_note
    assert "1.310 s behind" in caplog.text
    assert events.source["latency"]["median"] == 2 - 1_310_000_000
    assert events.local_time.tolist() == [1723161255000000001, 1723161255000000002, 1723161255000000003]
    caplog.clear()
    mm.load(path, instrument=COIN)  # from the cache: told again
    assert "1.310 s behind" in caplog.text


def test_binance_clock_in_order(tmp_path, caplog):
    events = mm.load(capture(tmp_path, ticker(50_000_000, stamp=1723161255000)), instrument=COIN)
    assert "behind" not in events.clock_note
    assert not caplog.records


def test_binance_grids_of_known_symbols(tmp_path):
    line_ = ticker(1, "61700.10", "61700.20", symbol="BTCUSDT")
    events = mm.load(capture(tmp_path, line_))
    assert events.quotes.bid.tolist() == [617001]
    assert events.instrument == mm.Instrument(
        "BTCUSDT", tick="0.1", lot="0.001", currency=mm.Currency("USDT")
    )
    with pytest.raises(InvalidArgument, match=r"tick and lot of COIN are not known.*needs an instrument"):
        mm.load(capture(tmp_path, ticker(1)))


def test_binance_prices_are_never_floats(tmp_path):
    coin = mm.Instrument("COIN", tick="0.01", lot="0.001")
    events = mm.load(capture(tmp_path, ticker(1, "0.29", "1.15"), trade(2, "4.35", "0.007")), instrument=coin)
    assert (events.quotes.bid[0], events.quotes.ask[0]) == (29, 115)
    assert (events.trades.price[0], events.trades.size[0]) == (435, 7)
    assert (int(0.29 * 100), int(1.15 * 100), int(4.35 * 100)) == (28, 114, 434)


def test_binance_microseconds_and_no_stamp(tmp_path):
    spot = line(2, "coin@bookTicker", {"u": 1, "s": "COIN", "b": "1.0", "B": "1", "a": "1.1", "A": "1"})
    bare = '1723161255000000003 {"u":1,"s":"COIN","b":"1.0","B":"1","a":"1.1","A":"1"}'
    path = capture(tmp_path, ticker(1, stamp=1723161256310123), spot, bare)
    events = mm.load(path, instrument=COIN)
    assert events.quotes.exchange_time.tolist() == [
        1723161256310123000,
        1723161255000000002,
        1723161255000000003,
    ]


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ((ticker(1), "garbage"), r"line 2: does not start with a local stamp of 19 digits"),
        ((ticker(2), ticker(1)), r"line 2: local stamp \d+1 is earlier than \d+2"),
        ((ticker(1), trade(2, "1e")), r"line 2: price: '1e' is not a decimal number"),
        ((ticker(1, "99.95"),), r"line 1: bid: '99.95' is not a multiple of 0.1"),
        ((ticker(1), trade(2, size="0.0005")), r"line 2: size: '0.0005' is not a multiple of 0.001"),
        ((ticker(1), ticker(2, stamp=17231612563)), r"line 2: .*neither in ms .* nor in µs"),
        ((ticker(1), ticker(2, symbol="OTHER")), r"line 2: a second symbol \(COIN, OTHER\): name one"),
        ((ticker(1)[:-9],), r"line 1: .* message: its JSON is broken at character \d+$"),
        ((ticker(1).replace('"b"', '"x"'),), r"line 1: is not a bookTicker or trade message: it has no 'b'$"),
        ((trade(1, maker="yes"),), r'line 1: .* m, whether the buyer was the maker, is "yes"'),
        (
            ("1723161255000000001 " + '{"stream":"x@trade","data":5}',),
            r"line 1: .* message: it has another form$",
        ),
        ((ticker(1), ticker(2, symbol=None)), r"line 2: .* its symbol s is null and not a text"),
        ((ticker(1), ticker(2, "\ud800")), r"line 2: bid: '\\ud800' is not a decimal number"),
        ((ticker(1), ticker(2, "-1.0")), r"line 2: bid: is not above 0"),
        ((ticker(1), ticker(2, sizes=("-1", "1"))), r"line 2: bid size: is negative"),
        ((ticker(1), ticker(2, "200000000000000000")), r"line 2: bid: 2000000000000000000 ticks is beyond"),
        ((ticker(1), ticker(2, stamp=9999999999999)), r"line 2: .*neither in ms .* nor in µs"),
        (
            (ticker(1), "9999999999999999999 " + ticker(1)[20:]),
            r"line 2: local stamp 9{19} lies outside the years 1990",
        ),
        ((ticker(1), ticker(2)[:20] + '{"u":' + "[" * 100_000), r"line 2: .* its JSON is nested without end"),
        ((trade(1, size="0.000"),), r"line 1: size: is not above 0"),
        ((trade(1, price="0.0"),), r"line 1: price: is not above 0"),
        (("1723161255000000001 [1]", "1723161255000000002 oops"), r"line 2: has no JSON message"),
        (("0001723161255000001 {}",), r"line 1: local stamp 1723161255000001 lies outside .* is it in ns"),
        (("1723161255000000001 {}",), r"no bookTicker or trade message; its messages: 1 of unknown$"),
    ],
)
def test_binance_refusals_name_file_and_line(tmp_path, lines, what):
    with pytest.raises(InvalidArgument, match=what) as caught:
        mm.load(capture(tmp_path, *lines), format="binance", instrument=COIN)
    assert "capture.gz" in str(caught.value)


def test_binance_one_symbol_of_several(tmp_path):
    path = capture(tmp_path, ticker(1), ticker(2, symbol="OTHER"), trade(3, symbol="OTHER"), trade(4))
    events = mm.load(path, instrument=COIN, symbol="coin")
    assert len(events) == 2
    assert events.source["ignored"] == {"OTHER bookTicker": 1, "OTHER trade": 1}


# ---- Binance: the book by snapshot and differences


def depth(local, first, last, previous, bids=(), asks=(), symbol="COIN", **extra):
    data = {"e": "depthUpdate", "E": 1723161256311, "T": 1723161256310, "s": symbol, "U": first, "u": last}
    data |= {} if previous is None else {"pu": previous}
    data |= {"b": [list(level) for level in bids], "a": [list(level) for level in asks]} | extra
    return line(local, f"{symbol.lower()}@depth@0ms", data)


def rest(local, last, bids, asks):
    message = {"lastUpdateId": last, "bids": bids, "asks": asks}
    return f"{1723161255000000000 + local} " + json.dumps(message, separators=(",", ":"))


SNAPSHOT = ([["99.90", "1.500"], ["99.80", "2.000"]], [["100.10", "3.000"]])


def test_binance_depth_rows(tmp_path):
    path = capture(
        tmp_path,
        depth(1, 3, 5, 2, [["99.90", "9.000"]]),
        trade(2),
        rest(3, 5, *SNAPSHOT),
        depth(4, 6, 9, 5, [["99.80", "0.000"]]),  # below the top: no row
        trade(5, maker=True),
        depth(6, 10, 11, 9, [["99.90", "0.000"], ["99.70", "1.000"]], [["100.00", "0.001"]]),
        ticker(7),
        depth(8, 15, 16, 14),  # a gap: both sides empty
        rest(9, 12, *SNAPSHOT),  # older than the stream
        rest(10, 16, *SNAPSHOT),
    )
    events = mm.load(path, instrument=COIN, quotes="depth")
    assert events.kind.tolist() == [TRADE, QUOTE, TRADE, QUOTE, QUOTE, QUOTE]
    q = events.quotes
    assert (q.local_time % 100).tolist() == [3, 6, 8, 10]
    assert q.bid.tolist() == [999, 997, NO_BID, 999]
    assert q.bid_size.tolist() == [1500, 1000, 0, 1500]
    assert q.ask.tolist() == [1001, 1000, NO_ASK, 1001]
    assert q.ask_size.tolist() == [3000, 1, 0, 3000]
    assert events.source["odd"] == {"gaps": 1, "older snapshots": 1}
    assert events.source["ignored"] == {"coin@bookTicker": 1}
    assert events.trades.side.tolist() == [1, -1]


def test_binance_depth_of_spot_counts_from_its_first_update(tmp_path):
    """Spot messages have no pu: the update before the first is the one that must have been seen."""
    path = capture(
        tmp_path,
        rest(1, 5, *SNAPSHOT),
        depth(2, 4, 7, None, [["99.90", "1.000"]]),
        depth(3, 8, 8, None, [["99.90", "2.000"]]),
        depth(4, 10, 11, None, [["99.90", "3.000"]]),
    )
    events = mm.load(path, instrument=COIN, quotes="depth")
    assert events.quotes.bid_size.tolist() == [1500, 1000, 2000, 0]
    assert events.source["odd"] == {"gaps": 1}


def test_binance_depth_in_pieces(tmp_path, monkeypatch):
    import mmcore.feeds.text

    rows = [rest(1, 5, *SNAPSHOT)]
    rows += [depth(i, i + 4, i + 4, i + 3, [["99.90", f"{i % 7}.000"]]) for i in range(2, 200)]
    path = capture(tmp_path, *rows)
    whole = mm.load(path, instrument=COIN, quotes="depth", cache=False).quotes
    monkeypatch.setattr(mmcore.feeds.text, "_BLOCK", 301)
    pieces = mm.load(path, instrument=COIN, quotes="depth", cache=False).quotes
    assert whole.bid_size.tolist() == pieces.bid_size.tolist()
    assert len(whole) == 199


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        ((depth(1, 1, 2, 0, [["1"]]),), r"line 1: .*: its levels are not pairs of price and size"),
        ((depth(1, 1, 2, 0).replace('"b"', '"x"'),), r"line 1: is no message about depth: it has no 'b'"),
        ((depth(1, 1, 2, 0), trade(2)), r"no snapshot that its depthUpdate messages join"),
        ((depth(1, 1, 2, 0, [["99.95", "1.000"]]),), r"line 1: price: '99.95' is not a multiple of 0.1"),
        ((depth(1, 1, 2, 0, [["99.9", "x"]]),), r"line 1: size: 'x' is not a decimal number"),
        ((depth(1, 1, 2, 0, [["0.0", "1"]]),), r"line 1: price: is not above 0"),
        ((depth(1, 1, "2", 0),), r'line 1: .*: its u is "2" and not a whole number'),
        ((depth(1, 1, 2, 0), depth(2, 2, 3, 2, symbol="OTHER")), r"line 2: a second symbol"),
        ((rest(1, 5, *SNAPSHOT),), r"no depthUpdate or trade message"),
        ((ticker(1), trade(2)[:-9]), r"line 2: is not a depthUpdate or trade message: its JSON is broken"),
    ],
)
def test_binance_depth_refusals_name_file_and_line(tmp_path, lines, what):
    with pytest.raises(InvalidArgument, match=what):
        mm.load(capture(tmp_path, *lines), format="binance", instrument=COIN, quotes="depth")


def test_binance_depth_of_several_symbols_is_refused(tmp_path):
    path = capture(tmp_path, depth(1, 1, 2, 0), depth(2, 1, 2, 0, symbol="OTHER"), rest(3, 2, *SNAPSHOT))
    with pytest.raises(Unsupported, match="do not say whose they are"):
        mm.load(path, instrument=COIN, symbol="COIN", quotes="depth")
    with pytest.raises(InvalidArgument, match="quotes must be one of bookTicker, depth, got 'book'"):
        mm.load(path, instrument=COIN, symbol="COIN", quotes="book")


# ---- CSV


def zstd(data):
    if sys.version_info >= (3, 14):
        from compression import zstd as module
    else:
        module = pytest.importorskip("backports.zstd")
    return module.compress(data, options={module.CompressionParameter.checksum_flag: 1})


def zipped(data, *names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names or ("rows.csv",):
            file.writestr(name, data)
    return out.getvalue()


HEAD = "time,bid,ask\n"
BAD = InvalidArgument


def csv_file(folder, text, name="rows.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_quotes_by_our_own_names(tmp_path):
    path = csv_file(
        tmp_path,
        "time,bid,ask,bid_size,ask_size,venue\n"
        "2024-08-08T12:00:00Z,99.99,100.01,5,7,N\n"
        "2024-08-08T12:00:00.123456789Z,,100.01,0,7,N\n"
        "2024-08-08 14:00:01+02:00,0,100.01,3,7,N\n"
        "2024-08-08T12:00:02,nan,100.01,3,7,N\n",
    )
    events = mm.load(path, instrument=STOCK)
    start = int(datetime(2024, 8, 8, 12, tzinfo=UTC).timestamp()) * 10**9
    assert (events.quotes.local_time - start).tolist() == [0, 123456789, 10**9, 2 * 10**9]
    assert events.quotes.bid.tolist() == [9999, NO_BID, NO_BID, NO_BID]
    assert events.quotes.bid_size.tolist() == [5, 0, 0, 0]
    assert events.quotes.ask.tolist() == [10001] * 4


def test_csv_trades_with_a_map(tmp_path):
    text = "px;qty;aggressor;ts\n100.005;3;BUY;1723118400123.5\n100;4;SELL;1723118400124\n"
    text += "99.9;1;;1723118400124\n"
    events = mm.load(
        csv_file(tmp_path, text),
        instrument=STOCK,
        columns={"time": "ts", "price": "px", "size": "qty", "side": "aggressor"},
        delimiter=";",
        time_format="ms",
    )
    t = events.trades
    assert t.local_time.tolist() == [1723118400123500000, 1723118400124000000, 1723118400124000000]
    assert (t.price.tolist(), t.subtick.tolist()) == ([10000, 10000, 9990], [500_000, 0, 0])
    assert t.side.tolist() == [1, -1, 0]
    assert len(events.quotes) == 0


def test_csv_of_both_kinds_in_file_order(tmp_path):
    text = (
        "what,local,exch,b,bs,a,as,p,n,s\n"
        "quote,1723118400000000005,1723118400000000001,99,1,101,2,,,\n"
        "trade,1723118400000000006,1723118400000000002,,,,,101,3,taker_buy\n"
        "quote,1723118400000000006,1723118400000000002,99,1,102,4,,,\n"
    )
    columns = dict(zip(("kind", "local_time", "exchange_time"), ("what", "local", "exch"), strict=True))
    columns |= {
        "bid": "b",
        "bid_size": "bs",
        "ask": "a",
        "ask_size": "as",
        "price": "p",
        "size": "n",
        "side": "s",
    }
    events = mm.load(
        csv_file(tmp_path, text), instrument=STOCK, columns=columns, sides={"taker_buy": 1, "taker_sell": -1}
    )
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE]
    assert events.trades.exchange_time.tolist() == [1723118400000000002]
    assert events.trades.side.tolist() == [1]
    assert events.quotes.ask.tolist() == [10100, 10200]
    renamed = csv_file(tmp_path, text.replace("quote,", "Quot,").replace("trade,", "Trad,"))
    kw = {"instrument": STOCK, "columns": columns, "sides": {"taker_buy": 1}}
    again = mm.load(renamed, kinds={"Quot": "quote", "Trad": "trade"}, **kw)
    assert again.kind.tolist() == events.kind.tolist()
    with pytest.raises(InvalidArgument, match="line 2: kind: 'Quot' is not one of"):
        mm.load(renamed, **kw)


@pytest.mark.parametrize(
    ("text", "time_format", "ns"),
    [
        ("1723118400", None, 1723118400 * 10**9),
        ("1723118400.000000001", None, 1723118400 * 10**9 + 1),
        ("1723118400.1", "s", 1723118400 * 10**9 + 10**8),
        ("1723118400001", None, 1723118400 * 10**9 + 10**6),
        ("1723118400000001", None, 1723118400 * 10**9 + 10**3),
        ("1723118400000000001", None, 1723118400 * 10**9 + 1),
        ("1723118400000001.5", "us", 1723118400 * 10**9 + 1500),
        ("20240808 120000065", "%Y%m%d %H%M%S%f", 1723118400 * 10**9 + 65 * 10**6),
        ("2024-08-08T12:00Z", None, 1723118400 * 10**9),
        ("2024-08-08 07:00:00.5-0500", None, 1723118400 * 10**9 + 5 * 10**8),
    ],
)
def test_csv_stamps(tmp_path, text, time_format, ns):
    path = csv_file(tmp_path, f"time,bid,ask\n{text},1,2\n")
    assert mm.load(path, instrument=STOCK, time_format=time_format).start_time == ns


def test_csv_seconds_of_a_day(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n34200.18960767,1,2\n")
    assert (
        mm.load(path, instrument=STOCK, date="1970-01-02").start_time == (86400 + 34200) * 10**9 + 189607670
    )


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("093000.5", "%H%M%S.%f"), ("09:30:00.5 AM", "%I:%M:%S.%f %p"), ("11:30:00.5+0200%", "%H:%M:%S.%f%z%%")],
)
def test_csv_times_of_a_day_by_a_pattern(tmp_path, text, pattern):
    path = csv_file(tmp_path, f"time,bid,ask\n{text},1,2\n")
    events = mm.load(path, instrument=STOCK, time_format=pattern, date="2024-08-08")
    assert events.start_time == 1723109400_500_000_000
    with pytest.raises(InvalidArgument, match=r"line 2: time: .* lies outside the years 1990 to 2199"):
        mm.load(path, instrument=STOCK, time_format=pattern)


@pytest.mark.parametrize(
    ("text", "time_format"),
    [
        ("2024-01-02T09:30:00Z", None),
        ("2024-01-02T09:30:00Z", "iso"),
        ("20240102 093000", "%Y%m%d %H%M%S"),
        ("02 093000", "%d %H%M%S"),
        ("2024-002 0930", "%Y-%j %H%M"),
    ],
)
def test_csv_stamps_that_say_their_day_take_no_date(tmp_path, text, time_format):
    """Added to its midnight, a stamp of 2024 would be one of 2078."""
    path = csv_file(tmp_path, f"time,bid,ask\n{text},1,2\n")
    with pytest.raises(InvalidArgument, match=r"rows\.csv: time: its stamps say their day") as refused:
        mm.load(path, instrument=STOCK, time_format=time_format, date="2024-01-02")
    assert refused.value.argument == "date"


@pytest.mark.parametrize(
    ("text", "time_format"),
    [("34200000", None), ("34200000", "s"), ("1723111200", None), ("34200000000", "ms"), ("-86401", "s")],
)
def test_csv_stamps_of_a_day_lie_about_it(tmp_path, text, time_format):
    """Milliseconds taken for seconds would be a year off, a stamp since the epoch fifty."""
    path = csv_file(tmp_path, f"time,bid,ask\n{text},1,2\n")
    with pytest.raises(InvalidArgument, match=f"line 2: time: '{text}' .* outside 2024-08-08, the day") as no:
        mm.load(path, instrument=STOCK, date="2024-08-08", time_format=time_format)
    assert no.value.argument == "time_format"


def test_csv_a_session_may_begin_on_the_evening_before_and_end_in_the_night_after(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n-25200,1,2\n0,1,2\n97200,1,2\n")
    times = mm.load(path, instrument=STOCK, date="2024-08-08").quotes.local_time
    assert ((times - 1723075200 * 10**9) // 10**9).tolist() == [-25200, 0, 97200]


def test_csv_a_fraction_after_whole_stamps_asks_for_the_time_format(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n1723111200,1,2\n1723111201.5,1,2\n")
    with pytest.raises(InvalidArgument, match=r"line 3: time: '1723111201.5' .* say its time_format") as no:
        mm.load(path, instrument=STOCK)
    assert no.value.argument == "time_format"
    assert mm.load(path, instrument=STOCK, time_format="s").end_time == 1723111201_500_000_000


def test_csv_without_a_header_and_gz_xz_whatever_the_name(tmp_path):
    text = b"1723118400,1.5,2\n1723118401,1.5,3\n"
    for name, data in (("a.csv", text), ("b.csv", gzip.compress(text)), ("c.dat", lzma.compress(text))):
        path = csv_file(tmp_path, data, name)
        events = mm.load(path, instrument=STOCK, header=False, columns={"time": 0, "bid": 1, "ask": 2})
        assert events.quotes.ask.tolist() == [200, 300]


def test_csv_float_noise_needs_the_named_policy(tmp_path):
    path = csv_file(tmp_path, "time,price,size\n1430438404,236.61000000000001,1.7885566900000001\n")
    coin = mm.Instrument("BTC", tick="0.01", lot="0.00000001")
    with pytest.raises(
        InvalidArgument, match=r"line 2: size: '1.78855669.*1' is not a multiple of 0.00000001"
    ):
        mm.load(path, instrument=coin)
    t = mm.load(path, instrument=coin, rounding="nearest").trades
    assert (t.price.tolist(), t.subtick.tolist(), t.size.tolist()) == ([23661], [0], [178855669])


def test_csv_rounding_of_quotes(tmp_path):
    path = csv_file(tmp_path, HEAD + "1723118400,1.005,2.005\n")
    with pytest.raises(InvalidArgument, match=r"line 2: bid: '1.005' is not a multiple of 0.01"):
        mm.load(path, instrument=STOCK)
    for rounding, bid in (("floor", 100), ("ceil", 101), ("nearest", 100)):
        assert mm.load(path, instrument=STOCK, rounding=rounding).quotes.bid.tolist() == [bid]


@pytest.mark.parametrize(("rounding", "size"), [("floor", 1), ("ceil", 2), ("nearest", 2)])
def test_csv_rounding_decides_sizes_off_the_lot(tmp_path, rounding, size):
    path = csv_file(
        tmp_path,
        "time,kind,bid,ask,bid_size,ask_size,price,size\n"
        "1723118400,quote,1,2,0.0018,0.003,,\n1723118401,trade,,,,,1,0.0018\n",
    )
    with pytest.raises(InvalidArgument, match=r"bid_size: '0\.0018' is not a multiple of 0\.001"):
        mm.load(path, instrument=COIN)
    events = mm.load(path, instrument=COIN, rounding=rounding)
    assert (events.quotes.bid_size.tolist(), events.quotes.ask_size.tolist()) == ([size], [3])
    assert events.trades.size.tolist() == [size]


@pytest.mark.parametrize(
    ("row", "rounding", "count"),
    [
        ("1,2,0.0004,1", "nearest", 1),
        ("1,2,0.0009,1", "floor", 1),
        ("0.04,2,1,1", "nearest", 1),
        ("0.04,2,0.0004,1", "nearest", 1),  # one side
        ("0.04,0.04,1,1", "floor", 2),
        ("0.04,2,1,1", "ceil", 0),
        ("0.04,2,0,1", "floor", 0),  # absent before
        (",2,0.0004,1", "floor", 0),
        ("0,2,0.0004,0", "floor", 0),
        ("-0.04,2,1,nan", "floor", 0),
    ],
)
def test_csv_sides_that_rounding_takes_away_are_counted(tmp_path, row, rounding, count):
    path = csv_file(tmp_path, f"time,bid,ask,bid_size,ask_size\n1723118399,1,2,1,1\n1723118400,{row}\n")
    events = mm.load(path, instrument=COIN, rounding=rounding)
    assert events.source["odd"] == ({"sides rounded away": count} if count else {})
    assert bool(events.quotes.two_sided[-1]) is (rounding == "ceil")


def test_csv_digits_of_trade_prices_beyond_a_millionth_of_a_tick_are_counted(tmp_path):
    prices = ("1.001234567899", "1.00123456", "157.80001234567", "1.000000000000000000000000000000001", "2.5")
    rows = "".join(f"{1723118400 + at},{price},1\n" for at, price in enumerate(prices))
    path = csv_file(tmp_path, "time,price,size\n" + rows)
    events = mm.load(path, instrument=STOCK)
    assert events.trades.subtick.tolist() == [123456, 123456, 1234, 0, 0]
    assert events.source["odd"] == {"trade prices cut to a millionth of a tick": 3}
    assert mm.load(path, instrument=STOCK, rounding="floor").source["odd"] == {}


@pytest.mark.parametrize(
    ("head", "columns", "where", "name", "at"),
    [
        ("time,bid,ask,bid", {}, {}, r"columns\['bid'\]", "1 and 3"),
        ("time,x,ask,x", {"bid": "x"}, {}, r"columns\['bid'\]", "1 and 3"),
        ("time,bid,ask,ask", {}, {}, r"columns\['ask'\]", "2 and 3"),
        ("EX,EX,bid,ask", {"time": 0}, {"EX": "5"}, "where", "0 and 1"),
    ],
)
def test_csv_a_column_named_twice_is_refused_where_it_is_read(tmp_path, head, columns, where, name, at):
    path = csv_file(tmp_path, f"{head}\n1723118400,5,6,7\n")
    with pytest.raises(
        InvalidArgument, match=f"rows.csv: {name}: 2 columns are called .*, at {at}: say"
    ) as no:
        mm.load(path, instrument=STOCK, columns=columns, where=where)
    assert no.value.argument == "columns"


def test_csv_of_two_columns_of_a_name_the_map_says_which(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask,bid\n1723118400,5,6,4\n")
    assert mm.load(path, instrument=STOCK, columns={"bid": 3}).quotes.bid.tolist() == [400]
    path = csv_file(tmp_path, "time,bid,ask,x,x\n1723118400,5,6,4,4\n")  # not read
    assert mm.load(path, instrument=STOCK).quotes.bid.tolist() == [500]


@pytest.mark.parametrize(
    ("columns", "shared", "names"),
    [
        ({"time": 0, "bid": 0, "ask": 2}, "0", "'time' and 'bid'"),
        ({"bid": "ask"} | {"ask": 2}, "2", "'bid' and 'ask'"),
        ({"local_time": "time", "exchange_time": "time"}, "'time'", "'local_time' and 'exchange_time'"),
        ({"bid_size": "n", "ask_size": "n"}, "'n'", "'bid_size' and 'ask_size'"),
    ],
)
def test_csv_a_column_has_one_meaning(tmp_path, columns, shared, names):
    path = csv_file(tmp_path, "time,bid,ask,n\n1723118400,5,6,7\n")
    with pytest.raises(
        InvalidArgument, match=rf"rows.csv: columns: {shared} stands for both {names}: name another"
    ) as no:
        mm.load(path, instrument=STOCK, columns=columns)
    assert no.value.argument == "columns"


def test_csv_quotes_and_trades_may_share_columns_and_a_kind_may_say_the_side(tmp_path):
    columns = {"kind": "what", "side": "what", "price": "p", "bid": "p", "size": "n", "bid_size": "n"}
    columns |= {"ask": "p2", "ask_size": "n2"}
    path = csv_file(tmp_path, "time,what,p,n,p2,n2\n1723118400,quote,5,6,7,8\n1723118401,hit,5,1,,\n")
    kinds = {"quote": "quote", "hit": "trade", "lift": "trade"}
    sides = {"hit": -1, "lift": 1}
    events = mm.load(path, instrument=STOCK, columns=columns, kinds=kinds, sides=sides)
    q, t = events.quotes, events.trades
    assert (q.bid.tolist(), q.bid_size.tolist(), q.ask_size.tolist()) == ([500], [6], [8])
    assert (t.price.tolist(), t.size.tolist(), t.side.tolist()) == ([500], [1], [-1])


def test_csv_a_header_that_is_nearly_ours_says_what_is_meant(tmp_path):
    path = csv_file(tmp_path, "Time,Bid,ASK\n1723118400,1,2\n")
    with pytest.raises(UnknownName, match=r"did you mean time=Time,bid=Bid,ask=ASK\?"):
        mm.load(path, instrument=STOCK)
    for delimiter in ";\t|":
        path = csv_file(tmp_path, "time,bid,ask\n1723118400,1,2\n".replace(",", delimiter))
        with pytest.raises(UnknownName, match=r"needs a time .* is .* the delimiter\?") as no:
            mm.load(path, instrument=STOCK)
        assert no.value.argument == "delimiter"
        assert mm.load(path, instrument=STOCK, delimiter=delimiter).quotes.ask.tolist() == [200]


def test_csv_negative_prices_only_where_the_instrument_has_them(tmp_path):
    path = csv_file(tmp_path, HEAD + "1723118400,-0.5,0\n")
    assert not mm.load(path, instrument=STOCK).quotes.two_sided.any()
    spread = mm.Instrument("A-B", tick="0.25", negative_prices=True)
    q = mm.load(path, instrument=spread).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([-2], [0])


def test_csv_rows_out_of_order(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n1723118402,1,2\n1723118401,1,3\n1723118401,1,4\n")
    with pytest.raises(InvalidArgument, match=r"rows.csv, line 3: time: earlier than the row before it"):
        mm.load(path, instrument=STOCK)
    assert mm.load(path, instrument=STOCK, sort=True).quotes.ask.tolist() == [300, 400, 200]


def test_csv_sorting_keeps_the_kinds_with_their_rows(tmp_path):
    text = "time,kind,bid,ask,price,size\n1723118402,q,1,2,,\n1723118401,t,,,5,6\n1723118401,q,1,3,,\n"
    events = mm.load(csv_file(tmp_path, text), instrument=STOCK, sort=True)
    assert events.kind.tolist() == [TRADE, QUOTE, QUOTE]
    assert events.quotes.ask.tolist() == [300, 200]


@pytest.mark.parametrize(
    ("text", "kw", "error", "what"),
    [
        ("", {}, InvalidArgument, r"rows.csv: is empty"),
        ("\n\n", {}, InvalidArgument, r"rows.csv: is empty"),
        (HEAD, {}, InvalidArgument, r"rows.csv: has no rows"),
        (
            "time,bid\n1,2\n",
            {},
            UnknownName,
            r"needs bid and ask, or price and size; its columns are time, bid: say",
        ),
        ("bid,ask\n1,2\n", {}, UnknownName, r"needs a time"),
        ("time,bid,ask,price,size\n", {}, UnknownName, r"needs kind, to tell its quotes from its trades"),
        ("time,kind,bid,ask\n", {}, UnknownName, r"needs bid, ask, price and size, since it has a kind"),
        ("time,bids,ask\n", {"columns": {"time": "time", "bid": "bid"}}, UnknownName, r"did you mean 'bids'"),
        (
            "time,bid,ask\n",
            {"columns": {"tme": "time"}},
            UnknownName,
            r"'tme' is not one of .* did you mean 'time'",
        ),
        (HEAD, {"columns": {"time": 3}}, UnknownName, r"no column 3; it has 3, counted from 0"),
        (HEAD + "1723118400,1,2\n\n1,2\n", {}, BAD, r"line 4: has 2 fields instead of 3"),
        (HEAD + "1723118400,x,2\n", {}, BAD, r"line 2: bid: 'x' is not a decimal number"),
        (HEAD + "1723118400,1e30,2\n", {}, OutOfBounds, r"line 2: bid: '1e30' is too large"),
        (
            "time,bid,ask\nyesterday,1,2\n",
            {},
            InvalidArgument,
            r"line 2: time: cannot tell what 'yesterday' is",
        ),
        (HEAD + "1723118400,1,2\n", {"time_format": "ms"}, BAD, r"line 2: .*1990 to 2199"),
        (
            "time,bid,ask\n1723118400000,1,2\n",
            {"time_format": "s"},
            BAD,
            r"line 2: time: '1723118400000' in 's' lies outside the years 1990 to 2199: is the unit right",
        ),
        (HEAD + "1723118400,1,2\n", {"time_format": "hours"}, InvalidArgument, r"time_format must be"),
        (HEAD + "1723118400,1,2\n", {"time_format": "digits"}, InvalidArgument, r"time_format must be"),
        (
            "time,bid,ask\n2024-13-01 00:00:00,1,2\n",
            {},
            InvalidArgument,
            r"line 2: .* not a stamp of the form iso",
        ),
        (
            "time,bid,ask\n2024-01-01 25:00:00,1,2\n",
            {},
            InvalidArgument,
            r"line 2: .* not a stamp of the form iso",
        ),
        (
            HEAD + "2024-01-01T00:00:00Z,1,2\n9999-12-31T23:59:59Z,1,2\n",
            {},
            InvalidArgument,
            r"rows.csv, line 3: time: '9999-12-31T23:59:59Z' in 'iso' lies outside the years 1990 to 2199",
        ),
        (HEAD + "0001-01-01 00:00:00,1,2\n", {}, BAD, r"line 2: time: .* outside the years 1990 to 2199"),
        (HEAD + "31.12.9999,1,2\n", {"time_format": "%d.%m.%Y"}, BAD, r"line 2: time: .* 1990 to 2199"),
        (HEAD + "1,1,2\n", {"time_format": "%Y%Y"}, BAD, r"line 2: .* not a stamp of the form %Y%Y"),
        (HEAD + "9999-12-31,1,2\n", {"time_format": "%Y-%m-%d"}, BAD, r"1990 to 2199"),
        (HEAD + "4000000000,1,2\n", {"date": "2199-01-01"}, BAD, r"line 2: time: .* outside 2199-01-01"),
        (
            HEAD + "34200,1,2\n",
            {"date": "9999-12-31"},
            InvalidArgument,
            r"date must be a day .* 1700 to 2200",
        ),
        (HEAD + "34200,1,2\n", {"date": 20240808}, InvalidArgument, r"date must be a day such as"),
        (HEAD + "1723118400,2e16,2\n", {}, BAD, r"line 2: bid: 2000000000000000000 ticks is beyond"),
        ("time,price,size\n1723118400,2e16,1\n", {}, BAD, r"line 2: price: .* ticks is beyond"),
        (HEAD, {"columns": ["time"]}, InvalidArgument, r"columns must be a mapping"),
        (HEAD, {"columns": {"time": None}}, InvalidArgument, r"columns\['time'\] must be a header text or a"),
        (HEAD, {"columns": {"time": 0.5}}, InvalidArgument, r"columns\['time'\] must be .* got 0.5"),
        (HEAD, {"columns": {0: 0}}, UnknownName, r"columns: 0 is not one of time"),
        (HEAD, {"delimiter": ""}, InvalidArgument, r"delimiter must be one character, got ''"),
        (HEAD, {"delimiter": None}, InvalidArgument, r"delimiter must be one character, got None"),
        (HEAD, {"header": np.array([1, 2])}, InvalidArgument, r"header must be True or False"),
        (HEAD, {"time_format": 5}, InvalidArgument, r"time_format must be"),
        (HEAD, {"sides": 5}, InvalidArgument, r"sides must be a mapping"),
        (HEAD, {"kinds": 5}, InvalidArgument, r"kinds must be a mapping"),
        (HEAD, {"kinds": {"x": []}}, InvalidArgument, r"kinds must be a mapping"),
        (HEAD, {"rounding": 5}, InvalidArgument, r"rounding must be one of"),
        (HEAD, {"sort": None}, InvalidArgument, r"sort must be True or False"),
        ("time,price,size\n1723118400,1,0\n", {}, BAD, r"line 2: size: is not above 0"),
        ("time,price,size\n1723118400,0,1\n", {}, BAD, r"line 2: price: is not above 0"),
        (
            "time,price,size\n1723118400,1,1.5\n",
            {},
            InvalidArgument,
            r"line 2: size: '1.5' is not a multiple of 1",
        ),
        ("time,price,size,side\n1723118400,1,1,x\n", {}, BAD, r"line 2: side: 'x' is not one of"),
        (
            "time,bid,ask,bid_size,ask_size\n1723118400,1,2,-1,1\n",
            {},
            InvalidArgument,
            r"bid size: is negative",
        ),
        (HEAD, {"sides": {"a": 2}}, InvalidArgument, r"sides must be a mapping to"),
        (HEAD, {"kinds": {"a": "q"}}, InvalidArgument, r"kinds must be a mapping to"),
        (
            "time,bid,ask\n",
            {"delimter": ";"},
            UnknownName,
            r"'delimter' is no option of the csv reader; it has",
        ),
        (HEAD, {"instrument": None}, InvalidArgument, r"rows.csv: .* tick and lot: it needs an instrument"),
        (HEAD, {"delimiter": ";;"}, InvalidArgument, r"delimiter must be one character, got ';;'"),
        ('time,bid,ask\n1723118400,"1,2\n', {}, BAD, r"line 2: a double quote is not closed"),
    ],
)
def test_csv_refusals_name_file_and_line(tmp_path, text, kw, error, what):
    with pytest.raises(error, match=what):
        mm.load(csv_file(tmp_path, text), **({"format": "csv", "instrument": STOCK} | kw))


@pytest.mark.parametrize(
    ("path", "kw", "what"),
    [
        (None, {}, "path must be a path, got None"),
        (b"rows.csv", {}, "path must be a path"),
        ("rows.csv", {"format": []}, "format must be one of lobster"),
        ("rows.csv", {"instrument": "XYZ"}, "instrument must be an Instrument or None, got 'XYZ'"),
        ("rows.csv", {"instrument": STOCK, "cache": np.array([])}, "cache must be True or False"),
        ("rows.csv", {"instrument": STOCK, "progress": 5}, "progress must be a function"),
        ("rows.csv", {"format": "binance", "symbol": 5}, "symbol must be a text or None, got 5"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_by_name(tmp_path, path, kw, what):
    csv_file(tmp_path, HEAD + "1723118400,1,2\n")
    with pytest.raises(InvalidArgument, match=what):
        mm.load(tmp_path / path if isinstance(path, str) else path, **kw)


def test_csv_lines_are_counted_across_pieces(tmp_path, monkeypatch):
    import mmcore.feeds.text

    rows = [f"{1723118400 + i},{i + 1},{i + 2}" for i in range(300)]
    rows[250] = "1723118650,x,1"
    monkeypatch.setattr(mmcore.feeds.text, "_BLOCK", 61)
    with pytest.raises(InvalidArgument, match="line 253: bid: 'x'"):
        mm.load(csv_file(tmp_path, "\ntime,bid,ask\n" + "\n".join(rows)), instrument=STOCK)
    rows[250] = "1723118650,1,1"
    path = csv_file(tmp_path, "\ntime,bid,ask\n" + "\n".join(rows))
    assert len(mm.load(path, instrument=STOCK)) == 300


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**12), st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 10**6)
        ),
        min_size=1,
        max_size=20,
    )
)
def test_csv_round_trip(tmp_path_factory, rows):
    rows = sorted(rows, key=lambda row: row[0])
    start = 1723118400 * 10**9
    text = "time,bid,ask,bid_size,ask_size\n"
    for time, bid, ask, size in rows:
        prices = f"{COIN.price(bid)},{COIN.price(ask)}"
        text += f"{start + time},{prices},{COIN.quantity(size)},{COIN.quantity(size)}\n"
    path = csv_file(tmp_path_factory.mktemp("csv"), text)
    q = mm.load(path, instrument=COIN, cache=False).quotes
    got = zip(q.local_time.tolist(), q.bid.tolist(), q.ask.tolist(), q.ask_size.tolist(), strict=True)
    assert [(t - start, *rest) for t, *rest in got] == rows


# ---- CSV: rows left out, numbers of rows, several files


def test_csv_where_keeps_rows_and_counts_the_others(tmp_path):
    text = "time,EX,bid,ask\n1723118400,N,1,2\n1723118401,P,1,3\n1723118402,T,1,4\n1723118403,P,1,5\n"
    path = csv_file(tmp_path, text)
    events = mm.load(path, instrument=STOCK, where={"EX": "N"})
    assert events.quotes.ask.tolist() == [200]
    assert events.source["ignored"] == {"EX = P": 2, "EX = T": 1}
    events = mm.load(path, instrument=STOCK, where={1: ["N", "T"]})
    assert (events.quotes.ask.tolist(), events.source["ignored"]) == ([200, 400], {"EX = P": 2})
    with pytest.raises(
        InvalidArgument, match=r"rows.csv: has no rows; left out: EX = P \(2\), EX = N \(1\), EX = T \(1\)"
    ):
        mm.load(path, instrument=STOCK, where={"EX": "Q"})
    with pytest.raises(UnknownName, match=r"no column 'EXX'; it has time, EX, bid, ask; did you mean 'EX'"):
        mm.load(path, instrument=STOCK, where={"EXX": "Q"})
    for wrong in (5, [5], None):
        with pytest.raises(InvalidArgument, match=r"where\['EX'\] must be a text, or several"):
            mm.load(path, instrument=STOCK, where={"EX": wrong})
    with pytest.raises(InvalidArgument, match="where must be a mapping"):
        mm.load(path, instrument=STOCK, where="EX=N")


def numbered(*ids, start=0):
    rows = [f"{1723118400 + start + i},{100 + i % 9},{i % 5 + 1},{n}" for i, n in enumerate(ids)]
    return "time,price,size,id\n" + "\n".join(rows) + "\n"


def test_csv_ids_show_what_is_missing_and_out_of_order(tmp_path):
    events = mm.load(csv_file(tmp_path, numbered(7, 8, 12, 11, 13)), instrument=STOCK)
    assert len(events.trades) == 5
    assert events.source["odd"] == {"missing ids": 2, "ids out of order": 1}
    assert events.source["ignored"] == {}


def test_csv_in_a_file_of_both_kinds_an_id_of_the_other_is_not_missing(tmp_path):
    rows = (
        "time,kind,bid,ask,price,size,id\n1,t,,,1,1,7\n2,q,1,2,,,8\n3,q,1,2,,,9\n4,t,,,1,1,10\n4,t,,,1,1,10\n"
    )
    events = mm.load(csv_file(tmp_path, rows), instrument=STOCK, time_format="s", date="2024-08-08")
    assert (len(events.quotes), len(events.trades)) == (2, 2)
    assert (events.source["odd"], events.source["ignored"]) == ({}, {"repeated ids": 1})


def test_csv_a_repeated_row_is_left_out_and_a_changed_one_refused(tmp_path):
    text = numbered(7, 8, 9)
    again = text.splitlines()[2]
    events = mm.load(csv_file(tmp_path, text.replace(again, f"{again}\n{again}")), instrument=STOCK)
    assert events.trades.price.tolist() == [10000, 10100, 10200]
    assert (events.source["ignored"], events.source["odd"]) == ({"repeated ids": 1}, {})
    changed = again.replace(",101,", ",102,")
    with pytest.raises(ConflictError, match=r"rows.csv, line 4: id 8 came again with another price"):
        mm.load(csv_file(tmp_path, text.replace(again, f"{again}\n{changed}")), instrument=STOCK)


def test_csv_of_several_files_that_overlap(tmp_path):
    """The rows that both files hold are older than the first file's last: told by their ids."""
    whole = numbered(*range(20, 32))
    rows = whole.splitlines(keepends=True)
    one = csv_file(tmp_path, "".join(rows[:9]), "one.csv")
    two = csv_file(tmp_path, "".join(rows[:1] + rows[6:]), "two.csv")
    alone = mm.load(csv_file(tmp_path, whole), instrument=STOCK, cache=False).trades
    done = []
    kw = {"instrument": STOCK, "cache": False}
    both = mm.load([one, two], progress=lambda at, total: done.append((at, total)), **kw)
    for name, column in alone.columns().items():
        assert column.tolist() == both.trades.columns()[name].tolist()
    assert both.source["ignored"] == {"repeated ids": 3}
    assert both.source["files"] == ["one.csv", "two.csv"]
    total = one.stat().st_size + two.stat().st_size
    assert done[-1] == (total, total)
    without = [
        csv_file(tmp_path, path.read_text().replace(",id", ",x"), f"no {path.name}") for path in (one, two)
    ]
    with pytest.raises(InvalidArgument, match=r"no two.csv, line 2: time: earlier"):
        mm.load(without, **kw)
    with pytest.raises(
        InvalidArgument, match=r"no two.csv: has the columns .*, one.csv time, price, size, id"
    ):
        mm.load([one, without[1]], **kw)


def test_csv_sorting_counts_what_moved(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n1723118402,1,2\n1723118401,1,3\n1723118403,1,4\n")
    assert mm.load(path, instrument=STOCK, sort=True).source["odd"] == {"rows out of order": 1}


def test_several_files_only_of_formats_that_come_split(tmp_path):
    paths = [capture(tmp_path, ticker(1), name=name) for name in ("a.gz", "b.gz")]
    with pytest.raises(InvalidArgument, match=r"a.gz: several files are read as one in the formats"):
        mm.load(paths, instrument=COIN)
    with pytest.raises(InvalidArgument, match="path must be a path, or several"):
        mm.load([])


# ---- Binance: public files

FUTURES_TRADES = """\
id,price,qty,quote_qty,time,is_buyer_maker
5266583935,61800.3,0.006,370.8018,1723161256322,false
5266583936,61800.2,0.250,15450.05,1723161256322,true
5266583938,61800.2,1,61800.2,1723161257000,True
"""
SPOT_AGGREGATED = """\
900,61800.30000000,0.00600000,11,12,1735689599999,False,True
901,0.00000000,0.00000000,-1,-1,1735689600000000,True,True
902,61800.20000000,0.25000000,13,13,1735689600000001,True,True
"""
FUTURES_TICKER = """\
update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time
5123107839020,61800.20,2.507,61800.30,2.510,1723161256313,1723161256319
5123107839777,61800.20,2.5,61800.30,0.000,1723161256319,1723161256321
"""


def test_binance_files_of_trades(tmp_path):
    for name, data in (
        ("BTCUSDT-trades-2024-08-08.zip", zipped(FUTURES_TRADES.encode())),
        ("BTCUSDT-trades-2024-08.csv", FUTURES_TRADES.partition("\n")[2].encode()),  # as of old: no header
    ):
        events = mm.load(csv_file(tmp_path, data, name))
        t = events.trades
        assert (t.price.tolist(), t.size.tolist()) == ([618003, 618002, 618002], [6, 250, 1000])
        assert t.side.tolist() == [1, -1, -1]
        assert t.local_time.tolist() == [1723161256322000000, 1723161256322000000, 1723161257000000000]
        assert events.instrument.name == "BTCUSDT"
        source = events.source
        assert (source["holds"], source["market"], source["clock"]) == ("trades", "futures", "exchange")
        assert source["odd"] == {"missing ids": 1}


def test_binance_files_of_aggregated_trades_across_the_change_to_microseconds(tmp_path):
    path = csv_file(tmp_path, SPOT_AGGREGATED, "COIN-aggTrades-2025-01-01.csv")
    coin = mm.Instrument("COIN", tick="0.01", lot="0.00001")
    events = mm.load(path, instrument=coin)
    assert events.trades.local_time.tolist() == [1735689599999000000, 1735689600000001000]
    assert events.trades.size.tolist() == [600, 25000]
    assert events.source["time_format"] == "ms, us"
    assert events.source["ignored"] == {"column 4 = -1": 1}
    assert events.source["odd"] == {"missing ids": 1}
    for symbol in ("COIN", "BTCUSDT"):  # known of futures, which have another grid
        path = csv_file(tmp_path, SPOT_AGGREGATED, f"{symbol}-aggTrades-2025-01-01.csv")
        with pytest.raises(InvalidArgument, match=rf"tick and lot of {symbol} \(spot\) are not") as refused:
            mm.load(path)
        assert refused.value.__notes__ == [f"pass instrument=Instrument({symbol!r}, tick=…, lot=…)"]


def test_binance_files_of_quotes(tmp_path):
    events = mm.load(csv_file(tmp_path, FUTURES_TICKER, "BTCUSDT-bookTicker-2024-08-08.csv"))
    q = events.quotes
    assert q.bid.tolist() == [618002, 618002]
    assert q.ask.tolist() == [618003, NO_ASK]
    assert q.local_time.tolist() == [1723161256313000000, 1723161256319000000]
    assert events.source["odd"] == {}  # update ids of one symbol are not consecutive
    wrong = FUTURES_TICKER.replace("61800.30,0.000", "-61800.30,0.001")
    with pytest.raises(InvalidArgument, match="line 3: ask: is not above 0"):
        mm.load(csv_file(tmp_path, wrong, "BTCUSDT-bookTicker-2024-08-08.csv"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("1,2,3\n", r"not trades, aggTrades or bookTicker .* has 3 columns, none of them true or false"),
        ("1,2,3,4,5,x\n", r"has 6 columns, none of them"),
        ("id,price\n", r"holds no rows"),
        ("", r"holds no rows"),
        ("id,price\nid,price\n", r"its first row, 'id,price', has 2 columns, none of them true"),
        (
            FUTURES_TRADES.replace("1723161256322,f", "17231612563,f"),
            r"line 2: time: '17231612563' lies outside",
        ),
        (
            FUTURES_TRADES.replace("e,true", "e,yes").replace(",true", ",yes"),
            r"line 3: side: 'yes' is not one",
        ),
        (FUTURES_TRADES.replace("0.250", "0"), r"line 3: size: is not above 0"),
    ],
)
def test_binance_files_refusals(tmp_path, text, what):
    with pytest.raises(InvalidArgument, match=what):
        mm.load(csv_file(tmp_path, text, "BTCUSDT-trades-2024-08-08.csv"))


def test_binance_files_of_two_kinds_are_refused(tmp_path):
    one = csv_file(tmp_path, FUTURES_TRADES, "BTCUSDT-trades-2024-08-08.csv")
    two = csv_file(tmp_path, FUTURES_TICKER, "BTCUSDT-bookTicker-2024-08-08.csv")
    with pytest.raises(InvalidArgument, match=r"holds bookTicker of futures, .* trades of futures"):
        mm.load([one, two])
    with pytest.raises(UnknownName, match="'symbol' is no option of the binance_files reader; it has none"):
        mm.load(one, symbol="BTCUSDT")


# ---- damage


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zipped, zstd])
def test_truncated_compression_is_refused(tmp_path, pack):
    rng = random.Random(1)
    text = "time,bid,ask\n" + "".join(f"{1723118400 + i},{rng.random():.2f},2\n" for i in range(5000))
    whole = pack(text.encode())
    for size in (len(whole) - 1, len(whole) // 2, 30):
        path = csv_file(tmp_path, whole[:size])
        with pytest.raises(CorruptError, match=r"rows.csv: damaged or cut short"):
            mm.load(path, instrument=STOCK)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, zipped, zstd])
def test_flipped_bits_in_compression_never_pass(tmp_path, pack):
    text = "time,bid,ask\n" + "".join(f"{1723118400 + i},1.{i % 90 + 10},2\n" for i in range(200))
    whole = pack(text.encode())
    right = mm.load(csv_file(tmp_path, whole), instrument=STOCK, cache=False).quotes
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        path = csv_file(tmp_path, bytes(data))
        try:
            got = mm.load(path, format="csv", instrument=STOCK, cache=False).quotes
        except (CorruptError, InvalidArgument, UnknownName):
            continue
        # Names and times in the packers' own headers are no data.
        for name, column in right.columns().items():
            assert column.tolist() == got.columns()[name].tolist()


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_quotes_stand_around_names_and_fields_alike(tmp_path, delimiter):
    out = io.StringIO()
    rows = [["Time, UTC", "bid", 'a "good" ask', "Note; long"], ["1723118400", "1.5", "2", 'a "note", b; c']]
    csv.writer(out, delimiter=delimiter).writerows(rows)
    path = csv_file(tmp_path, out.getvalue())
    for columns in ({"time": "Time, UTC", "ask": 'a "good" ask'}, {"time": 0, "ask": 2}):
        events = mm.load(path, instrument=STOCK, columns=columns, delimiter=delimiter, cache=False)
        assert (events.quotes.bid.tolist(), events.quotes.ask.tolist()) == ([150], [200])
    for kept, left in ((rows[1][3], 1), ("a note", 0)):
        where = {"Note; long": kept}
        options = {"columns": columns, "delimiter": delimiter, "where": where, "cache": False}
        if left:
            assert len(mm.load(path, instrument=STOCK, **options)) == left
        else:
            with pytest.raises(BAD, match=r'has no rows; left out: Note; long = a "note", b; c \(1\)'):
                mm.load(path, instrument=STOCK, **options)


def test_a_first_column_without_a_name_is_one(tmp_path):
    path = csv_file(tmp_path, "\ttime\tbid\task\n0\t1723118400\t1.5\t2\n")
    assert mm.load(path, instrument=STOCK, delimiter="\t").quotes.ask.tolist() == [200]


def test_the_wrong_delimiter_is_told_before_the_wrong_name(tmp_path):
    path = csv_file(tmp_path, "When;Bid;Ask\n1723118400;1.5;2\n")
    with pytest.raises(
        UnknownName, match=r"no column 'When'; its first line is one column.*is ';' the delimiter"
    ) as e:
        mm.load(path, instrument=STOCK, columns={"time": "When", "bid": "Bid", "ask": "Ask"})
    assert e.value.argument == "delimiter"


def test_texts_that_are_refused_stand_beside_those_that_were_given(tmp_path):
    path = csv_file(tmp_path, "time,price,size,side\n1723118400,1.5,2,buy\n")
    words = "side: 'buy' is not one of BUY, SELL: capitals and small letters count"
    with pytest.raises(BAD, match=words) as refused:
        mm.load(path, instrument=STOCK, sides={"BUY": 1, "SELL": -1})
    assert refused.value.argument == "sides"
    assert refused.value.__notes__ == ["pass sides={…}: the file's texts → +1, -1 or 0"]


def test_a_stamp_of_another_unit_is_told_however_large(tmp_path):
    path = csv_file(tmp_path, "time,bid,ask\n1723118400000,1.5,2\n")
    for options in ({"time_format": "s"}, {"date": "2024-08-08"}):
        with pytest.raises(
            BAD, match=r"line 2: time: '1723118400000' in 's' lies outside .* is the unit right"
        ):
            mm.load(path, instrument=STOCK, **options)


@pytest.mark.parametrize("pack", [zipped, zstd, lambda data: zstd(data[:25]) + zstd(data[25:])])
def test_zip_and_zstd_whatever_the_name(tmp_path, pack):
    path = csv_file(tmp_path, pack(b"time,bid,ask\n1723118400,1.5,2\n1723118401,1.5,3\n"))
    assert mm.load(path, instrument=STOCK).quotes.ask.tolist() == [200, 300]


def test_zstd_without_its_extra_says_what_to_install(tmp_path, monkeypatch):
    for module in ("backports", "backports.zstd", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"rows.csv: zstd needs .*\[zstd\]"):
        mm.load(csv_file(tmp_path, b"\x28\xb5\x2f\xfd" + b"0" * 20), instrument=STOCK)


def test_a_zip_of_several_files_or_an_encrypted_one_is_refused(tmp_path):
    path = csv_file(tmp_path, zipped(b"time,bid,ask\n", "a.csv", "b.csv"))
    with pytest.raises(InvalidArgument, match=r"rows.csv: a zip of 2 files \(a.csv, b.csv\)"):
        mm.load(path, instrument=STOCK)
    for members in ((), ("folder/",)):
        empty = csv_file(tmp_path, zipped(b"", *members) if members else b"PK\5\6" + bytes(18), "rows.zip")
        with pytest.raises(InvalidArgument, match=r"rows.zip: an empty zip: no file in it"):
            mm.load(empty, instrument=STOCK)
    data = bytearray(zipped(b"time,bid,ask\n"))
    for at in (6, data.index(b"PK\1\2") + 8):  # the flags, twice
        data[at] |= 1
    with pytest.raises(InvalidArgument, match=r"rows.csv: is encrypted"):
        mm.load(csv_file(tmp_path, bytes(data)), instrument=STOCK)


def test_a_zip_whose_file_has_no_name(tmp_path):
    nameless = zipped(b"time,bid,ask\n1723118400,1.5,2\n").replace(b"rows.csv", b"\0ows.csv")
    assert mm.load(csv_file(tmp_path, nameless, "rows.zip"), instrument=STOCK).quotes.ask.tolist() == [200]
    in_one_place = nameless.replace(b"\0ows.csv", b"rows.csv", 1)
    with pytest.raises(CorruptError, match=r"rows.zip: damaged or cut short \(File name in directory"):
        mm.load(csv_file(tmp_path, in_one_place, "rows.zip"), instrument=STOCK)


# ---- formats and the cache


def test_formats_are_told_apart(tmp_path):
    folder = tmp_path / "day"
    folder.mkdir()
    pair(folder)
    assert mm.load(folder).source["format"] == "lobster"
    assert mm.load(capture(tmp_path, ticker(1)), instrument=COIN).source["format"] == "binance"
    events = mm.load(csv_file(tmp_path, HEAD + "1723118400,1,2\n"), instrument=STOCK)
    assert events.source["format"] == "csv"
    events.save(tmp_path / "kept")
    assert mm.load(tmp_path / "kept").quotes.bid.tolist() == [100]
    words = "an event file holds its instrument and takes no options, got instrument: leave it out"
    with pytest.raises(InvalidArgument, match=words) as refused:
        mm.load(tmp_path / "kept", instrument=STOCK)
    assert refused.value.argument == "path"  # nothing that is to be said of the instrument would mend it
    words = "format must be one of lobster, .*, databento, nautilus, hftbacktest, csv, events, got 'parquet'"
    with pytest.raises(InvalidArgument, match=words):
        mm.load(tmp_path / "kept", format="parquet")
    for missing in (tmp_path / "nothing.csv", tmp_path / "no folder" / "nothing.csv"):
        with pytest.raises(FileNotFoundError, match="no such file or folder"):
            mm.load(missing)
    for there in (tmp_path / "row", tmp_path):  # not whole names of a pair
        with pytest.raises(FileNotFoundError, match="LOBSTER pair"):
            mm.load(there)


@pytest.mark.parametrize(
    ("pack", "unpack"), [(gzip, zlib.decompressobj(31)), (lzma, lzma.LZMADecompressor())]
)
def test_the_line_after_which_a_file_was_cut_is_told(tmp_path, pack, unpack):
    rng = random.Random(1)
    rows = [f"{1723118400 + n}.{rng.randrange(10**9):09d},{n % 8 + 1},99\n" for n in range(200_000)]
    whole = pack.compress((HEAD + "".join(rows)).encode())
    cut = whole[: len(whole) * 2 // 3]
    path = tmp_path / "rows.csv"
    path.write_bytes(cut)
    lines = unpack.decompress(cut).count(b"\n")
    assert lines > 100_000
    with pytest.raises(CorruptError, match=r"cut short after line ([\d,]+) ") as caught:
        mm.load(path, instrument=STOCK)
    told = int(re.search(r"after line ([\d,]+)", str(caught.value))[1].replace(",", ""))
    assert 0 <= lines - told <= 20_000  # the unpackers keep back their last piece


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", b'{"time": 1}'),
        ("data.orc", b"ORC\x00\xff"),
        ("table", b"ts,b,a\n1723118400,1,2\n"),
        ("notes.txt", b"time, bid and ask of a day\n"),
    ],
)
def test_an_unknown_format_is_not_taken_for_csv(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidArgument, match="unknown format; known are lobster") as caught:
        mm.load(path, instrument=STOCK)
    assert caught.value.argument == "format"
    assert all(word in str(caught.value) for word in ("lobster", "binance", "csv", "events", "column"))
    assert 'format="csv" and columns=' in caught.value.__notes__[0]


@pytest.mark.parametrize("end", ["", ".gz", ".xz", ".zip", ".zst", ".GZ"])
def test_packed_files_are_told_by_their_names(tmp_path, end):
    """What they hold is looked at whatever the name; the name alone says LOBSTER and CSV."""
    for kind, rows in (("message", MESSAGES), ("orderbook", BOOKS)):
        (tmp_path / f"XYZ_2012-06-21_34200000_57600000_{kind}_1.csv{end}").write_text(rows)
    if end.islower() or not end:  # the other of the pair is looked for in lower case
        assert mm.load(tmp_path).source["format"] == "lobster"
    path = tmp_path / f"rows.csv{end}"
    path.write_text("1723118400,1,2\n")
    with pytest.raises(UnknownName, match="needs a time"):  # asked for its columns, not for its format
        mm.load(path, instrument=STOCK)


def test_csv_is_told_by_its_name_its_header_or_its_options(tmp_path):
    text = "time,bid,ask\n1723118400,1,2\n"
    for name in ("rows.csv", "ROWS.CSV", "rows.csv.gz", "rows", "rows.txt"):
        (tmp_path / name).write_text(text)
        assert mm.load(tmp_path / name, instrument=STOCK).quotes.bid.tolist() == [100]
    (tmp_path / "rows").write_text(text.replace("time", "when").replace(",", ";"))
    events = mm.load(tmp_path / "rows", instrument=STOCK, delimiter=";", columns={"time": "when"})
    assert events.quotes.ask.tolist() == [200]


STAMP = "1723118400"


@pytest.mark.parametrize(
    ("header", "row", "columns", "quotes", "trades"),
    [
        # What is not mapped is found by its name: sizes, sides, kinds, prices.
        ("ts,bid,ask,bid_size,ask_size", f"{STAMP},1,2,3,4", {"time": "ts"}, [(100, 200, 3, 4)], []),
        ("time,px,size,side", f"{STAMP},1,3,buy", {"price": "px"}, [], [(100, 3, 1)]),
        ("time,kind,b,ask,price,size", f"{STAMP},q,1,2,,", {"bid": "b"}, [(100, 200, 1, 1)], []),
        # A column that is mapped has one meaning.
        ("time,bid,ask,size", f"{STAMP},1,2,3", {"price": "bid", "ask": "ask", "size": 3}, [], [(100, 3, 0)]),
        # Where only quotes or only trades are mapped, the file is read as such.
        ("time,b,a,price,size", f"{STAMP},1,2,9,9", {"bid": "b", "ask": "a"}, [(100, 200, 1, 1)], []),
        ("ts,bid,ask,p,size", f"{STAMP},1,2,9,7", {"time": "ts", "price": "p"}, [], [(900, 7, 0)]),
    ],
)  # fmt: skip
def test_a_map_of_some_columns_leaves_the_others_to_their_names(
    tmp_path, header, row, columns, quotes, trades
):
    events = mm.load(csv_file(tmp_path, f"{header}\n{row}\n"), instrument=STOCK, columns=columns)
    q, t = events.quotes, events.trades
    assert list(zip(q.bid, q.ask, q.bid_size, q.ask_size, strict=True)) == quotes
    assert list(zip(t.price, t.size, t.side, strict=True)) == trades


@pytest.mark.parametrize(
    ("columns", "local", "exchange"),
    [
        (None, 2, 3),  # both clocks by their names
        ({"local_time": "local_time"}, 2, 3),
        ({"time": "time"}, 1, 1),
        ({"exchange_time": "time"}, 2, 1),
    ],
)
def test_a_stamp_that_is_mapped_replaces_those_of_the_names(tmp_path, columns, local, exchange):
    text = "time,local_time,exchange_time,bid,ask\n1723118401,1723118402,1723118403,1,2\n"
    events = mm.load(csv_file(tmp_path, text), instrument=STOCK, columns=columns)
    assert int(events.quotes.local_time[0]) == (1723118400 + local) * 10**9
    assert int(events.quotes.exchange_time[0]) == (1723118400 + exchange) * 10**9


def test_a_second_load_does_not_parse(tmp_path, cache, monkeypatch):
    pair(tmp_path)
    first = mm.load(tmp_path)
    (kept,) = cache.iterdir()
    assert kept.name.startswith("XYZ_2012-06-21_")
    monkeypatch.setattr(lobster, "rows", None)
    second = mm.load(tmp_path)
    assert second.kind.tolist() == first.kind.tolist()
    assert second.source == first.source
    assert second.instrument == first.instrument


def test_the_cache_knows_what_it_was_made_from(tmp_path, cache):
    path = csv_file(tmp_path, HEAD + "1723118400,1,2\n")

    def bid(**kw):
        return mm.load(path, **({"instrument": STOCK} | kw)).quotes.bid.tolist()

    assert bid() == [100]
    assert bid(instrument=mm.Instrument("XYZ", tick="0.5")) == [2]
    assert bid(columns={"time": "time", "bid": "ask", "ask": "bid"}) == [200]
    assert len(list(cache.iterdir())) == 3
    assert bid(where={1: "1"}) == [100]
    with pytest.raises(UnknownName):  # a header text, not a place
        bid(where={"1": "1"})
    assert bid(where={1: "1", "ask": "2"}) == [100]
    assert len(list(cache.iterdir())) == 5
    stamp = path.stat()
    path.write_text(HEAD + "1723118400,3,2\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert bid() == [300]
    path.write_text(HEAD + "1723118400,4.0,2\n")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert bid() == [400]
    assert clear_cache() == 7
    assert list(cache.iterdir()) == []


def test_a_damaged_cache_is_passed_over(tmp_path, cache):
    path = csv_file(tmp_path, HEAD + "1723118400,1,2\n")
    mm.load(path, instrument=STOCK)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for data in (b"", whole[:100], whole[:-64] + b"x" * 64, b"garbage" * 100):
        kept.write_bytes(data)
        assert mm.load(path, instrument=STOCK).quotes.bid.tolist() == [100]
        assert kept.read_bytes() == whole  # made anew


def test_a_cache_that_cannot_be_written_is_passed_over(tmp_path, monkeypatch):
    path = csv_file(tmp_path, HEAD + "1723118400,1,2\n")
    monkeypatch.setenv("MMCORE_CACHE", str(path / "inside a file"))
    assert mm.load(path, instrument=STOCK).quotes.bid.tolist() == [100]


@pytest.mark.parametrize("when", ["opened", "written"])
def test_a_cache_whose_disk_is_full_is_passed_over(tmp_path, cache, monkeypatch, when):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def full(**_):
        if when == "opened":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return Full(tmp_path / "unnamed", "w+")

    monkeypatch.setattr("mmcore.feeds.table.tempfile.TemporaryFile", full)
    path = csv_file(tmp_path, HEAD + "1723118400,1,2\n")
    assert mm.load(path, instrument=STOCK).quotes.bid.tolist() == [100]
    assert len(list(cache.iterdir())) == 1  # the file itself fits
    with pytest.raises(OSError, match="No space left"):  # asked for
        mm.load(path, instrument=mm.Instrument("XYZ", tick="0.5"), spool=tmp_path)


def test_what_is_kept_is_mapped_at_once(tmp_path, cache):
    column = mm.load(csv_file(tmp_path, HEAD + "1723118400,1,2\n"), instrument=STOCK).quotes.bid
    while isinstance(column, np.ndarray):
        column = column.base
    assert isinstance(column.obj, mmap.mmap)
    assert [file.suffix for file in cache.iterdir()] == [".events"]


@pytest.mark.parametrize("value", ["", "0", "off", "OFF"])
def test_the_cache_can_be_turned_off(tmp_path, cache, monkeypatch, value):
    path = csv_file(tmp_path, HEAD + "1723118400,1,2\n")
    mm.load(path, instrument=STOCK, cache=False)
    assert list(cache.iterdir()) == []
    monkeypatch.setenv("MMCORE_CACHE", value)
    assert cache_folder() is None
    mm.load(path, instrument=STOCK)
    assert clear_cache() == 0


def test_the_cache_folder_of_each_platform(monkeypatch, tmp_path):
    monkeypatch.delenv("MMCORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    for platform, end in (
        ("linux", "xdg/mmcore"),
        ("darwin", "Library/Caches/mmcore"),
        ("win32", "local/mmcore/Cache"),
    ):
        monkeypatch.setattr("sys.platform", platform)
        assert cache_folder().as_posix().endswith(end)


def test_the_spread_weighted_by_time_of_a_long_sample(tmp_path):
    """A thousand quotes written as text, against Fractions made from the same text."""
    rng = random.Random(11)
    time, lines, total, span, last = 1723118400 * 10**9, [], Fraction(0), 0, None
    for _ in range(1000):
        bid = Decimal(rng.randrange(10_000, 20_000)).scaleb(-2)
        ask = bid + Decimal(rng.randrange(1, 50)).scaleb(-2)
        lines.append(f"{time},{bid},{ask}")
        if last is not None:
            total += last[1] * (time - last[0])
            span += time - last[0]
        last = (time, Fraction(ask - bid))
        time += rng.randrange(0, 10**9)
    path = csv_file(tmp_path, "time,bid,ask\n" + "\n".join(lines))
    spread = mm.load(path, instrument=STOCK).summary()["spread"]
    assert spread["time_weighted"] == pytest.approx(float(total / span * 100), rel=1e-12)
    assert np.isfinite(spread["mean"])


def test_binance_long_captures_are_read_in_pieces(tmp_path, monkeypatch):
    import mmcore.feeds.text

    rng = random.Random(3)
    lines = []
    for i in range(500):
        bid, maker = f"{rng.randrange(90, 95)}.{rng.randrange(10)}", rng.random() < 0.5
        lines.append(ticker(i, bid) if rng.random() < 0.7 else trade(i, maker=maker))
    path = capture(tmp_path, *lines)
    whole = mm.load(path, instrument=COIN, cache=False)
    monkeypatch.setattr(mmcore.feeds.text, "_BLOCK", 301)
    pieces = mm.load(path, instrument=COIN, cache=False)
    assert pieces.kind.tolist() == whole.kind.tolist()
    assert pieces.source == whole.source
    for a, b in ((whole.quotes, pieces.quotes), (whole.trades, pieces.trades)):
        for name, column in a.columns().items():
            assert column.tolist() == b.columns()[name].tolist()
    lines[400] = trade(400, price="1.x")
    with pytest.raises(InvalidArgument, match=r"line 401: price: '1.x' is not a decimal number"):
        mm.load(capture(tmp_path, *lines), instrument=COIN, cache=False)
