/* mmcore/lattice.h - the Hamilton-Jacobi-Bellman equation of one asset on an inventory lattice.
 *
 * Every exact model with exponential fill intensities is one equation. Inventory stands on n nodes,
 * one order apart; z is the value per order (ticks) and tau the time left:
 *
 *   dz[i]/dtau = rate[i] + up e^(k_bid x[i]) [i < n-1] + down e^(-k_ask x[i-1]) [i > 0],
 *   x[i] = z[i+1] - z[i].
 *
 * Only the differences x set the quotes, so x is what is solved for, together with the value z of
 * the middle node. Two solvers:
 *
 *   mm_lattice_stationary   tau = infinity: dz/dtau = gain at every node. A recursion from both ends
 *                           that meets where the stationary law peaks, and Newton on the gain; O(n).
 *   mm_lattice_advance      from one tau to a later one: extrapolated linearly implicit Euler under
 *                           error control; one tri-diagonal solve a substep.
 *
 * Why in x: the sum over z grows without bound and reaches thousands (in units of 1/k) at the ends of
 * a wide lattice, so z[i+1] - z[i] would lose the digits that quotes are made of. The equation of x
 * is a conservation law, dx[i]/dtau = f[i+1] - f[i], whose Jacobian has non-negative off-diagonals and
 * columns that sum to zero or less: the elimination below never subtracts.
 *
 * No allocation: the caller passes the work array. No NaN leaves: on failure the status says so and
 * the state is the last good one.
 */
#ifndef MMCORE_LATTICE_H
#define MMCORE_LATTICE_H

#include <math.h>
#include <stdint.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mm_lattice {
  int64_t n;           /* nodes, >= 2 */
  const double *rate;  /* n running rewards per order, ticks/s */
  double up, down;     /* ticks/s, > 0: the Hamiltonian's factor on the bid and the ask side */
  double k_bid, k_ask; /* 1/tick, > 0 */
} mm_lattice;

#define MM_LATTICE_COLUMNS 8
/* Doubles of work memory that mm_lattice_advance needs for n nodes. */
#define MM_LATTICE_WORK(n) ((MM_LATTICE_COLUMNS + 6) * (n))

static inline int mm_lattice_valid(const mm_lattice *p) {
  if (p->n < 2 || !(p->up > 0 && p->down > 0 && p->k_bid > 0 && p->k_ask > 0) ||
      !isfinite(p->up + p->down + p->k_bid + p->k_ask))
    return 0;
  for (int64_t i = 0; i < p->n; ++i)
    if (!isfinite(p->rate[i]))
      return 0;
  return 1;
}

/* What is known before a stationary solution is begun, and what it found: the start of the next. */
typedef struct mm_lattice_start {
  int64_t best;      /* node with the largest rate; < 0: not known */
  int64_t meet;      /* node where the recursions meet; < 0: not known */
  double excess;     /* gain less rate[meet], ticks/s; not positive: not known */
  int32_t concave;   /* the rates are: then so is the logarithm of the stationary law */
  int32_t symmetric; /* rates and sides mirror: half of the lattice is solved */
} mm_lattice_start;

/* How far the recursions miss each other when the gain is rate[meet] + excess, and its slope in the gain.
 * The flux that leaves node i upwards is up e^(k_bid x[i]) = up y, and node i's equation gives it from
 * the flux that comes from below; downwards from the other end alike. y goes to flux[i] below `meet`,
 * and its twin e^(-k_ask x[i-1]) to flux[i-1] above. A flux that is not positive means that the gain is
 * too small (and 0 is returned for "undefined"). Both recursions run in one loop: each waits for its
 * own divisions, so together they take as long as one. */
