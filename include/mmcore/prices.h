/* mmcore/prices.h - many quotes, or their prices alone, at once.
 *
 * mm_quote_blocks gives the quotes of mm_quote_make, row by row the same bits, and mm_price_rows their prices
 * without sizes and reasons, which is several times as fast. An affine policy under plain rules is computed
 * in blocks, by straight loops that hold nothing but arithmetic, comparisons and conditional moves, and that
 * also look for anything unusual: a number that is not finite, a price beyond 2^31 ticks, a crossed touch,
 * sides that meet. A block with such a row is done again, row by row, by mm_quote_make; so are tables, and
 * rules that look at more than one price.
 */
#ifndef MMCORE_PRICES_H
#define MMCORE_PRICES_H

#include "cpu.h"
#include "quoting.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_PRICE_BLOCK 1024

/* What a block needs. The numbers are those of every row. */
typedef struct mm_price_block {
  mm_line line;                         /* ticks */
  double scale, shift;                  /* of the volatility; ticks */
  double target, held, q_max;           /* lots */
  double least, most;                   /* the last inventories at which a sale, a purchase is allowed */
  const double *reference, *inventory;  /* inventory NULL: `held` in every row */
  const int64_t *touch_bid, *touch_ask; /* both or neither; NULL: no touch in any row */
  int64_t *bid, *ask;
} mm_price_block;

/* Where the policy is read: within its bound. */
MM_INLINE double mm_price_read_at(double at, double q_max) {
  const double q = at > q_max ? q_max : at;
  return q < -q_max ? -q_max : q;
}

/* Do bid and ask stay apart in every row whose prices are below 2^31 ticks? Where both depths lean alike
 * their sum is one number; rounding takes less than 2^-16 of it. */
static inline int mm_price_is_wide(const mm_price_block *b, int varied) {
  const double most = 2147483648.0, lean = varied ? fabs(b->line.slope[MM_BID]) * b->q_max : 0;
  double reach = lean, sum = 0;
  for (int side = 0; side < 2; ++side) {
    const double depth = varied
                             ? b->line.base[side]
                             : mm_line_depth(&b->line, side, mm_price_read_at(b->held - b->target, b->q_max));
    reach += fabs(depth);
    sum += depth;
  }
  return (!varied || b->line.slope[MM_BID] == b->line.slope[MM_ASK]) && b->scale * reach < most &&
         b->scale * sum > 0x1p-16;
}

/* Rows 0..n-1; `odd` says whether any is unusual. */
MM_INLINE void mm_price_straight(const mm_price_block *b, ptrdiff_t n, int varied, int touched, int wide,
                                 uint64_t *odd) {
  const mm_line line = b->line;
  const double q_max = b->q_max, least = b->least, most = b->most, scale = b->scale;
  const double shift = b->shift, target = b->target, held = b->held;
  const double *__restrict reference = b->reference, *__restrict inventories = b->inventory;
  const int64_t *__restrict touch_bid = b->touch_bid, *__restrict touch_ask = b->touch_ask;
  int64_t *__restrict bids = b->bid, *__restrict asks = b->ask;
  uint64_t outside = 0, crossed = 0;
  int64_t apart = -1;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double inventory = varied ? inventories[i] : held, at = inventory - target;
    const double q = mm_price_read_at(at, q_max);
    double centre = reference[i] + shift;
    if (varied)
      centre += at - at; /* NaN for what is not finite, which shows in the price */
    const uint64_t low = mm_quanta_bits(centre - mm_line_depth(&line, MM_BID, q) * scale);
    const uint64_t high =
        mm_quanta_bits(centre + mm_line_depth(&line, MM_ASK, q) * scale) + MM_QUANTA_ROUND_UP;
    int64_t bid = mm_bits_floor(low), ask = mm_bits_floor(high);
    outside |= low | high;
    if (!wide)
      apart &= bid - ask; /* below zero unless they meet, absent or not; the touch only parts them */
    if (varied) {
      bid = inventory <= most ? bid : MM_NO_BID;
      ask = inventory >= least ? ask : MM_NO_ASK;
    }
    if (touched) {
      const int64_t below = touch_bid[i], above = touch_ask[i];
      crossed |= (uint64_t)(below > above) | (uint64_t)(below >= MM_TICK_LIMIT) |
                 (uint64_t)(above <= -MM_TICK_LIMIT);
      bid = bid >= above ? (int64_t)((uint64_t)above - 1) : bid;
      ask = ask <= below ? (int64_t)((uint64_t)below + 1) : ask;
    }
    bids[i] = bid;
    asks[i] = ask;
  }
  if (!varied && !(held <= most))
    for (ptrdiff_t i = 0; i < n; ++i)
      bids[i] = MM_NO_BID;
  if (!varied && !(held >= least))
    for (ptrdiff_t i = 0; i < n; ++i)
      asks[i] = MM_NO_ASK;
  *odd = outside >> MM_QUANTA_BITS | (uint64_t)(apart >= 0) | crossed;
}

