"""Market data as one compact table: quotes and trades in the order in which we could have known them.

A feed of any kind becomes an :class:`Events`: dense int64 columns, one set for the quotes (the top
of the book) and one for the trades, and ``kind``, one byte a row, which says which of the two sets
supplies the next row. So both sets are sequential, a loop in compiled code walks them with two
cursors, and every cut of the table is a view: nothing is copied.

Units: prices in ticks, sizes in lots, times in ns since the epoch (UTC). ``local_time`` is when we
could have known; it never falls along the table and it is the clock of a replay. ``exchange_time``
is what the exchange stamped and is never compared with the local clock. A feed with one stamp has
both equal.

An absent side has size 0 and the price :data:`NO_BID` (the smallest int64) or :data:`NO_ASK` (the
largest), so that crossing tests need no special case.

``events.save(path)`` writes one file, described in :mod:`mmcore.event_file`, that
:meth:`Events.load` maps into memory without reading it into the process.

Examples
--------
>>> import numpy as np
>>> import mmcore as mm
>>> stock = mm.Instrument("XYZ", tick="0.01")
>>> quotes = Quotes(local_time=np.array([10, 30]), bid=np.array([99, 100]), ask=np.array([101, 102]))
>>> trades = Trades(local_time=np.array([20]), price=np.array([101]), size=np.array([5]), side=1)
>>> events = Events(stock, None, quotes, trades)
>>> events.kind.tolist(), events.quotes.mid2.tolist()
([1, 2, 1], [200, 202])
>>> first, rest = events.split(0.5)
>>> len(first), len(rest)
(1, 2)
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import event_file
from .errors import CorruptError, InvalidArgument
from .files import irreplaceable
from .parameters import expect

if TYPE_CHECKING:
    from .instruments import Instrument
    from .sessions import Sessions

__all__ = ["HIDDEN", "NO_ASK", "NO_BID", "QUOTE", "SUBTICKS", "TRADE", "Events", "Quotes", "Trades"]

QUOTE = 1
"""Value of ``kind`` for a row of quotes."""
TRADE = 2
"""Value of ``kind`` for a row of trades."""
HIDDEN = 1
"""Bit of ``trades.flags``: an execution against a hidden order, which does not change the quotes."""
NO_BID = -(2**63)
"""Price of an absent bid."""
NO_ASK = 2**63 - 1
"""Price of an absent ask."""
SUBTICKS = 1_000_000
"""``trades.subtick`` counts in 1/SUBTICKS of a tick."""

PRICE_LIMIT = 2**60
"""Largest price, ticks: twice a price less bid + ask stays within int64."""

Int64Array = NDArray[np.int64]


def _integers(name: str, values: ArrayLike, dtype: str, length: int | None) -> NDArray[Any]:
    """Return `values` as a read-only vector of `dtype`; a scalar is repeated `length` times."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise InvalidArgument(argument=name, value=values, allowed="an array of integers") from None
    if array.ndim == 0 and length is not None and array.dtype.kind in "iu":
        array = np.full(length, array)
    if array.ndim != 1:
        raise InvalidArgument(argument=name, value=array.shape, allowed="one-dimensional")
    if array.dtype.kind not in "iu":
        if array.size:
            raise InvalidArgument(argument=name, value=str(array.dtype), allowed="an array of integers")
        array = np.empty(0, dtype=dtype)
    if length is not None and len(array) != length:
        raise InvalidArgument(argument=name, value=len(array), allowed=f"as long as local_time ({length})")
    wanted = np.dtype(dtype)
    if array.size and not np.can_cast(array.dtype, wanted, "safe"):
        limits = np.iinfo(wanted)
        wrong = (array < limits.min) | (array > limits.max)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InvalidArgument(
                argument=name, index=at, value=int(array[at]), allowed=f"within the range of {wanted}"
            )
    return frozen(np.require(array, wanted, ["C", "A"]))


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written."""
    view = array.view()
    view.flags.writeable = False
    return view


def _refuse(name: str, array: NDArray[Any], wrong: NDArray[np.bool_], allowed: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise InvalidArgument(argument=name, index=at, value=array[at].item(), allowed=allowed)


class _Columns:
    """Read-only columns of equal length, by attribute."""

    DTYPES: ClassVar[dict[str, str]] = {}
    _columns: dict[str, NDArray[Any]]

    @classmethod
    def _of(cls, columns: dict[str, NDArray[Any]]) -> Any:
        """Adopt columns that were checked before."""
        new = cls.__new__(cls)
        new._columns = columns
        new.__dict__.update(columns)
        return new

    def __len__(self) -> int:
        return len(self._columns["local_time"])

    def __getitem__(self, rows: slice) -> Any:
        """Return these rows as views of the same memory."""
        if not isinstance(rows, slice):
            raise InvalidArgument(argument="rows", value=rows, allowed="a slice; index the columns instead")
        return type(self)._of({name: column[rows] for name, column in self._columns.items()})

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{type(self).__name__} holds columns: loop over one of {', '.join(self.DTYPES)}")

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return a new dict of name → column, without a copy; ``pandas.DataFrame`` takes it as it is."""
        return dict(self._columns)

    @property
    def nbytes(self) -> int:
        """Bytes that the columns occupy."""
        return sum(column.nbytes for column in self._columns.values())

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} rows; {', '.join(self.DTYPES)}>"


