"""The event table: what it refuses, cuts that copy nothing, and a file that is whole or refused."""

import json
import math
import struct
import zlib
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mmcore as mm
from mmcore.errors import CorruptError, InvalidArgument
from mmcore.events import (
    HIDDEN,
    NO_ASK,
    NO_BID,
    QUOTE,
    TRADE,
    Events,
    Quotes,
    Trades,
    first_where,
    last_where,
    parts,
)

STOCK = mm.Instrument("XYZ", tick="0.01")
SPREAD = mm.Instrument("A-B", tick="0.25", negative_prices=True)


def table(name="a day", **kw):
    quotes = Quotes(
        [10, 20, 20, 40], [99, 100, NO_BID, 98], [101, 101, 102, NO_ASK], exchange_time=[1, 2, 3, 4]
    )
    trades = Trades([20, 30], [101, 98], [5, 7], side=[1, -1], subtick=[0, 500_000], flags=[0, HIDDEN])
    return Events(STOCK, None, quotes, trades, name=name, **kw)


def same(a, b):
    assert a.kind.tolist() == b.kind.tolist()
    for x, y in ((a.quotes, b.quotes), (a.trades, b.trades)):
        for name, column in x.columns().items():
            assert column.dtype == y.columns()[name].dtype
            assert column.tolist() == y.columns()[name].tolist()
    assert (a.instrument, a.name, a.clock_note, a.source) == (b.instrument, b.name, b.clock_note, b.source)


@st.composite
def tables(draw):
    def stamps(n):
        return np.sort(draw(hnp.arrays(np.int64, n, elements=st.integers(-(2**62), 2**62 - 1))))

    def column(n, low, high):
        return draw(hnp.arrays(np.int64, n, elements=st.integers(low, high)))

    n, m = draw(st.integers(0, 12)), draw(st.integers(0, 12))
    prices = {}
    for side, absent in (("bid", NO_BID), ("ask", NO_ASK)):
        missing = draw(hnp.arrays(np.bool_, n))
        prices[side] = np.where(missing, absent, column(n, -(2**60), 2**60))
        prices[f"{side}_size"] = np.where(missing, 0, column(n, 1, 2**62))
    quotes = Quotes(stamps(n), exchange_time=column(n, -(2**63), 2**63 - 1), **prices)
    trades = Trades(
        stamps(m),
        price=column(m, -(2**60), 2**60),
        size=column(m, 1, 2**63 - 1),
        side=column(m, -1, 1),
        subtick=column(m, 0, 999_999),
        flags=column(m, 0, 255),
    )
    name, note = draw(st.text(max_size=5)), draw(st.text(max_size=5))
    source = draw(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3), max_size=2))
    return Events(SPREAD, None, quotes, trades, name=name or None, clock_note=note, source=source)


# ---- the table


def test_rows_merge_by_stamp_and_trades_come_before_quotes_of_the_same_stamp():
    events = table()
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE, QUOTE, TRADE, QUOTE]
    assert events.local_time.tolist() == [10, 20, 20, 20, 30, 40]
    assert len(events) == 6
    assert (events.start_time, events.end_time, events.duration) == (10, 40, 30e-9)


@given(tables())
def test_merging_is_a_stable_sort(events):
    rows = [(int(t), 1) for t in events.quotes.local_time] + [(int(t), 0) for t in events.trades.local_time]
    assert events.kind.tolist() == [QUOTE if which else TRADE for _, which in sorted(rows)]
    assert all(a <= b for a, b in pairwise(events.local_time.tolist()))


def test_absent_sides_keep_out_of_the_sums():
    q = table().quotes
    assert q.mid2.tolist() == [200, 201, NO_BID, NO_BID]
    assert q.two_sided.tolist() == [True, True, False, False]
    assert (q.bid_size.tolist(), q.ask_size.tolist()) == ([1, 1, 0, 1], [1, 1, 1, 0])
    assert table().mid2 is not None