static inline int mm_lattice_gap(const mm_lattice *p, int64_t meet, double excess, int symmetric, double *gap,
                                 double *slope, double *flux) {
  const double *r = p->rate, top = r[meet], ratio = p->k_ask / p->k_bid;
  const double per_up = 1 / p->up, per_down = 1 / p->down;
  int64_t i = 0, j = p->n - 1;
  double in = 0, in_slope = 0, out = 0,
         out_slope = 0; /* from below, from above: in units of up and of down */
  if (ratio == 1) {     /* for almost everybody: no powers are needed */
    const double tilt = p->down * per_up, tilt_back = p->up * per_down;
    const double per_tilt = tilt_back, per_tilt_back = tilt;
    if (symmetric) {
      for (; i < meet; ++i) {
        const double y = (excess + (top - r[i])) * per_up - in, y_slope = per_up + in_slope;
        if (!(y > 0))
          return 0;
        flux[i] = y;
        in = 1 / y;
        in_slope = in * in * y_slope;
      }
      *gap = excess - 2 * p->up * in;
      *slope = 1 + 2 * p->up * in_slope;
      return isfinite(*gap) && isfinite(*slope);
    }
    while (i < meet || j > meet) {
      const int64_t below = meet - i, above = j - meet, both = below < above ? below : above;
      if (both > 0) {
        for (const int64_t end = i + both; i < end; ++i, --j) {
          const double y = (excess + (top - r[i])) * per_up - in, y_slope = per_up + in_slope;
          const double w = (excess + (top - r[j])) * per_down - out, w_slope = per_down + out_slope;
          if (!(y > 0 && w > 0))
            return 0;
          flux[i] = y, flux[j - 1] = w;
          in = tilt / y, out = tilt_back / w;
          in_slope = in * in * per_tilt * y_slope, out_slope = out * out * per_tilt_back * w_slope;
        }
      } else if (below > 0) {
        for (; i < meet; ++i) {
          const double y = (excess + (top - r[i])) * per_up - in, y_slope = per_up + in_slope;
          if (!(y > 0))
            return 0;
          flux[i] = y;
          in = tilt / y;
          in_slope = in * in * per_tilt * y_slope;
        }
      } else {
        for (; j > meet; --j) {
          const double w = (excess + (top - r[j])) * per_down - out, w_slope = per_down + out_slope;
          if (!(w > 0))
            return 0;
          flux[j - 1] = w;
          out = tilt_back / w;
          out_slope = out * out * per_tilt_back * w_slope;
        }
      }
    }
    *gap = excess - p->up * in - p->down * out;
    *slope = 1 + p->up * in_slope + p->down * out_slope;
    return isfinite(*gap) && isfinite(*slope);
  }
  for (; i < meet; ++i) { /* here in and out are in ticks/s */
    const double y = (excess + (top - r[i]) - in) * per_up, y_slope = (1 + in_slope) * per_up;
    if (!(y > 0))
      return 0;
    flux[i] = y;
    in = p->down * pow(y, -ratio);
    in_slope = ratio * in * (y_slope / y);
  }
  for (; j > meet; --j) {
    const double w = (excess + (top - r[j]) - out) * per_down, w_slope = (1 + out_slope) * per_down;
    if (!(w > 0))
      return 0;
    flux[j - 1] = w;
    out = p->up * pow(w, -1 / ratio);
    out_slope = out * (w_slope / w) / ratio;
  }
  *gap = excess - in - out;
  *slope = 1 + in_slope + out_slope;
  return isfinite(*gap) && isfinite(*slope);
}

/* Newton on the gain at one meeting node, inside a bracket. The gap rises with the gain; at 0 (the
 * gain of a market maker who never trades from the best node) it is negative or undefined, and at
 * min_x up e^(k_bid x) + down e^(-k_ask x) above the best rate it is not negative, since z = x i is a
 * super-solution. `room` is by how much the best rate is above that of `meet`. */
