"""Arguments that are a number or an array of numbers: one check, one wording."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .errors import InvalidArgument, OutOfBounds

__all__ = ["in_range", "number", "numbers", "plain", "together"]


def numbers(name: str, value: Any, low: float = 0.0, high: float = math.inf, *, open_low: bool = True) -> Any:
    """Return a float or an array of floats, finite and within bounds; or raise.

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
    if array is not None:
        # one pass each for the extremes; NaN comes out of both
        least, most = (array.min(), array.max()) if array.size else (high, high)
        above = least > low if open_low else least >= low
        if array.size == 0 or (above and most <= high and -math.inf < least and most < math.inf):
            return float(array) if array.ndim == 0 else array
    allowed = f"{'>' if open_low else '>='} {low:g}" if low > -math.inf else ""
    if high < math.inf:
        allowed = f"{allowed} and <= {high:g}" if allowed else f"<= {high:g}"
    if array is None or array.ndim == 0:
        raise InvalidArgument(argument=name, value=value, allowed=f"a finite number {allowed}".strip())
    good = ((array > low) if open_low else (array >= low)) & (array <= high) & np.isfinite(array)
    index = int(np.argmin(good))
    raise InvalidArgument(
        argument=name,
        value=float(array.flat[index]),
        allowed=f"finite numbers {allowed}".strip(),
        index=index,
    )


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


def in_range(name: str, value: Any) -> Any:
    """Return a result that is finite and not 0, or raise: nothing leaves the range of doubles silently."""
    least, most = (np.min(value), np.max(value)) if np.size(value) else (1.0, 1.0)
    if not (least > 0.0 and most < math.inf):
        raise OutOfBounds(f"{name} left the range of floating point: choose other units")
    return value


def plain(value: Any) -> Any:
    """Return a float where the value is one number, else an array."""
    return float(value) if np.ndim(value) == 0 else np.asarray(value)
