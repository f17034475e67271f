"""What the terminal shows: one calm style for tables, key figures, notes and progress.

Standard output holds the answer; progress and errors go to standard error. rich leaves out colours
where they are unwanted (``NO_COLOR``, a pipe, a dumb terminal).
"""

from __future__ import annotations

import json
import logging
import math
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import Box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

__all__ = [
    "Stages",
    "answer",
    "errors",
    "heading",
    "note",
    "number",
    "paragraph",
    "print_json",
    "stages",
    "table",
]

_THEME = Theme(
    {
        "heading": "bold",
        "quiet": "dim",
        "error": "bold red",
        "note": "yellow",
        "gain": "green",
        "loss": "red",
        "bar.back": "dim",
        "bar.complete": "cyan",
        "bar.finished": "cyan",
        "bar.pulse": "cyan",
        "progress.elapsed": "dim",
    }
)

# A line under the head and nothing else.
_RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


answer = Console(theme=_THEME, highlight=False, emoji=False)
"""Standard output."""
errors = Console(stderr=True, theme=_THEME, highlight=False, emoji=False)
"""Standard error."""


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else; what is not finite becomes null."""
    print(json.dumps(_jsonable(value), indent=2, ensure_ascii=False, allow_nan=False))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, (str, bool, type(None))):
        return value
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _jsonable(value.tolist())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def number(value: float | None, digits: int = 4) -> str:
    """Return a number with so many significant digits; a dash for none.

    Examples
    --------
    >>> number(0.123456), number(12345.6), number(None), number(1e-7)
    ('0.1235', '12,346', '–', '1e-07')
    """
    if value is None or math.isnan(value):
        return "–"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def heading(title: str, remark: str = "") -> None:
    """Print the title of a part, after an empty line."""
    answer.print()
    answer.print(Text.assemble((title, "heading"), (f"   {remark}" if remark else "", "quiet")))


def paragraph(text: str, style: str = "") -> None:
    """Print text below a heading, indented and wrapped."""
    for line in textwrap.wrap(text, max(answer.width - 2, 20)):
        answer.print(Text(f"  {line}", style=style), soft_wrap=True)


def note(text: str) -> None:
    """Print what a reader should know before using the numbers."""
    first, *rest = textwrap.wrap(text, max(answer.width - 8, 20)) or [""]
    answer.print(Text.assemble("  ", ("note", "note"), "  ", first), soft_wrap=True)
    for line in rest:
        answer.print(Text(f"        {line}"), soft_wrap=True)


@contextmanager
def kept_warnings() -> Iterator[list[str]]:
    """Keep the package's warnings as texts, to be shown as notes in their place."""
    logging.getLogger("mmcore").addHandler(logging.NullHandler())  # what it says stands in the notes too
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield found
        finally:
            found += dict.fromkeys(str(warning.message) for warning in caught)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> None:
    """Print a table: numbers to the right, the columns of ``left`` to the left.

    A table wider than the terminal loses no figure: cells wrap.
    """
    made = Table(box=_RULED, padding=(0, 1), show_edge=False, pad_edge=False, header_style="quiet")
    for index, name in enumerate(columns):
        made.add_column(escape(name), justify="left" if index in left else "right")
    for row in rows:
        made.add_row(*map(escape, row))
    from rich.padding import Padding

    answer.print(Padding(made, (0, 0, 0, 2), expand=False))


class Stages:
    """Progress of the stages of a job, one bar each; see :func:`stages`."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task: TaskID | None = None

    def start(self, name: str) -> Callable[[int, int], None]:
        """Begin a stage, which ends the one before it.

        Returns
        -------
        callable
            ``advance(done, total)``; a stage that never calls it shows that it is at work.
        """
        self.finish()
        progress = self._progress
        if progress is None:
            return lambda done, total: None
        task = self._task = progress.add_task(name, total=None)
        return lambda done, total: progress.update(task, total=max(total, 1), completed=done)

    def finish(self) -> None:
        """End the stage that is shown."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, total=1, completed=1)
            self._progress.stop_task(self._task)
            self._task = None


@contextmanager
def stages() -> Iterator[Stages]:
    """Show progress on standard error while the block runs; nothing where that is no terminal."""
    if not errors.is_terminal:
        yield Stages(None)
        return
    columns = (TextColumn("  {task.description:<9}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=errors) as progress:
        shown = Stages(progress)
        yield shown
        shown.finish()
