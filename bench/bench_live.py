"""A full live step in C and from Python, and what a recalibration costs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

import mmcore as mm

from .bench_orders import kernels
from .harness import Row, compare


def recalibration() -> list[Row]:
    """`set` in C, at several sizes of the lattice, and from Python."""
    library = kernels("live_step")
    limits = {50: 2e3, 500: 20e3, 5000: 200e3}  # ns
    rows: list[Row] = []
    for q_max, limit in limits.items():
        assert library.desk_begin(ctypes.c_double(q_max)) == 0
        cases = {
            f"set in C, Q = {q_max}": lambda n: library.loop_set(ctypes.c_int64(n), 0),
            f"set in C, Q = {q_max}, own k for each side": lambda n: library.loop_set(ctypes.c_int64(n), 1),
        }
        wanted = dict.fromkeys(cases, limit)
        rows += compare(cases, operations=200_000 // q_max, rounds=15, limits=wanted)
    quoter = mm.Quoter(mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=50))

    def from_python(n: int) -> None:
        for i in range(n):
            quoter.set(sigma=0.3 + 0.001 * (i % 7), k=0.3 + 0.0005 * (i % 5))

    rows += compare({"quoter.set from Python, Q = 50": from_python}, operations=2000, rounds=15)
    assert library.desk_begin(ctypes.c_double(50)) == 0
    library.loop_step(ctypes.c_int64(400_000))  # 400 s of the desk's time fill the window
    cases = {"estimate of a window of 300 s, C": lambda n: library.loop_estimate(ctypes.c_int64(n))}
    return rows + compare(cases, operations=1000, rounds=15)


def step_in_c() -> list[Row]:
    """The mean of many steps, and quantiles of single ones less the clock's median."""
    library = kernels("live_step")
    rows: list[Row] = []
    for calibrating in (1, 0):
        library.calibrate(calibrating)
        assert library.desk_begin(ctypes.c_double(50)) == 0
        rows += _steps(library, "" if calibrating else ", without the calibration's window")
    library.calibrate(1)
    return rows


def _steps(library: Any, which: str) -> list[Row]:
    def loop(name: str) -> Callable[[int], object]:
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_int64], ctypes.c_int64
        return function

    rows = compare({f"mean{which}": loop("loop_step")}, empty=loop("loop_bare"), operations=200_000)
    n = 400_000
    steps, clock = np.zeros(n, np.int64), np.zeros(n, np.int64)
    pointer = ctypes.POINTER(ctypes.c_int64)
    library.latencies(ctypes.c_int64(n), steps.ctypes.data_as(pointer), clock.ctypes.data_as(pointer))
    floor = float(np.median(clock))
    for share, limit in ((0.5, 60.0), (0.99, 150.0), (0.999, None)):
        row = Row(f"{100 * share:g} % of the steps{which}", float(np.quantile(steps, share)) - floor)
        row.limit, row.note = limit, f"the clock's median, {floor:.0f} ns, taken off"
        rows.append(row)
    return rows


def step_from_python() -> list[Row]:
    """Quote, target and nothing to send: what most events are; and every event with its messages."""
    instrument = mm.Instrument("X", tick="1")
    quoter = mm.Quoter(
        mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=50), instrument
    )
    answer = {
        mm.ActionKind.NEW: "accepted",
        mm.ActionKind.AMEND: "amended",
        mm.ActionKind.CANCEL: "canceled",
    }

    def desk(moves: list[float]) -> Callable[[int], None]:
        orders, buffer = mm.Orders(instrument, max_exposure=50), mm.QuoteBuffer()
        position = mm.Book([instrument], history="none")["X"]
        clock = [0]

        def run(n: int) -> None:
            into, target, mark = quoter.quote_into, orders.target, position.set_mark
            now, many = clock[0], len(moves)
            for i in range(n):
                now += 1000
                reference = moves[i % many]
                into(buffer, reference, position.net, 99, 102)
                for action in target(buffer, now, 99, 102):
                    orders.on_report(mm.Report(answer[action.kind], action.order_id))
                mark(100)
            clock[0] = now

        return run

    def bare(n: int) -> None:
        for i in range(n):
            i % 2

    cases = {
        "event that sends nothing": desk([100.5, 100.51]),
        "event that amends both sides, answered": desk([100.5, 102.5]),
    }
    return compare(cases, empty=bare, limits={"event that sends nothing": 250.0})


def rows() -> dict[str, list[Row]]:
    """All tables."""
    return {
        "recalibration": recalibration(),
        "a live step in C: event, window, quote, limits, messages, reports, book": step_in_c(),
        "a live step from Python: quote, limits, messages, mark": step_from_python(),
    }
