r"""(s, S) of each period, over a finite horizon.

The dynamic program is that of :func:`mmcore.dp.replenishment`,

.. math:: V_t(x) = \min_{y \ge x} K 1_{y > x} + c(y - x) + L(y) + \alpha\,E V_{t+1}(y - D),

with L(y) the newsvendor's cost. Scarf (1960): the value is K-convex and the best policy of each period (s,
S). So below the lowest s the value is a straight line, of slope -g with :math:`g_t = \min(c, p + \alpha
g_{t+1})`, and V + g x is constant there: all that falls below the lowest level counts as there, however
heavy the tail of demand. Levels are added until every period orders at the lowest, and until the highest
costs K more than the best, beyond which a K-convex function has no better one.

Source: Scarf, in *Mathematical Methods in the Social Sciences* (1960), 196-202; Snyder and Shen (2019),
section 4.4.3.

Examples
--------
>>> p = finite_horizon(5, 1, 20, 50, Demand.normal(100, 20), purchase_cost=2,
...                    terminal_holding_cost=1, terminal_stockout_cost=20)
>>> p.s, p.S
(array([110, 110, 110, 110, 111]), array([133, 133, 133, 133, 126]))
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..arrays import number
from ..errors import CapacityError, InvalidArgument
from ..parameters import Parameter
from .demand import LARGEST, Demand
from .reorder_up_to import one_period
from .single_period import fractile

__all__ = ["FiniteHorizon", "finite_horizon"]

Floats = NDArray[np.float64]

CELLS = 1 << 26  # values of all periods
EPSILON = float(np.finfo(np.float64).eps)


class FiniteHorizon(NamedTuple):
    """What :func:`finite_horizon` finds.

    Attributes
    ----------
    s : ndarray of int, shape (periods,)
        Order when the inventory at the start of the period is at most this. Below all ``levels``, as is S,
        where no level orders.
    S : ndarray of int, shape (periods,)
        Order up to this.
    cost : float
        Expected cost from an empty inventory at the start.
    levels : ndarray of int, shape (L,)
        Inventory levels of ``values``, neighbours: 0, all of s and S are among them, or none orders.
    values : ndarray of float, shape (periods + 1, L)
        Expected cost from each period (row; the last is the end) and level.
    error : float
        Bound of what rounding can have done to a value, from the dynamic program's certificate. What a
        demand that is counted differs from a continuous one by is no part of it, nor is ``cut``.
    cut : float
        Probability of the demands that ``deviations`` leaves out as too far from the mean; 0 without it.
    """

    s: NDArray[np.int64]
    S: NDArray[np.int64]
    cost: float
    levels: NDArray[np.int64]
    values: Floats
    error: float
    cut: float


def finite_horizon(
    periods: int,
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    demand: Any,
    *,
    purchase_cost: float = 0.0,
    terminal_holding_cost: float = 0.0,
    terminal_stockout_cost: float = 0.0,
    discount: float = 1.0,
    deviations: float | None = None,
    tails: str = "kept",
) -> FiniteHorizon:
    """Find the optimal (s, S) of each period over a finite horizon, by dynamic programming.

    Parameters
    ----------
    periods : int
        T.
    holding_cost, stockout_cost, order_cost, purchase_cost : float
        Per unit and period; per order; per unit bought.
    terminal_holding_cost, terminal_stockout_cost : float
        Per unit left or short at the end.
    demand : Demand or frozen distribution of scipy.stats
        Demand of a period; a continuous one is taken to the nearest whole number.
    discount : float
        α in (0, 1].
    deviations : float, optional
        How many standard deviations about its mean demand may be. None: demand is counted as far as its own
        tail goes, see :meth:`Demand.table`; demand that is given by its values always is.
    tails : {"kept", "cut"}
        What becomes of demand beyond ``deviations``. ``"kept"``: the probabilities within are made to sum to
        1, and all costs are those of this whole-number demand. ``"cut"``: what is beyond is left out of the
        transitions, while a period's cost is that of the distribution itself; the convention of published
        figures (with ``deviations=4``), which loses that share of later costs.

    Returns
    -------
    FiniteHorizon
        ``s``, ``S``, ``cost``, ``levels``, ``values``, ``error``, ``cut``.

    Warns
    -----
    ModelWarning
        Where whole units are too large for a continuous demand: see :meth:`Demand.table`.

    Raises
    ------
    InvalidArgument
        Names the argument, the value and what is allowed; among them demand of which more than 1e-4 is
        negative.
    CapacityError
        Where too many units, or values, would be counted.

    Examples
    --------
    >>> p = finite_horizon(5, 1, 20, 50, Demand.normal(100, 20), purchase_cost=2,
    ...                    terminal_holding_cost=1, terminal_stockout_cost=20)
    >>> p.s, p.S
    (array([110, 110, 110, 110, 111]), array([133, 133, 133, 133, 126]))
    """
    from ..dp import replenishment

    count = Parameter("periods", int, low=1, high=1_000_000).check(periods)
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed = number("order_cost", order_cost, open_low=False)
    price = number("purchase_cost", purchase_cost, open_low=False)
    end_h = number("terminal_holding_cost", terminal_holding_cost, open_low=False)
    end_p = number("terminal_stockout_cost", terminal_stockout_cost, open_low=False)
    alpha = Parameter("discount", float, low=0.0, high=1.0, open_low=True).check(discount)
    wide = None if deviations is None else number("deviations", deviations)
    if tails not in ("kept", "cut"):
        raise InvalidArgument(argument="tails", value=tails, allowed="'kept' or 'cut'")
    if wide is None and tails == "cut":
        raise InvalidArgument(argument="deviations", value=None, allowed="given, where tails are cut")
    d = Demand.of(demand)
    if wide is None or d.support is not None:
        pmf, share = d._table(depth=2), 1.0
    else:
        pmf, share = _within(d, wide)
    counted = Demand.pmf(np.arange(pmf.size), pmf)
    # a share that is left out of the transitions ends the process
    kept, law = (alpha, counted) if tails == "kept" else (alpha * share, d)
    most = max(pmf.size - 1, 1)
    # no position pays above what covers all demand; a start from a period's backlog falls no further
    lowest, highest = -(count + 1) * most, count * most
    typical = counted.quantile(fractile(h, p)) + math.sqrt(2.0 * fixed * counted.mean / h) + counted.std + 1.0
    floor = max(-math.ceil(counted.mean + counted.std + 1.0), lowest)
    ceiling = highest if typical >= highest else math.ceil(typical)
    while True:
        n = ceiling - floor + 1
        if n > LARGEST or (count + 1) * n > CELLS:
            raise CapacityError(
                f"{n} levels in {count} periods, where {LARGEST} and {CELLS // (count + 1)} are the most: "
                f"count in larger units"
            )
        x = np.arange(floor, ceiling + 1)
        period = one_period(law, h, p, floor, ceiling + 1)
        fall = pmf if pmf.size <= n else np.append(pmf[: n - 1], pmf[n - 1 :].sum())
        values, s, S = np.empty((count + 1, n)), np.empty(count, np.int64), np.empty(count, np.int64)
        values[count] = end_h * np.maximum(x, 0) + end_p * np.maximum(-x, 0)
        slope, error, low, high = end_p, 0.0, True, True
        for t in range(count - 1, -1, -1):
            cost = period - kept * slope * (x - counted.mean)
            step = replenishment(
                cost,
                fall,
                1,
                order_cost=fixed,
                purchase_cost=price,
                terminal=values[t + 1] + slope * x,
                discount=kept,
            )
            values[t] = step.value[0]
            # of adding the line and taking it off, of the chances beyond the levels, and of mean demand
            sizes = np.abs(values[t]).max() + np.abs(cost).max() + slope * (n + counted.mean)
            rounding = EPSILON * (64.0 * sizes + 2.0 * slope * pmf.size * counted.mean)
            error = step.gap / 2.0 + rounding + kept * error
            orders = np.flatnonzero(step.policy[0])
            last = orders[-1] if orders.size else -1
            s[t] = floor + last
            S[t] = s[t] + (step.policy[0, last] if orders.size else 0)
            whole = values[t] + price * x
            high = high and bool(whole[-1] > whole.min() + fixed)
            low = low and (price >= p + kept * slope or step.policy[0, 0] > 0)
            slope = min(price, p + kept * slope)
        if (low or floor == lowest) and (high or ceiling == highest):
            break
        floor = floor if low else max(2 * floor, lowest)
        ceiling = ceiling if high else min(2 * ceiling, highest)
    shown = slice(0 if low else max(-most - floor, 0), None)
    cost_from_empty = float(values[0, -floor])
    return FiniteHorizon(
        s, S, cost_from_empty, x[shown], values[:, shown], float(error), max(1.0 - share, 0.0)
    )


def _within(d: Demand, deviations: float) -> tuple[Floats, float]:
    """Probabilities of the whole numbers within so many deviations of the mean, and their sum before."""
    d._refuse_uncountable()
    d._refuse_negative()
    if not d.mean + deviations * d.std <= LARGEST:
        raise CapacityError(
            f"more than {LARGEST} units are within {deviations:g} deviations: count in larger units"
        )
    low = max(0, math.floor(d.mean - deviations * d.std))
    pmf = d.probabilities(max(low + 1, math.ceil(d.mean + deviations * d.std)))
    d._warn_of_counting(pmf, depth=2)
    pmf[:low] = 0.0
    share = float(pmf.sum())
    if not share > 0.0:
        raise InvalidArgument(
            argument="deviations", value=deviations, allowed="wide enough to hold some demand"
        )
    return pmf / share, share
