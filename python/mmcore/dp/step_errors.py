r"""By how much a computed step of a market maker's problem may be off.

Write T for one exact step of the model as it is stored (the probabilities,
rewards, discount and so on, as the doubles they are), B for the largest of :math:`\beta\sum_{m'} P_{mm'}`.
T is monotone, and adding c >= 0 to the value that comes next adds at most B c. A computed step adds up the
reward, the gains of both sides, the mean over M regimes and two differences; each term passes at most
10 + M roundings, so with u = 2^-53 it is off by at most

.. math:: \varepsilon = (16 + M) u (1 + 10^{-6}) (|r| + |e p z| + (|e p z|)' + 5 B |V|) + \ell + k u |V|,

:math:`\ell` being what the lines lose that rounding put into the wrong order on the envelope (read off at
its corners, between which the loss is convex) and k the market orders taken at once. Then

* finite horizon: :math:`|V_t - V^*_t| \le E_t = B E_{t+1} + \varepsilon_t`, :math:`E_N = 0`;
* discounted: with d = TV - V, :math:`V^* \le TV + \frac{B}{1-B}\max d` and alike below, widened by
  :math:`\varepsilon / (1 - B)`;
* average: the gain lies between the least and the largest of d, widened by :math:`\varepsilon`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..market_making import InventoryChain

UNIT = 2.0**-53


def factors(parts: dict[str, Any]) -> tuple[float, float]:
    """Bound discount times the sum of a row of changes, from below and from above."""
    count = parts["change"].shape[0]
    sums, wide = parts["change"].sum(axis=1), 4 * count * UNIT if count > 1 else 0.0
    return (
        float(parts["discount"] * sums.min() * (1 - wide)),
        float(parts["discount"] * sums.max() * (1 + wide)),
    )


def step_error(parts: dict[str, Any], largest: Any, taken: Any) -> Any:
    """By how much one computed step may be off, values being at most `largest`; of many steps at once."""
    worst = 0.0
    for chain in parts["regimes"].chains:
        sides = [float(np.abs(side[0] * side[1]).max()) for side in (chain.bid, chain.ask)]
        terms = float(np.abs(chain.rate).max()) + sum(sides) + 5 * factors(parts)[1] * largest
        own = (16 + len(parts["regimes"])) * UNIT * (1 + 1e-6) * terms + _lost(parts, chain)
        worst = np.maximum(worst, own)
    return worst + 2 * taken * UNIT * largest


def _lost(parts: dict[str, Any], chain: InventoryChain) -> float:
    """What an envelope may lose against the best of all its lines, where rounding misplaced them.

    Between the corners the loss is convex, so it is largest at one of them.
    """
    known: dict[int, float] = parts.setdefault("lost", {})
    if id(chain) not in known:
        total = 0.0
        if chain.separates:
            for offers, (level, slope, start, _) in zip((chain.bid, chain.ask), chain.lines(), strict=True):
                corner = start[1:-1]
                a, g = offers[0] * offers[1], chain.discount * offers[0]
                loss = 0.0
                for x, k in zip(corner, range(corner.size), strict=True):
                    kept = min(level[k] + slope[k] * x, level[k + 1] + slope[k + 1] * x)
                    size = float(np.abs(a).max() + np.abs(g).max() * abs(x))
                    loss = max(loss, float((a + g * x).max() - kept) + 8 * UNIT * size)
                total += loss
        known[id(chain)] = total
    return known[id(chain)]
