"""The laws of a replay with orders, on random event tables: a twin, the limits, no look ahead."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_markets import STOCK, TICK, another_future, markets, replays, same_past
from replay_orders_twin import Twin

import mmcore as mm

pytestmark = pytest.mark.compiled

DECIDED = ("time", "live_time", "touch_bid", "touch_ask", "bid", "ask", "bid_size", "ask_size", "inventory")
COUNTED = ("spread2", "revaluation2", "fees", "why", "lost")
FILLED = ("time", "receive_time", "qty", "price", "fee", "order_id")
STOOD = ("time", "end_time", "order_id", "price", "size", "decision", "side")

settings = st.fixed_dictionaries(
    {
        "min_life": st.sampled_from([0, 1, 2 * TICK, 6 * TICK]),
        "hysteresis": st.integers(0, 2),
        "messages": st.lists(st.tuples(st.integers(2, 12), st.sampled_from([1, TICK, 8 * TICK])), max_size=2),
        "max_exposure": st.none() | st.integers(0, 9),
        "amend": st.booleans(),
        "timeout": st.sampled_from([0, TICK, 60 * TICK]),  # and the time of an answer
        "retry": st.sampled_from([0, TICK, 40 * TICK]),
    }
)


def replay(market, setting, orders, events=None):
    orders["timeout"] = max(orders["timeout"], 2 * round(setting.latency * 10**9))
    quoter = mm.Quoter(market.policy, STOCK)
    events = market.events if events is None else events
    return mm.replay(events, quoter, **vars(setting), orders=mm.Orders(**orders)), quoter


@given(markets(), replays, settings)
def test_the_kernel_equals_its_twin(market, setting, orders):
    result, quoter = replay(market, setting, orders)
    twin = Twin(market.events, quoter, setting, orders, orders["max_exposure"])
    for name in (*DECIDED, *COUNTED):
        assert result.decisions[name].tolist() == [d[name] for d in twin.decisions], name
    np.testing.assert_array_equal(result.decisions["reference"], [d["reference"] for d in twin.decisions])
    sent = [
        (*(getattr(m, name) for name in NUMBERS), m.kind, m.side, m.answer, m.reason) for m in twin.messages
    ]
    assert [spoken(m) for m in result.message_log] == sent
    assert [tuple(int(f[c]) for c in FILLED) for f in result.fills] == twin.fills
    assert [tuple(map(int, c)) for c in result.fill_context] == twin.contexts
    assert [[int(row[c]) for c in STOOD] for row in result.order_log.standing] == twin.stood
    held = [[{h.name for h in mm.Held(int(bits))} for bits in row] for row in result.order_log.held]
    assert held == twin.held
    totals = result.totals
    assert totals.messages == tuple(sum(m.side == side for m in twin.messages) for side in ("bid", "ask"))
    assert (totals.net, totals.cash, totals.fees) == (twin.net, twin.cash, twin.fees)
    assert (totals.spread2, totals.revaluation2) == (twin.spread2, twin.revaluation2)


NUMBERS = ("time", "arrives", "number", "price", "size", "decision", "revision")


def spoken(m):
    """A message as the twin has it."""
    numbers = (int(m[c]) for c in ("time", "live_time", "order_id", "price", "size", "decision", "revision"))
    answer = mm.ReportKind(int(m["answer"])).name.lower() if m["answer"] else None
    reason = "post_only" if m["reason"] else None
    return (*numbers, mm.ActionKind(int(m["kind"])).name, ("bid", "ask")[m["side"]], answer, reason)


@given(markets(), replays, st.booleans())
def test_orders_that_hold_nothing_back_fill_as_the_quotes_would(market, setting, amend):
    """With answers before the next trade, and no order filled in part, whose rest would keep its place."""
    setting.latency, setting.fill = 0.0, "through"
    events, quoter = market.events, mm.Quoter(market.policy, STOCK)
    if not setting.interval:  # decisions between rows of one stamp are answered only after it
        events = one_by_one(events)
    plain = mm.replay(events, quoter, **vars(setting))
    sent = mm.replay(events, quoter, **vars(setting), orders=mm.Orders(amend=amend))
    for name in (*DECIDED, *COUNTED[:-1], "reference"):
        np.testing.assert_array_equal(sent.decisions[name], plain.decisions[name], err_msg=name)
    for name in FILLED[:-1]:
        np.testing.assert_array_equal(sent.fills[name], plain.fills[name], err_msg=name)
    assert sent.fill_context.tolist() == plain.fill_context.tolist()
    assert sent.attribution == plain.attribution
    shares = [{k: v for k, v in vars(r.presence).items() if "reasons" not in k} for r in (sent, plain)]
    assert shares[0] == pytest.approx(shares[1])
    rates = [[(r.lots, r.exposure) for r in result.fill_rates] for result in (sent, plain)]
    np.testing.assert_allclose(*rates)


def one_by_one(events):
    """Give each row a stamp of its own, later by its number in ns."""
    stamps = events.local_time + np.arange(len(events))
    quote, q, t = events.kind == 1, events.quotes, events.trades
    quotes = mm.Quotes(stamps[quote], q.bid, q.ask, q.bid_size, q.ask_size)
    trades = mm.Trades(stamps[~quote], t.price, t.size, subtick=t.subtick, flags=t.flags)
    return mm.Events(STOCK, events.kind, quotes, trades)


@given(markets(), replays, settings, st.data())
def test_the_past_does_not_depend_on_the_future(market, setting, orders, data):
    cut, changed = another_future(market.events, data)
    before, _ = replay(market, setting, orders)
    after, _ = replay(market, setting, orders, changed)
    same_past(before, after, cut, setting.interval, (*DECIDED, *COUNTED, "reference"))
    first_end = min(before.totals.end_time, after.totals.end_time)
    until = min(cut, first_end - max(1, round(setting.interval * 1e9)))
    for log, column in (("messages", "live_time"), ("standing", "end_time")):
        one, other = (getattr(result.order_log, log) for result in (before, after))
        assert one[one[column] <= until].tolist() == other[other[column] <= until].tolist()


@given(markets(), replays, settings)
def test_no_position_and_no_burst_of_messages_beyond_the_limits(market, setting, orders):
    result, _ = replay(market, setting, orders)
    if orders["max_exposure"] is not None:
        assert np.all(np.abs(result.fill_context["inventory"]) <= orders["max_exposure"])
    times = result.message_log["time"]
    for n, window in orders["messages"]:
        later = times[n:]
        assert np.all(later - times[: len(later)] >= window)


@given(markets(), replays, settings)
def test_money_and_time_add_up(market, setting, orders):
    result, _ = replay(market, setting, orders)
    a, p, totals = result.attribution, result.presence, result.totals
    assert a.unexplained == 0
    assert totals.net == int(result.fills["qty"].sum()) == totals.bought - totals.sold
    assert abs(p.both + p.bid + p.ask + p.none - 1) < 1e-9
    assert abs(sum(p.bid_reasons.values()) - (p.none + p.ask)) < 1e-9
    assert abs(sum(p.ask_reasons.values()) - (p.none + p.bid)) < 1e-9
    assert sum(rate.lots for rate in result.fill_rates) == np.abs(result.fills["qty"]).sum()
    stood = (result.standing.end - result.standing.start).sum() / 1e9
    assert sum(rate.exposure for rate in result.fill_rates) == pytest.approx(stood)
    counts = result.message_counts
    assert counts.new + counts.amend + counts.cancel == result.messages == len(result.message_log)


@given(markets(), replays, settings)
def test_what_stood_is_what_the_messages_and_the_fills_say(market, setting, orders):
    """Order by order: it comes with a message that was accepted, leaves with one or with its last lot."""
    result, _ = replay(market, setting, orders)
    log, end = result.message_log, result.totals.end_time
    filled = {
        (int(f["order_id"]), int(f["receive_time"])): int(c["complete"])
        for f, c in zip(result.fills, result.fill_context, strict=True)
    }
    for number in np.unique(result.order_log.standing["order_id"]):
        rows = result.order_log.standing[result.order_log.standing["order_id"] == number]
        sent = log[log["order_id"] == number]
        answers = {mm.ReportKind(int(m["answer"])).name: int(m["live_time"]) for m in sent if m["answer"]}
        assert rows["time"][0] == answers["ACCEPTED"]
        for row, following in pairwise(rows):
            assert row["end_time"] == following["time"]
            assert (row["price"], row["size"]) != (following["price"], 0)
        last = int(rows["end_time"][-1])
        ends = [answers.get("CANCELED") == last, filled.get((int(number), last)) == 1, last == end]
        assert any(ends)
    for (number, time), _ in filled.items():
        (row,) = [
            r
            for r in result.order_log.standing
            if r["order_id"] == number and r["time"] < time <= r["end_time"]
        ]
        price = result.fills["price"][
            (result.fills["order_id"] == number) & (result.fills["receive_time"] == time)
        ]
        assert set(price.tolist()) == {int(row["price"])}


@given(markets(), replays, settings)
def test_the_orders_given_stay_as_they_are_and_only_their_settings_count(market, setting, orders):
    fresh, _ = replay(market, setting, orders)
    used = mm.Orders(position=5, first_id=9, **orders)
    used.target((99, 101, 1, 1), now=10**18)
    state = used.to_bytes()
    quoter = mm.Quoter(market.policy, STOCK)
    again = mm.replay(market.events, quoter, **vars(setting), orders=used)
    assert used.to_bytes() == state
    assert again.message_log.tolist() == fresh.message_log.tolist()
    assert again.settings == fresh.settings
    assert again.orders.settings == used.settings
    assert (again.orders.sent, again.orders.position, again.orders.next_id) == (0, 0, 1)
