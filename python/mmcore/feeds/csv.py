"""Plain CSV with a column map: quotes, trades, or both by a column that says which.

Our names of columns and what they hold:

=================== =============================================================================
``time``            the stamp, where there is one; or
``local_time``      when it reached us, and
``exchange_time``   when the exchange stamped it
``bid``, ``ask``    prices of a quote; empty, NaN or 0 (not above 0) is an absent side
``bid_size``,       sizes of a quote; 0 is an absent side; without these columns 1 lot
``ask_size``
``price``, ``size`` of a trade
``side``            of a trade: who initiated it; unknown without this column
``kind``            quote or trade, in a file of both
``id``              the feed's own number of a row, of quotes and of trades each: regressions and
                    repeats are counted, and what is missing in a file of trades alone
=================== =============================================================================

Several files are read as one that was split, in the order in which they are named: a row that both sides
of a split hold is told by its ``id``.

A last line that has no end may have been cut short, in the middle of a number: it is counted in
``source["odd"]``.

The readers of known layouts (:mod:`.binance_files`, :mod:`.taq`) are a :class:`Layout` each.
"""

from __future__ import annotations

import operator
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import date as Date
from decimal import Decimal, localcontext
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import ConflictError, InvalidArgument, OutOfBounds, UnknownName
from ..events import QUOTE, SUBTICKS, TRADE, Events, Quotes, Trades
from ..parameters import expect
from .columns import EARLIEST, LATEST, Columns, quoted_side, traded
from .table import Table
from .text import MISSING, Progress, Rounding, Rows, asking, cells, first_lines, refuse, rows, shares

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["COLUMNS", "KINDS", "SIDES", "Layout", "add", "read", "table"]

COLUMNS = (
    "time",
    "local_time",
    "exchange_time",
    "bid",
    "ask",
    "bid_size",
    "ask_size",
    "price",
    "size",
    "side",
    "kind",
    "id",
)
"""Our names of the columns."""
SIDES = {
    **dict.fromkeys(("buy", "BUY", "Buy", "b", "B", "1", "+1"), 1),
    **dict.fromkeys(("sell", "SELL", "Sell", "s", "S", "-1"), -1),
    **dict.fromkeys(("", "0", "unknown", "n", "N"), 0),
}
"""What the texts of a side column mean, unless ``sides=`` says otherwise."""
KINDS = {
    **dict.fromkeys(("quote", "QUOTE", "Quote", "q", "Q", "1"), QUOTE),
    **dict.fromkeys(("trade", "TRADE", "Trade", "t", "T", "2"), TRADE),
}
"""What the texts of a kind column mean, unless ``kinds=`` says otherwise."""

_UNITS = {"s": "0.000000001", "ms": "0.000001", "us": "0.001", "ns": "1"}
_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_CLOCK = re.compile(r"([^%]|%[%HIMSfpzXZ])*")  # patterns that do not say the day
_NO_DAY = datetime(1900, 1, 1, tzinfo=UTC)  # what strptime makes of it then
_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_TIME_FORMATS = '"s", "ms", "us", "ns", "iso" or a pattern such as "%Y%m%d %H:%M:%S.%f"'
_DATES = 'a day such as "2012-06-21", in the years 1700 to 2200'
_EPOCH = Date(1970, 1, 1)
_EPOCH_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400 * 10**9
_DIGITS_OF_A_PRICE = 1000  # more than any text has that is meant as one


