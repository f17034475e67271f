"""The fit of ``A exp(-k d)`` by each of the three methods, its errors and whether it is identified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ..events import HIDDEN, SUBTICKS
from .market import Floats, Ints, Mids, nanoseconds

if TYPE_CHECKING:
    from ..events import Events

MAX_BLOCKS = 100
"""Most blocks of time between which the clustered errors are measured."""
MIN_BLOCKS = 50
"""Fewest: below, the variance between blocks is too uncertain and errors count orders as independent."""
ORDERS_PER_BLOCK = 5
"""Orders (or windows) that a block holds on average, at least."""
MAX_POINTS = 60
"""Most depths at which observed rates are listed."""
NO_TIME = "no span of time with both a bid and an ask is long enough"


def normal_quantile(level: float) -> float:
    """Two-sided normal quantile of a confidence level."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@dataclass(frozen=True)
class Intensity:
    """The fit of ``A exp(-k d)`` to one side, or to both sides pooled.

    Attributes
    ----------
    side : str
        "bid", "ask" or "pooled".
    A, k : float or None
        1/s and 1/tick; None when not identified.
    estimate : (float, float) or None
        The fitted (A, k) whether identified or not, for plots and for the curious; None when there is none.
    covariance : ndarray or None
        Of (ln A, k), 2 x 2.
    depths, counts, rates, low, high : ndarray
        The depths listed (ticks), orders or windows that reach them, the observed rates (1/s) and their
        exact (Garwood, Clopper-Pearson) confidence limits.
    exposure : float
        s of market time behind the fit (twice the time for the pooled fit).
    points : int
        Depths that entered the fit (lattice cells, or points with a count that has a logarithm).
    orders : int
        Market orders in the fit, or windows.
    chi_square, degrees_of_freedom : float, int
        Pearson's statistic over the cells between depths, cells with few expected merged.
    reason : str or None
        Why it is not identified, in words.
    """

    side: str
    A: float | None
    k: float | None
    estimate: tuple[float, float] | None
    covariance: Floats | None
    depths: Floats
    counts: Ints
    rates: Floats
    low: Floats
    high: Floats
    exposure: float
    points: int
    orders: int
    chi_square: float
    degrees_of_freedom: int
    reason: str | None

    @property
    def identified(self) -> bool:
        """Whether A and k are given."""
        return self.reason is None

    @property
    def dispersion(self) -> float | None:
        """Chi-square per degree of freedom: 1 for a fit as good as its errors say, None without cells."""
        return self.chi_square / self.degrees_of_freedom if self.degrees_of_freedom > 0 else None

    @property
    def p_value(self) -> float | None:
        """Probability of a chi-square this large were the exponential true; None without cells."""
        if self.degrees_of_freedom <= 0:
            return None
        from scipy.special import chdtrc

        return float(chdtrc(self.degrees_of_freedom, self.chi_square))

    @property
    def standard_errors(self) -> tuple[float | None, float | None]:
        """Standard errors of A (1/s) and k (1/tick); None when not identified."""
        if self.A is None or self.covariance is None:
            return None, None
        return self.A * math.sqrt(self.covariance[0, 0]), math.sqrt(self.covariance[1, 1])

    def curve(self, depths: Any, level: float = 0.95) -> tuple[Floats, Floats, Floats]:
        """Fitted rate and its confidence band at given depths; NaN when nothing was fitted.

        Parameters
        ----------
        depths : array_like
            Ticks from the mid.
        level : float
            Confidence level.

        Returns
        -------
        fitted, low, high : ndarray
            1/s.
        """
        d = np.asarray(depths, dtype=np.float64)
        if self.estimate is None or self.covariance is None:
            nothing = np.full(d.shape, np.nan)
            return nothing, nothing.copy(), nothing.copy()
        A, k = self.estimate
        c = self.covariance
        spread = np.sqrt(np.maximum(c[0, 0] - 2 * d * c[0, 1] + d * d * c[1, 1], 0.0)) * normal_quantile(
            level
        )
        log_rate = math.log(A) - k * d
        return np.exp(log_rate), np.exp(log_rate - spread), np.exp(log_rate + spread)


def _judge(k: float, error: float, deepest: float, level: float, adaptive: bool) -> str | None:
    """Why k is not identified, or None."""
    z = normal_quantile(level)
    if not k - z * error > 0:
        return f"k = {k:.3g} ± {error:.2g} per tick is not above zero at the {100 * level:g} % level"
    if k * deepest < 1:
        todo = "the sample is too short" if adaptive else "raise max_depth"
        return (
            f"the intensity is nearly flat over the depths fitted: 1/k = {1 / k:.3g} ticks, around which a "
            f"model would quote, lies beyond the deepest, {deepest:g} ticks; {todo}"
        )
    return None


