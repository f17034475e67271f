/* market_making.h - the dynamic program of a market maker whose inventory moves by fills.
 *
 * Inventory stands on n nodes, one order apart. In a step the market maker has one offer out on each side:
 * offer i of the bid is filled with probability p[i], earns reward[i] and moves inventory lots[i] nodes up;
 * offers of the ask move it down. A side on which no offer fits is absent. With one order at a time and
 * fills that exclude each other, both sides separate and the chain is tri-diagonal:
 *
 *   V'[s] = rate[s] + discount B[s] + max_i { a_i + g_i x[s] } + max_j { b_j - h_j x[s-1] },
 *   x[s] = V[s+1] - V[s],  a = p reward,  g = discount p,
 *
 * B being V, or its mean over the regimes that may come next. Each maximum is the upper envelope of lines
 * (mm_envelope), so every edge between two nodes keeps the line of either side that is best there, and the
 * interval of x in which both are. A step is then one straight loop over contiguous doubles that also looks
 * whether any x has left its interval; only such edges look for another line, along the envelope from the
 * one they have. Nothing is assumed of V: where it is concave the lines of neighbours fall into few runs,
 * whose ends move by a node now and then; where it is not, more edges move.
 *
 * Policy evaluation is an elimination from both ends at once that never subtracts (mm_making_evaluate,
 * mm_making_average). Sums, products, quotients and comparisons only: the same bits on every machine.
 *
 * No allocation: the caller passes the memory. Offers are refused by the caller where they are no
 * probabilities; status says what else went wrong.
 */
#ifndef MMCORE_MARKET_MAKING_H
#define MMCORE_MARKET_MAKING_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "cpu.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_MAKING_BLOCK 16

/* What may be offered on one side. */
typedef struct mm_offers {
  int64_t count;
  const double *probability; /* of a fill within a step */
  const double *reward;      /* what a fill earns */
  const int64_t *lots;       /* nodes that a fill moves, >= 1 */
} mm_offers;

/* The upper envelope of lines level + slope x: line k is best for from[k] <= x <= from[k+1]. */
typedef struct mm_envelope {
  int64_t count;
  double *level, *slope; /* by rising slope */
  double *from;          /* count + 1, from -inf to +inf */
  int16_t *code;         /* the offer that each line is */
} mm_envelope;

typedef struct mm_making {
  int64_t n;          /* nodes, >= 2 */
  const double *rate; /* n */
  double discount;
  mm_offers offers[2];
  mm_envelope side[2]; /* of the ask in -x; not read where `plain` is 0 */
  int32_t plain;       /* one order at a time, exclusive fills */
  int32_t independent; /* both offers may be filled in one step */
} mm_making;

/* The lines that are in force: level is of nodes; up, low and high of the edge above a node; down of the
 * edge below it. */
typedef struct mm_making_state {
  double *level, *up, *down, *low, *high;
  int16_t *line[2];
  void *code[2]; /* of offers, -1 where absent: int8 or int16 by `width` */
  int32_t width;
} mm_making_state;

/* Doubles that the state of n nodes takes. */
#define MM_MAKING_WORK(n) (6 * (n) + 4)

/* Line i of an envelope above (or on) the lines j and k, between which it lies by slope: then it stays. */
static inline double mm_crossing(double level_low, double slope_low, double level_high, double slope_high) {
  return (level_low - level_high) / (slope_high - slope_low);
}

/* Build the envelope of the offers' lines in memory for `count` lines. A line of which another is as
 * good everywhere is left out; of two equal ones the first stays. */
