/* mmcore/calibration.h - volatility and fill intensity over a window that moves with the market.
 *
 * Rows go in as they come (mm_rolling_quote, mm_rolling_trade). At the end of every bucket, once warm, what
 * the window tells is estimated and kept as `latest`; mm_rolling_estimate does so at any other time. Time is
 * cut into buckets of equal length, and each keeps integers that are enough for the estimates, so that the
 * window's sums are exact: what leaves takes away what it brought.
 *
 * Volatility: sigma^2 = sum of squared moves of the mid on a grid of time / (time of those moves).
 *
 * Fill intensity, for each side: orders that reach a depth d (ticks from the mid before them) come at the
 * rate A e^(-k d), and are seen from the touch on: an order that meets the half-spread h says that it reaches
 * h, and where it stopped. So time at different spreads tells k as well as the ticks that orders go beyond
 * the touch. With N orders, F of them seen to stop (the others went to the end of the range), R the sum of
 * how far each was seen to reach, and T_h the time with half-spread h,
 *
 *   k = log(1 + F / S),   S = R - N D(k),   D(k) = sum_h T_h h e^(-k h) / W(k),   W(k) = sum_h T_h e^(-k h),
 *   A = N / W(k),
 *
 * both with their bias removed to first order, as mmcore.calibrate(method="poisson") does.
 *
 * No allocation: the caller owns the ring of buckets. A copy of struct and ring is a complete undo.
 */
#ifndef MMCORE_CALIBRATION_H
#define MMCORE_CALIBRATION_H

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "math.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MM_TRADE_HIDDEN = 1 }; /* flags of a trade: against a hidden order */
#define MM_SUBTICKS 1000000   /* of a trade's price above its whole tick */

typedef struct mm_rolling_settings {
  int64_t every;   /* ns: length of a bucket, > 0 */
  int64_t buckets; /* of the window, >= 1 */
  int64_t warmup;  /* ns of data before the first estimate is made, >= 0 */
  int64_t grid;    /* ns between the mids whose moves make sigma, > 0 */
  int64_t nearest; /* half ticks from the mid, >= 1: the range of depths stands in for a nearer touch */
  int64_t deepest; /* half ticks, >= nearest + 2: so far an order is followed */
  int32_t pooled;  /* both sides have one A and k */
  int32_t reserved;
} mm_rolling_settings;

/* Columns of a bucket; ns during which depths from s half ticks on were observed stand at
 * MM_ROLLING_START + s, s = 0 .. deepest - 2. */
enum {
  MM_ROLLING_ORDERS = 0, /* bid, ask: sell and buy orders that reach the range */
  MM_ROLLING_STOPS = 2,
  MM_ROLLING_REACH = 4,   /* half ticks, summed */
  MM_ROLLING_SQUARES = 6, /* of moves, half ticks squared */
  MM_ROLLING_MOVES = 7,
  MM_ROLLING_START = 8
};
#define MM_ROLLING_WIDTH(deepest) (MM_ROLLING_START - 1 + (deepest))

/* Errors are measured between blocks of buckets: at most so many; below the fewest, orders count as
 * independent of each other. */
#define MM_ROLLING_BLOCKS 100
#define MM_ROLLING_FEWEST 50

typedef struct mm_rolling_order { /* the market order under way: trades of one stamp and side */
  int64_t stamp, mid2, touch;     /* touch: half ticks from the mid, which is the spread in ticks */
  int64_t reach;   /* farthest so far, half ticks on the lattice of quotes; INT64_MIN: from no mid */
  int32_t side;    /* 1 bought, -1 sold, 0: not known */
  int32_t begun;   /* 0: no trade was seen yet */
  int32_t counted; /* with the bucket in which it came; trades that it goes on with are not followed */
  int32_t reserved;
} mm_rolling_order;

enum { MM_IDENTIFIED_SIGMA = 1, MM_IDENTIFIED_BID = 2, MM_IDENTIFIED_ASK = 4 }; /* mm_estimate.identified */

typedef struct mm_estimate { /* ESTIMATE in NumPy */
  int64_t time;              /* ns: the window ends here */
  double sigma, sigma_error; /* ticks/sqrt(s), and its standard error */
  double A[2], k[2];         /* 1/s, 1/tick */
  double A_error[2], k_error[2];
  double covariance[2]; /* of A and k */
  double seconds;       /* with depths of the range observed */
  int64_t orders[2];
  int32_t identified; /* MM_IDENTIFIED_ bits: where a bit is missing the numbers are NaN or mean little */
  int32_t blocks;     /* of time between which the errors were measured; 0: as of independent orders */
} mm_estimate;

