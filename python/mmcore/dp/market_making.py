r"""A market maker's problem in steps: inventory, regimes of the market, delay; depths, sizes, market orders.

In each step of :math:`\Delta t` seconds the market is in a regime m and the market maker holds q lots.
Each side has one of the regime's offers out, or none; offer i is filled with probability :math:`p_i =
\lambda_i \Delta t` and earns its depth less the fee and what the fill gives away to the informed. The
value solves

.. math:: V_t(m, q) = r_m(q) + \beta \sum_{m'} P_{mm'} V_{t+1}(m', q)
    + \max_i p_i\{e_i z_i + \beta[V_{t+1}(m, q + z_i) - V_{t+1}(m, q)]\} + \max_j p_j\{\dots\},

:math:`r_m(q) = (\mu_m q - \phi_m q^2)\Delta t`, and then market orders are taken, each of one order,

.. math:: V_t(m, q) \leftarrow \max(V_t(m, q), V_t(m, q \pm \Delta) - \Delta (s_m / 2 + f)),

until nothing changes. Units: ticks, lots, seconds; values in tick·lots beyond cash + inventory * price.

Where one step is one event (``fills="exclusive"``) both sides are chosen apart and the chain is
tri-diagonal; :mod:`mmcore.market_making` makes use of that. ``fills="independent"`` lets both sides be
filled in one step, which adds :math:`p_i p_j \beta [V(q + z_i - z_j) - V(q + z_i) - V(q - z_j) + V(q)]`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import number, real, whole
from ..errors import CapacityError, InvalidArgument
from ..market_making import InventoryChain, Regimes
from ..models.model import Floats
from ..parameters import expect
from .checks import tolerance
from .inventory_steps import backward, stationary
from .market_making_solution import MarketMakingSolution
from .offers import Offers, Regime
from .solution import Solution

__all__ = ["MarketMakingProblem", "MarketMakingSolution", "Offers", "Regime"]

_MOST_DISCOUNT = 1 - 2.0**-44  # of a step: nearer to one, rounding leaves nothing to certify
_MOST_CROSSED = 2**15 - 1  # inventories between which market orders count in 16 bits
_SOLVED_BYTES = 48  # of a state and decision: value, bounds and offers, and what makes them
_MOST_AHEAD = 2 * 10**9  # values that one decision with a lag looks at: half a minute
_LEAST_STEP = 1000  # values that take as long as a step of fewer
_COUNTED = 64  # quotes in flight, of which no memory holds the states


@dataclass(frozen=True, eq=False)
class MarketMakingProblem:
    """A market maker's problem in steps, to be solved by :meth:`solve`.

    Parameters
    ----------
    regimes : Regime or sequence of Regime
        States of the market.
    q_max : int
        Inventory bound, lots: a multiple of `order_size`.
    dt : float
        Seconds of a step. All rates times dt are probabilities, and must leave room for nothing to happen.
    order_size : int
        Lots of one order; sizes of offers are multiples of it.
    horizon : float, optional
        Seconds, a whole number of steps; None: for ever.
    discount_rate : float, optional
        1/s, with horizon None; None: the average reward is maximised.
    switching : array_like, shape (m, m), optional
        Rates (1/s) at which the market goes from regime i to regime j of m; the diagonal is not read. Needed
        where there are several regimes.
    maker_fee, taker_fee : float
        Ticks a lot; negative: a rebate.
    terminal_penalty : float
        alpha, ticks/lot: holding q lots at the horizon costs alpha q².
    liquidate : bool
        What is held at the horizon is traded away across the spread and pays the taker's fee: there
        :meth:`MarketMakingSolution.take` is all that is held, whether or not `take` is set.
    take : bool
        Market orders are allowed at every step before the horizon.
    fills : str
        ``"exclusive"``: at most one thing happens in a step, a fill or a change of regime.
        ``"independent"``: both sides may be filled, and the regime may change as well.
    lag : int
        Steps until a quote that was sent is live.
    in_flight : str
        ``"one"``: nothing new is sent until what was sent is live. ``"all"``: a quote is sent at every step.
    max_states : int
        How many regimes, inventories and, with a lag, quotes in flight may make together.
    max_bytes : int
        Memory that values, bounds and decisions may take, of all states and of all steps to the horizon.

    Raises
    ------
    InvalidArgument
        An argument is not allowed.
    CapacityError
        There are more states than `max_states`, the solution would take more than `max_bytes`, or a `lag` is
        of so many steps that one decision would take minutes.

    Examples
    --------
    >>> regime = Regime(Offers.exponential(A=0.9, k=0.3, depth=range(1, 11)), running_penalty=0.01)
    >>> model = MarketMakingProblem(regime, q_max=5, dt=0.1).solve()
    >>> model.depths(0), model.depths(4)
    ((4.0, 4.0), (6.0, 2.0))
    >>> model.solution.stop_reason
    'tolerance'
    """

    regimes: Any
    q_max: int
    dt: float
    order_size: int = 1
    horizon: float | None = None
    discount_rate: float | None = None
    switching: Any = None
    maker_fee: float = 0.0
    taker_fee: float = 0.0
    terminal_penalty: float = 0.0
    liquidate: bool = False
    take: bool = False
    fills: str = "exclusive"
    lag: int = 0
    in_flight: str = "one"
    max_states: int = 1_000_000
    max_bytes: int = 4 << 30
    _parts: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        given = self.regimes if isinstance(self.regimes, Iterable) else (self.regimes,)
        regimes = tuple(given)
        if not regimes or not all(isinstance(regime, Regime) for regime in regimes):
            raise InvalidArgument(argument="regimes", value=self.regimes, allowed="a Regime or several")
        object.__setattr__(self, "regimes", regimes)
        for name, low in (("q_max", 1), ("order_size", 1), ("lag", 0), ("max_states", 1), ("max_bytes", 1)):
            whole(name, getattr(self, name), low)
        if self.q_max % self.order_size:
            raise InvalidArgument(
                argument="q_max",
                value=self.q_max,
                allowed=f"a multiple of order_size, {self.order_size} lots",
            )
        number("dt", self.dt)
        for name in ("maker_fee", "taker_fee"):
            number(name, getattr(self, name), -math.inf)
        number("terminal_penalty", self.terminal_penalty, open_low=False)
        for name in ("liquidate", "take"):
            expect(name, getattr(self, name), bool, "True or False")
        for name, allowed in (("fills", ("exclusive", "independent")), ("in_flight", ("one", "all"))):
            if getattr(self, name) not in allowed:
                raise InvalidArgument(
                    argument=name, value=getattr(self, name), allowed=" or ".join(map(repr, allowed))
                )
        if self.horizon is not None:
            number("horizon", self.horizon)
            steps = self.horizon / self.dt
            if self.discount_rate is not None:
                raise InvalidArgument(
                    argument="discount_rate",
                    value=self.discount_rate,
                    allowed="None where there is a horizon",
                )
            if abs(steps - round(steps)) > 1e-9 * steps or round(steps) < 1:
                raise InvalidArgument(
                    argument="horizon",
                    value=self.horizon,
                    allowed=f"a whole number of steps of {self.dt:g} s",
                )
        elif self.terminal_penalty or self.liquidate:
            raise InvalidArgument(
                argument="horizon",
                value=None,
                allowed="a number (s) where terminal_penalty or liquidate make the end count",
            )
        if self.discount_rate is not None:
            number("discount_rate", self.discount_rate)
        self._check_capacity(*self._flying())
        self._parts.update(self._stored())

    # -- the model in numbers ----------------------------------------------------------------------

    def _stored(self) -> dict[str, Any]:
        """The chains of all regimes and how the market moves between them."""
        n, count, size, dt = self.nodes, len(self.regimes), self.order_size, self.dt
        q = self.inventories
        discount = 1.0 if self.discount_rate is None else math.exp(-self.discount_rate * dt)
        if self.discount_rate is not None and discount > _MOST_DISCOUNT:
            raise InvalidArgument(
                argument="discount_rate",
                value=self.discount_rate,
                allowed=f">= {1.01 * (1 - _MOST_DISCOUNT) / dt:.3g} for steps of {dt:g} s (less "
                f"leaves rounding nothing to certify), or None for the average reward",
            )
        change = None
        if count > 1 or self.switching is not None:
            allowed = f"of shape ({count}, {count}), finite"
            rates = real("switching", self.switching, allowed)
            if rates.shape != (count, count) or not np.isfinite(rates).all():
                raise InvalidArgument(argument="switching", value=self.switching, allowed=allowed)
            change = rates * dt
            np.fill_diagonal(change, 0.0)
            if (change < 0).any() or (change.sum(axis=1) > 1).any():
                raise InvalidArgument(
                    argument="switching",
                    value=self.switching,
                    allowed=f">= 0 and, times dt = {dt:g} s, of sum <= 1 in each row",
                )
            np.fill_diagonal(change, 1.0 - change.sum(axis=1))
        if count == 1:
            change = None
        exclusive = self.fills == "exclusive"
        chains, depths, sizes = [], [], []
        for i, regime in enumerate(self.regimes):
            sides, ticks, lots = [], [], []
            for side, adverse in zip((regime.bid, regime.ask), regime.adverse_selection, strict=True):
                held = np.full(side.depth.size, float(size)) if side.size is None else side.size
                if (held % size).any():
                    raise InvalidArgument(
                        argument="size", value=held.tolist(), allowed=f"multiples of order_size, {size} lots"
                    )
                reward = (side.depth - self.maker_fee - adverse) * held
                # the last is no offer at all; it is there at every inventory
                sides.append(
                    (np.append(side.rate * dt, 0.0), np.append(reward, 0.0), np.append(held / size, 1.0))
                )
                ticks.append(np.append(side.depth, math.nan))
                lots.append(np.append(held, 0.0))
            most = [float(side[0].max()) for side in sides]
            stays = 1.0 if change is None or not exclusive else change[i, i]
            if max(most) > 1 or (exclusive and sum(most) > stays):
                raise InvalidArgument(
                    f"dt = {dt:g} s is too long for regime {i}: fills of the bid ({most[0]:g}), of the ask "
                    f"({most[1]:g})"
                    + (f" and changes of regime ({1 - stays:g})" if stays < 1 else "")
                    + " must have probabilities that leave room for nothing to happen",
                    argument="dt",
                    value=dt,
                )
            rate = (regime.drift * q - regime.running_penalty * q * q) * dt
            if not np.isfinite(rate).all():
                raise InvalidArgument(
                    argument="q_max", value=self.q_max, allowed="such that penalties are finite"
                )
            chains.append(InventoryChain(rate, *sides, discount=discount, independent=not exclusive))
            depths.append(ticks)
            sizes.append(lots)
        cross = None
        costs = np.array([regime.spread / 2 + self.taker_fee for regime in self.regimes]) * size
        if self.take:
            if n > _MOST_CROSSED:
                raise InvalidArgument(
                    argument="q_max",
                    value=self.q_max,
                    allowed=f"at most {_MOST_CROSSED // 2} orders where market orders are allowed (take)",
                )
            if not (costs > 0).all():
                raise InvalidArgument(
                    argument="taker_fee",
                    value=self.taker_fee,
                    allowed="such that market orders cost something",
                )
            cross = costs
        terminal = np.zeros((count, n)) - self.terminal_penalty * q * q
        if self.liquidate:
            terminal = terminal - np.abs(q) / size * costs[:, None]
        return {
            "regimes": Regimes(chains, change, exclusive=exclusive, cross=cross),
            "change": np.eye(1) if change is None else change,
            "cross": cross,
            "terminal": terminal,
            "depths": depths,
            "sizes": sizes,
            "discount": discount,
        }

    def _flying(self) -> tuple[int, str]:
        """How many states there are with the quotes in flight, and the words for these."""
        states = self.nodes * len(self.regimes)
        if not self.lag:
            return states, ""
        if self.take:
            raise InvalidArgument(argument="take", value=True, allowed="False where quotes take time")
        offers = {(regime.bid.depth.size, regime.ask.depth.size) for regime in self.regimes}
        if len(offers) > 1:
            raise InvalidArgument(
                argument="regimes",
                value=sorted(offers),
                allowed="of as many offers each, since what was sent meets another regime",
            )
        ((bids, asks),) = offers
        actions = (bids + 1) * (asks + 1)
        flying = self.lag if self.in_flight == "all" else 1
        states *= actions ** min(flying, _COUNTED)
        ahead = self.steps_of_decision if self.steps is None else min(self.steps_of_decision, self.steps)
        most = max(1, _MOST_AHEAD // (actions * max(states, _LEAST_STEP)))
        if states <= self.max_states and ahead > most:
            raise CapacityError(
                f"lag must be at most {most:,} steps for {actions} pairs of offers and {states:,} states, of "
                f"which each decision looks all steps ahead, got {self.lag:,}: a longer dt makes it fewer",
                argument="lag",
                value=self.lag,
            )
        return states, f"{actions} pairs of offers, {flying} of them in flight, "

    def _check_capacity(self, states: int, flying: str) -> None:
        """Refuse what would not fit, before anything is allocated."""
        count = len(self.regimes)
        made_of = f"{flying}{count} regime{'s' if count > 1 else ''} and {self.nodes} inventories"
        if states > self.max_states:
            told = f"{states:,}" if self.in_flight == "one" or self.lag <= _COUNTED else f"over {states:.0e}"
            raise CapacityError(
                f"{made_of} make {told} states; max_states={self.max_states:,}",
                argument="max_states",
                value=self.max_states,
            )
        decisions = 1 if self.steps is None else -(-self.steps // self.steps_of_decision)
        needed = _SOLVED_BYTES * states * (decisions + 1)
        if needed > self.max_bytes:
            raise CapacityError(
                f"{made_of} over {decisions} decisions would take about {needed:,} bytes; "
                f"max_bytes={self.max_bytes:,}",
                argument="max_bytes",
                value=self.max_bytes,
            )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_parts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _parts={})
        self._parts.update(self._stored())

    @property
    def nodes(self) -> int:
        """How many inventories there are."""
        return 2 * (self.q_max // self.order_size) + 1

    @property
    def inventories(self) -> Floats:
        """Lots, from -q_max to q_max."""
        return np.asarray(np.arange(self.nodes) * float(self.order_size) - self.q_max, dtype=np.float64)

    @property
    def steps_of_decision(self) -> int:
        """Steps from one decision to the next."""
        return max(1, self.lag) if self.in_flight == "one" else 1

    @property
    def steps(self) -> int | None:
        """Steps to the horizon; None: for ever."""
        return None if self.horizon is None else round(self.horizon / self.dt)

    # -- solutions ---------------------------------------------------------------------------------

    def solve(self, *, tol: float = 1e-8, max_iterations: int = 1_000_000) -> MarketMakingSolution:
        """Solve, with a certificate.

        Parameters
        ----------
        tol : float
            Bound of the true error of the value wanted (tick·lots); of the gain a second where rewards are
            averaged.
        max_iterations : int
            Passes over the model.

        Returns
        -------
        MarketMakingSolution
            A model: depths, value, policy; its ``solution`` holds the bounds.

        Raises
        ------
        InvalidArgument
            An argument is not allowed.
        """
        tolerance(tol)
        whole("max_iterations", max_iterations, 1)
        begun = time.perf_counter()
        if self.lag:
            from .delayed_quotes import solve_lagged

            found = solve_lagged(self, tol, max_iterations)
        elif self.horizon is not None:
            found = backward(self, tol)
        else:
            found = stationary(self, tol, max_iterations)
        found["elapsed"] = time.perf_counter() - begun
        taken = found.pop("take", None)
        return MarketMakingSolution(self, Solution(**found), taken)
