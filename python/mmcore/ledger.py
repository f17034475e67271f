"""What the history of a book says: double entries, adjustments, and how it compares with a statement.

A :class:`~mmcore.Book` is a history of records (docs/ledger.md), and its state is what the records in force
lead to. Here the history is walked record by record, and each change of a position is told in the terms of an
accountant. For an instrument let Δ be the change that a record makes; with u units of currency in one unit
of cash, the entries of a record are

    cash       u·Δcash  −  Δfees  −  Δpayments
    inventory  u·Δcost / 10⁹
    converted  u·Δcarried / 10⁹
    profit    −u·Δrealised / 10⁹
    fees, funding, borrow, dividend, in_lieu    what was paid

and add up to zero in every currency: cash that goes buys inventory, pays somebody, or is lost. Nothing is
ever changed in hindsight: a bust is entered where it stands, with all that it changes.

Examples
--------
>>> import mmcore as mm
>>> book = mm.Book([mm.Instrument("X", tick="0.01")])
>>> book.fill("X", 2, 1000, id="a"), book.fill("X", -1, 1010, id="b"), book.bust("X", "a")
(<Status.OK: 0>, <Status.OK: 0>, <Status.OK: 0>)
>>> for entry in book.entries():
...     print(entry.row, entry.account, entry.amount)
0 cash -20.00
0 inventory 20.00
1 cash 10.10
1 inventory -10.00
1 profit -0.10
2 cash 20.00
2 inventory -20.10
2 profit 0.10
>>> [(a.row, a.target, a.net, a.realised) for a in book.adjustments()]
[(2, 0, -2, Decimal('-0.10'))]
>>> book.reconcile({"X": {"net": -1, "fees": 3}})
[Difference(instrument='X', what='fees', ours=0, theirs=3)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .book import _KINDS, Book, _records
from .errors import InvalidArgument, Unsupported
from .instruments import Instrument

__all__ = ["Adjustment", "Difference", "Entry", "adjustments", "entries", "reconcile", "regressions"]

COST_SCALE = 10**9
ABOUT = {_KINDS[name]: name for name in ("bust", "correct", "release")}

_State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the double entries of a record."""

    row: int
    """Of the record in ``book.history``."""
    time: int
    """Of the record, ns."""
    instrument: str
    account: str
    currency: str
    amount: Decimal
    """What the account gets, exactly."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a bust, a correction or a release changed in one instrument, at its own time."""

    row: int
    """Of the record in ``book.history``."""
    kind: str
    target: int
    """The row that it is about."""
    time: int
    """Of the record, ns."""
    instrument: str
    net: int
    """Change of the position, lots."""
    realised: Decimal
    """Change of the realised profit, in the instrument's currency."""
    fees: Decimal
    """Change of the fees in the instrument's currency."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a statement and the book disagree; None: one of them does not have it."""

    instrument: str
    what: str
    ours: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class _Step:
    row: int
    record: np.void
    instrument: Instrument
    before: _State
    after: _State

    def change(self, what: str) -> int:
        return int(self.after[what] - self.before[what])

    def realised(self) -> int:
        return COST_SCALE * self.change("cash") + self.change("cost") + self.change("carried")


def _history(book: Book, wanted: str) -> npt.NDArray[np.void]:
    if not book.keeps_history:
        raise Unsupported(
            f"{wanted} of a book with history='none': it keeps no records", argument="book", allowed="'full'"
        )
    return book.history


