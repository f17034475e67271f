/* mmcore/ledger.h - everything that changes a book, as records in one history.
 *
 * A book (book.h) takes fills. A ledger is a book and all else that happens to it: fills that never were
 * (busts) or were others (corrections), fills held in suspense until it is known what they belong to,
 * payments that are no trades, and lots that become other lots. Each is one more record of the same type; no
 * record is ever changed. Those in force make the state:
 *
 *   a busted fill counts as absent, a corrected one as its last correction, at its original place;
 *   a suspended fill counts for nothing, its release is a fill at the place of the release.
 *
 * So the state is always that of a new book to which the records in force are booked in order, bit for bit,
 * and a bust or a correction is that replay.
 *
 * Inverse contracts: a fill of n lots at p ticks is worth -n * scale / (per * p) units of cash, rounded once,
 * half to even; from there on all is exact, and the same as for linear ones. A unit of cash is 1e-9 of the
 * currency's unit.
 */
/* clang-format off */
/* Fields that are read beside those of a fill (`instrument` and `id` go without saying):
 *
 *   MM_BUST, MM_CORRECT        the fill is record number `target` of the history, from 1; or for target = 0
 *                              the one whose id is `reference`, on the side of qty (0: on either). A
 *                              correction has the content that the fill has from now on. By number,
 *                              payments and conversions are busted too
 *   MM_SUSPEND                 qty, price, fee as a fill; `reference` names an instrument that is unknown (< 0),
 *                              whose fill it is known to be as soon as `names` of the book has the name
 *   MM_RELEASE                 target: the number of the suspended record; instrument: where it belongs
 *   MM_FUNDING .. MM_IN_LIEU   fee: what is paid, > 0, or received, < 0; fee_currency
 *   MM_CONVERT                 qty new lots of instrument `target` for each price old ones of `instrument`
 *   MM_IDENTIFY                of the lot that record number `target` opened, or for target = 0 the open one
 *                              whose id is `reference`, the fill closes qty lots that these stand before: a
 *                              fill or a release of the instrument. They are booked with it, by the same call,
 *                              or not at all; what is not identified, FIFO closes. Only under MM_SPECIFIC,
 *                              and with a history
 */
/* clang-format on */
#ifndef MMCORE_LEDGER_H
#define MMCORE_LEDGER_H

#include "book.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_PLANES 5 /* pools for each pair of instrument and currency: fees, and payments by kind */

typedef struct mm_contract {
  mm_i128 scale; /* inverse: a lot at p ticks is worth -scale / (per * p) of cash; linear: neither is read */
  int64_t per;
  int64_t unit_num, unit_den; /* currency units in one unit of cash, in lowest terms */
  int64_t reserved;
} mm_contract;

typedef struct mm_amendment { /* what became of a record */
  int64_t target, by;         /* indices in the history */
} mm_amendment;

/* Views of the caller's memory around those of the book. The pools go on where the book's end:
 *
 *   pools[(plane * n_instruments + instrument) * n_currencies + currency], plane = kind - MM_FUNDING + 1,
 *   then for each instrument the cost that conversions took away less what they brought, 1e-9 of cash.
 *
 * mm_ledger_pools says how many there are. `trial` and `trial_pools` are room for as many positions and
 * pools. Queues of lots need room for what a replay appends; MM_CAPACITY leaves all as it was. */
typedef struct mm_ledger {
  mm_book *book;
  const mm_contract *contracts; /* per instrument */
  mm_amendment *amended;        /* by target; without history NULL */
  int64_t n_amended, amended_capacity;
  mm_position *trial;
  mm_i128 *trial_pools;
  int32_t suspends;  /* fills of unknown instruments are suspended, not refused */
  int32_t full;      /* after MM_CAPACITY: the instrument whose queue of lots was too small, or -1 */
  int64_t fault;     /* of a fill refused for one of the lots that it identifies: which, from 1; else 0 */
  int64_t converted; /* no record from here on is a conversion */
} mm_ledger;

static inline int64_t mm_ledger_pools(int32_t n_instruments, int32_t n_currencies) {
  return (int64_t)n_instruments * (MM_PLANES * (int64_t)n_currencies + 1);
}

static inline mm_i128 *mm_ledger_pool(const mm_book *book, int plane, int32_t instrument, int32_t currency) {
  return &book->pools[((int64_t)plane * book->n_instruments + instrument) * book->n_currencies + currency];
}

static inline mm_i128 *mm_ledger_carried(const mm_book *book, int32_t instrument) {
  return &book->pools[(int64_t)MM_PLANES * book->n_instruments * book->n_currencies + instrument];
}

/* ---- contracts ---- */

/* What qty lots at `price` cost, in cash. */
static inline int mm_contract_value(const mm_contract *c, int32_t flags, int64_t qty, int64_t price,
                                    mm_i128 *out) {
  mm_i128 divisor;
  int64_t d;
  if (!(flags & MM_INVERSE)) {
    *out = mm_i128_mul(qty, price);
    return MM_OK;
  }
  if (price <= 0)
    return MM_INVALID;
  divisor = mm_i128_mul(c->per, price);
  return mm_i128_to_i64(divisor, &d) || mm_i128_muldiv(mm_i128_neg(c->scale), qty, d, out) ? MM_OVERFLOW
                                                                                           : MM_OK;
}

/* The bounds of a mark: the value of the position fits. */
static inline int mm_contract_mark_fits(const mm_contract *c, int32_t flags, int64_t net, int64_t mark) {
  mm_i128 value;
  return mm_contract_value(c, flags, net, mark, &value) == MM_OK && mm_value_fits(value);
}

static inline int mm_contract_mark(mm_position *p, const mm_contract *c, int64_t mark) {
  if (!(p->flags & MM_INVERSE))
    return mm_position_mark(p, mark);
  if (mark <= 0)
    return MM_INVALID;
  if (!mm_contract_mark_fits(c, p->flags, p->net, mark))
    return MM_OVERFLOW;
  p->mark = mark;
  p->flags |= MM_HAS_MARK;
  return MM_OK;
}

/* 1e-9 of cash; MM_UNKNOWN for an open position that was never marked. */
static inline int mm_contract_unrealised(const mm_position *p, const mm_contract *c, mm_i128 *out) {
  mm_i128 value = mm_i128_of(0);
  if (!(p->flags & MM_INVERSE))
    return mm_position_unrealised(p, out);
  if (!(p->flags & MM_HAS_MARK) && p->net != 0)
    return MM_UNKNOWN;
  if (p->net != 0)
    mm_contract_value(c, p->flags, p->net, p->mark, &value); /* it fitted when it was marked and filled */
  *out = mm_i128_sub(mm_i128_scale(value, MM_COST_SCALE), p->cost);
  return MM_OK;
}

static inline int mm_price_sound(const mm_position *p, int64_t price) {
  return price != INT64_MIN && (price > 0 || (p->flags & MM_NEGATIVE_PRICES));
}

/* ---- lots whose price is not all there is to them ---- */

/* The cost of the lot at `at`, 1e-9 of cash, signed; returns how many entries the lot takes. */
static inline int64_t mm_lot_cost(const mm_contract *c, int32_t flags, const mm_lot *lots, int64_t at,
                                  mm_i128 *cost) {
  if (lots[at].price == MM_NO_PRICE) {
    memcpy(cost, &lots[at + 1], sizeof *cost);
    return 2;
  }
  mm_contract_value(c, flags, lots[at].qty, lots[at].price, cost); /* it did when it was pushed */
  *cost = mm_i128_scale(*cost, MM_COST_SCALE);
  return 1;
}

/* What the first `used` lots of a lot of `size` cost: rounded half to even, a function of the lot alone, so
 * that the parts of a lot add up to it whatever they are. */
static inline mm_i128 mm_lot_part(mm_i128 cost, int64_t used, int64_t size) {
  mm_i128 part = cost;
  if (used < size)
    mm_i128_muldiv(cost, used, size, &part); /* less than the whole */
  return part;
}

/* Under LIFO the queue is a stack. Its entries do not change either, so that a copy of the cursors undoes:
 * each lot stands behind an entry with the cursors as they were before it, .qty the lot that is below it, or
 * -1, and .price how much of that one was used. lots_head is the lot at the top, lots_used what of it is
 * used; lots_head == lots_tail: none. What lies between is garbage until the queue is compacted. */
static inline void mm_stack_link(mm_lot *lots, int64_t *head, int64_t *tail, int64_t *used) {
  lots[*tail].qty = *head < *tail ? *head : -1;
  lots[*tail].price = *used;
  *head = ++*tail;
  *used = 0;
}

static inline void mm_named_open(mm_lot *lots, int64_t row, int64_t *tail) {
  lots[*tail].qty = row;
  lots[*tail].price = 0;
  ++*tail;
}

/* Write the entries of the open lots, oldest first, as mm_position_compact would leave them, and move the
 * cursors; where `out` is NULL only the cursors: lots_tail is how many there are. */
