/* Loops of one quote for bench_quoting.py: the kernel, and the formula as one would write it by hand, inlined
 * and through a pointer. Inputs vary and outputs are summed, so that nothing is hoisted out of a loop or
 * dropped; the sums also say whether both quote the same. */
#include <stdint.h>

#include "mmcore/quoting.h"

#if defined(_WIN32)
#define DOOR __declspec(dllexport)
#else
#define DOOR __attribute__((visibility("default")))
#endif

enum { MARKET = 1024 }; /* rows of it, which a cache holds */

static double reference[MARKET], inventory[MARKET];
static int64_t touch_bid[MARKET], touch_ask[MARKET];

/* Take the rows of a market from Python. */
DOOR void quote_market(const double *r, const double *q, const int64_t *bid, const int64_t *ask) {
  memcpy(reference, r, sizeof reference);
  memcpy(inventory, q, sizeof inventory);
  memcpy(touch_bid, bid, sizeof touch_bid);
  memcpy(touch_ask, ask, sizeof touch_ask);
}

/* What a market maker would write: prices quantised, rounded, and kept from crossing; sides within the
 * limits. */
MM_INLINE void formula(const mm_policy *p, const mm_rules *rules, double r, double q, int64_t below,
                       int64_t above, mm_quote *out) {
  const double limit = rules->max_position < p->q_max ? rules->max_position : p->q_max;
  const int64_t bid = mm_floor_ticks(r - (p->base[MM_BID] + p->slope[MM_BID] * q));
  const int64_t ask = mm_ceil_ticks(r + (p->base[MM_ASK] - p->slope[MM_ASK] * q));
  const int buys = q + p->order_size <= limit, sells = q - p->order_size >= -limit;
  out->price[MM_BID] = !buys ? MM_NO_BID : bid >= above ? above - 1 : bid;
  out->price[MM_ASK] = !sells ? MM_NO_ASK : ask <= below ? below + 1 : ask;
  out->size[MM_BID] = buys ? (int64_t)p->order_size : 0;
  out->size[MM_ASK] = sells ? (int64_t)p->order_size : 0;
}

typedef void quoter(const mm_policy *policy, const mm_rules *rules, double r, double q, int64_t below,
                    int64_t above, double shift, double target, double left, int64_t state, double age,
                    mm_quote *out);

static void nothing(const mm_policy *policy, const mm_rules *rules, double r, double q, int64_t below,
                    int64_t above, double shift, double target, double left, int64_t state, double age,
                    mm_quote *out) {
  (void)policy, (void)rules, (void)r, (void)q, (void)below, (void)above, (void)shift, (void)target;
  (void)left, (void)state, (void)age, (void)out;
}

static void by_hand(const mm_policy *policy, const mm_rules *rules, double r, double q, int64_t below,
                    int64_t above, double shift, double target, double left, int64_t state, double age,
                    mm_quote *out) {
  (void)shift, (void)target, (void)left, (void)state, (void)age;
  formula(policy, rules, r, q, below, above, out);
}

static void kernel(const mm_policy *policy, const mm_rules *rules, double r, double q, int64_t below,
                   int64_t above, double shift, double target, double left, int64_t state, double age,
                   mm_quote *out) {
  mm_quote_make(policy, rules, r, q, below, above, shift, target, left, state, age, out);
}

#define ROW(i) reference[i], inventory[i], touch_bid[i], touch_ask[i]
#define LOOP(name, quote)                                                                                    \
  DOOR int64_t loop_##name(const mm_policy *policy, const mm_rules *rules, int64_t n) {                      \
    int64_t sum = 0;                                                                                         \
    mm_quote out = {{0, 0}, {0, 0}, 0, 0, 0, 0};                                                             \
    for (int64_t turn = 0; turn < n; ++turn) {                                                               \
      const int64_t i = turn & (MARKET - 1);                                                                 \
      quote;                                                                                                 \
      sum += out.price[MM_BID] + out.price[MM_ASK] + out.size[MM_BID] - out.size[MM_ASK];                    \
    }                                                                                                        \
    return sum;                                                                                              \
  }
/* The same for a maker whose inventory follows from its quotes: one at the touch is filled. */
#define CHAIN(name, quote)                                                                                   \
  DOOR int64_t chain_##name(const mm_policy *policy, const mm_rules *rules, int64_t n) {                     \
    int64_t sum = 0;                                                                                         \
    double held = 0;                                                                                         \
    mm_quote out = {{0, 0}, {0, 0}, 0, 0, 0, 0};                                                             \
    for (int64_t turn = 0; turn < n; ++turn) {                                                               \
      const int64_t i = turn & (MARKET - 1);                                                                 \
      quote;                                                                                                 \
      held += (double)((out.price[MM_BID] >= touch_bid[i]) - (out.price[MM_ASK] <= touch_ask[i]));           \
      sum += out.price[MM_BID] + out.price[MM_ASK];                                                          \
    }                                                                                                        \
    return sum;                                                                                              \
  }
#define HELD(i) reference[i], held, touch_bid[i], touch_ask[i]
#define CALLED(name) LOOP(called_##name, called_##name(policy, rules, ROW(i), 0, 0, INFINITY, 0, 0, &out))

static quoter *volatile called_nothing = nothing, *volatile called_by_hand = by_hand,
                        *volatile called_kernel = kernel;

LOOP(by_hand, formula(policy, rules, ROW(i), &out))
LOOP(kernel, mm_quote_make(policy, rules, ROW(i), 0, 0, INFINITY, 0, 0, &out))
CHAIN(by_hand, formula(policy, rules, HELD(i), &out))
CHAIN(kernel, mm_quote_make(policy, rules, HELD(i), 0, 0, INFINITY, 0, 0, &out))
CALLED(nothing)
CALLED(by_hand)
CALLED(kernel)
