/* mmcore/orders.h - from the quote that is wanted to the fewest order messages.
 *
 * mm_orders_target compares the quote with the orders that stand or are on their way, and writes what to
 * send. mm_orders_report takes in what the venue says, in any order and any number of times.
 *
 * Worst-case exposure. With R[bid] = position + the lots our bids may still buy, and R[ask] = -position +
 * the lots our asks may still sell, nothing is sent that would bring R above max_exposure. An order counts
 * from the moment it is sent until its end is confirmed; an amend counts the larger of both sizes until it
 * is answered; a cancel in flight or a lost message changes nothing. A fill moves lots from the orders
 * into the position and leaves R of its side as it was, so R grows only by what we send.
 *
 * Sizes of orders are whole sizes, what is filled included (OrderQty of FIX): what an amend leaves open
 * does not depend on fills that cross it on the way, so no race can buy more than was asked for.
 *
 * Budgets. Of each budget of n messages in `window` ns, one message is set aside for every order that
 * could still need a cancel: whatever was sent, everything can be cancelled at once within the budget.
 *
 * No allocation: the struct, and the caller's ring of send times. A copy of both is a complete undo.
 */
#ifndef MMCORE_ORDERS_H
#define MMCORE_ORDERS_H

#include <string.h>

#include "quoting.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_ORDERS_SLOTS 8    /* orders of one side that may be working at once */
#define MM_ORDERS_ACTIONS 16 /* the most that one call can write: one for each order */
#define MM_ORDERS_CLOSED 32  /* orders remembered after their end, for late reports; a power of two */
#define MM_ORDERS_BUDGETS 8
#define MM_LOTS_LIMIT 4503599627370496        /* 2^52: bound of sizes, positions and limits */
#define MM_TIME_LIMIT 4611686018427387904     /* 2^62 ns: times lie in 0 .. 2^62, the year 2116 */
#define MM_DURATION_LIMIT 2305843009213693952 /* 2^61 ns */
#define MM_NOT_STATED INT64_MIN               /* a number that a report does not carry */

enum { MM_ACTION_NEW = 1, MM_ACTION_AMEND = 2, MM_ACTION_CANCEL = 3 };

/* What an order is waiting for: a set of bits, 0 when all is confirmed. */
enum { MM_PENDING_NEW = 1, MM_PENDING_AMEND = 2, MM_PENDING_CANCEL = 4 };

typedef enum mm_report_kind {
  MM_REPORT_ACCEPTED = 1,
  MM_REPORT_FILL = 2,
  MM_REPORT_AMENDED = 3,
  MM_REPORT_CANCELED = 4, /* at our request or the venue's; expired */
  MM_REPORT_REJECTED = 5, /* the NEW */
  MM_REPORT_AMEND_REJECTED = 6,
  MM_REPORT_CANCEL_REJECTED = 7
} mm_report_kind;

enum { MM_REASON_OTHER = 0, MM_REASON_POST_ONLY = 1 };

/* Why what stands is not what was asked for: a set of bits for each side. */
typedef enum mm_held {
  MM_HELD_HYSTERESIS = 1 << 0, /* the price is near enough */
  MM_HELD_LIFE = 1 << 1,       /* the order is younger than min_life */
  MM_HELD_BUDGET = 1 << 2,     /* no message left in a window */
  MM_HELD_PENDING = 1 << 3,    /* an answer is awaited */
  MM_HELD_EXPOSURE = 1 << 4,   /* it would pass max_exposure, all in flight counted */
  MM_HELD_OWN = 1 << 5,        /* it could trade with an order of our own */
  MM_HELD_TOUCH = 1 << 6,      /* it would cross the market's touch */
  MM_HELD_REJECTED = 1 << 7,   /* the venue rejected such an order less than `retry` ago */
  MM_HELD_SLOTS = 1 << 8       /* too many orders await the end of their cancel, or all ids are given */
} mm_held;

/* Why the venue's list of open orders should be asked for: see mm_orders_reconcile. */
enum { MM_SUSPECT_STRAY = 1, MM_SUSPECT_OVERFILL = 2, MM_SUSPECT_CONFLICT = 4, MM_SUSPECT_DOUBT = 8 };

typedef struct mm_action {
  int64_t order_id;
  int64_t price, size; /* ticks; lots, what is filled included. CANCEL: those of the order */
  int32_t kind, side, level;
  int32_t revision; /* 0 for NEW, then 1, 2, … for the amends of an order; CANCEL: the last */
} mm_action;

typedef struct mm_report {
  int64_t order_id;
  int64_t filled;      /* lots filled of the order so far; MM_NOT_STATED */
  int64_t qty;         /* lots of this fill; used where `filled` is not stated */
  int64_t price, size; /* ACCEPTED, AMENDED: as the venue has it; MM_NOT_STATED: as asked */
  int32_t kind;
  int32_t side;     /* MM_BID, MM_ASK, -1: not stated. Needed for fills of orders that are not ours */
  int32_t revision; /* of the amend that is answered; -1: not stated */
  int32_t reason;   /* of a rejection */
} mm_report;

/* An order in the venue's list. */
typedef struct mm_open_order {
  int64_t order_id, price, size, filled;
  int32_t side, level;
} mm_open_order;

typedef struct mm_budget {
  int64_t n, window; /* at most n messages in any half-open window of so many ns */
} mm_budget;

typedef struct mm_order {
  int64_t id;                  /* 0: a free slot */
  int64_t price, size;         /* as confirmed, else as sent */
  int64_t new_price, new_size; /* what the amend in flight asks for */
  int64_t filled;
  int64_t wanted;            /* open lots asked for last: fewer are left by fills alone */
  int64_t created;           /* ns: when NEW was sent */
  int64_t born;              /* ns: when it was sent to its price, where min_life begins */
  int64_t sent, cancel_sent; /* ns: last NEW or AMEND; last CANCEL, MM_NOT_STATED: never */
  int64_t known;             /* the report that first showed it at the venue, counted from 1; 0: none yet */
  int32_t pending, revision, level;
  int32_t doubted; /* its fills may be in the reconciled position already */
} mm_order;

typedef struct mm_closed_order {
  int64_t id, size, filled; /* filled MM_LOTS_LIMIT: a reconciled position holds its fills */
  int64_t ended;            /* the report that ended it, counted from 1 */
  int32_t side, doubted;
} mm_closed_order;

