"""``mmcore size``: order quantities, bands, portfolios and schedules from the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, Unsupported
from ..files import unwritable
from ..parameters import REQUIRED, Parameter
from .options import Command, Group, Option, json_option, option_name, parameter_options, percent

__all__ = ["command"]

EXAMPLES = """
mmcore size eoq --demand 1300 --order-cost 8 --holding-cost 0.225
mmcore size rebalance-band --turnover 0.05 --cost 3 --sigma 2 --risk-aversion 1e-4
mmcore size newsvendor --demand normal:120,10 --holding-cost 2 --stockout-cost 18
mmcore size order-up-to --demand poisson:20 --holding-cost 1 --stockout-cost 9 --order-cost 64
mmcore size mean-variance --target-risk 0.011
mmcore size mean-variance --risk-aversion 5 --cap 'asset 1:0.1' --group 'asset 7,asset 8:0.2:0.4'
mmcore size execution --quantity 1e6 --horizon 5 --sigma 0.95 --temporary 2.5e-6 --risk-aversion 1e-7
mmcore size execution --quantity 9 --horizon 4 --periods 4 --most 3 --sigma 1 --temporary 1 --drift 2
"""


def _positive(name: str, default: Any = REQUIRED, unit: str = "", doc: str = "") -> Parameter:
    return Parameter(name, float, default, low=0.0, open_low=True, unit=unit, doc=doc)


DEMAND = Parameter("demand", str, doc="distribution: normal:mean,std, poisson:mean, …; see below")
LEAD_TIME = Parameter("lead_time", int, 0, low=0, unit="periods", doc="from order to delivery")
EOQ = (
    _positive("demand", unit="units/time", doc="demand"),
    _positive("order_cost", doc="cost of each order"),
    _positive("holding_cost", unit="per unit and time", doc="cost of holding"),
    _positive("backorder_cost", None, unit="per unit and time", doc="cost of being short"),
    _positive("production_rate", None, unit="units/time", doc="when orders arrive gradually"),
)
BAND = (
    _positive("turnover", unit="lots/s", doc="by how much the position drifts"),
    _positive("cost", unit="tick·lots", doc="of a re-balance, whatever its size"),
    Parameter("sigma", float, 0.0, low=0.0, unit="ticks/√s", doc="volatility"),
    Parameter("risk_aversion", float, 0.0, low=0.0, unit="1/(tick·lot)", doc="γ"),
    Parameter("capital_charge", float, 0.0, low=0.0, unit="ticks/(lot·s)", doc="for capital that is tied up"),
    Parameter(
        "impact", float, 0.0, low=0.0, unit="ticks/lot", doc="of each lot of a re-balance on all of it"
    ),
)
NEWSVENDOR = (
    DEMAND,
    _positive("holding_cost", doc="for each unit left over"),
    _positive("stockout_cost", doc="for each unit short"),
    LEAD_TIME,
    Parameter("quantity", float, None, low=0.0, doc="a quantity to value in place of the best"),
)
ORDER_UP_TO = (
    DEMAND,
    _positive("holding_cost", doc="for each unit left at the end of a period"),
    _positive("stockout_cost", doc="for each unit owed at the end of a period"),
    Parameter("order_cost", float, low=0.0, doc="for each order"),
    LEAD_TIME,
)
MEAN_VARIANCE = (
    _positive("risk_aversion", None, doc="λ; 1 when neither it nor a target is given"),
    Parameter("target_return", float, None, doc="least risk with an expected return of at least this"),
    _positive("target_risk", None, doc="largest return with at most this standard deviation"),
    Parameter("lower", float, 0.0, finite=False, doc="least weight of each asset; -inf for none"),
    Parameter("upper", float, 1.0, finite=False, doc="largest weight of each asset; inf for none"),
)
PARTS = f"{__name__}.parts"
"""Where a command keeps how parts of its arguments, such as ``upper[2]``, were typed."""

LONG = "where no weight is below 0, none is above 1"
LIMITS: dict[str, Any] = {"cls": Option, "group": "Portfolio", "multiple": True}
EXECUTION = (
    Parameter("quantity", float, low=-1e60, high=1e60, unit="units", doc="to sell; negative to buy"),
    _positive("horizon", unit="time", doc="time to trade in"),
    Parameter("periods", int, None, low=1, doc="number of trades; continuous when omitted"),
    Parameter("sigma", float, low=0.0, unit="price/√time", doc="volatility"),
    _positive("temporary", unit="price/(unit/time)", doc="temporary impact"),
    Parameter("permanent", float, 0.0, unit="price/unit", doc="permanent impact"),
    Parameter("fixed", float, 0.0, unit="price", doc="half a spread and fees"),
    Parameter("risk_aversion", float, 0.0, low=0.0, unit="1/money", doc="λ; 0 is the risk-neutral limit"),
    Parameter("drift", float, 0.0, unit="price/time", doc="expected drift"),
    _positive("most", None, unit="units", doc="largest trade of a period, such as a share of its volume"),
)
SHOWN = 60
"""Periods of a schedule that are all printed."""

DEMANDS = {
    "normal": ("mean", "std"),
    "lognormal": ("mean", "std"),
    "gamma": ("mean", "std"),
    "poisson": ("mean",),
    "negative_binomial": ("mean", "std"),
}
"""Distributions of demand, and their parameters."""

FORMS = ", ".join(f"{name}:{','.join(parts)}" for name, parts in DEMANDS.items())
PLOT: dict[str, Any] = {"cls": Option, "group": "Output", "metavar": "FILE"}


@click.group(
    "size",
    cls=Group,
    examples=EXAMPLES,
    short_help="Size an order, a portfolio, an execution.",
)
def command() -> None:
    """Size an order, a portfolio, an execution.

    How much to hold, when to re-balance, and how to get out: each command has options, examples and --json of
    its own.
    """


class _Sizing(Command):
    """A command whose options are the arguments of a function: what that refuses is told of the options."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run; an argument that is refused is called as it was typed."""
        try:
            return super().invoke(ctx)
        except (InvalidArgument, Unsupported) as error:
            raise click.UsageError(self._as_typed(error, ctx), ctx) from error

    def _as_typed(self, error: InvalidArgument | Unsupported, ctx: click.Context) -> str:
        """Return what an error says with its argument as it was typed; no word of its value is touched."""
        options = {p.name: p.opts[0] for p in self.params if isinstance(p, click.Option)}
        typed = {**options, **ctx.meta.get(PARTS, {})}
        told, name = str(error), error.argument or ""
        if name not in typed and f"{name}[{error.index}]" not in typed:
            return told  # of a file, perhaps
        if isinstance(text := ctx.params.get(name), str) and error.allowed is not None:
            return f"{options[name]} must be {error.allowed}, got '{text}'"
        # at the beginning it is the argument; parts of arguments are listed anywhere
        names = "|".join([rf"^{re.escape(name)}\b(?!\[)", *map(re.escape, ctx.meta.get(PARTS, {}))])
        return re.sub(names, lambda found: typed[found[0]], told)


