r"""Exact solutions for fill intensities that decay exponentially with the depth.

The problem. The reference price moves as :math:`dS = \mu\,dt + \sigma\,dW`. A bid at depth
:math:`\delta` below it is filled, :math:`\Delta` lots at a time, at the rate
:math:`A_b e^{-k_b\delta}`; an ask alike. The value of inventory :math:`q` with :math:`\tau` seconds left is

.. math:: \text{cash} + q S + \theta(\tau, q), \qquad \theta(\tau, q) = \Delta\,z(\tau, q) + a q^2,

and :math:`z` solves on the lattice :math:`q_i = (i - N)\Delta`, with :math:`x_i = z_{i+1} - z_i`,

.. math:: \frac{dz_i}{d\tau} = r_i + U e^{k_b x_i} + D e^{-k_a x_{i-1}}, \qquad
    \delta^b_i = c_b + s_b - x_i, \qquad \delta^a_i = c_a + s_a + x_{i-1},

where a term that would leave :math:`\pm q_{max}` is dropped. :math:`c` is the static half-spread,
:math:`s` what a fill costs (fee, impact, adverse selection; ticks per lot), and
:math:`U = (A_b C_b / k_b) e^{-k_b s_b}`. Models differ in :math:`r, c, C, s, a` and :math:`z(0)` only. For
an exponential utility with curvature :math:`\xi` (1/(tick·lot)) and :math:`x = \xi\Delta/k`,

.. math:: c = \frac{\ln(1+x)}{\xi\Delta}, \qquad C = (1+x)^{-(1+1/x)} = \frac{e^{-\ln(1+x)/x}}{1+x},

and for :math:`\xi = 0`: :math:`c = 1/k`, :math:`C = 1/e`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from ..depths import Depths
from ..errors import CapacityError, InvalidArgument
from ..lattice import Lattice, evaluate, lattice_of
from .model import Floats, Model

if TYPE_CHECKING:
    from ..quoting import Table

__all__ = ["ExponentialIntensity"]

MAX_NODES = 1 << 22  # of a lattice; a stationary solution of this size takes a quarter of a second
CELL_BYTES = 32  # of a tabulated policy
HEADER_BYTES = 512  # of a tabulated policy, at most
RESOLUTION = 1e-9  # of times left, s: our stamps are whole nanoseconds
SOLVED = 1e-12  # error of k times a difference, to which a finite time left is solved


class ExponentialIntensity(Model):
    """A model whose exact solution is the lattice equation."""

    A: tuple[float, float]
    k: tuple[float, float]
    q_max: int

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__(given)
        n = 2 * (self.q_max // self.order_size) + 1
        if n > MAX_NODES:
            raise CapacityError(
                f"q_max={self.q_max} with order_size={self.order_size} makes a lattice of {n} nodes; "
                f"at most {MAX_NODES} are allowed: a larger order_size makes it coarser",
                argument="q_max",
                value=self.q_max,
            )
        self.__dict__["_lattice"], self.__dict__["_static"] = lattice_of(self)
        self.__dict__["_solved"] = {}

    # -- what a model says of itself -------------------------------------------------------------

    @property
    @abstractmethod
    def _curvature(self) -> float:
        """Curvature of the utility of each fill, 1/(tick·lot)."""

    @property
    @abstractmethod
    def _cost(self) -> tuple[float, float]:
        """What a fill costs on each side, ticks per lot."""

    @property
    @abstractmethod
    def _penalty(self) -> float:
        """Coefficient of -i^2 in the running reward, i counting orders held; ticks/s."""

    @property
    @abstractmethod
    def _bend(self) -> tuple[float, float]:
        """Coefficients of q^2, ticks per lot: of theta - Delta z (any time), and of theta at time left 0."""

    # -- solutions ---------------------------------------------------------------------------------

    def _inventories(self) -> Floats:
        n = self.q_max // self.order_size
        return np.arange(-n, n + 1) * np.float64(self.order_size)

    def _start(self) -> Floats:
        """Differences x at time left 0, from (theta - a q^2) / Delta without cancellation."""
        a, end = self._bend
        q = self._inventories()[:-1]
        return (end - a) * (2.0 * q + self.order_size)

    def _stationary(self) -> tuple[Floats, float, float]:
        solved = self.__dict__["_solved"]
        if math.inf not in solved:
            solved[math.inf] = self.__dict__["_lattice"].stationary()
        found: tuple[Floats, float, float] = solved[math.inf]
        return found

    def _rows(self, times: Floats) -> tuple[Floats, Floats]:
        """Differences x and the middle value z at ascending times left; the last may be infinite."""
        if self.horizon is None:
            times = np.full(times.shape, math.inf)
        finite = times[np.isfinite(times)]
        key = finite.tobytes()
        solved = self.__dict__["_solved"]
        if key not in solved:
            if len(solved) > 8:
                solved.clear()
            solved[key] = self.__dict__["_lattice"].evolve(self._start(), finite)[:2]
        x, middle = solved[key]
        if finite.size < times.size:
            extra = times.size - finite.size
            x = np.concatenate([x, np.tile(self._stationary()[0], (extra, 1))])
            middle = np.concatenate([middle, np.zeros(extra)])
        return x, middle

    def _quotes(self, x: Floats) -> tuple[Floats, Floats]:
        """Depths at the nodes from the differences, along the last axis."""
        bid_static, ask_static = self.__dict__["_static"]
        absent = np.full((*x.shape[:-1], 1), math.nan)
        return (
            np.concatenate([bid_static - x, absent], axis=-1),
            np.concatenate([absent, ask_static + x], axis=-1),
        )

    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        times, row = np.unique(time_left, return_inverse=True)
        bid, ask = self._quotes(self._rows(times)[0])
        at = np.clip(inventory, -self.q_max, self.q_max)
        return self._between(bid, row, at), self._between(ask, row, at)

    def _between(self, table: Floats, row: Any, q: Floats) -> Floats:
        """Interpolate linearly between nodes; a neighbour of weight zero is not read."""
        at = (q + self.q_max) / self.order_size
        i = np.minimum(at.astype(np.int64), table.shape[1] - 1)
        weight = at - i
        low = table[row, i]
        high = table[row, np.minimum(i + 1, table.shape[1] - 1)]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(weight > 0.0, low + weight * (high - low), low))

    @overload
    def value(self, inventory: float, time_left: float = ...) -> float: ...
    @overload
    def value(self, inventory: ArrayLike, time_left: ArrayLike = ...) -> Floats: ...
    def value(self, inventory: Any, time_left: Any = math.inf) -> Any:
        """Value of the inventory and of the time left beyond marking to the reference price.

        The certain amount (ticks times lots) worth as much as holding the inventory and quoting
        optimally until the horizon, on top of cash + inventory * price. With ``time_left`` infinite it
        grows without bound; then it is the difference to zero inventory, and :attr:`gain` is its growth.

        Parameters
        ----------
        inventory : float or array_like
            Lots, within +-q_max.
        time_left : float or array_like
            Seconds to the horizon.

        Raises
        ------
        InvalidArgument
            The inventory is beyond the bounds, or the time left is not readable.
        """
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        wrong = np.abs(q) > self.q_max
        if wrong.any():
            first = q.flat[int(np.flatnonzero(wrong)[0])]
            raise InvalidArgument(
                argument="inventory", value=float(first), allowed=f"within +-{self.q_max} lots"
            )
        times, row = np.unique(tau.ravel(), return_inverse=True)
        theta = self._between(self._theta(*self._rows(times)), row, q.ravel())
        return float(theta[0]) if scalar else theta.reshape(q.shape)

    def _theta(self, x: Floats, middle: Floats) -> Floats:
        """Theta at the nodes, from the middle outwards."""
        n = x.shape[-1] // 2
        up = np.cumsum(x[..., n:], axis=-1)
        down = -np.cumsum(x[..., n - 1 :: -1], axis=-1)[..., ::-1]
        z = np.concatenate([down, np.zeros((*x.shape[:-1], 1)), up], axis=-1) + middle[..., None]
        return np.asarray(self.order_size * z + self._bend[0] * self._inventories() ** 2)

    @property
    def gain(self) -> float:
        """Growth of :meth:`value` far from the horizon, tick·lots/s."""
        return self.order_size * self._stationary()[1]

    @property
    def alpha_over_eta(self) -> float:
        """Curvature of the running penalty over the fill rate: closed forms need it well below 1.

        The larger of both sides; the depths of the stationary solution, in units of 1/k from the static
        half-spread, depend on inventory and on this number alone.
        """
        lattice: Lattice = self.__dict__["_lattice"]
        return self._penalty / min(lattice.up, lattice.down)

    def certainty_equivalent(
        self, policy: Any, inventory: float = 0.0, horizon: float | None = None, tolerance: float = 1e-9
    ) -> float:
        """What quoting any policy is worth in this model's market, by this model's objective.

        The expected utility of depths that depend on inventory and time left solves a linear equation
        on the lattice, so nothing is simulated. The optimum is :meth:`value`; the difference is what the
        policy loses.

        Parameters
        ----------
        policy : policy or model
            A policy, a model, or anything with ``depths(inventory, time_left)``: :mod:`mmcore.depths` says
            what it may have. It trades orders of this model's size, and never beyond this model's
            ``q_max``. A rule of one's own should name the times left at which its depths jump, come or go
            as ``time_left``; what it does not name is found unless it lasts less than a hundredth of the
            horizon.
        inventory : float
            Lots at the start, within +-q_max.
        horizon : float, optional
            Seconds to quote; the model's when omitted.
        tolerance : float
            Of the solution, relative to 1/k in each step.

        Returns
        -------
        float
            Tick lots, beyond cash + inventory * price.

        Raises
        ------
        InvalidArgument
            There is no horizon, or the policy does not cover it or trades another size.
        CapacityError
            The depths of a rule bend too often to be read to the tolerance.
        NoConvergence
            The expected utility is minus infinity to the computer.

        Examples
        --------
        What the quotes of Avellaneda and Stoikov lose in their own market:

        >>> from mmcore.models import AvellanedaStoikov, GueantLehalleFernandezTapia
        >>> exact = GueantLehalleFernandezTapia(sigma=2.0, A=140.0, k=1.5, gamma=0.1, q_max=30, horizon=1.0)
        >>> paper = AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0)
        >>> round(exact.value(0, time_left=1.0), 2), round(exact.certainty_equivalent(paper), 2)
        (64.13, 61.4)
        """
        if horizon is None:
            horizon = self.horizon
        if horizon is None or not (math.isfinite(horizon) and horizon > 0):
            raise InvalidArgument(
                argument="horizon", value=horizon, allowed="a finite number > 0 (s), since the model has none"
            )
        depths = Depths(policy, tol=1e-6 / max(self.k))
        if depths.order_size != self.order_size:
            raise InvalidArgument(
                argument="policy", value=policy, allowed=f"one that trades {self.order_size} lots at a time"
            )
        if depths.horizon < horizon:
            raise InvalidArgument(argument="policy", value=policy, allowed=f"one that covers {horizon:g} s")
        at, _ = self._check_place(inventory, 0.0)
        if not (np.abs(at) <= self.q_max).all():
            raise InvalidArgument(
                argument="inventory", value=inventory, allowed=f"within +-{self.q_max} lots"
            )
        q = self._inventories()
        times, bid, ask = depths.along(q, horizon, tol=1e-7 / max(self.k))
        a, end = self._bend
        z = evaluate(
            self.__dict__["_lattice"].rate,
            A=self.A,
            k=self.k,
            cost=self._cost,
            curvature=self._curvature * self.order_size,
            times=times,
            bid=bid,
            ask=ask,
            start=(end - a) / self.order_size * q * q,
            tolerance=tolerance,
        )
        theta = self.order_size * z + a * q * q
        return float(self._between(theta[None, :], np.zeros(1, dtype=np.int64), at)[0])

    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Table:
        """Compile into a table.

        A model without a horizon makes one stationary row. One with a horizon gets knots of time left,
        dense where depths bend, and the stationary row for ``time_left = inf``; depths are interpolated
        linearly in between, and the largest error measured is stored as ``policy.error``.

        Parameters
        ----------
        tol : float
            Largest interpolation error allowed in time, ticks; with a horizon at least 1e-12 of 1/k, to
            which the equation is solved.
        max_bytes : int
            Largest size of the table.

        Raises
        ------
        CapacityError
            The table would be larger. One with a horizon is given up when it is: the message says how many
            seconds of it the allowed rows cover.
        InvalidArgument
            tol is no number > 0, or finer than the solution.
        """
        from ..quoting import Table

        if not (isinstance(tol, (int, float)) and math.isfinite(tol) and tol > 0):
            raise InvalidArgument(argument="tol", value=tol, allowed="a finite number > 0 (ticks)")
        finest = SOLVED / max(self.k)
        if self.horizon is not None and tol < finest:
            raise InvalidArgument(
                argument="tol",
                value=tol,
                allowed=f">= {finest:.3g} ticks, to which the equation can be solved with k={max(self.k):g}",
            )
        x = self._stationary()[0][None, :]
        knots, error = None, 0.0
        self._check_size(max_bytes)
        if self.horizon is not None:
            knots, rows, error = self._knots(float(tol), max_bytes)
            x = np.concatenate([rows, x])
        bid, ask = self._quotes(x)
        return Table(
            bid,
            ask,
            q_max=self.q_max,
            order_size=self.order_size,
            time_left=knots,
            stationary=True,
            error=error,
        )

    def _check_size(self, max_bytes: int) -> None:
        n = len(self.__dict__["_lattice"])
        size = n * CELL_BYTES + 8 + HEADER_BYTES
        if size > max_bytes:
            raise CapacityError(
                f"the table needs a row of {n} inventories, {size:,} bytes; max_bytes={max_bytes:,}: "
                "allow more, or a coarser lattice (a smaller q_max or a larger order_size)",
                argument="max_bytes",
                value=max_bytes,
                allowed=f">= {size}",
            )

    def _knots(self, tol: float, max_bytes: int) -> tuple[Floats, Floats, float]:
        """Times left and rows of x such that linear interpolation in time errs by at most tol.

        Within intervals of a nanosecond, which no clock of ours divides, errors are not looked at: a steep
        terminal penalty would ask for knots at times left down to e^-1000 s.
        """
        lattice: Lattice = self.__dict__["_lattice"]
        assert self.horizon is not None
        most = (max_bytes - HEADER_BYTES) // (len(lattice) * CELL_BYTES + 8) - 1  # the last is stationary
        now, x, inner = 0.0, self._start(), 0.0
        knots, rows, worst = [now], [x], 0.0
        quarters = np.array([0.25, 0.5, 0.75, 1.0])
        tolerance = min(max(1e-3 * tol * max(self.k), 1e-13), 1e-6)
        span = min(self.horizon, 0.01 / (lattice.up * lattice.k_bid + lattice.down * lattice.k_ask))
        while now < self.horizon:
            if len(rows) >= most:
                raise CapacityError(
                    f"the table needs more rows of {len(lattice)} inventories than max_bytes={max_bytes:,} "
                    f"holds: they cover {now:g} s of {self.horizon:g} s. Allow more, a larger tol, or a "
                    "coarser lattice (a smaller q_max or a larger order_size)",
                    argument="max_bytes",
                    value=max_bytes,
                    allowed=f"> {max_bytes}",
                )
            last = now + span >= self.horizon * (1 - 1e-9)
            width = self.horizon - now if last else span
            path, _, step = lattice.evolve(x, quarters * width, tolerance=tolerance, first_step=inner)
            chord = x + quarters[:3, None] * (path[3] - x)
            error = float(np.abs(path[:3] - chord).max())
            growth = min(4.0, math.sqrt(0.8 * tol / error)) if error > 0 else 4.0
            if error > tol and width > RESOLUTION:
                span = max(width * min(growth, 0.7), RESOLUTION)
                continue
            now = self.horizon if last else now + width
            x, inner = path[3], step
            if error <= tol:
                worst = max(worst, error)
            span = max(width * growth, RESOLUTION)
            knots.append(now)
            rows.append(x)
        return np.array(knots), np.array(rows), worst
