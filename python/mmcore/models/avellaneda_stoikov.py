r"""Avellaneda and Stoikov (2008): the paper's approximate quotes, by name.

The reservation price of :math:`q` lots is the indifference price of a holder who does not trade again, and
a static half-spread goes around it. With a finite horizon (eqs. 29-30), :math:`\tau` the time left,

.. math:: \delta^{b,a} = c + \frac{\gamma\sigma^2\tau}{2}(\Delta \pm 2q), \qquad
    c = \frac{1}{\gamma\Delta}\ln\Big(1 + \frac{\gamma\Delta}{k}\Big).

With an infinite one and a discount rate :math:`\omega` (section 2.3),

.. math:: \delta^b = c - \frac{1}{\gamma\Delta}\ln\Big(1 - \Delta\frac{2q + \Delta}{n(q)}\Big), \quad
    \delta^a = c + \frac{1}{\gamma\Delta}\ln\Big(1 + \Delta\frac{\Delta - 2q}{n(q)}\Big), \quad
    n(q) = \frac{2\omega}{\gamma^2\sigma^2} - q^2.

Two errors of the paper. It suggests :math:`\omega = \gamma^2\sigma^2 (q_{max} + 1)^2/2`, with which the bid
at :math:`q_{max}` is at minus infinity, not bounded as it says: omega must be strictly larger, and a smaller
one is refused. And its ask price, kept here as published, is not quite the indifference price: selling
from :math:`q` must be worth what buying from :math:`q - \Delta` is, which replaces the second logarithm by
:math:`-\ln(1 - \Delta(\Delta - 2q)/n(q))`; so at zero inventory the published ask is a little nearer than the
bid (0.0823 against 0.0830 ticks in the paper's setting at gamma = 0.1).

Where it is right. The quotes forget that inventory can be traded away, so their skew grows with the time
left without bound, while the optimal skew settles after about :math:`1/(2\sqrt{\alpha\eta})` seconds
(:math:`\alpha = k\gamma\sigma^2\Delta/2`, :math:`\eta = A C`). The optimal slope is near
:math:`\gamma\sigma^2 \tanh(y)/(2\sqrt{\alpha\eta})` with :math:`y = 2\sqrt{\alpha\eta}\,\tau`, and the
paper's is its tangent at 0: at :math:`y = 1` it is 31 % too steep. Given ``A``, the model warns when
:math:`y > 1` at the horizon, when :math:`2\sqrt{\alpha\eta}/\omega` is not within [1/2, 2], or when
:math:`\alpha/\eta > 0.1`. On the paper's own parameters the quotes lose 4 % of the certainty equivalent at
:math:`\gamma = 0.1`, 27 % at 0.5 and 52 % at 1 against :class:`.GueantLehalleFernandezTapia`.
"""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ApproximationWarning, CapacityError, InvalidArgument
from ..lattice import affine_of, fill_constant, static_half_spread
from ..math import log, log1p
from ..parameters import Parameter, Relation
from .exponential_intensity import CELL_BYTES, HEADER_BYTES
from .gueant_lehalle_fernandez_tapia import BOUND, DECAY, GAMMA, ORDER_SIZE, SIGMA
from .model import Floats, Model

if TYPE_CHECKING:
    from ..quoting import Affine, Table

__all__ = ["AvellanedaStoikov"]


