"""Positions and books from Cython: free functions over plain structs.

The functions below are also in ``mmcore.book.__pyx_capi__`` for numba and others; in C, include
``mmcore/book.h``. A status below 0 means refused and unchanged.
"""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint32_t, uint64_t


cdef extern from "mmcore/types.h" nogil:
    ctypedef struct mm_i128:
        uint64_t lo
        int64_t hi

    int MM_OK
    int MM_DUPLICATE
    int MM_SUSPENDED
    int MM_UNMET
    int MM_INVALID
    int MM_OVERFLOW
    int MM_CONFLICT
    int MM_UNSUPPORTED
    int MM_UNKNOWN
    int MM_CAPACITY
    uint32_t MMCORE_ABI_VERSION
    uint64_t MM_CHECKSUM_START
    uint64_t mm_checksum(uint64_t hash, const void *at, uint64_t bytes)


cdef extern from "mmcore/book.h" nogil:
    int MM_AVERAGE
    int MM_FIFO
    int MM_LIFO
    int MM_SPECIFIC
    int MM_HAS_MARK
    int MM_NEGATIVE_PRICES
    int MM_INVERSE
    int MM_COSTED
    int MM_STACK
    int MM_NAMED
    int MM_SPECIAL
    int64_t MM_NO_PRICE
    int MM_NAME
    int MM_NEW
    int MM_BUST
    int MM_CORRECT
    int MM_SUSPEND
    int MM_RELEASE
    int MM_FUNDING
    int MM_BORROW
    int MM_DIVIDEND
    int MM_IN_LIEU
    int MM_CONVERT
    int MM_IDENTIFY
    int MM_KINDS
    int MM_UNSPECIFIED
    int MM_MAKER
    int MM_TAKER

    ctypedef struct mm_position:
        int64_t net
        mm_i128 cash
        mm_i128 cost
        mm_i128 fees
        int64_t mark
        int64_t bought
        int64_t sold
        int64_t fills
        int64_t lots_head
        int64_t lots_tail
        int64_t lots_used
        int32_t method
        int32_t flags

    ctypedef struct mm_lot:
        int64_t qty
        int64_t price

    ctypedef struct mm_fill:
        int64_t time
        int64_t receive_time
        int64_t qty
        int64_t price
        int64_t fee
        int64_t order_id
        char id[16]
        char reference[16]
        int32_t instrument
        int16_t fee_currency
        int8_t liquidity
        int8_t kind
        int64_t target

    ctypedef struct mm_book:
        mm_position *positions
        mm_lot **lots
        int64_t *lots_capacity
        mm_i128 *pools
        const int16_t *currency
        int32_t n_instruments
        int32_t n_currencies
        mm_fill *history
        int64_t n_history
        int64_t history_capacity
        int64_t *slots
        int64_t n_slots
        int64_t ids_window
        int64_t ids_from
        const char *names

    void mm_position_init(mm_position *p, int32_t method, int negative_prices)
    int mm_position_fill(
        mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price, int64_t fee
    )
    int mm_position_fills(
        mm_position *p, mm_lot *lots, int64_t capacity, int64_t n, const int64_t *qty, const int64_t *price,
        const int64_t *fee, ptrdiff_t stride, int64_t *booked
    )
    int mm_position_mark(mm_position *p, int64_t mark)
    void mm_position_compact(mm_position *p, mm_lot *lots)
    mm_i128 mm_position_realised(const mm_position *p)
    int mm_position_unrealised(const mm_position *p, mm_i128 *out)
    int mm_notional_fee(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee)
    int64_t mm_ids_find(const mm_book *book, const mm_fill *f)
    void mm_book_named(mm_book *book, int32_t instrument)
    int64_t mm_ids_known(const mm_book *book, int64_t slot)
    int mm_fill_has_id(const mm_fill *f)
    int mm_fill_same_content(const mm_fill *a, const mm_fill *b, int32_t own)
    int64_t mm_named_left(const mm_lot *lots, int64_t at)
    int mm_book_fill(mm_book *book, const mm_fill *record)
    int64_t mm_book_apply(mm_book *book, const mm_fill *records, int64_t n, int stop, int8_t *status)
    void mm_book_undo(mm_book *book, int64_t n, const mm_position *positions, const mm_i128 *pools)
    int64_t mm_ids_known(const mm_book *book, int64_t slot)
    void mm_ids_enter(mm_book *book)


