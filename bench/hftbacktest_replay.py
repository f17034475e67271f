"""One market, one policy, one fill rule: a replay here, and a backtest by hftbacktest.

Run by :mod:`bench.bench_replay` in an environment of its own (``make peers``). The market is a simulated one
whose quote rows change one side each, so that each row is one event of hftbacktest, on a book that is full
behind the touch. Both decide at the same moments, with no latency, and quote both sides of an affine policy.

Both fill an order whole when a trade goes beyond its price. Three more rules of hftbacktest's have nothing
to say here: the queue before an order runs out by trades at its price, but they have no size in its feed; a
touch that reaches an order fills it, and a trade fills the side that it met, but at these depths no touch
reaches an order before it is quoted anew. So the fills must be equal one by one, in time, side and price,
which is looked at before anything is timed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hftbacktest as hbt
import numpy as np
from hftbacktest.order import FILLED
from numba import njit
from numpy.typing import NDArray

import mmcore as mm

from .harness import Row, compare, give, repeated
from .quote_loops import formula

GOALS = {0.1: 1 / 4, 0.01: 1 / 6, 0.001: 1 / 10}
"""Of our time to that of its usual strategy, by the seconds between decisions."""
OURS, WHOLE = "replay", "replay, with a record of each decision"
USUAL, LEAN = "hftbacktest", "hftbacktest, orders looked at after fills alone"
BASE, SLOPE, Q_MAX = 3.25, 0.125, 10
AROUND = 2000  # ticks of the book on each side of where the market starts


def market(seconds: float, seed: int = 1) -> mm.Events:
    """Return about 250 rows a second: a quote row for each change of one side, and the trades."""
    simulated = mm.SimulatedMarket(
        sigma=1.0, A=2.0, k=0.5, spread=2, refresh=240.0, duration=seconds, seed=seed
    ).events()
    q = simulated.quotes
    step = np.diff(q.bid, prepend=q.bid[0])
    # A move is two rows: first the side that goes ahead, so that the touch is never crossed.
    rows = np.repeat(np.arange(len(q)), 1 + (step != 0))
    first = np.append(np.diff(rows) == 0, False)
    bid = q.bid[rows] - (first & (step[rows] > 0))
    ask = q.ask[rows] + (first & (step[rows] < 0))
    quotes = mm.Quotes(q.local_time[rows], bid, ask, q.bid_size[rows], q.ask_size[rows])
    return mm.Events(simulated.instrument, None, quotes, simulated.trades)


def feed_of(events: mm.Events) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a market as hftbacktest reads it: the book that it starts from, and an event for each row."""
    q, t = events.quotes, events.trades
    both, levels = hbt.EXCH_EVENT | hbt.LOCAL_EVENT, np.arange(1, AROUND)
    book = np.zeros(2 * len(levels), hbt.event_dtype)
    snapshot = both | hbt.DEPTH_SNAPSHOT_EVENT
    book["ev"] = np.repeat([snapshot | hbt.BUY_EVENT, snapshot | hbt.SELL_EVENT], len(levels))
    book["px"] = np.concatenate([q.bid[0] - levels, q.ask[0] - 1 + levels])
    book["qty"] = 1.0
    book["exch_ts"] = book["local_ts"] = q.local_time[0]

    bid_step, ask_step, size_step = (np.diff(x, prepend=x[0]) for x in (q.bid, q.ask, q.ask_size))
    is_bid = (bid_step != 0) | ((ask_step == 0) & (size_step == 0))
    gone = (bid_step < 0) | (ask_step > 0)  # the best price of before
    price = np.where(is_bid, q.bid, q.ask) - gone * np.where(is_bid, bid_step, ask_step)
    size = np.where(gone, 0, np.where(is_bid, q.bid_size, q.ask_size))

    feed, quote = np.zeros(len(events), hbt.event_dtype), events.kind == 1
    feed["ev"][quote] = both | hbt.DEPTH_EVENT | np.where(is_bid, hbt.BUY_EVENT, hbt.SELL_EVENT)
    feed["ev"][~quote] = both | hbt.TRADE_EVENT | np.where(t.side > 0, hbt.BUY_EVENT, hbt.SELL_EVENT)
    for stamp in ("exch_ts", "local_ts"):
        feed[stamp][quote], feed[stamp][~quote] = q.local_time, t.local_time
    feed["px"][quote], feed["px"][~quote] = price, t.price
    feed["qty"][quote] = size
    return book, feed


@njit
def quoted(depth, position):
    """The policy's prices, rounded as ours are, and whether each side may be quoted."""
    best_bid, best_ask = depth.best_bid_tick, depth.best_ask_tick
    policy, mid = (BASE, SLOPE, Q_MAX), 0.5 * (best_bid + best_ask)
    price, size = formula(policy, 0, mid, position, best_bid, best_ask)
    return price[0], price[1], size[0] > 0, size[1] > 0


@njit
def record(market, fills, n):
    """Note the orders that were filled: moment, side, price; then drop those that are gone."""
    values = market.orders(0).values()
    while values.has_next():
        order = values.get()
        if order.status == FILLED:
            fills[n, 0], fills[n, 1], fills[n, 2] = order.exch_timestamp, order.side, order.exec_price_tick
            n += 1
    market.clear_inactive_orders(0)
    return n


