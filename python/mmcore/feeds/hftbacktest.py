"""Events of hftbacktest: its npz files as they are, an array ``data`` of structured rows.

======================= ====================================================================================
event                   what it becomes
======================= ====================================================================================
depth, snapshot (1, 4)  a new size of a price level; the top of the book that the levels make is a quote where
                        it changed by the end of a stamp, or before a trade
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
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import CorruptError, InvalidArgument, Unsupported
from ..events import QUOTE, TRADE, Events, Quotes, Trades
from ..files import DAMAGED, naming
from .columns import Refuse, none_of, plausible_stamps, possible_prices, traded
from .order_book import OrderBook
from .table import Table
from .text import Progress, asking, member

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
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_ROWS = 1 << 14  # read at a time
_LOCAL, _BUY, _SELL = 1 << 30, 1 << 29, 1 << 28
_DEPTH, _TRADE, _CLEAR, _SNAPSHOT, _BEST = 1, 2, 3, 4, 5


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
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
    into : Table, optional
        What the rows are added to: one in memory when omitted.

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
    table = Table() if into is None else into
    ignored: Counter[str] = Counter()
    walk = _Walk()
    before, last = 0, -(2**63)
    for data in _parts(path, progress):
        local = np.flatnonzero((data["ev"] & _LOCAL) != 0)
        ignored["the exchange's half"] += len(data) - len(local)
        rows, places = data[local], before + local
        before += len(data)
        kinds = (rows["ev"] & 0xFF).astype(np.int64)
        if (single := kinds >= 10).any():
            raise Unsupported(f"{path}, row {places[np.argmax(single)] + 1}: an event of a single order")
        stamps = np.concatenate([[last], rows["local_ts"]])
        last = int(stamps[-1])
        if (falls := stamps[1:] < stamps[:-1]).any():
            _refuse(path, places[np.argmax(falls)], "local_ts: earlier than the row before it")
        known = (kinds >= _DEPTH) & (kinds <= _BEST)
        ignored["other events"] += int(np.count_nonzero(~known))
        side = ((rows["ev"] & _BUY) != 0).astype(np.int8) - ((rows["ev"] & _SELL) != 0)
        price = _grid(path, rows["px"], instrument.tick, "px", places, known & (kinds != _CLEAR))
        lots = _grid(path, rows["qty"], instrument.lot, "qty", places, known & (kinds != _CLEAR))

        def refusing(those: NDArray[np.int64], places: NDArray[np.int64] = places) -> Refuse:
            return lambda row, what: _refuse(path, places[those[row]], what)

        those = np.flatnonzero(known)
        for name in ("local_ts", "exch_ts"):
            plausible_stamps(name, rows[name][those], refusing(those))
        trades = np.flatnonzero(kinds == _TRADE)
        whole = np.zeros(len(trades), dtype=np.int32)
        executions = traded(price[trades], whole, lots[trades], instrument, refusing(trades))
        levels = np.flatnonzero(known & (kinds != _CLEAR) & (kinds != _TRADE))
        possible_prices("price", price[levels], instrument, refusing(levels))
        none_of(lots[levels] < 0, "size: is negative", refusing(levels))
        none_of(side[levels] == 0, "a level of neither side", refusing(levels))
        # A clearing without a price takes all of its side.
        limits = _grid(path, np.nan_to_num(rows["px"]), instrument.tick, "px", places, kinds == _CLEAR)
        walk.take(rows, kinds, side, price, lots, limits, known)
        kind, quotes = walk.given()
        of_trades = Trades(
            rows["local_ts"][trades], side=side[trades], exchange_time=rows["exch_ts"][trades], **executions
        )
        table.add(Events(instrument, kind, quotes, of_trades))
    walk.publish()
    table.add(Events(instrument, *walk.given()))
    source = {
        "format": "hftbacktest",
        "files": [path.name],
        "clock": "local",
        "ignored": {what: count for what, count in sorted(ignored.items()) if count},
        "odd": {},
    }
    return table.events(instrument, source=source)


def _refuse(path: Path, row: Any, what: str) -> NoReturn:
    """Raise an error about a row, counted from 0 here and from 1 for people."""
    raise InvalidArgument(f"{path}, row {row + 1}: {what}", argument="path", value=str(path), index=int(row))


def _parts(path: Path, progress: Progress | None) -> Iterator[NDArray[Any]]:
    """Yield the rows of the array, part by part."""
    size = path.stat().st_size
    try:
        with naming(path), open(path, "rb") as raw:
            array = raw if raw.peek(6)[:6] == npy.MAGIC_PREFIX else member(raw, "data.npy")
            version = npy.read_magic(array)
            if version not in _HEADERS:
                raise ValueError(f"version {version} of the format of arrays")
            shape, _, dtype = _HEADERS[version](array)
            if len(shape) != 1:
                raise ValueError(f"an array of {len(shape)} dimensions")
            if dtype.hasobject:
                raise ValueError("an array of objects")
            for start in range(0, shape[0], _ROWS):
                stop = min(start + _ROWS, shape[0])
                data = np.frombuffer(_exactly(array, (stop - start) * dtype.itemsize), dtype)
                made = np.empty(len(data), _DTYPE)
                for name in _DTYPE.names or ():
                    made[name] = np.asarray(data[name], dtype=_DTYPE[name])
                if stop == shape[0]:
                    array.read(1)  # at its end a member of a zip compares its checksum
                if progress is not None:
                    progress(min(raw.tell(), size), size)
                yield made
    except (*DAMAGED, IndexError) as error:
        raise CorruptError(f"{path}: holds no events of hftbacktest ({error})") from error


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = []
    while count and (piece := file.read(count)):
        found.append(piece)
        count -= len(piece)
    if count:
        raise EOFError("the array is cut short")
    return b"".join(found)


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
        _refuse(path, places[at], f"{name}: {float(values[at])!r} is not a multiple of {step:f}")
    return whole.astype(np.int64)


class _Walk:
    """A book that is led through the rows, the tops that it had, and the order of quotes and trades."""

    def __init__(self) -> None:
        self._book = OrderBook()
        self._book.snapshot(0, (), ())
        self._number = 0
        self._top = self._book.top
        self._stamps: tuple[int, int] | None = None  # of the last row that changed the book: ours and theirs
        self._quotes: list[tuple[int, ...]] = []
        self._order = bytearray()

    def publish(self) -> None:
        """Give the top as a quote where it changed."""
        if self._stamps is not None and self._book.top != self._top:
            self._top = self._book.top
            self._quotes.append((*self._stamps, *self._top))
            self._order.append(QUOTE)

    def take(
        self,
        rows: NDArray[Any],
        kinds: NDArray[np.int64],
        sides: NDArray[np.int8],
        prices: NDArray[np.int64],
        lots: NDArray[np.int64],
        limits: NDArray[np.int64],
        known: NDArray[np.bool_],
    ) -> None:
        """Go on through some rows; the top after the last of a stamp is published by what follows it."""
        stamps, theirs = rows["local_ts"].tolist(), rows["exch_ts"].tolist()
        no_price = np.isnan(rows["px"]) | (rows["px"] == 0)
        for row in np.flatnonzero(known).tolist():
            kind, side, price = int(kinds[row]), int(sides[row]), int(prices[row])
            if self._stamps is not None and (stamps[row] != self._stamps[0] or kind == _TRADE):
                self.publish()
            if kind == _TRADE:
                self._order.append(TRADE)
                continue
            self._stamps = stamps[row], theirs[row]
            changes: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
            if kind in (_CLEAR, _BEST):
                limit = int(limits[row]) if kind == _CLEAR else price
                for which, levels in enumerate(self._book.levels()):
                    sign = 1 - 2 * which
                    if side in (0, sign):
                        every = kind == _CLEAR and no_price[row]
                        beyond = [p for p, _ in levels if every or sign * p >= sign * limit]
                        changes[which].extend((p, 0) for p in beyond)
            if kind != _CLEAR:
                changes[side < 0].append((price, int(lots[row])))
            self._book.update(self._number, self._number + 1, *changes)
            self._number += 1

    def given(self) -> tuple[NDArray[np.uint8], Quotes]:
        """Return the order of quotes and trades since this was last asked for, and the quotes."""
        kind, quotes = np.frombuffer(bytes(self._order), dtype=np.uint8), self._quotes
        self._order, self._quotes = bytearray(), []
        names = ("local_time", "exchange_time", "bid", "bid_size", "ask", "ask_size")
        columns = np.array(quotes, dtype=np.int64).reshape(len(quotes), len(names)).T.copy()
        return kind, Quotes(**dict(zip(names, columns, strict=True)))