typedef struct mm_orders_settings {
  int64_t max_exposure; /* lots; MM_LOTS_LIMIT: none */
  int64_t min_life;     /* ns */
  int64_t hysteresis;   /* ticks */
  int64_t timeout;      /* ns after which a message without an answer was either lost or carried out */
  int64_t retry;        /* ns without a new attempt after a rejection */
  int32_t amend;        /* 0: the venue cannot amend: cancel and new */
  int32_t n_budgets;
  mm_budget budgets[MM_ORDERS_BUDGETS];
} mm_orders_settings;

typedef struct mm_orders {
  /* what a call with an unchanged quote reads */
  int64_t price[2], size[2]; /* the last quote */
  int64_t edge[2];           /* our best prices that stay: they must not meet the touch */
  int64_t now, due;          /* last time; from when the same quote may need an action */
  mm_orders_settings settings;
  int64_t position;
  int64_t doubt[2]; /* lots of bids and asks that the position may hold twice: see mm_orders_reconcile */
  int64_t next_id;
  int64_t messages; /* sent so far */
  int64_t late, duplicates, unknown, strays;
  int64_t bar_price[2], bar_until[2];
  int64_t n_closed;
  int64_t reports;     /* taken in so far */
  int64_t asked;       /* ns: when the venue was asked for its list, MM_NOT_STATED: it was not */
  int64_t asked_after; /* so many reports */
  int32_t held[2];
  uint32_t used[2]; /* bit i: slot i holds an order */
  uint32_t suspect;
  int32_t capacity; /* entries of `ring` */
  mm_order slots[2][MM_ORDERS_SLOTS];
  mm_closed_order closed[MM_ORDERS_CLOSED];
  int64_t *ring; /* when the last `capacity` messages were sent */
} mm_orders;

/* ---- setting up ---- */

/* Entries that the ring needs: the largest n of the budgets. */
static inline int64_t mm_orders_ring(const mm_orders_settings *s) {
  int64_t n = 0;
  for (int32_t i = 0; i < s->n_budgets && i < MM_ORDERS_BUDGETS; ++i)
    n = s->budgets[i].n > n ? s->budgets[i].n : n;
  return n;
}

static inline int mm_orders_settings_check(const mm_orders_settings *s) {
  if (s->max_exposure < 0 || s->max_exposure > MM_LOTS_LIMIT || s->hysteresis < 0 ||
      s->hysteresis > MM_TICK_LIMIT || s->n_budgets < 0 || s->n_budgets > MM_ORDERS_BUDGETS)
    return MM_INVALID;
  if (s->min_life < 0 || s->min_life > MM_DURATION_LIMIT || s->timeout < 0 ||
      s->timeout > MM_DURATION_LIMIT || s->retry < 0 || s->retry > MM_DURATION_LIMIT)
    return MM_INVALID;
  for (int32_t i = 0; i < s->n_budgets; ++i) { /* 2: to open an order and to cancel it */
    const mm_budget *b = &s->budgets[i];
    if (b->n < 2 || b->n > INT32_MAX || b->window < 1 || b->window > MM_DURATION_LIMIT)
      return MM_INVALID;
  }
  return MM_OK;
}

/* `ring` holds at least mm_orders_ring(settings) entries and lives as long as the struct. */
static inline int mm_orders_init(mm_orders *o, const mm_orders_settings *settings, int64_t position,
                                 int64_t first_id, int64_t *ring) {
  if (mm_orders_settings_check(settings) != MM_OK || first_id < 1 || first_id > MM_TIME_LIMIT ||
      position > MM_LOTS_LIMIT || position < -MM_LOTS_LIMIT)
    return MM_INVALID;
  memset(o, 0, sizeof *o);
  o->settings = *settings;
  o->capacity = (int32_t)mm_orders_ring(settings);
  o->ring = ring;
  o->position = position;
  o->next_id = first_id;
  o->price[MM_BID] = o->edge[MM_BID] = MM_NO_BID;
  o->price[MM_ASK] = o->edge[MM_ASK] = MM_NO_ASK;
  o->now = o->due = INT64_MIN;
  o->asked = MM_NOT_STATED;
  o->bar_until[MM_BID] = o->bar_until[MM_ASK] = INT64_MIN;
  return MM_OK;
}

/* ---- what stands ---- */

/* For the slots in use. */
#define MM_ORDERS_EACH(o, side, i)                                                                           \
  for (int i = 0; (o)->used[side] >> i; ++i)                                                                 \
    if ((o)->used[side] >> i & 1)

/* A free slot, now in use; NULL where there is none. */
static inline mm_order *mm_orders_take_slot(mm_orders *o, int side) {
  for (int i = 0; i < MM_ORDERS_SLOTS; ++i)
    if (!(o->used[side] >> i & 1)) {
      o->used[side] |= 1u << i;
      memset(&o->slots[side][i], 0, sizeof o->slots[side][i]);
      return &o->slots[side][i];
    }
  return NULL;
}

/* The most that the order may still fill. */
static inline int64_t mm_order_leaves(const mm_order *x) {
  int64_t size = x->size;
  if ((x->pending & MM_PENDING_AMEND) && x->new_size > size)
    size = x->new_size;
  return size > x->filled ? size - x->filled : 0;
}

/* Where the order is, or is going. */
static inline int64_t mm_order_price(const mm_order *x) {
  return x->pending & MM_PENDING_AMEND ? x->new_price : x->price;
}

/* Worst-case exposure of a side, in lots: the position once all its orders have filled, seen in the
 * direction of the side; what the other side's fills may have moved it twice has not. */
static inline int64_t mm_orders_exposure(const mm_orders *o, int side) {
  int64_t lots = (side == MM_BID ? o->position : -o->position) + o->doubt[!side];
  MM_ORDERS_EACH(o, side, i) lots += mm_order_leaves(&o->slots[side][i]);
  return lots;
}

/* Orders that could still need a cancel. */
static inline int64_t mm_orders_cancelable(const mm_orders *o) {
  int64_t n = 0;
  for (int side = 0; side < 2; ++side)
    MM_ORDERS_EACH(o, side, i) n += !(o->slots[side][i].pending & MM_PENDING_CANCEL);
  return n;
}

