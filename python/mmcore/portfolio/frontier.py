r"""The exact efficient frontier: the solution of the mean-variance problem for every risk aversion at once.

With the risk tolerance t = 1/λ the solution is a chain of straight lines x(t): its turning points are where
an asset reaches or leaves a bound. Return is linear and variance quadratic between two of them: a target
return is met by a division and a target risk by a quadratic equation. Without bounds there is a single line,
from two solves with one factor.

With trading costs of the power 3/2 the pieces are curves, and general limits add corners of other kinds: then
the frontier is given at chosen returns (after costs), each point solved and certified by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, numbers, refusal
from ..errors import InvalidArgument, NoConvergence, Unsupported
from .covariances import as_vector
from .holdings import Portfolio
from .solving import _RESIDUAL, MeanVariance, _share
from .starting_points import summit

__all__ = ["Frontier", "FrontierPoints", "efficient_frontier"]

Floats = NDArray[np.float64]

_EPS = float(np.finfo(float).eps)
_MET = 1e-9
"""A target missed by a larger share is refused."""
_LEAST = 1.0 / float(np.finfo(float).max)
"""A smaller risk tolerance has no double for its risk aversion."""


class _Drawn:
    """A frontier that can be drawn."""

    def plot(self: Any, ax: Any = None, names: Sequence[str] | None = None) -> Any:
        """Draw expected return, after costs, over risk, with the points held, and the assets by themselves.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        names : sequence of str, optional
            Of the assets, written beside them, those first of which most is held; one that would lie over
            another is left out.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from ..plots import plot_frontier

        return plot_frontier(self, ax, names)


