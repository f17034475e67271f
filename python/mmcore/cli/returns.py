"""Returns of several assets from a CSV file of returns or prices, every field of it or none."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..feeds.text import everything, refuse

__all__ = ["read_returns"]

PERIODS = ("", "date", "datetime", "day", "index", "month", "period", "time", "timestamp", "week", "year")
"""Names by which a first column of numbers is known to name the periods; pandas leaves its index unnamed."""
STAMPS = ("date", "datetime", "timestamp")
"""Those whose numbers are points in time, however small; others may begin again, as months do."""
LEAST_STAMP = 1e7
"""Numbers that are no less are points in time too: 20240131, or the seconds since 1970."""


def read_returns(path: str, prices: bool | None = None) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Read a row of returns, or of prices, for each period, a named column for each asset.

    Parameters
    ----------
    path : str
        Plain, gzip, xz, zip or zstd. The first column may name the periods: by its own name
        (:data:`PERIODS`), by texts, or by whole numbers that rise in equal steps. All other fields are
        numbers.
    prices : bool, optional
        Whether they are prices, of which returns are made, period on period before. None: returns, unless
        none of them is 0 or negative, which is refused, for prices never are.

    Returns
    -------
    names : list of str
        Of the assets.
    returns : ndarray, shape (periods, assets)
        One period less than there are prices.
    notes : list of str
        What should be known of how the file was read.

    Raises
    ------
    InvalidArgument
        A field that is no return, or no price, a row of another length, too few of either, or prices whose
        dates do not rise; names file and line.
    """
    file = Path(path)
    rows = _rows(file)
    at, head = next(rows, (0, []))
    names = [name.strip() for name in head]
    if len(names) < 2:
        shown = f"one column, {head[0]!r}" if head else "the file is empty"
        for separator, what in ((";", "semicolons"), ("\t", "tabs")):
            if head and separator in head[0]:
                shown += f", whose names seem to be separated by {what}"
        refuse(file, at, f"{shown}: a line of names is needed, separated by commas, and then the returns")
    for name in names:
        if _number(name) is not None:
            refuse(file, at, f"{name!r} is a number: the first line names the columns")
    table = list(rows)
    for line, row in table:
        if len(row) != len(names):
            refuse(file, line, f"{len(row)} fields, not the {len(names)} that the first line names")
    periods = [row[0].strip() for _, row in table]
    first = 1 if _names_periods(names[0], periods) else 0
    assets = names[first:]
    for i, name in enumerate(assets):
        if not name or name in assets[:i]:
            what = f"{name!r} twice" if name else f"column {first + i + 1} has no name"
            refuse(file, at, f"{what}: each asset needs a name of its own")
    if len(assets) < 2:
        refuse(file, at, f"one asset, {assets[0]!r}: a portfolio needs two at least")
    found = np.empty((len(table), len(assets)))
    for k, (line, row) in enumerate(table):
        for j, (name, text) in enumerate(zip(assets, row[first:], strict=True)):
            value = _number(text)
            if value is None or not math.isfinite(value):
                what = f"{text!r} is not a finite number" if text.strip() else "the field is empty"
                needed = "a price above 0" if prices else "a return, 1 % is 0.01"
                refuse(file, line, f"{name}: {what}: every asset needs {needed}")
            if prices and not value > 0.0:
                refuse(file, line, f"{name}: {text!r} is no price above 0: are these --returns?")
            if not prices and value < -1.0:
                refuse(file, line, f"{name}: {text!r} loses more than all: 1 % is 0.01")
            found[k, j] = value
    what, least = ("prices", "four") if prices else ("returns", "three")
    if len(table) < (4 if prices else 3):
        line = table[-1][0] if table else at
        refuse(file, line, f"{len(table)} rows of {what}: {least} are needed at least")
    notes = _in_order(file, names[0], periods, [line for line, _ in table], bool(prices)) if first else []
    if prices:
        return assets, np.diff(found, axis=0) / found[:-1], notes
    above = (found > 1.0).all(axis=0)
    if prices is None and above.any():
        name = assets[int(np.argmax(above))]
        refuse(file, table[0][0], f"{name}: all above 1, as prices are: --prices makes returns of prices")
    if prices is None and (found > 0.0).all():
        refuse(file, table[0][0], "all numbers are above 0: say whether they are --prices or --returns")
    return assets, found, notes


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the 0-based line at which it ends."""
    data = everything(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        refuse(path, data.count(b"\n", 0, error.start), "not text in UTF-8")
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield reader.line_num - 1, row
    except csv.Error as error:
        refuse(path, reader.line_num - 1, str(error))


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def _names_periods(name: str, fields: list[str]) -> bool:
    """Say whether a first column holds names of periods, not returns that are written wrongly."""
    if name.lower() in PERIODS or _counts(fields):
        return True
    return all(field and not field.endswith("%") and _number(field) is None for field in fields)


def _counts(fields: list[str]) -> bool:
    """Say whether fields are whole numbers that rise in equal steps, as an index is and returns are not."""
    try:
        numbers = [int(field) for field in fields]
    except ValueError:
        return False
    return len(numbers) > 2 and numbers[0] < numbers[1] and not np.diff(numbers, 2).any()


def _in_order(path: Path, name: str, fields: list[str], lines: list[int], prices: bool) -> list[str]:
    """Refuse prices whose periods do not rise; return what should be known of the column that names them.

    The order of returns is nothing to their mean and covariance, but one that stands twice counts twice.
    """
    column = f"column {name!r}" if name else "column 1"
    notes = [f"{column} is taken for an index and passed over"]
    points = _points(fields)
    if points is None:
        if prices:
            notes[0] += ", for its texts are no ISO dates: the rows are taken for oldest first"
        return notes
    dated = isinstance(points[0], datetime)
    stamps = dated or name.lower() in STAMPS or min(points) >= LEAST_STAMP
    steps = list(pairwise(points))
    falls = [i for i, (a, b) in enumerate(steps, 1) if b < a]
    again = [i for i, (a, b) in enumerate(steps, 1) if b == a]
    newest_first = len(falls) + len(again) == len(steps)
    if prices and falls and (stamps or newest_first):
        i = falls[0]
        what = "are newest first" if newest_first else "are in no order"
        refuse(
            path,
            lines[i],
            f"{fields[i]!r} stands below {fields[i - 1]!r}: prices that {what} make returns that are "
            f"wrong: sort the rows by {column}, oldest first",
        )
    if stamps and (twice := again or _twice(points)):
        i = twice[0]
        if prices:
            refuse(path, lines[i], f"{fields[i]!r} twice: {column} must name each period once")
        notes.append(f"{column} names {fields[i]!r} twice (line {lines[i] + 1}): both rows count")
    return notes[1:] if dated else notes


def _twice(points: list[Any]) -> list[int]:
    """Return the places of points that stand above already."""
    first: dict[Any, int] = {}
    return [i for i, point in enumerate(points) if first.setdefault(point, i) != i]


def _points(fields: list[str]) -> list[Any] | None:
    """Read periods as numbers, or as ISO dates; None where they are neither."""
    numbers = [_number(field) for field in fields]
    if all(number is not None and math.isfinite(number) for number in numbers):
        return numbers
    try:
        dates = [datetime.fromisoformat(f"{field}-01" if len(field) == 7 else field) for field in fields]
    except ValueError:
        return None
    return [date if date.tzinfo else date.replace(tzinfo=UTC) for date in dates]
