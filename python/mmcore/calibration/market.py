"""What the estimators read from the events: the mid over time, and market orders with their reach."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..events import HIDDEN, NO_ASK, NO_BID, QUOTE, SUBTICKS, TRADE, Events

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_GRID = 20_000_000
"""Most points of a time grid."""


def nanoseconds(seconds: float) -> int:
    """At least 1, and no longer than the longest span of int64 stamps needs."""
    return max(1, round(min(seconds * 1e9, 2.0**62)))


@dataclass(frozen=True)
class Mids:
    """The mid in half ticks as a step function of local time.

    A crossed quote is no market: its row is dropped and the last good one stays in force. A side that
    is absent leaves the mid undefined until both sides are back.
    """

    time: Ints
    mid2: Ints
    spread: Ints
    defined: Bools
    kept_until: Ints  # kept rows among the first n rows of the feed, n = 0, 1, ...
    first: int
    last: int
    crossed: int

    @classmethod
    def of(cls, events: Events) -> Mids:
        """Read the quotes.

        Raises
        ------
        InvalidArgument
            Something else than Events was given, such as a path.
        """
        if not isinstance(events, Events):
            raise InvalidArgument(
                argument="events", value=events, allowed="an mmcore.Events; mmcore.load(path) makes one"
            )
        quotes = events.quotes
        time = np.asarray(quotes.local_time, dtype=np.int64)
        bid = np.asarray(quotes.bid, dtype=np.int64)
        ask = np.asarray(quotes.ask, dtype=np.int64)
        defined = (bid != NO_BID) & (ask != NO_ASK)
        keep = ~(defined & (bid > ask))
        crossed = int(keep.size - np.count_nonzero(keep))
        kept_until = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])
        first, last = (int(time[0]), int(time[-1])) if time.size else (0, 0)
        if crossed:
            time, bid, ask, defined = time[keep], bid[keep], ask[keep], defined[keep]
        if not defined.all():
            bid, ask = np.where(defined, bid, 0), np.where(defined, ask, 0)
        return cls(time, bid + ask, ask - bid, defined, kept_until, first, last, crossed)

    @property
    def span(self) -> int:
        """From the first to the last quote, ns."""
        return self.last - self.first

    @cached_property
    def durations(self) -> Ints:
        """How long each kept row gave the mid, ns; 0 where it leaves it undefined."""
        if not self.time.size:
            return self.time
        return np.where(self.defined, np.diff(self.time, append=np.int64(self.last)), 0)

    @cached_property
    def clock(self) -> Ints:
        """Time with a defined mid before each kept row, and in all, ns."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.durations, dtype=np.int64)])

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
        if not self.time.size:
            return np.zeros(points.size, np.int64), np.zeros(points.size, np.bool_)
        row = np.searchsorted(self.time, points, side="right") - 1
        return self.mid2[row], self.defined[row] & (row >= 0)

    def open_time(self, points: Ints) -> Ints:
        """Time with a defined mid from the first quote to each point, ns."""
        row = np.searchsorted(self.time, points, side="right") - 1
        inside = np.clip(points - self.time[row], 0, self.durations[row])
        return np.where(row >= 0, self.clock[row] + inside, 0)

    def before(self, rows_of_feed: Ints) -> tuple[Ints, Ints, Bools]:
        """Mid and spread in force after so many quote rows of the feed, and whether there are any."""
        row = self.kept_until[rows_of_feed] - 1
        if not self.time.size:
            return np.zeros(row.size, np.int64), np.zeros(row.size, np.int64), np.zeros(row.size, np.bool_)
        return self.mid2[row], self.spread[row], self.defined[row] & (row >= 0)


@dataclass(frozen=True)
class Exposure:
    """The time with a defined mid, by the spread of the moment.

    The spread in ticks is the distance of the touch from the mid in half ticks, and nothing is observed
    nearer than the touch.
    """

    spread: Ints  # distinct, ascending
    seconds: Floats
    row: Ints  # each kept row of the quotes: place of its spread
    clock: Ints

    @classmethod
    def of(cls, mids: Mids) -> Exposure:
        spread, row = np.unique(mids.spread, return_inverse=True)
        held = np.zeros(spread.size, np.int64)
        np.add.at(held, row, mids.durations)
        return cls(spread, held / 1e9, row, mids.clock)

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

    def integral(self, density: Floats, edges: Ints) -> Floats:
        """Integrate a density (1/s) that depends on the spread between successive times of the clock."""
        until = np.concatenate([[0.0], np.cumsum(np.diff(self.clock) / 1e9 * density[self.row])])
        return np.diff(np.interp(edges, self.clock, until))


@dataclass(frozen=True)
class MarketOrders:
    """Market orders: when, which side, and how far they reach from the mid before them.

    ``reach`` is in half ticks, rounded down; ``touch`` is the distance of the touch before them in half
    ticks, which is the spread in ticks.
    """

    time: Ints
    side: Ints
    reach: Ints
    touch: Ints
    total: int
    inside: int
    unknown_side: int
    without_mid: int
    hidden: int

    @classmethod
    def of(cls, events: Events, mids: Mids) -> MarketOrders:
        trades = events.trades
        visible = (np.asarray(trades.flags) & HIDDEN) == 0
        hidden = int(visible.size - np.count_nonzero(visible))
        kind = np.asarray(events.kind)
        quotes_before = np.cumsum(kind == QUOTE, dtype=np.int64)[kind == TRADE][visible]
        stamp = np.asarray(trades.exchange_time)[visible]
        side = np.asarray(trades.side)[visible].astype(np.int64)
        # An order begins wherever stamp or side changes: the same stamp and side again, after a trade
        # on the other side, is a new order.
        start = np.flatnonzero(np.concatenate([[True], (stamp[1:] != stamp[:-1]) | (np.diff(side) != 0)]))
        if not side.size:
            none = np.zeros(0, np.int64)
            return cls(none, none, none, none, 0, 0, 0, 0, hidden)
        mid2, touch, has_mid = mids.before(quotes_before[start])
        anchor = np.repeat(mid2, np.diff(start, append=side.size))
        least, most = half_ticks_beyond(anchor, events, visible)
        reach = np.maximum.reduceat(np.where(side > 0, least, -most), start)
        beyond_mid = np.maximum.reduceat(np.where(side > 0, most, -least), start) > 0
        time = np.asarray(trades.local_time, dtype=np.int64)[visible][start]
        side = side[start]
        unknown = side == 0
        use = ~unknown & has_mid
        return cls(
            time[use],
            side[use],
            reach[use],
            touch[use],
            int(np.count_nonzero(~unknown)),
            int(np.count_nonzero(~beyond_mid[use])),
            int(np.count_nonzero(unknown)),
            int(np.count_nonzero(~unknown & ~has_mid)),
            hidden,
        )


def half_ticks_beyond(mid2: Ints, events: Events, rows: Bools) -> tuple[Ints, Ints]:
    """How far these trades lie above each mid, in half ticks: rounded down, and rounded up."""
    trades = events.trades
    whole = 2 * np.asarray(trades.price, dtype=np.int64)[rows] - mid2
    rest = 2 * np.asarray(trades.subtick, dtype=np.int64)[rows]
    return whole + rest // SUBTICKS, whole - (-rest // SUBTICKS)
