/* A desk without Python: calibrate -> set -> quote -> orders -> book, on a market that this program makes up.
 *
 *   include=$(python -c "import mmcore; print(mmcore.get_include())")
 *   cc -std=c11 -O2 -ffp-contract=off -I$include desk.c -lm
 *
 * All memory is taken at the start. Times are ns, prices ticks, sizes lots. */
#include <mmcore/book.h>
#include <mmcore/calibration.h>
#include <mmcore/orders.h>
#include <mmcore/recalibration.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000000000
enum { Q_MAX = 20, RING = 1024 };

/* What the market does, which the desk does not know: market orders that reach d ticks or further come at
 * rate A exp(-k d) on each side. */
static const double TRUE_A = 1.2, TRUE_K = 0.4, TRUE_SIGMA = 0.5;

static uint64_t random_state = 88172645463325252u;

static double uniform(void) { /* xorshift64*, in (0, 1) */
  random_state ^= random_state >> 12, random_state ^= random_state << 25, random_state ^= random_state >> 27;
  return ((double)((random_state * 0x2545f4914f6cdd1du) >> 11) + 0.5) * 0x1p-53;
}

typedef struct {
  mm_rolling window; /* what the last minutes tell of sigma, A and k */
  mm_live_policy live;
  mm_parameters parameters;
  mm_rules rules;
  mm_orders orders;
  mm_position position;
  int64_t ring[RING];
  int64_t messages, fills, sets;
} desk;

static void *taken(size_t bytes) { /* aligned as a policy wants it */
  char *memory = (char *)malloc(bytes + MM_POLICY_ALIGN);
  if (!memory)
    exit(EXIT_FAILURE);
  return memory + (MM_POLICY_ALIGN - (uintptr_t)memory % MM_POLICY_ALIGN) % MM_POLICY_ALIGN;
}

static void check(int status, const char *what) {
  if (status < 0) {
    fprintf(stderr, "%s: status %d\n", what, status);
    exit(EXIT_FAILURE);
  }
}

static void desk_begin(desk *d) {
  /* Buckets of a second for ten minutes; nothing is estimated in the first two. Depths in half ticks. */
  const mm_rolling_settings window = {SECOND, 600, 120 * (int64_t)SECOND, SECOND, 1, 30, 0, 0};
  mm_parameters *p = &d->parameters;
  const char *wrong = NULL;
  mm_orders_settings settings;
  memset(d, 0, sizeof *d);
  mm_parameters_init(p, MM_MODEL_EXACT);
  p->sigma = 1, p->A[MM_BID] = p->A[MM_ASK] = 0.5, p->k[MM_BID] = p->k[MM_ASK] = 0.2; /* to begin with */
  p->gamma = 0.01, p->q_max = Q_MAX;
  const uint64_t bytes = mm_recalibration_bytes(p);
  for (int i = 0; i < 2; ++i) {
    d->live.block[i] = d->live.memory[i] = (mm_policy *)taken((size_t)bytes);
    check(mm_recalibration_begin(p, d->live.block[i], bytes), "policy");
  }
  d->live.work = (double *)taken(sizeof(double) * MM_RECALIBRATION_WORK(mm_nodes_of(p)));
  check(mm_live_set(&d->live, p, &wrong), wrong ? wrong : "set");
  check(mm_rolling_init(&d->window, &window,
                        (int64_t *)taken(sizeof(int64_t) * (size_t)mm_rolling_words(&window))),
        "window");
  memset(&settings, 0, sizeof settings);
  settings.max_exposure = Q_MAX, settings.amend = 1, settings.timeout = settings.retry = SECOND;
  settings.hysteresis = 1;
  settings.n_budgets = 1, settings.budgets[0].n = 20, settings.budgets[0].window = SECOND;
  check(mm_orders_ring(&settings) <= RING ? mm_orders_init(&d->orders, &settings, 0, 1, d->ring)
                                          : MM_CAPACITY,
        "orders");
  mm_rules_init(&d->rules);
  d->rules.max_position = Q_MAX;
  mm_position_init(&d->position, MM_AVERAGE, 0);
}

