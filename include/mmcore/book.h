/* mmcore/book.h - exact positions and profit from fills.
 *
 * A position is a plain struct of integers: lots, ticks, cash in tick*lot, the cost pool in 1e-9 tick*lot,
 * fees in currency units. The pool is the cost of what is open, signed like the position. By construction
 *
 *     realised   = 1e9 * cash + cost        unrealised = 1e9 * mark * net - cost
 *
 * so their sum is 1e9 * (cash + mark * net) exactly, whatever the cost basis. Under average cost a partial
 * close releases cost * closed / net, rounded once, half to even; the residue stays in the pool and comes
 * back when the rest is closed. Under FIFO the pool is the sum over the open lots and nothing is ever
 * rounded; LIFO (ledger.h) is the same from the other end, and specific identification the same from where
 * the owner says.
 *
 * Every function validates before it changes anything: a status below 0 means that the structs are as they
 * were.
 */
#ifndef MMCORE_BOOK_H
#define MMCORE_BOOK_H

#include <math.h>
#include <stddef.h>

#include "int128.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MM_AVERAGE = 0, MM_FIFO = 1, MM_LIFO = 2, MM_SPECIFIC = 3 }; /* mm_position.method */
enum {                                                              /* mm_position.flags */
       MM_HAS_MARK = 1,
       MM_NEGATIVE_PRICES = 2,
       MM_INVERSE = 4, /* these: by ledger.h */
       MM_COSTED = 8,  /* a lot of the queue has its cost in the entry after it */
       MM_STACK = 16,  /* LIFO */
       MM_NAMED = 32,  /* specific identification */
       MM_SPECIAL = MM_INVERSE | MM_COSTED | MM_STACK | MM_NAMED /* mm_position_fill refuses them */
};
enum { /* mm_fill.kind; all but the first: ledger.h */
       MM_NEW = 0,
       MM_BUST = 1,    /* a fill never was */
       MM_CORRECT = 2, /* a fill was another */
       MM_SUSPEND = 3, /* a fill is held in suspense */
       MM_RELEASE = 4, /* a fill in suspense is booked */
       MM_FUNDING = 5, /* payments: funding of a perpetual, borrow cost, dividend, cash in lieu */
       MM_BORROW = 6,
       MM_DIVIDEND = 7,
       MM_IN_LIEU = 8,
       MM_CONVERT = 9,   /* lots become others: split, new tick, lot or symbol */
       MM_IDENTIFY = 10, /* the next record, a fill, closes this lot */
       MM_KINDS = 11
};
enum { MM_UNSPECIFIED = 0, MM_MAKER = 1, MM_TAKER = 2 }; /* mm_fill.liquidity */

#define MM_COST_SCALE 1000000000 /* cost pool units in one tick*lot */
#define MM_NAME 16               /* bytes of an instrument's name, as the reference of a record holds it */
#define MM_NO_PRICE INT64_MIN /* mm_lot.price: the next entry is the lot's cost, an mm_i128; see ledger.h */

typedef struct mm_position {
  int64_t net;          /* lots, signed; never INT64_MIN */
  mm_i128 cash;         /* tick*lot */
  mm_i128 cost;         /* 1e-9 tick*lot, signed like net */
  mm_i128 fees;         /* currency units; paid > 0 */
  int64_t mark;         /* ticks */
  int64_t bought, sold; /* lots */
  int64_t fills;
  int64_t lots_head, lots_tail, lots_used; /* queue of lots: entries never change once pushed */
  int32_t method;
  int32_t flags;
} mm_position;

typedef struct mm_lot {
  int64_t qty, price; /* signed lots, ticks */
} mm_lot;

typedef struct mm_fill {      /* 96 bytes; mmcore.FILL in NumPy */
  int64_t time, receive_time; /* ns */
  int64_t qty;                /* lots, signed: bought > 0 */
  int64_t price;              /* ticks */
  int64_t fee;                /* currency units, paid > 0 */
  int64_t order_id;
  char id[16], reference[16]; /* padded with zero bytes; an id of zero bytes is none */
  int32_t instrument;         /* index in the book */
  int16_t fee_currency;       /* index in the book; -1: the instrument's */
  int8_t liquidity, kind;
  int64_t target; /* what some kinds are about: see ledger.h */
} mm_fill;

/* ---- one position ---- */

static inline void mm_position_init(mm_position *p, int32_t method, int negative_prices) {
  memset(p, 0, sizeof *p);
  p->method = method;
  p->flags = (negative_prices ? MM_NEGATIVE_PRICES : 0) | (method == MM_LIFO ? MM_STACK : 0) |
             (method == MM_SPECIFIC ? MM_NAMED : 0);
}

/* |cash| and |mark * net| stay below 2^96 tick*lot: then realised, unrealised and their sum fit 128 bits. The
 * first test is enough for anything below 2^64. */
static inline int mm_value_fits(mm_i128 a) {
  const int64_t bound = (int64_t)1 << 32;
  return MM_LIKELY((uint64_t)a.hi + 1 <= 1) ||
         (a.hi >= -bound && a.hi < bound && !(a.hi == -bound && a.lo == 0));
}

static inline int mm_cost_fits(mm_i128 a) {
  const int64_t bound = (int64_t)MM_COST_SCALE << 32;
  return MM_LIKELY((uint64_t)a.hi + 1 <= 1) ||
         (a.hi >= -bound && a.hi < bound && !(a.hi == -bound && a.lo == 0));
}

