"""Parquet and Arrow: rows as any CSV has them, and Nautilus' ticks by their metadata."""

import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import CorruptError, Error, InvalidArgument, MissingExtra, UnknownName
from mmcore.events import NO_BID, QUOTE, TRADE

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
STOCK = mm.Instrument("XYZ", tick="0.01")
START = 1723118400 * 10**9
SCALE = "prices without the last decimals of their precision: is the scale right?"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


def write(folder, table, name="rows.parquet", **options):
    path = folder / name
    if name.endswith("parquet"):
        pq.write_table(table, path, **options)
    else:
        new = pa.ipc.new_stream if name.endswith("arrows") else pa.ipc.new_file
        with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as file:
            file.write_table(table, 5000)
    return path


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.parametrize("stamps", ["ns", "timestamp", "zoned"])
@pytest.mark.parametrize("prices", ["decimal", "float", "text"])
def test_columns_of_any_type_are_the_numbers_that_they_say(tmp_path, name, stamps, prices):
    times = [START + 1, START + 123456789, START + 10**9]
    column = {
        "ns": pa.array(times, pa.int64()),
        "timestamp": pa.array(times, pa.timestamp("ns")),
        "zoned": pa.array(times, pa.timestamp("ns", tz="UTC")),
    }[stamps]
    texts = ["0.29", "61700.10", None]
    bid = {
        "decimal": pa.array([text and Decimal(text) for text in texts], pa.decimal128(20, 4)),
        "float": pa.array([text and float(text) for text in texts], pa.float64()),
        "text": pa.array(texts, pa.string()),
    }[prices]
    table = pa.table({"time": column, "bid": bid, "ask": [70000, 70001, 70002], "venue": ["N", "N", "N"]})
    q = mm.load(write(tmp_path, table, name), instrument=STOCK).quotes
    assert q.local_time.tolist() == times
    assert q.bid.tolist() == [29, 6170010, NO_BID]  # int(0.29 * 100) is 28
    assert q.ask.tolist() == [7000000, 7000100, 7000200]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_columns_that_are_no_text_of_one_line_do_no_harm(tmp_path, name):
    table = pa.table(
        {
            "time": [START, START + 1],
            "levels": [[1, 2], []],
            "side": pa.array([{"a": 1}, None]),
            "bid": [1.01, None],
            "note": ["one\ntwo", None],
            "a\nb": pa.array(["\r\n", "c"], pa.large_string()),
            "class": pa.array(["x\ny", None]).dictionary_encode(),
            "raw": pa.array([b"x\ny", None]),
            "key": pa.array([b"x\ny", None], pa.binary(3)),
            "ask": pa.array(["1.02", "1.03"], pa.string() if name == "rows.parquet" else pa.string_view()),
        }
    )
    q = mm.load(write(tmp_path, table, name), instrument=STOCK).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([101, NO_BID], [102, 103])
    rows = mm.load(write(tmp_path, table, name), instrument=STOCK, where={"note": "one two"})
    assert len(rows) == 1


VIEWS = pa.DictionaryArray.from_arrays(
    pa.array([0, 1, None], pa.int8()), pa.array(["2", "3"]).cast("string_view")
)
DECIMALS = pa.array([Decimal("2"), Decimal("3"), None], pa.decimal128(9, 2)).dictionary_encode()
RUNS = pa.compute.run_end_encode(pa.array(["2", "3", None]))
BYTES = pa.array([b"2", b"3", None])


@pytest.mark.parametrize("name", ["rows.arrow", "rows.arrows"])
@pytest.mark.parametrize(
    "sizes",
    [
        VIEWS,
        DECIMALS,
        RUNS,
        BYTES,
        BYTES.cast(pa.binary_view()),
        BYTES.cast(pa.binary(1)),
    ],
    ids=lambda sizes: str(sizes.type),
)
def test_values_in_any_form_are_read(tmp_path, name, sizes):
    times = [START, START + 1, START + 2]
    table = pa.table(
        {"time": times, "bid": ["1.01"] * 3, "ask": ["1.02"] * 3, "bid_size": sizes, "ask_size": [1] * 3}
    )
    q = mm.load(write(tmp_path, table, name), instrument=STOCK).quotes
    assert q.bid_size.tolist() == [2, 3, 0]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