typedef struct mm_rolling {
  mm_rolling_settings settings;
  int64_t origin;    /* ns: the first row; INT64_MIN before it */
  int64_t now;       /* ns: time is accounted up to here */
  int64_t bucket;    /* the running one, counted from the origin */
  int64_t next_grid; /* ns */
  int64_t grid_mid2, mid2, touch;
  int64_t start;           /* half ticks: depths are observed from here on */
  int32_t grid_open, open; /* was the mid defined at the last grid point; is it now */
  mm_rolling_order order;
  int64_t crossed;   /* quotes refused */
  int64_t per_block; /* buckets */
  int64_t *total;    /* MM_ROLLING_WIDTH(deepest): of the window */
  int64_t *ring;     /* buckets times that */
  int64_t *blocks;   /* mm_rolling_blocks + 1 times that: the last is under way */
  int64_t *work;     /* that: of an estimate */
  int64_t due;       /* ns: when the next estimate is made */
  int64_t made;      /* estimates, so far */
  mm_estimate latest;
} mm_rolling;

/* Times lie from 1896 to 2116, so that their differences, and times with what settings add, are int64s. */
#define MM_ROLLING_TIME ((int64_t)1 << 62) /* ns; half of it before the epoch */
static inline int mm_rolling_timely(int64_t time) {
  return time >= -MM_ROLLING_TIME / 2 && time <= MM_ROLLING_TIME;
}

static inline int64_t mm_rolling_per_block(const mm_rolling_settings *s) {
  return (s->buckets + MM_ROLLING_BLOCKS - 1) / MM_ROLLING_BLOCKS;
}

/* Whole blocks in a window. */
static inline int64_t mm_rolling_blocks(const mm_rolling_settings *s) {
  return s->buckets / mm_rolling_per_block(s);
}

/* int64s that the caller must give: the total, the ring, the blocks, work. 0: the settings are not allowed.
 */
static inline int64_t mm_rolling_words(const mm_rolling_settings *s) {
  if (s->every <= 0 || s->buckets < 1 || s->buckets > 1 << 24 || s->grid <= 0 || s->nearest < 1 ||
      s->deepest < s->nearest + 2 || s->deepest > 1 << 20 || s->every > (INT64_MAX >> 2) / (s->buckets + 1) ||
      s->grid > INT64_MAX >> 2 || s->warmup < 0 || s->warmup > INT64_MAX >> 2)
    return 0;
  return MM_ROLLING_WIDTH(s->deepest) * (s->buckets + mm_rolling_blocks(s) + 3);
}

static inline void mm_rolling_place(mm_rolling *r, int64_t *words) {
  const int64_t width = MM_ROLLING_WIDTH(r->settings.deepest);
  r->total = words;
  r->ring = words + width;
  r->blocks = r->ring + width * r->settings.buckets;
  r->work = r->blocks + width * (mm_rolling_blocks(&r->settings) + 1);
}

static inline int mm_rolling_init(mm_rolling *r, const mm_rolling_settings *settings, int64_t *words) {
  const int64_t n = mm_rolling_words(settings);
  if (n == 0)
    return MM_INVALID;
  memset(r, 0, sizeof *r);
  memset(words, 0, (size_t)n * sizeof *words);
  r->settings = *settings;
  r->per_block = mm_rolling_per_block(settings);
  r->origin = r->now = INT64_MIN;
  mm_rolling_place(r, words);
  return MM_OK;
}

static inline int64_t *mm_rolling_row(const mm_rolling *r, int64_t bucket) {
  return r->ring + bucket % r->settings.buckets * MM_ROLLING_WIDTH(r->settings.deepest);
}

static inline int64_t *mm_rolling_block(const mm_rolling *r, int64_t block) {
  return r->blocks + block % (mm_rolling_blocks(&r->settings) + 1) * MM_ROLLING_WIDTH(r->settings.deepest);
}

static inline void mm_rolling_add(mm_rolling *r, int64_t column, int64_t amount) {
  mm_rolling_row(r, r->bucket)[column] += amount;
  mm_rolling_block(r, r->bucket / r->per_block)[column] += amount;
  r->total[column] += amount;
}

/* The smallest depth of the range, in half ticks, that is at or behind such a touch. */
static inline int64_t mm_rolling_start(const mm_rolling_settings *s, int64_t touch) {
  return touch >= s->nearest ? touch : s->nearest + ((s->nearest ^ touch) & 1);
}

