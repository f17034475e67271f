/* The step of a desk that runs, in C: event -> quote -> limits -> order messages -> reports -> book, and
 * recalibration. For bench_live.py, and for the test that counts allocations. */
#define _POSIX_C_SOURCE 199309L /* clock_gettime */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mmcore/book.h"
#include "mmcore/calibration.h"
#include "mmcore/orders.h"
#include "mmcore/recalibration.h"

#if defined(_WIN32)
#define DOOR __declspec(dllexport)
#else
#define DOOR __attribute__((visibility("default")))
#endif

typedef struct desk {
  mm_live_policy live;
  mm_rules rules;
  mm_orders orders;
  mm_position position;
  mm_rolling rolling;
  mm_quote quote;
  int64_t now, mid, messages, fills;
  uint64_t random;
} desk;

static desk d;
static int64_t ring[4096];
static int calibrating = 1; /* the window of the calibration takes every event in */

static uint64_t next_random(void) { /* xorshift64* */
  d.random ^= d.random >> 12, d.random ^= d.random << 25, d.random ^= d.random >> 27;
  return d.random * 0x2545f4914f6cdd1du;
}

static mm_parameters parameters_of(double q_max) {
  mm_parameters p;
  mm_parameters_init(&p, MM_MODEL_EXACT);
  p.sigma = p.k[0] = p.k[1] = 0.3, p.A[0] = p.A[1] = 0.9, p.gamma = 0.01, p.q_max = q_max;
  return p;
}

/* All memory that the desk will ever use. 0: done. */
DOOR int desk_begin(double q_max) {
  const char *wrong;
  mm_parameters p = parameters_of(q_max);
  const uint64_t bytes = mm_recalibration_bytes(&p), rounded = (bytes + 63) / 64 * 64;
  char *memory = (char *)malloc((size_t)(2 * rounded + 64));
  mm_rolling_settings window = {1000000000, 300, 60000000000, 1000000000, 2, 20, 0, 0};
  mm_orders_settings settings;
  if (!memory)
    return 1;
  memset(&d, 0, sizeof d);
  memory += (64 - (uintptr_t)memory % 64) % 64;
  for (int i = 0; i < 2; ++i)
    mm_recalibration_begin(
        &p, d.live.block[i] = d.live.memory[i] = (mm_policy *)(void *)(memory + i * rounded), bytes);
  d.live.work = (double *)malloc(sizeof(double) * MM_RECALIBRATION_WORK(mm_nodes_of(&p)));
  mm_rules_init(&d.rules);
  d.rules.max_position = q_max, d.rules.halt_after = 2;
  memset(&settings, 0, sizeof settings);
  settings.max_exposure = (int64_t)q_max, settings.amend = 1, settings.timeout = settings.retry = 1000000000;
  settings.n_budgets = 1, settings.budgets[0].n = 4096, settings.budgets[0].window = 1000000000;
  d.now = 1000000000, d.mid = 20001, d.random = 88172645463325252u;
  mm_position_init(&d.position, MM_AVERAGE, 0);
  return mm_orders_init(&d.orders, &settings, 0, 1, ring) ||
         mm_rolling_init(&d.rolling, &window,
                         (int64_t *)malloc(sizeof(int64_t) * (size_t)mm_rolling_words(&window))) ||
         mm_live_set(&d.live, &p, &wrong);
}

/* Orders that a trade at `price` goes through are filled: at the venue, then in our orders and book. */
static void fills(int64_t price) {
  for (int side = 0; side < 2; ++side)
    MM_ORDERS_EACH(&d.orders, side, i) {
      const mm_order x = d.orders.slots[side][i];
      if (side == MM_BID ? price < x.price : price > x.price) {
        mm_report r = {x.id, x.size, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_FILL, -1, -1, 0};
        const int64_t lots = x.size - x.filled;
        mm_position_fill(&d.position, NULL, 0, side == MM_BID ? lots : -lots, x.price, 0);
        mm_orders_report(&d.orders, &r);
        d.fills++;
      }
    }
}

/* One event, a quote or in one of ten a trade, and all that follows from it. */
static void step(void) {
  const uint64_t random = next_random();
  mm_action actions[MM_ORDERS_ACTIONS];
  d.now += 1000000;
  if (random % 10 == 0) {
    const int64_t reach = 2 + (int64_t)(random >> 8) % 6, price = (d.mid + 1) / 2;
    const int32_t side = (random >> 16) & 1 ? 1 : -1;
    if (calibrating)
      mm_rolling_trade(&d.rolling, d.now, d.now, price + side * reach, 0, side, 0);
    fills(price + side * reach);
  } else {
    d.mid += (int64_t)((random >> 20) % 3) - 1;
  }
  const int64_t bid = (d.mid - 1) >> 1, ask = bid + 1 + (d.mid & 1);
  if (calibrating)
    mm_rolling_quote(&d.rolling, d.now, bid, ask);
  mm_live_quote(&d.live, &d.rules, (double)(bid + ask) * 0.5, (double)d.orders.position, bid, ask, 0, 0,
                INFINITY, 0, 0, &d.quote);
  const int n = mm_orders_target(&d.orders, &d.quote, bid, ask, d.now, actions);
  for (int i = 0; i < n; ++i) {
    mm_report r = {actions[i].order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_ACCEPTED, -1, -1, 0};
    r.kind = actions[i].kind == MM_ACTION_NEW     ? MM_REPORT_ACCEPTED
             : actions[i].kind == MM_ACTION_AMEND ? MM_REPORT_AMENDED
                                                  : MM_REPORT_CANCELED;
    mm_orders_report(&d.orders, &r);
  }
  d.messages += n;
  mm_position_mark(&d.position, bid);
}

DOOR void calibrate(int on) {
  calibrating = on;
}

DOOR int64_t loop_step(int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    step();
  return d.messages;
}

/* What step draws and counts, without the desk. */
DOOR int64_t loop_bare(int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    d.mid += (int64_t)((next_random() >> 20) % 3) - 1;
  return d.mid;
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

/* ns of each of n steps, and of as many readings of the clock alone. */
DOOR void latencies(int64_t n, int64_t *steps, int64_t *clock) {
  for (int64_t i = 0; i < n; ++i) {
    const int64_t begin = nanoseconds();
    step();
    const int64_t end = nanoseconds();
    steps[i] = end - begin;
    clock[i] = nanoseconds() - end;
  }
}

/* n recalibrations in place, each a little off the last; `unequal`: both sides have their own A and k. */
DOOR int64_t loop_set(int64_t n, int unequal) {
  const char *wrong;
  int64_t failed = 0;
  mm_parameters p = d.live.parameters;
  for (int64_t i = 0; i < n; ++i) {
    p.sigma = 0.3 + 0.001 * (double)(i % 7);
    p.k[0] = 0.3 + 0.0005 * (double)(i % 5);
    p.k[1] = unequal ? 0.29 + 0.0005 * (double)(i % 3) : p.k[0];
    failed += mm_live_set(&d.live, &p, &wrong) != MM_OK;
  }
  return failed;
}

/* n estimates of what the window tells. */
DOOR int64_t loop_estimate(int64_t n) {
  mm_estimate e;
  int64_t whole = 0;
  for (int64_t i = 0; i < n; ++i)
    whole += mm_rolling_estimate(&d.rolling, d.now, &e) == MM_OK && mm_estimate_whole(&e);
  return whole;
}

DOOR void counts(int64_t *out) {
  out[0] = d.messages, out[1] = d.fills, out[2] = d.position.net, out[3] = d.orders.position;
}
