/* mmcore/bellman.h - the Bellman operator of a finite Markov decision process, and what solves with it.
 *
 * A model is a list of state-action pairs, those of a state together; each pair has a reward and a row of
 * successors with their probabilities (compressed sparse rows):
 *
 *   q(j) = sign reward[j] + discount[s] sum_k probability[k] v[column[k]],   k in row[j] .. row[j+1] - 1,
 *   (Tv)(s) = max of q(j) over first[s] <= j < first[s+1].
 *
 * sign is 1 to maximise and -1 to minimise, where v is minus the value; a pair whose signed reward is -inf is
 * infeasible and its row is not read. The caller's arrays are used as they are, 32 or 64 bits wide.
 *
 *   mm_mdp_check         what is wrong with the arrays, and the extremes that the bounds are made of
 *   mm_bellman_improve   v -> Tv, with the maximising pairs; in place it is a Gauss-Seidel sweep
 *   mm_bellman_improve_keyed  the same without the pairs that are known to lose
 *   mm_mdp_look          what a sample of the states tells of the others
 *   mm_bellman_evaluate  v -> the same for one pair a state
 *   mm_bellman_correct   a correction of v for one pair a state, in single precision
 *   mm_bellman_band      value of a policy by elimination in a band (one wide: the Thomas algorithm)
 *   mm_bellman_bicgstab  value of a policy to a residual, by stabilised bi-conjugate gradients
 *
 * Pairs that cannot win are not read. A key is kept for each pair. Before its row is read, it is how far its
 * reward is below the top, negative: however high the values after it, r + discount max v is no more than
 * that allows. Afterwards it is a lower bound of how much the pair lacked in the sweep that read it, plus
 * `drift` at that time. Where v moved by between lo and hi since, a pair's disadvantage shrank by at most
 * discount (hi - lo); `drift` is the sum of these and never falls, so that key > drift proves that the pair
 * loses again.
 *
 * No allocation, no state: any thread may work on its own range of states.
 */
#ifndef MMCORE_BELLMAN_H
#define MMCORE_BELLMAN_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mm_mdp {
  int64_t n_states, n_pairs, n_columns; /* columns: states that v is indexed by */
  const int64_t *first;                 /* n_states + 1 */
  const void *row;                      /* n_pairs + 1, int32 or int64 */
  const void *column;                   /* int32 or int64, as row */
  const double *probability;
  const double *reward;   /* n_pairs */
  const double *discount; /* at s * discount_step: one for all states where the step is 0 */
  int64_t discount_step;
  double sign;  /* 1: maximise, -1: minimise */
  int32_t wide; /* row and column are int64 */
  int32_t reserved;
} mm_mdp;

/* The rows of the pairs of a policy: those lie far apart in the model, and so do the pointers to them. State
 * s has length[s] entries of the model's column and probability from start[s] on; where width is not 0 they
 * are copies, width entries of room a state. mm_bellman_improve keeps all this. */
typedef struct mm_policy_rows {
  double *reward;  /* n_states, signed */
  int64_t *start;  /* n_states */
  int32_t *length; /* n_states */
  int64_t width;   /* 0, or the longest row */
  int32_t *column; /* n_states * width, or NULL; and so are */
  double *probability;
  float *single; /* the probabilities, rounded */
} mm_policy_rows;

/* What pairs are known to lack: proven where all bounds are, likely where they are guesses. */
typedef struct mm_keys {
  float *pair;  /* n_pairs; +inf: held or infeasible; -x: not read, its reward x or more below the top */
  float *state; /* n_states: no more than the least key of a state */
  double drift; /* by how much a pair may have gained on another since keys were begun */
  double most;  /* bound of E[v] after every pair */
  double gain;  /* bound of discount (E[v] after a pair - E[v] after the pair held); inf: none is known */
  double top;   /* bound of every signed reward */
} mm_keys;

/* What a sweep saw. */
typedef struct mm_sweep {
  double low, high; /* range of new value less old */
  int64_t changed;  /* states whose pair is another one than before */
  int64_t alive;    /* pairs read that may be optimal, see mm_bellman_improve */
  int64_t read;     /* pairs whose row was read */
} mm_sweep;

/* What is wrong with a model, and where. */
enum {
  MM_MDP_FIRST = 1,       /* pairs of the states do not cover 0 .. n_pairs in order */
  MM_MDP_ROW = 2,         /* rows do not lie one after the other */
  MM_MDP_COLUMN = 3,      /* a successor that is no state */
  MM_MDP_PROBABILITY = 4, /* negative or not finite */
  MM_MDP_SUM = 5,         /* a row that does not sum to one */
  MM_MDP_REWARD = 6,      /* NaN, or infinite on the better side */
  MM_MDP_INFEASIBLE = 7   /* a state without a feasible pair */
};

typedef struct mm_mdp_extremes {
  double sum_low, sum_high;   /* of the row sums, as computed */
  double reward;              /* largest |reward| of a feasible pair */
  int64_t successors;         /* longest row */
  int64_t below, above;       /* largest s - column and column - s */
  int64_t pairs;              /* largest number of pairs of one state */
  int64_t feasible;           /* pairs */
  int64_t state, pair, entry; /* where it is wrong */
  double value;               /* what is wrong there */
} mm_mdp_extremes;

