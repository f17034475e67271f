"""What a replay found: decisions, fills and the numbers that people ask for, exact where money is.

Attribution
-----------
With signed fills nᵢ (lots) at prices pᵢ, the mid mᵢ known at the fill, and the inventory q held while
the mid moves by Δm,

    spread    = Σ over fills of nᵢ·(mᵢ − pᵢ)
    inventory = Σ over quotes of q·Δm
    total     = cash + q·m at the end − fees paid

The first two are accumulated by the replay loop in whole half tick·lots, quote by quote; the total
comes from the book, which never sees a mid. Their difference is ``unexplained``, and it is 0 to the
last digit or something is wrong. A mid that is unknown (a one-sided market) stays at its last value.

Statistics
----------
Estimators are stated where they are computed: :meth:`Result.markouts` (intervals robust to overlap),
:attr:`Result.half_life`, :attr:`Result.intensity` (exact Poisson intervals),
:attr:`Result.sigma_realised`.

Units: prices in ticks, sizes in lots, times in ns (seconds where a name or column says so); money is
an exact :class:`~decimal.Decimal` in the instrument's currency.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cached_property
from html import escape
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import ApproximationWarning, InvalidArgument, UnknownName, Unsupported
from .events import NO_ASK, NO_BID, quotes_in_force
from .instruments import money_text, trimmed
from .parameters import expect

if TYPE_CHECKING:
    from .calibration import Calibration
    from .events import Events
    from .instruments import Instrument
    from .inventory import InventoryLaw
    from .matching import DecisionLog
    from .messages import MessageCounts, OrderLife, OrderLog
    from .orders import Orders
    from .periods import Periods
    from .quoting import Explanation
    from .rolling import Recalibrate
    from .standing import Pieces, Standing

__all__ = [
    "FEW",
    "HORIZONS",
    "PLACES",
    "Attribution",
    "Drawdown",
    "FillRate",
    "IntensityBin",
    "Markout",
    "Markouts",
    "Presence",
    "Result",
    "Results",
    "Totals",
]

HORIZONS = (0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0)
"""Horizons of the markouts, seconds."""

PLACES = ("inside", "at", "behind")
"""Where an order stood against the touch of its decision: ``place`` 0, 1, 2."""

FEW = 5
"""Fewer fills than this are too few for a rate: its 95 % interval spans more than a factor of nine."""

SIDES = ("bid", "ask")

_MIN_BLOCKS = 5  # fewer independent blocks than this say nothing about a standard error
_TELLING = 20  # fills, come or expected, that tell half from all beyond chance
_DIGITS = 100  # sums of money are exact: 128-bit cash needs 39 digits beside the tick's own
_DICKEY_FULLER = -2.86  # 5 % critical value, regression with a constant, large samples

Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Totals:
    """Where a replay ended, as the compiled loop and the book report it.

    Parameters
    ----------
    first_time, end_time, last_time : int
        First decision; moment at which the last orders were pulled; last quote (ns).
    cash : int
        Of the book: tick·lots.
    net : int
        Final inventory, lots.
    mid2 : int
        Last bid + ask, ticks.
    spread2, revaluation2 : int
        Accumulated spread and revaluation, half tick·lots.
    fees : int
        Of the book: currency units, paid > 0.
    bought, sold : int
        Lots.
    messages : tuple of int
        Order messages (bid, ask).
    crossed : int
        Crossed quote rows that were refused; the last good quote was kept.
    """

    first_time: int
    end_time: int
    last_time: int
    cash: int
    net: int
    mid2: int
    spread2: int
    revaluation2: int
    fees: int
    bought: int
    sold: int
    messages: tuple[int, int]
    crossed: int


def _money(amount: Decimal, currency: str, sign: bool = True) -> str:
    return f"{money_text(amount, '+,' if sign else ',')} {currency}"


@dataclass(frozen=True)
class Attribution:
    """Where the profit came from; ``spread + inventory + fees + unexplained == total``, exactly.

    Parameters
    ----------
    spread : Decimal
        Captured at the fills, against the mid known then.
    inventory : Decimal
        Revaluation of the inventory while the mid moved.
    fees : Decimal
        Contribution of the fees: negative where paid, positive for rebates.
    total : Decimal
        From the book: cash + inventory at the last mid - fees paid.
    unexplained : Decimal
        total - (spread + inventory + fees): 0.
    currency : str
        Name of the currency.

    Examples
    --------
    >>> from decimal import Decimal as D
    >>> print(Attribution(D("3.50"), D("-1.25"), D("-0.10"), D("2.15"), D(0), "USD"))
    spread captured +3.50 USD, inventory revaluation -1.25 USD, fees -0.10 USD: total +2.15 USD; unexplained 0.00 USD
    """  # noqa: E501

    spread: Decimal
    inventory: Decimal
    fees: Decimal
    total: Decimal
    unexplained: Decimal
    currency: str = ""

    def __str__(self) -> str:
        c = self.currency
        return (
            f"spread captured {_money(self.spread, c)}, inventory revaluation {_money(self.inventory, c)}, "
            f"fees {_money(self.fees, c)}: total {_money(self.total, c)}; "
            f"unexplained {_money(self.unexplained, c)}"
        )

    @property
    def total_text(self) -> str:
        """The total with its sign and currency."""
        return _money(self.total, self.currency)

    def to_dict(self) -> dict[str, str]:
        """Return the amounts as exact decimal strings."""
        names = ("spread", "inventory", "fees", "total", "unexplained")
        return {name: money_text(getattr(self, name)) for name in names} | {"currency": self.currency}


@dataclass(frozen=True)
class Markout:
    """One row of :class:`Markouts`.

    Parameters
    ----------
    horizon : float
        Seconds after the fill.
    n, missing : int
        Fills with a mid at the horizon, and fills without one (they are in no average).
    mean : float
        Mean of side·(mid(t + horizon) - price), ticks per lot, weighted by lots; NaN when n = 0.
    low, high : float
        Its 95 % interval; NaN when the data hold fewer than 5 independent blocks.
    blocks : int
        Blocks of time that the interval rests on.
    """

    horizon: float
    n: int
    missing: int
    mean: float
    low: float
    high: float
    blocks: int


@dataclass(frozen=True)
class Markouts(Sequence[Markout]):
    """Markouts of all fills (the sequence itself), of the bid's and of the ask's.

    Parameters
    ----------
    rows, bid, ask : tuple of Markout
        One row per horizon.
    """

    rows: tuple[Markout, ...]
    bid: tuple[Markout, ...]
    ask: tuple[Markout, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Markout]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, list[dict[str, float | int | None]]]:
        """Return the rows by side, JSON-able (NaN becomes None)."""
        sides = {"both": self.rows, "bid": self.bid, "ask": self.ask}
        return {side: [_finite(asdict(row)) for row in rows] for side, rows in sides.items()}

    def __str__(self) -> str:
        lines = ["horizon      fills  missing   ticks per lot   95 % interval"]
        for row in self.rows:
            interval = "not estimable" if math.isnan(row.low) else f"[{row.low:+.3f}, {row.high:+.3f}]"
            mean = "-" if math.isnan(row.mean) else f"{row.mean:+.3f}"
            lines.append(f"{row.horizon:>6g} s {row.n:>9,} {row.missing:>8,} {mean:>15}   {interval}")
        return "\n".join(lines)


@dataclass(frozen=True)
class FillRate:
    """How often the orders of one side and place were filled.

    What few fills say of a rate is its interval: below :data:`FEW` the rate itself is too little to tell
    (:attr:`estimable`).

    Parameters
    ----------
    side, place : str
        "bid" or "ask"; "inside", "at" or "behind" the touch of the decision in force.
    orders, filled : int
        Orders that were there, and those filled there (wholly or in part). One that outlives its decision
        counts at each place where the market leaves it.
    fraction : float
        filled / orders; NaN without orders.
    lots : int
        Lots filled.
    exposure : float
        Seconds that such an order was in the market.
    per_second, low, high : float
        filled / exposure and its exact 95 % Poisson interval; NaN without exposure.
    """

    side: str
    place: str
    orders: int
    filled: int
    fraction: float
    lots: int
    exposure: float
    per_second: float
    low: float
    high: float

    @property
    def estimable(self) -> bool:
        """Whether there were enough fills for a rate."""
        return self.filled >= FEW


@dataclass(frozen=True)
class Presence:
    """Share of the replayed time with quotes in the market, and why a side was absent.

    Parameters
    ----------
    both, bid, ask, none : float
        Both sides; the bid alone; the ask alone; neither. They sum to 1.
    reasons : dict
        Reason → share of time, averaged over the two sides.
    bid_reasons, ask_reasons : dict
        The same for one side; the shares of a side sum to the time it was absent.
    """

    both: float
    bid: float
    ask: float
    none: float
    reasons: dict[str, float] = field(default_factory=dict)
    bid_reasons: dict[str, float] = field(default_factory=dict)
    ask_reasons: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The shares of both sides, one and none, which add up to 100 %.

        Examples
        --------
        >>> Presence(0.9, 0.0625, 0.0375, 0.0).text
        'both sides 90.0 %, one 10.0 %, none 0.0 %'
        """
        shares = [self.both, self.bid + self.ask, self.none]
        tenths = [round(1000 * share) for share in shares]
        tenths[shares.index(max(shares))] += 1000 - sum(tenths)  # rounded apart they may miss 100 %
        both, one, none = (f"{n / 10:.1f} %" for n in tenths)
        return f"both sides {both}, one {one}, none {none}"

    @property
    def absences(self) -> list[str]:
        """For each side that was absent: how long, and the shares of time of the reasons, largest first.

        Examples
        --------
        >>> Presence(0.75, 0.25, 0.0, 0.0, {}, {}, {"lost, late": 0.05, "filled": 0.2}).absences
        ['the ask 25.0 % of the time: filled 20.0 %; lost, late 5.0 %']
        """
        lines = []
        for side, there, reasons in (
            ("bid", self.both + self.bid, self.bid_reasons),
            ("ask", self.both + self.ask, self.ask_reasons),
        ):
            shown = sorted(((r, s) for r, s in reasons.items() if s >= 0.0005), key=lambda rs: -rs[1])
            if shown:
                words = "; ".join(f"{reason} {100 * share:.1f} %" for reason, share in shown)
                lines.append(f"the {side} {100 * max(1 - there, 0.0):.1f} % of the time: {words}")
        return lines


