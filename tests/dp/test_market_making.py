"""Market-making problems: against exact arithmetic, the general recursion, and the continuous models."""

import itertools
import json
import math
import pickle
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.dp import MarketMakingProblem, Offers, Regime
from mmcore.errors import CapacityError, InvalidArgument

BOX = {"q_max": 4, "dt": 0.1}
QUOTED = Regime(Offers([1.0], [0.5]), running_penalty=0.1)


def regime(seed, sizes=False, offers=3):
    rng = np.random.default_rng(seed)
    sides = [
        Offers(
            rng.normal(1.0, 0.5, offers),
            rng.random(offers) * 2.0,
            rng.integers(1, 4, offers).astype(float) if sizes else None,
        )
        for _ in "ba"
    ]
    return Regime(*sides, running_penalty=rng.random() * 0.2, drift=rng.normal(), spread=1.0 + rng.random())


def exact_step(problem, v):
    """T v of the stored model in rational arithmetic; v is a list of lists of Fractions."""
    parts = problem._parts
    n, count = problem.nodes, len(problem.regimes)
    independent, discount = problem.fills == "independent", Fraction(parts["discount"])
    change = [[Fraction(float(x)) for x in row] for row in parts["change"]]
    out = []
    for r, chain in enumerate(parts["regimes"].chains):
        mixed = [sum(change[r][k] * v[k][s] for k in range(count)) for s in range(n)]
        after = mixed if independent else v[r]
        bids, asks = (
            [(Fraction(float(p)), Fraction(float(e)), int(d)) for p, e, d in zip(*side, strict=True)]
            for side in (chain.bid, chain.ask)
        )
        row = []
        for s in range(n):
            best = None
            fits = [o for o in bids if s + o[2] < n] or [(0, 0, 0)]
            fitting = [o for o in asks if s - o[2] >= 0] or [(0, 0, 0)]
            for (p, e, d), (h, g, c) in itertools.product(fits, fitting):
                x = p * e + h * g + discount * (p * (after[s + d] - after[s]) + h * (after[s - c] - after[s]))
                if independent and p and h:
                    x += discount * p * h * (after[s + d - c] - after[s + d] - after[s - c] + after[s])
                best = x if best is None else max(best, x)
            row.append(Fraction(float(chain.rate[s])) + discount * mixed[s] + best)
        if parts["cross"] is not None:
            cost = Fraction(float(parts["cross"][r]))
            row = [max(row[k] - cost * abs(k - s) for k in range(n)) for s in range(n)]
        out.append(row)
    return out


@given(
    st.integers(0, 2**32),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["exclusive", "independent"]),
    st.booleans(),
    st.integers(1, 4),
)
@settings(max_examples=25)
def test_the_true_value_of_a_horizon_lies_between_the_bounds(seed, count, sizes, fills, take, steps):
    problem = MarketMakingProblem(
        [regime(seed + i, sizes) for i in range(count)],
        horizon=0.1 * steps,
        switching=np.full((count, count), 0.5),
        fills=fills,
        take=take,
        terminal_penalty=0.1,
        liquidate=True,
        maker_fee=-0.1,
        taker_fee=0.3,
        **BOX,
    )
    solution = problem.solve(tol=1e-9).solution
    assert solution.stop_reason == "tolerance"
    v = [[Fraction(float(x)) for x in row] for row in solution.value[steps]]
    for t in range(steps - 1, -1, -1):
        v = exact_step(problem, v)
        for r, s in np.ndindex(count, problem.nodes):
            assert solution.lower[t, r, s] <= v[r][s] <= solution.upper[t, r, s]
    assert solution.gap < 1e-11


