"""The models: against the problems they claim to solve, in their limits, and against known mistakes."""

import inspect
import math
import pickle
import subprocess
import sys
import warnings
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.optimize import minimize_scalar

import mmcore as mm
from mmcore.errors import ApproximationWarning, CapacityError, InvalidArgument
from mmcore.lattice import Lattice
from mmcore.models import (
    AvellanedaStoikov,
    CarteaJaimungal,
    GueantLehalleFernandezTapia,
    GueantLehalleFernandezTapiaClosedForm,
)

FIGURE = {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01}  # Guéant et al., figures 1-3
PAPER = {"sigma": 2.0, "k": 1.5}  # Avellaneda and Stoikov; their A is 140 / s

EVERY = [
    GueantLehalleFernandezTapia(**FIGURE, q_max=5),
    GueantLehalleFernandezTapia(
        **FIGURE, q_max=6, order_size=2, horizon=60.0, fee=(0.1, -0.2), drift=0.01, impact=0.3
    ),
    GueantLehalleFernandezTapiaClosedForm(**FIGURE),
    CarteaJaimungal(
        A=(1.0, 1.3), k=(2.0, 1.0), running_penalty=0.1, terminal_penalty=0.2, q_max=4, horizon=20.0
    ),
    AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0),
    AvellanedaStoikov(**PAPER, gamma=0.1, omega=3.0, q_max=10),
]
by_name = pytest.mark.parametrize("model", EVERY, ids=lambda model: f"{type(model).__name__}-{model.horizon}")


# -- the problems as stated, solved by a general integrator with the supremum found numerically ----


def supremum(rate, gain, k):
    """Return the largest rate(d) gain(d) over the depth d, and where it is.

    It is searched in a = e^(-k d), in which rate times utility is concave and flat nowhere.
    """
    best = minimize_scalar(lambda d: -rate(d) * gain(d), bracket=(0.0, 1.0 / k), tol=1e-11)
    return -best.fun, best.x


def solve_as_stated(q, tau, reward, bought, sold, A, k, utility, size, terminal):
    """Theta at tau, and the best depths there: no substitution, no closed form of the Hamiltonian.

    bought(theta, i, d) is what a bid at depth d earns when it is filled at node i; sold alike.
    """

    def slope(_, theta, depths=None):
        out = reward(q).astype(float)
        for i in range(len(q)):
            for side, step, worth in ((0, 1, bought), (1, -1, sold)):
                if 0 <= i + step < len(q):
                    value, depth = supremum(
                        lambda d, side=side: A[side] * math.exp(-k[side] * d),
                        lambda d, i=i, worth=worth: utility(worth(theta, i, d)),
                        k[side],
                    )
                    out[i] += value
                    if depths is not None:
                        depths[side][i] = depth
        return out

    theta = solve_ivp(slope, (0, tau), terminal(q).astype(float), "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    depths = np.full((2, len(q)), np.nan)
    slope(0, theta, depths)
    return theta, depths


@pytest.mark.parametrize("objective", ["exponential", "mean_variance"])
def test_gueant_lehalle_fernandez_tapia_solves_its_problem(objective):
    """Fees, rebates, impact, drift, unequal sides and orders of two lots at once."""
    given = {"sigma": 0.5, "A": (0.9, 1.4), "k": (0.7, 0.5), "gamma": 0.1}
    fee, drift, impact, size, tau = (0.1, -0.2), 0.03, 0.25, 2, 1.5
    model = GueantLehalleFernandezTapia(
        **given,
        q_max=6,
        order_size=size,
        horizon=10.0,
        fee=fee,
        drift=drift,
        impact=impact,
        objective=objective,
    )
    gamma, sigma = given["gamma"], given["sigma"]
    q = np.arange(-6.0, 7.0, size)

    def utility(gain):
        return -math.expm1(-gamma * gain) / gamma if objective == "exponential" else gain

    def bought(theta, i, d):  # pays s - d, then the mid falls by the impact
        return size * (d - fee[0]) - (q[i] + size) * impact + theta[i + 1] - theta[i]

    def sold(theta, i, d):  # gets s + d, then the mid rises
        return size * (d - fee[1]) + (q[i] - size) * impact + theta[i - 1] - theta[i]

    theta, depths = solve_as_stated(
        q,
        tau,
        lambda q: drift * q - 0.5 * gamma * sigma**2 * q**2,
        bought,
        sold,
        given["A"],
        given["k"],
        utility,
        size,
        np.zeros_like,
    )
    np.testing.assert_allclose(model.value(q, tau), theta, rtol=0, atol=1e-8)
    bid, ask = model.depths(q, tau)
    np.testing.assert_allclose(
        bid, depths[0], rtol=0, atol=2e-6
    )  # a maximum is flat: its place has half the digits
    np.testing.assert_allclose(ask, depths[1], rtol=0, atol=2e-6)


def test_cartea_jaimungal_solves_its_problem():
    """Market orders move the mid whether or not they fill us; orders of three lots, unequal sides."""
    A, k, epsilon, fee = (0.8, 1.3), (2.0, 1.2), (0.2, 0.1), 0.05
    drift, phi, alpha, size, tau = 0.02, 0.01, 0.03, 3, 2.0
    model = CarteaJaimungal(
        A=A, k=k, running_penalty=phi, terminal_penalty=alpha, adverse_selection=epsilon, drift=drift,
        q_max=9, order_size=size, horizon=5.0, fee=fee,
    )  # fmt: skip
    q = np.arange(-9.0, 10.0, size)

    def reward(q):  # the moves of the mid by all market orders, on what we held before them
        return (drift + A[1] * epsilon[1] - A[0] * epsilon[0]) * q - phi * q**2

    def bought(theta, i, d):  # buys at s - d what is worth s - epsilon
        return size * (d - fee - epsilon[0]) + theta[i + 1] - theta[i]

    def sold(theta, i, d):
        return size * (d - fee - epsilon[1]) + theta[i - 1] - theta[i]

    theta, depths = solve_as_stated(
        q, tau, reward, bought, sold, A, k, lambda gain: gain, size, lambda q: -alpha * q**2
    )
    np.testing.assert_allclose(model.value(q, tau), theta, rtol=0, atol=1e-8)
    bid, ask = model.depths(q, tau)
    np.testing.assert_allclose(bid, depths[0], rtol=0, atol=2e-6)
    np.testing.assert_allclose(ask, depths[1], rtol=0, atol=2e-6)


def test_the_two_exact_models_meet():
    """Cartea-Jaimungal with phi is the mean-variance objective with gamma sigma^2 / 2 = phi."""
    glft = GueantLehalleFernandezTapia(
        sigma=2.0, A=1.1, k=0.8, gamma=0.01, q_max=12, order_size=3, horizon=50.0, objective="mean_variance"
    )
    cj = CarteaJaimungal(A=1.1, k=0.8, running_penalty=0.02, q_max=12, order_size=3, horizon=50.0)
    q = np.arange(-12, 13)
    for tau in (0.0, 0.3, 50.0, math.inf):
        np.testing.assert_allclose(glft.depths(q, tau), cj.depths(q, tau), rtol=1e-13)
        np.testing.assert_allclose(glft.value(q, tau), cj.value(q, tau), rtol=1e-12, atol=1e-13)
    assert glft.gain == pytest.approx(cj.gain, rel=1e-14)


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [0.0, 1e-9, 3.0, math.inf])
def test_gamma_to_zero_is_gamma_zero(tau):
    q = np.arange(-8, 9)
    base = {**FIGURE, "q_max": 8, "horizon": 300.0}
    zero = np.array(GueantLehalleFernandezTapia(**{**base, "gamma": 0.0}).depths(q, tau))
    for gamma in (1e-300, 1e-18, 1e-15, 1e-12):
        small = np.array(GueantLehalleFernandezTapia(**{**base, "gamma": gamma}).depths(q, tau))
        np.testing.assert_allclose(small, zero, rtol=0, atol=200 * gamma + 1e-12)


