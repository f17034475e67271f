"""Comparisons: coverage of the intervals by simulation, their symmetries, and what is refused."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest

import mmcore as mm
from mmcore.comparing import _rank, block_length, resampled_sums
from mmcore.errors import InvalidArgument


@pytest.fixture(scope="module")
def events():
    return mm.SimulatedMarket(duration=1200.0, seed=5).events()


@pytest.fixture(scope="module")
def pair(events):
    near, far = mm.Affine(base=2.0, slope=0.1, q_max=6), mm.Affine(base=6.0, slope=0.1, q_max=6)
    both = mm.replay(events, {"near": near, "far": far}, maker_fee="0.00001")
    return both["near"], both["far"]


@pytest.mark.parametrize(("memory", "n"), [(0.0, 400), (0.3, 400), (0.6, 1000)])
def test_the_interval_covers_as_often_as_it_says(memory, n):
    """Autoregressive cells of mean zero: the true sum, 0, is inside in 95 % of the samples."""
    rng, samples, inside = np.random.default_rng(20), 400, 0
    for sample in range(samples):
        shocks, x = rng.normal(size=n + 50), np.zeros(n + 50)
        for i in range(1, n + 50):
            x[i] = memory * x[i - 1] + shocks[i]
        cells = np.rint(1e6 * x[50:]).astype(np.int64)
        length = min(block_length(cells.astype(float)), n // 8)
        sums = np.sort(resampled_sums(cells[None, :], length, 799, sample)[0])
        rank = _rank(0.95, n / length, 799)
        inside += sums[rank - 1] <= 0 <= sums[-rank]
    error = math.sqrt(0.95 * 0.05 / samples)
    assert abs(inside / samples - 0.95) < 3.5 * error


def test_resampled_sums_against_a_walk_over_the_circle():
    cells = np.arange(1, 12, dtype=np.int64) ** 2
    found = resampled_sums(cells[None, :], 4, 50, 9)[0]
    for total, starts in zip(found, np.random.default_rng(9).integers(0, 11, (50, 3)), strict=True):
        drawn = [(int(s) + i) % 11 for s in starts for i in range(4)][:11]
        assert total == sum(int(cells[i]) for i in drawn)


def test_a_result_equals_itself_exactly(pair):
    same = mm.compare(pair[0], pair[0])
    assert all((d.amount, d.low, d.high, d.apart) == (0, 0.0, 0.0, False) for d in same.differences)
    assert str(same).endswith("no difference")


def test_exchanging_the_two_turns_every_sign(pair):
    one, other = mm.compare(*pair), mm.compare(*reversed(pair))
    for a, b in zip(one.differences, other.differences, strict=True):
        assert (a.amount, a.low, a.high) == (-b.amount, -b.high, -b.low)
    assert (one.block, one.fills) == (other.block, other.fills[::-1])


def test_amounts_are_exact_and_the_path_ends_at_them(pair):
    found = mm.compare(*pair)
    a, b = (r.attribution for r in pair)
    for d in found.differences:
        assert Fraction(d.amount) == Fraction(getattr(a, d.part)) - Fraction(getattr(b, d.part))
        assert d.low < float(d.amount) < d.high
    assert sum(Fraction(found[p].amount) for p in ("spread", "inventory", "fees")) == found.total.amount
    assert found.path[-1] == pytest.approx(float(found.total.amount), rel=1e-12)


def test_words_and_json(pair):
    found = mm.compare(*pair)
    assert str(found).startswith("better by " if found.total.amount > 0 else "worse by ")
    assert ("the data tell them apart" in str(found)) == found.total.apart
    assert str(found) in repr(found)
    assert "<caption>" in found._repr_html_()
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Fraction(again["total"]["amount"]) == Fraction(found.total.amount)


def test_plot(pair):
    plt = pytest.importorskip("matplotlib.pyplot")
    figure, ax = plt.subplots()
    assert mm.compare(*pair).plot(ax) is ax
    plt.close(figure)


def test_other_settings_may_be_compared_but_not_other_events(events, pair):
    slow = mm.replay(events, pair[0].quoter, interval=7.0)
    assert mm.compare(slow, pair[0]).block >= 7.0
    later = mm.replay(events.split(0.5)[1], pair[0].quoter)
    with pytest.raises(InvalidArgument, match="same span"):
        mm.compare(pair[0], later)
    other = mm.Events(
        events.instrument,
        events.kind,
        events.quotes,
        mm.Trades(events.trades.local_time, events.trades.price + 1, events.trades.size),
    )
    with pytest.raises(InvalidArgument, match=r"trades\.\w+ differ"):
        mm.compare(pair[0], mm.replay(other, pair[0].quoter))


@pytest.mark.parametrize(
    ("argument", "value"), [("block", 1e6), ("block", 0.0), ("level", 1.0), ("resamples", 5), ("seed", -1)]
)
def test_arguments_are_checked(pair, argument, value):
    with pytest.raises(InvalidArgument, match=argument):
        mm.compare(*pair, **{argument: value})


def test_a_span_too_short_has_no_interval(events, pair):
    few = [mm.replay(events, r.quoter, interval=200.0) for r in pair]
    found = mm.compare(*few)
    assert math.isnan(found.total.low)
    assert found.to_dict()["total"]["low"] is None


def test_what_is_no_result_is_named():
    result = mm.replay(mm.SimulatedMarket(duration=60.0, seed=1).events(), mm.Affine(base=2.0, q_max=5))
    with pytest.raises(InvalidArgument, match=r"baseline must be a Result .*, got 3"):
        mm.compare(result, 3)
    with pytest.raises(InvalidArgument, match="result must be a Result"):
        mm.compare(None, result)
