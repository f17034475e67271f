"""Mean-variance portfolios and frontiers against exact numbers, brute force and optimality conditions."""

import itertools
import json
import math
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.optimize import linprog

import mmcore as mm
from mmcore.errors import InvalidArgument, MissingExtra, NoConvergence
from mmcore.portfolio import exponentially_weighted, sample_covariance, shrunk_covariance


def market(n, seed, observations=None):
    """Covariance and expected returns of n assets: one common factor, or a sample of few observations."""
    rng = np.random.default_rng(seed)
    if observations is not None:
        return np.cov(rng.normal(size=(observations, n)) * 0.2, rowvar=False), rng.normal(0.08, 0.05, n)
    load = np.column_stack([rng.normal(1, 0.3, n) * 0.16, rng.normal(size=(n, 2)) * 0.08])
    covariance = load @ load.T + np.diag(rng.uniform(0.1, 0.4, n) ** 2)
    return (covariance + covariance.T) / 2, rng.normal(0.08, 0.05, n)


def objective(x, covariance, returns, risk_aversion, holdings=None, cost=0.0):
    value = 0.5 * risk_aversion * x @ covariance @ x - returns @ x
    return value if holdings is None else value + np.sum(cost * np.abs(x - holdings))


def by_enumeration(covariance, returns, risk_aversion, low, high, budget=1.0):
    """Best of all active sets, each solved by its own linear system."""
    n, best, found = len(returns), math.inf, None
    for state in itertools.product((-1, 0, 1), repeat=n):
        state = np.array(state)
        x = np.where(state < 0, low, high).astype(float)
        free = np.flatnonzero(state == 0)
        k = len(free)
        if k:
            fixed = np.flatnonzero(state)
            system = np.zeros((k + 1, k + 1))
            system[:k, :k] = risk_aversion * covariance[np.ix_(free, free)]
            system[:k, k] = system[k, :k] = 1.0
            right = returns[free] - risk_aversion * covariance[np.ix_(free, fixed)] @ x[fixed]
            x[free] = np.linalg.solve(system, np.append(right, budget - x[fixed].sum()))[:k]
        if abs(x.sum() - budget) > 1e-9 or (x < low - 1e-12).any() or (x > high + 1e-12).any():
            continue
        if (value := objective(x, covariance, returns, risk_aversion)) < best:
            best, found = value, x
    return found


def assert_optimal(
    p, covariance, returns, risk_aversion, low, high, budget=1.0, holdings=None, cost=0.0, within=1e-11
):
    """The optimality conditions, written again."""
    x = p.weights
    size = np.abs(x).max()
    assert (x >= low - 1e-13 * size).all()
    assert (x <= high + 1e-13 * size).all()
    if budget is not None:
        assert x.sum() == pytest.approx(budget, abs=1e-12 * max(1.0, size))
    g = risk_aversion * covariance @ x - returns
    left = right = np.zeros(len(x))
    if holdings is not None:
        still = np.abs(x - holdings) <= 1e-13
        left = np.where(still, -cost, np.sign(x - holdings) * cost)
        right = np.where(still, cost, np.sign(x - holdings) * cost)
    scale = np.abs(g).max() + np.abs(returns).max() + 1e-3 * risk_aversion * np.abs(covariance).max() * size
    # a common multiplier nu must exist: more of it must not pay, nor less of another
    up = (g + right)[x < high - 1e-12 * size]
    down = (g + left)[x > low + 1e-12 * size]
    if budget is None:
        assert up.size == 0 or up.min() >= -1e-9 * scale
        assert down.size == 0 or down.max() <= 1e-9 * scale
    elif up.size and down.size:
        assert down.max() <= up.min() + 1e-9 * scale
    assert p.residual < within


def test_reference_cases(shared):
    cases = {c["name"]: c for c in json.loads((shared / "reference/sizing.json").read_text())["cases"]}
    case = cases["mean_variance_3_assets"]
    p = mm.mean_variance(
        case["inputs"]["covariance"],
        case["inputs"]["expected_returns"],
        risk_aversion=float(1 / Fraction(case["inputs"]["lam"])),
    )
    assert p.weights * 84046 == pytest.approx(case["expected"]["weights_times_84046"], rel=1e-12)
    wanted = [float(Fraction(w)) for w in cases["min_variance_diag"]["expected"]["weights"]]
    assert mm.mean_variance(np.diag([1.0, 2.0, 4.0])).weights == pytest.approx(wanted, rel=1e-14)


def test_closed_form_is_exact_in_rational_arithmetic():
    covariance, returns = [[2, 1], [1, 3]], [Fraction(1, 10), Fraction(1, 5)]
    # Sigma^-1 = [[3, -1], [-1, 2]] / 5
    u = [Fraction(2, 5), Fraction(1, 5)]
    w = [(3 * returns[0] - returns[1]) / 5, (2 * returns[1] - returns[0]) / 5]
    lam = 4
    nu = (lam - sum(w)) / sum(u)
    p = mm.mean_variance(covariance, [0.1, 0.2], risk_aversion=lam)
    assert p.weights == pytest.approx(
        [float((a + nu * b) / lam) for a, b in zip(w, u, strict=True)], rel=1e-14
    )
    assert p.budget_multiplier == pytest.approx(float(nu), rel=1e-14)
    assert p.residual < 1e-15