/* What the order under way adds to orders, stops and reach; its side, or -1 for nothing. */
static inline int mm_rolling_counts(const mm_rolling *r, int64_t counts[3]) {
  const mm_rolling_settings *s = &r->settings;
  const mm_rolling_order *o = &r->order;
  if (o->side == 0 || o->counted || o->touch > s->deepest)
    return -1;
  const int64_t start = mm_rolling_start(s, o->touch), end = s->deepest - ((s->deepest ^ start) & 1);
  if (start > s->deepest - 2 || o->reach < start)
    return -1;
  counts[0] = 1;
  counts[1] = o->reach < end;
  counts[2] = o->reach < end ? o->reach : end;
  return o->side < 0 ? MM_BID : MM_ASK; /* sell orders fill our bid */
}

/* The order under way counts with the running bucket. */
static inline void mm_rolling_close(mm_rolling *r) {
  int64_t counts[3];
  const int side = mm_rolling_counts(r, counts);
  if (side >= 0)
    for (int i = 0; i < 3; ++i)
      mm_rolling_add(r, 2 * i + side, counts[i]);
  r->order.counted = 1;
}

/* End the running bucket; the oldest leaves the window. */
static inline void mm_rolling_turn(mm_rolling *r) {
  mm_rolling_close(r);
  int64_t *row = mm_rolling_row(r, ++r->bucket);
  const int64_t width = MM_ROLLING_WIDTH(r->settings.deepest);
  for (int64_t i = 0; i < width; ++i) {
    r->total[i] -= row[i];
    row[i] = 0;
  }
  if (r->bucket % r->per_block == 0)
    memset(mm_rolling_block(r, r->bucket / r->per_block), 0, (size_t)width * sizeof *row);
}

/* The mid at a grid point. MM_OVERFLOW: a move whose square leaves the range; it is left out. */
static inline int mm_rolling_grid(mm_rolling *r) {
  int status = MM_OK;
  if (r->open && r->grid_open) {
    const int64_t move = r->mid2 - r->grid_mid2, far = (int64_t)1 << 28;
    if (move > far || move < -far || r->total[MM_ROLLING_SQUARES] > INT64_MAX - far * far) {
      status = MM_OVERFLOW;
    } else {
      mm_rolling_add(r, MM_ROLLING_SQUARES, move * move);
      mm_rolling_add(r, MM_ROLLING_MOVES, 1);
    }
  }
  r->grid_mid2 = r->mid2;
  r->grid_open = r->open;
  r->next_grid += r->settings.grid;
  return status;
}

/* Account for the time up to `until` in the state of the last row, and for the grid points before it; at it
 * too when `settled`, that is, when no more row of this stamp can come. */
static inline int mm_rolling_advance(mm_rolling *r, int64_t until, int settled) {
  const mm_rolling_settings *s = &r->settings;
  int status = MM_OK;
  if (r->origin == INT64_MIN)
    return MM_OK;
  if (until < r->now)
    return MM_INVALID;
  if ((until - r->origin) / s->every - r->bucket > s->buckets + 1) { /* a gap longer than the window */
    const int64_t bucket = (until - r->origin) / s->every - s->buckets - 1;
    memset(r->total, 0, (size_t)mm_rolling_words(s) * sizeof *r->total); /* and all behind it */
    r->order.counted = 1;
    r->bucket = bucket;
    r->now = r->origin + bucket * s->every;
    if (r->next_grid < r->now) {
      r->next_grid += (r->now - r->next_grid) / s->grid * s->grid;
      r->grid_mid2 = r->mid2;
      r->grid_open = r->open;
    }
  }
  for (;;) {
    const int64_t end = r->origin + (r->bucket + 1) * s->every, to = until < end ? until : end;
    if (r->open && r->start <= s->deepest - 2)
      mm_rolling_add(r, MM_ROLLING_START + r->start, to - r->now);
    r->now = to;
    while (r->next_grid <= end && (r->next_grid < until || (settled && r->next_grid == until))) {
      const int done = mm_rolling_grid(r);
      status = done != MM_OK ? done : status;
    }
    if (until <= end)
      return status;
    mm_rolling_turn(r);
  }
}

/* ---- what the window tells ---- */

#define MM_ESTIMATE_LEVEL 1.959963984540054 /* standard errors of a 95 % interval */

/* 1/(after + 1) + ... + 1/(after + terms), real after > -1. */
static inline double mm_harmonic(double after, int64_t terms) {
  double sum = 0;
  for (; terms > 0 && after < 20; --terms)
    sum += 1 / (after += 1);
  if (terms > 0) { /* digamma(x + 1/2) = ln x + 1/(24 x^2) - 7/(960 x^4) + 31/(8064 x^6) - ... */
    const double low = after + 0.5, a = 1 / (low * low);
    const double high = low + (double)terms, b = 1 / (high * high);
    sum += mm_log1p((double)terms / low) + (b - a) / 24 - 7 * (b * b - a * a) / 960 +
           31 * (b * b * b - a * a * a) / 8064;
  }
  return sum;
}

