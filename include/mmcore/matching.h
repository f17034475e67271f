/* mmcore/matching.h - replay: recorded events -> quoter -> resting orders -> fills -> book.
 *
 * One clock: local_time, when we could have known. A decision at time g sees the rows with
 * local_time <= g and no other. Its quote is live at g + latency and may be filled by trades with
 * local_time > g + latency, strictly: a trade of the very stamp at which an order arrives was
 * there first.
 *
 * The decision log is the queue of what is in flight: a second cursor walks it. A decision that
 * goes live replaces both sides of the one before it. Its side is lost when the older order of
 * that side was filled, even in part, after the decision was made: cancel-replace of a gone order
 * fails. So a side only ever goes live with the inventory it was decided for, or with one that
 * leaves more room, and the position limit of the policy holds under any latency. A filled side
 * stays empty until a later decision goes live.
 *
 * Fills: "through": a trade strictly beyond our price fills the whole order. "touch": also, a
 * trade at our price fills up to its size, as if we stood first in the queue: the optimistic
 * bound. The side of the trade is not asked.
 *
 * With `venue` (venue.h) a decision's quote goes through mm_orders instead: messages arrive `latency` after
 * they were sent, answers and fills are known another `latency` later, and that position is the inventory
 * decided for. Orders are looked at at each decision, and with the quote of the last one again when an
 * answer comes and when a wait is over. That quote is out of date once a fill is known or the touch has
 * reached it: then the next decision looks again. At one moment: rows, then what arrives at the venue, then
 * what becomes known, then the decision. A decision after a quote row does not wait for later rows of its
 * stamp; its messages do.
 *
 * Profit is split as it arises, in half tick*lots (twice the mid is an integer): spread2 grows by
 * qty*(mid2 - 2*price) at a fill, revaluation2 by net*(change of mid2) at a quote. The book never
 * sees a mid, so that the two sums and the book check each other.
 *
 * What changes nothing costs next to nothing. Quotes that repeat the touch are passed over, and the
 * decisions of the grid that they stood between are made up for when something changes. With `numbers` a
 * record of the log stands for all decisions in a row that know the same: they differ in their times alone.
 *
 * No allocation: the caller owns every array. mm_replay_run stops with MM_CAPACITY when the log or
 * the fills are full, before it touched the row: enlarge and call again.
 */
#ifndef MMCORE_MATCHING_H
#define MMCORE_MATCHING_H

#include <math.h>

#include "book.h"
#include "calibration.h"
#include "quoting.h"
#include "recalibration.h"
#include "venue.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MM_EVENT_QUOTE = 1, MM_EVENT_TRADE = 2 }; /* mm_events.kind */

/* Columns in arrival order; `kind` says which set supplies the next row. local times never fall. */
typedef struct mm_events {
  int64_t rows, quotes, trades;
  const uint8_t *kind;
  const int64_t *quote_time, *bid, *ask, *bid_size, *ask_size;
  const int64_t *trade_exchange_time, *trade_time, *price, *size;
  const int32_t *subtick;
  const int8_t *side;
  const uint8_t *flags;
} mm_events;

typedef struct mm_replay_setup {
  int64_t interval;         /* ns between decisions; 0: after every quote row */
  int64_t latency;          /* ns */
  int64_t first, last, end; /* first and last decision; when all orders are pulled (ns) */
  int64_t expiry;           /* ns: time_left counts down to it when `countdown` */
  double time_left;         /* s, of every decision, when not `countdown` */
  int64_t fee_num, fee_den; /* see mm_notional_fee */
  int32_t countdown;
  int32_t touch;    /* the optimistic rule */
  int32_t weighted; /* reference: mid weighted by the sizes, not the plain one */
  int32_t hidden;   /* do hidden executions fill us too? */
} mm_replay_setup;

typedef struct mm_decision { /* 112 bytes; DECISION in NumPy */
  int64_t time, live_time;
  double reference; /* ticks; NaN: no mid */
  int64_t touch_bid, touch_ask;
  int64_t bid, ask, bid_size, ask_size;
  int64_t inventory;             /* lots, before it; with orders: as far as it is known */
  int64_t spread2, revaluation2; /* half tick*lots, so far */
  int64_t fees;                  /* currency units, so far */
  uint32_t why;
  uint32_t lost; /* bit 0: the bid, bit 1: the ask was lost in flight */
} mm_decision;