class AvellanedaStoikov(Model):
    """The paper's quotes: a reservation price, and a constant half-spread around it.

    Parameters
    ----------
    sigma : float
        Volatility of the reference price, ticks/√s, >= 0.
    k : float or (bid, ask)
        Decay of the fill intensity with the depth, 1/tick, > 0.
    gamma : float
        Risk aversion, 1/(tick·lot), >= 0.
    horizon : float, optional
        End of trading, seconds away. Either this or ``omega``.
    omega : float, optional
        Discount rate of the infinite horizon, 1/s; more than
        gamma^2 sigma^2 (q_max + order_size)^2 / 2.
    q_max : int, optional
        Largest position, lots; needed with ``omega``, else no bound when omitted.
    A : float or (bid, ask), optional
        Rate of fills of a quote at the reference price, 1/s. The quotes don't depend on it; it tells
        whether they are near the optimum.
    order_size : int
        Lots of every order.

    Raises
    ------
    InvalidArgument
        Names the argument that is not allowed, its value and what is.

    Warns
    -----
    ApproximationWarning
        Given ``A``, when the quotes are far from the optimum; see the module's documentation.

    Examples
    --------
    >>> model = AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0)
    >>> [round(depth, 6) for depth in model.depths(0, time_left=1.0)]
    [0.845385, 0.845385]
    >>> [round(depth, 6) for depth in model.depths(1, time_left=0.5)]
    [0.945385, 0.545385]
    """

    PARAMETERS = (
        SIGMA,
        DECAY,
        GAMMA,
        Parameter(
            "horizon", float, default=None, low=0.0, open_low=True, unit="s",
            doc="end of trading; either this or omega",
        ),
        Parameter(
            "omega", float, default=None, low=0.0, open_low=True, unit="1/s",
            doc="discount rate of the infinite horizon",
        ),
        BOUND,
        Parameter(
            "A", float, default=None, low=0.0, open_low=True, unit="1/s", pair=True,
            doc="rate of fills of a quote at the reference price; only to tell how far from optimal",
        ),
        ORDER_SIZE,
    )  # fmt: skip

    RELATIONS = (
        *Model.RELATIONS,
        Relation(
            ("omega", "horizon"),
            lambda _, horizon: horizon is None,
            lambda _, horizon: f"left out where horizon is given ({horizon:g} s)",
        ),
    )

    sigma: float
    k: tuple[float, float]
    gamma: float
    omega: float | None
    q_max: int | None
    A: tuple[float, float] | None

    def __init__(
        self,
        *,
        sigma: float,
        k: float | tuple[float, float],
        gamma: float,
        horizon: float | None = None,
        omega: float | None = None,
        q_max: int | None = None,
        A: float | tuple[float, float] | None = None,
        order_size: int = 1,
    ) -> None:
        super().__init__(locals())
        if self.horizon is None and self.omega is None:
            raise InvalidArgument(
                "give either a horizon (seconds) or omega (1/s, for an infinite horizon), got neither",
                argument="horizon",
                value=horizon,
            )
        if self.omega is not None:
            if self.q_max is None:
                raise InvalidArgument(
                    argument="q_max", value=None, allowed="given together with omega (lots)"
                )
            self.__dict__["_reach"] = self._check_omega(Fraction(self.omega), self.q_max)
        else:
            affine_of(self)  # refuses what has no depths
        self._warn()

    def _check_omega(self, omega: Fraction, q_max: int) -> tuple[float, float]:
        """2 omega / (gamma sigma)^2 in two doubles: the square of where quotes cease to exist, lots.

        Next to the bound on omega, what is left of it in the logarithms has few of its leading digits.
        """
        risk = Fraction(self.gamma) * Fraction(self.sigma)
        needed = (risk * (q_max + self.order_size)) ** 2 / 2
        try:
            shown = float(needed)
        except OverflowError:
            largest = max(("gamma", "sigma", "q_max"), key=lambda name: getattr(self, name))
            raise InvalidArgument(
                argument=largest,
                value=getattr(self, largest),
                allowed="such that omega can be more than gamma^2 sigma^2 (q_max + order_size)^2 / 2",
            ) from None
        if omega <= needed:
            raise InvalidArgument(
                argument="omega",
                value=self.omega,
                allowed="strictly more than gamma^2 sigma^2 (q_max + order_size)^2 / 2 = "
                f"{shown!r} 1/s, or the quotes at q_max do not exist",
            )
        try:
            square = 2 * omega / risk**2
            high = float(square)
        except (OverflowError, ZeroDivisionError):
            return math.inf, 0.0
        return high, float(square - Fraction(high))

    @property
    def alpha_over_eta(self) -> float | None:
        """Aversion to inventory over the fill rate, k gamma sigma^2 order_size / (2 A C); needs ``A``."""
        if self.A is None:
            return None
        alpha, eta = self._alpha_eta(self.A)
        return alpha / eta

    def _alpha_eta(self, A: tuple[float, float]) -> tuple[float, float]:
        size = self.gamma * self.order_size
        worst = min((0, 1), key=lambda i: A[i] * fill_constant(size, self.k[i]) / self.k[i])
        k = self.k[worst]
        eta = A[worst] * fill_constant(size, k)
        if eta == 0.0:
            raise InvalidArgument(
                argument="A",
                value=self.A,
                allowed="such that the rate of fills is not 0 in floating point, with "
                f"gamma={self.gamma:g} and k={k:g}",
            )
        return 0.5 * k * size * self.sigma * self.sigma, eta

    def _warn(self) -> None:
        if self.A is None:
            return
        alpha, eta = self._alpha_eta(self.A)
        speed = 2.0 * math.sqrt(alpha * eta)
        why = ""
        if alpha / eta > 0.1:
            why = f"at alpha/eta = {alpha / eta:.3g}, above 0.1"
        elif self.horizon is not None and speed * self.horizon > 1.0:
            why = (
                f"with a horizon of {self.horizon:g} s, while the optimal skew settles in "
                f"1/(2 sqrt(alpha eta)) = {1 / speed:.3g} s: far from the horizon its skew is "
                f"{speed * self.horizon:.2g} times too steep"
            )
        elif self.omega is not None and not 0.5 <= speed / self.omega <= 2.0:
            why = (
                f"with omega = {self.omega:g}, while 2 sqrt(alpha eta) = {speed:.3g} 1/s would make its skew "
                "right at zero inventory"
            )
        if why:
            warnings.warn(
                f"Avellaneda-Stoikov's approximation is used {why}; GueantLehalleFernandezTapia is exact",
                ApproximationWarning,
                stacklevel=3,
            )

    @property
    def _has_stationary(self) -> bool:
        return self.omega is not None

    @property
    def _kernel(self) -> str | None:  # type: ignore[override]
        return None if self.horizon is None else "avellaneda_stoikov"

    @property
    def _static(self) -> tuple[float, float]:
        size = self.gamma * self.order_size
        return static_half_spread(size, self.k[0]), static_half_spread(size, self.k[1])

    def reservation(self, inventory: float, time_left: float = math.inf) -> tuple[float, float]:
        """Indifference prices for buying and for selling one order, ticks from the reference price.

        Examples
        --------
        >>> model = AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0)
        >>> [round(price, 12) for price in model.reservation(0, time_left=1.0)]
        [-0.2, 0.2]
        """
        q, tau = self._check_place(inventory, time_left)
        if self.q_max is not None and not (np.abs(q) <= self.q_max).all():
            raise InvalidArgument(
                argument="inventory", value=inventory, allowed=f"within +-{self.q_max} lots"
            )
        bid, ask = self._reservation(q, tau)
        return float(bid[0]), float(ask[0])

    def _reservation(self, q: Floats, tau: Floats) -> tuple[Floats, Floats]:
        if self.omega is None:
            _, rate, _, slope = affine_of(self)
            return -(rate[0] * tau + slope * tau * q), rate[1] * tau - slope * tau * q
        if math.isinf(self.__dict__["_reach"][0]):
            return np.zeros(q.shape), np.zeros(q.shape)
        d = float(self.order_size)
        here, bought = self._left(q, 0.0), self._left(q, d)
        sold = bought + 2.0 * d * d  # as published: see above
        return tuple(  # type: ignore[return-value]
            np.where(share < -0.5, log(np.maximum(left, 0.0) / here), log1p(share)) / (self.gamma * d)
            for share, left in ((-d * (2.0 * q + d) / here, bought), (d * (d - 2.0 * q) / here, sold))
        )

    def _left(self, q: Floats, more: float) -> Floats:
        """n(q + more), where what rounding takes from the sum, the square and the difference is put back."""
        high, low = self.__dict__["_reach"]
        at = q + more
        part = at - q
        lost = (q - (at - part)) + (more - part)
        square = at * at
        scaled = 134217729.0 * at  # 2^27 + 1: Dekker's product
        head = scaled - (scaled - at)
        tail = at - head
        lost = ((head * head - square) + 2.0 * head * tail) + tail * tail + 2.0 * at * lost
        left = high - square
        part = left - high
        whole: Floats = left + (((high - (left - part)) - (square + part)) + low - lost)
        return whole

    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        if self.omega is None:
            return self.policy().depths_batch(inventory, time_left)
        assert self.q_max is not None
        bound = float(self.q_max)
        room = bound - self.order_size
        q = np.clip(inventory, -bound, bound)
        bid, ask = self._reservation(q, time_left)
        return (
            np.where(inventory <= room, self._static[0] - bid, math.nan),
            np.where(inventory >= -room, self._static[1] + ask, math.nan),
        )

    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Affine | Table:
        """Compile: affine in inventory and time with a horizon, a table over inventory with ``omega``.

        Nothing is approximated further on the lattice of ``order_size``, so ``tol`` has no effect.

        Raises
        ------
        CapacityError
            The table would be larger than ``max_bytes``; the message says how large.
        """
        from ..quoting import Affine, Table

        if self.horizon is not None:
            base, base_rate, _, slope_rate = affine_of(self)
            return Affine(
                base=base,
                base_rate=base_rate,
                slope_rate=slope_rate,
                q_max=math.inf if self.q_max is None else self.q_max,
                order_size=self.order_size,
                horizon=self.horizon,
                stationary=False,
            )
        assert self.q_max is not None
        n = self.q_max // self.order_size
        size = (2 * n + 1) * CELL_BYTES + HEADER_BYTES
        if size > max_bytes:
            raise CapacityError(
                f"the table needs {2 * n + 1} inventories, {size:,} bytes; max_bytes={max_bytes:,}",
                argument="max_bytes",
                value=max_bytes,
                allowed=f">= {size}",
            )
        q: Floats = np.arange(-n, n + 1) * np.float64(self.order_size)
        bid, ask = self._depths(q, np.full(q.shape, math.inf))
        return Table(bid, ask, q_max=self.q_max, order_size=self.order_size)