static inline void mm_envelope_build(const mm_offers *o, double discount, mm_envelope *e) {
  int64_t m = 0;
  for (int64_t i = 0; i < o->count; ++i) { /* by slope, then level; equal ones in order */
    const double slope = discount * o->probability[i], level = o->probability[i] * o->reward[i];
    int64_t k = i;
    for (; k > 0 && (e->slope[k - 1] > slope || (e->slope[k - 1] == slope && e->level[k - 1] < level)); --k)
      e->slope[k] = e->slope[k - 1], e->level[k] = e->level[k - 1], e->code[k] = e->code[k - 1];
    e->slope[k] = slope, e->level[k] = level, e->code[k] = (int16_t)i;
  }
  for (int64_t i = 0; i < o->count; ++i) {
    if (m > 0 && e->slope[i] == e->slope[m - 1])
      continue; /* no better than the one before */
    while (m > 0) {
      const double at = mm_crossing(e->level[m - 1], e->slope[m - 1], e->level[i], e->slope[i]);
      if (m == 1 || at > e->from[m - 1])
        break;
      --m;
    }
    e->from[m] =
        m ? mm_crossing(e->level[m - 1], e->slope[m - 1], e->level[i], e->slope[i]) : -(double)INFINITY;
    e->level[m] = e->level[i], e->slope[m] = e->slope[i], e->code[m] = e->code[i];
    ++m;
  }
  e->from[m] = (double)INFINITY;
  e->count = m;
}

static inline void mm_making_code(const mm_making_state *w, int side, int64_t s, int16_t code) {
  if (w->width == 1)
    ((int8_t *)w->code[side])[s] = (int8_t)code;
  else
    ((int16_t *)w->code[side])[s] = code;
}

/* Lay the state out in `work`. No line is known: every edge is off, whatever its x. */
static inline void mm_making_begin(const mm_making *p, double *work, int width, mm_making_state *w) {
  const int64_t n = p->n;
  w->level = work, w->up = work + n, w->down = work + 2 * n, w->low = work + 3 * n, w->high = work + 4 * n;
  int16_t *small = (int16_t *)(work + 5 * n);
  w->line[MM_BID] = small, w->line[MM_ASK] = small + n;
  w->code[MM_BID] = small + 2 * n, w->code[MM_ASK] = small + 3 * n;
  w->width = width;
  for (int64_t s = 0; s < n; ++s) {
    w->level[s] = w->up[s] = w->down[s] = 0;
    w->low[s] = (double)INFINITY, w->high[s] = -(double)INFINITY;
    for (int side = 0; side < 2; ++side) {
      w->line[side][s] = 0;
      mm_making_code(w, side, s, -1);
    }
  }
}

MM_INLINE double mm_making_level(const mm_making *p, const mm_making_state *w, int64_t s) {
  double level = 0;
  if (s < p->n - 1)
    level = p->side[MM_BID].level[w->line[MM_BID][s]];
  if (s > 0)
    level += p->side[MM_ASK].level[w->line[MM_ASK][s]];
  return p->rate[s] + level;
}

/* Walk along an envelope from line k to the one that is best at x. */
MM_INLINE int64_t mm_envelope_walk(const mm_envelope *e, int64_t k, double x) {
  while (x > e->from[k + 1])
    ++k;
  while (x < e->from[k])
    --k;
  return k;
}

/* The best lines of edge s, whose nodes differ by x, looked for from those of the edge `near` below it (0 or
 * 1; 0 at the first); the levels of its nodes and the codes are as they were. */
MM_INLINE void mm_making_choose(const mm_making *p, mm_making_state *w, int64_t s, int64_t near, double x) {
  const mm_envelope *bid = &p->side[MM_BID], *ask = &p->side[MM_ASK];
  const int64_t b = mm_envelope_walk(bid, w->line[MM_BID][s - near], x);
  const int64_t a = mm_envelope_walk(ask, w->line[MM_ASK][s + 1 - near], -x);
  w->line[MM_BID][s] = (int16_t)b;
  w->line[MM_ASK][s + 1] = (int16_t)a;
  w->up[s] = bid->slope[b];
  w->down[s + 1] = ask->slope[a];
  w->low[s] = bid->from[b] > -ask->from[a + 1] ? bid->from[b] : -ask->from[a + 1];
  w->high[s] = bid->from[b + 1] < -ask->from[a] ? bid->from[b + 1] : -ask->from[a];
}

