/* Loops over the kernels that the tests of same bits compile in many ways. Where a kernel is passed, it is
 * called by its address; where it is NULL, the one of the headers is inlined. */
#include <stdlib.h>

#include "mmcore/ledger.h"
#include "mmcore/matching.h"
#include "mmcore/prices.h"

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- quoting ---- */

typedef void (*quote_kernel)(const mm_policy *, const mm_rules *, double, double, int64_t, int64_t, double,
                             double, double, int64_t, double, mm_quote *);
typedef void (*rows_kernel)(const mm_policy *, const mm_rules *, ptrdiff_t, const mm_column *, mm_quote *);

#define ROW(i)                                                                                               \
  mm_column_double(&c[MM_COLUMN_REFERENCE], i), mm_column_double(&c[MM_COLUMN_INVENTORY], i),                \
      mm_column_int64(&c[MM_COLUMN_BID], i), mm_column_int64(&c[MM_COLUMN_ASK], i),                          \
      mm_column_double(&c[MM_COLUMN_SHIFT], i), mm_column_double(&c[MM_COLUMN_TARGET], i),                   \
      mm_column_double(&c[MM_COLUMN_TIME_LEFT], i), mm_column_int64(&c[MM_COLUMN_STATE], i),                 \
      mm_column_double(&c[MM_COLUMN_AGE], i)

EXPORT void quote_each(quote_kernel kernel, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                       const mm_column *c, mm_quote *out) {
  for (ptrdiff_t i = 0; i < n; ++i)
    if (kernel)
      kernel(policy, rules, ROW(i), &out[i]);
    else
      mm_quote_make(policy, rules, ROW(i), &out[i]);
}

EXPORT void quote_rows(rows_kernel kernel, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                       const mm_column *c, mm_quote *out) {
  if (kernel)
    kernel(policy, rules, n, c, out);
  else
    mm_quote_rows(policy, rules, n, c, out);
}

EXPORT void quote_explained(const mm_policy *policy, const mm_rules *rules, ptrdiff_t n, const mm_column *c,
                            mm_quote *out) {
  mm_trace trace;
  for (ptrdiff_t i = 0; i < n; ++i)
    mm_quote_explain(policy, rules, ROW(i), &out[i], &trace);
}

EXPORT void quote_live(mm_policy *policy, const mm_rules *rules, ptrdiff_t n, const mm_column *c,
                       mm_quote *out) {
  mm_live_policy live;
  memset(&live, 0, sizeof live);
  live.block[0] = live.block[1] = policy;
  for (ptrdiff_t i = 0; i < n; ++i)
    mm_live_quote(&live, rules, ROW(i), &out[i]);
}

EXPORT int level_runs(int level) {
  return mm_cpu_runs((mm_cpu)level);
}

EXPORT void price_rows(int level, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                       const mm_column *c, int64_t *bid, int64_t *ask) {
  mm_price_rows((mm_cpu)level, policy, rules, n, c, bid, ask);
}

EXPORT void quote_blocks(int level, const mm_policy *policy, const mm_rules *rules, ptrdiff_t n,
                         const mm_column *c, mm_quote *out) {
  mm_quote_blocks((mm_cpu)level, policy, rules, n, c, out);
}

/* ---- booking ---- */

typedef int (*fill_kernel)(mm_position *, mm_lot *, int64_t, int64_t, int64_t, int64_t);
typedef int (*mark_kernel)(mm_position *, int64_t);

typedef struct mark_at { /* before row `row`, of one instrument */
  int64_t row, instrument, ticks;
} mark_at;

/* All records of an episode, and the marks between them. The book's memory is the caller's: a lot for each
 * record in each queue, a history of n records, slots. With a kernel (or `bare`) each record is one fill of
 * its position, and nothing else of it is looked at; `bare` 2 books as many at once as it can. */