@by_name
def test_zero_time_left_gives_the_static_half_spread(model):
    if model.horizon is None:
        pytest.skip("it has no horizon")
    without_penalty = model.replace(terminal_penalty=0.0) if hasattr(model, "terminal_penalty") else model
    without_impact = without_penalty.replace(impact=0.0) if hasattr(model, "impact") else without_penalty
    q = np.arange(-4, 5, model.order_size)
    bid, ask = without_impact.depths(q, 0.0)
    assert np.ptp(bid[~np.isnan(bid)]) == 0
    assert np.ptp(ask[~np.isnan(ask)]) == 0


def test_the_static_half_spread_is_log1p_of_gamma_over_k_over_gamma():
    for gamma in (1e-9, 0.01, 1.0):
        model = GueantLehalleFernandezTapia(**{**FIGURE, "gamma": gamma}, q_max=3, horizon=1.0)
        assert model.depths(0, 0.0)[0] == pytest.approx(math.log1p(gamma / 0.3) / gamma, rel=1e-15)
    assert (
        GueantLehalleFernandezTapia(**{**FIGURE, "gamma": 0.0}, q_max=3, horizon=1.0).depths(0, 0.0)[0]
        == 1 / 0.3
    )


@by_name
def test_a_side_that_may_not_trade_is_absent(model):
    q_max = getattr(model, "q_max", None)
    if q_max is None:
        pytest.skip("it has no bound")
    tau = model.horizon or math.inf
    for beyond in (0.0, 0.5, 1e6):
        assert model.depths(q_max + beyond, tau) == (None, model.depths(q_max, tau)[1])
        assert model.depths(-q_max - beyond, tau) == (model.depths(-q_max, tau)[0], None)
    assert model.depths(q_max - 0.5 * model.order_size, tau)[0] is None  # a full order would break the bound
    assert None not in model.depths(q_max - model.order_size, tau)


def test_stationary_at_five_thousand_lots():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=5000)
    narrow = GueantLehalleFernandezTapia(**FIGURE, q_max=100)
    q = np.arange(-20, 21)
    np.testing.assert_allclose(model.depths(q), narrow.depths(q), rtol=0, atol=1e-12)
    bid, ask = model.depths(np.arange(-5000, 5001))
    assert np.isnan(bid[-1])
    assert np.isfinite(bid[:-1]).all()
    assert (np.diff(bid[:-1]) > 0).all()
    assert (np.diff(ask[1:]) < 0).all()


def test_a_day_at_a_hundred_lots():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=100, horizon=86_400.0)
    q = np.arange(-100, 101)
    np.testing.assert_allclose(model.depths(q, 86_400.0), model.depths(q), rtol=0, atol=1e-11)
    grown = model.value(0, 86_400.0) - model.value(0, 43_200.0)
    assert grown == pytest.approx(43_200.0 * model.gain, rel=1e-12)


def test_no_volatility_is_no_skew_far_from_the_bounds():
    model = GueantLehalleFernandezTapia(sigma=0.0, A=1.0, k=1.0, gamma=0.1, q_max=2000)
    bid, ask = model.depths(np.arange(-3, 4))
    np.testing.assert_allclose(np.concatenate([bid, ask]), math.log1p(0.1) / 0.1, rtol=0, atol=3e-6)


# -- laws ------------------------------------------------------------------------------------------


