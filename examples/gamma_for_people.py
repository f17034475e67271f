"""From a sentence of a trader to gamma, and back: what the inventory, the P&L and the quotes will be like.

Run it: python examples/gamma_for_people.py
"""

import math
import os
import warnings

import numpy as np

import mmcore as mm
from mmcore.errors import ApproximationWarning

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
DAYS = 20 if SMALL else 400
DAY = 6.5 * 3600  # s
LOTS, SHARE = 50, 0.95
WIDE = {"q_max": 200}


def main() -> None:
    """Calibrate, choose gamma by five kinds of target, and check the first against simulated days."""
    market = mm.SimulatedMarket(sigma=2.0, A=0.22, k=0.28, duration=DAY / 4, start=100_000, seed=4)
    calibration = mm.calibrate(market.events())
    print(calibration, "\n")

    warnings.simplefilter("ignore", ApproximationWarning)  # the note below says the same
    gamma = mm.gamma_for(calibration, inventory=LOTS, probability=SHARE, session=DAY, **WIDE)
    print(repr(gamma), "\n")

    print("What the calibration leaves open:")
    print(calibration.quote_interval(mm.GueantLehalleFernandezTapia, gamma=gamma, **WIDE), "\n")

    print("Other sentences:")
    print(f"{'':44}{'gamma':>10}{'std':>7}{'half-life':>11}{'P&L, 1 h':>10}{'spread':>8}")
    for target in (
        {"inventory": LOTS, "probability": SHARE},
        {"inventory": LOTS, "probability": 0.999},
        {"std": 10},
        {"half_life": 600},
        {"pnl_std": 1500, "over": 3600},
        {"spread": 8.0},
    ):
        other = mm.gamma_for(calibration, **target, **WIDE)
        law = other.law
        said = ", ".join(f"{name} {value:g}" for name, value in target.items())
        print(
            f"{said:44}{other:10.2e}{law.std:7.1f}{law.half_life:9.0f} s{law.pnl_std(3600):10,.0f}"
            f"{2 * other.model.half_spread:8.2f}"
        )

    print(f"\n{DAYS} simulated days of {DAY / 3600:g} h, share of the time within {LOTS} lots:")
    law = gamma.law
    world = {"sigma": calibration.sigma, "A": calibration.A, "k": calibration.k, "horizon": DAY}
    steady = np.random.default_rng(1).choice(law.inventories, DAYS, p=law.pmf)
    for name, start in (("from the law", steady), ("flat", 0.0)):
        outcome = mm.simulate(gamma.model, **world, paths=DAYS, initial_inventory=start, within=LOTS)
        share = outcome.time_within / DAY
        spread = math.sqrt(outcome.inventory_square.mean() / DAY)
        print(
            f"  started {name:13} {100 * share.mean():5.1f} ± {100 * share.std() / math.sqrt(DAYS):.1f} %, "
            f"root mean square inventory {spread:.1f} lots"
        )


if __name__ == "__main__":
    main()