@pytest.mark.parametrize("n", [1, 2, 5, 40])
@pytest.mark.parametrize("budget", [1.0, 0.0, -3.0, None])
def test_closed_form_is_optimal(n, budget):
    covariance, returns = market(n, n)
    p = mm.mean_variance(covariance, returns, 2.5, budget)
    assert_optimal(p, covariance, returns, 2.5, -np.inf, np.inf, budget)
    assert p.objective == pytest.approx(objective(p.weights, covariance, returns, 2.5), rel=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_bounds_against_every_active_set(seed):
    n = 4
    covariance, returns = market(n, seed)
    rng = np.random.default_rng(seed)
    low, high = rng.uniform(-0.2, 0.1, n), rng.uniform(0.3, 0.8, n)
    for risk_aversion in (0.1, 1.0, 20.0):
        p = mm.mean_variance(covariance, returns, risk_aversion, lower=low, upper=high)
        x = by_enumeration(covariance, returns, risk_aversion, low, high)
        assert p.weights == pytest.approx(x, abs=1e-12)


@given(
    n=st.integers(1, 25),
    seed=st.integers(0, 10**6),
    risk_aversion=st.floats(1e-3, 1e3),
    cap=st.floats(1.01, 5.0),
    singular=st.booleans(),
    tied=st.booleans(),
)
def test_long_only_with_caps_is_optimal(n, seed, risk_aversion, cap, singular, tied):
    covariance, returns = market(n, seed, observations=max(2, n // 2) if singular and n > 3 else None)
    covariance = np.atleast_2d(covariance)
    if tied:
        returns = np.round(returns, 1)
    p = mm.mean_variance(covariance, returns, risk_aversion, lower=0.0, upper=cap / n)
    assert_optimal(p, covariance, returns, risk_aversion, 0.0, cap / n)


@given(
    n=st.integers(1, 12),
    seed=st.integers(0, 10**6),
    risk_aversion=st.floats(1e-2, 1e2),
    cost=st.floats(1e-4, 0.2),
    budget=st.sampled_from([1.0, None]),
)
def test_costs_leave_small_gains_alone(n, seed, risk_aversion, cost, budget):
    covariance, returns = market(n, seed)
    rng = np.random.default_rng(seed)
    holdings = rng.dirichlet(np.ones(n)) if n > 1 else np.ones(1)
    p = mm.mean_variance(
        covariance, returns, risk_aversion, budget, lower=-0.5, upper=1.5, holdings=holdings, cost=cost
    )
    assert_optimal(p, covariance, returns, risk_aversion, -0.5, 1.5, budget, holdings, cost)
    dear = mm.mean_variance(
        covariance, returns, risk_aversion, budget, lower=-0.5, upper=1.5, holdings=holdings, cost=1e9
    )
    assert dear.turnover == pytest.approx(0.0, abs=1e-12)


@st.composite
def partly_bounded(draw):
    """Covariance of few observations, bounds on some sides of some assets, and what is on the sides."""
    n = draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    observed = rng.integers(-2, 3, (draw(st.integers(1, n)), n)).astype(float)
    low = np.where(rng.random(n) < 0.5, -np.inf, 0.5 * rng.integers(-3, 1, n))
    high = np.where(rng.random(n) < 0.5, np.inf, 1.0 + 0.5 * rng.integers(0, 3, n))
    budget = draw(st.sampled_from([1.0, None]))
    return observed, low, high, budget, rng


def row_reduced(rows):
    """Reduced echelon form of rows of fractions, and the columns of its pivots."""
    rows, pivots = [[Fraction(v) for v in row] for row in rows], []
    for column in range(len(rows[0])):
        at = next((i for i in range(len(pivots), len(rows)) if rows[i][column]), None)
        if at is None:
            continue
        k = len(pivots)
        rows[k], rows[at] = rows[at], rows[k]
        rows[k] = [v / rows[k][column] for v in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [v - rows[i][column] * w for v, w in zip(rows[i], rows[k], strict=True)]
        pivots.append(column)
    return rows, pivots


def null_space(rows):
    """Basis of what the rows send to zero, in fractions."""
    reduced, pivots = row_reduced(rows)
    basis = []
    for free in set(range(len(rows[0]))) - set(pivots):
        line = [Fraction(int(j == free)) for j in range(len(rows[0]))]
        for row, pivot in zip(reduced, pivots, strict=False):
            line[pivot] = -row[free]
        basis.append(line)
    return basis


@given(
    n=st.integers(1, 6),
    count=st.integers(1, 6),
    seed=st.integers(0, 10**6),
    budget=st.sampled_from([1, -2, 0, None]),
    earning=st.booleans(),
)
@example(n=2, count=1, seed=29679, budget=0, earning=False)
def test_a_singular_covariance_without_bounds_in_rational_arithmetic(n, count, seed, budget, earning):
    """Unique, or not unique and then of the least norm, or without end: by the null space, in fractions."""
    rng = np.random.default_rng(seed)
    observed = rng.integers(-2, 3, (count, n))
    exact = observed.T @ observed
    chosen = rng.integers(-3, 4, n) if earning else exact @ rng.integers(-1, 2, n) + int(budget is not None)
    risk_aversion = int(rng.integers(1, 5))
    ones = [] if budget is None else [[1] * n]
    free = null_space(exact.tolist() + ones)
    gains = [sum(a * int(b) for a, b in zip(line, chosen, strict=True)) for line in free]

    def solve():
        return mm.mean_variance(exact.astype(float), chosen.astype(float), risk_aversion, budget)

    if any(gains):
        k = len(free)
        inner = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in free] for u in free]
        share, _ = row_reduced([[*row, gain] for row, gain in zip(inner, gains, strict=True)])
        along = [sum(share[i][k] * free[i][j] for i in range(k)) for j in range(n)]
        gain = sum(a * int(b) for a, b in zip(along, chosen, strict=True)) / sum(map(abs, along))
        with pytest.raises(InvalidArgument, match="direction without risk that earns a return") as raised:
            solve()
        told = float(str(raised.value).split("a return, ")[1].split()[0])
        assert told == pytest.approx(float(gain), rel=1e-5)
        return
    # the conditions of optimality, and no part along what is free
    system = [[*(risk_aversion * row).tolist(), -1, int(r)] for row, r in zip(exact, chosen, strict=True)]
    system += [[*[1] * n, 0, budget]] if ones else [[*[0] * n, 1, 0]]
    system += [[*line, 0, 0] for line in free]
    reduced, pivots = row_reduced(system)
    assert n + 1 not in pivots
    wanted = [float(row[n + 1]) for row in reduced[:n]]
    p = solve()
    size = max(1.0, *np.abs(wanted))
    assert p.weights == pytest.approx(wanted, abs=1e-11 * size)
    assert p.residual < 1e-12


@given(
    n=st.integers(2, 6),
    count=st.integers(1, 5),
    seed=st.integers(0, 10**6),
    budget=st.sampled_from([1, -2, 0, None]),
    goal=st.integers(-3, 40),
)
@example(n=2, count=1, seed=0, budget=1, goal=40)
def test_a_target_return_where_a_direction_without_risk_earns_in_rational_arithmetic(
    n, count, seed, budget, goal
):
    """The least variance stays as it is; what earns the target is the shortest step without risk."""
    rng = np.random.default_rng(seed)
    observed = rng.integers(-2, 3, (count, n))
    exact, chosen = observed.T @ observed, rng.integers(-3, 4, n)
    ones = [] if budget is None else [[1] * n]
    free = null_space(exact.tolist() + ones)
    gains = [sum(a * int(b) for a, b in zip(line, chosen, strict=True)) for line in free]
    assume(any(gains))
    k = len(free)
    inner = [[sum(a * b for a, b in zip(u, v, strict=True)) for v in free] for u in free]
    share, _ = row_reduced([[*row, gain] for row, gain in zip(inner, gains, strict=True)])
    along = [sum(share[i][k] * free[i][j] for i in range(k)) for j in range(n)]
    system = [[*row.tolist(), -1, 0] for row in exact]
    system += [[*[1] * n, 0, budget]] if ones else [[*[0] * n, 1, 0]]
    system += [[*line, 0, 0] for line in free]
    reduced, _ = row_reduced(system)
    least = [row[n + 1] for row in reduced[:n]]
    earned = [sum(a * int(b) for a, b in zip(line, chosen, strict=True)) for line in (least, along)]
    far = max((goal - earned[0]) / earned[1], 0)
    wanted = [float(a + far * b) for a, b in zip(least, along, strict=True)]
    p = mm.mean_variance(exact.astype(float), chosen.astype(float), budget=budget, target_return=float(goal))
    size = max(1.0, *np.abs(wanted))
    assert p.weights == pytest.approx(wanted, abs=1e-11 * size)
    assert p.risk_aversion == math.inf
    assert p.residual < 1e-11
    # the most return with some risk has no end, and so there is no frontier
    with pytest.raises(InvalidArgument, match="direction without risk that earns a return"):
        mm.mean_variance(exact.astype(float), chosen.astype(float), budget=budget, target_risk=1e3)
    with pytest.raises(InvalidArgument, match="direction without risk that earns a return"):
        mm.efficient_frontier(exact.astype(float), chosen.astype(float), budget, lower=None)


@pytest.mark.parametrize("seed", range(60))
def test_as_many_observations_as_assets_are_enough_for_a_budget(seed):
    """One direction without risk, which the budget settles: in thirty digits."""
    mpmath = pytest.importorskip("mpmath")
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 11))
    covariance, returns = np.atleast_2d(sample_covariance(rng.normal(size=(n, n)))), rng.normal(size=n)
    p = mm.mean_variance(covariance, returns, 2.0)
    assert p.residual < 1e-12
    with mpmath.workdps(30):
        # the covariance as given is singular to rounding: its last eigenvalue is made none
        values, vectors = mpmath.eigsy(mpmath.matrix(covariance.tolist()))
        values[0] = mpmath.mpf(0)
        system = mpmath.zeros(n + 1)
        system[:n, :n] = 2 * vectors * mpmath.diag(list(values)) * vectors.T
        for j in range(n):
            system[j, n] = system[n, j] = 1
        found = mpmath.lu_solve(system, mpmath.matrix([*returns.tolist(), 1]))
        wanted = [float(found[j]) for j in range(n)]
    size = np.abs(wanted).max()
    condition = np.linalg.cond(np.array(system.tolist(), dtype=float))
    assert p.weights == pytest.approx(wanted, abs=1e-15 * condition * size + 1e-13 * size)


def test_cash_beside_a_risky_asset():
    covariance = np.diag([1.0, 0.0])
    p = mm.mean_variance(covariance)
    assert p.weights == pytest.approx([0.0, 1.0], abs=1e-16)
    assert p.residual < 1e-12
    assert mm.mean_variance(covariance, [0.1, 0.02]).weights == pytest.approx([0.08, 0.92], rel=1e-15)
    with pytest.raises(InvalidArgument, match=r"earns a return, 0\.02 for each unit traded"):
        mm.mean_variance(covariance, [0.1, 0.02], budget=None)
    # nothing has risk, nothing earns
    p = mm.mean_variance(np.zeros((3, 3)), [0.1, 0.1, 0.1])
    assert p.weights == pytest.approx([1 / 3] * 3, rel=1e-15)


def earns_without_risk(observed, returns, low, high, budget):
    """Whether a direction without risk, which no bound ends, earns: a linear program."""
    rows = observed if budget is None else np.vstack([observed, np.ones(len(returns))])
    steps = [(-float(np.isinf(a)), float(np.isinf(b))) for a, b in zip(low, high, strict=True)]
    return -linprog(-returns, A_eq=rows, b_eq=np.zeros(len(rows)), bounds=steps).fun > 1e-7


@given(problem=partly_bounded())
def test_some_assets_without_bounds_and_a_singular_covariance(problem):
    observed, low, high, budget, rng = problem
    covariance = observed.T @ observed / 10.0
    # returns of which no direction without risk earns: there is an optimum
    returns = observed.T @ rng.normal(size=len(observed)) * 0.1 + (0.05 if budget else 0.0)
    p = mm.mean_variance(covariance, returns, 2.0, budget, lower=low, upper=high)
    assert_optimal(p, covariance, returns, 2.0, low, high, budget)
    again = mm.mean_variance(covariance, returns, 2.0, budget, lower=low, upper=high, start=p)
    assert again.objective == pytest.approx(p.objective, rel=1e-9, abs=1e-9)