static inline mm_i128 mm_cost_at(int64_t net, int64_t price) {
  return mm_i128_scale(mm_i128_mul(net, price), MM_COST_SCALE);
}

/* What a fill makes of everything but the cost. */
typedef struct mm_totals {
  int64_t net, bought, sold;
  mm_i128 value, cash, fees;
} mm_totals;

/* The totals but for what depends on the price; whether they fit. */
static inline int mm_totals_lots(const mm_position *p, int64_t qty, int64_t fee, mm_totals *t) {
  if (MM_UNLIKELY(qty == INT64_MIN || mm_add_i64(p->net, qty, &t->net) || t->net == INT64_MIN))
    return 0;
  t->bought = p->bought;
  t->sold = p->sold;
  if (MM_UNLIKELY(qty > 0 ? mm_add_i64(p->bought, qty, &t->bought) : mm_add_i64(p->sold, -qty, &t->sold)))
    return 0;
  return !MM_UNLIKELY(mm_i128_add_checked(p->fees, mm_i128_of(fee), &t->fees));
}

/* The cash after lots that are worth `value`; whether both fit. */
static inline int mm_totals_cash(const mm_position *p, mm_i128 value, mm_totals *t) {
  t->value = value;
  t->cash = mm_i128_sub(p->cash, value); /* exact where the value fits */
  return mm_value_fits(value) && mm_value_fits(t->cash);
}

static inline int mm_position_totals(const mm_position *p, int64_t qty, int64_t price, int64_t fee,
                                     mm_totals *t) {
  if (MM_UNLIKELY(qty == 0 || (price <= 0 && !(p->flags & MM_NEGATIVE_PRICES))))
    return MM_INVALID;
  if (MM_UNLIKELY(price == INT64_MIN || !mm_totals_lots(p, qty, fee, t)))
    return MM_OVERFLOW;
  if (MM_UNLIKELY(!mm_totals_cash(p, mm_i128_mul(qty, price), t)))
    return MM_OVERFLOW;
  if (p->flags & (MM_HAS_MARK | MM_SPECIAL)) { /* one test for both: most fills pass neither */
    if (MM_UNLIKELY(p->flags & MM_SPECIAL))
      return MM_UNSUPPORTED;
    if (MM_UNLIKELY(!mm_value_fits(mm_i128_mul(t->net, p->mark))))
      return MM_OVERFLOW;
  }
  return MM_OK;
}

static inline void mm_position_commit(mm_position *p, const mm_totals *t, mm_i128 cost, int64_t fills) {
  p->net = t->net;
  p->cash = t->cash;
  p->cost = cost;
  p->fees = t->fees;
  p->bought = t->bought;
  p->sold = t->sold;
  p->fills += fills;
}

/* What closing `closed` lots (> 0) of the queue releases, in tick*lot; moves the cursors given. The position
 * holds at least that many. Entries are read, never written. */
static inline mm_i128 mm_lots_release(const mm_lot *lots, int64_t closed, int64_t *head, int64_t *used) {
  mm_i128 released = mm_i128_of(0);
  while (closed > 0) {
    const mm_lot *lot = &lots[*head];
    const int64_t size = lot->qty < 0 ? -lot->qty : lot->qty;
    const int64_t left = size - *used;
    const int64_t take = left < closed ? left : closed;
    released = mm_i128_add(released, mm_i128_mul(lot->qty < 0 ? -take : take, lot->price));
    closed -= take;
    if (take == left) {
      ++*head;
      *used = 0;
    } else {
      *used += take;
    }
  }
  return released;
}

static inline int mm_position_fill_fifo(mm_position *p, const mm_totals *t, mm_lot *lots, int64_t capacity,
                                        int64_t qty, int64_t price) {
  const int64_t old = p->net;
  int64_t head = p->lots_head, tail = p->lots_tail, used = p->lots_used;
  int64_t opened; /* lots that join the queue */
  mm_i128 cost;
  if (old == 0 || (old ^ qty) >= 0) {
    opened = qty;
    cost = mm_i128_add(p->cost, mm_i128_scale(t->value, MM_COST_SCALE)); /* both below 2^126 */
  } else if (t->net == 0 || (old ^ t->net) < 0) {
    opened = t->net;
    cost = mm_cost_at(opened, price);
    head = tail;
    used = 0;
  } else {
    mm_i128 released = mm_lots_release(lots, qty < 0 ? -qty : qty, &head, &used);
    /* With prices of both signs the parts of a pool can be larger than the pool. */
    if (MM_UNLIKELY(mm_i128_scale_checked(released, MM_COST_SCALE, &released) || !mm_cost_fits(released)))
      return MM_OVERFLOW;
    opened = 0;
    cost = mm_i128_sub(p->cost, released);
  }
  if (MM_UNLIKELY(!mm_cost_fits(cost)))
    return MM_OVERFLOW;
  if (opened != 0) {
    if (MM_UNLIKELY(tail >= capacity))
      return MM_CAPACITY;
    lots[tail].qty = opened;
    lots[tail].price = price;
    tail++;
  }
  mm_position_commit(p, t, cost, 1);
  p->lots_head = head;
  p->lots_tail = tail;
  p->lots_used = used;
  return MM_OK;
}