/* What is known of one side, and what is due at some k. Depths in ticks beyond the nearest start. */
typedef struct mm_decay {
  const int64_t *held; /* ns by start, in half ticks beyond the nearest */
  int64_t n;           /* of them */
  double orders, ticks;
  int64_t stops;
  double seconds, centre, variance, third; /* sum of T e^(-k d), and the moments of d in it */
} mm_decay;

static inline void mm_decay_moments(mm_decay *d, double k) {
  const double q = mm_exp(-0.5 * k);
  double w = 0, first = 0, second = 0, third = 0, power = 1e-9;
  for (int64_t i = 0; i < d->n; ++i, power *= q) {
    const double here = (double)d->held[i] * power;
    w += here;
    first += here * (0.5 * (double)i);
  }
  first /= w;
  power = 1e-9;
  for (int64_t i = 0; i < d->n; ++i, power *= q) {
    const double off = 0.5 * (double)i - first, here = (double)d->held[i] * power * (off * off);
    second += here;
    third += here * off;
  }
  d->seconds = w, d->centre = first, d->variance = second / w, d->third = third / w;
}

/* Fisher information of k: from how far orders walk, and from the spreads that they come at. */
static inline double mm_decay_information(const mm_decay *d, double k) {
  return d->orders * d->variance - (double)d->stops / (mm_expm1(k) * mm_expm1(-k)); /* 4 sinh(k/2)^2 */
}

/* k less what the counts say at the spreads' due at k; 0 at the solution. */
static inline double mm_decay_excess(mm_decay *d, double k, double *slope) {
  mm_decay_moments(d, k);
  const double fall = mm_expm1(-k), coth = -(2 + fall) / fall; /* coth(k/2) */
  const double bias = d->orders * (d->third - d->variance * coth) / (2 * mm_decay_information(d, k));
  const double steps = d->ticks - d->orders * d->centre + bias, end = steps + (double)d->stops;
  if (!(steps > -1))
    return -(double)INFINITY;
  *slope = 1 + d->orders * d->variance * (1 / (steps + 0.5 > 0.5 ? steps + 0.5 : 0.5) - 1 / (end - 0.5));
  return k - mm_harmonic(steps, d->stops - 1);
}

/* Newton's steps, kept within a bracket. A handful of orders can have several solutions: always from 1, as
 * the estimator in Python. */
static inline int mm_decay_solve(mm_decay *d, double *k) {
  double low = 0, high = (double)INFINITY, at = 1, slope = 1;
  for (int i = 0; i < 300; ++i) {
    const double off = mm_decay_excess(d, at, &slope);
    if (off < 0)
      low = at;
    else
      high = at;
    double next = at - off / slope;
    if (!(next > low && next < high))
      next = high < (double)INFINITY ? 0.5 * (low + high) : 2 * at;
    if (fabs(next - at) <= 4e-16 * at || (high < (double)INFINITY && high - low <= 4e-16 * high)) {
      *k = next;
      mm_decay_moments(d, next);
      return MM_OK;
    }
    if (!(next > 1e-300 && next < 1e3))
      break;
    at = next;
  }
  return MM_NO_CONVERGENCE;
}

/* How orders and their scores differ between blocks of time from what the spreads in them let expect, as
 * covariance of (ln orders, k) in out[0], out[2] with out[1] between them. `first` is the nearest start. */
static inline void mm_rolling_clusters(const mm_rolling *r, int side, int sides, int64_t first, double k,
                                       const mm_decay *d, int64_t newest, int64_t n, double out[3]) {
  const double q = mm_exp(-0.5 * k), stop = 1 / mm_expm1(k);
  double orders = 0, weight = 0, mean[2] = {0, 0}, square[3] = {0, 0, 0};
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t b = 0; b < n; ++b) {
      const int64_t *row = mm_rolling_block(r, newest - b);
      double came = 0, stops = 0, reach = 0, w = 0, moved = 0, power = 1e-9 * sides;
      for (int i = 0; i < sides; ++i) {
        came += (double)row[MM_ROLLING_ORDERS + side + i];
        stops += (double)row[MM_ROLLING_STOPS + side + i];
        reach += 0.5 * (double)row[MM_ROLLING_REACH + side + i];
      }
      for (int64_t i = 0; i < d->n; ++i, power *= q) {
        const double here = (double)row[MM_ROLLING_START + first + i] * power;
        w += here;
        moved += here * (0.5 * (double)i - d->centre);
      }
      if (pass == 0) {
        orders += came;
        weight += w;
        continue;
      }
      const double lever = 0.5 * (double)first + d->centre;
      const double x = came / orders - w / weight;
      const double y = (orders * moved / weight + stops * stop - reach + lever * came) / orders;
      mean[0] += x, mean[1] += y;
      square[0] += x * x, square[1] += x * y, square[2] += y * y;
    }
    if (!(orders > 0 && weight > 0)) {
      out[0] = out[1] = out[2] = (double)NAN;
      return;
    }
  }
  const double by = (double)n / (double)(n - 1), share = 1 / (double)n;
  /* y per order: k moves by orders / information for each */
  const double per = d->orders / mm_decay_information(d, k);
  out[0] = by * (square[0] - mean[0] * mean[0] * share);
  out[1] = by * (square[1] - mean[0] * mean[1] * share) * per;
  out[2] = by * (square[2] - mean[1] * mean[1] * share) * per * per;
}

