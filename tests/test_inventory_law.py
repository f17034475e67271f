"""The stationary law of inventory against dense linear algebra, matrix exponentials, and simulation."""

import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

import mmcore as mm
from mmcore.errors import ApproximationWarning, InvalidArgument, MissingExtra, Unsupported

GLFT = mm.GueantLehalleFernandezTapia

MODELS = {
    "plain": GLFT(sigma=2.0, A=0.5, k=0.3, gamma=1e-4, q_max=20),
    "all of it": GLFT(
        sigma=2.0, A=(0.5, 0.7), k=(0.3, 0.4), gamma=1e-4, q_max=20, fee=(0.1, -0.2), drift=0.01, impact=0.3
    ),
    "orders of 5": GLFT(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=30, order_size=5, impact=0.1),
    "penalties": mm.CarteaJaimungal(
        A=(1.0, 1.2), k=(1.0, 0.8), running_penalty=1e-3, adverse_selection=(0.1, 0.2), q_max=10, fee=0.05,
        drift=0.01, sigma=1.0,
    ),
    "one order": GLFT(sigma=2.0, A=0.5, k=0.3, gamma=1e-3, q_max=1),
}  # fmt: skip
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def generator(model, bid, ask):
    """Dense generator from depths: the definition, one jump at a time."""
    n = len(bid)
    rates = np.zeros((n, n))
    for i in range(n):
        if i + 1 < n:
            rates[i, i + 1] = model.A[0] * math.exp(-model.k[0] * bid[i])
        if i > 0:
            rates[i, i - 1] = model.A[1] * math.exp(-model.k[1] * ask[i])
        rates[i, i] = -rates[i].sum()
    return rates


def chain(model):
    q = np.arange(-model.q_max, model.q_max + 1, model.order_size, dtype=float)
    bid, ask = model.depths(q)
    return q, generator(model, bid, ask)


@every_model
def test_the_law_is_the_null_vector_of_the_chain(model):
    law = model.inventory_law()
    q, rates = chain(model)
    system = np.vstack([rates.T, np.ones(len(q))])
    null = np.linalg.lstsq(system, np.append(np.zeros(len(q)), 1.0), rcond=None)[0]
    assert np.array_equal(law.inventories, q)
    assert law.pmf == pytest.approx(null, rel=1e-9, abs=1e-14)
    assert law.pmf.sum() == pytest.approx(1.0, abs=1e-14)
    assert law.mean == pytest.approx(null @ q, abs=1e-11)
    assert law.std == pytest.approx(math.sqrt(null @ q**2 - (null @ q) ** 2), rel=1e-11)


@pytest.mark.parametrize(
    "extra",
    [{}, {"drift": 0.02}, {"impact": 0.4}, {"order_size": 4}, {"drift": -0.01, "fee": 0.3, "q_max": 40}],
    ids=str,
)
@pytest.mark.parametrize("arrivals", [(0.5, 0.5), (0.5, 0.8)])
def test_it_is_v_squared(extra, arrivals):
    """The papers' v: eigenvector of the smallest eigenvalue of the matrix, by a dense solver."""
    model = GLFT(**{"sigma": 2.0, "A": arrivals, "k": 0.3, "gamma": 1e-3, "q_max": 12, **extra})
    law = model.inventory_law()
    q, k, size = law.inventories, 0.3, model.order_size
    xi = model.gamma * size
    eta = [
        a * (1 + xi / k) ** (-(1 + k / xi)) * math.exp(-k * (model.fee[0] + model.impact / 2))
        for a in arrivals
    ]
    diagonal = (k * model.gamma * 4.0 / 2 * q**2 - k * model.drift * q) / size
    matrix = (
        np.diag(diagonal) - np.diag(np.full(len(q) - 1, eta[0]), 1) - np.diag(np.full(len(q) - 1, eta[1]), -1)
    )
    # made symmetric, so that its eigenvector is found to the last digits
    tilt = np.sqrt(eta[1] / eta[0]) ** np.arange(len(q))
    w = np.linalg.eigh(matrix * tilt[None, :] / tilt[:, None])[1][:, 0]
    v = w * tilt
    expected = v**2 * (arrivals[0] / arrivals[1]) ** (q / size)
    expected /= expected.sum()
    assert law.pmf == pytest.approx(expected, rel=1e-9, abs=1e-15)


