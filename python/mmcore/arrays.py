"""Arguments that are numbers, or arrays of them: one check, one wording."""

from __future__ import annotations

import math
import reprlib
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InvalidArgument

__all__ = [
    "LARGEST",
    "SMALLEST",
    "finite",
    "number",
    "numbers",
    "plain",
    "real",
    "refusal",
    "together",
    "whole",
]

SMALLEST, LARGEST = 1e-60, 1e60
"""Sizes of numbers that are allowed: products and quotients of some stay within the range of doubles."""


def _floats(value: Any, kinds: str) -> NDArray[np.float64] | None:
    """Return an array of floats, the same where it is one; None for what is of no such kind."""
    try:
        given = np.asarray(value)
        # O: fractions, decimals, large integers; None would become NaN
        if given.dtype.kind in kinds and value is not None:
            return given.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    return None


def numbers(
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    *,
    open_low: bool = True,
    any_size: bool = False,
) -> Any:
    """Return a float or an array of floats, finite and within bounds; or raise.

    Numbers beyond 1e60, and below 1e-60 where they have to be > 0, are refused: nothing that is computed of
    those that are left overflows.

    Parameters
    ----------
    name : str
        Name of the argument.
    value : object
        What was given: booleans, text and complex numbers are refused.
    low, high : float
        Bounds; `low` itself is allowed where `open_low` is false, `high` always.
    any_size : bool
        Whether all that doubles hold is allowed within the bounds.

    Raises
    ------
    InvalidArgument
        Names the argument, the first value that is wrong, its index in an array, and what is allowed.

    Examples
    --------
    >>> numbers("demand", [1, 2]).tolist()
    [1.0, 2.0]
    >>> numbers("demand", [1.0, float("nan")])
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: demand[1] must be finite numbers > 0, got nan
    """
    array = _floats(value, "iufO")
    strict = open_low and low == 0.0  # what is divided by
    smallest, largest = (math.ulp(0.0), sys.float_info.max) if any_size else (SMALLEST, LARGEST)
    if array is not None:
        # one pass each for the extremes; NaN comes out of both
        least, most = (array.min(), array.max()) if array.size else (1.0, 1.0)
        bottom = smallest if strict else max(low, -largest)
        above = least > bottom if open_low and not strict else least >= bottom
        if array.size == 0 or (above and most <= min(high, largest)):
            return float(array) if array.ndim == 0 else array
    allowed = f"{'>' if open_low else '>='} {low:g}" if low > -math.inf else ""
    if high < math.inf:
        allowed = f"{allowed} and <= {high:g}" if allowed else f"<= {high:g}"
    noun, index, first = "a finite number", None, value
    if array is not None and array.ndim:
        good = ((array > low) if open_low else (array >= low)) & (array <= high) & (np.abs(array) <= largest)
        good &= (array >= smallest) if strict else True
        noun, index = "finite numbers", int(np.argmin(good))
        first = float(array.flat[index])
    beyond = array is not None and low <= (size := float(array.flat[index or 0])) <= high
    if beyond and math.isfinite(size) and (size > low or not open_low):
        allowed += f", of a size from {SMALLEST:g} to {LARGEST:g}"
    raise InvalidArgument(argument=name, value=first, allowed=f"{noun} {allowed}".strip(), index=index)


def number(
    name: str,
    value: Any,
    low: float = 0.0,
    high: float = math.inf,
    *,
    open_low: bool = True,
    any_size: bool = False,
) -> float:
    """Return one float, as :func:`numbers`; arrays are refused.

    Examples
    --------
    >>> number("order_cost", [1.0])
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: order_cost must be one number, got [1.0]
    """
    found = numbers(name, value, low, high, open_low=open_low, any_size=any_size)
    if np.ndim(found):
        raise InvalidArgument(argument=name, value=value, allowed="one number")
    return float(found)


def whole(name: str, value: Any, low: int) -> int:
    """Return an integer that is `low` or more, or raise.

    Examples
    --------
    >>> whole("threads", 1.5, 1)
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: threads must be an integer >= 1, got 1.5
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low:
        raise InvalidArgument(argument=name, value=value, allowed=f"an integer >= {low}")
    return int(value)


def real(name: str, value: Any, allowed: str = "an array of real numbers") -> NDArray[np.float64]:
    """Return an array as float64, infinite values among them, without a copy where it is one; or raise.

    Examples
    --------
    >>> real("rewards", [[1.0, 2.0], [3.0]])
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: rewards must be an array of real numbers, got [[1.0, 2.0], [3.0]]
    """
    array = _floats(value, "biufO")
    if array is None:
        told = f"{name} must be {allowed}, got {reprlib.repr(value)}"
        raise InvalidArgument(told, argument=name, value=value, allowed=allowed)
    return array


def finite(name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return a copy as float64 of the given shape, all finite; or raise.

    Examples
    --------
    >>> finite("terminal", [1.0, float("nan")], (2,))
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: terminal[1] must be finite, got nan
    """
    array = np.array(real(name, value), order="C")
    if array.shape != shape:
        raise InvalidArgument(argument=name, value=array.shape, allowed=f"of shape {shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        at = int(wrong[0])
        raise InvalidArgument(argument=name, value=float(array.flat[at]), allowed="finite", index=at)
    return array


def together(**arrays: Any) -> tuple[int, ...]:
    """Return the shape that arguments broadcast to; or raise, naming the one that does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> together(demand=np.ones(2), order_cost=np.ones(3))
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: order_cost must be of a shape that fits (2,), got (3,)
    """
    shape: tuple[int, ...] = ()
    for name, array in arrays.items():
        own = np.shape(array)
        if own and own != shape:
            try:
                shape = np.broadcast_shapes(shape, own)
            except ValueError:
                raise InvalidArgument(
                    argument=name, value=own, allowed=f"of a shape that fits {shape}"
                ) from None
    return shape


def refusal(name: str, told: str, allowed: str) -> InvalidArgument:
    """Return the error for a value that is better told than shown, as an array of the wrong shape is.

    Examples
    --------
    >>> raise refusal("weights", "shape (2,)", "3 numbers")
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: weights must be 3 numbers, got shape (2,)
    """
    words = f"{name} must be {allowed}, got {told}"
    return InvalidArgument(words, argument=name, value=told, allowed=allowed)


def plain(value: Any) -> Any:
    """Return a float where the value is one number, else an array."""
    return float(value) if np.ndim(value) == 0 else np.asarray(value)
