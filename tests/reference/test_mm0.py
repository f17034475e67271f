"""MM0, the naive quoter of the data's README: golden integers, and the definition spelt out in Python."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_sets import TRADED, facts, load

import mmcore as mm
from mmcore.events import HIDDEN, Events, Quotes, Trades

pytestmark = pytest.mark.compiled

MM0 = {"base": 1.0, "q_max": 10}  # one tick from the mid, rounded outwards; at most ten lots


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("name", TRADED)
def test_golden_integers(shared, name, window):
    known, events = facts(name, shared), load(name, shared, cache=False)
    tick = known["tick"]  # integer price units in a tick
    result = mm.replay(events, mm.Affine(**MM0), interval=float(window))
    t = result.totals
    assert len(result.decisions) == known[f"D2_W{window}_windows"]
    assert known[f"MM0_W{window}_d1"] == {
        "buys": t.bought,
        "sells": t.sold,
        "inv": t.net,
        "cash_int": t.cash * tick,
        "mtm2_int": (2 * t.cash + t.net * t.mid2) * tick,
    }
    assert result.attribution.unexplained == 0
    assert result.attribution.total < 0


@dataclass
class Naive:
    """What MM0 does, by its definition: windows from outside, trades looked up for each."""

    buys: int = 0
    sells: int = 0
    cash: int = 0

    def run(self, quotes, trades, width):
        """Walk windows over quotes (time, bid, ask) and trades (time, twice the price, hidden)."""
        start, last = quotes[0][0], quotes[-1][0]
        g = start
        while g + width <= last:
            _, bid, ask = [row for row in quotes if row[0] <= g][-1]
            inventory = self.buys - self.sells
            our_bid, our_ask = (bid + ask - 2) // 2, -((-(bid + ask + 2)) // 2)
            seen = [price2 for time, price2, hidden in trades if g < time <= g + width and not hidden]
            if inventory < 10 and any(price2 < 2 * our_bid for price2 in seen):
                self.buys += 1
                self.cash -= our_bid
            if inventory > -10 and any(price2 > 2 * our_ask for price2 in seen):
                self.sells += 1
                self.cash += our_ask
            g += width
        _, bid, ask = quotes[-1]
        return 2 * self.cash + (self.buys - self.sells) * (bid + ask)


rows = st.tuples(
    st.integers(0, 6), st.booleans(), st.integers(-8, 8), st.integers(0, 12), st.booleans(), st.booleans()
)


@given(st.lists(rows, min_size=1, max_size=80), st.integers(1, 15))
def test_the_kernel_equals_the_definition(table, width):
    clock, quotes, trades = 1000, [(1000, 95, 105)], []
    for step, is_quote, place, spread, half_tick, hidden in table:
        clock += step
        if is_quote:
            quotes.append((clock, 100 + place, 100 + place + spread))
        else:
            trades.append((clock, 2 * (100 + place) + half_tick, hidden))
    quotes.append((clock + width, 99, 101))
    naive = Naive()
    expected = naive.run(quotes, trades, width)
    q = np.array(quotes, dtype=np.int64)
    t = np.array(trades, dtype=np.int64).reshape(len(trades), 3)
    events = Events(
        mm.Instrument("XYZ", tick="1"),
        None,
        Quotes(q[:, 0], q[:, 1], q[:, 2]),
        Trades(t[:, 0], t[:, 1] // 2, 1, subtick=t[:, 1] % 2 * 500_000, flags=t[:, 2] * HIDDEN),
    )
    totals = mm.replay(events, mm.Affine(**MM0), interval=width * 1e-9).totals
    assert (totals.bought, totals.sold, totals.cash) == (naive.buys, naive.sells, naive.cash)
    assert 2 * totals.cash + totals.net * totals.mid2 == expected
