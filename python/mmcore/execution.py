r"""How to get out: schedules of execution, what they cost and what they risk.

**Almgren and Chriss.** X units are traded in N periods of length :math:`\tau = T/N`. A trade of n in a period
moves the price for good by :math:`g\,n` (``permanent`` g, price per unit) and costs :math:`\epsilon\,|n| +
\eta\,n^2/\tau` (``fixed`` ε, half the spread and fees, price; ``temporary`` η, price per unit and unit of
time). With holdings :math:`x_0 = X, \dots, x_N = 0` and trades :math:`n_k = x_{k-1} - x_k`,

.. math:: E = \tfrac12 g X^2 + \epsilon \sum_k |n_k| + \frac{\tilde\eta}{\tau}\sum_k n_k^2
              - a\tau\sum_{k=1}^N x_k, \qquad V = \sigma^2\tau\sum_{k=1}^N x_k^2,
              \qquad \tilde\eta = \eta - \tfrac12 g\tau,

a the drift. Minimising :math:`E + \lambda V` gives

.. math:: x(t) = \bar x + \frac{\sinh\kappa(T-t)}{\sinh\kappa T}(X - \bar x)
              - \frac{\sinh\kappa t}{\sinh\kappa T}\bar x,
              \qquad \bar x = \frac{a}{2\lambda\sigma^2},

with :math:`\tilde\kappa^2 = \lambda\sigma^2/\tilde\eta` and :math:`\kappa = (2/\tau)\,
\mathrm{asinh}(\tilde\kappa\tau/2)`. (The form with acosh loses all digits where κτ is small; that with η for
η̃ belongs to continuous time, ``periods=None``, where κ = κ̃ and sums are integrals.) With
:math:`\lambda = 0` holdings fall evenly, and with drift along a parabola.

**Baskets.** With price covariance C per unit of time, and symmetric matrices H of temporary and G of
permanent impact, the same sums hold in vectors, :math:`\tilde H = H - \tfrac12 G\tau`. In the coordinates
:math:`z = U^T\tilde H^{1/2} x`, with :math:`U\Lambda U^T = \tilde H^{-1/2} C\tilde H^{-1/2}`, cost and
risk fall apart into one problem of Almgren and Chriss for each z, with unit impact and the variance
:math:`\Lambda_i`.

**Caps, drift, any power.** With the cost :math:`\varphi(n) = \eta\tau^{-p} n^{1+p}` of a period's trade,
optimality is a recursion for its marginal cost m, :math:`m_k = m_{k+1} + 2\lambda\sigma^2\tau x_k - a\tau`,
and :math:`n_k = \varphi'^{-1}(m_k)`, cut to what the period may trade. From the end, where :math:`x_N = 0`,
the holdings at the start rise with :math:`m_N`: one root solves it, for any convex cost and any caps.

**Cartea and Jaimungal.** Continuous time, running penalty φ on the squared inventory, terminal penalty α, and
with market orders the temporary impact k and the permanent impact b of the rate of trading; with limit orders
the arrivals λ of market orders that fill us at depth δ with probability :math:`e^{-\kappa\delta}`.

**Kissell.** :math:`I^* = a_1 (Q/ADV)^{a_2}\sigma^{a_3}` basis points, and the cost of an order at the rate
POV is :math:`b_1 I^* POV^{a_4} + (1 - b_1) I^*`.

Source: Almgren and Chriss, *Optimal execution of portfolio transactions* (2000); Almgren, *Optimal execution
with nonlinear impact functions* (2003); Cartea, Jaimungal and Penalva, *Algorithmic and High-Frequency
Trading* (2015), 6.5 and 8.2; Kissell, *The Science of Algorithmic Trading* (2013).

Examples
--------
>>> schedule = AlmgrenChriss(1e6, horizon=5, periods=5, sigma=0.95, permanent=2.5e-7, temporary=2.5e-6,
...                          fixed=0.0625, risk_aversion=2e-6)
>>> schedule.holdings.round()
array([1000000.,  428599.,  182933.,   76296.,   27643.,       0.])
>>> schedule
AlmgrenChriss(quantity=1e+06, E=1.14072e+06, std=449368, half_life=1.18162)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import number, numbers, plain, together
from .errors import InvalidArgument, NoConvergence, Unsupported
from .parameters import Parameter

__all__ = [
    "AlmgrenChriss",
    "AlmgrenChrissBasket",
    "IStar",
    "Schedule",
    "capped",
    "i_star",
    "limit_order_liquidation",
    "market_order_liquidation",
    "power_law",
    "unwind",
]

Floats = NDArray[np.float64]

_HORIZON = Parameter("horizon", float, low=0.0, open_low=True, doc="time to the end")
_PERIODS = Parameter(
    "periods", int, low=1, high=10_000_000, default=None, doc="trades; None: continuous time"
)
_SIGMA = Parameter("sigma", float, low=0.0, doc="volatility of the price, per root of time")
_PERMANENT = Parameter("permanent", float, low=0.0, default=0.0, doc="permanent impact")
_TEMPORARY = Parameter("temporary", float, low=0.0, open_low=True, doc="temporary impact")
_FIXED = Parameter("fixed", float, default=0.0, low=0.0, doc="cost of each unit")
_RISK = Parameter("risk_aversion", float, default=0.0, low=0.0, doc="price of variance")
_QUANTITY = Parameter("quantity", float, doc="units to sell; negative: to buy")
_DRIFT = Parameter("drift", float, default=0.0, doc="expected drift of the price")


class _Risk:
    """What follows from the expected cost E and the variance V of a schedule."""

    risk_aversion: float
    if TYPE_CHECKING:

        @property
        def expected_cost(self) -> float: ...

        @property
        def variance(self) -> float: ...

    @property
    def std(self) -> float:
        """√V, money."""
        return math.sqrt(self.variance)

    @property
    def utility(self) -> float:
        """E + λV, money."""
        return float(self.expected_cost + self.risk_aversion * self.variance)

    def value_at_risk(self, probability: float = 0.95) -> float:
        """Cost that is not exceeded with this probability: E + z√V."""
        return float(self.expected_cost + _quantile(probability) * self.std)


class Schedule:
    """Holdings over time, and what a quoter and a desk ask of them.

    Parameters
    ----------
    times, holdings : array_like
        Ascending times from 0 and the units held there; in between holdings are interpolated.
    """

    def __init__(self, times: ArrayLike, holdings: ArrayLike) -> None:
        self.times = np.asarray(numbers("times", times, -math.inf))
        self.holdings = np.asarray(numbers("holdings", holdings, -math.inf))
        if self.times.ndim != 1 or self.times.shape != self.holdings.shape or len(self.times) < 2:
            raise InvalidArgument(
                argument="holdings",
                value=f"shape {self.holdings.shape}",
                allowed="as many numbers as times, at least 2",
            )
        if not (np.diff(self.times) > 0.0).all() or self.times[0] != 0.0:
            raise InvalidArgument(argument="times", value=self.times[0], allowed="ascending from 0")

    @property
    def trades(self) -> Floats:
        """Units sold in each period; negative where bought."""
        return -np.diff(self.holdings)

    def at(self, time: ArrayLike) -> Any:
        """Return the holdings at these times since the start: linear in between, the ends outside."""
        return plain(np.interp(numbers("time", time, -math.inf), self.times, self.holdings))

    def as_target(self, start: float = 0.0) -> Callable[[float], float]:
        """Return a function of the clock: the inventory to aim at, for ``Quoter.quote(target=…)``.

        Before the start it is what the schedule begins with, after the end what it leaves.

        Parameters
        ----------
        start : float
            Time on that clock at which the schedule begins.
        """
        begins = number("start", start, -math.inf)
        return lambda now: float(self.at(now - begins))

    def must_cross(self, now: float, inventory: float, start: float = 0.0) -> int:
        """Whole lots to take now so that the inventory is not behind the schedule.

        Negative: sell. What is ahead of the schedule is left alone. As the target does, the schedule stands
        still before its start and after its end: then all that is left is behind.

        Parameters
        ----------
        now : float
            Time on the clock of :meth:`as_target`.
        inventory : float
            Lots held.
        start : float
            Time on that clock at which the schedule begins.
        """
        held, clock = number("inventory", inventory, -math.inf), number("now", now, -math.inf)
        way = math.copysign(1.0, self.holdings[0] - self.holdings[-1])
        behind = way * (held - self.as_target(start)(clock))
        lots = math.ceil(behind - 1e-9 * max(1.0, abs(held))) if behind > 0.0 else 0
        return -int(way) * lots

    def __repr__(self) -> str:
        return f"Schedule({self.holdings[0]:g} to {self.holdings[-1]:g} over {self.times[-1]:g})"


class AlmgrenChriss(_Risk, Schedule):
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
    permanent : float
        Price per unit traded.
    temporary : float
        η: price per (unit/time).
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
        permanent: float = 0.0,
        temporary: float = 0.0,
        fixed: float = 0.0,
        risk_aversion: float = 0.0,
        drift: float = 0.0,
        most: ArrayLike | None = None,
    ) -> None:
        self.quantity = _QUANTITY.check(quantity)
        self.horizon, self.periods = _HORIZON.check(horizon), _PERIODS.check(periods)
        self.sigma, self.permanent = _SIGMA.check(sigma), _PERMANENT.check(permanent)
        self.temporary, self.fixed = _TEMPORARY.check(temporary), _FIXED.check(fixed)
        self.risk_aversion, self.drift = _RISK.check(risk_aversion), _DRIFT.check(drift)
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
        from .portfolio.covariances import as_vector

        self.most = as_vector("most", most, self.periods, infinite=True)
        risk = self.risk_aversion * self.sigma**2
        super().__init__(times, _least_cost(self.quantity, times, adjusted, 1.0, risk, self.drift, self.most))

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
        sold = _shoot(trade, len(self.times) - 1, pull, self.drift * self.period / unit, whole, 1e100)
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

        At its λ the slope of the frontier is that of the value at risk: 2λ√V = z.
        """
        from scipy.optimize import brentq

        z = _quantile(probability)
        neutral = self.replace(risk_aversion=0.0)
        if z <= 0.0 or neutral.variance == 0.0 or self.quantity == 0.0:
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