typedef struct mm_fill_context { /* 56 bytes; FILL_CONTEXT in NumPy: what stood around a fill */
  int64_t touch_bid, touch_ask;  /* known then */
  int64_t mid2;                  /* the last known bid + ask */
  int64_t inventory;             /* after it */
  int64_t decision;              /* in force: whose order it was, without orders */
  int64_t trade;                 /* row of the trades */
  int8_t place;                  /* against the touch of that decision: 0 inside, 1 at, 2 behind */
  int8_t complete;               /* nothing of the order is left */
  int8_t reserved[6];
} mm_fill_context;

enum { MM_FOLLOW_SIGMA = 1, MM_FOLLOW_A = 2, MM_FOLLOW_K = 4 }; /* mm_follower.parameters */

/* A recalibration that was due; PARAMETERS in NumPy. */
typedef struct mm_recalibrated {
  mm_estimate estimate;
  uint64_t version; /* of the policy in force from then on */
  int32_t status;   /* MM_OK: set; MM_UNKNOWN: not all identified; else why they were refused */
  int32_t reserved;
} mm_recalibrated;

/* Parameters that follow the market: from the window, into the policy, in place. */
typedef struct mm_follower {
  mm_rolling rolling;
  mm_live_policy *live;
  int64_t used;       /* estimates made when one was last put in force */
  int32_t parameters; /* which of them the model has */
  int32_t row;        /* a finite horizon: the row with so much time left is compiled */
  mm_recalibrated *log;
  int64_t n, capacity;
  int64_t seen; /* rows of the events */
} mm_follower;

typedef struct mm_replay {
  mm_replay_setup setup;
  mm_follower *follower; /* NULL: the policy stays */
  const mm_policy *policy;
  mm_rules rules;
  mm_decision *decisions; /* the log: records of decisions */
  int64_t *numbers;       /* of each record the number of its first decision; NULL: a record for each */
  int64_t n_decisions, n_records, decision_capacity;
  mm_fill *fills;
  mm_fill_context *contexts;
  int64_t n_fills, fill_capacity;
  int64_t row, quote, trade;           /* cursors */
  int64_t next;                        /* next decision on the grid; INT64_MAX: none */
  int64_t pending;                     /* first decision that is not live yet */
  int64_t pending_record, live_record; /* of the log, for it and for live_decision */
  int64_t touch_bid, touch_ask;
  int64_t touch_row; /* of the quotes */
  int64_t mid2;
  int32_t two_sided, has_mid;
  int64_t live_price[2], live_left[2]; /* what rests in the market */
  int64_t live_decision;
  int64_t decided_at_fill[2]; /* decisions made when the side was last filled */
  int64_t sent_price[2], sent_size[2];
  int64_t messages[2];
  int64_t spread2, revaluation2, fees;
  int64_t crossed; /* crossed quote rows refused: the last good one is kept */
  mm_position position;
  mm_quote quote_made; /* of the last decision */
  int32_t made;        /* that decision knew all that is known now, but the time */
  int32_t aging;       /* the quote depends on how old the market's is */
  mm_venue *venue;     /* NULL: each decision's quote replaces what stands */
  uint16_t *held;      /* with orders, of each decision: MM_HELD_… of its bid and its ask */
  int64_t heard;       /* cursor of the fills: known to us */
  int64_t wake;        /* nothing happens by itself before */
} mm_replay;

#define MM_MONEY_LIMIT ((int64_t)1 << 61)
#define MM_MID2_LIMIT ((int64_t)1 << 60)

/* *sum += a*b, all within +-2^61; a product is judged as a double, whose error is far below the margin. */
static inline int mm_money_add(int64_t *sum, int64_t a, int64_t b) {
  const double product = (double)a * (double)b;
  if (MM_UNLIKELY(!(product < 2305843009213693952.0 && product > -2305843009213693952.0)))
    return MM_OVERFLOW;
  const int64_t total = *sum + a * b;
  if (MM_UNLIKELY(total > MM_MONEY_LIMIT || total < -MM_MONEY_LIMIT))
    return MM_OVERFLOW;
  *sum = total;
  return MM_OK;
}

