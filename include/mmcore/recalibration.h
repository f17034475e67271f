/* mmcore/recalibration.h - from parameters to a policy, on the hot path.
 *
 * The exact models with exponential fill intensities are one lattice equation (lattice.h): with q the
 * inventory in lots, D the order size, c the static half-spread and s the cost of a fill (ticks per lot),
 *
 *   rate(q) = (drift q - penalty q^2) / D,     up = A C / k e^(-k s) of the bid, down of the ask,
 *   depth_bid[i] = c + s - x[i],               depth_ask[i] = c + s + x[i-1],
 *   c = log1p(y) / (xi D),  C = (1 + y)^-(1 + 1/y),  y = xi D / k;  at xi = 0: 1/k and 1/e.
 *
 * xi is the curvature of the utility of one fill. The Python models use these functions;
 * tests/native holds both equal. Closed forms compile into an affine policy by the same entry.
 *
 *   mm_recalibrate   parameters -> a block that exists, in place: no allocation, O(q_max / D). With a
 *                    finite horizon, the row with so much time left: it is in force, whatever time_left a
 *                    quote asks for, until the next. It is advanced from the end in steps of time, some
 *                    hundreds as a rule, and a hundred times as long as without a horizon
 *   mm_live_set      the same into the spare of two blocks, then published in one store
 *   mm_live_quote    a quote from the block in force, while another thread may publish
 *
 * A value that is refused leaves the block as it was.
 */
#ifndef MMCORE_RECALIBRATION_H
#define MMCORE_RECALIBRATION_H

#include <math.h>
#include <string.h>

#include "lattice.h"
#include "math.h"
#include "policy.h"
#include "quoting.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  MM_MODEL_EXACT = 1,             /* Gueant, Lehalle and Fernandez-Tapia: a row of a table */
  MM_MODEL_CARTEA_JAIMUNGAL = 2,  /* likewise */
  MM_MODEL_CLOSED_FORM = 3,       /* of the first: affine */
  MM_MODEL_AVELLANEDA_STOIKOV = 4 /* finite horizon: affine in inventory and time */
};
enum { MM_EXPONENTIAL = 0, MM_MEAN_VARIANCE = 1 };

typedef struct mm_parameters { /* fields that a model does not know are not read */
  uint32_t bytes;              /* sizeof(mm_parameters); it only grows at the end */
  int32_t model;
  int32_t objective; /* MM_EXPONENTIAL, MM_MEAN_VARIANCE */
  int32_t reserved;
  double sigma;                /* ticks/sqrt(s), >= 0 */
  double A[2];                 /* 1/s, > 0 */
  double k[2];                 /* 1/tick, > 0 */
  double gamma;                /* 1/(tick lot), >= 0 */
  double q_max, order_size;    /* lots; q_max +inf where the policy is affine and has no bound */
  double fee[2];               /* ticks per lot */
  double drift;                /* ticks/s */
  double impact;               /* ticks, >= 0 */
  double running_penalty;      /* ticks/(lot s), >= 0 */
  double adverse_selection[2]; /* ticks */
  double horizon;              /* s. Tables, >= 0: time left of the row, inf: stationary. A-S, > 0 */
  double terminal_penalty;     /* ticks/lot, >= 0 */
} mm_parameters;

static inline void mm_parameters_init(mm_parameters *p, int32_t model) {
  memset(p, 0, sizeof *p);
  p->bytes = (uint32_t)sizeof *p;
  p->model = model;
  p->q_max = p->order_size = 1;
  p->horizon = (double)INFINITY;
}

/* log1p(y) / y and (1 + 1/y) log1p(y) for y = curvature / k, in two doubles each: in one, the second would
 * lose twenty units in the last place of e^-it, and what is made of both five. At 0: 1 and 1. */
typedef struct mm_aversion {
  mm_pair share, power;
} mm_aversion;

static inline mm_aversion mm_aversion_at(mm_pair y, mm_pair log) {
  mm_aversion of = {{1, 0}, {1, 0}};
  if (y.hi != 0) {
    of.share = mm_quotient(log, y);
    of.power = mm_sum(of.share, log);
  }
  return of;
}

static inline mm_aversion mm_aversion_of(double curvature, double k) {
  const mm_pair risk = {curvature, 0}, decay = {k, 0}, y = mm_quotient(risk, decay);
  return mm_aversion_at(y, mm_log1p_pair(y));
}

