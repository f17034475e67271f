"""What the report says: headline figures, the verdict in words, notes and tables.

Every number is the result's own; here it is only put into words and units.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ..instruments import money_places
from ..results import FEW
from . import numbers as n

if TYPE_CHECKING:
    from ..results import Result

__all__ = ["Grid", "Tile", "notes", "places", "tables", "tiles", "verdict"]

FEW_FILLS = 30
"""Fewer fills than this carry no average; the report says so."""


@dataclass(frozen=True)
class Tile:
    """One headline figure."""

    label: str
    value: str
    unit: str = ""
    more: str = ""
    tone: str = ""  # good, bad or neutral


@dataclass(frozen=True)
class Grid:
    """One table; columns named in ``texts`` are aligned left and wrap."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[str] = ()
    caption: str = ""


def _tone(amount: Decimal) -> str:
    return "good" if amount > 0 else "bad" if amount < 0 else ""


def _range(result: Result) -> tuple[int, int]:
    levels, _ = result.inventory_histogram()
    return int(levels[0]), int(levels[-1])


def _orders(result: Result) -> tuple[int, int]:
    """Orders that were in the market, and those of them that were hit."""
    return len(np.unique(result.standing.order_id)), len(np.unique(result.fills["order_id"]))


def _sent(result: Result) -> str:
    return result.sent if result.orders is not None else "quotes, of each side and decision"


def places(result: Result) -> int:
    """Decimals of the money on the page: all that any amount has, so that its parts add up there too."""
    results = [result] if result.optimistic is None else [result, result.optimistic]
    parts = [r.attribution for r in results] + [row.pnl for row in result.by_hour(None)]
    amounts = [amount for a in parts for amount in (a.total, a.spread, a.inventory, a.fees)]
    return money_places(*amounts, *(r.drawdown.amount for r in results))


def tiles(result: Result) -> list[Tile]:
    """The headline figures, the most important first."""
    a = result.attribution
    currency = a.currency
    cash = partial(n.money, places=places(result))
    low, high = _range(result)
    orders, filled = _orders(result)
    presence = result.presence
    totals = result.totals
    return [
        Tile("Net P&L", cash(a.total, sign=True), currency, "spread + inventory + fees", _tone(a.total)),
        Tile("Spread captured", cash(a.spread, sign=True), currency, "against the mid at each fill"),
        Tile("Inventory revaluation", cash(a.inventory, sign=True), currency, "while the mid moved"),
        Tile("Fees", cash(a.fees, sign=True), currency, "− paid, + rebates"),
        Tile(
            "Unexplained",
            cash(a.unexplained),
            currency,
            "P&L of the book less its parts",
            "bad" if a.unexplained else "",
        ),
        Tile(
            "Fills",
            n.count(len(result.fills)),
            "",
            f"{n.count(totals.bought)} lots bought, {n.count(totals.sold)} sold",
        ),
        Tile(
            f"{result.sent.capitalize()} filled",
            n.percent(filled / orders if orders else None),
            "",
            f"of {n.count(orders)} {_sent(result)}",
        ),
        Tile(
            "Largest inventory",
            n.count(max(abs(low), abs(high))),
            "lots",
            f"from {n.count(low)} to {n.count(high)}, {n.count(totals.net)} at the end",
        ),
        Tile("Drawdown", cash(result.drawdown.amount), currency, "largest fall, marked at the mid"),
        Tile(
            "Presence",
            n.percent(presence.both),
            "",
            f"both sides; one side {n.percent(presence.bid + presence.ask)}, none {n.percent(presence.none)}",
        ),
    ]


def verdict(result: Result) -> str:
    """What happened, in one paragraph."""
    a = result.attribution
    c = a.currency
    cash = partial(n.money, places=places(result))
    fills = len(result.fills)
    maker = type(result.model).__name__ if result.model is not None else "the quoter"
    lead = {"out-of-sample": "Out of sample", "in-sample": "In sample"}.get(
        result.sample, "With fixed parameters"
    )
    if not fills:
        return (
            f"{lead}, nothing was filled in {n.span(_length(result))}: there is no profit or loss to explain."
        )
    went = "made" if a.total > 0 else "lost" if a.total < 0 else "came out at"
    moved = f"{went} {cash(a.total.copy_abs())} {c}"
    spread = (
        f"captured {cash(a.spread)} {c} of spread"
        if a.spread >= 0
        else f"gave away {cash(a.spread.copy_abs())} {c} of spread"
    )
    drift = f"{'gained' if a.inventory >= 0 else 'lost'} {cash(a.inventory.copy_abs())} {c} on its inventory"
    fees = (
        f"paid {cash(a.fees.copy_abs())} {c} in fees"
        if a.fees < 0
        else f"received {cash(a.fees)} {c} in rebates"
        if a.fees > 0
        else "paid no fees"
    )
    low, high = _range(result)
    explained = (
        "These parts explain the P&L of the book to the last digit."
        if not a.unexplained
        else f"{cash(a.unexplained)} {c} of the P&L is unexplained, which is a fault in the books."
    )
    text = [
        f"{lead}, {maker} {moved} in {n.span(_length(result))}:",
        f"on {n.count(fills)} fills it {spread}, {drift} while the mid moved, and {fees}.",
        explained,
        f"Inventory stayed between {n.count(low)} and {n.count(high)} lots.",
    ]
    text.extend(_after_a_fill(result))
    if result.fill == "through":
        text.append("A fill here needs a trade through our price.")
    bound = result.optimistic
    if bound is not None:
        total = bound.attribution.total
        text.append(
            "Had every trade at our price filled us too (the optimistic rule), the net would have been "
            f"{cash(total, sign=True)} {c} on {n.count(len(bound.fills))} fills."
        )
    return " ".join(text)


