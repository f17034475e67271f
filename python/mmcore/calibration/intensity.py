"""The fit of ``A exp(-k d)`` by each of the three methods, its errors and whether it is identified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidArgument
from ..events import HIDDEN, parts
from .market import Blocks, Bools, Exposure, Floats, Ints, Mids, half_ticks_beyond, nanoseconds
from .options import MAX_DEPTH, OPTION

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
MAX_CELLS = 1000
"""Most cells between which the chi-square tells how far orders walk."""
LARGEST_LOG = 700.0
"""Largest logarithm that A and the ends of its interval may have: a float holds e^709."""
NO_TIME = "no span of time with both a bid and an ask is long enough"


def normal_quantile(level: float) -> float:
    """Two-sided normal quantile of a confidence level."""
    return NormalDist().inv_cdf(min(0.5 + level / 2, 1 - 2**-53))  # the largest float below 1


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

        Raises
        ------
        InvalidArgument
            Depths that are no numbers, or a level outside (0, 1).
        """
        allowed = "finite numbers (ticks)"
        try:
            d = np.asarray(depths, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InvalidArgument(argument="depths", value=depths, allowed=allowed) from None
        if not (np.abs(d) <= MAX_DEPTH).all():
            raise InvalidArgument(argument="depths", value=depths, allowed=f"{allowed} within ±{MAX_DEPTH:g}")
        z = normal_quantile(OPTION["level"].check(level))
        if self.estimate is None or self.covariance is None:
            nothing = np.full(d.shape, np.nan)
            return nothing, nothing.copy(), nothing.copy()
        A, k = self.estimate
        c = self.covariance
        spread = z * np.sqrt(np.maximum(c[0, 0] - 2 * d * c[0, 1] + d * d * c[1, 1], 0.0))
        log_rate = math.log(A) - k * d
        with np.errstate(over="ignore"):  # far from what was fitted the band is wider than floats
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


def on_lattice(reach: Ints, touch: Ints) -> Ints:
    """Reach in half ticks, rounded down to a whole number of ticks from the touch: where quotes stand."""
    return reach - ((reach ^ touch) & 1)


def nearest(touch: Ints, low2: int) -> Ints:
    """Smallest depth, `low2` or more half ticks, at or behind a touch so many half ticks from the mid."""
    depth: Ints = np.maximum(touch, low2 + ((low2 ^ touch) & 1))
    return depth


@dataclass(frozen=True)
class Range:
    """The depths that are fitted, in half ticks, and the time in which they are observed."""

    low2: int
    high2: int
    exposure: Exposure

    @cached_property
    def first(self) -> Ints:
        """Smallest depth of the range that is observed under each spread of the exposure."""
        return nearest(self.exposure.spread, self.low2)

    @cached_property
    def observed(self) -> Bools:
        """Spreads that leave a tick of the range behind the touch, and lasted."""
        return (self.first + 2 <= self.high2) & (self.exposure.seconds > 0)

    def reached(self, depth: Ints, touch: Ints) -> Bools:
        """Which orders reach a depth of the range while it is observed."""
        start = nearest(touch, self.low2)
        return (depth >= start) & np.isin(start, self.first[self.observed])

    def relative_rate(self, k: float) -> Floats:
        """Rate under each spread over that at the smallest depth observed; 0 where nothing is."""
        beyond = (self.first - self.first[self.observed].min(initial=2**62)) / 2
        return np.exp(-k * np.where(self.observed, beyond, math.inf))


@dataclass(frozen=True)
class Starts:
    """Depths from which on orders are observed, in ticks beyond the nearest of them, and how long each."""

    nearest: float
    beyond: Floats
    seconds: Floats

    def moments(self, k: float) -> tuple[float, float, float, float]:
        """``sum(seconds exp(-k beyond))``; mean, variance and third moment of ``beyond`` in it."""
        weight = self.seconds * np.exp(-k * self.beyond)
        total = float(weight.sum())
        centre = float(weight @ self.beyond) / total
        off = self.beyond - centre
        return total, centre, float(weight @ off**2) / total, float(weight @ off**3) / total


def harmonic(after: float, terms: int) -> float:
    """Sum of 1/(after + i) for i = 1 to ``terms``, real ``after`` > -1."""
    from scipy.special import psi

    if after < 100:
        return float(psi(after + terms + 1) - psi(after + 1))
    low, high = after + 0.5, after + terms + 0.5  # psi(x + 1/2) = ln x + 1/(24 x^2) - 7/(960 x^4) + ...
    return math.log1p(terms / low) + (low**-2 - high**-2) / -24 + 7 * (low**-4 - high**-4) / 960


def decay(starts: Starts, orders: int, stops: int, ticks: float) -> float:
    """k, from the ticks that all orders together go beyond the nearest start, its bias removed."""
    from scipy.optimize import brentq

    def excess(k: float) -> float:
        _, centre, variance, third = starts.moments(k)
        within = stops / (4 * math.sinh(k / 2) ** 2)
        bias = orders * (third - variance / math.tanh(k / 2)) / (2 * (orders * variance + within))
        steps = ticks - orders * centre + bias
        return k - harmonic(steps, stops - 1) if steps > -1 else -math.inf

    low = high = 1.0
    while excess(low) > 0:
        low /= 2
    while excess(high) < 0:
        high *= 2
    while excess(low) == -math.inf:
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return float(brentq(excess, low, high, xtol=1e-300, rtol=4 * np.finfo(np.float64).eps))


def at_least(values: Ints, count: Ints, levels: Ints) -> Ints:
    """How many there are at each level or above, of `count` of each value.

    Examples
    --------
    >>> at_least(np.array([3, 1]), np.array([2, 5]), np.array([0, 1, 2, 4]))
    array([7, 7, 2, 0])
    """
    order = np.argsort(values)
    above = np.append(np.cumsum(count[order][::-1])[::-1], 0)
    return np.asarray(above[np.searchsorted(values[order], levels)])


def order_statistic(values: Ints, count: Ints, probability: float) -> int:
    """The smallest value that is no lower than the quantile, of `count` of each.

    Examples
    --------
    >>> order_statistic(np.array([9, 2]), np.array([1, 3]), 0.5)
    2
    """
    order = np.argsort(values)
    until = np.cumsum(count[order])
    return int(values[order][np.searchsorted(until, math.ceil((until[-1] - 1) * probability), "right")])


def fit_poisson(
    side: str,
    depth: Ints,
    touch: Ints,
    block: Ints,
    count: Ints,
    blocks: Blocks,
    span: Range,
    sides: int,
    level: float,
    adaptive: bool,
) -> Intensity:
    """Maximum likelihood on the lattice; depths in half ticks, of `count` orders each.

    There are no `blocks` when the errors take orders as independent; `sides` is how many sides of the market
    the orders come from.
    """
    exposure, low2, high2 = span.exposure, span.low2, span.high2
    chosen = span.reached(depth, touch)
    start = nearest(touch[chosen], low2)
    room = (high2 - start) // 2
    walked = np.minimum((depth[chosen] - start) // 2, room)
    n = count[chosen]
    orders, stops = int(n.sum()), int(n[walked < room].sum())

    depths, place = np.unique(span.first[span.observed], return_inverse=True)
    held = np.zeros(depths.size)
    np.add.at(held, place, sides * exposure.seconds[span.observed])
    starts = Starts(depths[0] / 2 if depths.size else 0.0, (depths - depths[:1]) / 2, held)

    listed = _listed_depths(span)
    time = sides * exposure.at(listed)
    counts = np.array(
        [count[(touch <= d2) & (depth >= d2) & (((touch ^ d2) & 1) == 0)].sum() for d2 in listed.tolist()],
        dtype=np.int64,
    )
    low, high = _poisson_limits(counts, level)
    result: dict[str, Any] = {
        "side": side,
        "depths": listed / 2,
        "counts": counts,
        "rates": counts / time,
        "low": low / time,
        "high": high / time,
        "exposure": float(held.sum()),
        "points": int(np.unique(start + 2 * walked).size),
        "orders": orders,
    }
    ticks = float(np.sum(n * (start / 2 - starts.nearest))) + float(np.sum(n * walked.astype(np.float64)))
    reason = None
    if not exposure.seconds.sum() > 0:
        reason = NO_TIME
    elif not np.any(depth >= nearest(touch, low2)):
        reason = f"no market order reaches a depth of {low2 / 2:g} (ticks from the mid)"
    elif not orders:
        reason = (
            f"no market order comes while the touch lies within {high2 / 2 - 1:g} ticks of the mid; "
            "raise max_depth"
        )
    elif ticks == 0:
        reason = "every market order reaches the same depth only"
    elif stops == 0:
        reason = f"every market order reaches {high2 / 2:g} ticks or more: no decay is seen; raise max_depth"
    elif stops == 1:
        reason = "one market order alone stops within the depths fitted"
    if reason is not None:
        return _nothing(reason, result)

    k = decay(starts, orders, stops, ticks)
    weight, centre, spread, _ = starts.moments(k)
    variance = 1 / (orders * spread + stops / (4 * math.sinh(k / 2) ** 2))
    lever = starts.nearest + centre
    # E exp(lever * k) / weight(k) exceeds its value at E k by the last term
    log_a = math.log(orders / weight) + starts.nearest * k - 0.5 * (lever**2 - spread) * variance
    log_a_by_k = np.array([[1.0, lever], [0.0, 1.0]])  # how ln A and k move with ln(orders) and k
    covariance = log_a_by_k @ np.diag([1 / orders, variance]) @ log_a_by_k.T
    if blocks:
        score = np.where(walked < room, 1 / math.expm1(k), 0.0) - walked - (start / 2 - lever)
        due = span.relative_rate(k) * sides / weight
        between = _influence_between_blocks(block[chosen], n, score, due, span, lever, blocks, variance)
        covariance = log_a_by_k @ between @ log_a_by_k.T

    error = normal_quantile(level) * math.sqrt(covariance[0, 0])
    if abs(log_a) + error > LARGEST_LOG:
        return _nothing(
            f"the touch, {lever:.4g} ticks from the mid, is too far away to tell A, the rate at the mid",
            result,
        )
    A = math.exp(log_a)
    arrived = np.bincount(np.searchsorted(depths, start), n, depths.size).astype(np.float64)
    statistics = (
        _chi_square(arrived, orders / weight * starts.seconds * np.exp(-k * starts.beyond)),
        _chi_square(*_walks(walked, room, n, k)),
    )
    reason = _judge(k, math.sqrt(covariance[1, 1]), high2 / 2, level, adaptive)
    given = reason is None
    return Intensity(
        A=A if given else None,
        k=k if given else None,
        estimate=(A, k),
        covariance=covariance,
        chi_square=sum(statistic for statistic, _ in statistics),
        degrees_of_freedom=max(sum(kept - 1 for _, kept in statistics) - 1, 0),
        reason=reason,
        **result,
    )


def _influence_between_blocks(
    block: Ints,
    count: Ints,
    score: Floats,
    due: Floats,
    span: Range,
    lever: float,
    blocks: Blocks,
    variance: float,
) -> Floats:
    """Covariance of (ln orders, k) from how the orders of each block differ from what its spreads let expect.

    `due` is the part of the orders expected in a second under each spread, `score` each order's
    derivative of the log-likelihood by k.
    """
    orders = int(count.sum())
    came = np.bincount(block, count, len(blocks)) / orders
    scored = orders * (blocks.seconds @ (due * (span.first / 2 - lever)))
    scored = scored + np.bincount(block, count * score, len(blocks))
    influence = np.column_stack([came - blocks.seconds @ due, scored * variance])
    return _between_blocks(influence, np.full(len(blocks), 1 / len(blocks)))


def _walks(walked: Ints, room: Ints, count: Ints, k: float) -> tuple[Floats, Floats]:
    """Orders that walk so many ticks on from their start, and how many are expected to, by cells."""
    longest = int(room.max())
    cells = np.append(np.arange(0, longest, -(-longest // MAX_CELLS)), longest)
    seen, could = at_least(walked, count, cells), at_least(room, count, cells)
    return -np.diff(seen, append=0).astype(np.float64), -np.diff(could * np.exp(-k * cells), append=0.0)


def _listed_depths(span: Range) -> Ints:
    """Depths to list, in half ticks: those observed a hundredth of the time, evenly thinned."""
    exposure, high2 = span.exposure, span.high2
    total = float(exposure.seconds.sum())
    first = []
    for parity in (0, 1):
        same = (exposure.spread & 1) == parity
        long_enough = np.flatnonzero(np.cumsum(exposure.seconds[same]) > 0.01 * total)
        if long_enough.size:
            first.append(int(span.first[same][long_enough[0]]))
    if not first:
        return np.zeros(0, np.int64)
    both = max(first) if len(first) == 2 else high2 + 1  # from here on the mid is seen at both parities
    parts = range(min(first), min(both, high2 + 1), 2), range(both, high2 + 1)
    step = max(1, -(-(len(parts[0]) + len(parts[1])) // MAX_POINTS))
    here = list(parts[0][::step])
    return np.array(here + list(parts[1][(-len(parts[0])) % step :: step]), dtype=np.int64)


def _nothing(reason: str, result: dict[str, Any]) -> Intensity:
    """Make the fit that gives no numbers."""
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
        return _nothing(reason, result)
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
    side: str, reach: Ints, block: Ints, count: Ints, blocks: int, depths: Ints, seconds: float, level: float
) -> Intensity:
    """D1: orders that reach each depth, `count` of each reach, over the time."""
    reached = [reach >= 2 * d for d in depths.tolist()]
    parts = [np.bincount(block[r], count[r], max(blocks, 1)) for r in reached]
    by_block = np.stack(parts, axis=1).astype(np.float64)
    counts = by_block.sum(axis=0).astype(np.int64)
    low, high = _poisson_limits(counts, level)
    time = seconds if seconds > 0 else math.nan
    order = np.arange(depths.size)
    with np.errstate(divide="ignore", invalid="ignore"):
        if blocks:
            total = _between_blocks(by_block, np.full(blocks, 1 / blocks))
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

        farthest = np.full((2, cells), -(2**63))
        for _, part in parts(events):
            trades = part.trades
            index = (
                trades.local_time - mids.first - 1
            ) // step  # (g, g + W]: on the boundary: of the one it ends
            use = ((trades.flags & HIDDEN) == 0) & (index >= 0) & (index < cells)
            use[use] = defined[index[use]]
            index = index[use]
            below, above = half_ticks_beyond(mid2[index], trades, use)
            np.maximum.at(farthest[0], index, -below)
            np.maximum.at(farthest[1], index, above)
        hits = np.zeros((2, max(blocks, 1), depths.size), np.int64)
        for side, reach in enumerate(farthest):
            for j, d in enumerate(depths.tolist()):
                hits[side, :, j] = np.bincount(block[reach > 2 * d], minlength=max(blocks, 1))
        return cls(hits, shares, count, int(cells - count))


def blocks_of(count: int) -> int:
    """Into how many blocks so many orders or windows are cut; 0 where they are too few."""
    blocks = min(MAX_BLOCKS, count // ORDERS_PER_BLOCK)
    return blocks if blocks >= MIN_BLOCKS else 0
