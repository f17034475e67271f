"""Volatility of the mid on a time grid, in exact arithmetic, with a robust error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .market import Mids
from .options import OPTION

if TYPE_CHECKING:
    from ..events import Events


@dataclass(frozen=True)
class Volatility:
    """Volatility of the mid price on a time grid.

    Attributes
    ----------
    sigma : float or None
        ticks/√s; None when not identified (no increments, or a mid that never moved).
    standard_error : float or None
        Of ``sigma``, ticks/√s, robust to fat tails and to clustering.
    log_variance : float or None
        Sum of squared log returns over the same increments (realised variance, not annualised); None
        where a mid is not positive.
    interval : float
        Spacing of the grid, s.
    increments, excluded : int
        Increments used, and those left out because the mid was undefined at one end.
    """

    sigma: float | None
    standard_error: float | None
    log_variance: float | None
    interval: float
    increments: int
    excluded: int

    @property
    def reason(self) -> str | None:
        """Why sigma is not identified, or None."""
        if self.sigma is not None:
            return None
        if self.increments == 0:
            return f"sigma is not identified: the quotes span no full interval of {self.interval:g} s"
        return f"sigma is not identified: the mid did not move over {self.increments} increments"


BLOCKS = (100, 50, 25)
"""Blocks of time between which the squares of the moves are compared; the largest error counts."""
LEAST_MOVES = 10
"""Moves a block at least."""


def _between_blocks(square: NDArray[np.float64], blocks: int) -> float:
    """Standard error of the sum of squares, relative to it, from how blocks of time differ."""
    edges = np.arange(blocks) * len(square) // blocks
    share = np.add.reduceat(square, edges) / square.sum() - np.diff(edges, append=len(square)) / len(square)
    return math.sqrt(float(share @ share) * blocks / (blocks - 1))


def volatility(events: Events, sigma_interval: float = 1.0) -> Volatility:
    """Measure the volatility of the mid price on a time grid.

    Parameters
    ----------
    events : Events
        Market data; only the quotes are read.
    sigma_interval : float
        Spacing of the grid, s.

    Returns
    -------
    Volatility

    Raises
    ------
    InvalidArgument
        ``sigma_interval`` is not a finite positive number, or too short for the span.

    Examples
    --------
    >>> import mmcore as mm
    >>> quotes = mm.Quotes(local_time=[0, 10**9, 2 * 10**9], bid=[99, 101, 100], ask=[101, 103, 103])
    >>> events = mm.Events(mm.Instrument("XYZ", tick="0.01"), None, quotes)
    >>> volatility(events).sigma == ((4 + 0.25) / 2) ** 0.5
    True
    """
    return volatility_of(Mids.of(events), OPTION["sigma_interval"].check(sigma_interval))


def volatility_of(mids: Mids, interval: float) -> Volatility:
    """Measure it on mids that were read before."""
    mid2, defined = mids.at(mids.grid(interval, "sigma_interval"))
    both = defined[1:] & defined[:-1]
    n = int(np.count_nonzero(both))
    excluded = int(both.size - n)
    if n == 0:
        return Volatility(None, None, None, interval, 0, excluded)
    move = np.diff(mid2)[both]
    largest = int(np.abs(move).max())
    if largest == 0:
        return Volatility(None, None, None, interval, n, excluded)
    exact = largest * largest * n < 2**62
    total = int(np.dot(move, move)) if exact else sum(int(m) ** 2 for m in move)
    sigma = math.sqrt(total / 4 / (interval * n))

    square = move.astype(np.float64) ** 2
    deviation = square - square.mean()
    independent = float(deviation @ deviation)
    variance = independent
    lags = int(4 * (n / 100) ** (2 / 9))
    for lag in range(1, min(n - 1, lags) + 1):
        variance += 2 * (1 - lag / (1 + lags)) * float(deviation[lag:] @ deviation[:-lag])
    # Of sigma squared. A few squares, or equal ones, understate their variance: never below a normal law's.
    # Volatility that stays for minutes shows in how blocks of time differ, the more the longer the blocks.
    spread = [math.sqrt(max(variance, independent)) / float(np.sum(square)), math.sqrt(2 / n)]
    spread += [_between_blocks(square, blocks) for blocks in BLOCKS if n >= LEAST_MOVES * blocks]
    relative = max(spread)
    log_variance = None
    low = mid2[1:][both].min(), mid2[:-1][both].min()
    if min(low) > 0:
        returns = np.log(mid2[1:][both] / mid2[:-1][both])
        log_variance = float(returns @ returns)
    return Volatility(sigma, sigma * relative / 2, log_variance, interval, n, excluded)
