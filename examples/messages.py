"""How many order messages a quote costs, and what fewer of them cost: minimum life against hysteresis.

A fixed half-spread of 4 ticks, wanted anew at every quote, with at most 10 lots; answers are immediate, and a
trade strictly through our price fills us. Run it on a simulated market, or on your data:
python examples/messages.py [PATH]
"""

import os
import sys

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
HALF_SPREAD = 4.0  # ticks
LOTS = 10
LIVES = (0.0, 0.1, 1.0, 10.0)  # s
TICKS = (0, 1, 2)


def main() -> None:
    """Print the table."""
    path = sys.argv[1] if len(sys.argv) > 1 else None
    simulated = mm.SimulatedMarket(duration=300.0 if SMALL else 3600.0, seed=1)
    events = simulated.events() if path is None else mm.load(path)
    quoter = mm.Quoter(mm.Affine(base=HALF_SPREAD), limits=mm.Limits(max_position=LOTS))
    print(f"{events.name}: half-spread {HALF_SPREAD:g} ticks, at most {LOTS} lots")
    print(f"{'min_life':>9} {'hysteresis':>11} {'messages':>9} {'fills':>6} {'profit':>9}  order life")
    for min_life in LIVES:
        for hysteresis in TICKS:
            orders = {"min_life": min_life, "hysteresis": hysteresis, "max_exposure": LOTS}
            result = mm.replay(events, quoter, interval=0.0, orders=orders)
            profit = float(result.attribution.total / events.instrument.tick_value)
            life = f"{result.order_life.median:.2g} s"
            print(
                f"{min_life:>7g} s {hysteresis:>11} {result.messages:>9,} {len(result.fills):>6,} "
                f"{profit:>9,.1f}  {life:>10}"
            )


if __name__ == "__main__":
    main()