MM_INLINE void mm_price_fast_as(const mm_price_block *b, ptrdiff_t n, int wide, uint64_t *odd) {
  if (b->inventory && b->touch_bid)
    mm_price_straight(b, n, 1, 1, 0, odd);
  else if (b->inventory && wide)
    mm_price_straight(b, n, 1, 0, 1, odd);
  else if (b->inventory)
    mm_price_straight(b, n, 1, 0, 0, odd);
  else if (b->touch_bid)
    mm_price_straight(b, n, 0, 1, 0, odd);
  else if (wide)
    mm_price_straight(b, n, 0, 0, 1, odd);
  else
    mm_price_straight(b, n, 0, 0, 0, odd);
}

MM_CPU_COPIES(mm_price_fast, (const mm_price_block *b, ptrdiff_t n, int wide, uint64_t *odd),
              (b, n, wide, odd))

/* Rows begin..begin+n-1 one at a time, in any state of the market. */
static inline void mm_price_each(const mm_policy *policy, const mm_rules *rules, ptrdiff_t begin, ptrdiff_t n,
                                 const mm_column *columns, int64_t *bid, int64_t *ask) {
  for (ptrdiff_t i = begin; i < begin + n; ++i) {
    mm_quote q;
    mm_quote_row(policy, rules, i, columns, &q);
    bid[i] = q.price[MM_BID];
    ask[i] = q.price[MM_ASK];
  }
}

/* Rows begin..begin+n-1 of a column, side by side: where they stand, or copied to `room`. */
static inline const void *mm_column_rows(const mm_column *column, ptrdiff_t begin, ptrdiff_t n, void *room) {
  const char *data = (const char *)column->data + begin * column->stride;
  if (column->stride == 8 && (uintptr_t)data % 8 == 0)
    return data;
  for (ptrdiff_t i = 0; i < n; ++i)
    memcpy((char *)room + 8 * i, data + i * column->stride, 8);
  return room;
}

/* May an order of the policy's size be sent at this inventory? As mm_quote_make decides. */
static inline int mm_price_allowed(const mm_policy *policy, const mm_rules *rules, int side, double inventory,
                                   double target) {
  const double size = policy->order_size, at = inventory - target;
  return side == MM_BID ? size <= policy->q_max - at && size <= rules->max_position - inventory
                        : size <= policy->q_max + at && size <= rules->max_position + inventory;
}

/* Doubles in their order as integers, -0 and 0 as one, and back. */
static inline int64_t mm_order_of(double x) {
  int64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits < 0 ? INT64_MIN - bits : bits;
}

