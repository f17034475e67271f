"""Interleaved timing: every case runs in every round, so that noise falls on all alike.

Times are CPU seconds of this process (:func:`time.process_time_ns`). A row's time is the median over
rounds of the time for one operation, the loop's own cost subtracted; its ratio to the floor is the
median of the per-round ratios, with the quartiles beside it.

The floor runs twice in every round, so that each table measures its own noise: how far the ratio of the floor
to itself strays from 1. A row with a goal is a win or a loss where its ratio, or its time, differs from the
goal by more than that, else a tie. The floor comes first, then losses, ties, wins, and rows without a goal.
A row whose results differ from the floor's is a loss and has no time.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

__all__ = ["SMALL", "Row", "beside", "compare", "give", "page", "repeated", "save", "show", "triad"]

SMALL = os.environ.get("MMCORE_BENCH") == "small"
"""Whether every case runs just to show that it does: its times mean nothing then."""

DIFFERENT = "no time: other results than the floor's"
ORDER = ("loss", "tie", "win", "")
PREFACE = (
    "Made by `python -m bench --page`. Times are nanoseconds of CPU time unless a title says otherwise, "
    "interleaved in one run; a ratio is the median of those of each round to the floor, the first row of "
    "a table that has one. A table measures its own noise, the floor against itself. A row with a goal, a "
    "ratio or a time (≤), is a loss, tie or win against it beyond that noise; losses come first below the "
    "floor, rows without a goal last, and a row whose results differ from the floor's is a loss without a "
    "time. Times depend on the machine and on what else it does; the instruction counts that the tests "
    "compare (`bench/instructions.json`) do not."
)


@dataclass
class Row:
    """One measured case."""

    name: str
    ns: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    goal: float | None = None  # of the ratio
    limit: float | None = None  # a goal of the time, ns
    note: str = ""
    noise: float | None = None
    faster: bool = False  # the ratio says how many times as fast: more is better

    @property
    def verdict(self) -> str:
        """``"loss"``, ``"tie"`` or ``"win"`` against the goal, within the noise; empty without a goal."""
        if self.note == DIFFERENT:
            return "loss"
        noise = self.noise or 0.0
        if self.limit is not None:
            ratio = self.ns / self.limit
        elif self.ratio is None or self.goal is None:
            return ""
        else:
            ratio = self.goal / self.ratio if self.faster else self.ratio / self.goal
        return "loss" if ratio > 1 + noise else "tie" if ratio > 1 - noise else "win"

    @property
    def is_floor(self) -> bool:
        """Whether the table's ratios refer to this row: its own are 1 in every round."""
        return self.ratio_low == self.ratio_high == 1.0


