r"""Average reward per step, over a horizon without end.

The gain g and the relative values h solve g + h(s) = max_a { r(s, a) + sum_k p(s, a, k) h(k) }. For any h,
with d = Th - h, no policy gains more than max d from any state, and the policy that attains Th gains at least
min d from every state (Odoni 1969): these are the bounds, and where they meet they prove that the gain does
not depend on the start. They hold for rows scaled to sum to one exactly, which stored rows need not: the
difference, at most abs(1 - sum) max abs(h), is added to the rounding of :mod:`mmcore.dp.certificate`.

Relative value iteration moves nine tenths of the way to Th, so that periodic chains converge as well; policy
iteration solves for g and h of a policy, where its chain has one recurrent class, and otherwise makes such a
step.

Whether the gain may depend on the start is a question of the model's chain structure, which is looked at
first. Where a policy can stay for ever in one set of states only, the bounds meet. Where there are several
such sets, each has a gain of its own, and :mod:`mmcore.dp.multichain` finds where to go from each start.
"""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..arrays import whole
from ..bellman import span
from ..errors import InvalidArgument, ModelWarning, NoConvergence
from ..parameters import expect
from .checks import tolerance
from .mdp import MDP
from .multichain import Chains, Found, solve_by_components
from .solution import Solution

__all__ = ["AverageSolution", "average_reward"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHODS = ("policy_iteration", "relative_value_iteration")
STEP = 0.9


@dataclass(frozen=True, eq=False, repr=False)
class AverageSolution(Solution):
    """A solution whose `value` is relative, 0 in the first state, and whose bounds are of the gain.

    Parameters
    ----------
    gain : float or ndarray of float, shape (S,)
        Reward per step, in the long run; `lower` and `upper` are its bounds, of the same shape. One number
        where it is within `tol` the right one from every state; else one for each state to start from, and
        `value` is 0 in the first state of each set that the policy ends in.
        No action is eliminated: several policies may have the same gain, and `policy_unique` is not claimed.
    """

    gain: float | Floats


def average_reward(
    model: MDP, method: str = "auto", tol: float = 1e-8, *, max_iterations: int = 100_000
) -> AverageSolution:
    """Maximise (or minimise) the average reward per step.

    Parameters
    ----------
    model : MDP
        With discount 1.
    method : str
        ``"auto"``, ``"policy_iteration"`` or ``"relative_value_iteration"``.
    tol : float
        Bound of the error of the gain.
    max_iterations : int
        Passes over the model.

    Returns
    -------
    AverageSolution

    Raises
    ------
    InvalidArgument
        Where a discount is not 1, or an argument is not allowed.

    Warns
    -----
    ModelWarning
        Where the gain depends on the start (it says which states one may end in), and where every policy ends
        in one absorbing state.

    Examples
    --------
    A machine earns 3 a day when new and 1 when worn, and wears with probability 1/2; renewing costs 2 and a
    day.

    >>> import mmcore as mm
    >>> model = mm.dp.MDP(
    ...     [[3.0, -2.0], [1.0, -2.0]],
    ...     [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]],
    ...     discount=1.0,
    ... )
    >>> solution = mm.dp.average_reward(model)
    >>> round(solution.gain, 9), solution.policy
    (1.333333333, array([0, 1]))

    Two machines that never meet, or one that may be sold once for a rent of 2 and never be had again:

    >>> import warnings
    >>> sold = mm.dp.MDP([[2.0, 2.0], [3.0, 0.0]], [[[1, 0], [1, 0]], [[0, 1], [1, 0]]], discount=1.0)
    >>> with warnings.catch_warnings(action="ignore"):
    ...     mm.dp.average_reward(sold).gain
    array([2., 3.])
    """
    began = time.perf_counter()
    expect(
        "model",
        model,
        MDP,
        "an MDP: the chain structure is found in its table (from_model makes it of functions)",
    )
    tol = tolerance(tol)
    if method not in ("auto", *METHODS):
        raise InvalidArgument(argument="method", value=method, allowed=f"auto or one of {', '.join(METHODS)}")
    if not (model.discount == 1).all():
        raise InvalidArgument(
            argument="discount", value=float(model.discount.min()), allowed="1 where rewards are averaged"
        )
    why = "asked for" if method != "auto" else "few passes; each policy is valued by one sparse elimination"
    method = METHODS[0] if method == "auto" else method
    whole("max_iterations", max_iterations, 1)
    chains = Chains(model.pairs)
    if chains.component.max() == 0:
        _warn_of_absorption(model, chains)
        found = _one_gain(model, chains, method, tol, max_iterations)
    else:
        why = f"{why}; several sets of states can be stayed in for ever: each is solved, then which to go to"
        found = _each_gain(chains, method, tol, max_iterations)
    return _solution(model, found, tol, began, method, why)


def _one_gain(model: MDP, chains: Chains, method: str, tol: float, limit: int) -> Found:
    """Solve where the gain is the same from all states."""
    pairs, n = model.pairs, model.n_states
    v, tv = np.zeros(n), np.empty(n)
    policy = np.full(n, -1, dtype=np.int64)
    size, best, stalled, iteration = 0.0, math.inf, 0, 0
    while True:
        low, high, changed, _, _ = pairs.improve(v, tv, policy)
        iteration += 1
        error = _rounding(model, low, high, size)
        below, above = low - error, high + error
        if not math.isfinite(above - below):
            raise NoConvergence("values left the range of floating point: rewards are too large")
        half = (above - below) / 2
        stalled = 0 if half < 0.9 * best else stalled + 1
        best = min(best, half)
        if half <= tol:
            reason = "tolerance"
        elif half - error <= error / 8 or (stalled >= 30 and half <= 8 * error):
            reason = "rounding"
        elif iteration >= limit:
            reason = "iterations"
        else:
            settled = method == "policy_iteration" and changed == 0 and iteration > 1 and stalled > 2
            if method != "policy_iteration" or settled or not chains.value(policy, tv):
                with np.errstate(over="ignore", invalid="ignore"):
                    tv -= v
                    tv *= STEP
                    tv += v
            with np.errstate(over="ignore", invalid="ignore"):
                tv -= tv[0]
            v, tv = tv, v
            size = max(map(abs, span(v)))
            continue
        break
    lower, upper = np.array(below), np.array(above)
    return Found(lower, upper, policy, v - v[0], iteration, (high - low) / 2, chains.component, {reason})


def gain_bounds(model: MDP, value: Floats) -> tuple[float, float]:
    """Bounds of the best gain, from all states, by one pass from any relative values (Odoni 1969)."""
    v, tv = model.pairs.sign * np.asarray(value, dtype=np.float64), np.empty(model.n_states)
    low, high, *_ = model.pairs.improve(v, tv, np.full(model.n_states, -1, dtype=np.int64))
    error = _rounding(model, low, high, max(map(abs, span(v))))
    ends = model.pairs.sign * (low - error), model.pairs.sign * (high + error)
    return min(ends), max(ends)


def _rounding(model: MDP, low: float, high: float, size: float) -> float:
    """Bound of what rounding does to the bounds, with relative values of this size."""
    contraction = model.contraction
    leak = max(abs(1 - contraction.sum_low), abs(contraction.sum_high - 1))
    return float(
        (contraction.rounding(size) + leak * size + 2 * math.ulp(max(abs(low), abs(high)))) * (1 + 1e-12)
    )


def _each_gain(chains: Chains, method: str, tol: float, limit: int) -> Found:
    """Solve where the gain may differ between states."""

    def solve_one(chains: Chains, pairs: Ints) -> tuple[float, float, Ints, int, float, str]:
        states, own = np.unique(chains.state[pairs], return_inverse=True)
        place = pairs - chains.first[chains.state[pairs]]
        part = MDP(chains.reward[pairs], chains.matrix[pairs][:, states], 1.0, own, place)
        found = _one_gain(part, Chains(part.pairs), method, tol / 2, limit)
        policy = chains.first[states] + part.actions_of(found.policy)
        (reason,) = found.reasons
        return float(found.lower), float(found.upper), policy, found.iterations, found.residual, reason

    return solve_by_components(chains, solve_one)


def _warn_of_absorption(model: MDP, chains: Chains) -> None:
    only = np.flatnonzero(chains.component == 0)
    if only.size == 1 and model.n_states > 1:
        warnings.warn(
            f"{model._words(int(only[0]), -1)} is absorbing and every policy ends there: the average "
            f"reward is that of this state, and rewards elsewhere do not count in it. A total reward has a "
            f"horizon (backward_induction) or a discount below 1",
            ModelWarning,
            stacklevel=3,
        )


def _warn_of_starts(model: MDP, found: Found, gain: Floats) -> None:
    told = []
    ends = np.unique(found.component[found.component >= 0])
    for c in ends[:3]:
        states = np.flatnonzero(found.component == c)
        names = ", ".join(model._words(int(s), -1) for s in states[:3])
        told.append(f"{names}{' and so on' if states.size > 3 else ''} (gain {gain[states[0]]:g})")
    more = f", and {ends.size - 3} more" if ends.size > 3 else ""
    warnings.warn(
        f"the average reward depends on where one starts: {ends.size} sets of states are not left again: "
        f"{'; '.join(told)}{more}. gain, lower and upper hold one number for each state",
        ModelWarning,
        stacklevel=4,
    )


def _solution(model: MDP, found: Found, tol: float, began: float, method: str, why: str) -> AverageSolution:
    """Turn what was found for signed rewards into words and arrays."""
    lower, upper = found.lower, found.upper
    if upper.max() - lower.min() <= 2 * tol:  # one number for all states
        lower, upper = np.array(lower.min()), np.array(upper.max())
    relative = found.relative
    if model.pairs.sign < 0:
        lower, upper, relative = -upper, -lower, -relative
    gain = (lower + upper) / 2
    if gain.ndim:
        _warn_of_starts(model, found, gain)
    reached = bool(((upper - lower) / 2 <= tol).all())
    reasons = found.reasons - {"tolerance"}
    stopped = "iterations" if "iterations" in reasons else "rounding"
    return AverageSolution(
        value=relative,
        policy=model.actions_of(found.policy),
        lower=lower,
        upper=upper,
        gap=float((upper - lower).max()),
        iterations=found.iterations,
        residual=found.residual,
        alive=(model.extremes["feasible"], False),
        stop_reason="tolerance" if reached else stopped,
        elapsed=time.perf_counter() - began,
        method=method,
        why=why,
        gain=gain if gain.ndim else float(gain),
    )