/* One side, or with `sides` 2 both pooled, from the window's sums: of nothing else, so that no history shows.
 */
static inline void mm_rolling_side(const mm_rolling *r, int side, int sides, const int64_t *sum,
                                   int64_t newest, int64_t n, mm_estimate *e) {
  const mm_rolling_settings *s = &r->settings;
  const double none = (double)NAN;
  int64_t orders = 0, stops = 0, reach = 0, first = 0, last = s->deepest - 2;
  double k, clusters[3];
  for (int i = 0; i < sides; ++i) {
    orders += sum[MM_ROLLING_ORDERS + side + i];
    stops += sum[MM_ROLLING_STOPS + side + i];
    reach += sum[MM_ROLLING_REACH + side + i];
  }
  e->orders[side] = orders;
  e->A[side] = e->k[side] = e->A_error[side] = e->k_error[side] = e->covariance[side] = none;
  while (first <= last && sum[MM_ROLLING_START + first] <= 0)
    ++first;
  while (last >= first && sum[MM_ROLLING_START + last] <= 0)
    --last;
  if (stops < 2 || first > last || reach <= orders * first)
    return;
  mm_decay d;
  memset(&d, 0, sizeof d);
  d.held = sum + MM_ROLLING_START + first;
  d.n = last - first + 1;
  d.orders = (double)orders;
  d.stops = stops;
  d.ticks = 0.5 * (double)(reach - orders * first);
  if (mm_decay_solve(&d, &k) != MM_OK)
    return;
  const double lever = 0.5 * (double)first + d.centre, variance = 1 / mm_decay_information(&d, k);
  double of_n = 1 / d.orders, both = 0, of_k = variance;
  if (n) {
    mm_rolling_clusters(r, side, sides, first, k, &d, newest, n, clusters);
    of_n = clusters[0], both = clusters[1], of_k = clusters[2];
  }
  /* ln A = ln(orders / W): it moves by `lever` with k. E exp(lever k) / W(k) exceeds its value at E k by the
   * last term. */
  const double of_a = of_n + 2 * lever * both + lever * lever * of_k;
  const double a = mm_exp(mm_log(d.orders / (d.seconds * sides)) + 0.5 * (double)first * k -
                          0.5 * (lever * lever - d.variance) * variance);
  e->A[side] = a;
  e->k[side] = k;
  e->A_error[side] = a * sqrt(of_a > 0 ? of_a : 0);
  e->k_error[side] = sqrt(of_k);
  e->covariance[side] = a * (both + lever * of_k);
  if (a > 0 && a - a == 0 && k - MM_ESTIMATE_LEVEL * e->k_error[side] > 0 &&
      k * 0.5 * (double)s->deepest >= 1)
    e->identified |= side == MM_BID ? MM_IDENTIFIED_BID : MM_IDENTIFIED_ASK;
}