@given(
    st.integers(0, 2**32),
    st.integers(1, 2),
    st.booleans(),
    st.sampled_from(["exclusive", "independent"]),
    st.booleans(),
)
@settings(max_examples=15)
def test_the_true_discounted_value_lies_between_the_bounds(seed, count, sizes, fills, take):
    problem = MarketMakingProblem(
        [regime(seed + i, sizes, 2) for i in range(count)],
        discount_rate=5.0,
        switching=np.full((count, count), 0.5),
        fills=fills,
        take=take,
        taker_fee=0.3,
        q_max=2,
        dt=0.1,
    )
    solution = problem.solve().solution
    # lower <= T lower and T upper <= upper prove the bounds, T being monotone and a contraction
    for bound, sign in ((solution.lower, 1), (solution.upper, -1)):
        exact = [[Fraction(float(x)) for x in row] for row in bound]
        for row, after in zip(exact, exact_step(problem, exact), strict=True):
            assert all(sign * (b - a) >= -Fraction(1, 10**14) for a, b in zip(row, after, strict=True))
    assert solution.gap < 1e-10
    assert solution.stop_reason == "tolerance"


@pytest.mark.parametrize("take", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_the_gain_is_what_long_horizons_grow_by(count, take):
    kind = {"switching": np.full((count, count), 0.5), "take": take, "taker_fee": 0.2, **BOX}
    regimes = [regime(i) for i in range(count)]
    model = MarketMakingProblem(regimes, **kind).solve()
    long = MarketMakingProblem(regimes, horizon=4000.0, **kind).solve(tol=1e-6).solution
    growth = (long.value[0] - long.value[1]) / 0.1
    assert model.gain == pytest.approx(growth.max(), abs=1e-9)
    assert model.solution.lower <= model.gain <= model.solution.upper
    assert model.solution.gap < 1e-8
    assert model.value(0) == 0.0


def test_tol_below_rounding_is_said():
    assert (
        MarketMakingProblem(regime(1), discount_rate=1.0, **BOX).solve(tol=1e-300).solution.stop_reason
        == "rounding"
    )
    assert (
        MarketMakingProblem(regime(1), horizon=5.0, **BOX).solve(tol=1e-300).solution.stop_reason
        == "rounding"
    )
    assert MarketMakingProblem(regime(1), **BOX).solve(tol=1e-300).solution.stop_reason == "rounding"


def test_actions_that_are_proven_not_best():
    solution = MarketMakingProblem(regime(1), discount_rate=1.0, **BOX).solve().solution
    assert solution.policy_unique
    assert solution.alive_actions == 9
    twins = Regime(Offers([1.0, 1.0], [1.0, 1.0]))
    solution = MarketMakingProblem(twins, discount_rate=1.0, **BOX).solve().solution
    assert not solution.policy_unique
    assert solution.alive_actions > 9


@pytest.mark.realdata
def test_dp_json(shared):
    (case,) = json.loads((shared / "reference" / "dp.json").read_text())["cases"]
    given, expected, tick = case["inputs"], case["expected"], case["inputs"]["tick"]
    rest = {"running_penalty": given["gamma_run"] / tick}
    problem = MarketMakingProblem(
        [
            Regime(Offers.touch(1, join=given["fill_rate_best"][0]), spread=1, **rest),
            Regime(
                Offers.touch(2, join=given["fill_rate_best"][1], improve=given["fill_rate_improved"][1]),
                spread=2,
                **rest,
            ),
        ],
        q_max=given["Qmax"],
        dt=given["T"] / given["N"],
        horizon=given["T"],
        switching=[[0, given["spread_jump_rates"][0]], [given["spread_jump_rates"][1], 0]],
        taker_fee=given["fee"] / tick,
        liquidate=True,
        take=True,
    )
    model = problem.solve()
    for state in (0, 1):
        for q, value in expected[f"v_spread{state + 1}"].items():
            assert model.value(int(q), given["T"], state) * tick == pytest.approx(
                value, rel=case["tolerance"]["rtol"], abs=case["tolerance"]["atol"]
            )
        takes = [np.sign(model.take(q, given["T"], state)) for q in range(-10, 11)]
        assert takes == expected[f"mo_policy_spread{state + 1}"]
    names = {0: 1, 1: 2, 2: 0, -1: 0}  # join, improve, none
    for side, key in enumerate(("bid", "ask")):
        codes = [names[int(code)] for code in model.solution.policy[0, 1, :, side]]
        assert codes == expected[f"{key}_policy_spread2"]


@pytest.mark.parametrize(
    "model",
    [
        mm.CarteaJaimungal(A=1.0, k=0.3, running_penalty=0.02, terminal_penalty=0.1, q_max=3, horizon=5.0),
        mm.CarteaJaimungal(
            A=(1.0, 0.7),
            k=0.3,
            running_penalty=0.01,
            terminal_penalty=0.05,
            q_max=3,
            horizon=5.0,
            adverse_selection=(0.5, 0.2),
            drift=0.03,
        ),
        mm.CarteaJaimungal(
            A=(1.0, 0.7), k=(0.3, 0.5), running_penalty=0.01, terminal_penalty=0.05, q_max=3, horizon=5.0
        ),
    ],
)
def test_short_steps_tend_to_the_exact_model(model):
    """The error is of first order in dt; extrapolated to dt = 0 it is that of the grid of depths."""
    fine = np.arange(-2.0, 12.0, 0.02)
    (a, b), (k, h) = model.A, model.k
    found = []
    for steps in (400, 800):
        offers = Offers.exponential(a, k, fine), Offers.exponential(b, h, fine)
        given = Regime(
            *offers, running_penalty=model.running_penalty, adverse_selection=tuple(model.adverse_selection)
        )
        problem = MarketMakingProblem(
            Regime(
                *offers,
                running_penalty=given.running_penalty,
                adverse_selection=given.adverse_selection,
                drift=_drift(model),
            ),
            q_max=3,
            dt=5.0 / steps,
            horizon=5.0,
            terminal_penalty=model.terminal_penalty,
        )
        solved = problem.solve(tol=1e-6)
        found.append(np.array([solved.value(q, 5.0) for q in range(-3, 4)]))
    exact = np.array([model.value(q, 5.0) for q in range(-3, 4)])
    errors = [np.abs(each - exact).max() for each in found]
    assert errors[0] / errors[1] == pytest.approx(2.0, abs=0.05)
    assert np.abs(2 * found[1] - found[0] - exact).max() < 2e-4
    bid, ask = (np.array(side) for side in solved.depths(np.arange(-3, 4), 5.0))
    wanted = model.depths(np.arange(-3, 4), 5.0)
    assert np.nanmax(np.abs(bid - wanted[0])) < 0.05
    assert np.nanmax(np.abs(ask - wanted[1])) < 0.05


def risk_neutral(shared):
    """Yield the exact cases of the reference whose objective is linear in cash, in one notation."""
    cases = json.loads((shared / "reference" / "quoting.json").read_text())["cases"]
    for case in cases:
        given, lots = case["inputs"], 1
        if case["model"] == "cartea_jaimungal":
            rates, adverse = (
                (given["lambda_minus"], given["lambda_plus"]),
                (given["eps_minus"], given["eps_plus"]),
            )
            rest = {
                "running_penalty": given["phi"],
                "drift": given["mu"] + adverse[1] * rates[1] - adverse[0] * rates[0],
                "adverse_selection": adverse,
            }
            k, end, q_max = given["kappa"], given["alpha"], given["q_max"]
            quotes = case["expected"]["depths_bid_ask"]
        elif case["model"] == "gueant_single_asset" and given["xi"] == 0:
            lots = int(given["Delta"])
            rates, k, end, q_max = (given["A"],) * 2, given["k"], 0.0, given["Q_lots"] * lots
            rest = {"running_penalty": 0.5 * given["gamma"] * given["sigma"] ** 2}
            quotes = case["expected"]["quotes_bid_ask"]
        else:
            continue
        yield case, quotes, rates, k, rest, end, q_max, lots, float(given["T_minus_t"])


@pytest.mark.realdata
def test_exact_cases_of_the_reference_in_the_limit(shared):
    """Depths tend to those of continuous time with short steps and fine ticks; the value as well."""
    names = []
    for case, quotes, rates, k, rest, end, q_max, lots, horizon in risk_neutral(shared):
        fine = np.arange(-1.5 if lots == 1 else -3.5, 5.0, 0.01) / k
        offers = [Offers.exponential(A, k, fine, np.full(fine.size, float(lots))) for A in rates]
        solved = [
            MarketMakingProblem(
                Regime(*offers, **rest),
                q_max=q_max,
                order_size=lots,
                dt=horizon / steps,
                horizon=horizon,
                terminal_penalty=end,
            ).solve(tol=1e6)
            for steps in (800, 1600)
        ]
        for q, pair in quotes.items():
            for side, wanted in enumerate(pair):
                coarse, fine_steps = (model.depths(int(q) * lots, horizon)[side] for model in solved)
                assert (wanted is None) == (coarse is None)
                if wanted is not None:
                    assert k * abs(2 * fine_steps - coarse - wanted) < 0.035, (case["name"], q)
                    assert k * abs(fine_steps - wanted) < 0.06, (case["name"], q)
            if "h" in case["expected"]:
                first, second = (model.value(int(q), horizon) for model in solved)
                limit = 2 * second - first
                assert k * abs(limit - case["expected"]["h"][q]) < 1e-3, (case["name"], q)
        names.append(case["name"])
    assert len(names) == 6


def _drift(model):
    """Of the price, with what the jumps of the price at market orders add to it."""
    return model.drift + model.adverse_selection[1] * model.A[1] - model.adverse_selection[0] * model.A[0]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["ho_stoll_linear_tau0.1", "ho_stoll_linear_tau5.0"])