static inline double mm_in_order(int64_t order) {
  const int64_t bits = order < 0 ? INT64_MIN - order : order;
  double x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* The last inventory at which a side is allowed, so that one comparison decides; infinite where there is
 * none. Sums of inventory, target and bounds round, so it is looked for: from where it is but for rounding,
 * in growing steps, then by halves. A sale is allowed at x as a purchase is at -x, from -target. */
static inline double mm_price_bound(const mm_policy *policy, const mm_rules *rules, int side, double target) {
  const double sign = side == MM_BID ? 1.0 : -1.0, held = rules->max_position - policy->order_size;
  const double read = policy->q_max - policy->order_size + sign * target, near = read < held ? read : held;
  const int64_t last = mm_order_of(MM_LARGEST);
  int64_t low = near < -MM_LARGEST ? -last : near < MM_LARGEST ? mm_order_of(near) : last, high = low;
#define MM_ALLOWED(order) mm_price_allowed(policy, rules, side, sign *mm_in_order(order), target)
#define MM_APART(high, low) ((uint64_t)(high) - (uint64_t)(low)) /* may be beyond an int64 */
  if (MM_ALLOWED(low)) {
    for (uint64_t step = 1; low == high; step *= 2) {
      if (low == last)
        return sign * MM_LARGEST;
      high = MM_APART(last, low) > step ? (int64_t)((uint64_t)low + step) : last;
      if (MM_ALLOWED(high))
        low = high;
    }
  } else {
    for (uint64_t step = 1; low == high; step *= 2) {
      if (high == -last)
        return sign * -(double)INFINITY;
      low = MM_APART(high, -last) > step ? (int64_t)((uint64_t)high - step) : -last;
      if (!MM_ALLOWED(low))
        high = low;
    }
  }
  while (MM_APART(high, low) > 1) {
    const int64_t middle = (int64_t)((uint64_t)low + MM_APART(high, low) / 2);
    if (MM_ALLOWED(middle))
      low = middle;
    else
      high = middle;
  }
#undef MM_APART
#undef MM_ALLOWED
  return sign * mm_in_order(low);
}

/* Can rows be computed straight, but for those that are unusual? Shift, target, time, state and age are then
 * those of the first row, and so may be the inventory. */
static inline int mm_price_is_plain(const mm_policy *policy, const mm_rules *rules,
                                    const mm_column *columns) {
  const double age = mm_column_double(&columns[MM_COLUMN_AGE], 0);
  for (int i = MM_COLUMN_SHIFT; i < MM_QUOTE_COLUMNS; ++i)
    if (columns[i].stride != 0)
      return 0;
  if (columns[MM_COLUMN_INVENTORY].stride == 0 &&
      !MM_FINITE(mm_column_double(&columns[MM_COLUMN_INVENTORY], 0) -
                 mm_column_double(&columns[MM_COLUMN_TARGET], 0)))
    return 0;
  return policy->kind == MM_AFFINE && !rules->halted && !rules->shrink && !rules->max_spread &&
         !rules->min_size && !mm_older(age, rules->halt_after) && !mm_older(age, rules->widen_after) &&
         mm_readable(policy, 0, mm_column_double(&columns[MM_COLUMN_TIME_LEFT], 0),
                     mm_column_int64(&columns[MM_COLUMN_STATE], 0));
}

/* What all rows have in common; `most` and `least` let both sides be. */
static inline mm_price_block mm_price_block_of(const mm_policy *policy, const mm_rules *rules,
                                               const mm_column *columns) {
  mm_price_block b;
  memset(&b, 0, sizeof b);
  b.line = mm_line_at(policy, mm_column_double(&columns[MM_COLUMN_TIME_LEFT], 0), 0);
  b.scale = rules->volatility_scale;
  b.shift = mm_column_double(&columns[MM_COLUMN_SHIFT], 0);
  b.target = mm_column_double(&columns[MM_COLUMN_TARGET], 0);
  b.held = mm_column_double(&columns[MM_COLUMN_INVENTORY], 0);
  b.q_max = policy->q_max;
  b.most = (double)INFINITY;
  b.least = -(double)INFINITY;
  return b;
}

/* Is there a touch in any row? */
static inline int mm_price_is_touched(const mm_column *columns) {
  const mm_column *touch = &columns[MM_COLUMN_BID];
  return touch[0].stride != 0 || touch[1].stride != 0 || mm_column_int64(&touch[0], 0) != MM_NO_BID ||
         mm_column_int64(&touch[1], 0) != MM_NO_ASK;
}

/* The prices of n quotes, MM_NO_BID and MM_NO_ASK where absent. The columns are those of mm_quote_rows; bid
 * and ask share no memory with them. */
static inline void mm_price_rows(mm_cpu cpu, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                                 const mm_column *columns, int64_t *bid, int64_t *ask) {
  double reference[MM_PRICE_BLOCK], inventory[MM_PRICE_BLOCK];
  int64_t below[MM_PRICE_BLOCK], above[MM_PRICE_BLOCK];
  if (n <= 0)
    return;
  if (!mm_price_is_plain(policy, rules, columns)) {
    mm_price_each(policy, rules, 0, n, columns, bid, ask);
    return;
  }
  const int held = columns[MM_COLUMN_INVENTORY].stride == 0, touched = mm_price_is_touched(columns);
  mm_price_block b = mm_price_block_of(policy, rules, columns);
  if (held) {
    b.most = mm_price_allowed(policy, rules, MM_BID, b.held, b.target) ? (double)INFINITY : -(double)INFINITY;
    b.least =
        mm_price_allowed(policy, rules, MM_ASK, b.held, b.target) ? -(double)INFINITY : (double)INFINITY;
  } else {
    b.most = mm_price_bound(policy, rules, MM_BID, b.target);
    b.least = mm_price_bound(policy, rules, MM_ASK, b.target);
  }
  const int wide = mm_price_is_wide(&b, !held);
  for (ptrdiff_t begin = 0; begin < n; begin += MM_PRICE_BLOCK) {
    const ptrdiff_t count = n - begin < MM_PRICE_BLOCK ? n - begin : MM_PRICE_BLOCK;
    uint64_t odd = 0;
    b.reference = (const double *)mm_column_rows(&columns[MM_COLUMN_REFERENCE], begin, count, reference);
    if (!held)
      b.inventory = (const double *)mm_column_rows(&columns[MM_COLUMN_INVENTORY], begin, count, inventory);
    if (touched) {
      b.touch_bid = (const int64_t *)mm_column_rows(&columns[MM_COLUMN_BID], begin, count, below);
      b.touch_ask = (const int64_t *)mm_column_rows(&columns[MM_COLUMN_ASK], begin, count, above);
    }
    b.bid = bid + begin, b.ask = ask + begin;
    MM_CPU_CALL(cpu, mm_price_fast, (&b, count, wide, &odd));
    if (MM_UNLIKELY(odd))
      mm_price_each(policy, rules, begin, count, columns, bid, ask);
  }
}

/* ---- whole quotes ---- */

#define MM_QUOTE_BLOCK 256

/* What the touch and the bounds make of prices that the policy alone would quote. */
typedef struct mm_quote_block {
  double target, held, q_max, max_position;         /* lots */
  int64_t order_size;                               /* lots */
  const double *inventory;                          /* NULL: `held` in every row */
  const int64_t *touch_bid, *touch_ask;             /* both or neither; NULL: no touch in any row */
  int64_t bid[MM_QUOTE_BLOCK], ask[MM_QUOTE_BLOCK]; /* the policy's, then the quote's */
  int64_t bid_size[MM_QUOTE_BLOCK], ask_size[MM_QUOTE_BLOCK], why[MM_QUOTE_BLOCK];
} mm_quote_block;

/* All bits or none, for selections that need no branch. */
MM_INLINE int64_t mm_mask(int condition) {
  return condition ? -1 : 0;
}

/* Rows 0..n-1; `odd` says whether the touch of any is unusual. */
MM_INLINE void mm_quote_sides(mm_quote_block *b, ptrdiff_t n, int varied, int touched, uint64_t *odd) {
  const double q_max = b->q_max, max_position = b->max_position, target = b->target, held = b->held;
  const double size = (double)b->order_size;
  const int64_t lots = b->order_size;
  const double *__restrict inventories = b->inventory;
  const int64_t *__restrict touch_bid = b->touch_bid, *__restrict touch_ask = b->touch_ask;
  uint64_t crossed = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const double inventory = varied ? inventories[i] : held, at = inventory - target;
    const int64_t bid_wanted = mm_mask(size <= q_max - at), ask_wanted = mm_mask(size <= q_max + at);
    const int64_t buy = bid_wanted & mm_mask(size <= max_position - inventory);
    const int64_t sell = ask_wanted & mm_mask(size <= max_position + inventory);
    int64_t bid = b->bid[i], ask = b->ask[i];
    int64_t why = (~bid_wanted & MM_WHY_POLICY_BID) | (~ask_wanted & MM_WHY_POLICY_ASK) |
                  (bid_wanted & ~buy & MM_WHY_LIMIT_BID) | (ask_wanted & ~sell & MM_WHY_LIMIT_ASK);
    if (touched) {
      const int64_t below = touch_bid[i], above = touch_ask[i];
      const int64_t lowered = mm_mask(bid >= above), raised = mm_mask(ask <= below);
      crossed |= (uint64_t)(below > above) | (uint64_t)(below >= MM_TICK_LIMIT) |
                 (uint64_t)(above <= -MM_TICK_LIMIT);
      bid = lowered ? (int64_t)((uint64_t)above - 1) : bid;
      ask = raised ? (int64_t)((uint64_t)below + 1) : ask;
      why |= (buy & lowered & MM_WHY_TOUCH_BID) | (sell & raised & MM_WHY_TOUCH_ASK);
    }
    b->bid[i] = buy ? bid : MM_NO_BID;
    b->ask[i] = sell ? ask : MM_NO_ASK;
    b->bid_size[i] = buy & lots;
    b->ask_size[i] = sell & lots;
    b->why[i] = why;
  }
  *odd |= crossed;
}