static inline mm_aversion mm_aversion_fine(mm_pair y) {
  return mm_aversion_at(y, mm_log1p_fine(y, 0));
}

/* Half-spread of a market maker who does not mind inventory, ticks: log1p(y) / curvature. */
static inline double mm_static_half_spread(double curvature, double k) {
  const mm_pair decay = {k, 0};
  return mm_quotient(mm_aversion_of(curvature, k).share, decay).hi;
}

/* The constant C of the Hamiltonian A C e^(-k s) / k. */
static inline double mm_fill_constant(double curvature, double k) {
  const mm_pair power = mm_aversion_of(curvature, k).power;
  return mm_exp_of(-power.hi, -power.lo);
}

/* What one side is worth: c + s, and the Hamiltonian's factor. */
typedef struct mm_sides {
  double cost[2];    /* ticks */
  double depth[2];   /* ticks */
  mm_pair rate[2];   /* 1/s: k times the factor, A C e^(-k s) */
  mm_pair factor[2]; /* ticks/s */
} mm_sides;

/* Both constants share their logarithm, and the costs their exponential. */
static inline void mm_side_pair(double curvature, double k, double a, double cost, double *depth,
                                mm_pair *rate) {
  const mm_aversion of = mm_aversion_of(curvature, k);
  const mm_pair power = mm_sum(of.power, mm_product(k, cost)), decay = {k, 0}, more = {cost, 0}, per = {a, 0};
  *depth = mm_sum(mm_quotient(of.share, decay), more).hi;
  if (MM_LIKELY(fabs(power.hi) < 700))
    *rate = mm_times(mm_exp_pair(mm_minus(power)), per);
  else /* a single double, or none: what was lost may itself be beyond all exponents */
    rate->hi = mm_exp(-power.hi) * a, rate->lo = 0;
}

static inline void mm_side_of(double curvature, double k, double a, double cost, double *depth,
                              double *rate) {
  mm_pair of;
  mm_side_pair(curvature, k, a, cost, depth, &of);
  *rate = of.hi;
}

/* log C of a k less that of another. Of k that are near each other it is made of what they differ by: with
 * the larger k, t = other / k - 1 and w = curvature / (other + curvature) it is t (share - log1p(t w) / (t
 * w)). */
static inline mm_pair mm_fill_lean(mm_pair curvature, double k, double other) {
  if (k < other)
    return mm_minus(mm_fill_lean(curvature, other, k));
  const mm_pair decay = {k, 0}, slower = {other, 0}, none = {0, 0}, y = mm_quotient(curvature, decay);
  if (k == other || !(curvature.hi > 1e-20 * other)) /* both nearly 1/e */
    return none;
  const mm_aversion of = mm_aversion_fine(y);
  if (other < 0.5 * k)
    return mm_sum(mm_aversion_fine(mm_quotient(curvature, slower)).power, mm_minus(of.power));
  const mm_pair t = mm_quotient(mm_added(other, -k), decay);
  const mm_pair w = mm_quotient(curvature, mm_sum(slower, curvature));
  return mm_times(t, mm_sum(of.share, mm_minus(mm_aversion_fine(mm_times(t, w)).share)));
}

/* Logarithm of the ask's rate over the bid's, to the last digits of what the sides differ in: where they
 * hardly do, it decides the depths of many nodes. */
static inline mm_pair mm_sides_lean(const mm_parameters *p, const mm_sides *sides) {
  const double kb = p->k[MM_BID], ka = p->k[MM_ASK], *cost = sides->cost;
  const int risk = p->model != MM_MODEL_CARTEA_JAIMUNGAL && p->objective == MM_EXPONENTIAL;
  mm_pair lean = {0, 0};
  if (p->A[MM_ASK] != p->A[MM_BID])
    lean = mm_log_ratio(p->A[MM_ASK], p->A[MM_BID]);
  if (ka != kb && risk)
    lean = mm_sum(lean, mm_fill_lean(mm_product(p->gamma, p->order_size), ka, kb));
  if (ka != kb || cost[MM_ASK] != cost[MM_BID])
    lean = mm_sum(lean, mm_sum(mm_product(kb, cost[MM_BID]), mm_product(-ka, cost[MM_ASK])));
  return lean;
}

static inline int mm_is_table(int32_t model) {
  return model == MM_MODEL_EXACT || model == MM_MODEL_CARTEA_JAIMUNGAL;
}

/* MM_OK, or MM_INVALID (MM_UNSUPPORTED: no such model, or "bytes" of an older version) with the name of the
 * first wrong parameter. `wrong` is always written to: it may not be NULL, here and below. */
