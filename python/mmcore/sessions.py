"""When a market trades: the phases of its day by its own wall clock, and the days it trades on.

A session is a list of moments, each the beginning of a phase that lasts until the next; the last begins
"closed". Times are of the exchange's wall clock (``zone``, of the IANA database), so that they follow its
changes of the hour: a phase begins at the first instant at which the clock of its day shows its time or a
later one. A time that comes twice on a day is the first of the two, one that is skipped is the moment of the
skip.

A session is called after the day on which it closes. What begins on the evening before is written so:
``"-1d 17:00"``. Nothing here knows the hours or the holidays of any exchange: they are the caller's data.

The phases are FIX's trading phases (TradingSessionSubID, tag 625) under its numbers, with 0 for "closed".
While orders are gathered for an auction a book may be crossed; that is no mistake, and it has no mid.

Examples
--------
An exchange that opens with an auction, by hours made up for this example:

>>> stocks = Sessions(
...     "America/New_York",
...     [("08:00", "pre_open"), ("09:28", "opening_auction"), ("09:30", "continuous"), ("16:00", "closed")],
...     holidays=["2024-11-28"],
...     special={"2024-11-29": [("09:30", "continuous"), ("13:00", "closed")]},
... )
>>> at = np.array(["2024-11-01T13:30", "2024-11-04T13:30", "2024-11-04T14:30"], dtype="datetime64[ns]")
>>> [Phase(code).name for code in stocks.phases(at.astype("int64"))]  # the hour changed on 3 November
['CONTINUOUS', 'PRE_OPEN', 'CONTINUOUS']

Futures from the evening before:

>>> futures = Sessions("America/Chicago", [("-1d 17:00", "continuous"), ("16:00", "closed")])
>>> sunday = int(np.datetime64("2024-11-03T23:30", "ns").astype("int64"))  # 17:30 in Chicago
>>> futures.phase(sunday).name
'CONTINUOUS'
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidArgument
from .events import NO_ASK, NO_BID, QUOTE, TRADE, Events, Quotes, _integers
from .files import naming
from .parameters import expect

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["Phase", "Sessions"]

Int64Array = NDArray[np.int64]
Moments = tuple[tuple[str, str], ...]

_SECOND = 1_000_000_000
_DAY = 86_400 * _SECOND
_KEPT = 10_000  # sessions whose moments are kept
_EPOCH = date(1970, 1, 1).toordinal()
_TIME = re.compile(r"(-1d )?(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?", re.ASCII)


class Phase(IntEnum):
    """What a market does: FIX's TradingSessionSubID (tag 625), and 0 for closed."""

    CLOSED = 0
    PRE_OPEN = 1
    OPENING_AUCTION = 2
    CONTINUOUS = 3
    CLOSING_AUCTION = 4
    POST_TRADING = 5
    INTRADAY_AUCTION = 6
    QUIESCENT = 7

    @property
    def auction(self) -> bool:
        """Whether orders are gathered for an auction, so that the book may be crossed and has no mid."""
        return self in (
            Phase.PRE_OPEN,
            Phase.OPENING_AUCTION,
            Phase.CLOSING_AUCTION,
            Phase.INTRADAY_AUCTION,
        )