/* Book one fill: qty signed lots, price in ticks, fee in currency units (paid > 0).
 *
 * MM_INVALID: qty is 0, or price <= 0 where the instrument has no negative prices.
 * MM_OVERFLOW: a total would leave its bounds; qty or price is INT64_MIN.
 * MM_CAPACITY: the FIFO queue is full (lots_tail == capacity); see mm_position_compact.
 * MM_UNSUPPORTED: the position is one that only ledger.h books (MM_SPECIAL): LIFO, specific identification,
 *                 inverse, lots with costs.
 * `lots` is not touched under average cost and may be NULL. */
static inline int mm_position_fill(mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price,
                                   int64_t fee) {
  const int64_t old = p->net;
  mm_totals t;
  mm_i128 cost;
  const int status = mm_position_totals(p, qty, price, fee, &t);
  if (MM_UNLIKELY(status != MM_OK))
    return status;
  if (p->method == MM_FIFO)
    return mm_position_fill_fifo(p, &t, lots, capacity, qty, price);
  if (MM_UNLIKELY((uint32_t)p->method > MM_FIFO)) /* by hand, without its flag: the same comparison */
    return MM_UNSUPPORTED;

  if (old == 0 || (old ^ qty) >= 0) {                                   /* opens or adds */
    cost = mm_i128_add(p->cost, mm_i128_scale(t.value, MM_COST_SCALE)); /* both below 2^126 */
    if (MM_UNLIKELY(!mm_cost_fits(cost)))
      return MM_OVERFLOW;
  } else if (t.net == 0) { /* closes everything: the pool is returned whole, no division */
    cost = mm_i128_of(0);
  } else if ((old ^ t.net) >= 0) { /* closes a part: less than |old|, so the result is within the pool */
    mm_i128 released;
    if (MM_UNLIKELY(mm_i128_muldiv(p->cost, qty < 0 ? -qty : qty, old < 0 ? -old : old, &released)))
      return MM_OVERFLOW;
    cost = mm_i128_sub(p->cost, released);
  } else { /* flips: everything is closed, the rest opens at this price and is worth less than the fill */
    cost = mm_cost_at(t.net, price);
  }
  mm_position_commit(p, &t, cost, 1);
  return MM_OK;
}

/* ---- many fills of one position ----
 *
 * Opening, adding, closing and flipping are one formula. Of the position before a fill, kept = median(0, old,
 * net) stays open and opened = net - kept is new:
 *
 *     cost' = cost * kept / old, rounded, + 1e9 * opened * price
 *
 * It holds for prices measured from any price p too: the pool is then cost - 1e9 * p * net, and what is
 * rounded differs by 1e9 * p * closed, an even integer. Measured from the average cost, the pool takes 64
 * bits. kept / old does not wait for the pool: it is known as a fraction before the pool is, so that one fill
 * waits for a product of the one before, not for a quotient. Where its error leaves open what the product
 * rounds to, at ties above all, the division is done.
 *
 * A FIFO queue need not be looked at before the end of a block: what closes only adds up.
 *
 * Blocks are tested beforehand: whatever could be refused or leave 64 bits goes by mm_position_fill. */

enum { MM_FILLS_BLOCK = 128, MM_FILLS_FEW = 6 }; /* below, a block costs more than it saves */

/* A block of fills: one field of each every `stride` bytes. */
typedef struct mm_fills {
  const int64_t *qty, *price, *fee;
  ptrdiff_t stride;
  int64_t n;
} mm_fills;

/* What a block comes to, whatever the position. */
typedef struct mm_flow {
  uint64_t moved;    /* lots, bought and sold */
  int64_t low, high; /* ticks */
  int64_t value;     /* tick*lot */
  int64_t fees;      /* currency units */
} mm_flow;

static inline int64_t mm_fills_at(const int64_t *field, ptrdiff_t at) {
  int64_t value;
  memcpy(&value, (const char *)field + at, sizeof value);
  return value;
}

/* 1 where no fill of the block can be refused and its sums fit 64 bits. */
MM_NOINLINE int mm_fills_sum(const mm_position *p, const mm_fills *f, mm_flow *flow) {
  const ptrdiff_t end = (ptrdiff_t)f->n * f->stride;
  uint64_t moved = 0, large = 0, value = 0, fees = 0;
  int64_t low = INT64_MAX, high = INT64_MIN;
  double largest;
  for (ptrdiff_t at = 0; at != end; at += f->stride) {
    const int64_t qty = mm_fills_at(f->qty, at), price = mm_fills_at(f->price, at);
    const int64_t fee = mm_fills_at(f->fee, at);
    const uint64_t size = mm_abs_i64(qty);
    large |= (size - 1) | ((uint64_t)fee + ((uint64_t)1 << 49)); /* no size: all bits */
    moved += size;
    low = price < low ? price : low;
    high = price > high ? price : high;
    value += (uint64_t)qty * (uint64_t)price;
    fees += (uint64_t)fee;
  }
  flow->moved = moved;
  flow->low = low;
  flow->high = high;
  flow->value = (int64_t)value;
  flow->fees = (int64_t)fees;
  largest = -(double)low > (double)high ? -(double)low : (double)high;
  return !(p->flags & MM_SPECIAL) && (uint32_t)p->method <= MM_FIFO && !(large >> 50) && !(moved >> 50) &&
         (low > 0 || (p->flags & MM_NEGATIVE_PRICES)) && largest * (double)moved < 0x1p62 &&
         mm_abs_i64(p->net) >> 50 == 0 && p->bought >> 62 == 0 && p->sold >> 62 == 0 &&
         mm_abs_i64(p->mark) >> 44 == 0 && mm_abs_i64(p->cash.hi) >> 31 == 0 &&
         mm_abs_i64(p->cost.hi) < (uint64_t)MM_COST_SCALE << 31 && mm_abs_i64(p->fees.hi) >> 62 == 0;
}