static inline int mm_lattice_meet(const mm_lattice *p, int64_t meet, double room, int symmetric,
                                  double *excess, double *slope, double *flux) {
  const double kb = p->k_bid, ka = p->k_ask;
  double most;
  if (kb == ka)
    most = 2 * sqrt(p->up) * sqrt(p->down);
  else {
    const double tilt = log(ka * p->down / (kb * p->up)) / (ka + kb);
    most = p->up * exp(kb * tilt) + p->down * exp(-ka * tilt);
  }
  double low = 0, high = (most + room) * (1 + 1e-12), g = *excess, step, before = INFINITY, gap;
  if (!(g > low && g < high))
    g = 0.5 * high;
  for (int turn = 0; turn < 400; ++turn) {
    const int defined = mm_lattice_gap(p, meet, g, symmetric, &gap, slope, flux);
    double next = low;
    if (defined && gap >= 0)
      high = g;
    else
      low = g;
    if (defined) {
      step = fabs(gap / *slope);
      next = g - gap / *slope;
      /* rounding: nothing is left to gain, or steps have stopped to shrink */
      if (step <= 4e-16 * g || (step <= 1e-12 * g && step >= 0.25 * before)) {
        *excess = g;
        return MM_OK;
      }
      before = step;
    }
    if (!(next > low && next < high))
      next = low + 0.5 * (high - low);
    if (next == g || !(next > low && next < high)) { /* adjacent doubles: nothing lies between */
      *excess = high;
      return mm_lattice_gap(p, meet, high, symmetric, &gap, slope, flux) ? MM_OK : MM_NO_CONVERGENCE;
    }
    g = next;
  }
  return MM_NO_CONVERGENCE;
}

/* Where the stationary law peaks, by detailed balance of the fill rates. A law whose logarithm is
 * concave peaks at `meet` when it falls to both sides. */
static inline int64_t mm_lattice_peak(const mm_lattice *p, const double *x, int64_t meet, int concave) {
  const double lean = log(p->k_bid * p->up / (p->k_ask * p->down)), k = p->k_bid + p->k_ask;
  double height = 0, best = 0;
  int64_t peak = 0;
  if (concave && (meet == 0 || lean + k * x[meet - 1] >= 0) && (meet == p->n - 1 || lean + k * x[meet] <= 0))
    return meet;
  for (int64_t i = 0; i < p->n - 1; ++i) {
    height += lean + k * x[i];
    if (height > best)
      best = height, peak = i + 1;
  }
  return peak;
}

/* The stationary differences x (n-1 doubles, ticks), begun at what `start` knows, which then holds what
 * was found. The caller has checked the problem (mm_lattice_valid). The error of x[i] grows with the
 * stationary probability on node i's far side over that of node i, so the recursions must meet where
 * the law peaks: they first meet at the best rate, and again at the peak that this solution shows. */
static inline int mm_lattice_solve(const mm_lattice *p, mm_lattice_start *start, double *x) {
  const int64_t n = p->n;
  const double *r = p->rate;
  const int symmetric = start->symmetric;
  int64_t meet = start->meet, best = start->best;
  double excess = start->excess, slope;
  if (best < 0) {
    best = n / 2;
    for (int64_t d = 1; d < n; ++d) { /* from the middle outwards: the middle wins a tie */
      const int64_t lo = n / 2 - d, hi = n / 2 + d;
      if (lo >= 0 && r[lo] > r[best])
        best = lo;
      if (hi < n && r[hi] > r[best])
        best = hi;
    }
  }
  if (meet < 0)
    meet = best;
  if (!(excess > 0)) { /* a parabola's ground state, or that of an empty box */
    const double half = sqrt(p->up) * sqrt(p->down);
    double bend = 0;
    if (meet > 0 && meet < n - 1)
      bend = 0.5 * ((r[meet] - r[meet - 1]) + (r[meet] - r[meet + 1]));
    excess = 2 * half - sqrt(half * bend);
    const double box = 2 * half * cos(3.14159265358979323846 / (double)(n + 1));
    if (!(excess < box))
      excess = box;
  }
  for (int round = 0; round < 3; ++round) {
    const int status = mm_lattice_meet(p, meet, r[best] - r[meet], symmetric, &excess, &slope, x);
    if (status != MM_OK)
      return status;
    for (int64_t i = 0; i < meet; ++i)
      x[i] = log(x[i]) / p->k_bid;
    if (symmetric) {
      for (int64_t i = 0; i < meet; ++i)
        x[n - 2 - i] = -x[i];
      break;
    }
    for (int64_t i = meet; i < n - 1; ++i)
      x[i] = -log(x[i]) / p->k_ask;
    const int64_t peak = slope < 8 ? meet : mm_lattice_peak(p, x, meet, start->concave);
    if (peak == meet)
      break;
    excess += r[meet] - r[peak];
    meet = peak;
  }
  start->best = best;
  start->meet = meet;
  start->excess = excess;
  return MM_OK;
}

/* The stationary solution: x (n-1 doubles, ticks), gain (ticks/s) and the largest residual of the n
 * equations relative to the terms in it. */