static inline void mm_lots_flatten(mm_position *p, const mm_lot *lots, mm_lot *out) {
  const int64_t head = p->lots_head, n = p->lots_tail - head;
  int64_t end = 0;
  if (n == 0 || !(p->flags & MM_STACK)) {
    if (out && n > 0 && !(p->flags & MM_NAMED))
      memcpy(out, lots + head, (size_t)n * sizeof *out);
    p->lots_tail = p->flags & MM_NAMED ? mm_named_flatten(p, lots, out) : n;
    p->lots_head = 0;
    return;
  }
  for (int64_t at = head; at >= 0; at = lots[at - 1].qty)
    end += 1 + mm_lot_entries(lots, at);
  p->lots_head = end - mm_lot_entries(lots, head);
  p->lots_tail = end;
  for (int64_t at = head; out && at >= 0; at = lots[at - 1].qty) {
    const int64_t entries = mm_lot_entries(lots, at);
    const mm_lot link = lots[at - 1];
    end -= entries;
    memcpy(&out[end], &lots[at], (size_t)entries * sizeof *out);
    end--;
    out[end].qty = link.qty < 0 ? -1 : end - mm_lot_entries(lots, link.qty);
    out[end].price = link.price;
  }
}

/* Lots of a stack, and those that have names, are one entry apart. */
static inline int mm_lots_apart(int32_t flags) {
  return (flags & (MM_STACK | MM_NAMED)) != 0;
}

/* How much of the lot at `at` is used, in a queue whose open lots follow each other, oldest first: a FIFO
 * queue, one whose lots have names, or a stack made flat. */
static inline int64_t mm_lot_used(const mm_position *p, const mm_lot *lots, int64_t at) {
  const int64_t next = at + mm_lot_entries(lots, at);
  if (p->flags & MM_NAMED)
    return lots[at - 1].price;
  if (p->flags & MM_STACK)
    return next < p->lots_tail ? lots[next].price : p->lots_used;
  return at == p->lots_head ? p->lots_used : 0;
}

/* mm_lots_release for any queue or stack, in 1e-9 of cash. */
static inline int mm_lots_release_cost(const mm_contract *c, int32_t flags, const mm_lot *lots,
                                       int64_t closed, int64_t *head, int64_t *used, mm_i128 *released) {
  *released = mm_i128_of(0);
  while (closed > 0) {
    mm_i128 cost, part;
    const int64_t entries = mm_lot_cost(c, flags, lots, *head, &cost);
    const int64_t size = lots[*head].qty < 0 ? -lots[*head].qty : lots[*head].qty;
    const int64_t left = size - *used;
    const int64_t take = left < closed ? left : closed;
    part = mm_i128_sub(mm_lot_part(cost, *used + take, size), mm_lot_part(cost, *used, size));
    if (mm_i128_add_checked(*released, part, released))
      return MM_OVERFLOW;
    closed -= take;
    *used += take;
    if (take == left) {
      *used = flags & MM_STACK ? lots[*head - 1].price : 0;
      *head = flags & MM_STACK ? lots[*head - 1].qty : *head + entries;
    }
  }
  return mm_cost_fits(*released) ? MM_OK : MM_OVERFLOW;
}

/* The lot that a record opened, or -1. */
static inline int64_t mm_named_find(const mm_position *p, const mm_lot *lots, int64_t row) {
  for (int64_t at = p->lots_head + 1; at < p->lots_tail; at += 1 + mm_lot_entries(lots, at))
    if (lots[at - 1].qty == row && mm_named_left(lots, at) > 0)
      return at;
  return -1;
}

/* What `take` lots of a lot that has a name cost, added to *released. */
static inline int mm_named_release(const mm_contract *c, int32_t flags, const mm_lot *lots, int64_t at,
                                   int64_t take, mm_i128 *released) {
  const int64_t size = (int64_t)mm_abs_i64(lots[at].qty), used = lots[at - 1].price;
  mm_i128 cost, part;
  mm_lot_cost(c, flags, lots, at, &cost);
  part = mm_i128_sub(mm_lot_part(cost, used + take, size), mm_lot_part(cost, used, size));
  return mm_i128_add_checked(*released, part, released) ? MM_OVERFLOW : MM_OK;
}

/* The same, and write it down. */
static inline int mm_named_take(const mm_contract *c, int32_t flags, mm_lot *lots, int64_t capacity,
                                int64_t at, int64_t take, int64_t *tail, mm_i128 *released) {
  const int status = mm_named_release(c, flags, lots, at, take, released);
  if (status != MM_OK)
    return status;
  if (*tail + 1 >= capacity)
    return MM_CAPACITY;
  lots[*tail].qty = at;
  lots[*tail].price = take;
  lots[*tail + 1].qty = lots[*tail + 1].price = 0;
  lots[at - 1].price += take;
  *tail += 2;
  return MM_OK;
}

/* Where a fill stands in the history, and the lots that it identifies: MM_IDENTIFY records. */
typedef struct mm_place {
  int64_t row, n;
  const mm_fill *lots;
} mm_place;

/* How much of an identified lot a fill that closes `closing` lots can still close; *at is the lot. */
static inline int64_t mm_named_reach(const mm_position *p, const mm_lot *lots, const mm_fill *name,
                                     int64_t closing, int64_t *at) {
  int64_t reach = name->qty < closing ? name->qty : closing;
  *at = reach > 0 ? mm_named_find(p, lots, name->target - 1) : -1;
  if (*at < 0)
    return 0;
  return reach < mm_named_left(lots, *at) ? reach : mm_named_left(lots, *at);
}

/* Of `closing` lots close those that are identified, then the oldest. A status below 0 leaves all as it was.
 */
static inline int mm_named_close(const mm_position *p, const mm_contract *c, mm_lot *lots, int64_t capacity,
                                 int64_t closing, const mm_place *place, int64_t *head, int64_t *tail,
                                 mm_i128 *released) {
  const int64_t before = *tail;
  int status = MM_OK;
  *released = mm_i128_of(0);
  for (int64_t k = 0; k < place->n && status == MM_OK; ++k) {
    int64_t at;
    const int64_t take = mm_named_reach(p, lots, &place->lots[k], closing, &at);
    if (take > 0)
      status = mm_named_take(c, p->flags, lots, capacity, at, take, tail, released);
    closing -= take;
  }
  while (closing > 0 && status == MM_OK) {
    const int64_t at = *head + 1, left = mm_named_left(lots, at);
    if (left <= closing) {
      status = left > 0 ? mm_named_release(c, p->flags, lots, at, left, released) : MM_OK;
      closing -= left;
      *head = at + mm_lot_entries(lots, at);
    } else {
      status = mm_named_take(c, p->flags, lots, capacity, at, closing, tail, released);
      closing = 0;
    }
  }
  if (status == MM_OK && !mm_cost_fits(*released))
    status = MM_OVERFLOW;
  if (status != MM_OK)
    mm_lots_untake(lots, before, *tail);
  return status;
}

/* Add to *unmet how many of the lots that a fill identifies it cannot close; 1 beyond int64. */
static inline int mm_named_unmet(const mm_position *p, const mm_lot *lots, int64_t closing,
                                 const mm_place *place, int64_t *unmet) {
  for (int64_t k = 0; k < place->n; ++k) {
    int64_t at;
    const int64_t reach = mm_named_reach(p, lots, &place->lots[k], closing, &at);
    closing -= reach;
    if (mm_add_i64(*unmet, place->lots[k].qty - reach, unmet))
      return 1;
  }
  return 0;
}

/* Append a lot, which record `row` opened: at a price where its cost is one, else with the cost. */
static inline int mm_lots_push(mm_position *p, mm_lot *lots, int64_t capacity, int64_t row, int64_t qty,
                               mm_i128 cost) {
  const int apart = mm_lots_apart(p->flags);
  uint64_t scale_rest, rest = 0;
  int64_t price;
  mm_i128 each = mm_i128_divide(cost, MM_COST_SCALE, &scale_rest);
  each = mm_i128_divide(qty < 0 ? mm_i128_neg(each) : each, mm_abs_i64(qty), &rest);
  if (p->lots_tail + 1 + apart >= capacity)
    return MM_CAPACITY;
  if (p->flags & MM_STACK)
    mm_stack_link(lots, &p->lots_head, &p->lots_tail, &p->lots_used);
  if (p->flags & MM_NAMED)
    mm_named_open(lots, row, &p->lots_tail);
  lots[p->lots_tail].qty = qty;
  if (!(p->flags & MM_INVERSE) && scale_rest == 0 && rest == 0 && !mm_i128_to_i64(each, &price) &&
      mm_price_sound(p, price)) {
    lots[p->lots_tail++].price = price;
    return MM_OK;
  }
  lots[p->lots_tail++].price = MM_NO_PRICE;
  memcpy(&lots[p->lots_tail++], &cost, sizeof cost);
  p->flags |= MM_COSTED;
  return MM_OK;
}

/* ---- effects of single records ---- */