@given(
    st.floats(-4, 1).map(lambda e: 10.0**e),
    st.floats(-2, 2).map(lambda e: 10.0**e),
    st.floats(-2, 2).map(lambda e: 10.0**e),
    st.integers(1, 1000),
    st.floats(-1, 1),
)
def test_depths_scale_with_alpha_over_eta_alone(ratio, k, A, size, fee):
    """K (delta - c - fee) is one function of q / order size and alpha / eta (stationary)."""
    reference = GueantLehalleFernandezTapia(
        sigma=math.sqrt(2 * ratio / math.e), A=1.0, k=1.0, gamma=1.0, q_max=8, objective="mean_variance"
    )
    assert reference.alpha_over_eta == pytest.approx(ratio, rel=1e-14)
    gamma, fee = 0.5 * k / size, fee / k
    x = gamma * size / k
    eta = A * math.exp(-(1 + 1 / x) * math.log1p(x) - k * fee)
    sigma = math.sqrt(2 * ratio * eta / (k * gamma * size))
    model = GueantLehalleFernandezTapia(
        sigma=sigma, A=A, k=k, gamma=gamma, q_max=8 * size, order_size=size, fee=fee
    )
    q = np.arange(-8, 9)
    static = math.log1p(x) / x / k + fee
    np.testing.assert_allclose(
        k * (np.array(model.depths(q * size)) - static),
        np.array(reference.depths(q)) - 1,
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("lots", [1, 1000, 100_000_000])
@pytest.mark.parametrize("ticks", [1, 10])
def test_units_do_not_matter(lots, ticks):
    """The same market in lots of 1, 0.001 or 1e-8 coin and in ticks of 0.1 or 0.01: the same prices."""
    coins = GueantLehalleFernandezTapia(
        sigma=2.0, A=0.9, k=0.3, gamma=0.01, q_max=5, fee=0.2, horizon=60.0, impact=0.1
    )
    model = GueantLehalleFernandezTapia(
        sigma=2.0 * ticks, A=0.9, k=0.3 / ticks, gamma=0.01 / (lots * ticks), q_max=5 * lots, order_size=lots,
        fee=0.2 * ticks, horizon=60.0, impact=0.1 * ticks,
    )  # fmt: skip
    q = np.arange(-5, 6)
    for tau in (0.0, 1.0, 60.0, math.inf):
        np.testing.assert_allclose(
            np.array(model.depths(q * lots, tau)) / ticks, coins.depths(q, tau), rtol=1e-11, atol=1e-11
        )
    assert model.value(2 * lots, 60.0) / (lots * ticks) == pytest.approx(coins.value(2, 60.0), rel=1e-12)


markets = st.fixed_dictionaries(
    {
        "sigma": st.floats(0.01, 5),
        "A": st.floats(0.01, 10),
        "k": st.floats(0.05, 5),
        "gamma": st.one_of(st.just(0.0), st.floats(1e-6, 1)),
        "q_max": st.integers(1, 12),
    }
)


@given(markets, st.sampled_from([0.0, 0.5, 20.0, math.inf]))
def test_inventory_pushes_quotes_the_right_way_and_they_never_cross_each_other(market, tau):
    """Long: a deeper bid and a nearer ask (public code has both the other way round)."""
    model = GueantLehalleFernandezTapia(**market, horizon=20.0)
    q = np.arange(-market["q_max"], market["q_max"] + 1)
    bid, ask = model.depths(q, tau)
    slack = 1e-10 / market["k"]
    assert (np.diff(bid[:-1]) >= -slack).all()
    assert (np.diff(ask[1:]) <= slack).all()
    assert ((bid + ask)[1:-1] > 0).all()
    np.testing.assert_allclose(bid, ask[::-1], rtol=0, atol=slack)


@given(markets, st.integers(0, 2**31))
@settings(max_examples=25)
def test_no_policy_beats_the_optimum(market, seed):
    model = GueantLehalleFernandezTapia(**market, horizon=2.0)
    bid, ask = model.depths(np.arange(-model.q_max, model.q_max + 1), 1.0)
    scale = 0.5 / (market["k"] + market["gamma"])  # the scale on which both fills and utility change
    noise = np.random.default_rng(seed).normal(0, scale, (2, len(bid)))
    policy = mm.Table(bid + noise[0], ask + noise[1], q_max=model.q_max)
    best = model.value(0, 2.0)
    assert model.certainty_equivalent(policy) <= best + 1e-9 * (abs(best) + 1 / market["k"])


def test_a_drift_and_its_mirror():
    """The paper prints +beta Q in both corners of its matrix; the sign must follow the inventory's."""
    up = GueantLehalleFernandezTapia(**FIGURE, q_max=10, drift=0.02)
    down = GueantLehalleFernandezTapia(**FIGURE, q_max=10, drift=-0.02)
    q = np.arange(-10, 11)
    np.testing.assert_allclose(up.depths(q)[0], down.depths(-q)[1], rtol=0, atol=1e-12)
    assert up.depths(0)[0] < down.depths(0)[0]  # a rising price: buy nearer
    k, n = 0.3, len(q)
    alpha, beta = 0.5 * k * 0.01 * 0.3**2, k * 0.02
    eta = 0.9 * math.exp(-(1 + 30) * math.log1p(1 / 30))
    right = np.diag(beta * q - alpha * q**2) + eta * (np.eye(n, k=1) + np.eye(n, k=-1))
    printed = np.diag(beta * np.abs(q) - alpha * q**2) + eta * (np.eye(n, k=1) + np.eye(n, k=-1))
    for matrix, same in ((right, True), (printed, False)):
        f = np.abs(np.linalg.eigh(matrix)[1][:, -1])
        bid = math.log1p(1 / 30) / 0.01 + np.log(f[:-1] / f[1:]) / k
        assert np.allclose(bid, up.depths(q)[0][:-1], rtol=0, atol=1e-8) == same


# -- known mistakes of public code -----------------------------------------------------------------


def test_the_skew_goes_with_the_square_of_sigma():
    """Hummingbot had sigma where the paper has sigma^2."""
    one, two = (AvellanedaStoikov(sigma=s, k=1.5, gamma=0.1, horizon=1.0) for s in (3.0, 6.0))
    skew = [np.subtract(*model.depths(1, 1.0)) for model in (one, two)]
    assert skew[1] == pytest.approx(4 * skew[0], rel=1e-14)
    assert skew[0] == pytest.approx(2 * 0.1 * 9.0, rel=1e-14)


@by_name
def test_the_logarithm_is_not_inverted(model):
    """(1/k) ln(1 + k/gamma) and its kin diverge as gamma goes to 0; the half-spread tends to 1/k."""
    if hasattr(model, "gamma"):
        still = model.replace(gamma=1e-14)
        cost = sum(getattr(model, "fee", (0, 0))) / 2 + getattr(model, "impact", 0.0) / 2
        wide = still.replace(q_max=2000, order_size=1) if hasattr(model, "_lattice") else still
        expected = 0.5 * (1 / model.k[0] + 1 / model.k[1]) + cost
        if not getattr(model, "drift", 0.0):
            assert wide.half_spread == pytest.approx(expected, rel=1e-6)


@given(st.sampled_from(EVERY[:2] + EVERY[4:]), st.floats(0, 1))
def test_a_long_position_is_sold_more_eagerly(model, share):
    tau = share * model.horizon if model.horizon else math.inf
    q = np.arange(-4, 5, model.order_size)
    bid, ask = model.depths(q, tau)
    inner = slice(1, -1)
    assert (np.diff(bid[inner]) >= -1e-12).all()
    assert (np.diff(ask[inner]) <= 1e-12).all()
    assert ((bid + ask)[inner] > 0).all()


# -- reading depths and values ---------------------------------------------------------------------


@by_name
def test_scalars_and_arrays_agree(model):
    times = [0.0, 0.5, model.horizon] if model.horizon else [math.inf]
    q = np.array([-7.5, -4.0, -0.5, 0.0, 1.0, 2.5, 4.0])
    bids, asks = model.depths(q[:, None], np.array(times))
    assert bids.shape == (7, len(times))
    for i, lots in enumerate(q):
        for j, tau in enumerate(times):
            bid, ask = model.depths(lots, tau)
            for scalar, entry in ((bid, bids[i, j]), (ask, asks[i, j])):
                if scalar is None:
                    assert math.isnan(entry)
                else:
                    assert isinstance(scalar, float)
                    assert scalar == pytest.approx(entry, rel=1e-11, abs=1e-12)


def test_off_the_lattice_depths_and_values_are_interpolated():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=10, order_size=2, horizon=60.0)
    for door in (model.depths, model.policy().depths):
        (low, a), (high, b) = door(2, 60.0), door(4, 60.0)
        assert door(2.5, 60.0) == pytest.approx((0.75 * low + 0.25 * high, 0.75 * a + 0.25 * b), rel=1e-13)
    assert model.value(2.5, 60.0) == pytest.approx(0.75 * model.value(2, 60.0) + 0.25 * model.value(4, 60.0))


