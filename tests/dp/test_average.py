"""Average reward: the gain against exact arithmetic over all policies."""

import re
import sys
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument, ModelWarning

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


def gains_of(policy, r, p):
    """Gain of any policy from each state, exactly: closed classes, their laws, the chances to end there."""
    n = len(policy)
    rows = [[x / sum(p[s][policy[s]]) for x in p[s][policy[s]]] for s in range(n)]
    leads = [{s} for s in range(n)]
    for _ in range(n):
        leads = [set().union(*(leads[t] for t in range(n) if rows[s][t]), {s}) for s in range(n)]
    closed = {frozenset(leads[s]) for s in range(n) if all(s in leads[t] for t in leads[s])}
    gains = [None] * n
    for states in closed:
        inside = sorted(states)
        local = [[[rows[s][t] for t in inside]] for s in inside]
        one = gain_of([0] * len(inside), [[r[s][policy[s]]] for s in inside], local)
        for s in inside:
            gains[s] = one
    passing = [s for s in range(n) if gains[s] is None]
    if passing:
        system = [[Fraction(int(s == t)) - rows[s][t] for t in passing] for s in passing]
        right = [
            sum((rows[s][t] * gains[t] for t in range(n) if t not in passing), Fraction(0)) for s in passing
        ]
        for s, g in zip(passing, eliminate(system, right), strict=True):
            gains[s] = g
    return gains


@pytest.mark.filterwarnings("ignore::mmcore.errors.ModelWarning")
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5), maximize=st.booleans(), ties=st.booleans())
def test_the_exact_gain_from_each_start_lies_within_the_bounds(method, seed, n, maximize, ties):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, n, 2, 2)
    fixed = rng.random((n, 2)) < 0.6  # few successors: states that are never left, sets that are closed
    p[fixed] = np.eye(n)[rng.integers(0, n, int(fixed.sum()))]
    if ties:
        r = np.round(2 * r)
    r[rng.random(n) < 0.2, 1] = -np.inf if maximize else np.inf
    solution = mm.dp.average_reward(mm.dp.MDP(r, p, 1.0, maximize=maximize), method, tol=1e-7)
    exact_r, exact_p = rational(r), rational(p)
    feasible = [[a for a in range(2) if np.isfinite(r[s, a])] for s in range(n)]
    gains = {policy: gains_of(policy, exact_r, exact_p) for policy in product(*feasible)}
    better = max if maximize else min
    lower, upper = (np.broadcast_to(x, n) for x in (solution.lower, solution.upper))
    for s in range(n):
        best = better(g[s] for g in gains.values())
        own = gains[tuple(int(a) for a in solution.policy)][s]
        low, high = Fraction(float(lower[s])), Fraction(float(upper[s]))
        assert low <= best <= high
        assert low <= own <= high  # the policy is that good
    assert solution.stop_reason == "tolerance"
    assert solution.gap <= 2e-7
    assert np.shape(solution.gain) in ((), (n,))
    spread = max(better(g[s] for g in gains.values()) for s in range(n)) - min(
        better(g[s] for g in gains.values()) for s in range(n)
    )
    assert bool(np.ndim(solution.gain)) == (spread > 1e-6) or 0 < spread <= 1e-6


@pytest.mark.parametrize("sign", [1, -1])
def test_relative_values_are_those_of_the_policy(sign):
    # 0 and 1 alternate, 3 stays or goes to 4, 4 stays; 2 chooses between the two sets, and so does 5 dearly.
    p = np.zeros((6, 2, 6))
    for s, one, other in [(0, 1, 1), (1, 0, 0), (2, 1, 3), (3, 3, 4), (4, 4, 3), (5, 3, 2)]:
        p[s, 0, one] = p[s, 1, other] = 1
    r = np.array([[4.0, 4], [0, 0], [7, 1], [2, 0], [1, 0], [-5, 3.0]])
    model = mm.dp.MDP(sign * r, p, 1.0, maximize=sign > 0)
    solution = mm.dp.average_reward(model)
    assert solution.gain == pytest.approx(sign * 2, abs=1e-8)  # both sets pay 2: one number
    h, chosen = sign * solution.value, solution.policy
    np.testing.assert_allclose(2 + h, r[range(6), chosen] + p[range(6), chosen] @ h, atol=1e-7)
    assert chosen[2] == 0  # to 1 for 7; of equal gains the one that earns more on the way
    assert chosen[5] == 1  # by way of 2


