"""Events of hftbacktest: its npz files as they are, an array ``data`` of structured rows.

======================= ====================================================================================
event                   what it becomes
======================= ====================================================================================
depth, snapshot (1, 4)  a new size of a price level; the top of the book that the levels make is a quote, one
                        for each stamp at which it changed
clear (3)               levels of one side, or both, are taken away: those at the price or better
best bid or ask (5)     the top of its side: levels beyond it are gone
trade (2)               a trade; flagged buy or sell by who came
======================= ====================================================================================

Rows flagged "local" count, in their order, by ``local_ts``; the others are the exchange's half of the same
events and are counted in ``source["ignored"]``. Prices and sizes are binary floats: each must be within the
noise of a float of a multiple of the tick or lot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, InvalidArgument, Unsupported
from ..events import QUOTE, TRADE, Events, Quotes, Trades
from ..files import stored_arrays
from .columns import Refuse, none_of, possible_prices, traded
from .order_book import OrderBook
from .text import Progress, asking

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["read"]

_DTYPE = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ]
)
_LOCAL, _BUY, _SELL = 1 << 30, 1 << 29, 1 << 28
_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BEST = 1, 2, 3, 4, 5


def read(
    paths: Sequence[Path], instrument: Instrument | None = None, progress: Progress | None = None
) -> Events:
    """Read a file.

    Parameters
    ----------
    paths : sequence of Path
        One file.
    instrument : Instrument
        Whose ticks and lots the numbers are counted in.
    progress : callable, optional
        Called with (bytes read, bytes in all).

    Raises
    ------
    CorruptError
        Damaged, or no such array in it.
    InvalidArgument
        A price or size off the grid, a stamp that falls; names the row.
    Unsupported
        Events of single orders.
    """
    (path,) = paths
    if instrument is None:
        raise asking(
            path,
            "an array of events does not say its tick and lot: it needs an instrument",
            "instrument",
            "pass instrument=Instrument(name, tick=…, lot=…)",
        )
    size = path.stat().st_size
    data = _array(path)
    if progress is not None:
        progress(size, size)
    local = np.flatnonzero((data["ev"] & _LOCAL) != 0)
    ignored = Counter({"the exchange's half": len(data) - len(local)})
    rows = data[local]
    kinds = (rows["ev"] & 0xFF).astype(np.int64)
    if (single := kinds >= 10).any():
        raise Unsupported(f"{path}, row {local[np.argmax(single)] + 1}: an event of a single order")
    if (falls := np.diff(rows["local_ts"]) < 0).any():
        _refuse(path, local[np.argmax(falls) + 1], "local_ts: earlier than the row before it")
    known = (kinds >= _DEPTH) & (kinds <= _BEST)
    if others := int(np.count_nonzero(~known)):
        ignored["other events"] = others
    side = ((rows["ev"] & _BUY) != 0).astype(np.int8) - ((rows["ev"] & _SELL) != 0)
    price = _grid(path, rows["px"], instrument.tick, "px", local, known & (kinds != _CLEAR))
    lots = _grid(path, rows["qty"], instrument.lot, "qty", local, known & (kinds != _CLEAR))

    def refusing(places: NDArray[np.int64]) -> Refuse:
        return lambda row, what: _refuse(path, local[places[row]], what)

    trades = np.flatnonzero(kinds == _TRADE)
    whole = np.zeros(len(trades), dtype=np.int32)
    executions = traded(price[trades], whole, lots[trades], instrument, refusing(trades))
    levels = np.flatnonzero(known & (kinds != _CLEAR) & (kinds != _TRADE))
    possible_prices("price", price[levels], instrument, refusing(levels))
    none_of(lots[levels] < 0, "size: is negative", refusing(levels))
    none_of(side[levels] == 0, "a level of neither side", refusing(levels))
    # A clearing without a price takes all of its side.
    limits = _grid(path, np.nan_to_num(rows["px"]), instrument.tick, "px", local, kinds == _CLEAR)
    quotes, kind = _walk(rows, kinds, side, price, lots, limits, known)
    names = ("local_time", "exchange_time", "bid", "bid_size", "ask", "ask_size")
    columns = np.array(quotes, dtype=np.int64).reshape(len(quotes), len(names)).T.copy()
    return Events(
        instrument,
        np.frombuffer(bytes(kind), dtype=np.uint8),
        Quotes(**dict(zip(names, columns, strict=True))) if quotes else None,
        Trades(
            rows["local_ts"][trades],
            side=side[trades],
            exchange_time=rows["exch_ts"][trades],
            **executions,
        ),
        source={
            "format": "hftbacktest",
            "files": [path.name],
            "clock": "local",
            "ignored": {what: count for what, count in sorted(ignored.items()) if count},
            "odd": {},
        },
    )


def _refuse(path: Path, row: Any, what: str) -> NoReturn:
    """Raise an error about a row, counted from 0 here and from 1 for people."""
    raise InvalidArgument(f"{path}, row {row + 1}: {what}", argument="path", value=str(path), index=int(row))


def _array(path: Path) -> NDArray[Any]:
    found = stored_arrays(path)
    try:
        data = found[""] if "" in found else found["data"]
        if data.ndim != 1:
            raise ValueError(f"an array of {data.ndim} dimensions")
        made = np.empty(len(data), _DTYPE)
        for name in _DTYPE.names or ():
            made[name] = np.asarray(data[name], dtype=_DTYPE[name])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CorruptError(f"{path}: holds no events of hftbacktest ({error})") from error
    return made


def _grid(
    path: Path,
    values: NDArray[np.float64],
    step: Decimal,
    name: str,
    places: NDArray[np.int64],
    chosen: NDArray[np.bool_],
) -> NDArray[np.int64]:
    """Return floats in whole steps where they can only mean those, as instruments read floats."""
    with np.errstate(invalid="ignore", over="ignore"):
        exact = np.where(chosen, values, 0.0) / float(step)
        whole = np.rint(exact)
        off = np.abs(exact - whole) > np.minimum(1e-3, 1e-9 + 8 * 2.0**-53 * np.abs(exact))
        wrong = off | ~(np.abs(exact) < 2.0**50)
    if wrong.any():
        at = int(np.argmax(wrong))
        _refuse(path, places[at], f"{name}: {values[at]!r} is not a multiple of {step:f}")
    return whole.astype(np.int64)


def _walk(
    rows: NDArray[Any],
    kinds: NDArray[np.int64],
    sides: NDArray[np.int8],
    prices: NDArray[np.int64],
    lots: NDArray[np.int64],
    limits: NDArray[np.int64],
    known: NDArray[np.bool_],
) -> tuple[list[tuple[int, ...]], bytearray]:
    """Lead a book through the rows; return its top where that changed, and the order of quotes and trades."""
    book = OrderBook()
    book.snapshot(0, (), ())
    number = 0
    top = book.top
    quotes: list[tuple[int, ...]] = []
    order = bytearray()
    stamps, theirs = rows["local_ts"].tolist(), rows["exch_ts"].tolist()
    no_price = np.isnan(rows["px"]) | (rows["px"] == 0)
    at = -1

    def publish() -> None:
        nonlocal top
        if at >= 0 and book.top != top:
            top = book.top
            quotes.append((stamps[at], theirs[at], *top))
            order.append(QUOTE)

    for row in np.flatnonzero(known).tolist():
        kind, side, price = int(kinds[row]), int(sides[row]), int(prices[row])
        if at >= 0 and (stamps[row] != stamps[at] or kind == _TRADE):
            publish()
        if kind == _TRADE:
            order.append(TRADE)
            continue
        at = row
        changes: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
        if kind in (_CLEAR, _BEST):
            limit = int(limits[row]) if kind == _CLEAR else price
            for which, levels in enumerate(book.levels()):
                sign = 1 - 2 * which
                if side in (0, sign):
                    every = kind == _CLEAR and no_price[row]
                    beyond = [p for p, _ in levels if every or sign * p >= sign * limit]
                    changes[which].extend((p, 0) for p in beyond)
        if kind != _CLEAR:
            changes[side < 0].append((price, int(lots[row])))
        book.update(number, number + 1, *changes)
        number += 1
    publish()
    return quotes, order