static inline int mm_parameters_check(const mm_parameters *p, const char **wrong) {
  const int32_t model = p->model;
  const int table = mm_is_table(model), inventory = model != MM_MODEL_CARTEA_JAIMUNGAL;
  const int arrivals = model != MM_MODEL_AVELLANEDA_STOIKOV;
  *wrong = "bytes";
  if (p->bytes < sizeof *p)
    return MM_UNSUPPORTED;
  *wrong = "model";
  if (model < MM_MODEL_EXACT || model > MM_MODEL_AVELLANEDA_STOIKOV)
    return MM_UNSUPPORTED;
  *wrong = "order_size";
  if (!mm_is_lots(p->order_size))
    return MM_INVALID;
  *wrong = "q_max";
  if (table || MM_FINITE(p->q_max)) {
    const double steps = p->q_max / p->order_size;
    if (!(steps >= 1 && steps <= (double)(INT32_MAX / 2 - 1) && p->q_max <= MM_POLICY_LIMIT) ||
        steps != floor(steps))
      return MM_INVALID;
  } else if (!(p->q_max > 0))
    return MM_INVALID;
  for (int side = 0; side < 2; ++side) {
    *wrong = "A";
    if (arrivals && !(p->A[side] > 0 && MM_FINITE(p->A[side])))
      return MM_INVALID;
    *wrong = "k";
    if (!(p->k[side] > 0 && MM_FINITE(p->k[side])))
      return MM_INVALID;
    *wrong = "fee";
    if (arrivals && !MM_FINITE(p->fee[side]))
      return MM_INVALID;
    *wrong = "adverse_selection";
    if (!inventory && !MM_FINITE(p->adverse_selection[side]))
      return MM_INVALID;
  }
  *wrong = "sigma";
  if (inventory && !(p->sigma >= 0 && MM_FINITE(p->sigma)))
    return MM_INVALID;
  *wrong = "gamma";
  if (inventory && !(p->gamma >= 0 && MM_FINITE(p->gamma)))
    return MM_INVALID;
  *wrong = "drift";
  if (arrivals && !MM_FINITE(p->drift))
    return MM_INVALID;
  if (model == MM_MODEL_CLOSED_FORM && p->drift != 0 && p->gamma * p->sigma == 0)
    return MM_INVALID; /* it would be held without bound */
  *wrong = "impact";
  if (inventory && arrivals && !(p->impact >= 0 && MM_FINITE(p->impact)))
    return MM_INVALID;
  *wrong = "objective";
  if (inventory && arrivals && p->objective != MM_EXPONENTIAL && p->objective != MM_MEAN_VARIANCE)
    return MM_INVALID;
  *wrong = "running_penalty";
  if (!inventory && !(p->running_penalty >= 0 && MM_FINITE(p->running_penalty)))
    return MM_INVALID;
  *wrong = "terminal_penalty";
  if (!inventory && !(p->terminal_penalty >= 0 && MM_FINITE(p->terminal_penalty)))
    return MM_INVALID;
  *wrong = "horizon";
  if (!(p->horizon > 0) && !(table && p->horizon == 0))
    return MM_INVALID;
  *wrong = NULL;
  return MM_OK;
}

/* Both sides of checked parameters. MM_INVALID: a cost out of proportion to 1/k, or another number that is
 * out of proportion, leaves the range of floating point. */
static inline int mm_sides_of(const mm_parameters *p, mm_sides *out, const char **wrong) {
  const int inventory = p->model != MM_MODEL_CARTEA_JAIMUNGAL;
  const double curvature = inventory && p->objective == MM_EXPONENTIAL ? p->gamma * p->order_size : 0;
  for (int side = 0; side < 2; ++side) {
    const double own = inventory ? 0.5 * p->impact : p->adverse_selection[side];
    const double cost = p->model == MM_MODEL_AVELLANEDA_STOIKOV ? 0 : p->fee[side] + own;
    out->cost[side] = cost;
    const double a = p->model == MM_MODEL_AVELLANEDA_STOIKOV ? 1 : p->A[side];
    if (side == MM_ASK && p->k[0] == p->k[1] && p->A[0] == p->A[1] && p->fee[0] == p->fee[1] &&
        (inventory || p->adverse_selection[0] == p->adverse_selection[1])) {
      out->depth[MM_ASK] = out->depth[MM_BID];
      out->rate[MM_ASK] = out->rate[MM_BID];
      out->factor[MM_ASK] = out->factor[MM_BID];
      return MM_OK;
    }
    const mm_pair decay = {p->k[side], 0};
    mm_side_pair(curvature, p->k[side], a, cost, &out->depth[side], &out->rate[side]);
    out->factor[side] = mm_quotient(out->rate[side], decay);
    if (fabs(cost) * p->k[side] > 100)
      *wrong = fabs(own) > fabs(p->fee[side]) ? (inventory ? "impact" : "adverse_selection") : "fee";
    else
      *wrong = curvature > 1e100 ? "gamma" : a > 1e100 || a < 1e-100 ? "A" : "k";
    if (!(out->factor[side].hi > 1e-290 && out->factor[side].hi <= MM_LARGEST && MM_FINITE(out->depth[side])))
      return MM_INVALID;
  }
  *wrong = NULL;
  return MM_OK;
}