cdef extern from "mmcore/ledger.h" nogil:
    int MM_PLANES
    uint32_t MM_BOOK_MAGIC
    uint32_t MM_BOOK_VERSION

    ctypedef struct mm_contract:
        mm_i128 scale
        int64_t per
        int64_t unit_num
        int64_t unit_den
        int64_t reserved

    ctypedef struct mm_amendment:
        int64_t target
        int64_t by

    ctypedef struct mm_ledger:
        mm_book *book
        const mm_contract *contracts
        mm_amendment *amended
        int64_t n_amended
        int64_t amended_capacity
        mm_position *trial
        mm_i128 *trial_pools
        int32_t suspends
        int32_t full
        int64_t fault
        int64_t converted

    ctypedef struct mm_book_block:
        uint32_t magic
        uint32_t version
        uint64_t bytes
        uint64_t checksum
        uint64_t names
        int32_t n_instruments
        int32_t n_currencies
        int32_t method
        int32_t keeps_history
        int64_t n_lots
        int64_t n_history
        int64_t ids_window
        int32_t suspends
        int32_t reserved

    ctypedef struct mm_book_parts:
        const mm_position *positions
        const mm_i128 *pools
        const mm_lot *lots
        const mm_fill *history

    int64_t mm_ledger_pools(int32_t n_instruments, int32_t n_currencies)
    mm_i128 *mm_ledger_pool(const mm_book *book, int plane, int32_t instrument, int32_t currency)
    mm_i128 *mm_ledger_carried(const mm_book *book, int32_t instrument)
    int mm_contract_mark(mm_position *p, const mm_contract *c, int64_t mark)
    int mm_contract_unrealised(const mm_position *p, const mm_contract *c, mm_i128 *out)
    int64_t mm_lot_cost(const mm_contract *c, int32_t flags, const mm_lot *lots, int64_t at, mm_i128 *cost)
    void mm_lots_flatten(mm_position *p, const mm_lot *lots, mm_lot *out)
    int64_t mm_lot_used(const mm_position *p, const mm_lot *lots, int64_t at)
    int64_t mm_named_find(const mm_position *p, const mm_lot *lots, int64_t row)
    mm_i128 mm_lot_part(mm_i128 cost, int64_t used, int64_t size)
    int64_t mm_ledger_in_force(const mm_ledger *ledger, int64_t row)
    void mm_ledger_repeat(const mm_ledger *ledger, mm_fill *f)
    int mm_ledger_record(mm_ledger *ledger, const mm_fill *record)
    int64_t mm_ledger_apply(mm_ledger *ledger, const mm_fill *records, int64_t n, int stop, int8_t *status)
    void mm_ledger_undo(mm_ledger *ledger, int64_t n, const mm_position *positions, const mm_i128 *pools)
    mm_book_parts mm_book_block_parts(const mm_book_block *block)
    mm_book_block mm_book_header(const mm_ledger *ledger, uint64_t names)
    void mm_book_save(const mm_ledger *ledger, uint64_t names, mm_book_block *block)
    int mm_book_block_check(const mm_book_block *block, uint64_t bytes)
    int mm_book_load(const mm_book_block *block, mm_ledger *ledger)


cdef void position_init(mm_position *p, int32_t method, int negative_prices) noexcept nogil
cdef int position_fill(
    mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price, int64_t fee
) noexcept nogil
cdef int position_mark(mm_position *p, int64_t mark) noexcept nogil
cdef void position_compact(mm_position *p, mm_lot *lots) noexcept nogil
cdef void position_realised(const mm_position *p, mm_i128 *out) noexcept nogil
cdef int position_unrealised(const mm_position *p, mm_i128 *out) noexcept nogil
cdef int notional_fee(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee) noexcept nogil
