"""Every case of the reference file on quoting: our models where it is one of ours, else our numerics.

Forms that are no model of ours (linear and logistic intensities, geometric Brownian motion, a decaying
signal, linear utility) check that the equations we build on give the published numbers when they are
solved by the same means. Monte Carlo cases belong to the simulation's tests.
"""

import json
import math
import warnings

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize_scalar

import mmcore as mm
from mmcore.lattice import Lattice, fill_constant, static_half_spread

pytestmark = pytest.mark.realdata

OURS = {
    "avellaneda_stoikov",
    "avellaneda_stoikov_stationary",
    "cartea_jaimungal",
    "glft_asymptotic",
    "glft_asymptotic_dimensionless",
    "glft_closed_form",
    "glft_exact",
    "gueant_closed_form",
    "gueant_single_asset",
}
NUMERICS = {
    "avellaneda_stoikov_gbm",
    "cartea_jaimungal_alpha",
    "fodra_labadie",
    "intensity_exponential",
    "intensity_logistic_xi0",
    "linear_intensity_xi0",
    "micro_price_basic",
}
SIMULATED = {"avellaneda_stoikov_mc"}


@pytest.fixture(scope="module")
def cases(shared):
    return json.loads((shared / "reference" / "quoting.json").read_text())["cases"]


def of(cases, model):
    found = [case for case in cases if case["model"] == model]
    assert found
    for case in found:
        yield case, case["inputs"], case["expected"], case["tolerance"]


def near(value, expected, tolerance):
    return abs(value - expected) <= tolerance["atol"] + tolerance["rtol"] * abs(expected)


def check_depths(model, expected, time_left, tolerance, name, lots=1):
    """Scalar, array and policy doors against a table {inventory: [bid, ask]}."""
    q = np.array([lots * int(text) for text in expected], dtype=float)
    bids, asks = model.depths(q, time_left)
    for i, (text, pair) in enumerate(expected.items()):
        scalar = model.depths(lots * int(text), time_left)
        for depth, entry, wanted in zip(scalar, (bids[i], asks[i]), pair, strict=True):
            if wanted is None:
                assert depth is None, (name, text)
                assert math.isnan(entry)
            else:
                assert near(depth, wanted, tolerance), (name, text, depth, wanted)
                assert entry == depth


def test_no_case_is_forgotten(cases):
    assert {case["model"] for case in cases} == OURS | NUMERICS | SIMULATED


def glft(inputs, **changes):
    return mm.GueantLehalleFernandezTapia(
        **{
            "sigma": inputs["sigma"],
            "A": inputs["A"],
            "k": inputs["k"],
            "gamma": inputs["gamma"],
            "q_max": inputs["Q"],
            "horizon": inputs.get("T_minus_t"),
            "drift": inputs.get("mu", 0.0),
            "impact": inputs.get("xi_impact", 0.0),
            **changes,
        }
    )


def test_glft_exact(cases):
    for case, inputs, expected, tolerance in of(cases, "glft_exact"):
        model, tau = glft(inputs), inputs["T_minus_t"]
        if "quotes_bid_ask" in expected:
            check_depths(model, expected["quotes_bid_ask"], tau, tolerance, case["name"])
        for q, theta in expected.get("theta", {}).items():
            assert near(model.value(int(q), tau), theta, tolerance), case["name"]
        if "theta0" in expected:
            assert near(model.value(inputs["q0"], tau), expected["theta0"], tolerance), case["name"]


def test_glft_asymptotic(cases):
    for case, inputs, expected, tolerance in of(cases, "glft_asymptotic"):
        model = glft(inputs)
        check_depths(model, expected["quotes_bid_ask"], math.inf, tolerance, case["name"])
        assert near(-model.gain * inputs["k"], expected["lambda_min"], tolerance)
        with_horizon = glft(inputs, horizon=1000.0)
        assert with_horizon.depths(3) == model.depths(3)


