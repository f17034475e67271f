"""Ordering with a fixed cost: when to order, and how much; and with a supplier who may not deliver.

Every day demand is Poisson, an order costs K and so much a unit, stock costs to hold and backlog to owe.
Scarf (1960) proved that the best rule is (s, S): at s or below order up to S, above s order nothing. Nobody
tells the solver.

    python examples/inventory_control.py
"""

import math

import numpy as np

import mmcore as mm

MEAN, FIXED, UNIT, HOLD, BACKLOG, DISCOUNT = 5.0, 32.0, 1.0, 1.0, 9.0, 0.99
LOW, HIGH, LARGEST = -40, 50, 45


def demand(mean: float = MEAN, largest: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """Return units asked for in a day and their probabilities, given that it is no more than `largest`."""
    units = np.arange(largest + 1)
    probability = np.array([math.exp(d * math.log(mean) - mean - math.lgamma(d + 1)) for d in units])
    return units, probability / probability.sum()


def model(fixed: float = FIXED, delivery: float = 1.0) -> mm.dp.MDP:
    """Return the daily problem in stock and units ordered; an order comes with the chance `delivery`."""
    units, probability = demand()
    both = {"demand": units, "comes": [0, 1]}  # each day's shocks: all pairs, the last axis fastest
    chance = np.outer(probability, [1 - delivery, delivery]).ravel()

    def cost(stock, order, shock):
        left = stock + order * shock.comes - shock.demand
        held = HOLD * np.maximum(left, 0) + BACKLOG * np.maximum(-left, 0)
        paid = (fixed * (order > 0) + UNIT * order) * shock.comes
        return np.where(stock + order > HIGH, np.inf, paid + held)  # the shelf ends at HIGH

    def next_stock(stock, order, shock):
        return np.clip(stock + order * shock.comes - shock.demand, LOW, HIGH)

    return mm.dp.from_model(
        range(LOW, HIGH + 1), range(LARGEST + 1), both, chance, cost, next_stock, DISCOUNT, maximize=False
    )


def rule(orders: np.ndarray) -> tuple[int, int]:
    """Return (s, S) of a policy: the largest stock at which it orders, and what it orders up to then."""
    stock = np.arange(LOW, HIGH + 1)
    s = int(stock[orders > 0].max())
    return s, s + int(orders[s - LOW])


def main() -> None:
    """Print the rule of each problem, and what its least cost is known to lie between."""
    print(
        f"demand {MEAN:g} a day, {FIXED:g} an order, {HOLD:g} to hold, {BACKLOG:g} to owe; per unit and day"
    )
    at = -LOW  # nothing in stock
    for name, problem in {
        "delivered at once": model(),
        "no fixed cost": model(fixed=0.0),
        "delivered 3 times in 4": model(delivery=0.75),
    }.items():
        solution = problem.solve(tol=1e-6)
        s, top = rule(solution.policy)
        print(
            f"  {name:24s} s = {s:3d}, S = {top:3d}, cost {solution.value[at]:.4f} +- {solution.gap / 2:.0e}"
        )


if __name__ == "__main__":
    main()
