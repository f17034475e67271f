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

import numpy as np
from numpy.typing import NDArray

__all__ = ["thin"]


def thin(time: NDArray[np.int64], columns: Sequence[NDArray[np.float64]], buckets: int) -> NDArray[np.intp]:
    """Rows that draw the same picture in ``buckets`` pixel columns.

    Parameters
    ----------
    time : array of int64
        Never falling; any unit.
    columns : sequence of arrays
        What is drawn against it; NaN where there is nothing to draw.
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
    sizes = np.diff(np.append(starts, n))
    for column in columns:
        for extreme in (np.fmin.reduceat(column, starts), np.fmax.reduceat(column, starts)):
            hits = np.flatnonzero(column == np.repeat(extreme, sizes))
            slices = np.searchsorted(starts, hits, side="right")
            kept.append(hits[np.flatnonzero(np.diff(slices, prepend=0))])  # the first hit of each slice
    return np.unique(np.concatenate(kept))
