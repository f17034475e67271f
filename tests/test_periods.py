"""A result cut by the clock: each period against the definition, and all of them against the whole."""

import itertools
import json
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import CapacityError, InvalidArgument
from mmcore.events import Events, Quotes, Trades
from mmcore.periods import earned

S = 1_000_000_000
STOCK = mm.Instrument("XYZ", tick="0.01")


@pytest.fixture(scope="module")
def result():
    """A replay of 40 minutes with latency, fees and partial fills."""
    events = mm.SimulatedMarket(duration=2400.0, seed=11).events()
    return mm.run(events, latency=0.1, interval=0.5, maker_fee="0.00001", order_size=2, fill="touch", q_max=8)


def calm(start=0, until=10):
    """A mid of 100 that rises to 102 at second 6; sold through our bid at 2.5 and at 5."""
    quotes = Quotes([start, start + 6 * S, start + until * S], [98, 100, 100], [102, 104, 104])
    return Events(STOCK, None, quotes, Trades([start + 5 * S // 2, start + 5 * S], [90, 90], [1, 1]))


def test_by_hand():
    rows = mm.replay(calm(), mm.Affine(base=1.0, q_max=10)).by_hour(5.0)
    assert [(row.start, row.end) for row in rows] == [(0, 5 * S), (5 * S, 10 * S)]
    # bought at 99 against a mid of 100 at second 2.5, and at 5, which belongs to the first period
    one, two = rows
    assert (one.fills, one.bought, one.sold, one.inventory, one.low, one.high) == (2, 2, 0, 2, 0, 2)
    assert (one.pnl.spread, one.pnl.inventory, one.pnl.total) == (Decimal("0.02"), 0, Decimal("0.02"))
    assert (two.pnl.spread, two.pnl.inventory, two.pnl.total) == (0, Decimal("0.04"), Decimal("0.04"))
    assert (one.mean, two.mean) == (2.5 / 5, 2.0)
    # of the first five seconds the bid is gone from 2.5 to 3, where the next decision is
    assert (one.both, one.one, one.none) == (0.9, 0.1, 0.0)


def test_edges_are_those_of_the_exchanges_clock():
    result = mm.replay(calm(start=7 * S), mm.Affine(base=1.0, q_max=10))
    assert [row.start // S for row in result.by_hour(4.0)] == [7, 8, 12, 16]
    assert [row.start // S for row in result.by_hour(4.0, offset=1.0)] == [7, 11, 15]
    assert [row.start // S for row in result.by_hour(4.0, offset=-1.0)] == [7, 9, 13]
    assert result.by_hour(3600.0, offset=-3600.0).labels() == ["23:00:07"]


def test_a_period_past_the_end_of_quoting_has_no_presence():
    rows = mm.replay(calm(until=10), mm.Affine(base=1.0, q_max=10), interval=4.0).by_hour(8.0)
    assert [math.isnan(row.both) for row in rows] == [False, True]
    assert rows[1].to_dict()["both"] is None


@pytest.mark.parametrize("period", [0.37, 60.0, 600.0, 3600.0, 1e6, None])
def test_periods_add_up_to_the_whole(result, period):
    rows, a, t = result.by_hour(period), result.attribution, result.totals
    for name in ("spread", "inventory", "fees", "total", "unexplained"):
        assert sum(Fraction(getattr(row.pnl, name)) for row in rows) == Fraction(getattr(a, name))
    assert sum(row.fills for row in rows) == len(result.fills)
    assert (sum(row.bought for row in rows), sum(row.sold for row in rows)) == (t.bought, t.sold)
    assert rows[-1].inventory == t.net
    assert (rows[0].start, rows[-1].end) == (t.first_time, t.last_time)
    assert all(one.end == other.start for one, other in itertools.pairwise(rows))
    p = result.presence
    quoted = [min(row.end, t.end_time) - min(row.start, t.end_time) for row in rows]
    for share, whole in (("both", p.both), ("one", p.bid + p.ask), ("none", p.none)):
        mean = sum(n * getattr(row, share) for n, row in zip(quoted, rows, strict=True) if n) / sum(quoted)
        assert mean == pytest.approx(whole, rel=1e-9)
    levels, share = result.inventory_histogram()
    inside = sum((row.end - row.start) * row.mean for row in rows) - t.net * (t.last_time - t.end_time)
    assert inside / sum(quoted) == pytest.approx(float(levels @ share), rel=1e-9, abs=1e-9)
    assert (min(row.low for row in rows), max(row.high for row in rows)) == (levels[0], levels[-1])


def test_at_every_decision_it_is_what_the_replay_had_counted(result):
    d = result.decisions
    e = earned(result, d["time"])
    for name in ("spread2", "revaluation2", "fees", "inventory"):
        np.testing.assert_array_equal(getattr(e, name), d[name], err_msg=name)


def test_what_people_see(result):
    rows = result.by_hour(600.0)
    text = str(rows).splitlines()
    assert len(text) == len(rows) + 1
    assert len({len(line) for line in text}) == 1
    assert rows._repr_html_().count("<tr>") == len(rows) + 1
    assert result.summary()["by_period"] == json.loads(json.dumps(result.by_hour(None).to_dict()))
    assert "of 600 s" in repr(rows)


@pytest.mark.parametrize("period", [0.0, -1.0, math.nan, math.inf])
def test_a_period_that_is_none_is_refused(result, period):
    with pytest.raises(InvalidArgument, match="period"):
        result.by_hour(period)


def test_too_many_periods_are_refused(result):
    with pytest.raises(CapacityError, match="period"):
        result.by_hour(1e-6)


def test_a_length_or_a_shift_that_is_no_number(result):
    for given in ({"offset": "x"}, {"offset": math.nan}, {"period": "x"}, {"period": True}):
        with pytest.raises(InvalidArgument, match=f"{next(iter(given))} must be a finite number"):
            result.by_hour(**given)
