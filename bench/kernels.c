/* The hot kernels, one at a time and so many times over: for instruction counts by callgrind.
 *
 *   kernels NAME N
 *
 * Inputs vary and outputs are summed, so that nothing is hoisted out of a loop or dropped. */
#include <stdio.h>
#include <stdlib.h>

#include "mmcore/bellman.h"
#include "mmcore/book.h"
#include "mmcore/calibration.h"
#include "mmcore/decimals.h"
#include "mmcore/matching.h"
#include "mmcore/orders.h"
#include "mmcore/prices.h"
#include "mmcore/recalibration.h"

enum { LOTS = 4096, STATES = 1000, WIDTH = 10 };
static _Alignas(64) unsigned char memory[2][8192];
static double work[4096];
static volatile int64_t sink;

static mm_live_policy live_of(int32_t model, double q_max) {
  mm_live_policy live;
  mm_parameters p;
  const char *wrong;
  memset(&live, 0, sizeof live);
  mm_parameters_init(&p, model);
  p.sigma = p.k[0] = p.k[1] = 0.3, p.A[0] = p.A[1] = 0.9, p.gamma = 0.01, p.q_max = q_max;
  for (int i = 0; i < 2; ++i) {
    live.block[i] = live.memory[i] = (mm_policy *)(void *)memory[i];
    if (mm_recalibration_begin(&p, live.block[i], sizeof memory[i]))
      abort();
  }
  live.work = work;
  if (mm_live_set(&live, &p, &wrong))
    abort();
  return live;
}

static void depths(int32_t model, int64_t n) {
  const mm_live_policy live = live_of(model, 50);
  double sum = 0;
  mm_cell cell;
  for (int64_t i = 0; i < n; ++i) {
    mm_depths(mm_live_block(&live), (double)(i % 99 - 49), INFINITY, 0, &cell);
    sum += cell.depth[0] + cell.depth[1];
  }
  sink += (int64_t)sum;
}

static void depths_affine(int64_t n) {
  depths(MM_MODEL_CLOSED_FORM, n);
}
static void depths_table(int64_t n) {
  depths(MM_MODEL_EXACT, n);
}

static void depths_knots(int64_t n) { /* between 80 knots of time */
  enum { KNOTS = 80, ACROSS = 3 };
  static _Alignas(64) unsigned char block[16384];
  mm_policy *p = (mm_policy *)(void *)block;
  p->kind = MM_TABLE, p->q_max = p->q_step = p->order_size = 1, p->n_states = 1, p->n_q = ACROSS;
  p->n_rows = p->n_knots = KNOTS;
  mm_table_layout(1, KNOTS, KNOTS, ACROSS, &p->knots_at, &p->cells_at);
  double *knots = (double *)(void *)(block + p->knots_at), sum = 0;
  mm_cell *cells = (mm_cell *)(void *)(block + p->cells_at), cell;
  for (int i = 0; i < KNOTS; ++i) {
    knots[i] = p->horizon = 0.1 * i * i;
    for (int q = 0; q < ACROSS; ++q)
      cells[i * ACROSS + q] = (mm_cell){{1.0 + i, 2.0 + q}, {1, 1}, 0, 0};
  }
  for (int64_t i = 0; i < n; ++i) {
    mm_depths(p, 0, 0.37 * (double)(i % 1600), 0, &cell);
    sum += cell.depth[0] + cell.depth[1];
  }
  sink += (int64_t)sum;
}

static void quote(int32_t model, int64_t n) {
  const mm_live_policy live = live_of(model, 50);
  mm_rules rules = {30, 1, 0, 0, 1, 0, 0, 0, 0};
  mm_quote q;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t bid = 20000 + i % 7;
    mm_quote_make(mm_live_block(&live), &rules, (double)bid + 0.5, (double)(i % 59 - 29), bid, bid + 1, 0, 0,
                  INFINITY, 0, 0, &q);
    sink += q.price[0] + q.price[1] + q.size[0];
  }
}

