/* Loops over many fills for bench_book.py, timed by calls from ctypes. */
#include "mmcore/book.h"

#if defined(_WIN32)
#define DOOR __declspec(dllexport)
#else
#define DOOR __attribute__((visibility("default")))
#endif

/* The profit of fills at average cost in doubles, as one would write it: what exact booking is measured by.
 */
DOOR double loop_floats(int64_t n, const int64_t *qty, const int64_t *price) {
  double net = 0, average = 0, realised = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double q = (double)qty[i], p = (double)price[i], left = net + q;
    if (net * q >= 0) {
      average = (average * net + p * q) / left;
    } else if (left * net >= 0) {
      realised += (average - p) * q;
    } else {
      realised += (p - average) * net;
      average = p;
    }
    net = left;
  }
  return realised;
}

DOOR int loop_fill(int32_t method, int64_t n, const int64_t *qty, const int64_t *price, const int64_t *fee,
                   mm_lot *lots) {
  mm_position p;
  int status = MM_OK;
  mm_position_init(&p, method, 0);
  for (int64_t i = 0; i < n && status == MM_OK; ++i)
    status = mm_position_fill(&p, lots, n, qty[i], price[i], fee[i]);
  return status;
}

DOOR int loop_fills(int32_t method, int64_t n, const int64_t *qty, const int64_t *price, const int64_t *fee,
                    mm_lot *lots) {
  mm_position p;
  int64_t booked;
  mm_position_init(&p, method, 0);
  return mm_position_fills(&p, lots, n, n, qty, price, fee, sizeof *qty, &booked);
}
