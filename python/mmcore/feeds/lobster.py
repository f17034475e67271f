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
from collections.abc import Sequence
from datetime import date as Date
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, Unsupported
from ..events import HIDDEN, NO_ASK, NO_BID, QUOTE, TRADE, Events, Quotes, Trades
from ..parameters import expect
from .columns import Columns, joined, none_of, quoted_side, subticks, traded
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
    tick = int(unit)
    lot = f"{instrument.lot:f}"
    midnight = 0 if date is None else _midnight(date)

    message_progress, book_progress = shares(paths, progress)
    parts: list[Columns] = []
    executed: list[Columns] = []
    last = -1
    unended = 0
    for block in rows(message_path, len(_MESSAGE), _MESSAGE, progress=message_progress):
        part = {name: block.integers(name) for name in ("type", "price", "direction")}
        part["time"] = block.integers("time", "0.000000001")
        part["line"] = block.lines
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
        size = those.integers("size", lot)
        rest = subticks(price % tick, tick)
        unended += not block.fields.text.endswith(b"\n")
        executed.append(traded(price // tick, rest, size, instrument, those.refuse))
        last = int(stamps[-1])
        parts.append(part)
    if not parts:
        raise InvalidArgument(f"{message_path}: is empty", argument="path", value=str(message_path))
    message = joined(parts)

    width = first_line(book_path).count(b",") + 1
    if width % 4:
        refuse(book_path, 0, f"has {width} fields; an order book has four for each level")
    parts = []
    for block in rows(book_path, width, _BOOK, progress=book_progress):
        part = {name: block.integers(name) for name in ("ask", "bid")}
        unended += not block.fields.text.endswith(b"\n")
        part |= {name: block.integers(name, lot) for name in ("ask_size", "bid_size")}
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
        parts.append(part)
    n = len(message["time"])
    n_book = sum(len(part["bid"]) for part in parts)
    if n_book != n:
        raise InvalidArgument(
            f"{book_path}: {n_book} rows for {n} messages; the two files must match row for row",
            argument="path",
            value=str(book_path),
        )
    book = joined(parts)

    halts = _halt(message["type"], message["price"], book)
    time = message["time"] + midnight
    trade = np.flatnonzero((message["type"] == 4) | (message["type"] == 5))
    quotes = Quotes(time, book["bid"], book["ask"], book["bid_size"], book["ask_size"])
    trades = Trades(
        time[trade],
        side=-message["direction"][trade],
        flags=np.where(message["type"][trade] == 5, HIDDEN, 0),
        **joined(executed),
    )
    # Row i of the table is the trade of message i, if it is one, and then its quote.
    kind = np.full(n + len(trade), QUOTE, dtype=np.uint8)
    kind[trade + np.arange(len(trade))] = TRADE
    ignored = {"cross": int(np.count_nonzero(message["type"] == 6))}
    source: dict[str, Any] = {
        "format": "lobster",
        "clock": "exchange",
        "files": [path.name for path in paths],
        "date": date,
        "midnight": midnight,
        "halts": halts,
        "ignored": {name: count for name, count in ignored.items() if count},
        "odd": {"last lines without an end": unended} if unended else {},
    }
    note = _LOCAL if date else f"{_LOCAL}; no date known: stamps count from midnight in New York"
    name = f"{instrument.name} {date}" if date else instrument.name
    return Events(instrument, kind, quotes, trades, name=name, clock_note=note, source=source)


def _halt(types: NDArray[np.int64], prices: NDArray[np.int64], book: Columns) -> int:
    """Empty both sides from each halt to the resumption of quoting; return the number of halts."""
    changes = np.flatnonzero(types == 7)
    halts = 0
    since = -1
    for at in changes:
        if prices[at] == -1 and since < 0:
            since = int(at)
            halts += 1
        elif prices[at] in (0, 1) and since >= 0:
            _absent(book, since, int(at))
            since = -1
        elif prices[at] not in (-1, 0, 1):
            raise Unsupported(f"trading status {prices[at]} (type 7) in message row {at + 1}")
    if since >= 0:
        _absent(book, since, len(types))
    return halts


def _absent(book: Columns, start: int, end: int) -> None:
    for name, value in (("bid", NO_BID), ("ask", NO_ASK), ("bid_size", 0), ("ask_size", 0)):
        book[name][start:end] = value


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
