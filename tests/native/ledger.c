/* A ledger in plain C, without any allocation by the kernel: records of every kind, batches that stop and are
 * undone to the last bit, and the bytes of all of it loaded into another one. Run under the address and
 * undefined-behaviour sanitizers. Prints a checksum of everything: native and portable arithmetic must agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmcore/ledger.h"

#define SAME(x)                                                                                              \
  do {                                                                                                       \
    if (!(x)) {                                                                                              \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                                                \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

enum {
  N = 4,
  CURRENCIES = 2,
  RECORDS = 160,
  ROOM = 1 << 16,
  LITTLE = 4,
  SLOTS = 512,
  POOLS = N * (5 * CURRENCIES + 1)
};

typedef struct host {
  mm_book book;
  mm_ledger ledger;
  mm_position positions[N], trial[N];
  mm_lot queues[N][ROOM];
  mm_lot *lots[N];
  int64_t capacity[N];
  mm_i128 pools[POOLS], trial_pools[POOLS];
  mm_fill history[RECORDS + 1];
  mm_amendment amended[RECORDS];
  int64_t slots[SLOTS];
  char names[N][MM_NAME];
} host;

static const int16_t currency[N] = {0, 0, 0, 1};
static mm_contract contracts[N];
static uint64_t state = 0x2545f4914f6cdd1d;

static uint64_t draw(uint64_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (state * 0x2545f4914f6cdd1du >> 11) % below;
}

static void start(host *h, int32_t method, int64_t window, int32_t suspends, int64_t room) {
  memset(h, 0, sizeof *h);
  memset(h->slots, 0xff, sizeof h->slots);
  for (int i = 0; i < N; i++) {
    mm_position_init(&h->positions[i], method, i == 2);
    h->positions[i].flags |= i == 3 ? MM_INVERSE : 0;
    h->lots[i] = h->queues[i];
    h->capacity[i] = room;
  }
  h->book.positions = h->positions;
  h->book.lots = h->lots;
  h->book.lots_capacity = h->capacity;
  h->book.pools = h->pools;
  h->book.currency = currency;
  h->book.n_instruments = N;
  h->book.n_currencies = CURRENCIES;
  h->book.history = h->history;
  h->book.history_capacity = RECORDS + 1;
  h->book.slots = h->slots;
  h->book.n_slots = SLOTS;
  h->book.ids_window = window;
  for (int32_t i = 0; i < N - 1; i++) /* all but the last have a name */
    h->names[i][0] = (char)(65 + i);
  h->book.names = h->names[0];
  h->ledger.book = &h->book;
  h->ledger.contracts = contracts;
  h->ledger.amended = h->amended;
  h->ledger.amended_capacity = room < RECORDS ? room : RECORDS;
  h->ledger.trial = h->trial;
  h->ledger.trial_pools = h->trial_pools;
  h->ledger.suspends = suspends;
}

static int same_key(const mm_book *book, const mm_fill *a, const mm_fill *b) {
  return !memcmp(a->id, b->id, sizeof a->id) && (a->qty < 0) == (b->qty < 0) &&
         mm_fill_class(a->kind) == mm_fill_class(b->kind) &&
         mm_fill_instrument(book, a) == mm_fill_instrument(book, b);
}

static mm_fill any(const mm_book *book) {
  static const int kinds[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 8, 9, 9};
  mm_fill f;
  memset(&f, 0, sizeof f);
  f.kind = (int8_t)kinds[draw(sizeof kinds / sizeof *kinds)];
  f.instrument = draw(30) ? (int32_t)draw(N) : -1;
  if (f.instrument < 0 && draw(4)) /* under a name that the book has, or not */
    f.reference[0] = (char)(65 + draw(N + 2));
  f.qty = (int64_t)draw(9) - 4;
  f.price = (int64_t)draw(50) + (draw(20) != 0);
  f.fee = (int64_t)draw(9) - 4;
  f.fee_currency = (int16_t)((int)draw(3) - 1);
  if (draw(2))
    f.id[0] = (char)(1 + draw(60));
  if (f.kind >= MM_BUST && f.kind <= MM_RELEASE && f.kind != MM_SUSPEND) {
    if (draw(3) == 0)
      f.reference[0] = (char)(1 + draw(60));
    else if (book->n_history) {
      f.target = 1 + (int64_t)draw((uint64_t)book->n_history);
      if (draw(4))
        f.instrument = book->history[f.target - 1].instrument;
    }
    if (f.kind == MM_RELEASE && f.instrument < 0)
      f.instrument = 0;
  }
  if (f.kind == MM_CONVERT) {
    f.qty = 1 + (int64_t)draw(3);
    f.price = 1 + (int64_t)draw(3);
    f.target = (int64_t)draw(N);
  }
  return f;
}

