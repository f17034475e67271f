/* Exhaustive model check of mm_orders: every interleaving, to a depth, of targets, messages that arrive in
 * any order or never, fills, rejections, and reports that arrive in any order, twice or never.
 *
 * The venue here knows the truth. After every step, on both sides:
 *   true position + lots that live orders and messages on their way may still fill
 *     <= what mm_orders_exposure says <= max_exposure,
 * no NEW could trade with an order of ours, and the budgets leave a message for every order never canceled.
 *
 * usage: orders_model DEPTH; prints how many states were seen. */
#include <stdio.h>
#include <stdlib.h>

#include "mmcore/orders.h"

enum { ORDERS = 10, FLIGHT = 4, TIMEOUT = 10, RING = 16 };

typedef struct truth {
  int64_t price, size, filled;
  int32_t side, live, revision, known; /* known: NEW has arrived */
} truth;

typedef struct world {
  mm_orders o;
  int64_t ring[RING];
  int64_t position, now;
  truth orders[ORDERS]; /* by id, from 1 */
  mm_action messages[FLIGHT];
  mm_report reports[FLIGHT];
  int32_t n_messages, n_reports;
} world;

static const mm_quote quotes[] = {
    {{100, 103}, {2, 2}, 0, 0, 0, 0},
    {{101, 102}, {1, 3}, 0, 0, 0, 0},
    {{103, 106}, {3, 1}, 0, 0, 0, 0},
    {{MM_NO_BID, 103}, {0, 2}, 0, 0, 0, 0},
};
enum { QUOTES = sizeof quotes / sizeof *quotes };

static int64_t limit;
static uint64_t seen_states, steps;