/* The running reward per order is (lean q - bend q^2) / order_size, ticks/s. */
static inline void mm_reward_of(const mm_parameters *p, mm_pair *lean, mm_pair *bend) {
  const mm_pair drift = {p->drift, 0}, penalty = {p->running_penalty, 0}, risk = {0.5 * p->gamma, 0};
  if (p->model == MM_MODEL_CARTEA_JAIMUNGAL) {
    const mm_pair rise = mm_product(p->adverse_selection[MM_ASK], p->A[MM_ASK]);
    *lean = mm_sum(mm_sum(drift, rise), mm_product(-p->adverse_selection[MM_BID], p->A[MM_BID]));
    *bend = penalty;
  } else {
    *lean = drift;
    *bend = mm_times(risk, mm_product(p->sigma, p->sigma));
  }
}

/* Nodes of the lattice of a model that is a table. */
static inline int64_t mm_nodes_of(const mm_parameters *p) {
  return 2 * (int64_t)(p->q_max / p->order_size) + 1;
}

/* The lattice equation of a table's parameters. Its rewards go to `rate` and what they lost to `rate_lo`
 * (mm_nodes_of doubles each), what else it lost to `start`, which is for the stationary solution. */
static inline int mm_problem_of(const mm_parameters *p, double *rate, double *rate_lo, mm_lattice *lattice,
                                mm_lattice_start *start, mm_sides *sides, const char **wrong) {
  const int64_t n = mm_nodes_of(p), half = n / 2;
  const double size = p->order_size;
  mm_pair lean, bend;
  const int status = mm_sides_of(p, sides, wrong);
  if (status != MM_OK)
    return status;
  mm_reward_of(p, &lean, &bend);
  if (MM_FINITE(bend.hi * p->q_max * p->q_max))
    *wrong = "drift";
  else
    *wrong = p->model == MM_MODEL_CARTEA_JAIMUNGAL ? "running_penalty"
             : MM_FINITE(p->sigma * p->sigma)      ? "gamma"
                                                   : "sigma";
  for (int64_t i = 0; i <= half; ++i) { /* orders held: q^2 / size = held * (held * size) */
    const double held = (double)(int32_t)i;
    const mm_pair square = mm_product(held, held * size), cost = mm_product(-bend.hi, square.hi);
    rate[half + i] = cost.hi;
    rate_lo[half + i] = cost.lo - (bend.lo * square.hi + bend.hi * square.lo);
  }
  for (int64_t i = 0; i <= half; ++i) {
    rate[half - i] = rate[half + i];
    rate_lo[half - i] = rate_lo[half + i];
  }
  if (lean.hi != 0)
    for (int64_t i = 0; i < n; ++i) {
      const mm_pair held = {(double)((int32_t)i - (int32_t)half), 0}, cost = {rate[i], rate_lo[i]};
      const mm_pair sum = mm_sum(mm_times(lean, held), cost);
      rate[i] = sum.hi;
      rate_lo[i] = sum.lo;
    }
  if (!MM_FINITE(rate[0] + rate[n - 1])) /* largest at the ends */
    return MM_INVALID;
  lattice->n = n;
  lattice->rate = rate;
  lattice->up = sides->factor[MM_BID].hi, lattice->down = sides->factor[MM_ASK].hi;
  lattice->k_bid = p->k[MM_BID], lattice->k_ask = p->k[MM_ASK];
  start->concave = 1;
  start->lean = mm_sides_lean(p, sides);
  start->symmetric = lean.hi == 0 && start->lean.hi == 0 && lattice->k_bid == lattice->k_ask;
  start->best = half;
  start->meet = -1;
  start->excess = 0;
  start->up_lo = sides->factor[MM_BID].lo;
  start->rate_lo = rate_lo;
  if (lean.hi != 0) { /* the parabola's top, within the lattice */
    const double top = bend.hi > 0 ? lean.hi / (2 * bend.hi * size) : lean.hi * (double)INFINITY,
                 end = (double)half;
    const int64_t at = half + (int64_t)(top > end ? end : top < -end ? -end : top);
    start->best = at;
    if (at > 0 && rate[at - 1] > rate[start->best])
      start->best = at - 1;
    if (at < n - 1 && rate[at + 1] > rate[start->best])
      start->best = at + 1;
  }
  *wrong = NULL;
  return MM_OK;
}