def test_linear_intensities_of_the_reference(shared, name):
    cases = json.loads((shared / "reference" / "quoting.json").read_text())["cases"]
    (case,) = (case for case in cases if case["name"] == name)
    given = case["inputs"]
    depth = np.arange(0.0, given["alpha"] / given["beta"], 0.001)
    linear = Regime(
        Offers(depth, given["alpha"] - given["beta"] * depth),
        running_penalty=0.5 * given["gamma"] * given["sigma"] ** 2,
    )
    steps = 2000
    problem = MarketMakingProblem(
        linear, q_max=given["Q"], dt=given["T_minus_t"] / steps, horizon=given["T_minus_t"]
    )
    model = problem.solve()
    for q, pair in case["expected"]["quotes_bid_ask"].items():
        for mine, theirs in zip(model.depths(int(q), given["T_minus_t"]), pair, strict=True):
            assert (mine is None) == (theirs is None)
            assert mine is None or mine == pytest.approx(theirs, abs=2e-3)


@pytest.mark.parametrize("fills", ["exclusive", "independent"])
@pytest.mark.parametrize("end", [{"horizon": 2.0}, {"discount_rate": 1.0}, {}])
def test_one_quote_in_flight_for_a_step_is_the_whole_pipeline(fills, end):
    one, every = (
        MarketMakingProblem(
            [regime(3), regime(4)],
            switching=[[0, 1.0], [0.5, 0]],
            lag=1,
            in_flight=which,
            fills=fills,
            **BOX,
            **end,
        ).solve(tol=1e-7)
        for which in ("one", "all")
    )
    assert np.array_equal(one.solution.value, every.solution.value)
    assert one.states == 16 * 2


