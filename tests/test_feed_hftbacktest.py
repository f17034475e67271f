"""The npz files of hftbacktest: its events become the quotes and trades that they mean."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import CorruptError, InvalidArgument, Unsupported
from mmcore.events import NO_ASK, NO_BID, QUOTE, TRADE

COIN = mm.Instrument("COIN", tick="0.1", lot="0.001")
# As hftbacktest.types has it.
DTYPE = np.dtype(
    [(name, kind) for name, kind in zip(
        ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval"),
        ("u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"), strict=True)], align=True
)  # fmt: skip
EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
BOTH = EXCH | LOCAL
START = 1723118400 * 10**9


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


def write(folder, *rows, name="day.npz", start=START):
    data = np.zeros(len(rows), DTYPE)
    for at, (ev, local, px, qty) in enumerate(rows):
        data[at] = (ev, start + local - 1, start + local, px, qty, 0, 0, 0.0)
    path = folder / name
    np.savez_compressed(path, data=data)
    return path


def test_rows(tmp_path):
    path = write(
        tmp_path,
        (BOTH | 4 | BUY, 10, 9.9, 1.5),
        (BOTH | 4 | BUY, 10, 9.8, 2.0),
        (BOTH | 4 | SELL, 10, 10.1, 3.0),
        (EXCH | 1 | BUY, 11, 9.9, 7.0),  # the exchange's half of the row after the trade
        (BOTH | 2 | SELL, 20, 9.9, 0.25),
        (LOCAL | 1 | BUY, 20, 9.9, 0.0),
        (BOTH | 1 | BUY, 30, 9.7, 4.0),  # below the top: no quote
        (BOTH | 5 | SELL, 40, 10.3, 0.5),  # levels that were better are gone
        (BOTH | 3 | BUY, 50, 9.8, 0.0),
        (BOTH | 3, 60, 0.0, 0.0),  # everything
    )
    events = mm.load(path, instrument=COIN)
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE, QUOTE, QUOTE, QUOTE]
    q, t = events.quotes, events.trades
    assert (q.local_time - START).tolist() == [10, 20, 40, 50, 60]
    assert (q.exchange_time - START).tolist() == [9, 19, 39, 49, 59]
    assert (q.bid.tolist(), q.bid_size.tolist()) == ([99, 98, 98, 97, NO_BID], [1500, 2000, 2000, 4000, 0])
    assert (q.ask.tolist(), q.ask_size.tolist()) == ([101, 101, 103, 103, NO_ASK], [3000, 3000, 500, 500, 0])
    assert (t.price.tolist(), t.size.tolist(), t.side.tolist()) == ([99], [250], [-1])
    assert events.source["ignored"] == {"the exchange's half": 1}
    assert events.source["clock"] == "local"


def test_floats_are_the_grid_points_that_they_mean(tmp_path):
    """0.1 * 3 is 0.30000000000000004; int(0.29 * 100) is 28."""
    rows = [(BOTH | 2 | BUY, at, 0.1 * at, 0.001 * at) for at in range(1, 2000)]
    t = mm.load(write(tmp_path, *rows), instrument=COIN).trades
    assert t.price.tolist() == list(range(1, 2000)) == t.size.tolist()


@pytest.mark.parametrize(
    ("rows", "error", "what"),
    [
        ([(BOTH | 1 | BUY, 1, 9.95, 1.0)], InvalidArgument, r"row 1: px: 9.95 is not a multiple of 0.1"),
        ([(BOTH | 1 | BUY, 1, 9.9, 0.0005)], InvalidArgument, "row 1: qty: .* is not a multiple of 0.001"),
        (
            [(BOTH | 1 | BUY, 1, float("nan"), 1.0)],
            InvalidArgument,
            "row 1: px: nan is not a multiple of 0.1",
        ),
        ([(BOTH | 1 | BUY, 1, 1e300, 1.0)], InvalidArgument, "row 1: px: .*1e.300.* is not a multiple"),
        ([(BOTH | 1, 1, 9.9, 1.0)], InvalidArgument, "row 1: a level of neither side"),
        ([(BOTH | 1 | BUY, 1, 9.9, -1.0)], InvalidArgument, "row 1: size: is negative"),
        (
            [(EXCH | 1, 1, 0, 0), (BOTH | 1 | BUY, 1, 0.0, 1.0)],
            InvalidArgument,
            "row 2: price: is not above 0",
        ),
        ([(BOTH | 4 | SELL, 1, -9.9, 1.0)], InvalidArgument, "row 1: price: is not above 0"),
        ([(BOTH | 5 | SELL, 1, -9.9, 1.0)], InvalidArgument, "row 1: price: is not above 0"),
        ([(BOTH | 2 | BUY, 1, 9.9, 0.0)], InvalidArgument, "row 1: size: is not above 0"),
        ([(BOTH | 2 | BUY, 1, 0.0, 1.0)], InvalidArgument, "row 1: price: is not above 0"),
        (
            [(BOTH | 2 | BUY, 5, 9.9, 1.0), (EXCH | 1, 1, 0, 0), (BOTH | 2 | BUY, 4, 9.9, 1.0)],
            InvalidArgument,
            "row 3: local_ts: earlier than the row before it",
        ),
        ([(BOTH | 10 | BUY, 1, 9.9, 1.0)], Unsupported, "row 1: an event of a single order"),
    ],
)
def test_refusals_name_the_row(tmp_path, rows, error, what):
    with pytest.raises(error, match=what):
        mm.load(write(tmp_path, *rows), instrument=COIN)


@pytest.mark.parametrize(("start", "name"), [(START // 1000, "local_ts"), (631_152_000 * 10**9, "exch_ts")])
def test_stamps_of_another_unit_are_refused(tmp_path, start, name):
    path = write(tmp_path, (EXCH | 1, 0, 0, 0), (BOTH | 2 | BUY, 0, 9.9, 1.0), start=start)
    with pytest.raises(InvalidArgument, match=f"row 2: {name}: [0-9]+ lies outside the years 1990 to 2199"):
        mm.load(path, instrument=COIN)


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / "day.npz"
    np.savez(path, other=np.arange(3))
    for content in (path.read_bytes(), b"PK\3\4", b"", b"not a zip", path.read_bytes()[:-9]):
        path.write_bytes(content)
        with pytest.raises(CorruptError, match=r"day.npz: holds no events of hftbacktest"):
            mm.load(path, instrument=COIN)
    for shape in ((), (2, 2)):
        np.savez(path, data=np.zeros(shape, DTYPE))
        with pytest.raises(CorruptError, match=rf"holds no events .* \(an array of {len(shape)} dimensions"):
            mm.load(path, instrument=COIN)
    rows = np.zeros(2, [(name, "V3" if name == "ev" else kind) for name, (kind, _) in DTYPE.fields.items()])
    for data in (np.zeros(3), rows):  # no fields; bytes that are no number
        np.savez(path, data=data)
        with pytest.raises(CorruptError, match=r"day\.npz: holds no events of hftbacktest"):
            mm.load(path, instrument=COIN)
    np.savez(path, data=np.array([{}], dtype=object))  # what would be unpickled
    with pytest.raises(CorruptError):
        mm.load(path, instrument=COIN)
    with pytest.raises(InvalidArgument, match="it needs an instrument"):
        mm.load(write(tmp_path))


def test_every_truncation_is_refused(tmp_path):
    path = write(tmp_path, (BOTH | 2 | BUY, 1, 9.9, 1.0))
    whole = path.read_bytes()
    for size in range(0, len(whole), 3):
        path.write_bytes(whole[:size])
        with pytest.raises(CorruptError):
            mm.load(path, instrument=COIN)


PEER = Path(__file__).parents[1] / "build/peers/hftbacktest/bin/python"
CONVERT = """
import sys
from hftbacktest.data.utils import binancefutures
binancefutures.convert(sys.argv[1], output_filename=sys.argv[2], combined_stream=True)
"""


@pytest.mark.realdata
@pytest.mark.skipif(not PEER.exists(), reason="needs build/peers/hftbacktest: make peers")
def test_its_own_conversion_of_a_capture_has_our_trades_and_our_rebuilt_book(shared, tmp_path):
    """Two programs rebuild one book; theirs has moved the local stamps by the largest lag of the clock."""
    capture = shared / "data/binance_usdm/ethusdt_20240808.gz"
    subprocess.run([PEER, "-c", CONVERT, capture, tmp_path / "eth.npz"], check=True, capture_output=True)
    ours = mm.load(capture, quotes="depth")
    theirs = mm.load(tmp_path / "eth.npz", instrument=ours.instrument)
    for name in ("exchange_time", "price", "size", "side"):
        assert theirs.trades.columns()[name].tolist() == ours.trades.columns()[name].tolist()
    lag = theirs.trades.local_time - ours.trades.local_time
    assert set(lag.tolist()) == {-ours.source["latency"]["min"]}

    def tops(events, lag):
        q = events.quotes
        rows = zip(
            *(c.tolist() for c in (q.local_time - lag, q.bid, q.bid_size, q.ask, q.ask_size)), strict=True
        )
        return [row for row in rows if row[0] >= int(ours.quotes.local_time[0])]

    # Theirs publishes the snapshot with the next difference.
    assert tops(theirs, int(lag[0])) == tops(ours, 0)[1:]
