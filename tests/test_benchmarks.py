"""Every benchmark that needs no peer runs: what nobody calls breaks unseen. Times are not looked at."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


NAMES = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "bench").glob("bench_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name):
    if name != "replay" and not shutil.which("cc"):
        pytest.skip("needs a C compiler, for its floors")
    ran = subprocess.run(
        [sys.executable, "-m", "bench", name],
        cwd=ROOT,
        env={**os.environ, "MMCORE_BENCH": "small", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert " ns " in ran.stdout
