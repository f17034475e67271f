"""Quotes and trades of NYSE TAQ, as CSV: DT, EX, BID, BIDSIZ, OFR, OFRSIZ; and DT, EX, PRICE, SIZE, CORR.

A quote file, a trade file, or both; told apart by their headers. Raw, such files are dirty:

- a bid or an offer of 0, or of no number, is an absent side; one below 0 is refused;
- quotes of many venues (EX) stand among each other: ``venue`` names one, for a row of one venue says nothing
  about the others. :func:`mmcore.feeds.consolidate` makes the best bid and offer of several;
- trades with a correction (CORR other than 0) were cancelled or changed later: left out and counted;
- trades off the tick (sub-penny) keep the rest in ``subtick``;
- repeated rows are kept: two equal trades of one stamp may well be two trades.

Stamps are the consolidated feed's, ISO 8601 and in UTC where they name no zone: one clock. Sizes of quotes
are round lots of 100 shares, those of trades shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from ..events import Events
from ..parameters import expect
from . import csv
from .table import Table
from .text import Progress, cells, content, first_line, first_lines, shares

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["files", "looks_like_it", "read"]

_QUOTES = {"time": "DT", "bid": "BID", "bid_size": "BIDSIZ", "ask": "OFR", "ask_size": "OFRSIZ"}
_TRADES = {"time": "DT", "price": "PRICE", "size": "SIZE"}
_ROUND_LOT = 100
_NO_CORRECTION = ("0", "00")


def looks_like_it(head: bytes) -> bool:
    """Whether the first line of a file is the header of such quotes or trades."""
    return _holds(_names(head)) is not None


def _names(head: bytes) -> set[str]:
    return set(cells(head))


def _holds(names: set[str]) -> str | None:
    if "EX" not in names:
        return None
    if set(_QUOTES.values()) <= names:
        return "quotes"
    return "trades" if set(_TRADES.values()) <= names else None


def files(path: Path) -> list[Path]:
    """Return the quote file and the trade file that a folder holds; a file is returned alone."""
    if not path.is_dir():
        return [path]
    found = [file for file in sorted(path.iterdir()) if file.is_file() and looks_like_it(first_line(file))]
    if not found:
        raise FileNotFoundError(f"{path}: no quotes or trades in the columns of TAQ; {content(path)}")
    return found


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    venue: str | None = None,
    symbol: str | None = None,
) -> Events:
    """Read a file of quotes, a file of trades, or both.

    Parameters
    ----------
    paths : sequence of Path
        At most one of each; plain, gzip, xz, zip or zstd.
    instrument : Instrument, optional
        Tick 0.01 USD, lot 1 share, named as the symbol, when omitted.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.
    venue : str, optional
        Which EX is kept; needed where there are several.
    symbol : str, optional
        Which SYMBOL is kept; needed where there are several.

    Raises
    ------
    InvalidArgument
        What is wrong, with file and line.
    """
    from ..instruments import Instrument

    expect("venue", venue, (str, type(None)), "a text or None")
    expect("symbol", symbol, (str, type(None)), "a text or None")
    heads = [_names(first_line(path)) for path in paths]
    held = [_holds(names) for names in heads]
    for path, what in zip(paths, held, strict=True):
        if what is None:
            raise InvalidArgument(
                f"{path}: has not the columns of TAQ: EX, and {', '.join(_QUOTES.values())}, or "
                f"{', '.join(_TRADES.values())}",
                argument="path",
                value=str(path),
            )
        if held.count(what) > 1:
            raise InvalidArgument(f"{path}: a second file of {what}", argument="path", value=str(path))
    if instrument is None:
        instrument = Instrument(symbol or _symbol(paths[0]), tick="0.01")
    table = Table() if into is None else into
    counts: dict[str, dict[str, int]] = {"ignored": {}, "odd": {}}
    for path, names, what, share in zip(paths, heads, held, shares(paths, progress), strict=True):
        where: dict[str | int, tuple[str, ...]] = {}
        same: dict[str | int, str] = {}
        for column, kept, argument in (("SYMBOL", symbol, "symbol"), ("EX", venue, "venue")):
            if column in names:
                if kept is None:
                    same[column] = argument
                else:
                    where[column] = (kept,)
        if what == "trades" and "CORR" in names:
            where["CORR"] = _NO_CORRECTION
        layout = csv.Layout(
            _QUOTES if what == "quotes" else _TRADES,
            time_format="iso",
            where=where,
            same=same,
            quote_lot=instrument.lot / Decimal(_ROUND_LOT),
            refuse_negative=True,
        )
        found, _ = csv.add([path], instrument, layout, share, table)
        for name, reasons in counts.items():
            reasons |= {f"{what}: {reason}": count for reason, count in found[name].items()}
    table.merge()
    return table.events(
        instrument,
        clock_note="one clock: the exchange's stamps stand for ours too",
        source={
            "format": "taq",
            "clock": "exchange",
            "files": [path.name for path in paths],
            "venue": venue,
            **counts,
        },
    )


def _symbol(path: Path) -> str:
    """Return the symbol of the first row; the file's name where there is no such column."""
    lines = [cells(line) for _, line in first_lines(path, 2)]
    row = dict(zip(lines[0], lines[-1], strict=False))
    return row.get("SYMBOL", "") or path.name.partition(".")[0]
