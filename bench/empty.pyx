# cython: language_level=3
"""Methods that do nothing: what a call into compiled code costs, and no more."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t


cdef class Empty:
    """Signatures of the hot calls, typed, each returning a pair of its arguments."""

    cpdef tuple quote(self, double reference, double inventory, int64_t bid=0, int64_t ask=0, double shift=0.0,
                      double target=0.0, double time_left=INFINITY, int64_t state=0):
        return bid, ask

    cpdef tuple depths(self, double inventory, double time_left=INFINITY, int64_t state=0):
        return inventory, time_left

    cpdef tuple fill(self, int64_t qty, int64_t price, int64_t fee=0, int64_t time=0, id=None):
        return qty, price
