"""Order quantities: whole lots, discounts, and a band that is played."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcore.errors import InvalidArgument
from mmcore.inventory_control import eoq, quantity_discount, rebalance_band

positive = st.floats(1e-3, 1e3)


@given(d=positive, s=positive, h=positive)
def test_whole_lots_are_the_cheapest_whole_number(d, s, h):
    found = eoq(d, s, h)
    q = np.arange(1, int(found.quantity) + 3)
    cost = d * s / q + h * q / 2
    assert d * s / found.lots + h * found.lots / 2 == pytest.approx(cost.min(), rel=1e-14)
    assert eoq([d, d], s, h).lots.tolist() == [found.lots] * 2


def test_whole_lots_at_the_break_between_two():
    """n(n + 1) >= Q²: at Q² = 12 three and four cost the same, beside it one of them is better."""
    assert eoq(5.9, 1, 1).lots == 3
    assert eoq(6.1, 1, 1).lots == 4


@given(
    d=st.floats(10.0, 1000.0),
    s=st.floats(1.0, 50.0),
    rate=st.floats(0.05, 1.0),
    steps=st.lists(st.floats(5.0, 200.0), min_size=0, max_size=4),
    falls=st.lists(st.floats(0.01, 0.3), min_size=4, max_size=4),
    kind=st.sampled_from(["all_units", "incremental"]),
)
def test_quantity_discounts_against_all_segments(d, s, rate, steps, falls, kind):
    """The best of each segment, from the cost as it is paid: at its ends or where it is level inside."""
    breaks = np.append(0.0, np.cumsum(steps))
    prices = np.cumprod(np.append(2.0, 1 - np.array(falls[: len(steps)])))
    found = quantity_discount(d, s, rate, breaks, prices, kind)

    def paid(q):
        j = np.searchsorted(breaks, q, side="right") - 1
        if kind == "all_units":
            return prices[j] * q
        before = np.append(0.0, np.cumsum(np.diff(breaks) * prices[:-1]))
        return before[j] + prices[j] * (q - breaks[j])

    def cost(q):
        return d / q * (s + paid(q)) + rate * paid(q) / 2

    grid = np.concatenate([np.geomspace(1e-2, 20 * (breaks[-1] + math.sqrt(d * s)), 20_000), breaks[1:]])
    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-12)
    assert found.cost <= cost(grid).min() * (1 + 1e-13)
    assert found.cost == pytest.approx(cost(grid).min(), rel=1e-5)


@pytest.mark.parametrize("drift", [0.02, 0.3])
def test_the_band_when_it_is_played(drift):
    """Fills of a lot come at random, one way; at n lots all is hedged: it costs what is said, and least."""
    sigma, gamma, capital, fee = 2.0, 1e-4, 1e-5, 3.0
    found = rebalance_band(drift, fee, sigma=sigma, risk_aversion=gamma, capital_charge=capital)
    rng, n = np.random.default_rng(1), 400_000
    wait = rng.exponential(1 / drift, n)
    held = capital + gamma * sigma**2 / 2

    def played(band):
        deviation = np.arange(n) % band
        cost = held * deviation * wait
        cost[band - 1 :: band] += fee
        m = n // (100 * band) * 100 * band
        batches = cost[:m].reshape(100, -1).sum(axis=1) / wait[:m].reshape(100, -1).sum(axis=1)
        return batches.mean(), batches.std() / 10

    mean, error = played(found.lots)
    # between two fills the deviation is whole: its mean is half a lot less than that of a steady drift
    assert abs(mean - (drift * fee / found.lots + held * (found.lots - 1) / 2)) < 4 * error
    assert mean == pytest.approx(found.cost - held / 2, abs=4 * error + 1e-4 * found.cost)
    for other in (found.lots // 2, found.lots * 2):
        worse, spread = played(other)
        assert worse - 4 * (spread + error) > mean


@given(d=positive, s=positive, h=positive, b=st.floats(0.0, 10.0), c=st.floats(0.0, 10.0))
def test_what_is_paid_for_each_lot_moves_no_band_and_impact_narrows_it(d, s, h, b, c):
    """The cost as it is paid, S + bQ + cQ² a cycle, on a grid about the band."""
    found = rebalance_band(d, s, capital_charge=h, impact=c)
    q = found.quantity * np.linspace(0.5, 2.0, 301)
    paid = d / q * (s + b * q + c * q * q) + h * q / 2
    at_band = d / found.quantity * (s + b * found.quantity + c * found.quantity**2) + h * found.quantity / 2
    assert at_band <= paid.min() * (1 + 1e-12)
    assert at_band == pytest.approx(found.cost + b * d, rel=1e-12)
    assert found.quantity <= rebalance_band(d, s, capital_charge=h).quantity


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: eoq([1, 2], [1, 2, 3], 1), r"order_cost must be of a shape that fits \(2,\), got \(3,\)"),
        (lambda: eoq(True, 1, 1), "demand must be a finite number > 0, got True"),
        (lambda: eoq([True], 1, 1), r"demand must be a finite number > 0, got \[True\]"),
        (lambda: eoq(["1"], 1, 1), r"demand must be a finite number > 0, got \['1'\]"),
        (lambda: eoq(1, 1 + 1j, 1), "order_cost must be a finite number > 0"),
        (lambda: eoq(10**400, 1, 1), "demand must be a finite number > 0, got 1000"),
        (lambda: eoq(1, None, 1), "order_cost must be a finite number > 0, got None"),
        (lambda: eoq(1, 1, np.datetime64("2020-01-01")), "holding_cost must be a finite number > 0"),
        (lambda: eoq(1, 1, [1, -2, 3]), r"holding_cost\[1\] must be finite numbers > 0, got -2"),
        (
            lambda: eoq([1, 5], 1, 1, production_rate=[2, 5]),
            r"production_rate\[1\] must be above demand, got 5",
        ),
        (lambda: rebalance_band(1, 1, sigma=-1), "sigma must be a finite number >= 0, got -1"),
        (
            lambda: rebalance_band(1, 1, sigma=[1, 2], risk_aversion=[1, 2, 3]),
            "risk_aversion must be of a shape",
        ),
        (
            lambda: rebalance_band(1, 1, impact=[0, math.inf]),
            r"impact\[1\] must be finite numbers >= 0, got inf",
        ),
        (lambda: quantity_discount([1], 1, 1, [0], [1]), "demand must be one number"),
        (
            lambda: quantity_discount(1, 1, 1, [0, math.nan], [2, 1]),
            r"breaks\[1\] must be finite numbers >= 0",
        ),
        (lambda: quantity_discount(1, 1, 1, [0, 2], [1]), "prices must be a descending price for each break"),
        (lambda: quantity_discount(1, 1, 1, [0], [1], "none"), "kind must be 'all_units' or 'incremental'"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_what_would_leave_the_range_of_doubles_is_refused():
    with pytest.raises(InvalidArgument, match="demand must be a finite number > 0, of a size from 1e-60 to"):
        eoq(1e300, 1, 1)
    with pytest.raises(InvalidArgument, match=r"order_cost\[1\] must be finite numbers > 0, of a size from"):
        eoq(1, [1, 1e-61], 1)
    assert eoq(1e60, 1e60, 1e-60).cost == pytest.approx(math.sqrt(2) * 1e30, rel=1e-12)


def test_arrays_of_any_layout():
    """Read-only, strided, of other byte order or length 0."""
    d = np.arange(1.0, 9.0)
    expected = eoq(d, 2, 3).quantity
    frozen = d.copy()
    frozen.flags.writeable = False
    assert (eoq(frozen, 2, 3).quantity == expected).all()
    assert (eoq(np.repeat(d, 2)[::2], 2, 3).quantity == expected).all()
    assert (eoq(d.astype(">f8"), 2, 3).quantity == expected).all()
    assert eoq(np.zeros(0), 2, 3).quantity.shape == (0,)
    assert eoq(d.reshape(2, 4), np.ones((2, 1)), 3).quantity.shape == (2, 4)