class Quotes(_Columns):
    """The top of the book, one row each time it was published.

    Parameters
    ----------
    local_time : array_like of int
        When we could have known, ns; never falls.
    bid, ask : array_like of int
        Prices in ticks; :data:`NO_BID` or :data:`NO_ASK` where the side is absent.
    bid_size, ask_size : array_like of int, optional
        Sizes in lots, 0 exactly where the side is absent. Omitted (a feed without sizes): 1 where
        the side is present.
    exchange_time : array_like of int, optional
        The exchange's stamp, ns; `local_time` when omitted.

    Raises
    ------
    InvalidArgument
        A column that is not integer, of another length, or out of range; names the row.

    Examples
    --------
    >>> q = Quotes(local_time=[1, 2], bid=[99, NO_BID], ask=[101, 101])
    >>> q.bid_size.tolist(), q.two_sided.tolist()
    ([1, 0], [True, False])
    """

    DTYPES: ClassVar[dict[str, str]] = {
        "exchange_time": "<i8",
        "local_time": "<i8",
        "bid": "<i8",
        "ask": "<i8",
        "bid_size": "<i8",
        "ask_size": "<i8",
    }

    exchange_time: Int64Array
    local_time: Int64Array
    bid: Int64Array
    ask: Int64Array
    bid_size: Int64Array
    ask_size: Int64Array

    def __init__(
        self,
        local_time: ArrayLike,
        bid: ArrayLike,
        ask: ArrayLike,
        bid_size: ArrayLike | None = None,
        ask_size: ArrayLike | None = None,
        exchange_time: ArrayLike | None = None,
    ) -> None:
        local = _integers("local_time", local_time, "<i8", None)
        n = len(local)
        columns = {
            "exchange_time": local
            if exchange_time is None
            else _integers("exchange_time", exchange_time, "<i8", n),
            "local_time": local,
            "bid": _integers("bid", bid, "<i8", n),
            "ask": _integers("ask", ask, "<i8", n),
        }
        for side, size, absent in (("bid", bid_size, NO_BID), ("ask", ask_size, NO_ASK)):
            price = columns[side]
            missing = price == absent
            _refuse(
                side,
                price,
                ~missing & ((price > PRICE_LIMIT) | (price < -PRICE_LIMIT)),
                "within ±2**60 ticks, or the value of an absent side",
            )
            if size is None:
                column = frozen((~missing).astype("<i8"))
            else:
                column = _integers(f"{side}_size", size, "<i8", n)
                _refuse(
                    f"{side}_size",
                    column,
                    (column < 0) | ((column == 0) != missing),
                    "> 0 lots where the side is present and 0 where it is absent",
                )
            columns[f"{side}_size"] = column
        self._columns = columns
        self.__dict__.update(columns)

    @cached_property
    def two_sided(self) -> NDArray[np.bool_]:
        """True where both sides are present."""
        found: NDArray[np.bool_] = (self.bid != NO_BID) & (self.ask != NO_ASK)
        return found

    @cached_property
    def mid2(self) -> Int64Array:
        """Bid + ask in ticks: twice the mid, exactly; :data:`NO_BID` where a side is absent."""
        both = self.two_sided
        total = np.full(len(self), NO_BID, dtype=np.int64)
        np.add(self.bid, self.ask, out=total, where=both)
        return frozen(total)

    @cached_property
    def crossed(self) -> NDArray[np.bool_]:
        """True where bid > ask, both present."""
        found: NDArray[np.bool_] = self.two_sided & (self.bid > self.ask)
        return found

    @cached_property
    def locked(self) -> NDArray[np.bool_]:
        """True where bid = ask, both present."""
        found: NDArray[np.bool_] = self.two_sided & (self.bid == self.ask)
        return found


