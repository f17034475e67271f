r"""Schedules of Almgren and Chriss: linear impact, for an asset or for what is beyond its limit.

X units are traded in N periods of length :math:`\tau = T/N`. A trade of n in a period moves the price for
good by :math:`g\,n` (``permanent`` g, price per unit) and costs :math:`\epsilon\,|n| + \eta\,n^2/\tau`
(``fixed`` ε, half the spread and fees, price; ``temporary`` η, price per unit and unit of time). With
holdings :math:`x_0 = X, \dots, x_N = 0` and trades :math:`n_k = x_{k-1} - x_k`,

.. math:: E = \tfrac12 g X^2 + \epsilon \sum_k |n_k| + \frac{\tilde\eta}{\tau}\sum_k n_k^2
              - a\tau\sum_{k=1}^N x_k, \qquad V = \sigma^2\tau\sum_{k=1}^N x_k^2,
              \qquad \tilde\eta = \eta - \tfrac12 g\tau,

a the drift. Minimising :math:`E + \lambda V` gives

.. math:: x(t) = \bar x + \frac{\sinh\kappa(T-t)}{\sinh\kappa T}(X - \bar x)
              - \frac{\sinh\kappa t}{\sinh\kappa T}\bar x,
              \qquad \bar x = \frac{a}{2\lambda\sigma^2},

with :math:`\tilde\kappa^2 = \lambda\sigma^2/\tilde\eta` and :math:`\kappa = (2/\tau)\,
\mathrm{asinh}(\tilde\kappa\tau/2)`. (The form with acosh loses all digits where κτ is small; that with η for
η̃ belongs to continuous time, ``periods=None``, where κ = κ̃ and sums are integrals.) With :math:`\lambda =
0` holdings fall evenly, and with drift along a parabola.

Source: Almgren and Chriss, *Optimal execution of portfolio transactions* (2000).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import numbers, plain
from ..errors import InvalidArgument, NoConvergence, Unsupported
from ..parameters import Parameter
from .marginal_costs import least_cost, shoot
from .schedule import (
    DRIFT,
    FIXED,
    HORIZON,
    PERIODS,
    PERMANENT,
    QUANTITY,
    RISK_AVERSION,
    SIGMA,
    TEMPORARY,
    Risk,
    Schedule,
    quantile,
)

Floats = NDArray[np.float64]


class AlmgrenChriss(Risk, Schedule):
    """The optimal schedule of Almgren and Chriss (2000).

    Parameters
    ----------
    quantity : float
        X, units to sell (negative: to buy).
    horizon : float
        T; its unit of time is that of ``sigma``, ``temporary`` and ``drift``.
    periods : int or None
        N; None for continuous time.
    sigma : float
        Volatility of the price, price/√time.
    temporary : float
        η > permanent·τ/2, so > 0: price per (unit/time).
    permanent : float
        g ≥ 0: price per unit traded.
    fixed : float
        ε: price; half a spread and fees. It decides where a drift would have units traded both ways, which in
        continuous time is refused.
    risk_aversion : float
        λ ≥ 0, per unit of money; 0 is the risk-neutral limit.
    drift : float
        Expected drift of the price, price/time.
    most : array_like, optional
        Largest trade of each period, or one number for all (a share of the volume); needs ``periods``. The
        objective is the same, in trades of the quantity's side.

    Attributes
    ----------
    temporary_adjusted : float
        η̃ = η − permanent·τ/2.
    kappa, half_life : float
        The decay κ, and 1/κ, which the paper calls half-life; infinite for λ = 0. Those of the schedule
        without ``most``.
    expected_cost, variance, std, utility : float
        E, V, √V and E + λV.
    times, holdings, trades : ndarray
        The schedule; in continuous time on 201 points, with :meth:`at` exact everywhere.
    """

    def __init__(
        self,
        quantity: float,
        horizon: float,
        periods: int | None,
        sigma: float,
        *,
        temporary: float,
        permanent: float = 0.0,
        fixed: float = 0.0,
        risk_aversion: float = 0.0,
        drift: float = 0.0,
        most: ArrayLike | None = None,
    ) -> None:
        self.quantity = QUANTITY.check(quantity)
        self.horizon, self.periods = HORIZON.check(horizon), PERIODS.check(periods)
        self.sigma, self.permanent = SIGMA.check(sigma), PERMANENT.check(permanent)
        self.temporary, self.fixed = TEMPORARY.check(temporary), FIXED.check(fixed)
        self.risk_aversion, self.drift = RISK_AVERSION.check(risk_aversion), DRIFT.check(drift)
        tau = 0.0 if self.periods is None else self.horizon / self.periods
        self.period = tau
        adjusted = self.temporary - 0.5 * self.permanent * tau
        if not adjusted > 0.0:
            raise InvalidArgument(
                argument="temporary",
                value=self.temporary,
                allowed=f"more than permanent * horizon / (2 periods) = {0.5 * self.permanent * tau:g}",
            )
        self.temporary_adjusted = adjusted
        self.kappa_tilde = math.sqrt(self.risk_aversion / adjusted) * self.sigma
        if tau:
            self.kappa = 2.0 / tau * math.asinh(0.5 * self.kappa_tilde * tau)
        else:
            self.kappa = self.kappa_tilde
        self.half_life = 1.0 / self.kappa if self.kappa else math.inf
        points = np.arange(201 if self.periods is None else self.periods + 1)
        times = points / points[-1] * self.horizon
        self.most: Floats | None = None
        if most is None:
            super().__init__(times, self._exact(times))
            if self.fixed and self.drift:
                self._pay_fixed()
            return
        if self.periods is None:
            raise Unsupported("a participation cap in continuous time: give periods")
        from ..portfolio.covariances import as_vector

        self.most = as_vector("most", most, self.periods, infinite=True)
        risk = self.risk_aversion * self.sigma**2
        super().__init__(times, least_cost(self.quantity, times, adjusted, 1.0, risk, self.drift, self.most))

    def _pay_fixed(self) -> None:
        """Where the drift has it traded both ways, take the fixed cost of the detour into the optimum."""
        moves = self.trades if self.periods is not None else self._speed(np.array([0.0, self.horizon]))
        slack = 1e-12 * np.abs(moves).max()
        if moves.min() >= -slack or moves.max() <= slack:
            return
        if self.periods is None:
            raise Unsupported("a fixed cost with a drift that pays for trades both ways: give periods")
        size = float(np.abs(self.holdings).max())
        unit = 2.0 * self.temporary_adjusted / self.period * size
        waits = 2.0 * self.fixed / unit

        def trade(_: int, marginal: float) -> float:
            # sold for more than the fixed cost, bought for less than what it takes from the proceeds
            return marginal if marginal > 0.0 else min(marginal + waits, 0.0)

        whole = self.quantity / size
        pull = 2.0 * self.risk_aversion * self.sigma**2 * self.period * size / unit
        sold = shoot(trade, len(self.times) - 1, pull, self.drift * self.period / unit, whole, 1e100)
        held = np.append(np.cumsum(sold)[::-1], 0.0)
        if not abs(held[0] - whole) <= 1e-9:
            raise NoConvergence(f"the trades' sum misses the quantity by {size * (held[0] - whole):.1e}")
        held[0] = whole
        self.holdings = size * held

    def _exact(self, t: Floats, left: Floats | None = None) -> Floats:
        """Holdings of the optimum at times within the horizon, and the times left."""
        kappa, horizon = self.kappa, self.horizon
        left = horizon - t if left is None else left
        if kappa * horizon < 1e-8:
            # λ = 0 (or nothing of it is left in double precision): a line, and a parabola for the drift
            push = self.drift / (4.0 * self.temporary_adjusted)
            return np.asarray(self.quantity * (left / horizon) + push * t * left)
        falling = _sinh_ratio(kappa, left, t)
        x = self.quantity * falling
        if self.drift:
            # x̄ (1 − (sinh κ(T−t) + sinh κt)/sinh κT), which is a product without cancellation
            a, b = 0.5 * kappa * t, 0.5 * kappa * left
            bend = 2.0 * _sinh_product(a, b)
            x = x + self.drift / (2.0 * self.risk_aversion * self.sigma**2) * bend
        return np.asarray(x)

    def at(self, time: ArrayLike) -> Any:
        """Holdings at these times: the optimum between trades in continuous time, linear else."""
        if self.periods is not None:
            return super().at(time)
        return plain(self._exact(np.clip(numbers("time", time, -math.inf), 0.0, self.horizon)))

    @cached_property
    def expected_cost(self) -> float:
        """E, money."""
        x, n = self._sampled()
        cost = 0.5 * self.permanent * self.quantity**2 + self.fixed * self._path(n)
        if self.periods is None:
            t, left, w = self._gauss()
            speed = self._speed(t, left)
            return float(cost + w @ (self.temporary * speed**2 - self.drift * self._exact(t, left)))
        tau = self.period
        return float(cost + self.temporary_adjusted / tau * (n @ n) - self.drift * tau * x[1:].sum())

    @cached_property
    def variance(self) -> float:
        """V, money squared."""
        if self.periods is None:
            t, left, w = self._gauss()
            return float(self.sigma**2 * (w @ self._exact(t, left) ** 2))
        x = self.holdings[1:]
        return float(self.sigma**2 * self.period * (x @ x))

    def _sampled(self) -> tuple[Floats, Floats]:
        return self.holdings, self.trades

    @staticmethod
    def _path(n: Floats) -> float:
        return float(np.abs(n).sum())

    def _gauss(self) -> tuple[Floats, Floats, Floats]:
        """Nodes, the times left at them and weights, in panels of the decay's length near both ends."""
        node, weight = np.polynomial.legendre.leggauss(20)
        middle = 0.5 * self.horizon
        reach = min(40.0 / self.kappa, middle) if self.kappa else middle
        edges = np.unique(np.append(np.linspace(0.0, reach, 21), middle))
        centre, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        t = (centre[:, None] + half[:, None] * node).ravel()
        w = (half[:, None] * weight).ravel()
        # the other half is the mirror of the first: near the end it is the time left that has the digits
        far = self.horizon - t
        return np.append(t, far), np.append(far, t), np.append(w, w)

    def _speed(self, t: Floats, left: Floats | None = None) -> Floats:
        """-dx/dt in continuous time."""
        kappa, horizon = self.kappa, self.horizon
        left = horizon - t if left is None else left
        if kappa * horizon < 1e-8:
            push = self.drift / (4.0 * self.temporary_adjusted)
            return np.asarray(self.quantity / horizon - push * (left - t))
        speed = self.quantity * kappa * _cosh_ratio(kappa, left, t)
        if self.drift:
            bar = self.drift / (2.0 * self.risk_aversion * self.sigma**2)
            speed -= bar * kappa * (_cosh_ratio(kappa, left, t) - _cosh_ratio(kappa, t, left))
        return np.asarray(speed)

    def replace(self, **changed: Any) -> AlmgrenChriss:
        """Return the same problem with other parameters."""
        names = (
            "quantity",
            "horizon",
            "periods",
            "sigma",
            "permanent",
            "temporary",
            "fixed",
            "risk_aversion",
            "drift",
            "most",
        )
        return AlmgrenChriss(**{**{name: getattr(self, name) for name in names}, **changed})

    def frontier(self, risk_aversions: ArrayLike) -> Floats:
        """Return (E, V) of the optimal schedules for these risk aversions, one row each."""
        chosen = np.ravel(numbers("risk_aversions", risk_aversions, open_low=False))
        rows = [self.replace(risk_aversion=float(value)) for value in chosen]
        return np.array([(row.expected_cost, row.variance) for row in rows]).reshape(-1, 2)

    def least_value_at_risk(self, probability: float = 0.95) -> AlmgrenChriss:
        """Return the schedule whose value at risk is the least: the liquidity-adjusted VaR (L-VaR).

        At its λ the slope of the frontier is that of the value at risk: 2λ√V = z. A probability
        below one half is refused: z < 0, and risk would count as gain.
        """
        from scipy.optimize import brentq

        if (z := quantile(probability)) < 0.0:
            raise InvalidArgument(argument="probability", value=probability, allowed=">= 0.5 and < 1")
        neutral = self.replace(risk_aversion=0.0)
        if z == 0.0 or neutral.variance == 0.0 or self.quantity == 0.0:
            return neutral

        def excess(log_risk: float) -> float:
            made = self.replace(risk_aversion=math.exp(log_risk))
            return math.log(2.0) + log_risk + 0.5 * math.log(made.variance) - math.log(z)

        middle = math.log(z / 2.0) - 0.5 * math.log(neutral.variance)
        high = middle
        while excess(high) < 0.0:
            high += 2.0
            if high > middle + 200.0:
                raise Unsupported("the value at risk falls without end: trade at once")
        return self.replace(
            risk_aversion=math.exp(brentq(excess, middle - 1.0, high, xtol=1e-13, rtol=1e-14))
        )

    def __repr__(self) -> str:
        return (
            f"AlmgrenChriss(quantity={self.quantity:g}, E={self.expected_cost:.6g}, std={self.std:.6g}, "
            f"half_life={self.half_life:.6g})"
        )