static inline int mm_lattice_stationary(const mm_lattice *p, double *x, double *gain, double *residual) {
  const int64_t n = p->n;
  const double *r = p->rate;
  mm_lattice_start start = {-1, -1, 0, 0, 0};
  if (!mm_lattice_valid(p))
    return MM_INVALID;
  const int status = mm_lattice_solve(p, &start, x);
  if (status != MM_OK)
    return status;
  const double excess = start.excess, top = r[start.meet];
  *gain = top + excess;
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    double above = i < n - 1 ? p->up * exp(p->k_bid * x[i]) : 0;
    double below = i > 0 ? p->down * exp(-p->k_ask * x[i - 1]) : 0;
    double off = fabs(above + below - (excess + (top - r[i]))) / (above + below + excess);
    if (!(off <= worst))
      worst = off;
  }
  *residual = worst;
  return isfinite(worst) ? MM_OK : MM_NO_CONVERGENCE;
}

/* The fluxes across one difference: upwards out of its lower node, downwards out of its upper. Each times its
 * k is the Jacobian's entry. */
static inline void mm_lattice_flux(const mm_lattice *p, double x, double *above, double *below) {
  if (p->k_bid == p->k_ask) {
    double e = exp(p->k_bid * x);
    *above = p->up * e;
    *below = p->down / e;
  } else {
    *above = p->up * exp(p->k_bid * x);
    *below = p->down * exp(-p->k_ask * x);
  }
}

/* One basic integration over `step`: `count` equal substeps with the Jacobian of the start. Leaves the
 * increments of x in `inc` and that of the middle value in *rise. Returns 0 when it left the finite. */
static inline int mm_lattice_euler(const mm_lattice *p, const double *x, const double *jb, const double *ja,
                                   double step, int count, double *inc, double *rise, double *pivot,
                                   double *rhs) {
  const int64_t m = p->n - 1, mid = p->n / 2; /* m differences */
  const double *r = p->rate, h = step / count;
  double value = 0;
  /* column sums of I - hJ are 1, plus what leaves at the two ends; pivot = column sum + |sub-diagonal| */
  double carry = 1 + h * jb[0];
  for (int64_t i = 0; i < m; ++i) {
    if (i > 0)
      carry = 1 + h * jb[i] * (carry / pivot[i - 1]);
    pivot[i] = carry + h * ja[i]; /* at the last node the flux below leaves the lattice: same sum */
    inc[i] = 0;
  }
  for (int turn = 0; turn < count; ++turn) {
    double above, below, next_above, next_below, before = 0, rate_mid = r[mid];
    mm_lattice_flux(p, x[0] + inc[0], &above, &below);
    /* rhs = h (f[i+1] - f[i]), eliminated downwards as it is made */
    double low_above = above, low_below = 0;
    for (int64_t i = 0; i < m; ++i) {
      if (i + 1 < m)
        mm_lattice_flux(p, x[i + 1] + inc[i + 1], &next_above, &next_below);
      else
        next_above = next_below = 0;
      double change = h * ((r[i + 1] - r[i]) + (next_above - low_above) + (below - low_below));
      rhs[i] = change + (i > 0 ? h * ja[i - 1] / pivot[i - 1] * before : 0);
      before = rhs[i];
      if (i + 1 == mid)
        rate_mid += next_above + below;
      low_above = next_above, low_below = below;
      below = next_below;
    }
    rhs[m - 1] /= pivot[m - 1];
    for (int64_t i = m - 2; i >= 0; --i)
      rhs[i] = (rhs[i] + h * jb[i + 1] * rhs[i + 1]) / pivot[i];
    if (mid < m)
      rate_mid += jb[mid] * rhs[mid];
    rate_mid -= ja[mid - 1] * rhs[mid - 1];
    value += h * rate_mid;
    for (int64_t i = 0; i < m; ++i)
      inc[i] += rhs[i];
    if (!isfinite(value))
      return 0;
  }
  for (int64_t i = 0; i < m; ++i)
    if (!isfinite(inc[i]))
      return 0;
  *rise = value;
  return 1;
}