/* Start of a replay; the arrays may be set or enlarged at any later time. */
static inline void mm_replay_init(mm_replay *r, const mm_replay_setup *setup, const mm_policy *policy,
                                  const mm_rules *rules, int negative_prices) {
  memset(r, 0, sizeof *r);
  r->setup = *setup;
  r->policy = policy;
  r->rules = *rules;
  r->aging = rules->halt_after > 0 || rules->widen_after > 0;
  r->next = r->wake = setup->interval > 0 && setup->first <= setup->last ? setup->first : INT64_MAX;
  r->touch_bid = r->live_price[MM_BID] = r->sent_price[MM_BID] = MM_NO_BID;
  r->touch_ask = r->live_price[MM_ASK] = r->sent_price[MM_ASK] = MM_NO_ASK;
  mm_position_init(&r->position, MM_AVERAGE, negative_prices);
}

static inline double mm_replay_reference(const mm_replay *r, const mm_events *e) {
  if (!r->two_sided)
    return (double)NAN;
  if (!r->setup.weighted)
    return (double)r->mid2 * 0.5;
  const double bid_size = (double)e->bid_size[r->touch_row], ask_size = (double)e->ask_size[r->touch_row];
  return (double)r->touch_bid + (double)(r->touch_ask - r->touch_bid) * (bid_size / (bid_size + ask_size));
}

/* Put the latest estimate in force, all rows up to `time` having gone in; nothing where there is no newer. */
static inline void mm_replay_follow(mm_replay *r, int64_t time) {
  mm_follower *f = r->follower;
  const char *wrong;
  mm_rolling_make(&f->rolling, time);
  if (f->rolling.made == f->used || MM_UNLIKELY(f->n >= f->capacity))
    return;
  f->used = f->rolling.made;
  const mm_estimate *e = &f->rolling.latest;
  mm_recalibrated *done = &f->log[f->n++];
  memset(done, 0, sizeof *done);
  done->estimate = *e;
  done->status = MM_UNKNOWN;
  if (mm_estimate_whole(e)) {
    mm_parameters p = f->live->parameters;
    if (f->parameters & MM_FOLLOW_SIGMA)
      p.sigma = e->sigma;
    for (int side = 0; side < 2; ++side) {
      if (f->parameters & MM_FOLLOW_A)
        p.A[side] = e->A[side];
      if (f->parameters & MM_FOLLOW_K)
        p.k[side] = e->k[side];
    }
    if (f->row)
      p.horizon = r->setup.countdown ? (double)(r->setup.expiry - time) / 1e9 : r->setup.time_left;
    done->status = mm_live_set(f->live, &p, &wrong);
    r->policy = mm_live_block(f->live);
    r->made = 0;
  }
  done->version = r->policy->version;
}

/* More records than one that a step may add where they stand for several decisions. */
#define MM_REPLAY_CUTS 3

/* Is there no room for the records of a step? */
static inline int mm_replay_log_is_full(const mm_replay *r) {
  return r->n_records + (r->numbers ? MM_REPLAY_CUTS : 0) >= r->decision_capacity;
}

/* Is there no room for what a decision logs? */
static inline int mm_replay_full(const mm_replay *r) {
  return mm_replay_log_is_full(r) ||
         (r->venue && r->venue->n_messages > r->venue->message_capacity - MM_ORDERS_ACTIONS);
}

