"""The market's book from a snapshot and the differences after it, its sequence checked at every step.

A difference covers the updates (previous, last] and holds new sizes, absolute ones, of some price levels. A
snapshot holds everything up to its own number. So a book that stands at number n takes the difference with
previous = n, and one that has just been set takes the first with previous ≤ n < last. Anything else is a gap
or a regress: the book is **stale** and has no top until a snapshot mends it. One that came while the book was
whole, and is newer than it, is kept for that.

A snapshot arrives after differences that it does not hold, so those are kept while the book waits for it. One
that ends before the first of them begins is older than the stream: it is refused.

Binance's USD-M futures write ``pu`` for previous and ``u`` for last; spot has no ``pu``, its previous is
``U`` − 1.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from ..errors import InvalidArgument
from ..events import NO_ASK, NO_BID

__all__ = ["ABSENT", "OrderBook", "Top"]

Top = tuple[int, int, int, int]
"""Bid, its size, ask, its size: ticks and lots, an absent side as in :class:`~mmcore.events.Quotes`."""

ABSENT: Top = (NO_BID, 0, NO_ASK, 0)
"""Neither side."""

_WAITING = 10_000  # differences that are kept until a snapshot comes

_FAR = 2**62  # beyond every price and size

Levels = Iterable[tuple[int, int]]


def _count(name: str, value: int) -> int:
    if not hasattr(value, "__index__") or isinstance(value, bool):
        raise InvalidArgument(argument=name, value=value, allowed="an integer")
    return int(value)


def _pairs(name: str, levels: Levels, least: int) -> list[tuple[int, int]]:
    """Levels as pairs of integers; sizes are no less than the least."""
    allowed = f"(price in ticks, size in lots): integers within 2^62, the size >= {least}"
    if not isinstance(levels, Iterable):
        raise InvalidArgument(argument=name, value=levels, allowed=f"an iterable of {allowed}")
    pairs = []
    for place, level in enumerate(levels):
        try:
            price, size = level
            if type(price) is not int or type(size) is not int:
                price, size = _count(name, price), _count(name, size)
            right = -_FAR < price < _FAR and least <= size < _FAR
        except (TypeError, ValueError):
            right = False
        if not right:
            raise InvalidArgument(argument=f"{name}[{place}]", value=level, allowed=allowed)
        pairs.append((price, size))
    return pairs


class OrderBook:
    """Price levels of one instrument; absent on both sides while it is not known.

    Attributes
    ----------
    valid : bool
        Whether the chain from the last snapshot is whole.
    update_id : int or None
        Number of the last update that it holds.
    odd : Counter
        What was found odd, and how often: ``gaps``, ``regressions`` and ``repeats`` of the sequence,
        ``older snapshots`` (refused), ``unneeded snapshots``.

    Notes
    -----
    Thread-safety: one writer.

    Examples
    --------
    >>> book = OrderBook()
    >>> book.update(11, 12, [(99, 0)], [])  # kept until there is a snapshot
    >>> book.snapshot(11, [(99, 5), (98, 7)], [(101, 2)])
    >>> book.update(12, 13, [], [(100, 1)])
    >>> book.top, book.update_id
    ((98, 7, 100, 1), 13)
    >>> book.update(14, 15, [], [(100, 0)])  # 14 is missing
    >>> book.valid, book.odd
    (False, Counter({'gaps': 1}))
    """

    def __init__(self) -> None:
        self.valid = False
        self.update_id: int | None = None
        self.odd: Counter[str] = Counter()
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best: tuple[int | None, int | None] | None = None
        self._set = False  # by a snapshot, and no difference since
        self._newer: tuple[int, Levels, Levels] | None = None  # a snapshot ahead of the book
        self._waiting: deque[tuple[int, int, list[tuple[int, int]], list[tuple[int, int]]]] = deque(
            maxlen=_WAITING
        )

    @property
    def top(self) -> Top:
        """The best price and size of each side."""
        if not self.valid:
            return ABSENT
        if self._best is None:
            self._best = max(self._bids, default=None), min(self._asks, default=None)
        bid, ask = self._best
        return (
            *((NO_BID, 0) if bid is None else (bid, self._bids[bid])),
            *((NO_ASK, 0) if ask is None else (ask, self._asks[ask])),
        )

    def levels(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the levels of both sides, the best first; none while the book is not known."""
        if not self.valid:
            return [], []
        return sorted(self._bids.items(), reverse=True), sorted(self._asks.items())

    def snapshot(self, last: int, bids: Levels, asks: Levels) -> None:
        """Set the book, and then apply the differences that came before the snapshot did.

        Parameters
        ----------
        last : int
            Number of the last update that it holds.
        bids, asks : iterable of (int, int)
            Price in ticks and size in lots, > 0.

        Raises
        ------
        InvalidArgument
            A number or a level that is none; the book is as it was.
        """
        last, bids, asks = _count("last", last), _pairs("bids", bids, 1), _pairs("asks", asks, 1)
        if self.valid:
            self.odd["unneeded snapshots"] += 1
            at = self._newer[0] if self._newer else self.update_id
            assert at is not None
            if last > at:
                self._newer = last, bids, asks
            return
        self._newer = None
        later = [kept for kept in self._waiting if kept[1] > last]
        if later and later[0][0] > last:
            self.odd["older snapshots"] += 1
            return
        self._bids, self._asks, self._best = dict(bids), dict(asks), None
        self.valid, self._set, self.update_id = True, True, last
        self._waiting.clear()
        for previous, end, bid_levels, ask_levels in later:
            self.update(previous, end, bid_levels, ask_levels)

    def update(self, previous: int, last: int, bids: Levels, asks: Levels) -> None:
        """Apply a difference, or mark the book stale where it does not follow.

        Parameters
        ----------
        previous, last : int
            It covers the updates (previous, last].
        bids, asks : iterable of (int, int)
            Price in ticks and the new size in lots; 0 takes the level away.

        Raises
        ------
        InvalidArgument
            A number or a level that is none; the book is as it was.
        """
        previous, last = _count("previous", previous), _count("last", last)
        bids, asks = _pairs("bids", bids, 0), _pairs("asks", asks, 0)
        if self.valid:
            at = self.update_id
            assert at is not None
            if self._set and last <= at:
                return  # the snapshot holds it
            if previous == at or (self._set and previous < at):
                self._apply(self._bids, bids)
                self._apply(self._asks, asks)
                self.update_id, self._set = last, False
                if self._newer and self._newer[0] <= last:
                    self._newer = None
                return
            if last == at:
                self.odd["repeats"] += 1
                return
            self.odd["gaps" if previous > at else "regressions"] += 1
            self.valid = False
            self._waiting.append((previous, last, bids, asks))
            if self._newer:
                self.odd["unneeded snapshots"] -= 1
                self.snapshot(*self._newer)
                self.odd = +self.odd  # without zeros
            return
        if self._waiting and previous != self._waiting[-1][1]:
            if last == self._waiting[-1][1]:
                self.odd["repeats"] += 1
                return
            # What came before the break can lead to nothing that comes after it.
            self.odd["gaps" if previous > self._waiting[-1][1] else "regressions"] += 1
            self._waiting.clear()
        self._waiting.append((previous, last, bids, asks))

    def _apply(self, side: dict[int, int], levels: Levels) -> None:
        for price, size in levels:
            if size:
                side[price] = size
            else:
                side.pop(price, None)
            self._best = None
