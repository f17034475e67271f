/* mmcore/int128.h - exact integer arithmetic beyond 64 bits.
 *
 * Cash and cost pools are 128-bit two's complement integers in two words (mm_i128). Where the compiler has
 * __int128 it does the work; elsewhere (MSVC, 32-bit targets, or with MM_NO_INT128 defined) two 64-bit words
 * do. Both give the same bits. Functions that can leave the range say so by returning 1 and then do not touch
 * their result; the others say which range of arguments keeps them exact.
 */
#ifndef MMCORE_INT128_H
#define MMCORE_INT128_H

#include <string.h>

#include "types.h"

#if defined(__SIZEOF_INT128__) && !defined(MM_NO_INT128)
#define MM_HAS_INT128 1
#else
#define MM_HAS_INT128 0
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- 64-bit words ---- */

/* Magnitude of any int64: INT64_MIN has one too. */
static inline uint64_t mm_abs_i64(int64_t a) {
  return a < 0 ? (uint64_t)0 - (uint64_t)a : (uint64_t)a;
}

static inline int mm_add_i64(int64_t a, int64_t b, int64_t *out) {
#if defined(__GNUC__) && !defined(MM_NO_INT128)
  int64_t sum;
  if (__builtin_add_overflow(a, b, &sum))
    return 1;
  *out = sum;
  return 0;
#else
  if (b > 0 ? a > INT64_MAX - b : a < INT64_MIN - b)
    return 1;
  *out = a + b;
  return 0;
#endif
}

static inline int mm_leading_zeros(uint64_t a) { /* a > 0 */
#if defined(__GNUC__)
  return __builtin_clzll(a);
#else
  int n = 0;
  for (int step = 32; step > 0; step >>= 1)
    if (!(a >> (64 - step))) {
      n += step;
      a <<= step;
    }
  return n;
#endif
}

/* a * b = hi * 2^64 + lo */
static inline void mm_mul_u64(uint64_t a, uint64_t b, uint64_t *hi, uint64_t *lo) {
#if MM_HAS_INT128
  __extension__ typedef unsigned __int128 wide;
  wide p = (wide)a * b;
  *hi = (uint64_t)(p >> 64);
  *lo = (uint64_t)p;
#else
  uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
  uint64_t low = a0 * b0, m1 = a1 * b0, m2 = a0 * b1;
  uint64_t mid = (low >> 32) + (m1 & 0xffffffffu) + (m2 & 0xffffffffu); /* < 3 * 2^32 */
  *lo = (mid << 32) | (low & 0xffffffffu);
  *hi = a1 * b1 + (m1 >> 32) + (m2 >> 32) + (mid >> 32);
#endif
}

/* (hi * 2^64 + lo) / d with hi < d, so that the quotient fits into one word. */
static inline uint64_t mm_div_u128(uint64_t hi, uint64_t lo, uint64_t d, uint64_t *remainder) {
#if MM_HAS_INT128 && defined(__x86_64__)
  uint64_t q, r; /* one instruction; __int128 would call a library function that cannot assume hi < d */
  __asm__("divq %4" : "=a"(q), "=d"(r) : "0"(lo), "1"(hi), "r"(d) : "cc");
  *remainder = r;
  return q;
#elif MM_HAS_INT128
  __extension__ typedef unsigned __int128 wide;
  wide n = ((wide)hi << 64) | lo;
  uint64_t q = (uint64_t)(n / d);
  *remainder = lo - q * d;
  return q;
#else
  /* Long division in base 2^32. With the divisor's top bit set, a digit guessed from the divisor's upper half
   * is at most two too large. */
  const int shift = mm_leading_zeros(d);
  const uint64_t n = d << shift, n1 = n >> 32, n0 = n & 0xffffffffu;
  const uint64_t low = lo << shift;
  uint64_t top = shift ? (hi << shift) | (lo >> (64 - shift)) : hi;
  uint64_t quotient = 0;
  for (int digit = 1; digit >= 0; digit--) {
    const uint64_t next = (low >> (32 * digit)) & 0xffffffffu;
    uint64_t q = top / n1, r = top % n1;
    while ((q >> 32) || q * n0 > ((r << 32) | next)) {
      q--;
      r += n1;
      if (r >> 32)
        break;
    }
    top = ((top << 32) | next) - q * n; /* modulo 2^64: the difference is below n */
    quotient = (quotient << 32) | q;
  }
  *remainder = top >> shift;
  return quotient;
#endif
}

/* Whether a quotient with this remainder (< d) rounds up, halves to even. */
static inline int mm_rounds_up(uint64_t remainder, uint64_t d, uint64_t quotient) {
  const uint64_t rest = d - remainder;
  return remainder > rest || (remainder == rest && (quotient & 1));
}

/* ---- 128-bit integers ---- */

static inline mm_i128 mm_i128_of(int64_t a) {
  mm_i128 r;
  r.lo = (uint64_t)a;
  r.hi = a < 0 ? -1 : 0;
  return r;
}