def test_crossed_and_locked_quotes_are_kept_and_counted():
    q = Quotes([1, 2, 3, 4], [100, 101, 102, NO_BID], [101, 101, 101, 101])
    summary = Events(STOCK, None, q).summary()
    assert (summary["crossed_quotes"], summary["locked_quotes"], summary["one_sided_quotes"]) == (1, 1, 1)
    assert "1 crossed quotes" in repr(Events(STOCK, None, q))


@given(tables())
def test_the_counts_of_the_summary_are_those_of_a_loop(events):
    said = events.summary()
    q = list(zip(*(column.tolist() for column in events.quotes.columns().values()), strict=True))
    t = list(zip(*(column.tolist() for column in events.trades.columns().values()), strict=True))
    assert said["repeated_quotes"] == sum(a[2:] == b[2:] for a, b in pairwise(q))
    assert said["duplicate_quotes"] == sum(a == b for a, b in pairwise(q))
    assert said["duplicate_trades"] == sum(a == b for a, b in pairwise(t))
    late = 0
    for rows in (q, t):
        late += sum(row[0] < max(before[0] for before in rows[: at + 1]) for at, row in enumerate(rows))
    assert said["late_exchange_stamps"] == late
    assert said["negative_latencies"] == sum(row[1] < row[0] for row in (*q, *t))
    stamps = events.local_time.tolist()
    assert said["equal_stamps"] == sum(a == b for a, b in pairwise(stamps))
    assert said["longest_silence"] == max((b - a for a, b in pairwise(stamps)), default=0) / 1e9
    trades = events.trades
    sizes = trades.size.tolist()
    assert said["volume"] == sum(sizes)
    assert said["sideless_trades"] == trades.side.tolist().count(0)
    if sizes:
        exact = [
            p + Fraction(s, 10**6)
            for p, s in zip(trades.price.tolist(), trades.subtick.tolist(), strict=True)
        ]
        mean = sum(p * n for p, n in zip(exact, sizes, strict=True)) / sum(sizes)
        assert abs(Fraction(said["vwap"]) - mean * Fraction(events.instrument.tick)) <= Fraction(
            1, 2 * 10**10
        )
        assert (said["low"], said["high"]) == (min(trades.price.tolist()), max(trades.price.tolist()))


def test_the_sums_of_the_summary_are_exact_beyond_int64():
    n, size, price = 5, 2**62, 2**60
    events = Events(STOCK, None, None, Trades([1] * n, [price] * n, [size] * n, subtick=999_999))
    said = events.summary()
    assert said["volume"] == n * size
    assert Fraction(said["vwap"]) == (price + Fraction(999_999, 10**6)) * Fraction("0.01")


def test_the_spread_of_the_summary():
    q = Quotes([0, 10, 40], [99, 98, 99], [101, 102, 100])
    assert Events(STOCK, None, q).summary()["spread"] == {
        "min": 1,
        "mean": 7 / 3,
        "time_weighted": (2 * 10 + 4 * 30) / 40,
        "max": 4,
    }


def test_the_summary_says_how_long_a_side_was_absent():
    """Trades at 0 and 200; quotes of 40, of 10 without a bid, and of both sides to the end."""
    q = Quotes([40, 100, 110], [99, NO_BID, 99], [101, 101, 101], bid_size=[1, 0, 1])
    t = Trades([0, 200], [99, 99], [1, 1])
    assert Events(STOCK, None, q, t).summary()["without_market"] == (40 + 10) / 200
    q = Quotes([0, 150], [99, NO_BID], [101, 101], bid_size=[1, 0])
    assert Events(STOCK, None, q, t).summary()["without_market"] == 50 / 200
    assert Events(STOCK, None, q[:1], t).summary()["without_market"] == 0
    assert Events(STOCK, None, None, t).summary()["without_market"] is None  # which has no quotes at all
    assert Events(STOCK, None, q[:1]).summary()["without_market"] is None  # and no time


def test_the_summary_says_its_units():
    coin = mm.Instrument("COIN", tick="0.10", lot="0.001")
    said = Events(coin, None, Quotes([0], [99], [101])).summary()
    assert (said["tick"], said["lot"]) == ("0.10", "0.001")