@njit
def usual(market, step, turns, fills):
    """As its examples have it: look at all orders, cancel those not wanted, submit those that are missing."""
    market.elapse(0)
    n, number = 0, 1
    for _ in range(turns):
        bid, ask, buys, sells = quoted(market.depth(0), market.position(0))
        values = market.orders(0).values()
        while values.has_next():
            order = values.get()
            if order.side > 0 and buys and order.price_tick == bid:
                buys = False  # it stands
            elif order.side < 0 and sells and order.price_tick == ask:
                sells = False
            elif order.cancellable:
                market.cancel(0, order.order_id, False)
        if buys:
            market.submit_buy_order(0, number, bid, 1.0, hbt.GTX, hbt.LIMIT, False)
        if sells:
            market.submit_sell_order(0, number + 1, ask, 1.0, hbt.GTX, hbt.LIMIT, False)
        number += 2
        market.elapse(step)
        n = record(market, fills, n)
    return n


@njit
def lean(market, step, turns, fills):
    """Ask for no more than it takes: what stands is remembered, orders are looked at after fills alone."""
    market.elapse(0)
    n, number, trades, dropped = 0, 1, 0, 0
    bid_order, ask_order, standing_bid, standing_ask = 0, 0, 0, 0
    for _ in range(turns):
        state = market.state_values(0)
        if state.num_trades != trades or number > dropped + 100:
            before, trades, dropped = n, state.num_trades, number
            n = record(market, fills, n)
            for i in range(before, n):
                if fills[i, 1] > 0:
                    bid_order = 0
                else:
                    ask_order = 0
        bid, ask, buys, sells = quoted(market.depth(0), state.position)
        if bid_order and not (buys and standing_bid == bid):
            market.cancel(0, bid_order, False)
            bid_order = 0
        if ask_order and not (sells and standing_ask == ask):
            market.cancel(0, ask_order, False)
            ask_order = 0
        if buys and not bid_order:
            market.submit_buy_order(0, number, bid, 1.0, hbt.GTX, hbt.LIMIT, False)
            bid_order, standing_bid = number, bid
            number += 1
        if sells and not ask_order:
            market.submit_sell_order(0, number, ask, 1.0, hbt.GTX, hbt.LIMIT, False)
            ask_order, standing_ask = number, ask
            number += 1
        market.elapse(step)
    return record(market, fills, n)


STRATEGIES = {USUAL: usual, LEAN: lean}


def cases(events: mm.Events, interval: float) -> dict[str, Callable[[], NDArray[np.int64]]]:
    """Return what each does, by name: give the fills as rows (ns, side, ticks), in their order."""
    quoter = mm.Quoter(mm.Affine(BASE, SLOPE, q_max=Q_MAX), events.instrument)
    book, feed = feed_of(events)
    turns = int(events.quotes.local_time[-1] - events.quotes.local_time[0]) // round(interval * 1e9)
    room = np.zeros((len(events.trades) + 1, 3), np.int64)

    def ours(whole: bool) -> NDArray[np.int64]:
        result = mm.replay(events, quoter, interval=interval)
        fills = result.fills
        if whole:
            assert len(result.decisions) == turns
        return np.column_stack((fills["time"], np.sign(fills["qty"]), fills["price"]))

    def theirs(strategy: Callable[..., int]) -> NDArray[np.int64]:
        asset = (
            hbt.BacktestAsset()
            .data(feed)
            .initial_snapshot(book)
            .linear_asset(1.0)
            .constant_order_latency(0, 0)
            .risk_adverse_queue_model()
            .no_partial_fill_exchange()
            .trading_value_fee_model(0.0, 0.0)
            .tick_size(1.0)
            .lot_size(1.0)
            .last_trades_capacity(0)
            .roi_lb(book["px"].min())
            .roi_ub(book["px"].max())
        )
        run = hbt.ROIVectorMarketDepthBacktest([asset])  # the faster of its two
        found = room[: strategy(run, round(interval * 1e9), turns, room)]
        run.close()
        return found[np.lexsort((found[:, 1], found[:, 0]))]

    others = {name: lambda strategy=strategy: theirs(strategy) for name, strategy in STRATEGIES.items()}
    return {OURS: lambda: ours(False), WHOLE: lambda: ours(True), **others}


def here(seconds: float = 12_000.0) -> dict[str, list[Row]]:
    """Time all of them in this process."""
    events = market(seconds)
    tables = {}
    for interval, goal in GOALS.items():
        found = cases(events, interval)
        fills = {name: case() for name, case in found.items()}
        wrong = [name for name in found if not np.array_equal(fills[name], fills[OURS])]

        rows = compare(
            {name: repeated(case) for name, case in found.items()},
            floor=USUAL, operations=1, rounds=5, per=len(events), goals={OURS: goal}, wrong=wrong,
        )  # fmt: skip
        for row in rows:
            row.note = row.note or f"{1e3 / row.ns:,.1f} M events/s, {len(fills[row.name]):,} fills"
        title = f"replay of {len(events):,} events, decisions every {interval * 1e3:g} ms, ns per event"
        tables[title] = rows
    return tables


if __name__ == "__main__":
    give(here())
