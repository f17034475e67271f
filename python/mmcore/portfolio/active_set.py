r"""The parametric active set: one convex quadratic program followed along a line of linear terms.

**Problem.** For a covariance :math:`\Sigma` and linear terms :math:`c(\theta) = c_0 + \theta c_1`,

.. math:: \min_x \tfrac12 x^T\Sigma x - c(\theta)^T x + \sum_j \phi_j(x_j)
          \quad\text{s.t.}\quad 1^T x = b \text{ (or no budget)},

where :math:`\phi_j` is convex and piecewise linear, infinite outside the bounds: nodes
:math:`n_0 < n_1 < \dots` and slopes between them. A bound is an outer node, the cost of trading away from a
holding is a node in the middle: one concept for both.

**Optimality.** With :math:`m = \Sigma x - c - \nu 1`, an asset inside a segment of slope s has m = -s; one at
a node has -m between the slopes on its two sides. For a given partition the solution and the multipliers are
straight lines in :math:`\theta`, so the whole path is a chain of partitions, each left at the first
:math:`\theta` where a free asset reaches a node or a multiplier leaves its interval. Along :math:`c_1 = r`
that is Markowitz's critical line method; along :math:`c_1` = new less old it is a warm start; and from any
feasible point, made optimal by a linear term of its own, it is a cold start.

**Singular covariance.** Where the entering asset makes the free block singular, the null direction d costs
neither variance nor (at that :math:`\theta`) return: the solution moves along it until something else reaches
a node, which leaves in exchange. The free block therefore always has a Cholesky factor. With a budget, a
multiple of :math:`11^T` may be added to :math:`\Sigma`: it adds a constant to the objective.

Source: Markowitz and Todd, *Mean-Variance Analysis in Portfolio Choice and Capital Markets* (2000), for the
critical line; Best, *An algorithm for the solution of the parametric quadratic programming problem* (1996),
for homotopy in the linear term.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import daxpy, ddot
from scipy.linalg.lapack import dposv, dpotrf

from ..errors import NoConvergence
from .covariances import earns_without_risk

__all__ = ["ActiveSet"]

Floats = NDArray[np.float64]

PIVOT = 1e-10
"""In a singular covariance a pivot below this share of its diagonal entry is a linear dependence."""

_NOTHING = 1e-9
"""Share of its terms below which a direction without risk earns nothing but rounding."""

_STILL = 1e-14
"""Share of its terms below which a gradient, or its slope, is rounding, where the covariance is singular."""

_DEPENDENT = "the covariance is singular to rounding: repair it"

_C0, _C1, _ONES, _PULL, _HEAD = range(5)
"""Rows above those of the free assets: the linear terms, ones, the pull of what is held at nodes."""


class ActiveSet:
    """A partition of the assets into free ones and ones at a node, and the path from it.

    Parameters
    ----------
    covariance : ndarray
        Symmetric, positive semidefinite; the caller has checked it.
    nodes : ndarray, shape (p, n)
        Nodes of each asset, ascending; the outer ones may be infinite.
    slopes : ndarray, shape (p + 1, n)
        Slopes below, between and above them, ascending; the outer ones infinite.
    budget : float or None
        The sum of the holdings; None: free.
    singular : bool
        Whether the covariance is singular, or nearly.
    """

    def __init__(
        self,
        covariance: Floats,
        nodes: Floats,
        slopes: Floats,
        budget: float | None,
        singular: bool = False,
    ) -> None:
        n = len(covariance)
        self.covariance, self.nodes, self.slopes = covariance, nodes, slopes
        self.budget, self.singular = budget, singular
        self._least = PIVOT if singular else 0.0
        # a multiple of 11' that makes it regular where the budget does
        lifts = singular and budget is not None
        self.shift = (float(covariance.diagonal().mean()) or 1.0) if lifts else 0.0
        self.at = np.zeros(n, dtype=np.intp)  # node, or the segment between nodes at - 1 and at
        self.free = np.empty(0, dtype=np.intp)
        self.x = np.zeros(n)
        self.ray = np.zeros(n)  # slope of the solution where the last path ended
        self._fixed = 0.0  # sum of what is held at nodes
        self._held = False  # whether anything is
        self._stale = True
        self.steps = 0
        self._order = np.empty(n, dtype=np.intp)
        self._resting: list[int] = []  # at nodes that they do not leave again on this path
        self._sloped = bool(slopes[1:-1].any())
        # Value and slope in theta of all that moves: the solution for free assets, in their order, behind
        # the factors of the rows above them; from column n on the multipliers, which are one product of the
        # columns before them and the rows. Marks are where each stops as it falls and as it rises.
        self._rows = np.zeros((_HEAD + n, n))
        self._rows[_ONES] = 1.0
        self._lines = np.zeros((2, _HEAD + 2 * n))
        self._lines[0, _C0] = self._lines[1, _C1] = -1.0
        self._lines[0, _PULL] = 1.0
        self._marks = np.empty((2, _HEAD + 2 * n))

    # -- where it stands ---------------------------------------------------------------------------

    def place(self, x: Floats, at: NDArray[np.intp], free: NDArray[np.intp]) -> None:
        """Stand at a feasible x: the free assets inside segment ``at``, the others at node ``at``."""
        self.x, self.at = x, at
        self.free = self._order[:0]
        self._stale = True
        for j in free:
            self._enter(int(j))

    def _enter(self, j: int) -> None:
        k = len(self.free)
        if self.shift:
            np.add(self.covariance[j], self.shift, out=self._rows[_HEAD + k])
        else:
            self._rows[_HEAD + k] = self.covariance[j]
        self._order[k] = j
        self.free = self._order[: k + 1]
        self._stale = self._stale or self.x[j] != 0.0

    def _leave(self, i: int) -> None:
        self._stale = self._stale or self.x[self.free[i]] != 0.0
        last = len(self.free) - 1
        if i < last:
            self.free[i] = self.free[last]
            self._rows[_HEAD + i] = self._rows[_HEAD + last]
        self.free = self._order[:last]

    def _hold(self) -> None:
        """Take stock of what is held at nodes; done when one with a holding has come or gone."""
        fixed = self.x.copy()
        fixed[self.free] = 0.0
        used = np.flatnonzero(fixed)
        self._stale, self._held, self._fixed = False, bool(used.size), 0.0
        pull = self._rows[_PULL]
        if not used.size:
            pull[:] = 0.0
            return
        pull[:] = self._drawn(fixed)
        self._fixed = float(fixed.sum())
        if self.shift:
            pull += self.shift * self._fixed

    def _drawn(self, x: Floats) -> Floats:
        """Return Σx, from the rows of what is held where that is little."""
        used = np.flatnonzero(x)
        if 8 * used.size < len(x):
            return np.asarray(x[used] @ self.covariance[used])
        return np.asarray(self.covariance.dot(x))

    def regular(self) -> bool:
        """Say whether no free asset depends on those before it."""
        if not self._least or not len(self.free):
            return True
        block = self._rows[_HEAD : _HEAD + len(self.free)].take(self.free, axis=1, mode="clip")
        least = self._least * block.diagonal()
        factor, info = dpotrf(block.T, 1, 0)
        return not info and bool((factor.diagonal() ** 2 > least).all())

    def _solve(self) -> float:
        """Solve for the lines of the free assets; return how independent the last is of the others, 0 to 1.

        That is not looked into where the covariance is regular.
        """
        if self._stale:
            self._hold()
        free = self.free
        k = len(free)
        nu = tilt = 0.0
        independent = 1.0
        if k:
            both = self._rows[: _HEAD + k].take(free, axis=1, mode="clip")
            if self._held:
                both[_C0] -= both[_PULL]
            if self._sloped:
                both[_C0] -= self.slopes[self.at[free], free]
            budgeted = self.budget is not None
            if budgeted:
                # equal terms then give exact zeros; the budget makes what is taken off a constant
                shared = float(both[_C1, 0])
                both[_C1] -= shared
            alone = self._least and float(both[-1, -1])  # read before the factor takes its place
            factor, solved, info = dposv(both[_HEAD:].T, both[: _ONES + budgeted].T, 1, 1, 1)
            if info:
                return 0.0
            if alone:
                independent = float(factor[-1, -1]) ** 2 / alone
            line = solved.T
            if budgeted:
                nu, tilt = self._balance(*line)
                tilt -= shared
            self._lines[:, _HEAD : _HEAD + k] = line[:_ONES]
        self._lines[0, _ONES], self._lines[1, _ONES] = -nu, -tilt
        return independent

    def settle(self, c: Floats) -> None:
        """From a feasible x and its partition to the optimum of the linear term c.

        Where a multiplier is out of its interval, a linear term of its own puts it inside; then that term
        goes to c.
        """
        start = self.covariance @ self.x
        at_node = np.ones(len(self.x), dtype=bool)
        at_node[self.free] = False
        every = np.arange(len(self.x))
        m = start - c
        nu = 0.0
        if self.budget is not None and len(self.free):
            nu = float((m[self.free] + self.slopes[self.at[self.free], self.free]).mean())
        m -= nu
        last = len(self.slopes) - 1
        low = -self.slopes[np.minimum(self.at + at_node, last), every]
        high = -self.slopes[self.at, every]
        # by unequal amounts inside, so that no two of them come out at once
        inside = (1.0 + np.modf(every * 0.6180339887498949)[0]) * (np.abs(m).max() or 1.0)
        inside = np.where(at_node, np.minimum(inside, 0.25 * (high - low)), 0.0)
        start -= np.clip(m, low + inside, high - inside) + nu
        self.follow(np.array([start, c - start]), 0.0, 1.0)
        # once more at the end, where nothing is left of the terms that it began with
        if len(self.free):
            self._land(c)

    def guess(self, c: Floats, first: Floats | None, rounds: int = 12) -> bool:
        """Exchange all offenders at once until none is left (block pivoting); say whether that happened.

        ``first`` is the solution without bounds, where it is known. It seldom fails and is then of no use:
        :meth:`settle` does not depend on it.
        """
        n = len(self.x)
        if len(self.nodes) != 2:
            return False
        low, high = self.nodes
        state = np.zeros(n, dtype=np.int8)  # -1 at the lower node, 1 at the upper, 0 free
        if first is not None:
            state[first < low], state[first > high] = -1, 1
        fewest, patience = n + 1, 3
        for _ in range(rounds):
            x = np.where(state < 0, low, np.where(state > 0, high, 0.0))
            free = np.flatnonzero(state == 0)
            if not len(free):
                if self.budget is not None:
                    return False
                m = self.covariance.dot(x) - c
            else:
                block = self.covariance.take(free, axis=0).take(free, axis=1, mode="clip")
                if self.shift:
                    block += self.shift
                pull = self._drawn(x)
                right = np.array([c[free] - pull[free] - self.shift * x.sum(), np.ones(len(free))])
                _, solved, info = dposv(block.T, right.T, 1)
                if info:
                    return False
                value, unit = solved.T
                if self.budget is not None:
                    value += (self.budget - x.sum() - value.sum()) / unit.sum() * unit
                x[free] = value
                m = self._drawn(x) - c
                if self.budget is not None:
                    m -= m[free].mean()
            inside = state == 0
            below, above = inside & (x < low), inside & (x > high)
            back = ((state < 0) & (m < 0.0)) | ((state > 0) & (m > 0.0))
            wrong = int(below.sum() + above.sum() + back.sum())
            if not wrong:
                return self._found(state, free, c)
            if wrong >= fewest:
                patience -= 1
                if not patience:
                    return False
            fewest = min(fewest, wrong)
            state[below], state[above], state[back] = -1, 1, 0
        return False

    def _found(self, state: NDArray[np.int8], free: NDArray[np.intp], c: Floats) -> bool:
        """Stand at the optimum of c with these assets free; say whether their block is regular."""
        self.x = np.where(state < 0, self.nodes[0], np.where(state > 0, self.nodes[1], 0.0))
        self.at = np.where(state < 0, 0, 1).astype(np.intp)
        self._seat(free)
        return self.regular() and self._land(c)

    def _land(self, c: Floats) -> bool:
        """Put the free assets where the linear term c has them; say whether they are independent."""
        self._rows[_C0], self._rows[_C1] = c, 0.0
        if self._solve() <= self._least:
            return False
        self.x[self.free] = self._lines[0, _HEAD : _HEAD + len(self.free)]
        return True

    # -- the path ----------------------------------------------------------------------------------

    def _seat(self, free: NDArray[np.intp]) -> None:
        """Make these assets the free ones, all at once."""
        k = len(free)
        rows = self._rows[_HEAD : _HEAD + k]
        self.covariance.take(free, axis=0, out=rows, mode="clip")
        if self.shift:
            rows += self.shift
        self._order[:k] = free
        self.free, self._stale = self._order[:k], True

    def _balance(self, value: Floats, slope: Floats, unit: Floats) -> tuple[float, float]:
        """Add what meets the budget to the solutions without it; return its multiplier's value and slope."""
        k = len(value)
        left = self.budget - self._fixed  # type: ignore[operator]
        if k == 1:
            # the budget alone settles a single free asset: without a slope made of rounding
            nu = (left - float(value[0])) / float(unit[0])
            value[0], slope[0] = left, 0.0
            return nu, 0.0
        ones = self._rows[_ONES, :k]
        total = ddot(ones, unit)
        nu = tilt = 0.0
        # once more for the rounding of an ill-conditioned block
        for _ in range(2):
            more = (left - ddot(ones, value)) / total
            less = -ddot(ones, slope) / total
            daxpy(unit, value, a=more)
            daxpy(unit, slope, a=less)
            nu, tilt = nu + more, tilt + less
        return nu, tilt

    def _mark(self) -> None:
        """Mark the nodes of free assets, and the edges of the multipliers of the others."""
        free, nodes, slopes, n = self.free, self.nodes, self.slopes, len(self.x)
        k, every = _HEAD + len(free), np.arange(n)
        low, high = self._marks
        low[:], high[:] = -np.inf, np.inf
        low[_HEAD:k], high[_HEAD:k] = nodes[self.at[free] - 1, free], nodes[self.at[free], free]
        low[_HEAD + n :] = -slopes[np.minimum(self.at + 1, len(slopes) - 1), every]
        high[_HEAD + n :] = -slopes[self.at, every]
        for still in (free, self._resting):
            low[_HEAD + n :][still], high[_HEAD + n :][still] = -np.inf, np.inf

    def follow(
        self,
        c: Floats,
        start: float,
        end: float,
        visit: Callable[[float, Floats], None] | None = None,
    ) -> None:
        """Follow the solution for c[0] + theta c[1] from theta = start to end.

        ``visit(theta, x)`` is called at each turning point. The solution at the last theta is in :attr:`x`.
        An infinite ``end`` is reached when nothing changes any more.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self._follow(c, start, end, visit)

    def _follow(
        self, c: Floats, theta: float, end: float, visit: Callable[[float, Floats], None] | None
    ) -> None:
        rows, lines, marks, x, at = self._rows, self._lines, self._marks, self.x, self.at
        rows[: _C1 + 1] = c
        self._resting = []
        others = _HEAD + len(x)
        multipliers = lines[:, others:]
        (value, slope), (low, high) = lines, marks
        when, if_rising = np.empty_like(marks)
        if not self._solve():
            raise NoConvergence(_DEPENDENT)
        self._mark()
        largest, most = float(np.abs(c[1]).max()), float(self.covariance.diagonal().max()) + self.shift
        limit = self.steps + 50 * len(x) + 1000
        while True:
            free = self.free
            k = _HEAD + len(free)
            multipliers[:] = np.dot(lines[:, :k], rows[:k])
            if self._least:  # what depends on the free assets moves by rounding alone
                terms = largest + abs(lines[1, _ONES]) + most * np.abs(slope[_HEAD:k]).max(initial=0.0)
                slope[others:][np.abs(slope[others:]) <= _STILL * terms] = 0.0
            # what falls gets to its upper mark in the past: the later of both is the one that counts
            np.subtract(low, value, when)
            np.divide(when, slope, when)
            np.subtract(high, value, if_rising)
            np.divide(if_rising, slope, if_rising)
            np.maximum(when, if_rising, out=when)
            # of several at once a free asset comes first: the free block stays as regular as it can
            first = int(when.argmin())
            if slope[first] == 0.0:
                when[slope == 0.0] = np.inf
                first = int(when.argmin())
            stop = float(when[first])
            if stop < theta:
                stop = theta
                if len(free) and when[_HEAD:k].min() <= theta:
                    first = _HEAD + int(when[_HEAD:k].argmin())
            if stop >= end:
                x[free] = value[_HEAD:k] + (end if np.isfinite(end) else theta) * slope[_HEAD:k]
                self.ray = np.zeros(len(x))
                self.ray[free] = slope[_HEAD:k]
                return
            theta = stop
            if len(free):
                x[free] = daxpy(slope[_HEAD:k], value[_HEAD:k], a=theta)
            self.steps += 1
            if self.steps > limit:
                raise NoConvergence(f"the active set has not settled after {self.steps} steps")
            falls = bool(slope[first] < 0.0)
            if first < others:
                j = int(free[first - _HEAD])
                if falls:
                    at[j] -= 1
                x[j] = self.nodes[at[j], j]
                self._leave(first - _HEAD)
                if not self._solve():
                    raise NoConvergence(_DEPENDENT)
                marks[:, first] = marks[:, k - 1]
                low[k - 1], high[k - 1] = -np.inf, np.inf
                low[others + j], high[others + j] = -self.slopes[at[j] + 1, j], -self.slopes[at[j], j]
            else:
                j = first - others
                self._take_in(j, falls, c, end - theta)  # the multiplier falls: more of it is wanted
                if len(self.free) > len(free):
                    low[k], high[k] = self.nodes[at[j] - 1, j], self.nodes[at[j], j]
                    low[first], high[first] = -np.inf, np.inf
                else:
                    self._mark()
            if visit is not None:
                visit(theta, x)

    def _take_in(self, j: int, up: bool, c: Floats, ahead: float) -> None:
        """Free asset j from its node, upwards or downwards, exchanging it where the block is singular.

        A direction without risk that nothing bounds is judged by the linear terms, of which so much of theta
        is ahead: one that earns has no end, one that does not is not taken.
        """
        node = self.at[j]
        self.at[j] = node + 1 if up else node
        self._enter(j)
        if self._solve() > self._least:
            return
        self._leave(len(self.free) - 1)
        # the null direction: one unit of j, financed by the free assets
        free, k = self.free, len(self.free)
        direction = np.zeros(len(self.x))
        if k:
            right = np.ones((2, k))
            right[0] = -self.shift - self.covariance[j, free]
            block = self._rows[_HEAD : _HEAD + k].take(free, axis=1, mode="clip")
            solved = dposv(block.T, right.T, 1)[1].T
            direction[free] = solved[0]
            if self.budget is not None:
                direction[free] -= (solved[0].sum() + 1.0) / solved[1].sum() * solved[1]
        direction[j] = 1.0
        if not up:
            direction = -direction
        movers = np.append(free, j)
        with np.errstate(divide="ignore", invalid="ignore"):
            goal = np.where(
                direction[movers] < 0.0,
                self.nodes[self.at[movers] - 1, movers],
                self.nodes[self.at[movers], movers],
            )
            length = np.where(
                np.abs(direction[movers]) > 1e-12, (goal - self.x[movers]) / direction[movers], np.inf
            )
        first = int(np.argmin(length))
        if not np.isfinite(length[first]):
            gains, terms = c[1], _NOTHING * np.abs(c[1])
            if np.isfinite(ahead):  # the terms that are left behind, too, and what is drawn have lost digits
                most = float(self.covariance.diagonal().max()) + self.shift
                gains, drawn = gains * ahead, most * float(np.abs(self.x).max())
                terms = terms * ahead + _NOTHING * np.abs(c[0]) + _STILL * drawn
            earned = float(direction @ gains)
            if earned > np.abs(direction) @ terms:
                raise earns_without_risk(direction, earned)
            self.at[j] = node
            self._resting.append(j)
            self._solve()
            return
        self.x[movers] += max(float(length[first]), 0.0) * direction[movers]
        self._stale = True
        out = int(movers[first])
        if direction[out] < 0.0:
            self.at[out] -= 1
        self.x[out] = self.nodes[self.at[out], out]
        if out != j:
            self._leave(first)
            self._enter(j)
        # where j crossed a whole segment without risk the block is as it was, and its next one may cost more;
        # else the block without the one that left may be regular, or j in it again dependent
        if self._solve() <= (self._least if out != j else 0.0):
            raise NoConvergence(_DEPENDENT)