@dataclass(frozen=True)
class Layout:
    """How the rows of a delimited file are to be read; see :func:`read` for what is not said here.

    Attributes
    ----------
    columns : mapping
        Our name → header text or place.
    where : mapping
        Header text or place → the texts whose rows are kept.
    unless : mapping
        Header text or place → the texts whose rows are left out.
    same : mapping
        Header text or place of a column that must not vary → the argument that names one of its texts.
    quote_lot : Decimal, optional
        What the sizes of quotes count, where not lots of the instrument.
    price_scale : Decimal
        What prices are to be multiplied with.
    refuse_negative : bool
        Whether a price below 0 is refused where the instrument has none such; else it is an absent side, as 0
        is there.
    """

    columns: Mapping[str, str | int] = field(default_factory=dict)
    delimiter: str = ","
    header: bool = True
    time_format: str | None = None
    date: str | None = None
    sides: Mapping[str, int] = field(default_factory=lambda: SIDES)
    kinds: Mapping[str, int] = field(default_factory=lambda: KINDS)
    rounding: Rounding = "exact"
    sort: bool = False
    where: Mapping[str | int, Sequence[str]] = field(default_factory=dict)
    unless: Mapping[str | int, Sequence[str]] = field(default_factory=dict)
    same: Mapping[str | int, str] = field(default_factory=dict)
    quote_lot: Decimal | None = None
    price_scale: Decimal = Decimal(1)
    refuse_negative: bool = False


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    columns: Mapping[str, str | int] | None = None,
    delimiter: str = ",",
    header: bool = True,
    time_format: str | None = None,
    date: str | None = None,
    sides: Mapping[str, int] | None = None,
    kinds: Mapping[str, str] | None = None,
    rounding: Rounding = "exact",
    sort: bool = False,
    where: Mapping[str | int, str | Sequence[str]] | None = None,
) -> Events:
    """Read a delimited file, or several that follow each other.

    Parameters
    ----------
    paths : sequence of Path
        Plain, gzip, xz, zip or zstd.
    instrument : Instrument
        Whose ticks and lots the numbers are counted in.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.
    columns : mapping, optional
        Our name → the file's: its header text, or its place counted from 0. What is left out is
        taken from the columns that carry our names. One column has one meaning in a row: only quotes and
        trades, which are other rows, may share theirs, and `kind` and `side`.
    delimiter : str
        One character.
    header : bool
        Whether the first line names the columns.
    time_format : str, optional
        "s", "ms", "us", "ns" (since the epoch; decimals allowed down to the ns), "iso" (ISO 8601,
        UTC unless it has an offset), or a pattern of :meth:`datetime.strptime`. Omitted: ISO or a number,
        told from the first row; the unit of a whole number is the one in which it lies in the years 1990
        to 2199, row by row.
    date : str, optional
        Stamps count from midnight (UTC) of this day; they may not say a day themselves, and lie within it,
        the day before or the day after.
    sides : mapping of str to int, optional
        Text → +1 (buyer-initiated), -1 or 0; :data:`SIDES` when omitted.
    kinds : mapping of str to str, optional
        Text → "quote" or "trade"; :data:`KINDS` when omitted.
    rounding : {"exact", "nearest", "floor", "ceil"}
        What becomes of prices off the tick and sizes off the lot. "exact" refuses them, except
        trade prices, which keep the rest in ``subtick``, as with "floor"; "nearest" is for text that
        went through a binary float ("236.61000000000001"). ``source["odd"]`` counts the sides of quotes
        of which rounding leaves nothing, and trade prices that "exact" cuts to a millionth of a tick.
    sort : bool
        Put rows whose stamps fall in order (equal stamps keep theirs) instead of refusing them.
    where : mapping, optional
        Header text or place → the text, or texts, whose rows are kept; the others are counted.

    Raises
    ------
    InvalidArgument
        What is wrong, with file and line.
    UnknownName
        A column that is not there.
    ConflictError
        An ``id`` that came again with other content.
    """
    expect("columns", columns, (Mapping, type(None)), "a mapping of our names to the file's, or None")
    expect("delimiter", delimiter, str, "one character")
    if len(delimiter) != 1:
        raise InvalidArgument(argument="delimiter", value=delimiter, allowed="one character")
    expect("header", header, bool, "True or False")
    expect("time_format", time_format, (str, type(None)), _TIME_FORMATS)
    if not (time_format in (None, "iso", *_UNITS) or "%" in cast(str, time_format)):
        raise InvalidArgument(argument="time_format", value=time_format, allowed=_TIME_FORMATS)
    expect("date", date, (str, type(None)), _DATES)
    expect("sides", sides, (Mapping, type(None)), "a mapping to +1, -1 or 0")
    expect("kinds", kinds, (Mapping, type(None)), 'a mapping to "quote" or "trade"')
    expect("rounding", rounding, str, "one of 'exact', 'floor', 'ceil', 'nearest'")
    expect("sort", sort, bool, "True or False")
    expect("where", where, (Mapping, type(None)), "a mapping of columns to the texts that are kept")
    if instrument is None:
        raise asking(
            paths[0],
            "a CSV does not say its tick and lot: it needs an instrument",
            "instrument",
            "pass instrument=Instrument(name, tick=…, lot=…)",
        )
    side_codes = dict(SIDES if sides is None else sides)
    if not all(isinstance(text, str) and code in (-1, 0, 1) for text, code in side_codes.items()):
        raise InvalidArgument(argument="sides", value=sides, allowed="a mapping to +1, -1 or 0")
    kind_codes = dict(KINDS)
    if kinds is not None:
        codes = {"quote": QUOTE, "trade": TRADE}
        if not all(isinstance(what, str) and what in codes for what in kinds.values()):
            raise InvalidArgument(argument="kinds", value=kinds, allowed='a mapping to "quote" or "trade"')
        kind_codes = {text: codes[what] for text, what in kinds.items()}
    kept = {}
    for column, texts in (where or {}).items():
        texts = (texts,) if isinstance(texts, str) else texts
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise InvalidArgument(argument=f"where[{column!r}]", value=texts, allowed="a text, or several")
        kept[column] = tuple(texts)
    layout = Layout(
        columns or {}, delimiter, header, time_format, date, side_codes, kind_codes, rounding, sort, kept
    )
    return table(paths, instrument, layout, progress, into)


