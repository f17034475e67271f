"""Newsvendors and lot sizes: base stocks, invariances, and input that is refused."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmcore.errors import InvalidArgument
from mmcore.inventory_control import Demand, newsvendor, wagner_whitin

positive = st.floats(0.01, 100.0)


@given(h=positive, p=positive, unit=positive, mean=st.floats(1.0, 100.0), cv=st.floats(0.05, 1.0))
def test_newsvendors_scale(h, p, unit, mean, cv):
    families = (Demand.normal, Demand.lognormal, Demand.gamma)
    for family in families if cv < 0.3 else families[1:]:  # a wider normal demand is negative at times
        one = newsvendor(h, p, family(mean, cv * mean))
        money = newsvendor(h * unit, p * unit, family(mean, cv * mean))
        assert (money.quantity, money.cost) == pytest.approx((one.quantity, one.cost * unit), rel=1e-9)
        units = newsvendor(h / unit, p / unit, family(mean * unit, cv * mean * unit))
        assert (units.quantity, units.cost) == pytest.approx((one.quantity * unit, one.cost), rel=1e-9)
        assert one.service_level == pytest.approx(p / (p + h), rel=1e-9)


@given(p=st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(lambda p: sum(p[1:]) > 0))
def test_dearer_shortage_orders_more(p):
    demand = Demand.pmf(np.arange(len(p)), np.array(p) / sum(p))
    quantities = newsvendor(1.0, [0.5, 1, 2, 5, 20, 100], demand).quantity
    assert (np.diff(quantities) >= 0).all()


def test_a_base_stock_with_a_lead_time_when_it_is_played():
    """Every period orders what was asked for: net stock is S less the demand of L + 1 periods."""
    demand, h, p, lead_time = Demand.poisson(4), 1.0, 9.0, 3
    best = newsvendor(h, p, demand.over(lead_time + 1))
    asked = np.random.default_rng(2).poisson(4, 400_000)
    net = best.quantity - np.convolve(asked, np.ones(lead_time + 1), mode="valid")
    cost = h * np.maximum(net, 0) + p * np.maximum(-net, 0)
    batches = cost[: len(cost) // 200 * 200].reshape(200, -1).mean(axis=1)
    assert abs(batches.mean() - best.cost) < 4 * batches.std() / math.sqrt(200)
    for other in (best.quantity - 1, best.quantity + 1):
        assert newsvendor(h, p, demand.over(lead_time + 1), other).cost >= best.cost


def test_no_demand_is_met_in_full():
    found = newsvendor(1, 2, Demand.pmf([0], [1]))
    assert tuple(found) == (0.0, 0.0, 1.0, 1.0)


@given(
    demand=st.lists(st.integers(0, 50), min_size=1, max_size=9).filter(sum),
    fixed=st.integers(1, 100),
    held=st.integers(1, 5),
    unit=st.sampled_from([0.25, 2.0, 1e6]),
)
def test_lot_sizes_scale_and_order_when_stock_is_gone(demand, fixed, held, unit):
    one = wagner_whitin(demand, fixed, held)
    other = wagner_whitin(demand, fixed * unit, held * unit)
    assert other.cost == pytest.approx(one.cost * unit, rel=1e-12, abs=1e-9 * unit)
    stock = np.cumsum(one.orders) - np.cumsum(demand)
    before = np.append(0.0, stock[:-1])
    assert (before[one.orders > 0] == 0).all()  # Wagner and Whitin, theorem 1
    assert stock[-1] == 0


@pytest.mark.parametrize(
    ("demand", "fixed", "held", "orders", "cost"),
    [
        # a unit of the small demands costs as much to hold for one period as an order
        ([1e12, 1e-6, 1e-6, 1e-6], 1.5e-3, 1e3, [1e12 + 1e-6, 0.0, 2e-6, 0.0], 5e-3),
        ([1e16, 1.0, 1.0], 10.0, 2.0, [1e16 + 2, 0.0, 0.0], 16.0),
        ([1e9] + [0.1] * 5, 1e-3, 1.0, [1e9] + [0.1] * 5, 6e-3),
    ],
)
def test_small_demands_keep_their_digits_beside_large_ones(demand, fixed, held, orders, cost):
    found = wagner_whitin(demand, fixed, held)
    assert found.orders == pytest.approx(orders, rel=1e-14)
    assert found.cost == pytest.approx(cost, rel=1e-14)


@given(
    demand=st.lists(st.sampled_from([0.0, 1e-9, 1e-3, 1.0, 1e5, 1e13]), min_size=1, max_size=7),
    fixed=st.floats(1e-6, 1e6),
    held=st.floats(1e-6, 1e6),
)
def test_a_plan_is_the_cheapest_in_exact_arithmetic(demand, fixed, held):
    from fractions import Fraction

    exact = [Fraction(x) for x in demand]
    best = [Fraction(0)]
    for t in range(1, len(exact) + 1):
        plans = [
            best[j] + Fraction(fixed) + Fraction(held) * sum(i * x for i, x in enumerate(exact[j:t]))
            for j in range(t)
        ]
        best.append(min(plans) if any(exact[:t]) else Fraction(0))
    found = wagner_whitin(demand, fixed, held)
    assert found.cost == pytest.approx(float(best[-1]), rel=1e-13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: newsvendor(0, 1, Demand.poisson(1)), "holding_cost must be a finite number > 0, got 0"),
        (
            lambda: newsvendor([1, math.nan], 1, Demand.poisson(1)),
            r"holding_cost\[1\] must be finite numbers > 0",
        ),
        (
            lambda: newsvendor(1, math.inf, Demand.poisson(1)),
            "stockout_cost must be a finite number > 0, got inf",
        ),
        (
            lambda: newsvendor([1, 2], [1, 2, 3], Demand.poisson(1)),
            "stockout_cost must be of a shape that fits",
        ),
        (
            lambda: newsvendor(1, 1, Demand.poisson(1), math.nan),
            "quantity must be a finite number >= 0, got nan",
        ),
        (lambda: newsvendor(1, 1, Demand.poisson(1), -5), "quantity must be a finite number >= 0, got -5"),
        (lambda: newsvendor(1, 1, stats.norm), "demand must be of a mean > 0, or always 0"),
        (lambda: newsvendor(1, 1, Demand.normal(-1, 1)), "demand must be of a mean > 0, or always 0"),
        (lambda: newsvendor(1, 1, None), "demand must be a Demand or a frozen distribution"),
        (lambda: wagner_whitin([1, math.nan], 1, 1), r"demand\[1\] must be finite numbers >= 0, got nan"),
        (lambda: wagner_whitin([], 1, 1), "demand must be one number for each period"),
        (lambda: wagner_whitin([[1, 2]], 1, 1), "demand must be one number for each period"),
        (lambda: wagner_whitin([1, 2], [1, -1], 1), r"order_cost\[1\] must be finite numbers >= 0, got -1"),
        (lambda: wagner_whitin([1, 2], 1, math.inf), "holding_cost must be a finite number >= 0, got inf"),
        (lambda: wagner_whitin([1, 2], 1, 1, [1, 2, 3]), "purchase_cost must be one number, or 2"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_a_cheap_shortage_keeps_its_digits():
    """What is left, far below the mean, by mpmath: an integral, and a sum."""
    found = newsvendor(1, 1e-20, Demand.normal(120, 1))
    with mpmath.workdps(50):
        q = mpmath.mpf(found.quantity)
        left = mpmath.quad(lambda x: mpmath.ncdf(x - 120), [q - 30, q - 3, q])
        exact = left + mpmath.mpf(1e-20) * (left + 120 - q)
    assert found.cost == pytest.approx(float(exact), rel=1e-12, abs=0.0)
    found = newsvendor(1, 1e-7, Demand.poisson(20))
    with mpmath.workdps(50):
        q = int(found.quantity)
        left = sum((q - k) * mpmath.exp(-20) * mpmath.mpf(20) ** k / mpmath.factorial(k) for k in range(q))
        exact = left + mpmath.mpf(1e-7) * (left + 20 - q)
    assert q > 0
    assert found.cost == pytest.approx(float(exact), rel=1e-12, abs=0.0)


@given(x=st.floats(-5.0, 200.0))
@pytest.mark.parametrize(
    "demand",
    [
        Demand.normal(50, 10),
        Demand.lognormal(50, 30),
        Demand.gamma(20, 5),
        Demand.poisson(20),
        Demand.negative_binomial(20, 9),
        Demand.pmf([1, 5, 90], [0.2, 0.3, 0.5]),
        Demand.of(stats.expon(scale=7.0)),
    ],
    ids=lambda d: d.name,
)
def test_what_is_left_less_what_is_short_is_the_difference_to_the_mean(demand, x):
    difference = demand.left_over(x) - demand.shortage(x)
    assert difference == pytest.approx(x - demand.mean, abs=1e-11 * (abs(x) + demand.mean))
    assert demand.left_over(x) >= 0.0


def test_all_of_no_demand_is_met():
    assert newsvendor(2, 18, Demand.pmf([0], [1]), quantity=3) == (3.0, 6.0, 1.0, 1.0)


def test_a_ratio_of_costs_that_no_double_holds_is_refused():
    with pytest.raises(InvalidArgument, match="stockout_cost must be within 1e16 times holding_cost"):
        newsvendor(1, 1e20, Demand.poisson(20))
    assert newsvendor(1, 1e20, Demand.poisson(20), quantity=30).cost > 1e15