static void quote_affine(int64_t n) {
  quote(MM_MODEL_CLOSED_FORM, n);
}
static void quote_table(int64_t n) {
  quote(MM_MODEL_EXACT, n);
}

/* Rows of quotes, or of prices alone, from a block of a thousand. */
static void rows(mm_cpu cpu, int whole, int64_t n) {
  static mm_quote quotes[1000];
  static double reference[1000], inventory[1000];
  static int64_t bid[1000], ask[1000];
  static const int64_t none[2] = {MM_NO_BID, MM_NO_ASK}, state = 0;
  static const double zero = 0, ever = INFINITY;
  const mm_live_policy live = live_of(MM_MODEL_CLOSED_FORM, 50);
  const mm_rules rules = {30, 1, 0, 0, 0, 0, 0, 0, 0};
  const mm_column columns[MM_QUOTE_COLUMNS] = {{reference, 8}, {inventory, 8}, {&none[0], 0},
                                               {&none[1], 0},  {&zero, 0},     {&zero, 0},
                                               {&ever, 0},     {&state, 0},    {&zero, 0}};
  for (int i = 0; i < 1000; ++i)
    reference[i] = 20000.5 + i % 7, inventory[i] = i % 59 - 29;
  for (int64_t i = 0; i < n / 1000; ++i) {
    if (whole)
      mm_quote_blocks(cpu, mm_live_block(&live), &rules, 1000, columns, quotes);
    else
      mm_price_rows(cpu, mm_live_block(&live), &rules, 1000, columns, bid, ask);
    sink += bid[i % 1000] + ask[i % 1000] + quotes[i % 1000].price[0] + quotes[i % 1000].why;
  }
}

static mm_cpu up_to_avx2(void) {
  return mm_cpu_runs(MM_CPU_AVX2) ? MM_CPU_AVX2 : MM_CPU_BASELINE;
}
static void prices_baseline(int64_t n) {
  rows(MM_CPU_BASELINE, 0, n);
}
static void prices_avx2(int64_t n) {
  rows(up_to_avx2(), 0, n);
}
static void quotes_baseline(int64_t n) {
  rows(MM_CPU_BASELINE, 1, n);
}
static void quotes_avx2(int64_t n) {
  rows(up_to_avx2(), 1, n);
}

static void set(double k_ask, int64_t n) {
  mm_live_policy live = live_of(MM_MODEL_EXACT, 50);
  mm_parameters p = live.parameters;
  const char *wrong;
  mm_parameters_init(&p, MM_MODEL_EXACT);
  p.A[0] = p.A[1] = 0.9, p.k[0] = 0.3, p.k[1] = k_ask, p.gamma = 0.01, p.q_max = 50;
  for (int64_t i = 0; i < n; ++i) {
    p.sigma = 0.3 + 0.001 * (double)(i % 7);
    sink += mm_live_set(&live, &p, &wrong);
  }
}

static void set_50(int64_t n) {
  set(0.3, n);
}
static void set_50_own_k(int64_t n) {
  set(0.36, n);
}

static void fills(int32_t method, int64_t n) {
  static mm_lot lots[LOTS];
  mm_position p;
  mm_position_init(&p, method, 0);
  for (int64_t i = 0; i < n; ++i)
    sink += mm_position_fill(&p, lots, LOTS, i % 3 ? 2 : -4, 20000 + i % 13, 1);
}

static void fill_average(int64_t n) {
  fills(MM_AVERAGE, n);
}
static void fill_fifo(int64_t n) {
  fills(MM_FIFO, n);
}

