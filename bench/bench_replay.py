"""Replay: nanoseconds per event, against one pass of NumPy over the same columns, and against hftbacktest.

The market is generated: a million rows like those of a day of LOBSTER (four quotes to a trade, a spread
of a few ticks, half of the quotes changing only a size). That of :mod:`bench.hftbacktest_replay` is another.
"""

from __future__ import annotations

import numpy as np

import mmcore as mm

from .harness import Row, beside, compare

ROWS = 1_000_000
SECONDS = 23_400


def market(rows: int = ROWS) -> mm.Events:
    """Return random events of a trading day, the same each time."""
    rng = np.random.default_rng(20120621)
    time = np.sort(rng.integers(0, SECONDS * 10**9, rows))
    quote = rng.random(rows) < 0.8
    quote[0] = quote[-1] = True
    n = int(quote.sum())
    moves = rng.choice([-1, 0, 0, 0, 0, 1], n)
    bid = 22_300 + np.cumsum(moves)
    ask = bid + rng.integers(1, 13, n)
    known = np.cumsum(quote)[~quote] - 1
    side = rng.integers(0, 2, rows - n) * 2 - 1
    beyond = rng.geometric(0.3, rows - n) - 1
    price = np.where(side > 0, ask[known] + beyond, bid[known] - beyond)
    return mm.Events(
        mm.Instrument("BENCH", tick="0.01"),
        np.where(quote, 1, 2).astype(np.uint8),
        mm.Quotes(time[quote], bid, ask, rng.integers(1, 500, n), rng.integers(1, 500, n)),
        mm.Trades(time[~quote], price, rng.integers(1, 100, rows - n), side=side),
    )


def rows() -> dict[str, list[Row]]:
    """Return the table of this benchmark."""
    events = market()
    q, t = events.quotes, events.trades
    columns = [events.kind, q.local_time, q.bid, q.ask, t.local_time, t.price]
    model = mm.GueantLehalleFernandezTapia(sigma=2.0, A=0.3, k=0.25, gamma=1e-3, q_max=20)
    table, affine = mm.Quoter(model, events.instrument), mm.Affine(base=4.0, slope=0.1, q_max=20)

    def scan(times: int) -> None:
        for _ in range(times):
            for column in columns:
                column.max()

    def case(quoter: object, **settings: object) -> object:
        def work(times: int) -> None:
            for _ in range(times):
                mm.replay(events, quoter, **settings)

        return work

    orders = mm.Orders(max_exposure=20)
    budgets = [(50, 10**9), (1000, 60 * 10**9)]
    calm = mm.Orders(max_exposure=20, hysteresis=2, min_life=10**9, messages=budgets)
    cases = {
        "one pass of NumPy (max of each column)": scan,
        "every 5 s, table": case(table, interval=5.0),
        "every 1 s, table": case(table, interval=1.0),
        "every 1 s, affine": case(affine, interval=1.0),
        "every 1 s, table, latency 50 ms, touch": case(table, interval=1.0, latency=0.05, fill="touch"),
        "every 10 ms, table (2.3 M decisions)": case(table, interval=0.01),
        "every quote, table (0.8 M decisions)": case(table, interval=0.0),
        "every 1 s, table, orders": case(table, interval=1.0, orders=orders),
        "every 1 s, table, orders, latency 50 ms": case(table, interval=1.0, latency=0.05, orders=orders),
        "every quote, table, orders": case(table, interval=0.0, orders=orders),
        "every quote, table, orders, latency 50 ms": case(table, interval=0.0, latency=0.05, orders=orders),
        "every quote, table, orders that hold back": case(table, interval=0.0, orders=calm),
    }
    found = compare(cases, floor="one pass of NumPy (max of each column)", operations=1, rounds=15, per=ROWS)
    for row in found:
        row.note = f"{1e3 / row.ns:,.0f} M events/s"
    peer = beside("hftbacktest", "bench.hftbacktest_replay") or {}
    return {"replay of 1,000,000 events (ns per event)": found, **peer}