class AlmgrenChrissBasket(_Risk):
    """The optimal schedule of a basket whose prices move together.

    Parameters
    ----------
    quantities : array_like, shape (n,)
        Units to sell of each; negative: to buy.
    horizon : float
        T.
    periods : int or None
        N; None for continuous time.
    covariance : array_like, shape (n, n)
        Of the price changes per unit of time, price²/time; positive semidefinite.
    temporary, permanent : array_like
        H and G: one number, one for each, or a symmetric matrix (the impact of one on another's price).
    fixed : array_like
        ε of each. It is paid on all that is traded, but does not keep a hedge from being traded both ways.
    risk_aversion : float
        λ ≥ 0.
    drift : array_like
        Expected drift of each price.

    Attributes
    ----------
    times : ndarray, shape (N + 1,)
    holdings, trades : ndarray, shape (N + 1, n) and (N, n)
        In continuous time on 201 points.
    half_lives : ndarray, shape (n,)
        1/κ of the basket's modes, ascending.
    expected_cost, variance, std, utility : float
        E, V, √V and E + λV.

    Examples
    --------
    A short position in a correlated asset, worth keeping as a hedge while the other is sold:

    >>> prices = [[1.0, 0.9], [0.9, 1.0]]
    >>> basket = AlmgrenChrissBasket([100, 0], 4, 4, prices, temporary=0.5, risk_aversion=0.2)
    >>> basket.holdings.round(1)
    array([[100. ,   0. ],
           [ 57.2, -14.5],
           [ 32. , -14.2],
           [ 14.6,  -8.1],
           [  0. ,   0. ]])
    """

    def __init__(
        self,
        quantities: ArrayLike,
        horizon: float,
        periods: int | None,
        covariance: ArrayLike,
        temporary: ArrayLike,
        permanent: ArrayLike = 0.0,
        fixed: ArrayLike = 0.0,
        risk_aversion: float = 0.0,
        drift: ArrayLike = 0.0,
    ) -> None:
        from .portfolio.covariances import as_matrix, as_vector, refuse

        self.covariance = as_matrix(covariance)
        refuse(self.covariance, advice="")
        n = len(self.covariance)
        self.quantities = as_vector("quantities", quantities, n)
        self.horizon, self.periods = _HORIZON.check(horizon), _PERIODS.check(periods)
        self.risk_aversion = _RISK.check(risk_aversion)
        self.temporary, self.permanent = (
            _impact("temporary", temporary, n),
            _impact("permanent", permanent, n),
        )
        self.fixed, self.drift = as_vector("fixed", fixed, n), as_vector("drift", drift, n)
        if (self.fixed < 0.0).any():
            index = int(np.argmax(self.fixed < 0.0))
            raise InvalidArgument(
                argument="fixed", value=float(self.fixed[index]), allowed="numbers >= 0", index=index
            )
        least = float(np.linalg.eigvalsh(self.permanent)[0])
        if least < -1e-12 * np.abs(self.permanent).max():
            raise InvalidArgument(
                argument="permanent", value=f"one with {least:g}", allowed="a matrix with eigenvalues >= 0"
            )
        tau = 0.0 if self.periods is None else self.horizon / self.periods
        values, vectors = np.linalg.eigh(self.temporary - 0.5 * tau * self.permanent)
        if not values[0] > 0.0:
            raise InvalidArgument(
                argument="temporary",
                value=f"{values[0]:g}",
                allowed="a matrix whose eigenvalues are > 0, less permanent * horizon / (2 periods)",
            )
        back = vectors / np.sqrt(values) @ vectors.T  # H̃^(−1/2)
        risks, turn = np.linalg.eigh(back @ self.covariance @ back)
        to = turn.T @ (vectors * np.sqrt(values)) @ vectors.T
        self._from = back @ turn
        push = self._from.T @ self.drift
        # eigenvalues that are zero but for rounding carry no risk
        risks = np.where(risks > 1e-14 * risks.max(initial=0.0), risks, 0.0)
        self._modes = [
            AlmgrenChriss(
                float(q),
                self.horizon,
                self.periods,
                math.sqrt(risk),
                0.0,
                1.0,
                0.0,
                self.risk_aversion,
                float(a),
            )
            for q, risk, a in zip(to @ self.quantities, risks, push, strict=True)
        ]
        self.times = self._modes[0].times
        self.holdings = np.stack([mode.holdings for mode in self._modes], axis=1) @ self._from.T
        self.holdings[0], self.holdings[-1] = self.quantities, 0.0
        self.half_lives = np.sort([mode.half_life for mode in self._modes])

    @property
    def trades(self) -> Floats:
        """Units sold in each period; negative where bought."""
        return np.asarray(-np.diff(self.holdings, axis=0))

    def __getitem__(self, index: int) -> Schedule:
        """Schedule of one asset, with its target for the quoter."""
        return Schedule(self.times, self.holdings[:, index])

    @cached_property
    def expected_cost(self) -> float:
        """E, money."""
        standing = 0.5 * float(self.quantities @ self.permanent @ self.quantities)
        paid = float(self.fixed @ np.abs(self.trades).sum(axis=0))
        return standing + paid + sum(mode.expected_cost for mode in self._modes)

    @cached_property
    def variance(self) -> float:
        """V, money squared."""
        return float(sum(mode.variance for mode in self._modes))

    def __repr__(self) -> str:
        return (
            f"AlmgrenChrissBasket({len(self.quantities)} assets, E={self.expected_cost:.6g}, "
            f"std={self.std:.6g}, half_lives={self.half_lives[0]:.6g} to {self.half_lives[-1]:.6g})"
        )