static inline int mm_contract_totals(const mm_position *p, const mm_contract *c, int64_t qty, int64_t price,
                                     int64_t fee, mm_totals *t) {
  mm_i128 value;
  int status;
  if (qty == 0 || (price <= 0 && !(p->flags & MM_NEGATIVE_PRICES)))
    return MM_INVALID;
  if (price == INT64_MIN)
    return MM_OVERFLOW;
  status = mm_contract_value(c, p->flags, qty, price, &value);
  if (status != MM_OK)
    return status;
  return mm_totals_lots(p, qty, fee, t) && mm_totals_cash(p, value, t) &&
                 (!(p->flags & MM_HAS_MARK) || mm_contract_mark_fits(c, p->flags, t->net, p->mark))
             ? MM_OK
             : MM_OVERFLOW;
}

/* mm_position_fill for any position: inverse contracts, queues of lots with costs or names, stacks. */
static inline int mm_contract_fill(mm_position *p, const mm_contract *c, mm_lot *lots, int64_t capacity,
                                   const mm_place *place, int64_t qty, int64_t price, int64_t fee) {
  const int64_t old = p->net, closing = old == 0 || (old ^ qty) >= 0 ? 0 : (int64_t)mm_abs_i64(qty);
  int64_t head = p->lots_head, tail = p->lots_tail, used = p->lots_used, opened = 0, unmet = used;
  int32_t flags = p->flags;
  mm_totals t;
  mm_i128 cost = mm_i128_of(0), released;
  int status = mm_contract_totals(p, c, qty, price, fee, &t);
  if (status != MM_OK)
    return status;
  if (mm_named_unmet(p, lots, closing, place, &unmet))
    return MM_OVERFLOW;
  if (closing == 0) {
    opened = qty;
    cost = mm_i128_add(p->cost, mm_i128_scale(t.value, MM_COST_SCALE));
  } else if (t.net == 0 || (old ^ t.net) < 0) { /* the rest opens, for what it would have cost alone */
    opened = t.net;
    if (opened != 0) {
      mm_i128 value;
      status = mm_contract_value(c, p->flags, opened, price, &value);
      if (status != MM_OK)
        return status;
      cost = mm_i128_scale(value, MM_COST_SCALE);
    }
    head = tail;
    used = 0;
    flags &= ~MM_COSTED;
  } else {
    if (p->method == MM_AVERAGE)
      status = mm_i128_muldiv(p->cost, closing, (int64_t)mm_abs_i64(old), &released) ? MM_OVERFLOW : MM_OK;
    else if (flags & MM_NAMED)
      status = mm_named_close(p, c, lots, capacity, closing, place, &head, &tail, &released);
    else
      status = mm_lots_release_cost(c, p->flags, lots, closing, &head, &used, &released);
    if (status != MM_OK)
      return status;
    cost = mm_i128_sub(p->cost, released);
  }
  if (!mm_cost_fits(cost)) {
    mm_lots_untake(lots, p->lots_tail, tail);
    return MM_OVERFLOW;
  }
  if (p->method != MM_AVERAGE) {
    if (opened != 0) {
      if (tail + mm_lots_apart(flags) >= capacity)
        return MM_CAPACITY;
      if (flags & MM_STACK)
        mm_stack_link(lots, &head, &tail, &used);
      if (flags & MM_NAMED)
        mm_named_open(lots, place->row, &tail);
      lots[tail].qty = opened;
      lots[tail].price = price;
      tail++;
    }
    p->lots_head = head;
    p->lots_tail = tail;
    p->lots_used = flags & MM_NAMED ? unmet : used;
  }
  p->flags = flags;
  mm_position_commit(p, &t, cost, 1);
  return MM_OK;
}

/* The lots that the fill of a row identifies are the records before it. */
static inline mm_place mm_ledger_place(const mm_book *book, int64_t row) {
  mm_place place;
  place.row = row;
  place.n = 0;
  while (book->history && place.n < row && book->history[row - 1 - place.n].kind == MM_IDENTIFY)
    place.n++;
  place.lots = place.n ? &book->history[row - place.n] : NULL;
  return place;
}

static inline int mm_ledger_fill(mm_ledger *l, const mm_fill *f, int64_t row) {
  const mm_book *book = l->book;
  const int32_t i = f->instrument;
  mm_position *p = &book->positions[i];
  mm_i128 *pool = NULL, paid;
  const int64_t fee = f->fee_currency < 0 ? f->fee : 0;
  int status;
  if (f->fee_currency >= 0) {
    pool = mm_ledger_pool(book, 0, i, f->fee_currency);
    if (mm_i128_add_checked(*pool, mm_i128_of(f->fee), &paid))
      return MM_OVERFLOW;
  }
  if ((p->flags & MM_NAMED) && !book->history)
    return MM_UNSUPPORTED;
  if (p->flags & MM_SPECIAL) {
    const mm_place place = mm_ledger_place(book, row);
    status = mm_contract_fill(p, &l->contracts[i], book->lots[i], book->lots_capacity[i], &place, f->qty,
                              f->price, fee);
  } else {
    status = mm_position_fill(p, book->lots[i], book->lots_capacity[i], f->qty, f->price, fee);
  }
  if (status == MM_OK && pool)
    *pool = paid;
  if (status == MM_CAPACITY)
    l->full = i;
  return status;
}

static inline int mm_ledger_pay(const mm_ledger *l, const mm_fill *f) {
  const mm_book *book = l->book;
  const int32_t currency = f->fee_currency < 0 ? book->currency[f->instrument] : f->fee_currency;
  mm_i128 *pool = mm_ledger_pool(book, f->kind - MM_FUNDING + 1, f->instrument, currency);
  return mm_i128_add_checked(*pool, mm_i128_of(f->fee), pool) ? MM_OVERFLOW : MM_OK;
}

static inline uint64_t mm_gcd(uint64_t a, uint64_t b) {
  while (b) {
    const uint64_t r = a % b;
    a = b;
    b = r;
  }
  return a;
}

/* Units of cash of b in one of a, in lowest terms. */
static inline int mm_contract_ratio(const mm_contract *a, const mm_contract *b, int64_t *num, int64_t *den) {
  const int64_t n = (int64_t)mm_gcd((uint64_t)a->unit_num, (uint64_t)b->unit_num);
  const int64_t d = (int64_t)mm_gcd((uint64_t)a->unit_den, (uint64_t)b->unit_den);
  return mm_i128_to_i64(mm_i128_mul(a->unit_num / n, b->unit_den / d), num) ||
         mm_i128_to_i64(mm_i128_mul(a->unit_den / d, b->unit_num / n), den);
}

/* floor(a * num / den) for a >= 0; 1 beyond int64. */
static inline int mm_scaled(int64_t a, int64_t num, int64_t den, int64_t *out) {
  uint64_t hi, lo, rest, q;
  mm_mul_u64((uint64_t)a, (uint64_t)num, &hi, &lo);
  if (hi >= (uint64_t)den)
    return 1;
  q = mm_div_u128(hi, lo, (uint64_t)den, &rest);
  if (q > INT64_MAX)
    return 1;
  *out = (int64_t)q;
  return 0;
}

/* Lots that came in (> 0) or went (< 0) otherwise than by a fill. */
static inline int mm_position_moved(mm_position *p, int64_t lots) {
  return mm_add_i64(p->net, lots, &p->net) || p->net == INT64_MIN ||
         (lots > 0 ? mm_add_i64(p->bought, lots, &p->bought) : mm_add_i64(p->sold, -lots, &p->sold));
}

/* Price open lots of one instrument become qty of another. Whole lots are dealt by cumulated sums, oldest
 * first, so that their number is what is due to all of them; a lot too small for one joins the one before it,
 * or at the front the next, and what is beyond the last whole one is settled by a payment in lieu. A lot
 * keeps the name of the oldest in it. Costs go along unchanged; only what is no whole number of the other's
 * units stays behind, as a result. */
