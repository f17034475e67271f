"""Bitstamp's order events: a log of what its streams sent, one message a line.

A line is the local receive time in ms, the kind of the message, and the message::

    1430438404645 trade {"price": 236.47, "amount": 0.21144331, "id": 8111041}
    1430438405885 order_book {"bids": [["236.47", "1.78855669"], …], "asks": […]}

- ``order_book`` becomes a quote row, its touch: the best level with a size, which is counted in
  ``source["odd"]`` where it is not the first; ``trade`` a trade row, in the order of the file.
- Trades have no side. One whose id came before is left out and counted in ``source["ignored"]``; with other
  content it is refused.
- Prices and amounts of trades are JSON numbers that went through a binary float ("236.61000000000001",
  "1.7885566900000001"): the one multiple of the tick or lot within a millionth of a step is meant. How many
  there were is counted in ``source["odd"]``; what is further off is refused.
- ``order_created``, ``order_changed`` and ``order_deleted`` are counted in ``source["ignored"]``: the log
  does not begin with an empty book, which they alone could rebuild.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..decimals import parse, parse_floor
from ..errors import ConflictError, InvalidArgument, OutOfBounds
from ..events import QUOTE, SUBTICKS, TRADE, Events, Quotes, Trades
from .columns import EARLIEST, LATEST, Columns, quoted_side, traded
from .repeats import Repeats
from .table import Table
from .text import Progress, blocks, refuse, refusing

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["read"]

_ORDERS = ("order_created", "order_changed", "order_deleted")
_EARLIEST, _LATEST = EARLIEST // 10**6, LATEST // 10**6  # ms

Row = tuple[Any, ...]


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
) -> Events:
    """Read a log.

    Parameters
    ----------
    paths : sequence of Path
        One file: plain, gzip, xz, zip or zstd.
    instrument : Instrument, optional
        BTCUSD with a tick of 0.01 and a lot of 1e-8 when omitted.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.

    Raises
    ------
    InvalidArgument
        A line that is not of this form, a stamp that falls, a number off the grid by more than the noise
        of a float; names file and line.
    """
    from ..instruments import Instrument

    (path,) = paths
    table = Table() if into is None else into
    if instrument is None:
        instrument = Instrument("BTCUSD", tick="0.01", lot="0.00000001")
    counts: Counter[str] = Counter()
    repeats = Repeats(path)
    noise = unordered = 0
    last = _EARLIEST
    for text, start in blocks(path, progress):
        kind = bytearray()
        quotes: list[Row] = []  # line, stamp, bid, its size, ask, its size
        trades: list[Row] = []  # line, stamp, price, size
        for line, record in enumerate(text.split(b"\n"), start):
            if not record or record.isspace():
                continue
            stamp, name, message = _cut(path, line, record)
            if stamp < last:
                if last == _EARLIEST:
                    refuse(path, line, f"stamp {stamp} lies outside the years 1990 to 2199: is it in ms?")
                refuse(path, line, f"stamp {stamp} is earlier than {last} before it")
            last = stamp
            counts[name] += 1
            if name not in ("trade", "order_book"):
                continue
            try:
                found = json.loads(message, parse_float=str, parse_int=str)
                if name == "trade":
                    content = found["price"], found["amount"]
                    if not repeats.has(found.get("id"), content, line):
                        trades.append((line, stamp, *content))
                        kind.append(TRADE)
                else:
                    (bid, first), (ask, lowest) = _touch(found["bids"], max), _touch(found["asks"], min)
                    quotes.append((line, stamp, *bid, *ask))
                    kind.append(QUOTE)
                    unordered += not (first and lowest)
            except ConflictError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                refuse(path, line, f"is no {name} message")
        part: dict[str, Any] = {}
        if quotes:
            found, off = _quotes(path, quotes, instrument)
            part["quotes"] = Quotes(**found)
            noise += off
        if trades:
            found, off = _trades(path, trades, instrument)
            part["trades"] = Trades(**found)
            noise += off
        table.add(Events(instrument, np.frombuffer(bytes(kind), dtype=np.uint8), **part))
    if not len(table):
        held = ", ".join(f"{count:,} of {name}" for name, count in sorted(counts.items())) or "nothing"
        raise InvalidArgument(
            f"{path}: no order_book or trade; its messages: {held}", argument="path", value=str(path)
        )
    left_out = (*_ORDERS, "repeated ids")
    counts |= {"repeated ids": repeats.count} if repeats.count else {}
    odd = {"books whose first level is not the touch": unordered, "numbers with the noise of a float": noise}
    return table.events(
        instrument,
        clock_note="one clock: ours",
        source={
            "format": "bitstamp",
            "files": [path.name],
            "clock": "local",
            "ignored": {name: count for name, count in sorted(counts.items()) if name in left_out},
            "odd": {what: count for what, count in odd.items() if count},
        },
    )


def _cut(path: Path, line: int, record: bytes) -> tuple[int, str, bytes]:
    stamp, _, rest = record.partition(b" ")
    name, _, message = rest.partition(b" ")
    if not (stamp.isdigit() and len(stamp) <= 18):
        refuse(path, line, "does not start with a stamp in ms and a blank")
    known = name.decode("ascii", "backslashreplace")
    if known not in ("trade", "order_book", *_ORDERS):
        refuse(path, line, f"{known!r} is not one of trade, order_book, {', '.join(_ORDERS)}")
    if int(stamp) > _LATEST:
        refuse(path, line, f"stamp {int(stamp)} lies outside the years 1990 to 2199: is it in ms?")
    return int(stamp), known, message


def _touch(levels: Any, best: Callable[..., tuple[str, str]]) -> tuple[tuple[str, str], bool]:
    """Return price and size of the best level, zeros for none; and whether it is the first one.

    Floats tell which price is the better one: prices of a grid that are not equal differ as floats, too.
    """
    standing = [(price, size) for price, size in levels if float(price) and float(size)]
    if not standing:
        return ("0", "0"), not levels
    touch = best(standing, key=lambda level: float(level[0]))
    return touch, touch == tuple(levels[0])


def _numbers(
    path: Path, rows: Sequence[Row], place: int, name: str, step: Decimal
) -> tuple[NDArray[np.int64], int]:
    """Return a column in whole steps, and how many of its numbers carried the noise of a float."""
    texts, grid = [row[place] for row in rows], f"{step:f}"
    try:
        below, rest = parse_floor(texts, grid)
        above = parse(texts, grid, "ceil")
    except (InvalidArgument, OutOfBounds) as error:
        if error.index is None:
            raise
        what = "is too large" if isinstance(error, OutOfBounds) else f"is not {error.allowed}"
        refuse(path, rows[error.index][0], f"{name}: {error.value!r} {what}", type(error))
    noisy, up = above != below, rest == SUBTICKS - 1
    if (off := noisy & (rest != 0) & ~up).any():
        at = int(np.argmax(off))
        refuse(
            path,
            rows[at][0],
            f"{name}: {texts[at]!r} is not a multiple of {grid}, nor within a millionth of one",
        )
    return np.where(noisy & up, above, below), int(np.count_nonzero(noisy))


def _quotes(path: Path, rows: Sequence[Row], instrument: Instrument) -> tuple[Columns, int]:
    stamps = np.array([row[1] for row in rows], dtype=np.int64) * 10**6
    part: Columns = {"local_time": stamps}
    noise = 0
    wrong = refusing(path, [row[0] for row in rows])
    for side, place in (("bid", 2), ("ask", 4)):
        price, off_tick = _numbers(path, rows, place, side, instrument.tick)
        size, off_lot = _numbers(path, rows, place + 1, f"{side} size", instrument.lot)
        noise += off_tick + off_lot
        part |= quoted_side(side, price, size, price == 0, instrument, wrong)
    return part, noise


def _trades(path: Path, rows: Sequence[Row], instrument: Instrument) -> tuple[Columns, int]:
    stamps = np.array([row[1] for row in rows], dtype=np.int64) * 10**6
    price, off_tick = _numbers(path, rows, 2, "price", instrument.tick)
    size, off_lot = _numbers(path, rows, 3, "amount", instrument.lot)
    whole = np.zeros(len(rows), dtype=np.int32)
    part = traded(price, whole, size, instrument, refusing(path, [row[0] for row in rows]))
    return {"local_time": stamps} | part, off_tick + off_lot
