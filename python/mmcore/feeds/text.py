"""Rows of text from a file that may be compressed, in pieces, with errors that name file and line."""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import lzma
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ..decimals import Fields
from ..decimals import cells as _cells
from ..errors import CorruptError, Error, InvalidArgument, MissingExtra, OutOfBounds
from ..files import naming
from .arrow import Damaged, as_text, begins
from .columns import Refuse

__all__ = [
    "MISSING",
    "PACKED",
    "Progress",
    "Rounding",
    "Rows",
    "asking",
    "blocks",
    "cells",
    "content",
    "damage",
    "everything",
    "first_line",
    "first_lines",
    "member",
    "refuse",
    "refusing",
    "rows",
    "shares",
    "stem",
    "unpacked",
]

Progress = Callable[[int, int], object]
"""Called with the bytes of the file read so far and its size."""
Rounding = Literal["exact", "floor", "ceil", "nearest"]

MISSING = -(2**63)
"""What :meth:`Rows.integers` makes of a field that says that there is no number."""

_STANDS_FOR = {"side": "+1, -1 or 0", "kind": '"quote" or "trade"'}

PACKED = (".gz", ".xz", ".zip", ".zst")
"""How the names of packed files end."""

_BLOCK = 1 << 20  # what is cut and parsed stays in the cache
_SHOWN = 5  # files of a folder that are named


def _opened(raw: BinaryIO) -> BinaryIO:
    """Look at the first bytes, not at the name: captures get renamed."""
    start = raw.read(6)
    raw.seek(0)
    if start[:2] == b"\x1f\x8b":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if start == b"\xfd7zXZ\0":
        return cast(BinaryIO, lzma.LZMAFile(raw))
    if start[:4] == b"\x28\xb5\x2f\xfd":
        return cast(BinaryIO, _zstd(raw.name).ZstdFile(raw))
    if start[:4] in (b"PK\3\4", b"PK\5\6"):  # the second where it holds nothing
        return member(raw)
    if begins(start):
        return as_text(raw)
    return raw


def stem(name: str) -> str:
    """Return a file's name without the ending of what packed it.

    Examples
    --------
    >>> stem("rows.csv.zst"), stem("rows.csv")
    ('rows.csv', 'rows.csv')
    """
    return next((name[: -len(end)] for end in PACKED if name.lower().endswith(end)), name)


def _zstd(name: str) -> Any:
    """Return the module that reads zstd: Python's own since 3.14, before it the same from an extra."""
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        raise MissingExtra(f"{name}: zstd", "zstd") from None
    return zstd


def member(raw: BinaryIO, name: str | None = None) -> BinaryIO:
    """Open the one file that a zip holds, or the one of this name."""
    try:
        packed = zipfile.ZipFile(raw)
        # By its own name: ZipInfo.is_dir fails for one without a name before Python 3.12.
        members = [member for member in packed.infolist() if not member.filename.endswith("/")]
        if name is not None:
            members = [packed.getinfo(name)]
        if not members:
            raise InvalidArgument(f"{raw.name}: an empty zip: no file in it", argument="path", value=raw.name)
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:_SHOWN])
            raise InvalidArgument(
                f"{raw.name}: a zip of {len(members)} files ({names}); one is read as it is: unpack it first",
                argument="path",
                value=raw.name,
            )
        if members[0].flag_bits & 1:
            raise InvalidArgument(f"{raw.name}: is encrypted", argument="path", value=raw.name)
        if members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile("compressed by an unusual method")
        return cast(BinaryIO, packed.open(members[0]))
    except InvalidArgument:
        raise
    except (NotImplementedError, OverflowError, RuntimeError, ValueError, struct.error) as error:
        raise zipfile.BadZipFile(str(error)) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # which a place that lies before the file is
            raise
        raise zipfile.BadZipFile(str(error)) from error


