r"""Portfolios with a target return or a target risk, in place of a risk aversion.

With costs C(x) a target return is one of :math:`r^T x - C(x)`. Both this net return and the risk rise with
the risk tolerance t = 1/λ along the same curve of solutions; a target is a root on it. Its far end is known
from how far the answer for t can be from the highest net return, over all portfolios y within the limits:

.. math:: t\,(\text{net}(y) - \text{net}(x)) \le x^T\Sigma(y - x) \le \tfrac14\sigma_y^2 .

A singular covariance may have several portfolios of the least risk, between which no t chooses: t = 0 finds
one of them, a small t the one that earns most, and what earns a target in between is a mixture of the two. So
it is where a direction without risk earns without end: of it, a target return takes what it needs.
"""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from ..arrays import number
from ..errors import InvalidArgument, NoConvergence
from .covariances import EarnsWithoutRisk, as_vector
from .frontier import Frontier
from .holdings import Portfolio
from .solving import MeanVariance

Floats = NDArray[np.float64]

_END = 1e-13
"""Share of the returns within which the far end of the curve is the highest."""
_FACE = 1e-11
"""Share of a gradient's terms within which two portfolios have the same, and both the least risk."""
_MET = 1e-9
"""A target missed by a larger share is refused."""


def meet(
    problem: MeanVariance, returns: Floats | None, target_return: float | None, target_risk: float | None
) -> Portfolio:
    """Find the solution with this net return, or this risk, among those of all risk tolerances."""
    if target_return is not None and target_risk is not None:
        raise InvalidArgument("give target_return or target_risk, not both", argument="target_risk")
    if not problem._priced and problem._constrained is None:
        with suppress(EarnsWithoutRisk, NoConvergence):  # no frontier, or one that has lost too many digits
            return Frontier(problem, returns).at(target_return=target_return, target_risk=target_risk)
    if returns is None:
        raise InvalidArgument("a target needs expected returns", argument="expected_returns")
    returns = as_vector("expected_returns", returns, len(problem.covariance))
    if target_return is not None:
        name, target = "target_return", number("target_return", target_return, -math.inf)
    else:
        name, target = "target_risk", number("target_risk", target_risk)
    return _Curve(problem, returns, name, target).met()


