"""Market makers' problems without delay, solved step by step: backward, or for ever by policy iteration.

What is proven of the answers is said in :mod:`mmcore.dp.step_errors`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NoConvergence, Unsupported
from ..market_making import InventoryChain, Regimes
from ..models.model import Floats
from .step_errors import UNIT, factors, step_error

if TYPE_CHECKING:
    from .market_making import MarketMakingProblem

_NEAR_ONE = 1 - 1e-7  # a discount whose best policies are those of the average, mostly
_UNRELATED = 1e12  # values over rewards that only a matrix without an inverse brings about
_MOST_TESTED = 1 << 26  # offers, states and steps: beyond, no action of a finite horizon is proven away


def backward(problem: MarketMakingProblem, tol: float) -> dict[str, Any]:
    parts, steps = problem._parts, problem.steps or 0
    regimes = parts["regimes"]
    codes = [np.empty((steps, len(regimes), problem.nodes), np.int16) for _ in "ba"]
    values, bid, ask, take = regimes.backward(steps, parts["terminal"], bid=codes[0], ask=codes[1])
    error = np.zeros(steps + 1)
    large = np.abs(values).max(axis=(1, 2))
    _, factor = factors(parts)
    own = step_error(parts, np.maximum(large[:-1], large[1:]), np.abs(take).max(axis=(1, 2)))
    for t in range(steps - 1, -1, -1):
        error[t] = (factor * error[t + 1] + own[t]) * (1 + 4 * UNIT)
    lower, upper = values - error[:, None, None], values + error[:, None, None]
    return {
        "value": values,
        "policy": np.stack([bid, ask], axis=-1),
        "lower": np.nextafter(lower, -math.inf, out=lower),
        "upper": np.nextafter(upper, math.inf, out=upper),
        "gap": float(2 * error.max()),
        "iterations": steps,
        "residual": 0.0,
        "alive": partial(_alive, problem, values, 2 * error[:-1]),
        "stop_reason": "tolerance" if error.max() <= tol else "rounding",
        "method": "backward induction",
        "why": "the horizon is finite",
        "take": take,
    }


def stationary(problem: MarketMakingProblem, tol: float, limit: int) -> dict[str, Any]:
    parts = problem._parts
    regimes: Regimes = parts["regimes"]
    averaged = parts["discount"] == 1.0
    chain = regimes.chains[0]
    if len(regimes) == 1 and parts["cross"] is None and chain.separates:
        method, why = "policy iteration, Thomas", "sides separate: evaluation is tri-diagonal"
    else:
        method, why = (
            "policy iteration, sparse LU",
            "regimes, sizes or market orders: evaluation is sparse",
        )
    if averaged:
        refuse_separate_gains(problem)
    try:
        if method.endswith("Thomas"):
            value, _, _, _, iterations = chain.stationary(limit=max(2, min(limit, 10_000)))
            v = value[None]
        else:
            v, iterations = _iterate(problem, min(limit, 200))
    except (NoConvergence, Unsupported):
        if averaged:
            v, iterations = _iterate_from_discounted(problem, min(limit, 200))
            method, why = (
                "policy iteration, sparse LU",
                "policies on the way leave inventories apart: begun from a discount close to one",
            )
        else:
            v, iterations = np.zeros((1, problem.nodes)), 0
            method, why = "value iteration", "policies still change when max_iterations are valued"
    stop, scale = "rounding", problem.dt if averaged else 1.0
    least, factor = factors(parts)
    while True:
        new, bid, ask, take = regimes.step(v)
        moved = new - v
        own = step_error(parts, float(max(np.abs(v).max(), np.abs(new).max())), int(np.abs(take).max()))
        own += UNIT * float(np.abs(moved).max())
        low, high = float(moved.min()), float(moved.max())
        if averaged:
            own += max(abs(x - 1.0) for x in (least, factor)) * float(np.abs(v).max())
            gain = 0.5 * (low + high) / scale
            lower, upper = (low - own) / scale, (high + own) / scale
            error = max(upper - gain, gain - lower)
        else:
            up, down = (
                x * b / (1 - b)
                for x, b in ((high, factor if high >= 0 else least), (low, factor if low < 0 else least))
            )
            wide = own / (1 - factor)
            error = max(abs(down), abs(up)) + wide
        if error <= tol:
            stop = "tolerance"
            break
        if iterations >= limit or high - low <= 4 * own:
            stop = "rounding" if high - low <= 4 * own else "iterations"
            break
        v = new - (new[0, problem.nodes // 2] if averaged else 0.0)
        iterations += 1
    if averaged:  # a residual does not bound the differences of values
        sides = [[side[0].size for side in (each.bid, each.ask)] for each in regimes.chains]
        alive, alone = sum(a * b for a, b in sides) * problem.nodes, False
    else:
        slack = 2 * (own + (high - low)) / (1 - factor)
        alive, alone = _alive(problem, np.stack([new, v]), np.array([slack]))
    if averaged:
        value, bounds = new - new[0, problem.nodes // 2], (np.float64(lower), np.float64(upper))
    else:
        value = new
        bounds = np.nextafter(new + down - wide, -math.inf), np.nextafter(new + up + wide, math.inf)
    return {
        "value": value,
        "policy": np.stack([bid, ask], axis=-1),
        "lower": bounds[0],
        "upper": bounds[1],
        "gap": float(np.max(bounds[1] - bounds[0])),
        "iterations": iterations,
        "residual": float(np.abs(moved - 0.5 * (low + high)).max() if averaged else np.abs(moved).max()),
        "alive": (alive, alone),
        "stop_reason": stop,
        "method": method,
        "why": why,
        "take": take,
    }


def _alive(problem: MarketMakingProblem, values: Floats, slack: Floats) -> tuple[int, bool]:
    """How many pairs of offers may still be best, by the slack of each step; and whether one each.

    Where market orders are allowed no policy is called the only one.
    """
    parts = problem._parts
    chains = parts["regimes"].chains
    pairs = any(not chain.separates for chain in chains)
    sizes = [[side[0].size for side in (chain.bid, chain.ask)] for chain in chains]
    total = sum(a * b for a, b in sizes) * values[1:, 0].size
    if sum(a * b if pairs else a + b for a, b in sizes) * values[1:, 0].size > _MOST_TESTED:
        return total, False
    alive, alone = 0, parts["cross"] is None
    for r, chain in enumerate(chains):
        mixed = np.einsum("k,tkn->tn", parts["change"][r], values[1:])
        after = values[1:, r] if problem.fills == "exclusive" else mixed
        counts = np.ones(after.shape, np.int64)
        for gains in (
            [list(_pairs(chain, after, problem.fills == "independent"))] if pairs else _sides(chain, after)
        ):
            best = np.maximum.reduce(gains)
            counts *= np.sum([best - gain <= slack[:, None] for gain in gains], axis=0)
        alive += int(counts.sum())
        alone = alone and bool((counts == 1).all())
    return alive, alone


def _iterate_from_discounted(problem: MarketMakingProblem, limit: int) -> tuple[Floats, int]:
    """Policy iteration for the average, from where a policy does not leave inventories apart.

    The first policies may never quote from some inventories on, and have no one gain. With a discount
    every policy has a value, and close to one the best policy is one of the average.
    """
    v, turns = _iterate(problem, limit, _NEAR_ONE)
    v = v - v[0, problem.nodes // 2]
    try:
        v, more = _iterate(problem, limit, start=v)
    except NoConvergence:
        return v, turns
    return v, turns + more


def _iterate(
    problem: MarketMakingProblem, limit: int, discount: float | None = None, start: Floats | None = None
) -> tuple[Floats, int]:
    """Policy iteration by sparse LU: what the offers and market orders in force are worth.

    It ends when no choice changes, or when a step moves values by no more than rounding can: what then
    still changes are ties.
    """
    from scipy.sparse import coo_array, csc_array, eye_array, hstack, vstack
    from scipy.sparse.linalg import splu

    parts = problem._parts
    regimes: Regimes = parts["regimes"]
    m, n = len(regimes), problem.nodes
    discount = parts["discount"] if discount is None else discount
    averaged = discount == 1.0
    v, before = np.zeros((m, n)) if start is None else start, None
    cross = np.zeros(m) if parts["cross"] is None else parts["cross"]
    turns = 0
    while turns < limit:
        turns += 1
        new, bid, ask, take = regimes.step(v)
        now = (bid.tobytes(), ask.tobytes(), take.tobytes())
        moved = new - v
        residual = float(moved.max() - moved.min() if averaged else np.abs(moved).max())
        error = step_error(parts, float(np.abs(v).max()), int(np.abs(take).max()))
        if now == before or (discount == parts["discount"] and residual <= 4 * error):
            break
        before = now
        rows, columns, weights, reward = [], [], [], np.empty((m, n))
        node = np.arange(n)
        for r, chain in enumerate(regimes.chains):
            reward[r] = chain.rate
            moves: list[tuple[int, Floats, Any]] = []
            chance, lots = [], []
            for codes, side, sign in ((bid[r], chain.bid, 1), (ask[r], chain.ask, -1)):
                there = codes >= 0
                p, e, d = (np.where(there, column[codes], 0) for column in side)
                reward[r] += p * e
                chance.append(p)
                lots.append(sign * d * there)
            both = chance[0] * chance[1] if problem.fills == "independent" else 0.0 * chance[0]
            moves += [(r, chance[0] - both, lots[0]), (r, chance[1] - both, lots[1])]
            moves += [(r, both, lots[0] + lots[1]), (r, both - chance[0] - chance[1], 0 * lots[0])]
            for source, weight, by in moves:
                targets = [(source, 1.0)]
                if problem.fills == "independent" and m > 1:
                    targets = list(enumerate(parts["change"][r]))
                for k, share in targets:
                    rows.append(r * n + node)
                    columns.append(k * n + node + by)
                    weights.append(discount * share * weight)
            for k in range(m):
                rows.append(r * n + node)
                columns.append(k * n + node)
                weights.append(np.full(n, discount * parts["change"][r, k]))
        shape = (m * n, m * n)
        chain_matrix = csc_array(
            coo_array((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
        )
        goes = (np.arange(m)[:, None] * n + node + take).ravel()
        paid = (np.abs(take) * cross[:, None]).ravel()
        select = csc_array(coo_array((np.ones(m * n), (np.arange(m * n), goes)), shape=shape))
        system = eye_array(m * n, format="csc") - chain_matrix @ select
        right = reward.ravel() - chain_matrix @ paid
        if averaged:  # the gain is one more unknown, the middle's value one more equation
            one = np.zeros((1, m * n))
            one[0, n // 2] = 1.0
            system = vstack(
                [
                    hstack([system, csc_array(np.ones((m * n, 1)))]),
                    hstack([csc_array(one), csc_array((1, 1))]),
                ]
            )
            right = np.append(right, 0.0)
        try:
            stays = splu(csc_array(system)).solve(right)[: m * n]
            if averaged and not np.abs(stays).max() <= _UNRELATED * np.abs(right).max():
                raise RuntimeError
        except RuntimeError:
            raise NoConvergence(
                "the policy has several classes of states that do not reach each other"
            ) from None
        v = (stays[goes] - paid).reshape(m, n)
    return v, turns


def refuse_separate_gains(problem: MarketMakingProblem) -> None:
    """Raise where the average reward depends on the start whatever is quoted.

    To quote nothing keeps inventory where it is, so it can be stayed for ever in every set of regimes and
    inventories that fills and market orders lead around in, if the regime does not leave it by itself. With
    one such set all starts have the same best gain.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    parts, m, n = problem._parts, len(problem.regimes), problem.nodes
    follows = parts["change"] > 0
    node = np.arange(n)
    edges: list[tuple[int, int, int]] = [(r, k, 0) for r, k in np.argwhere(follows).tolist()]
    for r, chain in enumerate(parts["regimes"].chains):
        moves = {
            sign * int(d) for side, sign in ((chain.bid, 1), (chain.ask, -1)) for d in side[2][side[0] > 0]
        }
        if problem.fills == "independent":
            moves |= {a + b for a in moves for b in moves if a > 0 > b}
            edges += [(r, k, by) for k in np.flatnonzero(follows[r]).tolist() for by in moves]
        edges += [(r, r, by) for by in moves]
        edges += [(r, r, by) for by in (1, -1) if problem.take]
    inside = [(r, k, node[(node + by >= 0) & (node + by < n)], by) for r, k, by in edges]
    origin = np.concatenate([r * n + at for r, _, at, _ in inside])
    target = np.concatenate([k * n + at + by for _, k, at, by in inside])
    graph = coo_array((np.ones(origin.size, np.int8), (origin, target)), shape=(m * n, m * n))
    count, flat = connected_components(graph.tocsr(), connection="strong")
    kept = np.ones(count, dtype=bool)
    label = flat.reshape(m, n)
    for r, k in np.argwhere(follows):
        kept[label[r][label[r] != label[k]]] = False
    if kept.sum() > 1:
        first = [np.argwhere(label == one)[0] for one in np.flatnonzero(kept)[:2]]
        one, other = (
            f"inventory {problem.inventories[q]:+g}" + (f" in regime {r}" if m > 1 else "") for r, q in first
        )
        raise Unsupported(
            f"the gain depends on where inventory starts: nothing leads from {one} to {other} and back, and "
            f"there are {int(kept.sum())} such sets, each with a gain of its own. Offer sizes that reach all "
            f"inventories, on both sides (or allow market orders: take=True), or give a horizon or a "
            f"discount_rate"
        )