static void blocks(int32_t method, int64_t n) { /* of fills */
  static mm_lot lots[LOTS];
  static int64_t qty[1000], price[1000], fee[1000];
  mm_position p;
  int64_t booked;
  for (int i = 0; i < 1000; ++i)
    qty[i] = i % 3 ? 2 : -4, price[i] = 20000 + i % 13, fee[i] = 1;
  for (int64_t i = 0; i < n / 1000; ++i) {
    mm_position_init(&p, method, 0);
    sink += mm_position_fills(&p, lots, LOTS, 1000, qty, price, fee, sizeof *qty, &booked) + p.fills;
  }
}

static void fills_average(int64_t n) {
  blocks(MM_AVERAGE, n);
}
static void fills_fifo(int64_t n) {
  blocks(MM_FIFO, n);
}

static void targets(int64_t n, int64_t move) {
  static mm_orders o;
  mm_orders_settings s;
  mm_quote q;
  mm_action actions[MM_ORDERS_ACTIONS];
  memset(&s, 0, sizeof s), memset(&q, 0, sizeof q);
  s.max_exposure = 50, s.timeout = 1000000000, s.amend = 1;
  mm_orders_init(&o, &s, 0, 1, NULL);
  q.size[0] = q.size[1] = 1;
  for (int64_t i = 0; i < n; ++i) {
    q.price[0] = 99 - (i & move), q.price[1] = 102;
    const int count = mm_orders_target(&o, &q, 99, 102, i, actions);
    for (int j = 0; j < count; ++j) {
      mm_report r = {actions[j].order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_ACCEPTED, -1, -1, 0};
      r.kind = actions[j].kind == MM_ACTION_AMEND ? MM_REPORT_AMENDED : MM_REPORT_ACCEPTED;
      sink += mm_orders_report(&o, &r);
    }
  }
}

static void target_unchanged(int64_t n) {
  targets(n, 0);
}
static void target_and_report(int64_t n) {
  targets(n, 1);
}

static void rolling(int64_t n) {
  const mm_rolling_settings window = {1000000000, 300, 60000000000, 1000000000, 2, 20, 0, 0};
  mm_rolling r;
  int64_t *words = (int64_t *)malloc(sizeof(int64_t) * (size_t)mm_rolling_words(&window));
  if (!words || mm_rolling_init(&r, &window, words))
    abort();
  for (int64_t i = 1; i <= n; ++i) {
    const int64_t bid = 20000 + i % 3;
    sink += i % 8 ? mm_rolling_quote(&r, i * 1000000, bid, bid + 1)
                  : mm_rolling_trade(&r, i * 1000000, i * 1000000, bid + 3, 0, 1, 0);
  }
  free(words);
}

static void
replay(int64_t n) { /* of rows: 9 quotes to a trade, 1 in 30 of them moves the touch; a decision each */
  enum { ROWS = 1000, QUOTES = 900 };
  static uint8_t kind[ROWS], flags[ROWS];
  static int64_t stamp[2][ROWS], bid[ROWS], ask[ROWS], price[ROWS], size[ROWS], numbers[ROWS];
  static int32_t subtick[ROWS];
  static mm_decision decisions[ROWS];
  static mm_fill filled[ROWS];
  static mm_fill_context contexts[ROWS];
  static mm_replay r;
  const mm_live_policy live = live_of(MM_MODEL_CLOSED_FORM, 50);
  const mm_rules rules = {INFINITY, 1, 0, 0, 0, 0, 0, 0, 0};
  const mm_events e = {ROWS, QUOTES,   ROWS - QUOTES, kind,  stamp[0], bid,     ask,  size,
                       size, stamp[1], stamp[1],      price, size,     subtick, NULL, flags};
  mm_replay_setup setup;
  memset(&setup, 0, sizeof setup);
  setup.interval = 1000, setup.last = 999 * 1000, setup.end = 1000 * 1000;
  setup.time_left = INFINITY, setup.fee_den = 1;
  for (int i = 0, quotes = 0, trades = 0; i < ROWS; ++i) {
    kind[i] = i % 10 == 9 ? MM_EVENT_TRADE : MM_EVENT_QUOTE, size[i] = 1;
    if (kind[i] == MM_EVENT_TRADE)
      price[trades] = 20000 + (trades % 2 ? 6 : -6), stamp[1][trades++] = i * 1000 + 500;
    else
      bid[quotes] = 19999 + quotes / 30 % 3, ask[quotes] = bid[quotes] + 2,
      stamp[0][quotes++] = i * 1000 + 500;
  }
  for (int64_t i = 0; i < n / ROWS; ++i) {
    mm_replay_init(&r, &setup, mm_live_block(&live), &rules, 0);
    r.decisions = decisions, r.numbers = numbers, r.decision_capacity = ROWS;
    r.fills = filled, r.contexts = contexts, r.fill_capacity = ROWS;
    if (mm_replay_run(&r, &e, ROWS))
      abort();
    sink += r.n_fills + r.n_records;
  }
}