static inline void mm_rolling_volatility(const mm_rolling *r, const int64_t *sum, int64_t newest, int64_t n,
                                         mm_estimate *e) {
  const double squares = (double)sum[MM_ROLLING_SQUARES], moves = (double)sum[MM_ROLLING_MOVES];
  e->sigma = e->sigma_error = (double)NAN;
  if (!(moves > 0))
    return;
  e->sigma = sqrt(squares / 4 / (moves * (double)r->settings.grid * 1e-9));
  if (!(squares > 0))
    return;
  double variance = 2 / moves; /* of sigma squared, relative: a normal law's, and never below */
  if (n) {
    double got = 0, count = 0;
    for (int64_t b = 0; b < n; ++b) {
      got += (double)mm_rolling_block(r, newest - b)[MM_ROLLING_SQUARES];
      count += (double)mm_rolling_block(r, newest - b)[MM_ROLLING_MOVES];
    }
    /* Volatility that stays for long shows the more the longer the blocks: the largest error counts. */
    for (int64_t group = 1; group <= 4 && got > 0; group *= 2) {
      double between = 0, off = 0;
      for (int64_t b = 0; b < n; ++b) {
        const int64_t *row = mm_rolling_block(r, newest - b);
        off += (double)row[MM_ROLLING_SQUARES] / got - (double)row[MM_ROLLING_MOVES] / count;
        if ((b + 1) % group == 0 || b + 1 == n)
          between += off * off, off = 0;
      }
      const double blocks = (double)((n + group - 1) / group);
      between *= blocks / (blocks - 1);
      variance = between > variance ? between : variance;
    }
  }
  e->sigma_error = 0.5 * e->sigma * sqrt(variance);
  e->identified |= MM_IDENTIFIED_SIGMA;
}

/* Estimates from the window that ends at `time`, all rows up to which have gone in. MM_INVALID: time has
 * passed already. */
static inline int mm_rolling_measure(mm_rolling *r, int64_t time, mm_estimate *e) {
  const mm_rolling_settings *s = &r->settings;
  const int64_t width = MM_ROLLING_WIDTH(s->deepest);
  int64_t counts[3], *work = r->work;
  const int status = mm_rolling_advance(r, time, 1);
  memset(e, 0, sizeof *e);
  if (status == MM_INVALID)
    return status;
  memcpy(work, r->total, (size_t)width * sizeof *work);
  const int under_way = mm_rolling_counts(r, counts);
  if (under_way >= 0)
    for (int i = 0; i < 3; ++i)
      work[2 * i + under_way] += counts[i];
  /* whole blocks, up to the one that ends now */
  const int64_t past = r->origin == INT64_MIN ? 0 : (time - r->origin) / s->every / r->per_block;
  int64_t n = past < mm_rolling_blocks(s) ? past : mm_rolling_blocks(s);
  if (n < MM_ROLLING_FEWEST)
    n = 0;
  e->time = time;
  e->blocks = (int32_t)n;
  for (int64_t h = 0; h <= s->deepest - 2; ++h)
    e->seconds += (double)work[MM_ROLLING_START + h] * 1e-9;
  mm_rolling_volatility(r, work, past - 1, n, e);
  if (s->pooled) {
    mm_rolling_side(r, MM_BID, 2, work, past - 1, n, e);
    e->A[1] = e->A[0], e->k[1] = e->k[0], e->orders[1] = e->orders[0];
    e->A_error[1] = e->A_error[0], e->k_error[1] = e->k_error[0], e->covariance[1] = e->covariance[0];
    e->identified |= e->identified & MM_IDENTIFIED_BID ? MM_IDENTIFIED_ASK : 0;
  } else {
    mm_rolling_side(r, MM_BID, 1, work, past - 1, n, e);
    mm_rolling_side(r, MM_ASK, 1, work, past - 1, n, e);
  }
  return MM_OK;
}

/* Make the estimates that were due until `time`, all rows up to which have gone in; of those that a silence
 * longer than the window skipped over, the last. */
static inline void mm_rolling_make(mm_rolling *r, int64_t time) {
  const mm_rolling_settings *s = &r->settings;
  if (r->origin == INT64_MIN || r->due > time)
    return;
  if ((time - r->due) / s->every > s->buckets)
    r->due += (time - r->due) / s->every * s->every;
  for (; r->due <= time; r->due += s->every)
    r->made += mm_rolling_measure(r, r->due, &r->latest) == MM_OK;
}

/* What the window that ends at `time` tells, all rows up to which have gone in. MM_INVALID: time has passed
 * already, or is out of range. */
static inline int mm_rolling_estimate(mm_rolling *r, int64_t time, mm_estimate *e) {
  if (!mm_rolling_timely(time)) {
    memset(e, 0, sizeof *e);
    return MM_INVALID;
  }
  mm_rolling_make(r, time);
  return mm_rolling_measure(r, time, e);
}

/* ---- rows ---- */

static inline void mm_rolling_begin(mm_rolling *r, int64_t time) {
  const int64_t every = r->settings.every;
  if (r->origin != INT64_MIN)
    return;
  r->origin = r->now = r->next_grid = time;
  r->due = time + (r->settings.warmup + every - 1) / every * every;
  r->due += r->due == time ? every : 0;
}

/* A quote: the touch in ticks, MM_NO_BID and MM_NO_ASK where absent. `time` never falls, and is in range:
 * MM_INVALID. A crossed quote is refused and counted, and the last good one stays. */
