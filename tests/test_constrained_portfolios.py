"""Portfolios under general constraints: another solver, the conditions of optimality, contradictions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import LinearConstraint, brentq, linprog, minimize

import mmcore as mm
from mmcore.errors import InvalidArgument, MissingExtra

pytest.importorskip("piqp", reason="general constraints need the extra qp")


def market(n, seed):
    """Covariance, expected returns and holdings of n assets: three common factors."""
    rng = np.random.default_rng(seed)
    load = np.column_stack([rng.normal(1, 0.3, n) * 0.16, rng.normal(size=(n, 2)) * 0.08])
    covariance = load @ load.T + np.diag(rng.uniform(0.1, 0.4, n) ** 2)
    return (covariance + covariance.T) / 2, rng.normal(0.08, 0.05, n), rng.dirichlet(np.ones(n))


def value(x, covariance, returns, risk_aversion, holdings, cost=0.0, power_cost=0.0):
    trade = np.abs(x - holdings)
    return (
        0.5 * risk_aversion * x @ covariance @ x
        - returns @ x
        + np.sum(cost * trade)
        + np.sum(power_cost * trade**1.5)
    )


def by_another_solver(covariance, returns, risk_aversion, holdings, limits):
    """Least value by sequential quadratic programming in buys and sales, longs and shorts."""
    n = len(returns)
    cost, power = limits.get("cost", 0.0), limits.get("power_cost", 0.0)

    def split(v):
        return holdings + v[:n] - v[n : 2 * n], v[:n] + v[n : 2 * n]

    def objective(v):
        x, trade = split(v)
        return (
            0.5 * risk_aversion * x @ covariance @ x
            - returns @ x
            + np.sum(cost * trade)
            + np.sum(power * np.maximum(trade, 0.0) ** 1.5)
        )

    def gradient(v):
        x, trade = split(v)
        g = risk_aversion * covariance @ x - returns
        k = cost + 1.5 * power * np.sqrt(np.maximum(trade, 0.0)) + np.zeros(n)
        return np.concatenate([g + k, -g + k, np.zeros(2 * n)])

    meets = [
        {"type": "eq", "fun": lambda v: split(v)[0].sum() - 1.0},
        {"type": "eq", "fun": lambda v: split(v)[0] - v[2 * n : 3 * n] + v[3 * n :]},
    ]
    if "leverage" in limits:
        meets.append({"type": "ineq", "fun": lambda v: limits["leverage"] - v[2 * n :].sum()})
    if "turnover" in limits:
        meets.append({"type": "ineq", "fun": lambda v: limits["turnover"] - v[: 2 * n].sum()})
    if "groups" in limits:
        members, low, high = limits["groups"]["some"]
        meets.append({"type": "ineq", "fun": lambda v: high - split(v)[0][members].sum()})
        meets.append({"type": "ineq", "fun": lambda v: split(v)[0][members].sum() - low})
    start = np.concatenate([np.zeros(2 * n), holdings, np.zeros(n)])
    found = minimize(
        objective,
        start,
        jac=gradient,
        bounds=[(0.0, None)] * (4 * n),
        constraints=meets,
        method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 1000},
    )
    return found.fun, split(found.x)[0]


CASES = {
    "leverage": {"leverage": 1.3},
    "turnover": {"turnover": 0.4},
    "group": {"groups": {"some": ([0, 2], 0.1, 0.3)}},
    "linear and power costs": {"cost": 0.004, "power_cost": 0.03},
    "all at once": {
        "leverage": 1.2,
        "turnover": 0.9,
        "cost": 0.002,
        "power_cost": 0.01,
        "groups": {"some": ([1, 3], 0.2, 0.6)},
    },
}


@pytest.mark.parametrize("limits", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", range(4))
def test_another_solver_finds_no_better(limits, seed):
    covariance, returns, holdings = market(5, seed)
    limits = dict(limits)
    if "groups" in limits:  # so that the holdings are feasible, from where the other solver starts
        members, low, high = limits["groups"]["some"]
        held = holdings[members].sum()
        limits["groups"] = {"some": (members, min(low, held), max(high, held))}
    for risk_aversion in (0.3, 4.0):
        p = mm.mean_variance(covariance, returns, risk_aversion, holdings=holdings, **limits)
        least, other = by_another_solver(covariance, returns, risk_aversion, holdings, limits)
        assert p.objective == pytest.approx(
            value(
                p.weights,
                covariance,
                returns,
                risk_aversion,
                holdings,
                limits.get("cost", 0.0),
                limits.get("power_cost", 0.0),
            ),
            rel=1e-12,
        )
        assert p.objective <= least + 1e-9
        assert p.objective == pytest.approx(least, abs=1e-6)
        assert p.weights == pytest.approx(other, abs=5e-3)


def assert_certified(p, covariance, returns, risk_aversion, holdings, limits, lower=-np.inf, upper=np.inf):
    """The optimality conditions, written again from the multipliers that the result carries."""
    x, n = p.weights, len(returns)
    size = max(1.0, np.abs(x).max())
    assert abs(x.sum() - 1.0) <= 4e-16 * n * size
    assert p.residual < 1e-11
    named = dict(p.constraint_multipliers)
    g = risk_aversion * covariance @ x - returns - p.budget_multiplier
    if "some" in str(list(named)):
        y = named["groups['some']"]
        members, low, high = limits["groups"]["some"]
        total = x[members].sum()
        assert total == pytest.approx(high if y < 0 else low, abs=1e-12 * size)
        g[members] -= y
    scale = np.abs(risk_aversion * covariance @ x).max() + np.abs(returns).max() + abs(p.budget_multiplier)
    jumps = [(holdings, limits.get("cost", 0.0)), (holdings, -named.get("turnover", 0.0))]
    jumps.append((np.zeros(n), -named.get("leverage", 0.0)))
    g = g + 1.5 * limits.get("power_cost", 0.0) * np.sign(x - holdings) * np.sqrt(np.abs(x - holdings))
    right, left = g.copy(), g.copy()
    for at, jump in jumps:
        assert jump >= 0.0
        near = np.abs(x - at) <= 1e-12 * size
        right += jump * np.where(near, 1.0, np.sign(x - at))
        left += jump * np.where(near, -1.0, np.sign(x - at))
    scale += sum(jump for _, jump in jumps)
    assert (right[x < upper - 1e-12 * size] >= -1e-10 * scale).all()
    assert (left[x > lower + 1e-12 * size] <= 1e-10 * scale).all()
    if "leverage" in limits:
        assert p.leverage <= limits["leverage"] * (1 + 1e-13)
        assert "leverage" not in named or p.leverage == pytest.approx(limits["leverage"], rel=1e-12)
    if "turnover" in limits:
        assert p.turnover <= limits["turnover"] * (1 + 1e-12) + 1e-14 * size
        assert "turnover" not in named or p.turnover == pytest.approx(limits["turnover"], rel=1e-11)


@st.composite
def problems(draw):
    n = draw(st.integers(2, 20))
    covariance, returns, holdings = market(n, draw(st.integers(0, 10**6)))
    limits = {}
    if draw(st.booleans()):
        limits["leverage"] = draw(st.floats(1.0, 3.0))
    if draw(st.booleans()):
        limits["turnover"] = draw(st.floats(0.01, 2.0))
    if draw(st.booleans()):
        limits["cost"] = draw(st.floats(1e-4, 0.05))
    if draw(st.booleans()):
        limits["power_cost"] = draw(st.floats(1e-3, 0.3))
    if draw(st.booleans()):
        members = np.arange(1 + n // 2)
        held = holdings[members].sum()
        limits["groups"] = {"some": (members, 0.9 * held, min(1.1 * held, 1.0) if len(members) < n else None)}
        if limits["groups"]["some"][2] is None:
            del limits["groups"]
    return covariance, returns, holdings, 10 ** draw(st.floats(-1.5, 1.5)), limits


@given(problem=problems(), short=st.booleans())
def test_the_conditions_of_optimality_hold(problem, short):
    covariance, returns, holdings, risk_aversion, limits = problem
    limits.setdefault("leverage", 5.0)
    lower = -0.5 if short else 0.0
    p = mm.mean_variance(
        covariance, returns, risk_aversion, holdings=holdings, lower=lower, upper=1.5, **limits
    )
    assert_certified(p, covariance, returns, risk_aversion, holdings, limits, lower, 1.5)


@pytest.mark.parametrize("turnover", [1.0099063546632772, 1.0099064, 1.00991])
def test_a_point_that_exceeds_a_limit_by_rounding_comes_back(turnover):
    covariance, returns, holdings = market(19, 11887)
    limits = {"leverage": 2.0, "turnover": turnover}
    p = mm.mean_variance(covariance, returns, 0.1, holdings=holdings, lower=0.0, upper=1.5, **limits)
    assert_certified(p, covariance, returns, 0.1, holdings, limits, 0.0, 1.5)
    assert p.residual < 1e-15


@given(problem=problems(), order=st.randoms(use_true_random=False))
def test_units_and_order_change_nothing(problem, order):
    covariance, returns, holdings, risk_aversion, limits = problem
    limits.pop("groups", None)
    limits.setdefault("leverage", 2.0)
    p = mm.mean_variance(covariance, returns, risk_aversion, holdings=holdings, **limits)
    # money for shares of one: x' = m x; risk aversion per money, power costs per root of money
    money = 3e7
    scaled = {**limits, "leverage": limits["leverage"] * money}
    if "turnover" in limits:
        scaled["turnover"] *= money
    if "power_cost" in limits:
        scaled["power_cost"] /= math.sqrt(money)
    q = mm.mean_variance(
        covariance, returns, risk_aversion / money, budget=money, holdings=holdings * money, **scaled
    )
    assert q.weights / money == pytest.approx(p.weights, abs=1e-10)
    places = list(range(len(returns)))
    order.shuffle(places)
    r = mm.mean_variance(
        covariance[np.ix_(places, places)],
        returns[places],
        risk_aversion,
        holdings=holdings[places],
        **limits,
    )
    assert r.weights == pytest.approx(p.weights[places], abs=1e-10)


@given(
    n=st.integers(2, 12),
    seed=st.integers(0, 10**6),
    power=st.floats(4.0, 12.0),
    risk_aversion=st.floats(0.3, 30.0),
    feasible=st.booleans(),
)
def test_trades_too_dear_for_the_digits_of_a_holding(n, seed, power, risk_aversion, feasible):
    """A trade is the square of the gradient less the multiplier; all together meet the budget."""
    covariance, returns, holdings = market(n, seed)
    lacking = 0.0 if feasible else 0.05
    holdings = holdings - lacking / n
    cost = 10.0**power
    p = mm.mean_variance(covariance, returns, risk_aversion, holdings=holdings, power_cost=cost)
    assert p.residual < 1e-11
    gradient = risk_aversion * covariance @ p.weights - returns

    def trades(nu):
        root = (nu - gradient) / (1.5 * cost)
        return root * np.abs(root)

    most = 2.0 * (np.abs(gradient).max() + 1.5 * cost * math.sqrt(lacking))
    nu = brentq(lambda nu: (trades(nu).sum() - lacking) / (lacking or cost**-2), -most, most, rtol=1e-14)
    assert p.budget_multiplier == pytest.approx(nu, rel=1e-11, abs=1e-12)
    assert p.weights - holdings == pytest.approx(trades(nu), rel=1e-10, abs=4e-16)


@pytest.mark.parametrize("cost", [1e2, 1e4, 1e5, 1e7, 1e9, 1e12])
def test_a_dear_cost_beside_one_of_the_power(cost):
    """All that is missing is bought at the same price: how it is shared does not depend on that."""
    held, power = np.array([0.5, 0.4]), 0.01
    p = mm.mean_variance(np.eye(2), None, 1.0, holdings=held, cost=cost, power_cost=power)

    def unequal(first):
        z = np.array([first, 0.1 - first])
        slopes = held + z + 1.5 * power * np.sqrt(z)
        return slopes[0] - slopes[1]

    first = brentq(unequal, 0.0, 0.1, xtol=1e-18, rtol=1e-15)
    assert p.weights - held == pytest.approx([first, 0.1 - first], rel=1e-11)
    assert p.residual < 1e-14
    nu = cost + p.weights[0] + 1.5 * power * math.sqrt(first)
    assert p.budget_multiplier == pytest.approx(nu, rel=1e-14)


def test_a_limit_that_only_dear_trades_meet():
    """Leverage 2 is held, 1.2 allowed: an asset that costs 1e6 a unit is moved as far as needed."""
    covariance, held = np.diag([1.0, 2.0, 3.0]), np.array([-0.5, 0.7, 0.8])
    given = {"holdings": held, "cost": [1e6, 1.0, 1e6], "leverage": 1.2}
    p = mm.mean_variance(covariance, [0.1, 0.2, 0.3], 1.0, **given)
    assert p.leverage == pytest.approx(1.2, rel=1e-14)
    # x1 = -0.1 as x2 + x3 = 1.1 with leverage 1.2; of these x3 stays, which would cost 1e6
    assert p.weights == pytest.approx([-0.1, 0.3, 0.8], abs=1e-13)
    step = 1e-4
    more, less = (
        mm.mean_variance(covariance, [0.1, 0.2, 0.3], 1.0, **{**given, "leverage": 1.2 + e}).objective
        for e in (step, -step)
    )
    assert p.constraint_multipliers["leverage"] == pytest.approx((more - less) / (2 * step), rel=1e-6)


def test_costs_too_dear_for_any_trade():
    p = mm.mean_variance(np.eye(2), [0.1, 0.2], 1.0, holdings=[0.5, 0.4], cost=[1e10, 0.0], turnover=3.0)
    assert p.weights == pytest.approx([0.5, 0.5], abs=1e-15)
    p = mm.mean_variance(
        np.zeros((2, 2)), [0.1, 0.2], 1.0, holdings=[0.5, 0.5], cost=[1e10, 1e9], leverage=2.0
    )
    assert p.weights == pytest.approx([0.5, 0.5], abs=1e-15)


class Case:
    """A problem with all kinds of limits, and the linear programs that judge its answer."""

    def __init__(self, seed, dear=False):
        rng = np.random.default_rng(seed)
        n = self.n = int(rng.integers(1, 6))
        kind = rng.integers(4)
        if kind == 0:
            self.covariance = np.diag(rng.integers(0, 3, n).astype(float))
        elif kind == 1:  # few observations
            seen = rng.integers(-2, 3, (int(rng.integers(1, n + 1)), n)) / 2.0
            self.covariance = seen.T @ seen
        else:  # some assets twice
            seen = rng.normal(size=(n + 2, n))[:, rng.integers(0, n, n) if kind == 2 else np.arange(n)]
            self.covariance = seen.T @ seen / n
            self.covariance = (self.covariance + self.covariance.T) / 2.0
        tied = rng.random() < 0.6

        def drawn(values):
            return np.round(values, 1) if tied else values

        self.returns = np.zeros(n) if rng.random() < 0.2 else drawn(rng.normal(0.0, 0.3, n))
        self.risk_aversion = float(10.0 ** rng.integers(-1, 2))
        self.budget = (1.0, None, 0.0)[rng.choice(3, p=[0.7, 0.15, 0.15])]
        self.holdings = drawn(rng.dirichlet(np.ones(n)) if rng.random() < 0.6 else rng.normal(0.0, 0.5, n))
        self.lower, self.upper = np.full(n, -math.inf), np.full(n, math.inf)
        if rng.random() < 0.6:
            self.lower = np.where(rng.random(n) < 0.8, rng.choice([0.0, -0.5]), -math.inf)
            self.upper = np.where(rng.random(n) < 0.8, rng.choice([0.6, 1.0]), math.inf)
            if rng.random() < 0.2:
                self.lower[0] = self.upper[0] = 0.2
        self.cost, self.power = np.zeros(n), np.zeros(n)
        if rng.random() < 0.5:
            self.cost = drawn(rng.uniform(0.0, 0.5, n)) * (rng.random() < 0.5 or np.ones(n))
        if dear:
            self.cost = 10.0 ** rng.integers(-2, 10, n) * (rng.random(n) < 0.7)
        if rng.random() < 0.7:
            self.power = rng.integers(0, 3, n) * 10.0 ** rng.integers(-2, 1)
        self.leverage = float(drawn(rng.uniform(1.0, 2.0))) if rng.random() < 0.4 else math.inf
        self.turnover = float(drawn(rng.uniform(0.0, 2.0))) if rng.random() < 0.4 else math.inf
        rows = rng.integers(-1, 2, (int(rng.integers(0, 3)), n)).astype(float)
        middle, wide = rows @ self.holdings, drawn(rng.uniform(0.0, 0.5))
        self.rows, self.low, self.high = rows, middle - wide, middle + wide

    def solved(self):
        return mm.mean_variance(
            self.covariance,
            self.returns,
            self.risk_aversion,
            self.budget,
            lower=self.lower,
            upper=self.upper,
            holdings=self.holdings,
            cost=self.cost,
            power_cost=self.power,
            constraints=(self.rows, self.low, self.high) if len(self.rows) else None,
            leverage=None if math.isinf(self.leverage) else self.leverage,
            turnover=None if math.isinf(self.turnover) else self.turnover,
        )

    def least(self, x, linear, sized, cone):
        """Least linear·d + sized·(sizes of d) over the steps d from x, or over those without end."""
        n, held = self.n, self.holdings
        rows = self.rows if self.budget is None else np.vstack([self.rows, np.ones(n)])
        low, high = self.low, self.high
        if self.budget is not None:
            low, high = np.append(low, self.budget), np.append(high, self.budget)
        eye, none = np.eye(n), np.zeros((n, n))
        # d, then |x + d| and |x + d - h|
        matrix = [np.hstack([s * rows, np.zeros((len(rows), 2 * n))]) for s in (1.0, -1.0)]
        sides = [high - rows @ x, rows @ x - low]
        for s in (1.0, -1.0):
            matrix += [np.hstack([s * eye, -eye, none]), np.hstack([s * eye, none, -eye])]
            sides += [-s * x, s * (held - x)]
        for at, most in ((n, self.leverage), (2 * n, self.turnover)):
            line = np.zeros((1, 3 * n))
            line[0, at : at + n] = 1.0
            if math.isfinite(most):
                matrix.append(line)
                sides.append([most])
        bounds = np.column_stack([self.lower - x, self.upper - x])
        equal = np.zeros((0, 3 * n))
        if cone:
            sides = [np.zeros(len(side)) for side in sides]
            bounds = np.where(np.isfinite(bounds), 0.0, [-1.0, 1.0])
            bounds[self.power > 0.0] = 0.0
            values, vectors = np.linalg.eigh(self.covariance)
            risky = vectors[:, values > 1e-12 * max(values.max(), 1e-300)].T
            equal = np.hstack([risky, np.zeros((len(risky), 2 * n))])
        return linprog(
            np.concatenate([linear, np.zeros(n), sized]),
            A_ub=np.vstack(matrix),
            b_ub=np.concatenate(sides),
            A_eq=equal if len(equal) else None,
            b_eq=np.zeros(len(equal)) if len(equal) else None,
            bounds=np.vstack(
                [np.clip(bounds, -1.0, 1.0) if sized is self.cost else bounds, [[0.0, None]] * (2 * n)]
            ),
        )

    def judge(self):
        """Solve, and hold the answer against its definition."""
        nothing = np.zeros(self.n)
        try:
            p = self.solved()
        except InvalidArgument as error:
            if "without risk" in str(error):
                assert self.least(nothing, -self.returns, self.cost, cone=True).fun < -1e-10
            else:
                assert self.least(nothing, nothing, nothing, cone=False).status == 2
            return
        x = p.weights
        room = 1e-11 * max(1.0, np.abs(x).max())
        assert (x >= self.lower - room).all()
        assert (x <= self.upper + room).all()
        assert p.leverage <= self.leverage + room
        assert p.turnover <= self.turnover + room
        assert (self.rows @ x >= self.low - room).all()
        assert (self.rows @ x <= self.high + room).all()
        assert self.budget is None or abs(x.sum() - self.budget) <= room
        assert self.share_gained(x) < 1e-10
        assert p.residual < 1e-9

    def share_gained(self, x):
        """What steps from x within the limits, of one unit at the most, gain to the first order.

        As a share of the terms that it is the sum of: a cost counts where an asset trades, or the step moves
        it.
        """
        z = x - self.holdings
        bend = 1.5 * self.power * np.sqrt(np.abs(z))
        slope = self.risk_aversion * self.covariance @ x - self.returns + np.copysign(bend, z)
        terms = self.risk_aversion * np.abs(self.covariance) @ np.abs(x) + np.abs(self.returns) + bend
        step = self.least(x, slope, self.cost, cone=False)
        moved = step.x[: self.n]
        paid = self.cost @ np.abs(z)
        size = terms @ np.abs(moved) + self.cost @ np.abs(z + moved) + paid
        return (paid - step.fun) / max(1e-3, size)


@given(seed=st.integers(0, 10**9))
def test_vertices_ties_and_null_directions_are_no_special_cases(seed):
    """The answer, or that there is none, by linear programs: no step gains, or none is feasible."""
    Case(seed).judge()


@given(seed=st.integers(0, 10**9))
def test_nor_are_dear_costs(seed):
    Case(seed, dear=True).judge()


@pytest.mark.parametrize("off", [1e-9, 1e-6, 1e-3])
def test_a_cost_that_nobody_pays_hides_no_gain(off):
    """The judge of these cases, judged: half of a free asset for another is where the risk is least."""
    case = Case(0)
    case.__dict__ |= {
        "n": 3,
        "covariance": np.eye(3),
        "returns": np.zeros(3),
        "risk_aversion": 1.0,
        "budget": 1.0,
        "holdings": np.array([0.2, 0.2, 0.6]),
        "cost": np.array([1e9, 0.0, 0.0]),
        "power": np.zeros(3),
        "lower": np.full(3, -math.inf),
        "upper": np.full(3, math.inf),
        "leverage": math.inf,
        "turnover": math.inf,
        "rows": np.zeros((0, 3)),
        "low": np.zeros(0),
        "high": np.zeros(0),
    }
    case.judge()
    assert case.share_gained(np.array([0.2, 0.4 + off, 0.4 - off])) > 1e-10


@pytest.mark.parametrize(
    ("covariance", "returns", "limits", "best"),
    [
        # a vertex of budget and bounds
        (
            np.eye(2),
            [0.0, 0.0],
            {"lower": [0.0, 0.51], "holdings": [0.98, 0.51], "power_cost": 1.0},
            [0.49, 0.51],
        ),
        ([[1.0]], [0.1], {"leverage": 1.0, "holdings": [0.5], "power_cost": 1.0}, [1.0]),
        ([[0.0]], None, {"holdings": [1.0], "power_cost": 2.0}, [1.0]),
        # nothing has risk, and the turnover does not matter
        (np.zeros((2, 2)), [0.1, 0.2], {"turnover": 4.0, "holdings": [0.5, 0.5], "lower": 0.0}, [0.0, 1.0]),
        (
            np.zeros((3, 3)),
            None,
            {"holdings": [0.2, 0.3, 0.5], "power_cost": [1.0, 2.0, 1.0]},
            [0.2, 0.3, 0.5],
        ),
        # as dear to buy as to leave alone
        (np.eye(2), None, {"holdings": [0.6, 0.4], "cost": 0.1, "lower": 0.0, "turnover": 2.0}, [0.6, 0.4]),
    ],
)
def test_vertices_and_ties_by_hand(covariance, returns, limits, best):
    p = mm.mean_variance(covariance, returns, **limits)
    assert p.weights == pytest.approx(best, abs=1e-13)
    assert p.residual < 1e-10


def test_dear_trades_beside_free_ones():
    """With one asset's trades too dear the others are as if it were held fast."""
    covariance, returns, holdings = market(6, 3)
    dear = np.array([1e12, 0.0, 0.0, 0.0, 0.0, 0.0])
    p = mm.mean_variance(covariance, returns, 2.0, holdings=holdings, power_cost=dear, lower=-3.0, upper=3.0)
    lower, upper = np.full(6, -3.0), np.full(6, 3.0)
    lower[0] = upper[0] = holdings[0]
    q = mm.mean_variance(covariance, returns, 2.0, lower=lower, upper=upper)
    assert p.weights == pytest.approx(q.weights, abs=1e-13)
    assert p.residual < 1e-13