/* Would an order at `price` trade with one at `other` on the other side? Never where either is absent. */
static inline int mm_prices_meet(int side, int64_t price, int64_t other) {
  return side == MM_BID ? price >= other : price <= other;
}

/* ---- budgets ---- */

/* May `need` messages be sent at `now`, all at once? Else since when, in *due. */
static inline int mm_orders_affords(const mm_orders *o, int64_t now, int64_t need, int64_t *due) {
  int64_t from = INT64_MIN;
  for (int32_t i = 0; i < o->settings.n_budgets; ++i) {
    const mm_budget *b = &o->settings.budgets[i];
    const int64_t kept = b->n - need; /* so many of the last messages may lie within the window */
    if (kept < 0)
      from = INT64_MAX;
    else if (o->messages > kept) {
      const int64_t sent = o->ring[(o->messages - 1 - kept) % o->capacity];
      from = sent + b->window > from ? sent + b->window : from;
    }
  }
  if (from <= now)
    return 1;
  if (from < *due)
    *due = from;
  return 0;
}

static inline mm_action *mm_orders_send(mm_orders *o, int64_t now, int kind, int side, const mm_order *x,
                                        mm_action *out) {
  if (o->capacity)
    o->ring[o->messages % o->capacity] = now;
  o->messages++;
  out->order_id = x->id;
  out->price = mm_order_price(x);
  out->size = x->pending & MM_PENDING_AMEND ? x->new_size : x->size;
  out->kind = kind;
  out->side = side;
  out->level = x->level;
  out->revision = x->revision;
  return out + 1;
}

/* Cancel unless a cancel is on its way, or was refused less than `timeout` ago. */
static inline mm_action *mm_orders_cancel(mm_orders *o, int64_t now, int side, mm_order *x, int64_t *due,
                                          mm_action *out) {
  int64_t need = 1; /* set aside for this order */
  if (x->cancel_sent != MM_NOT_STATED) {
    if (now - x->cancel_sent < o->settings.timeout) {
      const int64_t again = x->cancel_sent + o->settings.timeout;
      *due = again < *due ? again : *due;
      o->held[side] |= MM_HELD_PENDING;
      return out;
    }
    /* It had its message. Another must leave those of the other orders. */
    need += mm_orders_cancelable(o) - !(x->pending & MM_PENDING_CANCEL);
  }
  if (!mm_orders_affords(o, now, need, due)) {
    o->held[side] |= MM_HELD_BUDGET;
    return out;
  }
  x->pending |= MM_PENDING_CANCEL;
  x->cancel_sent = now;
  return mm_orders_send(o, now, MM_ACTION_CANCEL, side, x, out);
}

/* ---- one side ---- */

typedef struct mm_orders_wish {
  int64_t price, size; /* of this side */
  int64_t opposite;    /* the quote's other price; absent: MM_NO_ASK for a bid, MM_NO_BID for an ask */
  int64_t touch;       /* the market's best price on the other side, likewise */
  int64_t now;
} mm_orders_wish;

/* What of ours, and of what was rejected, forbids an order at the wished price, as bits; *due is when that
 * may end by itself. */
static inline int32_t mm_orders_forbidden(const mm_orders *o, int side, const mm_orders_wish *w,
                                          int64_t *due) {
  int32_t held = 0;
  MM_ORDERS_EACH(o, !side, i) {
    const mm_order *x = &o->slots[!side][i];
    if (mm_prices_meet(side, w->price, x->price) ||
        ((x->pending & MM_PENDING_AMEND) && mm_prices_meet(side, w->price, x->new_price)))
      held |= MM_HELD_OWN;
  }
  if (w->now < o->bar_until[side] && mm_prices_meet(side, w->price, o->bar_price[side])) {
    held |= MM_HELD_REJECTED;
    *due = o->bar_until[side] < *due ? o->bar_until[side] : *due;
  }
  return held;
}

/* Looked at when nothing else holds the order back: an unchanged quote looks at the touch again only then. */
static inline int32_t mm_orders_at_touch(int side, const mm_orders_wish *w, int64_t *due) {
  if (!mm_prices_meet(side, w->price, w->touch))
    return 0;
  *due = INT64_MIN;
  return MM_HELD_TOUCH;
}

/* The order that shall serve the quote: the nearest in price, the oldest of those; NULL when there is none.
 * Orders whose cancel is on its way are gone as far as the quote is concerned. */
static inline mm_order *mm_orders_serving(mm_orders *o, int side, int64_t price) {
  mm_order *best = NULL;
  int64_t nearest = 0;
  MM_ORDERS_EACH(o, side, i) {
    mm_order *x = &o->slots[side][i];
    if (x->pending & MM_PENDING_CANCEL)
      continue;
    const int64_t at = mm_order_price(x), apart = at > price ? at - price : price - at;
    if (!best || apart < nearest || (apart == nearest && x->id < best->id)) {
      best = x;
      nearest = apart;
    }
  }
  return best;
}

static inline mm_action *mm_orders_open(mm_orders *o, int side, const mm_orders_wish *w, int64_t *due,
                                        mm_action *out) {
  mm_order *x;
  int32_t held = mm_orders_forbidden(o, side, w, due);
  if (mm_orders_exposure(o, side) > o->settings.max_exposure - w->size)
    held |= MM_HELD_EXPOSURE;
  if (o->used[side] == (1u << MM_ORDERS_SLOTS) - 1 || o->next_id > MM_TIME_LIMIT)
    held |= MM_HELD_SLOTS;
  if (!held && !mm_orders_affords(o, w->now, 2 + mm_orders_cancelable(o), due))
    held |= MM_HELD_BUDGET;
  if (!held)
    held = mm_orders_at_touch(side, w, due);
  o->held[side] |= held;
  if (held)
    return out;
  x = mm_orders_take_slot(o, side);
  x->id = o->next_id++;
  x->price = w->price;
  x->size = x->wanted = w->size;
  x->created = x->born = x->sent = w->now;
  x->cancel_sent = MM_NOT_STATED;
  x->pending = MM_PENDING_NEW;
  return mm_orders_send(o, w->now, MM_ACTION_NEW, side, x, out);
}

