"""Static pictures with matplotlib (extra ``plot``): all of them are drawn here.

:func:`plot_result` is what :meth:`mmcore.results.Result.plot` calls; the functions behind it are
``PLOTS``, by name. The other ``plot_…`` are what the ``plot`` of a policy, model, quote, explanation, book,
position, calibration, estimate, comparison, efficient frontier or inventory law calls. Each draws on the
given axes, or on a new figure, and returns the axes; it never shows, saves or styles anything else, so that
pictures go into any notebook, paper or layout.

Values are the result's own. Long series are thinned to the pixels of a wide screen
(:mod:`mmcore.report.thinning`): the picture is the same, and a day draws at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument, MissingExtra, NotIdentified
from .messages import per_minute
from .report.charts import LIGHT, life_histogram, markout_range
from .report.thinning import thin
from .standing import quoted

if TYPE_CHECKING:
    from .assumptions import Sensitivity
    from .book import Book, Position
    from .calibration import Calibration
    from .comparing import Comparison
    from .inventory import InventoryLaw
    from .models.model import Model
    from .portfolio import Frontier, FrontierPoints
    from .quoting import Explanation, Policy, Quote
    from .results import Result
    from .rolling import Estimate

__all__ = [
    "PLOTS",
    "plot_book",
    "plot_calibration",
    "plot_comparison",
    "plot_estimate",
    "plot_explanation",
    "plot_frontier",
    "plot_law",
    "plot_model",
    "plot_policy",
    "plot_position",
    "plot_quote",
    "plot_result",
]

BUCKETS = 1600
MARKERS = 60
"""At most so many markers of fills of one side: more would hide what they stand on."""


def plot_result(result: Result, what: str = "pnl", ax: Any = None) -> Any:
    """Draw one picture of a result.

    Parameters
    ----------
    result : Result
        A finished replay.
    what : str
        "mid" (mid, our quotes, fills), "inventory", "pnl" (its parts over time), "markouts",
        "intensity" (fill rates of our orders against the model's), "calibration" (the fit),
        "histogram" (time at each inventory), "spreads" (our half-spread against the market's),
        "parameters" (sigma, A and k that followed the market with 95 % bands, and the half-spread that they
        imply: one panel each, within the axes), "messages" (order messages by the minute), "life" (how long
        orders were in the market).
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
        "calibration" of a result without one; "parameters" where nothing followed the market; "messages" and
        "life" of one without orders.
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
    return _framed(ax)


def _framed(ax: Any) -> Any:
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


def _legend(ax: Any, title: str = "") -> None:
    # Outside the data: with "best", matplotlib searches every point for a free place.
    if not ax.get_legend_handles_labels()[0]:
        ax.set_title(title, fontsize="small", loc="left")
        return
    ax.legend(
        title=title, title_fontsize="small", alignment="left",
        frameon=False, fontsize="small", ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0),
    )  # fmt: skip


def _absent(prices: NDArray[Any], sizes: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(np.asarray(sizes) > 0, np.asarray(prices, dtype=np.float64), np.nan)


def _merged(
    time: NDArray[np.int64], price: NDArray[np.int64], qty: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return markers of fills: where these are dense, one for several, at their average by lots.

    Its area grows with their number, as on the page of the report.
    """
    n = len(time)
    if n <= MARKERS // 2:
        return time.astype(np.int64), price.astype(np.float64), np.full(n, 18.0)
    since = (time - time[0]).astype(np.float64)
    slices = np.minimum((since * (MARKERS / max(since[-1], 1.0))).astype(np.intp), MARKERS - 1)
    lots = np.abs(qty).astype(np.float64)
    count, held = np.bincount(slices), np.bincount(slices, lots)
    there = count > 0

    def average(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((np.bincount(slices, lots * values) / np.maximum(held, 1.0))[there])

    size = np.minimum(12.0, 4.0 + np.sqrt(count[there] - 1.0)) ** 2
    return time[0] + average(since).astype(np.int64), average(price.astype(np.float64)), size


def draw_mid(result: Result, ax: Any) -> Any:
    """Mid price with our quotes and fills, in currency."""
    tick = float(result.instrument.tick)
    quotes, ours, fills = result.events.quotes, quoted(result), result.fills
    low = max(0, int(np.searchsorted(quotes.local_time, result.totals.first_time, "right")) - 1)
    high = int(np.searchsorted(quotes.local_time, result.totals.end_time, "right"))
    time = np.asarray(quotes.local_time[low:high])
    market_bid = _absent(quotes.bid[low:high], quotes.bid_size[low:high])
    market_ask = _absent(quotes.ask[low:high], quotes.ask_size[low:high])
    _steps(ax, time, (market_bid + market_ask) / 2 * tick, color=LIGHT["ink"], linewidth=1.0, label="mid")
    for side, colour in (("bid", LIGHT["bid"]), ("ask", LIGHT["ask"])):
        _steps(
            ax, ours["time"], ours[side] * tick, color=colour, linewidth=0.8, alpha=0.8, label=f"our {side}"
        )
    for mine, colour, marker, label in (
        (fills["qty"] > 0, LIGHT["bid"], "^", "buys"),
        (fills["qty"] < 0, LIGHT["ask"], "v", "sells"),
    ):
        time_of, price, size = _merged(fills["receive_time"][mine], fills["price"][mine], fills["qty"][mine])
        ax.scatter(
            _dates(time_of),
            price * tick,
            s=size,
            marker=marker,
            color=colour,
            edgecolors=LIGHT["ink"],
            linewidths=0.3,
            alpha=0.85,
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
    return plot_calibration(result.calibration, ax)


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
    return _shares(ax)


def _shares(ax: Any) -> Any:
    """Label the axes of a law of the inventory."""
    ax.set_xlabel("inventory, lots")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylabel("share of time")
    ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    return ax


def draw_spreads(result: Result, ax: Any) -> Any:
    """Half of our spread and half of the market's over time, ticks."""
    ours = quoted(result)
    market, mine = ours["touch_ask"] - ours["touch_bid"], ours["ask"] - ours["bid"]
    _steps(ax, ours["time"], market / 2, color=LIGHT["touch"], linewidth=1.0, label="market")
    _steps(ax, ours["time"], mine / 2, color=LIGHT["bid"], linewidth=1.2, label="ours")
    _against_time(ax, ours["time"])
    ax.set_ylabel("half-spread, ticks")
    _legend(ax)
    return ax


def draw_parameters(result: Result, ax: Any) -> Any:
    """Sigma, A and k in force with 95 % bands, and the half-spread that they imply, a panel each."""
    from .report.parameters import TITLES, paths, scale

    found = paths(result)
    if not found:
        raise NotIdentified("in this result no parameters followed the market: see recalibrate")
    ax.set_axis_off()
    height = 1.0 / len(found)
    for i, path in enumerate(found):
        title, unit = TITLES[path.name]
        panel = _framed(ax.inset_axes((0.0, 1.0 - (i + 0.85) * height, 1.0, 0.72 * height)))
        for side, steps in path.sides.items():
            colour = LIGHT[side or ("spread" if path.name == "implied" else "ink")]
            rows = thin(path.time, [steps.value, steps.low, steps.high], BUCKETS)
            time = _dates(path.time[rows])
            panel.fill_between(
                time, steps.low[rows], steps.high[rows], step="post", color=colour, alpha=0.16, linewidth=0
            )
            panel.step(time, steps.value[rows], where="post", color=colour, linewidth=1.2, label=side)
        panel.set_title(f"{title}, {unit}", fontsize="small", loc="left")
        panel.set_yscale(scale(path))
        _against_time(panel, path.time)
        if i + 1 < len(found):
            panel.set_xlabel("")
            panel.tick_params(labelbottom=False)
        if len(path.sides) > 1:
            panel.legend(
                frameon=False, fontsize="small", ncols=2, loc="lower right", bbox_to_anchor=(1, 0.94)
            )
    return ax


def draw_messages(result: Result, ax: Any) -> Any:
    """Order messages sent in each minute."""
    _with_orders(result)
    minutes, sent = per_minute(result)
    time = np.append(minutes, result.totals.end_time)
    _steps(ax, time, np.append(sent, sent[-1]).astype(np.float64), color=LIGHT["ink"], linewidth=1.0)
    ax.set_ylim(bottom=0)
    _against_time(ax, time)
    ax.set_ylabel("messages in each minute")
    return ax


def draw_life(result: Result, ax: Any) -> Any:
    """How long orders were in the market, on a logarithmic axis."""
    lives = _with_orders(result)
    if len(lives):
        edges, count = life_histogram(lives)
        ax.bar(edges[:-1], count, np.diff(edges), align="edge", color=LIGHT["inventory"])
    ax.set_xscale("log")
    ax.set_xlabel("time in the market, s")
    ax.set_ylabel("orders")
    return ax


def _with_orders(result: Result) -> NDArray[np.float64]:
    life = result.order_life
    if life is None:
        raise NotIdentified("this result has no order messages: it was replayed without orders")
    return life.seconds


PLOTS: dict[str, Callable[[Result, Any], Any]] = {
    "mid": draw_mid,
    "inventory": draw_inventory,
    "pnl": draw_pnl,
    "markouts": draw_markouts,
    "intensity": draw_intensity,
    "calibration": draw_calibration,
    "histogram": draw_histogram,
    "spreads": draw_spreads,
    "parameters": draw_parameters,
    "messages": draw_messages,
    "life": draw_life,
}
"""What can be drawn, by name."""


# ---- policies and quotes


def plot_policy(
    policy: Policy,
    ax: Any = None,
    time_left: float | Sequence[float] | None = None,
    side: str | None = None,
    state: int = 0,
) -> Any:
    """Draw the depths of a policy; see :meth:`mmcore.Policy.plot`."""
    ax = _axes(ax)
    inventory = _inventories(policy.q_max, policy.order_size)
    if side is not None:
        return _depth_map(policy, ax, inventory, side, state)
    times = (
        _times_left(policy, state) if time_left is None else np.atleast_1d(time_left).astype(float).tolist()
    )
    return _depths(ax, inventory, [(tau, *policy.depths_batch(inventory, tau, state)) for tau in times])


def plot_model(model: Model, ax: Any = None, time_left: float = math.inf) -> Any:
    """Draw the depths of a model at one time left; see :meth:`mmcore.models.model.Model.plot`."""
    ax = _axes(ax)
    inventory = _inventories(getattr(model, "q_max", None) or math.inf, model.order_size)
    bid, ask = model.depths(inventory, time_left)
    return _depths(ax, inventory, [(time_left, bid, ask)], type(model).__name__)


def _inventories(q_max: float, order_size: float) -> NDArray[np.float64]:
    """At most 401 inventories from bound to bound, in whole orders; ten orders where nothing bounds it."""
    bound = q_max if math.isfinite(q_max) else 10 * order_size
    step = max(1.0, bound // order_size // 200) * order_size
    right = np.arange(0.0, bound + 1.0, step)
    return np.concatenate([-right[:0:-1], right])


def _changes(policy: Policy) -> bool:
    """Whether the depths depend on a finite time left."""
    knots = getattr(policy, "time_left", None)
    if knots is not None:
        return len(knots) > 1
    return any(getattr(policy, "base_rate", (0.0,))) or any(getattr(policy, "slope_rate", (0.0,)))


def _longest(policy: Policy) -> float:
    """A finite time left that shows a policy well: its last knot, or its horizon, or a second."""
    knots = getattr(policy, "time_left", None)
    if knots is not None and len(knots):
        return float(knots[-1])
    return policy.horizon if math.isfinite(policy.horizon) else 1.0


def _times_left(policy: Policy, state: int) -> list[float]:
    """The end, the longest time left, and between them where a third and two thirds of the way are done."""
    last = math.inf if policy.stationary else _longest(policy)
    if not _changes(policy):
        return [last]
    inventory = _inventories(policy.q_max, policy.order_size)
    times = np.append(np.linspace(0.0, _longest(policy), 401), last)
    depths = np.array(policy.depths_batch(inventory[:, None], times[None, :], state))
    moved = np.nanmax(np.abs(depths - depths[:, :, :1]), axis=(0, 1))
    between = [float(times[np.argmax(moved >= share * moved[-1])]) for share in (1 / 3, 2 / 3)]
    return list(dict.fromkeys([0.0, *between, last]))


def _depths(
    ax: Any, inventory: NDArray[np.float64], curves: list[tuple[float, Any, Any]], title: str = ""
) -> Any:
    """Draw bid and ask depth against inventory; of several times left the first is the darkest."""
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    for i, (tau, bid, ask) in enumerate(curves):
        alpha = 1.0 - 0.75 * i / max(len(curves) - 1, 1)
        when = "" if len(curves) == 1 else ", stationary" if math.isinf(tau) else f", {tau:g} s left"
        for side, depth, marker in (("bid", bid, "o"), ("ask", ask, "s")):
            look: dict[str, Any] = {"marker": marker, "markersize": 3} if len(inventory) <= 101 else {}
            ax.plot(
                inventory, depth, color=LIGHT[side], alpha=alpha, linewidth=1.3, label=side + when, **look
            )
    ax.set_xlabel("inventory, lots")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_ylabel("depth from the reference price, ticks")
    if len(curves) == 1 and math.isfinite(curves[0][0]):
        title += f"{', ' if title else ''}{curves[0][0]:g} s left"
    _legend(ax, title)
    return ax


def _depth_map(policy: Policy, ax: Any, inventory: NDArray[np.float64], side: str, state: int) -> Any:
    """Draw the depth of one side over time left and inventory."""
    if side not in ("bid", "ask"):
        raise InvalidArgument(argument="side", value=side, allowed="'bid', 'ask' or None")
    if not _changes(policy):
        allowed = "None: this policy does not change with the time left, so plot() shows all of it"
        raise InvalidArgument(argument="side", value=side, allowed=allowed)
    times = np.linspace(0.0, _longest(policy), 201)
    depth = policy.depths_batch(inventory[:, None], times[None, :], state)[side == "ask"]
    ax.grid(visible=False)
    picture = ax.pcolormesh(times, inventory, depth, shading="nearest", cmap="viridis")
    ax.figure.colorbar(picture, ax=ax, label=f"{side} depth from the reference price, ticks")
    ax.set_xlabel("time left, s")
    ax.set_ylabel("inventory, lots")
    ax.yaxis.get_major_locator().set_params(integer=True)
    return ax


def plot_quote(quote: Quote, ax: Any = None, bid: Any = None, ask: Any = None) -> Any:
    """Draw a quote as a ladder; see :meth:`mmcore.Quote.plot`."""
    ax = _axes(ax)
    ax.axvline(0.0, color=LIGHT["muted"], linewidth=0.8)
    largest = max(quote.bid_size, quote.ask_size, 1)
    for side, price, size, sign in (
        ("bid", quote.bid, quote.bid_size, -1),
        ("ask", quote.ask, quote.ask_size, 1),
    ):
        if price is None:
            continue
        ax.barh(price, sign * size, height=0.7, color=LIGHT[side], label=f"our {side}")
        words = f"{price:,}"
        ax.text(sign * 0.5 * size, price, words, ha="center", va="center", color="white", fontsize="small")
    for name, touch in (("market bid", bid), ("market ask", ask)):
        if touch is not None:
            ax.axhline(touch, color=LIGHT["touch"], linewidth=1.4, linestyle="--", zorder=0)
            ax.text(
                1.3 * largest, touch, name, ha="right", va="bottom", color=LIGHT["muted"], fontsize="small"
            )
    seen = [float(p) for p in (quote.bid, quote.ask, bid, ask) if p is not None]
    if seen:
        ax.set_ylim(min(seen) - 1.2, max(seen) + 1.2)
    ax.set_xlim(-1.35 * largest, 1.35 * largest)
    ax.xaxis.set_major_locator(_whole())
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.yaxis.set_major_locator(_whole())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlabel("size, lots")
    ax.set_ylabel("price, ticks")
    if quote.why.words:
        ax.set_title("\n".join(quote.why.words), fontsize="small")
    return ax


def _whole() -> Any:
    from matplotlib.ticker import MaxNLocator

    make: Any = MaxNLocator
    return make(integer=True, nbins=8)


def plot_explanation(explanation: Explanation, ax: Any = None) -> Any:
    """Draw an explanation as a waterfall; see :meth:`mmcore.Explanation.plot`."""
    from .quoting import STAGES

    ax = _axes(ax)
    sides = {"bid": explanation.bid, "ask": explanation.ask}
    shown = [
        stage
        for stage in STAGES
        if stage in ("reference", "depth") or any(t.get(stage) for t in sides.values())
    ]
    place = {stage: i for i, stage in enumerate([*shown, "quote"])}
    reference = next((terms["reference"] for terms in sides.values() if terms), math.nan)
    for (side, terms), shift, price in zip(sides.items(), (-0.2, 0.2), explanation.quote, strict=True):
        at, before = 0.0, None
        for stage in [s for s in shown if s in terms]:
            y = place[stage] + shift
            if before is not None:
                term = terms[stage]
                ax.plot([at, at], [before, y], color=LIGHT[side], linewidth=0.8)
                ax.barh(y, term, left=at, height=0.34, color=LIGHT[side])
                _beside(ax, at + max(term, 0.0), y, f"{term:+.4g}", side)
                at += term
            before = y
        if price is not None and before is not None:
            y = place["quote"] + shift
            ax.plot([at, at], [before, y], color=LIGHT[side], linewidth=0.8)
            ax.plot(at, y, "D", color=LIGHT[side], markersize=7, label=side)
            _beside(ax, at, y, f"{price:,}", side)
    ax.axvline(0.0, color=LIGHT["muted"], linewidth=0.8, zorder=0)
    ax.grid(visible=False, axis="y")
    ax.grid(axis="x", color=LIGHT["grid"], linewidth=0.8)
    ax.set_ylim(len(place) - 0.4, -0.6)
    ax.set_yticks(list(place.values()), list(place))
    ax.use_sticky_edges = False
    ax.margins(x=0.15)
    ax.set_xlabel(f"ticks from the reference price, {reference:,.6g}")
    ax.set_ylabel("stage of the quote")
    _legend(ax, "\n".join(explanation.reasons))
    return ax


def _beside(ax: Any, x: float, y: float, text: str, side: str) -> None:
    ax.annotate(
        text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize="small", color=LIGHT[side]
    )


# ---- the inventory law


def plot_law(law: InventoryLaw, ax: Any = None) -> Any:
    """Draw the share of time at each inventory; see :meth:`mmcore.InventoryLaw.plot`."""
    ax = _axes(ax)
    low, high = law.interval()
    q, share = law.shown
    inside = (q >= low) & (q <= high)
    for rows, alpha, label in (
        (inside, 0.85, f"95 % of the time, {low:g} to {high:g} lots"),
        (~inside, 0.35, "beyond"),
    ):
        if rows.any():
            width = 0.86 * law.order_size
            ax.bar(q[rows], share[rows], width=width, color=LIGHT["inventory"], alpha=alpha, label=label)
    _legend(ax, f"Standard deviation {law.std:.3g} lots")
    return _shares(ax)


# ---- the efficient frontier


def plot_frontier(
    frontier: Frontier | FrontierPoints, ax: Any = None, names: Sequence[str] | None = None
) -> Any:
    """Draw return over risk; see :meth:`mmcore.portfolio.Frontier.plot`."""
    from .portfolio import Frontier

    ax = _axes(ax)
    label = "efficient portfolios"
    if isinstance(frontier, Frontier):  # known between its turning points, and beyond where it has no end
        returns = frontier.returns
        top = max(returns[-1], frontier.expected_returns.max()) if frontier.ray.any() else returns[-1]
        between = [frontier.at(target_return=float(r)) for r in np.linspace(returns[0], top, 200)]
        curve = np.array([(p.risk, p.expected_return) for p in between]).T
        ax.plot(*curve, color="C0", label="efficient frontier")
        label = "turning points"
    ax.plot(frontier.risks, frontier.returns, "o", markersize=4, color="C0", label=label)
    alone = np.sqrt(frontier.problem.covariance.diagonal())
    ax.plot(alone, frontier.expected_returns, "s", markersize=4, color="0.5", label="assets")
    labels = None
    if names is not None:
        labels = list(names) if isinstance(names, Iterable) and not isinstance(names, str) else None
        if labels is None or len(labels) != len(alone):
            given = names if labels is None else f"{len(labels)} of them"
            raise InvalidArgument(
                argument="names", value=given, allowed=f"one for each of {len(alone)} assets"
            )
    ax.margins(x=0.12)
    after = "" if isinstance(frontier, Frontier) else " after costs"
    ax.set(xlabel="standard deviation", ylabel=f"expected return{after}")
    ax.legend(frameon=False)
    if labels is not None:
        most_held = np.argsort(-np.abs(frontier.weights).max(axis=0), kind="stable")
        _name_apart(ax, [(labels[i], alone[i], frontier.expected_returns[i]) for i in most_held])
    return ax


def _name_apart(ax: Any, points: Sequence[tuple[Any, float, float]]) -> None:
    """Write the names of points beside them, the first ones first, and none over another."""
    ax.figure.figure.draw_without_rendering()  # until then nothing has its place
    taken: list[Any] = []
    for name, x, y in points:
        text = ax.annotate(
            name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize="small", color="0.4"
        )
        box = text.get_window_extent()
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)


# ---- the book


def plot_book(book: Book, ax: Any = None) -> Any:
    """Draw the P&L of each instrument; see :meth:`mmcore.Book.plot`."""
    ax = _axes(ax)
    names = list(book)
    parts = {"realised": "spread", "unrealised": "inventory", "fees": "fees"}
    found = [
        {part: math.nan if value is None else float(value) for part, value in book[name].pnl().items()}
        for name in names
    ]
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    for i, (part, colour) in enumerate(parts.items()):
        sign = -1.0 if part == "fees" else 1.0  # paid fees pull the P&L down
        x = np.arange(len(names)) + 0.26 * (i - 1)
        ax.bar(x, [sign * pnl[part] for pnl in found], width=0.24, color=LIGHT[colour], label=part)
    net = [pnl["net"] for pnl in found]
    ax.plot(range(len(net)), net, "D", color=LIGHT["ink"], markersize=6, label="net")
    currencies = {instrument.currency.name for instrument in book.instruments}
    one = len(currencies) == 1
    labels = [i.name if one else f"{i.name}, {i.currency.name}" for i in book.instruments]
    ax.set_xticks(range(len(names)), labels)
    ax.set_xlabel("instrument")
    ax.set_ylabel(f"P&L, {currencies.pop()}" if one else "P&L, each in its own currency")
    _legend(ax)
    return ax


def plot_position(position: Position, ax: Any = None) -> Any:
    """Draw a position's fills, its average cost and its mark; see :meth:`mmcore.Position.plot`."""
    ax = _axes(ax)
    instrument = position.instrument
    tick = float(instrument.price(1))
    fills = position._history  # type: ignore[attr-defined]
    timed = bool(len(fills) and (fills["time"] > 0).all())
    x = _dates(fills["time"]) if timed else np.arange(1, len(fills) + 1)
    for mine, colour, marker, label in (
        (fills["qty"] > 0, LIGHT["bid"], "^", "buys"),
        (fills["qty"] < 0, LIGHT["ask"], "v", "sells"),
    ):
        if mine.any():
            ax.scatter(x[mine], fills["price"][mine] * tick, s=30, marker=marker, color=colour, label=label)
    for ticks, style, name in ((position.average_cost, "-", "average cost"), (position.mark, "--", "mark")):
        if ticks is not None:
            ax.axhline(float(ticks) * tick, color=LIGHT["ink"], linestyle=style, linewidth=1.2, label=name)
    if timed:
        _against_time(ax, fills["time"])
    else:
        ax.set_xlabel("fill")
        ax.xaxis.set_major_locator(_whole())
    ax.set_ylabel(f"price, {instrument.currency.name}")
    pnl = position.pnl()
    net = (
        "no mark"
        if pnl["net"] is None
        else f"net P&L {instrument.currency.text(pnl['net'])} {instrument.currency.name}"
    )
    ax.yaxis.get_major_formatter().set_useOffset(False)
    _legend(ax, f"{instrument.name}: {position.net:+,} lots, {net}")
    return ax


# ---- what calibration found


def plot_calibration(calibration: Calibration, ax: Any = None) -> Any:
    """Draw observed rates and their fits; see :meth:`mmcore.Calibration.plot`."""
    ax = _axes(ax)
    for fit, row, marker in (
        (calibration.bid, calibration.rates[0], "o"),
        (calibration.ask, calibration.rates[1], "s"),
    ):
        colour = LIGHT[fit.side]
        # a limit can be zero or infinite: the logarithmic axis shows the others
        seen = row[(row["observed"] > 0) & np.isfinite(row["observed"])]
        top = np.where(np.isfinite(seen["high"]), seen["high"], seen["observed"])
        bars = np.array([seen["observed"] - seen["low"], top - seen["observed"]])
        ax.errorbar(
            seen["depth"], seen["observed"], bars, fmt=marker, markersize=4, linewidth=1.0, color=colour,
            label=f"{fit.side}, observed",
        )  # fmt: skip
        if fit.estimate is not None and row.size:
            label = f"{fit.side}, fitted" + ("" if fit.identified else ", not identified")
            style = "-" if fit.identified else ":"
            ax.plot(row["depth"], row["fitted"], style, color=colour, linewidth=1.4, label=label)
            ax.fill_between(
                row["depth"], row["fitted_low"], row["fitted_high"], color=colour, alpha=0.16, linewidth=0
            )
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("depth from the mid, ticks")
    ax.set_ylabel("fill rate, 1/s")
    _legend(ax, calibration._heading().replace(" by ", "\nby "))
    return ax


def plot_estimate(estimate: Estimate, ax: Any = None, min_depth: Any = 0.0, max_depth: Any = None) -> Any:
    """Draw fill intensities with their bands; see :meth:`mmcore.Estimate.plot`."""
    from .calibration.intensity import normal_quantile

    known = [s for s in (0, 1) if estimate.A[s] is not None]
    if not known:
        raise NotIdentified("neither side of this estimate is identified: there is no intensity to draw")
    ax = _axes(ax)
    record, z = estimate.record(), normal_quantile(0.95)
    far = (
        math.log(20.0) / max(float(record["k"][s]) for s in known) if max_depth is None else float(max_depth)
    )
    depth = np.linspace(float(min_depth), far, 101)
    for s in known:
        side = ("bid", "ask")[s]
        a, k = float(record["A"][s]), float(record["k"][s])
        rate = a * np.exp(-k * depth)
        # of ln A - k*depth, from the covariance of A and k
        variance = (record["A_error"][s] / a) ** 2 + (depth * record["k_error"][s]) ** 2
        error = np.sqrt(np.maximum(variance - 2 * depth * record["covariance"][s] / a, 0.0))
        ax.plot(depth, rate, color=LIGHT[side], linewidth=1.4, label=f"{side}, fitted")
        low, high = rate * np.exp(-z * error), rate * np.exp(z * error)
        ax.fill_between(depth, low, high, color=LIGHT[side], alpha=0.16, linewidth=0)
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("depth from the mid, ticks")
    ax.set_ylabel("fill rate, 1/s")
    known_sigma = estimate.sigma is not None
    _legend(ax, f"σ {estimate.sigma:.4g} ± {estimate.sigma_error:.2g} ticks/√s" if known_sigma else "")
    return ax


def plot_sensitivity(found: Sensitivity, ax: Any = None) -> Any:
    """Draw the total against the latency; see :meth:`mmcore.Sensitivity.plot`."""
    ax = _axes(ax)
    fees = list(dict.fromkeys(row.maker_fee for row in found))
    for fee in fees:
        rows = [row for row in found if row.maker_fee == fee]
        label = f"maker fee {fee * 10_000:g} bp" if fee else "no fee"
        ax.plot([r.latency for r in rows], [float(r.total) for r in rows], marker="o", label=label)
    ax.axhline(0.0, color="gray", linewidth=0.5)
    ax.set_xscale("symlog", linthresh=min([r.latency for r in found if r.latency > 0] or [1.0]))
    ax.set_xlabel("latency, s")
    ax.set_ylabel(f"total, {found[0].result.instrument.currency.name}")
    _legend(ax)
    return ax


def plot_comparison(comparison: Comparison, ax: Any = None) -> Any:
    """Draw the difference of two results over time; see :meth:`mmcore.Comparison.plot`."""
    ax = _axes(ax)
    ax.axhline(0.0, color=LIGHT["muted"], linewidth=0.8)
    _steps(ax, comparison.times, comparison.path, color=LIGHT["ink"], linewidth=1.4)
    if not math.isnan(comparison.total.low):
        end = _dates(comparison.times[-1:])
        ax.vlines(end, comparison.total.low, comparison.total.high, color=LIGHT["bid"], linewidth=3)
    _against_time(ax, comparison.times)
    ax.set_ylabel(f"difference of the net P&L, {comparison.currency}")
    return ax
