/* mmcore/policy.h - the two shapes of a compiled policy, and how they are read.
 *
 * A policy is one position-independent block of bytes: this header, then (for a table) the knots
 * and the cells. It holds no model: a depth is a few multiply-adds or one table cell.
 *
 *   affine  depth_bid = base + base_rate*tau + (slope + slope_rate*tau)*q
 *           depth_ask = base + base_rate*tau - (slope + slope_rate*tau)*q
 *   table   cell[state][row][q], linear between the knots of time and between the inventories
 *
 * Depths are ticks from the reference price and may be negative; q is in lots, tau in seconds.
 * Only + - * / and comparisons, so every build gives the same bits.
 */
#ifndef MMCORE_POLICY_H
#define MMCORE_POLICY_H

#include <stddef.h>
#include <string.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MM_POLICY_MAGIC 0x50434d4du /* "MMCP" as little-endian bytes */
#define MM_POLICY_ALIGN 64          /* of the block, and of the cells within it */

enum { MM_AFFINE = 1, MM_TABLE = 2 };
enum { MM_STATIONARY = 1 }; /* flags: time_left = inf may be read */

/* Why a quote is not the plain one: a set of bits, 0 when nothing happened. */
typedef enum mm_why {
  MM_WHY_REFERENCE = 1 << 0,      /* the reference price is not finite: no quote */
  MM_WHY_CROSSED = 1 << 1,        /* the touch is crossed: no quote */
  MM_WHY_HALTED = 1 << 2,         /* quoting is halted */
  MM_WHY_LIMIT_BID = 1 << 3,      /* buying would break the position limit */
  MM_WHY_LIMIT_ASK = 1 << 4,      /* selling would break the position limit */
  MM_WHY_NO_STATIONARY = 1 << 5,  /* time_left = inf, and the policy has no stationary row */
  MM_WHY_PAST_HORIZON = 1 << 6,   /* time_left < 0 */
  MM_WHY_BEYOND_HORIZON = 1 << 7, /* time_left exceeds what the policy covers */
  MM_WHY_TOUCH_BID = 1 << 8,      /* the bid was lowered so as not to meet the market's ask */
  MM_WHY_TOUCH_ASK = 1 << 9,      /* the ask was raised so as not to meet the market's bid */
  MM_WHY_OBLIGATION = 1 << 10,    /* an obligation is not met */
  MM_WHY_TIGHTENED = 1 << 11,     /* prices or sizes were changed to meet an obligation */
  MM_WHY_INVENTORY = 1 << 12,     /* inventory or target is not finite */
  MM_WHY_STATE = 1 << 13,         /* the policy has no such state */
  MM_WHY_RANGE = 1 << 14,         /* a price outside +-2^52 ticks */
  MM_WHY_SHRUNK = 1 << 15,        /* a size was cut to what the limits leave */
  MM_WHY_POLICY_BID = 1 << 16,    /* the policy has no bid here: its inventory bound, or its choice */
  MM_WHY_POLICY_ASK = 1 << 17,    /* the policy has no ask here */
  MM_WHY_SHIFT = 1 << 18,         /* the shift is not finite */
  MM_WHY_TIME = 1 << 19,          /* time_left is NaN */
  MM_WHY_APART = 1 << 20,         /* bid and ask met and were stepped apart */
  MM_WHY_STALE = 1 << 21,         /* the market data are older than the bound: no quote */
  MM_WHY_WIDENED = 1 << 22        /* depths were widened for the age of the market data */
} mm_why;

typedef struct mm_cell { /* 32 bytes, half a cache line */
  double depth[2];       /* ticks; NaN: absent */
  int32_t size[2];       /* lots; 0: absent */
  int32_t take;          /* lots to cross the spread with now, signed */
  int32_t reserved;
} mm_cell;

