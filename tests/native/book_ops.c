/* The functions of int128.h and book.h under one prefix, so that the native and the portable build of the
 * same header can stand side by side: compile with -DPREFIX=native_ or with -DPREFIX=portable_
 * -DMM_NO_INT128. */
#include <stddef.h>

#include "mmcore/book.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define JOIN2(a, b) a##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(f) JOIN(PREFIX, f)

EXPORT int NAME(uses_int128)(void) {
  return MM_HAS_INT128;
}

EXPORT void NAME(mul)(int64_t a, int64_t b, mm_i128 *out) {
  *out = mm_i128_mul(a, b);
}

EXPORT void NAME(add)(const mm_i128 *a, const mm_i128 *b, mm_i128 *out) {
  *out = mm_i128_add(*a, *b);
}

EXPORT void NAME(sub)(const mm_i128 *a, const mm_i128 *b, mm_i128 *out) {
  *out = mm_i128_sub(*a, *b);
}

EXPORT void NAME(neg)(const mm_i128 *a, mm_i128 *out) {
  *out = mm_i128_neg(*a);
}

EXPORT int NAME(cmp)(const mm_i128 *a, const mm_i128 *b) {
  return mm_i128_cmp(*a, *b);
}

EXPORT int NAME(within)(const mm_i128 *a, const mm_i128 *bound) {
  return mm_i128_within(*a, *bound);
}

EXPORT int NAME(add_checked)(const mm_i128 *a, const mm_i128 *b, mm_i128 *out) {
  return mm_i128_add_checked(*a, *b, out);
}

EXPORT void NAME(scale)(const mm_i128 *a, int64_t b, mm_i128 *out) {
  *out = mm_i128_scale(*a, b);
}

EXPORT int NAME(scale_checked)(const mm_i128 *a, int64_t b, mm_i128 *out) {
  return mm_i128_scale_checked(*a, b, out);
}

EXPORT int NAME(muldiv)(const mm_i128 *a, int64_t b, int64_t d, mm_i128 *out) {
  return mm_i128_muldiv(*a, b, d, out);
}

EXPORT void NAME(divide)(const mm_i128 *a, uint64_t d, uint64_t *remainder, mm_i128 *out) {
  *out = mm_i128_divide(*a, d, remainder);
}

EXPORT int NAME(to_i64)(const mm_i128 *a, int64_t *out) {
  return mm_i128_to_i64(*a, out);
}

EXPORT double NAME(to_double)(const mm_i128 *a) {
  return mm_i128_to_double(*a);
}

EXPORT int NAME(from_double)(double a, mm_i128 *out) {
  return mm_i128_from_double(a, out);
}

EXPORT int NAME(add_i64)(int64_t a, int64_t b, int64_t *out) {
  return mm_add_i64(a, b, out);
}

EXPORT int NAME(leading_zeros)(uint64_t a) {
  return mm_leading_zeros(a);
}

EXPORT uint64_t NAME(div_u128)(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *remainder) {
  return mm_div_u128(hi, lo, d, remainder);
}

EXPORT int NAME(notional_fee)(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee) {
  return mm_notional_fee(qty, price, num, den, fee);
}

EXPORT void NAME(position_init)(mm_position *p, int32_t method, int negative_prices) {
  mm_position_init(p, method, negative_prices);
}

EXPORT int NAME(position_fill)(mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price,
                               int64_t fee) {
  return mm_position_fill(p, lots, capacity, qty, price, fee);
}

EXPORT int NAME(position_fills)(mm_position *p, mm_lot *lots, int64_t capacity, int64_t n, const int64_t *qty,
                                const int64_t *price, const int64_t *fee, ptrdiff_t stride, int64_t *booked) {
  return mm_position_fills(p, lots, capacity, n, qty, price, fee, stride, booked);
}

EXPORT int NAME(position_mark)(mm_position *p, int64_t mark) {
  return mm_position_mark(p, mark);
}

EXPORT void NAME(position_compact)(mm_position *p, mm_lot *lots) {
  mm_position_compact(p, lots);
}

EXPORT void NAME(position_realised)(const mm_position *p, mm_i128 *out) {
  *out = mm_position_realised(p);
}

EXPORT int NAME(position_unrealised)(const mm_position *p, mm_i128 *out) {
  return mm_position_unrealised(p, out);
}

EXPORT void NAME(layout)(int64_t *out) { /* what NumPy's mmcore.FILL must agree with */
  out[0] = (int64_t)sizeof(mm_fill);
  out[1] = (int64_t)offsetof(mm_fill, time);
  out[2] = (int64_t)offsetof(mm_fill, receive_time);
  out[3] = (int64_t)offsetof(mm_fill, qty);
  out[4] = (int64_t)offsetof(mm_fill, price);
  out[5] = (int64_t)offsetof(mm_fill, fee);
  out[6] = (int64_t)offsetof(mm_fill, order_id);
  out[7] = (int64_t)offsetof(mm_fill, id);
  out[8] = (int64_t)offsetof(mm_fill, reference);
  out[9] = (int64_t)offsetof(mm_fill, instrument);
  out[10] = (int64_t)offsetof(mm_fill, fee_currency);
  out[11] = (int64_t)offsetof(mm_fill, liquidity);
  out[12] = (int64_t)offsetof(mm_fill, kind);
  out[13] = (int64_t)offsetof(mm_fill, target);
}