/* Bring the order that serves the quote to it. *replace: it was canceled, a new one may take its place. */
static inline mm_action *mm_orders_adjust(mm_orders *o, int side, const mm_orders_wish *w, mm_order *x,
                                          int64_t *due, int *replace, mm_action *out) {
  const mm_orders_settings *s = &o->settings;
  const int64_t at = mm_order_price(x), leaves = mm_order_leaves(x);
  const int64_t total = x->pending & MM_PENDING_AMEND ? x->new_size : x->size;
  const int64_t left = total > x->filled ? total - x->filled : 0; /* once the amend in flight is done */
  const int64_t allowed = s->max_exposure - (mm_orders_exposure(o, side) - leaves);
  const int unanswered = (x->pending & (MM_PENDING_NEW | MM_PENDING_AMEND)) != 0;
  const int overdue = unanswered && w->now - x->sent >= s->timeout;
  const int crosses = mm_prices_meet(side, at, w->touch) || mm_prices_meet(side, at, w->opposite);
  const int breaks = left > allowed || (leaves > allowed && overdue);
  const int urgent = crosses || breaks; /* neither life nor hysteresis keep it */
  const int64_t apart = at > w->price ? at - w->price : w->price - at;
  const int near = apart <= s->hysteresis && !crosses;
  int64_t price = w->price, size = w->size;
  int cut = 0;

  if (allowed <= 0)
    return mm_orders_cancel(o, w->now, side, x, due, out);
  if (size > allowed) { /* an order that stands is cut to what fits */
    size = allowed;
    o->held[side] |= MM_HELD_EXPOSURE;
  }
  if (near) {
    if (size < left) {
      price = at; /* less at the same price keeps the place in the queue, where the venue amends */
      cut = s->amend;
    } else if (size <= x->wanted || size == left) {
      if (apart)
        o->held[side] |= MM_HELD_HYSTERESIS;
      if (!(breaks && overdue))
        return out;
      return mm_orders_cancel(o, w->now, side, x, due, out);
    }
  }
  if (!urgent && !cut && w->now - x->born < s->min_life) {
    o->held[side] |= MM_HELD_LIFE;
    *due = x->born + s->min_life < *due ? x->born + s->min_life : *due;
    return out;
  }
  if (unanswered) {
    if (urgent || overdue)
      return mm_orders_cancel(o, w->now, side, x, due, out);
    o->held[side] |= MM_HELD_PENDING;
    *due = x->sent + s->timeout < *due ? x->sent + s->timeout : *due;
    return out;
  }
  if (!s->amend && x->cancel_sent != MM_NOT_STATED && w->now - x->cancel_sent < s->timeout)
    return mm_orders_cancel(o, w->now, side, x, due, out); /* a cancel was refused: it waits */
  {
    const mm_orders_wish there = {price, size, w->opposite, w->touch, w->now};
    const int64_t open = mm_orders_cancelable(o);
    const int stays = price == at && s->amend && !crosses; /* a change of size where it stands */
    int32_t held = stays ? 0 : mm_orders_forbidden(o, side, &there, due);
    if (!held && !mm_orders_affords(o, w->now, s->amend ? 1 + open : 2 + open, due))
      held = MM_HELD_BUDGET;
    if (!held && !stays)
      held = mm_orders_at_touch(side, &there, due);
    if (held) {
      o->held[side] |= held;
      return urgent ? mm_orders_cancel(o, w->now, side, x, due, out) : out;
    }
  }
  if (!s->amend) {
    *replace = 1;
    return mm_orders_cancel(o, w->now, side, x, due, out);
  }
  if (price != at || size > left)
    x->born = w->now;
  x->new_price = price;
  x->new_size = x->filled + size;
  x->wanted = size;
  x->sent = w->now;
  x->pending |= MM_PENDING_AMEND;
  x->revision++;
  return mm_orders_send(o, w->now, MM_ACTION_AMEND, side, x, out);
}

static inline mm_action *mm_orders_side(mm_orders *o, int side, const mm_orders_wish *w, int64_t *due,
                                        mm_action *out) {
  mm_order *serving = w->size ? mm_orders_serving(o, side, w->price) : NULL;
  int replace = 0;
  o->held[side] = 0;
  MM_ORDERS_EACH(o, side, i) {
    mm_order *x = &o->slots[side][i];
    if (x != serving)
      out = mm_orders_cancel(o, w->now, side, x, due, out);
  }
  if (serving)
    out = mm_orders_adjust(o, side, w, serving, due, &replace, out);
  if (w->size && (!serving || (replace && (serving->pending & MM_PENDING_CANCEL))))
    out = mm_orders_open(o, side, w, due, out);
  return out;
}

static inline void mm_orders_settle(mm_orders *o) {
  for (int side = 0; side < 2; ++side) {
    o->edge[side] = side == MM_BID ? MM_NO_BID : MM_NO_ASK;
    MM_ORDERS_EACH(o, side, i) {
      const mm_order *x = &o->slots[side][i];
      if (!(x->pending & MM_PENDING_CANCEL)) {
        const int64_t at = mm_order_price(x);
        if (side == MM_BID ? at > o->edge[side] : at < o->edge[side])
          o->edge[side] = at;
      }
    }
  }
}

static inline int mm_orders_wish_check(const mm_quote *q) {
  for (int side = 0; side < 2; ++side) {
    if (q->size[side] < 0 || q->size[side] > MM_LOTS_LIMIT)
      return MM_INVALID;
    if (q->size[side] && (q->price[side] >= MM_TICK_LIMIT || q->price[side] <= -MM_TICK_LIMIT))
      return MM_INVALID;
  }
  return q->size[MM_BID] && q->size[MM_ASK] && q->price[MM_BID] >= q->price[MM_ASK] ? MM_INVALID : MM_OK;
}

static inline int mm_orders_time_check(const mm_orders *o, int64_t now) {
  return now < o->now || now > MM_TIME_LIMIT || now < 0 ? MM_INVALID : MM_OK;
}

