"""Columns of a table as its reader makes them, part by part: what a price and a size may be, and the whole.

How a format says that there is no price, by an empty field, a 0 or the largest number, is its reader's to
know. What is there must be possible, by one rule for every format:

- a price lies within ±2⁶⁰ ticks, and above 0 unless the instrument has negative prices;
- the size of a trade is above 0; that of a quote is not negative, and 0 is an absent side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..events import NO_ASK, NO_BID, PRICE_LIMIT, SUBTICKS

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = [
    "EARLIEST",
    "LATEST",
    "Columns",
    "Refuse",
    "none_of",
    "plausible_stamps",
    "possible_prices",
    "quoted_side",
    "subticks",
    "traded",
]

Columns = dict[str, NDArray[Any]]
"""Columns of a table by their names."""
Refuse = Callable[[int, str], NoReturn]
"""Refuses a row, counted from 0 among those at hand, and says what is wrong with it."""


EARLIEST, LATEST = 631_152_000 * 10**9, 7_258_118_400 * 10**9
"""The years 1990 to 2199, ns since the epoch: a stamp beyond them is mostly one of another unit."""


def plausible_stamps(name: str, stamps: NDArray[np.int64], refuse: Refuse) -> None:
    """Refuse a stamp that lies outside the years 1990 to 2199."""
    wrong = (stamps < EARLIEST) | (stamps > LATEST)
    if wrong.any():
        at = int(np.argmax(wrong))
        refuse(at, f"{name}: {int(stamps[at])} lies outside the years 1990 to 2199: is it in ns?")


def none_of(wrong: NDArray[np.bool_], what: str, refuse: Refuse) -> None:
    """Refuse the first row that is wrong."""
    if wrong.any():
        refuse(int(np.argmax(wrong)), what)


def possible_prices(
    name: str,
    ticks: NDArray[np.int64],
    instrument: Instrument,
    refuse: Refuse,
    subtick: NDArray[np.int32] | int = 0,
) -> None:
    """Refuse a price in ticks, and millionths of a tick above it, that the instrument cannot have."""
    beyond = (ticks > PRICE_LIMIT) | (ticks < -PRICE_LIMIT)
    if beyond.any():
        at = int(np.argmax(beyond))
        refuse(at, f"{name}: {int(ticks[at])} ticks is beyond ±2**60: is the tick right?")
    if not instrument.negative_prices:
        none_of((ticks < 0) | ((ticks == 0) & (subtick == 0)), f"{name}: is not above 0", refuse)


def quoted_side(
    side: str,
    price: NDArray[np.int64],
    size: NDArray[np.int64],
    absent: NDArray[np.bool_],
    instrument: Instrument,
    refuse: Refuse,
) -> Columns:
    """Return price and size of the bids or the asks of some quotes.

    Parameters
    ----------
    side : {"bid", "ask"}
        Which.
    price, size : arrays of int64
        In ticks and lots; what stands where the side is absent does not count.
    absent : array of bool
        Where the format says that there is no price.
    instrument : Instrument
        Whose prices they are.
    refuse : callable
        Called for what cannot be.

    Examples
    --------
    >>> import mmcore as mm
    >>> def refuse(row, what):
    ...     raise ValueError(f"row {row}: {what}")
    >>> stock, none = mm.Instrument("XYZ", tick="0.01"), np.array([False, False])
    >>> quoted_side("bid", np.array([99, 98]), np.array([5, 0]), none, stock, refuse)["bid_size"]
    array([5, 0])
    >>> quoted_side("ask", np.array([101, 102]), np.array([5, -1]), none, stock, refuse)
    Traceback (most recent call last):
    ValueError: row 1: ask size: is negative
    """
    none_of(~absent & (size < 0), f"{side} size: is negative", refuse)
    absent = absent | (size == 0)
    possible_prices(side, np.where(absent, 1, price), instrument, refuse)
    none = NO_BID if side == "bid" else NO_ASK
    return {side: np.where(absent, none, price), f"{side}_size": np.where(absent, 0, size)}


def subticks(rest: NDArray[np.int64], tick: int) -> NDArray[np.int32]:
    """Return in millionths of a tick, rounded down as decimal text is, what is less than a tick of units.

    Examples
    --------
    >>> subticks(np.array([0, 1, 2]), 3)
    array([     0, 333333, 666666], dtype=int32)
    """
    # From 2⁴³ units the product may not fit: Python's integers then.
    exact = rest.astype(object) if tick > 2**43 else rest
    return (exact * SUBTICKS // tick).astype(np.int32)


def traded(
    price: NDArray[np.int64],
    subtick: NDArray[np.int32],
    size: NDArray[np.int64],
    instrument: Instrument,
    refuse: Refuse,
) -> Columns:
    """Return price, subtick and size of some trades, none of which may be absent."""
    none_of(size <= 0, "size: is not above 0", refuse)
    possible_prices("price", price, instrument, refuse, subtick)
    return {"price": price, "subtick": subtick, "size": size}
