"""Binance websocket captures: one message a line, after the local stamp of its arrival.

A line is the local receive time (ns since the epoch, 19 digits), a blank, and the message as it
came, a combined stream or a bare event::

    1723161255088165267 {"stream":"ethusdt@bookTicker","data":{"e":"bookTicker",…,"b":"2681.62",…}}

- ``bookTicker`` becomes a quote row, ``trade`` a trade row, in the order of the file. With
  ``quotes="depth"`` the quotes are the top of the book that the REST snapshot and the ``depthUpdate``
  messages rebuild (:mod:`.order_book`), one row each time it changes.
- A gap or a regress in the sequence of the differences empties both sides until a snapshot mends the book;
  what was odd is counted in ``source["odd"]``.
- ``m`` true (the buyer was the maker) is a seller-initiated trade: side −1.
- A trade whose id ``t`` came before is left out and counted in ``source["ignored"]``; with other content it
  is refused.
- Only trades with ``X`` = MARKET, or without X, count; insurance fund and liquidation entries don't.
- Every other stream (aggTrade, …) is counted in ``source["ignored"]``.
- Prices and sizes are decimal strings in the message and are parsed as such.
- ``T``, in ms (13 digits) or µs (16), is the exchange's stamp; spot bookTicker has none.

The two clocks are never mixed. Where local stamps are *before* the exchange's, ``clock_note`` says
by how much; nothing is corrected, since the order of the file is when we could have known.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..decimals import parse, parse_floor
from ..errors import ConflictError, InvalidArgument, OutOfBounds, Unsupported
from ..events import QUOTE, TRADE, Events, Quotes, Trades, pieces
from ..parameters import expect
from .columns import EARLIEST, LATEST, Columns, none_of, possible_prices, quoted_side, traded
from .order_book import OrderBook
from .repeats import Repeats
from .table import Table
from .text import Progress, asking, blocks, refuse, refusing

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["GRIDS", "known_instrument", "read"]

GRIDS = {"BTCUSDT": ("0.1", "0.001"), "ETHUSDT": ("0.01", "0.001")}
"""Tick and lot of the USD-M perpetuals that need no ``instrument=``."""

_STREAM = re.compile(rb'"(?:stream|e)"\s*:\s*"([^"]+)"')
# Near the start of the line: the stream's or the event's name. Most of a capture is depth, which is
# told apart without reading its JSON.
_WANTED = {
    "bookTicker": re.compile(rb'@(?:bookTicker|trade)"|"e"\s*:\s*"(?:bookTicker|trade)"|^\{"u":'),
    "depth": re.compile(rb'@(?:depth(?:@\d+ms)?|trade)"|"e"\s*:\s*"(?:depthUpdate|trade)"|^\{"lastUpdateId"'),
}
_LOOK = 120
_MS = 10**6
_BINS = 1 << 16


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    symbol: str | None = None,
    quotes: str = "bookTicker",
) -> Events:
    """Read a capture.

    Parameters
    ----------
    paths : sequence of Path
        One file: plain, gzip, xz, zip or zstd.
    instrument : Instrument, optional
        Known for the symbols in :data:`GRIDS`.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.
    symbol : str, optional
        Which one, in a capture of several.
    quotes : {"bookTicker", "depth"}
        The stream that the quotes come from.

    Raises
    ------
    InvalidArgument
        A line that is not a stamp and a message, a stamp that falls, a symbol that needs an
        instrument; names file and line.
    """
    (path,) = paths
    expect("symbol", symbol, (str, type(None)), "a text or None")
    if not isinstance(quotes, str) or quotes not in _WANTED:
        raise InvalidArgument(argument="quotes", value=quotes, allowed=f"one of {', '.join(_WANTED)}")
    taken = ("trade", "bookTicker" if quotes == "bookTicker" else "depthUpdate")
    book, repeats = OrderBook(), Repeats(path)
    wanted = symbol.upper() if symbol else None
    ignored: Counter[str] = Counter()
    symbols: set[str] = set()
    others = False
    messages = 0
    kind = bytearray()
    # local, exchange, line; bid, bid size, ask, ask size / price, size, side. Text becomes integers
    # a block at a time: a day's capture does not fit into memory as Python objects.
    quote_rows: list[tuple[Any, ...]] = []
    trade_rows: list[tuple[Any, ...]] = []
    depth_rows: list[tuple[Any, ...]] = []
    table = Table() if into is None else into
    last = 0
    for text, start in blocks(path, progress):
        for line, record in enumerate(text.split(b"\n"), start):
            if not record or record.isspace():
                continue
            if not (record[:19].isdigit() and record[19:20] == b" "):
                refuse(path, line, "does not start with a local stamp of 19 digits (ns) and a blank")
            local = int(record[:19])
            if not EARLIEST <= local <= LATEST:
                refuse(path, line, f"local stamp {local} lies outside the years 1990 to 2199: is it in ns?")
            if local < last:
                refuse(path, line, f"local stamp {local} is earlier than {last} before it")
            last = local
            head = record[20 : 20 + _LOOK]
            if not _WANTED[quotes].search(head):
                ignored[_name(head, path, line)] += 1
                continue
            try:
                message = json.loads(record[20:].decode())
                data = message.get("data", message)
                if quotes == "depth" and "lastUpdateId" in message:
                    stamp = message.get("T")
                    exchange = local if stamp is None else _exchange(stamp)
                    depth_rows.append((local, exchange, line, len(kind), message))
                    kind.append(QUOTE)
                    continue
                event = data.get("e", "bookTicker")
                if event not in taken:
                    ignored[_name(head, path, line)] += 1
                    continue
                found = data["s"]
                if not isinstance(found, str):
                    raise ValueError(f"its symbol s is {json.dumps(found)} and not a text")
                if wanted is not None and found != wanted:
                    others = True
                    ignored[f"{found} {event}"] += 1
                    continue
                symbols.add(found)
                stamp = data.get("T")
                exchange = local if stamp is None else _exchange(stamp)
                if event == "depthUpdate":
                    depth_rows.append((local, exchange, line, len(kind), data))
                    kind.append(QUOTE)
                elif event == "bookTicker":
                    quote_rows.append((local, exchange, line, data["b"], data["B"], data["a"], data["A"]))
                    kind.append(QUOTE)
                elif data.get("X", "MARKET") != "MARKET":
                    ignored[f"trade X={data['X']}"] += 1
                else:
                    side = _side(data["m"])
                    content = data["p"], data["q"], side, exchange
                    if not repeats.has(data.get("t"), content, line):
                        trade_rows.append((local, exchange, line, data["p"], data["q"], side))
                        kind.append(TRADE)
            except ConflictError:
                raise
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                refuse(path, line, f"is not a {' or '.join(reversed(taken))} message: {_fault(error)}")
            if len(symbols) > 1:
                names = ", ".join(sorted(symbols))
                what = f"a second symbol ({names}): name one"
                refuse(path, line, what, argument="symbol", advice=f"pass symbol={found!r}")
        if symbols and instrument is None:
            instrument = known_instrument(path, *symbols)
        if instrument is None or not kind:
            continue
        part: dict[str, Any] = {}
        if quote_rows:
            part["quotes"] = Quotes(**_quotes(path, quote_rows, instrument))
        if depth_rows:
            part["quotes"] = Quotes(**_depth(path, depth_rows, instrument, book, kind))
        if trade_rows:
            part["trades"] = Trades(**_trades(path, trade_rows, instrument))
        order = np.frombuffer(bytes(kind), dtype=np.uint8)
        table.add(Events(instrument, order[order != 0], **part))
        messages += len(kind)
        for rows in (quote_rows, depth_rows, trade_rows, kind):
            rows.clear()
    if not messages or not symbols or instrument is None:
        where = f" of {wanted}" if wanted else ""
        held = ", ".join(f"{count:,} of {name}" for name, count in sorted(ignored.items())) or "nothing"
        raise InvalidArgument(
            f"{path}: no {' or '.join(reversed(taken))} message{where}; its messages: {held}",
            argument="path",
            value=str(path),
        )
    if repeats.count:
        ignored["repeated ids"] += repeats.count
    (found,) = symbols
    if quotes == "depth" and not len(table.quotes):
        raise InvalidArgument(
            f"{path}: no snapshot that its depthUpdate messages join: its book is never known",
            argument="quotes",
            value=quotes,
        )
    if others and quotes == "depth":
        raise Unsupported(
            f"{path}: the snapshots of a capture of several symbols do not say whose they are: "
            "quotes='bookTicker' needs none"
        )
    source: dict[str, Any] = {
        "format": "binance",
        "files": [path.name],
        "symbol": found,
        "clock": "local",
        "ignored": dict(sorted(ignored.items())),
        "odd": dict(sorted(book.odd.items())),
    }
    note = "the exchange's stamps are missing: ours stand for them"
    delays = _delays(table.quotes, table.trades)
    if delays is not None:
        source["latency"] = delays
        low, median, high = (f"{delays[which] / 1e9:+.3f} s" for which in ("min", "median", "max"))
        note = f"local - exchange stamps: median {median} ({low} to {high})"
        if delays["min"] < 0:
            behind = f"{-delays['median'] / 1e9:.3f} s" if delays["median"] < 0 else "at times"
            note += (
                f"; the local clock runs {behind} behind the exchange's: merge by clock='exchange', or "
                "correct it (mm.clocks.correct, --correct-clock true)"
            )
    return table.events(instrument, clock_note=note, source=source)


def _delays(*tables: Quotes | Trades) -> dict[str, int] | None:
    """Return the least, the median and the largest of local - exchange stamps, where they differ; or None.

    The median is looked for in ever narrower bins of a histogram, so that nothing has to be sorted.
    """

    def found() -> Iterator[NDArray[np.int64]]:
        for table in tables:
            for rows in pieces(len(table)):
                delays = table.local_time[rows] - table.exchange_time[rows]
                if len(delays := delays[delays != 0]):  # which is no stamp of the exchange
                    yield delays

    count = sum(map(len, found()))
    if not count:
        return None
    least, most = min(int(part.min()) for part in found()), max(int(part.max()) for part in found())
    low, high, below = least, most, 0
    while low < high:
        width = -(-(high - low + 1) // _BINS)
        bins = np.zeros(_BINS, dtype=np.int64)
        for part in found():
            inside = part[(part >= low) & (part <= high)]
            bins += np.bincount((inside - low) // width, minlength=_BINS)
        ends = below + np.cumsum(bins)
        at = int(np.searchsorted(ends, count // 2, "right"))
        below = int(ends[at - 1]) if at else below
        low, high = low + at * width, min(low + (at + 1) * width - 1, high)
    return {"min": least, "median": low, "max": most}


def known_instrument(path: Path, symbol: str, market: str = "futures") -> Instrument:
    """Return the instrument of a symbol whose grid is known, or refuse the file; spot has another grid."""
    from ..instruments import Currency, Instrument

    if symbol not in GRIDS or market != "futures":
        of = symbol if market == "futures" else f"{symbol} ({market})"
        raise asking(
            path,
            f"the tick and lot of {of} are not known here: it needs an instrument",
            "instrument",
            f"pass instrument=Instrument({symbol!r}, tick=…, lot=…)",
        )
    tick, lot = GRIDS[symbol]
    return Instrument(symbol, tick=tick, lot=lot, currency=Currency("USDT"))


def _column(
    path: Path, rows: list[tuple[Any, ...]], place: int, name: str, step: Decimal, floor: bool = False
) -> Any:
    texts, grid = [row[place] for row in rows], f"{step:f}"
    try:
        return parse_floor(texts, grid) if floor else parse(texts, grid)
    except (InvalidArgument, OutOfBounds) as error:
        if error.index is None:
            raise
        what = "is too large" if isinstance(error, OutOfBounds) else f"is not {error.allowed}"
        refuse(path, rows[error.index][2], f"{name}: {error.value!r} {what}", type(error))


def _stamps(rows: list[tuple[Any, ...]]) -> Columns:
    return {
        "local_time": np.array([row[0] for row in rows], dtype=np.int64),
        "exchange_time": np.array([row[1] for row in rows], dtype=np.int64),
    }


def _quotes(path: Path, rows: list[tuple[Any, ...]], instrument: Instrument) -> Columns:
    part = _stamps(rows)
    wrong = refusing(path, [row[2] for row in rows])
    for side, place in (("bid", 3), ("ask", 5)):
        price = _column(path, rows, place, side, instrument.tick)
        size = _column(path, rows, place + 1, f"{side} size", instrument.lot)
        part |= quoted_side(side, price, size, price == 0, instrument, wrong)
    return part


def _depth(
    path: Path, rows: list[tuple[Any, ...]], instrument: Instrument, book: OrderBook, kind: bytearray
) -> Columns:
    """Lead the book through the messages of a block; return its top where that changed.

    The place of each message in `kind` stays a quote's where it made one and becomes 0 where not.
    """
    levels: list[tuple[Any, ...]] = []  # price, size, line: of all messages, so that they are parsed at once
    ends = []
    for _, _, line, _, message in rows:
        keys = ("bids", "asks") if "lastUpdateId" in message else ("b", "a")
        try:
            for key in keys:
                levels += [(price, size, line) for price, size in message[key]]
                ends.append(len(levels))
        except KeyError as error:
            refuse(path, line, f"is no message about depth: {_fault(error)}")
        except (ValueError, TypeError):
            refuse(path, line, "is no message about depth: its levels are not pairs of price and size")
    price = _column(path, [(text, 0, line) for text, _, line in levels], 0, "price", instrument.tick)
    size = _column(path, [(text, 0, line) for _, text, line in levels], 0, "size", instrument.lot)
    wrong = refusing(path, [line for _, _, line in levels])
    possible_prices("price", price, instrument, wrong)
    none_of(size < 0, "size: is negative", wrong)
    pairs = list(zip(price.tolist(), size.tolist(), strict=True))
    made = []
    start, top = 0, book.top
    for (local, exchange, line, place, message), middle, end in zip(rows, ends[::2], ends[1::2], strict=True):
        bids, asks, start = pairs[start:middle], pairs[middle:end], end
        try:
            if "lastUpdateId" in message:
                last = _number(message, "lastUpdateId")
                book.snapshot(last, [p for p in bids if p[1]], [p for p in asks if p[1]])
            else:
                previous = _number(message, "pu") if "pu" in message else _number(message, "U") - 1
                book.update(previous, _number(message, "u"), bids, asks)
        except ValueError as error:
            refuse(path, line, f"is no message about depth: {_fault(error)}")
        if book.top == top:
            kind[place] = 0
        else:
            top = book.top
            made.append((local, exchange, *top))
    columns = np.array(made, dtype=np.int64).reshape(len(made), 6).T.copy()
    names = ("local_time", "exchange_time", "bid", "bid_size", "ask", "ask_size")
    return dict(zip(names, columns, strict=True))


def _number(message: Any, key: str) -> int:
    value = message.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"its {key} is {json.dumps(value)} and not a whole number")
    return value


def _trades(path: Path, rows: list[tuple[Any, ...]], instrument: Instrument) -> Columns:
    price, subtick = _column(path, rows, 3, "price", instrument.tick, floor=True)
    size = _column(path, rows, 4, "size", instrument.lot)
    part = traded(price, subtick, size, instrument, refusing(path, [row[2] for row in rows]))
    return _stamps(rows) | part | {"side": np.array([row[5] for row in rows], dtype=np.int8)}


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
    """Return an exchange's stamp in ns: ms have 13 digits, µs 16, until int64 ns end in the year 2262."""
    if isinstance(stamp, int) and not isinstance(stamp, bool):
        if 10**12 <= stamp < 2**63 // _MS:
            return stamp * _MS
        if 10**15 <= stamp < 2**63 // 1000:
            return stamp * 1000
    raise ValueError(f"its stamp T is {json.dumps(stamp)}, neither in ms (13 digits) nor in µs (16 digits)")


def _side(maker: Any) -> int:
    if not isinstance(maker, bool):
        raise ValueError(f"m, whether the buyer was the maker, is {json.dumps(maker)} and not true or false")
    return -1 if maker else 1


def _fault(error: Exception) -> str:
    """Say in words what is wrong with a message."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    if isinstance(error, json.JSONDecodeError):
        return f"its JSON is broken at character {error.pos + 21}"  # the stamp and the blank stand before it
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "its JSON is nested without end"
    return str(error) if type(error) is ValueError else "it has another form"
