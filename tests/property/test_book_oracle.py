"""The book against an oracle in plain Python: unbounded integers, Fractions, lists of lots.

The oracle books profit the way it is told in words (each close earns its price minus what the closed lots
cost), not by the identities the kernel uses, and it states the bounds as inequalities. Hypothesis picks the
regime and a seed; the steps of a run then come from the seed, so that a hundred thousand of them are cheap.
The state machine at the end draws every step by itself, so that a failure shrinks to a few.
"""

import random
from copy import deepcopy
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import mmcore as mm
from mmcore.errors import ConflictError, InvalidArgument, OutOfBounds

pytestmark = pytest.mark.compiled

BOUND = 2**96  # tick·lot
SCALE = 10**9
INT64 = range(-(2**63), 2**63)
EDGES = [
    0,
    1,
    2,
    3,
    2**31 - 1,
    2**31,
    2**32,
    2**32 + 1,
    2**33,
    2**48 - 1,
    2**53 + 1,
    2**62,
    2**63 - 2,
    2**63 - 1,
]
EDGES += [-e for e in EDGES] + [-(2**63)]

OK, DUPLICATE, INVALID, OVERFLOW, CONFLICT = (
    mm.Status.OK,
    mm.Status.DUPLICATE,
    mm.Status.INVALID,
    mm.Status.OVERFLOW,
    mm.Status.CONFLICT,
)
ERRORS = {INVALID: InvalidArgument, OVERFLOW: OutOfBounds, CONFLICT: ConflictError}


class Oracle:
    """One position, as an accountant would keep it."""

    def __init__(self, cost: str, negative_prices: bool) -> None:
        self.cost, self.negative_prices = cost, negative_prices
        self.net = self.cash = self.pool = self.realised = self.fees = 0
        self.bought = self.sold = self.fills = 0
        self.lots: list[tuple[int, int]] = []
        self.mark: int | None = None
        self.known: dict[tuple[bool, str], tuple] = {}

    def fill(self, qty, price, fee=0, time=0, id=None):
        content = (qty, price, fee, time)
        key = (qty < 0, id)
        if id is not None and key in self.known:
            return DUPLICATE if self.known[key] == content else CONFLICT
        if qty == 0 or (price <= 0 and not self.negative_prices):
            return INVALID
        if qty == -(2**63) or price == -(2**63):
            return OVERFLOW
        net, cash = self.net + qty, self.cash - qty * price
        bought, sold = self.bought + max(qty, 0), self.sold + max(-qty, 0)
        if max(abs(net), bought, sold) >= 2**63 or abs(cash) >= BOUND or abs(qty * price) >= BOUND:
            return OVERFLOW
        if self.mark is not None and abs(self.mark * net) >= BOUND:
            return OVERFLOW
        lots, pool, earned = list(self.lots), self.pool, 0
        sign = 1 if qty > 0 else -1
        closing = min(abs(qty), abs(self.net)) if self.net * sign < 0 else 0
        if closing:
            released = self.release(lots, closing)
            if closing < abs(self.net) and abs(released) >= SCALE * BOUND:
                return OVERFLOW
            pool -= released
            earned = SCALE * -sign * closing * price - released
        opening = abs(qty) - closing
        if opening:
            lots.append((sign * opening, price))
            pool += SCALE * sign * opening * price
        if abs(pool) >= SCALE * BOUND:
            return OVERFLOW
        self.net, self.cash, self.pool, self.lots = net, cash, pool, lots if self.cost != "average" else []
        self.bought, self.sold, self.fills = bought, sold, self.fills + 1
        self.realised += earned
        self.fees += fee
        if id is not None:
            self.known[key] = content
        return OK

    def release(self, lots, closing):
        if closing == abs(self.net):
            lots.clear()
            return self.pool
        if self.cost == "average":
            return round(Fraction(self.pool * closing, abs(self.net)))  # Python rounds halves to even
        released = 0
        while closing:
            at = -1 if self.cost == "lifo" else 0
            size, price = lots[at]
            take = min(abs(size), closing)
            part = take if size > 0 else -take
            released += SCALE * part * price
            closing -= take
            if take == abs(size):
                lots.pop(at)
            else:
                lots[at] = (size - part, price)
        return released

    def set_mark(self, mark):
        if mark <= 0 and not self.negative_prices:
            return INVALID
        if mark == -(2**63) or abs(self.net * mark) >= BOUND:
            return OVERFLOW
        self.mark = mark
        return OK


