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
=================== =============================================================================
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import date as Date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, UnknownName
from ..events import NO_ASK, NO_BID, QUOTE, TRADE, Events, Quotes, Trades
from ..parameters import expect
from .text import Progress, Rounding, Rows, asking, first_line, refuse, refuse_prices, rows

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["COLUMNS", "KINDS", "SIDES", "read"]

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

_MISSING = frozenset(("", "nan", "NaN", "NAN", "NA", "N/A", "null", "None"))
_UNITS = {"s": "0.000000001", "ms": "0.000001", "us": "0.001", "ns": "1"}
_DIGITS = {10: "s", 13: "ms", 16: "us", 19: "ns"}
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?"
)
_TIME_FORMATS = '"s", "ms", "us", "ns", "iso" or a pattern such as "%Y%m%d %H:%M:%S.%f"'
_DATES = 'a day such as "2012-06-21", in the years 1700 to 2200'
_EPOCH = Date(1970, 1, 1)
_DAY = 86_400 * 10**9
_EARLIEST = (Date(1990, 1, 1) - _EPOCH).days * _DAY
_LATEST = (Date(2200, 1, 1) - _EPOCH).days * _DAY


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
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
) -> Events:
    """Read a delimited file.

    Parameters
    ----------
    paths : sequence of Path
        One file: plain, gzip or xz.
    instrument : Instrument
        Whose ticks and lots the numbers are counted in.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    columns : mapping, optional
        Our name → the file's: its header text, or its place counted from 0. What is left out is
        taken from the columns that carry our names.
    delimiter : str
        One character.
    header : bool
        Whether the first line names the columns.
    time_format : str, optional
        "s", "ms", "us", "ns" (since the epoch; decimals allowed down to the ns), "iso" (ISO 8601,
        UTC unless it has an offset), or a pattern of :meth:`datetime.strptime`. Omitted: told from
        the first row.
    date : str, optional
        Stamps count from midnight (UTC) of this day.
    sides : mapping of str to int, optional
        Text → +1 (buyer-initiated), -1 or 0; :data:`SIDES` when omitted.
    kinds : mapping of str to str, optional
        Text → "quote" or "trade"; :data:`KINDS` when omitted.
    rounding : {"exact", "nearest", "floor", "ceil"}
        What becomes of prices off the tick and sizes off the lot. "exact" refuses them, except
        trade prices, which keep the rest in ``subtick``; "nearest" is for text that went through a
        binary float ("236.61000000000001").
    sort : bool
        Put rows whose stamps fall in order (equal stamps keep theirs) instead of refusing them.

    Raises
    ------
    InvalidArgument
        What is wrong, with file and line.
    UnknownName
        A column that is not there.
    """
    (path,) = paths
    expect("columns", columns, (Mapping, type(None)), "a mapping of our names to the file's, or None")
    expect("delimiter", delimiter, str, "one character")
    if len(delimiter) != 1:
        raise InvalidArgument(argument="delimiter", value=delimiter, allowed="one character")
    expect("header", header, bool, "True or False")
    expect("time_format", time_format, (str, type(None)), _TIME_FORMATS)
    expect("date", date, (str, type(None)), _DATES)
    expect("sides", sides, (Mapping, type(None)), "a mapping to +1, -1 or 0")
    expect("kinds", kinds, (Mapping, type(None)), 'a mapping to "quote" or "trade"')
    expect("rounding", rounding, str, "one of 'exact', 'floor', 'ceil', 'nearest'")
    expect("sort", sort, bool, "True or False")
    if instrument is None:
        raise asking(
            path,
            "a CSV does not say its tick and lot: it needs an instrument",
            "instrument",
            "pass instrument=Instrument(name, tick=…, lot=…)",
        )
    side_codes = dict(SIDES if sides is None else sides)
    if any(code not in (-1, 0, 1) for code in side_codes.values()):
        raise InvalidArgument(argument="sides", value=sides, allowed="a mapping to +1, -1 or 0")
    kind_codes = dict(KINDS)
    if kinds is not None:
        codes = {"quote": QUOTE, "trade": TRADE}
        if not all(isinstance(what, str) and what in codes for what in kinds.values()):
            raise InvalidArgument(argument="kinds", value=kinds, allowed='a mapping to "quote" or "trade"')
        kind_codes = {text: codes[what] for text, what in kinds.items()}

    head = first_line(path)
    if not head:
        raise InvalidArgument(f"{path}: is empty", argument="path", value=str(path))
    names, width = _head(head, delimiter)
    places = _places(path, names if header else [], width, columns)
    skip = _skip(path) if header else 0

    quote_parts: list[dict[str, NDArray[Any]]] = []
    trade_parts: list[dict[str, NDArray[Any]]] = []
    kind_parts: list[NDArray[np.uint8]] = []
    stamps: list[NDArray[np.int64]] = []
    for block in rows(path, width, places, delimiter=delimiter, skip=skip, progress=progress):
        everything = np.arange(len(block))
        times = {}
        for name in ("time", "local_time", "exchange_time"):
            if name in places:
                if time_format is None:
                    time_format = _guess(block, name, date)
                times[name] = _time(block, name, time_format, date)
        local = times.get("local_time", times.get("time", times.get("exchange_time")))
        exchange = times.get("exchange_time", times.get("time", local))
        assert local is not None
        assert exchange is not None
        if not sort:
            before = np.concatenate([stamps[-1][-1:] if stamps else local[:1], local[:-1]])
            if (local < before).any():
                at = int(np.argmax(local < before))
                refuse(
                    path,
                    int(block.lines[at]),
                    "time: earlier than the row before it",
                    argument="sort",
                    advice="pass sort=True to put the rows in order",
                )
        stamps.append(local)
        if "kind" in places:
            kind = np.array(
                block.codes("kind", block.strings("kind"), everything, kind_codes), dtype=np.uint8
            )
        else:
            kind = np.full(len(block), QUOTE if "bid" in places else TRADE, dtype=np.uint8)
        kind_parts.append(kind)
        which = np.flatnonzero(kind == QUOTE)
        if len(which):
            part = _quotes(block, which, instrument, rounding)
            quote_parts.append({"local_time": local[which], "exchange_time": exchange[which], **part})
        which = np.flatnonzero(kind == TRADE)
        if len(which):
            part = _trades(block, which, instrument, rounding, side_codes)
            trade_parts.append({"local_time": local[which], "exchange_time": exchange[which], **part})
    if not kind_parts:
        raise InvalidArgument(f"{path}: has no rows", argument="path", value=str(path))

    kind = np.concatenate(kind_parts)
    if sort:
        order = np.argsort(np.concatenate(stamps), kind="stable")
        kind = kind[order]
    quotes = _joined(quote_parts, sort)
    trades = _joined(trade_parts, sort)
    both = "local_time" in places and "exchange_time" in places
    note = "" if both else "one clock: one stamp stands for the exchange's and ours"
    source: dict[str, Any] = {"format": "csv", "files": [path.name], "time_format": time_format}
    if "local_time" in places or "exchange_time" in places:
        source["clock"] = "local" if "local_time" in places else "exchange"
    return Events(
        instrument,
        kind,
        Quotes(**quotes) if quotes else None,
        Trades(**trades) if trades else None,
        clock_note=note,
        source=source,
    )