class Frontier(_Drawn):
    """All efficient portfolios, from minimum variance to maximum return.

    Where several share the minimum variance, the first is the one with the highest return.

    Attributes
    ----------
    risk_tolerance : ndarray, shape (m,)
        1/λ at the turning points, ascending from 0.
    weights : ndarray, shape (m, n)
        Portfolios there.
    ray : ndarray, shape (n,)
        Change of the weights per unit of risk tolerance beyond the last one; zero where returns are bounded.
    """

    def __init__(self, problem: MeanVariance, expected_returns: ArrayLike | None) -> None:
        if expected_returns is None:
            raise InvalidArgument("a frontier needs expected_returns", argument="expected_returns")
        if problem._priced:
            raise Unsupported("all turning points with trading costs: give targets")
        if problem._constrained is not None:
            raise Unsupported("all turning points under general constraints: give targets")
        returns = as_vector("expected_returns", expected_returns, len(problem.covariance))
        self.problem, self.expected_returns = problem, returns
        self._excess = returns if problem.budget is None else _over_median(returns)
        self.ray: Floats
        if problem.bounded:
            self._follow()
        else:
            least = problem.solve(None)
            self.risk_tolerance, self.weights = np.zeros(1), least.weights[None]
            self.ray = self._direction()
        if not self._excess.any():
            self.ray = np.zeros(len(returns))

    def _follow(self) -> None:
        """Walk all turning points: down from the highest return where that is a corner, else up."""
        problem, returns = self.problem, self.expected_returns
        knots: list[float] = []
        points: list[Floats] = []

        def visit(t: float, x: Floats) -> None:
            if knots and abs(t) == knots[-1]:
                points[-1] = x.copy()
            else:
                knots.append(abs(t))
                points.append(x.copy())

        work = problem._active_set()
        problem._refuse_earnings(returns)
        line = np.array([np.zeros(len(returns)), returns])
        problem._warm = False
        top = summit(work, returns)
        if top is None:
            problem.solve(None)
            visit(0.0, work.x)
            problem._warm = False
            work.follow(line, 0.0, math.inf, visit)
            first = self._last_of_least_risk(np.array(knots), np.array(points)) if problem.singular else 0
            self.risk_tolerance = np.array([0.0, *knots[first + 1 :]])
            self.weights = problem._without_whims(np.array(points[first:]), returns)
            if np.abs(self.weights[0]).max() <= 1e-13 * np.abs(points[: first + 1]).max():
                # nothing, but for the rounding of what was held on the way there without risk
                self.weights[0] = np.clip(0.0, problem.lower, problem.upper)
            self.ray = work.ray
        else:
            line[1] = -returns
            work.follow(line, -top, 0.0, visit)
            visit(0.0, problem._certified(work, None, 1.0).weights)
            self.risk_tolerance, self.weights = np.array(knots[::-1]), np.array(points[::-1])
            self.ray = np.zeros(len(returns))

    def _last_of_least_risk(self, knots: Floats, points: Floats) -> int:
        """Return which of these turning points is the last that only rounding parts from risk tolerance 0.

        From one with the least risk to another that earns more it is a step without risk. Where the path
        rests at the last of them, the one at which it goes on again is none of them.
        """
        steps, most = points - points[0], self.problem.covariance.diagonal().max()
        length, most_earned = np.abs(steps).max(axis=1), np.abs(self.expected_returns).max()
        same = 1e-13 * np.abs(points[0]).max()
        moved = np.abs(steps @ self.problem.covariance).max(axis=1)
        few = most_earned * length
        earns = (steps @ self.expected_returns > 1e-12 * few) & (length > same)
        last = int(np.flatnonzero(earns & (moved <= 1e-13 * most * length)).max(initial=0))
        shared = np.abs(points - points[last]).max(axis=1) <= same
        return int(np.flatnonzero(shared & (knots * most_earned <= most * same)).max(initial=shared.argmax()))

    def _direction(self) -> Floats:
        """Solve for returns alone, with a budget of nothing in place of the budget."""
        problem, budgeted = self.problem, self.problem.budget is not None
        if problem.singular:
            alone = MeanVariance(problem.covariance, budget=0.0 if budgeted else None)
            return alone.solve(self._excess, 1.0).weights
        ray = problem._against(self._excess)
        if budgeted:
            ones = problem._of_ones()
            # once more for the rounding of an ill-conditioned covariance
            for _ in range(2):
                ray = ray - ray.sum() / ones.sum() * ones
        return ray

    def __len__(self) -> int:
        return len(self.risk_tolerance)

    @property
    def returns(self) -> Floats:
        """Expected returns of the turning points, ascending."""
        found: Floats = self.weights @ self.expected_returns
        return found

    @property
    def variances(self) -> Floats:
        """Variances of the turning points, ascending."""
        return np.asarray(((self.weights @ self.problem.covariance) * self.weights).sum(axis=1))

    @property
    def risks(self) -> Floats:
        """Standard deviations of the turning points, ascending."""
        return np.sqrt(np.maximum(self.variances, 0.0))

    def at(
        self,
        *,
        risk_aversion: float | None = None,
        target_return: float | None = None,
        target_risk: float | None = None,
    ) -> Portfolio:
        """Return the efficient portfolio with this risk aversion, return at least, or risk at most.

        A target return below that of the minimum-variance portfolio asks for nothing: that portfolio is the
        answer. Where a target is met at a corner, the multiplier is that of the risk tolerance at which the
        portfolio gets there.
        """
        _one_of(risk_aversion, target_return, target_risk)
        if risk_aversion is not None:
            t = 1.0 / number("risk_aversion", risk_aversion)
        elif target_return is not None:
            t = self._for_return(number("target_return", target_return, -math.inf))
        else:
            t = self._for_risk(number("target_risk", target_risk))
        if t < _LEAST:
            t = 0.0
        k = max(int(np.searchsorted(self.risk_tolerance, t, side="right")) - 1, 0)
        x = self.weights[k] + (t - self.risk_tolerance[k]) * self._slope(k)
        found = self._portfolio(x, t)
        if target_risk is not None and t > 0.0 and too_risky(found, target_risk, self.weights[0]):
            raise missed("target_risk", target_risk, found.risk, "the covariance is too ill-conditioned")
        return found

    def _slope(self, k: int) -> Floats:
        if k + 1 == len(self):
            return self.ray
        step = float(self.risk_tolerance[k + 1] - self.risk_tolerance[k])
        slope: Floats = (self.weights[k + 1] - self.weights[k]) / step
        return np.asarray(slope)

    def _for_return(self, target: float) -> float:
        returns, sizes = self.returns, np.abs(self.expected_returns)
        # by what is held on the way there: far beyond it may be as large as rounding makes it
        terms = np.maximum.accumulate(np.abs(self.weights) @ sizes)
        reached = returns >= target - self._rounding(terms)
        if reached[0]:
            return 0.0
        if reached.any():
            # the first to get there has the least variance; the one before it earns truly less
            k = int(np.argmax(reached))
            share = min((target - returns[k - 1]) / (returns[k] - returns[k - 1]), 1.0)
            before = self.risk_tolerance[k - 1]
            return float(before + share * (self.risk_tolerance[k] - before))
        gain = float(self.ray @ self._excess)
        if not gain > 0.0:
            if target - returns[-1] <= self._rounding(_rounded(self.weights[-1]) @ sizes):
                return float(self.risk_tolerance[-1])
            raise InvalidArgument(
                argument="target_return",
                value=target,
                allowed=f"at most {float(returns[-1])!r}, the highest that budget and bounds allow",
            )
        return float(self.risk_tolerance[-1] + (target - returns[-1]) / gain)

    def _for_risk(self, target: float) -> float:
        variances, held, sizes = self.variances, np.abs(self.weights), np.abs(self.problem.covariance)
        wanted = target * target
        kept = variances <= wanted + self._rounding(((held @ sizes) * held).sum(axis=1))
        if not kept[0]:
            most = _rounded(self.weights[0])
            if variances[0] - wanted <= self._rounding(most @ sizes @ most):
                return 0.0
            raise InvalidArgument(
                argument="target_risk",
                value=target,
                allowed=f"at least {math.sqrt(variances[0])!r}, the least that budget and bounds allow",
            )
        # the last of those that share a risk: it earns the most
        k = int(np.flatnonzero(kept)[-1])
        slope = self._slope(k)
        gap = max(wanted - float(variances[k]), 0.0)
        if gap == 0.0:
            return float(self.risk_tolerance[k])
        # variance along the line: v + 2 p s + a s^2, s the step in t; the root without cancellation
        curve = self.problem.covariance @ slope
        a, p = float(slope @ curve), max(float(self.weights[k] @ curve), 0.0)
        if not a > 0.0:
            return float(self.risk_tolerance[-1])
        t = float(self.risk_tolerance[k] + gap / (p + math.sqrt(p * p + a * gap)))
        return t if k + 1 == len(self) else min(t, float(self.risk_tolerance[k + 1]))

    def _rounding(self, terms: Any) -> Any:
        """Return what a return, or a variance, that is the sum of these terms may have lost by rounding."""
        return (4.0 + len(self.ray)) * _EPS * terms

    def _portfolio(self, x: Floats, t: float) -> Portfolio:
        """Certify x for λ = 1/t; for t = 0 by the conditions of minimum variance."""
        problem = self.problem
        returns = self.expected_returns if t > 0.0 else None
        risk_aversion = 1.0 / t if t > 0.0 else 1.0
        g = problem.gradient(x, returns, risk_aversion)
        nu, at, fixed = 0.0, np.zeros(len(x)), np.zeros(len(x), dtype=bool)
        if problem.bounded:
            room = 1e-13 * (np.abs(x).max() or 1.0)
            below, above = x <= problem.lower + room, x >= problem.upper - room
            at[below], at[above] = -1.0, 1.0
            fixed = below & above
        read = np.flatnonzero(at == 0.0)
        if problem.budget is not None:
            if len(read):
                nu = problem._level(g[read], read)
            else:
                top = np.where((at > 0) & ~fixed, g, g.min())
                bottom = np.where((at < 0) & ~fixed, g, g.max())
                pair = np.array([top.argmax(), bottom.argmin()])
                nu = 0.5 * float(top.max() + bottom.min())
                # an exchange of the two has the digits of the riskier one
                read = pair[[problem.covariance.diagonal()[pair].argmax()]]
        m = g - nu
        wrong = np.where(at == 0.0, np.abs(m), np.maximum(at * m, 0.0))
        wrong[fixed] = 0.0
        scale = problem.scale(x, g, nu, returns, risk_aversion, read)
        residual = _share(wrong, scale)
        if problem.budget is not None:
            # of the budget, beyond what the sum of such holdings has to lose
            size = float(np.abs(x).sum())
            miss = abs(problem.budget - math.fsum(x)) - (4.0 + len(x)) * _EPS * size
            residual = max(residual, miss / (abs(problem.budget) or size or 1.0))
        if not residual <= _RESIDUAL:
            raise NoConvergence(
                f"the portfolio's residual is {residual:.1e}: the covariance is too ill-conditioned"
            )
        return Portfolio(problem, x, self.expected_returns, 1.0 / t if t > 0.0 else math.inf, nu, residual)

    def __repr__(self) -> str:
        r, s, plural = self.returns, self.risks, "s" if len(self) > 1 else ""
        tail = " and beyond" if self.ray.any() else ""
        return (
            f"Frontier({len(self)} turning point{plural}, returns {r[0]:.6g} to {r[-1]:.6g}, "
            f"risks {s[0]:.6g} to {s[-1]:.6g}{tail})"
        )