def damage() -> tuple[type[Exception], ...]:
    """Return the exceptions by which the packers say that a file is damaged."""
    known: list[type[Exception]] = [
        EOFError,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        Damaged,
    ]
    for name in ("compression.zstd", "backports.zstd"):
        if module := sys.modules.get(name):
            known.append(module.ZstdError)
    return tuple(known)


def blocks(path: Path, progress: Progress | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield pieces of whole lines, unpacked, each with the 0-based line it starts at.

    Parameters
    ----------
    path : Path
        Plain, gzip, xz, zip (of one file), zstd (extra `zstd`), or the rows of a Parquet or Arrow file
        (extra `parquet`); recognised by the first bytes.
    progress : callable, optional
        Called with (bytes read, bytes in all) of the file as it is on disk.

    Raises
    ------
    CorruptError
        Damaged or cut short in compression.
    """
    with naming(path), open(path, "rb") as raw:
        total = path.stat().st_size
        line = 0
        rest = b""
        try:
            stream = _opened(raw)
            while block := stream.read(_BLOCK):
                if progress is not None:
                    progress(min(raw.tell(), total), total)
                cut = block.rfind(b"\n") + 1
                if not cut:
                    rest += block
                    continue
                piece = rest + block[:cut]
                rest = block[cut:]
                yield piece, line
                line += piece.count(b"\n")
        except damage() as error:
            raise CorruptError(
                f"{path}: damaged or cut short after line {_whole_lines(path):,} ({error})"
            ) from error
        if rest:
            yield rest, line


def everything(path: Path) -> bytes:
    """Return all that a file holds, unpacked; it may be a pipe, which is read into memory first.

    Parameters
    ----------
    path : Path
        As for :func:`blocks`.

    Raises
    ------
    CorruptError
        Damaged or cut short in compression.
    """
    with naming(path), open(path, "rb") as raw:
        file: Any = raw
        if not raw.seekable():
            file = io.BytesIO(raw.read())
            file.name = raw.name
        try:
            return _opened(file).read()
        except damage() as error:
            raise CorruptError(f"{path}: damaged or cut short ({error})") from error


@contextmanager
def unpacked(path: Path, progress: Progress | None = None) -> Iterator[Callable[[int], bytes]]:
    """Open a file, and give a function that reads the next so many bytes, unpacked; fewer only at the end.

    Parameters
    ----------
    path : Path
        As for :func:`blocks`.
    progress : callable, optional
        As for :func:`blocks`.

    Raises
    ------
    CorruptError
        Damaged or cut short in compression.
    """
    with naming(path), open(path, "rb") as raw:
        total = path.stat().st_size
        try:
            stream = _opened(raw)

            def read(count: int) -> bytes:
                pieces = []
                while count and (piece := stream.read(min(count, _BLOCK))):  # which sets so much aside
                    pieces.append(piece)
                    count -= len(piece)
                if progress is not None:
                    progress(min(raw.tell(), total), total)
                return b"".join(pieces)

            yield read
        except damage() as error:
            raise CorruptError(f"{path}: damaged or cut short ({error})") from error


def _whole_lines(path: Path) -> int:
    """Count the lines that can be unpacked before the damage: a large block is lost as a whole."""
    count = 0
    with open(path, "rb") as raw, suppress(*damage()):
        stream = cast(gzip.GzipFile, _opened(raw))
        while piece := stream.read1(io.DEFAULT_BUFFER_SIZE):
            count += piece.count(b"\n")
    return count


def first_lines(path: Path, count: int) -> list[tuple[int, bytes]]:
    """Return the first lines that are not empty, at most so many: the place of each, from 0, and its text.

    Only the beginning of the file is read: lines beyond 64 KiB come back cut, or not at all.
    """
    with naming(path), open(path, "rb") as raw:
        try:
            head = _opened(raw).read(1 << 16)
        except damage() as error:
            raise CorruptError(f"{path}: damaged or cut short ({error})") from error
    return [(at, line.rstrip(b"\r")) for at, line in enumerate(head.split(b"\n")) if line.strip()][:count]


def first_line(path: Path) -> bytes:
    """Return the first line that is not empty, as :func:`first_lines` does; b"" when there is none."""
    return next((line for _, line in first_lines(path, 1)), b"")


def cells(line: bytes, delimiter: str = ",") -> list[str]:
    r"""Return the fields of a line, which may be the first of a file, cut as those of rows are.

    One that no row could be, with a quote that is not closed, is cut at its delimiters alone.

    Examples
    --------
    >>> cells(b'\xef\xbb\xbf"Time, UTC", bid,ask')
    ['Time, UTC', 'bid', 'ask']
    """
    line = line.removeprefix(codecs.BOM_UTF8)
    try:
        return _cells(line, delimiter) or [""]
    except InvalidArgument as error:
        if error.argument == "delimiter":
            raise
        return line.decode("utf-8", "backslashreplace").split(delimiter)


def content(folder: Path) -> str:
    """Say which files a folder holds, and to name one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     content(Path(folder))
    'it holds no file'
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file() and file.name[0] != ".")
    if not names:
        return "it holds no file"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"it holds {', '.join(names[:_SHOWN])}{more}: name the file that is to be read"


