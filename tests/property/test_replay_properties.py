"""The laws of a replay, on random event tables: a twin, conservation, limits, mirrors, bounds."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_markets import STOCK, another_future, markets, replays, rows_of, same_past

import mmcore as mm
from mmcore.events import HIDDEN, NO_ASK, NO_BID, Events, Quotes, Trades
from mmcore.periods import earned

pytestmark = pytest.mark.compiled

DECIDED = ("time", "live_time", "touch_bid", "touch_ask", "bid", "ask", "bid_size", "ask_size", "inventory")
COUNTED = ("spread2", "revaluation2", "fees", "why", "lost")


@dataclass
class Order:
    """An order of the twin: from a decision, on one side."""

    decision: int
    price: int
    left: int


class Twin:
    """The replay in plain Python: written from the rules, not from the kernel.

    Each decision becomes a dict; a side's order rests in ``resting``; time is walked row by row and
    every grid point, arrival and trade is an explicit step.
    """

    def __init__(self, events, quoter, setting):
        self.quoter, self.s = quoter, setting
        self.interval = int(Fraction(str(setting.interval)) * 10**9)
        self.latency = int(Fraction(repr(setting.latency)) * 10**9)
        rate = Fraction(setting.maker_fee) * Fraction(events.instrument.tick_value)
        self.fee_rate = rate / Fraction(events.instrument.currency.unit)
        self.decisions, self.fills, self.contexts = [], [], []
        self.resting: dict[str, Order | None] = {"bid": None, "ask": None}
        self.filled_after: dict[str, int] = {"bid": 0, "ask": 0}
        self.expected = {"bid": None, "ask": None}
        self.messages = {"bid": 0, "ask": 0}
        self.arrived = 0
        self.touch = None
        self.mid2 = None
        self.net = self.cash = self.spread2 = self.revaluation2 = self.fees = 0
        self.walk(events)

    def walk(self, events):
        q, t = events.quotes, events.trades
        rows, first, last_quote = rows_of(events)
        if self.interval:
            grid = []
            g = first
            while g + self.interval <= last_quote:
                grid.append(g)
                g += self.interval
            end = g
        else:
            grid, end = [], last_quote
        for what, time, row in rows:
            while grid and grid[0] < time:
                self.decide(grid.pop(0))
            if what == "quote":
                bid, ask = int(q.bid[row]), int(q.ask[row])
                if bid > ask:
                    continue
                self.touch = (bid, ask, int(q.bid_size[row]), int(q.ask_size[row]))
                if bid != NO_BID and ask != NO_ASK:
                    if self.mid2 is not None:
                        self.revaluation2 += self.net * (bid + ask - self.mid2)
                    self.mid2 = bid + ask
                if not self.interval and first <= time < end:
                    self.decide(time)
            elif time <= end and (self.s.hidden or not t.flags[row] & HIDDEN):
                self.arrive(time)
                self.trade(t, row)
        self.arrive(end)

    def decide(self, time):
        bid, ask, bid_size, ask_size = self.touch
        if bid == NO_BID or ask == NO_ASK:
            reference = float("nan")
        elif self.s.reference == "mid":
            reference = (bid + ask) / 2
        else:
            reference = float(bid) + float(ask - bid) * (
                float(bid_size) / (float(bid_size) + float(ask_size))
            )
        quote = self.quoter.quote(
            reference, self.net, bid=None if bid == NO_BID else bid, ask=None if ask == NO_ASK else ask
        )
        decision = {
            "time": time,
            "live_time": time + self.latency,
            "reference": reference,
            "touch_bid": bid,
            "touch_ask": ask,
            "bid": NO_BID if quote.bid is None else quote.bid,
            "ask": NO_ASK if quote.ask is None else quote.ask,
            "bid_size": quote.bid_size,
            "ask_size": quote.ask_size,
            "inventory": self.net,
            "spread2": self.spread2,
            "revaluation2": self.revaluation2,
            "fees": self.fees,
            "why": int(quote.why),
            "lost": 0,
        }
        self.decisions.append(decision)
        for side in ("bid", "ask"):
            wanted = (decision[side], decision[f"{side}_size"]) if decision[f"{side}_size"] else None
            if wanted != self.expected[side]:
                self.messages[side] += 1
                self.expected[side] = wanted

    def arrive(self, time):
        while self.arrived < len(self.decisions) and self.decisions[self.arrived]["live_time"] < time:
            number, decision = self.arrived, self.decisions[self.arrived]
            for bit, side in ((1, "bid"), (2, "ask")):
                size = decision[f"{side}_size"]
                self.resting[side] = None
                if size and self.filled_after[side] > number:
                    decision["lost"] |= bit
                elif size:
                    self.resting[side] = Order(number, decision[side], size)
            self.arrived += 1

    def trade(self, t, row):
        value = Fraction(int(t.price[row])) + Fraction(int(t.subtick[row]), 1_000_000)
        for side, sign in (("bid", 1), ("ask", -1)):
            order = self.resting[side]
            if order is None:
                continue
            beyond = value < order.price if side == "bid" else value > order.price
            if beyond:
                lots = order.left
            elif value == order.price and self.s.fill == "touch":
                lots = min(order.left, int(t.size[row]))
            else:
                continue
            order.left -= lots
            self.net += sign * lots
            self.cash -= sign * lots * order.price
            fee = round(self.fee_rate * lots * order.price)
            self.fees += fee
            self.spread2 += sign * lots * (self.mid2 - 2 * order.price)
            self.filled_after[side] = len(self.decisions)
            in_flight = self.arrived < len(self.decisions)
            self.expected[side] = None if in_flight or not order.left else (order.price, order.left)
            decision = self.decisions[order.decision]
            better = sign * (order.price - decision[f"touch_{side}"])
            stamps = (int(t.exchange_time[row]), int(t.local_time[row]))
            self.fills.append((*stamps, sign * lots, order.price, fee, 2 * order.decision + 1 + (sign < 0)))
            place = 0 if better > 0 else 1 if better == 0 else 2
            self.contexts.append(
                (*self.touch[:2], self.mid2, self.net, order.decision, row, place, int(order.left == 0))
            )
            if not order.left:
                self.resting[side] = None


def replay(market, setting, events=None):
    quoter = mm.Quoter(market.policy, STOCK)
    return mm.replay(events if events is not None else market.events, quoter, **vars(setting)), quoter


@given(markets(), replays)
def test_the_kernel_equals_its_twin(market, setting):
    result, quoter = replay(market, setting)
    twin = Twin(market.events, quoter, setting)
    for name in (*DECIDED, *COUNTED):
        assert result.decisions[name].tolist() == [d[name] for d in twin.decisions], name
    np.testing.assert_array_equal(result.decisions["reference"], [d["reference"] for d in twin.decisions])
    columns = ("time", "receive_time", "qty", "price", "fee", "order_id")
    assert [tuple(int(f[c]) for c in columns) for f in result.fills] == twin.fills
    assert [tuple(map(int, c)) for c in result.fill_context] == twin.contexts
    totals = result.totals
    assert totals.messages == (twin.messages["bid"], twin.messages["ask"])
    assert (totals.net, totals.cash, totals.fees) == (twin.net, twin.cash, twin.fees)
    assert (totals.spread2, totals.revaluation2) == (twin.spread2, twin.revaluation2)


@given(markets(), replays)
def test_money_is_conserved_and_nothing_is_unexplained(market, setting):
    result, _ = replay(market, setting)
    fills, totals = result.fills, result.totals
    assert totals.cash == -sum(int(f["qty"]) * int(f["price"]) for f in fills)
    assert totals.net == int(fills["qty"].sum()) == totals.bought - totals.sold
    assert totals.fees == int(fills["fee"].sum())
    a = result.attribution
    assert a.unexplained == 0
    assert a.spread + a.inventory + a.fees == a.total
    expected = STOCK.money(totals.cash + Fraction(totals.net * totals.mid2, 2))
    assert a.total == expected - STOCK.currency.amount(totals.fees)


@given(markets(), replays)
def test_the_inventory_never_leaves_its_limits(market, setting):
    result, _ = replay(market, setting)
    assert np.all(np.abs(result.fill_context["inventory"]) <= market.q_max)


@given(markets(), replays)
def test_an_order_fills_after_it_is_live_before_it_is_replaced_and_not_beyond_its_size(market, setting):
    result, _ = replay(market, setting)
    d, end = result.decisions, result.totals.end_time
    until = np.append(d["live_time"][1:], end)
    taken: dict[int, int] = {}
    for f, c in zip(result.fills, result.fill_context, strict=True):
        row = int(c["decision"])
        side = "bid" if f["qty"] > 0 else "ask"
        assert d["live_time"][row] < f["receive_time"] <= min(until[row], end)
        assert f["price"] == d[side][row]
        assert not d["lost"][row] >> (side == "ask") & 1
        taken[int(f["order_id"])] = taken.get(int(f["order_id"]), 0) + abs(int(f["qty"]))
        assert taken[int(f["order_id"])] <= d[f"{side}_size"][row]
        assert (taken[int(f["order_id"])] == d[f"{side}_size"][row]) == bool(c["complete"])


@given(markets(), replays)
def test_shares_of_time_add_up(market, setting):
    result, _ = replay(market, setting)
    p = result.presence
    assert abs(p.both + p.bid + p.ask + p.none - 1) < 1e-9
    assert abs(sum(p.bid_reasons.values()) - (p.none + p.ask)) < 1e-9
    assert abs(sum(p.ask_reasons.values()) - (p.none + p.bid)) < 1e-9
    levels, share = result.inventory_histogram()
    assert abs(share.sum() - 1) < 1e-9
    assert np.all(np.abs(levels) <= market.q_max)
    lots = sum(rate.lots for rate in result.fill_rates)
    assert lots == np.abs(result.fills["qty"]).sum()


@given(markets(), replays, st.sampled_from([0.25, 0.7, 3.0, 100.0]))
def test_periods_add_up_and_agree_with_the_loop_at_every_decision(market, setting, period):
    result, _ = replay(market, setting)
    rows, a = result.by_hour(period), result.attribution
    for name in ("spread", "inventory", "fees", "total"):
        assert sum(Fraction(getattr(row.pnl, name)) for row in rows) == Fraction(getattr(a, name))
    for row in rows:
        p = row.pnl
        assert Fraction(p.spread) + Fraction(p.inventory) + Fraction(p.fees) == Fraction(p.total)
    assert sum(row.fills for row in rows) == len(result.fills)
    if setting.interval:  # at every quote, a decision stands between rows of one stamp
        e = earned(result, result.decisions["time"])
        for name in ("spread2", "revaluation2", "fees", "inventory"):
            np.testing.assert_array_equal(getattr(e, name), result.decisions[name], err_msg=name)


def mirrored(events, axis=10_000):
    q, t = events.quotes, events.trades
    flip = [np.where(q.ask == NO_ASK, NO_BID, axis - q.ask), np.where(q.bid == NO_BID, NO_ASK, axis - q.bid)]
    quotes = Quotes(q.local_time, *flip, q.ask_size, q.bid_size, exchange_time=q.exchange_time)
    trades = Trades(
        t.local_time, axis - t.price, t.size, side=-t.side, flags=t.flags, exchange_time=t.exchange_time
    )
    return Events(STOCK, events.kind, quotes, trades)


@given(markets(symmetric=True), replays)
def test_a_mirrored_market_gives_the_mirrored_result(market, setting):
    setting.maker_fee = "0"  # a rate of the price has no mirror
    axis = 10_000
    one, _ = replay(market, setting)
    other, _ = replay(market, setting, mirrored(market.events, axis))
    assert (-one.fills["qty"]).tolist() == other.fills["qty"].tolist()
    assert (axis - one.fills["price"]).tolist() == other.fills["price"].tolist()
    assert one.attribution == other.attribution
    assert one.totals.messages == other.totals.messages[::-1]


@given(markets(order_sizes=(1,)), replays)
def test_whatever_fills_when_traded_through_fills_when_touched(market, setting):
    """Decision by decision: the first is the same under both rules, later ones know other inventories."""
    market.policy = mm.Affine(base=1.0, q_max=10_000)  # quotes that do not depend on the inventory
    setting.latency = 0.0
    setting.fill = "through"
    through, _ = replay(market, setting)
    setting.fill = "touch"
    touch, _ = replay(market, setting)
    assert (
        through.decisions[["time", "bid", "ask"]].tolist() == touch.decisions[["time", "bid", "ask"]].tolist()
    )
    if setting.interval:  # at every quote a side may be lost in flight within one stamp
        assert set(through.fills["order_id"]) <= set(touch.fills["order_id"])


@given(markets(), replays, st.data())
def test_the_past_does_not_depend_on_the_future(market, setting, data):
    cut, changed = another_future(market.events, data)
    before, _ = replay(market, setting)
    after, _ = replay(market, setting, changed)
    same_past(
        before,
        after,
        cut,
        setting.interval,
        (*DECIDED, "spread2", "revaluation2", "fees", "why", "reference"),
    )