def test_places_count_the_columns_of_the_file_and_lists_are_refused_where_they_are_asked_for(tmp_path, name):
    table = pa.table({"t": [START], "levels": [[1.0]], "b": [1.0], "a": [2.0], "b2": [3.0], "a2": [4.0]})
    path = write(tmp_path, table, name)
    for bid, ask in [(2, 3), (4, 5)]:
        q = mm.load(path, instrument=STOCK, columns={"time": 0, "bid": bid, "ask": ask}).quotes
        assert (q.bid.tolist(), q.ask.tolist()) == ([100 * bid - 100], [100 * ask - 100])
    with pytest.raises(InvalidArgument, match=r"bid: .list<.*: double>. is not a decimal number"):
        mm.load(path, instrument=STOCK, columns={"time": "t", "bid": "levels", "ask": "a"})


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.parametrize("kind", ["time32[ms]", "time64[us]", "time64[ns]", "duration[s]", "duration[ns]"])
def test_times_of_day_count_from_the_midnight_of_the_date(tmp_path, name, kind):
    unit = kind[-3:-1].strip("[")
    ns = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}[unit]
    counts = [0, 1, 34_200 * 10**9 // ns + 7]
    whole = pa.array(counts, pa.int32() if "32" in kind else pa.int64())
    times = whole.cast(getattr(pa, kind.split("[")[0])(unit))
    path = write(tmp_path, pa.table({"time": times, "bid": [1.0] * 3, "ask": [1.01] * 3}), name)
    q = mm.load(path, instrument=STOCK, date="2024-08-08").quotes
    assert q.local_time.tolist() == [1723075200 * 10**9 + count * ns for count in counts]


def test_the_options_of_csv_serve(tmp_path):
    table = pa.table({"ts": [START, START, START + 5], "x": ["q", "t", "q"], "b": [1.5, None, 1.25],
                      "a": [2.0, None, 2.5], "p": [None, 1.75, None], "n": [None, 3, None]})  # fmt: skip
    columns = {"time": "ts", "kind": "x", "bid": "b", "ask": "a", "price": "p", "size": "n"}
    events = mm.load(write(tmp_path, table), instrument=STOCK, columns=columns)
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE]
    assert (events.quotes.bid.tolist(), events.trades.price.tolist()) == ([150, 125], [175])
    events = mm.load(write(tmp_path, table), instrument=STOCK, columns=columns, where={"x": "q"})
    assert (len(events), events.source["ignored"]) == (2, {"x = t": 1})
    with pytest.raises(UnknownName, match="no column 'tss'; it has ts, x, b, a, p, n"):
        mm.load(write(tmp_path, table), instrument=STOCK, columns={"time": "tss"})


def test_more_rows_than_a_batch(tmp_path):
    n = 50_000
    table = pa.table({"time": np.arange(n) + START, "price": np.arange(n) % 97 + 1, "size": np.arange(n) + 1})
    for name in ("rows.parquet", "rows.arrow"):
        t = mm.load(write(tmp_path, table, name), instrument=STOCK).trades
        assert t.size.tolist() == list(range(1, n + 1))
        assert t.price.tolist() == [(i % 97 + 1) * 100 for i in range(n)]


def scaled(values, power, width):
    return pa.array([int(Decimal(v).scaleb(power)).to_bytes(width, "little", signed=True) for v in values],
                    pa.binary(width))  # fmt: skip


def nautilus(columns, precision="2"):
    said = {"instrument_id": "XYZ.SIM", "price_precision": precision, "size_precision": "1"}
    stamps = {"ts_event": pa.array([START, START + 2], pa.uint64()), "ts_init": [START + 1, START + 3]}
    return pa.table(columns | stamps).replace_schema_metadata(said)


