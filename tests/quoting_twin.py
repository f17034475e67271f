"""The quoting pipeline in plain Python: the compiled one must equal it to the last bit.

Written from the description in docs/architecture.md, with exact fractions where the kernel uses
integer tricks and lists where it uses a block of bytes.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from fractions import Fraction

from mmcore.quoting import Why

LIMIT = 2**52
NAN = math.nan


@dataclass
class Cell:
    """Depths (NaN: absent), sizes (0: absent) and take at one place."""

    depth: list[float]
    size: list[int]
    take: int = 0


@dataclass
class AffineTwin:
    """The affine shape."""

    base: tuple[float, float]
    slope: tuple[float, float] = (0.0, 0.0)
    base_rate: tuple[float, float] = (0.0, 0.0)
    slope_rate: tuple[float, float] = (0.0, 0.0)
    q_max: float = math.inf
    order_size: float = 1.0
    horizon: float = math.inf
    n_states: int = 1

    @property
    def stationary(self) -> bool:
        """Whether time_left = inf may be read."""
        return not any(self.base_rate + self.slope_rate)

    def at(self, q: float, tau: float, state: int) -> Cell:
        """Depths within the bounds."""
        tau = 0.0 if math.isinf(tau) else tau
        signed = (q, -q)
        depth = [
            (self.base[i] + self.base_rate[i] * tau) + (self.slope[i] + self.slope_rate[i] * tau) * signed[i]
            for i in (0, 1)
        ]
        return Cell(depth, [int(self.order_size)] * 2)


def meet(a: Cell, b: Cell, weight: float) -> Cell:
    """Between two cells: linear depths, the smaller size, the take nearer to zero."""
    depth = [x + weight * (y - x) for x, y in zip(a.depth, b.depth, strict=True)]
    size = [min(x, y) for x, y in zip(a.size, b.size, strict=True)]
    take = 0
    if a.take > 0 and b.take > 0:
        take = min(a.take, b.take)
    if a.take < 0 and b.take < 0:
        take = max(a.take, b.take)
    return Cell(depth, size, take)


@dataclass
class TableTwin:
    """The tabulated shape: cells[state][row][q]."""

    cells: list[list[list[Cell]]]
    q_max: float
    order_size: float = 1.0
    knots: list[float] = field(default_factory=list)
    stationary: bool = True
    horizon: float = math.inf

    @property
    def n_states(self) -> int:
        """Number of states."""
        return len(self.cells)

    def row(self, row: list[Cell], q: float) -> Cell:
        """Between two inventories; a neighbour of weight 0 is not read."""
        step = 2.0 * self.q_max / (len(row) - 1)
        place = (q + self.q_max) / step
        i = math.floor(place)
        if place == i or i + 1 == len(row):
            cell = row[i]
            return Cell(list(cell.depth), list(cell.size), cell.take)
        return meet(row[i], row[i + 1], place - i)

    def at(self, q: float, tau: float, state: int) -> Cell:
        """Depths within the bounds."""
        rows = self.cells[state]
        if not self.knots or tau > self.knots[-1]:
            return self.row(rows[-1], q)
        j = bisect_right(self.knots, tau) - 1
        cell = self.row(rows[j], q)
        if tau > self.knots[j]:
            weight = (tau - self.knots[j]) / (self.knots[j + 1] - self.knots[j])
            cell = meet(cell, self.row(rows[j + 1], q), weight)
        return cell


def unreadable(policy: AffineTwin | TableTwin, q: float, tau: float, state: int) -> int:
    """Why the policy cannot be read."""
    why = 0
    if not math.isfinite(q):
        why |= Why.INVENTORY
    if not 0 <= state < policy.n_states:
        why |= Why.STATE
    if math.isnan(tau):
        why |= Why.TIME
    elif tau < 0:
        why |= Why.PAST_HORIZON
    elif math.isinf(tau):
        why |= 0 if policy.stationary else Why.NO_STATIONARY
    elif tau > policy.horizon:
        why |= Why.BEYOND_HORIZON
    return why


def bounded(
    policy: AffineTwin | TableTwin, inventory: float, tau: float, state: int, shrink: bool
) -> tuple[Cell, int]:
    """Depths, sizes and take within the policy's bounds, and why bits."""
    why = unreadable(policy, inventory, tau, state)
    if why:
        return Cell([NAN, NAN], [0, 0]), why
    q_max = policy.q_max
    q = max(-q_max, min(inventory, q_max))
    cell = policy.at(q, tau, state)
    if shrink:
        full = q_max - policy.order_size
        if q > full or q < -full:
            side = 0 if q > full else 1
            other = policy.at(full if q > full else -full, tau, state)
            cell.depth[side], cell.size[side] = other.depth[side], other.size[side]
    for side, room, absent in (
        (0, q_max - inventory, Why.POLICY_BID),
        (1, q_max + inventory, Why.POLICY_ASK),
    ):
        size, depth = cell.size[side], cell.depth[side]
        if size == 0:
            assert math.isnan(depth)
            why |= absent
        elif size > room:
            if shrink and room >= 1:
                size, why = math.floor(room), why | Why.SHRUNK
            else:
                size, why = 0, why | absent
        cell.size[side] = size
        if size == 0:
            cell.depth[side] = NAN
    return cell, why


def depths(policy: AffineTwin | TableTwin, inventory: float, tau: float, state: int) -> tuple[Cell, int]:
    """Depths that may leave: finite, or NaN where absent."""
    cell, why = bounded(policy, inventory, tau, state, False)
    for side in (0, 1):
        if cell.size[side] and not math.isfinite(cell.depth[side]):
            cell.size[side], cell.depth[side], why = 0, NAN, why | Why.RANGE
    return cell, why


