r"""(s, S) of each period, over a finite horizon.

The dynamic program is that of :func:`mmcore.dp.replenishment`,

.. math:: V_t(x) = \min_{y \ge x} K 1_{y > x} + c(y - x) + L(y) + \alpha\,E V_{t+1}(y - D),

with L(y) the newsvendor's cost. Scarf (1960): the value is K-convex and the best policy of each period (s,
S). The levels reach so far down that what is cut off below them is never reached from the levels that are
returned.

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

__all__ = ["FiniteHorizon", "finite_horizon"]

Floats = NDArray[np.float64]


class FiniteHorizon(NamedTuple):
    """What :func:`finite_horizon` finds."""

    s: NDArray[np.int64]
    """Order when the inventory at the start of the period is at most this; one for each period. Below all
    ``levels``, as is S, where no level orders."""
    S: NDArray[np.int64]
    """Order up to this."""
    cost: float
    """Expected cost from an empty inventory at the start."""
    levels: NDArray[np.int64]
    """Inventory levels of ``values``: from the backlog of a period's largest demand to what covers it all."""
    values: Floats
    """Expected cost from each period (row; the last is the end) and level."""
    error: float
    """Bound of what rounding can have done to a value, from the dynamic program's certificate."""
    cut: float
    """Probability of the demands that are left out as too far from the mean."""


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
    deviations: float = 4.0,
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
    deviations : float
        How many standard deviations about its mean demand may be. Demand that is given by its values is
        taken whole.
    tails : {"kept", "cut"}
        ``"kept"``: the probabilities within are made to sum to 1, and all costs are those of this
        whole-number demand. ``"cut"``: what is beyond is left out of the transitions, while a period's
        cost is that of the distribution itself; the convention of published figures, which loses that
        share of later costs.

    Warns
    -----
    ModelWarning
        Where whole units are too large for a continuous demand: see :meth:`Demand.table`.

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
    wide = number("deviations", deviations)
    d = Demand.of(demand)
    if np.ndim(d.mean):
        raise InvalidArgument(argument="demand", value=d, allowed="one distribution, not an array of them")
    if d.support is None:
        low = max(0, math.floor(d.mean - wide * d.std))
        high = max(low + 1, math.ceil(d.mean + wide * d.std))
    else:
        d._refuse_negative()
        low, high = 0, max(1, math.ceil(d.support[0][-1]))
    # no position pays above what covers all demand; a start from a period's backlog never falls to the floor
    floor, first, ceiling = -(count + 1) * high, -high, count * high
    if ceiling - floor > LARGEST:
        raise CapacityError(f"{ceiling - floor} levels, more than {LARGEST}: count in larger units")
    pmf = d.probabilities(high)
    d._warn_of_counting(pmf, depth=1)
    pmf[:low] = 0.0
    share = float(pmf.sum())
    if not share > 0.0:
        raise InvalidArgument(argument="deviations", value=wide, allowed="wide enough to hold some demand")
    if tails not in ("kept", "cut"):
        raise InvalidArgument(argument="tails", value=tails, allowed="'kept' or 'cut'")
    pmf /= share
    counted = Demand.pmf(np.arange(high + 1), pmf) if tails == "kept" else d
    x = np.arange(floor, ceiling + 1)
    solution = replenishment(
        one_period(counted, h, p, floor, ceiling + 1),
        pmf,
        count,
        order_cost=fixed,
        purchase_cost=price,
        terminal=end_h * np.maximum(x, 0) + end_p * np.maximum(-x, 0),
        # a share that is left out of the transitions ends the process
        discount=alpha if tails == "kept" else alpha * share,
    )
    orders = solution.policy > 0
    last = np.where(orders.any(axis=1), x.size - 1 - np.argmax(orders[:, ::-1], axis=1), 0)
    s = np.where(orders.any(axis=1), x[last], first - 1)
    shown = slice(first - floor, None)
    return FiniteHorizon(
        s,
        s + solution.policy[np.arange(count), last],
        float(solution.value[0, -floor]),
        x[shown],
        solution.value[:, shown],
        solution.gap / 2.0,
        max(1.0 - share, 0.0),
    )
