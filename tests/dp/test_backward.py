"""Backward induction against exact rational recursion."""

import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import mmcore as mm
from mmcore.errors import CapacityError, InvalidArgument

sys.path.insert(0, str(Path(__file__).parent))
from exact import garnet, rational

pytestmark = pytest.mark.compiled


def recursion(rewards, transitions, terminal, discount, maximize):
    """Values of all steps, exactly, and the optimal actions of each step and state."""
    better = max if maximize else min
    v, optimal = [list(rational(terminal))], []
    for r, p in zip(reversed(rewards), reversed(transitions), strict=True):
        r, p = rational(r), rational(p)
        n, m = r.shape
        q = [
            {
                a: r[s, a] + Fraction(discount) * sum(p[s, a, k] * v[0][k] for k in range(n))
                for a in range(m)
                if np.isfinite(float(r[s, a]))
            }
            for s in range(n)
        ]
        v.insert(0, [better(x.values()) for x in q])
        optimal.insert(0, [{a for a, y in x.items() if y == v[0][s]} for s, x in enumerate(q)])
    return v, optimal


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    horizon=st.integers(1, 6),
    discount=st.sampled_from([0.5, 0.99, 1.0, 1.25]),
    varying=st.booleans(),
    maximize=st.booleans(),
)
def test_the_exact_values_lie_within_the_bounds(seed, horizon, discount, varying, maximize):
    rng = np.random.default_rng(seed)
    steps = [garnet(rng, 4, 3, 3) for _ in range(horizon)]
    if not varying:
        steps = [steps[0]] * horizon
    rewards = np.array([r for r, _ in steps]) - 0.5
    rewards[rng.random(rewards.shape) < 0.2] = -np.inf if maximize else np.inf
    rewards[:, :, 0] = 0.1
    terminal = rng.standard_normal(4)
    transitions = [p for _, p in steps] if varying else steps[0][1]
    solution = mm.dp.backward_induction(
        rewards, transitions, horizon, terminal, discount=discount, maximize=maximize
    )
    exact, optimal = recursion(list(rewards), [p for _, p in steps], terminal, discount, maximize)
    for t in range(horizon + 1):
        for s in range(4):
            assert (
                Fraction(float(solution.lower[t, s])) <= exact[t][s] <= Fraction(float(solution.upper[t, s]))
            )
    assert solution.gap < 1e-11
    assert solution.stop_reason == "tolerance"
    assert solution.alive_actions >= sum(len(best) for step in optimal for best in step)
    if solution.policy_unique:
        assert all(optimal[t][s] == {int(solution.policy[t, s])} for t in range(horizon) for s in range(4))


def test_functions_of_time_lists_and_models_say_the_same():
    rng = np.random.default_rng(1)
    steps = [garnet(rng, 5, 2, 3) for _ in range(4)]
    rewards, transitions = np.array([r for r, _ in steps]), [p for _, p in steps]
    rows = [sparse.csr_array(p.reshape(10, 5)) for p in transitions]
    solutions = [
        mm.dp.backward_induction(rewards, transitions, 4),
        mm.dp.backward_induction(lambda t: rewards[t], lambda t: rows[t], 4),
        mm.dp.backward_induction(lambda t: mm.dp.MDP(rewards[t], rows[t], 1.0), horizon=4),
    ]
    for solution in solutions[1:]:
        assert solution.value.tobytes() == solutions[0].value.tobytes()
        assert (solution.policy == solutions[0].policy).all()
    fixed = [
        mm.dp.backward_induction(rewards[0], rows[0], 4),
        mm.dp.backward_induction(mm.dp.MDP(rewards[0], rows[0], 1.0), horizon=4),
        mm.dp.backward_induction(lambda t: rewards[0], rows[0], 4),
    ]
    for solution in fixed[1:]:
        assert solution.value.tobytes() == fixed[0].value.tobytes()


def test_a_long_horizon_tends_to_the_discounted_value():
    r, p = garnet(np.random.default_rng(2), 20, 3, 4)
    long = mm.dp.backward_induction(r, p, 400, discount=0.9)
    np.testing.assert_allclose(long.value[0], mm.dp.MDP(r, p, 0.9).solve(tol=1e-12).value, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([[1.0]], [[[1.0]]], 0), {}, "horizon must be an integer >= 1, got 0"),
        (([[1.0]], [[[1.0]]], 2.5), {}, "horizon must be an integer >= 1, got 2.5"),
        (([[1.0]], None, 2), {}, "transitions are missing"),
        (([[[1.0]]], [[[1.0]]], 2), {}, "rewards must be"),
        (([[1.0]], [[[[1.0]]]] * 3, 2), {}, "transitions must be one for each of 2 steps, got 3"),
        (([[1.0]], np.ones((1, 1, 1)), 2, [np.nan]), {}, re.escape("terminal[0] must be finite")),
        ((lambda t: [[1.0]], None, 2), {}, "must be an MDP where there are no transitions"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.dp.backward_induction(*arguments, **options)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_callers_arrays_are_filled(maximize):
    r, p = garnet(np.random.default_rng(3), 6, 2, 3)
    terminal = np.arange(6.0)
    value, policy = np.full((5, 6), np.nan), np.full((4, 6), -7)
    ours = mm.dp.backward_induction(r, p, 4, terminal, maximize=maximize, out=(value, policy))
    plain = mm.dp.backward_induction(r, p, 4, terminal, maximize=maximize)
    assert ours.value is value
    assert ours.policy is policy
    assert value.tobytes() == plain.value.tobytes()
    assert (policy == plain.policy).all()
    assert ours.lower.tobytes() == plain.lower.tobytes()


@pytest.mark.parametrize(
    ("out", "words"),
    [
        (3, "out must be a pair of arrays, for value and policy, got 3"),
        (
            (np.zeros((3, 1)), np.zeros((2, 2), np.int64)),
            "out[1] must be a writeable, C-contiguous array of int64",
        ),
        ((np.zeros((2, 1)), np.zeros((2, 1), np.int64)), "of shape (3, 1), got 'float64 of shape (2, 1)'"),
        ((np.zeros((3, 1), np.float32), None), "out[0] must be a writeable, C-contiguous array of float64"),
        ((np.broadcast_to(0.0, (3, 1)), np.zeros((2, 1), np.int64)), "out[0] must be a writeable"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_and_left_alone(out, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        mm.dp.backward_induction([[1.0]], [[[1.0]]], 2, out=out)
    if isinstance(out, tuple):
        assert not out[0].any()


def test_values_that_leave_all_numbers_are_refused():
    with pytest.raises(mm.errors.NoConvergence, match="too large"):
        mm.dp.backward_induction([[1.0]], [[[1.0]]], horizon=3000, discount=1.5)


@pytest.mark.parametrize("horizon", [10**13, 10**18, 10**30])
def test_a_horizon_beyond_all_memory_is_refused_by_name(horizon):
    model = mm.dp.MDP([[1.0, 2.0]], [[[1.0], [1.0]]], 0.5)
    with pytest.raises(CapacityError, match=f"horizon: {horizon:,} steps of 1 states are .* bytes"):
        mm.dp.backward_induction(model, horizon=horizon)