@given(problem=partly_bounded())
def test_an_optimum_is_found_or_there_is_none(problem):
    observed, low, high, budget, rng = problem
    covariance, returns = observed.T @ observed / 10.0, np.round(rng.normal(size=observed.shape[1]), 1)
    if earns_without_risk(observed, returns, low, high, budget):
        with pytest.raises(InvalidArgument, match="direction without risk"):
            mm.mean_variance(covariance, returns, 2.0, budget, lower=low, upper=high)
    else:
        p = mm.mean_variance(covariance, returns, 2.0, budget, lower=low, upper=high)
        assert_optimal(p, covariance, returns, 2.0, low, high, budget)


@given(problem=partly_bounded(), goal=st.sampled_from([-0.1, 0.0, 0.1, 3.0]))
def test_any_target_return_is_met_by_the_least_risk_where_earning_more_takes_none(problem, goal):
    observed, low, high, budget, rng = problem
    covariance, returns = observed.T @ observed / 10.0, np.round(rng.normal(size=observed.shape[1]), 1)
    if not earns_without_risk(observed, returns, low, high, budget):
        return
    least = mm.mean_variance(covariance, budget=budget, lower=low, upper=high)
    p = mm.mean_variance(covariance, returns, budget=budget, lower=low, upper=high, target_return=goal)
    size = np.abs(p.weights).max()
    assert p.expected_return >= goal - 1e-12 * size
    assert p.risk == pytest.approx(least.risk, abs=1e-7 * size)
    assert_optimal(p, covariance, 0.0 * returns, 1.0, low, high, budget)


@given(problem=partly_bounded())
def test_a_frontier_with_some_assets_without_bounds(problem):
    observed, low, high, _, rng = problem
    covariance = observed.T @ observed / 10.0
    returns = observed.T @ rng.normal(size=len(observed)) * 0.1 + 0.05
    frontier = mm.efficient_frontier(covariance, returns, lower=low, upper=high)
    for risk_aversion in (0.2, 3.0):
        p = frontier.at(risk_aversion=risk_aversion)
        # some of these covariances are all but singular
        assert_optimal(p, covariance, returns, risk_aversion, low, high, within=1e-10)
    with pytest.raises(InvalidArgument, match="direction without risk"):
        mm.efficient_frontier(np.zeros((3, 3)), [0.1, 0.2, 0.3], lower=[-np.inf, -np.inf, 0.0])


@given(seed=st.integers(0, 10**6), n=st.integers(2, 15))
def test_permutation_and_units_change_nothing(seed, n):
    covariance, returns = market(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    bounds = {"lower": 0.0, "upper": 2.0 / n}
    p = mm.mean_variance(covariance, returns, 3.0, **bounds).weights
    q = mm.mean_variance(covariance[np.ix_(order, order)], returns[order], 3.0, **bounds).weights
    assert q == pytest.approx(p[order], abs=1e-11)
    scaled = mm.mean_variance(covariance * 1e8, returns * 1e4, 3e-4, **bounds).weights  # per cent of per cent
    assert scaled == pytest.approx(p, abs=1e-11)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), move=st.floats(0.0, 0.1))
def test_a_warm_start_gives_the_cold_answer(seed, n, move):
    covariance, returns = market(n, seed)
    other = returns + move * np.random.default_rng(seed).normal(size=n)
    problem = mm.MeanVariance(covariance, lower=0.0, upper=0.6)
    first = problem.solve(returns, 2.0)
    cold = mm.mean_variance(covariance, other, 5.0, lower=0.0, upper=0.6)
    assert problem.solve(other, 5.0).weights == pytest.approx(cold.weights, abs=1e-11)
    changed = covariance * 1.1 + 0.01 * np.eye(n)
    warm = mm.mean_variance(changed, other, 5.0, lower=0.0, upper=0.6, start=first)
    assert_optimal(warm, changed, other, 5.0, 0.0, 0.6)


@given(
    n=st.integers(2, 20),
    seed=st.integers(0, 10**6),
    singular=st.booleans(),
    tied=st.booleans(),
    cap=st.sampled_from([1.0, 0.3]),
)
def test_the_frontier_is_optimal_at_and_between_its_turning_points(n, seed, singular, tied, cap):
    covariance, returns = market(n, seed, observations=max(3, n // 2) if singular else None)
    if tied:
        returns = np.round(returns, 1)
    cap = max(cap, 1.5 / n)
    f = mm.efficient_frontier(covariance, returns, upper=cap)
    assert (np.diff(f.risk_tolerance) > 0).all()
    assert (np.diff(f.returns) >= -1e-14).all()
    t = f.risk_tolerance
    for tolerance in {*t[1:], *((t[1:] + t[:-1]) / 2), t[-1] + 1.0}:
        p = f.at(risk_aversion=1.0 / tolerance)
        assert_optimal(p, covariance, returns, 1.0 / tolerance, 0.0, cap)
    assert_optimal(f.at(target_return=-9.0), covariance, np.zeros(n) + 0.0, 1.0, 0.0, cap)
    # the end of the path is the highest return there is: the best assets, up to their caps
    best = np.sort(returns)[::-1]
    shares = np.clip(1.0 - cap * np.arange(n), 0.0, cap)
    assert f.returns[-1] == pytest.approx(best @ shares, abs=1e-12)
    assert not f.ray.any()


@given(
    n=st.integers(2, 14),
    seed=st.integers(0, 10**6),
    share=st.floats(0.0, 1.0),
    fixed=st.integers(0, 3),
    tied=st.booleans(),
)
def test_the_frontier_within_any_bounds_holds_each_solution(n, seed, share, fixed, tied):
    covariance, returns = market(n, seed)
    returns = np.round(returns, 1) if tied else returns
    rng = np.random.default_rng(seed)
    low = rng.uniform(-0.5, 0.05, n)
    high = low + rng.uniform(0.0, 1.0, n)
    high[:fixed] = low[:fixed]
    budget = float((1.0 - share) * low.sum() + share * high.sum())
    f = mm.efficient_frontier(covariance, returns, budget, lower=low, upper=high)
    for risk_aversion in 10.0 ** rng.uniform(-2, 2, 4):
        p = mm.mean_variance(covariance, returns, risk_aversion, budget, lower=low, upper=high)
        assert f.at(risk_aversion=risk_aversion).weights == pytest.approx(p.weights, abs=1e-11)


@pytest.mark.parametrize("bounds", [{"lower": None}, {"lower": 0.0}, {"lower": 0.0, "upper": 0.4}])
def test_targets_are_met(bounds):
    covariance, returns = market(8, 5)
    f = mm.efficient_frontier(covariance, returns, **bounds)
    least = f.at(target_return=-1.0)
    most = float(returns.max()) if bounds.get("upper") is None else f.returns[-1]
    for share in (0.1, 0.5, 0.9):
        goal = least.expected_return + share * (most - least.expected_return)
        p = f.at(target_return=goal)
        assert p.expected_return == pytest.approx(goal, rel=1e-13)
        q = f.at(target_risk=p.risk)
        assert q.risk == pytest.approx(p.risk, rel=1e-13)
        assert q.weights == pytest.approx(p.weights, abs=1e-10)
        r = mm.mean_variance(covariance, returns, **bounds, target_return=goal)
        assert r.weights == pytest.approx(p.weights, abs=1e-14)
        direct = mm.mean_variance(covariance, returns, p.risk_aversion, **bounds)
        assert direct.weights == pytest.approx(p.weights, abs=1e-12)


def test_a_frontier_from_nothing_keeps_its_digits_near_it():
    """Without a budget nothing is held at the least risk, and little near it: both to their own digits."""
    covariance = np.array([[6.0, 2.0, 4.0], [2.0, 7.0, -5.0], [4.0, -5.0, 9.0]])  # r = 0 is (1, -1, -1)
    returns = np.array([1.0725857637335474, 0.357231154717764, 0.8153546090157834])
    frontier = mm.efficient_frontier(covariance, returns, None, lower=[0.0, -1.0, -1.0])
    assert not frontier.weights[0].any()
    assert frontier.at(target_return=-0.3).residual == 0.0
    step = np.linalg.solve(covariance[1:, 1:], returns[1:])
    assert frontier.at(risk_aversion=1e12).weights == pytest.approx([0.0, *(step / 1e12)], rel=1e-12)


def test_the_least_target_there_is():
    """A risk tolerance that small has no risk aversion: it is the portfolio of least risk."""
    p = mm.mean_variance([[5.0]], [0.1], budget=None, target_return=5e-324)
    assert (p.weights, p.risk_aversion) == (0.0, math.inf)


def test_its_least_risk_as_a_target_where_rounding_leaves_some():
    covariance = [[0.0, 0.0, 0.0], [0.0, 8.0, 2.0], [0.0, 2.0, 5.0]]
    returns = [0.0045788319147004606, 0.5929142852395968, 0.2721900513849475]
    least = mm.mean_variance(covariance)
    assert 0.0 <= least.risk < 1e-15  # how much is the BLAS library's affair
    p = mm.mean_variance(covariance, returns, target_risk=least.risk)
    assert p.weights == pytest.approx([1.0, 0.0, 0.0], abs=1e-15)


def test_a_target_before_a_turning_point_that_rounding_puts_far_away():
    """By hand: the second alone, since what it draws on the first is as much as that one earns."""
    covariance = [[9.0, 8.0, -2.0], [8.0, 8.0, -2.0], [-2.0, -2.0, 5.0]]
    returns, bounds = [-2.0, -2.0, 0.0], {"lower": [-1.0, -np.inf, 0.0], "upper": [2.0, 1.0, 2.0]}
    for p in (
        mm.mean_variance(covariance, returns, budget=None, target_return=1.5, **bounds),
        mm.efficient_frontier(covariance, returns, None, **bounds).at(target_return=1.5),
    ):
        assert p.weights == pytest.approx([0.0, -0.75, 0.0], abs=1e-15)
        assert p.variance == pytest.approx(4.5, rel=1e-15)


def test_a_textbook_frontier_by_hand():
    """Two uncorrelated assets, variances 1 and 4: x1 falls from 4/5 to 0 as t grows by 8."""
    f = mm.efficient_frontier(np.diag([1.0, 4.0]), [0.1, 0.2])
    # 1*x1 - 0.1 t = 4*x2 - 0.2 t with x1 = 0: t = 40
    assert f.risk_tolerance == pytest.approx([0.0, 40.0])
    assert f.weights == pytest.approx(np.array([[0.8, 0.2], [0.0, 1.0]]))


@pytest.mark.realdata
def test_twenty_stocks(shared):
    """The whole frontier is optimal, as is a month's re-optimisation from what is held; costs trade less."""
    path = shared / "data/daily_prices/sp500_dataset.csv.gz"
    prices = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=range(1, 21))
    daily = prices[1:] / prices[:-1] - 1.0
    covariance, returns = 252 * sample_covariance(daily), 252 * daily.mean(axis=0)
    f = mm.efficient_frontier(covariance, returns)
    t = f.risk_tolerance
    assert f.returns[-1] == pytest.approx(returns.max(), rel=1e-14)
    for tolerance in (*t[1:], *((t[1:] + t[:-1]) / 2)):
        p = f.at(risk_aversion=1.0 / tolerance)
        assert_optimal(p, covariance, returns, 1.0 / tolerance, 0.0, 1.0)
    held, past = np.full(20, 0.05), daily[-756:]
    covariance, returns = 21 * sample_covariance(past), 21 * past.mean(axis=0)
    aware = mm.mean_variance(covariance, returns, 4.0, lower=0.0, upper=0.25, holdings=held, cost=0.001)
    assert_optimal(aware, covariance, returns, 4.0, 0.0, 0.25, holdings=held, cost=0.001)
    blind = mm.mean_variance(covariance, returns, 4.0, lower=0.0, upper=0.25, holdings=held)
    assert aware.turnover < blind.turnover


@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), power=st.integers(-8, 8))
def test_the_budget_is_met_to_rounding(seed, n, power):
    covariance, returns = market(n, seed)
    budget = 10.0**power
    for bounds in ({}, {"lower": 0.0}):
        p = mm.mean_variance(covariance, returns / budget, 0.3 / budget**2, budget, **bounds)
        assert abs(math.fsum(p.weights) - budget) <= 1e-15 * n * np.abs(p.weights).max()


