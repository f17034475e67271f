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
 *                           error control; one tri-diagonal solve a substep. mm_quoted_advance is its
 *                           twin for depths that are given.
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

#include "cpu.h"
#include "math.h"
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

static inline int mm_lattice_valid(const mm_lattice *p) {
  if (p->n < 2 || !(p->up > 0 && p->down > 0 && p->k_bid > 0 && p->k_ask > 0) ||
      !isfinite(p->up + p->down + p->k_bid + p->k_ask))
    return 0;
  for (int64_t i = 0; i < p->n; ++i)
    if (!isfinite(p->rate[i]))
      return 0;
  return 1;
}

/* What is known before a stationary solution is begun, and what it found. */
typedef struct mm_lattice_start {
  int64_t best;          /* node with the largest rate; < 0: not known */
  int32_t concave;       /* the rates are: then so is the logarithm of the stationary law */
  int32_t symmetric;     /* rates and sides mirror: half of the lattice is solved */
  mm_pair lean;          /* log(k_ask down / (k_bid up)), which has few digits of doubles nearly alike */
  double up_lo;          /* what the numbers of the problem lost when they were rounded to doubles: */
  const double *rate_lo; /* n of them; NULL: the rates are exact */
  int64_t meet;          /* found: node where the recursions meet */
  double excess;         /* found: gain less rate[meet], ticks/s */
} mm_lattice_start;

/* Of a problem whose numbers are exact, and of which nothing else is known. */
static inline mm_lattice_start mm_lattice_unknown(const mm_lattice *p) {
  const mm_pair lean = mm_sum(mm_log_ratio(p->down, p->up), mm_log_ratio(p->k_ask, p->k_bid));
  const mm_lattice_start start = {-1, 0, 0, lean, 0, NULL, -1, 0};
  return start;
}

/* The lattice in its own units. The sum of the fluxes over one difference, up e^(k_bid x) + down e^(-k_ask
 * x), is least where k_bid times the one is k_ask times the other: there they are unit[0] and unit[1], and
 * fluxes are measured by them. An upward flux y = e^(k_bid x - shift[0]) belongs to a downward one of
 * y^-ratio / ratio units of the upward kind, and seen from the ask the same holds the other way round. */
typedef struct mm_lattice_units {
  mm_pair unit[2];  /* ticks/s */
  mm_pair per[2];   /* 1 / unit */
  mm_pair shift[2]; /* k_bid and -k_ask times that difference */
  mm_pair ratio[2]; /* k_ask / k_bid and back */
} mm_lattice_units;

static inline mm_pair mm_minus(mm_pair x) {
  const mm_pair y = {-x.hi, -x.lo};
  return y;
}

static inline mm_lattice_units mm_lattice_units_of(const mm_lattice *p, const mm_lattice_start *start) {
  const mm_pair one = {1, 0}, kb = {p->k_bid, 0}, ka = {p->k_ask, 0}, up = {p->up, start->up_lo};
  const int equal = p->k_bid == p->k_ask;
  mm_lattice_units of = {{up, up}, {one, one}, {{0, 0}, {0, 0}}, {one, one}};
  if (start->lean.hi != 0) {
    const mm_pair rates = mm_added(p->k_bid, p->k_ask);
    of.shift[0] = mm_times(mm_quotient(kb, rates), start->lean);
    of.shift[1] = mm_minus(mm_times(mm_quotient(ka, rates), start->lean));
    of.unit[0] = of.unit[1] = mm_times(up, mm_exp_pair(of.shift[0]));
  }
  if (!equal) {
    of.ratio[0] = mm_quotient(ka, kb), of.ratio[1] = mm_quotient(kb, ka);
    of.unit[1] = mm_times(of.unit[0], of.ratio[1]);
  }
  of.per[0] = mm_quotient(one, of.unit[0]);
  of.per[1] = equal ? of.per[0] : mm_quotient(one, of.unit[1]);
  return of;
}

/* How far a power bends as its flux grows by one unit: 1, or its exponent. */
static inline double mm_lattice_bend(const mm_lattice_units *units, int side) {
  return units->ratio[side].hi > 1 ? units->ratio[side].hi : 1;
}

/* How a flux goes over to its twin: 1/y where both k are equal; else by powers, or by a fraction that touches
 * the power at y = 1 and falls as fast. */
enum { MM_TWIN_EQUAL, MM_TWIN_FRACTION, MM_TWIN_POWER };

/* One of the two recursions: the flux that comes into its next node, in its own units, and how it falls with
 * the gain. */
typedef struct mm_lattice_chain {
  double in, slope, per, ratio, least, weight;
} mm_lattice_chain;

MM_INLINE mm_lattice_chain mm_lattice_chain_of(const mm_lattice_units *units, int side, int twin) {
  const double inverse = 1 / units->ratio[side].hi;
  const mm_lattice_chain chain = {0,
                                  0,
                                  units->per[side].hi,
                                  units->ratio[side].hi,
                                  twin == MM_TWIN_FRACTION ? 1 - inverse : 0,
                                  twin == MM_TWIN_FRACTION ? inverse * inverse : 1};
  return chain;
}

/* Over one node, which gains `supply` ticks/s more than it earns: is the flux that leaves it positive? */
MM_INLINE int mm_lattice_step(mm_lattice_chain *c, double supply, int twin, double *flux) {
  const double y = (supply * c->per - c->least) - c->in, slope = c->per + c->slope;
  if (!(y > 0))
    return 0;
  if (twin == MM_TWIN_POWER) {
    c->in = mm_pow(y, -c->ratio) / c->ratio;
    c->slope = c->ratio * c->in / y * slope;
  } else if (twin == MM_TWIN_FRACTION) {
    c->in = c->weight / y;
    c->slope = c->in / y * slope;
  } else {
    c->in = 1 / y;
    c->slope = c->in * c->in * slope;
  }
  *flux = y + c->least;
  return 1;
}

/* How far the recursions miss each other when the gain is rate[meet] + excess, and its slope in the gain.
 * Node i's equation gives the flux that leaves it upwards from the one that comes from below; downwards from
 * the other end alike. The flux over difference i goes to flux[i]: below `meet` the upward one, above it the
 * downward one. A flux that is not positive means that the gain is too small (and 0 is returned for
 * "undefined"). Both recursions run in one loop: each waits for its own divisions, so together they take as
 * long as one. */
