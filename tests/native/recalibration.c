/* Doors for ctypes: the shared library that the tests of recalibration load. */
#include <mmcore/api.h>

mm_live_policy live;

uint64_t bytes_of(const mm_parameters *p) {
  return mm_recalibration_bytes(p);
}

int64_t work_of(const mm_parameters *p) {
  return mm_recalibration_work(p);
}

int begin_one(const mm_parameters *p, void *block, uint64_t bytes) {
  return mm_recalibration_begin(p, (mm_policy *)block, bytes);
}

/* The prices of an affine policy under no rules. */
void without_rules(mm_policy *block, int64_t *price) {
  mm_rules rules;
  mm_quote quote;
  memset(&rules, 1, sizeof rules);
  mm_rules_init(&rules);
  mm_quote_make(block, &rules, 1000.5, 5, MM_NO_BID, MM_NO_ASK, 0, 0, INFINITY, 0, 1e9, &quote);
  price[0] = quote.price[0], price[1] = quote.price[1], price[2] = quote.why;
}

int begin(const mm_parameters *p, void *first, void *second, uint64_t bytes, double *work) {
  memset(&live, 0, sizeof live);
  live.block[0] = live.memory[0] = (mm_policy *)first;
  live.block[1] = live.memory[1] = (mm_policy *)second;
  live.work = work;
  const int status = mm_recalibration_begin(p, live.block[0], bytes);
  return status ? status : mm_recalibration_begin(p, live.block[1], bytes);
}

int set(const mm_parameters *p, const char **wrong) {
  return mm_live_set(&live, p, wrong);
}

uint32_t depths(double inventory, double time_left, double *out) {
  mm_cell cell;
  const uint32_t why = mm_depths(live.block[live.published & 1], inventory, time_left, 0, &cell);
  out[0] = cell.depth[0], out[1] = cell.depth[1];
  return why;
}

uint64_t version(void) {
  return live.block[live.published & 1]->version;
}

/* n quotes, each at the same place; returns how many are of no policy that was published: version v
 * quotes as the table of v's parity says. */
int64_t torn(int64_t n, const int64_t *price_of_parity) {
  mm_rules rules;
  mm_quote quote;
  int64_t wrong = 0;
  mm_rules_init(&rules);
  for (int64_t i = 0; i < n; ++i) {
    mm_live_quote(&live, &rules, 1e6, 0, MM_NO_BID, MM_NO_ASK, 0, 0, INFINITY, 0, 0, &quote);
    wrong += quote.price[0] != price_of_parity[quote.version & 1] ||
             quote.price[1] != 2000000 - price_of_parity[quote.version & 1];
  }
  return wrong;
}

int alternate(int64_t n, const mm_parameters *even, const mm_parameters *odd) {
  const char *wrong;
  int failed = 0;
  for (int64_t i = 0; i < n; ++i)
    failed |= mm_live_set(&live, (version() + 1) & 1 ? odd : even, &wrong);
  return failed;
}