def test_certainty_equivalents_of_the_exact_quotes_and_of_the_papers(cases):
    """The optimum is its own certainty equivalent; the Monte Carlo of the paper's quotes is ours.

    The Monte Carlo runs with a time step; its bias is linear in it, so two steps extrapolate to 0.
    """
    for _, inputs, expected, tolerance in of(cases, "glft_exact"):
        if "theta0" not in expected:
            continue
        model = glft(inputs)
        theta = expected["theta0"]
        assert near(model.certainty_equivalent(model), theta, {**tolerance, "atol": 1e-6})
        paper = mm.AvellanedaStoikov(sigma=inputs["sigma"], k=inputs["k"], gamma=inputs["gamma"], horizon=1.0)
        found = model.certainty_equivalent(paper)
        coarse, fine = expected["mc"]["as_N200"], expected["mc"]["as_N4000"]
        limit = fine["ce"] - (coarse["ce"] - fine["ce"]) * 0.00025 / (0.005 - 0.00025)
        error = math.hypot(fine["se_ce"] * 0.005 / 0.00475, coarse["se_ce"] * 0.00025 / 0.00475)
        assert abs(found - limit) < 5 * error
        assert found < theta
        closed = expected["mc"]["glft_cf_N4000"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mm.errors.ApproximationWarning)
            approximate = model.certainty_equivalent(model.closed_form())
        assert abs(approximate - closed["ce"]) < 5 * closed["se_ce"]


def test_closed_form_errors_by_alpha_over_eta(cases):
    for _, inputs, expected, tolerance in of(cases, "glft_asymptotic_dimensionless"):
        for j, ratio in enumerate(inputs["alpha_over_eta"]):
            k, A = 0.7, 1.9  # any: the law scales
            sigma = math.sqrt(2 * ratio * A * math.exp(-1) / k)
            model = mm.GueantLehalleFernandezTapia(
                sigma=sigma, A=A, k=k, gamma=1.0, q_max=200, objective="mean_variance"
            )
            assert model.alpha_over_eta == pytest.approx(ratio, rel=1e-14)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", mm.errors.ApproximationWarning)
                closed = model.closed_form()
            for q in (0, 3):
                assert near(k * model.depths(q)[0] - 1, expected[f"exact_q{q}"][j], tolerance)
                assert near(k * closed.depths(q)[0] - 1, expected[f"closed_form_q{q}"][j], tolerance)


def test_glft_closed_form(cases):
    for case, inputs, expected, tolerance in of(cases, "glft_closed_form"):
        given = {name: inputs[name] for name in ("sigma", "A", "k", "gamma")}
        closed = mm.GueantLehalleFernandezTapiaClosedForm
        if "quotes_bid_ask" in expected:
            check_depths(closed(**given), expected["quotes_bid_ask"], math.inf, tolerance, case["name"])
        else:
            drift, impact = closed(**given, drift=inputs["mu"]), closed(**given, impact=inputs["xi_impact"])
            check_depths(drift, expected["drift_only"], math.inf, tolerance, case["name"])
            check_depths(impact, expected["impact_only"], math.inf, tolerance, case["name"])


def test_gueant_2017_closed_form_in_lots_of_fifty_million(cases):
    for case, inputs, expected, tolerance in of(cases, "gueant_closed_form"):
        size, curvature = int(inputs["Delta"]), inputs["xi"] * inputs["Delta"]
        with pytest.warns(mm.errors.ApproximationWarning, match="alpha/eta"):
            model = mm.GueantLehalleFernandezTapiaClosedForm(
                sigma=inputs["sigma"],
                A=inputs["A"],
                k=inputs["k"],
                gamma=inputs["gamma"],
                order_size=size,
                objective="exponential" if inputs["xi"] else "mean_variance",
            )
        check_depths(model, expected["quotes_bid_ask"], math.inf, tolerance, case["name"], size)
        assert near(model.slope, expected["slope"], tolerance)
        assert near(fill_constant(curvature, inputs["k"]), expected["C"], tolerance)
        assert near(static_half_spread(curvature, inputs["k"]), expected["static_half_spread"], tolerance)
        assert near(2 * model.half_spread, expected["spread"], tolerance)


