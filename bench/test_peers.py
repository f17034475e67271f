"""Other packages beside ours, those that this environment has: ``make benchjson`` keeps the times of both.

Ratios, noise and peers that need an environment of their own stand in ``python -m bench``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mmcore as mm

from .bench_quoting import numpy_prices

CASES = ("mmcore", "NumPy")


@pytest.mark.parametrize("who", CASES)
@pytest.mark.parametrize("n", [1024, 4096])
def test_two_prices(benchmark: Any, who: str, n: int) -> None:
    policy, reference = mm.Affine(3.28, 0.11, q_max=50), 617000.25 + np.arange(n) / 8
    quoter = mm.Quoter(policy)
    if who == "mmcore":
        found = benchmark(quoter.price_batch, reference, 7)
    else:
        found = benchmark(numpy_prices, policy, reference, 7)
    rows = quoter.quote_batch(reference, 7)
    assert np.array_equal(found, [rows["bid"], rows["ask"]])


@pytest.mark.parametrize("who", ["replay", "hftbacktest"])
@pytest.mark.parametrize("interval", [0.1, 0.01, 0.001])
def test_replay(benchmark: Any, who: str, interval: float) -> None:
    pytest.importorskip("hftbacktest")
    from .hftbacktest_replay import cases, market

    found = cases(market(400.0), interval)
    assert np.array_equal(benchmark(found[who]), found["replay"]())


@pytest.mark.parametrize("who", ["mmcore", "piqp"])
@pytest.mark.parametrize("n", [20, 200])
def test_long_only_portfolio(benchmark: Any, who: str, n: int) -> None:
    piqp = pytest.importorskip("piqp")
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n, 2 * n))
    covariance, returns = factors @ factors.T / (2 * n), rng.normal(size=n)
    ours = mm.mean_variance(covariance, returns, lower=0.0).weights

    def solve() -> Any:
        solver = piqp.DenseSolver()
        solver.settings.eps_abs = solver.settings.eps_rel = 1e-12
        solver.setup(covariance, -returns, np.ones((1, n)), np.ones(1), x_l=np.zeros(n))
        solver.solve()
        return solver.result.x

    found = benchmark(solve) if who == "piqp" else benchmark(mm.mean_variance, covariance, returns, lower=0.0)
    assert np.allclose(found if who == "piqp" else found.weights, ours, atol=1e-7)
