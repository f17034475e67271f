r"""A market made by code, and the experiments of the papers.

**The simulated market.** An efficient price is an arithmetic Brownian motion of volatility
:math:`\sigma` ticks/:math:`\sqrt{\mathrm s}`. The touch is a fixed number of ticks wide and follows it
with a dead band of one tick: when the efficient price has moved a whole tick away from the touch's
mid :math:`M`, the touch moves by that tick. So :math:`M` is the Brownian motion read at the times it
leaves :math:`(M-1, M+1)`. Those times are independent of the direction, with Laplace transform
:math:`1/\cosh(\sqrt{2\lambda}/\sigma)` and mean :math:`1/\sigma^2`, and therefore

.. math:: \operatorname{Var}(M_{t+\Delta}-M_t) = \sigma^2 \Delta

for every :math:`\Delta` once the first moves have passed: the mid carries no rounding noise, and a
volatility measured on any time grid is unbiased.

Market orders of each side are a Poisson process, and each reaches a distance :math:`D` beyond
:math:`M`, the mid of the touch when it arrives. A quote that rests :math:`\delta` ticks away from
:math:`M`, on the tick grid, is reached (traded at or through) at the rate

.. math:: \lambda(\delta) = A\, e^{-k\delta}, \qquad \delta \ge \text{spread}/2,

exactly; this is the rate that calibration measures. It is passed (traded strictly through) one tick
later, at :math:`A e^{-k} e^{-k\delta}`: between the two rates lies what a place in the queue is worth.
Inside the spread both stop growing, since every order trades at the touch at least and never inside it;
off the grid the next grid point outwards counts. An order prints one trade at each tick from the touch
to where it ends, all with one stamp; the book behind it is whole again at once, and orders do not move
prices.

**The experiment** of Avellaneda and Stoikov: fills are Poisson at the rate :math:`A e^{-k\delta}` of a
policy's own depths. Nothing rounds or floors them. The depths depend on inventory and time alone, so
the inventory is a Markov chain that knows nothing of the price, and given its path the profit is
normal:

.. math:: \Pi \mid q \sim \mathcal N\Big(\textstyle\sum \delta,\ \sigma^2 \int q_t^2\, dt\Big).

Without ``dt`` the chain is simulated event by event (no time step, no bias) and the certainty
equivalent uses this law, which removes the price's noise from it. With ``dt`` the paper's own scheme
is followed to the letter: one Bernoulli draw per step and side of probability
:math:`A e^{-k\delta} dt`, coin-flip increments :math:`\pm\sigma\sqrt{dt}`. Its results depend on
``dt``: at the paper's 0.005 s a step holds a fill with probability 0.25, the Bernoulli draws are less
dispersed than the Poisson process, and the standard deviation of the final inventory is 14 % too small.

Sources: M. Avellaneda and S. Stoikov, *High-frequency trading in a limit order book*, Quantitative
Finance 8 (2008), section 3.3; the exit time of Brownian motion as a sum of exponentials is the product
formula of cosh.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .depths import Depths
from .errors import CapacityError, InvalidArgument, NoConvergence
from .math import exp_product
from .parameters import Parameter

if TYPE_CHECKING:
    from .events import Events, Quotes, Trades
    from .instruments import Instrument

__all__ = ["Estimate", "Experiment", "SimulatedMarket", "Symmetric", "simulate"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

START_TIME = 1_704_187_800_000_000_000
"""2024-01-02 09:30 UTC in ns: the first stamp of a simulated market, a weekday's morning."""

_MAX_ROWS = 50_000_000
_AROUND = 16
"""Orders to each side of the start at which a rule is read before the simulation."""
_SLACK = 1.01
"""How far a rule's rates may rise above those at the ends of a window."""


