"""Replay: recorded events → quoter → resting orders → fills → book, with no look ahead.

What is assumed, so that a result means something:

- **One clock.** `local_time`, when we could have known, orders everything; the exchange's stamps are
  carried into the fill records and compared with nothing. A decision at time g uses the rows with
  local_time ≤ g.
- **When we decide.** At g_j = t₀ + j·interval, t₀ the local time of the first two-sided quote, and
  only for whole windows: a decision needs g_j + interval ≤ the last quote. Then all orders are pulled;
  the inventory that is left is marked at the last mid. ``interval=0`` decides after every quote row
  before the last stamp.
- **When an order is there.** A decision is live at g + latency and may be filled by trades with
  local_time > g + latency. It replaces both sides of the one before it. A side in flight is lost when
  that side was filled, even in part, after its decision (a cancel-replace of a gone order fails), so
  the position limit holds under any latency. A filled side stays empty until a later decision is live.
- **What fills.** ``fill="through"``: a visible trade strictly beyond our price fills the whole order.
  ``fill="touch"``: besides, a trade at our price fills up to its size, as if nobody stood before us:
  the optimistic bound. The side of a trade is not asked. We are a small participant: our orders
  change neither quotes nor trades.
- **What is sent.** With ``orders`` a decision's quote goes through :class:`mmcore.Orders`, and its messages
  to a venue: they arrive `latency` later, and answers and fills are known another `latency` later.
  A decision's inventory is the one that is known. See docs/replay.md.

:func:`run` is the whole job: calibrate on the first part of the data, make the policy, replay the
rest, and the optimistic bound beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from .errors import CapacityError, InvalidArgument, NotIdentified, UnknownName
from .messages import OrderLog, fresh_orders, settings_of
from .parameters import WHOLE_ORDERS, Parameter, expect_together
from .results import Result, Results, Totals

if TYPE_CHECKING:
    from .calibration import Calibration
    from .events import Events
    from .matching import Matching
    from .orders import Orders
    from .rolling import Recalibrate

__all__ = [
    "REPLAY_PARAMETERS",
    "RUN_PARAMETERS",
    "RUN_RELATIONS",
    "WALK_PARAMETERS",
    "Progress",
    "default_gamma",
    "replay",
    "run",
]

Progress = Callable[[int, int], object]
"""``progress(done, total)`` in rows of the events; called now and then, and at the end."""

REPLAY_PARAMETERS = (
    Parameter(
        "interval", float, 1.0, low=0.0, unit="s", doc="time between decisions; 0 decides at every quote"
    ),
    Parameter(
        "latency", float, 0.0, low=0.0, unit="s", doc="from a decision until its quote is in the market"
    ),
    Parameter(
        "fill",
        str,
        "through",
        choices=("through", "touch"),
        doc="a trade must go through our price to fill us, or only touch it (the optimistic bound)",
    ),
    Parameter(
        "maker_fee",
        float,
        0.0,
        low=-0.1,
        high=0.1,
        unit="of notional",
        doc="fee of a fill as a rate, exact decimal as written; negative for a rebate",
    ),
    Parameter(
        "reference",
        str,
        "mid",
        choices=("mid", "weighted"),
        doc="price that the depths count from: the mid, or the mid weighted by the opposite sizes",
    ),
    Parameter("hidden", bool, False, doc="let executions against hidden orders fill us too"),
    Parameter(
        "time_left",
        float,
        None,
        low=0.0,
        unit="s",
        doc="time to the horizon that each decision is given; None is infinite where the policy has a "
        "stationary solution, else it counts down to the end of the data",
    ),
)
"""The arguments of :func:`replay`, by name."""

WALK_PARAMETERS = (
    Parameter(
        "train",
        float,
        0.25,
        low=0.0,
        high=1.0,
        open_low=True,
        doc="share of the time to calibrate on; the rest is replayed; 1 calibrates and replays the same span",
    ),
    Parameter(
        "recalibrate",
        float,
        60.0,
        low=0.0,
        unit="s",
        doc="time between recalibrations during the replay, each from the data before it: as many of these "
        "times as fit into the first part, 14 min into a little less than 15; 0 keeps the first parameters, "
        "as do given ones, train = 1 and a model that is not compiled in place",
    ),
)
"""The arguments of :func:`run` that say what the parameters may know, by name."""

RUN_PARAMETERS = (
    Parameter(
        "model", str, "GueantLehalleFernandezTapia", doc="class in mmcore.models that makes the policy"
    ),
    Parameter("q_max", int, 10, low=1, unit="lots", doc="largest inventory, a multiple of order_size"),
    Parameter("order_size", int, 1, low=1, unit="lots", doc="size of every order"),
    Parameter(
        "gamma",
        float,
        None,
        low=0.0,
        unit="1/(tick·lot)",
        doc="risk aversion; None chooses the one whose stationary inventory has standard deviation q_max/4",
    ),
    Parameter("sigma", float, None, low=0.0, unit="ticks/√s", doc="None: calibrated"),
    Parameter("A", float, None, low=0.0, open_low=True, unit="1/s", pair=True, doc="None: calibrated"),
    Parameter("k", float, None, low=0.0, open_low=True, unit="1/tick", pair=True, doc="None: calibrated"),
)
"""The other arguments of :func:`run`, by name."""

RUN_RELATIONS = (WHOLE_ORDERS,)
"""What they must satisfy together, whatever the model."""

_CHECK = {p.name: p for p in (*REPLAY_PARAMETERS, *WALK_PARAMETERS, *RUN_PARAMETERS)}
_MOST_DECISIONS = 50_000_000  # 112 bytes each
_SHARED_ROWS = 1 << 13  # of the events, about 400 kB
_NS = 1_000_000_000


@dataclass(frozen=True)
class _Span:
    """The times of a replay, ns, and how many decisions it has at most."""

    first: int
    last: int
    end: int
    last_quote: int
    decisions: int


def _ns(name: str, seconds: float) -> int:
    value = round(Decimal(repr(seconds)) * _NS)
    if seconds > 0 and value == 0:
        raise InvalidArgument(argument=name, value=seconds, allowed="0 or at least 1e-9 (s)")
    if value > 2**60:
        raise InvalidArgument(argument=name, value=seconds, allowed="at most 1e9 (s)")
    return value


def _span(events: Events, interval: int) -> _Span:
    from .events import first_where, with_mid

    quotes = events.quotes
    row = first_where(with_mid(quotes), len(quotes))
    if row < 0:
        raise InvalidArgument(
            f"{events.name}: no quote with both sides, so nothing to decide on", argument="events"
        )
    first = int(quotes.local_time[row])
    last_quote = int(quotes.local_time[-1])
    if interval == 0:
        if first == last_quote:
            raise InvalidArgument(f"{events.name}: all quotes have one stamp", argument="events")
        return _Span(first, last_quote - 1, last_quote, last_quote, len(quotes))
    windows = (last_quote - first) // interval
    if windows == 0:
        raise InvalidArgument(
            argument="interval",
            value=interval / 1e9,
            allowed=f"at most the {(last_quote - first) / 1e9} s"
            " from the first two-sided quote to the last quote",
        )
    if windows > _MOST_DECISIONS:
        raise CapacityError(
            f"interval={interval / 1e9!r} s makes {windows:,} decisions of 112 bytes; at most "
            f"{_MOST_DECISIONS:,} are allowed: use interval=0 (every quote) or a longer one",
            argument="interval",
        )
    end = first + windows * interval
    return _Span(first, end - interval, end, last_quote, windows)


def _rate(maker_fee: object) -> Decimal:
    """Return a fee rate as the exact decimal that was written: 0.0002 is 2/10000, not the nearest float."""
    given = maker_fee
    if isinstance(given, (float, np.floating)):
        given = repr(float(given))
    try:
        rate = Decimal(given)  # type: ignore[arg-type]
    except (ArithmeticError, TypeError, ValueError):
        raise InvalidArgument(
            argument="maker_fee", value=maker_fee, allowed=_CHECK["maker_fee"].allowed
        ) from None
    _CHECK["maker_fee"].check(float(rate))
    return rate


@overload
def replay(
    events: Events,
    quoter: Mapping[Any, Any] | list[Any] | tuple[Any, ...],
    *,
    interval: float = ...,
    latency: float = ...,
    fill: str = ...,
    maker_fee: str | int | float | Decimal = ...,
    reference: str = ...,
    hidden: bool = ...,
    time_left: float | None = ...,
    recalibrate: Recalibrate | None = ...,
    orders: Orders | Mapping[str, Any] | None = ...,
    optimistic: bool = ...,
    progress: Progress | None = ...,
) -> Results: ...
@overload
def replay(
    events: Events,
    quoter: Any,
    *,
    interval: float = ...,
    latency: float = ...,
    fill: str = ...,
    maker_fee: str | int | float | Decimal = ...,
    reference: str = ...,
    hidden: bool = ...,
    time_left: float | None = ...,
    recalibrate: Recalibrate | None = ...,
    orders: Orders | Mapping[str, Any] | None = ...,
    optimistic: bool = ...,
    progress: Progress | None = ...,
) -> Result: ...
def replay(
    events: Events,
    quoter: Any,
    *,
    interval: float = 1.0,
    latency: float = 0.0,
    fill: str = "through",
    maker_fee: str | int | float | Decimal = 0,
    reference: str = "mid",
    hidden: bool = False,
    time_left: float | None = None,
    recalibrate: Recalibrate | None = None,
    orders: Orders | Mapping[str, Any] | None = None,
    optimistic: bool = False,
    progress: Progress | None = None,
) -> Result | Results:
    """Replay events against a quoter, or against several in one pass.

    Parameters
    ----------
    events : Events
        The market.
    quoter : Quoter, or a policy or model to make one from
        Who quotes; its rules as they are now. A mapping of names to quoters, or a list, replays all
        of them: they share the market, not the book, and each result is the one that it has alone.
    interval : float
        Seconds between decisions; 0 decides after every quote row.
    latency : float
        Seconds from a decision until its quote is in the market.
    fill : {"through", "touch"}
        Which trades fill us; "touch" is the optimistic bound.
    maker_fee : str, int, Decimal or float
        Rate of the notional, exact; a float counts as the decimal that it prints as.
    reference : {"mid", "weighted"}
        What the depths count from.
    hidden : bool
        Whether executions against hidden orders fill us too.
    time_left : float, optional
        Seconds to the horizon given to each decision. None: infinite where the policy has a
        stationary solution, else counting down to the end of the span.
    recalibrate : Recalibrate, optional
        Lets the policy follow the market: sigma, A and k of the quoter's model are put in force again as they
        were known at each moment, in place, going on from a copy of this object's state.
    orders : Orders or mapping, optional
        What turns quotes into messages: its settings are used, by fresh orders without a position, and it
        stays as it is. Or :data:`mmcore.messages.ORDERS_PARAMETERS` by name, with times in seconds. None:
        each decision replaces what stands, at no cost.
    optimistic : bool
        Whether to replay under "touch" in the same pass; otherwise :attr:`Result.optimistic` does so when
        it is first asked for.
    progress : callable, optional
        ``progress(done, total)`` in rows.

    Returns
    -------
    Result, or Results
        A mapping with the same names (or the places in the list) where several were given.

    Raises
    ------
    InvalidArgument
        Names the argument that is outside what is allowed; events without a two-sided quote.
    OutOfBounds
        Prices or money beyond the exact arithmetic.
    Unsupported
        The policy asks to cross the spread.

    Notes
    -----
    Thread-safety: the loop runs without the GIL; replays of the same events and quoter may run in
    several threads at once.

    Examples
    --------
    >>> import mmcore as mm
    >>> from mmcore.events import Quotes, Trades
    >>> s = 1_000_000_000
    >>> quotes = Quotes(local_time=[0, 2 * s, 4 * s], bid=[99, 99, 100], ask=[101, 101, 102])
    >>> trades = Trades(local_time=[s, 3 * s], price=[98, 102], size=[5, 5])
    >>> events = mm.Events(mm.Instrument("XYZ", tick="0.01"), None, quotes, trades)
    >>> result = mm.replay(events, mm.Affine(base=1.0, q_max=10), interval=2.0)
    >>> result.fills["qty"].tolist(), result.fills["price"].tolist()
    ([1, -1], [99, 101])
    >>> print(result.attribution)
    spread captured +0.02 USD, inventory revaluation 0.00 USD, fees 0.00 USD: total +0.02 USD; unexplained 0.00 USD
    """  # noqa: E501
    settings: dict[str, Any] = {
        "interval": interval,
        "latency": latency,
        "fill": fill,
        "maker_fee": maker_fee,
        "reference": reference,
        "hidden": hidden,
        "time_left": time_left,
        "recalibrate": recalibrate,
        "orders": orders,
        "optimistic": optimistic,
    }
    if isinstance(quoter, Mapping):
        return _replay_all(events, dict(quoter), settings, progress)
    if isinstance(quoter, (list, tuple)):
        return _replay_all(events, dict(enumerate(quoter)), settings, progress)
    return _replay(events, quoter, **settings, progress=progress)


def replay_each(
    events: Events,
    quoter: Any,
    changes: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    progress: Progress | None,
) -> list[Result]:
    """Replay one quoter under several settings, arguments of :func:`replay`, in one pass."""
    known = {p.name: p.default for p in REPLAY_PARAMETERS} | {"recalibrate": None, "orders": None}
    for name in settings:
        if name not in known:
            raise InvalidArgument(
                argument="settings", value=name, allowed=f"arguments of replay: {', '.join(known)}"
            )
    cases = [_case(events, quoter, **{**known, **settings, **change}) for change in changes]
    return _one_pass(events, cases, progress)


def _replay_all(
    events: Events, quoters: dict[Any, Any], settings: dict[str, Any], progress: Progress | None
) -> Results:
    if not quoters:
        raise InvalidArgument(argument="quoter", value=quoters, allowed="a quoter, or at least one in a list")
    settings = dict(settings)
    rules = (settings.pop("fill"), *(("touch",) if settings.pop("optimistic") else ()))
    cases: list[_Case] = []
    for name, quoter in quoters.items():
        try:
            cases += [_case(events, quoter, fill=rule, **settings) for rule in rules]
        except Exception as error:
            error.add_note(f"(quoter {name!r})")
            raise
    found = _one_pass(events, cases, progress)
    if len(rules) == 2:
        for result, bound in zip(found[::2], found[1::2], strict=True):
            result.optimistic = bound
        found = found[::2]
    return Results(dict(zip(quoters, found, strict=True)))


def _replay(
    events: Events,
    quoter: Any,
    *,
    interval: float,
    latency: float,
    fill: str,
    maker_fee: str | int | float | Decimal,
    reference: str,
    hidden: bool,
    time_left: float | None,
    recalibrate: Recalibrate | None,
    orders: Orders | Mapping[str, Any] | None,
    optimistic: bool,
    progress: Progress | None,
    model: Any = None,
    calibration: Calibration | None = None,
    sample: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Result:
    """Replay one quoter, and the optimistic bound in the same pass where it is asked for."""
    shared: dict[str, Any] = {
        "interval": interval,
        "latency": latency,
        "maker_fee": maker_fee,
        "reference": reference,
        "hidden": hidden,
        "time_left": time_left,
        "recalibrate": recalibrate,
        "orders": orders,
        "model": model,
        "calibration": calibration,
        "sample": sample,
        "settings": settings,
    }
    rules = (fill, "touch") if optimistic else (fill,)
    found = _one_pass(events, [_case(events, quoter, fill=rule, **shared) for rule in rules], progress)
    if optimistic:
        found[0].optimistic = found[1]
    return found[0]


@dataclass(frozen=True)
class _Case:
    """One replay of a pass: what the kernel needs, and what the result is made with."""

    matching: Matching
    span: _Span
    result: dict[str, Any]
    orders: Orders | None


def _case(
    events: Events,
    quoter: Any,
    *,
    interval: float,
    latency: float,
    fill: str,
    maker_fee: str | int | float | Decimal,
    reference: str,
    hidden: bool,
    time_left: float | None,
    recalibrate: Recalibrate | None = None,
    orders: Orders | Mapping[str, Any] | None = None,
    model: Any = None,
    calibration: Calibration | None = None,
    sample: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> _Case:
    from .events import expect_events
    from .matching import Matching
    from .quoting import Quoter
    from .rolling import Recalibrate

    expect_events(events)
    if not isinstance(quoter, Quoter):
        if model is None and hasattr(quoter, "policy") and callable(quoter.policy):
            model = quoter
        quoter = Quoter(quoter, events.instrument)
    if model is None:
        model = quoter.model
    if quoter.instrument is not None and quoter.instrument != events.instrument:
        raise InvalidArgument(
            argument="quoter",
            value=quoter.instrument.name,
            allowed=f"for the instrument of the events, {events.instrument.name}, with its tick and lot",
        )
    interval_ns = _ns("interval", _CHECK["interval"].check(interval))
    latency_ns = _ns("latency", _CHECK["latency"].check(latency))
    _CHECK["fill"].check(fill)
    _CHECK["reference"].check(reference)
    _CHECK["hidden"].check(hidden)
    if recalibrate is not None and not isinstance(recalibrate, Recalibrate):
        raise InvalidArgument(
            argument="recalibrate", value=recalibrate, allowed="an mmcore.Recalibrate, or None"
        )
    rate = _rate(maker_fee)
    own = fresh_orders(orders, events.instrument, 2 * latency_ns)
    span = _span(events, interval_ns)
    if time_left is None:
        left = math.inf if quoter.policy.stationary else math.nan
    else:
        left = math.inf if time_left == math.inf else _CHECK["time_left"].check(time_left)
    if sample is None:
        known = getattr(model, "calibration", None)
        sample = _sample(known, events, span)
        calibration = None if sample == "fixed parameters" else known
    matching = Matching(
        events,
        quoter,
        interval=interval_ns,
        latency=latency_ns,
        first=span.first,
        last=span.last,
        end=span.end,
        time_left=left,
        expiry=span.end,
        fee=events.instrument.fee_ratio(rate),
        touch=fill == "touch",
        weighted=reference == "weighted",
        hidden=hidden,
        recalibrate=recalibrate,
        orders=own,
        decisions=span.decisions,
    )
    described = {
        "interval": float(interval),
        "latency": float(latency),
        "fill": fill,
        "maker_fee": format(rate, "f"),
        "reference": reference,
        "hidden": hidden,
        "time_left": None if math.isnan(left) else left if math.isfinite(left) else "inf",
        **({} if recalibrate is None else {"recalibrate": repr(recalibrate)}),
        **({} if own is None else settings_of(own)),
        **(settings or {}),
    }
    made = {"quoter": quoter, "settings": described, "model": model}
    made["recalibrate"] = None if recalibrate is None else recalibrate.copy()
    return _Case(matching, span, made | {"calibration": calibration, "sample": sample}, own)


def _one_pass(events: Events, cases: Sequence[_Case], progress: Progress | None) -> list[Result]:
    """Walk the events once, all cases side by side."""
    total = len(events)
    told = max(1 << 16, min(1 << 20, total // 100))
    # A chunk that several quoters read one after another stays in the processor's cache.
    chunk = told if len(cases) == 1 else _SHARED_ROWS
    for start in range(0, total, told):
        end = min(start + told, total)
        for stop in range(start + chunk, end + chunk, chunk):
            for case in cases:
                case.matching.run(min(stop, end))
        if progress is not None:
            progress(end, total)
    results = []
    for case in cases:
        decisions, fills, contexts, totals, logs = case.matching.finish()
        span = case.span
        results.append(
            Result(
                events=events,
                decisions=decisions,
                fills=fills,
                fill_context=contexts,
                parameters=case.matching.parameters,
                totals=Totals(first_time=span.first, end_time=span.end, last_time=span.last_quote, **totals),
                order_log=None if case.orders is None or logs is None else OrderLog(case.orders, *logs),
                **case.result,
            )
        )
    return results


def replay_under(rule: str, result: Result, quoter: Any) -> Result:
    """Replay what a result was made of under another fill rule."""
    settings = dict(result.settings)
    arguments = {p.name: settings.pop(p.name) for p in REPLAY_PARAMETERS if p.name in settings}
    if arguments["time_left"] == "inf":
        arguments["time_left"] = math.inf
    arguments |= {"recalibrate": result.recalibrate, "orders": result.orders}
    arguments |= {"model": result.model, "calibration": result.calibration, "sample": result.sample}
    case = _case(result.events, quoter, **(arguments | {"fill": rule}), settings=settings)
    return _one_pass(result.events, [case], None)[0]


def _sample(calibration: Calibration | None, events: Events, span: _Span) -> str:
    """Return how the parameters relate to the replayed span: what they had seen of it.

    A calibration that ends with the first decision had seen what that decision may know. One on later
    data looked ahead, which is no better than in-sample. One on another instrument says nothing here.
    """
    if calibration is None or calibration.instrument != events.instrument:
        return "fixed parameters"
    return "out-of-sample" if calibration.end_time <= span.first else "in-sample"


def default_gamma(
    sigma: float,
    A: float | tuple[float, float],
    k: float | tuple[float, float],
    q_max: int,
    order_size: int = 1,
) -> float:
    """Return the risk aversion that keeps the inventory within about a quarter of its limit.

    It is :func:`mmcore.gamma_for` with ``std=q_max / 4``: under the stationary exact policy of Guéant,
    Lehalle and Fernandez-Tapia the inventory then has that standard deviation. Unequal sides enter by the
    mean of A and of k.

    Parameters
    ----------
    sigma : float
        ticks/√s.
    A : float or pair
        1/s.
    k : float or pair
        1/tick.
    q_max, order_size : int
        Lots; the lattice steps by `order_size`.

    Returns
    -------
    float
        γ in 1/(tick·lot).

    Raises
    ------
    InvalidArgument
        A number that is not finite and positive; q_max that is no multiple of order_size.

    Examples
    --------
    More room to hold inventory, less fear of it:

    >>> market = {"sigma": 2.0, "A": 0.5, "k": 0.3}
    >>> default_gamma(**market, q_max=20) < default_gamma(**market, q_max=10)
    True
    """
    from .risk_appetite import gamma_for

    market = {"sigma": sigma, "A": float(np.mean(A)), "k": float(np.mean(k))}
    return float(gamma_for(market, std=q_max / 4, q_max=q_max, order_size=order_size))


def _alpha_eta(gamma: float, sigma: float, A: Any, k: Any, order_size: float) -> tuple[float, float]:
    """Return α = kγσ²Δ/2 and η = A·C, 1/s; unequal sides by their means."""
    from .lattice import fill_constant

    a, decay, g = float(np.mean(A)), float(np.mean(k)), gamma * order_size
    return decay * g * sigma * sigma / 2.0, a * fill_constant(g, decay)


def _model_class(name: Any) -> Any:
    from . import models
    from .configuration import MODELS

    if not isinstance(name, str):
        return name
    found = getattr(models, MODELS.get(name, name), None)
    if found is None or not hasattr(found, "PARAMETERS"):
        known = sorted(n for n in models.__all__ if hasattr(getattr(models, n), "PARAMETERS"))
        raise UnknownName(
            f"model={name!r} is not a model; known: {', '.join(known)}",
            argument="model",
            value=name,
            allowed=" or ".join(known),
        )
    return found


def _follower(found: Calibration, before: Events, every: float) -> Recalibrate | None:
    """Recalibrate every so often, first so long after `before`, from the last whole `every` seconds that fit
    into it; with the settings of the calibration `found`.

    None where that was made by another method than the window's.
    """
    from .rolling import Recalibrate

    if found.method != "poisson":
        return None
    window = every * max(int((before.end_time - before.start_time) / _NS / every), 1)
    one_sided = not (found.bid.identified and found.ask.identified)
    follow = Recalibrate(every, window, pooled=one_sided, calibration=found)
    follow.observe(before.between(before.end_time - round((window - every) * _NS)))
    return follow


def run(
    events: Events,
    *,
    model: str | type = "GueantLehalleFernandezTapia",
    train: float = 0.25,
    recalibrate: float | Recalibrate = 60.0,
    q_max: int = 10,
    order_size: int = 1,
    gamma: float | None = None,
    sigma: float | None = None,
    A: float | tuple[float, float] | None = None,
    k: float | tuple[float, float] | None = None,
    parameters: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    limits: Any = None,
    obligations: Any = None,
    interval: float = 1.0,
    latency: float = 0.0,
    fill: str = "through",
    maker_fee: str | int | float | Decimal = 0,
    reference: str = "mid",
    hidden: bool = False,
    time_left: float | None = None,
    orders: Orders | Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Do the whole main job: calibrate, make the policy, replay, and the optimistic bound beside it.

    The default walks forward: it calibrates on the first quarter of the time and replays the rest, while
    sigma, A and k are put in force again every minute from as many whole minutes before it as that quarter
    holds. Nothing is known that could not have been: sample "out-of-sample". ``train=1`` calibrates and
    replays the same span, labelled "in-sample" wherever the result is shown. With `sigma`, `A` and `k` all
    given nothing is calibrated and everything is replayed: "fixed parameters".

    Parameters
    ----------
    events : Events
        The market.
    model : str or class
        A class of :mod:`mmcore.models`, its name, or that of the command line, such as ``"glft"``.
    train : float
        Share of the time to calibrate on, in (0, 1].
    recalibrate : float or Recalibrate
        Seconds between recalibrations during the replay; 0 keeps the first parameters, and so do given ones,
        ``train=1`` and a model that is not compiled in place.
    q_max, order_size : int
        Lots; q_max a multiple of order_size. It is also the position limit, unless `limits` says
        otherwise.
    gamma : float, optional
        1/(tick·lot). None: :func:`default_gamma`.
    sigma, A, k : optional
        In place of what would be calibrated (ticks/√s, 1/s, 1/tick).
    parameters : mapping, optional
        Other arguments of the model by name: ``{"running_penalty": 1e-4}``.
    calibration : mapping, optional
        Arguments of :func:`mmcore.calibrate` by name: ``{"method": "reach"}``.
    limits, obligations : optional
        For the quoter.
    interval, latency, fill, maker_fee, reference, hidden, time_left, orders, progress
        See :func:`replay`.

    Returns
    -------
    Result

    Raises
    ------
    InvalidArgument, UnknownName
        Names the argument.
    NotIdentified
        The data do not identify what the model needs; give `sigma`, `A` and `k` yourself.

    Notes
    -----
    A model with a ``fee`` (ticks per lot) is given maker_fee × the last mid before the replay; a model
    with a ``running_penalty`` and no ``gamma`` is given γσ²/2, where the two penalise inventory alike; a
    model with an ``omega`` that was given neither it nor a horizon gets 2√(αη), where its skew is that of
    the exact policy, but at least (γ·σ·(q_max + order_size))², twice the value at which its prices leave
    all bounds.

    Examples
    --------
    >>> import mmcore as mm
    >>> result = mm.run(mm.SimulatedMarket(duration=600.0, seed=1).events(), q_max=5)
    >>> result.sample, result.attribution.unexplained == 0
    ('out-of-sample', True)
    """
    from .calibration import calibrate
    from .events import expect_events, first_where, last_where, two_sided
    from .quoting import Limits, Quoter
    from .rolling import Recalibrate

    expect_events(events)
    cls = _model_class(model)
    given: dict[str, Any] = {
        "train": train,
        "q_max": q_max,
        "order_size": order_size,
        "gamma": gamma,
        "sigma": sigma,
    }
    given |= {"A": A, "k": k}
    checked = {name: _CHECK[name].check(value) for name, value in given.items()}
    expect_together(RUN_RELATIONS, checked)
    rate = _rate(maker_fee)
    fixed = all(checked[name] is not None for name in ("sigma", "A", "k"))
    if fixed:
        sample, before, market, found = "fixed parameters", None, events, None
    else:
        if checked["train"] == 1.0:
            sample, before, market = "in-sample", events, events
        else:
            sample = "out-of-sample"
            before, market = events.split(checked["train"])
        found = calibrate(before, **dict(calibration or {}))
    wanted = dict(parameters or {})
    names = {p.name for p in cls.PARAMETERS}
    for name in ("sigma", "A", "k"):
        if checked[name] is not None and name in names:
            wanted[name] = checked[name]
    for name in ("q_max", "order_size"):
        if name in names:
            wanted.setdefault(name, checked[name])
    if checked["gamma"] is not None and "gamma" not in names and "running_penalty" in wanted:
        raise InvalidArgument(
            argument="gamma",
            value=checked["gamma"],
            allowed=f"left out where running_penalty is given: {cls.__name__} has no gamma",
        )
    if "gamma" in names or ("running_penalty" in names and "running_penalty" not in wanted):
        chosen = checked["gamma"]
        if chosen is None:
            chosen = wanted.get("gamma")
        values = {n: checked[n] if checked[n] is not None else getattr(found, n) for n in ("sigma", "A", "k")}
        if chosen is None or "gamma" not in names:
            unknown = [n for n, value in values.items() if value is None or None in np.atleast_1d(value)]
            if unknown:
                notes = "; ".join(found.notes) if found is not None else ""
                advice = "calibrate on a longer span, or give sigma, A and k yourself"
                if not len(events.trades):
                    notes = "a feed without trades tells of no fill"
                    advice = "give sigma, A and k yourself to see its quotes, which nothing can fill here"
                raise NotIdentified(
                    f"{market.name}: the data do not identify {', '.join(unknown)} ({notes}); {advice}",
                    argument=unknown[0],
                )
        if chosen is None:
            chosen = default_gamma(**values, q_max=checked["q_max"], order_size=checked["order_size"])
        if "gamma" in names:
            wanted["gamma"] = chosen
        else:
            wanted["running_penalty"] = chosen * values["sigma"] ** 2 / 2.0
        if "omega" in names and wanted.get("omega") is None and wanted.get("horizon") is None:
            alpha, eta = _alpha_eta(chosen, values["sigma"], values["A"], values["k"], checked["order_size"])
            bound = (chosen * values["sigma"] * (checked["q_max"] + checked["order_size"])) ** 2
            if omega := max(
                2.0 * math.sqrt(alpha * eta), bound
            ):  # without price risk there is none to choose
                wanted["omega"] = omega
    if "fee" in names and rate:
        walked = before is not None and sample == "out-of-sample"
        quotes = before.quotes if before is not None and walked else market.quotes
        both, n = two_sided(quotes), len(quotes)
        at = int(last_where(both, np.array([n - 1]))[0]) if walked else first_where(both, n)
        if at >= 0:
            wanted.setdefault("fee", float(rate) * float(quotes.bid[at] + quotes.ask[at]) / 2.0)
    made = cls(**wanted) if found is None else found.model(cls, **wanted)
    if isinstance(recalibrate, Recalibrate):
        follow = recalibrate
    else:
        every = _CHECK["recalibrate"].check(recalibrate)
        free = all(checked[name] is None for name in ("sigma", "A", "k"))
        follow = None
        if every and free and found is not None and before is not None and sample == "out-of-sample":
            follow = _follower(found, before, every) if made._kernel is not None else None
    if limits is None:
        limits = Limits(max_position=checked["q_max"])
    quoter = Quoter(made, events.instrument, limits=limits, obligations=obligations)
    return _replay(
        market,
        quoter,
        interval=interval,
        latency=latency,
        fill=fill,
        maker_fee=rate,
        reference=reference,
        hidden=hidden,
        time_left=time_left,
        recalibrate=follow,
        orders=orders,
        optimistic=fill != "touch",
        progress=progress,
        model=made,
        calibration=found,
        sample=sample,
        settings={
            "model": cls.__name__,
            "train": None if fixed else checked["train"],
            "sigma_interval": float((calibration or {}).get("sigma_interval", 1.0)),
        },
    )