static inline int mm_rolling_quote(mm_rolling *r, int64_t time, int64_t bid, int64_t ask) {
  const int64_t limit = (int64_t)1 << 60;
  if (!mm_rolling_timely(time))
    return MM_INVALID;
  mm_rolling_begin(r, time);
  mm_rolling_make(r, time - 1);
  const int status = mm_rolling_advance(r, time, 0);
  if (status == MM_INVALID)
    return status;
  if (bid > ask) {
    r->crossed++;
    return status;
  }
  r->open = bid > -limit && ask < limit && bid < limit && ask > -limit;
  r->mid2 = r->open ? bid + ask : 0;
  r->touch = r->open ? ask - bid : 0;
  r->start = mm_rolling_start(&r->settings, r->touch);
  return status;
}

/* A trade at `price` ticks and `subtick` millionths; side 1 bought, -1 sold, 0 not known. Trades of one
 * exchange stamp and side are one market order; quotes between them are not looked at. */
static inline int mm_rolling_trade(mm_rolling *r, int64_t stamp, int64_t time, int64_t price, int32_t subtick,
                                   int32_t side, uint8_t flags) {
  const int64_t far = (int64_t)1 << 40, limit = (int64_t)1 << 60;
  mm_rolling_order *o = &r->order;
  if (!mm_rolling_timely(time))
    return MM_INVALID;
  if (r->origin == INT64_MIN)
    return MM_OK; /* nothing is known of the market yet */
  mm_rolling_make(r, time - 1);
  const int status = mm_rolling_advance(r, time, 0);
  if (status == MM_INVALID || (flags & MM_TRADE_HIDDEN))
    return status;
  if (!o->begun || o->stamp != stamp || o->side != side) {
    mm_rolling_close(r);
    o->begun = 1;
    o->counted = 0;
    o->stamp = stamp;
    o->side = side;
    o->mid2 = r->mid2;
    o->touch = r->open ? r->touch : INT64_MAX;
    o->reach = INT64_MIN;
  }
  const int64_t away = price > -limit && price < limit ? 2 * price - o->mid2 : far;
  if (o->touch != INT64_MAX && side != 0 && away < far && away > -far) {
    const int64_t reach = side * (away * MM_SUBTICKS + 2 * (int64_t)subtick);
    int64_t depth = reach / MM_SUBTICKS - (reach % MM_SUBTICKS < 0);
    depth -= (depth ^ o->touch) & 1; /* down to where a quote can stand */
    o->reach = depth > o->reach ? depth : o->reach;
  }
  return status;
}

/* Is all that a quote needs identified? */
static inline int mm_estimate_whole(const mm_estimate *e) {
  return e->identified == (MM_IDENTIFIED_SIGMA | MM_IDENTIFIED_BID | MM_IDENTIFIED_ASK);
}

/* ---- as bytes ---- */

#define MM_ROLLING_MAGIC 0x52434d4du /* "MMCR" as little-endian bytes */

/* A saved window: this header, then the int64s of total, ring and blocks. */
typedef struct mm_rolling_saved {
  uint32_t magic, abi;
  uint64_t bytes, checksum; /* of the whole block; mm_checksum of what follows */
  mm_rolling rolling;       /* its pointers are NULL */
} mm_rolling_saved;

/* int64s that are saved: all but the work memory. */
static inline int64_t mm_rolling_counted(const mm_rolling_settings *s) {
  return mm_rolling_words(s) - MM_ROLLING_WIDTH(s->deepest);
}

static inline uint64_t mm_rolling_bytes(const mm_rolling_settings *s) {
  return sizeof(mm_rolling_saved) + (uint64_t)mm_rolling_counted(s) * sizeof(int64_t);
}

static inline uint64_t mm_rolling_checksum(const mm_rolling_saved *block, uint64_t bytes) {
  const uint64_t from = offsetof(mm_rolling_saved, rolling);
  return mm_checksum(MM_CHECKSUM_START, (const unsigned char *)block + from, bytes - from);
}

/* Write mm_rolling_bytes(&r->settings) bytes; `block` is aligned to 8. */
static inline void mm_rolling_save(const mm_rolling *r, mm_rolling_saved *block) {
  mm_rolling *saved = &block->rolling;
  memset(block, 0, sizeof *block);
  block->magic = MM_ROLLING_MAGIC;
  block->abi = MMCORE_ABI_VERSION;
  block->bytes = mm_rolling_bytes(&r->settings);
  *saved = *r;
  saved->total = saved->ring = saved->blocks = saved->work = NULL;
  memcpy(block + 1, r->total, (size_t)mm_rolling_counted(&r->settings) * sizeof *r->total);
  block->checksum = mm_rolling_checksum(block, block->bytes);
}