class SimulatedMarket:
    r"""A market whose true parameters are known: Brownian price, Poisson orders, seeded.

    Parameters
    ----------
    sigma : float
        Volatility of the mid, ticks/√s.
    A : float or (bid, ask)
        Rate at which a quote at the mid would be reached, 1/s. The bid's is that of sell orders.
    k : float or (bid, ask)
        Decay of that rate with distance, 1/tick.
    spread : int
        Width of the touch, ticks.
    duration : float
        Length, seconds.
    seed : int
        Seed of NumPy's PCG64; equal seeds give equal markets.
    refresh : float
        Rate at which one of the two sizes at the touch changes, 1/s.
    quote_size, trade_size : float
        Mean sizes of the touch and of a trade, lots (geometric, at least 1).
    start : int
        First mid, ticks (with an odd spread the mid is half a tick above it).
    instrument : Instrument, optional
        What is traded; an invented ``DEMO`` with a tick of 0.01 USD when omitted.

    Raises
    ------
    InvalidArgument
        A parameter is outside its range, or the price fell to zero and the instrument forbids it.
    CapacityError
        More than 50 million rows are to be expected.

    Notes
    -----
    The model, and what mid and tick grid mean for ``A`` and ``k``, stand at the head of
    :mod:`mmcore.simulation`.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=60, seed=1).events()
    >>> events.instrument.name, len(events) > 500
    ('DEMO', True)
    >>> int((events.quotes.ask - events.quotes.bid).max())
    2
    """

    PARAMETERS = (
        Parameter("sigma", float, default=1.0, low=0.0, unit="ticks/√s", doc="volatility of the mid price"),
        Parameter(
            "A",
            float,
            default=1.0,
            low=0.0,
            open_low=True,
            unit="1/s",
            pair=True,
            doc="rate at which market orders would reach a quote at the mid",
        ),
        Parameter(
            "k",
            float,
            default=0.5,
            low=0.0,
            open_low=True,
            unit="1/tick",
            pair=True,
            doc="decay of that rate with the distance from the mid",
        ),
        Parameter("spread", int, default=2, low=1, high=1_000_000, unit="ticks", doc="width of the touch"),
        Parameter(
            "duration",
            float,
            default=3600.0,
            low=0.0,
            high=1e7,
            open_low=True,
            unit="s",
            doc="length of the market",
        ),
        Parameter("seed", int, default=1, low=0, doc="seed of the random numbers"),
        Parameter(
            "refresh", float, default=20.0, low=0.0, unit="1/s", doc="rate of size changes at the touch"
        ),
        Parameter("quote_size", float, default=8.0, low=1.0, unit="lots", doc="mean size at the touch"),
        Parameter("trade_size", float, default=3.0, low=1.0, unit="lots", doc="mean size of one trade"),
        Parameter(
            "start", int, default=10_000, low=-(2**40), high=2**40, unit="ticks", doc="first mid price"
        ),
    )

    def __init__(
        self,
        *,
        sigma: float = 1.0,
        A: float | tuple[float, float] = 1.0,
        k: float | tuple[float, float] = 0.5,
        spread: int = 2,
        duration: float = 3600.0,
        seed: int = 1,
        refresh: float = 20.0,
        quote_size: float = 8.0,
        trade_size: float = 3.0,
        start: int = 10_000,
        instrument: Instrument | None = None,
    ) -> None:
        given = {
            "sigma": sigma, "A": A, "k": k, "spread": spread, "duration": duration, "seed": seed,
            "refresh": refresh, "quote_size": quote_size, "trade_size": trade_size, "start": start,
        }  # fmt: skip
        checked = {p.name: p.check(given[p.name]) for p in self.PARAMETERS}
        self.sigma: float = checked["sigma"]
        self.A: tuple[float, float] = checked["A"]
        self.k: tuple[float, float] = checked["k"]
        self.spread: int = checked["spread"]
        self.duration: float = checked["duration"]
        self.seed: int = checked["seed"]
        self.refresh: float = checked["refresh"]
        self.quote_size: float = checked["quote_size"]
        self.trade_size: float = checked["trade_size"]
        self.start: int = checked["start"]
        if instrument is None:
            from .instruments import Currency, Instrument

            instrument = Instrument("DEMO", tick="0.01", currency=Currency("USD"))
        self.instrument = instrument

    def __repr__(self) -> str:
        return (
            f"SimulatedMarket(sigma={self.sigma:g}, A={_pair(self.A)}, k={_pair(self.k)}, "
            f"spread={self.spread}, duration={self.duration:g}, seed={self.seed})"
        )

    @property
    def order_rates(self) -> tuple[float, float]:
        """Rates of the sell and of the buy market orders, 1/s.

        Examples
        --------
        >>> SimulatedMarket(A=1.0, k=0.5, spread=2).order_rates == (math.exp(-0.5),) * 2
        True
        """
        return self.rate(0.0)

    def rate(self, depth: float, fill: str = "touch") -> tuple[float, float]:
        """Rate at which a bid and an ask ``depth`` ticks from the mid are filled, 1/s; exact.

        Parameters
        ----------
        depth : float
            Distance from the touch's mid, ticks.
        fill : {"touch", "through"}
            Whether a trade at the quote's price fills it, or only one beyond.

        Examples
        --------
        >>> market = SimulatedMarket(A=1.0, k=0.5, spread=2)
        >>> market.rate(3.0)[0] == math.exp(-1.5) and market.rate(3.0, "through")[0] == math.exp(-2.0)
        True
        """
        if fill not in ("touch", "through"):
            raise InvalidArgument(argument="fill", value=fill, allowed="'touch' or 'through'")
        nearest = self.spread / 2
        offset = nearest % 1
        step = math.ceil(depth - offset) if fill == "touch" else math.floor(depth - offset) + 1
        reached = max(step + offset, nearest)
        bid, ask = (A * exp_product(-k, float(reached)) for A, k in zip(self.A, self.k, strict=True))
        return bid, ask

    def events(self) -> Events:
        """Generate the market: the same events for the same parameters."""
        from .events import Events

        self._refuse_giants()
        rng = np.random.Generator(np.random.PCG64(self.seed))
        quotes = self._quotes(rng)
        return Events(
            self.instrument,
            None,
            quotes,
            self._trades(rng, quotes),
            name=f"simulated market, seed {self.seed}",
            source={"simulated": {p.name: getattr(self, p.name) for p in self.PARAMETERS}},
        )

    def _refuse_giants(self) -> None:
        moves = self.sigma**2 * self.duration
        prints = sum(
            rate * self.duration / -math.expm1(-k) for rate, k in zip(self.order_rates, self.k, strict=True)
        )
        rows = moves + self.refresh * self.duration + prints
        if rows > _MAX_ROWS:
            raise CapacityError(
                f"this market would have about {rows:.3g} rows, more than {_MAX_ROWS:,}: "
                "take a shorter duration, or a smaller sigma, refresh or A"
            )

    def _stamps(self, seconds: Floats) -> Integers:
        stamps: Integers = START_TIME + (seconds * 1e9).astype(np.int64)
        return stamps

    def _quotes(self, rng: np.random.Generator) -> Quotes:
        from .events import Quotes

        moves = _exit_times(rng, self.sigma, self.duration)
        steps = rng.integers(0, 2, len(moves)) * 2 - 1
        changes = np.sort(rng.random(rng.poisson(self.refresh * self.duration))) * self.duration

        # Rows: the opening touch, the moves of the price, the changes of one size, the closing touch.
        seconds = np.concatenate([[0.0], moves, changes, [self.duration]])
        step = np.concatenate([[0], steps, np.zeros(len(changes) + 1, np.int64)])
        order = np.argsort(seconds, kind="stable")
        seconds, step = seconds[order], step[order]
        n = len(seconds)
        bid = self.start - self.spread // 2 + np.cumsum(step)
        if not self.instrument.negative_prices and int(bid.min()) <= 0:
            raise InvalidArgument(
                f"start must keep the price above zero, got {self.start}: the bid fell to {int(bid.min())} "
                "ticks (take a larger start, or an instrument with negative_prices)",
                argument="start",
                value=self.start,
                allowed="large enough to keep the price above zero",
            )
        moved = step != 0
        moved[0] = True
        bid_changes = rng.random(n) < 0.5
        sizes = rng.geometric(1 / self.quote_size, (2, n)).astype(np.int64)
        return Quotes(
            local_time=self._stamps(seconds),
            bid=bid,
            ask=bid + self.spread,
            bid_size=_hold(sizes[0], moved | bid_changes),
            ask_size=_hold(sizes[1], moved | ~bid_changes),
        )

    def _trades(self, rng: np.random.Generator, quotes: Quotes) -> Trades:
        from .events import Trades

        counts = [int(rng.poisson(rate * self.duration)) for rate in self.order_rates]
        seconds = np.concatenate([rng.random(n) * self.duration for n in counts])
        side = np.repeat(np.array([-1, 1], np.int8), counts)
        # Beyond the touch the exponential reach has no memory, so the number of ticks
        # an order takes, from the touch outwards, is geometric.
        levels = np.concatenate(
            [rng.geometric(-math.expm1(-k), n) for k, n in zip(self.k, counts, strict=True)]
        ).astype(np.int64)
        order = np.argsort(seconds, kind="stable")
        seconds, side, levels = seconds[order], side[order], levels[order]

        # A trade stands before a quote of the same stamp, and after the opening touch.
        stamps = np.maximum(self._stamps(seconds), START_TIME + 1)
        row = np.searchsorted(quotes.local_time, stamps, side="left") - 1
        touch = np.where(side > 0, quotes.ask[row], quotes.bid[row])
        total = int(levels.sum())
        level = np.arange(total) - np.repeat(np.cumsum(levels) - levels, levels)
        side = np.repeat(side, levels)
        return Trades(
            local_time=np.repeat(stamps, levels),
            price=np.repeat(touch, levels) + side * level,
            size=rng.geometric(1 / self.trade_size, total),
            side=side,
        )


