"""The report: one HTML page that tells a trader what a replay found, and needs no network.

:func:`write_report` puts together what the modules beside it make: the words and tables
(:mod:`.contents`, in the units and forms of :mod:`.numbers`), the charts (:mod:`.charts`: Bokeh on a
canvas, drawn by ``page.js`` from packed tables that are thinned to the pixels on the screen), the parameters
that followed the market (:mod:`.parameters`), why each quote was there (:mod:`.explanations`), and the page
around them (``page.jinja``, ``page.css``). The page carries a content security policy that
forbids every request, so that it works, and stays private, wherever it is opened.

Needs the extra ``report`` (Bokeh and Jinja2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, MissingExtra
from ..events import pieces
from ..files import replacing, unwritable_page
from ..messages import per_minute
from ..standing import quoted
from . import numbers as n

if TYPE_CHECKING:
    from ..results import Result

__all__ = ["write_report"]


def write_report(result: Result, path: str | PathLike[str]) -> None:
    """Write ``result`` as one self-contained, interactive HTML page.

    Parameters
    ----------
    result : Result
        A finished replay.
    path : path-like
        The file to write; an existing page is replaced once the new one is complete.

    Raises
    ------
    InvalidArgument
        ``path`` is a folder, in one that does not exist or cannot be written, or a file that is no page.
    MissingExtra
        Bokeh is not installed: ``pip install 'mmcore-quoting[report]'``.
    OSError
        Writing fails; nothing is left behind.
    """
    if allowed := unwritable_page(path):
        raise InvalidArgument(argument="path", value=str(path), allowed=allowed)
    text = page(result).encode()
    with replacing(path) as file:
        file.write(text)


def page(result: Result) -> str:
    """Return the page as text."""
    try:
        from bokeh.document import Document
        from bokeh.resources import Resources
        from jinja2 import Environment
    except ImportError:
        raise MissingExtra("a report", "report") from None
    from .. import __version__
    from . import charts as c
    from . import contents, explanations, parameters

    totals = result.totals
    start = int(totals.first_time)
    instrument = result.instrument
    currency = instrument.currency.name
    places = max(0, -Decimal(str(instrument.tick)).normalize().as_tuple().exponent)  # type: ignore[operator]

    quotes = result.events.quotes
    asks = (quotes[rows].ask[quotes[rows].ask_size > 0] for rows in pieces(len(quotes)))
    highest = max((int(some.max(initial=0)) for some in asks), default=0) * float(instrument.tick)
    canvas = c.Canvas(
        start, max(totals.end_time, totals.last_time), left=round(7.5 * len(f"{highest:,.{places}f}")) + 18
    )
    timed = [
        c.price_chart(canvas, places, currency),
        c.inventory_chart(canvas),
        c.pnl_chart(canvas, _money_places(result), contents.places(result), currency),
        c.half_spread_chart(canvas),
    ]
    life = result.order_life
    if life is not None:
        timed.append(c.messages_chart(canvas))
    followed, followed_tables = parameters.charts(canvas, result)
    timed += followed
    explained = explanations.embedded(result)
    why = None if explained is None else explanations.chart(canvas)
    marks = result.markouts()
    markouts = c.markout_chart(canvas, {"all": marks.rows, "bid": marks.bid, "ask": marks.ask})
    law = result.inventory_law
    middles, share, width = result.inventory_bars()
    histogram = c.histogram_chart(
        canvas,
        middles,
        share,
        width,
        contents.inventory_note(result),
        None if law is None else law.bars(width),
    )
    fitted, realised = _calibrated_chart(canvas, result), _realised_chart(canvas, result)
    grids = contents.tables(result)

    def parts(*some: Any) -> list[Any]:
        return [part for part in some if part is not None]

    sections: list[dict[str, Any]] = [
        {"title": "By the clock", "text": "", "wide": False, "parts": parts(grids["periods"])},
        {
            "title": "What the fills were worth",
            "text": "",
            "wide": True,
            "parts": parts(markouts, grids["markouts"]),
        },
        {
            "title": "Fill intensity and calibration",
            "text": "",
            "wide": True,
            "parts": parts(fitted, grids["calibration"], realised, grids["fill_rates"]),
        },
        *(
            []
            if life is None
            else [
                {
                    "title": "Orders",
                    "text": "",
                    "wide": True,
                    "parts": parts(c.life_chart(canvas, life.seconds, str(life)), grids["messages"]),
                }
            ]
        ),
        {
            "title": "Inventory and presence",
            "text": "",
            "wide": True,
            "parts": parts(histogram, grids["presence"]),
        },
        {
            "title": "Model and settings",
            "text": "",
            "wide": True,
            "parts": parts(grids["model"], grids["settings"]),
        },
    ]
    document = Document()
    shown = [*timed, *parts(why), *(p for s in sections for p in s["parts"] if isinstance(p, c.Chart))]
    for chart in shown:
        chart.figure.name = f"chart-{chart.name}"
        document.add_root(chart.figure)

    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True)
    here = files(__package__)
    template = environment.from_string((here / "page.jinja").read_text(encoding="utf-8"))
    return template.render(
        version=__version__,
        title=instrument.name,
        sample=result.sample,
        sample_meaning=result.sample_note,
        subtitle=_subtitle(result),
        clock=result.events.clock_note,
        tiles=contents.tiles(result),
        verdict=contents.verdict(result),
        notes=contents.notes(result),
        bound=grids["bound"],
        timed=timed,
        why=why,
        sections=sections,
        page_data=_script_json(
            _page_data(result, c, start, followed_tables) | {"why": explained, "places": places}
        ),
        charts_data=_script_json(document.to_json(deferred=False)),
        bokeh=Resources(mode="inline", components=["bokeh"]).js_raw,
        css=(here / "page.css").read_text(encoding="utf-8"),
        js=(here / "page.js").read_text(encoding="utf-8"),
    )


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, nor open a comment."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_plain).replace("<", "\\u003c")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _subtitle(result: Result) -> str:
    totals, events = result.totals, result.events
    quotes, trades = len(events.quotes), len(events.trades)
    parts = [
        f"Replay of {events.name or result.instrument.name}",
        f"{n.stamps(totals.first_time, totals.last_time)} UTC",
        n.span(totals.last_time - totals.first_time),
        f"{n.count(quotes)} quotes, {n.count(trades)} trades, {n.count(len(result.decisions))} decisions",
    ]
    return " · ".join(parts)


def _money_places(result: Result) -> int:
    """Decimals of the P&L axis: for three digits of the largest part, or for halves around nothing."""
    a = result.attribution
    largest = max(abs(a.spread), abs(a.inventory), abs(a.fees), abs(a.total))
    return 1 if not largest else min(8, max(0, 2 - largest.adjusted()))


def _extended(values: NDArray[Any], value: int | None = None) -> NDArray[Any]:
    """Append ``value``, or the last of ``values`` again: a step is drawn as far as its end."""
    return np.append(values, values[-1:] if value is None else value)


@dataclass(frozen=True)
class _Side:
    """Prices of one side of the market in ticks, NaN where it is absent: made of the rows that are drawn."""

    price: NDArray[np.int64]
    size: NDArray[np.int64]

    def __getitem__(self, rows: Any) -> NDArray[np.float64]:
        return np.where(self.size[rows] > 0, self.price[rows].astype(np.float64), np.nan)


def _page_data(result: Result, c: Any, start: int, more: list[Any]) -> dict[str, Any]:
    """Return what the page draws against time: tables, and which figure shows which; ``more`` tables too."""
    instrument = result.instrument
    tick = float(instrument.tick)
    quotes, fills = result.events.quotes, result.fills
    here = quotes[
        max(0, int(np.searchsorted(quotes.local_time, result.totals.first_time, "right")) - 1) : int(
            np.searchsorted(quotes.local_time, result.totals.end_time, "right")
        )
    ]
    ours = quoted(result)
    bid, ask = ours["bid"], ours["ask"]
    touch_bid, touch_ask = ours["touch_bid"], ours["touch_ask"]
    path = result.pnl_path
    inventory_time, inventory = result.inventory_path
    end = int(result.totals.end_time)
    live = _extended(ours["time"], end)
    tables = [
        c.Table(
            "market",
            here.local_time,
            {"bid": (_Side(here.bid, here.bid_size), tick), "ask": (_Side(here.ask, here.ask_size), tick)},
        ),
        c.Table(
            "quotes",
            live,
            {"bid": (_extended(bid), tick), "ask": (_extended(ask), tick)},
        ),
        c.Table(
            "spreads",
            live,
            {"half": (_extended(ask - bid), 0.5), "market_half": (_extended(touch_ask - touch_bid), 0.5)},
        ),
        c.Table("inventory", _extended(inventory_time, end), {"inventory": (_extended(inventory), 1.0)}),
        c.Table(
            "pnl",
            path["time"],
            {
                "spread": (path["spread"], 1.0),
                "revaluation": (path["inventory"], 1.0),
                "fees": (path["fees"], 1.0),
                "total": (path["total"], 1.0),
            },
        ),
    ]
    if result.orders is not None:
        minutes, sent = per_minute(result)
        tables.append(c.Table("messages", _extended(minutes, end), {"sent": (_extended(sent), 1.0)}))
    tables += more
    views = [c.View(table.name, table.name) for table in tables]
    for name, mine in (("buys", fills["qty"] > 0), ("sells", fills["qty"] < 0)):
        columns = {"price": (fills["price"][mine], tick), "lots": (np.abs(fills["qty"][mine]), 1.0)}
        tables.append(c.Table(name, fills["receive_time"][mine], columns))
        views.append(c.View(name, name, "bin", 16.0))
    return {
        "start": start / 1e6,
        "colours": [list(pair) for pair in c.COLOURS.values()],
        "tables": {table.name: table.pack(start) for table in tables},
        "views": [vars(view) for view in views],
    }


def _calibrated_chart(canvas: Any, result: Result) -> Any:
    """Observed rates and their fit, from the calibration."""
    from ..results import FEW
    from .charts import intensity_chart

    calibration = result.calibration
    if calibration is None:
        return None
    groups = []
    for label, colour, rows in zip(("Bid", "Ask"), ("bid", "ask"), calibration.rates, strict=True):
        groups.append(
            (
                label,
                colour,
                {
                    "depth": rows["depth"],
                    "rate": rows["observed"],
                    "low": rows["low"],
                    "high": rows["high"],
                    "fitted": rows["fitted"],
                    "band_low": rows["fitted_low"],
                    "band_high": rows["fitted_high"],
                    "sure": rows["count"] >= FEW,
                },
            )
        )
    return intensity_chart(
        canvas,
        "intensity",
        "Calibrated fill intensity",
        "Rate of market orders that reach each depth, by side, with the fitted curve and its band.",
        groups,
        f"Points: observed, with their intervals; hollow: fewer than {FEW} orders, too few to tell. "
        "Lines: A·exp(−k·depth) fitted, with its confidence band.",
    )


def _realised_chart(canvas: Any, result: Result) -> Any:
    """Fill rates of our own orders against what the model assumed."""
    from ..results import FEW
    from .charts import intensity_chart

    groups = []
    for label, side in (("Bid", "bid"), ("Ask", "ask")):
        bins = [b for b in result.intensity if b.side == side]
        if not bins:
            continue
        groups.append(
            (
                label,
                side,
                {
                    "depth": [b.depth for b in bins],
                    "rate": [b.realised for b in bins],
                    "low": [b.low for b in bins],
                    "high": [b.high for b in bins],
                    "fitted": [b.expected for b in bins],
                    "assumed": [b.assumed for b in bins],
                    "fills": [b.fills for b in bins],
                    "exposure": [b.exposure for b in bins],
                    "sure": [b.estimable for b in bins],
                },
            )
        )
    if not groups:
        return None
    return intensity_chart(
        canvas,
        "realised",
        "Fill rate of our orders",
        "Rate at which our orders were hit by their depth, by side, against what the model lets expect.",
        groups,
        "Points: realised in this replay, with exact Poisson intervals; hollow: fewer than "
        f"{FEW} fills, too few to tell. Lines: expected under the fill rule; "
        "dashed: assumed by the model. A fill through needs a trade one tick further than A·exp(−k·depth) "
        "counts, so about exp(−k) of it is expected.",
    )
