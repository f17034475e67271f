"""``mmcore size``: order quantities, portfolios and schedules from the command line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..files import unwritable
from ..parameters import Parameter
from .options import Command, Option, json_option, parameter_options

__all__ = ["command"]

EXAMPLES = """
mmcore size eoq --demand 1300 --order-cost 8 --holding-cost 0.225
mmcore size newsvendor --demand normal:120,10 --holding-cost 2 --stockout-cost 18
mmcore size mean-variance --target-risk 0.011
mmcore size execution --quantity 1e6 --horizon 5 --sigma 0.95 --temporary 2.5e-6 --risk-aversion 1e-7
"""

EOQ = (
    Parameter("demand", float, low=0.0, unit="units/time", doc="demand"),
    Parameter("order_cost", float, low=0.0, doc="cost of each order"),
    Parameter("holding_cost", float, low=0.0, unit="per unit and time", doc="cost of holding"),
    Parameter("backorder_cost", float, None, low=0.0, unit="per unit and time", doc="cost of being short"),
    Parameter("production_rate", float, None, low=0.0, unit="units/time", doc="when orders arrive gradually"),
)
NEWSVENDOR = (
    Parameter("demand", str, doc="distribution and its parameters, such as normal:120,10 or poisson:120"),
    Parameter("holding_cost", float, low=0.0, doc="for each unit left over"),
    Parameter("stockout_cost", float, low=0.0, doc="for each unit short"),
    Parameter("quantity", float, None, doc="a quantity to value in place of the best"),
)
MEAN_VARIANCE = (
    Parameter("risk_aversion", float, None, low=0.0, doc="λ; 1 when neither it nor a target is given"),
    Parameter("target_return", float, None, doc="least risk with an expected return of at least this"),
    Parameter("target_risk", float, None, low=0.0, doc="largest return with at most this standard deviation"),
    Parameter("lower", float, 0.0, doc="least weight of each asset; -inf for none"),
    Parameter("upper", float, 1.0, doc="largest weight of each asset; inf for none"),
)
EXECUTION = (
    Parameter("quantity", float, unit="units", doc="to sell; negative to buy"),
    Parameter("horizon", float, low=0.0, unit="time", doc="time to trade in"),
    Parameter("periods", int, None, low=1, doc="number of trades; continuous when omitted"),
    Parameter("sigma", float, low=0.0, unit="price/√time", doc="volatility"),
    Parameter("permanent", float, 0.0, unit="price/unit", doc="permanent impact"),
    Parameter("temporary", float, 0.0, unit="price/(unit/time)", doc="temporary impact"),
    Parameter("fixed", float, 0.0, unit="price", doc="half a spread and fees"),
    Parameter("risk_aversion", float, 0.0, low=0.0, unit="1/money", doc="λ; 0 is the risk-neutral limit"),
    Parameter("drift", float, 0.0, unit="price/time", doc="expected drift"),
)
DEMANDS = {"normal": 2, "lognormal": 2, "gamma": 2, "poisson": 1, "negative_binomial": 2}
"""Distributions of demand, and how many parameters each has."""


class _Group(Command, click.Group):
    """Commands of their own below one command, each with examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


@click.group("size", cls=_Group, examples=EXAMPLES, short_help="Size an order, a portfolio, an execution.")
def command() -> None:
    """Size an order, a portfolio, an execution.

    How much to hold, and how to get out: each command has options, examples and --json of its own.
    """


def _examples(name: str) -> str:
    return "\n".join(line for line in EXAMPLES.splitlines() if f" {name} " in line)


