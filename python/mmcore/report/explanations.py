"""Why the quotes were there: each decision explained, so that the page can tell of any moment.

The numbers are those of :meth:`mmcore.Quoter.explain`, of each decision by the policy then in force
(:mod:`mmcore.explaining`): the page only adds them up and shows them. They are embedded as columns of
doubles, compressed (zlib, which browsers read): so they stay exact, and a day of them takes 200 kB.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..explaining import FIRST, RETRACED, explanations, followed, in_force
from ..quoting import STAGES

if TYPE_CHECKING:
    from ..results import Result

__all__ = ["MEANINGS", "chart", "embedded"]

MOMENTS = 24_000
"""At most so many decisions are explained, a day of one each second; of more, those behind fills and evenly
chosen others."""

SIDES = ("bid", "ask")

MEANINGS = {
    "reference": "the price that the quote is made around",
    "depth": "the policy's distance at this inventory",
    "shift": "the signal",
    "volatility": "the distance scaled by the market's volatility",
    "age": "wider, for the age of the market data",
    "rounding": "to a whole tick, away from the market",
    "touch": "so as not to meet the market's other side",
    "obligation": "to keep the largest spread promised",
    "bid < ask": "a bid and an ask that met, stepped apart",
}
"""What each stage of a quote does, in words."""


def chosen(result: Result) -> NDArray[np.intp]:
    """Return the decisions to explain: all, or those behind fills and evenly chosen others.

    Where parameters followed the market each policy costs a solution: of more policies than
    :data:`mmcore.explaining.RETRACED` fewer decisions are explained.
    """
    n = len(result.decisions)
    policies = len(np.unique(in_force(result, result.decisions["time"])))
    most = MOMENTS if policies <= RETRACED else RETRACED
    if n <= most:
        return np.arange(n)
    filled = _evenly(np.unique(result.fill_context["decision"].astype(np.intp)), most)
    return np.union1d(filled, _evenly(np.arange(n), most - len(filled) // 2))


def _evenly(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(np.intp)]


def embedded(result: Result) -> dict[str, Any] | None:
    """Return what the page explains quotes from; None where there was no decision."""
    rows = chosen(result)
    if not len(rows):
        return None
    d, start = result.decisions, int(result.totals.first_time)
    live = np.append(d["live_time"], result.totals.end_time)
    columns: dict[str, NDArray[np.float64]] = {
        "t": (live[rows] - start) / 1e6,
        "until": (live[rows + 1] - start) / 1e6,
        "inventory": d["inventory"][rows].astype(np.float64),
        "marketbid": _price(d["touch_bid"][rows]),
        "marketask": _price(d["touch_ask"][rows]),
        "policy": in_force(result, d["time"][rows]).astype(np.float64),
        "case": np.empty(len(rows)),
    }
    for s, side in enumerate(SIDES):
        columns[f"filled{side}"] = _filled(result, side)[rows] / 1e6
        columns[f"lost{side}"] = ((d["lost"][rows] >> s) & 1).astype(np.float64)
        for stage in STAGES:
            columns[stage + side] = np.full(len(rows), np.nan)
    cases: dict[Any, int] = {}
    for i, (_, found) in enumerate(explanations(result, rows)):
        for side, terms in zip(SIDES, (found.bid, found.ask), strict=True):
            for stage, term in terms.items():
                columns[stage + side][i] = term
        case = (found.reasons, (found.quote.bid_size, found.quote.ask_size))
        columns["case"][i] = cases.setdefault(case, len(cases))
    # A stage that never changed a price is left out.
    for stage in STAGES:
        both = [stage + side for side in SIDES]
        if stage not in ("reference", "depth", "rounding") and not any(
            np.nan_to_num(columns[c]).any() for c in both
        ):
            for column in both:
                del columns[column]
    return {
        "of": len(d),
        "latency": float(result.settings["latency"]) * 1e3,
        "tick": float(result.instrument.tick),
        "stages": [stage for stage in STAGES if stage + SIDES[0] in columns],
        "meanings": MEANINGS | {"reference": _reference(result)},
        "cases": [{"reasons": list(reasons), "sizes": list(sizes)} for reasons, sizes in cases],
        "policies": _policies(result, columns["policy"]),
        **_packed(columns),
    }


def _packed(columns: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Columns of doubles, one after another: the same bytes of neighbours compress well when transposed."""
    table = np.array([np.ascontiguousarray(values, "<f8") for values in columns.values()])
    octets = table.view(np.uint8).reshape(len(columns), -1, 8).transpose(0, 2, 1)
    return {
        "rows": table.shape[1],
        "columns": list(columns),
        "data": base64.b64encode(zlib.compress(octets.tobytes(), 9)).decode("ascii"),
    }