def same(position, oracle):
    assert position.net == oracle.net
    assert position.cash == oracle.cash
    assert position.cost == oracle.pool
    assert position.realised == oracle.realised
    assert position.fees == oracle.fees
    assert position.mark == oracle.mark
    assert (position.bought, position.sold, position.fills) == (oracle.bought, oracle.sold, oracle.fills)
    if oracle.mark is not None:
        value = oracle.cash + oracle.mark * oracle.net
        assert position.unrealised == SCALE * oracle.mark * oracle.net - oracle.pool
        assert position.realised + position.unrealised == SCALE * value
    if oracle.net == 0:
        assert position.cost == 0
        assert position.realised == SCALE * position.cash


def refusable(call, *args, **kw):
    """Return the status of a scalar door, an exception counting as its status and None as OK."""
    try:
        return call(*args, **kw) or OK
    except tuple(ERRORS.values()) as error:
        return next(status for status, cls in ERRORS.items() if type(error) is cls)


REGIMES = ["small", "coin", "wide", "edges"]


def steps(regime, seed, n):
    """Fills and marks: small numbers that often close and flip, a market's, whole ranges, the extremes."""
    r = random.Random(seed)
    past, net = [], 0
    for i in range(n):
        if past and r.random() < 0.08:  # the venue sends a fill again, now and then not quite the same
            qty, price, fee, time, name = r.choice(past)
            if r.random() < 0.3:
                price += r.choice([-1, 1])
            if price in INT64:
                yield "fill", (qty, price, fee, time, name)
            continue
        if regime == "small":
            qty, price, fee = r.randint(-5, 5), r.randint(-1, 9), r.randint(-2, 3)
        elif regime == "coin":
            qty, price, fee = r.randint(-700, 700), r.randint(616000, 619000), r.randint(-900, 90000)
        elif regime == "wide":
            qty = r.choice([-1, 1]) * r.getrandbits(r.randint(1, 62))
            price = r.getrandbits(r.randint(1, 62)) - r.choice([0, 0, 0, 2**40])
            fee = r.randint(-(2**63), 2**63 - 1)
        else:
            qty, price, fee = r.choice(EDGES), r.choice(EDGES), r.choice(EDGES)
        if r.random() < 0.3:  # come home: just short of flat, flat, or through it
            qty = -net + r.choice([0, 0, 1, -1, qty])
        if qty not in INT64:
            continue
        net = net + qty if abs(net + qty) < 2**63 else 0
        if r.random() < 0.05:
            yield "mark", (price,)
        name = f"{i}" if r.random() < 0.5 else None
        if name is not None:
            past.append((qty, price, fee, i, name))
        yield "fill", (qty, price, fee, i, name)