static inline int mm_orders_work(mm_orders *o, const mm_quote *q, int64_t touch_bid, int64_t touch_ask,
                                 int64_t now, mm_action *actions) {
  mm_action *out = actions;
  int64_t due = MM_TIME_LIMIT + 1;
  if (mm_orders_time_check(o, now) != MM_OK || mm_orders_wish_check(q) != MM_OK)
    return MM_INVALID;
  const mm_orders_wish wish[2] = {
      {q->price[MM_BID], q->size[MM_BID], q->size[MM_ASK] ? q->price[MM_ASK] : MM_NO_ASK, touch_ask, now},
      {q->price[MM_ASK], q->size[MM_ASK], q->size[MM_BID] ? q->price[MM_BID] : MM_NO_BID, touch_bid, now}};
  /* When prices rise, the ask makes way for the bid, and the other way round. */
  mm_orders_settle(o);
  const int rises = o->edge[MM_BID] != MM_NO_BID && q->size[MM_BID] && q->price[MM_BID] > o->edge[MM_BID];
  const int first = rises ? MM_ASK : MM_BID;
  o->now = now;
  out = mm_orders_side(o, first, &wish[first], &due, out);
  out = mm_orders_side(o, !first, &wish[!first], &due, out);
  for (int side = 0; side < 2; ++side) {
    o->price[side] = q->price[side];
    o->size[side] = q->size[side];
  }
  mm_orders_settle(o);
  o->due = out == actions ? due : INT64_MIN;
  return (int)(out - actions);
}

/* What to send so that the quote stands: writes up to MM_ORDERS_ACTIONS actions and returns how many, or
 * MM_INVALID, with nothing changed: time runs backwards; a size below 0 or above 2^52; a price of a side
 * with a size beyond 2^52; bid >= ask, both with a size. The touch is MM_NO_BID, MM_NO_ASK where absent or
 * not known. The quote's `take` is not looked at. */
static inline int mm_orders_target(mm_orders *o, const mm_quote *q, int64_t touch_bid, int64_t touch_ask,
                                   int64_t now, mm_action *actions) {
  const int64_t changed = (q->price[0] ^ o->price[0]) | (q->price[1] ^ o->price[1]) |
                          (q->size[0] ^ o->size[0]) | (q->size[1] ^ o->size[1]);
  if (MM_LIKELY(!changed && now < o->due && now >= o->now && o->edge[MM_BID] < touch_ask &&
                o->edge[MM_ASK] > touch_bid)) {
    o->now = now;
    return 0;
  }
  return mm_orders_work(o, q, touch_bid, touch_ask, now, actions);
}

/* Cancel everything that may be working; the same returns as mm_orders_target. */
static inline int mm_orders_cancel_all(mm_orders *o, int64_t now, mm_action *actions) {
  mm_quote none;
  memset(&none, 0, sizeof none);
  none.price[MM_BID] = MM_NO_BID;
  none.price[MM_ASK] = MM_NO_ASK;
  return mm_orders_target(o, &none, MM_NO_BID, MM_NO_ASK, now, actions);
}

/* ---- what the venue says ---- */

static inline mm_order *mm_orders_find(mm_orders *o, int64_t id, int *side) {
  for (*side = 0; *side < 2; ++*side)
    MM_ORDERS_EACH(o, *side, i) if (o->slots[*side][i].id == id) return &o->slots[*side][i];
  return NULL;
}

/* The last entry of the id, or NULL. */
static inline mm_closed_order *mm_orders_find_closed(mm_orders *o, int64_t id) {
  for (int64_t i = o->n_closed; i > 0 && i > o->n_closed - MM_ORDERS_CLOSED; --i) {
    mm_closed_order *c = &o->closed[(i - 1) % MM_ORDERS_CLOSED];
    if (c->id == id)
      return c;
  }
  return NULL;
}

static inline void mm_orders_remember(mm_orders *o, int64_t id, int side, int64_t size, int64_t filled,
                                      int doubted) {
  mm_closed_order *c = &o->closed[o->n_closed++ % MM_ORDERS_CLOSED];
  c->id = id;
  c->size = size;
  c->filled = filled;
  c->ended = o->reports;
  c->side = side;
  c->doubted = doubted;
}

static inline void mm_orders_close(mm_orders *o, int side, mm_order *x, int64_t filled) {
  mm_orders_remember(o, x->id, side, x->size, filled, x->doubted);
  o->used[side] &= ~(1u << (x - o->slots[side]));
  memset(x, 0, sizeof *x);
}

/* A report, the last one taken in, or the venue's list shows that the order has arrived. */
static inline void mm_orders_arrived(const mm_orders *o, mm_order *x) {
  x->pending &= ~MM_PENDING_NEW;
  if (!x->known)
    x->known = o->reports > 0 ? o->reports : 1;
}

/* Move the position by a fill; a doubted one may be in it already. */
static inline int mm_orders_move(mm_orders *o, int side, int64_t lots, int doubted) {
  const int64_t position = o->position + (side == MM_BID ? lots : -lots);
  const int64_t doubt = o->doubt[side] + (doubted ? lots : 0);
  if (position > MM_LOTS_LIMIT || position < -MM_LOTS_LIMIT || doubt > MM_LOTS_LIMIT)
    return MM_OVERFLOW;
  o->position = position;
  o->doubt[side] = doubt;
  return MM_OK;
}

/* No order at such a price for a while; any price, where the reason was not the price. */
static inline void mm_orders_bar(mm_orders *o, int side, int64_t price, int32_t reason) {
  if (!o->settings.retry)
    return;
  o->bar_price[side] = reason == MM_REASON_POST_ONLY ? price : side == MM_BID ? INT64_MIN : INT64_MAX;
  o->bar_until[side] = o->now + o->settings.retry;
}

static inline int mm_report_check(const mm_report *r) {
  if (r->kind < MM_REPORT_ACCEPTED || r->kind > MM_REPORT_CANCEL_REJECTED || r->order_id < 1 ||
      r->order_id > MM_TIME_LIMIT || r->side < -1 || r->side > MM_ASK || r->revision < -1 ||
      r->reason < MM_REASON_OTHER || r->reason > MM_REASON_POST_ONLY)
    return MM_INVALID;
  if (r->filled != MM_NOT_STATED && (r->filled < 0 || r->filled > MM_LOTS_LIMIT - 1))
    return MM_INVALID;
  if (r->qty < 0 || r->qty > MM_LOTS_LIMIT - 1 ||
      (r->kind == MM_REPORT_FILL && r->filled == MM_NOT_STATED && !r->qty))
    return MM_INVALID;
  if (r->price != MM_NOT_STATED && (r->price >= MM_TICK_LIMIT || r->price <= -MM_TICK_LIMIT))
    return MM_INVALID;
  if (r->size != MM_NOT_STATED && (r->size < 0 || r->size > MM_LOTS_LIMIT))
    return MM_INVALID;
  return MM_OK;
}

