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
    int MM_HAS_MARK
    int MM_NEGATIVE_PRICES
    int MM_NEW
    int MM_BUST
    int MM_CORRECT
    int MM_UNSPECIFIED
    int MM_MAKER
    int MM_TAKER
    uint32_t MM_BOOK_MAGIC

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
        int64_t reserved

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

    ctypedef struct mm_book_block:
        uint32_t magic
        uint32_t abi
        uint64_t bytes
        uint64_t checksum
        uint64_t names
        int32_t n_instruments
        int32_t n_currencies
        int32_t method
        int32_t keeps_history
        int64_t n_lots
        int64_t n_history

    ctypedef struct mm_book_parts:
        const mm_position *positions
        const mm_i128 *pools
        const mm_lot *lots
        const mm_fill *history

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
    int64_t mm_ids_find(const int64_t *slots, int64_t n_slots, const mm_fill *history, const mm_fill *f)
    int mm_fill_has_id(const mm_fill *f)
    int mm_book_fill(mm_book *book, const mm_fill *record)
    int64_t mm_book_apply(mm_book *book, const mm_fill *records, int64_t n, int stop, int8_t *status)
    void mm_book_undo(mm_book *book, int64_t n, const mm_position *positions, const mm_i128 *pools)
    mm_book_parts mm_book_block_parts(const mm_book_block *block)
    mm_book_block mm_book_header(const mm_book *book, uint64_t names)
    void mm_book_save(const mm_book *book, uint64_t names, mm_book_block *block)
    int mm_book_block_check(const mm_book_block *block, uint64_t bytes)
    int mm_book_load(const mm_book_block *block, mm_book *book)


cdef void position_init(mm_position *p, int32_t method, int negative_prices) noexcept nogil
cdef int position_fill(
    mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price, int64_t fee
) noexcept nogil
cdef int position_mark(mm_position *p, int64_t mark) noexcept nogil
cdef void position_compact(mm_position *p, mm_lot *lots) noexcept nogil
cdef void position_realised(const mm_position *p, mm_i128 *out) noexcept nogil
cdef int position_unrealised(const mm_position *p, mm_i128 *out) noexcept nogil
cdef int notional_fee(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee) noexcept nogil
