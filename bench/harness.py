"""Interleaved timing: every case runs in every round, so that noise falls on all alike.

Times are CPU seconds of this process (:func:`time.process_time_ns`). A row's time is the median over
rounds of the time for one operation, the loop's own cost subtracted; its ratio to the floor is the
median of the per-round ratios, with the quartiles beside it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

__all__ = ["SMALL", "Row", "beside", "compare", "give", "save", "show", "triad"]

SMALL = os.environ.get("MMCORE_BENCH") == "small"
"""Whether every case runs just to show that it does: its times mean nothing then."""


@dataclass
class Row:
    """One measured case."""

    name: str
    ns: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    goal: float | None = None
    note: str = ""


def compare(
    cases: dict[str, Callable[[int], object]],
    *,
    floor: str | None = None,
    operations: int = 20_000,
    rounds: int = 25,
    per: int = 1,
    empty: Callable[[int], object] | None = None,
    goals: dict[str, float] | None = None,
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
    """
    if SMALL:
        operations, rounds = max(4, operations // 1000), 2
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
        row = Row(name, statistics.median(seen), goal=(goals or {}).get(name))
        if floor is not None:
            ratios = sorted(t / f for t, f in zip(seen, times[floor], strict=True) if f > 0)
            if ratios:
                row.ratio = statistics.median(ratios)
                row.ratio_low, row.ratio_high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
        rows.append(row)
    return rows


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
    """Print a table."""
    print(f"\n{title}")
    print(f"  {'case':44s} {'ns':>10s} {'x floor':>9s} {'quartiles':>15s} {'goal':>7s}")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3f}"
        spread = "" if row.ratio_low is None else f"{row.ratio_low:.3f}..{row.ratio_high:.3f}"
        goal = "" if row.goal is None else f"{row.goal:g}"
        print(f"  {row.name:44s} {row.ns:10.2f} {ratio:>9s} {spread:>15s} {goal:>7s}  {row.note}")


def save(name: str, rows: list[Row]) -> Path:
    """Write the rows with machine and versions to ``build/bench/NAME.json``."""
    import numpy

    import mmcore

    place = Path("build/bench")
    place.mkdir(parents=True, exist_ok=True)
    record = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "mmcore": mmcore.__version__,
        "rows": [asdict(row) for row in rows],
    }
    path = place / f"{name}.json"
    path.write_text(json.dumps(record, indent=1))
    return path
