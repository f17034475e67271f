r"""Portfolios with a target return or a target risk, in place of a risk aversion.

With costs C(x) a target return is one of :math:`r^T x - C(x)`. Both this net return and the risk rise with
the risk tolerance t = 1/λ along the same curve of solutions; a target is a root on it. Its far end is the
answer of a linear program, the highest net return within the limits; with costs of the power 3/2 the tangent
at x takes the place of the net return, above which, that being concave, no portfolio y is:

.. math:: \text{net}(y) \le \text{net}(x) + \nabla\text{net}(x)^T(y - x) .

A singular covariance may have several portfolios of the least risk, between which no t chooses: t = 0 finds
one of them, another linear program the one that earns most, and what earns a target in between is a mixture
of the two. So it is where a direction without risk earns without end: of it, a target return takes what it
needs. Where rounding is all that parts two solutions the target is met by a mixture of these, too.
"""

from __future__ import annotations

import math
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import number
from ..errors import InvalidArgument, NoConvergence
from .constrained import Constrained
from .constraints import Rows
from .covariances import EarnsWithoutRisk, as_vector
from .frontier import _MET, Frontier, missed, too_risky
from .holdings import Portfolio
from .solving import _RESIDUAL, MeanVariance

Floats = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_FACE = 1e-11
"""Share of a gradient's terms within which two portfolios have the same, and both the least risk."""


