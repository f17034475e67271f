r"""Finite horizons, by backward induction.

    V_T = terminal,    V_t(s) = max_a { r_t(s, a) + discount sum_k p_t(s, a, k) V_{t+1}(k) }.

One pass a step, nothing to converge. The bounds are those of rounding alone: a computed pass errs by at most
eps_t (:mod:`mmcore.dp.certificate`) and carries the error of the step after it on, so that with B >= discount
times the row sums

    e_T = 0,    e_t = eps_t + B e_{t+1},    |computed V_t - V_t| <= e_t,

which holds for any discount, 1 and above included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import finite, real, whole
from ..errors import CapacityError, InvalidArgument, NoConvergence
from .certificate import margins
from .checks import tolerance
from .matrix_free import MatrixFree
from .mdp import MDP
from .solution import Solution

__all__ = ["backward_induction"]


def backward_induction(
    rewards: ArrayLike | MDP | MatrixFree | Callable[[int], ArrayLike | MDP | MatrixFree],
    transitions: Any = None,
    horizon: int = 1,
    terminal: ArrayLike | None = None,
    *,
    discount: ArrayLike | None = None,
    maximize: bool | None = None,
    tol: float = 1e-8,
    out: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None,
) -> Solution:
    """Solve a problem that ends after `horizon` steps.

    Parameters
    ----------
    rewards : array_like, MDP, MatrixFree or callable
        Shape (S, A) for all steps, or (horizon, S, A); a function of the step t = 0 .. horizon - 1 that
        returns (S, A); a model, or a function of t that returns a model: `transitions`, `discount` and
        `maximize` are then its own, and not to be given.
    transitions : array_like, sparse matrix, sequence or callable
        As for :class:`mmcore.dp.MDP`, for all steps; or one a step, as a list of sparse matrices,
        an array of shape (horizon, S, A, S) or a function of t.
    horizon : int
        Number of steps, >= 1.
    terminal : array_like of float, shape (S,), optional
        Value at the end; 0 by default.
    discount : float or array_like of shape (S,), optional
        Per step; may be 1 or more; 1 by default.
    maximize : bool, optional
        False: rewards are costs. True by default.
    tol : float
        What the error must stay below for ``stop_reason`` to be ``"tolerance"``; nothing else depends on it.
    out : (ndarray of float64, ndarray of int64), optional
        Arrays that `value` and `policy` are written to, of the shapes below and C-contiguous. They are the
        solution's own, and hold nothing of use where an error is raised on the way.

    Returns
    -------
    Solution
        `value`, `lower` and `upper` of shape (horizon + 1, S), the last row being `terminal`; `policy` of
        shape (horizon, S).

    Raises
    ------
    InvalidArgument
        As for :class:`mmcore.dp.MDP`.
    CapacityError
        There is no memory for values and decisions of so many steps.

    Examples
    --------
    Stop for x or draw again, uniformly from {1, ..., 4}, with three draws left:

    >>> import numpy as np, mmcore as mm
    >>> rewards = np.array([[1.0, 0], [2, 0], [3, 0], [4, 0], [0, 0]])  # stop, draw; the last state: stopped
    >>> transitions = np.zeros((5, 2, 5))
    >>> transitions[:, 0, 4] = 1
    >>> transitions[:4, 1, :4] = 0.25
    >>> transitions[4, 1, 4] = 1
    >>> solution = mm.dp.backward_induction(rewards, transitions, horizon=3)
    >>> solution.policy[:, :4]
    array([[1, 1, 0, 0],
           [1, 1, 0, 0],
           [0, 0, 0, 0]])
    >>> solution.value[0, :4].tolist()
    [3.0, 3.0, 3.0, 4.0]
    """
    began = time.perf_counter()
    tol = tolerance(tol)
    horizon = whole("horizon", horizon, 1)
    at = _models(rewards, transitions, horizon, discount, maximize)
    model = at(horizon - 1)
    n, sign = model.n_states, model.pairs.sign
    end = np.zeros(n) if terminal is None else sign * finite("terminal", terminal, (n,))
    value, policy = _room(out, horizon, n)
    value[horizon] = end
    error = np.zeros(horizon + 1)
    chosen, alive = np.full(n, -1, dtype=np.int64), 0
    for t in range(horizon - 1, -1, -1):
        model = model if t == horizon - 1 else at(t)
        if (model.n_states, model.pairs.sign) != (n, sign):
            raise InvalidArgument(
                f"the models of steps {t} and {horizon - 1} differ in states or in direction",
                argument="model",
                value=t,
            )
        ahead, held = value[t + 1], error[t + 1]
        size = float(np.abs(ahead).max())
        rounding = model.contraction.rounding(size)
        proven = model.contraction.closing(-held, held) + 3 * rounding
        chosen[:] = -1  # steps do not lean on each other: of equal actions, the first
        _, _, _, living, _ = model.pairs.improve(ahead, value[t], chosen, proven)
        alive += living
        policy[t] = model.actions_of(chosen.copy())
        error[t] = (rounding + model.contraction.high * held) * (1 + 1e-12)
    if not np.isfinite(value).all():
        raise NoConvergence(
            "values left the range of floating point: rewards, or the discount, are too large"
        )
    value *= sign
    margin = margins(value, error)
    lower, upper = value - margin, value + margin
    return Solution(
        value=value,
        policy=policy,
        lower=lower,
        upper=upper,
        gap=float((upper - lower).max()),
        iterations=horizon,
        residual=0.0,
        alive=(int(alive), int(alive) == horizon * n),
        stop_reason="tolerance" if margin.max() <= tol else "rounding",
        elapsed=time.perf_counter() - began,
        method="backward_induction",
        why="the horizon is finite: one pass a step is exact but for rounding",
    )


def _room(out: Any, horizon: int, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Arrays for values and policy: the caller's, or new ones."""
    if out is None:
        try:
            return np.empty((horizon + 1, n)), np.empty((horizon, n), dtype=np.int64)
        except (MemoryError, ValueError):  # the latter: of more bytes than there are addresses
            raise CapacityError(
                f"horizon: {horizon:,} steps of {n:,} states are {16 * horizon * n:.2g} bytes of values and "
                f"decisions, which are not to be had"
            ) from None
    if not isinstance(out, (tuple, list)) or len(out) != 2:
        raise InvalidArgument(argument="out", value=out, allowed="a pair of arrays, for value and policy")
    for i, (array, rows, kind) in enumerate(
        zip(out, (horizon + 1, horizon), (np.float64, np.int64), strict=True)
    ):
        right = isinstance(array, np.ndarray) and array.dtype == kind and array.shape == (rows, n)
        if not (right and array.flags.c_contiguous and array.flags.writeable):
            got = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else array
            raise InvalidArgument(
                argument="out",
                value=got,
                index=i,
                allowed=f"a writeable, C-contiguous array of {kind.__name__}, of shape {(rows, n)}",
            )
    if np.shares_memory(*out):
        raise InvalidArgument(argument="out", value="one", allowed="two arrays that share no memory")
    return out[0], out[1]


