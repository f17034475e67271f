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
 *   mm_bellman_evaluate  v -> the same for one pair a state
 *   mm_bellman_band      value of a policy by elimination in a band (one wide: the Thomas algorithm)
 *   mm_bellman_bicgstab  value of a policy to a residual, by stabilised bi-conjugate gradients
 *
 * Pairs that cannot win are not read. A key is kept for each pair: a lower bound of how much it lacked in the
 * last sweep that read it, plus `drift` at that time. Where v moved by between lo and hi since, a pair's
 * disadvantage shrank by at most discount (hi - lo); `drift` is the sum of these and never falls, so that
 * key > drift proves that the pair loses again. Where it lacks more than the bounds of the true value leave
 * open it is never optimal, and its key becomes +inf.
 *
 * No allocation, no state: any thread may work on its own range of states.
 */
#ifndef MMCORE_BELLMAN_H
#define MMCORE_BELLMAN_H

#include <float.h>
#include <math.h>
#include <stdint.h>

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

/* The rows of a policy's pairs, copied one after the other: state s has entries s * width .. (s + 1) * width
 * - 1, those beyond its row with probability 0. */
typedef struct mm_packed {
  int64_t width; /* the longest row */
  int32_t *column;
  double *probability;
} mm_packed;

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
  x->sum_low = INFINITY, x->sum_high = -INFINITY, x->reward = 0, x->value = 0;
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
      if (isnan(reward) || reward == INFINITY) {
        x->value = p->reward[j];
        return MM_MDP_REWARD;
      }
      if (reward == -INFINITY)
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

/* sum_k probability[k] v[column[k]] of one pair. Four sums: each addition waits for the one before it. */
MM_INLINE double mm_mdp_expect(const mm_mdp *p, int64_t pair, const double *v, int wide) {
  int64_t k = mm_mdp_index(p->row, pair, wide);
  const int64_t end = mm_mdp_index(p->row, pair + 1, wide);
  const double *w = p->probability;
  double a = 0, b = 0, c = 0, d = 0;
  for (; k + 4 <= end; k += 4) {
    a += w[k] * v[mm_mdp_index(p->column, k, wide)];
    b += w[k + 1] * v[mm_mdp_index(p->column, k + 1, wide)];
    c += w[k + 2] * v[mm_mdp_index(p->column, k + 2, wide)];
    d += w[k + 3] * v[mm_mdp_index(p->column, k + 3, wide)];
  }
  for (; k < end; ++k)
    a += w[k] * v[mm_mdp_index(p->column, k, wide)];
  return (a + b) + (c + d);
}

/* The pairs of a policy lie far apart: ask for those that come next. */
MM_INLINE void mm_mdp_prefetch(const mm_mdp *p, int64_t pair, int wide) {
#if defined(__GNUC__)
  const int64_t k = mm_mdp_index(p->row, pair, wide);
  const char *column = (const char *)p->column + k * (wide ? 8 : 4);
  __builtin_prefetch(p->probability + k);
  __builtin_prefetch(p->probability + k + 8);
  __builtin_prefetch(column);
  __builtin_prefetch(column + 64);
#else
  (void)p, (void)pair, (void)wide;
#endif
}

enum { MM_MDP_AHEAD = 12 }; /* states that prefetching looks ahead */

static inline void mm_packed_put(const mm_mdp *p, const mm_packed *rows, int64_t s, int64_t pair) {
  const int64_t begin = mm_mdp_index(p->row, pair, p->wide);
  const int64_t length = mm_mdp_index(p->row, pair + 1, p->wide) - begin;
  int32_t *column = rows->column + s * rows->width;
  double *probability = rows->probability + s * rows->width;
  for (int64_t k = 0; k < length; ++k) {
    column[k] = (int32_t)mm_mdp_index(p->column, begin + k, p->wide);
    probability[k] = p->probability[begin + k];
  }
  for (int64_t k = length; k < rows->width; ++k)
    column[k] = 0, probability[k] = 0;
}

