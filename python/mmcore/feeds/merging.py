"""Several tables of one instrument → one, on one clock.

Each table's stamps are of a clock: ours, or the exchange's, as its reader found them
(``events.source["clock"]``). The two differ by more than a delay: in a capture whose machine ran 1.27 s
behind, trades by exchange stamps among quotes by local stamps would be known 1.27 s before they happened. So
tables of different clocks, or of clocks that nobody named, are only merged when the caller says how: by the
exchange's stamps, by the local ones as they stand, or by local ones that :mod:`mmcore.clocks` corrects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..clocks import correct
from ..errors import InvalidArgument
from ..events import NO_ASK, NO_BID, Events, Quotes, Trades, count_late
from ..parameters import expect

__all__ = ["CLOCKS", "consolidate", "merge"]

CLOCKS = ("local", "exchange", "corrected")
"""What ``clock`` may be."""

_STAMPS = {"local": "local_time", "exchange": "exchange_time", "corrected": "local_time"}


def merge(*tables: Events, clock: str | None = None) -> Events:
    """Merge tables of one instrument by their stamps.

    At equal stamps trades come first, for the quote that follows a trade is its consequence; among rows of
    a kind, those of the table that was given first.

    Parameters
    ----------
    *tables : Events
        Quotes, trades, or both.
    clock : {"local", "exchange", "corrected"}, optional
        Whose stamps order the rows, and become the clock of a replay. "local" takes ``local_time`` of every
        table as it stands. "exchange" takes ``exchange_time`` for both stamps: no table looks ahead of
        another, and no delay is left. "corrected" puts the local stamps of each table that has both on the
        exchange's clock (:func:`mmcore.clocks.correct`), so that its delays stay, beyond the least one; a
        table of the exchange's stamps stands as it is. Omitted: the clock that all tables were read with.

    Returns
    -------
    Events
        ``source["odd"]["rows out of order"]`` counts the rows that stood after one with a later stamp.

    Raises
    ------
    InvalidArgument
        Tables of two instruments, or of different or unknown clocks without a `clock`.
    NotIdentified
        A table of local stamps alone, where they are to be corrected.

    Examples
    --------
    >>> import mmcore as mm
    >>> stock = mm.Instrument("XYZ", tick="0.01")
    >>> ours = mm.Events(stock, None, mm.Quotes([10, 30], [99, 99], [101, 101], exchange_time=[15, 35]),
    ...                  source={"clock": "local"})
    >>> theirs = mm.Events(stock, None, None, mm.Trades([20], [101], [1]), source={"clock": "exchange"})
    >>> merge(ours, theirs)
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: the stamps of XYZ are local, those of XYZ exchange: say by clock= which \
order is meant
    >>> merge(ours, theirs, clock="exchange").local_time.tolist()
    [15, 20, 35]
    >>> merge(ours, theirs, clock="corrected").local_time.tolist()
    [15, 20, 35]
    """
    tables, clock = _on_one_clock(tables, clock)
    first = tables[0]
    stamp = _STAMPS[clock]
    moved = 0
    merged: dict[str, Any] = {}
    for name, kind in (("quotes", Quotes), ("trades", Trades)):
        parts = [getattr(table, name).columns() for table in tables]
        columns = {column: np.concatenate([part[column] for part in parts]) for column in parts[0]}
        columns["local_time"] = columns[stamp]
        moved += sum(count_late(part[stamp]) for part in parts)
        order = np.argsort(columns["local_time"], kind="stable")
        merged[name] = kind(**{column: values[order] for column, values in columns.items()})
    source: dict[str, Any] = {"format": "merged", "clock": clock, "parts": [table.source for table in tables]}
    if moved:
        source["odd"] = {"rows out of order": moved}
    notes = {
        "local": "one clock: ours",
        "exchange": "one clock: the exchange's stamps stand for ours too",
        "corrected": "one clock: the exchange's, on which local stamps are put",
    }
    return Events(
        first.instrument,
        None,
        merged["quotes"],
        merged["trades"],
        name=first.name,
        clock_note=notes[clock],
        source=source,
    )


def consolidate(*tables: Events, clock: str | None = None) -> Events:
    """Merge tables of one instrument on several venues into the best bid and offer of all.

    Each quote row is one venue's news: it becomes a row of the highest bid and the lowest offer that stand
    then, with the sizes of the venues that show them added up. Venues may cross or lock each other; such rows
    are kept, and ``events.summary()`` counts them.

    Parameters
    ----------
    *tables : Events
        One a venue. At equal stamps rows come in the order of the tables.
    clock : {"local", "exchange", "corrected"}, optional
        As for :func:`merge`.

    Examples
    --------
    >>> import mmcore as mm
    >>> stock = mm.Instrument("XYZ", tick="0.01")
    >>> one = mm.Events(stock, None, mm.Quotes([10, 30], [99, 98], [101, 101]))
    >>> other = mm.Events(stock, None, mm.Quotes([20], [99], [100]))
    >>> q = consolidate(one, other, clock="local").quotes
    >>> q.bid.tolist(), q.bid_size.tolist(), q.ask.tolist()
    ([99, 99, 99], [1, 2, 1], [101, 100, 100])
    """
    tables, clock = _on_one_clock(tables, clock)
    merged = merge(*tables, clock=clock)
    stamp = _STAMPS[clock]
    stamps = np.concatenate([getattr(table.quotes, stamp) for table in tables])
    origin = np.repeat(np.arange(len(tables)), [len(table.quotes) for table in tables])
    order = np.argsort(stamps, kind="stable")
    origin = origin[order]
    n = len(order)
    best: dict[str, NDArray[np.int64]] = {}
    for side, absent, sign in (("bid", NO_BID, 1), ("ask", NO_ASK, -1)):
        price, size = np.full(n, absent), np.zeros(n, dtype=np.int64)
        for at, table in enumerate(tables):
            if not len(table.quotes):
                continue
            # Each venue's rows in the order in which the merged table has them.
            mine = np.argsort(getattr(table.quotes, stamp), kind="stable")
            latest = np.cumsum(origin == at) - 1
            row = mine[np.maximum(latest, 0)]
            its = np.where(latest < 0, absent, getattr(table.quotes, side)[row])
            its_size = np.where(latest < 0, 0, getattr(table.quotes, f"{side}_size")[row])
            better = its > price if sign > 0 else its < price
            size = np.where(better, its_size, size + np.where(its == price, its_size, 0))
            price = np.where(better, its, price)
        best |= {side: price, f"{side}_size": size}
    quotes = Quotes(merged.quotes.local_time, exchange_time=merged.quotes.exchange_time, **best)
    return Events(
        merged.instrument,
        None,
        quotes,
        merged.trades,
        name=merged.name,
        clock_note=merged.clock_note,
        source=merged.source | {"format": "consolidated"},
    )


def _on_one_clock(tables: tuple[Events, ...], clock: str | None) -> tuple[tuple[Events, ...], str]:
    """Return the tables, corrected where that was asked for, and the clock that orders their rows."""
    for table in tables:
        expect("tables", table, Events, "Events")
    if not tables:
        raise InvalidArgument(argument="tables", value=tables, allowed="one or more Events")
    if clock is not None and (not isinstance(clock, str) or clock not in CLOCKS):
        raise InvalidArgument(
            argument="clock", value=clock, allowed='"local", "exchange", "corrected" or None'
        )
    first = tables[0]
    for table in tables[1:]:
        if table.instrument != first.instrument:
            raise InvalidArgument(
                f"tables of {first.instrument.name} and {table.instrument.name} count in different units: "
                "merge those of one instrument",
                argument="tables",
            )
    if clock is None:
        clock = _common(tables)
    return (tuple(map(_corrected, tables)) if clock == "corrected" else tables), clock


def _corrected(table: Events) -> Events:
    """Return a table with its local stamps on the exchange's clock."""
    if not len(table) or table.source.get("clock") in ("exchange", "corrected"):
        return table
    return correct(table)[0]


def _common(tables: tuple[Events, ...]) -> str:
    """Return the clock that all tables share."""
    named = [(table.name, table.source.get("clock")) for table in tables]
    (name, clock), *rest = named
    for other, its in rest:
        if its != clock:
            raise InvalidArgument(
                f"the stamps of {name} are {clock or 'of an unknown clock'}, those of {other} "
                f"{its or 'of an unknown clock'}: say by clock= which order is meant",
                argument="clock",
            )
    if clock is None and rest:
        raise InvalidArgument(
            f"whose clock the stamps of {name} and {rest[0][0]} are is not known: say by clock= which order "
            "is meant",
            argument="clock",
        )
    return clock or "local"
