"""Wrong input is refused by argument, value and what is allowed; right input survives a copy."""

import copy
import pickle
import re

import numpy as np
import pytest
from scipy import sparse

import mmcore as mm
from mmcore.dp import (
    MDP,
    Grid,
    MarketMakingProblem,
    MatrixFree,
    Offers,
    Regime,
    Space,
    average_reward,
    backward_induction,
)
from mmcore.errors import CapacityError, InvalidArgument, ModelWarning, NoConvergence

REWARDS = np.array([[3.0, -2.0], [1.0, -2.0]])
TRANSITIONS = np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]])
COPIES = [lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy]


def functions(**changes):
    """A model of functions: a stock that is used up and filled again."""
    given = {
        "states": {"stock": range(4)},
        "actions": [0, 1],
        "shocks": [0, 1],
        "probabilities": [0.5, 0.5],
        "reward": reward,
        "transition": transition,
        "discount": 0.9,
    }
    return {**given, **changes}


def reward(x, a, w):
    return 1.0 * x.stock - a


def transition(x, a, w):
    return {"stock": np.clip(x.stock + a - w, 0, 3)}


@pytest.mark.compiled
@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "model",
    [
        MDP(REWARDS, TRANSITIONS, [0.9, 0.8], states=["new", "worn"], actions=["run", "renew"]),
        MDP([3.0, -2.0, 1.0], sparse.csr_array(TRANSITIONS.reshape(4, 2)[:3]), 0.9, [0, 0, 1], [0, 1, 1]),
        MDP(-REWARDS, TRANSITIONS, 0.9, maximize=False),
        mm.dp.from_model(**functions()),
        MatrixFree(**functions()),
        mm.dp.lagged(mm.dp.from_model(**functions()), 1),
    ],
)
def test_a_copy_is_the_model(model, copied):
    again = copied(model)
    assert repr(again) == repr(model)
    assert (again.discount == model.discount).all()
    for method, options in [("value_iteration", {}), ("policy_iteration", {})]:
        one, other = (each.solve(method, **options) for each in (model, again))
        assert one.value.tobytes() == other.value.tobytes()
        assert (one.policy == other.policy).all()
        assert one.upper.tobytes() == other.upper.tobytes()
    if isinstance(model, MDP):
        assert list(again.states or ()) == list(model.states or ())
        packed = [each.solve("policy_iteration", layout="packed").value for each in (model, again)]
        assert packed[0].tobytes() == packed[1].tobytes()


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize(
    "solution",
    [
        MDP(REWARDS, TRANSITIONS, 0.9).solve(),
        mm.dp.backward_induction(REWARDS, TRANSITIONS, 3),
        mm.dp.average_reward(MDP(REWARDS, TRANSITIONS, 1.0)),
        MarketMakingProblem(Regime(Offers([1.0], [0.5])), q_max=2, dt=0.1, horizon=1.0).solve().solution,
    ],
)
def test_a_copy_is_the_solution(solution, copied):
    again = copied(solution)
    assert type(again) is type(solution)
    for name in ("value", "policy", "lower", "upper"):
        np.testing.assert_array_equal(getattr(again, name), getattr(solution, name))
    for name in ("gap", "iterations", "residual", "stop_reason", "method", "why", "alive_actions"):
        assert getattr(again, name) == getattr(solution, name)
    assert again.policy_unique == solution.policy_unique


