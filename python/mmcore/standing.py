"""What stood in the market: our orders at their prices, from when to when, and why a side was absent.

Without :class:`~mmcore.orders.Orders` the order of a decision stands from its ``live_time`` until the next
one is live, or it is filled. With them the venue logs what stood. Both give the same :class:`Standing`, from
which presence, fill rates and intensities follow.

An order may outlive its decision, while the market moves: its depth and its place against the touch are
those of the decision in force, the last one with a ``live_time`` before. So what stands is cut where
a decision becomes live (:func:`pieces`). Without orders nothing is left to cut.

Times are ns; trades in (start, end] may fill.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .results import Presence, Result

__all__ = ["Covered", "Pieces", "Standing", "pieces", "presence", "quoted", "standing"]

SIDES = ("bid", "ask")

Int64Array = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standing:
    """One row for each order at a price; columns of equal length.

    Parameters
    ----------
    order_id : ndarray
        As in the fills.
    side : ndarray
        0 bid, 1 ask.
    decision : ndarray
        Row of the decision that put it there.
    price : ndarray
        Ticks.
    start, end : ndarray
        ns.
    """

    order_id: Int64Array
    side: Int64Array
    decision: Int64Array
    price: Int64Array
    start: Int64Array
    end: Int64Array

    def __len__(self) -> int:
        return len(self.order_id)

    @cached_property
    def covered(self) -> tuple[Covered, Covered, Covered]:
        """When the bid, the ask, and at least one of them stood."""
        bid = self.side == 0
        return (
            Covered(self.start[bid], self.end[bid]),
            Covered(self.start[~bid], self.end[~bid]),
            Covered(self.start, self.end),
        )


class Covered:
    """The union of intervals of time.

    Parameters
    ----------
    start, end : ndarray
        ns.

    Examples
    --------
    >>> covered = Covered(np.array([0, 5, 20]), np.array([10, 12, 21]))
    >>> covered.until(np.array([-1, 6, 30])).tolist()
    [0, 6, 13]
    """

    def __init__(self, start: Int64Array, end: Int64Array) -> None:
        order = np.argsort(start, kind="stable")
        start, reach = start[order], np.maximum.accumulate(end[order])
        first = np.flatnonzero(np.append(True, start[1:] > reach[:-1])[: len(start)])
        last = np.append(first[1:], len(start))[: len(first)] - 1
        self.start: Int64Array = start[first]
        self.end: Int64Array = reach[last]
        self._before: Int64Array = np.append(0, np.cumsum(self.end - self.start))

    def until(self, times: Int64Array) -> Int64Array:
        """Return how much of the time (ns) was covered by each of `times`."""
        at = np.searchsorted(self.start, times, "right") - 1
        if not len(self.start):
            return np.zeros(np.shape(times), dtype=np.int64)
        row = np.maximum(at, 0)
        inside = np.minimum(times - self.start[row], self.end[row] - self.start[row])
        return np.where(at >= 0, self._before[row] + inside, 0)


def standing(result: Result) -> Standing:
    """Return what stood in the market during a replay, from the venue's log or else from the decisions."""
    if result.order_log is not None:
        log = result.order_log.standing
        columns = ("order_id", "side", "decision", "price", "time", "end_time")
        return Standing(*(log[name].astype(np.int64) for name in columns))
    d, fills, context, end = result.decisions, result.fills, result.fill_context, result.totals.end_time
    live = d["live_time"].astype(np.int64)
    until = np.minimum(np.append(live[1:], end)[: len(live)], end)
    columns_of = []
    for s, side in enumerate(SIDES):
        at = np.flatnonzero((live < end) & (d[f"{side}_size"] > 0) & ((d["lost"] >> s) & 1 == 0))
        done = (context["complete"] == 1) & ((fills["qty"] < 0) == (s == 1))
        last = until.copy()
        last[context["decision"][done]] = fills["receive_time"][done]
        columns_of.append((2 * at + s + 1, np.full(len(at), s), at, d[side][at], live[at], last[at]))
    return Standing(*(np.concatenate(parts) for parts in zip(*columns_of, strict=True)))


@dataclass(frozen=True, eq=False)
class Pieces:
    """What stood, cut where a decision becomes live; columns of equal length.

    Parameters
    ----------
    order_id, side, decision : ndarray
        The order; 0 bid, 1 ask; row of the decision in force.
    depth : ndarray
        From that decision's reference, ticks.
    place : ndarray
        Against its touch: 0 inside, 1 at, 2 behind.
    seconds, unfilled : ndarray
        For how long it stood, and until it was first hit.
    lots : ndarray
        Filled meanwhile.
    """

    order_id: Int64Array
    side: Int64Array
    decision: Int64Array
    depth: FloatArray
    place: Int64Array
    seconds: FloatArray
    unfilled: FloatArray
    lots: Int64Array


