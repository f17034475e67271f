/* What the thread rules allow, all at once: one writer recalibrates each of two live policies while others
 * quote from them; all read one policy; one desk sends orders and books, and the others read its snapshots.
 * Built with the thread sanitizer where there is one. Prints what was seen of each. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "mmcore/book.h"
#include "mmcore/orders.h"
#include "mmcore/prices.h"
#include "mmcore/recalibration.h"
#include "mmcore/snapshot.h"

enum { READERS = 3, LEAST = 2000, MOST = 100000000, NODES = 41 };

typedef struct desk {
  mm_orders orders;
  mm_position position;
} desk;

static const int32_t models[2] = {MM_MODEL_EXACT, MM_MODEL_CLOSED_FORM};
static mm_live_policy live[2];
static mm_parameters each[2][2]; /* of even and odd versions */
static int64_t prices[2][2][2];  /* of each live policy by the parity of its version */
static mm_policy *shared;        /* nobody writes to it */
static uint64_t snapshot[MM_SNAPSHOT_WORDS(desk)];
static uint64_t satisfied; /* readers that have seen each policy at both versions, and the desk */
static uint64_t done;      /* writers that have ended */
static const mm_rules rules = {INFINITY, 1.0, 0, 0, 0, 0, 0, 0, 0};

static mm_policy *block_of(const mm_parameters *p) {
  const uint64_t bytes = mm_recalibration_bytes(p);
  mm_policy *block = (mm_policy *)aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!block || mm_recalibration_begin(p, block, bytes))
    abort();
  return block;
}

static void begin(void) {
  for (int i = 0; i < 2; ++i) {
    const char *wrong;
    for (int parity = 0; parity < 2; ++parity) {
      mm_parameters *p = &each[i][parity];
      mm_quote q;
      mm_parameters_init(p, models[i]);
      p->sigma = 0.3, p->A[0] = p->A[1] = 0.9, p->gamma = 0.01, p->q_max = NODES / 2;
      p->k[0] = p->k[1] = parity ? 0.03 : 0.3;
      if (!parity)
        for (int b = 0; b < 2; ++b)
          live[i].block[b] = live[i].memory[b] = block_of(p);
      live[i].work = (double *)calloc(MM_RECALIBRATION_WORK(NODES), sizeof(double));
      mm_policy *block = block_of(p);
      if (mm_recalibrate(block, p, live[i].work, 1, &wrong))
        abort();
      mm_quote_make(block, &rules, 1e6, 3, MM_NO_BID, MM_NO_ASK, 0, 0, INFINITY, 0, 0, &q);
      prices[i][parity][0] = q.price[0], prices[i][parity][1] = q.price[1];
      shared = block;
    }
    if (mm_live_set(&live[i], &each[i][1], &wrong)) /* version 1 */
      abort();
  }
}

/* Does a writer go on? */
static int wanted(int64_t turn) {
  return turn < LEAST || (turn < MOST && __atomic_load_n(&satisfied, __ATOMIC_RELAXED) < READERS);
}

static void *recalibrate(void *which) {
  const int i = *(const int *)which;
  const char *wrong;
  for (int64_t turn = 0; wanted(turn); ++turn)
    if (mm_live_set(&live[i], &each[i][(mm_live_block(&live[i])->version + 1) & 1], &wrong))
      abort();
  __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
  return NULL;
}

/* Orders follow a price that goes to and fro; each is filled at once, and the desk is shown after each step.
 */
