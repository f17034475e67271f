"""Rows of text from a file that may be compressed, in pieces, with errors that name file and line."""

from __future__ import annotations

import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from ..decimals import Fields, parse, parse_floor
from ..errors import CorruptError, Error, InvalidArgument, OutOfBounds
from ..events import PRICE_LIMIT

__all__ = [
    "Progress",
    "Rounding",
    "Rows",
    "asking",
    "blocks",
    "content",
    "first_line",
    "refuse",
    "refuse_prices",
    "rows",
]

Progress = Callable[[int, int], object]
"""Called with the bytes of the file read so far and its size."""
Rounding = Literal["exact", "floor", "ceil", "nearest"]

_BLOCK = 1 << 23
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
        raise InvalidArgument(
            f"{raw.name} is compressed with zstd; gzip and xz are read as they are: unpack it first",
            argument="path",
            value=raw.name,
        )
    return raw


def blocks(path: Path, progress: Progress | None = None) -> Iterator[tuple[bytes, int]]:
    """Yield pieces of whole lines, unpacked, each with the 0-based line it starts at.

    Parameters
    ----------
    path : Path
        Plain, gzip or xz; recognised by the first bytes.
    progress : callable, optional
        Called with (bytes read, bytes in all) of the file as it is on disk.

    Raises
    ------
    CorruptError
        Damaged or cut short in compression.
    """
    with open(path, "rb") as raw:
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
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise CorruptError(
                f"{path}: damaged or cut short after line {_whole_lines(path):,} ({error})"
            ) from error
        if rest:
            yield rest, line


def _whole_lines(path: Path) -> int:
    """Count the lines that can be unpacked before the damage: a large block is lost as a whole."""
    count = 0
    with open(path, "rb") as raw:
        stream = cast(gzip.GzipFile, _opened(raw))
        with suppress(EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError):
            while piece := stream.read1(io.DEFAULT_BUFFER_SIZE):
                count += piece.count(b"\n")
    return count


def first_line(path: Path) -> bytes:
    """Return the first line that is not empty, without blanks around it; b"" when there is none.

    Only the beginning of the file is read: a first line longer than 64 KiB comes back cut.
    """
    with open(path, "rb") as raw:
        try:
            head = _opened(raw).read(1 << 16)
        except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
            raise CorruptError(f"{path}: damaged or cut short ({error})") from error
    for line in head.splitlines():
        if line.strip():
            return line.strip()
    return b""


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


def refuse_prices(path: Path, lines: Sequence[int] | NDArray[np.int64], name: str, ticks: Any) -> None:
    """Refuse the first price that no table of events holds; `lines` are those of the prices, from 0."""
    beyond = (ticks > PRICE_LIMIT) | (ticks < -PRICE_LIMIT)
    if np.any(beyond):
        at = int(np.argmax(beyond))
        refuse(path, int(lines[at]), f"{name}: {int(ticks[at])} ticks is beyond ±2**60: is the tick right?")


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

    def _refuse(self, error: InvalidArgument | OutOfBounds, row: int, name: str) -> NoReturn:
        what = f"{error.value!r} is not {error.allowed}"
        if isinstance(error, OutOfBounds):
            what = f"{error.value!r} is too large"
        raise type(error)(
            f"{self.path}, line {self.lines[row] + 1}: {name}: {what}",
            argument=name,
            value=error.value,
            allowed=error.allowed,
            index=int(self.lines[row]),
        ) from None

    def integers(self, name: str, step: str = "1", rounding: Rounding = "exact") -> NDArray[np.int64]:
        """Return a column in whole steps."""
        try:
            return self.fields.integers(self.columns[name], step, rounding)
        except (InvalidArgument, OutOfBounds) as error:
            if error.index is None:
                raise
            self._refuse(error, error.index, name)

    def strings(self, name: str) -> list[str]:
        """Return a column as text."""
        return self.fields.strings(self.columns[name])

    def parsed(
        self, name: str, texts: list[str], rows: NDArray[np.int64], step: str, rounding: Rounding
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return texts that stand in these rows in whole steps, with millionths when rounded down."""
        try:
            if rounding == "floor":
                return parse_floor(texts, step)
            whole = parse(texts, step, rounding)
            return whole, np.zeros(len(whole), dtype=np.int32)
        except (InvalidArgument, OutOfBounds) as error:
            if error.index is None:
                raise
            self._refuse(error, int(rows[error.index]), name)

    def codes(
        self, name: str, texts: list[str], rows: NDArray[np.int64], codes: Mapping[str, Any]
    ) -> list[Any]:
        """Return what each text stands for."""
        try:
            return [codes[text] for text in texts]
        except KeyError:
            at = next(i for i, text in enumerate(texts) if text not in codes)
            known = ", ".join(dict.fromkeys(code.lower() for code in codes if code))
            known += ", or empty" if "" in codes else ""
            refuse(self.path, int(self.lines[rows[at]]), f"{name}: {texts[at]!r} is not one of {known}")


def rows(
    path: Path,
    width: int,
    columns: Mapping[str, int],
    *,
    delimiter: str = ",",
    skip: int = 0,
    progress: Progress | None = None,
) -> Iterator[Rows]:
    """Yield the rows of a delimited file, a few million bytes at a time.

    Parameters
    ----------
    path : Path
        Plain, gzip or xz.
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