def refuse(
    path: Path,
    line: int,
    what: str,
    error: type[Error] = InvalidArgument,
    argument: str = "path",
    advice: str = "",
) -> NoReturn:
    """Raise an error about a line, counted from 0 here and from 1 for people; advice as in :func:`asking`."""
    refused = error(f"{path}, line {line + 1}: {what}", argument=argument, value=str(path), index=line)
    if advice:
        refused.add_note(advice)
    raise refused


def asking(path: Path, what: str, argument: str, advice: str, error: type[Error] = InvalidArgument) -> Error:
    """Return an error about a whole file, which an argument would mend.

    The advice is for Python and stands below the message; the command line has its own.
    """
    refused = error(f"{path}: {what}", argument=argument, value=str(path))
    refused.add_note(advice)
    return refused


def refusing(path: Path, lines: Sequence[int] | NDArray[np.int64]) -> Refuse:
    """Return :func:`refuse` for rows whose lines, from 0, are these."""
    return lambda row, what: refuse(path, int(lines[row]), what)


def shares(paths: Sequence[Path], progress: Progress | None) -> list[Progress | None]:
    """Return for each of some files, however they take turns, how its progress is that of all.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     paths = [Path(folder, name) for name in "ab"]
    ...     sizes = [path.write_bytes(bytes(n)) for path, n in zip(paths, (10, 5))]
    ...     first, second = shares(paths, print)
    >>> first(10, 10)
    10 15
    >>> second(2, 5)
    12 15
    """
    if progress is None:
        return [None] * len(paths)
    sizes = [path.stat().st_size for path in paths]

    read = [0] * len(sizes)

    def share(at: int) -> Progress:
        def told(done: int, _: int) -> None:
            read[at] = done
            progress(sum(read), sum(sizes))

        return told

    return [share(at) for at in range(len(sizes))]