def _poisson_limits(count: Ints, level: float) -> tuple[Floats, Floats]:
    """Exact (Garwood 1936) limits of a Poisson mean."""
    from scipy.special import gammaincinv

    tail = (1 - level) / 2
    low = np.where(count > 0, gammaincinv(np.maximum(count, 1), tail), 0.0)
    return low, np.asarray(gammaincinv(count + 1, 1 - tail), dtype=np.float64)


def _binomial_limits(count: Ints, n: int, level: float) -> tuple[Floats, Floats]:
    """Exact (Clopper & Pearson 1934) limits of a probability."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), n - count + 1, tail), 0.0)
    high = np.where(count < n, betaincinv(count + 1, np.maximum(n - count, 1), 1 - tail), 1.0)
    return low, high


def _chi_square(observed: Floats, expected: Floats, fewest: float = 5.0) -> tuple[float, int]:
    """Pearson's statistic with neighbouring cells merged until each expects ``fewest``; also the cells."""
    merged: list[list[float]] = []
    o = e = 0.0
    for seen, due in zip(observed.tolist(), expected.tolist(), strict=True):
        o, e = o + seen, e + due
        if e >= fewest:
            merged.append([o, e])
            o = e = 0.0
    if merged:
        merged[-1][0] += o
        merged[-1][1] += e
    return sum((o - e) ** 2 / e for o, e in merged), len(merged)


def _between_blocks(counts: Floats, shares: Floats) -> Floats:
    """Covariance of the totals of `counts` (blocks, columns), from how the blocks differ.

    `shares` is each block's part of the time, the expected part of a total.
    """
    excess = counts - np.multiply.outer(shares, counts.sum(axis=0))
    blocks = len(shares)
    return np.asarray(excess.T @ excess * (blocks / (blocks - 1)))


def on_lattice(reach: Ints, parity: Ints) -> Ints:
    """Reach in half ticks, floored to the depths at which a quote can stand."""
    floored = reach // SUBTICKS
    return floored - ((floored ^ parity) & 1)