/* Advance the solution by `span` seconds of time left. x (n-1 doubles) and *value (z of the middle node
 * n/2) are the state; *step is the suggested first step (0: find one) and returns the next. `tolerance`
 * bounds the local error of k x and, relative to its change, of k z. work: MM_LATTICE_WORK(n) doubles.
 *
 * Each step integrates with 1, 2, 3, ... implicit Euler substeps that share one Jacobian, and
 * extrapolates (Aitken-Neville) until two neighbouring columns agree; sizes of steps follow Deuflhard.
 * Increments are extrapolated, not states, so that near the stationary state nothing is lost to
 * rounding; what rounding can do to an extrapolated increment is added to the tolerance. */
static inline int mm_lattice_advance(const mm_lattice *p, double span, double tolerance, double *x,
                                     double *value, double *step, double *work) {
  enum { K = MM_LATTICE_COLUMNS };
  const int64_t n = p->n, m = n - 1;
  double *column[K], *jb = work + K * n, *ja = jb + n, *pivot = ja + n, *rhs = pivot + n;
  double rise[K];
  const double k = p->k_bid > p->k_ask ? p->k_bid : p->k_ask;
  double done = 0, h = *step;
  if (!mm_lattice_valid(p) || !(span >= 0) || !isfinite(span) || !(tolerance > 0))
    return MM_INVALID;
  for (int j = 0; j < K; ++j)
    column[j] = work + j * n;
  for (int64_t tries = 0; done < span; ++tries) {
    double fastest = 0;
    for (int64_t i = 0; i < m; ++i) {
      double above, below;
      mm_lattice_flux(p, x[i], &above, &below);
      jb[i] = p->k_bid * above, ja[i] = p->k_ask * below;
      double rate = jb[i] + ja[i] + k * fabs(p->rate[i + 1] - p->rate[i]);
      if (!(rate <= fastest))
        fastest = rate;
    }
    if (!isfinite(fastest) || tries > 200000)
      return MM_NO_CONVERGENCE;
    if (!(h > 0))
      h = 0.1 / fastest;
    const double left = span - done;
    int last = h >= left * (1 - 1e-12);
    const double now = last ? left : h;
    int accepted = -1, j;
    double error = 0, best_next = 0;
    for (j = 0; j < K; ++j) {
      if (!mm_lattice_euler(p, x, jb, ja, now, j + 1, column[j], &rise[j], pivot, rhs))
        break;
      for (int c = j - 1; c >= 0; --c) { /* column[c] becomes the entry one order higher */
        const double weight = (double)(c + 1) / (double)(j - c); /* 1 / (n_j / n_c - 1) */
        for (int64_t i = 0; i < m; ++i)
          column[c][i] = column[c + 1][i] + weight * (column[c + 1][i] - column[c][i]);
        rise[c] = rise[c + 1] + weight * (rise[c + 1] - rise[c]);
      }
      if (j == 0)
        continue;
      double worst = 0, size = 0;
      for (int64_t i = 0; i < m; ++i) {
        double e = fabs(column[0][i] - column[1][i]), s = fabs(column[0][i]);
        if (!(e <= worst))
          worst = e;
        if (!(s <= size))
          size = s;
      }
      double allowed = tolerance + 2e-14 * k * size;
      error = k * worst / allowed;
      double of_value = k * fabs(rise[0] - rise[1]) / (tolerance + (tolerance + 2e-14) * k * fabs(rise[0]));
      if (!(of_value <= error))
        error = of_value;
      if (!(error < 1e9))
        break; /* hopeless, or not finite */
      const double factor = 0.9 * pow(error + 1e-12, -1.0 / (j + 1));
      best_next = now * (factor > 6 ? 6 : factor);
      if (j >= 2 && error <= 1) {
        accepted = j;
        break;
      }
    }
    if (accepted < 0) {
      double shrunk = best_next > 0 && best_next < 0.7 * now ? best_next : 0.25 * now;
      h = shrunk > 0.02 * now ? shrunk : 0.02 * now;
      if (!(h * fastest > 1e-9)) /* far below the fastest time scale: rounding, not stiffness */
        return MM_NO_CONVERGENCE;
      continue;
    }
    for (int64_t i = 0; i < m; ++i)
      x[i] += column[0][i];
    *value += rise[0];
    done = last ? span : done + now;
    /* accepted in an early column: the step could have been longer at a higher order */
    if (accepted < K - 2)
      best_next *= 1 + 0.5 * (K - 2 - accepted);
    if (!last || best_next < now || best_next > h)
      h = best_next;
  }
  *step = h;
  return MM_OK;
}

