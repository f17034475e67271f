"""Execution schedules against the papers' numbers, quadratic programs and differential equations."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_bvp, solve_ivp
from scipy.optimize import minimize

import mmcore as mm
from mmcore.errors import InvalidArgument, Unsupported
from mmcore.execution import (
    AlmgrenChriss,
    AlmgrenChrissBasket,
    Schedule,
    capped,
    i_star,
    limit_order_liquidation,
    market_order_liquidation,
    power_law,
    unwind,
)

PAPER = {"sigma": 0.95, "permanent": 2.5e-7, "temporary": 2.5e-6, "fixed": 0.0625}


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads((shared / "reference/sizing.json").read_text())["cases"]


def named(cases, model):
    found = [c for c in cases if c["model"] == model]
    assert found
    return found


def test_almgren_chriss_reference_cases(cases):
    for case in named(cases, "almgren_chriss"):
        i, e, tol = case["inputs"], case["expected"], {"rel": 1e-10, "abs": 1e-6}
        s = AlmgrenChriss(
            i["X"],
            i["T"],
            i["N"],
            i["sigma"],
            permanent=i["gamma"],
            temporary=i["eta"],
            fixed=i["eps"],
            risk_aversion=i["lam"],
        )
        assert s.temporary_adjusted == pytest.approx(e["eta_tilde"], rel=1e-14)
        assert s.kappa == pytest.approx(e["kappa"], rel=1e-13)
        assert s.kappa_tilde == pytest.approx(e["kappa_tilde"], rel=1e-13)
        assert s.half_life == (
            math.inf if e["half_life"] is None else pytest.approx(e["half_life"], rel=1e-13)
        )
        assert s.holdings == pytest.approx(e["holdings"], **tol)
        if "trades" in e:
            assert s.trades == pytest.approx(e["trades"], **tol)
        assert s.expected_cost == pytest.approx(e["E"], rel=1e-12)
        assert s.variance == pytest.approx(e["V"], rel=1e-12)
        assert s.std == pytest.approx(e["std"], rel=1e-12)
        assert s.utility == pytest.approx(e["U"], rel=1e-12)


def test_no_impact_is_set_by_its_place():
    """The temporary one has to be given; a fifth number was once taken for the permanent one."""
    with pytest.raises(TypeError, match="temporary"):
        AlmgrenChriss(10, 1, 5, 1)
    with pytest.raises(TypeError, match="positional"):
        AlmgrenChriss(10, 1, 5, 1, 1.0, temporary=1.0)
    with pytest.raises(InvalidArgument, match=r"temporary must be a finite number > 0, got 0\.0"):
        AlmgrenChriss(10, 1, 5, 1, temporary=0.0)


def test_liquidity_adjusted_value_at_risk(cases):
    (case,) = named(cases, "almgren_chriss_var")
    e = case["expected"]
    s = AlmgrenChriss(1e6, 5, 5, **PAPER).least_value_at_risk(0.95)
    assert s.risk_aversion == pytest.approx(e["lam"], rel=1e-9)
    assert s.value_at_risk(0.95) == pytest.approx(e["VaR"], rel=1e-13)
    assert s.expected_cost == pytest.approx(e["E"], rel=1e-9)
    assert s.kappa == pytest.approx(e["kappa"], rel=1e-9)


def test_the_least_value_at_risk_below_one_half_is_refused():
    """At one half it is the least cost; below, z < 0: more risk would make it less without end."""
    s = AlmgrenChriss(1e6, 5, 5, **PAPER)
    assert s.least_value_at_risk(0.5).expected_cost == s.replace(risk_aversion=0.0).expected_cost
    for probability in (0.49, 0.05):
        refused = rf"probability must be >= 0.5 and < 1, got {probability}"
        with pytest.raises(InvalidArgument, match=refused):
            s.least_value_at_risk(probability)


def test_the_decay_keeps_its_digits_where_risk_hardly_matters():
    s = AlmgrenChriss(1e6, 5, 5, **PAPER, risk_aversion=1e-20)
    assert s.kappa == pytest.approx(math.sqrt(1e-20 * 0.95**2 / 2.375e-6), rel=1e-12)
    assert AlmgrenChriss(1e6, 5, 5, **PAPER, risk_aversion=1e3).holdings[1:] == pytest.approx(0.0, abs=1.0)


def linear_system(s):
    """Holdings from the first-order conditions as a plain linear system."""
    n, tau, eta = s.periods, s.period, s.temporary_adjusted
    a = np.zeros((n - 1, n - 1))
    right = np.full(n - 1, s.drift * tau)
    for k in range(n - 1):
        a[k, k] = 4 * eta / tau + 2 * s.risk_aversion * s.sigma**2 * tau
        if k:
            a[k, k - 1] = a[k - 1, k] = -2 * eta / tau
    right[0] += 2 * eta / tau * s.quantity
    return np.concatenate([[s.quantity], np.linalg.solve(a, right), [0.0]])


@given(
    periods=st.integers(2, 40),
    horizon=st.floats(0.1, 100.0),
    log_risk=st.floats(-25.0, 5.0),
    drift=st.sampled_from([0.0, 0.02, -0.1]),
    quantity=st.sampled_from([1e6, -300.0]),
)
def test_the_schedule_solves_its_first_order_conditions(periods, horizon, log_risk, drift, quantity):
    s = AlmgrenChriss(
        quantity,
        horizon,
        periods,
        sigma=0.9,
        permanent=1e-7,
        temporary=1e-3,
        risk_aversion=math.exp(log_risk),
        drift=drift,
    )
    wanted = linear_system(s)
    assert s.holdings == pytest.approx(wanted, rel=1e-7, abs=1e-8 * np.abs(wanted).max())


@pytest.mark.parametrize("quantity", [10.0, -10.0, 0.0, 3.0])
@pytest.mark.parametrize(("fixed", "drift"), [(50.0, 10.0), (3.0, 10.0), (3.0, -10.0), (0.5, 2.0)])
def test_a_fixed_cost_stops_detours_that_do_not_pay_for_it(quantity, fixed, drift):
    """A drift has units traded both ways; a quadratic program in what is sold and what is bought."""
    n = 6
    s = AlmgrenChriss(
        quantity, 4, n, 1.0, permanent=0.1, temporary=1, fixed=fixed, risk_aversion=0.01, drift=drift
    )

    def utility(parts):
        trades = parts[:n] - parts[n:]
        held = quantity - np.cumsum(trades)
        cost = fixed * parts.sum() + s.temporary_adjusted / s.period * trades @ trades
        risk = s.risk_aversion * s.period * held @ held
        return 0.05 * quantity**2 + cost + risk - drift * s.period * held.sum()

    start = np.concatenate([np.full(n, max(quantity, 0.0) / n), np.full(n, max(-quantity, 0.0) / n)])
    found = minimize(
        utility,
        start + 0.1,
        method="SLSQP",
        bounds=[(0.0, None)] * (2 * n),
        constraints={"type": "eq", "fun": lambda parts: parts[:n].sum() - parts[n:].sum() - quantity},
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    own = np.concatenate([np.maximum(s.trades, 0.0), np.maximum(-s.trades, 0.0)])
    assert s.utility == pytest.approx(utility(own), rel=1e-12, abs=1e-9)
    # which keeps its equality to some seven digits
    assert s.utility <= found.fun + 1e-7 * abs(found.fun)
    assert s.utility == pytest.approx(found.fun, rel=1e-6, abs=1e-5)
    with pytest.raises(Unsupported, match="give periods"):
        AlmgrenChriss(0.0, 4, None, 1.0, temporary=1, fixed=fixed, drift=drift)


@pytest.mark.parametrize("log_risk", [0, 10, 20, 28, 40])
def test_continuous_time_keeps_its_digits_where_the_sale_is_sudden(log_risk):
    """E + λV is √(λη) σ X² coth κT, all of which is in the first 1/κ of time."""
    risk = 10.0**log_risk
    s = AlmgrenChriss(10, 4, None, 1.0, temporary=1, risk_aversion=risk)
    kappa = math.sqrt(risk)
    assert s.utility == pytest.approx(100 * kappa / math.tanh(4 * kappa), rel=1e-13)
    # and the end is the beginning of the way back: from nothing to the level that the drift asks for
    late = AlmgrenChriss(0, 4, None, 1.0, temporary=1, risk_aversion=risk, drift=risk)
    half = 0.5 / (4 * kappa) * 4.0 * math.tanh(2 * kappa)  # ∫ (1 − (sinh κ(T−t) + sinh κt)/sinh κT)/2 dt
    assert late.utility == pytest.approx(-0.5 * risk * (0.5 * 4.0 - 2.0 * half), rel=1e-12)


def test_one_sale_at_once_has_no_risk_to_choose():
    assert AlmgrenChriss(100, 5, 1, 1, temporary=1).least_value_at_risk(0.95).value_at_risk() == 2000.0


def test_continuous_time_is_the_limit_of_many_trades():
    shared = {**PAPER, "permanent": 0.0, "risk_aversion": 2e-6, "drift": 0.02}
    whole = AlmgrenChriss(1e6, 5, None, **shared)
    fine = AlmgrenChriss(1e6, 5, 20_000, **shared)
    assert whole.kappa == pytest.approx(math.sqrt(2e-6 * 0.95**2 / 2.5e-6))
    assert whole.at(1.7) == pytest.approx(fine.at(1.7), rel=1e-6)
    assert whole.variance == pytest.approx(fine.variance, rel=1e-3)
    assert whole.expected_cost == pytest.approx(fine.expected_cost, rel=1e-3)


def test_the_frontier_falls_and_its_slope_is_the_risk_aversion():
    s = AlmgrenChriss(1e6, 5, 20, **PAPER)
    lam = np.array([1e-7, 1.0001e-7])
    (e0, v0), (e1, v1) = s.frontier(lam)
    assert (e1 - e0) / (v1 - v0) == pytest.approx(-lam.mean(), rel=1e-3)


@given(cap=st.floats(0.21, 1.0), log_risk=st.floats(-8.0, 2.0))
def test_a_cap_is_kept_and_costs_the_least(cap, log_risk):
    s = AlmgrenChriss(100.0, 5, 5, sigma=1.0, temporary=0.5, risk_aversion=math.exp(log_risk), drift=0.05)
    plan = capped(s, 100.0 * cap)
    assert plan.trades.max() <= 100.0 * cap * (1 + 1e-12)
    assert plan.trades.min() >= -1e-9

    def utility(n):
        x = 100.0 - np.cumsum(n)
        return 0.5 * n @ n - 0.05 * x.sum() + s.risk_aversion * (x @ x)

    best = utility(plan.trades)
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = plan.trades + rng.normal(size=5) * 0.5
        n = np.clip(n + (100.0 - n.sum()) / 5, 0.0, 100.0 * cap)
        if abs(n.sum() - 100.0) < 1e-9:
            assert utility(n) >= best - 1e-9 * abs(best)
    buy = AlmgrenChriss(-100.0, 5, 5, sigma=1.0, temporary=0.5, risk_aversion=s.risk_aversion, drift=-0.05)
    assert capped(buy, 100.0 * cap).holdings == pytest.approx(-plan.holdings, abs=1e-9)


@given(
    cap=st.floats(0.11, 1.0),
    log_risk=st.floats(-12.0, 3.0),
    drift=st.floats(-2.0, 2.0),
    seed=st.integers(0, 99),
)
def test_caps_of_each_period_against_a_quadratic_program(cap, log_risk, drift, seed):
    """The active set of mean-variance portfolios, on V = σ²τ nᵀMn with M_ij = min(i, j) counted from 0."""
    n, aversion = 10, math.exp(log_risk)
    s = AlmgrenChriss(70.0, 5, n, sigma=1.3, temporary=0.5, risk_aversion=aversion, drift=drift)
    caps = 100.0 * cap * np.random.default_rng(seed).uniform(0.7, 1.5, n)
    if caps.sum() < 70.0:
        with pytest.raises(InvalidArgument, match="most must be numbers >= 0 with a sum"):
            capped(s, caps)
        return
    count = np.arange(n, dtype=float)
    form = 2.0 * (
        aversion * s.sigma**2 * s.period * np.minimum.outer(count, count)
        + s.temporary_adjusted / s.period * np.eye(n)
    )
    found = mm.mean_variance(form, drift * s.period * count, budget=70.0, lower=0.0, upper=caps)
    assert capped(s, caps).trades == pytest.approx(found.weights, abs=1e-9 * 70.0)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.6, 1.0, 1.7])
@pytest.mark.parametrize("drift", [0.0, 0.4, -0.3])
@pytest.mark.parametrize("cap", [None, 0.24])
def test_the_discrete_power_law_meets_its_optimality_conditions(exponent, drift, cap):
    n, tau, eta, aversion, sigma = 8, 0.25, 0.3, 1.5, 0.9
    most = None if cap is None else cap * np.linspace(1.0, 1.4, n)
    plan = power_law(-1.0, n * tau, sigma, eta, aversion, exponent, periods=n, most=most, drift=-drift)
    trades, held = -plan.trades, -plan.holdings[1:]
    assert trades.sum() == pytest.approx(1.0, rel=1e-13)
    assert (trades >= 0.0).all()
    # what selling a unit more in period j costs: its own impact, less the risk and drift of holding it before
    own = eta * (1 + exponent) * (trades / tau) ** exponent
    carried = np.concatenate([[0.0], np.cumsum(2 * aversion * sigma**2 * tau * held - drift * tau)[:-1]])
    slope = own + carried
    top = np.full(n, np.inf) if most is None else most
    assert (trades <= top * (1 + 1e-12)).all()
    inside = (trades > 1e-12) & (trades < top * (1 - 1e-12))
    level = slope[inside].mean()
    assert slope[inside] == pytest.approx(level, abs=1e-10)
    assert (slope[trades <= 1e-12] >= level - 1e-10).all()
    assert (slope[trades >= top * (1 - 1e-12)] <= level + 1e-10).all()


@pytest.mark.parametrize(
    ("quantity", "periods", "exponent", "most", "drift"),
    [
        (100, 20, 1.5, None, 0.0),
        (100, 50, 1.2, None, 0.0),
        (1, 20, 2.0, None, 0.0),
        (100, 20, 1.5, 50.0, 0.0),
        (100, 400, 1.0, 30.0, 0.7),
        (100, 60, 0.6, None, 0.7),
        (100, 60, 1.5, None, 0.7),
    ],
)
def test_the_power_law_is_optimal_where_its_end_is_far_below_its_start(
    quantity, periods, exponent, most, drift
):
    """Holdings that end below the least double, or grow from the end by more than all its digits."""
    plan = power_law(quantity, periods, 1.0, 0.1, 1.0, exponent, periods=periods, most=most, drift=drift)
    trades, top = plan.trades, math.inf if most is None else most
    assert plan.holdings[0] == quantity
    assert plan.holdings[-1] == 0.0
    assert trades.min() >= -1e-13 * quantity
    assert trades.max() <= top * (1 + 1e-13)
    own = 0.1 * (1 + exponent) * np.maximum(trades, 0.0) ** exponent
    slope = own + np.append(0.0, np.cumsum(2.0 * plan.holdings[1:] - drift)[:-1])
    room, sells = trades < top * (1 - 1e-9), trades > 1e-9 * quantity
    # no unit may be better sold at another time
    assert slope[sells].max() <= slope[room].min() + 1e-9 * np.abs(slope[sells]).max()


def test_a_long_schedule_keeps_its_digits():
    s = AlmgrenChriss(1e6, 100.0, 1000, sigma=1.0, temporary=1.0, risk_aversion=1.0)  # κT = 100
    assert capped(s, 1e9).holdings == pytest.approx(s.holdings, rel=1e-9, abs=1e-30)


def shortfall(trades, quantities, tau, temporary, permanent, drift):
    """What selling brings less than at the first price, step by step along the price."""
    price, lost = np.zeros(len(quantities)), 0.0
    for n in trades:
        lost -= n @ (price - temporary @ n / tau)
        price = price - permanent @ n + drift * tau
    return lost


def test_a_capped_schedule_costs_and_risks_what_its_trades_do():
    s = AlmgrenChriss(100, 4, 8, 1.2, permanent=0.02, temporary=0.3, fixed=0.05, risk_aversion=0.1, drift=0.4)
    plan = capped(s, 25.0)
    assert plan.trades.max() == pytest.approx(25.0, rel=1e-12)
    one = [np.array([[value]]) for value in (0.3, 0.02)]
    walked = shortfall(plan.trades[:, None], np.array([100.0]), 0.5, *one, np.array([0.4]))
    assert plan.expected_cost == pytest.approx(walked + 0.05 * 100.0, rel=1e-12)
    assert plan.variance == pytest.approx(1.2**2 * 0.5 * (plan.holdings[1:] ** 2).sum(), rel=1e-14)
    assert plan.utility > s.utility
    # at the least L-VaR the cap is kept, and no λ near does better
    least = plan.least_value_at_risk(0.95)
    assert least.trades.max() <= 25.0 * (1 + 1e-12)
    for factor in (0.7, 0.99, 1.01, 1.4):
        near = least.replace(risk_aversion=least.risk_aversion * factor)
        assert near.value_at_risk(0.95) >= least.value_at_risk(0.95) * (1 - 1e-12)


def test_a_cap_needs_periods():
    with pytest.raises(Unsupported, match="in continuous time: give periods"):
        AlmgrenChriss(10, 1, None, sigma=1, temporary=1, most=5)


@pytest.mark.parametrize("seed", range(6))
def test_a_basket_against_brute_force(seed):
    """Trades that minimise the walked shortfall plus λ times the variance: a quadratic by its values."""
    rng = np.random.default_rng(seed)
    n, periods, tau, aversion = 3, 4, 0.5, 0.7

    def matrix(size):
        a = rng.normal(size=(n, n))
        return size * (a @ a.T + 0.5 * np.eye(n))

    covariance, temporary, permanent = matrix(0.5), matrix(1.0), matrix(0.1)
    quantities, drift = rng.normal(size=n) * 10, rng.normal(size=n)

    def objective(free):
        trades = np.vstack([free.reshape(periods - 1, n), quantities - free.reshape(periods - 1, n).sum(0)])
        held = quantities - np.cumsum(trades, axis=0)
        risk = tau * np.einsum("ki,ij,kj->", held, covariance, held)
        return shortfall(trades, quantities, tau, temporary, permanent, drift), risk

    def total(free):
        cost, risk = objective(free)
        return cost + aversion * risk

    size = n * (periods - 1)
    unit = np.eye(size)
    base = total(np.zeros(size))
    one = np.array([total(e) for e in unit])
    two = np.array([[total(a + b) for a in unit] for b in unit])
    curve = two - one[:, None] - one[None, :] + base
    slope = np.array([(total(e) - total(-e)) / 2 for e in unit])
    best = np.linalg.solve(curve, -slope)
    basket = AlmgrenChrissBasket(
        quantities, periods * tau, periods, covariance, temporary, permanent, 0.0, aversion, drift
    )
    assert basket.trades[:-1].ravel() == pytest.approx(best, abs=1e-9 * np.abs(quantities).max())
    cost, risk = objective(best)
    assert basket.expected_cost == pytest.approx(cost, rel=1e-10)
    assert basket.variance == pytest.approx(risk, rel=1e-10)
    assert basket.utility == pytest.approx(cost + aversion * risk, rel=1e-10)


@pytest.mark.parametrize("periods", [6, None])
def test_a_basket_without_correlation_is_its_assets_one_by_one(periods):
    sigma, eta, g, eps = np.array([0.9, 0.3]), np.array([0.01, 0.02]), np.array([1e-4, 0.0]), [0.1, 0.2]
    shared = {"risk_aversion": 1e-3, "drift": np.array([0.05, -0.02])}
    basket = AlmgrenChrissBasket([1e3, -500.0], 3.0, periods, np.diag(sigma**2), eta, g, eps, **shared)
    alone = [
        AlmgrenChriss(
            q,
            3.0,
            periods,
            sigma[i],
            permanent=g[i],
            temporary=eta[i],
            fixed=eps[i],
            risk_aversion=1e-3,
            drift=shared["drift"][i],
        )
        for i, q in enumerate((1e3, -500.0))
    ]
    for i, one in enumerate(alone):
        assert basket.holdings[:, i] == pytest.approx(one.holdings, abs=1e-9 * 1e3)
    assert basket.half_lives == pytest.approx(sorted(one.half_life for one in alone), rel=1e-12)
    assert basket.expected_cost == pytest.approx(sum(one.expected_cost for one in alone), rel=1e-10)
    assert basket.variance == pytest.approx(sum(one.variance for one in alone), rel=1e-10)
    assert basket.value_at_risk(0.95) == pytest.approx(basket.expected_cost + 1.6448536269514722 * basket.std)
    assert basket[0].as_target(10.0)(11.0) == pytest.approx(alone[0].at(1.0), rel=1e-3)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 6), singular=st.booleans())
def test_order_and_units_of_a_basket_change_nothing(seed, n, singular):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, 1 if singular else n))
    covariance, eta, quantities = a @ a.T, rng.uniform(0.1, 2.0, n), rng.normal(size=n) * 100
    p = AlmgrenChrissBasket(quantities, 2.0, 5, covariance, eta, risk_aversion=0.3)
    order = rng.permutation(n)
    q = AlmgrenChrissBasket(
        quantities[order], 2.0, 5, covariance[np.ix_(order, order)], eta[order], risk_aversion=0.3
    )
    assert q.holdings == pytest.approx(p.holdings[:, order], abs=1e-8)
    # one lot = u_i units: prices of a lot are u_i times as high, impacts u_i² times
    u = rng.uniform(0.5, 20.0, n)
    lots = AlmgrenChrissBasket(
        quantities / u, 2.0, 5, covariance * np.outer(u, u), eta * u * u, risk_aversion=0.3
    )
    assert lots.holdings * u == pytest.approx(p.holdings, abs=1e-8)
    assert lots.utility == pytest.approx(p.utility, rel=1e-9)


def test_a_hedge_is_bought_while_it_pays():
    basket = AlmgrenChrissBasket([100, 0], 4, 40, [[1.0, 0.9], [0.9, 1.0]], temporary=0.5, risk_aversion=0.2)
    alone = AlmgrenChriss(100, 4, 40, sigma=1.0, temporary=0.5, risk_aversion=0.2)
    assert (basket.holdings[1:-1, 1] < 0.0).all()
    assert basket.utility < alone.utility


def test_the_linear_case_of_the_power_law():
    s = AlmgrenChriss(1e3, 5, None, sigma=0.9, temporary=0.01, risk_aversion=1e-2)
    plan = power_law(1e3, 5, 0.9, 0.01, 1e-2, exponent=1.0)
    assert plan.holdings == pytest.approx(s.at(plan.times), abs=1e-8 * 1e3)


@pytest.mark.parametrize("exponent", [0.4, 0.6, 1.5])
def test_the_power_law_against_a_direct_minimisation(exponent):
    n = 40
    plan = power_law(1.0, 1.0, 1.0, 0.5, 2.0, exponent=exponent, points=n + 1)

    def cost(x):
        x = np.concatenate([[1.0], x, [0.0]])
        v = -np.diff(x) * n
        held = (x[1:] ** 2 + x[1:] * x[:-1] + x[:-1] ** 2) / 3
        return (0.5 * np.abs(v) ** (1 + exponent) + 2.0 * held).sum() / n

    found = minimize(
        cost, plan.holdings[1:-1] * 0.9 + 0.05, method="BFGS", options={"gtol": 1e-7, "maxiter": 2000}
    )
    assert plan.holdings[1:-1] == pytest.approx(found.x, abs=3e-3)
    assert cost(plan.holdings[1:-1]) == pytest.approx(found.fun, rel=1e-4)


def test_liquidation_with_market_orders_reference(cases):
    (case,) = named(cases, "cj_liquidation_market")
    i, e = case["inputs"], case["expected"]
    s, rate = market_order_liquidation(i["N"], i["T"], i["k"], i["b"], i["phi"], i["alpha"], times=i["t"])
    assert s.holdings == pytest.approx(e["Q"], rel=1e-10)
    assert rate == pytest.approx(e["nu"], rel=1e-10)


@pytest.mark.parametrize("phi", [0.0, 1e-12, 0.003, 5.0])
@pytest.mark.parametrize("alpha", [0.0005, 0.0021, 0.01, math.inf])
def test_liquidation_with_market_orders_solves_its_boundary_problem(phi, alpha):
    k, b, n = 0.002, 0.001, 3.0
    s, rate = market_order_liquidation(n, 2.0, k, b, phi, alpha)

    def ends(at_start, at_end):
        # optimality at the end: 2 k Q' + 2 (α − b/2) Q = 0
        last = at_end[0] if alpha == math.inf else k * at_end[1] + (alpha - b / 2) * at_end[0]
        return np.array([at_start[0] - n, last])

    guess = np.vstack([n * (1 - s.times / 2), -n / 2 * np.ones(201)])
    found = solve_bvp(
        lambda t, y: np.vstack([y[1], phi / k * y[0]]), ends, s.times, guess, tol=1e-8, max_nodes=10**5
    )
    assert found.success
    assert s.holdings == pytest.approx(found.sol(s.times)[0], abs=2e-6 * n)
    assert rate == pytest.approx(-found.sol(s.times)[1], abs=1e-5 * max(1.0, np.abs(rate).max()))


def test_liquidation_with_limit_orders(cases):
    (case,) = named(cases, "cj_liquidation_limit_orders")
    i = case["inputs"]
    found = limit_order_liquidation(5, i["lambda"], i["kappa"], i["alpha"], i["T_minus_t"])
    assert found == pytest.approx(list(case["expected"]["delta"].values()), rel=1e-10)


def test_liquidation_with_limit_orders_solves_its_equation():
    lam, kappa, alpha = 0.7, 3.0, 0.2
    q = np.arange(6)

    def slope(_, h):
        gain = np.zeros(6)
        gain[1:] = lam / (math.e * kappa) * np.exp(-kappa * (h[1:] - h[:-1]))
        return gain

    h = solve_ivp(slope, (0, 4.0), -alpha * q**2.0, rtol=1e-11, atol=1e-12).y[:, -1]
    assert limit_order_liquidation(5, lam, kappa, alpha, 4.0) == pytest.approx(
        1 / kappa + np.diff(h), rel=1e-8
    )
    assert limit_order_liquidation(2, lam, kappa, alpha, [0.0, 4.0]).shape == (2, 2)
    assert limit_order_liquidation(2, lam, kappa, alpha, 0.0) == pytest.approx(
        1 / kappa - alpha * np.array([1, 3])
    )


def test_i_star(cases):
    for case in named(cases, "kissell_istar"):
        i, e = case["inputs"], case["expected"]
        found = i_star(
            i["Q"], i["ADV"], i["sigma_annual"], i["POV"], **{n: i[n] for n in ("a1", "a2", "a3", "a4", "b1")}
        )
        assert found.instantaneous == pytest.approx(e["I_star_bp"], rel=1e-12)
        assert found.temporary == pytest.approx(e["temporary_bp"], rel=1e-12)
        assert found.permanent == pytest.approx(e["permanent_bp"], rel=1e-12)
        assert found.cost == pytest.approx(e["MI_bp"], rel=1e-12)
    assert i_star(np.full(3, 1e5), 1e6, 0.25, 0.2).cost.shape == (3,)


def test_a_schedule_is_a_target_for_the_quoter():
    s = AlmgrenChriss(100, 10, 5, sigma=0.5, temporary=0.1)
    target = s.as_target(start=1000.0)
    assert [target(t) for t in (0.0, 1000.0, 1001.0, 1005.0, 1010.0, 2000.0)] == [100, 100, 90, 50, 0, 0]
    model = mm.Affine(base=6.0, slope=0.5)
    quoter = mm.Quoter(model, mm.Instrument("X", tick="0.01"))
    assert quoter.quote(500.0, 50, target=target(1005.0)) is not None
    # sold too little by 7.5 lots: take 8; ahead: leave it
    assert s.must_cross(5.0, 57.5) == -8
    assert s.must_cross(5.0, 50.0) == 0
    assert s.must_cross(5.0, 20.0) == 0
    buying = AlmgrenChriss(-100, 10, 5, sigma=0.5, temporary=0.1)
    assert buying.must_cross(5.0, -60) == 10
    # part of a lot is no reason to go to the other side, unless the schedule does
    assert [s.must_cross(10.0, held) for held in (0.2, 1.0, 1.7, 3.0, -0.2)] == [0, -1, -1, -3, 0]
    assert [s.must_cross(10.0, held) for held in (1.0 - 1e-12, 2.0 + 1e-12)] == [-1, -2]
    assert [buying.must_cross(10.0, held) for held in (-0.2, -1.7, 0.2)] == [0, 1, 0]
    through = Schedule([0.0, 1.0], [10.0, -10.0])
    assert through.must_cross(1.0, 0.2) == -11
    assert through.must_cross(0.5, 0.2) == 0


@given(st.floats(-10.0, 30.0), st.integers(-20, 120), st.sampled_from([5, None]), st.floats(-1e5, 1e5))
def test_target_and_must_cross_have_one_clock(elapsed, inventory, periods, start):
    s = AlmgrenChriss(100, 10, periods, sigma=0.5, temporary=0.1, risk_aversion=0.1)
    now = start + elapsed
    aimed = s.as_target(start)(now)
    behind = max(inventory - aimed, 0.0)
    taken = -s.must_cross(now, inventory, start)
    assert behind - 1e-6 <= taken < behind + 1.0  # whole lots, and no more than that
    assert s.must_cross(start - 1.0, 100, start) == 0
    assert s.must_cross(start + 11.0, inventory, start) == -max(inventory, 0)


def test_an_overhang_is_brought_back_inside_and_no_further():
    plan = unwind(80, 50, 3, 3, sigma=0.5, temporary=0.1, risk_aversion=0.5)
    assert plan.holdings[0] == 80
    assert plan.holdings[-1] == pytest.approx(50)
    assert (np.diff(plan.holdings) < 0).all()
    assert (unwind(30, 50, 3, 3, sigma=0.5, temporary=0.1).holdings == 30).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: AlmgrenChriss(1, 0, 5, 1, temporary=1), "horizon must be a finite number > 0"),
        (lambda: AlmgrenChriss(1, 1, 0, 1, temporary=1), "periods must be an integer >= 1"),
        (lambda: AlmgrenChriss(math.nan, 1, 5, 1, temporary=1), "quantity must be a finite number"),
        (lambda: AlmgrenChriss(1, 1, 5, -1, temporary=1), "sigma must be a finite number >= 0"),
        (
            lambda: AlmgrenChriss(1, 1, 5, 1, permanent=20, temporary=1),
            "temporary must be more than permanent",
        ),
        (lambda: AlmgrenChriss(1, 1, 5, 1, temporary=1, risk_aversion=-1), "risk_aversion"),
        (
            lambda: AlmgrenChriss(1, 1, 5, 1, temporary=1).value_at_risk(1.0),
            "probability must be strictly between",
        ),
        (
            lambda: capped(AlmgrenChriss(10, 1, 5, 1, temporary=1), 1.0),
            "most must be numbers >= 0 with a sum",
        ),
        (lambda: market_order_liquidation(1, 1, 0.1, 0.1, 0.1, 0.01), "terminal_penalty must be at least"),
        (lambda: market_order_liquidation(1, 1, 0.1, times=[0, 2]), "times must be .* horizon, 1, got 2"),
        (lambda: capped(5, 30), "schedule must be an AlmgrenChriss, got 5"),
        (lambda: limit_order_liquidation(0, 1, 1, 1, 1), "quantity must be an integer >= 1"),
        (lambda: limit_order_liquidation(1, 1, 1, 1, -1), "time_left must be"),
        (lambda: i_star(1, 0, 0.2, 0.1), "volume must be a finite number > 0, got 0"),
        (lambda: i_star(1, 1, 0.2, 1.1), "participation must be a finite number >= 0 and <= 1, got 1.1"),
        (lambda: Schedule([0, 1], [1]), "holdings must be as many numbers as times"),
        (lambda: unwind(1, -1, 1, 1, 1, 1), "limit must be a finite number >= 0"),
        (
            lambda: capped(AlmgrenChriss(10, 1, 5, 1, temporary=1), [5, 5, 5, -1, 5]),
            "most must be .*, got -1.0",
        ),
        (
            lambda: capped(AlmgrenChriss(10, 1, 2, 1, temporary=1), [5, math.nan]),
            r"most\[1\] must be numbers, got nan",
        ),
        (lambda: power_law(1, 1, 1, 1, 1, 0.0), "exponent must be a finite number > 0"),
        (lambda: power_law(1, 1, 1, 1, 1, periods=2, drift=math.inf), "drift must be a finite number"),
        (lambda: AlmgrenChrissBasket([1, math.nan], 1, 2, np.eye(2), 1.0), r"quantities\[1\] must be finite"),
        (lambda: AlmgrenChrissBasket([1], 1, 2, np.eye(2), 1.0), "quantities must be 2 numbers"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, [[1, 2], [2, 1]], 1.0), "smallest eigenvalue is -1"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 0.0), "temporary must be a matrix whose eigen"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 1.0, 9.0), "temporary must be a matrix whose"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), np.eye(3)), "temporary must be finite numbers"),
        (
            lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 1.0, [[1, 0], [1, 1]]),
            "permanent must be symm",
        ),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 1.0, -1.0), "permanent must be a matrix with"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 1.0, fixed=[0, -1]), r"fixed\[1\] must be"),
        (lambda: AlmgrenChrissBasket([1, 1], 1, 2, np.eye(2), 1.0, drift=["a", 1]), "drift must be"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_a_basket_is_not_advised_what_it_does_not_take():
    with pytest.raises(InvalidArgument) as error:
        AlmgrenChrissBasket([1, 1], 1, 2, [[1, 2], [2, 1]], 1.0)
    assert "repair" not in str(error.value)