def _impact(name: str, value: ArrayLike, n: int) -> Floats:
    """Return a symmetric matrix of impact from a number, one for each asset, or the matrix."""
    from .portfolio.covariances import as_vector

    if np.ndim(value) != 2:
        return np.diag(as_vector(name, value, n))
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise InvalidArgument(
            argument=name, value=f"shape {matrix.shape}", allowed=f"finite numbers, {n} by {n}"
        )
    if np.abs(matrix - matrix.T).max() > 1e-12 * np.abs(matrix).max():
        raise InvalidArgument(
            argument=name,
            value="an unequal pair",
            allowed="symmetric: otherwise a round trip would earn money",
        )
    return matrix


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


def _quantile(probability: float) -> float:
    from scipy.special import ndtri

    if not (isinstance(probability, (int, float)) and 0.0 < probability < 1.0):
        raise InvalidArgument(argument="probability", value=probability, allowed="strictly between 0 and 1")
    return float(ndtri(probability))


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


def _least_cost(
    quantity: float,
    times: Floats,
    eta: float,
    exponent: float,
    aversion: float,
    drift: float,
    most: ArrayLike | None,
) -> Floats:
    """Holdings in discrete time for the cost η·rate^p by the recursion of marginal costs, from the end."""
    from .portfolio.covariances import as_vector

    n = len(times) - 1
    tau = float(times[-1]) / n
    way, whole = math.copysign(1.0, quantity), abs(quantity)
    caps = as_vector("most", math.inf if most is None else most, n, infinite=True)
    if (caps < 0.0).any() or caps.sum() < whole * (1.0 - 1e-12):
        raise InvalidArgument(
            argument="most",
            value=float(caps.min() if (caps < 0.0).any() else caps.sum()),
            allowed=f"numbers >= 0 with a sum of at least {whole:g}",
        )
    if whole == 0.0 or caps.sum() <= whole:
        return np.asarray(quantity - way * np.append(0.0, np.cumsum(np.minimum(caps, whole))))
    # in shares of the whole, and marginal costs in units of what selling all of it at once costs
    log_unit = math.log(eta * (1.0 + exponent)) + exponent * (math.log(whole) - math.log(tau))
    pull = _scaled(2.0 * aversion * tau * whole, log_unit)
    push = _scaled(drift * way * tau, log_unit)
    tops = np.minimum(caps[::-1] / whole, 1.0)
    most_marginal = (tops**exponent).tolist()
    tops, power = tops.tolist(), 1.0 / exponent

    def trade(k: int, marginal: float) -> float:
        if marginal <= 0.0:
            return 0.0
        return float(tops[k] if marginal >= most_marginal[k] else min(marginal**power, tops[k]))

    sold = np.array(_shoot(trade, n, pull, push, 1.0, 1.0)[::-1])
    held = np.append(np.cumsum(sold[::-1])[::-1], 0.0)
    if not abs(held[0] - 1.0) <= 1e-9:
        raise NoConvergence(f"the trades' sum misses the quantity by a share of {held[0] - 1.0:.1e}")
    return np.asarray(quantity * (held / held[0]))


