"""Where a function changes its sign, to the last digits."""

from __future__ import annotations

from collections.abc import Callable

from ..errors import NoConvergence

__all__ = ["root"]


def root(f: Callable[[float], float], low: float, high: float) -> float:
    """Return a root between two ends at which a function has different signs; or raise.

    Raises
    ------
    NoConvergence
        Where rounding hides the signs, or values are no numbers: arguments of very different sizes.

    Examples
    --------
    >>> round(root(lambda x: x * x - 2.0, 0.0, 2.0), 12)
    1.414213562373
    """
    from scipy.optimize import brentq

    try:
        found = brentq(
            f,
            low,
            high,
            xtol=1e-14 * (1e-300 + min(1.0, abs(low) + abs(high))),
            rtol=1e-15,
            maxiter=1000,
        )
    except (ValueError, RuntimeError, OverflowError, ZeroDivisionError):
        raise NoConvergence(
            "no root was found: the arguments differ so much in size that rounding hides the answer"
        ) from None
    return float(found)