/* Quote at `time` from what is known now, and log it as in flight. */
static inline int mm_replay_decide(mm_replay *r, const mm_events *e, int64_t time) {
  if (MM_UNLIKELY(mm_replay_full(r)))
    return MM_CAPACITY;
  if (r->follower)
    mm_replay_follow(r, time);
  const mm_replay_setup *setup = &r->setup;
  const int64_t net = r->venue ? r->venue->orders.position : r->position.net;
  const double reference = mm_replay_reference(r, e);
  mm_quote *q = &r->quote_made;
  if (!r->made || setup->countdown || r->aging) {
    const double left = setup->countdown ? (double)(setup->expiry - time) / 1e9 : setup->time_left;
    const double age = r->aging && r->two_sided ? (double)(time - e->quote_time[r->touch_row]) / 1e9 : 0.0;
    mm_quote_make(r->policy, &r->rules, reference, (double)net, r->touch_bid, r->touch_ask, 0.0, 0.0, left, 0,
                  age, q);
    if (MM_UNLIKELY(q->take != 0))
      return MM_UNSUPPORTED; /* crossing the spread is not replayed */
    r->made = 1;
  }
  if (r->numbers)
    r->numbers[r->n_records] = r->n_decisions;
  ++r->n_decisions;
  mm_decision *d = &r->decisions[r->n_records++];
  d->time = time;
  d->live_time = time + setup->latency;
  d->reference = reference;
  d->touch_bid = r->touch_bid;
  d->touch_ask = r->touch_ask;
  d->bid = q->price[MM_BID];
  d->ask = q->price[MM_ASK];
  d->bid_size = q->size[MM_BID];
  d->ask_size = q->size[MM_ASK];
  d->inventory = net;
  d->spread2 = r->spread2;
  d->revaluation2 = r->revaluation2;
  d->fees = r->fees;
  d->why = q->why;
  d->lost = 0;
  if (r->venue)
    return MM_OK;
  for (int side = 0; side < 2; ++side) {
    if (q->price[side] != r->sent_price[side] || q->size[side] != r->sent_size[side]) {
      r->sent_price[side] = q->price[side];
      r->sent_size[side] = q->size[side];
      r->messages[side]++;
    }
  }
  return MM_OK;
}

/* All decisions of the grid before `time`, none of which knows more than the last one did. */
static inline void mm_replay_repeat(mm_replay *r, int64_t time) {
  const int64_t until = time - 1 < r->setup.last ? time - 1 : r->setup.last;
  const uint64_t interval = (uint64_t)r->setup.interval;
  const uint64_t more = ((uint64_t)until - (uint64_t)r->next) / interval;
  if (r->pending == r->n_decisions) /* the last record, all of it live, gets some that are not */
    r->pending_record = r->n_records - 1;
  r->n_decisions += (int64_t)more + 1;
  r->next = (int64_t)((uint64_t)r->next + more * interval);
  r->next = r->next <= r->setup.last - r->setup.interval ? r->next + r->setup.interval : INT64_MAX;
}

/* Cut the record of what is pending, so that the decision `number`, one within it, begins another. */
static inline void mm_replay_cut(mm_replay *r, int64_t number) {
  const int64_t at = r->pending_record, late = number - r->numbers[at];
  const size_t behind = (size_t)(r->n_records - at);
  memmove(&r->decisions[at + 1], &r->decisions[at], behind * sizeof *r->decisions);
  memmove(&r->numbers[at + 1], &r->numbers[at], behind * sizeof *r->numbers);
  ++r->n_records;
  r->numbers[at + 1] = number;
  r->decisions[at + 1].time += late * r->setup.interval;
  r->decisions[at + 1].live_time += late * r->setup.interval;
}

/* Let the decisions take effect whose quotes were live before `time`. Those of one record share their fate
 * from here on: a fill ends a record, so that all of it was decided before, or all after. */
static inline void mm_replay_arrive(mm_replay *r, int64_t time) {
  while (r->pending < r->n_decisions) {
    int64_t live = r->decisions[r->pending_record].live_time, end = r->pending + 1;
    if (r->numbers) {
      live += (r->pending - r->numbers[r->pending_record]) * r->setup.interval;
      end = r->pending_record + 1 < r->n_records ? r->numbers[r->pending_record + 1] : r->n_decisions;
    }
    if (live >= time)
      return;
    int64_t until = r->pending + 1;
    if (end > until) {
      const uint64_t more = ((uint64_t)time - 1 - (uint64_t)live) / (uint64_t)r->setup.interval;
      until = more < (uint64_t)(end - until) ? until + (int64_t)more : end;
    }
    const mm_decision *d = &r->decisions[r->pending_record];
    const int64_t price[2] = {d->bid, d->ask}, size[2] = {d->bid_size, d->ask_size};
    uint32_t lost = 0;
    for (int side = 0; side < 2; ++side) {
      if (size[side] && r->decided_at_fill[side] <= r->pending) {
        r->live_price[side] = price[side];
        r->live_left[side] = size[side];
      } else {
        if (size[side])
          lost |= (uint32_t)1 << side;
        r->live_price[side] = side == MM_BID ? MM_NO_BID : MM_NO_ASK;
        r->live_left[side] = 0;
      }
    }
    if (MM_UNLIKELY(lost)) {
      if (until < end)
        mm_replay_cut(r, until);
      if (r->numbers && r->numbers[r->pending_record] < r->pending) {
        mm_replay_cut(r, r->pending);
        ++r->pending_record;
      }
      r->decisions[r->pending_record].lost = lost;
    }
    r->live_record = r->pending_record;
    r->live_decision = until - 1;
    r->pending = until;
    r->pending_record += until == end || lost;
  }
}

