"""Sizing: portfolios, frontiers and inventory policies, beside raw LAPACK and the packages installed.

Peers live in environments of their own (``make peers``). With that of piqp and cvxcla, everything is timed
there, in one process, in turn; stockpyl's rows are CPU time of a process of its own, once.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotrs

from mmcore.inventory_control import Demand, eoq, finite_horizon, optimal_s_S, wagner_whitin
from mmcore.portfolio import MeanVariance, efficient_frontier, mean_variance

from .harness import SMALL, Row, beside, compare, give, repeated

SHARED = Path(os.environ.get("MMCORE_SHARED", Path(__file__).resolve().parents[2] / "shared"))

STOCKPYL = Path("build/peers/stockpyl/bin/python")
WORKER = """
import json, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from stockpyl.eoq import economic_order_quantity
from stockpyl.finite_horizon import finite_horizon_dp
from stockpyl.ss import s_s_discrete_exact
from stockpyl.wagner_whitin import wagner_whitin

rng = np.random.default_rng(0)
a, b, c = (rng.uniform(1.0, 2.0, 10**6).tolist() for _ in range(3))
demand = rng.integers(0, 100, 365).tolist()

def eoq():
    for demand_rate, fixed_cost, holding_cost in zip(a, b, c):
        economic_order_quantity(fixed_cost, holding_cost, demand_rate)

cases = {
    "EOQ over 1e6 instruments": eoq,
    "(s, S) exact, Poisson 64": lambda: s_s_discrete_exact(1, 9, 64, True, 64),
    "Wagner-Whitin, 365 periods": lambda: wagner_whitin(365, 1, 500, demand),
    "finite horizon, 5 periods": lambda: finite_horizon_dp(5, 1, 20, 1, 20, 2, 50, 100, 20),
}
times = {}
for name, case in cases.items():
    start = time.process_time_ns()
    case()
    times[name] = time.process_time_ns() - start
