r"""(r, Q): under continuous review, order Q when the inventory position falls to r.

The position is then equally often at each of r + 1 ... r + Q (a continuum, for normal demand), and what is on
hand or owed is the position less the demand of the lead time, :math:`D_L`. With
:math:`g(y) = h\,E(y - D_L)^+ + p\,E(D_L - y)^+` a policy costs, at λ units of demand and K for each order,

.. math:: c(r, Q) = \frac{K\lambda + \sum_{y=r+1}^{r+Q} g(y)}{Q},

an integral for normal demand: :func:`reorder_cost`. :func:`optimal_reorder_quantity` is exact (Federgruen and
Zheng 1992: the levels are taken up in the order of g, as long as the next is cheaper than the average).
:func:`approximate_reorder_quantity` has the four classical approximations for normal demand, with n the
expected shortage and :math:`n_2(r) = \int_r^\infty n`:

- ``"eoq_ss"``: the economic order quantity, and r the p/(p + h) quantile (safety stock);
- ``"eoqb"``: the order quantity with planned backorders, and the best r for it, :math:`g(r) = g(r + Q)`;
- ``"loss"``: no backorders are expected with r + Q on order, :math:`n(r + Q) \approx 0`: then
  :math:`n(r) = hQ/(h + p)` and :math:`Q = \sqrt{2(K\lambda + (h + p)\,n_2(r))/h}`;
- ``"eil"`` (expected inventory level): p is for each unit short, however long, and the stock on hand averages
  :math:`r - E D_L + Q/2`: then :math:`P(D_L > r) = hQ/(p\lambda)` and
  :math:`Q = \sqrt{2\lambda(K + p\,n(r))/h}`.

Source: Federgruen and Zheng, *Operations Research* 40 (1992), 808-813; Hadley and Whitin (1963), chapter 4;
Snyder and Shen (2019), chapter 5.

Examples
--------
>>> optimal_reorder_quantity(20, 150, 100, 1.5, 2)
ReorderQuantity(r=3, Q=5, cost=107.92358...)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..arrays import number
from ..errors import CapacityError, InvalidArgument, NoConvergence
from ..parameters import Parameter
from .demand import LARGEST, Demand
from .order_quantity import eoq
from .reorder_up_to import one_period
from .roots import root
from .single_period import fractile

__all__ = [
    "ReorderQuantity",
    "approximate_reorder_quantity",
    "optimal_reorder_quantity",
    "reorder_cost",
]

METHODS = ("eil", "eoqb", "eoq_ss", "loss")


class ReorderQuantity(NamedTuple):
    """An (r, Q) policy and its cost per unit of time."""

    r: float
    Q: float
    cost: float


class _Normal:
    """Costs of a position with normal demand over the lead time."""

    def __init__(self, h: float, p: float, mean: float, std: float) -> None:
        self.h, self.p, self.mean, self.std = h, p, mean, std
        self.demand = Demand.normal(mean, std)
        self.bottom = float(self.demand.quantile(fractile(h, p)))

    def g(self, y: float) -> float:
        """Cost of a position, per unit of time."""
        return float(self.h * (y - self.mean) + (self.h + self.p) * self.demand.shortage(y))

    def second(self, y: float) -> float:
        """n₂(y), the integral of the shortage from y on."""
        from scipy.special import ndtr

        z = (y - self.mean) / self.std
        tail, density = float(ndtr(-z)), math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
        return self.std * self.std * 0.5 * ((z * z + 1.0) * tail - z * density)

    def area(self, low: float, high: float) -> float:
        """The integral of g."""
        held = self.h * ((high - self.mean) ** 2 - (low - self.mean) ** 2) / 2.0
        return held + (self.h + self.p) * (self.second(low) - self.second(high))

    def ends(self, level: float) -> tuple[float, float]:
        """Where g is at this level, on either side of its bottom."""
        reach = self.std + (level - self.g(self.bottom)) / min(self.h, self.p)
        low, high = self.bottom - reach, self.bottom + reach
        while self.g(low) < level:
            low -= reach
        while self.g(high) < level:
            high += reach
        return (
            root(lambda y: self.g(y) - level, low, self.bottom),
            root(lambda y: self.g(y) - level, self.bottom, high),
        )


def optimal_reorder_quantity(
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    demand_rate: float,
    lead_time: float,
    std: float | None = None,
) -> ReorderQuantity:
    """Find the optimal (r, Q) under continuous review, exactly: for Poisson demand, or normal with a ``std``.

    Parameters
    ----------
    holding_cost, stockout_cost : float
        Per unit and unit of time.
    order_cost : float
        For each order. 0 orders each unit alone; not for normal demand, which has no smallest order.
    demand_rate, lead_time : float
        Units per unit of time; time from order to delivery.
    std : float, optional
        Standard deviation of a unit of time's demand: normal demand. None: Poisson.

    Examples
    --------
    >>> optimal_reorder_quantity(20, 150, 100, 1.5, 2)
    ReorderQuantity(r=3, Q=5, cost=107.92358...)
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed, rate = (
        number("order_cost", order_cost, open_low=std is not None),
        number("demand_rate", demand_rate),
    )
    lead = number("lead_time", lead_time)
    if std is not None:
        law = _Normal(h, p, rate * lead, number("std", std) * math.sqrt(lead))
        return _optimal_normal(law, fixed * rate)
    typical = rate * lead + math.sqrt(2.0 * fixed * rate * (1.0 / h + 1.0 / p))
    if typical > LARGEST:
        raise CapacityError(f"{typical:.3g} units, more than {LARGEST}: count in larger units, or give a std")
    d = Demand.poisson(rate * lead)
    start = int(d.quantile(fractile(h, p)))
    low = high = start  # the positions r + 1 … r + Q that are visited equally
    reach = 64
    g = one_period(d, h, p, start - reach, start + reach)
    summed = float(g[reach])
    best = fixed * rate + summed
    while True:
        if min(start - low, high - start) + 2 >= reach or max(start - low, high - start) + 2 >= reach:
            reach *= 2
            g = one_period(d, h, p, start - reach, start + reach)
        below, above = float(g[low - 1 - start + reach]), float(g[high + 1 - start + reach])
        if min(below, above) >= best:
            return ReorderQuantity(low - 1, high - low + 1, best)
        if below < above:
            low, summed = low - 1, summed + below
        else:
            high, summed = high + 1, summed + above
        best = (fixed * rate + summed) / (high - low + 1)


