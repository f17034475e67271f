"""``mmcore quote``: one quote of a model, with every step explained."""

from __future__ import annotations

import math
from typing import Any

import click

from ..configuration import MODEL, model_class
from ..parameters import Parameter
from .options import Command, json_option, model_options, option_name, parameter_options

__all__ = ["command"]

EXAMPLES = """
mmcore quote --sigma 1 --A 1 --k 0.5 --gamma 0.01 --inventory 3 --reference 10000.5
mmcore quote --sigma 1 --A 1,0.8 --k 0.5 --gamma 0.01 --inventory -9 --reference 99.5 --bid 99 --ask 100
mmcore quote --model as --sigma 2 --k 1.5 --gamma 0.1 --horizon 1 --time-left 0.5 --reference 100 --json
"""

MARKET = (
    Parameter("reference", float, unit="ticks", doc="mid, or your fair value"),
    Parameter("inventory", float, default=0.0, unit="lots", doc="position, long > 0"),
    Parameter("bid", int, default=None, unit="ticks", doc="best bid of the market; absent when omitted"),
    Parameter("ask", int, default=None, unit="ticks", doc="best ask of the market; absent when omitted"),
    Parameter("shift", float, default=0.0, unit="ticks", doc="added to both quotes: a signal"),
    Parameter("target", float, default=0.0, unit="lots", doc="inventory that is wanted"),
    Parameter(
        "time_left", float, default=None, low=0.0, unit="s", doc="time to the horizon; infinite when omitted"
    ),
    Parameter(
        "max_position", float, default=None, low=0.0, unit="lots", doc="limit; the model's when omitted"
    ),
)


@click.command("quote", cls=Command, examples=EXAMPLES, short_help="Quote once, and explain every step.")
@parameter_options(MARKET, "Market")
@model_options(run=False)
@json_option
def command(model: str | None, as_json: bool, max_position: float | None, **given: Any) -> int:
    """Quote once, and explain every step.

    The model is solved, its policy is read at the inventory, and the market's rules are applied. All
    prices are in ticks. The exit code is 1 when no side can be quoted.
    """
    from ..quoting import Limits, Quoter
    from .screen import kept_warnings, print_json

    name = model or MODEL.default
    cls = model_class(name)
    market = {p.name: given.pop(p.name) for p in MARKET if p.name in given}
    arguments = {key: value for key, value in given.items() if value is not None}
    own = {p.name: p for p in cls.PARAMETERS}
    context = click.get_current_context()
    if foreign := [option_name(key) for key in arguments if key not in own]:
        raise click.UsageError(f"{', '.join(foreign)}: no parameter of --model {name}", context)
    missing = [p for p in own.values() if p.required and p.name not in arguments]
    if market["reference"] is None:
        missing.append(MARKET[0])
    if missing:
        listed = "; ".join(
            f"{option_name(p.name)} ({p.doc}{', ' + p.unit if p.unit else ''})" for p in missing
        )
        raise click.UsageError(f"needed, but not given: {listed}", context)
    with kept_warnings() as notes:
        solved = cls(**arguments)
        quoter = Quoter(solved, limits=Limits(max_position=max_position))
    asked = {key: value for key, value in market.items() if value is not None}
    asked.setdefault("inventory", 0.0)
    horizon = quoter.policy.horizon
    if asked.get("time_left", 0.0) > horizon:
        raise click.UsageError(
            f"--time-left must be at most the horizon, {horizon:g} s, got {asked['time_left']:g}", context
        )
    time_left = asked.get("time_left", math.inf if quoter.policy.stationary else quoter.policy.horizon)
    explanation = quoter.explain(**{**asked, "time_left": time_left})
    quote = explanation.quote
    if as_json:
        print_json(
            {
                "model": type(solved).__name__,
                "parameters": solved.parameters,
                "market": {**asked, "time_left": time_left},
                "quote": {
                    "bid": quote.bid,
                    "ask": quote.ask,
                    "bid_size": quote.bid_size,
                    "ask_size": quote.ask_size,
                    "why": list(explanation.reasons),
                },
                "explanation": {"bid": explanation.bid, "ask": explanation.ask},
                "notes": notes,
            }
        )
    else:
        from .tables import show_explanation, show_policy

        show_policy(solved, quoter, name, notes)
        show_explanation(explanation, asked)
    return 0 if quote.bid_size or quote.ask_size else 1