def _length(result: Result) -> int:
    return int(result.totals.last_time - result.totals.first_time)


def _after_a_fill(result: Result) -> Iterable[str]:
    """Say what the fills were worth a minute later, where the data tell."""
    for row in result.markouts():
        if row.horizon == 60.0 and row.n and not math.isnan(row.low):
            clear = row.low > 0 or row.high < 0
            side = "better" if row.mean >= 0 else "worse"
            worth = f"{n.significant(abs(row.mean))} ticks per lot {side} than its price"
            yield (
                f"A minute after a fill the mid was on average {worth} "
                f"(95 % interval {n.interval(row.low, row.high)}" + (")." if clear else "; it may be zero).")
            )


def notes(result: Result) -> list[str]:
    """What the reader must know before trusting the figures."""
    found: list[str] = []
    calibration = result.calibration
    if calibration is not None:
        found.extend(f"Calibration: {note}." for note in calibration.notes)
    found.extend(result.notes)
    if 0 < len(result.fills) < FEW_FILLS:
        found.append(f"Only {n.count(len(result.fills))} fills: averages and rates below say little.")
    if result.settings.get("fill") == "touch":
        found.append(
            "Every trade at our price filled us: an optimistic bound on the fills, "
            "since the queue ahead is ignored."
        )
    late = max(result.markouts(), key=lambda row: row.missing)
    if late.missing:
        found.append(
            f"{n.count(late.missing)} of {n.count(late.n + late.missing)} fills have no mid "
            f"{n.seconds(late.horizon)} later: the data end before, or the market was one-sided. "
            "They are left out of that average."
        )
    if result.totals.crossed:
        found.append(
            f"{n.count(result.totals.crossed)} crossed quotes of the feed were refused; "
            "the last good one was kept."
        )
    if result.attribution.unexplained:
        found.append(
            "The parts of the P&L do not add up to the book's total. Don't trust this report; please tell us."
        )
    return found


# ---- tables


def markout_table(result: Result) -> Grid:
    """Markouts by horizon, all fills and by side."""
    marks = result.markouts()
    rows = []
    for row, bid, ask in zip(marks.rows, marks.bid, marks.ask, strict=True):
        rows.append(
            [
                n.seconds(row.horizon),
                n.count(row.n),
                n.count(row.missing),
                n.fixed(row.mean, sign=True),
                n.NONE if math.isnan(row.low) else f"{n.fixed(row.low)} to {n.fixed(row.high)}",
                n.fixed(bid.mean, sign=True),
                n.fixed(ask.mean, sign=True),
            ]
        )
    return Grid(
        "Markouts",
        ("After", "Fills", "No mid", "Mean", "95 % interval", "Buys", "Sells"),
        rows,
        caption="Move of the mid from our price in our favour, ticks per lot. "
        "A dash: too few independent blocks of time.",
    )


def period_table(result: Result) -> Grid:
    """P&L and what belongs to it by hour, or by shorter periods where the span is short."""
    periods = result.by_hour(None)
    cash = partial(n.money, places=places(result), sign=True)
    rows = [
        [
            label,
            *(cash(part) for part in (row.pnl.total, row.pnl.spread, row.pnl.inventory, row.pnl.fees)),
            n.count(row.fills),
            n.percent(row.both),
            n.fixed(row.mean, 1),
            f"{n.count(row.low)} to {n.count(row.high)}",
        ]
        for label, row in zip(periods.labels(), periods, strict=True)
    ]
    a = result.attribution
    levels, share = result.inventory_histogram()
    rows.append(
        [
            "whole",
            *(cash(part) for part in (a.total, a.spread, a.inventory, a.fees)),
            n.count(len(result.fills)),
            n.percent(result.presence.both),
            n.fixed(float(levels @ share), 1),
            f"{n.count(levels[0])} to {n.count(levels[-1])}",
        ]
    )
    return Grid(
        "P&L by period",
        ("From, UTC", "Net P&L", "Spread", "Revaluation", "Fees", "Fills", "Both sides", "Mean lots", "Lots"),
        rows,
        caption=f"Periods of {n.seconds(periods.period)}, {a.currency}; the parts of each add up to its net, "
        "and the periods to the whole, to the last digit.",
    )


