"""DBN: the samples against Databento's own decoder, and files of records made here."""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import CorruptError, Error, InvalidArgument, MissingExtra, Unsupported
from mmcore.events import NO_ASK, NO_BID, QUOTE, TRADE

dbn = pytest.importorskip("databento_dbn")
FUTURE = mm.Instrument("ESH1", tick="0.25")
START = 1609160400000000000
UNDEFINED = 2**63 - 1
MBP1, TRADES, MBO = (np.dtype(kind._dtypes) for kind in (dbn.MBP1Msg, dbn.TradeMsg, dbn.MBOMsg))
TICK = 250_000_000  # units of 1e-9
LAST, SNAPSHOT, BAD_STAMP = 128, 32, 8


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


@pytest.mark.realdata
@pytest.mark.parametrize("schema", ["mbp-1", "mbp-10", "tbbo", "trades"])
def test_samples_agree_with_the_decoder_of_databento(shared, schema):
    zstd = pytest.importorskip("backports.zstd") if sys.version_info < (3, 14) else None
    if zstd is None:
        from compression import zstd
    path = shared / f"data/dbn_format_samples/test_data.{schema}.v3.dbn.zst"
    decoder = dbn.DBNDecoder()
    decoder.write(zstd.decompress(path.read_bytes()))
    records = [record for record in decoder.decode() if hasattr(record, "action")]
    events = mm.load(path, instrument=FUTURE)
    assert len(records) == 2
    q, t = events.quotes, events.trades
    if schema != "trades":
        tops = [record.levels[0] for record in records]
        assert [bid * 250_000_000 for bid in q.bid.tolist()] == [top.bid_px for top in tops]
        assert [ask * 250_000_000 for ask in q.ask.tolist()] == [top.ask_px for top in tops]
        assert q.bid_size.tolist() == [top.bid_sz for top in tops]
        assert q.ask_size.tolist() == [top.ask_sz for top in tops]
    if schema in ("trades", "tbbo"):
        assert [price * 250_000_000 for price in t.price.tolist()] == [record.price for record in records]
        assert t.size.tolist() == [record.size for record in records]
        assert t.side.tolist() == [-1, -1]  # both "A": the seller came
        assert events.kind.tolist() == ([TRADE, TRADE] if schema == "trades" else [QUOTE, TRADE] * 2)
    rows = t if schema == "trades" else q
    assert rows.local_time.tolist() == [record.ts_recv for record in records]
    assert rows.exchange_time.tolist() == [record.ts_event for record in records]


@pytest.mark.realdata
def test_orders_of_a_book_that_is_not_known_make_no_quotes(shared):
    """The sample begins within a day: two cancels of orders that it does not hold."""
    events = mm.load(shared / "data/dbn_format_samples/test_data.mbo.v3.dbn.zst", instrument=FUTURE)
    assert len(events) == 0
    assert events.source["odd"] == {"orders before the first clear": 2}


def test_other_schemas_are_refused_by_name(tmp_path):
    with pytest.raises(Unsupported, match="the schema ohlcv-1s; read are trades, tbbo, mbp-1, mbp-10, mbo"):
        mm.load(write(tmp_path, b"", "ohlcv-1s"), instrument=FUTURE)


def records(dtype, *rows):
    made = np.zeros(len(rows), dtype)
    made["length"] = dtype.itemsize // 4
    made["rtype"] = {MBP1: 1, MBO: 160}.get(dtype, 0)
    made["instrument_id"], made["publisher_id"], made["side"], made["action"] = 5482, 1, b"N", b"A"
    for at, row in enumerate(rows):
        made["ts_recv"][at] = made["ts_event"][at] = START + at
        for name, value in row.items():
            made[name][at] = value
    return made.tobytes()


def book(bid, ask, bid_size=1, ask_size=1, **rest):
    return {"bid_px_00": bid, "ask_px_00": ask, "bid_sz_00": bid_size, "ask_sz_00": ask_size, **rest}