@given(n=st.integers(2, 12), seed=st.integers(0, 10**6), low=st.floats(-0.3, 0.0))
def test_bounds_as_rows_give_the_answer_of_the_active_set(n, seed, low):
    covariance, returns, _ = market(n, seed)
    p = mm.mean_variance(covariance, returns, 2.0, lower=low, upper=0.9)
    q = mm.mean_variance(covariance, returns, 2.0, constraints=(np.eye(n), low, 0.9))
    assert q.weights == pytest.approx(p.weights, abs=1e-12)
    assert q.budget_multiplier == pytest.approx(p.budget_multiplier, abs=1e-9) or p.active.all()
    again = mm.mean_variance(covariance, returns, 2.0, constraints=LinearConstraint(np.eye(n), low, 0.9))
    assert (again.weights == q.weights).all()


def test_multipliers_are_what_a_unit_of_the_limit_is_worth():
    covariance, returns, holdings = market(6, 3)
    step = 1e-5

    def best(**changed):
        limits = {"leverage": 1.1, "turnover": 0.5, "groups": {"some": ([0, 1], 0.2, 0.25)}, **changed}
        return mm.mean_variance(covariance, returns, 0.5, holdings=holdings, **limits)

    p = best()
    assert (
        set(p.constraint_multipliers) == {"turnover", "groups['some']"} or len(p.constraint_multipliers) >= 2
    )
    for name in ("leverage", "turnover"):
        limit = {"leverage": 1.1, "turnover": 0.5}[name]
        slope = (best(**{name: limit + step}).objective - best(**{name: limit - step}).objective) / (2 * step)
        assert p.constraint_multipliers.get(name, 0.0) == pytest.approx(slope, abs=1e-7)
    more = best(groups={"some": ([0, 1], 0.2 + step, 0.25 + step)}).objective
    less = best(groups={"some": ([0, 1], 0.2 - step, 0.25 - step)}).objective
    assert p.constraint_multipliers["groups['some']"] == pytest.approx((more - less) / (2 * step), abs=1e-7)


