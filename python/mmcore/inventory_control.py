r"""How much to order and when: the textbook's models of inventory, and their trading form.

**Economic order quantity.** Demand D per unit of time, S for each order, H for holding one unit for a unit of
time: :math:`Q = \sqrt{2DS/H}` costs :math:`\sqrt{2DSH}`. A finite production rate P multiplies H by
:math:`1 - D/P`; planned backorders at B multiply it by :math:`B/(B + H)`.

**The trading form** (:func:`rebalance_band`). A desk whose position drifts by D lots per unit of time and
pays S for each re-balance or re-hedge (fees, half-spread, impact) should let a deviation grow to Q lots, H
being what a lot of deviation costs: capital, and the risk charge :math:`\gamma\sigma^2/2`.

**Newsvendor.** With h for each unit left over and p for each one short, the cost of Q is
:math:`h(Q - \mu) + (h + p)\,n(Q)`, :math:`n(Q) = E(D - Q)^+`; the best Q is the p/(p + h) quantile.

**(s, S).** With a fixed cost K, order up to S when the inventory position is s or less. The cost of a policy
is a renewal reward, and Zheng and Federgruen's search is exact: it walks over every S that could be better,
and does not suppose that S grows with the mean of demand (it does not).

**(r, Q).** Continuous review: order Q when the position falls to r. With :math:`g(y) = h E(y - D_L)^+ + p
E(D_L - y)^+` the cost is :math:`(K\lambda + \sum_{y=r+1}^{r+Q} g(y))/Q`, an integral for normal demand.

Source: Snyder and Shen, *Fundamentals of Supply Chain Theory* (2019); Zheng and Federgruen, *Operations
Research* 39 (1991); Federgruen and Zheng, *Operations Research* 40 (1992); Wagner and Whitin (1958).

Examples
--------
>>> eoq(1300, 8, 0.225)
OrderQuantity(quantity=304.047, cycle_time=0.233882, cost=68.4105)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import CapacityError, InvalidArgument
from .parameters import Parameter

__all__ = [
    "Demand",
    "OrderQuantity",
    "eoq",
    "finite_horizon",
    "newsvendor",
    "optimal_reorder_quantity",
    "optimal_s_S",
    "policy_cost",
    "power_approximation",
    "quantity_discount",
    "rebalance_band",
    "wagner_whitin",
]

Floats = NDArray[np.float64]

_MOST = 1 << 22


def _numbers(name: str, value: Any, positive: bool = True) -> Any:
    """Return a float or an array of floats, > 0 (or >= 0)."""
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.array(math.nan)
    # one pass each for the extremes; NaN comes out of both
    low, high = (array.min(), array.max()) if array.size else (1.0, 1.0)
    good = (low > 0.0 if positive else low >= 0.0) and high < math.inf
    if not good or isinstance(value, (bool, str)):
        allowed = f"finite numbers {'>' if positive else '>='} 0"
        if array.ndim:
            ok = (array > 0.0 if positive else array >= 0.0) & np.isfinite(array)
            index = int(np.argmin(ok))
            raise InvalidArgument(argument=name, value=float(array.flat[index]), allowed=allowed, index=index)
        raise InvalidArgument(argument=name, value=value, allowed="a " + allowed.replace("numbers", "number"))
    return float(array) if array.ndim == 0 else array


class OrderQuantity:
    """An order quantity, or an array of them.

    Attributes
    ----------
    quantity, cycle_time, cost : float or ndarray
        Units per order, time between orders, cost per unit of time.
    backorders : float or ndarray
        Largest backorder of the cycle; 0 where none are planned.
    """

    __slots__ = ("backorders", "cost", "cycle_time", "quantity")

    def __init__(self, quantity: Any, cycle_time: Any, cost: Any, backorders: Any = 0.0) -> None:
        self.quantity, self.cycle_time, self.cost = quantity, cycle_time, cost
        self.backorders = backorders

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
    d, s = _numbers("demand", demand), _numbers("order_cost", order_cost)
    h = held = _numbers("holding_cost", holding_cost)
    used: Any = 1.0
    if production_rate is not None:
        p = _numbers("production_rate", production_rate)
        if not np.all(p > d):
            raise InvalidArgument(argument="production_rate", value=production_rate, allowed="above demand")
        used = (p - d) / p
        held = held * used
    backorders: Any = 0.0
    if backorder_cost is not None:
        b = _numbers("backorder_cost", backorder_cost)
        held = held * (b / (b + h))
    quantity = np.sqrt(2.0 * d * s / held)
    cost = quantity * held
    if backorder_cost is not None:
        backorders = quantity * used * (h / (h + b))
        backorders = float(backorders) if np.ndim(backorders) == 0 else backorders
    cycle = quantity / d
    if np.ndim(quantity) == 0:
        quantity, cycle, cost = float(quantity), float(cycle), float(cost)
    return OrderQuantity(quantity, cycle, cost, backorders)


def rebalance_band(
    turnover: ArrayLike,
    cost: ArrayLike,
    *,
    sigma: ArrayLike = 0.0,
    risk_aversion: ArrayLike = 0.0,
    capital_charge: ArrayLike = 0.0,
) -> OrderQuantity:
    r"""Return how far a position may drift from its target before it is re-balanced, lots.

    The trading form of :func:`eoq`: holding a lot of deviation for a second costs :math:`H` = capital charge
    + :math:`\gamma\sigma^2/2`, and each re-balance costs S whatever its size.

    Parameters
    ----------
    turnover : array_like
        D, lots per second by which the position drifts.
    cost : array_like
        S, tick·lots for each re-balance: fees, half-spread and impact.
    sigma : array_like
        Volatility, ticks/√s.
    risk_aversion : array_like
        γ, 1/(tick·lot).
    capital_charge : array_like
        Ticks per lot and second.

    Returns
    -------
    OrderQuantity
        ``quantity`` is the band in lots, ``cycle_time`` the seconds between re-balances, ``cost`` what both
        cost, tick·lots per second.

    Examples
    --------
    A hedge drifts by 0.05 lots a second; a re-hedge costs 3 tick·lots; σ is 2 ticks/√s and γ 1e-4:

    >>> rebalance_band(0.05, 3.0, sigma=2.0, risk_aversion=1e-4)
    OrderQuantity(quantity=38.7298, cycle_time=774.597, cost=0.00774597)
    """
    capital = _numbers("capital_charge", capital_charge, positive=False)
    gamma = _numbers("risk_aversion", risk_aversion, positive=False)
    held = capital + 0.5 * gamma * np.square(_numbers("sigma", sigma, positive=False))
    if not np.all(held > 0.0):
        raise InvalidArgument(
            "holding costs nothing: give a capital charge, or both sigma and risk_aversion", argument="sigma"
        )
    return eoq(_numbers("turnover", turnover), _numbers("cost", cost), held)


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
    d, s = _numbers("demand", demand), _numbers("order_cost", order_cost)
    i = _numbers("holding_rate", holding_rate)
    start = np.asarray(breaks, dtype=np.float64)
    price = np.asarray(_numbers("prices", prices))
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


class Demand:
    """A distribution of demand: its mean, quantiles, and the expected shortage n(x) = E(D - x)^+.

    Made by :meth:`normal`, :meth:`lognormal`, :meth:`gamma`, :meth:`poisson`, :meth:`negative_binomial`,
    :meth:`empirical` and :meth:`pmf`; or :meth:`of` a frozen distribution of scipy. Parameters may be arrays.

    Attributes
    ----------
    mean, std : float or ndarray
    discrete : bool
        Whether demand is a whole number of units.

    Examples
    --------
    >>> d = Demand.poisson(20)
    >>> d.quantile(0.9), round(d.shortage(26), 6)
    (26.0, 0.218643)
    """

    def __init__(
        self, name: str, mean: Any, std: Any, discrete: bool, quantile: Any, cdf: Any, shortage: Any
    ) -> None:
        self.name, self.mean, self.std, self.discrete = name, mean, std, discrete
        self._quantile, self._cdf, self._shortage = quantile, cdf, shortage

    def __repr__(self) -> str:
        return f"Demand({self.name}, mean={self.mean!r}, std={self.std!r})"

    def quantile(self, probability: ArrayLike) -> Any:
        """Return the smallest demand whose distribution function is at least this."""
        p = np.asarray(probability, dtype=np.float64)
        if not ((p > 0.0) & (p < 1.0)).all():
            raise InvalidArgument(
                argument="probability", value=probability, allowed="strictly between 0 and 1"
            )
        return _plain(self._quantile(p))

    def cdf(self, x: ArrayLike) -> Any:
        """P(D <= x)."""
        return _plain(self._cdf(np.asarray(x, dtype=np.float64)))

    def shortage(self, x: ArrayLike) -> Any:
        """E(D - x)^+."""
        return _plain(self._shortage(np.asarray(x, dtype=np.float64)))

    def probabilities(self, most: int) -> Floats:
        """P(D = 0), …, P(D = most); where demand is continuous, of the nearest whole number."""
        edge = np.arange(-1, most + 1) + (0.0 if self.discrete else 0.5)
        return np.asarray(np.diff(self._cdf(edge)))

    # -- the families ------------------------------------------------------------------------------

    @classmethod
    def normal(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Normal demand."""
        from scipy.special import ndtr, ndtri

        m, s = np.asarray(mean, dtype=np.float64), _numbers("std", std)
        if not np.isfinite(m).all():
            raise InvalidArgument(argument="mean", value=mean, allowed="finite numbers")

        def shortage(x: Any) -> Any:
            z = (x - m) / s
            return s * (np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) - z * ndtr(-z))

        return cls(
            "normal", _plain(m), s, False, lambda p: m + s * ndtri(p), lambda x: ndtr((x - m) / s), shortage
        )

    @classmethod
    def lognormal(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Lognormal demand with this mean and standard deviation (of demand, not of its logarithm)."""
        from scipy.special import ndtr, ndtri

        m, s = _numbers("mean", mean), _numbers("std", std)
        v = np.sqrt(np.log1p((s / m) ** 2))
        u = np.log(m) - 0.5 * v * v

        def z(x: Any) -> Any:
            with np.errstate(divide="ignore"):
                return (np.log(np.maximum(x, 0.0)) - u) / v

        def shortage(x: Any) -> Any:
            return m * ndtr(v - z(x)) - x * ndtr(-z(x))

        return cls(
            "lognormal", m, s, False, lambda p: np.exp(u + v * ndtri(p)), lambda x: ndtr(z(x)), shortage
        )

    @classmethod
    def gamma(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Gamma demand with this mean and standard deviation."""
        from scipy.special import gammainc, gammaincc, gammaincinv

        m, s = _numbers("mean", mean), _numbers("std", std)
        a, scale = (m / s) ** 2, s * s / m

        def shortage(x: Any) -> Any:
            y = np.maximum(x, 0.0) / scale
            return m * gammaincc(a + 1.0, y) - x * gammaincc(a, y)

        def cdf(x: Any) -> Any:
            return gammainc(a, np.maximum(x, 0.0) / scale)

        return cls("gamma", m, s, False, lambda p: scale * gammaincinv(a, p), cdf, shortage)

    @classmethod
    def poisson(cls, mean: ArrayLike) -> Demand:
        """Poisson demand."""
        from scipy.special import gammainc, gammaincc, pdtrik

        m = _numbers("mean", mean)

        def above(k: Any) -> Any:  # P(D > k)
            return np.where(k < 0.0, 1.0, gammainc(np.maximum(np.floor(k), 0.0) + 1.0, m))

        def cdf(x: Any) -> Any:
            return np.where(x < 0.0, 0.0, gammaincc(np.maximum(np.floor(x), 0.0) + 1.0, m))

        def shortage(x: Any) -> Any:
            k = np.floor(x)
            return m * above(k - 1.0) - x * above(k)

        def quantile(p: Any) -> Any:
            k = np.maximum(np.ceil(pdtrik(p, m)), 0.0)
            return np.where((k > 0.0) & (cdf(k - 1.0) >= p), k - 1.0, k)

        return cls("poisson", m, np.sqrt(m), True, quantile, cdf, shortage)

    @classmethod
    def negative_binomial(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Negative binomial demand: over-dispersed counts, std² > mean."""
        from scipy.special import betainc, nbdtrik

        m, s = _numbers("mean", mean), _numbers("std", std)
        if not np.all(s * s > m):
            raise InvalidArgument(argument="std", value=std, allowed="above the root of the mean")
        p = m / (s * s)
        r = m * p / (1.0 - p)

        def above(k: Any, shape: Any) -> Any:
            return np.where(k < 0.0, 1.0, betainc(np.maximum(np.floor(k), 0.0) + 1.0, shape, 1.0 - p))

        def cdf(x: Any) -> Any:
            return np.where(x < 0.0, 0.0, betainc(r, np.maximum(np.floor(x), 0.0) + 1.0, p))

        def shortage(x: Any) -> Any:
            # d·P_r(d) = mean·P_{r+1}(d − 1)
            k = np.floor(x)
            return m * above(k - 1.0, r + 1.0) - x * above(k, r)

        def quantile(q: Any) -> Any:
            k = np.maximum(np.ceil(nbdtrik(q, r, p)), 0.0)
            return np.where((k > 0.0) & (cdf(k - 1.0) >= q), k - 1.0, k)

        return cls("negative binomial", m, s, True, quantile, cdf, shortage)

    @classmethod
    def pmf(cls, values: ArrayLike, probabilities: ArrayLike) -> Demand:
        """Demand with these values and probabilities."""
        v, p = np.asarray(values, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
        if v.ndim != 1 or not len(v) or not np.isfinite(v).all():
            raise InvalidArgument(argument="values", value=values, allowed="finite numbers")
        if p.shape != v.shape or not (p >= 0.0).all() or abs(float(p.sum()) - 1.0) > 1e-9:
            raise InvalidArgument(
                argument="probabilities",
                value=probabilities,
                allowed="numbers >= 0 with sum 1, one per value",
            )
        order = np.argsort(v)
        v, p = v[order], p[order] / p.sum()
        mean = float(p @ v)
        std = math.sqrt(float(p @ (v - mean) ** 2))
        total = np.cumsum(p)
        after, worth = (
            np.append(np.cumsum(p[::-1])[::-1], 0.0),
            np.append(np.cumsum((p * v)[::-1])[::-1], 0.0),
        )

        def quantile(q: Any) -> Any:
            return v[np.minimum(np.searchsorted(total, q * (1.0 - 1e-15)), len(v) - 1)]

        def cdf(x: Any) -> Any:
            return np.append(0.0, total)[np.searchsorted(v, x, side="right")]

        def shortage(x: Any) -> Any:
            k = np.searchsorted(v, x, side="right")
            return worth[k] - x * after[k]

        return cls("pmf", mean, std, bool((v == np.rint(v)).all()), quantile, cdf, shortage)

    @classmethod
    def empirical(cls, sample: ArrayLike) -> Demand:
        """Demand as it was seen: each observation as likely as another."""
        x = np.asarray(sample, dtype=np.float64).ravel()
        if not x.size:
            raise InvalidArgument(argument="sample", value=sample, allowed="at least one number")
        values, counts = np.unique(x, return_counts=True)
        return cls.pmf(values, counts / x.size)

    @classmethod
    def of(cls, distribution: Any) -> Demand:
        """Take a frozen distribution of scipy.stats, or a Demand as it is."""
        if isinstance(distribution, Demand):
            return distribution
        if not all(hasattr(distribution, name) for name in ("cdf", "ppf", "sf", "mean", "std")):
            raise InvalidArgument(
                argument="demand",
                value=distribution,
                allowed="a Demand or a frozen distribution of scipy.stats",
            )
        discrete = hasattr(distribution, "pmf")

        def one(x: float) -> float:
            if discrete:
                top = max(float(distribution.mean() + 40.0 * distribution.std()) + 60.0, x + 1.0)
                k = np.arange(math.floor(x), math.ceil(top) + 1)
                above = distribution.sf(k)
                return float(above[1:].sum() + above[0] * (math.floor(x) + 1 - x))
            from scipy.integrate import quad

            return float(quad(distribution.sf, x, math.inf, epsabs=1e-13, epsrel=1e-12, limit=200)[0])

        return cls(
            "scipy",
            float(distribution.mean()),
            float(distribution.std()),
            discrete,
            distribution.ppf,
            distribution.cdf,
            np.vectorize(one, otypes=[float]),
        )


def _plain(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


class NewsvendorResult(NamedTuple):
    """What :func:`newsvendor` finds; floats, or arrays."""

    quantity: Any
    """The order quantity, or base-stock level."""
    cost: Any
    """Expected cost."""
    service_level: Any
    """Probability of no shortage."""
    fill_rate: Any
    """Share of demand that is met."""


def newsvendor(
    holding_cost: ArrayLike, stockout_cost: ArrayLike, demand: Any, quantity: ArrayLike | None = None
) -> NewsvendorResult:
    """Find the best quantity for one period's demand; the base stock, for demand over the lead time.

    Parameters
    ----------
    holding_cost : array_like
        h > 0, for each unit left over.
    stockout_cost : array_like
        p > 0, for each unit short.
    demand : Demand or frozen distribution of scipy.stats
        Demand of the period, or of lead time and review period together for a base stock.
    quantity : array_like, optional
        A quantity to value in place of the best.

    Returns
    -------
    NewsvendorResult
        ``quantity``, ``cost``, ``service_level``, ``fill_rate``.

    Examples
    --------
    >>> newsvendor(2, 18, Demand.normal(120, 10)).quantity
    132.815515655446
    >>> newsvendor(2, 18, Demand.poisson(120)).quantity
    134.0
    """
    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    d = Demand.of(demand)
    q = d.quantile(p / (p + h)) if quantity is None else np.asarray(quantity, dtype=np.float64)
    short = d.shortage(q)
    return NewsvendorResult(
        _plain(q), _plain(h * (q - d.mean) + (h + p) * short), d.cdf(q), _plain(1.0 - short / d.mean)
    )


class Policy(NamedTuple):
    """An (s, S) policy and its cost per period."""

    s: int
    S: int
    cost: float


def _table(demand: Demand) -> Floats:
    """P(D = 0), … as far as a double can tell."""
    top = math.ceil(float(np.max(demand.mean)) + 40.0 * float(np.max(demand.std)) + 60.0)
    if top > _MOST:
        raise CapacityError(
            f"demand of up to {top} units needs more than {_MOST} of them: count in larger units"
        )
    p = demand.probabilities(top)
    return p[: int(np.flatnonzero(p > 1e-18)[-1]) + 1]


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


def optimal_s_S(holding_cost: float, stockout_cost: float, order_cost: float, demand: Any) -> Policy:
    """Find the optimal (s, S) of a whole-number demand, exactly (Zheng and Federgruen 1991).

    Parameters
    ----------
    holding_cost, stockout_cost : float
        Per unit and period, on hand and short (backlogged).
    order_cost : float
        K > 0, for each order.
    demand : Demand or frozen distribution of scipy.stats
        Demand of a period (with lead time L: costs are those of L + 1 periods' demand, which is not this).

    Returns
    -------
    Policy
        ``s``, ``S``, ``cost`` per period: order up to S when the position is s or less.

    Examples
    --------
    >>> optimal_s_S(1, 9, 64, Demand.poisson(20))
    Policy(s=14, S=62, cost=49.17303...)
    """
    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    fixed, d = _numbers("order_cost", order_cost), Demand.of(demand)
    pmf = _table(d)
    m = _renewals(pmf, 64)
    total = np.append(0.0, np.cumsum(m))
    best = int(d.quantile(p / (p + h)))
    base = best - 256
    g = _one_period(d, h, p, base, best + 256)

    def one(y: int) -> float:
        nonlocal base, g
        while y < base:
            g = np.concatenate([_one_period(d, h, p, base - len(g), base), g])
            base -= len(g) // 2
        while y >= base + len(g):
            g = np.concatenate([g, _one_period(d, h, p, base + len(g), base + 2 * len(g))])
        return float(g[y - base])

    def cost(s: int, S: int) -> float:
        nonlocal m, total
        k = S - s
        if k > len(m):
            if k > _MOST:
                raise CapacityError(f"the order would be for more than {_MOST} units: count in larger units")
            m = _renewals(pmf, 2 * k, m)
            total = np.append(0.0, np.cumsum(m))
        one(s + 1), one(S)
        return float((fixed + m[:k] @ g[S - base : s - base : -1]) / total[k])

    top, s = best, best - 1
    while cost(s, top) > one(s):
        s -= 1
    found = cost(s, top)
    candidate = top + 1
    while one(candidate) <= found:
        if cost(s, candidate) < found:
            top = candidate
            while cost(s, top) <= one(s + 1):
                s += 1
            found = cost(s, top)
        candidate += 1
    return Policy(s, top, found)


def _one_period(d: Demand, h: float, p: float, start: int, stop: int) -> Floats:
    y = np.arange(start, stop, dtype=np.float64)
    return np.asarray(h * (y - d.mean) + (h + p) * np.asarray(d.shortage(y)))


def policy_cost(
    s: int, S: int, holding_cost: float, stockout_cost: float, order_cost: float, demand: Any
) -> float:
    """Return the cost per period of an (s, S) policy with whole-number demand.

    Examples
    --------
    >>> round(policy_cost(14, 62, 1, 9, 64, Demand.poisson(20)), 6)
    49.173036
    """
    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    fixed, d = _numbers("order_cost", order_cost), Demand.of(demand)
    if not (isinstance(s, int) and isinstance(S, int) and s < S):
        raise InvalidArgument(argument="s", value=s, allowed=f"an integer below S = {S}")
    m = _renewals(_table(d), S - s)
    return float((fixed + m @ _one_period(d, h, p, s + 1, S + 1)[::-1]) / m.sum())


def power_approximation(
    holding_cost: float,
    stockout_cost: float,
    order_cost: float,
    mean: float,
    std: float,
    lead_time: float = 0.0,
) -> tuple[float, float]:
    """Return (s, S) by the power approximation of Ehrhardt and Mosier (1984), without a search.

    Parameters
    ----------
    holding_cost, stockout_cost, order_cost : float
        As in :func:`optimal_s_S`.
    mean, std : float
        Of a period's demand.
    lead_time : float
        Periods from order to delivery.

    Examples
    --------
    >>> [round(x, 1) for x in power_approximation(1, 9, 64, 20, 20**0.5)]
    [14.4, 61.5]
    """
    from scipy.special import ndtri

    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    fixed, m, v = _numbers("order_cost", order_cost), _numbers("mean", mean), _numbers("std", std)
    periods = 1.0 + _numbers("lead_time", lead_time, positive=False)
    over, spread = periods * m, math.sqrt(periods) * v
    order = 1.3 * m**0.494 * (fixed / h) ** 0.506 * (1.0 + (spread / m) ** 2) ** 0.116
    z = math.sqrt(order * h / (spread * p))
    s = 0.973 * over + spread * (0.183 / z + 1.063 - 2.192 * z)
    if order / m > 1.5:
        return s, s + order
    base = over + float(ndtri(p / (p + h))) * spread
    return min(s, base), min(s + order, base)


class ReorderQuantity(NamedTuple):
    """An (r, Q) policy and its cost per unit of time."""

    r: float
    Q: float
    cost: float


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
        For each order.
    demand_rate, lead_time : float
        Units per unit of time; time from order to delivery.
    std : float, optional
        Standard deviation of a unit of time's demand: normal demand. None: Poisson.

    Examples
    --------
    >>> optimal_reorder_quantity(20, 150, 100, 1.5, 2)
    ReorderQuantity(r=3, Q=5, cost=107.92358...)
    """
    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    fixed, rate = _numbers("order_cost", order_cost), _numbers("demand_rate", demand_rate)
    lead = _numbers("lead_time", lead_time)
    if std is not None:
        return _reorder_normal(h, p, fixed * rate, rate * lead, _numbers("std", std) * math.sqrt(lead))
    d = Demand.poisson(rate * lead)
    start = int(d.quantile(p / (p + h)))
    low = high = start  # the positions r + 1 … r + Q that are visited equally
    reach = 64
    g = _one_period(d, h, p, start - reach, start + reach)
    summed = float(g[reach])
    best = fixed * rate + summed
    while True:
        if min(start - low, high - start) + 2 >= reach or max(start - low, high - start) + 2 >= reach:
            reach *= 2
            g = _one_period(d, h, p, start - reach, start + reach)
        below, above = float(g[low - 1 - start + reach]), float(g[high + 1 - start + reach])
        if min(below, above) >= best:
            return ReorderQuantity(low - 1, high - low + 1, best)
        if below < above:
            low, summed = low - 1, summed + below
        else:
            high, summed = high + 1, summed + above
        best = (fixed * rate + summed) / (high - low + 1)


def _reorder_normal(h: float, p: float, fixed: float, mean: float, std: float) -> ReorderQuantity:
    """At the optimum g(r) = g(r + Q) = cost: one root in the level of g."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    d = Demand.normal(mean, std)
    bottom = d.quantile(p / (p + h))

    def g(y: float) -> float:
        return float(h * (y - mean) + (h + p) * d.shortage(y))

    def second(y: float) -> float:  # ∫_y^∞ E(D − u)^+ du
        z = (y - mean) / std
        return (
            std
            * std
            * 0.5
            * ((z * z + 1.0) * float(ndtr(-z)) - z * math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi))
        )

    least = g(bottom)

    def ends(level: float) -> tuple[float, float]:
        reach = std + (level - least) / min(h, p)
        low, high = bottom - reach, bottom + reach
        while g(low) < level:
            low -= reach
        while g(high) < level:
            high += reach
        left = brentq(lambda y: g(y) - level, low, bottom, xtol=1e-14 * (1 + abs(low)), rtol=1e-15)
        right = brentq(lambda y: g(y) - level, bottom, high, xtol=1e-14 * (1 + abs(high)), rtol=1e-15)
        return float(left), float(right)

    def excess(level: float) -> float:
        r, top = ends(level)
        area = h * ((top - mean) ** 2 - (r - mean) ** 2) / 2.0 + (h + p) * (second(r) - second(top))
        return level * (top - r) - area - fixed

    high = 2.0 * least + 1e-300
    while excess(high) < 0.0:
        high *= 2.0
    level = float(brentq(excess, least * (1.0 + 1e-12), high, xtol=1e-13 * high, rtol=1e-14))
    r, top = ends(level)
    return ReorderQuantity(r, top - r, level)


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
    d = np.atleast_1d(np.asarray(_numbers("demand", demand, positive=False)))
    n = len(d)
    if d.ndim != 1 or not n:
        raise InvalidArgument(argument="demand", value=demand, allowed="one number for each period")
    each = []
    for name, value in (
        ("order_cost", order_cost),
        ("holding_cost", holding_cost),
        ("purchase_cost", purchase_cost),
    ):
        array = np.asarray(_numbers(name, value, positive=False))
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


class FiniteHorizon(NamedTuple):
    """What :func:`finite_horizon` finds."""

    s: NDArray[np.int64]
    """Order when the inventory at the start of the period is at most this; one for each period."""
    S: NDArray[np.int64]
    """Order up to this."""
    cost: float
    """Expected cost from an empty inventory at the start."""
    levels: NDArray[np.int64]
    """Inventory levels of ``values``."""
    values: Floats
    """Expected cost from each period (row; the last is the end) and level."""


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
    r"""Find the optimal (s, S) of each period over a finite horizon, by dynamic programming.

    .. math:: V_t(x) = \min_{y \ge x} K 1_{y > x} + c(y - x) + L(y) + \alpha\,E V_{t+1}(y - D).

    The value is K-convex, so that the best y is the same for every x that orders; one correlation with the
    demand's probabilities makes a period.

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
        How many standard deviations about its mean demand may be.
    tails : {"kept", "cut"}
        ``"kept"``: the probabilities within are made to sum to 1, and all costs are those of this
        whole-number demand. ``"cut"``: what is beyond is left out of the transitions, while a period's
        cost is that of the distribution itself; the convention of published figures, which loses that
        share of later costs.

    Examples
    --------
    >>> p = finite_horizon(5, 1, 20, 50, Demand.normal(100, 20), purchase_cost=2,
    ...                    terminal_holding_cost=1, terminal_stockout_cost=20)
    >>> p.s, p.S
    (array([110, 110, 110, 110, 111]), array([133, 133, 133, 133, 126]))
    """
    count = Parameter("periods", int, low=1, high=1_000_000).check(periods)
    h, p = _numbers("holding_cost", holding_cost), _numbers("stockout_cost", stockout_cost)
    fixed = _numbers("order_cost", order_cost, positive=False)
    price = _numbers("purchase_cost", purchase_cost, positive=False)
    end_h = _numbers("terminal_holding_cost", terminal_holding_cost, positive=False)
    end_p = _numbers("terminal_stockout_cost", terminal_stockout_cost, positive=False)
    alpha = Parameter("discount", float, low=0.0, high=1.0, open_low=True).check(discount)
    wide = _numbers("deviations", deviations)
    d = Demand.of(demand)
    low = max(0, math.floor(d.mean - wide * d.std))
    high = max(low + 1, math.ceil(d.mean + wide * d.std))
    pmf = d.probabilities(high)[low:]
    if tails not in ("kept", "cut"):
        raise InvalidArgument(argument="tails", value=tails, allowed="'kept' or 'cut'")
    if tails == "kept":
        pmf = pmf / pmf.sum()
    # the position never pays above what covers all demand, nor does an empty start fall below it all
    floor, ceiling = -count * high, (count + 1) * high
    if ceiling - floor > _MOST:
        raise CapacityError(f"{ceiling - floor} levels, more than {_MOST}: count in larger units")
    x = np.arange(floor, ceiling + 1)
    values = np.empty((count + 1, len(x)))
    values[count] = end_h * np.maximum(x, 0) + end_p * np.maximum(-x, 0)
    units = np.arange(low, high + 1)
    mean = float(pmf @ units)
    if tails == "kept":
        # expected holding and shortage of the whole-number demand
        tail = np.append(np.cumsum(pmf[::-1])[::-1], 0.0)
        worth = np.append(np.cumsum((pmf * units)[::-1])[::-1], 0.0)
        k = np.clip(x - low + 1, 0, len(pmf))
        period = h * (x - mean) + (h + p) * (worth[k] - x * tail[k])
    else:
        period = _one_period(d, h, p, floor, ceiling + 1)
    small, large = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    for t in range(count - 1, -1, -1):
        following = values[t + 1]
        # beyond the lattice the value goes on along its edge's line; only states out of reach see it
        edge = following[0] - (following[1] - following[0]) * np.arange(high, 0, -1)
        long = np.concatenate([edge, following])
        expected = (
            np.convolve(long, pmf, mode="valid")[: len(x)]
            if not low
            else (np.convolve(long[: len(long) - low], pmf, mode="valid"))
        )
        whole = price * x + period + alpha * expected
        best = int(np.argmin(whole))
        order = whole[best] + fixed < whole[:best]
        last = int(np.flatnonzero(order)[-1]) if order.any() else -1
        small[t], large[t] = x[last] if last >= 0 else floor - 1, x[best]
        values[t] = whole - price * x
        values[t, : last + 1] = whole[best] + fixed - price * x[: last + 1]
    return FiniteHorizon(small, large, float(values[0, -floor]), x, values)
