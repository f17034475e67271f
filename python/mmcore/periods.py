"""A result cut by the clock: P&L and its parts, fills, presence and inventory, hour by hour.

A period is (a, b]: like a decision at b, it knows the rows with local_time ≤ b. With cumulative signed
fills Q(b) = Σ nᵢ and the mid m(b) in force, the inventory revaluation up to b telescopes,

    Σ over quotes of q·Δm = Q(b)·m(b) − Σ over fills of nᵢ·mᵢ,

so that the parts at any moment follow from the fills and one look-up of the mid, in whole half
tick·lots. Differences of such sums add up to the attribution of the whole span, to the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import CapacityError
from .events import last_where, with_mid
from .instruments import money_text, trimmed
from .parameters import Parameter
from .results import _DIGITS as DIGITS
from .results import Attribution

if TYPE_CHECKING:
    from .instruments import Instrument
    from .results import Result

__all__ = ["Earned", "Period", "Periods", "attributed", "by_period", "earned"]

Int64Array = NDArray[np.int64]

_MOST_PERIODS = 1_000_000
_PERIOD = Parameter("period", float, low=0.0, open_low=True, unit="s", doc="length of a period")
_OFFSET = Parameter("offset", float, 0.0, unit="s", doc="of the exchange's wall clock against UTC")
_EVEN = (3600, 1800, 900, 600, 300, 120, 60, 30, 10, 5, 1)  # s


@dataclass(frozen=True)
class Earned:
    """What a result had earned by given moments, exactly; every column from the start on.

    Parameters
    ----------
    spread2, revaluation2 : ndarray
        Half tick·lots.
    fees : ndarray
        Currency units, paid > 0.
    inventory, fills, bought, sold : ndarray
        Lots held; number of fills; lots bought and sold.
    """

    spread2: Int64Array
    revaluation2: Int64Array
    fees: Int64Array
    inventory: Int64Array
    fills: Int64Array
    bought: Int64Array
    sold: Int64Array


def earned(result: Result, times: Int64Array) -> Earned:
    """Return what `result` had earned by each of `times` (ns): rows with local_time ≤ the time count.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=300.0, seed=1).events()
    >>> result = mm.replay(events, mm.Affine(base=3.0, q_max=5))
    >>> at_end = earned(result, np.array([result.totals.last_time]))
    >>> int(at_end.revaluation2[0]) == result.totals.revaluation2
    True
    """
    # The replay held every sum within ±2⁶¹, so that sums modulo 2⁶⁴ end at the right number even
    # where a product on the way does not fit.
    fills, mid2 = result.fills, result.fill_context["mid2"].astype(np.int64)
    qty, price = fills["qty"].astype(np.int64), fills["price"].astype(np.int64)
    known = np.searchsorted(fills["receive_time"], times, "right")

    def summed(values: Int64Array) -> Int64Array:
        total: Int64Array = np.append(np.int64(0), np.cumsum(values))[known]
        return total

    quotes = result.events.quotes
    row = last_where(with_mid(quotes), np.searchsorted(quotes.local_time, times, "right") - 1)
    row = np.maximum(row, 0)  # before the first mid nothing is held
    mid = quotes.bid[row] + quotes.ask[row]
    inventory = summed(qty)
    return Earned(
        summed(qty * (mid2 - 2 * price)),
        inventory * mid - summed(qty * mid2),
        summed(fills["fee"].astype(np.int64)),
        inventory,
        known.astype(np.int64),
        summed(np.maximum(qty, 0)),
        summed(np.maximum(-qty, 0)),
    )


def attributed(instrument: Instrument, spread2: int, revaluation2: int, fees: int) -> Attribution:
    """Return an attribution from exact sums: half tick·lots, and currency units paid."""
    spread, inventory = instrument.money(Fraction(spread2, 2)), instrument.money(Fraction(revaluation2, 2))
    charged = instrument.currency.amount(-fees)
    with localcontext(prec=DIGITS):
        total = trimmed(spread + inventory + charged)
    return Attribution(spread, inventory, charged, total, Decimal("0.00"), instrument.currency.name)


@dataclass(frozen=True)
class Period:
    """One row of :class:`Periods`: what happened in (start, end].

    Parameters
    ----------
    start, end : int
        ns; local_time, UTC.
    pnl : Attribution
        Earned in the period, inventory marked at the mids at both ends.
    fills, bought, sold : int
        Number of fills; lots.
    both, one, none : float
        Share of the quoted time with both sides, one, no side in the market; NaN after the end of
        quoting.
    inventory, low, high : int
        Lots at the end, smallest and largest in the period.
    mean : float
        Inventory averaged over time, lots.
    """

    start: int
    end: int
    pnl: Attribution
    fills: int
    bought: int
    sold: int
    both: float
    one: float
    none: float
    inventory: int
    low: int
    high: int
    mean: float

    @property
    def seconds(self) -> float:
        """Length of the period."""
        return (self.end - self.start) / 1e9

    def to_dict(self) -> dict[str, Any]:
        """Return the row, JSON-able: money as exact decimal strings, an unknown share as None."""
        row = asdict(self) | {"pnl": self.pnl.to_dict()}
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()}


@dataclass(frozen=True)
class Periods(Sequence[Period]):
    """A result by period: a sequence of :class:`Period`, without gaps, adding up to the whole.

    Parameters
    ----------
    rows : tuple of Period
        In order of time.
    period, offset : float
        Seconds: the length of a whole period, and where its edges stand.
    name : str
        Of the events.
    """

    rows: tuple[Period, ...]
    period: float
    offset: float
    name: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Period]:
        return iter(self.rows)

    def labels(self) -> list[str]:
        """Return each period's start on the clock that `offset` sets."""
        from .report.numbers import stamp

        shift = round(self.offset * 1e9)
        stamps = [stamp(row.start + shift) for row in self.rows]
        one_day = len({text[:10] for text in stamps}) <= 1
        return [text[11:] if one_day else text for text in stamps]

    def to_dict(self) -> dict[str, Any]:
        """Return the rows, JSON-able."""
        return {"period": self.period, "offset": self.offset, "rows": [row.to_dict() for row in self.rows]}

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "from", "total", "spread", "inventory", "fees", "fills", "both sides", "lots held"
        for label, row in zip(self.labels(), self.rows, strict=True):
            parts = (row.pnl.total, row.pnl.spread, row.pnl.inventory, row.pnl.fees)
            both = "-" if math.isnan(row.both) else f"{100 * row.both:.1f} %"
            held = f"{row.low:+,} to {row.high:+,}"
            yield (label, *(money_text(part, "+,") for part in parts), f"{row.fills:,}", both, held)

    def __str__(self) -> str:
        cells = list(self._cells())
        width = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join("  ".join(c.rjust(w) for c, w in zip(row, width, strict=True)) for row in cells)

    def __repr__(self) -> str:
        return f"<Periods {self.name}: {len(self)} of {self.period:g} s>"

    def _repr_html_(self) -> str:
        head, *body = self._cells()
        top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        rows = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in body)
        return f"<table><caption>{escape(self.name)}</caption><tr>{top}</tr>{rows}</table>"