@pytest.mark.parametrize(
    "limits",
    [
        {"cost": 0.003},
        {"cost": 0.003, "turnover": 0.6},
        {"power_cost": 0.02, "leverage": 1.5},
        {"groups": {"some": ([0, 1], None, 0.3)}},
    ],
)
def test_targets_are_met_after_costs_on_one_curve(limits):
    covariance, returns, holdings = market(8, 5)
    problem = mm.MeanVariance(covariance, holdings=holdings, lower=-0.2, upper=0.8, **limits)
    p = problem.solve(returns, 1.7)
    assert problem.solve(returns, target_return=p.net_return).weights == pytest.approx(p.weights, abs=1e-8)
    q = problem.solve(returns, target_risk=p.risk)
    assert q.risk == pytest.approx(p.risk, rel=1e-12)
    assert q.weights == pytest.approx(p.weights, abs=1e-8)
    further = problem.solve(returns, 1.2)
    wanted = [p.net_return, 0.5 * (p.net_return + further.net_return)]
    points = mm.efficient_frontier(
        covariance, returns, lower=-0.2, upper=0.8, holdings=holdings, targets=wanted, **limits
    )
    assert points.returns == pytest.approx(wanted, rel=1e-12)
    assert p.risk < points.risks[1] < further.risk
    with pytest.raises(InvalidArgument, match="target_return must be at most"):
        problem.solve(returns, target_return=3.0)
    with pytest.raises(InvalidArgument, match="target_risk must be at least"):
        problem.solve(returns, target_risk=1e-3)