def _scaled(value: float, log_unit: float) -> float:
    """value·e^(−log_unit), at most what still has a square in double precision."""
    if value == 0.0:
        return 0.0
    return math.copysign(math.exp(min(math.log(abs(value)) - log_unit, 345.0)), value)


def _shoot(
    trade: Callable[[int, float], float], n: int, pull: float, push: float, whole: float, beyond: float
) -> list[float]:
    """Trades from the last to the first that sum to ``whole``, by the recursion of marginal costs.

    ``trade(k, m)`` is what the k-th period from the end trades at the marginal cost m. The holdings at the
    start rise with the marginal cost at the end, which is bisected among all doubles: it may be smaller than
    any power of the holdings. The recursion forgets nothing: where the answers for two neighbouring doubles
    part, what they share is kept, and the marginal cost is bisected anew from there. Holdings of more than
    ``beyond`` never come back.
    """

    def path(k: int, held: float, marginal: float, full: bool) -> tuple[list[float], list[float], float]:
        trades, marginals = [], []
        for at in range(k, n):
            sold = trade(at, marginal)
            held += sold
            if full:
                trades.append(sold)
                marginals.append(marginal)
            elif abs(held) > beyond:
                break
            marginal += pull * held - push
        return trades, marginals, held

    idle, least = 0, _double(1)
    if push == 0.0 and whole > 0.0:
        # the last periods trade nothing where even the least marginal cost there is sells too much
        end = n
        while end - idle > 1:
            middle = (idle + end) // 2
            if path(middle, 0.0, least, False)[2] < whole:
                end = middle
            else:
                idle = middle
    found, held = [0.0] * idle, 0.0
    while True:
        low, high = _rank(-math.inf), _rank(math.inf)
        while high - low > 1:
            middle = (low + high) // 2
            if path(len(found), held, _double(middle), False)[2] < whole:
                low = middle
            else:
                high = middle
        less, marginals, short = path(len(found), held, _double(low), True)
        more, others, over = path(len(found), held, _double(high), True)
        with np.errstate(invalid="ignore"):
            near = np.abs(np.cumsum(np.subtract(more, less))) <= 1e-13
            near[:-1] &= np.abs(np.subtract(others, marginals))[1:] <= 1e-13 * (1.0 + np.abs(marginals[1:]))
        apart = np.flatnonzero(~near)
        share = min(max((whole - short) / (over - short), 0.0), 1.0) if over > short else 0.0
        if not apart.size or len(less) == 1:
            return found + [a + share * (b - a) for a, b in zip(less, more, strict=True)]
        keep = max(int(apart[0]), 1)
        found += less[:keep]
        held += sum(less[:keep])


