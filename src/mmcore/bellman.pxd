"""The Bellman kernels: the header's structs and functions."""
cimport cython
from libc.stdint cimport int32_t, int64_t


cdef extern from "mmcore/bellman.h" nogil:
    ctypedef struct mm_mdp:
        int64_t n_states, n_pairs, n_columns
        const int64_t *first
        const void *row
        const void *column
        const double *probability
        const double *reward
        const double *discount
        int64_t discount_step
        double sign
        int32_t wide

    ctypedef struct mm_policy_rows:
        double *reward
        int64_t *start
        int32_t *length
        int64_t width
        int32_t *column
        double *probability
        float *single

    ctypedef struct mm_keys:
        float *pair
        float *state
        double drift, most, gain, top

    ctypedef struct mm_mdp_sample:
        double most, gain

    ctypedef struct mm_sweep:
        double low, high
        int64_t changed, alive, read

    ctypedef struct mm_mdp_extremes:
        double sum_low, sum_high
        double reward
        int64_t successors
        int64_t below, above
        int64_t pairs
        int64_t feasible
        int64_t state, pair, entry
        double value

    int mm_mdp_check(const mm_mdp *p, int64_t entries, double tolerance, mm_mdp_extremes *x) noexcept
    void mm_bellman_improve(const mm_mdp *p, int64_t begin, int64_t end, const double *v, const double *old,
                            double *out, int64_t *policy, const mm_policy_rows *rows, double proven,
                            double *q, mm_sweep *sweep) noexcept
    int64_t MM_BELLMAN_KEYED_ROOM(int64_t pairs)
    void mm_bellman_improve_keyed(const mm_mdp *p, int64_t begin, int64_t end, const double *v, double *out,
                                  int64_t *policy, const mm_policy_rows *rows, const mm_keys *keys,
                                  double *expected, int64_t *pairs, int64_t room, mm_sweep *sweep) noexcept
    void mm_keys_begin(const mm_mdp *p, const mm_keys *keys) noexcept
    void mm_keys_reopen(const mm_mdp *p, const mm_keys *keys) noexcept
    void mm_mdp_look(const mm_mdp *p, int64_t states, const double *v, const double *old,
                     mm_mdp_sample *sample) noexcept
    int64_t mm_keys_alive(const mm_mdp *p, const mm_keys *keys, const double *value, const int64_t *policy,
                          double proven) noexcept
    void mm_bellman_evaluate(const mm_mdp *p, int64_t begin, int64_t end, const mm_policy_rows *rows,
                             const double *v, double *out, mm_sweep *sweep) noexcept
    void mm_bellman_residual(int64_t n, const double *a, const double *b, double scale, float *out) noexcept
    void mm_bellman_corrected(int64_t n, const double *a, const float *x, double scale, double *out) noexcept
    void mm_bellman_correct(const mm_mdp *p, int64_t begin, int64_t end, const mm_policy_rows *rows,
                            const float *residual, const float *x, float *out, mm_sweep *sweep) noexcept
    void mm_range(int64_t n, const double *a, const double *b, double *low, double *high) noexcept
    int mm_bellman_band(const mm_mdp *p, const mm_policy_rows *rows, int64_t below, int64_t above,
                        double *band, double *x) noexcept
    int64_t MM_BELLMAN_BAND_WORK(int64_t n, int64_t below, int64_t above)
    int64_t MM_BELLMAN_BICGSTAB_WORK(int64_t n)
    int mm_bellman_bicgstab(const mm_mdp *p, const mm_policy_rows *rows, double tolerance, int64_t limit,
                            double *x, double *work, int64_t *products, double *residual) noexcept


cdef class Pairs

cdef extern from "mmcore/gmres.h" nogil:
    int64_t MM_BELLMAN_GMRES_WORK(int64_t n, int64_t restart)
    int mm_bellman_gmres(const mm_mdp *p, const mm_policy_rows *rows, double tolerance, int64_t limit,
                         int64_t restart, double *x, double *work, int64_t *products,
                         double *residual) noexcept


@cython.final
cdef class Rows:
    cdef mm_policy_rows c_rows
    cdef int64_t c_states
    cdef Pairs _of
    cdef object _room


@cython.final
cdef class Keys:
    cdef mm_keys c_keys
    cdef Pairs _of
    cdef object _room


@cython.final
cdef class Pairs:
    cdef mm_mdp c_mdp
    cdef mm_mdp_extremes c_extremes
    cdef tuple _arrays
    cdef int64_t c_entries
    cdef const mm_policy_rows *_rows(self, Rows rows) except NULL
