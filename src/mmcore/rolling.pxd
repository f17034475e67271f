"""The cimport API of mmcore.rolling: estimates over a window that moves with the market."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from mmcore.quoting cimport Quoter


cdef extern from "mmcore/calibration.h" nogil:
    const int MM_IDENTIFIED_SIGMA
    const int MM_IDENTIFIED_BID
    const int MM_IDENTIFIED_ASK
    const int MM_TRADE_HIDDEN

    ctypedef struct mm_rolling_settings:
        int64_t every
        int64_t buckets
        int64_t warmup
        int64_t grid
        int64_t nearest
        int64_t deepest
        int32_t pooled
        int32_t reserved

    ctypedef struct mm_estimate:
        int64_t time
        double sigma
        double sigma_error
        double A[2]
        double k[2]
        double A_error[2]
        double k_error[2]
        double covariance[2]
        double seconds
        int64_t orders[2]
        int32_t identified
        int32_t blocks

    ctypedef struct mm_rolling:
        mm_rolling_settings settings
        int64_t origin
        int64_t now
        int64_t crossed
        int64_t *total
        int64_t made
        mm_estimate latest

    ctypedef struct mm_rolling_saved:
        uint32_t magic
        uint32_t abi
        uint64_t bytes
        uint64_t checksum
        mm_rolling rolling

    int64_t mm_rolling_words(const mm_rolling_settings *settings) noexcept
    int mm_rolling_init(mm_rolling *rolling, const mm_rolling_settings *settings, int64_t *words) noexcept
    void mm_rolling_place(mm_rolling *rolling, int64_t *words) noexcept
    int mm_rolling_quote(mm_rolling *rolling, int64_t time, int64_t bid, int64_t ask) noexcept
    int mm_rolling_trade(mm_rolling *rolling, int64_t stamp, int64_t time, int64_t price, int32_t subtick,
                         int32_t side, uint8_t flags) noexcept
    void mm_rolling_make(mm_rolling *rolling, int64_t time) noexcept
    int mm_rolling_estimate(mm_rolling *rolling, int64_t time, mm_estimate *out) noexcept
    uint64_t mm_rolling_bytes(const mm_rolling_settings *settings) noexcept
    void mm_rolling_save(const mm_rolling *rolling, mm_rolling_saved *block) noexcept
    int mm_rolling_saved_check(mm_rolling_saved *block, uint64_t bytes) noexcept
    void mm_rolling_load(const mm_rolling_saved *block, mm_rolling *rolling, int64_t *words) noexcept
    int mm_estimate_whole(const mm_estimate *estimate) noexcept


# Exported in __pyx_capi__.
cdef int rolling_quote(mm_rolling *rolling, int64_t time, int64_t bid, int64_t ask) noexcept nogil
cdef int rolling_trade(mm_rolling *rolling, int64_t stamp, int64_t time, int64_t price, int32_t subtick,
                       int32_t side, uint8_t flags) noexcept nogil
cdef int rolling_estimate(mm_rolling *rolling, int64_t time, mm_estimate *out) noexcept nogil


cdef class Estimate:
    cdef mm_estimate c
    cdef tuple pair(self, const double *values)


cdef class Recalibrate:
    # One writer.
    cdef mm_rolling c
    cdef int64_t *words          # of the window
    cdef int64_t used            # estimates made when one was last put in force
    cdef readonly double sigma_interval
    cdef int begin(self, mm_rolling_settings settings) except -1
    cdef int take(self, int status, int64_t time) except -1
    cdef Estimate estimate_at(self, int64_t time)