@dataclass(frozen=True)
class Drawdown:
    """Largest fall of the P&L, marked at the mid, over the decisions and the end.

    Parameters
    ----------
    amount : Decimal
        ≥ 0.
    peak_time, trough_time : int
        ns.
    """

    amount: Decimal
    peak_time: int
    trough_time: int


@dataclass(frozen=True)
class IntensityBin:
    """Fill intensity at one range of posted depths, against A·exp(-k·depth).

    Parameters
    ----------
    side : str
        "bid" or "ask".
    low_depth, high_depth : float
        The bin [low, high), ticks from the mid of the decision.
    depth : float
        Mean depth weighted by exposure, ticks.
    exposure : float
        Seconds with an unfilled order at these depths.
    fills : int
        Orders hit.
    assumed : float
        Mean of A·exp(-k·depth) weighted by exposure, 1/s: how often the model takes this depth to be
        reached; NaN without a model.
    expected : float
        The same under the fill rule, which `realised` is to be judged against: where fills need a trade
        through our price, A·exp(-k·(depth + 1)).
    realised, low, high : float
        fills / exposure and its exact 95 % Poisson interval, 1/s.
    """

    side: str
    low_depth: float
    high_depth: float
    depth: float
    exposure: float
    fills: int
    assumed: float
    expected: float
    realised: float
    low: float
    high: float

    @property
    def estimable(self) -> bool:
        """Whether there were enough fills for a rate."""
        return self.fills >= FEW


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


