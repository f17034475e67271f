r"""(s, S): order up to S when the inventory position is s or less, at a fixed cost K for each order.

A period begins with the order, of which the lead time L says how many periods later it is delivered; then
comes demand, and what is left or owed is charged. The order placed now is felt L periods on, when the
position y less the demand of L + 1 periods is left: a period costs
:math:`G(y) = h\,E(y - D_{L+1})^+ + p\,E(D_{L+1} - y)^+`, while the position moves by the demand of one. The
cost of a policy is a renewal reward,

.. math:: c(s, S) = \frac{K + \sum_{j=0}^{S-s-1} m(j)\,G(S - j)}{\sum_{j=0}^{S-s-1} m(j)},

with m(j) the expected visits of S - j in a cycle. The search of Zheng and Federgruen is exact: it walks over
every S that could be better, and does not suppose that S grows with the mean of demand (it does not).

Source: Zheng and Federgruen, *Operations Research* 39 (1991), 654-665; Ehrhardt and Mosier, *Management
Science* 30 (1984), 618-622; Snyder and Shen (2019), section 4.4.

Examples
--------
>>> optimal_s_S(1, 9, 64, Demand.poisson(20))
Policy(s=14, S=62, cost=49.17303...)
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, numbers, plain, together
from ..errors import CapacityError, InvalidArgument
from ..parameters import Parameter
from .demand import LARGEST, Demand
from .single_period import fractile

__all__ = ["Policy", "one_period", "optimal_s_S", "policy_cost", "power_approximation"]

Floats = NDArray[np.float64]

WIDEST = 1 << 16  # S - s that is searched: the work grows with its square


class Policy(NamedTuple):
    """An (s, S) policy and its cost per period."""

    s: int
    S: int
    cost: float


def _demands(demand: Any, lead_time: int) -> tuple[Floats, Demand]:
    """Probabilities of a period's demand, and the demand of lead time and period."""
    d = Demand.of(demand)
    delay = Parameter("lead_time", int, low=0, high=LARGEST).check(lead_time)
    pmf = d._table(depth=3)  # of the function that asks for it
    if len(pmf) == 1:
        raise InvalidArgument(argument="demand", value=d, allowed="not always 0")
    if not d.discrete:
        d = Demand.pmf(np.arange(len(pmf)), pmf)
    return pmf, d.over(delay + 1) if delay else d


def _renewals(p: Floats, length: int, known: Floats | None = None) -> Floats:
    """Expected visits m(j) of the position j units below S in a cycle."""
    start = 0 if known is None else len(known)
    m = np.empty(length)
    if known is not None:
        m[:start] = known
    rest = 1.0 - p[0]
    back = p[:0:-1]  # p_n … p_1
    n = len(back)
    for j in range(start, length):
        k = min(j, n)
        m[j] = (back[n - k :] @ m[j - k : j] if k else 1.0) / rest
    return m


def optimal_s_S(
    holding_cost: float, stockout_cost: float, order_cost: float, demand: Any, *, lead_time: int = 0
) -> Policy:
    """Find the optimal (s, S) of a whole-number demand, exactly (Zheng and Federgruen 1991).

    Parameters
    ----------
    holding_cost, stockout_cost : float
        Per unit and period, on hand and short (backlogged).
    order_cost : float
        K >= 0, for each order; 0 makes it a base stock, s = S - 1.
    demand : Demand or frozen distribution of scipy.stats
        Demand of a period; a continuous one is taken to the nearest whole number.
    lead_time : int
        Periods from order to delivery, >= 0.

    Returns
    -------
    Policy
        ``s``, ``S``, ``cost`` per period: order up to S when the position is s or less.

    Warns
    -----
    ModelWarning
        Where whole units are too large for a continuous demand: see :meth:`Demand.table`.

    Examples
    --------
    >>> optimal_s_S(1, 9, 64, Demand.poisson(20))
    Policy(s=14, S=62, cost=49.17303...)
    >>> optimal_s_S(1, 9, 64, Demand.poisson(20), lead_time=2)
    Policy(s=55, S=104, cost=52.08439...)
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed, (pmf, d) = number("order_cost", order_cost, open_low=False), _demands(demand, lead_time)
    typical = math.sqrt(2.0 * fixed * float(pmf @ np.arange(len(pmf))) * (1.0 / h + 1.0 / p))
    if typical > WIDEST:
        raise CapacityError(
            f"an order would be for some {typical:,.3g} units, at an order cost of {fixed:g}; allowed are "
            f"{WIDEST:,}: count in larger units, of {1.001 * typical / WIDEST:.3g} or more, and their costs"
        )
    m = _renewals(pmf, 64)
    total = np.append(0.0, np.cumsum(m))
    best = int(d.quantile(fractile(h, p)))
    base = best - 256
    g = one_period(d, h, p, base, best + 256)

    def one(y: int) -> float:
        nonlocal base, g
        while y < base:
            g = np.concatenate([one_period(d, h, p, base - len(g), base), g])
            base -= len(g) // 2
        while y >= base + len(g):
            g = np.concatenate([g, one_period(d, h, p, base + len(g), base + 2 * len(g))])
        return float(g[y - base])

    def cost(s: int, S: int) -> float:
        nonlocal m, total
        k = S - s
        if k > len(m):
            m = _renewals(pmf, 2 * k, m)
            total = np.append(0.0, np.cumsum(m))
        one(s), one(S)
        return float((fixed + m[:k] @ g[S - base : s - base : -1]) / total[k])

    top, s = best, best - 1
    while cost(s, top) > one(s):
        s -= 1
    found = cost(s, top)
    candidate = top + 1
    while one(candidate) <= found:
        if cost(s, candidate) < found:
            top = candidate
            while s + 1 < top and cost(s, top) <= one(s + 1):
                s += 1
            found = cost(s, top)
        candidate += 1
    return Policy(s, top, found)


def one_period(d: Demand, h: float, p: float, start: int, stop: int) -> Floats:
    """Newsvendor's cost of each whole number from start to stop."""
    y = np.arange(start, stop, dtype=np.float64)
    return np.asarray(h * np.asarray(d.left_over(y)) + p * np.asarray(d.shortage(y)))