def table(
    paths: Sequence[Path],
    instrument: Instrument,
    layout: Layout,
    progress: Progress | None = None,
    into: Table | None = None,
) -> Events:
    """Read files of one layout, one after the other; arguments as for :func:`add`."""
    rows_of = Table() if into is None else into
    source, note = add(paths, instrument, layout, progress, rows_of)
    return rows_of.events(instrument, clock_note=note, source=source)


def add(
    paths: Sequence[Path], instrument: Instrument, layout: Layout, progress: Progress | None, into: Table
) -> tuple[dict[str, Any], str]:
    """Add the rows of files of one layout, one after the other, to a table.

    Parameters
    ----------
    paths : sequence of Path
        In the order of their rows.
    instrument : Instrument
        Whose ticks and lots the numbers are counted in.
    layout : Layout
        How they are to be read.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table
        What they are added to.

    Returns
    -------
    tuple of dict and str
        Where they came from: ``"ignored"`` counts the rows that were left out, by the reason; ``"odd"`` what
        was odd and kept; and what is to be known about the stamps.
    """
    ignored: Counter[str] = Counter()
    odd: Counter[str] = Counter()
    units: dict[str, None] = {}
    sequences: dict[int, _Sequence] = {}
    latest = -(2**63)
    empty = True
    places: dict[str, int] = {}
    firsts: dict[str | int, str] = {}

    for path, share in zip(paths, shares(paths, progress), strict=True):
        top = first_lines(path, 1)
        if not top:
            raise InvalidArgument(f"{path}: is empty", argument="path", value=str(path))
        ((line, head),) = top
        names = cells(head, layout.delimiter)
        width = len(names)
        names = names if layout.header else []
        before_it, places = places, _places(path, names, width, layout.columns)
        if before_it and before_it.keys() != places.keys():
            raise InvalidArgument(
                f"{path}: has the columns {', '.join(places)}, {paths[0].name} {', '.join(before_it)}",
                argument="path",
                value=str(path),
            )
        filters = [
            (names[place] if names else f"column {place}", place, texts, keep)
            for chosen, keep in ((layout.where, True), (layout.unless, False))
            for column, texts in chosen.items()
            for place in [_place(path, names, width, column, "where")]
        ]
        time_format = layout.time_format
        skip = line + 1 if layout.header else 0
        reading = rows(path, width, places, delimiter=layout.delimiter, skip=skip, progress=share)
        for block in reading:
            odd.update(block.odd)
            for label, place, texts, keep in filters:
                named = block.fields.codes(place, dict.fromkeys(texts, 1), other=0) == 1
                if (dropped := named != keep).any():
                    left_out = block.take(dropped).fields.strings(place)
                    ignored.update(f"{label} = {text}" for text in left_out)
                    block = block.take(~dropped)
            if not len(block):
                continue
            for column, argument in layout.same.items():
                _refuse_others(block, _place(path, names, width, column, argument), column, argument, firsts)
            times = {}
            for name in ("time", "local_time", "exchange_time"):
                if name in places:
                    if time_format is None:
                        time_format = _guess(block, name, layout.date)
                    times[name], unit = _time(block, name, time_format, layout.date)
                    units.update(dict.fromkeys(unit))
            local = times.get("local_time", times.get("time", times.get("exchange_time")))
            exchange = times.get("exchange_time", times.get("time", local))
            assert local is not None
            assert exchange is not None
            empty = False
            if "kind" in places:
                kind = block.codes("kind", layout.kinds).astype(np.uint8)
            else:
                kind = np.full(len(block), QUOTE if "bid" in places else TRADE, dtype=np.uint8)
            kept = np.ones(len(block), dtype=bool)
            columns: dict[int, Columns] = {}
            for which in (QUOTE, TRADE):
                chosen_rows = kind == which
                if not chosen_rows.any():
                    continue
                whole = bool(chosen_rows.all())
                part = block if whole else block.take(chosen_rows)
                at = slice(None) if whole else chosen_rows
                found = {"local_time": local[at], "exchange_time": exchange[at]}
                if which == QUOTE:
                    found |= _quotes(part, instrument, layout, odd)
                else:
                    found |= _trades(part, instrument, layout, odd)
                if "id" in places:
                    if which not in sequences:
                        sequences[which] = _Sequence(into, which, layout.sort)
                    kept[at] = fresh = sequences[which].fresh(part, found)
                    if not fresh.all():
                        found = {name: values[fresh] for name, values in found.items()}
                columns[which] = found
            if repeats := len(kept) - int(np.count_nonzero(kept)):
                ignored["repeated ids"] += repeats
                kind, local = kind[kept], local[kept]
            highest = np.maximum.accumulate(np.concatenate([[latest], local]))
            latest = int(highest[-1])
            if (late := local < highest[:-1]).any():
                if not layout.sort:
                    refuse(
                        path,
                        int(block.lines[kept][np.argmax(late)]),
                        "time: earlier than the row before it",
                        argument="sort",
                        advice="pass sort=True to put the rows in order",
                    )
                odd["rows out of order"] += int(np.count_nonzero(late))
            if layout.sort:
                kind = kind[np.argsort(local, kind="stable")]
                for which, found in columns.items():
                    order = np.argsort(found["local_time"], kind="stable")
                    columns[which] = {name: values[order] for name, values in found.items()}
                    if which in sequences:
                        sequences[which].moved(order)
            into.add(
                Events(
                    instrument,
                    kind,
                    Quotes(**columns[QUOTE]) if QUOTE in columns else None,
                    Trades(**columns[TRADE]) if TRADE in columns else None,
                )
            )
    if empty:
        left = "; left out: " if ignored else ""
        left += ", ".join(f"{label} ({count:,})" for label, count in ignored.most_common(5))
        left += ", …" if len(ignored) > 5 else ""
        raise InvalidArgument(f"{paths[0]}: has no rows{left}", argument="path", value=str(paths[0]))
    if layout.sort:
        into.sort()
    for which, sequence in sequences.items():
        if sequence.late:
            odd["ids out of order"] += len(sequence.late)
        if which == TRADE and "kind" not in places and (missing := sequence.missing):
            odd["missing ids"] = missing
    both = "local_time" in places and "exchange_time" in places
    source: dict[str, Any] = {
        "format": "csv",
        "files": [path.name for path in paths],
        "time_format": ", ".join(units),
        "ignored": dict(sorted(ignored.items())),
        "odd": dict(sorted(odd.items())),
    }
    if "local_time" in places or "exchange_time" in places:
        source["clock"] = "local" if "local_time" in places else "exchange"
    return source, "" if both else "one clock: one stamp stands for the exchange's and ours"