def test_what_comes_from_a_file_is_looked_at_again():
    model = MDP(REWARDS, TRANSITIONS, 0.9)
    state = {**model.__dict__, "pairs": copy.copy(model.pairs)}
    state["pairs"].arrays[3].setflags(write=True)
    state["pairs"].arrays[3][0] = 0.7
    with pytest.raises(InvalidArgument, match=re.escape("state 0, action 0 sum to 1.2")):
        object.__new__(MDP).__setstate__(state)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: MDP([["a", "b"]], TRANSITIONS, 0.9),
            "rewards must be an array of real numbers, got [['a', 'b']]",
        ),
        (
            lambda: MDP([[1.0, 2.0], [3.0]], TRANSITIONS, 0.9),
            "rewards must be an array of real numbers, got [[",
        ),
        (lambda: MDP(1j * REWARDS, TRANSITIONS, 0.9), "rewards must be an array of real numbers, got array"),
        (lambda: MDP(None, TRANSITIONS, 0.9), "rewards must be an array of real numbers, got None"),
        (
            lambda: MDP(REWARDS, [[[0.5, 0.5], [1.0]]], 0.9),
            "transitions must be an array of real numbers, got",
        ),
        (lambda: MDP(REWARDS, TRANSITIONS, "x"), "discount must be a number, or one for each state, got 'x'"),
        (lambda: MDP(REWARDS, TRANSITIONS, np.float64(-1)), "discount must be finite and >= 0, got -1.0"),
        (lambda: MDP(REWARDS, TRANSITIONS, 0.9, maximize="no"), "maximize must be True or False, got 'no'"),
        (lambda: MDP(REWARDS, TRANSITIONS, 0.9, states=3), "states must be a sequence of 2 labels, got 3"),
        (
            lambda: MDP([1.0, 2.0], np.eye(2), 0.9, [[0], [1, 2]], [0, 0]),
            "s_indices must be an array of integers",
        ),
        (lambda: MDP([1.0, 2.0], 3, 0.9, [0, 1], [0, 0]), "transitions must be of shape (2, S), got ()"),
        (
            lambda: MDP(REWARDS, TRANSITIONS, 0.9).with_rewards("a"),
            "rewards must be an array of real numbers",
        ),
        (
            lambda: MDP(REWARDS, TRANSITIONS, 0.9).pair_of("a"),
            "policy must be integers of shape (2,), got 'a'",
        ),
        (lambda: MDP.from_mdptoolbox(3, REWARDS, 0.9), "P must be of shape (A, S, S), got 3"),
        (lambda: MDP.from_mdptoolbox(["a"], REWARDS, 0.9), "P[0] must be a matrix, got 'a'"),
        (
            lambda: MDP.from_mdptoolbox(TRANSITIONS, 3, 0.9),
            "R must be of shape (S,), (S, A) or (A, S, S), S = 2",
        ),
        (lambda: MDP([[0.0], [0.0]], np.zeros((2, 1, 2)), 0.9), "state 0, action 0 sum to 0.0; allowed is 1"),
    ],
)
def test_models(make, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        make()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threads": 1.5}, "threads must be an integer >= 1, got 1.5"),
        ({"threads": True}, "threads must be an integer >= 1, got True"),
        ({"threads": 257}, "threads must be at most 256, got 257"),
        ({"progress": 3}, "progress must be a function of (pass, residual, gap), or None, got 3"),
        ({"tol": "a"}, "tol must be a finite number > 0, got 'a'"),
        ({"tol": np.nan}, "tol must be a finite number > 0, got nan"),
        ({"tol": [1e-3, 1e-3]}, "tol must be one number, got [0.001, 0.001]"),
        ({"tol": np.float64(-1.0)}, "tol must be a finite number > 0, got -1.0"),
        ({"max_iterations": 1.5}, "max_iterations must be an integer >= 1, got 1.5"),
        ({"max_iterations": "3"}, "max_iterations must be an integer >= 1, got '3'"),
        ({"start": ["a", 1]}, "start must be an array of real numbers, got ['a', 1]"),
        ({"start": [1]}, "start must be of shape (2,), got (1,)"),
        ({"start": [1, np.nan]}, "start[1] must be finite, got nan"),
        ({"method": [1]}, "method must be auto or one of"),
    ],
)
def test_options(options, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        MDP(REWARDS, TRANSITIONS, 0.9).solve(**options)
    if set(options) <= {"tol", "max_iterations", "method"}:
        with pytest.raises(InvalidArgument, match=re.escape(words.split(" one of")[0])):
            mm.dp.average_reward(MDP(REWARDS, TRANSITIONS, 1.0), **options)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"reward": lambda x, a, w: np.zeros((3, 2))},
            "= (4, 2, 2), got shape (3, 2); it is called once for many, with x of shape (4, 1, 1)",
        ),
        ({"reward": lambda x, a, w: 1 if x.stock > 0 else 0}, "reward(x, a, w) raised ValueError"),
        ({"reward": lambda x, a, w: x.foo}, "reward(x, a, w) raised AttributeError"),
        (
            {"reward": lambda x, a, w: "a"},
            "what reward(x, a, w) returns must be an array of real numbers, got 'a'",
        ),
        ({"reward": lambda x, a, w: np.nan}, "reward of state (0,), action 0, shock 0 must be finite"),
        ({"reward": 3}, "reward must be a function of (x, a, w), got 3"),
        ({"transition": None}, "transition must be a function of (x, a, w), got None"),
        (
            {"transition": lambda x, a, w: {"stock": np.zeros((5, 2, 2))}},
            "transition(x, a, w) must return for stock what broadcasts to (states, actions, shocks) =",
        ),
        ({"transition": lambda x, a, w: (1, 2)}, "transition must be one array for each of ['stock'], got 2"),
        ({"transition": lambda x, a, w: float(a)}, "transition(x, a, w) raised TypeError"),
        ({"probabilities": lambda x, a: np.zeros(9)}, "probabilities(x, a) must return what broadcasts to"),
        ({"probabilities": ["a", "b"]}, "probabilities must be an array of real numbers, got ['a', 'b']"),
        ({"states": None}, "states: axes must be a Grid, or a list of labels, got None"),
        ({"actions": []}, "actions: axes must be one or more labels, each once, got []"),
        ({"shocks": {"w": 3}}, "shocks: axis 'w' must be a Grid, or a list of labels, got 3"),
        ({"max_states": 2.5}, "max_states must be an integer >= 1, got 2.5"),
        ({"maximize": 1}, "maximize must be True or False, got 1"),
    ],
)
@pytest.mark.parametrize("make", [mm.dp.from_model, MatrixFree])
def test_functions(make, changes, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        make(**functions(**changes))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda m: Grid("a"), "points must be two or more finite numbers, ascending, got 'a'"),
        (lambda m: Space({"a": [1, 2]}).index(7), "label must be a tuple, one for each of ['a'], got 7"),
        (lambda m: mm.dp.lagged(m, 1.5), "delay must be an integer >= 0, got 1.5"),
        (lambda m: mm.dp.lagged(m, 1, fallback="a"), "fallback must be an integer >= 0, got 'a'"),
        (
            lambda m: mm.dp.lagged(MatrixFree(**functions()), 1),
            "make the actions under way axes of the states",
        ),
        (lambda m: mm.dp.average_reward(MatrixFree(**functions())), "from_model makes it of functions"),
        (lambda m: mm.dp.average_reward(3), "model must be an MDP"),
        (
            lambda m: MatrixFree(**functions()).solve(evaluator="sparse"),
            "evaluator must be bicgstab or gmres where there is no table, got 'sparse'",
        ),
        (lambda m: mm.dp.refinement_estimate(m.solve(), m.solve(), 3), "fine must be 3 values, got 2"),
        (lambda m: mm.dp.backward_induction(m, horizon=np.nan), "horizon must be an integer >= 1, got nan"),
        (
            lambda m: mm.dp.backward_induction(m, horizon=2, terminal=["a", 1]),
            "terminal must be an array of real",
        ),
        (
            lambda m: mm.dp.backward_induction([["a"]], [[[1.0]]], 2),
            "rewards must be an array of real numbers",
        ),
    ],
)
def test_what_is_made_of_models(make, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        make(MDP(REWARDS, TRANSITIONS, 0.9))


def test_a_delay_that_nothing_could_hold():
    with pytest.raises(CapacityError, match=re.escape("a delay of 100000 makes 2^100000 x 2 states")):
        mm.dp.lagged(MDP(REWARDS, TRANSITIONS, 0.9), 100_000)


def test_a_finite_horizon_needs_no_table():
    table, free = mm.dp.from_model(**functions()), MatrixFree(**functions())
    one, other = (
        mm.dp.backward_induction(model, horizon=5, terminal=np.arange(4.0)) for model in (table, free)
    )
    assert one.value.tobytes() == other.value.tobytes()
    assert (one.policy == other.policy).all()
    assert one.alive_actions == other.alive_actions


QUOTED = Regime(Offers([1.0], [0.5]), running_penalty=0.1)
BOX = {"q_max": 2, "dt": 0.1}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Offers(["a"], [1.0]), "depth must be finite numbers, at least one, got ['a']"),
        (lambda: Offers.exponential("a", 1.0, [1.0]), "A must be a finite number > 0, got 'a'"),
        (lambda: Offers.touch("a", join=1.0), "spread must be a finite number >= 1, got 'a'"),
        (lambda: Offers.touch(1, join="a"), "rate must be finite numbers, at least one, got ('a',)"),
        (lambda: Offers([1, 2], [0.5]), "rate must be as many numbers as there are depths, 2, got [0.5]"),
        (lambda: Offers([1], [0.5, 0.3]), "rate must be as many numbers as there are depths, 1, got"),
        (lambda: Offers([1, 2], [0.5, 0.3], [2]), "size must be as many numbers as there are depths, 2"),
        (
            lambda: MarketMakingProblem(QUOTED, switching=[[0, 1], [1, 0]], **BOX),
            "switching must be of shape (1, 1), finite, got [[0, 1], [1, 0]]",
        ),
        (
            lambda: MarketMakingProblem(QUOTED, switching="abc", **BOX),
            "switching must be of shape (1, 1), finite, got 'abc'",
        ),
        (
            lambda: Regime(QUOTED.bid, adverse_selection=(1.0, 2.0, 3.0)),
            "adverse_selection must be a number, or a",
        ),
        (lambda: MarketMakingProblem(3, **BOX), "regimes must be a Regime or several, got 3"),
        (
            lambda: MarketMakingProblem([QUOTED] * 2, switching="a", **BOX),
            "switching must be of shape (2, 2)",
        ),
        (
            lambda: MarketMakingProblem(QUOTED, **BOX).solve(max_iterations=True),
            "max_iterations must be an integer",
        ),
        (
            lambda: MarketMakingProblem(QUOTED, discount_rate=1e-16, **BOX),
            "discount_rate must be >= 5.74e-13 for steps of 0.1 s",
        ),
        (
            lambda: MarketMakingProblem(QUOTED, q_max=20_000, dt=0.1, horizon=1.0, take=True),
            "q_max must be at most 16383 orders where market orders are allowed (take), got 20000",
        ),
    ],
)
def test_market_making(make, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        make()


def test_inventories_beyond_all_memory_are_refused_with_their_number():
    with pytest.raises(CapacityError, match="400000000001 inventories"):
        MarketMakingProblem(QUOTED, q_max=200_000_000_000, dt=0.1)
    wide = MarketMakingProblem(QUOTED, q_max=16_383, dt=0.1, horizon=0.2, take=True).solve()
    assert wide.take(16_383, 0.2) < 0


def test_the_smallest_discount_rate_is_solved_as_one():
    rate = 5.75e-13
    solution = MarketMakingProblem(QUOTED, discount_rate=rate, **BOX).solve(tol=1e9).solution
    assert solution.lower.shape == (1, 5)
    average = MarketMakingProblem(QUOTED, **BOX).solve().gain
    assert (solution.lower * rate <= average * (1 + 1e-9)).all()
    assert (average * (1 - 1e-9) <= solution.upper * rate).all()


def test_rewards_of_another_shape_are_not_read_anew():
    model = MDP([[0.0, 1, 2], [3, 4, 5]], np.full((2, 3, 2), 0.5), 0.5)
    for wrong in (np.zeros((3, 2)), np.zeros((1, 6)), np.zeros(5), np.zeros((2, 3, 1))):
        with pytest.raises(InvalidArgument, match=r"rewards must be of shape \(2, 3\) or \(6,\), got"):
            model.with_rewards(wrong)
    table = np.array([[1.0, 0, 7], [2, 2, 0]])
    for right in (table, table.ravel()):
        assert (
            model.with_rewards(right).solve().value == MDP(table, np.full((2, 3, 2), 0.5), 0.5).solve().value
        ).all()


@pytest.mark.parametrize("method", ["auto", "policy_iteration", "relative_value_iteration"])
@pytest.mark.parametrize("size", [1e308, 8e307])
def test_an_average_beyond_floating_point_is_an_error(method, size):
    model = MDP([[size], [-size]], [[[0, 1]], [[1, 0]]], 1.0)
    with pytest.raises(NoConvergence, match="range of floating point"):
        average_reward(model, method=method)


def test_a_model_has_its_own_discount_and_direction():
    model = MDP([[1.0]], [[[1.0]]], 0.5)
    for given in ({"discount": 0.7}, {"maximize": False}, {"transitions": [[[1.0]]]}):
        for rewards in (model, lambda t: model):
            if callable(rewards) and "transitions" in given:
                continue  # a table for each step
            with pytest.raises(InvalidArgument, match=f"{next(iter(given))} is the model's own"):
                backward_induction(rewards, horizon=2, **given)


def test_a_discount_that_rows_bring_to_one_is_told_with_them():
    rows = [[[0.5 + 9e-10, 0.5]], [[0.5, 0.5]]]
    with pytest.warns(ModelWarning):
        model = MDP([[1.0], [1.0]], rows, 0.9999999999)
    with pytest.raises(InvalidArgument, match=r"times the largest sum of a row, 1\.0000000009"):
        model.solve()