class FrontierPoints(_Drawn):
    """Efficient portfolios with chosen returns after costs.

    Attributes
    ----------
    problem, expected_returns : MeanVariance and ndarray
        What they are the answers to.
    portfolios : list of Portfolio
        One for each target, ascending.
    weights : ndarray, shape (m, n)
    risk_tolerance, returns, risks : ndarray, shape (m,)
        1/λ, returns after costs and standard deviations.
    """

    def __init__(
        self, problem: MeanVariance, expected_returns: ArrayLike, portfolios: list[Portfolio]
    ) -> None:
        self.problem = problem
        self.expected_returns = as_vector("expected_returns", expected_returns, len(problem.covariance))
        self.portfolios = portfolios
        self.weights: Floats = np.array([p.weights for p in portfolios])
        self.risk_tolerance: Floats = np.array([1.0 / p.risk_aversion for p in portfolios])
        self.returns: Floats = np.array([p.net_return for p in portfolios])
        self.risks: Floats = np.array([p.risk for p in portfolios])

    def __len__(self) -> int:
        return len(self.portfolios)

    def at(
        self,
        *,
        risk_aversion: float | None = None,
        target_return: float | None = None,
        target_risk: float | None = None,
    ) -> Portfolio:
        """Solve for one more: with this risk aversion, return after costs at least, or risk at most."""
        _one_of(risk_aversion, target_return, target_risk)
        if risk_aversion is not None:
            return self.problem.solve(self.expected_returns, risk_aversion)
        return self.problem.solve(self.expected_returns, target_return=target_return, target_risk=target_risk)

    def __repr__(self) -> str:
        r, s, plural = self.returns, self.risks, "s" if len(self) > 1 else ""
        return (
            f"FrontierPoints({len(self)} portfolio{plural}, returns {r[0]:.6g} to {r[-1]:.6g}, "
            f"risks {s[0]:.6g} to {s[-1]:.6g})"
        )