/* Coefficients of an affine policy. */
typedef struct mm_affine_form {
  double base[2], base_rate[2], slope[2], slope_rate[2];
} mm_affine_form;

/* Closed form: a Gaussian for the stationary law; unequal sides by a quadratic expansion.
 * Avellaneda-Stoikov: the indifference prices of a holder who does not trade again. */
static inline int mm_affine_of(const mm_parameters *p, mm_affine_form *out, const char **wrong) {
  mm_sides sides;
  const int status = mm_sides_of(p, &sides, wrong);
  if (status != MM_OK)
    return status;
  const mm_pair risk = {p->gamma, 0}, size = {p->order_size, 0};
  const mm_pair variance = mm_times(risk, mm_product(p->sigma, p->sigma));
  memset(out, 0, sizeof *out);
  if (p->model == MM_MODEL_AVELLANEDA_STOIKOV) {
    for (int side = 0; side < 2; ++side) {
      out->base[side] = sides.depth[side];
      out->base_rate[side] = 0.5 * variance.hi * size.hi;
      out->slope_rate[side] = variance.hi;
    }
  } else {
    const double kb = p->k[MM_BID], ka = p->k[MM_ASK];
    const double bid = sides.rate[MM_BID].hi, ask = sides.rate[MM_ASK].hi;
    const mm_pair bend = mm_sum(mm_product(bid, kb), mm_product(ask, ka)), per = mm_times(size, bend);
    const double slope = sqrt(mm_quotient(variance, per).hi), half = 0.5 * slope * size.hi;
    const mm_pair buys = {-bid, half * (bid * kb)}, sells = {ask, -half * (ask * ka)};
    const mm_pair lean = mm_quotient(mm_sum(buys, sells), bend);
    const double carried = (p->drift != 0 ? p->drift / sqrt(mm_times(variance, per).hi) : 0) + lean.lo;
    out->base[MM_BID] = (sides.depth[MM_BID] + half - carried) - lean.hi;
    out->base[MM_ASK] = (sides.depth[MM_ASK] + half + carried) + lean.hi;
    out->slope[MM_BID] = out->slope[MM_ASK] = slope;
  }
  *wrong = "sigma";
  for (int side = 0; side < 2; ++side) {
    if (!MM_FINITE(out->base[side]) || !MM_FINITE(out->base_rate[side]) || !MM_FINITE(out->slope[side]) ||
        !MM_FINITE(out->slope_rate[side]))
      return MM_INVALID;
  }
  *wrong = NULL;
  return MM_OK;
}

/* Bytes of the block that a model compiles into, and doubles of work memory. 0: the parameters
 * are refused, or the block would be larger than can be addressed. */
static inline uint64_t mm_recalibration_bytes(const mm_parameters *p) {
  const char *wrong;
  uint64_t knots_at, cells_at;
  if (mm_parameters_check(p, &wrong) != MM_OK)
    return 0;
  return mm_is_table(p->model) ? mm_table_layout(1, 1, 0, (int32_t)mm_nodes_of(p), &knots_at, &cells_at)
                               : sizeof(mm_policy);
}
#define MM_RECALIBRATION_WORK(nodes) ((size_t)(2 * (nodes) + MM_LATTICE_WORK(nodes)))

/* Make an empty block of the model's shape; mm_recalibrate fills it. MM_INVALID: the parameters are refused,
 * or the block is not aligned to MM_POLICY_ALIGN. */
