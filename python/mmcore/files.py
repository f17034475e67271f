"""Files that are whole or not there: written beside their place, brought to the disk, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing", "unwritable"]

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
        with open(target, "wb") as file:
            yield file
        return
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(4)}")
    try:
        file = open(temporary, "xb")  # noqa: SIM115 - closed below, and a failure to open names the caller's path
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        with file:
            with suppress(FileNotFoundError):
                shutil.copymode(target, temporary)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:  # as a full disk has none
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    if os.name != "nt":  # where a folder is no file
        _sync_folder(folder)


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
