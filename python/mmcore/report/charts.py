"""The report's charts: Bokeh figures without data, and the tables that the page draws from.

What is drawn against time is embedded once, packed (:func:`pack`); the page thins it to the pixels
of the span on the screen and fills the figures, again after each zoom. So the first paint draws a
few thousand points, however long the day, and a zoom ends at single quotes.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .thinning import Drawn, thin

__all__ = ["COLOURS", "LIGHT", "Canvas", "Chart", "Key", "Table", "View"]

# Name -> (light, dark). Hues after Okabe and Ito, told apart by the colour-blind; the darkness is
# chosen for at least 4.5:1 against the page, so that thin lines and small text stay readable.
COLOURS = {
    "ink": ("#1f2328", "#e6e9ed"),
    "muted": ("#59636e", "#9ea7b3"),
    "grid": ("#e6e9ed", "#262c33"),
    "axis": ("#c3cad2", "#414a54"),
    "touch": ("#aab4bf", "#5b6672"),
    "bid": ("#0a6ab4", "#5aaeea"),
    "ask": ("#c04a06", "#f2904f"),
    "spread": ("#0b7a58", "#41c39a"),
    "inventory": ("#86489c", "#cc9ae0"),
    "fees": ("#926200", "#e3b64a"),
}
LIGHT = {name: light for name, (light, _) in COLOURS.items()}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MAX_ROWS = 120_000
"""Rows of a table that are embedded as they are; a longer one is thinned to about as many."""
_LARGEST = 2**31 - 2


@dataclass(frozen=True)
class Key:
    """One entry of a chart's legend: a button that shows and hides ``renderers``."""

    label: str
    colour: str
    shape: str  # line, dashed, band, up, down, dot, square
    renderers: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A figure with what stands around it."""

    name: str
    title: str
    unit: str
    description: str  # read to those who cannot see the picture
    figure: Any
    keys: tuple[Key, ...] = ()
    height: int = 260
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Columns against time; each is values and the scale that turns them into what the axis shows."""

    name: str
    time: NDArray[np.int64]  # ns
    columns: Mapping[str, tuple[Drawn, float]] = field(default_factory=dict)
    shapes: tuple[str, ...] = ()  # the columns whose extremes must survive thinning; all when empty

    def pack(self, start: int) -> dict[str, Any]:
        """Columns as base64 of little-endian arrays, times in ms relative to ``start`` (ns)."""
        shapes = list(self.shapes or self.columns)
        kept: Any = slice(None)
        if len(self.time) > MAX_ROWS:
            drawn = [self.columns[name][0] for name in shapes]
            kept = thin(self.time, drawn, MAX_ROWS // (2 + 2 * len(drawn)))
        time = np.asarray(self.time[kept], dtype=np.int64)
        packed: dict[str, Any] = {"t": _pack_time(time, start)}
        for name, (values, scale) in self.columns.items():
            packed[name] = _pack(np.asarray(values[kept]), scale)
        return {"rows": len(time), "columns": packed, "shapes": shapes}


@dataclass(frozen=True)
class View:
    """Which figure source shows which table, and how dense data is reduced."""

    source: str
    table: str
    mode: str = "thin"  # or "bin": rows that overlap become one marker
    pixels: float = 1.5  # width of a slice of time on the screen


def _encode(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<i4").tobytes()).decode("ascii")


def _pack_time(time: NDArray[np.int64], start: int) -> dict[str, Any]:
    relative = np.asarray(time, dtype=np.int64) - start
    longest = int(np.abs(relative).max()) if len(relative) else 1
    # The finest power of ten of a nanosecond in which the span fits 31 bits: 0.1 ms for a day.
    step = 10 ** max(0, math.ceil(math.log10(max(longest, 1) / _LARGEST)))
    return {"data": _encode(relative // step), "offset": 0.0, "scale": step / 1e6}


def _pack(values: NDArray[Any], scale: float) -> dict[str, Any]:
    """4-byte offsets from the lowest value; the int32 minimum marks an absent one.

    Whole numbers that span less than 2**31 are exact; others are rounded to a 2**31st of their range,
    far below a pixel and the digits of a tooltip.
    """
    numbers = np.full(len(values), np.iinfo(np.int32).min, np.int64)
    there = np.isfinite(values)
    present = values[there]
    if not len(present):
        return {"data": _encode(numbers), "offset": 0.0, "scale": 1.0}
    low, high = float(present.min()), float(present.max())
    whole = high - low < _LARGEST and bool(np.all(present == np.round(present)))
    step = 1.0 if whole else (high - low) / _LARGEST
    numbers[there] = np.rint((present - low) / step).astype(np.int64) if high > low else 0
    return {"data": _encode(numbers), "offset": low * scale, "scale": step * scale}


class Canvas:
    """Makes figures of one look, those against time with one shared range.

    Parameters
    ----------
    start, end : int
        Span of the shared time axis, ns.
    left : int
        Pixels left of the frames on it: room for the widest label, so that the frames line up.
    """

    def __init__(self, start: int, end: int, left: int = 58) -> None:
        from bokeh.models import ColumnDataSource, Range1d
        from bokeh.models.annotations import Span

        low, high = start / 1e6, max(end, start + 10**6) / 1e6
        # Names are how page.js finds a model.
        self.range = Range1d(start=low, end=high, bounds=(low, high), min_interval=1.0, name="time")
        self.crosshair = Span(
            dimension="height", line_color=LIGHT["muted"], line_dash="dotted", line_width=1, visible=True
        )
        self.left = left
        self.sources: dict[str, Any] = {}
        self._source_class = ColumnDataSource

    def source(self, name: str, *columns: str) -> Any:
        """Return the empty source ``name``, which page.js fills."""
        if name not in self.sources:
            self.sources[name] = self._source_class({c: [] for c in ("t", *columns)}, name=f"data-{name}")
        return self.sources[name]

    def static(self, **columns: ArrayLike) -> Any:
        """Return a source with its data, for what is not against time."""
        return self._source_class({name: np.asarray(values) for name, values in columns.items()})

    def figure(self, height: int, **options: Any) -> Any:
        """Return an empty figure in the report's look."""
        from bokeh.plotting import figure

        plot: Any = figure(
            height=height,
            sizing_mode="stretch_width",
            toolbar_location=None,
            tools="",
            output_backend="canvas",
            background_fill_color=None,
            border_fill_color=None,
            outline_line_color=None,
            min_border_left=options.pop("left", 58),
            min_border_right=12,
            min_border_top=6,
            min_border_bottom=6,
            **options,
        )
        plot.axis.axis_line_color = LIGHT["axis"]
        plot.axis.major_tick_line_color = LIGHT["axis"]
        plot.axis.minor_tick_line_color = None
        plot.axis.major_label_text_color = LIGHT["muted"]
        plot.axis.major_label_text_font = FONT
        plot.axis.major_label_text_font_size = "12px"
        plot.axis.axis_label_text_color = LIGHT["muted"]
        plot.axis.axis_label_text_font = FONT
        plot.axis.axis_label_text_font_style = "normal"
        plot.axis.axis_label_text_font_size = "12px"
        plot.grid.grid_line_color = LIGHT["grid"]
        plot.xgrid.grid_line_color = None
        if hasattr(plot.yaxis[0].ticker, "desired_num_ticks"):  # categories have as many as they are
            plot.yaxis.ticker.desired_num_ticks = 5 if height < 240 else 7
        return plot

    def against_time(self, height: int, places: int, scale: str = "linear") -> Any:
        """Return a figure on the shared time axis; ``places`` decimals on the other, linear or log."""
        from bokeh.models import (
            BoxZoomTool,
            CrosshairTool,
            DataRange1d,
            DatetimeTickFormatter,
            NumeralTickFormatter,
        )
        from bokeh.models.annotations import Span

        plot = self.figure(
            height,
            left=self.left,
            x_axis_type="datetime",
            x_range=self.range,
            y_range=DataRange1d(range_padding=0.06),
            y_axis_type=scale,
        )
        zoom = BoxZoomTool(dimensions="width")
        plot.add_tools(zoom, CrosshairTool(overlay=self.crosshair))
        # The moment that is explained; page.js places it.
        moment = Span(dimension="height", line_color=LIGHT["ink"], line_dash="dashed", name="moment")
        moment.update(location=0, line_alpha=0.7, visible=False)
        plot.add_layout(moment)
        plot.toolbar.active_drag = zoom
        plot.xaxis.ticker.desired_num_ticks = 6
        # Spelt out: Bokeh's own choice changes from version to version.
        plot.xaxis.formatter = DatetimeTickFormatter(
            microseconds="%H:%M:%S.%6N",
            milliseconds="%H:%M:%S.%3N",
            seconds="%H:%M:%S",
            minsec="%H:%M:%S",
            minutes="%H:%M",
            hourmin="%H:%M",
            hours="%H:%M",
            days="%b %d",
            months="%b %Y",
        )
        plot.yaxis.formatter = NumeralTickFormatter(format=numeral(places))
        return plot

    def hover(self, plot: Any, source: Any, column: str, rows: Sequence[tuple[str, str]]) -> None:
        """Add a tooltip with the exact values in force at the cursor: the row at or before it."""
        # Bokeh finds no step under the cursor; an unseen line over the same rows is found.
        unseen = plot.line("t", column, source=source, line_alpha=0.0)
        self.tooltip(plot, [unseen], rows, mode="vline", line_policy="prev")

    def tooltip(
        self, plot: Any, renderers: list[Any], rows: Sequence[tuple[str, str]], **options: Any
    ) -> None:
        """Add a tooltip that begins with the time."""
        from bokeh.models import HoverTool

        plot.add_tools(
            HoverTool(
                renderers=renderers,
                tooltips=card([("time (UTC)", "@t{%H:%M:%S.%3N}"), *rows]),
                formatters={"@t": "datetime"},
                attachment="horizontal",
                **options,
            )
        )


def card(rows: Sequence[tuple[str, str]]) -> str:
    """A tooltip in the page's own colours; Bokeh's are fixed, and too pale on white."""
    cells = "".join(
        f'<span style="color:var(--muted);text-align:right">{label}</span><span>{value}</span>'
        for label, value in rows
    )
    look = "display:grid;grid-template-columns:auto auto;gap:1px 8px;font:12px var(--font);color:var(--ink)"
    return f'<div style="{look}">{cells}</div>'


def numeral(places: int) -> str:
    """Bokeh's format of a number with grouped thousands and ``places`` decimals."""
    return "0,0" + ("." + "0" * places if places > 0 else "")


def price_chart(canvas: Canvas, places: int, unit: str) -> Chart:
    """Mid price, the market's touch, our quotes and our fills."""
    plot = canvas.against_time(400, places)
    market = canvas.source("market", "bid", "ask", "mid")
    quotes = canvas.source("quotes", "bid", "ask")
    plot.varea_step(
        "t", "bid", "ask", source=market, step_mode="after", color=LIGHT["touch"], alpha=0.35, name="touch"
    )
    for side in ("bid", "ask"):
        look = {"color": LIGHT[side], "line_width": 1.1, "alpha": 0.85, "name": f"our-{side}"}
        plot.step("t", side, source=quotes, mode="after", **look)
    plot.step("t", "mid", source=market, mode="after", color=LIGHT["ink"], line_width=1.4, name="mid")
    markers = []
    for side, marker, colour in (("buys", "triangle", "bid"), ("sells", "inverted_triangle", "ask")):
        source = canvas.source(side, "price", "lots", "n", "size")
        markers.append(
            plot.scatter(
                "t",
                "price",
                size="size",
                marker=marker,
                source=source,
                color=LIGHT[colour],
                line_color=LIGHT["ink"],
                line_width=0.5,
                alpha=0.85,
                name=side,
            )
        )
    number, half = "{" + numeral(places) + "}", "{" + numeral(places + 1) + "}"
    canvas.hover(
        plot,
        market,
        "mid",
        [("mid", f"@mid{half}"), ("market bid", f"@bid{number}"), ("market ask", f"@ask{number}")],
    )
    canvas.tooltip(plot, markers, [("$name", "@n fills, @lots{0,0} lots"), ("price", f"@price{number}")])
    return Chart(
        "price",
        "Price, quotes and fills",
        unit,
        "Mid price over time with our bid and ask quotes and our fills; buys point up, sells point down.",
        plot,
        (
            Key("Mid", "ink", "line", ("mid",)),
            Key("Market bid to ask", "touch", "band", ("touch",)),
            Key("Our bid", "bid", "line", ("our-bid",)),
            Key("Our ask", "ask", "line", ("our-ask",)),
            Key("Buys", "bid", "up", ("buys",)),
            Key("Sells", "ask", "down", ("sells",)),
        ),
        400,
        "Where fills are dense, one marker stands for several: its size grows with their number, its price "
        "is their average.",
    )


def inventory_chart(canvas: Canvas) -> Chart:
    """Inventory over time."""
    plot = canvas.against_time(190, 0)
    plot.yaxis.ticker.min_interval = 1
    source = canvas.source("inventory", "inventory")
    _zero(plot)
    plot.step(
        "t",
        "inventory",
        source=source,
        mode="after",
        color=LIGHT["inventory"],
        line_width=1.2,
        name="inventory",
    )
    canvas.hover(plot, source, "inventory", [("inventory", "@inventory{0,0} lots")])
    return Chart(
        "inventory",
        "Inventory",
        "lots",
        "Inventory in lots over time; long is above zero.",
        plot,
        height=190,
    )


def pnl_chart(canvas: Canvas, places: int, digits: int, unit: str) -> Chart:
    """The three parts of the P&L and their sum, cumulative: ``digits`` decimals in the tooltip."""
    plot = canvas.against_time(300, places)
    source = canvas.source("pnl", "spread", "revaluation", "fees", "total")
    _zero(plot)
    parts = (
        ("spread", "Spread captured", "spread", "solid", "line"),
        ("revaluation", "Inventory revaluation", "inventory", "solid", "line"),
        ("fees", "Fees", "fees", "dashed", "dashed"),
        ("total", "Net P&L", "ink", "solid", "line"),
    )
    for column, _, colour, dash, _ in parts:
        plot.step(
            "t",
            column,
            source=source,
            mode="after",
            color=LIGHT[colour],
            line_dash=dash,
            line_width=2.0 if column == "total" else 1.3,
            name=f"pnl-{column}",
        )
    number = "{" + numeral(digits) + "}"
    canvas.hover(
        plot,
        source,
        "total",
        [
            (label.lower() if label != "Net P&L" else "net P&L", f"@{column}{number}")
            for column, label, *_ in parts
        ],
    )
    return Chart(
        "pnl",
        "Where the P&L comes from",
        unit,
        "Cumulative spread captured, inventory revaluation and fees, and their sum, over time.",
        plot,
        tuple(Key(label, colour, shape, (f"pnl-{column}",)) for column, label, colour, _, shape in parts),
        300,
        "Paid fees pull the P&L down, rebates push it up. The three parts add up to the net.",
    )


def half_spread_chart(canvas: Canvas) -> Chart:
    """Half of our spread against half of the market's."""
    plot = canvas.against_time(220, 1)
    source = canvas.source("spreads", "half", "market_half")
    plot.step(
        "t",
        "market_half",
        source=source,
        mode="after",
        color=LIGHT["touch"],
        line_width=1.2,
        name="half-market",
    )
    plot.step("t", "half", source=source, mode="after", color=LIGHT["bid"], line_width=1.3, name="half-ours")
    canvas.hover(
        plot, source, "market_half", [("ours", "@half{0,0.0} ticks"), ("market", "@market_half{0,0.0} ticks")]
    )
    return Chart(
        "half-spread",
        "Half-spread, ours against the market's",
        "ticks",
        "Half of the distance between our bid and ask, and between the market's, in ticks over time.",
        plot,
        (
            Key("Ours, while both sides are quoted", "bid", "line", ("half-ours",)),
            Key("Market", "touch", "line", ("half-market",)),
        ),
        220,
    )


def messages_chart(canvas: Canvas) -> Chart:
    """Order messages sent in each minute."""
    plot = canvas.against_time(190, 0)
    source = canvas.source("messages", "sent")
    plot.step("t", "sent", source=source, mode="after", color=LIGHT["ink"], line_width=1.2, name="messages")
    plot.y_range.start = 0
    canvas.hover(plot, source, "sent", [("messages", "@sent{0,0}")])
    return Chart(
        "messages",
        "Order messages",
        "in each minute",
        "Number of order messages sent in each minute.",
        plot,
        height=190,
    )


def life_chart(canvas: Canvas, seconds: ArrayLike, note: str = "") -> Chart | None:
    """Histogram of how long orders lived, on a logarithmic axis; None without orders."""
    from bokeh.models import HoverTool

    lives = np.asarray(seconds, float)
    if not len(lives):
        return None
    edges, count = life_histogram(lives)
    plot = canvas.figure(270, x_axis_type="log", x_range=(edges[0], edges[-1]))
    source = canvas.static(left=edges[:-1], right=edges[1:], count=count)
    bars = plot.quad(
        left="left",
        right="right",
        top="count",
        bottom=0,
        source=source,
        color=LIGHT["inventory"],
        line_color=None,
        alpha=0.85,
        name="life",
    )
    plot.y_range.start = 0
    plot.xaxis.axis_label = "time in the market, s"
    plot.xaxis.ticker = ticks = decades(edges[0], edges[-1])
    plot.xaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=card(
                [("lived", "@left{0.[000000]} to @right{0.[000000]} s"), ("orders", "@count{0,0}")]
            ),
        )
    )
    return Chart(
        "life",
        "Life of an order",
        "orders",
        "Histogram of how long orders were in the market, from their arrival to their end.",
        plot,
        height=270,
        note=note + ".",
    )


def life_histogram(seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Count lives in four bins a decade, those below 1 µs in the first; returns edges (s) and counts.

    Examples
    --------
    >>> edges, count = life_histogram(np.array([0.0, 1.5, 2.0]))
    >>> float(edges[0]), int(count[0]), int(count.sum())
    (1e-06, 1, 3)
    """
    lives = np.maximum(seconds, 1e-6)
    low, high = math.floor(4 * math.log10(lives.min())), math.floor(4 * math.log10(lives.max())) + 1
    edges = 10.0 ** (np.arange(low, high + 1) / 4)
    count, _ = np.histogram(np.clip(lives, edges[0], np.nextafter(edges[-1], 0)), edges)
    return edges, count


def markout_chart(canvas: Canvas, series: Mapping[str, Sequence[Any]]) -> Chart:
    """Mean markout by horizon with intervals: ``series`` maps "all", "bid", "ask" to rows."""
    from bokeh.models import NumeralTickFormatter

    from .numbers import seconds

    horizons = [row.horizon for row in series["all"]]
    low, high = markout_range([row for rows in series.values() for row in rows])
    inset = 0.03 * (high - low)  # so that a marker at the edge is whole
    plot = canvas.figure(270, x_range=(-0.5, len(horizons) - 0.5), y_range=(low, high))
    _zero(plot)
    looks = {
        "all": ("All fills", "ink", "circle", "dot", 0.0),
        "bid": ("Buys", "bid", "triangle", "up", -0.18),
        "ask": ("Sells", "ask", "inverted_triangle", "down", 0.18),
    }
    keys = []
    for name, rows in series.items():
        label, colour, marker, shape, shift = looks[name]
        mean = np.array([row.mean for row in rows])
        columns = {
            "x": np.arange(len(rows)) + shift,
            "y": np.clip(mean, low + inset, high - inset),
            "horizon": np.array([seconds(row.horizon) for row in rows]),
            "mean": mean,
            "low": np.array([row.low for row in rows]),
            "high": np.array([row.high for row in rows]),
            "n": np.array([row.n for row in rows]),
        }
        told = [
            (label.lower(), "@n{0,0} fills after @horizon"),
            ("mean", "@mean{0,0.00} ticks"),
            ("95 %", "@low{0,0.00} to @high{0,0.00}"),
        ]
        slug = f"markout-{name}"
        sure = np.isfinite(columns["low"])
        _points(canvas, plot, slug, columns, sure, colour, told, marker=marker, size=8)
        shown = (slug, f"{slug}-interval", f"{slug}-few", f"{slug}-few-interval")
        keys.append(Key(label, colour, shape, shown))
    plot.xaxis.ticker = list(range(len(horizons)))
    plot.xaxis.major_label_overrides = {i: seconds(h) for i, h in enumerate(horizons)}
    plot.xaxis.axis_label = "time after the fill"
    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[00]")
    return Chart(
        "markouts",
        "Markouts",
        "ticks per lot",
        "Mean move of the mid in our favour after a fill, by time after the fill, with 95 % intervals.",
        plot,
        tuple(keys),
        270,
        "Above zero the fill was worth it so far. Bars: 95 % intervals. Hollow: too few blocks of time for "
        "an interval; at the edge where the mean lies beyond.",
    )


def markout_range(rows: Sequence[Any]) -> tuple[float, float]:
    """Range of an axis round zero and the markouts that have an interval, or else all of them."""
    sure = [row for row in rows if not math.isnan(row.low)] or rows
    ends = np.array([0.0, *(value for row in sure for value in (row.mean, row.low, row.high))])
    low, high = float(np.nanmin(ends)), float(np.nanmax(ends))
    room = 0.08 * (high - low) or 1.0
    return low - room, high + room


def intensity_chart(
    canvas: Canvas,
    name: str,
    title: str,
    description: str,
    groups: Sequence[tuple[str, str, Mapping[str, Any]]],
    note: str = "",
) -> Chart | None:
    """Fill rates by depth on a logarithmic axis.

    ``groups`` lists (label, colour, columns) with columns depth, rate, low, high (the observation
    and its interval) and fitted, optionally band_low and band_high (of the fit), assumed, another
    curve that is drawn dashed, and with fills and exposure (s) which rates are sure: the others do not set
    the scale. None when there is nothing positive to draw.
    """
    # A logarithmic axis has no place for a rate of 0: a point there is not drawn, and an interval that
    # reaches down to it ends at the axis.
    tables, drawn = [], []
    for _, _, columns in groups:
        data = {key: np.asarray(values) for key, values in columns.items()}
        sure = data.setdefault("sure", np.ones(len(data["depth"]), dtype=bool))
        for key, values in data.items():
            if key in ("rate", "low", "high", "fitted", "assumed", "band_low", "band_high"):
                data[key] = np.where(np.isfinite(values) & (values > 0), values, np.nan)
                drawn.append(data[key][sure] if key in ("rate", "low", "high") else data[key])
        tables.append(data)
    scale = np.concatenate(drawn)
    scale = scale[np.isfinite(scale)]
    if not len(scale):
        return None
    depths = np.concatenate([data["depth"] for data in tables])
    low, high = float(scale.min()) / 1.15, float(scale.max()) * 1.15
    plot = canvas.figure(
        270,
        x_range=(float(depths.min()) - 0.5, float(depths.max()) + 0.5),
        y_range=(low, high),
        y_axis_type="log",
    )
    plot.xaxis.axis_label = "depth from the mid, ticks"
    plot.yaxis.ticker = ticks = decades(low, high)
    plot.yaxis.major_label_overrides = {tick: f"{tick:g}" for tick in ticks}
    keys = []
    for i, ((label, colour, _), data) in enumerate(zip(groups, tables, strict=True)):
        data["low"] = np.where(np.isnan(data["low"]) & np.isfinite(data["high"]), low, data["low"])
        shift = (i - (len(groups) - 1) / 2) * 0.16
        inset = (high / low) ** 0.03  # so that a marker at the edge is whole
        data |= {"x": data["depth"] + shift, "y": np.clip(data["rate"], low * inset, high / inset)}
        source = canvas.static(**data)
        slug = f"{name}-{label.lower().replace(' ', '-')}"
        if "band_low" in data:
            plot.varea(
                "depth",
                "band_low",
                "band_high",
                source=source,
                color=LIGHT[colour],
                alpha=0.14,
                name=f"{slug}-band",
            )
        plot.line("depth", "fitted", source=source, color=LIGHT[colour], line_width=1.6, name=f"{slug}-fit")
        if "assumed" in data:
            plot.line(
                "depth",
                "assumed",
                source=source,
                color=LIGHT[colour],
                line_dash="dashed",
                name=f"{slug}-assumed",
            )
        rate = "@rate{0.0000} 1/s"
        told = [
            (label, "@depth{0,0.0} ticks"),
            ("observed", f"{rate}, @fills{{0,0}} fills in @exposure{{0,0.0}} s" if "fills" in data else rate),
            ("95 %", "@low{0.0000} to @high{0.0000}"),
            ("expected" if "assumed" in data else "fitted", "@fitted{0.0000} 1/s"),
            *([("assumed", "@assumed{0.0000} 1/s")] if "assumed" in data else []),
        ]
        marker = "circle" if i == 0 else "square"
        _points(canvas, plot, slug, data, data["sure"], colour, told, marker=marker, size=7)
        names = tuple(
            f"{slug}{end}"
            for end, column in (
                ("", "rate"),
                ("-interval", "rate"),
                ("-few", "rate"),
                ("-few-interval", "rate"),
                ("-fit", "fitted"),
                ("-band", "band_low"),
                ("-assumed", "assumed"),
            )
            if column in data
        )
        keys.append(Key(label, colour, "dot" if i == 0 else "square", names))
    return Chart(name, title, "1/s", description, plot, tuple(keys), 270, note)


def decades(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of each decade, only the 1 when there are many.

    Examples
    --------
    >>> decades(0.03, 0.6), decades(1e-4, 2.0)
    ([0.05, 0.1, 0.2, 0.5], [0.0001, 0.001, 0.01, 0.1, 1.0])
    """
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    digits = ("1",) if math.log10(high / low) > 2.5 else ("1", "2", "5")
    # Through text, since 2 * 10.0**-1 is not 0.2 for every exponent.
    ticks = [float(f"{digit}e{power}") for power in range(first, last + 1) for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def histogram_chart(
    canvas: Canvas,
    inventory: ArrayLike,
    share: ArrayLike,
    width: float,
    note: str = "",
    predicted: tuple[ArrayLike, ArrayLike] | None = None,
) -> Chart:
    """Share of time by inventory; over it, where known, the model's prediction for the long run."""
    from bokeh.models import HoverTool, NumeralTickFormatter

    q, s = np.asarray(inventory, float), np.asarray(share, float)
    plot = canvas.figure(270)
    source = canvas.static(q=q, share=s)
    bars = plot.vbar(
        "q",
        top="share",
        width=0.86 * width,
        source=source,
        color=LIGHT["inventory"],
        line_color=None,
        alpha=0.85,
        name="histogram",
    )
    if predicted is not None:
        at, height = (np.asarray(values, float) for values in predicted)
        law = canvas.static(q=at, share=height)
        line = plot.line(
            "q", "share", source=law, color=LIGHT["ink"], line_width=1.6, line_dash="dashed", name="predicted"
        )
        plot.add_tools(
            HoverTool(
                renderers=[line],
                tooltips=card([("inventory", "@q{0,0} lots"), ("predicted share", "@share{0.0 %}")]),
            )
        )
    plot.y_range.start = 0
    plot.yaxis.formatter = NumeralTickFormatter(format="0 %")
    plot.xaxis.axis_label = "inventory, lots"
    plot.xaxis.ticker.min_interval = 1
    plot.add_tools(
        HoverTool(
            renderers=[bars],
            tooltips=card([("inventory", "@q{0,0} lots"), ("share of time", "@share{0.0 %}")]),
        )
    )
    return Chart(
        "histogram",
        "Time at each inventory",
        "share of time",
        "Histogram of the share of time spent at each inventory"
        + (", with the share that the model predicts." if predicted is not None else "."),
        plot,
        keys=()
        if predicted is None
        else (
            Key("Replay", "inventory", "square", ("histogram",)),
            Key("Predicted, long run", "ink", "dashed", ("predicted",)),
        ),
        height=270,
        note=note,
    )


def _zero(plot: Any) -> None:
    from bokeh.models.annotations import Span

    plot.add_layout(Span(location=0, dimension="width", line_color=LIGHT["axis"], line_width=1))


def _points(
    canvas: Canvas,
    plot: Any,
    name: str,
    columns: Mapping[str, NDArray[Any]],
    sure: NDArray[np.bool_],
    colour: str,
    told: Sequence[tuple[str, str]],
    **look: Any,
) -> None:
    """Draw estimates at (x, y) with bars from low to high: those that are not ``sure`` hollow and faint."""
    from bokeh.models import HoverTool

    for slug, rows, filled in ((name, sure, True), (f"{name}-few", ~sure, False)):
        source = canvas.static(**{key: values[rows] for key, values in columns.items()})
        bar = {"line_width": 1.4, "alpha": 0.7} if filled else {"line_width": 1.0, "alpha": 0.35}
        plot.segment(
            "x", "low", "x", "high", source=source, color=LIGHT[colour], name=f"{slug}-interval", **bar
        )
        fill = {} if filled else {"fill_color": None, "line_alpha": 0.8}
        dots = plot.scatter("x", "y", source=source, color=LIGHT[colour], name=slug, **look, **fill)
        words = told if filled else [*told, ("", "too few to tell")]
        plot.add_tools(HoverTool(renderers=[dots], tooltips=card(words)))