def _refuse_others(
    block: Rows, place: int, column: str | int, argument: str, firsts: dict[str | int, str]
) -> None:
    """Refuse a column that says something else than in the first row."""
    first = firsts.setdefault(column, block.take(np.arange(1)).fields.strings(place)[0])
    other = block.fields.codes(place, {first: 0}, other=1) == 1
    if other.any():
        at = int(np.argmax(other))
        text = block.take(np.array([at])).fields.strings(place)[0]
        refuse(
            block.path,
            int(block.lines[at]),
            f"{column}: {text!r}, and {first!r} before it: name one",
            argument=argument,
            advice=f"pass {argument}={text!r}",
        )


class _Sequence:
    """The ids of the quotes, or of the trades, of a table: which come again, and what is odd in their order.

    An id is mostly above all before it. Of those that were, the highest so far stands in a column beside the
    table's, row by row, so that the row of one that comes again is found in it; the others are remembered.
    """

    def __init__(self, into: Table, which: int, moves: bool) -> None:
        self.late: dict[int, Columns] = {}
        self._into, self._which = into, which
        self._highest = into.column("<i8")
        self._places = into.column("<i8") if moves else None  # where the rows stand, if not in this order
        self._lowest, self._last = 2**63, -(2**63)

    @property
    def missing(self) -> int:
        """How many ids between the lowest and the highest never came."""
        return self._last - self._lowest + 1 - len(self._highest)

    def fresh(self, part: Rows, columns: Columns) -> NDArray[np.bool_]:
        """Return where an id comes for the first time; refuse one that comes again with other content."""
        ids = part.integers("id")
        fresh = np.ones(len(ids), dtype=bool)
        highest = np.maximum.accumulate(np.concatenate([[self._last], ids]))
        rising = ids > highest[:-1]
        if not rising.all():
            risen, rows = ids[rising], np.flatnonzero(rising)
            for row in np.flatnonzero(~rising).tolist():
                number = int(ids[row])
                its = {name: values[row] for name, values in columns.items()}
                before = self.late.get(number)
                at = int(np.searchsorted(risen, number))
                if before is None and at < len(risen) and risen[at] == number:
                    before = {name: values[rows[at]] for name, values in columns.items()}
                before = self._before(number) if before is None else before
                if before is None:
                    self.late[number] = its
                    continue
                for name, value in its.items():
                    if value != before[name]:
                        what = f"id {number} came again with another {name}"
                        refuse(part.path, int(part.lines[row]), what, ConflictError, argument="id")
                fresh[row] = False
        self._highest.append(highest[1:][fresh])
        self._lowest, self._last = min(self._lowest, int(ids.min())), int(highest[-1])
        return fresh

    def moved(self, order: NDArray[np.int64]) -> None:
        """Take note of the order in which the fresh rows of a part come into the table."""
        assert self._places is not None
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(self._places), len(self._places) + len(order))
        self._places.append(places)

    def _before(self, number: int) -> Columns | None:
        """Return the row of the table whose id this is, if that was above all before it."""
        highest = self._highest.values()
        at = int(np.searchsorted(highest, number))
        if at == len(highest) or highest[at] != number:
            return None
        row = at if self._places is None else self._places.values()[at]
        rows = self._into.quotes if self._which == QUOTE else self._into.trades
        return {name: values[row] for name, values in rows.columns().items()}


