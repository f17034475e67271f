"""The tables and sentences that the commands print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..events import oddities
from ..instruments import money_places, money_text
from ..report.numbers import seconds, span, stamps
from .screen import answer, heading, note, number, paragraph, table

if TYPE_CHECKING:
    from ..calibration import Calibration
    from ..clocks import Clock
    from ..events import Events
    from ..results import Result

__all__ = [
    "depth_cell",
    "show_calibration",
    "show_explanation",
    "show_feed",
    "show_market",
    "show_policy",
    "show_replay",
    "shown_inventories",
]

_CLOCKS = {
    "local": "ours",
    "exchange": "the exchange's",
    "corrected": "the exchange's; local stamps were put on it",
}


def show_market(events: Events) -> None:
    """Say what the data are."""
    s = events.summary()
    heading(f"{events.instrument.name}", s["name"] if s["name"] != events.instrument.name else "")
    words = f"{s['quotes']:,} quotes, {s['trades']:,} trades"
    if len(events):
        when = f"{stamps(events.start_time, events.end_time)} UTC"
        words += f", {when} ({span(round(s['seconds'] * 1e9))})"
    if s["spread"]:
        wide = s["spread"]["time_weighted"]
        mean = f"{number(s['spread']['mean'], 3)} ticks over the quotes"
        words += f", mean spread {mean if wide is None else f'{number(wide, 3)} ticks over time'}"
    paragraph(words)
    if s["clock_note"]:
        note(s["clock_note"])


def show_feed(
    events: Events, clock: Clock | None = None, phases: Mapping[str, Mapping[str, int]] | None = None
) -> None:
    """Say what a feed holds, its statistics, its clocks and phases, and everything odd in it."""
    show_market(events)
    s, source = events.summary(), events.source
    price = events.instrument.price
    rows = [("format", str(source.get("format", "")) or "none: made in memory")]
    if source.get("files"):
        rows.append(("files", ", ".join(source["files"])))
    rows.append(("tick, lot", f"{events.instrument.tick:f}, {events.instrument.lot:f}"))
    rows.append(("clock", _CLOCKS.get(source.get("clock", ""), "not known")))
    if s["trades"]:
        rows.append(
            ("trades", f"{s['buys']:,} bought, {s['sells']:,} sold, {s['sideless_trades']:,} unknown")
        )
        rows.append(("volume", f"{events.instrument.quantity(s['volume']):f}"))
        places = money_places(events.instrument.tick) + 2  # what a mean of many prices can say
        mean = f"{Decimal(s['vwap']):.{places}f}"
        rows.append(("traded at", f"{price(s['low']):f} to {price(s['high']):f}, on average {mean}"))
    ends = [s["lowest_bid"], s["highest_ask"]]
    if any(end is not None for end in ends):
        shown = ["–" if end is None else f"{price(end):f}" for end in ends]
        rows.append(("quoted at", f"{shown[0]} bid to {shown[1]} asked"))
    if s["spread"]:
        spread = s["spread"]
        means = f"mean {number(spread['mean'])} over the quotes"
        if spread["time_weighted"] is not None:
            means += f", {number(spread['time_weighted'])} over time"
        rows.append(("spread", f"{spread['min']:,} to {spread['max']:,} ticks, {means}"))
    if s["without_market"]:
        rows.append(("a side is absent", f"{number(100 * s['without_market'], 3)} % of the time"))
    if len(events):
        rows.append(("longest silence", span(round(s["longest_silence"] * 1e9))))
    table(["", "statistics"], rows, left=(0, 1))
    if clock is not None:
        _show_clock(clock, corrected=source.get("clock") == "corrected")
    if phases is not None:
        heading("Phases", "by the exchange's stamps")
        names = ("quotes", "trades", "crossed", "locked")
        counted = [(name.replace("_", " "), *(f"{of[n]:,}" for n in names)) for name, of in phases.items()]
        table(["phase", *names], counted, left=(0,))
    odd = [(f"{count:,}", what, "kept") for what, count in oddities(s)]
    odd += [(f"{count:,}", what, "kept") for what, count in source.get("odd", {}).items()]
    odd += [(f"{count:,}", what, "left out") for what, count in source.get("ignored", {}).items()]
    heading("Odd", "" if odd else "nothing")
    if odd:
        table(["count", "what", ""], odd, left=(1, 2))


def _show_clock(clock: Clock, corrected: bool) -> None:
    """Show what our clock was against the exchange's, or what a correction left of it."""
    left = "what the correction left of " if corrected else ""
    heading("Clock", f"{left}local − exchange, the least delay included")
    rows = [
        (
            f"{segment.start:,} to {segment.stop - 1:,}",
            f"{segment.offset / 1e6:+,.3f} ms",
            f"{segment.skew:+.3f} ppm",
            f"{segment.step / 1e6:+,.3f} ms" if segment.step else "",
            f"{segment.stepped} clock set back" if segment.stepped else "",
        )
        for segment in clock.segments
    ]
    table(["rows", "offset", "skew", "step", ""], rows, left=(0, 4))