/* Lots of a position under specific identification, most of them open, and a fill that closes some. */
static int identified(const mm_book *book, mm_fill *rows, int room) {
  const int32_t i = (int32_t)draw(N);
  const mm_position *p = &book->positions[i];
  const int64_t sign = p->net < 0 ? -1 : 1;
  int64_t closed = 0;
  int n = 0;
  for (int64_t at = p->lots_head + 1; at < p->lots_tail && n < room - 1;
       at += 1 + mm_lot_entries(book->lots[i], at)) {
    const mm_lot *lot = &book->lots[i][at];
    const int64_t left = lot->qty * sign - lot[-1].price;
    if (draw(2) || (left <= 0 && draw(20)))
      continue;
    memset(&rows[n], 0, sizeof *rows);
    rows[n].kind = MM_IDENTIFY;
    rows[n].instrument = i;
    rows[n].fee_currency = -1;
    rows[n].qty = draw(30) ? 1 + (int64_t)draw((uint64_t)(left > 0 ? left : 1)) : left + 1;
    if (lot->qty && draw(2) && book->history[lot[-1].qty].id[0])
      memcpy(rows[n].reference, book->history[lot[-1].qty].id, sizeof rows[n].reference);
    else
      rows[n].target = lot->qty ? lot[-1].qty + 1 : 1;
    closed += rows[n++].qty;
  }
  if (n == 0)
    return 0;
  rows[n] = any(book);
  if (draw(20)) {
    rows[n].kind = MM_NEW;
    rows[n].instrument = i;
    rows[n].price = 1 + (int64_t)draw(50);
    rows[n].qty = -sign * (closed + (int64_t)draw(4) - (draw(20) == 0));
  }
  return n + 1;
}

/* Positions that only the ledger books: every door of book.h says so, and changes nothing. */
static void only_by_the_ledger(int32_t method, int32_t flags) {
  static host h;
  static mm_lot before[16];
  mm_fill rows[MM_FILLS_FEW + 2];
  int64_t qty[MM_FILLS_FEW + 2], price[MM_FILLS_FEW + 2], fee[MM_FILLS_FEW + 2], booked = -1;
  int8_t status[MM_FILLS_FEW + 2];
  const int n = MM_FILLS_FEW + 2;
  mm_fills block;
  start(&h, method, 0, 0, ROOM);
  memset(rows, 0, sizeof rows);
  for (int i = 0; i < n; i++) {
    qty[i] = rows[i].qty = 2 * i - 5;
    price[i] = rows[i].price = 1000 + i;
    fee[i] = rows[i].fee = 1;
    rows[i].fee_currency = -1;
  }
  for (int marked = 0; marked < 2; marked++) {
    mm_position *p = &h.positions[0];
    p->flags |= flags;
    if (marked)
      SAME(mm_ledger_record(&h.ledger, &rows[n - 1]) == MM_OK && p->net == qty[n - 1] &&
           mm_contract_mark(p, &contracts[0], 900) == MM_OK);
    const mm_position was = *p;
    const int64_t records = h.book.n_history;
    memcpy(before, h.queues[0], sizeof before);
    SAME(mm_position_fill(p, h.queues[0], ROOM, qty[0], price[0], fee[0]) == MM_UNSUPPORTED);
    SAME(mm_position_fill(p, NULL, 0, qty[0], price[0], fee[0]) == MM_UNSUPPORTED);
    SAME(mm_position_fill(p, h.queues[0], ROOM, 0, price[0], fee[0]) == MM_INVALID);
    for (int few = 1; few <= n; few += n - 1) {
      SAME(mm_position_fills(p, h.queues[0], ROOM, few, qty, price, fee, sizeof *qty, &booked) ==
           MM_UNSUPPORTED);
      SAME(booked == 0);
    }
    block.qty = qty;
    block.price = price;
    block.fee = fee;
    block.stride = sizeof *qty;
    block.n = n;
    SAME(mm_fills_block(p, h.queues[0], ROOM, &block) == 0);
    SAME(mm_book_fill(&h.book, rows) == MM_UNSUPPORTED);
    SAME(mm_book_apply(&h.book, rows, n, 1, status) == 0 && status[0] == MM_UNSUPPORTED);
    SAME(mm_book_apply(&h.book, rows, n, 0, status) == n);
    for (int i = 0; i < n; i++)
      SAME(status[i] == MM_UNSUPPORTED);
    SAME(h.book.n_history == records && !memcmp(&was, p, sizeof was) &&
         !memcmp(before, h.queues[0], sizeof before));
  }
}

