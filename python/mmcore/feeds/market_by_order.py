"""The market's book from single orders: added, changed, cancelled, one event of the exchange at a time.

An exchange's event may be several records (a trade, the fills of what rested, the cancels that take them out
of the book), and the book is only to be looked at after the last of them.
"""

from __future__ import annotations

from collections import Counter
from heapq import heappop, heappush

from ..events import NO_ASK, NO_BID
from .order_book import Top

__all__ = ["MarketByOrder"]


class MarketByOrder:
    """The resting orders of one instrument, by their ids, and the best price of each side.

    Attributes
    ----------
    odd : Counter
        What was found odd, and how often: ``unknown orders`` (cancelled), ``unknown orders modified``
        (added), ``cancelled too much``, ``orders added twice`` (the later one counts).

    Notes
    -----
    Prices and sizes are integers in any unit. A side is True for bids. O(log levels) an order.
    Thread-safety: one writer.

    Examples
    --------
    >>> book = MarketByOrder()
    >>> book.add(1, True, 99, 5)
    >>> book.add(2, True, 99, 2)
    >>> book.add(3, False, 101, 4)
    >>> book.cancel(1, 3)  # in part
    >>> book.modify(3, False, 100, 1)
    >>> book.top
    (99, 4, 100, 1)
    """

    def __init__(self) -> None:
        self.odd: Counter[str] = Counter()
        self.clear()

    def clear(self) -> None:
        """Take all orders away."""
        self._orders: dict[int, tuple[bool, int, int]] = {}
        self._levels: tuple[dict[int, int], dict[int, int]] = ({}, {})  # of asks, of bids: price → size
        # The best price first; a price stays in its heap until it is found to have no level.
        self._best: tuple[list[int], list[int]] = ([], [])

    def add(self, order: int, bid: bool, price: int, size: int) -> None:
        """Add an order; one of this id that rests already is replaced."""
        if order in self._orders:
            self.odd["orders added twice"] += 1
            self._remove(order)
        self._insert(order, bid, price, size)

    def modify(self, order: int, bid: bool, price: int, size: int) -> None:
        """Give an order another price and size; one that is not known is added."""
        if order in self._orders:
            self._remove(order)
        else:
            self.odd["unknown orders modified"] += 1
        self._insert(order, bid, price, size)

    def cancel(self, order: int, size: int) -> None:
        """Take `size` off an order, and the order away when nothing is left."""
        found = self._orders.get(order)
        if found is None:
            self.odd["unknown orders"] += 1
            return
        bid, price, had = found
        if size > had:
            self.odd["cancelled too much"] += 1
        if size >= had:
            self._remove(order)
            return
        self._orders[order] = (bid, price, had - size)
        self._levels[bid][price] -= size

    def _insert(self, order: int, bid: bool, price: int, size: int) -> None:
        if not size:
            return
        self._orders[order] = (bid, price, size)
        levels = self._levels[bid]
        if price not in levels:
            levels[price] = 0
            heappush(self._best[bid], -price if bid else price)
        levels[price] += size

    def _remove(self, order: int) -> None:
        bid, price, size = self._orders.pop(order)
        levels = self._levels[bid]
        levels[price] -= size
        if not levels[price]:
            del levels[price]

    @property
    def top(self) -> Top:
        """The best price and size of each side, an absent side as in :class:`~mmcore.events.Quotes`."""
        for bid in (False, True):
            heap, levels = self._best[bid], self._levels[bid]
            while heap and (-heap[0] if bid else heap[0]) not in levels:
                heappop(heap)
        (asks, bids), (ask, bid_) = self._best, self._levels
        return (
            *((-bids[0], bid_[-bids[0]]) if bids else (NO_BID, 0)),
            *((asks[0], ask[asks[0]]) if asks else (NO_ASK, 0)),
        )
