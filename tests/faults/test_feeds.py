"""The rows of the list of faults that feeds must survive, one test each; the number is the row's.

Refused means: an error that names file and line, and nothing kept. Odd and kept means: counted.
"""

import json

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, OutOfBounds
from mmcore.events import NO_ASK, NO_BID
from mmcore.feeds import merge

STOCK = mm.Instrument("XYZ", tick="0.01")
COIN = mm.Instrument("COIN", tick="0.1", lot="0.001")
QUOTED = "time,bid,ask,bid_size,ask_size\n"
TRADED = "time,price,size,side\n"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


def write(folder, text, name="rows.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder, text, what, instrument=STOCK, **options):
    with pytest.raises((InvalidArgument, OutOfBounds), match=what):
        mm.load(write(folder, text), instrument=instrument, **options)


def test_row_2_sizes_of_nothing_and_below(tmp_path):
    refused(tmp_path, TRADED + "1723118400,1,5,buy\n1723118401,1,0,buy\n", "line 3: size: is not above 0")
    refused(tmp_path, TRADED + "1723118400,1,-5,sell\n", "line 2: size: is not above 0")
    refused(tmp_path, QUOTED + "1723118400,1,2,-1,1\n", "line 2: bid size: is negative")
    q = mm.load(write(tmp_path, QUOTED + "1723118400,1,2,0,1\n"), instrument=STOCK).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([NO_BID], [200])  # no size: no side


def test_row_3_negative_prices_only_where_the_instrument_has_them(tmp_path):
    trade = TRADED + "1587398400,-37.63,1,sell\n"  # crude oil on 20 April 2020
    refused(tmp_path, trade, "line 2: price: is not above 0")
    oil = mm.Instrument("CL", tick="0.01", negative_prices=True)
    assert mm.load(write(tmp_path, trade), instrument=oil).trades.price.tolist() == [-3763]
    quote = QUOTED + "1587398400,-37.65,-37.60,1,1\n"
    assert not mm.load(write(tmp_path, quote), instrument=STOCK).quotes.two_sided.any()
    q = mm.load(write(tmp_path, quote), instrument=oil).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([-3765], [-3760])


def test_row_4_a_price_of_zero(tmp_path):
    refused(tmp_path, TRADED + "1723118400,0,5,buy\n", "line 2: price: is not above 0")
    events = mm.load(
        write(tmp_path, QUOTED + "1723118400,0,2,7,1\n1723118401,1,0.00,1,7\n"), instrument=STOCK
    )
    q = events.quotes
    assert (q.bid.tolist(), q.bid_size.tolist()) == ([NO_BID, 100], [0, 1])
    assert (q.ask.tolist(), q.ask_size.tolist()) == ([200, NO_ASK], [1, 0])
    assert events.summary()["one_sided_quotes"] == 2


def test_row_5_crossed_and_locked_quotes_are_kept_counted_and_not_quoted_into(tmp_path):
    text = QUOTED + "1723118400,1,3,1,1\n1723118401,2,1,1,1\n1723118402,2,2,1,1\n1723118403,1,3,1,1\n"
    events = mm.load(write(tmp_path, text), instrument=STOCK)
    said = events.summary()
    assert (said["crossed_quotes"], said["locked_quotes"], said["spread"]["min"]) == (1, 1, -100)
    quoter = mm.Quoter(mm.Affine(base=1.0, q_max=10), STOCK)
    q = events.quotes
    crossed = quoter.quote(150.0, 0, bid=int(q.bid[1]), ask=int(q.ask[1]))
    assert (tuple(crossed), crossed.why.name) == ((None, None), "CROSSED")
    locked = quoter.quote(200.0, 0, bid=int(q.bid[2]), ask=int(q.ask[2]))
    assert locked.bid < locked.ask


def test_row_6_the_sentinels_of_feeds_are_absent_sides(tmp_path):
    write(tmp_path, "34200.1,1,1,5,10000,1\n34200.2,3,1,5,10000,1\n", "XYZ_2012-06-21_1_2_message_1.csv")
    write(
        tmp_path, "9999999999,0,10000,5\n9999999999,0,-9999999999,0\n", "XYZ_2012-06-21_1_2_orderbook_1.csv"
    )
    q = mm.load(tmp_path).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([100, NO_BID], [NO_ASK, NO_ASK])
    assert q.mid2.tolist() == [NO_BID, NO_BID]
    quoter = mm.Quoter(mm.Affine(base=1.0, q_max=10), STOCK)
    assert tuple(quoter.quote(float("nan"), 0)) == (None, None)


def test_row_7_trades_off_the_tick_keep_the_rest_and_quotes_need_a_policy(tmp_path):
    t = mm.load(write(tmp_path, TRADED + "1723118400,223.825,1,buy\n"), instrument=STOCK).trades
    assert (t.price.tolist(), t.subtick.tolist()) == ([22382], [500_000])
    quote = QUOTED + "1723118400,1.005,2.00,1,1\n"
    refused(tmp_path, quote, r"line 2: bid: '1.005' is not a multiple of 0.01")
    for rounding, bid in (("floor", 100), ("ceil", 101), ("nearest", 100)):
        q = mm.load(write(tmp_path, quote), instrument=STOCK, rounding=rounding).quotes
        assert q.bid.tolist() == [bid]


@pytest.mark.parametrize("stamp", ["0", "-1723118400", "172311840", "17231184000", "9300000000000000000"])
def test_row_14_a_stamp_that_is_none_of_its_units(tmp_path, stamp):
    what = r"line 3: time: .*(lies outside the years 1990 to 2199|is too large)"
    refused(tmp_path, QUOTED + f"1723118400,1,2,1,1\n{stamp},1,2,1,1\n", what)


@pytest.mark.parametrize(
    ("unit", "text"), [("ms", "1723118400"), ("s", "1723118400000"), ("ns", "1723118400000")]
)
def test_row_14_a_unit_that_is_wrong(tmp_path, unit, text):
    refused(
        tmp_path, QUOTED + f"{text},1,2,1,1\n", r"line 2: time: .*(years 1990|too large)", time_format=unit
    )


def test_row_14_the_year_2262(tmp_path):
    refused(
        tmp_path, QUOTED + "2262-04-11T23:47:16.854775807Z,1,2,1,1\n", "line 2: time: .* years 1990 to 2199"
    )
    capture = '9223372036854775808 {"u":1,"s":"COIN","b":"1.0","B":"1","a":"1.1","A":"1"}\n'
    refused(
        tmp_path, capture, "line 1: local stamp .* outside the years 1990 to 2199", COIN, format="binance"
    )


def test_row_14_binance_changed_from_ms_to_us_within_a_file(tmp_path):
    rows = [
        f"{i},100.0,1,100.0,{stamp},true,True" for i, stamp in enumerate((1735689599999, 1735689600000001))
    ]
    path = write(tmp_path, "\n".join(rows) + "\n", "COIN-trades-2025-01.csv")
    events = mm.load(path, instrument=COIN)
    assert events.trades.local_time.tolist() == [1735689599999000000, 1735689600000001000]
    assert events.source["time_format"] == "ms, us"


def test_row_15_a_local_clock_behind_the_exchange(tmp_path):
    """Told, not corrected; and trades by exchange stamps are not merged with it unless it is said how."""

    def line(local, stamp):
        data = {
            "e": "bookTicker",
            "u": 1,
            "s": "COIN",
            "b": "9.9",
            "B": "1",
            "a": "10.0",
            "A": "1",
            "T": stamp,
        }
        return f"{local} " + json.dumps({"stream": "coin@bookTicker", "data": data})

    path = write(tmp_path, line(1723161255000000000, 1723161256270) + "\n", "capture")
    ours = mm.load(path, instrument=COIN)
    assert "the local clock runs 1.270 s behind the exchange's" in ours.clock_note
    assert ours.source["latency"]["median"] == -1_270_000_000
    rows = "1,10.0,1,10.0,1723161256271,true\n"
    theirs = mm.load(write(tmp_path, rows, "COIN-trades-2024-08-08.csv"), instrument=COIN)
    with pytest.raises(InvalidArgument, match="COIN are local, those of COIN exchange: say by clock="):
        merge(ours, theirs)
    both = merge(ours, theirs, clock="exchange")
    assert both.local_time.tolist() == [1723161256270000000, 1723161256271000000]


def depth_capture(*messages):
    lines = []
    for at, (previous, last, bids) in enumerate(messages):
        if previous is None:
            message = {"lastUpdateId": last, "bids": bids, "asks": [["10.0", "1.000"]]}
        else:
            message = {"e": "depthUpdate", "s": "COIN", "T": 1723161256310, "pu": previous, "U": previous + 1}
            message |= {"u": last, "b": bids, "a": []}
        lines.append(f"{1723161255000000000 + at} {json.dumps(message)}")
    return "\n".join(lines) + "\n"


def test_row_16_a_gap_in_the_depth_empties_the_book_until_a_snapshot(tmp_path):
    text = depth_capture(
        (None, 5, [["9.9", "1.000"]]),
        (5, 6, [["9.9", "2.000"]]),
        (8, 9, [["9.8", "1.000"]]),  # 7 and 8 are missing
        (9, 10, []),
        (None, 7, [["9.9", "3.000"]]),  # older than the stream: refused
        (None, 9, [["9.7", "4.000"]]),
        (3, 4, []),  # a regress
    )
    events = mm.load(write(tmp_path, text), instrument=COIN, format="binance", quotes="depth")
    assert events.quotes.bid.tolist() == [99, 99, NO_BID, 97, NO_BID]
    assert events.quotes.ask.tolist() == [100, 100, NO_ASK, 100, NO_ASK]
    assert events.source["odd"] == {"gaps": 1, "older snapshots": 1, "regressions": 1}


def test_row_16_nothing_is_quoted_while_the_book_is_stale(tmp_path):
    text = depth_capture((None, 5, [["9.9", "1.000"]]), (7, 8, []), (None, 8, [["9.9", "1.000"]]), (8, 9, []))
    text += depth_capture((9, 10, [["9.9", "2.000"]])).replace("1723161255000000000", "1723161255000000004")
    events = mm.load(write(tmp_path, text), instrument=COIN, format="binance", quotes="depth")
    result = mm.replay(events, mm.Affine(base=1.0, q_max=10), interval=1e-9)
    sizes = result.decisions["bid_size"] + result.decisions["ask_size"]
    assert sizes.tolist() == [2, 0, 2, 2]  # one decision a nanosecond, the book is stale in the second


def test_row_27_no_event_is_lost_or_repeated_where_a_file_is_split(tmp_path):
    midnight = 1723161600000
    rows = [f"{700 + i},10.{i % 10},0.001,0,{midnight - 50 + i},true" for i in range(100)]
    whole = mm.load(write(tmp_path, "\n".join(rows) + "\n", "COIN-trades-2024-08.csv"), instrument=COIN)
    for overlap in (0, 7):
        one = write(tmp_path, "\n".join(rows[: 50 + overlap]) + "\n", "COIN-trades-2024-08-08.csv")
        two = write(tmp_path, "\n".join(rows[50:]) + "\n", "COIN-trades-2024-08-09.csv")
        both = mm.load([one, two], instrument=COIN)
        for name, column in whole.trades.columns().items():
            assert column.tolist() == both.trades.columns()[name].tolist()
        assert both.source["odd"] == {}
        assert both.source["ignored"] == ({"repeated ids": overlap} if overlap else {})
    two = write(tmp_path, "\n".join(rows[53:]) + "\n", "COIN-trades-2024-08-09.csv")
    assert mm.load([one, two], instrument=COIN).source["odd"] == {}
    one = write(tmp_path, "\n".join(rows[:50]) + "\n", "COIN-trades-2024-08-08.csv")
    assert mm.load([one, two], instrument=COIN).source["odd"] == {"missing ids": 3}


def test_row_27_a_clock_that_steps_back(tmp_path):
    text = QUOTED + "1723118402,1,2,1,1\n1723118401,1,3,1,1\n1723118401,1,4,1,1\n"
    refused(tmp_path, text, "line 3: time: earlier than the row before it")
    events = mm.load(write(tmp_path, text), instrument=STOCK, sort=True)
    assert events.quotes.ask.tolist() == [300, 400, 200]  # equal stamps keep their order
    assert events.source["odd"] == {"rows out of order": 2}


def test_row_27_a_leap_second_and_a_change_of_the_clock(tmp_path):
    text = (
        QUOTED
        + "2016-12-31T23:59:59.9Z,1,2,1,1\n2016-12-31T23:59:60Z,1,2,1,1\n2017-01-01T00:00:00Z,1,2,1,1\n"
    )
    q = mm.load(write(tmp_path, text), instrument=STOCK).quotes
    assert np.diff(q.local_time).tolist() == [100_000_000, 0]
    # 1:30 comes twice in New York on this day; the offsets tell which.
    text = QUOTED + "2024-11-03T01:30:00-04:00,1,2,1,1\n2024-11-03T01:30:00-05:00,1,2,1,1\n"
    q = mm.load(write(tmp_path, text), instrument=STOCK).quotes
    assert np.diff(q.local_time).tolist() == [3600 * 10**9]
