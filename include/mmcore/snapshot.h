/* mmcore/snapshot.h - a copy of a struct that other threads may read while its one writer goes on.
 *
 * Positions, orders and windows have one writer, who works on a struct of its own and from time to time puts
 * a copy where others find it: a version counter, then the words. The writer never waits; a reader that was
 * overtaken reads again. All of it is atomic words, so that nothing is a data race.
 *
 *   uint64_t shared[MM_SNAPSHOT_WORDS(mm_position)] = {0};
 *   mm_snapshot_put(shared, &position, sizeof position);            the writer
 *   version = mm_snapshot_get(shared, &mine, sizeof mine);          any thread; 0: nothing was put yet
 */
#ifndef MMCORE_SNAPSHOT_H
#define MMCORE_SNAPSHOT_H

#include <stddef.h>
#include <string.h>

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* 64-bit words of a snapshot: the counter, which is odd while the rest is written, and the copy. */
#define MM_SNAPSHOT_WORDS(type) (1 + (sizeof(type) + 7) / 8)

static inline void mm_snapshot_put(uint64_t *snapshot, const void *from, size_t bytes) {
  const char *rest = (const char *)from;
  const uint64_t version = mm_load_uint64(snapshot);
  mm_store_uint64(snapshot, version + 1);
  MM_FENCE_RELEASE(); /* the words are written after the counter is odd */
  for (size_t i = 1; bytes; ++i) {
    const size_t part = bytes < 8 ? bytes : 8;
    uint64_t word = 0;
    memcpy(&word, rest, part);
    mm_store_uint64(&snapshot[i], word);
    rest += part, bytes -= part;
  }
  mm_store_release(snapshot, version + 2);
}

/* How many copies were put so far; `to` holds the last. */
static inline uint64_t mm_snapshot_get(const uint64_t *snapshot, void *to, size_t bytes) {
  for (;;) {
    const uint64_t version = mm_load_acquire(snapshot);
    char *rest = (char *)to;
    size_t left = bytes;
    for (size_t i = 1; left; ++i) {
      const size_t part = left < 8 ? left : 8;
      const uint64_t word = mm_load_uint64(&snapshot[i]);
      memcpy(rest, &word, part);
      rest += part, left -= part;
    }
    MM_FENCE_ACQUIRE(); /* the words were read before the counter is read again */
    if (!(version & 1) && mm_load_uint64(snapshot) == version)
      return version / 2;
  }
}

#ifdef __cplusplus
}
#endif

#endif