def _given(parameters: tuple[Parameter, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The options given; those that are needed and missing are named at once."""
    from .options import option_name

    missing = [p for p in parameters if p.required and given.get(p.name) is None]
    if missing:
        listed = "; ".join(f"{option_name(p.name)} ({p.doc})" for p in missing)
        raise click.UsageError(f"needed, but not given: {listed}", click.get_current_context())
    return {name: value for name, value in given.items() if value is not None}


def _answer(as_json: bool, title: str, remark: str, rows: dict[str, Any]) -> None:
    """Print key figures, or the same as JSON."""
    from .screen import heading, number, print_json, table

    if as_json:
        print_json({name: value for name, (value, _) in rows.items()})
        return
    heading(title, remark)
    table(
        ["", "", ""],
        [(name.replace("_", " "), number(float(value), 8), words) for name, (value, words) in rows.items()],
        left=(0, 2),
    )


@command.command(
    "eoq", cls=Command, examples=_examples("eoq"), short_help="Economic order quantity, √(2DS/H)."
)
@parameter_options(EOQ, "Costs")
@json_option
def eoq(as_json: bool, **given: Any) -> int:
    """Economic order quantity √(2DS/H), with planned backorders or a finite production rate if asked for."""
    from ..inventory_control import eoq as solve

    found = solve(**_given(EOQ, given))
    rows = {
        "quantity": (found.quantity, "units an order"),
        "cycle_time": (found.cycle_time, "between orders"),
        "cost": (found.cost, "per unit of time"),
    }
    _answer(as_json, "Order quantity", "", rows)
    return 0


@command.command(
    "newsvendor",
    cls=Command,
    examples=_examples("newsvendor"),
    short_help="Quantity for one period's demand.",
)
@parameter_options(NEWSVENDOR, "Demand and costs")
@json_option
def newsvendor(as_json: bool, **given: Any) -> int:
    """Best quantity for one period of random demand; a base stock, for demand over the lead time."""
    from ..inventory_control import Demand
    from ..inventory_control import newsvendor as solve

    arguments = _given(NEWSVENDOR, given)
    name, _, text = arguments.pop("demand").partition(":")
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if DEMANDS.get(name) != len(numbers):
        forms = ", ".join(f"{known}:{','.join('ab'[:count])}" for known, count in DEMANDS.items())
        raise InvalidArgument(argument="demand", value=given["demand"], allowed=f"one of {forms}")
    demand = getattr(Demand, name)(*numbers)
    found = solve(demand=demand, **arguments)
    rows = {
        "quantity": (found.quantity, "units"),
        "cost": (found.cost, "expected, for the period"),
        "service_level": (found.service_level, "chance that demand is met"),
        "fill_rate": (found.fill_rate, "share of demand that is met"),
    }
    _answer(as_json, "Newsvendor", repr(demand), rows)
    return 0


@command.command(
    "mean-variance",
    cls=Command,
    examples=_examples("mean-variance"),
    short_help="Portfolio, with a certificate.",
)
@click.argument("path", required=False, type=click.Path(exists=True, dir_okay=False))
@parameter_options(MEAN_VARIANCE, "Portfolio")
@click.option(
    "--plot", cls=Option, group="Output", metavar="FILE", help="draw the frontier (.png, .pdf, .svg)"
)
@json_option
def mean_variance(path: str | None, plot: str | None, as_json: bool, **given: Any) -> int:
    """Choose a portfolio by mean and variance, within bounds, fully invested.

    PATH is a CSV file of returns: a row for each period, a named column for each asset; columns that are not
    numbers, such as dates, are passed over. Without one a market of eight assets is made up.
    """
    from ..portfolio import efficient_frontier
    from ..portfolio import mean_variance as solve
    from .screen import heading, number, paragraph, print_json, table

    _writable("--plot", plot)
    names, returns = _returns(path) if path is not None else _made_up()
    covariance, mean = np.cov(returns, rowvar=False), returns.mean(axis=0)
    chosen = _given(MEAN_VARIANCE, given)
    bounds = {"lower": chosen.pop("lower", 0.0), "upper": chosen.pop("upper", 1.0)}
    if "risk_aversion" in chosen and len(chosen) > 1:
        raise click.UsageError("give a risk aversion or one target", click.get_current_context())
    found = solve(covariance, mean, **bounds, **chosen)
    frontier = efficient_frontier(covariance, mean, **bounds) if plot is not None else None
    if frontier is not None:
        _frontier_picture(str(plot), frontier, found, np.sqrt(np.diag(covariance)), mean, names)
    told = {
        "expected_return": found.expected_return,
        "risk": found.risk,
        "residual": found.residual,
        "budget_multiplier": found.budget_multiplier,
    }
    if as_json:
        weights = dict(zip(names, found.weights.tolist(), strict=True))
        print_json({**told, "weights": weights, "active": found.active.tolist(), "plot": plot})
        return 0
    heading("Portfolio", f"{len(names)} assets, {len(returns):,} periods")
    words = {-1: "at its lower bound", 0: "", 1: "at its upper bound"}
    order = np.argsort(-found.weights, kind="stable")
    rows = [
        (names[i], f"{found.weights[i]:.4f}", f"{mean[i]:.3g}", words[int(found.active[i])]) for i in order
    ]
    table(["asset", "weight", "mean return", ""], rows, left=(0, 3))
    paragraph(f"Expected return {number(found.expected_return)} and risk {number(found.risk)} a period.")
    paragraph(f"The conditions of optimality hold to {found.residual:.1e}.", style="quiet")
    if plot is not None:
        paragraph(str(plot))
    return 0


@command.command(
    "execution", cls=Command, examples=_examples("execution"), short_help="Schedule of Almgren and Chriss."
)
@parameter_options(EXECUTION, "Execution")
@click.option(
    "--plot", cls=Option, group="Output", metavar="FILE", help="draw the schedule (.png, .pdf, .svg)"
)
@json_option
def execution(plot: str | None, as_json: bool, **given: Any) -> int:
    """Trade a quantity in time: the schedule of Almgren and Chriss, its expected cost and its risk."""
    from ..execution import AlmgrenChriss
    from .screen import heading, number, paragraph, print_json, table

    _writable("--plot", plot)
    arguments = _given(EXECUTION, given)
    found = AlmgrenChriss(**{"periods": None, **arguments})
    if plot is not None:
        _schedule_picture(plot, found)
    told = {
        "expected_cost": found.expected_cost,
        "std": found.std,
        "kappa": found.kappa,
        "half_life": found.half_life,
    }
    if as_json:
        print_json({**told, "times": found.times, "holdings": found.holdings, "plot": plot})
        return 0
    heading("Schedule", f"{arguments['quantity']:,.15g} units in {arguments['horizon']:g}")
    rows = np.unique(np.linspace(0, len(found.times) - 1, 11).astype(int))
    cells = [(f"{found.times[i]:g}", f"{found.holdings[i]:,.1f}") for i in rows]
    table(["time", "held"], cells, left=())
    paragraph(
        f"Expected cost {number(found.expected_cost, 8)}, standard deviation {number(found.std, 8)}; what is "
        f"held falls by e in {number(found.half_life)}."
    )
    if plot is not None:
        paragraph(plot)
    return 0


def _writable(option: str, path: str | None) -> None:
    if path is not None and (allowed := unwritable(Path(path))):
        raise click.UsageError(f"{option} must be {allowed}, got '{path}'", click.get_current_context())


def _returns(path: str) -> tuple[list[str], NDArray[np.float64]]:
    """Columns of numbers, by name."""
    with open(path, newline="", encoding="utf-8") as file:
        head, *rows = [row for row in csv.reader(file) if row]
    columns: dict[str, list[float]] = {}
    for i, name in enumerate(head):
        try:
            columns[name] = [float(row[i]) for row in rows]
        except (ValueError, IndexError):
            continue
    if len(columns) < 2 or len(rows) < 3:
        raise InvalidArgument(
            argument="path",
            value=path,
            allowed="a CSV file with two columns of returns and three rows at least",
        )
    found = np.array(list(columns.values())).T
    if not np.isfinite(found).all():
        raise InvalidArgument(argument="path", value=path, allowed="a CSV file of finite returns")
    return list(columns), found


def _made_up() -> tuple[list[str], NDArray[np.float64]]:
    """Daily returns of eight assets that share one factor, the same each time."""
    random = np.random.default_rng(0)
    market = 0.0004 + 0.01 * random.standard_normal((1000, 1))
    load = np.linspace(0.5, 1.6, 8)
    own = (0.006 + 0.001 * np.arange(8)) * random.standard_normal((1000, 8))
    return [f"asset {i + 1}" for i in range(8)], market * load + own


def _figure() -> Any:
    from ..errors import MissingExtra

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("pictures", "plot") from None
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    ax = figure.subplots()
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _frontier_picture(path: str, frontier: Any, found: Any, risks: Any, mean: Any, names: list[str]) -> None:
    figure, ax = _figure()
    targets = np.linspace(frontier.returns[0], frontier.returns[-1], 200)
    points = [frontier.at(target_return=float(target)) for target in targets]
    ax.plot([p.risk for p in points], [p.expected_return for p in points], label="efficient frontier")
    ax.plot(frontier.risks, frontier.returns, "o", markersize=4, color="C0", label="turning points")
    ax.plot(risks, mean, "s", markersize=4, color="0.5", label="assets")
    for name, x, y in zip(names, risks, mean, strict=True):
        ax.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points", fontsize="small", color="0.4")
    ax.plot(found.risk, found.expected_return, "*", markersize=13, color="C1", label="chosen")
    ax.set_xlabel("standard deviation a period")
    ax.set_ylabel("expected return a period")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _schedule_picture(path: str, found: Any) -> None:
    figure, ax = _figure()
    ax.plot(found.times, found.holdings, marker="o" if len(found.times) < 60 else "", label="optimal")
    ends = found.times[[0, -1]]
    ax.plot(ends, found.holdings[[0, -1]], "--", color="0.6", label="at a constant rate")
    ax.set_xlabel("time")
    ax.set_ylabel("units held")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=110)
