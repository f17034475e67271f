"""The functions of ``mmcore/math.h`` written for numba, to the same bits: log, log1p, exp, expm1.

For tools that compile a strategy where no outside function can be called. See the header for the method; the
constants are those of its ``MM_`` macros.

Examples
--------
>>> from mmcore.numba.elementary import exp, log, log1p
>>> log(8.0) / log(2.0), exp(0.0), log1p(1e-18)
(3.0, 1.0, 1e-18)
"""

from __future__ import annotations

import numpy as np

from ..errors import MissingExtra

try:
    from numba import njit
except ModuleNotFoundError:
    raise MissingExtra("mmcore.numba", "numba") from None

__all__ = ["exp", "expm1", "log", "log1p"]

LN2_HI = float.fromhex("0x1.62e42fefa38p-1")
LN2_LO = float.fromhex("0x1.ef35793c7673p-45")
INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
LOG_0 = float.fromhex("0x1.5555555555558p-4")
LOG_1 = float.fromhex("0x1.999999999522fp-7")
LOG_2 = float.fromhex("0x1.2492492e02b34p-9")
LOG_3 = float.fromhex("0x1.c71c62d1babd8p-12")
LOG_4 = float.fromhex("0x1.7462b9bc0bad1p-14")
LOG_5 = float.fromhex("0x1.39fdc754432bbp-16")
LOG_6 = float.fromhex("0x1.2b5f10870e426p-18")
EXP_0 = float.fromhex("0x1.5555555555556p-3")
EXP_1 = float.fromhex("0x1.5555555555556p-5")
EXP_2 = float.fromhex("0x1.11111111109b5p-7")
EXP_3 = float.fromhex("0x1.6c16c16c15ddfp-10")
EXP_4 = float.fromhex("0x1.a01a01a7c303fp-13")
EXP_5 = float.fromhex("0x1.a01a01a92b719p-16")
EXP_6 = float.fromhex("0x1.71de0db2b4807p-19")
EXP_7 = float.fromhex("0x1.27e4d4f085866p-22")
EXP_8 = float.fromhex("0x1.af389f58f492fp-26")
EXP_9 = float.fromhex("0x1.1f7ef4922a01bp-29")
SHIFT = float.fromhex("0x1.8p+52")

_SMALLEST = 2.0**-1022  # normal
_LARGEST = (2.0 - 2.0**-52) * 2.0**1023
_ABOVE_MINUS_ONE = -1.0 + 2.0**-53
_WORD = np.uint64
_HEAD, _SIGN = _WORD(0xFFFFFFFFF8000000), _WORD(1 << 63)
_ROOT, _ROOT_UP = _WORD(0x3FE6A09E00000000), _WORD(0x3FF0000000000000 - 0x3FE6A09E00000000)
_FRACTION, _INTEGER, _PLACES = _WORD(0x000FFFFFFFFFFFFF), _WORD(0x4330000000000000), _WORD(52)


@njit(error_model="numpy")
def _bits_of(x):  # type: ignore[no-untyped-def]
    return np.float64(x).view(np.uint64)


@njit(error_model="numpy")
def _double_of(bits):  # type: ignore[no-untyped-def]
    return np.uint64(bits).view(np.float64)


@njit(error_model="numpy")
def _head(x):  # type: ignore[no-untyped-def]
    return _double_of(_bits_of(x) & _HEAD)


@njit(error_model="numpy")
def _signed(y, x):  # type: ignore[no-untyped-def]
    return _double_of(_bits_of(y) | (_bits_of(x) & _SIGN))


@njit(error_model="numpy")
def _clamped(x, low, high):  # type: ignore[no-untyped-def]
    y = x if x > low else low
    return y if y < high else high


@njit(error_model="numpy")
def _mantissa(x):  # type: ignore[no-untyped-def]
    small = x < _SMALLEST
    bits = _bits_of(x * (2.0**54 if small else 1.0)) + _ROOT_UP
    k = _double_of((bits >> _PLACES) | _INTEGER) - (2.0**52 + 1077.0 if small else 2.0**52 + 1023.0)
    return _double_of((bits & _FRACTION) + _ROOT), k


