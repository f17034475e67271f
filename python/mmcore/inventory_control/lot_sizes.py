"""Lot sizes for a known demand, period by period (Wagner and Whitin 1958).

Source: Wagner and Whitin, *Management Science* 5 (1958), 89-96.

Examples
--------
>>> wagner_whitin([90, 120, 80, 70], 500, 2).cost
1380.0
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg.blas import daxpy

from ..arrays import numbers, refusal
from ..errors import InvalidArgument

__all__ = ["LotSizes", "wagner_whitin"]

Floats = NDArray[np.float64]


class LotSizes(NamedTuple):
    """What :func:`wagner_whitin` finds."""

    orders: Floats
    """Units ordered in each period."""
    cost: float
    """Total cost."""


def wagner_whitin(
    demand: ArrayLike, order_cost: ArrayLike, holding_cost: ArrayLike, purchase_cost: ArrayLike = 0.0
) -> LotSizes:
    r"""Find the cheapest orders for a known demand, period by period (Wagner and Whitin 1958).

    Holding is charged on what is left at the end of a period. With F_t the least cost of t periods,
    :math:`F_t = \min_{j \le t} F_{j-1} + K_j + \sum_{i=j}^t d_i (c_j + h_j + \dots + h_{i-1})`, each sum one
    term longer than a period before: nothing is subtracted, so small demands keep their digits beside large
    ones. Where nothing is gained by buying early, the best j never falls, and those before it are left out.

    Parameters
    ----------
    demand : array_like, shape (T,)
        Units >= 0.
    order_cost, holding_cost, purchase_cost : array_like
        Numbers >= 0, one or one for each period.

    Examples
    --------
    >>> wagner_whitin([90, 120, 80, 70], 500, 2)
    LotSizes(orders=array([210.,   0., 150.,   0.]), cost=1380.0)
    """
    d = np.atleast_1d(np.asarray(numbers("demand", demand, open_low=False)))
    n = len(d)
    if d.ndim != 1 or not n:
        raise InvalidArgument(argument="demand", value=demand, allowed="one number for each period")
    each = []
    for name, value in (
        ("order_cost", order_cost),
        ("holding_cost", holding_cost),
        ("purchase_cost", purchase_cost),
    ):
        array = np.asarray(numbers(name, value, open_low=False))
        if array.ndim and array.shape != (n,):
            raise refusal(name, f"shape {array.shape}", f"one number, or {n}")
        each.append(np.broadcast_to(array, n))
    fixed, held, price = each
    # where nothing is gained by buying early, an order never starts before the last best one does
    late = bool((price[:-1] + held[:-1] >= price[1:]).all())
    cost, source = _cheapest(d, fixed, held, price, late)
    orders = np.zeros(n)
    t = n - 1
    while t >= 0 and d[: t + 1].any():
        j = source[t]
        orders[j] = d[j : t + 1].sum()
        t = j - 1
    return LotSizes(orders, cost)


def _cheapest(d: Floats, fixed: Floats, held: Floats, price: Floats, late: bool) -> tuple[float, list[int]]:
    """Least cost, and for each period the one whose order meets its demand; nothing is subtracted."""
    n = len(d)
    unit, value = np.zeros(n), np.zeros(n)  # of a unit from j, and of all until now with the last order in j
    best, first, needed = 0.0, 0, False
    source = []
    before = 0.0
    for t, (new, setup, own, after) in enumerate(
        zip(d.tolist(), fixed.tolist(), price.tolist(), held.tolist(), strict=True)
    ):
        units, values = unit[first : t + 1], value[first : t + 1]
        units += before
        units[-1], values[-1] = own, best + setup
        daxpy(units, values, a=new)
        i = int(values.argmin())
        needed = needed or new > 0.0
        best = values.item(i) if needed else 0.0
        i, before = first + i, after
        source.append(i)
        if late:
            first = i
    return best, source