@every_model
def test_speed_against_dense_solvers(model):
    law = model.inventory_law()
    q, rates = chain(model)
    gap = np.sort(-np.linalg.eigvals(rates).real)[1]
    assert law.relaxation_time == pytest.approx(1 / gap, rel=1e-9)
    centred = q - law.mean
    for t in (0.0, 0.1 / gap, 1 / gap, 5 / gap):
        dense = (law.pmf * centred) @ expm(rates * t) @ centred / law.std**2
        assert law.autocorrelation(t) == pytest.approx(dense, abs=1e-10)
    assert law.autocorrelation(law.half_life) == pytest.approx(0.5, abs=1e-12)
    assert law.autocorrelation(np.array([0.0, 1.0])).shape == (2,)


def test_two_modes_that_are_nearly_as_slow():
    """Hardly ever more than one lot, and either side as quick: rates 91.67 and 91.59 per second."""
    model = GLFT(sigma=2.006, A=(0.2214, 0.2004), k=(0.2729, 0.2668), gamma=6.6, q_max=4)
    _, rates = chain(model)
    gap, second = np.sort(-np.linalg.eigvals(rates).real)[1:3]
    assert second / gap < 1.002
    assert model.inventory_law().relaxation_time == pytest.approx(1 / gap, rel=1e-10)


def pay(model, q, bid, ask):
    """P&L of one fill on each side, straight from the definition of the market."""
    size, impact, fee = model.order_size, getattr(model, "impact", 0.0), model.fee
    down, up = getattr(model, "adverse_selection", (0.0, 0.0))
    bought = size * (np.nan_to_num(bid) - fee[0]) - (q + size) * (impact + down)
    sold = size * (np.nan_to_num(ask) - fee[1]) + (q - size) * (impact + up)
    return bought, sold


@every_model
def test_pnl_against_the_moment_equations(model):
    """E R and E R^2 from any start solve one linear equation; nothing is assumed of reversibility."""
    law = model.inventory_law()
    q, rates = chain(model)
    n = len(q)
    bought, sold = pay(model, q, *model.depths(q))
    up, down = np.append(np.diag(rates, 1), 0.0), np.append(0.0, np.diag(rates, -1))
    lower, upper = getattr(model, "adverse_selection", (0.0, 0.0))
    missed = (model.A[0] - up) * (-q * lower), (model.A[1] - down) * (q * upper)
    drift = model.drift * q + missed[0] + missed[1]
    # where a depth is negative the model fills more often than orders come: that has no jumps of its own
    squares = (
        np.maximum(model.A[0] - up, 0) * (q * lower) ** 2
        + np.maximum(model.A[1] - down, 0) * (q * upper) ** 2
    )
    assert law.gain == pytest.approx(law.pmf @ (up * bought + down * sold + drift), rel=1e-11)
    drift = drift - law.gain  # so that E R = 0, and no digits are lost to its square
    jump = np.diag((up * bought)[:-1], 1) + np.diag((down * sold)[1:], -1) + np.diag(drift)
    income = up * bought + down * sold + drift
    system = np.zeros((2 * n + 1, 2 * n + 1))
    system[:n, :n] = system[n : 2 * n, n : 2 * n] = rates
    system[:n, n : 2 * n] = 2 * jump
    system[:n, -1] = up * bought**2 + down * sold**2 + squares
    system[n : 2 * n, -1] = income
    for t in (0.1, 10.0, 300.0):
        solution = expm(system * t)[:, -1]
        mean, second = law.pmf @ solution[n : 2 * n], law.pmf @ solution[:n]
        assert abs(mean) < 1e-9 * t * abs(law.gain)
        variance = second - mean**2 + model.sigma**2 * t * (law.pmf @ q**2)
        assert law.pnl_std(t) ** 2 == pytest.approx(variance, rel=1e-9)


def test_fast_modes_of_a_wide_lattice_enter_by_their_long_run_part():
    """Many more nodes than modes, all of them in use: uniform law, as nobody minds inventory."""
    model = GLFT(sigma=1.0, A=0.5, k=0.3, gamma=0.0, q_max=100)
    law = model.inventory_law()
    q, rates = chain(model)
    centred = q - law.mean
    for t in (1.0, 0.01 * law.relaxation_time, law.relaxation_time):
        dense = (law.pmf * centred) @ expm(rates * t) @ centred / law.std**2
        assert law.autocorrelation(t) == pytest.approx(dense, abs=1e-6)


