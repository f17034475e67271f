"""The kernels under threads, by the rules of the docs: no data race, nothing torn."""

import shutil
import subprocess
from pathlib import Path

import pytest

import mmcore as mm

from .building import STRICT, C, build, compiler, include, starts

HERE = Path(__file__).parent
SANITIZER = ["-O1", "-g", "-fsanitize=thread"]


def run(folder, *flags, where=None):
    """Build and run ``threads.c``; skip where the sanitizer does not exist or does not run."""
    cc = compiler(*C)
    if not starts(cc, flags, folder):
        pytest.skip("this compiler, or this kernel, has no thread sanitizer")
    # GCC warns that the sanitizer does not see fences: nothing here relies on them to order plain words
    quiet = ["-Wno-unknown-warning-option", "-Wno-tsan"] if "-fsanitize=thread" in flags else []
    place = include() if where is None else f"-I{where}"
    flags = ["-std=c11", *STRICT, *flags, *quiet, place]
    build(cc, *flags, HERE / "threads.c", "-o", folder / "threads", "-pthread", "-lm")
    return subprocess.run([folder / "threads"], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("flags", [["-O2"], ["-O3"], SANITIZER], ids=["O2", "O3", "sanitizer"])
def test_writers_and_readers_at_once(tmp_path, flags):
    ran = run(tmp_path, *flags)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    wrong, copies, *quotes = map(int, ran.stdout.split())
    assert wrong == 0
    assert copies > 100
    assert min(quotes) > 0  # each policy at even and at odd versions


PLAIN = {
    "quotes from the block that is written": (
        "recalibration.h",
        "state, age, out, 1);",
        "state, age, out, 0);",
    ),
    "the block is written": (
        "recalibration.h",
        "mm_store_double(&cell->depth[side], depth);",
        "cell->depth[side] = depth;",
    ),
    "copies of a snapshot": ("snapshot.h", "mm_load_uint64(&snapshot[i])", "snapshot[i]"),
}


@pytest.mark.parametrize("fault", PLAIN, ids=lambda name: name.replace(" ", "-"))
def test_the_sanitizer_finds_words_that_are_not_atomic(tmp_path, fault):
    header, right, wrong = PLAIN[fault]
    shutil.copytree(Path(mm.get_include()) / "mmcore", tmp_path / "mmcore")
    text = (tmp_path / "mmcore" / header).read_text()
    assert text.count(right) == 1
    (tmp_path / "mmcore" / header).write_text(text.replace(right, wrong))
    ran = run(tmp_path, *SANITIZER, where=tmp_path)
    assert "data race" in ran.stderr
