/* mmcore/quoting.h - the market's rules, one pipeline for every policy.
 *
 *   depths -> shift -> volatility scale -> age of the data -> limits -> passive rounding to ticks
 *          -> never cross the touch -> obligations -> bid < ask
 *
 * The policy is read at inventory - target; the limits see the true inventory. Market state never
 * fails: a side that may not be quoted is absent, and `why` says for what reason.
 */
#ifndef MMCORE_QUOTING_H
#define MMCORE_QUOTING_H

#include <math.h>

#include "policy.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mm_rules {
  double max_position;     /* lots; +inf: none */
  double volatility_scale; /* multiplies the depths; 1: none */
  int64_t max_spread;      /* ticks; 0: no such obligation */
  int64_t min_size;        /* lots; 0: no such obligation */
  int32_t shrink;          /* may a size shrink to what the limits leave? */
  int32_t halted;
  double halt_after;  /* s: no quote on market data older than this; 0: no such rule */
  double widen_after; /* s: older data widen each depth by widen * sqrt(age); 0: no such rule */
  double widen;       /* ticks/sqrt(s) */
} mm_rules;

/* No rules: no limit, no obligation, depths as they are. (Of zeroed rules the limit lets nothing be quoted,
 * and the scale leaves no depth.) */
static inline void mm_rules_init(mm_rules *rules) {
  memset(rules, 0, sizeof *rules);
  rules->max_position = (double)INFINITY;
  rules->volatility_scale = 1;
}

typedef struct mm_quote {
  int64_t price[2]; /* ticks; MM_NO_BID, MM_NO_ASK: absent */
  int64_t size[2];  /* lots; 0: absent */
  int64_t take;     /* lots to cross the spread with now, signed */
  uint64_t version; /* of the policy */
  uint32_t why;     /* MM_WHY_ bits */
  uint32_t reserved;
} mm_quote;

/* What each stage of the pipeline left, for explain(): targets in ticks, then prices and sizes. */
enum { MM_AT_REFERENCE, MM_AT_DEPTH, MM_AT_SHIFT, MM_AT_VOLATILITY, MM_AT_AGE, MM_TARGETS };
enum { MM_AT_ROUNDING, MM_AT_TOUCH, MM_AT_OBLIGATION, MM_AT_APART, MM_PRICES };
typedef struct mm_trace {
  double target[MM_TARGETS][2];
  int64_t price[MM_PRICES][2];
  int64_t policy_size[2], limited_size[2];
} mm_trace;

#define MM_TICK_LIMIT 4503599627370496 /* 2^52: beyond, a double no longer holds half ticks */
#define MM_QUANTA_SHIFT 20

/* A price as 2^51 + its nearest multiple of 2^-20 ticks, half to even, in units of 2^-20: a number below 2^52
 * where |ticks| < 2^31, and none below it where it is beyond or NaN. Adding 1.5*2^32 leaves a double whose
 * unit is 2^-20: its last bits are the integer, rounded by the addition. */
#define MM_QUANTA_BITS 52
MM_INLINE uint64_t mm_quanta_bits(double ticks) {
  const double shifted = ticks + 6442450944.0;
  uint64_t bits;
  memcpy(&bits, &shifted, sizeof bits);
  return bits - 0x41f0000000000000u;
}

/* The whole ticks at or below; at or above where MM_QUANTA_ROUND_UP was added. */
#define MM_QUANTA_ROUND_UP 1048575u /* 2^20 - 1 */
MM_INLINE int64_t mm_bits_floor(uint64_t bits) {
  return (int64_t)(bits >> MM_QUANTA_SHIFT) - 2147483648;
}

/* floor and ceil of 2^31 <= |ticks| < 2^52. From 2^32 on every double is a multiple of 2^-20; below,
 * one bit has to go. */
MM_COLD int64_t mm_floor_wide(double ticks) {
  int64_t whole = (int64_t)ticks;
  whole -= (double)whole > ticks;
  if (mm_within(ticks, 4294967296.0)) {
    whole +=
        mm_bits_floor(mm_quanta_bits(ticks - (double)whole)); /* the difference is exact; so is its parity */
  }
  return whole;
}