class _Demands(_Sizing):
    """A command whose help ends with the distributions of demand."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Demand"):
            formatter.write_text(FORMS)
        super().format_epilog(ctx, formatter)


def _given(parameters: tuple[Parameter, ...], given: dict[str, Any]) -> dict[str, Any]:
    """The options given; those that are needed and missing are named at once."""
    missing = [p for p in parameters if p.required and given.get(p.name) is None]
    if missing:
        listed = "; ".join(f"{option_name(p.name)} ({p.doc})" for p in missing)
        raise click.UsageError(f"needed, but not given: {listed}", click.get_current_context())
    return {name: value for name, value in given.items() if value is not None}


def _answer(
    as_json: bool,
    title: str,
    remark: str,
    rows: dict[str, tuple[Any, str]],
    plot: str | None,
    notes: Sequence[str] = (),
) -> None:
    """Print key figures, or the same as JSON."""
    from .screen import heading, note, number, paragraph, print_json, table

    if as_json:
        print_json({**{name: value for name, (value, _) in rows.items()}, "plot": plot, "notes": notes})
        return
    heading(title, remark)
    cells = [
        (name.replace("_", " "), f"{value:,.0f}" if value == int(value) else number(float(value), 8), words)
        for name, (value, words) in rows.items()
    ]
    table(["", "", ""], cells, left=(0, 2))
    for words in notes:
        note(words)
    if plot is not None:
        paragraph(plot)


@command.command("eoq", cls=_Sizing, short_help="Economic order quantity, √(2DS/H).")
@parameter_options(EOQ, "Costs")
@click.option("--plot", help="draw the cost of each quantity (.png, .pdf, .svg)", **PLOT)
@json_option
def eoq(plot: str | None, as_json: bool, **given: Any) -> int:
    """Economic order quantity √(2DS/H), with planned backorders or a finite production rate if asked for."""
    from ..inventory_control import eoq as solve

    _writable("--plot", plot)
    chosen = _given(EOQ, given)
    found = solve(**chosen)
    rows = {
        "quantity": (found.quantity, "units an order"),
        "cycle_time": (found.cycle_time, "between orders"),
        "cost": (found.cost, "per unit of time"),
        "lots": (found.lots, "the best whole number"),
        "lots_cost": (_lots_cost(found), "per unit of time, of the whole number"),
    }
    if "backorder_cost" in chosen:
        rows["backorders"] = (found.backorders, "units short before an order comes")
    if plot is not None:
        rate = chosen["demand"] * chosen["order_cost"]
        words = "ordering", "holding and backorders" if "backorder_cost" in chosen else "holding"
        best = f"best: {found.quantity:.5g} units, at {found.cost:.4g}"
        _order_picture(plot, found, rate, words, best, x="units per order", y="cost per unit of time")
    _answer(as_json, "Order quantity", "", rows, plot)
    return 0


def _lots_cost(found: Any) -> float:
    """Cost of the whole number: ordering falls with it, holding rises, each half of it at the quantity."""
    off = found.lots / found.quantity
    return float(found.cost * 0.5 * (off + 1.0 / off))


@command.command(
    "rebalance-band",
    cls=_Sizing,
    short_help="How far a position may drift before it is hedged.",
)
@parameter_options(BAND, "Position and costs")
@click.option("--plot", help="draw the cost of each band (.png, .pdf, .svg)", **PLOT)
@json_option
def rebalance_band(plot: str | None, as_json: bool, **given: Any) -> int:
    """How far a position may drift from its target before it is re-hedged, or re-balanced.

    A lot of deviation costs its capital charge and γσ²/2 a second. What a re-hedge costs for each lot, such
    as the half-spread, is paid whatever the band.
    """
    from ..inventory_control import rebalance_band as solve

    _writable("--plot", plot)
    chosen = _given(BAND, given)
    costs = chosen.get("capital_charge") or chosen.get("impact")
    if not costs and not (chosen.get("sigma") and chosen.get("risk_aversion")):
        raise click.UsageError(
            "a deviation has to cost something: give --capital-charge or --impact, or --sigma and "
            "--risk-aversion",
            click.get_current_context(),
        )
    found = solve(**chosen)
    rows = {
        "band": (found.quantity, "lots from the target"),
        "cycle_time": (found.cycle_time, "seconds between re-hedges"),
        "cost": (found.cost, "tick·lots a second"),
        "lots": (found.lots, "the best whole number"),
        "lots_cost": (_lots_cost(found), "tick·lots a second, of the whole number"),
    }
    if plot is not None:
        words = "re-hedging", "deviation and impact" if chosen.get("impact") else "deviation"
        rate = chosen["turnover"] * chosen["cost"]
        best = f"best: {found.quantity:.4g} lots, at {found.cost:.4g}"
        _order_picture(plot, found, rate, words, best, x="band, lots", y="cost, tick·lots a second")
    _answer(as_json, "Band", "", rows, plot)
    return 0


@command.command(
    "newsvendor",
    cls=_Demands,
    short_help="Quantity for one period's demand; base stock.",
)
@parameter_options(NEWSVENDOR, "Demand and costs")
@click.option("--plot", help="draw the cost of each quantity (.png, .pdf, .svg)", **PLOT)
@json_option
def newsvendor(plot: str | None, as_json: bool, **given: Any) -> int:
    """Best quantity for one period of random demand; with a lead time, the best base stock."""
    from ..inventory_control import base_stock_service
    from ..inventory_control import newsvendor as solve
    from .screen import kept_warnings

    _writable("--plot", plot)
    chosen = _given(NEWSVENDOR, given)
    each, lead_time = _demand(chosen.pop("demand")), chosen.pop("lead_time", 0)
    with kept_warnings() as notes:
        demand = each.over(1 + lead_time)
        found = solve(demand=demand, **chosen)
        fill_rate = found.fill_rate
        if lead_time:  # what was short before the period is not short of its demand
            fill_rate = base_stock_service(found.quantity, each, lead_time=lead_time).fill_rate
    rows = {
        "quantity": (found.quantity, "units"),
        "cost": (found.cost, "expected, for the period"),
        "service_level": (found.service_level, "chance that demand is met"),
        "fill_rate": (fill_rate, "share of demand that is met"),
    }
    if plot is not None:
        _newsvendor_picture(plot, found, demand, chosen["holding_cost"], chosen["stockout_cost"])
    remark = _law(each) + (f", over {1 + lead_time} periods" if lead_time else "")
    _answer(as_json, "Newsvendor", remark, rows, plot, notes)
    return 0


@command.command(
    "order-up-to",
    cls=_Demands,
    short_help="(s, S): when to order, and up to what.",
)
@parameter_options(ORDER_UP_TO, "Demand and costs")
@click.option("--plot", help="draw the stock of fifty periods (.png, .pdf, .svg)", **PLOT)
@json_option
def order_up_to(plot: str | None, as_json: bool, **given: Any) -> int:
    """Best (s, S): at a stock of s or less, what is on order included, order up to S.

    The least cost per period in the long run, exactly; what is short is owed.
    """
    from ..inventory_control import optimal_s_S
    from .screen import kept_warnings

    _writable("--plot", plot)
    chosen = _given(ORDER_UP_TO, given)
    demand = _demand(chosen["demand"])
    with kept_warnings() as notes:
        found = optimal_s_S(**{**chosen, "demand": demand})
    rows = {
        "s": (found.s, "units or less: order"),
        "S": (found.S, "units to order up to"),
        "cost": (found.cost, "expected, per period"),
    }
    if plot is not None:
        _stock_picture(plot, found.s, found.S, demand, chosen.get("lead_time", 0))
    _answer(as_json, "Order up to", _law(demand), rows, plot, notes)
    return 0


def _demand(text: str) -> Any:
    """Read a distribution such as ``normal:120,10``."""
    from ..inventory_control import Demand

    name, _, rest = text.partition(":")
    try:
        numbers = [float(part) for part in rest.split(",")]
    except ValueError:
        numbers = []
    ctx = click.get_current_context()
    if len(DEMANDS.get(name, ())) != len(numbers) or not numbers:
        raise click.UsageError(f"--demand must be one of {FORMS}, got '{text}'", ctx)
    try:
        return getattr(Demand, name)(*numbers)
    except InvalidArgument as error:
        raise click.UsageError(f"--demand {text}: {error}", ctx) from None


def _law(demand: Any) -> str:
    return f"{demand.name} demand, mean {demand.mean:g}, standard deviation {demand.std:.4g}"


@command.command(
    "mean-variance",
    cls=_Sizing,
    short_help="Portfolio, with a certificate.",
)
@click.argument("path", required=False, type=click.Path(exists=True, dir_okay=False))
@parameter_options(MEAN_VARIANCE, "Portfolio")
@click.option(
    "--prices/--returns",
    "prices",
    cls=Option,
    group="Portfolio",
    default=None,
    help="what PATH holds; returns of a period are made of its prices and those before",
)
@click.option(
    "--index",
    cls=Option,
    group="Portfolio",
    metavar="COLUMN",
    help="the column of PATH that names the periods, where the first one does not tell",
)
@click.option(
    "--no-index", is_flag=True, cls=Option, group="Portfolio", help="every column of PATH is an asset"
)
@click.option(
    "--cap",
    "caps",
    metavar="ASSET:MOST",
    help="largest weight of one asset; --upper, where given, holds too; may be given again",
    **LIMITS,
)
@click.option(
    "--group",
    "groups",
    metavar="ASSETS:LEAST:MOST",
    help="limits of the sum of some assets, listed with commas; either may be left empty; may be given again",
    **LIMITS,
)
@click.option(
    "--plot", cls=Option, group="Output", metavar="FILE", help="draw the frontier (.png, .pdf, .svg)"
)
@json_option
def mean_variance(
    path: str | None,
    prices: bool | None,
    index: str | None,
    no_index: bool,
    caps: tuple[str, ...],
    groups: tuple[str, ...],
    plot: str | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Choose a portfolio by mean and variance, within bounds, fully invested.

    PATH is a CSV file of returns, 0.01 for 1 %, or of prices: a line of names, then a row for each period
    with a number for each asset. A first column of dates, or of whole numbers that only rise or only fall, is
    an index and no asset, unless --index or --no-index says otherwise. A gap is refused, and so are prices
    that are not oldest first. Numbers that are all above 0 may be either: say which by --returns or --prices.
    Without a file a market of eight assets is simulated.
    """
    from ..portfolio import mean_variance as solve
    from .returns import read_returns
    from .screen import heading, note, number, paragraph, print_json, table

    _writable("--plot", plot)
    ctx = click.get_current_context()
    if path is None and prices is not None:
        raise click.UsageError("--prices and --returns say what PATH holds: give a PATH", ctx)
    if path is None and (index is not None or no_index):
        raise click.UsageError("--index and --no-index say what PATH holds: give a PATH", ctx)
    if index is not None and no_index:
        raise click.UsageError("give --index or --no-index, not both", ctx)
    names, returns, notes = (
        read_returns(path, prices, False if no_index else index) if path is not None else _made_up()
    )
    covariance, mean = np.cov(returns, rowvar=False), returns.mean(axis=0)
    chosen = _given(MEAN_VARIANCE, given)
    upper = chosen.pop("upper", None)
    limits: dict[str, Any] = {
        "lower": np.full(len(names), chosen.pop("lower", 0.0)),
        "upper": np.full(len(names), 1.0 if upper is None else upper),
    }
    if upper is not None and 1.0 < upper < math.inf and (limits["lower"] >= 0.0).all():
        notes.append(f"--upper {upper:g} does not bind: {LONG}")
    if "risk_aversion" in chosen and len(chosen) > 1:
        raise click.UsageError("give a risk aversion or one target", ctx)
    parts = {f"{side}[{i}]": f"--{side} ({name})" for side in limits for i, name in enumerate(names)}
    for text, ((asset,), most) in _limits("--cap", "ASSET:MOST", caps, names).items():
        if upper is not None and most > upper:
            notes.append(f"--cap {text} does not bind: --upper is {upper:g}")
            continue
        if 1.0 < most < math.inf and (limits["lower"] >= 0.0).all():
            notes.append(f"--cap {text} does not bind: {LONG}")
        limits["upper"][asset] = most
        parts[f"upper[{asset}]"] = f"--cap {text}"
    sums = _limits("--group", "ASSETS:LEAST:MOST", groups, names)
    if sums:
        limits["groups"] = sums
        parts.update({f"groups[{text!r}]": f"--group {text}" for text in sums})
    for i in np.flatnonzero(limits["lower"] > limits["upper"])[:1]:
        least, most = limits["lower"][i], limits["upper"][i]
        option = parts[f"upper[{i}]"].removesuffix(f" ({names[i]})")
        raise click.UsageError(f"{option}: {most:g} is below --lower, {least:g}", ctx)
    ctx.meta[PARTS] = {"budget": "a sum of 1", **parts}
    with np.errstate(over="ignore"):
        least, most = limits["lower"].sum(), limits["upper"].sum()
    if least <= most and not least <= 1.0 <= most:
        raise click.UsageError(
            "--lower, --upper and --cap must let the weights sum to 1: those of "
            f"{len(names)} assets sum to {least:g} to {most:g}",
            ctx,
        )
    found = solve(covariance, mean, **limits, **chosen)
    if chosen.get("target_risk", 0.0) > found.risk * (1.0 + 1e-6):
        reached = f"the portfolio of the largest return has {found.risk:.4g}"
        notes.append(f"--target-risk {chosen['target_risk']:g} does not bind: {reached}")
    if found.expected_return - chosen.get("target_return", math.inf) > 1e-6 * abs(found.expected_return):
        reached = f"the portfolio of the least risk has {found.expected_return:.4g}"
        notes.append(f"--target-return {chosen['target_return']:g} does not bind: {reached}")
    if plot is not None:
        _frontier_picture(plot, _frontier(covariance, mean, limits), found, names)
    told = {
        "expected_return": found.expected_return,
        "risk": found.risk,
        "residual": found.residual,
        "budget_multiplier": found.budget_multiplier,
    }
    if as_json:
        weights = dict(zip(names, found.weights.tolist(), strict=True))
        bound = found.constraint_multipliers
        binding = {text: bound[f"groups[{text!r}]"] for text in sums if f"groups[{text!r}]" in bound}
        groups_told = {"groups": binding} if sums else {}
        print_json(
            {
                **told,
                "weights": weights,
                "active": found.active.tolist(),
                **groups_told,
                "plot": plot,
                "notes": notes,
            }
        )
        return 0
    of = f"a simulated market of {len(names)} assets" if path is None else f"{len(names)} assets"
    made = ", made of prices" if prices else ""
    heading("Portfolio", f"{of}, returns of {len(returns):,} periods{made}")
    words = {-1: "at its lower bound", 0: "", 1: "at its upper bound"}
    order = np.argsort(-found.weights, kind="stable")
    rows = [
        (names[i], f"{found.weights[i]:.4f}", f"{mean[i]:.3g}", words[int(found.active[i])]) for i in order
    ]
    table(["asset", "weight", "mean return", ""], rows, left=(0, 3))
    for each in notes:
        note(each)
    for text, (members, _, _) in sums.items():
        binds = f"groups[{text!r}]" in found.constraint_multipliers
        paragraph(
            f"{', '.join(names[i] for i in members)}: {found.weights[members].sum():.4f} together"
            + (", a limit that binds." if binds else ".")
        )
    if not chosen:
        paragraph(
            "Without --risk-aversion, --target-return or --target-risk λ is 1, which minds the risk of a "
            "short period little; --plot draws what else is efficient."
        )
    paragraph(f"Expected return {number(found.expected_return)} and risk {number(found.risk)} a period.")
    paragraph(f"The conditions of optimality hold to {found.residual:.1e}.", style="quiet")
    if plot is not None:
        paragraph(str(plot))
    return 0