MM_INLINE void mm_bellman_improve_as(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                     const double *old, double *out, int64_t *policy, const mm_packed *rows,
                                     float *key, double proven, double drift, double *q, int64_t *open,
                                     mm_sweep *sweep, int wide, int rewards) {
  double low = INFINITY, high = -INFINITY;
  int64_t read = 0, changed = 0, alive = 0;
  for (int64_t s = begin; s < end; ++s) {
    const double discount = p->discount[s * p->discount_step], before = rewards ? 0 : old[s];
    const int64_t first = p->first[s], last = p->first[s + 1], held = policy[s];
    double best = -INFINITY;
    int64_t at = first, count = 0;
    if (key && proven <= drift && s + MM_MDP_AHEAD < end && policy[s + MM_MDP_AHEAD] >= 0)
      mm_mdp_prefetch(p, policy[s + MM_MDP_AHEAD], wide);
    if (key)
      for (int64_t j = first; j < last; ++j) {
        open[count] = j; /* without a branch, which nobody could predict */
        count += !(key[j] > proven);
      }
    else
      for (; count < last - first; ++count)
        open[count] = first + count;
    for (int64_t i = 0; i < count; ++i) {
      double value = p->sign * p->reward[open[i]];
      if (!rewards && value != -INFINITY)
        value += discount * mm_mdp_expect(p, open[i], v, wide);
      q[i] = value;
      best = value > best ? value : best;
    }
    int64_t tied = 0; /* the pair held is as good: a tie changes nothing */
    for (int64_t i = count - 1; i >= 0; --i) {
      at = q[i] == best ? open[i] : at;
      tied |= (q[i] == best) & (open[i] == held);
    }
    at = tied ? held : at;
    read += rewards ? 0 : count;
    if (key) { /* rounded down: a relative 2^-23 is more than the conversion adds */
      for (int64_t i = 0; i < count; ++i)
        key[open[i]] = (float)((best - q[i] + drift) * (1 - 0x1p-23));
      alive += count;
    } else {
      for (int64_t i = 0; i < count; ++i)
        alive += !(best - q[i] > proven);
    }
    if (rows && at != held)
      mm_packed_put(p, rows, s, at); /* the row has just been read */
    changed += at != held;
    policy[s] = at;
    out[s] = best;
    low = best - before < low ? best - before : low;
    high = best - before > high ? best - before : high;
  }
  sweep->low = low, sweep->high = high, sweep->changed = changed, sweep->alive = alive, sweep->read = read;
}

/* Tv of the states begin .. end - 1 into out. `old` is v at the states themselves, old[s] for state s of this
 * model (other than v where the model is a part of a larger one). policy[s] holds pairs: the one held is kept
 * where it ties. With out == v it is a Gauss-Seidel sweep; with v NULL all values are 0 and no row is read.
 * key may be NULL: then all pairs are read, and those that lack no more than `proven` are counted as alive;
 * else pairs with key > proven are not read; proven >= drift. rows may be NULL: else the rows of pairs that
 * are new in the policy are copied there. q and open: room for the pairs of one state. */
static inline void mm_bellman_improve(const mm_mdp *p, int64_t begin, int64_t end, const double *v,
                                      const double *old, double *out, int64_t *policy, const mm_packed *rows,
                                      float *key, double proven, double drift, double *q, int64_t *open,
                                      mm_sweep *sweep) {
  if (!v)
    mm_bellman_improve_as(p, begin, end, v, old, out, policy, rows, key, proven, drift, q, open, sweep, 0, 1);
  else if (p->wide)
    mm_bellman_improve_as(p, begin, end, v, old, out, policy, rows, key, proven, drift, q, open, sweep, 1, 0);
  else
    mm_bellman_improve_as(p, begin, end, v, old, out, policy, rows, key, proven, drift, q, open, sweep, 0, 0);
}

/* Set the keys above `proven` to +inf, so that their pairs are never read again; returns how many others
 * there are. */
static inline int64_t mm_bellman_eliminate_pairs(int64_t n_pairs, float *key, double proven) {
  int64_t alive = 0;
  /* Comparing floats is quicker: none lies between the limit and `proven`. */
  float limit = proven < FLT_MAX ? (float)proven : FLT_MAX;
  if (limit < proven)
    limit = nextafterf(limit, INFINITY);
  for (int64_t j = 0; j < n_pairs; ++j) {
    const float k = key[j];
    alive += !(k > limit);
    key[j] = k > limit ? INFINITY : k;
  }
  return alive;
}

/* sum p v of the pair that a policy takes in state s. */
MM_INLINE double mm_policy_expect(const mm_mdp *p, const mm_packed *rows, const int64_t *policy, int64_t s,
                                  const double *v, int wide) {
  if (!rows)
    return mm_mdp_expect(p, policy[s], v, wide);
  const int32_t *column = rows->column + s * rows->width;
  const double *w = rows->probability + s * rows->width;
  const int64_t width = rows->width;
  double a = 0, b = 0, c = 0, d = 0;
  int64_t k = 0;
  for (; k + 4 <= width; k += 4) {
    a += w[k] * v[column[k]];
    b += w[k + 1] * v[column[k + 1]];
    c += w[k + 2] * v[column[k + 2]];
    d += w[k + 3] * v[column[k + 3]];
  }
  for (; k < width; ++k)
    a += w[k] * v[column[k]];
  return (a + b) + (c + d);
}