@pytest.mark.parametrize("target", [{"target_return": 0.3}, {"target_risk": 0.3}])
@pytest.mark.parametrize(
    "limits",
    [
        {"leverage": 5.0, "power_cost": 0.1},
        {"leverage": 5.0, "cost": 0.1},
        {"turnover": 5.0, "cost": 0.1},
        {"turnover": 5.0, "power_cost": 0.1},
        {"leverage": 5.0},
        {"groups": {"both": ([0, 1], None, 5.0)}},
        {"cost": 0.1},
    ],
)
def test_a_target_far_from_the_least_risk_is_found_where_that_is_nothing(target, limits):
    """Without a budget the least risk is that of no holdings, which say nothing of how large others are."""
    covariance, returns, holdings = np.array([[2.0, 0.3], [0.3, 1.1]]), np.array([0.5, 0.2]), [1.0, 0.0]
    p = mm.portfolio.mean_variance(covariance, returns, budget=None, holdings=holdings, **target, **limits)
    prices = {name: limits[name] for name in ("cost", "power_cost") if name in limits}

    def net(x):
        return -value(x, covariance, returns, 0.0, holdings, **prices)

    def variance(x):
        return x @ covariance @ x

    # both assets are bought from nothing: no kink is on the way but that of the first one's holding
    box = [(1e-9, 1.0 - 1e-9), (1e-9, 5.0)]
    if "target_risk" in target:
        assert p.risk == pytest.approx(0.3, rel=1e-12)
        within = {"type": "ineq", "fun": lambda x: 0.09 - variance(x)}
        other = minimize(
            lambda x: -net(x), [0.1, 0.1], bounds=box, constraints=within, options={"ftol": 1e-13}
        )
        assert p.net_return == pytest.approx(-other.fun, abs=1e-7)
    else:
        assert p.net_return == pytest.approx(0.3, rel=1e-12)
        within = {"type": "ineq", "fun": lambda x: net(x) - 0.3}
        other = minimize(variance, [0.6, 0.3], bounds=box, constraints=within, options={"ftol": 1e-13})
        assert p.variance == pytest.approx(other.fun, abs=1e-7)