@pytest.mark.parametrize(("power", "width"), [(16, 16), (9, 8)])
def test_nautilus_ticks_by_their_metadata(tmp_path, power, width):
    quotes = nautilus(
        {name: scaled(values, power, width) for name, values in (
            ("bid_price", ["1.01", "0"]), ("ask_price", ["1.02", "1.03"]),
            ("bid_size", ["3.5", "0"]), ("ask_size", ["2", "1"]))}
    )  # fmt: skip
    for name in ("rows.parquet", "rows.arrow"):
        events = mm.load(write(tmp_path, quotes, name))
        q = events.quotes
        assert events.instrument == mm.Instrument("XYZ.SIM", tick="0.01", lot="0.1")
        assert (q.bid.tolist(), q.ask.tolist()) == ([101, NO_BID], [102, 103])
        assert (q.bid_size.tolist(), q.ask_size.tolist()) == ([35, 0], [20, 10])
        assert (q.local_time - START).tolist() == [1, 3]
        assert (q.exchange_time - START).tolist() == [0, 2]
        assert (events.source["format"], events.source["clock"]) == ("nautilus", "local")
    trades = nautilus(
        {"price": scaled(["1.015", "1.02"], power, width), "size": scaled(["1", "2"], power, width),
         "aggressor_side": pa.array([2, 1], pa.uint8()), "trade_id": ["a", "b"]}
    )  # fmt: skip
    t = mm.load(write(tmp_path, trades)).trades
    assert (t.price.tolist(), t.subtick.tolist(), t.side.tolist()) == ([101, 102], [500_000, 0], [-1, 1])


@pytest.mark.parametrize(
    ("prices", "asked"),
    [(["1.00", "1.25"], 0), (["1.50", "1.25"], 0), (["1.20", "1.30"], 2), (["0", "0"], 0)],
)
def test_only_prices_without_their_last_decimals_raise_the_question_of_the_scale(tmp_path, prices, asked):
    """A tick of 0.25 uses both decimals of its precision."""
    given = dict.fromkeys(("bid_price", "ask_price"), scaled(prices, 9, 8))
    table = nautilus(given | dict.fromkeys(("bid_size", "ask_size"), scaled(["1", "1"], 9, 8)))
    odd = {SCALE: 2 * asked} if asked else {}
    assert mm.load(write(tmp_path, table)).source["odd"] == odd


def test_nautilus_prices_below_0_are_refused_and_those_off_the_tick_told_with_their_scale(tmp_path):
    sizes = dict.fromkeys(("bid_size", "ask_size"), scaled(["1", "1"], 9, 8))
    for prices, scale, what in (
        (["1.01", "-1.02"], None, "line 3: bid: is not above 0"),
        (["1.01", "1.02"], "0.1", "line 2: bid: '1.010*' times 0.1 is not a multiple of 0.01"),
    ):
        table = nautilus(dict.fromkeys(("bid_price", "ask_price"), scaled(prices, 9, 8)) | sizes)
        with pytest.raises(InvalidArgument, match=what):
            mm.load(write(tmp_path, table), scale=scale)


def test_nautilus_prices_as_int64(tmp_path):
    values = [int(Decimal(text).scaleb(9)) for text in ("1.01", "-1.02")]
    table = nautilus(dict.fromkeys(("bid_price", "ask_price"), values) | {
        name: [10**9, 10**9] for name in ("bid_size", "ask_size")})  # fmt: skip
    spread = mm.Instrument("A-B", tick="0.01", negative_prices=True)
    q = mm.load(write(tmp_path, table), instrument=spread).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([101, -102], [101, -102])


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "wrong", "right"), [("eurusd", 114.605, 1.14605), ("usdjpy", 10967.6, 109.676)]
)
def test_nautilus_prices_that_are_a_hundred_times_too_big(shared, name, wrong, right):
    """The trap of the set: the documented scale makes 114.605 of 1.14605, and only the grid shows it."""
    path = shared / f"data/fx_quotes/quote_tick_{name}_2019_sim_rust.parquet"
    events = mm.load(path)
    assert float(events.instrument.price(int(events.quotes.bid[0]))) == wrong
    assert events.source["odd"] == {SCALE: 20_000}
    events = mm.load(path, scale="0.01")
    assert float(events.instrument.price(int(events.quotes.bid[0]))) == right
    assert events.source["odd"] == {}
    assert len(events.quotes) == 10_000
    assert events.summary()["spread"]["min"] == 1
    table = pq.read_table(path)
    assert events.quotes.local_time.tolist() == table["ts_init"].to_pylist()
    for side in ("bid", "ask"):
        raw = [int.from_bytes(value, "little", signed=True) for value in table[f"{side}_price"].to_pylist()]
        step = 10**16 * 100 // 10 ** int(table.schema.metadata[b"price_precision"])
        assert [price * step for price in getattr(events.quotes, side).tolist()] == raw