/* A report on an order that is closed or was never ours. */
static inline int mm_orders_report_late(mm_orders *o, const mm_report *r) {
  mm_closed_order *c = mm_orders_find_closed(o, r->order_id);
  const int64_t stated = r->filled != MM_NOT_STATED ? r->filled : 0;
  int64_t more;
  if (c) {
    if (r->side >= 0 && r->side != c->side)
      return MM_CONFLICT;
    more = stated - c->filled;
    if (r->kind == MM_REPORT_FILL && r->filled == MM_NOT_STATED) /* never beyond the size: a repetition */
      more = r->qty < c->size - c->filled ? r->qty : c->size - c->filled;
    if (more <= 0) {
      o->duplicates++;
      return MM_DUPLICATE;
    }
    if (mm_orders_move(o, c->side, more, c->doubted) != MM_OK)
      return MM_OVERFLOW;
    c->filled += more;
    o->late++;
  } else {
    more = r->qty ? r->qty : stated;
    if (r->kind != MM_REPORT_FILL || r->side < 0 || !more) {
      o->unknown++;
      o->suspect |= r->kind == MM_REPORT_FILL ? (uint32_t)MM_SUSPECT_STRAY : 0u;
      return MM_UNKNOWN;
    }
    if (mm_orders_move(o, r->side, more, 0) != MM_OK)
      return MM_OVERFLOW;
    mm_orders_remember(o, r->order_id, r->side, MM_LOTS_LIMIT, stated > more ? stated : more, 0);
    o->strays++;
    o->suspect |= MM_SUSPECT_STRAY;
  }
  o->due = INT64_MIN;
  return MM_OK;
}

/* Take in a report.
 *
 * MM_OK: done. A fill of an order that is not ours, with its side, moves the position; `strays` counts it.
 * MM_DUPLICATE: known already, or overtaken: no effect.
 * MM_UNKNOWN: such an order was never ours, or ended long ago; nothing but the counter changed.
 * MM_CONFLICT: the side is not the order's, or a rejection of an order that was accepted; `suspect` says so.
 * MM_INVALID: a field is outside what is allowed. MM_OVERFLOW: the position would leave its bounds.
 *
 * Where reports state `filled`, they may come in any order and any number of times. Where they do not, a
 * fill must come once, and CANCELED after the order's fills. */
static inline int mm_orders_report(mm_orders *o, const mm_report *r) {
  int side, applies;
  mm_order *x;
  int64_t more = 0;
  if (mm_report_check(r) != MM_OK)
    return MM_INVALID;
  o->reports++;
  x = mm_orders_find(o, r->order_id, &side);
  if (!x)
    return mm_orders_report_late(o, r);
  if ((r->side >= 0 && r->side != side) ||
      (r->kind == MM_REPORT_REJECTED && !(x->pending & MM_PENDING_NEW))) {
    o->suspect |= MM_SUSPECT_CONFLICT;
    return MM_CONFLICT;
  }
  if (r->filled != MM_NOT_STATED)
    more = r->filled > x->filled ? r->filled - x->filled : 0;
  else if (r->kind == MM_REPORT_FILL)
    more = r->qty;
  if (more && (x->filled > MM_LOTS_LIMIT - 1 - more || mm_orders_move(o, side, more, x->doubted) != MM_OK))
    return MM_OVERFLOW;
  x->filled += more;

  applies = more != 0;
  if ((more || r->kind == MM_REPORT_AMENDED) && (x->pending & MM_PENDING_NEW))
    mm_orders_arrived(o, x); /* it must have been accepted */
  switch (r->kind) {
  case MM_REPORT_ACCEPTED:
    if (x->pending & MM_PENDING_NEW) {
      mm_orders_arrived(o, x);
      x->price = r->price != MM_NOT_STATED ? r->price : x->price;
      x->size = r->size != MM_NOT_STATED ? r->size : x->size;
      applies = 1;
    }
    break;
  case MM_REPORT_AMENDED:
  case MM_REPORT_AMEND_REJECTED:
    if (!(x->pending & MM_PENDING_AMEND) || (r->revision >= 0 && r->revision != x->revision))
      break;
    x->pending &= ~MM_PENDING_AMEND;
    applies = 1;
    if (r->kind == MM_REPORT_AMENDED) {
      x->price = r->price != MM_NOT_STATED ? r->price : x->new_price;
      x->size = r->size != MM_NOT_STATED ? r->size : x->new_size;
    } else {
      x->wanted = x->size > x->filled ? x->size - x->filled : 0;
      mm_orders_bar(o, side, x->new_price, r->reason);
    }
    break;
  case MM_REPORT_REJECTED:
    mm_orders_bar(o, side, x->price, r->reason);
    mm_orders_close(o, side, x, x->filled);
    o->due = INT64_MIN;
    return MM_OK;
  case MM_REPORT_CANCELED:
    mm_orders_close(o, side, x, x->filled);
    o->due = INT64_MIN;
    return MM_OK;
  case MM_REPORT_CANCEL_REJECTED:
    if (x->pending & MM_PENDING_CANCEL) {
      x->pending &= ~MM_PENDING_CANCEL;
      applies = 1;
    }
    break;
  default:
    break;
  }
  if (!applies) {
    o->duplicates++;
    return MM_DUPLICATE;
  }
  o->due = INT64_MIN;
  if (!mm_order_leaves(x)) {
    if (x->filled > x->size && (!(x->pending & MM_PENDING_AMEND) || x->filled > x->new_size))
      o->suspect |= MM_SUSPECT_OVERFILL;
    mm_orders_close(o, side, x, x->filled);
  }
  return MM_OK;
}

/* Has an order waited for an answer for `timeout`? Then its fate is not known: reconcile. */
static inline int mm_orders_overdue(const mm_orders *o, int64_t now) {
  for (int side = 0; side < 2; ++side)
    MM_ORDERS_EACH(o, side, i) {
      const mm_order *x = &o->slots[side][i];
      if (((x->pending & (MM_PENDING_NEW | MM_PENDING_AMEND)) && now - x->sent >= o->settings.timeout) ||
          ((x->pending & MM_PENDING_CANCEL) && now - x->cancel_sent >= o->settings.timeout))
        return 1;
    }
  return 0;
}

