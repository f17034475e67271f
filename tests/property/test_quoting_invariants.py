"""Laws of every quote, on random policies, rules and market states, against a plain-Python twin."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from quoting_twin import AffineTwin, Cell, Rules, TableTwin, depths, quote

from mmcore.quoting import STAGES, Affine, FeedAge, Limits, Obligations, QuoteBuffer, Quoter, Table, Why

pytestmark = pytest.mark.compiled

NO_BID, NO_ASK = -(2**63), 2**63 - 1
ODD = st.sampled_from(
    [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1e308, -1e308, 2.0**52, -(2.0**52), 2.0**43]
)


def exact(low: int, high: int, unit: int = 1024) -> st.SearchStrategy[float]:
    """Multiples of 1/unit: sums of a few are exact."""
    return st.integers(low * unit, high * unit).map(lambda n: n / unit)


depth = st.one_of(st.floats(-5, 20), st.integers(-3, 9).map(float))
slope = st.floats(0, 3)
rate = st.floats(-0.1, 0.1)


@st.composite
def affines(draw):
    """An affine policy and its twin."""
    order = float(draw(st.integers(1, 5)))
    bound = draw(st.one_of(st.just(math.inf), st.integers(1, 6).map(lambda n: n * order)))
    steady = draw(st.booleans())
    zero = st.just((0.0, 0.0))
    arguments = {
        "base": draw(st.tuples(depth, depth)),
        "slope": draw(st.tuples(slope, slope)),
        "base_rate": draw(zero if steady else st.tuples(rate, rate)),
        "slope_rate": draw(zero if steady else st.tuples(rate, rate)),
        "q_max": bound,
        "order_size": order,
        "horizon": draw(st.sampled_from([math.inf, 0.0, 10.0, 1.7])),
    }
    return Affine(**arguments), AffineTwin(**arguments)


@st.composite
def tables(draw):
    """A table with holes, sizes, takes, states and knots, and its twin."""
    order = draw(st.integers(1, 4))
    steps = draw(st.integers(1, 4))
    finer = draw(st.sampled_from([n for n in (1, 2, 3, 4) if order % n == 0]))
    n_q = 2 * steps * finer + 1
    stationary = draw(st.booleans())
    gaps = draw(st.lists(st.floats(0.01, 5), max_size=3))
    knots = [0.0]
    for gap in gaps:
        knots.append(knots[-1] + gap)
    if stationary and draw(st.booleans()):
        knots = []
    n_rows, n_states = len(knots) + stationary, draw(st.integers(1, 3))
    maybe = st.one_of(depth, depth, depth, st.just(math.nan))
    sizes = draw(st.sampled_from([st.just(order), st.integers(0, 6)]))
    takes = draw(st.sampled_from([st.just(0), st.integers(-4, 4)]))

    def grid(values):
        row = st.lists(values, min_size=n_q, max_size=n_q)
        return draw(
            st.lists(st.lists(row, min_size=n_rows, max_size=n_rows), min_size=n_states, max_size=n_states)
        )

    bid, ask, bid_size, ask_size, take = grid(maybe), grid(maybe), grid(sizes), grid(sizes), grid(takes)

    def cell(s, r, i):
        depth = [bid[s][r][i], ask[s][r][i]]
        size = [bid_size[s][r][i], ask_size[s][r][i]]
        for side in (0, 1):
            if math.isnan(depth[side]) or size[side] == 0:
                depth[side], size[side] = math.nan, 0
        return Cell(depth, size, take[s][r][i])

    cells = [[[cell(s, r, i) for i in range(n_q)] for r in range(n_rows)] for s in range(n_states)]
    flat = [c for state in cells for row in state for c in row]
    assume(any(c.take or c.size[0] or c.size[1] for c in flat))
    last = knots[-1] if knots else math.inf
    horizon = draw(st.sampled_from([last, last + 3.0, math.inf])) if stationary else last
    twin = TableTwin(cells, float(steps * order), float(order), knots, stationary, horizon)
    table = Table(
        bid, ask, q_max=steps * order, order_size=order, time_left=knots or None, stationary=stationary,
        bid_size=bid_size, ask_size=ask_size, take=take, horizon=horizon,
    )  # fmt: skip
    return table, twin


policies = st.one_of(affines(), tables())


@st.composite
def rule_sets(draw):
    """Limits, obligations, volatility scale and halt."""
    return Rules(
        max_position=draw(st.one_of(st.just(math.inf), st.integers(0, 12).map(float), st.floats(0, 12))),
        volatility_scale=draw(st.one_of(st.just(1.0), st.floats(0, 4))),
        max_spread=draw(st.one_of(st.just(0), st.integers(1, 12))),
        min_size=draw(st.one_of(st.just(0), st.integers(1, 6))),
        shrink=draw(st.booleans()),
        halted=draw(st.integers(0, 9)) == 0,
        halt_after=draw(st.sampled_from([0.0, 0.0, 1.0])),
        **draw(
            st.sampled_from(
                [{}, {}, {"widen_after": 0.25, "widen": 2.0}, {"widen_after": 1e-9, "widen": 0.3}]
            )
        ),
    )


def quoter_of(policy, rules: Rules) -> Quoter:
    limits = Limits(None if math.isinf(rules.max_position) else rules.max_position, rules.shrink)
    obligations = Obligations(rules.max_spread or None, rules.min_size or None)
    age = FeedAge(rules.halt_after or None, rules.widen_after or None, rules.widen)
    quoter = Quoter(policy, None, limits, obligations, age)
    quoter.volatility_scale = rules.volatility_scale
    if rules.halted:
        quoter.halt("test")
    return quoter


plain = {
    "reference": exact(95, 110),
    "inventory": st.integers(-8, 8).map(float),
    "bid": st.one_of(st.none(), st.integers(94, 104)),
    "ask": st.one_of(st.none(), st.integers(100, 110)),
    "shift": exact(-3, 3),
    "target": st.integers(-4, 4).map(float),
}
plain_states = st.fixed_dictionaries(plain)
touch = st.sampled_from([NO_BID, NO_ASK, NO_BID + 1, NO_ASK - 1, 2**52, -(2**52), 2**62])
rough = {
    "reference": st.one_of(st.floats(95, 110), st.floats(2.0**40, 2.0**53), ODD),
    "inventory": st.one_of(st.floats(-8, 8), ODD),
    "bid": touch,
    "ask": touch,
    "shift": st.one_of(st.floats(-3, 3), ODD),
    "target": st.one_of(st.floats(-4, 4), ODD),
    "time_left": st.one_of(st.floats(-1, 20), ODD),
    "state": st.one_of(st.integers(-1, 3), st.sampled_from([2**62, -(2**62)])),
    "age": st.one_of(st.floats(-1, 4), ODD),
}


@st.composite
def states(draw):
    """A market that can be quoted, with up to two arguments from further out."""
    market = draw(plain_states)
    market["time_left"] = draw(st.sampled_from([0.0, 0.5, math.inf]))
    market["state"] = 0
    market["age"] = draw(st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    for name in draw(st.lists(st.sampled_from(sorted(rough)), max_size=2)):
        market[name] = draw(rough[name])
    return market


def content(q) -> tuple:
    return q.bid, q.ask, q.bid_size, q.ask_size, q.take, int(q.why)


def absent(market: dict) -> dict:
    """The market with the int64 signs of an absent touch as None, which the twin knows."""
    return market | {
        "bid": None if market["bid"] == NO_BID else market["bid"],
        "ask": None if market["ask"] == NO_ASK else market["ask"],
    }


@given(policies, rule_sets(), states())
def test_every_door_equals_the_twin(pair, rules, market):
    policy, twin = pair
    quoter = quoter_of(policy, rules)
    expected = quote(twin, rules, **absent(market))
    scalar = quoter.quote(**market)
    assert content(scalar) == expected
    buffer = QuoteBuffer()
    quoter.quote_into(buffer, **market)
    assert content(buffer) == expected
    assert buffer.quote() == scalar
    row = quoter.quote_batch(**market)
    assert row.shape == ()
    stated = (
        row["bid"] if row["bid_size"] else None, row["ask"] if row["ask_size"] else None,
        row["bid_size"], row["ask_size"], row["take"], row["why"],
    )  # fmt: skip
    assert stated == expected
    assert (row["bid"] == NO_BID) == (row["bid_size"] == 0)
    assert (row["ask"] == NO_ASK) == (row["ask_size"] == 0)
    assert quoter.explain(**market).quote == scalar


def test_twenty_thousand_quotes_equal_the_twin():
    """Dense in the cases that hypothesis seldom combines; seeded."""
    random = Random(2024)
    seen = Why(0)
    for _ in range(400):
        policy, twin = random_policy(random)
        for _ in range(5):
            rules = Rules(
                max_position=random.choice([math.inf, random.randrange(12), random.uniform(0, 12)]),
                volatility_scale=random.choice([1.0, 1.0, random.uniform(0, 3)]),
                max_spread=random.choice([0, 0, random.randrange(1, 8)]),
                min_size=random.choice([0, 0, random.randrange(1, 6)]),
                shrink=random.random() < 0.5,
                halt_after=random.choice([0.0, 0.0, 3.0]),
                widen_after=1.0,
                widen=random.choice([0.5, 3.0]),
            )
            quoter = quoter_of(policy, rules)
            for _ in range(10):
                bid = random.randrange(95, 106)
                market = {
                    "reference": random.choice([random.uniform(97, 104), random.randrange(970, 1040) * 0.1]),
                    "inventory": random.choice([random.randrange(-9, 10), random.uniform(-9, 9)]),
                    "bid": random.choice([None, bid, bid]),
                    "ask": random.choice([None, bid + random.randrange(0, 8), bid + 1]),
                    "shift": random.choice([0.0, random.uniform(-2, 2)]),
                    "target": random.choice([0.0, random.randrange(-3, 4), random.uniform(-3, 3)]),
                    "time_left": random.choice([math.inf, 0.0, random.uniform(0, 12)]),
                    "state": random.randrange(twin.n_states),
                    "age": random.choice([0.0, 0.0, random.uniform(0, 4)]),
                }
                expected = quote(twin, rules, **market)
                assert content(quoter.quote(**market)) == expected, (twin, rules, market)
                seen |= expected[5]
    assert seen & ~(Why.POLICY_BID | Why.POLICY_ASK) == (
        Why.LIMIT_BID
        | Why.LIMIT_ASK
        | Why.NO_STATIONARY
        | Why.BEYOND_HORIZON
        | Why.TOUCH_BID
        | Why.TOUCH_ASK
        | Why.OBLIGATION
        | Why.TIGHTENED
        | Why.SHRUNK
        | Why.APART
        | Why.STALE
        | Why.WIDENED
    )


def random_policy(random: Random):
    """An affine policy or a table, and its twin, all cells drawn."""
    order = random.randrange(1, 4)
    if random.random() < 0.4:
        pairs = {name: (random.uniform(-1, 4), random.uniform(-1, 4)) for name in ("base", "slope")}
        if random.random() < 0.5:
            pairs["slope_rate"] = (random.uniform(0, 0.1), random.uniform(0, 0.1))
        arguments = pairs | {"order_size": float(order), "q_max": random.choice([math.inf, 3.0 * order])}
        return Affine(**arguments, horizon=10.0), AffineTwin(**arguments, horizon=10.0)
    n_q, stationary = 2 * random.randrange(1, 4) + 1, random.random() < 0.7
    knots = [0.0, *(random.uniform(0.1, 4) + 4 * i for i in range(random.randrange(3)))]
    if stationary and random.random() < 0.4:
        knots = []
    shape = (random.randrange(1, 3), len(knots) + stationary, n_q)

    def cell():
        depth = [random.choice([math.nan, *(random.uniform(-3, 6) for _ in range(6))]) for _ in "ba"]
        size = [0 if math.isnan(d) else random.randrange(1, 6) for d in depth]
        return Cell(depth, size, random.choice([0, 0, random.randrange(-4, 5)]))

    cells = [[[cell() for _ in range(shape[2])] for _ in range(shape[1])] for _ in range(shape[0])]

    def column(pick):
        return [[[pick(c) for c in row] for row in rows] for rows in cells]

    q_max = order * (n_q // 2)
    table = Table(
        column(lambda c: c.depth[0]), column(lambda c: c.depth[1]), q_max=q_max, order_size=order,
        time_left=knots or None, stationary=stationary, bid_size=column(lambda c: c.size[0]),
        ask_size=column(lambda c: c.size[1]), take=column(lambda c: c.take),
    )  # fmt: skip
    last = knots[-1] if knots else math.inf
    return table, TableTwin(cells, float(q_max), float(order), knots, stationary, last)


@given(policies, rule_sets(), st.lists(states(), max_size=12))
def test_a_batch_is_its_rows(pair, rules, markets):
    quoter = quoter_of(pair[0], rules)
    columns = {
        name: [market[name] for market in markets]
        for name in ("reference", "inventory", "shift", "target", "age")
    }
    columns = {name: np.array(values, dtype=float) for name, values in columns.items()}
    columns["time_left"] = np.array([market["time_left"] for market in markets], dtype=float)
    for name, gone in (("bid", NO_BID), ("ask", NO_ASK)):
        columns[name] = np.array([gone if m[name] is None else m[name] for m in markets], dtype=np.int64)
    columns["state"] = np.array([market["state"] for market in markets], dtype=np.int64)
    rows = quoter.quote_batch(**columns)
    for row, market in zip(rows, markets, strict=True):
        single = quoter.quote_batch(**market)
        assert row.tobytes() == single.tobytes()


@given(
    policies,
    st.one_of(st.floats(-9, 9), ODD),
    st.one_of(st.just(math.inf), st.floats(-1, 20), ODD),
    st.integers(-1, 3),
)
def test_depths_equal_the_twin_and_absent_is_the_only_nan(pair, inventory, time_left, state):
    policy, twin = pair
    cell, _ = depths(twin, inventory, time_left, state)
    expected = tuple(None if math.isnan(d) else d for d in cell.depth)
    assert policy.depths(inventory, time_left, state) == expected
    batch = policy.depths_batch([inventory], time_left, state)
    assert tuple(None if math.isnan(side[0]) else side[0] for side in batch) == expected
    assert all(d is None or math.isfinite(d) for d in expected)


@given(policies, rule_sets(), states())
def test_bid_stays_below_ask_and_neither_crosses_the_touch(pair, rules, market):
    q = quoter_of(pair[0], rules).quote(**market)
    if q.bid is not None and q.ask is not None:
        assert q.bid < q.ask
    if q.bid is not None and market["ask"] is not None:
        assert q.bid < market["ask"]
    if q.ask is not None and market["bid"] is not None:
        assert q.ask > market["bid"]


@given(policies, rule_sets(), states())
def test_no_fill_leads_beyond_the_limit(pair, rules, market):
    q = quoter_of(pair[0], rules).quote(**market)
    inventory = market["inventory"]
    if q.bid_size or q.take > 0:
        assert inventory + max(q.take, 0) + q.bid_size <= rules.max_position
    if q.ask_size or q.take < 0:
        assert inventory + min(q.take, 0) - q.ask_size >= -rules.max_position
    assert q.bid_size >= 0 <= q.ask_size


@given(policies, rule_sets(), states())
def test_every_absence_has_a_reason(pair, rules, market):
    q = quoter_of(pair[0], rules).quote(**market)
    both = (
        Why.REFERENCE | Why.CROSSED | Why.HALTED | Why.NO_STATIONARY | Why.PAST_HORIZON | Why.BEYOND_HORIZON
        | Why.INVENTORY | Why.STATE | Why.RANGE | Why.SHIFT | Why.TIME | Why.STALE
    )  # fmt: skip
    if q.bid is None:
        assert q.why & (both | Why.LIMIT_BID | Why.POLICY_BID)
    if q.ask is None:
        assert q.why & (both | Why.LIMIT_ASK | Why.POLICY_ASK)


@given(affines(), rule_sets(), plain_states, st.integers(1, 6))
def test_prices_never_rise_with_the_inventory(pair, rules, market, more):
    rules.max_spread = 0  # an obligation may trade one side's distance for the other's
    quoter = quoter_of(pair[0], rules)
    low = quoter.quote(**market, time_left=0.0)
    high = quoter.quote(**(market | {"inventory": market["inventory"] + more}), time_left=0.0)
    assume(not (low.why | high.why) & Why.APART)
    if low.bid is not None and high.bid is not None:
        assert high.bid <= low.bid
    if low.ask is not None and high.ask is not None:
        assert high.ask <= low.ask


def mirrored(pair):
    """The policy of someone who calls buying selling."""
    policy, twin = pair
    swap = {name: getattr(twin, name)[::-1] for name in ("base", "slope", "base_rate", "slope_rate")}
    return Affine(**swap, q_max=policy.q_max, order_size=policy.order_size, horizon=policy.horizon)


@given(affines(), rule_sets(), plain_states)
def test_mirroring_the_market_swaps_the_sides(pair, rules, market):
    here = quoter_of(pair[0], rules).quote(**market, time_left=0.0)
    there = quoter_of(mirrored(pair), rules).quote(
        reference=-market["reference"], inventory=-market["inventory"], shift=-market["shift"],
        target=-market["target"], bid=None if market["ask"] is None else -market["ask"],
        ask=None if market["bid"] is None else -market["bid"], time_left=0.0,
    )  # fmt: skip
    flat = market["inventory"] == market["target"]
    # An odd tick of an obligation, or of stepping apart, has to go to one side: with no inventory
    # to reduce, to the bid's.
    assume(not (flat and here.why & (Why.TIGHTENED | Why.APART)))
    assert here.bid == (None if there.ask is None else -there.ask)
    assert here.ask == (None if there.bid is None else -there.bid)
    assert (here.bid_size, here.ask_size, here.take) == (there.ask_size, there.bid_size, -there.take)


@given(policies, rule_sets(), plain_states, st.integers(-(10**6), 10**6))
def test_whole_ticks_translate(pair, rules, market, ticks):
    quoter = quoter_of(pair[0], rules)
    moved = market | {"reference": market["reference"] + ticks}
    moved |= {side: None if market[side] is None else market[side] + ticks for side in ("bid", "ask")}
    here, there = quoter.quote(**market), quoter.quote(**moved)
    # The depths are floats of full length: their last bits may be lost at the larger price. A
    # target within that noise of half a quantum below a tick is the one exception.
    explained = quoter.explain(**market)
    for terms in (explained.bid, explained.ask):
        assume(abs(terms.get("rounding", 0.5)) % 1 > 2**-19)
    assert here.bid == (None if there.bid is None else there.bid - ticks)
    assert here.ask == (None if there.ask is None else there.ask - ticks)
    assert here.why == there.why


@given(policies, rule_sets(), states())
def test_explanations_add_up_exactly(pair, rules, market):
    explained = quoter_of(pair[0], rules).explain(**market)
    for price, terms in ((explained.quote.bid, explained.bid), (explained.quote.ask, explained.ask)):
        if price is not None:
            assert len(terms) == len(STAGES)
            assert sum(map(Fraction, terms.values())) == price
            assert math.fsum(terms.values()) == price
        assert all(math.isfinite(term) for term in terms.values())


@given(plain_states, st.floats(0.1, 5), st.floats(0, 2), st.integers(1, 4))
def test_shifting_the_target_is_shifting_the_inventory_for_the_policy_only(market, base, slope, lots):
    quoter = Quoter(Affine(base=base, slope=slope))
    moved = market | {"inventory": market["inventory"] + lots, "target": market["target"] + lots}
    assert content(quoter.quote(**market)) == content(quoter.quote(**moved))
    quoter.limits = Limits(max_position=abs(market["inventory"]))
    q = quoter.quote(**moved)
    if market["inventory"] >= 0 and not q.why & Why.CROSSED:
        assert q.bid is None
        assert q.why & Why.LIMIT_BID