def fit_poisson(
    side: str,
    reach: Ints,
    parity: Ints,
    block: Ints,
    blocks: int,
    exposure: tuple[float, float],
    low2: int,
    high2: int,
    level: float,
    adaptive: bool,
) -> Intensity:
    """Maximum likelihood on the lattice; depths in half ticks, exposure in s by parity of the mid."""
    depth = on_lattice(reach, parity)
    start = [low2 + ((low2 ^ h) & 1) for h in (0, 1)]
    cells = [max((high2 - start[h]) // 2, 0) for h in (0, 1)]
    orders = stops = steps = points = 0
    hist: list[Floats] = []
    by_block = np.zeros((max(blocks, 1), 3))  # orders, stops, trials
    for h in (0, 1):
        chosen = (parity == h) & (depth >= start[h])
        d = depth[chosen]
        if not cells[h] or not exposure[h] > 0:
            hist.append(np.zeros(0))
            continue
        walked = np.minimum((d - start[h]) // 2, cells[h])
        hist.append(np.bincount(walked, minlength=cells[h] + 1).astype(np.float64))
        orders += int(d.size)
        stops += int(np.count_nonzero(walked < cells[h]))
        steps += int(walked.sum())
        points += int(np.count_nonzero(hist[h]))
        if blocks:
            stopped = walked < cells[h]
            for column, weight in enumerate((np.ones(d.size), stopped, walked + stopped)):
                by_block[:, column] += np.bincount(block[chosen], weights=weight, minlength=blocks)

    listed = _listed_depths(low2, high2, exposure)
    time = np.array(exposure)[listed & 1]
    counts = np.array(
        [np.count_nonzero((parity == (d2 & 1)) & (depth >= d2)) for d2 in listed.tolist()], dtype=np.int64
    )
    low, high = _poisson_limits(counts, level)
    result: dict[str, Any] = {
        "side": side,
        "depths": listed / 2,
        "counts": counts,
        "rates": counts / time,
        "low": low / time,
        "high": high / time,
        "exposure": sum(exposure),
        "points": points,
        "orders": orders,
    }
    reason = None
    if not sum(exposure) > 0:
        reason = NO_TIME
    elif orders == 0:
        reason = f"no market order reaches a depth of {low2 / 2:g} (ticks from the mid)"
    elif steps == 0:
        reason = "every market order reaches the same depth only"
    elif stops == 0:
        reason = f"every market order reaches {high2 / 2:g} ticks or more: no decay is seen; raise max_depth"
    elif stops == 1:
        reason = "one market order alone stops within the depths fitted"
    if reason is not None:
        return Intensity(
            A=None,
            k=None,
            estimate=None,
            covariance=None,
            chi_square=0.0,
            degrees_of_freedom=0,
            reason=reason,
            **result,
        )

    k = float(np.sum(1 / np.arange(steps + stops - 1, steps, -1)))
    decay = -math.expm1(-k)
    variance = decay * decay * math.exp(k) / stops
    weights = [exposure[h] * math.exp(-k * start[h] / 2) if cells[h] else 0.0 for h in (0, 1)]
    seconds = sum(weights)
    centre = sum(w * start[h] / 2 for h, w in enumerate(weights)) / seconds
    # E exp(centre * k) exceeds exp(centre * E k) by this factor
    A = orders / seconds * math.exp(-0.5 * centre * centre * variance)
    log_a_by_k = np.array([[1.0, centre], [0.0, 1.0]])  # how ln A and k move with ln(orders) and k
    covariance = log_a_by_k @ np.diag([1 / orders, variance]) @ log_a_by_k.T
    if blocks:
        share = stops / (stops + steps)
        influence = np.column_stack(
            [by_block[:, 0] / orders, (by_block[:, 1] - share * by_block[:, 2]) / steps]
        )
        shares = np.full(blocks, 1 / blocks)
        covariance = log_a_by_k @ _between_blocks(influence, shares) @ log_a_by_k.T

    chi_square, degrees = 0.0, -1
    for h in (0, 1):
        n = float(hist[h].sum())
        if n > 0:
            survival = np.exp(-k * np.arange(cells[h] + 1))
            expected = n * np.append(survival[:-1] * decay, survival[-1])
            statistic, kept = _chi_square(hist[h], expected)
            chi_square += statistic
            degrees += kept - 1
    reason = _judge(k, math.sqrt(covariance[1, 1]), high2 / 2, level, adaptive)
    given = reason is None
    return Intensity(
        A=A if given else None,
        k=k if given else None,
        estimate=(A, k),
        covariance=covariance,
        chi_square=chi_square,
        degrees_of_freedom=max(degrees, 0),
        reason=reason,
        **result,
    )


def _listed_depths(low2: int, high2: int, exposure: tuple[float, float]) -> Ints:
    """Depths to list, in half ticks: where the mid spent a hundredth of the time, evenly thinned."""
    total = sum(exposure)
    d2 = np.arange(low2, high2 + 1, dtype=np.int64)
    d2 = d2[np.array(exposure)[d2 & 1] > 0.01 * total] if total > 0 else d2[:0]
    return d2[:: max(1, -(-d2.size // MAX_POINTS))]


def _fit_line(
    side: str,
    depths: Ints,
    counts: Ints,
    rates: Floats,
    limits: tuple[Floats, Floats],
    covariance: Floats,
    cells_of: Any,
    exposure: float,
    orders: int,
    level: float,
) -> Intensity:
    """Least squares of ln(rate) on depth, with the covariance of the ln rates carried through.

    ``cells_of(rates)`` is the number of orders or windows expected between successive depths.
    """
    usable = (rates > 0) & np.isfinite(rates)
    result: dict[str, Any] = {
        "side": side,
        "depths": depths.astype(np.float64),
        "counts": counts,
        "rates": rates,
        "low": limits[0],
        "high": limits[1],
        "exposure": exposure,
        "points": int(np.count_nonzero(usable)),
        "orders": orders,
    }
    d, y = depths[usable].astype(np.float64), np.log(rates[usable])
    reason = None
    if not exposure > 0:
        reason = NO_TIME
    elif d.size == 0:
        reason = f"no trade reaches a depth of {depths[0]:g} (ticks from the mid)"
        if counts.size and counts.min() > 0:
            reason = "every window is hit at every depth: no decay is seen; shorten the window"
    elif d.size == 1:
        reason = "trades reach one depth only"
    elif counts[usable][0] == counts[usable][-1]:
        reason = "all counts are equal: no decay is seen"
    if reason is not None:
        return Intensity(
            A=None,
            k=None,
            estimate=None,
            covariance=None,
            chi_square=0.0,
            degrees_of_freedom=0,
            reason=reason,
            **result,
        )
    centred = d - d.mean()
    slope_row = centred / (centred @ centred)
    level_row = 1 / d.size - d.mean() * slope_row
    k = -float(slope_row @ y)
    log_a = float(y.mean()) + k * float(d.mean())
    rows = np.array([level_row, -slope_row])
    covariance = rows @ covariance[np.ix_(usable, usable)] @ rows.T
    A = math.exp(log_a)
    fitted = A * np.exp(-k * depths[: int(np.flatnonzero(usable)[-1]) + 1])
    expected = cells_of(fitted)
    observed = -np.diff(counts[: fitted.size], append=0).astype(np.float64)
    chi_square, kept = _chi_square(observed, expected)
    reason = _judge(k, math.sqrt(max(covariance[1, 1], 0.0)), float(d[-1]), level, False)
    given = reason is None
    return Intensity(
        A=A if given else None,
        k=k if given else None,
        estimate=(A, k),
        covariance=covariance,
        chi_square=chi_square,
        degrees_of_freedom=max(kept - 2, 0),
        reason=reason,
        **result,
    )


def fit_reach(
    side: str, reach: Ints, block: Ints, blocks: int, depths: Ints, seconds: float, level: float
) -> Intensity:
    """D1: orders that reach each depth, over the time."""
    by_block = np.stack(
        [np.bincount(block[reach >= 2 * SUBTICKS * d], minlength=max(blocks, 1)) for d in depths.tolist()],
        axis=1,
    )
    counts = by_block.sum(axis=0).astype(np.int64)
    low, high = _poisson_limits(counts, level)
    time = seconds if seconds > 0 else math.nan
    order = np.arange(depths.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        if blocks:
            total = _between_blocks(by_block.astype(np.float64), np.full(blocks, 1 / blocks))
            covariance = total / np.multiply.outer(counts, counts)
        else:
            covariance = (1 / counts)[np.minimum.outer(order, order)]
    return _fit_line(
        side,
        depths,
        counts,
        counts / time,
        (low / time, high / time),
        covariance,
        lambda rates: -np.diff(rates * seconds, append=0.0),
        seconds,
        int(counts[0]),
        level,
    )


def fit_window(
    side: str, by_block: Ints, shares: Floats, windows: int, depths: Ints, window: float, level: float
) -> Intensity:
    """D2: windows with a trade strictly beyond each depth; `by_block` counts them per block and depth."""
    hits = by_block.sum(axis=0)
    n = max(windows, 1)
    p = hits / n
    low, high = _binomial_limits(hits, n, level)
    order = np.arange(depths.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = -np.log1p(-p) / window
        limits = -np.log1p(-low) / window, -np.log1p(-high) / window
        derivative = 1 / ((1 - p) * rates * window)
        if len(by_block) > 1:
            covariance = _between_blocks(by_block.astype(np.float64), shares) / n**2
        else:
            nearer, farther = np.minimum.outer(order, order), np.maximum.outer(order, order)
            covariance = p[farther] * (1 - p[nearer]) / n
        covariance = covariance * np.multiply.outer(derivative, derivative)
    return _fit_line(
        side,
        depths,
        hits,
        rates,
        limits,
        covariance,
        lambda fitted: -np.diff(-np.expm1(-fitted * window) * windows, append=0.0),
        windows * window,
        windows,
        level,
    )


@dataclass(frozen=True)
class Windows:
    """Hits on (bid, ask) per block of windows and depth, with each block's part of the windows."""

    hits: Ints  # (2, blocks, depths); one block when errors count windows as independent
    shares: Floats
    count: int
    excluded: int

    @classmethod
    def of(cls, events: Events, mids: Mids, window: float, depths: Ints, clustered: bool) -> Windows:
        step = nanoseconds(window)
        starts = mids.grid(window, "window")[:-1]  # full windows only
        cells = starts.size
        mid2, defined = mids.at(starts)
        count = int(np.count_nonzero(defined))
        blocks = blocks_of(count) if clustered else 0
        ordinal = np.cumsum(defined) - 1  # of each window among those with a mid
        edges = np.arange(1, blocks) * count // max(blocks, 1)
        block = np.searchsorted(edges, ordinal, side="right")
        shares = np.bincount(block[defined], minlength=max(blocks, 1)) / max(count, 1)

        trades = events.trades
        time = np.asarray(trades.local_time, dtype=np.int64)
        index = (time - mids.first - 1) // step  # (g, g + W]: on the boundary belongs to the window it ends
        use = ((np.asarray(trades.flags) & HIDDEN) == 0) & (index >= 0) & (index < cells)
        use[use] = defined[index[use]]
        index = index[use]
        distance = 2 * np.asarray(trades.price, dtype=np.int64)[use] - mid2[index]
        distance = distance * SUBTICKS + 2 * np.asarray(trades.subtick)[use].astype(np.int64)
        hits = np.zeros((2, max(blocks, 1), depths.size), np.int64)
        if index.size:
            start = np.flatnonzero(np.concatenate([[True], np.diff(index) != 0]))
            where = block[index[start]]
            for side, sign in enumerate((-1, 1)):
                farthest = np.maximum.reduceat(sign * distance, start)
                for j, d in enumerate(depths.tolist()):
                    hit = where[farthest > 2 * SUBTICKS * d]
                    hits[side, :, j] = np.bincount(hit, minlength=max(blocks, 1))
        return cls(hits, shares, count, int(cells - count))


def blocks_of(count: int) -> int:
    """Into how many blocks so many orders or windows are cut; 0 where they are too few."""
    blocks = min(MAX_BLOCKS, count // ORDERS_PER_BLOCK)
    return blocks if blocks >= MIN_BLOCKS else 0
