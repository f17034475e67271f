/* mmcore/venue.h - a venue that our order messages go to, and the way there and back.
 *
 * mm_orders (orders.h) says what to send. A message reaches the venue `latency` after it was sent, is
 * answered there at once, and the answer is known another `latency` later. The log of the messages is
 * the queue both ways: one cursor walks what arrives, a second one what is answered.
 *
 * The venue. Orders rest by price, then by age. NEW and AMEND that would meet the market's touch on arrival
 * are rejected as post-only. An amend to the same price and no larger a size keeps its place; any other
 * goes behind those at its price; one that leaves nothing open ends the order. Cancel and amend of an
 * order that is gone are rejected.
 *
 * A second log says what stood in the market: a record for each order at a price, from when to when.
 *
 * Who knows the market asks for what comes next and says when: matching.h. No allocation: the caller owns
 * the arrays; MM_CAPACITY asks for larger ones, with nothing changed.
 */
#ifndef MMCORE_VENUE_H
#define MMCORE_VENUE_H

#include "orders.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mm_message { /* 56 bytes; MESSAGE in NumPy */
  int64_t time, live_time;  /* ns: sent; at the venue */
  int64_t order_id;
  int64_t price, size; /* ticks; lots, what is filled included */
  int64_t decision;    /* the last one when it was sent */
  int32_t revision;
  int8_t kind, side;     /* MM_ACTION_…; MM_BID, MM_ASK */
  int8_t answer, reason; /* MM_REPORT_…, 0: not there before the end; MM_REASON_… of a rejection */
} mm_message;

typedef struct mm_standing { /* 56 bytes; STANDING in NumPy: an order at one price */
  int64_t time, end_time;    /* ns: trades in (time, end_time] may fill it */
  int64_t order_id;
  int64_t price, size; /* ticks; lots open when it came there */
  int64_t decision;    /* of the message that put it there */
  int32_t side, reserved;
} mm_standing;

typedef struct mm_resting {
  int64_t order_id, price, size, filled;
  int64_t row; /* of the log of what stood */
} mm_resting;

typedef struct mm_venue {
  mm_orders orders; /* what we know */
  int64_t latency;  /* ns, one way */
  mm_message *messages;
  int64_t n_messages, message_capacity;
  int64_t arrived, answered; /* cursors of the messages: at the venue; known to be */
  mm_standing *standing;
  int64_t n_standing, standing_capacity;
  int64_t look;  /* when the orders are looked at next; INT64_MAX: at the next decision */
  int32_t stale; /* the quote is out of date: the orders wait for a decision */
  int32_t count[2], reserved;
  mm_resting resting[2][MM_ORDERS_SLOTS]; /* best price first, then oldest */
} mm_venue;

/* `ring` as in mm_orders_init. The logs may be set or enlarged at any later time. Also MM_INVALID: a timeout
 * shorter than the way there and back, with which each message would count as lost. */
static inline int mm_venue_init(mm_venue *v, const mm_orders_settings *settings, int64_t latency,
                                int64_t *ring) {
  memset(v, 0, sizeof *v);
  v->latency = latency;
  v->look = INT64_MAX;
  if (latency < 0 || latency > settings->timeout / 2)
    return MM_INVALID;
  return mm_orders_init(&v->orders, settings, 0, 1, ring);
}

/* ---- at the venue ---- */

static inline int mm_venue_find(const mm_venue *v, int side, int64_t order_id) {
  for (int i = 0; i < v->count[side]; ++i)
    if (v->resting[side][i].order_id == order_id)
      return i;
  return -1;
}

/* Take the order away; what stood ends at `time`. */
static inline void mm_venue_remove(mm_venue *v, int side, int at, int64_t time) {
  mm_resting *list = v->resting[side];
  v->standing[list[at].row].end_time = time;
  v->count[side]--;
  memmove(list + at, list + at + 1, (size_t)(v->count[side] - at) * sizeof *list);
}

/* Put the order behind those whose price is as good. Every order here holds a slot of `orders`, which has as
 * many. */
static inline void mm_venue_insert(mm_venue *v, const mm_message *m, int64_t filled) {
  mm_resting *list = v->resting[m->side];
  int at = v->count[m->side];
  mm_standing *s = &v->standing[v->n_standing];
  for (; at && (m->side == MM_BID ? list[at - 1].price < m->price : list[at - 1].price > m->price); --at)
    list[at] = list[at - 1];
  v->count[m->side]++;
  list[at].order_id = s->order_id = m->order_id;
  list[at].price = s->price = m->price;
  list[at].size = m->size;
  list[at].filled = filled;
  list[at].row = v->n_standing++;
  s->time = m->live_time;
  s->end_time = INT64_MAX;
  s->size = m->size - filled;
  s->decision = m->decision;
  s->side = m->side;
  s->reserved = 0;
}

/* When the next message arrives; INT64_MAX: none is on its way. */
static inline int64_t mm_venue_arrival(const mm_venue *v) {
  return v->arrived < v->n_messages ? v->messages[v->arrived].live_time : INT64_MAX;
}