#define MM_NARROW 2147483648.0 /* 2^31 */

/* Passive rounding of |ticks| < 2^52: quantise, then floor a bid and ceil an ask, so that rounding
 * noise in the last bits never moves a quote by a tick. */
MM_INLINE int64_t mm_floor_ticks(double ticks) {
  if (MM_UNLIKELY(!(fabs(ticks) < MM_NARROW)))
    return mm_floor_wide(ticks);
  return mm_bits_floor(mm_quanta_bits(ticks));
}

MM_INLINE int64_t mm_ceil_ticks(double ticks) {
  return -mm_floor_ticks(-ticks);
}

/* Share an even number of ticks equally; an odd one goes to the ask when `lean` > 0, else to the bid. */
static inline void mm_share(int64_t ticks, double lean, int64_t *bid, int64_t *ask) {
  *bid = *ask = ticks / 2;
  if (ticks & 1)
    *(lean > 0.0 ? ask : bid) += 1;
}

/* Narrow the spread to max_spread and raise sizes to min_size where touch and limits allow. An odd
 * tick goes to the side that reduces the inventory. */
MM_COLD uint32_t mm_oblige(const mm_policy *policy, const mm_rules *rules, double inventory, double at,
                           int64_t touch_bid, int64_t touch_ask, mm_quote *q) {
  uint32_t why = 0;
  if (q->size[MM_BID] && q->size[MM_ASK] && rules->max_spread) {
    const int64_t excess = q->price[MM_ASK] - q->price[MM_BID] - rules->max_spread;
    if (excess > 0) {
      const int64_t far = 2 * MM_TICK_LIMIT; /* beyond every price: the differences stay in range */
      const int64_t bid_room = (touch_ask < far ? touch_ask : far) - 1 - q->price[MM_BID];
      const int64_t ask_room = q->price[MM_ASK] - 1 - (touch_bid > -far ? touch_bid : -far);
      int64_t bid, ask;
      mm_share(excess, at, &bid, &ask);
      if (bid > bid_room) {
        ask += bid - bid_room;
        bid = bid_room;
      }
      if (ask > ask_room) {
        bid += ask - ask_room;
        ask = ask_room;
      }
      if (bid > bid_room)
        bid = bid_room;
      q->price[MM_BID] += bid;
      q->price[MM_ASK] -= ask;
      if (bid || ask)
        why |= MM_WHY_TIGHTENED;
    }
  }
  if (rules->min_size) {
    const double size = (double)rules->min_size;
    const double buy = inventory + (q->take > 0 ? (double)q->take : 0.0);
    const double sell = inventory + (q->take < 0 ? (double)q->take : 0.0);
    if (q->size[MM_BID] && q->size[MM_BID] < rules->min_size && buy + size <= rules->max_position &&
        at + size <= policy->q_max) {
      q->size[MM_BID] = rules->min_size;
      why |= MM_WHY_TIGHTENED;
    }
    if (q->size[MM_ASK] && q->size[MM_ASK] < rules->min_size && sell - size >= -rules->max_position &&
        at - size >= -policy->q_max) {
      q->size[MM_ASK] = rules->min_size;
      why |= MM_WHY_TIGHTENED;
    }
  }
  return why;
}

/* Are the obligations met by the final quote? */
static inline int mm_obliged(const mm_rules *rules, const mm_quote *q) {
  if (!q->size[MM_BID] || !q->size[MM_ASK])
    return 0;
  if (rules->max_spread && q->price[MM_ASK] - q->price[MM_BID] > rules->max_spread)
    return 0;
  return q->size[MM_BID] >= rules->min_size && q->size[MM_ASK] >= rules->min_size;
}

/* Step a bid and an ask that meet apart to one tick; an odd tick goes to the side that would add
 * to the inventory. Each price only moves away from the touch. */
MM_COLD void mm_apart(double at, mm_quote *q) {
  int64_t bid, ask;
  mm_share(q->price[MM_BID] - q->price[MM_ASK] + 1, -at, &bid, &ask);
  q->price[MM_BID] -= bid;
  q->price[MM_ASK] += ask;
}

