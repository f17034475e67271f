/* The branches of the compiled modules, told to libFuzzer.
 *
 * gcc calls __sanitizer_cov_trace_pc in each block of code (-fsanitize-coverage=trace-pc) and
 * __sanitizer_cov_trace_cmp* at each comparison (trace-cmp). libFuzzer wants counters: one for each value of a
 * hash of the place. The comparisons are passed on to it, whose copy inside atheris is found at run time;
 * they are tail calls, so that it sees the place that compared. Preloaded, before any compiled module. */
#include <stdint.h>

#define PLACES (1u << 16)

static uint8_t counters[PLACES];
static uintptr_t places[PLACES][2];

void __sanitizer_cov_trace_pc(void) {
  const uint64_t place = (uint64_t)(uintptr_t)__builtin_return_address(0) * UINT64_C(0x9e3779b97f4a7c15);
  counters[place >> 48]++;
}

#define COMPARISONS(on)                                                                                     \
  on(trace_cmp1, uint8_t) on(trace_cmp2, uint16_t) on(trace_cmp4, uint32_t) on(trace_cmp8, uint64_t)          \
      on(trace_const_cmp1, uint8_t) on(trace_const_cmp2, uint16_t) on(trace_const_cmp4, uint32_t)             \
          on(trace_const_cmp8, uint64_t)

#define PASS_ON(name, type)                                                                                 \
  static void nobody_##name(type a, type b) {                                                                \
    (void)a;                                                                                                 \
    (void)b;                                                                                                 \
  }                                                                                                          \
  static void (*reader_##name)(type, type) = nobody_##name;                                                  \
  void __sanitizer_cov_##name(type a, type b) { reader_##name(a, b); }
COMPARISONS(PASS_ON)

static void nobody_trace_switch(uint64_t value, uint64_t *cases) {
  (void)value;
  (void)cases;
}
static void (*reader_trace_switch)(uint64_t, uint64_t *) = nobody_trace_switch;
void __sanitizer_cov_trace_switch(uint64_t value, uint64_t *cases) { reader_trace_switch(value, cases); }

/* Comparisons of floating point, which libFuzzer does not read. */
void __sanitizer_cov_trace_cmpf(float a, float b) {
  (void)a;
  (void)b;
}
void __sanitizer_cov_trace_cmpd(double a, double b) {
  (void)a;
  (void)b;
}

/* Preloaded before the sanitizer's library, whose functions of these names do nothing: also what atheris
 * says of the Python code comes by here. */
static void (*add_counters)(uint8_t *, uint8_t *);
static void (*add_places)(const uintptr_t *, const uintptr_t *);
void __sanitizer_cov_8bit_counters_init(uint8_t *from, uint8_t *to) { add_counters(from, to); }
void __sanitizer_cov_pcs_init(const uintptr_t *from, const uintptr_t *to) { add_places(from, to); }

/* Let libFuzzer read: `find` looks a symbol up in its library. */
void coverage_start(void *(*find)(const char *)) {
  add_counters = (void (*)(uint8_t *, uint8_t *))(uintptr_t)find("__sanitizer_cov_8bit_counters_init");
  add_places = (void (*)(const uintptr_t *, const uintptr_t *))(uintptr_t)find("__sanitizer_cov_pcs_init");
  for (uintptr_t i = 0; i < PLACES; i++)
    places[i][0] = i + 1; /* any, but different */
  add_counters(counters, counters + PLACES);
  add_places(places[0], places[PLACES]);
#define FIND(name, type)                                                                                    \
  reader_##name = (void (*)(type, type))(uintptr_t)find("__sanitizer_cov_" #name);
  COMPARISONS(FIND)
  reader_trace_switch = (void (*)(uint64_t, uint64_t *))(uintptr_t)find("__sanitizer_cov_trace_switch");
}