#define MUST(x)                                                                                              \
  do {                                                                                                       \
    if (!(x)) {                                                                                              \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                \
      show();                                                                                                \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

/* ---- the path, for whoever has to read a failure ---- */

static char path[64][64];
static int path_length;

static void show(void) {
  for (int i = 0; i < path_length; i++)
    fprintf(stderr, "  %s\n", path[i]);
}

/* ---- states seen, with the depth that was left ---- */

enum { TABLE = 1 << 22 };
static uint64_t table[TABLE];
static unsigned char left_at[TABLE];

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) {
  const unsigned char *byte = data;
  for (size_t i = 0; i < bytes; i++)
    hash = (hash ^ byte[i]) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

static int visited(const world *w, int left) {
  world plain = *w;
  uint64_t hash;
  plain.o.ring = NULL;
  plain.o.late = plain.o.duplicates = plain.o.unknown = 0; /* counters change nothing */
  plain.o.held[0] = plain.o.held[1] = 0;
  hash = mix(0xcbf29ce484222325u, &plain, sizeof plain) | 1;
  for (uint64_t at = hash % TABLE, tries = 0; tries < 64; at = (at + 1) % TABLE, tries++) {
    if (table[at] == hash) {
      if (left_at[at] >= left)
        return 1;
      left_at[at] = (unsigned char)left;
      return 0;
    }
    if (!table[at]) {
      table[at] = hash;
      left_at[at] = (unsigned char)left;
      seen_states++;
      return 0;
    }
  }
  seen_states++; /* no room to remember: looked at again where it comes again */
  return 0;
}

/* ---- the laws ---- */

static void check(const world *w) {
  int64_t owed = 0, used = 0;
  for (int side = 0; side < 2; side++) {
    int64_t lots = side == MM_BID ? w->position : -w->position;
    for (int id = 1; id < ORDERS; id++) {
      const truth *t = &w->orders[id];
      int64_t size = t->known && t->live ? t->size : 0;
      if (t->side != side)
        continue;
      for (int i = 0; i < w->n_messages; i++) {
        const mm_action *m = &w->messages[i];
        if (m->order_id != id || m->kind == MM_ACTION_CANCEL)
          continue;
        if (m->kind == MM_ACTION_NEW || !t->known || t->live)
          size = m->size > size ? m->size : size;
      }
      lots += size > t->filled ? size - t->filled : 0;
    }
    MUST(lots <= mm_orders_exposure(&w->o, side));
    MUST(mm_orders_exposure(&w->o, side) <= limit);
    for (int i = 0; i < MM_ORDERS_SLOTS; i++)
      owed += w->o.slots[side][i].id && w->o.slots[side][i].cancel_sent == MM_NOT_STATED;
  }
  if (w->o.settings.n_budgets) {
    const mm_budget *b = &w->o.settings.budgets[0];
    for (int64_t i = 0; i < w->o.capacity && i < w->o.messages; i++)
      used += w->ring[(w->o.messages - 1 - i) % w->o.capacity] > w->now - b->window;
    MUST(used + owed <= b->n);
  }
}

static void explore(const world *w, int left);

static void step(world *w, int left) {
  steps++;
  w->o.ring = w->ring;
  check(w);
  if (left > 0 && !visited(w, left)) {
    path_length++;
    explore(w, left);
    path_length--;
  }
}

#define SAY(...) snprintf(path[path_length], sizeof path[0], __VA_ARGS__)

/* ---- what can happen ---- */

/* The venue's answer; there may be no room for it on the way, which is one more way to lose it. */
static void answer(world *w, int64_t id, int kind, int revision, int reason) {
  mm_report *r;
  if (w->n_reports == FLIGHT)
    return;
  r = &w->reports[w->n_reports++];
  memset(r, 0, sizeof *r);
  r->order_id = id;
  r->filled = w->orders[id].filled;
  r->price = r->size = MM_NOT_STATED;
  r->kind = kind;
  r->side = -1;
  r->revision = revision;
  r->reason = reason;
}

static void drop_message(world *w, int i) {
  memmove(&w->messages[i], &w->messages[i + 1], (size_t)(--w->n_messages - i) * sizeof *w->messages);
  memset(&w->messages[w->n_messages], 0, sizeof *w->messages);
}

static void drop_report(world *w, int i) {
  memmove(&w->reports[i], &w->reports[i + 1], (size_t)(--w->n_reports - i) * sizeof *w->reports);
  memset(&w->reports[w->n_reports], 0, sizeof *w->reports);
}

static void arrive(world *w, const mm_action *m, int refuse) {
  truth *t = &w->orders[m->order_id];
  if (m->kind == MM_ACTION_NEW) {
    t->known = 1;
    t->live = !refuse;
    t->price = m->price;
    t->size = m->size;
    answer(w, m->order_id, refuse ? MM_REPORT_REJECTED : MM_REPORT_ACCEPTED, -1, MM_REASON_POST_ONLY);
  } else if (m->kind == MM_ACTION_AMEND) {
    if (refuse || !t->live) {
      answer(w, m->order_id, MM_REPORT_AMEND_REJECTED, m->revision, MM_REASON_OTHER);
      return;
    }
    t->price = m->price;
    t->size = m->size;
    t->revision = m->revision;
    if (t->filled >= t->size) { /* nothing is left: the order ends */
      t->live = 0;
      answer(w, m->order_id, MM_REPORT_CANCELED, -1, 0);
    } else {
      answer(w, m->order_id, MM_REPORT_AMENDED, m->revision, 0);
    }
  } else if (t->live) {
    t->live = 0;
    answer(w, m->order_id, MM_REPORT_CANCELED, -1, 0);
  } else {
    answer(w, m->order_id, MM_REPORT_CANCEL_REJECTED, -1, 0);
  }
}

static int launch(world *w, const mm_action *actions, int n) {
  if (n < 0 || w->n_messages + n > FLIGHT)
    return 0;
  for (int i = 0; i < n; i++) {
    if (actions[i].order_id >= ORDERS)
      return 0;
    w->messages[w->n_messages++] = actions[i];
    if (actions[i].kind == MM_ACTION_NEW) {
      truth *t = &w->orders[actions[i].order_id];
      t->side = actions[i].side;
    }
    if (actions[i].kind != MM_ACTION_CANCEL)
      for (int id = 1; id < ORDERS; id++) { /* nothing of ours that lives may meet it */
        const truth *t = &w->orders[id];
        if (t->known && t->live && t->side != actions[i].side)
          MUST(!mm_prices_meet(actions[i].side, actions[i].price, t->price));
      }
  }
  return 1;
}

static void explore(const world *from, int left) {
  world w;
  mm_action actions[MM_ORDERS_ACTIONS];
#define BRANCH (w = *from, w.o.ring = w.ring)
  for (int i = 0; i <= QUOTES; i++) {
    int n;
    BRANCH;
    SAY(i == QUOTES ? "cancel all" : "target %d", i);
    n = i == QUOTES ? mm_orders_cancel_all(&w.o, w.now, actions)
                    : mm_orders_target(&w.o, &quotes[i], MM_NO_BID, MM_NO_ASK, w.now, actions);
    MUST(n >= 0);
    if (n && launch(&w, actions, n))
      step(&w, left - 1);
  }
  for (int i = 0; i < from->n_messages; i++) {
    const mm_action m = from->messages[i];
    for (int fate = 0; fate < 3; fate++) {
      if (fate == 1 && m.kind == MM_ACTION_CANCEL)
        continue;
      BRANCH;
      SAY("message %d of order %d %s", m.kind, (int)m.order_id,
          fate == 0   ? "arrives"
          : fate == 1 ? "is refused"
                      : "is lost");
      drop_message(&w, i);
      if (fate < 2)
        arrive(&w, &m, fate);
      step(&w, left - 1);
    }
  }
  for (int id = 1; id < ORDERS; id++) {
    if (!from->orders[id].live)
      continue;
    BRANCH;
    SAY("fill of order %d", id);
    w.orders[id].filled++;
    w.position += w.orders[id].side == MM_BID ? 1 : -1;
    w.orders[id].live = w.orders[id].filled < w.orders[id].size;
    answer(&w, id, MM_REPORT_FILL, -1, 0);
    step(&w, left - 1);
  }
  for (int i = 0; i < from->n_reports; i++)
    for (int fate = 0; fate < 3; fate++) {
      BRANCH;
      SAY("report %d of order %d %s", w.reports[i].kind, (int)w.reports[i].order_id,
          fate == 0   ? "arrives"
          : fate == 1 ? "arrives and will again"
                      : "is lost");
      if (fate < 2)
        MUST(mm_orders_report(&w.o, &w.reports[i]) >= 0 || w.reports[i].kind == MM_REPORT_REJECTED);
      if (fate != 1)
        drop_report(&w, i);
      step(&w, left - 1);
    }
  if (!from->n_messages) /* reports may be late without end; messages to the venue have their timeout */
    for (int ask = 0; ask < 2; ask++) {
      mm_open_order list[ORDERS];
      int n = 0;
      BRANCH;
      SAY(ask ? "reconcile" : "time passes");
      w.now += TIMEOUT;
      for (int id = 1; id < ORDERS; id++) {
        const truth *t = &w.orders[id];
        if (t->live) {
          const mm_open_order open = {id, t->price, t->size, t->filled, t->side, 0};
          list[n++] = open;
        }
      }
      if (ask)
        MUST(mm_orders_reconcile(&w.o, list, n, w.position, w.now) == MM_OK);
      step(&w, left - 1);
    }
}

int main(int argc, char **argv) {
  const int depth = argc > 1 ? atoi(argv[1]) : 6;
  for (int config = 0; config < 4; config++) {
    static world w;
    mm_orders_settings s;
    memset(&s, 0, sizeof s);
    memset(&w, 0, sizeof w);
    memset(table, 0, sizeof table);
    s.max_exposure = limit = config == 3 ? 2 : 3;
    s.hysteresis = config == 1;
    s.timeout = TIMEOUT;
    s.amend = config != 2;
    if (config == 3) {
      s.n_budgets = 1;
      s.budgets[0].n = 5;
      s.budgets[0].window = 2 * TIMEOUT;
    }
    w.now = 100;
    MUST(mm_orders_init(&w.o, &s, 0, 1, w.ring) == MM_OK);
    step(&w, depth);
  }
  printf("%llu states, %llu steps\n", (unsigned long long)seen_states, (unsigned long long)steps);
  return 0;
}
