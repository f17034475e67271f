"""Replenishment against the general engine, and its bounds against exact rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument, NoConvergence

pytestmark = pytest.mark.compiled


@st.composite
def problems(draw):
    n = draw(st.integers(1, 9))
    eighths = st.integers(-80, 80).map(lambda k: k / 8)
    weights = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6).filter(sum))
    return {
        "cost": draw(st.lists(eighths, min_size=n, max_size=n)),
        "probabilities": np.array(weights) / sum(weights),
        "horizon": draw(st.integers(1, 4)),
        "order_cost": draw(st.integers(0, 40)) / 8,
        "purchase_cost": draw(st.integers(-8, 24)) / 8,
        "terminal": draw(st.lists(eighths, min_size=n, max_size=n)),
        "discount": draw(st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.1])),
    }


def as_table(cost, probabilities, horizon, order_cost, purchase_cost, terminal, discount):
    """The same problem for the general engine: a pair for each level and each level it may be raised to."""
    n = len(cost)
    rewards, transitions = np.full((n, n), np.inf), np.zeros((n, n, n))
    for x in range(n):
        for up in range(n):
            y = min(x + up, n - 1)
            for d, p in enumerate(probabilities):
                transitions[x, up, max(y - d, 0)] += p
            if x + up < n:
                rewards[x, up] = order_cost * (up > 0) + purchase_cost * up + cost[y]
    return mm.dp.backward_induction(
        rewards, transitions, horizon, terminal, discount=discount, maximize=False
    )


@given(problems())
def test_it_is_the_general_engines_solution(problem):
    """Whatever the period's cost: convex or not, with policies that are (s, S) or not."""
    found, general = mm.dp.replenishment(**problem), as_table(**problem)
    assert (found.lower <= general.upper).all()
    assert (general.lower <= found.upper).all()
    assert found.value == pytest.approx(general.value, rel=1e-12, abs=1e-11)
    assert found.gap < 1e-11
    clear = _unique(problem, found)
    assert (found.policy == general.policy)[clear].all()


def _costs(problem, values, t):
    """Exact cost of raising each level to each other one, from stored numbers; None where not allowed."""
    exact = [Fraction(v) for v in values[t + 1]]
    p = [Fraction(float(w)) for w in problem["probabilities"]]
    fixed, price, discount = (Fraction(problem[k]) for k in ("order_cost", "purchase_cost", "discount"))
    after = [
        Fraction(c) + discount * sum(w * exact[max(y - d, 0)] for d, w in enumerate(p))
        for y, c in enumerate(problem["cost"])
    ]
    return [
        [after[y] + (fixed if y > x else 0) + price * (y - x) if y >= x else None for y in range(len(after))]
        for x in range(len(after))
    ]


def _unique(problem, found):
    """Where one order is better than all others by more than rounding."""
    clear = np.zeros(found.policy.shape, dtype=bool)
    for t in range(problem["horizon"]):
        for x, row in enumerate(_costs(problem, found.value, t)):
            costs = sorted(c for c in row if c is not None)
            clear[t, x] = len(costs) == 1 or costs[1] - costs[0] > Fraction(1, 10**9)
    return clear


@given(problems())
def test_the_bounds_hold_in_exact_arithmetic(problem):
    found = mm.dp.replenishment(**problem)
    exact = [[Fraction(v) for v in problem["terminal"]]]
    for t in range(problem["horizon"] - 1, -1, -1):
        rows = _costs(problem, {t + 1: exact[0]}, t)
        exact.insert(0, [min(c for c in row if c is not None) for row in rows])
    for t, row in enumerate(exact):
        for x, true in enumerate(row):
            assert Fraction(found.lower[t, x]) <= true <= Fraction(found.upper[t, x])


@given(problems())
def test_what_is_claimed_to_be_the_only_policy_is(problem):
    found = mm.dp.replenishment(**problem)
    assert found.alive_actions >= problem["horizon"] * len(problem["cost"])
    if found.policy_unique:
        for t in range(problem["horizon"]):
            for x, row in enumerate(_costs(problem, found.value, t)):
                best = min(c for c in row if c is not None)
                assert [y for y, c in enumerate(row) if c == best] == [x + found.policy[t, x]]


def test_a_cost_with_two_bottoms_has_a_policy_that_is_not_s_S():
    """Orders at 0 and at 3, none at 1 and 2: a search for (s, S) would miss it."""
    cost = [9.0, 0.0, 1.0, 9.0, 0.0, 9.0]
    found = mm.dp.replenishment(cost, [1.0], 1, order_cost=2.0)
    assert found.policy[0].tolist() == [1, 0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cost": [1.0, np.nan]}, r"cost\[1\] must be finite, got nan"),
        ({"cost": []}, "cost must be of one element at least"),
        ({"probabilities": []}, "probabilities must be of one element at least"),
        ({"probabilities": [1.5, -0.5]}, r"probabilities\[1\] must be >= 0, got -0.5"),
        ({"probabilities": [0.5, 0.4]}, "probabilities must be of sum 1, got 0.9"),
        ({"horizon": 0}, "horizon must be an integer >= 1, got 0"),
        ({"order_cost": -1.0}, "order_cost must be a finite number >= 0, got -1"),
        ({"purchase_cost": np.inf}, "purchase_cost must be a finite number, got inf"),
        ({"discount": -0.1}, "discount must be a finite number >= 0, got -0.1"),
        ({"terminal": [0.0]}, r"terminal must be of shape \(2,\)"),
        ({"tol": 0.0}, "tol"),
    ],
)
def test_bad_input_is_named(changed, words):
    problem = {"cost": [1.0, 2.0], "probabilities": [0.5, 0.5], "horizon": 2}
    with pytest.raises(InvalidArgument, match=words):
        mm.dp.replenishment(**{**problem, **changed})


def test_values_that_leave_the_range_are_refused():
    with pytest.raises(NoConvergence, match="too large"):
        mm.dp.replenishment([1e308, 1e308], [1.0], 3)


def test_falls_summed_in_blocks_are_the_same_falls(monkeypatch):
    rng = np.random.default_rng(3)
    cost, fall = rng.uniform(0, 9, 40), rng.dirichlet(np.ones(17))
    fall[:2] = 0.0
    fall /= fall.sum()
    one = mm.dp.replenishment(cost, fall, 4, order_cost=2)
    monkeypatch.setattr("mmcore.dp.ordering.BLOCK", 4)
    several = mm.dp.replenishment(cost, fall, 4, order_cost=2)
    np.testing.assert_allclose(several.value, one.value, rtol=1e-13)
    assert (several.policy == one.policy).all()
