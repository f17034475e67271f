"""The series of positive terms, and many stationary policies at once, against oracles of other kinds."""

import json
from itertools import pairwise

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument
from mmcore.lattice import Lattice, fill_constant, stationary_policies

pytestmark = pytest.mark.compiled


def glft(sigma, A, k, gamma, q_max):
    q = np.arange(-q_max, q_max + 1.0)
    factor = A * fill_constant(gamma, k) / k
    return Lattice(-gamma * sigma**2 / 2 * q * q, up=factor, down=factor, k_bid=k, k_ask=k)


def implicitly(lattice):
    """Return the same lattice with k a hair apart, for which there is no series."""
    k = lattice.k_bid
    return Lattice(lattice.rate, up=lattice.up, down=lattice.down, k_bid=k, k_ask=np.nextafter(k, 0.0))


def squared(lattice, start, tau):
    """Differences and middle value in 60 digits, by scaling and squaring: no uniformisation in it."""
    with mp.workdps(60):
        n, k = len(lattice), mp.mpf(lattice.k_bid)
        z = [mp.mpf(0)]
        for x in start:
            z.append(z[-1] + mp.mpf(float(x)))
        matrix = mp.zeros(n)
        for i in range(n):
            matrix[i, i] = k * mp.mpf(float(lattice.rate[i]))
            if i + 1 < n:
                matrix[i, i + 1] = k * mp.mpf(lattice.up)
                matrix[i + 1, i] = k * mp.mpf(lattice.down)
        v = mp.expm(matrix * mp.mpf(tau), method="taylor") * mp.matrix(
            [mp.exp(k * (value - z[n // 2])) for value in z]
        )
        logs = [mp.log(v[i]) / k for i in range(n)]
        return np.array([float(b - a) for a, b in pairwise(logs)]), float(logs[n // 2])


@given(st.integers(0, 2**32), st.integers(2, 7), st.floats(-3, 1.5))
@settings(max_examples=25, deadline=None)
def test_differences_are_right_to_the_last_digits(seed, n, exponent):
    rng = np.random.default_rng(seed)
    lattice = Lattice(
        rng.normal(size=n),
        up=rng.random() + 0.01,
        down=rng.random() + 0.01,
        k_bid=(k := rng.random() + 0.1),
        k_ask=k,
    )
    start, tau = rng.normal(size=n - 1), 10.0**exponent
    x, middle = lattice.uniformise(start, tau, value=1.5)
    exact, value = squared(lattice, start, tau)
    assert np.abs(x - exact).max() * k < 1e-13 * (1 + np.abs(exact).max() * k)
    assert middle - 1.5 == pytest.approx(value, rel=1e-12, abs=1e-12 / k)


@given(st.integers(0, 2**32), st.integers(2, 60), st.floats(-2, 2))
@settings(max_examples=25, deadline=None)
def test_it_agrees_with_the_implicit_method(seed, n, exponent):
    rng = np.random.default_rng(seed)
    k = 10.0 ** rng.uniform(-1, 1)
    lattice = Lattice(
        -rng.random() * (np.arange(n) - n // 2) ** 2.0 / n,
        up=rng.random() / k,
        down=rng.random() / k,
        k_bid=k,
        k_ask=k,
    )
    x, middle = lattice.uniformise(np.zeros(n - 1), 10.0**exponent)
    implicit, value, _ = implicitly(lattice).evolve(np.zeros(n - 1), [10.0**exponent])
    assert np.abs(x - implicit[0]).max() * k < 1e-11
    assert middle == pytest.approx(value[0], rel=1e-11, abs=1e-11 / k)


def test_evolve_takes_it_where_few_terms_do():
    lattice = glft(0.3, 0.9, 0.3, 0.01, 100)
    times = [0.0, 1.0, 13.0, 30.0]
    rows, middle, _ = lattice.evolve(np.zeros(200), times, value=2.0)
    x, value = np.zeros(200), 2.0
    for row, at in enumerate(times):
        x, value = lattice.uniformise(x, at - (times[row - 1] if row else 0.0), value=value)
        assert np.array_equal(rows[row], x)
        assert middle[row] == value
    steep = np.linspace(40.0, -40.0, 200)  # a terminal penalty: many terms at first
    assert not np.array_equal(lattice.evolve(steep, [1.0])[0][0], lattice.uniformise(steep, 1.0)[0])


def test_two_stretches_are_one():
    lattice = glft(0.3, 0.9, 0.3, 0.01, 100)
    once, value = lattice.uniformise(np.zeros(200), 30.0)
    half, part = lattice.uniformise(np.zeros(200), 13.0)
    twice, both = lattice.uniformise(half, 17.0, value=part)
    assert np.abs(once - twice).max() < 1e-12
    assert both == pytest.approx(value, rel=1e-13)


def test_a_wide_lattice_on_which_the_value_leaves_the_range_of_numbers():
    lattice = glft(0.3, 0.9, 0.3, 0.01, 1000)
    x, _ = lattice.uniformise(np.zeros(2000), 60.0)
    implicit, _, _ = implicitly(lattice).evolve(np.zeros(2000), [60.0])
    assert 0.3 * abs(x.sum() / 2 - x[:1000].sum()) > 2000  # v spans more than e^2000
    assert np.abs(x - implicit[0]).max() < 1e-10


def test_no_time_changes_nothing():
    start = np.array([0.1, -0.2])
    x, value = Lattice([0.0, 1.0, 0.0], up=1.0, down=1.0, k_bid=1.0, k_ask=1.0).uniformise(
        start, 0.0, value=3.0
    )
    assert np.array_equal(x, start)
    assert value == 3.0


def test_wrong_arguments_are_refused():
    lattice = Lattice([0.0, -1.0], up=1.0, down=1.0, k_bid=1.0, k_ask=1.0)
    with pytest.raises(InvalidArgument, match="k_ask"):
        Lattice([0.0, -1.0], up=1.0, down=1.0, k_bid=1.0, k_ask=2.0).uniformise([0.0], 1.0)
    with pytest.raises(InvalidArgument, match="span"):
        lattice.uniformise([0.0], -1.0)
    with pytest.raises(InvalidArgument, match="terms"):
        lattice.uniformise([0.0], 1e9)
    with pytest.raises(InvalidArgument, match="start"):
        lattice.uniformise([0.0, 0.0], 1.0)
    with pytest.raises(InvalidArgument, match="inf terms"):
        lattice.uniformise([1000.0], 1.0)


@pytest.mark.realdata
def test_exact_cases_of_the_reference(shared):
    """Every case of the paper's model that is not too stiff, at its own tolerance."""
    cases = json.loads((shared / "reference" / "quoting.json").read_text())["cases"]
    seen = 0
    for case in cases:
        given = case["inputs"]
        if case["model"] != "glft_exact" or "quotes_bid_ask" not in case["expected"] or given["mu"]:
            continue
        model = mm.GueantLehalleFernandezTapia(
            **{name: given[name] for name in ("sigma", "A", "k", "gamma")},
            q_max=given["Q"],
            horizon=float(given["T_minus_t"]),
            impact=given["xi_impact"],
        )
        lattice, static = model.__dict__["_lattice"], model.__dict__["_static"]
        x, _ = lattice.uniformise(model._start(), float(given["T_minus_t"]))
        for q, (bid, ask) in case["expected"]["quotes_bid_ask"].items():
            i = int(q) + given["Q"]
            tolerance = {"rel": case["tolerance"]["rtol"], "abs": case["tolerance"]["atol"]}
            if bid is not None:
                assert static[0] - x[i] == pytest.approx(bid, **tolerance), case["name"]
            if ask is not None:
                assert static[1] + x[i - 1] == pytest.approx(ask, **tolerance), case["name"]
        seen += 1
    assert seen >= 6


def test_many_stationary_policies_are_those_of_the_models():
    rng = np.random.default_rng(0)
    draws = [
        (
            10 ** rng.uniform(-1, 1),
            10 ** rng.uniform(-1, 1),
            10 ** rng.uniform(-1.5, 0.5),
            10 ** rng.uniform(-4, -1),
        )
        for _ in range(200)
    ]
    sigma, A, k, gamma = np.array(draws).T
    bid, ask, gain, residual = stationary_policies(sigma=sigma, A=A, k=k, gamma=gamma, q_max=50)
    assert residual.max() < 1e-13
    for i in range(0, 200, 7):
        model = mm.GueantLehalleFernandezTapia(sigma=sigma[i], A=A[i], k=k[i], gamma=gamma[i], q_max=50)
        wanted = model.depths(np.arange(-50, 51))
        assert np.allclose(bid[i], wanted[0], rtol=1e-12, atol=1e-12 / k[i], equal_nan=True)
        assert np.allclose(ask[i], wanted[1], rtol=1e-12, atol=1e-12 / k[i], equal_nan=True)
        assert gain[i] == pytest.approx(model.gain, rel=1e-12)


def test_the_residual_is_that_of_the_equations():
    sigma, A, k, gamma, n = 0.5, 2.0, 0.7, 0.01, 41
    bid, ask, gain, residual = stationary_policies(sigma=sigma, A=A, k=k, gamma=gamma, q_max=40, order_size=2)
    with mp.workdps(40):
        curvature = mp.mpf(gamma) * 2
        static = mp.log1p(curvature / k) / curvature
        factor = A / mp.mpf(k) * mp.exp(-(1 + k / curvature) * mp.log1p(curvature / k))
        worst = 0
        for i in range(n):
            q = 2 * (i - n // 2)
            above = factor * mp.exp(k * (static - mp.mpf(bid[0, i]))) if i < n - 1 else 0
            below = factor * mp.exp(k * (static - mp.mpf(ask[0, i]))) if i > 0 else 0
            penalty = mp.mpf(gamma) * sigma**2 / 2 * q * q / 2
            worst = max(
                worst, abs(above + below - penalty - gain[0] / 2) / (above + below + gain[0] / 2 + penalty)
            )
    assert float(worst) < 1e-13
    assert residual[0] < 1e-14


def test_batches_refuse_by_name_and_place():
    good = {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01, "q_max": 5}
    for changes, name in [
        ({"k": [0.3, -1.0]}, "k"),
        ({"sigma": [0.3, np.nan]}, "sigma"),
        ({"q_max": 5, "order_size": 2}, "q_max"),
        ({"bid": np.empty(3)}, "bid"),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            stationary_policies(**good | changes)
        assert refused.value.argument == name
    room = np.empty((1, 5))
    with pytest.raises(InvalidArgument, match="ask must be memory of its own"):
        stationary_policies(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=2, bid=room, ask=room)
    for changes, words in [
        (
            {"sigma": [1.0, 2.0], "A": [1.0, 2.0, 3.0]},
            r"A must be of shape \(2,\), .* or a number, got \(3,\)",
        ),
        ({"A": [1.0, 2.0], "gamma": [[0.1, 0.2]]}, r"gamma must be of shape \(2,\).* got \(1, 2\)"),
        ({"A": []}, r"A must be of shape \(m,\), m >= 1, got \(0,\)"),
        ({"k": "x"}, "k must be a number, or an array of numbers, got 'x'"),
        ({"A": 1j}, "A must be a number, or an array of numbers"),
        ({"gamma": [0.1, -0.1]}, r"gamma\[1\] must be a finite number >= 0 \(1/\(tick·lot\)\), got -0.1"),
        ({"k": [0.3, -1.0]}, r"k\[1\] must be a finite number > 0"),
        ({"sigma": 1e200}, r"sigma\[0\] must be in proportion to the other parameters"),
        (
            {"bid": np.empty((1, 11), np.float32)},
            r"float64 and shape \(1, 11\), got 'float32 of shape \(1, 11\)'",
        ),
        ({"q_max": True}, "q_max must be an integer"),
    ]:
        with pytest.raises(InvalidArgument, match=words):
            stationary_policies(**good | changes)
    narrow = {name: np.float32(good[name]) for name in ("sigma", "A", "k", "gamma")}
    got = stationary_policies(**good | {name: np.full(2, value) for name, value in narrow.items()})
    want = stationary_policies(**good | {name: float(value) for name, value in narrow.items()})
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_array_equal(ours[1], theirs[0])