def test_expected_pnl_less_the_penalty_is_the_gain_of_the_optimum():
    """The Hamilton-Jacobi-Bellman equation's own number, which comes from another solver."""
    penalties = MODELS["penalties"]
    law = penalties.inventory_law()
    assert law.gain - penalties.running_penalty * law.mean_square == pytest.approx(penalties.gain, rel=1e-12)
    for changes in ({}, {"order_size": 2}, {"q_max": 300}):
        model = MODELS["all of it"].replace(objective="mean_variance", **changes)
        law = model.inventory_law()
        penalty = model.gamma / 2 * model.sigma**2 * law.mean_square
        assert law.gain - penalty == pytest.approx(model.gain, rel=1e-12)


@every_model
def test_as_much_is_bought_as_sold(model):
    bid, ask = model.inventory_law().fill_rate
    assert bid == pytest.approx(ask, rel=1e-12)


def test_a_rule_given_alone():
    """An affine rule without bounds: ln pi = -k slope q^2, by hand."""
    law = mm.inventory_law(mm.Affine(base=6.0, slope=0.5), A=0.5, k=0.3, sigma=2.0)
    q = np.arange(-60, 61)
    expected = np.exp(-0.15 * q**2)
    expected /= expected.sum()
    inside = np.abs(law.inventories) <= 60
    assert law.pmf[inside] == pytest.approx(expected[np.isin(q, law.inventories)], rel=1e-12)
    assert law.q_max == math.inf
    limited = mm.inventory_law(mm.Affine(base=6.0, slope=0.5), A=0.5, k=0.3, q_max=3)
    assert limited.inventories.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert limited.pmf == pytest.approx(expected[57:64] / expected[57:64].sum(), rel=1e-13)
    assert limited.one_sided == pytest.approx(2 * limited.pmf[0], rel=1e-15)
    with pytest.raises(InvalidArgument, match="sigma"):
        limited.pnl_std(60.0)
    assert limited.to_dict()["pnl_std_hour"] is None


def test_the_compiled_policy_has_the_law_of_its_model():
    model = MODELS["all of it"]
    own, compiled = model.inventory_law(), model.inventory_law(model.policy())
    assert compiled.pmf == pytest.approx(own.pmf, rel=1e-12)
    assert compiled.gain == pytest.approx(own.gain, rel=1e-12)


def test_the_closed_form_holds_what_its_slope_says():
    model = mm.GueantLehalleFernandezTapiaClosedForm(sigma=0.4, A=0.9, k=0.3, gamma=0.001)
    law = model.inventory_law()
    assert law.std == pytest.approx(1 / math.sqrt(2 * 0.3 * model.slope), rel=1e-9)


def test_a_policy_with_a_horizon_is_read_with_its_clock_stopped():
    paper = mm.AvellanedaStoikov(sigma=2.0, A=0.5, k=0.3, gamma=5e-3, horizon=10.0)
    law = paper.inventory_law(time_left=10.0)  # skew gamma sigma^2 tau = 0.2 ticks a lot
    assert law.std == pytest.approx(1 / math.sqrt(2 * 0.3 * 0.2), rel=1e-6)
    with pytest.raises(InvalidArgument, match="time_left"):
        paper.inventory_law()
    with pytest.raises(InvalidArgument, match="time"):
        paper.inventory_law(paper.policy())
    with pytest.raises(InvalidArgument, match="A "):
        mm.AvellanedaStoikov(sigma=2.0, k=0.3, gamma=1e-3, horizon=100.0).inventory_law(time_left=1.0)


