/* Loops over the orders kernel for bench_orders.py. Inputs are volatile and outputs are summed, so that
 * nothing is hoisted out of a loop or dropped. */
#include <stdint.h>

#include "mmcore/orders.h"

#if defined(_WIN32)
#define DOOR __declspec(dllexport)
#else
#define DOOR __attribute__((visibility("default")))
#endif

static int64_t ring[1024];

static void begin(mm_orders *o, int budgets) {
  mm_orders_settings s;
  mm_quote q;
  mm_action actions[MM_ORDERS_ACTIONS];
  memset(&s, 0, sizeof s);
  s.max_exposure = 50;
  s.hysteresis = 1;
  s.min_life = 1;
  s.timeout = 1000000000;
  s.amend = 1;
  if (budgets) {
    s.n_budgets = 2;
    s.budgets[0].n = 300;
    s.budgets[0].window = 100;
    s.budgets[1].n = 1000;
    s.budgets[1].window = 900;
  }
  mm_orders_init(o, &s, 0, 1, ring);
  memset(&q, 0, sizeof q);
  q.price[MM_BID] = 99;
  q.price[MM_ASK] = 102;
  q.size[MM_BID] = q.size[MM_ASK] = 1;
  const int n = mm_orders_target(o, &q, 99, 102, 0, actions);
  for (int i = 0; i < n; ++i) {
    mm_report r = {actions[i].order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_ACCEPTED, -1, -1, 0};
    mm_orders_report(o, &r);
  }
}

/* The loop alone: the quote is read, nothing is called. */
DOOR int64_t loop_bare(int64_t n) {
  volatile int64_t bid = 99, ask = 102;
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i)
    sum += bid + ask + i;
  return sum;
}

static int64_t loop_target(int64_t n, int64_t step, int64_t apart, int budgets) {
  mm_orders o;
  mm_action actions[MM_ORDERS_ACTIONS];
  volatile int64_t bid = 99, ask = 102;
  mm_quote q;
  int64_t sum = 0, move = 0;
  begin(&o, budgets);
  memset(&q, 0, sizeof q);
  q.size[MM_BID] = q.size[MM_ASK] = 1;
  for (int64_t i = 1; i <= n; ++i) {
    move = step ? apart - move : 0;
    q.price[MM_BID] = bid + move;
    q.price[MM_ASK] = ask + move;
    const int made = mm_orders_target(&o, &q, 90, 110, i * 10, actions);
    for (int k = 0; k < made; ++k) {
      mm_report r = {actions[k].order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_AMENDED, -1, -1, 0};
      mm_orders_report(&o, &r);
    }
    sum += made;
  }
  return sum;
}

/* The same quote again. */
DOOR int64_t loop_unchanged(int64_t n) {
  return loop_target(n, 0, 0, 0);
}

/* A quote that moves by one tick to and fro, within the hysteresis: no message. */
DOOR int64_t loop_near(int64_t n) {
  return loop_target(n, 1, 1, 0);
}

/* A quote that moves by two ticks to and fro: two amends, two reports. */
DOOR int64_t loop_amends(int64_t n) {
  return loop_target(n, 1, 2, 0);
}

/* The same with two budgets, the larger of 1,000 messages. */
DOOR int64_t loop_budgets(int64_t n) {
  return loop_target(n, 1, 2, 1);
}