int main(void) {
  static host h, other;
  static mm_position saved[N];
  static mm_i128 saved_pools[POOLS];
  static mm_amendment amended[RECORDS];
  static int64_t slots[SLOTS];
  static uint64_t block[1 << 16], compacted[1 << 16];
  uint64_t sum = MM_CHECKSUM_START;
  long counts[16] = {0}, full_queues = 0, full_amendments = 0, unmet = 0;
  for (int i = 0; i < N; i++) {
    contracts[i].unit_num = i == 1 ? 5 : i == 3 ? 1 : 7;
    contracts[i].unit_den = i == 1 ? 3 : i == 3 ? 1000000000 : 1;
    contracts[i].scale = mm_i128_scale(mm_i128_of(1000000007), 1000000000);
    contracts[i].per = 3;
  }
  for (int32_t method = -1; method <= MM_SPECIFIC + 1; method++) { /* made by hand, without its flag */
    mm_position p, was;
    mm_position_init(&p, MM_AVERAGE, 0);
    p.method = method;
    was = p;
    if (method != MM_AVERAGE && method != MM_FIFO)
      SAME(mm_position_fill(&p, NULL, 0, 1, 1, 0) == MM_UNSUPPORTED && !memcmp(&p, &was, sizeof p));
  }
  only_by_the_ledger(MM_LIFO, 0);
  only_by_the_ledger(MM_SPECIFIC, 0);
  for (int32_t method = MM_AVERAGE; method <= MM_SPECIFIC; method++)
    only_by_the_ledger(method, MM_INVERSE);
  only_by_the_ledger(MM_FIFO, MM_COSTED);
  for (int run = 0; run < 240; run++) {
    const int32_t method = run / 4 % 4;
    start(&h, method, run % 3 == 0 ? 5 : 0, run % 4 == 0, run % 5 < 2 ? LITTLE : ROOM);
    while (h.book.n_history < RECORDS - 8) {
      const int64_t begun = h.book.n_history, n_amended = h.ledger.n_amended;
      int64_t n = 1 + (int64_t)draw(6);
      mm_fill rows[6];
      int8_t status[6];
      for (int i = 0; i < n; i++)
        rows[i] = any(&h.book);
      if (method == MM_SPECIFIC && draw(2)) {
        const int first = (int)draw(3), more = identified(&h.book, rows + first, 6 - first);
        n = more ? first + more : n;
      }
      if (!h.names[N - 1][0] && draw(200) == 0) { /* the last has one, too, from now on */
        h.names[N - 1][0] = 65 + N - 1;
        mm_book_named(&h.book, N - 1);
      }
      mm_book_save(&h.ledger, 7, (mm_book_block *)(void *)compacted);
      const uint64_t bytes = ((mm_book_block *)(void *)compacted)->bytes;
      memcpy(saved, h.positions, sizeof saved);
      memcpy(saved_pools, h.pools, sizeof saved_pools);
      memcpy(amended, h.amended, sizeof amended);
      memcpy(slots, h.slots, sizeof slots);
      int64_t done = mm_ledger_apply(&h.ledger, rows, n, 1, status);
      while (done < n && status[done] == MM_CAPACITY) { /* what is refused for want of room leaves no trace */
        static mm_position before[N];
        static mm_i128 before_pools[POOLS];
        static mm_amendment before_amended[RECORDS];
        const int64_t records = h.book.n_history, amendments = h.ledger.n_amended;
        memcpy(before, h.positions, sizeof before);
        memcpy(before_pools, h.pools, sizeof before_pools);
        memcpy(before_amended, h.amended, sizeof before_amended);
        SAME(mm_ledger_apply(&h.ledger, rows + done, n - done, 1, status + done) == 0);
        SAME(status[done] == MM_CAPACITY);
        SAME(h.book.n_history == records && h.ledger.n_amended == amendments);
        SAME(!memcmp(h.positions, before, sizeof before) &&
             !memcmp(h.pools, before_pools, sizeof before_pools));
        SAME(!memcmp(h.amended, before_amended, (size_t)amendments * sizeof *before_amended));
        if (h.ledger.full >= 0) {
          full_queues++;
          h.capacity[h.ledger.full] *= 2;
          SAME(h.capacity[h.ledger.full] <= ROOM);
        } else {
          full_amendments++;
          SAME(amendments == h.ledger.amended_capacity && amendments < RECORDS);
          h.ledger.amended_capacity++;
        }
        done += mm_ledger_apply(&h.ledger, rows + done, n - done, 1, status + done);
      }
      for (int64_t i = 0; i < done; i++)
        counts[rows[i].kind] += status[i] == MM_OK || status[i] == MM_SUSPENDED,
            unmet += status[i] == MM_UNMET;
      if (done < n) {
        SAME(status[done] < 0 && status[done] != MM_CAPACITY);
        mm_ledger_undo(&h.ledger, begun, saved, saved_pools);
        SAME(h.book.n_history == begun && h.ledger.n_amended == n_amended);
        SAME(!memcmp(h.positions, saved, sizeof saved) && !memcmp(h.pools, saved_pools, sizeof saved_pools));
        SAME(!memcmp(h.amended, amended, (size_t)n_amended * sizeof *amended));
        SAME(mm_book_header(&h.ledger, 7).bytes == bytes);
        mm_book_save(&h.ledger, 7, (mm_book_block *)(void *)block);
        SAME(!memcmp(block, compacted, bytes)); /* the lots, too, and how much of each is closed */
        if (done == 0) {                        /* and a refusal of one record needs no undoing */
          mm_ledger_record(&h.ledger, &rows[0]);
          SAME(!memcmp(h.positions, saved, sizeof saved) && h.ledger.n_amended == n_amended);
          SAME(!memcmp(h.pools, saved_pools, sizeof saved_pools) && h.book.n_history == begun);
        }
      }
      if (!h.book.ids_window)
        for (int64_t i = 0; i < h.book.n_history; i++) /* every id is found again */
          if (mm_fill_has_id(&h.history[i]))
            SAME(same_key(&h.book, &h.history[h.slots[mm_ids_find(&h.book, &h.history[i])]], &h.history[i]));
      const mm_book_block wide = mm_book_header(&h.ledger, 7);
      SAME(wide.bytes < sizeof block);
      mm_book_save(&h.ledger, 7, (mm_book_block *)(void *)block);
      for (int i = 0; i < N; i++)
        mm_position_compact(&h.positions[i], h.queues[i]);
      const mm_book_block tight = mm_book_header(&h.ledger, 7); /* garbage is not saved */
      SAME(tight.bytes == wide.bytes);
      mm_book_save(&h.ledger, 7, (mm_book_block *)(void *)compacted);
      SAME(!memcmp(block, compacted, tight.bytes));
    }
    mm_book_block *b = (mm_book_block *)(void *)block;
    const mm_book_block header = mm_book_header(&h.ledger, 7);
    SAME(header.bytes < sizeof block);
    mm_book_save(&h.ledger, 7, b);
    SAME(mm_book_block_check(b, header.bytes) == MM_OK);
    start(&other, method, run % 3 == 0 ? 5 : 0, run % 4 == 0, ROOM);
    memcpy(other.names, h.names, sizeof h.names);
    SAME(mm_book_load(b, &other.ledger) == MM_OK);
    SAME(!memcmp(h.positions, other.positions, sizeof saved) &&
         !memcmp(h.pools, other.pools, sizeof saved_pools));
    SAME(h.ledger.n_amended == other.ledger.n_amended);
    SAME(!memcmp(h.amended, other.amended, (size_t)h.ledger.n_amended * sizeof *amended));
    sum = mm_checksum(sum, block, header.bytes);
  }
  for (int kind = 0; kind < MM_KINDS; kind++)
    SAME(counts[kind] > 20 || kind == MM_BORROW || kind == MM_DIVIDEND);
  SAME(full_queues > 20 && full_amendments > 20 && unmet > 20);
  printf("%llx\n", (unsigned long long)sum);
  return 0;
}