def inventory_note(result: Result) -> str:
    """How fast the inventory returns, and what the model says of it, in words."""
    if result.half_life is None:
        seen = "No half-life: the inventory cannot be told from a random walk."
    else:
        seen = f"It loses half of its distance from the mean in {n.significant(result.half_life)} s."
    law = result.inventory_law
    if law is None or not law.std:
        return seen
    low, high = law.interval()
    said = (
        f"{seen} The model's fill rates predict {n.significant(law.half_life)} s, and in the long run "
        f"{n.count(low)} to {n.count(high)} lots for 95 % of the time."
    )
    return said + "".join(f" {note[0].upper()}{note[1:]}." for note in law.notes)


def fill_rate_table(result: Result) -> Grid:
    """Fill rates by side and place, with the time that they were counted in."""
    rates = [r for r in result.fill_rates if r.orders]
    rows = [
        [
            f"{r.side}, {r.place}",
            n.count(r.orders),
            n.count(r.filled),
            n.percent(r.fraction if r.estimable else None),
            n.span(round(r.exposure * 1e9)) if r.exposure else n.NONE,
            n.significant(r.per_second if r.estimable else None),
            n.interval(r.low, r.high),
        ]
        for r in rates
    ]
    caption = (
        f"Inside, at or behind the touch. {n.count(len(result.decisions))} decisions, "
        f"{n.count(result.messages)} order messages."
    )
    if result.orders is not None:
        caption += " An order counts at each place where the market leaves it."
    if not all(r.estimable for r in rates):
        caption += f" A dash: fewer than {FEW} fills, too few to tell a rate."
    return Grid(
        "Fill rates",
        (result.sent.capitalize(), "Sent", "Filled", "Share", "In the market", "Rate, 1/s", "95 % interval"),
        rows,
        caption=caption,
    )


def message_table(result: Result) -> Grid | None:
    """Order messages by kind, and what the venue refused."""
    counts, life = result.message_counts, result.order_life
    if counts is None or life is None:
        return None
    rows = [
        [
            kind,
            n.count(sent),
            n.count(counts.rejected[kind]),
            n.percent(counts.rejected[kind] / sent if sent else None),
        ]
        for kind, sent in (("new", counts.new), ("amend", counts.amend), ("cancel", counts.cancel))
    ]
    minutes = (result.totals.end_time - result.totals.first_time) / 60e9
    fills = (
        f", {n.significant(result.messages / len(result.fills))} for each fill" if len(result.fills) else ""
    )
    late = f" {n.count(counts.unanswered)} did not arrive before the end." if counts.unanswered else ""
    return Grid(
        "Order messages",
        ("Kind", "Sent", "Rejected", "Share"),
        rows,
        caption=f"{n.significant(result.messages / minutes)} messages a minute{fills}.{late}",
    )


def presence_table(result: Result) -> Grid:
    """Why a side was absent, by side."""
    p = result.presence
    rows = [["present", n.percent(p.both + p.bid, 2), n.percent(p.both + p.ask, 2)]]
    shares = {r: max(p.bid_reasons.get(r, 0.0), p.ask_reasons.get(r, 0.0)) for r in p.reasons}
    for reason in sorted((r for r in shares if shares[r] >= 0.00005), key=lambda r: -p.reasons[r]):
        rows.append(
            [
                reason,
                n.percent(p.bid_reasons.get(reason, 0.0), 2),
                n.percent(p.ask_reasons.get(reason, 0.0), 2),
            ]
        )
    return Grid(
        "Presence, and why a side was absent",
        ("Share of time", "Bid", "Ask"),
        rows,
        caption=(
            f"Both sides {n.percent(p.both, 2)}, bid alone {n.percent(p.bid, 2)}, "
            f"ask alone {n.percent(p.ask, 2)}, neither {n.percent(p.none, 2)} of the time. "
            "A column adds up to 100 %: where several reasons hold at once, the first is counted."
        ),
    )


