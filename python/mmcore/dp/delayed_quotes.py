"""Quotes that take time: the state holds what is on its way.

A quote that is sent now is live `lag` steps later, and stays so until the next one is. Either one quote
is on its way at a time, so a decision falls due every `lag` steps, when the quote before has come to
life: the state is the quote that is live (whatever the lag). Or one is sent at every step, and the state
is all that are on their way. The value of sending a is the expectation under the quote that is live now,
so the best one is looked for after the expectation is taken:

    V(live, ..., last; x) = max_a E[ r + discount V(..., last, a; x') | live ].
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NoConvergence
from ..models.model import Floats
from .inventory_steps import refuse_separate_gains
from .step_errors import UNIT, factors, step_error

if TYPE_CHECKING:
    from .market_making import MarketMakingProblem

__all__ = ["in_flight", "solve_lagged"]


def _pairs(bids: int, asks: int) -> list[tuple[int, int]]:
    """Pairs of offers. The last of a side is none, and the first pair none of both: so state 0 has none."""
    return [(i, j) for i in range(bids)[::-1] for j in range(asks)[::-1]]


def in_flight(problem: MarketMakingProblem, state: int) -> list[tuple[int, int]]:
    """Pairs of offers that are on their way in a state, oldest first."""
    sides = problem._parts["regimes"].chains[0]
    pairs = _pairs(sides.bid[0].size, sides.ask[0].size)
    flying = problem.lag if problem.in_flight == "all" else 1
    places = np.unravel_index(state // len(problem.regimes), (len(pairs),) * flying)
    return [pairs[int(place)] for place in places]


class _Live:
    """One step of the market under each pair of offers."""

    def __init__(self, problem: MarketMakingProblem) -> None:
        parts = problem._parts
        self.chains, self.change = parts["regimes"].chains, parts["change"]
        self.independent = problem.fills == "independent"
        self.offers = self.chains[0].bid[0].size, self.chains[0].ask[0].size
        self.pairs = _pairs(*self.offers)

    def step(self, pair: tuple[int, int], v: Floats) -> Floats:
        """Expected reward and discounted value of v (..., regimes, n) after a step."""
        out = np.empty_like(v)
        n = v.shape[-1]
        for r, chain in enumerate(self.chains):
            mixed = np.tensordot(self.change[r], v, axes=(0, -2)) if len(self.chains) > 1 else v[..., r, :]
            after = mixed if self.independent else v[..., r, :]
            p, e, d = (column[pair[0]] for column in chain.bid)
            h, g, c = (column[pair[1]] for column in chain.ask)
            total = chain.rate + chain.discount * mixed
            if p and d < n:
                total[..., :-d] += p * e + chain.discount * p * (after[..., d:] - after[..., :-d])
            if h and c < n:
                total[..., c:] += h * g + chain.discount * h * (after[..., :-c] - after[..., c:])
            if self.independent and p and h and d + c < n:
                s = np.arange(c, n - d)
                both = after[..., s + d - c] - after[..., s + d] - after[..., s - c] + after[..., s]
                total[..., s] += chain.discount * p * h * both
            out[..., r, :] = total
        return out


def _pass(live: _Live, v: Floats, steps: int) -> tuple[Floats, Any]:
    """One decision for every state: value and the pair that is sent. v is (pairs, ..., pairs, regimes, n)."""
    value, sent = np.empty_like(v), np.empty(v.shape, np.int32)
    for first, pair in enumerate(live.pairs):
        later = v
        for _ in range(steps):
            later = live.step(pair, later)
        value[first] = later.max(axis=-3)
        sent[first] = later.argmax(axis=-3)  # of equals, the least that is offered
    return value, sent


def _largest_reward(live: _Live) -> float:
    """A bound of what a step may earn or cost."""
    most = 0.0
    for chain in live.chains:
        sides = [float(np.abs(side[0] * side[1]).max()) for side in (chain.bid, chain.ask)]
        most = max(most, float(np.abs(chain.rate).max()) + sum(sides))
    return most


@np.errstate(over="ignore", invalid="ignore")  # told by name
def solve_lagged(problem: MarketMakingProblem, tol: float, limit: int) -> dict[str, Any]:
    """Backward induction, or value iteration, over quotes in flight; what a Solution holds.

    The bounds are those of :mod:`mmcore.dp.market_making` for a decision of several steps: one is off by at
    most as many steps' errors, and its factor is that of the steps together.
    """
    live, parts, span = _Live(problem), problem._parts, problem.steps_of_decision
    flying = problem.lag if problem.in_flight == "all" else 1
    shape = (len(live.pairs),) * flying + parts["terminal"].shape
    pairs = np.array(live.pairs, dtype=np.int16)
    earned = _largest_reward(live)
    found: dict[str, Any] = {
        "alive": (int(np.prod(shape)) * len(live.pairs), False),
        "why": f"{flying} quote{'s' if flying > 1 else ''} in flight, live after {problem.lag} "
        f"step{'s' if problem.lag > 1 else ''}",
    }
    least, factor = (each**span for each in factors(parts))

    def own_error(v: Floats) -> float:
        return span * float(step_error(parts, float(np.abs(v).max()) + span * earned, 0))

    if problem.steps is not None:
        rest = problem.steps % span
        spans = [span] * (problem.steps // span) + ([rest] if rest else [])
        values, sent, error = np.empty((len(spans) + 1, *shape)), [], np.zeros(len(spans) + 1)
        values[-1] = parts["terminal"]
        for t in range(len(spans) - 1, -1, -1):
            values[t], chosen = _pass(live, values[t + 1], spans[t])
            sent.append(chosen)
            error[t] = (factor * error[t + 1] + own_error(values[t + 1])) * (1 + 4 * UNIT)
        if not np.isfinite(values).all() or not np.isfinite(error).all():
            raise NoConvergence("values left the range of floating point: rewards are too large")
        wide = error.reshape(-1, *(1,) * len(shape))
        return found | {
            "value": values,
            "policy": pairs[np.stack(sent[::-1])],
            "lower": np.nextafter(values - wide, -math.inf),
            "upper": np.nextafter(values + wide, math.inf),
            "gap": float(2 * error.max()),
            "iterations": len(spans),
            "residual": 0.0,
            "stop_reason": "tolerance" if error.max() <= tol else "rounding",
            "method": "backward induction",
        }
    averaged = parts["discount"] == 1.0
    if averaged:
        refuse_separate_gains(problem)
    v = np.zeros(shape)
    middle = (0,) * (len(shape) - 1) + (problem.nodes // 2,)
    stop, iterations = "iterations", 0
    lower: Any
    upper: Any
    while True:
        new, chosen = _pass(live, v, span)
        iterations += 1
        moved = new - v
        low, high = float(moved.min()), float(moved.max())
        own = own_error(v) + UNIT * max(abs(low), abs(high))
        if averaged:
            own += max(abs(each - 1.0) for each in (least, factor)) * float(np.abs(v).max())
            seconds = span * problem.dt
            lower, upper = np.float64((low - own) / seconds), np.float64((high + own) / seconds)
            value, error_now = new - new[middle], 0.5 * float(upper - lower)
        else:
            ends = (b / (1 - b) for b in (least if low >= 0 else factor, factor if high >= 0 else least))
            down, up = (x * share for x, share in zip((low, high), ends, strict=True))
            value = new + 0.5 * (down + up)  # MacQueen's shift
            error_now = 0.5 * (up - down) + own / (1 - factor) + 4 * UNIT * float(np.abs(value).max())
            lower, upper = value - error_now, value + error_now
        if not math.isfinite(error_now):
            raise NoConvergence("values left the range of floating point: rewards are too large")
        if error_now <= tol or high - low <= 4 * own or iterations >= limit:
            if error_now <= tol or high - low <= 4 * own:
                stop = "tolerance" if error_now <= tol else "rounding"
            break
        v = value if averaged else new
    return found | {
        "value": value,
        "policy": pairs[chosen],
        "lower": lower,
        "upper": upper,
        "gap": float(np.max(upper - lower)),
        "iterations": iterations,
        "residual": high - low if averaged else max(abs(low), abs(high)),
        "stop_reason": stop,
        "method": "relative value iteration" if averaged else "value iteration",
    }