class _Curve:
    """The solutions of all risk tolerances, searched for one target."""

    def __init__(self, problem: MeanVariance, returns: Floats, name: str, target: float) -> None:
        self.problem, self.returns, self.name, self.target = problem, returns, name, target
        self.deviation = np.sqrt(np.maximum(problem.covariance.diagonal(), 0.0))
        self.seen: dict[float, Portfolio] = {}
        self.least = _for_tolerance(problem, returns, 0.0)
        self.gain = float(np.abs(returns).max()) or 1.0
        variance = float(problem.covariance.diagonal().mean()) or 1.0
        self.near = 1e-13 * abs(target)
        if name == "target_return":  # nothing earned on holdings of that size is still rounding
            self.near += 1e-15 * self.gain * self._size()
        # returns and risk weigh alike, roughly, at this tolerance
        self.first = variance * self._size() / self.gain

    def _size(self) -> float:
        """Size of the holdings that the limits are about; without any, of what the target asks for."""
        p = self.problem
        parts = [np.atleast_1d(0.0 if p.budget is None else p.budget)]
        parts += [
            part for part in (p.holdings, *((p.lower, p.upper) if p.bounded else ())) if part is not None
        ]
        if p._constrained is not None:
            general = p._constrained
            parts += [general.rows.low, general.rows.high, np.array([general.leverage, general.turnover])]
        known = np.abs(np.concatenate(parts))
        per = self.gain if self.name == "target_return" else float(self.deviation.max()) or 1.0
        return float(known[np.isfinite(known)].max()) or abs(self.target) / per or 1.0

    def reached(self, p: Portfolio) -> float:
        """Return what the target is about."""
        return p.net_return if self.name == "target_return" else p.risk

    def short(self, t: float) -> float:
        """Return by how much the solution for this tolerance is above the target."""
        if t not in self.seen:
            self.seen[t] = _for_tolerance(self.problem, self.returns, t)
        return self.reached(self.seen[t]) - self.target

    def met(self) -> Portfolio:
        """Return the solution that meets the target."""
        least = self.least
        if self.reached(least) >= self.target - self.near:
            if self.name == "target_return":
                return least
            if least.risk > self.target + self.near:
                raise InvalidArgument(
                    argument=self.name,
                    value=self.target,
                    allowed=f"at least {least.risk:.9g}, the least that the constraints allow",
                )
            if not self.problem.singular:
                return least
            # Several may share the least risk: a small tolerance for risk finds the one that earns most.
            found = _for_tolerance(self.problem, self.returns, 1e-7 * self.first)
            better = found.risk <= self.target + self.near and found.net_return > least.net_return
            return found if better else least
        try:
            found = self._between()
        except EarnsWithoutRisk as error:
            if self.name == "target_risk":
                raise
            found = self._mixed(error.direction)
        if not self._meets(found):
            raise NoConvergence(
                f"{self.name} {self.target:.9g} is missed, {self.reached(found):.9g} is met: "
                "the covariance is too ill-conditioned"
            )
        return found

    def _meets(self, p: Portfolio) -> bool:
        """Say whether a portfolio meets the target, or has the highest return with less risk."""
        off = self.reached(p) - self.target
        if self.name == "target_return":
            size = float(np.abs(self.returns) @ np.abs(p.weights)) + p.cost
            return abs(off) <= _MET * abs(self.target) + 1e-12 * size + self.near
        # a variance is rounded like its terms
        rounding = 1e-13 * float(self.deviation @ np.abs(p.weights)) ** 2
        met = abs(p.variance - self.target**2) <= _MET * self.target**2 + rounding
        return met or (off < 0.0 and 1.0 / p.risk_aversion >= 0.1 * self._end(p))

    def _end(self, p: Portfolio) -> float:
        """Return the tolerance from which on a solution has the highest return, to rounding."""
        size = max(self._size(), float(np.abs(p.weights).max()))
        widest = float(self.deviation.sum()) * size
        return widest**2 / (4.0 * _END * self.gain * size)

    def _beside(self, t: float) -> float:
        """Return a tolerance near this one that has a solution: the search needs no certain one."""
        for share in (1.0, 0.7, 0.4, 0.2, 0.1):
            try:
                self.short(share * t)
            except NoConvergence:
                if share == 0.1:
                    raise
            else:
                return share * t
        raise AssertionError

    def _between(self) -> Portfolio:
        """Find the target between the ends of the curve."""
        low, high, level, still = 0.0, self._beside(self.first), math.nan, 0
        while self.short(high) < 0.0:
            found = self.seen[high]
            value = self.reached(found)
            end = self._end(found)
            if high >= 0.1 * end:
                if value >= self.target - 1e-12 * abs(self.target) or self.name == "target_risk":
                    return found
                raise InvalidArgument(
                    argument=self.name,
                    value=self.target,
                    allowed=f"at most {value:.9g}, the highest that the constraints allow",
                )
            still = still + 1 if abs(value - level) <= 1e-12 * abs(value) else 0
            # a vertex of the limits may be the solution for a long while, or for ever: the end tells
            low, high, level = high, self._beside(end if still == 3 else 16.0 * high), value
        if low == 0.0:
            found = self.seen[high]
            while not (self._least_too(found) or high < 1e-20 * self.first):
                low = self._beside(high / 8.0)
                if self.short(low) < 0.0:
                    break
                high, low, found = low, 0.0, self.seen[low]
            if low == 0.0:
                return self._mixed(found.weights - self.least.weights, 1.0)
        while high > 20.0 * low:
            middle = self._beside(math.sqrt(low * high))
            if self.short(middle) < 0.0:
                low = middle
            else:
                high = middle
        return self._root(low, high)

    def _root(self, low: float, high: float) -> Portfolio:
        from scipy.optimize import brentq

        if self.short(low) >= 0.0:
            return self.seen[low]
        root = float(brentq(self.short, low, high, xtol=1e-300, rtol=1e-15, maxiter=500, disp=False))
        if root in self.seen:
            return self.seen[root]
        return min(self.seen.values(), key=lambda p: abs(self.reached(p) - self.target))

    # -- portfolios of the least risk --------------------------------------------------------------------

    def _off(self, step: Floats, x: Floats) -> float:
        """Return by how much a step from x changes the gradient of the variance, relative to its terms.

        Where riskless assets are held it has none: then a thousandth of what they could be.
        """
        covariance, held = self.problem.covariance, np.abs(x) + np.abs(step)
        most = float(np.abs(covariance).max()) * float(held.max())
        terms = max(float((np.abs(covariance) @ held).max()), 1e-3 * most) or 1.0
        return float(np.abs(covariance @ step).max()) / terms

    def _least_too(self, p: Portfolio) -> bool:
        """Say whether a portfolio has the least risk too."""
        step = p.weights - self.least.weights
        return self.problem.singular and self._off(step, self.least.weights) <= _FACE

    def _mixed(self, step: Floats, most: float = math.inf) -> Portfolio:
        """Return the least risky portfolio, and so much of a step without risk that it meets the target."""
        from scipy.optimize import brentq

        least = self.least

        def mixture(share: float) -> Portfolio:
            x = least.weights + share * step
            residual = max(least.residual, self._off(share * step, least.weights))
            rows, forces = least._rows, least.constraint_multipliers
            nu = least.budget_multiplier
            return Portfolio(self.problem, x, self.returns, math.inf, nu, residual, rows, forces)

        def short(share: float) -> float:
            return self.reached(mixture(share)) - self.target

        end = min(most, 1.0)
        while math.isinf(most) and short(end) < 0.0 and end < 1e30:
            end *= 8.0
        if short(end) <= 0.0:
            return mixture(end)
        return mixture(float(brentq(short, 0.0, end, xtol=1e-300, rtol=1e-15, maxiter=500, disp=False)))


def _for_tolerance(problem: MeanVariance, returns: Floats, tolerance: float) -> Portfolio:
    """Solution for a risk tolerance; at 0 the least variance, for which no cost is too high."""
    if problem._constrained is not None:
        return problem._limited(returns, tolerance)
    if tolerance:
        return problem.solve(returns, 1.0 / tolerance)
    lower, upper = (problem.lower, problem.upper) if problem.bounded else (None, None)
    found = MeanVariance(problem.covariance, budget=problem.budget, lower=lower, upper=upper).solve()
    return Portfolio(problem, found.weights, returns, math.inf, found.budget_multiplier, found.residual)
