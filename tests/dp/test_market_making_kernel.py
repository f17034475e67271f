"""Steps and stationary solutions of inventory chains, against recursions that try every offer."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcore.errors import CapacityError, InvalidArgument, Unsupported
from mmcore.market_making import InventoryChain, Regimes

pytestmark = pytest.mark.compiled

UNIT = 2.0**-53


def tried(chain, v, base=None):
    """Value of every pair of offers at every node, in exact arithmetic: {(node, i, j): value}."""
    n, discount = len(chain), Fraction(chain.discount)
    v = [Fraction(float(x)) for x in v]
    base = v if base is None else [Fraction(float(x)) for x in base]
    sides = [
        [(Fraction(float(p)), Fraction(float(r)), int(d)) for p, r, d in zip(*side, strict=True)]
        for side in (chain.bid, chain.ask)
    ]
    for s in range(n):
        bids = [(i, *o) for i, o in enumerate(sides[0]) if s + o[2] < n] or [(-1, 0, 0, 0)]
        asks = [(j, *o) for j, o in enumerate(sides[1]) if s - o[2] >= 0] or [(-1, 0, 0, 0)]
        for (i, p, r, d), (j, h, e, c) in itertools.product(bids, asks):
            value = Fraction(float(chain.rate[s])) + discount * base[s] + p * r + h * e
            value += discount * (p * (v[s + d] - v[s]) + h * (v[s - c] - v[s]))
            yield s, i, j, value


def best_of(chain, v, base=None):
    best = [None] * len(chain)
    for s, _, _, value in tried(chain, v, base):
        best[s] = value if best[s] is None else max(best[s], value)
    return best


@st.composite
def chains(draw, discounts=(1.0, 0.99, 0.5, 0.0)):
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sides = []
    for _ in range(2):
        m = draw(st.integers(1, 9))
        p = rng.random(m) * 0.5
        if draw(st.booleans()):
            p[rng.integers(m)] = 0.0
        if draw(st.booleans()):  # equal and dominated lines
            p[rng.integers(m)] = p[rng.integers(m)]
        sides.append((p, rng.normal(0.5, 1.0, m)))
    rate = rng.normal(0.0, 1.0, n) * draw(st.sampled_from([0.0, 1e-3, 1.0]))
    v = rng.normal(0.0, 1.0, n) * draw(st.sampled_from([0.0, 1e-6, 1.0, 1e3]))
    if draw(st.booleans()):
        v = -np.sort(np.abs(v)) if draw(st.booleans()) else np.cumsum(np.sort(v)[::-1])  # concave
    return InventoryChain(rate, *sides, discount=draw(st.sampled_from(discounts))), v


@given(chains(), st.integers(1, 4))
def test_every_step_is_the_best_of_all_offers_whatever_the_shape_of_the_value(drawn, steps):
    chain, terminal = drawn
    values, bid, ask = chain.backward(steps, terminal)
    for t in range(steps):
        scale = np.abs(values[t + 1]).max() + np.abs(chain.rate).max() + 10.0
        exact = best_of(chain, values[t + 1])
        chosen = {(s, i, j): value for s, i, j, value in tried(chain, values[t + 1])}
        for s in range(len(chain)):
            assert abs(float(exact[s] - Fraction(float(values[t, s])))) <= 12 * UNIT * scale
            # the offers that are reported are worth what is reported
            taken = chosen[s, int(bid[t, s]), int(ask[t, s])]
            assert abs(float(exact[s] - taken)) <= 12 * UNIT * scale


@given(chains(), st.integers(1, 4))
def test_the_numpy_twin_gives_the_same_bits(drawn, steps):
    chain, terminal = drawn
    values, bid, ask = chain.backward(steps, terminal)
    absent = np.zeros(1)
    for t in range(steps):
        v, discount = values[t + 1], chain.discount
        level, up, down = [], [], []
        for codes, (p, r, _) in ((bid[t], chain.bid), (ask[t], chain.ask)):
            level.append(np.where(codes < 0, 0.0, (p * r)[codes]))
            (down if up else up).append(np.where(codes < 0, 0.0, (discount * p)[codes]))
        x = np.concatenate([np.diff(v), absent])
        y = np.concatenate([absent, np.diff(v)])
        twin = ((chain.rate + (level[0] + level[1])) + discount * v + up[0] * x) - down[0] * y
        assert np.array_equal(values[t], twin)


@given(st.integers(0, 2**32), st.integers(2, 12), st.booleans())
@settings(max_examples=30)
def test_sizes_and_independent_fills_try_every_pair(seed, n, independent):
    rng = np.random.default_rng(seed)
    sides = [(rng.random(3) * 0.5, rng.normal(1.0, 1.0, 3), rng.integers(1, 4, 3)) for _ in range(2)]
    chain = InventoryChain(rng.normal(size=n), *sides, discount=0.9, independent=independent)
    assert not chain.separates or (max(sides[0][2]) == 1 and max(sides[1][2]) == 1 and not independent)
    v = rng.normal(size=n)
    values, bid, ask = chain.backward(1, v)
    for s in range(n):
        found = {}
        bids = [i for i in range(3) if s + sides[0][2][i] < n] or [-1]
        asks = [j for j in range(3) if s - sides[1][2][j] >= 0] or [-1]
        for i, j in itertools.product(bids, asks):
            p, e, d = (sides[0][c][i] for c in range(3)) if i >= 0 else (0.0, 0.0, 0)
            h, g, c = (sides[1][c][j] for c in range(3)) if j >= 0 else (0.0, 0.0, 0)
            both = p * h if independent else 0.0
            # the law of what happens, outcome by outcome
            outcomes = {(1, 0): p - both, (0, 1): h - both, (1, 1): both, (0, 0): 1 - p - h + both}
            found[i, j] = chain.rate[s] + sum(
                chance * (b * e + a * g + 0.9 * v[s + b * d - a * c])
                for (b, a), chance in outcomes.items()
                if chance > 0 or (b, a) == (0, 0)
            )
        assert values[0, s] == pytest.approx(max(found.values()), rel=1e-13, abs=1e-13)
        assert found[int(bid[0, s]), int(ask[0, s])] == pytest.approx(values[0, s], rel=1e-13, abs=1e-13)


def test_single_orders_by_the_general_step_are_the_plain_ones():
    rng = np.random.default_rng(5)
    p, r = rng.random(6) * 0.5, rng.normal(1.0, 1.0, 6)
    rate = rng.normal(size=15)
    plain = InventoryChain(rate, (p, r), (p, r), discount=0.97)
    # an offer that never fits makes the chain general
    more = (np.append(p, 0.5), np.append(r, 100.0), np.append(np.ones(6), 15))
    general = InventoryChain(rate, more, more, discount=0.97)
    assert plain.separates
    assert not general.separates
    ours, theirs = plain.backward(50), general.backward(50)
    assert np.allclose(ours[0], theirs[0], rtol=1e-13, atol=1e-13)
    assert np.array_equal(ours[1], theirs[1])
    assert np.array_equal(ours[2], theirs[2])


@given(chains(discounts=(0.999, 0.9, 0.0)))
def test_a_discounted_solution_is_the_fixed_point(drawn):
    chain, _ = drawn
    value, bid, ask, gain, iterations = chain.stationary()
    assert gain == 0.0
    assert iterations < 60
    scale = np.abs(value).max() + np.abs(chain.rate).max() + 10.0
    for s, exact in enumerate(best_of(chain, value)):
        assert abs(float(exact - Fraction(float(value[s])))) <= 40 * UNIT * scale
    assert (bid[-1], ask[0]) == (-1, -1)


@given(chains(discounts=(1.0,)))
def test_an_average_solution_gains_alike_at_every_node(drawn):
    chain, _ = drawn
    p, q = chain.bid[0], chain.ask[0]
    if not (p.min() > 1e-3 and q.min() > 1e-3):
        return
    value, _, _, gain, _ = chain.stationary()
    scale = np.abs(value).max() + np.abs(chain.rate).max() + 10.0
    for s, exact in enumerate(best_of(chain, value)):
        assert abs(float(exact - Fraction(float(value[s]))) - gain) <= 100 * UNIT * scale


def test_the_gain_is_that_of_the_stationary_law():
    rng = np.random.default_rng(3)
    chain = InventoryChain(rng.normal(size=9), *[(rng.random(4) * 0.5, rng.normal(size=4)) for _ in "ba"])
    _, bid, ask, gain, _ = chain.stationary()
    up, down = np.where(bid < 0, 0, chain.bid[0][bid]), np.where(ask < 0, 0, chain.ask[0][ask])
    matrix = np.diag(1 - up - down) + np.diag(up[:-1], 1) + np.diag(down[1:], -1)
    law = np.linalg.lstsq(np.vstack([matrix.T - np.eye(9), np.ones(9)]), np.eye(10)[9])[0]
    reward = chain.rate + up * np.where(bid < 0, 0, chain.bid[1][bid])
    reward += down * np.where(ask < 0, 0, chain.ask[1][ask])
    assert gain == pytest.approx(law @ reward, rel=1e-11)


def test_a_gain_that_depends_on_the_start_is_refused():
    with pytest.raises(Unsupported, match="where inventory starts"):
        InventoryChain([0.0, 0.0, 0.0], ([0.0], [0.0]), ([0.0], [0.0])).stationary()


def test_no_trading_is_right_where_trading_only_costs():
    chain = InventoryChain(
        [0.0, 1.0, 0.0], ([0.0, 0.3], [0.0, -10.0]), ([0.0, 0.3], [0.0, -10.0]), discount=0.9
    )
    value, bid, ask, _, _ = chain.stationary()
    assert value == pytest.approx([0.0, 10.0, 0.0], abs=1e-13)
    assert bid.tolist() == [0, 0, -1]
    assert ask.tolist() == [-1, 0, 0]


def brute_regimes(regimes, change, exclusive, cross, v):
    """One step of all regimes in plain NumPy, market orders repeated until nothing changes."""
    out = np.empty_like(v)
    for r, chain in enumerate(regimes.chains):
        mixed = change[r] @ v
        moved = v[r] if exclusive else mixed
        out[r] = [float(value) for value in best_of(chain, moved, mixed)]
        while cross is not None:
            better = out[r].copy()
            better[:-1] = np.maximum(better[:-1], out[r][1:] - cross[r])
            better[1:] = np.maximum(better[1:], out[r][:-1] - cross[r])
            if np.array_equal(better, out[r]):
                break
            out[r] = better
    return out


@given(st.integers(0, 2**32), st.integers(1, 3), st.booleans(), st.booleans())
@settings(max_examples=30)
def test_regimes_and_market_orders(seed, count, exclusive, taking):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 15))
    cells = [
        InventoryChain(
            rng.normal(size=n), *[(rng.random(3) * 0.2, rng.normal(1.0, 1.0, 3)) for _ in "ba"], discount=0.95
        )
        for _ in range(count)
    ]
    change = 0.5 * np.eye(count) + 0.5 * rng.dirichlet(np.ones(count), count)
    change /= change.sum(axis=1, keepdims=True)
    cross = rng.random(count) + 0.05 if taking else None
    regimes = Regimes(cells, change, exclusive=exclusive, cross=cross)
    v = rng.normal(size=(count, n))
    values, _, _, take = regimes.backward(3, v)
    for t in (2, 1, 0):
        assert np.allclose(
            values[t], brute_regimes(regimes, change, exclusive, cross, values[t + 1]), rtol=0, atol=1e-12
        )
        for r, s in np.ndindex(count, n):
            lots = int(take[t, r, s])
            if lots:  # where it ends nothing is left to take, and the way there costs what it costs
                assert take[t, r, s + lots] == 0
                arrived = values[t, r, s + lots] - cross[r] * abs(lots)
                assert values[t, r, s] == pytest.approx(arrived, abs=1e-12)
    one = regimes.step(values[1])
    assert np.array_equal(one[0], values[0])
    assert np.array_equal(one[3], take[0])


def test_the_callers_arrays_are_written():
    p, r = [0.1, 0.3], [2.0, 1.0]
    chain = InventoryChain(-0.01 * np.arange(-4, 5.0) ** 2, (p, r), (p, r))
    fresh = chain.backward(7)
    values, bid = np.empty((8, 9)), np.empty((7, 9), np.int16)
    ours = chain.backward(7, values=values, bid=bid, ask=np.empty((7, 9), np.int16))
    assert ours[0] is values
    assert ours[1] is bid
    assert fresh[1].dtype == np.int8
    assert all(np.array_equal(a, b) for a, b in zip(ours, fresh, strict=True))


def test_a_long_run_keeps_its_lines_between_the_blocks_that_signals_interrupt():
    p = 0.3 * np.exp(-0.5 * np.arange(5))
    chain = InventoryChain(
        -1e-3 * np.arange(-1000, 1001.0) ** 2 / 100, (p, np.arange(5.0)), (p, np.arange(5.0))
    )
    short = np.empty((101, 2001))
    chain.backward(100, values=short)
    again = np.zeros(2001)
    for _ in range(100):
        again = chain.backward(1, again)[0][0]
    assert np.array_equal(short[0], again)


def test_wrong_arguments_are_refused_by_name():
    good = ([0.2], [1.0])
    for arguments, name in [
        (([0.0], good, good), "rate"),
        (([0.0, np.nan], good, good), "rate"),
        (([0.0, 0.0], ([1.2], [1.0]), good), "bid"),
        (([0.0, 0.0], good, ([0.1, 0.2], [1.0])), "ask"),
        (([0.0, 0.0], good, ([0.1], [np.inf])), "ask"),
        (([0.0, 0.0], ([0.5], [1.0]), ([0.6], [1.0])), "ask"),
        (([0.0, 0.0], ([0.5], [1.0], [0.5]), good), "bid"),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            InventoryChain(*arguments)
        assert refused.value.argument == name
    with pytest.raises(CapacityError):
        InventoryChain([0.0, 0.0], (np.zeros(32768), np.zeros(32768)), good)
    with pytest.raises(InvalidArgument, match="discount"):
        InventoryChain([0.0, 0.0], good, good, discount=1.5)
    chain = InventoryChain([0.0, 0.0], good, good)
    for arguments, name in [
        ({"steps": -1}, "steps"),
        ({"steps": 1, "terminal": [0.0, np.inf]}, "terminal"),
        ({"steps": 1, "terminal": np.zeros(3)}, "terminal"),
        ({"steps": 1, "values": np.empty((1, 2))}, "values"),
        ({"steps": 1, "bid": np.empty((1, 2))}, "bid"),
        ({"steps": 1, "bid": np.empty((1, 2), np.int8), "ask": np.empty((1, 2), np.int16)}, "ask"),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            chain.backward(**arguments)
        assert refused.value.argument == name
    with pytest.raises(InvalidArgument, match="change"):
        Regimes([chain, chain])
    with pytest.raises(InvalidArgument, match="change"):
        Regimes([chain, chain], [[0.3, 0.7], [0.5, 0.5]])
    with pytest.raises(InvalidArgument, match="cross"):
        Regimes([chain], cross=[0.0])


def test_values_beyond_numbers_are_refused():
    with pytest.raises(OverflowError):
        InventoryChain([1e308, 1e308], ([0.1], [1.0]), ([0.1], [1.0])).backward(5)