RISKLESS_FACE = {
    "covariance": [
        [9.0, 1.0, -1.0, 3.0, 1.0],
        [1.0, 6.0, 4.0, -2.0, 5.0],
        [-1.0, 4.0, 3.0, -2.0, 3.0],
        [3.0, -2.0, -2.0, 2.0, -1.0],
        [1.0, 5.0, 3.0, -1.0, 9.0],
    ],
    "expected_returns": [-0.41819671984899637, 0.03159957844247679, -1.75, 0.9202106220869477, 0.52],
    "budget": None,
    "lower": [-1.0, -1.0, 0.0, -0.5, -1.0],
    "holdings": [1.0, -0.5, 0.5, 1.0, 0.5],
    "cost": [0.5, 0.0, 0.5, 0.5, 0.0],
}


@pytest.mark.parametrize("general", [{}, {"leverage": 50.0}])
def test_a_target_between_portfolios_without_risk_is_met_by_one_without_risk(general):
    data = RISKLESS_FACE | general
    held, cost, n = np.array(data["holdings"]), np.array(data["cost"]), 5
    # the highest net return without risk, in holdings and sizes of trades, by a linear program
    found = linprog(
        np.concatenate([-np.array(data["expected_returns"]), cost]),
        A_ub=np.block([[np.eye(n), -np.eye(n)], [-np.eye(n), -np.eye(n)]]),
        b_ub=np.concatenate([held, -held]),
        A_eq=np.hstack([data["covariance"], np.zeros((n, n))]),
        b_eq=np.zeros(n),
        bounds=[(low, None) for low in data["lower"]] + [(0.0, None)] * n,
    )
    for share in (0.2, 0.5, 0.9):
        target = share * -found.fun
        p = mm.portfolio.mean_variance(**data, target_return=target)
        assert p.net_return == pytest.approx(target, rel=1e-9)
        assert p.risk < 1e-7
        assert p.residual < 1e-9
        assert (p.weights >= np.array(data["lower"]) - 1e-12).all()
    assert mm.portfolio.mean_variance(**data, target_return=1.1 * -found.fun).risk > 1e-3


