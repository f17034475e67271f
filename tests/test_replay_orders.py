"""Replay with orders: what is sent, what the venue answers, what stood, and what is refused."""

import json
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, UnknownName
from mmcore.events import NO_ASK, NO_BID, Events, Quotes, Trades
from mmcore.messages import ORDERS_PARAMETERS, OrderLife, per_minute
from mmcore.standing import Covered, Standing, _best, quoted

pytestmark = pytest.mark.compiled

S = 1_000_000_000
STOCK = mm.Instrument("XYZ", tick="0.01")
ONE_TICK = mm.Affine(base=1.0, q_max=10)  # bid at 99, ask at 101 where the mid is 100


def trade(seconds, price, size=1):
    return round(seconds * S), price, size


def market(quotes, trades=()):
    """Events from (second, bid, ask), None for an absent side, and rows of trade()."""
    q = [(round(t * S), NO_BID if b is None else b, NO_ASK if a is None else a) for t, b, a in quotes]
    t = np.array(trades, dtype=np.int64).reshape(len(trades), 3)
    return Events(STOCK, None, Quotes(*np.array(q, dtype=np.int64).T), Trades(t[:, 0], t[:, 1], t[:, 2]))


def sent(result):
    """Return (sent at, kind, side, price, size, order_id, answer) of the messages."""
    return [
        (
            int(m["time"]) / S,
            mm.ActionKind(int(m["kind"])).name,
            ("bid", "ask")[m["side"]],
            int(m["price"]),
            int(m["size"]),
            int(m["order_id"]),
            mm.ReportKind(int(m["answer"])).name if m["answer"] else None,
        )
        for m in result.message_log
    ]


def stood(result, side):
    """Return (from, until, price, order_id) of what stood on one side."""
    s = result.standing
    return [
        (start / S, end / S, price, number)
        for which, start, end, price, number in zip(s.side, s.start, s.end, s.price, s.order_id, strict=True)
        if ("bid", "ask")[which] == side
    ]


@pytest.fixture(scope="module")
def simulated():
    """Forty minutes with latency, partial fills, budgets and rejections."""
    events = mm.SimulatedMarket(duration=2400.0, seed=11).events()
    orders = {"hysteresis": 1, "min_life": 0.3, "messages": "4/1, 120/60", "max_exposure": 7}
    settings = {"latency": 0.1, "interval": 0.5, "maker_fee": "0.00001", "order_size": 2, "fill": "touch"}
    return mm.run(events, **settings, q_max=8, orders=orders)


# ---- what is sent, and what comes back