/* Put the best lines in force on edge s. */
static inline void mm_making_settle(const mm_making *p, mm_making_state *w, int64_t s, double x) {
  mm_making_choose(p, w, s, w->low[s] > w->high[s] && s > 0, x); /* a first time, from the neighbour's */
  mm_making_code(w, MM_BID, s, p->side[MM_BID].code[w->line[MM_BID][s]]);
  mm_making_code(w, MM_ASK, s + 1, p->side[MM_ASK].code[w->line[MM_ASK][s + 1]]);
  w->level[s] = mm_making_level(p, w, s);
  w->level[s + 1] = mm_making_level(p, w, s + 1);
}

MM_INLINE double mm_making_at(int64_t s, double discount, const mm_making_state *w, const double *v,
                              const double *base) {
  const double x = v[s + 1] - v[s], y = v[s] - v[s - 1];
  return ((w->level[s] + discount * base[s]) + w->up[s] * x) - w->down[s] * y;
}

/* Nodes from..from+count-1, all of which have both neighbours, and whether an edge above one is off. */
MM_INLINE int64_t mm_making_straight(int64_t from, int64_t count, double discount, const mm_making_state *w,
                                     const double *v, const double *base, double *out) {
  const double *level = w->level + from, *up = w->up + from, *down = w->down + from, *low = w->low + from,
               *high = w->high + from, *at = v + from;
  int64_t off = 0;
  base += from, out += from;
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC ivdep
#endif
  for (int64_t s = 0; s < count; ++s) {
    const double x = at[s + 1] - at[s], y = at[s] - at[s - 1];
    out[s] = ((level[s] + discount * base[s]) + up[s] * x) - down[s] * y;
    off |= (int64_t)(x < low[s]) | (int64_t)(x > high[s]);
  }
  return off;
}

/* Settle the edges above nodes from..from+count-1 that are off, and do again the nodes beside them. */
MM_COLD void mm_making_resettle(const mm_making *p, mm_making_state *w, int64_t from, int64_t count,
                                const double *v, const double *base, double *out) {
  for (int64_t s = from; s < from + count; ++s) {
    const double x = v[s + 1] - v[s];
    if (x < w->low[s] || x > w->high[s]) {
      mm_making_settle(p, w, s, x);
      if (s > 0)
        out[s] = mm_making_at(s, p->discount, w, v, base);
      if (s + 1 < p->n - 1)
        out[s + 1] = mm_making_at(s + 1, p->discount, w, v, base);
    }
  }
}

MM_INLINE void mm_making_step_as(const mm_making *p, mm_making_state *w, const double *v, const double *base,
                                 double *out) {
  const int64_t last = p->n - 1;
  const double discount = p->discount, first = v[1] - v[0];
  int64_t s = 1;
  if (first < w->low[0] || first > w->high[0])
    mm_making_settle(p, w, 0, first);
  out[0] = (w->level[0] + discount * base[0]) + w->up[0] * first;
  for (; s + MM_MAKING_BLOCK <= last; s += MM_MAKING_BLOCK)
    if (mm_making_straight(s, MM_MAKING_BLOCK, discount, w, v, base, out))
      mm_making_resettle(p, w, s, MM_MAKING_BLOCK, v, base, out);
  if (s < last && mm_making_straight(s, last - s, discount, w, v, base, out))
    mm_making_resettle(p, w, s, last - s, v, base, out);
  out[last] = (w->level[last] + discount * base[last]) - w->down[last] * (v[last] - v[last - 1]);
}

MM_CPU_COPIES(mm_making_step,
              (const mm_making *p, mm_making_state *w, const double *v, const double *base, double *out),
              (p, w, v, base, out))

/* Any sizes, and fills that may be independent: every offer, or pair of offers, is tried. An offer whose
 * fill would leave the lattice does not fit; where none does the side is absent. The first of equals is
 * taken. */