def test_columns_are_read_only():
    events = table()
    for column in (events.kind, events.quotes.bid, events.trades.price, events.mid2, events.local_time):
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


def test_integer_columns_are_taken_without_a_copy():
    time = np.arange(3, dtype=np.int64)
    assert np.shares_memory(Quotes(time, time + 1, time + 2).local_time, time)
    time[0] = -1  # the caller's own array stays writeable


@pytest.mark.parametrize(
    ("kw", "what"),
    [
        ({"bid": [1.0, 2.0]}, "bid must be an array of integers"),
        ({"bid": [1]}, r"bid must be as long as local_time \(2\), got 1"),
        ({"bid": [[1], [2]]}, "bid must be one-dimensional"),
        ({"bid": np.array([1, 2**63], dtype=np.uint64)}, r"bid\[1\] must be within the range of int64"),
        ({"ask": [9, 2**60 + 1]}, r"ask\[1\] must be within ±2\*\*60"),
        ({"bid_size": [1, 0]}, r"bid_size\[1\] must be > 0 lots where the side is present"),
        ({"bid_size": [1, -1]}, r"bid_size\[1\] must be > 0"),
        ({"bid": [NO_BID, 2], "bid_size": [1, 1]}, r"bid_size\[0\] must be"),
    ],
)
def test_wrong_quotes_are_refused(kw, what):
    good = {"local_time": [1, 2], "bid": [5, 5], "ask": [6, 6]}
    with pytest.raises(InvalidArgument, match=what):
        Quotes(**(good | kw))


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("instrument", None),
        ("instrument", "XYZ"),
        ("name", np.array([1, 2])),
        ("clock_note", None),
        ("source", 5),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_by_name(what, value):
    with pytest.raises(InvalidArgument, match=f"{what} must be a"):
        Events(**({"instrument": STOCK, "kind": None, "quotes": Quotes([1], [5], [6])} | {what: value}))


@pytest.mark.parametrize("column", [None, object(), {}, [[1], [1, 2]], Quotes([1], [5], [6]), [1.5], [None]])
def test_a_column_that_is_none_is_refused(column):
    with pytest.raises(InvalidArgument, match="local_time must be"):
        Quotes(column, [5], [6])


def test_an_empty_column_of_any_type_is_a_column_without_rows():
    for empty in ([], (), np.array([]), np.zeros(0, mm.FILL), np.array([], dtype=str)):
        assert len(Quotes(empty, empty, empty)) == 0


def test_a_span_beyond_int64_is_refused():
    """Its duration would wrap round; stamps alone may be any int64."""
    one, other = Quotes([-(2**63)], [5], [6]), Quotes([2**63 - 1], [5], [6])
    assert Events(STOCK, None, one).start_time == -(2**63)
    assert Events(STOCK, None, other).end_time == 2**63 - 1
    message = rf"local_time must be less than 2\*\*63 ns .* after the first stamp, {-(2**63)}, got 0"
    with pytest.raises(InvalidArgument, match=message):
        Events(STOCK, None, one, Trades([0], [5], [1]))


@pytest.mark.parametrize(
    ("kw", "what"),
    [
        ({"size": [1, 0]}, r"size\[1\] must be > 0 lots, got 0"),
        ({"size": [1, -5]}, r"size\[1\] must be > 0 lots, got -5"),
        ({"side": [1, 2]}, r"side\[1\] must be -1, 0 or \+1"),
        ({"side": [1, 300]}, r"side\[1\] must be within the range of int8"),
        ({"subtick": [0, 1_000_000]}, r"subtick\[1\]"),
        ({"subtick": [-1, 0]}, r"subtick\[0\]"),
        ({"flags": [-1, 0]}, r"flags\[0\]"),
        ({"price": [1.5, 2]}, "price must be an array of integers"),
    ],
)
def test_wrong_trades_are_refused(kw, what):
    good = {"local_time": [1, 2], "price": [5, 5], "size": [1, 1]}
    with pytest.raises(InvalidArgument, match=what):
        Trades(**(good | kw))