def test_target_inventories_in_lots():
    names = [mm.Instrument("A", tick="0.01", lot="1"), mm.Instrument("B", tick="0.5", lot="0.1")]
    covariance = [[0.04, 0.01], [0.01, 0.09]]
    target = mm.target_inventories(covariance, [0.002, 0.001], 1e-6, limits=40_000)
    assert_optimal(target, np.array(covariance), np.array([0.002, 0.001]), 1e-6, -4e4, 4e4, budget=None)
    lots = target.lots(names, [150.0, 3_000.0])
    assert lots.lots.tolist() == [267, 22]
    off = np.array([267 * 150.0 - 40_000.0, 22 * 300.0 - 20_000.0 / 3.0])
    assert lots.rounding == pytest.approx(off)
    assert lots.rounding_risk == pytest.approx(math.sqrt(off @ covariance @ off))
    with pytest.raises(InvalidArgument, match=r"prices\[1\] must be numbers > 0|prices"):
        target.lots(names, [150.0, 0.0])
    with pytest.raises(InvalidArgument, match=r"instruments\[0\] must be instances of Instrument, got 'A'"):
        target.lots(["A", "B"], [150.0, 3_000.0])
    for wrong in (7, "AB", iter(names)):
        with pytest.raises(InvalidArgument, match="instruments must be a list of 2 instruments"):
            target.lots(wrong, [150.0, 3_000.0])


def test_exponential_weights_by_their_definition():
    x = np.random.default_rng(0).normal(size=(50, 3))
    w = 0.5 ** ((49 - np.arange(50)) / 10.0)
    w /= w.sum()
    m = w @ x
    wanted = sum(w[t] * np.outer(x[t] - m, x[t] - m) for t in range(50))
    assert exponentially_weighted(x, 10.0) == pytest.approx(wanted, rel=1e-13)
    assert exponentially_weighted(x, math.inf) == pytest.approx(np.cov(x, rowvar=False, bias=True), rel=1e-12)


def test_the_sample_covariance_by_its_definition():
    x = np.random.default_rng(1).normal(size=(30, 4))
    assert sample_covariance(x) == pytest.approx(np.cov(x, rowvar=False), rel=1e-13)
    known = sum(np.outer(row - 0.1, row - 0.1) for row in x) / 30
    assert sample_covariance(x, mean=0.1) == pytest.approx(known, rel=1e-13)
    few = sample_covariance(x[:3])
    assert np.linalg.matrix_rank(few) == 2
    assert mm.mean_variance(few, lower=0.0).residual < 1e-11


def test_shrinkage_by_the_papers_formulas():
    """Ledoit and Wolf (2004), lemma 3.2-3.4, and Chen et al. (2010), equation 23, written out."""
    pytest.importorskip("sklearn", reason="needs the extra ml")
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6))
    x -= x.mean(axis=0)
    count, n = x.shape
    s = x.T @ x / count
    mu = np.trace(s) / n
    d2 = np.sum((s - mu * np.eye(n)) ** 2) / n
    b2 = sum(np.sum((np.outer(row, row) - s) ** 2) for row in x) / n / count**2
    weight = min(b2, d2) / d2
    wanted = weight * mu * np.eye(n) + (1 - weight) * s
    assert shrunk_covariance(x) == pytest.approx(wanted, rel=1e-10)
    # scikit-learn's form of equation 23 leaves out the terms 2/n
    square = np.sum(s * s) / n**2
    weight = min(1.0, (square + mu**2) / ((count + 1) * (square - mu**2 / n)))
    wanted = weight * mu * np.eye(n) + (1 - weight) * s
    assert shrunk_covariance(x, "oas") == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize("method", ["ledoit_wolf", "oas", "shrunk", "graphical_lasso", "minimum_determinant"])
def test_every_estimate_is_a_covariance(method):
    pytest.importorskip("sklearn", reason="needs the extra ml")
    x = np.random.default_rng(3).normal(size=(60, 5))
    options = {"random_state": 0} if method == "minimum_determinant" else {}
    matrix = shrunk_covariance(x, method, **options)
    assert (matrix == matrix.T).all()
    assert np.linalg.eigvalsh(matrix)[0] > 0.0
    order = [3, 1, 4, 0, 2]
    if method != "minimum_determinant":  # which draws at random
        loose = 1e-3 if method == "graphical_lasso" else 1e-12  # the lasso stops at 1e-4
        again = shrunk_covariance(x[:, order], method)
        assert again == pytest.approx(matrix[np.ix_(order, order)], abs=loose)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: sample_covariance([[1.0, math.nan], [0.0, 1.0]]),
            r"returns\[0, 1\] must be finite, got nan",
        ),
        (lambda: sample_covariance([1.0, 2.0]), r"returns must be real numbers, .* got shape \(2,\)$"),
        (lambda: sample_covariance([["a"], ["b"]]), "returns must be real numbers"),
        (lambda: sample_covariance(np.empty((0, 3))), "returns must be real numbers"),
        (lambda: sample_covariance([[1.0, 2.0]]), "returns must be at least 2 of them"),
        (
            lambda: sample_covariance(np.eye(3), mean=[1.0, math.inf, 0.0]),
            r"mean\[1\] must be finite numbers",
        ),
        (lambda: exponentially_weighted(np.eye(2), 0.0), "half_life must be a finite number > 0, got 0.0"),
        (
            lambda: exponentially_weighted(np.eye(2), "long"),
            "half_life must be a finite number > 0, got 'long'",
        ),
        (lambda: exponentially_weighted(np.eye(2), True), "half_life must be a finite number > 0, got True"),
        (lambda: exponentially_weighted([[math.inf]], 3.0), r"returns\[0, 0\] must be finite, got inf"),
        (lambda: shrunk_covariance(np.eye(3), "wish"), "method must be 'ledoit_wolf' or .*, got 'wish'"),
        (lambda: shrunk_covariance(np.eye(3), "oas", shrinkage=0.1), "scikit-learn refuses 'oas'"),
    ],
)
def test_bad_observations_are_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_an_estimator_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtra, match=r"\[ml\]"):
        shrunk_covariance(np.eye(3))


