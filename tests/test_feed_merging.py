"""Tables on one clock: merged where they share it, refused where they do not, unless the caller says how."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument
from mmcore.events import NO_ASK, NO_BID, QUOTE, TRADE
from mmcore.feeds import merge

STOCK = mm.Instrument("XYZ", tick="0.01")


def quotes(local, exchange=None, clock="local", bid=99):
    n = len(local)
    q = mm.Quotes(local, [bid] * n, [bid + 2] * n, exchange_time=exchange)
    return mm.Events(STOCK, None, q, source={} if clock is None else {"clock": clock})


def trades(local, exchange=None, clock="local"):
    t = mm.Trades(local, [100] * len(local), np.arange(1, len(local) + 1), exchange_time=exchange)
    return mm.Events(STOCK, None, None, t, source={} if clock is None else {"clock": clock})


def test_one_clock_is_merged_with_trades_first():
    events = merge(quotes([10, 20], [11, 21]), trades([20, 30], [21, 31]))
    assert events.kind.tolist() == [QUOTE, TRADE, QUOTE, TRADE]
    assert events.local_time.tolist() == [10, 20, 20, 30]
    assert events.trades.exchange_time.tolist() == [21, 31]
    assert (events.source["clock"], "odd" in events.source) == ("local", False)


@pytest.mark.parametrize(
    ("one", "other"), [("local", "exchange"), ("exchange", None), (None, None), (None, "local")]
)
def test_different_or_unknown_clocks_are_refused(one, other):
    with pytest.raises(InvalidArgument, match="say by clock= which order is meant") as caught:
        merge(quotes([1], clock=one), trades([2], clock=other))
    assert caught.value.argument == "clock"


def test_the_exchange_clock_orders_by_its_stamps_and_counts_what_moved():
    ours = quotes([10, 20, 30], [110, 130, 120])
    theirs = trades([115, 125], clock="exchange")
    events = merge(ours, theirs, clock="exchange")
    assert events.local_time.tolist() == [110, 115, 120, 125, 130]
    assert (events.quotes.exchange_time == events.quotes.local_time).all()
    assert events.source["odd"] == {"rows out of order": 1}
    assert merge(ours, theirs, clock="local").local_time.tolist() == [10, 20, 30, 115, 125]


def test_equal_stamps_keep_the_order_of_the_tables():
    events = merge(quotes([5, 5], bid=90), quotes([5], bid=80))
    assert events.quotes.bid.tolist() == [90, 90, 80]


def test_wrong_arguments_are_refused_by_name():
    other = mm.Events(mm.Instrument("ABC", tick="0.1"), None)
    with pytest.raises(InvalidArgument, match="tables of XYZ and ABC count in different units"):
        merge(quotes([1]), other)
    with pytest.raises(InvalidArgument, match='clock must be "local", "exchange", "corrected" or None'):
        merge(quotes([1]), clock="ours")
    with pytest.raises(InvalidArgument, match="tables must be one or more Events"):
        merge()
    with pytest.raises(InvalidArgument, match="tables must be Events"):
        merge(quotes([1]), quotes([1]).quotes)


rows = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=12)


@given(rows, rows, st.sampled_from(["local", "exchange"]))
def test_merging_is_a_stable_sort_that_loses_nothing(one, other, clock):
    one, other = sorted(one), sorted(other)
    tables = [
        make([t for t, _ in part], [e for _, e in part]) for make, part in ((quotes, one), (trades, other))
    ]
    events = merge(*tables, clock=clock)
    which = 0 if clock == "local" else 1
    keys = [(row[which], 1) for row in one] + [(row[which], 0) for row in other]
    assert events.local_time.tolist() == [key for key, _ in sorted(keys)]
    assert events.kind.tolist() == [QUOTE if kind else TRADE for _, kind in sorted(keys)]
    assert sorted(events.trades.size.tolist()) == list(range(1, len(other) + 1))


def test_consolidating_venues():
    def venue(times, bids, asks, sizes):
        return mm.Events(
            STOCK, None, mm.Quotes(times, bids, asks, sizes, sizes), source={"clock": "exchange"}
        )

    one = venue([10, 30, 50], [99, 98, NO_BID], [101, 103, NO_ASK], [1, 2, 0])
    two = venue([20, 30], [99, 103], [100, 104], [5, 6])
    trades = mm.Events(STOCK, None, None, mm.Trades([30], [100], [7]), source={"clock": "exchange"})
    events = mm.feeds.consolidate(one, trades, two)
    q = events.quotes
    assert q.local_time.tolist() == [10, 20, 30, 30, 50]
    assert q.bid.tolist() == [99, 99, 99, 103, 103]
    assert q.bid_size.tolist() == [1, 6, 5, 6, 6]
    assert q.ask.tolist() == [101, 100, 100, 103, 104]
    assert q.ask_size.tolist() == [1, 5, 5, 2, 6]
    assert (q.crossed.tolist(), q.locked.tolist()) == ([False] * 5, [False] * 3 + [True, False])
    assert events.kind.tolist() == [QUOTE, QUOTE, TRADE, QUOTE, QUOTE, QUOTE]