def metadata(schema):
    return bytes(
        dbn.Metadata(
            dataset="GLBX.MDP3",
            start=START,
            stype_in=dbn.SType.RAW_SYMBOL,
            stype_out=dbn.SType.INSTRUMENT_ID,
            schema=dbn.Schema(schema),
            symbols=["ESH1"],
            partial=[],
            not_found=[],
            mappings=[],
            version=3,
        ).encode()
    )


def write(folder, data, schema="mbp-1", name="day.dbn"):
    path = folder / name
    path.write_bytes(metadata(schema) + data)
    return path


def test_actions_and_undefined_prices(tmp_path):
    tick = 250_000_000
    data = records(
        MBP1,
        book(4 * tick, 5 * tick, 7, 9),
        book(4 * tick, 5 * tick, 7, 9, action=b"T", side=b"B", price=5 * tick, size=2),
        book(4 * tick, 5 * tick, 7, 9, action=b"F", side=b"A", price=5 * tick, size=2),
        book(4 * tick, UNDEFINED, 7, 0, action=b"M"),
        book(4 * tick, 5 * tick, 7, 9, action=b"N"),
        book(UNDEFINED, UNDEFINED, 0, 0, action=b"R"),
        book(4 * tick, 5 * tick, 7, 9, flags=4 | 8),
        book(4 * tick, 5 * tick, 0, 9),
        book(4 * tick, 5 * tick, action=b"T", side=b"N", price=5 * tick + tick // 2, size=1),
    )
    events = mm.load(write(tmp_path, data), instrument=FUTURE)
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE, QUOTE, QUOTE, QUOTE, TRADE]
    q, t = events.quotes, events.trades
    assert q.bid.tolist() == [4, 4, NO_BID, NO_BID, NO_BID]
    assert q.ask.tolist() == [5, NO_ASK, NO_ASK, NO_ASK, 5]
    assert (q.bid_size.tolist(), q.ask_size.tolist()) == ([7, 7, 0, 0, 0], [9, 0, 0, 0, 9])
    assert (t.price.tolist(), t.subtick.tolist(), t.side.tolist()) == ([5, 5], [0, 500_000], [1, 0])
    assert events.source["ignored"] == {"fills": 1, "no action": 1}
    assert events.source["odd"] == {"bad receive stamps": 1, "maybe bad book": 1}
    assert (events.source["clock"], events.source["schema"]) == ("local", "mbp-1")


def test_negative_prices_of_an_instrument_that_has_them(tmp_path):
    spread = mm.Instrument("X", tick="0.25", negative_prices=True)
    data = records(MBP1, book(-500_000_000, 0), book(0, 0, action=b"T", price=-250_000_000, size=1))
    events = mm.load(write(tmp_path, data), instrument=spread)
    assert (events.quotes.bid.tolist(), events.quotes.ask.tolist()) == ([-2], [0])
    assert events.trades.price.tolist() == [-1]


def test_records_of_other_kinds_are_counted_whatever_their_length(tmp_path, monkeypatch):
    import mmcore.feeds.databento

    other = bytes([20, 22]) + bytes(78)  # as long as ours
    short = bytes([6, 23]) + bytes(22)
    one = records(MBP1, book(250_000_000, 500_000_000))
    data = other + one + short + one + one + other
    for block in (1 << 15, 1):
        monkeypatch.setattr(mmcore.feeds.databento, "_RECORDS", block)
        events = mm.load(write(tmp_path, data), instrument=FUTURE)
        assert events.quotes.bid.tolist() == [1, 1, 1]
        assert events.source["ignored"] == {"records of type 22": 2, "records of type 23": 1}