def bound_table(result: Result) -> Grid | None:
    """The conservative result beside the optimistic bound."""
    bound = result.optimistic
    if bound is None:
        return None
    c = result.attribution.currency
    cash = partial(n.money, places=places(result))

    def column(r: Result) -> list[str]:
        a = r.attribution
        low, high = _range(r)
        orders, filled = _orders(r)
        return [
            cash(a.total, sign=True),
            cash(a.spread, sign=True),
            cash(a.inventory, sign=True),
            cash(a.fees, sign=True),
            n.count(len(r.fills)),
            n.percent(filled / orders if orders else None),
            f"{n.count(low)} to {n.count(high)}",
            cash(r.drawdown.amount),
        ]

    labels = (
        f"Net P&L, {c}",
        f"Spread captured, {c}",
        f"Inventory revaluation, {c}",
        f"Fees, {c}",
        "Fills",
        f"{result.sent.capitalize()} filled",
        "Inventory, lots",
        f"Drawdown, {c}",
    )
    rows = [list(row) for row in zip(labels, column(result), column(bound), strict=True)]
    return Grid(
        "Conservative and optimistic",
        ("", "Traded through", "Touched"),
        rows,
        caption="A fill needs a trade beyond our price (conservative: this report), "
        "or only at it (optimistic: the queue ahead is ignored). More fills need not mean more profit.",
    )


def model_table(result: Result) -> Grid | None:
    """The model's parameters with units and meaning."""
    model = result.model
    if model is None:
        return None
    rows = []
    for parameter in getattr(model, "PARAMETERS", ()):
        value = getattr(model, parameter.name, None)
        rows.append([parameter.name, n.plain(value), parameter.unit, parameter.doc])
    return Grid(
        type(model).__name__,
        ("Parameter", "Value", "Unit", "Meaning"),
        rows,
        texts=("Unit", "Meaning"),
        caption="The model behind the quotes. Pairs are (bid, ask).",
    )


SYMBOLS = {"sigma": "σ, volatility", "A": "A, fill intensity at the mid", "k": "k, decay with depth"}


def calibration_table(result: Result) -> Grid | None:
    """The calibrated parameters with errors and intervals, and what this span realised."""
    calibration = result.calibration
    if calibration is None:
        return None
    rows = []
    for name, value, error, low, high, unit in calibration.table():
        symbol, _, side = name.partition("_")
        label = SYMBOLS.get(symbol, symbol) + (f", {side}" if side else "")
        rows.append(
            [
                label,
                "not identified" if value is None else n.significant(value, 4),
                n.NONE if error is None else f"± {n.significant(error, 2)}",
                n.interval(low, high),
                unit,
            ]
        )
    level = n.percent(calibration.settings["level"], 0)
    caption = (
        f"Method {calibration.method}, {n.stamps(calibration.start_time, calibration.end_time)} UTC "
        f"({n.span(calibration.end_time - calibration.start_time)})."
    )
    if result.sigma_realised is not None:
        caption += f" In the replayed span σ was {n.significant(result.sigma_realised, 4)} ticks/√s."
    return Grid(
        "Calibration", ("Parameter", "Value", "Error", f"{level} interval", "Unit"), rows, ("Unit",), caption
    )


def settings_table(result: Result) -> Grid:
    """The arguments of the replay, explained by their own descriptions."""
    from ..calibration import PARAMETERS
    from ..configuration import in_words
    from ..messages import ORDERS_PARAMETERS
    from ..replaying import REPLAY_PARAMETERS, RUN_PARAMETERS, WALK_PARAMETERS

    lists = (PARAMETERS, WALK_PARAMETERS, RUN_PARAMETERS, REPLAY_PARAMETERS, ORDERS_PARAMETERS)
    described = {p.name: p for some in lists for p in some}
    rows = []
    for name, value in result.settings.items():
        parameter = described.get(name)
        unit = f" {parameter.unit}" if parameter and parameter.unit and value is not None else ""
        if name == "recalibrate" and (rolling := result.recalibrate) is not None:
            value = f"every {n.seconds(rolling.every)} from the {n.span(round(rolling.window * 1e9))} before"
            unit = ""
        rows.append([name, n.plain(value) + unit, in_words(parameter) if parameter else ""])
    instrument = result.instrument
    rows += [
        ["tick", f"{instrument.tick} {instrument.currency.name}", "smallest step of a price"],
        ["lot", str(instrument.lot), "smallest step of a size"],
        ["multiplier", str(instrument.multiplier), "value of one unit of size at a price of 1"],
    ]
    return Grid("Settings of the replay", ("Setting", "Value", "Meaning"), rows, texts=("Meaning",))


def tables(result: Result) -> dict[str, Grid | None]:
    """All tables by name."""
    return {
        "periods": period_table(result),
        "markouts": markout_table(result),
        "fill_rates": fill_rate_table(result),
        "messages": message_table(result),
        "presence": presence_table(result),
        "bound": bound_table(result),
        "calibration": calibration_table(result),
        "model": model_table(result),
        "settings": settings_table(result),
    }
