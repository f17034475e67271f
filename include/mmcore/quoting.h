/* mmcore/quoting.h - the market's rules, one pipeline for every policy.
 *
 *   depths -> shift -> volatility scale -> limits -> passive rounding to ticks
 *          -> never cross the touch -> obligations -> bid < ask
 *
 * The policy is read at inventory - target; the limits see the true inventory. Market state never
 * fails: a side that may not be quoted is absent, and `why` says for what reason.
 */
#ifndef MMCORE_QUOTING_H
#define MMCORE_QUOTING_H

#include <string.h>

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
} mm_rules;

typedef struct mm_quote {
  int64_t price[2]; /* ticks; MM_NO_BID, MM_NO_ASK: absent */
  int64_t size[2];  /* lots; 0: absent */
  int64_t take;     /* lots to cross the spread with now, signed */
  uint64_t version; /* of the policy */
  uint32_t why;     /* MM_WHY_ bits */
  uint32_t reserved;
} mm_quote;

/* What each stage of the pipeline left, for explain(): targets in ticks, then prices and sizes. */
enum { MM_AT_REFERENCE, MM_AT_DEPTH, MM_AT_SHIFT, MM_AT_VOLATILITY, MM_TARGETS };
enum { MM_AT_ROUNDING, MM_AT_TOUCH, MM_AT_OBLIGATION, MM_AT_APART, MM_PRICES };
typedef struct mm_trace {
  double target[MM_TARGETS][2];
  int64_t price[MM_PRICES][2];
  int64_t policy_size[2], limited_size[2];
} mm_trace;

#define MM_TICK_LIMIT 4503599627370496  /* 2^52: beyond, a double no longer holds half ticks */
#define MM_QUANTA_LIMIT 4398046511104.0 /* 2^42: its quanta still fit an int64 */
#define MM_QUANTA_PER_TICK 1048576.0    /* 2^20 */
#define MM_QUANTA_SHIFT 20

/* Nearest multiple of 2^-20 ticks, half to even, in units of 2^-20; |ticks| < 2^42. Each step is
 * exact, so the processor's rounding mode plays no part. */
static inline int64_t mm_quanta(double ticks) {
  const double scaled = ticks * MM_QUANTA_PER_TICK;
  const int64_t whole = (int64_t)scaled;
  const double rest = scaled - (double)whole; /* in (-1, 1), with the sign of ticks */
  const int64_t odd = whole & 1;
  return whole + ((rest > 0.5) | ((rest == 0.5) & odd)) - ((rest < -0.5) | ((rest == -0.5) & odd));
}

/* floor(n / 2^20) without shifting a negative number */
static inline int64_t mm_whole_quanta(int64_t quanta) {
  return (int64_t)(((uint64_t)quanta ^ ((uint64_t)1 << 63)) >> MM_QUANTA_SHIFT) -
         ((int64_t)1 << (63 - MM_QUANTA_SHIFT));
}

/* Passive rounding of |ticks| < 2^52: quantise, then floor a bid and ceil an ask, so that rounding
 * noise in the last bits never moves a quote by a tick. */
static inline int64_t mm_floor_ticks(double ticks) {
  if (MM_UNLIKELY(!mm_within(ticks, MM_QUANTA_LIMIT))) {
    const int64_t whole = (int64_t)ticks;
    return whole - ((double)whole > ticks);
  }
  return mm_whole_quanta(mm_quanta(ticks));
}