class Trades(_Columns):
    """Trades as the exchange published them, one row each.

    Parameters
    ----------
    local_time : array_like of int
        When we could have known, ns; never falls.
    price : array_like of int
        Price in ticks, rounded down to the tick.
    size : array_like of int
        Size in lots, > 0.
    side : array_like of int, optional
        +1 buyer-initiated, -1 seller-initiated, 0 unknown.
    subtick : array_like of int, optional
        What `price` left out, in millionths of a tick, 0 ≤ subtick < 1,000,000.
    flags : array_like of int, optional
        Bits: :data:`HIDDEN`.
    exchange_time : array_like of int, optional
        The exchange's stamp, ns; `local_time` when omitted.

    Raises
    ------
    InvalidArgument
        A column that is not integer, of another length, or out of range; names the row.

    Examples
    --------
    >>> t = Trades(local_time=[1, 1], price=[100, 100], size=[5, 7], side=-1, flags=[0, HIDDEN])
    >>> t.side.tolist(), t.visible.tolist()
    ([-1, -1], [True, False])
    """

    DTYPES: ClassVar[dict[str, str]] = {
        "exchange_time": "<i8",
        "local_time": "<i8",
        "price": "<i8",
        "subtick": "<i4",
        "size": "<i8",
        "side": "|i1",
        "flags": "|u1",
    }

    exchange_time: Int64Array
    local_time: Int64Array
    price: Int64Array
    subtick: NDArray[np.int32]
    size: Int64Array
    side: NDArray[np.int8]
    flags: NDArray[np.uint8]

    def __init__(
        self,
        local_time: ArrayLike,
        price: ArrayLike,
        size: ArrayLike,
        side: ArrayLike = 0,
        subtick: ArrayLike = 0,
        flags: ArrayLike = 0,
        exchange_time: ArrayLike | None = None,
    ) -> None:
        local = _integers("local_time", local_time, "<i8", None)
        n = len(local)
        columns = {
            "exchange_time": local
            if exchange_time is None
            else _integers("exchange_time", exchange_time, "<i8", n),
            "local_time": local,
            "price": _integers("price", price, "<i8", n),
            "subtick": _integers("subtick", subtick, "<i4", n),
            "size": _integers("size", size, "<i8", n),
            "side": _integers("side", side, "|i1", n),
            "flags": _integers("flags", flags, "|u1", n),
        }
        column = columns["price"]
        _refuse("price", column, (column > PRICE_LIMIT) | (column < -PRICE_LIMIT), "within ±2**60 ticks")
        _refuse("size", columns["size"], columns["size"] <= 0, "> 0 lots")
        _refuse("side", columns["side"], (columns["side"] < -1) | (columns["side"] > 1), "-1, 0 or +1")
        column = columns["subtick"]
        _refuse("subtick", column, (column < 0) | (column >= SUBTICKS), "in [0, 1000000)")
        self._columns = columns
        self.__dict__.update(columns)

    @cached_property
    def visible(self) -> NDArray[np.bool_]:
        """False for executions against hidden orders."""
        found: NDArray[np.bool_] = (self.flags & HIDDEN) == 0
        return found


def _no_quotes() -> Quotes:
    none = np.empty(0, dtype="<i8")
    return Quotes(none, none, none)


def _no_trades() -> Trades:
    none = np.empty(0, dtype="<i8")
    return Trades(none, none, none)


