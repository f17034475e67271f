"""Avellaneda and Stoikov's Tables 1-3 beside ours, and what their quotes lose against the exact policy.

Run it: python examples/avellaneda_stoikov_tables.py
"""

import os
import time

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
PATHS = 1000 if SMALL else 20_000
DT = 0.005  # the paper's time step, s
WORLD = {"sigma": 2.0, "A": 140.0, "k": 1.5, "horizon": 1.0}

# The paper's section 3.3: spread, profit, its standard deviation, final q, its standard deviation.
# The table printed third is made with gamma = 1.
PUBLISHED = {
    0.1: {"inventory": (1.49, 65.0, 6.6, 0.08, 2.9), "symmetric": (1.49, 68.4, 12.7, 0.26, 8.4)},
    0.01: {"inventory": (1.35, 68.6, 8.7, 0.12, 5.1), "symmetric": (1.35, 68.8, 12.8, 0.09, 8.7)},
    1.0: {"inventory": (3.02, 31.4, 5.0, 0.02, 1.7), "symmetric": (3.02, 44.0, 11.0, 0.0, 5.1)},
}


def row(name: str, outcome: mm.simulation.Experiment, printed: tuple[float, ...]) -> str:
    """One line of a table: each of our estimates beside the paper's number."""
    estimates = (
        outcome.average_spread,
        outcome.mean_profit,
        outcome.std_profit,
        outcome.mean_inventory,
        outcome.std_inventory,
    )
    cells = [f"{cell(e):>15} {paper:>6g}" for e, paper in zip(estimates, printed, strict=True)]
    return f"{name:<10}" + "".join(cells)


def cell(estimate: mm.simulation.Estimate) -> str:
    """An estimate with its standard error."""
    return f"{estimate.value:.2f} ± {estimate.standard_error:.2f}"


def main() -> None:
    """Print the three tables and the comparison."""
    began = time.perf_counter()
    heads = ("spread", "profit", "std(profit)", "final q", "std(final q)")
    print(f"{PATHS:,} paths, dt = {DT:g} s; beside each estimate the paper's number (1,000 paths)")
    for gamma, printed in PUBLISHED.items():
        quotes = mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=gamma, horizon=1.0)
        inventory = mm.simulate(quotes, **WORLD, dt=DT, paths=PATHS, seed=1)
        half = inventory.average_spread.value / 2
        symmetric = mm.simulate(mm.simulation.Symmetric(half), **WORLD, dt=DT, paths=PATHS, seed=2)
        print(f"\ngamma = {gamma:g}")
        print(" " * 10 + "".join(f"{head:>22}" for head in heads))
        print(row("inventory", inventory, printed["inventory"]))
        print(row("symmetric", symmetric, printed["symmetric"]))

    print("\nWhat the paper's quotes lose against the exact policy: certainty equivalents, continuous time")
    print(f"{'gamma':>6}{'exact':>9}{'simulated':>16}{'paper':>9}{'simulated':>16}{'lost':>8}")
    for gamma in (0.1, 0.5, 1.0):
        exact = mm.GueantLehalleFernandezTapia(**WORLD, gamma=gamma, q_max=30)
        quotes = mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=gamma, horizon=1.0)
        values, cells = [], []
        for policy in (exact, quotes):
            values.append(exact.certainty_equivalent(policy))  # by a differential equation
            outcome = mm.simulate(policy, **WORLD, paths=PATHS, seed=3)
            # From gamma = 1 on a few paths carry the whole mean of e^(-gamma profit).
            cells.append(cell(outcome.certainty_equivalent(gamma)) if gamma < 1 else "too rare losses")
        lost = values[0] - values[1]
        print(f"{gamma:>6g}{values[0]:>9.2f}{cells[0]:>16}{values[1]:>9.2f}{cells[1]:>16}{lost:>8.2f}")
    print(f"\n{time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main()