MM_INLINE void mm_quote_fast_as(mm_quote_block *b, ptrdiff_t n, uint64_t *odd) {
  if (b->inventory && b->touch_bid)
    mm_quote_sides(b, n, 1, 1, odd);
  else if (b->inventory)
    mm_quote_sides(b, n, 1, 0, odd);
  else if (b->touch_bid)
    mm_quote_sides(b, n, 0, 1, odd);
  else
    mm_quote_sides(b, n, 0, 0, odd);
}

MM_CPU_COPIES(mm_quote_fast, (mm_quote_block * b, ptrdiff_t n, uint64_t *odd), (b, n, odd))

/* The quotes of mm_quote_rows; `out` shares no memory with the columns. */
static inline void mm_quote_blocks(mm_cpu cpu, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                                   const mm_column *columns, mm_quote *out) {
  double reference[MM_QUOTE_BLOCK], inventory[MM_QUOTE_BLOCK];
  int64_t below[MM_QUOTE_BLOCK], above[MM_QUOTE_BLOCK];
  if (n <= 0)
    return;
  if (!mm_price_is_plain(policy, rules, columns)) {
    mm_quote_rows(policy, rules, n, columns, out);
    return;
  }
  const int held = columns[MM_COLUMN_INVENTORY].stride == 0, touched = mm_price_is_touched(columns);
  mm_price_block b = mm_price_block_of(policy, rules, columns);
  mm_quote_block q; /* the fields that are not set here are those of rows, which the loops fill */
  q.target = b.target, q.held = b.held, q.q_max = b.q_max, q.max_position = rules->max_position;
  q.order_size = (int64_t)policy->order_size;
  q.inventory = NULL;
  q.touch_bid = q.touch_ask = NULL;
  b.bid = q.bid, b.ask = q.ask;
  const int wide = mm_price_is_wide(&b, !held);
  for (ptrdiff_t begin = 0; begin < n; begin += MM_QUOTE_BLOCK) {
    const ptrdiff_t count = n - begin < MM_QUOTE_BLOCK ? n - begin : MM_QUOTE_BLOCK;
    uint64_t odd = 0;
    b.reference = (const double *)mm_column_rows(&columns[MM_COLUMN_REFERENCE], begin, count, reference);
    if (!held)
      b.inventory = q.inventory =
          (const double *)mm_column_rows(&columns[MM_COLUMN_INVENTORY], begin, count, inventory);
    if (touched) {
      q.touch_bid = (const int64_t *)mm_column_rows(&columns[MM_COLUMN_BID], begin, count, below);
      q.touch_ask = (const int64_t *)mm_column_rows(&columns[MM_COLUMN_ASK], begin, count, above);
    }
    MM_CPU_CALL(cpu, mm_price_fast, (&b, count, wide, &odd));
    MM_CPU_CALL(cpu, mm_quote_fast, (&q, count, &odd));
    if (MM_UNLIKELY(odd)) {
      for (ptrdiff_t i = begin; i < begin + count; ++i)
        mm_quote_row(policy, rules, i, columns, &out[i]);
      continue;
    }
    for (ptrdiff_t i = 0; i < count; ++i) {
      mm_quote *to = &out[begin + i];
      to->price[MM_BID] = q.bid[i];
      to->price[MM_ASK] = q.ask[i];
      to->size[MM_BID] = q.bid_size[i];
      to->size[MM_ASK] = q.ask_size[i];
      to->take = 0;
      to->version = policy->version;
      to->why = (uint32_t)q.why[i];
      to->reserved = 0;
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