def test_gueant_2017_exact_in_lots_of_fifty_million(cases):
    for case, inputs, expected, tolerance in of(cases, "gueant_single_asset"):
        size = int(inputs["Delta"])
        model = mm.GueantLehalleFernandezTapia(
            sigma=inputs["sigma"],
            A=inputs["A"],
            k=inputs["k"],
            gamma=inputs["gamma"],
            q_max=inputs["Q_lots"] * size,
            order_size=size,
            horizon=inputs["T_minus_t"],
            objective="exponential" if inputs["xi"] else "mean_variance",
        )
        check_depths(model, expected["quotes_bid_ask"], inputs["T_minus_t"], tolerance, case["name"], size)


def test_cartea_jaimungal(cases):
    for case, inputs, expected, tolerance in of(cases, "cartea_jaimungal"):
        assert inputs["q_min"] == -inputs["q_max"]
        tau = inputs["T_minus_t"]
        model = mm.CarteaJaimungal(
            A=(inputs["lambda_minus"], inputs["lambda_plus"]),
            k=inputs["kappa"],
            running_penalty=inputs["phi"],
            terminal_penalty=inputs["alpha"],
            adverse_selection=(inputs["eps_minus"], inputs["eps_plus"]),
            drift=inputs["mu"],
            q_max=inputs["q_max"],
            horizon=tau,
        )
        check_depths(model, expected["depths_bid_ask"], tau, tolerance, case["name"])
        for q, h in expected["h"].items():
            assert near(model.value(int(q), tau), h, tolerance), case["name"]


def test_avellaneda_stoikov(cases):
    for case, inputs, expected, tolerance in of(cases, "avellaneda_stoikov"):
        s, q, tau = inputs["s"], inputs["q"], inputs["T_minus_t"]
        model = mm.AvellanedaStoikov(sigma=inputs["sigma"], k=inputs["k"], gamma=inputs["gamma"], horizon=1.0)
        for door in (model, model.policy()):
            bid, ask = door.depths(q, tau)
            assert near(bid, expected["delta_bid"], tolerance), case["name"]
            assert near(ask, expected["delta_ask"], tolerance), case["name"]
            assert near(bid + ask, expected["spread"], tolerance)
            assert near(s - bid, expected["bid"], tolerance)
            assert near(s + ask, expected["ask"], tolerance)
        bid, ask = model.reservation(q, tau)
        assert near(s + bid, expected["res_bid"], tolerance)
        assert near(s + ask, expected["res_ask"], tolerance)
        assert near(s + 0.5 * (bid + ask), expected["reservation"], tolerance)


def test_avellaneda_stoikov_with_an_infinite_horizon(cases):
    for _, inputs, expected, tolerance in of(cases, "avellaneda_stoikov_stationary"):
        given = {"sigma": inputs["sigma"], "k": 1.5, "gamma": inputs["gamma"], "omega": inputs["omega"]}
        # The file's omega is the paper's bound for q_max = 10, with which the bid at 10 does not exist.
        with pytest.raises(mm.errors.InvalidArgument, match="strictly more than"):
            mm.AvellanedaStoikov(**given, q_max=10)
        model = mm.AvellanedaStoikov(**given, q_max=9)
        bid, ask = model.reservation(inputs["q"])
        assert near(inputs["s"] + bid, expected["res_bid"], tolerance)
        assert near(inputs["s"] + ask, expected["res_ask"], tolerance)
        half = math.log1p(inputs["gamma"] / 1.5) / inputs["gamma"]
        for door in (model, model.policy()):
            depths = door.depths(inputs["q"])
            assert depths == pytest.approx((half - bid, half + ask), rel=1e-14)