static inline int mm_recalibration_begin(const mm_parameters *p, mm_policy *block, uint64_t bytes) {
  const uint64_t needed = mm_recalibration_bytes(p);
  if (needed == 0 || (uintptr_t)block % MM_POLICY_ALIGN != 0)
    return MM_INVALID;
  if (bytes < needed)
    return MM_CAPACITY;
  memset(block, 0, needed);
  block->magic = MM_POLICY_MAGIC;
  block->abi = MMCORE_ABI_VERSION;
  block->bytes = needed;
  block->q_max = p->q_max, block->order_size = p->order_size;
  block->horizon = p->model == MM_MODEL_AVELLANEDA_STOIKOV ? p->horizon : (double)INFINITY;
  block->flags = p->model == MM_MODEL_AVELLANEDA_STOIKOV ? 0 : MM_STATIONARY;
  block->kind = mm_is_table(p->model) ? MM_TABLE : MM_AFFINE;
  block->n_states = 1;
  if (block->kind == MM_TABLE) {
    block->n_rows = 1;
    block->n_q = (int32_t)mm_nodes_of(p);
    block->q_step = p->order_size;
    mm_table_layout(1, 1, 0, block->n_q, &block->knots_at, &block->cells_at);
  }
  return MM_OK;
}

/* Is the block of the shape that these parameters compile into? */
static inline int mm_recalibration_fits(const mm_parameters *p, const mm_policy *block) {
  if (block->q_max != p->q_max || block->order_size != p->order_size)
    return 0;
  if (!mm_is_table(p->model))
    return block->kind == MM_AFFINE && (p->model == MM_MODEL_AVELLANEDA_STOIKOV
                                            ? !(block->flags & MM_STATIONARY) && block->horizon == p->horizon
                                            : (block->flags & MM_STATIONARY) != 0);
  return block->kind == MM_TABLE && (block->flags & MM_STATIONARY) && block->n_states == 1 &&
         block->n_rows == 1 && block->n_knots == 0 && block->q_step == p->order_size &&
         block->n_q == (int32_t)mm_nodes_of(p);
}

/* A stationary policy: depths of all nodes (NaN where a side is absent), the gain (ticks/s per order) and the
 * largest residual of the equations relative to the terms in it, computed from the differences that the
 * depths are made of. `work` holds 2 n doubles. */
static inline int mm_stationary_depths(const mm_parameters *p, double *bid, double *ask, double *gain,
                                       double *residual, double *work, const char **wrong) {
  const uint64_t absent = 0x7ff8000000000000u;
  const int64_t n = mm_nodes_of(p);
  double *rate = work, *x = work + n, worst = 0, below = 0;
  mm_lattice lattice;
  mm_lattice_start start;
  mm_sides sides;
  int status = mm_problem_of(p, rate, ask, &lattice, &start, &sides, wrong); /* `ask` is free until the end */
  if (status != MM_OK)
    return status;
  status = mm_lattice_solve(&lattice, &start, x);
  if (status != MM_OK)
    return status;
  const double top = rate[start.meet], excess = start.excess;
  *gain = top + excess;
  const int equal = lattice.k_bid == lattice.k_ask;
  for (int64_t i = 0; i < n; ++i) {
    double above = 0, next = 0;
    if (i < n - 1) {
      const double rise = mm_exp(lattice.k_bid * x[i]);
      above = lattice.up * rise;
      next = lattice.down * (equal ? 1 / rise : mm_exp(-lattice.k_ask * x[i]));
      bid[i] = sides.depth[MM_BID] - x[i];
      ask[i + 1] = sides.depth[MM_ASK] + x[i];
    }
    const double wanted = excess + (top - rate[i]);
    double off = fabs(above + below - wanted);
    if (off != 0)
      off /= above + below + wanted;
    if (!(off <= worst))
      worst = off;
    below = next;
  }
  memcpy(&bid[n - 1], &absent, sizeof absent);
  memcpy(&ask[0], &absent, sizeof absent);
  *residual = worst;
  return isfinite(worst) ? MM_OK : MM_NO_CONVERGENCE;
}

/* Differences with `horizon` seconds left, from the terminal condition; x is followed by work memory. At most
 * a million steps: beyond are only rates of fills that are many powers of ten apart. */