MM_INLINE int mm_lattice_gap_as(const mm_lattice *p, const mm_lattice_units *units, int twin, int64_t meet,
                                double excess, int symmetric, double *gap, double *slope, double *flux) {
  const double *r = p->rate, top = r[meet], up = units->unit[0].hi, down = units->unit[1].hi;
  mm_lattice_chain below = mm_lattice_chain_of(units, 0, twin), above = mm_lattice_chain_of(units, 1, twin);
  int64_t i = 0, j = symmetric ? meet : p->n - 1;
  for (; i < meet && j > meet; ++i, --j)
    if (!(mm_lattice_step(&below, excess + (top - r[i]), twin, flux + i) &
          mm_lattice_step(&above, excess + (top - r[j]), twin, flux + (j - 1))))
      return 0;
  for (; i < meet; ++i)
    if (!mm_lattice_step(&below, excess + (top - r[i]), twin, flux + i))
      return 0;
  for (; j > meet; --j)
    if (!mm_lattice_step(&above, excess + (top - r[j]), twin, flux + (j - 1)))
      return 0;
  if (symmetric)
    above = below;
  *gap = excess - up * below.in - down * above.in;
  *slope = 1 + up * below.slope + down * above.slope;
  return isfinite(*gap) && isfinite(*slope);
}

static inline int mm_lattice_gap(const mm_lattice *p, const mm_lattice_units *units, int twin, int64_t meet,
                                 double excess, int symmetric, double *gap, double *slope, double *flux) {
  return twin == MM_TWIN_EQUAL
             ? mm_lattice_gap_as(p, units, MM_TWIN_EQUAL, meet, excess, symmetric, gap, slope, flux)
         : twin == MM_TWIN_FRACTION
             ? mm_lattice_gap_as(p, units, MM_TWIN_FRACTION, meet, excess, 0, gap, slope, flux)
             : mm_lattice_gap_as(p, units, MM_TWIN_POWER, meet, excess, 0, gap, slope, flux);
}

/* A stationary solution while it is sought. */
typedef struct mm_lattice_mending {
  const mm_lattice *lattice;
  const mm_lattice_units *units;
  const double *rate_lo;
  int64_t meet;
  double room;         /* by how much the best rate is above that of `meet`, ticks/s */
  double excess, more; /* the gain less rate[meet], and what it lacks, ticks/s */
  double slope;        /* of what the equation at `meet` lacks in the gain: the law's sum over its peak */
  double lack;         /* what a flux lacks at most, of what it may lack: mending leaves lack^2 slope */
  double *x;           /* fluxes, and differences in the end */
  int symmetric;
  mm_cpu cpu;
} mm_lattice_mending;

/* What mending may leave of a flux. Where the law is wide the differences about its peak are as small as what
 * the gain is below the least sum of the fluxes, and depths may have no larger term. */
static inline double mm_lattice_least(const mm_lattice_mending *m, double excess) {
  const double most = m->units->unit[0].hi + m->units->unit[1].hi, below = most + m->room - excess;
  return below > 1e-13 * most ? 3e-17 * (below / most) : 3e-30;
}

/* Newton on the gain at one meeting node, inside a bracket. The gap rises with the gain; at 0 (the
 * gain of a market maker who never trades from the best node) it is negative or undefined, and at the
 * least sum of the fluxes over one difference above the best rate it is not negative, since z = x i is a
 * super-solution. */
static inline int mm_lattice_meet(mm_lattice_mending *m, int twin) {
  const mm_lattice_units *units = m->units;
  const double steep[2] = {mm_lattice_bend(units, 0) * units->per[0].hi,
                           mm_lattice_bend(units, 1) * units->per[1].hi};
  const double steepest = steep[0] > steep[1] ? steep[0] : steep[1];
  const double most = units->unit[0].hi + units->unit[1].hi;
  double low = 0, high = (most + m->room) * (1 + 1e-12), g = m->excess, before = (double)INFINITY, gap;
  if (!(g > low && g < high))
    g = 0.5 * high;
  for (int turn = 0; turn < 400; ++turn) {
    const int defined =
        mm_lattice_gap(m->lattice, units, twin, m->meet, g, m->symmetric, &gap, &m->slope, m->x);
    double next = low;
    if (defined && gap >= 0)
      high = g;
    else
      low = g;
    if (defined) {
      const double step = fabs(gap / m->slope), lack = fabs(gap) * steepest;
      next = g - gap / m->slope;
      /* near enough for mending; or steps have stopped to shrink */
      if (lack * lack * m->slope <= (twin == MM_TWIN_FRACTION ? 1e-5 : mm_lattice_least(m, g)) ||
          step <= 4e-16 * g || (step <= 1e-12 * g && step >= 0.25 * before)) {
        m->excess = g;
        m->lack = lack;
        return MM_OK;
      }
      before = step;
    }
    if (!(next > low && next < high))
      next = low + 0.5 * (high - low);
    if (next == g || !(next > low && next < high)) { /* adjacent doubles: nothing lies between */
      m->excess = high;
      if (!mm_lattice_gap(m->lattice, units, twin, m->meet, high, m->symmetric, &gap, &m->slope, m->x))
        return MM_NO_CONVERGENCE;
      m->lack = fabs(gap) * steepest;
      return MM_OK;
    }
    g = next;
  }
  return MM_NO_CONVERGENCE;
}

/* Where the stationary law peaks, by detailed balance of the fill rates. A law whose logarithm is
 * concave peaks at `meet` when it falls to both sides. */
static inline int64_t mm_lattice_peak(const mm_lattice *p, const mm_lattice_start *start, const double *x,
                                      int64_t meet) {
  const double lean = -start->lean.hi, k = p->k_bid + p->k_ask;
  double height = 0, best = 0;
  int64_t peak = 0;
  if (start->concave && (meet == 0 || lean + k * x[meet - 1] >= 0) &&
      (meet == p->n - 1 || lean + k * x[meet] <= 0))
    return meet;
  for (int64_t i = 0; i < p->n - 1; ++i) {
    height += lean + k * x[i];
    if (height > best)
      best = height, peak = i + 1;
  }
  return peak;
}

/* What rounding left. The recursions are good to some hundred units in the last place: where nodes are nearly
 * alike each passes its own error on to the next, and of the gain little counts but what is missing from the
 * least sum of the fluxes. So the equations are looked at once more, at the fluxes and the gain found, in two
 * doubles: what does not add up there is linear in what fluxes and gain lack, and one more recursion, without
 * a division, gives that. It is Newton's method on all equations at once. */
