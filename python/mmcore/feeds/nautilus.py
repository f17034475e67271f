"""Quote and trade ticks of Nautilus' Parquet files, by their metadata (extra ``parquet``).

Tick and lot are what ``price_precision`` and ``size_precision`` say, ``instrument_id`` is the name.
``ts_init`` is the local stamp, ``ts_event`` the exchange's. Trades have ``aggressor_side`` 1 (buyer), 2
(seller) or 0.

Prices are taken at the scale that the format documents, 10⁻¹⁶ or 10⁻⁹. There are files whose writer used
another, an EUR/USD of 114.605, and nothing in them says so. What gives them away is that no price uses the
last decimals of its precision: where all are multiples of ten ticks, ``source["odd"]`` asks whether
the scale is right, and ``scale="0.01"`` multiplies the prices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import CorruptError, InvalidArgument
from ..events import NO_ASK, NO_BID, Events, pieces
from ..files import naming
from ..parameters import expect
from . import csv
from .arrow import Damaged, metadata
from .table import Table
from .text import Progress, cells, first_line

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["looks_like_it", "read"]

_STAMPS: dict[str, str | int] = {"local_time": "ts_init", "exchange_time": "ts_event"}
_QUOTES = _STAMPS | {"bid": "bid_price", "ask": "ask_price", "bid_size": "bid_size", "ask_size": "ask_size"}
_TRADES = _STAMPS | {"price": "price", "size": "size", "side": "aggressor_side"}
_SIDES = {"0": 0, "1": 1, "2": -1, "NO_AGGRESSOR": 0, "BUYER": 1, "SELLER": -1}


def _metadata(path: Path) -> dict[bytes, bytes]:
    with naming(path), open(path, "rb") as raw:
        try:
            return metadata(raw)
        except Damaged as error:
            raise CorruptError(f"{path}: damaged or cut short ({error})") from error


def looks_like_it(path: Path) -> bool:
    """Whether a Parquet or Arrow file is one of Nautilus'."""
    return b"price_precision" in _metadata(path)


def read(
    paths: Sequence[Path],
    instrument: Instrument | None = None,
    progress: Progress | None = None,
    into: Table | None = None,
    *,
    scale: str | None = None,
) -> Events:
    """Read a file of quote ticks or of trade ticks, or several that follow each other.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or Arrow files.
    instrument : Instrument, optional
        Made from the metadata when omitted.
    progress : callable, optional
        Called with (bytes read, bytes in all).
    into : Table, optional
        What the rows are added to: one in memory when omitted.
    scale : str, optional
        What the prices are to be multiplied with, a power of ten such as "0.01".

    Raises
    ------
    InvalidArgument
        What is wrong, with file and line.
    CorruptError
        Damaged or cut short.
    MissingExtra
        Without pyarrow.
    """
    from ..instruments import Instrument

    expect("scale", scale, (str, type(None)), 'a power of ten such as "0.01", or None')
    said = _metadata(paths[0])
    if instrument is None:
        try:
            name = said[b"instrument_id"].decode()
            tick, lot = (
                Decimal(1).scaleb(-int(said[key])) for key in (b"price_precision", b"size_precision")
            )
        except (KeyError, ValueError, ArithmeticError) as error:
            raise InvalidArgument(
                f"{paths[0]}: its metadata do not say the instrument ({error})", argument="instrument"
            ) from None
        instrument = Instrument(name, tick=tick, lot=lot)
    names = set(cells(first_line(paths[0])))
    layout = csv.Layout(
        _QUOTES if "bid_price" in names else _TRADES,
        time_format="ns",
        sides=_SIDES,
        rounding="exact",
        refuse_negative=True,
    )
    if scale is not None:
        try:
            factor = Decimal(scale)
            power = factor > 0 and factor.normalize().as_tuple().digits == (1,)
        except InvalidOperation:
            power = False
        if not power:
            raise InvalidArgument(argument="scale", value=scale, allowed='a power of ten such as "0.01"')
        layout = replace(layout, price_scale=factor)
    events = csv.table(paths, instrument, layout, progress, into)
    events.source |= {"format": "nautilus", "scale": scale or "1"}
    step = count = 0
    for values in (events.quotes.bid, events.quotes.ask, events.trades.price):
        for rows in pieces(len(values)):
            prices = values[rows]
            prices = prices[(prices != NO_BID) & (prices != NO_ASK)]
            step, count = math.gcd(step, int(np.gcd.reduce(prices))), count + len(prices)
    if step and step % 10 == 0 and not events.trades.subtick.any():
        what = "prices without the last decimals of their precision: is the scale right?"
        events.source["odd"] |= {what: count}
    return events