static inline int mm_ledger_convert(mm_ledger *l, const mm_fill *f) {
  const mm_book *book = l->book;
  const int32_t i = f->instrument;
  const int32_t j = (int32_t)f->target;
  mm_position from = book->positions[i], to, *a = &book->positions[i], *b = &book->positions[j];
  mm_i128 left, right, moved, brought;
  uint64_t rest;
  int64_t num = 1, den = 1, lots;
  const int same = i == j;
  const int sign = a->net < 0 ? -1 : 1;
  if (f->qty <= 0 || f->price <= 0 || book->currency[i] != book->currency[j] ||
      ((a->flags ^ b->flags) & (MM_INVERSE | MM_NEGATIVE_PRICES | MM_NAMED)))
    return MM_INVALID;
  if (mm_scaled(a->net < 0 ? -a->net : a->net, f->qty, f->price, &lots) ||
      (!same && mm_contract_ratio(&l->contracts[i], &l->contracts[j], &num, &den)))
    return MM_OVERFLOW;
  if (a->net && b->net && (a->net < 0) != (b->net < 0))
    return MM_INVALID;
  brought = mm_i128_of(0);
  moved = mm_i128_of(0);
  if (lots) {
    brought = mm_i128_divide(a->cost, (uint64_t)den, &rest);
    moved = mm_i128_scale(brought, den);
    if (mm_i128_scale_checked(brought, num, &brought))
      return MM_OVERFLOW;
  }
  const int stacked = (a->flags & MM_STACK) != 0;
  mm_position flat = *a;
  const mm_lot *queue = book->lots[i];
  if (stacked && lots) { /* a copy behind the stack: nothing that a copy of the cursors needs may change */
    mm_lots_flatten(&flat, queue, NULL);
    if (from.lots_tail + flat.lots_tail > book->lots_capacity[i]) {
      l->full = i;
      return MM_CAPACITY;
    }
    flat = *a;
    mm_lots_flatten(&flat, queue, book->lots[i] + from.lots_tail);
    queue += from.lots_tail;
    from.lots_tail += flat.lots_tail;
  }
  from.cost = mm_i128_of(0);
  from.lots_head = from.lots_tail;
  from.lots_used = a->flags & MM_NAMED ? a->lots_used : 0;
  from.flags &= ~(MM_COSTED | MM_HAS_MARK); /* a mark was for the old lots */
  from.mark = 0;
  if (same) { /* only the difference came or went */
    if (mm_position_moved(&from, sign * lots - a->net))
      return MM_OVERFLOW;
    to = from;
  } else {
    to = *b;
    if (mm_position_moved(&from, -a->net) || mm_position_moved(&to, sign * lots))
      return MM_OVERFLOW;
  }
  if (mm_i128_add_checked(to.cost, brought, &to.cost) || !mm_cost_fits(to.cost) ||
      ((to.flags & MM_HAS_MARK) && !mm_contract_mark_fits(&l->contracts[j], to.flags, to.net, to.mark)))
    return MM_OVERFLOW;
  if (!same && (mm_i128_add_checked(*mm_ledger_carried(book, i), moved, &left) ||
                mm_i128_add_checked(*mm_ledger_carried(book, j), mm_i128_neg(brought), &right)))
    return MM_OVERFLOW;
  if (a->method != MM_AVERAGE && lots) {
    mm_i128 sum = mm_i128_of(0), given = mm_i128_of(0), due, pending = mm_i128_of(0), cost;
    const int apart = mm_lots_apart(a->flags);
    int64_t held = 0, dealt = 0, open = 0, oldest = -1;
    for (int64_t at = apart + (stacked ? 0 : flat.lots_head); at < flat.lots_tail;) {
      const int64_t size = queue[at].qty < 0 ? -queue[at].qty : queue[at].qty;
      const int64_t used = mm_lot_used(&flat, queue, at);
      int64_t whole = lots;
      if (size == used || size == 0) { /* closed, by its name, or says what is */
        at += mm_lot_entries(queue, at) + apart;
        continue;
      }
      const int64_t entries = mm_lot_cost(&l->contracts[i], a->flags, queue, at, &cost);
      if (mm_i128_add_checked(sum, mm_i128_sub(cost, mm_lot_part(cost, used, size)), &sum))
        return MM_OVERFLOW;
      held += size - used;
      mm_scaled(held, f->qty, f->price, &whole); /* at most `lots` */
      due = mm_i128_divide(sum, (uint64_t)den, &rest);
      if (mm_i128_scale_checked(due, num, &due) || !mm_cost_fits(due))
        return MM_OVERFLOW; /* with prices of both signs a part of a pool can be larger than the pool */
      if (whole > dealt && open > 0) { /* the lot before gets no more */
        if (!mm_cost_fits(pending))
          return MM_OVERFLOW;
        if (mm_lots_push(&to, book->lots[j], book->lots_capacity[j], oldest, sign * open, pending) != MM_OK) {
          l->full = j;
          return MM_CAPACITY;
        }
        pending = mm_i128_of(0);
        open = 0;
        oldest = -1;
      }
      if (apart && oldest < 0)
        oldest = queue[at - 1].qty; /* the record that opened it; no matter in a stack */
      pending = mm_i128_add(pending, mm_i128_sub(due, given));
      open += whole - dealt;
      given = due;
      dealt = whole;
      at += entries + apart;
    }
    if (!mm_cost_fits(pending))
      return MM_OVERFLOW;
    if (mm_lots_push(&to, book->lots[j], book->lots_capacity[j], oldest, sign * open, pending) != MM_OK) {
      l->full = j;
      return MM_CAPACITY;
    }
  }
  *a = from;
  *b = to;
  if (!same) {
    *mm_ledger_carried(book, i) = left;
    *mm_ledger_carried(book, j) = right;
  }
  return MM_OK;
}

/* What a record does to positions and pools where it stands, which is `row`; MM_CORRECT: in the place of what
 * it corrects. */
static inline int mm_ledger_effect(mm_ledger *l, const mm_fill *f, int64_t row) {
  switch (f->kind) {
  case MM_NEW:
  case MM_CORRECT:
  case MM_RELEASE:
    return mm_ledger_fill(l, f, row);
  case MM_FUNDING:
  case MM_BORROW:
  case MM_DIVIDEND:
  case MM_IN_LIEU:
    return mm_ledger_pay(l, f);
  case MM_CONVERT:
    return mm_ledger_convert(l, f);
  default:
    return MM_OK;
  }
}

/* ---- what is in force ---- */

/* The first amendment of a record at or after `target`. */
static inline int64_t mm_ledger_seek(const mm_ledger *l, int64_t target) {
  int64_t low = 0, high = l->n_amended;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (l->amended[middle].target < target)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

/* The record that says what became of record `row`: itself, a bust, a correction, a release. */
static inline int64_t mm_ledger_in_force(const mm_ledger *l, int64_t row) {
  const int64_t at = mm_ledger_seek(l, row);
  return at < l->n_amended && l->amended[at].target == row ? l->amended[at].by : row;
}

static inline void mm_ledger_restore(mm_ledger *l, int64_t target) { /* nothing became of it */
  const int64_t at = mm_ledger_seek(l, target);
  if (at < l->n_amended && l->amended[at].target == target) {
    l->n_amended--;
    memmove(&l->amended[at], &l->amended[at + 1], (size_t)(l->n_amended - at) * sizeof *l->amended);
  }
}

/* A busted release counts as absent: its fill is in suspense again. */
static inline void mm_ledger_amend(mm_ledger *l, int64_t target, int64_t by) {
  const mm_fill *old = &l->book->history[target];
  int64_t at;
  if (old->kind == MM_RELEASE && l->book->history[by].kind == MM_BUST)
    mm_ledger_restore(l, old->target - 1);
  at = mm_ledger_seek(l, target);
  if (at == l->n_amended || l->amended[at].target != target) {
    memmove(&l->amended[at + 1], &l->amended[at], (size_t)(l->n_amended - at) * sizeof *l->amended);
    l->n_amended++;
    l->amended[at].target = target;
  }
  l->amended[at].by = by;
}

/* The last correction before record k of the fill of a row; -1: there is none. */
static inline int64_t mm_ledger_correction(const mm_fill *history, int64_t row, int64_t k) {
  while (--k > row)
    if (history[k].kind == MM_CORRECT && history[k].target == row + 1)
      return k;
  return -1;
}

/* Is a correction, with all that it leaves out filled in, the one of row k again? */
static inline int mm_ledger_corrects_as(const mm_fill *f, const mm_fill *known) {
  return known->qty == f->qty && known->price == f->price && known->fee == f->fee &&
         known->fee_currency == f->fee_currency && known->time == f->time &&
         known->liquidity == f->liquidity && known->order_id == f->order_id &&
         !memcmp(known->id, f->id, sizeof f->id);
}

/* Does a record of this kind say what became of another? */
static inline int mm_kind_amends(int kind) {
  return kind == MM_BUST || kind == MM_CORRECT || kind == MM_RELEASE;
}

/* Find all amendments, and the last conversion, anew: after some were taken back. */
static inline void mm_ledger_find_amended(mm_ledger *l) {
  l->n_amended = l->converted = 0;
  for (int64_t i = 0; i < l->book->n_history; ++i) {
    const mm_fill *f = &l->book->history[i];
    if (mm_kind_amends(f->kind))
      mm_ledger_amend(l, f->target - 1, i);
    if (f->kind == MM_CONVERT)
      l->converted = i + 1;
  }
}

/* Replay what is in force of the first n records into positions and pools that are as new. */
static inline int mm_ledger_replay(mm_ledger *l, int64_t n) {
  int64_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    const mm_fill *f = &l->book->history[i];
    int status = MM_OK;
    if (next < l->n_amended && l->amended[next].target == i)
      f = &l->book->history[l->amended[next++].by];
    else if (f->kind == MM_BUST || f->kind == MM_CORRECT)
      continue;
    if (f == &l->book->history[i] || f->kind == MM_CORRECT)
      status = mm_ledger_effect(l, f, i);
    if (status != MM_OK)
      return status;
  }
  return MM_OK;
}