typedef struct mm_policy {
  uint32_t magic, abi;
  uint64_t bytes, checksum, version; /* whole block; of all but the checksum; caller's version */
  int32_t kind;                      /* MM_AFFINE, MM_TABLE */
  int32_t flags;                     /* MM_STATIONARY */
  double q_max, order_size;          /* whole lots; q_max may be +inf for affine */
  double horizon;                    /* largest finite time_left covered; +inf when all are */
  double error;                      /* largest interpolation error measured, ticks */
  double base[2], base_rate[2], slope[2], slope_rate[2]; /* affine */
  int32_t n_states, n_rows, n_knots, n_q; /* table: n_q = 2*q_max/q_step + 1; rows = knots + stationary row */
  double q_step;
  uint64_t knots_at, cells_at; /* byte offsets from the block's start */
} mm_policy;

/* False for NaN and both infinities. */
#define MM_FINITE(x) ((x) - (x) == 0.0)
#define MM_LARGEST 1.7976931348623157e308 /* the largest finite double */

static inline const double *mm_policy_knots(const mm_policy *policy) {
  return (const double *)((const char *)policy + policy->knots_at);
}

static inline const mm_cell *mm_policy_cells(const mm_policy *policy) {
  return (const mm_cell *)((const char *)policy + policy->cells_at);
}

/* Of the whole block without its checksum. */
static inline uint64_t mm_policy_checksum(const mm_policy *policy) {
  const unsigned char *byte = (const unsigned char *)policy;
  const size_t from = offsetof(mm_policy, checksum), to = from + sizeof policy->checksum;
  return mm_checksum(mm_checksum(MM_CHECKSUM_START, byte, from), byte + to, policy->bytes - to);
}

/* Bytes of a table's block, and where its parts stand; 0 when that overflows. */
static inline uint64_t mm_table_layout(int32_t n_states, int32_t n_rows, int32_t n_knots, int32_t n_q,
                                       uint64_t *knots_at, uint64_t *cells_at) {
  if (n_states < 1 || n_rows < 1 || n_q < 1 || n_knots < 0)
    return 0;
  const uint64_t rows = (uint64_t)n_states * (uint64_t)n_rows; /* < 2^62 */
  if (rows > ((uint64_t)1 << 57) / (uint64_t)n_q)
    return 0;
  *knots_at = (sizeof(mm_policy) + 7) / 8 * 8;
  const uint64_t knots_end = *knots_at + (uint64_t)n_knots * sizeof(double);
  *cells_at = (knots_end + MM_POLICY_ALIGN - 1) / MM_POLICY_ALIGN * MM_POLICY_ALIGN;
  return *cells_at + rows * (uint64_t)n_q * sizeof(mm_cell);
}

/* Is it a number of whole lots that a cell's size can hold? */
static inline int mm_is_lots(double lots) {
  return lots >= 1.0 && lots <= 2147483647.0 && lots == (double)(int64_t)lots;
}

/* Largest |depth| and |inventory| that a policy may hold, in ticks and lots: sums stay finite. */
#define MM_POLICY_LIMIT 4503599627370496.0 /* 2^52 */

static inline int mm_within(double x, double limit) {
  return x >= -limit && x <= limit;
}

/* Are the numbers of a block consistent? The caller has checked magic, size and checksum, but a
 * right checksum is no promise: nothing that passes here makes the readers leave the block. */
