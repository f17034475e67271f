"""Why a quote of a replay was there: its decision made again, by the policy that was in force then.

A replay logs what each decision knew (reference price, touch, inventory) and, where parameters followed
the market, every recalibration. That is enough to explain any of them afterwards: the policy is
recalibrated as it was then, and :meth:`mmcore.Quoter.explain` says what each stage contributed.

Recalibrations are retraced one after another, so that the policy has the same bits as in the replay. Where
they are many, only those are made again that are asked for; Newton's method then begins elsewhere, and
depths may differ in the last bits (by about 10⁻¹² of a depth).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InvalidArgument
from .events import NO_ASK, NO_BID, quotes_in_force

if TYPE_CHECKING:
    from .quoting import Explanation, Quoter
    from .results import Result

__all__ = ["explain", "explanations", "followed", "in_force", "quoters", "time_left"]

FIRST = -1
"""Stands for the policy before the first recalibration."""

RETRACED = 2_000
"""So many recalibrations are made again from the first one on; of more, only those that are asked for."""


def explain(result: Result, time: int) -> Explanation:
    """Explain the decision whose quote was the last to go live by `time`; see :meth:`Result.explain`."""
    live = result.decisions["live_time"]
    end = result.totals.end_time
    allowed = "ns, an integer" + (
        f" from {live[0]} to {end}" if len(live) else "; this replay has no decisions"
    )
    if isinstance(time, bool) or not hasattr(time, "__index__"):
        raise InvalidArgument(argument="time", value=time, allowed=allowed)
    row = int(np.searchsorted(live, time, "right")) - 1
    if row < 0 or time > end:
        raise InvalidArgument(argument="time", value=time, allowed=allowed)
    ((_, found),) = explanations(result, [row])
    return found


def explanations(result: Result, rows: ArrayLike) -> Iterator[tuple[int, Explanation]]:
    """Explain decisions.

    Parameters
    ----------
    result : Result
        A finished replay.
    rows : array_like of int
        Rows of ``result.decisions``, ascending.

    Yields
    ------
    row : int
    explanation : Explanation
    """
    rows = np.asarray(rows, dtype=np.intp)
    d = result.decisions[rows]
    left, age = time_left(result, d["time"]), _age(result, d["time"])
    record = in_force(result, d["time"])
    for wanted, quoter in quoters(result, np.unique(record)):
        for i in np.flatnonzero(record == wanted):
            known = d[i]
            yield (
                int(rows[i]),
                quoter.explain(
                    float(known["reference"]),
                    int(known["inventory"]),
                    int(known["touch_bid"]),
                    int(known["touch_ask"]),
                    time_left=float(left[i]),
                    age=float(age[i]),
                ),
            )


def in_force(result: Result, times: ArrayLike) -> NDArray[np.intp]:
    """Return the row of ``result.parameters`` that was in force at decisions of these times.

    Parameters
    ----------
    result : Result
        A finished replay.
    times : array_like of int
        Times of decisions, ns.

    Returns
    -------
    array of int
        :data:`FIRST` before the first row that was set, and where nothing followed the market.
    """
    times = np.asarray(times, dtype=np.int64)
    if result.parameters is None:
        return np.full(times.shape, FIRST)
    done = np.flatnonzero(result.parameters["status"] == 0)
    return np.append(done, FIRST)[np.searchsorted(result.parameters["time"][done], times, "right") - 1]


def followed(result: Result) -> tuple[str, ...]:
    """Return which of sigma, A and k the recalibrations set: those that the model has."""
    known = {parameter.name for parameter in getattr(result.model, "PARAMETERS", ())}
    return tuple(name for name in ("sigma", "A", "k") if name in known)


def quoters(result: Result, wanted: ArrayLike) -> Iterator[tuple[int, Quoter]]:
    """Return the quoter as it was.

    Parameters
    ----------
    result : Result
        A finished replay.
    wanted : array_like of int
        Rows of ``result.parameters`` that were set, or :data:`FIRST`; ascending.

    Yields
    ------
    row : int
        Of `wanted`.
    quoter : Quoter
        As it was under that row: the same object each time, so use it before going on.
    """
    wanted = np.asarray(wanted, dtype=np.intp)
    quoter = copy(result._rules)
    if not len(wanted):
        return
    if wanted[0] == FIRST:
        yield FIRST, quoter
        wanted = wanted[1:]
    if not len(wanted) or result.parameters is None:
        return
    done = np.flatnonzero(result.parameters["status"] == 0)
    steps = done[done <= wanted[-1]]
    if len(steps) > RETRACED:
        steps = wanted
    names = followed(result)
    asked = set(wanted.tolist())
    # An exact model with a finite horizon is recalibrated row by row: with the time left at that moment, or
    # for ever as if it had none.
    exact = result.model._kernel in ("exact", "cartea_jaimungal")
    by_row = exact and getattr(result.model, "horizon", None) is not None
    # An estimate is put in force by the first decision at or after it.
    decided = np.append(result.decisions["time"], result.totals.end_time)
    left = time_left(result, decided[np.searchsorted(decided[:-1], result.parameters["time"][steps])])
    if by_row and math.isinf(left[0]):
        by_row, quoter = False, _for_ever(quoter)
    for row, seconds in zip(steps.tolist(), left.tolist(), strict=True):
        known = result.parameters[row]
        values = {name: _value(known[name]) for name in names}
        quoter.set(**values, **({"time_left": seconds} if by_row else {}))
        if row in asked:
            yield row, quoter


def _for_ever(quoter: Quoter) -> Quoter:
    """Return a quoter with the same rules of the same model without its horizon."""
    from .quoting import Quoter

    model = quoter.model.replace(horizon=None)
    made = Quoter(model, quoter.instrument, quoter.limits, quoter.obligations, quoter.feed_age)
    made.volatility_scale = quoter.volatility_scale
    if quoter.halted is not None:
        made.halt(quoter.halted)
    return made


def _value(value: Any) -> Any:
    return float(value) if np.ndim(value) == 0 else (float(value[0]), float(value[1]))


def time_left(result: Result, times: ArrayLike) -> NDArray[np.float64]:
    """Return the seconds to the horizon that the policy was read at, at these times (ns)."""
    times = np.asarray(times, dtype=np.int64)
    given = result.settings["time_left"]
    if given is None:
        return (result.totals.end_time - times) / 1e9
    return np.full(times.shape, math.inf if given == "inf" else float(given))


def _age(result: Result, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds since the quote that each decision was made from; 0 where that had no mid."""
    quotes = result.events.quotes
    row = quotes_in_force(quotes, times)
    at = np.maximum(row, 0)
    there = (row >= 0) & (quotes.bid[at] != NO_BID) & (quotes.ask[at] != NO_ASK)
    return np.where(there, (times - quotes.local_time[at]) / 1e9, 0.0)
