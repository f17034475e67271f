"""Models from functions: against models written out, closed forms and simulation."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import CapacityError, InvalidArgument

sys.path.insert(0, str(Path(__file__).parent))
from exact import garnet

pytestmark = pytest.mark.compiled


def written_out(states, actions, shocks, probabilities, reward, transition):
    """Rewards and transitions by plain loops over plain values."""
    r, p = np.zeros((len(states), len(actions))), np.zeros((len(states), len(actions), len(states)))
    for i, x in enumerate(states):
        for j, a in enumerate(actions):
            for w, weight in zip(shocks, probabilities, strict=True):
                r[i, j] += weight * reward(x, a, w)
                if np.isfinite(reward(x, a, w)):
                    p[i, j, states.index(transition(x, a, w))] += weight
    return r, p


def test_a_product_space_is_the_model_written_out():
    stocks, regimes, orders = range(-2, 3), ["calm", "wild"], [0, 1, 2]
    shocks, probabilities = [0, 1, 2], [0.5, 0.3, 0.2]
    cost = {"calm": 1.0, "wild": 3.0}
    model = mm.dp.from_model(
        {"stock": stocks, "regime": regimes},
        orders,
        shocks,
        probabilities,
        lambda x, a, w: np.where(
            x.stock + a > 2, -np.inf, -np.where(x.regime == "wild", 3.0, 1.0) * abs(x.stock) - 0.1 * a * w
        ),
        lambda x, a, w: {
            "stock": np.clip(x.stock + a - w, -2, 2),
            "regime": np.where(w == 2, "wild", "calm"),
        },
        0.9,
    )
    r, p = written_out(
        [(q, g) for q in stocks for g in regimes],
        orders,
        shocks,
        probabilities,
        lambda x, a, w: -np.inf if x[0] + a > 2 else -cost[x[1]] * abs(x[0]) - 0.1 * a * w,
        lambda x, a, w: (min(max(x[0] + a - w, -2), 2), "wild" if w == 2 else "calm"),
    )
    _, row, column, probability, reward, _ = model.pairs.arrays
    np.testing.assert_allclose(reward.reshape(r.shape), r, rtol=1e-14)
    for j in range(r.size):
        dense = np.zeros(10)
        np.add.at(dense, column[row[j] : row[j + 1]], probability[row[j] : row[j + 1]])
        np.testing.assert_allclose(dense, p.reshape(-1, 10)[j], atol=1e-15)
    assert model.states[3] == (-1, "wild")


def test_probabilities_may_depend_on_state_and_action():
    model = mm.dp.from_model(
        [0, 1],
        [0, 1],
        ["down", "up"],
        lambda x, a: np.where(np.array(["down", "up"]) == "up", 0.25 + 0.5 * a * x, 0.75 - 0.5 * a * x),
        lambda x, a, w: 1.0 * x,
        lambda x, a, w: np.where(w == "up", 1, 0),
        0.5,
    )
    np.testing.assert_array_equal(model.transition_matrix([0, 1]).toarray(), [[0.75, 0.25], [0.25, 0.75]])


@given(x=st.floats(0, 3))
def test_interpolation_reproduces_linear_functions_and_has_positive_weights(x):
    space = mm.dp.Space({"a": mm.dp.Grid([0.0, 0.5, 3.0]), "b": ["u", "v"], "c": mm.dp.Grid([-1.0, 4.0])})
    index, weight = space.locate((np.array([x]), np.array(["v"]), np.array([x - 0.5])), (1,), str)
    assert (weight >= 0).all()
    assert weight.sum() == pytest.approx(1, abs=1e-15)
    points = space.at(index)
    assert (weight * (2 * points.a - points.c)).sum() == pytest.approx(2 * x - (x - 0.5), abs=1e-13)
    assert (points.b == "v").all()


def consumption(n, outside="clip"):
    """Eat a cake, x' = x (1 - a): with log utility V(x) = log(x) / (1 - b) + constant, and a = 1 - b."""
    b = 0.5
    share = np.linspace(0.02, 0.98, 97)
    grid = mm.dp.Grid(np.linspace(-60.0, 0.0, n), outside)  # log of the cake
    return mm.dp.from_model(
        grid, share, [0], [1.0], lambda x, a, w: x + np.log(a), lambda x, a, w: x + np.log(1 - a), b
    )


def test_a_continuous_state_tends_to_the_closed_form():
    solution = consumption(241).solve(tol=1e-9)
    x = np.linspace(-60, 0, 241)
    far = x > -20  # the edge clips
    constant = 2 * (np.log(0.5) + 0.5 * 2 * np.log(0.5))
    np.testing.assert_allclose(solution.value[far], 2 * x[far] + constant, atol=1e-6)
    assert np.linspace(0.02, 0.98, 97)[solution.policy[far]] == pytest.approx(0.5, abs=1e-12)