static inline int mm_policy_sound(const mm_policy *p) {
  if (!mm_is_lots(p->order_size) || !(p->q_max >= p->order_size) || !(p->horizon >= 0.0) ||
      !(p->error >= 0.0))
    return 0;
  if (p->flags & ~MM_STATIONARY)
    return 0;
  if (p->kind == MM_AFFINE) {
    if (p->q_max <= MM_LARGEST && !(p->q_max <= MM_POLICY_LIMIT && p->q_max == (double)(int64_t)p->q_max))
      return 0;
    for (int side = 0; side < 2; ++side) {
      if (!MM_FINITE(p->base[side]) || !MM_FINITE(p->base_rate[side]) || !MM_FINITE(p->slope[side]) ||
          !MM_FINITE(p->slope_rate[side]))
        return 0;
      if ((p->flags & MM_STATIONARY) && (p->base_rate[side] != 0.0 || p->slope_rate[side] != 0.0))
        return 0;
    }
    return p->bytes == sizeof(mm_policy) && p->n_states == 1;
  }
  if (p->kind != MM_TABLE)
    return 0;
  const int stationary = (p->flags & MM_STATIONARY) != 0;
  uint64_t knots_at, cells_at;
  if (mm_table_layout(p->n_states, p->n_rows, p->n_knots, p->n_q, &knots_at, &cells_at) != p->bytes ||
      p->bytes == 0 || p->knots_at != knots_at || p->cells_at != cells_at)
    return 0;
  if (p->n_rows != p->n_knots + stationary || !mm_is_lots(p->q_step) || !(p->q_max <= MM_POLICY_LIMIT) ||
      (double)(p->n_q - 1) * p->q_step != 2.0 * p->q_max)
    return 0;
  const double *knots = mm_policy_knots(p);
  for (int32_t j = 0; j < p->n_knots; ++j) {
    if (!MM_FINITE(knots[j]) || (j == 0 ? knots[j] != 0.0 : !(knots[j] > knots[j - 1])))
      return 0;
  }
  const double last = p->n_knots ? knots[p->n_knots - 1] : 0.0;
  if (stationary ? p->horizon < last : p->horizon != last)
    return 0;
  const mm_cell *cell = mm_policy_cells(p);
  const uint64_t n = (uint64_t)p->n_states * (uint64_t)p->n_rows * (uint64_t)p->n_q;
  for (uint64_t i = 0; i < n; ++i) {
    for (int side = 0; side < 2; ++side) {
      const double depth = cell[i].depth[side];
      if (cell[i].size[side] < 0 || (depth == depth) != (cell[i].size[side] > 0) ||
          (depth == depth && !mm_within(depth, MM_POLICY_LIMIT)))
        return 0;
    }
    if (cell[i].take == INT32_MIN) /* it has no negative */
      return 0;
  }
  return 1;
}

/* Is it a policy, whole and unchanged? `policy` is aligned to 8 bytes and holds `bytes` of them. */
static inline int mm_policy_check(const mm_policy *policy, uint64_t bytes) {
  if (bytes < sizeof(mm_policy) || policy->magic != MM_POLICY_MAGIC || policy->abi != MMCORE_ABI_VERSION ||
      policy->bytes != bytes || policy->checksum != mm_policy_checksum(policy) || !mm_policy_sound(policy))
    return MM_CORRUPT;
  return MM_OK;
}

/* What two cells agree on: the smaller size, and the take nearer to zero (0 when they disagree in
 * sign), so that interpolation never trades more than either cell would. */
static inline void mm_cell_meet(mm_cell *a, const mm_cell *b, double weight) {
  for (int side = 0; side < 2; ++side) {
    a->depth[side] += weight * (b->depth[side] - a->depth[side]); /* absent in either: NaN, and size 0 */
    if (b->size[side] < a->size[side])
      a->size[side] = b->size[side];
  }
  if ((a->take > 0) != (b->take > 0) || (a->take < 0) != (b->take < 0))
    a->take = 0;
  else if (a->take > 0 ? b->take < a->take : b->take > a->take)
    a->take = b->take;
}

/* ---- reading ----
 * `live`: other threads may be writing to the block meanwhile, see mm_live_policy. Then what changes in it is
 * read as atomic words; nothing else is different. */

MM_INLINE double mm_policy_number(const double *at, int live) {
  return live ? mm_load_double(at) : *at;
}

MM_INLINE mm_cell mm_policy_cell(const mm_cell *at, int live) {
  mm_cell cell = {{0, 0}, {0, 0}, 0, 0};
  if (!live)
    return *at;
  for (int side = 0; side < 2; ++side) {
    cell.depth[side] = mm_load_double(&at->depth[side]);
    cell.size[side] = mm_load_int32(&at->size[side]);
  }
  cell.take = mm_load_int32(&at->take);
  return cell;
}

/* The cell of one row at `q` within +-q_max. A neighbour of weight zero is not read, so an absent
 * one does not spread. */
MM_INLINE mm_cell mm_row_at(const mm_policy *policy, const mm_cell *row, double q, int live) {
  const double at = (q + policy->q_max) / policy->q_step; /* exact for whole lots on the lattice */
  const int32_t i = (int32_t)at;
  const double weight = at - (double)i;
  mm_cell cell = mm_policy_cell(&row[i], live);
  if (weight > 0.0 && i + 1 < policy->n_q) {
    const mm_cell next = mm_policy_cell(&row[i + 1], live);
    mm_cell_meet(&cell, &next, weight);
  }
  return cell;
}

