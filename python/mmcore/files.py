"""Files that appear whole or not at all.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = pathlib.Path(folder, "page.html")
...     with replacing(path) as file:
...         _ = file.write(b"whole")
...     path.read_bytes(), unwritable(folder)
(b'whole', 'a file, not a folder')
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["replacing", "unwritable"]


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
    """Give a file to write, which takes the place of ``path`` at the end of the block.

    It stands beside it until then. When the block fails nothing is left of it, and what was at ``path``
    stays. What is no file, such as a terminal or a pipe, is written as it is.

    Parameters
    ----------
    path : path-like
        Where to; a link is followed.

    Raises
    ------
    OSError
        The place cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file() and not target.is_dir():
        with open(target, "wb") as file:
            yield file
        return
    beside = target.with_name(f".mmcore-{secrets.token_hex(8)}")
    try:
        with open(beside, "xb") as file:
            yield file
        os.replace(beside, target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