/* Make positions and pools anew from the first n records; marks stay. A status below 0 leaves them be.
 * MM_UNMET: more lots that fills identify are gone than before. */
static inline int mm_ledger_rebuild(mm_ledger *l, int64_t n) {
  mm_book trial = *l->book;
  mm_ledger trying = *l;
  int status, unmet = 0;
  trial.positions = l->trial;
  trial.pools = l->trial_pools;
  trying.book = &trial;
  memset(trial.pools, 0,
         (size_t)mm_ledger_pools(trial.n_instruments, trial.n_currencies) * sizeof *trial.pools);
  for (int32_t i = 0; i < trial.n_instruments; ++i) {
    const mm_position *p = &l->book->positions[i];
    mm_position_init(&trial.positions[i], p->method, p->flags & MM_NEGATIVE_PRICES);
    trial.positions[i].flags |= p->flags & MM_INVERSE;
    trial.positions[i].lots_head = trial.positions[i].lots_tail = p->lots_tail; /* entries never change */
  }
  status = mm_ledger_replay(&trying, n);
  l->full = trying.full;
  for (int32_t i = 0; i < trial.n_instruments && status == MM_OK; ++i)
    if (l->book->positions[i].flags & MM_HAS_MARK)
      status = mm_contract_mark(&trial.positions[i], &l->contracts[i], l->book->positions[i].mark);
  if (status != MM_OK)
    return status;
  for (int32_t i = 0; i < trial.n_instruments; ++i)
    unmet |= (trial.positions[i].flags & MM_NAMED) &&
             trial.positions[i].lots_used > l->book->positions[i].lots_used;
  memcpy(l->book->positions, trial.positions, (size_t)trial.n_instruments * sizeof *trial.positions);
  memcpy(l->book->pools, trial.pools,
         (size_t)mm_ledger_pools(trial.n_instruments, trial.n_currencies) * sizeof *trial.pools);
  return unmet ? MM_UNMET : MM_OK;
}

/* ---- records ---- */

/* Find the lots that a fill identifies, by records that wait for it, and see that it can close them. */
static inline int mm_ledger_identify(mm_ledger *l, const mm_fill *f, mm_fill *names, int64_t n) {
  const mm_book *book = l->book;
  const mm_position *p = &book->positions[f->instrument];
  const mm_lot *lots = book->lots[f->instrument];
  int64_t left = (int64_t)mm_abs_i64(f->qty);
  for (int64_t k = 0; k < n; ++k) {
    mm_fill *name = &names[k];
    int64_t found = -1;
    l->fault = k + 1;
    if (p->net == 0 || (p->net ^ f->qty) >= 0)
      return MM_INVALID; /* it opens */
    for (int64_t at = p->lots_head + 1; at < p->lots_tail; at += 1 + mm_lot_entries(lots, at)) {
      const int64_t row = lots[at - 1].qty;
      if (mm_named_left(lots, at) <= 0 ||
          (name->target ? row != name->target - 1
                        : memcmp(book->history[row].id, name->reference, sizeof name->reference) != 0))
        continue;
      if (found >= 0)
        return MM_CONFLICT; /* two of this id, by a conversion or ids forgotten: which? */
      found = at;
    }
    if (found < 0)
      return MM_UNKNOWN;
    name->target = lots[found - 1].qty + 1;
    memcpy(name->reference, book->history[name->target - 1].id, sizeof name->reference);
    for (int64_t m = 0; m < k; ++m)
      if (names[m].target == name->target)
        return MM_INVALID; /* twice */
    if (name->qty > mm_named_left(lots, found) || name->qty > left)
      return MM_INVALID;
    left -= name->qty;
  }
  l->fault = 0;
  return MM_OK;
}

/* Is each of n records that identify lots among m others? */
static inline int mm_names_among(const mm_fill *a, int64_t n, const mm_fill *b, int64_t m) {
  for (int64_t k = 0; k < n; ++k) {
    int64_t j = 0;
    while (j < m &&
           (a[k].qty != b[j].qty ||
            (a[k].target && b[j].target ? a[k].target != b[j].target
                                        : memcmp(a[k].reference, b[j].reference, sizeof a->reference))))
      ++j;
    if (j == m)
      return 0;
  }
  return 1;
}

/* Does a repetition of the fill of `row` identify the same lots, in any order? One that identifies none, as a
 * venue sends it, says nothing of them. */
static inline int mm_ledger_same_lots(const mm_book *book, int64_t row, const mm_fill *names, int64_t n) {
  const mm_place known = mm_ledger_place(book, row);
  return n == 0 ||
         (n == known.n && mm_names_among(names, n, known.lots, n) && mm_names_among(known.lots, n, names, n));
}

/* Fill in what a bust, a correction or a release leaves to the record that it is about; its index in *row. */
static inline int mm_ledger_resolve(const mm_ledger *l, mm_fill *f, int64_t *row) {
  const mm_book *book = l->book;
  const mm_fill *old, *now;
  int64_t force, found = -1;
  if (f->target < 0 || f->target > book->n_history)
    return MM_UNKNOWN;
  if (f->target == 0) {
    mm_fill key = *f;
    key.kind = MM_NEW;
    memcpy(key.id, f->reference, sizeof key.id);
    if (f->kind == MM_RELEASE || f->instrument < 0 || !mm_fill_has_id(&key))
      return MM_UNKNOWN;
    for (int side = -1; side <= 1; side += 2) {
      int64_t at;
      if (f->qty != 0 && (f->qty < 0) != (side < 0))
        continue;
      key.qty = side;
      at = mm_ids_known(book, mm_ids_find(book, &key));
      if (at >= 0 && found >= 0)
        return MM_INVALID; /* both sides have it: which? */
      found = at >= 0 ? at : found;
    }
    if (found < 0)
      return MM_UNKNOWN;
    f->target = found + 1;
  }
  *row = f->target - 1;
  if (found >= 0 && book->history[*row].kind == MM_RELEASE &&
      book->history[mm_ledger_in_force(l, *row)].kind == MM_BUST) { /* by its id: the fill itself is meant */
    *row = book->history[*row].target - 1;
    f->target = *row + 1;
    f->instrument = book->history[*row].instrument;
  }
  old = &book->history[*row];
  force = mm_ledger_in_force(l, *row);
  now = &book->history[force];
  if (f->kind == MM_RELEASE) {
    const int32_t instrument = f->instrument;
    const int64_t target = f->target, received = f->receive_time;
    if (old->kind != MM_SUSPEND)
      return MM_UNKNOWN;
    if (force != *row)
      return now->kind == MM_RELEASE && now->instrument == f->instrument ? MM_DUPLICATE : MM_CONFLICT;
    *f = *old;
    f->kind = MM_RELEASE;
    f->target = target;
    f->receive_time = received;
    f->instrument = instrument;
    if (old->instrument != instrument)
      memset(f->reference, 0, sizeof f->reference); /* it was the name, if anything */
    if (f->fee_currency < 0 && old->instrument >= 0 && old->instrument < book->n_instruments)
      f->fee_currency = book->currency[old->instrument]; /* which is what the fee is in */
    if (f->fee_currency == book->currency[instrument])
      f->fee_currency = -1;
    return MM_OK;
  }
  if ((f->instrument != old->instrument && f->instrument != mm_fill_instrument(book, old)) ||
      old->kind == MM_BUST || old->kind == MM_CORRECT || old->kind == MM_IDENTIFY ||
      (f->kind == MM_CORRECT && mm_fill_class(old->kind) != MM_NEW))
    return MM_UNKNOWN;
  if (old->kind == MM_SUSPEND && now->kind == MM_RELEASE)
    return MM_CONFLICT; /* bust the release */
  memcpy(f->reference, old->id, sizeof f->reference);
  if (f->kind == MM_BUST) {
    f->qty = now->qty;
    f->price = now->price;
    f->fee = now->fee;
    f->fee_currency = now->fee_currency;
    f->liquidity = now->liquidity;
    f->order_id = now->order_id;
    return now->kind == MM_BUST ? MM_DUPLICATE : MM_OK;
  }
  if (now->kind == MM_BUST || old->kind == MM_SUSPEND) {
    if (old->kind == MM_NEW) /* what was corrected before it was busted is known */
      for (int64_t k = force; (k = mm_ledger_correction(book->history, *row, k)) >= 0;)
        if (mm_ledger_corrects_as(f, &book->history[k]))
          return MM_DUPLICATE;
    return MM_CONFLICT; /* what never was, or is not booked yet, cannot be another */
  }
  if (f->qty == 0 || (f->qty < 0) != (old->qty < 0) ||
      (f->price <= 0 && !(book->positions[f->instrument].flags & MM_NEGATIVE_PRICES)))
    return MM_INVALID;
  return force != *row && mm_ledger_corrects_as(f, now) ? MM_DUPLICATE : MM_OK;
}