def test_the_value_is_that_of_the_equation():
    """Far from the horizon it grows by the gain, and its differences are the quotes."""
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=6, order_size=2, horizon=1e4, impact=0.4, fee=0.1)
    q = np.arange(-6, 7, 2)
    assert model.value(0) == 0.0
    np.testing.assert_allclose(model.value(q, 1e4) - model.value(0, 1e4), model.value(q), rtol=0, atol=1e-8)
    assert model.value(0, 1e4) - model.value(0, 9e3) == pytest.approx(1e3 * model.gain, rel=1e-11)
    c = math.log1p(2 * 0.01 / 0.3) / 0.02
    theta = model.value(q)
    bid = c + 0.1 + 0.4 * (q[:-1] + 2) / 2 - np.diff(theta) / 2  # the impact moves what is held by then
    np.testing.assert_allclose(model.depths(q)[0][:-1], bid, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.value(q, 0.0), 0.0, rtol=0, atol=1e-15)


@by_name
@pytest.mark.parametrize("inventory", [math.nan, math.inf, [0.0, math.nan], "one"])
def test_an_inventory_that_is_no_number_is_refused(model, inventory):
    with pytest.raises(InvalidArgument) as refused:
        model.depths(inventory, model.horizon or math.inf)
    assert refused.value.argument == "inventory"
    assert refused.value.index == (1 if isinstance(inventory, list) else None)


@by_name
def test_a_time_left_that_cannot_be_read_is_refused(model):
    wrong = [-1.0, math.nan, -math.inf, "soon"]
    if model.horizon is not None:
        wrong.append(model.horizon * 1.01)
    if model.policy().stationary is False:
        wrong.append(math.inf)
    for tau in wrong:
        with pytest.raises(InvalidArgument) as refused:
            model.depths(0, tau)
        assert refused.value.argument == "time_left"
    with pytest.raises(InvalidArgument, match="of a shape"):
        model.depths([0.0, 1.0], np.zeros(3))


def test_a_value_beyond_the_bounds_is_refused():
    with pytest.raises(InvalidArgument, match="within"):
        GueantLehalleFernandezTapia(**FIGURE, q_max=5).value([0, 6])


# -- policies --------------------------------------------------------------------------------------


@by_name
def test_the_policy_reads_like_the_model(model):
    policy = model.policy()
    generator = np.random.default_rng(3)
    times = generator.uniform(0, model.horizon, 200) if model.horizon else np.full(200, math.inf)
    times[:40] *= 1e-3  # the corner next to the horizon
    q = generator.choice(np.arange(-6, 7, model.order_size), 200)
    for found, wanted in zip(policy.depths_batch(q, times), model.depths(q, times), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1.05 * max(policy.error, 1e-12))
    assert policy.order_size == model.order_size
    assert policy.horizon == (model.horizon or math.inf)
    assert mm.Quoter(model).policy == policy


@pytest.mark.parametrize("tol", [1e-1, 1e-3, 1e-5])
def test_interpolation_errors_stay_below_the_tolerance(tol):
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=20, horizon=600.0)
    policy = model.policy(tol=tol)
    assert 0 < policy.error <= tol
    knots = policy.time_left
    assert knots[0] == 0.0
    assert knots[-1] == 600.0
    between = np.concatenate([knots[:-1] + share * np.diff(knots) for share in (0.1, 0.4, 0.5, 0.8)])
    q = np.arange(-20, 21)
    found = np.array(policy.depths_batch(q[None, :], between[:, None]))
    exact = np.array(model.depths(q[None, :], between[:, None]))
    assert np.nanmax(np.abs(found - exact)) <= 1.05 * policy.error
    assert policy.depths(3) == pytest.approx(model.depths(3), rel=1e-15)