@pytest.mark.parametrize(
    ("rows", "kw", "what"),
    [
        ([book(1, 5)], {}, "record 1: bid price: 1 is off the grid"),
        ([book(250_000_000, 250_000_001)], {}, "record 1: ask price: 250000001 is off the grid"),
        ([{"action": b"T", "price": UNDEFINED, "size": 1}], {}, "record 1: price: is undefined"),
        ([{"action": b"T", "price": 250_000_000}], {}, "record 1: size: is not above 0"),
        ([{"action": b"T", "price": -250_000_000, "size": 1}], {}, "record 1: price: is not above 0"),
        ([{}, book(-250_000_000, 250_000_000)], {}, "record 2: bid: is not above 0"),
        ([{}, book(250_000_000, 0)], {}, "record 2: ask: is not above 0"),
        ([{"action": b"T", "price": 1, "size": 1, "side": b"X"}], {}, "record 1: side: is not A, B or N"),
        ([{}, {"ts_recv": START - 1}], {}, "record 2: ts_recv: earlier than the record before"),
        ([{"ts_recv": 2**64 - 1}], {}, "record 1: a stamp that is undefined"),
        ([{}, {"instrument_id": 7}], {}, "instrument_id 5482 and 7: name one"),
        ([{}, {"publisher_id": 7}], {}, "publisher_id 1 and 7: name one"),
        ([{}], {"symbol": "NQ"}, "no symbol 'NQ'; it has none"),
        ([{}], {"venue": "X"}, "venue must be the number of a publisher"),
        ([{}], {"instrument": None}, "a DBN file does not say its tick"),
        ([{}], {"instrument": mm.Instrument("X", tick="1e-10")}, "instrument must be with a tick that is"),
    ],
)
def test_refusals_name_the_record(tmp_path, rows, kw, what):
    with pytest.raises(InvalidArgument, match=what):
        mm.load(write(tmp_path, records(MBP1, *rows)), **({"instrument": FUTURE} | kw))


def test_one_publisher_of_several(tmp_path):
    data = records(MBP1, book(250_000_000, 500_000_000), book(0, 0, 0, 0, publisher_id=7))
    events = mm.load(write(tmp_path, data), instrument=FUTURE, venue="1")
    assert (len(events), events.source["ignored"]) == (1, {"other venues": 1})


def test_without_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path, b"")
    monkeypatch.setitem(sys.modules, "databento_dbn", None)
    with pytest.raises(MissingExtra, match=r"\[databento\]"):
        mm.load(path, instrument=FUTURE)


def test_every_truncation_is_refused(tmp_path):
    data = records(TRADES, *[{"action": b"T", "price": 250_000_000, "size": 3}] * 3)
    path = write(tmp_path, data, "trades")
    whole = path.read_bytes()
    head = len(whole) - len(data)
    assert len(mm.load(path, instrument=FUTURE).trades) == 3
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size >= head and (size - head) % TRADES.itemsize == 0:
            assert (
                len(mm.load(path, format="databento", instrument=FUTURE)) == (size - head) // TRADES.itemsize
            )
            continue
        with pytest.raises(CorruptError):
            mm.load(path, format="databento", instrument=FUTURE)


def test_metadata_said_to_be_longer_than_the_file_take_no_memory(tmp_path):
    """A length of 4 GiB in a file of 12 bytes."""
    path = tmp_path / "day.dbn"
    path.write_bytes(b"DBN\x03" + b"\xff" * 8)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptError, match="cut short in its metadata"):
            mm.load(path, format="databento", instrument=FUTURE)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def refused_or_a_table(path, flips):
    """What a file with some bits flipped may be."""
    changed = bytearray(path.read_bytes())
    for place, bit in flips:
        changed[int(place * len(changed))] ^= 1 << bit
    path.write_bytes(changed)
    try:
        events = mm.load(path, format="databento", instrument=FUTURE, cache=False)
    except Error:
        return
    assert (np.diff(events.local_time) >= 0).all()


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=5))
def test_flipped_bits_are_refused_or_a_table(tmp_path_factory, flips):
    """DBN has no checksum of its own: a flip may be another number, never a crash."""
    data = records(MBP1, *[book(250_000_000, 500_000_000), {"action": b"T", "price": 10**9, "size": 3}] * 3)
    path = write(tmp_path_factory.mktemp("dbn"), data)
    refused_or_a_table(path, flips)


# ---- single orders


def order(action, number=0, side="N", price=UNDEFINED, size=0, flags=LAST, **rest):
    """Return a record of mbo; the price in ticks."""
    return {
        "action": action.encode(),
        "order_id": number,
        "side": side.encode(),
        "price": price if price == UNDEFINED else price * TICK,
        "size": size,
        "flags": flags,
        **rest,
    }