/* Book and log a fill of `lots` at `price`, by the trade under the cursor; `left` of the order is left. */
static inline int mm_replay_fill(mm_replay *r, const mm_events *e, int side, int64_t lots, int64_t price,
                                 int64_t order_id, int64_t left) {
  const int64_t qty = side == MM_BID ? lots : -lots;
  const mm_decision *d = &r->decisions[r->live_record];
  int64_t fee = 0, spread2 = r->spread2, fees = r->fees;
  int status = MM_OK;
  if (r->setup.fee_num)
    status = mm_notional_fee(qty, price, r->setup.fee_num, r->setup.fee_den, &fee);
  if (status == MM_OK)
    status = mm_money_add(&spread2, qty, r->mid2 - 2 * price);
  if (status == MM_OK)
    status = mm_money_add(&fees, fee, 1);
  if (status == MM_OK)
    status = mm_position_fill(&r->position, NULL, 0, qty, price, fee);
  if (MM_UNLIKELY(status != MM_OK))
    return status;
  r->spread2 = spread2;
  r->fees = fees;
  r->made = 0;

  mm_fill *f = &r->fills[r->n_fills];
  memset(f, 0, sizeof *f);
  f->time = e->trade_exchange_time[r->trade];
  f->receive_time = e->trade_time[r->trade];
  f->qty = qty;
  f->price = price;
  f->fee = fee;
  f->order_id = order_id;
  f->fee_currency = -1;
  f->liquidity = MM_MAKER;
  mm_fill_context *c = &r->contexts[r->n_fills++];
  const int64_t better = side == MM_BID ? price - d->touch_bid : d->touch_ask - price;
  memset(c, 0, sizeof *c);
  c->touch_bid = r->touch_bid;
  c->touch_ask = r->touch_ask;
  c->mid2 = r->mid2;
  c->inventory = r->position.net;
  c->decision = r->live_decision;
  c->trade = r->trade;
  c->place = better > 0 ? 0 : better == 0 ? 1 : 2;
  c->complete = left == 0;
  return MM_OK;
}

/* Fill `lots` of what rests on `side`, by the trade under the cursor. */
static inline int mm_replay_hit(mm_replay *r, const mm_events *e, int side, int64_t lots) {
  const int64_t price = r->live_price[side], left = r->live_left[side] - lots;
  const int64_t none = side == MM_BID ? MM_NO_BID : MM_NO_ASK;
  const int status = mm_replay_fill(r, e, side, lots, price, 2 * r->live_decision + side + 1, left);
  if (MM_UNLIKELY(status != MM_OK))
    return status;
  r->live_left[side] = left;
  r->decided_at_fill[side] = r->n_decisions;
  if (!left)
    r->live_price[side] = none;
  /* What we expect to rest from now on: what is in flight will be refused. */
  r->sent_size[side] = r->pending < r->n_decisions ? 0 : left;
  r->sent_price[side] = r->sent_size[side] ? price : none;
  return MM_OK;
}

static inline int mm_replay_on_quote(mm_replay *r, const mm_events *e) {
  const int64_t i = r->quote;
  const int64_t bid = e->bid[i], ask = e->ask[i];
  if (MM_UNLIKELY(bid > ask)) {
    r->crossed++;
    return MM_OK;
  }
  if (bid != r->touch_bid || ask != r->touch_ask || r->setup.weighted)
    r->made = 0;
  r->touch_bid = bid;
  r->touch_ask = ask;
  r->touch_row = i;
  r->two_sided = bid != MM_NO_BID && ask != MM_NO_ASK;
  if (MM_UNLIKELY(!r->two_sided))
    return MM_OK;
  const int64_t mid2 = bid + ask;
  if (mid2 != r->mid2 || !r->has_mid) {
    if (MM_UNLIKELY(mid2 > MM_MID2_LIMIT || mid2 < -MM_MID2_LIMIT))
      return MM_OVERFLOW;
    if (r->position.net) {
      const int status = mm_money_add(&r->revaluation2, r->position.net, mid2 - r->mid2);
      if (MM_UNLIKELY(status != MM_OK))
        return status;
    }
    r->mid2 = mid2;
    r->has_mid = 1;
  }
  return MM_OK;
}