def _optimal_normal(law: _Normal, fixed: float) -> ReorderQuantity:
    """At the optimum g(r) = g(r + Q) = cost: one root in the level of g."""

    def excess(level: float) -> float:
        r, top = law.ends(level)
        return level * (top - r) - law.area(r, top) - fixed

    least = law.g(law.bottom)
    high = 2.0 * least + 1e-300
    while excess(high) < 0.0:
        high *= 2.0
    level = root(excess, least * (1.0 + 1e-12), high)
    r, top = law.ends(level)
    return ReorderQuantity(r, top - r, level)


def reorder_cost(
    r: float,
    Q: float,
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    demand_rate: float,
    lead_time: float,
    std: float | None = None,
) -> float:
    """Return the exact cost per unit of time of an (r, Q) policy.

    Parameters
    ----------
    r, Q : float
        Reorder point and quantity > 0; integers for Poisson demand.
    holding_cost, stockout_cost, order_cost, demand_rate, lead_time, std
        As for :func:`optimal_reorder_quantity`.

    Examples
    --------
    >>> round(reorder_cost(3, 5, 20, 150, 100, 1.5, 2), 6)
    107.923581
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed, rate = number("order_cost", order_cost, open_low=False), number("demand_rate", demand_rate)
    lead = number("lead_time", lead_time)
    if std is not None:
        low, quantity = number("r", r, -math.inf), number("Q", Q)
        law = _Normal(h, p, rate * lead, number("std", std) * math.sqrt(lead))
        return (fixed * rate + law.area(low, low + quantity)) / quantity
    at = Parameter("r", int, low=-LARGEST, high=LARGEST).check(r)
    units = Parameter("Q", int, low=1, high=LARGEST).check(Q)
    g = one_period(Demand.poisson(rate * lead), h, p, at + 1, at + units + 1)
    return float((fixed * rate + g.sum()) / units)


def approximate_reorder_quantity(
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    demand_rate: float,
    lead_time: float,
    std: float,
    method: str = "loss",
) -> ReorderQuantity:
    """Find a good (r, Q) for normal demand by one of the classical approximations.

    Parameters
    ----------
    holding_cost, stockout_cost, order_cost, demand_rate, lead_time, std
        As for :func:`optimal_reorder_quantity`; but with ``method="eil"`` the stockout cost is for each unit
        short, not for each unit and unit of time.
    method : {"loss", "eoqb", "eoq_ss", "eil"}
        See the module.

    Returns
    -------
    ReorderQuantity
        With the exact cost of this policy, that of :func:`reorder_cost`; of ``"eil"``, the cost that the
        approximation gives.

    Raises
    ------
    InvalidArgument
        For ``"eil"``, where being short is so cheap that no stock pays.

    Examples
    --------
    >>> approximate_reorder_quantity(0.225, 7.5, 8, 1300, 1 / 12, 150)
    ReorderQuantity(r=126.867..., Q=328.449..., cost=78.071...)
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed, rate = number("order_cost", order_cost), number("demand_rate", demand_rate)
    lead = number("lead_time", lead_time)
    law = _Normal(h, p, rate * lead, number("std", std) * math.sqrt(lead))
    if method == "eil":
        return _expected_inventory_level(law, fixed, rate)
    if method == "loss":
        r, q = _loss_function(law, fixed * rate)
    elif method == "eoq_ss":
        r, q = law.bottom, eoq(rate, fixed, h).quantity
    elif method == "eoqb":
        q = eoq(rate, fixed, h, backorder_cost=p).quantity
        # g falls before its bottom and rises after it
        r = root(lambda y: law.g(y + q) - law.g(y), law.bottom - q, law.bottom)
    else:
        allowed = ", ".join(repr(m) for m in METHODS)
        raise InvalidArgument(argument="method", value=method, allowed=f"one of {allowed}")
    return ReorderQuantity(r, q, (fixed * rate + law.area(r, r + q)) / q)


