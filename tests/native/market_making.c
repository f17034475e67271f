/* Solves one problem in four threads at once and prints a checksum of what each found: the same in every
 * build, instruction set and thread. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <mmcore/market_making.h>
#include <mmcore/uniformisation.h>

enum { NODES = 203, OFFERS = 17, STEPS = 60, THREADS = 4 };

static double rate[NODES], probability[2][OFFERS], reward[2][OFFERS], memory[2][3 * OFFERS + 1];
static int64_t lots[OFFERS];
static int16_t codes[2][OFFERS];
static mm_making chain;
static mm_lattice lattice;

static double uniform(uint64_t *state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (double)(*state >> 11) / 9007199254740992.0;
}

static void make(void) {
  uint64_t seed = 1;
  for (int s = 0; s < NODES; ++s)
    rate[s] = -1e-4 * (s - NODES / 2) * (s - NODES / 2) + 0.01 * uniform(&seed);
  chain.n = NODES, chain.rate = rate, chain.discount = 0.999, chain.plain = 1;
  for (int side = 0; side < 2; ++side) {
    for (int i = 0; i < OFFERS; ++i) {
      probability[side][i] = 0.5 * uniform(&seed);
      reward[side][i] = 1 - probability[side][i] + 0.1 * uniform(&seed);
      lots[i] = 1;
    }
    chain.offers[side].count = OFFERS, chain.offers[side].lots = lots;
    chain.offers[side].probability = probability[side], chain.offers[side].reward = reward[side];
    chain.side[side].level = memory[side], chain.side[side].slope = memory[side] + OFFERS;
    chain.side[side].from = memory[side] + 2 * OFFERS, chain.side[side].code = codes[side];
    mm_envelope_build(&chain.offers[side], chain.discount, &chain.side[side]);
  }
  lattice.n = NODES, lattice.rate = rate;
  lattice.up = lattice.down = 0.3, lattice.k_bid = lattice.k_ask = 1.1;
}

static void *solve(void *out) {
  static _Thread_local double values[(STEPS + 1) * NODES], work[MM_MAKING_WORK(NODES) + 3 * NODES],
      mixed[NODES];
  static _Thread_local double v[NODES], x[NODES], series[MM_UNIFORMISATION_WORK(NODES)];
  static _Thread_local int8_t bid[STEPS * NODES], ask[STEPS * NODES];
  uint64_t hash = MM_CHECKSUM_START, seed = 7;
  int64_t iterations;
  double gain, middle = 0;
  mm_making_state w;
  const mm_regimes one = {1, &chain, NULL, 1, NULL};
  for (int rough = 0; rough < 2; ++rough) { /* a concave value, then a jagged one */
    for (int s = 0; s < NODES; ++s)
      values[STEPS * NODES + s] = rough ? 5 * uniform(&seed) : rate[s];
    mm_making_begin(&chain, work, 1, &w);
    mm_regimes_backward(mm_cpu_best(), &one, &w, STEPS, 0, values, bid, ask, NULL, NULL, mixed);
    hash = mm_checksum(hash, values, sizeof values);
    hash = mm_checksum(hash, bid, sizeof bid);
    hash = mm_checksum(hash, ask, sizeof ask);
  }
  for (int s = 0; s < NODES; ++s)
    v[s] = x[s] = 0;
  mm_making_begin(&chain, work + 3 * NODES, 2, &w);
  if (mm_making_iterate(&chain, &w, 100, v, &gain, &iterations, work) != MM_OK ||
      mm_uniformise(&lattice, 5, x, &middle, series) != MM_OK)
    exit(1);
  hash = mm_checksum(hash, v, sizeof v);
  hash = mm_checksum(hash, x, sizeof x);
  *(uint64_t *)out = hash;
  return NULL;
}

int main(void) {
  pthread_t thread[THREADS];
  uint64_t hash[THREADS];
  make();
  for (int i = 0; i < THREADS; ++i)
    if (pthread_create(&thread[i], NULL, solve, &hash[i]))
      return 1;
  for (int i = 0; i < THREADS; ++i)
    pthread_join(thread[i], NULL);
  for (int i = 0; i < THREADS; ++i)
    printf("%016llx\n", (unsigned long long)hash[i]);
  return 0;
}