def show_calibration(calibration: Calibration, remark: str = "") -> None:
    """Show the calibrated parameters with their errors and intervals."""
    level = calibration.settings["level"]
    heading(
        "Calibration",
        remark or f"{span(calibration.end_time - calibration.start_time)}, method {calibration.method}",
    )
    rows = []
    for name, value, error, low, high, unit in calibration.table():
        kind, _, side = name.partition("_")
        words = {"sigma": "volatility σ", "A": f"fill rate A, {side}", "k": f"decay k, {side}"}[kind]
        if value is None or low is None or high is None:
            rows.append((words, "not identified", "", "", unit))
            continue
        uncertain = "" if error is None else f"± {number(error, 2)}"
        rows.append((words, number(value), uncertain, f"{number(low)} to {number(high)}", unit))
    table(["", "value", "error", f"{100 * level:g} % interval", "unit"], rows, left=(0, 2, 4))
    for words in calibration.notes:
        note(words)


def show_policy(model: Any, quoter: Any, name: str, notes: Sequence[str] = ()) -> None:
    """Show the parameters of a model and its depths at some inventories."""
    heading("Policy", f"{type(model).__name__} (--model {name})")
    units = {p.name: p.unit for p in model.PARAMETERS}
    told = (f"{name} {_value(value)} {units[name]}".strip() for name, value in _telling(model).items())
    paragraph(", ".join(told))
    policy = quoter.policy
    time_left = math.inf if policy.stationary else policy.horizon
    at = shown_inventories(policy.q_max, policy.order_size)
    rows = []
    for q in at:
        bid, ask = policy.depths(q, time_left)
        both = bid is not None and ask is not None
        rows.append(
            (
                f"{q:+g}" if q else "0",
                depth_cell(bid),
                depth_cell(ask),
                f"{bid + ask:.2f}" if both else "–",
                _signed((ask - bid) / 2) if both else "–",
            )
        )
    table(["inventory", "bid depth", "ask depth", "spread", "centre"], rows, left=())
    finite = "" if policy.stationary else f", {time_left:g} s before the horizon"
    paragraph(f"Depths in ticks from the reference price{finite}.", style="quiet")
    for words in notes:
        note(words)


def show_explanation(explanation: Any, asked: Mapping[str, Any]) -> None:
    """Show a quote and the contribution of each step, which add up to its prices."""
    given = ", ".join(f"{name.replace('_', ' ')} {value:.15g}" for name, value in asked.items() if value)
    heading("One quote, explained", given)
    rows = []
    size = (str(explanation.quote.bid_size), str(explanation.quote.ask_size))
    for name, bid, ask in explanation.rows():
        if name == "policy size" and (bid, ask) == size:
            continue  # the limits left it as it was
        both = (bid, ask) if name == "price" else (_trimmed(bid), _trimmed(ask))  # a price has its decimals
        if name in ("reference", "depth") or any(_nonzero(cell) for cell in both):
            rows.append((name, *both))
    table([explanation.CAPTION, "bid", "ask"], rows)
    paragraph("A depth lowers the bid and raises the ask.", style="quiet")
    for reason in explanation.reasons:
        note(reason)