/* What of the position before stays open. */
MM_INLINE int64_t mm_kept(int64_t old, int64_t net) {
  const int64_t low = old < net ? old : net, high = old < net ? net : old;
  const int64_t below = high < 0 ? high : 0;
  return low > below ? low : below;
}

/* pool * kept / old by division; |pool| < 2^58. */
MM_COLD int64_t mm_pool_kept(int64_t pool, int64_t kept, int64_t old) {
  mm_i128 released = mm_i128_of(0);
  if (old != 0)
    mm_i128_muldiv(mm_i128_of(pool), (int64_t)mm_abs_i64(old - kept), (int64_t)mm_abs_i64(old), &released);
  return pool - (int64_t)released.lo;
}

/* The cost and the position after the block; 0 where the pool needs more than 64 bits. */
MM_NOINLINE int mm_fills_average(const mm_position *p, const mm_fills *f, const mm_flow *flow,
                                 int64_t *net_after, mm_i128 *cost_after) {
  const ptrdiff_t end = (ptrdiff_t)f->n * f->stride;
  int64_t net = p->net, pool, base, reach;
  double average = (double)flow->low, bound;
  uint64_t doubt, below;
  if (net != 0)
    average = ((double)p->cost.hi * 0x1p64 + (double)p->cost.lo) / ((double)net * (double)MM_COST_SCALE);
  if (!(average > -0x1p62 && average < 0x1p62))
    return 0;
  base = (int64_t)average; /* any price would do */
  if (mm_i128_to_i64(mm_i128_sub(p->cost, mm_cost_at(net, base)), &pool))
    return 0;
  reach = flow->high - base > base - flow->low ? flow->high - base : base - flow->low;
  bound = (double)MM_COST_SCALE * (double)reach * (double)flow->moved + (double)mm_abs_i64(pool) + 1;
  if (!(bound < 0x1p58))
    return 0;
  /* |pool| stays below the bound, since closing never adds to it. The fraction is off by less than 1.25, the
   * product by less than 5 * bound. */
  doubt = (uint64_t)(8 * bound);
  below = doubt + ((uint64_t)1 << 63);
  for (ptrdiff_t at = 0; at != end; at += f->stride) {
    const int64_t old = net;
    int64_t kept, rounded, fraction = 0; /* of 2^62 */
    mm_i128 product;
    net += mm_fills_at(f->qty, at);
    kept = mm_kept(old, net);
    if (MM_LIKELY(old != 0)) {
      /* 53 bits of it, then what they leave over. */
      const double inverse = 1.0 / (double)old;
      fraction = (int64_t)((double)kept * inverse * 0x1p62);
      fraction +=
          (int64_t)((double)(int64_t)(((uint64_t)kept << 62) - (uint64_t)fraction * (uint64_t)old) * inverse);
    }
    product = mm_i128_mul(4 * pool, fraction);
    rounded = product.hi + (int64_t)(product.lo >> 63);
    if (MM_UNLIKELY(product.lo + below < 2 * doubt))
      rounded = mm_pool_kept(pool, kept, old);
    pool = rounded + (net - kept) * (mm_fills_at(f->price, at) - base) * MM_COST_SCALE;
  }
  *net_after = net;
  *cost_after = mm_i128_add(mm_cost_at(net, base), mm_i128_of(pool));
  return 1;
}

/* The same under FIFO, with the queue's cursors; 0 where the queue may be full or closing may be refused. */
MM_NOINLINE int mm_fills_fifo(mm_position *p, const mm_fills *f, mm_lot *lots, int64_t capacity,
                              int64_t *net_after, mm_i128 *cost_after) {
  const ptrdiff_t end = (ptrdiff_t)f->n * f->stride;
  int64_t net = p->net, head = p->lots_head, tail = p->lots_tail, used = p->lots_used;
  int64_t closed = 0, worth = 0;
  mm_i128 before = p->cost, released;
  if ((p->flags & MM_NEGATIVE_PRICES) || capacity - tail < f->n)
    return 0;
  for (ptrdiff_t at = 0; at != end; at += f->stride) {
    const int64_t old = net, price = mm_fills_at(f->price, at);
    int64_t kept, opened;
    net += mm_fills_at(f->qty, at);
    kept = mm_kept(old, net);
    opened = net - kept;
    closed += (int64_t)mm_abs_i64(old - kept);
    if (MM_UNLIKELY(kept == 0)) { /* whatever was open is gone */
      head = tail;
      used = closed = worth = 0;
      before = mm_i128_of(0);
    }
    worth += opened * price;
    lots[tail].qty = opened;
    lots[tail].price = price;
    tail += opened != 0;
  }
  released = mm_lots_release(lots, closed, &head, &used);
  *net_after = net;
  *cost_after = mm_i128_add(before, mm_i128_scale(mm_i128_sub(mm_i128_of(worth), released), MM_COST_SCALE));
  p->lots_head = head;
  p->lots_tail = tail;
  p->lots_used = used;
  return 1;
}

