"""Everything that can happen to a book, against an oracle that keeps records and replays them.

``make ledger`` runs ten million random operations; here are fewer (MMCORE_LEDGER). The state machine draws
every step by itself, with books that are saved, lost and restored between the steps.
"""

import os
import random
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_oracle import PAYMENTS, Content, Oracle

import mmcore as mm
from mmcore.errors import ConflictError, Error, InvalidArgument, UnknownName

pytestmark = pytest.mark.compiled

USD, BNB, XBT = mm.Currency("USD"), mm.Currency("BNB", unit="0.001"), mm.Currency("XBT")
INSTRUMENTS = [
    mm.Instrument("X", tick="0.01", currency=USD),
    mm.Instrument("Y", tick="0.05", lot="10", currency=USD),  # 50 times the cash of X
    mm.Instrument("S", tick="0.003", currency=USD, negative_prices=True),
    mm.Instrument("T", tick="0.001", currency=USD, negative_prices=True),
    mm.Instrument("P", tick="0.5", currency=XBT, kind="inverse"),
    mm.Instrument("Q", tick="0.1", lot="7", multiplier="3", currency=XBT, kind="inverse"),
]
LATER = [
    mm.Instrument("OLD", tick="0.02", currency=USD),
    mm.Instrument("NEW", tick="0.5", currency=XBT, kind="inverse"),
]
NAMES = [i.name for i in INSTRUMENTS]
METHODS = ["average", "fifo", "lifo", "specific"]
STATUS = {
    InvalidArgument: mm.Status.INVALID,
    ConflictError: mm.Status.CONFLICT,
    UnknownName: mm.Status.UNKNOWN,
}
SIDES = {0: None, 1: "bought", -1: "sold"}


class Pair:
    """The book and the oracle: every operation on both, and what is refused leaves no trace."""

    def __init__(self, cost, unknown="refuse", ids_window=None, instruments=INSTRUMENTS):
        self.book = mm.Book(instruments, cost, currencies=[BNB, XBT], unknown=unknown, ids_window=ids_window)
        self.oracle = Oracle(instruments, cost, unknown, ids_window)
        self.names = list(self.book)
        self.added, self.saved = [], None  # (row, instrument); what was saved, and how much that was

    def same(self, expected, call, *args, **kw):
        before = self.book.snapshot() if expected < 0 else None
        try:
            status = call(*args, **kw) or mm.Status.OK
        except Error as error:
            status = STATUS[type(error)]
        assert status is expected, (call.__name__, args, kw)
        assert before is None or self.book.snapshot() == before

    def agree(self, names=None):
        for name in names or self.names:
            position = self.book[name]
            assert position.state_dict() == self.oracle.state(name)
            assert position.realised == self.oracle.accounts[name].realised
            assert position.unrealised == self.oracle.unrealised(name)

    def restore(self):
        """Crash, and go on from there."""
        before = self.book.snapshot()
        self.book = mm.Book.from_bytes(self.book.to_bytes(), self.book.instruments, self.book.currencies)
        assert self.book.snapshot() == before

    def save(self):
        self.saved = self.book.to_bytes(), len(self.book), len(self.oracle.records)

    def recover(self):
        """Crash, and book what a journal kept of the time since the last save."""
        block, instruments, row = self.saved
        expected, history = self.book.snapshot(), self.book.history
        marks = {name: self.book[name].mark for name in self.book}
        self.book = mm.Book.from_bytes(block, self.book.instruments[:instruments], self.book.currencies)
        since = [(at, i) for at, i in self.added if self.names.index(i.name) >= instruments]
        for at, instrument in [*since, (len(history), None)]:
            assert (np.asarray(self.book.apply(history[row:at])) != mm.Status.DUPLICATE).all()
            row = at
            if instrument is not None:
                self.book.add(instrument)
        for name, mark in marks.items():  # marks are not on record: they come from the market again
            if mark is not None:
                self.book.mark(name, mark)
        assert self.book.history.tobytes() == history.tobytes()
        assert self.book.snapshot() == expected

    # ---- operations ----

    def add(self, instrument):
        self.added.append((len(self.oracle.records), instrument))
        self.oracle.add(instrument)
        self.book.add(instrument)
        self.names.append(instrument.name)

    def named(self, name, closes):
        """The lots as a book is told them: by the fill's id, where one open lot has it, or by its row."""
        if not closes:
            return ()
        ids = {lot.row: lot.id for lot in self.book[name].open_lots}
        unique = [row for row, id in ids.items() if id and list(ids.values()).count(id) == 1]
        return [
            (ids[row] if row in unique and row % 2 else mm.OpenLot(0, 0, row, None), size)
            for row, size in closes
        ]

    def fill(self, name, c, id=None, closes=()):
        lots = self.named(name, closes)
        expected = self.oracle.new(name, c, id, closes=closes)
        self.same(
            expected,
            self.book.fill,
            name,
            c.qty,
            c.price,
            c.fee,
            lots=lots,
            time=c.time,
            id=id,
            fee_currency=c.fee_currency,
        )

    def suspend(self, name, c, id=None):
        expected = self.oracle.new(name, c, id, "suspend")
        self.same(
            expected,
            self.book.suspend,
            name,
            c.qty,
            c.price,
            c.fee,
            time=c.time,
            id=id,
            fee_currency=c.fee_currency,
        )

    def bust(self, name, id=None, row=None, side=0, own=None):
        expected = self.oracle.bust(name, id, row, side, own, time=9)
        self.same(expected, self.book.bust, name, id, row=row, side=SIDES[side], time=9, own_id=own)

    def correct(self, name, c, id=None, row=None, own=None):
        self.same(
            self.oracle.correct(name, c, id, row, own),
            self.book.correct,
            name,
            id,
            row=row,
            qty=c.qty,
            price=c.price,
            fee=c.fee,
            time=c.time,
            fee_currency=c.fee_currency,
            own_id=own,
        )

    def release(self, row, name, closes=()):
        lots = self.named(name, closes)
        self.same(self.oracle.release_to(row, name, closes), self.book.release, row, name, lots=lots)

    def dismiss(self, row):
        self.same(self.oracle.dismiss(row), self.book.dismiss, row)

    def payment(self, name, kind, amount, currency, id=None):
        self.same(
            self.oracle.payment(name, kind, amount, currency, id),
            self.book.payment,
            name,
            kind,
            amount,
            currency,
            id=id,
        )

    def convert(self, name, to, new, old, id=None):
        self.same(
            self.oracle.conversion(name, to, new, old, id), self.book.convert, name, to, new, old, id=id
        )

    def mark(self, name, price):
        self.same(self.oracle.mark(name, price), self.book.mark, name, price)