def test_contradictions_are_refused():
    q = Quotes([1, 3], [5, 5], [6, 6])
    t = Trades([2], [5], [1])
    with pytest.raises(InvalidArgument, match="kind names 1 quotes and 2 trades, but there are 2 and 1"):
        Events(STOCK, [1, 2, 2], q, t)
    with pytest.raises(InvalidArgument, match=r"kind\[1\] must be 1"):
        Events(STOCK, [1, 0, 1], q, t)
    with pytest.raises(InvalidArgument, match=r"local_time\[1\] must be no earlier"):
        Events(STOCK, [1, 1, 2], q, t)
    with pytest.raises(InvalidArgument, match=r"quotes.local_time\[0\]"):
        Events(STOCK, None, Quotes([3, 1], [5, 5], [6, 6]))
    with pytest.raises(InvalidArgument, match="quotes must be a Quotes"):
        Events(STOCK, None, t)
    with pytest.raises(InvalidArgument, match=r"quotes.bid\[1\] must be > 0"):
        Events(STOCK, None, Quotes([1, 2], [1, 0], [6, 6]))
    with pytest.raises(InvalidArgument, match=r"trades.price\[0\] must be > 0"):
        Events(STOCK, None, None, Trades([1], [-1], [1]))
    Events(SPREAD, None, Quotes([1, 2], [1, -1], [6, 0]), Trades([1], [-1], [1]))
    assert Events(STOCK, None, None, Trades([1], [0], [1], subtick=1)).trades.price.tolist() == [0]


def test_an_empty_table():
    events = Events(STOCK, None)
    assert len(events) == 0
    assert events.duration == 0
    assert "0 quotes, 0 trades" in repr(events)
    assert events._repr_html_()
    with pytest.raises(InvalidArgument, match="no start or end"):
        _ = events.start_time
    with pytest.raises(InvalidArgument):
        events.split(0.5)
    assert len(events.between(0, 10)) == 0


def test_columns_answer_to_names_not_to_rows():
    q = table().quotes
    with pytest.raises(InvalidArgument, match="slice"):
        q[0]
    with pytest.raises(TypeError, match="columns"):
        list(q)
    assert list(q.columns()) == ["exchange_time", "local_time", "bid", "ask", "bid_size", "ask_size"]


def test_html_is_escaped():
    html = table(name="<b>&", clock_note="<i>")._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert "<i>" not in html


# ---- cuts


@given(tables(), st.data())
def test_between_is_the_rows_of_those_stamps_and_shares_their_memory(events, data):
    stamps = events.local_time.tolist()
    ends = st.none() | st.integers(-(2**62), 2**62) | (st.sampled_from(stamps) if stamps else st.nothing())
    start, end = data.draw(ends), data.draw(ends)
    part = events.between(start, end)
    low, high = -(2**63) if start is None else start, 2**63 if end is None else end
    inside = [low <= t < high for t in stamps]
    assert part.kind.tolist() == [k for k, ok in zip(events.kind.tolist(), inside, strict=True) if ok]
    assert part.local_time.tolist() == [t for t, ok in zip(stamps, inside, strict=True) if ok]
    for of, whole in ((part.quotes, events.quotes), (part.trades, events.trades)):
        ok = [low <= t < high for t in whole.local_time.tolist()]
        for name, column in of.columns().items():
            assert column.tolist() == whole.columns()[name][ok].tolist()
            if len(column):
                assert np.shares_memory(column, whole.columns()[name])


@given(tables(), st.floats(0, 1))
def test_split_loses_nothing(events, fraction):
    if not len(events):
        return
    first, rest = events.split(fraction)
    assert first.kind.tolist() + rest.kind.tolist() == events.kind.tolist()
    assert first.local_time.tolist() + rest.local_time.tolist() == events.local_time.tolist()
    if len(first):
        assert first.end_time < rest.start_time  # rows of one stamp are never parted