#define MM_LATTICE_STRIP 128 /* differences looked at together */
#define MM_LATTICE_KEPT 512  /* what was found of a longer side is found twice */

typedef struct mm_lattice_side { /* of one recursion: a strip, and what came over its last difference */
  double own[MM_LATTICE_STRIP], own_lo[MM_LATTICE_STRIP]; /* what a node gains beside the flux that leaves */
  double twin[MM_LATTICE_STRIP], twin_lo[MM_LATTICE_STRIP]; /* what that flux brings to the next node */
  double fall[MM_LATTICE_STRIP];                            /* and how it falls with the flux */
  double lack[MM_LATTICE_KEPT], rise[MM_LATTICE_KEPT];      /* of the flux, at this gain; with the gain */
  int kept;
  mm_pair came;
  double came_fall, came_lack, came_rise;
} mm_lattice_side;

typedef struct mm_lattice_look {
  const double *rate, *rate_lo, *flux; /* of the nodes; NULL: exact; of the differences */
  mm_pair top, per, ratio;             /* the rate where the recursions meet; of the side */
  double excess;                       /* ticks/s */
  mm_lattice_side *side;
} mm_lattice_look;

MM_INLINE void mm_lattice_strip_as(const mm_lattice_look *look, int64_t n, int equal) {
  const double *__restrict rate = look->rate, *__restrict rate_lo = look->rate_lo,
                           *__restrict flux = look->flux;
  double *__restrict own = look->side->own, *__restrict own_lo = look->side->own_lo;
  double *__restrict twin = look->side->twin, *__restrict twin_lo = look->side->twin_lo;
  double *__restrict fall = look->side->fall;
  const mm_pair one = {1, 0}, top = look->top, per = look->per, ratio = look->ratio;
  const mm_pair back = mm_quotient(one, ratio);
  const double excess = look->excess;
  for (int64_t i = 0; i < n; ++i) {
    const double y = flux[i], lost = rate_lo ? rate_lo[i] : 0;
    const mm_pair climb = mm_added(top.hi, -rate[i]), supply = mm_added(excess, climb.hi);
    const mm_pair scaled = mm_product(supply.hi, per.hi), rest = mm_added(scaled.hi, -y);
    const double low = supply.lo + (climb.lo + (top.lo - lost));
    own[i] = rest.hi;
    own_lo[i] = rest.lo + (scaled.lo + (supply.hi * per.lo + low * per.hi));
    if (equal) {
      const double inverse = 1 / y;
      const mm_pair whole = mm_product(y, inverse);
      twin[i] = inverse;
      twin_lo[i] = ((1 - whole.hi) - whole.lo) * inverse;
      fall[i] = inverse * inverse;
    } else {
      double k;
      const double m = mm_mantissa(y, &k);
      const mm_pair parts = mm_log_parts(k, m - 1), log = mm_settled(parts.hi, parts.lo);
      const mm_pair power = mm_exp_pair(mm_minus(mm_times(ratio, log))), z = mm_times(power, back);
      twin[i] = z.hi;
      twin_lo[i] = z.lo;
      fall[i] = power.hi / y;
    }
  }
}

/* x = (log(flux + lack + more rise) + shift) / k, in place. */
MM_INLINE void mm_lattice_logs_as(int64_t n, double k, const mm_pair *shift, double more,
                                  const double *__restrict lack, const double *__restrict rise, double *x) {
  const mm_pair by = *shift;
  for (int64_t i = 0; i < n; ++i) {
    const mm_pair log = mm_sum(mm_log_of(x[i], lack[i] + more * rise[i]), by);
    x[i] = log.hi / k;
  }
}

MM_CPU_COPIES(mm_lattice_strip, (const mm_lattice_look *look, int64_t n, int equal), (look, n, equal))
MM_CPU_COPIES(mm_lattice_logs,
              (int64_t n, double k, const mm_pair *shift, double more, const double *lack, const double *rise,
               double *x),
              (n, k, shift, more, lack, rise, x))

/* What is done with what the recursions lack. */
enum { MM_MEND_LOOK, MM_MEND_FLUXES, MM_MEND_DIFFERENCES };

/* Along one recursion. Where fluxes are mended, returns the largest lack relative to what a flux may lack;
 * infinite: a flux would not be positive. */
static inline double mm_lattice_along(const mm_lattice_mending *m, int side, int what, mm_lattice_side *s) {
  const mm_lattice *p = m->lattice;
  const int64_t from = side ? m->meet : 0, to = side ? p->n - 1 : m->meet;
  const int equal = p->k_bid == p->k_ask, step = side ? -1 : 1;
  const double per = m->units->per[side].hi, k = side ? -p->k_ask : p->k_bid;
  const double bend = mm_lattice_bend(m->units, side);
  const int keep = to - from <= MM_LATTICE_KEPT;
  double fall = 0, lack = 0, rise = 0, worst = 0;
  double least = 1;
  mm_pair came = {0, 0};
  for (int64_t done = 0, n; done < to - from; done += n) {
    n = to - from - done < MM_LATTICE_STRIP ? to - from - done : MM_LATTICE_STRIP;
    const int64_t begin = side ? to - done - n : done;
    double *x = m->x + begin, *lacks = s->lack + (keep ? begin - from : 0);
    double *rises = s->rise + (keep ? begin - from : 0);
    if (!s->kept) {
      const double *rate = p->rate + begin + side, *rate_lo = m->rate_lo ? m->rate_lo + begin + side : NULL;
      const mm_pair top = {p->rate[m->meet], m->rate_lo ? m->rate_lo[m->meet] : 0};
      const mm_lattice_look look = {rate,      rate_lo, x, top, m->units->per[side], m->units->ratio[side],
                                    m->excess, s};
      MM_CPU_CALL(m->cpu, mm_lattice_strip, (&look, n, equal));
      for (int64_t i = side ? n - 1 : 0; i >= 0 && i < n; i += step) {
        lack = ((s->own[i] - came.hi) + (s->own_lo[i] - came.lo)) + fall * lack;
        rise = per + fall * rise;
        came.hi = s->twin[i], came.lo = s->twin_lo[i];
        fall = s->fall[i];
        lacks[i] = lack, rises[i] = rise;
      }
    }
    if (what == MM_MEND_FLUXES)
      for (int64_t i = 0; i < n; ++i) {
        const double missing = lacks[i] + m->more * rises[i], y = x[i];
        worst = bend * fabs(missing) <= worst * y ? worst : bend * fabs(missing) / y;
        x[i] = y + missing;
        least = x[i] > 0 ? least : 0;
      }
    else if (what == MM_MEND_DIFFERENCES)
      MM_CPU_CALL(m->cpu, mm_lattice_logs, (n, k, &m->units->shift[side], m->more, lacks, rises, x));
  }
  s->kept = keep;
  s->came = came, s->came_fall = fall, s->came_lack = lack, s->came_rise = rise;
  return least > 0 ? worst : (double)INFINITY;
}

