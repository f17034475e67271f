"""Parquet and Arrow files (extra ``parquet``) as rows of text, so that one reader of columns serves them all.

Numbers keep every digit: integers, decimals and text as they are, floats as the shortest text that means
them, stamps as ISO 8601. What is null is an empty field. Batches are written 16,384 rows at a time.

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

__all__ = ["ARROW", "PARQUET", "Damaged", "as_text", "metadata"]

PARQUET, ARROW = b"PAR1", b"ARROW1"
"""How such files begin."""

_ROWS = 1 << 14
_ENDS = r"[\r\n]+"  # of lines
_PRECISION = b"price_precision"
_SCALED = ("bid_price", "ask_price", "bid_size", "ask_size", "price", "size")


class Damaged(Exception):
    """A file that pyarrow cannot read."""


def _library(name: str) -> Any:
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"{name}: Parquet or Arrow", "parquet") from None
    return pyarrow


def _batches(raw: BinaryIO, parquet: bool) -> Iterator[Any]:
    """Yield the schema and then the batches."""
    pa = _library(raw.name)
    try:
        if parquet:
            file = pa.parquet.ParquetFile(raw, page_checksum_verification=True)
            yield _legible(file.schema_arrow)
            yield from file.iter_batches(_ROWS)
        else:
            reader = pa.ipc.open_file(raw)
            yield _legible(reader.schema)
            for at in range(reader.num_record_batches):
                batch = reader.get_batch(at)
                batch.validate(full=True)
                yield from (batch.slice(start, _ROWS) for start in range(0, batch.num_rows, _ROWS))
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


def metadata(raw: BinaryIO, parquet: bool) -> dict[bytes, bytes]:
    """Return what a file says of itself."""
    return next(_batches(raw, parquet)).metadata or {}


def as_text(raw: BinaryIO, parquet: bool) -> BinaryIO:
    """Return a stream of a file's rows as delimited text, below a line of its names."""
    return cast(BinaryIO, io.BufferedReader(_Stream(_pieces(raw, parquet))))


def _pieces(raw: BinaryIO, parquet: bool) -> Iterator[bytes]:
    pa = _library(raw.name)
    batches = _batches(raw, parquet)
    schema = next(batches)
    scaled = _PRECISION in (schema.metadata or {})
    kept = [
        at for at, field in enumerate(schema) if (scaled and field.name in _SCALED) or _writable(pa, field)
    ]
    names = (re.sub(_ENDS, " ", schema.names[at]).replace('"', '""') for at in kept)
    yield (",".join(f'"{name}"' for name in names) + "\n").encode()
    options = pa.csv.WriteOptions(include_header=False)
    for batch in batches:
        batch = batch.select(kept)
        if scaled:
            batch = _decimals(pa, batch)
        sink = pa.BufferOutputStream()
        try:
            pa.csv.write_csv(_lines(pa, batch), sink, options)
        except pa.ArrowException as error:
            raise Damaged(str(error)) from error
        yield sink.getvalue().to_pybytes()


def _writable(pa: Any, field: Any) -> bool:
    """Can a column be written as text? One that holds lists, say, cannot."""
    if pa.types.is_string_view(field.type):
        return True
    try:
        pa.csv.write_csv(pa.table([pa.array([None], field.type)], names=["_"]), pa.BufferOutputStream())
    except pa.ArrowException:
        return False
    return True


def _lines(pa: Any, batch: Any) -> Any:
    """Put each row on one line: without ends of lines in texts."""
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    columns = []
    for column in batch.columns:
        if types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if types.is_string_view(column.type):
            column = column.cast(pa.string())
        elif types.is_fixed_size_binary(column.type):
            column = column.cast(pa.binary())
        if any(is_text(column.type) for is_text in texts):
            broken = pa.compute.any(pa.compute.match_substring_regex(column, _ENDS))
            if broken.as_py():
                column = pa.compute.replace_substring_regex(column, _ENDS, " ")
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _decimals(pa: Any, batch: Any) -> Any:
    """Replace scaled integers by decimals; those of 128 bits share their memory."""
    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in _SCALED and pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
            column = pa.Array.from_buffers(
                pa.decimal128(38, 16), len(column), column.buffers(), offset=column.offset
            )
        elif name in _SCALED and (
            pa.types.is_int64(column.type) or pa.types.is_fixed_size_binary(column.type)
        ):
            low = np.frombuffer(column.buffers()[1], "<i8")[column.offset : column.offset + len(column)]
            both = np.stack([low, low >> 63], axis=1)
            column = pa.Array.from_buffers(pa.decimal128(38, 9), len(column), [None, pa.py_buffer(both)])
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


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
