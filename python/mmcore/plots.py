"""Static pictures of a result with matplotlib (extra ``plot``).

:func:`plot_result` is what :meth:`mmcore.results.Result.plot` calls; the functions behind it are
``PLOTS``, by name. Each draws on the given axes, or on a new figure, and returns the axes; it never
shows, saves or styles anything else, so that pictures go into any notebook, paper or layout.

Values are the result's own. Long series are thinned to the pixels of a wide screen
(:mod:`mmcore.report.thinning`): the picture is the same, and a day draws at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument, MissingExtra, NotIdentified
from .report.charts import LIGHT, markout_range
from .report.thinning import thin

if TYPE_CHECKING:
    from .results import Result

__all__ = ["PLOTS", "plot_result"]

BUCKETS = 1600


def plot_result(result: Result, what: str = "pnl", ax: Any = None) -> Any:
    """Draw one picture of a result.

    Parameters
    ----------
    result : Result
        A finished replay.
    what : str
        "mid" (mid, our quotes, fills), "inventory", "pnl" (its parts over time), "markouts",
        "intensity" (fill rates of our orders against the model's), "calibration" (the fit),
        "histogram" (time at each inventory), "spreads" (our half-spread against the market's).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure when omitted.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    InvalidArgument
        `what` is none of these.
    NotIdentified
        "calibration" of a result without one.
    """
    draw = PLOTS.get(what)
    if draw is None:
        raise InvalidArgument(argument="what", value=what, allowed="one of " + ", ".join(map(repr, PLOTS)))
    return draw(result, _axes(ax))


def _axes(ax: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra("a plot", "plot") from None
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=LIGHT["grid"], linewidth=0.8)
    ax.set_axisbelow(True)
    return ax


def _dates(time: NDArray[np.int64]) -> Any:
    return np.asarray(time, dtype="datetime64[ns]")


def _against_time(ax: Any, time: NDArray[np.int64]) -> None:
    """Label the time axis in UTC, with the day written once."""
    from matplotlib import dates

    make: Any = dates  # its classes are not annotated
    locator = make.AutoDateLocator()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(make.ConciseDateFormatter(locator, show_offset=False))
    if len(time):
        day = datetime.fromtimestamp(int(time[0]) // 10**9, UTC)
        ax.set_xlabel(f"{day:%Y-%m-%d}, UTC")


def _steps(ax: Any, time: NDArray[np.int64], values: NDArray[np.float64], **look: Any) -> None:
    rows = thin(time, [values], BUCKETS)
    ax.step(_dates(time[rows]), values[rows], where="post", **look)


def _legend(ax: Any) -> None:
    # Outside the data: with "best", matplotlib searches every point for a free place.
    ax.legend(frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))


def _absent(prices: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.asarray(sizes) > 0, np.asarray(prices, dtype=np.float64), np.nan)


def draw_mid(result: Result, ax: Any) -> Any:
    """Mid price with our quotes and fills, in currency."""
    tick = float(result.instrument.tick)
    quotes, d, fills = result.events.quotes, result.decisions, result.fills
    low = max(0, int(np.searchsorted(quotes.local_time, result.totals.first_time, "right")) - 1)
    high = int(np.searchsorted(quotes.local_time, result.totals.end_time, "right"))
    time = np.asarray(quotes.local_time[low:high])
    market_bid = _absent(quotes.bid[low:high], quotes.bid_size[low:high])
    market_ask = _absent(quotes.ask[low:high], quotes.ask_size[low:high])
    _steps(ax, time, (market_bid + market_ask) / 2 * tick, color=LIGHT["ink"], linewidth=1.0, label="mid")
    for side, colour in (("bid", LIGHT["bid"]), ("ask", LIGHT["ask"])):
        ours = _absent(d[side], d[f"{side}_size"]) * tick
        _steps(ax, d["live_time"], ours, color=colour, linewidth=0.8, alpha=0.8, label=f"our {side}")
    for mine, colour, marker, label in (
        (fills["qty"] > 0, LIGHT["bid"], "^", "buys"),
        (fills["qty"] < 0, LIGHT["ask"], "v", "sells"),
    ):
        ax.scatter(
            _dates(fills["receive_time"][mine]),
            fills["price"][mine] * tick,
            s=18,
            marker=marker,
            color=colour,
            edgecolors=LIGHT["ink"],
            linewidths=0.3,
            zorder=3,
            label=label,
        )
    _against_time(ax, time)
    ax.set_ylabel(f"price, {result.instrument.currency.name}")
    _legend(ax)
    return ax


def draw_inventory(result: Result, ax: Any) -> Any:
    """Inventory over time, lots."""
    time, inventory = result.inventory_path
    time = np.append(time, result.totals.end_time)
    inventory = np.append(inventory, inventory[-1])
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    _steps(ax, time, inventory.astype(np.float64), color=LIGHT["inventory"], linewidth=1.0)
    _against_time(ax, time)
    ax.set_ylabel("inventory, lots")
    return ax


def draw_pnl(result: Result, ax: Any) -> Any:
    """Cumulative spread, inventory revaluation, fees and their sum, in currency."""
    path = result.pnl_path
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    for column, label, colour, style, width in (
        ("spread", "spread captured", LIGHT["spread"], "-", 1.1),
        ("inventory", "inventory revaluation", LIGHT["inventory"], "-", 1.1),
        ("fees", "fees", LIGHT["fees"], "--", 1.1),
        ("total", "net P&L", LIGHT["ink"], "-", 1.8),
    ):
        _steps(ax, path["time"], path[column], color=colour, linestyle=style, linewidth=width, label=label)
    _against_time(ax, path["time"])
    ax.set_ylabel(f"P&L, {result.attribution.currency}")
    _legend(ax)
    return ax


def _estimates(
    ax: Any,
    x: NDArray[Any],
    y: NDArray[Any],
    low: NDArray[Any],
    high: NDArray[Any],
    sure: NDArray[np.bool_],
    limits: tuple[float, float],
    marker: str,
    colour: str,
    label: str,
) -> None:
    """Draw estimates with their intervals: those that are not sure hollow, at the edge if beyond it."""
    for rows, look in (
        (sure, {"label": label}),
        (~sure, {"markerfacecolor": "none", "alpha": 0.5, "linewidth": 0.8}),
    ):
        at = np.clip(y[rows], *limits)
        reach = [np.maximum(at - low[rows], 0.0), np.maximum(high[rows] - at, 0.0)]
        ax.errorbar(x[rows], at, reach, fmt=marker, color=colour, markersize=5, **look)


def draw_markouts(result: Result, ax: Any) -> Any:
    """Mean markouts with 95 % intervals, all fills and by side, ticks per lot; hollow without an interval."""
    from .report.numbers import seconds

    marks = result.markouts()
    limits = markout_range([*marks.rows, *marks.bid, *marks.ask])
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    for rows, label, colour, marker, shift in (
        (marks.rows, "all fills", LIGHT["ink"], "o", 0.0),
        (marks.bid, "buys", LIGHT["bid"], "^", -0.18),
        (marks.ask, "sells", LIGHT["ask"], "v", 0.18),
    ):
        x = np.arange(len(rows)) + shift
        mean = np.array([row.mean for row in rows])
        low, high = np.array([row.low for row in rows]), np.array([row.high for row in rows])
        _estimates(ax, x, mean, low, high, np.isfinite(low), limits, marker, colour, label)
    ax.set_ylim(limits)
    ax.set_xticks(range(len(marks.rows)), [seconds(row.horizon) for row in marks.rows])
    ax.set_xlabel("time after the fill")
    ax.set_ylabel("mean markout, ticks per lot")
    _legend(ax)
    return ax


def draw_intensity(result: Result, ax: Any) -> Any:
    """Fill rates of our orders by depth with exact intervals, what is expected, and (dashed) assumed, 1/s.

    Hollow: fewer than :data:`~mmcore.results.FEW` fills.
    """
    rows = result.intensity
    scale = [rate for b in rows for rate in (b.expected, b.assumed) if rate > 0]
    scale += [rate for b in rows if b.estimable for rate in (b.realised, b.low, b.high)]
    scale = scale or [b.high for b in rows] or [1.0]
    limits = (min(scale) / 1.15, max(scale) * 1.15)
    for side, colour, marker in (("bid", LIGHT["bid"], "o"), ("ask", LIGHT["ask"], "s")):
        bins = [b for b in rows if b.side == side]
        depth, realised, low, high = (
            np.array([getattr(b, name) for b in bins]) for name in ("depth", "realised", "low", "high")
        )
        sure = np.array([b.estimable for b in bins], dtype=bool)
        _estimates(ax, depth, realised, low, high, sure, limits, marker, colour, f"{side} orders")
        ax.plot(depth, [b.expected for b in bins], color=colour, linewidth=1.4, label=f"{side}, expected")
        ax.plot(depth, [b.assumed for b in bins], color=colour, linewidth=1.0, linestyle="--")
    ax.set_ylim(limits)
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("depth from the mid, ticks")
    ax.set_ylabel("fill rate, 1/s")
    _legend(ax)
    return ax


def draw_calibration(result: Result, ax: Any) -> Any:
    """Draw the calibration's own picture: observed rates by depth, and the fits with their bands."""
    if result.calibration is None:
        raise NotIdentified("this result has no calibration: its parameters were given")
    return result.calibration.plot(ax)


def draw_histogram(result: Result, ax: Any) -> Any:
    """Share of time at each inventory, and what the model's fill rates predict in the long run."""
    middles, share, width = result.inventory_bars()
    ax.bar(middles, share, width=0.86 * width, color=LIGHT["inventory"], label="replay")
    law = result.inventory_law
    if law is not None:
        q, predicted = law.bars(width)
        ax.plot(
            q,
            predicted,
            color=LIGHT["ink"],
            linewidth=1.2,
            marker="o",
            markersize=3,
            label="predicted, long run",
        )
        _legend(ax)
    ax.set_xlabel("inventory, lots")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylabel("share of time")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    return ax


def draw_spreads(result: Result, ax: Any) -> Any:
    """Half of our spread and half of the market's over time, ticks."""
    d = result.decisions
    bid, ask = _absent(d["bid"], d["bid_size"]), _absent(d["ask"], d["ask_size"])
    touch_bid, touch_ask = d["touch_bid"].astype(np.float64), d["touch_ask"].astype(np.float64)
    market = np.where(
        (np.abs(touch_bid) < 2**62) & (np.abs(touch_ask) < 2**62), touch_ask - touch_bid, np.nan
    )
    _steps(ax, d["live_time"], market / 2, color=LIGHT["touch"], linewidth=1.0, label="market")
    _steps(ax, d["live_time"], (ask - bid) / 2, color=LIGHT["bid"], linewidth=1.2, label="ours")
    _against_time(ax, d["live_time"])
    ax.set_ylabel("half-spread, ticks")
    _legend(ax)
    return ax


PLOTS: dict[str, Callable[[Result, Any], Any]] = {
    "mid": draw_mid,
    "inventory": draw_inventory,
    "pnl": draw_pnl,
    "markouts": draw_markouts,
    "intensity": draw_intensity,
    "calibration": draw_calibration,
    "histogram": draw_histogram,
    "spreads": draw_spreads,
}
"""What can be drawn, by name."""