def closing(r, oracle, name, c):
    """Some open lots, most of the time such that the fill can close them; else anything."""
    a = oracle.accounts.get(name)
    if oracle.cost != "specific" or not a or not oracle.records or (r.random() < 0.3):
        return c, ()
    if r.random() < 0.05:
        return c, tuple((r.randrange(len(oracle.records)), r.randint(1, 5)) for _ in range(r.randint(1, 2)))
    closes = []
    for size, _, used, _, row in r.sample(a.lots, min(len(a.lots), r.choice([1, 1, 2, 3]))):
        left = abs(size) - used
        closes.append((row, left + 1 if r.random() < 0.02 else r.choice([left, r.randint(1, left)])))
    if closes and r.random() < 0.9:  # a side and a size that suit
        more = r.choice([0, 0, r.randint(0, 5), -1 if r.random() < 0.1 else abs(a.net)])
        size = sum(size for _, size in closes) + more
        c = c._replace(qty=-size if a.net > 0 else size)
    return c, tuple(closes)


def content(r, name, net):
    """A fill that opens, adds, closes in part or whole, or goes through zero."""
    size = r.choice([3, 3, 50, 10**6])
    qty = -net + r.choice([0, 0, 1, -1]) if net and r.random() < 0.3 else r.randint(-size, size)
    price = r.randint(-2 if r.random() < 0.05 else 1, r.choice([9, 20000, 200000]))
    currency = r.choice([None, None, None, "BNB", "USD"])
    return Content(qty, price, r.randint(-3, 9), currency, r.randint(0, 3))


def amendment(r, oracle, names, kind, name, net, id, row):
    """A bust or a correction, by the row of a record or by an id."""
    arguments = {"name": name, "own": r.choice([None, f"{r.randrange(20)}"])}
    if kind == "correct":
        arguments["c"] = content(r, name, net)
    if r.random() < 0.5 and 0 <= row < len(oracle.records) and oracle.records[row].instrument in names:
        old = oracle.records[row]
        arguments |= {"name": old.instrument, "row": row}
        if kind == "correct" and old.said and r.random() < 0.3:
            c, own = r.choice(old.said)
            arguments |= {"c": c, "own": r.choice([own, arguments["own"]])}
    else:
        arguments["id"] = id or "1"
        if kind == "bust":
            arguments["side"] = r.choice([0, 1, -1])
    return arguments