def _pair(values: tuple[float, float]) -> str:
    return f"{values[0]:g}" if values[0] == values[1] else f"({values[0]:g}, {values[1]:g})"


def _hold(values: Integers, fresh: NDArray[np.bool_]) -> Integers:
    """Keep each fresh value until the next one."""
    held: Integers = values[np.maximum.accumulate(np.where(fresh, np.arange(len(values)), 0))]
    return held


def _exit_times(rng: np.random.Generator, sigma: float, duration: float) -> Floats:
    """Successive times at which Brownian motion has moved by one more tick, below ``duration``.

    One waiting time is sum over n >= 0 of 8 E_n / ((2n+1)^2 pi^2 sigma^2) with independent unit
    exponentials E_n. The first 16 are drawn, the rest stands with its mean: the mean of the waiting
    time is exact and its variance short by less than one part in 10^5.
    """
    if sigma**2 * duration < 1e-12:  # a first move would be a wonder
        return np.empty(0)
    weights = 8 / (np.arange(1, 32, 2) ** 2 * np.pi**2)
    rest = 1.0 - float(weights.sum())
    blocks: list[Floats] = []
    end = 0.0
    while end < duration:
        n = min(int((duration - end) * sigma**2 * 1.01) + 64, 65_536)
        draws = rng.standard_exponential((n, len(weights)))
        waits = ((draws * weights).sum(axis=1) + rest) / sigma**2
        blocks.append(end + np.cumsum(waits))
        end = float(blocks[-1][-1])
    times = np.concatenate(blocks)
    return times[times < duration]