MM_INLINE int64_t mm_mdp_index(const void *array, int64_t i, int wide) {
  return wide ? ((const int64_t *)array)[i] : (int64_t)((const int32_t *)array)[i];
}

/* Look at every number once. Returns 0 or what is wrong; extremes are of the part before it. `entries` is the
 * length of column and probability. */
static inline int mm_mdp_check(const mm_mdp *p, int64_t entries, double tolerance, mm_mdp_extremes *x) {
  x->sum_low = (double)INFINITY, x->sum_high = -(double)INFINITY, x->reward = 0, x->value = 0;
  x->successors = x->below = x->above = x->pairs = x->feasible = 0;
  x->state = x->pair = x->entry = -1;
  if (p->first[0] != 0 || p->first[p->n_states] != p->n_pairs)
    return MM_MDP_FIRST;
  if (mm_mdp_index(p->row, 0, p->wide) != 0)
    return MM_MDP_ROW;
  for (int64_t s = 0; s < p->n_states; ++s) {
    int64_t feasible = 0;
    x->state = s;
    if (p->first[s + 1] < p->first[s] || p->first[s + 1] > p->n_pairs)
      return MM_MDP_FIRST;
    if (p->first[s + 1] - p->first[s] > x->pairs)
      x->pairs = p->first[s + 1] - p->first[s];
    for (int64_t j = p->first[s]; j < p->first[s + 1]; ++j) {
      const int64_t begin = mm_mdp_index(p->row, j, p->wide), end = mm_mdp_index(p->row, j + 1, p->wide);
      const double reward = p->sign * p->reward[j];
      double sum = 0;
      x->pair = j;
      if (end < begin || end > entries)
        return MM_MDP_ROW;
      if (isnan(reward) || reward == (double)INFINITY) {
        x->value = p->reward[j];
        return MM_MDP_REWARD;
      }
      if (reward == -(double)INFINITY)
        continue;
      for (int64_t k = begin; k < end; ++k) {
        const int64_t column = mm_mdp_index(p->column, k, p->wide);
        const double probability = p->probability[k];
        x->entry = k;
        if (column < 0 || column >= p->n_columns) {
          x->value = (double)column;
          return MM_MDP_COLUMN;
        }
        if (!(probability >= 0 && probability <= 2)) { /* more than one is caught by the sum */
          x->value = probability;
          return MM_MDP_PROBABILITY;
        }
        sum += probability;
        if (probability > 0 && s - column > x->below)
          x->below = s - column;
        if (probability > 0 && column - s > x->above)
          x->above = column - s;
      }
      if (!(fabs(sum - 1) <= tolerance)) {
        x->value = sum;
        return MM_MDP_SUM;
      }
      ++feasible;
      x->sum_low = sum < x->sum_low ? sum : x->sum_low;
      x->sum_high = sum > x->sum_high ? sum : x->sum_high;
      x->reward = fabs(reward) > x->reward ? fabs(reward) : x->reward;
      x->successors = end - begin > x->successors ? end - begin : x->successors;
    }
    x->feasible += feasible;
    if (!feasible)
      return MM_MDP_INFEASIBLE;
  }
  return 0;
}

/* sum_k probability[k] v[column[k]], k = begin .. end - 1. Two sums, as each addition waits for the one
 * before it; with four, reads of v that miss the cache take half as long again. */
MM_INLINE double mm_mdp_expect(const void *column, const double *probability, int64_t begin, int64_t end,
                               const double *v, int wide) {
  const double *w = probability;
  double a = 0, b = 0;
  int64_t k = begin;
  for (; k + 2 <= end; k += 2) {
    a += w[k] * v[mm_mdp_index(column, k, wide)];
    b += w[k + 1] * v[mm_mdp_index(column, k + 1, wide)];
  }
  if (k < end)
    a += w[k] * v[mm_mdp_index(column, k, wide)];
  return a + b;
}

/* E[v] after a pair. */
MM_INLINE double mm_mdp_expect_after(const mm_mdp *p, int64_t pair, const double *v, int wide) {
  return mm_mdp_expect(p->column, p->probability, mm_mdp_index(p->row, pair, wide),
                       mm_mdp_index(p->row, pair + 1, wide), v, wide);
}

/* Ask for a row that will be read, into the second-level cache, which waits for more lines at once. */
MM_INLINE void mm_mdp_prefetch(const void *column, const double *probability, int64_t begin, int wide) {
#if defined(__GNUC__)
  const char *indices = (const char *)column + begin * (wide ? 8 : 4);
  __builtin_prefetch(probability + begin, 0, 1);
  __builtin_prefetch(probability + begin + 8, 0, 1);
  __builtin_prefetch(indices, 0, 1);
  __builtin_prefetch(indices + 40, 0, 1);
#else
  (void)column, (void)probability, (void)begin, (void)wide;
#endif
}