# ---- which columns


def looks_like_it(head: bytes) -> bool:
    """Whether the first line of a file has our names of columns."""
    has = set(_head(head, ",")[0])
    timed = {"time", "local_time", "exchange_time"} & has
    return bool(timed) and ({"bid", "ask"} <= has or {"price", "size"} <= has)


def _head(line: bytes, delimiter: str) -> tuple[list[str], int]:
    text = line.decode("utf-8-sig", "backslashreplace")
    names = [name.strip().strip('"') for name in text.split(delimiter)]
    return names, len(names)


def _skip(path: Path) -> int:
    """Return the number of lines down to the header, which may follow empty ones."""
    from .text import blocks

    for text, start in blocks(path):
        for line, record in enumerate(text.split(b"\n"), start):
            if record.strip():
                return line + 1
    return 0


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
        if isinstance(place, str):
            if place not in names:
                what = f"it has {', '.join(names)}" if names else "without a header, count from 0"
                raise UnknownName(
                    f"{path}: no column {place!r}; {what}{_meant(place, names)}", argument="columns"
                )
            mapped[name] = names.index(place)
        elif isinstance(place, bool) or not hasattr(place, "__index__"):
            allowed = "a header text or a place counted from 0"
            raise InvalidArgument(argument=f"columns[{name!r}]", value=place, allowed=allowed)
        elif 0 <= operator.index(place) < width:
            mapped[name] = operator.index(place)
        else:
            raise UnknownName(
                f"{path}: no column {place}; it has {width}, counted from 0", argument="columns"
            )
    places = mapped | _own(names, mapped)
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
        has_names = (
            f"its columns are {', '.join(names)}" if names else f"it has {width} columns, counted from 0"
        )
        raise asking(
            path,
            f"needs {wanted}; {has_names}: say which is which",
            "columns",
            'pass columns={"time": …, "bid": …, …}: our name → theirs',
            UnknownName,
        )
    return places