static inline int64_t mm_ceil_ticks(double ticks) {
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

/* Cut `size` to the `room` that the position limit leaves it: all, a part (with `shrink`), nothing. */
static inline int64_t mm_limited(int64_t size, double room, int shrink, uint32_t limit, uint32_t *why) {
  if ((double)size <= room)
    return size;
  if (!shrink || !(room >= 1.0)) {
    *why |= limit;
    return 0;
  }
  *why |= MM_WHY_SHRUNK;
  return (int64_t)room;
}

static inline void mm_trace_target(mm_trace *trace, int side, double reference, double shift, double depth,
                                   double scale) {
  const double out = side == MM_BID ? -1.0 : 1.0;
  trace->target[MM_AT_REFERENCE][side] = reference;
  trace->target[MM_AT_DEPTH][side] = reference + out * depth;
  trace->target[MM_AT_SHIFT][side] = (reference + shift) + out * depth;
  trace->target[MM_AT_VOLATILITY][side] = (reference + shift) + out * (depth * scale);
}

static inline void mm_trace_prices(mm_trace *trace, int stage, const mm_quote *q) {
  trace->price[stage][MM_BID] = q->price[MM_BID];
  trace->price[stage][MM_ASK] = q->price[MM_ASK];
}

/* The body of mm_quote_make; `trace` may be NULL. */
MM_INLINE void mm_quote_traced(const mm_policy *policy, const mm_rules *rules, double reference,
                               double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                               double target, double time_left, int64_t state, mm_quote *q, mm_trace *trace) {
  const double at = inventory - target;
  uint32_t why = 0;
  q->price[MM_BID] = MM_NO_BID;
  q->price[MM_ASK] = MM_NO_ASK;
  q->size[MM_BID] = q->size[MM_ASK] = q->take = 0;
  q->version = policy->version;
  q->reserved = 0;
  if (MM_UNLIKELY(rules->halted))
    why |= MM_WHY_HALTED;
  if (MM_UNLIKELY(!MM_FINITE(reference)))
    why |= MM_WHY_REFERENCE;
  if (MM_UNLIKELY(!MM_FINITE(shift)))
    why |= MM_WHY_SHIFT;
  if (MM_UNLIKELY(!MM_FINITE(inventory)))
    why |= MM_WHY_INVENTORY;
  if (MM_UNLIKELY(touch_bid > touch_ask)) /* the sentinels of absent sides never are */
    why |= MM_WHY_CROSSED;
  if (MM_UNLIKELY(touch_bid >= MM_TICK_LIMIT || touch_ask <= -MM_TICK_LIMIT))
    why |= MM_WHY_RANGE;
  mm_cell cell;
  const uint32_t policy_why = mm_depths_fitted(policy, at, time_left, state, rules->shrink, &cell);
  if (MM_UNLIKELY(why)) {
    why |= policy_why & ~(uint32_t)(MM_WHY_POLICY_BID | MM_WHY_POLICY_ASK | MM_WHY_SHRUNK | MM_WHY_RANGE);
  } else {
    why = policy_why;
    double buy = rules->max_position - inventory;  /* lots that may still be bought */
    double sell = rules->max_position + inventory; /* and sold */
    if (MM_UNLIKELY(cell.take)) {
      if (cell.take > 0) {
        q->take = mm_limited(cell.take, buy, rules->shrink, MM_WHY_LIMIT_BID, &why);
        buy -= (double)q->take;
      } else {
        q->take = -mm_limited(-(int64_t)cell.take, sell, rules->shrink, MM_WHY_LIMIT_ASK, &why);
        sell += (double)q->take;
      }
    }
    const double centre = reference + shift;
    const double scale = rules->volatility_scale;
    const double bid = centre - cell.depth[MM_BID] * scale;
    const double ask = centre + cell.depth[MM_ASK] * scale;
    if (cell.size[MM_BID]) {
      if (MM_UNLIKELY(!(bid > -(double)MM_TICK_LIMIT && bid < (double)MM_TICK_LIMIT))) {
        why |= MM_WHY_RANGE;
      } else {
        q->size[MM_BID] = mm_limited(cell.size[MM_BID], buy, rules->shrink, MM_WHY_LIMIT_BID, &why);
        q->price[MM_BID] = mm_floor_ticks(bid);
      }
    }
    if (cell.size[MM_ASK]) {
      if (MM_UNLIKELY(!(ask > -(double)MM_TICK_LIMIT && ask < (double)MM_TICK_LIMIT))) {
        why |= MM_WHY_RANGE;
      } else {
        q->size[MM_ASK] = mm_limited(cell.size[MM_ASK], sell, rules->shrink, MM_WHY_LIMIT_ASK, &why);
        q->price[MM_ASK] = mm_ceil_ticks(ask);
      }
    }
    if (trace) {
      for (int side = 0; side < 2; ++side) {
        mm_trace_target(trace, side, reference, shift, cell.depth[side], scale);
        trace->policy_size[side] = cell.size[side];
        trace->limited_size[side] = q->size[side];
      }
      mm_trace_prices(trace, MM_AT_ROUNDING, q);
    }
    if (q->size[MM_BID]) {
      if (q->price[MM_BID] >= touch_ask) {
        q->price[MM_BID] = touch_ask - 1;
        why |= MM_WHY_TOUCH_BID;
      }
    } else {
      q->price[MM_BID] = MM_NO_BID;
    }
    if (q->size[MM_ASK]) {
      if (q->price[MM_ASK] <= touch_bid) {
        q->price[MM_ASK] = touch_bid + 1;
        why |= MM_WHY_TOUCH_ASK;
      }
    } else {
      q->price[MM_ASK] = MM_NO_ASK;
    }
    if (trace)
      mm_trace_prices(trace, MM_AT_TOUCH, q);
    if (MM_UNLIKELY(rules->max_spread | rules->min_size))
      why |= mm_oblige(policy, rules, inventory, at, touch_bid, touch_ask, q);
    if (trace)
      mm_trace_prices(trace, MM_AT_OBLIGATION, q);
    if (MM_UNLIKELY(q->price[MM_BID] >= q->price[MM_ASK])) { /* never true of an absent side */
      mm_apart(at, q);
      why |= MM_WHY_APART;
    }
    if (trace)
      mm_trace_prices(trace, MM_AT_APART, q);
  }
  if (MM_UNLIKELY(rules->max_spread | rules->min_size) && !mm_obliged(rules, q))
    why |= MM_WHY_OBLIGATION;
  q->why = why;
}

/* The quote of `policy` under `rules`. reference and shift in ticks; inventory and target in lots;
 * the touch in ticks, MM_NO_BID and MM_NO_ASK where absent; time_left in seconds. */
static inline void mm_quote_make(const mm_policy *policy, const mm_rules *rules, double reference,
                                 double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                                 double target, double time_left, int64_t state, mm_quote *out) {
  mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  out, NULL);
}

/* mm_quote_make that also leaves a trace. A trace that begins as all bits 1 (targets NaN, sizes -1)
 * stays so where the market's state allows no quote at all. */
MM_COLD void mm_quote_explain(const mm_policy *policy, const mm_rules *rules, double reference,
                              double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                              double target, double time_left, int64_t state, mm_quote *out,
                              mm_trace *trace) {
  mm_quote_traced(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  out, trace);
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

/* n quotes. The eight columns are mm_quote_make's arguments: reference, inventory, touch_bid,
 * touch_ask, shift, target, time_left, state. */
static inline void mm_quote_rows(const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                                 const mm_column *columns, mm_quote *out) {
  for (ptrdiff_t i = 0; i < n; ++i)
    mm_quote_make(policy, rules, mm_column_double(&columns[0], i), mm_column_double(&columns[1], i),
                  mm_column_int64(&columns[2], i), mm_column_int64(&columns[3], i),
                  mm_column_double(&columns[4], i), mm_column_double(&columns[5], i),
                  mm_column_double(&columns[6], i), mm_column_int64(&columns[7], i), &out[i]);
}

#ifdef __cplusplus
}
#endif

#endif
