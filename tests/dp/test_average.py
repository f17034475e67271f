"""Average reward: the gain against exact arithmetic over all policies."""

import sys
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument, NoConvergence

sys.path.insert(0, str(Path(__file__).parent))
from exact import eliminate, garnet, rational

pytestmark = pytest.mark.compiled
METHODS = ["policy_iteration", "relative_value_iteration"]


def gain_of(policy, r, p):
    """Gain of a unichain policy, exactly: stationary law times rewards, rows scaled to sum to one."""
    n = len(policy)
    rows = [[x / sum(p[s][policy[s]]) for x in p[s][policy[s]]] for s in range(n)]
    system = [[rows[s][t] - int(s == t) for s in range(n)] for t in range(n - 1)] + [[Fraction(1)] * n]
    law = eliminate(system, [Fraction(0)] * (n - 1) + [Fraction(1)])
    return sum(w * r[s][policy[s]] for s, w in enumerate(law))


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), maximize=st.booleans())
def test_the_exact_gain_lies_within_the_bounds(method, seed, n, maximize):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, n, 2, 3)
    p = 0.9 * p
    p[:, :, 0] += 0.1  # every chain comes to state 0: one recurrent class
    solution = mm.dp.average_reward(mm.dp.MDP(r, p, 1.0, maximize=maximize), method)
    exact_r, exact_p = rational(r), rational(p)
    gains = {x: gain_of(x, exact_r, exact_p) for x in product(range(2), repeat=n)}
    best = max(gains.values()) if maximize else min(gains.values())
    lower, upper = Fraction(float(solution.lower)), Fraction(float(solution.upper))
    assert lower <= best <= upper
    assert lower <= gains[tuple(solution.policy)] <= upper  # the policy is that good
    assert solution.stop_reason == "tolerance"
    assert upper - lower <= 2e-8
    assert solution.lower <= solution.gain <= solution.upper


@pytest.mark.parametrize("method", METHODS)
def test_a_periodic_chain_converges(method):
    model = mm.dp.MDP([[1.0], [0.0], [5.0]], [[[0, 1.0, 0]], [[0, 0, 1.0]], [[1.0, 0, 0]]], 1.0)
    solution = mm.dp.average_reward(model, method)
    assert solution.lower <= 2 <= solution.upper
    np.testing.assert_allclose(solution.value, [0, 1, 3], atol=1e-6)  # h(s) = r(s) - 2 + h(next)


@pytest.mark.parametrize("method", METHODS)
def test_a_first_policy_of_several_classes_is_no_trap(method):
    # Greedy at first: stay where each state pays at once. The best is to go to state 2 and stay.
    rewards = [[1.0, 0.0], [1.5, 0.0], [2.0, 0.0]]
    transitions = np.zeros((3, 2, 3))
    transitions[[0, 1, 2], 0, [0, 1, 2]] = 1
    transitions[[0, 1, 2], 1, [1, 2, 0]] = 1
    solution = mm.dp.average_reward(mm.dp.MDP(rewards, transitions, 1.0), method)
    assert solution.lower <= 2 <= solution.upper
    assert solution.gap <= 2e-8


def test_the_discounted_value_times_one_less_discount_tends_to_the_gain():
    rng = np.random.default_rng(1)
    r, p = garnet(rng, 30, 3, 5)
    gain = mm.dp.average_reward(mm.dp.MDP(r, p, 1.0)).gain
    value = mm.dp.MDP(r, p, 1 - 1e-7).solve(tol=1e-2).value
    np.testing.assert_allclose(1e-7 * value, gain, rtol=1e-5)


def test_closed_sets_are_refused_by_name():
    model = mm.dp.MDP([[1.0], [2.0]], [[[1.0, 0.0]], [[0.0, 1.0]]], 1.0)
    with pytest.raises(InvalidArgument, match="2 closed sets of states: none leads from state 0 to state 1"):
        mm.dp.average_reward(model)


@pytest.mark.parametrize("method", METHODS)
def test_states_that_a_policy_may_never_leave_are_named(method):
    # State 1 stays for 3 or falls into state 0, which pays 1 for ever: the gain is 1 from 0 and 3 from 1.
    model = mm.dp.MDP([[1.0, 1.0], [3.0, 0.0]], [[[1.0, 0.0]] * 2, [[0.0, 1.0], [1.0, 0.0]]], 1.0)
    with pytest.raises(NoConvergence, match="a policy can stay for ever in 1 states, state 1 among them"):
        mm.dp.average_reward(model, method, max_iterations=500)


def test_a_discount_is_refused():
    with pytest.raises(InvalidArgument, match=r"discount must be 1 where rewards are averaged, got 0\.9"):
        mm.dp.average_reward(mm.dp.MDP([[1.0]], [[[1.0]]], 0.9))
