"""Files that are whole or not there: written beside their place, brought to the disk, then renamed.

And NumPy's files of arrays, which are read whole or refused: what they raise when damaged is of many kinds.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import CorruptError

__all__ = [
    "DAMAGED",
    "irreplaceable",
    "naming",
    "replacing",
    "stored_arrays",
    "unwritable",
    "unwritable_page",
]

DAMAGED = (
    EOFError,
    KeyError,
    MemoryError,  # of a shape that is far beyond what the file holds
    NotImplementedError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise for what is no file of arrays, or a damaged one."""
_NO_SYNC = (errno.EACCES, errno.EBADF, errno.EINVAL, errno.ENOTSUP)
"""What file systems say that cannot bring a folder to the disk."""


def unwritable(path: str | os.PathLike[str]) -> str | None:
    """Return what a path must be to be written, as far as can be known before; None where it is.

    Parameters
    ----------
    path : path-like
        The file that is to be written.
    """
    target = Path(path)
    if target.is_dir():
        return "a file, not a folder"
    if not target.parent.is_dir():
        return "in a folder that exists"
    if not os.access(target if target.exists() and not target.is_file() else target.parent, os.W_OK):
        return "in a folder that can be written"
    return None


def irreplaceable(path: str | os.PathLike[str], begins: bytes, kind: str) -> str | None:
    """Return what a path must be to be written where a file of another kind is, which would be lost.

    Parameters
    ----------
    path : path-like
        The file that is to be written.
    begins : bytes
        How files of the kind that is to be written begin, in whatever case.
    kind : str
        That in words.

    Returns
    -------
    str or None
        None where nothing is there, an empty file, one of the kind, or what is no file, such as a pipe.

    Examples
    --------
    >>> irreplaceable(__file__, b"PK", "an archive")
    'a new file or an archive: delete what is there, or name another'
    """
    if not os.path.isfile(path):
        return None
    with naming(path), open(path, "rb") as file:
        start = file.read(len(begins))
    if start.lower() in (b"", begins.lower()):
        return None
    return f"a new file or {kind}: delete what is there, or name another"


def unwritable_page(path: str | os.PathLike[str]) -> str | None:
    """Return what a path must be for a page of HTML to be written there, as :func:`unwritable` does.

    Parameters
    ----------
    path : path-like
        The page that is to be written.
    """
    return unwritable(path) or irreplaceable(path, b"<!doctype html", "an HTML page")


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Name the file in what a disk raises: an error of reading or writing has no name, one of opening has.

    Parameters
    ----------
    path : path-like
        As the caller knows it.

    Examples
    --------
    >>> with naming("day.csv"):
    ...     raise OSError(5, "Input/output error")
    Traceback (most recent call last):
    OSError: [Errno 5] Input/output error: 'day.csv'
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends without an error.

    What was at ``path`` stays until then, and stays for good where the block or the disk fails; nothing else
    is left behind. A power cut leaves the old file or the new one. The new one has the old one's
    permissions; a link is followed. What is no file, such as a terminal or a pipe, is written as it is.

    Parameters
    ----------
    path : path-like
        The file to write.

    Raises
    ------
    OSError
        The place cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "numbers")
    ...     with replacing(path) as file:
    ...         _ = file.write(b"1 2 3")
    ...     path.read_bytes(), os.listdir(folder)
    (b'1 2 3', ['numbers'])
    """
    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target):
        with naming(path), open(target, "wb") as file:
            yield file
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    try:
        file = open(temporary, "xb")  # noqa: SIM115 - closed below, and a failure to open names the caller's path
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with naming(path), file:
            with suppress(FileNotFoundError):
                shutil.copymode(target, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.replace(temporary, target)
        except OSError as error:  # a folder is there, say; the caller knows nothing of the temporary name
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if os.name != "nt":  # where a folder is no file
        _sync_folder(folder)


def stored_arrays(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` by their names; that of an ``.npy`` by the empty one.

    Parameters
    ----------
    path : path-like
        The file. What is pickled in it is refused.

    Raises
    ------
    CorruptError
        No such file, or a damaged one.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "two.npz")
    ...     np.savez(path, a=[1, 2], b=[0.5])
    ...     stored_arrays(path)
    {'a': array([1, 2]), 'b': array([0.5])}
    """
    with naming(path), open(path, "rb") as raw:
        try:
            found = np.load(raw, allow_pickle=False)
            return (
                {"": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
            )
        except DAMAGED as error:
            what = str(error) or type(error).__name__
            raise CorruptError(f"{os.fspath(path)}: no arrays of NumPy, or damaged ({what})") from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):  # which a place that lies before the file is
                raise
            raise CorruptError(f"{os.fspath(path)}: no arrays of NumPy, or damaged ({error})") from error


def _sync_folder(folder: str) -> None:
    """Bring the renaming itself to the disk."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