/* The same bust or correction again is about what it was about, whatever became of that since. */
static inline void mm_ledger_repeat(const mm_ledger *l, mm_fill *f) {
  const mm_book *book = l->book;
  if (f->kind == MM_RELEASE || f->target != 0 || f->instrument < 0 || !mm_fill_has_id(f))
    return;
  for (int side = -1; side <= 1; side += 2) {
    mm_fill key = *f;
    int64_t known;
    if (f->qty != 0 && (f->qty < 0) != (side < 0))
      continue;
    key.qty = side;
    known = mm_ids_known(book, mm_ids_find(book, &key));
    if (known >= 0 && !memcmp(book->history[known].reference, f->reference, sizeof f->reference)) {
      f->target = book->history[known].target;
      return;
    }
  }
}

/* The fields that can be judged alone. Without `effect` the record has passed once. An unknown instrument is
 * -1: an index beyond the book's would become another's when that is added. */
static inline int mm_ledger_check(const mm_ledger *l, mm_fill *f, int effect) {
  const mm_book *book = l->book;
  const int known = f->instrument >= 0 && f->instrument < book->n_instruments;
  if (!known && (f->instrument >= 0 || (f->kind != MM_SUSPEND && f->kind != MM_BUST)))
    return MM_UNKNOWN;
  if (f->kind < MM_NEW || f->kind >= MM_KINDS || f->liquidity < MM_UNSPECIFIED || f->liquidity > MM_TAKER)
    return MM_INVALID;
  if (known && f->fee_currency == book->currency[f->instrument])
    f->fee_currency = -1;
  if (f->fee_currency < -1 || f->fee_currency >= book->n_currencies ||
      (f->kind == MM_CONVERT && (f->target < 0 || f->target >= book->n_instruments)))
    return MM_UNKNOWN;
  if (((f->kind >= MM_BUST && f->kind <= MM_RELEASE) || f->kind == MM_IDENTIFY) && !book->history)
    return MM_UNSUPPORTED;
  if (f->kind == MM_IDENTIFY) {
    mm_fill key = *f;
    memcpy(key.id, f->reference, sizeof key.id);
    if (!(book->positions[f->instrument].flags & MM_NAMED))
      return MM_UNSUPPORTED;
    if (f->target < 0 || f->target > book->n_history ||
        (f->target == 0 && (!effect || !mm_fill_has_id(&key))))
      return MM_UNKNOWN;
    return f->qty <= 0 || mm_fill_has_id(f) ? MM_INVALID : MM_OK;
  }
  return f->kind == MM_SUSPEND && f->qty == 0 ? MM_INVALID : MM_OK;
}

/* The suspended fill that a record released, or the record itself. */
static inline int64_t mm_ledger_came_from(const mm_book *book, int64_t row) {
  return book->history[row].kind == MM_RELEASE ? book->history[row].target - 1 : row;
}

/* Are the lots of the suspended fill of `row` others by now than those of instrument i? i was split since, or
 * lots of the instrument that the fill is of became those of i, at once or in steps. */
static inline int mm_ledger_converted(const mm_ledger *l, int64_t row, int32_t i) {
  const mm_fill *history = l->book->history;
  const int64_t n = l->converted < l->book->n_history ? l->converted : l->book->n_history;
  const int32_t own = mm_fill_instrument(l->book, &history[row]);
  if (row + 1 >= n)
    return 0;
  for (int32_t j = 0; j < l->book->n_instruments; ++j)
    l->trial[j].net = j == own; /* have its lots become those of j? */
  for (int64_t k = row + 1; k < n; ++k) {
    const mm_fill *f = &history[k];
    if (f->kind != MM_CONVERT || mm_ledger_in_force(l, k) != k ||
        (f->instrument == f->target && f->qty == f->price)) /* which leaves all as it is */
      continue;
    if (f->target == i && (f->instrument == i || l->trial[f->instrument].net))
      return 1;
    l->trial[f->target].net |= l->trial[f->instrument].net;
  }
  return 0;
}

/* Is a fill a repetition of that of a row: as it came, or as it was corrected since, also if that was busted
 * or, of a suspended one, after its release? */
static inline int mm_ledger_repeats(const mm_ledger *l, int64_t row, const mm_fill *f, int32_t own) {
  const mm_fill *history = l->book->history;
  mm_fill known = history[row], now;
  int64_t force = mm_ledger_in_force(l, row);
  int16_t currency;
  if (history[mm_ledger_came_from(l->book, row)].instrument != known.instrument)
    memcpy(known.reference, f->reference, sizeof known.reference); /* its place was taken by the name */
  if (mm_fill_same_content(&known, f, own))
    return 1;
  if (history[force].kind == MM_RELEASE)
    force = mm_ledger_in_force(l, force);
  if (history[force].kind == MM_BUST && known.kind == MM_NEW)
    force = mm_ledger_correction(history, row, force);
  if (force < 0 || history[force].kind != MM_CORRECT)
    return 0;
  now = history[force];
  currency = l->book->currency[now.instrument];
  if (now.fee_currency < 0)
    now.fee_currency = currency; /* which can be another than that of the fill as it was suspended */
  now.kind = known.kind; /* a correction has an id of its own, and that of the fill as its reference */
  now.instrument = known.instrument;
  memcpy(now.reference, known.reference, sizeof now.reference);
  return mm_fill_same_content(&now, f, own < 0 ? currency : own);
}

/* Put a record into the history, behind the `named` ones directly before it in memory, which identify lots
 * for it, and with `effect` into force: all of them, or none. */
MM_COLD int mm_ledger_put(mm_ledger *l, const mm_fill *record, int64_t named, int effect) {
  mm_book *book = l->book;
  mm_fill f = *record, *names = book->history ? book->history + book->n_history : NULL;
  const int64_t end = book->n_history + named;
  int64_t slot = -1, row = -1;
  int status;
  l->full = -1;
  l->fault = 0;
  if (f.instrument < 0) {
    f.instrument = -1;
    if (f.kind == MM_NEW && l->suspends)
      f.kind = MM_SUSPEND;
  }
  status = mm_ledger_check(l, &f, effect);
  if (status == MM_OK && f.kind == MM_IDENTIFY)
    status = MM_INVALID; /* no fill follows it */
  for (int64_t k = 0; k < named && status == MM_OK; ++k) {
    mm_fill name = record[k - named];
    status = mm_ledger_check(l, &name, effect);
    if (status != MM_OK)
      l->fault = k + 1;
    if (names && end <= book->history_capacity)
      names[k] = name;
    else if (status == MM_OK)
      status = MM_CAPACITY;
  }
  if (status == MM_OK && mm_kind_amends(f.kind)) {
    mm_ledger_repeat(l, &f);
    status = mm_ledger_resolve(l, &f, &row);
    if (status == MM_OK && l->n_amended >= l->amended_capacity)
      status = MM_CAPACITY;
  }
  if (status == MM_DUPLICATE && f.kind == MM_RELEASE &&
      !mm_ledger_same_lots(book, mm_ledger_in_force(l, row), names, named))
    return MM_CONFLICT;
  if (status != MM_OK)
    return status;
  if (mm_fill_has_id(&f)) {
    int64_t known;
    if (!book->history)
      return MM_UNSUPPORTED;
    slot = mm_ids_find(book, &f);
    known = mm_ids_known(book, slot);
    if (known >= 0 && !(f.kind == MM_RELEASE && mm_ledger_came_from(book, known) == row)) {
      const int32_t i = mm_fill_instrument(book, &f);
      const int32_t own = i >= 0 && i < book->n_instruments ? book->currency[i] : -1;
      return f.kind != MM_RELEASE && mm_ledger_repeats(l, known, &f, own) &&
                     mm_ledger_same_lots(book, known, names, named)
                 ? MM_DUPLICATE
                 : MM_CONFLICT;
    }
    if (2 * (end - book->ids_from + 1) > book->n_slots)
      return MM_CAPACITY;
  }
  if (book->history && end >= book->history_capacity)
    return MM_CAPACITY;
  if (effect && f.kind == MM_RELEASE && mm_ledger_converted(l, row, f.instrument))
    return MM_CONFLICT;
  if (effect && named > 0 && f.qty != 0) {
    status = mm_ledger_identify(l, &f, names, named);
    if (status != MM_OK)
      return status;
  }
  if (book->history)
    book->history[end] = f; /* beyond the end until all is well */
  if (row >= 0) {
    const int64_t before = mm_ledger_in_force(l, row);
    mm_ledger_amend(l, row, end);
    if (effect && f.kind == MM_RELEASE)
      status = mm_ledger_effect(l, &f, end);
    else if (effect && book->history[row].kind != MM_SUSPEND)
      status = mm_ledger_rebuild(l, book->n_history);
    if (status == MM_INVALID && f.kind != MM_RELEASE)
      status = MM_CONFLICT; /* a conversion after it */
    if (status < MM_OK) {
      if (before == row)
        mm_ledger_restore(l, row);
      else
        mm_ledger_amend(l, row, before);
      if (f.kind == MM_BUST && book->history[row].kind == MM_RELEASE)
        mm_ledger_amend(l, book->history[row].target - 1, row);
    }
  } else if (effect) {
    status = mm_ledger_effect(l, &f, end);
  }
  if (status < MM_OK)
    return status;
  if (book->history) {
    if (slot >= 0)
      book->slots[slot] = end;
    book->n_history = end + 1;
  }
  if (f.kind == MM_CONVERT)
    l->converted = end + 1;
  return f.kind == MM_SUSPEND ? MM_SUSPENDED : status;
}

