"""Agreement with cvxcla, piqp, PyPortfolioOpt and skfolio in an environment of their own: ``make peers``.

Random instances, solved here and there. The peers' solvers stop at tolerances of their own, which the tests
state; where a peer is exact (cvxcla) so is the agreement. What one gets wrong is said by the last test, which
fails when it no longer does.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm
from mmcore.portfolio import sample_covariance

PEER = Path(__file__).parents[1] / "build/peers/portfolio/bin/python"
WORKER = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np

def cvxcla(covariance, returns, upper):
    from cvxcla import CLA
    n = len(returns)
    found = CLA(mean=returns, covariance=covariance, lower_bounds=np.zeros(n), upper_bounds=np.full(n, upper),
                a=np.ones((1, n)), b=np.ones(1))
    points = [p for p in found.turning_points if np.isfinite(p.lamb)]
    return [[p.lamb for p in points], [p.weights.tolist() for p in points]]

def piqp(covariance, returns, risk_aversion, upper, row, high):
    import piqp
    n = len(returns)
    solver = piqp.DenseSolver()
    solver.setup(risk_aversion * covariance, -returns, np.ones((1, n)), np.ones(1), np.asarray([row]),
                 np.array([-np.inf]), np.array([high]), np.zeros(n), np.full(n, upper))
    solver.solve()
    return solver.result.x.tolist()

def pypfopt(covariance, returns, method, bounds, **arguments):
    from pypfopt import EfficientFrontier
    found = EfficientFrontier(returns, covariance, weight_bounds=tuple(bounds))
    getattr(found, method)(**arguments)
    return np.asarray(found.weights).tolist()

def skfolio(sample, objective, **arguments):
    from skfolio import RiskMeasure
    from skfolio.optimization import MeanRisk, ObjectiveFunction
    found = MeanRisk(objective_function=ObjectiveFunction[objective], risk_measure=RiskMeasure.VARIANCE,
                     solver="CLARABEL", **arguments)
    return found.fit(sample).weights_.tolist()

told = []
for name, arguments in json.load(sys.stdin):
    arrays = {k: np.array(v) if k in ("covariance", "returns", "sample", "previous_weights") else v
              for k, v in arguments.items()}
    told.append(globals()[name](**arrays))
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def peer():
    """Return what solves a list of problems with one of the packages."""
    if not PEER.exists():
        pytest.skip("needs build/peers/portfolio: make peers")

    def ask(name, cases):
        plain = [
            {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in case.items()} for case in cases
        ]
        told = subprocess.run(
            [PEER, "-c", WORKER],
            input=json.dumps([(name, case) for case in plain]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr[-2000:]
        return json.loads(told.stdout)

    return ask


def market(seed, n=None):
    """Covariance and expected returns of some assets: three common factors."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 25)) if n is None else n
    load = np.column_stack([rng.normal(1, 0.3, n) * 0.16, rng.normal(size=(n, 2)) * 0.08])
    covariance = load @ load.T + np.diag(rng.uniform(0.1, 0.4, n) ** 2)
    return (covariance + covariance.T) / 2, rng.normal(0.08, 0.05, n)


def value(x, covariance, returns, risk_aversion):
    x = np.asarray(x)
    return 0.5 * risk_aversion * x @ covariance @ x - returns @ x


def test_cvxcla_has_the_same_turning_points(peer):
    cases = [market(seed) for seed in range(20)]
    caps = [max(0.4, 2.0 / len(returns)) for _, returns in cases]
    told = peer(
        "cvxcla",
        [{"covariance": c, "returns": r, "upper": cap} for (c, r), cap in zip(cases, caps, strict=True)],
    )
    for (covariance, returns), cap, (tolerances, weights) in zip(cases, caps, told, strict=True):
        frontier = mm.efficient_frontier(covariance, returns, upper=cap)
        assert frontier.risk_tolerance == pytest.approx(np.array(tolerances)[::-1], rel=1e-9, abs=1e-13)
        assert frontier.weights == pytest.approx(np.array(weights)[::-1], abs=1e-11)