/* State s takes another pair. */
static inline void mm_policy_rows_put(const mm_mdp *p, const mm_policy_rows *rows, int64_t s, int64_t pair) {
  const int64_t begin = mm_mdp_index(p->row, pair, p->wide);
  const int64_t length = mm_mdp_index(p->row, pair + 1, p->wide) - begin;
  rows->reward[s] = p->sign * p->reward[pair];
  rows->start[s] = rows->width ? s * rows->width : begin;
  rows->length[s] = (int32_t)length;
  if (!rows->width)
    return;
  int32_t *column = rows->column + rows->start[s];
  double *probability = rows->probability + rows->start[s];
  float *single = rows->single + rows->start[s];
  for (int64_t k = 0; k < length; ++k) {
    column[k] = (int32_t)mm_mdp_index(p->column, begin + k, p->wide);
    probability[k] = p->probability[begin + k];
    single[k] = (float)probability[k];
  }
}

enum {
  MM_MDP_AHEAD = 32,      /* rows that prefetching looks ahead */
  MM_ROWS_AHEAD = 256,    /* entries, where rows lie one after the other */
  MM_ROWS_MANY = 1 << 19, /* entries that fill a second-level cache */
  MM_BELLMAN_BLOCK = 1024 /* pairs looked at together, and those of one state more */
};

/* How the rows of a policy are read. */
enum { MM_ROWS_NARROW, MM_ROWS_WIDE, MM_ROWS_COPIED };

/* discount P v in state s, for the policy whose rows these are. */
MM_INLINE double mm_policy_expect(const mm_mdp *p, const mm_policy_rows *rows, int64_t s, const double *v,
                                  int how) {
  const void *column = how == MM_ROWS_COPIED ? (const void *)rows->column : p->column;
  const double *probability = how == MM_ROWS_COPIED ? rows->probability : p->probability;
  return p->discount[s * p->discount_step] * mm_mdp_expect(column, probability, rows->start[s],
                                                           rows->start[s] + rows->length[s], v,
                                                           how == MM_ROWS_WIDE);
}

/* Ask for the row of a state that comes later; copies come by themselves. */
MM_INLINE void mm_policy_prefetch(const mm_mdp *p, const mm_policy_rows *rows, int64_t s, int64_t end,
                                  int how) {
  if (how != MM_ROWS_COPIED && s + MM_MDP_AHEAD < end)
    mm_mdp_prefetch(p->column, p->probability, rows->start[s + MM_MDP_AHEAD], how == MM_ROWS_WIDE);
}

MM_INLINE void mm_bellman_improve_as(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                     const double *old, double *out, int64_t *policy,
                                     const mm_policy_rows *rows, double proven, double *q, mm_sweep *sweep,
                                     int wide) {
  double low = (double)INFINITY, high = -(double)INFINITY;
  int64_t changed = 0, alive = 0;
  for (int64_t s = begin; s < end; ++s) {
    const double discount = p->discount[s * p->discount_step], before = v ? old[s] : 0;
    const int64_t first = p->first[s], last = p->first[s + 1], held = policy[s];
    int64_t at = first;
    double best = -(double)INFINITY;
    for (int64_t j = first; j < last; ++j) {
      double value = p->sign * p->reward[j];
      if (v && value != -(double)INFINITY)
        value += discount * mm_mdp_expect_after(p, j, v, wide);
      q[j - first] = value;
      at = value > best ? j : at;
      best = value > best ? value : best;
    }
    if (held >= first && held < last &&
        q[held - first] >= best) /* a tie with the pair held changes nothing */
      at = held;
    for (int64_t j = first; j < last; ++j)
      alive += !(best - q[j - first] > proven);
    if (rows && v && at != held) /* its row has just been read */
      mm_policy_rows_put(p, rows, s, at);
    changed += at != held;
    policy[s] = at;
    out[s] = best;
    low = best - before < low ? best - before : low;
    high = best - before > high ? best - before : high;
  }
  for (int64_t s = begin; rows && !v && s < end; ++s) {
    if (rows->width && s + MM_MDP_AHEAD < end)
      mm_mdp_prefetch(p->column, p->probability, mm_mdp_index(p->row, policy[s + MM_MDP_AHEAD], p->wide),
                      p->wide);
    mm_policy_rows_put(p, rows, s, policy[s]);
  }
  sweep->low = low, sweep->high = high, sweep->changed = changed, sweep->alive = alive;
  sweep->read = v ? p->first[end] - p->first[begin] : 0;
}

/* Tv of the states begin .. end - 1 into out. `old` is v at the states themselves, old[s] for state s of this
 * model (other than v where the model is a part of a larger one). policy[s] holds pairs, or -1: the one held
 * is kept where it ties. With out == v it is a Gauss-Seidel sweep; with v NULL all values are 0 and no row is
 * read. Pairs that lack no more than `proven` are counted as alive. rows may be NULL: else they are kept
 * those of policy. q: room for the pairs of one state. */