/* Are the data older than a bound that is set? NaN is older than any. */
MM_INLINE int mm_older(double age, double bound) {
  return (bound > 0.0) & !(age <= bound);
}

/* The quote where the market's state, or the arguments, allow none: all the reasons. */
MM_COLD void mm_quote_refuse(const mm_policy *policy, const mm_rules *rules, double reference,
                             double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                             double target, double time_left, int64_t state, double age, mm_quote *q) {
  uint32_t why = mm_unreadable(policy, inventory - target, time_left, state);
  if (rules->halted)
    why |= MM_WHY_HALTED;
  if (!MM_FINITE(reference))
    why |= MM_WHY_REFERENCE;
  if (!MM_FINITE(shift))
    why |= MM_WHY_SHIFT;
  if (MM_FINITE(reference) && MM_FINITE(shift) && !MM_FINITE(reference + shift))
    why |= MM_WHY_RANGE;
  if (!MM_FINITE(inventory))
    why |= MM_WHY_INVENTORY;
  if (touch_bid > touch_ask)
    why |= MM_WHY_CROSSED;
  if (touch_bid >= MM_TICK_LIMIT || touch_ask <= -MM_TICK_LIMIT)
    why |= MM_WHY_RANGE;
  if (mm_older(age, rules->halt_after))
    why |= MM_WHY_STALE;
  if (rules->max_spread | rules->min_size)
    why |= MM_WHY_OBLIGATION;
  q->price[MM_BID] = MM_NO_BID;
  q->price[MM_ASK] = MM_NO_ASK;
  q->size[MM_BID] = q->size[MM_ASK] = q->take = 0;
  q->why = why;
  q->reserved = 0;
}

static inline void mm_trace_prices(mm_trace *trace, int stage, int64_t bid, int64_t ask) {
  trace->price[stage][MM_BID] = bid;
  trace->price[stage][MM_ASK] = ask;
}

/* Is the policy a stationary affine one, and are the rules plain, so that mm_quote_straight may be asked? */
MM_INLINE int mm_quote_is_plain(const mm_policy *policy, const mm_rules *rules, double time_left,
                                int64_t state, double age) {
  const int shape = (policy->kind == MM_AFFINE) & ((policy->flags & MM_STATIONARY) != 0);
  const int64_t more = rules->halted | rules->max_spread | rules->min_size;
  return shape & (more == 0) & (state == 0) & (rules->volatility_scale == 1.0) &&
         (time_left > MM_LARGEST || ((time_left >= 0.0) & (time_left <= policy->horizon))) &&
         (age == 0.0 || (mm_older(age, rules->halt_after) | mm_older(age, rules->widen_after)) == 0);
}

/* The quote of a stationary affine policy under plain rules where nothing is unusual, and 1; else 0. Both
 * sides have room, so that no size shrinks (mm_fitted) and the policy is read where it is asked for
 * (mm_cell_at): as bounds are whole, one comparison tells it exactly. What is not finite fails a comparison.
 */
