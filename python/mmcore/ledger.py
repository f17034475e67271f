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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from .book import _KINDS, Book, _records
from .errors import InvalidArgument, Unsupported
from .instruments import Instrument, _decimal
from .parameters import expect

__all__ = [
    "Adjustment",
    "Breach",
    "Difference",
    "Entry",
    "adjustments",
    "breaches",
    "entries",
    "reconcile",
    "regressions",
]

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
    unmet: int = 0
    """Change of :attr:`mmcore.Position.unmet`: named lots that fills do not close any more."""


@dataclass(frozen=True, slots=True)
class Breach:
    """A record that left a limit exceeded, and by more than before it."""

    row: int | None
    """Of the record in ``book.history``, or of the last one where a watch begins; None without history."""
    time: int
    """Of the record, ns."""
    instrument: str
    limit: str
    """``"position"`` or ``"notional"``."""
    most: int | Decimal
    """What the limit allows: lots, or money in the instrument's currency."""
    value: int | Decimal
    """What there was after the record, in the same unit."""
    ended: int | None = None
    """The row of the record that brought it back within the limit; None: it is exceeded still."""


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
    expect("book", book, Book, "a Book")
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
    first = 0
    for row in range(len(history)):
        record = history[row]
        kind = int(record["kind"])
        if kind == _KINDS["identify"]:
            continue  # it comes with its fill
        twin.apply(history[first : row + 1])
        first = row + 1
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
    expect("book", book, Book, "a Book")
    units = {currency.name: currency for currency in book.currencies}
    result = []
    for step in _steps(book, "entries"):
        instrument, before, after = step.instrument, step.before, step.after
        own = instrument.currency.name
        changes = {
            "cash": COST_SCALE * step.change("cash"),
            "inventory": step.change("cost"),
            "converted": step.change("carried"),
            "profit": -step.realised(),
        }
        lines = [
            (account, own, instrument.worth(Fraction(change, COST_SCALE)))
            for account, change in changes.items()
            if change
        ]
        paid = {"fees": _paid(before["other_fees"], after["other_fees"])}
        paid["fees"][own] = step.change("fees")
        for kind in {**before["payments"], **after["payments"]}:
            paid[kind] = _paid(before["payments"].get(kind, {}), after["payments"].get(kind, {}))
        for account, amounts in paid.items():
            for currency, change in amounts.items():
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
            step.change("unmet") if book.cost == "specific" else 0,
        )
        for step in _steps(book, "adjustments")
        if int(step.record["kind"]) in ABOUT
    ]


# ---- limits ----

_Limits = dict[str, dict[str, int | Decimal]]


def _limits(book: Book, limits: Any) -> _Limits:
    """Read limits as they are given: by instrument, position in lots and notional in money."""
    if not isinstance(limits, Mapping):
        allowed = "a mapping from instruments to {'position': lots, 'notional': money}"
        raise InvalidArgument(argument="limits", value=limits, allowed=allowed)
    result: _Limits = {}
    for name, given in limits.items():
        book[name]  # raises where there is none
        at = f"limits[{name!r}]"
        if not isinstance(given, Mapping) or not given or set(given) - {"position", "notional"}:
            raise InvalidArgument(argument=at, value=given, allowed="'position', 'notional' or both")
        result[name] = {}
        for limit, most in given.items():
            number = _decimal(f"{at}[{limit!r}]", most)
            if number < 0 or (limit == "position" and number != int(number)):
                allowed = "a whole number of lots >= 0" if limit == "position" else "an amount >= 0"
                raise InvalidArgument(argument=f"{at}[{limit!r}]", value=most, allowed=allowed)
            result[name][limit] = int(number) if limit == "position" else number
    return result


def _exposure(instrument: Instrument, limit: str, net: int, cost: int) -> int | Decimal:
    return abs(net) if limit == "position" else instrument.worth(Fraction(abs(cost), COST_SCALE))


