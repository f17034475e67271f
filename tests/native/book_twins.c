/* Native and portable arithmetic must give the same bits, and a batch that is undone must leave none behind.
 * Run under the address and undefined-behaviour sanitizers. Prints how many comparisons were made. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "mmcore/book.h"

#define DECLARE(P)                                                                                           \
  int P##uses_int128(void);                                                                                  \
  void P##mul(int64_t, int64_t, mm_i128 *);                                                                  \
  void P##add(const mm_i128 *, const mm_i128 *, mm_i128 *);                                                  \
  void P##sub(const mm_i128 *, const mm_i128 *, mm_i128 *);                                                  \
  void P##neg(const mm_i128 *, mm_i128 *);                                                                   \
  int P##cmp(const mm_i128 *, const mm_i128 *);                                                              \
  int P##add_checked(const mm_i128 *, const mm_i128 *, mm_i128 *);                                           \
  void P##scale(const mm_i128 *, int64_t, mm_i128 *);                                                        \
  int P##scale_checked(const mm_i128 *, int64_t, mm_i128 *);                                                 \
  int P##muldiv(const mm_i128 *, int64_t, int64_t, mm_i128 *);                                               \
  void P##divide(const mm_i128 *, uint64_t, uint64_t *, mm_i128 *);                                          \
  int P##to_i64(const mm_i128 *, int64_t *);                                                                 \
  double P##to_double(const mm_i128 *);                                                                      \
  int P##from_double(double, mm_i128 *);                                                                     \
  int P##add_i64(int64_t, int64_t, int64_t *);                                                               \
  uint64_t P##div_u128(uint64_t, uint64_t, uint64_t, uint64_t *);                                            \
  int P##notional_fee(int64_t, int64_t, int64_t, int64_t, int64_t *);                                        \
  int P##position_fill(mm_position *, mm_lot *, int64_t, int64_t, int64_t, int64_t);                         \
  int P##position_fills(mm_position *, mm_lot *, int64_t, int64_t, const int64_t *, const int64_t *,         \
                        const int64_t *, ptrdiff_t, int64_t *);                                              \
  int P##position_mark(mm_position *, int64_t);                                                              \
  int P##position_unrealised(const mm_position *, mm_i128 *);                                                \
  void P##position_realised(const mm_position *, mm_i128 *);

DECLARE(native_)
DECLARE(portable_)

static long checks;

#define SAME(x)                                                                                              \
  do {                                                                                                       \
    checks++;                                                                                                \
    if (!(x)) {                                                                                              \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

static uint64_t state = 0x2545f4914f6cdd1d;

static uint64_t draw(void) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1du;
}

static const int64_t edges[] = {0,
                                1,
                                -1,
                                2,
                                -2,
                                INT32_MAX,
                                INT32_MIN,
                                1LL << 32,
                                -(1LL << 32),
                                (1LL << 32) + 1,
                                INT64_MAX,
                                INT64_MIN,
                                INT64_MAX - 1,
                                INT64_MIN + 1,
                                1LL << 62,
                                -(1LL << 62),
                                1000000000,
                                -1000000000};
#define N_EDGES ((int)(sizeof edges / sizeof *edges))

static int64_t word(void) { /* edges, and every bit length */
  const uint64_t r = draw();
  if (r % 4 == 0)
    return edges[draw() % N_EDGES];
  const int64_t a = (int64_t)(draw() >> (r >> 8) % 64);
  return r & 128 ? a : (int64_t)(0 - (uint64_t)a);
}

static mm_i128 wide(void) {
  mm_i128 a;
  a.lo = (uint64_t)word();
  a.hi = draw() % 3 ? word() : ((int64_t)a.lo < 0 ? -1 : 0);
  return a;
}

static int eq(mm_i128 a, mm_i128 b) {
  return a.lo == b.lo && a.hi == b.hi;
}

