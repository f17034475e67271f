"""Demand of several periods, and of whole units, against convolution and scipy."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmcore.errors import CapacityError, InvalidArgument, ModelWarning
from mmcore.inventory_control import (
    Demand,
    base_stock,
    base_stock_service,
    finite_horizon,
    newsvendor,
    newsvendor_with_yield,
    optimal_s_S,
    periodic_review,
    policy_cost,
    reorder_point,
    reorder_service,
)

COUNTS = [Demand.poisson(3.0), Demand.negative_binomial(4.0, 3.0)]


@pytest.mark.parametrize("law", COUNTS, ids=lambda d: d.name)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_several_periods_of_a_family_are_its_convolution(law, n):
    one = law.probabilities(40)
    total = np.ones(1)
    for _ in range(n):
        total = np.convolve(total, one)
    several = law.over(n)
    assert several.probabilities(40) == pytest.approx(total[:41], rel=1e-12, abs=1e-14)
    assert several.mean == pytest.approx(n * law.mean)
    assert several.std == pytest.approx(math.sqrt(n) * law.std)


@pytest.mark.parametrize("law", [Demand.normal(10, 2), Demand.gamma(10, 2)], ids=lambda d: d.name)
def test_several_periods_of_a_continuous_family_by_characteristic_functions(law):
    """P(sum <= x) of two periods by quadrature of the convolution."""
    from scipy.integrate import quad

    density = stats.norm(10, 2).pdf if law.name == "normal" else stats.gamma(25, scale=0.4).pdf
    for x in (15.0, 20.0, 26.0):
        both = quad(lambda y, x=x: law.cdf(x - y) * density(y), -5 if law.name == "normal" else 0, 30)[0]
        assert law.over(2).cdf(x) == pytest.approx(both, abs=1e-9)


@given(p=st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(sum), n=st.integers(1, 7))
def test_several_periods_of_given_probabilities(p, n):
    law = Demand.pmf(np.arange(len(p)), np.array(p) / sum(p))
    total = np.ones(1)
    for _ in range(n):
        total = np.convolve(total, law.table())
    found = law.over(n).table()
    size = max(len(found), len(total))
    pad = [np.append(a, np.zeros(size - len(a))) for a in (found, total)]
    assert pad[0] == pytest.approx(pad[1], abs=1e-14)


def test_a_table_is_of_the_nearest_whole_number():
    law = Demand.normal(20, 3)
    edges = np.arange(61) + 0.5
    expected = np.diff(stats.norm(20, 3).cdf(np.append(-0.5, edges)))  # what is below is left out
    table = law.table()
    assert table.sum() == pytest.approx(1.0, abs=1e-15)
    size = min(len(table), 61)
    assert table[:size] == pytest.approx(expected[:size], abs=1e-12)
    assert Demand.of(stats.norm(20, 3)).over(2).mean == pytest.approx(40.0, abs=1e-9)


def test_shortages_keep_their_digits_far_out():
    """Against fifty digits, where one minus a distribution function would have none left."""
    with mpmath.workdps(50):
        for z in (6, 10, 20):
            exact = mpmath.npdf(z) - z * mpmath.erfc(z / mpmath.sqrt(2)) / 2
            assert Demand.normal(0, 1).shortage(z) == pytest.approx(float(exact), rel=1e-8)
        for mean, x in ((3, 30), (20, 60)):
            exact = mpmath.nsum(
                lambda k, m=mean, x=x: (k - x) * mpmath.exp(-m) * mpmath.mpf(m) ** k / mpmath.factorial(k),
                [x, mpmath.inf],
            )
            assert Demand.poisson(mean).shortage(x) == pytest.approx(float(exact), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Demand.normal(math.nan, 1), "mean must be a finite number, got nan"),
        (lambda: Demand.normal([1, 2], [1, 2, 3]), "std must be of a shape that fits"),
        (lambda: Demand.lognormal(-1, 1), "mean must be a finite number > 0, got -1"),
        (lambda: Demand.gamma(1, math.inf), "std must be a finite number > 0, got inf"),
        (lambda: Demand.poisson("3"), "mean must be a finite number > 0, got '3'"),
        (lambda: Demand.pmf([1, math.nan], [0.5, 0.5]), r"values\[1\] must be finite numbers, got nan"),
        (
            lambda: Demand.pmf([1, 2], [1.5, -0.5]),
            r"probabilities\[1\] must be finite numbers >= 0, got -0.5",
        ),
        (lambda: Demand.pmf([], []), "values must be one number at least"),
        (lambda: Demand.empirical([]), "sample must be at least one number"),
        (lambda: Demand.empirical([1, math.inf]), r"sample\[1\] must be finite numbers, got inf"),
        (lambda: Demand.poisson(1).cdf(math.nan), "x must be a finite number, got nan"),
        (lambda: Demand.poisson(1).shortage([0, math.nan]), r"x\[1\] must be finite numbers, got nan"),
        (lambda: Demand.poisson(1).quantile(math.nan), "probability must be a finite number, got nan"),
        (lambda: Demand.poisson([1, 2]).table(), "demand must be one distribution"),
        (lambda: Demand.normal(1, 2).table(), "demand must be not negative, while 0.2"),
        (lambda: Demand.poisson(1).over(0), "periods must be a finite number > 0, got 0"),
        (lambda: Demand.lognormal(4, 1).over(1.5), "periods must be whole for demand of lognormal, got 1.5"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(InvalidArgument, match=words):
        call()


def test_demand_of_too_many_units_is_refused():
    with pytest.raises(CapacityError, match="count in larger units"):
        Demand.poisson(1e7).table()


@pytest.mark.parametrize("power", [1.1, 1.5, 2.5, 3.5])
@pytest.mark.parametrize("x", [0.0, 1.5, 10.0, 1e3, 4e6])
def test_the_shortage_of_a_power_tail(power, x):
    exact = x ** (1 - power) / (power - 1) if x > 1 else power / (power - 1) - x
    assert Demand.of(stats.pareto(power)).shortage(x) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("power", [3.1, 3.5])
def test_a_table_of_a_heavy_tail_is_counted_far_out(power):
    from scipy.special import zeta

    demand = Demand.of(stats.zipf(power))
    p = demand.table()
    k = np.arange(len(p))
    assert p @ k == pytest.approx(zeta(power - 1) / zeta(power), rel=1.5e-7)
    # E(D - x)^+ = sum over k > x of (k - x) k^-power, in the zeta function of Hurwitz
    for x in (0, 1, 7, 1000):
        exact = (zeta(power - 1, x + 1) - x * zeta(power, x + 1)) / zeta(power)
        assert demand.shortage(x) == pytest.approx(exact, rel=1e-6, abs=1e-10)
    assert demand.quantile(0.99) == stats.zipf(power).ppf(0.99)


def test_a_heavy_tail_has_its_whole_cost():
    """A lognormal with a deviation of ten means: its table beside the closed shortage of the law."""
    demand = Demand.lognormal(5, 50)
    with pytest.warns(ModelWarning, match="give it in smaller units"):
        p = demand.table()
    k = np.arange(len(p))
    # a unit is the nearest: its bias is the sum of the distribution's tail at the halves
    halves = np.arange(200_000) + 0.5
    assert p @ k == pytest.approx((1.0 - demand.cdf(halves)).sum() + demand.shortage(200_000.0), rel=1e-6)
    with pytest.warns(ModelWarning, match="its mean 4.94"):
        found = optimal_s_S(1, 9, 64, demand)
    assert found.cost == pytest.approx(policy_cost(found.s, found.S, 1, 9, 64, Demand.pmf(k, p)), rel=1e-12)


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (stats.pareto(1.0), "demand must be of a finite mean, got 'pareto'"),
        (stats.cauchy(), "demand must be of a finite mean, got 'cauchy'"),
        (stats.zipf(2.0), "demand must be of a finite mean, got 'zipf'"),
        (stats.norm([5, 6], 1), "demand must be one distribution, not an array"),
    ],
)
def test_a_law_without_a_mean_is_refused(demand, words):
    with pytest.raises(InvalidArgument, match=words):
        Demand.of(demand)


@pytest.mark.parametrize("demand", [stats.pareto(1.5), stats.zipf(2.1), Demand.lognormal(5, 500)])
def test_a_tail_that_cannot_be_counted_is_refused(demand):
    with pytest.raises(CapacityError, match="of mean demand, of which 1e-7 may be left out"):
        optimal_s_S(1, 9, 64, demand)


def test_one_period_is_the_demand_itself():
    for law in (
        Demand.lognormal(0.1, 0.05),
        Demand.of(stats.norm(0.2, 0.05)),
        Demand.pmf([0, 1], [0.5, 0.5]),
    ):
        assert law.over(1) is law


@pytest.mark.parametrize("n", [2, 3, 7, 40])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e6])
def test_a_sum_of_continuous_demand_is_continuous(n, unit):
    """A law of scipy, of whose sums only the density is known, beside the gamma law that they have."""
    law, exact = Demand.of(stats.gamma(2.5, scale=0.4 * unit)), stats.gamma(2.5 * n, scale=0.4 * unit)
    found, closed = law.over(n), Demand.gamma(exact.mean(), exact.std())
    assert not found.discrete
    assert found.mean == pytest.approx(closed.mean, rel=1e-13)
    assert found.std == pytest.approx(closed.std, rel=1e-5)
    q = np.array([1e-6, 0.01, 0.5, 0.9, 0.999, 1 - 1e-9])
    assert found.quantile(q) == pytest.approx(exact.ppf(q), abs=1e-4 * closed.std)
    x = exact.ppf(q)
    assert found.cdf(x) == pytest.approx(q, abs=1e-6)
    assert found.cdf(x[:2]) == pytest.approx(q[:2], rel=3e-3)
    assert found.shortage(x) == pytest.approx(closed.shortage(x), rel=1e-4, abs=1e-11 * unit)
    assert found.left_over(x) == pytest.approx(closed.left_over(x), rel=1e-3, abs=1e-10 * unit)
    assert found.shortage([-unit, 1e9 * unit]) == pytest.approx([closed.mean + unit, 0.0], rel=1e-13)
    assert (found.cdf(-unit), found.cdf(1e9 * unit)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("shape", "everywhere", "beyond_one", "beyond_many"),
    [(2.5, 1e-6, 1e-6, 1e-6), (1.0, 4e-6, 4e-6, 2e-6), (0.3, 1.1e-2, 8e-4, 2e-5)],
)
def test_a_sum_is_the_rougher_the_rougher_the_density(shape, everywhere, beyond_one, beyond_many):
    """Largest errors of the distribution function of two periods: of any, beyond one step and a hundred."""
    law, exact = Demand.of(stats.gamma(shape)), stats.gamma(2 * shape)
    x = np.geomspace(1e-9, 20.0, 20_000)
    off = np.abs(law.over(2).cdf(x) - exact.cdf(x))
    step = law.std / 256
    assert off.max() < everywhere
    assert off[x > step].max() < beyond_one
    assert off[x > 100 * step].max() < beyond_many


def test_two_uniform_demands_are_a_triangle():
    """By hand, in steps of h: (h/w)²/8 off at the ends of a step, a chord lies as far above a parabola."""
    law, exact = Demand.of(stats.uniform(0, 0.3)), stats.triang(0.5, 0, 0.6)
    x = np.linspace(-0.1, 0.7, 100_001)
    off = np.abs(law.over(2).cdf(x) - exact.cdf(x))
    assert off.max() == pytest.approx((law.std / 256 / 0.3) ** 2 / 4, rel=1e-3)


def test_small_demand_has_base_stocks_with_a_lead_time():
    """Drawn, with the standard error of a quantile and of a mean."""
    law, n = Demand.lognormal(0.1, 0.05), 400_000
    width = math.sqrt(math.log1p(0.25))
    drawn = np.random.default_rng(4).lognormal(math.log(0.1) - width**2 / 2, width, (n, 2)).sum(axis=1)
    level = base_stock(law, service_level=0.95, lead_time=1)
    assert abs((drawn <= level).mean() - 0.95) < 4 * math.sqrt(0.95 * 0.05 / n)
    filled = base_stock_service(level, law, lead_time=1).fill_rate
    short = np.maximum(drawn - level, 0.0)
    already = float(law.shortage(level))
    assert abs(filled - 1 + (short.mean() - already) / 0.1) < 4 * short.std() / math.sqrt(n) / 0.1


def test_sums_that_would_be_coarse_are_refused():
    with pytest.raises(CapacityError, match="lognormal demand over 2 periods needs more than 262144 steps"):
        Demand.lognormal(5, 50).over(2)
    with pytest.raises(InvalidArgument, match="demand must be of whole units"):
        Demand.pmf([0.5, 1.5], [0.5, 0.5]).over(2)
    with pytest.raises(InvalidArgument, match=r"demand must be not negative, while 0\.3"):
        Demand.of(stats.norm(20, 50)).over(2)
    with pytest.raises(InvalidArgument, match="demand must be one distribution, not an array"):
        Demand.lognormal([1, 2], 1).over(2)


SMALL = [
    Demand.lognormal(0.3, 0.1),
    Demand.gamma(2, 1),
    Demand.normal(100, 0.5),
    Demand.of(stats.expon(scale=5)),
]


@pytest.mark.parametrize("law", SMALL, ids=str)
def test_demand_that_is_too_small_to_count_is_warned_of(law):
    calls = (
        lambda: optimal_s_S(1, 9, 4, law),
        lambda: policy_cost(0, 9, 1, 9, 4, law),
        lambda: periodic_review(1, 9, law),
        lambda: finite_horizon(3, 1, 9, 4, law),
        law.table,
    )
    for call in calls:
        with pytest.warns(ModelWarning, match=f"mean {law.mean:g} and .* give it in smaller units") as seen:
            call()
        assert [each.filename for each in seen] == [__file__]


@pytest.mark.parametrize("unit", [30, 200])
def test_smaller_units_are_the_way_out(unit):
    """The policy, and what it is said to cost, played with the continuous demand itself of mean 0.3."""
    found = optimal_s_S(1 / unit, 9 / unit, 2.0, Demand.lognormal(0.3 * unit, 0.1 * unit))  # unwarned
    s, top, stock = found.s / unit, found.S / unit, 0.0
    width = math.sqrt(math.log1p(1 / 9))
    drawn = np.random.default_rng(7).lognormal(math.log(0.3) - width**2 / 2, width, 100_000)
    cost = np.empty(drawn.size)
    for t, asked in enumerate(drawn.tolist()):
        ordered = stock <= s
        stock = (top if ordered else stock) - asked
        cost[t] = 2.0 * ordered + max(stock, 0.0) + 9.0 * max(-stock, 0.0)
    batches = cost.reshape(100, -1).mean(axis=1)
    assert abs(batches.mean() - found.cost) < 4 * batches.std(ddof=1) / 10 + 0.01 / unit


@pytest.mark.parametrize("mean", [20, 100, 1e4])
def test_demand_that_can_be_counted_is_not_warned_of(mean):
    for law in (Demand.normal(mean, 0.2 * mean), Demand.gamma(mean, 0.4 * mean), Demand.poisson(mean / 1e4)):
        law.table()


@pytest.mark.parametrize("std", [3.0, 1e5, 1e9])
def test_negative_binomial_demand_of_any_spread(std):
    """Nearly always 0, in sixty digits, where the chance of a success is below the rounding of 1."""
    with mpmath.workdps(60):
        p = mpmath.mpf(5) / mpmath.mpf(std) ** 2
        r = 5 * p / (1 - p)
        above = [
            mpmath.betainc(k + 1, shape, 0, 1 - p, regularized=True) for k, shape in ((6, r + 1), (7, r))
        ]
        exact = 5 * above[0] - 7 * above[1]
    assert Demand.negative_binomial(5, std).shortage(7) == pytest.approx(float(exact), rel=1e-13)


def test_chances_are_never_negative_far_out():
    law = Demand.gamma(1e-5, 1.0)  # a distribution function that is 1 but for rounding
    assert (law.probabilities(100_000) >= 0.0).all()
    with pytest.warns(ModelWarning, match="give it in smaller units"):
        law.table()


def test_negative_demand_is_warned_of():
    law = Demand.normal(20, 50)
    calls = (
        lambda: newsvendor(1, 9, law),
        lambda: newsvendor([1, 2], 9, Demand.normal([1e3, 20], 50)),
        lambda: newsvendor(1, 9, Demand.pmf([-1, 9], [0.345, 0.655])),
        lambda: base_stock(law, service_level=0.9),
        lambda: base_stock_service(30, law, lead_time=1),
        lambda: reorder_point(law, fill_rate=0.9, quantity=80),
        lambda: reorder_service(30, 80, law),
        lambda: newsvendor_with_yield(1, 9, law, Demand.normal(0.8, 0.1)),
    )
    for call in calls:
        with pytest.warns(
            ModelWarning, match=r"0.34 of (normal|pmf) demand is below 0 and counts as"
        ) as seen:
            call()
        assert [each.filename for each in seen] == [__file__]
    newsvendor(1, 9, Demand.normal(20, 5))