# ---- which columns


def looks_like_it(head: bytes) -> bool:
    """Whether the first line of a file has our names of columns."""
    has = set(cells(head))
    timed = {"time", "local_time", "exchange_time"} & has
    return bool(timed) and ({"bid", "ask"} <= has or {"price", "size"} <= has)


_QUOTES = ("bid", "ask", "bid_size", "ask_size")
_TRADES = ("price", "size", "side")


def _places(
    path: Path, names: list[str], width: int, columns: Mapping[str, str | int] | None
) -> dict[str, int]:
    """Return the place of each of our columns: those that are mapped, and of the rest what has our name."""
    mapped: dict[str, int] = {}
    for name, place in (columns or {}).items():
        if name not in COLUMNS:
            known = ", ".join(COLUMNS)
            raise UnknownName(
                f"columns: {name!r} is not one of {known}{_meant(str(name), COLUMNS)}", argument="columns"
            )
        mapped[name] = _place(path, names, width, place, f"columns[{name!r}]")
    _refuse_shared(path, mapped, columns or {})
    places = mapped | _own(path, names, mapped)
    has = places.keys()
    quotes, trades = {"bid", "ask"} <= has, {"price", "size"} <= has
    wanted = ""
    if not {"time", "local_time", "exchange_time"} & has:
        wanted = "a time (time, or local_time and exchange_time)"
    elif "kind" in has and not (quotes and trades):
        wanted = "bid, ask, price and size, since it has a kind"
    elif not quotes and not trades:
        wanted = "bid and ask, or price and size"
    elif quotes and trades and "kind" not in has:
        wanted = "kind, to tell its quotes from its trades"
    if wanted:
        _refuse_one_column(path, names, f"needs {wanted}")
        has_names = (
            f"its columns are {', '.join(names)}" if names else f"it has {width} columns, counted from 0"
        )
        raise asking(
            path,
            f"needs {wanted}; {has_names}: say which is which{_by_case(names)}",
            "columns",
            'pass columns={"time": …, "bid": …, …}: our name → theirs',
            UnknownName,
        )
    return places