class Events:
    """Quotes and trades of one instrument, in arrival order.

    Parameters
    ----------
    instrument : Instrument
        Whose ticks and lots the columns count.
    kind : array_like of int, or None
        One entry a row of the table, :data:`QUOTE` or :data:`TRADE`. None merges the two sets by
        `local_time`; at equal stamps the trades come first, for the quote that follows a trade is
        its consequence.
    quotes : Quotes or None
        The quote rows.
    trades : Trades or None
        The trade rows.
    name : str, optional
        What people call this span of data; the instrument's name when omitted.
    clock_note : str, optional
        What is to be known about the stamps.
    source : mapping, optional
        Where it came from; anything that JSON can hold.

    Raises
    ------
    InvalidArgument
        The columns contradict each other: lengths, a stamp that falls, a span of 292 years, a price that
        the instrument does not have.

    Notes
    -----
    Immutable: the columns are read-only, and cuts are views of them. No sequence: :meth:`between` and
    :meth:`split` cut, and the columns of `quotes` and `trades` are arrays.
    Thread-safety: may be read from any number of threads.
    """

    instrument: Instrument
    kind: NDArray[np.uint8]
    quotes: Quotes
    trades: Trades
    name: str
    clock_note: str
    source: dict[str, Any]

    def __init__(
        self,
        instrument: Instrument,
        kind: ArrayLike | None,
        quotes: Quotes | None = None,
        trades: Trades | None = None,
        *,
        name: str | None = None,
        clock_note: str = "",
        source: Mapping[str, Any] | None = None,
    ) -> None:
        from .instruments import Instrument

        expect("instrument", instrument, Instrument, "an Instrument")
        expect("name", name, (str, type(None)), "a text or None")
        expect("clock_note", clock_note, str, "a text")
        expect("source", source, (Mapping, type(None)), "a mapping or None")
        quotes = _no_quotes() if quotes is None else quotes
        trades = _no_trades() if trades is None else trades
        if not isinstance(quotes, Quotes):
            raise InvalidArgument(argument="quotes", value=type(quotes).__name__, allowed="a Quotes or None")
        if not isinstance(trades, Trades):
            raise InvalidArgument(argument="trades", value=type(trades).__name__, allowed="a Trades or None")
        for what, rows in (("quotes", quotes), ("trades", trades)):
            time = rows.local_time
            _refuse(f"{what}.local_time", time[1:], time[1:] < time[:-1], "no earlier than the row before it")
        refuse_span(quotes, trades)
        if not instrument.negative_prices:
            _refuse("quotes.bid", quotes.bid, (quotes.bid <= 0) & (quotes.bid != NO_BID), "> 0 ticks")
            _refuse("quotes.ask", quotes.ask, quotes.ask <= 0, "> 0 ticks")
            price = trades.price
            _refuse("trades.price", price, (price < 0) | ((price == 0) & (trades.subtick == 0)), "> 0 ticks")
        if kind is None:
            order = merged_kinds(quotes.local_time, trades.local_time)
        else:
            order = _integers("kind", kind, "|u1", None)
            _refuse("kind", order, (order != QUOTE) & (order != TRADE), "1 (quote) or 2 (trade)")
            n_quotes = int(np.count_nonzero(order == QUOTE))
            if n_quotes != len(quotes) or len(order) - n_quotes != len(trades):
                raise InvalidArgument(
                    f"kind names {n_quotes} quotes and {len(order) - n_quotes} trades, but there are "
                    f"{len(quotes)} and {len(trades)}",
                    argument="kind",
                )
        self._adopt(
            order, instrument, quotes, trades, name or instrument.name, clock_note, dict(source or {})
        )
        if kind is not None:
            time = self.local_time
            _refuse("local_time", time[1:], time[1:] < time[:-1], "no earlier than the row before it")

    def _adopt(
        self,
        kind: NDArray[np.uint8],
        instrument: Instrument,
        quotes: Quotes,
        trades: Trades,
        name: str,
        clock_note: str,
        source: dict[str, Any],
    ) -> None:
        self.kind = kind
        self.instrument = instrument
        self.quotes = quotes
        self.trades = trades
        self.name = name
        self.clock_note = clock_note
        self.source = source

    @classmethod
    def _of(cls, *adopted: Any) -> Events:
        """Adopt what was checked before."""
        new = cls.__new__(cls)
        new._adopt(*adopted)
        return new

    # ---- what it holds

    def __len__(self) -> int:
        return len(self.kind)

    @cached_property
    def local_time(self) -> Int64Array:
        """``local_time`` of every row of the table, ns (a new array, made once)."""
        time = np.empty(len(self.kind), dtype=np.int64)
        time[self.kind == QUOTE] = self.quotes.local_time
        time[self.kind == TRADE] = self.trades.local_time
        return frozen(time)

    @property
    def start_time(self) -> int:
        """``local_time`` of the first row, ns.

        Raises
        ------
        InvalidArgument
            The table is empty.
        """
        return min(self._end(0))

    @property
    def end_time(self) -> int:
        """``local_time`` of the last row, ns.

        Raises
        ------
        InvalidArgument
            The table is empty.
        """
        return max(self._end(-1))

    def _end(self, at: int) -> list[int]:
        if not len(self):
            raise InvalidArgument(f"{self.name}: no events, so no start or end", argument="events")
        return [int(rows.local_time[at]) for rows in (self.quotes, self.trades) if len(rows)]

    @property
    def duration(self) -> float:
        """Seconds from the first row to the last; 0.0 when empty."""
        return (self.end_time - self.start_time) / 1e9 if len(self) else 0.0

    @property
    def mid2(self) -> Int64Array:
        """Bid + ask per quote row, in ticks: see :attr:`Quotes.mid2`."""
        return self.quotes.mid2

    @property
    def nbytes(self) -> int:
        """Bytes that the columns occupy."""
        return self.kind.nbytes + self.quotes.nbytes + self.trades.nbytes

    # ---- cuts

    def between(self, start: int | None = None, end: int | None = None) -> Events:
        """Return the rows with start ≤ local_time < end, as views of the same memory.

        Parameters
        ----------
        start, end : int or None
            ns; None leaves that end open.

        Examples
        --------
        >>> import mmcore as mm
        >>> q = Quotes(local_time=[1, 2, 3], bid=[9, 9, 9], ask=[10, 11, 12])
        >>> Events(mm.Instrument("XYZ", tick="0.01"), None, q).between(2, 3).quotes.ask.tolist()
        [11]
        """
        for what, time in (("start", start), ("end", end)):
            if time is not None and not isinstance(time, int | np.integer):
                raise InvalidArgument(argument=what, value=time, allowed="an integer of ns or None")
        cuts = []
        for rows in (self.quotes, self.trades):
            first = 0 if start is None else int(np.searchsorted(rows.local_time, start, "left"))
            last = len(rows) if end is None else int(np.searchsorted(rows.local_time, end, "left"))
            cuts.append((first, max(first, last)))
        (q0, q1), (t0, t1) = cuts
        # local_time never falls along the table, so the rows before a stamp are the quotes before
        # it and the trades before it: their number is where `kind` is cut.
        return Events._of(
            self.kind[q0 + t0 : q1 + t1],
            self.instrument,
            self.quotes[q0:q1],
            self.trades[t0:t1],
            self.name,
            self.clock_note,
            self.source,
        )

    def split(self, fraction: float) -> tuple[Events, Events]:
        """Cut by time: the first `fraction` of the duration, and the rest.

        Rows of one stamp are never parted: the cut is at start + fraction·(end − start), rounded
        down to the ns, and a row on it belongs to the rest.

        Parameters
        ----------
        fraction : float
            In [0, 1].

        Raises
        ------
        InvalidArgument
            `fraction` outside [0, 1], or an empty table.
        """
        number: Any = fraction
        try:
            exact = number if isinstance(number, Fraction) else Fraction(float(number))
        except (TypeError, ValueError, OverflowError):
            exact = None
        if exact is None or isinstance(number, str) or not 0 <= exact <= 1:
            raise InvalidArgument(argument="fraction", value=fraction, allowed="a number in [0, 1]")
        start, end = self.start_time, self.end_time
        cut = start + int(exact * (end - start))
        return self.between(None, cut), self.between(cut, None)

    def during(self, sessions: Sessions, phases: Any = "continuous") -> Events:
        """Return the market as it is for somebody who is there in some phases only, by default in continuous
        trading.

        A row is in a phase when both of its stamps are. Other trades are left out. Other quotes, among them
        the crossed ones before an auction, become absent on both sides, and so does the quote that stands
        when the phase ends: nothing is quoted then, and no trade fills what rests, until the first quote of
        the next such phase. ``source["ignored"]`` counts what is left out.

        Parameters
        ----------
        sessions : Sessions
            When the market trades.
        phases : Phase or str, or several
            Which.

        Examples
        --------
        >>> import mmcore as mm
        >>> s = 1_000_000_000
        >>> day = mm.Sessions("UTC", [("00:00", "pre_open"), ("00:01", "continuous"), ("00:02", "closed")])
        >>> q = Quotes(local_time=[0, 60 * s, 90 * s, 130 * s], bid=[103, 99, 98, 97], ask=[101] * 4)
        >>> found = Events(mm.Instrument("XYZ", tick="0.01"), None, q).during(day).quotes
        >>> (found.local_time // s).tolist(), found.two_sided.tolist()
        ([60, 90, 120], [True, True, False])
        """
        from .sessions import during

        return during(self, sessions, phases)

    # ---- what people look at

    def summary(self) -> dict[str, Any]:
        """Return counts, span and spread; JSON-able.

        ``start`` and ``end`` are local stamps as text, UTC; ``seconds`` is the time between them and
        ``longest_silence`` that between two rows, in s. ``spread`` is in ticks: smallest, mean over the
        quotes, weighted by time, largest; over the quotes that have both sides. ``without_market`` is the
        share of the time in which a side was absent, or no quote had come. ``low`` and ``high`` of the
        trades, ``lowest_bid`` and ``highest_ask`` are ticks of ``tick``, rounded down, ``volume`` lots of
        ``lot`` (texts, in currency and units), ``vwap`` a
        decimal text in currency, rounded to 10 decimals.
        ``repeated_quotes`` have the top of the quote before, ``duplicate_…`` its stamps too.
        ``late_exchange_stamps`` stand after a later one, quotes and trades apart; ``negative_latencies``
        have a local stamp before the exchange's.
        """
        n: Counter[str] = Counter()
        low: list[int] = []
        high: list[int] = []
        bids: list[int] = []
        asks: list[int] = []
        for quotes in _overlapping(self.quotes):
            same = _repeats(quotes, ("bid", "ask", "bid_size", "ask_size"))
            stamped = _repeats(quotes, ("local_time", "exchange_time"))
            n["repeated"] += int(np.count_nonzero(same))
            n["duplicates"] += int(np.count_nonzero(same & stamped))
            bids += [int(found.min()) for found in [quotes.bid[quotes.bid != NO_BID]] if len(found)]
            asks += [int(found.max()) for found in [quotes.ask[quotes.ask != NO_ASK]] if len(found)]
        for trades in _overlapping(self.trades):
            n["again"] += int(np.count_nonzero(_repeats(trades, tuple(trades.DTYPES))))
            low.append(int(trades.price.min()))
            high.append(int(trades.price.max()))
        for rows in pieces(len(self.trades)):
            n["volume"] += _total(self.trades.size[rows])
            n["sideless"] += int(np.count_nonzero(self.trades.side[rows] == 0))
        for table in (self.quotes, self.trades):
            for rows in pieces(len(table)):
                n["negative"] += int(np.count_nonzero(table.local_time[rows] < table.exchange_time[rows]))
        silence = 0
        for steps in self._steps():
            n["equal"] += int(np.count_nonzero(steps == 0))
            silence = max(silence, int(steps.max()))
        return self._counts() | {
            "sideless_trades": n["sideless"],
            "volume": n["volume"],
            "low": min(low, default=None),
            "high": max(high, default=None),
            "vwap": self._vwap(n["volume"]) if low else None,
            "lowest_bid": min(bids, default=None),
            "highest_ask": max(asks, default=None),
            "repeated_quotes": n["repeated"],
            "duplicate_quotes": n["duplicates"],
            "duplicate_trades": n["again"],
            "late_exchange_stamps": count_late(self.quotes.exchange_time)
            + count_late(self.trades.exchange_time),
            "negative_latencies": n["negative"],
            "equal_stamps": n["equal"],
            "longest_silence": silence / 1e9,
        }

    def _steps(self) -> Iterator[Int64Array]:
        """Yield the times between each row and the next, piece by piece."""
        last: list[int] = []
        for _, part in parts(self):
            if len(steps := np.diff(part.local_time, prepend=np.array(last, dtype=np.int64))):
                yield steps
            last = [part.end_time]

    def _counts(self) -> dict[str, Any]:
        """Return the part of the summary that the table is shown by."""
        quotes, trades = self.quotes, self.trades
        n: Counter[str] = Counter()
        least: list[int] = []
        widest: list[int] = []
        for rows in pieces(len(trades)):
            sides = trades.side[rows]
            n["hidden"] += int(np.count_nonzero(trades.flags[rows] & HIDDEN))
            n["off_grid"] += int(np.count_nonzero(trades.subtick[rows]))
            n["buys"] += int(np.count_nonzero(sides > 0))
            n["sells"] += int(np.count_nonzero(sides < 0))
        for rows in pieces(len(quotes)):
            part = quotes[rows]
            both = part.two_sided
            n["two_sided"] += len(spread := part.ask[both] - part.bid[both])
            n["crossed"] += int(np.count_nonzero(spread < 0))
            n["locked"] += int(np.count_nonzero(spread == 0))
            if len(spread):
                least.append(int(spread.min()))
                widest.append(int(spread.max()))
                n["spread"] += _total(spread)
                until = quotes.local_time[rows.start + 1 : rows.stop + 1]  # the last quote stands for no time
                held = until[both[: len(until)]] - part.local_time[: len(until)][both[: len(until)]]
                n["held"] += _total(held)
                n["weighed"] += _total_product(spread[: len(held)], held)
        span = self.end_time - self.start_time if len(self) else 0
        shown = n["held"]
        if len(quotes) and quotes.bid[-1] != NO_BID and quotes.ask[-1] != NO_ASK:
            shown += self.end_time - int(quotes.local_time[-1])
        return {
            "name": self.name,
            "instrument": self.instrument.name,
            "tick": f"{self.instrument.tick:f}",
            "lot": f"{self.instrument.lot:f}",
            "quotes": len(quotes),
            "trades": len(trades),
            "hidden_trades": n["hidden"],
            "off_grid_trades": n["off_grid"],
            "buys": n["buys"],
            "sells": n["sells"],
            "one_sided_quotes": len(quotes) - n["two_sided"],
            "crossed_quotes": n["crossed"],
            "locked_quotes": n["locked"],
            "start": _utc(self.start_time) if len(self) else None,
            "end": _utc(self.end_time) if len(self) else None,
            "seconds": self.duration,
            "spread": {
                "min": min(least),
                "mean": n["spread"] / n["two_sided"],
                "time_weighted": n["weighed"] / n["held"] if n["held"] else None,
                "max": max(widest),
            }
            if least
            else None,
            "without_market": (span - shown) / span if span and len(quotes) else None,
            "clock_note": self.clock_note,
        }

    def _vwap(self, volume: int) -> str:
        """Return the mean price by size, in currency, exact to the last of 10 decimals."""
        trades, tick = self.trades, Fraction(self.instrument.tick)
        whole = 0
        for rows in pieces(len(trades)):
            # In parts whose products keep within int64, or else in Python's integers.
            whole += _total_product(trades.price[rows], trades.size[rows]) * SUBTICKS
            whole += _total_product(trades.subtick[rows].astype(np.int64), trades.size[rows])
        scaled = round(Fraction(whole, volume * SUBTICKS) * tick * 10**10)
        sign, scaled = "-" * (scaled < 0), abs(scaled)
        return f"{sign}{scaled // 10**10}.{scaled % 10**10:010d}"

    def __repr__(self) -> str:
        s = self._counts()
        lines = [f"<Events {s['name']}: {s['quotes']:,} quotes, {s['trades']:,} trades"]
        if len(self):
            lines[0] += f", {s['start']} to {s['end']} ({s['seconds']:,.3f} s)"
        if s["spread"]:
            spread = s["spread"]
            wide = spread["time_weighted"]
            mean = f"{spread['mean']:.3g} over the quotes" if wide is None else f"{wide:.3g} over time"
            lines[0] += f"; spread {spread['min']} to {spread['max']} ticks, mean {mean}"
        lines += [f"{n:,} {what}" for what, n in oddities(s, _UNUSUAL)]
        if self.clock_note:
            lines.append(self.clock_note)
        return "; ".join(lines) + ">"

    def _repr_html_(self) -> str:
        from html import escape

        s = self._counts()
        rows = [
            ("instrument", s["instrument"]),
            ("quotes", f"{s['quotes']:,}"),
            ("trades", f"{s['trades']:,} ({s['buys']:,} buys, {s['sells']:,} sells)"),
        ]
        if len(self):
            rows.append(("span (UTC)", f"{s['start']} to {s['end']}, {s['seconds']:,.3f} s"))
        if s["spread"]:
            spread = s["spread"]
            text = f"{spread['min']} to {spread['max']}, mean {spread['mean']:.4g}"
            if spread["time_weighted"] is not None:
                text += f", weighted by time {spread['time_weighted']:.4g}"
            rows.append(("spread (ticks)", text))
        rows += [(what, f"{n:,}") for what, n in oddities(s, _UNUSUAL)]
        if self.clock_note:
            rows.append(("clock", self.clock_note))
        body = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
        return f"<table><caption>{escape(self.name)}</caption>{body}</table>"

    # ---- the file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the table to one file that :meth:`load` maps into memory.

        The file appears whole or not at all: it is written beside `path` and then renamed. It takes the
        place of an event file that is there, and of no other.

        Raises
        ------
        InvalidArgument
            Something else than an event file is there.
        OSError
            The place cannot be written; nothing is left behind.
        """
        expect("path", path, (str, os.PathLike), "a path")
        if (allowed := irreplaceable(path, event_file.MAGIC, "an event file")) is not None:
            raise InvalidArgument(argument="path", value=os.fspath(path), allowed=allowed)
        columns: dict[str, NDArray[Any]] = {"kind": self.kind}
        columns |= {f"quotes.{name}": column for name, column in self.quotes.columns().items()}
        columns |= {f"trades.{name}": column for name, column in self.trades.columns().items()}
        described = {
            "instrument": self.instrument.to_dict(),
            "name": self.name,
            "clock_note": self.clock_note,
            "source": self.source,
        }
        event_file.write(path, described, columns)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Events:
        """Map a file that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.
        verify : bool
            Compare the checksum of each column, which reads the file once. The header is always
            verified.

        Raises
        ------
        CorruptError
            Not such a file, cut short, altered, or written by a newer version.
        """
        from .instruments import Instrument

        expect("path", path, (str, os.PathLike), "a path")
        described, columns = event_file.read(path, _DTYPES, verify)
        quotes = Quotes._of({name: columns[f"quotes.{name}"] for name in Quotes.DTYPES})
        trades = Trades._of({name: columns[f"trades.{name}"] for name in Trades.DTYPES})
        kind = columns["kind"]
        lengths = [{len(column) for column in rows.columns().values()} for rows in (quotes, trades)]
        if any(len(found) != 1 for found in lengths) or len(kind) != len(quotes) + len(trades):
            raise CorruptError(f"{path}: the columns have lengths that do not fit together")
        try:
            instrument = Instrument.from_dict(described["instrument"])
            note, source = described["clock_note"], described["source"]
            return cls._of(kind, instrument, quotes, trades, described["name"], note, source)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError(f"{path}: the header is not what an event file holds ({error!r})") from error


_DTYPES = {
    "kind": "|u1",
    **{f"quotes.{name}": dtype for name, dtype in Quotes.DTYPES.items()},
    **{f"trades.{name}": dtype for name, dtype in Trades.DTYPES.items()},
}


def refuse_span(quotes: Quotes, trades: Trades) -> None:
    """Refuse stamps between which int64 does not hold the time."""
    ends = [int(rows.local_time[at]) for rows in (quotes, trades) if len(rows) for at in (0, -1)]
    if ends and max(ends) - min(ends) >= 2**63:
        raise InvalidArgument(
            argument="local_time",
            value=max(ends),
            allowed=f"less than 2**63 ns (292 years) after the first stamp, {min(ends)}",
        )


def merged_kinds(quote_time: Int64Array, trade_time: Int64Array) -> NDArray[np.uint8]:
    """Return `kind` for two ascending sets of stamps: trades first where they are equal."""
    kind = np.full(len(quote_time) + len(trade_time), QUOTE, dtype=np.uint8)
    before = np.searchsorted(quote_time, trade_time, "left")
    kind[before + np.arange(len(trade_time))] = TRADE
    return frozen(kind)


def _overlapping(rows: Any) -> Iterator[Any]:
    """Yield pieces of columns, each but the first with the last row of the one before it."""
    for piece in pieces(len(rows)):
        yield rows[max(piece.start - 1, 0) : piece.stop]


def _repeats(rows: _Columns, names: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return where each row but the first has these columns of the row before it."""
    same = np.ones(max(len(rows) - 1, 0), dtype=bool)
    for name in names:
        column = rows.columns()[name]
        same &= column[1:] == column[:-1]
    return same