def too_risky(p: Portfolio, target: float, least: Floats, size: float = 0.0) -> bool:
    """Say whether a portfolio has more than this risk, or may have: its variance is rounded like its terms.

    What holdings of the size of the least risky, or of the limits, lose of it is no excess; nor is, where
    no more than the least risk is asked for, what their variance loses.
    """
    covariance, held, wanted = p._problem.covariance, np.abs(p.weights), target * target
    most = math.sqrt(float(covariance.diagonal().max())) * max(size, float(np.abs(least).sum()))
    few = 1e-13 * most * most
    if wanted <= least @ covariance @ least + few:
        return p.variance > wanted + max(few, _MET * wanted)
    lost = _EPS * float(held @ np.abs(covariance) @ held)
    return math.sqrt(max(p.variance + lost, 0.0)) - target > _MET * target + 1e-8 * most


def missed(name: str, target: float, reached: float, why: str) -> NoConvergence:
    """Return what to raise where a target is missed."""
    return NoConvergence(
        f"{name} {target:.9g} cannot be met to {_MET:g} of it, {reached:.9g} is reached: {why}"
    )


def _rounded(x: Floats) -> Floats:
    """Holdings, each as large as the largest: in the digits of that one all of them are known."""
    return np.asarray(np.where(x != 0.0, np.abs(x).max(), 0.0))


