/* The straight lines of mm_quote_make and its whole pipeline: the same bytes for any affine policy, rules and
 * market. Tables have no straight lines.
 *
 * usage: quote_paths N; prints how many of N random quotes went straight. */
#include <stdio.h>
#include <stdlib.h>

#include "mmcore/quoting.h"

static uint64_t state = 88172645463325252u;

static uint64_t draw(uint64_t n) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state % n;
}

#define PICK(list) (list)[draw(sizeof(list) / sizeof *(list))]

static const double references[] = {0,
                                    100.5,
                                    1e6,
                                    617000.25,
                                    2147483647.0,
                                    2147483648.0,
                                    -2147483648.0,
                                    4294967296.0,
                                    4503599627370495.0,
                                    -4503599627370496.0,
                                    INFINITY,
                                    NAN,
                                    -0.0,
                                    1e300};
static const double inventories[] = {0,
                                     1,
                                     -1,
                                     2,
                                     3,
                                     -3,
                                     4.5,
                                     8.1,
                                     9,
                                     -9,
                                     10,
                                     -10,
                                     11,
                                     NAN,
                                     INFINITY,
                                     -0.0,
                                     9.000000000000002,
                                     -8.000000000000002};
static const double depths[] = {0, 1.5, -1, 0.3, 2.25, 100, -2e9, 1e300};
static const double bounds[] = {10, 10, 3, MM_POLICY_LIMIT, INFINITY}, limits[] = {10, 10, 3, 9.1, INFINITY};
static const double shifts[] = {0, 0, 0, 0, 0.25, -1, NAN, 1e10};
static const double targets[] = {0, 0, 0, 0, 1, -2.5, NAN};
static const double times[] = {INFINITY, INFINITY, INFINITY, 0, 5, -1, NAN};
static const double ages[] = {0, 0, 0, 1, 3, NAN};
static const double age_bounds[] = {0, 0, 0, 2};
static const int64_t edges[] = {INT64_MIN,  INT64_MIN + 1, INT64_MAX,         INT64_MAX - 1,
                                0,          MM_TICK_LIMIT, MM_TICK_LIMIT - 1, 1 - MM_TICK_LIMIT,
                                2147483647, -MM_TICK_LIMIT};

int main(int argc, char **argv) {
  const long n = argc > 1 ? atol(argv[1]) : 1000;
  long straight = 0;
  for (long i = 0; i < n; ++i) {
    mm_policy policy;
    mm_rules rules;
    memset(&policy, 0, sizeof policy);
    memset(&rules, 0, sizeof rules);
    const int wild = draw(2) == 0; /* else what is usual, most of which goes straight */
    policy.kind = MM_AFFINE;
    policy.flags = wild && draw(4) == 0 ? 0 : MM_STATIONARY;
    policy.horizon = policy.flags ? INFINITY : 4;
    policy.n_states = 1;
    policy.version = draw(1000);
    policy.q_max = PICK(bounds);
    policy.order_size = draw(3) ? 1 : 2;
    for (int side = 0; side < 2; ++side) {
      policy.base[side] = wild ? PICK(depths) : 0.25 * (double)draw(20);
      policy.slope[side] = 0.125 * (double)draw(5);
      policy.base_rate[side] = policy.flags ? 0 : 0.5;
    }
    rules.max_position = PICK(limits);
    rules.volatility_scale = wild && draw(4) == 0 ? 1.5 : 1;
    rules.max_spread = wild && draw(4) == 0 ? 3 : 0;
    rules.min_size = wild && draw(4) == 0 ? 2 : 0;
    rules.shrink = draw(2) == 0;
    rules.halted = wild && draw(8) == 0;
    rules.halt_after = PICK(age_bounds);
    rules.widen_after = PICK(age_bounds);
    rules.widen = 0.5;
    const double reference =
        (wild ? PICK(references) : 617000) + ((double)draw(41) - 20) * 0.25 + 1e-9 * (double)draw(2);
    const double near = MM_FINITE(reference) && fabs(reference) < 9e18 ? reference : 0;
    const int64_t kind = (int64_t)draw(6);
    int64_t bid = MM_NO_BID, ask = MM_NO_ASK;
    if (kind < 4) {
      bid = (int64_t)near - (int64_t)draw(4);
      ask = bid + (int64_t)draw(6) - 1;
    } else if (kind == 4 && wild) {
      bid = PICK(edges);
      ask = PICK(edges);
    }
    const double inventory = wild ? PICK(inventories) : (double)draw(19) - 9, shift = PICK(shifts);
    const double target = PICK(targets), left = PICK(times), age = PICK(ages);
    const int64_t at = draw(16) ? 0 : (int64_t)draw(3) - 1;
    mm_quote got, whole, tried;
    memset(&got, 0x55, sizeof got);
    memset(&whole, 0x55, sizeof whole);
    mm_quote_make(&policy, &rules, reference, inventory, bid, ask, shift, target, left, at, age, &got);
    mm_quote_general(&policy, &rules, reference, inventory, bid, ask, shift, target, left, at, age, &whole);
    straight += mm_quote_is_plain(&policy, &rules, left, at, age) &&
                mm_quote_straight(&policy, &rules, inventory, inventory - target, reference + shift, bid, ask,
                                  &tried, 0);
    if (memcmp(&got, &whole, sizeof got)) {
      printf("reference %.17g, inventory %g, touch %lld %lld: %lld %lld, not %lld %lld\n", reference,
             inventory, (long long)bid, (long long)ask, (long long)got.price[0], (long long)got.price[1],
             (long long)whole.price[0], (long long)whole.price[1]);
      return 1;
    }
  }
  printf("%ld\n", straight);
  return 0;
}