/* What any policy is worth: z of a market maker who quotes given depths instead of the best ones,
 *
 *   dz[i]/dtau = rate[i] + lambda_bid[i] u(bid[i] - cost_bid + z[i+1] - z[i])
 *                        + lambda_ask[i] u(ask[i] - cost_ask + z[i-1] - z[i]),
 *
 * u(y) = (1 - e^(-c y)) / c with the utility's curvature c (u(y) = y at 0), lambda = A e^(-k depth). It
 * is linear in e^(-c z): implicit Euler in that variable is one tri-diagonal solve whatever the rates
 * are, and keeps it positive. Written for the increments, so that c = 0 is no special case:
 *
 *   (1 + h (c rate + lambda_bid + lambda_ask)) psi[i] - h lambda_bid e^(-c y_bid) psi[i+1] - ... = h f[i],
 *   z += -log1p(-c psi) / c. */
typedef struct mm_quoted {
  int64_t n;                     /* nodes, >= 2 */
  const double *rate;            /* n running rewards per order, ticks/s */
  double a_bid, a_ask;           /* 1/s, > 0 */
  double k_bid, k_ask;           /* 1/tick, > 0 */
  double cost_bid, cost_ask;     /* ticks per lot */
  double curvature;              /* 1/tick, >= 0: risk aversion times order size */
  const double *bid[2], *ask[2]; /* n depths each, at the start and the end of the span, linear in
                                    between; NaN: absent. Ticks. */
} mm_quoted;

/* Doubles of work memory that mm_lattice_evaluate needs for n nodes. */
#define MM_QUOTED_WORK(n) ((MM_LATTICE_COLUMNS + 4) * (n))

/* Fill rate and what it does: lambda, lambda e^(-c y) and lambda u(y); all zero for an absent side. */
static inline void mm_quoted_side(double a, double k, double c, double depth, double worth, double *rate,
                                  double *weight, double *gain) {
  if (depth != depth) {
    *rate = *weight = *gain = 0;
    return;
  }
  const double e = -expm1(-c * worth);
  *rate = a * exp(-k * depth);
  *weight = *rate * (1 - e);
  *gain = *rate * (c > 0 ? e / c : worth);
}

/* `count` implicit substeps over [from, from + step] of the span's fractions; returns 0 on failure. */
static inline int mm_quoted_euler(const mm_quoted *p, double span, double from, double step, int count,
                                  const double *z, double *inc, double *upper, double *pivot, double *rhs) {
  const int64_t n = p->n;
  const double c = p->curvature, h = step / count;
  for (int64_t i = 0; i < n; ++i)
    inc[i] = 0;
  for (int turn = 1; turn <= count; ++turn) {
    const double at = span > 0 ? (from + h * turn) / span : 0;
    double before = 0;
    for (int64_t i = 0; i < n; ++i) {
      const double here = z[i] + inc[i];
      double up = 0, up_weight = 0, up_gain = 0, down = 0, down_weight = 0, down_gain = 0;
      if (i + 1 < n) {
        double depth = p->bid[0][i] + at * (p->bid[1][i] - p->bid[0][i]);
        mm_quoted_side(p->a_bid, p->k_bid, c, depth, depth - p->cost_bid + (z[i + 1] + inc[i + 1] - here),
                       &up, &up_weight, &up_gain);
      }
      if (i > 0) {
        double depth = p->ask[0][i] + at * (p->ask[1][i] - p->ask[0][i]);
        mm_quoted_side(p->a_ask, p->k_ask, c, depth, depth - p->cost_ask + (z[i - 1] + before - here), &down,
                       &down_weight, &down_gain);
      }
      before = inc[i];
      double diagonal = 1 + h * (c * p->rate[i] + up + down);
      double target = h * (p->rate[i] + up_gain + down_gain);
      if (i > 0) {
        const double share = h * down_weight / pivot[i - 1];
        diagonal -= share * upper[i - 1];
        target += share * rhs[i - 1];
      }
      upper[i] = h * up_weight;
      pivot[i] = diagonal;
      rhs[i] = target;
      if (!(diagonal > 0 && isfinite(diagonal)))
        return 0;
    }
    for (int64_t i = n - 1; i >= 0; --i) {
      rhs[i] = (rhs[i] + (i + 1 < n ? upper[i] * rhs[i + 1] : 0)) / pivot[i];
      const double shrink = c * rhs[i];
      if (!(shrink < 1))
        return 0;
    }
    for (int64_t i = 0; i < n; ++i) {
      inc[i] += c > 0 ? -log1p(-c * rhs[i]) / c : rhs[i];
      if (!isfinite(inc[i]))
        return 0;
    }
  }
  return 1;
}