def test_five_thousand_lots_neither_under_nor_overflow():
    """With -ln pi in the thousands at the ends; nothing there changes the middle."""
    wide = GLFT(sigma=2.0, A=0.5, k=0.3, gamma=1e-5, q_max=5000).inventory_law()
    narrow = GLFT(sigma=2.0, A=0.5, k=0.3, gamma=1e-5, q_max=150).inventory_law()
    middle = slice(5000 - 60, 5000 + 61)
    assert wide.pmf[0] == 0.0
    assert wide.pmf[middle] == pytest.approx(narrow.pmf[150 - 60 : 150 + 61], rel=1e-11)
    assert wide.relaxation_time == pytest.approx(narrow.relaxation_time, rel=1e-11)
    assert wide.pnl_std(3600.0) == pytest.approx(narrow.pnl_std(3600.0), rel=1e-9)
    assert wide.gain == pytest.approx(narrow.gain, rel=1e-11)
    assert np.isfinite(wide.rates).all()


@settings(max_examples=60)
@given(
    bid=st.lists(st.floats(-5.0, 25.0), min_size=7, max_size=7),
    ask=st.lists(st.floats(-5.0, 25.0), min_size=7, max_size=7),
    probability=st.floats(0.01, 0.99),
)
def test_any_table_of_depths(bid, ask, probability):
    """Balance across every edge; intervals hold what they say and nothing smaller does."""
    law = mm.inventory_law(
        mm.Table([*bid[:-1], math.nan], [math.nan, *ask[1:]], q_max=3), A=0.5, k=0.3, sigma=1.0
    )
    up, down = law.rates[0, :-1] * law.pmf[:-1], law.rates[1, 1:] * law.pmf[1:]
    assert up == pytest.approx(down, rel=1e-10)
    low, high = law.interval(probability)
    q = law.inventories
    spare = (1 - probability) / 2
    assert law.pmf[q < low].sum() <= spare * (1 + 2e-9) < law.pmf[q <= low].sum() * (1 + 2e-9)
    assert law.pmf[q > high].sum() <= spare * (1 + 2e-9) < law.pmf[q >= high].sum() * (1 + 2e-9)
    bound = law.bound(probability)
    assert law.probability(bound) >= probability - 2e-9
    assert bound == 0 or law.beyond(bound - 1) > (1 - probability) * (1 - 2e-9)
    gap = np.sort(-np.linalg.eigvals(_dense(law)).real)[1]
    assert law.relaxation_time == pytest.approx(1 / gap, rel=1e-5)


def _dense(law):
    up, down = law.rates[0, :-1], law.rates[1, 1:]
    # symmetric: dense eigenvalues of the generator itself lose digits where rates differ by 10 orders
    matrix = np.diag(np.sqrt(up * down), 1)
    return matrix + matrix.T - np.diag(np.append(up, 0) + np.append(0, down))


def test_a_side_that_is_never_quoted_bounds_the_inventory():
    nan = math.nan
    table = mm.Table([5.0, 5.0, 5.0, nan, nan], [nan, 5.0, 5.0, nan, 5.0], q_max=2)
    # from above it falls to 1 and sells no more; from below it rises to 1 and buys no more
    law = mm.inventory_law(table, A=1.0, k=0.3)
    assert law.inventories.tolist() == [1.0]
    assert (law.std, law.relaxation_time, law.one_sided) == (0.0, 0.0, 1.0)
    assert math.isnan(law.half_life)
    assert math.isnan(law.autocorrelation(1.0))
    assert "1 to 1 lots" in repr(law)
    stuck = mm.Table([nan, 5.0, nan], [nan, 5.0, nan], q_max=1)
    with pytest.raises(InvalidArgument, match="where it starts"):
        mm.inventory_law(stuck, A=1.0, k=0.3)
    apart = mm.Table([5.0, nan, 5.0, 5.0, nan], [nan, 5.0, nan, 5.0, 5.0], q_max=2)  # -1 and 0 don't meet
    with pytest.raises(InvalidArgument, match="where it starts"):
        mm.inventory_law(apart, A=1.0, k=0.3)


