/* Two threads sweep the halves of one model into shared arrays; the result is that of one thread, bit for
 * bit. Built with the thread sanitizer where there is one. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmcore/bellman.h"

enum { STATES = 600, ACTIONS = 4, SUCCESSORS = 7, PAIRS = STATES * ACTIONS, WIDTH = SUCCESSORS, PASSES = 40 };
enum { IMPROVE, EVALUATE, CORRECT, KINDS };

static int64_t first[STATES + 1];
static int32_t row[PAIRS + 1], column[PAIRS * SUCCESSORS];
static double probability[PAIRS * SUCCESSORS], reward[PAIRS], discount = 0.95;

typedef struct {
  double v[STATES], out[STATES], reward[STATES], probability[STATES * WIDTH];
  int32_t column[STATES * WIDTH];
  int32_t length[STATES];
  int64_t policy[STATES], start[STATES];
  float single[STATES * WIDTH], residual[STATES], correction[STATES];
  float key[PAIRS], least[STATES];
} state;

typedef struct {
  const mm_mdp *model;
  const mm_policy_rows *rows;
  const mm_keys *keys;
  state *of;
  int64_t begin, end;
  int kind;
  mm_sweep sweep;
} job;

static void *work(void *argument) {
  enum { ROOM = MM_BELLMAN_KEYED_ROOM(ACTIONS) };
  job *j = (job *)argument;
  double expected[ROOM];
  int64_t pairs[2 * ROOM];
  if (j->kind == EVALUATE)
    mm_bellman_evaluate(j->model, j->begin, j->end, j->rows, j->of->v, j->of->out, &j->sweep);
  else if (j->kind == CORRECT)
    mm_bellman_correct(j->model, j->begin, j->end, j->rows, j->of->residual, j->of->residual,
                       j->of->correction, &j->sweep);
  else
    mm_bellman_improve_keyed(j->model, j->begin, j->end, j->of->v, j->of->out, j->of->policy, j->rows,
                             j->keys, expected, pairs, ROOM, &j->sweep);
  return NULL;
}

static int solve(const mm_mdp *model, state *of, int threads) {
  const mm_policy_rows rows = {of->reward, of->start,       of->length, WIDTH,
                               of->column, of->probability, of->single};
  mm_keys keys = {.pair = of->key, .state = of->least, .gain = INFINITY, .top = 1};
  memset(of, 0, sizeof *of);
  mm_keys_begin(model, &keys);
  for (int s = 0; s < STATES; ++s)
    of->policy[s] = -1;
  for (int pass = 0; pass < PASSES; ++pass) {
    pthread_t thread[2];
    job jobs[2];
    double low, high;
    mm_range(STATES, of->v, NULL, &low, &keys.most);
    for (int i = 0; i < threads; ++i) {
      const job one = {
          model,        &rows,          &keys, of, STATES * i / threads, STATES * (i + 1) / threads,
          pass % KINDS, {0, 0, 0, 0, 0}};
      jobs[i] = one;
      if (pthread_create(&thread[i], NULL, work, &jobs[i]))
        return 1;
    }
    for (int i = 0; i < threads; ++i)
      pthread_join(thread[i], NULL);
    if (pass % KINDS == EVALUATE)
      mm_bellman_residual(STATES, of->out, of->v, 1, of->residual);
    if (pass % KINDS == CORRECT)
      mm_bellman_corrected(STATES, of->v, of->correction, 1, of->out);
    mm_range(STATES, of->out, of->v, &low, &high);
    keys.drift += discount * (high - low) + 1e-9;
    memcpy(of->v, of->out, sizeof of->v);
  }
  return 0;
}

int main(void) {
  static state one, two;
  uint64_t seed = 1;
  mm_mdp model = {STATES, PAIRS, STATES, first, row, column, probability, reward, &discount, 0, 1, 0, 0};
  mm_mdp_extremes found;
  for (int j = 0; j < PAIRS; ++j) {
    double sum = 0;
    row[j + 1] = (j + 1) * SUCCESSORS;
    for (int k = 0; k < SUCCESSORS; ++k) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      column[j * SUCCESSORS + k] = (int32_t)((seed >> 33) % STATES);
      probability[j * SUCCESSORS + k] = (double)((seed >> 20) % 1000 + 1);
      sum += probability[j * SUCCESSORS + k];
    }
    for (int k = 0; k < SUCCESSORS; ++k)
      probability[j * SUCCESSORS + k] /= sum;
    reward[j] = (double)((seed >> 40) % 1000) / 1000;
  }
  for (int s = 0; s <= STATES; ++s)
    first[s] = (int64_t)s * ACTIONS;
  if (mm_mdp_check(&model, PAIRS * SUCCESSORS, 1e-9, &found) || solve(&model, &one, 1) ||
      solve(&model, &two, 2))
    return 1;
  if (memcmp(&one, &two, sizeof one)) {
    puts("two threads give other bits than one");
    return 1;
  }
  puts("same bits");
  return 0;
}