def quadratic(n):
    """Inventory that must not wander: a smooth value whose interpolation error falls like the square."""
    return mm.dp.from_model(
        mm.dp.Grid(np.linspace(-1, 1, n), "clip"),
        [0.0],
        [-0.1, 0.1],
        [0.5, 0.5],
        lambda x, a, w: -(x**4),
        lambda x, a, w: 0.8 * x + w,
        0.9,
    ).solve(tol=1e-12)


def test_the_refinement_estimate_is_the_error_that_is_left():
    coarse, fine, finest = quadratic(41), quadratic(81), quadratic(1281)
    error = np.abs(fine.value[::2] - finest.value[::32])
    estimate = mm.dp.refinement_estimate(fine, coarse, [81])
    inside = slice(5, -5)  # the kink where the edge clips is not smooth
    assert (estimate[inside] < 1.5 * error[inside]).all()
    assert (estimate[inside] > error[inside] / 1.5).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"transition": lambda x, a, w: x + w + 5}, "transition from state 0, action 0, shock 0 leads to 5"),
        (
            {"probabilities": [0.5, 0.6]},
            "probabilities must be numbers >= 0 that sum to 1 within 1e-09, got [0.5, 0.6], of sum 1.1",
        ),
        ({"probabilities": [-0.5, 1.5]}, "probabilities must be numbers >= 0"),
        (
            {"probabilities": lambda x, a: np.where(x[..., :1] == 1, [0.5, 0.6], [0.5, 0.5])},
            "got [0.5, 0.6] in state 1, action 0, of sum 1.1",
        ),
        ({"states": {0, 1, 2}}, "states: axes must be a Grid, or a list of labels, in an order"),
        ({"probabilities": [1.0]}, "probabilities must be of shape"),
        ({"reward": lambda x, a, w: np.nan * x}, "reward of state 0, action 0, shock 0 must be finite"),
        ({"actions": mm.dp.Grid([0.0, 1.0])}, "actions must be labels"),
        ({"states": [0, 0, 1]}, "each once"),
        ({"states": mm.dp.Grid([0.0, 1.5])}, "outside of the grid 0 to 1.5"),
    ],
)
def test_wrong_functions_are_refused_by_state_action_and_shock(change, words):
    arguments = {
        "states": [0, 1, 2],
        "actions": [0],
        "shocks": [0, 1],
        "probabilities": [0.5, 0.5],
        "reward": lambda x, a, w: 1.0 * x,
        "transition": lambda x, a, w: np.minimum(x + w, 2),
        "discount": 0.9,
    }
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        mm.dp.from_model(**{**arguments, **change})


def test_too_many_states_are_counted():
    with pytest.raises(CapacityError, match="1,000,000 states; allowed are 999,999"):
        mm.dp.from_model(
            {"a": range(1000), "b": range(1000)}, [0], [0], [1.0], None, None, max_states=999_999
        )


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), delay=st.integers(1, 3))
def test_a_pipeline_is_worth_what_the_recursion_over_histories_says(seed, delay):
    """Oracle: V_t(x, pipeline) by recursion on tuples, which knows no codes."""
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, 3, 2, 2)
    late = mm.dp.lagged(mm.dp.MDP(r, p, 0.9), delay)
    horizon = 4
    solution = mm.dp.backward_induction(late.with_rewards(late.pairs.arrays[4]), horizon=horizon)

    def value(t, x, pipeline):
        if t == horizon:
            return 0.0
        return r[x, pipeline[0]] + 0.9 * max(
            sum(
                p[x, pipeline[0], y] * value(t + 1, y, (*pipeline[1:], a))
                for y in range(3)
                if p[x, pipeline[0], y]
            )
            for a in range(2)
        )

    for index in rng.choice(late.n_states, 3, replace=False):
        x, pipeline = late.states[int(index)]
        assert solution.value[0, index] == pytest.approx(value(0, x, pipeline), rel=1e-13)


def test_lag_costs_and_no_lag_is_the_model():
    r, p = garnet(np.random.default_rng(3), 6, 3, 3)
    model = mm.dp.MDP(r, p, 0.95)
    assert mm.dp.lagged(model, 0) is model
    at_once = model.solve().value
    # The best pipeline is worth no more than deciding with all that is known when it acts.
    late = [mm.dp.lagged(model, d).solve().value.reshape(6, -1).max(axis=1) for d in (1, 2)]
    assert (late[0] <= at_once + 1e-7).all()
    assert (late[1] <= late[0] + 1e-7).all()
    assert late[0].mean() < at_once.mean() - 1e-3


