"""Two replays of the same events: is one better, or was it luck?

Both results lived through the same market, so what is compared is the paired difference, cell of time by
cell of time. Let d_j (j = 1 … n) be the difference of the P&L earned in n equal cells of the span, exact in
half tick·lots and currency units; its sum D is the difference of the two totals. The d_j depend on their
neighbours, since inventory is held for a while, so that blocks of b consecutive cells are drawn instead of
cells (circular block bootstrap: Politis and Romano 1992): ⌈n/b⌉ blocks with uniform starts on the circle,
the last cut so that there are n cells.

The interval is the percentile interval of the resampled sums, at the levels Φ(∓t·√(K/(K − 1))), with t the
quantile of Student's law with K − 1 degrees of freedom and K = n/b blocks: few blocks widen it (Hesterberg
2015). The default b is the largest, over the parts of the P&L and the total, of the lengths that Politis
and White (2004, corrected 2009) estimate from the autocovariances; never more than n/8.

What the interval covers: another stretch of a market like this one. It says nothing of other days.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument
from .instruments import money_text, trimmed
from .parameters import Parameter, expect
from .periods import earned

if TYPE_CHECKING:
    from .results import Result

__all__ = ["COMPARE_PARAMETERS", "Comparison", "Difference", "block_length", "compare", "resampled_sums"]

COMPARE_PARAMETERS = (
    Parameter("block", float, None, low=0.0, open_low=True, unit="s", doc="length of a block of time"),
    Parameter("level", float, 0.95, low=0.5, high=1.0, open_low=True, open_high=True, doc="of the intervals"),
    Parameter("resamples", int, 1999, low=99, high=1_000_000, doc="of the bootstrap"),
    Parameter("seed", int, 0, low=0, doc="of the bootstrap"),
)
"""The arguments of :func:`compare`, by name."""

PARTS = ("total", "spread", "inventory", "fees")

_MOST_CELLS = 2000
_FEWEST_BLOCKS = 8  # fewer independent blocks than this say nothing about a quantile

FloatArray = NDArray[np.float64]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """The paired difference of one part of the P&L.

    Parameters
    ----------
    part : str
        "total", "spread", "inventory" or "fees".
    amount : Decimal
        Result less baseline, exact.
    low, high : float
        Its interval, currency; NaN where the span is too short for one.
    """

    part: str
    amount: Decimal
    low: float
    high: float

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out zero: the data tell the two apart."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Parameters
    ----------
    differences : tuple of Difference
        Total, spread, inventory, fees.
    currency : str
        Of the amounts.
    level : float
        Of the intervals.
    block : float
        Seconds of a block.
    blocks : float
        Blocks in the span.
    resamples, seed : int
        Of the bootstrap.
    fills : tuple of int
        Of the result and of the baseline.
    times : ndarray
        Ends of the cells, ns.
    path : ndarray
        Difference of the total up to each of them, currency.
    """

    differences: tuple[Difference, ...]
    currency: str
    level: float
    block: float
    blocks: float
    resamples: int
    seed: int
    fills: tuple[int, int]
    times: Int64Array
    path: FloatArray

    def __getitem__(self, part: str) -> Difference:
        for difference in self.differences:
            if difference.part == part:
                return difference
        raise InvalidArgument(argument="part", value=part, allowed="one of " + ", ".join(map(repr, PARTS)))

    @property
    def total(self) -> Difference:
        """The difference of the net P&L."""
        return self["total"]

    def __str__(self) -> str:
        total, c = self.total, self.currency
        if total.low == total.high == 0 and not total.amount:
            return "the same P&L in every block of time: no difference"
        better = "better" if total.amount > 0 else "worse" if total.amount < 0 else "equal"
        words = (
            f"{better} by {money_text(total.amount.copy_abs(), ',')} {c}"
            if total.amount
            else "equal in total"
        )
        if math.isnan(total.low):
            return f"{words}; the span is too short for an interval"
        apart = "the data tell them apart" if total.apart else "the data do not tell them apart"
        return (
            f"{words}, {100 * self.level:g} % interval {_about(total.low)} to {_about(total.high)}: {apart}"
        )

    def _cells(self) -> Iterator[tuple[str, str, str]]:
        for d in self.differences:
            interval = (
                "not estimable" if math.isnan(d.low) else f"{_about(d.low, '+')} to {_about(d.high, '+')}"
            )
            yield d.part, f"{money_text(d.amount, '+,')} {self.currency}", interval

    def __repr__(self) -> str:
        lines = [f"  {part}: {amount} ({interval})" for part, amount, interval in self._cells()]
        lines.append(f"  {self.fills[0]:,} fills against {self.fills[1]:,}; blocks of {self.block:.4g} s")
        return "\n".join([f"<Comparison: {self}", *lines]) + ">"

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>".format(*map(escape, row)) for row in self._cells()
        )
        return f"<table><caption>{escape(str(self))}</caption>{rows}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Return all but the path, JSON-able; exact amounts as decimal strings, no interval as None."""
        found: dict[str, Any] = {
            d.part: {
                "amount": money_text(d.amount),
                "low": None if math.isnan(d.low) else d.low,
                "high": None if math.isnan(d.high) else d.high,
                "apart": d.apart,
            }
            for d in self.differences
        }
        settings = {name: getattr(self, name) for name in ("level", "block", "blocks", "resamples", "seed")}
        words = {"currency": self.currency, "fills": list(self.fills), "text": str(self)}
        return found | settings | words

    def plot(self, ax: Any = None) -> Any:
        """Draw the difference of the net P&L over time, and its interval at the end.

        Raises
        ------
        MissingExtra
            matplotlib is not installed.
        """
        from .plots import plot_comparison

        return plot_comparison(self, ax)