static inline void mm_making_step_general(const mm_making *p, mm_making_state *w, const double *v,
                                          const double *base, double *out) {
  const int64_t n = p->n;
  const double discount = p->discount;
  const mm_offers *bid = &p->offers[MM_BID], *ask = &p->offers[MM_ASK];
  for (int64_t s = 0; s < n; ++s) {
    double best = -(double)INFINITY;
    int16_t code[2] = {-1, -1};
    const double stay = p->rate[s] + discount * base[s];
    for (int64_t i = -1; i < bid->count; ++i) { /* -1: absent, which is only for want of an offer */
      if (i >= 0 && s + bid->lots[i] >= n)
        continue;
      const double x = i < 0 ? 0 : v[s + bid->lots[i]] - v[s], p_bid = i < 0 ? 0 : bid->probability[i];
      const double gain = i < 0 ? 0 : p_bid * bid->reward[i] + discount * p_bid * x;
      for (int64_t j = -1; j < ask->count; ++j) {
        if (j >= 0 && s - ask->lots[j] < 0)
          continue;
        const double y = j < 0 ? 0 : v[s - ask->lots[j]] - v[s], p_ask = j < 0 ? 0 : ask->probability[j];
        double value = stay + (gain + (j < 0 ? 0 : p_ask * ask->reward[j] + discount * p_ask * y));
        if (p->independent && i >= 0 && j >= 0) {
          const double both = v[s + bid->lots[i] - ask->lots[j]] - v[s];
          value += discount * (p_bid * p_ask) * (both - (x + y));
        }
        const int more = (i >= 0) + (j >= 0), had = (code[MM_BID] >= 0) + (code[MM_ASK] >= 0);
        if (more > had || (more == had && value > best)) {
          best = value;
          code[MM_BID] = (int16_t)i, code[MM_ASK] = (int16_t)j;
        }
      }
    }
    out[s] = best;
    mm_making_code(w, MM_BID, s, code[MM_BID]);
    mm_making_code(w, MM_ASK, s, code[MM_ASK]);
  }
}

static inline void mm_making_step(mm_cpu cpu, const mm_making *p, mm_making_state *w, const double *v,
                                  const double *base, double *out) {
  if (p->plain)
    MM_CPU_CALL(cpu, mm_making_step, (p, w, v, base, out));
  else
    mm_making_step_general(p, w, v, base, out);
}

/* Market orders: an order that crosses the spread moves inventory by one node and costs `cost` > 0. The
 * best number of them, repeated to the fixed point V[s] = max(V[s], V[s-1] - cost, V[s+1] - cost); `take`
 * is by how many nodes. Buying and selling never follow each other, so one pass of each is enough. */
static inline void mm_making_take(int64_t n, double cost, double *v, int16_t *take) {
  take[n - 1] = 0;
  for (int64_t s = n - 2; s >= 0; --s) {
    const double bought = v[s + 1] - cost;
    take[s] = 0;
    if (bought > v[s])
      v[s] = bought, take[s] = (int16_t)(take[s + 1] + 1);
  }
  for (int64_t s = 1; s < n; ++s) {
    const double sold = v[s - 1] - cost;
    if (sold > v[s])
      v[s] = sold, take[s] = (int16_t)((take[s - 1] < 0 ? take[s - 1] : 0) - 1);
  }
}

/* Several regimes: problems on the same nodes, between which the market moves. */
typedef struct mm_regimes {
  int64_t count;
  const mm_making *chain;
  const double *change; /* count x count: probabilities of the next regime; not read where count is 1 */
  int32_t exclusive;    /* a change of regime and a fill exclude each other; else they are independent */
  const double *cross;  /* count: cost of a market order of one node; NULL: there are none */
} mm_regimes;

/* One step of all regimes: from next to out, both count x n. `mixed` holds n doubles. */
static inline void mm_regimes_step(mm_cpu cpu, const mm_regimes *m, mm_making_state *w, const double *next,
                                   double *out, int16_t *take, double *mixed) {
  const int64_t n = m->chain[0].n;
  for (int64_t r = 0; r < m->count; ++r) {
    const double *v = next + r * n, *base = v;
    if (m->count > 1) {
      for (int64_t s = 0; s < n; ++s)
        mixed[s] = m->change[r * m->count] * next[s];
      for (int64_t k = 1; k < m->count; ++k) {
        const double share = m->change[r * m->count + k];
        const double *other = next + k * n;
        for (int64_t s = 0; s < n; ++s)
          mixed[s] += share * other[s];
      }
      base = mixed;
      if (!m->exclusive)
        v = mixed;
    }
    mm_making_step(cpu, &m->chain[r], &w[r], v, base, out + r * n);
    if (m->cross)
      mm_making_take(n, m->cross[r], out + r * n, take + r * n);
  }
}