def test_a_target_return_takes_what_it_needs_of_a_direction_that_earns_without_risk():
    covariance = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    problem = mm.MeanVariance(covariance, groups={"last": ([2], 0.1, 0.5)})
    p = problem.solve([0.3, 0.1, 0.2], target_return=7.0)
    assert p.net_return == pytest.approx(7.0, rel=1e-12)
    assert p.variance == pytest.approx(problem.solve().variance, rel=1e-12)
    assert p.weights.sum() == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(InvalidArgument, match=r"earns a return, 0\.1 for each unit"):
        problem.solve([0.3, 0.1, 0.2], target_risk=2.0)


def test_the_highest_risk_worth_taking_is_that_of_the_highest_return():
    """More is refused, or not taken, where nothing earns more: ties leave no choice to rounding."""
    # equal returns: one portfolio is the whole curve
    covariance, held = np.diag([5.0, 6.0]), [2.5e7, 5e7]
    limits = {"budget": 2e8, "holdings": held, "cost": 1e-6}
    least = mm.mean_variance(covariance, budget=2e8)
    p = mm.mean_variance(covariance, [-1e-5, -1e-5], target_risk=1.1 * least.risk, **limits)
    assert p.weights == pytest.approx(least.weights, rel=1e-14)
    # what the first earns when sold is what selling it and buying another costs
    observed = np.array([[1.5, 0.25, -0.1], [-0.15, 0.2, 2.0], [0.0, 0.002, 0.001]])
    covariance = observed.T @ observed
    limits = {"budget": 0.0, "lower": [-0.5, 0.0, -1.0], "upper": [0.0, 2.0, 2.0], "cost": 0.5}
    limits["holdings"] = np.zeros(3)
    p = mm.mean_variance(covariance, [-1.0, 0.0, 0.0], target_risk=0.01, **limits)
    assert p.net_return == pytest.approx(0.0, abs=1e-12)
    assert p.risk <= 0.01
    with pytest.raises(InvalidArgument, match=r"at most 0\.0, the highest"):
        mm.mean_variance(covariance, [-1.0, 0.0, 0.0], target_return=1e-6, **limits)


def test_a_target_is_met_where_the_covariance_is_all_but_singular():
    """Solutions jump between neighbouring tolerances: the target is met by a mixture of two."""
    covariance = 1e-7 * np.array(
        [[0.7986249213618428, -0.586121516584504], [-0.586121516584504, 0.43016356715328413]]
    )
    p = mm.mean_variance(
        covariance,
        [-1e5, 2e5],
        budget=1e4,
        upper=[1e4, np.inf],
        holdings=[-5e3, 1e4],
        cost=1e5,
        target_return=0.0,
    )
    # -0.1 x + 0.2 (1 - x) = 0.1 (0.5 + x) + 0.1 x, in ten thousands
    assert p.weights == pytest.approx([3e3, 7e3], rel=1e-12)
    assert abs(p.net_return) < 1e-3


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-7, 1e-12, 1e6])
@pytest.mark.parametrize("risk_aversion", [1.0, 1e-6, 1e4])
@pytest.mark.parametrize("money", [1.0, 1e6])
def test_earning_without_risk_is_seen_in_any_units(size, risk_aversion, money):
    """Some e with Σe = 0 and rᵀe ≠ 0 is left, as the kernel has three dimensions and the group's row one."""
    rng = np.random.default_rng(2005817)
    factors, returns = rng.normal(size=(6, 3)), rng.normal(size=6)
    with pytest.raises(InvalidArgument, match="direction without risk that earns"):
        mm.mean_variance(
            factors @ factors.T,
            returns * size,
            risk_aversion,
            budget=money,
            groups={"g": ([0, 1], None, 0.5 * money)},
        )
    # what the factors earn is paid for by risk: their exposures are the factors' earnings over λ
    factor = np.array([0.3, -0.2, 0.1])
    p = mm.mean_variance(
        factors @ factors.T,
        factors @ factor * size,
        size * risk_aversion / money,
        budget=None,
        groups={"g": ([0, 1], None, 0.5 * money)},
    )
    assert factors.T @ p.weights == pytest.approx(factor * money / risk_aversion, rel=1e-9, abs=1e-10 * money)