/* How many of n records, from the first on, identify lots for the one behind them. */
MM_COLD int64_t mm_ledger_named(const mm_ledger *l, const mm_fill *f, int64_t n) {
  int64_t named = 0;
  while (named < n && f[named].kind == MM_IDENTIFY && f[named].instrument == f->instrument)
    named++;
  return named < n && (f[named].kind == MM_NEW || f[named].kind == MM_RELEASE) &&
                 f[named].instrument == f->instrument && f->instrument >= 0 &&
                 f->instrument < l->book->n_instruments
             ? named
             : 0;
}

/* A new fill of a known instrument that mm_position_fill takes. */
static inline int mm_ledger_plain(const mm_ledger *l, const mm_fill *f) {
  return f->kind == MM_NEW && f->instrument >= 0 && f->instrument < l->book->n_instruments &&
         !(l->book->positions[f->instrument].flags & MM_SPECIAL);
}

/* Is it for mm_ledger_put to say? Of what there is no capacity, or whether a correction is repeated. */
static inline int mm_ledger_asked(int status) {
  return MM_UNLIKELY(status < 0) && (status == MM_CAPACITY || status == MM_CONFLICT);
}

/* Book one record of any kind. The statuses of mm_book_fill, and MM_SUSPENDED.
 *
 * MM_UNMET: of a bust or a correction, which stands: lots that some fill identifies are gone now, and the
 *           fill closed the oldest for them. lots_used counts them.
 * MM_DUPLICATE: also a fill as it was corrected, a bust of what is busted, the correction that is in force,
 * or one that was before the bust, the same release again. MM_CONFLICT: also a correction of a busted fill,
 * whatever is settled otherwise already, what a later conversion does not stand with: that is to be busted
 * first; a release after the lots became others; a repetition that identifies other lots; two open lots of
 * one id, one of which is identified by it. MM_UNKNOWN: also a target that is no fill of the instrument, or
 * not one of the window of ids; a lot that is not open. MM_INVALID: also lots that are identified by a fill
 * that opens, twice, or more of them than there are or than the fill has; what identifies a lot, alone
 * (mm_ledger_apply); an id that both sides have, a correction of the side, a conversion by 0, into another
 * currency, kind of contract or sign of prices, or against an open position of the other sign.
 * MM_UNSUPPORTED: also what needs a history. */
static inline int mm_ledger_record(mm_ledger *l, const mm_fill *record) {
  int status = MM_CAPACITY;
  l->fault = 0; /* mm_book_fill knows none */
  if (MM_LIKELY(mm_ledger_plain(l, record)))
    status = mm_book_fill(l->book, record);
  return mm_ledger_asked(status) ? mm_ledger_put(l, record, 0, 1) : status;
}

/* mm_book_apply for records of any kind; ends at MM_CAPACITY too, and may go on from there. A fill and those
 * that identify lots for it have one status; refused, the index is the fill's. Those that no fill follows in
 * the array are refused: MM_INVALID. */
static inline int64_t mm_ledger_apply(mm_ledger *l, const mm_fill *records, int64_t n, int stop,
                                      int8_t *status) {
  for (int64_t i = 0; i < n; i++) {
    l->fault = 0; /* mm_book_advance knows none */
    status[i] = MM_CAPACITY;
    if (mm_ledger_plain(l, &records[i]))
      i += mm_book_advance(l->book, &records[i], n - i, &status[i]) - 1;
    if (mm_ledger_asked(status[i])) {
      const int64_t named = mm_ledger_named(l, &records[i], n - i);
      const int one = mm_ledger_put(l, &records[i + named], named, 1);
      memset(&status[i], one, (size_t)named + 1);
      if (one == MM_CAPACITY)
        return i;
      i += named;
    }
    if (status[i] < 0 && stop)
      return i;
  }
  return n;
}

/* mm_book_undo for records of any kind; `pools` are all of them. Queues must not have been compacted since.
 */
static inline void mm_ledger_undo(mm_ledger *l, int64_t n, const mm_position *positions,
                                  const mm_i128 *pools) {
  mm_book *book = l->book;
  int amended = 0;
  for (int64_t i = n; i < book->n_history; i++)
    amended |= mm_kind_amends(book->history[i].kind);
  mm_book_undo(book, n, positions, pools);
  memcpy(book->pools, pools,
         (size_t)mm_ledger_pools(book->n_instruments, book->n_currencies) * sizeof *pools);
  if (amended)
    mm_ledger_find_amended(l);
}

/* ---- as bytes ---- */

#define MM_BOOK_MAGIC 0x42434d4du /* "MMCB" as little-endian bytes */
#define MM_BOOK_VERSION 2

/* A saved book: this header, then the positions, the mm_ledger_pools, the open lots of each queue in
 * turn, and the history. */
typedef struct mm_book_block {
  uint32_t magic, version;
  uint64_t bytes, checksum; /* of the whole block; mm_checksum of what follows */
  uint64_t names;           /* the caller's: tells these instruments and currencies from others */
  int32_t n_instruments, n_currencies;
  int32_t method, keeps_history;
  int64_t n_lots, n_history; /* entries of queues, records */
  int64_t ids_window;
  int32_t suspends, reserved;
} mm_book_block;

typedef struct mm_book_parts {
  const mm_position *positions;
  const mm_i128 *pools;
  const mm_lot *lots;
  const mm_fill *history;
} mm_book_parts;

static inline mm_book_parts mm_book_block_parts(const mm_book_block *b) {
  mm_book_parts parts;
  parts.positions = (const mm_position *)(const void *)(b + 1);
  parts.pools = (const mm_i128 *)(const void *)(parts.positions + b->n_instruments);
  parts.lots =
      (const mm_lot *)(const void *)(parts.pools + mm_ledger_pools(b->n_instruments, b->n_currencies));
  parts.history = (const mm_fill *)(const void *)(parts.lots + b->n_lots);
  return parts;
}

static inline uint64_t mm_book_block_bytes(const mm_book_block *b) {
  return sizeof *b + (uint64_t)b->n_instruments * sizeof(mm_position) +
         (uint64_t)mm_ledger_pools(b->n_instruments, b->n_currencies) * sizeof(mm_i128) +
         (uint64_t)b->n_lots * sizeof(mm_lot) + (uint64_t)b->n_history * sizeof(mm_fill);
}

static inline uint64_t mm_book_checksum(const mm_book_block *b) {
  const uint64_t from = offsetof(mm_book_block, names);
  return mm_checksum(MM_CHECKSUM_START, (const unsigned char *)b + from, b->bytes - from);
}

/* The header but the checksum; its `bytes` says how many mm_book_save writes. */
static inline mm_book_block mm_book_header(const mm_ledger *l, uint64_t names) {
  const mm_book *book = l->book;
  mm_book_block b;
  memset(&b, 0, sizeof b);
  b.magic = MM_BOOK_MAGIC;
  b.version = MM_BOOK_VERSION;
  b.names = names;
  b.n_instruments = book->n_instruments;
  b.n_currencies = book->n_currencies;
  b.method = book->positions[0].method;
  b.keeps_history = book->history != NULL;
  b.n_history = book->history ? book->n_history : 0;
  b.ids_window = book->ids_window;
  b.suspends = l->suspends;
  for (int32_t i = 0; i < b.n_instruments; ++i) {
    mm_position p = book->positions[i];
    mm_lots_flatten(&p, book->lots[i], NULL);
    b.n_lots += p.lots_tail;
  }
  b.bytes = mm_book_block_bytes(&b);
  return b;
}

static inline unsigned char *mm_put(unsigned char *at, const void *from, int64_t n, size_t size) {
  if (n > 0)
    memcpy(at, from, (size_t)n * size);
  return at + (size_t)n * size;
}

/* Write mm_book_header(l, names).bytes bytes; `block` is aligned to 8. */
static inline void mm_book_save(const mm_ledger *l, uint64_t names, mm_book_block *block) {
  const mm_book *book = l->book;
  const int32_t n = book->n_instruments;
  unsigned char *at = (unsigned char *)(block + 1);
  *block = mm_book_header(l, names);
  for (int32_t i = 0; i < n; ++i) {
    mm_position p = book->positions[i];
    mm_lots_flatten(&p, book->lots[i], NULL);
    at = mm_put(at, &p, 1, sizeof p);
  }
  at = mm_put(at, book->pools, mm_ledger_pools(n, book->n_currencies), sizeof *book->pools);
  for (int32_t i = 0; i < n; ++i) {
    mm_position p = book->positions[i];
    mm_lots_flatten(&p, book->lots[i], (mm_lot *)(void *)at);
    at += (size_t)p.lots_tail * sizeof(mm_lot);
  }
  if (book->history)
    mm_put(at, book->history, book->n_history, sizeof *book->history);
  block->checksum = mm_book_checksum(block);
}

