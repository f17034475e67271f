"""A table that grows by parts, in memory or on the disk.

A reader makes small tables of the rows that it has at hand, and :class:`Table` joins them. Where its columns
are files on the disk, no more than a part is ever in memory: what comes out is mapped.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..events import QUOTE, TRADE, Events, Quotes, Trades, frozen, merged_kinds, pieces, refuse_span

if TYPE_CHECKING:
    from ..instruments import Instrument

__all__ = ["Column", "SpoolError", "Table"]

_AHEAD = 1 << 17  # rows that are merged at a time


class SpoolError(OSError):
    """A folder in which columns cannot be kept."""


class Column:
    """Values of one type that grow, in memory."""

    def __init__(self, dtype: str) -> None:
        self._array: NDArray[Any] = np.empty(0, dtype)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, values: NDArray[Any]) -> None:
        """Add values at the end."""
        if not len(values):
            return
        end = self._length + len(values)
        if not self._length:
            self._array = values  # as it is, for it may be all
        else:
            if end > len(self._array):
                grown = np.empty(max(end, 2 * len(self._array)), self._array.dtype)
                grown[: self._length] = self._array[: self._length]
                self._array = grown
            self._array[self._length : end] = values
        self._length = end

    def values(self) -> NDArray[Any]:
        """Return what has been added, as a view that cannot be written."""
        return frozen(self._array[: self._length])

    def close(self) -> None:
        """Let go of what is open; arrays that were returned stay."""


class _Spool(Column):
    """Values of one type that grow, in a file without a name."""

    def __init__(self, dtype: str, folder: str) -> None:
        super().__init__(dtype)
        self._folder = folder
        with _naming(self._folder):
            self._file: Any = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - see close

    def append(self, values: NDArray[Any]) -> None:
        left = np.ascontiguousarray(values).view(np.uint8).data
        with _naming(self._folder):
            while left:
                left = left[self._file.write(left) :]
        self._length += len(values)

    def values(self) -> NDArray[Any]:
        if self._length > len(self._array):
            mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
            self._array = np.frombuffer(mapped, self._array.dtype)
        return frozen(self._array)

    def close(self) -> None:
        self._file.close()


@contextmanager
def _naming(folder: str) -> Iterator[None]:
    """Say in which folder something failed: a file without a name cannot."""
    try:
        yield
    except OSError as error:
        raise SpoolError(error.errno, error.strerror, folder) from None


class Table:
    """Parts of one table, one after the other.

    Parameters
    ----------
    folder : path-like, optional
        Where the columns are kept, in files without a name that vanish with the last array that maps them;
        in memory when omitted.

    Notes
    -----
    A context manager: at its end the files are closed. Thread-safety: one writer.

    Examples
    --------
    >>> import mmcore as mm
    >>> stock = mm.Instrument("XYZ", tick="0.01")
    >>> with Table() as table:
    ...     for time in (10, 20):
    ...         table.add(Events(stock, None, Quotes([time], [99], [101])))
    ...     events = table.events(stock, source={})
    >>> events.local_time.tolist()
    [10, 20]
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._make: Callable[[str], Column] = Column
        if folder is not None:
            place = os.fspath(folder)
            self._make = lambda dtype: _Spool(dtype, place)
        self._open: list[Column] = []
        self._kind = self.column("|u1")
        self._quotes = {name: self.column(dtype) for name, dtype in Quotes.DTYPES.items()}
        self._trades = {name: self.column(dtype) for name, dtype in Trades.DTYPES.items()}
        self._last: int | None = None
        self._falls = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for column in self._open:
            column.close()

    def column(self, dtype: str) -> Column:
        """Return an empty column that is kept where those of the table are."""
        made = self._make(dtype)
        self._open.append(made)
        return made

    def add(self, part: Events) -> None:
        """Add rows at the end."""
        if not len(part):
            return
        self._falls |= self._last is not None and part.start_time < self._last
        self._last = part.end_time
        self._kind.append(part.kind)
        for columns, rows in ((self._quotes, part.quotes), (self._trades, part.trades)):
            for name, values in rows.columns().items():
                columns[name].append(values)

    def __len__(self) -> int:
        return len(self._kind)

    @property
    def quotes(self) -> Quotes:
        """The quotes that have been added."""
        return cast(Quotes, Quotes._of({name: column.values() for name, column in self._quotes.items()}))

    @property
    def trades(self) -> Trades:
        """The trades that have been added."""
        return cast(Trades, Trades._of({name: column.values() for name, column in self._trades.items()}))

    def sort(self) -> None:
        """Put the rows in the order of ``local_time``; those of one stamp keep theirs.

        Holds the stamps of all rows and their order in memory, 16 bytes a row, if a part begins before the
        end of the one before it.
        """
        if not self._falls:
            return
        kind = self._kind.values()
        time = np.empty(len(kind), dtype=np.int64)
        for code, columns in ((QUOTE, self._quotes), (TRADE, self._trades)):
            time[kind == code] = columns["local_time"].values()
        self._kind = self._taken(self._kind, np.argsort(time, kind="stable"))
        del time
        for columns in (self._quotes, self._trades):
            order = np.argsort(columns["local_time"].values(), kind="stable")
            for name, column in columns.items():
                columns[name] = self._taken(column, order)
        self._falls = False

    def _taken(self, column: Column, order: NDArray[np.int64]) -> Column:
        values = column.values()
        made = self.column(values.dtype.str)
        for rows in pieces(len(order)):
            made.append(values[order[rows]])
        column.close()
        return made

    def merge(self) -> None:
        """Order quotes and trades, each in the order of ``local_time`` already, as :class:`Events` does."""
        quotes, trades = self._quotes["local_time"].values(), self._trades["local_time"].values()
        self._kind = self.column("|u1")
        q = t = 0
        while q < len(quotes) or t < len(trades):
            # Up to a stamp, all of it, that is about a piece away.
            ahead = [
                int(s[min(at + _AHEAD, len(s)) - 1]) for s, at in ((quotes, q), (trades, t)) if at < len(s)
            ]
            before = q, t
            q, t = (int(np.searchsorted(stamps, min(ahead), "right")) for stamps in (quotes, trades))
            self._kind.append(merged_kinds(quotes[before[0] : q], trades[before[1] : t]))
        self._falls = False

    def events(
        self,
        instrument: Instrument,
        *,
        name: str | None = None,
        clock_note: str = "",
        source: Mapping[str, Any],
    ) -> Events:
        """Return what has been added as one table; arguments as for :class:`Events`.

        Raises
        ------
        InvalidArgument
            The stamps fall from a part to the next, or span 292 years.
        """
        if self._falls:
            raise InvalidArgument(
                argument="local_time", value=self._last, allowed="no earlier than before it"
            )
        quotes, trades = self.quotes, self.trades
        refuse_span(quotes, trades)
        return Events._of(
            self._kind.values(),
            instrument,
            quotes,
            trades,
            name or instrument.name,
            clock_note,
            dict(source),
        )
