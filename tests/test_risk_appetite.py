"""γ for people: each target is met by the law it leads to, and by simulated days."""

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import ApproximationWarning, InvalidArgument, NotIdentified

MARKET = {"sigma": 2.0, "A": 0.22, "k": 0.28}
DAY = 6.5 * 3600.0


def test_each_target_is_met():
    """By the model made anew from the number alone."""
    for target, reached in (
        ({"inventory": 10, "probability": 0.8}, lambda law, m: law.probability(10)),
        ({"inventory": 0, "probability": 0.999}, lambda law, m: law.probability(0)),
        ({"std": 7.5}, lambda law, m: law.std),
        ({"half_life": 600.0}, lambda law, m: law.half_life),
        ({"pnl_std": 900.0, "over": 1800.0}, lambda law, m: law.pnl_std(1800.0)),
        ({"spread": 8.0}, lambda law, m: 2 * m.half_spread),
    ):
        gamma = mm.gamma_for(MARKET, **target, q_max=60)
        model = mm.GueantLehalleFernandezTapia(**MARKET, gamma=float(gamma), q_max=60)
        aimed = target["probability"] if "probability" in target else next(iter(target.values()))
        assert reached(model.inventory_law(), model) == pytest.approx(aimed, rel=1e-9), target
        assert gamma.model == model
        assert gamma.notes == []


def test_a_tighter_target_is_a_larger_gamma():
    wide, tight = (mm.gamma_for(MARKET, inventory=lots, q_max=60) for lots in (20, 10))
    assert tight > wide
    assert mm.gamma_for(MARKET, inventory=20, probability=0.99, q_max=60) > wide
    assert mm.gamma_for(MARKET, std=5, q_max=60) > mm.gamma_for(MARKET, std=8, q_max=60)
    assert mm.gamma_for(MARKET, half_life=60, q_max=60) > mm.gamma_for(MARKET, half_life=600, q_max=60)
    # between two points of the lattice nothing changes
    assert mm.gamma_for(MARKET, inventory=20.5, q_max=60) == pytest.approx(wide, rel=1e-12)


@settings(max_examples=25)
@given(
    sigma=st.floats(0.1, 30.0),
    A=st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 10.0)),
    k=st.tuples(st.floats(0.02, 2.0), st.floats(0.02, 2.0)),
    size=st.integers(1, 4),
    share=st.floats(0.02, 0.2),
)
def test_any_market(sigma, A, k, size, share):
    """Unequal sides too. A quarter of the bound is always within reach when sides are equal."""
    market = {"sigma": sigma, "A": A[0], "k": k[0]}
    gamma = mm.gamma_for(market, std=share * 40 * size, q_max=40 * size, order_size=size)
    assert gamma.law.std == pytest.approx(share * 40 * size, rel=1e-9)
    gamma = mm.gamma_for(
        {"sigma": sigma, "A": A, "k": k}, inventory=20 * size, q_max=40 * size, order_size=size
    )
    assert gamma.law.probability(20 * size) == pytest.approx(0.95, abs=1e-9)


def test_it_is_a_float_that_knows_more():
    gamma = mm.gamma_for(MARKET, inventory=10, q_max=60)
    assert isinstance(gamma, float)
    assert f"{gamma:.3e}" == f"{float(gamma):.3e}"
    assert float(str(gamma)) == gamma
    assert gamma * 2 == float(gamma) * 2
    assert "within 10 lots 95 % of the time" in repr(gamma)
    assert "relaxation time" in gamma._repr_html_()
    again = pickle.loads(pickle.dumps(gamma))
    assert again == gamma
    assert again.target == gamma.target
    assert again.law.std == gamma.law.std


def test_markets_come_as_dicts_models_and_calibrations():
    events = mm.SimulatedMarket(sigma=2.0, A=0.5, k=0.3, duration=3600, seed=2).events()
    calibration = mm.calibrate(events)
    by_calibration = mm.gamma_for(calibration, inventory=5, q_max=20, fee=0.1)
    values = {"sigma": calibration.sigma, "A": calibration.A, "k": calibration.k}
    by_values = mm.gamma_for(values, inventory=5, q_max=20, fee=0.1)
    model = mm.GueantLehalleFernandezTapia(**values, gamma=1.0, q_max=30, fee=0.1)
    by_model = mm.gamma_for(model, inventory=5, q_max=20)
    assert by_calibration == by_values == by_model
    assert by_model.model.fee == (0.1, 0.1)
    quiet = mm.calibrate(events.between(events.start_time, events.start_time + 10**9))
    with pytest.raises(NotIdentified):
        mm.gamma_for(quiet, inventory=5, q_max=20)


def test_what_cannot_be_reached_is_said():
    box = mm.GueantLehalleFernandezTapia(**MARKET, gamma=0.0, q_max=50).inventory_law()
    with pytest.raises(InvalidArgument, match="can be anything from") as caught:
        mm.gamma_for(MARKET, std=40, q_max=50)
    assert f"to {box.std:.4g} lots" in str(caught.value)  # with no aversion at all
    with pytest.raises(InvalidArgument, match=f"to {box.half_life:.4g} s"):
        mm.gamma_for(MARKET, half_life=1e9, q_max=50)
    with pytest.raises(InvalidArgument, match=f"from {100 * box.probability(10):.6g} % of the time"):
        mm.gamma_for(MARKET, inventory=10, probability=0.1, q_max=50)
    with pytest.raises(InvalidArgument, match="below q_max"):
        mm.gamma_for(MARKET, inventory=50, q_max=50)
    with pytest.raises(InvalidArgument, match=r"from 7\.\d+ ticks"):
        mm.gamma_for(MARKET, spread=1.0, q_max=50)


