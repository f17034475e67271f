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

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotrs

from ..errors import InvalidArgument, NoConvergence

__all__ = ["ActiveSet"]

Floats = NDArray[np.float64]

_PIVOT = 1e-11
"""A pivot below this share of its diagonal entry is a linear dependence."""


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
    shift : float
        Multiple of 11' to add to the covariance; 0 without a budget.
    """

    def __init__(
        self, covariance: Floats, nodes: Floats, slopes: Floats, budget: float | None, shift: float = 0.0
    ) -> None:
        n = len(covariance)
        self.covariance, self.nodes, self.slopes = covariance, nodes, slopes
        self.budget, self.shift = budget, shift
        self.at = np.zeros(n, dtype=np.intp)  # node, or the segment between nodes at - 1 and at
        self.free = np.empty(0, dtype=np.intp)
        self.x = np.zeros(n)
        self.ray = np.zeros(n)  # slope of the solution where the last path ended
        self.steps = 0
        self._rows = np.empty((min(n, 64), n))  # covariance rows of the free assets, in their order

    # -- where it stands ---------------------------------------------------------------------------

    def place(self, x: Floats, at: NDArray[np.intp], free: NDArray[np.intp]) -> None:
        """Stand at a feasible x: the free assets inside segment ``at``, the others at node ``at``."""
        self.x, self.at = x, at
        self.free = free[:0]
        for j in free:
            self._enter(int(j))

    def _enter(self, j: int) -> None:
        k = len(self.free)
        if k == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty((max(k, 16), len(self.x)))])
        np.add(self.covariance[j], self.shift, out=self._rows[k])
        self.free = np.append(self.free, j)

    def _leave(self, i: int) -> None:
        last = len(self.free) - 1
        self.free[i] = self.free[last]
        self._rows[i] = self._rows[last]
        self.free = self.free[:last]

    def _factor(self) -> tuple[Any, bool]:
        """Cholesky factor of the free block, and whether the last asset depends on the others."""
        block = self._rows[: len(self.free)][:, self.free]
        factor, info = dpotrf(block.T, lower=1, clean=0, overwrite_a=1)
        if info > 0:
            return factor, True
        last = factor[-1, -1]
        return factor, bool(last * last <= _PIVOT * block[-1, -1])

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
        self.follow(start, c - start, 0.0, 1.0)
        # once more at the end, where nothing is left of the terms that it began with
        if len(self.free):
            factor, dependent = self._factor()
            if not dependent:
                self.x[self.free] = self.lines(c, np.zeros(len(c)), factor)[0][0]

    def guess(self, c: Floats, rounds: int = 12) -> bool:
        """Exchange all offenders at once until none is left (block pivoting); say whether that happened.

        It seldom fails and is then of no use: :meth:`settle` does not depend on it.
        """
        n = len(self.x)
        if len(self.nodes) != 2:
            return False
        low, high = self.nodes
        state = np.zeros(n, dtype=np.int8)  # -1 at the lower node, 1 at the upper, 0 free
        zero = np.zeros(n)
        fewest, patience = n + 1, 3
        for _ in range(rounds):
            at = np.where(state < 0, 0, 1).astype(np.intp)
            x = np.where(state < 0, low, np.where(state > 0, high, 0.0))
            free = np.flatnonzero(state == 0)
            if not len(free) and self.budget is not None:
                return False
            self.x, self.at, self.free = x, at, free
            self._rows = self.covariance[free] + self.shift if self.shift else self.covariance[free]
            factor, dependent = self._factor() if len(free) else (None, False)
            if dependent:
                return False
            line, m = self.lines(c, zero, factor)
            x[free] = line[0]
            below, above = x < low, x > high
            back = ((state < 0) & (m[0] < 0.0)) | ((state > 0) & (m[0] > 0.0))
            wrong = int(below.sum() + above.sum() + back.sum())
            if not wrong:
                return True
            if wrong >= fewest:
                patience -= 1
                if not patience:
                    return False
            fewest = min(fewest, wrong)
            state[below], state[above], state[back] = -1, 1, 0
        return False

    # -- the path ----------------------------------------------------------------------------------

    def lines(self, c0: Floats, c1: Floats, factor: Any) -> tuple[Floats, Floats]:
        """Solution on the free assets and multipliers of all, each as value and slope in theta."""
        free, k = self.free, len(self.free)
        fixed = self.x.copy()
        fixed[free] = 0.0
        used = np.flatnonzero(fixed)
        n = len(fixed)
        pull = np.zeros((2, n))  # c - Sigma x of the fixed, value and slope
        pull[0], pull[1] = c0, c1
        if used.size:
            if 4 * used.size < n:
                pull[0] -= fixed[used] @ self.covariance[used]
            else:
                pull[0] -= self.covariance @ fixed
            if self.shift:
                pull[0] -= self.shift * fixed.sum()
        if self.budget is not None and k:
            pull[1] -= pull[1, free[0]]  # equal terms then give exact zeros; the budget makes it a constant
        right = np.ones((3, k))
        right[:2] = pull[:, free]
        right[0] -= self.slopes[self.at[free], free]
        if self.budget is None:
            line = dpotrs(factor, right[:2].T, lower=1)[0].T if k else right[:2]
            nu = np.zeros(2)
        else:
            solved = dpotrs(factor, right.T, lower=1)[0].T
            total = solved.sum(axis=1)
            left = np.array([self.budget - fixed.sum(), 0.0])
            nu = (left - total[:2]) / total[2]
            # the budget alone settles a single free asset: without a slope made of rounding
            line = solved[:2] + nu[:, None] * solved[2] if k > 1 else left[:, None]
            miss = (left - line.sum(axis=1)) / total[2]  # by the rounding of an ill-conditioned block
            line = line + miss[:, None] * solved[2]
            nu = nu + miss
        multipliers = line @ self._rows[:k] - pull - nu[:, None]
        return line, multipliers

    def follow(
        self,
        c0: Floats,
        c1: Floats,
        start: float,
        end: float,
        visit: Any = None,
    ) -> float:
        """Follow the solution from theta = start to end; return where it stopped.

        ``visit(theta, x)`` is called at each turning point; a true answer stops the path there. The solution
        at the last theta is in :attr:`x`. An infinite ``end`` is reached when nothing changes any more.
        """
        theta = start
        factor, _ = self._factor() if len(self.free) else (None, False)
        limit = self.steps + 50 * len(self.x) + 1000
        every = np.arange(len(self.x))
        while True:
            line, m = self.lines(c0, c1, factor)
            free = self.free
            value, slope = line
            # free assets that reach a node
            seat = self.at[free]
            with np.errstate(divide="ignore", invalid="ignore"):
                goal = np.where(slope < 0.0, self.nodes[seat - 1, free], self.nodes[seat, free])
                when = np.where(slope != 0.0, (goal - value) / slope, np.inf)
                # multipliers that leave the interval of their node
                edge = -np.where(m[1] < 0.0, self.slopes[self.at + 1, every], self.slopes[self.at, every])
                turn = np.where(m[1] != 0.0, (edge - m[0]) / m[1], np.inf)
            turn[free] = np.inf
            i = int(np.argmin(when)) if len(when) else -1
            j = int(np.argmin(turn))
            next_leave = max(float(when[i]), theta) if i >= 0 else np.inf
            next_enter = max(float(turn[j]), theta)
            stop = min(next_leave, next_enter)
            if stop >= end or stop == np.inf:
                self.x[free] = value + (end if np.isfinite(end) else theta) * slope
                self.ray = np.zeros(len(self.x))
                self.ray[free] = slope
                return end
            theta = stop
            self.x[free] = value + theta * slope
            self.steps += 1
            if self.steps > limit:
                raise NoConvergence(f"the active set has not settled after {self.steps} steps")
            if next_leave <= next_enter:
                up = slope[i] > 0.0
                asset = int(free[i])
                if not up:
                    self.at[asset] -= 1
                self.x[asset] = self.nodes[self.at[asset], asset]
                self._leave(i)
                factor, _ = self._factor() if len(self.free) else (None, False)
            else:
                up = bool(m[1, j] < 0.0)  # the multiplier falls: more of it is wanted
                factor = self._take_in(j, up)
            if visit is not None and visit(theta, self.x):
                return theta

    def _take_in(self, j: int, up: bool) -> Any:
        """Free asset j from its node, upwards or downwards, exchanging it where the block is singular."""
        while True:
            node = self.at[j]
            self.at[j] = node + 1 if up else node
            self._enter(j)
            factor, dependent = self._factor()
            if not dependent:
                return factor
            self._leave(len(self.free) - 1)
            # the null direction: one unit of j, financed by the free assets
            free, k = self.free, len(self.free)
            block, _ = self._factor() if k else (None, False)
            direction = np.zeros(len(self.x))
            if k:
                right = np.ones((2, k))
                right[0] = -self.shift - self.covariance[j, free]
                solved = dpotrs(block, right.T, lower=1)[0].T
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
                raise InvalidArgument(
                    "the covariance has a direction without risk and nothing bounds the holdings along it",
                    argument="covariance",
                )
            self.x[movers] += max(float(length[first]), 0.0) * direction[movers]
            out = int(movers[first])
            if direction[out] < 0.0:
                self.at[out] -= 1
            self.x[out] = self.nodes[self.at[out], out]
            if out == j:
                # it crossed a whole segment without risk: its next one may cost more
                return block
            self._leave(first)
            # j is free now; the block without the one that left may be regular, or j in it again dependent
            self._enter(j)
            factor, dependent = self._factor()
            if not dependent:
                return factor
            raise NoConvergence("the covariance is singular to rounding: repair it")