def _refuse_shared(path: Path, mapped: Mapping[str, int], columns: Mapping[str, str | int]) -> None:
    """Refuse a column that is mapped to two of our names, which would both be read of one row."""
    for one, other in combinations(mapped, 2):
        apart = (one in _QUOTES and other in _TRADES) or (one in _TRADES and other in _QUOTES)
        if mapped[one] == mapped[other] and not apart and {one, other} != {"kind", "side"}:
            raise InvalidArgument(
                f"{path}: columns: {columns[other]!r} stands for both {one!r} and {other!r}: name another "
                "column for one of them, or leave it out",
                argument="columns",
                value=columns,
            )


def _refuse_one_column(path: Path, names: Sequence[str], what: str) -> None:
    """Refuse a file whose first line would be more columns with another delimiter."""
    if delimiter := next((one for one in ";\t|" if len(names) == 1 and one in names[0]), None):
        raise asking(
            path,
            f"{what}; its first line is one column, {names[0]!r}: is {delimiter!r} the delimiter?",
            "delimiter",
            f"pass delimiter={delimiter!r}",
            UnknownName,
        )


def _place(path: Path, names: Sequence[str], width: int, column: str | int, argument: str) -> int:
    """Return the place of one of the file's columns."""
    if isinstance(column, str):
        if column not in names:
            _refuse_one_column(path, names, f"no column {column!r}")
            what = f"it has {', '.join(names)}" if names else "without a header, count from 0"
            raise UnknownName(
                f"{path}: no column {column!r}; {what}{_meant(column, names)}", argument="columns"
            )
        return _once(path, names, column, argument)
    if isinstance(column, bool) or not hasattr(column, "__index__"):
        allowed = "a header text or a place counted from 0"
        raise InvalidArgument(argument=argument, value=column, allowed=allowed)
    if not 0 <= operator.index(column) < width:
        raise UnknownName(f"{path}: no column {column}; it has {width}, counted from 0", argument="columns")
    return operator.index(column)


def _once(path: Path, names: Sequence[str], column: str, argument: str) -> int:
    """Return the place of a header text that stands there once."""
    if names.count(column) > 1:
        at = [str(place) for place, name in enumerate(names) if name == column]
        raise asking(
            path,
            f"{argument}: {len(at)} columns are called {column!r}, at {' and '.join(at)}: say which by its "
            "place",
            "columns",
            f"pass {argument} = {at[0]}: the place counted from 0",
        )
    return names.index(column)


def _own(path: Path, names: Sequence[str], mapped: Mapping[str, int]) -> dict[str, int]:
    """Return the columns that carry our names, as far as they agree with what is mapped.

    A column that is mapped has its meaning; stamps that are mapped replace those of the names; and where
    only quotes, or only trades, are mapped, the file is read as such.
    """
    found = {
        name: place
        for name in COLUMNS
        if name in names and name not in mapped and (place := names.index(name)) not in mapped.values()
    }
    skip: set[str] = set()
    if "time" in mapped:
        skip |= {"local_time", "exchange_time"}
    elif {"local_time", "exchange_time"} & mapped.keys():
        skip.add("time")
    if "kind" not in mapped:
        quotes, trades = (any(name in mapped for name in group) for group in (_QUOTES, _TRADES))
        if quotes != trades and "kind" not in found:
            skip.update(_TRADES if quotes else _QUOTES)
    return {name: _once(path, names, name, f"columns[{name!r}]") for name in found if name not in skip}