def by_order(folder, *rows, **options):
    return mm.load(write(folder, records(MBO, *rows), "mbo"), instrument=FUTURE, **options)


def test_a_day_of_orders(tmp_path):
    """Snapshot, a trade with its fill and cancel as one event, a change, a gap that could not be mended."""
    events = by_order(
        tmp_path,
        order("C", 7, "B", 4, 1),  # before anything is known
        order("R", flags=SNAPSHOT | BAD_STAMP),
        order("A", 1, "B", 10, 5, flags=SNAPSHOT | BAD_STAMP),
        order("A", 2, "B", 10, 3, flags=SNAPSHOT | BAD_STAMP),
        order("A", 3, "A", 12, 4, flags=SNAPSHOT | BAD_STAMP | LAST),  # 10 x 8, 12 x 4
        order("A", 4, "A", 14, 1),  # the top is as before
        order("T", 0, "B", 12, 3, flags=0),
        order("F", 3, "A", 12, 3, flags=0),
        order("C", 3, "A", 12, 3),  # 12 x 1
        order("M", 1, "B", 11, 2),  # 11 x 2
        order("M", 9, "A", 11, 7),  # not known: added; locks the market
        order("N"),
        order("C", 9, "A", 11, 7, flags=LAST | 4),  # maybe bad: nothing is to be quoted
        order("A", 5, "A", 15, 1),  # 11 x 2, 12 x 1 again
        order("R"),
    )
    q, t = events.quotes, events.trades
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE, QUOTE, QUOTE, QUOTE, QUOTE, QUOTE]
    assert (q.local_time - START).tolist() == [4, 8, 9, 10, 12, 13, 14]
    assert q.bid.tolist() == [10, 10, 11, 11, NO_BID, 11, NO_BID]
    assert q.bid_size.tolist() == [8, 8, 2, 2, 0, 2, 0]
    assert q.ask.tolist() == [12, 12, 12, 11, NO_ASK, 12, NO_ASK]
    assert q.ask_size.tolist() == [4, 1, 1, 7, 0, 1, 0]
    assert (t.price.tolist(), t.size.tolist(), t.side.tolist()) == ([12], [3], [1])
    assert events.source["ignored"] == {"fills": 1, "no action": 1}
    assert events.source["odd"] == {
        "bad receive stamps": 1,
        "maybe bad book": 1,
        "orders before the first clear": 1,
        "unknown orders modified": 1,
    }


@pytest.mark.parametrize("action", ["T", "F", "N"])
def test_a_book_that_may_be_bad_is_so_to_the_end_of_its_event_whatever_says_it(tmp_path, action):
    events = by_order(
        tmp_path,
        order("R"),
        order("A", 1, "B", 10, 5),
        order(action, 0, "A", 10, 1, flags=4),
        order("C", 1, "B", 10, 1, flags=LAST),
        order("A", 2, "B", 9, 1),
    )
    assert events.quotes.bid.tolist() == [10, NO_BID, 10]
    assert events.source["odd"] == {"maybe bad book": 1}