@dataclass
class Rules:
    """Limits, obligations and switches."""

    max_position: float = math.inf
    volatility_scale: float = 1.0
    max_spread: int = 0
    min_size: int = 0
    shrink: bool = False
    halted: bool = False
    halt_after: float = 0.0
    widen_after: float = 0.0
    widen: float = 0.0


def quanta(ticks: float) -> int:
    """Nearest multiple of 2^-20, half to even, in units of 2^-20."""
    return round(Fraction(ticks) * 2**20)


def floor_ticks(ticks: float) -> int:
    """Passive rounding of a bid."""
    return quanta(ticks) // 2**20


def ceil_ticks(ticks: float) -> int:
    """Passive rounding of an ask."""
    return -(-quanta(ticks) // 2**20)


def share(ticks: int, lean: float) -> tuple[int, int]:
    """Halves (bid, ask); an odd tick to the ask when lean > 0, else to the bid."""
    half, odd = divmod(ticks, 2)
    return (half, half + odd) if lean > 0 else (half + odd, half)


def quote(
    policy: AffineTwin | TableTwin,
    rules: Rules,
    reference: float,
    inventory: float,
    bid: int | None = None,
    ask: int | None = None,
    shift: float = 0.0,
    target: float = 0.0,
    time_left: float = math.inf,
    state: int = 0,
    age: float = 0.0,
) -> tuple[int | None, int | None, int, int, int, int]:
    """(bid, ask, bid_size, ask_size, take, why)."""
    at = inventory - target
    touch_bid = -math.inf if bid is None else bid
    touch_ask = math.inf if ask is None else ask
    price: list[int | None] = [None, None]
    size = [0, 0]
    take = 0
    why = 0
    if rules.halted:
        why |= Why.HALTED
    if not math.isfinite(reference):
        why |= Why.REFERENCE
    if not math.isfinite(shift):
        why |= Why.SHIFT
    if not math.isfinite(inventory):
        why |= Why.INVENTORY
    if touch_bid > touch_ask:
        why |= Why.CROSSED
    centre = reference + shift
    overflows = math.isfinite(reference) and math.isfinite(shift) and math.isinf(centre)
    if touch_bid >= LIMIT or touch_ask <= -LIMIT or overflows:
        why |= Why.RANGE
    if rules.halt_after > 0 and not age <= rules.halt_after:
        why |= Why.STALE
    if why:
        why |= unreadable(policy, at, time_left, state)
    else:
        cell, why = bounded(policy, at, time_left, state, rules.shrink)
        readable = not unreadable(policy, at, time_left, state)
        room = [rules.max_position - inventory, rules.max_position + inventory]
        limit = (Why.LIMIT_BID, Why.LIMIT_ASK)

        def limited(lots: int, side: int) -> int:
            nonlocal why
            if lots <= room[side]:
                return lots
            if rules.shrink and room[side] >= 1:
                why |= Why.SHRUNK
                return math.floor(room[side])
            why |= limit[side]
            return 0

        if cell.take:
            side = 0 if cell.take > 0 else 1
            lots = limited(abs(cell.take), side)
            take = lots if side == 0 else -lots
            room[side] -= lots
        more = 0.0
        if readable and rules.widen_after > 0 and not age <= rules.widen_after:
            more = rules.widen * math.sqrt(age)
            why |= Why.WIDENED
        targets = (
            centre - cell.depth[0] * rules.volatility_scale - more,
            centre + cell.depth[1] * rules.volatility_scale + more,
        )
        for side in (0, 1):
            if cell.size[side] == 0:
                continue
            size[side] = limited(cell.size[side], side)
            if size[side] and not -LIMIT < targets[side] < LIMIT:
                size[side], why = 0, why | Why.RANGE
            if size[side]:
                price[side] = (floor_ticks, ceil_ticks)[side](targets[side])
        if price[0] is not None and price[0] >= touch_ask:
            price[0] = ask - 1
            why |= Why.TOUCH_BID
        if price[1] is not None and price[1] <= touch_bid:
            price[1] = bid + 1
            why |= Why.TOUCH_ASK
        if rules.max_spread and price[0] is not None and price[1] is not None:
            excess = price[1] - price[0] - rules.max_spread
            if excess > 0:
                bid_room = touch_ask - 1 - price[0]
                ask_room = price[1] - (touch_bid + 1)
                up, down = share(excess, at)
                if up > bid_room:
                    up, down = bid_room, down + up - bid_room
                if down > ask_room:
                    up, down = up + down - ask_room, ask_room
                up = min(up, bid_room)
                if up or down:
                    why |= Why.TIGHTENED
                price[0] += up
                price[1] -= down
        if rules.min_size:
            held = (inventory + max(take, 0), inventory + min(take, 0))
            for side, sign in ((0, 1), (1, -1)):
                if (
                    0 < size[side] < rules.min_size
                    and sign * held[side] + rules.min_size <= rules.max_position
                    and sign * at + rules.min_size <= policy.q_max
                ):
                    size[side] = rules.min_size
                    why |= Why.TIGHTENED
        if price[0] is not None and price[1] is not None and price[0] >= price[1]:
            down, up = share(price[0] - price[1] + 1, -at)
            price[0] -= down
            price[1] += up
            why |= Why.APART
    if rules.max_spread or rules.min_size:
        met = (
            price[0] is not None
            and price[1] is not None
            and not (rules.max_spread and price[1] - price[0] > rules.max_spread)
            and min(size) >= rules.min_size
        )
        if not met:
            why |= Why.OBLIGATION
    return price[0], price[1], size[0], size[1], take, int(why)