static inline const mm_open_order *mm_open_find(const mm_open_order *list, int64_t n, int64_t id) {
  for (int64_t i = 0; i < n; ++i)
    if (list[i].order_id == id)
      return &list[i];
  return NULL;
}

static inline int mm_open_check(const mm_open_order *list, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const mm_open_order *e = &list[i];
    if (e->order_id < 1 || e->order_id > MM_TIME_LIMIT || (e->side != MM_BID && e->side != MM_ASK) ||
        e->size < 1 || e->size > MM_LOTS_LIMIT || e->filled < 0 || e->filled >= e->size ||
        e->price >= MM_TICK_LIMIT || e->price <= -MM_TICK_LIMIT || e->level < 0)
      return MM_INVALID;
    if (mm_open_find(list, i, e->order_id))
      return MM_CONFLICT;
  }
  return MM_OK;
}

/* An order of ours that the venue lists. Returns what was filled after the list was made. */
static inline int64_t mm_orders_listed(const mm_orders *o, mm_order *x, const mm_open_order *e,
                                       int64_t asked) {
  const int64_t newer = x->filled > e->filled ? x->filled - e->filled : 0;
  x->filled += newer ? 0 : e->filled - x->filled;
  mm_orders_arrived(o, x);
  if (x->pending & MM_PENDING_AMEND) {
    const int done = e->price == x->new_price && e->size == x->new_size;
    if (done || asked - x->sent >= o->settings.timeout)
      x->pending &= ~MM_PENDING_AMEND;
  }
  if ((x->pending & MM_PENDING_CANCEL) && asked - x->cancel_sent >= o->settings.timeout)
    x->pending &= ~MM_PENDING_CANCEL;
  x->price = e->price;
  x->size = e->size;
  if (!(x->pending & MM_PENDING_AMEND))
    x->wanted = e->size - e->filled > x->wanted ? e->size - e->filled : x->wanted;
  return newer;
}

/* The venue is asked for its list: mm_orders_reconcile then knows what may have happened since. */
static inline int mm_orders_ask(mm_orders *o, int64_t now) {
  if (mm_orders_time_check(o, now) != MM_OK)
    return MM_INVALID;
  o->now = o->asked = now;
  o->asked_after = o->reports;
  return MM_OK;
}

/* Settle with the venue's list of open orders and its position, both as of one moment: any since
 * mm_orders_ask, or where that was not called, after all reports so far and before all to come.
 *
 * An order that is listed is open as listed; what was filled of it after that is added to the position. One
 * that is not listed is gone if a report had shown it at the venue before, or if it was sent `timeout`
 * before. Of the others, and of those that ended since the list was asked for, nobody can tell whether they
 * had not arrived yet or had been filled before: they count on, and their fills are added, but in doubt:
 * mm_orders_exposure counts them for the side where they are worse, and `suspect` asks for another list.
 * Orders that are listed and not known become ours (target keeps or cancels them).
 *
 * MM_INVALID: time runs backwards, or an entry is outside what is allowed. MM_CONFLICT: an id twice, or with
 * another side. MM_CAPACITY: more orders than slots. MM_OVERFLOW. All with nothing changed. */
static inline int mm_orders_reconcile(mm_orders *o, const mm_open_order *list, int64_t n, int64_t position,
                                      int64_t now) {
  mm_orders copy = *o;
  const int64_t asked = o->asked != MM_NOT_STATED ? o->asked : now;
  const int64_t before = o->asked != MM_NOT_STATED ? o->asked_after : o->reports;
  int status = mm_orders_time_check(o, now), side, doubt = 0;
  if (status != MM_OK || position > MM_LOTS_LIMIT || position < -MM_LOTS_LIMIT)
    return MM_INVALID;
  status = mm_open_check(list, n);
  if (status != MM_OK)
    return status;
  copy.asked = MM_NOT_STATED;
  copy.now = now;
  copy.position = position;
  copy.doubt[MM_BID] = copy.doubt[MM_ASK] = 0;
  for (int64_t i = copy.n_closed; i > 0 && i > copy.n_closed - MM_ORDERS_CLOSED; --i) {
    mm_closed_order *c = &copy.closed[(i - 1) % MM_ORDERS_CLOSED];
    const mm_open_order *e = mm_open_find(list, n, c->id);
    int64_t newer = 0;
    c->doubted = 0;
    if (c->filled >= MM_LOTS_LIMIT)
      continue;
    if (e && e->side != c->side)
      return MM_CONFLICT;
    if (c->ended > before) {
      c->doubted = !e;
      newer = c->filled - (e ? e->filled : 0);
    }
    doubt |= c->doubted;
    if (newer > 0 && mm_orders_move(&copy, c->side, newer, c->doubted) != MM_OK)
      return MM_OVERFLOW;
  }
  for (side = 0; side < 2; ++side) {
    for (int i = 0; i < MM_ORDERS_SLOTS; ++i) {
      mm_order *x = &copy.slots[side][i];
      const mm_open_order *e = x->id ? mm_open_find(list, n, x->id) : NULL;
      int64_t newer = 0;
      if (!x->id)
        continue;
      if (e && e->side != side)
        return MM_CONFLICT;
      x->doubted = 0;
      if (e)
        newer = mm_orders_listed(&copy, x, e, asked);
      else if (asked - x->created >= copy.settings.timeout || (x->known && x->known <= before))
        mm_orders_close(&copy, side, x, MM_LOTS_LIMIT);
      else
        newer = x->filled, x->doubted = doubt = 1;
      if (mm_orders_move(&copy, side, newer, x->doubted) != MM_OK)
        return MM_OVERFLOW;
      if (x->id && !mm_order_leaves(x))
        mm_orders_close(&copy, side, x, x->filled);
    }
  }
  for (int64_t k = 0; k < n; ++k) {
    const mm_open_order *e = &list[k];
    const mm_closed_order *c = mm_orders_find_closed(&copy, e->order_id);
    mm_order *x;
    if (mm_orders_find(&copy, e->order_id, &side) || (c && c->filled < MM_LOTS_LIMIT && c->ended > before))
      continue;
    x = mm_orders_take_slot(&copy, e->side);
    if (!x)
      return MM_CAPACITY;
    x->id = e->order_id;
    x->price = e->price;
    x->size = e->size;
    x->filled = e->filled;
    x->wanted = e->size - e->filled;
    x->created = x->born = x->sent = asked;
    mm_orders_arrived(&copy, x);
    x->cancel_sent = MM_NOT_STATED;
    x->level = e->level;
    if (copy.next_id <= e->order_id)
      copy.next_id = e->order_id + 1;
  }
  copy.suspect = doubt ? (uint32_t)MM_SUSPECT_DOUBT : 0u;
  copy.due = INT64_MIN;
  mm_orders_settle(&copy);
  *o = copy;
  return MM_OK;
}