def test_riskless_assets_without_an_upper_bound_earn_without_end():
    for size in (1.0, 1e-5, 1e-10):
        with pytest.raises(InvalidArgument, match="direction without risk that earns"):
            mm.mean_variance(
                np.zeros((2, 2)), [size, 2 * size], budget=None, lower=0.0, groups={"g": ([0], 0.0, 1.0)}
            )
    with pytest.raises(InvalidArgument, match="no portfolio meets all of"):
        mm.mean_variance(
            np.zeros((2, 2)),
            [1, 2],
            budget=None,
            lower=0.0,
            groups={"g": ([0], 0.0, 1.0), "h": ([0], 2.0, 3.0)},
        )


@pytest.mark.parametrize("dear", [1e3, 1e6, 1e9, 1e12])
@pytest.mark.parametrize("target", [0.2, 1e3, 1e50])
def test_a_target_risk_that_power_costs_keep_out_of_reach_does_not_bind(dear, target):
    """The holdings, but for a trade of (r_i - r_j)²/π², all that pays for itself."""
    covariance, held = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]], [0.5, 0.3, 0.2]
    p = mm.mean_variance(
        covariance, [0.05, 0.1, 0.12], holdings=held, power_cost=dear, lower=0.0, target_risk=target
    )
    assert p.weights == pytest.approx(held, abs=0.01 / dear**2 + 1e-15)
    assert 0.079 - 1e-16 <= p.net_return <= 0.079 + 0.01 / dear
    assert p.residual <= 1e-9


@pytest.mark.parametrize(
    ("covariance", "returns", "risk", "earned", "limits"),
    [
        (
            [[1, -2], [-2, 4]],
            [2e-5, -1e-5],
            50.0,
            0.0,
            {
                "budget": 0.0,
                "lower": [-2.0, 0.0],
                "holdings": [0.0, 1.0],
                "constraints": ([[2.0, -1.0]], [-1.0], [np.inf]),
            },
        ),
        (
            np.zeros((2, 2)),
            [-2e-5, 0],
            3.2e-4,
            0.0,
            {"budget": 128.0, "lower": [-128, -64], "upper": [np.inf, 128], "leverage": 192.0},
        ),
        (
            [[6, -2, 2, -5], [-2, 8, -8, -2], [2, -8, 8, 2], [-5, -2, 2, 6]],
            [2, 0, -2, -1],
            0.5,
            0.0,
            {
                "budget": None,
                "lower": 0.0,
                "upper": [2.0, 1.0, 1.0, 1.0],
                "holdings": [-1.0, 0.0, 1.0, 0.0],
                "turnover": 2.0,
                "groups": {"g0": ([0, 3], 0.0, 2.0), "g1": ([0, 1, 2, 3], 0.0, 2.0)},
                "constraints": ([[-2.0, 0.0, 2.0, -1.0]], [-1.0], [1.0]),
            },
        ),
        (
            [[5, 3], [3, 5]],
            [-1, 3],
            0.3,
            0.0,
            {
                "budget": 0.0,
                "lower": 0.0,
                "holdings": [1, 1],
                "leverage": 2.0,
                "groups": {"g0": ([0], 0.0, None), "g1": ([0], 0.0, 1.0)},
            },
        ),
    ],
)
def test_a_target_risk_that_nothing_reaches_is_no_limit(covariance, returns, risk, earned, limits):
    """All that may be held earns no more than this: then more risk is not taken."""
    p = mm.mean_variance(covariance, returns, target_risk=risk, **limits)
    assert p.net_return == pytest.approx(earned, abs=1e-13)
    assert p.risk <= risk


@pytest.mark.parametrize("cost", [1e6, 1e8, 1e10, 1e12, 1e14])
@pytest.mark.parametrize("target", [0.07, 0.0785, 0.079])
def test_a_target_return_of_trades_so_dear_that_they_vanish_is_earned_all_the_same(cost, target):
    """The holdings earn 0.079; a cost of 0.009 buys a trade of 1e-8 and less."""
    covariance, held = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]], np.array([0.5, 0.3, 0.2])
    p = mm.mean_variance(
        covariance, [0.05, 0.1, 0.12], holdings=held, cost=cost, lower=0.0, target_return=target
    )
    assert p.weights == pytest.approx(held, abs=0.01 / cost + 1e-15)
    # what is rounded away is a share of the holdings before and after
    assert target - 1e-9 * target <= p.net_return <= target + max(1e-9 * target, 2.0 * 2.3e-16 * cost)
    assert p.net_return <= 0.079
    assert p.residual <= 1e-9


def test_no_target_risk_where_a_group_leaves_a_direction_that_earns_without_risk():
    limits = {"budget": -1.0, "groups": {"both": ([0, 1], None, 2.0)}}
    for risk in (1.0, 2.0):
        with pytest.raises(InvalidArgument, match=r"earns a return, 0\.1 for each unit"):
            mm.mean_variance(np.ones((2, 2)), [-0.1, 0.1], target_risk=risk, **limits)
    with pytest.raises(InvalidArgument, match="target_risk must be at least 1"):
        mm.mean_variance(np.ones((2, 2)), [-0.1, 0.1], target_risk=0.99, **limits)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_target_between_portfolios_without_risk_with_costs_alone(share):
    """Two riskless assets, one of them held: the least risk, and the linear program's highest return."""
    covariance = np.array([[12.0, 0.0, 0.0, 8.0], [0.0] * 4, [0.0] * 4, [8.0, 0.0, 0.0, 12.0]])
    returns = np.array([1.4255587229541882, -0.9955424783041403, -0.43120278934884415, -1.6100399003911905])
    limits = {
        "lower": [-1.0, -1.0, -1.0, -2.0],
        "upper": [1.0, 0.0, 1.0, 0.0],
        "holdings": np.array([0.25, -0.5, 1.0, 0.25]),
        "cost": np.array([0.5, 0.0, 0.5, 0.0]),
    }
    # the riskless ones go to -1 and 1, the others to nothing
    most = returns @ [0.0, -1.0, 1.0, 0.0] - 0.5 * 0.25
    goal = share * most
    p = mm.mean_variance(covariance, returns, budget=None, target_return=goal, **limits)
    assert p.net_return == pytest.approx(goal, abs=1e-14)
    assert p.risk == pytest.approx(0.0, abs=1e-14)
    assert p.residual < 1e-12


