"""Trades that a stream tells twice, as after it was joined again: known by their ids.

A recording of a stream has a repeated message soon after the first, if at all, so that the last ids are
enough to find it. Files that may overlap anywhere are :mod:`.csv`'s to read, which keeps all of theirs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConflictError
from .text import refuse

__all__ = ["Repeats"]

_KEPT = 100_000  # ids


class Repeats:
    """The last trades of a recording by their ids.

    Attributes
    ----------
    count : int
        How many trades came again, equal to the first.
    """

    def __init__(self, path: Path) -> None:
        self.count = 0
        self._path = path
        self._known: dict[Any, tuple[Any, ...]] = {}

    def has(self, number: Any, content: tuple[Any, ...], line: int) -> bool:
        """Return whether a trade came before; refuse it where that was another. No number: a new trade."""
        if number is None:
            return False
        before = self._known.setdefault(number, content)
        if before is content:
            if len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]
            return False
        if before != content:
            what = f"trade id {number} came again with other content"
            refuse(self._path, line, what, ConflictError, argument="id")
        self.count += 1
        return True
