"""Orders in C and from Python: a quote unchanged, within the hysteresis, and amends with their reports."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from itertools import repeat
from pathlib import Path
from typing import Any

import mmcore as mm

from .floor import empty
from .harness import Row, compare

FLAGS = [
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-shared",
    "-fPIC",
]


def kernels(name: str) -> ctypes.CDLL:
    """Return bench/NAME.c as a library, built with the flags of mmcore itself."""
    source, place = Path(__file__).with_name(f"{name}.c"), Path("build/bench")
    place.mkdir(parents=True, exist_ok=True)
    library = (place / f"{name}.so").resolve()
    compiler = os.environ.get("CC") or shutil.which("cc") or "gcc"
    include = f"-I{mm.get_include()}"
    subprocess.run([compiler, *FLAGS, include, str(source), "-o", str(library), "-lm"], check=True)
    return ctypes.CDLL(str(library))


def in_c() -> list[Row]:
    """The kernel by itself; an operation is one target, with the reports on what it sends."""
    library = kernels("orders_loops")

    def loop(name: str) -> Callable[[int], object]:
        function = getattr(library, f"loop_{name}")
        function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_int64
        return function

    cases = {
        "unchanged": loop("unchanged"),
        "moved within the hysteresis": loop("near"),
        "two amends and their reports": loop("amends"),
        "the same, two budgets": loop("budgets"),
    }
    return compare(cases, empty=loop("bare"), operations=200_000, limits={"unchanged": 10.0})


def from_python() -> list[Row]:
    """The class: times of single calls."""
    quoter = mm.Quoter(mm.Affine(base=1.5))
    quote, moved = quoter.quote(100.5, 0), quoter.quote(103.5, 0)
    orders, other = mm.Orders(max_exposure=50), mm.Orders(max_exposure=50)
    fill = {a.order_id: mm.Report("accepted", a.order_id) for a in orders.target(quote, 0)}
    for report in fill.values():
        orders.on_report(report)
    orders.target(quote, 0)
    for action in other.target(quote, 0):
        other.on_report(mm.Report("accepted", action.order_id))
    floor = empty()

    def nothing(n: int) -> None:
        call: Any = floor.quote
        for _ in repeat(None, n):
            call(1.5, 0, 1, 1)

    def unchanged(n: int) -> None:
        call = orders.target
        for _ in repeat(None, n):
            call(quote, 1)

    def touch(n: int) -> None:
        call = orders.target
        for _ in repeat(None, n):
            call(quote, 1, 90, 110)

    def amends(n: int) -> None:
        now = 0
        for _ in repeat(None, n // 2):
            for wanted in (moved, quote):
                for action in other.target(wanted, now):
                    other.on_report(mm.Report("amended", action.order_id))

    def bare(n: int) -> None:
        for _ in repeat(None, n):
            pass

    return compare(
        {
            "empty method -> 2-tuple": nothing,
            "target, unchanged": unchanged,
            "target, unchanged, with the touch": touch,
            "two amends and their reports": amends,
        },
        floor="empty method -> 2-tuple",
        empty=bare,
        goals={"target, unchanged": 1.0},
    )


def rows() -> dict[str, list[Row]]:
    """Both tables."""
    return {"orders in C, ns": in_c(), "orders from Python": from_python()}