def _sinh_ratio(kappa: float, left: Any, passed: Any) -> Any:
    """sinh(κ·left)/sinh(κ·(left + passed)), without overflow."""
    whole = left + passed
    return np.exp(-kappa * passed) * (np.expm1(-2.0 * kappa * left) / np.expm1(-2.0 * kappa * whole))


def _cosh_ratio(kappa: float, left: Any, passed: Any) -> Any:
    """cosh(κ·left)/sinh(κ·(left + passed)), likewise."""
    whole = left + passed
    return np.exp(-kappa * passed) * (1.0 + np.exp(-2.0 * kappa * left)) / -np.expm1(-2.0 * kappa * whole)


def _sinh_product(a: Any, b: Any) -> Any:
    """sinh(a)·sinh(b)/cosh(a + b), likewise."""
    return 0.5 * np.expm1(-2.0 * a) * np.expm1(-2.0 * b) / (1.0 + np.exp(-2.0 * (a + b)))


def capped(schedule: AlmgrenChriss, most: ArrayLike) -> AlmgrenChriss:
    """Return the optimal schedule when a period trades at most so many units (a share of the volume).

    Parameters
    ----------
    schedule : AlmgrenChriss
        The problem, with ``periods``.
    most : array_like
        Largest trade of each period, or one number for all.

    Examples
    --------
    >>> free = AlmgrenChriss(100, 4, 4, sigma=1.0, temporary=0.1, risk_aversion=0.1)
    >>> free.trades.round(1)
    array([61.9, 23.8,  9.5,  4.8])
    >>> capped(free, 40).trades.round(1)
    array([40. , 37.5, 15. ,  7.5])
    >>> round(capped(free, 40).utility - free.utility, 2)
    125.95
    """
    if not isinstance(schedule, AlmgrenChriss):
        raise InvalidArgument(argument="schedule", value=schedule, allowed="an AlmgrenChriss")
    return schedule.replace(most=most)


