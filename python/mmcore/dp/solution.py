"""What a solver returns: values, a policy, and bounds that the true values lie between.

The bounds hold for the model as it is stored, in exact arithmetic: what rounding can have done is proven and
added. They are of the sup-norm error: `tol` promises ``max(upper - value, value - lower) <= tol``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Solution", "averaged", "farthest", "middle"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved dynamic program and its certificate.

    Parameters
    ----------
    value : ndarray of float
        Value of each state; of each time and state where the horizon is finite.
    policy : ndarray of int
        The action taken in each state, as the model counts actions; -1 where none is feasible.
    lower, upper : ndarray of float
        Bounds of the true value, of the same shape as `value`; of the gain where rewards are averaged.
    gap : float
        The largest ``upper - lower``.
    iterations : int
        Passes over the model that looked for better actions.
    residual : float
        Largest change of the value that one more such pass would make.
    alive : (int, bool) or callable
        `alive_actions` and `policy_unique`, or what finds them out when they are first asked for.
    stop_reason : str
        ``"tolerance"``: the bounds are as tight as asked for. ``"rounding"``: as tight as floating point
        lets them be. ``"iterations"``: the limit was reached first.
    elapsed : float
        Seconds.
    method : str
        The algorithm that ran.
    why : str
        Why this one, in words.
    """

    value: Floats
    policy: NDArray[Any]
    lower: Floats
    upper: Floats
    gap: float
    iterations: int
    residual: float
    alive: tuple[int, bool] | Callable[[], tuple[int, bool]]
    stop_reason: str
    elapsed: float
    method: str
    why: str

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.value.shape))
        return f"{type(self).__name__}({shape} values, {self.method}: gap {self.gap:.3g}, {self.stop_reason})"

    @cached_property
    def _alive(self) -> tuple[int, bool]:
        return self.alive() if callable(self.alive) else self.alive

    @property
    def alive_actions(self) -> int:
        """State-action pairs that may still be optimal by the bounds; the others are proven not to be."""
        return self._alive[0]

    @property
    def policy_unique(self) -> bool:
        """Whether every state has one such action: `policy` is the optimal one, and the only one."""
        return self._alive[1]


def averaged(solution: Solution) -> bool:
    """Whether what is bounded is the gain, not the values."""
    return not np.ndim(solution.lower) or hasattr(solution, "gain")


def middle(solution: Solution) -> Any:
    """What the bounds are of, as it is told: the value; the middle of the bounds where that is the gain."""
    return 0.5 * (solution.lower + solution.upper) if averaged(solution) else solution.value


def farthest(solution: Solution) -> float:
    """How far what is told can be off by the bounds, which is what `tol` is compared with."""
    told = middle(solution)
    return max(float((solution.upper - told).max()), float((told - solution.lower).max()))