def test_a_spread_that_falls_first_and_rises_again():
    """Little price risk: aversion to the risk of a single fill lowers the static half-spread first."""
    calm = {**MARKET, "sigma": 0.01}
    gamma = mm.gamma_for(calm, spread=5.0, q_max=50)
    assert 2 * gamma.model.half_spread == pytest.approx(5.0, rel=1e-12)
    assert "larger gamma meets the target too" in gamma.notes[0]
    assert gamma.notes[0] in repr(gamma)
    assert pickle.loads(pickle.dumps(gamma)).notes == gamma.notes
    lowest = min(
        2 * mm.GueantLehalleFernandezTapia(**calm, gamma=g, q_max=50).half_spread
        for g in np.geomspace(1e-3, 1e3, 4000)
    )
    # just above the lowest there is: between two steps of the search
    assert 2 * mm.gamma_for(calm, spread=lowest * 1.0001, q_max=50).model.half_spread == pytest.approx(
        lowest * 1.0001
    )
    with pytest.raises(InvalidArgument, match="no gamma"):
        mm.gamma_for(calm, spread=lowest * 0.999, q_max=50)


def test_what_is_refused():
    for targets in ({}, {"std": 1.0, "spread": 8.0}):
        with pytest.raises(InvalidArgument, match="exactly one target"):
            mm.gamma_for(MARKET, **targets, q_max=50)
    with pytest.raises(InvalidArgument, match="over"):
        mm.gamma_for(MARKET, pnl_std=100.0, q_max=50)
    with pytest.raises(InvalidArgument, match="over"):
        mm.gamma_for(MARKET, std=5.0, over=60.0, q_max=50)
    with pytest.raises(InvalidArgument, match="leave it out"):
        mm.gamma_for(MARKET, std=5.0, q_max=50, gamma=1.0)
    with pytest.raises(InvalidArgument, match="exact model"):
        mm.gamma_for(MARKET, std=5.0, model="CarteaJaimungal")
    with pytest.raises(InvalidArgument, match="exact model"):
        mm.gamma_for(MARKET, std=5.0, model="Nobody")
    with pytest.raises(InvalidArgument, match="sigma"):
        mm.gamma_for({**MARKET, "sigma": 0.0}, std=5.0, q_max=50)
    with pytest.raises(InvalidArgument, match="probability"):
        mm.gamma_for(MARKET, inventory=5.0, probability=1.0, q_max=50)
    with pytest.raises(InvalidArgument, match="half_life"):
        mm.gamma_for(MARKET, half_life=-5.0, q_max=50)


# ---- simulated days


def days(gamma, start, seed, n=400):
    return mm.simulate(
        gamma.model, **MARKET, horizon=DAY, paths=n, seed=seed, initial_inventory=start, within=50
    )


def test_95_percent_of_simulated_days():
    """400 days; those that start flat hold less, which is what the warning says."""
    with pytest.warns(ApproximationWarning, match="quarter of the session") as caught:
        gamma = mm.gamma_for(MARKET, inventory=50, probability=0.95, q_max=200, session=DAY)
    assert caught[0].filename == __file__
    law = gamma.law
    start = np.random.default_rng(1).choice(law.inventories, 400, p=law.pmf)
    stationary = days(gamma, start, seed=2).time_within / DAY
    assert 0.93 < stationary.mean() < 0.97
    error = stationary.std() / math.sqrt(400)
    assert abs(stationary.mean() - 0.95) < 3 * error
    flat = days(gamma, 0.0, seed=3)
    assert (flat.time_within / DAY).mean() > stationary.mean() + error
    # the mean square of a flat start, by the slowest mode of the square, which relaxes twice as fast
    speed = 2 / law.relaxation_time
    expected = law.mean_square * (1 - (1 - math.exp(-speed * DAY)) / (speed * DAY))
    held = flat.inventory_square / DAY
    assert abs(held.mean() - expected) < 3 * held.std() / math.sqrt(400)
    assert held.mean() < 0.9 * law.mean_square


@pytest.mark.realdata
def test_the_sample_day(shared):
    """AMZN, 2012-06-21: sigma over 1 s and the D1 fit (reach of market orders, both sides pooled)."""
    facts = json.loads((shared / "data" / "facts.json").read_text())["lobster_amzn"]
    events = mm.load(shared / "data" / "lobster_amzn", cache=False)
    reach = mm.calibrate(events, "reach").pooled
    market = {"sigma": mm.calibrate(events, "reach").sigma, "A": reach.A, "k": reach.k}
    assert market["sigma"] == pytest.approx(facts["sigma_abs_1s"] / 0.01, rel=1e-12)
    assert (market["A"], market["k"]) == pytest.approx(
        (facts["D1_fit"]["A"], facts["D1_fit"]["k"]), rel=1e-12
    )
    with pytest.warns(ApproximationWarning, match=r"2.3 h.*6.5 h"):
        gamma = mm.gamma_for(market, inventory=50, probability=0.95, q_max=200, session=DAY)
    assert float(gamma) == pytest.approx(8.2e-8, abs=0.05e-8)
    assert gamma.law.std == pytest.approx(25.8, abs=0.05)
    assert gamma.law.relaxation_time / 3600 == pytest.approx(2.3, abs=0.05)


def test_a_market_of_a_wrong_type_is_named():
    with pytest.raises(InvalidArgument, match="market must be a Calibration, a model, or a dict"):
        mm.gamma_for(mm.SimulatedMarket(duration=60.0, seed=1).events(), std=3, q_max=10)
