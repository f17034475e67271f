"""How far to let a hedge drift: fees, half-spread and impact against capital and risk.

An options desk's delta drifts by fills that come one lot at a time. Hedging n lots costs a ticket, half a
spread and a fee for each lot, and an impact that grows with n; until then the deviation ties up capital and
is at risk. `rebalance_band` says where both balance; here each band is also played, fill by fill.

    python examples/rebalance_band.py [PICTURE]
"""

import math
import os
import sys

import numpy as np

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
FILLS = 20_000 if SMALL else 400_000

DRIFT = 0.05  # lots/s
TICKET = 3.0  # tick·lots for each hedge
PER_LOT = 0.7  # half-spread 0.5 and fee 0.2, ticks
IMPACT = 0.002  # ticks per lot: n lots pay IMPACT * n more each
SIGMA, GAMMA = 2.0, 1e-4  # ticks/√s, 1/(tick·lot)
CAPITAL = 5e-5  # ticks per lot and second: a margin of 5,000 ticks at 30 % a year of 3e7 s
HELD = CAPITAL + GAMMA * SIGMA**2 / 2  # ticks per lot and second


def expected(band: np.ndarray) -> np.ndarray:
    """Return what a band of n whole lots costs, tick·lots a second: the deviation is 0 … n - 1 in turn."""
    return DRIFT / band * (TICKET + PER_LOT * band + IMPACT * band**2) + HELD * (band - 1) / 2


def played(band: int, random: np.random.Generator) -> tuple[float, float, np.ndarray, np.ndarray]:
    """Return cost a second and its standard error; times of the fills, and the deviation that each leads to.

    At the band it is hedged at once, so that the next fill begins from 0.
    """
    wait = random.exponential(1 / DRIFT, FILLS)
    before = np.arange(FILLS) % band  # lots of deviation until the next fill
    cost = HELD * before * wait
    cost[band - 1 :: band] += TICKET + PER_LOT * band + IMPACT * band**2
    whole = FILLS // (50 * band) * 50 * band
    batches = cost[:whole].reshape(50, -1).sum(axis=1) / wait[:whole].reshape(50, -1).sum(axis=1)
    return batches.mean(), batches.std(ddof=1) / math.sqrt(50), np.cumsum(wait), before + 1


def main() -> None:
    """Print the band and what it costs beside others; draw it where a picture is asked for."""
    best = mm.rebalance_band(
        DRIFT, TICKET, sigma=SIGMA, risk_aversion=GAMMA, capital_charge=CAPITAL, impact=IMPACT
    )
    cost = float(expected(np.array(best.lots)))
    print(
        f"band {best.quantity:.2f} lots, whole: {best.lots}; a re-hedge each {best.cycle_time:.0f} s on "
        f"average, {cost:.5f} tick·lots a second"
    )
    bands = sorted({best.lots, *(max(1, round(best.lots * k)) for k in (0.3, 0.5, 0.7, 1.4, 2, 3))})
    random = np.random.default_rng(0)
    found = {n: played(n, random) for n in bands}
    print(f"{'band':>6}{'expected':>12}{'played':>12}{'± 2 errors':>12}")
    for n, (mean, error, _, _) in found.items():
        mark = "  <- best" if n == best.lots else ""
        print(f"{n:6d}{expected(np.array(n)):12.5f}{mean:12.5f}{2 * error:12.5f}{mark}")
    if len(sys.argv) > 1:
        draw(sys.argv[1], best, found)


def draw(path: str, best: mm.inventory_control.OrderQuantity, found: dict) -> None:
    """Draw the deviation over an hour and a half, and the cost of each band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _, _, times, deviation = found[best.lots]
    minutes, reached = times[times < 5400] / 60, deviation[times < 5400]
    hedged = np.flatnonzero(reached == best.lots)
    left.step(  # each hedge brings what has reached the band back to 0
        np.insert(minutes, hedged + 1, minutes[hedged]),
        np.insert(reached, hedged + 1, 0),
        where="post",
        linewidth=1.2,
    )
    left.plot(minutes[hedged], reached[hedged], "o", color="C1", markersize=4, label="hedged, back to 0")
    left.axhline(best.lots, color="C1", linestyle="--", linewidth=1, label=f"band: {best.lots} lots")
    left.set(xlabel="minutes", ylabel="deviation, lots", ylim=(0, 1.25 * best.lots))
    bands = np.linspace(min(found) * 0.85, max(found) * 1.05, 300)
    right.plot(bands, expected(bands), label="expected")
    right.errorbar(
        list(found),
        [mean for mean, *_ in found.values()],
        [2 * error for _, error, *_ in found.values()],
        fmt="o",
        markersize=4,
        color="0.3",
        capsize=2,
        label="played, ± 2 standard errors",
    )
    right.axvline(
        best.quantity, color="C1", linestyle="--", linewidth=1, label=f"band: {best.quantity:.1f} lots"
    )
    right.axhline(
        PER_LOT * DRIFT, color="0.6", linestyle=":", linewidth=1, label="half-spread and fee of each lot"
    )
    right.set(xlabel="band, lots", ylabel="cost, tick·lots a second", ylim=(0, None))
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
