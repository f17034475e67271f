"""Run every benchmark of this folder: ``python -m bench [--page] [NAME ...]``.

A benchmark is a module ``bench_NAME.py`` with a function ``rows() -> dict[str, list[Row]]``: titled
tables. Results are printed and kept in ``build/bench/NAME.json``; ``--page`` also writes all that are kept
there to ``docs/benchmarks.md``.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from .harness import SMALL, page, save, show


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    found = sorted(p.stem.removeprefix("bench_") for p in Path(__file__).parent.glob("bench_*.py"))
    write, names = "--page" in names, [name for name in names if name != "--page"]
    for name in names or found:
        if name not in found:
            raise SystemExit(f"no benchmark {name!r}; there are: {', '.join(found)}")
        tables = importlib.import_module(f"bench.bench_{name}").rows()
        for title, rows in tables.items():
            show(title, rows)
        if not SMALL:
            save(name, tables)
    if write:
        kept = [name for name in found if Path(f"build/bench/{name}.json").exists()]
        Path("docs/benchmarks.md").write_text(page(kept))


if __name__ == "__main__":
    main(sys.argv[1:])