static inline int mm_rolling_within(int64_t value, int64_t limit) {
  return value <= limit && value >= -limit;
}

static inline int mm_rolling_flag(int32_t value) {
  return value == 0 || value == 1;
}

/* Are the counts of the buckets those of the window, and within what sums can hold? */
static inline int mm_rolling_counts_sound(const mm_rolling *r) {
  const int64_t width = MM_ROLLING_WIDTH(r->settings.deepest), most = INT64_MAX >> 1;
  const int64_t *running = mm_rolling_block(r, r->bucket / r->per_block);
  const int64_t n = mm_rolling_counted(&r->settings);
  for (int64_t i = 0; i < n; ++i)
    if (r->total[i] < 0 || (r->total[i] > most && i % width != MM_ROLLING_SQUARES))
      return 0;
  for (int64_t i = 0; i < width; ++i) {
    int64_t left = r->total[i];
    for (int64_t b = 0; b < r->settings.buckets; ++b) {
      if (r->ring[b * width + i] > left)
        return 0;
      left -= r->ring[b * width + i];
    }
    if (left != 0 || running[i] > r->total[i])
      return 0;
  }
  return 1;
}

/* Is it a state that rows lead to, as far as it can be told? Nothing that passes makes the functions here
 * leave their memory or the range of their integers. */
static inline int mm_rolling_sound(const mm_rolling *r) {
  const mm_rolling_settings *s = &r->settings;
  const mm_rolling_order *o = &r->order;
  const int64_t price = (int64_t)1 << 61;
  if (r->per_block != mm_rolling_per_block(s) || !mm_rolling_flag(s->pooled) || r->crossed < 0 ||
      r->made < 0 || r->bucket < 0 || !mm_rolling_flag(r->open) || !mm_rolling_flag(r->grid_open) ||
      !mm_rolling_within(r->mid2, price) || !mm_rolling_within(r->grid_mid2, price) || r->touch < 0 ||
      r->touch > price || (r->open ? r->start != mm_rolling_start(s, r->touch) : r->touch != 0))
    return 0;
  if (!mm_rolling_flag(o->begun) || !mm_rolling_flag(o->counted) || !mm_rolling_within(o->side, o->begun) ||
      !mm_rolling_within(o->mid2, price) || o->touch < 0 || (o->touch > price && o->touch != INT64_MAX) ||
      (o->reach != INT64_MIN && !mm_rolling_within(o->reach, (int64_t)1 << 42)))
    return 0;
  if (r->origin == INT64_MIN) {
    if (r->now != INT64_MIN || r->bucket != 0 || r->open || o->begun)
      return 0;
  } else if (!mm_rolling_timely(r->origin) || r->now < r->origin || !mm_rolling_timely(r->now) ||
             r->bucket > (r->now - r->origin) / s->every || r->bucket < (r->now - r->origin - 1) / s->every ||
             r->next_grid < r->now || r->next_grid - r->now > s->grid || r->due < r->now ||
             r->due - r->now > s->warmup + 2 * s->every || (r->due - r->origin) % s->every != 0) {
    return 0;
  }
  return mm_rolling_counts_sound(r);
}

/* Is a block of `bytes` bytes, aligned to 8, one that mm_rolling_save wrote? */
static inline int mm_rolling_saved_check(mm_rolling_saved *block, uint64_t bytes) {
  if (bytes < sizeof *block || block->magic != MM_ROLLING_MAGIC || block->abi != MMCORE_ABI_VERSION ||
      block->bytes != bytes || block->checksum != mm_rolling_checksum(block, bytes) ||
      mm_rolling_words(&block->rolling.settings) == 0 || bytes != mm_rolling_bytes(&block->rolling.settings))
    return MM_CORRUPT;
  mm_rolling r = block->rolling;
  if (r.total || r.ring || r.blocks || r.work)
    return MM_CORRUPT;
  mm_rolling_place(&r, (int64_t *)(void *)(block + 1));
  return mm_rolling_sound(&r) ? MM_OK : MM_CORRUPT;
}

/* Resume from a checked block; `words` holds mm_rolling_words(&block->rolling.settings) int64s. */
static inline void mm_rolling_load(const mm_rolling_saved *block, mm_rolling *r, int64_t *words) {
  *r = block->rolling;
  memcpy(words, block + 1, (size_t)mm_rolling_counted(&r->settings) * sizeof *words);
  mm_rolling_place(r, words);
}

#ifdef __cplusplus
}
#endif

#endif