INDEFINITE = [[1.0, 2.0], [2.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"covariance": [[1.0, 0.5]]}, "covariance must be a square matrix"),
        ({"covariance": [[1.0, math.nan], [math.nan, 1.0]]}, r"covariance\[0, 1\] must be finite"),
        ({"covariance": [[1.0, 0.5], [math.nan, 1.0]]}, r"covariance\[1, 0\] must be finite"),
        (
            {"covariance": [[1.0, 0.5], [0.1, 1.0]]},
            r"covariance must be symmetric, got 0\.5 at \[0, 1\] and 0\.1 at \[1, 0\]$",
        ),
        ({"expected_returns": None, "target_return": 0.1}, "^target_return needs expected_returns$"),
        ({"expected_returns": None, "target_risk": 0.1}, "^target_risk needs expected_returns$"),
        (
            {"expected_returns": [0.1]},
            r"expected_returns must be 2 numbers, or one for all, got shape \(1,\)$",
        ),
        (
            {"covariance": [1.0, 2.0]},
            r"covariance must be a square matrix of real numbers, got shape \(2,\)$",
        ),
        ({"covariance": INDEFINITE}, "smallest eigenvalue is -1"),
        ({"expected_returns": [1.0, math.nan]}, "expected_returns"),
        ({"expected_returns": [1.0]}, "expected_returns"),
        ({"expected_returns": ["a", "b"]}, "expected_returns|could not"),
        ({"risk_aversion": 0.0}, "risk_aversion must be a finite number > 0"),
        ({"risk_aversion": math.nan}, "risk_aversion"),
        ({"budget": math.inf}, "budget must be a finite number"),
        ({"lower": 0.0, "upper": 0.4}, "budget must be within the sums of the bounds, 0 to 0.8"),
        ({"lower": [0.0, 2.0], "upper": 1.0}, "lower"),
        ({"lower": math.nan}, "lower"),
        ({"cost": 0.1}, "holdings"),
        ({"cost": -0.1, "holdings": 0.5}, "cost"),
        ({"repair": "wish"}, "repair must be None or 'clip'"),
        ({"target_return": 9.0, "lower": 0.0}, "target_return must be at most 0.2"),
        ({"target_risk": 0.1, "lower": 0.0}, "target_risk must be at least"),
    ],
)
def test_bad_input_is_named(arguments, words):
    given = {"covariance": [[1.0, 0.2], [0.2, 2.0]], "expected_returns": [0.1, 0.2], **arguments}
    with pytest.raises(InvalidArgument, match=words):
        mm.mean_variance(**given)


def test_repair_is_the_nearest_and_only_on_request():
    p = mm.mean_variance(INDEFINITE, [0.1, 0.1], repair="clip", lower=0.0)
    # eigenvalues 3 and -1 with (1, 1) and (1, -1): clipped, 1.5 everywhere
    assert p.variance == pytest.approx(1.5)


def test_a_riskless_gain_is_unbounded_and_said_so():
    flat = [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(InvalidArgument, match="without risk"):
        mm.mean_variance(flat, [0.1, 0.2])
    assert mm.mean_variance(flat, [0.1, 0.1]).weights == pytest.approx([0.5, 0.5])
    assert mm.mean_variance(flat, [0.1, 0.2], lower=0.0).weights == pytest.approx([0.0, 1.0])
    assert mm.mean_variance(flat, [0.1, 0.2], lower=-1.0, upper=2.0).weights == pytest.approx([-1.0, 2.0])
    # what it earns is that of a unit, whatever the risk aversion and the way there
    for limits in ({}, {"upper": [1.0, np.inf]}, {"lower": [-np.inf, 0.0]}):
        with pytest.raises(InvalidArgument, match=r"earns a return, 0\.05 for each unit traded"):
            mm.mean_variance(flat, [0.1, 0.2], 7.0, **limits)
    with pytest.raises(InvalidArgument, match=r"earns a return, 0\.03 for each unit traded"):
        mm.mean_variance(flat, [0.1, 0.2], 7.0, holdings=[1.0, 0.0], cost=0.02)
    # in money and large units too: a return of a thousandth beside a variance of ten millions
    large = 1e7 * np.array([[4.0, -2.0], [-2.0, 1.0]])
    with pytest.raises(InvalidArgument, match="without risk that earns a return"):
        mm.efficient_frontier(large, [2e-3, -1.3e-3], None, lower=None, upper=[5e5, 1e6])


def test_equal_returns_without_any_risk_have_no_direction_that_earns():
    """In money: what rounds a hundred million is more than what a unit earns."""
    upper = 1e8 * np.array([1.0, 1.0, 1.0, 0.5, 0.5, np.inf, np.inf])
    p = mm.mean_variance(np.zeros((7, 7)), np.full(7, -2e-9), budget=2e8, upper=upper)
    assert p.weights.sum() == pytest.approx(2e8, rel=1e-15)
    assert (p.weights <= upper).all()


@pytest.mark.parametrize(
    ("covariance", "returns", "safe"),
    [([[1.0, 1.5], [1.5, 2.25]], [0.03, 0.35], [1.0, 0.0]), ([[4.0, 2.0], [2.0, 1.0]], [0.1, 0.05], [0, 1])],
)
def test_the_least_risk_is_a_target_that_is_kept(covariance, returns, safe):
    """Two assets on one line of risk: the frontier stays at its beginning for a while."""
    p = mm.mean_variance(covariance, returns, target_risk=1.0, lower=0.0)
    assert p.weights == pytest.approx(safe, abs=1e-12)
    frontier = mm.efficient_frontier(covariance, returns)
    for risk in (1.0, 1.0 + 1e-9, 1.2, 1.4):
        assert frontier.at(target_risk=risk).risk == pytest.approx(risk, rel=1e-12)


def test_a_riskless_asset_among_the_others():
    covariance = np.array([[0.0, 0.0, 0.0], [0.0, 0.04, 0.01], [0.0, 0.01, 0.09]])
    returns = np.array([0.02, 0.08, 0.1])
    assert mm.mean_variance(covariance, lower=0.0).weights == pytest.approx([1.0, 0.0, 0.0], abs=1e-15)
    assert mm.mean_variance(np.diag([0.0, 0.04]), lower=0.0).weights == pytest.approx([1.0, 0.0], abs=1e-15)
    # two funds: cash, and the stocks in the proportions of the tangency portfolio
    stocks = np.array([0.09 * 0.06 - 0.01 * 0.08, 0.04 * 0.08 - 0.01 * 0.06]) / 0.0035
    risk = math.sqrt(stocks @ covariance[1:, 1:] @ stocks)
    for p, share in (
        (mm.mean_variance(covariance, returns, target_risk=0.1, lower=0.0), 0.1 / risk),
        (mm.mean_variance(covariance, returns, target_return=0.05, lower=0.0), 0.03 / risk**2),
        (mm.efficient_frontier(covariance, returns).at(risk_aversion=20.0), 0.05),
        (mm.mean_variance(covariance, returns, 1e12, lower=0.0), 1e-12),
    ):
        assert p.weights[1:] == pytest.approx(share * stocks, rel=1e-3 if share < 1e-9 else 1e-11)
        assert p.weights.sum() == pytest.approx(1.0, abs=1e-15)
    # all but riskless: the holdings are as the variances are, the other way round
    p = mm.mean_variance(np.diag([1e-14, 0.04]), lower=0.0)
    assert p.weights == pytest.approx([1.0 - 2.5e-13, 2.5e-13], abs=1e-15)


@given(
    n=st.integers(2, 12),
    seed=st.integers(0, 2**32 - 1),
    cost=st.floats(0.0, 0.05),
    budget=st.sampled_from([None, 1.0, -0.3]),
)
def test_costs_need_no_bounds(n, seed, cost, budget):
    covariance, returns = market(n, seed)
    holdings = np.random.default_rng(seed).normal(size=n) / n
    p = mm.mean_variance(covariance, returns, 2.0, budget, holdings=holdings, cost=cost)
    assert_optimal(p, covariance, returns, 2.0, -math.inf, math.inf, budget, holdings, cost)


@pytest.mark.filterwarnings("error")
def test_bounds_may_be_infinite():
    p = mm.mean_variance(np.eye(3), lower=[0.0, -math.inf, -math.inf])
    assert p.weights == pytest.approx([1 / 3] * 3)
    p = mm.target_inventories(np.eye(2), [1.0, 2.0], 1.0, limits=[0.5, math.inf])
    assert p.weights == pytest.approx([0.5, 2.0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sample_covariance([[1e200, 1], [-1e200, 1]]), r"returns\[0, 0\] must be within"),
        (lambda: exponentially_weighted([[1, 2]], 5), "returns must be at least 2 of them"),
        (lambda: mm.mean_variance(np.eye(2), groups=[0]), "groups must be a dict"),
    ],
)
def test_what_gives_no_portfolio_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