def _steps(book: Book, wanted: str) -> Iterator[_Step]:
    """Book the history anew, record by record; yield each position that a record changed."""
    history = _history(book, wanted)
    twin = Book(book.instruments, book.cost, currencies=book.currencies, ids_window=book.ids_window)  # type: ignore[arg-type]
    names = list(twin)
    states = {name: twin[name]._totals for name in names}
    for row in range(len(history)):
        record = history[row]
        twin.apply(history[row : row + 1])
        kind = int(record["kind"])
        touched = names  # a bust can change what came of a conversion
        if kind not in (_KINDS["bust"], _KINDS["correct"]):
            touched = [names[record["instrument"]]] if 0 <= record["instrument"] < len(names) else []
            if kind == _KINDS["convert"] and record["target"] != record["instrument"]:
                touched.append(names[record["target"]])
        for name in touched:
            before, after = states[name], twin[name]._totals
            if before != after:
                states[name] = after
                yield _Step(row, record, twin[name].instrument, before, after)


def _paid(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Changes of pools by currency."""
    changes = {name: after.get(name, 0) - before.get(name, 0) for name in {**before, **after}}
    return {name: change for name, change in changes.items() if change}


def entries(book: Book) -> list[Entry]:
    """Return the double entries of every record of a book's history.

    Parameters
    ----------
    book : Book
        With a history.

    Returns
    -------
    list of Entry
        In the order of the history; those of one record add up to zero in each currency.

    Raises
    ------
    Unsupported
        The book keeps no history.

    Notes
    -----
    The history is booked anew, and a bust or correction in it takes as long as all before it.
    """
    units = {currency.name: currency for currency in book.currencies}
    result = []
    for step in _steps(book, "entries"):
        instrument, before, after = step.instrument, step.before, step.after
        own = instrument.currency.name
        lines = [
            ("cash", own, instrument.worth(step.change("cash"))),
            ("inventory", own, instrument.worth(Fraction(step.change("cost"), COST_SCALE))),
            ("converted", own, instrument.worth(Fraction(step.change("carried"), COST_SCALE))),
            ("profit", own, instrument.worth(Fraction(-step.realised(), COST_SCALE))),
        ]
        paid = {"fees": _paid(before["other_fees"], after["other_fees"])}
        paid["fees"][own] = step.change("fees")
        for kind in {**before["payments"], **after["payments"]}:
            paid[kind] = _paid(before["payments"].get(kind, {}), after["payments"].get(kind, {}))
        for account, changes in paid.items():
            for currency, change in changes.items():
                lines.append(("cash", currency, units[currency].amount(-change)))
                lines.append((account, currency, units[currency].amount(change)))
        for account, currency, amount in lines:
            if amount:
                result.append(
                    Entry(step.row, int(step.record["time"]), instrument.name, account, currency, amount)
                )
    return result


def adjustments(book: Book) -> list[Adjustment]:
    """Return what the busts, corrections and releases of a history changed, each at its own time.

    Parameters
    ----------
    book : Book
        With a history.

    Returns
    -------
    list of Adjustment
        One for each instrument that a record changed: a conversion carries a bust on to another one.

    Raises
    ------
    Unsupported
        The book keeps no history.
    """
    return [
        Adjustment(
            step.row,
            ABOUT[int(step.record["kind"])],
            int(step.record["target"]) - 1,
            int(step.record["time"]),
            step.instrument.name,
            step.change("net"),
            step.instrument.worth(Fraction(step.realised(), COST_SCALE)),
            step.instrument.currency.amount(step.change("fees")),
        )
        for step in _steps(book, "adjustments")
        if int(step.record["kind"]) in ABOUT
    ]


def regressions(book: Book, tolerance: int | np.integer[Any] = 0) -> npt.NDArray[np.int64]:
    """Return the rows of a history whose time is before that of an earlier row.

    Parameters
    ----------
    book : Book
        With a history. Fills are booked in the order in which they come, whatever their stamps.
    tolerance : int
        How far back is not worth a word, ns.

    Returns
    -------
    array of int64

    Raises
    ------
    Unsupported
        The book keeps no history.

    Examples
    --------
    >>> import mmcore as mm
    >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
    >>> [book["X"].fill(1, 1000, time=t).name for t in (10, 30, 20, 30)]
    ['OK', 'OK', 'OK', 'OK']
    >>> regressions(book).tolist(), regressions(book, tolerance=10).tolist()
    ([2], [])
    """
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, np.integer)) or tolerance < 0:
        raise InvalidArgument(argument="tolerance", value=tolerance, allowed="an integer >= 0, ns")
    times = _history(book, "regressions")["time"]
    behind = (np.maximum.accumulate(times) - times).view(np.uint64)  # which it fits, modulo 2**64
    return np.flatnonzero(behind > np.uint64(min(int(tolerance), 2**64 - 1)))


def reconcile(book: Book, statement: Any) -> list[Difference]:
    """Compare a book with the statement of a venue or a broker; nothing is changed.

    Parameters
    ----------
    book : Book
        Ours.
    statement : mapping, or array of FILL
        By instrument either the net position in lots, or a mapping of anything that
        :meth:`Position.state_dict` tells, in its units: ``{"X": {"net": 5, "fees": 120}}``. It is complete:
        an open position that it does not name is a difference. Or their fills, by id: made by
        :meth:`Book.records`.

    Returns
    -------
    list of Difference
        By instrument, in the book's order, then those that the book does not have. For fills ``what`` is
        ``"fill"`` and the side and id, with None where one of the two does not know it.

    Raises
    ------
    InvalidArgument
        Anything else, or a fill without id.
    UnknownName
        Something that a position does not tell.
    """
    if isinstance(statement, np.ndarray):
        return _fills_compared(book, statement)
    if not isinstance(statement, Mapping):
        allowed = "a mapping by instrument, or an array of dtype mmcore.FILL"
        raise InvalidArgument(argument="statement", value=type(statement).__name__, allowed=allowed)
    result = []
    for name in book:
        ours = book[name].state_dict()
        told = statement.get(name)
        theirs: Mapping[str, Any] = told if isinstance(told, Mapping) else {"net": told}
        if told is None and ours["net"] == 0:
            continue
        for what, value in theirs.items():
            if what not in ours:
                allowed = "one of " + ", ".join(ours)
                raise InvalidArgument(argument=f"statement[{name!r}]", value=what, allowed=allowed)
            if ours[what] != value:
                result.append(Difference(name, what, ours[what], value))
    for name, told in statement.items():
        if name not in book:
            result.append(
                Difference(name, "net", None, told.get("net") if isinstance(told, Mapping) else told)
            )
    return result


_CONTENT = ("qty", "price", "fee", "fee_currency")


def _fills_compared(book: Book, theirs: npt.NDArray[np.void]) -> list[Difference]:
    theirs = _records(theirs, "statement")
    bare = np.flatnonzero(theirs["id"] == b"")
    if len(bare):
        raise InvalidArgument(argument="statement", value=b"", allowed="fills with ids", index=int(bare[0]))
    _history(book, "fills")
    names = list(book)
    currencies = [currency.name for currency in book.currencies]
    own = [currencies.index(instrument.currency.name) for instrument in book.instruments]

    def by_id(fills: npt.NDArray[np.void]) -> dict[tuple[str, str, bytes], tuple[int, ...]]:
        result = {}
        for fill in fills[fills["id"] != b""]:
            at = int(fill["instrument"])
            name = names[at] if 0 <= at < len(names) else f"instrument {at}"
            side = "sold" if fill["qty"] < 0 else "bought"
            content = {field: int(fill[field]) for field in _CONTENT}
            if 0 <= at < len(names) and content["fee_currency"] == own[at]:
                content["fee_currency"] = -1
            result[name, side, bytes(fill["id"])] = tuple(content.values())
        return result

    ours, told = by_id(book.in_force), by_id(theirs)
    return [
        Difference(key[0], f"fill, {key[1]}, {key[2].decode(errors='replace')}", ours.get(key), told.get(key))
        for key in {**ours, **told}
        if ours.get(key) != told.get(key)
    ]