def _by_case(names: Sequence[str]) -> str:
    """Return the map that is meant where columns carry our names in other letters."""
    meant = [f"{name}={theirs}" for name in COLUMNS for theirs in names if theirs.lower() == name != theirs]
    return f"; did you mean {','.join(meant)}?" if meant else ""


def _meant(name: str, names: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


# ---- stamps


def _guess(block: Rows, name: str, date: str | None) -> str:
    """Tell the form of the stamps from the first one."""
    text = block.take(np.arange(1)).strings(name)[0]
    if _ISO.match(text):
        return "iso"
    if date is not None:
        return "s"
    if text.isdecimal() and len(text) in _DIGITS:
        return "digits"
    unit = _DIGITS.get(len(text.partition(".")[0])) if text.replace(".", "", 1).isdecimal() else None
    if unit is None:
        refuse(
            block.path,
            int(block.lines[0]),
            f"{name}: cannot tell what {text!r} is: say its time_format (s, ms, us, ns, iso or a pattern "
            "such as %Y%m%d %H:%M:%S.%f)",
            argument="time_format",
        )
    return unit


def _time(
    block: Rows, name: str, time_format: str, date: str | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return a column of stamps in ns, and the units that were found in it."""
    midnight, earliest, latest = 0, EARLIEST, LATEST
    outside, meant = "the years 1990 to 2199", "do stamps count from the midnight of a date"
    if date is not None:
        if time_format == "iso" or ("%" in time_format and not _CLOCK.fullmatch(time_format)):
            raise asking(
                block.path, f"{name}: its stamps say their day: no date={date!r}", "date", "leave out date"
            )
        # A session may begin on the evening before its day, and end in the night after it.
        midnight, earliest, latest = _midnight(date), -_DAY, 2 * _DAY
        outside, meant = f"{date}, the day before and the day after", "do stamps count from the epoch"

    def beyond(row: int) -> NoReturn:
        shown = "" if time_format == "digits" else f" in {time_format!r}"
        refuse(
            block.path,
            int(block.lines[row]),
            f"{name}: {block.strings(name)[row]!r}{shown} lies outside {outside}: is the "
            f"unit right, or {meant}?",
            argument="time_format",
            advice="pass time_format=…, and date=… only for stamps that count from midnight",
        )

    def no_stamp(row: int, text: str) -> NoReturn:
        refuse(
            block.path, int(block.lines[row]), f"{name}: {text!r} is not a stamp of the form {time_format}"
        )

    if time_format == "digits":
        try:
            whole = block.integers(name)
        except InvalidArgument as error:
            if error.index is None:
                raise
            refuse(
                block.path,
                error.index,
                f"{name}: {error.value!r} is no whole number, as the first stamp is: say its time_format",
                argument="time_format",
                advice="pass time_format=… (s, ms, us or ns)",
            )
        return _by_size(whole, earliest, latest, beyond)
    if time_format in _UNITS:
        try:
            time = block.integers(name, _UNITS[time_format])
        except OutOfBounds as error:  # which int64 may not hold
            beyond(int(np.searchsorted(block.lines, cast(int, error.index))))
    elif time_format == "iso":
        try:
            time = block.stamps(name)
        except OutOfBounds as error:  # which int64 may not hold
            beyond(cast(int, error.index))
        except InvalidArgument as error:
            no_stamp(cast(int, error.index), str(error.value))
    else:
        texts = block.strings(name)
        time = np.empty(len(texts), dtype=np.int64)
        for row, text in enumerate(texts):
            try:
                stamp = _pattern(text, time_format, _EPOCH_TIME if date is None else _NO_DAY)
            except (ValueError, re.error):
                no_stamp(row, text)
            if not earliest <= stamp <= latest:
                beyond(row)
            time[row] = stamp
    wrong = (time < earliest) | (time > latest)
    if wrong.any():
        beyond(int(np.argmax(wrong)))
    return time + midnight, (time_format,)


def _by_size(
    values: NDArray[np.int64], earliest: int, latest: int, beyond: Callable[[int], NoReturn]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return whole numbers as ns, each in the one unit in which it is a plausible stamp."""
    time = np.zeros(len(values), dtype=np.int64)
    known = np.zeros(len(values), dtype=bool)
    units = []
    for digits, unit in _DIGITS.items():
        factor = 10 ** (19 - digits)
        inside = (values >= -(-earliest // factor)) & (values <= latest // factor)
        if inside.any():
            np.multiply(values, factor, out=time, where=inside)
            known |= inside
            units.append(unit)
    if not known.all():
        beyond(int(np.argmin(known)))
    return time, tuple(units)


def _midnight(date: str) -> int:
    """Return ns from the epoch to midnight of a day."""
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES) from None
    if not 1700 <= day.year <= 2200:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES)
    return (day - _EPOCH).days * _DAY


def _pattern(text: str, pattern: str, since: datetime) -> int:
    stamp = datetime.strptime(text, pattern)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    return (stamp - since) // timedelta(microseconds=1) * 1000


# ---- numbers


def _quotes(block: Rows, instrument: Instrument, layout: Layout, odd: Counter[str]) -> Columns:
    part: Columns = {}
    tick = instrument.tick / layout.price_scale
    lot = instrument.lot if layout.quote_lot is None else layout.quote_lot
    for side in ("bid", "ask"):
        price = block.integers(side, f"{tick:f}", layout.rounding, missing=True, grid=instrument.tick)
        absent = price == MISSING
        if not instrument.negative_prices:
            absent |= price == 0 if layout.refuse_negative else price <= 0
        rounded = absent & _rounded_away(block, side, f"{tick:f}", price)
        if f"{side}_size" in block.columns:
            size = block.integers(
                f"{side}_size", f"{lot:f}", layout.rounding, missing=True, grid=instrument.lot
            )
            size[size == MISSING] = 0
            emptied = (size == 0) & _rounded_away(block, f"{side}_size", f"{lot:f}", size)
            rounded = (rounded & ((size != 0) | emptied)) | (emptied & ~absent)
        else:
            size = np.ones(len(block), dtype=np.int64)
        if rounded.any():
            odd["sides rounded away"] += int(np.count_nonzero(rounded))
        part |= quoted_side(side, price, size, absent, instrument, block.refuse)
    return part


def _rounded_away(block: Rows, name: str, step: str, values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return where 0 steps are what rounding left of a number above 0."""
    zeros = np.flatnonzero(values == 0)
    found = np.zeros(len(values), dtype=bool)
    if len(zeros):
        found[zeros] = block.take(zeros).integers(name, step, "ceil", missing=True) > 0
    return found


def _cut(block: Rows, name: str, tick: Decimal, below: NDArray[np.int64]) -> int:
    """Return how many prices have digits beyond a millionth of a tick."""
    off = np.flatnonzero(block.integers(name, f"{tick:f}", "ceil") != below)
    if not len(off):
        return 0
    with localcontext(prec=_DIGITS_OF_A_PRICE):
        step = tick / SUBTICKS
        return sum(Decimal(text.strip()) % step != 0 for text in block.take(off).strings(name))


def _trades(block: Rows, instrument: Instrument, layout: Layout, odd: Counter[str]) -> Columns:
    rounding = layout.rounding
    step = instrument.tick / layout.price_scale
    tick = f"{step:f}"
    if rounding in ("exact", "floor"):
        price, subtick = block.integers_floor("price", tick)
        if rounding == "exact" and (count := _cut(block, "price", step, price)):
            odd["trade prices cut to a millionth of a tick"] += count
    else:
        price, subtick = block.integers("price", tick, rounding), np.zeros(len(block), dtype=np.int32)
    size = block.integers("size", f"{instrument.lot:f}", rounding)
    part = traded(price, subtick, size, instrument, block.refuse)
    if "side" in block.columns:
        part["side"] = block.codes("side", layout.sides).astype(np.int8)
    return part