@pytest.mark.filterwarnings("ignore")
def test_estimators_that_fail_are_named():
    pytest.importorskip("sklearn")
    with pytest.raises(InvalidArgument, match="returns must be at least 2 of them"):
        shrunk_covariance([[1, 2]])
    assert shrunk_covariance([[1, 2]], "shrunk", assume_centered=True).shape == (2, 2)
    with pytest.raises(InvalidArgument, match="scikit-learn refuses 'graphical_lasso'"):
        shrunk_covariance([[1, 1], [1, 1]], "graphical_lasso")


@pytest.mark.filterwarnings("error")
def test_numbers_that_have_no_inverse_are_refused():
    words = r"covariance must have a largest entry from 1e-150 to 1e\+150"
    bounded, priced = {"lower": 0.0}, {"holdings": [0.4, 0.4], "cost": 0.1}
    cases = (np.eye(2), bounded), (np.eye(2), priced), (np.ones((2, 2)), {}), (np.diag([1.0, 0.0]), {})
    for scale, (covariance, limits) in itertools.product((5e-324, 1e-200, 1e200, 1e300, 1e307), cases):
        with pytest.raises(InvalidArgument, match=words):
            mm.mean_variance(scale * covariance, **limits)
    with pytest.raises(InvalidArgument, match=words):
        mm.mean_variance([[5e-324]])
    # a closed form has few enough operations
    for scale in (1e-200, 1e200, 1e300):
        assert mm.mean_variance(scale * np.eye(2)).weights == pytest.approx([0.5, 0.5], rel=1e-15)


def test_an_unknown_limit_is_named_by_who_was_asked():
    with pytest.raises(TypeError, match=r"efficient_frontier\(\)"):
        mm.efficient_frontier(np.eye(2), [1, 2], foo=2)


def test_what_nothing_speaks_for_is_not_held():
    nothing = np.zeros((2, 2))
    assert (mm.target_inventories(nothing, [0, 0], 1, limits=5).weights == 0.0).all()
    assert mm.target_inventories(nothing, [0, 1], 1, limits=5).weights == pytest.approx([0.0, 5.0])
    assert (mm.target_inventories(np.ones((2, 2)), [0, 0], 1, limits=5).weights == 0.0).all()
    p = mm.mean_variance(nothing, [0, 0], budget=None, lower=[1, -2], upper=[3, -1])
    assert p.weights == pytest.approx([1.0, -1.0])


def test_what_the_caller_does_to_his_arrays_later_changes_nothing():
    covariance, returns = np.diag([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.3])
    holdings, cost = np.array([0.2, 0.3, 0.5]), np.full(3, 0.01)
    for limits in ({}, {"lower": 0.0}, {"lower": 0.0, "holdings": holdings, "cost": cost}):
        problem = mm.MeanVariance(covariance, **limits)
        found = problem.solve(returns)
        frontier = mm.efficient_frontier(covariance, returns)
        before = found.variance, found.expected_return, found.cost, frontier.risks.tolist()
        arrays = (covariance, returns, holdings, cost)
        kept = [array.copy() for array in arrays]
        for array in arrays:
            array *= 3
        assert (found.variance, found.expected_return, found.cost, frontier.risks.tolist()) == before
        assert problem.solve(kept[1]).weights.tolist() == found.weights.tolist()
        for array, values in zip(arrays, kept, strict=True):
            array[:] = values


@pytest.mark.parametrize("singular", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"repair": "clip"},
        {"lower": 0.0},
        {"lower": 0.0, "target_return": 0.2},
        {"holdings": np.array([0.2, 0.3, 0.5]), "cost": np.full(3, 0.01)},
        {"leverage": 1.2},
    ],
)
def test_nor_does_what_he_does_to_those_of_a_single_solve(given, singular):
    covariance = np.array([[1.0, 0.3, 0.1], [0.3, 2.0, 0.2], [0.1, 0.2, 4.0]])
    returns = np.array([0.1, 0.2, 0.3])
    if singular:
        covariance[:2, :2], covariance[:2, 2], covariance[2, :2], returns[:2] = 1.0, 0.1, 0.1, 0.1
    if "leverage" in given:
        pytest.importorskip("piqp")
    usd = mm.Currency("USD")
    instruments = [mm.Instrument(name, tick="0.01", lot="1", currency=usd) for name in "ABC"]
    copies = [a.copy() for a in (covariance, returns)]
    found, other = (mm.mean_variance(a, r, 2.0, **given) for a, r in ((covariance, returns), copies))
    covariance *= 3.0
    returns *= 3.0
    x = found.weights
    assert (x == other.weights).all()
    assert found.variance == pytest.approx(x @ copies[0] @ x, rel=1e-15)
    assert found.objective == other.objective
    assert (found.multipliers == other.multipliers).all()
    shares, rounded = found.lots(instruments, 0.01), other.lots(instruments, 0.01)
    assert shares.rounding_risk == rounded.rounding_risk
    if not singular:  # of two assets alike any parts are best, whole lots among them
        assert shares.rounding_risk > 0.0


@pytest.mark.parametrize(
    ("covariance", "returns", "upper", "best"),
    [
        ([[4.0, 4.0], [4.0, 4.0]], [0.1, 0.3], [0.5, 1.0], [0.0, 1.0]),
        ([[4.0, 4.0], [4.0, 4.0]], [0.3, 0.1], [0.75, 1.0], [0.75, 0.25]),
        (np.full((3, 3), 4.0), [0.1, 0.3, 0.2], [1.0, 0.5, 1.0], [0.0, 0.5, 0.5]),
    ],
)
def test_of_several_portfolios_with_the_least_risk_the_one_that_earns_most(covariance, returns, upper, best):
    found = mm.mean_variance(covariance, returns, lower=0.0, upper=upper, target_risk=2.0)
    assert found.weights == pytest.approx(best, abs=1e-12)
    assert found.risk == pytest.approx(2.0, rel=1e-14)


def in_fractions(covariance, returns, risk_aversion, budget, bounds, holdings, cost):
    """Best portfolio with costs and bounds, exactly: of all partitions the one whose conditions hold."""
    n = len(returns)
    lower, upper = bounds
    for state in itertools.product(["lower", "upper", "held", "bought", "sold"], repeat=n):
        free = [j for j in range(n) if state[j] in ("bought", "sold")]
        place = {"lower": lower, "upper": upper, "held": holdings}
        x = [place.get(where, holdings)[j] for j, where in enumerate(state)]
        if any(v is None for v in x):
            continue
        drawn = [sum(covariance[i][j] * x[j] for j in range(n) if j not in free) for i in range(n)]
        paid = [cost[j] if state[j] == "bought" else -cost[j] for j in range(n)]
        system = [
            [
                *(risk_aversion * covariance[i][j] for j in free),
                -1,
                returns[i] - paid[i] - risk_aversion * drawn[i],
            ]
            for i in free
        ]
        rest = None if budget is None else budget - sum(x[j] for j in range(n) if j not in free)
        if not free and rest:
            continue
        system.append([*[0 if budget is None else 1] * len(free), int(budget is None), rest or 0])
        reduced, _ = row_reduced(system)
        for j, row in zip(free, reduced, strict=False):
            x[j] = row[-1]
        if any(
            (state[j] == "bought" and x[j] < holdings[j])
            or (state[j] == "sold" and x[j] > holdings[j])
            or (lower[j] is not None and x[j] < lower[j])
            or (upper[j] is not None and x[j] > upper[j])
            for j in range(n)
        ):
            continue
        slope = [
            risk_aversion * sum(covariance[i][j] * x[j] for j in range(n)) - returns[i] for i in range(n)
        ]
        up = [slope[j] + (cost[j] if x[j] >= holdings[j] else -cost[j]) for j in range(n) if x[j] != upper[j]]
        down = [
            slope[j] + (cost[j] if x[j] > holdings[j] else -cost[j]) for j in range(n) if x[j] != lower[j]
        ]
        pressed = [0] if budget is None else []
        if max([*down, *pressed], default=-math.inf) <= min([*up, *pressed], default=math.inf):
            return [float(v) for v in x]
    return None