/* What rests on one side at the venue: better prices first, then older orders. */
static inline int mm_replay_hit_side(mm_replay *r, const mm_events *e, int side, int64_t time) {
  mm_venue *v = r->venue;
  const int64_t price = e->price[r->trade];
  const int32_t subtick = e->subtick[r->trade];
  int64_t size = e->size[r->trade]; /* what a trade at our price may fill */
  int at = 0;
  while (at < v->count[side]) {
    const mm_resting *x = &v->resting[side][at];
    const int64_t left = x->size - x->filled;
    int64_t lots = left;
    int status;
    if (side == MM_BID ? price >= x->price : price < x->price || (price == x->price && subtick == 0)) {
      if (!r->setup.touch || price != x->price || subtick != 0 || !size)
        break;
      lots = size < left ? size : left;
      size -= lots;
    }
    if (MM_UNLIKELY((status = mm_replay_fill(r, e, side, lots, x->price, x->order_id, left - lots)) != MM_OK))
      return status;
    at += mm_venue_fill(v, side, at, lots, time) > 0;
    r->wake = INT64_MIN; /* the news of it is on its way */
  }
  return MM_OK;
}

static inline int mm_replay_on_trade(mm_replay *r, const mm_events *e, int64_t time) {
  const int64_t i = r->trade;
  if ((e->flags[i] & MM_TRADE_HIDDEN) && !r->setup.hidden)
    return MM_OK;
  if (r->pending < r->n_decisions)
    mm_replay_arrive(r, time);
  if (r->venue) {
    const int status = mm_replay_hit_side(r, e, MM_BID, time);
    return status == MM_OK ? mm_replay_hit_side(r, e, MM_ASK, time) : status;
  }
  /* Whole ticks are rounded down: a trade is below our bid when its ticks are, and above our ask when
   * its ticks are or when it stands between our tick and the next. Absent sides compare false. */
  const int64_t price = e->price[i], bid = r->live_price[MM_BID], ask = r->live_price[MM_ASK];
  if (price < bid)
    return mm_replay_hit(r, e, MM_BID, r->live_left[MM_BID]);
  if (price > ask || (price == ask && e->subtick[i] > 0))
    return mm_replay_hit(r, e, MM_ASK, r->live_left[MM_ASK]);
  if (r->setup.touch && (price == ask || (price == bid && e->subtick[i] == 0))) {
    const int side = price == ask ? MM_ASK : MM_BID;
    const int64_t left = r->live_left[side];
    return mm_replay_hit(r, e, side, e->size[i] < left ? e->size[i] : left);
  }
  return MM_OK;
}

/* ---- what happens between the rows ---- */

/* When we know of the next fill; INT64_MAX: we know of all. */
static inline int64_t mm_replay_fill_time(const mm_replay *r) {
  return r->heard < r->n_fills ? r->fills[r->heard].receive_time + r->venue->latency : INT64_MAX;
}

/* Hear what is known first: a fill before an answer, since a trade comes before what arrives with it. */
static inline int mm_replay_hear(mm_replay *r, int64_t fill, int64_t answer) {
  r->made = 0;
  if (answer < fill)
    return mm_venue_hear(r->venue, answer);
  const mm_fill *f = &r->fills[r->heard++];
  return mm_venue_hear_fill(r->venue, f->order_id, f->qty > 0 ? f->qty : -f->qty,
                            f->qty > 0 ? MM_BID : MM_ASK);
}

static inline int mm_replay_look(mm_replay *r, int64_t time) {
  const int64_t last = r->n_decisions - 1;
  const mm_orders *o = &r->venue->orders;
  if (MM_UNLIKELY(r->venue->n_messages > r->venue->message_capacity - MM_ORDERS_ACTIONS))
    return MM_CAPACITY;
  const int status =
      mm_venue_look(r->venue, &r->quote_made, r->touch_bid, r->touch_ask, time, last, r->messages);
  if (r->decisions[last].time == time) {
    r->held[2 * last + MM_BID] = (uint16_t)o->held[MM_BID];
    r->held[2 * last + MM_ASK] = (uint16_t)o->held[MM_ASK];
  }
  return status;
}

