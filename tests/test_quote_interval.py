"""Errors of a calibration carried to the quotes: delta method, bootstrap, and many simulated markets."""

import math

import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, NotIdentified

GLFT = mm.GueantLehalleFernandezTapia
RISK = {"gamma": 0.01, "q_max": 20}


@pytest.fixture(scope="module")
def calibration():
    market = mm.SimulatedMarket(sigma=1.0, A=(1.0, 0.8), k=(0.5, 0.4), duration=7200, seed=3)
    return mm.calibrate(market.events())


@pytest.mark.parametrize("inventory", [0, 5, -20])
def test_both_methods_agree(calibration, inventory):
    """A standard deviation of B draws has the relative error 1/sqrt(2B), and the bends add their square."""
    delta = calibration.quote_interval(GLFT, inventory, **RISK)
    drawn = calibration.quote_interval(GLFT, inventory, method="bootstrap", draws=4000, **RISK)
    assert set(delta.estimates) == ({"half_spread", "bid", "ask"} if inventory > -20 else {"bid"})
    for name, value in delta.estimates.items():
        error = delta.standard_errors[name]
        assert drawn.estimates[name] == value
        assert drawn.standard_errors[name] == pytest.approx(error, rel=4 / math.sqrt(2 * 4000))
        for ours, theirs in zip(delta.intervals[name], drawn.intervals[name], strict=True):
            # a 2.5 % quantile of 4,000 draws has a standard error of 0.04 standard deviations
            assert abs(ours - theirs) < 0.16 * error
    assert sum(delta.shares.values()) == pytest.approx(1.0, rel=1e-12)
    assert delta.model == calibration.model(GLFT, **RISK)


def test_the_static_half_spread_by_hand(calibration):
    """Risk-neutral: far from the bounds the quotes are 1/k, so the error is that of k over k squared."""
    quotes = calibration.quote_interval(mm.CarteaJaimungal, running_penalty=0.0, q_max=1, A=1.0)
    by_hand = mm.CarteaJaimungal(A=1.0, k=calibration.k, q_max=1)
    assert quotes.bid[0] == by_hand.depths(0)[0]
    paper = calibration.quote_interval(mm.AvellanedaStoikov, gamma=0.0, horizon=1.0, time_left=1.0)
    for side, name in ((0, "bid"), (1, "ask")):
        k, error = calibration.k[side], calibration.standard_errors[f"k_{name}"]
        assert paper.estimates[name] == pytest.approx(1 / k, rel=1e-14)
        assert paper.standard_errors[name] == pytest.approx(error / k**2, rel=1e-7)
    both = math.hypot(*(paper.standard_errors[name] for name in ("bid", "ask"))) / 2
    assert paper.half_spread[1] == pytest.approx(both, rel=1e-12)


def test_intervals_cover_the_truth():
    """100 markets: the true half-spread is within the 90 % interval 82 to 97 times (three errors)."""
    truth = {"sigma": 2.0, "A": 1.0, "k": 0.5}
    right = GLFT(**truth, **RISK).half_spread
    hits = 0
    for seed in range(100):
        events = mm.SimulatedMarket(**truth, spread=2, duration=1200, seed=1000 + seed).events()
        quotes = mm.calibrate(events).quote_interval(GLFT, level=0.9, **RISK)
        low, high = quotes.intervals["half_spread"]
        hits += low < right < high
    assert 81 <= hits <= 98


def test_what_is_given_has_no_error(calibration):
    every = calibration.quote_interval(GLFT, **RISK)
    known = calibration.quote_interval(GLFT, **RISK, k=calibration.k)
    assert known.estimates == every.estimates
    assert known.standard_errors["bid"] < every.standard_errors["bid"]
    assert set(known.shares) == {"sigma", "A of the bid", "A of the ask"}
    with pytest.raises(InvalidArgument, match="all given"):
        calibration.quote_interval(GLFT, sigma=1.0, A=1.0, k=0.5, **RISK)


def test_it_says_so_in_words(calibration):
    quotes = calibration.quote_interval(GLFT, **RISK)
    value, error = quotes.half_spread
    assert f"the half-spread is {value:.3f} ± {error:.3f} ticks, 95 % interval" in str(quotes)
    assert "the error comes from A and k of the" in repr(quotes)
    assert "<table>" in quotes._repr_html_()
    at_bound = calibration.quote_interval(GLFT, 20, **RISK)
    assert at_bound.bid is None
    assert str(at_bound).startswith("At 20 lots the ask is ")


def test_what_is_refused(calibration):
    with pytest.raises(InvalidArgument, match="method"):
        calibration.quote_interval(GLFT, method="guess", **RISK)
    with pytest.raises(InvalidArgument, match="level"):
        calibration.quote_interval(GLFT, level=1.0, **RISK)
    for name in ("inventory", "time_left"):
        for value in (None, [], "x", 10**400, 1j):
            with pytest.raises(InvalidArgument, match=f"{name} must be"):
                calibration.quote_interval(GLFT, **{**RISK, name: value})
    for value in (None, 5, "GLFT", [], object()):
        with pytest.raises(InvalidArgument, match=r"cls must be a model class, such as mmcore\.Gu"):
            calibration.quote_interval(value, **RISK)
    events = mm.SimulatedMarket(duration=60, A=0.01, seed=1).events()
    with pytest.raises(NotIdentified):
        mm.calibrate(events).quote_interval(GLFT, **RISK)
