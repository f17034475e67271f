"""What arguments of dynamic programs must be, and the words where they are not."""

from __future__ import annotations

import math
import reprlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..bellman import Pairs
from ..errors import InvalidArgument, ModelWarning

__all__ = ["called_back", "checked", "discounts", "finite", "number", "numbers", "tolerance", "whole"]

OFF = 1e-12  # of a row's sum from one, up to which nobody is told

Floats = NDArray[np.float64]

# Codes of bellman.h
FIRST, ROW, COLUMN, PROBABILITY, SUM, REWARD, INFEASIBLE = range(1, 8)


def numbers(argument: str, value: Any, allowed: str = "an array of real numbers") -> Floats:
    """Return an array as float64, without a copy where it is one; or raise.

    Examples
    --------
    >>> numbers("rewards", [[1.0, 2.0], [3.0]])
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: rewards must be an array of real numbers, got [[1.0, 2.0], [3.0]]
    """
    try:
        array = np.asarray(value)
        if value is not None and array.dtype.kind in "biufO":  # O: fractions, decimals, large integers
            return np.asarray(array, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidArgument(
        f"{argument} must be {allowed}, got {reprlib.repr(value)}",
        argument=argument,
        value=value,
        allowed=allowed,
    )


def number(argument: str, value: Any, low: float = -math.inf, open_low: bool = False) -> float:
    """Return a finite number within its bound, or raise.

    Examples
    --------
    >>> number("tol", "a", 0.0, open_low=True)
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: tol must be a finite number > 0, got 'a'
    """
    allowed = "a finite number" + ("" if low == -math.inf else f" {'>' if open_low else '>='} {low:g}")
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise InvalidArgument(argument=argument, value=value, allowed=allowed)
    if not math.isfinite(value) or value < low or (open_low and value == low):
        raise InvalidArgument(argument=argument, value=value, allowed=allowed)
    return float(value)


def whole(argument: str, value: Any, low: int) -> int:
    """Return an integer that is `low` or more, or raise.

    Examples
    --------
    >>> whole("threads", 1.5, 1)
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: threads must be an integer >= 1, got 1.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InvalidArgument(argument=argument, value=value, allowed=f"an integer >= {low}")
    return int(value)


def called_back(progress: Any) -> None:
    """Refuse what cannot be told of progress."""
    if progress is not None and not callable(progress):
        raise InvalidArgument(
            argument="progress", value=progress, allowed="a function of (pass, residual, gap), or None"
        )


def finite(argument: str, value: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return a copy as float64 of the given shape, all finite; or raise.

    Examples
    --------
    >>> finite("terminal", [1.0, float("nan")], (2,))
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: terminal[1] must be finite, got nan
    """
    array = np.array(numbers(argument, value), order="C")
    if array.shape != shape:
        raise InvalidArgument(argument=argument, value=array.shape, allowed=f"of shape {shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        at = int(wrong[0])
        raise InvalidArgument(argument=argument, value=float(array.flat[at]), allowed="finite", index=at)
    return array


def discounts(value: ArrayLike, n_states: int) -> Floats:
    """Return one discount as an array of one, or one for each state; or raise."""
    array = np.array(numbers("discount", value, "a number, or one for each state"), ndmin=1)
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
    return number("tol", tol, 0.0, open_low=True)


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


def checked(pairs: Pairs, sum_tolerance: float, words: Callable[[int, int], str]) -> dict[str, Any]:
    """Return the extremes of a model; or raise an error that says in which state and action it is wrong."""
    fault, found = pairs.check(sum_tolerance)
    if not fault:
        _warn_of_sums(pairs, found, words)
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