static inline int mm_i128_negative(mm_i128 a) {
  return a.hi < 0;
}

static inline int mm_i128_zero(mm_i128 a) {
  return a.lo == 0 && a.hi == 0;
}

#if MM_HAS_INT128
__extension__ typedef __int128 mm_native_i128;
__extension__ typedef unsigned __int128 mm_native_u128;

static inline mm_native_i128 mm_i128_native(mm_i128 a) {
  return (mm_native_i128)(((mm_native_u128)(uint64_t)a.hi << 64) | a.lo);
}

static inline mm_i128 mm_i128_from_native(mm_native_i128 a) {
  mm_i128 r;
  r.lo = (uint64_t)a;
  r.hi = (int64_t)(uint64_t)((mm_native_u128)a >> 64);
  return r;
}
#endif

/* Wraps modulo 2^128, like unsigned words; see mm_i128_add_checked. */
static inline mm_i128 mm_i128_add(mm_i128 a, mm_i128 b) {
#if MM_HAS_INT128
  return mm_i128_from_native(
      (mm_native_i128)((mm_native_u128)mm_i128_native(a) + (mm_native_u128)mm_i128_native(b)));
#else
  mm_i128 r;
  r.lo = a.lo + b.lo;
  r.hi = (int64_t)((uint64_t)a.hi + (uint64_t)b.hi + (r.lo < a.lo));
  return r;
#endif
}

/* Wraps modulo 2^128. */
static inline mm_i128 mm_i128_sub(mm_i128 a, mm_i128 b) {
#if MM_HAS_INT128
  return mm_i128_from_native(
      (mm_native_i128)((mm_native_u128)mm_i128_native(a) - (mm_native_u128)mm_i128_native(b)));
#else
  mm_i128 r;
  r.lo = a.lo - b.lo;
  r.hi = (int64_t)((uint64_t)a.hi - (uint64_t)b.hi - (a.lo < b.lo));
  return r;
#endif
}

/* Exact but for -2^127, which is its own negative. */
static inline mm_i128 mm_i128_neg(mm_i128 a) {
  return mm_i128_sub(mm_i128_of(0), a);
}

static inline int mm_i128_add_checked(mm_i128 a, mm_i128 b, mm_i128 *out) {
  const mm_i128 r = mm_i128_add(a, b);
  if (((a.hi ^ r.hi) & (b.hi ^ r.hi)) < 0) /* the sum's sign differs from both */
    return 1;
  *out = r;
  return 0;
}

/* -1, 0 or 1. */
static inline int mm_i128_cmp(mm_i128 a, mm_i128 b) {
  if (a.hi != b.hi)
    return a.hi < b.hi ? -1 : 1;
  return a.lo < b.lo ? -1 : a.lo > b.lo;
}

/* |a| < bound, for a bound > 0. */
static inline int mm_i128_within(mm_i128 a, mm_i128 bound) {
  return mm_i128_cmp(a, bound) < 0 && mm_i128_cmp(mm_i128_neg(bound), a) < 0;
}

/* Magnitude as two unsigned words; -2^127 has one too. */
static inline void mm_i128_magnitude(mm_i128 a, uint64_t *hi, uint64_t *lo) {
  const mm_i128 m = a.hi < 0 ? mm_i128_neg(a) : a;
  *hi = (uint64_t)m.hi;
  *lo = m.lo;
}

/* +-(hi * 2^64 + lo); 1 where that is outside [-2^127, 2^127). */
static inline int mm_i128_signed(int negative, uint64_t hi, uint64_t lo, mm_i128 *out) {
  mm_i128 r;
  if (MM_UNLIKELY(hi >> 63) && !(negative && hi == (uint64_t)1 << 63 && lo == 0))
    return 1;
  r.hi = (int64_t)hi;
  r.lo = lo;
  *out = negative ? mm_i128_neg(r) : r;
  return 0;
}

/* a * b, always exact. */
static inline mm_i128 mm_i128_mul(int64_t a, int64_t b) {
#if MM_HAS_INT128
  return mm_i128_from_native((mm_native_i128)a * b);
#else
  mm_i128 r;
  uint64_t hi, lo;
  mm_mul_u64(mm_abs_i64(a), mm_abs_i64(b), &hi, &lo);
  mm_i128_signed((a < 0) != (b < 0), hi, lo, &r); /* at most 2^126 */
  return r;
#endif
}

/* a * b modulo 2^128, for callers that know the product fits. */
static inline mm_i128 mm_i128_scale(mm_i128 a, int64_t b) {
#if MM_HAS_INT128
  return mm_i128_from_native(
      (mm_native_i128)((mm_native_u128)mm_i128_native(a) * (mm_native_u128)(mm_native_i128)b));
#else
  mm_i128 r;
  uint64_t hi;
  const uint64_t word = (uint64_t)b;
  mm_mul_u64(a.lo, word, &hi, &r.lo);
  hi += (uint64_t)a.hi * word;
  if (b < 0)
    hi -= a.lo; /* word stands for b + 2^64 */
  r.hi = (int64_t)hi;
  return r;
#endif
}

