"""Limits against their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mmcore.errors import InvalidArgument
from mmcore.quoting import Limits
from mmcore.risk_limits import (
    capacity,
    kelly,
    kelly_bet,
    margin_limit,
    risk_budget_limits,
    volatility_limit,
    whole_lots,
)


@given(risk=st.floats(1.0, 1e6), sigma=st.floats(1e-3, 1e3), horizon=st.floats(1.0, 1e5))
def test_a_position_at_its_limit_risks_the_budget_and_double_volatility_halves_it(risk, sigma, horizon):
    limit = volatility_limit(risk, sigma, horizon)
    assert limit * sigma * math.sqrt(horizon) == pytest.approx(risk, rel=1e-12)
    assert volatility_limit(risk, 2 * sigma, horizon) == limit / 2
    assert volatility_limit(risk, [sigma, 2 * sigma], horizon).tolist() == [limit, limit / 2]
    assert volatility_limit(risk, sigma, horizon, most=limit / 3) == limit / 3


@given(seed=st.integers(0, 10**6), n=st.integers(1, 5))
def test_a_shared_budget_holds_in_the_worst_combination(seed, n):
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(n, n + 1))
    covariance = half @ half.T
    covariance = (covariance + covariance.T) / 2
    limits = risk_budget_limits(100.0, covariance, 25.0, weights=rng.dirichlet(np.ones(n)))
    worst = max(
        math.sqrt(25.0 * (q := np.array(sign) * limits) @ covariance @ q)
        for sign in itertools.product((-1, 1), repeat=n)
    )
    assert worst == pytest.approx(100.0, rel=1e-9)
    alone = risk_budget_limits(100.0, covariance, 25.0, joint=False)
    assert alone * np.sqrt(covariance.diagonal() * 25.0) == pytest.approx(100.0 / n)
    assert risk_budget_limits(100.0, 4 * covariance, 25.0) == pytest.approx(
        risk_budget_limits(100.0, covariance, 25.0) / 2
    )


@given(p=st.floats(0.05, 0.95), win=st.floats(0.1, 5.0), loss=st.floats(0.1, 1.0))
def test_kelly_bet_against_expected_log_growth(p, win, loss):
    def growth(f):
        return -(p * math.log1p(win * f) + (1 - p) * math.log1p(-loss * f))

    best = minimize_scalar(
        growth, bounds=(0.0, (1 - 1e-9) / loss), method="bounded", options={"xatol": 1e-10}
    )
    found = kelly_bet(p, win, loss)
    assert growth(found) <= best.fun + 1e-12
    assert found == pytest.approx(best.x, abs=1e-4 / loss)
    assert kelly_bet(p, win, loss, fraction=0.5) == pytest.approx(found / 2)


def test_kelly_against_expected_log_growth_by_brute_force():
    """Two assets over a short step, four equally likely outcomes with these means and covariance."""
    mean, covariance, step = np.array([0.05, 0.03]), np.array([[0.04, 0.012], [0.012, 0.09]]), 1e-5
    root = np.linalg.cholesky(covariance * step)
    moves = np.array([mean * step + root @ s for s in itertools.product((-1, 1), repeat=2)])
    f = kelly(mean, covariance)

    def growth(f):
        return np.log1p(moves @ f).mean()

    for change in np.random.default_rng(0).normal(size=(50, 2)) * 0.02:
        assert growth(f + change) < growth(f) + 1e-12 * step
    # half of it keeps three quarters of the growth
    assert growth(f / 2) == pytest.approx(0.75 * growth(f), rel=1e-3)
    assert kelly(mean, covariance, 0.5) == pytest.approx(f / 2)


def test_kelly_by_a_grid_and_by_simulation():
    """Wealth that is rebalanced each step, under log-normal moves: growth of every holding on a grid.

    Brute force over the law of a step by Gauss-Hermite nodes; and by 10^6 steps drawn at random, where the
    holdings of the formula beat others by more than the error of the difference, from the same draws.
    """
    mean, sigma, step = 0.08, 0.2, 1 / 252
    found = float(kelly([mean], [[sigma**2]])[0])
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()

    def moves(z):
        return np.expm1((mean - sigma**2 / 2) * step + sigma * math.sqrt(step) * z)

    grid = np.linspace(0.0, 4.0, 801)
    growth = np.array([weight @ np.log1p(f * moves(node)) for f in grid]) / step
    assert grid[growth.argmax()] == pytest.approx(found, abs=0.01)
    assert growth.max() == pytest.approx(mean**2 / (2 * sigma**2), rel=2e-3)
    drawn = moves(np.random.default_rng(4).standard_normal(1_000_000))
    best = np.log1p(found * drawn)
    for part in (0.25, 2.0):
        other = np.log1p(part * found * drawn)
        difference = (best - other) / step
        error = difference.std() / math.sqrt(len(drawn))
        # of a fraction c there remains c(2 - c) of the growth
        expected = (1 - part * (2 - part)) * mean**2 / (2 * sigma**2)
        assert abs(difference.mean() - expected) < 4 * error + 2e-3 * expected


def test_a_fraction_of_kelly_keeps_its_growth_at_its_share_of_the_risk():
    mean, covariance = np.array([0.06, 0.02, 0.04]), np.diag([0.04, 0.01, 0.09])
    whole = kelly(mean, covariance)
    for c in (0.1, 0.5, 0.9):
        part = kelly(mean, covariance, c)
        assert part == pytest.approx(c * whole)
        growth = [f @ mean - f @ covariance @ f / 2 for f in (part, whole)]
        assert growth[0] == pytest.approx(c * (2 - c) * growth[1])
        assert part @ covariance @ part == pytest.approx(c * c * (whole @ covariance @ whole))


@given(p=st.floats(0.0, 1.0), win=st.floats(0.1, 5.0), loss=st.floats(0.1, 5.0))
def test_a_bet_without_an_edge_is_not_taken(p, win, loss):
    found = kelly_bet(p, win, loss)
    assert found >= 0.0
    assert (found > 0.0) == (p / loss > (1 - p) / win)
    assert found * loss <= 1.0


@given(
    risk=st.floats(10.0, 1e6),
    sigma=st.floats(0.01, 100.0),
    rise=st.floats(1.0, 10.0),
    horizon=st.floats(1.0, 1e4),
)
def test_limits_in_lots_tighten_when_volatility_rises_and_never_exceed_the_budget(risk, sigma, rise, horizon):
    before, after = whole_lots(volatility_limit(risk, [sigma, sigma * rise], horizon))
    assert after <= before
    assert before * sigma * math.sqrt(horizon) <= risk * (1 + 1e-15)
    assert (before + 1) * sigma * math.sqrt(horizon) > risk * (1 - 1e-15)
    assert Limits(max_position=float(before)).max_position == before


@given(covariance=st.integers(0, 10**6), rise=st.floats(1.0, 5.0))
def test_shared_limits_tighten_together(covariance, rise):
    half = np.random.default_rng(covariance).normal(size=(3, 4))
    matrix = half @ half.T
    matrix = (matrix + matrix.T) / 2
    calm = risk_budget_limits(1e4, matrix, 25.0)
    wild = risk_budget_limits(1e4, matrix * rise**2, 25.0)
    assert wild == pytest.approx(calm / rise, rel=1e-9)
    assert (whole_lots(wild) <= whole_lots(calm)).all()


def test_whole_lots_are_rounded_down():
    assert whole_lots(3.999) == 3
    assert isinstance(whole_lots(3.999), int)
    assert whole_lots([0.0, 0.5, 7.0]).tolist() == [0, 0, 7]


@given(
    volume=st.floats(0.0, 1e4), share=st.floats(0.0, 0.9), time=st.floats(0.0, 1e5), more=st.floats(1.0, 3.0)
)
def test_capacity_grows_in_proportion(volume, share, time, more):
    ours = capacity(volume, share, time)
    assert ours <= share * (ours + volume * time) * (1 + 1e-12) + 1e-12
    assert capacity(volume * more, share, time) == pytest.approx(more * ours)
    assert capacity(volume, share, time * more) == pytest.approx(more * ours)


def test_capacity_is_the_share_of_what_then_trades():
    ours = capacity(2.0, 0.2, 600.0)
    assert ours / (ours + 2.0 * 600.0) == pytest.approx(0.2)


def test_margin_and_stress_use_up_the_capital():
    lots = margin_limit(1e6, 0.1, [5000.0, 100.0], stress=500.0)
    assert lots * 0.1 * np.array([5000.0, 100.0]) + lots * 500.0 == pytest.approx(1e6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: volatility_limit(1, 0, 1), "sigma must be a finite number > 0, got 0"),
        (lambda: volatility_limit(1, [1, math.nan], 1), r"sigma\[1\] must be finite numbers > 0, got nan"),
        (lambda: volatility_limit(1, 1, 1, most=-1), "most must be a finite number >= 0"),
        (lambda: risk_budget_limits(1, [[1, 2], [2, 1]], 1), "smallest eigenvalue is -1"),
        (
            lambda: risk_budget_limits(1, np.eye(2), 1, weights=[0.5, 0.6]),
            "weights must be numbers >= 0 with sum 1",
        ),
        (lambda: kelly([1.0], [[1.0]], fraction=2.0), "fraction must be a finite number > 0 and <= 1"),
        (lambda: kelly_bet(1.1, 1), "probability must be a finite number >= 0 and <= 1"),
        (lambda: capacity(1, 1.0, 1), "participation must be numbers >= 0 and < 1, got 1"),
        (lambda: capacity(-1, 0.1, 1), "volume must be a finite number >= 0, got -1"),
        (lambda: capacity(1, 0.1, math.inf), "time must be a finite number >= 0, got inf"),
        (lambda: capacity([1, 2], [0.1, 0.2, 0.3], 1), "participation must be of a shape that fits"),
        (lambda: volatility_limit(math.nan, 1, 1), "risk must be a finite number > 0, got nan"),
        (lambda: volatility_limit(1, 1, "900"), "horizon must be a finite number > 0, got '900'"),
        (lambda: volatility_limit([1, 2], [1, 2, 3], 1), "sigma must be of a shape that fits"),
        (lambda: risk_budget_limits(-1, np.eye(2), 1), "risk must be a finite number > 0, got -1"),
        (lambda: risk_budget_limits(1, [[1, math.nan], [math.nan, 1]], 1), "covariance"),
        (
            lambda: risk_budget_limits(1, np.diag([1.0, 0.0]), 1),
            r"covariance\[1\] must be positive variances",
        ),
        (lambda: risk_budget_limits(1, np.eye(2), 1, weights=[1.0]), "weights must be"),
        (lambda: risk_budget_limits(1, np.eye(21), 1), "joint must be False for more than 20 instruments"),
        (lambda: kelly([math.nan], [[1.0]]), "expected_returns"),
        (lambda: kelly_bet(0.5, 0), "win must be a finite number > 0, got 0"),
        (lambda: kelly_bet(0.5, 1, math.inf), "loss must be a finite number > 0, got inf"),
        (lambda: margin_limit(1, 0, 1), "margin_rate must be a finite number > 0, got 0"),
        (lambda: margin_limit(1, 0.1, [1, -5]), r"price\[1\] must be finite numbers > 0, got -5"),
        (lambda: margin_limit(1, 0.1, 1, stress=math.nan), "stress must be a finite number >= 0, got nan"),
        (lambda: whole_lots(-1), "limit must be a finite number >= 0"),
        (lambda: whole_lots(2.0**53), "limit must be a finite number"),
        (lambda: margin_limit(-1, 0.1, 1), "capital must be a finite number >= 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_a_covariance_is_refused_without_advice_that_no_argument_takes():
    indefinite, flat = [[1.0, 2.0], [2.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]
    for call in (
        lambda: risk_budget_limits(100, indefinite, 25),
        lambda: kelly([0.1, 0.2], indefinite),
        lambda: kelly([0.1, 0.2], flat),
    ):
        with pytest.raises(InvalidArgument, match="covariance") as error:
            call()
        assert "repair" not in str(error.value)
        assert "bound the holdings" not in str(error.value)
    assert kelly([0.1, 0.1], flat) == pytest.approx([0.05, 0.05])
