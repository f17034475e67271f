"""The replay kernel: its structs and functions; see ``mmcore/matching.h``."""
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from mmcore.book cimport mm_fill, mm_position
from mmcore.orders cimport mm_orders_settings
from mmcore.quoting cimport Policy, Quoter, mm_live_policy, mm_policy, mm_rules
from mmcore.rolling cimport Recalibrate, mm_estimate, mm_rolling


cdef extern from "mmcore/venue.h" nogil:
    const int64_t MM_ORDERS_ACTIONS

    ctypedef struct mm_message:
        int64_t time
        int64_t live_time
        int64_t order_id
        int64_t price
        int64_t size
        int64_t decision
        int32_t revision
        int8_t kind
        int8_t side
        int8_t answer
        int8_t reason

    ctypedef struct mm_standing:
        int64_t time
        int64_t end_time
        int64_t order_id
        int64_t price
        int64_t size
        int64_t decision
        int32_t side
        int32_t reserved

    ctypedef struct mm_venue:
        mm_message *messages
        int64_t n_messages
        int64_t message_capacity
        mm_standing *standing
        int64_t n_standing
        int64_t standing_capacity

    int mm_venue_init(mm_venue *v, const mm_orders_settings *settings, int64_t latency,
                      int64_t *ring) noexcept


cdef extern from "mmcore/matching.h" nogil:
    const int MM_FOLLOW_SIGMA
    const int MM_FOLLOW_A
    const int MM_FOLLOW_K
    const int64_t MM_REPLAY_CUTS

    ctypedef struct mm_events:
        int64_t rows
        int64_t quotes
        int64_t trades
        const uint8_t *kind
        const int64_t *quote_time
        const int64_t *bid
        const int64_t *ask
        const int64_t *bid_size
        const int64_t *ask_size
        const int64_t *trade_exchange_time
        const int64_t *trade_time
        const int64_t *price
        const int64_t *size
        const int32_t *subtick
        const int8_t *side
        const uint8_t *flags

    ctypedef struct mm_replay_setup:
        int64_t interval
        int64_t latency
        int64_t first
        int64_t last
        int64_t end
        int64_t expiry
        double time_left
        int64_t fee_num
        int64_t fee_den
        int32_t countdown
        int32_t touch
        int32_t weighted
        int32_t hidden

    ctypedef struct mm_decision:
        int64_t time
        int64_t live_time
        double reference
        int64_t touch_bid
        int64_t touch_ask
        int64_t bid
        int64_t ask
        int64_t bid_size
        int64_t ask_size
        int64_t inventory
        int64_t spread2
        int64_t revaluation2
        int64_t fees
        uint32_t why
        uint32_t lost

    ctypedef struct mm_fill_context:
        int64_t touch_bid
        int64_t touch_ask
        int64_t mid2
        int64_t inventory
        int64_t decision
        int64_t trade
        int8_t place
        int8_t complete

    ctypedef struct mm_recalibrated:
        mm_estimate estimate
        uint64_t version
        int32_t status
        int32_t reserved

    ctypedef struct mm_follower:
        mm_rolling rolling
        mm_live_policy *live
        int64_t used
        int32_t parameters
        int32_t row
        mm_recalibrated *log
        int64_t n
        int64_t capacity
        int64_t seen

    ctypedef struct mm_replay:
        mm_replay_setup setup
        mm_follower *follower
        const mm_policy *policy
        mm_rules rules
        mm_decision *decisions
        int64_t *numbers
        int64_t n_decisions
        int64_t n_records
        int64_t decision_capacity
        mm_fill *fills
        mm_fill_context *contexts
        int64_t n_fills
        int64_t fill_capacity
        int64_t row
        int64_t pending
        int64_t mid2
        int64_t messages[2]
        int64_t spread2
        int64_t revaluation2
        int64_t fees
        int64_t crossed
        mm_position position
        mm_venue *venue
        uint16_t *held

    int mm_replay_log_is_full(const mm_replay *r) noexcept
    int64_t mm_replay_fills_of_a_trade(const mm_replay *r) noexcept
    void mm_replay_init(mm_replay *r, const mm_replay_setup *setup, const mm_policy *policy,
                        const mm_rules *rules, int negative_prices) noexcept
    int mm_replay_run(mm_replay *r, const mm_events *e, int64_t stop) noexcept
    void mm_replay_finish(mm_replay *r) noexcept
    void mm_decisions_expand(const mm_decision *records, const int64_t *numbers, int64_t n_records,
                             int64_t n_decisions, int64_t interval, mm_decision *out) noexcept


cdef int replay_run(mm_replay *r, const mm_events *e, int64_t stop) noexcept nogil


cdef class Matching:
    cdef mm_replay c_replay
    cdef mm_events c_events
    cdef mm_venue c_venue
    cdef object _columns
    cdef Policy _policy
    cdef mm_follower c_follower
    cdef Quoter _quoter          # a private copy, whose policy follows the market
    cdef Recalibrate _window     # likewise
    cdef object _recalibrated
    cdef object _decisions
    cdef object _numbers
    cdef object _fills
    cdef object _contexts
    cdef object _ring
    cdef object _messages
    cdef object _standing
    cdef object _held
    cdef bint _busy
    cdef int _follow(self, Quoter quoter, Recalibrate recalibrate, int64_t first, int64_t last) except -1
    cdef int _room(self, int64_t decisions, int64_t fills) except -1
    cdef int _room_of_orders(self, int64_t messages, int64_t standing) except -1
    cdef int _enlarge(self) except -1