/* The message arrives while the market's touch is this. */
static inline int mm_venue_arrive(mm_venue *v, int64_t touch_bid, int64_t touch_ask) {
  mm_message *m = &v->messages[v->arrived];
  const int side = m->side, at = mm_venue_find(v, side, m->order_id);
  const int crosses = mm_prices_meet(side, m->price, side == MM_BID ? touch_ask : touch_bid);
  if (MM_UNLIKELY(v->n_standing >= v->standing_capacity))
    return MM_CAPACITY;
  m->reason = MM_REASON_OTHER;
  if (m->kind == MM_ACTION_NEW) {
    m->answer = crosses ? MM_REPORT_REJECTED : MM_REPORT_ACCEPTED;
    if (crosses)
      m->reason = MM_REASON_POST_ONLY;
    else
      mm_venue_insert(v, m, 0);
  } else if (at < 0) {
    m->answer = m->kind == MM_ACTION_AMEND ? MM_REPORT_AMEND_REJECTED : MM_REPORT_CANCEL_REJECTED;
  } else {
    mm_resting *x = &v->resting[side][at];
    const int64_t filled = x->filled;
    if (m->kind == MM_ACTION_CANCEL || m->size <= filled) {
      m->answer = MM_REPORT_CANCELED;
      mm_venue_remove(v, side, at, m->live_time);
    } else if (m->price == x->price && m->size <= x->size) {
      m->answer = MM_REPORT_AMENDED;
      x->size = m->size;
    } else if (crosses) {
      m->answer = MM_REPORT_AMEND_REJECTED;
      m->reason = MM_REASON_POST_ONLY;
    } else {
      m->answer = MM_REPORT_AMENDED;
      mm_venue_remove(v, side, at, m->live_time);
      mm_venue_insert(v, m, filled);
    }
  }
  v->arrived++;
  return MM_OK;
}

/* `lots` of the order at place `at` of its side are filled; returns what is left of it. */
static inline int64_t mm_venue_fill(mm_venue *v, int side, int at, int64_t lots, int64_t time) {
  mm_resting *x = &v->resting[side][at];
  const int64_t left = x->size - x->filled - lots;
  x->filled += lots;
  if (!left)
    mm_venue_remove(v, side, at, time);
  return left;
}

/* All orders are pulled. */
static inline void mm_venue_pull(mm_venue *v, int64_t time) {
  for (int side = 0; side < 2; ++side)
    while (v->count[side])
      mm_venue_remove(v, side, v->count[side] - 1, time);
}

/* ---- on our side ---- */

/* When the next answer is known; INT64_MAX: none is on its way. */
static inline int64_t mm_venue_answer_time(const mm_venue *v) {
  return v->answered < v->arrived ? v->messages[v->answered].live_time + v->latency : INT64_MAX;
}

/* The answer is known at `time`: what waited for it is looked at. */
static inline int mm_venue_hear(mm_venue *v, int64_t time) {
  const mm_message *m = &v->messages[v->answered++];
  const mm_report report = {
      m->order_id,   MM_NOT_STATED, 0,       MM_NOT_STATED,
      MM_NOT_STATED, m->answer,     m->side, m->kind == MM_ACTION_AMEND ? m->revision : -1,
      m->reason};
  const int status = mm_orders_report(&v->orders, &report);
  if (!v->stale)
    v->look = time;
  return status == MM_OVERFLOW || status == MM_INVALID ? status : MM_OK;
}

/* A fill is known. The quote was made for another inventory: the next decision looks at the orders. */
static inline int mm_venue_hear_fill(mm_venue *v, int64_t order_id, int64_t lots, int side) {
  const mm_report report = {
      order_id, MM_NOT_STATED, lots, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_FILL, side, -1, 0};
  const int status = mm_orders_report(&v->orders, &report);
  v->stale = 1;
  v->look = INT64_MAX;
  return status == MM_OVERFLOW || status == MM_INVALID ? status : MM_OK;
}

/* Look at the orders and log what is to be sent; `messages` counts it by side. There is room for
 * MM_ORDERS_ACTIONS. MM_OVERFLOW: the quote is beyond the bounds of orders. */
static inline int mm_venue_look(mm_venue *v, const mm_quote *quote, int64_t touch_bid, int64_t touch_ask,
                                int64_t time, int64_t decision, int64_t *messages) {
  mm_action actions[MM_ORDERS_ACTIONS];
  const int n = mm_orders_target(&v->orders, quote, touch_bid, touch_ask, time, actions);
  if (MM_UNLIKELY(n < 0))
    return MM_OVERFLOW;
  for (int i = 0; i < n; ++i) {
    mm_message *m = &v->messages[v->n_messages++];
    m->time = time;
    m->live_time = time + v->latency;
    m->order_id = actions[i].order_id;
    m->price = actions[i].price;
    m->size = actions[i].size;
    m->decision = decision;
    m->revision = actions[i].revision;
    m->kind = (int8_t)actions[i].kind;
    m->side = (int8_t)actions[i].side;
    m->answer = m->reason = 0;
    messages[actions[i].side]++;
  }
  /* Where the touch holds a side back, the quote is out of date. Else look again at once after messages,
   * which may let more be sent, and otherwise when a wait ends. */
  v->stale |= ((v->orders.held[MM_BID] | v->orders.held[MM_ASK]) & MM_HELD_TOUCH) != 0;
  v->look = v->stale ? INT64_MAX : n ? time : v->orders.due;
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