def test_what_is_refused():
    flat = mm.Affine(base=6.0)
    with pytest.raises(InvalidArgument, match="nothing bounds the inventory"):
        mm.inventory_law(flat, A=0.5, k=0.3)
    with pytest.raises(InvalidArgument, match="q_max"):
        mm.inventory_law(flat, A=0.5, k=0.3, q_max=0.5)
    with pytest.raises(InvalidArgument, match="k must be"):
        mm.inventory_law(flat, A=0.5, k=-0.3, q_max=5)
    with pytest.raises(InvalidArgument, match="session"):
        mm.inventory_law(flat, A=0.5, k=0.3, q_max=5, session=-1.0)
    with pytest.raises(InvalidArgument, match="policy must be"):
        mm.inventory_law(3.0, A=0.5, k=0.3)
    with pytest.raises(Unsupported, match="takes liquidity"):
        mm.inventory_law(
            mm.Table([5.0, 5.0, math.nan], [math.nan, 5.0, 5.0], q_max=1, take=[1, 0, 0]), A=0.5, k=0.3
        )
    law = MODELS["plain"].inventory_law()
    for share in (0.0, 1.0, math.nan, "a"):
        with pytest.raises(InvalidArgument, match="probability"):
            law.interval(share)
    with pytest.raises(InvalidArgument, match="seconds"):
        law.autocorrelation(-1.0)
    with pytest.raises(InvalidArgument, match="seconds"):
        law.pnl_std(0.0)


def test_a_slow_law_is_warned_of():
    model = MODELS["plain"]
    quiet = model.inventory_law(session=5 * model.inventory_law().relaxation_time)
    assert quiet.notes == []
    with pytest.warns(ApproximationWarning, match="more than a quarter of the session") as caught:
        slow = model.inventory_law(session=3 * quiet.relaxation_time)
    assert caught[0].filename == __file__
    with pytest.warns(ApproximationWarning):
        mm.inventory_law(model.policy(), A=0.5, k=0.3, session=1.0)
    assert "starts flat" in repr(slow)
    assert "starts flat" in slow._repr_html_()
    assert slow.to_dict()["notes"] == slow.notes


def test_what_people_see(monkeypatch):
    plt = pytest.importorskip("matplotlib.pyplot")
    law = MODELS["plain"].inventory_law()
    assert "relaxation time" in repr(law)
    assert "<table>" in law._repr_html_()
    axes = law.plot()
    assert axes.get_xlabel() == "inventory, lots"
    assert law.plot(axes) is axes
    plt.close(axes.figure)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtra):
        law.plot()
    assert pickle.loads(pickle.dumps(law)).std == law.std


# ---- simulation


def test_the_long_run_is_what_simulation_shows():
    """3,000 paths of two relaxation times, started from the law: occupancy, memory, fills, P&L."""
    model = MODELS["plain"]
    law = model.inventory_law()
    paths, seconds = 3000, 2 * law.relaxation_time
    rng = np.random.default_rng(5)
    start = rng.choice(law.inventories, paths, p=law.pmf)
    outcome = mm.simulate(
        model,
        sigma=2.0,
        A=0.5,
        k=0.3,
        horizon=seconds,
        paths=paths,
        seed=8,
        initial_inventory=start,
        within=4,
    )

    def close(sample, expected):
        return abs(sample.mean() - expected) < 4 * sample.std() / math.sqrt(paths)

    assert close(outcome.time_within / seconds, law.probability(4))
    assert close(outcome.inventory_square / seconds, law.mean_square)
    assert close(outcome.fills / seconds, sum(law.fill_rate))
    assert close(outcome.profit / seconds, law.gain)
    spread = outcome.std_profit
    assert abs(spread.value - law.pnl_std(seconds)) < 4 * spread.standard_error
    # the regression of the end on the start is the autocorrelation
    slope = start @ outcome.final_inventory / (start @ start)
    assert abs(slope - law.autocorrelation(seconds)) < 4 / math.sqrt(paths)


def test_the_relaxation_time_is_what_simulation_shows():
    """Fit of the autocorrelation at half a relaxation time; the error bar is the regression's."""
    model = MODELS["plain"]
    law = model.inventory_law()
    paths, seconds = 20_000, 0.5 * law.relaxation_time
    start = np.random.default_rng(6).choice(law.inventories, paths, p=law.pmf)
    outcome = mm.simulate(
        model, sigma=2.0, A=0.5, k=0.3, horizon=seconds, paths=paths, seed=9, initial_inventory=start
    )
    end = outcome.final_inventory
    slope = start @ end / (start @ start)
    error = (end - slope * start).std() / math.sqrt(start @ start)
    fitted, uncertain = -seconds / math.log(slope), seconds / math.log(slope) ** 2 * error / slope
    assert uncertain < 0.02 * fitted
    assert abs(fitted - law.relaxation_time) < 3 * uncertain
