"""Booking: one fill from Python against an empty compiled method, and fills in a batch."""

from __future__ import annotations

import numpy as np

import mmcore as mm

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
    fills = book.records(qty=qty, price=price)

    def applied(cost: str, history: str) -> object:
        def work(times: int) -> None:
            for _ in range(times):
                mm.Book([instrument], cost=cost, history=history).apply(fills)

        return work

    def floats(times: int) -> None:
        for _ in range(times):
            np.dot(qty, price)

    cases = {
        "NumPy dot of sizes and prices": floats,
        "apply, average": applied("average", "none"),
        "apply, fifo": applied("fifo", "none"),
        "apply, average, history": applied("average", "full"),
    }
    return compare(cases, operations=1, rounds=15, per=BATCH)  # type: ignore[arg-type]


def rows() -> dict[str, list[Row]]:
    """Return the tables of this benchmark."""
    return {"one fill from Python, ns": scalar(), f"{BATCH:,} fills at once, ns per fill": batch()}