static inline int mm_row_of(const mm_parameters *p, const mm_lattice *lattice, double *x) {
  const int64_t n = lattice->n;
  const double end = p->model == MM_MODEL_CARTEA_JAIMUNGAL ? -p->terminal_penalty : 0;
  const double own = p->model == MM_MODEL_CARTEA_JAIMUNGAL ? 0 : 0.5 * p->impact / p->order_size;
  double value = 0, step = 0, done = 0;
  int status = MM_OK;
  for (int64_t i = 0; i < n - 1; ++i)
    x[i] = (end - own) * (2 * ((double)(i - n / 2) * p->order_size) + p->order_size);
  for (int64_t block = 0; status == MM_OK && (done < p->horizon || block == 0); ++block)
    status = block > (n << 20) / MM_LATTICE_BLOCK
                 ? MM_NO_CONVERGENCE
                 : mm_lattice_advance(lattice, p->horizon, 1e-13, &done, x, &value, &step, x + n);
  return status;
}

/* One side of a cell that other threads may be reading. */
MM_INLINE void mm_put_side(mm_cell *cell, int side, double depth, int32_t size) {
  mm_store_double(&cell->depth[side], depth);
  mm_store_int32(&cell->size[side], size);
}

/* Compile `p` into `block`, which stays as it was unless MM_OK is returned. `work`: for a table
 * MM_RECALIBRATION_WORK(nodes) doubles, else it may be NULL. `wrong` names the parameter refused.
 *
 *   MM_INVALID         a value is not allowed
 *   MM_UNSUPPORTED     no such model
 *   MM_CAPACITY        the block is of another shape: model, q_max, order size and horizon are fixed
 *   MM_NO_CONVERGENCE  numbers beyond the range of the solver
 *
 * The checksum, which takes longer than the solution, becomes 0 instead: mm_policy_check refuses a
 * block that was recalibrated until a checksum is put in. */
static inline int mm_recalibrate(mm_policy *block, const mm_parameters *p, double *work, uint64_t version,
                                 const char **wrong) {
  int status = mm_parameters_check(p, wrong);
  if (status != MM_OK)
    return status;
  if (!mm_recalibration_fits(p, block)) {
    *wrong = block->order_size != p->order_size ? "order_size"
             : block->q_max != p->q_max         ? "q_max"
             : p->model == MM_MODEL_AVELLANEDA_STOIKOV && block->kind == MM_AFFINE &&
                     !(block->flags & MM_STATIONARY)
                 ? "horizon"
                 : "model";
    return MM_CAPACITY;
  }
  if (!mm_is_table(p->model)) {
    mm_affine_form form;
    status = mm_affine_of(p, &form, wrong);
    if (status != MM_OK)
      return status;
    for (int side = 0; side < 2; ++side) {
      mm_store_double(&block->base[side], form.base[side]);
      mm_store_double(&block->base_rate[side], form.base_rate[side]);
      mm_store_double(&block->slope[side], form.slope[side]);
      mm_store_double(&block->slope_rate[side], form.slope_rate[side]);
    }
    block->checksum = 0;
    mm_store_uint64(&block->version, version);
    return MM_OK;
  }
  const int64_t n = block->n_q;
  double *rate = work, *x = work + n, *rate_lo = x + n; /* a row's work memory begins there */
  mm_lattice lattice;
  mm_lattice_start start;
  mm_sides sides;
  status = mm_problem_of(p, rate, rate_lo, &lattice, &start, &sides, wrong);
  if (status != MM_OK)
    return status;
  *wrong = "gamma";
  if (MM_FINITE(p->horizon))
    status = mm_row_of(p, &lattice, x);
  else
    status = mm_lattice_solve(&lattice, &start, x);
  if (status != MM_OK)
    return status;
  int sound =
      mm_within(sides.depth[0], 0.5 * MM_POLICY_LIMIT) & mm_within(sides.depth[1], 0.5 * MM_POLICY_LIMIT);
  for (int64_t i = 0; i < n - 1; ++i)
    sound &= mm_within(x[i], 0.5 * MM_POLICY_LIMIT);
  if (!sound)
    return MM_NO_CONVERGENCE;
  mm_cell *cell = (mm_cell *)((char *)block + block->cells_at);
  const int32_t size = (int32_t)p->order_size;
  const double bid = sides.depth[MM_BID], ask = sides.depth[MM_ASK];
  mm_cell none;
  mm_cell_absent(&none, MM_BID), mm_cell_absent(&none, MM_ASK);
  mm_put_side(&cell[0], MM_ASK, none.depth[MM_ASK], 0);
  for (int64_t i = 0; i < n - 1; ++i) {
    mm_put_side(&cell[i], MM_BID, bid - x[i], size);
    mm_put_side(&cell[i + 1], MM_ASK, ask + x[i], size);
  }
  mm_put_side(&cell[n - 1], MM_BID, none.depth[MM_BID], 0);
  block->checksum = 0;
  block->error = 0;
  mm_store_uint64(&block->version, version);
  *wrong = NULL;
  return MM_OK;
}

