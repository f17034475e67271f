"""The cimport API of mmcore.quoting: plain structs, kernels without Python, owners of memory.

Inside Cython prefer the inline kernels of the headers; the ``c_`` functions are for callers who find
them at run time. Methods of the classes are not part of the API: only the functions and fields.
"""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from mmcore.cpu cimport mm_cpu


cdef extern from "mmcore/types.h" nogil:
    const int64_t MM_NO_BID
    const int64_t MM_NO_ASK
    const uint32_t MMCORE_ABI_VERSION
    const int MM_OK
    const int MM_INVALID
    const int MM_CORRUPT
    const int MM_BID
    const int MM_ASK


cdef extern from "mmcore/policy.h" nogil:
    const uint32_t MM_POLICY_MAGIC
    const int MM_POLICY_ALIGN
    const int MM_AFFINE
    const int MM_TABLE
    const int MM_STATIONARY
    const double MM_POLICY_LIMIT
    const uint32_t MM_WHY_REFERENCE
    const uint32_t MM_WHY_CROSSED
    const uint32_t MM_WHY_HALTED
    const uint32_t MM_WHY_LIMIT_BID
    const uint32_t MM_WHY_LIMIT_ASK
    const uint32_t MM_WHY_NO_STATIONARY
    const uint32_t MM_WHY_PAST_HORIZON
    const uint32_t MM_WHY_BEYOND_HORIZON
    const uint32_t MM_WHY_TOUCH_BID
    const uint32_t MM_WHY_TOUCH_ASK
    const uint32_t MM_WHY_OBLIGATION
    const uint32_t MM_WHY_TIGHTENED
    const uint32_t MM_WHY_INVENTORY
    const uint32_t MM_WHY_STATE
    const uint32_t MM_WHY_RANGE
    const uint32_t MM_WHY_SHRUNK
    const uint32_t MM_WHY_POLICY_BID
    const uint32_t MM_WHY_POLICY_ASK
    const uint32_t MM_WHY_SHIFT
    const uint32_t MM_WHY_TIME
    const uint32_t MM_WHY_APART
    const uint32_t MM_WHY_STALE
    const uint32_t MM_WHY_WIDENED

    ctypedef struct mm_cell:
        double depth[2]
        int32_t size[2]
        int32_t take
        int32_t reserved

    ctypedef struct mm_policy:
        uint32_t magic
        uint32_t abi
        uint64_t bytes
        uint64_t checksum
        uint64_t version
        int32_t kind
        int32_t flags
        double q_max
        double order_size
        double horizon
        double error
        double base[2]
        double base_rate[2]
        double slope[2]
        double slope_rate[2]
        int32_t n_states
        int32_t n_rows
        int32_t n_knots
        int32_t n_q
        double q_step
        uint64_t knots_at
        uint64_t cells_at

    const double *mm_policy_knots(const mm_policy *policy) noexcept
    const mm_cell *mm_policy_cells(const mm_policy *policy) noexcept
    uint64_t mm_policy_checksum(const mm_policy *policy) noexcept
    uint64_t mm_table_layout(int32_t n_states, int32_t n_rows, int32_t n_knots, int32_t n_q,
                             uint64_t *knots_at, uint64_t *cells_at) noexcept
    int mm_policy_check(const mm_policy *policy, uint64_t bytes) noexcept
    uint32_t mm_depths(const mm_policy *policy, double inventory, double time_left, int64_t state,
                       mm_cell *out) noexcept


cdef extern from "mmcore/quoting.h" nogil:
    const int MM_AT_REFERENCE
    const int MM_AT_DEPTH
    const int MM_AT_SHIFT
    const int MM_AT_VOLATILITY
    const int MM_AT_AGE
    const int MM_TARGETS
    const int MM_AT_ROUNDING
    const int MM_AT_TOUCH
    const int MM_AT_OBLIGATION
    const int MM_AT_APART
    const int MM_PRICES
    const int MM_QUOTE_COLUMNS

    ctypedef struct mm_rules:
        double max_position
        double volatility_scale
        int64_t max_spread
        int64_t min_size
        int32_t shrink
        int32_t halted
        double halt_after
        double widen_after
        double widen

    ctypedef struct mm_quote:
        int64_t price[2]
        int64_t size[2]
        int64_t take
        uint64_t version
        uint32_t why
        uint32_t reserved

    ctypedef struct mm_column:
        const void *data
        ptrdiff_t stride

    ctypedef struct mm_trace:
        double target[5][2]
        int64_t price[4][2]
        int64_t policy_size[2]
        int64_t limited_size[2]

    void mm_rules_init(mm_rules *rules) noexcept
    void mm_quote_make(const mm_policy *policy, const mm_rules *rules, double reference, double inventory,
                       int64_t touch_bid, int64_t touch_ask, double shift, double target,
                       double time_left, int64_t state, double age, mm_quote *out) noexcept
    void mm_quote_explain(const mm_policy *policy, const mm_rules *rules, double reference, double inventory,
                          int64_t touch_bid, int64_t touch_ask, double shift, double target,
                          double time_left, int64_t state, double age, mm_quote *out,
                          mm_trace *trace) noexcept
    void mm_quote_rows(const mm_policy *policy, const mm_rules *rules, ptrdiff_t n, const mm_column *columns,
                       mm_quote *out) noexcept
    double mm_column_double(const mm_column *column, ptrdiff_t i) noexcept
    int64_t mm_column_int64(const mm_column *column, ptrdiff_t i) noexcept


