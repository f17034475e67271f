"""(r, Q): exact costs against sums and simulation; approximations against their own equations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.optimize import minimize

from mmcore.errors import InvalidArgument
from mmcore.inventory_control import (
    Demand,
    approximate_reorder_quantity,
    optimal_reorder_quantity,
    reorder_cost,
)

COSTS = {
    "h": st.floats(0.1, 5.0),
    "p": st.floats(1.0, 50.0),
    "k": st.floats(1.0, 100.0),
    "rate": st.floats(0.5, 30.0),
    "lead": st.floats(0.2, 3.0),
}


@given(**COSTS, r=st.integers(-5, 60), q=st.integers(1, 40))
def test_the_cost_with_poisson_demand_is_its_sum(h, p, k, rate, lead, r, q):
    d = np.arange(400)
    w = stats.poisson(rate * lead).pmf(d)
    g = [w @ (h * np.maximum(y - d, 0) + p * np.maximum(d - y, 0)) for y in range(r + 1, r + q + 1)]
    assert reorder_cost(r, q, h, p, k, rate, lead) == pytest.approx((k * rate + sum(g)) / q, rel=1e-9)


@given(**COSTS, z=st.floats(-2.0, 3.0), q=st.floats(0.5, 40.0), cv=st.floats(0.05, 1.0))
def test_the_cost_with_normal_demand_is_its_integral(h, p, k, rate, lead, z, q, cv):
    mean, std = rate * lead, cv * rate * math.sqrt(lead)
    r, law = mean + z * std, Demand.normal(mean, std)
    ends = np.clip(mean + std * np.array([-9.0, -3.0, 0.0, 3.0, 9.0]), r, r + q)  # where the shortage bends
    pieces = zip(np.append(r, ends), np.append(ends, r + q), strict=True)
    area = sum(
        integrate.quad(lambda y: h * (y - mean) + (h + p) * law.shortage(y), a, b)[0] for a, b in pieces
    )
    found = reorder_cost(r, q, h, p, k, rate, lead, std=cv * rate)
    assert found == pytest.approx((k * rate + area) / q, rel=1e-8)


def test_the_cost_when_the_policy_is_played():
    """Customers come one by one; on-hand stock and backlog are integrated over time."""
    h, p, k, rate, lead, r, q = 1.0, 8.0, 12.0, 2.0, 2.5, 4, 6
    rng, n = np.random.default_rng(11), 300_000
    at = np.cumsum(rng.exponential(1 / rate, n))
    orders = np.flatnonzero(np.arange(1, n + 1) % q == 0)  # from r + q, every q-th customer sets one off
    times = np.concatenate([at, at[orders] + lead])
    steps = np.concatenate([np.full(n, -1), np.full(len(orders), q)])
    order = np.argsort(times)
    times, stock = times[order], r + q + np.cumsum(steps[order])
    keep = times < at[-1] - lead
    width = np.diff(times)[keep[1:]]
    level = stock[:-1][keep[1:]]
    cost = (h * np.maximum(level, 0) + p * np.maximum(-level, 0)) * width
    m = len(cost) // 100 * 100
    batches = cost[:m].reshape(100, -1).sum(axis=1) / width[:m].reshape(100, -1).sum(axis=1)
    found = reorder_cost(r, q, h, p, k, rate, lead) - k * rate / q
    assert abs(batches.mean() - found) < 4 * batches.std() / 10


@given(**COSTS)
def test_orders_that_cost_nothing_are_of_one_unit(h, p, k, rate, lead):
    """Then Q is 1 and r + 1 the newsvendor's fractile; the cost is that of the stock alone."""
    found = optimal_reorder_quantity(h, p, 0, rate, lead)
    top = int(stats.poisson(rate * lead).ppf(p / (p + h)))
    assert found.Q == 1
    assert found.cost == pytest.approx(reorder_cost(top - 1, 1, h, p, 0, rate, lead), rel=1e-9)
    assert reorder_cost(found.r, 1, h, p, k, rate, lead) == pytest.approx(found.cost + k * rate, rel=1e-9)
    with pytest.raises(InvalidArgument, match="order_cost must be a finite number > 0, got 0"):
        optimal_reorder_quantity(h, p, 0, rate, lead, std=1)