def _over_median(returns: Floats) -> Floats:
    """Returns over their median: with a budget these decide, and nothing is left of equal ones but zeros.

    As little is left of those that only rounding parts from it.
    """
    excess = returns - np.sort(returns)[len(returns) // 2]
    excess[np.abs(excess) <= 4.0 * _EPS * np.abs(returns).max()] = 0.0
    return np.asarray(excess)


def _one_of(*given: float | None) -> None:
    """Refuse none, or several, of risk aversion, target return and target risk."""
    if sum(value is not None for value in given) != 1:
        raise InvalidArgument(
            "give one of risk_aversion, target_return and target_risk", argument="risk_aversion"
        )


def efficient_frontier(
    covariance: ArrayLike,
    expected_returns: ArrayLike,
    budget: float | None = 1.0,
    *,
    lower: ArrayLike | None = 0.0,
    upper: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    repair: str | None = None,
    holdings: ArrayLike | None = None,
    cost: ArrayLike | None = None,
    power_cost: ArrayLike | None = None,
    constraints: Any = None,
    groups: Mapping[str, Any] | None = None,
    leverage: float | None = None,
    turnover: float | None = None,
) -> Frontier | FrontierPoints:
    """Find the exact efficient frontier, long-only by default; or points of it, with costs and any limits.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
    expected_returns : array_like, shape (n,)
    budget : float or None
        Sum of the holdings.
    lower, upper : array_like, optional
        Bounds; ``lower=None`` allows short holdings of any size.
    targets : array_like, optional
        Returns after costs at which points are wanted, in place of all turning points.
    repair : {None, "clip"}
        As in :func:`mean_variance`.
    holdings, cost, power_cost, constraints, groups, leverage, turnover
        With ``targets``: holdings, costs and general constraints of :func:`mean_variance`.

    Returns
    -------
    Frontier
        All turning points; :class:`FrontierPoints` where targets were given.

    Examples
    --------
    >>> f = efficient_frontier([[1.0, 0.0], [0.0, 4.0]], [0.1, 0.2])
    >>> f.weights
    array([[0.8, 0.2],
           [0. , 1. ]])
    >>> f.at(target_return=0.15).weights
    array([0.5, 0.5])
    """
    problem = MeanVariance(
        covariance,
        budget=budget,
        lower=lower,
        upper=upper,
        repair=repair,
        holdings=holdings,
        cost=cost,
        power_cost=power_cost,
        constraints=constraints,
        groups=groups,
        leverage=leverage,
        turnover=turnover,
    )
    if targets is None:
        return Frontier(problem, expected_returns)
    wanted = np.sort(np.ravel(numbers("targets", targets, -math.inf)))
    if not wanted.size:
        raise refusal("targets", "shape (0,)", "at least one return")
    return FrontierPoints(
        problem,
        expected_returns,
        [problem.solve(expected_returns, target_return=float(w)) for w in wanted],
    )