def unwind(
    inventory: float,
    limit: float,
    horizon: float,
    periods: int | None,
    sigma: float,
    temporary: float,
    permanent: float = 0.0,
    fixed: float = 0.0,
    risk_aversion: float = 0.0,
) -> Schedule:
    """Return the schedule that brings an overhang back inside its limit, and then stops.

    Only what is beyond ±limit is traded, by :class:`AlmgrenChriss`; what is inside is the quoter's to manage.

    Parameters
    ----------
    inventory, limit : float
        Lots held (signed) and the largest absolute inventory allowed.
    horizon, periods, sigma, temporary, permanent, fixed, risk_aversion
        As in :class:`AlmgrenChriss`, in lots.

    Examples
    --------
    >>> unwind(-80, 50, horizon=3, periods=3, sigma=0.5, temporary=0.1).holdings
    array([-80., -70., -60., -50.])
    """
    held = Parameter("inventory", float).check(inventory)
    bound = Parameter("limit", float, low=0.0).check(limit)
    over = math.copysign(max(abs(held) - bound, 0.0), held)
    plan = AlmgrenChriss(
        over,
        horizon,
        periods,
        sigma,
        temporary=temporary,
        permanent=permanent,
        fixed=fixed,
        risk_aversion=risk_aversion,
    )
    return Schedule(plan.times, plan.holdings + (held - over))
