"""Random yield and disruptions: minimisations of the cost as it is defined, and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.optimize import minimize_scalar

from mmcore.errors import InvalidArgument
from mmcore.inventory_control import (
    Demand,
    eoq,
    eoq_with_disruptions,
    eoq_with_yield,
    newsvendor,
    newsvendor_with_yield,
)

positive = st.floats(0.01, 100.0)


@given(d=positive, s=positive, h=positive, mean=st.floats(0.1, 1.0), std=st.floats(0.0, 0.5))
def test_the_cost_of_a_proportional_yield_is_least(d, s, h, mean, std):
    """A cycle's cost over its length, with the first two moments of what comes."""

    def cost(q):
        return (s + h * q * q * (mean**2 + std**2) / (2 * d)) / (q * mean / d)

    found = eoq_with_yield(d, s, h, yield_mean=mean, yield_std=std)
    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-12)
    assert cost(found.quantity) <= min(cost(0.99 * found.quantity), cost(1.01 * found.quantity))
    assert found.cycle_time == pytest.approx(found.quantity * mean / d, rel=1e-13)


@given(d=positive, s=positive, h=positive, mean=st.floats(-5.0, 0.0), std=st.floats(0.0, 5.0))
def test_the_cost_of_an_additive_yield_is_least(d, s, h, mean, std):
    def cost(q):
        return (s + h * ((q + mean) ** 2 + std**2) / (2 * d)) / ((q + mean) / d)

    found = eoq_with_yield(d, s, h, yield_mean=mean, yield_std=std, kind="additive")
    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-12)
    step = 0.01 * (found.quantity + mean)
    assert cost(found.quantity) <= min(cost(found.quantity - step), cost(found.quantity + step))


def test_a_certain_yield_is_the_plain_order_quantity():
    plain = eoq(1300, 8, 0.225)
    for kind, mean in (("proportional", 1.0), ("additive", 0.0)):
        found = eoq_with_yield(1300, 8, 0.225, yield_mean=mean, yield_std=0.0, kind=kind)
        assert (found.quantity, found.cost) == pytest.approx((plain.quantity, plain.cost), rel=1e-14)
    found = eoq_with_disruptions(1300, 8, 0.225, 5, disruption_rate=0.0, recovery_rate=1.0)
    assert (found.quantity, found.cost) == pytest.approx((plain.quantity, plain.cost), rel=1e-13)


@given(
    s=st.floats(1.0, 50.0),
    h=st.floats(0.1, 2.0),
    p=st.floats(20.0, 100.0),
    fails=st.floats(0.0, 2.0),
    recovers=st.floats(0.5, 20.0),
)
def test_disruptions_against_a_minimisation(s, h, p, fails, recovers):
    d = 10.0

    def cost(log_q):
        q = math.exp(log_q)
        wait = fails / (fails + recovers) * -math.expm1(-(fails + recovers) * q / d) / recovers
        return (s + h * q * q / (2 * d) + p * d * wait) / (q / d + wait)

    found = eoq_with_disruptions(d, s, h, p, disruption_rate=fails, recovery_rate=recovers)
    grid = np.linspace(-3, 9, 400)
    start = grid[np.argmin([cost(x) for x in grid])]
    best = minimize_scalar(cost, bracket=(start - 0.05, start, start + 0.05), tol=1e-10)
    assert found.cost == pytest.approx(best.fun, rel=1e-10)
    assert found.quantity == pytest.approx(math.exp(best.x), rel=1e-4)


def test_disruptions_when_they_are_played():
    """The supplier of the definition, cycle after cycle: the cost is a ratio of means, with its error."""
    d, s, h, p, fails, recovers = 10.0, 20.0, 0.5, 30.0, 0.4, 1.5
    found = eoq_with_disruptions(d, s, h, p, disruption_rate=fails, recovery_rate=recovers)
    rng, n = np.random.default_rng(3), 40_000
    wait = np.zeros(n)
    for i in range(n):
        left, up = found.quantity / d, True
        while True:
            stays = rng.exponential(1 / (fails if up else recovers))
            if stays > left:
                wait[i] = 0.0 if up else stays - left  # without memory: what is left is exponential
                break
            left, up = left - stays, not up
    cost, time = s + h * found.quantity**2 / (2 * d) + p * d * wait, found.quantity / d + wait
    error = (cost - found.cost * time).std() / time.mean() / math.sqrt(n)
    assert abs(cost.mean() / time.mean() - found.cost) < 4 * error
    assert time.mean() == pytest.approx(found.cycle_time, rel=0.02)


def yields(q, z, kind):
    return q * z if kind == "proportional" else q + z