def _rank(value: float) -> int:
    """Place of a double among all of them; 0 for zero."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _double(rank: int) -> float:
    """The double of this place."""
    value: float = struct.unpack("<d", struct.pack("<q", abs(rank)))[0]
    return value if rank >= 0 else -value


def power_law(
    quantity: float,
    horizon: float,
    sigma: float,
    temporary: float,
    risk_aversion: float,
    exponent: float = 0.6,
    points: int = 201,
    *,
    periods: int | None = None,
    most: ArrayLike | None = None,
    drift: float = 0.0,
) -> Schedule:
    r"""Return Almgren's (2003) schedule for the temporary impact η·|rate|^p.

    In continuous time :math:`\int \eta\,|v|^{1+p} + \lambda\sigma^2 x^2\,dt` is minimised. Energy is
    conserved along the optimum, :math:`\eta p\,v^{1+p} = \lambda\sigma^2 x^2 + c`: time is an integral over
    holdings, and c is found so that all of it takes the horizon. Where even c = 0 is quicker (p > 1 ends in
    finite time) the rest is idle.

    Parameters
    ----------
    quantity, horizon, sigma, risk_aversion
        As in :class:`AlmgrenChriss`.
    temporary : float
        η.
    exponent : float
        p > 0; 1 is the linear model, 0.6 what Almgren et al. (2005) measured.
    points : int
        Times at which the schedule is given, in continuous time.
    periods : int, optional
        Trades, in discrete time: then :math:`\sum \eta\tau^{-p}|n_k|^{1+p} + \lambda\sigma^2\tau x_k^2 -
        a\tau x_k` is minimised, in trades of the quantity's side.
    most : array_like, optional
        Largest trade of each period, or one number for all; needs ``periods``.
    drift : float
        a, as in :class:`AlmgrenChriss`; needs ``periods``.

    Examples
    --------
    >>> power_law(100, 4, 1.0, 0.1, 0.1, periods=4, most=60).trades.round(1)
    array([60. , 35.1,  3.9,  1. ])
    """
    from scipy.optimize import brentq

    quantity, horizon, sigma = _QUANTITY.check(quantity), _HORIZON.check(horizon), _SIGMA.check(sigma)
    eta, risk = _TEMPORARY.check(temporary), _RISK.check(risk_aversion)
    p = Parameter("exponent", float, low=0.0, open_low=True, high=10.0).check(exponent)
    count = Parameter("points", int, low=2, high=1_000_000).check(points)
    n = _PERIODS.check(periods)
    drift = _DRIFT.check(drift)
    if n is not None:
        times = np.arange(n + 1) / n * horizon
        return Schedule(times, _least_cost(quantity, times, eta, p, risk * sigma**2, drift, most))
    if most is not None or drift:
        raise Unsupported("a cap or a drift of the power law in continuous time: give periods")
    times = np.linspace(0.0, horizon, count)
    whole = abs(quantity)
    stiffness = risk * sigma**2 * whole**2
    if whole == 0.0 or stiffness == 0.0:
        return Schedule(times, quantity * (1.0 - times / horizon))
    # y = x / X, w = v / X: η p X^(1+p) w^(1+p) = λσ²X² (y² + e²)
    power = 1.0 / (1.0 + p)
    pace = (stiffness / (eta * p * whole ** (1.0 + p))) ** power
    node, weight = np.polynomial.legendre.leggauss(64)

    def duration(log_e: float) -> float:
        # ∫ dy / (y² + e²)^power with y = e sinh(s): smooth in s
        e = math.exp(log_e)
        edges = np.linspace(0.0, math.asinh(1.0 / e), 9)
        half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        s = middle[:, None] + half[:, None] * node
        log_cosh = np.abs(s) + np.log1p(np.exp(-2.0 * np.abs(s))) - math.log(2.0)
        value = np.exp((1.0 - 2.0 * power) * (log_cosh + log_e))
        return float((half[:, None] * weight * value).sum() / pace)

    low, high = -300.0, 300.0
    if duration(low) <= horizon:
        log_e = low
    else:
        log_e = float(brentq(lambda v: math.log(duration(v) / horizon), low, high, xtol=1e-13))
    # time to fall from 1 to y on a fine grid in s, inverted by Newton from an interpolation
    e = math.exp(log_e)
    y = np.empty(count)
    y[0], y[-1] = 1.0, 0.0
    top = math.asinh(1.0 / e)
    grid = np.linspace(0.0, top, 4001)
    half = 0.5 * np.diff(grid)
    s = 0.5 * (grid[1:] + grid[:-1])[:, None] + half[:, None] * node[None, :]
    log_cosh = s + np.log1p(np.exp(-2.0 * s)) - math.log(2.0)
    piece = (half[:, None] * weight * np.exp((1.0 - 2.0 * power) * (log_cosh + log_e))).sum(axis=1) / pace
    passed = np.append(0.0, np.cumsum(piece[::-1]))  # from the top down
    inner = np.interp(times[1:-1], passed, grid[::-1])
    for _ in range(4):
        # the exact time at the nearest grid point, and the smooth rest by its midpoint rule and Newton
        k = np.clip(np.searchsorted(passed, times[1:-1], side="right") - 1, 0, len(piece) - 1)
        anchor = grid[::-1][k]
        span = anchor - inner
        mid = (inner + 0.5 * span)[:, None] - 0.5 * span[:, None] * node
        rate = np.exp((1.0 - 2.0 * power) * (np.logaddexp(mid, -mid) - math.log(2.0) + log_e))
        now = passed[k] + 0.5 * span * (rate @ weight) / pace
        here = np.exp((1.0 - 2.0 * power) * (np.logaddexp(inner, -inner) - math.log(2.0) + log_e)) / pace
        inner = np.clip(inner + (now - times[1:-1]) / here, 0.0, top)
    y[1:-1] = e * np.sinh(inner)
    return Schedule(times, quantity * y)


def market_order_liquidation(
    quantity: float,
    horizon: float,
    temporary: float,
    permanent: float = 0.0,
    running_penalty: float = 0.0,
    terminal_penalty: float = math.inf,
    times: ArrayLike | None = None,
) -> tuple[Schedule, Floats]:
    r"""Liquidate with market orders in continuous time (Cartea, Jaimungal and Penalva 2015, 6.5).

    With :math:`\gamma = \sqrt{\phi/k}` and :math:`\zeta = (\alpha - b/2 + \sqrt{k\phi})/(\alpha - b/2 -
    \sqrt{k\phi})` holdings are :math:`Q(t) = N(\zeta e^{\gamma(T-t)} - e^{-\gamma(T-t)})/(\zeta e^{\gamma T}
    - e^{-\gamma T})`. Both are written in the hyperbolic functions of the time left, which have no pole.

    Parameters
    ----------
    quantity, horizon : float
        N and T.
    temporary, permanent : float
        k and b: the price moves by k·rate for the trade, and drifts by −b·rate.
    running_penalty : float
        φ, on the squared inventory.
    terminal_penalty : float
        α: what is left sells at a discount of α for each unit squared; infinite: nothing may be left.
    times : array_like, optional
        Ascending from 0 to ``horizon``; 201 by default.

    Returns
    -------
    schedule : Schedule
    rate : ndarray
        Units sold per unit of time at those times.

    Examples
    --------
    >>> schedule, rate = market_order_liquidation(1.0, 1.0, 0.001, 0.001, 0.001, 100.0, times=[0, 0.5, 1])
    >>> schedule.holdings.round(6), rate.round(6)
    (array([1.00000e+00, 4.43413e-01, 9.00000e-06]), array([1.313028, 0.959509, 0.850907]))
    """
    n, whole = _QUANTITY.check(quantity), _HORIZON.check(horizon)
    k, b = _TEMPORARY.check(temporary), _PERMANENT.check(permanent)
    phi = number("running_penalty", running_penalty, open_low=False)
    endless = np.ndim(terminal_penalty) == 0 and terminal_penalty == math.inf
    alpha = math.inf if endless else number("terminal_penalty", terminal_penalty, -math.inf)
    if alpha < 0.5 * b:
        raise InvalidArgument(
            argument="terminal_penalty", value=terminal_penalty, allowed=f"at least permanent/2 = {0.5 * b:g}"
        )
    t = np.linspace(0.0, whole, 201) if times is None else np.asarray(numbers("times", times, -math.inf))
    if t.size and t.max() > whole:
        raise InvalidArgument(
            argument="times", value=float(t.max()), allowed=f"ascending from 0 to horizon, {whole:g}"
        )
    left = whole - t
    # Q ∝ sinh γτ + r cosh γτ and Q' alike, r = √(kφ)/(α − b/2); divided by γ so that φ = 0 is the limit
    gamma = math.sqrt(phi / k)
    slack = 0.0 if alpha == math.inf else k / (alpha - 0.5 * b) if alpha > 0.5 * b else math.inf
    if slack == math.inf:
        # no penalty is left over at the end: Q ∝ cosh γτ
        if gamma == 0.0:
            return Schedule(t, np.full(len(t), n)), np.zeros(len(t))
        scale = 1.0 + math.exp(-2.0 * gamma * whole)
        decay = np.exp(-gamma * t)
        q = n * decay * (1.0 + np.exp(-2.0 * gamma * left)) / scale
        return Schedule(t, q), n * gamma * decay * -np.expm1(-2.0 * gamma * left) / scale
    decay = np.exp(-gamma * t)
    even = 0.5 * (1.0 + np.exp(-2.0 * gamma * left))  # cosh γτ e^(−γτ)
    odd = left * _expm1_ratio(2.0 * gamma * left)  # sinh γτ e^(−γτ) / γ
    at_start = whole * float(_expm1_ratio(np.array(2.0 * gamma * whole)))
    bottom = at_start + slack * 0.5 * (1.0 + math.exp(-2.0 * gamma * whole))
    holdings = n * decay * (odd + slack * even) / bottom
    rate = n * decay * (even + slack * gamma * gamma * odd) / bottom
    return Schedule(t, holdings), rate


def _expm1_ratio(x: Floats) -> Floats:
    """(1 − e^−x)/x, 1 at 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(x > 0.0, -np.expm1(-x) / x, 1.0)