def pieces(result: Result) -> Pieces:
    """Cut what stood at the decisions, and lay the fills on it."""
    s, d, fills = result.standing, result.decisions, result.fills
    live = d["live_time"].astype(np.int64)
    last = np.searchsorted(live, s.end, "left") - 1  # in force at the end
    count = np.maximum(last - s.decision, 0) + 1
    first_row = np.append(0, np.cumsum(count))
    row = np.repeat(np.arange(len(s)), count)
    decision = s.decision[row] + np.arange(len(row)) - first_row[row]
    start = np.maximum(s.start[row], live[decision])
    end = np.minimum(s.end[row], np.append(live, np.iinfo(np.int64).max)[decision + 1])

    time = fills["receive_time"].astype(np.int64)
    hit = _rows_of(s, fills["order_id"].astype(np.int64), time)
    hit = first_row[hit] + result.fill_context["decision"] - s.decision[hit]
    lots = np.bincount(hit, np.abs(fills["qty"]), minlength=len(row)).astype(np.int64)
    first = end.copy()
    np.minimum.at(first, hit, time)

    side, price = s.side[row], s.price[row]
    sign = 1 - 2 * side
    touch = np.where(side == 0, d["touch_bid"][decision], d["touch_ask"][decision])
    return Pieces(
        s.order_id[row],
        side,
        decision,
        sign * (d["reference"][decision] - price),
        1 - sign * np.sign(np.where(touch == price, 0, np.where(price > touch, 1, -1))),
        (end - start) / 1e9,
        (first - start) / 1e9,
        lots,
    )


def _rows_of(s: Standing, order_id: Int64Array, time: Int64Array) -> Int64Array:
    """Return the row of `s` that each fill hit: the last one of its order that began before it."""
    starts = np.sort(s.start)
    base = len(starts) + 1
    key = s.order_id * base + np.searchsorted(starts, s.start, "left")
    order = np.argsort(key, kind="stable")
    at = np.searchsorted(key[order], order_id * base + np.searchsorted(starts, time, "left"), "left") - 1
    return order[at]


# ---- presence


def presence(result: Result) -> Presence:
    """Return the shares of time with quotes in the market, and the reasons for the rest."""
    from .results import Presence

    d, first, end = result.decisions, result.totals.first_time, result.totals.end_time
    span = end - first
    if span <= 0 or not len(d):
        return Presence(0.0, 0.0, 0.0, 1.0)
    live = np.minimum(d["live_time"], end).astype(np.int64)
    edges = np.append(live, end)
    bid, ask, either = (np.diff(covered.until(edges)) for covered in result.standing.covered)
    absent_why = _absences if result.order_log is None else _absences_with_orders
    shares = {}
    for s, (side, held) in enumerate(zip(SIDES, (bid, ask), strict=True)):
        reasons = {"not yet live": int(live[0]) - first} | absent_why(result, s, np.diff(edges) - held, edges)
        shares[side] = {reason: time / span for reason, time in reasons.items() if time}
    with_bid, with_ask, with_any = int(bid.sum()), int(ask.sum()), int(either.sum())
    both = with_bid + with_ask - with_any
    names = dict.fromkeys([*shares["bid"], *shares["ask"]])
    return Presence(
        both / span,
        (with_bid - both) / span,
        (with_ask - both) / span,
        (span - with_any) / span,
        {r: (shares["bid"].get(r, 0.0) + shares["ask"].get(r, 0.0)) / 2 for r in names},
        shares["bid"],
        shares["ask"],
    )


FILLED = "filled, until the next decision"


def _absences(result: Result, s: int, absent: Int64Array, edges: Int64Array) -> dict[str, int]:
    """Return how long (ns) the side was absent in the windows of the decisions, by reason."""
    d = result.decisions
    mine = result.standing.side == s
    placed = np.zeros(len(d), dtype=bool)
    placed[result.standing.decision[mine]] = True
    void = (d["lost"] >> s) & 1 == 1
    found = {
        FILLED: int(absent[placed].sum()),
        "lost in flight: the side was filled meanwhile": int(absent[void & ~placed].sum()),
    }
    return _unwanted(result, s, absent, ~placed & ~void, found)


