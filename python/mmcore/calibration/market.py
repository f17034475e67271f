"""What the estimators read from the events: the mid over time, and market orders with their reach."""

from __future__ import annotations

from dataclasses import dataclass

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
    return max(1, round(seconds * 1e9))


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

    @property
    def durations(self) -> Ints:
        """How long each kept row was in force, ns."""
        return np.diff(self.time, append=np.int64(self.last)) if self.time.size else self.time

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
        lasting = np.where(self.defined, self.durations, 0)
        until = np.concatenate([np.zeros(1, np.int64), np.cumsum(lasting, dtype=np.int64)])
        row = np.searchsorted(self.time, points, side="right") - 1
        inside = np.clip(points - self.time[row], 0, lasting[row])
        return np.where(row >= 0, until[row] + inside, 0)

    def before(self, rows_of_feed: Ints) -> tuple[Ints, Bools]:
        """Mid in force after so many quote rows of the feed, and whether there is one."""
        row = self.kept_until[rows_of_feed] - 1
        if not self.time.size:
            return np.zeros(row.size, np.int64), np.zeros(row.size, np.bool_)
        return self.mid2[row], self.defined[row] & (row >= 0)


@dataclass(frozen=True)
class MarketOrders:
    """Market orders: when, which side, and how far they reach from the mid before them.

    ``reach`` is exact, in millionths of half a tick; ``parity`` is that of the mid in half ticks.
    """

    time: Ints
    side: Ints
    reach: Ints
    parity: Ints
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
        start = np.flatnonzero(np.concatenate([[True], (np.diff(stamp) != 0) | (np.diff(side) != 0)]))
        if not side.size:
            none = np.zeros(0, np.int64)
            return cls(none, none, none, none, 0, 0, 0, 0, hidden)
        mid2, has_mid = mids.before(quotes_before)
        anchor = np.repeat(mid2[start], np.diff(start, append=side.size))
        twice = 2 * np.asarray(trades.price, dtype=np.int64)[visible]
        below = 2 * np.asarray(trades.subtick)[visible].astype(np.int64)
        has_mid = np.asarray(has_mid[start])
        distance = np.where(np.repeat(has_mid, np.diff(start, append=side.size)), twice - anchor, 0)
        reach = np.maximum.reduceat(side * (distance * SUBTICKS + below), start)
        time = np.asarray(trades.local_time, dtype=np.int64)[visible][start]
        side, parity = side[start], mid2[start] & 1
        unknown = side == 0
        use = ~unknown & has_mid
        return cls(
            time[use],
            side[use],
            reach[use],
            parity[use],
            int(np.count_nonzero(~unknown)),
            int(np.count_nonzero(reach[use] <= 0)),
            int(np.count_nonzero(unknown)),
            int(np.count_nonzero(~unknown & ~has_mid)),
            hidden,
        )


def weighted_quantile(values: Ints, weights: Ints, probability: float) -> int:
    """Smallest value at or below which this part of the weight lies; 0 without any."""
    if not int(weights.sum()) > 0:
        return 0
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return int(values[order][np.searchsorted(total, probability * total[-1])])