#if defined(_MSC_VER) && !defined(__clang__)
static inline mm_policy *mm_load_block(mm_policy *const *at) {
  return (mm_policy *)_InterlockedCompareExchangePointer((void *volatile *)at, NULL, NULL);
}
static inline void mm_store_block(mm_policy **at, mm_policy *block) {
  _InterlockedExchangePointer((void *volatile *)at, block);
}
#else
static inline mm_policy *mm_load_block(mm_policy *const *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}
static inline void mm_store_block(mm_policy **at, mm_policy *block) {
  __atomic_store_n(at, block, __ATOMIC_RELEASE);
}
#endif

/* A policy that one thread recalibrates while others quote from it.
 *
 * Two blocks. The writer fills the spare one and then publishes it by one store; a
 * reader takes the block in force and asks afterwards whether it was written to meanwhile, which
 * needs two recalibrations during one quote: then it reads again. So the writer never waits, and
 * what a reader returns comes from one policy. What decides which memory is read (shape, sizes) never
 * changes in a block, so even a read that is thrown away stays within it. What does change, writer and
 * readers take as atomic words, so that nothing here is a data race (H.-J. Boehm, "Can seqlocks get along
 * with programming language memory models?", 2012): the two fences order the words against `begun`.
 *
 * To begin, both blocks are those of `memory`, or another policy of the same bounds that shall be quoted
 * until the first recalibration. */
typedef struct mm_live_policy {
  mm_policy *block[2];       /* what is quoted from: block[published & 1] is in force */
  mm_policy *memory[2];      /* what recalibrations are written to */
  uint64_t begun, published; /* recalibrations */
  mm_parameters parameters;  /* in force; the writer's */
  double *work;
} mm_live_policy;

/* The writer's side: compile into the spare block and publish. On failure nothing has changed. */
static inline int mm_live_set(mm_live_policy *live, const mm_parameters *p, const char **wrong) {
  const uint64_t now = live->published, next = now + 1;
  const uint64_t version = live->block[now & 1]->version + 1;
  mm_policy *spare = live->memory[next & 1];
  mm_store_release(&live->begun, next);
  MM_FENCE_RELEASE(); /* the block is written after `begun` */
  const int status = mm_recalibrate(spare, p, live->work, version, wrong);
  if (status != MM_OK) {
    mm_store_release(&live->begun, now);
    return status;
  }
  mm_store_block(&live->block[next & 1], spare);
  mm_store_release(&live->published, next);
  live->parameters = *p;
  return MM_OK;
}

/* The block in force, for the writer's own thread. */
static inline const mm_policy *mm_live_block(const mm_live_policy *live) {
  return live->block[live->published & 1];
}

/* Publish a block that was compiled elsewhere, of any shape. The one before the last must stay readable:
 * a reader may still be at it. */
static inline void mm_live_publish(mm_live_policy *live, mm_policy *block) {
  const uint64_t next = live->published + 1;
  mm_store_release(&live->begun, next);
  MM_FENCE_RELEASE();
  mm_store_block(&live->block[next & 1], block);
  mm_store_release(&live->published, next);
}

/* The block in force, and a ticket that says later whether what was read of it is whole. While the writer
 * runs it is to be read with `live` (policy.h). */
static inline const mm_policy *mm_live_read(const mm_live_policy *live, uint64_t *ticket) {
  *ticket = mm_load_acquire(&live->published);
  return mm_load_block(&live->block[*ticket & 1]);
}

static inline int mm_live_whole(const mm_live_policy *live, uint64_t ticket) {
  MM_FENCE_ACQUIRE(); /* the block was read before `begun` */
  return mm_load_acquire(&live->begun) - ticket < 2;
}

/* mm_quote_make from the block in force, in any thread. */
static inline void mm_live_quote(const mm_live_policy *live, const mm_rules *rules, double reference,
                                 double inventory, int64_t touch_bid, int64_t touch_ask, double shift,
                                 double target, double time_left, int64_t state, double age, mm_quote *out) {
  uint64_t ticket;
  do {
    const mm_policy *policy = mm_live_read(live, &ticket);
    mm_quote_either(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left,
                    state, age, out, 1);
  } while (MM_UNLIKELY(!mm_live_whole(live, ticket)));
}

#ifdef __cplusplus
}
#endif

#endif