static inline void mm_bellman_improve(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                      const double *old, double *out, int64_t *policy,
                                      const mm_policy_rows *rows, double proven, double *q, mm_sweep *sweep) {
  if (!v)
    mm_bellman_improve_as(p, begin, end, NULL, old, out, policy, rows, proven, q, sweep, 0);
  else if (p->wide)
    mm_bellman_improve_as(p, begin, end, v, old, out, policy, rows, proven, q, sweep, 1);
  else
    mm_bellman_improve_as(p, begin, end, v, old, out, policy, rows, proven, q, sweep, 0);
}

/* States that follow each other, and their pairs that may win. */
typedef struct mm_bellman_block {
  int64_t from, to;      /* states */
  int64_t count, states; /* of the pairs; of the states that have some */
  int64_t *pair;         /* the list ends with one that no state has */
  int64_t *state;
  double *expected; /* after each pair */
} mm_bellman_block;

/* Room for the pairs of a block, where the longest state has so many. */
#define MM_BELLMAN_KEYED_ROOM(pairs) ((pairs) + 2 * MM_BELLMAN_BLOCK + 1)

/* The largest float up to x: a float is above the one where it is above the other, and comparing floats is
 * quicker. */
MM_INLINE float mm_bellman_float(double x) {
  const float near = x < (double)FLT_MAX ? (float)x : FLT_MAX;
  return (double)near > x ? nextafterf(near, -INFINITY) : near;
}

/* What is known of a pair that lacks so much: less by a relative 2^-23, more than the conversion adds. */
MM_INLINE float mm_bellman_key(double lacks) {
  return (float)(lacks * (1 - 0x1p-23));
}

/* Keys of pairs whose rows nobody has read; infeasible ones lose for ever. */
static inline void mm_keys_begin(const mm_mdp *p, const mm_keys *keys) {
  for (int64_t j = 0; j < p->n_pairs; ++j) {
    const double reward = p->sign * p->reward[j];
    const float below = mm_bellman_key(keys->top - reward);
    keys->pair[j] = reward == -(double)INFINITY ? INFINITY : -(below > 0 ? below : 0);
  }
  for (int64_t s = 0; s < p->n_states; ++s)
    keys->state[s] = 0;
}

/* How far below the top a reward may be for its pair to win in state s over the pair held, whose reward and
 * value are `reward` and `own`, were E[v] as high as it can be; rounded up. */
MM_INLINE float mm_keys_reach(const mm_mdp *p, const mm_keys *keys, int64_t s, double reward, double own) {
  const double over = p->discount[s * p->discount_step] * keys->most - own, near = keys->gain - reward;
  const float reach = (float)(keys->top + (over < near ? over : near));
  return reach + (fabsf(reach) * 0x1p-22f + FLT_MIN);
}

/* Have all states looked at again: what they are said to lack at least was concluded from guesses. The keys
 * of their pairs were not. */
static inline void mm_keys_reopen(const mm_mdp *p, const mm_keys *keys) {
  for (int64_t s = 0; s < p->n_states; ++s)
    keys->state[s] = 0;
}

/* What some states tell of E[x] after their pairs, x = v - old, or v where old is NULL. */
typedef struct mm_mdp_sample {
  double most; /* largest */
  double gain; /* largest discounted difference between pairs of one state */
} mm_mdp_sample;

