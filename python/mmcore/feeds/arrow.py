"""Parquet and Arrow files (extra ``parquet``) as rows of text, so that one reader of columns serves them all.

Numbers keep every digit: integers, decimals and text as they are, floats as the shortest text that means
them, stamps as ISO 8601, times of day and durations as seconds. What is null is an empty field; a list, or
what else is no one value, is the name of its type, which no reader takes for a number. Batches are written
16,384 rows at a time.

Nautilus' files say ``price_precision`` in their metadata and hold prices and sizes as 128-bit integers in
10⁻¹⁶, or 64-bit ones in 10⁻⁹: they are read as the decimals that they stand for.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import numpy as np

from ..errors import MissingExtra

__all__ = ["Damaged", "as_text", "begins", "metadata"]

_PARQUET, _ARROW, _STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
_END = _STREAM + b"\0\0\0\0"  # of a stream; the library takes one that is cut between batches for whole

_ROWS = 1 << 14
_ENDS = r"[\r\n]+"  # of lines
_PRECISION = b"price_precision"
_SCALED = ("bid_price", "ask_price", "bid_size", "ask_size", "price", "size")
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


class Damaged(Exception):
    """A file that pyarrow cannot read."""


def begins(start: bytes) -> bool:
    """Are these the first bytes of a Parquet or Arrow file, or of an Arrow stream?

    Examples
    --------
    >>> begins(b"ARROW1"), begins(b"time,bid,ask")
    (True, False)
    """
    return start.startswith((_PARQUET, _ARROW, _STREAM))


def _library(name: str) -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"{name}: Parquet or Arrow", "parquet") from None
    return pyarrow


def _batches(raw: BinaryIO) -> Iterator[Any]:
    """Yield the schema and then the batches."""
    pa = _library(raw.name)
    start = raw.read(len(_ARROW))
    end = raw.seek(0, io.SEEK_END)
    raw.seek(max(end - len(_END), 0))
    whole = raw.read() == _END
    raw.seek(0)
    raw = cast(BinaryIO, _Bounded(raw, end))
    try:
        if start.startswith(_PARQUET):
            file = pa.parquet.ParquetFile(raw, page_checksum_verification=True)
            yield _legible(file.schema_arrow)
            yield from file.iter_batches(_ROWS)
        else:
            stream = not start.startswith(_ARROW)
            if stream and not whole:
                raise Damaged("no end of the stream")
            reader = (pa.ipc.open_stream if stream else pa.ipc.open_file)(raw)
            yield _legible(reader.schema)
            for batch in reader if stream else map(reader.get_batch, range(reader.num_record_batches)):
                batch.validate(full=True)
                yield from (batch.slice(at, _ROWS) for at in range(0, batch.num_rows, _ROWS))
    except (pa.ArrowException, UnicodeDecodeError) as error:  # of names that are no text
        raise Damaged(str(error)) from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise Damaged(str(error)) from error  # its own, for what cannot be unpacked


def _legible(schema: Any) -> Any:
    """Return a schema whose names were read: pyarrow looks at them no earlier.

    Without columns a file may say that it has any number of rows.
    """
    if not schema.names:
        raise Damaged("no columns")
    return schema


def metadata(raw: BinaryIO) -> dict[bytes, bytes]:
    """Return what a file says of itself."""
    return next(_batches(raw)).metadata or {}


def as_text(raw: BinaryIO) -> BinaryIO:
    """Return a stream of a file's rows as delimited text, below a line of its names."""
    return cast(BinaryIO, io.BufferedReader(_Stream(_pieces(raw))))


def _pieces(raw: BinaryIO) -> Iterator[bytes]:
    pa = _library(raw.name)
    batches = _batches(raw)
    schema = next(batches)
    scaled = _SCALED if _PRECISION in (schema.metadata or {}) else ()
    names = (re.sub(_ENDS, " ", name).replace('"', '""') for name in schema.names)
    yield (",".join(f'"{name}"' for name in names) + "\n").encode()
    options = pa.csv.WriteOptions(include_header=False)
    for batch in batches:
        sink = pa.BufferOutputStream()
        try:
            columns = [
                _unscaled(pa, column) if name in scaled else _plain(pa, column)
                for name, column in zip(schema.names, batch.columns, strict=True)
            ]
            pa.csv.write_csv(pa.RecordBatch.from_arrays(columns, names=schema.names), sink, options)
        except pa.ArrowException as error:
            raise Damaged(str(error)) from error
        yield sink.getvalue().to_pybytes()


def _plain(pa: Any, column: Any) -> Any:
    """Return a column of values that are written on one line each; what has none is the name of its type."""
    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        return _plain(pa, column.dictionary).take(column.indices)
    if types.is_run_end_encoded(kind):
        return _plain(pa, pa.compute.run_end_decode(column))
    if types.is_time(kind) or types.is_duration(kind):
        whole = column.cast(pa.int32()) if types.is_time32(kind) else column
        return _decimals(pa, whole.cast(pa.int64()), _DIGITS[kind.unit])
    if types.is_string_view(kind):
        column = column.cast(pa.string())
    elif types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        column = column.cast(pa.binary())
    elif not _writable(pa, kind):
        column = pa.repeat(str(kind), len(column))
    if any(
        is_text(column.type)
        for is_text in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    ):
        broken = pa.compute.any(pa.compute.match_substring_regex(column, _ENDS))
        if broken.as_py():
            column = pa.compute.replace_substring_regex(column, _ENDS, " ")
    return column


def _writable(pa: Any, kind: Any) -> bool:
    try:
        pa.csv.write_csv(pa.table([pa.nulls(1, kind)], names=["_"]), pa.BufferOutputStream())
    except pa.ArrowException:
        return False
    return True


def _unscaled(pa: Any, column: Any) -> Any:
    """Replace scaled integers by decimals; those of 128 bits share their memory."""
    types, kind = pa.types, column.type
    if types.is_fixed_size_binary(kind) and kind.byte_width == 16:
        buffers, offset = column.buffers(), column.offset
        return pa.Array.from_buffers(pa.decimal128(38, 16), len(column), buffers, offset=offset)
    if types.is_fixed_size_binary(kind) and kind.byte_width == 8:
        column = pa.Array.from_buffers(pa.int64(), len(column), column.buffers(), offset=column.offset)
    return _decimals(pa, column, 9) if types.is_int64(column.type) else _plain(pa, column)


def _decimals(pa: Any, column: Any, digits: int) -> Any:
    """Return 64-bit integers as decimals of so many digits behind the point."""
    low = column.fill_null(0).to_numpy(zero_copy_only=False)
    both = pa.py_buffer(np.stack([low, low >> 63], axis=1))
    found = pa.Array.from_buffers(pa.decimal128(38, digits), len(column), [None, both])
    return pa.compute.if_else(column.is_valid(), found, None) if column.null_count else found


class _Bounded(io.RawIOBase):
    """A file that is never asked for more than it holds, whatever a damaged length in it says."""

    def __init__(self, raw: BinaryIO, size: int) -> None:
        self._raw, self._size = raw, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(place, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(self._size if size < 0 else min(size, self._size))


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