def test_latency_costs_and_no_latency_is_the_plain_problem():
    end = {"horizon": 4.0, "terminal_penalty": 0.3, **BOX}
    plain = MarketMakingProblem(regime(5), **end).solve()
    values = [plain.value(0, 4.0)]
    for lag in (1, 2, 5):
        model = MarketMakingProblem(regime(5), lag=lag, **end).solve()
        nothing = 15  # the pair of no offers is the last
        values.append(model.value(0, 4.0, state=nothing))
    assert np.all(np.diff(values) < 0)


@pytest.mark.parametrize("lag", [1, 3])
def test_bounds_with_a_delay_hold_at_any_tolerance(lag):
    problem = MarketMakingProblem(
        [regime(3), regime(4)], switching=[[0, 1.0], [0.5, 0]], discount_rate=1.0, lag=lag, **BOX
    )
    fine = problem.solve(tol=1e-10).solution
    assert fine.stop_reason == "tolerance"
    for tol in (1.0, 1e-2, 1e-4):
        rough = problem.solve(tol=tol).solution
        assert (rough.lower <= fine.upper).all()
        assert (fine.lower <= rough.upper).all()
        assert np.abs(rough.value - fine.value).max() <= tol
    assert problem.solve(tol=1e-300).solution.stop_reason == "rounding"
    assert problem.solve(max_iterations=3).solution.stop_reason == "iterations"


