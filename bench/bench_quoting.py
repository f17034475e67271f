"""Quotes: one from Python against an empty method, in a loop against the formula, many against NumPy."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import repeat
from typing import Any

import numpy as np

from mmcore import Affine, GueantLehalleFernandezTapia, Limits, QuoteBuffer, Quoter
from mmcore.api import rules as rules_of
from mmcore.quoting import QUOTE

from .bench_orders import kernels
from .floor import empty
from .harness import SMALL, Row, compare, triad

FLOOR = "empty method -> 2-tuple"
OURS = ("quote_batch", "quote_batch, out=")
REFERENCE, INVENTORY, BID, ASK = 617000.3, 7, 616999, 617001


def calls(function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[[int], object]:
    """Return a loop that calls ``function(*arguments, **named)`` n times."""
    names: dict[str, Any] = {"f": function, "repeat": repeat, **named}
    names.update({f"a{i}": argument for i, argument in enumerate(arguments)})
    bound = ", ".join(f"{name}={name}" for name in names)  # defaults: locals of the loop
    given = ", ".join([f"a{i}" for i in range(len(arguments))] + [f"{name}={name}" for name in named])
    source = f"def loop(n, {bound}):\n    for _ in repeat(None, n):\n        f({given})"
    exec(source, names)
    return names["loop"]


def bare(n: int) -> None:
    """Return after n turns of the loop, without a call."""
    for _ in repeat(None, n):
        pass


def policies() -> dict[str, Any]:
    """Return an affine policy, a stationary table and one with time knots."""
    model = {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01, "q_max": 50}
    return {
        "affine": Affine(3.28, 0.11, q_max=50),
        "table": GueantLehalleFernandezTapia(**model).policy(),
        "table with time": GueantLehalleFernandezTapia(**model, horizon=600.0).policy(),
    }


def scalar() -> list[Row]:
    """Quotes one at a time, with the types users pass: float reference, int inventory and touch."""
    arguments = (REFERENCE, INVENTORY, BID, ASK)
    cases = {FLOOR: calls(empty().quote, *arguments)}
    shapes = policies()
    for name in ("affine", "table"):
        cases[f"quote, {name}"] = calls(
            Quoter(shapes[name], limits=Limits(max_position=50)).quote, *arguments
        )
    quoter = Quoter(shapes["affine"], limits=Limits(max_position=50))
    cases["quote_into, affine"] = calls(quoter.quote_into, QuoteBuffer(), *arguments)
    return compare(
        cases,
        floor=FLOOR,
        empty=bare,
        goals={"quote, affine": 1, "quote, table": 1, "quote_into, affine": 0.6},
    )


def timed() -> list[Row]:
    """Quotes one at a time between two knots of time, all seven arguments given."""
    arguments = (REFERENCE, INVENTORY, BID, ASK, 0.0, 0.0, 333.3)
    quoter = Quoter(policies()["table with time"], limits=Limits(max_position=50))
    cases = {
        FLOOR: calls(empty().quote, *arguments),
        "quote, table with time": calls(quoter.quote, *arguments),
    }
    return compare(cases, floor=FLOOR, empty=bare, goals={"quote, table with time": 1.0})


def depths() -> list[Row]:
    """Depths one at a time."""
    shapes = policies()
    cases = {FLOOR: calls(empty().depths, INVENTORY)}
    for name in ("affine", "table"):
        cases[f"depths, {name}"] = calls(shapes[name].depths, INVENTORY)
    return compare(cases, floor=FLOOR, empty=bare, goals={"depths, affine": 1, "depths, table": 1})


def inner() -> dict[str, list[Row]]:
    """One quote of an affine policy in the loops of compiled programs, both sides within the limits."""
    rng, n = np.random.default_rng(7), 1024
    reference = 617000.0 + rng.integers(-100, 100, n) / 2
    touch_bid = np.floor(reference).astype(np.int64) - 1
    market = (reference, rng.integers(-39, 40, n).astype(float), touch_bid, touch_bid + rng.integers(2, 5, n))
    policy = Affine(3.28, 0.11, q_max=50)
    quoter = Quoter(policy, limits=Limits(max_position=40))
    library, rules = kernels("quote_loops"), rules_of(quoter)
    library.quote_market(*(ctypes.c_void_p(column.ctypes.data) for column in market))

    def loop(name: str, kind: str = "loop") -> Callable[[int], Any]:
        function = getattr(library, f"{kind}_{name}")
        function.argtypes, function.restype = (
            [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64],
            ctypes.c_int64,
        )
        return lambda times: function(policy.address, rules, times)

    def table(goals: dict[str, float], cases: dict[str, Callable[[int], Any]]) -> list[Row]:
        expected = cases[list(cases)[-1]](n)
        wrong = [name for name, case in cases.items() if "empty" not in name and case(n) != expected]
        return compare(cases, floor=next(iter(cases)), operations=200_000, goals=goals, wrong=wrong)

    cases = {"the formula inlined": loop("by_hand"), "mm_quote_make": loop("kernel")}
    tables = {"one quote in a C loop, ns": table({"mm_quote_make": 1.15}, cases)}
    cases = {"the formula inlined": loop("by_hand", "chain"), "mm_quote_make": loop("kernel", "chain")}
    tables["one quote in a C loop, of an inventory that follows from the last, ns"] = table(
        {"mm_quote_make": 1.15}, cases
    )
    cases = {"empty": loop("called_nothing"), "the formula": loop("called_by_hand")}
    cases["mm_quote_make"] = loop("called_kernel")
    tables["one quote in a C loop, through a pointer, ns"] = table({"mm_quote_make": 1.1}, cases)
    if find_spec("numba"):
        from .quote_loops import SYMBOL, TWIN, chain_of, loops

        cases = dict(loops(quoter, policy, 40.0, *market, of=chain_of))
        tables["one quote in a numba loop, of an inventory that follows from the last, ns"] = table(
            {SYMBOL: 1.15, TWIN: 1.15}, cases
        )
        cases = dict(loops(quoter, policy, 40.0, *market))
        tables["quotes that do not depend on each other in a numba loop (the formula by eights), ns"] = table(
            {SYMBOL: 1.15, TWIN: 1.15}, cases
        )
    return tables


def numpy_quotes(
    policy: Affine, max_position: float, reference: Any, inventory: Any, touch_bid: Any, touch_ask: Any
) -> tuple[Any, Any, Any, Any]:
    """Return bid, ask and sizes of a stationary affine policy as a NumPy user would write them."""
    base, slope, q_max, size = policy.base[0], policy.slope[0], policy.q_max, policy.order_size
    q = np.clip(inventory, -q_max, q_max)
    bid = np.floor(np.round((reference - (base + slope * q)) * 1048576.0) / 1048576.0)
    ask = np.ceil(np.round((reference + (base - slope * q)) * 1048576.0) / 1048576.0)
    bid = np.minimum(bid.astype(np.int64), touch_ask - 1)
    ask = np.maximum(ask.astype(np.int64), touch_bid + 1)
    room = min(q_max, max_position)
    alive = np.isfinite(reference) & np.isfinite(inventory) & (touch_bid <= touch_ask)
    buy = alive & (inventory + size <= room)
    sell = alive & (inventory - size >= -room)
    no_bid, no_ask = np.iinfo(np.int64).min, np.iinfo(np.int64).max
    return np.where(buy, bid, no_bid), np.where(sell, ask, no_ask), buy * int(size), sell * int(size)


def batch(n: int) -> list[Row]:
    """Rows of a batch, affine, stationary."""
    rng = np.random.default_rng(7)
    reference = 617000.0 + rng.normal(0.0, 50.0, n)
    inventory = rng.integers(-50, 51, n).astype(float)
    touch_bid = np.floor(reference).astype(np.int64) - 1
    touch_ask = touch_bid + rng.integers(1, 5, n)
    policy = Affine(3.28, 0.11, q_max=50)
    quoter = Quoter(policy, limits=Limits(max_position=40))
    out = np.empty(n, QUOTE)
    arguments = (reference, inventory, touch_bid, touch_ask)
    ours = quoter.quote_batch(*arguments)
    same = all(
        np.array_equal(ours[mine], theirs)
        for mine, theirs in zip(
            ("bid", "ask", "bid_size", "ask_size"), numpy_quotes(policy, 40, *arguments), strict=True
        )
    )
    cases = {
        "NumPy expression": calls(numpy_quotes, policy, 40.0, *arguments),
        "quote_batch": calls(quoter.quote_batch, *arguments),
        "quote_batch, out=": calls(quoter.quote_batch, *arguments, out=out),
    }
    return compare(
        cases, floor="NumPy expression", operations=max(4, 400_000 // n), per=n, empty=bare,
        goals=dict.fromkeys(OURS, 1.0), wrong=() if same else OURS,
    )  # fmt: skip


def numpy_prices(policy: Affine, reference: Any, inventory: Any) -> tuple[Any, Any]:
    """Return bid and ask of an affine policy in the shortest form: no bounds, no absent side, no quanta."""
    base, slope = policy.base[0], policy.slope[0]
    bid = np.floor(reference - (base + slope * inventory)).astype(np.int64)
    ask = np.ceil(reference + (base - slope * inventory)).astype(np.int64)
    return bid, ask


def prices(n: int, varied: bool) -> list[Row]:
    """Two prices from an affine policy and a reference, for one inventory or for one in each row."""
    rng = np.random.default_rng(7)
    reference = 617000.0 + rng.normal(0.0, 50.0, n)
    inventory = rng.integers(-39, 40, n).astype(float) if varied else 7
    policy = Affine(3.28, 0.11, q_max=50)
    quoter = Quoter(policy, limits=Limits(max_position=40))
    same = np.array_equal(
        quoter.price_batch(reference, inventory), numpy_prices(policy, reference, inventory)
    )
    floor, ours = "NumPy expression", ("price_batch", "price_batch, out=")
    cases = {
        floor: calls(numpy_prices, policy, reference, inventory),
        ours[0]: calls(quoter.price_batch, reference, inventory),
        ours[1]: calls(quoter.price_batch, reference, inventory, out=np.empty((2, n), np.int64)),
    }
    goal = 0.1 if n == 1024 else 0.25
    return compare(
        cases, floor=floor, operations=max(4, 1_000_000 // n), per=n, empty=bare,
        goals=dict.fromkeys(ours, goal), wrong=() if same else ours,
    )  # fmt: skip


def streams(n: int = 8_000_000) -> list[Row]:
    """Prices that no cache holds, in wall time: bytes a second against the triad, on one thread and two."""
    n = n // 100 if SMALL else n
    reference = 617000.0 + np.random.default_rng(7).normal(0.0, 50.0, n)
    quoter = Quoter(Affine(3.28, 0.11, q_max=50))
    halves = reference.reshape(2, -1)
    out = np.empty((2, n), np.int64), np.empty((2, 2, n // 2), np.int64)
    took: dict[int, list[float]] = {1: [], 2: []}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2 if SMALL else 20):
            start = time.perf_counter()
            quoter.price_batch(reference, 7, out=out[0])
            took[1].append(time.perf_counter() - start)
            start = time.perf_counter()
            list(pool.map(lambda part, to: quoter.price_batch(part, 7, out=to), halves, out[1]))
            took[2].append(time.perf_counter() - start)
    rows = []
    for threads in took:
        speed, floor = 24 * n / min(took[threads]), triad(threads, time.perf_counter)
        note = f"{speed / 1e9:.1f} GB/s, the triad {floor / 1e9:.1f}"
        rows.append(
            Row(
                f"price_batch, threads: {threads}",
                1e9 * min(took[threads]) / n,
                floor / speed,
                goal=1.25,
                note=note,
            )
        )
    brought = triad(2, time.perf_counter) / triad(1, time.perf_counter)
    rows[
        1
    ].note += f"; two threads {min(took[1]) / min(took[2]):.2f} times as fast as one, the triad {brought:.2f}"
    return rows


def rows() -> dict[str, list[Row]]:
    """All tables."""
    tables = {
        "one quote from Python, ns": scalar(),
        "one quote with a time left, ns": timed(),
        "depths from Python, ns": depths(),
        **inner(),
    }
    for n in (1024, 4096, 65536):
        tables[f"two prices from a reference, {n:,} at once, ns each"] = prices(n, False)
        tables[f"two prices from a reference and an inventory, {n:,} at once, ns each"] = prices(n, True)
        tables[f"{n:,} quotes at once, ns per quote"] = batch(n)
    tables["two prices from a reference, out of cache, wall ns each; x the triad's time for the bytes"] = (
        streams()
    )
    return tables