# -- forms that are no model of ours: the numerics they stand on ------------------------------------


def test_the_exponential_hamiltonian(cases):
    """C, the best depth and the supremum; the supremum also by maximising numerically."""
    for _, inputs, expected, tolerance in of(cases, "intensity_exponential"):
        A, k, c, p = inputs["A"], inputs["k"], inputs["xi_Delta"], inputs["p"]
        assert near(fill_constant(c, k), expected["C"], tolerance)
        assert near(p + static_half_spread(c, k), expected["delta_star"], tolerance)
        assert near(A * fill_constant(c, k) / k * math.exp(-k * p), expected["H_over_Delta"], tolerance)

        def loss(d, A=A, k=k, c=c, p=p):
            return -A * math.exp(-k * d) * (-math.expm1(-c * (d - p)) / c if c else d - p)

        best = minimize_scalar(loss, bracket=(p, p + 1 / k), tol=1e-12)
        assert -best.fun == pytest.approx(expected["H_over_Delta"], rel=1e-12)


def lattice_ode(n, hamiltonian, reward, start, tau):
    """Z at tau of dz/dtau = reward(t) + H(z_i - z_{i+1}) + H(z_i - z_{i-1}), DOP853."""

    def slope(t, z):
        out = reward(t)
        out[:-1] += hamiltonian[0](z[:-1] - z[1:])
        out[1:] += hamiltonian[1](z[1:] - z[:-1])
        return out

    return solve_ivp(slope, (0, tau), start, "DOP853", rtol=3e-14, atol=1e-15).y[:, -1]


def test_linear_intensities_of_ho_and_stoll(cases):
    for _, inputs, expected, tolerance in of(cases, "linear_intensity_xi0"):
        a, b, Q, tau = inputs["alpha"], inputs["beta"], inputs["Q"], inputs["T_minus_t"]
        q = np.arange(-Q, Q + 1)

        def supremum(p, a=a, b=b):
            return np.where(p < a / b, (a - b * p) ** 2 / (4 * b), 0.0)

        z = lattice_ode(
            len(q),
            (supremum, supremum),
            lambda _, q=q, i=inputs: -0.5 * i["gamma"] * i["sigma"] ** 2 * q**2,
            np.zeros(len(q)),
            tau,
        )
        for text, (bid, ask) in expected["quotes_bid_ask"].items():
            i = int(text) + Q
            if bid is not None:
                assert near((z[i] - z[i + 1]) / 2 + a / (2 * b), bid, tolerance)
            if ask is not None:
                assert near((z[i] - z[i - 1]) / 2 + a / (2 * b), ask, tolerance)


def test_a_decaying_signal_in_steps_of_our_lattice(cases):
    """Cartea-Jaimungal with drift alpha_0 e^(-zeta t): our kernel with the drift constant over short steps.

    The mean drift of each step leaves an error of order h^2 with an expansion in h^2; two step sizes
    and Richardson's extrapolation reach the file's tolerance.
    """
    for _, i, expected, tolerance in of(cases, "cartea_jaimungal_alpha"):
        Q, k, tau = i["q_max"], i["kappa"], i["T_minus_t"]
        q = np.arange(-Q, Q + 1.0)
        factor = [i[name] / (math.e * k) for name in ("lambda_minus", "lambda_plus")]

        def solve(steps, i=i, q=q, k=k, tau=tau, factor=factor):
            x = -i["alpha_terminal"] * (2 * q[:-1] + 1)
            ends = np.linspace(0.0, tau, steps + 1)
            grow = i["alpha0"] / i["zeta"] * np.exp(-i["zeta"] * (tau - ends))  # integral of the drift
            for j in range(steps):
                drift = (grow[j + 1] - grow[j]) / (ends[j + 1] - ends[j])
                lattice = Lattice(drift * q - i["phi"] * q**2, up=factor[0], down=factor[1], k_bid=k, k_ask=k)
                x = lattice.evolve(x, [ends[j + 1] - ends[j]])[0][0]
            return x

        coarse, middle, fine = solve(100), solve(200), solve(400)
        first, second = middle + (middle - coarse) / 3, fine + (fine - middle) / 3
        x = second + (second - first) / 15
        for text, (bid, ask) in expected["depths_bid_ask"].items():
            j = int(text) + Q
            if bid is not None:
                assert near(1 / k - x[j], bid, tolerance)
            if ask is not None:
                assert near(1 / k + x[j - 1], ask, tolerance)


