"""Loops of one quote inside numba: the formula as one would write it by hand, and both forms of ours."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

import mmcore as mm
import mmcore.numba as by_symbol
from mmcore.numba import pure

Loop = Callable[[int], int]
HAND, SYMBOL, TWIN = "the formula inlined", "mmcore.numba", "mmcore.numba.pure"


@njit(inline="always")
def formula(policy, rules, reference, inventory, touch_bid, touch_ask):
    """Prices quantised, rounded, and kept from crossing; sides within the limit."""
    base, slope, limit = policy
    bid = math.floor(np.rint((reference - (base + slope * inventory)) * 1048576.0) / 1048576.0)
    ask = math.ceil(np.rint((reference + (base - slope * inventory)) * 1048576.0) / 1048576.0)
    buys, sells = inventory + 1 <= limit, inventory - 1 >= -limit
    bid = min(bid, touch_ask - 1) if buys else by_symbol.NO_BID
    ask = max(ask, touch_bid + 1) if sells else by_symbol.NO_ASK
    return (bid, ask), (np.int64(buys), np.int64(sells))


@njit(inline="always")
def called(policy, rules, reference, inventory, touch_bid, touch_ask):
    """The kernel, by its symbol."""
    q = by_symbol.quote(policy, rules, reference, inventory, touch_bid, touch_ask)
    return q.price, q.size


@njit(inline="always")
def twin(policy, rules, reference, inventory, touch_bid, touch_ask):
    """The kernel written for numba."""
    q = pure.quote(policy, rules, reference, inventory, touch_bid, touch_ask)
    return q.price, q.size


def loop_of(quote: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loop over rows of a market, again and again; it sums what is quoted."""

    @njit
    def run(policy, rules, reference, inventory, touch_bid, touch_ask, n):
        total, last = 0, reference.size - 1
        for turn in range(n):
            i = turn & last
            price, size = quote(policy, rules, reference[i], inventory[i], touch_bid[i], touch_ask[i])
            total += price[0] + price[1] + size[0] - size[1]
        return total

    return run


def chain_of(quote: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same for a maker whose inventory follows from its quotes: one at the touch is filled."""

    @njit
    def run(policy, rules, reference, inventory, touch_bid, touch_ask, n):
        total, last, held = 0, reference.size - 1, 0.0
        for turn in range(n):
            i = turn & last
            price, _ = quote(policy, rules, reference[i], held, touch_bid[i], touch_ask[i])
            held += np.float64(price[0] >= touch_bid[i]) - np.float64(price[1] <= touch_ask[i])
            total += price[0] + price[1]
        return total

    return run


def loops(
    quoter: mm.Quoter, policy: mm.Affine, limit: float, *rows: Any, of: Callable[..., Any] = loop_of
) -> dict[str, Loop]:
    """Return each loop as a function of how many quotes to make; the rows are a power of two."""
    given: dict[str, tuple[Any, Any, Any]] = {
        HAND: (formula, (policy.base[0], policy.slope[0], limit), 0),
        SYMBOL: (called, by_symbol.policy_block(policy), by_symbol.rules_of(quoter)),
        TWIN: (twin, pure.policy_of(policy), pure.rules_of(quoter)),
    }

    def bound(quote: Callable[..., Any], block: Any, rules: Any) -> Loop:
        run = of(quote)
        return lambda n: run(block, rules, *rows, n)

    return {name: bound(*way) for name, way in given.items()}