/* Book a whole block, or do nothing and return 0. */
static inline int mm_fills_block(mm_position *p, mm_lot *lots, int64_t capacity, const mm_fills *f) {
  mm_flow flow;
  mm_totals t;
  mm_i128 cost;
  if (!mm_fills_sum(p, f, &flow) ||
      !(p->method == MM_FIFO ? mm_fills_fifo(p, f, lots, capacity, &t.net, &cost)
                             : mm_fills_average(p, f, &flow, &t.net, &cost)))
    return 0;
  t.bought = p->bought + ((int64_t)flow.moved + (t.net - p->net)) / 2;
  t.sold = p->sold + ((int64_t)flow.moved - (t.net - p->net)) / 2;
  t.cash = mm_i128_sub(p->cash, mm_i128_of(flow.value));
  t.fees = mm_i128_add(p->fees, mm_i128_of(flow.fees));
  mm_position_commit(p, &t, cost, f->n);
  return 1;
}

/* Book n fills in order, their fields `stride` bytes apart (8 in columns, 96 in records).
 * Ends at the first that is refused and returns its status; *booked is how many were booked, that is n
 * or its index. To the bit what mm_position_fill makes of them one by one. */
static inline int mm_position_fills(mm_position *p, mm_lot *lots, int64_t capacity, int64_t n,
                                    const int64_t *qty, const int64_t *price, const int64_t *fee,
                                    ptrdiff_t stride, int64_t *booked) {
  int64_t i = 0;
  int status = MM_OK;
  while (i < n) {
    const int64_t end = n - i < MM_FILLS_BLOCK ? n : i + MM_FILLS_BLOCK;
    mm_fills f;
    f.qty = (const int64_t *)(const void *)((const char *)qty + (ptrdiff_t)i * stride);
    f.price = (const int64_t *)(const void *)((const char *)price + (ptrdiff_t)i * stride);
    f.fee = (const int64_t *)(const void *)((const char *)fee + (ptrdiff_t)i * stride);
    f.stride = stride;
    f.n = end - i;
    if (f.n < MM_FILLS_FEW || !mm_fills_block(p, lots, capacity, &f))
      for (int64_t k = 0; k < f.n; ++k) {
        status = mm_position_fill(p, lots, capacity, mm_fills_at(f.qty, k * stride),
                                  mm_fills_at(f.price, k * stride), mm_fills_at(f.fee, k * stride));
        if (MM_UNLIKELY(status != MM_OK)) {
          *booked = i + k;
          return status;
        }
      }
    i = end;
  }
  *booked = n;
  return MM_OK;
}

/* Value the position at `mark` ticks from now on. */
static inline int mm_position_mark(mm_position *p, int64_t mark) {
  if (mark <= 0 && !(p->flags & MM_NEGATIVE_PRICES))
    return MM_INVALID;
  if (mark == INT64_MIN || !mm_value_fits(mm_i128_mul(p->net, mark)))
    return MM_OVERFLOW;
  p->mark = mark;
  p->flags |= MM_HAS_MARK;
  return MM_OK;
}

/* How many entries of a queue a lot takes. */
static inline int64_t mm_lot_entries(const mm_lot *lots, int64_t at) {
  return lots[at].price == MM_NO_PRICE ? 2 : 1;
}

/* mm_position_compact under LIFO, of what is not empty. */
MM_COLD void mm_stack_compact(mm_position *p, mm_lot *lots) {
  int64_t at = p->lots_head, above = -1, used = p->lots_used, below = -1, below_used = 0, to = 0;
  for (;;) { /* down: from now on each entry before a lot says what is above, and how much of the lot is used
              */
    const mm_lot link = lots[at - 1];
    lots[at - 1].qty = above;
    lots[at - 1].price = used;
    if (link.qty < 0)
      break;
    above = at;
    at = link.qty;
    used = link.price;
  }
  while (at >= 0) { /* up, each lot to its place */
    const mm_lot link = lots[at - 1];
    const int64_t entries = mm_lot_entries(lots, at);
    lots[to].qty = below;
    lots[to].price = below_used;
    memmove(&lots[to + 1], &lots[at], (size_t)entries * sizeof *lots);
    below = to + 1;
    below_used = link.price;
    to = below + entries;
    at = link.qty;
  }
  p->lots_head = below;
  p->lots_tail = to;
}

/* Under specific identification an entry before each lot says which it is and how much of it is closed: .qty
 * the index of the record that opened it, .price the lots closed. lots_head is that entry of the first lot
 * that can be open. All lots of a queue differ in their records.
 *
 * Lots close where their owner says, so unlike other entries this one changes; each change is written down
 * behind the lots, as an entry {of which lot, how much} and a lot of nothing, and mm_lots_untake takes back
 * what was written down since a copy of the struct was made. The oldest lots, closed whole, are only passed
 * by. lots_used is how many lots were identified that could not be closed: see MM_UNMET. */
static inline int64_t mm_named_left(const mm_lot *lots, int64_t at) {
  return lots[at].qty ? (int64_t)mm_abs_i64(lots[at].qty) - lots[at - 1].price : 0;
}

static inline void mm_lots_untake(mm_lot *lots, int64_t from, int64_t to) {
  for (int64_t at = from; at < to; at += 1 + mm_lot_entries(lots, at + 1))
    if (lots[at + 1].qty == 0)
      lots[lots[at].qty - 1].price -= lots[at].price;
}