def policy_cost(
    s: int,
    S: int,
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    demand: Any,
    *,
    lead_time: int = 0,
) -> float:
    """Return the cost per period of an (s, S) policy with whole-number demand.

    Parameters
    ----------
    s, S : int
        Order up to S when the inventory position is s or less; s < S.
    holding_cost, stockout_cost, order_cost, demand, lead_time
        As for :func:`optimal_s_S`.

    Examples
    --------
    >>> round(policy_cost(14, 62, 1, 9, 64, Demand.poisson(20)), 6)
    49.173036
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    fixed, (pmf, d) = number("order_cost", order_cost, open_low=False), _demands(demand, lead_time)
    top = Parameter("S", int, low=-LARGEST, high=LARGEST).check(S)
    low = Parameter("s", int, low=-LARGEST, high=LARGEST).check(s)
    if low >= top:
        raise InvalidArgument(argument="s", value=s, allowed=f"an integer below S = {S}")
    m = _renewals(pmf, top - low)
    return float((fixed + m @ one_period(d, h, p, low + 1, top + 1)[::-1]) / m.sum())


def power_approximation(
    holding_cost: ArrayLike,
    stockout_cost: ArrayLike,
    order_cost: ArrayLike,
    mean: ArrayLike,
    std: ArrayLike,
    lead_time: ArrayLike = 0.0,
) -> tuple[Any, Any]:
    r"""Return (s, S) by the power approximation of Ehrhardt and Mosier (1984), without a search.

    With :math:`\mu_L, \sigma_L` of the demand of lead time and period,

    .. math:: Q = 1.3\,\mu^{0.494} (K/h)^{0.506} (1 + \sigma_L^2/\mu^2)^{0.116}, \quad
        z = \sqrt{Qh/(\sigma_L p)}, \quad s = 0.973\,\mu_L + \sigma_L(0.183/z + 1.063 - 2.192\,z)

    and S = s + Q; where Q is at most 1.5 periods' demand, neither is above the newsvendor's level.

    Parameters
    ----------
    holding_cost, stockout_cost, order_cost : array_like
        As in :func:`optimal_s_S`.
    mean, std : array_like
        Of a period's demand.
    lead_time : array_like
        Periods from order to delivery.

    Returns
    -------
    s, S : float or ndarray
        To be rounded.

    Examples
    --------
    >>> [round(x, 1) for x in power_approximation(1, 9, 64, 20, 20**0.5)]
    [14.4, 61.5]
    """
    from scipy.special import ndtri

    h, p = numbers("holding_cost", holding_cost), numbers("stockout_cost", stockout_cost)
    fixed, m, v = numbers("order_cost", order_cost), numbers("mean", mean), numbers("std", std)
    periods = 1.0 + numbers("lead_time", lead_time, open_low=False)
    together(holding_cost=h, stockout_cost=p, order_cost=fixed, mean=m, std=v, lead_time=periods)
    over, spread = periods * m, np.sqrt(periods) * v
    order = 1.3 * m**0.494 * (fixed / h) ** 0.506 * (1.0 + (spread / m) ** 2) ** 0.116
    z = np.sqrt(order * h / (spread * p))
    s = 0.973 * over + spread * (0.183 / z + 1.063 - 2.192 * z)
    most = np.where(order > 1.5 * m, np.inf, over + ndtri(p / (p + h)) * spread)
    return plain(np.minimum(s, most)), plain(np.minimum(s + order, most))