/* Decide at `time`, knowing all that is known by then, and look at the orders. */
static inline int mm_replay_decide_orders(mm_replay *r, const mm_events *e, int64_t time) {
  int status = mm_replay_full(r) ? MM_CAPACITY : MM_OK;
  while (MM_LIKELY(status == MM_OK)) {
    const int64_t fill = mm_replay_fill_time(r), answer = mm_venue_answer_time(r->venue);
    if (fill > time && answer > time)
      break;
    status = mm_replay_hear(r, fill, answer);
  }
  if (status == MM_OK)
    status = mm_replay_decide(r, e, time);
  if (MM_UNLIKELY(status != MM_OK))
    return status;
  r->venue->stale = 0;
  r->wake = INT64_MIN;
  return mm_replay_look(r, time);
}

MM_INLINE int mm_replay_decision(mm_replay *r, const mm_events *e, int64_t time) {
  return r->venue ? mm_replay_decide_orders(r, e, time) : mm_replay_decide(r, e, time);
}

/* The decision of the grid that is next. */
static inline int mm_replay_next(mm_replay *r, const mm_events *e) {
  const int status = mm_replay_decision(r, e, r->next);
  if (MM_UNLIKELY(status != MM_OK))
    return status;
  /* no sum may overflow: the last decision is at least one interval before the end */
  r->next = r->next <= r->setup.last - r->setup.interval ? r->next + r->setup.interval : INT64_MAX;
  return MM_OK;
}

/* All that happens by itself before `time`, and before the orders are pulled. */
static inline int mm_replay_advance(mm_replay *r, const mm_events *e, int64_t time) {
  mm_venue *v = r->venue;
  int status = MM_OK;
  if (!v) {
    const int repeats = r->numbers && !r->follower && !r->aging && !r->setup.countdown;
    while (status == MM_OK && r->next < time) {
      if (repeats && r->made)
        mm_replay_repeat(r, time);
      else
        status = mm_replay_next(r, e);
    }
    r->wake = r->next;
    return status;
  }
  if (time > r->setup.end)
    time = r->setup.end;
  while (MM_LIKELY(status == MM_OK)) {
    const int64_t fill = mm_replay_fill_time(r), answer = mm_venue_answer_time(v);
    const int64_t arrival = mm_venue_arrival(v), known = fill < answer ? fill : answer;
    const int64_t ours = r->next < v->look ? r->next : v->look;
    if (arrival < time && arrival <= known && arrival <= ours)
      status = mm_venue_arrive(v, r->touch_bid, r->touch_ask);
    else if (known < time && known <= ours)
      status = mm_replay_hear(r, fill, answer);
    else if (ours < time)
      status = r->next <= v->look ? mm_replay_next(r, e) : mm_replay_look(r, v->look);
    else {
      r->wake = arrival < known ? arrival : known;
      r->wake = ours < r->wake ? ours : r->wake;
      return MM_OK;
    }
  }
  return status;
}

/* The most that one trade may add to the fills. */
static inline int64_t mm_replay_fills_of_a_trade(const mm_replay *r) {
  return r->venue ? 2 * MM_ORDERS_SLOTS : 1;
}

/* Let the window see the row under the cursor; once, also when the row is come to again. */
static inline int mm_replay_watch(mm_replay *r, const mm_events *e, int is_quote, int64_t time) {
  mm_follower *f = r->follower;
  if (r->row < f->seen)
    return MM_OK;
  f->seen = r->row + 1;
  const int status =
      is_quote ? mm_rolling_quote(&f->rolling, time, e->bid[r->quote], e->ask[r->quote])
               : mm_rolling_trade(&f->rolling, e->trade_exchange_time[r->trade], time, e->price[r->trade],
                                  e->subtick[r->trade], e->side[r->trade], e->flags[r->trade]);
  return status == MM_INVALID ? MM_INVALID : MM_OK;
}

