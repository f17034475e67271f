"""Bad input to portfolios and execution: the error names argument, value and what is allowed."""

import math

import numpy as np
import pytest

import mmcore as mm
from mmcore import execution as ex
from mmcore.errors import InvalidArgument
from mmcore.portfolio import exponentially_weighted, sample_covariance

COVARIANCE = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]])
RETURNS = np.array([0.05, 0.08, 0.1])
THIRDS = np.full(3, 1 / 3)
OBSERVED = np.array([[0.1, 0.2], [0.3, -0.1], [0.0, 0.4]])
PLAN = ex.AlmgrenChriss(100, 4, 4, sigma=1.0, temporary=0.1, risk_aversion=0.1)

FUNCTIONS = {
    "mean_variance": (
        mm.mean_variance,
        {
            "covariance": COVARIANCE,
            "expected_returns": RETURNS,
            "risk_aversion": 2.0,
            "budget": 1.0,
            "lower": np.zeros(3),
            "upper": np.ones(3),
            "holdings": THIRDS,
            "cost": np.full(3, 0.01),
        },
    ),
    "general": (
        lambda **given: mm.mean_variance(COVARIANCE, RETURNS, holdings=THIRDS, **given),
        {"power_cost": np.full(3, 0.01), "leverage": 2.0, "turnover": 1.0},
    ),
    "target_return": (
        lambda **given: mm.mean_variance(COVARIANCE, RETURNS, **given),
        {"target_return": 0.08},
    ),
    "target_risk": (lambda **given: mm.mean_variance(COVARIANCE, RETURNS, **given), {"target_risk": 0.3}),
    "MeanVariance": (mm.MeanVariance, {"covariance": COVARIANCE, "budget": 2.0, "lower": 0.0, "upper": 1.0}),
    "solve": (mm.MeanVariance(COVARIANCE).solve, {"expected_returns": RETURNS, "risk_aversion": 2.0}),
    "efficient_frontier": (
        mm.efficient_frontier,
        {
            "covariance": COVARIANCE,
            "expected_returns": RETURNS,
            "budget": 1.0,
            "lower": np.zeros(3),
            "targets": np.array([0.08, 0.09]),
        },
    ),
    "Frontier.at": (mm.efficient_frontier(COVARIANCE, RETURNS).at, {"risk_aversion": 2.0}),
    "target_inventories": (
        mm.target_inventories,
        {
            "covariance": COVARIANCE,
            "alphas": RETURNS,
            "risk_aversion": 2.0,
            "limits": np.ones(3),
            "holdings": np.zeros(3),
            "cost": 0.01,
        },
    ),
    "lots": (
        lambda prices: mm.mean_variance(COVARIANCE).lots([mm.Instrument("A", tick="0.01")] * 3, prices),
        {"prices": np.ones(3)},
    ),
    "sample_covariance": (sample_covariance, {"returns": OBSERVED, "mean": np.zeros(2)}),
    "exponentially_weighted": (exponentially_weighted, {"returns": OBSERVED, "half_life": 2.0, "mean": 0.0}),
    "AlmgrenChriss": (
        ex.AlmgrenChriss,
        {
            "quantity": 100.0,
            "horizon": 5.0,
            "periods": 5,
            "sigma": 1.0,
            "permanent": 0.01,
            "temporary": 0.1,
            "fixed": 0.1,
            "risk_aversion": 0.1,
            "drift": 0.1,
            "most": np.full(5, 50.0),
        },
    ),
    "AlmgrenChrissBasket": (
        ex.AlmgrenChrissBasket,
        {
            "quantities": np.ones(3),
            "horizon": 5.0,
            "periods": 5,
            "covariance": COVARIANCE,
            "temporary": np.ones(3),
            "permanent": np.full(3, 0.01),
            "fixed": np.zeros(3),
            "risk_aversion": 0.1,
            "drift": np.zeros(3),
        },
    ),
    "frontier": (PLAN.frontier, {"risk_aversions": np.array([0.1, 0.2])}),
    "value_at_risk": (PLAN.value_at_risk, {"probability": 0.95}),
    "least_value_at_risk": (PLAN.least_value_at_risk, {"probability": 0.95}),
    "Schedule": (ex.Schedule, {"times": np.array([0.0, 1.0]), "holdings": np.array([1.0, 0.0])}),
    "Schedule.at": (PLAN.at, {"time": np.array([0.0, 1.0])}),
    "as_target": (PLAN.as_target, {"start": 0.0}),
    "must_cross": (PLAN.must_cross, {"now": 1.0, "inventory": 90.0, "start": 0.0}),
    "capped": (lambda most: ex.capped(PLAN, most), {"most": np.full(4, 50.0)}),
    "power_law": (
        ex.power_law,
        {
            "quantity": 100.0,
            "horizon": 4.0,
            "sigma": 1.0,
            "temporary": 0.1,
            "risk_aversion": 0.1,
            "exponent": 0.6,
            "periods": 4,
            "most": np.full(4, 50.0),
            "drift": 0.1,
        },
    ),
    "market_order_liquidation": (
        ex.market_order_liquidation,
        {
            "quantity": 1.0,
            "horizon": 1.0,
            "temporary": 0.001,
            "permanent": 0.001,
            "running_penalty": 0.001,
            "terminal_penalty": 1.0,
            "times": np.array([0.0, 0.5, 1.0]),
        },
    ),
    "limit_order_liquidation": (
        ex.limit_order_liquidation,
        {
            "quantity": 3,
            "arrival_rate": 1.0,
            "decay": 10.0,
            "terminal_penalty": 0.01,
            "time_left": np.array([1.0, 2.0]),
        },
    ),
    "i_star": (
        ex.i_star,
        {
            "quantity": np.array([1e5, 2e5]),
            "volume": np.array([1e6, 1e6]),
            "sigma": np.array([0.2, 0.3]),
            "participation": np.array([0.1, 0.2]),
            "a1": 708.0,
            "a2": 0.55,
            "a3": 0.71,
            "a4": 0.5,
            "b1": 0.98,
        },
    ),
    "unwind": (
        ex.unwind,
        {
            "inventory": 80.0,
            "limit": 50.0,
            "horizon": 3.0,
            "periods": 3,
            "sigma": 0.5,
            "temporary": 0.1,
            "permanent": 0.0,
            "fixed": 0.0,
            "risk_aversion": 0.1,
        },
    ),
}
NEGATIVE = {
    "risk_aversion",
    "risk_aversions",
    "cost",
    "power_cost",
    "leverage",
    "turnover",
    "limits",
    "prices",
    "half_life",
    "horizon",
    "periods",
    "sigma",
    "permanent",
    "temporary",
    "fixed",
    "most",
    "exponent",
    "running_penalty",
    "terminal_penalty",
    "arrival_rate",
    "decay",
    "time_left",
    "volume",
    "participation",
    "limit",
    "target_risk",
    "a1",
    "b1",
}
INFINITE = {"lower", "upper", "limits", "most", "half_life", "terminal_penalty"}
"""Arguments that may be infinite, one way at least."""
ELEMENTWISE = {"risk_aversions", "time", "time_left", "targets"}
"""Arguments of any shape, whose result has that shape."""


