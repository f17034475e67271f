"""What the estimators read from the events: the mid over time, and market orders with their reach.

A table is read piece by piece, and what is kept of it are sums of whole numbers: how long each spread
stood, how many orders came under each spread and reached so far. So a day of any length is calibrated in the
memory that its distinct spreads and reaches need, and no sum depends on how it was cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..events import (
    HIDDEN,
    NO_ASK,
    NO_BID,
    QUOTE,
    SUBTICKS,
    TRADE,
    Events,
    Quotes,
    Trades,
    expect_events,
    last_where,
    parts,
    pieces,
    quotes_in_force,
    two_sided,
    uncrossed,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_GRID = 20_000_000
"""Most points of a time grid."""


def nanoseconds(seconds: float) -> int:
    """At least 1, and no longer than the longest span of int64 stamps needs."""
    return max(1, round(min(seconds * 1e9, 2.0**62)))


class Tally:
    """Whole numbers summed by a key of several columns, exactly.

    Examples
    --------
    >>> tally = Tally(2)
    >>> tally.add((np.array([1, 0, 1]), np.array([5, 5, 5])), np.array([10, 20, 30]))
    >>> tally.add((np.array([0]), np.array([4])), np.array([1]))
    >>> [column.tolist() for column in tally.sums()]
    [[0, 0, 1], [4, 5, 5], [1, 20, 40]]
    """

    def __init__(self, columns: int) -> None:
        self._parts: list[list[Ints]] = [[np.zeros(0, np.int64)] * (columns + 1)]
        self._more = 0  # rows since the parts were last joined

    def add(self, key: Sequence[Ints], amount: Ints) -> None:
        """Add amounts to the sums of their keys."""
        part = _summed([*key, amount])
        self._parts.append(part)
        self._more += len(part[0])
        if self._more > max(len(self._parts[0][0]), 1 << 16):
            self.sums()

    def sums(self) -> list[Ints]:
        """Return the columns of the keys, in ascending order, and the sums."""
        if len(self._parts) > 1:
            self._parts = [_summed([np.concatenate(column) for column in zip(*self._parts, strict=True)])]
            self._more = 0
        return self._parts[0]


def _summed(columns: Sequence[Ints]) -> list[Ints]:
    """Return the distinct rows of all columns but the last, in ascending order, and its sum for each."""
    *key, amount = columns
    order = np.argsort(key[0]) if len(key) == 1 else np.lexsort(key[::-1])
    key = [column[order] for column in key]
    new = np.ones(len(order), np.bool_)
    new[1:] = np.any([column[1:] != column[:-1] for column in key], axis=0)
    first = np.flatnonzero(new)
    return [*(column[first] for column in key), np.add.reduceat(amount[order], first)]


@dataclass(frozen=True)
class Mids:
    """The mid in half ticks as a step function of local time.

    A crossed quote is no market: its row is dropped and the last good one stays in force. A side that
    is absent leaves the mid undefined until both sides are back.
    """

    quotes: Quotes
    first: int
    last: int

    @classmethod
    def of(cls, events: Events) -> Mids:
        """Take the quotes.

        Raises
        ------
        InvalidArgument
            Something else than Events was given, such as a path.
        """
        expect_events(events)
        time = events.quotes.local_time
        first, last = (int(time[0]), int(time[-1])) if time.size else (0, 0)
        return cls(events.quotes, first, last)

    @property
    def span(self) -> int:
        """From the first to the last quote, ns."""
        return self.last - self.first

    @cached_property
    def crossed(self) -> int:
        """How many quotes are crossed."""
        kept = uncrossed(self.quotes)
        return sum(int(np.count_nonzero(~kept(rows))) for rows in pieces(len(self.quotes)))

    def steps(self) -> Iterator[tuple[Ints, Ints, Ints]]:
        """Yield piece by piece when each quote that is kept began, its spread, and how long it gave the mid.

        Times in ns; where a quote leaves the mid undefined, its spread is 0 and so is how long.
        """
        time = spread = np.zeros(0, np.int64)
        defined = np.zeros(0, np.bool_)
        both, kept = two_sided(self.quotes), uncrossed(self.quotes)
        for rows in pieces(len(self.quotes)):
            keep, there = kept(rows), both(rows)
            wide = np.where(there, self.quotes.ask[rows] - self.quotes.bid[rows], 0)
            # The last one waits for the next, which says when it ended.
            time = np.concatenate([time[-1:], self.quotes.local_time[rows][keep]])
            spread = np.concatenate([spread[-1:], wide[keep]])
            defined = np.concatenate([defined[-1:], there[keep]])
            yield time[:-1], spread[:-1], np.where(defined[:-1], np.diff(time), 0)
        yield time[-1:], spread[-1:], np.where(defined[-1:], self.last - time[-1:], 0)

    @cached_property
    def held(self) -> tuple[Ints, Ints]:
        """The distinct spreads, ascending, and how long each gave the mid, ns."""
        tally = Tally(1)
        for _, spread, length in self.steps():
            tally.add((spread,), length)
        spread, length = tally.sums()
        return spread, length

    @property
    def open_time(self) -> int:
        """Time with a defined mid, ns."""
        return int(self.held[1].sum())

    def cut(self, edges: Ints) -> tuple[Ints, Ints]:
        """Cut the time with a defined mid.

        Parameters
        ----------
        edges : array of int64
            Time with a defined mid since the first quote, ascending, ns; from 0 to all of it.

        Returns
        -------
        times : array of int64
            The first moments, ns, at which there had been as much as each of the inner edges.
        held : array of int64, (blocks, spreads)
            How long each of the spreads of :attr:`held` gave the mid between successive edges, ns.
        """
        inner, spreads = edges[1:-1], self.held[0]
        times = np.zeros(inner.size, np.int64)
        held = np.zeros((inner.size + 1, spreads.size), np.int64)
        before = done = 0
        for start, spread, length in self.steps():
            until = before + np.cumsum(length)
            since = until - length
            after = int(until[-1]) if until.size else before
            cuts = inner[(inner > before) & (inner < after)]
            reached = done + int(np.count_nonzero(inner[done:] <= after)) if until.size else done
            row = np.searchsorted(until, inner[done:reached], "left")
            times[done:reached] = start[row] + inner[done:reached] - since[row]
            place = np.searchsorted(since, cuts, "right")  # behind the step that each cuts
            begin = np.insert(since, place, cuts)
            block = np.searchsorted(inner, begin, "right")
            column = np.searchsorted(spreads, spread)
            column = np.insert(column, place, column[place - 1])
            np.add.at(held, (block, column), np.diff(begin, append=np.int64(after)))
            before, done = after, reached
        return times, held

    def grid(self, seconds: float, argument: str) -> Ints:
        """Times ``first + j * seconds`` up to the last quote, ns.

        Raises
        ------
        InvalidArgument
            More than 20 million points, by the name of the argument that asks for them.
        """
        step = nanoseconds(seconds)
        points = self.span // step + 1
        if points > MAX_GRID:
            least = self.span / MAX_GRID / 1e9
            raise InvalidArgument(
                argument=argument, value=seconds, allowed=f"at least {least:.3g} s: {MAX_GRID:,} steps in all"
            )
        return self.first + step * np.arange(points, dtype=np.int64)

    def at(self, points: Ints) -> tuple[Ints, Bools]:
        """Mid in half ticks at each time, and whether it is defined there."""
        mid2, _, defined = self._given_by(quotes_in_force(self.quotes, points))
        return mid2, defined

    def before(self, rows_of_feed: Ints) -> tuple[Ints, Ints, Bools]:
        """Mid and spread in force after so many quote rows of the feed, and whether there are any."""
        return self._given_by(last_where(uncrossed(self.quotes), rows_of_feed - 1))

    def _given_by(self, row: Ints) -> tuple[Ints, Ints, Bools]:
        """Mid and spread of quotes, and whether they have one; row -1 is none."""
        there = row >= 0
        bid, ask = np.full(row.size, NO_BID), np.full(row.size, NO_ASK)
        bid[there], ask[there] = self.quotes.bid[row[there]], self.quotes.ask[row[there]]
        defined = (bid != NO_BID) & (ask != NO_ASK)
        return np.where(defined, bid + ask, 0), np.where(defined, ask - bid, 0), defined


@dataclass(frozen=True)
class Exposure:
    """The time with a defined mid, by the spread of the moment.

    The spread in ticks is the distance of the touch from the mid in half ticks, and nothing is observed
    nearer than the touch.
    """

    spread: Ints  # distinct, ascending
    seconds: Floats

    @classmethod
    def of(cls, mids: Mids) -> Exposure:
        spread, held = mids.held
        return cls(spread, held / 1e9)

    def at(self, depth: Ints) -> Floats:
        """Seconds in which a quote could stand at each depth (half ticks) and be seen to be reached."""
        seconds = np.zeros(depth.size)
        for parity in (0, 1):
            same, wanted = (self.spread & 1) == parity, (depth & 1) == parity
            until = np.concatenate([[0.0], np.cumsum(self.seconds[same])])
            seconds[wanted] = until[np.searchsorted(self.spread[same], depth[wanted], side="right")]
        return seconds

    def quantile(self, probability: float) -> int:
        """Smallest spread that is not exceeded in this part of the time; 0 without any time."""
        until = np.cumsum(self.seconds)
        if not (until.size and until[-1] > 0):
            return 0
        return int(self.spread[np.searchsorted(until, probability * until[-1])])


@dataclass(frozen=True)
class Blocks:
    """The time with a defined mid in equal blocks, between which the errors see how orders cluster."""

    edges: Ints
    """Time with a defined mid at the ends of the blocks, ns; empty: no blocks, orders are independent."""
    times: Ints
    """The first moments, ns, of all blocks but the first."""
    seconds: Floats
    """(blocks, spreads): how long each spread of the exposure stood."""

    @classmethod
    def of(cls, mids: Mids, count: int) -> Blocks:
        """Cut into so many; none where `count` is 0."""
        if not count:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 0)))
        total = mids.open_time
        edges = np.append(np.arange(count, dtype=np.int64) * (total // count), total)
        times, held = mids.cut(edges)
        return cls(edges, times, held / 1e9)

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True)
class MarketOrders:
    """Market orders: how many, by block of time, side, and how far they reach from the mid before them.

    ``reach`` is in half ticks, rounded down; ``touch`` is the distance of the touch before them in half
    ticks, which is the spread in ticks. The columns have a row for each combination that came.
    """

    block: Ints
    side: Ints
    reach: Ints
    touch: Ints
    count: Ints
    total: int
    inside: int
    unknown_side: int
    without_mid: int
    hidden: int

    @classmethod
    def of(cls, events: Events, mids: Mids, blocks: Ints | None = None) -> MarketOrders:
        """Read the trades.

        Parameters
        ----------
        events : Events
            The market.
        mids : Mids
            Its mids.
        blocks : array of int64, optional
            The first moments, ns, of all blocks of time but the first; one block when omitted.
        """
        blocks = np.zeros(0, np.int64) if blocks is None else blocks
        tally, counts = Tally(4), np.zeros(4, np.int64)
        for run in _runs(events, mids):
            unknown, has_mid = run.side == 0, run.has_mid
            use = ~unknown & has_mid
            block = np.searchsorted(blocks, run.time[use], side="right")
            one = np.ones(block.size, np.int64)
            tally.add((block, run.side[use], run.reach[use], run.touch[use]), one)
            found = ~unknown, ~run.beyond_mid & use, unknown, ~unknown & ~has_mid
            counts += [np.count_nonzero(which) for which in found]
        flags = (events.trades.flags[rows] for rows in pieces(len(events.trades)))
        hidden = sum(int(np.count_nonzero(some & HIDDEN)) for some in flags)
        block, side, reach, touch, count = tally.sums()
        total, inside, unknown_side, without_mid = counts.tolist()
        return cls(block, side, reach, touch, count, total, inside, unknown_side, without_mid, hidden)


@dataclass(frozen=True)
class _Runs:
    """Visible trades of one stamp and side that follow each other, as one order each."""

    stamp: Ints
    time: Ints
    side: Ints
    mid2: Ints
    touch: Ints
    has_mid: Bools
    reach: Ints
    beyond_mid: Bools

    def __getitem__(self, rows: slice) -> _Runs:
        return _Runs(*(column[rows] for column in vars(self).values()))


def _runs(events: Events, mids: Mids) -> Iterator[_Runs]:
    """Yield the market orders, piece by piece."""
    none, never = np.zeros(0, np.int64), np.zeros(0, np.bool_)
    open_ = _Runs(none, none, none, none, none, never, none, never)
    for before, part in parts(events):
        trades, kind = part.trades, part.kind
        visible = (trades.flags & HIDDEN) == 0
        if not visible.any():
            continue
        quotes_before = before + np.cumsum(kind == QUOTE, dtype=np.int64)[kind == TRADE][visible]
        stamp, side = trades.exchange_time[visible], trades.side[visible].astype(np.int64)
        # An order begins wherever stamp or side changes: the same stamp and side again, after a trade
        # on the other side, is a new order.
        goes_on = bool(len(open_.side)) and (stamp[0], side[0]) == (open_.stamp[-1], open_.side[-1])
        start = np.flatnonzero(np.concatenate([[True], (stamp[1:] != stamp[:-1]) | (np.diff(side) != 0)]))
        mid2, touch, has_mid = mids.before(quotes_before[start])
        time = trades.local_time[visible][start]
        if goes_on:  # it is still what it was when it began
            for own, began in (
                (mid2, open_.mid2),
                (touch, open_.touch),
                (has_mid, open_.has_mid),
                (time, open_.time),
            ):
                own[0] = began[0]
        anchor = np.repeat(mid2, np.diff(start, append=side.size))
        least, most = half_ticks_beyond(anchor, trades, visible)
        reach = np.maximum.reduceat(np.where(side > 0, least, -most), start)
        beyond_mid = np.maximum.reduceat(np.where(side > 0, most, -least), start) > 0
        if goes_on:
            reach[0] = max(reach[0], open_.reach[0])
            beyond_mid[0] |= open_.beyond_mid[0]
        else:
            yield open_
        found = _Runs(stamp[start], time, side[start], mid2, touch, has_mid, reach, beyond_mid)
        yield found[:-1]
        open_ = found[-1:]
    yield open_


def half_ticks_beyond(mid2: Ints, trades: Trades, rows: Bools) -> tuple[Ints, Ints]:
    """How far these trades lie above each mid, in half ticks: rounded down, and rounded up."""
    whole = 2 * trades.price[rows] - mid2
    rest = 2 * trades.subtick[rows].astype(np.int64)
    return whole + rest // SUBTICKS, whole - (-rest // SUBTICKS)