def test_a_gain_with_a_delay_is_what_long_horizons_grow_by():
    kind = {"lag": 2, **BOX}
    model = MarketMakingProblem(regime(5), **kind).solve(tol=1e-9)
    long = MarketMakingProblem(regime(5), horizon=400.0, **kind).solve().solution
    growth = (long.value[0] - long.value[1]) / 0.2
    assert model.gain == pytest.approx(growth.mean(), abs=1e-8)


def test_decisions_of_a_delay_are_read_at_their_times():
    model = MarketMakingProblem(regime(5), lag=2, horizon=1.0, terminal_penalty=0.5, **BOX).solve()
    table, every = model.policy(), model.states
    assert every == 16
    for left, q in itertools.product((1.0, 0.8, 0.33, 0.2), (-4, 0, 3)):
        assert table.depths(q, left, 15) == model.depths(q, left, 15)
    assert model.depths(0, 0.2) == (None, None)  # what is sent last is never live
    hasty = MarketMakingProblem(
        regime(5), lag=2, in_flight="all", horizon=1.0, max_states=10**6, **BOX
    ).solve()
    assert hasty.solution.policy.shape[0] == 10
    assert hasty.policy().depths(0, 0.9, 3) == hasty.depths(0, 0.9, 3)


def test_the_table_is_the_decision_in_force_at_any_time():
    model = MarketMakingProblem(regime(1), horizon=5.0, terminal_penalty=2.0, **BOX).solve()
    table = model.policy()
    rng = np.random.default_rng(1)
    for left, q in zip(rng.uniform(0.0, 5.0, 300), rng.integers(-4, 5, 300), strict=True):
        assert table.depths(q, left) == model.depths(q, left)
    assert table.time_left.size < 40  # most decisions are those of the step before


def lagged_by_hand(problem, steps):
    """The pipeline of one step's delay, spelt out: V(live, q) = max over sent of an expectation."""
    (chain,) = problem._parts["regimes"].chains
    n = problem.nodes
    pairs = list(itertools.product(range(chain.bid[0].size), range(chain.ask[0].size)))[::-1]
    value = {(pair, s): problem._parts["terminal"][0, s] for pair in pairs for s in range(n)}
    for _ in range(steps):
        new = {}
        for (i, j), s in itertools.product(pairs, range(n)):
            p = chain.bid[0][i] if s + 1 < n else 0.0
            h = chain.ask[0][j] if s > 0 else 0.0
            reward = chain.rate[s] + p * chain.bid[1][i] + h * chain.ask[1][j]
            new[(i, j), s] = reward + max(
                p * value[sent, min(s + 1, n - 1)]
                + h * value[sent, max(s - 1, 0)]
                + (1 - p - h) * value[sent, s]
                for sent in pairs
            )
        value = new
    return np.array([[value[pair, s] for s in range(n)] for pair in pairs])


def test_the_pipeline_by_hand():
    problem = MarketMakingProblem(
        regime(6, offers=2), lag=1, in_flight="all", horizon=0.5, terminal_penalty=0.1, **BOX
    )
    solution = problem.solve().solution
    by_hand = lagged_by_hand(problem, 5)
    assert np.allclose(solution.value[0][:, 0], by_hand, rtol=0, atol=1e-13)
    assert (solution.lower[0] <= solution.value[0]).all()


def test_a_pipeline_that_is_too_large_is_refused_with_its_count():
    with pytest.raises(CapacityError, match="36,864"):
        MarketMakingProblem(regime(1), lag=3, in_flight="all", max_states=10_000, **BOX)
    with pytest.raises(CapacityError, match=r"16 pairs of offers, 1000000000 .* make over 1e\+78 states"):
        MarketMakingProblem(regime(1), lag=10**9, in_flight="all", **BOX)
    assert MarketMakingProblem(regime(1), lag=30, max_states=10_000, **BOX).lag == 30


