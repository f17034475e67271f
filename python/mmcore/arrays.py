"""Arguments that are a number or an array of numbers: one check, one wording."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import InvalidArgument

__all__ = ["LARGEST", "SMALLEST", "number", "numbers", "plain", "together"]

SMALLEST, LARGEST = 1e-60, 1e60
"""Sizes of numbers that are allowed: products and quotients of some stay within the range of doubles."""


def numbers(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open_low: bool = True) -> Any:
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
    array = None
    try:
        given = np.asarray(value)
        if given.dtype.kind in "iufO":
            array = given.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError):
        pass
    strict = open_low and low == 0.0  # what is divided by
    if array is not None:
        # one pass each for the extremes; NaN comes out of both
        least, most = (array.min(), array.max()) if array.size else (1.0, 1.0)
        bottom = SMALLEST if strict else max(low, -LARGEST)
        above = least > bottom if open_low and not strict else least >= bottom
        if array.size == 0 or (above and most <= min(high, LARGEST)):
            return float(array) if array.ndim == 0 else array
    allowed = f"{'>' if open_low else '>='} {low:g}" if low > -math.inf else ""
    if high < math.inf:
        allowed = f"{allowed} and <= {high:g}" if allowed else f"<= {high:g}"
    noun, index, first = "a finite number", None, value
    if array is not None and array.ndim:
        good = ((array > low) if open_low else (array >= low)) & (array <= high) & (np.abs(array) <= LARGEST)
        good &= (array >= SMALLEST) if strict else True
        noun, index = "finite numbers", int(np.argmin(good))
        first = float(array.flat[index])
    beyond = array is not None and low <= (size := float(array.flat[index or 0])) <= high
    if beyond and math.isfinite(size) and (size > low or not open_low):
        allowed += f", of a size from {SMALLEST:g} to {LARGEST:g}"
    raise InvalidArgument(argument=name, value=first, allowed=f"{noun} {allowed}".strip(), index=index)


def number(
    name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open_low: bool = True
) -> float:
    """Return one float, as :func:`numbers`; arrays are refused.

    Examples
    --------
    >>> number("order_cost", [1.0])
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: order_cost must be one number, got [1.0]
    """
    found = numbers(name, value, low, high, open_low=open_low)
    if np.ndim(found):
        raise InvalidArgument(argument=name, value=value, allowed="one number")
    return float(found)


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


def plain(value: Any) -> Any:
    """Return a float where the value is one number, else an array."""
    return float(value) if np.ndim(value) == 0 else np.asarray(value)