@command.command("execution", cls=_Sizing, short_help="Schedule of Almgren and Chriss.")
@parameter_options(EXECUTION, "Execution")
@click.option(
    "--plot", cls=Option, group="Output", metavar="FILE", help="draw the schedule (.png, .pdf, .svg)"
)
@json_option
def execution(plot: str | None, as_json: bool, **given: Any) -> int:
    """Trade a quantity in time: the schedule of Almgren and Chriss, its expected cost and its risk.

    The half_life of --json is the one of their paper: 1/κ, in which what is held falls by e, not by half.
    """
    from ..execution import AlmgrenChriss
    from .screen import heading, kept_warnings, note, number, paragraph, print_json, table

    _writable("--plot", plot)
    arguments = _given(EXECUTION, given)
    if "most" in arguments and "periods" not in arguments:
        raise click.UsageError("--most is of a period's trade: give --periods", click.get_current_context())
    with np.errstate(over="ignore"), kept_warnings() as notes:
        found = AlmgrenChriss(**{"periods": None, **arguments})
        if not math.isfinite(found.expected_cost):
            raise click.UsageError(
                "the expected cost is beyond the range of numbers: --quantity, --horizon and --temporary "
                "differ too much in size",
                click.get_current_context(),
            )
    if plot is not None:
        _schedule_picture(plot, found)
    told = {
        "expected_cost": found.expected_cost,
        "std": found.std,
        "kappa": found.kappa,
        "half_life": found.half_life,
    }
    if as_json:
        schedule = {"times": found.times, "holdings": found.holdings, "trades": found.trades}
        print_json({**told, **schedule, "plot": plot, "notes": notes})
        return 0
    quantity = arguments["quantity"]
    unit = "unit" if abs(quantity) == 1.0 else "units"
    heading("Schedule", f"{quantity:,.15g} {unit} in {arguments['horizon']:g}")
    count = len(found.times)
    rows = np.arange(count)
    if "periods" not in arguments or arguments["periods"] > SHOWN:
        rows = np.unique(np.linspace(0, count - 1, 11).astype(int))
    held = found.holdings[rows]
    traded = np.diff(held) if quantity < 0.0 else -np.diff(held)
    units = _units(quantity, held)
    cells = [
        (f"{time:g}", units(amount), trade)
        for time, amount, trade in zip(found.times[rows], held, ["", *map(units, traded)], strict=True)
    ]
    table(["time", "held", "bought" if quantity < 0.0 else "sold"], cells, left=())
    for words in notes:
        note(words)
    if len(rows) < count:
        paragraph(f"{len(rows)} of {count:,} rows; --json has all.", style="quiet")
    told_cost = f"Expected cost {number(found.expected_cost, 8)}, standard deviation {number(found.std, 8)}"
    if not math.isfinite(found.half_life):
        averse = arguments.get("risk_aversion")
        told_cost += "; no risk hurries it" if averse else "; no aversion to risk hurries it"
    elif not arguments.get("drift") and "most" not in arguments:
        told_cost += f"; what is held falls by e in {number(found.half_life)}"
    paragraph(f"{told_cost}.")
    if plot is not None:
        paragraph(plot)
    return 0


