"""Limits against their definitions."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from mmcore.errors import InvalidArgument
from mmcore.risk_limits import capacity, kelly, kelly_bet, margin_limit, risk_budget_limits, volatility_limit


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
        (lambda: capacity(1, 1.0, 1), "participation must be"),
        (lambda: margin_limit(-1, 0.1, 1), "capital must be a finite number >= 0"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()