cdef extern from "mmcore/prices.h" nogil:
    void mm_price_rows(mm_cpu cpu, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                       const mm_column *columns, int64_t *bid, int64_t *ask) noexcept
    void mm_quote_blocks(mm_cpu cpu, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                         const mm_column *columns, mm_quote *out) noexcept


cdef extern from "mmcore/recalibration.h" nogil:
    const int MM_MODEL_EXACT
    const int MM_MODEL_CARTEA_JAIMUNGAL
    const int MM_MODEL_CLOSED_FORM
    const int MM_MODEL_AVELLANEDA_STOIKOV
    const int MM_EXPONENTIAL
    const int MM_MEAN_VARIANCE

    ctypedef struct mm_parameters:
        uint32_t bytes
        int32_t model
        int32_t objective
        int32_t reserved
        double sigma
        double A[2]
        double k[2]
        double gamma
        double q_max
        double order_size
        double fee[2]
        double drift
        double impact
        double running_penalty
        double adverse_selection[2]
        double horizon
        double terminal_penalty

    ctypedef struct mm_live_policy:
        mm_policy *block[2]
        mm_policy *memory[2]
        uint64_t begun
        uint64_t published
        mm_parameters parameters
        double *work

    void mm_parameters_init(mm_parameters *p, int32_t model) noexcept
    int mm_parameters_check(const mm_parameters *p, const char **wrong) noexcept
    int64_t mm_nodes_of(const mm_parameters *p) noexcept
    uint64_t mm_recalibration_bytes(const mm_parameters *p) noexcept
    size_t MM_RECALIBRATION_WORK(size_t nodes) noexcept
    int mm_recalibration_begin(const mm_parameters *p, mm_policy *block, uint64_t bytes) noexcept
    int mm_live_set(mm_live_policy *live, const mm_parameters *p, const char **wrong) noexcept
    void mm_live_publish(mm_live_policy *live, mm_policy *block) noexcept
    const mm_policy *mm_live_block(const mm_live_policy *live) noexcept
    void mm_live_quote(const mm_live_policy *live, const mm_rules *rules, double reference,
                       double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                       double target, double time_left, int64_t state, double age, mm_quote *out) noexcept


# Exported in __pyx_capi__, for numba and LowLevelCallable.
cdef uint32_t c_depths(const mm_policy *policy, double inventory, double time_left, int64_t state,
                       mm_cell *out) noexcept nogil
cdef void c_quote_make(const mm_policy *policy, const mm_rules *rules, double reference, double inventory,
                       int64_t touch_bid, int64_t touch_ask, double shift, double target,
                       double time_left, int64_t state, double age, mm_quote *out) noexcept nogil
cdef int c_policy_check(const mm_policy *policy, uint64_t nbytes) noexcept nogil

# All parameters of a model, as its kernel takes them.
cdef int c_parameters_of(mm_parameters *p, object model) except -1


cdef class Policy:
    # c_policy never changes after construction and lives as long as the object.
    cdef const mm_policy *c_policy
    cdef void *memory
    cdef mm_policy *allocate(self, uint64_t nbytes) except NULL
    cdef int seal(self, mm_policy *block, uint64_t nbytes) except -1


cdef class Affine(Policy):
    pass


cdef class Table(Policy):
    pass


cdef class Limits:
    cdef double c_max_position
    cdef readonly bint shrink


cdef class Obligations:
    cdef int64_t c_max_spread
    cdef int64_t c_min_size
    cdef int64_t check(self, object value, str name, str unit) except -1


cdef class FeedAge:
    cdef double c_halt_after
    cdef double c_widen_after
    cdef double c_widen


cdef class Quote:
    cdef mm_quote c
    cdef tuple state(self)


cdef class QuoteBuffer:
    cdef mm_quote c


cdef class Quoter:
    # mm_live_quote(&quoter.live, &quoter.c_rules, ...) may be called without the GIL while the object is
    # alive, also while another thread recalibrates in place.
    cdef mm_live_policy live
    cdef mm_rules c_rules
    cdef void *memory            # of recalibrations in place; NULL before the first
    cdef Policy _policy          # the last one that was made or asked for
    cdef Policy _before          # the one before: a reader may still be at it
    cdef readonly object instrument
    cdef readonly object halted
    cdef Limits _limits
    cdef Obligations _obligations
    cdef FeedAge _feed_age
    cdef object _model
    cdef dict _changes           # of the model's parameters, since _model was made
    cdef Policy in_force(self)
    cdef Quoter follower(self)
    cdef int begin(self, const mm_parameters *p) except -1
    cdef int recalibrate(self, dict changes, object time_left) except -1
    cdef int make(self, mm_quote *out, object reference, object inventory, object bid, object ask,
                  object shift, object target, object time_left, object state, object age) except -1
