"""What a dynamic program must be, and the words where it is not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, real
from ..bellman import Pairs
from ..errors import InvalidArgument, ModelWarning

__all__ = ["SUM_TOLERANCE", "called_back", "checked", "discounts", "tolerance"]

SUM_TOLERANCE = 1e-9  # of probabilities, whose sum is to be one
OFF = 1e-12  # of a row's sum from one, up to which nobody is told

Floats = NDArray[np.float64]

# Codes of bellman.h
FIRST, ROW, COLUMN, PROBABILITY, SUM, REWARD, INFEASIBLE = range(1, 8)


def called_back(progress: Any) -> None:
    """Refuse what cannot be told of progress."""
    if progress is not None and not callable(progress):
        raise InvalidArgument(
            argument="progress", value=progress, allowed="a function of (pass, residual, gap), or None"
        )


def discounts(value: ArrayLike, n_states: int) -> Floats:
    """Return one discount as an array of one, or one for each state; or raise."""
    array = np.array(real("discount", value, "a number, or one for each state"), ndmin=1)
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
    """Return a tolerance, of any size that rounding may be of, or raise."""
    return number("tol", tol, any_size=True)


def _warn_of_sums(pairs: Pairs, found: dict[str, Any], words: Callable[[int, int], str]) -> None:
    """Say where a row's sum is off one by more than adding it up can explain."""
    low, high = found["sum_low"], found["sum_high"]
    if max(1 - low, high - 1) <= OFF + (found["successors"] + 1) * 2.0**-52:
        return
    first, row, _, probability, reward, _ = pairs.arrays
    sums = np.zeros(reward.size)
    filled = np.flatnonzero(np.diff(row) > 0)
    sums[filled] = np.add.reduceat(probability[: row[-1]], row[filled])
    off = np.where(np.isfinite(reward), np.abs(sums - 1), 0.0)
    pair = int(off.argmax())
    state = int(np.searchsorted(first, pair, side="right")) - 1
    warnings.warn(
        f"transitions sum to one only within {off[pair]:.2g} (in {words(state, pair)}: "
        f"{float(sums[pair])!r}): they are used as they are. Divide each row by its sum where one was meant",
        ModelWarning,
        stacklevel=5,
    )


def checked(pairs: Pairs, words: Callable[[int, int], str]) -> dict[str, Any]:
    """Return the extremes of a model; or raise an error that says in which state and action it is wrong."""
    fault, found = pairs.check(SUM_TOLERANCE)
    if not fault:
        _warn_of_sums(pairs, found, words)
        return found
    state, pair, value = found["state"], found["pair"], found["value"]
    worse, better = ("-inf", "+inf") if pairs.sign > 0 else ("+inf", "-inf")
    if fault == INFEASIBLE:
        raise InvalidArgument(
            f"rewards leave {words(state, -1)} without a feasible action: one or more must not be {worse}",
            argument="rewards",
            index=state,
        )
    if fault in (FIRST, ROW):
        raise InvalidArgument(
            f"transitions are no compressed sparse rows: row pointers do not ascend from 0 to "
            f"the number of entries (near {words(state, pair) if state >= 0 else 'the start'})",
            argument="transitions",
        )
    where = words(state, pair)
    if fault == COLUMN:
        n = pairs.n_states
        raise InvalidArgument(
            f"transitions of {where} lead to state {int(value)}; there are 0 to {n - 1}",
            argument="transitions",
            value=int(value),
            index=pair,
        )
    if fault == PROBABILITY:
        raise InvalidArgument(
            f"transitions of {where} hold the probability {value!r}; allowed is 0 to 1",
            argument="transitions",
            value=value,
            index=pair,
        )
    if fault == SUM:
        raise InvalidArgument(
            f"transitions of {where} sum to {value!r}; allowed is 1 within {SUM_TOLERANCE:g}. Rows of "
            f"actions that are not feasible need no transitions, but a reward of {worse}",
            argument="transitions",
            value=value,
            index=pair,
        )
    raise InvalidArgument(
        f"rewards of {where} must be finite, or {worse} where not feasible; got {value!r}"
        + (f" ({better} would be the best of all)" if np.isinf(value) else ""),
        argument="rewards",
        value=value,
        index=pair,
    )