def by_period(result: Result, period: float | None = 3600.0, offset: float = 0.0) -> Periods:
    """Cut `result` at the whole periods of the clock; see :meth:`mmcore.results.Result.by_hour`."""
    t = result.totals
    if period is None:
        period = next((p for p in _EVEN if t.last_time - t.first_time >= 4 * p * 10**9), _EVEN[-1])
    period, offset = _PERIOD.check(period), _OFFSET.check(offset)
    length, shift = round(Fraction(repr(period)) * 10**9), round(Fraction(repr(offset)) * 10**9)
    if length <= 0 or (t.last_time - t.first_time) // max(length, 1) > _MOST_PERIODS:
        raise CapacityError(
            f"period={period!r} s makes more than {_MOST_PERIODS:,} periods: use a longer one",
            argument="period",
        )
    first_edge = ((t.first_time + shift) // length + 1) * length - shift
    inner = np.arange(first_edge, t.last_time, length, dtype=np.int64)
    edges = np.concatenate([[t.first_time], inner, [t.last_time]]).astype(np.int64)

    e = earned(result, edges)
    bid, ask, either = (covered.until(edges) for covered in result.standing.covered)
    both = bid + ask - either
    quoted = np.diff(np.minimum(edges, t.end_time))
    time, inventory = result.inventory_path
    lots = inventory.astype(np.float64)  # lots times ns leave int64 where lots are small
    held = np.append(0.0, np.cumsum(lots[:-1] * np.diff(time)))
    at = np.searchsorted(time, edges, "right") - 1
    area = held[at] + lots[at] * (edges - time[at])
    rows = []
    for i in range(len(edges) - 1):
        step = {name: int(column[i + 1]) - int(column[i]) for name, column in vars(e).items()}
        # What is held is the inventory at the start, then that after each fill up to the end.
        levels = inventory[at[i] : at[i + 1] + 1]
        span = int(quoted[i])
        with_both, with_any = int(both[i + 1] - both[i]), int(either[i + 1] - either[i])
        rows.append(
            Period(
                int(edges[i]),
                int(edges[i + 1]),
                attributed(result.instrument, step["spread2"], step["revaluation2"], step["fees"]),
                step["fills"],
                step["bought"],
                step["sold"],
                with_both / span if span else math.nan,
                (with_any - with_both) / span if span else math.nan,
                (span - with_any) / span if span else math.nan,
                int(e.inventory[i + 1]),
                int(levels.min()),
                int(levels.max()),
                float(area[i + 1] - area[i]) / float(edges[i + 1] - edges[i]),
            )
        )
    return Periods(tuple(rows), period, offset, result.events.name)
