/* mmcore/cpu.h - loops compiled for more than one instruction set, one of which is chosen at run time.
 *
 * A loop that gains by it is written once, as an inline function NAME_as, and MM_CPU_COPIES makes a copy of
 * it for each level below; MM_CPU_CALL calls that of a level. Callers pass the level, found once by
 * mm_cpu_best. Copies differ in speed alone: no contraction and no other order of sums, so the bits are the
 * same. Where the compiler or the architecture knows no levels there is the baseline only: what the build was
 * made for, which is SSE2 on x86-64 and NEON on aarch64.
 */
#ifndef MMCORE_CPU_H
#define MMCORE_CPU_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum mm_cpu {
  MM_CPU_BASELINE = 0,
  MM_CPU_AVX2 = 1,
  MM_CPU_AVX512 = 2, /* F, BW, DQ and VL */
  MM_CPU_LEVELS = 3
} mm_cpu;

#if defined(__GNUC__) && defined(__x86_64__) && !defined(MMCORE_ONE_LEVEL)
#define MM_CPU_COPIES(name, parameters, arguments)                                                           \
  static inline void name##_baseline parameters {                                                            \
    name##_as arguments;                                                                                     \
  }                                                                                                          \
  __attribute__((target("avx2"))) static inline void name##_avx2 parameters {                                \
    name##_as arguments;                                                                                     \
  }                                                                                                          \
  __attribute__((                                                                                            \
      target("avx512f,avx512bw,avx512dq,avx512vl"))) static inline void name##_avx512 parameters {           \
    name##_as arguments;                                                                                     \
  }
#define MM_CPU_CALL(cpu, name, arguments)                                                                    \
  ((cpu) == MM_CPU_AVX512 ? name##_avx512 arguments                                                          \
   : (cpu) == MM_CPU_AVX2 ? name##_avx2 arguments                                                            \
                          : name##_baseline arguments)
#else
#define MM_CPU_COPIES(name, parameters, arguments)                                                           \
  static inline void name##_baseline parameters {                                                            \
    name##_as arguments;                                                                                     \
  }
#define MM_CPU_CALL(cpu, name, arguments) ((void)(cpu), name##_baseline arguments)
#endif

/* Can this machine, and this build, run a level? */
static inline int mm_cpu_runs(mm_cpu level) {
#if defined(__GNUC__) && defined(__x86_64__) && !defined(MMCORE_ONE_LEVEL)
  if (level == MM_CPU_AVX512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (level == MM_CPU_AVX2)
    return __builtin_cpu_supports("avx2") != 0;
#endif
  return level == MM_CPU_BASELINE;
}

/* The highest level that runs here. */
static inline mm_cpu mm_cpu_best(void) {
  return mm_cpu_runs(MM_CPU_AVX512) ? MM_CPU_AVX512
         : mm_cpu_runs(MM_CPU_AVX2) ? MM_CPU_AVX2
                                    : MM_CPU_BASELINE;
}

#ifdef __cplusplus
}
#endif

#endif
