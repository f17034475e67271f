"""Binance's public files (data.binance.vision): trades, aggTrades and bookTicker of a day or a month.

=========== ======================================================================================
trades      id, price, qty, quote qty, time, is buyer maker (spot: and is best match)
aggTrades   id, price, qty, first trade id, last trade id, time, is buyer maker (spot: and is best match)
bookTicker  update id, bid price, bid qty, ask price, ask qty, transaction time, event time
=========== ======================================================================================

They are zips of one CSV, with a header since some time and without one before. Which of the three a file
is, and whether of spot or of USD-M futures, is told from its first row: from the number of its columns, and
the first that is true or false. Spot files have stamps in µs since 2025-01-01, in ms before, and futures ms:
each row's unit is the one in which it lies in the years 1990 to 2199.

- ``is buyer maker`` true is a seller-initiated trade: side −1.
- Trade ids are consecutive: ``source["odd"]`` counts the missing ones and those out of order, and a row that
  comes twice, as it does where two files overlap, is left out and counted in ``source["ignored"]``.
- An aggTrade whose trades were all removed has the first and last trade id −1: left out and counted.
- One stamp, the exchange's: ``source["clock"]`` is "exchange". A bookTicker row has two, its transaction's
  and the later one at which it was published; the first is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InvalidArgument
from ..events import Events
from . import csv
from .binance import known_instrument
from .table import Table
from .text import Progress, cells, first_lines

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["NAME", "read"]

NAME = re.compile(r"(?P<symbol>[A-Z0-9_]+)-(trades|aggTrades|bookTicker)-\d{4}-\d\d(-\d\d)?\.(csv|zip)")
"""How these files are called: ``BTCUSDT-trades-2024-08-08.zip``."""

_TRADES = {"id": 0, "price": 1, "size": 2, "time": 4, "side": 5}
_AGGREGATED = {"id": 0, "price": 1, "size": 2, "time": 5, "side": 6}
_TICKER = {"id": 0, "bid": 1, "bid_size": 2, "ask": 3, "ask_size": 4, "time": 5}
# Number of columns, and the first that is true or false → what the file holds, its market, its columns.
_FILES = {
    (6, 5): ("trades", "futures", _TRADES),
    (7, 5): ("trades", "spot", _TRADES),
    (7, 6): ("aggTrades", "futures", _AGGREGATED),
    (8, 6): ("aggTrades", "spot", _AGGREGATED),
    (7, None): ("bookTicker", "futures", _TICKER),
}
_MAKER = {"true": -1, "false": 1, "True": -1, "False": 1, "TRUE": -1, "FALSE": 1}


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
) -> Events:
    """Read a file, or several of one kind that follow each other.

    Parameters
    ----------
    paths : sequence of Path
        In the order of time; zip, gzip, xz, zstd or plain.
    instrument : Instrument, optional
        Known for USD-M futures of the symbols in :data:`mmcore.feeds.binance.GRIDS`.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.

    Raises
    ------
    InvalidArgument
        None of the three kinds, files of two kinds, or a wrong row, by file and line.
    ConflictError
        An id that came again with other content.
    """
    kinds = [_kind(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        if kind != kinds[0]:
            raise InvalidArgument(
                f"{path}: holds {kind[0]} of {kind[1]}, {paths[0]} {kinds[0][0]} of {kinds[0][1]}",
                argument="path",
                value=str(path),
            )
    holds, market, columns, header = kinds[0]
    name = NAME.match(paths[0].name)
    symbol = name["symbol"] if name else paths[0].name.partition(".")[0]
    if instrument is None:
        instrument = known_instrument(paths[0], symbol, market)
    layout = csv.Layout(
        columns,
        header=header,
        sides=_MAKER,
        time_format="digits",
        unless={4: ("-1",)} if holds == "aggTrades" else {},
        refuse_negative=True,
    )
    events = csv.table(paths, instrument, layout, progress, into)
    events.source |= {"format": "binance_files", "holds": holds, "market": market, "clock": "exchange"}
    return events


def _kind(path: Path) -> tuple[str, str, dict[str, int], bool]:
    """Return what a file holds, of which market, its columns, and whether a header stands above them."""
    lines = [cells(line) for _, line in first_lines(path, 2)]
    header = bool(lines) and not lines[0][0].lstrip("-").isdecimal()
    row = [cell.lower() for cell in lines[header]] if len(lines) > header else []
    said = next((place for place, cell in enumerate(row) if cell in ("true", "false")), None)
    found = _FILES.get((len(row), said))
    if not row:
        raise InvalidArgument(f"{path}: holds no rows", argument="path", value=str(path))
    if found is None:
        which = "none" if said is None else f"number {said + 1} the first"
        raise InvalidArgument(
            f"{path}: not trades, aggTrades or bookTicker of Binance: its first row, {','.join(row)[:80]!r}, "
            f"has {len(row)} columns, {which} of them true or false",
            argument="path",
            value=str(path),
        )
    return (*found, header)