static inline void mm_mdp_look(const mm_mdp *p, int64_t states, const double *v, const double *old,
                               mm_mdp_sample *sample) {
  double most = -(double)INFINITY, gain = 0;
  for (int64_t i = 0; i < states; ++i) {
    const double place =
        (double)i * 0.6180339887498949; /* the golden ratio falls in step with no structure */
    const int64_t s = (int64_t)((place - floor(place)) * (double)p->n_states);
    double low = (double)INFINITY, high = -(double)INFINITY;
    for (int64_t j = p->first[s]; j < p->first[s + 1]; ++j) {
      if (p->sign * p->reward[j] == -(double)INFINITY)
        continue;
      double x = mm_mdp_expect_after(p, j, v, p->wide);
      x -= old ? mm_mdp_expect_after(p, j, old, p->wide) : 0;
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    const double apart = p->discount[s * p->discount_step] * (high - low);
    gain = apart > gain ? apart : gain;
    most = high > most ? high : most;
  }
  sample->most = most, sample->gain = gain;
}

/* Pick out the pairs of state s that may win over the one held, whose value is `own`. */
MM_INLINE void mm_bellman_pick(const mm_mdp *p, int64_t s, double own, const int64_t *policy,
                               const mm_policy_rows *rows, const mm_keys *keys, float limit,
                               mm_bellman_block *b, int wide) {
  const float hide[2] = {INFINITY, 0}, floor = -mm_keys_reach(p, keys, s, rows->reward[s], own);
  const int64_t first = p->first[s], last = p->first[s + 1], held = policy[s];
  int64_t *pair = b->pair + b->count, count = 0;
  float *key = keys->pair, least = INFINITY;
  if (held >= first && held < last)
    key[held] = INFINITY;
  for (int64_t j = first; j < last; ++j) { /* without a branch, which nobody could predict */
    const float drifted = key[j] - limit, beaten = floor - key[j];
    const float lacks = drifted > beaten ? drifted : beaten;
    const int closed = lacks > 0;
    const float other = lacks + hide[closed];
    least = other < least ? other : least;
    pair[count] = j;
    count += !closed;
  }
  keys->state[s] = mm_bellman_key(keys->drift + (double)least * (1 - 0x1p-22));
  b->state[b->states] = s;
  b->states += count > 0;
  b->count += count;
#if defined(__GNUC__)
  __builtin_prefetch((const char *)p->row + pair[0] * (wide ? 8 : 4));
  __builtin_prefetch(p->reward + pair[0]);
#else
  (void)wide;
#endif
}

/* Value the pairs held in the next states and pick those that may win, until there are enough of them: some
 * states at a time, as what a value is made of takes its time to come. */
MM_INLINE void mm_bellman_hold(const mm_mdp *p, int64_t end, const double *v, double *out,
                               const int64_t *policy, const mm_policy_rows *rows, const mm_keys *keys,
                               mm_bellman_block *b, int how, int wide) {
  const float limit = mm_bellman_float(keys->drift);
  int64_t s = b->from = b->to, next = s;
  b->count = b->states = 0;
  while (s < end && s < b->from + MM_BELLMAN_BLOCK && b->count < MM_BELLMAN_BLOCK) {
    do {
      const int holds = policy[next] >= p->first[next] && policy[next] < p->first[next + 1];
      mm_policy_prefetch(p, rows, next, end, how);
#if defined(__GNUC__)
      __builtin_prefetch(keys->state[next] > limit ? keys->state + next : keys->pair + p->first[next]);
#endif
      out[next] = holds ? rows->reward[next] + mm_policy_expect(p, rows, next, v, how) : -(double)INFINITY;
      ++next;
    } while (next < end && p->first[next + 1] - p->first[s] <= MM_BELLMAN_BLOCK);
    for (; s < next; ++s)
      if (!(keys->state[s] > limit))
        mm_bellman_pick(p, s, out[s], policy, rows, keys, limit, b, wide);
  }
  b->to = s;
  b->pair[b->count] = INT64_MAX;
}

/* Read the rows of the pairs picked, ahead where they do not come by themselves, one after the other. */
MM_INLINE void mm_bellman_read(const mm_mdp *p, const double *v, const mm_bellman_block *b, int wide) {
  const int64_t *pair = b->pair, n = b->count;
  const int apart = 2 * n < p->first[b->to] - p->first[b->from];
  const int64_t ahead = apart ? (int64_t)MM_MDP_AHEAD : n;
  for (int64_t i = 0; ahead < n && i < ahead; ++i)
    mm_mdp_prefetch(p->column, p->probability, mm_mdp_index(p->row, pair[i], wide), wide);
  for (int64_t i = 0; i < n - ahead; ++i) {
    mm_mdp_prefetch(p->column, p->probability, mm_mdp_index(p->row, pair[i + ahead], wide), wide);
    b->expected[i] = mm_mdp_expect_after(p, pair[i], v, wide);
  }
  for (int64_t i = n - ahead < 0 ? 0 : n - ahead; i < n; ++i)
    b->expected[i] = mm_mdp_expect_after(p, pair[i], v, wide);
}

/* The best pair of state s, of the one held, whose value is out[s], and those picked; and what the others
 * lack. q: what is expected after each, then its value.
 * Returns how many were picked. */
static inline int64_t mm_bellman_choose(const mm_mdp *p, int64_t s, double *out, int64_t *policy,
                                        const mm_policy_rows *rows, const mm_keys *keys, double *q,
                                        const int64_t *pair) {
  const double own = out[s], discount = p->discount[s * p->discount_step];
  const int64_t last = p->first[s + 1], held = policy[s];
  double best = own;
  int64_t at = held, count = 0;
  for (; pair[count] < last; ++count) { /* a tie with the pair held changes nothing */
    q[count] = p->sign * p->reward[pair[count]] + discount * q[count];
    at = q[count] > best ? pair[count] : at;
    best = q[count] > best ? q[count] : best;
  }
  float least = keys->state[s];
  for (int64_t i = 0; i < count; ++i) {
    const float lacks = mm_bellman_key(best - q[i] + keys->drift);
    const float key = pair[i] == at ? INFINITY : lacks;
    keys->pair[pair[i]] = key;
    least = key < least ? key : least;
  }
  out[s] = best;
  if (at != held) {
    if (held >= p->first[s] && held < last) {
      const float key = mm_bellman_key(best - own + keys->drift);
      keys->pair[held] = key;
      least = key < least ? key : least;
    }
    policy[s] = at;
    mm_policy_rows_put(p, rows, s, at); /* its row has just been read */
  }
  keys->state[s] = least;
  return count;
}

MM_INLINE void mm_bellman_improve_keyed_as(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                           double *out, int64_t *policy, const mm_policy_rows *rows,
                                           const mm_keys *keys, mm_bellman_block b, mm_sweep *sweep, int how,
                                           int wide) {
  double low = (double)INFINITY, high = -(double)INFINITY;
  int64_t read = end - begin, changed = 0;
  for (b.to = begin; b.to < end;) {
    mm_bellman_hold(p, end, v, out, policy, rows, keys, &b, how, wide);
    mm_bellman_read(p, v, &b, wide);
    read += b.count;
    for (int64_t k = 0, i = 0; k < b.states; ++k) {
      const int64_t s = b.state[k], held = policy[s];
      i += mm_bellman_choose(p, s, out, policy, rows, keys, b.expected + i, b.pair + i);
      changed += policy[s] != held;
    }
    for (int64_t s = b.from; s < b.to; ++s) {
      low = out[s] - v[s] < low ? out[s] - v[s] : low;
      high = out[s] - v[s] > high ? out[s] - v[s] : high;
    }
  }
  sweep->low = low, sweep->high = high, sweep->changed = changed, sweep->alive = sweep->read = read;
}

/* The same, without the pairs that the keys prove to lose. v and out are different arrays, rows those of
 * policy. room: MM_BELLMAN_KEYED_ROOM of the largest number of pairs of a state, which expected has; pairs
 * has twice that. */
static inline void mm_bellman_improve_keyed(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                            double *out, int64_t *policy, const mm_policy_rows *rows,
                                            const mm_keys *keys, double *expected, int64_t *pairs,
                                            int64_t room, mm_sweep *sweep) {
  const mm_bellman_block b = {begin, begin, 0, 0, pairs, pairs + room, expected};
  if (rows->width && p->wide)
    mm_bellman_improve_keyed_as(p, begin, end, v, out, policy, rows, keys, b, sweep, MM_ROWS_COPIED, 1);
  else if (rows->width)
    mm_bellman_improve_keyed_as(p, begin, end, v, out, policy, rows, keys, b, sweep, MM_ROWS_COPIED, 0);
  else if (p->wide)
    mm_bellman_improve_keyed_as(p, begin, end, v, out, policy, rows, keys, b, sweep, MM_ROWS_WIDE, 1);
  else
    mm_bellman_improve_keyed_as(p, begin, end, v, out, policy, rows, keys, b, sweep, MM_ROWS_NARROW, 0);
}

/* How many pairs may be optimal: those that lack no more than `proven` in the last sweep, which gave `value`
 * and `policy`. */
static inline int64_t mm_keys_alive(const mm_mdp *p, const mm_keys *keys, const double *value,
                                    const int64_t *policy, double proven) {
  int64_t alive = p->n_states; /* those held */
  for (int64_t s = 0; s < p->n_states; ++s) {
    if ((double)keys->state[s] - keys->drift > proven)
      continue;
    const double reward = p->sign * p->reward[policy[s]];
    const double reach = (double)mm_keys_reach(p, keys, s, reward, value[s]);
    for (int64_t j = p->first[s]; j < p->first[s + 1]; ++j) {
      const double key = (double)keys->pair[j], lacks = signbit(key) ? -key - reach : key - keys->drift;
      alive += !(lacks > proven) & (j != policy[s]);
    }
  }
  return alive;
}

MM_INLINE void mm_bellman_evaluate_as(const mm_mdp *p, int64_t begin, int64_t end, const mm_policy_rows *rows,
                                      const double *v, double *out, mm_sweep *sweep, int how) {
  double low = (double)INFINITY, high = -(double)INFINITY;
  for (int64_t s = begin; s < end; ++s) {
    const double before = v[s];
    mm_policy_prefetch(p, rows, s, end, how);
    const double value = rows->reward[s] + mm_policy_expect(p, rows, s, v, how);
    out[s] = value;
    low = value - before < low ? value - before : low;
    high = value - before > high ? value - before : high;
  }
  sweep->low = low, sweep->high = high, sweep->changed = 0, sweep->alive = sweep->read = end - begin;
}

/* The same for the pairs of a policy alone, by their rows; v and out may be one. */
static inline void mm_bellman_evaluate(const mm_mdp *p, int64_t begin, int64_t end,
                                       const mm_policy_rows *rows, const double *v, double *out,
                                       mm_sweep *sweep) {
  if (rows->width)
    mm_bellman_evaluate_as(p, begin, end, rows, v, out, sweep, MM_ROWS_COPIED);
  else if (p->wide)
    mm_bellman_evaluate_as(p, begin, end, rows, v, out, sweep, MM_ROWS_WIDE);
  else
    mm_bellman_evaluate_as(p, begin, end, rows, v, out, sweep, MM_ROWS_NARROW);
}

/* out = (a - b) scale. */
static inline void mm_bellman_residual(int64_t n, const double *a, const double *b, double scale,
                                       float *out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = (float)((a[i] - b[i]) * scale);
}

/* out = a + x / scale. */
static inline void mm_bellman_corrected(int64_t n, const double *a, const float *x, double scale,
                                        double *out) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = a[i] + (double)x[i] / scale;
}