/* Copy what is open to `out`, which may be where the queue begins; returns how many entries it takes. */
MM_COLD int64_t mm_named_flatten(const mm_position *p, const mm_lot *lots, mm_lot *out) {
  int64_t to = 0;
  for (int64_t at = p->lots_head; at < p->lots_tail;) {
    const int64_t entries = 1 + mm_lot_entries(lots, at + 1);
    if (mm_named_left(lots, at + 1) > 0) {
      if (out)
        memmove(&out[to], &lots[at], (size_t)entries * sizeof *out);
      to += entries;
    }
    at += entries;
  }
  return to;
}

/* Move the open lots to the front of the queue. Copies of the struct made before no longer undo. */
static inline void mm_position_compact(mm_position *p, mm_lot *lots) {
  int64_t n = p->lots_tail - p->lots_head;
  if (n > 0 && (p->flags & MM_STACK)) {
    mm_stack_compact(p, lots);
    return;
  }
  if (p->flags & MM_NAMED)
    n = mm_named_flatten(p, lots, lots);
  else if (n > 0)
    memmove(lots, lots + p->lots_head, (size_t)n * sizeof *lots);
  p->lots_head = 0;
  p->lots_tail = n;
}

/* 1e-9 tick*lot. */
static inline mm_i128 mm_position_realised(const mm_position *p) {
  return mm_i128_add(mm_i128_scale(p->cash, MM_COST_SCALE), p->cost);
}

/* 1e-9 tick*lot; MM_UNKNOWN for an open position that was never marked. */
static inline int mm_position_unrealised(const mm_position *p, mm_i128 *out) {
  if (!(p->flags & MM_HAS_MARK) && p->net != 0)
    return MM_UNKNOWN;
  *out = mm_i128_sub(mm_i128_scale(mm_i128_mul(p->net, p->mark), MM_COST_SCALE), p->cost);
  return MM_OK;
}

/* Realised and unrealised profit, fees apart: tick*lot, the nearest double. NaN for an open position that was
 * never marked. */
static inline double mm_position_profit(const mm_position *p) {
  if (!(p->flags & MM_HAS_MARK) && p->net != 0)
    return (double)NAN;
  return mm_i128_to_double(mm_i128_add(p->cash, mm_i128_mul(p->net, p->mark)));
}

/* ---- fees ---- */

/* Fee of one fill as a rate of its notional: |qty * price| * num / den, rounded half to even to currency
 * units. num / den (den > 0) is rate * (currency per tick*lot) / (currency unit); a rebate has num < 0. */
static inline int mm_notional_fee(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee) {
  mm_i128 notional, result;
  if (den <= 0)
    return MM_INVALID;
  notional = mm_i128_mul(qty, price);
  if (mm_i128_negative(notional))
    notional = mm_i128_neg(notional);
  return mm_i128_muldiv(notional, num, den, &result) || mm_i128_to_i64(result, fee) ? MM_OVERFLOW : MM_OK;
}

/* ---- known ids: open addressing over the history ---- */

static inline int mm_fill_has_id(const mm_fill *f) {
  uint64_t w[2];
  memcpy(w, f->id, sizeof w);
  return (w[0] | w[1]) != 0;
}

/* Ids are unique per instrument and side. */
static inline uint64_t mm_fill_hash(const mm_fill *f, int32_t instrument) {
  uint64_t w[2], hi, lo;
  memcpy(w, f->id, sizeof w);
  mm_mul_u64(w[0] ^ 0x9e3779b97f4a7c15u,
             w[1] ^ 0xd1b54a32d192ed03u ^ ((uint64_t)(uint32_t)instrument << 1) ^ (uint64_t)(f->qty < 0), &hi,
             &lo);
  lo ^= hi;
  lo *= 0xff51afd7ed558ccdu;
  return lo ^ (lo >> 32);
}

/* A fill is the same one whether it was booked at once or suspended first. */
static inline int mm_fill_class(int kind) {
  return kind == MM_SUSPEND || kind == MM_RELEASE ? MM_NEW : kind;
}

/* Is the target part of what a record says? That of a bust or a correction is where there is no id of the
 * fill in the reference. */
static inline int mm_fill_names_target(const mm_fill *f) {
  uint64_t w[2];
  memcpy(w, f->reference, sizeof w);
  return f->kind == MM_CONVERT || ((f->kind == MM_BUST || f->kind == MM_CORRECT) && (w[0] | w[1]) == 0);
}

/* Of two records with one key: all else, but when and how often it reached us. `own` is the instrument's
 * currency, -1 where it is unknown: a fill that was suspended before that was known may name it. In the
 * reference of an unknown instrument is its name. */
static inline int mm_fill_same_content(const mm_fill *a, const mm_fill *b, int32_t own) {
  const int same_currency =
      a->fee_currency == b->fee_currency || ((a->fee_currency == own || a->fee_currency == -1) &&
                                             (b->fee_currency == own || b->fee_currency == -1));
  return a->time == b->time && a->qty == b->qty && a->price == b->price && a->fee == b->fee &&
         a->order_id == b->order_id && same_currency && a->liquidity == b->liquidity &&
         (((a->instrument < 0 || b->instrument < 0) && mm_fill_class(a->kind) == MM_NEW) ||
          !memcmp(a->reference, b->reference, sizeof a->reference)) &&
         (!mm_fill_names_target(a) || a->target == b->target);
}

/* ---- many positions ---- */

/* Views of the caller's memory. Without history (history == NULL) no ids are known and a fill that carries
 * one is refused. `pools` holds what was paid in currencies other than the instrument's own: pools[instrument
 * * n_currencies + currency]. */