@njit(error_model="numpy")
def _log_parts(k, f):  # type: ignore[no-untyped-def]
    d = 1.0 + 0.5 * f
    head = _head(d)
    tail, inverse = 0.5 * f - (head - 1.0), 1.0 / d
    s = f * inverse
    z = s * s
    w, top = z * z, _head(s)
    rest = ((f - top * head) - top * tail) * inverse
    low = (LOG_0 + z * LOG_1) + w * (LOG_2 + z * LOG_3)
    high = (LOG_4 + z * LOG_5) + w * LOG_6
    base = k * LN2_HI
    hi = base + top
    return hi, ((base - hi) + top) + ((rest + k * LN2_LO) + s * z * (low + w * w * high))


@njit(error_model="numpy")
def _log_special(x, pole):  # type: ignore[no-untyped-def]
    right = -0.0 if x < np.inf else np.inf
    left = -np.inf if x == pole else np.nan
    return right if x > pole else left


@njit(error_model="numpy")
def log(x):  # type: ignore[no-untyped-def]
    """Natural logarithm of a float."""
    m, k = _mantissa(x)
    hi, lo = _log_parts(k, m - 1.0)
    return (hi + lo) + _log_special(x, 0.0)


@njit(error_model="numpy")
def _log1p_parts(y):  # type: ignore[no-untyped-def]
    u = 1.0 + y
    most = u - 1.0
    lost = (1.0 - (u - most)) + (y - most)
    m, k = _mantissa(u)
    near = lost if k == 0.0 else 0.0
    hi, lo = _log_parts(k, (m - 1.0) + near)
    return hi, lo + (lost - near) / u


@njit(error_model="numpy")
def log1p(x):  # type: ignore[no-untyped-def]
    """log(1 + x) of a float."""
    hi, lo = _log1p_parts(_clamped(x, _ABOVE_MINUS_ONE, _LARGEST))
    return _signed(hi + lo, x) + _log_special(x, -1.0)


@njit(error_model="numpy")
def _exp_parts(x):  # type: ignore[no-untyped-def]
    k = (x * INVERSE_LN2 + SHIFT) - SHIFT
    near, off = x - k * LN2_HI, k * LN2_LO
    r = near - off
    lost, z = (near - r) - off, r * r
    w = z * z
    low = (EXP_0 + r * EXP_1) + z * (EXP_2 + r * EXP_3)
    high = (EXP_4 + r * EXP_5) + z * (EXP_6 + r * EXP_7) + w * (EXP_8 + r * EXP_9)
    head = _head(r)
    half, rest = 0.5 * head * head, 0.5 * (r - head) * (r + head)
    hi = r + half
    return hi, ((r - hi) + half) + ((rest + (lost + lost * r)) + r * z * (low + w * high)), k


@njit(error_model="numpy")
def _power_of_two(k):  # type: ignore[no-untyped-def]
    return _double_of(_bits_of(k + (SHIFT + 1023.0)) << _PLACES)


@njit(error_model="numpy")
def _scaled(y, k):  # type: ignore[no-untyped-def]
    half = (0.5 * k + SHIFT) - SHIFT
    return y * _power_of_two(half) * _power_of_two(k - half)


@njit(error_model="numpy")
def exp(x):  # type: ignore[no-untyped-def]
    """e^x of a float."""
    hi, lo, k = _exp_parts(_clamped(x, -746.0, 710.0))
    top = 1.0 + hi
    low = hi - (top - 1.0)
    return _scaled(top + (low + lo), k) + (-0.0 if x == x else np.nan)


@njit(error_model="numpy")
def expm1(x):  # type: ignore[no-untyped-def]
    """e^x - 1 of a float."""
    hi, lo, k = _exp_parts(_clamped(x, -50.0, 710.0))
    one = _power_of_two(-64.0 if k > 64.0 else -k)
    base = 1.0 - one
    most = base - 1.0
    lost = (1.0 - (base - most)) - (one + most)
    top = base + hi
    low = hi - (top - base)
    return _signed(_scaled(top + (low + (lost + lo)), k), x) + (-0.0 if x == x else np.nan)