MM_INLINE int mm_quote_straight(const mm_policy *policy, const mm_rules *rules, double inventory, double at,
                                double centre, int64_t touch_bid, int64_t touch_ask, mm_quote *q, int live) {
  const mm_line line = {
      {mm_policy_number(&policy->base[MM_BID], live), mm_policy_number(&policy->base[MM_ASK], live)},
      {mm_policy_number(&policy->slope[MM_BID], live), mm_policy_number(&policy->slope[MM_ASK], live)}};
  const uint64_t low = mm_quanta_bits(centre - mm_line_depth(&line, MM_BID, at));
  const uint64_t high = mm_quanta_bits(centre + mm_line_depth(&line, MM_ASK, at)) + MM_QUANTA_ROUND_UP;
  int64_t bid = mm_bits_floor(low), ask = mm_bits_floor(high);
  const int bid_crosses = bid >= touch_ask, ask_crosses = ask <= touch_bid;
  bid = bid_crosses ? (int64_t)((uint64_t)touch_ask - 1) : bid;
  ask = ask_crosses ? (int64_t)((uint64_t)touch_bid + 1) : ask;
  /* Both were in range, and they are apart by no more than two such prices are: further out is a touch that
   * may be beyond all bounds. One test of the bits above the whole ticks of a price. */
  const uint64_t between = (uint64_t)ask - (uint64_t)bid - 1;
  if (MM_UNLIKELY((low >> MM_QUANTA_SHIFT | high >> MM_QUANTA_SHIFT | between) >>
                  (MM_QUANTA_BITS - MM_QUANTA_SHIFT)))
    return 0;
  const double size = policy->order_size;
  if (MM_UNLIKELY(!(fabs(at) <= policy->q_max - size)) ||
      MM_UNLIKELY(!(rules->max_position - fabs(inventory) >= size)) || MM_UNLIKELY(touch_bid > touch_ask))
    return 0;
  q->price[MM_BID] = bid;
  q->price[MM_ASK] = ask;
  q->size[MM_BID] = q->size[MM_ASK] = (int64_t)size;
  q->take = 0;
  q->version = live ? mm_load_uint64(&policy->version) : policy->version;
  q->why = (bid_crosses ? (uint32_t)MM_WHY_TOUCH_BID : 0u) | (ask_crosses ? (uint32_t)MM_WHY_TOUCH_ASK : 0u);
  q->reserved = 0;
  return 1;
}

/* The body of mm_quote_make; `trace` may be NULL; `live` as in policy.h. Straight through when all is as
 * usual: what is rare stands in functions of its own, and each clamp is a conditional move. */