def test_a_lag_of_more_steps_than_a_decision_can_look_ahead_is_refused_by_name():
    small = {"regimes": regime(1, offers=1), **BOX}
    with pytest.raises(CapacityError, match=r"lag must be at most 500,000 steps .* got 1,000,000") as told:
        MarketMakingProblem(**small, lag=10**6)
    assert told.value.argument == "lag"
    assert MarketMakingProblem(**small, lag=500_000).lag == 500_000
    # 1001 inventories, 4 pairs in flight, 4 to send
    with pytest.raises(CapacityError, match=r"4 pairs of offers and 4,004 states"):
        MarketMakingProblem(**small | {"q_max": 500}, lag=125_000)
    # no decision looks beyond the horizon
    model = MarketMakingProblem(**small, lag=10**6, horizon=0.5).solve()
    assert model.solution.policy.shape[0] == 1


@pytest.mark.parametrize("read", ["depths", "value", "take", "in_flight"])
@pytest.mark.parametrize("state", [-1, 2, 1.0, True, "1"])
def test_a_state_that_is_none_is_refused_by_all_that_read_one(read, state):
    model = MarketMakingProblem(
        [regime(1), regime(2)], switching=[[0, 1.0], [0.5, 0]], horizon=3.0, **BOX
    ).solve()
    with pytest.raises(InvalidArgument, match="state must be"):
        model.in_flight(state) if read == "in_flight" else getattr(model, read)(0, 1.0, state=state)


def test_the_quoter_reads_the_table():
    model = MarketMakingProblem(
        [regime(1), regime(2)], switching=[[0, 1.0], [0.5, 0]], horizon=3.0, **BOX
    ).solve()
    table = model.policy()
    for q, left, state in itertools.product((-4, 0, 3), (3.0, 1.1, 0.1), (0, 1)):
        wanted = model.depths(q, left, state)
        assert table.depths(q, left, state) == wanted
    with pytest.raises(CapacityError, match="max_bytes"):
        model.policy(max_bytes=100)
    quote = mm.Quoter(table).quote(100.0, 0, time_left=3.0, state=1)
    assert quote.ask == math.ceil(100.0 + model.depths(0, 3.0, 1)[1])


def test_market_orders_reach_the_table_and_the_quote():
    heavy = Regime(Offers([1.0], [0.1]), running_penalty=5.0)
    model = MarketMakingProblem(heavy, q_max=4, dt=0.1, take=True).solve()
    assert model.take(4) < 0 < model.take(-4)
    assert mm.Quoter(model.policy()).quote(100.0, 4).take == model.take(4)


def test_sizes_reach_the_quote():
    sized = Regime(Offers([1.0, 1.0], [1.0, 0.9], [1, 2]))
    model = MarketMakingProblem(sized, q_max=4, dt=0.1, discount_rate=0.5).solve()
    quote = mm.Quoter(model.policy()).quote(100.0, 0)
    assert (quote.bid_size, quote.ask_size) == (2, 2)
    assert mm.Quoter(model.policy()).quote(100.0, 3).bid_size == 1


def test_a_solution_is_pickled():
    model = MarketMakingProblem(regime(1), **BOX).solve()
    again = pickle.loads(pickle.dumps(model))
    assert again.depths(1) == model.depths(1)
    assert "policy iteration" in repr(model)


def test_a_solution_with_changes_is_the_solution_of_the_problem_with_changes():
    model = MarketMakingProblem(regime(1), **BOX).solve()
    changed = model.replace(maker_fee=0.3, q_max=3)
    expected = MarketMakingProblem(regime(1), q_max=3, dt=0.1, maker_fee=0.3).solve()
    assert changed.solution.value.tobytes() == expected.solution.value.tobytes()
    assert changed.problem.maker_fee == 0.3
    with pytest.raises(
        InvalidArgument, match="fee is not an argument of MarketMakingProblem: it has regimes"
    ):
        model.replace(fee=0.3)
    with pytest.raises(InvalidArgument, match="q_max must be an integer >= 1"):
        model.replace(q_max=0)