/* Backward induction over steps `from`-1 down to `to`: values is (steps+1) x count x n, whose row `from` is
 * known. Codes and market orders of each step go to bid, ask (of the states' width) and take where they
 * are not NULL. The states keep the lines between calls. */
static inline void mm_regimes_backward(mm_cpu cpu, const mm_regimes *m, mm_making_state *w, int64_t from,
                                       int64_t to, double *values, void *bid, void *ask, int16_t *take,
                                       int16_t *taken, double *mixed) {
  const int64_t n = m->chain[0].n, row = m->count * n, width = w[0].width;
  for (int64_t t = from - 1; t >= to; --t) {
    mm_regimes_step(cpu, m, w, values + (t + 1) * row, values + t * row, taken, mixed);
    for (int64_t r = 0; r < m->count; ++r) {
      const size_t at = (size_t)((t * row + r * n) * width), bytes = (size_t)(n * width);
      if (bid)
        memcpy((char *)bid + at, w[r].code[MM_BID], bytes);
      if (ask)
        memcpy((char *)ask + at, w[r].code[MM_ASK], bytes);
    }
    if (take && m->cross)
      memcpy(take + t * row, taken, (size_t)row * sizeof *take);
  }
}

/* ---- stationary, one regime, `plain`: policy iteration ---- */

/* The value of the lines in force, discount < 1: the tri-diagonal system
 *   (1 - discount + up + down) v[s] = level[s] + up v[s+1] + down v[s-1],
 * eliminated from both ends at once as v[s] = lean[s] + (1 - rest) v[s+-1], so that the two chains of
 * divisions run side by side. `lean` and `share` hold n doubles each. */
static inline void mm_making_evaluate(const mm_making *p, const mm_making_state *w, double *v, double *lean,
                                      double *share) {
  const int64_t last = p->n - 1, meet = p->n / 2;
  const double *r = w->level, *up = w->up, *down = w->down, kept = 1 - p->discount;
  double low_lean = 0, low_rest = 0, high_lean = 0, high_rest = 0;
  for (int64_t i = 0, j = last; i < meet || j > meet; ++i, --j) {
    if (i < meet) {
      const double most = kept + down[i] * low_rest, inverse = 1 / (most + up[i]);
      share[i] = up[i] * inverse;
      lean[i] = low_lean = (r[i] + down[i] * low_lean) * inverse;
      low_rest = most * inverse;
    }
    if (j > meet) {
      const double most = kept + up[j] * high_rest, inverse = 1 / (most + down[j]);
      share[j] = down[j] * inverse;
      lean[j] = high_lean = (r[j] + up[j] * high_lean) * inverse;
      high_rest = most * inverse;
    }
  }
  v[meet] = (r[meet] + up[meet] * high_lean + down[meet] * low_lean) /
            (kept + up[meet] * high_rest + down[meet] * low_rest);
  for (int64_t i = meet - 1, j = meet + 1; i >= 0 || j <= last; --i, ++j) {
    if (i >= 0)
      v[i] = lean[i] + share[i] * v[i + 1];
    if (j <= last)
      v[j] = lean[j] + share[j] * v[j - 1];
  }
}

/* The gain of the lines in force, discount 1, and the differences x (n-1): gain = level[s] + up x[s] -
 * down x[s-1]. Both recursions meet where the stationary law peaks. MM_UNSUPPORTED: some states cannot
 * reach some others that cannot reach them, so the gain depends on the start. */