@pytest.mark.parametrize("method", METHODS)
def test_starts_that_differ_are_told_with_what_one_may_end_in(method):
    model = mm.dp.MDP([[1.0], [2.0]], [[[1.0, 0.0]], [[0.0, 1.0]]], 1.0)
    with pytest.warns(
        ModelWarning, match=re.escape("2 sets of states are not left again: state 0 (gain 1); state 1")
    ):
        solution = mm.dp.average_reward(model, method)
    assert solution.gain.tolist() == [1.0, 2.0]
    # State 1 stays for 3 or falls into state 0, which pays 1 for ever: the gain is 1 from 0 and 3 from 1.
    model = mm.dp.MDP([[1.0, 1.0], [3.0, 0.0]], [[[1.0, 0.0]] * 2, [[0.0, 1.0], [1.0, 0.0]]], 1.0)
    with pytest.warns(ModelWarning, match="the average reward depends on where one starts"):
        solution = mm.dp.average_reward(model, method)
    np.testing.assert_allclose([solution.lower, solution.upper], [[1, 3], [1, 3]], rtol=1e-14)


def test_a_gamble_between_two_ends():
    # From 0: to 1 for sure (gain 1), or to 2 (gain 5) with chance 1/4 and else to 3 (gain 0).
    p = np.zeros((4, 2, 4))
    p[0, 0, 1], p[0, 1, 2], p[0, 1, 3] = 1, 0.25, 0.75
    p[[1, 2, 3], :, [1, 2, 3]] = 1
    model = mm.dp.MDP([[0.0, 0.0], [1, 1], [5, 5], [0, 0]], p, 1.0)
    with pytest.warns(ModelWarning, match="state 1 .*state 2 .*state 3"):
        solution = mm.dp.average_reward(model)
    np.testing.assert_allclose(solution.gain, [1.25, 1, 5, 0], atol=1e-9)
    assert (solution.lower <= [1.25, 1, 5, 0]).all()
    assert (solution.upper >= [1.25, 1, 5, 0]).all()


def test_a_component_that_is_left_by_way_of_its_one_exit():
    # 0, 1, 2 in a ring that pays 1; 2 may leave to 3, which pays 10: every state of the ring heads for it.
    p = np.zeros((4, 2, 4))
    p[0, :, 1] = p[1, 0, 0] = p[1, 1, 2] = p[2, 0, 0] = p[2, 1, 3] = p[3, :, 3] = 1
    solution = mm.dp.average_reward(mm.dp.MDP([[1.0, 1], [1, 0], [1, -50], [10, 10]], p, 1.0))
    assert solution.gain == pytest.approx(10, abs=1e-8)
    assert solution.policy[:3].tolist() == [0, 1, 1]


def test_random_large_models_agree_with_the_discounted_value():
    rng = np.random.default_rng(3)
    n = 400
    r, p = rng.random((n, 3)), np.zeros((n, 3, n))
    # chains that drift towards higher states and stay in blocks of ten with every second block closed
    for s, a in product(range(n), range(3)):
        block = s // 10
        far = rng.integers(block * 10, n if block % 2 else block * 10 + 10, 2)
        np.add.at(p[s, a], far, 0.5)
    with pytest.warns(ModelWarning):
        solution = mm.dp.average_reward(mm.dp.MDP(r, p, 1.0))
    value = mm.dp.MDP(r, p, 1 - 1e-7).solve("policy_iteration", evaluator="sparse", tol=1.0).value
    np.testing.assert_allclose(1e-7 * value, solution.gain, atol=1e-4)
    assert solution.gap <= 2e-8


def test_absorption_is_told():
    model = mm.dp.MDP(
        [[5.0], [1.0]], [[[0.5, 0.5]], [[0.0, 1.0]]], 1.0, states=["alive", "ruined"], actions=["go"]
    )
    with pytest.warns(
        ModelWarning, match=re.escape("state 1 ('ruined') is absorbing and every policy ends there")
    ):
        solution = mm.dp.average_reward(model)
    assert solution.gain == pytest.approx(1.0, abs=1e-8)


def test_a_discount_is_refused():
    with pytest.raises(InvalidArgument, match=r"discount must be 1 where rewards are averaged, got 0\.9"):
        mm.dp.average_reward(mm.dp.MDP([[1.0]], [[[1.0]]], 0.9))


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e-60, 1e40])
def test_gains_of_several_classes_do_not_depend_on_the_unit(scale):
    """A cycle of two that earns 3 a round, a state that keeps 1, and one that chooses between them."""
    rewards = np.array([[1.0, -np.inf], [2.0, -np.inf], [1.0, -np.inf], [0.0, 0.5]])
    transitions = np.zeros((4, 2, 4))
    for state, action, there in [(0, 0, 1), (1, 0, 0), (2, 0, 2), (3, 0, 0), (3, 1, 2)]:
        transitions[state, action, there] = 1.0
    with pytest.warns(ModelWarning):
        found = mm.dp.average_reward(mm.dp.MDP(rewards * scale, transitions, 1.0), tol=1e-12 * scale)
    np.testing.assert_allclose(np.asarray(found.gain) / scale, [1.5, 1.5, 1.0, 1.5], rtol=1e-12)
    assert np.max(found.upper - found.lower) <= 1e-11 * scale