def meet(
    problem: MeanVariance, returns: Floats | None, target_return: float | None, target_risk: float | None
) -> Portfolio:
    """Find the solution with this net return, or this risk, among those of all risk tolerances."""
    if target_return is not None and target_risk is not None:
        raise InvalidArgument("give target_return or target_risk, not both", argument="target_risk")
    name = "target_risk" if target_return is None else "target_return"
    if returns is None:
        raise InvalidArgument(f"{name} needs expected_returns", argument="expected_returns")
    if not problem._priced and problem._constrained is None:
        with suppress(EarnsWithoutRisk, NoConvergence):  # no frontier, or one that has lost too many digits
            return Frontier(problem, returns).at(target_return=target_return, target_risk=target_risk)
    returns = as_vector("expected_returns", returns, len(problem.covariance))
    target = number(name, target_risk) if target_return is None else number(name, target_return, -math.inf)
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
        reached = self.reached(least) >= self.target - self.near
        if self.name == "target_risk" and least.risk > self.target + self.near:
            raise InvalidArgument(
                argument=self.name,
                value=self.target,
                allowed=f"at least {least.risk!r}, the least that the constraints allow",
            )
        if reached and (self.name == "target_return" or not self.problem.singular):
            return least
        try:
            start = self._safest(reached)
            found = start if reached else self._between(start)
        except EarnsWithoutRisk as error:
            if self.name == "target_risk":
                raise
            found = self._mixed(least, self._beyond(error.direction))
        except NoConvergence:
            if (enough := self._enough()) is None:
                raise
            return enough
        if self._meets(found):
            return found
        if (enough := self._enough()) is not None:
            return enough
        met = self.reached(found)
        vanish = self.name == "target_return" and abs(met - self.target) <= self._lost(found)
        why = "trades of this cost vanish in rounding" if vanish else "the problem is too ill-conditioned"
        raise missed(self.name, self.target, met, why)

    def _lost(self, p: Portfolio) -> float:
        """Cost of trades that vanish in the rounding of what is held before and after them."""
        before, cost = self.problem.holdings, self.problem.cost
        if before is None or cost is None:
            return 0.0
        return float(_EPS * cost @ (np.abs(p.weights) + np.abs(before)))

    def _enough(self) -> Portfolio | None:
        """Return the safest solution seen that earns the target, and more by what rounded trades may cost.

        Nothing in between can be held then.
        """
        if self.name == "target_risk":
            return None
        over = {t: p for t, p in self.seen.items() if 0.0 <= self.short(t) <= self._lost(p)}
        return over[min(over)] if over else None

    def _meets(self, p: Portfolio) -> bool:
        """Say whether a portfolio meets the target, or earns as much as any with less risk."""
        if self.name == "target_return":
            off = self.reached(p) - self.target
            return abs(off) <= _MET * abs(self.target) + 1e-12 * self._terms(p) + self.near
        return not too_risky(p, self.target, self.least.weights, self._size())

    def _terms(self, p: Portfolio) -> float:
        """Size of what a net return is the sum of."""
        return float(np.abs(self.returns) @ np.abs(p.weights)) + p.cost

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

    def _between(self, start: Portfolio) -> Portfolio:
        """Find the target between the ends of the curve, the first of which is known."""
        if self.reached(start) >= self.target:
            return self._mixed(self.least, start)
        self.seen[0.0] = start
        low, high, top, level = 0.0, self._beside(self.first), math.nan, math.nan
        while self.short(high) < -self.near:
            found = self.seen[high]
            value, few = found.net_return, 1e-13 * self._terms(found) + 1e-15 * self.gain * self._size()
            # a tolerance t prefers this one: what earns more, by e, has a variance larger by 2te at least
            if self.name == "target_risk" and self.target * self.target - found.variance <= 2.0 * high * few:
                return found
            if math.isnan(top) or self.general.power.any():
                top = self._top(found)
            # what is not to rounding the highest is it where more tolerance earns no more
            if value >= top - few or (abs(value - level) <= few and value >= top - _MET * self._terms(found)):
                if self.name == "target_risk" or value >= self.target - few:
                    return found
                raise InvalidArgument(
                    argument=self.name,
                    value=self.target,
                    allowed=f"at most {value!r}, the highest that the constraints allow",
                )
            low, high, level = high, self._beside(16.0 * high), value
        while low == 0.0 and high > 1e-20 * self.first:
            middle = self._beside(high / 8.0)
            if self.short(middle) < 0.0:
                low = middle
            elif self._least_too(self.seen[high := middle]):
                break
        while high > 20.0 * low > 0.0:
            middle = self._beside(math.sqrt(low * high))
            if self.short(middle) < 0.0:
                low = middle
            else:
                high = middle
        return self._root(low, high)

    def _top(self, p: Portfolio) -> float:
        """Return what no portfolio within the limits earns more than: the most of the tangent at p."""
        general, x = self.general, p.weights
        trade = x - general.held * general.size
        gain = self.returns - 1.5 * general.power * np.copysign(np.sqrt(np.abs(trade)), trade)
        best = general.highest(gain, general.cost)
        if best is None:
            return math.inf
        sizes = np.abs(best - general.held * general.size) - np.abs(trade)
        return p.net_return + float(gain @ (best - x) - general.cost @ sizes)

    def _root(self, low: float, high: float) -> Portfolio:
        """Find the target on a piece of the curve: what rounding leaves of it, by its neighbours."""
        from scipy.optimize import brentq

        if abs(self.short(high)) <= self.near:
            return self.seen[high]
        if low > 0.0:
            brentq(self.short, low, high, xtol=1e-300, rtol=1e-15, maxiter=500, disp=False)
        below = [t for t in self.seen if self.short(t) < 0.0]
        above = [t for t in self.seen if self.short(t) >= 0.0]
        lower, upper = (self.seen[min(part, key=lambda t: abs(self.short(t)))] for part in (below, above))
        if self.reached(upper) <= self.target + self.near:
            return upper
        # of two with the least risk each has its own multipliers, and those of the other will do
        return self._mixed(lower, self._without_risk(upper.weights) if self._least_too(upper) else upper)

    @cached_property
    def general(self) -> Constrained:
        """The limits and costs as those of a general problem."""
        p, n = self.problem, len(self.returns)
        nothing, wide = np.zeros(n), np.full(n, np.inf)
        return p._constrained or Constrained(
            p.covariance,
            Rows(n, p.budget),
            p.lower if p.bounded else -wide,
            p.upper if p.bounded else wide,
            nothing if p.holdings is None else p.holdings,
            nothing if p.cost is None else p.cost,
            nothing,
            math.inf,
            math.inf,
        )

    # -- portfolios of the least risk, and between two -------------------------------------------------------

    def _safest(self, wanted: bool) -> Portfolio:
        """Return the portfolio that earns most of those with the least risk.

        With costs of the power 3/2 that is no linear program: it is looked for only where it is the answer.
        """
        least, general = self.least, self.general
        if not self.problem.singular:
            return least
        if self.problem._constrained is None:
            self._beside(self.first)  # raises where earning has no end, which the interior point may not see
        else:
            general.refuse_earnings(self.returns)
        if general.power.any():
            if not wanted:
                return least
            # a small tolerance for risk finds it
            found = _for_tolerance(self.problem, self.returns, 1e-7 * self.first)
        else:
            best = general.highest(self.returns, general.cost, least.weights)
            found = least if best is None else self._without_risk(best)
        better = found.risk <= least.risk + self.near and found.net_return > least.net_return
        return found if better else least

    def _without_risk(self, x: Floats) -> Portfolio:
        """Return a portfolio with the risk, and the multipliers, of the least risky one."""
        least = self.least
        residual = max(least.residual, self._off(x - least.weights, least.weights))
        rows, forces = least._rows, least.constraint_multipliers
        nu = least.budget_multiplier
        return Portfolio(self.problem, x, self.returns, math.inf, nu, residual, rows, forces)

    def _beyond(self, direction: Floats) -> Portfolio:
        """Return a portfolio so far along a direction without risk that it earns the target."""
        length = float(np.abs(self.least.weights).max()) or 1.0
        while True:
            found = self._without_risk(self.least.weights + length * direction)
            if self.reached(found) >= self.target or length > 1e200:
                return found
            length *= 8.0

    def _off(self, step: Floats, x: Floats) -> float:
        """Return by how much a step from x changes the gradient of the variance, relative to its terms.

        Where riskless assets are held it has none: then a thousandth of what they could be.
        """
        return float(np.abs(self.problem.covariance @ step).max()) / self._size_of_slopes(
            np.abs(x) + np.abs(step)
        )

    def _size_of_slopes(self, held: Floats) -> float:
        """Size of the terms of the gradient of the variance."""
        covariance = np.abs(self.problem.covariance)
        return (
            max(float((covariance @ held).max()), 1e-3 * float(covariance.max()) * float(held.max())) or 1.0
        )

    def _least_too(self, p: Portfolio) -> bool:
        """Say whether a portfolio has the least risk too."""
        step = p.weights - self.least.weights
        return self.problem.singular and self._off(step, self.least.weights) <= _FACE

    def _mixed(self, lower: Portfolio, upper: Portfolio) -> Portfolio:
        """Return what meets the target between two portfolios, of which one falls short of it.

        Between two on one piece of the curve all conditions are as well met as at its ends; elsewhere they
        are missed by what the multipliers of the two differ by.
        """
        from scipy.optimize import brentq

        ends = [p if math.isfinite(p.risk_aversion) else None for p in (lower, upper)]
        t0, t1 = (0.0 if p is None else 1.0 / p.risk_aversion for p in ends)
        per0, per1 = t0 or 1.0, t1 or 1.0
        apart = float(np.abs(per1 * upper.multipliers - per0 * lower.multipliers).max())
        held = np.abs(lower.weights) + np.abs(upper.weights)
        apart /= self._size_of_slopes(held) + max(t0, t1) * self.gain
        residual = max(lower.residual, upper.residual, apart)
        ones = np.ones(len(held))
        names = {**lower.constraint_multipliers, **upper.constraint_multipliers}

        def mixture(share: float) -> Portfolio:
            def mixed(one: Any, other: Any) -> Any:
                return one + share * (other - one)

            t = mixed(t0, t1)
            per = t or 1.0
            nu = mixed(per0 * lower.budget_multiplier, per1 * upper.budget_multiplier) / per
            rows = None
            if lower._rows is not None or upper._rows is not None:
                parts = (p.budget_multiplier * ones if p._rows is None else p._rows for p in (lower, upper))
                first, second = parts
                rows = mixed(per0 * first, per1 * second) / per
            forces = {
                name: mixed(
                    per0 * lower.constraint_multipliers.get(name, 0.0),
                    per1 * upper.constraint_multipliers.get(name, 0.0),
                )
                / per
                for name in names
            }
            x = mixed(lower.weights, upper.weights)
            return Portfolio(
                self.problem, x, self.returns, 1.0 / t if t else math.inf, nu, residual, rows, forces
            )

        def short(share: float) -> float:
            return self.reached(mixture(share)) - self.target

        if not residual <= _RESIDUAL:
            raise NoConvergence(
                f"the answer's residual is {residual:.1e}: the problem is too ill-conditioned"
            )
        if short(1.0) <= 0.0:
            return mixture(1.0)
        return mixture(float(brentq(short, 0.0, 1.0, xtol=1e-300, rtol=1e-15, maxiter=500, disp=False)))


def _for_tolerance(problem: MeanVariance, returns: Floats, tolerance: float) -> Portfolio:
    """Solution for a risk tolerance; at 0 the least variance, for which no cost is too high."""
    if problem._constrained is not None:
        return problem._limited(returns, tolerance)
    if tolerance:
        return problem.solve(returns, 1.0 / tolerance)
    lower, upper = (problem.lower, problem.upper) if problem.bounded else (None, None)
    found = MeanVariance(problem.covariance, budget=problem.budget, lower=lower, upper=upper).solve()
    return Portfolio(problem, found.weights, returns, math.inf, found.budget_multiplier, found.residual)
