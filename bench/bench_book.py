"""Booking: one fill from Python against an empty compiled method, and fills in a batch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

import mmcore as mm

from .bench_orders import kernels
from .bench_quoting import bare, calls
from .floor import empty
from .harness import Row, compare

BATCH = 65_536


def scalar() -> list[Row]:
    """One fill with integer lots and ticks."""
    instrument = mm.Instrument("BENCH", tick="0.01")
    floor = "empty method -> 2-tuple"
    cases = {floor: calls(empty().fill, 1, 617_000)}
    for cost in ("average", "fifo"):
        position = mm.Book([instrument], cost=cost, history="none")["BENCH"]
        cases[f"fill, {cost}, no history"] = calls(position.fill, 1, 617_000)
    cases["fill, average, history"] = calls(mm.Book([instrument])["BENCH"].fill, 1, 617_000)
    return compare(cases, floor=floor, empty=bare)


def batch() -> list[Row]:
    """Random fills that open, add, close in part and flip; a new book each time."""
    rng = np.random.default_rng(1)
    instrument = mm.Instrument("BENCH", tick="0.01")
    book = mm.Book([instrument])
    qty = rng.integers(1, 100, BATCH) * (2 * rng.integers(0, 2, BATCH) - 1)
    price = 617_000 + np.cumsum(rng.integers(-2, 3, BATCH))
    fee = np.zeros(BATCH, np.int64)
    fills = book.records(qty=qty, price=price)
    library, lots = kernels("fills_loops"), np.zeros((BATCH, 2), np.int64)

    def in_c(name: str, *method: int) -> Callable[[int], object]:
        function = getattr(library, f"loop_{name}")
        arrays = (qty, price, fee, lots) if method else (qty, price)
        arguments = [ctypes.c_int32(m) for m in method] + [ctypes.c_int64(BATCH)]
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in arrays]

        def work(times: int) -> None:
            for _ in range(times):
                function(*arguments, *pointers)

        return work

    def applied(cost: Any, history: Any) -> Callable[[int], object]:
        def work(times: int) -> None:
            for _ in range(times):
                mm.Book([instrument], cost=cost, history=history).apply(fills)

        return work

    def columns(cost: Any) -> Callable[[int], object]:
        def work(times: int) -> None:
            for _ in range(times):
                mm.Book([instrument], cost=cost, history="none")["BENCH"].fill_batch(qty, price, fee)

        return work

    floor = "C, average cost in doubles"
    cases = {
        floor: in_c("floats"),
        "C, average": in_c("fills", 0),
        "C, fifo": in_c("fills", 1),
        "C, average, one by one": in_c("fill", 0),
        "C, fifo, one by one": in_c("fill", 1),
        "fill_batch, average": columns("average"),
        "fill_batch, fifo": columns("fifo"),
        "apply, average": applied("average", "none"),
        "apply, fifo": applied("fifo", "none"),
        "apply, average, history": applied("average", "full"),
    }
    # 4 ns for average cost and 8 for FIFO, where the loop in doubles takes 3.6
    goals = {
        f"{door}, {cost}": goal / 3.6
        for cost, goal in (("average", 4.0), ("fifo", 8.0))
        for door in ("C", "fill_batch", "apply")
    }
    return compare(cases, floor=floor, operations=1, rounds=25, per=BATCH, goals=goals)


def rows() -> dict[str, list[Row]]:
    """Return the tables of this benchmark."""
    return {"one fill from Python, ns": scalar(), f"{BATCH:,} fills at once, ns per fill": batch()}
