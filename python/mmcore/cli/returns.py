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


def read_returns(
    path: str, prices: bool | None = None, index: str | bool | None = None
) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Read a row of returns, or of prices, for each period, a named column for each asset.

    Parameters
    ----------
    path : str
        Plain, gzip, xz, zip or zstd. All fields are numbers but those of the column that names the periods.
    prices : bool, optional
        Whether they are prices, of which returns are made, period on period before. None: returns, unless
        none of them is 0 or negative, which is refused, for prices never are.
    index : str or bool, optional
        The column that names the periods; False: there is none. None: the first one, where its own name says
        so (:data:`PERIODS`), or its fields are texts, whole numbers that only rise or only fall, or numbers
        from 10⁷ on that never turn.

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
        A field that is no return, or no price, a row of another length, too few of either, prices whose
        dates do not rise, or an index that is no column; names file and line.
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
    naming = _naming(file, at, names, [row[0].strip() for _, row in table], index)
    columns = [i for i in range(len(names)) if i != naming]
    assets = [names[i] for i in columns]
    for i, name in enumerate(assets):
        if not name or name in assets[:i]:
            what = f"{name!r} twice" if name else f"column {columns[i] + 1} has no name"
            refuse(file, at, f"{what}: each asset needs a name of its own")
    if len(assets) < 2:
        beside = "" if naming is None else f", beside the index {names[naming]!r}"
        refuse(file, at, f"one asset, {assets[0]!r}{beside}: a portfolio needs two at least")
    found = np.empty((len(table), len(assets)))
    for k, (line, row) in enumerate(table):
        for j, (name, text) in enumerate(zip(assets, [row[i] for i in columns], strict=True)):
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
        count = "1 row" if len(table) == 1 else f"{len(table)} rows"
        refuse(file, line, f"{count} of {what}: {least} are needed at least")
    notes = []
    if naming is not None:
        periods = [row[naming].strip() for _, row in table]
        lines = [line for line, _ in table]
        notes = _in_order(file, names[naming], periods, lines, bool(prices), index is not None)
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


def _naming(path: Path, at: int, names: list[str], fields: list[str], index: str | bool | None) -> int | None:
    """Return the place of the column that names the periods, given the fields of the first one."""
    if isinstance(index, str):
        if names.count(index) != 1:
            what = f"{names.count(index)} columns are" if index in names else "no column is"
            refuse(path, at, f"{what} called {index!r}, the index; there are {'; '.join(names)}")
        return names.index(index)
    return 0 if index is None and _names_periods(names[0], fields) else None


def _names_periods(name: str, fields: list[str]) -> bool:
    """Say whether a first column holds names of periods, not returns that are written wrongly."""
    if name.lower() in PERIODS or _counts(fields):
        return True
    return all(field and not field.endswith("%") and _number(field) is None for field in fields)


def _counts(fields: list[str]) -> bool:
    """Say whether fields run one way as an index does: whole numbers, or stamps, which may repeat."""
    numbers = [number for field in fields if (number := _number(field)) is not None]
    if len(numbers) != len(fields) or len(numbers) < 3 or not np.isfinite(numbers).all():
        return False
    steps = np.diff(numbers)
    one_way = bool((steps >= 0.0).all() or (steps <= 0.0).all())
    if min(numbers) >= LEAST_STAMP:
        return one_way and bool(steps.any())
    return one_way and bool(steps.all()) and all(field.lstrip("+-").isdecimal() for field in fields)


def _in_order(
    path: Path, name: str, fields: list[str], lines: list[int], prices: bool, declared: bool
) -> list[str]:
    """Refuse prices whose periods do not rise; return what should be known of the column that names them.

    The order of returns is nothing to their mean and covariance, but one that stands twice counts twice.
    """
    column = f"column {name!r}" if name else "column 1"
    points = _points(fields)
    taken = f"{column} is taken for an index and passed over"
    if points is None:
        if prices:
            return [f"{taken}, for its texts are no ISO dates: the rows are taken for oldest first"]
        return [] if declared else [taken]
    dated = isinstance(points[0], datetime)
    sure = dated or declared
    notes = [] if sure else [f"{taken}; with --no-index it is an asset"]
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
            f"wrong: sort the rows by {column}, oldest first"
            + ("" if sure else "; with --no-index it is an asset"),
        )
    if stamps and (twice := again or _twice(points)):
        i = twice[0]
        if prices:
            refuse(path, lines[i], f"{fields[i]!r} twice: {column} must name each period once")
        notes.append(f"{column} names {fields[i]!r} twice (line {lines[i] + 1}): both rows count")
    return notes


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