def _about(amount: float, style: str = "") -> str:
    """Write an estimated amount of money: three significant digits, two decimals at least."""
    places = 2 if amount == 0 else max(2, 2 - math.floor(math.log10(abs(amount))))
    return money_text(Decimal(f"{amount:.{places}f}"), f"{style},")


def compare(
    result: Result,
    baseline: Result,
    block: float | None = None,
    level: float = 0.95,
    resamples: int = 1999,
    seed: int = 0,
) -> Comparison:
    """Return the paired difference of two replays of the same events, with bootstrap intervals.

    Parameters
    ----------
    result, baseline : Result
        Replays of the same events; the settings may differ.
    block : float, optional
        Seconds of a block, at most an eighth of the span. None: estimated, see the module.
    level : float
        Of the intervals.
    resamples, seed : int
        Of the bootstrap; the same seed gives the same intervals.

    Returns
    -------
    Comparison

    Raises
    ------
    InvalidArgument
        The results are of different events or spans; a block too long; too few resamples for the level.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=900.0, seed=1).events()
    >>> near, far = mm.replay(events, [mm.Affine(base=3.0, q_max=5), mm.Affine(base=9.0, q_max=5)]).values()
    >>> compare(near, far).total.apart
    True
    >>> print(compare(near, near))
    the same P&L in every block of time: no difference
    """
    from .results import Result

    for name, value in (("result", result), ("baseline", baseline)):
        expect(name, value, Result, "a Result of mmcore.replay or mmcore.run")
    given = {"block": block, "level": level, "resamples": resamples, "seed": seed}
    checked = {p.name: p.check(given[p.name]) for p in COMPARE_PARAMETERS}
    _same_market(result, baseline)
    t = result.totals
    span = t.last_time - t.first_time
    step = max(round(float(r.settings["interval"]) * 1e9) for r in (result, baseline))
    n = max(1, min(_MOST_CELLS, span // max(step, 1)))
    edges = np.array([t.first_time + span * j // n for j in range(n + 1)], dtype=np.int64)
    mine, theirs = earned(result, edges), earned(baseline, edges)
    names = ("spread2", "revaluation2", "fees")
    cells = np.array([np.diff(getattr(mine, name) - getattr(theirs, name)) for name in names])
    instrument = result.instrument
    half, unit = float(instrument.money(Fraction(1, 2))), float(instrument.currency.amount(1))

    def in_currency(sums: NDArray[Any]) -> dict[str, FloatArray]:
        spread, inventory, fees = sums
        total = half * (spread + inventory) - unit * fees
        return {"total": total, "spread": half * spread, "inventory": half * inventory, "fees": -unit * fees}

    longest = n // _FEWEST_BLOCKS
    if checked["block"] is not None:
        length = max(1, round(checked["block"] * 1e9 * n / span))
        if length > longest:
            raise InvalidArgument(
                argument="block", value=block, allowed=f"at most an eighth of the span, {span / 8e9:g} s"
            )
    else:
        series = in_currency(cells).values()
        length = max(1, min(longest, max(block_length(values) for values in series)))
    ends = dict.fromkeys(PARTS, (math.nan, math.nan))
    if longest:
        rank = _rank(checked["level"], n / length, checked["resamples"])
        sums = resampled_sums(cells, length, checked["resamples"], checked["seed"])
        for part, values in in_currency(sums).items():
            ordered = np.sort(values)
            ends[part] = float(ordered[rank - 1]) + 0.0, float(ordered[-rank]) + 0.0  # -0 becomes 0
    a, b = result.attribution, baseline.attribution
    with localcontext(prec=100):
        differences = tuple(
            Difference(part, trimmed(getattr(a, part) - getattr(b, part)), *ends[part]) for part in PARTS
        )
    return Comparison(
        differences,
        a.currency,
        checked["level"],
        length * span / n / 1e9,
        n / length,
        checked["resamples"],
        checked["seed"],
        (len(result.fills), len(baseline.fills)),
        edges[1:],
        in_currency(np.cumsum(cells, axis=1))["total"],
    )


def _same_market(result: Result, baseline: Result) -> None:
    one, other = result.events, baseline.events
    if result.instrument != baseline.instrument:
        raise InvalidArgument(
            argument="baseline",
            value=baseline.instrument.name,
            allowed=f"a replay of the same instrument, {result.instrument.name}",
        )
    if one is other:
        return
    spans = [(r.totals.first_time, r.totals.last_time) for r in (result, baseline)]
    if spans[0] != spans[1]:
        raise InvalidArgument(
            argument="baseline",
            value=f"{other.name} from {spans[1][0]} to {spans[1][1]} ns",
            allowed=f"a replay of the same span: {one.name} from {spans[0][0]} to {spans[0][1]} ns",
        )
    for what in ("quotes", "trades"):
        mine, theirs = getattr(one, what).columns(), getattr(other, what).columns()
        for name, column in mine.items():
            if not np.array_equal(column, theirs[name]):
                raise InvalidArgument(
                    argument="baseline",
                    value=f"{other.name}, whose {what}.{name} differ",
                    allowed=f"a replay of the same events, {one.name}",
                )


def _rank(level: float, blocks: float, resamples: int) -> int:
    """Return which order statistic from either end bounds the interval."""
    from scipy.special import ndtr, stdtrit

    t = float(stdtrit(blocks - 1.0, (1.0 + level) / 2.0))
    tail = float(ndtr(-t * math.sqrt(blocks / (blocks - 1.0))))
    rank = math.floor(tail * (resamples + 1))
    if rank < 1:
        enough = f"at least {math.ceil(1 / tail):,}" if tail > 1e-9 else "more than can be drawn"
        raise InvalidArgument(
            argument="resamples", value=resamples, allowed=f"{enough} at level={level!r}, or a lower level"
        )
    return rank


def resampled_sums(cells: Int64Array, length: int, resamples: int, seed: int) -> Int64Array:
    """Return the sums of each row of `cells` over circular blocks of `length`, once per resample."""
    n = cells.shape[1]
    blocks = -(-n // length)
    starts = np.random.default_rng(seed).integers(0, n, (resamples, blocks))
    stops = starts + length
    stops[:, -1] -= blocks * length - n
    found = []
    for row in cells:
        total = np.append(np.int64(0), np.cumsum(np.append(row, row)))
        found.append((total[stops] - total[starts]).sum(axis=1))
    return np.array(found, dtype=np.int64)


def block_length(values: FloatArray) -> int:
    """Return the length of block that Politis and White (2004, 2009) choose for a series.

    With R(k) the autocovariances, λ the flat-top window of width M, G = Σ λ(k/M)·|k|·R(k) and
    g = Σ λ(k/M)·R(k): b = (2G²/(4g²/3))^⅓·n^⅓. M is twice the lag from which on five autocorrelations
    in a row are below 2·√(log₁₀n/n).

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=1000)
    >>> block_length(noise) < block_length(np.convolve(noise, np.ones(20)))
    True
    """
    n = len(values)
    x = values - values.mean()
    variance = float(np.dot(x, x)) / n
    if n < 16 or variance <= 0.0:
        return 1
    most = math.ceil(math.sqrt(n)) + 5
    r = np.array([float(np.dot(x[: n - k], x[k:])) / n for k in range(min(2 * most, n - 1) + 1)])
    small = np.abs(r / variance) < 2.0 * math.sqrt(math.log10(n) / n)
    quiet = (m for m in range(most) if small[m + 1 : m + 6].all())
    width = min(2 * max(next(quiet, most), 1), len(r) - 1)
    k = np.arange(1, width + 1)
    window = np.minimum(1.0, 2.0 * (1.0 - k / width))
    bend, density = 2.0 * float(window @ (k * r[k])), variance + 2.0 * float(window @ r[k])
    if density <= 0.0:
        return 1
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    return int(min(max(1, math.ceil((1.5 * bend * bend / density**2 * n) ** (1.0 / 3.0))), longest))
