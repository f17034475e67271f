"""What the classes promise under "Thread-safety": stated by each, and kept under stress.

Books shared by threads are in test_book.py, recalibration under readers in test_recalibration.py, replays in
test_replay.py, and the kernels under the thread sanitizer in native/test_threads_native.py.
"""

import importlib
import inspect
import sys
import threading
from enum import Enum

import numpy as np
import pytest

import mmcore as mm
from mmcore.quoting import QuoteBuffer

pytestmark = pytest.mark.compiled
COMPILED = (
    "bellman",
    "book",
    "decimals",
    "lattice",
    "market_making",
    "matching",
    "orders",
    "quoting",
    "rolling",
)


@pytest.fixture(autouse=True)
def restless():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*work):
    """Run all at once; what one raises is raised here."""
    raised = []

    def kept(function):
        try:
            function()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=kept, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


@pytest.mark.parametrize("module", COMPILED)
def test_every_class_says_its_rule(module):
    found = importlib.import_module(f"mmcore.{module}")
    for name in found.__all__:
        thing = getattr(found, name)
        if inspect.isclass(thing) and not issubclass(thing, Enum | Exception):
            assert "Thread-safety:" in thing.__doc__, f"{module}.{name}"


def test_one_writer_of_rules_and_many_who_quote():
    """A quote, and each row of a batch, is made under one of the settings, whole."""
    quoter = mm.Quoter(mm.Affine(base=1.5, order_size=4, q_max=400))
    settings = [mm.Limits(100), mm.Limits(2, shrink=True)]
    allowed = []
    for limits in settings:
        quoter.limits = limits
        allowed.append(quoter.quote(100.0, 0))
    quoter.halt()
    allowed.append(quoter.quote(100.0, 0))
    quoter.resume()
    assert len(set(allowed)) == 3
    sizes = {(q.bid_size, q.ask_size) for q in allowed}
    done = threading.Event()

    def write():
        while not done.is_set():
            for limits in settings:
                quoter.limits = limits
            quoter.halt()
            quoter.resume()

    def scalar():
        buffer = QuoteBuffer()
        for _ in range(4000):
            assert quoter.quote(100.0, 0) in allowed
            quoter.quote_into(buffer, 100.0, 0)
            assert buffer.quote() in allowed

    def batch():
        for _ in range(300):
            rows = quoter.quote_batch(np.full(2000, 100.0), 0)
            assert len(np.unique(rows)) == 1
            assert (rows["bid_size"][0], rows["ask_size"][0]) in sizes
            assert len(np.unique(quoter.price_batch(np.full(2000, 100.0), 0), axis=1).T) == 1

    def read():
        try:
            together(scalar, scalar, batch)
        finally:
            done.set()

    together(write, read)


def test_one_writer_of_orders_and_many_who_look():
    orders = mm.Orders(max_exposure=5, messages=[(1000, 1000)])
    done = threading.Event()

    def write():
        try:
            for now in range(20_000):
                for action in orders.target((100 + now % 7, 110 + now % 5, 2, 2), now=now * 1000):
                    kind = "canceled" if action.kind == mm.ActionKind.CANCEL else "fill"
                    named = {"filled": action.size} if kind == "fill" else {}
                    if action.kind != mm.ActionKind.AMEND:
                        orders.on_report(mm.Report(kind, action.order_id, **named))
        finally:
            done.set()

    def look():
        while not done.is_set():
            position, (buys, sells) = orders.position, orders.exposure
            assert abs(position) <= 5
            assert 0 <= buys <= 10
            assert 0 <= sells <= 10
            for order in orders.working:
                assert 0 <= order.filled <= order.size
            assert repr(orders)

    together(write, look, look)


def test_policies_are_shared_freely():
    rng = np.random.default_rng(1)
    table = mm.Table(*rng.uniform(0, 2, (2, 3, 41)), q_max=20, time_left=[0.0, 1.0, 60.0], stationary=False)
    inventory, left = rng.uniform(-22, 22, 5000), rng.uniform(0, 60, 5000)
    want = table.depths_batch(inventory, left)
    block = table.to_bytes()

    def work():
        quoter = mm.Quoter(table)
        for i in range(40):
            assert np.array_equal(table.depths_batch(inventory, left), want, equal_nan=True)
            assert quoter.quote(100.0, i % 20, time_left=1.0).version == 1
            assert mm.Table.from_bytes(block) == table

    together(*[work] * 4)