def show_replay(
    events: Events, result: Result, name: str, page: Path | None, notes: Sequence[str] = ()
) -> None:
    """Show a finished replay, from the data to where the report is."""
    show_market(events)
    share = result.settings.get("train") or 1.0
    found = result.calibration
    if found is not None:
        part = (
            "the span that is replayed"
            if result.sample == "in-sample"
            else f"the first {100 * share:g} % of the data"
        )
        show_calibration(found, f"{part}, {span(found.end_time - found.start_time)}, method {found.method}")
    show_policy(result.model, result.quoter, name, notes)
    _show_sample_quote(result)
    _show_fills(result)
    _show_messages(result)
    _show_profit(result)
    _show_periods(result)
    _show_markouts(result)
    heading("Report", "none was written" if page is None else "one page, open it in a browser")
    if page is not None:
        answer.print(f"  {page}", soft_wrap=True, markup=False)


def _show_sample_quote(result: Result) -> None:
    decisions = result.decisions
    if not len(decisions):
        return
    # The two-sided quote with the largest inventory shows what the model is for.
    both = (decisions["bid_size"] > 0) & (decisions["ask_size"] > 0)
    row = decisions[int((abs(decisions["inventory"]) * both).argmax())]
    asked = {"reference": float(row["reference"]), "inventory": int(row["inventory"])}
    touch = {}
    for side in ("bid", "ask"):
        price = int(row[f"touch_{side}"])
        if abs(price) < 2**62:
            touch[side] = price
    policy = result.quoter.policy
    time_left = math.inf if policy.stationary else policy.horizon
    show_explanation(result.quoter.explain(**asked, **touch, time_left=time_left), {**asked, **touch})


def _show_fills(result: Result) -> None:
    from ..results import FEW

    totals = result.totals
    heading(
        "Fills",
        f"{result.sample}; a trade must {'go through' if result.fill == 'through' else 'touch'} our price",
    )
    levels, _ = result.inventory_histogram()
    presence = result.presence
    paragraph(
        f"{len(result.fills):,} fills from {len(result.decisions):,} decisions, "
        f"{result.messages:,} messages: "
        f"{totals.bought:,} lots bought, {totals.sold:,} sold; inventory {totals.net:+,} at the end, "
        f"between {int(levels[0]):+,} and {int(levels[-1]):+,}."
    )
    rates = [rate for rate in result.fill_rates if rate.orders]
    rows = [
        (
            rate.side,
            rate.place,
            f"{rate.orders:,}",
            f"{rate.filled:,}",
            f"{100 * rate.fraction:.1f} %" if rate.estimable else "–",
            f"{number(rate.exposure, 3)} s",
            number(rate.per_second, 3) if rate.estimable else "–",
            f"{number(rate.low, 3)} to {number(rate.high, 3)}" if rate.exposure else "–",
        )
        for rate in rates
    ]
    columns = ["side", "touch", result.sent, "filled", "share", "in market", "rate, 1/s", "95 % interval"]
    table(columns, rows, left=(0, 1))
    if not all(rate.estimable for rate in rates):
        paragraph(f"A dash: fewer than {FEW} fills, too few to tell a rate.", style="quiet")
    paragraph(f"Quoted: {presence.text}.", style="quiet")
    for absence in presence.absences:
        paragraph(f"Absent: {absence}.", style="quiet")
    if result.sigma_assumed is not None and result.sigma_realised is not None:
        paragraph(
            f"Volatility assumed {number(result.sigma_assumed, 3)}, "
            f"realised {number(result.sigma_realised, 3)} ticks/√s.",
            style="quiet",
        )
    for words in result.notes:
        note(words)


def _show_messages(result: Result) -> None:
    counts, life = result.message_counts, result.order_life
    if counts is None or life is None:
        return
    minutes = result.duration / 60
    heading("Order messages", f"{result.messages:,}, {number(result.messages / minutes, 3)} a minute")
    rows = [
        (kind, f"{sent:,}", f"{counts.rejected[kind]:,}")
        for kind, sent in (("new", counts.new), ("amend", counts.amend), ("cancel", counts.cancel))
    ]
    table(["", "sent", "rejected"], rows)
    paragraph(f"{str(life)[0].upper()}{str(life)[1:]}.", style="quiet")


