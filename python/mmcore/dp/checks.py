"""What arguments of dynamic programs must be, and the words where they are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..bellman import Pairs
from ..errors import InvalidArgument

__all__ = ["checked", "discounts", "finite", "tolerance"]

Floats = NDArray[np.float64]

# Codes of bellman.h
FIRST, ROW, COLUMN, PROBABILITY, SUM, REWARD, INFEASIBLE = range(1, 8)


def finite(argument: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return a copy as float64 of the given shape, all finite; or raise.

    Examples
    --------
    >>> finite("terminal", [1.0, float("nan")], (2,))
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: terminal[1] must be finite, got nan
    """
    array = np.array(value, dtype=np.float64, order="C")
    if array.shape != shape:
        raise InvalidArgument(argument=argument, value=array.shape, allowed=f"of shape {shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        at = int(wrong[0])
        raise InvalidArgument(argument=argument, value=float(array.flat[at]), allowed="finite", index=at)
    return array


def discounts(value: ArrayLike, n_states: int) -> Floats:
    """Return one discount as an array of one, or one for each state; or raise."""
    array = np.array(value, dtype=np.float64, ndmin=1)
    if array.shape not in ((1,), (n_states,)):
        raise InvalidArgument(
            argument="discount", value=array.shape, allowed=f"a number, or of shape ({n_states},)"
        )
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if wrong.size:
        at = int(wrong[0])
        raise InvalidArgument(
            argument="discount",
            value=float(array[at]),
            allowed="finite and >= 0",
            index=at if array.size > 1 else None,
        )
    return array


def tolerance(tol: float) -> float:
    """Return a tolerance, or raise."""
    if not (np.isfinite(tol) and tol > 0):
        raise InvalidArgument(argument="tol", value=tol, allowed="a finite number > 0")
    return float(tol)


def checked(pairs: Pairs, sum_tolerance: float, words: Callable[[int, int], str]) -> dict[str, Any]:
    """Return the extremes of a model; or raise an error that says in which state and action it is wrong."""
    fault, found = pairs.check(sum_tolerance)
    if not fault:
        return found
    state, pair, value = found["state"], found["pair"], found["value"]
    worse, better = ("-inf", "+inf") if pairs.sign > 0 else ("+inf", "-inf")
    if fault == INFEASIBLE:
        raise InvalidArgument(
            f"rewards leave {words(state, -1)} without a feasible action: one or more must not be {worse}"
        )
    if fault in (FIRST, ROW):
        raise InvalidArgument(
            f"transitions are no compressed sparse rows: row pointers do not ascend from 0 to "
            f"the number of entries (near {words(state, pair) if state >= 0 else 'the start'})"
        )
    where = words(state, pair)
    if fault == COLUMN:
        n = pairs.n_states
        raise InvalidArgument(f"transitions of {where} lead to state {int(value)}; there are 0 to {n - 1}")
    if fault == PROBABILITY:
        raise InvalidArgument(f"transitions of {where} hold the probability {value!r}; allowed is 0 to 1")
    if fault == SUM:
        raise InvalidArgument(
            f"transitions of {where} sum to {value!r}; allowed is 1 within {sum_tolerance:g}. Rows of "
            f"actions that are not feasible need no transitions, but a reward of {worse}"
        )
    raise InvalidArgument(
        f"rewards of {where} must be finite, or {worse} where not feasible; got {value!r}"
        + (f" ({better} would be the best of all)" if np.isinf(value) else "")
    )
