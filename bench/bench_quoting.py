"""Quotes: one from Python against an empty compiled method, many against a NumPy expression."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np

from mmcore import Affine, GueantLehalleFernandezTapia, Limits, QuoteBuffer, Quoter
from mmcore.quoting import QUOTE

from .floor import empty
from .harness import Row, compare

FLOOR = "empty method -> 2-tuple"
REFERENCE, INVENTORY, BID, ASK = 617000.3, 7, 616999, 617001


def calls(function: Callable[..., Any], *arguments: Any) -> Callable[[int], object]:
    """Return a loop that calls ``function(*arguments)`` n times."""
    names: dict[str, Any] = {"f": function, "repeat": repeat}
    names.update({f"a{i}": argument for i, argument in enumerate(arguments)})
    bound = ", ".join(f"{name}={name}" for name in names)  # defaults: locals of the loop
    given = ", ".join(name for name in names if name not in ("f", "repeat"))
    source = f"def loop(n, {bound}):\n    for _ in repeat(None, n):\n        f({given})"
    exec(source, names)
    return names["loop"]  # type: ignore[no-any-return]


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
    return compare(cases, floor=FLOOR, empty=bare, goals={name: 1.0 for name in cases if "quote," in name})


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
    return compare(cases, floor=FLOOR, empty=bare)


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
    for mine, theirs in zip(
        ("bid", "ask", "bid_size", "ask_size"), numpy_quotes(policy, 40, *arguments), strict=True
    ):
        assert np.array_equal(ours[mine], theirs), mine

    cases = {
        "NumPy expression": calls(numpy_quotes, policy, 40.0, *arguments),
        "quote_batch": calls(quoter.quote_batch, *arguments),
        "quote_batch, out=": calls(partial(quoter.quote_batch, out=out), *arguments),
    }
    return compare(
        cases, floor="NumPy expression", operations=max(4, 400_000 // n), per=n, empty=bare,
        goals={"quote_batch": 0.1} if n == 1024 else None,
    )  # fmt: skip


def rows() -> dict[str, list[Row]]:
    """All tables."""
    tables = {
        "one quote from Python, ns": scalar(),
        "one quote with a time left, ns": timed(),
        "depths from Python, ns": depths(),
    }
    for n in (1024, 4096, 65536):
        tables[f"{n:,} quotes at once, ns per quote"] = batch(n)
    return tables