@dataclass(frozen=True)
class Symmetric:
    """The paper's benchmark: one constant spread around the mid, whatever the inventory.

    Parameters
    ----------
    half_spread : float
        Depth of both sides, ticks.

    Examples
    --------
    >>> Symmetric(0.75).depths_batch(np.arange(2))
    (array([0.75, 0.75]), array([0.75, 0.75]))
    """

    half_spread: float

    def depths(self, inventory: float, time_left: float = math.inf) -> tuple[float, float]:
        """Return the same two depths always, ticks."""
        return self.half_spread, self.half_spread

    def depths_batch(self, inventory: Any, time_left: Any = math.inf) -> tuple[Floats, Floats]:
        """Return the same two depths for every row, ticks."""
        shape = np.broadcast(inventory, time_left).shape
        return np.full(shape, self.half_spread), np.full(shape, self.half_spread)


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo estimate and its standard error.

    Examples
    --------
    >>> print(Estimate(64.908, 0.0104))
    64.908 ± 0.010
    """

    value: float
    standard_error: float

    def __str__(self) -> str:
        error = self.standard_error
        decimals = max(0, 1 - math.floor(math.log10(error))) if error > 0 else 3
        return f"{self.value:.{decimals}f} ± {self.standard_error:.{decimals}f}"


@dataclass(frozen=True, eq=False)
class Experiment:
    """The outcome of :func:`simulate`, one entry per path; estimates carry their standard error.

    Attributes
    ----------
    profit : array
        Final wealth from zero cash and inventory, marked at the final mid, ticks (times lots).
    captured : array
        The part of it that the depths earned, the sum of depth times lots.
    inventory_square : array
        Integral of the squared inventory over time, lots^2 s.
    final_inventory : array
        Lots held at the end.
    fills : array
        Number of fills.
    average_spread : Estimate
        Ask depth plus bid depth, averaged over time and paths while both sides are quoted.
    sigma, dt : float
        Volatility; time step, ``None`` for the event-driven simulation.
    time_within : array or None
        Seconds with an inventory within ``+-within`` lots, where that was asked for.
    """

    profit: Floats
    captured: Floats
    inventory_square: Floats
    final_inventory: Floats
    fills: Integers
    average_spread: Estimate
    sigma: float
    dt: float | None
    time_within: Floats | None = None

    @property
    def mean_profit(self) -> Estimate:
        """Mean profit."""
        return _mean(self.profit)

    @property
    def std_profit(self) -> Estimate:
        """Standard deviation of the profit."""
        return _deviation(self.profit)

    @property
    def mean_inventory(self) -> Estimate:
        """Mean final inventory."""
        return _mean(self.final_inventory)

    @property
    def std_inventory(self) -> Estimate:
        """Standard deviation of the final inventory."""
        return _deviation(self.final_inventory)

    def certainty_equivalent(self, gamma: float) -> Estimate:
        r"""Certain profit worth as much as the simulated one: :math:`-\ln E[e^{-\gamma\Pi}]/\gamma`.

        The price is integrated out: given the inventory's path the profit is normal, so only the
        chain of fills is sampled. At ``gamma=0`` it is the mean of what the depths captured.

        Parameters
        ----------
        gamma : float
            Risk aversion, 1/(tick·lot).
        """
        if gamma == 0.0:
            return _mean(self.captured)
        exponent = -gamma * self.captured + 0.5 * (gamma * self.sigma) ** 2 * self.inventory_square
        largest = float(exponent.max())
        weight = np.exp(exponent - largest)
        mean = float(weight.mean())
        error = float(weight.std(ddof=1)) / (mean * gamma * math.sqrt(len(weight)))
        return Estimate(-(math.log(mean) + largest) / gamma, error)

    def summary(self) -> dict[str, Any]:
        """Return the estimates as plain numbers, each as (value, standard error).

        Examples
        --------
        >>> outcome = simulate(Symmetric(1.0), sigma=2.0, A=140.0, k=1.5, horizon=1.0, dt=0.005, paths=100)
        >>> outcome.summary()["average_spread"]
        (2.0, 0.0)
        """
        return {
            "paths": len(self.profit),
            "dt": self.dt,
            **{
                name: (estimate.value, estimate.standard_error)
                for name, estimate in (
                    ("average_spread", self.average_spread),
                    ("profit", self.mean_profit),
                    ("std_profit", self.std_profit),
                    ("final_inventory", self.mean_inventory),
                    ("std_final_inventory", self.std_inventory),
                )
            },
        }

    def __repr__(self) -> str:
        step = "event-driven" if self.dt is None else f"dt={self.dt:g}"
        return (
            f"Experiment({len(self.profit)} paths, {step}: profit {self.mean_profit}, std {self.std_profit}, "
            f"final inventory {self.mean_inventory}, std {self.std_inventory})"
        )


def _mean(sample: Floats) -> Estimate:
    n = len(sample)
    error = float(sample.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(sample.mean()), error)


def _deviation(sample: Floats) -> Estimate:
    """Standard deviation and, by the delta method with the sample's fourth moment, its error."""
    n = len(sample)
    if n < 2:
        return Estimate(math.nan, math.nan)
    deviation = float(sample.std(ddof=1))
    if deviation == 0.0:
        return Estimate(0.0, 0.0)
    fourth = float(((sample - sample.mean()) ** 4).mean())
    return Estimate(deviation, math.sqrt(max(fourth - deviation**4, 0.0) / n) / (2 * deviation))