def _absences_with_orders(result: Result, s: int, absent: Int64Array, edges: Int64Array) -> dict[str, int]:
    """Return the same where orders stand between the decisions and the market."""
    from .orders import Held

    d, fills, log = result.decisions, result.fills, result.order_log
    assert log is not None
    covered = result.standing.covered[s]
    done = (result.fill_context["complete"] == 1) & ((fills["qty"] < 0) == (s == 1))
    time = fills["receive_time"][done].astype(np.int64)
    # A gap begins where the last order that stood was filled; it ends with the next order, or with the first
    # decision that knew.
    row = np.searchsorted(covered.end, time)
    ends = covered.end[row] == time
    time, row = time[ends], row[ends]
    following = np.append(covered.start, edges[-1])[row + 1]
    knew = np.searchsorted(d["time"], time + (d["live_time"][0] - d["time"][0]), "left")
    gaps = Covered(time, np.maximum(time, np.minimum(following, edges[knew])))
    filled = np.diff(gaps.until(edges))
    found = {FILLED: int(filled.sum())}
    absent = absent - filled

    # What held the side back; where nothing did, and where an order was there already, the touch met it on
    # the way or drove it out.
    wanted = d[f"{SIDES[s]}_size"] > 0
    held = log.held[:, s] & ~np.uint16(Held.HYSTERESIS | Held.LIFE)
    for bits in np.unique(held[wanted]):
        (reason,) = Held(int(bits) or Held.TOUCH).words[:1]
        found[reason] = found.get(reason, 0) + int(absent[wanted & (held == bits)].sum())
    return _unwanted(result, s, absent, ~wanted, found)


def _unwanted(
    result: Result, s: int, absent: Int64Array, rows: NDArray[np.bool_], found: dict[str, int]
) -> dict[str, int]:
    """Add the decisions that did not want the side, by their own reasons."""
    from .quoting import reasons

    why = result.decisions["why"]
    for bits in np.unique(why[rows]):
        # one reason for each stretch of time, so that the shares of a side add up to its absence
        (reason, *_) = reasons(int(bits), SIDES[s]) or ("no reason given",)
        found[reason] = found.get(reason, 0) + int(absent[rows & (why == bits)].sum())
    return found


# ---- for charts


def quoted(result: Result) -> dict[str, NDArray[Any]]:
    """Return our best prices in the market over time, for charts: steps, NaN where absent.

    Columns ``time`` (ns), ``bid``, ``ask``, and ``touch_bid``, ``touch_ask`` of the decision in force;
    ticks. Without orders the prices are those of the decisions, filled or not.
    """
    d = result.decisions
    live = d["live_time"].astype(np.int64)
    touch = {
        f"touch_{side}": np.where(
            np.abs(d[f"touch_{side}"].astype(np.float64)) < 2**62,
            d[f"touch_{side}"].astype(np.float64),
            np.nan,
        )
        for side in SIDES
    }
    if result.order_log is None:
        ours = {side: _absent(d[side], d[f"{side}_size"]) for side in SIDES}
        return {"time": live, **ours, **touch}
    steps = [_best(result.standing, s) for s in range(2)]
    time = np.unique(np.concatenate([live[live < result.totals.end_time], *(at for at, _ in steps)]))
    found: dict[str, NDArray[Any]] = {"time": time}
    for side, (at, price) in zip(SIDES, steps, strict=True):
        found[side] = np.append(np.nan, price)[np.searchsorted(at, time, "right")]
    row = np.searchsorted(live, time, "right")
    return found | {name: np.append(np.nan, column)[row] for name, column in touch.items()}


def _absent(prices: NDArray[Any], sizes: NDArray[Any]) -> FloatArray:
    return np.where(np.asarray(sizes) > 0, np.asarray(prices, dtype=np.float64), np.nan)


def _best(s: Standing, side: int) -> tuple[Int64Array, FloatArray]:
    """Return the best price of a side from each of the moments on at which it may change."""
    mine = s.side == side
    price, start, end = s.price[mine], s.start[mine], s.end[mine]
    at = np.unique(np.concatenate([start, end]))
    low, high = np.searchsorted(at, start), np.searchsorted(at, end)
    # each order over the steps of its life, which are few: they come from the others of its side
    row = np.repeat(np.arange(len(price)), high - low)
    step = low[row] + np.arange(len(row)) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    best = np.full(len(at), -np.inf)
    sign = 1 - 2 * side
    np.maximum.at(best, step, sign * price[row].astype(np.float64))
    return at, np.where(np.isfinite(best), sign * best, np.nan)