def limit_order_liquidation(
    quantity: int, arrival_rate: float, decay: float, terminal_penalty: float, time_left: ArrayLike
) -> Floats:
    r"""Depths of the limit orders that liquidate q = 1, …, quantity lots (Cartea et al. 2015, 8.2).

    :math:`\delta(q) = (1 + \ln(w_q/w_{q-1}))/\kappa` with :math:`w_q = \sum_{n \le q} (\lambda\tau/e)^n
    e^{-\kappa\alpha(q-n)^2}/n!`, summed in logarithms.

    Parameters
    ----------
    quantity : int
        Lots.
    arrival_rate : float
        λ, market orders per unit of time.
    decay : float
        κ: an order at depth δ is filled by one with probability exp(−κδ).
    terminal_penalty : float
        α: q lots left at the end sell at a discount of αq each.
    time_left : array_like
        τ ≥ 0.

    Returns
    -------
    ndarray, shape (..., quantity)
        Depth for each inventory from 1.

    Examples
    --------
    >>> limit_order_liquidation(3, 5 / 6, 100.0, 0.001, 60.0).round(6)
    array([0.0396  , 0.032683, 0.028643])
    """
    from scipy.special import gammaln, logsumexp

    most = Parameter("quantity", int, low=1, high=2000).check(quantity)
    lam = Parameter("arrival_rate", float, low=0.0, open_low=True).check(arrival_rate)
    kappa = Parameter("decay", float, low=0.0, open_low=True).check(decay)
    alpha = Parameter("terminal_penalty", float, low=0.0).check(terminal_penalty)
    tau = np.asarray(numbers("time_left", time_left, open_low=False))
    n = np.arange(most + 1)
    with np.errstate(divide="ignore"):
        log_term = np.log(lam * tau)[..., None] - 1.0
    power = np.where(n > 0, n * np.where(n > 0, log_term, 0.0), 0.0) - gammaln(n + 1.0)
    short = np.subtract.outer(n, n)
    penalty = np.where(short >= 0, -kappa * alpha * short.astype(float) ** 2, -np.inf)
    log_w = logsumexp(power[..., None, :] + penalty, axis=-1)
    return np.asarray((1.0 + np.diff(log_w, axis=-1)) / kappa)


