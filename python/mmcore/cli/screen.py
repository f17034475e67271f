"""What the terminal shows: one calm style for tables, key figures, notes and progress.

Standard output holds the answer; progress and errors go to standard error. rich leaves out colours
where they are unwanted (``NO_COLOR``, a pipe, a dumb terminal).
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import Box
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
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
    "program",
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

# The blank between a number and what it counts, where no line may end.
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|(?:d|h|min|s|ms|ticks?|lots?|fills|orders|[A-Z]{3,})\b)")

# A line under the head and nothing else.
_RULED = Box("    \n    \n ── \n    \n    \n    \n    \n    \n")


answer = Console(theme=_THEME, highlight=False, emoji=False)
"""Standard output."""
errors = Console(stderr=True, theme=_THEME, highlight=False, emoji=False)
"""Standard error."""


def print_json(value: Any) -> None:
    """Print one JSON document, and nothing else; what is not finite becomes null."""
    print(json.dumps(_jsonable(value), indent=2, allow_nan=False))


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


def program(name: str) -> list[str]:
    """Return the words that start ``mmcore``, or this ``python``, from where the user is.

    The name alone where the shell finds this very program by it, else its path. A virtual environment's
    interpreter is often a link to the system's, so links are not followed.
    """
    path = sys.executable if name == "python" else sys.argv[0]
    if name == "mmcore" and not (os.path.isfile(path) and os.path.basename(path).startswith(name)):
        return [*program("python"), "-m", "mmcore"]
    found = shutil.which(name)
    if found is not None and os.path.abspath(found) == os.path.abspath(path):
        return [name]
    near = os.path.relpath(path) if os.path.abspath(path).startswith(os.getcwd() + os.sep) else path
    return [near]


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
    """Print the title of a part, after an empty line; a remark that does not fit goes below it."""
    answer.print()
    if len(title) + len(remark) + 3 <= answer.width:
        answer.print(Text.assemble((title, "heading"), (f"   {remark}" if remark else "", "quiet")))
    else:
        answer.print(Text(title, style="heading"))
        paragraph(remark, style="quiet")


def paragraph(text: str, style: str = "", indent: str = "  ") -> None:
    """Print text below a heading, indented and wrapped; a number keeps its unit."""
    for line in _wrapped(text, answer.width - len(indent)):
        answer.print(Text(f"{indent}{line}", style=style), soft_wrap=True)


def note(text: str) -> None:
    """Print what a reader should know before using the numbers."""
    first, *rest = _wrapped(text, answer.width - 8) or [""]
    answer.print(Text.assemble("  ", ("note", "note"), "  ", first), soft_wrap=True)
    for line in rest:
        answer.print(Text(f"        {line}"), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    joined = _BEFORE_UNIT.sub("\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(joined, max(width, 20), break_on_hyphens=False)  # an option stays whole
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]


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

    What does not fit the terminal moves closer, breaks its headings, then a text at its end; a table
    that is wider still becomes one entry a row, each cell behind the name of its column.
    """
    rows = [tuple(row) for row in rows]
    cells = [max((cell_len(row[i]) for row in rows), default=0) for i in range(len(columns))]
    whole = [max(width, cell_len(name)) for width, name in zip(cells, columns, strict=True)]
    broken = [
        max(width, *map(cell_len, name.split() or [""])) for width, name in zip(cells, columns, strict=True)
    ]
    # A text at the end takes what the other columns leave, down to a width at which it still reads.
    room = answer.width - 2 - sum(broken[:-1]) - 2 * (len(columns) - 1)
    texts = [*broken[:-1], room if len(columns) - 1 in left and 20 <= room < broken[-1] else broken[-1]]
    for gap, widths in ((3, whole), (2, whole), (1, whole), (1, broken), (2, texts)):
        if 2 + sum(widths) + gap * (len(widths) - 1) <= answer.width:
            break
    else:
        for row in rows:
            _entry(columns, row)
        return
    padding = (0, max(gap - 2, 0), 0, min(gap - 1, 1))  # the box puts a blank between the columns
    made = Table(box=_RULED, padding=padding, show_edge=False, pad_edge=False, header_style="quiet")
    for index, (name, width) in enumerate(zip(columns, widths, strict=True)):
        made.add_column(escape(name), justify="left" if index in left else "right", width=width)
    for row in rows:
        made.add_row(*map(escape, row))
    answer.print(Padding(made, (0, 0, 0, 2), expand=False))


def _entry(columns: Sequence[str], row: Sequence[str]) -> None:
    """Print one row of a table that is too wide: its first cell, and below it the others by name."""
    name, first = columns[0], row[0]
    # A heading of one word says what the first cell is; a longer one describes the table.
    paragraph(f"{name} {first}" if name and " " not in name else first)
    line = ""
    for name, cell in zip(columns[1:], row[1:], strict=True):
        if not cell:
            continue
        pair = f"{name} {cell}".strip()
        if line and len(line) + 2 + len(pair) > answer.width - 4:
            paragraph(line, indent="    ")
            line = ""
        line += f"{'  ' if line else ''}{pair}"
    paragraph(line, indent="    ")


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
