"""The live step in C allocates nothing, and its orders, position and window agree."""

import subprocess
import sys
from pathlib import Path

import pytest

from .building import STRICT, C, build, compiler, include

SOURCE = Path(__file__).resolve().parents[2] / "bench" / "live_step.c"
MAIN = """
#include <stdio.h>
static long allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) { allocations++; return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t m) { allocations++; return __real_calloc(n, m); }
void *__wrap_realloc(void *p, size_t n) { allocations++; return __real_realloc(p, n); }
int main(void) {
  int64_t out[4];
  const int failed = desk_begin(50);
  const long begun = allocations;
  loop_step(500000);
  const int64_t refused = loop_set(200, 0) + loop_set(200, 1);
  const int64_t whole = loop_estimate(20);
  loop_step(500000);
  counts(out);
  printf("%d %ld %ld %lld %lld %lld %lld %lld %lld\\n", failed, begun, allocations - begun,
         (long long)refused, (long long)whole, (long long)out[0], (long long)out[1], (long long)out[2],
         (long long)out[3]);
  return 0;
}
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts allocations by an option of GNU ld")
def test_a_live_step_allocates_nothing(tmp_path):
    (tmp_path / "main.c").write_text(SOURCE.read_text() + MAIN)
    wrap = [f"-Wl,--wrap={name}" for name in ("malloc", "calloc", "realloc")]
    build(
        compiler(*C), "-std=c11", "-O2", *STRICT, include(), tmp_path / "main.c",
        *wrap, "-o", tmp_path / "main", "-lm",
    )  # fmt: skip
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    failed, begun, more, refused, whole, messages, fills, net, position = map(int, done.stdout.split())
    assert failed == refused == 0
    assert begun == 3  # two policies with their work, the window: the counter counts
    assert more == 0
    assert whole == 20
    assert messages > 1000 < fills
    assert net == position