static void arithmetic(mm_i128 a, mm_i128 b, int64_t m, int64_t n) {
  mm_i128 x, y;
  int64_t i, j;
  int s, t;
  native_mul(m, n, &x), portable_mul(m, n, &y);
  SAME(eq(x, y));
  native_add(&a, &b, &x), portable_add(&a, &b, &y);
  SAME(eq(x, y));
  native_sub(&a, &b, &x), portable_sub(&a, &b, &y);
  SAME(eq(x, y));
  native_neg(&a, &x), portable_neg(&a, &y);
  SAME(eq(x, y));
  SAME(native_cmp(&a, &b) == portable_cmp(&a, &b));
  native_scale(&a, m, &x), portable_scale(&a, m, &y);
  SAME(eq(x, y));
  s = native_add_checked(&a, &b, &x), t = portable_add_checked(&a, &b, &y);
  SAME(s == t && eq(x, y));
  s = native_scale_checked(&a, m, &x), t = portable_scale_checked(&a, m, &y);
  SAME(s == t && eq(x, y));
  if (n > 0) {
    s = native_muldiv(&a, m, n, &x), t = portable_muldiv(&a, m, n, &y);
    SAME(s == t && eq(x, y));
    i = j = 0;
    s = native_notional_fee(m, b.hi, (int64_t)b.lo, n, &i),
    t = portable_notional_fee(m, b.hi, (int64_t)b.lo, n, &j);
    SAME(s == t && i == j);
  }
  if (n != 0) {
    uint64_t r, q, high = (uint64_t)a.hi % (uint64_t)n, rest, quotient;
    q = native_div_u128(high, a.lo, (uint64_t)n, &r),
    quotient = portable_div_u128(high, a.lo, (uint64_t)n, &rest);
    SAME(q == quotient && r == rest);
    native_divide(&a, (uint64_t)n, &r, &x), portable_divide(&a, (uint64_t)n, &rest, &y);
    SAME(eq(x, y) && r == rest);
  }
  i = j = 0;
  s = native_to_i64(&a, &i), t = portable_to_i64(&a, &j);
  SAME(s == t && i == j);
  i = j = 0;
  s = native_add_i64(m, n, &i), t = portable_add_i64(m, n, &j);
  SAME(s == t && i == j);
  SAME(native_to_double(&a) == portable_to_double(&a));
  s = native_from_double((double)m * (double)n, &x), t = portable_from_double((double)m * (double)n, &y);
  SAME(s == t && eq(x, y));
}

static void positions(int32_t method, int negative, int n) {
  mm_position p, q;
  mm_lot *lots = (mm_lot *)malloc((size_t)n * sizeof *lots),
         *twins = (mm_lot *)malloc((size_t)n * sizeof *lots);
  mm_position_init(&p, method, negative);
  mm_position_init(&q, method, negative);
  const int small = (int)(draw() % 2);
  for (int i = 0; i < n; i++) {
    int64_t qty = small ? (int64_t)(draw() % 11) - 5 : word(),
            price = small ? (int64_t)(draw() % 1000) : word();
    int64_t fee = word();
    mm_i128 x, y;
    if (draw() % 4 == 0 && p.net < INT64_MAX && p.net > -INT64_MAX)
      qty = -p.net + (int64_t)(draw() % 3) - 1;
    if (draw() % 8 == 0)
      SAME(native_position_mark(&p, price) == portable_position_mark(&q, price));
    const mm_position before = p;
    const int status = native_position_fill(&p, lots, n, qty, price, fee);
    SAME(status == portable_position_fill(&q, twins, n, qty, price, fee));
    SAME(!memcmp(&p, &q, sizeof p));
    SAME(status == MM_OK || !memcmp(&p, &before, sizeof p));
    native_position_realised(&p, &x), portable_position_realised(&q, &y);
    SAME(eq(x, y));
    if (native_position_unrealised(&p, &x) == MM_OK && portable_position_unrealised(&q, &y) == MM_OK)
      SAME(eq(x, y));
  }
  SAME(p.lots_tail == 0 || !memcmp(lots, twins, (size_t)p.lots_tail * sizeof *lots));
  free(lots);
  free(twins);
}

/* Fills of a block against one by one: the same position, queue, status and place where it ends. The regimes
 * are those that decide which way a block goes: ties (pools of few units), a market, lots and prices about
 * the ends of what takes 64 bits, anything, a market with a fill of anything in it, and a market for who
 * holds so much that totals are about their bounds. */
