"""The equation on the inventory lattice, against oracles that share nothing with the kernel."""

import math
import signal
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from mmcore.errors import InvalidArgument, NoConvergence
from mmcore.lattice import Lattice, evaluate

pytestmark = pytest.mark.compiled


def parabola(penalty, n, drift=0.0):
    q = np.arange(n) - n // 2
    return drift * q - penalty * q * q


def exact_differences(lattice, start, tau):
    """Return x at time left tau by uniformisation in 50 digits, and z of the middle; equal k only.

    v = e^(k z) solves v' = M v with M tri-diagonal; exp(M tau) v = e^(-s tau) sum (s tau)^j/j! (I + M/s)^j v
    has only positive terms when s is at least the largest -M[i,i], so no digit is lost.
    """
    assert lattice.k_bid == lattice.k_ask
    with mp.workdps(50):
        n, k, tau = len(lattice), mp.mpf(lattice.k_bid), mp.mpf(tau)
        rate = [k * mp.mpf(float(r)) for r in lattice.rate]
        up, down = k * mp.mpf(lattice.up), k * mp.mpf(lattice.down)
        s = max(max(-r for r in rate), mp.mpf(0)) + 1
        z = [mp.mpf(0)]
        for x in start:
            z.append(z[-1] + mp.mpf(float(x)))
        term = [mp.exp(k * (value - z[n // 2])) for value in z]
        total, j = list(term), 0
        while j < s * tau + 10 or max(t / v for t, v in zip(term, total, strict=True)) > mp.mpf(10) ** -40:
            j += 1
            term = [
                tau / j * (
                    (s + rate[i]) * term[i]
                    + (up * term[i + 1] if i + 1 < n else 0)
                    + (down * term[i - 1] if i > 0 else 0)
                )
                for i in range(n)
            ]  # fmt: skip
            total = [a + b for a, b in zip(total, term, strict=True)]
        z = [(mp.log(v) - s * tau) / k for v in total]
        return np.array([float(b - a) for a, b in pairwise(z)]), float(z[n // 2])


def residual(lattice, x, gain):
    """Largest relative error of the stationary equations, in 40 digits."""
    with mp.workdps(40):
        worst, n = mp.mpf(0), len(lattice)
        for i, r in enumerate(lattice.rate):
            above = (
                lattice.up * mp.exp(mp.mpf(lattice.k_bid) * mp.mpf(float(x[i]))) if i < n - 1 else mp.mpf(0)
            )
            below = (
                lattice.down * mp.exp(-mp.mpf(lattice.k_ask) * mp.mpf(float(x[i - 1])))
                if i > 0
                else mp.mpf(0)
            )
            off = abs(mp.mpf(float(r)) + above + below - mp.mpf(gain))
            worst = max(worst, off / (above + below + abs(mp.mpf(float(r)))))
        return float(worst)


scales = st.floats(-3, 3).map(lambda e: 10.0**e)


@st.composite
def lattices(draw, equal_k=False):
    up = draw(scales)
    down = up * draw(st.sampled_from([1.0, 0.3, 7.0]))
    k_bid = draw(scales)
    k_ask = k_bid * (1.0 if equal_k else draw(st.sampled_from([1.0, 0.5, 3.0])))
    n = draw(st.integers(2, 40))
    penalty = up * draw(st.one_of(st.just(0.0), st.floats(-8, 3).map(lambda e: 10.0**e)))
    drift = up * draw(st.one_of(st.just(0.0), st.floats(-10, 10)))
    return Lattice(parabola(penalty, n, drift), up=up, down=down, k_bid=k_bid, k_ask=k_ask)


# -- stationary ----------------------------------------------------------------------------------------


@given(lattices())
def test_the_stationary_equations_hold_to_rounding(lattice):
    x, gain, reported = lattice.stationary()
    assert residual(lattice, x, gain) < 1e-13
    assert reported < 1e-13


@pytest.mark.parametrize("ratio", [0.0, 1e-18, 1e-5, 1e-2, 1.0, 50.0])
def test_the_stationary_solution_is_the_leading_eigenvector(ratio):
    n, k = 21, 0.7
    lattice = Lattice(parabola(ratio / k, n), up=1 / k, down=1 / k, k_bid=k, k_ask=k)
    x, gain, _ = lattice.stationary()
    with mp.workdps(50):
        M = mp.zeros(n)
        for i in range(n):
            M[i, i] = mp.mpf(k) * mp.mpf(float(lattice.rate[i]))
            if i:
                M[i, i - 1] = M[i - 1, i] = mp.mpf(k) * mp.mpf(lattice.up)
        values, vectors = mp.eigsy(M)
        f = [abs(vectors[i, n - 1]) for i in range(n)]
        expected = np.array([float(mp.log(f[i + 1] / f[i]) / k) for i in range(n - 1)])
        assert gain == pytest.approx(float(values[n - 1] / k), rel=1e-14, abs=1e-15)
    np.testing.assert_allclose(x, expected, rtol=0, atol=2e-14 / k)


def test_an_empty_box_has_a_cosine_for_its_value():
    n = 10_001
    x, gain, _ = Lattice(np.zeros(n), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0).stationary()
    assert gain == pytest.approx(2 * math.cos(math.pi / (n + 1)), rel=1e-15)
    i = np.arange(1, n)
    expected = np.log(np.sin(np.pi * (i + 1) / (n + 1)) / np.sin(np.pi * i / (n + 1)))
    inner = slice(0, n // 2 - 1)  # sin(pi - small) would lose the oracle's own digits
    np.testing.assert_allclose(x[inner], expected[inner], rtol=0, atol=1e-12)


def test_a_slight_drift_in_a_wide_box_does_not_spoil_the_digits():
    """The best rate is at the end while the law peaks in the middle: the recursions must meet there."""
    for n in (201, 2001):
        x, gain, _ = Lattice(1e-14 * np.arange(n), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0).stationary()
        flat, flat_gain, _ = Lattice(np.zeros(n), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0).stationary()
        # first-order perturbation of the eigenvalue: the mean of the drift under v^2
        assert gain - flat_gain == pytest.approx(1e-14 * (n // 2), abs=1e-15)
        assert np.abs(np.diff(x - flat)).max() < 1e-10


@pytest.mark.parametrize("penalty", [1e-8, 1e-4, 1e-2, 10.0])
def test_thousands_of_lots(penalty):
    lattice = Lattice(parabola(penalty, 10_001), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    x, gain, reported = lattice.stationary()
    assert np.isfinite(x).all()
    assert reported < 1e-13
    np.testing.assert_allclose(x, -x[::-1], rtol=0, atol=1e-12)  # it is symmetric, and nobody told it so
    narrow = Lattice(parabola(penalty, 4001), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0).stationary()
    if penalty > 1e-6:  # then the bound is not felt in the middle
        assert gain == pytest.approx(narrow[1], rel=1e-14)


@given(lattices())
def test_mirroring_the_lattice_swaps_the_sides(lattice):
    mirror = Lattice(
        lattice.rate[::-1], up=lattice.down, down=lattice.up, k_bid=lattice.k_ask, k_ask=lattice.k_bid
    )
    x, gain, _ = lattice.stationary()
    y, mirrored, _ = mirror.stationary()
    assert gain == pytest.approx(mirrored, rel=1e-13, abs=1e-13 * lattice.up)
    k = max(lattice.k_bid, lattice.k_ask)
    np.testing.assert_allclose(k * x, -k * y[::-1], rtol=1e-12, atol=1e-11)


# -- finite time left -------------------------------------------------------------------------------------


@pytest.mark.parametrize("tau", [1e-6, 1e-3, 0.1, 1.0, 10.0])
@pytest.mark.parametrize("penalty", [0.0, 1e-5, 1e-2, 1.0])
def test_finite_time_left_is_the_matrix_exponential(penalty, tau):
    lattice = Lattice(parabola(penalty, 13, 0.05), up=1.3, down=0.6, k_bid=0.8, k_ask=0.8)
    start = np.linspace(0.4, -0.7, 12)
    x, middle, _ = lattice.evolve(start, [tau])
    expected, value = exact_differences(lattice, start, tau)
    np.testing.assert_allclose(x[0], expected, rtol=0, atol=3e-13)
    assert middle[0] == pytest.approx(value, rel=1e-13, abs=1e-13)


def test_the_smallest_times_keep_thirteen_digits():
    lattice = Lattice(parabola(0.01, 21), up=1.0, down=1.0, k_bid=0.3, k_ask=0.3)
    x, _, _ = lattice.evolve(np.zeros(20), [1e-6])
    np.testing.assert_allclose(x[0], exact_differences(lattice, np.zeros(20), 1e-6)[0], rtol=0, atol=1e-18)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16000, reason="needs an 80-bit long double")
@pytest.mark.parametrize(
    ("ratio", "tau"), [(1e-5, 3000.0), (1e-3, 300.0), (0.1, 5.0), (10.0, 0.05), (10.0, 0.002)]
)
def test_a_wide_stiff_lattice_on_its_way_to_the_stationary_state(ratio, tau):
    """Q = 100: rates at the ends are 10^5 times those in the middle; uniformisation in 80-bit arithmetic."""
    n = 201
    lattice = Lattice(parabola(ratio, n), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    x, middle, _ = lattice.evolve(np.zeros(n - 1), [tau])
    s = np.longdouble(-lattice.rate.min() + 1)
    rate = lattice.rate.astype(np.longdouble)
    total = v = np.ones(n, dtype=np.longdouble)
    shift, done, step = np.longdouble(0), np.longdouble(0), np.longdouble(tau)
    chunk = min(step, 500 / s)
    while done < step:
        chunk = min(chunk, step - done)
        term, total, j = v.copy(), v.copy(), 0
        while j < 20 or (term > 1e-22 * total).any():
            j += 1
            up = np.concatenate([term[1:], [0]])
            down = np.concatenate([[0], term[:-1]])
            term = chunk / j * ((s + rate) * term + up + down)
            total = total + term
        shift += np.log(total[n // 2]) - s * chunk
        v = total / total[n // 2]
        done += chunk
    z = np.log(v)
    np.testing.assert_allclose(x[0], np.diff(z).astype(float), rtol=0, atol=1e-11)
    assert middle[0] == pytest.approx(float(shift), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("ratio", [1e-5, 1e-3, 0.1, 10.0])
def test_a_day_reaches_the_stationary_state(ratio):
    lattice = Lattice(parabola(ratio, 201), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    stationary, gain, _ = lattice.stationary()
    x, middle, _ = lattice.evolve(np.zeros(200), [43_200.0, 86_400.0])
    np.testing.assert_allclose(x[-1], stationary, rtol=0, atol=1e-12)
    assert (middle[1] - middle[0]) / 43_200.0 == pytest.approx(gain, rel=1e-12)


@pytest.mark.parametrize("k_ask", [0.3, 1.1, 4.0])
def test_unequal_sides_against_a_general_purpose_integrator(k_ask):
    """Different k have no linear form: DOP853 on the nonlinear equation for z."""
    n, up, down, k_bid = 9, 0.8, 1.7, 1.1
    rate = parabola(0.07, n, -0.1)

    def slope(_, z):
        out = rate.copy()
        out[:-1] += up * np.exp(k_bid * (z[1:] - z[:-1]))
        out[1:] += down * np.exp(k_ask * (z[:-1] - z[1:]))
        return out

    start = np.linspace(0.3, -0.5, n - 1)
    times = [0.3, 2.0, 15.0]
    z = np.concatenate([[0.0], np.cumsum(start)])
    z -= z[n // 2]
    found = solve_ivp(slope, (0, times[-1]), z, "DOP853", times, rtol=3e-14, atol=1e-14).y.T
    x, middle, _ = Lattice(rate, up=up, down=down, k_bid=k_bid, k_ask=k_ask).evolve(start, times)
    np.testing.assert_allclose(x, np.diff(found), rtol=0, atol=2e-11)
    np.testing.assert_allclose(middle, found[:, n // 2], rtol=1e-12)


@given(lattices(), st.floats(-4, 6).map(lambda e: 10.0**e))
def test_nothing_but_numbers_leaves(lattice, scaled_time):
    tau = scaled_time / (lattice.k_bid * lattice.up)
    x, middle, step = lattice.evolve(np.zeros(len(lattice) - 1), [0.0, tau, 2 * tau])
    assert np.isfinite(x).all()
    assert np.isfinite(middle).all()
    assert (x[0] == 0).all()
    assert step > 0


@pytest.mark.parametrize("tau", [1e-9, 1e-4, 2.0])
@pytest.mark.parametrize("steepness", [20.0, 90.0, 400.0, 1500.0, 40_000.0])
def test_a_start_however_steep(steepness, tau):
    """A terminal penalty: k x falls by `steepness` over the lattice, so rates begin at e^steepness."""
    n = 9
    lattice = Lattice(parabola(0.3, n, 0.1), up=0.7, down=0.4, k_bid=2.0, k_ask=2.0)
    start = -steepness / 4.0 * (np.arange(n - 1) - 3.5) / 3.5
    x, middle, _ = lattice.evolve(start, [tau])
    expected, value = exact_differences(lattice, start, tau)
    np.testing.assert_allclose(x[0], expected, rtol=2e-13, atol=2e-12)
    assert middle[0] == pytest.approx(value, rel=1e-12, abs=2e-12)


def test_a_start_that_falls_and_rises_steeply():
    """The best nodes are not in the middle, and worst ones lie between good ones."""
    lattice = Lattice(parabola(0.3, 7, 0.1), up=0.7, down=0.4, k_bid=2.0, k_ask=2.0)
    start = np.array([500.0, -300.0, -250.0, 650.0, -900.0, 0.5])
    for tau in (1e-6, 1.0):
        x, middle, _ = lattice.evolve(start, [tau])
        expected, value = exact_differences(lattice, start, tau)
        np.testing.assert_allclose(x[0], expected, rtol=2e-13, atol=2e-12)
        assert middle[0] == pytest.approx(value, rel=1e-12, abs=2e-12)


@pytest.mark.parametrize(("steepness", "k_ask"), [(30.0, 0.1), (60.0, 20.0), (300.0, 0.7)])
def test_a_steep_start_with_unequal_sides(steepness, k_ask):
    """Against Radau in the logarithm of time, in which the exponents of rates add up to moderate numbers."""
    n, up, down, k_bid = 7, 0.8, 1.7, 1.1
    rate = parabola(0.07, n, -0.1)
    start = -steepness / max(k_bid, k_ask) * (np.arange(n - 1) - 2.5) / 2.5

    def slope(s, z):  # dz/ds, s = ln tau
        x = np.diff(z)
        out = rate * math.exp(s)
        out[:-1] += up * np.exp(s + k_bid * x)
        out[1:] += down * np.exp(s - k_ask * x)
        return out

    z = np.concatenate([[0.0], np.cumsum(start)])
    z -= z[n // 2]
    times = np.array([1e-5, 0.3, 15.0])
    with np.errstate(over="ignore", invalid="ignore"):  # in steps that it tries and gives up
        found = solve_ivp(
            slope, (-steepness - 30.0, math.log(times[-1])), z, "Radau", np.log(times), rtol=1e-9, atol=1e-10
        ).y.T
    lattice = Lattice(rate, up=up, down=down, k_bid=k_bid, k_ask=k_ask)
    x, middle, _ = lattice.evolve(start, times)
    k = max(k_bid, k_ask)
    np.testing.assert_allclose(k * x, k * np.diff(found), rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(middle, found[:, n // 2], rtol=1e-7, atol=1e-6 / k)
    for row, tau in enumerate(times):  # what was skipped at the start depends on the first time asked for
        alone = lattice.evolve(start, [tau])
        np.testing.assert_allclose(k * alone[0][0], k * x[row], rtol=1e-12, atol=2e-12)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
def test_a_long_solution_can_be_interrupted():
    class Interrupted(Exception):
        pass

    def interrupt(*_):
        raise Interrupted

    n = 20_001
    lattice = Lattice(parabola(1.0, n), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    depth = np.zeros((2, n))
    calls = (
        lambda: lattice.evolve(np.linspace(300.0, -300.0, n - 1), [86_400.0]),
        lambda: evaluate(
            lattice.rate, A=(1, 1), k=(1, 1), cost=(0, 0), curvature=1.0, times=[0, 86_400.0], bid=depth,
            ask=depth, start=np.zeros(n),
        ),
    )  # fmt: skip
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for call in calls:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Interrupted) as caught:
                call()
            assert "lattice.pyx" in str(caught.traceback[-2].path)  # raised inside, not when it was over
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def test_stopping_on_the_way_changes_nothing():
    lattice = Lattice(parabola(0.03, 31), up=1.0, down=2.0, k_bid=1.0, k_ask=0.5)
    whole = lattice.evolve(np.zeros(30), [50.0])[0][-1]
    parts = lattice.evolve(np.zeros(30), np.geomspace(1e-3, 50.0, 40))[0][-1]
    np.testing.assert_allclose(whole, parts, rtol=0, atol=2e-12)


def test_threads_may_share_a_lattice():
    lattice = Lattice(parabola(0.03, 101), up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    alone = lattice.evolve(np.zeros(100), [30.0])[0]
    with ThreadPoolExecutor(4) as pool:
        for x in pool.map(lambda _: lattice.evolve(np.zeros(100), [30.0])[0], range(8)):
            assert (x == alone).all()


# -- any policy ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curvature", [0.0, 1e-9, 0.4])
def test_any_depths_against_a_general_purpose_integrator(curvature):
    n, A, k, cost = 7, (1.5, 0.7), (0.9, 1.4), (0.1, -0.05)
    rate, tau = parabola(0.05, n, 0.02), 3.0
    generator = np.random.default_rng(7)
    times = np.array([0.0, 1.0, 2.5, tau])
    bid, ask = generator.uniform(-1, 2, (2, 4, n))
    bid[:, 2] = np.nan  # a side that is absent all along

    def gain(y):
        return -np.expm1(-curvature * y) / curvature if curvature else y

    def slope(t, z):
        b = np.array([np.interp(t, times, bid[:, i]) for i in range(n)])
        a = np.array([np.interp(t, times, ask[:, i]) for i in range(n)])
        out = rate.copy()
        out[:-1] += np.nan_to_num(A[0] * np.exp(-k[0] * b[:-1]) * gain(b[:-1] - cost[0] + z[1:] - z[:-1]))
        out[1:] += A[1] * np.exp(-k[1] * a[1:]) * gain(a[1:] - cost[1] + z[:-1] - z[1:])
        return out

    start = np.linspace(0, -0.3, n)
    z = start
    for t0, t1 in pairwise(times):
        z = solve_ivp(slope, (t0, t1), z, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    found = evaluate(
        rate,
        A=A,
        k=k,
        cost=cost,
        curvature=curvature,
        times=times,
        bid=bid,
        ask=ask,
        start=start,
        tolerance=1e-11,
    )
    np.testing.assert_allclose(found, z, rtol=0, atol=1e-9)


def exact_value(rate, A, k, cost, c, tau, bid, ask, start):
    """Return z by the matrix exponential in hundreds of digits; z' is affine in z, or in e^(-c z)."""
    n = len(rate)
    with mp.workdps(600):
        c, tau = mp.mpf(c), mp.mpf(tau)
        M, v = mp.zeros(n + 1, n + 1), mp.ones(n + 1, 1)
        for i in range(n):
            v[i] = mp.exp(-c * start[i]) if c else mp.mpf(start[i])
            M[i, i if c else n] = -c * mp.mpf(rate[i]) if c else mp.mpf(rate[i])
            for side, j, depth in ((0, i + 1, bid[i]), (1, i - 1, ask[i])):
                if 0 <= j < n:
                    fills = A[side] * mp.exp(-mp.mpf(k[side]) * depth)
                    M[i, i] -= fills
                    M[i, j] += fills * mp.exp(-c * (mp.mpf(depth) - cost[side]))
                    if not c:
                        M[i, n] += fills * (mp.mpf(depth) - cost[side])
        squarings = int(mp.ceil(mp.log(mp.norm(M * tau, 1), 2))) + 40
        term = power = mp.eye(n + 1)
        for j in range(1, 55):
            term = term * (M * tau / mp.mpf(2) ** squarings) / j
            power += term
        for _ in range(squarings):
            power = power * power
        v = power * v
        return np.array([float(-mp.log(v[i]) / c if c else v[i]) for i in range(n)])


@pytest.mark.parametrize("curvature", [0.0, 0.1, 5.0])
@pytest.mark.parametrize(
    ("base", "slope"), [(1.0, 12.0), (1.0, -12.0), (-30.0, 0.0), (100.0, 20.0), (2.0, -0.5)]
)
def test_extreme_depths_against_the_matrix_exponential(base, slope, curvature):
    """Fills from e^-150 to e^70 per second, losses of hundreds of ticks, a steep terminal penalty."""
    q = np.arange(-2.0, 3.0)
    rate, bid, ask = -0.2 * q * q + 0.05 * q, base + slope * q, base - slope * q
    market = {"A": (0.9, 1.3), "k": (1.5, 0.4), "cost": (0.1, -0.2)}
    for penalty, tau in ((0.0, 1.0), (20.0, 50.0)):
        start = -penalty * q * q
        found = evaluate(
            rate, **market, curvature=curvature, times=[0.0, tau], bid=[bid, bid], ask=[ask, ask], start=start
        )
        expected = exact_value(rate, *market.values(), curvature, tau, bid, ask, start)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_a_node_that_is_left_at_once():
    """Depths that cross the spread by thousands of ticks: rates beyond the range of numbers."""
    q = np.arange(-3.0, 4.0)
    market = {"A": (1.0, 1.0), "k": (1.5, 1.5), "cost": (0.0, 0.0)}

    def value(end, curvature):
        bid = np.where(q == -3, end, 1.0)
        ask = np.where(q == 3, end, 1.0)
        return evaluate(
            -0.1 * q * q, **market, curvature=curvature, times=[0, 9.0], bid=[bid, bid], ask=[ask, ask],
            start=np.zeros(7),
        )  # fmt: skip

    for curvature in (0.0, 0.01):
        z = value(-2000.0, curvature)
        np.testing.assert_allclose(z[-1], z[-2] - 2000.0, rtol=1e-9)  # it pays the depth and is gone
        # a pay of -400 ticks is as quick to all that matters: the rest differs by what the fills then cost
        assert np.isfinite(z).all()
        assert value(-400.0, curvature)[-1] > z[-1]
    to_and_fro = np.full((2, 7), -2000.0)  # at e^3000 a second
    with pytest.raises(NoConvergence, match="from time left 0 s"):
        evaluate(
            np.zeros(7), **market, curvature=0.0, times=[0, 1], bid=to_and_fro, ask=to_and_fro,
            start=np.zeros(7),
        )  # fmt: skip


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "argument"),
    [
        ({"rate": [0.0]}, "rate"),
        ({"rate": [[0.0, 1.0]]}, "rate"),
        ({"rate": [0.0, math.nan]}, "rate"),
        ({"rate": [0.0, math.inf]}, "rate"),
        ({"up": 0.0}, "up"),
        ({"down": -1.0}, "down"),
        ({"k_bid": math.inf}, "k_bid"),
        ({"k_ask": math.nan}, "k_ask"),
    ],
)
def test_a_lattice_refuses_what_it_cannot_solve(changes, argument):
    with pytest.raises(InvalidArgument) as refused:
        Lattice(**{"rate": [0.0, 0.0], "up": 1.0, "down": 1.0, "k_bid": 1.0, "k_ask": 1.0, **changes})
    assert refused.value.argument == argument


@pytest.mark.parametrize(
    ("start", "times", "argument"),
    [
        ([0.0], [1.0], "start"),
        ([0.0, math.nan], [1.0], "start"),
        ([0.0, 0.0], [2.0, 1.0], "times"),
        ([0.0, 0.0], [-1.0], "times"),
        ([0.0, 0.0], [math.inf], "times"),
        ([0.0, 0.0], [[1.0]], "times"),
    ],
)
def test_evolve_refuses_what_it_cannot_follow(start, times, argument):
    lattice = Lattice([0.0, 0.0, 0.0], up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    with pytest.raises(InvalidArgument) as refused:
        lattice.evolve(start, times)
    assert refused.value.argument == argument


def test_overflow_is_an_error_and_not_a_nan():
    lattice = Lattice([0.0, 0.0], up=1e300, down=1e300, k_bid=1e10, k_ask=1e10)
    with pytest.raises(NoConvergence):
        lattice.evolve([1e5], [1.0])


def test_the_rate_is_copied_whatever_its_layout():
    given_rate = np.arange(10.0)[::2]
    given_rate.flags.writeable = False
    lattice = Lattice(given_rate, up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    assert (lattice.rate == [0, 2, 4, 6, 8]).all()
    with pytest.raises(ValueError, match="read-only"):
        lattice.rate[0] = 1.0