MM_INLINE void mm_quote_traced(const mm_policy *policy, const mm_rules *rules, double reference,
                               double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                               double target, double time_left, int64_t state, double age, mm_quote *q,
                               mm_trace *trace, int live) {
  const double at = inventory - target, centre = reference + shift;
  /* Differences with themselves: 0, or NaN for what is not finite. */
  const int sane = ((centre - centre) + (at - at) == 0.0) & (touch_bid <= touch_ask) &
                   (touch_bid < MM_TICK_LIMIT) & (touch_ask > -MM_TICK_LIMIT) & !rules->halted &
                   !mm_older(age, rules->halt_after);
  q->version = live ? mm_load_uint64(&policy->version) : policy->version;
  if (MM_UNLIKELY(!sane || !mm_readable(policy, at, time_left, state))) {
    mm_quote_refuse(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left,
                    state, age, q);
    return;
  }
  const int shrink = rules->shrink;
  const mm_cell cell = mm_cell_at(policy, at, time_left, state, shrink, live);
  uint32_t why = 0;

  /* sizes: the policy's bound on inventory - target, then the limit on the true inventory */
  double buy = rules->max_position - inventory;
  double sell = rules->max_position + inventory;
  int64_t take = 0;
  if (MM_UNLIKELY(cell.take > 0)) {
    take = mm_fitted(cell.take, buy, shrink, MM_WHY_LIMIT_BID, &why);
    buy -= (double)take;
  } else if (MM_UNLIKELY(cell.take < 0)) {
    take = -mm_fitted(-(int64_t)cell.take, sell, shrink, MM_WHY_LIMIT_ASK, &why);
    sell += (double)take;
  }
  int64_t bid_size = mm_fitted(cell.size[MM_BID], policy->q_max - at, shrink, MM_WHY_POLICY_BID, &why);
  int64_t ask_size = mm_fitted(cell.size[MM_ASK], policy->q_max + at, shrink, MM_WHY_POLICY_ASK, &why);
  if (trace) {
    trace->policy_size[MM_BID] = bid_size;
    trace->policy_size[MM_ASK] = ask_size;
  }
  if (bid_size)
    bid_size = mm_fitted(bid_size, buy, shrink, MM_WHY_LIMIT_BID, &why);
  if (ask_size)
    ask_size = mm_fitted(ask_size, sell, shrink, MM_WHY_LIMIT_ASK, &why);

  /* prices */
  const double scale = rules->volatility_scale;
  double bid_target = centre - cell.depth[MM_BID] * scale;
  double ask_target = centre + cell.depth[MM_ASK] * scale;
  if (MM_UNLIKELY(mm_older(age, rules->widen_after))) {
    const double more = rules->widen * sqrt(age);
    bid_target -= more;
    ask_target += more;
    why |= MM_WHY_WIDENED;
  }
  if (MM_UNLIKELY(bid_size && !(fabs(bid_target) < (double)MM_TICK_LIMIT))) {
    bid_size = 0;
    why |= MM_WHY_RANGE;
  }
  if (MM_UNLIKELY(ask_size && !(fabs(ask_target) < (double)MM_TICK_LIMIT))) {
    ask_size = 0;
    why |= MM_WHY_RANGE;
  }
  int64_t bid = bid_size ? mm_floor_ticks(bid_target) : MM_NO_BID;
  int64_t ask = ask_size ? mm_ceil_ticks(ask_target) : MM_NO_ASK;
  if (trace) {
    const double depth[2] = {-cell.depth[MM_BID], cell.depth[MM_ASK]};
    for (int side = 0; side < 2; ++side) {
      if (!trace->policy_size[side])
        continue;
      trace->target[MM_AT_REFERENCE][side] = reference;
      trace->target[MM_AT_DEPTH][side] = reference + depth[side];
      trace->target[MM_AT_SHIFT][side] = centre + depth[side];
      trace->target[MM_AT_VOLATILITY][side] = centre + depth[side] * scale;
      trace->target[MM_AT_AGE][side] = side == MM_BID ? bid_target : ask_target;
    }
    trace->limited_size[MM_BID] = bid_size;
    trace->limited_size[MM_ASK] = ask_size;
    mm_trace_prices(trace, MM_AT_ROUNDING, bid, ask);
  }
  const int bid_crosses = bid >= touch_ask, ask_crosses = ask <= touch_bid; /* never of absent sides */
  bid = bid_crosses ? touch_ask - 1 : bid;
  ask = ask_crosses ? touch_bid + 1 : ask;
  why |= bid_crosses ? (uint32_t)MM_WHY_TOUCH_BID : 0u;
  why |= ask_crosses ? (uint32_t)MM_WHY_TOUCH_ASK : 0u;
  if (trace)
    mm_trace_prices(trace, MM_AT_TOUCH, bid, ask);

  q->price[MM_BID] = bid;
  q->price[MM_ASK] = ask;
  q->size[MM_BID] = bid_size;
  q->size[MM_ASK] = ask_size;
  q->take = take;
  q->reserved = 0;
  const int64_t obliged = rules->max_spread | rules->min_size;
  if (MM_UNLIKELY(obliged))
    why |= mm_oblige(policy, rules, inventory, at, touch_bid, touch_ask, q);
  if (trace)
    mm_trace_prices(trace, MM_AT_OBLIGATION, q->price[MM_BID], q->price[MM_ASK]);
  if (MM_UNLIKELY(q->price[MM_BID] >= q->price[MM_ASK])) { /* never of absent sides */
    mm_apart(at, q);
    why |= MM_WHY_APART;
  }
  if (trace)
    mm_trace_prices(trace, MM_AT_APART, q->price[MM_BID], q->price[MM_ASK]);
  if (MM_UNLIKELY(obliged) && !mm_obliged(rules, q))
    why |= MM_WHY_OBLIGATION;
  q->why = why;
}

MM_NOINLINE void mm_quote_general(const mm_policy *policy, const mm_rules *rules, double reference,
                                  double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                                  double target, double time_left, int64_t state, double age, mm_quote *out) {
  mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  age, out, NULL, 0);
}

/* mm_quote_make, also from a block that is written to meanwhile (`live`): what a quote reads of that are
 * atomic words, which mm_quote_general is not compiled for. */