def operate(pair, r, n):
    """N random operations; returns how many of each kind."""
    oracle, names, done = pair.oracle, pair.names, {}
    amendments: list[tuple[str, dict]] = []
    for i in range(n):
        name, what = r.choice(names), r.random()
        net = oracle.accounts[name].net
        id = r.choice([None, f"{r.randrange(40)}", f"n{i}"])
        row = r.randrange(-1, len(oracle.records) + 1) if oracle.records else 0
        if what < 0.66:
            kind = "fill"
            stranger = r.random() < 0.03
            c, closes = content(r, name, 0 if stranger else net), ()
            if not stranger:
                c, closes = closing(r, oracle, name, c)
                kind = "identified" if closes else kind
            to = "OLD" if stranger else name
            where = to if to in names else "?" + to
            known = oracle.find(oracle.key("new", where, c.qty, id)) if id else None
            if known is not None and r.random() < 0.5:  # again: as it came or is now
                old, now = oracle.records[known], oracle.corrected(known)
                c = now[0] if now and r.random() < 0.5 else old.content
                same = r.choice([old.closes, old.closes, (), closes])  # the same lots, none, others
                closes = () if stranger else same
            pair.fill(to, c, id, closes)
        elif what < 0.78:
            kind = "bust" if what < 0.72 else "correct"
            if amendments and r.random() < 0.2:  # the same again, whatever became of it since
                kind, arguments = r.choice(amendments)
            else:
                arguments = amendment(r, oracle, names, kind, name, net, id, row)
                amendments.append((kind, arguments))
            getattr(pair, kind)(**arguments)
        elif what < 0.83:
            kind = "suspend"
            pair.suspend(r.choice([name, "OLD", "NEW"]), content(r, name, net), id)
        elif what < 0.87:
            kind = "settle"
            row = r.choice(oracle.suspense) if oracle.suspense and r.random() < 0.7 else row
            if r.random() < 0.7:
                closes = ()
                if oracle.cost == "specific" and r.random() < 0.5:
                    lots = oracle.accounts[name].lots
                    closes = tuple((lot[4], 1) for lot in r.sample(lots, min(len(lots), 2)))
                pair.release(row, name, closes)
            else:
                pair.dismiss(row)
        elif what < 0.92:
            kind = "payment"
            pair.payment(name, r.choice(PAYMENTS), r.randint(-99, 99), r.choice([None, "BNB", "XBT"]), id)
        elif what < 0.95:
            kind = "convert"
            to = name if r.random() < 0.5 else r.choice(names)
            pair.convert(name, to, r.choice([1, 1, 2, 3, 10, 0]), r.choice([1, 1, 2, 3, 10]), id)
        elif what < 0.98:
            kind = "mark"
            pair.mark(name, r.choice([0, 5, 20000]))
        elif what < 0.985:
            kind = "restore"
            pair.restore()
        elif what < 0.99:
            kind = "add"
            if later := [i for i in LATER if i.name not in names and i.currency in pair.book.currencies]:
                pair.add(r.choice(later))
        else:
            kind = "save"
            pair.save()
        done[kind] = done.get(kind, 0) + 1
        alone = kind in ("identified", "payment", "mark") or (kind == "fill" and to == name)
        pair.agree([name] if alone else names)
    assert pair.book.suspense == oracle.suspense
    if pair.saved:
        pair.recover()
        done["crash"] = done.get("crash", 0) + 1
    return done


def test_random_operations_equal_the_oracle():
    """Books of a hundred operations each; MMCORE_LEDGER says how many operations in all."""
    total = int(os.environ.get("MMCORE_LEDGER", "20000"))
    done: dict[str, int] = {}
    seed = 0
    while sum(done.values()) < total:
        r = random.Random(seed)
        pair = Pair(
            r.choice(METHODS),
            r.choice(["refuse", "suspend"]),
            r.choice([None, None, 1, 7, 60]),
            r.choice([INSTRUMENTS, INSTRUMENTS[:4]]),
        )
        for kind, count in operate(pair, r, 100).items():
            done[kind] = done.get(kind, 0) + count
        seed += 1
    print(f"{sum(done.values()):,} operations in {seed:,} books:", done)
    assert done["crash"] > seed / 100


