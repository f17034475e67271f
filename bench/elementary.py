"""Coefficients of the logarithm and the exponential in ``math.h``, derived: ``python -m bench.elementary``.

A polynomial is the one whose largest absolute error on its interval is least (Remez: an error that has the
same size and alternates in sign at one point more than there are coefficients is least, Chebyshev). The
intervals are those that the reduction of the argument leaves:

- log(1 + f) = 2 artanh(s / 2), s = f / (1 + f/2): L(z) = (2 artanh(s / 2) - s) / s^3 in z = s^2, for 1 + f
between the roots of 1/2 and 2; - e^r: E(r) = (e^r - 1 - r - r^2/2) / r^3 for |r| <= ln(2) / 2.

Rounding them to doubles adds less than 2^-60 to either function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
from mpmath import mp, mpf

DIGITS = 60
LOG_TERMS, EXP_TERMS = 7, 10
LN2_HI_BITS = 42  # k ln 2 is then exact for |k| < 2^11

Function = Callable[[Any], Any]


def log_remainder(z: Any) -> Any:
    """(2 artanh(s / 2) - s) / s^3 at z = s^2."""
    if z < mpf(10) ** -8:
        return sum((z / 4) ** i / (4 * (2 * i + 3)) for i in range(8))
    s = mpmath.sqrt(z)
    return (2 * mpmath.atanh(s / 2) - s) / s**3


def exp_remainder(r: Any) -> Any:
    """(e^r - 1 - r - r^2/2) / r^3."""
    if abs(r) < mpf(10) ** -8:
        return sum(r**i / mpmath.factorial(i + 3) for i in range(8))
    return (mpmath.expm1(r) - r - r * r / 2) / r**3


def minimax(f: Function, low: Any, high: Any, terms: int) -> tuple[list[Any], Any]:
    """Return the polynomial with the least largest error, first coefficient first, and that error."""
    n = terms + 1
    points = [
        (low + high) / 2 - (high - low) / 2 * mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * n)) for i in range(n)
    ]
    while True:
        rows = mpmath.matrix([[x**j for j in range(terms)] + [(-1) ** i] for i, x in enumerate(points)])
        *c, level = mpmath.lu_solve(rows, mpmath.matrix([f(x) for x in points]))
        grid = [low + (high - low) * mpf(i) / (40 * n) for i in range(40 * n + 1)]
        errors = [f(x) - mpmath.fsum(a * x**j for j, a in enumerate(c)) for x in grid]
        peaks: list[int] = []  # between changes of sign, where the error is largest
        for i, e in enumerate(errors):
            if not peaks or (e > 0) != (errors[peaks[-1]] > 0):
                peaks.append(i)
            elif abs(e) > abs(errors[peaks[-1]]):
                peaks[-1] = i
        worst = max(abs(errors[i]) for i in peaks)
        if worst <= abs(level) * (1 + mpf(10) ** -2):
            return c, worst
        assert len(peaks) == n, "the error does not alternate"
        points = [grid[i] for i in peaks]


def derived() -> dict[str, float]:
    """Every constant of ``math.h`` that is not a power of two, by its name there."""
    with mp.workdps(DIGITS):
        root = mpmath.sqrt(2) - 1
        log, _ = minimax(log_remainder, mpf(0), (root / (1 + root / 2)) ** 2, LOG_TERMS)
        half = mpmath.log(2) / 2
        exp, _ = minimax(exp_remainder, -half, half, EXP_TERMS)
        unit = mpf(2) ** (LN2_HI_BITS)
        ln2_hi = mpmath.floor(mpmath.log(2) * unit) / unit
        return {
            "MM_LN2_HI": float(ln2_hi),
            "MM_LN2_LO": float(mpmath.log(2) - ln2_hi),
            "MM_INVERSE_LN2": float(1 / mpmath.log(2)),
            **{f"MM_LOG_{i}": float(c) for i, c in enumerate(log)},
            **{f"MM_EXP_{i}": float(c) for i, c in enumerate(exp)},
        }


if __name__ == "__main__":
    for name, value in derived().items():
        print(f"#define {name} {value.hex()} /* {value:.17g} */")