typedef struct mm_book {
  mm_position *positions;
  mm_lot **lots;          /* per instrument; entries NULL under average cost */
  int64_t *lots_capacity; /* per instrument */
  mm_i128 *pools;
  const int16_t *currency; /* per instrument: index of its own */
  int32_t n_instruments, n_currencies;
  mm_fill *history;
  int64_t n_history, history_capacity;
  int64_t *slots;
  int64_t n_slots;
  int64_t ids_window; /* ids are known while less than so many records old; 0: always */
  int64_t ids_from;   /* the slots hold ids of records from here on */
  const char *names;  /* MM_NAME bytes per instrument, zeros for none; or NULL: see mm_fill_instrument */
} mm_book;

/* The name of a record's unknown instrument: it is in the reference, of a bust in that of what it busts. */
static inline const char *mm_fill_name(const mm_book *book, const mm_fill *f) {
  return f->kind == MM_BUST ? book->history[f->target - 1].reference : f->reference;
}

/* The instrument of a record: of one that names an unknown one, that of the name as soon as the book has it;
 * or -1. When there is a new name: mm_book_named. */
static inline int32_t mm_fill_instrument(const mm_book *book, const mm_fill *f) {
  const char *name;
  if (MM_LIKELY(f->instrument >= 0) || !book->names)
    return f->instrument < 0 ? -1 : f->instrument;
  name = mm_fill_name(book, f);
  for (int32_t i = 0; name[0] && i < book->n_instruments; ++i)
    if (!memcmp(&book->names[(int64_t)i * MM_NAME], name, MM_NAME))
      return i;
  return -1;
}

/* Is a record of the history one of this instrument, by its index or by its name? */
static inline int mm_fill_is_of(const mm_book *book, const mm_fill *known, const mm_fill *f,
                                int32_t instrument) {
  if (known->instrument >= 0)
    return known->instrument == instrument;
  return instrument < 0 ? !memcmp(mm_fill_name(book, known), mm_fill_name(book, f), MM_NAME)
                        : mm_fill_instrument(book, known) == instrument;
}

/* The slot that holds the fill's id, or the empty one where it belongs. Slots hold indices into the history,
 * -1 where empty; their number is a power of two and at least one is empty. */
static inline int64_t mm_ids_find(const mm_book *book, const mm_fill *f) {
  const int32_t instrument = mm_fill_instrument(book, f);
  const uint64_t mask = (uint64_t)book->n_slots - 1;
  uint64_t at = mm_fill_hash(f, instrument) & mask;
  for (; book->slots[at] >= 0; at = (at + 1) & mask) {
    const mm_fill *known = &book->history[book->slots[at]];
    if ((known->qty < 0) == (f->qty < 0) && !memcmp(known->id, f->id, sizeof f->id) &&
        mm_fill_class(known->kind) == mm_fill_class(f->kind) && mm_fill_is_of(book, known, f, instrument))
      break;
  }
  return (int64_t)at;
}

/* The record that this id is known from, or -1. */
static inline int64_t mm_ids_known(const mm_book *book, int64_t slot) {
  const int64_t at = book->slots[slot];
  return at >= 0 && book->ids_window && at < book->n_history - book->ids_window ? -1 : at;
}

/* Book one fill. The statuses of mm_position_fill, and MM_DUPLICATE, MM_CONFLICT, MM_UNSUPPORTED (other
 * kinds and positions: mm_ledger_record; an id without history), MM_UNKNOWN (instrument or currency),
 * MM_CAPACITY (history, ids). */
static inline int mm_book_fill(mm_book *book, const mm_fill *record) {
  mm_fill f = *record;
  mm_position *p;
  mm_i128 *pool = NULL, paid;
  int64_t slot = -1, fee;
  int status;

  if (f.instrument < 0 || f.instrument >= book->n_instruments)
    return MM_UNKNOWN;
  if (f.kind != MM_NEW)
    return f.kind > MM_NEW && f.kind < MM_KINDS ? MM_UNSUPPORTED : MM_INVALID;
  if (f.liquidity < MM_UNSPECIFIED || f.liquidity > MM_TAKER)
    return MM_INVALID;
  if (f.fee_currency == book->currency[f.instrument])
    f.fee_currency = -1;
  if (f.fee_currency < -1 || f.fee_currency >= book->n_currencies)
    return MM_UNKNOWN;
  if (mm_fill_has_id(&f)) {
    if (!book->history)
      return MM_UNSUPPORTED;
    slot = mm_ids_find(book, &f);
    if (mm_ids_known(book, slot) >= 0)
      return mm_fill_same_content(&book->history[book->slots[slot]], &f, book->currency[f.instrument])
                 ? MM_DUPLICATE
                 : MM_CONFLICT;
    if (2 * (book->n_history - book->ids_from + 1) > book->n_slots)
      return MM_CAPACITY;
  }
  if (book->history && book->n_history >= book->history_capacity)
    return MM_CAPACITY;
  fee = f.fee;
  if (f.fee_currency >= 0) {
    pool = &book->pools[(int64_t)f.instrument * book->n_currencies + f.fee_currency];
    if (mm_i128_add_checked(*pool, mm_i128_of(f.fee), &paid))
      return MM_OVERFLOW;
    fee = 0;
  }
  p = &book->positions[f.instrument];
  status =
      mm_position_fill(p, book->lots[f.instrument], book->lots_capacity[f.instrument], f.qty, f.price, fee);
  if (status != MM_OK)
    return status;
  if (pool)
    *pool = paid;
  if (book->history) {
    if (slot >= 0)
      book->slots[slot] = book->n_history;
    book->history[book->n_history++] = f;
  }
  return MM_OK;
}

