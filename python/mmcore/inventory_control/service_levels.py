r"""How often and how much is short, and the least stock that keeps it to a target.

Two figures are in use: the **service level**, the probability that nothing is short (in a replenishment
cycle, or at the end of a period), and the **fill rate**, the share of demand that is met from stock. With n
the expected shortage of the demand over the lead time L, under continuous review

.. math:: \text{service level} = P(D_L \le r), \qquad \text{fill rate} = 1 - \frac{n(r) - n(r + Q)}{Q},

and for a base stock S under periodic review, whose period adds to what is short
:math:`E(D_{L+1} - S)^+ - E(D_L - S)^+`,

.. math:: P(D_{L+1} \le S), \qquad 1 - \frac{E(D_{L+1} - S)^+ - E(D_L - S)^+}{E D_1}.

All of it is exact for demand that is backlogged; the usual forms leave out n(r + Q) and :math:`E(D_L - S)^+`,
what is already short when the order arrives. Demand of which more than 1e-3 is negative is warned of: what is
negative counts as units that come back.

Source: Silver, Pyke and Thomas, *Inventory and Production Management in Supply Chains* (2017), chapter 6;
Snyder and Shen (2019), sections 4.3.5 and 5.3.

Examples
--------
>>> reorder_point(Demand.normal(100, 20), fill_rate=0.99, quantity=80)
127.2047...
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..arrays import number
from ..errors import InvalidArgument
from ..parameters import Parameter
from .demand import Demand
from .roots import root

__all__ = ["ServiceLevels", "base_stock", "base_stock_service", "reorder_point", "reorder_service"]


class ServiceLevels(NamedTuple):
    """How often nothing is short, and how much of demand is met."""

    service_level: float
    """Probability that nothing is short."""
    fill_rate: float
    """Share of demand that is met from stock."""


def reorder_service(r: float, quantity: float, demand: Any) -> ServiceLevels:
    """Return the service level and fill rate of an (r, Q) policy.

    Parameters
    ----------
    r, quantity : float
        Reorder point, and order quantity > 0.
    demand : Demand or frozen distribution of scipy.stats
        Demand over the lead time.

    Examples
    --------
    >>> [round(x, 4) for x in reorder_service(120, 80, Demand.normal(100, 20))]
    [0.8413, 0.9792]
    """
    at, q, d = number("r", r, -math.inf), number("quantity", quantity), _one(demand)
    return ServiceLevels(float(d.cdf(at)), 1.0 - float(d.shortage(at) - d.shortage(at + q)) / q)


def reorder_point(
    demand: Any,
    *,
    service_level: float | None = None,
    fill_rate: float | None = None,
    quantity: float | None = None,
) -> float:
    """Return the least reorder point that keeps to a service level, or to a fill rate.

    Parameters
    ----------
    demand : Demand or frozen distribution of scipy.stats
        Demand over the lead time; where it is of whole units so is the answer.
    service_level : float
        Probability, between 0 and 1, that nothing is short in a cycle.
    fill_rate : float
        Share of demand, between 0 and 1, to be met from stock; one of the two is given.
    quantity : float
        Order quantity > 0; needed for a fill rate.

    Examples
    --------
    >>> reorder_point(Demand.poisson(10), service_level=0.95)
    15.0
    """
    d = _one(demand)
    level, fill = _target(service_level, fill_rate)
    if level is not None:
        return float(d.quantile(level))
    if quantity is None:
        raise InvalidArgument(argument="quantity", value=None, allowed="given with a fill rate")
    q = number("quantity", quantity)
    return _least(d, lambda r: 1.0 - float(d.shortage(r) - d.shortage(r + q)) / q, fill, spread=q)


def base_stock_service(base_stock: float, demand: Any, *, lead_time: int = 0) -> ServiceLevels:
    """Return the service level and fill rate of a base stock.

    Parameters
    ----------
    base_stock : float
        S: every period orders up to it.
    demand : Demand or frozen distribution of scipy.stats
        Demand of a period.
    lead_time : int
        Periods from order to delivery, >= 0.

    Examples
    --------
    >>> [round(x, 4) for x in base_stock_service(26, Demand.poisson(20))]
    [0.9221, 0.9891]
    """
    s = number("base_stock", base_stock, -math.inf)
    d, before, whole = _lead(demand, lead_time)
    return ServiceLevels(float(whole.cdf(s)), _fill(s, d, before, whole))


def base_stock(
    demand: Any,
    *,
    service_level: float | None = None,
    fill_rate: float | None = None,
    lead_time: int = 0,
) -> float:
    """Return the least base stock that keeps to a service level, or to a fill rate.

    Parameters
    ----------
    demand, lead_time
        As for :func:`base_stock_service`.
    service_level, fill_rate : float
        Targets between 0 and 1, of which one is given.

    Examples
    --------
    >>> base_stock(Demand.poisson(20), fill_rate=0.99), base_stock(Demand.poisson(20), service_level=0.99)
    (27.0, 31.0)
    """
    d, before, whole = _lead(demand, lead_time)
    level, fill = _target(service_level, fill_rate)
    if level is not None:
        return float(whole.quantile(level))
    return _least(whole, lambda s: _fill(s, d, before, whole), fill, spread=0.0)


def _one(demand: Any, depth: int = 2) -> Demand:
    """The demand; `depth`: functions between the caller's line and the warning of returns."""
    d = Demand.of(demand)
    if np.ndim(d.mean) or not d.mean > 0.0:
        raise InvalidArgument(argument="demand", value=d, allowed="one distribution, of a mean > 0")
    d._warn_of_returns(depth)
    return d


def _lead(demand: Any, lead_time: int) -> tuple[Demand, Demand | None, Demand]:
    """Demand of a period, of the lead time (None: there is none), and of both."""
    d = _one(demand, depth=3)
    delay = Parameter("lead_time", int, low=0, high=1_000_000).check(lead_time)
    return d, d.over(delay) if delay else None, d.over(delay + 1) if delay else d


def _fill(s: float, d: Demand, before: Demand | None, whole: Demand) -> float:
    already = max(-s, 0.0) if before is None else float(before.shortage(s))
    return 1.0 - (float(whole.shortage(s)) - already) / float(d.mean)


def _target(service_level: float | None, fill_rate: float | None) -> tuple[float | None, float]:
    if (service_level is None) == (fill_rate is None):
        raise InvalidArgument(
            "give a service_level or a fill_rate, one of the two",
            argument="service_level",
            value=service_level,
        )
    for name, value in (("service_level", service_level), ("fill_rate", fill_rate)):
        if value is not None and not 0.0 < number(name, value, -math.inf) < 1.0:
            raise InvalidArgument(argument=name, value=value, allowed="strictly between 0 and 1")
    return service_level, math.nan if fill_rate is None else fill_rate


def _least(d: Demand, rate: Callable[[float], float], target: float, spread: float) -> float:
    """The smallest stock of at least this fill rate, which grows with it."""
    step = max(d.std if math.isfinite(d.std) else d.mean, 1.0) + spread
    low, high = d.mean - step, d.mean + step
    while rate(low) >= target:
        low, step = low - step, 2.0 * step
    while rate(high) < target:
        high, step = high + step, 2.0 * step
    if not d.discrete:
        return root(lambda x: rate(x) - target, low, high)
    bottom, top = math.floor(low), math.ceil(high)
    while top - bottom > 1:
        middle = (bottom + top) // 2
        bottom, top = (bottom, middle) if rate(middle) >= target else (middle, top)
    return float(top)
