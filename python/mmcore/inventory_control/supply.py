r"""Supply that cannot be relied on: a random yield of what was ordered, or a supplier who is down at times.

**Yield.** Of an order for Q there comes QZ (proportional) or Q + Y (additive). With deterministic demand D a
cycle costs :math:`S + H E(QZ)^2/2D` and lasts :math:`Q E Z/D`, so that (renewal reward)

.. math:: Q = \sqrt{\frac{2DS}{H\,E Z^2}}, \quad \text{cost } \frac{\sqrt{2DSH\,E Z^2}}{E Z}; \qquad
    Q + E Y = \sqrt{2DS/H + \operatorname{Var} Y}, \quad \text{cost } H(Q + E Y).

The newsvendor's cost is :math:`E[h(X - D)^+ + p(D - X)^+]` of what comes, X. It is convex in Q; at its bottom
:math:`E F(Q + Y) = p/(p + h)`, or :math:`E[Z F(QZ)] = p\,E Z/(p + h)`.

**Availability.** A supplier fails at a rate a while it is up, recovers at a rate b, and is met when the stock
is gone: with :math:`\psi = a/(a + b)\,(1 - e^{-(a + b)Q/D})` the chance to find it down, a cycle lasts
:math:`Q/D + \psi/b`, and what is asked for in the meantime is lost at p each:

.. math:: \frac{S + HQ^2/2D + pD\psi/b}{Q/D + \psi/b}.

Random yields and failures from period to period, with lead times and lost sales, are Markov decision
processes: :func:`~mmcore.inventory_control.periodic_review`.

Source: Snyder and Shen (2019), chapter 9; Parlar and Berkin, *Naval Research Logistics* 38 (1991), 107-121,
as corrected by Berk and Arreola-Risa, ibid. 41 (1994), 129-132.

Examples
--------
>>> eoq_with_yield(1300, 8, 0.225, yield_mean=0.8, yield_std=0.2)
OrderQuantity(quantity=368.711, cycle_time=0.226899, cost=70.516)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import LARGEST, number, numbers, together
from ..errors import InvalidArgument, NoConvergence
from .demand import Demand
from .order_quantity import OrderQuantity
from .roots import root
from .single_period import NewsvendorResult

__all__ = ["eoq_with_disruptions", "eoq_with_yield", "newsvendor_with_yield"]

Floats = NDArray[np.float64]

KINDS = ("proportional", "additive")


def eoq_with_yield(
    demand: ArrayLike,
    order_cost: ArrayLike,
    holding_cost: ArrayLike,
    *,
    yield_mean: ArrayLike,
    yield_std: ArrayLike,
    kind: str = "proportional",
) -> OrderQuantity:
    """Economic order quantity where what comes of an order is random.

    Parameters
    ----------
    demand, order_cost, holding_cost : array_like
        As for :func:`eoq`.
    yield_mean, yield_std : array_like
        Mean and standard deviation >= 0 of Z (mean > 0), or of Y in units.
    kind : {"proportional", "additive"}
        Whether QZ or Q + Y comes.

    Returns
    -------
    OrderQuantity
        The quantity ordered. Where Y brings so much that none need be ordered, this is refused.

    Examples
    --------
    >>> eoq_with_yield(1300, 8, 0.225, yield_mean=-15, yield_std=9, kind="additive")
    OrderQuantity(quantity=319.18, cycle_time=0.233985, cost=68.4405)
    """
    d, s, h = (
        numbers("demand", demand),
        numbers("order_cost", order_cost),
        numbers("holding_cost", holding_cost),
    )
    _known(kind)
    m = numbers("yield_mean", yield_mean, 0.0 if kind == "proportional" else -math.inf)
    v = numbers("yield_std", yield_std, open_low=False)
    together(demand=d, order_cost=s, holding_cost=h, yield_mean=m, yield_std=v)
    if kind == "proportional":
        square = m * m + v * v
        quantity = np.sqrt(2.0 * d * s / (h * square))
        return OrderQuantity(quantity, quantity * m / d, h * quantity * square / m)
    comes = np.sqrt(2.0 * d * s / h + v * v)
    quantity = comes - m
    if not np.all(quantity > 0.0):
        raise InvalidArgument(argument="yield_mean", value=yield_mean, allowed="below what a cycle needs")
    return OrderQuantity(quantity, comes / d, h * comes)


def eoq_with_disruptions(
    demand: float,
    order_cost: float,
    holding_cost: float,
    stockout_cost: float,
    *,
    disruption_rate: float,
    recovery_rate: float,
) -> OrderQuantity:
    """Economic order quantity where the supplier is down at times, and sales are lost meanwhile.

    Parameters
    ----------
    demand, order_cost, holding_cost : float
        As for :func:`eoq`.
    stockout_cost : float
        p > 0 for each unit lost.
    disruption_rate, recovery_rate : float
        Failures per unit of time while the supplier is up, >= 0; recoveries while it is down, > 0.

    Returns
    -------
    OrderQuantity
        ``cycle_time`` is its mean, the wait for the supplier included.

    Raises
    ------
    InvalidArgument
        Where to lose all sales is cheaper than to hold stock.

    Examples
    --------
    >>> eoq_with_disruptions(1300, 8, 0.225, 5, disruption_rate=1.5, recovery_rate=14)
    OrderQuantity(quantity=772.811, cycle_time=0.601382, cost=173.95)
    """
    d, s, h = number("demand", demand), number("order_cost", order_cost), number("holding_cost", holding_cost)
    p, b = number("stockout_cost", stockout_cost), number("recovery_rate", recovery_rate)
    a = number("disruption_rate", disruption_rate, open_low=False)
    total = a + b

    def parts(q: float) -> tuple[float, float, float, float]:
        """Cost and length of a cycle, and by how much they grow with Q."""
        wait = a / total * -math.expm1(-total * q / d) / b
        slower = a / (d * b) * math.exp(-total * q / d)
        return (
            s + h * q * q / (2.0 * d) + p * d * wait,
            q / d + wait,
            h * q / d + p * d * slower,
            1.0 / d + slower,
        )

    def slope(q: float) -> float:
        cost, time, more, longer = parts(q)
        return more * time - cost * longer

    high = 2.0 * math.sqrt(2.0 * d * s / h) + d / total
    while slope(high) <= 0.0 and high < LARGEST:
        high *= 2.0
    q = root(slope, 0.0, high)
    cost, time, _, _ = parts(q)
    if not time > 0.0:
        raise NoConvergence("the arguments differ so much in size that rounding hides the answer")
    if cost / time >= p * d:  # what it costs to lose every sale, without stock
        raise InvalidArgument(
            argument="stockout_cost", value=p, allowed=f"above {cost / time / d:g}, what a unit served costs"
        )
    return OrderQuantity(q, time, cost / time)


def newsvendor_with_yield(
    holding_cost: float,
    stockout_cost: float,
    demand: Any,
    supply: Any,
    *,
    kind: str = "proportional",
    quantity: float | None = None,
) -> NewsvendorResult:
    """Find the best quantity for one period's demand, where what comes of it is random.

    Parameters
    ----------
    holding_cost, stockout_cost : float
        As for :func:`newsvendor`.
    demand : Demand or frozen distribution of scipy.stats
        Demand of the period; ``Demand.pmf([d], [1])`` where it is known.
    supply : Demand or frozen distribution of scipy.stats
        Distribution of Z >= 0, or of Y. Where it or the demand is given by probabilities all expectations are
        exact sums, else integrals over 1920 quantiles.
    kind : {"proportional", "additive"}
        Whether QZ or Q + Y comes.
    quantity : float, optional
        A quantity >= 0 to value in place of the best.

    Examples
    --------
    >>> newsvendor_with_yield(15, 75, Demand.pmf([1.5e6], [1.0]), Demand.normal(-50_000, 20_000),
    ...                       kind="additive").quantity
    1569348.43...
    """
    h, p = number("holding_cost", holding_cost), number("stockout_cost", stockout_cost)
    _known(kind)
    law = Demand.of(demand)
    law._warn_of_returns(depth=1)
    problem = _Yield(h, p, law, Demand.of(supply), kind == "proportional")
    if quantity is not None:
        q = number("quantity", quantity, open_low=False)
    else:
        low, high = problem.bracket()
        q = root(problem.slope, low, high)
    return problem.result(q)


def _known(kind: str) -> None:
    if kind not in KINDS:
        raise InvalidArgument(argument="kind", value=kind, allowed="'proportional' or 'additive'")


class _Yield:
    """What a quantity costs: sums over the one of demand and yield that is given by probabilities."""

    def __init__(self, h: float, p: float, d: Demand, z: Demand, proportional: bool) -> None:
        for name, law in (("demand", d), ("supply", z)):
            if np.ndim(law.mean):
                raise InvalidArgument(
                    argument=name, value=law, allowed="one distribution, not an array of them"
                )
        if proportional and (not z.mean > 0.0 or float(z.cdf(-1e-300)) > 1e-9):
            raise InvalidArgument(argument="supply", value=z, allowed="not negative, and of a mean > 0")
        self.h, self.p, self.d, self.z, self.proportional = h, p, d, z, proportional
        self.by_demand = d.support is not None
        self.node, self.weight = _nodes(d if self.by_demand else z)

    def shortage(self, q: float) -> tuple[float, float]:
        """E(D - X)^+, and by how much it falls with Q."""
        w, d, z = self.weight, self.d, self.z
        if not self.by_demand:
            comes = q * self.node if self.proportional else q + self.node
            each = self.node if self.proportional else 1.0
            above = 1.0 - np.asarray(d.cdf(comes))
            return float(w @ d.shortage(comes)), float(w @ (each * above))
        if not self.proportional:  # E(a - Y)^+ = a - E Y + n(a)
            a = self.node - q
            return float(w @ (a - z.mean + z.shortage(a))), float(w @ z.cdf(a))
        if q <= 0.0:
            return float(w @ self.node) - q * z.mean, z.mean
        a = self.node / q
        n = np.asarray(z.shortage(a))
        below = z.mean - n - a * (1.0 - np.asarray(z.cdf(a)))  # E[Z; Z <= a]
        return float(w @ (self.node - q * z.mean + q * n)), float(w @ below)

    def slope(self, q: float) -> float:
        each = self.z.mean if self.proportional else 1.0
        return self.h * each - (self.h + self.p) * self.shortage(q)[1]

    def bracket(self) -> tuple[float, float]:
        low, step = (0.0 if self.proportional else self.d.mean - self.z.mean), self.d.std + self.z.std + 1.0
        while self.slope(low) > 0.0 and not self.proportional:
            low, step = low - step, 2.0 * step
        high, step = low + self.d.std + self.z.std + 1.0, 1.0 + abs(self.d.mean)
        while self.slope(high) < 0.0:
            high, step = high + step, 2.0 * step
        return low, high

    def result(self, q: float) -> NewsvendorResult:
        comes = q * self.z.mean if self.proportional else q + self.z.mean
        short = self.shortage(q)[0]
        cost = self.h * (comes - self.d.mean) + (self.h + self.p) * short
        filled = 1.0 - short / self.d.mean if self.d.mean > 0.0 else 1.0
        return NewsvendorResult(q, cost, self.service(q), filled)

    def service(self, q: float) -> float:
        """P(D <= X)."""
        w = self.weight
        if not self.by_demand:
            return float(w @ self.d.cdf(q * self.node if self.proportional else q + self.node))
        if self.proportional and q <= 0.0:
            return float(w @ (self.node <= 0.0))
        a = self.node / q if self.proportional else self.node - q
        # P(X >= a): what lies just below is left out, so that equality serves
        return float(w @ (1.0 - np.asarray(self.z.cdf(np.nextafter(a, -np.inf)))))


def _nodes(law: Demand) -> tuple[Floats, Floats]:
    """Values and weights of an expectation: those of the law, or Gauss and Legendre's in its quantiles."""
    if law.support is not None:
        return law.support
    x, w = np.polynomial.legendre.leggauss(24)
    # panels that halve towards both ends, where quantiles may run away
    edge = np.concatenate([[0.0], 0.5 ** np.arange(40, 0, -1)])
    edge = np.concatenate([edge, 1.0 - edge[-2::-1]])
    half = np.diff(edge)[:, None] / 2.0
    u = (edge[:-1, None] + half * (x + 1.0)).ravel()
    return np.asarray(law.quantile(u)), (half * w).ravel()
