"""Orders from Cython: free functions over plain structs; see ``mmcore/orders.h``.

The functions at the end are also in ``mmcore.orders.__pyx_capi__``; inside Cython prefer the inline kernels.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from mmcore.quoting cimport mm_quote


cdef extern from "mmcore/orders.h" nogil:
    const int MM_ORDERS_SLOTS
    const int MM_ORDERS_CLOSED
    const int MM_ORDERS_BUDGETS
    const int64_t MM_LOTS_LIMIT
    const int64_t MM_TIME_LIMIT
    const int64_t MM_DURATION_LIMIT
    const int64_t MM_TICK_LIMIT
    const int64_t MM_NOT_STATED
    const int MM_ACTION_NEW
    const int MM_ACTION_AMEND
    const int MM_ACTION_CANCEL
    const int MM_PENDING_NEW
    const int MM_PENDING_AMEND
    const int MM_PENDING_CANCEL
    const int MM_REPORT_ACCEPTED
    const int MM_REPORT_FILL
    const int MM_REPORT_AMENDED
    const int MM_REPORT_CANCELED
    const int MM_REPORT_REJECTED
    const int MM_REPORT_AMEND_REJECTED
    const int MM_REPORT_CANCEL_REJECTED
    const int MM_REASON_OTHER
    const int MM_REASON_POST_ONLY
    const int MM_HELD_HYSTERESIS
    const int MM_HELD_LIFE
    const int MM_HELD_BUDGET
    const int MM_HELD_PENDING
    const int MM_HELD_EXPOSURE
    const int MM_HELD_OWN
    const int MM_HELD_TOUCH
    const int MM_HELD_REJECTED
    const int MM_HELD_SLOTS
    const uint32_t MM_SUSPECT_STRAY
    const uint32_t MM_SUSPECT_OVERFILL
    const uint32_t MM_SUSPECT_CONFLICT
    const uint32_t MM_SUSPECT_DOUBT
    const uint32_t MM_ORDERS_MAGIC

    ctypedef struct mm_action:
        int64_t order_id
        int64_t price
        int64_t size
        int32_t kind
        int32_t side
        int32_t level
        int32_t revision

    ctypedef struct mm_report:
        int64_t order_id
        int64_t filled
        int64_t qty
        int64_t price
        int64_t size
        int32_t kind
        int32_t side
        int32_t revision
        int32_t reason

    ctypedef struct mm_open_order:
        int64_t order_id
        int64_t price
        int64_t size
        int64_t filled
        int32_t side
        int32_t level

    ctypedef struct mm_budget:
        int64_t n
        int64_t window

    ctypedef struct mm_order:
        int64_t id
        int64_t price
        int64_t size
        int64_t new_price
        int64_t new_size
        int64_t filled
        int64_t wanted
        int64_t created
        int64_t born
        int64_t sent
        int64_t cancel_sent
        int64_t known
        int32_t pending
        int32_t revision
        int32_t level
        int32_t doubted

    ctypedef struct mm_closed_order:
        int64_t id
        int64_t size
        int64_t filled
        int64_t ended
        int32_t side
        int32_t doubted

    ctypedef struct mm_orders_settings:
        int64_t max_exposure
        int64_t min_life
        int64_t hysteresis
        int64_t timeout
        int64_t retry
        int32_t amend
        int32_t n_budgets
        mm_budget budgets[8]

    ctypedef struct mm_orders:
        int64_t price[2]
        int64_t size[2]
        int64_t edge[2]
        int64_t now
        int64_t due
        mm_orders_settings settings
        int64_t position
        int64_t doubt[2]
        int64_t next_id
        int64_t messages
        int64_t late
        int64_t duplicates
        int64_t unknown
        int64_t strays
        int64_t bar_price[2]
        int64_t bar_until[2]
        int64_t n_closed
        int64_t reports
        int64_t asked
        int64_t asked_after
        int32_t held[2]
        uint32_t used[2]
        uint32_t suspect
        int32_t capacity
        mm_order slots[2][8]
        mm_closed_order closed[32]
        int64_t *ring

    ctypedef struct mm_orders_block:
        uint32_t magic
        uint32_t abi
        uint64_t bytes
        uint64_t checksum
        mm_orders orders

    int64_t mm_orders_ring(const mm_orders_settings *settings) noexcept
    int mm_orders_settings_check(const mm_orders_settings *settings) noexcept
    int mm_orders_init(mm_orders *orders, const mm_orders_settings *settings, int64_t position,
                       int64_t first_id, int64_t *ring) noexcept
    int64_t mm_order_leaves(const mm_order *order) noexcept
    int64_t mm_orders_exposure(const mm_orders *orders, int side) noexcept
    int mm_orders_overdue(const mm_orders *orders, int64_t now) noexcept
    int mm_orders_wish_check(const mm_quote *quote) noexcept
    int mm_orders_target(mm_orders *orders, const mm_quote *quote, int64_t touch_bid, int64_t touch_ask,
                         int64_t now, mm_action *actions) noexcept
    int mm_orders_cancel_all(mm_orders *orders, int64_t now, mm_action *actions) noexcept
    int mm_orders_report(mm_orders *orders, const mm_report *report) noexcept
    int mm_orders_ask(mm_orders *orders, int64_t now) noexcept
    int mm_orders_reconcile(mm_orders *orders, const mm_open_order *list, int64_t n, int64_t position,
                            int64_t now) noexcept
    uint64_t mm_orders_bytes(const mm_orders *orders) noexcept
    void mm_orders_save(const mm_orders *orders, mm_orders_block *block) noexcept
    int mm_orders_block_check(const mm_orders_block *block, uint64_t bytes) noexcept
    void mm_orders_load(const mm_orders_block *block, mm_orders *orders, int64_t *ring) noexcept


cdef int orders_target(mm_orders *orders, const mm_quote *quote, int64_t touch_bid, int64_t touch_ask,
                       int64_t now, mm_action *actions) noexcept nogil
cdef int orders_cancel_all(mm_orders *orders, int64_t now, mm_action *actions) noexcept nogil
cdef int orders_report(mm_orders *orders, const mm_report *report) noexcept nogil
cdef int orders_ask(mm_orders *orders, int64_t now) noexcept nogil
cdef int orders_reconcile(mm_orders *orders, const mm_open_order *list, int64_t n, int64_t position,
                          int64_t now) noexcept nogil


cdef class Action:
    cdef mm_action c
    cdef tuple state(self)


cdef class Report:
    cdef mm_report c
    cdef tuple state(self)


cdef class Orders:
    # One writer; c may be used without the GIL by the thread that owns the object.
    cdef mm_orders c
    cdef readonly object instrument
    cdef tuple answer(self, int n, const mm_action *actions)
    cdef int reserve(self, int64_t n) except -1
    cdef list table(self)