/* Two indices by one load, the first in the low half: where they are read one by one, compilers make vectors
 * of the loop around it, which are slower. */
MM_INLINE uint64_t mm_mdp_two(const int32_t *column) {
  uint64_t two;
  memcpy(&two, column, sizeof two);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  two = two >> 32 | two << 32;
#endif
  return two;
}

/* out = residual + discount P x in single precision, for a policy whose rows are copied; low and high are of
 * out - x. */
static inline void mm_bellman_correct(const mm_mdp *p, int64_t begin, int64_t end, const mm_policy_rows *rows,
                                      const float *residual, const float *x, float *out, mm_sweep *sweep) {
  const int32_t *column = rows->column;
  const float *probability = rows->single;
  const int many = (end - begin) * rows->width > MM_ROWS_MANY;
  float low = INFINITY, high = -INFINITY;
  for (int64_t s = begin; s < end; ++s) {
    const int64_t start = s * rows->width, stop = start + rows->length[s];
    const float discount = (float)p->discount[s * p->discount_step];
    float a = 0, b = 0;
#if defined(__GNUC__)
    if (many) { /* rows are read once: they are not to drive x out of the cache */
      __builtin_prefetch(column + start + MM_ROWS_AHEAD, 0, 0);
      __builtin_prefetch(probability + start + MM_ROWS_AHEAD, 0, 0);
    }
#else
    (void)many;
#endif
    int64_t k = start;
    for (; k + 2 <= stop; k += 2) {
      const uint64_t two = mm_mdp_two(column + k);
      a += probability[k] * x[(uint32_t)two];
      b += probability[k + 1] * x[two >> 32];
    }
    if (k < stop)
      a += probability[k] * x[column[k]];
    const float value = residual[s] + discount * (a + b), change = value - x[s];
    out[s] = value;
    low = change < low ? change : low;
    high = change > high ? change : high;
  }
  sweep->low = (double)low, sweep->high = (double)high;
  sweep->changed = 0, sweep->alive = sweep->read = end - begin;
}