def pair(cost, negative_prices):
    book = mm.Book([mm.Instrument("X", tick="0.01", negative_prices=negative_prices)], cost=cost)
    return book, Oracle(cost, negative_prices)


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
@pytest.mark.parametrize("regime", REGIMES)
@given(seed=st.integers(0, 2**32), negative=st.booleans())
@settings(max_examples=20)
def test_every_step_equals_the_oracle(cost, regime, seed, negative):
    """4 regimes x 3 methods x 20 runs x 700 fills: 168,000 steps, the whole state compared after each."""
    book, oracle = pair(cost, negative)
    position = book["X"]
    for what, args in steps(regime, seed, 700):
        if what == "mark":
            assert refusable(book.mark, "X", *args) is oracle.set_mark(*args)
        else:
            expected = oracle.fill(*args)
            before = position.state_dict() if expected < 0 else None
            assert refusable(position.fill, *args) is expected
            assert before is None or position.state_dict() == before
        same(position, oracle)
    assert position.lots == tuple(oracle.lots)
    assert len(book.history) == oracle.fills


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("on_error", ["none", "skip"])
@given(seed=st.integers(0, 2**32), negative=st.booleans())
@settings(max_examples=8)
def test_batches_equal_the_oracle(cost, regime, on_error, seed, negative):
    """All or nothing: a refused row leaves no trace. Skipping: each row has the status of the scalar door."""
    book, oracle = pair(cost, negative)
    r = random.Random(seed)
    rows = [args for what, args in steps(regime, seed, 400) if what == "fill"]
    while rows:
        size = r.choice([1, 2, 5, 20, 60])
        batch, rows = rows[:size], rows[size:]
        qty, price, fee, time, names = zip(*batch, strict=True)
        fills = book.records(
            qty=np.array(qty, "i8"),
            price=np.array(price, "i8"),
            fee=np.array(fee, "i8"),
            time=np.array(time, "i8"),
            id=[n or "" for n in names],
        )
        trial = deepcopy(oracle)
        expected = [trial.fill(*args) for args in batch]
        bad = next((i for i, status in enumerate(expected) if status < 0), None)
        before = book.snapshot()
        if bad is None or on_error == "skip":
            assert book.apply(fills, on_error=on_error).tolist() == expected
            oracle = trial
        else:
            with pytest.raises(ERRORS[expected[bad]]) as refused:
                book.apply(fills)
            assert refused.value.index == bad
            assert book.snapshot() == before
        same(book["X"], oracle)
        assert book["X"].lots == tuple(oracle.lots)


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
@pytest.mark.parametrize("regime", [*REGIMES, "market"])
@pytest.mark.parametrize("history", ["none", "full"])
@given(seed=st.integers(0, 2**32), negative=st.booleans())
@settings(max_examples=8)
def test_columns_of_fills_equal_the_oracle(cost, regime, history, seed, negative):
    """Around the length of a block, with what cannot be refused in most and a refusal anywhere in others."""
    instrument = mm.Instrument("X", tick="0.01", negative_prices=negative)
    position, oracle = mm.Book([instrument], cost=cost, history=history)["X"], Oracle(cost, negative)
    r = random.Random(seed)
    if regime == "market":  # nothing to refuse: whole blocks
        lots, price = r.choice([2, 99, 10**4, 10**7]), r.randint(10**4, 10**7)
        walk = [r.randint(-3, 3) for _ in range(900)]
        rows = [
            (r.choice([-1, 1]) * r.randint(1, lots), price + sum(walk[:i]), r.randint(-9, 99))
            for i in range(len(walk))
        ]
    else:
        rows = [args[:3] for what, args in steps(regime, seed, 900) if what == "fill"]
        rows = [row for row in rows if regime == "edges" or (row[0] and (row[1] > 0 or r.random() < 0.01))]
    while rows:
        size = r.choice([1, 5, 6, 127, 128, 129, 300])
        batch, rows = rows[:size], rows[size:]
        trial = deepcopy(oracle)
        expected = [trial.fill(*args) for args in batch]
        bad = next((i for i, status in enumerate(expected) if status < 0), None)
        columns = [np.array(column, "i8") for column in zip(*batch, strict=True)]
        if bad is None:
            position.fill_batch(*columns)
            oracle = trial
        else:
            before = position.state_dict()
            with pytest.raises(ERRORS[expected[bad]]) as refused:
                position.fill_batch(*columns)
            assert refused.value.index == bad
            assert position.state_dict() == before
            position.fill_batch(*(column[:bad] for column in columns))
            for args in batch[:bad]:
                oracle.fill(*args)
        same(position, oracle)
        assert position.lots == tuple(oracle.lots)