class Result:
    """A finished replay: made by :func:`mmcore.replay` and :func:`mmcore.run`.

    Parameters
    ----------
    events : Events
        What was replayed.
    quoter : Quoter
        Who quoted.
    settings : dict
        The arguments of the replay, by name.
    decisions : ndarray or DecisionLog
        One record per decision (dtype ``DECISION``): ``time``, ``live_time`` (ns); ``reference``;
        ``touch_bid``, ``touch_ask``, ``bid``, ``ask``, ``bid_size``, ``ask_size``; ``inventory``
        before it (with ``orders``: as far as it was known); ``why`` (bits ``MM_WHY_…`` of
        ``mmcore/policy.h``); ``lost`` (bit 0: the bid, bit 1: the ask was lost in flight); cumulative
        ``spread2``, ``revaluation2`` (half tick·lots), ``fees`` (currency units).
    fills : ndarray
        Fill records (dtype ``mmcore.FILL``); ``time`` is the exchange's stamp, ``receive_time`` ours.
    fill_context : ndarray
        One record per fill: ``touch_bid``, ``touch_ask`` known at the fill, ``mid2``, ``inventory``
        after it, ``decision`` (row of `decisions`: the one in force), ``place`` (0 inside, 1 at, 2 behind
        the touch of that decision), ``complete`` (1 when nothing of the order was left).
    totals : Totals
        Where it ended.
    model, calibration : optional
        What the policy was made from.
    sample : str
        "out-of-sample": calibrated on data before the replayed span; "in-sample": on the same span, in part,
        or on later data; "fixed parameters": given, and where they come from is not known here.
    optimistic : Result, optional
        The same replay under ``fill="touch"``, where it was made already.
    parameters : ndarray, optional
        Where parameters followed the market, one record per recalibration that was due (dtype
        ``mmcore.matching.PARAMETERS``): ``time`` (ns); ``sigma``, ``A``, ``k`` of (bid, ask) with their
        standard errors (``sigma_error``, …); ``orders``, ``seconds`` of the window; ``version`` of the
        policy in force from then on; ``status`` (0 set, below 0 not).
    recalibrate : Recalibrate, optional
        How, and from what state.
    order_log : OrderLog, optional
        Where it was replayed with ``orders``: messages, what stood at the venue, and what held sides back.

    Notes
    -----
    Thread-safety: immutable; derived numbers are computed once, on first use.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=600.0, seed=1).events()
    >>> result = mm.replay(events, mm.Affine(base=2.0, slope=0.2, q_max=5))
    >>> result.attribution.unexplained == 0
    True
    >>> len(result.fills) == result.summary()["fills"]
    True
    >>> result.optimistic.fill
    'touch'
    """

    def __init__(
        self,
        *,
        events: Events,
        quoter: Any,
        settings: dict[str, Any],
        decisions: NDArray[np.void] | DecisionLog,
        fills: NDArray[np.void],
        fill_context: NDArray[np.void],
        totals: Totals,
        model: Any = None,
        calibration: Calibration | None = None,
        sample: str = "fixed parameters",
        optimistic: Result | None = None,
        parameters: NDArray[np.void] | None = None,
        recalibrate: Recalibrate | None = None,
        order_log: OrderLog | None = None,
    ) -> None:
        self.events = events
        self.quoter = quoter
        self.settings = settings
        self._decided = decisions
        self.fills = fills
        self.fill_context = fill_context
        self.totals = totals
        self.model = model
        self.calibration = calibration
        self.sample = sample
        self.parameters = parameters
        self.recalibrate = recalibrate
        self.order_log = order_log
        # A quoter may be changed after the replay; the optimistic bound is that of the rules as they were.
        self._rules = copy(quoter)
        if optimistic is not None:
            self.optimistic = optimistic

    # ---- what it was

    @property
    def decisions(self) -> NDArray[np.void]:
        """One record per decision; made from the log of those that knew something new, on first use."""
        decided = self._decided
        if not isinstance(decided, np.ndarray):
            self._decided = decided = decided.array()  # the log, and its memory, are let go
        return decided

    @cached_property
    def optimistic(self) -> Result | None:
        """The same replay under ``fill="touch"``, the optimistic bound; None where that is this one.

        Replayed on first use, unless it was asked for before.
        """
        from .replaying import replay_under

        return None if self.fill == "touch" else replay_under("touch", self, self._rules)

    @property
    def instrument(self) -> Instrument:
        """The instrument of the events."""
        return self.events.instrument

    @property
    def policy(self) -> Any:
        """The policy that quoted."""
        return self.quoter.policy

    @property
    def sample_note(self) -> str:
        """What :attr:`sample` means for this result, in a sentence."""
        known = self.calibration
        if self.sample == "out-of-sample":
            return (
                "The parameters come from market data before this span; nothing that follows was used to "
                "choose them."
            )
        if self.sample != "in-sample":
            return "The parameters were given; where they come from is not known here."
        if known is not None and known.start_time >= self.totals.last_time:
            return "The parameters were calibrated on later data: they looked ahead, so the figures flatter."
        whole = known is None or (
            known.start_time <= self.totals.first_time and known.end_time >= self.totals.last_time
        )
        span = "on this same span" if whole else "on a span that overlaps this one"
        return f"The parameters were calibrated {span}, so the figures flatter the policy."

    @property
    def notes(self) -> list[str]:
        """What a reader should know before using the numbers, in words."""
        found = [self.sample_note] if self.sample == "in-sample" else []
        if never := self._never_filled():
            found.append(never)
        if self.parameters is not None and self.recalibrate is not None:
            from .report.numbers import seconds, span

            every, window = seconds(self.recalibrate.every), span(round(self.recalibrate.window * 1e9))
            done = int(np.count_nonzero(self.parameters["status"] == 0))
            found.append(
                f"The parameters followed the market: set {done:,} times of {len(self.parameters):,}, every "
                f"{every} from the {window} before; where it did not identify them, those before stayed."
                if len(self.parameters)
                else f"The parameters stayed as they were: the first recalibration, {every} after the start "
                f"and from the {window} before, was never due."
            )
        if never:
            return found  # nothing is to be said of how often
        law = self._intensity_law
        if law is not None and self._further:
            shares = [f"{100 * math.exp(-k):.0f} % ({side})" for side, (_, k) in zip(SIDES, law, strict=True)]
            found.append(
                "Fills need a trade through our price, one tick further, while the intensity assumed is that "
                f"of orders which reach it: about exp(-k) = {shares[0]} and {shares[1]} of it is expected."
            )
        if off := self._off_the_law():
            found.append(
                f"Fills came at {' and '.join(off)} of the rate expected at these depths: the model's fill "
                "intensity does not describe this market there, nor do the inventory and P&L it predicts."
                + (
                    ' Method "reach" calibrates to how often a quote would have met the orders that came.'
                    if getattr(self.calibration, "method", None) == "poisson"
                    else ""
                )
            )
        return found

    def _never_filled(self) -> str:
        """Say why no quote could be filled, whatever it was; empty where one could."""
        if not len(self.events.trades):
            return (
                "This feed has no trades, and only a trade fills a quote: no fills and no P&L say nothing "
                "about the quotes."
            )
        if self.settings.get("latency", 0.0) >= self.duration:
            return (
                f"The latency of {self.settings['latency']:,g} s is no shorter than the {self.duration:,g} s "
                "of quoting: no quote reached the market."
            )
        return ""

    def _off_the_law(self) -> list[str]:
        """Say of each side what share of the expected fills came, where it is below half or over twice."""
        found = []
        for side in SIDES:
            bins = [b for b in self.intensity if b.side == side]
            expected, n = sum(b.expected * b.exposure for b in bins), sum(b.fills for b in bins)
            if max(expected, n) >= _TELLING and expected > 0 and not 0.5 <= n / expected <= 2.0:
                found.append(f"{100 * n / expected:.2g} % ({side})")
        return found

    @property
    def fill(self) -> str:
        """The fill rule: "through" or "touch"."""
        return str(self.settings["fill"])

    @property
    def duration(self) -> float:
        """Seconds from the first decision to the end of quoting."""
        return (self.totals.end_time - self.totals.first_time) / 1e9

    # ---- money

    @cached_property
    def attribution(self) -> Attribution:
        """Spread, inventory and fees; adds up to the book's total exactly."""
        t, instrument = self.totals, self.instrument
        spread = instrument.money(Fraction(t.spread2, 2))
        inventory = instrument.money(Fraction(t.revaluation2, 2))
        paid = instrument.currency.amount(t.fees)
        with localcontext(prec=_DIGITS):
            total = trimmed(instrument.money(t.cash + Fraction(t.net * t.mid2, 2)) - paid)
            unexplained = trimmed(total - spread - inventory + paid)
        return Attribution(
            spread,
            inventory,
            paid.copy_negate() if paid else paid,
            total,
            unexplained,
            instrument.currency.name,
        )

    def by_hour(self, period: float | None = 3600.0, offset: float = 0.0) -> Periods:
        """Return P&L and its parts, fills, presence and inventory by hour, adding up to the whole exactly.

        The clock is the one that orders the replay: local_time, in UTC. An hour is (a, b]: what bears
        the stamp of its end belongs to it. The first period starts with the first decision and the last
        one ends with the last quote; inventory is marked at the mid at every edge.

        Parameters
        ----------
        period : float or None
            Seconds of a whole period. None: the longest even one, up to an hour, of which the span
            holds four.
        offset : float
            Seconds by which the exchange's wall clock is ahead of UTC (negative: behind), so that
            edges and labels are those of its hours: -14400 for New York in summer.

        Returns
        -------
        Periods

        Raises
        ------
        InvalidArgument
            A period that is not > 0.
        CapacityError
            More than a million periods.

        Examples
        --------
        >>> import mmcore as mm
        >>> events = mm.SimulatedMarket(duration=900.0, seed=1).events()
        >>> result = mm.replay(events, mm.Affine(base=3.0, q_max=5))
        >>> rows = result.by_hour(period=300.0)
        >>> sum(row.pnl.total for row in rows) == result.attribution.total
        True
        """
        from .periods import by_period

        return by_period(self, period, offset)

    @cached_property
    def pnl_path(self) -> dict[str, NDArray[Any]]:
        """P&L over the decisions and the end, for charts: ``time`` (ns) and float currency columns.

        Columns ``spread``, ``inventory``, ``fees`` (negative where paid) and ``total``, their sum.
        """
        d, t = self.decisions, self.totals
        half = float(self.instrument.money(Fraction(1, 2)))
        unit = float(self.instrument.currency.amount(1))
        spread = np.append(d["spread2"], t.spread2) * half
        inventory = np.append(d["revaluation2"], t.revaluation2) * half
        fees = np.append(d["fees"], t.fees) * -unit
        return {
            "time": np.append(d["time"], t.last_time),
            "spread": spread,
            "inventory": inventory,
            "fees": fees,
            "total": spread + inventory + fees,
        }

    @cached_property
    def drawdown(self) -> Drawdown:
        """Largest fall of the P&L marked at the mid."""
        path = self.pnl_path
        total = np.append(0.0, path["total"])
        time = np.append(self.totals.first_time, path["time"])
        trough = int(np.argmax(np.maximum.accumulate(total) - total))
        peak = int(np.argmax(total[: trough + 1]))
        with localcontext(prec=_DIGITS):
            amount = trimmed(max(self._equity(peak) - self._equity(trough), Decimal(0)))
        return Drawdown(amount, int(time[peak]), int(time[trough]))

    def _equity(self, point: int) -> Decimal:
        """Exact P&L at a point of the drawdown's path: 0 is the start, then the decisions, then the end."""
        if point == 0:
            return Decimal(0)
        t = self.totals
        earned2, fees = t.spread2 + t.revaluation2, t.fees
        if point <= len(self._decided):
            row = self.decisions[point - 1]
            earned2, fees = int(row["spread2"]) + int(row["revaluation2"]), int(row["fees"])
        return self.instrument.money(Fraction(earned2, 2)) - self.instrument.currency.amount(fees)

    # ---- the market that was replayed

    def _mid2_at(self, times: Int64Array) -> tuple[Int64Array, NDArray[np.bool_]]:
        """Return mid2 of the last quote known at each time, and whether there was a mid."""
        quotes = self.events.quotes
        row = quotes_in_force(quotes, times)
        bid, ask = quotes.bid[np.maximum(row, 0)], quotes.ask[np.maximum(row, 0)]
        known = (row >= 0) & (bid != NO_BID) & (ask != NO_ASK)
        return np.where(known, bid + ask, NO_BID), known & (times <= self.totals.last_time)

    @cached_property
    def sigma_realised(self) -> float | None:
        """Volatility of the mid over the replayed span, ticks/√s; None without two mids.

        √(Σ(Δm)²/(D·n)) over the grid first_time + j·D with D the calibration's
        ``sigma_interval`` (1 s without one); steps with an unknown mid at either end are left out.
        """
        step = round(float(self.settings.get("sigma_interval", 1.0)) * 1e9)
        grid = np.arange(self.totals.first_time, self.totals.last_time + 1, step, dtype=np.int64)
        mid2, known = self._mid2_at(grid)
        both = known[1:] & known[:-1]
        moves = np.diff(mid2)[both] / 2.0
        if not len(moves):
            return None
        return math.sqrt(float(np.dot(moves, moves)) / (len(moves) * step / 1e9))

    @property
    def sigma_assumed(self) -> float | None:
        """Volatility that the policy was made with, ticks/√s; None when no model is known."""
        value = getattr(self.model if self.model is not None else self.calibration, "sigma", None)
        return None if value is None else float(value)

    # ---- inventory

    @cached_property
    def inventory_path(self) -> tuple[Int64Array, Int64Array]:
        """Times (ns) and inventory from that time on: the start, then one step a fill."""
        time = np.append(self.totals.first_time, self.fills["receive_time"]).astype(np.int64)
        return time, np.append(0, self.fill_context["inventory"]).astype(np.int64)

    def inventory_histogram(self) -> tuple[Int64Array, FloatArray]:
        """Return each inventory that was held, ascending, and its share of the time.

        The time runs from the first decision to the end of quoting.
        """
        time, inventory = self.inventory_path
        held = np.diff(np.append(time, self.totals.end_time)).astype(np.float64)
        levels, level = np.unique(inventory, return_inverse=True)
        weight = np.bincount(level, weights=held)
        total = float(weight.sum())
        return levels, weight / total if total else np.where(levels == inventory[-1], 1.0, 0.0)

    def inventory_bars(self, most: int = 400) -> tuple[FloatArray, FloatArray, int]:
        """Return the histogram as bars to draw: their middles, their shares of the time and their width.

        One bar for each step of the inventory, lots; where that makes more than ``most``, a bar for each
        equal number of steps.
        """
        levels, share = self.inventory_histogram()
        low, high = int(levels[0]), int(levels[-1])
        step = int(np.gcd.reduce(np.diff(levels))) or 1
        width = step * -(-((high - low) // step + 1) // most)
        bars = np.bincount((levels - low) // width, weights=share).astype(np.float64)
        return low + (width - step) / 2 + width * np.arange(len(bars), dtype=np.float64), bars, width

    @cached_property
    def half_life(self) -> float | None:
        """Seconds in which the inventory loses half of its distance from its mean; None if not estimable.

        The inventory is read on a regular grid (the re-quote interval, at least 1/5000 of the span;
        1 s when quoting at every quote) with step Δ, and q at one point regressed on q at the point
        before it: slope ρ by least squares, half-life −ln 2·Δ/ln ρ. It is None when ρ ≤ 0, or when the
        Dickey-Fuller statistic (ρ − 1)/se is above −2.86: then the sample cannot be told from a
        random walk, which has no half-life.
        """
        interval = float(self.settings["interval"]) or 1.0
        step = max(round(interval * 1e9), (self.totals.end_time - self.totals.first_time) // 5000, 1)
        grid = np.arange(self.totals.first_time, self.totals.end_time + 1, step, dtype=np.int64)
        time, inventory = self.inventory_path
        q = inventory[np.searchsorted(time, grid, "right") - 1].astype(np.float64)
        if len(q) < 20:
            return None
        x, y = q[:-1] - q[:-1].mean(), q[1:] - q[1:].mean()
        spread = float(np.dot(x, x))
        if spread == 0.0:
            return None
        rho = float(np.dot(x, y)) / spread
        rest = y - rho * x
        error = math.sqrt(float(np.dot(rest, rest)) / (len(x) - 2) / spread)
        if not 0.0 < rho < 1.0 or rho - 1.0 > _DICKEY_FULLER * error:
            return None
        return -math.log(2.0) * step / 1e9 / math.log(rho)

    @cached_property
    def inventory_law(self) -> InventoryLaw | None:
        """The law that the model's own fill rates predict for this policy; None where there is none.

        Within the position limit in force. None without a model or without a fill rate, and for a policy
        that has no stationary depths or nothing that bounds the inventory.
        """
        from .inventory import MARKET, find_law

        market = {p.name: getattr(self.model, p.name) for p in MARKET if hasattr(self.model, p.name)}
        if market.get("A") is None or market.get("k") is None:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ApproximationWarning)  # the notes say it
                return find_law(
                    self.policy, market, self.quoter.limits.max_position, math.inf, self.duration or None
                )
        except (InvalidArgument, Unsupported):
            return None

    # ---- orders

    @cached_property
    def standing(self) -> Standing:
        """What stood in the market: one row for each order at a price."""
        from .standing import standing

        return standing(self)

    @cached_property
    def _pieces(self) -> Pieces:
        """What stood, by the decision in force."""
        from .standing import pieces

        return pieces(self)

    @property
    def orders(self) -> Orders | None:
        """The orders it was replayed with, as before the first message; None without."""
        return None if self.order_log is None else self.order_log.orders

    @property
    def message_log(self) -> NDArray[np.void]:
        """One record per order message, in the order sent (dtype ``mmcore.matching.MESSAGE``).

        ``time``, ``live_time`` (ns: sent, at the venue), ``order_id``, ``price``, ``size`` (the whole one),
        ``decision`` (row of `decisions`, the last one then), ``revision``, ``kind``
        (:class:`~mmcore.orders.ActionKind`), ``side`` (0 bid, 1 ask), ``answer``
        (:class:`~mmcore.orders.ReportKind`; 0: none before the end), ``reason`` (1: post-only). Empty without
        ``orders``.
        """
        from .matching import MESSAGE

        return np.zeros(0, dtype=MESSAGE) if self.order_log is None else self.order_log.messages

    @cached_property
    def message_counts(self) -> MessageCounts | None:
        """The messages by kind, and how many were rejected; None without ``orders``."""
        from .messages import message_counts

        return None if self.order_log is None else message_counts(self.order_log)

    @cached_property
    def order_life(self) -> OrderLife | None:
        """How long orders were in the market; None without ``orders``."""
        from .messages import order_life

        return None if self.order_log is None else order_life(self)

    @cached_property
    def fill_rates(self) -> list[FillRate]:
        """Fill rates by side and by place against the touch of the decision in force."""
        p, rates = self._pieces, []
        for s, side in enumerate(SIDES):
            for place, name in enumerate(PLACES):
                mine = (p.side == s) & (p.place == place)
                orders, filled = (
                    len(np.unique(p.order_id[mine])),
                    len(np.unique(p.order_id[mine & (p.lots > 0)])),
                )
                seconds = float(p.seconds[mine].sum())
                rates.append(
                    FillRate(
                        side,
                        name,
                        orders,
                        filled,
                        filled / orders if orders else math.nan,
                        int(p.lots[mine].sum()),
                        seconds,
                        filled / seconds if seconds else math.nan,
                        *_poisson(filled, seconds),
                    )
                )
        return rates

    @property
    def sent(self) -> str:
        """What was filled or not: "orders", or "quotes" of decisions, which each replace the one before."""
        return "quotes" if self.orders is None else "orders"

    @cached_property
    def presence(self) -> Presence:
        """Share of time with quotes in the market, and the reasons for the rest."""
        from .standing import presence

        return presence(self)

    @property
    def messages(self) -> int:
        """Order messages sent; without ``orders`` a side whose integer price or size changes counts one."""
        return sum(self.totals.messages)

    @cached_property
    def intensity(self) -> list[IntensityBin]:
        """Fill intensity by posted depth, with exact Poisson intervals, against A·exp(-k·depth).

        An order is exposed from the moment it is live until it is first hit or replaced, and anew with each
        decision that comes into force, from whose reference its depth counts. At most 20 bins a side, each a
        whole number of ticks wide.
        """
        p, bins = self._pieces, []
        law, further = self._intensity_law, self._further
        for s, side in enumerate(SIDES):
            mine = (p.side == s) & (p.unfilled > 0)
            if not mine.any():
                continue
            depth, seconds = p.depth[mine], p.unfilled[mine]
            hit = p.lots[mine] > 0
            low = math.floor(float(depth.min()))
            width = max(1, math.ceil((float(depth.max()) - low + 0.5) / 20))
            label = np.floor((depth - low) / width).astype(np.int64)
            assumed = expected = np.full(len(depth), math.nan)
            if law is not None:
                (a, k) = law[s]
                assumed, expected = a * np.exp(-k * depth), a * np.exp(-k * (depth + further))
            for b in np.unique(label):
                here = label == b
                time, n = float(seconds[here].sum()), int(hit[here].sum())
                left = float(low + b * width)
                bins.append(
                    IntensityBin(
                        side,
                        left,
                        left + width,
                        left + float(np.dot(depth[here] - left, seconds[here])) / time,
                        time,
                        n,
                        float(np.dot(assumed[here], seconds[here])) / time,
                        float(np.dot(expected[here], seconds[here])) / time,
                        n / time,
                        *_poisson(n, time),
                    )
                )
        return bins

    @property
    def _further(self) -> int:
        """Ticks beyond our price that a trade must reach to fill us, as the intensity counts depth.

        The calibration's "window" counts trades strictly beyond a depth, so there nothing is added.
        """
        strict = getattr(self.calibration, "method", None) == "window"
        return int(self.fill == "through" and not strict)

    @property
    def _intensity_law(self) -> tuple[tuple[float, float], tuple[float, float]] | None:
        """Return (A, k) of the bid and of the ask, from the model or else the calibration."""
        for source in (self.model, self.calibration):
            a, k = getattr(source, "A", None), getattr(source, "k", None)
            values: list[Any] = [*np.broadcast_to(np.asarray(a), 2), *np.broadcast_to(np.asarray(k), 2)]
            if all(value is not None for value in values):
                return (float(values[0]), float(values[2])), (float(values[1]), float(values[3]))
        return None

    # ---- markouts

    def markouts(self, horizons: Sequence[float] = HORIZONS) -> Markouts:
        """Return what the fills were worth later: side·(mid(t + horizon) - price), ticks per lot.

        A fill has no mid at a horizon when that lies beyond the last quote, or when the market was
        one-sided then; it is counted as missing and never given another value.

        The interval: markouts of fills closer than a horizon share a stretch of the price path, so
        they are not independent. Time is cut into blocks of max(4·horizon, 30 s), the sums of
        residuals of different blocks are taken as independent (a cluster-robust standard error), and
        Student's t with blocks - 1 degrees of freedom gives 95 %. Fewer than 5 blocks: NaN.

        Parameters
        ----------
        horizons : sequence of float
            Seconds, ≥ 0.

        Raises
        ------
        InvalidArgument
            A horizon that is not a finite number ≥ 0.
        """
        expect("horizons", horizons, (Sequence, np.ndarray), "a sequence of finite numbers >= 0 (s)")
        for at, horizon in enumerate(horizons):
            try:
                fine = math.isfinite(horizon) and horizon >= 0
            except TypeError:
                fine = False
            if not fine:
                raise InvalidArgument(
                    argument="horizons", index=at, value=horizon, allowed="a finite number >= 0 (s)"
                )
        time = self.fills["receive_time"].astype(np.int64)
        qty = self.fills["qty"].astype(np.int64)
        price = self.fills["price"].astype(np.int64)
        every: list[tuple[Markout, ...]] = []
        for mine in (np.ones(len(qty), dtype=bool), qty > 0, qty < 0):
            rows = []
            for horizon in horizons:
                mid2, known = self._mid2_at(time[mine] + round(horizon * 1e9))
                value = np.sign(qty[mine]) * (mid2 - 2 * price[mine]) / 2.0
                rows.append(_markout(horizon, time[mine], np.abs(qty[mine]), value, known))
            every.append(tuple(rows))
        return Markouts(*every)

    # ---- what people look at

    def summary(self) -> dict[str, Any]:
        """Return the main numbers, JSON-able; money as exact decimal strings."""
        t, a = self.totals, self.attribution
        levels, share = self.inventory_histogram()
        mean = float(np.dot(levels, share))
        p = self.presence
        out: dict[str, Any] = {
            "name": self.events.name,
            "instrument": self.instrument.name,
            "sample": self.sample,
            "notes": self.notes,
            "fill": self.fill,
            "seconds": self.duration,
            "quotes": len(self.events.quotes),
            "trades": len(self.events.trades),
            "decisions": len(self._decided),
            "messages": self.messages,
            "orders": None,
            "fills": len(self.fills),
            "bought": t.bought,
            "sold": t.sold,
            "inventory": {
                "final": t.net,
                "min": int(levels[0]),
                "max": int(levels[-1]),
                "mean": mean,
                "std": math.sqrt(max(float(np.dot((levels - mean) ** 2, share)), 0.0)),
                "half_life": self.half_life,
            },
            "pnl": a.to_dict(),
            "pnl_text": str(a),
            "by_period": self.by_hour(None).to_dict(),
            "drawdown": money_text(self.drawdown.amount),
            "presence": asdict(p),
            "fill_rates": [_finite(asdict(rate)) for rate in self.fill_rates],
            "markouts": self.markouts().to_dict(),
            "sigma": {"assumed": self.sigma_assumed, "realised": self.sigma_realised},
            "intensity": [_finite(asdict(row)) for row in self.intensity],
            "crossed_quotes": t.crossed,
            "settings": self.settings,
            "optimistic": None,
        }
        if self.message_counts is not None and self.order_life is not None:
            out["orders"] = {"messages": asdict(self.message_counts), "life": self.order_life.to_dict()}
        if self.optimistic is not None:
            bound = self.optimistic
            out["optimistic"] = {
                "fill": bound.fill,
                "fills": len(bound.fills),
                "final_inventory": bound.totals.net,
                "pnl": bound.attribution.to_dict(),
                "pnl_text": str(bound.attribution),
            }
        return out

    def report(self, path: str | PathLike[str]) -> None:
        """Write the interactive HTML page (extra ``report``)."""
        from .report import write_report

        write_report(self, path)

    def explain(self, time: int) -> Explanation:
        """Return why the quote was there: what each stage contributed to it, by the policy in force then.

        Parameters
        ----------
        time : int
            ns. The decision explained is the last whose quote was live by then.

        Returns
        -------
        Explanation
            Made by :meth:`mmcore.Quoter.explain` from what the decision knew; its quote is the one logged.

        Raises
        ------
        InvalidArgument
            Before the first quote, or after the end of quoting.

        Examples
        --------
        >>> import mmcore as mm
        >>> events = mm.SimulatedMarket(duration=60.0, seed=1).events()
        >>> result = mm.replay(events, mm.Affine(base=2.0, slope=0.25, q_max=5))
        >>> why = result.explain(result.totals.first_time + 30_000_000_000)
        >>> why.quote.bid == sum(why.bid.values())
        True
        """
        from .explaining import explain

        return explain(self, time)

    def plot(self, what: str = "pnl", ax: Any = None) -> Any:
        """Draw with matplotlib (extra ``plot``); see :func:`mmcore.plots.plot_result` for `what`."""
        from .plots import plot_result

        return plot_result(self, what, ax)

    def _lines(self) -> list[tuple[str, str]]:
        t = self.totals
        levels, _ = self.inventory_histogram()
        p = self.presence
        lines = [
            ("sample", self.sample),
            (
                "span",
                f"{self.duration:,.3f} s, {len(self._decided):,} decisions, {self.messages:,} messages",
            ),
            *([] if self.orders is None else [("messages", str(self.message_counts))]),
            *([] if self.orders is None else [("order life", str(self.order_life))]),
            ("fills", f"{len(self.fills):,} ({t.bought:,} lots bought, {t.sold:,} sold), rule {self.fill!r}"),
            ("inventory", f"{t.net:+,} lots at the end, within [{levels[0]:+,}, {levels[-1]:+,}]"),
            ("P&L", str(self.attribution)),
            ("drawdown", _money(self.drawdown.amount, self.instrument.currency.name, sign=False)),
            ("presence", p.text),
            *(("absent", line) for line in p.absences),
        ]
        if self.optimistic is not None:
            bound = self.optimistic
            lines.append(
                (
                    "optimistic",
                    f"{bound.attribution.total_text} with {len(bound.fills):,} fills under {bound.fill!r}",
                )
            )
        return lines

    def __repr__(self) -> str:
        lines = [f"<Result {self.events.name}", *(f"  {name}: {text}" for name, text in self._lines())]
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in self._lines())
        return f"<table><caption>{escape(self.events.name)}</caption>{body}</table>"


class Results(Mapping[Any, Result]):
    """Replays of several quoters over the same events: name → :class:`Result`, in the order given.

    Parameters
    ----------
    results : mapping
        By name, or by place in the list that was given.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=300.0, seed=1).events()
    >>> both = mm.replay(events, {"near": mm.Affine(base=1.0, q_max=5), "far": mm.Affine(base=4.0, q_max=5)})
    >>> list(both), len(both["near"].fills) > len(both["far"].fills)
    (['near', 'far'], True)
    """

    def __init__(self, results: Mapping[Any, Result]) -> None:
        self._results: dict[Any, Result] = dict(results)

    def __getitem__(self, name: Any) -> Result:
        try:
            return self._results[name]
        except KeyError:
            known = ", ".join(map(repr, self._results))
            raise UnknownName(
                f"no result is named {name!r}; there are {known}", argument="name", value=name, allowed=known
            ) from None

    def __iter__(self) -> Iterator[Any]:
        return iter(self._results)

    def __len__(self) -> int:
        return len(self._results)

    def to_dict(self) -> dict[str, Any]:
        """Return the summaries by name, JSON-able."""
        return {str(name): result.summary() for name, result in self.items()}

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "quoter", "net P&L", "spread", "inventory", "fees", "fills", "lots held", "drawdown"
        for name, result in self.items():
            a = result.attribution
            levels, _ = result.inventory_histogram()
            yield (
                str(name),
                *(money_text(part, "+,") for part in (a.total, a.spread, a.inventory, a.fees)),
                f"{len(result.fills):,}",
                f"{levels[0]:+,} to {levels[-1]:+,}",
                money_text(result.drawdown.amount, ","),
            )

    def __str__(self) -> str:
        cells = list(self._cells())
        width = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, width, strict=True)) for row in cells)

    def __repr__(self) -> str:
        return f"<Results of {len(self)}\n{self}>"

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><tr>{top}</tr>{rows}</table>"