def test_split_is_by_time_not_by_rows():
    q = Quotes([0, 1, 2, 3, 100], [1] * 5, [2] * 5)
    first, rest = Events(STOCK, None, q).split(0.5)
    assert (len(first), len(rest)) == (4, 1)
    with pytest.raises(InvalidArgument, match="fraction"):
        Events(STOCK, None, q).split(1.5)
    for wrong in (None, "0.5", [], 1j, math.nan, 10**400, np.array([1, 2])):
        with pytest.raises(InvalidArgument, match=r"fraction must be a number in \[0, 1\]"):
            Events(STOCK, None, q).split(wrong)
    assert [len(part) for part in Events(STOCK, None, q).split(np.float32(0.5))] == [len(first), len(rest)]
    with pytest.raises(InvalidArgument, match="path must be a path, got 1"):
        Events.load(1)  # no file descriptor
    with pytest.raises(InvalidArgument, match="start must be an integer of ns"):
        Events(STOCK, None, q).between(0.5, 3)


# ---- the file


@given(events=tables())
def test_save_and_load_give_back_every_bit(tmp_path_factory, events):
    path = tmp_path_factory.mktemp("events") / "table.events"
    events.save(path)
    same(Events.load(path), events)
    same(Events.load(path, verify=False), events)
    loaded = Events.load(path)
    loaded.save(path.with_name("again"))
    assert path.with_name("again").read_bytes() == path.read_bytes()


def test_a_cut_can_be_saved(tmp_path):
    part = table().between(20, 40)
    part.save(tmp_path / "part")
    same(Events.load(tmp_path / "part"), part)


def test_the_file_is_as_documented(tmp_path):
    events = table(clock_note="ok", source={"a": [1]})
    events.save(tmp_path / "f")
    data = (tmp_path / "f").read_bytes()
    magic, version, crc, length, size = struct.unpack_from("<8sIIQQ", data)
    assert (magic, version, size) == (b"MMEVENTS", 1, len(data))
    assert struct.unpack_from("<I", data, 60) == (zlib.crc32(data[:60]),)
    text = data[64 : 64 + length]
    assert zlib.crc32(text) == crc
    header = json.loads(text)
    body = (64 + length + 63) // 64 * 64
    assert [entry["name"] for entry in header["columns"]][:3] == [
        "kind",
        "quotes.exchange_time",
        "quotes.local_time",
    ]
    for entry in header["columns"]:
        at = body + entry["offset"]
        assert at % 64 == 0
        column = np.frombuffer(data, entry["dtype"], entry["length"], at)
        assert zlib.crc32(column.tobytes()) == entry["crc32"]
    bid = next(entry for entry in header["columns"] if entry["name"] == "quotes.bid")
    assert (
        np.frombuffer(data, "<i8", bid["length"], body + bid["offset"]).tolist() == events.quotes.bid.tolist()
    )


def test_every_flipped_bit_is_refused_or_harmless(tmp_path):
    """Only the zeros between columns may differ: they belong to nothing."""
    events = table()
    path = tmp_path / "f"
    events.save(path)
    whole = path.read_bytes()
    harmless = 0
    for at in range(len(whole)):
        data = bytearray(whole)
        data[at] ^= 1 << (at % 8)
        path.write_bytes(data)
        try:
            loaded = Events.load(path)
        except CorruptError:
            continue
        assert whole[at] == 0
        same(loaded, events)
        harmless += 1
    assert harmless < 64 * 15


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "f"
    table().save(path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            Events.load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(CorruptError, match="should have"):
        Events.load(path)


def test_a_newer_version_is_refused_by_name(tmp_path):
    path = tmp_path / "f"
    table().save(path)
    data = bytearray(path.read_bytes())
    data[8:12] = struct.pack("<I", 2)
    data[60:64] = struct.pack("<I", zlib.crc32(data[:60]))
    path.write_bytes(data)
    with pytest.raises(CorruptError, match="format 2 was written by a newer mmcore; this one reads up to 1"):
        Events.load(path)


def test_a_header_that_lies_is_refused(tmp_path):
    """With every checksum right: lengths, types and places that don't fit."""
    path = tmp_path / "f"
    table().save(path)
    whole = path.read_bytes()
    (length,) = struct.unpack_from("<Q", whole, 16)
    text = whole[64 : 64 + length]
    for old, new in (
        (b'"quotes.bid"', b'"quotes.bi_"'),
        (b'"dtype":"<i8"', b'"dtype":"<f8"'),
        (b'"length":4', b'"length":3'),
        (b'"offset":64', b'"offset":65'),
        (b'"columns"', b'"colums_"'),
        (b'"tick"', b'"tock"'),
        (b"{", b"["),
    ):
        assert old in text
        changed = text.replace(old, new)
        head = struct.pack("<8sIIQQ28x", b"MMEVENTS", 1, zlib.crc32(changed), len(changed), len(whole))
        path.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + changed + whole[64 + length :])
        with pytest.raises(CorruptError):
            Events.load(path, verify=False)


