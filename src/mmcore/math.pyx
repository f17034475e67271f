"""Logarithm and exponential with the same bits on every platform, see ``mmcore/math.h``.

What policies are made with: ``math`` and NumPy ask the C library, whose last bits differ from machine to
machine. Arguments are numbers or arrays of them; there are no exceptions, but infinities and NaN.

Examples
--------
>>> from mmcore.math import exp, expm1, log, log1p
>>> log(8.0) / log(2.0), exp(0.0), log1p(1e-18), expm1(float("-inf"))
(3.0, 1.0, 1e-18, -1.0)
>>> log([1.0, 0.0]).tolist()
[0.0, -inf]
"""
import numpy as np

cdef extern from "mmcore/math.h" nogil:
    double mm_log(double x) noexcept
    double mm_log1p(double x) noexcept
    double mm_exp(double x) noexcept
    double mm_expm1(double x) noexcept
    double mm_exp_product(double x, double y) noexcept
    double mm_pow(double x, double y) noexcept

__all__ = ["exp", "exp_product", "expm1", "log", "log1p", "pow"]

cdef enum Function:
    LOG, LOG1P, EXP, EXPM1


cdef object values(Function function, object x):
    """Of a number or of an array: each loop has one function in it, so that it vectorises."""
    cdef const double[::1] given
    cdef double[::1] found
    cdef Py_ssize_t i
    array = np.asarray(x, dtype=np.float64)
    flat = np.require(array, requirements=["C", "A"]).reshape(-1)
    out = np.empty_like(flat)
    given, found = flat, out
    with nogil:
        if function == LOG:
            for i in range(given.shape[0]):
                found[i] = mm_log(given[i])
        elif function == LOG1P:
            for i in range(given.shape[0]):
                found[i] = mm_log1p(given[i])
        elif function == EXP:
            for i in range(given.shape[0]):
                found[i] = mm_exp(given[i])
        else:
            for i in range(given.shape[0]):
                found[i] = mm_expm1(given[i])
    return out.reshape(array.shape)


def log(x):
    """Natural logarithm of a number or of an array, within 0.6 units in the last place."""
    return mm_log(x) if isinstance(x, float) else values(LOG, x)[()]


def log1p(x):
    """log(1 + x) of a number or of an array, within 0.6 units in the last place."""
    return mm_log1p(x) if isinstance(x, float) else values(LOG1P, x)[()]


def exp(x):
    """e^x of a number or of an array, within 0.6 units in the last place, or one where it is subnormal."""
    return mm_exp(x) if isinstance(x, float) else values(EXP, x)[()]


def expm1(x):
    """e^x - 1 of a number or of an array, within 0.65 units in the last place."""
    return mm_expm1(x) if isinstance(x, float) else values(EXPM1, x)[()]


def exp_product(x, y):
    """e^(x y) of numbers or of arrays that broadcast, within 0.6 units in the last place.

    The rounding of the product would cost as many units as it is large.
    """
    cdef const double[::1] a, b
    cdef double[::1] found
    cdef Py_ssize_t i
    if isinstance(x, float) and isinstance(y, float):
        return mm_exp_product(x, y)
    left, right = np.broadcast_arrays(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64))
    out = np.empty(left.size)
    a, b, found = np.ravel(left), np.ravel(right), out
    with nogil:
        for i in range(found.shape[0]):
            found[i] = mm_exp_product(a[i], b[i])
    return out.reshape(left.shape)[()]


def pow(double x, double y):
    """x^y of a positive finite number, within 0.6 + |y| / 32 units in the last place, and never over 32."""
    return mm_pow(x, y)
