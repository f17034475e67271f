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

**What is proven of a solution.** Write T for one exact step of the model as it is stored (the probabilities,
rewards, discount and so on, as the doubles they are), B for the largest of :math:`\beta\sum_{m'} P_{mm'}`.
T is monotone, and adding c >= 0 to the value that comes next adds at most B c. A computed step adds up the
reward, the gains of both sides, the mean over M regimes and two differences; each term passes at most
10 + M roundings, so with u = 2^-53 it is off by at most

.. math:: \varepsilon = (16 + M) u (1 + 10^{-6}) (|r| + |e p z| + (|e p z|)' + 5 B |V|) + \ell + k u |V|,

:math:`\ell` being what the lines lose that rounding put into the wrong order on the envelope (read off at
its corners, between which the loss is convex) and k the market orders taken at once. Then

* finite horizon: :math:`|V_t - V^*_t| \le E_t = B E_{t+1} + \varepsilon_t`, :math:`E_N = 0`;
* discounted: with d = TV - V, :math:`V^* \le TV + \frac{B}{1-B}\max d` and alike below, widened by
  :math:`\varepsilon / (1 - B)`;
* average: the gain lies between the least and the largest of d, widened by :math:`\varepsilon`.
"""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, real, whole
from ..errors import CapacityError, InvalidArgument, NoConvergence, Unsupported
from ..market_making import InventoryChain, Regimes
from ..models.model import Floats, Model
from ..parameters import expect
from .checks import tolerance
from .solution import Solution

if TYPE_CHECKING:
    from ..quoting import Table

__all__ = ["MarketMakingProblem", "MarketMakingSolution", "Offers", "Regime"]

_UNIT = 2.0**-53
_MOST_DISCOUNT = 1 - 2.0**-44  # of a step: nearer to one, rounding leaves nothing to certify
_MOST_CROSSED = 2**15 - 1  # inventories between which market orders count in 16 bits
_CELL_BYTES = 32  # of a tabulated policy
_SOLVED_BYTES = 48  # of a state and decision: value, bounds and offers, and what makes them
_NEAR_ONE = 1 - 1e-7  # a discount whose best policies are those of the average, mostly
_UNRELATED = 1e12  # values over rewards that only a matrix without an inverse brings about
_MOST_TESTED = 1 << 26  # offers, states and steps: beyond, no action of a finite horizon is proven away


def _column(name: str, given: ArrayLike, length: int | None = None) -> Floats:
    """One number or more as an array that nobody writes to, of that length where there is one."""
    array = np.array(real(name, given, "finite numbers, at least one"), ndmin=1)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidArgument(argument=name, value=given, allowed="finite numbers, at least one")
    if length is not None and array.size != length:
        allowed = f"as many numbers as there are depths, {length}"
        raise InvalidArgument(argument=name, value=array.tolist(), allowed=allowed)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Offers:
    """What may be offered on one side: depths, the rates at which they are filled, sizes.

    Parameters
    ----------
    depth : array_like
        From the reference price, ticks; negative beyond it.
    rate : array_like
        Fills per second, >= 0.
    size : array_like
        Lots, whole orders; one order where omitted.

    Examples
    --------
    >>> Offers.exponential(A=0.9, k=0.3, depth=[1, 2]).rate.round(4).tolist()
    [0.6667, 0.4939]
    >>> Offers.touch(2, join=0.35, improve=0.7).depth.tolist()  # a spread of two ticks
    [1.0, 0.0]
    """

    depth: Floats
    rate: Floats
    size: Floats | None = None
    spread: float | None = None

    def __post_init__(self) -> None:
        depth = _column("depth", self.depth)
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "rate", _column("rate", self.rate, depth.size))
        if self.size is not None:
            size = np.full(depth.size, self.size) if np.ndim(self.size) == 0 else self.size
            object.__setattr__(self, "size", _column("size", size, depth.size))
        if self.spread is not None:
            number("spread", self.spread, open_low=False)
        if (self.rate < 0).any():
            raise InvalidArgument(argument="rate", value=float(self.rate.min()), allowed=">= 0 (1/s)")
        if self.size is not None and not ((self.size >= 1) & (self.size == np.floor(self.size))).all():
            raise InvalidArgument(argument="size", value=self.size.tolist(), allowed="whole lots >= 1")

    @classmethod
    def exponential(cls, A: float, k: float, depth: ArrayLike, size: ArrayLike | None = None) -> Offers:
        """Offers that are filled at the rate A exp(-k depth)."""
        number("A", A)
        number("k", k)
        ticks = _column("depth", depth)
        return cls(ticks, A * np.exp(-k * ticks), size)  # type: ignore[arg-type]

    @classmethod
    def touch(
        cls,
        spread: float,
        *,
        join: float | None = None,
        improve: float | None = None,
        back: Sequence[float] = (),
    ) -> Offers:
        """Offers around the touch of a market whose mid is the reference price.

        Parameters
        ----------
        spread : float
            Ticks, >= 1.
        join : float, optional
            Fills per second at the touch.
        improve : float, optional
            One tick inside, which a spread of one tick has no room for.
        back : sequence of float
            One, two, ... ticks outside.
        """
        number("spread", spread, 1.0, open_low=False)
        if improve is not None and spread < 2:
            raise InvalidArgument(
                argument="improve", value=improve, allowed="None where the spread is one tick"
            )
        back = [] if np.size(back) == 0 else _column("back", back).tolist()
        offers = [] if join is None else [(spread / 2, join)]
        offers += [] if improve is None else [(spread / 2 - 1, improve)]
        offers += [(spread / 2 + 1 + i, rate) for i, rate in enumerate(back)]
        if not offers:
            raise InvalidArgument(argument="join", value=join, allowed="a rate, unless another is given")
        depth, rate = zip(*offers, strict=True)
        return cls(depth, rate, spread=spread)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Regime:
    """One state of the market: volatility, imbalance, width of the spread, signal.

    Parameters
    ----------
    bid : Offers
        What may be offered on the bid.
    ask : Offers, optional
        On the ask; as the bid where omitted.
    running_penalty : float
        phi, ticks/(lot·s), >= 0: holding q lots costs phi q² a second. (gamma sigma²/2 of a risk-averse
        market maker whose price has volatility sigma here.)
    drift : float
        Of the reference price, ticks/s.
    spread : float, optional
        Of the market, ticks: a market order pays half of it. Where omitted, that of the offers if they have
        one (:meth:`Offers.touch`), else one tick.
    adverse_selection : float or (float, float)
        What each lot filled at the bid, and at the ask, loses by the move of the reference price that comes
        with the market order, ticks. Prices are a martingale here (but for `drift`): the order, and the move,
        would have come without us, so that what is held already neither gains nor loses by it on average.
    name : str
        For people.
    """

    bid: Offers
    ask: Any = None
    running_penalty: float = 0.0
    drift: float = 0.0
    spread: float | None = None
    adverse_selection: float | tuple[float, float] = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.ask is None:
            object.__setattr__(self, "ask", self.bid)
        for side in ("bid", "ask"):
            expect(side, getattr(self, side), Offers, "Offers")
        number("running_penalty", self.running_penalty, open_low=False)
        given = {"spread": self.spread, "bid": self.bid.spread, "ask": self.ask.spread}
        spreads = {name: spread for name, spread in given.items() if spread is not None} or {"spread": 1.0}
        for spread in spreads.values():
            number("spread", spread, open_low=False)
        if len(set(spreads.values())) > 1:
            told = ", ".join(f"{name} {spread:g}" for name, spread in spreads.items())
            allowed = "that of the offers of both sides"
            raise InvalidArgument(
                f"spread must be {allowed}, got {told}", argument="spread", value=spreads, allowed=allowed
            )
        object.__setattr__(self, "spread", next(iter(spreads.values())))
        number("drift", self.drift, -math.inf)
        pair = (
            self.adverse_selection
            if isinstance(self.adverse_selection, tuple)
            else (self.adverse_selection,) * 2
        )
        if len(pair) != 2:
            raise InvalidArgument(
                argument="adverse_selection", value=pair, allowed="a number, or a pair for bid and ask"
            )
        for one in pair:
            number("adverse_selection", one, -math.inf)
        object.__setattr__(self, "adverse_selection", pair)


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
        There are more states than `max_states`, or the solution would take more than `max_bytes`.

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
        return actions**flying * states, f"{actions} pairs of offers, {flying} of them in flight, "

    def _check_capacity(self, states: int, flying: str) -> None:
        """Refuse what would not fit, before anything is allocated."""
        made_of = f"{flying}{len(self.regimes)} regimes and {self.nodes} inventories"
        if states > self.max_states:
            raise CapacityError(
                f"{made_of} make {states} states; max_states={self.max_states}",
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
            found = self._backward(tol)
        else:
            found = self._stationary(tol, max_iterations)
        found["elapsed"] = time.perf_counter() - begun
        taken = found.pop("take", None)
        return MarketMakingSolution(self, Solution(**found), taken)

    def _backward(self, tol: float) -> dict[str, Any]:
        parts, steps = self._parts, self.steps or 0
        regimes = parts["regimes"]
        codes = [np.empty((steps, len(regimes), self.nodes), np.int16) for _ in "ba"]
        values, bid, ask, take = regimes.backward(steps, parts["terminal"], bid=codes[0], ask=codes[1])
        error = np.zeros(steps + 1)
        large = np.abs(values).max(axis=(1, 2))
        _, factor = _factors(parts)
        own = _step_error(parts, np.maximum(large[:-1], large[1:]), np.abs(take).max(axis=(1, 2)))
        for t in range(steps - 1, -1, -1):
            error[t] = (factor * error[t + 1] + own[t]) * (1 + 4 * _UNIT)
        lower, upper = values - error[:, None, None], values + error[:, None, None]
        return {
            "value": values,
            "policy": np.stack([bid, ask], axis=-1),
            "lower": np.nextafter(lower, -math.inf, out=lower),
            "upper": np.nextafter(upper, math.inf, out=upper),
            "gap": float(2 * error.max()),
            "iterations": steps,
            "residual": 0.0,
            "alive": partial(self._alive, values, 2 * error[:-1]),
            "stop_reason": "tolerance" if error.max() <= tol else "rounding",
            "method": "backward induction",
            "why": "the horizon is finite",
            "take": take,
        }

    def _alive(self, values: Floats, slack: Floats) -> tuple[int, bool]:
        """How many pairs of offers may still be best, by the slack of each step; and whether one each.

        Where market orders are allowed no policy is called the only one.
        """
        parts = self._parts
        chains = parts["regimes"].chains
        pairs = any(not chain.separates for chain in chains)
        sizes = [[side[0].size for side in (chain.bid, chain.ask)] for chain in chains]
        total = sum(a * b for a, b in sizes) * values[1:, 0].size
        if sum(a * b if pairs else a + b for a, b in sizes) * values[1:, 0].size > _MOST_TESTED:
            return total, False
        alive, alone = 0, parts["cross"] is None
        for r, chain in enumerate(chains):
            mixed = np.einsum("k,tkn->tn", parts["change"][r], values[1:])
            after = values[1:, r] if self.fills == "exclusive" else mixed
            counts = np.ones(after.shape, np.int64)
            for gains in (
                [list(_pairs(chain, after, self.fills == "independent"))] if pairs else _sides(chain, after)
            ):
                best = np.maximum.reduce(gains)
                counts *= np.sum([best - gain <= slack[:, None] for gain in gains], axis=0)
            alive += int(counts.sum())
            alone = alone and bool((counts == 1).all())
        return alive, alone

    def _stationary(self, tol: float, limit: int) -> dict[str, Any]:
        parts = self._parts
        regimes: Regimes = parts["regimes"]
        averaged = parts["discount"] == 1.0
        chain = regimes.chains[0]
        if len(regimes) == 1 and parts["cross"] is None and chain.separates:
            method, why = "policy iteration, Thomas", "sides separate: evaluation is tri-diagonal"
        else:
            method, why = (
                "policy iteration, sparse LU",
                "regimes, sizes or market orders: evaluation is sparse",
            )
        if averaged:
            refuse_separate_gains(self)
        try:
            if method.endswith("Thomas"):
                value, _, _, _, iterations = chain.stationary(limit=max(2, min(limit, 10_000)))
                v = value[None]
            else:
                v, iterations = self._iterate(min(limit, 200))
        except (NoConvergence, Unsupported):
            if not averaged:
                raise
            v, iterations = self._iterate_from_discounted(min(limit, 200))
            method, why = (
                "policy iteration, sparse LU",
                "policies on the way leave inventories apart: begun from a discount close to one",
            )
        stop, scale = "rounding", self.dt if averaged else 1.0
        least, factor = _factors(parts)
        while True:
            new, bid, ask, take = regimes.step(v)
            moved = new - v
            own = _step_error(parts, float(max(np.abs(v).max(), np.abs(new).max())), int(np.abs(take).max()))
            own += _UNIT * float(np.abs(moved).max())
            low, high = float(moved.min()), float(moved.max())
            if averaged:
                own += max(abs(x - 1.0) for x in (least, factor)) * float(np.abs(v).max())
                gain = 0.5 * (low + high) / scale
                lower, upper = (low - own) / scale, (high + own) / scale
                error = max(upper - gain, gain - lower)
            else:
                up, down = (
                    x * b / (1 - b)
                    for x, b in ((high, factor if high >= 0 else least), (low, factor if low < 0 else least))
                )
                wide = own / (1 - factor)
                error = max(abs(down), abs(up)) + wide
            if error <= tol:
                stop = "tolerance"
                break
            if iterations >= limit or high - low <= 4 * own:
                stop = "rounding" if high - low <= 4 * own else "iterations"
                break
            v = new - (new[0, self.nodes // 2] if averaged else 0.0)
            iterations += 1
        if averaged:  # a residual does not bound the differences of values
            sides = [[side[0].size for side in (each.bid, each.ask)] for each in regimes.chains]
            alive, alone = sum(a * b for a, b in sides) * self.nodes, False
        else:
            slack = 2 * (own + (high - low)) / (1 - factor)
            alive, alone = self._alive(np.stack([new, v]), np.array([slack]))
        if averaged:
            value, bounds = new - new[0, self.nodes // 2], (np.float64(lower), np.float64(upper))
        else:
            value = new
            bounds = np.nextafter(new + down - wide, -math.inf), np.nextafter(new + up + wide, math.inf)
        return {
            "value": value,
            "policy": np.stack([bid, ask], axis=-1),
            "lower": bounds[0],
            "upper": bounds[1],
            "gap": float(np.max(bounds[1] - bounds[0])),
            "iterations": iterations,
            "residual": float(np.abs(moved - 0.5 * (low + high)).max() if averaged else np.abs(moved).max()),
            "alive": (alive, alone),
            "stop_reason": stop,
            "method": method,
            "why": why,
            "take": take,
        }

    def _iterate_from_discounted(self, limit: int) -> tuple[Floats, int]:
        """Policy iteration for the average, from where a policy does not leave inventories apart.

        The first policies may never quote from some inventories on, and have no one gain. With a discount
        every policy has a value, and close to one the best policy is one of the average.
        """
        v, turns = self._iterate(limit, _NEAR_ONE)
        v = v - v[0, self.nodes // 2]
        try:
            v, more = self._iterate(limit, start=v)
        except NoConvergence:
            return v, turns
        return v, turns + more

    def _iterate(
        self, limit: int, discount: float | None = None, start: Floats | None = None
    ) -> tuple[Floats, int]:
        """Policy iteration by sparse LU: what the offers and market orders in force are worth.

        It ends when no choice changes, or when a step moves values by no more than rounding can: what then
        still changes are ties.
        """
        from scipy.sparse import coo_array, csc_array, eye_array, hstack, vstack
        from scipy.sparse.linalg import splu

        parts = self._parts
        regimes: Regimes = parts["regimes"]
        m, n = len(regimes), self.nodes
        discount = parts["discount"] if discount is None else discount
        averaged = discount == 1.0
        v, before = np.zeros((m, n)) if start is None else start, None
        cross = np.zeros(m) if parts["cross"] is None else parts["cross"]
        turns = 0
        while turns < limit:
            turns += 1
            new, bid, ask, take = regimes.step(v)
            now = (bid.tobytes(), ask.tobytes(), take.tobytes())
            moved = new - v
            residual = float(moved.max() - moved.min() if averaged else np.abs(moved).max())
            error = _step_error(parts, float(np.abs(v).max()), int(np.abs(take).max()))
            if now == before or (discount == parts["discount"] and residual <= 4 * error):
                break
            before = now
            rows, columns, weights, reward = [], [], [], np.empty((m, n))
            node = np.arange(n)
            for r, chain in enumerate(regimes.chains):
                reward[r] = chain.rate
                moves: list[tuple[int, Floats, Any]] = []
                chance, lots = [], []
                for codes, side, sign in ((bid[r], chain.bid, 1), (ask[r], chain.ask, -1)):
                    there = codes >= 0
                    p, e, d = (np.where(there, column[codes], 0) for column in side)
                    reward[r] += p * e
                    chance.append(p)
                    lots.append(sign * d * there)
                both = chance[0] * chance[1] if self.fills == "independent" else 0.0 * chance[0]
                moves += [(r, chance[0] - both, lots[0]), (r, chance[1] - both, lots[1])]
                moves += [(r, both, lots[0] + lots[1]), (r, both - chance[0] - chance[1], 0 * lots[0])]
                for source, weight, by in moves:
                    targets = [(source, 1.0)]
                    if self.fills == "independent" and m > 1:
                        targets = list(enumerate(parts["change"][r]))
                    for k, share in targets:
                        rows.append(r * n + node)
                        columns.append(k * n + node + by)
                        weights.append(discount * share * weight)
                for k in range(m):
                    rows.append(r * n + node)
                    columns.append(k * n + node)
                    weights.append(np.full(n, discount * parts["change"][r, k]))
            shape = (m * n, m * n)
            chain_matrix = csc_array(
                coo_array(
                    (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape
                )
            )
            goes = (np.arange(m)[:, None] * n + node + take).ravel()
            paid = (np.abs(take) * cross[:, None]).ravel()
            select = csc_array(coo_array((np.ones(m * n), (np.arange(m * n), goes)), shape=shape))
            system = eye_array(m * n, format="csc") - chain_matrix @ select
            right = reward.ravel() - chain_matrix @ paid
            if averaged:  # the gain is one more unknown, the middle's value one more equation
                one = np.zeros((1, m * n))
                one[0, n // 2] = 1.0
                system = vstack(
                    [
                        hstack([system, csc_array(np.ones((m * n, 1)))]),
                        hstack([csc_array(one), csc_array((1, 1))]),
                    ]
                )
                right = np.append(right, 0.0)
            try:
                stays = splu(csc_array(system)).solve(right)[: m * n]
                if averaged and not np.abs(stays).max() <= _UNRELATED * np.abs(right).max():
                    raise RuntimeError
            except RuntimeError:
                raise NoConvergence(
                    "the policy has several classes of states that do not reach each other"
                ) from None
            v = (stays[goes] - paid).reshape(m, n)
        return v, turns


def refuse_separate_gains(problem: MarketMakingProblem) -> None:
    """Raise where the average reward depends on the start whatever is quoted.

    To quote nothing keeps inventory where it is, so it can be stayed for ever in every set of regimes and
    inventories that fills and market orders lead around in, if the regime does not leave it by itself. With
    one such set all starts have the same best gain.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    parts, m, n = problem._parts, len(problem.regimes), problem.nodes
    follows = parts["change"] > 0
    node = np.arange(n)
    edges: list[tuple[int, int, int]] = [(r, k, 0) for r, k in np.argwhere(follows).tolist()]
    for r, chain in enumerate(parts["regimes"].chains):
        moves = {
            sign * int(d) for side, sign in ((chain.bid, 1), (chain.ask, -1)) for d in side[2][side[0] > 0]
        }
        if problem.fills == "independent":
            moves |= {a + b for a in moves for b in moves if a > 0 > b}
            edges += [(r, k, by) for k in np.flatnonzero(follows[r]).tolist() for by in moves]
        edges += [(r, r, by) for by in moves]
        edges += [(r, r, by) for by in (1, -1) if problem.take]
    inside = [(r, k, node[(node + by >= 0) & (node + by < n)], by) for r, k, by in edges]
    origin = np.concatenate([r * n + at for r, _, at, _ in inside])
    target = np.concatenate([k * n + at + by for _, k, at, by in inside])
    graph = coo_array((np.ones(origin.size, np.int8), (origin, target)), shape=(m * n, m * n))
    count, flat = connected_components(graph.tocsr(), connection="strong")
    kept = np.ones(count, dtype=bool)
    label = flat.reshape(m, n)
    for r, k in np.argwhere(follows):
        kept[label[r][label[r] != label[k]]] = False
    if kept.sum() > 1:
        first = [np.argwhere(label == one)[0] for one in np.flatnonzero(kept)[:2]]
        one, other = (
            f"inventory {problem.inventories[q]:+g}" + (f" in regime {r}" if m > 1 else "") for r, q in first
        )
        raise Unsupported(
            f"the gain depends on where inventory starts: nothing leads from {one} to {other} and back, and "
            f"there are {int(kept.sum())} such sets, each with a gain of its own. Offer sizes that reach all "
            f"inventories, on both sides (or allow market orders: take=True), or give a horizon or a "
            f"discount_rate"
        )


def _sides(chain: InventoryChain, after: Floats) -> tuple[list[Floats], list[Floats]]:
    """What each offer adds, at (steps, n) values that come next; -inf where it does not fit."""
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    for gains, offers, sign in zip(sides, (chain.bid, chain.ask), (1, -1), strict=True):
        for p, e, d in zip(*offers, strict=True):
            gain = np.full(after.shape, -math.inf if p else 0.0)
            if d < after.shape[1]:
                here, there = (slice(None, -d), slice(d, None))[::sign]
                gain[:, here] = p * e + chain.discount * p * (after[:, there] - after[:, here])
            gains.append(gain)
    return sides


def _pairs(chain: InventoryChain, after: Floats, independent: bool) -> Iterator[Floats]:
    """What each pair of offers adds, where sides do not separate."""
    bids, asks = _sides(chain, after)
    n = after.shape[1]
    for (p, _, d), bid in zip(zip(*chain.bid, strict=True), bids, strict=True):
        for (h, _, c), ask in zip(zip(*chain.ask, strict=True), asks, strict=True):
            gain = bid + ask
            if independent:
                s = np.arange(c, n - d)
                both = after[:, s + d - c] - after[:, s + d] - after[:, s - c] + after[:, s]
                gain[:, s] += chain.discount * p * h * both
            yield gain


def _factors(parts: dict[str, Any]) -> tuple[float, float]:
    """Bound discount times the sum of a row of changes, from below and from above."""
    count = parts["change"].shape[0]
    sums, wide = parts["change"].sum(axis=1), 4 * count * _UNIT if count > 1 else 0.0
    return (
        float(parts["discount"] * sums.min() * (1 - wide)),
        float(parts["discount"] * sums.max() * (1 + wide)),
    )


def _step_error(parts: dict[str, Any], largest: Any, taken: Any) -> Any:
    """By how much one computed step may be off, values being at most `largest`; of many steps at once."""
    worst = 0.0
    for chain in parts["regimes"].chains:
        sides = [float(np.abs(side[0] * side[1]).max()) for side in (chain.bid, chain.ask)]
        terms = float(np.abs(chain.rate).max()) + sum(sides) + 5 * _factors(parts)[1] * largest
        own = (16 + len(parts["regimes"])) * _UNIT * (1 + 1e-6) * terms + _lost(parts, chain)
        worst = np.maximum(worst, own)
    return worst + 2 * taken * _UNIT * largest


def _lost(parts: dict[str, Any], chain: InventoryChain) -> float:
    """What an envelope may lose against the best of all its lines, where rounding misplaced them.

    Between the corners the loss is convex, so it is largest at one of them.
    """
    known: dict[int, float] = parts.setdefault("lost", {})
    if id(chain) not in known:
        total = 0.0
        if chain.separates:
            for offers, (level, slope, start, _) in zip((chain.bid, chain.ask), chain.lines(), strict=True):
                corner = start[1:-1]
                a, g = offers[0] * offers[1], chain.discount * offers[0]
                loss = 0.0
                for x, k in zip(corner, range(corner.size), strict=True):
                    kept = min(level[k] + slope[k] * x, level[k + 1] + slope[k + 1] * x)
                    size = float(np.abs(a).max() + np.abs(g).max() * abs(x))
                    loss = max(loss, float((a + g * x).max() - kept) + 8 * _UNIT * size)
                total += loss
        known[id(chain)] = total
    return known[id(chain)]


class MarketMakingSolution(Model):
    """A solved :class:`MarketMakingProblem`: depths, value and policy by inventory, time left and state.

    ``state`` is the index of the regime; with a lag, ``flying * regimes + regime``, where flying = 0 is that
    no quote is on its way, and :meth:`in_flight` says what else a state stands for. A decision stays in force
    for a step.

    Notes
    -----
    Thread-safety: immutable.
    """

    def __init__(
        self, problem: MarketMakingProblem, solution: Solution, take: NDArray[Any] | None = None
    ) -> None:
        super().__init__({})
        self.__dict__.update(
            problem=problem,
            solution=solution,
            horizon=problem.horizon,
            order_size=problem.order_size,
            q_max=problem.q_max,
            _take=take,
        )

    RELATIONS = ()  # the problem has checked them

    problem: MarketMakingProblem
    """What was solved."""
    solution: Solution
    """Values, offers taken (bid, ask; the last offer of a list is none at all) and their bounds."""
    q_max: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The problem and its solution."""
        return {"problem": self.problem, "solution": self.solution, "take": self.__dict__["_take"]}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        s = self.solution
        return f"MarketMakingSolution(q_max={self.q_max}, {s.method}: gap {s.gap:.3g}, {s.stop_reason})"

    @property
    def _has_stationary(self) -> bool:
        return self.horizon is None

    @property
    def states(self) -> int:
        """How many states there are besides inventory and time."""
        return int(np.prod(self._table().shape[1:-2]))

    @property
    def gain(self) -> float:
        """Average reward, tick·lots/s, where that was maximised."""
        s = self.solution
        if np.ndim(s.lower):
            raise InvalidArgument(
                argument="horizon", value=self.horizon, allowed="None, without a discount rate"
            )
        return 0.5 * (float(s.lower) + float(s.upper))

    def in_flight(self, state: int) -> list[tuple[float | None, float | None]]:
        """Depths of the quotes that are on their way in a state, (bid, ask), oldest first; [] without a lag.

        Examples
        --------
        >>> import mmcore as mm
        >>> regime = mm.dp.Regime(mm.dp.Offers([1.0, 2.0], [0.5, 0.3]), running_penalty=0.02)
        >>> m = mm.MarketMakingProblem(regime, q_max=2, dt=0.1, lag=1, horizon=1.0).solve()
        >>> m.states, m.in_flight(0), m.in_flight(8)
        (9, [(None, None)], [(1.0, 1.0)])
        """
        if not 0 <= operator.index(state) < self.states:
            raise InvalidArgument(argument="state", value=state, allowed=f"0 to {self.states - 1}")
        if not self.problem.lag:
            return []
        from .delayed_quotes import in_flight

        bid, ask = self.problem._parts["depths"][state % len(self.problem.regimes)]
        depths = [(bid[i], ask[j]) for i, j in in_flight(self.problem, state)]  # NaN: none
        return [(None if b != b else float(b), None if a != a else float(a)) for b, a in depths]

    def replace(self, **changes: Any) -> MarketMakingSolution:
        """Solve the problem anew with some of its arguments changed, to the usual tolerance.

        Raises
        ------
        InvalidArgument
            A name is not an argument of the problem, or a value is not allowed.
        """
        known = [f.name for f in fields(self.problem) if f.init]
        for name, value in changes.items():
            if name not in known:
                raise InvalidArgument(
                    f"{name} is not an argument of MarketMakingProblem: it has {', '.join(known)}",
                    argument=name,
                    value=value,
                )
        return replace(self.problem, **changes).solve()

    def _table(self) -> NDArray[Any]:
        """Offers by row (steps gone, or the only one), state and inventory: (rows, ..., n, 2)."""
        policy = self.solution.policy
        return policy if self.horizon is not None else policy[None]

    def _rows(self, time_left: Floats) -> NDArray[np.int64]:
        """Row of the decision in force; the last one is the horizon's."""
        if self.horizon is None:
            return np.zeros(time_left.shape, np.int64)
        rows = self._table().shape[0]
        epoch = self.problem.dt * self.problem.steps_of_decision
        gone = np.floor((self.horizon - time_left) / epoch * (1 + 1e-12) + 1e-9)
        return np.where(time_left == 0.0, rows, np.clip(gone.astype(np.int64), 0, rows - 1))

    def _decided(self, rows: NDArray[np.int64] | None = None) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Depths and sizes by row, state, inventory and side, and lots to cross the spread with.

        At the horizon nothing is quoted, and what is held is traded away where that is so.
        """
        table, n = self._table(), self.problem.nodes
        count = table.shape[0]
        if rows is None:
            rows = np.arange(count + (self.horizon is not None))
        kept, ends = np.minimum(rows, count - 1), rows == count
        depth, size = self._offered(table[kept].reshape(len(rows), -1, n, 2))
        taken = self.__dict__["_take"]
        crossed = np.zeros(depth.shape[:-1], np.int64)
        if taken is not None:
            crossed += taken.reshape(count, -1, n)[kept].astype(np.int64) * self.order_size
        depth[ends], size[ends] = math.nan, 0.0
        crossed[ends] = -self.problem.inventories.astype(np.int64) * self.problem.liquidate
        return depth, size, crossed

    def _offered(self, codes: NDArray[Any]) -> tuple[Floats, Floats]:
        """Depths and sizes of offers by row, state, inventory and side."""
        depth, size = np.full(codes.shape, math.nan), np.zeros(codes.shape)
        parts = self.problem._parts
        count = len(self.problem.regimes)
        for r in range(count):
            for side in (0, 1):
                those = codes[:, r::count, :, side]
                depth[:, r::count, :, side] = np.where(those < 0, math.nan, parts["depths"][r][side][those])
                size[:, r::count, :, side] = np.where(those < 0, 0.0, parts["sizes"][r][side][those])
        return depth, size

    def depths(self, inventory: Any, time_left: Any = math.inf, state: int = 0) -> tuple[Any, Any]:
        """Depths of bid and ask from the reference price, of the decision then in force; none at the horizon.

        Parameters
        ----------
        inventory : float or array_like
            Lots held; between orders, and beyond ``q_max``, that of the nearest inventory.
        time_left : float or array_like
            Seconds to the horizon; infinite where there is none.
        state : int
            Regime; with a lag, quotes in flight too (:meth:`in_flight`): none of them in 0.

        Returns
        -------
        bid, ask : float or None, or ndarray
            Ticks; an absent side is ``None``, in arrays NaN.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        if (
            isinstance(state, bool)
            or not isinstance(state, (int, np.integer))
            or not 0 <= state < self.states
        ):
            raise InvalidArgument(
                argument="state", value=state, allowed=f"an integer from 0 to {self.states - 1}"
            )
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        rows, at = np.unique(self._rows(tau), return_inverse=True)
        depth = self._decided(rows)[0][at.reshape(tau.shape), state, self._nodes(q)]
        if scalar:
            return tuple(None if math.isnan(x) else float(x) for x in depth.ravel())  # type: ignore[return-value]
        return depth[..., 0], depth[..., 1]

    def _nodes(self, q: Floats) -> NDArray[np.int64]:
        at = np.rint((np.clip(q, -self.q_max, self.q_max) + self.q_max) / self.order_size)
        return at.astype(np.int64)

    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        bid, ask = self.depths(inventory, time_left)
        return bid, ask

    def value(self, inventory: Any, time_left: Any = math.inf, state: int = 0) -> Any:
        """Value beyond cash + inventory * price, tick·lots; of the nearest inventory, when the step began.

        Where the average reward was maximised, the difference to zero inventory in the first state.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        values = self.solution.value
        values = values if self.horizon is not None else values[None]
        found = values.reshape(values.shape[0], -1, values.shape[-1])[self._rows(tau), state, self._nodes(q)]
        return float(found[0]) if scalar else found

    def take(self, inventory: float, time_left: float = math.inf, state: int = 0) -> int:
        """Lots to cross the spread with now, signed: at the horizon all that is held, if `liquidate` is set.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        q, tau = self._check_place(inventory, time_left)
        return int(self._decided(self._rows(tau))[2][0, state, self._nodes(q)[0]])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is decided: by time, state and inventory, as values are.

        Returns
        -------
        dict of str to ndarray
            ``inventory`` (lots) and ``time_left`` (seconds, of each decision, the first one first; the last
            is the horizon itself, where nothing is quoted); ``bid_depth``, ``ask_depth`` (ticks, NaN:
            absent), ``bid_size``, ``ask_size`` (lots) and ``take`` (lots to cross the spread with, signed),
            each of shape (times, states, inventories).
        """
        depth, size, crossed = self._decided()
        left = np.array([math.inf])
        if self.horizon is not None:
            epoch = self.problem.dt * self.problem.steps_of_decision
            left = np.append(self.horizon - epoch * np.arange(depth.shape[0] - 1), 0.0)
        found = {"inventory": self.problem.inventories, "time_left": left}
        for i, side in enumerate(("bid", "ask")):
            found[f"{side}_depth"] = depth[..., i]
            found[f"{side}_size"] = size[..., i]
        return found | {"take": crossed}

    def draw(self, figure: Any = None) -> Any:
        """Draw the depths of both sides, over time and inventory where there is a horizon, and the value.

        Parameters
        ----------
        figure : matplotlib Figure, optional
            Where to draw; a new one when omitted.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from .pictures import draw_solution

        return draw_solution(self, figure)

    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Table:
        """Compile into a table for the quoter.

        Two rows for each run of equal decisions, at its ends: the table goes from one decision to the next
        within a nanosecond, and is the decision in force at any other time. At the horizon it quotes nothing,
        and takes what `liquidate` trades away.

        Raises
        ------
        CapacityError
            The table would take more than `max_bytes`.
        """
        from ..quoting import Table

        depth, size, crossed = self._decided()
        knots = None
        if self.horizon is not None:
            problem, rows = self.problem, depth.shape[0]
            gone = problem.steps_of_decision * np.arange(rows - 1)[::-1]
            ends = np.append(0.0, np.round(problem.dt * ((problem.steps or 0) - gone), 9))
            starts = np.append(0.0, ends[:-1] + min(1e-9, 1e-3 * problem.dt))
            depth, size, crossed = depth[::-1], size[::-1], crossed[::-1]
            whole = np.concatenate([np.nan_to_num(depth, nan=-1e300), size, crossed[..., None]], axis=-1)
            change = (whole[1:] != whole[:-1]).reshape(rows - 1, -1).any(axis=1)
            first, last = np.flatnonzero(np.append(True, change)), np.flatnonzero(np.append(change, True))
            knots = np.stack([starts[first], ends[last]], axis=-1).ravel()
            rows_of = np.repeat(first, 2)
            if last[0] == 0:  # the horizon is an instant
                knots, rows_of = knots[1:], rows_of[1:]
            depth, size, crossed = depth[rows_of], size[rows_of], crossed[rows_of]
        needed = _CELL_BYTES * depth.size // 2
        if needed > max_bytes:
            raise CapacityError(
                f"the table would take {needed:,} bytes; max_bytes={max_bytes:,}: where that is wanted, "
                f"Quoter(model.policy(max_bytes={needed}))",
                argument="max_bytes",
                value=max_bytes,
            )
        axes = (1, 0, 2)
        return Table(
            *(np.ascontiguousarray(depth[..., side].transpose(axes)) for side in (0, 1)),
            q_max=self.q_max,
            order_size=self.order_size,
            time_left=knots,
            stationary=knots is None,
            bid_size=np.ascontiguousarray(size[..., 0].transpose(axes)),
            ask_size=np.ascontiguousarray(size[..., 1].transpose(axes)),
            take=np.ascontiguousarray(crossed.transpose(axes)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.solution, self.__dict__["_take"])