static inline int mm_i128_scale_checked(mm_i128 a, int64_t b, mm_i128 *out) {
  uint64_t hi, lo, carry, over;
  const uint64_t word = mm_abs_i64(b);
  mm_i128_magnitude(a, &hi, &lo);
  mm_mul_u64(hi, word, &over, &hi);
  mm_mul_u64(lo, word, &carry, &lo);
  hi += carry;
  if (over || hi < carry)
    return 1;
  return mm_i128_signed((a.hi < 0) != (b < 0), hi, lo, out);
}

/* a * b / d rounded half to even, for d > 0; the product takes 192 bits. */
static inline int mm_i128_muldiv(mm_i128 a, int64_t b, int64_t d, mm_i128 *out) {
  const int negative = (a.hi < 0) != (b < 0);
  const uint64_t word = mm_abs_i64(b), divisor = (uint64_t)d;
  uint64_t hi, lo, p2 = 0, p1, p0, q1 = 0, q0, r;
  mm_i128_magnitude(a, &hi, &lo);
  mm_mul_u64(lo, word, &p1, &p0);
  if (MM_UNLIKELY(hi)) {
    uint64_t middle;
    mm_mul_u64(hi, word, &p2, &middle);
    p1 += middle;
    p2 += p1 < middle;
    if (p2 >= divisor)
      return 1;
  }
  r = p1;
  if (p1 >= divisor || p2)
    q1 = mm_div_u128(p2, p1, divisor, &r);
  q0 = mm_div_u128(r, p0, divisor, &r);
  if (mm_rounds_up(r, divisor, q0)) {
    q0++;
    q1 += q0 == 0;
    if (q0 == 0 && q1 == 0)
      return 1;
  }
  return mm_i128_signed(negative, q1, q0, out);
}

/* Trunc(a / d) and the magnitude of what is left. */
static inline mm_i128 mm_i128_divide(mm_i128 a, uint64_t d, uint64_t *remainder) {
  uint64_t hi, lo, r;
  mm_i128 q;
  mm_i128_magnitude(a, &hi, &lo);
  q.hi = (int64_t)(hi / d);
  q.lo = mm_div_u128(hi % d, lo, d, &r);
  *remainder = r;
  return mm_i128_negative(a) ? mm_i128_neg(q) : q;
}

/* The value as an int64; 1 where it does not fit. */
static inline int mm_i128_to_i64(mm_i128 a, int64_t *out) {
  const int64_t low = (int64_t)a.lo;
  if (a.hi != (low < 0 ? -1 : 0))
    return 1;
  *out = low;
  return 0;
}

/* The nearest double, halves to even. */
static inline double mm_i128_to_double(mm_i128 a) {
  uint64_t hi, lo, bits;
  double r, power;
  mm_i128_magnitude(a, &hi, &lo);
  if (hi == 0) {
    r = (double)lo;
  } else {
    /* The upper 64 significant bits, with everything below them folded into the last: eleven bits are rounded
     * away by the conversion, so the fold only breaks ties. */
    const int shift = 64 - mm_leading_zeros(hi);
    uint64_t top = shift == 64 ? hi : (hi << (64 - shift)) | (lo >> shift);
    const uint64_t below = shift == 64 ? lo : lo << (64 - shift);
    top |= below != 0;
    bits = (uint64_t)(1023 + shift) << 52;
    memcpy(&power, &bits, sizeof power);
    r = (double)top * power;
  }
  return a.hi < 0 ? -r : r;
}

/* The nearest integer, halves to even; 1 for NaN and outside [-2^127, 2^127). */
static inline int mm_i128_from_double(double x, mm_i128 *out) {
  uint64_t bits, hi = 0, lo;
  int negative, exponent;
  memcpy(&bits, &x, sizeof bits);
  negative = (int)(bits >> 63);
  exponent = (int)((bits >> 52) & 0x7ff) - 1075; /* x = mantissa * 2^exponent, mantissa < 2^53 */
  lo = (bits & 0xfffffffffffffu) | ((uint64_t)1 << 52);
  if (exponent > 75) /* infinities and NaN too */
    return 1;
  if (exponent >= 64) {
    hi = lo << (exponent - 64);
    lo = 0;
  } else if (exponent > 0) {
    hi = lo >> (64 - exponent);
    lo <<= exponent;
  } else if (exponent < -53) { /* below one half; denormals and zero too */
    lo = 0;
  } else if (exponent < 0) {
    const uint64_t rest = lo & (((uint64_t)1 << -exponent) - 1);
    lo >>= -exponent;
    lo += (uint64_t)mm_rounds_up(rest, (uint64_t)1 << -exponent, lo);
  }
  return mm_i128_signed(negative, hi, lo, out);
}

#ifdef __cplusplus
}
#endif

#endif