@dataclass(frozen=True)
class Sessions:
    """The trading phases of a market, for any stamp.

    Parameters
    ----------
    zone : str
        The exchange's time zone by its IANA name: "America/New_York".
    regular : sequence of (str, str or Phase)
        The phases of an ordinary day: when each begins ("HH:MM", "HH:MM:SS" or finer, to "24:00"; "-1d HH:MM"
        on the day before), and what it is called. Times rise; the last phase is "closed".
    weekmask : str
        Seven characters, Monday first: 1 where a session of that day exists.
    holidays : iterable of str or date
        Days without a session.
    special : mapping of str or date to sequence, optional
        Days with a session of their own, written as `regular` is: early closes, late openings, sessions at a
        weekend. It goes before `weekmask` and `holidays`.

    Raises
    ------
    InvalidArgument
        A zone that this system does not know, times that do not rise, a phase that is none; names the day.

    Notes
    -----
    Immutable. Thread-safety: may be used from any number of threads.
    """

    zone: str
    regular: Sequence[tuple[str, str | Phase]]
    weekmask: str = "1111100"
    holidays: Iterable[str | date] = ()
    special: Mapping[Any, Sequence[tuple[str, str | Phase]]] | None = None
    _clock: ZoneInfo = field(init=False, repr=False, compare=False)
    _days: dict[int, list[tuple[int, int]]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        expect("zone", self.zone, str, "the name of a time zone")
        expect("weekmask", self.weekmask, str, "seven of 0 and 1, Monday first")
        if not re.fullmatch("[01]{7}", self.weekmask):
            raise InvalidArgument(
                argument="weekmask", value=self.weekmask, allowed="seven of 0 and 1, Monday first"
            )
        expect("special", self.special, (Mapping, type(None)), "a mapping of days to phases, or None")
        if isinstance(self.holidays, str) or not isinstance(self.holidays, Iterable):
            raise InvalidArgument(argument="holidays", value=self.holidays, allowed="several days")
        special = {
            _date("special", day): _moments(f"special[{day}]", found)
            for day, found in (self.special or {}).items()
        }
        for name, value in (
            ("_clock", _zone(self.zone)),
            ("regular", _moments("regular", self.regular)),
            ("holidays", tuple(sorted({_date("holidays", day) for day in self.holidays}))),
            ("special", special),
        ):
            object.__setattr__(self, name, value)

    # ---- what a moment is

    def phase(self, time: int) -> Phase:
        """Return the phase at a stamp.

        Parameters
        ----------
        time : int
            ns since the epoch, UTC.
        """
        return Phase(int(self.phases([time])[0]))

    def phases(self, time: ArrayLike) -> NDArray[np.uint8]:
        """Return the :class:`Phase` at each stamp, as its number.

        Parameters
        ----------
        time : array_like of int
            ns since the epoch, UTC, in any order.
        """
        stamps = _integers("time", time, "<i8", None)
        if not len(stamps):
            return np.empty(0, dtype=np.uint8)
        first, last = int(stamps.min()) // _DAY, int(stamps.max()) // _DAY
        # Stamps that are years apart are few days, or not of one market: only their own days are looked at.
        days = range(first, last + 1) if last - first < _KEPT // 10 else np.unique(stamps // _DAY).tolist()
        starts, codes = self._around(days)
        found: NDArray[np.uint8] = codes[np.searchsorted(starts, stamps, "right")]
        return found

    def intervals(
        self, start: int, end: int, phases: str | Phase | Iterable[str | Phase] = Phase.CONTINUOUS
    ) -> Int64Array:
        """Return when a market is in some phases, from before `start` to after `end`.

        Parameters
        ----------
        start, end : int
            ns since the epoch, UTC: intervals that overlap [start, end] are returned, whole.
        phases : Phase or str, or several
            Which.

        Returns
        -------
        ndarray of int64, (n, 2)
            Begin (included) and end (excluded) of each, ns. Phases that follow each other are one interval;
            one that lasts for days is cut two days before `start` and after `end`.

        Examples
        --------
        >>> day = Sessions("UTC", [("09:00", "continuous"), ("12:00", "closed")])
        >>> (day.intervals(0, 86_400 * 10**9) // 3_600_000_000_000).tolist()  # Thursday and Friday
        [[9, 12]]
        """
        for name, time in (("start", start), ("end", end)):
            expect(name, time, (int, np.integer), "an integer number of ns since the epoch")
        if end < start:
            raise InvalidArgument(argument="end", value=end, allowed=f"start, {start}, or later")
        wanted = _phases(phases)
        starts, codes = self._around(range(start // _DAY, end // _DAY + 1))
        inside = np.concatenate([[False], np.isin(codes[1:], wanted), [False]])
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        pairs = starts[edges].reshape(-1, 2)
        return pairs[(pairs[:, 1] > start) & (pairs[:, 0] <= end)]

    # ---- what a table is

    def count(self, events: Events) -> dict[str, dict[str, int]]:
        """Count quotes and trades by phase, and the crossed and locked quotes among them.

        By the exchange's stamps, for it is the exchange that opens and closes.

        Returns
        -------
        dict
            Name of each phase that has rows → its "quotes", "trades", "crossed" and "locked"; what stands
            under "closed" happened outside all sessions.

        Examples
        --------
        >>> import mmcore as mm
        >>> day = Sessions("UTC", [("00:00", "pre_open"), ("00:01", "continuous"), ("12:00", "closed")])
        >>> q = mm.Quotes([0, 60 * 10**9], [102, 99], [101, 101])
        >>> day.count(mm.Events(mm.Instrument("XYZ", tick="0.01"), None, q))["pre_open"]
        {'quotes': 1, 'trades': 0, 'crossed': 1, 'locked': 0}
        """
        expect("events", events, Events, "Events")
        quotes = events.quotes
        of_quotes, of_trades = self.phases(quotes.exchange_time), self.phases(events.trades.exchange_time)
        columns = {
            "quotes": of_quotes,
            "trades": of_trades,
            "crossed": of_quotes[quotes.crossed],
            "locked": of_quotes[quotes.locked],
        }
        counts = {name: np.bincount(codes, minlength=len(Phase)) for name, codes in columns.items()}
        return {
            phase.name.lower(): {name: int(count[phase]) for name, count in counts.items()}
            for phase in Phase
            if counts["quotes"][phase] or counts["trades"][phase]
        }

    # ---- as data

    def to_dict(self) -> dict[str, Any]:
        """Return the arguments that make it, JSON-able."""
        days = {day.isoformat(): [list(moment) for moment in found] for day, found in self._special.items()}
        return {
            "zone": self.zone,
            "regular": [list(moment) for moment in self.regular],
            "weekmask": self.weekmask,
            "holidays": [day.isoformat() for day in self._holidays],
            "special": days,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sessions:
        """Read a TOML file whose keys are the arguments.

        Parameters
        ----------
        path : path-like
            Such a file::

                zone = "America/New_York"
                regular = [["08:00", "pre_open"], ["09:30", "continuous"], ["16:00", "closed"]]
                holidays = [2024-11-28]

                [special]
                2024-11-29 = [["09:30", "continuous"], ["13:00", "closed"]]

        Raises
        ------
        InvalidArgument
            No TOML, or an argument that is wrong; names the file.
        """
        import tomllib

        expect("path", path, (str, os.PathLike), "a path")
        with naming(path), open(path, "rb") as file:
            try:
                found = tomllib.load(file)
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise InvalidArgument(
                    f"{path}: not a TOML file ({error})", argument="path", value=str(path)
                ) from None
        known = ("zone", "regular", "weekmask", "holidays", "special")
        if unknown := [name for name in found if name not in known]:
            raise InvalidArgument(
                f"{path}: {unknown[0]!r} is none of {', '.join(known)}", argument="path", value=str(path)
            )
        if missing := [name for name in known[:2] if name not in found]:
            raise InvalidArgument(f"{path}: has no {missing[0]}", argument="path", value=str(path))
        try:
            return cls(**found)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"{path}: {error}", argument=error.argument, value=error.value, allowed=error.allowed
            ) from None

    # ---- the moments of a span

    @property
    def _special(self) -> dict[date, Moments]:
        return self.special  # type: ignore[return-value]  # as __post_init__ left it

    @property
    def _holidays(self) -> tuple[date, ...]:
        return self.holidays  # type: ignore[return-value]

    def _around(self, days: Iterable[int]) -> tuple[Int64Array, NDArray[np.uint8]]:
        """Return the moments around UTC days, and the phase before the first and after each of them."""
        # A session reaches from the day before its own to midnight after it, and a zone 14 hours further.
        near = sorted({day + step for day in days for step in range(-2, 3)})
        found = [
            (max(start, -(2**63)), code)
            for day in near
            for start, code in self._session(day)
            if start < 2**63
        ]
        starts = np.array([start for start, _ in found], dtype=np.int64)
        if (early := starts[1:] < starts[:-1]).any():
            at = str(np.datetime64(int(starts[int(np.argmax(early)) + 1]), "ns"))
            raise InvalidArgument(
                f"sessions overlap: one begins at {at} UTC, before the one of the day before has ended",
                argument="regular",
            )
        codes = np.array([code for _, code in found], dtype=np.uint8)
        last_of_equal = np.append(starts[1:] != starts[:-1], np.ones(min(len(starts), 1), dtype=bool))
        return starts[last_of_equal], np.append(np.uint8(Phase.CLOSED), codes[last_of_equal])

    def _session(self, day: int) -> list[tuple[int, int]]:
        """Return the moments of the session of a day, counted from the epoch."""
        known = self._days.get(day)
        if known is None:
            called = date.fromordinal(day + _EPOCH)
            moments = self._special.get(called)
            if moments is None:
                open_ = self.weekmask[called.weekday()] == "1" and called not in self._holidays
                moments = tuple(self.regular) if open_ else ()  # type: ignore[arg-type]
            known = [
                (self._instant(day * _DAY + _since_midnight(text)), Phase[name.upper()])
                for text, name in moments
            ]
            if len(self._days) == _KEPT:
                self._days.clear()
            self._days[day] = known
        return known

    def _instant(self, wall: int) -> int:
        """Return the first instant, ns UTC, at which the wall clock shows this time or a later one."""
        shown = datetime(1970, 1, 1) + timedelta(microseconds=wall // 1000)
        before, after = (
            int(self._clock.utcoffset(shown.replace(fold=fold)) / timedelta(seconds=1))  # type: ignore[operator]
            for fold in (0, 1)
        )
        if before >= after:  # a time that comes twice is the first: on summer time still
            return wall - before * _SECOND
        # Skipped: the clock jumps over it at an instant between these two.
        low, high = wall // _SECOND - after, wall // _SECOND - before
        while high - low > 1:
            middle = (low + high) // 2
            offset = datetime.fromtimestamp(middle, UTC).astimezone(self._clock).utcoffset()
            low, high = (low, middle) if offset == timedelta(seconds=after) else (middle, high)
        return high * _SECOND


def during(
    events: Events, sessions: Sessions, phases: str | Phase | Iterable[str | Phase] = Phase.CONTINUOUS
) -> Events:
    """Return a table of some phases; see :meth:`mmcore.Events.during`."""
    expect("sessions", sessions, Sessions, "Sessions")
    wanted = _phases(phases)
    if not len(events):
        return events
    quotes, trades = events.quotes, events.trades

    def inside(rows: Any) -> NDArray[np.bool_]:
        found = np.isin(sessions.phases(rows.local_time), wanted)
        if not np.array_equal(rows.local_time, rows.exchange_time):
            found &= np.isin(sessions.phases(rows.exchange_time), wanted)
        return found

    of_quotes, of_trades = inside(quotes), inside(trades)
    ends = sessions.intervals(events.start_time, events.end_time, wanted)[:, 1]
    ends = ends[ends <= events.end_time]
    # Twice the place in the table, so that there is one before each row.
    place = {kind: 2 * np.flatnonzero(events.kind == kind) + 1 for kind in (QUOTE, TRADE)}
    keys = np.concatenate([place[QUOTE], 2 * np.searchsorted(events.local_time, ends, "left")])
    order = np.argsort(keys, kind="stable")
    present = np.concatenate([of_quotes, np.zeros(len(ends), dtype=bool)])[order]
    # Of quotes that are absent one after the other the first says it, and at the beginning nobody need.
    told = present | np.concatenate([[False], present[:-1]])
    columns: dict[str, NDArray[np.int64]] = {}
    for name, absent in (
        ("local_time", None),
        ("exchange_time", None),
        ("bid", NO_BID),
        ("ask", NO_ASK),
        ("bid_size", 0),
        ("ask_size", 0),
    ):
        column = quotes.columns()[name]
        column = np.concatenate([column, ends if absent is None else np.full(len(ends), absent)])[order]
        if absent is not None:
            column = np.where(present, column, absent)
        columns[name] = column[told]
    kept = {QUOTE: keys[order][told], TRADE: place[TRADE][of_trades]}
    kind = np.repeat(np.array([QUOTE, TRADE], dtype=np.uint8), [len(kept[QUOTE]), len(kept[TRADE])])
    names = ", ".join(phase.name.lower() for phase in wanted)
    ignored = dict(events.source.get("ignored", {}))
    for what, left_out in (("quotes", ~of_quotes), ("trades", ~of_trades)):
        if count := int(np.count_nonzero(left_out)):
            ignored[f"{what} outside {names}"] = count
    source = {**events.source, "ignored": ignored, "sessions": sessions.to_dict(), "phases": names}
    return Events(
        events.instrument,
        kind[np.argsort(np.concatenate([kept[QUOTE], kept[TRADE]]), kind="stable")],
        Quotes(**columns),
        type(trades)(**{name: column[of_trades] for name, column in trades.columns().items()}),
        name=events.name,
        clock_note=events.clock_note,
        source=source,
    )


# ---- arguments


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        allowed = "a time zone that this system knows, by its IANA name (pip install tzdata brings them)"
        raise InvalidArgument(argument="zone", value=name, allowed=allowed) from None


def _date(argument: str, day: Any) -> date:
    if isinstance(day, date) and not isinstance(day, datetime):
        return day
    try:
        return date.fromisoformat(day)
    except (TypeError, ValueError):
        raise InvalidArgument(argument=argument, value=day, allowed="days such as 2024-11-28") from None


def _phases(phases: Any) -> list[Phase]:
    """Return one phase or several, each once and in order."""
    several = [phases] if isinstance(phases, (str, int)) else list(phases)
    found = [_phase("phases", phase) for phase in several]
    if not found:
        raise InvalidArgument(argument="phases", value=phases, allowed="one phase or several")
    return sorted(set(found))


def _phase(argument: str, phase: Any) -> Phase:
    if isinstance(phase, Phase):
        return phase
    if isinstance(phase, str) and phase.upper() in Phase.__members__ and phase.islower():
        return Phase[phase.upper()]
    names = ", ".join(known.name.lower() for known in Phase)
    raise InvalidArgument(argument=argument, value=phase, allowed=f"one of {names}")


def _moments(argument: str, moments: Any) -> Moments:
    """Return the phases of a session, checked."""
    if isinstance(moments, str) or not isinstance(moments, Iterable):
        raise InvalidArgument(argument=argument, value=moments, allowed="several (time, phase)")
    found: list[tuple[str, str]] = []
    for moment in moments:
        if isinstance(moment, str) or not isinstance(moment, Sequence) or len(moment) != 2:
            raise InvalidArgument(argument=argument, value=moment, allowed="pairs of a time and a phase")
        text, phase = moment
        if not isinstance(text, str) or not _TIME.fullmatch(text) or not _since_midnight(text) <= _DAY:
            raise InvalidArgument(
                argument=argument,
                value=text,
                allowed='a time such as "09:30", "09:30:00.5", "24:00" or "-1d 17:00"',
            )
        if found and _since_midnight(text) <= _since_midnight(found[-1][0]):
            raise InvalidArgument(
                argument=argument,
                value=text,
                allowed=f'later than {found[-1][0]} before it (of the day before: "-1d {found[-1][0][-5:]}")',
            )
        found.append((text, _phase(argument, phase).name.lower()))
    if found and found[-1][1] != "closed":
        raise InvalidArgument(argument=argument, value=found[-1], allowed='"closed" at its end')
    return tuple(found)


def _since_midnight(text: str) -> int:
    """Return ns since the midnight with which the session's day begins."""
    match = _TIME.fullmatch(text)
    assert match is not None
    before, hours, minutes, seconds, fraction = match.groups()
    if int(minutes) > 59 or int(seconds or 0) > 59:
        return _DAY + 1  # no time of day
    since = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
    return since * _SECOND + int((fraction or "0").ljust(9, "0")) - (_DAY if before else 0)