/* Pass over the quotes under the cursor that repeat the touch. */
MM_INLINE void mm_replay_pass(mm_replay *r, const mm_events *e, int64_t stop) {
  const int64_t touch_bid = r->touch_bid, touch_ask = r->touch_ask, n = stop - r->row;
  const uint8_t *kind = e->kind + r->row;
  const int64_t *bid = e->bid + r->quote, *ask = e->ask + r->quote;
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    uint64_t kinds, other = 0;
    memcpy(&kinds, kind + i, sizeof kinds);
    if (kinds != (uint64_t)MM_EVENT_QUOTE * (UINT64_MAX / 255))
      break;
    for (int j = 0; j < 8; ++j)
      other |= (uint64_t)((bid[i + j] ^ touch_bid) | (ask[i + j] ^ touch_ask));
    if (other)
      break;
  }
  while (i < n && kind[i] == MM_EVENT_QUOTE && bid[i] == touch_bid && ask[i] == touch_ask)
    ++i;
  r->row += i;
  r->quote += i;
}

/* Walk the rows up to `stop` (exclusive). MM_CAPACITY: enlarge and call again; other statuses are final. */
static inline int mm_replay_run(mm_replay *r, const mm_events *e, int64_t stop) {
  const int every_quote = r->setup.interval == 0;
  /* Does a quote that repeats the touch say nothing? */
  const int passes = !every_quote && !r->venue && !r->follower && !r->aging && !r->setup.weighted;
  const int64_t fills = mm_replay_fills_of_a_trade(r);
  int status;
  if (stop > e->rows)
    stop = e->rows;
  for (; r->row < stop; ++r->row) {
    if (passes) {
      mm_replay_pass(r, e, stop);
      if (r->row == stop)
        break;
    }
    const int is_quote = e->kind[r->row] == MM_EVENT_QUOTE;
    const int64_t time = is_quote ? e->quote_time[r->quote] : e->trade_time[r->trade];
    if (r->wake < time && MM_UNLIKELY((status = mm_replay_advance(r, e, time)) != MM_OK))
      return status;
    if (r->follower && MM_UNLIKELY((status = mm_replay_watch(r, e, is_quote, time)) != MM_OK))
      return status;
    if (is_quote) {
      if (every_quote && MM_UNLIKELY(mm_replay_full(r)))
        return MM_CAPACITY;
      const int64_t crossed = r->crossed;
      if (MM_UNLIKELY((status = mm_replay_on_quote(r, e)) != MM_OK))
        return status;
      if (every_quote && r->crossed == crossed && time >= r->setup.first && time <= r->setup.last &&
          MM_UNLIKELY((status = mm_replay_decision(r, e, time)) != MM_OK))
        return status;
      ++r->quote;
    } else {
      if (MM_UNLIKELY(r->n_fills > r->fill_capacity - fills || (r->numbers && mm_replay_full(r))))
        return MM_CAPACITY;
      if (time <= r->setup.end && MM_UNLIKELY((status = mm_replay_on_trade(r, e, time)) != MM_OK))
        return status;
      ++r->trade;
    }
  }
  if (passes && r->row > 0) { /* what is due by the last row, which may have been passed over */
    const int64_t time =
        e->kind[r->row - 1] == MM_EVENT_QUOTE ? e->quote_time[r->quote - 1] : e->trade_time[r->trade - 1];
    return r->wake < time ? mm_replay_advance(r, e, time) : MM_OK;
  }
  return MM_OK;
}

/* After the last row: what was live before the end took effect, though no trade came to show it. */
static inline void mm_replay_finish(mm_replay *r) {
  mm_replay_arrive(r, r->setup.end);
  if (r->venue)
    mm_venue_pull(r->venue, r->setup.end);
}

/* A record for each of the decisions in `out`, from a log whose records stand for several. */
static inline void mm_decisions_expand(const mm_decision *records, const int64_t *numbers, int64_t n_records,
                                       int64_t n_decisions, int64_t interval, mm_decision *out) {
  for (int64_t i = 0; i < n_records; ++i) {
    const int64_t first = numbers[i], end = i + 1 < n_records ? numbers[i + 1] : n_decisions;
    for (int64_t j = first; j < end; ++j) {
      out[j] = records[i];
      out[j].time += (j - first) * interval;
      out[j].live_time += (j - first) * interval;
    }
  }
}

#ifdef __cplusplus
}
#endif

#endif
