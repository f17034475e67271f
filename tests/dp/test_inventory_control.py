"""Inventory control as a Markov decision process: what theory says of its solutions."""

import sys
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import inventory_control as inventory

pytestmark = pytest.mark.compiled
STOCK = np.arange(inventory.LOW, inventory.HIGH + 1)
MIDDLE = STOCK > inventory.LOW + 15  # away from the lower edge, where backlog is forgiven


def k_convexity_gap(f, k):
    """Largest violation of f(y + b) + K >= f(y) + b (f(y) - f(y - a)) / a (Scarf 1960), over the integers."""
    n, worst = f.size, -np.inf
    for y in range(1, n - 1):
        slope = (f[y] - f[y - 1 :: -1]) / np.arange(1, y + 1)  # for a = 1 .. y
        b = np.arange(1, n - y)
        worst = max(worst, (f[y] + b * slope.max() - f[y + 1 :] - k).max())
    return worst


def test_the_oracle_knows_k_convex_functions_from_others():
    x = np.arange(-10.0, 11.0)
    assert k_convexity_gap(x**2, 0.0) <= 0
    assert k_convexity_gap(np.where(x < 0, 3 - x, 0.0), 3.0) <= 1e-12  # falls by 3, then order no more
    assert k_convexity_gap(np.where(x < 0, 3 - x, 0.0), 2.0) > 0.5
    assert k_convexity_gap(-(x**2), 1.0) > 1


@pytest.mark.parametrize("fixed", [0.0, 4.0, 32.0, 64.0])
def test_the_optimal_policy_is_s_S_and_the_cost_is_k_convex(fixed):
    solution = inventory.model(fixed).solve(tol=1e-8)
    orders, stock = solution.policy[MIDDLE], STOCK[MIDDLE]
    s, top = inventory.rule(solution.policy)
    assert (orders[stock > s] == 0).all()
    assert (
        stock[stock <= s] + orders[stock <= s] == np.minimum(top, stock[stock <= s] + inventory.LARGEST)
    ).all()
    assert k_convexity_gap(solution.value[MIDDLE], fixed) <= solution.gap


def test_without_a_fixed_cost_the_policy_is_the_newsvendors():
    """Order up to the fractile of demand that (backlog - (1 - discount) unit) / (backlog + hold) names."""
    solution = inventory.model(0.0).solve(tol=1e-9)
    units, probability = inventory.demand()
    fractile = (inventory.BACKLOG - (1 - inventory.DISCOUNT) * inventory.UNIT) / (
        inventory.BACKLOG + inventory.HOLD
    )
    up_to = units[np.searchsorted(np.cumsum(probability), fractile)]
    assert inventory.rule(solution.policy) == (up_to - 1, up_to)


def test_known_policies_of_zheng_and_federgruen():
    """Their Table 1 (Operations Research 39, 1991): Poisson demand, K = 64, h = 1, p = 9, average cost."""
    for mean, s, top, cost in ((10, 6, 40, 35.022), (15, 10, 49, 42.698), (20, 14, 62, 49.173)):
        units, probability = inventory.demand(mean, 60)
        model = mm.dp.from_model(
            range(-60, 81),
            range(121),
            units,
            probability,
            lambda x, a, w: np.where(
                x + a > 80, np.inf, 64 * (a > 0) + np.maximum(x + a - w, 0) + 9 * np.maximum(w - x - a, 0)
            ),
            lambda x, a, w: np.clip(x + a - w, -60, 80),
            1.0,
            maximize=False,
        )
        solution = mm.dp.average_reward(model, tol=1e-6)
        assert solution.gain == pytest.approx(cost, abs=6e-4)
        orders = solution.policy[60 - 20 :]  # from a stock of -20 on
        x = np.arange(-20, 81)
        assert x[orders > 0].max() == s
        assert (x + orders)[x <= s].tolist() == [top] * int((x <= s).sum())


def test_a_lead_time_is_a_model_of_the_inventory_position():
    """With all demand owed, cost after the lead time depends on stock and orders under way together alone.

    Two derivations: the pipeline by composition, and Scarf's reduction: position y pays the expected cost of
    y - (demand of two days), a day later.
    """
    small, discount = range(-30, 31), 0.9
    units, probability = np.array([0, 1, 2]), np.array([0.25, 0.5, 0.25])

    def held(left):
        return np.maximum(left, 0.0) + 9 * np.maximum(-left, 0.0)

    at_once = mm.dp.from_model(
        small,
        range(5),
        units,
        probability,
        lambda x, a, w: 4.0 * (a > 0) + held(x + a - w),
        lambda x, a, w: np.clip(x + a - w, -30, 30),
        discount,
        maximize=False,
    )
    late = mm.dp.lagged(at_once, 1).solve(tol=1e-10)
    two = np.convolve(probability, probability)
    position = mm.dp.from_model(
        small,
        range(5),
        {"today": [0, 1, 2], "later": [0, 1, 2]},
        np.outer(probability, probability).ravel(),
        lambda y, a, w: discount * (4.0 * (a > 0) + held(y + a - w.today - w.later)),
        lambda y, a, w: np.clip(y + a - w.today, -30, 30),
        discount,
        maximize=False,
    ).solve(tol=1e-10)
    assert two.sum() == 1
    middle = np.arange(10, 46)
    for under_way in range(5):
        x = middle[(middle + under_way) < 46]
        paid = 4.0 * (under_way > 0) + sum(
            p * held(np.arange(-30, 31)[x] + under_way - d) for d, p in zip(units, probability, strict=True)
        )
        expected = paid + position.value[x + under_way]
        np.testing.assert_allclose(late.value.reshape(61, 5)[x, under_way], expected, rtol=0, atol=0.02)
        order = late.policy.reshape(61, 5)[x, under_way]
        assert (order == position.policy[x + under_way]).all()


def test_a_supplier_who_may_not_deliver_costs_and_is_ordered_from_earlier():
    sure, unsure = (inventory.model(delivery=p).solve(tol=1e-7) for p in (1.0, 0.75))
    assert (unsure.value[MIDDLE] > sure.value[MIDDLE]).all()
    assert inventory.rule(unsure.policy)[0] > inventory.rule(sure.policy)[0]
    for solution in (sure, unsure):  # the more in stock, the less is ordered
        assert (np.diff(solution.policy[MIDDLE]) <= 0).all()