def test_a_policy_too_large_is_refused_with_its_size():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=20, horizon=600.0)
    with pytest.raises(CapacityError) as refused:
        model.policy(max_bytes=10_000)
    assert refused.value.allowed == "> 10000"
    needed = model.policy().nbytes
    assert model.policy(max_bytes=needed + 512).nbytes == needed
    with pytest.raises(CapacityError):
        model.policy(max_bytes=needed - 1)
    stationary = GueantLehalleFernandezTapia(**FIGURE, q_max=20)
    with pytest.raises(CapacityError) as refused:
        stationary.policy(max_bytes=100)
    assert stationary.policy(max_bytes=int(refused.value.allowed.removeprefix(">= "))).nbytes > 100
    with pytest.raises(CapacityError):
        AvellanedaStoikov(**PAPER, gamma=1e-6, omega=3.0, q_max=100_000).policy(max_bytes=1 << 20)
    with pytest.raises(CapacityError, match="lattice"):
        GueantLehalleFernandezTapia(**FIGURE, q_max=10**9)
    for tol in (0.0, -1.0, math.nan, "fine"):
        with pytest.raises(InvalidArgument):
            model.policy(tol=tol)


def test_a_policy_too_large_is_given_up_when_it_is(monkeypatch):
    model = GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=5, horizon=10.0)
    taken, evolve = [], Lattice.evolve
    lattice = model.__dict__["_lattice"]

    class Counted:
        def __getattr__(self, name):
            return getattr(lattice, name)

        def __len__(self):
            return len(lattice)

        def evolve(self, *args, **options):
            taken.append(args)
            return evolve(lattice, *args, **options)

    monkeypatch.setitem(model.__dict__, "_lattice", Counted())
    with pytest.raises(CapacityError, match="of 10 s"):
        model.policy(tol=1e-9, max_bytes=10_000)
    assert len(taken) < 60  # 26 rows of 360 bytes, and the steps that were too long


@pytest.mark.parametrize("k", [0.3, 1e-11])
def test_a_tolerance_finer_than_the_solution_is_refused_at_once(k, monkeypatch):
    model = GueantLehalleFernandezTapia(sigma=k**-0.5, A=1.0, k=k, gamma=k, q_max=5, horizon=1.0)
    monkeypatch.setattr(type(model), "_knots", None)
    with pytest.raises(InvalidArgument, match="can be solved") as refused:
        model.policy(tol=0.9e-12 / k)
    assert refused.value.argument == "tol"
    assert float(refused.value.allowed.split()[1]) == pytest.approx(1e-12 / k, rel=1e-2)
    monkeypatch.undo()
    assert model.policy(tol=1e-4 / k).error <= 1e-4 / k


# -- certainty equivalents -------------------------------------------------------------------------


@pytest.mark.parametrize(("gamma", "optimum", "paper", "error"), [
    (0.01, 67.85, 67.73, 0.04), (0.1, 64.13, 61.46, 0.03), (0.5, 53.92, 39.3, 0.1), (1.0, 45.20, 21.7, 0.2),
])  # fmt: skip
def test_what_the_quotes_of_avellaneda_and_stoikov_lose(gamma, optimum, paper, error):
    """Published Monte Carlo figures with their standard errors (time step 0.00025)."""
    exact = GueantLehalleFernandezTapia(**PAPER, A=140.0, gamma=gamma, q_max=30, horizon=1.0)
    assert exact.value(0, 1.0) == pytest.approx(optimum, abs=0.005)
    found = exact.certainty_equivalent(AvellanedaStoikov(**PAPER, gamma=gamma, horizon=1.0))
    assert abs(found - paper) < 5 * error


@pytest.mark.parametrize("objective", ["exponential", "mean_variance"])
def test_the_optimum_is_its_own_certainty_equivalent(objective):
    model = GueantLehalleFernandezTapia(
        sigma=0.4, A=(0.9, 0.6), k=(0.3, 0.4), gamma=0.01, q_max=12, order_size=3, horizon=60.0,
        fee=(0.1, -0.1), drift=0.01, impact=0.2, objective=objective,
    )  # fmt: skip
    for q in (-12, 0, 4.5):
        assert model.certainty_equivalent(model, q) == pytest.approx(model.value(q, 60.0), rel=1e-8)
    cj = CarteaJaimungal(
        A=(1.0, 2.0), k=(2.0, 1.0), running_penalty=0.1, terminal_penalty=0.3, adverse_selection=(0.1, 0.2),
        q_max=4, horizon=20.0,
    )  # fmt: skip
    assert cj.certainty_equivalent(cj, 2) == pytest.approx(cj.value(2, 20.0), rel=1e-8)


def test_a_constant_policy_against_a_dense_matrix_exponential():
    model = GueantLehalleFernandezTapia(
        sigma=0.5, A=(0.9, 1.4), k=(0.7, 0.5), gamma=0.2, q_max=5, fee=0.1, drift=0.05
    )
    q, n, tau, depth = np.arange(-5, 6), 11, 4.0, (1.3, 0.4)
    rates = [A * math.exp(-k * d) for A, k, d in zip((0.9, 1.4), (0.7, 0.5), depth, strict=True)]
    M = np.diag((0.2 * 0.5 * q) ** 2 / 2 - 0.2 * 0.05 * q)
    for i in range(n):
        for side, j in ((0, i + 1), (1, i - 1)):
            if 0 <= j < n:
                M[i, i] -= rates[side]
                M[i, j] += rates[side] * math.exp(-0.2 * (depth[side] - 0.1))
    expected = -np.log(expm(M * tau) @ np.ones(n)) / 0.2
    policy = mm.Affine(base=depth, slope=0.0)
    for i in (0, 5, 8):
        assert model.certainty_equivalent(policy, q[i], horizon=tau) == pytest.approx(expected[i], abs=1e-9)


class Session:
    """A rule that changes every 1.25 s, rests for a while, and leaves the bid at the end: all jumps."""

    def depths(self, inventory, time_left):
        skew = 0.2 * inventory
        wide = 1.0 if time_left % 1.25 < 0.5 else 3.0
        if 4.1 <= time_left < 6.3:
            return None, None
        return (None if time_left < 0.7 else wide + skew), wide - skew