/* Is it a queue or a stack as mm_position_compact leaves it, whose lots add up to the position and its cost?
 */
static inline int mm_lots_sound(const mm_position *p, const mm_contract *c, const mm_lot *lots) {
  const int64_t sign = p->net < 0 ? -1 : 1, stacked = (p->flags & MM_STACK) != 0;
  const int apart = mm_lots_apart(p->flags);
  mm_i128 sum = mm_i128_of(0), cost;
  int64_t net = 0, used = 0, below = -1, i = apart;
  if (!stacked && p->lots_head != 0)
    return 0;
  while (i < p->lots_tail) {
    const mm_lot lot = lots[i];
    if (i + mm_lot_entries(lots, i) > p->lots_tail ||
        (stacked && (lots[i - 1].qty != below || lots[i - 1].price != used)))
      return 0;
    used = mm_lot_used(p, lots, i);
    if (used < 0 || lot.qty == INT64_MIN || lot.qty * sign <= used)
      return 0;
    if (lot.price == MM_NO_PRICE) {
      if (!(p->flags & MM_COSTED))
        return 0;
    } else if (!mm_price_sound(p, lot.price) || !mm_contract_mark_fits(c, p->flags, lot.qty, lot.price)) {
      return 0;
    }
    below = i;
    i += mm_lot_cost(c, p->flags, lots, i, &cost) + apart;
    if (!mm_cost_fits(cost))
      return 0;
    cost = mm_i128_sub(cost, mm_lot_part(cost, used, lot.qty * sign));
    if (mm_add_i64(net, lot.qty - sign * used, &net) || mm_i128_add_checked(sum, cost, &sum))
      return 0;
  }
  if (i != p->lots_tail + apart ||
      (below < 0 && (p->lots_head != 0 || (p->lots_used != 0 && !(p->flags & MM_NAMED)))) ||
      (stacked && below >= 0 && p->lots_head != below))
    return 0;
  return net == p->net && mm_i128_cmp(sum, p->cost) == 0;
}

/* Is it a state that records can lead to, as far as it can be told without them? */
static inline int mm_position_sound(const mm_position *p, const mm_contract *c, const mm_lot *lots) {
  if ((p->flags & ~(MM_HAS_MARK | MM_NEGATIVE_PRICES | MM_SPECIAL)) ||
      (p->method == MM_LIFO) != ((p->flags & MM_STACK) != 0) ||
      (p->method == MM_SPECIFIC) != ((p->flags & MM_NAMED) != 0) || p->lots_used < 0 || p->bought < 0 ||
      p->sold < 0 || p->net != p->bought - p->sold || p->fills < 0 ||
      (uint64_t)p->fills > (uint64_t)p->bought + (uint64_t)p->sold || p->fills > INT64_MAX / 2 ||
      !mm_value_fits(p->cash) || !mm_cost_fits(p->cost))
    return 0;
  if (p->net == 0 ? !mm_i128_zero(p->cost) || (p->flags & MM_COSTED)
                  : !(p->flags & MM_NEGATIVE_PRICES) && !mm_i128_zero(p->cost) &&
                        mm_i128_negative(p->cost) != ((p->net < 0) != ((p->flags & MM_INVERSE) != 0)))
    return 0;
  if (p->flags & MM_HAS_MARK
          ? !mm_price_sound(p, p->mark) || !mm_contract_mark_fits(c, p->flags, p->net, p->mark)
          : p->mark != 0)
    return 0;
  if (p->method == MM_AVERAGE)
    return p->lots_head == 0 && p->lots_tail == 0 && p->lots_used == 0 && !(p->flags & MM_COSTED);
  return mm_lots_sound(p, c, lots);
}

/* Is a block of `bytes` bytes, aligned to 8, one that mm_book_save wrote? It tells all that needs no
 * contracts; mm_book_load finds out the rest. */
static inline int mm_book_block_check(const mm_book_block *b, uint64_t bytes) {
  mm_book_parts parts;
  int64_t lots = 0, fills = 0;
  if (bytes < sizeof *b || b->magic != MM_BOOK_MAGIC || b->version != MM_BOOK_VERSION || b->bytes != bytes ||
      b->checksum != mm_book_checksum(b))
    return MM_CORRUPT;
  if (b->n_instruments < 1 || b->n_currencies < 1 || b->n_currencies > INT16_MAX || b->n_lots < 0 ||
      (uint64_t)b->n_instruments > bytes || (uint64_t)b->n_lots > bytes || b->n_history < 0 ||
      (uint64_t)b->n_history > bytes || b->method < MM_AVERAGE || b->method > MM_SPECIFIC ||
      (b->keeps_history != 0 && b->keeps_history != 1) || (b->suspends != 0 && b->suspends != 1) ||
      b->ids_window < 0 || b->reserved != 0 ||
      ((b->n_history > 0 || b->suspends || b->ids_window || b->method == MM_SPECIFIC) && !b->keeps_history) ||
      bytes != mm_book_block_bytes(b))
    return MM_CORRUPT;
  parts = mm_book_block_parts(b);
  for (int32_t i = 0; i < b->n_instruments; ++i) {
    const mm_position *p = &parts.positions[i];
    if (p->method != b->method || p->lots_tail < 0 || p->lots_tail > b->n_lots - lots || p->fills < 0 ||
        (b->keeps_history && p->fills > b->n_history - fills))
      return MM_CORRUPT;
    lots += p->lots_tail;
    fills += b->keeps_history ? p->fills : 0;
  }
  return lots == b->n_lots ? MM_OK : MM_CORRUPT;
}

/* Resume from a checked block. `l` is as new and for the same instruments, with room for the history and, in
 * the queues, for the open lots and what a replay appends.
 *
 * A history is put on record and replayed: the positions must come out as saved. MM_CORRUPT: they do not, or
 * the book is for something else; it is then to be thrown away. MM_CAPACITY: the queues are too small; call
 * again with larger ones. */
static inline int mm_book_load(const mm_book_block *b, mm_ledger *l) {
  const mm_book_parts parts = mm_book_block_parts(b);
  const int64_t n_pools = mm_ledger_pools(b->n_instruments, b->n_currencies);
  mm_book *book = l->book;
  const mm_lot *lots = parts.lots;
  if (b->n_instruments != book->n_instruments || b->n_currencies != book->n_currencies ||
      b->keeps_history != (book->history != NULL) || b->suspends != l->suspends ||
      b->ids_window != book->ids_window)
    return MM_CORRUPT;
  while (b->keeps_history && book->n_history < b->n_history) {
    const int64_t k = book->n_history, named = mm_ledger_named(l, &parts.history[k], b->n_history - k);
    const int status = mm_ledger_put(l, &parts.history[k + named], named, 0);
    if ((status != MM_OK && status != MM_SUSPENDED) ||
        memcmp(&book->history[k], &parts.history[k], (size_t)(named + 1) * sizeof(mm_fill)) != 0)
      return MM_CORRUPT;
  }
  if (b->keeps_history) {
    const int status = book->n_history == b->n_history ? mm_ledger_rebuild(l, b->n_history) : MM_CORRUPT;
    if (status < MM_OK)
      return status == MM_CAPACITY ? MM_CAPACITY : MM_CORRUPT;
  }
  for (int32_t i = 0; i < b->n_instruments; ++i) {
    const mm_position *saved = &parts.positions[i];
    const mm_i128 *own = &parts.pools[(int64_t)i * b->n_currencies + book->currency[i]];
    mm_position *p = &book->positions[i];
    if (((saved->flags ^ p->flags) & (MM_NEGATIVE_PRICES | MM_INVERSE)) || !mm_i128_zero(*own) ||
        !mm_position_sound(saved, &l->contracts[i], lots))
      return MM_CORRUPT;
    if (b->keeps_history) {
      mm_position_compact(p, book->lots[i]);
      if (((saved->flags & MM_HAS_MARK) && mm_contract_mark(p, &l->contracts[i], saved->mark) != MM_OK) ||
          memcmp(p, saved, sizeof *p) != 0 ||
          (p->lots_tail > 0 && memcmp(book->lots[i], lots, (size_t)p->lots_tail * sizeof *lots) != 0))
        return MM_CORRUPT;
    } else {
      if (saved->lots_tail > book->lots_capacity[i]) {
        l->full = i;
        return MM_CAPACITY;
      }
      *p = *saved;
      if (p->lots_tail > 0)
        memcpy(book->lots[i], lots, (size_t)p->lots_tail * sizeof *lots);
    }
    lots += saved->lots_tail;
  }
  if (b->keeps_history)
    return memcmp(book->pools, parts.pools, (size_t)n_pools * sizeof *parts.pools) == 0 ? MM_OK : MM_CORRUPT;
  memcpy(book->pools, parts.pools, (size_t)n_pools * sizeof *parts.pools);
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
