"""LOBSTER: the message and order book files of one stock and one day (lobsterdata.com).

Two files without headers stand side by side, row for row:

- ``…_message_L.csv``: time (seconds after midnight in New York, up to nine decimals, trailing zeros
  dropped), type, order id, size (shares), price (USD × 10 000), direction of the *limit order*;
- ``…_orderbook_L.csv``: ask price, ask size, bid price, bid size, and so on for each level: the
  state **after** the message of the same row. ±9999999999 stands for an empty side.

Each message becomes a quote row (all of them, repeats too). Executions, visible (type 4) and hidden
(type 5), become a trade row that stands *before* the quote row of the same message: the quote is
what the trade left behind. The direction is that of the limit order that was hit, so an executed
sell order is a buyer-initiated trade: side = −direction. Hidden executions leave the book as it was
and may be off the tick grid.

Cross trades (type 6, auctions) don't trade against the quotes: they are counted and left out. From
a halt (type 7, price −1) until quoting resumes (price 0 or 1) both sides are absent.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, Unsupported
from ..events import HIDDEN, NO_ASK, NO_BID, QUOTE, TRADE, Events, Quotes, Trades
from ..parameters import expect
from .columns import Columns, none_of, quoted_side, subticks, traded
from .table import Table
from .text import PACKED, Progress, content, first_line, refuse, rows, shares, stem

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["files", "read"]

_NAME = re.compile(r"(?P<stock>[A-Za-z0-9.\-]+)_(?P<date>\d{4}-\d{2}-\d{2})_")
_KIND = re.compile(r"(?P<before>^|.*_)(?P<kind>message|orderbook)(?P<after>(_\d+)?(\.\w+)*)$", re.IGNORECASE)
_EMPTY = 9_999_999_999
_PER_DOLLAR = 10_000
_MESSAGE = {"time": 0, "type": 1, "order_id": 2, "size": 3, "price": 4, "direction": 5}
_BOOK = {"ask": 0, "ask_size": 1, "bid": 2, "bid_size": 3}
_DAY = 86_400 * 10**9
_DATES = 'a day such as "2012-06-21", in the years 2007 to 2200'
_LOCAL = "one clock: the exchange's stamps stand for ours too"


def files(path: Path) -> list[Path]:
    """Return the message and the order book file that `path` names.

    Parameters
    ----------
    path : Path
        Either file, the folder that holds one such pair, or the part of the names that both share.

    Raises
    ------
    FileNotFoundError
        No pair there.
    InvalidArgument
        More than one pair there; names them.
    """
    if path.is_dir():
        found = sorted(path.iterdir())
    elif path.is_file():
        found = [path]
    else:
        around = path.parent.iterdir() if path.parent.is_dir() else ()
        found = sorted(file for file in around if file.name.startswith(path.name))
    pairs = {}
    for file in found:
        match = _KIND.match(file.name)
        if match and file.is_file():
            sides = []
            for kind in ("message", "orderbook"):
                # The two files may be packed differently.
                name = match["before"] + kind + stem(match["after"])
                choice = [file.with_name(name + end) for end in ("", *PACKED)]
                sides += [other for other in choice if other.is_file()][:1]
            if len(sides) == 2:
                pairs[sides[0]] = sides
    if not pairs:
        pair = "LOBSTER pair (…_message_1.csv and …_orderbook_1.csv side by side)"
        raise FileNotFoundError(
            f"{path}: a folder without a {pair}; {content(path)}"
            if path.is_dir()
            else f"{path}: no {pair} here"
        )
    if len(pairs) > 1:
        names = ", ".join(file.name for file in pairs)
        raise InvalidArgument(
            f"{path}: holds several days, name one of {names}", argument="path", value=str(path)
        )
    return next(iter(pairs.values()))


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    date: str | None = None,
) -> Events:
    """Read a message file and its order book file.

    Parameters
    ----------
    paths : sequence of Path
        The two files: see :func:`files`.
    instrument : Instrument, optional
        A tick of 0.01 USD and a lot of one share when omitted, under the name in the file's name.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.
    date : str, optional
        The day, ``"2012-06-21"``, where the file's name does not say it. Without any, stamps count
        from midnight as if on 1970-01-01 UTC.

    Returns
    -------
    Events
        ``source["midnight"]`` is New York's midnight in ns since the epoch: local_time − midnight is
        the time in the file.

    Raises
    ------
    InvalidArgument
        A row that is not what the format says; names file and line.
    """
    from ..instruments import Instrument

    message_path, book_path = paths
    expect("date", date, (str, type(None)), _DATES)
    named = _NAME.match(message_path.name)
    if date is None and named:
        date = named["date"]
    if instrument is None:
        instrument = Instrument(named["stock"].upper() if named else "LOBSTER", tick="0.01", lot="1")
    unit = instrument.tick * _PER_DOLLAR
    if unit != int(unit) or not 1 <= unit < 2**63:
        raise InvalidArgument(
            f"{message_path}: LOBSTER's prices are counted in 0.0001: the tick must be a multiple of 0.0001, "
            f"less than 2**63 of them, got {instrument.tick:f}",
            argument="instrument",
            value=str(instrument.tick),
        )
    midnight = 0 if date is None else _midnight(date)
    if not first_line(message_path):
        raise InvalidArgument(f"{message_path}: is empty", argument="path", value=str(message_path))

    table = Table() if into is None else into
    message_progress, book_progress = shares(paths, progress)
    odd: Counter[str] = Counter()
    messages = _messages(message_path, instrument, int(unit), message_progress, odd)
    books = _books(book_path, instrument, int(unit), book_progress, odd)
    halts = crosses = row = 0
    halted = False
    for message, book in _side_by_side(book_path, messages, books):
        types = message["type"]
        absent, begun, halted = _halts(types, message["price"], halted, row)
        halts += begun
        crosses += int(np.count_nonzero(types == 6))
        row += len(types)
        for name, value in (("bid", NO_BID), ("ask", NO_ASK), ("bid_size", 0), ("ask_size", 0)):
            book[name] = np.where(absent, value, book[name])
        time = message["time"] + midnight
        trade = np.flatnonzero((types == 4) | (types == 5))
        # Row i of the table is the trade of message i, if it is one, and then its quote.
        kind = np.full(len(types) + len(trade), QUOTE, dtype=np.uint8)
        kind[trade + np.arange(len(trade))] = TRADE
        trades = Trades(
            time[trade],
            side=-message["direction"][trade],
            flags=np.where(types[trade] == 5, HIDDEN, 0),
            **{name: message[f"traded {name}"][trade] for name in ("price", "subtick", "size")},
        )
        table.add(Events(instrument, kind, Quotes(time, **book), trades))
    source: dict[str, Any] = {
        "format": "lobster",
        "clock": "exchange",
        "files": [path.name for path in paths],
        "date": date,
        "midnight": midnight,
        "halts": halts,
        "ignored": {"cross": crosses} if crosses else {},
        "odd": dict(odd),
    }
    note = _LOCAL if date else f"{_LOCAL}; no date known: stamps count from midnight in New York"
    name = f"{instrument.name} {date}" if date else instrument.name
    return table.events(instrument, name=name, clock_note=note, source=source)


def _messages(
    path: Path, instrument: Instrument, tick: int, progress: Progress | None, odd: Counter[str]
) -> Iterator[Columns]:
    """Yield the messages, part by part; what was traded is 0 where a message is no execution."""
    last = -1
    for block in rows(path, len(_MESSAGE), _MESSAGE, progress=progress):
        odd.update(block.odd)
        part = {name: block.integers(name) for name in ("type", "price", "direction")}
        part["time"] = block.integers("time", "0.000000001")
        executions = (part["type"] == 4) | (part["type"] == 5)
        stamps = np.concatenate([[last], part["time"]])
        for wrong, what in (
            (stamps[1:] < stamps[:-1], "time: earlier than the row before it"),
            (part["time"] >= 2 * _DAY, "time: more than two days after midnight"),
            ((part["type"] < 1) | (part["type"] > 7), "type: not one of 1 to 7"),
            (executions & (abs(part["direction"]) != 1), "direction: not 1 or -1"),
        ):
            none_of(wrong, what, block.refuse)
        those, price = block.take(executions), part["price"][executions]
        size = those.integers("size", f"{instrument.lot:f}")
        rest = subticks(price % tick, tick)
        for name, values in traded(price // tick, rest, size, instrument, those.refuse).items():
            part[f"traded {name}"] = np.zeros(len(block), values.dtype)
            part[f"traded {name}"][executions] = values
        last = int(stamps[-1])
        yield part


def _books(
    path: Path, instrument: Instrument, tick: int, progress: Progress | None, odd: Counter[str]
) -> Iterator[Columns]:
    """Yield the top of the book after each message, part by part."""
    width = first_line(path).count(b",") + 1
    if width % 4:
        refuse(path, 0, f"has {width} fields; an order book has four for each level")
    for block in rows(path, width, _BOOK, progress=progress):
        odd.update(block.odd)
        part = {name: block.integers(name) for name in ("ask", "bid")}
        part |= {name: block.integers(name, f"{instrument.lot:f}") for name in ("ask_size", "bid_size")}
        for side in ("bid", "ask"):
            price, size = part[side], part[f"{side}_size"]
            absent = abs(price) == _EMPTY
            off = ~absent & (size != 0) & (price % tick != 0)
            if off.any():
                at = int(np.argmax(off))
                block.refuse(
                    at, f"{side}: {price[at]} (USD/10000) is not a multiple of the tick {instrument.tick:f}"
                )
            part |= quoted_side(side, price // tick, size, absent, instrument, block.refuse)
        yield part


def _side_by_side(
    book_path: Path, messages: Iterator[Columns], books: Iterator[Columns]
) -> Iterator[tuple[Columns, Columns]]:
    """Yield parts of as many messages and states of the book; refuse files of different lengths."""
    message: Columns = {}
    book: Columns = {}
    rows = 0
    while (message := message or next(messages, {})) and (book := book or next(books, {})):
        n = min(_length(message), _length(book))
        rows += n
        yield _rows(message, slice(n)), _rows(book, slice(n))
        message, book = (_rows(part, slice(n, None)) for part in (message, book))
    book = book or next(books, {})
    if message or book:
        n, n_book = (
            rows + _length(part) + sum(map(_length, parts))
            for part, parts in ((message, messages), (book, books))
        )
        raise InvalidArgument(
            f"{book_path}: {n_book} rows for {n} messages; the two files must match row for row",
            argument="path",
            value=str(book_path),
        )


def _length(part: Columns) -> int:
    return len(next(iter(part.values()), ()))


def _rows(part: Columns, rows: slice) -> Columns:
    """Return some rows of a part; nothing of no rows."""
    cut = {name: values[rows] for name, values in part.items()}
    return cut if _length(cut) else {}


def _halts(
    types: NDArray[np.int64], prices: NDArray[np.int64], halted: bool, row: int
) -> tuple[NDArray[np.bool_], int, bool]:
    """Return where trading is halted, how many halts begin, and whether it is halted at the end.

    `row` is the number of messages before these, at which trading was `halted` or not.
    """
    absent = np.zeros(len(types), dtype=bool)
    halts = since = 0
    for at in np.flatnonzero(types == 7).tolist():
        if prices[at] == -1 and not halted:
            halted, since = True, at
            halts += 1
        elif prices[at] in (0, 1) and halted:
            absent[since:at] = True
            halted = False
        elif prices[at] not in (-1, 0, 1):
            raise Unsupported(f"trading status {prices[at]} (type 7) in message row {row + at + 1}")
    absent[since:] |= halted
    return absent, halts, halted


def _midnight(date: str) -> int:
    """Return midnight in New York as ns since the epoch.

    By the rule in force since 2007 (before LOBSTER's first day): summer time from the second Sunday
    of March to the first of November. The zone database is not everywhere (Windows).
    """
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES) from None
    if day.year > 2200:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES)
    if day.year < 2007:
        raise Unsupported(f"LOBSTER before 2007 ({date}): summer time followed another rule")

    def sunday(month: int, nth: int) -> Date:
        first = Date(day.year, month, 1)
        return first + timedelta(days=(6 - first.weekday()) % 7 + 7 * (nth - 1))

    # The clock changes at 2:00 on a Sunday: that midnight still has the old offset.
    hours = 4 if sunday(3, 2) < day <= sunday(11, 1) else 5
    return (day - Date(1970, 1, 1)).days * _DAY + hours * 3600 * 10**9