/* Range of a - b; b may be NULL. */
static inline void mm_range(int64_t n, const double *a, const double *b, double *low, double *high) {
  double lo = (double)INFINITY, hi = -(double)INFINITY;
  for (int64_t i = 0; i < n; ++i) {
    const double x = b ? a[i] - b[i] : a[i];
    lo = x < lo ? x : lo;
    hi = x > hi ? x : hi;
  }
  *low = lo, *high = hi;
}

/* ---- the value of a policy: (I - discount P) x = reward ---- */

#define MM_BELLMAN_BAND_WORK(n, below, above) ((n) * ((below) + (above) + 1))

/* Inner product in four sums. */
static inline double mm_inner(int64_t n, const double *a, const double *b) {
  double w = 0, x = 0, y = 0, z = 0;
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    w += a[i] * b[i];
    x += a[i + 1] * b[i + 1];
    y += a[i + 2] * b[i + 2];
    z += a[i + 3] * b[i + 3];
  }
  for (; i < n; ++i)
    w += a[i] * b[i];
  return (w + x) + (y + z);
}

/* Eliminate columns j .. j + 3 of row s, above >= 4. What stood there is not needed again. */
MM_INLINE void mm_bellman_eliminate(const double *band, int64_t width, int64_t below, int64_t above,
                                    int64_t s, int64_t j, double *own, const double *x, double *value) {
  /* Row j + a has column c at ra[c - j], this row at here[c - j]; diagonals are kept inverted. */
  const double *__restrict r0 = band + j * width + below;
  const double *r1 = r0 + width - 1, *r2 = r1 + width - 1, *r3 = r2 + width - 1;
  double *__restrict here = own + below + j - s;
  const double f0 = here[0] * r0[0];
  const double f1 = (here[1] - f0 * r0[1]) * r1[1];
  const double f2 = (here[2] - f0 * r0[2] - f1 * r1[2]) * r2[2];
  const double f3 = (here[3] - f0 * r0[3] - f1 * r1[3] - f2 * r2[3]) * r3[3];
  for (int64_t c = 4; c <= above; ++c)
    here[c] -= (f0 * r0[c] + f1 * r1[c]) + (f2 * r2[c] + f3 * r3[c]);
  here[above + 1] -= f1 * r1[above + 1] + f2 * r2[above + 1] + f3 * r3[above + 1];
  here[above + 2] -= f2 * r2[above + 2] + f3 * r3[above + 2];
  here[above + 3] -= f3 * r3[above + 3];
  *value -= (f0 * x[j] + f1 * x[j + 1]) + (f2 * x[j + 2] + f3 * x[j + 3]);
}

/* By elimination without pivoting: the rows are strictly diagonally dominant, with a positive diagonal and no
 * other positive entry, so that nothing grows. Successors of the policy lie at most `below` states below and
 * `above` above. band: MM_BELLMAN_BAND_WORK doubles; row s has columns s - below .. s + above. */