def test_an_action_that_cannot_act_needs_a_fallback():
    model = mm.dp.MDP([[0.0, 1.0], [0.0, -np.inf]], [[[1, 0], [0, 1]], [[1, 0], [0, 1]]], 0.5)
    with pytest.raises(InvalidArgument, match="action 1 is not feasible in state 1, where it may fall due"):
        mm.dp.lagged(model, 1)
    late = mm.dp.lagged(model, 1, fallback=0)
    s = late.states
    assert [s[i] for i in range(4)] == [(0, (0,)), (0, (1,)), (1, (0,)), (1, (1,))]
    assert late.pairs.arrays[4].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_a_pipeline_that_would_not_fit_is_refused_with_its_count():
    model = mm.dp.MDP(np.zeros((10, 5)), np.full((10, 5, 10), 0.1), 0.5)
    words = re.escape("a delay of 8 makes 5^8 x 10 = 3,906,250 states; allowed are 1,000,000")
    with pytest.raises(CapacityError, match=words):
        mm.dp.lagged(model, 8, max_states=1_000_000)


def test_transitions_may_be_mappings_namespaces_or_sequences():
    def made(to):
        return (
            mm.dp.from_model({"a": [0, 1], "b": [0, 1]}, [0], [0], [1.0], lambda x, a, w: x.a + 0.0, to, 0.5)
            .transition_matrix([0, 0, 0, 0])
            .toarray()
        )

    expected = np.eye(4)[[0, 2, 1, 3]]
    for to in (
        lambda x, a, w: {"b": x.a, "a": x.b},
        lambda x, a, w: SimpleNamespace(a=x.b, b=x.a),
        lambda x, a, w: (x.b, x.a),
    ):
        np.testing.assert_array_equal(made(to), expected)


@pytest.mark.parametrize(
    "method",
    ["auto", "value_iteration", "modified_policy_iteration", "policy_iteration", "anderson", "gauss_seidel"],
)
@pytest.mark.parametrize("maximize", [True, False])
def test_matrix_free_is_the_table_without_the_table(method, maximize, monkeypatch):
    monkeypatch.setattr("mmcore.dp.callables.CHUNK", 100)  # several chunks
    sign = 1.0 if maximize else -1.0
    arguments = (
        {"stock": range(-7, 8), "regime": [0, 1], "level": mm.dp.Grid(np.linspace(0, 1, 3), "clip")},
        [0, 1, 2],
        {"demand": [0, 1, 2], "flip": [0, 1]},
        np.outer([0.5, 0.3, 0.2], [0.9, 0.1]).ravel(),
        lambda x, a, w: (
            sign * np.where(x.stock + a > 7, -np.inf, x.level - abs(x.stock) * (1 + x.regime) - a / 9)
        ),
        lambda x, a, w: {
            "stock": np.clip(x.stock + a - w.demand, -7, 7),
            "regime": x.regime ^ w.flip,
            "level": 0.7 * x.level + 0.1 * w.demand,
        },
        np.where(np.arange(90) % 2, 0.9, 0.95),
    )
    table = mm.dp.from_model(*arguments, maximize=maximize).solve(tol=1e-9)
    free = mm.dp.MatrixFree(*arguments, maximize=maximize).solve(method, tol=1e-9)
    assert free.stop_reason == "tolerance"
    assert (free.policy == table.policy).all()
    assert (free.lower <= table.upper).all()
    assert (free.upper >= table.lower).all()
    assert free.alive_actions >= table.alive_actions


def test_matrix_free_names_what_is_wrong():
    arguments = (range(10), [0], [0, 1], [0.5, 0.6], lambda x, a, w: x * 1.0, lambda x, a, w: x, 0.9)
    with pytest.raises(InvalidArgument, match=r"probabilities must be numbers >= 0 .* of sum 1\.1"):
        mm.dp.MatrixFree(*arguments)


def test_only_what_arrays_may_cause_is_told_with_their_shapes():
    arguments = {"states": [0, 1], "actions": [0], "shocks": [0], "probabilities": [1.0], "discount": 0.9}

    def raised(reward):
        with pytest.raises(InvalidArgument, match=r"reward.* raised") as caught:
            mm.dp.from_model(**arguments, reward=reward, transition=lambda x, a, w: x)
        return str(caught.value)

    assert "use np.where" in raised(lambda x, a, w: 1.0 if x > 0 else 0.0)
    for wrong in (lambda x, a, w: x.foo, lambda x, a, w: nowhere * x):  # noqa: F821
        assert "np.where" not in raised(wrong)


@pytest.mark.parametrize("states", [2, 5, 10, 30])
def test_a_small_model_without_a_table(states):
    given = {
        "states": range(states),
        "actions": [0, 1],
        "shocks": [-1, 1],
        "probabilities": [0.5, 0.5],
        "reward": lambda x, a, w: -0.1 * a - (x / 9) ** 2 + 0 * w,
        "transition": lambda x, a, w: np.clip(x - a + w, 0, states - 1),
        "discount": 0.9,
    }
    free = mm.dp.MatrixFree(**given).solve()
    np.testing.assert_allclose(free.value, mm.dp.from_model(**given).solve().value, atol=2e-8)