def test_wrong_arguments_are_refused_by_name():
    good = regime(1)
    cases = [
        (dict(regimes=[], **BOX), "regimes"),
        ({"regimes": good, "q_max": 0, "dt": 0.1}, "q_max"),
        ({"regimes": good, "q_max": 5, "dt": 0.1, "order_size": 2}, "q_max"),
        ({"regimes": good, "q_max": 5, "dt": 0.0}, "dt"),
        ({"regimes": good, "q_max": 5, "dt": 10.0}, "dt"),
        (dict(regimes=good, horizon=0.25, **BOX), "horizon"),
        (dict(regimes=good, horizon=1.0, discount_rate=1.0, **BOX), "discount_rate"),
        (dict(regimes=good, terminal_penalty=1.0, **BOX), "horizon"),
        (dict(regimes=[good, good], **BOX), "switching"),
        (dict(regimes=[good, good], switching=[[0, 20.0], [1, 0]], **BOX), "switching"),
        (dict(regimes=good, take=True, taker_fee=-5.0, **BOX), "taker_fee"),
        (dict(regimes=good, take=True, lag=1, **BOX), "take"),
        (dict(regimes=good, fills="both", **BOX), "fills"),
        (dict(regimes=good, in_flight="two", **BOX), "in_flight"),
    ]
    for arguments, name in cases:
        with pytest.raises(InvalidArgument) as refused:
            MarketMakingProblem(**arguments)
        assert refused.value.argument == name, arguments
    for make, name in [
        (lambda: Offers([1.0], [-1.0]), "rate"),
        (lambda: Offers([1.0, math.nan], [1.0, 1.0]), "depth"),
        (lambda: Offers([1.0], [1.0], [0.5]), "size"),
        (lambda: Offers.touch(1, improve=1.0), "improve"),
        (lambda: Regime(good.bid, running_penalty=-1.0), "running_penalty"),
        (lambda: MarketMakingProblem(good, **BOX).solve(tol=0.0), "tol"),
        (lambda: MarketMakingProblem(good, **BOX).solve().depths(0, state=1), "state"),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            make()
        assert refused.value.argument == name


def test_a_pipeline_decides_at_every_step():
    regime = mm.dp.Regime(mm.dp.Offers([1.0, 2.0], [0.5, 0.3]), running_penalty=0.02)
    for in_flight, step in (("all", 0.1), ("one", 0.2)):
        problem = mm.dp.MarketMakingProblem(regime, q_max=3, dt=0.1, horizon=2, lag=2, in_flight=in_flight)
        left = problem.solve().arrays()["time_left"]
        np.testing.assert_allclose(left, np.append(np.arange(2.0, 1e-9, -step), 0.0), atol=1e-12)


def test_inventories_that_never_meet_have_no_one_gain():
    offers = mm.dp.Offers([1.0, 2.0], [0.5, 0.3], [2, 4])  # even inventories stay even
    with pytest.raises(mm.errors.Unsupported, match="the gain depends"):
        mm.dp.MarketMakingProblem(mm.dp.Regime(offers, running_penalty=0.02), q_max=4, dt=0.1).solve()


def test_a_regime_has_the_spread_of_its_offers():
    wide = mm.dp.Offers.touch(2, join=0.3)
    assert mm.dp.Regime(wide).spread == mm.dp.Regime(wide, spread=2).spread == 2
    assert mm.dp.Regime(mm.dp.Offers([1.0], [0.5])).spread == 1
    for make in (
        lambda: mm.dp.Regime(wide, spread=1),
        lambda: mm.dp.Regime(wide, mm.dp.Offers.touch(1, join=0.3)),
    ):
        with pytest.raises(InvalidArgument, match="spread must be that of the offers of both sides, got"):
            make()


def test_ties_do_not_go_round():
    for q_max in (4, 20, 50, 100):
        regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), running_penalty=0.02)
        problem = mm.dp.MarketMakingProblem(regime, q_max=q_max, dt=0.1, take=True)
        model = problem.solve()
        assert model.solution.iterations < 20
        assert model.solution.stop_reason == "tolerance"
        # Quoting both sides within ±k and one side at ±k moves inventory like a fair coin: its law is even.
        # A market order gives back what a fill has earned, so none of them adds to the gain: hence the ties.
        gains = [
            sum((0.5 if abs(q) < k else 0.25) - 0.02 * q * q for q in range(-k, k + 1)) / (2 * k + 1)
            for k in range(1, q_max + 1)
        ]
        assert model.gain == pytest.approx(max(gains), abs=1e-10)