/* ---- as bytes ---- */

#define MM_ORDERS_MAGIC 0x4f434d4du /* "MMCO" as little-endian bytes */

/* The saved state: this header, then `capacity` send times. */
typedef struct mm_orders_block {
  uint32_t magic, abi;
  uint64_t bytes, checksum; /* of the whole block; mm_checksum of what follows */
  mm_orders orders;         /* its `ring` is NULL */
} mm_orders_block;

static inline uint64_t mm_orders_bytes(const mm_orders *o) {
  return sizeof(mm_orders_block) + (uint64_t)o->capacity * sizeof(int64_t);
}

static inline uint64_t mm_orders_checksum(const mm_orders_block *block, uint64_t bytes) {
  const uint64_t from = offsetof(mm_orders_block, orders);
  return mm_checksum(MM_CHECKSUM_START, (const unsigned char *)block + from, bytes - from);
}

/* Write mm_orders_bytes(o) bytes; `block` is aligned to 8. */
static inline void mm_orders_save(const mm_orders *o, mm_orders_block *block) {
  memset(block, 0, sizeof *block);
  block->magic = MM_ORDERS_MAGIC;
  block->abi = MMCORE_ABI_VERSION;
  block->bytes = mm_orders_bytes(o);
  block->orders = *o;
  block->orders.ring = NULL;
  if (o->capacity)
    memcpy(block + 1, o->ring, (size_t)o->capacity * sizeof *o->ring);
  block->checksum = mm_orders_checksum(block, block->bytes);
}

static inline int mm_order_sound(const mm_order *x) {
  const int64_t lots = 2 * MM_LOTS_LIMIT;
  if (x->id == 0)
    return 1;
  return x->id > 0 && x->id <= MM_TIME_LIMIT && x->price < MM_TICK_LIMIT && x->price > -MM_TICK_LIMIT &&
         x->new_price < MM_TICK_LIMIT && x->new_price > -MM_TICK_LIMIT && x->size >= 0 && x->size <= lots &&
         x->new_size >= 0 && x->new_size <= lots && x->filled >= 0 && x->filled < MM_LOTS_LIMIT &&
         x->wanted >= 0 && x->wanted <= lots && x->created >= 0 && x->created <= MM_TIME_LIMIT &&
         x->born >= 0 && x->born <= MM_TIME_LIMIT && x->sent >= 0 && x->sent <= MM_TIME_LIMIT &&
         (x->cancel_sent == MM_NOT_STATED || (x->cancel_sent >= 0 && x->cancel_sent <= MM_TIME_LIMIT)) &&
         x->pending >= 0 && x->pending <= 7 && x->revision >= 0 && (x->doubted & ~1) == 0;
}

/* Is a block of `bytes` bytes, aligned to 8, one that mm_orders_save wrote? Nothing that passes makes the
 * functions above leave their memory or the range of their integers. */
static inline int mm_orders_block_check(const mm_orders_block *block, uint64_t bytes) {
  if (bytes < sizeof *block || block->magic != MM_ORDERS_MAGIC || block->abi != MMCORE_ABI_VERSION ||
      block->bytes != bytes)
    return MM_CORRUPT;
  const mm_orders *o = &block->orders;
  const int64_t *ring = (const int64_t *)(const void *)(block + 1);
  if (block->checksum != mm_orders_checksum(block, bytes) ||
      mm_orders_settings_check(&o->settings) != MM_OK || o->capacity != mm_orders_ring(&o->settings) ||
      bytes != mm_orders_bytes(o))
    return MM_CORRUPT;
  if (o->position > MM_LOTS_LIMIT || o->position < -MM_LOTS_LIMIT || o->next_id < 1 ||
      o->next_id > MM_TIME_LIMIT + 1 || o->used[MM_BID] >> MM_ORDERS_SLOTS ||
      o->used[MM_ASK] >> MM_ORDERS_SLOTS || o->messages < 0 || o->n_closed < 0 || o->now > MM_TIME_LIMIT ||
      o->reports < 0 || o->asked_after < 0 ||
      (o->asked != MM_NOT_STATED && (o->asked < 0 || o->asked > MM_TIME_LIMIT)))
    return MM_CORRUPT;
  for (int side = 0; side < 2; ++side)
    if (o->doubt[side] < 0 || o->doubt[side] > MM_LOTS_LIMIT)
      return MM_CORRUPT;
  for (int side = 0; side < 2; ++side)
    for (int i = 0; i < MM_ORDERS_SLOTS; ++i)
      if (!mm_order_sound(&o->slots[side][i]) || (o->slots[side][i].id != 0) != (o->used[side] >> i & 1))
        return MM_CORRUPT;
  for (int i = 0; i < MM_ORDERS_CLOSED; ++i) {
    const mm_closed_order *c = &o->closed[i];
    if (c->size < 0 || c->size > 2 * MM_LOTS_LIMIT || c->filled < 0 || c->filled > MM_LOTS_LIMIT ||
        c->side < MM_BID || c->side > MM_ASK)
      return MM_CORRUPT;
  }
  for (int32_t i = 0; i < o->capacity; ++i)
    if (ring[i] < 0 || ring[i] > MM_TIME_LIMIT)
      return MM_CORRUPT;
  return MM_OK;
}

/* Resume from a checked block; `ring` holds block->orders.capacity entries. */
static inline void mm_orders_load(const mm_orders_block *block, mm_orders *o, int64_t *ring) {
  *o = block->orders;
  o->ring = ring;
  if (o->capacity)
    memcpy(ring, block + 1, (size_t)o->capacity * sizeof *ring);
}

#ifdef __cplusplus
}
#endif

#endif