@pytest.mark.parametrize("scale", ["0", "2", "-0.1", "x", "nan"])
def test_a_scale_that_is_no_power_of_ten(tmp_path, scale):
    table = nautilus({"price": scaled(["1", "2"], 9, 8), "size": scaled(["1", "2"], 9, 8),
                      "aggressor_side": [0, 0]})  # fmt: skip
    with pytest.raises(InvalidArgument, match="scale must be a power of ten"):
        mm.load(write(tmp_path, table), scale=scale)
    with pytest.raises(InvalidArgument, match="its metadata do not say the instrument"):
        mm.load(write(tmp_path, nautilus({"price": [1, 2]}, precision="x")))


def test_without_the_extra(tmp_path, monkeypatch):
    path = write(tmp_path, pa.table({"time": [START]}))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"Parquet or Arrow needs .*\[parquet\]"):
        mm.load(path, instrument=STOCK)


@pytest.mark.parametrize("precision", ["x", "9" * 30, ""])
def test_a_precision_that_is_none(tmp_path, precision):
    price = scaled(["1.25", "1.5"], 16, 16)
    table = nautilus({"price": price, "size": price, "aggressor_side": [1, 2]}, precision)
    with pytest.raises(InvalidArgument, match="its metadata do not say the instrument"):
        mm.load(write(tmp_path, table), format="nautilus")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "rows.arrows"])
def test_every_truncation_is_refused(tmp_path, name):
    table = pa.table({"time": [START, START + 1], "bid": [1.0, 2.0], "ask": [3.0, 4.0]})
    if name == "rows.arrows":  # in batches, between which it may be cut
        table = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    path = write(tmp_path, table, name)
    whole = path.read_bytes()
    for size in range(0, len(whole), 4):
        path.write_bytes(whole[:size])
        with pytest.raises(Error):
            mm.load(path, format="csv", instrument=STOCK)
    path.write_bytes(whole[: len(whole) - 1])
    with pytest.raises(CorruptError, match=f"{name}: damaged or cut short"):
        mm.load(path, instrument=STOCK)


def test_rows_without_columns_are_damage(tmp_path):
    """A file of a kB may say that it has 10¹⁷ of them."""
    batch = pa.RecordBatch.from_struct_array(pa.array([{}] * 3, pa.struct([])))
    path = tmp_path / "rows.arrow"
    with pa.ipc.new_file(path, batch.schema) as file:
        file.write_batch(batch)
    with pytest.raises(CorruptError, match=r"rows.arrow: damaged or cut short .no columns"):
        mm.load(path, format="csv", instrument=STOCK)


def test_a_name_with_quotes_is_read(tmp_path):
    table = pa.table({'the "time", UTC': [1723118400], "bid": [1.5], "ask": [2.0]})
    path = write(tmp_path, table)
    events = mm.load(path, instrument=STOCK, columns={"time": 'the "time", UTC'})
    assert events.quotes.ask.tolist() == [200]


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow"])
@pytest.mark.parametrize("format", ["csv", "nautilus", None])
def test_a_name_that_is_no_text_is_damage(tmp_path, name, format):
    path = write(tmp_path, pa.table({"time": [START], "bid": [1.0], "ask": [3.0]}), name)
    path.write_bytes(path.read_bytes().replace(b"bid", b"b\xe9d"))
    with pytest.raises(CorruptError, match=f"{name}: damaged or cut short"):
        mm.load(path, format, instrument=STOCK)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.arrow", "rows.arrows"])
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
def test_flipped_bits_are_refused_or_a_table(tmp_path_factory, name, flips):
    table = pa.table({"time": [START, START + 1], "bid": [1.0, 2.0], "ask": [3.0, 4.0]})
    path = write(tmp_path_factory.mktemp("arrow"), table, name, write_page_checksum=True)
    whole = path.read_bytes()
    data = bytearray(whole)
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        q = mm.load(path, format="csv", instrument=STOCK, cache=False).quotes
    except Error:
        return
    assert len(q) <= 2