/* Advance z (n doubles, ticks) by `span` seconds of time left, over which the depths go linearly from
 * bid[0], ask[0] to bid[1], ask[1]. step and tolerance as in mm_lattice_advance; the tolerance is of z,
 * relative to 1/k and to its change. work: MM_QUOTED_WORK(n) doubles. */
static inline int mm_lattice_evaluate(const mm_quoted *p, double span, double tolerance, double *z,
                                      double *step, double *work) {
  enum { K = MM_LATTICE_COLUMNS };
  const int64_t n = p->n;
  double *column[K], *upper = work + K * n, *pivot = upper + n, *rhs = pivot + n;
  double done = 0, h = *step;
  if (n < 2 || !(p->a_bid > 0 && p->a_ask > 0 && p->k_bid > 0 && p->k_ask > 0 && p->curvature >= 0) ||
      !isfinite(p->a_bid + p->a_ask + p->k_bid + p->k_ask + p->curvature + p->cost_bid + p->cost_ask) ||
      !(span >= 0) || !isfinite(span) || !(tolerance > 0))
    return MM_INVALID;
  const double k = p->k_bid > p->k_ask ? p->k_bid : p->k_ask;
  for (int j = 0; j < K; ++j)
    column[j] = work + j * n;
  if (!(h > 0))
    h = span < 0.01 / (p->a_bid + p->a_ask) ? span : 0.01 / (p->a_bid + p->a_ask);
  for (int64_t tries = 0; done < span; ++tries) {
    const double left = span - done;
    const int last = h >= left * (1 - 1e-12);
    const double now = last ? left : h;
    int accepted = -1;
    double best_next = 0;
    if (tries > 200000)
      return MM_NO_CONVERGENCE;
    for (int j = 0; j < K; ++j) {
      if (!mm_quoted_euler(p, span, done, now, j + 1, z, column[j], upper, pivot, rhs))
        break;
      for (int c = j - 1; c >= 0; --c) {
        const double weight = (double)(c + 1) / (double)(j - c);
        for (int64_t i = 0; i < n; ++i)
          column[c][i] = column[c + 1][i] + weight * (column[c + 1][i] - column[c][i]);
      }
      if (j == 0)
        continue;
      double error = 0;
      for (int64_t i = 0; i < n; ++i) {
        double size = k * fabs(column[0][i]);
        double e = k * fabs(column[0][i] - column[1][i]) / (tolerance + (tolerance + 1e-13) * size);
        if (!(e <= error))
          error = e;
      }
      if (!(error < 1e12))
        break;
      const double factor = 0.9 * pow(error + 1e-12, -1.0 / (j + 1));
      best_next = now * (factor > 6 ? 6 : factor);
      if (j >= 2 && error <= 1) {
        accepted = j;
        break;
      }
    }
    if (accepted < 0) {
      h = best_next > 0.02 * now && best_next < 0.7 * now ? best_next : 0.25 * now;
      if (!(h > 1e-16 * span))
        return MM_NO_CONVERGENCE;
      continue;
    }
    for (int64_t i = 0; i < n; ++i)
      z[i] += column[0][i];
    done = last ? span : done + now;
    if (accepted < K - 2)
      best_next *= 1 + 0.5 * (K - 2 - accepted);
    if (!last || best_next < now || best_next > h)
      h = best_next;
  }
  *step = h;
  return MM_OK;
}

#ifdef __cplusplus
}
#endif

#endif