@pytest.mark.parametrize("announced", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.2])
def test_depths_that_jump_in_time(gamma, announced):
    """Against one matrix exponential for each piece in which nothing changes."""
    rule, horizon = Session(), 10.0
    jumps = sorted({0.7, 4.1, 6.3, *(1.25 * j for j in range(1, 8)), *(1.25 * j + 0.5 for j in range(8))})
    if announced:
        rule.time_left = jumps
    model = GueantLehalleFernandezTapia(
        sigma=0.5, A=(0.9, 1.4), k=(0.7, 0.5), gamma=gamma, q_max=5, fee=0.1, drift=0.05, horizon=horizon
    )
    q, n = np.arange(-5.0, 6.0), 11
    w = np.ones(n + 1) if gamma else np.append(np.zeros(n), 1.0)  # e^(-gamma theta), or theta and a constant
    for start, end in zip([0.0, *jumps], [*jumps, horizon], strict=True):
        M = np.zeros((n + 1, n + 1))
        for i in range(n):
            reward = 0.05 * q[i] - gamma / 2 * (0.5 * q[i]) ** 2
            M[i, i if gamma else n] = -gamma * reward if gamma else reward
            pair = rule.depths(q[i], 0.5 * (start + end))
            for j, depth, A, k in zip((i + 1, i - 1), pair, (0.9, 1.4), (0.7, 0.5), strict=True):
                if 0 <= j < n and depth is not None:
                    fills = A * math.exp(-k * depth)
                    M[i, i] -= fills
                    M[i, j] += fills * math.exp(-gamma * (depth - 0.1))
                    if not gamma:
                        M[i, n] += fills * (depth - 0.1)
        w = expm(M * (end - start)) @ w
    expected = -np.log(w[:n]) / gamma if gamma else w[:n]
    for i in (0, 5, 8):
        assert model.certainty_equivalent(rule, q[i]) == pytest.approx(expected[i], rel=1e-8)


def test_a_steep_terminal_penalty():
    """Rates next to the horizon are e^400 and e^4000 times those further away: few knots are enough."""
    generator = np.random.default_rng(8)
    for penalty in (5.0, 50.0):
        model = CarteaJaimungal(
            A=1.0, k=2.0, running_penalty=0.01, terminal_penalty=penalty, q_max=20, horizon=60.0
        )
        policy = model.policy()
        assert policy.time_left.size < 400
        times = np.concatenate([1e-9 * np.arange(1, 30), np.exp(generator.uniform(-18, math.log(60), 30))])
        q = np.arange(-20, 21)
        found = np.array(policy.depths_batch(q[None, :], times[:, None]))
        exact = np.array(model.depths(q[None, :], times[:, None]))
        assert np.nanmax(np.abs(found - exact)) <= 1.05 * policy.error <= 1.05e-3
        # at the very end nothing is left but the penalty
        np.testing.assert_allclose(policy.depths_batch(q, 0.0)[0][:-1], 0.5 + penalty * (2 * q[:-1] + 1))
        assert model.certainty_equivalent(model, 3) == pytest.approx(model.value(3, 60.0), rel=1e-8)


def test_a_steep_terminal_penalty_against_fifty_digits():
    model = CarteaJaimungal(A=1.0, k=2.0, running_penalty=0.1, terminal_penalty=60.0, q_max=4, horizon=9.0)
    with mp.workdps(50):
        M = mp.zeros(9)
        for i in range(9):
            M[i, i] = -2 * mp.mpf(0.1) * (i - 4) ** 2
            for j in (i - 1, i + 1):
                if 0 <= j < 9:
                    M[i, j] = mp.exp(-1)
        v = mp.matrix([mp.exp(-2 * mp.mpf(60) * (i - 4) ** 2) for i in range(9)])
        for tau in (1e-9, 1e-3, 9.0):
            h = [mp.log(x) / 2 for x in mp.expm(M * tau, method="taylor") * v]
            bid = [float(mp.mpf(0.5) - (h[i + 1] - h[i])) for i in range(8)]
            np.testing.assert_allclose(model.depths(np.arange(-4, 4), tau)[0], bid, rtol=1e-12, atol=2e-12)
            np.testing.assert_allclose(model.value(np.arange(-4, 5), tau), [float(x) for x in h], rtol=1e-12)


def test_certainty_equivalents_agree_with_the_simulation():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=10, horizon=60.0)
    policy = GueantLehalleFernandezTapia(**FIGURE, q_max=10).policy()
    simulated = mm.simulate(policy, sigma=0.3, A=0.9, k=0.3, horizon=60.0, paths=4000, seed=5)
    estimate = simulated.certainty_equivalent(0.01)
    assert abs(model.certainty_equivalent(policy) - estimate.value) < 5 * estimate.standard_error


def test_a_certainty_equivalent_that_means_nothing_is_refused():
    model = GueantLehalleFernandezTapia(**FIGURE, q_max=10)
    with pytest.raises(InvalidArgument, match="horizon"):
        model.certainty_equivalent(model)
    with pytest.raises(InvalidArgument, match="trades 1 lots"):
        model.certainty_equivalent(model.replace(order_size=2), horizon=1.0)
    with pytest.raises(InvalidArgument, match="covers"):
        model.certainty_equivalent(AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0), horizon=2.0)
    with pytest.raises(InvalidArgument, match="inventory"):
        model.certainty_equivalent(model, 11, horizon=1.0)


# -- approximations --------------------------------------------------------------------------------