class IStar:
    """Kissell's cost of an order, basis points; see :func:`i_star`."""

    __slots__ = ("instantaneous", "permanent", "temporary")

    def __init__(self, instantaneous: Any, temporary: Any, permanent: Any) -> None:
        self.instantaneous, self.temporary, self.permanent = instantaneous, temporary, permanent

    @property
    def cost(self) -> Any:
        """Market impact: temporary + permanent."""
        return self.temporary + self.permanent

    def __repr__(self) -> str:
        return f"IStar(instantaneous={self.instantaneous}, cost={self.cost})"


def i_star(
    quantity: ArrayLike,
    volume: ArrayLike,
    sigma: ArrayLike,
    participation: ArrayLike,
    *,
    a1: float = 708.0,
    a2: float = 0.55,
    a3: float = 0.71,
    a4: float = 0.5,
    b1: float = 0.98,
) -> IStar:
    """Kissell's I-Star cost model, basis points; all arguments may be arrays.

    Parameters
    ----------
    quantity, volume : array_like
        Size of the order and average daily volume, in the same unit.
    sigma : array_like
        Annual volatility as a decimal.
    participation : array_like
        Share of the volume while trading (POV), 0 to 1.
    a1, a2, a3, a4, b1 : float
        The model's coefficients.

    Examples
    --------
    >>> round(i_star(100_000, 1_000_000, 0.25, 0.2).cost, 4)
    34.1737
    """
    together(quantity=quantity, volume=volume, sigma=sigma, participation=participation)
    share = numbers("quantity", quantity, open_low=False) / numbers("volume", volume)
    pace = numbers("participation", participation, high=1.0, open_low=False)
    scale, power = number("a1", a1, open_low=False), number("a2", a2, -math.inf)
    lasting = 1.0 - number("b1", b1, high=1.0, open_low=False)
    instantaneous = (
        scale * share**power * numbers("sigma", sigma, open_low=False) ** number("a3", a3, -math.inf)
    )
    temporary = (1.0 - lasting) * instantaneous * pace ** number("a4", a4, -math.inf)
    permanent = lasting * instantaneous
    return IStar(*map(plain, (instantaneous, temporary, permanent)))


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
    plan = AlmgrenChriss(over, horizon, periods, sigma, permanent, temporary, fixed, risk_aversion)
    return Schedule(plan.times, plan.holdings + (held - over))
