r"""Mean-variance portfolios: how much of each to hold, given returns, risk, limits and costs.

.. math:: \min_x \tfrac12\lambda\,x^T\Sigma x - r^T x + \sum_j \kappa_j |x_j - h_j|
          \quad\text{s.t.}\quad 1^T x = b,\quad l \le x \le u .

:math:`\lambda` is the risk aversion; without expected returns r the answer is the minimum-variance portfolio,
whatever :math:`\lambda`. Without bounds and costs, one Cholesky factor :math:`\Sigma = LL^T` and the solves
:math:`\Sigma u = 1`, :math:`\Sigma w = r` give

.. math:: x = (w + \nu u)/\lambda, \qquad \nu = (\lambda b - 1^T w)/1^T u .

With bounds or costs the answer comes from :mod:`mmcore.portfolio.active_set`: it is exact, in as many digits
as the covariance allows, since it ends in the same formula on the free assets. Limits on groups, on linear
combinations, on leverage and on turnover, and costs of the power 3/2, are the business of
:mod:`mmcore.portfolio.constrained`.

**Certificate.** With the gradient :math:`m = \lambda\Sigma x - r - \nu 1` the answer is optimal when m +
κ·sign vanishes on free assets and has the right sign at bounds. The violation, relative to the size of the
terms :math:`\lambda\Sigma x`, r and :math:`\nu`, is the result's ``residual``; it is computed from the
covariance as given, the whole of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, partial
from operator import is_
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.blas import daxpy, ddot, dgemv, dnrm2, dscal, dtrsv
from scipy.linalg.lapack import dpotrf, dpotrs

from ..arrays import number
from ..errors import InvalidArgument, NoConvergence
from .active_set import ActiveSet
from .constrained import Constrained
from .constraints import Rows
from .covariances import (
    LARGEST,
    SMALLEST,
    EarnsWithoutRisk,
    Spectrum,
    as_matrix,
    as_vector,
    earns_without_risk,
    refuse,
    repaired,
)
from .holdings import Lots, Portfolio
from .starting_points import corner, independent, resume

__all__ = ["Lots", "MeanVariance", "Portfolio", "mean_variance", "target_inventories"]

Floats = NDArray[np.float64]

_RESIDUAL = 1e-9
"""An answer with a larger relative residual is looked into, and refused where nothing explains it."""
_PIVOT = math.sqrt(1e-11)
"""A covariance whose factor has a smaller one, as a share of the largest, is solved as a singular one."""

_DEAR = 1e4
"""Costs beyond, in units of the other terms, are for the path as if they were this large."""
_absent = partial(is_, None)


@lru_cache(maxsize=16)
def _unit(n: int) -> Floats:
    ones = np.ones(n)
    ones.flags.writeable = False
    return ones


class MeanVariance:
    """A mean-variance problem whose covariance is checked and factored once, for repeated solves.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Symmetric and positive semidefinite.
    budget : float or None
        Sum of the holdings; None leaves it free.
    lower, upper : array_like, optional
        Bounds of each holding; a scalar holds for all. None: unbounded.
    holdings : array_like, optional
        Holdings now, from which a trade costs ``cost`` for each unit.
    cost, power_cost : array_like, optional
        Costs κ|x − h| and π|x − h|^(3/2) of trading away from them: one number, or one for each asset.
    constraints : LinearConstraint, (A, low, high) or a list of them, optional
        low ≤ Ax ≤ high, as in :class:`scipy.optimize.LinearConstraint`.
    groups : dict of str to (members, low, high), optional
        Limits of the sum over some assets (their numbers, or a mask); None: no limit on that side.
    leverage, turnover : float, optional
        Most of Σ|x| and of Σ|x − h|.
    repair : {None, "clip"}
        ``"clip"`` raises negative eigenvalues of the covariance to zero; by default it is refused.

    Notes
    -----
    Thread-safety: solves with bounds remember the last active set; use one object per thread.

    Examples
    --------
    >>> problem = MeanVariance([[1.0, 0.2], [0.2, 2.0]], lower=0.0)
    >>> problem.solve().weights.round(6)
    array([0.692308, 0.307692])
    >>> problem.solve([0.0, 5.0]).active
    array([-1,  0], dtype=int8)
    """

    def __init__(
        self,
        covariance: ArrayLike,
        *,
        budget: float | None = 1.0,
        lower: ArrayLike | None = None,
        upper: ArrayLike | None = None,
        holdings: ArrayLike | None = None,
        cost: ArrayLike | None = None,
        power_cost: ArrayLike | None = None,
        constraints: Any = None,
        groups: Mapping[str, Any] | None = None,
        leverage: float | None = None,
        turnover: float | None = None,
        repair: str | None = None,
    ) -> None:
        matrix = self._own(as_matrix(covariance))
        if repair is not None:
            matrix = repaired(matrix, repair)
        self.covariance = matrix
        if budget is not None and not (type(budget) is float and -math.inf < budget < math.inf):
            budget = number("budget", budget, -math.inf)
        self.budget = budget
        self._unit = _unit(len(matrix))
        self._factor, info = dpotrf(matrix.T, 1, 0)
        self._ones: Floats | None = None
        pivots = self._factor.diagonal().tolist()
        least = min(pivots)
        self.singular = info != 0 or least <= _PIVOT * max(pivots)
        # a closed form finds an unequal other triangle in its residual
        limits = (lower, upper, holdings, cost, power_cost, constraints, groups, leverage, turnover)
        if self.singular or not all(map(_absent, limits)):
            most = float(matrix.diagonal().max())
            if info or not SMALLEST < most < LARGEST or not (matrix == matrix.T).all():
                refuse(matrix)
            self.singular = self.singular or least <= _PIVOT * math.sqrt(most)
            self._limit(*limits)

    # what holds for a problem without limits; two in five of its microseconds would go into setting them
    bounded = _priced = _warm = False
    lower: Floats
    upper: Floats
    holdings: Floats | None = None
    cost: Floats | None = None
    power_cost: Floats | None = None
    _constrained: Constrained | None = None
    _set: ActiveSet | None = None
    _idle = np.empty(0, dtype=np.intp)
    _loose = np.empty(0, dtype=np.intp)
    _riskless: Floats
    _slopes: Floats
    _paid = 0.0
    _spectrum: Spectrum | None = None
    _total = 0.0

    def _own(self, matrix: Floats) -> Floats:
        """Return a covariance that the caller cannot write to."""
        return matrix.copy()

    def _limit(
        self,
        lower: ArrayLike | None,
        upper: ArrayLike | None,
        holdings: ArrayLike | None,
        cost: ArrayLike | None,
        power_cost: ArrayLike | None,
        constraints: Any,
        groups: Mapping[str, Any] | None,
        leverage: float | None,
        turnover: float | None,
    ) -> None:
        """Take over bounds, costs and general constraints."""
        n = len(self.covariance)
        self.holdings = None if holdings is None else as_vector("holdings", holdings, n)
        self.cost = None if cost is None else _price("cost", cost, n)
        self.power_cost = None if power_cost is None else _price("power_cost", power_cost, n)
        self._priced = self.cost is not None and bool(self.cost.any())
        if self.holdings is None:
            for name, given in (("cost", cost), ("power_cost", power_cost), ("turnover", turnover)):
                if given is not None and np.any(given):
                    raise InvalidArgument(
                        f"{name} needs the holdings that are traded from", argument="holdings"
                    )
        self.bounded = lower is not None or upper is not None
        if self.bounded:
            self.lower = as_vector("lower", -np.inf if lower is None else lower, n, infinite=True)
            self.upper = as_vector("upper", np.inf if upper is None else upper, n, infinite=True)
            self._feasible()
        general = (power_cost, constraints, groups, leverage, turnover)
        if any(given is not None for given in general):
            nothing = np.zeros(n)
            self._constrained = Constrained(
                self.covariance,
                Rows(n, self.budget, constraints, groups),
                self.lower if self.bounded else np.full(n, -np.inf),
                self.upper if self.bounded else np.full(n, np.inf),
                nothing if self.holdings is None else self.holdings,
                nothing if self.cost is None else self.cost,
                nothing if self.power_cost is None else self.power_cost,
                math.inf if leverage is None else number("leverage", leverage, open_low=False),
                math.inf if turnover is None else number("turnover", turnover, open_low=False),
                self.singular,
            )

    def _feasible(self) -> None:
        wrong = (self.lower > self.upper) | (self.lower == np.inf) | (self.upper == -np.inf)
        if wrong.any():
            index = int(np.argmax(wrong))
            raise InvalidArgument(
                argument="lower",
                value=float(self.lower[index]),
                index=index,
                allowed=f"finite or -inf, and at most upper, {self.upper[index]:g}",
            )
        if self.budget is not None:
            least, most = float(self.lower.sum()), float(self.upper.sum())
            slack = 4.0 * np.finfo(float).eps * (abs(self.budget) + 1.0) * len(self.lower)
            if not least - slack <= self.budget <= most + slack:
                raise InvalidArgument(
                    argument="budget",
                    value=self.budget,
                    allowed=f"within the sums of the bounds, {least:g} to {most:g}",
                )

    # -- pieces of the certificate -----------------------------------------------------------------

    def gradient(self, x: Floats, returns: Floats | None, risk_aversion: float) -> Floats:
        """Return λΣx − r, from the whole of the covariance as given."""
        g = risk_aversion * (self.covariance @ x)
        if returns is not None:
            g -= returns
        return g

    def scale(
        self,
        x: Floats,
        gradient: Floats,
        multiplier: float,
        returns: Floats | None,
        risk_aversion: float,
        free: Any = (),
    ) -> Floats:
        """Size of the terms of each optimality condition, by which its violation is measured.

        A portfolio without risk cancels them all: then a thousandth of what they could be at most; and where
        it is a riskless asset, what a change of all that is held would make of an asset's own term, or of
        that of the free assets that the multiplier is read from.
        """
        variances = np.maximum(self.covariance.diagonal(), 0.0)
        deviation, held = np.sqrt(variances), np.abs(x)
        most = risk_aversion * float(deviation.max()) * float(deviation @ held)
        size = float(np.abs(gradient).max()) + abs(multiplier)
        if returns is not None:
            size += float(np.abs(returns).max())
        own = risk_aversion * float(held.max()) * variances
        read = own[free].min() if self.budget is not None and len(free) else 0.0
        return np.asarray(np.maximum(own, max(size, 1e-3 * most, read)))

    def _level(self, values: Floats, free: Any) -> float:
        """Mean of what free assets say of the budget's multiplier, by the digits that each of them has."""
        variances = self.covariance.diagonal()
        most = float(variances.max()) or 1.0
        weights = most / np.maximum(variances[free], 1e-15 * most)
        return float(weights.dot(values) / weights.sum())

    # -- solves ------------------------------------------------------------------------------------

    def solve(
        self,
        expected_returns: ArrayLike | None = None,
        risk_aversion: float = 1.0,
        *,
        target_return: float | None = None,
        target_risk: float | None = None,
        start: Portfolio | None = None,
    ) -> Portfolio:
        """Solve for these expected returns and this risk aversion, or this target.

        Parameters
        ----------
        expected_returns : array_like, optional
            None: the minimum-variance portfolio.
        risk_aversion : float
            λ > 0.
        target_return : float, optional
            In place of a risk aversion: the least variance with a return, after costs, of at least this.
        target_risk : float, optional
            In place of a risk aversion: the highest return after costs with at most this standard deviation.
        start : Portfolio, optional
            A portfolio of a similar problem of this size, whose active set is tried first; by default that of
            this object's last solve.
        """
        if type(risk_aversion) is not float or not 0.0 < risk_aversion < math.inf:
            risk_aversion = number("risk_aversion", risk_aversion)
        returns = None
        if expected_returns is not None:
            if (
                isinstance(expected_returns, np.ndarray)
                and expected_returns.dtype == np.float64
                and expected_returns.shape == self._unit.shape
            ):
                returns = expected_returns.copy()  # checked by what is made of it
            else:
                returns = as_vector("expected_returns", expected_returns, len(self._unit))
        if target_return is not None or target_risk is not None:
            from .targets import meet

            return meet(self, returns, target_return, target_risk)
        if self._constrained is not None or self.bounded or self._priced:
            if returns is not None:
                returns = as_vector("expected_returns", returns, len(self.covariance))
            if self._constrained is not None:
                return self._limited(returns, 1.0 / risk_aversion)
            return self._active(returns, risk_aversion, start)
        return self._closed(returns, risk_aversion)

    def _limited(self, returns: Floats | None, tolerance: float) -> Portfolio:
        """Solve under general constraints for this risk tolerance."""
        assert self._constrained is not None
        found = self._constrained.solve(returns, tolerance)
        risk_aversion = 1.0 / tolerance if tolerance else math.inf
        per = risk_aversion if tolerance else 1.0
        rows = self._constrained.rows
        values = per * found.rows
        named = dict(zip(rows.names, values.tolist(), strict=True))
        nu = named.pop("budget", 0.0)
        named |= {"leverage": per * found.leverage, "turnover": per * found.turnover}
        binding = {name: value for name, value in named.items() if value}
        return Portfolio(
            self, found.x, returns, risk_aversion, nu, found.residual, values @ rows.matrix, binding
        )

    def _closed(self, returns: Floats | None, risk_aversion: float) -> Portfolio:
        if self.singular:
            return self._spectral(returns, risk_aversion)
        budget, multiplier = self.budget, 0.0
        if returns is None and budget is None:
            x = np.zeros(len(self.covariance))
        elif budget is None:
            x = dscal(1.0 / risk_aversion, self._against(returns))
        elif returns is None:
            x = self._of_ones()
            multiplier = risk_aversion * budget / self._total
            x = dscal(multiplier / risk_aversion, x.copy())
        else:
            x = self._solved(returns)
            multiplier = (risk_aversion * budget - ddot(self._unit, x)) / self._total
            x = dscal(1.0 / risk_aversion, daxpy(self._ones, x, a=multiplier))
        miss = 0.0
        if budget is not None:
            miss = budget - ddot(self._unit, x)
            if abs(miss) > 4e-16 * math.sqrt(len(x)) * abs(budget):
                # what the sum lost by rounding, along the line on which the other conditions hold
                share = miss / self._total
                x = daxpy(self._of_ones(), x, a=share)
                multiplier += risk_aversion * share
                miss = budget - ddot(self._unit, x)
        residual = self._residual(x, returns, risk_aversion, multiplier, miss)
        if not residual <= _RESIDUAL:
            if returns is not None:
                returns = as_vector("expected_returns", returns, len(returns))
            refuse(self.covariance)
            return self._spectral(returns, risk_aversion)
        return Portfolio(self, x, returns, risk_aversion, multiplier, residual)

    def _solved(self, returns: Any) -> Any:
        """Solve Σw = r, and Σu = 1 with it the first time."""
        if self._ones is not None:
            return self._against(returns)
        self._ones, found = dpotrs(self._factor, np.array((self._unit, returns)).T, 1, 1)[0].T
        self._total = ddot(self._unit, self._ones)
        return found

    def _against(self, right: Any) -> Floats:
        """Solve Σx = right; two substitutions are faster than the LAPACK driver for one right-hand side."""
        half = dtrsv(self._factor, right, lower=1)
        return np.asarray(dtrsv(self._factor, half, lower=1, trans=1, overwrite_x=1))

    def _of_ones(self) -> Floats:
        if self._ones is None:
            self._ones = self._against(self._unit)
            self._total = ddot(self._unit, self._ones)
        return self._ones

    def _residual(
        self, x: Floats, returns: Floats | None, risk_aversion: float, multiplier: float, miss: float
    ) -> float:
        """Norm of the gradient over those of r and ν, or the miss of the budget where that is more."""
        scale = abs(multiplier) * math.sqrt(len(x))
        if returns is None:
            curve = risk_aversion * self.covariance.dot(x)
        else:
            curve = dgemv(risk_aversion, self.covariance.T, x, -1.0, returns, trans=1)
            scale += dnrm2(returns)
        curve = daxpy(self._unit, curve, a=-multiplier)
        if not scale > 0.0:
            return 0.0 if scale == 0.0 == dnrm2(curve) else math.nan
        residual: float = dnrm2(curve) / scale
        if miss:
            # of the size of x, and of what it was the difference of
            size = abs(self.budget or 0.0) + dnrm2(x) + abs(multiplier) * self._total / risk_aversion
            residual = max(residual, abs(miss) / size)
        return residual

    def _spectral(self, returns: Floats | None, risk_aversion: float) -> Portfolio:
        """Solve for a singular covariance: the holdings of the least norm, where several are as good."""
        n = len(self.covariance)
        r = np.zeros(n) if returns is None else as_vector("expected_returns", returns, n)
        shift = 0.0 if self.budget is None else float(self.covariance.diagonal().mean()) or 1.0
        if self._spectrum is None:
            self._spectrum = Spectrum(self.covariance, shift)
        spectrum = self._spectrum
        earning = spectrum.null @ (spectrum.null.T @ r)
        if np.abs(earning).max() > _RESIDUAL * np.abs(r).max():
            raise earns_without_risk(earning, float(earning @ r))
        every, ones = np.arange(n), spectrum.solve(self._unit)
        x, multiplier, miss, most = np.zeros(n), 0.0, 0.0, 0.0
        # once, and again for the rounding of an ill-conditioned covariance
        for _ in range(3):
            wrong = r + multiplier - risk_aversion * self.covariance.dot(x)
            step = spectrum.solve(wrong) / risk_aversion
            most = max(most, float(np.abs(step).sum()))
            if self.budget is not None:
                miss = self.budget - float(x.sum())
                more = (miss - float(step.sum())) / float(ones.sum())
                step += more * ones
                multiplier += risk_aversion * (more - shift * miss)
            x = x + step
        g = self.gradient(x, returns, risk_aversion)
        if self.budget is not None:
            multiplier = self._level(g, every)
        scale = self.scale(x, g, multiplier, returns, risk_aversion)
        # what has no risk has no term of its own: the multiplier, read from all, has the largest's digits
        residual = _share(np.abs(g - multiplier), np.maximum(scale, 1e-3 * scale.max()))
        if self.budget is not None:
            # holdings near nothing are differences of what the returns ask for, and have its digits
            miss = abs(self.budget - float(x.sum())) - 4.0 * np.finfo(float).eps * n * most
            residual = max(residual, miss / (abs(self.budget) + float(np.abs(x).sum()) or 1.0))
        if not residual <= _RESIDUAL:
            raise NoConvergence(
                f"the answer's residual is {residual:.1e}: the covariance is too ill-conditioned"
            )
        return Portfolio(self, x, returns, risk_aversion, multiplier, residual)

    # -- bounds and costs --------------------------------------------------------------------------

    def _polyhedron(self, risk_aversion: float) -> tuple[Floats, Floats]:
        """Nodes and slopes of each asset, costs in units of λ."""
        n = len(self.covariance)
        low = self.lower if self.bounded else np.full(n, -np.inf)
        high = self.upper if self.bounded else np.full(n, np.inf)
        if self.cost is None or self.holdings is None or not self._priced:
            self._loose = np.flatnonzero(np.isinf(low) & np.isinf(high))
            if self.singular:
                budgeted = self.budget is not None
                self._loose, self._idle, self._riskless = independent(self.covariance, self._loose, budgeted)
            nodes = np.array([low, high])
            nodes[:, self._idle] = 0.0
            return nodes, np.array([np.full(n, -np.inf), np.zeros(n), np.full(n, np.inf)])
        price = self.cost / risk_aversion
        inside = np.clip(self.holdings, low, high)
        # a holding outside the bounds is traded to them at least: one slope is left inside
        left = np.where(self.holdings < low, price, -price)
        right = np.where(self.holdings > high, -price, price)
        self._paid = self._cheapest(inside, left, right, low, high)
        slopes = np.array([np.full(n, -np.inf), left - self._paid, right - self._paid, np.full(n, np.inf)])
        return np.array([low, inside, high]), slopes

    def _cheapest(self, x: Floats, left: Floats, right: Floats, low: Floats, high: Floats) -> float:
        """Return what the last unit costs of the cheapest trades from x to the budget.

        It is that part of the budget's multiplier which may be large; without it the slopes of what is traded
        have the digits of the rest.
        """
        missing = 0.0 if self.budget is None else self.budget - float(x.sum())
        if abs(missing) <= 4.0 * np.finfo(float).eps * len(x) * float(np.abs(x).sum()):
            return 0.0
        slope, room = (right, high - x) if missing > 0.0 else (-left, x - low)
        order = np.argsort(slope, kind="stable")
        last = order[min(int(np.searchsorted(np.cumsum(room[order]), abs(missing))), len(x) - 1)]
        return float(right[last] if missing > 0.0 else left[last])

    def _refuse_earnings(self, returns: Floats) -> None:
        """Refuse returns of which a direction without risk, and without bounds, earns any."""
        if len(self._idle):
            earned = self._riskless @ returns
            more = np.abs(earned) - _RESIDUAL * (np.abs(self._riskless) @ np.abs(returns))
            if (more > 0.0).any():
                raise earns_without_risk(self._riskless[more.argmax()], float(earned[more.argmax()]))

    def _active(self, returns: Floats | None, risk_aversion: float, start: Portfolio | None) -> Portfolio:
        c = np.zeros(len(self.covariance)) if returns is None else returns / risk_aversion
        try:
            work = self._settled(c, risk_aversion, start)
        except EarnsWithoutRisk as error:  # in units of λ
            raise earns_without_risk(error.direction, risk_aversion * error.earned) from None
        return self._certified(work, returns, risk_aversion)

    def _settled(self, c: Floats, risk_aversion: float, start: Portfolio | None) -> ActiveSet:
        """Return the active set at the optimum of the linear term c, costs in units of λ."""
        warm = self._warm and not self._priced
        # dear costs would take the digits of all else on the way: enough is a cost that nothing reaches
        for most in (_DEAR, _DEAR**2, math.inf):
            work = self._active_set(risk_aversion, c, most)
            self._refuse_earnings(c)
            if start is not None:
                warm = resume(work, start)
            self._warm = False
            if not warm and not work.guess(c, self._unbounded(c)):
                corner(work, c, self._loose)
                work.settle(c)
            elif warm:
                work.settle(c)
            self._warm = True
            if work.slopes is self._slopes or self._wrong(work, c, 1.0)[0] <= _RESIDUAL:
                break
        return work

    def _active_set(
        self, risk_aversion: float = 1.0, c: Floats | None = None, most: float = math.inf
    ) -> ActiveSet:
        """Return the active set kept from solve to solve; costs, in units of λ, make a new one."""
        if self._set is None or self._priced:
            nodes, self._slopes = self._polyhedron(risk_aversion)
            slopes = self._slopes
            if self._priced and c is not None:
                finite = np.where(np.isfinite(nodes), np.abs(nodes), 0.0)
                force = float(np.abs(c).max()) + float(self.covariance.diagonal().max()) * float(finite.max())
                if np.abs(slopes[1:-1]).max() > most * force > 0.0:
                    slopes = slopes.copy()
                    slopes[1:-1] = np.clip(slopes[1:-1], -most * force, most * force)
            self._set = ActiveSet(self.covariance, nodes, slopes, self.budget, self.singular)
        return self._set

    def _unbounded(self, c: Floats) -> Floats | None:
        """Solution without bounds, from the factor of the whole covariance."""
        if self.singular:
            return None
        x = self._against(c)
        if self.budget is not None:
            ones = self._of_ones()
            x = x + (self.budget - float(self._unit.dot(x))) / self._total * ones
        return x

    def _without_whims(self, found: Floats, returns: Floats | None) -> Floats:
        """Return a copy in which what has neither risk nor return, and no cost to trade, is not held."""
        x = found.copy()
        if self.budget is None and self.bounded and self.singular and not self._priced:
            idle = np.full(x.shape[-1], True) if returns is None else returns == 0.0
            none = np.clip(0.0, self.lower, self.upper)
            if not (idle.all() and not none.any()):
                idle &= self.covariance.diagonal() == 0.0
            x[..., idle] = none[idle]
        return x

    def _wrong(
        self, work: ActiveSet, returns: Floats | None, risk_aversion: float
    ) -> tuple[float, float, Floats]:
        """Return the residual, the budget's multiplier and the holdings of an active set."""
        x = self._without_whims(work.x, returns)
        g = self.gradient(x, returns, risk_aversion)
        free = work.free
        every = np.arange(len(x))
        at, at_node = work.at, np.ones(len(x), dtype=bool)
        at_node[free] = False
        if len(self._idle):
            at, at_node[self._idle] = at.copy(), False
            at[self._idle] = 1
        slope_right = risk_aversion * self._slopes[np.minimum(at + at_node, len(self._slopes) - 1), every]
        slope_left = risk_aversion * self._slopes[at, every]
        nu = 0.0
        if self.budget is not None and len(free):
            nu = self._level(g[free] + slope_left[free], free)
        m = g - nu
        wrong = np.maximum(np.maximum(-slope_right - m, m + slope_left), 0.0)
        scale = self.scale(x, g, nu, returns, risk_aversion, free)
        residual = _share(wrong, scale)
        low, high = work.nodes[0], work.nodes[-1]
        size = float(np.abs(x).max()) or 1.0
        # holdings near nothing are differences of what the terms ask for, and have its digits
        most = risk_aversion * float(self.covariance.diagonal().max())
        few = 4.0 * np.finfo(float).eps * len(x) * (float(np.abs(g).max()) + abs(nu)) / (most or math.inf)
        residual = max(residual, (float(np.maximum(low - x, x - high).max()) - few) / size)
        if self.budget is not None:
            miss = abs(float(x.sum()) - self.budget) - few
            residual = max(residual, miss / (abs(self.budget) + float(np.abs(x).sum()) or 1.0))
        return residual, nu + risk_aversion * self._paid, x

    def _certified(self, work: ActiveSet, returns: Floats | None, risk_aversion: float) -> Portfolio:
        residual, nu, x = self._wrong(work, returns, risk_aversion)
        if not residual <= _RESIDUAL:
            if refuse(self.covariance) and not self.singular:
                # which two small pivots in a row may hide
                self.singular, self._set = True, None
                return self._active(returns, risk_aversion, None)
            raise NoConvergence(
                f"the answer's residual is {residual:.1e}: the covariance is too ill-conditioned"
            )
        return Portfolio(self, x, returns, risk_aversion, nu, residual)


