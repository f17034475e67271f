"""Random event tables and settings for the laws of a replay."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import mmcore as mm
from mmcore.events import HIDDEN, NO_ASK, NO_BID, Events, Quotes, Trades

TICK = 250_000_000  # ns: the grid of the random stamps, so that stamps collide
STOCK = mm.Instrument("XYZ", tick="0.01", lot="1")


@dataclass
class Setting:
    """The arguments of one random replay."""

    interval: float
    latency: float
    fill: str
    maker_fee: str
    reference: str
    hidden: bool


@dataclass
class Market:
    """One random market, and who quotes in it."""

    events: Events
    policy: object
    q_max: int


def rows_of(events):
    """Rows, (what, time, place in its table), and stamps of the first two-sided quote and the last one."""
    q, t = events.quotes, events.trades
    rows, i, j = [], 0, 0
    for kind in events.kind.tolist():
        if kind == 1:
            rows.append(("quote", int(q.local_time[i]), i))
            i += 1
        else:
            rows.append(("trade", int(t.local_time[j]), j))
            j += 1
    stamps = [int(q.local_time[i]) for i in range(len(q)) if NO_BID != q.bid[i] <= q.ask[i] != NO_ASK]
    return rows, stamps[0], int(q.local_time[-1])


@st.composite
def markets(draw, symmetric=False, order_sizes=(1, 2, 3)):
    n = draw(st.integers(2, 40))
    clock, quote_rows, trade_rows, kind = 10 * TICK, [], [], []
    centre = 100
    for i in range(n):
        clock += draw(st.integers(0, 4)) * TICK // draw(st.sampled_from([1, 1, 3]))
        if i == 0 or draw(st.booleans()):
            centre += draw(st.integers(-2, 2))
            half = draw(st.integers(0, 4))
            bid, ask = centre - half, centre + draw(st.integers(-1, 4))
            odd = draw(st.integers(0, 11)) if i else 11
            if odd == 0:
                bid = NO_BID
            if odd == 1:
                ask = NO_ASK
            if i == 0:
                ask = max(bid, ask)
            sizes = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
            quote_rows.append((clock, bid, ask, sizes[0] * (bid != NO_BID), sizes[1] * (ask != NO_ASK)))
            kind.append(1)
        else:
            price = centre + draw(st.integers(-4, 4))
            subtick = 0 if symmetric else draw(st.sampled_from([0, 0, 0, 500_000]))
            flags = draw(st.sampled_from([0, 0, 0, HIDDEN]))
            side = draw(st.sampled_from([-1, 0, 1]))
            trade_rows.append((clock, price, subtick, draw(st.integers(1, 5)), side, flags))
            kind.append(2)
    clock += draw(st.integers(9, 20)) * TICK  # room for at least one window
    quote_rows.append((clock, centre - 1, centre + 1, 1, 1))
    kind.append(1)
    q = np.array(quote_rows, dtype=np.int64)
    t = np.array(trade_rows, dtype=np.int64).reshape(len(trade_rows), 6)
    quotes = Quotes(q[:, 0], q[:, 1], q[:, 2], q[:, 3], q[:, 4], exchange_time=q[:, 0] + 7)
    trades = Trades(
        t[:, 0], t[:, 1], t[:, 3], side=t[:, 4], subtick=t[:, 2], flags=t[:, 5], exchange_time=t[:, 0] + 9
    )
    events = Events(STOCK, np.array(kind, dtype=np.uint8), quotes, trades)
    size = draw(st.sampled_from(order_sizes))
    q_max = size * draw(st.integers(1, 3))
    # bid and ask that meet are stepped apart, an odd tick to one side: that has no mirror
    base = draw(st.sampled_from([0.25, 0.5, 1.0, 1.25, 2.0] + [-1.0, 0.0] * (not symmetric)))
    slope = draw(st.sampled_from([0.0, 0.25, 0.6]))
    return Market(events, mm.Affine(base=base, slope=slope, q_max=q_max, order_size=size), q_max)


replays = st.builds(
    Setting,
    interval=st.sampled_from([0.0, 0.25, 0.5, 0.7, 1.0, 2.0]),
    latency=st.sampled_from([0.0, 0.000_000_001, 0.25, 0.3, 0.75, 2.5]),
    fill=st.sampled_from(["through", "touch"]),
    maker_fee=st.sampled_from(["0", "0.0002", "-0.00005", "0.0333333"]),
    reference=st.sampled_from(["mid", "weighted"]),
    hidden=st.booleans(),
)


def another_future(events, data):
    """Draw a stamp, and events that are the same up to it and others after it."""
    stamps = sorted(set(events.local_time.tolist()))
    cut = data.draw(st.sampled_from(stamps))
    past = events.between(None, cut + 1)
    future = events.between(cut + 1, None)
    q, t = future.quotes, future.trades
    move = data.draw(st.integers(-50, 50))
    late = data.draw(st.integers(0, 10 * TICK))
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(t), max_size=len(t))), dtype=bool)
    shift = lambda price, absent: np.where(price == absent, absent, price + move)  # noqa: E731
    end = int(events.local_time[-1]) + late
    quotes = Quotes(
        np.concatenate([past.quotes.local_time, q.local_time + late, [end]]),
        np.concatenate([past.quotes.bid, shift(q.bid, NO_BID), [90]]),
        np.concatenate([past.quotes.ask, shift(q.ask, NO_ASK), [95]]),
        np.concatenate([past.quotes.bid_size, q.bid_size, [1]]),
        np.concatenate([past.quotes.ask_size, q.ask_size, [1]]),
    )
    trades = Trades(
        np.concatenate([past.trades.local_time, t.local_time[keep] + late]),
        np.concatenate([past.trades.price, t.price[keep] - move]),
        np.concatenate([past.trades.size, t.size[keep]]),
        subtick=np.concatenate([past.trades.subtick, t.subtick[keep]]),
        flags=np.concatenate([past.trades.flags, t.flags[keep]]),
    )
    kinds, j = [], 0
    for kind in future.kind.tolist():
        if kind == 2:
            j += 1
            if not keep[j - 1]:
                continue
        kinds.append(kind)
    kind = np.concatenate([past.kind, np.array([*kinds, 1], dtype=np.uint8)])
    return cut, Events(STOCK, kind, quotes, trades)


def same_past(before, after, cut, interval, names):
    """Assert that what was decided and filled up to the cut is the same."""
    # the end of quoting is part of the future too: compare what was decided and filled up to the cut
    # and before either end
    until = min(cut, before.totals.end_time - 1, after.totals.end_time - 1)
    for name in names:
        a = before.decisions[name][before.decisions["time"] <= until]
        b = after.decisions[name][after.decisions["time"] <= until]
        if len(a) != len(b):  # the last whole window depends on when the data end
            n = min(len(a), len(b))
            last = min(before.totals.end_time, after.totals.end_time) - round(interval * 1e9)
            assert np.all(before.decisions["time"][n : len(a)] > last)
            assert np.all(after.decisions["time"][n : len(b)] > last)
            a, b = a[:n], b[:n]
        np.testing.assert_array_equal(a, b, err_msg=name)
    for name in ("receive_time", "qty", "price", "fee", "order_id"):
        a = before.fills[name][before.fills["receive_time"] <= until]
        b = after.fills[name][after.fills["receive_time"] <= until]
        np.testing.assert_array_equal(a, b, err_msg=name)
