"""Run every benchmark of this folder: ``python -m bench [NAME ...]``.

A benchmark is a module ``bench_NAME.py`` with a function ``rows() -> dict[str, list[Row]]``: titled
tables. Results are printed and kept in ``build/bench/NAME.json``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from .harness import SMALL, save, show


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    found = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
    for name in names or found:
        if name not in found:
            raise SystemExit(f"no benchmark {name!r}; there are: {', '.join(found)}")
        tables = importlib.import_module(f"bench.bench_{name}").rows()
        for title, rows in tables.items():
            show(title, rows)
        if not SMALL:
            save(name, [row for rows in tables.values() for row in rows])


if __name__ == "__main__":
    main(sys.argv[1:])