@pytest.mark.parametrize("kind", ["proportional", "additive"])
@given(
    asked=st.lists(st.integers(1, 20), min_size=1, max_size=4, unique=True),
    comes=st.lists(st.integers(1, 8), min_size=1, max_size=4, unique=True),
    h=st.floats(0.2, 5.0),
    p=st.floats(0.2, 20.0),
)
def test_newsvendors_with_a_yield_against_every_breakpoint(kind, asked, comes, h, p):
    """With given probabilities the cost is convex and piecewise linear: its least is at a breakpoint."""
    d, z = np.array(asked, float), np.array(comes, float) / 8
    both = [(a, b) for a in d for b in z]

    def cost(q):
        left = np.array([yields(q, b, kind) - a for a, b in both])
        return (h * np.maximum(left, 0) + p * np.maximum(-left, 0)).mean()

    found = newsvendor_with_yield(
        h,
        p,
        Demand.pmf(d, np.full(len(d), 1 / len(d))),
        Demand.pmf(z, np.full(len(z), 1 / len(z))),
        kind=kind,
    )
    breaks = [a / b if kind == "proportional" else a - b for a, b in both]
    assert found.cost == pytest.approx(min(map(cost, breaks)), rel=1e-9, abs=1e-9)
    assert found.cost == pytest.approx(cost(found.quantity), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "supply"),
    [
        ("proportional", stats.uniform(0.6, 0.4)),
        ("proportional", stats.beta(8, 2)),
        ("additive", stats.norm(-3, 2)),
    ],
)
def test_newsvendors_with_continuous_yield_against_integrals(kind, supply):
    h, p, law = 1.0, 6.0, Demand.normal(50, 8)

    def cost(q):
        def weighted(z):
            x = yields(q, z, kind)
            return (h * (x - law.mean) + (h + p) * law.shortage(x)) * supply.pdf(z)

        return integrate.quad(weighted, *supply.interval(1 - 1e-15), epsabs=1e-11, limit=300)[0]

    found = newsvendor_with_yield(h, p, law, supply, kind=kind)
    best = minimize_scalar(cost, bounds=(20, 120), method="bounded", options={"xatol": 1e-7})
    assert found.cost == pytest.approx(best.fun, rel=1e-7)
    assert found.quantity == pytest.approx(best.x, rel=1e-3)
    z, d = supply.rvs(400_000, random_state=1), stats.norm(50, 8).rvs(400_000, random_state=2)
    x = yields(found.quantity, z, kind)
    assert np.mean(d <= x) == pytest.approx(found.service_level, abs=0.004)
    assert 1 - np.maximum(d - x, 0).mean() / 50 == pytest.approx(found.fill_rate, abs=0.001)


def test_a_known_demand_and_an_additive_yield_have_a_closed_form():
    """Snyder and Shen, section 9.3.2: d - G^-1(h/(h + p))."""
    found = newsvendor_with_yield(
        15, 75, Demand.pmf([1.5e6], [1]), Demand.normal(-50_000, 20_000), kind="additive"
    )
    assert found.quantity == pytest.approx(1.5e6 - stats.norm(-50_000, 20_000).ppf(15 / 90), rel=1e-12)
    assert found.service_level == pytest.approx(75 / 90, rel=1e-9)


def test_a_certain_yield_is_the_plain_newsvendor():
    law, plain = Demand.normal(120, 10), newsvendor(2, 18, Demand.normal(120, 10))
    for kind, certain in (("proportional", 1.0), ("additive", 0.0)):
        found = newsvendor_with_yield(2, 18, law, Demand.pmf([certain], [1.0]), kind=kind)
        assert tuple(found) == pytest.approx(tuple(plain), rel=1e-11)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: eoq_with_yield(1, 1, 1, yield_mean=0, yield_std=1),
            "yield_mean must be a finite number > 0",
        ),
        (
            lambda: eoq_with_yield(1, 1, 1, yield_mean=1, yield_std=-1),
            "yield_std must be a finite number >= 0",
        ),
        (
            lambda: eoq_with_yield(1, 1, 1, yield_mean=[1, math.nan], yield_std=1),
            r"yield_mean\[1\] must be finite numbers > 0, got nan",
        ),
        (lambda: eoq_with_yield(1, 1, 1, yield_mean=1, yield_std=1, kind="other"), "kind must be"),
        (
            lambda: eoq_with_yield(1, 1, 1, yield_mean=9, yield_std=0, kind="additive"),
            "yield_mean must be below what a cycle needs, got 9",
        ),
        (
            lambda: eoq_with_disruptions(1, 1, 1, 1, disruption_rate=-1, recovery_rate=1),
            "disruption_rate must be a finite number >= 0, got -1",
        ),
        (
            lambda: eoq_with_disruptions(1, 1, 1, 1, disruption_rate=1, recovery_rate=0),
            "recovery_rate must be a finite number > 0, got 0",
        ),
        (
            lambda: eoq_with_disruptions(1, 10, 1, 0.5, disruption_rate=1, recovery_rate=1),
            "stockout_cost must be above .*, what a unit served costs",
        ),
        (
            lambda: newsvendor_with_yield(1, 1, Demand.poisson([1, 2]), Demand.pmf([1], [1])),
            "demand must be one distribution",
        ),
        (
            lambda: newsvendor_with_yield(1, 1, Demand.poisson(1), Demand.normal(0.1, 1)),
            "supply must be not negative, and of a mean > 0",
        ),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()