/* Mend fluxes and gain, or go over to differences. Returns as mm_lattice_along does. */
static inline double mm_lattice_mend(mm_lattice_mending *m, int what) {
  mm_lattice_side side[2];
  mm_pair off = {m->excess, 0};
  double slope = 1, worst = 0;
  m->more = 0;
  for (int s = 0; s < 2; ++s) {
    side[s].kept = 0;
    const mm_lattice_side *of = &side[m->symmetric ? 0 : s];
    if (of == &side[s])
      mm_lattice_along(m, s, MM_MEND_LOOK, &side[s]);
    const double unit = m->units->unit[s].hi;
    off = mm_sum(off, mm_minus(mm_times(m->units->unit[s], of->came)));
    off.lo += unit * of->came_fall * of->came_lack;
    slope += unit * of->came_fall * of->came_rise;
  }
  m->slope = slope;
  m->more = -(off.hi + off.lo) / slope;
  for (int s = 0; s < 2 - m->symmetric; ++s) {
    const double found = mm_lattice_along(m, s, what, &side[s]);
    worst = found <= worst ? worst : found;
  }
  m->excess += m->more;
  return worst;
}

/* Mend fluxes until what the last mending leaves is little enough: is it? */
static inline int mm_lattice_near(mm_lattice_mending *m) {
  for (int turn = 0; turn < 8 && m->lack * m->lack * m->slope > mm_lattice_least(m, m->excess); ++turn) {
    const double found = mm_lattice_mend(m, MM_MEND_FLUXES);
    m->lack = found * found * m->slope;
    if (!(found < (double)INFINITY))
      return 0;
  }
  return m->lack * m->lack * m->slope <= mm_lattice_least(m, m->excess);
}

/* Fluxes and gain for one meeting node. With k of its own for each side the twins are powers, which take long
 * one after another: fractions come near, and mending, which takes all powers together, does the rest in some
 * turns. Where it does not, the recursion is done with powers. */
static inline int mm_lattice_find(mm_lattice_mending *m) {
  const int equal = m->lattice->k_bid == m->lattice->k_ask;
  const double begin = m->excess;
  int status = mm_lattice_meet(m, equal ? MM_TWIN_EQUAL : MM_TWIN_FRACTION);
  if (equal) {
    if (status == MM_OK && m->lack * m->slope < 1e-3)
      mm_lattice_near(m);
    return status;
  }
  m->lack = 1;
  if (status == MM_OK && mm_lattice_near(m))
    return MM_OK;
  m->excess = begin;
  return mm_lattice_meet(m, MM_TWIN_POWER);
}

/* The gain less the best rate, nearly, ticks/s, by how far the rate falls to both neighbours: of a parabola
 * (Mathieu's equation, by its series); where the lattice ends before it has bent much, of a box with a
 * parabola in it; where it is steep, of the best node and its neighbours. */
static inline double mm_lattice_guess(const mm_lattice *p, double half, int64_t best) {
  const double *r = p->rate, angle = 3.14159265358979323846 / (double)(p->n + 1), square = angle * angle;
  const double below = best > 0 ? (r[best] - r[best - 1]) / half : (double)INFINITY;
  const double above = best < p->n - 1 ? (r[best] - r[best + 1]) / half : (double)INFINITY;
  const double near = below < above ? below : above, far = below < above ? above : below;
  const double bend = far < (double)INFINITY ? 0.5 * (near + far) : near < 0.5 ? 0 : (double)INFINITY;
  const double wide = bend / (square * square), root = sqrt(bend), off = far - near;
  if (wide < 4) /* 2 cos(angle), and two orders of perturbation */
    return half * (2 - square * (1 - square / 12 + wide * (0.3227 - 0.01758 * wide)));
  if (bend < 2) /* the top is off / (4 bend) from the node */
    return half * (2 - root + bend * (1.0 / 16 + root / 256) + off * off / (16 * bend));
  const double one = 2 / (near + sqrt(near * near + 4));
  return half * (one + 1 / (one + far));
}

/* The stationary differences x (n-1 doubles, ticks), begun at what `start` knows, which then holds what
 * was found. The caller has checked the problem (mm_lattice_valid). The error of x[i] grows with the
 * stationary probability on node i's far side over that of node i, so the recursions must meet where
 * the law peaks: they first meet at the best rate, and again at the peak that this solution shows. */
static inline int mm_lattice_solve(const mm_lattice *p, mm_lattice_start *start, double *x) {
  const int64_t n = p->n;
  const double *r = p->rate;
  const mm_lattice_units units = mm_lattice_units_of(p, start);
  int64_t best = start->best;
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
  const double guess = mm_lattice_guess(p, 0.5 * (units.unit[0].hi + units.unit[1].hi), best);
  mm_lattice_mending mending = {p, &units, start->rate_lo,   best,         0, guess, 0, 1,
                                1, x,      start->symmetric, mm_cpu_best()};
  for (int round = 0; round < 3; ++round) {
    const int64_t meet = mending.meet;
    const int status = mm_lattice_find(&mending);
    if (status != MM_OK)
      return status;
    mm_lattice_mend(&mending, MM_MEND_DIFFERENCES);
    if (start->symmetric) {
      for (int64_t i = 0; i < meet; ++i)
        x[n - 2 - i] = -x[i];
      break;
    }
    const int64_t peak = mending.slope < 8 ? meet : mm_lattice_peak(p, start, x, meet);
    if (peak == meet)
      break;
    mending.excess += r[meet] - r[peak];
    mending.room = r[best] - r[peak];
    mending.meet = peak;
  }
  start->best = best;
  start->meet = mending.meet;
  start->excess = mending.excess;
  return MM_OK;
}

/* The stationary solution of a valid problem, begun at what `start` knows: x (n-1 doubles, ticks), gain
 * (ticks/s) and the largest residual of the n equations relative to the terms in it. */
