"""Parameters that no quote can be made from, and data that identify nothing: rows 22 and 23 of the faults."""

import itertools
import math

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import Error, InvalidArgument, NotIdentified

pytestmark = pytest.mark.compiled

GOOD = {
    mm.AvellanedaStoikov: {"sigma": 2.0, "k": 0.3, "gamma": 0.1, "horizon": 60.0},
    mm.GueantLehalleFernandezTapia: {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01, "q_max": 5},
    mm.CarteaJaimungal: {
        "sigma": 0.3,
        "A": 0.9,
        "k": 0.3,
        "running_penalty": 1e-4,
        "terminal_penalty": 1e-3,
        "q_max": 5,
        "horizon": 60.0,
    },
}
BAD = {
    "sigma": [-1.0, math.nan, math.inf],
    "gamma": [-1e-9, math.nan, math.inf],
    "k": [0.0, -0.3, math.nan, math.inf],
    "A": [0.0, -1.0, math.nan, math.inf],
    "horizon": [-1.0, math.nan],
    "running_penalty": [-1.0, math.nan, math.inf],
    "terminal_penalty": [-1.0, math.nan, math.inf],
    "q_max": [0, -1, math.nan],
}
CASES = [(cls, name, value) for cls, good in GOOD.items() for name in good for value in BAD[name]]


@pytest.mark.parametrize(("cls", "name", "value"), CASES)
def test_row_22_a_bad_parameter_is_refused_by_name(cls, name, value):
    with pytest.raises(InvalidArgument) as refused:
        cls(**{**GOOD[cls], name: value})
    assert refused.value.argument == name
    assert name in str(refused.value)


@pytest.mark.parametrize(
    ("cls", "name", "value"), [case for case in CASES if case[1] in ("sigma", "k", "gamma")]
)
def test_row_22_a_bad_parameter_at_set_leaves_the_old_policy_in_force(cls, name, value):
    quoter = mm.Quoter(cls(**GOOD[cls]))
    before, version = quoter.quote(100.0, 2, time_left=10.0), quoter.version
    with pytest.raises(Error):
        quoter.set(**{name: value})
    assert (quoter.quote(100.0, 2, time_left=10.0), quoter.version) == (before, version)


@pytest.mark.parametrize("cls", GOOD)
def test_row_22_no_time_left_is_a_quote(cls):
    quoter = mm.Quoter(cls(**GOOD[cls]))
    bid, ask = quoter.quote(100.0, 0, time_left=0.0)
    assert bid < 100 < ask


@pytest.mark.parametrize("cls", [mm.GueantLehalleFernandezTapia, mm.CarteaJaimungal])
def test_row_22_at_the_bound_only_the_reducing_side_is_quoted(cls):
    quoter = mm.Quoter(cls(**GOOD[cls]))
    for inventory, absent, present in ((5, "bid", "ask"), (-5, "ask", "bid")):
        quote = quoter.quote(100.0, inventory, time_left=30.0)
        assert getattr(quote, absent) is None
        assert getattr(quote, f"{absent}_size") == 0
        assert getattr(quote, present) is not None
        assert quote.why


def test_row_22_gamma_to_zero_is_its_limit():
    """ln(1 + γ/k)/γ + γσ²τ/2 → 1/k: no cancellation on the way."""
    good = {**GOOD[mm.AvellanedaStoikov]}
    exact = mm.AvellanedaStoikov(**{**good, "gamma": 0.0}).depths(0, 10.0)
    assert exact == pytest.approx((1 / 0.3, 1 / 0.3), rel=1e-15)
    for gamma in 10.0 ** np.arange(-18.0, -5.0):
        near = mm.AvellanedaStoikov(**{**good, "gamma": gamma}).depths(0, 10.0)
        depth = math.log1p(gamma / good["k"]) / gamma + gamma * good["sigma"] ** 2 * 10.0 / 2
        assert near == pytest.approx((depth, depth), rel=1e-15)


@pytest.mark.parametrize("sigma", [1e-6, 1e8])
@pytest.mark.parametrize("k", [1e-6, 1e3])
@pytest.mark.parametrize("gamma", [0.0, 1e-12, 1e6])
def test_row_22_nothing_that_is_no_number_leaves_at_the_extremes(sigma, k, gamma):
    """Either the parameters are refused, or every depth is a number, NaN only where a side is absent."""
    for cls, order in itertools.product(GOOD, (1, 2)):
        good = {**GOOD[cls], "sigma": sigma, "k": k}
        if "gamma" in good:
            good["gamma"] = gamma
        if "q_max" in good:
            good |= {"q_max": 4 * order, "order_size": order}
        try:
            model = cls(**good)
            policy = model.policy()
        except Error:
            continue
        for inventory in (-4 * order, -order, 0, order, 4 * order):
            bid, ask = policy.depths(inventory, 10.0)
            assert inventory > 0 if bid is None else math.isfinite(bid), (cls, good, inventory)
            assert inventory < 0 if ask is None else math.isfinite(ask), (cls, good, inventory)


def _events(n, depth):
    stock = mm.Instrument("X", tick="0.01")
    stamps = np.arange(1, n + 1) * 10**9
    quotes = mm.Quotes(stamps, np.full(n, 1000), np.full(n, 1002))
    if depth is None:
        return mm.Events(stock, None, quotes, None)
    trades = mm.Trades(stamps + 5, np.where(np.arange(n) % 2, 1001 + depth, 1001 - depth), np.ones(n, int))
    kind = np.tile([1, 2], n).astype("u1")
    return mm.Events(stock, kind, quotes, trades)


@pytest.mark.parametrize("method", ["poisson", "reach", "window"])
@pytest.mark.parametrize("depth", [None, 3])
def test_row_23_nothing_to_identify_is_said_and_is_no_number(method, depth):
    """No trades, trades at one depth only, a mid that never moves."""
    calibration = mm.calibrate(_events(200, depth), method)
    assert not calibration.identified
    assert calibration.k == (None, None)
    assert calibration.A == (None, None)
    assert any("not identified" in note for note in calibration.notes)
    with pytest.raises(NotIdentified):
        calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.1, q_max=5)
