"""Service levels and fill rates when the policies are played, and the least stock that reaches a target."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcore.errors import InvalidArgument
from mmcore.inventory_control import (
    Demand,
    base_stock,
    base_stock_service,
    reorder_point,
    reorder_service,
)


@pytest.mark.parametrize(("s", "lead_time"), [(6, 0), (17, 2)])
def test_base_stocks_when_they_are_played(s, lead_time):
    """Order what was asked for; what is short in a period is what it adds to the backlog."""
    rng, n = np.random.default_rng(5), 400_000
    asked = rng.poisson(5, n + lead_time + 1)
    windows = np.convolve(asked, np.ones(lead_time + 1, dtype=int), mode="valid")[: n + 1]
    net = s - windows  # after each period's demand
    before = net + asked[lead_time : lead_time + n + 1]
    short = np.minimum(np.maximum(-net, 0), asked[lead_time : lead_time + n + 1])
    assert (short == np.maximum(-net, 0) - np.maximum(-before, 0)).all()
    found = base_stock_service(s, Demand.poisson(5), lead_time=lead_time)
    error = 4 * math.sqrt(0.25 * (lead_time + 1) / n)
    assert abs((net >= 0).mean() - found.service_level) < error
    batches = short[:n].reshape(100, -1).mean(axis=1) / 5
    assert abs(1 - batches.mean() - found.fill_rate) < 4 * batches.std() / 10


def test_reorder_points_when_they_are_played():
    """Customers come one by one; each finds stock or waits (the lead time's demand is Poisson)."""
    r, q, rate, lead = 4, 6, 2.0, 2.5
    rng, n = np.random.default_rng(7), 300_000
    at = np.cumsum(rng.exponential(1 / rate, n))
    position = r + q - np.arange(n) % q  # just before a customer
    # stock on hand then: the position some lead time ago, less the demand since
    then = np.searchsorted(at, at - lead)  # customers up to a lead time ago
    stock = (r + q - then % q) - (np.arange(n) - then)
    late = at > 10 * lead
    served = (stock[late] >= 1).astype(float)
    assert position.min() == r + 1
    batches = served[: len(served) // 100 * 100].reshape(100, -1).mean(axis=1)
    found = reorder_service(r, q, Demand.poisson(rate * lead))
    assert abs(batches.mean() - found.fill_rate) < 4 * batches.std() / 10


@given(
    target=st.floats(0.05, 0.999),
    lead_time=st.integers(0, 3),
    mean=st.floats(0.5, 40.0),
)
def test_the_least_base_stock_of_a_target(target, lead_time, mean):
    law = Demand.poisson(mean)
    for name in ("service_level", "fill_rate"):
        s = base_stock(law, lead_time=lead_time, **{name: target})
        assert s == int(s)
        assert getattr(base_stock_service(s, law, lead_time=lead_time), name) >= target
        assert getattr(base_stock_service(s - 1, law, lead_time=lead_time), name) < target


@given(target=st.floats(0.05, 0.9999), q=st.floats(1.0, 200.0), std=st.floats(1.0, 32.0))
def test_the_least_reorder_point_of_a_target(target, q, std):
    law = Demand.normal(100, std)
    r = reorder_point(law, fill_rate=target, quantity=q)
    assert reorder_service(r, q, law).fill_rate == pytest.approx(target, abs=1e-10)
    counted = Demand.poisson(100)
    r = reorder_point(counted, fill_rate=target, quantity=q)
    assert reorder_service(r, q, counted).fill_rate >= target > reorder_service(r - 1, q, counted).fill_rate
    assert reorder_service(reorder_point(law, service_level=target), q, law).service_level == pytest.approx(
        target, abs=1e-12
    )


def test_the_usual_form_of_the_fill_rate_leaves_out_what_was_short_already():
    """Silver, Pyke and Thomas (2017), section 6.7: n(r) = (1 - fill rate) Q, near for large quantities."""
    law = Demand.normal(100, 20)
    r = reorder_point(law, fill_rate=0.98, quantity=400)
    assert law.shortage(r) == pytest.approx(0.02 * 400, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: base_stock(Demand.poisson(1)), "give a service_level or a fill_rate"),
        (lambda: base_stock(Demand.poisson(1), service_level=0.5, fill_rate=0.5), "one of the two"),
        (lambda: base_stock(Demand.poisson(1), fill_rate=1.0), "fill_rate must be strictly between 0 and 1"),
        (lambda: base_stock(Demand.poisson(1), fill_rate=math.nan), "fill_rate must be a finite number"),
        (lambda: base_stock(Demand.poisson(1), service_level="a"), "service_level must be a finite number"),
        (
            lambda: base_stock(Demand.poisson(1), fill_rate=0.5, lead_time=-1),
            "lead_time must be an integer >= 0",
        ),
        (lambda: base_stock(3.0, fill_rate=0.5), "demand must be a Demand"),
        (
            lambda: base_stock(Demand.pmf([0], [1]), fill_rate=0.5),
            "demand must be one distribution, of a mean > 0",
        ),
        (lambda: base_stock_service(math.inf, Demand.poisson(1)), "base_stock must be a finite number"),
        (lambda: reorder_point(Demand.poisson(1), fill_rate=0.5), "quantity must be given with a fill rate"),
        (
            lambda: reorder_point(Demand.poisson(1), fill_rate=0.5, quantity=0),
            "quantity must be a finite number > 0",
        ),
        (lambda: reorder_service(1, -1, Demand.poisson(1)), "quantity must be a finite number > 0, got -1"),
        (lambda: reorder_service(math.nan, 1, Demand.poisson(1)), "r must be a finite number, got nan"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()
