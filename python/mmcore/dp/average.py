r"""Average reward per step, over a horizon without end.

The gain g and the relative values h solve g + h(s) = max_a { r(s, a) + sum_k p(s, a, k) h(k) }. For any h,
with d = Th - h, no policy gains more than max d from any state, and the policy that attains Th gains at least
min d from every state (Odoni 1969): these are the bounds, and where they meet they prove that the gain does
not depend on the start. They hold for rows scaled to sum to one exactly, which stored rows need not: the
difference, at most abs(1 - sum) max abs(h), is added to the rounding of :mod:`mmcore.dp.certificate`.

Relative value iteration moves nine tenths of the way to Th, so that periodic chains converge as well; policy
iteration solves for g and h of a policy, where its chain has one recurrent class, and otherwise makes such a
step.

Whether the gain depends on the start is a question of the model's chain structure. If two sets of states are
both closed under every action, it does, and no method is tried.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bellman import Pairs, span
from ..errors import InvalidArgument, NoConvergence
from ..parameters import expect
from .checks import tolerance, whole
from .mdp import MDP
from .solution import Solution

__all__ = ["AverageSolution", "average_reward"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

METHODS = ("policy_iteration", "relative_value_iteration")
STEP = 0.9


@dataclass(frozen=True, eq=False)
class AverageSolution(Solution):
    """A solution whose `value` is relative, 0 in the first state, and whose bounds are of the gain.

    Parameters
    ----------
    gain : float
        Reward per step, in the long run and from any state; `lower` and `upper` are its bounds, of shape ().
        No action is eliminated: several policies may have the same gain, and `policy_unique` is not claimed.
    """

    gain: float


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
        Where a discount is not 1, or where the gain depends on the start for certain: two closed sets of
        states.
    NoConvergence
        Where a policy can stay for ever in states that others leave, and the bounds did not meet.

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
    graph = _Graph(model.pairs)
    graph.refuse_closed_sets()
    contraction, pairs, n = model.contraction, model.pairs, model.n_states
    leak = max(abs(1 - contraction.sum_low), abs(contraction.sum_high - 1))
    v, tv = np.zeros(n), np.empty(n)
    policy = np.full(n, -1, dtype=np.int64)
    size, best, stalled, iteration = 0.0, math.inf, 0, 0
    while True:
        low, high, changed, living, _ = pairs.improve(v, tv, policy, None, math.inf)  # all are alive
        iteration += 1
        error = (contraction.rounding(size) + leak * size + 2 * math.ulp(max(abs(low), abs(high)))) * (
            1 + 1e-12
        )
        below, above = low - error, high + error
        half = (above - below) / 2
        stalled = 0 if half < 0.9 * best else stalled + 1
        best = min(best, half)
        if half <= tol:
            reason = "tolerance"
        elif half - error <= error / 8 or (stalled >= 30 and half <= 8 * error):
            reason = "rounding"
        elif iteration >= max_iterations:
            graph.refuse_staying()
            reason = "iterations"
        else:
            settled = method == "policy_iteration" and changed == 0 and iteration > 1 and stalled > 2
            if method != "policy_iteration" or settled or not graph.value(policy, tv):
                tv -= v
                tv *= STEP
                tv += v
            tv -= tv[0]
            v, tv = tv, v
            size = max(map(abs, span(v)))
            continue
        break
    relative = v - v[0]
    if pairs.sign < 0:
        below, above, relative = -above, -below, -relative
    return AverageSolution(
        value=relative,
        policy=model.actions_of(policy),
        lower=np.array(below),
        upper=np.array(above),
        gap=above - below,
        iterations=iteration,
        residual=(high - low) / 2,
        alive=(living, False),
        stop_reason=reason,
        elapsed=time.perf_counter() - began,
        method=method,
        why=why,
        gain=(below + above) / 2,
    )


class _Graph:
    """Which state leads to which."""

    def __init__(self, pairs: Pairs) -> None:
        from scipy import sparse

        first, row, column, probability, reward, _ = pairs.arrays
        self.pairs, self.first = pairs, first
        self.matrix = sparse.csr_array((probability, column, row), shape=(pairs.n_pairs, pairs.n_states))
        self.reward = pairs.sign * reward
        self.feasible = np.isfinite(reward)
        self.state = np.repeat(np.arange(pairs.n_states), np.diff(first))

    def closed(self, pairs: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Class of each state under the pairs chosen, and the classes that nothing leads out of."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        rows = self.matrix[np.flatnonzero(pairs)].tocoo()
        real = rows.data > 0
        origin, target = self.state[pairs][rows.row[real]], rows.col[real]
        n = self.pairs.n_states
        edges = sparse.csr_array((np.ones(origin.size, dtype=np.int8), (origin, target)), shape=(n, n))
        count, label = connected_components(edges, connection="strong")
        leaving = np.zeros(count, dtype=bool)
        leaving[label[origin[label[origin] != label[target]]]] = True
        return label, np.flatnonzero(~leaving)

    def refuse_closed_sets(self) -> None:
        """Raise where two sets of states are closed under all actions."""
        label, closed = self.closed(self.feasible)
        self.outside = label != closed[0]
        if closed.size > 1:
            one, other = (int(np.flatnonzero(label == c)[0]) for c in closed[:2])
            raise InvalidArgument(
                f"transitions have {closed.size} closed sets of states: none leads from state {one} to state "
                f"{other} or back, so the average reward depends on where one starts. Solve each set as a "
                f"model of its own, or use a discount below 1"
            )

    def refuse_staying(self) -> None:
        """Raise where a policy can stay for ever outside the one closed set."""
        inside = self.outside.copy()
        while inside.any():
            leads_out = self.matrix @ (~inside).astype(float) > 0
            can = np.zeros_like(inside)
            can[self.state[self.feasible & ~leads_out & inside[self.state]]] = True
            if (can == inside).all():
                s = int(np.flatnonzero(inside)[0])
                raise NoConvergence(
                    f"the average reward may depend on where one starts: a policy can stay for ever in "
                    f"{int(inside.sum())} states, state {s} among them, that others leave for good"
                )
            inside = can

    def value(self, policy: Ints, out: Floats) -> bool:
        """Write the relative values of a policy to `out`; False where it has several closed classes."""
        from scipy import sparse
        from scipy.sparse.linalg import splu

        chosen = np.zeros(self.pairs.n_pairs, dtype=bool)
        chosen[policy] = True
        if self.closed(chosen)[1].size > 1:
            return False
        n = self.pairs.n_states
        # h(0) = 0: its column is free for the gain.
        equations: Any = sparse.eye_array(n, format="csr") - self.matrix[policy]
        gain: Any = sparse.csr_array(np.ones((n, 1)))
        equations = sparse.hstack([gain, equations[:, 1:]], format="csc")
        out[:] = splu(equations).solve(self.reward[policy])
        out[0] = 0.0
        return bool(np.isfinite(out).all())