@given(**COSTS, cv=st.floats(0.05, 0.6))
def test_no_approximation_beats_the_optimum_and_each_solves_its_equations(h, p, k, rate, lead, cv):
    std = cv * rate
    law = Demand.normal(rate * lead, std * math.sqrt(lead))
    best = optimal_reorder_quantity(h, p, k, rate, lead, std)
    assert best.cost == pytest.approx(reorder_cost(best.r, best.Q, h, p, k, rate, lead, std), rel=1e-9)

    def g(y):
        return h * (y - law.mean) + (h + p) * law.shortage(y)

    for method in ("eoq_ss", "eoqb", "loss"):
        found = approximate_reorder_quantity(h, p, k, rate, lead, std, method)
        assert found.cost == pytest.approx(
            reorder_cost(found.r, found.Q, h, p, k, rate, lead, std), rel=1e-12
        )
        assert found.cost >= best.cost * (1 - 1e-9)
        if method == "eoq_ss":
            assert pytest.approx(math.sqrt(2 * k * rate / h)) == found.Q
            assert law.cdf(found.r) == pytest.approx(p / (p + h))
        elif method == "eoqb":
            assert pytest.approx(math.sqrt(2 * k * rate * (h + p) / (h * p))) == found.Q
            assert g(found.r) == pytest.approx(g(found.r + found.Q), rel=1e-9)
        else:
            assert law.shortage(found.r) == pytest.approx(h * found.Q / (h + p), rel=1e-9)


def test_the_loss_approximation_is_the_least_of_its_cost():
    """Its cost leaves out what is owed with r + Q on order."""
    h, p, k, rate, lead, std = 0.225, 7.5, 8.0, 1300.0, 1 / 12, 150.0
    law = Demand.normal(rate * lead, std * math.sqrt(lead))

    def cost(v):
        r, q = v[0], math.exp(v[1])
        second = integrate.quad(lambda y: float(law.shortage(y)), r, law.mean + 12 * law.std, epsabs=1e-10)[0]
        return (k * rate + h * (q * q / 2 + q * (r - law.mean)) + (h + p) * second) / q

    found = approximate_reorder_quantity(h, p, k, rate, lead, std, "loss")
    best = minimize(cost, [law.mean, 5.8], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-11})
    assert [found.r, math.log(found.Q)] == pytest.approx(list(best.x), rel=1e-5)


@given(
    h=st.floats(0.1, 1.0),
    p=st.floats(20.0, 50.0),
    k=st.floats(1.0, 30.0),
    rate=st.floats(5.0, 30.0),
    cv=st.floats(0.05, 0.5),
)
def test_the_expected_inventory_level_is_the_least_of_its_cost(h, p, k, rate, cv):
    std = cv * rate
    law = Demand.normal(rate, std)

    def cost(r, q):
        return h * (r - rate + q / 2) + rate * (k + p * law.shortage(r)) / q

    found = approximate_reorder_quantity(h, p, k, rate, 1.0, std, "eil")
    assert found.cost == pytest.approx(cost(found.r, found.Q), rel=1e-12)
    for dr, dq in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
        assert cost(found.r + 0.01 * dr * std, found.Q * (1 + 0.01 * dq)) >= found.cost * (1 - 1e-13)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: reorder_cost(1.5, 2, 1, 1, 1, 1, 1), "r must be an integer"),
        (lambda: reorder_cost(1, 0, 1, 1, 1, 1, 1), "Q must be an integer >= 1"),
        (lambda: reorder_cost(1, -1, 1, 1, 1, 1, 1, std=1), "Q must be a finite number > 0, got -1"),
        (lambda: reorder_cost(math.nan, 1, 1, 1, 1, 1, 1, std=1), "r must be a finite number, got nan"),
        (
            lambda: approximate_reorder_quantity(1, 1, 1, 1, 1, 1, "best"),
            "method must be one of 'eil', 'eoqb'",
        ),
        (lambda: approximate_reorder_quantity(1, 0.1, 10, 1, 1, 1, "eil"), "stockout_cost must be above"),
        (
            lambda: approximate_reorder_quantity(1, 1, 1, 1, 0, 1),
            "lead_time must be a finite number > 0, got 0",
        ),
        (lambda: optimal_reorder_quantity(1, 1, [1], 1, 1), r"order_cost must be one number, got \[1\]"),
        (lambda: optimal_reorder_quantity(1, 1, 1, 1, 1, std=0), "std must be a finite number > 0, got 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()