static void *trade(void *unused) {
  static int64_t ring[64];
  static desk d;
  mm_orders_settings settings;
  mm_action actions[MM_ORDERS_ACTIONS];
  memset(&settings, 0, sizeof settings);
  settings.max_exposure = 20, settings.amend = 1, settings.timeout = settings.retry = 1000000000;
  settings.n_budgets = 1, settings.budgets[0].n = 64, settings.budgets[0].window = 1000;
  mm_position_init(&d.position, MM_AVERAGE, 0);
  if (mm_orders_init(&d.orders, &settings, 0, 1, ring))
    abort();
  for (int64_t now = 1; wanted(now); ++now) {
    mm_quote q;
    const int64_t bid = 20000 + (now % 40 < 20 ? now % 20 : 20 - now % 20);
    mm_live_quote(&live[0], &rules, (double)bid + 0.5, (double)d.orders.position, bid, bid + 1, 0, 0,
                  INFINITY, 0, 0, &q);
    const int n = mm_orders_target(&d.orders, &q, bid, bid + 1, now * 1000, actions);
    for (int i = 0; i < n; ++i) {
      mm_report r = {actions[i].order_id, 0, 0, MM_NOT_STATED, MM_NOT_STATED, MM_REPORT_CANCELED, -1, -1, 0};
      if (actions[i].kind == MM_ACTION_NEW && (now + i) % 3 == 0) {
        const int64_t lots = actions[i].side == MM_BID ? actions[i].size : -actions[i].size;
        r.kind = MM_REPORT_FILL, r.filled = actions[i].size;
        if (mm_position_fill(&d.position, NULL, 0, lots, actions[i].price, 1))
          abort();
      } else if (actions[i].kind != MM_ACTION_CANCEL) {
        r.kind = actions[i].kind == MM_ACTION_NEW ? MM_REPORT_ACCEPTED : MM_REPORT_AMENDED;
      }
      mm_orders_report(&d.orders, &r);
    }
    mm_snapshot_put(snapshot, &d, sizeof d);
  }
  __atomic_fetch_add(&done, 1, __ATOMIC_RELEASE);
  return unused;
}

typedef struct seen {
  int64_t quotes[2][2], copies, wrong;
} seen;

static void *look(void *into) {
  seen *s = (seen *)into;
  uint64_t newest = 0;
  int64_t fills = 0;
  desk d;
  int enough = 0;
  while (__atomic_load_n(&done, __ATOMIC_ACQUIRE) < 3) {
    mm_quote q;
    for (int i = 0; i < 2; ++i) {
      mm_live_quote(&live[i], &rules, 1e6, 3, MM_NO_BID, MM_NO_ASK, 0, 0, INFINITY, 0, 0, &q);
      const int64_t *price = prices[i][q.version & 1];
      s->wrong += q.price[0] != price[0] || q.price[1] != price[1];
      s->quotes[i][q.version & 1]++;
    }
    mm_quote_make(shared, &rules, 1e6, 3, MM_NO_BID, MM_NO_ASK, 0, 0, INFINITY, 0, 0, &q);
    s->wrong += q.price[0] != prices[1][1][0] || q.price[1] != prices[1][1][1];
    const uint64_t version = mm_snapshot_get(snapshot, &d, sizeof d);
    if (version) {
      s->wrong += version < newest || d.position.fills < fills || d.position.net != d.orders.position ||
                  d.position.net != d.position.bought - d.position.sold;
      newest = version, fills = d.position.fills;
      s->copies++;
    }
    if (!enough && s->copies > 100 && s->quotes[0][0] && s->quotes[0][1] && s->quotes[1][0] &&
        s->quotes[1][1]) {
      enough = 1;
      __atomic_fetch_add(&satisfied, 1, __ATOMIC_RELAXED);
    }
  }
  return NULL;
}

int main(void) {
  static const int which[2] = {0, 1};
  static seen found[READERS];
  pthread_t thread[READERS + 3];
  begin();
  for (int i = 0; i < READERS; ++i)
    if (pthread_create(&thread[i], NULL, look, &found[i]))
      return 2;
  for (int i = 0; i < 2; ++i)
    if (pthread_create(&thread[READERS + i], NULL, recalibrate, (void *)(uintptr_t)&which[i]))
      return 2;
  if (pthread_create(&thread[READERS + 2], NULL, trade, NULL))
    return 2;
  for (int i = 0; i < READERS + 3; ++i)
    pthread_join(thread[i], NULL);
  seen all = {{{0, 0}, {0, 0}}, 0, 0};
  for (int i = 0; i < READERS; ++i) {
    for (int j = 0; j < 4; ++j)
      all.quotes[j / 2][j % 2] += found[i].quotes[j / 2][j % 2];
    all.copies += found[i].copies, all.wrong += found[i].wrong;
  }
  printf("%lld %lld %lld %lld %lld %lld\n", (long long)all.wrong, (long long)all.copies,
         (long long)all.quotes[0][0], (long long)all.quotes[0][1], (long long)all.quotes[1][0],
         (long long)all.quotes[1][1]);
  return all.wrong != 0;
}
