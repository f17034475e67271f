"""(s, S): lead times, invariances, and the power approximation against published figures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmcore.errors import CapacityError, InvalidArgument
from mmcore.inventory_control import (
    Demand,
    finite_horizon,
    newsvendor,
    optimal_s_S,
    policy_cost,
    power_approximation,
)

weights = st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(lambda p: sum(p[1:]) > 0)


def law(p):
    return Demand.pmf(np.arange(len(p)), np.array(p) / sum(p))


@given(
    p=weights,
    h=st.integers(1, 4),
    short=st.integers(1, 20),
    fixed=st.floats(0.5, 40.0),
    lead_time=st.integers(0, 4),
)
def test_a_lead_time_against_every_policy_near(p, h, short, fixed, lead_time):
    """Each policy's cost from the stationary law of its position, and of the demand that is under way."""
    found = optimal_s_S(h, short, fixed, law(p), lead_time=lead_time)
    pmf = np.array(p) / sum(p)
    ahead = np.ones(1)
    for _ in range(lead_time + 1):
        ahead = np.convolve(ahead, pmf)
    d = np.arange(len(ahead))

    def cost(s, top):
        n = top - s
        step = np.zeros((n, n))  # positions top, top - 1, ..., s + 1 after the order
        for i in range(n):
            for k, w in enumerate(pmf):
                step[i, i + k if i + k < n else 0] += w
        ones = np.vstack([step.T - np.eye(n), np.ones(n)])
        share = np.linalg.lstsq(ones, np.append(np.zeros(n), 1.0), rcond=None)[0]
        orders = sum(share[i] * pmf[n - i :].sum() for i in range(n))
        y = top - np.arange(n)
        period = [ahead @ (h * np.maximum(v - d, 0) + short * np.maximum(d - v, 0)) for v in y]
        return share @ period + fixed * orders

    assert found.cost == pytest.approx(cost(found.s, found.S), rel=1e-9)
    for ds in (-2, -1, 0, 1, 2):
        for dS in (-2, -1, 0, 1, 2):
            if found.s + ds < found.S + dS:
                other = cost(found.s + ds, found.S + dS)
                assert other >= found.cost * (1 - 1e-9)
                own = policy_cost(found.s + ds, found.S + dS, h, short, fixed, law(p), lead_time=lead_time)
                assert own == pytest.approx(other, rel=1e-9)


@given(p=weights, fixed=st.floats(0.5, 40.0), unit=st.sampled_from([0.25, 2.0, 3.0, 1e6]))
def test_the_unit_of_money_makes_no_difference(p, fixed, unit):
    one = optimal_s_S(1, 9, fixed, law(p))
    other = optimal_s_S(unit, 9 * unit, fixed * unit, law(p))
    assert other.cost == pytest.approx(one.cost * unit, rel=1e-12)
    value = policy_cost(other.s, other.S, 1, 9, fixed, law(p))
    assert value == pytest.approx(one.cost, rel=1e-12)


@given(p=weights, fixed=st.floats(0.5, 40.0), units=st.integers(2, 4))
def test_the_unit_of_demand_scales_the_policy(p, fixed, units):
    """Demand in multiples of m: the same problem with costs of m units in one."""
    one = optimal_s_S(1, 9, fixed, law(p))
    many = Demand.pmf(units * np.arange(len(p)), np.array(p) / sum(p))
    other = optimal_s_S(1 / units, 9 / units, fixed, many)
    assert other.cost == pytest.approx(one.cost, rel=1e-9)


@given(p=weights, fixed=st.floats(0.5, 40.0), more=st.floats(0.1, 20.0))
def test_more_costs_more(p, fixed, more):
    base = optimal_s_S(1, 9, fixed, law(p)).cost
    for h, short, k in ((1 + more, 9, fixed), (1, 9 + more, fixed), (1, 9, fixed + more)):
        assert optimal_s_S(h, short, k, law(p)).cost >= base * (1 - 1e-12)
    costs = [optimal_s_S(1, 9, fixed, law(p), lead_time=n).cost for n in range(3)]
    assert costs == sorted(costs)


