/* mmcore/types.h - what every kernel shares: status codes, 128-bit integers, absent sides,
 * checksums.
 *
 * All kernels are header-only C11 (also valid C++17): static inline, no allocation, no errno, no
 * Python. Prices are int64 ticks, sizes int64 lots, times int64 ns; models use doubles in ticks,
 * lots and seconds. Pairs are always (bid, ask), indexed by MM_BID and MM_ASK.
 */
#ifndef MMCORE_TYPES_H
#define MMCORE_TYPES_H

#include <float.h>
#include <stdint.h>

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "mmcore needs IEEE arithmetic: compile without -ffast-math, -Ofast and -ffinite-math-only"
#endif
/* GCC's word on its own arithmetic: 0 when a flag lets it reorder, approximate or drop signs of zeros (and
 * where -std=c11 is told to contract). Clang does not keep it by its flags. */
#if defined(__GCC_IEC_559) && __GCC_IEC_559 == 0 && !defined(__clang__)
#error "mmcore needs IEEE arithmetic: compile without -funsafe-math-optimizations, -fassociative-math, \
-freciprocal-math, -fno-signed-zeros and, with -std=c11, -ffp-contract=fast"
#endif
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0
#error "mmcore needs doubles that are rounded as doubles: on 32-bit x86, compile with -msse2 -mfpmath=sse"
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define MMCORE_VERSION "0.1.0"
#define MMCORE_ABI_VERSION 1

#if defined(__GNUC__)
#define MM_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define MM_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define MM_INLINE static inline __attribute__((always_inline))
#define MM_COLD static __attribute__((noinline, cold, unused))
/* Keeps its registers wherever it is called from. */
#define MM_NOINLINE static __attribute__((noinline, unused))
#else
#define MM_LIKELY(condition) (condition)
#define MM_UNLIKELY(condition) (condition)
#define MM_INLINE static inline
#define MM_COLD static inline
#define MM_NOINLINE static inline
#endif

/* One list of codes for all kernels. Negative: refused, and nothing was changed but what counts
 * refusals. The classes in
 * mmcore.errors are made from it. */
typedef enum mm_status {
  MM_OK = 0,
  MM_DUPLICATE = 1,       /* the same fill again: no effect, not an error */
  MM_SUSPENDED = 2,       /* a fill is kept, in suspense: it belongs to nothing known */
  MM_UNMET = 3,           /* booked, but lots that a fill identified are gone: it closed the oldest */
  MM_INVALID = -1,        /* an argument is outside what is allowed */
  MM_OVERFLOW = -2,       /* the result would leave the stated bounds */
  MM_CONFLICT = -3,       /* a known id with different content */
  MM_UNSUPPORTED = -4,    /* a kind of record or contract this version refuses by name */
  MM_UNKNOWN = -5,        /* an instrument, order or id that was never declared */
  MM_CAPACITY = -6,       /* the caller's memory is too small */
  MM_NO_CONVERGENCE = -7, /* an iteration did not reach its tolerance */
  MM_CORRUPT = -8         /* a block of bytes whose magic, size or checksum is wrong */
} mm_status;

enum { MM_BID = 0, MM_ASK = 1 };

/* An absent side has size 0; its price is such that minimum, maximum and crossing tests need no
 * special case. In arrays of float depths it is NaN. */
#define MM_NO_BID INT64_MIN
#define MM_NO_ASK INT64_MAX

/* 128-bit values in public structs: readable without compiler support for __int128. */
typedef struct mm_i128 {
  uint64_t lo;
  int64_t hi;
} mm_i128;

/* ---- words that one thread writes while others read ----
 * mm_load_double and its like are relaxed: a value is whole, and nothing is said about the order of two; the
 * others order memory. Also where the atomics of C11 are not valid (C++, Visual C). */

#if defined(_MSC_VER) && !defined(__clang__)
static inline uint64_t mm_load_acquire(const uint64_t *at) {
  return (uint64_t)_InterlockedOr64((volatile __int64 *)at, 0);
}
static inline void mm_store_release(uint64_t *at, uint64_t value) {
  _InterlockedExchange64((volatile __int64 *)at, (__int64)value);
}
#define MM_FENCE_ACQUIRE() ((void)0) /* the interlocked operations are full barriers */
#define MM_FENCE_RELEASE() ((void)0)
#define MM_WORD(type, name)                                                                                  \
  MM_INLINE type mm_load_##name(const type *at) {                                                            \
    return *(const volatile type *)at;                                                                       \
  }                                                                                                          \
  MM_INLINE void mm_store_##name(type *at, type value) {                                                     \
    *(volatile type *)at = value;                                                                            \
  }
#else
static inline uint64_t mm_load_acquire(const uint64_t *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
static inline void mm_store_release(uint64_t *at, uint64_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}
#define MM_FENCE_ACQUIRE() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define MM_FENCE_RELEASE() __atomic_thread_fence(__ATOMIC_RELEASE)
#define MM_WORD(type, name)                                                                                  \
  MM_INLINE type mm_load_##name(const type *at) {                                                            \
    type value;                                                                                              \
    __atomic_load(at, &value, __ATOMIC_RELAXED);                                                             \
    return value;                                                                                            \
  }                                                                                                          \
  MM_INLINE void mm_store_##name(type *at, type value) {                                                     \
    __atomic_store(at, &value, __ATOMIC_RELAXED);                                                            \
  }
#endif
MM_WORD(double, double)
MM_WORD(int32_t, int32)
MM_WORD(uint64_t, uint64)

/* ---- checksums of blocks of bytes ---- */

#define MM_CHECKSUM_START 0xcbf29ce484222325u

/* FNV-1a, to be continued with what comes next. Each step is a bijection of the hash, so any change within
 * one byte is certain to show. */
static inline uint64_t mm_checksum(uint64_t hash, const void *from, uint64_t bytes) {
  const unsigned char *byte = (const unsigned char *)from;
  for (uint64_t i = 0; i < bytes; ++i)
    hash = (hash ^ byte[i]) * 0x100000001b3u;
  return hash;
}

#ifdef __cplusplus
}
#endif

#endif