/* Knot interval that holds tau: the largest j with knots[j] <= tau. Sixteenths, not halves: the comparisons
 * of one turn do not wait for each other. */
static inline int32_t mm_knot_below(const double *knots, int32_t n, double tau) {
  int32_t low = 0, span = n;
  while (span > 1) {
    const int32_t step = (int32_t)(((uint32_t)span + 15) / 16);
    int32_t passed = 0;
    for (int32_t at = step; at < span; at += step)
      passed += knots[low + at] <= tau ? step : 0;
    low += passed;
    span = span - passed < step ? span - passed : step;
  }
  return low;
}

/* Blocks with knots are never written to once they are published. */
static inline mm_cell mm_knots_at(const mm_policy *policy, const mm_cell *rows, double q, double tau) {
  const double *knots = mm_policy_knots(policy);
  const int32_t j = mm_knot_below(knots, policy->n_knots, tau);
  const mm_cell *row = rows + (size_t)j * (size_t)policy->n_q;
  mm_cell cell = mm_row_at(policy, row, q, 0);
  if (tau > knots[j]) {
    const mm_cell above = mm_row_at(policy, row + policy->n_q, q, 0);
    mm_cell_meet(&cell, &above, (tau - knots[j]) / (knots[j + 1] - knots[j]));
  }
  return cell;
}

/* Both sides at `q` within +-q_max and a time and state that were found readable. */
MM_INLINE mm_cell mm_table_at(const mm_policy *policy, double q, double tau, int64_t state, int live) {
  const size_t n_q = (size_t)policy->n_q, n_rows = (size_t)policy->n_rows;
  const mm_cell *rows = mm_policy_cells(policy) + (size_t)state * n_rows * n_q;
  const int32_t last = policy->n_knots - 1;
  if (last < 0 || tau > mm_policy_knots(policy)[last]) /* only the stationary row stands beyond the knots */
    return mm_row_at(policy, rows + (n_rows - 1) * n_q, q, live);
  return mm_knots_at(policy, rows, q, tau);
}

/* The depths of an affine policy at one time: each a line in the inventory. */
typedef struct mm_line {
  double base[2], slope[2];
} mm_line;

MM_INLINE mm_line mm_line_at(const mm_policy *policy, double tau, int live) {
  mm_line line;
  for (int side = 0; side < 2; ++side) {
    line.base[side] = mm_policy_number(&policy->base[side], live);
    line.slope[side] = mm_policy_number(&policy->slope[side], live);
    if (!(policy->flags & MM_STATIONARY)) { /* where set, the rates are zero, and tau may be infinite */
      line.base[side] += mm_policy_number(&policy->base_rate[side], live) * tau;
      line.slope[side] += mm_policy_number(&policy->slope_rate[side], live) * tau;
    }
  }
  return line;
}

MM_INLINE double mm_line_depth(const mm_line *line, int side, double q) {
  const double lean = line->slope[side] * q;
  return side == MM_BID ? line->base[side] + lean : line->base[side] - lean;
}

MM_INLINE mm_cell mm_affine_at(const mm_policy *policy, double q, double tau, int live) {
  const mm_line line = mm_line_at(policy, tau, live);
  mm_cell cell;
  cell.depth[MM_BID] = mm_line_depth(&line, MM_BID, q);
  cell.depth[MM_ASK] = mm_line_depth(&line, MM_ASK, q);
  cell.size[MM_BID] = cell.size[MM_ASK] = (int32_t)policy->order_size;
  cell.take = cell.reserved = 0;
  return cell;
}

MM_INLINE mm_cell mm_shape_at(const mm_policy *policy, double q, double tau, int64_t state, int live) {
  return policy->kind == MM_AFFINE ? mm_affine_at(policy, q, tau, live)
                                   : mm_table_at(policy, q, tau, state, live);
}

/* Can the policy be read there? One test for the usual case; mm_unreadable says why not. */
MM_INLINE int mm_readable(const mm_policy *policy, double q, double tau, int64_t state) {
  const int timely =
      tau > MM_LARGEST ? policy->flags & MM_STATIONARY : (tau >= 0.0) & (tau <= policy->horizon);
  return MM_FINITE(q) && (uint64_t)state < (uint64_t)policy->n_states && timely;
}