@given(p=weights, short=st.integers(1, 20), lead_time=st.integers(0, 3))
def test_orders_that_cost_nothing_make_a_base_stock(p, short, lead_time):
    found = optimal_s_S(1, short, 0, law(p), lead_time=lead_time)
    best = newsvendor(1, short, law(p).over(lead_time + 1))
    assert found.s + 1 == found.S
    assert found.cost == pytest.approx(best.cost, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("held", [1e12, 1e30])
def test_holding_that_is_out_of_all_proportion(held):
    """Nothing is held then: up to S = 0 at the most, where a period costs what is owed."""
    from fractions import Fraction
    from itertools import accumulate

    p = [Fraction(1, 4), Fraction(1, 2), Fraction(1, 4)]
    m = [1 / (1 - p[0])]
    while len(m) < 30:
        j = len(m)
        m.append(sum(p[i] * m[j - i] for i in (1, 2) if i <= j) / (1 - p[0]))
    visits, owed = list(accumulate(m)), list(accumulate(9 * (1 + j) * w for j, w in enumerate(m)))
    costs = [(64 + cost) / n for cost, n in zip(owed, visits, strict=True)]
    best = min(range(30), key=costs.__getitem__)
    found = optimal_s_S(held, 9, 64, law([1, 2, 1]))
    assert (found.s, found.S) == (-1 - best, 0)
    assert found.cost == pytest.approx(float(costs[best]), rel=1e-13)


def test_a_shorter_stock_out_and_a_dearer_order_move_the_policy_as_they_should():
    demand = Demand.poisson(20)
    by_short = [optimal_s_S(1, p, 64, demand) for p in (2, 4, 9, 19, 49)]
    assert [f.s for f in by_short] == sorted(f.s for f in by_short)
    by_order = [optimal_s_S(1, 9, k, demand) for k in (4, 16, 64, 256)]
    assert [f.S - f.s for f in by_order] == sorted(f.S - f.s for f in by_order)
    assert [f.s for f in by_order] == sorted((f.s for f in by_order), reverse=True)


def test_a_long_horizon_comes_to_the_stationary_policy():
    """Undiscounted: the first periods of many have the (s, S) of the long run, and its cost a period."""
    demand = Demand.poisson(6)
    best = optimal_s_S(1, 4, 5, demand)
    found = finite_horizon(40, 1, 4, 5, demand, deviations=12.0)
    assert (found.s[:20] == best.s).all()
    assert (found.S[:20] == best.S).all()
    empty = -int(found.levels[0])
    per_period = found.values[0, empty] - found.values[1, empty]
    assert per_period == pytest.approx(best.cost, rel=1e-6)


@given(
    p=weights,
    fixed=st.floats(0.0, 20.0),
    price=st.floats(0.0, 3.0),
    discount=st.floats(0.5, 1.0),
    periods=st.integers(1, 4),
)
def test_a_finite_horizon_is_k_convex_everywhere(p, fixed, price, discount, periods):
    """Scarf (1960), on all levels that are returned: none of them sees where the lattice ends."""
    found = finite_horizon(
        periods, 1, 5, fixed, law(p), purchase_cost=price, discount=discount, deviations=50.0
    )
    for v in found.values[:-1] + price * found.levels:
        slope = np.diff(v)
        for a in range(1, min(8, len(v) - 1)):
            rise = v[1 + a :] - v[1 : len(v) - a]
            assert (fixed + rise - a * slope[: len(rise)] >= -1e-9 * (1 + np.abs(v).max())).all()
    assert found.error < 1e-9 * (1 + np.abs(found.values).max())
    assert (found.s <= found.S).all()


def test_power_approximations_as_published():
    """Snyder and Shen, example 4.7: s = 40.19, S = 74.29, where large orders are supposed.

    An order of 34 is less than 1.5 periods' demand of 50: Ehrhardt and Mosier then order up to no more than
    the newsvendor's level, which costs less.
    """
    s, top = power_approximation(0.18, 0.70, 2.5, 50, 8)
    assert s == pytest.approx(40.19461695647407, rel=1e-12)
    assert top == pytest.approx(50 + 8 * stats.norm.ppf(0.70 / 0.88), rel=1e-12)
    demand = Demand.normal(50, 8)
    cost = policy_cost(40, round(top), 0.18, 0.70, 2.5, demand)
    assert cost < policy_cost(40, 74, 0.18, 0.70, 2.5, demand)
    assert cost < 1.01 * optimal_s_S(0.18, 0.70, 2.5, demand).cost
    both = power_approximation(0.18, 0.70, [2.5, 25], 50, 8)
    assert [both[0][1], both[1][1]] == list(power_approximation(0.18, 0.70, 25, 50, 8))
    assert [both[0][0], both[1][0]] == [s, top]
    large = power_approximation(0.18, 0.70, 25, 50, 8)
    order = 1.3 * 50**0.494 * (25 / 0.18) ** 0.506 * (1 + 0.16**2) ** 0.116
    assert large[1] - large[0] == pytest.approx(order, rel=1e-12)
    assert order > 75


@pytest.mark.parametrize("lead_time", [0, 1, 3])
@pytest.mark.parametrize("mean", [10, 40])
def test_power_approximations_are_near_with_a_lead_time(mean, lead_time):
    demand = Demand.negative_binomial(mean, math.sqrt(3 * mean))
    exact = optimal_s_S(1, 19, 64, demand, lead_time=lead_time)
    s, top = power_approximation(1, 19, 64, mean, demand.std, lead_time)
    found = policy_cost(round(s), round(top), 1, 19, 64, demand, lead_time=lead_time)
    assert exact.cost <= found <= 1.05 * exact.cost


def test_a_horizon_takes_given_demand_whole():
    """One demand in a thousand is a thousand units: by hand, ordering for it costs more than owing it."""
    rare = Demand.pmf([0, 1000], [0.999, 0.001])
    one = finite_horizon(1, 1, 20, 50, rare)
    assert one.cost == pytest.approx(0.001 * 1000 * 20, rel=1e-12)
    assert one.cut == 0.0
    assert finite_horizon(5, 1, 20, 50, rare).cost == finite_horizon(5, 1, 20, 50, rare, deviations=1e3).cost
    cut = finite_horizon(2, 1, 20, 50, Demand.normal(100, 20), deviations=3.0).cut
    assert cut == pytest.approx(math.erfc(3.0 / math.sqrt(2.0)), abs=5e-4)


@pytest.mark.parametrize(
    "demand",
    [
        Demand.lognormal(300, 400),
        Demand.negative_binomial(10, 20),
        Demand.gamma(200, 120),
        Demand.normal(100, 20),
        Demand.of(stats.nbinom(0.5, 0.02)),
    ],
    ids=str,
)
def test_a_horizon_of_one_period_is_the_newsvendor_however_heavy_the_tail(demand):
    found, best = finite_horizon(1, 1, 200, 0, demand), optimal_s_S(1, 200, 0, demand)
    assert (found.s[0], found.S[0]) == (best.s, best.S)
    assert found.cost == pytest.approx(best.cost, rel=1e-9)
    assert found.cost == pytest.approx(newsvendor(1, 200, demand).cost, rel=2e-4)
    assert found.S[0] == pytest.approx(newsvendor(1, 200, demand).quantity, abs=0.51)
    assert found.cut == 0.0
    assert found.error < 1e-9 * found.cost


def test_the_first_of_many_periods_is_the_policy_of_the_long_run_at_a_heavy_tail():
    demand = Demand.lognormal(100, 100)
    found, best = finite_horizon(12, 1, 20, 64, demand), optimal_s_S(1, 20, 64, demand)
    assert (found.s[0], found.S[0]) == (best.s, best.S)
    one, two = found.values[:2, -found.levels[0]]
    assert one - two == pytest.approx(best.cost, rel=1e-5)


def test_a_range_that_is_asked_for_is_what_is_left_out():
    demand = Demand.lognormal(100, 100)
    found = finite_horizon(2, 1, 20, 64, demand, deviations=4.0)
    assert found.cut == pytest.approx(1.0 - demand.cdf(500.5), rel=1e-9)
    assert found.S[0] < finite_horizon(2, 1, 20, 64, demand).S[0]
    wide = finite_horizon(2, 1, 20, 64, demand, deviations=100.0)
    assert wide.cost == pytest.approx(finite_horizon(2, 1, 20, 64, demand).cost, rel=1e-6)


@given(
    p=weights,
    far=st.sampled_from([0, 7, 60]),
    costs=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(0, 20)),
    price=st.integers(0, 12),
    ends=st.tuples(st.integers(0, 4), st.integers(0, 15)),
    discount=st.sampled_from([1.0, 0.75, 0.5]),
    periods=st.integers(1, 4),
)
def test_all_values_of_a_horizon_by_enumeration(p, far, costs, price, ends, discount, periods):
    """On a lattice that no demand leaves, every order tried; where ordering never pays too."""
    h, short, fixed = costs
    chance = np.array(p + [0] * far + ([1] if far else [])) / (sum(p) + (far > 0))
    demand = Demand.pmf(np.arange(chance.size), chance)
    found = finite_horizon(
        periods,
        h,
        short,
        fixed,
        demand,
        purchase_cost=price,
        terminal_holding_cost=ends[0],
        terminal_stockout_cost=ends[1],
        discount=discount,
    )
    most = chance.size - 1
    low, high = int(found.levels[0]) - periods * most, max(int(found.levels[-1]), periods * most)
    x = np.arange(low, high + 1)
    value = np.where(x > 0, ends[0] * x, -ends[1] * x).astype(float)
    start, n = int(found.levels[0]) - low, found.levels.size
    for t in range(periods - 1, -1, -1):
        level = np.full(x.size, np.inf)
        for i in range(most, x.size):
            left = x[i] - np.arange(chance.size)
            paid = np.where(left > 0, h * left, -short * left)
            level[i] = chance @ (paid + discount * value[i - np.arange(chance.size)])
        whole = level + price * x
        value = np.array([min(whole[i], fixed + whole[i + 1 :].min(initial=np.inf)) for i in range(x.size)])
        value = value - price * x
        expected = value[start : start + n]
        assert np.isfinite(level[start : start + n]).all()
        np.testing.assert_allclose(
            found.values[t], expected, rtol=0, atol=1e-9 * (1 + np.abs(expected).max())
        )