def compare(
    cases: dict[str, Callable[[int], object]],
    *,
    floor: str | None = None,
    operations: int = 20_000,
    rounds: int = 25,
    per: int = 1,
    empty: Callable[[int], object] | None = None,
    goals: dict[str, float] | None = None,
    limits: dict[str, float] | None = None,
    wrong: Collection[str] = (),
) -> list[Row]:
    """Time ``cases``, each called as ``case(operations)``, interleaved.

    Parameters
    ----------
    cases : dict
        Name to a function that does its operation ``n`` times.
    floor : str, optional
        The case that ratios refer to.
    per : int
        Items in one operation (rows of a batch), so that times are per item.
    empty : callable, optional
        The bare loop; its time is subtracted from every case.
    goals : dict, optional
        The ratio wanted of a case.
    limits : dict, optional
        The time wanted of a case, ns.
    wrong : collection of str
        Cases whose results were found to differ from the floor's: they get no time.
    """
    cases = {name: case for name, case in cases.items() if name not in wrong}
    again = None if floor is None else f"{floor}, again"
    if floor is not None and again is not None:
        cases[again] = cases[floor]
    if SMALL:
        operations, rounds = min(operations, max(4, operations // 1000)), 2
    times: dict[str, list[float]] = {name: [] for name in cases}
    for case in cases.values():
        case(max(1, operations // 10))
    clock = time.process_time_ns
    for _ in range(rounds):
        base = 0.0
        if empty is not None:
            start = clock()
            empty(operations)
            base = clock() - start
        for name, case in cases.items():
            start = clock()
            case(operations)
            times[name].append((clock() - start - base) / (operations * per))
    rows = []
    for name, seen in times.items():
        row = Row(name, statistics.median(seen), goal=(goals or {}).get(name), limit=(limits or {}).get(name))
        if floor is not None:
            ratios = sorted(t / f for t, f in zip(seen, times[floor], strict=True) if f > 0)
            if ratios:
                row.ratio = statistics.median(ratios)
                row.ratio_low, row.ratio_high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
        rows.append(row)
    if again is not None:
        same = rows.pop()
        assert same.name == again
        ends = [one for one in (same.ratio_low, same.ratio_high) if one is not None]
        for row in rows:
            row.noise = max((abs(end - 1) for end in ends), default=None)
    return rows + [Row(name, math.nan, note=DIFFERENT) for name in wrong]


def repeated(once: Callable[[], object]) -> Callable[[int], None]:
    """Turn a case into a loop over it."""

    def work(times: int) -> None:
        for _ in range(times):
            once()

    return work


def beside(peers: str, module: str) -> dict[str, list[Row]] | None:
    """Run a benchmark's ``here()`` in the environment ``build/peers/PEERS`` (``make peers``), on one thread.

    None where there is no such environment, or all is just to be shown to run. The module calls :func:`give`
    when it is run.
    """
    python = Path(f"build/peers/{peers}/bin/python")
    if SMALL or not python.exists():
        print(f"no environment build/peers/{peers} (make peers): our own rows alone")
        return None
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    paths = os.pathsep.join(["python", "."])
    ran = subprocess.run(
        [python, "-m", module],
        env={**os.environ, **alone, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {title: [Row(**row) for row in table] for title, table in json.loads(ran.stdout).items()}


def give(tables: dict[str, list[Row]]) -> None:
    """Hand tables to the process that asked for them by :func:`beside`."""
    print(json.dumps({title: [asdict(row) for row in table] for title, table in tables.items()}))


def triad(threads: int = 1, clock: Callable[[], float] = time.process_time) -> float:
    """Bytes a second of a = b + c over arrays that no cache holds (NumPy: 24 bytes an element)."""
    a, b, c = (np.ones(8_000_000) for _ in range(3))
    parts = [slice(a.size * i // threads, a.size * (i + 1) // threads) for i in range(threads)]
    times = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(2 if SMALL else 20):
            start = clock()
            list(pool.map(lambda part: np.add(b[part], c[part], out=a[part]), parts))
            times.append(clock() - start)
    return 24 * a.size / min(times)


def show(title: str, rows: list[Row]) -> None:
    """Print a table, in the order of :func:`ordered`."""
    noise = max((row.noise for row in rows if row.noise is not None), default=None)
    print(f"\n{title}" + ("" if noise is None else f"   (noise {100 * noise:.1f} %)"))
    print(f"  {'case':46s} {'ns':>10s} {'x floor':>9s} {'quartiles':>15s} {'goal':>11s}")
    for row in ordered(rows):
        print(f"  {row.name:46s} " + "{:>10s} {:>9s} {:>15s} {:>11s}  {:4s} {}".format(*cells(row)).rstrip())


def ordered(rows: list[Row]) -> list[Row]:
    """Return the floor, then losses, ties, wins and rows without a goal."""
    return sorted(rows, key=lambda row: (not row.is_floor, ORDER.index(row.verdict)))


def cells(row: Row) -> tuple[str, str, str, str, str, str]:
    """Return time, ratio, quartiles, goal, verdict and note as texts."""
    return (
        "" if math.isnan(row.ns) else f"{row.ns:.2f}",
        "" if row.ratio is None else f"{row.ratio:.3f}",
        "" if row.ratio_low is None else f"{row.ratio_low:.3f}..{row.ratio_high:.3f}",
        f"≤ {row.limit:,.0f} ns" if row.limit is not None else "" if row.goal is None else f"{row.goal:g}",
        row.verdict,
        row.note,
    )


def machine() -> dict[str, str]:
    """Return what times depend on: processor, cores, compiler, versions, the day."""
    import scipy

    import mmcore

    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
    )
    return {
        "processor": f"{model} ({platform.machine()}, {mmcore.cpu.level()})",
        "cores": str(os.cpu_count()),
        "compiler": platform.python_compiler(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
        "mmcore": mmcore.__version__,
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def save(name: str, tables: dict[str, list[Row]]) -> Path:
    """Write the tables with machine and versions to ``build/bench/NAME.json``."""
    place = Path("build/bench")
    place.mkdir(parents=True, exist_ok=True)
    kept = {title: [asdict(row) for row in rows] for title, rows in tables.items()}
    path = place / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "tables": kept}, indent=1))
    return path


def page(names: list[str]) -> str:
    """Return the results page: the tables kept in ``build/bench``."""
    records = [json.loads(Path(f"build/bench/{name}.json").read_text()) for name in names]
    lines = ["# Benchmarks", "", PREFACE, ""]
    for name, record in zip(names, records, strict=True):
        told = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
        lines += [f"## {name.replace('_', ' ')}", "", told + ".", ""]
        for title, kept in record["tables"].items():
            rows = [Row(**row) for row in kept]
            noise = max((row.noise for row in rows if row.noise is not None), default=None)
            lines += [f"**{title}**" + ("" if noise is None else f" (noise {100 * noise:.1f} %)"), ""]
            lines += ["| case | ns | x floor | quartiles | goal | | |", "|---|---:|---:|---:|---:|---|---|"]
            lines += [f"| {row.name} | " + " | ".join(cells(row)) + " |" for row in ordered(rows)]
            lines.append("")
    return "\n".join(lines)