print(json.dumps(times))
"""


def market(n: int) -> tuple[Any, Any]:
    """Twenty US stocks where their prices are at hand, else a five-factor covariance, seed 0."""
    prices = SHARED / "data/daily_prices/sp500_dataset.csv.gz"
    if n == 20 and prices.exists():
        table = np.genfromtxt(prices, delimiter=",", skip_header=1, usecols=range(1, 21))
        daily = table[1:] / table[:-1] - 1.0
        return 252.0 * np.cov(daily, rowvar=False), 252.0 * daily.mean(axis=0)
    rng = np.random.default_rng(0)
    load = np.column_stack([rng.normal(1.0, 0.3, n) * 0.16, rng.normal(size=(n, 4)) * 0.05])
    covariance = load @ load.T + np.diag(rng.uniform(0.1, 0.4, n) ** 2)
    return (covariance + covariance.T) / 2, rng.normal(0.08, 0.05, n)


def piqp_solver(covariance: Any, returns: Any, upper: float | None) -> Callable[[], object]:
    """Dense piqp on the same problem, set up anew each time."""
    import piqp

    n = len(returns)
    ones, one = np.ones((1, n)), np.ones(1)

    def once() -> object:
        solver = piqp.DenseSolver()
        bounds = {} if upper is None else {"x_l": np.zeros(n), "x_u": np.full(n, upper)}
        solver.setup(3.0 * covariance, -returns, ones, one, **bounds)
        solver.solve()
        return solver.result.x

    return once


def equality(n: int, operations: int) -> list[Row]:
    """Mean-variance with a budget only."""
    covariance, returns = market(n)
    both = np.ones((2, n))
    both[1] = returns

    def raw() -> object:
        factor, _ = dpotrf(covariance.T, lower=1, clean=0)
        return dpotrs(factor, both.T, lower=1)

    floor = "potrf + potrs, two right-hand sides"
    ready = MeanVariance(covariance)
    cases = {
        floor: repeated(raw),
        "mean_variance": repeated(lambda: mean_variance(covariance, returns, 3.0)),
        "the same, factored": repeated(lambda: ready.solve(returns, 3.0)),
    }
    if find_spec("piqp") and n <= 500:
        cases["piqp"] = repeated(piqp_solver(covariance, returns, None))
    goals = {"mean_variance": {20: 7.0, 500: 1.3, 2000: 1.2}[n]}
    rows = compare(cases, floor=floor, operations=operations, rounds=9, goals=goals)
    rows[2].note = f"1/{rows[1].ns / rows[2].ns:.1f} of the first"
    return rows


def bounded(n: int) -> list[Row]:
    """Long-only with a cap; warm: returns that moved a little."""
    covariance, returns = market(n)
    cap = max(0.05, 2.0 / n)
    moved = [returns + 0.001 * np.random.default_rng(k).normal(size=n) for k in range(64)]
    problem = MeanVariance(covariance, lower=0.0, upper=cap)
    turn = iter(range(10**9))
    cases = {
        "cold": repeated(lambda: mean_variance(covariance, returns, 3.0, lower=0.0, upper=cap)),
        "warm": repeated(lambda: problem.solve(moved[next(turn) % 64], 3.0)),
    }
    if find_spec("piqp"):
        cases["piqp"] = repeated(piqp_solver(covariance, returns, cap))
    return compare(cases, floor="piqp" if "piqp" in cases else "cold", operations=3, rounds=9)


def frontier(n: int) -> list[Row]:
    """All turning points, long-only."""
    covariance, returns = market(n)
    cases = {"efficient_frontier": repeated(lambda: efficient_frontier(covariance, returns))}
    if find_spec("cvxcla"):
        from cvxcla import CLA

        def peer() -> object:
            return CLA(
                mean=returns,
                covariance=covariance,
                lower_bounds=np.zeros(n),
                upper_bounds=np.ones(n),
                a=np.ones((1, n)),
                b=np.ones(1),
            )

        cases["cvxcla"] = repeated(peer)
    rows = compare(
        cases, floor="cvxcla" if "cvxcla" in cases else None, operations=max(1, 400 // n), rounds=9
    )
    rows[0].note = f"{len(efficient_frontier(covariance, returns))} turning points"
    return rows


def policies() -> list[Row]:
    """Inventory policies, each once."""
    rng = np.random.default_rng(0)
    a, b, c = (rng.uniform(1.0, 2.0, 10**6) for _ in range(3))
    demand = rng.integers(0, 100, 365)
    normal, poisson = Demand.normal(100, 20), Demand.poisson(64)
    cases = {
        "EOQ over 1e6 instruments": repeated(lambda: eoq(a, b, c)),
        "(s, S) exact, Poisson 64": repeated(lambda: optimal_s_S(1, 9, 64, poisson)),
        "Wagner-Whitin, 365 periods": repeated(lambda: wagner_whitin(demand, 500, 1)),
        "finite horizon, 5 periods": repeated(
            lambda: finite_horizon(
                5, 1, 20, 50, normal, purchase_cost=2, terminal_holding_cost=1, terminal_stockout_cost=20
            )
        ),
    }
    found = compare(cases, operations=2, rounds=9)
    if STOCKPYL.exists() and not SMALL:
        told = subprocess.run([STOCKPYL, "-c", WORKER], capture_output=True, text=True, check=True).stdout
        peer = json.loads(told)
        for row in found:
            row.ratio = row.ns / peer[row.name]
            row.note = f"stockpyl {peer[row.name] / 1e6:,.0f} ms, {peer[row.name] / row.ns:,.0f} x"
    return found


def here() -> dict[str, list[Row]]:
    """Time everything in this process."""
    if SMALL:
        return {
            "equality mean-variance, n = 20, ns": equality(20, 1000),
            "long-only with a cap, n = 20, ns": bounded(20),
            "exact long-only frontier, n = 20, ns": frontier(20),
            "inventory policies, ns": policies(),
        }
    return {
        "equality mean-variance, n = 20, ns": equality(20, 1000),
        "equality mean-variance, n = 500, ns": equality(500, 25),
        "equality mean-variance, n = 2000, ns": equality(2000, 1),
        "long-only with a cap, n = 500, ns": bounded(500),
        "exact long-only frontier, n = 20, ns": frontier(20),
        "exact long-only frontier, n = 500, ns": frontier(500),
        "inventory policies, ns": policies(),
    }


def rows() -> dict[str, list[Row]]:
    """Return the tables of this benchmark."""
    return beside("portfolio", "bench.bench_sizing") or here()


if __name__ == "__main__":
    give(here())