@pytest.mark.parametrize("demand", [Demand.normal(1000, 2000), Demand.normal(100, 200)], ids=str)
@pytest.mark.parametrize("deviations", [None, 4.0])
def test_demand_that_is_negative_in_part_is_refused_as_by_other_policies(demand, deviations):
    words = r"demand must be not negative, while 0\.31 of it is"
    with pytest.raises(InvalidArgument, match=words):
        finite_horizon(1, 1, 200, 0, demand, deviations=deviations)
    with pytest.raises(InvalidArgument, match=words):
        optimal_s_S(1, 200, 0, demand)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: optimal_s_S(0, 1, 1, law([1, 1])), "holding_cost must be a finite number > 0, got 0"),
        (
            lambda: optimal_s_S(1, math.nan, 1, law([1, 1])),
            "stockout_cost must be a finite number > 0, got nan",
        ),
        (lambda: optimal_s_S(1, 1, -1, law([1, 1])), "order_cost must be a finite number >= 0, got -1"),
        (
            lambda: optimal_s_S(1, 1e30, 1, law([1, 1])),
            "stockout_cost must be within 1e16 times holding_cost",
        ),
        (lambda: optimal_s_S(1, 1, [1], law([1, 1])), "order_cost must be one number"),
        (lambda: optimal_s_S(1, 1, 1, 20), "demand must be a Demand"),
        (lambda: optimal_s_S(1, 1, 1, law([1])), "demand must be not always 0"),
        (lambda: optimal_s_S(1, 1, 1, Demand.pmf([0.5], [1])), "demand must be of whole units"),
        (lambda: optimal_s_S(1, 1, 1, law([1, 1]), lead_time=-1), "lead_time must be an integer >= 0"),
        (lambda: policy_cost(1.5, 3, 1, 1, 1, law([1, 1])), "s must be an integer"),
        (lambda: policy_cost(1, 2**60, 1, 1, 1, law([1, 1])), "S must be an integer"),
        (lambda: power_approximation(1, 1, 1, 0, 1), "mean must be a finite number > 0, got 0"),
        (lambda: power_approximation(1, 1, 1, 1, math.inf), "std must be a finite number > 0, got inf"),
        (lambda: power_approximation(1, 1, 1, 1, 1, -1), "lead_time must be a finite number >= 0, got -1"),
        (lambda: power_approximation([1, 2], 1, [1, 2, 3], 1, 1), "order_cost must be of a shape that fits"),
        (lambda: finite_horizon(1.5, 1, 1, 1, law([1, 1])), "periods must be an integer"),
        (lambda: finite_horizon(1, 1, 1, -1, law([1, 1])), "order_cost must be a finite number >= 0, got -1"),
        (lambda: finite_horizon(1, 1, 1, 1, law([1, 1]), purchase_cost=math.nan), "purchase_cost must be"),
        (lambda: finite_horizon(1, 1, 1, 1, law([1, 1]), discount=0.0), "discount must be"),
        (
            lambda: finite_horizon(1, 1, 1, 1, law([1, 1]), deviations=0),
            "deviations must be a finite number > 0",
        ),
        (lambda: finite_horizon(1, 1, 1, 1, law([1, 1]), tails="cut"), "deviations must be given"),
        (lambda: finite_horizon(1, 1, 1, 1, Demand.pmf([0.5], [1])), "demand must be of whole units"),
        (lambda: finite_horizon(1, 1, 1, 1, law([1, 1]), tails="lost"), "tails must be 'kept' or 'cut'"),
        (lambda: finite_horizon(1, 1, 1, 1, "normal"), "demand must be a Demand"),
        (lambda: finite_horizon(1, 1, 1, 1, Demand.poisson([1, 2])), "demand must be one distribution"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_policies_of_too_many_units_are_refused():
    with pytest.raises(CapacityError, match="count in larger units"):
        optimal_s_S(1e-12, 1, 1e9, Demand.poisson(1000))
