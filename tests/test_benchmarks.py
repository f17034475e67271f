"""Every benchmark that needs no peer runs: what nobody calls breaks unseen. Times are not looked at."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
harness = pytest.importorskip("bench.harness")

ROOT = Path(__file__).resolve().parents[1]


COMPILED = ("book", "live", "orders", "quoting")  # their floors, or their loops, are C
NAMES = sorted(path.stem.removeprefix("bench_") for path in (ROOT / "bench").glob("bench_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name):
    if name in COMPILED and not shutil.which("cc"):
        pytest.skip("needs cc")
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


def test_the_floor_comes_first_then_losses_and_rows_without_a_goal_last():
    rows = [
        harness.Row("no goal", 5.0, ratio=0.5, ratio_low=0.4, ratio_high=0.6),
        harness.Row("win", 5.0, ratio=0.5, ratio_low=0.4, ratio_high=0.6, goal=1.0, noise=0.1),
        harness.Row("within the noise", 10.5, ratio=1.05, ratio_low=1.0, ratio_high=1.1, goal=1.0, noise=0.1),
        harness.Row("too long", 61.0, limit=60.0),
        harness.Row("other results", math.nan, note=harness.DIFFERENT),
        harness.Row("short enough", 59.0, limit=60.0),
        harness.Row("times as fast", 5.0, ratio=0.5, ratio_low=0.4, ratio_high=0.6, goal=1.0, faster=True),
        harness.Row("floor", 10.0, ratio=1.0, ratio_low=1.0, ratio_high=1.0),
    ]
    found = {row.name: row.verdict for row in harness.ordered(rows)}
    assert list(found.items()) == [
        ("floor", ""),
        ("too long", "loss"),
        ("other results", "loss"),
        ("times as fast", "loss"),
        ("within the noise", "tie"),
        ("win", "win"),
        ("short enough", "win"),
        ("no goal", ""),
    ]


def test_the_page_in_the_docs_is_in_that_order():
    """Its tables, read back: verdicts within each, and the floor, all of whose ratios are 1, on top."""
    tables, verdicts = 0, {"loss", "tie", "win", ""}
    for table in (ROOT / "docs/benchmarks.md").read_text().split("\n\n"):
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
        if not table.startswith("| case |"):
            continue
        tables += 1
        floor = ["1.000..1.000" in row for row in rows]
        assert floor == sorted(floor, reverse=True)
        found = [row[5] for row in rows[sum(floor) :]]
        assert set(found) <= verdicts
        assert found == sorted(found, key=harness.ORDER.index)
    assert tables > 10