def test_messages_and_answers_take_their_time_and_so_does_the_news_of_a_fill():
    events = market(
        [(0, 98, 102), (1.1, 99, 103), (2.4, 97, 98), (10, 97, 98)],
        [trade(0.1, 90), trade(1.3, 90), trade(1.6, 90)],
    )
    result = mm.replay(events, ONE_TICK, interval=1.0, latency=0.25, orders=mm.Orders())
    assert sent(result) == [
        (0.0, "NEW", "bid", 99, 1, 1, "ACCEPTED"),
        (0.0, "NEW", "ask", 101, 1, 2, "ACCEPTED"),
        (2.0, "NEW", "bid", 100, 1, 3, "ACCEPTED"),
        (2.0, "AMEND", "ask", 102, 1, 2, "AMENDED"),
        # At 2.5 the answers come, and the touch has come down to 98.
        (2.5, "CANCEL", "bid", 100, 1, 3, "CANCELED"),
        (3.0, "NEW", "bid", 96, 1, 4, "ACCEPTED"),
        (3.0, "AMEND", "ask", 99, 1, 2, "AMENDED"),
    ]
    assert np.all(result.message_log["live_time"] - result.message_log["time"] == S // 4)
    assert stood(result, "bid") == [(0.25, 1.3, 99, 1), (2.25, 2.75, 100, 3), (3.25, 10.0, 96, 4)]
    assert stood(result, "ask") == [(0.25, 2.25, 101, 2), (2.25, 3.25, 102, 2), (3.25, 10.0, 99, 2)]
    assert result.fills["receive_time"].tolist() == [1.3 * S]  # too early at 0.1, and gone at 1.6
    assert result.decisions["inventory"].tolist() == [0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    p = result.presence
    assert p.bid_reasons == pytest.approx(
        {
            "not yet live": 0.025,
            "filled, until the next decision": 0.095,
            "it would cross the market's touch": 0.05,
        }
    )
    assert (p.both, p.bid, p.ask, p.none) == pytest.approx((0.83, 0.0, 0.145, 0.025))


def test_what_meets_the_touch_on_arrival_is_rejected_and_what_stood_stays():
    # Decided at 1 for a market that has moved when the amends arrive at 1.5.
    events = market([(0, 98, 102), (0.9, 108, 112), (1.2, 98, 102), (4, 98, 102)])
    result = mm.replay(events, ONE_TICK, interval=1.0, latency=0.5, orders=mm.Orders())
    assert sent(result) == [
        (0.0, "NEW", "bid", 99, 1, 1, "ACCEPTED"),
        (0.0, "NEW", "ask", 101, 1, 2, "ACCEPTED"),
        (1.0, "AMEND", "ask", 111, 1, 2, "AMENDED"),
        # At 2 both answers are known. The ask moves back; the bid never moved.
        (2.0, "AMEND", "ask", 101, 1, 2, "AMENDED"),
    ]
    # Our ask at 101 holds the bid at 109 back until it has moved; then the touch does.
    assert mm.Held.OWN in mm.Held(int(result.order_log.held[1, 0]))
    alone = mm.Affine(base=(1.0, 20.0), q_max=10)
    result = mm.replay(events, alone, interval=1.0, latency=0.5, orders=mm.Orders())
    rejected = [m for m in sent(result) if m[-1].endswith("REJECTED")]
    assert rejected == [(1.0, "AMEND", "bid", 109, 1, 1, "AMEND_REJECTED")]
    assert result.message_log["reason"].sum() == mm.orders.ReportKind.ACCEPTED == 1
    assert stood(result, "bid") == [(0.5, 4.0, 99, 1)]
    assert result.message_counts.rejected == {"new": 0, "amend": 1, "cancel": 0}


def test_a_cancel_that_a_fill_overtakes_is_rejected():
    # One-sided at 1: both orders are called back; the bid is filled before the cancel arrives.
    events = market([(0, 98, 102), (1, 98, None), (4, 98, 102)], [trade(1.2, 90)])
    result = mm.replay(events, ONE_TICK, interval=1.0, latency=0.5, orders=mm.Orders())
    assert sent(result)[2:4] == [
        (1.0, "CANCEL", "bid", 99, 1, 1, "CANCEL_REJECTED"),
        (1.0, "CANCEL", "ask", 101, 1, 2, "CANCELED"),
    ]
    assert stood(result, "ask")[0] == (0.5, 1.5, 101, 2)


def test_without_amends_a_new_order_waits_where_the_limit_does_not_allow_both():
    events = market([(0, 98, 102), (1, 99, 103), (4, 99, 103)])
    orders = mm.Orders(amend=False, max_exposure=1)
    result = mm.replay(events, ONE_TICK, interval=2.0, latency=0.25, orders=orders)
    # The answers of the cancels at 2.5 are looked at then, not at the next decision.
    assert [m[:4] for m in sent(result)[2:]] == [
        (2.0, "CANCEL", "ask", 101),
        (2.0, "CANCEL", "bid", 99),
        (2.5, "NEW", "bid", 100),
        (2.5, "NEW", "ask", 102),
    ]
    assert stood(result, "bid") == [(0.25, 2.25, 99, 1), (2.75, 4.0, 100, 3)]


def test_a_wait_that_ends_between_decisions_is_acted_on_then():
    events = market([(0, 98, 102), (0.5, 99, 103), (9, 99, 103)])
    orders = mm.Orders(min_life=1_300_000_000)
    result = mm.replay(events, ONE_TICK, interval=1.0, orders=orders)
    assert [m[:4] for m in sent(result)[2:]] == [(1.3, "AMEND", "ask", 102), (1.3, "AMEND", "bid", 100)]


def test_a_quote_is_for_an_inventory_so_a_known_fill_waits_for_the_next_decision():
    events = market([(0, 98, 102), (0.5, 99, 103), (9, 99, 103)], [trade(1.2, 90)])
    orders = mm.Orders(min_life=1_300_000_000)
    result = mm.replay(events, ONE_TICK, interval=1.0, orders=orders)
    assert [m[:4] for m in sent(result)[2:]] == [(2.0, "NEW", "bid", 100), (2.0, "AMEND", "ask", 102)]


def test_a_partial_fill_leaves_the_rest_in_its_place():
    events = market([(0, 98, 102), (9, 98, 102)], [trade(1.5, 99, 2), trade(2.5, 99, 2), trade(2.7, 99, 9)])
    big = mm.Affine(base=1.0, q_max=30, order_size=5)
    result = mm.replay(events, big, interval=1.0, fill="touch", orders=mm.Orders())
    assert result.fills["qty"].tolist() == [2, 2, 1]
    assert result.fills["order_id"].tolist() == [1, 1, 1]
    assert result.fill_context["complete"].tolist() == [0, 0, 1]
    assert result.fill_context["decision"].tolist() == [1, 2, 2]
    assert [m[:4] for m in sent(result)] == [
        (0.0, "NEW", "bid", 99),
        (0.0, "NEW", "ask", 101),
        (3.0, "NEW", "bid", 99),
    ]
    # Without orders each decision brings the whole size back, for nothing.
    assert mm.replay(events, big, interval=1.0, fill="touch").fills["qty"].tolist() == [2, 2, 3]


def test_a_smaller_size_keeps_the_place_and_a_larger_one_does_not():
    inventory = np.arange(-10, 11)
    depths = np.ones(21)
    sizes = mm.Table(depths, depths, q_max=10, bid_size=np.where(inventory == -1, 2, 5), ask_size=np.ones(21))
    events = market([(0, 98, 102), (9, 98, 102)], [trade(1.5, 110), trade(2.5, 110)])  # flat, then -1, -2
    result = mm.replay(events, sizes, interval=1.0, orders=mm.Orders())
    assert [m for m in sent(result) if m[2] == "bid"] == [
        (0.0, "NEW", "bid", 99, 5, 1, "ACCEPTED"),
        (2.0, "AMEND", "bid", 99, 2, 1, "AMENDED"),
        (3.0, "AMEND", "bid", 99, 5, 1, "AMENDED"),
    ]
    assert stood(result, "bid") == [(0.0, 3.0, 99, 1), (3.0, 9.0, 99, 1)]


def test_one_decision_after_another_within_a_stamp_is_answered_after_it():
    """A market order that walks the book has one stamp: it can be neither evaded nor met twice."""
    quotes = [(0, 98, 102), (5, 97, 101), (5, 96, 100), (9, 96, 100)]
    kind = np.array([1, 2, 1, 2, 1, 1], dtype=np.uint8)
    q = np.array([(round(t * S), b, a) for t, b, a in quotes], dtype=np.int64)
    t = np.array([trade(5, 98), trade(5, 96)], dtype=np.int64)
    events = Events(STOCK, kind, Quotes(*q.T), Trades(*t.T))
    result = mm.replay(events, ONE_TICK, interval=0.0, orders=mm.Orders())
    # The first trade fills the bid at 99; the new one, at 98, comes after the second trade.
    assert result.fills["price"].tolist() == [99]
    assert [m[:5] for m in sent(result)[2:]] == [
        (5.0, "NEW", "bid", 98, 1),
        (5.0, "AMEND", "ask", 100, 1),
        # at the second quote both await their answers; once these are there both move on
        (5.0, "AMEND", "bid", 97, 1),
        (5.0, "AMEND", "ask", 99, 1),
    ]


# ---- the same settings, however they are given


def test_a_mapping_in_seconds_gives_the_same_as_orders_in_ns(simulated):
    events = simulated.events
    settings = {"interval": 0.5, "latency": 0.05}
    orders = mm.Orders(
        min_life=250_000_000,
        hysteresis=1,
        messages=[(3, 10**9), (50, 60 * 10**9)],
        max_exposure=4,
        timeout=10**9 // 2,
        retry=10**7,
        amend=False,
    )
    given = {
        "min_life": 0.25,
        "hysteresis": 1,
        "messages": "3/1, 50/60",
        "max_exposure": 4,
        "timeout": 0.5,
        "retry": 0.01,
        "amend": False,
    }
    one = mm.replay(events, ONE_TICK, **settings, orders=orders)
    other = mm.replay(events, ONE_TICK, **settings, orders=given)
    assert one.message_log.tobytes() == other.message_log.tobytes()
    assert one.settings == other.settings
    assert {name: one.settings[name] for name in given} == given
    again = mm.replay(events, ONE_TICK, **settings, orders={name: one.settings[name] for name in given})
    assert again.message_log.tobytes() == one.message_log.tobytes()


def test_the_parameters_are_those_of_orders_with_its_defaults():
    default = mm.replay(market([(0, 98, 102), (9, 98, 102)]), ONE_TICK, orders={})
    for parameter in ORDERS_PARAMETERS:
        assert default.settings[parameter.name] == parameter.default
        assert parameter.doc
    assert default.orders.settings == mm.Orders().settings
    assert {p.name for p in ORDERS_PARAMETERS} == set(mm.Orders().settings)


def test_the_bound_has_the_same_orders(simulated):
    assert simulated.fill == "touch"
    through = mm.replay(simulated.events, ONE_TICK, orders={"hysteresis": 2}, interval=0.5)
    bound = through.optimistic
    assert bound.settings == through.settings | {"fill": "touch"}
    assert bound.orders.settings == through.orders.settings
    asked = mm.replay(
        simulated.events, ONE_TICK, orders=mm.Orders(hysteresis=2), interval=0.5, optimistic=True
    ).optimistic
    assert asked.message_log.tobytes() == bound.message_log.tobytes()


def test_a_run_whose_parameters_follow_the_market_is_the_same_with_orders_that_hold_nothing_back():
    events = mm.SimulatedMarket(duration=1200.0, seed=5).events()
    free, sent = mm.run(events), mm.run(events, orders={})
    assert np.count_nonzero(free.parameters["status"] == 0) > 5
    assert sent.parameters.tobytes() == free.parameters.tobytes()
    assert sent.attribution == free.attribution
    assert sent.decisions["inventory"].tolist() == free.decisions["inventory"].tolist()
    assert sent.optimistic.attribution == free.optimistic.attribution
    assert str(sent.explain(sent.totals.end_time)) == str(free.explain(free.totals.end_time))
    assert sent.messages == free.messages


def test_several_quoters_have_each_their_own(simulated):
    orders = mm.Orders(hysteresis=1, max_exposure=3)
    quoters = {"near": mm.Affine(base=1.0, q_max=5), "far": mm.Affine(base=3.0, q_max=5)}
    together = mm.replay(simulated.events, quoters, interval=0.0, latency=0.02, orders=orders)
    for name, quoter in quoters.items():
        alone = mm.replay(simulated.events, quoter, interval=0.0, latency=0.02, orders=orders)
        assert together[name].message_log.tobytes() == alone.message_log.tobytes()
        assert together[name].fills.tobytes() == alone.fills.tobytes()


def test_a_log_that_grows_is_the_same(simulated, monkeypatch):
    """Ten thousand messages and more: the logs are enlarged on the way."""
    events = mm.SimulatedMarket(duration=9000.0, seed=3).events()
    result = mm.replay(events, mm.Affine(base=2.0, q_max=20), interval=0.0, orders=mm.Orders())
    assert len(result.message_log) > 1 << 14
    assert np.all(np.diff(result.message_log["time"]) >= 0)
    assert np.all(result.message_log["answer"][:-10] > 0)
    assert np.all(np.diff(result.order_log.standing["time"]) >= 0)


# ---- what is refused


@pytest.mark.parametrize(
    ("orders", "words"),
    [
        (3, "orders must be Orders, or a mapping of min_life"),
        (mm.Orders(mm.Instrument("ABC", tick="0.01")), "orders must be for the instrument of the events"),
        ({"min_life": -1}, "min_life must be a finite number >= 0"),
        ({"hysteresis": 0.5}, "hysteresis must be an integer"),
        ({"messages": "50 per second"}, "messages must be budgets n/seconds"),
        ({"messages": "1/1"}, "messages must be budgets n/seconds such as .* n >= 2"),
        ({"messages": "5/0"}, "messages"),
        ({"max_exposure": -1}, "max_exposure must be an integer >= 0"),
        (mm.Orders(timeout=499_999_999), "timeout must be at least 500000000 ns"),
    ],
)
def test_what_orders_cannot_be(orders, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.replay(market([(0, 98, 102), (9, 98, 102)]), ONE_TICK, latency=0.25, orders=orders)


def test_a_setting_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UnknownName, match="no setting 'min_lief'; there are min_life, hysteresis"):
        mm.replay(market([(0, 98, 102), (9, 98, 102)]), ONE_TICK, orders={"min_lief": 1})


def test_times_beyond_what_orders_can_hold_are_refused():
    early = market([(-5, 98, 102), (9, 98, 102)])
    assert mm.replay(early, ONE_TICK).messages == 2
    with pytest.raises(InvalidArgument, match="between 0 and 2"):
        mm.replay(early, ONE_TICK, orders=mm.Orders())
    high = market([(0, 2**53, 2**53 + 4), (9, 2**53, 2**53 + 4)])
    assert mm.replay(high, ONE_TICK, orders=mm.Orders()).messages == 0  # nothing is quoted there


# ---- what the numbers say


def test_the_counts_are_those_of_the_log(simulated):
    log, counts = simulated.message_log, simulated.message_counts
    kinds = [mm.ActionKind(int(k)).name.lower() for k in log["kind"]]
    assert [counts.new, counts.amend, counts.cancel] == [kinds.count(k) for k in ("new", "amend", "cancel")]
    refused = [
        k for k, a in zip(kinds, log["answer"], strict=True) if "REJECTED" in mm.ReportKind(int(a) or 1).name
    ]
    assert counts.rejected == {k: refused.count(k) for k in ("new", "amend", "cancel")}
    assert counts.rejected["amend"] > 0
    assert simulated.totals.messages == (
        np.count_nonzero(log["side"] == 0),
        np.count_nonzero(log["side"] == 1),
    )
    start, sent = per_minute(simulated)
    assert sent.sum() == simulated.messages
    for minute, n in zip(start, sent, strict=True):
        assert n == np.count_nonzero((log["time"] >= minute) & (log["time"] < minute + 60 * S))


def test_the_life_of_an_order_by_walking_over_the_log(simulated):
    lives = {}
    for row in simulated.order_log.standing:
        first, _ = lives.get(int(row["order_id"]), (int(row["time"]), 0))
        lives[int(row["order_id"])] = first, int(row["end_time"])
    life = simulated.order_life
    assert sorted((end - start) / 1e9 for start, end in lives.values()) == life.seconds.tolist()
    accepted = simulated.message_log["answer"] == mm.ReportKind.ACCEPTED
    assert len(life.seconds) == np.count_nonzero(accepted)
    assert life.median == np.median(life.seconds)
    assert life.quantile(0.95) == np.quantile(life.seconds, 0.95)
    end = simulated.totals.end_time
    assert life.cut == sum(last == end for _, last in lives.values()) <= 2
    empty = OrderLife(np.zeros(0), 0)
    assert (empty.median, str(empty)) == (None, "no order reached the market")
    json.dumps(empty.to_dict(), allow_nan=False)


def test_presence_by_walking_over_time(simulated):
    """What stood at every moment at which anything changes."""
    s, totals = simulated.standing, simulated.totals
    moments = sorted({totals.first_time, totals.end_time, *s.start.tolist(), *s.end.tolist()})
    seen = {(False, False): 0, (True, False): 0, (False, True): 0, (True, True): 0}
    for now, following in pairwise(moments):
        there = (s.start <= now) & (s.end > now)
        seen[bool(there[s.side == 0].any()), bool(there[s.side == 1].any())] += following - now
    span = totals.end_time - totals.first_time
    p = simulated.presence
    assert (p.none, p.bid, p.ask, p.both) == pytest.approx([t / span for t in seen.values()], rel=1e-12)
    assert len(p.bid_reasons) > 2
    for period in simulated.by_hour(60.0):
        quoted_until = min(period.end, totals.end_time)
        there = Covered(*(np.clip(t, period.start, quoted_until) for t in (s.start, s.end)))
        covered = int(there.until(np.array([quoted_until]))[0])
        assert 1 - period.none == pytest.approx(covered / (quoted_until - period.start), rel=1e-12)


def test_fill_rates_by_the_decision_in_force(simulated):
    """Depth and place of an order follow the decisions: each piece of its life by hand."""
    d, s = simulated.decisions, simulated.standing
    edges = np.append(d["live_time"], 2**62)
    exposure, orders, hit = {}, {}, {}
    for i in range(len(s)):
        for j in range(int(s.decision[i]), len(d)):
            start, end = max(int(s.start[i]), int(edges[j])), min(int(s.end[i]), int(edges[j + 1]))
            if end <= start and j > s.decision[i]:
                break
            key = place(d[j], s.side[i], s.price[i])
            exposure[key] = exposure.get(key, 0) + end - start
            orders.setdefault(key, set()).add(int(s.order_id[i]))
    for f, c in zip(simulated.fills, simulated.fill_context, strict=True):
        key = place(d[c["decision"]], int(f["qty"] < 0), f["price"])
        assert key[1] == c["place"]
        hit.setdefault(key, set()).add(int(f["order_id"]))
    for rate in simulated.fill_rates:
        key = ("bid", "ask").index(rate.side), mm.results.PLACES.index(rate.place)
        assert rate.orders == len(orders.get(key, ()))
        assert rate.filled == len(hit.get(key, ()))
        assert rate.exposure == pytest.approx(exposure.get(key, 0) / 1e9)
    hits = sum(row.fills for row in simulated.intensity)
    assert hits == len(
        {
            (int(f["order_id"]), int(c["decision"]))
            for f, c in zip(simulated.fills, simulated.fill_context, strict=True)
        }
    )


def place(decision, side, price):
    touch = decision["touch_ask"] if side else decision["touch_bid"]
    better = touch - price if side else price - touch
    return int(side), 0 if better > 0 else 1 if better == 0 else 2


def test_what_is_drawn_is_what_stood(simulated):
    ours, s = quoted(simulated), simulated.standing
    for side, best in ((0, max), (1, min)):
        for i in range(0, len(ours["time"]), 7):
            now = ours["time"][i]
            prices = s.price[(s.side == side) & (s.start <= now) & (s.end > now)].tolist()
            drawn = ours[("bid", "ask")[side]][i]
            assert drawn == best(prices) if prices else np.isnan(drawn)


def test_the_best_of_several_orders_is_drawn():
    column = np.array
    both = Standing(
        column([1, 2, 3]),
        column([0, 0, 0]),
        column([0, 0, 0]),
        column([99, 101, 98]),
        column([0, 5, 20]),
        column([10, 8, 30]),
    )
    at, price = _best(both, 0)
    assert at.tolist() == [0, 5, 8, 10, 20, 30]
    np.testing.assert_array_equal(price, [99, 101, 99, np.nan, 98, np.nan])
    asks = Standing(*(v if name != "side" else 1 - v for name, v in vars(both).items()))
    np.testing.assert_array_equal(_best(asks, 1)[1], [99, 99, 99, np.nan, 98, np.nan])


def test_covered_time_by_counting():
    rng = np.random.default_rng(4)
    for n in (0, 1, 2, 7, 30):
        start = rng.integers(0, 60, n)
        end = start + rng.integers(0, 12, n)
        seconds = np.zeros(80, dtype=int)
        for a, b in zip(start, end, strict=True):
            seconds[a:b] = 1
        times = np.arange(-3, 80)
        expected = [int(seconds[: max(t, 0)].sum()) for t in times]
        assert Covered(start, end).until(times).tolist() == expected


def test_every_view_tells_of_messages_and_lives(simulated):
    text = json.dumps(simulated.summary(), allow_nan=False)
    found = json.loads(text)["orders"]
    assert found["messages"]["amend"] == simulated.message_counts.amend
    assert found["life"]["quantiles"]["0.5"] == simulated.order_life.median
    for view in (repr(simulated), simulated._repr_html_()):
        assert str(simulated.message_counts) in view
        assert str(simulated.order_life) in view


def test_without_orders_there_is_nothing_to_tell():
    result = mm.replay(market([(0, 98, 102), (9, 98, 102)]), ONE_TICK)
    assert (result.orders, result.message_counts, result.order_life) == (None, None, None)
    assert len(result.message_log) == 0
    assert result.message_log.dtype == mm.matching.MESSAGE
    assert result.summary()["orders"] is None
    assert stood(result, "bid")[0] == (0.0, 1.0, 99, 1)


# ---- a day of AMZN


@pytest.fixture(scope="module")
def amazon(shared):
    return mm.load(shared / "data" / "lobster_amzn")


def spread_out(events):
    """Give each row a stamp of its own, at most 57 ns later, and a last quote once more; whole ticks."""
    stamps = events.local_time
    rows = np.arange(len(stamps))
    stamps = np.maximum.accumulate(stamps - rows) + rows
    assert (stamps - events.local_time).max() == 57
    quote, q, t = events.kind == 1, events.quotes, events.trades
    columns = [
        np.append(column, column[-1]) for column in (stamps[quote], q.bid, q.ask, q.bid_size, q.ask_size)
    ]
    columns[0][-1] = stamps[-1] + 1
    trades = Trades(stamps[~quote], t.price, t.size)
    return Events(events.instrument, np.append(events.kind, np.uint8(1)), Quotes(*columns), trades)


@pytest.mark.realdata
def test_a_fixed_half_spread_sends_42662_messages_on_the_amazon_day(amazon):
    """One message for each change of floor(mid - 4) and ceil(mid + 4), where each row is answered."""
    rows = spread_out(amazon)
    quotes = Events(rows.instrument, None, rows.quotes)
    result = mm.replay(quotes, mm.Affine(base=4.0), interval=0.0, orders=mm.Orders())
    assert result.messages == 42_662
    assert mm.replay(quotes, mm.Affine(base=4.0), interval=0.0).messages == 42_662
    # Rows of one stamp are answered together, and what is in between is never sent.
    together = Events(amazon.instrument, None, amazon.quotes)
    assert mm.replay(together, mm.Affine(base=4.0), interval=0.0, orders=mm.Orders()).messages < 42_662


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("hysteresis", "messages", "fills", "profit"),
    # from a plain loop over Orders, row by row: no part of the replay
    [(0, 34_886, 2_584, "-9507"), (1, 17_969, 2_637, "-9361.5"), (2, 11_453, 2_635, "-8173.5")],
)
def test_the_amazon_day_row_by_row(amazon, hysteresis, messages, fills, profit):
    rows = spread_out(amazon)
    quoter = mm.Quoter(mm.Affine(base=4.0), rows.instrument, limits=mm.Limits(max_position=10))
    orders = mm.Orders(hysteresis=hysteresis, max_exposure=10)
    result = mm.replay(rows, quoter, interval=0.0, orders=orders)
    assert (result.messages, len(result.fills)) == (messages, fills)
    assert result.attribution.total == Decimal(profit) * Decimal("0.01")