/* Enter the ids of all records that the window reaches into the slots, which are at least twice as many. */
static inline void mm_ids_enter(mm_book *book) {
  memset(book->slots, 0xff, (size_t)book->n_slots * sizeof *book->slots);
  book->ids_from =
      book->ids_window && book->n_history > book->ids_window ? book->n_history - book->ids_window : 0;
  for (int64_t i = book->ids_from; i < book->n_history; i++)
    if (mm_fill_has_id(&book->history[i]))
      book->slots[mm_ids_find(book, &book->history[i])] = i;
}

/* Instrument i has a name now: find the records of that name by its index. */
static inline void mm_book_named(mm_book *book, int32_t i) {
  const char *name = &book->names[(int64_t)i * MM_NAME];
  for (int64_t k = book->ids_from; name[0] && k < book->n_history; k++)
    if (book->history[k].instrument < 0 && !memcmp(mm_fill_name(book, &book->history[k]), name, MM_NAME)) {
      mm_ids_enter(book);
      return;
    }
}

/* Take back everything after the first `n` records: `positions` and `pools` are copies made then. Ids leave
 * in the reverse of the order they came in, which empties exactly the slots they filled. Queues must not have
 * been compacted since. */
static inline void mm_book_undo(mm_book *book, int64_t n, const mm_position *positions,
                                const mm_i128 *pools) {
  int filled =
      book->ids_window == 0; /* slots that were empty: not with ids forgotten, or known from before */
  for (int64_t i = n; i < book->n_history; i++)
    filled &= book->history[i].kind != MM_RELEASE;
  while (filled && book->n_history > n) {
    const mm_fill *f = &book->history[book->n_history - 1];
    if (mm_fill_has_id(f))
      book->slots[mm_ids_find(book, f)] = -1;
    book->n_history--;
  }
  if (!filled) {
    book->n_history = n;
    mm_ids_enter(book);
  }
  for (int32_t i = 0; i < book->n_instruments; ++i)
    if (positions[i].flags & MM_NAMED)
      mm_lots_untake(book->lots[i], positions[i].lots_tail, book->positions[i].lots_tail);
  memcpy(book->positions, positions, (size_t)book->n_instruments * sizeof *positions);
  memcpy(book->pools, pools, (size_t)book->n_instruments * (size_t)book->n_currencies * sizeof *pools);
}

/* New, and its fee in the instrument's currency: with no id either, a fill of its position and nothing else.
 */
static inline int mm_fill_plain(const mm_fill *f, int16_t own) {
  return f->kind == MM_NEW && f->liquidity >= MM_UNSPECIFIED && f->liquidity <= MM_TAKER &&
         (f->fee_currency == -1 || f->fee_currency == own);
}

/* How many records from the first on, at most a block, are plain fills of one instrument without ids that the
 * history has room for. */
static inline int64_t mm_book_run(const mm_book *book, const mm_fill *records, int64_t n) {
  const size_t same = offsetof(mm_fill, target) - offsetof(mm_fill, instrument);
  const int32_t instrument = records->instrument;
  int64_t i = 0;
  if (instrument < 0 || instrument >= book->n_instruments ||
      !mm_fill_plain(records, book->currency[instrument]))
    return 0;
  if (n > MM_FILLS_BLOCK)
    n = MM_FILLS_BLOCK;
  if (book->history && n > book->history_capacity - book->n_history)
    n = book->history_capacity - book->n_history;
  while (i < n && !mm_fill_has_id(&records[i]) &&
         (MM_LIKELY(!memcmp(&records[i].instrument, &records->instrument, same)) ||
          (records[i].instrument == instrument && mm_fill_plain(&records[i], book->currency[instrument]))))
    ++i;
  return i;
}

/* Book the first run of records, or if there is none the first record, in order, a status for each. Returns
 * how many were read; only the last of them may be refused. */
static inline int64_t mm_book_advance(mm_book *book, const mm_fill *f, int64_t n, int8_t *status) {
  const int64_t run = mm_book_run(book, f, n);
  int64_t booked;
  int last;
  if (run == 0) {
    *status = (int8_t)mm_book_fill(book, f);
    return 1;
  }
  last = mm_position_fills(&book->positions[f->instrument], book->lots[f->instrument],
                           book->lots_capacity[f->instrument], run, &f->qty, &f->price, &f->fee, sizeof *f,
                           &booked);
  memset(status, MM_OK, (size_t)booked);
  if (book->history)
    for (int64_t k = 0; k < booked; ++k) {
      book->history[book->n_history] = f[k];
      book->history[book->n_history++].fee_currency = -1;
    }
  if (booked == run)
    return run;
  status[booked] = (int8_t)last;
  return booked + 1;
}

/* Book records in order, a status for each. With `stop`, ends at the first that is refused; returns how many
 * were read, that is n, or the index of the refused one. */
static inline int64_t mm_book_apply(mm_book *book, const mm_fill *records, int64_t n, int stop,
                                    int8_t *status) {
  for (int64_t i = 0; i < n; i++) {
    i += mm_book_advance(book, &records[i], n - i, &status[i]) - 1;
    if (stop && status[i] < 0)
      return i;
  }
  return n;
}

#ifdef __cplusplus
}
#endif

#endif