MM_COLD uint32_t mm_unreadable(const mm_policy *policy, double q, double tau, int64_t state) {
  uint32_t why = 0;
  if (!MM_FINITE(q))
    why |= MM_WHY_INVENTORY;
  if (state < 0 || state >= policy->n_states)
    why |= MM_WHY_STATE;
  if (tau != tau)
    why |= MM_WHY_TIME;
  else if (tau < 0.0)
    why |= MM_WHY_PAST_HORIZON;
  else if (tau > MM_LARGEST)
    why |= policy->flags & MM_STATIONARY ? 0 : MM_WHY_NO_STATIONARY;
  else if (tau > policy->horizon)
    why |= MM_WHY_BEYOND_HORIZON;
  return why;
}

/* What the policy says at `inventory`, before its bounds are applied. Beyond +-q_max it is read at
 * the bound. With `shrink`, a side that no full order fits is read where one still does. */
MM_INLINE mm_cell mm_cell_at(const mm_policy *policy, double inventory, double tau, int64_t state, int shrink,
                             int live) {
  const double q_max = policy->q_max;
  double q = inventory > q_max ? q_max : inventory;
  q = q < -q_max ? -q_max : q;
  mm_cell cell = mm_shape_at(policy, q, tau, state, live);
  if (MM_UNLIKELY(shrink)) {
    const double full = q_max - policy->order_size;
    if (q > full || q < -full) {
      const int side = q > full ? MM_BID : MM_ASK;
      const mm_cell other = mm_shape_at(policy, side == MM_BID ? full : -full, tau, state, live);
      cell.depth[side] = other.depth[side];
      cell.size[side] = other.size[side];
    }
  }
  return cell;
}

/* The part of `size` that `room` leaves: all, a part (with `shrink`) or nothing. */
static inline int64_t mm_fitted(int64_t size, double room, int shrink, uint32_t reason, uint32_t *why) {
  if ((double)size <= room && size > 0)
    return size;
  if (!shrink || size <= 0 || !(room >= 1.0)) {
    *why |= reason;
    return 0;
  }
  *why |= MM_WHY_SHRUNK;
  return (int64_t)room;
}

static inline void mm_cell_absent(mm_cell *cell, int side) {
  const uint64_t nan = 0x7ff8000000000000u; /* the same bits on all platforms */
  memcpy(&cell->depth[side], &nan, sizeof nan);
  cell->size[side] = 0;
}

/* Depths, sizes and take at `inventory` lots with `time_left` seconds left; returns why bits.
 *
 * A side is absent when its order would break +-q_max; beyond +-q_max only the reducing side is
 * left, read at the bound. time_left = inf reads the stationary row; times outside [0, horizon]
 * give no depths: nothing is clamped silently. */
static inline uint32_t mm_depths(const mm_policy *policy, double inventory, double time_left, int64_t state,
                                 mm_cell *out) {
  uint32_t why = 0;
  if (MM_UNLIKELY(!mm_readable(policy, inventory, time_left, state))) {
    mm_cell_absent(out, MM_BID);
    mm_cell_absent(out, MM_ASK);
    out->take = out->reserved = 0;
    return mm_unreadable(policy, inventory, time_left, state);
  }
  *out = mm_cell_at(policy, inventory, time_left, state, 0, 0);
  if (!mm_fitted(out->size[MM_BID], policy->q_max - inventory, 0, MM_WHY_POLICY_BID, &why))
    mm_cell_absent(out, MM_BID);
  if (!mm_fitted(out->size[MM_ASK], policy->q_max + inventory, 0, MM_WHY_POLICY_ASK, &why))
    mm_cell_absent(out, MM_ASK);
  for (int side = 0; side < 2; ++side) {
    if (MM_UNLIKELY(out->size[side] && !MM_FINITE(out->depth[side]))) { /* an affine policy far out */
      mm_cell_absent(out, side);
      why |= MM_WHY_RANGE;
    }
  }
  return why;
}

#ifdef __cplusplus
}
#endif

#endif