def test_the_logistic_hamiltonian(cases):
    """sup_d lam (d - p) / (1 + e^(a + b d)) is lam w / b, where w + ln w = -(1 + a + b p); and its slopes.

    The equation for w is solved as it stands, so that a large -b p does not overflow.
    """
    for _, i, expected, tolerance in of(cases, "intensity_logistic_xi0"):
        lam, a, b, p = i["lambda_"], i["alpha"], i["beta"], i["p"]
        y = -(1 + a + b * p)
        w = y if y > 1 else math.exp(min(y, 0.0))
        for _ in range(60):
            w *= (1 + y - math.log(w)) / (1 + w)
        assert near(p + (1 + w) / b, expected["delta_star"], tolerance)
        assert near(lam * w / b, expected["H"], tolerance)
        assert near(-lam * w / (1 + w), expected["dH"], tolerance)
        assert near(lam * b * w / (1 + w) ** 3, expected["d2H"], tolerance)


def test_geometric_brownian_motion_mean_variance(cases):
    """V = x + q s - g q^2 s^2 expm1(sigma^2 tau) / 2: minus, not plus; the indifference prices follow."""
    for _, i, expected, tolerance in of(cases, "avellaneda_stoikov_gbm"):
        s, q = i["s"], i["q"]

        def value(lots, i=i, s=s):
            variance = s**2 * math.expm1(i["sigma"] ** 2 * i["T_minus_t"])
            return lots * s - 0.5 * i["gamma"] * lots**2 * variance

        assert near(value(q), expected["value_minus_cash"], tolerance)
        assert near(value(q + 1) - value(q), expected["res_bid"], tolerance)
        assert near(value(q) - value(q - 1), expected["res_ask"], tolerance)


def test_linear_utility_quotes_around_the_forecast(cases):
    """Fodra and Labadie: without aversion the depths are those of gamma = 0 around E[S_T]."""
    for _, i, expected, tolerance in of(cases, "fodra_labadie"):
        forecast = i["ou_mean"] + (i["s"] - i["ou_mean"]) * math.exp(-i["ou_speed"] * i["T_minus_t"])
        assert near(forecast, expected["E_ST"], tolerance)
        model = mm.AvellanedaStoikov(sigma=1.0, k=i["k"], gamma=0.0, horizon=1.0)
        for q in (-7, 0, 3):
            bid, ask = model.depths(q, i["T_minus_t"])
            assert near(forecast - bid, expected["bid"], tolerance)
            assert near(forecast + ask, expected["ask"], tolerance)
            assert near(i["s"] - (forecast - bid), expected["delta_bid"], tolerance)
            assert near(forecast + ask - i["s"], expected["delta_ask"], tolerance)


def test_the_weighted_mid(cases):
    for _, i, expected, tolerance in of(cases, "micro_price_basic"):
        imbalance = i["bid_size"] / (i["bid_size"] + i["ask_size"])
        assert near(0.5 * (i["bid"] + i["ask"]), expected["mid"], tolerance)
        assert near(imbalance, expected["imbalance"], tolerance)
        assert near(imbalance * i["ask"] + (1 - imbalance) * i["bid"], expected["weighted_mid"], tolerance)
