r"""Economic order quantities, and their trading form.

Demand D per unit of time, S for each order, H for holding one unit for a unit of time: an order of Q costs
:math:`DS/Q + HQ/2` per unit of time, least at :math:`Q = \sqrt{2DS/H}`, where it is :math:`HQ`. A finite
production rate P multiplies H by :math:`1 - D/P`; planned backorders at B multiply it by :math:`B/(B + H)`.

The trading form (:func:`rebalance_band`): a desk whose position drifts by D lots per unit of time and pays
:math:`S + bQ + cQ^2` for a re-balance or re-hedge of Q lots should let a deviation grow to the Q at which

.. math:: \frac{D}{Q}\,(S + bQ + cQ^2) + \frac{H}{2}\,Q = \frac{DS}{Q} + bD + \frac{H + 2cD}{2}\,Q

is least, H being what a lot of deviation costs: capital, and the risk charge :math:`\gamma\sigma^2/2`. What
is paid for each lot, b (half-spread and proportional fees), is paid whatever the band.

Source: Snyder and Shen, *Fundamentals of Supply Chain Theory* (2019), chapter 3.

Examples
--------
>>> eoq(1300, 8, 0.225)
OrderQuantity(quantity=304.047, cycle_time=0.233882, cost=68.4105)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import number, numbers, plain, together
from ..errors import InvalidArgument

__all__ = ["OrderQuantity", "eoq", "quantity_discount", "rebalance_band"]


class OrderQuantity:
    """An order quantity, or an array of them.

    Attributes
    ----------
    quantity, cycle_time, cost : float or ndarray
        Units per order, time between orders, cost per unit of time.
    backorders : float or ndarray
        Largest backorder of the cycle; 0 where none are planned.
    lots : int or ndarray of int
        The best whole number of units, at least 1; ``cost`` is that of ``quantity``.
    """

    __slots__ = ("backorders", "cost", "cycle_time", "quantity")

    def __init__(self, quantity: Any, cycle_time: Any, cost: Any, backorders: Any = 0.0) -> None:
        self.quantity, self.cycle_time, self.cost = plain(quantity), plain(cycle_time), plain(cost)
        self.backorders = plain(backorders)

    @property
    def lots(self) -> Any:
        r"""The best whole number of units, >= 1: the smallest n with :math:`n(n + 1) \ge Q^2`.

        The cost is proportional to :math:`Q/n + n/Q` where the order is for n units in place of Q.

        Examples
        --------
        >>> eoq([1300, 3], 8, 0.225).lots
        array([304,  15])
        """
        # Q² is no whole number's business: the root is rounded, and its neighbours compared
        q = np.asarray(self.quantity)
        low = np.maximum(np.floor(q), 1.0)
        n = np.where(q / low + low / q <= q / (low + 1.0) + (low + 1.0) / q, low, low + 1.0)
        if not np.all(n < 2.0**53):
            raise InvalidArgument(argument="quantity", value=float(np.max(q)), allowed="below 2^53 units")
        return int(n) if n.ndim == 0 else n.astype(np.int64)

    def __repr__(self) -> str:
        if np.ndim(self.quantity):
            return f"OrderQuantity({np.size(self.quantity)} of them)"
        return (
            f"OrderQuantity(quantity={self.quantity:g}, cycle_time={self.cycle_time:g}, cost={self.cost:g})"
        )


def eoq(
    demand: ArrayLike,
    order_cost: ArrayLike,
    holding_cost: ArrayLike,
    *,
    backorder_cost: ArrayLike | None = None,
    production_rate: ArrayLike | None = None,
) -> OrderQuantity:
    """Economic order quantity √(2DS/H), and its forms with planned backorders and a finite production rate.

    Parameters
    ----------
    demand : array_like
        D > 0, units per unit of time.
    order_cost : array_like
        S > 0, for each order.
    holding_cost : array_like
        H > 0, per unit and unit of time.
    backorder_cost : array_like, optional
        B > 0, per unit short and unit of time.
    production_rate : array_like, optional
        P > D, units per unit of time.

    Returns
    -------
    OrderQuantity
        All of it arrays where an argument is one.

    Examples
    --------
    >>> eoq([1300, 5200], 8, 0.225).quantity.round(3)
    array([304.047, 608.094])
    >>> eoq(1300, 8, 0.225, production_rate=1700)
    OrderQuantity(quantity=626.808, cycle_time=0.48216, cost=33.184)
    """
    d, s = numbers("demand", demand), numbers("order_cost", order_cost)
    h = held = numbers("holding_cost", holding_cost)
    p = None if production_rate is None else numbers("production_rate", production_rate)
    b = None if backorder_cost is None else numbers("backorder_cost", backorder_cost)
    together(demand=d, order_cost=s, holding_cost=h, backorder_cost=b, production_rate=p)
    used: Any = 1.0
    backorders: Any = 0.0
    if p is not None:
        used = (p - d) / p
        if not np.all(used > 0.0):
            index = int(np.argmin(used)) if np.ndim(used) else None
            rates = np.broadcast_to(p, np.shape(used))
            value = float(rates.flat[index or 0])
            raise InvalidArgument(
                argument="production_rate", value=value, allowed="above demand", index=index
            )
        held = held * used
    if b is not None:
        held = held * (b / (b + h))
    quantity = np.sqrt(2.0 * d * s / held)
    if b is not None:
        backorders = quantity * used * (h / (h + b))
    return OrderQuantity(quantity, quantity / d, quantity * held, backorders)


def rebalance_band(
    turnover: ArrayLike,
    cost: ArrayLike,
    *,
    sigma: ArrayLike = 0.0,
    risk_aversion: ArrayLike = 0.0,
    capital_charge: ArrayLike = 0.0,
    impact: ArrayLike = 0.0,
) -> OrderQuantity:
    r"""Return how far a position may drift from its target before it is re-balanced, lots.

    The trading form of :func:`eoq`: holding a lot of deviation for a second costs :math:`H` = capital charge
    + :math:`\gamma\sigma^2/2`, and a re-balance of Q lots costs :math:`S + cQ^2`. The position drifts one
    way; one that is pushed to and fro is :func:`mmcore.inventory_law`'s business.

    The risk charge is that of one lot, and is taken for each lot that is held: deviations that belong to many
    positions, whose risks mostly cancel. The risk of one position kept alone, :math:`\gamma\sigma^2q^2/2`,
    grows with its square: a band of Q lots then costs :math:`DS/Q + \gamma\sigma^2Q^2/6` a second, least at
    :math:`Q^3 = 3DS/\gamma\sigma^2`, which a charge per lot does not say.

    Parameters
    ----------
    turnover : array_like
        D, lots per second by which the position drifts.
    cost : array_like
        S, tick·lots of a re-balance whatever its size: the order's fee, and half-spread and impact where a
        clip of fixed size is traded.
    sigma : array_like
        Volatility, ticks/√s.
    risk_aversion : array_like
        γ, 1/(tick·lot).
    capital_charge : array_like
        Ticks per lot and second.
    impact : array_like
        c, ticks per lot: by how much each lot of a re-balance makes all of it dearer.

    Returns
    -------
    OrderQuantity
        ``quantity`` is the band in lots (``lots``: the best whole number), ``cycle_time`` the seconds between
        re-balances, ``cost`` what holding and re-balancing cost, tick·lots per second.

    Examples
    --------
    A hedge drifts by 0.05 lots a second; a re-hedge costs 3 tick·lots; σ is 2 ticks/√s and γ 1e-4:

    >>> rebalance_band(0.05, 3.0, sigma=2.0, risk_aversion=1e-4)
    OrderQuantity(quantity=38.7298, cycle_time=774.597, cost=0.00774597)
    >>> rebalance_band(0.05, 3.0, sigma=2.0, risk_aversion=1e-4, impact=0.002).lots  # smaller clips
    27
    """
    capital = numbers("capital_charge", capital_charge, open_low=False)
    gamma = numbers("risk_aversion", risk_aversion, open_low=False)
    deviation = numbers("sigma", sigma, open_low=False)
    dearer = numbers("impact", impact, open_low=False)
    drift, each = numbers("turnover", turnover), numbers("cost", cost)
    together(
        turnover=drift,
        cost=each,
        sigma=deviation,
        risk_aversion=gamma,
        capital_charge=capital,
        impact=dearer,
    )
    held = capital + 0.5 * gamma * np.square(deviation) + 2.0 * dearer * drift
    if not np.all(held > 0.0):
        raise InvalidArgument(
            "holding costs nothing: give a capital charge, an impact, or both sigma and risk_aversion",
            argument="sigma",
        )
    return eoq(drift, each, numbers("capital charge, γσ²/2 and impact of a lot", held))


def quantity_discount(
    demand: float,
    order_cost: float,
    holding_rate: float,
    breaks: Sequence[float],
    prices: Sequence[float],
    kind: str = "all_units",
) -> OrderQuantity:
    """Best order quantity where the price falls with the size of the order; cost includes the purchase.

    Parameters
    ----------
    demand, order_cost : float
        As in :func:`eoq`.
    holding_rate : float
        Cost of holding a unit of money's worth for a unit of time.
    breaks : sequence of float
        Smallest quantity of each price, ascending from 0.
    prices : sequence of float
        Price of each unit from there, descending.
    kind : {"all_units", "incremental"}
        Whether the lower price holds for all units or for those beyond the break.

    Examples
    --------
    >>> quantity_discount(1300, 8, 0.3, [0, 400, 800], [0.75, 0.72, 0.68])
    OrderQuantity(quantity=800, cycle_time=0.615385, cost=978.6)
    """
    d, s = number("demand", demand), number("order_cost", order_cost)
    i = number("holding_rate", holding_rate)
    start = np.asarray(numbers("breaks", breaks, open_low=False))
    price = np.asarray(numbers("prices", prices))
    if start.ndim != 1 or not len(start) or start[0] != 0.0 or not (np.diff(start) > 0.0).all():
        raise InvalidArgument(argument="breaks", value=breaks, allowed="ascending numbers from 0")
    if price.shape != start.shape or (np.diff(price) >= 0.0).any():
        raise InvalidArgument(argument="prices", value=prices, allowed="a descending price for each break")
    if kind == "all_units":
        quantity = np.maximum(np.sqrt(2.0 * d * s / (i * price)), start)
        cost = price * d + d * s / quantity + 0.5 * i * price * quantity
    elif kind == "incremental":
        # what a unit paid more, before the break, is paid with each order
        extra = np.append(0.0, np.cumsum((price[:-1] - price[1:]) * start[1:]))
        quantity = np.sqrt(2.0 * d * (s + extra) / (i * price))
        cost = price * d + d * (s + extra) / quantity + 0.5 * i * (price * quantity + extra)
    else:
        raise InvalidArgument(argument="kind", value=kind, allowed="'all_units' or 'incremental'")
    # a quantity beyond its segment is cheaper at the next price, so it is never the best
    best = int(np.argmin(cost))
    return OrderQuantity(float(quantity[best]), float(quantity[best]) / d, float(cost[best]))
