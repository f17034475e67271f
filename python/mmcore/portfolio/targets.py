r"""Portfolios with a target return or a target risk, in place of a risk aversion.

With costs C(x) a target return is one of :math:`r^T x - C(x)`. Both this net return and the risk rise with
the risk tolerance 1/λ along the same curve of solutions; a target is a root on it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..arrays import number
from ..errors import InvalidArgument
from .covariances import as_vector
from .frontier import Frontier
from .holdings import Portfolio
from .solving import MeanVariance

Floats = NDArray[np.float64]


def meet(
    problem: MeanVariance, returns: Floats | None, target_return: float | None, target_risk: float | None
) -> Portfolio:
    """Find the solution with this net return, or this risk, among those of all risk tolerances."""
    from scipy.optimize import brentq

    if target_return is not None and target_risk is not None:
        raise InvalidArgument("give target_return or target_risk, not both", argument="target_risk")
    if not problem._priced and problem._constrained is None:
        return Frontier(problem, returns).at(target_return=target_return, target_risk=target_risk)
    if returns is None:
        raise InvalidArgument("a target needs expected returns", argument="expected_returns")
    returns = as_vector("expected_returns", returns, len(problem.covariance))
    if target_return is not None:
        name, target = "target_return", number("target_return", target_return, -math.inf)
    else:
        name, target = "target_risk", number("target_risk", target_risk)

    def reached(p: Portfolio) -> float:
        return p.net_return if name == "target_return" else p.risk

    near = 1e-13 * abs(target)
    least = _for_tolerance(problem, returns, 0.0)
    if reached(least) >= target - near:
        if name == "target_return":
            return least
        if least.risk > target + near:
            raise InvalidArgument(
                argument=name,
                value=target,
                allowed=f"at least {least.risk:.9g}, the least that the constraints allow",
            )
        if not problem.singular:
            return least
        # Several may share the least risk: a small tolerance for risk finds the one that earns most.
        found = _for_tolerance(problem, returns, 1e-7 * _first_tolerance(problem, returns, least))
        return found if found.risk <= target + near and found.net_return > least.net_return else least
    seen: dict[float, Portfolio] = {}

    def short(t: float) -> float:
        if t not in seen:
            seen[t] = _for_tolerance(problem, returns, t)
        return reached(seen[t]) - target

    low, high, level, still = 0.0, _first_tolerance(problem, returns, least), math.nan, 0
    while short(high) < 0.0:
        value = reached(seen[high])
        still = still + 1 if abs(value - level) <= 1e-12 * abs(value) else 0
        if still == 3 or high > 1e30:
            if value >= target - 1e-12 * abs(target) or name == "target_risk":
                return seen[high]
            raise InvalidArgument(
                argument=name,
                value=target,
                allowed=f"at most {value:.9g}, the highest that the constraints allow",
            )
        low, high, level = high, 8.0 * high, value
    if low == 0.0:
        while short(high / 8.0) >= 0.0 and high > 1e-30:
            high /= 8.0
        low = high / 8.0
    if short(low) >= 0.0:
        return seen[low]
    root = float(brentq(short, low, high, xtol=1e-300, rtol=1e-15, maxiter=500))
    return min(seen.values(), key=lambda p: abs(reached(p) - target)) if root not in seen else seen[root]


def _for_tolerance(problem: MeanVariance, returns: Floats, tolerance: float) -> Portfolio:
    """Solution for a risk tolerance; at 0 the least variance, for which no cost is too high."""
    if problem._constrained is not None:
        return problem._limited(returns, tolerance)
    if tolerance:
        return problem._active(returns, 1.0 / tolerance, None)
    lower, upper = (problem.lower, problem.upper) if problem.bounded else (None, None)
    found = MeanVariance(problem.covariance, budget=problem.budget, lower=lower, upper=upper).solve()
    return Portfolio(problem, found.weights, returns, math.inf, found.budget_multiplier, found.residual)


def _first_tolerance(problem: MeanVariance, returns: Floats, least: Portfolio) -> float:
    """Return a risk tolerance at which returns and risk weigh alike, roughly."""
    gain = float(np.abs(returns).max()) or 1.0
    size = float(np.abs(least.weights).max()) or 1.0
    return (float(problem.covariance.diagonal().mean()) or 1.0) * size / gain