def _settled(step: Callable[[float], float], q: float) -> float:
    """Repeat until the quantity stays."""
    for _ in range(10_000):
        following = step(q)
        if abs(following - q) <= 1e-14 * q:
            return following
        q = following
    raise NoConvergence("the order quantity did not settle: use optimal_reorder_quantity")


def _loss_function(law: _Normal, fixed: float) -> tuple[float, float]:
    h, both = law.h, law.h + law.p

    def point(q: float) -> float:
        goal = h * q / both
        low, high = law.mean - goal - 40.0 * law.std, law.mean + 40.0 * law.std
        return root(lambda y: float(law.demand.shortage(y)) - goal, low, high)

    q = _settled(
        lambda q: math.sqrt(2.0 * (fixed + both * law.second(point(q))) / h), math.sqrt(2.0 * fixed / h)
    )
    return point(q), q


def _expected_inventory_level(law: _Normal, fixed: float, rate: float) -> ReorderQuantity:
    h, p = law.h, law.p

    def point(q: float) -> float:
        short = h * q / (p * rate)
        if not short < 1.0:
            raise InvalidArgument(
                argument="stockout_cost",
                value=p,
                allowed=f"above the holding cost of a cycle, {h * q / rate:g}, by which no stock would pay",
            )
        # by symmetry about the mean, which keeps the digits of a small chance
        return float(2.0 * law.mean - law.demand.quantile(short))

    def step(q: float) -> float:
        return math.sqrt(2.0 * rate * (fixed + p * float(law.demand.shortage(point(q)))) / h)

    q = _settled(step, math.sqrt(2.0 * fixed * rate / h))
    r = point(q)
    short = float(law.demand.shortage(r))
    return ReorderQuantity(r, q, h * (r - law.mean + q / 2.0) + rate * (fixed + p * short) / q)