def _models(
    rewards: Any, transitions: Any, horizon: int, discount: ArrayLike | None, maximize: bool | None
) -> Callable[[int], MDP | MatrixFree]:
    """Return the model of a step as a function of it; what is the same for all steps is looked at once."""
    ready = isinstance(rewards, (MDP, MatrixFree))
    if ready or (transitions is None and callable(rewards)):
        given = {"transitions": transitions, "discount": discount, "maximize": maximize}
        for name, argument in given.items():
            if argument is not None:
                raise InvalidArgument(
                    f"{name} is the model's own: leave it out, or give rewards and transitions",
                    argument=name,
                    value=argument,
                )
    if ready:
        return lambda t: rewards
    discount, maximize = 1.0 if discount is None else discount, maximize is None or maximize
    if transitions is None:
        if not callable(rewards):
            raise InvalidArgument(
                "transitions are missing: give them, or a model (or a function of t) alone",
                argument="transitions",
            )

        def made(t: int) -> MDP | MatrixFree:
            model: MDP | MatrixFree = rewards(t)
            if not isinstance(model, (MDP, MatrixFree)):
                raise InvalidArgument(
                    f"rewards({t}) must be an MDP where there are no transitions, got {type(model).__name__}",
                    argument="rewards",
                    value=model,
                )
            return model

        return made
    if callable(rewards):
        reward_at = rewards
    else:
        table = real("rewards", rewards)
        if table.ndim == 3 and table.shape[0] != horizon:
            raise InvalidArgument(
                argument="rewards",
                value=table.shape,
                allowed=f"(S, A) or ({horizon}, S, A) for horizon={horizon}",
            )
        reward_at = (lambda t: table[t]) if table.ndim == 3 else (lambda t: table)
    if callable(transitions) or _one_a_step(transitions):
        if not callable(transitions) and len(transitions) != horizon:
            raise InvalidArgument(
                argument="transitions", value=len(transitions), allowed=f"one for each of {horizon} steps"
            )
        transition_at = transitions if callable(transitions) else transitions.__getitem__
        return lambda t: MDP(reward_at(t), transition_at(t), discount, maximize=maximize)
    fixed = MDP(reward_at(horizon - 1), transitions, discount, maximize=maximize)
    if not callable(rewards) and table.ndim == 2:
        return lambda t: fixed
    return lambda t: fixed.with_rewards(reward_at(t))


def _one_a_step(transitions: Any) -> bool:
    from scipy import sparse

    if sparse.issparse(transitions):
        return False
    listed = isinstance(transitions, (list, tuple)) and len(transitions) > 0
    return (listed and sparse.issparse(transitions[0])) or np.ndim(transitions) == 4
