"""The file of an event table: one block that is mapped into memory, whole or refused.

Little-endian throughout:

====== ====== ==========================================================================
offset bytes  content
====== ====== ==========================================================================
0      8      magic, ``MMEVENTS``
8      4      version of the format, 1
12     4      CRC-32 of the JSON header
16     8      length of the JSON header in bytes
24     8      length of the whole file in bytes
32     28     zero
60     4      CRC-32 of the 60 bytes above
64     …      JSON header (UTF-8): what describes the table, and for each column its name,
              dtype, length, CRC-32 and offset from the first multiple of 64 at or after
              the header's end; then the columns, each at a multiple of 64
====== ====== ==========================================================================

:meth:`mmcore.Events.save` and :meth:`mmcore.Events.load` are the doors to it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptError, InvalidArgument
from .files import naming, replacing

__all__ = ["MAGIC", "VERSION", "read", "write"]

MAGIC = b"MMEVENTS"
VERSION = 1

_HEAD = struct.Struct("<8sIIQQ28x")
_ALIGN = 64
_PIECE = 1 << 16


def write(
    path: str | os.PathLike[str], described: Mapping[str, Any], columns: Mapping[str, NDArray[Any]]
) -> None:
    """Write columns and what describes them; the file appears whole or not at all.

    Parameters
    ----------
    path : path-like
        Where to.
    described : mapping
        What JSON can hold.
    columns : mapping of str to ndarray
        Little-endian vectors.

    Raises
    ------
    OSError
        The place cannot be written; nothing is left behind.
    TypeError
        Something that JSON cannot hold.
    """
    blocks = {name: np.ascontiguousarray(column) for name, column in columns.items()}
    entries = []
    at = 0
    for name, block in blocks.items():
        entries.append(
            {
                "name": name,
                "dtype": block.dtype.str,
                "length": len(block),
                "offset": at,
                "crc32": zlib.crc32(block.data),
            }
        )
        at += _aligned(block.nbytes)
    try:
        told = json.dumps({**described, "columns": entries}, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        source = described.get("source")
        raise InvalidArgument(
            argument="source", value=source, allowed=f"what JSON can hold ({error})"
        ) from None
    text = told.encode()
    body = _aligned(_ALIGN + len(text))
    head = _HEAD.pack(MAGIC, VERSION, zlib.crc32(text), len(text), body + at)
    head += struct.pack("<I", zlib.crc32(head))

    with replacing(path) as file:
        file.write((head + text).ljust(body, b"\0"))
        for block in blocks.values():
            file.write(block.data)
            file.write(bytes(-block.nbytes % _ALIGN))


def read(
    path: str | os.PathLike[str], dtypes: Mapping[str, str], verify: bool
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Map a file: return what describes it, and its columns as read-only views of the mapping.

    Parameters
    ----------
    path : path-like
        The file.
    dtypes : mapping of str to str
        The columns it must have, and their types.
    verify : bool
        Compare the checksum of each column, which reads the file once.

    Raises
    ------
    CorruptError
        Not such a file, cut short, altered, or written by a newer version.
    """
    # What is checked is read, and only then mapped: a disk that fails is an error of reading, and a signal
    # that ends the process where it is mapped.
    with naming(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _ALIGN:
            raise CorruptError(f"{path}: {size} bytes is too short for an event file")
        described, places = _header(path, file, size, dtypes)
        if verify:
            for name, (start, end, crc) in places.items():
                if _checksum(file, start, end) != crc:
                    raise CorruptError(f"{path}: the checksum of column {name} is wrong")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    columns = {}
    for name, dtype in dtypes.items():
        start, end, _ = places[name]
        columns[name] = np.frombuffer(
            mapped, dtype=dtype, count=(end - start) // np.dtype(dtype).itemsize, offset=start
        )
    return described, columns


def _header(
    path: str | os.PathLike[str], file: BinaryIO, size: int, dtypes: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, tuple[int, int, int]]]:
    """Check everything before the columns; return the description, and start, end and CRC of each."""
    head = file.read(_ALIGN)
    magic, version, text_crc, text_length, length = _HEAD.unpack_from(head)
    if magic != MAGIC:
        raise CorruptError(f"{path}: not an event file (starts with {magic!r})")
    if version > VERSION:
        raise CorruptError(
            f"{path}: format {version} was written by a newer mmcore; this one reads up to {VERSION}"
        )
    (head_crc,) = struct.unpack_from("<I", head, _HEAD.size)
    if zlib.crc32(head[: _HEAD.size]) != head_crc or version < 1:
        raise CorruptError(f"{path}: the checksum of the first bytes is wrong")
    if length != size or _ALIGN + text_length > size:
        raise CorruptError(f"{path}: should have {length} bytes, has {size}")
    text = file.read(text_length)
    if zlib.crc32(text) != text_crc:
        raise CorruptError(f"{path}: the checksum of the header is wrong")
    body = _aligned(_ALIGN + text_length)
    places = {}
    try:
        described = json.loads(text)
        for entry in described.pop("columns"):
            name = entry["name"]
            start = body + entry["offset"]
            end = start + entry["length"] * np.dtype(dtypes[name]).itemsize
            if entry["dtype"] != dtypes[name] or start % _ALIGN or not body <= start <= end <= size:
                raise CorruptError(f"{path}: column {name} is described wrongly")
            places[name] = (start, end, entry["crc32"])
    except CorruptError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: the header is not what an event file holds ({error!r})") from error
    if places.keys() != dtypes.keys():
        raise CorruptError(f"{path}: does not have the columns {', '.join(dtypes)}")
    return described, places


def _checksum(file: BinaryIO, start: int, end: int) -> int:
    crc = 0
    file.seek(start)
    while start < end and (piece := file.read(min(_PIECE, end - start))):
        crc = zlib.crc32(piece, crc)
        start += len(piece)
    return crc


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
