"""The local clock against the exchange's: offset, skew and steps, from the stamps of a feed.

Of a message the exchange stamped at E, and we at L by our own clock, the difference is

    L − E = o + s·(L − L₀) + wᵢ,    wᵢ ≥ 0,

with the offset o of our clock, its skew s (how much faster it runs; "drift" to many) and the delay wᵢ of
the message above the least one. Averages mix the delays into it, so the line is laid **below** all
differences and as close to them as it can be,

    minimise Σ (Lᵢ − Eᵢ − line(Lᵢ))    with    line(Lᵢ) ≤ Lᵢ − Eᵢ for all i,  |s| ≤ `max_skew`

(Moon, Skelly, Towsley 1999, a linear program). Its solution is the edge of the lower convex hull over the
mean of the Lᵢ (Zhang, Liu, Xia 2002), which is found here in whole nanoseconds, without rounding, by a few
passes over the data: the line through two of the points is tried, and the point that lies furthest below it
takes the place of the one on its side.

**What cannot be known.** A clock that is ahead by 1 ms and a way that takes 1 ms longer look alike: the
offset contains the least delay. The convention is that the least delay is `minimum_delay`, 0 when it is not
given. Stamps that the exchange rounds down (to ms, say) put up to one such step on the offset.

**Steps.** A clock that is set, or an exchange that repeats a second, shifts all that follows. The data are
cut where our stamps fall by `step` or more, and where the least difference in two neighbouring stretches (10
s and 16 rows at least) differs by `step` or more; each :class:`Segment` has a line of its own. 128 ms are
what NTP begins to step rather than slew at. Delays that are all longer by as much for such a stretch look
like a step to and fro.

Examples
--------
>>> import numpy as np
>>> exchange = np.arange(0, 100, 10) * 1_000_000_000
>>> delay = np.array([3, 0, 5, 1, 0, 9, 2, 0, 4, 1]) * 1_000_000
>>> local = exchange - 1_270_000_000 + exchange // 50_000 + delay  # behind by 1.27 s; 20 ppm fast
>>> clock = estimate(exchange, local)
>>> clock
<Clock: offset -1.270 s, skew +20.000 ppm, 1 segment of 10 rows; 10 stamps before the exchange's>
>>> np.rint((clock.correct(local) - exchange) / 1e6).astype(int).tolist()
[3, 0, 5, 1, 0, 9, 2, 0, 4, 1]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidArgument, NotIdentified, OutOfBounds
from .events import QUOTE, TRADE, Events, Quotes, Trades, _integers, _total
from .parameters import Parameter, expect

__all__ = ["CLOCK_PARAMETERS", "Clock", "Correction", "Segment", "clock_of", "correct", "estimate"]

CLOCK_PARAMETERS = (
    Parameter(
        "max_skew",
        float,
        500.0,
        low=0.0,
        high=100_000.0,
        unit="ppm",
        doc="largest difference in speed that the clocks may have; 0 estimates the offset alone",
    ),
    Parameter(
        "step",
        int,
        128_000_000,
        low=1,
        high=2**62,
        unit="ns",
        doc="least change that counts as a step of a clock",
    ),
    Parameter(
        "minimum_delay",
        int,
        0,
        low=0,
        high=10**12,
        unit="ns",
        doc="what the least delay is taken to be, for the stamps cannot tell it from the offset",
    ),
)
"""The arguments of :func:`estimate` and :func:`correct`, by name."""

Int64Array = NDArray[np.int64]

_CHECK = {p.name: p for p in CLOCK_PARAMETERS}
_HOLD, _ROWS = 10_000_000_000, 16  # a level holds for so long, and for so many rows
_SPAN = 2**53  # ns, 104 days: products below are exact within it
_BLOCK = 1 << 18  # rows that are held at once beside the data


@dataclass(frozen=True)
class Segment:
    """A stretch of rows between two steps of a clock, and the line below their differences.

    Parameters
    ----------
    start, stop : int
        Rows, of those that were given: [start, stop).
    start_time, end_time : int
        The first and the last local stamp that was compared, ns.
    compared : int
        Rows with a stamp of the exchange's own.
    offset : int
        Local − exchange at `start_time`, ns, the least delay included.
    skew : float
        How much faster the local clock runs, in millionths (ppm).
    line : tuple of int
        (t, y, rise, run): the offset at a local stamp x is y + rise·(x − t)/run, exactly.
    step : int
        ns by which the offset changed against the segment before, at `start_time`; 0 for the first.
    stepped : {"local", "exchange"}, optional
        Whose clock was set back, where its stamps fall. None: the stamps do not tell.
    """

    start: int
    stop: int
    start_time: int
    end_time: int
    compared: int
    offset: int
    skew: float
    line: tuple[int, int, int, int]
    step: int = 0
    stepped: str | None = None

    def offsets(self, local_time: ArrayLike) -> Int64Array:
        """Return the offset at local stamps, ns, rounded down.

        Parameters
        ----------
        local_time : array_like of int
            ns, within 104 days of the segment.
        """
        time = _integers("local_time", local_time, "<i8", None)
        x, y, rise, run = self.line
        since, far = _difference(time, np.int64(x))
        if far.any():
            at = int(np.argmax(far))
            raise InvalidArgument(
                argument="local_time", index=at, value=int(time[at]), allowed=f"within 104 days of {x}"
            )
        return np.int64(y) + _multiples(since, rise, run)[0]

    def to_dict(self) -> dict[str, Any]:
        """Return what it holds, JSON-able."""
        return vars(self) | {"line": list(self.line)}


@dataclass(frozen=True)
class Clock:
    """What the stamps say of the local clock.

    Parameters
    ----------
    segments : tuple of Segment
        In order of the rows, without gaps: more than one where a clock stepped.
    rows : int
        That were given.
    compared : int
        Rows with a stamp of the exchange's own: where both are equal there is none.
    negative : int
        Of these, the rows with a local stamp before the exchange's.
    out_of_order : int
        Rows after a later local stamp that are no step.
    """

    segments: tuple[Segment, ...]
    rows: int
    compared: int
    negative: int
    out_of_order: int

    def correct(self, local_time: ArrayLike, minimum_delay: int = 0) -> Int64Array:
        """Return local stamps as the exchange's clock would have shown them.

        Parameters
        ----------
        local_time : array_like of int
            The stamps that it was estimated from, ns.
        minimum_delay : int
            What the least delay is taken to be, ns.

        Returns
        -------
        ndarray of int64
            ns. No row is before its exchange stamp, and those on the line are `minimum_delay` after it.
        """
        time = _integers("local_time", local_time, "<i8", self.rows)
        delay = _CHECK["minimum_delay"].check(minimum_delay)
        moved = np.empty(self.rows, dtype=np.int64)
        for segment in self.segments:
            rows = slice(segment.start, segment.stop)
            moved[rows] = time[rows] - segment.offsets(time[rows]) + delay
        return moved

    def to_dict(self) -> dict[str, Any]:
        """Return what it holds, JSON-able."""
        return vars(self) | {"segments": [segment.to_dict() for segment in self.segments]}

    def __str__(self) -> str:
        first, *later = self.segments
        text = f"offset {first.offset / 1e9:+.3f} s, skew {first.skew:+.3f} ppm"
        for segment in later:
            text += f"; a step of {segment.step / 1e9:+.3f} s at row {segment.start:,}"
            if segment.stepped is not None:
                text += f" ({segment.stepped} clock set back)"
        return text

    def __repr__(self) -> str:
        segments = f"{len(self.segments)} segment" + ("s" if len(self.segments) > 1 else "")
        return (
            f"<Clock: {self}, {segments} of {self.compared:,} rows; "
            f"{self.negative:,} stamps before the exchange's>"
        )


@dataclass(frozen=True)
class Correction:
    """What :func:`correct` did to a table.

    Parameters
    ----------
    clock : Clock
        What was taken off.
    minimum_delay : int
        What the least delay is taken to be, ns.
    negative_before, negative_after : int
        Rows with a local stamp before the exchange's.
    largest_change : int
        ns by which a local stamp was moved at most.
    held : int
        Rows whose stamp was raised to that of the row before, so that none falls along the table.
    """

    clock: Clock
    minimum_delay: int
    negative_before: int
    negative_after: int
    largest_change: int
    held: int

    def to_dict(self) -> dict[str, Any]:
        """Return what it holds, JSON-able."""
        return vars(self) | {"clock": self.clock.to_dict()}

    def __str__(self) -> str:
        text = (
            f"local stamps are put on the exchange's clock, the least delay {self.minimum_delay / 1e6:g} ms: "
            f"{self.clock}; {self.negative_before:,} negative latencies before and {self.negative_after:,} "
            f"after, largest change {self.largest_change / 1e9:+.3f} s"
        )
        return text + (f", {self.held:,} rows held" if self.held else "")


def estimate(
    exchange_time: ArrayLike, local_time: ArrayLike, *, max_skew: float = 500.0, step: int = 128_000_000
) -> Clock:
    """Estimate offset, skew and steps of the local clock against the exchange's.

    Parameters
    ----------
    exchange_time, local_time : array_like of int
        Both stamps of each row, ns, in order of arrival. Rows where they are equal have no stamp of the
        exchange's own and are left out.
    max_skew : float
        Largest skew, ppm, taken to 0.001 ppm; 0 estimates the offset alone. 500 is as much as NTP corrects.
    step : int
        Least change that counts as a step of a clock, ns.

    Returns
    -------
    Clock

    Raises
    ------
    NotIdentified
        No row has two stamps.
    InvalidArgument, OutOfBounds
        Stamps that lie 104 days apart: the two of a row (a unit that is wrong), or the first and the last.

    Notes
    -----
    O(rows) for each of the few lines that are tried; beside the two columns of stamps and their difference,
    memory is bounded. Thread-safety: pure.

    Examples
    --------
    >>> s = 1_000_000_000
    >>> exchange = [t * s for t in range(100)]
    >>> local = [t * s + (5 if t < 50 else 4) * s for t in range(100)]  # ours is set back by 1 s
    >>> print(estimate(exchange, local))
    offset +5.000 s, skew +0.000 ppm; a step of -1.000 s at row 50
    """
    limit, least = _CHECK["max_skew"].check(max_skew), _CHECK["step"].check(step)
    local = _integers("local_time", local_time, "<i8", None)
    exchange = _integers("exchange_time", exchange_time, "<i8", len(local))
    place = np.flatnonzero(local != exchange)
    if not len(place):
        raise NotIdentified(
            "no row has two stamps: nothing to compare the local clock with", argument="exchange_time"
        )
    time, theirs = local[place], exchange[place]
    earliest = time.min()
    if (span := int(time.max()) - int(earliest)) >= _SPAN:
        raise OutOfBounds(
            f"local_time: {span} ns from first to last, while a clock is estimated over "
            "at most 104 days (2**53 ns): estimate shorter spans",
            argument="local_time",
        )
    ahead, far = _difference(time, theirs)
    if far.any():
        at = int(np.argmax(far))
        raise InvalidArgument(
            argument="exchange_time",
            index=int(place[at]),
            value=int(theirs[at]),
            allowed=f"within 104 days of the local stamp, {int(time[at])}: is it in ns?",
        )
    largest = Fraction(round(Fraction(limit) * 1000), 10**9)
    cuts = [0, *_steps(time - earliest, ahead, least), len(time)]
    bounds = [0, *(int(place[cut]) for cut in cuts[1:-1]), len(local)]
    segments: list[Segment] = []
    out_of_order = 0
    for i, (a, b) in enumerate(pairwise(cuts)):
        x, y = time[a:b], ahead[a:b]
        if late := int(np.count_nonzero(x < np.maximum.accumulate(x))):
            out_of_order += late
            order = np.argsort(x, kind="stable")
            x, y = x[order], y[order]
        first, last = int(x[0]), int(x[-1])
        at, rise, run = _below(x - x[0], y, largest)
        found = Segment(
            bounds[i],
            bounds[i + 1],
            first,
            last,
            b - a,
            0,
            float(Fraction(rise, run) * 10**6),
            (int(x[at]), int(y[at]), rise, run),
        )
        offset = int(found.offsets(np.array([first]))[0])
        change, who = 0, None
        if segments:
            change = offset - int(segments[-1].offsets(np.array([first]))[0])
            who = _set_back(change, int(time[a] - time[a - 1]), int(theirs[a] - theirs[a - 1]))
        segments.append(replace(found, offset=offset, step=change, stepped=who))
    return Clock(
        tuple(segments), len(local), len(place), int(np.count_nonzero(ahead < 0)), out_of_order=out_of_order
    )


def clock_of(events: Events, *, max_skew: float = 500.0, step: int = 128_000_000) -> Clock:
    """Estimate the local clock of a table against the exchange's: :func:`estimate` of its rows.

    Parameters
    ----------
    events : Events
        A table with both stamps.
    max_skew, step
        As for :func:`estimate`, which also says what is refused.

    Examples
    --------
    >>> import mmcore as mm
    >>> q = mm.Quotes([10, 30, 50], [99, 99, 99], [101, 101, 101], exchange_time=[110, 128, 150])
    >>> clock_of(mm.Events(mm.Instrument("XYZ", tick="0.01"), None, q)).segments[0].offset
    -100
    """
    expect("events", events, Events, "Events")
    return estimate(_exchange_time(events), events.local_time, max_skew=max_skew, step=step)


def correct(
    events: Events, *, minimum_delay: int = 0, max_skew: float = 500.0, step: int = 128_000_000
) -> tuple[Events, Correction]:
    """Put the local stamps of a table on the exchange's clock.

    The order of the rows stays, and so do the exchange's stamps; rows that have none of their own keep two
    equal ones. ``source["clock"]`` becomes "corrected"; ``source["clock_correction"]`` says what was done.

    Parameters
    ----------
    events : Events
        A table with both stamps.
    minimum_delay : int
        What the least delay is taken to be, ns: the stamps cannot tell it from the offset.
    max_skew, step
        As for :func:`estimate`.

    Returns
    -------
    Events, Correction

    Raises
    ------
    NotIdentified
        The table has one stamp a row.
    InvalidArgument
        The table is corrected already.

    Examples
    --------
    >>> import mmcore as mm
    >>> q = mm.Quotes([10, 30, 50], [99, 99, 99], [101, 101, 101], exchange_time=[110, 128, 150])
    >>> events = mm.Events(mm.Instrument("XYZ", tick="0.01"), None, q, source={"clock": "local"})
    >>> corrected, report = correct(events)
    >>> corrected.quotes.local_time.tolist(), report.negative_before, report.negative_after
    ([110, 130, 150], 3, 0)
    """
    expect("events", events, Events, "Events")
    delay = _CHECK["minimum_delay"].check(minimum_delay)
    if events.source.get("clock") == "corrected":
        raise InvalidArgument(
            f"{events.name}: its local stamps are corrected already", argument="events", value=events.name
        )
    local, exchange = events.local_time, _exchange_time(events)
    own = local != exchange
    clock = estimate(exchange, local, max_skew=max_skew, step=step)
    moved = clock.correct(local, delay)
    kept = np.maximum.accumulate(moved)
    changes = kept - local
    most = int(np.argmax(abs(changes)))
    report = Correction(
        clock,
        delay,
        clock.negative,
        int(np.count_nonzero(own & (kept < exchange))),
        int(changes[most]),
        int(np.count_nonzero(kept != moved)),
    )
    exchange = np.where(own, exchange, kept)
    parts: dict[int, Any] = {}
    places = {QUOTE: events.kind == QUOTE, TRADE: events.kind == TRADE}
    for which, made, rows in ((QUOTE, Quotes, events.quotes), (TRADE, Trades, events.trades)):
        stamps = {"local_time": kept[places[which]], "exchange_time": exchange[places[which]]}
        parts[which] = made(**(rows.columns() | stamps))
    source = {name: value for name, value in events.source.items() if name != "latency"}
    source |= {"clock": "corrected", "clock_correction": report.to_dict()}
    corrected = Events(
        events.instrument,
        events.kind,
        parts[QUOTE],
        parts[TRADE],
        name=events.name,
        clock_note=str(report),
        source=source,
    )
    return corrected, report


def _exchange_time(events: Events) -> Int64Array:
    """Return ``exchange_time`` of every row of the table."""
    time = np.empty(len(events), dtype=np.int64)
    time[events.kind == QUOTE] = events.quotes.exchange_time
    time[events.kind == TRADE] = events.trades.exchange_time
    return time


# ---- the line below


def _difference(time: Int64Array, other: Any) -> tuple[Int64Array, NDArray[np.bool_]]:
    """Return time − other modulo 2⁶⁴, and where it is 104 days or more."""
    found = time - other
    # Where it wrapped it has the wrong sign, and the smallest integer has no absolute value.
    far = (abs(found) >= _SPAN) | (found == -(2**63)) | ((found < 0) != (time < other))
    return found, far


def _multiples(x: Int64Array, rise: int, run: int) -> tuple[Int64Array, Int64Array]:
    """Return floor(x·rise/run), exactly, and the remainders in [0, run): |x| and run below 2⁵³.

    A double finds the quotient to within a few units, and the remainder says by how many it is off: modulo
    2⁶⁴ it is exact, and small.
    """
    whole, part = divmod(rise, run)
    quotient = np.floor(x * (part / run)).astype(np.int64)
    rest = x * np.int64(part) - quotient * np.int64(run)
    off = rest // np.int64(run)
    return quotient + off + x * np.int64(whole), rest - off * np.int64(run)


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(at, min(at + _BLOCK, rows)) for at in range(0, rows, _BLOCK))


def _lowest(x: Int64Array, y: Int64Array, rise: int, run: int) -> tuple[int, int]:
    """Return the first and the last of the points that lie lowest against a line of this slope."""
    best: tuple[int, int] | None = None
    first = last = 0
    for rows in _blocks(len(x)):
        along, rest = _multiples(x[rows], rise, run)
        above = y[rows] - along
        low = int(above.min())
        tied = np.flatnonzero(above == low)
        most = int(rest[tied].max())
        tied = tied[rest[tied] == most]
        key = (low, -most)
        if best is None or key < best:
            best, first = key, rows.start + int(tied[0])
        if key == best:
            last = rows.start + int(tied[-1])
    return first, last


def _below(x: Int64Array, y: Int64Array, largest: Fraction) -> tuple[int, int, int]:
    """Return a point of the line below all points that is closest to them in sum, its rise and its run.

    The height of a line of slope s that touches the points from below, at the mean of x, is a concave
    function of s, and it grows with s as long as the points it touches lie left of the mean. Of several
    slopes that are equally good it is the flattest.
    """
    n, total = len(x), _total(x)

    def side(at: int) -> int:
        """Return which side of the mean a point is on: < 0, 0 or > 0."""
        return int(x[at]) * n - total

    left, right = _lowest(x, y, 0, 1)
    if side(left) <= 0 <= side(right) or not largest:
        return left, 0, 1
    rising = side(right) < 0
    steepest = largest if rising else -largest
    end = _lowest(x, y, steepest.numerator, steepest.denominator)[0]
    if side(end) < 0 if rising else side(end) > 0:
        return end, steepest.numerator, steepest.denominator
    left, right = (right, end) if rising else (end, left)
    while True:
        rise, run = int(y[right]) - int(y[left]), int(x[right]) - int(x[left])
        lowest = _lowest(x, y, rise, run)[0]
        if (int(y[lowest]) - int(y[left])) * run == rise * (int(x[lowest]) - int(x[left])):
            return left, rise, run
        if side(lowest) < 0 or (side(lowest) == 0 and not rising):
            left = lowest
        else:
            right = lowest


# ---- steps


def _steps(time: Int64Array, ahead: Int64Array, step: int) -> list[int]:
    """Return the rows before which a clock stepped."""
    cuts = [int(at) + 1 for at in np.flatnonzero(time[1:] <= time[:-1] - np.int64(step))]
    levels: list[int] = []
    for a, b in zip([0, *cuts], [*cuts, len(time)], strict=True):
        levels += [a + cut for cut in _shifts(time[a:b], ahead[a:b], step)]
    return sorted({*cuts, *levels})


def _shifts(time: Int64Array, ahead: Int64Array, step: int) -> Iterator[int]:
    """Yield the rows before which the least difference shifts, and stays so for a stretch."""
    latest = np.maximum.accumulate(time)
    starts, at, n = [0], 0, len(time)
    while True:
        at = max(int(np.searchsorted(latest, latest[at] + np.int64(_HOLD), "left")), at + _ROWS)
        # What is left at the end belongs to the last stretch, unless it is one of its own.
        if at + _ROWS > n or latest[-1] - latest[at] < _HOLD // 2:
            break
        starts.append(at)
    low = np.minimum.reduceat(ahead, starts)
    ends = [*starts[1:], n]
    for j in np.flatnonzero(abs(np.diff(low)) >= step):
        middle = (int(low[j]) + int(low[j + 1])) // 2
        if low[j] < low[j + 1]:
            yield starts[j] + int(np.flatnonzero(ahead[starts[j] : ends[j]] <= middle)[-1]) + 1
        else:
            yield ends[j] + int(np.argmax(ahead[ends[j] : ends[j + 1]] <= middle))


def _set_back(change: int, ours: int, theirs: int) -> str | None:
    """Return whose clock was set back, where its stamps fall from the row before a step to the one after."""
    if change < 0 and ours < 0:
        return "local"
    if change > 0 and theirs < 0:
        return "exchange"
    return None
