"""Calibrate again every second, as a desk would live, and draw the parameters with their intervals.

σ, A and k are estimated each second from the window before it and put in force where the data identify them.
Run it on a simulated market, or on your data: python examples/walk_forward.py [PATH] [PICTURE]
"""

import os
import sys
import warnings

import numpy as np
from matplotlib.figure import Figure

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"


def main() -> None:
    """Say what the parameters were, and draw their paths."""
    warnings.simplefilter("ignore")  # the clock of a capture; what the notes below say anyway
    path = sys.argv[1] if len(sys.argv) > 1 else None
    picture = sys.argv[2] if len(sys.argv) > 2 else "parameters.png"
    simulated = mm.SimulatedMarket(duration=600.0 if SMALL else 7200.0, seed=1)
    events = simulated.events() if path is None else mm.load(path)
    first, rest = events.split(0.25)
    window = 600.0 if first.duration > 600.0 else 60.0
    recalibrate = mm.Recalibrate(every=1.0, window=window, warmup=window / 2)
    recalibrate.observe(first)
    calibration = mm.calibrate(first)
    gamma = mm.gamma_for(calibration, inventory=10, probability=0.95, q_max=20)
    model = calibration.model(mm.GueantLehalleFernandezTapia, gamma=gamma, q_max=20)
    result = mm.replay(rest, model, recalibrate=recalibrate)

    steps = result.parameters
    set_ = steps[steps["status"] == 0]
    print(f"{rest.name}: {len(steps):,} estimates from {window:.0f} s each, {len(set_):,} put in force")
    print(f"{'':8}{'at first':>10}{'5 %':>10}{'median':>10}{'95 %':>10}   standard error, median")
    columns = {"sigma": None, "A bid": 0, "A ask": 1, "k bid": 0, "k ask": 1}
    for name, side in columns.items():
        value, error = set_[name.split()[0]], set_[f"{name.split()[0]}_error"]
        if side is not None:
            value, error = value[:, side], error[:, side]
        quantiles = "".join(f"{q:10.3g}" for q in np.quantile(value, (0.05, 0.5, 0.95)))
        print(f"{name:8}{value[0]:10.3g}{quantiles}   {np.median(error / value):.1%}")

    figure = Figure(figsize=(10, 9), layout="constrained")
    result.plot("parameters", figure.subplots())
    figure.savefig(picture, dpi=110)
    print(f"\nThe paths with their 95 % intervals: {picture}")


if __name__ == "__main__":
    main()