@given(
    n=st.integers(1, 3),
    seed=st.integers(0, 10**6),
    dear=st.sampled_from([1.0, 1e4, 1e6, 1e9, 1e12]),
    equal=st.booleans(),
    general=st.booleans(),
    budget=st.sampled_from([1, -1, None, "held"]),
)
def test_dear_costs_leave_the_holdings_all_digits(n, seed, dear, equal, general, budget):
    """Which trades are made, and how large they are, for costs up to 1e12, in rational arithmetic."""
    if general:
        pytest.importorskip("piqp")
    rng = np.random.default_rng(seed)
    observed = rng.integers(-2, 3, (n + 1, n))
    covariance = observed.T @ observed + np.eye(n, dtype=int)
    returns = [Fraction(int(v), 8) for v in rng.integers(-8, 9, n)]
    holdings = [Fraction(int(v), 8) for v in rng.integers(-4, 9, n)]
    cost = [Fraction(float(v)) for v in (np.full(n, dear) if equal else dear * rng.integers(0, 3, n))]
    budget = sum(holdings) if budget == "held" else budget
    lower = [None if rng.random() < 0.5 else Fraction(-3, 2) for _ in range(n)]
    upper = [None if rng.random() < 0.5 else Fraction(3, 2) for _ in range(n)]
    wanted = in_fractions(covariance.tolist(), returns, 2, budget, (lower, upper), holdings, cost)
    p = mm.mean_variance(
        covariance.astype(float),
        np.array(returns, dtype=float),
        2.0,
        None if budget is None else float(budget),
        lower=[-math.inf if v is None else float(v) for v in lower],
        upper=[math.inf if v is None else float(v) for v in upper],
        holdings=np.array(holdings, dtype=float),
        cost=np.array(cost, dtype=float),
        leverage=100.0 if general else None,
    )
    assert p.weights == pytest.approx(wanted, abs=1e-12)
    assert p.residual < 1e-12


@given(
    n=st.integers(2, 6),
    count=st.integers(0, 4),
    seed=st.integers(0, 10**6),
    low=st.sampled_from([0.0, -0.5]),
    high=st.sampled_from([0.6, 1.0, math.inf]),
)
def test_the_first_turning_point_earns_most_of_those_with_the_least_risk(n, count, seed, low, high):
    rng = np.random.default_rng(seed)
    observed, returns = rng.integers(-2, 3, (count, n)) / 2.0, np.round(rng.normal(size=n), 1)
    frontier = mm.efficient_frontier(observed.T @ observed, returns, lower=low, upper=high)
    x = frontier.weights[0]
    least = mm.mean_variance(observed.T @ observed, lower=low, upper=high)
    assert frontier.variances[0] == pytest.approx(least.variance, rel=1e-12, abs=1e-13)
    # what shares the least risk shares what is observed
    rows = np.vstack([observed, np.ones(n)])
    best = linprog(-returns, A_eq=rows, b_eq=rows @ x, bounds=[(low, high)] * n)
    assert best.status == 0
    assert returns @ x == pytest.approx(-best.fun, abs=1e-7)
    assert frontier.variances[1:] == pytest.approx(np.maximum.accumulate(frontier.variances[1:]), abs=1e-13)
    for risk_aversion in (0.1, 1.0, 10.0):
        p = mm.mean_variance(observed.T @ observed, returns, risk_aversion, lower=low, upper=high)
        q = frontier.at(risk_aversion=risk_aversion)
        assert q.objective == pytest.approx(p.objective, rel=1e-11, abs=1e-11)


def test_of_several_with_the_least_risk_the_one_that_earns_most_after_costs():
    given = {"lower": 0.0, "holdings": [0.5, 0.5], "cost": 0.01}
    found = mm.mean_variance([[4.0, 4.0], [4.0, 4.0]], [0.3, 0.1], **given, target_risk=2.0)
    assert found.weights == pytest.approx([1.0, 0.0], abs=1e-9)
    assert found.net_return == pytest.approx(0.29, abs=1e-9)
    alone = mm.mean_variance([[1.0, 0.0], [0.0, 4.0]], [0.3, 0.1], **given, target_risk=0.8**0.5)
    assert alone.weights == pytest.approx([0.8, 0.2], abs=1e-13)


def test_complex_numbers_are_refused():
    with pytest.raises(InvalidArgument, match="covariance must be a square matrix of real numbers"):
        mm.mean_variance(np.eye(2) + 0j)
    with pytest.raises(InvalidArgument, match="covariance must be a square matrix of real numbers"):
        mm.mean_variance([[np.complex128(1.0), 0.0], [0.0, 1.0]], repair="clip")
    with pytest.raises(InvalidArgument, match="returns must be real numbers"):
        sample_covariance(np.eye(3) + 1j)
    with pytest.raises(InvalidArgument, match="constraints must be rows of real numbers"):
        mm.mean_variance(np.eye(2), constraints=(1j * np.eye(2), 0.0, 1.0))
    with pytest.raises(InvalidArgument, match="expected_returns must be 2 numbers"):
        mm.mean_variance(np.eye(2), np.array([0.1, 0.2j]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: mm.mean_variance([["1", "0"], ["0", "1"]]), "covariance must be a square matrix of real"),
        (lambda: mm.mean_variance(np.eye(2), ["0.1", "0.2"]), "expected_returns must be 2 numbers"),
        (lambda: mm.mean_variance(np.eye(2), lower="0"), "lower must be 2 numbers, or one for all, got '0'"),
        (lambda: mm.mean_variance(np.eye(2), lower=b"0"), "lower must be 2 numbers, or one for all, got b"),
        (lambda: sample_covariance([["1"], ["2"]]), "returns must be real numbers, one row per observation"),
        (
            lambda: mm.mean_variance(np.eye(2), constraints=([["1", "1"]], 0.0, 1.0)),
            "constraints must be rows of real numbers, low and high sides",
        ),
        (
            lambda: mm.mean_variance(np.eye(2), constraints=([[1.0, 1.0]], "0", 1.0)),
            "constraints must be 1 numbers, or one for all, got '0'",
        ),
    ],
)
def test_text_is_no_number(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_observations_without_a_half_life_weigh_the_same():
    x = np.random.default_rng(1).normal(size=(7, 3))
    equal = np.cov(x, rowvar=False, bias=True)
    assert exponentially_weighted(x, math.inf) == pytest.approx(equal, rel=1e-12)
    # the newest at half a life from the one before: 4 to 2 to 1
    shares = np.array([1.0, 2.0, 4.0])
    found = exponentially_weighted(x[:3], np.float32(1.0))
    assert found == pytest.approx(np.cov(x[:3], rowvar=False, bias=True, aweights=shares), rel=1e-12)


SAME = [[2.0, 0.3], [0.3, 1.1]]


@pytest.mark.parametrize(
    ("covariance", "returns", "budget", "most"),
    [
        (SAME, [0.3, 0.3], 1.0, 0.3),
        (SAME, [0.3, 0.1 + 0.2], 1.0, 0.3),
        (np.diag([1.0, 2.0, 3.0]), [0.3, 0.3, 0.3], 1.0, 0.3),
        ([[5.455759990457137]], [-1.223681220925582], 2.0, -2.447362441851164),
        (np.ones((2, 2)), [0.3, 0.3], 1.0, 0.3),
    ],
)
def test_equal_returns_leave_no_choice(covariance, returns, budget, most):
    """All that budget allows is one return: a higher one is refused, more risk buys nothing."""
    least = mm.mean_variance(covariance, budget=budget)
    frontier = mm.efficient_frontier(covariance, returns, budget, lower=None)
    assert not frontier.ray.any()
    for ask in (
        lambda **target: mm.mean_variance(covariance, returns, budget=budget, **target),
        frontier.at,
    ):
        for reached in (most, math.nextafter(most, 9.0), most - 1.0):
            assert ask(target_return=reached).weights == pytest.approx(least.weights, abs=1e-15)
        assert ask(target_risk=3.0 * least.risk).weights == pytest.approx(least.weights, abs=1e-15)
        with pytest.raises(InvalidArgument, match=r"target_return must be at most .*, the highest") as caught:
            ask(target_return=most + 1e-9)
        assert allowed_bound(caught.value) == pytest.approx(most, rel=1e-15)


def allowed_bound(error):
    """Bound that the message of a refused target prints."""
    return float(re.search(r"at (?:most|least) (\S+),", str(error)).group(1))


@given(st.integers(2, 6), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_a_printed_bound_is_attainable(n, seed, limited, powered):
    """To the last digit: what the message allows is accepted."""
    rng = np.random.default_rng(seed)
    factors, returns = rng.normal(size=(n, n + 2)), rng.normal(size=n)
    more = {"holdings": np.full(n, 1.0 / n), "cost": rng.uniform(0, 0.1, n)} if limited else {}
    if limited and powered:
        more["power_cost"] = rng.uniform(0, 0.1, n)
        pytest.importorskip("piqp", reason="power costs need the extra qp")
    problem = mm.MeanVariance(factors @ factors.T, lower=-0.5, upper=1.5, **more)
    for target in ({"target_return": 1e3}, {"target_risk": 1e-6}):
        with pytest.raises(InvalidArgument) as caught:
            problem.solve(returns, **target)
        bound = allowed_bound(caught.value)
        p = problem.solve(returns, **dict.fromkeys(target, bound))
        reached = p.net_return if "target_return" in target else p.risk
        assert reached == pytest.approx(bound, rel=1e-9, abs=1e-12)


def test_a_target_risk_that_rounding_hides_is_refused():
    """Of holdings of a million, nearly one asset, the variance has no digits: the true risk is 2.00002."""
    covariance = [[1.0, 1.0 - 1e-12], [1.0 - 1e-12, 1.0]]
    asked = (
        lambda **target: mm.mean_variance(covariance, [0.1, 0.2], **target),
        mm.efficient_frontier(covariance, [0.1, 0.2], lower=None).at,
    )
    for ask in asked:
        with pytest.raises(NoConvergence, match="target_risk 2 cannot be met to 1e-09"):
            ask(target_risk=2.0)
        assert ask(target_risk=1.0).risk == pytest.approx(1.0, rel=1e-9)
    # apart by less, a risk that has its digits is met: exactly, in rational arithmetic
    covariance = [[1.0, 1.0 - 2.0**-20], [1.0 - 2.0**-20, 1.0]]
    x = [Fraction(w) for w in mm.mean_variance(covariance, [0.1, 0.2], target_risk=2).weights]
    variance = sum(x[i] * x[j] * Fraction(covariance[i][j]) for i in range(2) for j in range(2))
    assert float(variance) == pytest.approx(4.0, rel=2e-9)


@pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-9, 1e-12, 1e-14])
def test_nearly_equal_returns_in_rational_arithmetic(apart):
    """With two assets the budget and the target settle both holdings."""
    returns = [0.3, 0.3 + apart]
    second = (Fraction(0.4) - Fraction(returns[0])) / (Fraction(returns[1]) - Fraction(returns[0]))
    p = mm.mean_variance(SAME, returns, target_return=0.4)
    assert p.weights == pytest.approx([float(1 - second), float(second)], rel=1e-9)
    assert abs(sum(map(Fraction, p.weights.tolist())) - 1) <= 2.0**-52 * np.abs(p.weights).max()