SIMULATE_PARAMETERS = (
    Parameter("sigma", float, low=0.0, unit="ticks/√s", doc="volatility of the mid price"),
    Parameter(
        "A", float, low=0.0, open_low=True, unit="1/s", pair=True, doc="rate of fills of a quote at the mid"
    ),
    Parameter(
        "k", float, low=0.0, open_low=True, unit="1/tick", pair=True, doc="decay of that rate with the depth"
    ),
    Parameter("horizon", float, low=0.0, open_low=True, unit="s", doc="length of one path"),
    Parameter(
        "dt",
        float,
        default=None,
        low=0.0,
        open_low=True,
        unit="s",
        doc="time step; without one, event-driven",
    ),
    Parameter("paths", int, default=1000, low=2, high=10_000_000, doc="number of simulated paths"),
    Parameter("seed", int, default=1, low=0, doc="seed of the random numbers"),
    Parameter("initial_inventory", float, default=0.0, unit="lots", doc="inventory at the start"),
    Parameter(
        "within", float, default=None, low=0.0, unit="lots", doc="inventory within which time is counted"
    ),
)
"""The arguments of :func:`simulate`."""


def simulate(
    policy: Any,
    *,
    sigma: float,
    A: float | tuple[float, float],
    k: float | tuple[float, float],
    horizon: float,
    dt: float | None = None,
    paths: int = 1000,
    seed: int = 1,
    initial_inventory: ArrayLike = 0.0,
    within: float | None = None,
) -> Experiment:
    """Run a policy in the world of Avellaneda and Stoikov, many times.

    Parameters
    ----------
    policy : policy or model
        A policy, a model (which is compiled), or anything with ``depths(inventory, time_left)``:
        :mod:`mmcore.depths` says what it may have. Depths in ticks are used as they are: negative ones too.
        Each fill is ``policy.order_size`` lots, 1 where there is none.
    sigma : float
        Volatility, ticks/√s.
    A, k : float or (bid, ask)
        Fill rate ``A exp(-k depth)``, 1/s and 1/tick.
    horizon : float
        Length of a path, seconds.
    dt : float, optional
        Time step of the paper's scheme, seconds (0.005 there). Without it fills are simulated in
        continuous time, without bias.
    paths, seed : int
        Number of paths; seed of NumPy's PCG64.
    initial_inventory : float or array_like
        Lots at the start, for all paths or for each; the profit is measured from its value at the first mid.
    within : float, optional
        Lots; the time that each path spends at no more than that, long or short, is measured.

    Returns
    -------
    Experiment

    Raises
    ------
    InvalidArgument
        A parameter is outside its range, ``dt`` does not divide ``horizon``, or the policy does not cover it.
    NoConvergence
        Event-driven only: the depths of a rule of one's own come and go within a hundredth of the horizon,
        and it does not name these times left as ``time_left``.

    Examples
    --------
    >>> outcome = simulate(Symmetric(0.75), sigma=2.0, A=140.0, k=1.5, horizon=1.0, paths=2000, seed=1)
    >>> expected = 2 * 140 * math.exp(-1.5 * 0.75) * 0.75      # both sides' rate times the depth
    >>> abs(outcome.mean_profit.value - expected) < 5 * outcome.mean_profit.standard_error
    True
    """
    given = {
        "sigma": sigma, "A": A, "k": k, "horizon": horizon, "dt": dt, "paths": paths, "seed": seed,
        "within": within,
    }  # fmt: skip
    checked = {p.name: p.check(given[p.name]) for p in SIMULATE_PARAMETERS if p.name in given}
    start = _starts(initial_inventory, checked["paths"])
    steps = None
    if checked["dt"] is not None:
        steps = round(checked["horizon"] / checked["dt"])
        if steps < 1 or abs(steps * checked["dt"] - checked["horizon"]) > 1e-9 * checked["horizon"]:
            raise InvalidArgument(argument="dt", value=dt, allowed=f"a divisor of the horizon, {horizon:g} s")
    depths = Depths(policy, tol=1e-3)
    if depths.horizon < checked["horizon"]:
        raise InvalidArgument(
            argument="horizon", value=horizon, allowed=f"<= {depths.horizon:g} s, which the policy covers"
        )
    rng = np.random.Generator(np.random.PCG64(checked["seed"]))
    world = _World(
        depths, checked["sigma"], checked["A"], checked["k"], checked["horizon"], depths.order_size, start,
        rng, checked["within"],
    )  # fmt: skip
    return world.by_events() if steps is None else world.by_steps(steps)