MM_INLINE void mm_bellman_evaluate_as(const mm_mdp *p, int64_t begin, int64_t end, const int64_t *policy,
                                      const mm_packed *rows, const double *v, const double *old, double *out,
                                      mm_sweep *sweep, int wide) {
  double low = INFINITY, high = -INFINITY;
  for (int64_t s = begin; s < end; ++s) {
    const double before = old[s];
    if (!rows && s + MM_MDP_AHEAD < end)
      mm_mdp_prefetch(p, policy[s + MM_MDP_AHEAD], wide);
    const double value = p->sign * p->reward[policy[s]] +
                         p->discount[s * p->discount_step] * mm_policy_expect(p, rows, policy, s, v, wide);
    out[s] = value;
    low = value - before < low ? value - before : low;
    high = value - before > high ? value - before : high;
  }
  sweep->low = low, sweep->high = high, sweep->changed = 0, sweep->alive = sweep->read = end - begin;
}

/* The same for the pairs of a policy alone; rows: their copies, or NULL. */
static inline void mm_bellman_evaluate(const mm_mdp *p, int64_t begin, int64_t end, const int64_t *policy,
                                       const mm_packed *rows, const double *v, const double *old, double *out,
                                       mm_sweep *sweep) {
  if (p->wide)
    mm_bellman_evaluate_as(p, begin, end, policy, rows, v, old, out, sweep, 1);
  else
    mm_bellman_evaluate_as(p, begin, end, policy, rows, v, old, out, sweep, 0);
}

/* Range of a - b; b may be NULL. */
static inline void mm_range(int64_t n, const double *a, const double *b, double *low, double *high) {
  double lo = INFINITY, hi = -INFINITY;
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
static inline int mm_bellman_band(const mm_mdp *p, const int64_t *policy, int64_t below, int64_t above,
                                  double *band, double *x) {
  const int64_t n = p->n_states, width = below + above + 1;
  for (int64_t s = 0; s < n; ++s) {
    const int64_t pair = policy[s], from = s - below < 0 ? 0 : s - below;
    const double discount = p->discount[s * p->discount_step];
    double *own = band + s * width;
    for (int64_t i = 0; i < width; ++i)
      own[i] = 0;
    own[below] = 1;
    const int64_t end = mm_mdp_index(p->row, pair + 1, p->wide);
    for (int64_t k = mm_mdp_index(p->row, pair, p->wide); k < end; ++k) {
      const int64_t column = mm_mdp_index(p->column, k, p->wide);
      if (p->probability[k] == 0)
        continue;
      if (column < s - below || column > s + above)
        return MM_INVALID;
      own[below + column - s] -= discount * p->probability[k];
    }
    double value = p->sign * p->reward[pair];
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
MM_INLINE void mm_bellman_apply_as(const mm_mdp *p, const int64_t *policy, const mm_packed *rows,
                                   const double *x, double *out, int wide) {
  const int64_t n = p->n_states;
  for (int64_t s = 0; s < n; ++s) {
    if (!rows && s + MM_MDP_AHEAD < n)
      mm_mdp_prefetch(p, policy[s + MM_MDP_AHEAD], wide);
    out[s] = x[s] - p->discount[s * p->discount_step] * mm_policy_expect(p, rows, policy, s, x, wide);
  }
}

static inline void mm_bellman_apply(const mm_mdp *p, const int64_t *policy, const mm_packed *rows,
                                    const double *x, double *out) {
  if (p->wide)
    mm_bellman_apply_as(p, policy, rows, x, out, 1);
  else
    mm_bellman_apply_as(p, policy, rows, x, out, 0);
}

#define MM_BELLMAN_BICGSTAB_WORK(n) (5 * (n))

/* Improve x until max |reward + discount P x - x| <= tolerance (van der Vorst 1992, without a
 * preconditioner). Returns MM_NO_CONVERGENCE where the limit or a breakdown came first: x is then the last
 * iterate, and *residual says how good it is. work: MM_BELLMAN_BICGSTAB_WORK(n) doubles. */
static inline int mm_bellman_bicgstab(const mm_mdp *p, const int64_t *policy, const mm_packed *rows,
                                      double tolerance, int64_t limit, double *x, double *work,
                                      int64_t *products, double *residual) {
  const int64_t n = p->n_states;
  double *r = work, *shadow = work + n, *direction = work + 2 * n, *image = work + 3 * n, *t = work + 4 * n;
  double rho = 0, worst = 0;
  mm_sweep sweep;
  mm_bellman_evaluate(p, 0, n, policy, rows, x, x, r, &sweep); /* r = T x; then T x - x */
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
    mm_bellman_apply(p, policy, rows, direction, image);
    const double along = mm_inner(n, shadow, image);
    if (!(fabs(along) > 0))
      return MM_NO_CONVERGENCE;
    const double alpha = rho / along;
    for (int64_t i = 0; i < n; ++i)
      r[i] -= alpha * image[i];
    mm_bellman_apply(p, policy, rows, r, t);
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