def test_a_sum_that_is_not_the_budget_is_not_certified():
    """A step along which every other condition holds."""
    frontier = mm.efficient_frontier(SAME, [0.1, 0.3], lower=None)
    step = np.linalg.solve(SAME, np.ones(2))
    moved = frontier.at(risk_aversion=1.0).weights + 1e-6 / step.sum() * step
    with pytest.raises(NoConvergence, match=r"residual is 1\.0e-06"):
        frontier._portfolio(moved, 1.0)


def test_a_target_where_turning_points_share_a_return():
    """Half of each of the last two: no less earns 0.2, and nothing is left to choose until t = 10."""
    covariance, returns = [[8.0, -2.0, 6.0], [-2.0, 5.0, -5.0], [6.0, -5.0, 9.0]], [0.3, 0.1, 0.3]
    frontier = mm.efficient_frontier(covariance, returns, upper=0.5)
    for p in (
        frontier.at(target_return=0.2),
        mm.mean_variance(covariance, returns, lower=0.0, upper=0.5, target_return=0.2),
    ):
        assert p.weights == pytest.approx([0.0, 0.5, 0.5], abs=1e-15)
        assert p.variance == pytest.approx(1.0, rel=1e-15)


def test_a_frontier_that_rests_at_its_beginning():
    """By hand: what b pays for its risk beside half of d, 2.5 - 1, is the tolerance at which it is bought."""
    covariance = [[8.0, 6.0, 0.0, 0.0], [6.0, 5.0, 2.0, 1.0], [0.0, 2.0, 8.0, 4.0], [0.0, 1.0, 4.0, 2.0]]
    frontier = mm.efficient_frontier(covariance, [0.0, 1.0, 0.0, 0.0], upper=[1.0, 1.0, 1.0, 0.5])
    assert frontier.risk_tolerance == pytest.approx([0.0, 1.5, 4.0], rel=1e-14)
    for tolerance, share in ((1.0, 0.5), (1.5, 0.5), (2.0, 0.6), (4.0, 1.0), (5.0, 1.0)):
        p = frontier.at(risk_aversion=1.0 / tolerance)
        assert p.weights == pytest.approx([0.0, share, 0.0, 1.0 - share], abs=1e-14)


def least_for_a_return(covariance, returns, low, high, goal):
    """Least variance with the sum 1 and a return of at least ``goal``, over all active sets; None: no answer.

    Each is solved for the holdings of the least norm that meet its conditions, singular or not.
    """
    n, best = len(returns), None
    for state in itertools.product((-1, 0, 1), repeat=n):
        state = np.array(state)
        free = np.flatnonzero(state == 0)
        held = np.where(state < 0, low, np.where(state > 0, high, 0.0))
        for rows in (np.ones((1, n)), np.array([np.ones(n), returns])):
            k, m = len(free), len(rows)
            right = np.array([1.0, goal])[:m] - rows @ held
            x = held.copy()
            if k:
                system = np.zeros((k + m, k + m))
                system[:k, :k], system[:k, k:] = covariance[np.ix_(free, free)], rows[:, free].T
                system[k:, :k] = rows[:, free]
                terms = np.append(-(covariance @ held)[free], right)
                x[free] = np.linalg.lstsq(system, terms, rcond=1e-10)[0][:k]
            if abs(x.sum() - 1.0) > 1e-9 or returns @ x < goal - 1e-9:
                continue
            if (x < low - 1e-9).any() or (x > high + 1e-9).any():
                continue
            value = float(x @ covariance @ x)
            best = value if best is None else min(best, value)
    return best


@given(
    n=st.integers(1, 4),
    count=st.integers(0, 5),
    seed=st.integers(0, 10**6),
    goal=st.integers(-2, 3),
    high=st.sampled_from([0.5, 0.6, 1.0]),
)
def test_targets_among_ties_against_every_active_set(n, count, seed, goal, high):
    rng = np.random.default_rng(seed)
    observed, returns = rng.integers(-2, 3, (count, n)) * 1.0, rng.integers(-2, 4, n) / 10.0
    covariance, low = observed.T @ observed, float(rng.choice([0.0, -0.2]))
    high = max(high, 1.0 / n)
    wanted = least_for_a_return(covariance, returns, low, high, goal / 10.0)
    if wanted is None:
        with pytest.raises(InvalidArgument, match="target_return must be at most"):
            mm.mean_variance(covariance, returns, lower=low, upper=high, target_return=goal / 10.0)
        return
    frontier = mm.efficient_frontier(covariance, returns, lower=low, upper=high)
    for p in (
        frontier.at(target_return=goal / 10.0),
        mm.mean_variance(covariance, returns, lower=low, upper=high, target_return=goal / 10.0),
    ):
        assert p.weights.sum() == pytest.approx(1.0, abs=1e-14)
        assert p.expected_return >= goal / 10.0 - 1e-14
        assert (p.weights >= low - 1e-14).all()
        assert (p.weights <= high + 1e-14).all()
        assert p.variance == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(
    n=st.integers(1, 6),
    count=st.integers(1, 8),
    seed=st.integers(0, 10**6),
    high=st.sampled_from([None, 0.6, 1.0]),
    whole=st.booleans(),
)
def test_its_own_return_and_risk_are_within_reach(n, count, seed, high, whole):
    rng = np.random.default_rng(seed)
    observed = rng.integers(-2, 3, (count, n)) * 1.0 if whole else rng.normal(size=(count, n))
    returns = rng.integers(-2, 4, n) / 10.0 if whole else rng.normal(size=n)
    covariance = observed.T @ observed
    bounds = {"lower": 0.0, "upper": high if high is None else max(high, 1.0 / n)}
    frontier = mm.efficient_frontier(covariance, returns, **bounds)
    for risk_aversion in (0.05, 1.0, 30.0):
        p = mm.mean_variance(covariance, returns, risk_aversion, **bounds)
        q = frontier.at(target_return=p.expected_return)
        assert q.expected_return == pytest.approx(p.expected_return, abs=1e-13)
        assert q.variance <= p.variance + 1e-9
    safe = mm.mean_variance(covariance, **bounds)
    if safe.risk > 0.0:
        assert frontier.at(target_risk=safe.risk).variance == pytest.approx(safe.variance, abs=1e-12)