static inline int mm_lattice_stationary_from(const mm_lattice *p, mm_lattice_start *start, double *x,
                                             double *gain, double *residual) {
  const int64_t n = p->n;
  const double *r = p->rate;
  const int status = mm_lattice_solve(p, start, x);
  if (status != MM_OK)
    return status;
  const double excess = start->excess, top = r[start->meet];
  *gain = top + excess;
  double worst = 0;
  for (int64_t i = 0; i < n; ++i) {
    double above = i < n - 1 ? p->up * mm_exp(p->k_bid * x[i]) : 0;
    double below = i > 0 ? p->down * mm_exp(-p->k_ask * x[i - 1]) : 0;
    double off = fabs(above + below - (excess + (top - r[i])));
    if (off != 0) /* where nothing flows and nothing is gained, nothing is wrong */
      off /= above + below + excess;
    if (!(off <= worst))
      worst = off;
  }
  *residual = worst;
  return isfinite(worst) ? MM_OK : MM_NO_CONVERGENCE;
}

static inline int mm_lattice_stationary(const mm_lattice *p, double *x, double *gain, double *residual) {
  if (!mm_lattice_valid(p))
    return MM_INVALID;
  mm_lattice_start start = mm_lattice_unknown(p);
  return mm_lattice_stationary_from(p, &start, x, gain, residual);
}

/* Finite time left, for two equations: the optimum's (mm_lattice), and what given depths are worth
 * (mm_quoted, below). Both are a conservation law of x: dx[i]/dtau = f[i+1] - f[i], f[i] the rate of
 * node i plus the flux up over the difference above it plus the flux down over the one below. */

#define MM_LATTICE_COLUMNS 10
/* Doubles of work memory that mm_lattice_advance and mm_quoted_advance need for n nodes. */
#define MM_LATTICE_WORK(n) ((MM_LATTICE_COLUMNS + 15) * (n))
/* They return after about so many substeps of one node: a tenth of a second. */
#define MM_LATTICE_BLOCK (INT64_C(1) << 22)

/* An equation at the start of a step. When the difference moves by d, and s seconds later, the flux up
 * has grown by
 *
 *   gain (e^(-k speed s) - 1) + e^(-k speed s) slope (e^(bend y) - 1) / bend,   y = d + speed s,
 *
 * and the flux down by the same with its own numbers and -d. Everything is a change from the start of
 * the step, with its own digits: what rounding does to the start is the same in all columns of the
 * extrapolation, which would magnify anything else a thousandfold. */
typedef struct mm_front {
  int64_t n;
  int32_t kind;     /* MM_FRONT_* */
  double bend[2];   /* 1/tick */
  double *slope[2]; /* n-1 each, 1/s: of the flux up in x, of the flux down in -x; >= 0 */
  double *drift;    /* n-1: dx/dtau, ticks/s */
  double middle;    /* dz/dtau of the middle node, ticks/s */
  double fastest;   /* 1/s: no rate of change is larger */
  double k[2];      /* 1/tick; these three are read when the depths move */
  double *speed[2]; /* n-1 each, ticks/s, by which a depth grows */
  double *gain[2];  /* n-1 each, ticks/s: the fluxes */
} mm_front;

enum { MM_FRONT_LINEAR, MM_FRONT_EQUAL, MM_FRONT_UNEQUAL, MM_FRONT_MOVING };

/* Where one flux has come to when its difference has moved by d: its growth, and its slope there. */
MM_INLINE double mm_front_moved(double slope, double gain, double bend, double k, double speed, double d,
                                double seconds, double *moved) {
  const double y = d + speed * seconds, faded = mm_expm1(-k * speed * seconds), e = mm_expm1(bend * y);
  *moved = (1 + faded) * slope * (1 + e);
  return gain * faded + (1 + faded) * slope * (bend != 0 ? e / bend : y);
}

/* I - hJ, eliminated downwards. Its column sums are 1, plus what leaves at the two ends, and a pivot is a
 * column sum plus the size of the element below it: nothing is subtracted. */
MM_INLINE void mm_front_factor(int64_t m, double h, const double *jb, const double *ja, double *inverse,
                               double *before, double *after) {
  double carry = 1 + h * jb[0];
  before[0] = 0;
  for (int64_t i = 0; i < m; ++i) {
    inverse[i] = 1 / (carry + h * ja[i]); /* at the last node the flux down leaves the lattice: same sum */
    if (i + 1 < m) {
      after[i] = h * jb[i + 1] * inverse[i];
      before[i + 1] = h * ja[i] * inverse[i];
      carry = 1 + h * jb[i + 1] * (carry * inverse[i]);
    }
  }
  after[m - 1] = 0;
}

/* One basic integration over `step`: `count` equal substeps, linearly implicit, with the Jacobian of the
 * start, or of each substep when depths move: what a stiff node follows is not what it followed then. Leaves
 * the increments of x in `inc`, and in *bow by how much the middle value rises more than step * middle.
 * `work`: 8 n doubles. Returns 0 when it left the finite. */
MM_INLINE int mm_front_euler_as(const mm_front *f, int kind, double step, int count, double *inc, double *bow,
                                double *work) {
  const int64_t n = f->n, m = n - 1, mid = n / 2; /* m differences */
  const double h = step / count, per_bid = 1 / f->bend[0], per_ask = 1 / f->bend[1];
  double *inverse = work, *before = inverse + n, *after = before + n, *rhs = after + n;
  double *up = rhs + n, *down = up + n; /* the fluxes' growth */
  double *jb = kind == MM_FRONT_MOVING ? down + n : f->slope[0],
         *ja = kind == MM_FRONT_MOVING ? jb + n : f->slope[1];
  double value = 0;
  up[m] = 0; /* nothing is above the last node */
  for (int64_t i = 0; i < m; ++i)
    inc[i] = 0;
  for (int turn = 1; turn <= count; ++turn) {
    for (int64_t i = 0; i < m; ++i) {
      const double b = f->slope[0][i], a = f->slope[1][i], d = inc[i];
      if (kind == MM_FRONT_LINEAR) {
        up[i] = b * d;
        down[i] = -a * d;
      } else if (kind == MM_FRONT_EQUAL) {
        const double e = mm_expm1(f->bend[0] * d);
        up[i] = b * (e * per_bid);
        down[i] = -a * (e / (1 + e) * per_bid);
      } else if (kind == MM_FRONT_UNEQUAL) {
        up[i] = b * (mm_expm1(f->bend[0] * d) * per_bid);
        down[i] = a * (mm_expm1(-f->bend[1] * d) * per_ask);
      } else {
        up[i] = mm_front_moved(b, f->gain[0][i], f->bend[0], f->k[0], f->speed[0][i], d, h * turn, jb + i);
        down[i] = mm_front_moved(a, f->gain[1][i], f->bend[1], f->k[1], f->speed[1][i], -d, h * turn, ja + i);
      }
    }
    if (turn == 1 || kind == MM_FRONT_MOVING)
      mm_front_factor(m, h, jb, ja, inverse, before, after);
    double last = 0, below = 0, ahead = 0;
    for (int64_t i = 0; i < m; ++i) { /* h (f[i+1] - f[i]) */
      last = h * (f->drift[i] + ((up[i + 1] - up[i]) + (down[i] - below))) + before[i] * last;
      rhs[i] = last;
      below = down[i];
    }
    for (int64_t i = m - 1; i >= 0; --i) {
      ahead = rhs[i] * inverse[i] + after[i] * ahead;
      rhs[i] = ahead;
    }
    value += h * (up[mid] + down[mid - 1] + (mid < m ? jb[mid] * rhs[mid] : 0) - ja[mid - 1] * rhs[mid - 1]);
    for (int64_t i = 0; i < m; ++i)
      inc[i] += rhs[i];
    if (!isfinite(value))
      return 0;
  }
  for (int64_t i = 0; i < m; ++i)
    if (!isfinite(inc[i]))
      return 0;
  *bow = value;
  return 1;
}