@pytest.mark.parametrize("name", ["ts_recv", "ts_event"])
def test_stamps_of_another_unit_are_refused(tmp_path, name):
    data = records(TRADES, {"action": b"T", "price": TICK, "size": 1, name: START // 1000})
    with pytest.raises(InvalidArgument, match=f"record 1: {name}: 1609160400000000 lies outside the years"):
        mm.load(write(tmp_path, data, "trades"), instrument=FUTURE)


def test_a_trade_that_ends_its_event_stands_before_the_quote(tmp_path):
    events = by_order(
        tmp_path,
        order("R"),
        order("A", 1, "B", 10, 5),
        order("C", 1, "B", 10, 5, flags=0),
        order("T", 0, "A", 10, 5),
    )
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE]
    assert events.quotes.two_sided.tolist() == [False, False]
    assert (events.quotes.local_time - START).tolist() == [1, 3]


def test_orders_that_do_not_fit_the_book_are_counted(tmp_path):
    events = by_order(
        tmp_path,
        order("R"),
        order("A", 1, "B", 10, 5),
        order("A", 1, "B", 9, 4),  # added twice: the later one counts
        order("C", 1, "B", 9, 6),  # more than it has
        order("C", 1, "B", 9, 1),  # gone already
    )
    assert events.quotes.bid.tolist() == [10, 9, NO_BID]
    assert events.source["odd"] == {"cancelled too much": 1, "orders added twice": 1, "unknown orders": 1}


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (order("X"), "action: is not A, C, M, R, T, F or N"),
        (order("A", 1, "N", 10, 1), "side: is not A or B"),
        (order("M", 1, "B", UNDEFINED, 1), "price: is undefined"),
        (order("A", 1, "B", 10, 1) | {"price": TICK + 1}, "price: is off the grid"),
        (order("A", 1, "B", 10, 1, flags=16), "flags: a price level, or a top, in the place of an order"),
        (order("A", 1, "B", 10, 1, flags=64 | LAST), "flags: a price level, or a top"),
        (order("A", 1, "B", -3, 1), "bid: is not above 0"),
    ],
)
def test_what_is_no_order_is_refused_with_its_record(tmp_path, row, what):
    with pytest.raises(InvalidArgument, match=f"record 2: {what}"):
        by_order(tmp_path, order("R"), row)


def test_a_size_off_the_lot_is_refused(tmp_path):
    path = write(tmp_path, records(MBO, order("R"), order("C", 1, "B", 10, 15)), "mbo")
    with pytest.raises(InvalidArgument, match="record 2: size: is off the grid"):
        mm.load(path, instrument=mm.Instrument("ESH1", tick="0.25", lot="10"))


def best(orders):
    """Return the top of a dict of orders: brute force."""
    sides = []
    for side, choose, none in (("B", max, NO_BID), ("A", min, NO_ASK)):
        price = choose((p for s, p, _ in orders.values() if s == side), default=none)
        sides += [price, sum(n for s, p, n in orders.values() if s == side and p == price)]
    return tuple(sides)


steps = st.tuples(
    st.sampled_from("AAACCMMTR"),
    st.integers(1, 6),
    st.sampled_from("AB"),
    st.integers(1, 8),
    st.integers(1, 5),
    st.booleans(),
)


@given(st.lists(steps, max_size=40), st.sampled_from([1, 3, 1 << 15]))
def test_the_top_is_that_of_all_orders_at_the_end_of_every_event(tmp_path_factory, found, block):
    """Random orders on eight prices, against a dict that is searched whole."""
    import mmcore.feeds.databento

    rows, orders, expected, told = [order("R")], {}, [], (NO_BID, 0, NO_ASK, 0)
    for at, (action, number, side, price, size, last) in enumerate(found, 1):
        rows.append(order(action, number, side, price, size, flags=LAST * last))
        if action == "R":
            orders.clear()
        elif action in "AM":
            orders[number] = (side, price, size)
        elif action == "C" and number in orders:
            s, p, n = orders.pop(number)
            if n > size:
                orders[number] = (s, p, n - size)
        if last and best(orders) != told:
            told = best(orders)
            expected.append((at, *told))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmcore.feeds.databento, "_RECORDS", block)
        events = by_order(tmp_path_factory.mktemp("mbo"), *rows, cache=False)
    q = events.quotes
    columns = (q.local_time - START, q.bid, q.bid_size, q.ask, q.ask_size)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected
    assert len(events.trades) == sum(row[0] == "T" for row in found)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=5))
def test_flipped_bits_of_orders_are_refused_or_a_table(tmp_path_factory, flips):
    rows = [order("R"), order("A", 1, "B", 10, 5), order("M", 1, "B", 11, 5), order("T", 0, "A", 11, 5)]
    rows.append(order("C", 1, "B", 11, 5))
    path = write(tmp_path_factory.mktemp("mbo"), records(MBO, *rows), "mbo")
    refused_or_a_table(path, flips)