def _own(names: Sequence[str], mapped: Mapping[str, int]) -> dict[str, int]:
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
    return {name: place for name, place in found.items() if name not in skip}


def _meant(name: str, names: Sequence[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


# ---- stamps


def _guess(block: Rows, name: str, date: str | None) -> str:
    text = block.strings(name)[0]
    if _ISO.fullmatch(text):
        return "iso"
    if date is not None:
        return "s"
    digits = text.partition(".")[0]
    unit = _DIGITS.get(len(digits)) if digits.isdigit() else None
    if unit is None:
        refuse(
            block.path,
            int(block.lines[0]),
            f"{name}: cannot tell what {text!r} is: say its time_format (s, ms, us, ns, iso or a pattern "
            "such as %Y%m%d %H:%M:%S.%f)",
            argument="time_format",
        )
    return unit


def _time(block: Rows, name: str, time_format: str, date: str | None) -> NDArray[np.int64]:
    midnight, earliest, latest, years = 0, _EARLIEST, _LATEST, "1990 to 2200"
    if date is not None:
        midnight, earliest, years = _midnight(date), (Date(1700, 1, 1) - _EPOCH).days * _DAY, "1700 to 2200"
    earliest, latest = max(earliest - midnight, -(2**63)), min(latest - midnight, 2**63 - 1)

    def beyond(row: int) -> NoReturn:
        refuse(
            block.path,
            int(block.lines[row]),
            f"{name}: {block.strings(name)[row]!r} in {time_format!r} lies outside the years {years}: is the "
            "unit right, or do stamps count from the midnight of a date?",
            argument="time_format",
            advice="pass time_format=…, or date=… for stamps that count from midnight",
        )

    if time_format in _UNITS:
        time = block.integers(name, _UNITS[time_format])
    elif time_format == "iso" or "%" in time_format:
        texts = block.strings(name)
        time = np.empty(len(texts), dtype=np.int64)
        days: dict[str, int] = {}
        for row, text in enumerate(texts):
            try:
                stamp = _iso(text, days) if time_format == "iso" else _pattern(text, time_format)
            except (ValueError, re.error):
                refuse(
                    block.path,
                    int(block.lines[row]),
                    f"{name}: {text!r} is not a stamp of the form {time_format}",
                )
            if not earliest <= stamp <= latest:  # which int64 may not hold
                beyond(row)
            time[row] = stamp
    else:
        raise InvalidArgument(argument="time_format", value=time_format, allowed=_TIME_FORMATS)
    wrong = (time < earliest) | (time > latest)
    if wrong.any():
        beyond(int(np.argmax(wrong)))
    return time + midnight


def _midnight(date: str) -> int:
    """Return ns from the epoch to midnight of a day."""
    try:
        day = Date.fromisoformat(date)
    except ValueError:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES) from None
    if not 1700 <= day.year <= 2200:
        raise InvalidArgument(argument="date", value=date, allowed=_DATES)
    return (day - _EPOCH).days * _DAY


def _iso(text: str, days: dict[str, int]) -> int:
    match = _ISO.fullmatch(text)
    if not match:
        raise ValueError(text)
    day, hour, minute, second, fraction, zone = match.groups()
    if day not in days:
        days[day] = (Date.fromisoformat(day) - _EPOCH).days
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        raise ValueError(text)
    if zone and zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[-2:] if len(zone) > 3 else 0) * 60
        seconds -= offset if zone[0] == "+" else -offset
    return days[day] * _DAY + seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def _pattern(text: str, pattern: str) -> int:
    stamp = datetime.strptime(text, pattern)
    if stamp.tzinfo is None:
        stamp = stamp.replace(tzinfo=UTC)
    return (stamp - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


# ---- numbers


def _numbers(
    block: Rows,
    name: str,
    which: NDArray[np.intp],
    step: Decimal,
    rounding: Rounding,
    missing: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return a column's numbers in these rows; with `missing`, what is no number counts as 0."""
    if rounding != "floor" and len(which) == len(block):
        try:
            whole = block.integers(name, f"{step:f}", rounding)
            return whole, np.zeros(len(whole), dtype=np.int32)
        except InvalidArgument:
            if not missing:
                raise
    texts = block.strings(name)
    chosen = [texts[row] for row in which]
    if missing:
        chosen = ["0" if text in _MISSING else text for text in chosen]
    return block.parsed(name, chosen, which, f"{step:f}", rounding)


def _quotes(
    block: Rows, which: NDArray[np.intp], instrument: Instrument, rounding: Rounding
) -> dict[str, NDArray[Any]]:
    part: dict[str, NDArray[Any]] = {}
    for side, none in (("bid", NO_BID), ("ask", NO_ASK)):
        price = _numbers(block, side, which, instrument.tick, rounding, missing=True)[0]
        texts = block.strings(side)
        if instrument.negative_prices:
            absent = np.array([texts[row] in _MISSING for row in which])
        else:
            absent = price <= 0
        if f"{side}_size" in block.columns:
            sizing: Rounding = "nearest" if rounding == "nearest" else "exact"
            size = _numbers(block, f"{side}_size", which, instrument.lot, sizing, missing=True)[0]
            absent |= size == 0
            if (size < 0).any():
                at = int(which[np.argmax(size < 0)])
                refuse(block.path, int(block.lines[at]), f"{side}_size: is negative")
        else:
            size = np.ones(len(which), dtype=np.int64)
        refuse_prices(block.path, block.lines[which], side, price)
        part[side] = np.where(absent, none, price)
        part[f"{side}_size"] = np.where(absent, 0, size)
    return part


def _trades(
    block: Rows,
    which: NDArray[np.intp],
    instrument: Instrument,
    rounding: Rounding,
    side_codes: Mapping[str, int],
) -> dict[str, NDArray[Any]]:
    keep: Rounding = "floor" if rounding == "exact" else rounding
    sizing: Rounding = "nearest" if rounding == "nearest" else "exact"
    price, subtick = _numbers(block, "price", which, instrument.tick, keep)
    size = _numbers(block, "size", which, instrument.lot, sizing)[0]
    refuse_prices(block.path, block.lines[which], "price", price)
    wrong = [(size <= 0, "size: is not above 0")]
    if not instrument.negative_prices:
        wrong.append(((price < 0) | ((price == 0) & (subtick == 0)), "price: is not above 0"))
    for bad, what in wrong:
        if bad.any():
            refuse(block.path, int(block.lines[which[np.argmax(bad)]]), what)
    part: dict[str, NDArray[Any]] = {"price": price, "subtick": subtick, "size": size}
    if "side" in block.columns:
        texts = block.strings("side")
        chosen = [texts[row] for row in which]
        part["side"] = np.array(block.codes("side", chosen, which, side_codes), dtype=np.int8)
    return part


def _joined(parts: list[dict[str, NDArray[Any]]], sort: bool) -> dict[str, NDArray[Any]]:
    if not parts:
        return {}
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if sort:
        order = np.argsort(joined["local_time"], kind="stable")
        joined = {name: column[order] for name, column in joined.items()}
    return joined