static inline int mm_front_euler(const mm_front *f, double step, int count, double *inc, double *bow,
                                 double *work) {
  switch (f->kind) {
  case MM_FRONT_LINEAR:
    return mm_front_euler_as(f, MM_FRONT_LINEAR, step, count, inc, bow, work);
  case MM_FRONT_EQUAL:
    return mm_front_euler_as(f, MM_FRONT_EQUAL, step, count, inc, bow, work);
  case MM_FRONT_UNEQUAL:
    return mm_front_euler_as(f, MM_FRONT_UNEQUAL, step, count, inc, bow, work);
  default:
    return mm_front_euler_as(f, MM_FRONT_MOVING, step, count, inc, bow, work);
  }
}

/* The state a step may start from instead of a steeper one. Where a flux is e^margin times as fast as the
 * whole span is short, its node has long forgotten where it began when the span ends: e^(k z) of an
 * optimum is a sum of positive terms, one for each start, and there the neighbour's outweighs the node's
 * own. Raising the node until the flux is no faster changes nothing that is left at the end, and spares
 * the hundreds of e-folds of time in which it would climb; of quoted depths e^(-c z) is such a sum, and the
 * node is lowered. `least` and `most` bound x so; `sign` is +1 to raise, -1 to lower; lift: n doubles. */
static inline void mm_front_soften(int64_t n, const double *least, const double *most, int sign, double *lift,
                                   double *x, double *value) {
  lift[0] = 0;
  for (int64_t i = 0; i < n - 1; ++i) {
    const double excess = lift[i] + (sign > 0 ? least[i] - x[i] : x[i] - most[i]);
    lift[i + 1] = excess > 0 ? excess : 0;
  }
  for (int64_t i = n - 2; i >= 0; --i) {
    const double excess = lift[i + 1] + (sign > 0 ? x[i] - most[i] : least[i] - x[i]);
    if (excess > lift[i])
      lift[i] = excess;
  }
  for (int64_t i = 0; i < n - 1; ++i)
    x[i] += sign * (lift[i + 1] - lift[i]);
  *value += sign * lift[n / 2];
}

/* How many e-folds are enough: for the tolerance, for n nodes in a row, and for lifts of this size. */
static inline double mm_front_margin(int64_t n, double k, double tolerance, const double *x) {
  double size = 0;
  for (int64_t i = 0; i < n - 1; ++i)
    size += k * fabs(x[i]);
  return 5 - mm_log(tolerance) + mm_log((double)n) + mm_log1p(size);
}

/* One step's start for each of the two equations: `done` of the span has passed. */
typedef void (*mm_front_begin)(const void *equation, double done, const double *x, mm_front *front);

/* Advance x (n-1 doubles) and *value (z of the middle node n/2) to `span` seconds, of which *done have
 * passed, under error control: `tolerance` of k x in each step, `relative` of its change. Each step
 * integrates with 1, 2, 3, ... implicit Euler substeps that share one Jacobian, and extrapolates
 * (Aitken-Neville) until two neighbouring columns agree; the length of the next step and the column it
 * should end with are those that promise most seconds for the work (Deuflhard). The numbers of substeps
 * spread at the end: those of 1 to 10 would magnify rounding twenty times as much. */