class _Watch:
    """What tells a book's owner of breaches as they come: see :meth:`mmcore.Book.watch`."""

    def __init__(self, book: Book, limits: _Limits, notice: Callable[[Breach], object] | None) -> None:
        self.limits, self.notice = limits, notice
        self.watched = {
            index: (instrument, limits[instrument.name])
            for index, instrument in enumerate(book.instruments)
            if instrument.name in limits
        }

    def __call__(
        self, index: int, before: tuple[int, int], after: tuple[int, int], row: int | None, time: int
    ) -> list[Breach]:
        """Return, and tell of, the breaches that a change of (net, cost) makes."""
        if index not in self.watched:
            return []
        result = []
        instrument, limits = self.watched[index]
        for limit, most in limits.items():
            value = _exposure(instrument, limit, *after)
            if value > most and value > _exposure(instrument, limit, *before):
                result.append(Breach(row, time, instrument.name, limit, most, value))
        for breach in result if self.notice else ():
            self.notice(breach)  # type: ignore[misc]
        return result


def breaches(book: Book, limits: Mapping[str, Mapping[str, Any]] | None = None) -> list[Breach]:
    """Return the records of a history that left a limit exceeded, and by more than before.

    Parameters
    ----------
    book : Book
        With a history.
    limits : mapping, optional
        As for :meth:`mmcore.Book.watch`; those that the book watches when omitted.

    Returns
    -------
    list of Breach
        In the order of the history. A fill that was busted later did exceed the limit: its breach ended with
        the bust, unless it had ended before.

    Raises
    ------
    Unsupported
        The book keeps no history.
    InvalidArgument, UnknownName
        As in :meth:`mmcore.Book.watch`.

    Notes
    -----
    The history is booked anew, and a bust or correction in it takes as long as all before it.

    Examples
    --------
    >>> import mmcore as mm
    >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
    >>> [book["X"].fill(qty, 1000).name for qty in (8, 4, 1, -2, -3)]
    ['OK', 'OK', 'OK', 'OK', 'OK']
    >>> for breach in breaches(book, {"X": {"position": 10, "notional": "125.00"}}):
    ...     print(breach.row, breach.limit, breach.value, "ended", breach.ended)
    1 position 12 ended 4
    2 position 13 ended 4
    2 notional 130.00 ended 3
    """
    expect("book", book, Book, "a Book")
    watch = _Watch(book, book.limits if limits is None else _limits(book, limits), None)
    order = {name: index for index, name in enumerate(book)}
    result: list[Breach] = []
    open_ones: dict[tuple[str, str], list[int]] = {}  # where in the result
    for step in _steps(book, "breaches"):
        name = step.instrument.name
        before, after = [(state["net"], state["cost"]) for state in (step.before, step.after)]
        for limit, most in watch.limits.get(name, {}).items():
            if _exposure(step.instrument, limit, *after) <= most:
                for at in open_ones.pop((name, limit), ()):
                    result[at] = replace(result[at], ended=step.row)
        for breach in watch(order[name], before, after, step.row, int(step.record["time"])):
            open_ones.setdefault((name, breach.limit), []).append(len(result))
            result.append(breach)
    return result


