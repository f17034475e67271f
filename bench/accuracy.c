/* The quantities that bench/accuracy.py measures: row i of `x` has the arguments, in the order said there. */
#include "mmcore/quoting.h"
#include "mmcore/recalibration.h"

#if defined(_WIN32)
#define DOOR __declspec(dllexport)
#else
#define DOOR __attribute__((visibility("default")))
#endif
#define QUANTITY(name, width, value)                                                                         \
  DOOR void name(int64_t n, const double *rows, double *out) {                                               \
    for (int64_t i = 0; i < n; ++i) {                                                                        \
      const double *x = rows + i * (width);                                                                  \
      out[i] = (value);                                                                                      \
    }                                                                                                        \
  }

static double factor(const double *x) { /* curvature, k, A, cost */
  const mm_pair decay = {x[1], 0};
  double depth;
  mm_pair rate;
  mm_side_pair(x[0], x[1], x[2], x[3], &depth, &rate);
  return mm_quotient(rate, decay).hi;
}

static mm_policy /* x: gamma, sigma, k, A, k and A of the ask, drift */
affine(int32_t model, double order_size, const double *x) {
  mm_parameters p;
  _Alignas(MM_POLICY_ALIGN) mm_policy block;
  const char *wrong;
  mm_parameters_init(&p, model);
  p.gamma = x[0], p.sigma = x[1], p.k[0] = x[2], p.A[0] = x[3], p.k[1] = x[4], p.A[1] = x[5], p.drift = x[6];
  p.order_size = order_size, p.q_max = INFINITY;
  p.horizon = model == MM_MODEL_AVELLANEDA_STOIKOV ? 1e18 : INFINITY;
  mm_recalibration_begin(&p, &block, sizeof block);
  if (mm_recalibrate(&block, &p, NULL, 1, &wrong) != MM_OK)
    block.base[0] = block.base[1] = block.slope[0] = block.slope_rate[0] = (double)NAN;
  return block;
}

static double skew(const double *x) { /* gamma, sigma, tau */
  const double of[7] = {x[0], x[1], 1, 1, 1, 1, 0};
  return affine(MM_MODEL_AVELLANEDA_STOIKOV, 1, of).slope_rate[0] * x[2];
}

static double slope(const double *x) { /* gamma, sigma, k, A */
  const double of[7] = {x[0], x[1], x[2], x[3], x[2], x[3], 0};
  return affine(MM_MODEL_CLOSED_FORM, 1, of).slope[0];
}

static double stoikov(const double *x) { /* gamma, sigma, k, tau, q, order size: the bid's depth */
  const double of[7] = {x[0], x[1], x[2], 1, x[2], 1, 0};
  const mm_policy policy = affine(MM_MODEL_AVELLANEDA_STOIKOV, floor(x[5]), of);
  return mm_affine_at(&policy, x[4], x[3], 0).depth[MM_BID];
}

static double closed(const double *x) { /* as of affine, then q: the bid's depth */
  const mm_policy policy = affine(MM_MODEL_CLOSED_FORM, 1, x);
  return mm_affine_at(&policy, x[7], INFINITY, 0).depth[MM_BID];
}

static double
price(const double *x) { /* reference, shift, depth, scale, widen, age: the bid before rounding */
  mm_policy policy;
  mm_rules rules = {1e6, x[3], 0, 0, 0, 0, 0, 1e-300, x[4]};
  mm_quote quote;
  mm_trace trace;
  memset(&policy, 0, sizeof policy);
  policy.kind = MM_AFFINE, policy.flags = MM_STATIONARY, policy.n_states = 1;
  policy.q_max = policy.horizon = INFINITY, policy.order_size = 1;
  policy.base[0] = policy.base[1] = x[2];
  memset(&trace, 0xff, sizeof trace);
  mm_quote_explain(&policy, &rules, x[0], 0, MM_NO_BID, MM_NO_ASK, x[1], 0, INFINITY, 0, x[5], &quote,
                   &trace);
  return trace.target[MM_AT_AGE][MM_BID];
}

QUANTITY(log_, 1, mm_log(x[0]))
QUANTITY(log1p_, 1, mm_log1p(x[0]))
QUANTITY(exp_, 1, mm_exp(x[0]))
QUANTITY(expm1_, 1, mm_expm1(x[0]))
QUANTITY(pow_, 2, mm_pow(x[0], x[1]))
QUANTITY(exp_product, 2, mm_exp_product(x[0], x[1]))
QUANTITY(half_spread, 2, mm_static_half_spread(x[0], x[1]))
QUANTITY(fill_constant, 2, mm_fill_constant(x[0], x[1]))
QUANTITY(fill_value, 4, factor(x))
QUANTITY(skew_per_lot, 3, skew(x))
QUANTITY(closed_slope, 4, slope(x))
QUANTITY(widening, 2, x[0] * sqrt(x[1]))
QUANTITY(stoikov_depth, 6, stoikov(x))
QUANTITY(closed_depth, 8, closed(x))
QUANTITY(price_target, 6, price(x))