static inline int mm_bellman_band(const mm_mdp *p, const mm_policy_rows *rows, int64_t below, int64_t above,
                                  double *band, double *x) {
  const int64_t n = p->n_states, width = below + above + 1;
  const void *columns = rows->width ? (const void *)rows->column : p->column;
  const double *probability = rows->width ? rows->probability : p->probability;
  for (int64_t s = 0; s < n; ++s) {
    const int64_t from = s - below < 0 ? 0 : s - below;
    const double discount = p->discount[s * p->discount_step];
    double *own = band + s * width;
    for (int64_t i = 0; i < width; ++i)
      own[i] = 0;
    own[below] = 1;
    for (int64_t k = rows->start[s]; k < rows->start[s] + rows->length[s]; ++k) {
      const int64_t column = mm_mdp_index(columns, k, p->wide && !rows->width);
      if (probability[k] == 0)
        continue;
      if (column < s - below || column > s + above)
        return MM_INVALID;
      own[below + column - s] -= discount * probability[k];
    }
    double value = rows->reward[s];
    int64_t j = from;
    for (; above >= 4 && j + 4 <= s; j += 4) /* four at a time: the row is loaded and stored once */
      mm_bellman_eliminate(band, width, below, above, s, j, own, x, &value);
    for (; j < s; ++j) {
      const double *__restrict up = band + j * width + below + 1; /* columns j + 1 .. j + above */
      double *__restrict here = own + below + j + 1 - s;
      const double factor = own[below + j - s] * band[j * width + below]; /* the diagonal is kept inverted */
      for (int64_t i = 0; i < above; ++i)
        here[i] -= factor * up[i];
      value -= factor * x[j];
    }
    if (!(own[below] > 0))
      return MM_NO_CONVERGENCE;
    own[below] = 1 / own[below];
    x[s] = value;
  }
  for (int64_t s = n - 1; s >= 0; --s) {
    const double *own = band + s * width + below;
    const int64_t last = s + above < n - 1 ? s + above : n - 1;
    x[s] = (x[s] - mm_inner(last - s, own + 1, x + s + 1)) * own[0];
  }
  return MM_OK;
}

/* out = x - discount P x, for the pairs of a policy. */
MM_INLINE void mm_bellman_apply_as(const mm_mdp *p, const mm_policy_rows *rows, const double *x, double *out,
                                   int how) {
  for (int64_t s = 0; s < p->n_states; ++s) {
    mm_policy_prefetch(p, rows, s, p->n_states, how);
    out[s] = x[s] - mm_policy_expect(p, rows, s, x, how);
  }
}

static inline void mm_bellman_apply(const mm_mdp *p, const mm_policy_rows *rows, const double *x,
                                    double *out) {
  if (rows->width)
    mm_bellman_apply_as(p, rows, x, out, MM_ROWS_COPIED);
  else if (p->wide)
    mm_bellman_apply_as(p, rows, x, out, MM_ROWS_WIDE);
  else
    mm_bellman_apply_as(p, rows, x, out, MM_ROWS_NARROW);
}

#define MM_BELLMAN_BICGSTAB_WORK(n) (5 * (n))

/* Improve x until max |reward + discount P x - x| <= tolerance (van der Vorst 1992, without a
 * preconditioner). Returns MM_NO_CONVERGENCE where the limit or a breakdown came first: x is then the last
 * iterate, and *residual says how good it is. work: MM_BELLMAN_BICGSTAB_WORK(n) doubles. */
static inline int mm_bellman_bicgstab(const mm_mdp *p, const mm_policy_rows *rows, double tolerance,
                                      int64_t limit, double *x, double *work, int64_t *products,
                                      double *residual) {
  const int64_t n = p->n_states;
  double *r = work, *shadow = work + n, *direction = work + 2 * n, *image = work + 3 * n, *t = work + 4 * n;
  double rho = 0, worst = 0;
  mm_sweep sweep;
  mm_bellman_evaluate(p, 0, n, rows, x, r, &sweep); /* r = T x; then T x - x */
  *products = 1;
  for (int64_t i = 0; i < n; ++i) {
    r[i] -= x[i];
    shadow[i] = direction[i] = r[i];
  }
  worst = sweep.high > -sweep.low ? sweep.high : -sweep.low;
  *residual = worst;
  rho = mm_inner(n, r, r);
  while (worst > tolerance) {
    if (*products >= limit || !(fabs(rho) > 0) || !isfinite(rho))
      return MM_NO_CONVERGENCE;
    mm_bellman_apply(p, rows, direction, image);
    const double along = mm_inner(n, shadow, image);
    if (!(fabs(along) > 0))
      return MM_NO_CONVERGENCE;
    const double alpha = rho / along;
    for (int64_t i = 0; i < n; ++i)
      r[i] -= alpha * image[i];
    mm_bellman_apply(p, rows, r, t);
    *products += 2;
    const double tt = mm_inner(n, t, t);
    const double omega = tt > 0 ? mm_inner(n, t, r) / tt : 0;
    worst = 0;
    for (int64_t i = 0; i < n; ++i) {
      x[i] += alpha * direction[i] + omega * r[i];
      r[i] -= omega * t[i];
      worst = fabs(r[i]) > worst ? fabs(r[i]) : worst;
    }
    *residual = worst;
    if (!isfinite(worst))
      return MM_NO_CONVERGENCE;
    const double next = mm_inner(n, shadow, r), beta = next / rho * (alpha / omega);
    if (!isfinite(beta))
      return worst <= tolerance ? MM_OK : MM_NO_CONVERGENCE;
    for (int64_t i = 0; i < n; ++i)
      direction[i] = r[i] + beta * (direction[i] - omega * image[i]);
    rho = next;
  }
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