def regressions(book: Book, tolerance: int | np.integer[Any] = 0) -> npt.NDArray[np.int64]:
    """Return the rows of a history whose time is before that of an earlier row.

    Parameters
    ----------
    book : Book
        With a history. Fills are booked in the order in which they come, whatever their stamps; records
        without a time (0) say nothing of the order.
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
    timed = np.flatnonzero(times)
    times = times[timed]
    behind = (np.maximum.accumulate(times) - times).view(np.uint64)  # which it fits, modulo 2**64
    rows: npt.NDArray[np.int64] = timed[behind > np.uint64(min(int(tolerance), 2**64 - 1))]
    return rows


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
        :meth:`Book.records`. What was read from JSON will do: lists stand for tuples.

    Returns
    -------
    list of Difference
        By instrument, in the book's order, then those that the book does not have. For fills ``what`` is
        ``"fill"`` and the side and id, with None where one of the two does not know it.

    Raises
    ------
    InvalidArgument
        Anything else, a fill without id, or two of one id and side that are not the same.
    UnknownName
        Something that a position does not tell.
    """
    expect("book", book, Book, "a Book")
    if isinstance(statement, np.ndarray):
        return _fills_compared(book, statement)
    if not isinstance(statement, Mapping):
        allowed = "a mapping by instrument, or an array of dtype mmcore.FILL"
        raise InvalidArgument(argument="statement", value=type(statement).__name__, allowed=allowed)
    for name, told in statement.items():
        if not isinstance(name, str):
            allowed = "a mapping by names of instruments"
            raise InvalidArgument(argument="statement", value=name, allowed=allowed)
        if told is None or isinstance(told, (list, tuple)):
            allowed = "lots, or a mapping of what a position tells"
            raise InvalidArgument(argument=f"statement[{name!r}]", value=told, allowed=allowed)
    result = []
    for name in book:
        ours = book[name].state_dict()
        told = statement.get(name)
        theirs = _read(f"statement[{name!r}]", told if isinstance(told, Mapping) else {"net": told})
        if told is None and ours["net"] == 0:
            continue
        for what, value in theirs.items():
            if what not in ours:
                allowed = "one of " + ", ".join(ours)
                raise InvalidArgument(argument=f"statement[{name!r}]", value=what, allowed=allowed)
            if _without_zeros(ours[what]) != _without_zeros(value):
                result.append(Difference(name, what, ours[what], value))
    for name, told in statement.items():
        if name not in book:
            theirs = _read(f"statement[{name!r}]", told if isinstance(told, Mapping) else {"net": told})
            if any(_without_zeros(value) for value in theirs.values()):
                result.append(Difference(name, "net", None, theirs.get("net")))
    return result


def _without_zeros(value: Any) -> Any:
    """Pools as a position has them: those of 0 are left out."""
    if not isinstance(value, Mapping):
        return value
    return {key: told for key, pool in value.items() if (told := _without_zeros(pool))}


def _read(at: str, value: Any) -> Any:
    """Read what a statement says in the terms of a position: JSON has lists where that has tuples."""
    if isinstance(value, Mapping):
        return {key: _read(f"{at}[{key!r}]", told) for key, told in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple([_read(f"{at}[{i}]", told) for i, told in enumerate(value)])
    if value is None or isinstance(value, Fraction):
        return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return int(value)
    raise InvalidArgument(argument=at, value=value, allowed="integers, as Position.state_dict has them")


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
        result: dict[tuple[str, str, bytes], tuple[int, ...]] = {}
        for fill in fills[fills["id"] != b""]:
            at = int(fill["instrument"])
            name = fill["reference"].decode(errors="replace") or f"instrument {at}"  # of an unknown one
            name = names[at] if 0 <= at < len(names) else name
            side = "sold" if fill["qty"] < 0 else "bought"
            content = {field: int(fill[field]) for field in _CONTENT}
            if 0 <= at < len(names) and content["fee_currency"] == own[at]:
                content["fee_currency"] = -1
            key, told = (name, side, bytes(fill["id"])), tuple(content.values())
            if result.setdefault(key, told) != told:
                raise InvalidArgument(
                    f"statement has the id {key[2]!r} twice: {name}, {side}, {result[key]} and {told}",
                    argument="statement",
                    value=key[2],
                    allowed="one content for each id",
                )
        return result

    ours, told = by_id(book.in_force), by_id(theirs)
    order = {name: index for index, name in enumerate(names)}
    return [
        Difference(key[0], f"fill, {key[1]}, {key[2].decode(errors='replace')}", ours.get(key), told.get(key))
        for key in sorted({**ours, **told}, key=lambda key: order.get(key[0], len(order)))
        if ours.get(key) != told.get(key)
    ]