def _share(wrong: Floats, scale: Floats) -> float:
    """Largest of the violations over their scales; none where both are zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(wrong, scale, out=np.zeros(len(wrong)), where=wrong != 0.0).max())


def _price(name: str, value: ArrayLike, n: int) -> Floats:
    price = as_vector(name, value, n)
    if (price < 0.0).any():
        index = int(np.argmax(price < 0.0))
        raise InvalidArgument(argument=name, value=float(price[index]), allowed="numbers >= 0", index=index)
    return price


class _Once(MeanVariance):
    """A problem for one solve, over the caller's covariance: to copy it could take longer than to solve.

    Afterwards it lets go of it. The factor holds all that it takes to make it again: factoring leaves the
    triangle above the diagonal as it was.
    """

    _variances: Floats

    def _own(self, matrix: Floats) -> Floats:
        return matrix

    def let_go(self) -> None:
        """Keep the diagonal, and nothing that the caller can write to."""
        self._variances = self.covariance.diagonal().copy()
        del self.covariance

    def __getattr__(self, name: str) -> Any:
        if name != "covariance":
            raise AttributeError(name)
        half = np.triu(self._factor, 1)
        self.covariance = half + half.T + np.diag(self._variances)
        return self.covariance


def mean_variance(
    covariance: ArrayLike,
    expected_returns: ArrayLike | None = None,
    risk_aversion: float = 1.0,
    budget: float | None = 1.0,
    *,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    holdings: ArrayLike | None = None,
    cost: ArrayLike | None = None,
    power_cost: ArrayLike | None = None,
    constraints: Any = None,
    groups: Mapping[str, Any] | None = None,
    leverage: float | None = None,
    turnover: float | None = None,
    target_return: float | None = None,
    target_risk: float | None = None,
    repair: str | None = None,
    start: Portfolio | None = None,
) -> Portfolio:
    r"""Minimise ½·λ·xᵀΣx − rᵀx + Σκ|x − h| + Σπ|x − h|^(3/2) with 1ᵀx = budget, within limits.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Σ, symmetric and positive semidefinite.
    expected_returns : array_like, optional
        r; None for the minimum-variance portfolio.
    risk_aversion : float
        λ > 0; 1 is the classical form.
    budget : float or None
        Sum of the holdings; None leaves it free.
    lower, upper : array_like, optional
        Bounds of each holding (a scalar: of all); by default there are none.
    holdings, cost, power_cost : array_like, optional
        Holdings h now, and the costs κ|x − h| and π|x − h|^(3/2) of trading away from them.
    constraints : LinearConstraint, (A, low, high) or a list of them, optional
        low ≤ Ax ≤ high.
    groups : dict of str to (members, low, high), optional
        Limits of the sum over some assets; None: no limit on that side.
    leverage, turnover : float, optional
        Most of Σ|x| and of Σ|x − h|.
    target_return : float, optional
        In place of a risk aversion: the least variance with a return, after costs, of at least this.
    target_risk : float, optional
        In place of a risk aversion: the highest return, after costs, with at most this standard deviation.
    repair : {None, "clip"}
        What to do with negative eigenvalues: refuse them, or raise them to zero.
    start : Portfolio, optional
        A similar portfolio, from whose active set to start.

    Returns
    -------
    Portfolio

    Raises
    ------
    InvalidArgument
        An argument is not what it must be; the covariance is not positive semidefinite (its smallest
        eigenvalue is in the message); constraints exclude each other (which ones is in the message); a
        target is out of reach.
    MissingExtra
        General constraints without the extra ``qp`` (piqp).

    Examples
    --------
    >>> import numpy as np
    >>> (mean_variance(np.diag([1.0, 2.0, 4.0])).weights * 7).round(12)
    array([4., 2., 1.])
    >>> p = mean_variance(np.diag([1.0, 2.0, 4.0]), [0.0, 0.1, 0.2], risk_aversion=0.05, lower=0.0, upper=0.6)
    >>> p.weights.round(4), p.active
    (array([0. , 0.4, 0.6]), array([-1,  0,  1], dtype=int8))
    """
    problem = _Once(
        covariance,
        budget=budget,
        lower=lower,
        upper=upper,
        holdings=holdings,
        cost=cost,
        power_cost=power_cost,
        constraints=constraints,
        groups=groups,
        leverage=leverage,
        turnover=turnover,
        repair=repair,
    )
    found = problem.solve(
        expected_returns, risk_aversion, target_return=target_return, target_risk=target_risk, start=start
    )
    problem.let_go()
    return found


def target_inventories(
    covariance: ArrayLike,
    alphas: ArrayLike,
    risk_aversion: float,
    *,
    limits: ArrayLike | None = None,
    holdings: ArrayLike | None = None,
    cost: ArrayLike | None = None,
    repair: str | None = None,
) -> Portfolio:
    r"""Find a market maker's best inventories: no budget, only what is expected, risk, limits and costs.

    Maximises :math:`\alpha^T q - \tfrac12\gamma\,q^T\Sigma q - \sum\kappa|q - h|` with \|q\| ≤ limits.

    Parameters
    ----------
    covariance : array_like, shape (n, n)
        Of the changes of value of one unit of each holding, over the horizon of the alphas.
    alphas : array_like, shape (n,)
        Expected changes of value over it.
    risk_aversion : float
        γ, per unit of money.
    limits : array_like, optional
        Largest absolute holding of each.
    holdings, cost : array_like, optional
        Holdings now, and what a unit traded away from them costs.
    repair : {None, "clip"}
        As in :func:`mean_variance`.

    Returns
    -------
    Portfolio
        ``.lots(instruments, prices)`` rounds money to whole lots.

    Examples
    --------
    >>> target_inventories([[0.04, 0.01], [0.01, 0.09]], [0.002, 0.001], 1e-6, limits=40_000).weights.round(3)
    array([40000.   ,  6666.667])
    """
    bound = None
    if limits is not None:
        matrix = as_matrix(covariance)
        bound = as_vector("limits", limits, len(matrix), infinite=True)
        if (bound < 0.0).any():
            index = int(np.argmax(bound < 0.0))
            raise InvalidArgument(
                argument="limits", value=float(bound[index]), allowed="numbers >= 0", index=index
            )
    problem = MeanVariance(
        covariance,
        budget=None,
        lower=None if bound is None else -bound,
        upper=bound,
        holdings=holdings,
        cost=cost,
        repair=repair,
    )
    return problem.solve(as_vector("alphas", alphas, len(problem.covariance)), risk_aversion)