def test_the_closed_form_warns_where_it_is_wrong():
    sigma = math.sqrt(2 * 0.9 * math.exp(-1) / 0.3 / 0.01)  # alpha / eta = 1 at order size 1, mean-variance
    with pytest.warns(ApproximationWarning, match="alpha/eta = 0.101"):
        GueantLehalleFernandezTapiaClosedForm(
            **{**FIGURE, "sigma": sigma * math.sqrt(0.101)}, objective="mean_variance"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        GueantLehalleFernandezTapiaClosedForm(
            **{**FIGURE, "sigma": sigma * math.sqrt(0.099)}, objective="mean_variance"
        )


@pytest.mark.parametrize("tilt", [0.0, 0.02, -0.02])
def test_the_closed_form_is_the_limit_of_the_exact_quotes(tilt):
    """As alpha/eta goes to 0 with sides that differ by as little, the skew's error falls with it."""
    errors = []
    for gamma in (1e-4, 1e-5, 1e-6):
        lean = tilt * math.sqrt(gamma / 1e-4)
        given = {"sigma": 0.3, "A": (0.9 + lean, 0.9), "k": 0.3, "gamma": gamma, "fee": (0.1, 0.1 + lean)}
        exact = GueantLehalleFernandezTapia(**given, q_max=2000)
        closed = GueantLehalleFernandezTapiaClosedForm(**given)
        errors.append(abs(exact.depths(3)[0] - closed.depths(3)[0]) / closed.slope)
    assert errors[0] < 0.05
    assert errors[2] < 0.3 * errors[0]


def test_the_closed_form_needs_aversion_to_bear_a_drift():
    with pytest.raises(InvalidArgument, match="drift"):
        GueantLehalleFernandezTapiaClosedForm(**{**FIGURE, "gamma": 0.0}, drift=0.1)


def test_an_infinite_horizon_needs_omega_strictly_large_enough():
    exact = (Fraction(0.1) * Fraction(2.0) * 11) ** 2 / 2
    bound = float(exact)
    least = bound if bound > exact else math.nextafter(bound, math.inf)
    for omega in (math.nextafter(least, 0.0), 0.5 * bound):
        with pytest.raises(InvalidArgument, match="strictly more than") as refused:
            AvellanedaStoikov(**PAPER, gamma=0.1, omega=omega, q_max=10)
        assert repr(bound) in str(refused.value)
    model = AvellanedaStoikov(**PAPER, gamma=0.1, omega=least, q_max=10)
    for q in (-10, 10):
        assert np.isfinite(model.reservation(q)).all()


@pytest.mark.parametrize("q_max", [1, 41, 774])
@pytest.mark.parametrize("margin", [0.0, 1e-14, 1e-9, 1e-3, 1.0, 1e9])
def test_an_infinite_horizon_next_to_the_bound_on_omega(q_max, margin):
    """Against 60 digits, in 2^-53 of the sum of the terms' sizes; between the nodes too."""
    generator = np.random.default_rng(q_max)
    for size in (1, 7):
        sigma, gamma = 0.13 * generator.uniform(1, 2), 0.0043 * generator.uniform(1, 2)
        bound = float((Fraction(gamma) * Fraction(sigma) * (q_max + 1) * size) ** 2 / 2)
        omega = math.nextafter(bound * (1 + margin), math.inf)
        given = {"sigma": sigma, "k": 1.5, "gamma": gamma, "omega": omega}
        model = AvellanedaStoikov(**given, q_max=q_max * size, order_size=size)
        with mp.workdps(60):
            risk = mp.mpf(gamma)
            static = mp.log1p(risk * size / 1.5) / (risk * size)
            for at in (q_max - 1, q_max, -q_max, 0, q_max - 1.7):
                q = mp.mpf(float(at * size))
                n = 2 * mp.mpf(omega) / (risk * sigma) ** 2 - q * q
                wanted = (
                    -mp.log(1 - size * (2 * q + size) / n) / (risk * size) if at <= q_max - 1 else None,
                    mp.log(1 + size * (size - 2 * q) / n) / (risk * size) if at >= 1 - q_max else None,
                )
                for depth, term in zip(model.depths(float(q)), wanted, strict=True):
                    assert (depth is None) == (term is None)
                    if depth is not None:
                        assert abs(depth - static - term) <= 4 * 2.0**-53 * (static + abs(term)), at


def test_parameters_without_depths_are_refused_when_a_model_is_made():
    closed = {"sigma": 1.0, "A": 1.0, "k": 3.0, "gamma": 0.01}
    for name, wrong in (("fee", {"fee": 300.0}), ("impact", {"impact": 600.0}), ("sigma", {"sigma": 1e200})):
        for gamma in (0.01, 0.0):
            if name == "sigma" and gamma == 0.0:
                continue
            with pytest.raises(InvalidArgument) as refused:
                GueantLehalleFernandezTapiaClosedForm(**{**closed, "gamma": gamma, **wrong})
            assert refused.value.argument == name
    with pytest.raises(InvalidArgument, match="fee"):
        GueantLehalleFernandezTapiaClosedForm(**closed).replace(fee=300.0)
    for name, wrong in (
        ("gamma", {"sigma": 1.0, "k": 1.0, "gamma": 1e160, "omega": 1.0, "q_max": 3}),
        ("sigma", {"sigma": 1e160, "k": 1.0, "gamma": 1.0, "omega": 1.0, "q_max": 3}),
        ("sigma", {"sigma": 1e200, "k": 1.0, "gamma": 0.3, "horizon": 1.0}),
        ("A", {"sigma": 1e-18, "k": 1e-9, "gamma": 1e150, "A": 5e-324, "order_size": 10, "horizon": 1.0}),
    ):
        with pytest.raises(InvalidArgument) as refused:
            AvellanedaStoikov(**wrong)
        assert refused.value.argument == name
        assert refused.value.allowed


def test_affine_models_and_their_policies_are_the_same_bits():
    generator = np.random.default_rng(5)
    q, tau = generator.uniform(-30, 30, 500), generator.uniform(0, 3.0, 500)
    for model in (
        AvellanedaStoikov(sigma=0.71, k=(1.3, 1.7), gamma=0.13, horizon=3.0, q_max=20),
        GueantLehalleFernandezTapiaClosedForm(sigma=0.13, A=(0.9, 0.7), k=0.3, gamma=0.01),
    ):
        for ours, compiled in zip(model.depths(q, tau), model.policy().depths_batch(q, tau), strict=True):
            np.testing.assert_array_equal(ours, compiled)


@pytest.mark.parametrize(
    "changes", [{}, {"horizon": 1.0, "omega": 3.0}, {"omega": 3.0}, {"omega": 3.0, "q_max": None}]
)
def test_avellaneda_stoikov_needs_one_horizon(changes):
    with pytest.raises(InvalidArgument):
        AvellanedaStoikov(**PAPER, gamma=0.1, **changes)


def test_avellaneda_stoikov_warns_only_where_it_knows_that_it_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0)
        AvellanedaStoikov(**PAPER, gamma=0.1, horizon=0.1, A=140.0)
        AvellanedaStoikov(**PAPER, gamma=0.1, omega=8.0, q_max=10, A=140.0)
    with pytest.warns(ApproximationWarning, match="horizon of 1 s"):
        AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0, A=140.0)
    with pytest.warns(ApproximationWarning, match="omega"):
        AvellanedaStoikov(**PAPER, gamma=0.1, omega=30.0, q_max=10, A=140.0)
    with pytest.warns(ApproximationWarning, match="alpha/eta"):
        AvellanedaStoikov(**PAPER, gamma=1.0, horizon=0.01, A=20.0)
    assert AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0).alpha_over_eta is None