def test_a_history_may_be_booked_at_once():
    """The same records as one array: the same state, and what is refused takes all of it back."""
    for seed in range(60):
        r = random.Random(seed)
        instruments = r.choice([INSTRUMENTS, INSTRUMENTS[:4], INSTRUMENTS[:1]])
        pair = Pair(r.choice(METHODS), "suspend", r.choice([None, 7]), instruments)
        operate(pair, r, r.choice([80, 240]))  # more than the room that queues have to spare
        history = pair.book.history
        other = mm.Book(
            pair.book.instruments,
            pair.book.cost,
            currencies=[BNB, XBT],
            unknown="suspend",
            ids_window=pair.book.ids_window,
        )
        half = len(history) // r.choice([2, 10])
        while half and history["kind"][half - 1] == 10:  # names and their fill are in one array
            half -= 1
        other.apply(history[:half])
        before = other.snapshot()
        bad = np.append(history, history[-1:])
        bad["kind"][-1], bad["price"][-1], bad["qty"][-1], bad["id"][-1] = 0, 0, 1, b""
        bad["instrument"][-1] = 0
        with pytest.raises(InvalidArgument) as caught:
            other.apply(bad[half:])
        assert caught.value.index == len(bad) - half - 1
        assert other.snapshot() == before
        assert (other.apply(history[half:], on_error="skip") >= 0).all()
        for name, price in pair.oracle.marks.items():
            other.mark(name, price)
        now = pair.book.snapshot()
        for name in pair.names:
            assert pair.oracle.marks.get(name) == now[name]["mark"]
            assert other.snapshot()[name] == now[name]
        assert other.history.tobytes() == history.tobytes()


def test_what_is_in_force_is_a_history_of_its_own():
    """Without payments and conversions: a new book with these fills has these positions."""
    for seed in range(40):
        r = random.Random(seed)
        pair = Pair(r.choice(METHODS))
        for i in range(120):
            name = r.choice(NAMES)
            c = content(r, name, pair.oracle.accounts[name].net)
            rows = [k for k, x in enumerate(pair.oracle.records) if x.instrument in NAMES]
            what, row = r.random(), r.choice(rows) if rows else 0
            if what < 0.6 or not rows:
                pair.fill(name, c, f"{i}")
            elif what < 0.7:
                pair.bust(pair.oracle.records[row].instrument, row=row)
            elif what < 0.85:
                pair.correct(pair.oracle.records[row].instrument, c, row=row)
            elif what < 0.95:
                pair.suspend(r.choice([name, "OLD"]), c, f"{i}")
            elif pair.oracle.suspense:
                pair.release(pair.oracle.suspense[0], name)
        other = mm.Book(INSTRUMENTS, pair.book.cost, currencies=pair.book.currencies)
        other.apply(pair.book.in_force)
        for n in NAMES:
            a, b = other[n].state_dict(), pair.book[n].state_dict()
            assert len(a.pop("lot_rows", ())) == len(b.pop("lot_rows", ()))  # rows of its own
            assert a == b


def test_entries_balance_and_add_up_to_the_state():
    for seed in range(25):
        r = random.Random(seed)
        pair = Pair(r.choice(METHODS), "suspend")
        operate(pair, r, 60)
        book, units = pair.book, {c.name: c for c in (USD, BNB, XBT)}
        balance, totals = {}, {}
        for e in book.entries():
            amount = Fraction(e.amount)  # Decimals would be rounded to the context's 28 digits
            balance[e.row, e.currency] = balance.get((e.row, e.currency), 0) + amount
            key = e.instrument, e.account, e.currency
            totals[key] = totals.get(key, 0) + amount
        assert set(balance.values()) <= {0}
        for name in NAMES:
            a, i = pair.oracle.accounts[name], book[name].instrument
            own = i.currency.name
            paid = {(k, c): u for (k, c), u in a.paid.items()}
            paid["fees", own] = a.fees
            for (kind, currency), amount in paid.items():
                assert totals.get((name, kind, currency), 0) == units[currency].amount(amount)
            assert totals.get((name, "inventory", own), 0) == book[name].money("cost")
            assert totals.get((name, "profit", own), 0) == -Fraction(book[name].money("realised"))
            spent = sum(u for (_, c), u in paid.items() if c == own)
            cash = Fraction(book[name].money("cash")) - Fraction(i.currency.amount(spent))
            assert totals.get((name, "cash", own), 0) == cash