def _poisson(n: int, exposure: float) -> tuple[float, float]:
    """Return the exact 95 % interval of a rate (Garwood 1936) from a count and the time it was counted in."""
    from scipy.special import chdtri

    if not exposure:
        return math.nan, math.nan
    low = float(chdtri(2 * n, 0.975)) / 2 / exposure if n else 0.0
    return low, float(chdtri(2 * n + 2, 0.025)) / 2 / exposure


def _markout(
    horizon: float, time: Int64Array, lots: Int64Array, value: FloatArray, known: NDArray[np.bool_]
) -> Markout:
    """Average `value` where known, weighted by lots, with a cluster-robust interval."""
    n, missing = int(known.sum()), int((~known).sum())
    if n == 0:
        return Markout(horizon, 0, missing, math.nan, math.nan, math.nan, 0)
    time, weight, value = time[known], lots[known].astype(np.float64), value[known]
    total = float(weight.sum())
    mean = float(np.dot(weight, value)) / total
    length = max(round(4e9 * horizon), 30_000_000_000)
    _, block = np.unique((time - time[0]) // length, return_inverse=True)
    sums = np.bincount(block, weights=weight * (value - mean))
    blocks = len(sums)
    if blocks < _MIN_BLOCKS:
        return Markout(horizon, n, missing, mean, math.nan, math.nan, blocks)
    from scipy.special import stdtrit

    error = math.sqrt(float(np.dot(sums, sums)) * blocks / (blocks - 1)) / total
    half = float(stdtrit(blocks - 1, 0.975)) * error
    return Markout(horizon, n, missing, mean, mean - half, mean + half, blocks)