class Rows:
    """Fields of some rows of a file, with columns by name and errors by file and line.

    Parameters
    ----------
    path : Path
        For the errors.
    fields : Fields
        The rows.
    start : int
        0-based line of the file at which `fields` begins.
    columns : mapping of str to int
        Our name of a column, and its place.
    """

    def __init__(self, path: Path, fields: Fields, start: int, columns: Mapping[str, int]) -> None:
        self.path = path
        self.fields = fields
        self.start = start
        self.columns = columns

    def __len__(self) -> int:
        return len(self.fields)

    @property
    def lines(self) -> NDArray[np.int64]:
        """0-based line of each row in the file."""
        return self.fields.lines + self.start

    @property
    def odd(self) -> dict[str, int]:
        """What is odd in the text: a last line without an end may have been cut, number and all."""
        return {} if self.fields.text.endswith(b"\n") else {"last lines without an end": 1}

    @contextmanager
    def _named(self, name: str, step: str = "1", grid: Decimal | None = None) -> Iterator[None]:
        """Name file, line and column in what the fields refuse; the grid where it counts in other units."""
        try:
            yield
        except (InvalidArgument, OutOfBounds) as error:
            if error.index is None:
                raise
            line = int(self.lines[error.index])
            what = f"{error.value!r} is not {error.allowed}"
            if grid is not None and grid != Decimal(step) and error.allowed == f"a multiple of {step}":
                times = grid / Decimal(step)
                what = f"{error.value!r} times {times:f} is not a multiple of {grid:f}"
            if isinstance(error, OutOfBounds):
                what = f"{error.value!r} is too large"
            raise type(error)(
                f"{self.path}, line {line + 1}: {name}: {what}",
                argument=name,
                value=error.value,
                allowed=error.allowed,
                index=line,
            ) from None

    def refuse(self, row: int, what: str) -> NoReturn:
        """Raise an error about a row, counted from 0 among these."""
        refuse(self.path, int(self.lines[row]), what)

    def take(self, rows: NDArray[Any]) -> Rows:
        """Return some of the rows: their places, or a mask."""
        chosen = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Rows(self.path, self.fields.take(chosen), self.start, self.columns)

    def integers(
        self,
        name: str,
        step: str = "1",
        rounding: Rounding = "exact",
        missing: bool = False,
        grid: Decimal | None = None,
    ) -> NDArray[np.int64]:
        """Return a column in whole steps; with `missing`, what is no number as :data:`MISSING`.

        `grid` is what a step is in the instrument's units, where the column counts in others.
        """
        with self._named(name, step, grid):
            return self.fields.integers(self.columns[name], step, rounding, missing)

    def integers_floor(self, name: str, step: str) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return a column in whole steps, rounded down, and millionths of a step."""
        with self._named(name):
            return self.fields.integers_floor(self.columns[name], step)

    def stamps(self, name: str) -> NDArray[np.int64]:
        """Return a column of ISO 8601 stamps in ns."""
        return self.fields.stamps(self.columns[name])

    def strings(self, name: str) -> list[str]:
        """Return a column as text."""
        return self.fields.strings(self.columns[name])

    def codes(self, name: str, codes: Mapping[str, int]) -> NDArray[np.int64]:
        """Return what each text stands for."""
        try:
            return self.fields.codes(self.columns[name], dict(codes))
        except InvalidArgument as error:
            shown: dict[str, str] = {}  # of what differs by case alone the first
            for code in filter(None, codes):
                shown.setdefault(code.lower(), code)
            known = ", ".join(shown.values()) + (", or empty" if "" in codes else "")
            if cast(str, error.value).lower() in shown:
                known += ": capitals and small letters count"
            refuse(
                self.path,
                int(self.lines[cast(int, error.index)]),
                f"{name}: {error.value!r} is not one of {known}",
                argument=f"{name}s",
                advice=f"pass {name}s={{…}}: the file's texts → {_STANDS_FOR[name]}",
            )


def rows(
    path: Path,
    width: int,
    columns: Mapping[str, int],
    *,
    delimiter: str = ",",
    skip: int = 0,
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """Yield the rows of a delimited file, a MiB of text at a time.

    Parameters
    ----------
    path : Path
        As for :func:`blocks`.
    width : int
        Fields that every row must have.
    columns : mapping of str to int
        Our names and their places.
    delimiter : str
        One character.
    skip : int
        Lines to leave out at the top.
    progress : callable, optional
        As for :func:`blocks`.

    Raises
    ------
    InvalidArgument
        A row with another number of fields; names file and line.
    CorruptError
        Damaged or cut short in compression.
    """
    for text, start in blocks(path, progress):
        at = start
        while at < skip and text:
            _, _, text = text.partition(b"\n")
            at += 1
        try:
            fields = Fields(text, width, delimiter)
        except InvalidArgument as error:
            if error.index is None:
                raise
            what = str(error).partition(": ")[2]
            refuse(path, at + error.index, what)
        if len(fields):
            yield Rows(path, fields, at, columns)
