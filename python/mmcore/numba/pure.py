"""The kernels of :mod:`mmcore.numba` written for numba, to the same bits: nothing outside is called.

A policy and rules are tuples of numbers and arrays here, read out of the compiled ones: numba keeps their
members in registers, so that a loop whose inventory follows from its quotes is as fast as with the formula
written in it; of quotes that do not depend on each other LLVM makes eight of the formula at a time, and these
one by one. They stay as they were when :meth:`mmcore.Quoter.set` is called: read them anew.

Examples
--------
>>> from numba import njit
>>> import mmcore as mm
>>> from mmcore.numba.pure import policy_of, quote, rules_of
>>> quoter = mm.Quoter(mm.Affine(base=1.5, slope=0.25), limits=mm.Limits(max_position=10))
>>> @njit
... def prices(policy, rules, mid, inventory):
...     return quote(policy, rules, mid, inventory).price
>>> prices(policy_of(quoter), rules_of(quoter), 99.5, 0.0)
(98, 101)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..quoting import Policy, Quoter, Why
from . import NO_ASK, NO_BID, RULES, Quoted, _state_of, _touch_ask_of, _touch_bid_of, policy_block
from . import rules_of as _rules_of

__all__ = ["PolicyTuple", "RulesTuple", "depths", "policy_of", "quote", "rules_of"]

_HEADER = np.dtype(
    [
        ("magic", "u4"),
        ("abi", "u4"),
        ("bytes", "u8"),
        ("checksum", "u8"),
        ("version", "u8"),
        ("kind", "i4"),
        ("flags", "i4"),
        ("q_max", "f8"),
        ("order_size", "f8"),
        ("horizon", "f8"),
        ("error", "f8"),
        ("base", "f8", 2),
        ("base_rate", "f8", 2),
        ("slope", "f8", 2),
        ("slope_rate", "f8", 2),
        ("n_states", "i4"),
        ("n_rows", "i4"),
        ("n_knots", "i4"),
        ("n_q", "i4"),
        ("q_step", "f8"),
        ("knots_at", "u8"),
        ("cells_at", "u8"),
    ]
)
_CELL = np.dtype([("depth", "f8", 2), ("size", "i4", 2), ("take", "i4"), ("reserved", "i4")])
_AFFINE = 1  # mm_policy.kind


class PolicyTuple(NamedTuple):
    """What :func:`policy_of` returns; pairs are (bid, ask).

    A row of ``cells`` has the two depths, the two sizes and ``take`` of the cell [state][row][q]. An affine
    policy has neither knots nor cells: its tuple holds no array, whose references numba would count.
    """

    affine: bool
    stationary: bool
    q_max: float
    order_size: float
    horizon: float
    base: tuple[float, float]
    base_rate: tuple[float, float]
    slope: tuple[float, float]
    slope_rate: tuple[float, float]
    n_states: int
    n_rows: int
    n_q: int
    q_step: float
    knots: NDArray[np.float64] | None
    cells: NDArray[np.float64] | None
    version: np.uint64


class RulesTuple(NamedTuple):
    """What :func:`rules_of` returns: the fields of :data:`mmcore.numba.RULES`."""

    max_position: float
    volatility_scale: float
    max_spread: int
    min_size: int
    shrink: bool
    halted: bool
    halt_after: float
    widen_after: float
    widen: float


def policy_of(policy: Policy | Quoter) -> PolicyTuple:
    """Numbers and arrays of a policy, or of the one that a quoter has now; the arrays are copies.

    Examples
    --------
    >>> import mmcore as mm
    >>> policy_of(mm.Affine(base=1.5)).base
    (1.5, 1.5)
    """
    block = policy_block(policy)
    header = block[: _HEADER.itemsize].view(_HEADER)[0]
    n_knots = int(header["n_knots"])
    n = int(header["n_states"]) * int(header["n_rows"]) * int(header["n_q"])
    knots = block[int(header["knots_at"]) :][: 8 * n_knots].view(np.float64)
    cells = block[int(header["cells_at"]) :][: _CELL.itemsize * n].view(_CELL)

    def pair(name: str) -> tuple[float, float]:
        return float(header[name][0]), float(header[name][1])

    return PolicyTuple(
        int(header["kind"]) == _AFFINE,
        bool(header["flags"] & 1),
        float(header["q_max"]),
        float(header["order_size"]),
        float(header["horizon"]),
        pair("base"),
        pair("base_rate"),
        pair("slope"),
        pair("slope_rate"),
        int(header["n_states"]),
        int(header["n_rows"]),
        int(header["n_q"]),
        float(header["q_step"]),
        knots.copy() if n else None,
        np.column_stack((cells["depth"], cells["size"], cells["take"])) if n else None,
        header["version"],  # an np.uint64: a Python int has the type of its size
    )


def rules_of(quoter: Quoter) -> RulesTuple:
    """Rules of a quoter as they are now.

    Examples
    --------
    >>> import mmcore as mm
    >>> rules_of(mm.Quoter(mm.Affine(base=1.5), limits=mm.Limits(max_position=7))).max_position
    7.0
    """
    given: Any = dict(zip(RULES.names or (), _rules_of(quoter)[0].item(), strict=True))
    return RulesTuple(**{**given, "shrink": bool(given["shrink"]), "halted": bool(given["halted"])})


_REFERENCE, _CROSSED, _HALTED = int(Why.REFERENCE), int(Why.CROSSED), int(Why.HALTED)
_LIMIT_BID, _LIMIT_ASK = int(Why.LIMIT_BID), int(Why.LIMIT_ASK)
_NO_STATIONARY, _PAST_HORIZON = int(Why.NO_STATIONARY), int(Why.PAST_HORIZON)
_BEYOND_HORIZON, _TOUCH_BID, _TOUCH_ASK = int(Why.BEYOND_HORIZON), int(Why.TOUCH_BID), int(Why.TOUCH_ASK)
_OBLIGATION, _TIGHTENED, _INVENTORY = int(Why.OBLIGATION), int(Why.TIGHTENED), int(Why.INVENTORY)
_STATE, _RANGE, _SHRUNK = int(Why.STATE), int(Why.RANGE), int(Why.SHRUNK)
_POLICY_BID, _POLICY_ASK, _SHIFT = int(Why.POLICY_BID), int(Why.POLICY_ASK), int(Why.SHIFT)
_TIME, _APART, _STALE, _WIDENED = int(Why.TIME), int(Why.APART), int(Why.STALE), int(Why.WIDENED)

_TICK_LIMIT, _NARROW = 1 << 52, 2.0**31
_QUANTA = np.int64(0x4338000000000000)
_SHIFTED, _ROUND_UP, _HALF = np.int64(0x41F0000000000000), (1 << 20) - 1, 1 << 31


@njit(error_model="numpy")
def _finite(x):  # type: ignore[no-untyped-def]
    return x - x == 0.0


@njit(error_model="numpy")
def _meet(a, b, weight):  # type: ignore[no-untyped-def]
    """What two cells agree on, see mm_cell_meet."""
    bid, ask, bid_size, ask_size, take = a
    other_bid, other_ask, other_bid_size, other_ask_size, other = b
    bid += weight * (other_bid - bid)
    ask += weight * (other_ask - ask)
    if (take > 0) != (other > 0) or (take < 0) != (other < 0):
        take = 0
    elif take > 0:
        take = min(take, other)
    else:
        take = max(take, other)
    return bid, ask, min(bid_size, other_bid_size), min(ask_size, other_ask_size), take


@njit(error_model="numpy", inline="always")
def _cell(p, i):  # type: ignore[no-untyped-def]
    c = p.cells
    return c[i, 0], c[i, 1], np.int64(c[i, 2]), np.int64(c[i, 3]), np.int64(c[i, 4])


@njit(error_model="numpy")
def _row_at(p, row, q):  # type: ignore[no-untyped-def]
    at = (q + p.q_max) / p.q_step
    i = np.int64(at)
    weight = at - np.float64(i)
    cell = _cell(p, row + i)
    if weight > 0.0 and i + 1 < p.n_q:
        return _meet(cell, _cell(p, row + i + 1), weight)
    return cell


@njit(error_model="numpy")
def _table_at(p, q, tau, state):  # type: ignore[no-untyped-def]
    rows, last = state * p.n_rows * p.n_q, p.knots.size - 1
    if last < 0 or tau > p.knots[last]:
        return _row_at(p, rows + (p.n_rows - 1) * p.n_q, q)
    low, high = 0, p.knots.size
    while high - low > 1:
        middle = low + (high - low) // 2
        if p.knots[middle] <= tau:
            low = middle
        else:
            high = middle
    row = rows + low * p.n_q
    cell = _row_at(p, row, q)
    if tau > p.knots[low]:
        above = _row_at(p, row + p.n_q, q)
        return _meet(cell, above, (tau - p.knots[low]) / (p.knots[low + 1] - p.knots[low]))
    return cell


@njit(error_model="numpy")
def _read(p, cells, q, tau, state):  # type: ignore[no-untyped-def]
    if cells is not None:  # decided when it is compiled
        return _table_at(p, q, tau, state)
    size = np.int64(p.order_size)
    if p.stationary:
        return p.base[0] + p.slope[0] * q, p.base[1] - p.slope[1] * q, size, size, np.int64(0)
    slope_bid, slope_ask = p.slope[0] + p.slope_rate[0] * tau, p.slope[1] + p.slope_rate[1] * tau
    bid = (p.base[0] + p.base_rate[0] * tau) + slope_bid * q
    ask = (p.base[1] + p.base_rate[1] * tau) - slope_ask * q
    return bid, ask, size, size, np.int64(0)


@njit(error_model="numpy", inline="always")
def _shape_at(p, q, tau, state):  # type: ignore[no-untyped-def]
    return _read(p, p.cells, q, tau, state)


@njit(error_model="numpy", inline="always")
def _unreadable(p, q, tau, state):  # type: ignore[no-untyped-def]
    """Why the policy cannot be read there; 0 where it can."""
    why = 0
    if not _finite(q):
        why |= _INVENTORY
    if state < 0 or state >= p.n_states:
        why |= _STATE
    if tau != tau:
        why |= _TIME
    elif tau < 0.0:
        why |= _PAST_HORIZON
    elif tau == np.inf:
        why |= 0 if p.stationary else _NO_STATIONARY
    elif tau > p.horizon:
        why |= _BEYOND_HORIZON
    return why


@njit(error_model="numpy", inline="always")
def _cell_at(p, inventory, tau, state, shrink):  # type: ignore[no-untyped-def]
    q = p.q_max if inventory > p.q_max else inventory
    q = -p.q_max if q < -p.q_max else q
    bid, ask, bid_size, ask_size, take = _shape_at(p, q, tau, state)
    if shrink:
        full = p.q_max - p.order_size
        if q > full:
            bid, _, bid_size, _, _ = _shape_at(p, full, tau, state)
        elif q < -full:
            _, ask, _, ask_size, _ = _shape_at(p, -full, tau, state)
    return bid, ask, bid_size, ask_size, take


@njit(error_model="numpy", inline="always")
def _fitted(size, room, shrink, reason):  # type: ignore[no-untyped-def]
    """The part of a size that the room leaves, and why it is not all."""
    if size > 0 and size <= room:
        return size, 0
    if not shrink or size <= 0 or not room >= 1.0:
        return np.int64(0), reason
    return np.int64(room), _SHRUNK


@njit(error_model="numpy", inline="always")
def depths(policy, inventory, time_left=np.inf, state=0):  # type: ignore[no-untyped-def]
    """Depths of both sides, ticks, as :func:`mmcore.numba.depths`; the policy is from :func:`policy_of`."""
    state = _state_of(state)
    if _unreadable(policy, inventory, time_left, state):
        return np.nan, np.nan
    bid, ask, bid_size, ask_size, _ = _cell_at(policy, inventory, time_left, state, False)
    if not (bid_size > 0 and bid_size <= policy.q_max - inventory and _finite(bid)):
        bid = np.nan
    if not (ask_size > 0 and ask_size <= policy.q_max + inventory and _finite(ask)):
        ask = np.nan
    return bid, ask


@njit(error_model="numpy")
def _quanta(ticks):  # type: ignore[no-untyped-def]
    return np.float64(ticks * 1048576.0 + 6755399441055744.0).view(np.int64) - _QUANTA


@njit(error_model="numpy")
def _bits(ticks):  # type: ignore[no-untyped-def]
    """See mm_quanta_bits; an int64, whose bits from 52 on say that the price is beyond."""
    return np.float64(ticks + 6442450944.0).view(np.int64) - _SHIFTED


@njit(error_model="numpy")
def _floor_ticks(ticks):  # type: ignore[no-untyped-def]
    if abs(ticks) < _NARROW:
        return _quanta(ticks) >> 20
    whole = np.int64(ticks)
    if np.float64(whole) > ticks:
        whole -= 1
    if abs(ticks) <= 4294967296.0:
        whole += _quanta(ticks - np.float64(whole)) >> 20
    return whole


@njit(error_model="numpy")
def _share(ticks, lean):  # type: ignore[no-untyped-def]
    half, odd = ticks // 2, ticks & 1
    return (half, half + odd) if lean > 0.0 else (half + odd, half)


@njit(error_model="numpy", inline="always")
def _older(age, bound):  # type: ignore[no-untyped-def]
    return bound > 0.0 and not age <= bound


@njit(error_model="numpy")
def _refusal(p, rules, reference, inventory, bid, ask, shift, target, tau, state, age):  # type: ignore[no-untyped-def]
    why = _unreadable(p, inventory - target, tau, state)
    if rules.halted:
        why |= _HALTED
    if not _finite(reference):
        why |= _REFERENCE
    if not _finite(shift):
        why |= _SHIFT
    if _finite(reference) and _finite(shift) and not _finite(reference + shift):
        why |= _RANGE
    if not _finite(inventory):
        why |= _INVENTORY
    if bid > ask:
        why |= _CROSSED
    if bid >= _TICK_LIMIT or ask <= -_TICK_LIMIT:
        why |= _RANGE
    if _older(age, rules.halt_after):
        why |= _STALE
    if rules.max_spread or rules.min_size:
        why |= _OBLIGATION
    return why


@njit(error_model="numpy")
def _obliged_prices(rules, at, touch_bid, touch_ask, bid, ask):  # type: ignore[no-untyped-def]
    """Prices within the largest spread where the touch leaves room."""
    excess = ask - bid - rules.max_spread
    if excess <= 0:
        return bid, ask, 0
    far = 2 * _TICK_LIMIT
    bid_room = min(touch_ask, far) - 1 - bid
    ask_room = ask - 1 - max(touch_bid, -far)
    up, down = _share(excess, at)
    if up > bid_room:
        down += up - bid_room
        up = bid_room
    if down > ask_room:
        up += down - ask_room
        down = ask_room
    up = min(up, bid_room)
    return bid + up, ask - down, _TIGHTENED if up or down else 0


@njit(error_model="numpy", inline="always")
def _plain(p, rules, tau, state, age):  # type: ignore[no-untyped-def]
    """Whether the straight lines of :func:`quote` may be tried; a loop asks it once.

    Not where orders shrink, unlike the kernel, which asks each quote whether one would: without that a single
    test of the room is left in the loop.
    """
    shape = p.affine & p.stationary
    rare = rules.shrink | rules.halted | (rules.max_spread != 0) | (rules.min_size != 0)
    now = (state == 0) & (tau == np.inf) & (age == 0.0)
    return shape & (not rare) & (rules.volatility_scale == 1.0) & now


@njit(error_model="numpy", inline="always")
def quote(  # type: ignore[no-untyped-def]
    policy,
    rules,
    reference,
    inventory,
    touch_bid=NO_BID,
    touch_ask=NO_ASK,
    shift=0.0,
    target=0.0,
    time_left=np.inf,
    state=0,
    age=0.0,
):
    """The quote now, as :func:`mmcore.numba.quote`: a :class:`~mmcore.numba.Quoted`.

    Parameters
    ----------
    policy : PolicyTuple
        From :func:`policy_of`.
    rules : RulesTuple
        From :func:`rules_of`.
    reference, inventory, touch_bid, touch_ask, shift, target, time_left, state, age
        As of :func:`mmcore.numba.quote`, touches and state of the same types.
    """
    touch_bid, touch_ask, state = _touch_bid_of(touch_bid), _touch_ask_of(touch_ask), _state_of(state)
    at, centre = inventory - target, reference + shift
    if (
        _plain(policy, rules, time_left, state, age)
        and policy.q_max - abs(at) >= policy.order_size
        and rules.max_position - abs(inventory) >= policy.order_size
        and touch_bid <= touch_ask
        and touch_bid < _TICK_LIMIT
        and touch_ask > -_TICK_LIMIT
    ):
        down = _bits(centre - (policy.base[0] + policy.slope[0] * at))
        up = _bits(centre + (policy.base[1] - policy.slope[1] * at)) + _ROUND_UP
        if (down | up) >> 52 == 0:
            low, high = (down >> 20) - _HALF, (up >> 20) - _HALF
            bid, ask = min(low, touch_ask - 1), max(high, touch_bid + 1)
            if bid < ask:
                why = (_TOUCH_BID if bid < low else 0) | (_TOUCH_ASK if ask > high else 0)
                size = np.int64(policy.order_size)
                sizes, take = (size, size), np.int64(0)
                return Quoted((bid, ask), sizes, take, policy.version, why)  # type: ignore[arg-type]
    return _quote(
        policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state, age
    )


@njit(error_model="numpy")
def _quote(  # type: ignore[no-untyped-def]
    policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state, age
):
    """The whole pipeline, see mm_quote_traced."""
    at, centre = inventory - target, reference + shift
    why = _unreadable(policy, at, time_left, state)
    if (
        why
        or (centre - centre) + (at - at) != 0.0
        or touch_bid > touch_ask
        or touch_bid >= _TICK_LIMIT
        or touch_ask <= -_TICK_LIMIT
        or rules.halted
        or _older(age, rules.halt_after)
    ):
        why = _refusal(
            policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state, age
        )
        return Quoted((NO_BID, NO_ASK), (np.int64(0), np.int64(0)), np.int64(0), policy.version, why)  # type: ignore[arg-type]

    shrink = rules.shrink
    bid_depth, ask_depth, bid_size, ask_size, wanted = _cell_at(policy, at, time_left, state, shrink)
    buy, sell = rules.max_position - inventory, rules.max_position + inventory
    take = np.int64(0)
    if wanted > 0:
        take, because = _fitted(wanted, buy, shrink, _LIMIT_BID)
        why |= because
        buy -= np.float64(take)
    elif wanted < 0:
        sold, because = _fitted(-wanted, sell, shrink, _LIMIT_ASK)
        why |= because
        take = -sold
        sell += np.float64(take)
    bid_size, because = _fitted(bid_size, policy.q_max - at, shrink, _POLICY_BID)
    why |= because
    ask_size, because = _fitted(ask_size, policy.q_max + at, shrink, _POLICY_ASK)
    why |= because
    if bid_size:
        bid_size, because = _fitted(bid_size, buy, shrink, _LIMIT_BID)
        why |= because
    if ask_size:
        ask_size, because = _fitted(ask_size, sell, shrink, _LIMIT_ASK)
        why |= because

    bid_target = centre - bid_depth * rules.volatility_scale
    ask_target = centre + ask_depth * rules.volatility_scale
    if _older(age, rules.widen_after):
        more = rules.widen * np.sqrt(age)
        bid_target -= more
        ask_target += more
        why |= _WIDENED
    if bid_size and not abs(bid_target) < _TICK_LIMIT:
        bid_size = np.int64(0)
        why |= _RANGE
    if ask_size and not abs(ask_target) < _TICK_LIMIT:
        ask_size = np.int64(0)
        why |= _RANGE
    bid = _floor_ticks(bid_target) if bid_size else NO_BID
    ask = -_floor_ticks(-ask_target) if ask_size else NO_ASK
    if bid >= touch_ask:
        bid = touch_ask - 1
        why |= _TOUCH_BID
    if ask <= touch_bid:
        ask = touch_bid + 1
        why |= _TOUCH_ASK

    obliged = rules.max_spread != 0 or rules.min_size != 0
    if obliged:
        if bid_size and ask_size and rules.max_spread:
            bid, ask, because = _obliged_prices(rules, at, touch_bid, touch_ask, bid, ask)
            why |= because
        if rules.min_size:
            size = np.float64(rules.min_size)
            bought = inventory + (np.float64(take) if take > 0 else 0.0)
            left = inventory + (np.float64(take) if take < 0 else 0.0)
            if (
                0 < bid_size < rules.min_size
                and bought + size <= rules.max_position
                and at + size <= policy.q_max
            ):
                bid_size = rules.min_size
                why |= _TIGHTENED
            if (
                0 < ask_size < rules.min_size
                and left - size >= -rules.max_position
                and at - size >= -policy.q_max
            ):
                ask_size = rules.min_size
                why |= _TIGHTENED
    if bid >= ask:
        down, up = _share(bid - ask + 1, -at)
        bid -= down
        ask += up
        why |= _APART
    if obliged and not (
        bid_size
        and ask_size
        and (not rules.max_spread or ask - bid <= rules.max_spread)
        and bid_size >= rules.min_size
        and ask_size >= rules.min_size
    ):
        why |= _OBLIGATION
    return Quoted((bid, ask), (bid_size, ask_size), take, policy.version, why)  # type: ignore[arg-type]
