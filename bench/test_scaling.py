"""How times grow with the size of the problem: ``make benchjson`` keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mmcore as mm


@pytest.mark.parametrize("n", [100, 10_000, 1_000_000])
def test_price_batch(benchmark: Any, n: int) -> None:
    quoter = mm.Quoter(mm.Affine(3.28, 0.11, q_max=50))
    reference = 617000.0 + np.arange(n) / 7
    bid, ask = benchmark(quoter.price_batch, reference, 7)
    assert [bid[-1], ask[-1]] == list(quoter.quote(float(reference[-1]), 7))


@pytest.mark.parametrize("q_max", [50, 500, 5000])
def test_set(benchmark: Any, q_max: int) -> None:
    quoter = mm.Quoter(mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=1e-4, q_max=q_max))
    benchmark(quoter.set, sigma=0.4)
    assert tuple(quoter.quote(100.5, 3)) == tuple(mm.Quoter(quoter.model).quote(100.5, 3))


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_mean_variance(benchmark: Any, n: int) -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(n, 2 * n))
    found = benchmark(mm.mean_variance, factors @ factors.T / (2 * n), rng.normal(size=n))
    assert abs(found.weights.sum() - 1) < 1e-9


@pytest.mark.parametrize("seconds", [60, 600, 6000])
def test_replay(benchmark: Any, seconds: int) -> None:
    events = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=seconds).events()
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=20)
    result = benchmark(mm.replay, events, model)
    assert result.attribution.unexplained == 0