def cases():
    for name, (function, given) in FUNCTIONS.items():
        for argument, good in given.items():
            array = isinstance(good, np.ndarray)
            elementwise = argument in ELEMENTWISE or (name == "i_star" and array)
            bad = [math.nan, "much", 1j]
            if not elementwise:
                bad.append([[[1.0]]])
            if argument not in INFINITE:
                bad.append(math.inf)
            if argument in NEGATIVE:
                bad.append(-1.0)
            for value in bad:
                if array and not isinstance(value, (str, complex, list)):
                    wrong = good.copy()
                    wrong.flat[-1] = value
                else:
                    wrong = value
                label = f"{name}-{argument}-{value}"
                yield pytest.param(function, given, argument, value, wrong, id=label)
            if array and not elementwise:
                yield pytest.param(
                    function, given, argument, "shape (0,)", np.empty(0), id=f"{name}-{argument}-empty"
                )


@pytest.mark.parametrize(("function", "given", "argument", "value", "wrong"), list(cases()))
def test_the_argument_and_its_value_are_named(function, given, argument, value, wrong):
    with pytest.raises(InvalidArgument) as caught:
        function(**{**given, argument: wrong})
    assert argument in str(caught.value)
    if isinstance(value, float):
        assert f"{value:g}" in str(caught.value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_layout_of_an_array_will_do(name):
    """Strided, of the other byte order, read-only, in integers or lists: the same answer."""
    function, given = FUNCTIONS[name]

    def strided(a):
        wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]))
        wide[..., ::2] = a
        return wide[..., ::2]

    def locked(a):
        a = a.copy()
        a.flags.writeable = False
        return a

    def told(found):
        if isinstance(found, tuple):
            return np.concatenate([told(part) for part in found])
        for attribute in ("weights", "holdings", "lots", "covariance", "cost"):
            if getattr(found, attribute, None) is not None:
                found = getattr(found, attribute)
        return np.ravel(found() if callable(found) and not isinstance(found, np.ndarray) else found)

    if name == "as_target":
        pytest.skip("returns a function")
    expected = told(function(**given))
    for layout in (strided, lambda a: a.astype(a.dtype.newbyteorder(">")), locked, np.asfortranarray, list):
        made = {k: layout(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
        kept = {k: np.array(v) for k, v in made.items() if isinstance(v, np.ndarray)}
        assert told(function(**made)) == pytest.approx(expected, rel=1e-12, abs=1e-14)
        for k, before in kept.items():
            assert (made[k] == before).all(), f"{k} was changed"