def _show_profit(result: Result) -> None:
    a = result.attribution
    heading("Profit", f"exact, in {a.currency}" if a.currency else "exact")
    amounts = _amounts([a.spread, a.inventory, a.fees, a.total, a.unexplained])
    words = (
        ("spread captured", "against the mid known at each fill"),
        ("inventory revaluation", "of what was held while the mid moved"),
        ("fees", "negative where paid"),
        ("total", "from the book, which never sees a mid"),
        ("unexplained", "the total less the three parts"),
    )
    rows = [(name, amount, what) for (name, what), amount in zip(words, amounts, strict=True)]
    table(["", a.currency or "amount", ""], rows, left=(0, 2))
    paragraph(f"Largest fall {money_text(result.drawdown.amount, ',')} {a.currency}.", style="quiet")
    bound = result.optimistic
    if bound is not None:
        paragraph(
            f"If a trade at our price were enough to fill us, the optimistic rule: "
            f"{bound.attribution.total_text} with {len(bound.fills):,} fills.",
            style="quiet",
        )


def _show_periods(result: Result) -> None:
    periods = result.by_hour(None)
    heading("By the clock", f"each {seconds(periods.period)}, UTC; adds up to the profit exactly")
    kinds = ("total", "spread", "inventory", "fees")
    amounts = iter(_amounts([getattr(row.pnl, kind) for row in periods for kind in kinds]))
    rows = [
        (label, *(next(amounts) for _ in kinds), f"{row.fills:,}")
        for label, row in zip(periods.labels(), periods, strict=True)
    ]
    table(["from", "net", "spread", "inventory", "fees", "fills"], rows)


def _show_markouts(result: Result) -> None:
    heading("Markouts", "ticks per lot after a fill; > 0 means it still paid")
    rows = []
    for row in result.markouts():
        interval = "not estimable" if math.isnan(row.low) else f"{_signed(row.low)} to {_signed(row.high)}"
        mean = _signed(row.mean)
        rows.append((seconds(row.horizon), f"{row.n:,}", f"{row.missing:,}", mean, interval))
    table(["after", "fills", "no mid", "mean", "95 % interval"], rows, left=())


def _telling(model: Any) -> dict[str, Any]:
    """Return the parameters of a model that are set, without those that stand at zero by default."""
    defaults = {p.name: p.default for p in model.PARAMETERS if not p.required}
    return {
        name: value
        for name, value in model.parameters.items()
        if value is not None and not (name in defaults and value == defaults[name] and name != "q_max")
    }


def _amounts(amounts: Sequence[Decimal]) -> list[str]:
    """Return amounts of money with their signs and equally many decimals, all digits kept."""
    places = money_places(*amounts)
    return [money_text(amount, "+,", places) for amount in amounts]


def shown_inventories(q_max: float, order_size: float) -> list[float]:
    """Return up to nine inventories from limit to limit, on the lattice of whole orders."""
    steps = int(q_max // order_size) if math.isfinite(q_max) else 10
    marks = sorted({round(steps * share) for share in (0.0, 0.1, 0.3, 0.6, 1.0)} | {min(1, steps)})
    return [-m * order_size for m in reversed(marks) if m] + [m * order_size for m in marks]


def depth_cell(depth: float | None) -> str:
    return "–" if depth is None or math.isnan(depth) else f"{depth:z.2f}"


def _signed(value: float) -> str:
    """Return a number with its sign and two decimals; zero has none."""
    if math.isnan(value):
        return "–"
    text = f"{value:+z.2f}"
    return "0.00" if text == "+0.00" else text


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(_value(item) for item in value)
    if isinstance(value, float):
        return f"{value:.10g}" if abs(value) >= 1e4 else f"{value:.4g}"
    return str(value)


def _trimmed(cell: str) -> str:
    """Leave out the zeros behind the last figure of a decimal fraction."""
    return cell.rstrip("0").rstrip(".") if "." in cell else cell


def _nonzero(cell: str) -> bool:
    return cell not in ("", "+0", "-0", "0")