@given(problem=problems(), singular=st.booleans())
def test_a_target_is_the_risk_aversion_that_it_belongs_to(problem, singular):
    """Net return and risk are functions of λ even where the holdings are not."""
    covariance, returns, holdings, risk_aversion, limits = problem
    n = len(returns)
    if singular and n > 3:
        covariance = np.cov(np.random.default_rng(n).normal(size=(n // 2 + 1, n)) * 0.2, rowvar=False)
    limits.setdefault("leverage", 2.0)
    problem = mm.MeanVariance(covariance, holdings=holdings, lower=-0.3, upper=1.0, **limits)
    p = problem.solve(returns, risk_aversion)
    by_return = problem.solve(returns, target_return=p.net_return)
    assert by_return.net_return >= p.net_return - 1e-12
    assert by_return.risk == pytest.approx(p.risk, abs=1e-9)
    by_risk = problem.solve(returns, target_risk=max(p.risk, 1e-12))
    assert by_risk.risk <= p.risk + 1e-12
    assert by_risk.net_return == pytest.approx(p.net_return, abs=1e-9)


def test_a_singular_covariance_is_no_special_case():
    rng = np.random.default_rng(0)
    sample = rng.normal(size=(6, 12)) * 0.2
    covariance, returns = np.cov(sample, rowvar=False), rng.normal(0.08, 0.05, 12)
    for risk_aversion in (0.1, 1.0, 10.0):
        p = mm.mean_variance(covariance, returns, risk_aversion, leverage=1.6)
        assert_certified(p, covariance, returns, risk_aversion, np.zeros(12), {"leverage": 1.6})
    with pytest.raises(InvalidArgument, match="without risk that earns a return"):
        mm.mean_variance(covariance, returns, constraints=(np.eye(12)[:1], 0.0, 1.0))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"groups": {"a": ([0, 1, 2], None, 0.5)}}, r"budget, groups\['a'\]: together they are short by 0.5"),
        (
            {"groups": {"a": ([0, 1], None, 0.5)}, "upper": [1.0, 1.0, 0.2]},
            r"budget, groups\['a'\], upper\[2\]: together they are short by 0.3",
        ),
        ({"leverage": 0.9}, "budget, leverage: together they are short by 0.1"),
        ({"turnover": 0.1, "holdings": [0.0, 0.0, 0.5]}, "budget, turnover: together they are short by 0.4"),
        (
            {"constraints": [([1.0, 0, 0], 0.6, np.inf), ([1.0, 0, 0], -np.inf, 0.5)]},
            r"constraints\[0\], constraints\[1\]: together they are short by 0.1",
        ),
    ],
)
def test_what_excludes_each_other_is_named(limits, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.mean_variance(np.diag([1.0, 2.0, 3.0]), [0.1, 0.2, 0.3], **limits)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"leverage": -1.0}, "leverage must be a finite number >= 0, got -1.0"),
        ({"leverage": math.nan}, "leverage must be a finite number >= 0, got nan"),
        ({"turnover": "much", "holdings": 0.5}, "turnover must be a finite number >= 0, got 'much'"),
        ({"turnover": 0.1}, "turnover needs the holdings"),
        ({"power_cost": 0.1}, "power_cost needs the holdings"),
        ({"power_cost": [0.1, -0.2], "holdings": 0.5}, r"power_cost\[1\] must be numbers >= 0, got -0.2"),
        ({"constraints": 3}, "constraints must be a LinearConstraint"),
        (
            {"constraints": ([1.0, 2.0, 3.0], 0.0, 1.0)},
            r"constraints must be rows of 2 numbers, got .*\(1, 3\)",
        ),
        ({"constraints": (["a", "b"], 0.0, 1.0)}, "constraints must be rows of real numbers"),
        (
            {"constraints": ([1.0, math.inf], 0.0, 1.0)},
            r"constraints\[0\] must be rows of finite numbers, got inf",
        ),
        ({"constraints": ([1.0, 1.0], math.nan, 1.0)}, r"constraints\[0\] must be numbers, got nan"),
        (
            {"constraints": ([1.0, 1.0], math.inf, math.inf)},
            r"constraints\[0\] must have a low side below inf and a high side above -inf, .* got inf and inf",
        ),
        ({"constraints": ([1.0, 1.0], 2.0, 1.0)}, r"constraints\[0\] must have a low side .* got 2 and 1"),
        ({"groups": [([0, 1], None, 0.3)]}, r"groups must be a dict of names to \(members, low, high\)"),
        ({"groups": {"a": [0]}}, r"groups\['a'\] must be \(members, low, high\)"),
        ({"groups": {"a": ([0, 2], 0, 1)}}, r"groups\['a'\] must be different assets' numbers .* got 2"),
        ({"groups": {"a": ([0.5], 0, 1)}}, r"groups\['a'\] must be a list of assets' numbers"),
        ({"groups": {"a": ([1, 1], 0, 1)}}, r"groups\['a'\] must be different"),
    ],
)
def test_bad_limits_are_named(limits, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.mean_variance([[1.0, 0.2], [0.2, 2.0]], [0.1, 0.2], **limits)


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "piqp", None)
    with pytest.raises(MissingExtra, match=r"general constraints needs an optional dependency.*\[qp\]"):
        mm.mean_variance([[1.0, 0.2], [0.2, 2.0]], [0.1, 0.2], leverage=1.5)


def test_a_group_without_limits_is_none(capfd):
    p = mm.mean_variance(np.eye(2), groups={"a": ([0], None, None)})
    assert p.weights == pytest.approx([0.5, 0.5])
    assert capfd.readouterr() == ("", "")


def test_without_risk_any_portfolio_within_the_limits_is_the_answer():
    p = mm.mean_variance(np.zeros((3, 3)), leverage=2)
    assert p.weights.sum() == pytest.approx(1.0, abs=1e-12)
    assert p.leverage <= 2.0 + 1e-12
    assert p.risk == 0.0