_ROWS = 1 << 17  # a piece


def pieces(length: int) -> Iterator[slice]:
    """Yield so many rows piece by piece, so that what is computed of them never is as long as a table.

    Examples
    --------
    >>> list(pieces(_ROWS + 1)) == [slice(0, _ROWS), slice(_ROWS, _ROWS + 1)]
    True
    """
    for start in range(0, length, _ROWS):
        yield slice(start, min(start + _ROWS, length))


def parts(events: Events) -> Iterator[tuple[int, Events]]:
    """Yield a table piece by piece, as views, each with the number of quotes before it.

    Examples
    --------
    >>> import mmcore as mm
    >>> q = Quotes(local_time=[1, 3], bid=[9, 9], ask=[10, 11])
    >>> [(n, len(part)) for n, part in parts(Events(mm.Instrument("XYZ", tick="0.01"), None, q))]
    [(0, 2)]
    """
    q = t = 0
    for rows in pieces(len(events)):
        kind = events.kind[rows]
        n = int(np.count_nonzero(kind == QUOTE))
        m = len(kind) - n
        part = events.quotes[q : q + n], events.trades[t : t + m]
        yield q, Events._of(kind, events.instrument, *part, events.name, events.clock_note, events.source)
        q, t = q + n, t + m


def last_where(good: Callable[[Any], NDArray[np.bool_]], rows: Int64Array) -> Int64Array:
    """Return the last row at or before each of `rows` that is good; -1 where there is none.

    Parameters
    ----------
    good : callable
        Says of some rows, an array of them or a slice, which are good.
    rows : array of int64
        Where to begin; -1 before the first row.

    Examples
    --------
    >>> bid = np.array([0, 7, 0, 0])
    >>> last_where(lambda rows: bid[rows] > 0, np.array([0, 1, 3]))
    array([-1,  1,  1])
    """
    found = np.array(rows, dtype=np.int64)
    left = np.flatnonzero(found >= 0)
    left = left[~good(found[left])]
    while len(left):  # back from the end, piece by piece of those that are asked about
        piece = found[left] // _ROWS
        start = int(piece.max()) * _ROWS
        here, left = left[piece == start // _ROWS], left[piece != start // _ROWS]
        stop = int(found[here].max()) + 1
        last = np.maximum.accumulate(np.where(good(slice(start, stop)), np.arange(start, stop), -1))
        last = last[found[here] - start]
        found[here] = np.where(last < 0, start - 1, last)
        left = np.concatenate([left, here[(last < 0) & (start > 0)]])
    return found


def first_where(good: Callable[[Any], NDArray[np.bool_]], length: int) -> int:
    """Return the first of so many rows that is good, as in :func:`last_where`; -1 where there is none."""
    for rows in pieces(length):
        if (there := good(rows)).any():
            return int(rows.start) + int(np.argmax(there))
    return -1


def quotes_in_force(quotes: Quotes, times: Int64Array) -> Int64Array:
    """Return the row of the last quote that is not crossed at each time; -1 before the first.

    Examples
    --------
    >>> quotes_in_force(Quotes([1, 2, 3], [9, 9, 9], [10, 8, 8]), np.array([0, 1, 3]))
    array([-1,  0,  0])
    """
    return last_where(uncrossed(quotes), np.searchsorted(quotes.local_time, times, "right") - 1)


def uncrossed(quotes: Quotes) -> Callable[[Any], NDArray[np.bool_]]:
    """Return what says of rows which quotes are not crossed, as no quote without a side is."""
    return lambda rows: quotes.bid[rows] <= quotes.ask[rows]


def two_sided(quotes: Quotes) -> Callable[[Any], NDArray[np.bool_]]:
    """Return what says of rows which quotes have both sides."""
    return lambda rows: (quotes.bid[rows] != NO_BID) & (quotes.ask[rows] != NO_ASK)


def with_mid(quotes: Quotes) -> Callable[[Any], NDArray[np.bool_]]:
    """Return what says of rows which quotes have both sides and are not crossed."""
    both, apart = two_sided(quotes), uncrossed(quotes)
    return lambda rows: both(rows) & apart(rows)


def count_late(stamps: Int64Array) -> int:
    """Count the stamps that stand after a later one."""
    late, latest = 0, -(2**63)
    for rows in pieces(len(stamps)):
        highest = np.maximum(np.maximum.accumulate(stamps[rows]), latest)
        late += int(np.count_nonzero(stamps[rows] < highest))
        latest = int(highest[-1])
    return late


def _total(values: Int64Array) -> int:
    """Return the exact sum: halves of 32 bits do not overflow below 2³¹ rows."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def _total_product(prices: Int64Array, sizes: Int64Array) -> int:
    """Return the exact sum of products."""
    if not len(prices):
        return 0
    most = int(abs(prices).max()) * int(sizes.max())
    if most < 2**62:
        return _total(prices * sizes)
    return sum(p * n for p, n in zip(prices.tolist(), sizes.tolist(), strict=True))


_UNUSUAL = (
    "hidden_trades",
    "off_grid_trades",
    "one_sided_quotes",
    "crossed_quotes",
    "locked_quotes",
)
_ODD = (
    *_UNUSUAL,
    "duplicate_quotes",
    "duplicate_trades",
    "repeated_quotes",
    "late_exchange_stamps",
    "negative_latencies",
)


def oddities(summary: Mapping[str, Any], names: tuple[str, ...] = _ODD) -> list[tuple[str, int]]:
    """Return the counts of a summary that are seldom above zero, where they are."""
    return [(name.replace("_", " "), summary[name]) for name in names if summary[name]]


def expect_events(events: object) -> None:
    """Refuse what is no :class:`Events`, such as the path of a file."""
    expect("events", events, Events, "an mmcore.Events; mmcore.load(path) makes one")


def _utc(time: int) -> str:
    """Return ns since the epoch as ISO 8601 to the ms."""
    return str(np.datetime64(time // 1_000_000, "ms")).replace("T", " ")
