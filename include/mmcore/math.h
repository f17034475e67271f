/* mmcore/math.h - logarithm, exponential and what is made of them: the same bits on every platform.
 *
 * C libraries differ in the last bits of these functions, and one library from one processor to the next.
 * These use + - * /, comparisons and integer operations on doubles that are rounded to nearest, and hold
 * neither a table nor a branch, so that loops over them vectorise.
 *
 *   mm_log(x), mm_log1p(x)    x = 2^k (1 + f), 1 + f within [sqrt(1/2), sqrt(2)); with s = f / (1 + f/2)
 *                             log(1 + f) = 2 artanh(s / 2) = s + s^3 L(s^2)
 *   mm_exp(x), mm_expm1(x)    x = k ln 2 + r, |r| <= ln(2) / 2
 *                             e^r - 1 = r + r^2/2 + r^3 E(r)
 *   mm_pow(x, y)              e^(y log x)
 *   mm_exp_product(x, y)      e^(x y)
 *
 * In both series the terms up to the square are carried in two doubles, which is what keeps the first four
 * within 0.65 units in the last place (subnormal results: 1), see docs/accuracy.md. L and E are
 * the polynomials with the least largest error: bench/elementary.py derives them.
 *
 * All doubles are in the domain: log(0) = -inf, log(x < 0) = NaN, exp(-inf) = 0, log1p(-0) = expm1(-0) = -0,
 * NaN gives NaN (always the same one). errno and the flags of floating point mean nothing.
 */
#ifndef MMCORE_MATH_H
#define MMCORE_MATH_H

#include <float.h>
#include <string.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_LN2_HI 0x1.62e42fefa38p-1 /* 42 bits: k times it is exact */
#define MM_LN2_LO 0x1.ef35793c7673p-45
#define MM_INVERSE_LN2 0x1.71547652b82fep+0

#define MM_LOG_0 0x1.5555555555558p-4
#define MM_LOG_1 0x1.999999999522fp-7
#define MM_LOG_2 0x1.2492492e02b34p-9
#define MM_LOG_3 0x1.c71c62d1babd8p-12
#define MM_LOG_4 0x1.7462b9bc0bad1p-14
#define MM_LOG_5 0x1.39fdc754432bbp-16
#define MM_LOG_6 0x1.2b5f10870e426p-18

#define MM_EXP_0 0x1.5555555555556p-3
#define MM_EXP_1 0x1.5555555555556p-5
#define MM_EXP_2 0x1.11111111109b5p-7
#define MM_EXP_3 0x1.6c16c16c15ddfp-10
#define MM_EXP_4 0x1.a01a01a7c303fp-13
#define MM_EXP_5 0x1.a01a01a92b719p-16
#define MM_EXP_6 0x1.71de0db2b4807p-19
#define MM_EXP_7 0x1.27e4d4f085866p-22
#define MM_EXP_8 0x1.af389f58f492fp-26
#define MM_EXP_9 0x1.1f7ef4922a01bp-29

#define MM_SHIFT 0x1.8p+52 /* added to a small double, it leaves the nearest integer in the low bits */