def _sides(chain: InventoryChain, after: Floats) -> tuple[list[Floats], list[Floats]]:
    """What each offer adds, at (steps, n) values that come next; -inf where it does not fit."""
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    for gains, offers, sign in zip(sides, (chain.bid, chain.ask), (1, -1), strict=True):
        for p, e, d in zip(*offers, strict=True):
            gain = np.full(after.shape, -math.inf if p else 0.0)
            if d < after.shape[1]:
                here, there = (slice(None, -d), slice(d, None))[::sign]
                gain[:, here] = p * e + chain.discount * p * (after[:, there] - after[:, here])
            gains.append(gain)
    return sides


def _pairs(chain: InventoryChain, after: Floats, independent: bool) -> Iterator[Floats]:
    """What each pair of offers adds, where sides do not separate."""
    bids, asks = _sides(chain, after)
    n = after.shape[1]
    for (p, _, d), bid in zip(zip(*chain.bid, strict=True), bids, strict=True):
        for (h, _, c), ask in zip(zip(*chain.ask, strict=True), asks, strict=True):
            gain = bid + ask
            if independent:
                s = np.arange(c, n - d)
                both = after[:, s + d - c] - after[:, s + d] - after[:, s - c] + after[:, s]
                gain[:, s] += chain.discount * p * h * both
            yield gain
