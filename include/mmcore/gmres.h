/* mmcore/gmres.h - the value of a policy by generalised minimal residuals, restarted (Saad and Schultz 1986).
 *
 *   (I - discount P) x = reward
 *
 * Each cycle looks for the correction with the least residual in the span of r, A r, .., A^(restart-1) r,
 * with A = I - discount P and r the residual, by an orthonormal basis (modified Gram-Schmidt) and Givens
 * rotations of the small matrix that A is in it. The least squares never break down where A is regular, and
 * the residual never rises: what bi-conjugate gradients pay for with a short recurrence, this does with a
 * vector a step, all kept until the cycle ends. After it the residual is computed anew, so that none is
 * reported that rounding has led away from the true one.
 *
 * No allocation, no state.
 */
#ifndef MMCORE_GMRES_H
#define MMCORE_GMRES_H

#include "bellman.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The basis; the triangle, column after column; its right side, cosines, sines. */
#define MM_BELLMAN_GMRES_WORK(n, restart) (((restart) + 1) * (n) + ((restart) + 1) * ((restart) + 3))

/* Orthogonalise basis vector k + 1 against those before it, its products with them into `column`. */
static inline void mm_gmres_orthogonalise(int64_t n, int64_t k, double *basis, double *column) {
  double *next = basis + (k + 1) * n;
  for (int64_t i = 0; i <= k; ++i) {
    const double *other = basis + i * n;
    const double along = mm_inner(n, next, other);
    for (int64_t s = 0; s < n; ++s)
      next[s] -= along * other[s];
    column[i] = along;
  }
  column[k + 1] = sqrt(mm_inner(n, next, next));
  const double inverse = column[k + 1] > 0 ? 1 / column[k + 1] : 0;
  for (int64_t s = 0; s < n; ++s)
    next[s] *= inverse;
}

/* Improve x until max |reward + discount P x - x| <= tolerance, with at most `limit` products. Returns
 * MM_NO_CONVERGENCE where the limit came first or a cycle made nothing better; *residual is that of x in
 * either case. work: MM_BELLMAN_GMRES_WORK(n, restart) doubles. */
static inline int mm_bellman_gmres(const mm_mdp *p, const mm_policy_rows *rows, double tolerance,
                                   int64_t limit, int64_t restart, double *x, double *work, int64_t *products,
                                   double *residual) {
  const int64_t n = p->n_states;
  double *basis = work, *triangle = work + (restart + 1) * n;
  double *right = triangle + (restart + 1) * restart, *cosine = right + restart + 1,
         *sine = cosine + restart + 1;
  double before = (double)INFINITY;
  *products = 0;
  for (;;) {
    mm_sweep sweep;
    mm_bellman_evaluate(p, 0, n, rows, x, basis, &sweep); /* T x; then T x - x */
    ++*products;
    for (int64_t s = 0; s < n; ++s)
      basis[s] -= x[s];
    *residual = sweep.high > -sweep.low ? sweep.high : -sweep.low;
    if (*residual <= tolerance)
      return MM_OK;
    const double length = sqrt(mm_inner(n, basis, basis));
    if (!(length < before) || !isfinite(length) || *products >= limit)
      return MM_NO_CONVERGENCE;
    before = length;
    for (int64_t s = 0; s < n; ++s)
      basis[s] *= 1 / length;
    right[0] = length;
    /* Lengths are known along the way, the largest component is not: as much less as it was at first. */
    const double goal = tolerance * (length / *residual) / 2;
    int64_t k = 0;
    for (double left = length; k < restart && left > goal && *products < limit; ++k) {
      double *column = triangle + k * (restart + 1);
      mm_bellman_apply(p, rows, basis + k * n, basis + (k + 1) * n);
      ++*products;
      mm_gmres_orthogonalise(n, k, basis, column);
      for (int64_t i = 0; i < k; ++i) {
        const double above = column[i];
        column[i] = cosine[i] * above + sine[i] * column[i + 1];
        column[i + 1] = cosine[i] * column[i + 1] - sine[i] * above;
      }
      const double both = sqrt(column[k] * column[k] + column[k + 1] * column[k + 1]);
      if (!(both > 0) || !isfinite(both))
        break;
      cosine[k] = column[k] / both, sine[k] = column[k + 1] / both;
      column[k] = both;
      right[k + 1] = -sine[k] * right[k];
      right[k] *= cosine[k];
      left = fabs(right[k + 1]);
    }
    for (int64_t i = k - 1; i >= 0; --i) { /* the triangle from below, then x along the basis */
      double value = right[i];
      for (int64_t j = i + 1; j < k; ++j)
        value -= triangle[j * (restart + 1) + i] * right[j];
      right[i] = value / triangle[i * (restart + 1) + i];
    }
    for (int64_t i = 0; i < k; ++i)
      for (int64_t s = 0; s < n; ++s)
        x[s] += right[i] * basis[i * n + s];
  }
}

#ifdef __cplusplus
}
#endif

#endif