MM_INLINE uint64_t mm_bits_of(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

MM_INLINE double mm_double_of(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

#define MM_NAN mm_double_of(0x7ff8000000000000u) /* the same bits on all platforms */
#define MM_INFINITY mm_double_of(0x7ff0000000000000u)

/* The first 26 bits of x: their square is exact. */
MM_INLINE double mm_head(double x) {
  return mm_double_of(mm_bits_of(x) & 0xfffffffff8000000u);
}

/* y, which has the sign of x unless either is zero, with that sign. */
MM_INLINE double mm_signed(double y, double x) {
  return mm_double_of(mm_bits_of(y) | (mm_bits_of(x) & 0x8000000000000000u));
}

/* A number as the sum of two doubles, the second small. */
typedef struct mm_pair {
  double hi, lo;
} mm_pair;

/* hi + lo as its nearest double and the rest. */
MM_INLINE mm_pair mm_settled(double hi, double lo) {
  mm_pair sum;
  sum.hi = hi + lo;
  sum.lo = (hi - sum.hi) + lo;
  return sum;
}

/* x + y, and what the sum lost when it was rounded. */
MM_INLINE mm_pair mm_added(double x, double y) {
  mm_pair sum;
  sum.hi = x + y;
  const double back = sum.hi - x;
  sum.lo = (x - (sum.hi - back)) + (y - back);
  return sum;
}

/* x y, and what the product lost when it was rounded. */
MM_INLINE mm_pair mm_product(double x, double y) {
  const double a = mm_head(x), b = mm_head(y), c = x - a, d = y - b;
  mm_pair product;
  product.hi = x * y;
  product.lo = ((a * b - product.hi) + (a * d + c * b)) + c * d;
  return product;
}

MM_INLINE mm_pair mm_sum(mm_pair x, mm_pair y) {
  const mm_pair sum = mm_added(x.hi, y.hi);
  return mm_settled(sum.hi, sum.lo + (x.lo + y.lo));
}

MM_INLINE mm_pair mm_times(mm_pair x, mm_pair y) {
  const mm_pair product = mm_product(x.hi, y.hi);
  return mm_settled(product.hi, product.lo + (x.hi * y.lo + x.lo * y.hi));
}

MM_INLINE mm_pair mm_quotient(mm_pair x, mm_pair y) {
  const double near = x.hi / y.hi;
  const mm_pair back = mm_product(near, y.hi);
  return mm_settled(near, (((x.hi - back.hi) - back.lo) + (x.lo - near * y.lo)) / y.hi);
}

/* x within the bounds; NaN is the lower one. */
MM_INLINE double mm_clamped(double x, double low, double high) {
  const double y = x > low ? x : low;
  return y < high ? y : high;
}

/* x = 2^k m, for positive finite x: m within [sqrt(1/2), sqrt(2)), k as a double. Of other x some such pair.
 */
MM_INLINE double mm_mantissa(double x, double *k) {
  const int small = x < DBL_MIN;
  const uint64_t root = 0x3fe6a09e00000000u; /* sqrt(1/2) */
  const uint64_t bits = mm_bits_of(x * (small ? 0x1p54 : 1.0)) + (0x3ff0000000000000u - root);
  *k = mm_double_of(bits >> 52 | 0x4330000000000000u) - (small ? 0x1p52 + 1077 : 0x1p52 + 1023);
  return mm_double_of((bits & 0x000fffffffffffffu) + root);
}

/* k ln 2 + log(1 + f). */
MM_INLINE mm_pair mm_log_parts(double k, double f) {
  const double d = 1 + 0.5 * f, head = mm_head(d), tail = 0.5 * f - (head - 1), inverse = 1 / d;
  const double s = f * inverse, z = s * s, w = z * z, top = mm_head(s);
  const double rest = ((f - top * head) - top * tail) * inverse; /* top + rest = f / (1 + f/2) */
  const double low = (MM_LOG_0 + z * MM_LOG_1) + w * (MM_LOG_2 + z * MM_LOG_3);
  const double high = (MM_LOG_4 + z * MM_LOG_5) + w * MM_LOG_6;
  const double base = k * MM_LN2_HI;
  mm_pair sum;
  sum.hi = base + top;
  sum.lo = ((base - sum.hi) + top) + ((rest + k * MM_LN2_LO) + s * z * (low + w * w * high));
  return sum;
}

/* What a function adds to a finite result, so that its loops need no branch: nothing, or what x calls for. */
MM_INLINE double mm_log_special(double x, double pole) {
  const double right = x < MM_INFINITY ? -0.0 : MM_INFINITY, left = x == pole ? -MM_INFINITY : MM_NAN;
  return x > pole ? right : left;
}

MM_INLINE double mm_log(double x) {
  double k;
  const double m = mm_mantissa(x, &k);
  const mm_pair sum = mm_log_parts(k, m - 1);
  return (sum.hi + sum.lo) + mm_log_special(x, 0);
}

/* log(1 + y) for finite y > -1. */
MM_INLINE mm_pair mm_log1p_parts(double y) {
  const double u = 1 + y, most = u - 1, lost = (1 - (u - most)) + (y - most); /* u + lost = 1 + y */
  double k;
  const double m = mm_mantissa(u, &k), near = k == 0 ? lost : 0; /* m - 1 + near is y itself there */
  mm_pair sum = mm_log_parts(k, (m - 1) + near);
  sum.lo += (lost - near) / u;
  return sum;
}

MM_INLINE double mm_log1p(double x) {
  const mm_pair sum = mm_log1p_parts(mm_clamped(x, -0x1.fffffffffffffp-1, DBL_MAX));
  return mm_signed(sum.hi + sum.lo, x) + mm_log_special(x, -1);
}

/* e^(x + more) = 2^k (1 + hi + lo), for |x| < 2000. */
MM_INLINE mm_pair mm_exp_parts(double x, double more, double *k) {
  *k = (x * MM_INVERSE_LN2 + MM_SHIFT) - MM_SHIFT;
  const double near = x - *k * MM_LN2_HI, off = *k * MM_LN2_LO - more; /* near is exact */
  const double r = near - off, lost = (near - r) - off, z = r * r, w = z * z;
  const double low = (MM_EXP_0 + r * MM_EXP_1) + z * (MM_EXP_2 + r * MM_EXP_3);
  const double high =
      (MM_EXP_4 + r * MM_EXP_5) + z * (MM_EXP_6 + r * MM_EXP_7) + w * (MM_EXP_8 + r * MM_EXP_9);
  const double head = mm_head(r), half = 0.5 * head * head, rest = 0.5 * (r - head) * (r + head);
  mm_pair sum;
  sum.hi = r + half;
  sum.lo = ((r - sum.hi) + half) + ((rest + (lost + lost * r)) + r * z * (low + w * high));
  return sum;
}

/* 2^k, for -1023 < k < 1024. */
MM_INLINE double mm_power_of_two(double k) {
  return mm_double_of(mm_bits_of(k + (MM_SHIFT + 1023)) << 52);
}

/* 2^k y, for -2044 < k < 2046: in two steps, since 2^k itself may not be a double. */
MM_INLINE double mm_times_power(double y, double k) {
  const double half = (0.5 * k + MM_SHIFT) - MM_SHIFT;
  return y * mm_power_of_two(half) * mm_power_of_two(k - half);
}

/* log(x + more) for positive finite x and a small part of it. */
MM_INLINE mm_pair mm_log_of(double x, double more) {
  double k;
  const double m = mm_mantissa(x, &k);
  const mm_pair f = mm_added(m - 1, mm_times_power(more, -k)), sum = mm_log_parts(k, f.hi);
  return mm_settled(sum.hi, sum.lo + f.lo * ((1 - f.hi) + f.hi * f.hi)); /* nearly f.lo / (1 + f.hi) */
}

/* log(1 + y) for finite y > -1. */
MM_INLINE mm_pair mm_log1p_pair(mm_pair y) {
  const mm_pair parts = mm_log1p_parts(y.hi);
  return mm_settled(parts.hi, parts.lo + y.lo / (1 + y.hi));
}

/* log(2^k (1 + y)) for finite y > -1, as good as pairs are, 2^-78: where logarithms nearly cancel, those
 * above have no digits left. It is 2 artanh(f / (2 + f)) of 1 + f within [sqrt(1/2), sqrt(2)), whose first
 * terms are pairs. */
static inline mm_pair mm_log1p_fine(mm_pair y, double k) {
  double down;
  (void)mm_mantissa(1 + y.hi, &down);
  const double scale = mm_power_of_two(-down), power = k + down;
  const mm_pair one = {1, 0}, two = {2, 0}, rest = {scale, scale * y.lo};
  const mm_pair f = mm_sum(mm_added(scale * y.hi, -1), rest), s = mm_quotient(f, mm_sum(f, two));
  const mm_pair z = mm_times(s, s), twice = {2 * s.hi, 2 * s.lo};
  mm_pair sum = {0, 0};
  for (int j = 31; j > 11; j -= 2)
    sum.hi = 1.0 / (double)j + z.hi * sum.hi;
  for (int j = 11; j > 0; j -= 2) {
    const mm_pair odd = {(double)j, 0};
    sum = mm_sum(mm_quotient(one, odd), mm_times(z, sum));
  }
  const mm_pair base = {power * MM_LN2_HI, power * MM_LN2_LO};
  return mm_sum(base, mm_times(twice, sum));
}

/* log(x / y) for positive finite x and y, as good. */
static inline mm_pair mm_log_ratio(double x, double y) {
  double kx, ky;
  const mm_pair top = {mm_mantissa(x, &kx), 0}, bottom = {mm_mantissa(y, &ky), 0}, less = {-1, 0};
  return mm_log1p_fine(mm_sum(mm_quotient(top, bottom), less), kx - ky);
}

/* e^(x + more), where `more` is what x lost when it was rounded. */
MM_INLINE double mm_exp_of(double x, double more) {
  double k;
  const int within = (x > -746) & (x < 710);
  const mm_pair part = mm_exp_parts(mm_clamped(x, -746, 710), within ? more : 0, &k);
  const double top = 1 + part.hi, low = part.hi - (top - 1);
  return mm_times_power(top + (low + part.lo), k) + (x == x ? -0.0 : MM_NAN);
}

/* The same as two doubles, for sums within +-700. */
MM_INLINE mm_pair mm_exp_pair(mm_pair x) {
  double k;
  const mm_pair part = mm_exp_parts(mm_clamped(x.hi, -746, 710), x.lo, &k);
  const double top = 1 + part.hi, low = part.hi - (top - 1);
  mm_pair e = mm_settled(top, low + part.lo);
  e.hi = mm_times_power(e.hi, k), e.lo = mm_times_power(e.lo, k);
  return e;
}

MM_INLINE double mm_exp(double x) {
  return mm_exp_of(x, 0);
}

MM_INLINE double mm_expm1(double x) {
  double k;
  const mm_pair part = mm_exp_parts(mm_clamped(x, -50, 710), 0, &k);
  const double one = mm_power_of_two(k > 64 ? -64 : -k); /* below that it does not count */
  const double base = 1 - one, most = base - 1, lost = (1 - (base - most)) - (one + most); /* base + lost */
  const double top = base + part.hi, low = part.hi - (top - base);
  return mm_signed(mm_times_power(top + (low + (lost + part.lo)), k), x) + (x == x ? -0.0 : MM_NAN);
}

/* e^(x y): the rounding of the product would cost |x y| units in the last place. */
MM_INLINE double mm_exp_product(double x, double y) {
  const mm_pair power = mm_product(x, y);
  return mm_exp_of(power.hi, power.lo);
}

/* x^y for positive finite x (else NaN), within 0.6 + |y| / 32 units in the last place, and never over 32: the
 * logarithm is good to 2^-60. */
MM_INLINE double mm_pow(double x, double y) {
  double k;
  const double m = mm_mantissa(x, &k);
  const mm_pair parts = mm_log_parts(k, m - 1), log = mm_settled(parts.hi, parts.lo);
  const mm_pair power = mm_product(log.hi, y);
  return mm_exp_of(((x > 0) & (x < MM_INFINITY)) ? power.hi : MM_NAN, power.lo + log.lo * y);
}

#ifdef __cplusplus
}
#endif

#endif
