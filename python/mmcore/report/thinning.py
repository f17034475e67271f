"""Fewer points, the same picture.

A day has a hundred thousand quotes and a screen a thousand pixels. Of all rows that fall into one
pixel column only four show: the first, the last, the lowest and the highest (M4, Jugel et al. 2014).
:func:`thin` keeps those rows of a table, for each of its columns, and drops the others; no value is
averaged or invented, so that extremes, jumps and gaps survive. The page does the same, in
JavaScript, for the span that is on the screen; this is the part for tables too long to embed, and
for the static plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..events import pieces

__all__ = ["Drawn", "thin"]


class Drawn(Protocol):
    """Numbers by their rows: an array, or what makes them of some rows when it is asked for these."""

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the numbers of some rows, a slice or an array of them."""


def thin(time: NDArray[np.int64], columns: Sequence[Drawn], buckets: int) -> NDArray[np.intp]:
    """Rows that draw the same picture in ``buckets`` pixel columns.

    Parameters
    ----------
    time : array of int64
        Never falling; any unit.
    columns : sequence of Drawn
        What is drawn against it; NaN where there is nothing to draw. They are asked for piece by piece.
    buckets : int
        Number of equal time slices, one per pixel column.

    Returns
    -------
    array of int
        Ascending row numbers: the first and last row of each slice and, for each column, the rows
        of its lowest and highest value there. All rows when they are no more than two per slice.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.array([0., 5., 1., 9., 2., 2., 2., -3., 2., 2.])
    >>> thin(np.arange(10), [y], buckets=2)
    array([0, 3, 4, 7, 9])
    """
    n = len(time)
    if n <= 2 * buckets or time[0] == time[-1]:
        return np.arange(n)
    # Slices by search, not by division of each stamp: nanoseconds times buckets would overflow.
    edges = np.linspace(float(time[0]), float(time[-1]), buckets + 1)[1:-1]
    starts = np.unique(np.concatenate(([0], np.searchsorted(time, edges.astype(np.int64)))))
    starts = starts[starts < n]
    kept = [starts, np.append(starts[1:], n) - 1]
    for column in columns:
        # The extreme of each slice so far, as what is lowest, and the first row that has it.
        best = np.full((2, len(starts)), np.nan)
        row = np.full((2, len(starts)), -1)
        for piece in pieces(n):
            first = int(np.searchsorted(starts, piece.start, side="right")) - 1
            here = slice(first, int(np.searchsorted(starts, piece.stop)))
            cuts = np.maximum(starts[here] - piece.start, 0)
            sizes = np.diff(np.append(cuts, piece.stop - piece.start))
            values = np.asarray(column[piece], dtype=np.float64)
            for side, signed in enumerate((values, -values)):
                lowest = np.fmin.reduceat(signed, cuts)
                hits = np.flatnonzero(signed == np.repeat(lowest, sizes))
                slices, at = np.unique(np.searchsorted(cuts, hits, side="right") - 1, return_index=True)
                lower = ~(lowest[slices] >= best[side, first + slices])  # as it is where there is none yet
                best[side, first + slices[lower]] = lowest[slices[lower]]
                row[side, first + slices[lower]] = piece.start + hits[at[lower]]
        kept.append(row[row >= 0])
    return np.unique(np.concatenate(kept))