static inline int mm_front_advance(mm_front_begin begin, const void *equation, int64_t n, double k,
                                   double span, double tolerance, double relative, double *done, double *x,
                                   double *value, double *step, double *work) {
  enum { K = MM_LATTICE_COLUMNS };
  static const int count[K] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16};
  const int64_t m = n - 1;
  double *column[K], *rest = work + K * n, *scratch = rest + 7 * n;
  double bow[K], h = *step;
  int target = K / 2, rejected = 0;
  mm_front front;
  front.n = n;
  front.k[0] = front.k[1] = 0;
  for (int j = 0; j < K; ++j)
    column[j] = work + j * n;
  for (int j = 0; j < 2; ++j) {
    front.slope[j] = rest + j * n;
    front.gain[j] = rest + (2 + j) * n;
    front.speed[j] = rest + (4 + j) * n;
  }
  front.drift = rest + 6 * n;
  for (int64_t spent = 0; *done < span && spent * n < MM_LATTICE_BLOCK;) {
    const double left = span - *done;
    if (!rejected)
      begin(equation, *done, x, &front);
    if (!isfinite(front.fastest))
      return MM_NO_CONVERGENCE;
    if (!(h > 0))
      h = 0.1 / front.fastest;
    const int last = h >= left * (1 - 1e-12);
    const double now = last ? left : h;
    int accepted = -1, best = 1;
    double next = 0.02 * now, most = 0;
    int effort = 2; /* the step's start costs about as much as two substeps */
    ++spent;
    for (int j = 0; j < K && accepted < 0; ++j) {
      spent += count[j];
      effort += count[j];
      if (!mm_front_euler(&front, now, count[j], column[j], &bow[j], scratch))
        break;
      for (int c = j - 1; c >= 0; --c) { /* column[c] becomes the entry one order higher */
        const double weight = (double)count[c] / (count[j] - count[c]); /* 1 / (n_j / n_c - 1) */
        for (int64_t i = 0; i < m; ++i)
          column[c][i] = column[c + 1][i] + weight * (column[c + 1][i] - column[c][i]);
        bow[c] = bow[c + 1] + weight * (bow[c + 1] - bow[c]);
      }
      if (j == 0)
        continue;
      double error = k * fabs(bow[0] - bow[1]) / (tolerance * (1 + k * fabs(now * front.middle + bow[0])));
      for (int64_t i = 0; i < m; ++i) {
        const double of =
            k * fabs(column[0][i] - column[1][i]) / (tolerance + relative * k * fabs(column[0][i]));
        if (!(of <= error))
          error = of;
      }
      if (!(error < 1e12))
        break; /* hopeless, or not finite */
      double factor = 0.9 * mm_pow(error + 1e-14, -1.0 / (j + 1));
      factor = factor > 6 ? 6 : factor < 0.02 ? 0.02 : factor;
      if (factor > most * effort) {
        most = factor / effort;
        best = j;
        next = factor * now;
      }
      if (j >= 2 && error <= 1)
        accepted = j;
      else if (j > target)
        break;
    }
    target = best;
    if (accepted < 0) {
      h = next < 0.7 * now ? next : 0.7 * now;
      rejected = 1;
      if (!(h * front.fastest > 1e-9)) /* far below the fastest time scale: rounding, not stiffness */
        return MM_NO_CONVERGENCE;
      continue;
    }
    for (int64_t i = 0; i < m; ++i)
      x[i] += column[0][i];
    *value += now * front.middle + bow[0];
    *done = last ? span : *done + now;
    if (best == accepted && best < K - 1) { /* one column more would allow a longer step at the same rate */
      next *= (double)(effort + count[best + 1]) / effort;
      target = best + 1;
    }
    if (rejected && next > now)
      next = now;
    rejected = 0;
    if (!last || next < now || next > h)
      h = next;
  }
  *step = h;
  return MM_OK;
}

/* The drift of every difference from the rates and the fluxes, which stand in `gain`. */
static inline void mm_front_drift(const double *rate, mm_front *f) {
  const int64_t m = f->n - 1, mid = f->n / 2;
  const double *up = f->gain[0], *down = f->gain[1];
  for (int64_t i = 0; i < m; ++i)
    f->drift[i] = (rate[i + 1] - rate[i]) + ((i + 1 < m ? up[i + 1] : 0) - up[i]) +
                  (down[i] - (i > 0 ? down[i - 1] : 0));
  f->middle = rate[mid] + (mid < m ? up[mid] : 0) + down[mid - 1];
}

static inline void mm_lattice_begin(const void *equation, double done, const double *x, mm_front *f) {
  const mm_lattice *p = (const mm_lattice *)equation;
  const double kb = p->k_bid, ka = p->k_ask, k = kb > ka ? kb : ka;
  double fastest = 0;
  (void)done;
  f->kind = kb == ka ? MM_FRONT_EQUAL : MM_FRONT_UNEQUAL;
  f->bend[0] = kb;
  f->bend[1] = ka;
  for (int64_t i = 0; i < p->n - 1; ++i) {
    const double e = mm_exp(kb * x[i]), up = p->up * e,
                 down = p->down * (kb == ka ? 1 / e : mm_exp(-ka * x[i]));
    f->gain[0][i] = up;
    f->gain[1][i] = down;
    f->slope[0][i] = kb * up;
    f->slope[1][i] = ka * down;
    const double rate = kb * up + ka * down + k * fabs(p->rate[i + 1] - p->rate[i]);
    if (!(rate <= fastest))
      fastest = rate;
  }
  f->fastest = fastest;
  mm_front_drift(p->rate, f);
}

/* Advance the optimum to `span` seconds of time left, of which *done have passed. x (n-1 doubles) and *value
 * (z of the middle node n/2) are the state at *done; *step is the suggested first step (0: find one) and
 * returns the next. `tolerance` bounds the local error of k x and, relative to its change, of k z. work:
 * MM_LATTICE_WORK(n) doubles. It returns when *done reaches the span, or after MM_LATTICE_BLOCK: then call
 * it again. */
static inline int mm_lattice_advance(const mm_lattice *p, double span, double tolerance, double *done,
                                     double *x, double *value, double *step, double *work) {
  if (!mm_lattice_valid(p) || !(span >= 0) || !isfinite(span) || !(tolerance > 0))
    return MM_INVALID;
  const double kb = p->k_bid, ka = p->k_ask, k = kb > ka ? kb : ka;
  if (*done < span) {
    double *least = work, *most = least + p->n;
    const double margin =
        mm_front_margin(p->n, k, tolerance, x) + mm_log(1 / (span - *done) + kb * p->up + ka * p->down);
    for (int64_t i = 0; i < p->n - 1; ++i) {
      most[i] = (margin - mm_log(kb * p->up)) / kb;
      least[i] = -(margin - mm_log(ka * p->down)) / ka;
    }
    mm_front_soften(p->n, least, most, 1, most + p->n, x, value);
  }
  return mm_front_advance(mm_lattice_begin, p, p->n, k, span, tolerance, 2e-14, done, x, value, step, work);
}

/* What any policy is worth: z of a market maker who quotes given depths instead of the best ones,
 *
 *   dz[i]/dtau = rate[i] + lambda_bid[i] u(bid[i] - cost_bid + z[i+1] - z[i])
 *                        + lambda_ask[i] u(ask[i] - cost_ask + z[i-1] - z[i]),
 *
 * u(y) = (1 - e^(-c y)) / c with the utility's curvature c (u(y) = y at 0), lambda = A e^(-k depth). */
typedef struct mm_quoted {
  int64_t n;                     /* nodes, >= 2 */
  const double *rate;            /* n running rewards per order, ticks/s */
  double a_bid, a_ask;           /* 1/s, > 0 */
  double k_bid, k_ask;           /* 1/tick, > 0 */
  double cost_bid, cost_ask;     /* ticks per lot */
  double curvature;              /* 1/tick, >= 0: risk aversion times order size */
  const double *bid[2], *ask[2]; /* n depths each, at the start and the end of the span, linear in
                                    between; NaN at either: absent. Ticks. */
  double span;                   /* s */
} mm_quoted;

/* The equation, and what the whole span has in common. */
typedef struct mm_quoted_run {
  const mm_quoted *quoted;
  double margin; /* e-folds that are enough for the tolerance */
  double scale;  /* logarithm of 1/s: nothing but fills is faster */
} mm_quoted_run;