MM_INLINE void mm_quote_either(const mm_policy *policy, const mm_rules *rules, double reference,
                               double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                               double target, double time_left, int64_t state, double age, mm_quote *out,
                               int live) {
  if (MM_LIKELY(mm_quote_is_plain(policy, rules, time_left, state, age)) &&
      MM_LIKELY(mm_quote_straight(policy, rules, inventory, inventory - target, reference + shift, touch_bid,
                                  touch_ask, out, live)))
    return;
  if (live) {
    mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left,
                    state, age, out, NULL, 1);
    return;
  }
  mm_quote whole; /* of its own, so that a caller's may stay in registers */
  if (policy->kind == MM_AFFINE && policy->flags & MM_STATIONARY)
    mm_quote_general(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left,
                     state, age, &whole);
  else
    mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left,
                    state, age, &whole, NULL, 0);
  *out = whole;
}

/* The quote of `policy` under `rules`. reference and shift in ticks; inventory and target in lots;
 * the touch in ticks, MM_NO_BID and MM_NO_ASK where absent; time_left, and the age of the market data,
 * in seconds. In a loop the compiler asks once whether all is plain, and keeps the policy in registers. */
MM_INLINE void mm_quote_make(const mm_policy *policy, const mm_rules *rules, double reference,
                             double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                             double target, double time_left, int64_t state, double age, mm_quote *out) {
  mm_quote_either(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  age, out, 0);
}

/* mm_quote_make that also leaves a trace. A trace that begins as all bits 1 (targets NaN, sizes -1)
 * stays so where the market's state allows no quote at all. */
MM_COLD void mm_quote_explain(const mm_policy *policy, const mm_rules *rules, double reference,
                              double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                              double target, double time_left, int64_t state, double age, mm_quote *out,
                              mm_trace *trace) {
  mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  age, out, trace, 0);
}

/* One argument of many rows: `stride` bytes from one to the next, 0 where it is the same in all. */
typedef struct mm_column {
  const void *data;
  ptrdiff_t stride;
} mm_column;

static inline double mm_column_double(const mm_column *column, ptrdiff_t i) {
  double value; /* columns of packed records need not be aligned */
  memcpy(&value, (const char *)column->data + i * column->stride, sizeof value);
  return value;
}

static inline int64_t mm_column_int64(const mm_column *column, ptrdiff_t i) {
  int64_t value;
  memcpy(&value, (const char *)column->data + i * column->stride, sizeof value);
  return value;
}

/* The columns of many quotes: mm_quote_make's arguments, in its order. */
enum {
  MM_COLUMN_REFERENCE,
  MM_COLUMN_INVENTORY,
  MM_COLUMN_BID,
  MM_COLUMN_ASK,
  MM_COLUMN_SHIFT,
  MM_COLUMN_TARGET,
  MM_COLUMN_TIME_LEFT,
  MM_COLUMN_STATE,
  MM_COLUMN_AGE,
  MM_QUOTE_COLUMNS
};

/* The quote of row i. */
MM_INLINE void mm_quote_row(const mm_policy *policy, const mm_rules *rules, ptrdiff_t i,
                            const mm_column *columns, mm_quote *out) {
  mm_quote_make(
      policy, rules, mm_column_double(&columns[MM_COLUMN_REFERENCE], i),
      mm_column_double(&columns[MM_COLUMN_INVENTORY], i), mm_column_int64(&columns[MM_COLUMN_BID], i),
      mm_column_int64(&columns[MM_COLUMN_ASK], i), mm_column_double(&columns[MM_COLUMN_SHIFT], i),
      mm_column_double(&columns[MM_COLUMN_TARGET], i), mm_column_double(&columns[MM_COLUMN_TIME_LEFT], i),
      mm_column_int64(&columns[MM_COLUMN_STATE], i), mm_column_double(&columns[MM_COLUMN_AGE], i), out);
}

/* The quotes of n rows, one after the other; prices.h has a faster way to the same. */
static inline void mm_quote_rows(const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                                 const mm_column *columns, mm_quote *out) {
  for (ptrdiff_t i = 0; i < n; ++i)
    mm_quote_row(policy, rules, i, columns, &out[i]);
}

#ifdef __cplusplus
}
#endif

#endif
