"""The order messages of a replay: the settings that made them, how many there were, how long orders lived.

With ``orders`` a replay sends each decision's quote through :class:`~mmcore.orders.Orders`, the object that
trades live, to a venue that answers (``mmcore/venue.h``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument, UnknownName
from .parameters import Parameter, Relation, expect_together

if TYPE_CHECKING:
    from .instruments import Instrument
    from .orders import Orders
    from .results import Result

__all__ = [
    "ORDERS_PARAMETERS",
    "ORDERS_RELATIONS",
    "MessageCounts",
    "OrderLife",
    "OrderLog",
    "fresh_orders",
    "message_counts",
    "order_life",
    "per_minute",
    "settings_of",
]

_NS = 1_000_000_000
_DAY = 86_400.0  # s: a longer wait was meant in other units

Int64Array = NDArray[np.int64]


def _budgets(text: str) -> list[tuple[int, int]]:
    """Read ``50/1, 1000/60``: messages and seconds."""
    found = []
    for part in text.split(","):
        n, _, seconds = part.partition("/")
        number, window = int(n), round(Fraction(seconds.strip()) * _NS)
        if not (2 <= number < 2**31 and 1 <= window <= _DAY * _NS):
            raise ValueError(part)
        found.append((number, window))
    return found


ORDERS_PARAMETERS = (
    Parameter(
        "min_life",
        float,
        0.0,
        low=0.0,
        high=_DAY,
        unit="s",
        doc="how long an order stays at its price at least",
    ),
    Parameter(
        "hysteresis", int, 0, low=0, unit="ticks", doc="how far from the wanted price an order may stay"
    ),
    Parameter(
        "messages",
        str,
        None,
        form="budgets n/seconds such as '50/1, 1000/60', n >= 2: one to open an order, one to cancel",
        reader=_budgets,
        doc="at most so many messages in any so many seconds: 50 in a second and 1000 in a minute",
    ),
    Parameter(
        "max_exposure",
        int,
        None,
        low=0,
        unit="lots",
        doc="largest position that all orders, working or in flight, may lead to; None is no limit",
    ),
    Parameter("amend", bool, True, doc="whether the venue amends orders; if not, cancel and new"),
    Parameter(
        "timeout",
        float,
        1.0,
        low=0.0,
        high=_DAY,
        unit="s",
        doc="when a message without an answer counts as lost; at least 2*latency",
    ),
    Parameter(
        "retry", float, 0.1, low=0.0, high=_DAY, unit="s", doc="how long a rejected price is left alone"
    ),
)
"""The settings of :class:`~mmcore.orders.Orders`, by name, with times in seconds."""

ORDERS_RELATIONS = (
    Relation(
        ("timeout", "latency"),
        lambda timeout, latency: timeout >= 2 * latency,
        lambda _, latency: f"at least {2 * latency:g} s: an answer takes 2 * latency",
        yields=True,
    ),
)
"""What they and the latency of the replay must satisfy together."""

_CHECK = {p.name: p for p in ORDERS_PARAMETERS}


def fresh_orders(given: Any, instrument: Instrument, answer: int = 0) -> Orders | None:
    """Return new orders of the settings given, flat and without orders; None for None.

    Parameters
    ----------
    given : Orders, mapping or None
        Orders, whose settings are read; or :data:`ORDERS_PARAMETERS` by name.
    instrument : Instrument
        What is traded.
    answer : int
        ns that the venue takes to answer: a timeout that is not given is no shorter.

    Raises
    ------
    InvalidArgument, UnknownName
        Something else, or orders of another instrument.

    Examples
    --------
    >>> import mmcore as mm
    >>> stock = mm.Instrument("XYZ", tick="0.01")
    >>> orders = fresh_orders({"min_life": 0.5, "messages": "50/1, 1000/60"}, stock)
    >>> orders.min_life, orders.messages
    (500000000, ((50, 1000000000), (1000, 60000000000)))
    """
    from .orders import Orders

    if given is None:
        return None
    if isinstance(given, Orders):
        if given.instrument is not None and given.instrument != instrument:
            raise InvalidArgument(
                argument="orders",
                value=given.instrument.name,
                allowed=f"for the instrument of the events, {instrument.name}, with its tick and lot",
            )
        return Orders(instrument, **given.settings)
    if not isinstance(given, Mapping):
        allowed = "Orders, or a mapping of " + ", ".join(_CHECK)
        raise InvalidArgument(argument="orders", value=given, allowed=allowed)
    for name in given:
        if name not in _CHECK:
            known = ", ".join(_CHECK)
            raise UnknownName(
                f"orders has no setting {name!r}; there are {known}",
                argument="orders",
                value=name,
                allowed=known,
            )
    settings = {name: _CHECK[name].check(value) for name, value in given.items()}
    if "timeout" in settings:
        expect_together(ORDERS_RELATIONS, settings | {"latency": answer / (2 * _NS)})
    for name in ("min_life", "timeout", "retry"):
        if name in settings:
            settings[name] = round(Fraction(repr(settings[name])) * _NS)
    settings.setdefault("timeout", max(round(_CHECK["timeout"].default * _NS), answer))
    if settings.get("messages") is None:
        settings.pop("messages", None)
    else:
        settings["messages"] = _budgets(settings["messages"])
    return Orders(instrument, **settings)


def settings_of(orders: Orders) -> dict[str, Any]:
    """Return the settings as :data:`ORDERS_PARAMETERS` names and measures them.

    Examples
    --------
    >>> import mmcore as mm
    >>> settings_of(mm.Orders(min_life=50_000_000, messages=[(50, 10**9)]))["messages"]
    '50/1'
    """
    found = dict(orders.settings)
    for name in ("min_life", "timeout", "retry"):
        found[name] = float(Decimal(found[name]) / _NS)
    found["messages"] = ", ".join(f"{n}/{Decimal(ns) / _NS:f}" for n, ns in found["messages"]) or None
    return found


@dataclass(frozen=True, eq=False)
class OrderLog:
    """What a replay with orders keeps besides decisions and fills.

    Parameters
    ----------
    orders : Orders
        Of its settings, as they were before the first message.
    messages : ndarray
        One record per message, as sent (dtype ``MESSAGE``).
    standing : ndarray
        One record per order at a price, as the venue had it (dtype ``STANDING``).
    held : ndarray
        Of each decision, the bits :class:`~mmcore.orders.Held` of its bid and its ask.
    """

    orders: Orders
    messages: NDArray[np.void]
    standing: NDArray[np.void]
    held: NDArray[np.uint16]


@dataclass(frozen=True)
class MessageCounts:
    """Order messages by kind.

    Parameters
    ----------
    new, amend, cancel : int
        Sent.
    rejected : dict
        Of each kind, how many the venue rejected.
    unanswered : int
        Sent so late that they did not reach the venue before the end.
    """

    new: int
    amend: int
    cancel: int
    rejected: dict[str, int]
    unanswered: int

    def __str__(self) -> str:
        parts = []
        for kind in ("new", "amend", "cancel"):
            refused = f" ({self.rejected[kind]:,} rejected)" if self.rejected[kind] else ""
            parts.append(f"{getattr(self, kind):,} {kind}{refused}")
        return ", ".join(parts)


def message_counts(log: OrderLog) -> MessageCounts:
    """Count the messages of a replay."""
    from .orders import ActionKind, ReportKind

    kind, answer = log.messages["kind"], log.messages["answer"]
    refusals = (ReportKind.REJECTED, ReportKind.AMEND_REJECTED, ReportKind.CANCEL_REJECTED)
    sent = {k.name.lower(): int(np.count_nonzero(kind == k)) for k in ActionKind}
    refused = {
        k.name.lower(): int(np.count_nonzero(answer == r)) for k, r in zip(ActionKind, refusals, strict=True)
    }
    return MessageCounts(**sent, rejected=refused, unanswered=int(np.count_nonzero(answer == 0)))


@dataclass(frozen=True, eq=False)
class OrderLife:
    """How long orders were in the market, from their arrival until they were filled or canceled.

    Parameters
    ----------
    seconds : ndarray
        One life per order, in ascending order; an amend does not end it.
    cut : int
        Orders still there at the end, whose lives are counted up to it.

    Examples
    --------
    >>> life = OrderLife(np.array([1.0, 2.0, 6.0]), cut=1)
    >>> life.median
    2.0
    >>> print(life)
    3 orders lived 2 s in the median, 90 % of them 1.1 s to 5.6 s; 1 cut off by the end
    """

    seconds: NDArray[np.float64]
    cut: int

    @property
    def median(self) -> float | None:
        """Seconds; None without orders."""
        return self.quantile(0.5)

    def quantile(self, share: float) -> float | None:
        """Return the life, in seconds, that a share of the orders did not outlive; None without orders."""
        return float(np.quantile(self.seconds, share)) if len(self.seconds) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the number, the quantiles and how many were cut off by the end, JSON-able."""
        shares = (0.05, 0.25, 0.5, 0.75, 0.95)
        quantiles = {f"{share:g}": self.quantile(share) for share in shares}
        return {"orders": len(self.seconds), "cut": self.cut, "quantiles": quantiles}

    def __str__(self) -> str:
        if not len(self.seconds):
            return "no order reached the market"
        low, median, high = np.quantile(self.seconds, [0.05, 0.5, 0.95])
        return (
            f"{len(self.seconds):,} orders lived {median:.3g} s in the median, 90 % of them {low:.3g} s to "
            f"{high:.3g} s; {self.cut:,} cut off by the end"
        )


def order_life(result: Result) -> OrderLife:
    """Measure the lives of the orders of a replay."""
    s, end = result.standing, result.totals.end_time
    ids, first, row = np.unique(s.order_id, return_index=True, return_inverse=True)
    last = np.full(len(ids), np.iinfo(np.int64).min)
    np.maximum.at(last, row, s.end)
    filled = result.fills["order_id"][result.fill_context["complete"] == 1]
    cut = np.count_nonzero((last == end) & ~np.isin(ids, filled))
    return OrderLife(np.sort((last - s.start[first]) / 1e9), int(cut))


def per_minute(result: Result) -> tuple[Int64Array, Int64Array]:
    """Return the starts (ns) of the minutes from the first decision on, and the messages sent in each."""
    start, end, minute = result.totals.first_time, result.totals.end_time, 60 * _NS
    edges = np.arange(start, max(end, start + 1), minute, dtype=np.int64)
    sent = (result.message_log["time"] - start) // minute
    return edges, np.bincount(sent, minlength=len(edges)).astype(np.int64)