/* The venue's answers, here at once. */
static void answered(desk *d, const mm_action *a) {
  mm_report r = {a->order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_ACCEPTED, -1, -1, 0};
  if (a->kind != MM_ACTION_NEW)
    r.kind = a->kind == MM_ACTION_AMEND ? MM_REPORT_AMENDED : MM_REPORT_CANCELED;
  check(mm_orders_report(&d->orders, &r), "report");
  ++d->messages;
}

static void on_quote(desk *d, int64_t now, int64_t bid, int64_t ask) {
  mm_action actions[MM_ORDERS_ACTIONS];
  mm_quote quote;
  mm_rolling_quote(&d->window, now, bid, ask);
  mm_live_quote(&d->live, &d->rules, 0.5 * (double)(bid + ask), (double)d->orders.position, bid, ask, 0, 0,
                INFINITY, 0, 0, &quote);
  const int n = mm_orders_target(&d->orders, &quote, bid, ask, now, actions);
  check(n, "target");
  for (int i = 0; i < n; ++i)
    answered(d, &actions[i]);
  check(mm_position_mark(&d->position, bid), "mark");
}

/* A market order has gone through all prices up to this one. */
static void on_trade(desk *d, int64_t now, int64_t price, int side) {
  const int ours = side > 0 ? MM_ASK : MM_BID;
  mm_rolling_trade(&d->window, now, now, price, 0, side, 0);
  MM_ORDERS_EACH(&d->orders, ours, i) {
    const mm_order x = d->orders.slots[ours][i];
    if (ours == MM_BID ? price >= x.price : price <= x.price)
      continue;
    const int64_t lots = x.size - x.filled;
    mm_report r = {x.id, x.size, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_FILL, -1, -1, 0};
    check(mm_position_fill(&d->position, NULL, 0, ours == MM_BID ? lots : -lots, x.price, 0), "fill");
    check(mm_orders_report(&d->orders, &r), "report");
    ++d->fills;
  }
}

static void recalibrate(desk *d, int64_t now) {
  mm_estimate e;
  const char *wrong = NULL;
  if (mm_rolling_estimate(&d->window, now, &e) != MM_OK || !mm_estimate_whole(&e))
    return; /* the window does not tell yet */
  mm_parameters *p = &d->parameters;
  p->sigma = e.sigma;
  for (int side = 0; side < 2; ++side)
    p->A[side] = e.A[side], p->k[side] = e.k[side];
  check(mm_live_set(&d->live, p, &wrong), wrong ? wrong : "set");
  ++d->sets;
}

int main(void) {
  static desk d;
  double mid = 20000.5;
  desk_begin(&d);
  for (int64_t now = 1; now < 3600 * (int64_t)SECOND; now += SECOND / 10) {
    mid += TRUE_SIGMA * sqrt(0.1) * (uniform() + uniform() + uniform() + uniform() - 2) * sqrt(3.0);
    const int64_t bid = (int64_t)floor(mid), ask = bid + 1;
    on_quote(&d, now, bid, ask);
    for (int side = -1; side <= 1; side += 2)
      if (uniform() <
          0.1 * TRUE_A) { /* from the mid it reaches an exponential depth, and trades at the last tick */
        const double reach = -log(uniform()) / TRUE_K;
        const double price = 0.5 * (double)(bid + ask) + side * reach;
        const int64_t last = (int64_t)(side > 0 ? floor(price) : ceil(price));
        if (side > 0 ? last >= ask : last <= bid)
          on_trade(&d, now + 1, last, side);
      }
    if (now / (SECOND / 10) % 600 == 599)
      recalibrate(&d, now + 2);
  }
  const mm_parameters *p = &d.parameters;
  mm_i128 unrealised;
  check(mm_position_unrealised(&d.position, &unrealised), "unrealised");
  const mm_i128 profit = mm_i128_add(mm_position_realised(&d.position), unrealised);
  printf("calibrated %lld times: sigma %.2f, A %.2f %.2f, k %.2f %.2f\n", (long long)d.sets, p->sigma,
         p->A[0], p->A[1], p->k[0], p->k[1]);
  printf("%lld messages, %lld fills, position %lld, P&L %.1f ticks\n", (long long)d.messages,
         (long long)d.fills, (long long)d.position.net, mm_i128_to_double(profit) / MM_COST_SCALE);
  return d.position.net == d.orders.position ? EXIT_SUCCESS : EXIT_FAILURE;
}