/* A node that is left e^margin times as fast as anybody goes to and fro over an edge, as the span is short
 * and as rewards count is left at once: its two rates are reduced alike, which leaves where it is left to
 * as it is, and spares the overflow and the e-folds of time. So rates are logarithms at first. */
static inline void mm_quoted_begin(const void *equation, double done, const double *x, mm_front *f) {
  const mm_quoted_run *run = (const mm_quoted_run *)equation;
  const mm_quoted *p = run->quoted;
  const int64_t m = p->n - 1;
  const double c = p->curvature, at = done / p->span, log_a[2] = {mm_log(p->a_bid), mm_log(p->a_ask)};
  const double k[2] = {p->k_bid, p->k_ask}, cost[2] = {p->cost_bid, p->cost_ask};
  double scale = run->scale, fastest = 0;
  int moving = 0;
  for (int64_t i = 0; i < m; ++i) {
    double slower = (double)INFINITY, tilt = 0;
    for (int side = 0; side < 2; ++side) {
      const double from = side ? p->ask[0][i + 1] : p->bid[0][i], to = side ? p->ask[1][i + 1] : p->bid[1][i];
      const double depth = from + at * (to - from);
      const int absent = depth != depth;
      const double rate = absent ? -(double)INFINITY : log_a[side] - k[side] * depth;
      f->gain[side][i] = rate;
      f->slope[side][i] = depth - cost[side] + (side ? -x[i] : x[i]); /* what a fill gains */
      f->speed[side][i] = absent ? 0 : (to - from) / p->span;
      moving |= f->speed[side][i] != 0;
      slower = rate < slower ? rate : slower;
      tilt -= c * (depth - cost[side]); /* utility minds bad luck, so it counts losses more often */
    }
    slower += tilt > 0 ? tilt : 0;
    scale = slower > scale ? slower : scale;
  }
  const double limit = run->margin + scale;
  double below = f->gain[0][0] > limit ? f->gain[0][0] - limit : 0; /* a node's excess over the limit */
  for (int64_t i = 0; i < m; ++i) {
    double above = f->gain[1][i];
    if (i + 1 < m && f->gain[0][i + 1] > above)
      above = f->gain[0][i + 1];
    above = above > limit ? above - limit : 0;
    for (int side = 0; side < 2; ++side) {
      const double lambda = mm_exp(f->gain[side][i] - (side ? above : below)), y = f->slope[side][i];
      const double e = lambda > 0 ? mm_expm1(-c * y) : 0, gain = c > 0 ? -e / c : y;
      f->slope[side][i] = lambda * (1 + e);
      f->gain[side][i] = lambda > 0 ? lambda * gain : 0;
      const double rate =
          lambda * (1 + e) + (k[side] + c) * (fabs(f->speed[side][i]) + fabs(p->rate[i + 1] - p->rate[i]));
      if (!(rate <= fastest))
        fastest = rate;
    }
    below = above;
  }
  f->bend[0] = f->bend[1] = -c;
  f->k[0] = k[0], f->k[1] = k[1];
  f->kind = moving ? MM_FRONT_MOVING : c > 0 ? MM_FRONT_EQUAL : MM_FRONT_LINEAR;
  f->fastest = fastest;
  mm_front_drift(p->rate, f);
}

/* How far below nothing the gain of a fill at `depth` may fall before the flux is e^margin times as fast as
 * the fills or the span are, ticks: see mm_front_soften. */
static inline double mm_quoted_room(double a, double k, double c, double depth, double span, double margin) {
  const double fills = mm_log(a * span) - k * depth;
  return (margin + (fills > 0 ? mm_log1p(mm_exp(-fills)) : mm_log1p(mm_exp(fills)) - fills)) / c;
}

/* Advance the value of given depths over the span, as mm_lattice_advance does for the optimum. The tolerance
 * is of k x and relative to its change. */
static inline int mm_quoted_advance(const mm_quoted *p, double tolerance, double *done, double *x,
                                    double *value, double *step, double *work) {
  const int64_t n = p->n;
  const double c = p->curvature, k = p->k_bid > p->k_ask ? p->k_bid : p->k_ask;
  if (n < 2 || !(p->a_bid > 0 && p->a_ask > 0 && p->k_bid > 0 && p->k_ask > 0 && c >= 0) ||
      !isfinite(p->a_bid + p->a_ask + p->k_bid + p->k_ask + c + p->cost_bid + p->cost_ask) ||
      !(p->span >= 0) || !isfinite(p->span) || !(tolerance > 0))
    return MM_INVALID;
  const double left = p->span - *done;
  mm_quoted_run run = {p, 0, -mm_log(p->span)};
  if (left > 0) {
    double *least = work, *most = least + n, low = p->rate[0], high = low;
    for (int64_t i = 1; i < n; ++i) {
      low = p->rate[i] < low ? p->rate[i] : low;
      high = p->rate[i] > high ? p->rate[i] : high;
    }
    if (high > low && mm_log((k + c) * (high - low)) > run.scale)
      run.scale = mm_log((k + c) * (high - low));
    run.margin = mm_front_margin(n, k > c ? k : c, tolerance, x);
    for (int64_t i = 0; i < n - 1 && c > 0; ++i) {
      least[i] = (double)INFINITY, most[i] = -(double)INFINITY;
      for (int end = 0; end < 2; ++end) {
        const double bid = p->bid[end][i], ask = p->ask[end][i + 1];
        const double down = p->cost_bid - bid - mm_quoted_room(p->a_bid, p->k_bid, c, bid, left, run.margin);
        const double up = ask - p->cost_ask + mm_quoted_room(p->a_ask, p->k_ask, c, ask, left, run.margin);
        if (!(down >= least[i])) /* NaN: nobody trades there */
          least[i] = down == down ? down : -(double)INFINITY;
        if (!(up <= most[i]))
          most[i] = up == up ? up : (double)INFINITY;
      }
      if (!(least[i] <= most[i])) /* going to and fro is a loss whatever x is: nothing settles */
        least[i] = -(double)INFINITY, most[i] = (double)INFINITY;
    }
    if (c > 0)
      mm_front_soften(n, least, most, -1, most + n, x, value);
  }
  return mm_front_advance(mm_quoted_begin, &run, n, k, p->span, tolerance, tolerance, done, x, value, step,
                          work);
}

#ifdef __cplusplus
}
#endif

#endif
