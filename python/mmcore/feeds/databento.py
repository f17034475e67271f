"""Databento Binary Encoding (DBN): fixed-width records, plain or zstd (extra ``databento``).

========== ===========================================================================================
schema     what its records become
========== ===========================================================================================
trades     a trade each
tbbo       a trade each, after the quote that stood just before it
mbp-1,     a trade where the action is T, else the quote that the record leaves behind
mbp-10
mbo        a trade where the action is T; a quote where the exchange's event ends (the flag "last") and the
           top of the book of its orders is another than before
========== ===========================================================================================

- Prices are int64 in 10⁻⁹; INT64_MAX, as a size of 0, is an absent side.
- Side B is a buyer-initiated trade, A a seller-initiated one, N unknown.
- Records with the actions F (fill) and N (none) do not change the book: left out, as are records of other
  kinds (symbol mappings, statuses, …); both are counted in ``source["ignored"]``.
- The book of mbo is made of A (add), C (cancel, in whole or in part), M (modify) and R (clear), snapshots
  among them. It is not known, and has no sides, before the first R: a file that begins within a day without a
  snapshot has trades only. ``source["odd"]`` counts what does not fit it. Records of price levels or of a
  top alone in the place of orders (flags "MBP", "TOB") are refused.
- ``ts_recv`` is the local stamp and ``ts_event`` the exchange's.
- A record that is flagged "maybe bad book", after a gap that could not be mended, has no sides: nothing is to
  be quoted then. ``source["odd"]`` counts these and bad receive stamps.

``databento_dbn`` reads the metadata and says how records are laid out; they are read in blocks through NumPy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, InvalidArgument, MissingExtra, Unsupported
from ..events import QUOTE, TRADE, Events, Quotes, Trades
from ..parameters import expect
from .columns import Columns, Refuse, none_of, plausible_stamps, quoted_side, subticks, traded
from .market_by_order import MarketByOrder
from .order_book import ABSENT, Top
from .table import Table
from .text import Progress, asking, unpacked

if TYPE_CHECKING:
    from ..instruments import Instrument

Stream = Callable[[int], bytes]

__all__ = ["MAGIC", "read"]

MAGIC = b"DBN"
"""How such a file begins, once it is unpacked."""

_NO_PRICE = 2**63 - 1
_MAYBE_BAD_BOOK, _BAD_RECEIVED, _PRICE_LEVEL, _TOP_ALONE, _LAST = 4, 8, 16, 64, 128  # flags
_CHANGES = (b"A", b"C", b"M", b"R")  # of the book
_ACTIONS = (*_CHANGES, b"T", b"F", b"N")
_SIDES = {b"B": 1, b"A": -1, b"N": 0}
_UNIT = 10**9
_RECORDS = 1 << 15


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    symbol: str | None = None,
    venue: str | None = None,
) -> Events:
    """Read a file of one schema.

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
    symbol : str, optional
        Which one, in a file of several.
    venue : str, optional
        Number of the publisher, in a file of several.

    Raises
    ------
    MissingExtra
        Without ``databento_dbn``.
    Unsupported
        A schema that is not in the table above.
    InvalidArgument
        Several symbols or publishers and none named, a price off the tick, a stamp that falls; names the
        record.
    CorruptError
        Not such a file, damaged or cut short.
    """
    (path,) = paths
    expect("symbol", symbol, (str, type(None)), "a text or None")
    expect("venue", venue, (str, type(None)), "a text or None")
    try:
        import databento_dbn as dbn
    except ImportError:
        raise MissingExtra(f"{path}: DBN", "databento") from None
    if instrument is None:
        raise asking(
            path,
            "a DBN file does not say its tick: it needs an instrument",
            "instrument",
            "pass instrument=Instrument(name, tick=…, lot=…)",
        )
    if any(unit % 1 or not 0 < unit < 2**62 for unit in _units(instrument)):
        allowed = "with a tick that is a multiple of 1e-9 and a lot that is whole"
        raise InvalidArgument(argument="instrument", value=instrument.name, allowed=allowed)
    layouts: dict[str, tuple[Any, int]] = {
        "trades": (dbn.TradeMsg, 0),
        "tbbo": (dbn.MBP1Msg, 1),
        "mbp-1": (dbn.MBP1Msg, 1),
        "mbp-10": (dbn.MBP10Msg, 10),
        "mbo": (dbn.MBOMsg, 160),
    }
    ignored: Counter[str] = Counter()
    odd: Counter[str] = Counter()
    table = Table() if into is None else into
    seen: dict[str, int] = {}
    orders = _Orders(path, instrument, odd)
    last = -(2**63)
    with unpacked(path, progress) as stream:
        schema, wanted = _metadata(path, stream, dbn, symbol)
        if schema not in layouts:
            raise Unsupported(f"{path}: the schema {schema}; read are {', '.join(layouts)}")
        message, kind_of_record = layouts[schema]
        dtype = np.dtype(message._dtypes)
        for first, block in _records(path, stream, dtype, kind_of_record, ignored):
            mine = _of_one(path, block, "instrument_id", wanted, "symbol", seen, ignored)
            mine &= _of_one(path, block, "publisher_id", _publisher(venue), "venue", seen, ignored)
            action = block["action"]
            for code, what in ((b"F", "fills"), (b"N", "no action")):
                if dropped := int(np.count_nonzero(mine & (action == code))):
                    ignored[what] += dropped
            traded = mine & (action == b"T")
            quoted = mine & ~traded & (action != b"F") & (action != b"N") & (schema != "trades")
            if schema == "tbbo":
                quoted = traded
            elif schema == "mbo":
                quoted, tops = orders.follow(block, mine, first)
            places = np.flatnonzero(traded | quoted)
            if not len(places):
                continue
            records, traded, quoted = block[places], traded[places], quoted[places]
            places += first
            local = _stamps(path, "ts_recv", records, places)
            exchange = _stamps(path, "ts_event", records, places)
            if (falls := local < np.concatenate([[last], local[:-1]])).any():
                _refuse(path, places[np.argmax(falls)], "ts_recv: earlier than the record before it")
            last = int(local[-1])
            if bad := int(np.count_nonzero(records["flags"] & _BAD_RECEIVED)):
                odd["bad receive stamps"] += bad
            columns: dict[int, Columns] = {}
            for which, chosen in ((QUOTE, quoted), (TRADE, traded)):
                if chosen.any():
                    found = {"local_time": local[chosen], "exchange_time": exchange[chosen]}
                    if which == QUOTE and schema == "mbo":
                        found |= tops
                    elif which == QUOTE:
                        found |= _quotes(path, records[chosen], places[chosen], instrument, odd)
                    else:
                        found |= _trades(path, records[chosen], places[chosen], instrument)
                    columns[which] = found
            # At most a quote and a trade for each record: that of tbbo stood before the trade, that of mbo
            # follows it.
            both = [np.where(quoted, QUOTE, 0), np.where(traded, TRADE, 0)]
            kind = np.stack(both[::-1] if schema == "mbo" else both, axis=1).ravel()
            table.add(
                Events(
                    instrument,
                    kind[kind != 0].astype(np.uint8),
                    Quotes(**columns[QUOTE]) if QUOTE in columns else None,
                    Trades(**columns[TRADE]) if TRADE in columns else None,
                )
            )
    odd += orders.book.odd
    return table.events(
        instrument,
        source={
            "format": "databento",
            "files": [path.name],
            "schema": schema,
            "clock": "local",
            "ignored": dict(sorted(ignored.items())),
            "odd": dict(sorted(odd.items())),
        },
    )


def _units(instrument: Instrument) -> tuple[Decimal, Decimal]:
    """Return tick and lot in what the records count."""
    return Decimal(instrument.tick) * _UNIT, Decimal(instrument.lot)


def _refuse(path: Path, record: Any, what: str) -> NoReturn:
    """Raise an error about a record, counted from 0 here and from 1 for people."""
    raise InvalidArgument(
        f"{path}, record {record + 1}: {what}", argument="path", value=str(path), index=int(record)
    )


def _refusing(path: Path, places: NDArray[np.int64]) -> Refuse:
    """Return :func:`_refuse` for some records."""
    return lambda row, what: _refuse(path, places[row], what)


def _metadata(path: Path, stream: Stream, dbn: Any, symbol: str | None) -> tuple[str, set[int] | None]:
    """Read the head of a file: its schema, and the ids of the symbol."""
    head = stream(8)
    if len(head) < 8 or head[:3] != MAGIC:
        raise CorruptError(f"{path}: not a DBN file (starts with {head[:8]!r})")
    length = int.from_bytes(head[4:], "little")
    body = stream(length)
    if len(body) < length:
        raise CorruptError(f"{path}: damaged or cut short in its metadata")
    try:
        found = dbn.Metadata.decode(head + body)
    except Exception as error:  # of the library's own kinds, some of which it does not name
        raise CorruptError(f"{path}: its metadata cannot be read ({error})") from error
    if found.ts_out:
        raise Unsupported(f"{path}: records with ts_out")
    if symbol is None:
        return str(found.schema), None
    if symbol not in found.mappings:
        known = ", ".join(sorted(found.mappings)) or "none"
        raise InvalidArgument(
            f"{path}: no symbol {symbol!r}; it has {known}", argument="symbol", value=symbol
        )
    ids = {int(interval["symbol"]) for interval in found.mappings[symbol] if interval["symbol"]}
    return str(found.schema), ids


def _records(
    path: Path, stream: Stream, dtype: np.dtype[Any], kind: int, ignored: Counter[str]
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield blocks of records of one layout, each with the number of its first; others are counted."""
    size = dtype.itemsize
    rest = b""
    number = 0
    while True:
        block = stream(size * _RECORDS)
        data = rest + block
        at = 0
        while at < len(data):
            whole = np.frombuffer(data, dtype, (len(data) - at) // size, at)
            other = np.flatnonzero((whole["length"] != size // 4) | (whole["rtype"] != kind))
            alike = int(other[0]) if len(other) else len(whole)
            if alike:
                yield number, whole[:alike]
                number += alike
                at += alike * size
                continue
            length = data[at] * 4
            if length < 16:
                raise CorruptError(f"{path}, record {number + 1}: a length of {length} bytes")
            if at + length > len(data) or len(data) < at + 2:  # its end is still to come
                break
            ignored[f"records of type {data[at + 1]}"] += 1
            number += 1
            at += length
        rest = data[at:]
        if not block:
            break
    if rest:
        raise CorruptError(f"{path}: cut short in record {number + 1}")


def _publisher(venue: str | None) -> set[int] | None:
    if venue is None:
        return None
    if not venue.isdecimal():
        raise InvalidArgument(argument="venue", value=venue, allowed="the number of a publisher")
    return {int(venue)}


def _of_one(
    path: Path,
    records: NDArray[Any],
    name: str,
    kept: set[int] | None,
    argument: str,
    seen: dict[str, int],
    ignored: Counter[str],
) -> NDArray[np.bool_]:
    """Return where the records are of one instrument, or publisher; where none is named there must be one."""
    ids = records[name]
    if kept is not None:
        mine = np.isin(ids, list(kept))
        if others := int(np.count_nonzero(~mine)):
            ignored[f"other {argument}s"] += others
        return mine
    first = seen.setdefault(name, int(ids[0]))
    if (differs := ids != first).any():
        raise InvalidArgument(
            f"{path}: {name} {first} and {int(ids[np.argmax(differs)])}: name one",
            argument=argument,
            value=str(path),
        )
    return np.ones(len(ids), dtype=bool)


def _stamps(path: Path, name: str, records: NDArray[Any], places: NDArray[np.int64]) -> NDArray[np.int64]:
    stamps = records[name]
    if (beyond := stamps >= 2**63).any():
        _refuse(path, places[np.argmax(beyond)], "a stamp that is undefined, or beyond the year 2262")
    whole = stamps.astype(np.int64)
    plausible_stamps(name, whole, _refusing(path, places))
    return whole


def _quotes(
    path: Path, part: NDArray[Any], places: NDArray[np.int64], instrument: Instrument, odd: Counter[str]
) -> Columns:
    tick, lot = map(int, _units(instrument))
    bad = (part["flags"] & _MAYBE_BAD_BOOK) != 0
    if bad.any():
        odd["maybe bad book"] += int(np.count_nonzero(bad))
    wrong = _refusing(path, places)
    columns: Columns = {}
    for side in ("bid", "ask"):
        price = part[f"{side}_px_00"].astype(np.int64)
        size = part[f"{side}_sz_00"].astype(np.int64)
        absent = (price == _NO_PRICE) | (size == 0) | bad | (part["action"] == b"R")
        for values, unit, what in ((price, tick, f"{side} price"), (size, lot, f"{side} size")):
            if (off := ~absent & (values % unit != 0)).any():
                at = int(np.argmax(off))
                wrong(at, f"{what}: {int(values[at])} is off the grid of the instrument")
        columns |= quoted_side(side, price // tick, size // lot, absent, instrument, wrong)
    return columns


class _Orders:
    """Makes quotes of single orders, over the blocks of a file."""

    def __init__(self, path: Path, instrument: Instrument, odd: Counter[str]) -> None:
        self.path, self.instrument, self.odd = path, instrument, odd
        self.tick, self.lot = map(int, _units(instrument))
        self.book = MarketByOrder()
        self.known = False  # since the first clear
        self.bad = False  # within the event that has not ended
        self.told: Top = ABSENT

    def follow(
        self, records: NDArray[Any], mine: NDArray[np.bool_], first: int
    ) -> tuple[NDArray[np.bool_], Columns]:
        """Return which records end an event that changed the top, and the tops then."""
        self._check(records, mine, first)
        # What neither changes the book, nor ends an event, nor says that the book is bad is passed over.
        telling = (records["flags"] & (_LAST | _MAYBE_BAD_BOOK)) != 0
        places = np.flatnonzero(mine & (np.isin(records["action"], _CHANGES) | telling))
        part = records[places]
        book = self.book
        ends: list[int] = []
        tops: list[Top] = []
        for place, action, order, bid, price, size, flag in zip(
            places.tolist(),
            part["action"].tolist(),
            part["order_id"].tolist(),
            (part["side"] == b"B").tolist(),
            (part["price"] // self.tick).tolist(),
            (part["size"] // self.lot).tolist(),
            part["flags"].tolist(),
            strict=True,
        ):
            if action == b"R":
                book.clear()
                self.known = True
            elif action in _CHANGES:
                if not self.known:
                    self.odd["orders before the first clear"] += 1
                elif action == b"A":
                    book.add(order, bid, price, size)
                elif action == b"M":
                    book.modify(order, bid, price, size)
                else:
                    book.cancel(order, size)
            self.bad |= bool(flag & _MAYBE_BAD_BOOK)
            if flag & _LAST:
                if self.bad:
                    self.odd["maybe bad book"] += 1
                top = ABSENT if self.bad else book.top
                self.bad = False
                if top != self.told:
                    self.told = top
                    ends.append(place)
                    tops.append(top)
        ended = np.zeros(len(records), dtype=bool)
        ended[ends] = True
        columns = np.array(tops, dtype=np.int64).reshape(-1, 4).T
        bid, bid_size, ask, ask_size = columns
        wrong = _refusing(self.path, first + np.array(ends, dtype=np.int64))
        return ended, {
            **quoted_side("bid", bid, bid_size, bid_size == 0, self.instrument, wrong),
            **quoted_side("ask", ask, ask_size, ask_size == 0, self.instrument, wrong),
        }

    def _check(self, records: NDArray[Any], mine: NDArray[np.bool_], first: int) -> None:
        """Refuse what is no order, before the book is changed."""
        action, price, flags = records["action"], records["price"], records["flags"]
        placed = mine & ((action == b"A") | (action == b"M"))
        sized = placed | (mine & (action == b"C"))
        wrong = _refusing(self.path, first + np.arange(len(records)))
        none_of(mine & ~np.isin(action, _ACTIONS), "action: is not A, C, M, R, T, F or N", wrong)
        alone = (flags & (_PRICE_LEVEL | _TOP_ALONE)) != 0
        none_of(placed & alone, "flags: a price level, or a top, in the place of an order", wrong)
        none_of(placed & ~np.isin(records["side"], [b"A", b"B"]), "side: is not A or B", wrong)
        none_of(placed & (price == _NO_PRICE), "price: is undefined", wrong)
        none_of(placed & (price % self.tick != 0), "price: is off the grid of the instrument", wrong)
        none_of(sized & (records["size"] % self.lot != 0), "size: is off the grid of the instrument", wrong)


def _trades(path: Path, part: NDArray[Any], places: NDArray[np.int64], instrument: Instrument) -> Columns:
    tick, lot = map(int, _units(instrument))
    price, size = part["price"].astype(np.int64), part["size"].astype(np.int64)
    side = np.zeros(len(part), dtype=np.int8)
    for code, sign in _SIDES.items():
        side[part["side"] == code] = sign
    wrong = _refusing(path, places)
    none_of(price == _NO_PRICE, "price: is undefined", wrong)
    none_of(size % lot != 0, "size: is off the grid of the instrument", wrong)
    none_of(~np.isin(part["side"], list(_SIDES)), "side: is not A, B or N", wrong)
    rest = subticks(price % tick, tick)
    return traded(price // tick, rest, size // lot, instrument, wrong) | {"side": side}
