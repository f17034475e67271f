/* uniformisation.h - an inventory lattice with equal k at a finite time left, by positive terms only.
 *
 * v = e^(k z) of the lattice's equation (lattice.h) solves v' = M v, M tri-diagonal, and with s no less than
 * any -M[i,i]
 *
 *   v(t + h) = e^(-s h) sum_j (s h)^j / j! (I + M / s)^j v(t),
 *
 * in which nothing is ever subtracted: the error of each component is a few roundings of itself. v itself
 * leaves the range of numbers on wide lattices, so a stretch works in units of where it began: w = v / v(t)
 * starts from ones, its couplings are up e^(k x) and down e^(-k x), and x moves on by log(w[i+1] / w[i]) / k.
 * A stretch is short enough that w stays a number. It takes about s h + 9 sqrt(s h) terms of n nodes, so it
 * is the fast way where the fastest rate times the time left is some thousands at most, and the oracle there
 * of mm_lattice_advance, which is the way for everything else.
 */
#ifndef MMCORE_UNIFORMISATION_H
#define MMCORE_UNIFORMISATION_H

#include <math.h>
#include <stdint.h>

#include "lattice.h"
#include "math.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && defined(__x86_64__) && !defined(MMCORE_ONE_LEVEL)
#define MM_UNIFORM_AVX2 1 /* chosen at run time; no contraction, so the bits are the same */
#endif

/* Doubles of work memory for n nodes. */
#define MM_UNIFORMISATION_WORK(n) (6 * (n) + 4)
/* Of s h in one stretch: e^(s h) and what v grows by stay numbers. */
#define MM_UNIFORMISATION_STRETCH 690.0

/* The next term, times 1 / j, and the sum with it; with `watch`, whether a node's term still counts. All
 * have a node of zero before and after. */
MM_INLINE int64_t mm_uniform_term_as(int watch, int64_t n, double by, const double *stay, const double *up,
                                     const double *down, const double *term, double *next, double *sum) {
  int64_t counts = 0;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
  for (int64_t i = 0; i < n; ++i) {
    const double t = by * ((stay[i] * term[i] + up[i] * term[i + 1]) + down[i] * term[i - 1]);
    next[i] = t;
    sum[i] += t;
    if (watch)
      counts |= (int64_t)(t > 1e-19 * (1 + sum[i]));
  }
  return counts;
}

static inline int64_t mm_uniform_term(int watch, int64_t n, double by, const double *stay, const double *up,
                                      const double *down, const double *term, double *next, double *sum) {
  return watch ? mm_uniform_term_as(1, n, by, stay, up, down, term, next, sum)
               : mm_uniform_term_as(0, n, by, stay, up, down, term, next, sum);
}

#ifdef MM_UNIFORM_AVX2
__attribute__((target("avx2"))) static int64_t mm_uniform_term_wide(int watch, int64_t n, double by,
                                                                    const double *stay, const double *up,
                                                                    const double *down, const double *term,
                                                                    double *next, double *sum) {
  return watch ? mm_uniform_term_as(1, n, by, stay, up, down, term, next, sum)
               : mm_uniform_term_as(0, n, by, stay, up, down, term, next, sum);
}
#endif

/* The smallest s that will do, 1/s. */
static inline double mm_uniformisation_rate(const mm_lattice *p) {
  double s = 0;
  for (int64_t i = 0; i < p->n; ++i)
    if (-p->k_bid * p->rate[i] > s)
      s = -p->k_bid * p->rate[i];
  return s;
}

/* The fastest growth of the series from x on, 1/s: it takes about this times the time left in terms, and
 * somewhat more. Infinite or NaN where x is beyond it. */
static inline double mm_uniformisation_growth(const mm_lattice *p, const double *x) {
  const double k = p->k_bid, s = mm_uniformisation_rate(p);
  double fastest = 0, below = 0;
  for (int64_t i = 0; i < p->n; ++i) {
    const double above = i < p->n - 1 ? k * p->up * mm_exp(k * x[i]) : 0;
    const double growth = s + k * p->rate[i] + above + below;
    if (!(growth <= fastest))
      fastest = growth;
    below = i < p->n - 1 ? k * p->down * mm_exp(-k * x[i]) : 0;
  }
  return fastest;
}

/* Move x (n-1) and the value of the middle node on by `span` seconds. MM_UNSUPPORTED where bid and ask have
 * different k; MM_OVERFLOW where a difference is beyond numbers. On failure x and value are as they were
 * at the last good stretch. */
static inline int mm_uniformise(const mm_lattice *p, double span, double *x, double *value, double *work) {
  const int64_t n = p->n, middle = n / 2;
  const double k = p->k_bid;
  double *stay = work, *up = work + n, *down = work + 2 * n, *sum = work + 3 * n;
  double *term = work + 4 * n + 1, *next = work + 5 * n + 3;
  if (p->k_bid != p->k_ask)
    return MM_UNSUPPORTED;
  if (!(span >= 0 && isfinite(span)))
    return MM_INVALID;
  const double s = mm_uniformisation_rate(p);
  for (double done = 0; done < span;) {
    double fastest = 0;
    for (int64_t i = 0; i < n; ++i) {
      up[i] = i < n - 1 ? k * p->up * mm_exp(k * x[i]) : 0;
      down[i] = i > 0 ? k * p->down * mm_exp(-k * x[i - 1]) : 0;
      stay[i] = s + k * p->rate[i];
      if (stay[i] + up[i] + down[i] > fastest)
        fastest = stay[i] + up[i] + down[i];
    }
    if (!isfinite(fastest))
      return MM_OVERFLOW;
    const double left = span - done;
    double h = left;
    if (fastest * left > MM_UNIFORMISATION_STRETCH)
      h = left / ceil(fastest * left / MM_UNIFORMISATION_STRETCH);
    for (int64_t i = 0; i < n; ++i) {
      stay[i] *= h, up[i] *= h, down[i] *= h;
      sum[i] = 0, term[i] = 1; /* w less one: short times keep their digits */
    }
    term[-1] = term[n] = next[-1] = next[n] = 0;
    /* With R = fastest, (s + M) w <= R w at the start, and so for ever, since e^(M t) is not negative. Where
     * the last term is below 1e-19 of w, the rest is below r / (1 - r) of that, r = R h / j <= 0.8. */
    const double most = 1.25 * fastest * h;
    int64_t counts = 1;
    for (int64_t j = 1; counts; ++j) {
      const int watch = (double)j > most;
      double *swap = term;
#ifdef MM_UNIFORM_AVX2
      if (__builtin_cpu_supports("avx2"))
        counts = mm_uniform_term_wide(watch, n, 1 / (double)j, stay, up, down, term, next, sum);
      else
#endif
        counts = mm_uniform_term(watch, n, 1 / (double)j, stay, up, down, term, next, sum);
      counts |= !watch;
      term = next, next = swap;
    }
    for (int64_t i = 0; i < n; ++i)
      if (!isfinite(sum[i]))
        return MM_OVERFLOW;
    for (int64_t i = 0; i < n - 1; ++i) {
      const double more = (sum[i + 1] - sum[i]) / (1 + sum[i]);
      x[i] += (fabs(more) < 0.5 ? mm_log1p(more) : mm_log((1 + sum[i + 1]) / (1 + sum[i]))) / k;
    }
    *value += (mm_log1p(sum[middle]) - s * h) / k;
    done = h == left ? span : done + h;
  }
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