def _price(ticks: NDArray[np.int64]) -> NDArray[np.float64]:
    prices = ticks.astype(np.float64)
    return np.where(np.abs(prices) < 2**62, prices, np.nan)


def _filled(result: Result, side: str) -> NDArray[np.float64]:
    """When the order of each decision was first hit, ns from the start; NaN where it was not."""
    found = np.full(len(result.decisions), np.inf)
    mine = (result.fills["qty"] > 0) if side == "bid" else (result.fills["qty"] < 0)
    when = (result.fills["receive_time"][mine] - result.totals.first_time).astype(np.float64)
    np.minimum.at(found, result.fill_context["decision"][mine], when)
    return np.where(np.isfinite(found), found, np.nan)


def _reference(result: Result) -> str:
    weighted = result.settings.get("reference") == "weighted"
    return "the mid, weighted by the sizes at the touch" if weighted else "the mid of the market"


def _policies(result: Result, used: NDArray[np.float64]) -> dict[str, Any]:
    """When each policy was put in force and with which parameters, by its row of ``result.parameters``."""
    names = followed(result)
    units = {"sigma": ("σ", "ticks/√s"), "A": ("A", "1/s"), "k": ("k", "1/tick")}
    rows: dict[str, Any] = {}
    for row in np.unique(used).astype(int).tolist():
        if row == FIRST or result.parameters is None:
            rows[str(row)] = [None, [_pair(getattr(result.model, name)) for name in names]]
            continue
        known = result.parameters[row]
        since = (int(known["time"]) - int(result.totals.first_time)) / 1e6
        rows[str(row)] = [since, [_pair(known[name]) for name in names]]
    return {"names": [units[name] for name in names], "rows": rows}


def _pair(value: Any) -> list[float] | None:
    """One number, or (bid, ask) where they differ, to five digits."""
    if value is None:
        return None
    return list(dict.fromkeys(float(f"{v:.5g}") for v in np.atleast_1d(value).tolist()))


def chart(canvas: Any) -> Any:
    """The waterfall: from the reference price, stage by stage, to the quotes. The page fills it."""
    from bokeh.models import FactorRange, HoverTool, Range1d

    from .charts import LIGHT, Chart, Key, card

    stages = [*STAGES, "quote"]
    plot = canvas.figure(
        300,
        left=92,
        x_range=Range1d(name="why-ticks"),
        y_range=FactorRange(factors=stages[::-1], name="why-stages"),
    )
    plot.xaxis.axis_label = "ticks from the reference price"
    plot.xaxis.ticker.desired_num_ticks = 8
    plot.ygrid.grid_line_color = None
    plot.xgrid.grid_line_color = LIGHT["grid"]
    touch = canvas.source("why-touch", "x", "top", "bottom")
    plot.segment(
        "x", "top", "x", "bottom", source=touch,
        color=LIGHT["touch"], line_width=2, line_dash="dashed", name="why-market",
    )  # fmt: skip
    for side in SIDES:
        look = {"color": LIGHT[side]}
        bars = canvas.source(f"why-{side}", "y", "left", "right", "stage", "term", "after")
        links = canvas.source(f"why-{side}-links", "x", "top", "bottom")
        ends = canvas.source(f"why-{side}-quote", "x", "y", "price")
        plot.segment(
            "x", "top", "x", "bottom", source=links, line_width=1, alpha=0.6, name=f"why-{side}-link", **look
        )
        drawn = plot.hbar(
            "y", left="left", right="right", height=0.3, source=bars, name=f"why-{side}-bars", **look
        )
        marker = plot.scatter(
            "x", "y", source=ends, size=11, name=f"why-{side}-end", marker="diamond", **look
        )
        told = [
            (side, "@stage"),
            ("contribution", "@term{+0,0.[000000]} ticks"),
            ("price so far", "@after{0,0.[000000]} ticks"),
        ]
        plot.add_tools(HoverTool(renderers=[drawn], tooltips=card(told)))
        plot.add_tools(HoverTool(renderers=[marker], tooltips=card([(side, "@price{0,0} ticks")])))
    return Chart(
        "why",
        "Why was the quote there?",
        "ticks",
        "Waterfall from the reference price to the bid and the ask: what each stage contributed.",
        plot,
        (
            Key("Bid", "bid", "square", ("why-bid-bars", "why-bid-link", "why-bid-end")),
            Key("Ask", "ask", "square", ("why-ask-bars", "why-ask-link", "why-ask-end")),
            Key("Market bid and ask", "touch", "dashed", ("why-market",)),
        ),
        300,
    )