static inline int mm_making_average(const mm_making *p, const mm_making_state *w, double *gain, double *x,
                                    double *time) {
  const int64_t last = p->n - 1;
  const double *r = w->level, *up = w->up, *down = w->down;
  int64_t least = 0, most = last, meet = 0;
  for (int64_t s = last; s > 0 && !least; --s)
    if (!(down[s] > 0))
      least = s;
  for (int64_t s = 0; s < last && most == last; ++s)
    if (!(up[s] > 0))
      most = s;
  if (least > most)
    return MM_UNSUPPORTED;
  double height = 1;
  meet = least;
  for (int64_t s = least; s < most; ++s) {
    height *= up[s] / down[s + 1];
    if (height > 1)
      height = 1, meet = s + 1;
  }
  double low = 0, low_time = 0, high = 0, high_time = 0;
  for (int64_t i = 0, j = last; i < meet || j > meet; ++i, --j) {
    if (i < meet) {
      const double inverse = 1 / up[i];
      x[i] = low = (r[i] + down[i] * low) * inverse;
      time[i] = low_time = (1 + down[i] * low_time) * inverse;
    }
    if (j > meet) {
      const double inverse = 1 / down[j];
      x[j - 1] = high = (r[j] + up[j] * high) * inverse;
      time[j - 1] = high_time = (1 + up[j] * high_time) * inverse;
    }
  }
  const double g =
      (r[meet] + up[meet] * high + down[meet] * low) / (1 + up[meet] * high_time + down[meet] * low_time);
  for (int64_t s = 0; s < meet; ++s)
    x[s] = g * time[s] - x[s];
  for (int64_t s = meet; s < last; ++s)
    x[s] = x[s] - g * time[s];
  *gain = g;
  return isfinite(g) ? MM_OK : MM_OVERFLOW;
}

/* Put the best lines in force at the differences x, but for their codes; whether an edge changed. */
static inline int mm_making_improve(const mm_making *p, mm_making_state *w, const double *x) {
  const int64_t last = p->n - 1;
  int64_t changed = 0;
  for (int64_t s = 0; s < last; ++s)
    if (x[s] < w->low[s] || x[s] > w->high[s]) {
      mm_making_choose(p, w, s, s > 0, x[s]); /* many change at once, and neighbours mostly agree */
      changed = 1;
    }
  for (int64_t s = 0; changed && s <= last; ++s)
    w->level[s] = mm_making_level(p, w, s);
  return changed != 0;
}

/* The codes of the lines in force. */
static inline void mm_making_codes(const mm_making *p, mm_making_state *w) {
  for (int64_t s = 0; s < p->n - 1; ++s) {
    mm_making_code(w, MM_BID, s, p->side[MM_BID].code[w->line[MM_BID][s]]);
    mm_making_code(w, MM_ASK, s + 1, p->side[MM_ASK].code[w->line[MM_ASK][s + 1]]);
  }
}

/* Policy iteration from the lines that are best at the value v (n), or at the differences v (n-1) where
 * the discount is 1; v is overwritten by the solution of the same kind, and `gain` is set where the
 * discount is 1. It ends when no edge changes its lines, or when values have stopped to rise: ties that
 * rounding breaks this way and that. `work` holds 3 n doubles. */
static inline int mm_making_iterate(const mm_making *p, mm_making_state *w, int64_t limit, double *v,
                                    double *gain, int64_t *iterations, double *work) {
  const int64_t n = p->n, last = n - 1;
  const int averaged = p->discount == 1;
  double *x = averaged ? v : work + 2 * n, before = -(double)INFINITY;
  *gain = 0;
  for (*iterations = 0; *iterations < limit; ++*iterations) {
    if (!averaged)
      for (int64_t s = 0; s < last; ++s)
        x[s] = v[s + 1] - v[s];
    if (!mm_making_improve(p, w, x) && *iterations) {
      mm_making_codes(p, w);
      return MM_OK;
    }
    double now;
    if (averaged) {
      const int status = mm_making_average(p, w, gain, v, work);
      if (status != MM_OK)
        return status;
      now = *gain;
    } else {
      mm_making_evaluate(p, w, v, work, work + n);
      now = 0;
      for (int64_t s = 0; s < n; ++s)
        now += v[s];
      if (!isfinite(now))
        return MM_OVERFLOW;
    }
    if (*iterations > 64 && !(now > before)) {
      ++*iterations;
      mm_making_codes(p, w);
      return MM_OK;
    }
    before = now;
  }
  return MM_NO_CONVERGENCE;
}

#ifdef __cplusplus
}
#endif

#endif
