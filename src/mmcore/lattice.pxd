"""The lattice kernels: the header's structs and functions, and one exported function for each."""
cimport cython
from libc.stdint cimport int64_t


cdef extern from "mmcore/lattice.h" nogil:
    ctypedef struct mm_lattice:
        int64_t n
        const double *rate
        double up, down
        double k_bid, k_ask

    ctypedef struct mm_lattice_start:
        int64_t best
        int concave
        int symmetric
        double up_lo
        const double *rate_lo
        int64_t meet
        double excess

    mm_lattice_start mm_lattice_unknown(const mm_lattice *p) noexcept
    int64_t MM_LATTICE_WORK(int64_t n)
    int mm_lattice_stationary(const mm_lattice *p, double *x, double *gain, double *residual) noexcept
    int mm_lattice_stationary_from(const mm_lattice *p, mm_lattice_start *start, double *x, double *gain,
                                   double *residual) noexcept
    int mm_lattice_advance(const mm_lattice *p, double span, double tolerance, double *done, double *x,
                           double *value, double *step, double *work) noexcept

    ctypedef struct mm_quoted:
        int64_t n
        const double *rate
        double a_bid, a_ask
        double k_bid, k_ask
        double cost_bid, cost_ask
        double curvature
        const double *bid[2]
        const double *ask[2]
        double span

    int mm_quoted_advance(const mm_quoted *p, double tolerance, double *done, double *x, double *value,
                          double *step, double *work) noexcept


cdef int lattice_stationary(const mm_lattice *p, double *x, double *gain, double *residual) noexcept nogil
cdef int64_t lattice_work(int64_t n) noexcept nogil
cdef int lattice_advance(const mm_lattice *p, double span, double tolerance, double *done, double *x,
                         double *value, double *step, double *work) noexcept nogil
cdef int quoted_advance(const mm_quoted *p, double tolerance, double *done, double *x, double *value,
                        double *step, double *work) noexcept nogil


@cython.final
cdef class Lattice:
    cdef mm_lattice c_lattice
    cdef object _rate
    cdef mm_lattice_start c_start
    cdef object _rate_lo
