"""Binance websocket captures: one message a line, after the local stamp of its arrival.

A line is the local receive time (ns since the epoch, 19 digits), a blank, and the message as it
came, a combined stream or a bare event::

    1723161255088165267 {"stream":"ethusdt@bookTicker","data":{"e":"bookTicker",…,"b":"2681.62",…}}

- ``bookTicker`` becomes a quote row, ``trade`` a trade row, in the order of the file.
- ``m`` true (the buyer was the maker) is a seller-initiated trade: side −1.
- Only trades with ``X`` = MARKET, or without X, count; insurance fund and liquidation entries don't.
- Every other stream (depth, aggTrade, REST snapshots, …) is counted in ``source["ignored"]``.
- Prices and sizes are decimal strings in the message and are parsed as such.
- ``T``, in ms (13 digits) or µs (16), is the exchange's stamp; spot bookTicker has none.

The two clocks are never mixed. Where local stamps are *before* the exchange's, ``clock_note`` says
by how much; nothing is corrected, since the order of the file is when we could have known.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..decimals import parse, parse_floor
from ..errors import InvalidArgument, OutOfBounds
from ..events import NO_ASK, NO_BID, QUOTE, TRADE, Events, Quotes, Trades
from .text import Progress, blocks, refuse

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["GRIDS", "read"]

GRIDS = {"BTCUSDT": ("0.1", "0.001"), "ETHUSDT": ("0.01", "0.001")}
"""Tick and lot of the USD-M perpetuals that need no ``instrument=``."""

_STREAM = re.compile(rb'"(?:stream|e)"\s*:\s*"([^"]+)"')
# Near the start of the line: the stream's or the event's name. Most of a capture is depth, which is
# told apart without reading its JSON.
_WANTED = re.compile(rb'@(?:bookTicker|trade)"|"e"\s*:\s*"(?:bookTicker|trade)"|^\{"u":')
_LOOK = 120
_MS = 10**6


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    *,
    symbol: str | None = None,
) -> Events:
    """Read a capture.

    Parameters
    ----------
    paths : sequence of Path
        One file: plain, gzip or xz.
    instrument : Instrument, optional
        Known for the symbols in :data:`GRIDS`.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    symbol : str, optional
        Which one, in a capture of several.

    Raises
    ------
    InvalidArgument
        A line that is not a stamp and a message, a stamp that falls, a symbol that needs an
        instrument; names file and line.
    """
    from ..instruments import Currency, Instrument

    (path,) = paths
    wanted = symbol.upper() if symbol else None
    ignored: Counter[str] = Counter()
    symbols: set[str] = set()
    kind = bytearray()
    # local, exchange, line; bid, bid size, ask, ask size / price, size; side
    quote_rows: list[tuple[Any, ...]] = []
    trade_rows: list[tuple[Any, ...]] = []
    last = 0
    for text, start in blocks(path, progress):
        for line, record in enumerate(text.split(b"\n"), start):
            if not record or record.isspace():
                continue
            if not (record[:19].isdigit() and record[19:20] == b" "):
                refuse(path, line, "does not start with a local stamp of 19 digits (ns) and a blank")
            local = int(record[:19])
            if local < last:
                refuse(path, line, f"local stamp {local} is earlier than {last} before it")
            last = local
            head = record[20 : 20 + _LOOK]
            if not _WANTED.search(head):
                ignored[_name(head, path, line)] += 1
                continue
            try:
                message = json.loads(record[20:])
                data = message.get("data", message)
                event = data.get("e", "bookTicker")
                if event not in ("bookTicker", "trade"):
                    ignored[_name(head, path, line)] += 1
                    continue
                found = data["s"]
                if wanted is not None and found != wanted:
                    ignored[f"{found} {event}"] += 1
                    continue
                symbols.add(found)
                stamp = data.get("T")
                exchange = local if stamp is None else _exchange(stamp)
                if event == "bookTicker":
                    quote_rows.append((local, exchange, line, data["b"], data["B"], data["a"], data["A"]))
                    kind.append(QUOTE)
                elif data.get("X", "MARKET") != "MARKET":
                    ignored[f"trade X={data['X']}"] += 1
                else:
                    side = {True: -1, False: 1}[data["m"]]
                    trade_rows.append((local, exchange, line, data["p"], data["q"], side))
                    kind.append(TRADE)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                refuse(path, line, f"is not a bookTicker or trade message ({type(error).__name__}: {error})")
            if len(symbols) > 1:
                names = ", ".join(sorted(symbols))
                refuse(path, line, f"a second symbol ({names}): name one with symbol=")
    if not kind:
        where = f" of {wanted}" if wanted else ""
        raise InvalidArgument(
            f"{path}: no bookTicker or trade message{where}; it holds {dict(ignored) or 'nothing'}",
            argument="path",
            value=str(path),
        )
    (found,) = symbols
    if instrument is None:
        if found not in GRIDS:
            raise InvalidArgument(
                f"{path}: the tick and lot of {found} are not known here: pass "
                f"instrument=Instrument({found!r}, tick=…, lot=…)",
                argument="instrument",
                value=None,
                allowed="an Instrument",
            )
        tick, lot = GRIDS[found]
        instrument = Instrument(found, tick=tick, lot=lot, currency=Currency("USDT"))

    def column(rows: list[tuple[Any, ...]], place: int, name: str, step: Decimal, floor: bool = False) -> Any:
        texts, grid = [row[place] for row in rows], f"{step:f}"
        try:
            return parse_floor(texts, grid) if floor else parse(texts, grid)
        except (InvalidArgument, OutOfBounds) as error:
            if error.index is None:
                raise
            large = isinstance(error, OutOfBounds)
            what = "is too large" if large else f"is not {error.allowed}"
            refuse(path, rows[error.index][2], f"{name}: {error.value!r} {what}", type(error))

    local_times, exchange_times = ([row[i] for row in quote_rows] for i in (0, 1))
    tick_, lot_ = instrument.tick, instrument.lot
    book = {}
    for name, place, absent in (("bid", 3, NO_BID), ("ask", 5, NO_ASK)):
        price = column(quote_rows, place, name, tick_)
        size = column(quote_rows, place + 1, f"{name} size", lot_)
        missing = (size == 0) | (price == 0)
        book[name] = np.where(missing, absent, price), np.where(missing, 0, size)
    quotes = Quotes(
        _times(local_times),
        book["bid"][0],
        book["ask"][0],
        book["bid"][1],
        book["ask"][1],
        exchange_time=_times(exchange_times),
    )
    price, subtick = column(trade_rows, 3, "price", tick_, floor=True)
    size = column(trade_rows, 4, "size", lot_)
    for wrong, what in (
        ((price < 0) | ((price == 0) & (subtick == 0)), "price: an execution at no price"),
        (size <= 0, "size: an execution of nothing"),
    ):
        if wrong.any():
            refuse(path, trade_rows[int(np.argmax(wrong))][2], what)
    trades = Trades(
        _times([row[0] for row in trade_rows]),
        price=price,
        subtick=subtick,
        size=size,
        side=np.array([row[5] for row in trade_rows], dtype=np.int8),
        exchange_time=_times([row[1] for row in trade_rows]),
    )
    source: dict[str, Any] = {
        "format": "binance",
        "files": [path.name],
        "symbol": found,
        "ignored": dict(sorted(ignored.items())),
    }
    note = "the exchange's stamps are missing: ours stand for them"
    latency = np.concatenate([s.local_time - s.exchange_time for s in (quotes, trades)])
    latency = latency[latency != 0]  # no stamp of the exchange
    if len(latency):
        middle = len(latency) // 2
        delays = {
            "min": int(latency.min()),
            "median": int(np.partition(latency, middle)[middle]),
            "max": int(latency.max()),
        }
        source["latency"] = delays
        low, median, high = (f"{delays[which] / 1e9:+.3f} s" for which in ("min", "median", "max"))
        note = f"local - exchange stamps: median {median} ({low} to {high})"
        if delays["min"] < 0:
            behind = f"{-delays['median'] / 1e9:.3f} s" if delays["median"] < 0 else "at times"
            note += f"; the local clock runs {behind} behind the exchange's: never merge the two"
    order = np.frombuffer(bytes(kind), dtype=np.uint8)
    return Events(instrument, order, quotes, trades, name=instrument.name, clock_note=note, source=source)


def _name(head: bytes, path: Path, line: int) -> str:
    match = _STREAM.search(head)
    if match:
        return match[1].decode("utf-8", "backslashreplace")
    if b'"lastUpdateId"' in head:
        return "snapshot"
    if not head.lstrip().startswith((b"{", b"[")):
        refuse(path, line, "has no JSON message after the local stamp")
    return "unknown"


def _exchange(stamp: int) -> int:
    """Return an exchange's stamp in ns: ms have 13 digits until the year 2286, µs have 16."""
    if not isinstance(stamp, int):
        raise ValueError(f"T = {stamp!r} is not an integer")
    if 10**12 <= stamp < 10**13:
        return stamp * _MS
    if 10**15 <= stamp < 10**16:
        return stamp * 1000
    raise ValueError(f"T = {stamp} is neither in ms nor in µs")


def _times(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)