static void many(int32_t method, int regime) {
  enum { N = 400, CAPACITY = 12000 };
  static mm_lot queue[3][CAPACITY];
  static mm_fill rows[N];
  static int64_t columns[3][N];
  static const int64_t sizes[] = {1, 5, 6, 7, 64, 127, 128, 129, 256, 257, N};
  mm_position p[3];
  int64_t price = regime == 2 ? (int64_t)1 << draw() % 60 : 1 + (int64_t)(draw() % 617000);
  const int negative = (int)(draw() % 2), lots = (int)(draw() % 50), drift = (int)(draw() % 20);
  const int64_t fees = draw() % 2 ? -1 : INT64_MAX >> 2;
  const int toward = (int)(draw() % 4); /* back to flat mostly, at random, or always away from it */
  for (int i = 0; i < 3; i++)
    mm_position_init(&p[i], method, negative);
  if (regime == 5) {
    const mm_i128 most = {UINT64_MAX - draw() % 1000, INT64_MAX};
    const int64_t held = (word() | 1) >> draw() % 24, at = word() & (INT64_MAX >> draw() % 63);
    native_position_fill(&p[0], queue[0], CAPACITY, held, at, 0);
    const uint64_t size = mm_abs_i64(p[0].net), near = draw() % 100000;
    const int64_t bound = (int64_t)1 << 32; /* of the upper words; 1e9 times that for the cost */
    switch (draw() % 6) {
    case 0:
      p[0].fees = most;
      break;
    case 1:
      p[0].bought = INT64_MAX - (int64_t)near;
      break;
    case 2:
      p[0].sold = INT64_MAX - (int64_t)near;
      break;
    case 3:
      p[0].cash = draw() % 2 ? (mm_i128){near, -bound} : (mm_i128){~near, bound - 1};
      break;
    case 4:
      if (size >> 34)
        p[0].cost = p[0].net < 0 ? (mm_i128){near, -bound * MM_COST_SCALE}
                                 : (mm_i128){~near, bound * MM_COST_SCALE - 1};
      break;
    default:
      if (size >> 34) { /* 2^96 / size */
        uint64_t rest;
        native_position_mark(&p[0], (int64_t)(native_div_u128((uint64_t)bound, 0, size, &rest) - near % 3));
      }
    }
    price = word() >> (2 + draw() % 48);
    for (int i = 1; i < 3; i++) {
      p[i] = p[0];
      queue[i][0] = queue[0][0];
    }
  }
  for (int batch = 0; batch < 30; batch++) {
    const int64_t n = sizes[draw() % (sizeof sizes / sizeof *sizes)];
    const int64_t capacity = draw() % 4 ? CAPACITY : p[0].lots_tail + n - (int64_t)(draw() % (uint64_t)n);
    int64_t done[3] = {0, 0, 0}, net = p[0].net;
    int status[3] = {0, 0, 0};
    memset(rows, 0, sizeof rows);
    for (int64_t i = 0; i < n; i++) {
      const int64_t scale = regime == 2 ? (int64_t)1 << lots : 99,
                    step = regime == 2 ? (int64_t)1 << drift : 2;
      int64_t qty = regime == 0 ? 1 + (int64_t)(draw() % 5) : 1 + (int64_t)(draw() % (uint64_t)scale);
      if (toward == 3 ? net < 0 : toward && net != 0 ? (net > 0) == (draw() % 4 > 0) : draw() % 2 > 0)
        qty = -qty;
      if (toward < 3 && draw() % 64 == 0 && net != 0 && net != INT64_MIN)
        qty = -net;
      price += (int64_t)(draw() % (uint64_t)(2 * step + 1)) - step;
      if (price <= 0 && !(negative && regime))
        price = 1 + (int64_t)(draw() % 9);
      rows[i].qty = qty;
      rows[i].price = regime == 0 ? 1 + (int64_t)(draw() % 9) : price;
      rows[i].fee = regime == 2 ? (word() & fees) >> draw() % 64 : (int64_t)(draw() % 100) - 5;
      if (regime == 3 || (regime == 4 && draw() % 500 == 0)) {
        rows[i].qty = word();
        rows[i].price = word();
        rows[i].fee = word();
      }
      mm_add_i64(net, rows[i].qty, &net);
    }
    for (int64_t i = 0; i < n; i++) {
      columns[0][i] = rows[i].qty;
      columns[1][i] = rows[i].price;
      columns[2][i] = rows[i].fee;
    }
    while (done[0] < n && status[0] == MM_OK) {
      const mm_fill *f = &rows[done[0]];
      status[0] = native_position_fill(&p[0], queue[0], capacity, f->qty, f->price, f->fee);
      done[0] += status[0] == MM_OK;
    }
    status[1] = native_position_fills(&p[1], queue[1], capacity, n, columns[0], columns[1], columns[2],
                                      sizeof **columns, &done[1]);
    status[2] = portable_position_fills(&p[2], queue[2], capacity, n, &rows->qty, &rows->price, &rows->fee,
                                        sizeof *rows, &done[2]);
    for (int i = 1; i < 3; i++) {
      SAME(status[i] == status[0] && done[i] == done[0]);
      SAME(!memcmp(&p[i], &p[0], sizeof *p));
      SAME(p[0].lots_tail == 0 || !memcmp(queue[i], queue[0], (size_t)p[0].lots_tail * sizeof **queue));
    }
    if (draw() % 8 == 0) {
      const int64_t mark = draw() % 4 ? price : word();
      for (int i = 0; i < 3; i++)
        native_position_mark(&p[i], mark);
    }
  }
}

