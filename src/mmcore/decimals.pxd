"""Decimal text to integers, for other compiled modules: the kernels of mmcore/decimals.h."""

from libc.stdint cimport int32_t, int64_t


cdef extern from "mmcore/decimals.h" nogil:
    enum:
        MM_EXACT
        MM_FLOOR
        MM_CEIL
        MM_NEAREST
        MM_SCALE_MAX

    const int64_t MM_STEP_MAX

    ctypedef struct mm_grid:
        int64_t step
        int32_t scale
        int32_t rounding

    ctypedef struct mm_fields_result:
        int64_t rows
        int64_t lines
        int64_t consumed
        int64_t bad_fields
        int32_t status

    int mm_decimal(const char *text, const char *end, const mm_grid *grid, int64_t *ticks, int32_t *subtick)
    int mm_is_missing(const char *text, const char *end)
    mm_fields_result mm_fields(
        const char *text, int64_t size, char delimiter, int64_t columns, int64_t capacity,
        int64_t *starts, int64_t *stops, int64_t *line_of)

cdef extern from "mmcore/stamps.h" nogil:
    int mm_iso_stamp(const char *text, const char *end, int64_t *ns)


cdef int decimal(
    const char *text, int64_t size, const mm_grid *grid, int64_t *ticks, int32_t *subtick
) noexcept nogil