def test_avellaneda_stoikov_is_right_next_to_the_horizon():
    """GLFT's footnote: it is the expansion at T, inside the bounds; the error goes with the square."""
    errors = []
    for tau in (1e-2, 1e-3):
        exact = GueantLehalleFernandezTapia(**PAPER, A=140.0, gamma=0.1, q_max=10, horizon=1.0).depths(3, tau)
        paper = AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0).depths(3, tau)
        errors.append(abs(exact[0] - paper[0]))
    assert errors[1] < errors[0] / 80


# -- parameters ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", dict.fromkeys(map(type, EVERY)), ids=lambda cls: cls.__name__)
def test_signatures_and_parameters_say_the_same(cls):
    signature = inspect.signature(cls)
    assert list(signature.parameters) == [p.name for p in cls.PARAMETERS] or set(signature.parameters) == {
        p.name for p in cls.PARAMETERS
    }
    for p in cls.PARAMETERS:
        default = signature.parameters[p.name].default
        assert (default is inspect.Parameter.empty) if p.required else (default == p.default), p.name
        assert p.doc


@by_name
def test_every_parameter_is_checked(model):
    for p in model.PARAMETERS:
        wrong = ["no", math.nan, math.inf, [1.0, 2.0, 3.0]]
        if p.low == 0.0:
            wrong += [-1.0] + ([0.0] if p.open_low else [])
        if p.type is int:
            wrong += [1.5, 0]
        for value in wrong:
            if p.type is str and value == "no":
                value = "none"
            with pytest.raises(InvalidArgument) as refused:
                model.replace(**{p.name: value})
            assert refused.value.argument == p.name


@by_name
def test_models_are_values(model):
    assert pickle.loads(pickle.dumps(model)) == model
    assert hash(pickle.loads(pickle.dumps(model))) == hash(model)
    assert eval(repr(model)) == model
    assert model != "model"
    with pytest.raises(AttributeError, match="replace"):
        model.k = 1.0
    with pytest.raises(InvalidArgument, match="not a parameter"):
        model.replace(kappa=1.0)
    assert model.replace(k=7.0) != model
    assert type(model).__name__ in model._repr_html_()
    assert model.half_spread == pytest.approx(0.5 * sum(model.depths(0, model.horizon or math.inf)), rel=0.7)


def test_pairs_are_bid_and_ask():
    model = GueantLehalleFernandezTapia(sigma=0.3, A=(0.5, 0.9), k=0.3, gamma=0.01, q_max=10)
    assert model.A == (0.5, 0.9)
    assert model.k == (0.3, 0.3)
    assert model.parameters["k"] == 0.3
    # Few sellers come to our bid: nobody helps us buy, so a short is worse than a long.
    assert model.value(-5) < model.value(5)


def test_q_max_is_a_multiple_of_the_order_size():
    with pytest.raises(InvalidArgument, match="multiple"):
        GueantLehalleFernandezTapia(**FIGURE, q_max=5, order_size=2)
    with pytest.raises(InvalidArgument, match="multiple"):
        AvellanedaStoikov(**PAPER, gamma=0.1, horizon=1.0, q_max=5, order_size=2)


def test_costs_out_of_proportion_are_refused_and_not_rounded_to_nothing():
    with pytest.raises(InvalidArgument, match="out of proportion"):
        GueantLehalleFernandezTapia(**FIGURE, fee=1e5)
    with pytest.raises(InvalidArgument, match="out of proportion"):
        GueantLehalleFernandezTapia(**FIGURE, fee=-1e5)


@pytest.mark.parametrize("gamma", [0.0, 0.01])
@pytest.mark.parametrize("k", [0.156, 0.3, 0.9])
def test_a_fee_of_any_size_beyond_proportion_is_refused(k, gamma):
    """From 1e22 on what k fee loses when it is rounded is beyond all exponents itself."""
    for fee in [*10.0 ** np.arange(4, 308, 0.125), 1.79e30, 1.79e308]:
        for sign in (1, -1):
            with pytest.raises(InvalidArgument, match="out of proportion"):
                GueantLehalleFernandezTapia(sigma=0.3, A=1, k=k, gamma=gamma, q_max=2, fee=sign * fee)


@by_name
def test_a_model_draws_itself(model):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ax = model.plot()
    assert ax.get_xlabel() == "inventory, lots"
    assert len(ax.lines) == 3
    assert model.plot(ax) is ax
    plt.close("all")


def test_models_need_neither_scipy_nor_matplotlib():
    code = (
        "import sys, mmcore as mm;"
        "m = mm.GueantLehalleFernandezTapia(sigma=.3, A=.9, k=.3, gamma=.01, horizon=9.0);"
        "m.policy(); m.value(0, 1.0); m.certainty_equivalent(m);"
        "assert not {'scipy', 'matplotlib'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
