"""What latency costs a market maker, and what it is worth to know of it.

Quotes take 0, 1, 2 or 5 steps until they are live. The table gives the value of the best policy that knows
it, by dynamic programming; the same policy in a simulation, which must agree; and in the same simulation
the policy that is best without latency, which sends what it wants to have out now. Then the same with a
quote sent at every step instead of one at a time. Means have their 95 % intervals.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np

from mmcore.dp import MarketMakingProblem, MarketMakingSolution, Offers, Regime

PATHS = 2_000 if os.environ.get("MMCORE_EXAMPLE") == "small" else 40_000
DT, HORIZON, Q_MAX = 0.5, 60.0, 6  # s, s, lots


def problem(depths: list[float], lag: int, in_flight: str = "one") -> MarketMakingProblem:
    """Return a market in which inventory is dear and fills are many."""
    regime = Regime(Offers.exponential(A=1.2, k=0.6, depth=depths), running_penalty=0.05)
    return MarketMakingProblem(
        regime, q_max=Q_MAX, dt=DT, horizon=HORIZON, terminal_penalty=0.5, lag=lag, in_flight=in_flight
    )


def simulate(model: MarketMakingSolution, market: MarketMakingProblem, seed: int) -> tuple[float, float]:
    """Mean reward of quoting by a model in a market with delay, and half the width of its interval."""
    (chain,) = market._parts["regimes"].chains
    none = chain.bid[0].size - 1
    knows = model.problem.lag > 0
    policy, rng = model.solution.policy, np.random.default_rng(seed)
    q = np.zeros(PATHS, dtype=int)
    reward = np.zeros(PATHS)
    flying: list[Any] = [np.zeros(PATHS, dtype=int)]  # pairs of offers; the first is none at all
    every = 1 if market.in_flight == "all" else max(1, market.lag)
    flying *= market.lag if market.in_flight == "all" else min(1, market.lag)
    for t in range(market.steps or 0):
        if t % every == 0:
            at = q + Q_MAX
            codes = policy[(t // every, *flying, 0, at)] if knows else policy[t, 0, at]
            codes = np.where(codes < 0, none, codes)
            sent = (none - codes[:, 0]) * (none + 1) + none - codes[:, 1]
            if market.lag == 0:
                live = sent
            elif market.in_flight == "all":
                live, flying = flying[0], [*flying[1:], sent]
            else:
                live, flying = flying[0], [sent]
        bid, ask = (none - side for side in np.divmod(live, none + 1))
        p = np.where(q < Q_MAX, chain.bid[0][bid], 0.0)
        h = np.where(q > -Q_MAX, chain.ask[0][ask], 0.0)
        reward += chain.rate[q + Q_MAX]
        draw = rng.random(PATHS)
        bought, sold = draw < p, (draw >= p) & (draw < p + h)
        reward += bought * chain.bid[1][bid] + sold * chain.ask[1][ask]
        q += bought * 1 - sold * 1
    reward += market._parts["terminal"][0, q + Q_MAX]
    return float(reward.mean()), 1.96 * float(reward.std()) / math.sqrt(PATHS)


def row(depths: list[float], lag: int, in_flight: str, plain: MarketMakingSolution) -> None:
    """Solve, simulate both policies, and print a line."""
    market = problem(depths, lag, in_flight)
    model = market.solve() if lag else plain
    best = model.value(0, HORIZON)  # nothing is out at the start
    aware, unaware = (simulate(policy, market, seed=lag) for policy in (model, plain))
    told = [f"{mean:7.3f} ± {half:.3f}" for mean, half in (aware, unaware)]
    loss = f"{100 * (1 - best / plain.value(0, HORIZON)):.1f} %"
    print(
        f"{lag:>4} {in_flight:>10} {model.solution.value[0].size:>9,} {best:9.3f} {loss:>9} {'  '.join(told)}"
    )


def main() -> None:
    """Print both tables."""
    head = f"{'lag':>4} {'in flight':>10} {'states':>9} {'value':>9} {'lost':>9} {'knows of it':>15}"
    for depths, cases in (
        ([0.5, 1.0, 2.0, 3.0, 4.0], [(0, "one"), (1, "one"), (2, "one"), (5, "one"), (1, "all")]),
        ([1.0, 2.0, 4.0], [(0, "one"), (2, "one"), (2, "all")]),
    ):
        plain = problem(depths, 0).solve()
        print(f"\ndepths {depths} ticks, steps of {DT:g} s, {HORIZON:g} s; values in tick·lots")
        print(f"{head} {'does not':>16}")
        for lag, in_flight in cases:
            row(depths, lag, in_flight, plain)


if __name__ == "__main__":
    main()