@pytest.mark.parametrize("take", [True, False])
def test_at_the_horizon_what_is_held_is_traded_away(take):
    regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), running_penalty=0.02)
    rest = {"q_max": 4, "order_size": 2, "dt": 0.1, "horizon": 1, "take": take}
    model = mm.dp.MarketMakingProblem(regime, liquidate=True, **rest).solve()
    quoter, kept = mm.Quoter(model), mm.dp.MarketMakingProblem(regime, **rest).solve()
    for q in range(-4, 5, 2):
        assert model.take(q, 0.0) == -q
        assert model.depths(q, 0.0) == (None, None)
        assert kept.take(q, 0.0) == 0
        quote = quoter.quote(100.5, inventory=q, bid=100, ask=101, time_left=0.0)
        assert (quote.bid, quote.ask, quote.take) == (None, None, -q)
        for left in (1e-8, 0.1, 0.55, 1.0):
            quote = quoter.quote(100.5, inventory=q, bid=100, ask=101, time_left=left)
            assert quote.take == model.take(q, left)
            assert (quote.bid is None, quote.ask is None) == tuple(
                depth is None for depth in model.depths(q, left)
            )
        assert model.value(q, 0.0) == -0.5 * abs(q)
    if not take:
        assert model.take(4, 0.1) == 0


def test_a_solution_that_would_not_fit_is_refused_before_memory_is_taken():
    tracemalloc.start()
    with pytest.raises(
        mm.errors.CapacityError, match=r"would take about 96,0.* bytes; max_bytes=4,294,967,296"
    ):
        mm.dp.MarketMakingProblem(QUOTED, q_max=100_000, dt=0.1, horizon=1000)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("lag", [0, 2])
def test_a_solution_takes_no_more_memory_than_is_counted(lag):
    rest = {"q_max": 400, "dt": 0.1, "horizon": 100, "lag": lag}
    states = 801 * (4 if lag else 1)
    needed = 48 * states * (1000 // max(lag, 1) + 1)
    with pytest.raises(mm.errors.CapacityError, match=f"about {needed:,} bytes"):
        mm.dp.MarketMakingProblem(QUOTED, max_bytes=needed - 1, **rest)
    problem = mm.dp.MarketMakingProblem(QUOTED, max_bytes=needed, **rest)
    tracemalloc.start()
    problem.solve()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 * needed < peak <= needed


def test_a_table_too_large_says_how_it_is_had():
    rest = {"q_max": 700, "dt": 0.1, "horizon": 100, "terminal_penalty": 0.1}
    offers = mm.dp.Offers.exponential(0.9, 0.3, range(1, 11))
    model = mm.dp.MarketMakingProblem(mm.dp.Regime(offers, running_penalty=0.01), **rest).solve()
    with pytest.raises(mm.errors.CapacityError, match=r"Quoter\(model.policy\(max_bytes=\d+\)\)"):
        model.policy(max_bytes=1000)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_iterations_of_a_discounted_problem_run_out_honestly(limit):
    problem = MarketMakingProblem(regime(3), q_max=60, dt=0.1, discount_rate=0.01)
    fine, rough = problem.solve().solution, problem.solve(max_iterations=limit).solution
    assert fine.iterations > 3
    assert rough.stop_reason == "iterations"
    assert (rough.lower <= fine.upper).all()
    assert (fine.lower <= rough.upper).all()


@pytest.mark.parametrize("name", ["terminal_penalty", "taker_fee", "maker_fee"])
def test_penalties_out_of_range_are_named(name):
    with pytest.raises(
        InvalidArgument, match=f"{name} must be .* of a size from 1e-60 to 1e\\+60, got 1e\\+308"
    ):
        MarketMakingProblem(regime(1), horizon=5.0, **{**BOX, name: 1e308})
