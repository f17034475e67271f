"""Order quantities and policies against the textbook's numbers, scipy's distributions and brute force."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

from mmcore.errors import CapacityError, InvalidArgument
from mmcore.inventory_control import (
    Demand,
    eoq,
    finite_horizon,
    newsvendor,
    optimal_reorder_quantity,
    optimal_s_S,
    policy_cost,
    power_approximation,
    quantity_discount,
    rebalance_band,
    wagner_whitin,
)


@pytest.fixture(scope="module")
def cases(shared):
    return {c["name"]: c for c in json.loads((shared / "reference/sizing.json").read_text())["cases"]}


def test_order_quantity_reference_cases(cases):
    for name in ("eoq_snyder_shen_3_1", "epq"):
        case = cases[name]
        found = eoq(**case["inputs"])
        assert found.quantity == pytest.approx(case["expected"]["quantity"], rel=1e-13)
        assert found.cost == pytest.approx(case["expected"]["cost"], rel=1e-13)
        assert found.cycle_time == pytest.approx(found.quantity / 1300, rel=1e-15)


def cost_per_time(q, v, d, s, h, b, p):
    """Average cost of a cycle, from its triangles: order q, of which at most v are ever short."""
    rho = 1 - d / p
    top = q * rho - v
    return d * s / q + h * top**2 / (2 * q * rho) + b * v**2 / (2 * q * rho)


def test_backorders_and_production_against_a_minimisation():
    d, s, h, b, p = 1300.0, 8.0, 0.225, 0.5, 1700.0
    found = eoq(d, s, h, backorder_cost=b, production_rate=p)
    best = minimize(
        lambda y: cost_per_time(math.exp(y[0]), math.exp(y[1]), d, s, h, b, p), [5.0, 3.0], tol=1e-12
    )
    assert found.cost == pytest.approx(best.fun, rel=1e-9)
    assert [found.quantity, found.backorders] == pytest.approx(np.exp(best.x), rel=1e-4)
    assert cost_per_time(found.quantity, found.backorders, d, s, h, b, p) == pytest.approx(
        found.cost, rel=1e-13
    )


@given(d=st.floats(1e-3, 1e6), s=st.floats(1e-3, 1e6), h=st.floats(1e-3, 1e6), scale=st.floats(1e-3, 1e3))
def test_order_quantities_scale(d, s, h, scale):
    one = eoq(d, s, h)
    assert eoq(d * scale, s, h / scale).quantity == pytest.approx(one.quantity * scale, rel=1e-12)
    assert eoq(d, s * scale, h * scale).quantity == pytest.approx(one.quantity, rel=1e-12)
    many = eoq(np.array([d, d]), s, h)
    assert many.quantity.tolist() == [one.quantity] * 2


def test_the_rebalance_band_is_the_cheapest_in_its_own_terms():
    found = rebalance_band(0.05, 3.0, sigma=2.0, risk_aversion=1e-4, capital_charge=1e-5)
    held = 1e-5 + 1e-4 * 4 / 2

    def cost(q):
        return 0.05 / q * 3.0 + held * q / 2

    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-13)
    assert cost(found.quantity) < min(cost(found.quantity * 1.01), cost(found.quantity / 1.01))


@pytest.mark.parametrize("kind", ["all_units", "incremental"])
def test_quantity_discounts_against_a_grid(kind):
    breaks, prices = np.array([0.0, 400.0, 800.0]), np.array([0.75, 0.72, 0.68])
    d, s, i = 1300.0, 8.0, 0.3
    found = quantity_discount(d, s, i, breaks, prices, kind)
    q = np.linspace(10, 4000, 399_001)
    j = np.searchsorted(breaks, q, side="right") - 1
    if kind == "all_units":
        paid = prices[j] * q
    else:
        paid = np.append(0, np.cumsum(np.diff(breaks) * prices[:-1]))[j] + prices[j] * (q - breaks[j])
    cost = d / q * (s + paid) + i * paid / 2
    assert found.cost == pytest.approx(cost.min(), rel=1e-8)
    assert found.quantity == pytest.approx(q[cost.argmin()], abs=0.2)


FAMILIES = {
    "normal": (Demand.normal(120.0, 10.0), stats.norm(120, 10)),
    "lognormal": (
        Demand.lognormal(50.0, 20.0),
        stats.lognorm(math.sqrt(math.log(1.16)), scale=50 / math.sqrt(1.16)),
    ),
    "gamma": (Demand.gamma(50.0, 20.0), stats.gamma(6.25, scale=8.0)),
    "poisson": (Demand.poisson(20.0), stats.poisson(20)),
    "small poisson": (Demand.poisson(0.3), stats.poisson(0.3)),
    "negative binomial": (Demand.negative_binomial(30.0, 10.0), stats.nbinom(9 / 0.7, 0.3)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_families_against_scipy(family):
    ours, theirs = FAMILIES[family]
    assert ours.mean == pytest.approx(theirs.mean(), rel=1e-12)
    assert ours.std == pytest.approx(theirs.std(), rel=1e-12)
    same = Demand.of(theirs)
    for p in (0.001, 0.1, 0.5, 0.9, 0.999):
        x = theirs.ppf(p)
        assert ours.quantile(p) == pytest.approx(x, rel=1e-9)
        for y in (x, x + 0.4):
            assert ours.cdf(y) == pytest.approx(theirs.cdf(y), rel=1e-9)
            assert ours.shortage(y) == pytest.approx(same.shortage(y), rel=1e-7, abs=1e-12)


def test_newsvendor_reference(cases):
    case = cases["newsvendor_normal_2"]
    found = newsvendor(2, 18, Demand.normal(120, 10))
    assert found.quantity == pytest.approx(case["expected"]["base_stock"], rel=1e-13)
    assert found.cost == pytest.approx(case["expected"]["cost"], rel=1e-12)
    assert newsvendor(2, 18, stats.norm(120, 10)).cost == pytest.approx(found.cost, rel=1e-9)
    assert newsvendor([2, 2], 18, Demand.normal(120, 10)).quantity.shape == (2,)


@given(
    p=st.lists(st.integers(0, 20), min_size=2, max_size=12).filter(lambda p: sum(p) > 0),
    h=st.floats(0.1, 10),
    short=st.floats(0.1, 10),
)
def test_newsvendor_with_given_probabilities_against_every_quantity(p, h, short):
    weight = np.array(p) / sum(p)
    values = np.arange(len(p))

    def cost(q):
        return float(weight @ (h * np.maximum(q - values, 0) + short * np.maximum(values - q, 0)))

    demand = Demand.pmf(values, weight)
    if demand.mean == 0.0:
        return
    found = newsvendor(h, short, demand)
    assert found.cost == pytest.approx(min(cost(q) for q in values), rel=1e-9, abs=1e-9)
    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-9, abs=1e-9)
    sample = np.repeat(values, p)
    assert newsvendor(h, short, Demand.empirical(sample)).cost == pytest.approx(
        found.cost, rel=1e-9, abs=1e-9
    )


def chain_cost(s, S, h, p, fixed, pmf):
    """Long-run cost of (s, S) from the stationary law of its Markov chain."""
    n = S - s  # positions s + 1 .. S after ordering
    step = np.zeros((n, n))
    for i in range(n):
        for d, w in enumerate(pmf):
            y = S - i - d
            step[i, S - y if y > s else 0] += w
    law = np.linalg.lstsq(np.vstack([step.T - np.eye(n), np.ones(n)]), np.append(np.zeros(n), 1), rcond=None)[
        0
    ]
    d = np.arange(len(pmf))
    total = 0.0
    for i in range(n):
        y = S - i
        order = sum(w for k, w in enumerate(pmf) if y - k <= s)
        total += law[i] * (pmf @ (h * np.maximum(y - d, 0) + p * np.maximum(d - y, 0)) + fixed * order)
    return total


def test_s_S_reference_cases(cases):
    for mean in (20, 25, 60):
        case = cases[f"ss_zheng_federgruen_mu{mean}"]
        found = optimal_s_S(1, 9, 64, Demand.poisson(mean))
        assert (found.s, found.S) == (case["expected"]["s"], case["expected"]["S"])
        assert found.cost == pytest.approx(case["expected"]["cost"], abs=5e-7)


@given(
    p=st.lists(st.integers(0, 9), min_size=2, max_size=5).filter(lambda p: sum(p[1:]) > 0),
    h=st.integers(1, 4),
    short=st.integers(1, 20),
    fixed=st.floats(0.5, 40.0),
)
def test_s_S_against_every_policy(p, h, short, fixed):
    pmf = np.array(p) / sum(p)
    demand = Demand.pmf(np.arange(len(p)), pmf)
    found = optimal_s_S(h, short, fixed, demand)
    assert found.cost == pytest.approx(chain_cost(found.s, found.S, h, short, fixed, pmf), rel=1e-9)
    best = min(
        policy_cost(s, S, h, short, fixed, demand)
        for S in range(-4, found.S + 12)
        for s in range(max(S - 30, found.s - 10), S)
    )
    assert found.cost <= best * (1 + 1e-12)


def test_the_power_approximation_is_near():
    for mean in (20, 60, 100):
        exact = optimal_s_S(1, 9, 64, Demand.poisson(mean))
        s, S = power_approximation(1, 9, 64, mean, math.sqrt(mean))
        assert policy_cost(round(s), round(S), 1, 9, 64, Demand.poisson(mean)) < 1.06 * exact.cost


def test_reorder_quantity_reference_and_every_policy(cases):
    case = cases["rq_poisson"]
    found = optimal_reorder_quantity(20, 150, 100, 1.5, 2)
    assert (found.r, found.Q) == (case["expected"]["r"], case["expected"]["Q"])
    assert found.cost == pytest.approx(case["expected"]["cost"], rel=1e-12)
    y = np.arange(-10, 60)
    d = np.arange(200)
    w = stats.poisson(3.0).pmf(d)
    g = np.array([w @ (20 * np.maximum(i - d, 0) + 150 * np.maximum(d - i, 0)) for i in y])
    every = [(150 + g[i + 1 : i + 1 + q].sum()) / q for i, q in itertools.product(range(20), range(1, 30))]
    assert found.cost == pytest.approx(min(every), rel=1e-12)


def test_reorder_quantity_normal_against_a_minimisation():
    h, p, k, rate, lead, std = 0.225, 7.5, 8.0, 1300.0, 1 / 12, 150.0
    found = optimal_reorder_quantity(h, p, k, rate, lead, std=std)
    law = Demand.normal(rate * lead, std * math.sqrt(lead))
    node, weight = np.polynomial.legendre.leggauss(200)

    def cost(v):
        r, q = v[0], math.exp(v[1])
        y = r + q * (node + 1) / 2
        return (k * rate + q / 2 * weight @ (h * (y - law.mean) + (h + p) * law.shortage(y))) / q

    best = minimize(cost, [law.mean, 5.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert found.cost == pytest.approx(best.fun, rel=1e-10)
    assert [found.r, found.Q] == pytest.approx([best.x[0], math.exp(best.x[1])], rel=1e-4)


@given(
    demand=st.lists(st.integers(0, 50), min_size=1, max_size=7),
    fixed=st.lists(st.integers(0, 200), min_size=7, max_size=7),
    held=st.lists(st.integers(0, 5), min_size=7, max_size=7),
    price=st.lists(st.integers(0, 9), min_size=7, max_size=7),
    same=st.booleans(),
)
def test_wagner_whitin_against_every_plan(demand, fixed, held, price, same):
    n = len(demand)
    fixed, held, price = fixed[:n], held[:n], price[:1] * n if same else price[:n]
    found = wagner_whitin(demand, fixed, held, price)

    def cost(orders):
        left = np.cumsum(orders) - np.cumsum(demand)
        if (left < -1e-9).any():
            return math.inf
        return np.array(fixed) @ (orders > 0) + np.array(price) @ orders + np.array(held) @ left

    assert cost(found.orders) == pytest.approx(found.cost, abs=1e-8)
    best = math.inf
    total = np.append(0, np.cumsum(demand))
    for plan in itertools.product((False, True), repeat=n):
        at = [i for i in range(n) if plan[i]]
        orders = np.zeros(n)
        for i, j in zip(at, [*at[1:], n][: len(at)], strict=True):
            orders[i] = total[j] - total[i]
        best = min(best, cost(orders))
    assert found.cost == pytest.approx(best, abs=1e-8)


def test_finite_horizon_reference(cases):
    case = cases["finite_horizon_T5"]
    i = case["inputs"]
    found = finite_horizon(
        i["periods"],
        i["holding_cost"],
        i["stockout_cost"],
        i["fixed_cost"],
        Demand.normal(100, 20),
        purchase_cost=i["purchase_cost"],
        terminal_holding_cost=i["terminal_holding_cost"],
        terminal_stockout_cost=i["terminal_stockout_cost"],
        deviations=4.0,
        tails="cut",
    )
    assert found.s.tolist() == case["expected"]["s"]
    assert found.S.tolist() == case["expected"]["S"]
    assert found.cost == pytest.approx(case["expected"]["cost"], rel=1e-12)


@given(
    p=st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(lambda p: sum(p[1:]) > 0),
    fixed=st.floats(0.0, 20.0),
    price=st.floats(0.0, 3.0),
    discount=st.floats(0.5, 1.0),
    periods=st.integers(1, 4),
)
def test_finite_horizon_against_the_recursion(p, fixed, price, discount, periods):
    pmf = np.array(p) / sum(p)
    h, short, end = 1.0, 5.0, 4.0
    demand = Demand.pmf(np.arange(len(p)), pmf)
    found = finite_horizon(
        periods,
        h,
        short,
        fixed,
        demand,
        purchase_cost=price,
        terminal_stockout_cost=end,
        discount=discount,
        deviations=50.0,
    )

    def value(t, x):
        if t == periods:
            return end * max(-x, 0)
        if (t, x) not in seen:
            seen[t, x] = min(
                (fixed if y > x else 0.0)
                + price * (y - x)
                + sum(
                    w * (h * max(y - d, 0) + short * max(d - y, 0) + discount * value(t + 1, y - d))
                    for d, w in enumerate(pmf)
                )
                for y in range(x, 15)
            )
        return seen[t, x]

    seen = {}
    assert found.cost == pytest.approx(value(0, 0), rel=1e-9)
    for t in range(periods):
        v = found.values[t] + price * found.levels
        # K-convexity: K + V(x + a) >= V(x) + a (V(x) - V(x - 1)), on the inside of the lattice
        inside = v[len(v) // 3 : -len(v) // 3]
        for a in (1, 3):
            step = np.diff(inside)[: len(inside) - a - 1]
            assert (
                fixed + inside[1 + a :] - inside[1 : len(inside) - a] - a * step >= -1e-9 * (1 + abs(v).max())
            ).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: eoq(0, 1, 1), "demand must be a finite number > 0, got 0"),
        (lambda: eoq([1.0, math.nan], 1, 1), r"demand\[1\] must be finite numbers > 0, got nan"),
        (lambda: eoq(1, math.inf, 1), "order_cost must be a finite number > 0"),
        (lambda: eoq(2, 1, 1, production_rate=2), "production_rate must be above demand"),
        (lambda: rebalance_band(1, 1), "holding costs nothing"),
        (lambda: quantity_discount(1, 1, 1, [1], [1]), "breaks must be ascending numbers from 0"),
        (lambda: quantity_discount(1, 1, 1, [0, 1], [1, 2]), "prices must be a descending price"),
        (lambda: Demand.normal(1, -1), "std must be a finite number > 0"),
        (lambda: Demand.pmf([1, 2], [0.5, 0.6]), "probabilities must be numbers >= 0 with sum 1"),
        (lambda: Demand.negative_binomial(4, 1), "std must be above the root of the mean"),
        (lambda: newsvendor(1, 1, "normal"), "demand must be a Demand or a frozen distribution"),
        (lambda: Demand.poisson(1).quantile(1.0), "probability must be strictly between 0 and 1"),
        (lambda: policy_cost(5, 5, 1, 1, 1, Demand.poisson(1)), "s must be an integer below S"),
        (lambda: wagner_whitin([1, -1], 1, 1), r"demand\[1\] must be finite numbers >= 0, got -1"),
        (lambda: wagner_whitin([1, 1], [1, 2, 3], 1), "order_cost must be one number, or 2"),
        (lambda: finite_horizon(0, 1, 1, 1, Demand.poisson(1)), "periods must be an integer >= 1"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_what_does_not_fit_is_refused():
    with pytest.raises(CapacityError, match="count in larger units"):
        finite_horizon(10**5, 1, 1, 1, Demand.poisson(1000))
