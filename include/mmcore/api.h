/* mmcore/api.h - the kernels as a table of function pointers, for hosts that load them at run time.
 *
 * C that includes this has all the structs. A host without a C compiler has of the table, through mmcore.api,
 * each kernel's name and signature (KERNELS) and each struct's size (STRUCTS); where the fields of a struct
 * are, the headers alone tell.
 *
 * A Python process hands it out as the capsule mmcore._C_API:
 *
 *   const mm_api *api = (const mm_api *)PyCapsule_Import("mmcore._C_API", 0);
 *   if (!api || api->abi != MMCORE_ABI_VERSION || api->bytes < sizeof(mm_api))
 *     ... another version
 *
 * The table only grows at its end within one ABI version. Each member is the kernel of its name, see the
 * header that declares it; none of them touches Python, so that any may be called without the GIL.
 */
#ifndef MMCORE_API_H
#define MMCORE_API_H

#include "book.h"
#include "calibration.h"
#include "orders.h"
#include "quoting.h"
#include "recalibration.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Depth of a side at an inventory in a stationary policy, ticks; NaN where the side is absent. The form that
 * numerical integrators and root finders call. */
static inline double mm_bid_depth(double inventory, void *policy) {
  mm_cell cell;
  mm_depths((const mm_policy *)policy, inventory, (double)INFINITY, 0, &cell);
  return cell.depth[MM_BID];
}

static inline double mm_ask_depth(double inventory, void *policy) {
  mm_cell cell;
  mm_depths((const mm_policy *)policy, inventory, (double)INFINITY, 0, &cell);
  return cell.depth[MM_ASK];
}

/* Doubles of work memory that mm_live_set needs, see MM_RECALIBRATION_WORK. 0: none, as of affine policies,
 * or the parameters are refused. */
static inline int64_t mm_recalibration_work(const mm_parameters *p) {
  const int table = mm_recalibration_bytes(p) != 0 && mm_is_table(p->model);
  return table ? (int64_t)MM_RECALIBRATION_WORK(mm_nodes_of(p)) : 0;
}

/* result, name and parameters of each kernel, in the order of the table. */
/* clang-format off */
#define MM_API_KERNELS(K)                                                                                    \
  K(int, policy_check, (const mm_policy *policy, uint64_t bytes))                                            \
  K(uint32_t, depths,                                                                                        \
    (const mm_policy *policy, double inventory, double time_left, int64_t state, mm_cell *out))              \
  K(double, bid_depth, (double inventory, void *policy))                                                     \
  K(double, ask_depth, (double inventory, void *policy))                                                     \
  K(void, quote_make,                                                                                        \
    (const mm_policy *policy, const mm_rules *rules, double reference, double inventory, int64_t touch_bid,  \
     int64_t touch_ask, double shift, double target, double time_left, int64_t state, double age,            \
     mm_quote *out))                                                                                         \
  K(void, quote_rows,                                                                                        \
    (const mm_policy *policy, const mm_rules *rules, ptrdiff_t n, const mm_column *columns, mm_quote *out))  \
  K(void, position_init, (mm_position *p, int32_t method, int negative_prices))                              \
  K(int, position_fill,                                                                                      \
    (mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price, int64_t fee))               \
  K(int, position_mark, (mm_position *p, int64_t mark))                                                      \
  K(mm_i128, position_realised, (const mm_position *p))                                                      \
  K(int, position_unrealised, (const mm_position *p, mm_i128 *out))                                          \
  K(int64_t, orders_ring, (const mm_orders_settings *s))                                                     \
  K(int, orders_init,                                                                                        \
    (mm_orders *o, const mm_orders_settings *settings, int64_t position, int64_t first_id, int64_t *ring))   \
  K(int, orders_target,                                                                                      \
    (mm_orders *o, const mm_quote *q, int64_t touch_bid, int64_t touch_ask, int64_t now,                     \
     mm_action *actions))                                                                                    \
  K(int, orders_cancel_all, (mm_orders *o, int64_t now, mm_action *actions))                                 \
  K(int, orders_report, (mm_orders *o, const mm_report *r))                                                  \
  K(int, orders_overdue, (const mm_orders *o, int64_t now))                                                  \
  K(int, orders_ask, (mm_orders *o, int64_t now))                                                            \
  K(int, orders_reconcile,                                                                                   \
    (mm_orders *o, const mm_open_order *list, int64_t n, int64_t position, int64_t now))                     \
  K(void, parameters_init, (mm_parameters *p, int32_t model))                                                \
  K(int, parameters_check, (const mm_parameters *p, const char **wrong))                                     \
  K(uint64_t, recalibration_bytes, (const mm_parameters *p))                                                 \
  K(int64_t, recalibration_work, (const mm_parameters *p))                                                   \
  K(int, recalibration_begin, (const mm_parameters *p, mm_policy *block, uint64_t bytes))                    \
  K(int, live_set, (mm_live_policy *live, const mm_parameters *p, const char **wrong))                       \
  K(void, live_quote,                                                                                        \
    (const mm_live_policy *live, const mm_rules *rules, double reference, double inventory,                  \
     int64_t touch_bid, int64_t touch_ask, double shift, double target, double time_left, int64_t state,     \
     double age, mm_quote *out))                                                                             \
  K(int64_t, rolling_words, (const mm_rolling_settings *s))                                                  \
  K(int, rolling_init, (mm_rolling *r, const mm_rolling_settings *settings, int64_t *words))                 \
  K(int, rolling_quote, (mm_rolling *r, int64_t time, int64_t bid, int64_t ask))                             \
  K(int, rolling_trade,                                                                                      \
    (mm_rolling *r, int64_t stamp, int64_t time, int64_t price, int32_t subtick, int32_t side,               \
     uint8_t flags))                                                                                         \
  K(int, rolling_estimate, (mm_rolling *r, int64_t time, mm_estimate *e))                                    \
  K(double, position_profit, (const mm_position *p))

/* The structs that they take, for hosts that check sizes. */
#define MM_API_STRUCTS(S)                                                                                     \
  S(mm_policy) S(mm_cell) S(mm_rules) S(mm_quote) S(mm_column)                                                \
  S(mm_position) S(mm_lot) S(mm_orders) S(mm_orders_settings) S(mm_action)                                    \
  S(mm_report) S(mm_open_order) S(mm_parameters) S(mm_live_policy)                                           \
  S(mm_rolling) S(mm_rolling_settings) S(mm_estimate)
/* clang-format on */

#define MM_API_STRUCT_NAME(name) #name,
#define MM_API_STRUCT_SIZE(name) sizeof(name),
#define MM_API_MEMBER(result, name, parameters) result(*name) parameters;
#define MM_API_VALUE(result, name, parameters) mm_##name,
#define MM_API_NAME(result, name, parameters) "mm_" #name,
#define MM_API_SIGNATURE(result, name, parameters) #result " " #parameters,

typedef struct mm_api {
  uint32_t abi;   /* MMCORE_ABI_VERSION */
  uint32_t bytes; /* of the table */
  MM_API_KERNELS(MM_API_MEMBER)
} mm_api;

/* The table, made where this header is compiled. */
#define MM_API_TABLE {MMCORE_ABI_VERSION, (uint32_t)sizeof(mm_api), MM_API_KERNELS(MM_API_VALUE)}

#ifdef __cplusplus
}
#endif

#endif