static void decimal(int64_t n) {
  static const char text[4][16] = {"20123.45", "0.01", "-17.2", "1234567.89"};
  const mm_grid grid = {1, 2, MM_EXACT};
  int64_t ticks = 0;
  int32_t sub;
  for (int64_t i = 0; i < n; ++i) {
    const char *t = text[i & 3];
    sink += mm_decimal(t, t + strlen(t), &grid, &ticks, &sub) + ticks;
  }
}

static int64_t first[STATES + 1];
static int32_t row[STATES * 2 + 1], column[STATES * 2 * WIDTH];
static double probability[STATES * 2 * WIDTH], reward[STATES * 2], discount = 0.95, values[2][STATES];

static mm_mdp model(void) {
  mm_mdp p = {STATES, STATES * 2, STATES, first, row, column, probability, reward, &discount, 0, 1, 0, 0};
  for (int s = 0; s <= STATES; ++s)
    first[s] = 2 * s;
  for (int j = 0; j < STATES * 2; ++j) {
    row[j + 1] = (j + 1) * WIDTH;
    reward[j] = 0.001 * (j % 17);
    for (int k = 0; k < WIDTH; ++k) {
      column[j * WIDTH + k] = (j * 7 + k * 13) % STATES;
      probability[j * WIDTH + k] = 1.0 / WIDTH;
    }
  }
  return p;
}

static void bellman(int64_t n) { /* of states */
  const mm_mdp p = model();
  static int64_t policy[STATES];
  double q[2];
  mm_sweep sweep;
  for (int64_t i = 0; i < n / STATES; ++i) {
    mm_bellman_improve(&p, 0, STATES, values[i & 1], values[i & 1], values[~i & 1], policy, NULL, 0, q,
                       &sweep);
    sink += sweep.changed;
  }
}

static const struct {
  const char *name;
  void (*run)(int64_t);
} kernels[] = {{"depths_affine", depths_affine},
               {"depths_table", depths_table},
               {"depths_knots", depths_knots},
               {"quote_affine", quote_affine},
               {"quote_table", quote_table},
               {"prices_baseline", prices_baseline},
               {"prices_avx2", prices_avx2},
               {"quotes_baseline", quotes_baseline},
               {"quotes_avx2", quotes_avx2},
               {"set_50", set_50},
               {"set_50_own_k", set_50_own_k},
               {"fill_average", fill_average},
               {"fill_fifo", fill_fifo},
               {"fills_average", fills_average},
               {"fills_fifo", fills_fifo},
               {"target_unchanged", target_unchanged},
               {"target_and_report", target_and_report},
               {"rolling", rolling},
               {"replay", replay},
               {"decimal", decimal},
               {"bellman", bellman}};

int main(int argc, char **argv) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i) {
    if (argc == 1)
      puts(kernels[i].name);
    else if (argc == 3 && !strcmp(argv[1], kernels[i].name)) {
      kernels[i].run(atoll(argv[2]));
      return 0;
    }
  }
  return argc == 1 ? 0 : 1;
}
