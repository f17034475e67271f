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

from ..errors import Unsupported
from ..models.model import Floats

if TYPE_CHECKING:
    from .market_making import MarketMakingProblem

__all__ = ["solve_lagged"]


class _Live:
    """One step of the market under each pair of offers."""

    def __init__(self, problem: MarketMakingProblem) -> None:
        parts = problem._parts
        self.chains, self.change = parts["regimes"].chains, parts["change"]
        self.independent = problem.fills == "independent"
        self.offers = self.chains[0].bid[0].size, self.chains[0].ask[0].size
        self.pairs = [(i, j) for i in range(self.offers[0]) for j in range(self.offers[1])]

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
        sent[first] = later.argmax(axis=-3)
    return value, sent


def solve_lagged(problem: MarketMakingProblem, tol: float, limit: int) -> dict[str, Any]:
    """Backward induction, or value iteration, over quotes in flight; what a Solution holds."""
    from .market_making import _UNIT, _factors, _step_error

    live, parts = _Live(problem), problem._parts
    flying = problem.lag if problem.in_flight == "all" else 1
    span = 1 if problem.in_flight == "all" else problem.lag
    shape = (len(live.pairs),) * flying + parts["terminal"].shape
    pairs = np.array(live.pairs, dtype=np.int16)
    how = (
        f"{flying} quotes in flight" if flying > 1 else f"one quote in flight, live after {problem.lag} steps"
    )
    found: dict[str, Any] = {"policy_unique": False, "alive_actions": int(np.prod(shape)) * len(live.pairs)}
    factor = _factors(parts)[1] ** span
    own_steps = 1.0 if factor == 1.0 else (1 - factor) / (1 - _factors(parts)[1])
    if problem.steps is not None:
        rest = problem.steps % span
        spans = [span] * (problem.steps // span) + ([rest] if rest else [])
        values, sent, error = np.empty((len(spans) + 1, *shape)), [], np.zeros(len(spans) + 1)
        values[-1] = parts["terminal"]
        for t in range(len(spans) - 1, -1, -1):
            values[t], chosen = _pass(live, values[t + 1], spans[t])
            sent.append(chosen)
            large = 2 * float(np.abs(values[t : t + 2]).max()) + span * float(np.abs(parts["terminal"]).max())
            error[t] = (factor * error[t + 1] + span * _step_error(parts, large, 0)) * (1 + 4 * _UNIT)
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
            "why": how,
        }
    averaged = parts["discount"] == 1.0
    if averaged and not any(p.any() for chain in live.chains for p in (chain.bid[0], chain.ask[0])):
        raise Unsupported("nothing is ever filled: the gain depends on where inventory starts")
    v = np.zeros(shape)
    middle = (0,) * (len(shape) - 1) + (problem.nodes // 2,)
    stop, iterations = "iterations", 0
    while iterations < limit:
        new, sent_now = _pass(live, v, span)
        iterations += 1
        moved = new - v
        low, high = float(moved.min()), float(moved.max())
        own = span * _step_error(parts, float(max(np.abs(v).max(), np.abs(new).max())), 0)
        own += _UNIT * max(abs(low), abs(high))
        if averaged:
            seconds = span * problem.dt
            bounds = (np.float64((low - own) / seconds), np.float64((high + own) / seconds))
            error_now = 0.5 * float(bounds[1] - bounds[0])
            value = new - new[middle]
        else:
            shift = (low * factor / (1 - factor), high * factor / (1 - factor))
            value = new + 0.5 * (shift[0] + shift[1])  # MacQueen
            wide = own * own_steps / (1 - factor) if own_steps > 1 else own / (1 - factor)
            half = 0.5 * (shift[1] - shift[0]) + wide + 4 * _UNIT * float(np.abs(value).max())
            bounds = (value - half, value + half)
            error_now = half
        if error_now <= tol or high - low <= 4 * own:
            stop = "tolerance" if error_now <= tol else "rounding"
            break
        v = value if averaged else new
    return found | {
        "value": value,
        "policy": pairs[sent_now],
        "lower": bounds[0],
        "upper": bounds[1],
        "gap": float(np.max(bounds[1] - bounds[0])),
        "iterations": iterations,
        "residual": float(max(abs(high), abs(low)) if not averaged else high - low),
        "stop_reason": stop,
        "method": "relative value iteration" if averaged else "value iteration",
        "why": how,
    }
