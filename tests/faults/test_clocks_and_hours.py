"""The rows of the list of faults about clocks and hours of trading; the number is the row's."""

import numpy as np
import pytest

import mmcore as mm
from mmcore import clocks
from mmcore.errors import InvalidArgument
from mmcore.events import NO_BID

STOCK = mm.Instrument("XYZ", tick="0.01")
S = 1_000_000_000
HOURS = mm.Sessions(
    "America/New_York",
    [("08:00", "pre_open"), ("09:28", "opening_auction"), ("09:30", "continuous"), ("16:00", "closed")],
)


def at(text):
    """Return ns of a UTC text."""
    return int(np.datetime64(text, "ns").astype("int64"))


def quoted(local, exchange=None, bid=99, ask=101):
    n = len(local)
    quotes = mm.Quotes(local, np.full(n, bid), np.full(n, ask), exchange_time=exchange)
    return mm.Events(STOCK, None, quotes, source={"clock": "local"})


def test_fault_05_a_crossed_quote_before_the_open_is_an_auction_without_a_mid():
    """Accepted and counted by its phase; in continuous trading it is refused and the last good one stands."""
    stamps = [at(f"2024-11-04T{time}") for time in ("14:00", "14:29", "14:30", "14:31", "14:32")]
    quotes = mm.Quotes(stamps, [105, 104, 99, 103, 99], [101] * 5)
    events = mm.Events(STOCK, None, quotes)
    counts = HOURS.count(events)
    assert {name: of["crossed"] for name, of in counts.items()} == {
        "pre_open": 1,
        "opening_auction": 1,
        "continuous": 1,
    }
    assert all(mm.Phase[name.upper()].auction for name in ("pre_open", "opening_auction"))
    trading = events.during(HOURS)
    assert trading.quotes.crossed.tolist() == [False, True, False]
    result = mm.replay(trading, mm.Affine(base=1.0, q_max=10), interval=30.0)
    assert result.totals.crossed == 1
    # Of the auction alone: no mid, so nothing to decide on.
    before = events.between(None, at("2024-11-04T14:30")).during(HOURS)
    with pytest.raises(InvalidArgument, match="no quote with both sides"):
        mm.replay(before, mm.Affine(base=1.0, q_max=10))


@pytest.mark.parametrize("wrong", [10**3, 10**6, 10**9])
def test_fault_14_stamps_of_two_units_are_no_pair_of_clocks(wrong):
    stamp = at("2024-11-04T14:30")
    with pytest.raises(InvalidArgument, match=r"exchange_time\[1\] must be within 104 days .* in ns\?"):
        clocks.estimate([stamp - 1, stamp // wrong], [stamp, stamp])


def test_fault_15_negative_latency_is_corrected_on_request_and_told():
    exchange = at("2024-08-08T23:54:15") + np.arange(100) * S
    local = exchange - 1_270_000_000 + (np.arange(100) % 7) * 1_000_000
    corrected, report = clocks.correct(quoted(local, exchange))
    assert (report.negative_before, report.negative_after) == (100, 0)
    assert report.largest_change == 1_270_000_000
    assert (corrected.quotes.local_time - exchange).tolist() == [(i % 7) * 1_000_000 for i in range(100)]
    assert (corrected.quotes.exchange_time == exchange).all()
    assert "100 negative latencies before and 0 after" in corrected.clock_note
    # Quotes are known when they happened or later, so trades by the exchange's stamps see no future.
    assert (corrected.quotes.local_time >= exchange).all()


def test_fault_27_our_clock_is_set_back():
    """A segment each, found at the row; corrected stamps go on as time did."""
    exchange = at("2024-08-08T00:00:00") + np.arange(200) * S
    local = exchange + 5_000_000
    local[120:] -= 2 * S
    clock = clocks.estimate(exchange, local)
    assert [(s.start, s.stop, s.step, s.stepped) for s in clock.segments] == [
        (0, 120, 0, None),
        (120, 200, -2 * S, "local"),
    ]
    assert (np.diff(clock.correct(local)) == S).all()


def test_fault_27_a_leap_second_that_the_exchange_repeats():
    """POSIX time shows 23:59:59 twice on 2016-12-31; our clock counts on."""
    true = at("2016-12-31T23:59:00") + np.arange(1200) * (S // 10)
    local = true + 3_000_000
    exchange = np.where(true >= at("2017-01-01T00:00:00"), true - S, true)
    _, second = clocks.estimate(exchange, local).segments
    assert (second.start, second.step, second.stepped) == (600, S, "exchange")
    corrected, report = clocks.correct(quoted(local, exchange))
    assert report.negative_after == 0
    # The order of arrival stays: the repeated second is held, not shuffled into the first.
    assert (np.diff(corrected.quotes.local_time) >= 0).all()
    assert report.held == 9


def test_fault_27_hours_follow_the_change_of_the_clock():
    """9:30 in New York is 13:30 UTC before 3 November 2024 and 14:30 UTC after it."""
    opens = HOURS.intervals(at("2024-11-01T00:00"), at("2024-11-05T00:00"))[:, 0]
    assert opens.tolist() == [at("2024-11-01T13:30"), at("2024-11-04T14:30")]
    assert HOURS.phase(at("2024-11-01T13:30") - 1).name == "OPENING_AUCTION"
    events = quoted([at("2024-11-01T13:30"), at("2024-11-04T13:30"), at("2024-11-04T14:30")])
    trading = events.during(HOURS).quotes
    assert trading.local_time.tolist() == [
        at("2024-11-01T13:30"),
        at("2024-11-01T20:00"),
        at("2024-11-04T14:30"),
    ]
    assert trading.bid.tolist() == [99, NO_BID, 99]