/* A book in plain C, without any allocation by the kernel: batches that stop are undone to the last bit. */
static void batches(int32_t method) {
  enum { N = 3, CURRENCIES = 2, CAPACITY = 400, SLOTS = 1024 };
  static mm_position p[N], saved[N];
  static mm_lot queue[N][CAPACITY];
  static mm_fill history[CAPACITY], rows[16];
  static int64_t slots[SLOTS], slots_before[SLOTS];
  static mm_i128 pools[N * CURRENCIES], saved_pools[N * CURRENCIES];
  const int16_t currency[N] = {0, 0, 1};
  mm_lot *lots[N] = {queue[0], queue[1], queue[2]};
  int64_t capacity[N] = {CAPACITY, CAPACITY, CAPACITY};
  int8_t status[16];
  mm_book book;
  memset(&book, 0, sizeof book);
  memset(pools, 0, sizeof pools);
  memset(slots, 0xff, sizeof slots);
  for (int i = 0; i < N; i++)
    mm_position_init(&p[i], method, i == 1);
  book.positions = p;
  book.lots = lots;
  book.lots_capacity = capacity;
  book.pools = pools;
  book.currency = currency;
  book.n_instruments = N;
  book.n_currencies = CURRENCIES;
  book.history = history;
  book.history_capacity = CAPACITY;
  book.slots = slots;
  book.n_slots = SLOTS;
  while (book.n_history < CAPACITY - 16) {
    const int64_t n = 1 + (int64_t)(draw() % 16), start = book.n_history;
    memset(rows, 0, sizeof rows);
    for (int64_t i = 0; i < n; i++) {
      rows[i].instrument = (int32_t)(draw() % N);
      rows[i].qty = (int64_t)(draw() % 9) - 4;
      if (rows[i].qty == 0 && draw() % 8)
        rows[i].qty = 1;
      rows[i].price = 1 + (int64_t)(draw() % 50);
      rows[i].fee = word();
      rows[i].fee_currency = (int16_t)((int)(draw() % 3) - 1);
      rows[i].kind = draw() % 64 == 0;
      if (draw() % 2)
        rows[i].id[draw() % 2] = (char)(1 + draw() % 100);
    }
    memcpy(saved, p, sizeof p);
    memcpy(saved_pools, pools, sizeof pools);
    memcpy(slots_before, slots, sizeof slots);
    const int64_t done = mm_book_apply(&book, rows, n, 1, status);
    if (done < n) {
      SAME(status[done] < 0);
      mm_book_undo(&book, start, saved, saved_pools);
      SAME(book.n_history == start && !memcmp(p, saved, sizeof p));
      SAME(!memcmp(pools, saved_pools, sizeof pools) && !memcmp(slots, slots_before, sizeof slots));
    }
    for (int64_t i = 0; i < book.n_history; i++) /* every id is found again, and only once */
      if (mm_fill_has_id(&history[i]))
        SAME(slots[mm_ids_find(&book, &history[i])] == i);
  }
}

int main(void) {
  if (portable_uses_int128())
    return 2;
  for (int i = 0; i < N_EDGES; i++)
    for (int j = 0; j < N_EDGES; j++)
      for (int k = 0; k < N_EDGES; k++) {
        mm_i128 a, b;
        a.hi = edges[i], a.lo = (uint64_t)edges[j];
        b.hi = edges[k], b.lo = (uint64_t)edges[i];
        for (int m = 0; m < N_EDGES; m++)
          arithmetic(a, b, edges[k], edges[m]);
      }
  for (int i = 0; i < 100000; i++)
    arithmetic(wide(), wide(), word(), word());
  for (int i = 0; i < 200; i++)
    positions(i & 1, i >> 1 & 1, 200);
  for (int i = 0; i < 5000; i++)
    many(i & 1, i % 6);
  for (int i = 0; i < 50; i++)
    batches(i & 1);
  printf("%ld native=%d\n", checks, native_uses_int128());
  return 0;
}
