"""One strategy of hftbacktest three times: with the formula in its loop, and with our two numba forms.

    PYTHONPATH=python build/peers/hftbacktest/bin/python -m bench.hftbacktest_peer

(``make peers`` makes the environment.) The strategy re-quotes both sides around the mid every 10 ms, with
depths that are affine in inventory. The formula's prices are rounded as ours are, so that all three send the
same orders: the account's records must be equal. Prints those and the CPU time of each, the best of
interleaved rounds, as JSON.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTX,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)
from numba import njit

import mmcore as mm
import mmcore.numba as by_symbol
from mmcore.numba import pure

from .quote_loops import HAND, SYMBOL, TWIN, called, formula, twin

TICK, BASE, SLOPE, Q_MAX = 0.5, 1.25, 0.125, 20.0
STEP = 10_000_000  # ns


def market(seconds: int, seed: int) -> np.ndarray[Any, Any]:
    """A touch one tick wide that walks, and trades through it: hftbacktest's events."""
    rng = np.random.default_rng(seed)
    n = seconds * 20
    stamps = np.sort(rng.integers(0, seconds * 10**9, n)) + 10**9
    events, bid, depth = [], 20_000, 5.0

    def add(kind: int, side: int, at: int, ticks: float, qty: float) -> None:
        events.append((EXCH_EVENT | LOCAL_EVENT | kind | side, at, at, ticks * TICK, qty, 0, 0, 0.0))

    add(DEPTH_EVENT, BUY_EVENT, 10**9, bid, depth)
    add(DEPTH_EVENT, SELL_EVENT, 10**9, bid + 1, depth)
    moves, reaches = rng.integers(-3, 4, n).tolist(), rng.integers(0, 4, n).tolist()
    for at, move, reach in zip(stamps.tolist(), moves, reaches, strict=True):
        if move == 3:  # up: the ask goes first
            add(DEPTH_EVENT, SELL_EVENT, at, bid + 1, 0.0)
            add(DEPTH_EVENT, SELL_EVENT, at, bid + 2, depth)
            add(DEPTH_EVENT, BUY_EVENT, at, bid + 1, depth)
            bid += 1
        elif move == -3:
            add(DEPTH_EVENT, BUY_EVENT, at, bid, 0.0)
            add(DEPTH_EVENT, BUY_EVENT, at, bid - 1, depth)
            add(DEPTH_EVENT, SELL_EVENT, at, bid, depth)
            bid -= 1
        elif move == 1:
            add(TRADE_EVENT, BUY_EVENT, at, bid + 1 + reach, 1.0)
        elif move == -1:
            add(TRADE_EVENT, SELL_EVENT, at, bid - reach, 1.0)
    return np.array(events, dtype=event_dtype)


def strategy(quote: Callable[..., Any]) -> Callable[..., Any]:
    """The loop around one way to quote."""

    @njit
    def run(hbt, policy, rules, record):
        turn = 0
        while hbt.elapse(STEP) == 0:
            depth = hbt.depth(0)
            best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
            if best_bid <= 0 or best_ask <= best_bid:
                continue
            inventory = hbt.position(0)
            (bid, ask), (bid_size, ask_size) = quote(
                policy, rules, 0.5 * (best_bid + best_ask), inventory, best_bid, best_ask
            )
            hbt.clear_inactive_orders(0)
            orders = hbt.orders(0)
            have_bid, have_ask = False, False
            values = orders.values()
            while values.has_next():
                order = values.get()
                wanted = (order.price_tick == bid and bid_size > 0) or (
                    order.price_tick == ask and ask_size > 0
                )
                if wanted:
                    have_bid |= order.price_tick == bid
                    have_ask |= order.price_tick == ask
                elif order.cancellable:
                    hbt.cancel(0, order.order_id, False)
            if bid_size > 0 and not have_bid:
                hbt.submit_buy_order(0, bid, bid * TICK, 1.0, GTX, LIMIT, False)
            if ask_size > 0 and not have_ask:
                hbt.submit_sell_order(0, ask, ask * TICK, 1.0, GTX, LIMIT, False)
            if turn < record.shape[0]:
                record[turn, 0], record[turn, 1], record[turn, 2] = bid, ask, inventory
            turn += 1
        return turn

    return run


def main(seconds: int, rounds: int) -> None:
    """Run all three on the same market."""
    events = market(seconds, seed=1)
    policy = mm.Affine(base=BASE, slope=SLOPE, q_max=Q_MAX)
    quoter = mm.Quoter(policy)
    ways = {
        HAND: (formula, (BASE, SLOPE, Q_MAX), 0),
        SYMBOL: (called, by_symbol.policy_block(policy), by_symbol.rules_of(quoter)),
        TWIN: (twin, pure.policy_of(policy), pure.rules_of(quoter)),
    }
    loops = {name: strategy(way[0]) for name, way in ways.items()}
    best = dict.fromkeys(ways, math.inf)
    records: dict[str, Any] = {}
    for turn in range(rounds + 1):  # the first compiles
        for name, (_, block, rules) in ways.items():
            asset = (
                BacktestAsset()
                .data(events)
                .linear_asset(1.0)
                .constant_order_latency(1_000_000, 1_000_000)
                .risk_adverse_queue_model()
                .no_partial_fill_exchange()
                .trading_value_fee_model(0.0, 0.0)
                .tick_size(TICK)
                .lot_size(1.0)
                .last_trades_capacity(0)
            )
            hbt = HashMapMarketDepthBacktest([asset])
            record = np.zeros((seconds * 100, 3))
            begin = time.process_time()
            turns = loops[name](hbt, block, rules, record)
            spent = time.process_time() - begin
            state = hbt.state_values(0)
            records[name] = (record, [state.position, state.balance, state.num_trades])
            hbt.close()
            if turn:
                best[name] = min(best[name], spent / turns * 1e9)
    first, account = records[HAND]
    same = all(np.array_equal(first, r) and account == a for r, a in records.values())
    print(json.dumps({"same": same, "account": [float(x) for x in account], "steps": len(first), "ns": best}))


if __name__ == "__main__":
    main(*(int(x) for x in sys.argv[1:3]) if sys.argv[1:] else (600, 10))