def test_piqp_finds_no_better(peer):
    """It stops at 1e-8 of its conditions: 1e-7 of the objective, 1e-4 of the weights."""
    cases = []
    for seed in range(30):
        covariance, returns = market(seed)
        rng = np.random.default_rng(seed)
        row = rng.uniform(0.0, 1.0, len(returns))
        case = {"covariance": covariance, "returns": returns, "risk_aversion": 10 ** rng.uniform(-1, 1.5)}
        cases.append({**case, "upper": 0.7, "row": row, "high": float(np.quantile(row, 0.6))})
    for case, x in zip(cases, peer("piqp", cases), strict=True):
        problem = case["covariance"], case["returns"], case["risk_aversion"]
        p = mm.mean_variance(*problem, lower=0.0, upper=0.7, constraints=(case["row"], -np.inf, case["high"]))
        assert value(p.weights, *problem) == pytest.approx(value(x, *problem), abs=1e-7)
        assert p.weights == pytest.approx(x, abs=1e-4)


def test_pyportfolioopt_agrees_to_its_solver(peer):
    """Within 1e-4 of the weights (a target risk is a cone problem to it) and 1e-8 of the objective."""
    cases, wanted = [], []
    for seed in range(8):
        covariance, returns = market(seed, 8)
        frontier = mm.efficient_frontier(covariance, returns)
        middle = frontier.at(risk_aversion=3.0)
        shared = {"covariance": covariance, "returns": returns, "bounds": [0, 1]}
        cases += [
            {**shared, "method": "min_volatility"},
            {**shared, "method": "max_quadratic_utility", "risk_aversion": 3.0},
            {**shared, "method": "efficient_return", "target_return": middle.expected_return},
            {**shared, "method": "efficient_risk", "target_volatility": middle.risk},
        ]
        wanted += [frontier.at(target_return=-9.0).weights, *[middle.weights] * 3]
    for case, x, ours in zip(cases, peer("pypfopt", cases), wanted, strict=True):
        assert ours == pytest.approx(x, abs=1e-4), case["method"]
        problem = case["covariance"], 0.0 if case["method"] == "min_volatility" else case["returns"], 3.0
        assert (
            value(ours, case["covariance"], problem[1] + np.zeros(8), 3.0)
            <= value(x, case["covariance"], problem[1] + np.zeros(8), 3.0) + 1e-8
        )


def test_skfolio_agrees_to_its_solver(peer):
    """Within 2e-4 of the weights, with and without costs: Clarabel. Its risk aversion is half of ours."""
    cases = []
    for seed in range(8):
        covariance, returns = market(seed, 6)
        rng = np.random.default_rng(seed)
        sample = rng.multivariate_normal(returns / 252, covariance / 252, size=300)
        cases.append(
            {
                "sample": sample,
                "objective": "MAXIMIZE_UTILITY",
                "risk_aversion": 2.0,
                "min_weights": 0.0,
                "max_weights": 0.6,
                "transaction_costs": float(rng.choice([0.0, 1e-4])),
                "previous_weights": rng.dirichlet(np.ones(6)),
            }
        )
    for case, x in zip(cases, peer("skfolio", cases), strict=True):
        sample = case["sample"]
        p = mm.mean_variance(
            sample_covariance(sample),
            sample.mean(axis=0),
            2.0 * case["risk_aversion"],
            lower=0.0,
            upper=0.6,
            holdings=case["previous_weights"],
            cost=case["transaction_costs"],
        )
        assert p.weights == pytest.approx(x, abs=2e-4)
        assert abs(p.weights.sum() - 1.0) < 1e-15


def test_pyportfolioopt_bounds_what_has_no_bounds(peer):
    """``weight_bounds=(None, None)`` reads as none at all, and means ±1."""
    covariance, returns = market(3, 8)
    shared = {"covariance": covariance, "returns": returns, "method": "max_quadratic_utility"}
    (x,) = peer("pypfopt", [{**shared, "bounds": [None, None], "risk_aversion": 0.2}])
    free = mm.mean_variance(covariance, returns, 0.2)
    assert np.abs(free.weights).max() > 2.0
    assert np.abs(x).max() == pytest.approx(1.0, abs=1e-6)
    bounded = mm.mean_variance(covariance, returns, 0.2, lower=-1.0, upper=1.0)
    assert bounded.weights == pytest.approx(x, abs=1e-3)
