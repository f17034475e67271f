"""Lot sizes for a known demand, period by period (Wagner and Whitin 1958).

Source: Wagner and Whitin, *Management Science* 5 (1958), 89-96; Wagelmans, van Hoesel and Kolen, *Operations
Research* 40 (1992), S145-S156, and Federgruen and Tzur, *Management Science* 37 (1991), 909-925, for the
envelope.

Examples
--------
>>> wagner_whitin([90, 120, 80, 70], 500, 2).cost
1380.0
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import numbers
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

    Holding is charged on what is left at the end of a period. With cumulated demand :math:`C_t` and
    :math:`a_j` the cost of a unit bought in j and held to the end, :math:`F_t = \min_{j \le t} F_{j-1} + K_j
    + a_j (C_t - C_{j-1})`: the lower envelope of lines in :math:`C_t`. Where a falls (nothing is gained by
    buying early) lines come in the order of their slopes and the envelope is a queue.

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
            raise InvalidArgument(argument=name, value=f"shape {array.shape}", allowed=f"one number, or {n}")
        each.append(np.broadcast_to(array, n))
    fixed, held, price = each
    slope = price + np.cumsum(held[::-1])[::-1]
    total = np.cumsum(d)
    before = np.append(0.0, total[:-1])
    constant = float(held @ total)
    solve = _by_queue if (np.diff(slope) <= 0.0).all() else _by_columns
    cost, source = solve(fixed, slope, total, before)
    orders = np.zeros(n)
    t = n - 1
    while t >= 0 and total[t] > 0.0:
        j = source[t]
        orders[j] = total[t] - before[j]
        t = j - 1
    return LotSizes(orders, cost - constant)


def _by_queue(fixed: Floats, slope: Floats, total: Floats, before: Floats) -> tuple[float, list[int]]:
    lines: list[tuple[float, float, int]] = []  # slope, intercept, period
    head, best = 0, 0.0
    source = []
    rows = zip(fixed.tolist(), slope.tolist(), total.tolist(), before.tolist(), strict=True)
    for j, (k, a, at, start) in enumerate(rows):
        b = best + k - a * start
        while len(lines) - head >= 2:
            # the last line is nowhere lowest when the new one meets the one before it no later
            (a0, b0, _), (a1, b1, _) = lines[-2], lines[-1]
            if (b - b0) * (a0 - a1) <= (b1 - b0) * (a0 - a):
                lines.pop()
            else:
                break
        if len(lines) - head == 1 and lines[-1][0] == a and lines[-1][1] >= b:
            lines.pop()
        lines.append((a, b, j))
        while len(lines) - head >= 2 and lines[head + 1][0] * at + lines[head + 1][1] <= (
            lines[head][0] * at + lines[head][1]
        ):
            head += 1
        a, b, i = lines[head]
        best = a * at + b if at > 0.0 else 0.0
        source.append(i)
    return best, source


def _by_columns(fixed: Floats, slope: Floats, total: Floats, before: Floats) -> tuple[float, list[int]]:
    intercept = np.empty(len(fixed))
    best, source = 0.0, []
    for j in range(len(fixed)):
        intercept[j] = best + fixed[j] - slope[j] * before[j]
        value = intercept[: j + 1] + slope[: j + 1] * total[j]
        i = int(np.argmin(value))
        best = float(value[i]) if total[j] > 0.0 else 0.0
        source.append(i)
    return best, source