def _units(quantity: float, held: NDArray[np.float64]) -> Callable[[float], str]:
    """Return how amounts are written below each other: the quantity whole, the largest with six digits."""
    largest = float(np.abs(held).max())
    if not 1e-6 <= largest < 1e15:
        return lambda amount: f"{amount:.6g}"
    own = Decimal(f"{quantity:.15g}").normalize().as_tuple().exponent
    decimals = max(0, 5 - math.floor(math.log10(largest)), -int(own))
    return lambda amount: f"{amount + 0.0:,.{decimals}f}"


def _writable(option: str, path: str | None) -> None:
    """Refuse a picture that could not be written, before anything is computed."""
    if path is None:
        return
    allowed = unwritable(Path(path))
    if allowed is None and Path(path).suffix.lower() not in (".png", ".pdf", ".svg"):
        allowed = "a name that ends in .png, .pdf or .svg"
    if allowed is not None:
        raise click.UsageError(f"{option} must be {allowed}, got '{path}'", click.get_current_context())


def _limits(option: str, form: str, texts: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    """Read limits such as ``A,B:0.1:0.4``: by their texts the assets' places and the sides; empty: None."""
    ctx = click.get_current_context()
    sides = form.count(":")
    found: dict[str, Any] = {}
    for text in texts:
        listed, *ends = text.rsplit(":", sides)
        try:
            values = [float(end) if end.strip() or sides == 1 else None for end in ends]
        except ValueError:
            values = []
        if len(values) != sides or any(map(math.isnan, filter(None, values))):
            told = next(filter(None, map(percent, ends)), "")
            raise click.UsageError(f"{option} must be {form}, got '{text}'{told}", ctx)
        assets = _listed(listed, names) if sides > 1 else [listed.strip()]
        if strange := [name for name in assets if name not in names]:
            raise click.UsageError(
                f"{option} {text}: no asset '{strange[0]}'; there are {'; '.join(names)}", ctx
            )
        places = [names.index(name) for name in assets]
        if len(set(places)) < len(places) or any(set(places) == set(other) for other, *_ in found.values()):
            raise click.UsageError(f"{option} {text}: the same twice", ctx)
        ends_given = [value for value in values if value is not None]
        if ends_given != sorted(ends_given):
            raise click.UsageError(f"{option} {text}: the least is above the most", ctx)
        found[text] = (places, *values)
    return found


def _listed(text: str, names: list[str]) -> list[str]:
    """Names separated by commas, of which a name may hold some itself: the longest that there are."""
    parts = text.split(",")
    found = []
    while parts:
        ends = [i for i in range(len(parts), 0, -1) if ",".join(parts[:i]).strip() in names]
        end = ends[0] if ends else 1
        found.append(",".join(parts[:end]).strip())
        parts = parts[end:]
    return found


def _frontier(covariance: NDArray[np.float64], mean: NDArray[np.float64], limits: dict[str, Any]) -> Any:
    """The frontier to draw: all of it, or points where limits of groups leave no chain of lines."""
    from ..portfolio import MeanVariance, efficient_frontier

    if "groups" not in limits:
        return efficient_frontier(covariance, mean, **limits)
    problem = MeanVariance(covariance, **limits)
    least = problem.solve().weights @ mean
    most = problem.solve(mean, risk_aversion=1e-6).expected_return
    return efficient_frontier(covariance, mean, targets=np.linspace(least, most, 40), **limits)


def _made_up() -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Daily returns of eight assets that share one factor, the same each time."""
    random = np.random.default_rng(0)
    market = 0.0004 + 0.01 * random.standard_normal((1000, 1))
    load = np.linspace(0.5, 1.6, 8)
    own = (0.006 + 0.001 * np.arange(8)) * random.standard_normal((1000, 8))
    notes = ["without a PATH the returns are those of a simulated market of 8 assets"]
    return [f"asset {i + 1}" for i in range(8)], market * load + own, notes


def _figure() -> Any:
    from ..errors import MissingExtra

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("a picture", "plot") from None
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    ax = figure.subplots()
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _order_picture(
    path: str, found: Any, order: float, words: tuple[str, str], best: str, **labels: str
) -> None:
    """Costs by quantity: of ordering, `order` over the quantity; of holding; and their sum."""
    figure, ax = _figure()
    q = np.linspace(0.2, 3.0, 300) * found.quantity
    holding = found.cost / 2.0 * q / found.quantity
    ax.plot(q, order / q + holding, label="total cost")
    ax.plot(q, order / q, "--", color="0.5", label=words[0])
    ax.plot(q, holding, ":", color="0.5", label=words[1])
    ax.plot(found.quantity, found.cost, "o", color="C1", label=best)
    _from_zero(ax, **labels)
    figure.savefig(path, dpi=110)


def _newsvendor_picture(path: str, found: Any, demand: Any, holding: float, stockout: float) -> None:
    figure, ax = _figure()
    low, best, high = np.asarray(demand.quantile([0.001, stockout / (holding + stockout), 0.9995]))
    if (most := max(best, found.quantity)) > 0.0:  # the tail may be long, and the optimum far from it
        high = min(high, 4.0 * most)
    low, high = min(max(low, 0.0), found.quantity), max(high, found.quantity)
    q = np.arange(low, high + 1) if demand.discrete else np.linspace(low, high, 300)
    short = np.asarray(demand.shortage(q))
    left = q - demand.mean + short
    ax.plot(q, holding * left + stockout * short, label="total cost")
    ax.plot(q, stockout * short, "--", color="0.5", label="units short")
    ax.plot(q, holding * left, ":", color="0.5", label="units left over")
    ax.plot(found.quantity, found.cost, "o", color="C1", label=f"chosen: {found.quantity:.4g}")
    _from_zero(ax, x="quantity, units", y="expected cost")
    ax.set_xlim(low, high)
    figure.savefig(path, dpi=110)


def _from_zero(ax: Any, x: str, y: str) -> None:
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_ylim(bottom=0.0)
    ax.set_xlim(left=0.0)
    ax.legend(frameon=False)


def _stock_picture(path: str, s: int, top: int, demand: Any, lead_time: int) -> None:
    """Stock of fifty periods of one drawn demand, with what is on order: before each review and after it."""
    periods = 50
    p = demand.table()
    asked = np.random.default_rng(0).choice(len(p), size=periods, p=p)
    stock, under_way = top, [0] * lead_time
    shown, position = [], []
    for units in asked:
        total = stock + sum(under_way)
        under_way.append(top - total if total <= s else 0)
        before, stock = stock, stock + under_way.pop(0)
        position += [total, stock + sum(under_way)]
        shown += [before, stock]
        stock -= int(units)
    figure, ax = _figure()
    reviews = np.repeat(np.arange(periods), 2)
    if lead_time:
        ax.plot(reviews, position, color="0.6", label="with what is on order")
    ax.plot(reviews, shown, label="stock")
    ax.axhline(top, color="C2", linestyle="--", linewidth=1, label=f"S = {top}")
    ax.axhline(s, color="C1", linestyle="--", linewidth=1, label=f"s = {s}")
    ax.axhline(0, color="0.3", linewidth=0.8)
    ax.set_xlabel("period")
    ax.set_ylabel("units")
    ax.set_xlim(0, periods - 1)
    ax.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.1), ncols=4)
    figure.savefig(path, dpi=110)


def _frontier_picture(path: str, frontier: Any, found: Any, names: list[str]) -> None:
    figure, ax = _figure()
    frontier.plot(ax, names=names)
    ax.plot(found.risk, found.expected_return, "*", markersize=13, color="C1", label="chosen")
    ax.set(xlabel="standard deviation a period", ylabel="expected return a period")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=110)


def _schedule_picture(path: str, found: Any) -> None:
    figure, ax = _figure()
    ax.plot(found.times, found.holdings, marker="o" if len(found.times) < 60 else "", label="optimal")
    ends = found.times[[0, -1]]
    ax.plot(ends, found.holdings[[0, -1]], "--", color="0.6", label="at a constant rate")
    ax.set_xlabel("time")
    ax.set_ylabel("units held")
    ax.yaxis.set_major_formatter("{x:,.15g}")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=110)
