r"""Replenishment: raise the state at a fixed cost and so much a unit, before a random fall.

.. math:: V_t(x) = \min_{y \ge x} K\,1_{y > x} + c\,(y - x) + L(y) + \alpha \sum_d p_d V_{t+1}(y - d).

As a table this model has a pair for each x <= y, while what follows depends on y alone: with W(y) = c y +
L(y) + alpha sum p_d V(y - d), the best y for every x is found in one pass from above,

.. math:: V_t(x) = \min\{W(x),\; K + \min_{y > x} W(y)\} - c\,x.

Nothing is supposed of L, nor that the policy is (s, S). One step is a correlation with the demand and one
minimum from the right: n m operations for n levels and m demands in place of n^2 m. What falls below the
lowest level counts as there.

The bounds are those of :mod:`mmcore.dp.backward`: with B >= alpha sum p, and eps what rounding does to a
step, the computed values err by e_t = eps + B e_{t+1}, e_T = 0. A step adds to the products of a row five
sums and products of numbers no larger than the costs and c times the highest level.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import finite
from ..errors import InvalidArgument, NoConvergence
from ..parameters import Parameter
from .certificate import Contraction, margins
from .checks import SUM_TOLERANCE, tolerance
from .solution import Solution

__all__ = ["replenishment"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 1 << 13  # falls that are summed at once: of more, BLAS shares each sum among threads, to no gain


def replenishment(
    cost: ArrayLike,
    probabilities: ArrayLike,
    horizon: int,
    *,
    order_cost: float = 0.0,
    purchase_cost: float = 0.0,
    terminal: ArrayLike | None = None,
    discount: float = 1.0,
    tol: float = 1e-8,
) -> Solution:
    """Find what to order in each period of a finite horizon, at least cost.

    Parameters
    ----------
    cost : array_like of float, shape (S,)
        Expected cost of a period that begins, after the order, at each level; the levels are neighbours,
        ascending.
    probabilities : array_like of float, shape (M,)
        Of a fall by 0, 1, … levels; sum 1. What would fall below the lowest level stays there.
    horizon : int
        Periods, >= 1.
    order_cost, purchase_cost : float
        K >= 0 for each order, c for each level it raises.
    terminal : array_like of float, shape (S,), optional
        Cost of each level at the end; 0 by default.
    discount : float
        Per period; may be 1 or more.
    tol : float
        What the error must stay below for ``stop_reason`` to be ``"tolerance"``; nothing else depends on it.

    Returns
    -------
    Solution
        `value`, `lower` and `upper` of shape (horizon + 1, S), the last row being `terminal`; `policy` of
        shape (horizon, S), the levels to raise. Of equal ones it is no order, else the smallest.

    Raises
    ------
    InvalidArgument
        Names the argument, the value and what is allowed.

    Examples
    --------
    Stock of 0 to 3, demand of 0 or 1; 1 to hold a unit, 4 to have none:

    >>> import mmcore as mm
    >>> solution = mm.dp.replenishment([4, 1, 2, 3], [0.5, 0.5], horizon=3, order_cost=1)
    >>> solution.policy
    array([[1, 0, 0, 0],
           [1, 0, 0, 0],
           [1, 0, 0, 0]])
    >>> solution.value[0].tolist()
    [5.0, 4.0, 5.0, 7.5]
    """
    began = time.perf_counter()
    tol = tolerance(tol)
    periods = int(Parameter("horizon", int, low=1).check(horizon))
    fixed = float(Parameter("order_cost", float, low=0.0).check(order_cost))
    price = float(Parameter("purchase_cost", float).check(purchase_cost))
    alpha = float(Parameter("discount", float, low=0.0).check(discount))
    period = finite("cost", cost, (np.size(cost),))
    fall = finite("probabilities", probabilities, (np.size(probabilities),))
    n = period.size
    if not n or not fall.size:
        raise InvalidArgument(
            argument="probabilities" if n else "cost", value=(), allowed="of one element at least"
        )
    if (fall < 0).any():
        at = int(np.argmax(fall < 0))
        raise InvalidArgument(argument="probabilities", value=float(fall[at]), index=at, allowed=">= 0")
    if abs(float(fall.sum()) - 1.0) > SUM_TOLERANCE:
        raise InvalidArgument(argument="probabilities", value=float(fall.sum()), allowed="of sum 1")
    value = np.zeros((periods + 1, n))
    if terminal is not None:
        value[periods] = finite("terminal", terminal, (n,))
    paid: Floats = price * np.arange(n, dtype=np.float64)
    period += paid
    least = int(np.flatnonzero(fall)[0])
    shocks = fall[least:]
    low = np.arange(n)

    def of_level(following: Floats) -> Floats:
        """W: what each level costs after the order, but for K."""
        long = np.concatenate([np.full(fall.size - 1, following[0]), following])
        expected = np.zeros(n)
        for k in range(0, shocks.size, BLOCK):
            part = shocks[k : k + BLOCK]
            start = shocks.size - k - part.size
            expected += np.convolve(long[start : start + n + part.size - 1], part, mode="valid")
        return np.asarray(period + alpha * expected)

    policy = np.zeros((periods, n), dtype=np.int64)
    total = float(fall.sum())
    largest = float(np.abs(period).max()) + 2.0 * abs(price) * n + fixed
    contraction = Contraction.of((total, total), (alpha, alpha), largest, shocks.size + 6)
    error = np.zeros(periods + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for t in range(periods - 1, -1, -1):
            whole = of_level(value[t + 1])
            best, target = _from_above(whole)
            order = np.flatnonzero(best + fixed < whole[:-1])
            policy[t, order] = target[order] - low[order]
            value[t] = whole
            value[t, order] = best[order] + fixed
            value[t] -= paid
            rounding = contraction.rounding(float(np.abs(value[t + 1]).max()))
            error[t] = (rounding + contraction.high * error[t + 1]) * (1 + 1e-12)
    if not np.isfinite(value).all():
        raise NoConvergence("values left the range of floating point: costs, or the discount, are too large")
    margin = margins(value, error)
    lower, upper = value - margin, value + margin
    return Solution(
        value=value,
        policy=policy,
        lower=lower,
        upper=upper,
        gap=float((upper - lower).max()),
        iterations=periods,
        residual=0.0,
        alive=_alive(value, error, of_level, fixed, paid),
        stop_reason="tolerance" if margin.max() <= tol else "rounding",
        elapsed=time.perf_counter() - began,
        method="replenishment",
        why="what follows depends on the level after the order alone: one minimum from above for all states",
    )


def _from_above(whole: Floats) -> tuple[Floats, Ints]:
    """Least W of the levels above each, and the lowest level that has it."""
    least = np.minimum.accumulate(whole[::-1])[::-1]
    record = np.where(whole == least, np.arange(whole.size), whole.size)
    return least[1:], np.minimum.accumulate(record[::-1])[::-1][1:]


def _alive(
    value: Floats, error: Floats, of_level: Callable[[Floats], Floats], fixed: float, paid: Floats
) -> Callable[[], tuple[int, bool]]:
    """Count the pairs of level and order that the bounds leave open, when it is asked for."""

    def count() -> tuple[int, bool]:
        living = 0
        for t in range(len(value) - 1):
            whole = of_level(value[t + 1])
            # the best stays within 2 e of what is found, each computed cost within e of its own
            open_to = value[t] + paid + 4.0 * error[t]
            living += int(np.count_nonzero(whole <= open_to))
            for x in range(whole.size - 1):
                living += int(np.count_nonzero(whole[x + 1 :] + fixed <= open_to[x]))
        return living, living == value[1:].size

    return count