EXPORT void book_episode(fill_kernel fill, mark_kernel mark, int bare, mm_book *book, int64_t n,
                         const mm_fill *records, int8_t *status, int64_t n_marks, const mark_at *marks,
                         int8_t *mark_status) {
  int64_t next = 0;
  for (int64_t i = 0; i <= n;) {
    for (; next < n_marks && marks[next].row <= i; ++next) {
      mm_position *p = &book->positions[marks[next].instrument];
      mark_status[next] =
          (int8_t)(mark ? mark(p, marks[next].ticks) : mm_position_mark(p, marks[next].ticks));
    }
    if (i == n)
      break;
    const int64_t end = next < n_marks && marks[next].row < n ? marks[next].row : n;
    if (!fill && !bare) {
      mm_book_apply(book, &records[i], end - i, 0, &status[i]);
      i = end;
    }
    while (!fill && bare == 2 && i < end) { /* all of one instrument at once; who is refused is passed over */
      const mm_fill *r = &records[i];
      const int32_t one = r->instrument;
      int64_t n = 1, booked;
      int last;
      while (i + n < end && r[n].instrument == one)
        ++n;
      last = mm_position_fills(&book->positions[one], book->lots[one], book->lots_capacity[one], n, &r->qty,
                               &r->price, &r->fee, sizeof *r, &booked);
      memset(&status[i], MM_OK, (size_t)booked);
      i += booked;
      if (booked < n)
        status[i++] = (int8_t)last;
    }
    for (; i < end; ++i) {
      const mm_fill *r = &records[i];
      mm_position *p = &book->positions[r->instrument];
      mm_lot *lots = book->lots[r->instrument];
      const int64_t room = book->lots_capacity[r->instrument];
      status[i] = (int8_t)(fill ? fill(p, lots, room, r->qty, r->price, r->fee)
                                : mm_position_fill(p, lots, room, r->qty, r->price, r->fee));
    }
  }
}

/* Records of any kind after the marks, if any, of each instrument; `block` has room for the saved book. */
EXPORT void ledger_episode(mm_ledger *l, const int64_t *marks, int64_t n, const mm_fill *records,
                           int8_t *status, uint64_t names, mm_book_block *block) {
  for (int32_t i = 0; i < l->book->n_instruments; ++i)
    if (marks[i] != 0)
      mm_contract_mark(&l->book->positions[i], &l->contracts[i], marks[i]);
  mm_ledger_apply(l, records, n, 0, status);
  mm_book_save(l, names, block);
}

/* ---- replaying ---- */

typedef struct replay_logs { /* memory of the caller, and how much of it was used */
  mm_decision *decisions;
  mm_fill *fills;
  mm_fill_context *contexts;
  mm_message *messages; /* NULL: no orders */
  mm_standing *standing;
  uint16_t *held;
  int64_t *ring;
  int64_t n_decisions, n_fills, n_messages, n_standing;
  int64_t row, spread2, revaluation2, fees, crossed;
  int64_t messages_of[2];
  mm_position position;
} replay_logs;

EXPORT int replay_run(const mm_events *events, const mm_replay_setup *setup, const mm_policy *policy,
                      const mm_rules *rules, int negative_prices, const mm_orders_settings *orders,
                      replay_logs *l) {
  static mm_replay r; /* large, and one thread runs this */
  static mm_venue venue;
  mm_replay_init(&r, setup, policy, rules, negative_prices);
  r.decisions = l->decisions, r.decision_capacity = l->n_decisions;
  r.fills = l->fills, r.contexts = l->contexts, r.fill_capacity = l->n_fills;
  if (l->messages) {
    const int status = mm_venue_init(&venue, orders, setup->latency, l->ring);
    if (status != MM_OK)
      return status;
    venue.messages = l->messages, venue.message_capacity = l->n_messages;
    venue.standing = l->standing, venue.standing_capacity = l->n_standing;
    r.venue = &venue, r.held = l->held;
  }
  const int status = mm_replay_run(&r, events, INT64_MAX);
  if (status == MM_OK)
    mm_replay_finish(&r);
  l->n_decisions = r.n_decisions, l->n_fills = r.n_fills, l->row = r.row;
  l->n_messages = l->messages ? venue.n_messages : 0, l->n_standing = l->messages ? venue.n_standing : 0;
  l->spread2 = r.spread2, l->revaluation2 = r.revaluation2, l->fees = r.fees, l->crossed = r.crossed;
  l->messages_of[0] = r.messages[0], l->messages_of[1] = r.messages[1];
  l->position = r.position;
  return status;
}

#ifdef __cplusplus
}
#endif