@given(
    first=st.tuples(st.integers(1, 10**6), st.integers(1, 10**7)),
    moves=st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(1, 10**7)), max_size=40),
)
def test_rounding_stays_below_half_a_unit_for_each_partial_close(first, moves):
    """Against the average cost in exact fractions, which is never rounded at all."""
    position = mm.Book([mm.Instrument("X", tick="1")])["X"]
    net, pool, realised, allowed = 0, Fraction(0), Fraction(0), Fraction(0)
    for qty, price in [first, *moves]:
        if qty == 0:
            continue
        position.fill(qty, price)
        closing = min(abs(qty), abs(net)) if net * qty < 0 else 0
        if closing:
            released = pool * closing / abs(net)
            realised += (closing if net > 0 else -closing) * price - released
            pool -= released
            # A pool that is off by e gives off e * left/net after a close, and up to a half more by rounding.
            allowed = allowed * (abs(net) - closing) / abs(net) + (
                Fraction(1, 2) if closing < abs(net) else 0
            )
        opening = qty + (closing if qty < 0 else -closing)
        pool += opening * price
        net += qty
        assert abs(position.cost - SCALE * pool) <= allowed
        assert position.realised == SCALE * position.cash + position.cost
        if net == 0:
            assert position.realised == SCALE * realised  # everything came back


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 50)), max_size=60),
    st.sampled_from(["average", "fifo", "lifo"]),
)
def test_mirrored_fills_mirror_the_book(fills, cost):
    """Selling what the other bought: net, cash and cost change sign exactly, halves included."""
    book = mm.Book([mm.Instrument("A", tick="1"), mm.Instrument("B", tick="1")], cost=cost)
    for qty, price in fills:
        if qty:
            book.fill("A", qty, price)
            book.fill("B", -qty, price)
            a, b = book["A"], book["B"]
            assert (a.net, a.cash, a.cost, a.bought) == (-b.net, -b.cash, -b.cost, b.sold)


class BookMachine(RuleBasedStateMachine):
    """Two instruments, every door, interleaved."""

    @initialize(cost=st.sampled_from(["average", "fifo", "lifo"]))
    def start(self, cost):
        instruments = [mm.Instrument("X", tick="0.01"), mm.Instrument("S", tick="0.01", negative_prices=True)]
        self.book = mm.Book(instruments, cost=cost)
        self.oracles = {"X": Oracle(cost, False), "S": Oracle(cost, True)}

    names = st.sampled_from(["X", "S"])
    lots = st.integers(-6, 6) | st.sampled_from(EDGES)
    ticks = st.integers(-2, 20) | st.sampled_from(EDGES)
    fees = st.integers(-3, 3) | st.sampled_from(EDGES)
    ids = st.none() | st.sampled_from(["a", "b", "c", "d"])

    @rule(name=names, qty=lots, price=ticks, fee=fees, id=ids)
    def fast_door(self, name, qty, price, fee, id):
        expected = self.oracles[name].fill(qty, price, fee, 0, id)
        assert refusable(self.book[name].fill, qty, price, fee, 0, id) is expected

    @rule(name=names, qty=lots, price=ticks, id=ids)
    def wide_door(self, name, qty, price, id):
        expected = self.oracles[name].fill(qty, price, 0, 0, id)
        assert refusable(self.book.fill, name, qty, price, id=id) is expected

    @rule(name=names, price=ticks)
    def marking(self, name, price):
        expected = self.oracles[name].set_mark(price)
        assert refusable(self.book.mark, name, price) is expected

    @rule(rows=st.lists(st.tuples(names, lots, ticks, fees, ids), max_size=6), skip=st.booleans())
    def batch(self, rows, skip):
        if not rows:
            return
        name, qty, price, fee, id = zip(*rows, strict=True)
        fills = self.book.records(
            instrument=["XS".index(n) for n in name],
            qty=np.array(qty, "i8"),
            price=np.array(price, "i8"),
            fee=np.array(fee, "i8"),
            id=[i or "" for i in id],
        )
        trial = deepcopy(self.oracles)
        expected = [trial[n].fill(q, p, f, 0, i) for n, q, p, f, i in rows]
        if skip or min(expected) >= 0:
            assert self.book.apply(fills, on_error="skip" if skip else "none").tolist() == expected
            self.oracles = trial
        else:
            before = self.book.snapshot()
            with pytest.raises(tuple(ERRORS.values())):
                self.book.apply(fills)
            assert self.book.snapshot() == before

    @invariant()
    def agree(self):
        if hasattr(self, "book"):
            for name, oracle in self.oracles.items():
                same(self.book[name], oracle)
                assert self.book[name].lots == tuple(oracle.lots)


BookMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBookMachine = BookMachine.TestCase