def _starts(given: Any, paths: int) -> Floats:
    """Inventory at the start of each path."""
    if np.ndim(given) == 0:
        one = next(p for p in SIMULATE_PARAMETERS if p.name == "initial_inventory")
        return np.full(paths, one.check(given), dtype=np.float64)
    try:
        start = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        start = np.empty(0)
    if start.shape != (paths,) or not np.isfinite(start).all():
        raise InvalidArgument(
            argument="initial_inventory",
            value=given,
            allowed=f"a finite number (lots), or one for each of the {paths} paths",
        )
    return start


@dataclass(eq=False)
class _World:
    depths: Depths
    sigma: float
    A: tuple[float, float]
    k: tuple[float, float]
    horizon: float
    size: float
    inventory: Floats
    rng: np.random.Generator
    within: float | None = None

    def _counted(self, time: Floats) -> Floats | None:
        return None if self.within is None else time

    def rates(self, depth: Floats) -> Floats:
        """Fill rates of rows (bid, ask); an absent side is never filled."""
        A, k = np.array([self.A, self.k])[:, :, None]
        rate: Floats = A * np.exp(np.minimum(-k * depth, 600.0))  # beyond that it is at once
        return np.where(np.isnan(depth), 0.0, rate)

    def by_steps(self, steps: int) -> Experiment:
        """Follow the paper's scheme: quote, at most one fill per side, then the price moves."""
        n = len(self.inventory)
        dt = self.horizon / steps
        move = self.sigma * math.sqrt(dt)
        q = self.inventory.copy()
        captured, carried, square, spread, both, inside = np.zeros((6, n))
        limit = math.inf if self.within is None else self.within
        fills = np.zeros(n, np.int64)
        for step in range(steps):
            # All paths share the time: the policy is read once for each inventory that occurs.
            values, place = np.unique(q, return_inverse=True)
            table = self.depths(values, np.full(len(values), self.horizon - step * dt))
            hit = self.rng.random((2, n)) < (self.rates(table) * dt)[:, place]
            table_captured = np.nan_to_num(table)
            width = table[0] + table[1]
            captured += self.size * (hit[0] * table_captured[0, place] + hit[1] * table_captured[1, place])
            spread += np.nan_to_num(width)[place]
            both += np.isfinite(width)[place]
            fills += hit.sum(axis=0)
            q += self.size * (hit[0].astype(float) - hit[1])
            square += q * q
            inside += np.abs(q) <= limit
            carried += q * np.where(self.rng.random(n) < 0.5, -move, move)
        return Experiment(
            profit=captured + carried,
            captured=captured,
            inventory_square=square * dt,
            final_inventory=q,
            fills=fills,
            average_spread=_ratio(spread, both),
            sigma=self.sigma,
            dt=dt,
            time_within=self._counted(inside * dt),
        )

    def edges(self) -> Floats:
        """Times left between which the fill rates at any inventory are largest at one of the two ends.

        Known of what is linear in between. A rule is read at the inventories that are near.
        """
        if self.depths.linear:
            inner = self.depths.knots[self.depths.knots < self.horizon]
            return np.concatenate([[0.0], inner, [self.horizon]])
        around = self.size * np.arange(-_AROUND, _AROUND + 1)
        near = np.unique(np.add.outer(np.unique(self.inventory)[:_AROUND], around))
        near = np.unique(np.clip(near, -self.depths.q_max, self.depths.q_max))
        return self.depths.along(near, self.horizon, tol=0.5 * (_SLACK - 1.0) / max(self.k))[0]

    def by_events(self) -> Experiment:
        """Thin a Poisson process of a rate that bounds the fill rate over a short window.

        Each path keeps its own clock, which shows the time left. A window ends at the next of the edges, or
        before it where the rate would grow to more than four times what it is: then next to the horizon of
        a steep penalty, too, few candidates are drawn in vain. The bound is the larger of the rates at both
        ends of the window, read within it; that it is one is checked at every candidate.
        """
        n = len(self.inventory)
        edges, slack = self.edges(), 1.0 if self.depths.linear else _SLACK
        q = self.inventory.copy()
        captured, square, spread, both, held_within = np.zeros((5, n))
        left = np.full(n, self.horizon)
        limit = math.inf if self.within is None else self.within
        fills = np.zeros(n, np.int64)
        index = np.arange(n)
        while len(index):
            now, held = left[index], q[index]
            end = edges[np.searchsorted(edges, now) - 1]
            before = self.depths(held, np.nextafter(now, 0.0))
            first = self.rates(before)
            bound = np.empty(len(index))
            open_ = np.arange(len(index))
            while len(open_):
                far = self.rates(self.depths(held[open_], np.nextafter(end[open_], math.inf)))
                bound[open_] = slack * np.maximum(first[:, open_], far).sum(axis=0)
                length = now[open_] - end[open_]
                eager = (bound[open_] * length > 4.0) & (
                    bound[open_] > 4.0 * slack * first[:, open_].sum(axis=0)
                )
                eager &= np.nextafter(now[open_], 0.0) > end[open_]
                open_ = open_[eager]
                end[open_] = np.minimum(now[open_] - length[eager] / 8.0, np.nextafter(now[open_], 0.0))
            with np.errstate(divide="ignore"):
                wait = self.rng.standard_exponential(len(index)) / bound
            inside = wait < now - end
            then = np.where(inside, np.maximum(now - wait, end), end)
            passed = np.where(inside, wait, now - end)
            square[index] += held * held * passed
            held_within[index] += (np.abs(held) <= limit) * passed
            depth = self.depths(held, np.clip(then, np.nextafter(end, math.inf), np.nextafter(now, 0.0)))
            rate = self.rates(depth)
            total = rate.sum(axis=0)
            if np.any(total[inside] > bound[inside] * (1 + 1e-9)):
                raise NoConvergence(
                    f"the fill rate of {type(self.depths.policy).__name__} rises and falls again between two "
                    "readings: name the times left (s) at which its depths jump, bend, come or go in an "
                    "attribute time_left of the policy, or give dt to simulate on a grid"
                )
            width = (before.sum(axis=0) + depth.sum(axis=0)) / 2
            spread[index] += np.nan_to_num(width) * passed
            both[index] += np.isfinite(width) * passed
            draw = self.rng.random(len(index)) * bound
            bought = inside & (draw < rate[0])
            sold = inside & ~bought & (draw < total)
            captured[index] += self.size * np.where(
                bought, np.nan_to_num(depth[0]), np.where(sold, np.nan_to_num(depth[1]), 0.0)
            )
            fills[index] += bought | sold
            q[index] += self.size * (bought.astype(float) - sold)
            left[index] = then
            index = index[then > 0.0]
        profit = captured + self.sigma * np.sqrt(square) * self.rng.standard_normal(n)
        return Experiment(
            profit=profit,
            captured=captured,
            inventory_square=square,
            final_inventory=q,
            fills=fills,
            average_spread=_ratio(spread, both),
            sigma=self.sigma,
            dt=None,
            time_within=self._counted(held_within),
        )


def _ratio(total: Floats, weight: Floats) -> Estimate:
    """Ratio of two means over paths, with its delta-method error."""
    mean = float(weight.mean())
    if mean == 0.0:
        return Estimate(math.nan, math.nan)
    ratio = float(total.mean()) / mean
    residue = total - ratio * weight
    error = float(residue.std(ddof=1)) / (mean * math.sqrt(len(total)))
    return Estimate(ratio, error if error > 1e-9 * abs(ratio) else 0.0)