def test_not_such_a_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"time,bid,ask\n" * 20)
    with pytest.raises(CorruptError, match="not an event file"):
        Events.load(path)
    with pytest.raises(FileNotFoundError):
        Events.load(tmp_path / "none")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "f"
    table().save(path)
    before = path.read_bytes()
    with pytest.raises(InvalidArgument, match=r"source must be what JSON can hold .*got \{'a': <object"):
        table(source={"a": object()}).save(path)
    with pytest.raises(OSError, match=r"No such file|cannot find"):
        table().save(tmp_path / "no" / "f")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_mean_spread_shown_is_over_time_and_says_so():
    """Two rows of 10 ticks that last a moment do not outweigh one of 2 ticks that lasts."""
    s = 1_000_000_000
    quotes = mm.Quotes(local_time=[0, 8 * s, 9 * s, 10 * s], bid=[99, 99, 99, 99], ask=[101, 109, 109, 101])
    events = mm.Events(mm.Instrument("XYZ", tick="0.01"), None, quotes, clock_note="one clock: ours")
    assert "spread 2 to 10 ticks, mean 3.6 over time" in repr(events)
    assert repr(events).count("clock") == 1
    alone = mm.Events(mm.Instrument("XYZ", tick="0.01"), None, quotes[:1])
    assert "mean 2 over the quotes" in repr(alone)


@given(st.data(), st.integers(1, 9))
def test_rows_that_are_good_are_found_as_one_by_one(data, piece):
    good = np.array(
        data.draw(st.lists(st.sampled_from([False, False, False, True]), max_size=40)), dtype=bool
    )
    rows = np.array(data.draw(st.lists(st.integers(-1, len(good) - 1), max_size=12)), dtype=np.int64)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        found = last_where(lambda at: good[at], rows)
        first = first_where(lambda at: good[at], len(good))
    assert found.tolist() == [max((i for i in range(row + 1) if good[i]), default=-1) for row in rows]
    assert first == min(np.flatnonzero(good), default=-1)


@given(tables(), st.integers(1, 9))
def test_the_parts_of_a_table_are_its_rows_in_order(events, piece):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        found = list(parts(events))
    assert [n for n, _ in found] == [len(events.quotes[:n]) for n, _ in found]
    assert all(len(part) == piece for _, part in found[:-1])
    assert [k for _, part in found for k in part.kind.tolist()] == events.kind.tolist()
    assert [t for _, part in found for t in part.local_time.tolist()] == events.local_time.tolist()
    assert [s for _, part in found for s in part.trades.size.tolist()] == events.trades.size.tolist()
    for before, part in found:
        assert part.quotes.bid.tolist() == events.quotes.bid[before : before + len(part.quotes)].tolist()


def test_a_table_takes_the_place_of_an_event_file_and_of_no_other(tmp_path):
    path = tmp_path / "day"
    path.write_bytes(b"time,bid,ask\n1,2,3\n")
    with pytest.raises(
        InvalidArgument, match=r"path must be a new file or an event file: delete what is"
    ) as no:
        table().save(path)
    assert no.value.argument == "path"
    assert path.read_bytes() == b"time,bid,ask\n1,2,3\n"
    path.write_bytes(b"")
    for _ in range(2):
        table().save(path)
        assert len(mm.Events.load(path)) == len(table())
