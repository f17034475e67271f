"""The hot calls, one by one: ``make benchjson`` keeps their times; ``python -m bench`` says what they mean.

Each test first checks a result, so that no time is given to a wrong answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mmcore as mm
from mmcore.quoting import QUOTE, QuoteBuffer

MODEL = {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01, "q_max": 50}
MARKET = (617000.3, 7, 616999, 617001)


@pytest.fixture(params=["affine", "table", "table with time"])
def policy(request: Any) -> mm.Policy:
    """Return a policy of each shape."""
    if request.param == "affine":
        return mm.Affine(3.28, 0.11, q_max=50)
    horizon = {"horizon": 600.0} if request.param == "table with time" else {}
    return mm.GueantLehalleFernandezTapia(**MODEL, **horizon).policy()


def test_depths(benchmark: Any, policy: mm.Policy) -> None:
    left = 333.3 if np.isfinite(policy.horizon) else np.inf
    bid, ask = benchmark(policy.depths, 7, left)
    assert [bid, ask] == [float(side) for side in policy.depths_batch(7, left)]


def test_quote(benchmark: Any, policy: mm.Policy) -> None:
    left = 333.3 if np.isfinite(policy.horizon) else np.inf
    quoter = mm.Quoter(policy, limits=mm.Limits(max_position=40))
    quote = benchmark(quoter.quote, *MARKET, 0.0, 0.0, left)
    assert list(quote) == quoter.price_batch(*MARKET, time_left=left).tolist()


def test_quote_into(benchmark: Any) -> None:
    quoter, buffer = mm.Quoter(mm.Affine(3.28, 0.11, q_max=50)), QuoteBuffer()
    benchmark(quoter.quote_into, buffer, *MARKET)
    assert tuple(buffer) == tuple(quoter.quote(*MARKET))


def test_set(benchmark: Any) -> None:
    quoter = mm.Quoter(mm.GueantLehalleFernandezTapia(**MODEL))
    benchmark(quoter.set, sigma=0.4)
    assert tuple(quoter.quote(100.5, 3)) == tuple(mm.Quoter(quoter.model).quote(100.5, 3))


def test_fill(benchmark: Any) -> None:
    position = mm.Book([mm.Instrument("X", tick="0.01")], history="none")["X"]
    benchmark(position.fill, 1, 100)
    assert position.net > 0


def test_orders_target(benchmark: Any) -> None:
    orders, quote = mm.Orders(max_exposure=50), mm.Quoter(mm.Affine(1.5, q_max=50)).quote(100.25, 0)
    first = orders.target(quote, 1)
    for action in first:
        orders.on_report(mm.Report("accepted", action.order_id))
    assert len(first) == 2
    assert not benchmark(orders.target, quote, 2)


@pytest.mark.parametrize("n", [1024, 4096])
def test_price_batch(benchmark: Any, n: int) -> None:
    quoter = mm.Quoter(mm.Affine(3.28, 0.11, q_max=50), limits=mm.Limits(max_position=40))
    reference, inventory = 617000.0 + np.arange(n) / 7, np.arange(n) % 100 - 50.0
    bid, ask = benchmark(quoter.price_batch, reference, inventory)
    rows = quoter.quote_batch(reference, inventory)
    assert np.array_equal(bid, rows["bid"])
    assert np.array_equal(ask, rows["ask"])


def test_quote_batch(benchmark: Any) -> None:
    quoter, out = mm.Quoter(mm.Affine(3.28, 0.11, q_max=50)), np.empty(4096, QUOTE)
    rows = benchmark(quoter.quote_batch, 617000.0 + np.arange(4096) / 7, 3, out=out)
    assert rows[5]["bid"] == quoter.quote(617000.0 + 5 / 7, 3).bid


@pytest.mark.parametrize("cost", ["average", "fifo"])
def test_fills_of_an_array(benchmark: Any, cost: str) -> None:
    instrument = mm.Instrument("X", tick="0.01")
    fills = mm.Book([instrument]).records(qty=np.where(np.arange(10_000) % 2, -1, 1), price=617_000)

    def book() -> mm.Book:
        made = mm.Book([instrument], cost=cost, history="none")
        made.apply(fills)
        return made

    assert benchmark(book)["X"].net == 0