lots = st.integers(-6, 6) | st.integers(-(10**6), 10**6)
ticks = st.integers(-2, 20) | st.integers(1, 10**6)
contents = st.builds(
    Content, lots, ticks, st.integers(-3, 9), st.sampled_from([None, "BNB", "USD"]), st.integers(0, 1)
)
ids = st.sampled_from([None, "a", "b", "c", "d"])
known_ids = st.sampled_from(["a", "b", "c", "d"])
names = st.sampled_from(NAMES)
any_names = st.sampled_from([*NAMES, *(i.name for i in LATER)])  # some are unknown, at first


class LedgerMachine(RuleBasedStateMachine):
    """All of it, step by step; a failure shrinks to a few."""

    @initialize(
        cost=st.sampled_from(METHODS),
        unknown=st.sampled_from(["refuse", "suspend"]),
        window=st.sampled_from([None, 1, 3, 10]),
    )
    def start(self, cost, unknown, window):
        self.pair = Pair(cost, unknown, window)

    def row(self, at):
        return at % (len(self.pair.oracle.records) + 1)

    @rule(name=any_names, c=contents, id=ids)
    def fill(self, name, c, id):
        self.pair.fill(name, c, id)

    @rule(name=names, c=contents, id=ids, data=st.data())
    def fill_that_closes_named_lots(self, name, c, id, data):
        if self.pair.oracle.cost != "specific" or not self.pair.oracle.records:
            return
        rows = [lot[4] for lot in self.pair.oracle.accounts[name].lots]
        any_row = st.integers(0, len(self.pair.oracle.records) - 1)
        lot = st.tuples(st.sampled_from(rows) | any_row if rows else any_row, st.integers(1, 6))
        self.pair.fill(name, c, id, tuple(data.draw(st.lists(lot, min_size=1, max_size=3))))

    @rule(name=names, id=known_ids, side=st.sampled_from([0, 1, -1]), own=ids)
    def bust_by_id(self, name, id, side, own):
        self.pair.bust(name, id, side=side, own=own)

    @rule(name=names, at=st.integers(0, 99), own=ids)
    def bust_by_row(self, name, at, own):
        self.pair.bust(name, row=self.row(at), own=own)

    @rule(name=names, c=contents, id=known_ids, own=ids)
    def correct_by_id(self, name, c, id, own):
        self.pair.correct(name, c, id, own=own)

    @rule(name=names, c=contents, at=st.integers(0, 99), own=ids)
    def correct_by_row(self, name, c, at, own):
        self.pair.correct(name, c, row=self.row(at), own=own)

    @rule(name=any_names, c=contents, id=ids)
    def suspend(self, name, c, id):
        self.pair.suspend(name, c, id)

    @rule(name=names, at=st.integers(0, 99))
    def release(self, name, at):
        self.pair.release(self.row(at), name)

    @rule(at=st.integers(0, 99))
    def dismiss(self, at):
        self.pair.dismiss(self.row(at))

    @rule(
        name=names,
        kind=st.sampled_from(PAYMENTS),
        amount=st.integers(-50, 50),
        currency=st.sampled_from([None, "BNB", "XBT"]),
        id=ids,
    )
    def payment(self, name, kind, amount, currency, id):
        self.pair.payment(name, kind, amount, currency, id)

    @rule(name=names, to=names, new=st.integers(0, 10), old=st.integers(0, 10), id=ids)
    def convert(self, name, to, new, old, id):
        self.pair.convert(name, to, new, old, id)

    @rule(instrument=st.sampled_from(LATER))
    def add(self, instrument):
        if instrument.name not in self.pair.names:
            self.pair.add(instrument)

    @rule(name=names, price=ticks)
    def mark(self, name, price):
        self.pair.mark(name, price)

    @rule()
    def save(self):
        self.pair.save()

    @rule()
    def restart(self):
        self.pair.restore()

    @rule()
    def crash(self):
        """Back to what was saved, and the records since then again: as a journal would."""
        if self.pair.saved is not None:
            self.pair.recover()

    @invariant()
    def agree(self):
        if hasattr(self, "pair"):
            self.pair.agree()
            assert self.pair.book.suspense == self.pair.oracle.suspense


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase
