"""Books and positions: what each door accepts, refuses and returns."""

import contextlib
import copy
import doctest
import pickle
import struct
import sys
import threading
from decimal import Decimal
from fractions import Fraction
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
import mmcore.book
from mmcore.errors import (
    ConflictError,
    CorruptError,
    Error,
    InvalidArgument,
    OutOfBounds,
    UnknownName,
    Unsupported,
)

pytestmark = pytest.mark.compiled

SCALE = 10**9
MAX = 2**63 - 1


def instrument(name="X", tick="0.01", **kw):
    return mm.Instrument(name, tick=tick, **kw)


@pytest.fixture(params=["average", "fifo", "lifo", "specific"])
def cost(request):
    return request.param


@pytest.fixture
def book(cost):
    return mm.Book([instrument("X"), instrument("S", negative_prices=True)], cost=cost)


def refused(error, book, call, *args, **kw):
    """Run a call that must raise, and show that it left no trace."""
    before = book.snapshot()
    with pytest.raises(error) as caught:
        call(*args, **kw)
    assert book.snapshot() == before
    return caught.value


# ---- what a position says ----


def test_an_average_that_does_not_terminate_comes_back_whole():
    """Buy 2 @ 10.00 and 1 @ 10.02, sell 1, close: the average is 10.00666…; nothing is lost."""
    position = mm.Book([instrument()])["X"]
    position.fill(2, 1000)
    position.fill(1, 1002)
    assert position.average_cost == Fraction(3002, 3)
    position.fill(-1, 1005)
    assert position.cost == 2001333333333  # 3002e9 - 1000666666667, the third rounded half to even
    assert position.realised == 1005 * SCALE - 1000666666667
    position.fill(-2, 1005)
    assert position.cost == 0
    assert position.realised == SCALE * (3 * 1005 - 3002)
    assert position.money("realised") == Decimal("0.13")


def test_fifo_takes_the_oldest_lots_first():
    position = mm.Book([instrument()], cost="fifo")["X"]
    position.fill(2, 1000)
    position.fill(1, 1002)
    position.fill(-1, 1005)
    assert position.realised == 5 * SCALE
    assert position.lots == ((1, 1000), (1, 1002))
    position.fill(-2, 1005)
    assert position.realised == (5 + 5 + 3) * SCALE
    assert position.lots == ()


def test_lifo_takes_the_newest_lots_first():
    position = mm.Book([instrument()], cost="lifo")["X"]
    for qty, price in [(2, 1000), (3, 1002), (-1, 1005), (4, 1001), (-5, 1005)]:
        position.fill(qty, price)
    assert position.lots == ((2, 1000), (1, 1002))  # 4 at 1001 and 2 at 1002 are gone
    assert position.realised == (3 + 4 * 4 + 3) * SCALE
    position.fill(-2, 1005)
    assert (position.lots, position.realised) == (((1, 1000),), (3 + 16 + 3 + 3 + 5) * SCALE)
    position.fill(-3, 1006)
    assert (position.lots, position.cost) == (((-2, 1006),), -2012 * SCALE)


# ---- specific identification ----


def three_lots():
    """2 at 1000, 3 at 1010, 4 at 1020: a1, a2, a3."""
    book = mm.Book([instrument(), instrument("Y", tick="0.05")], cost="specific")
    for k, qty in enumerate((2, 3, 4)):
        book.fill("X", qty, 1000 + 10 * k, id=f"a{k + 1}")
    return book


def held(book, name="X"):
    return [(lot.id, lot.qty) for lot in book[name].open_lots]


def test_a_fill_closes_the_lots_that_it_names_and_the_oldest_for_the_rest():
    book = three_lots()
    assert book["X"].open_lots[0] == mm.OpenLot(2, 1000, 0, b"a1")
    book.fill("X", -3, 1030, id="b1", lots=[("a3", 1), ("a2", 2)])
    assert held(book) == [(b"a1", 2), (b"a2", 1), (b"a3", 3)]
    assert book["X"].realised == (10 + 2 * 20) * SCALE
    book.fill("X", -4, 1030, lots=[(book["X"].open_lots[2], 2)])  # 2 of a3, then both of a1
    assert held(book) == [(b"a2", 1), (b"a3", 1)]
    assert book["X"].realised == (50 + 2 * 10 + 2 * 30) * SCALE
    assert book["X"].cost == (1010 + 1020) * SCALE
    book.fill("X", -5, 1000, id="b2", lots=[("a3", 1)])  # through zero: the rest opens, under its own name
    assert held(book) == [(b"b2", -3)]
    book.fill("X", 1, 990, id="b2", lots=[("b2", 1)])  # the other side knows the same id
    assert held(book) == [(b"b2", -2)]
    assert book["X"].lots == ((-2, 1000),)
    assert book["X"].realised == (130 - 10 - 20 + 10) * SCALE


def test_without_names_specific_identification_is_fifo_to_the_bit():
    """26 CFR 1.1012-1(c): lots that are not adequately identified are the earliest."""
    rng = np.random.default_rng(1)
    books = [mm.Book([instrument(), instrument("P", kind="inverse")], cost=c) for c in ("fifo", "specific")]
    for i in range(400):
        name, qty = ("X", "P")[i % 2], int(rng.integers(-9, 10)) or 1
        price, id = int(rng.integers(1, 99)), i if i % 3 else None
        for book in books:
            book.fill(name, qty, price, id=id)
        if i % 50 == 49:
            for book in books:
                rows = np.flatnonzero((book.history["kind"] == 0) & (book.history["instrument"] == i % 2))
                assert book.bust(name, row=int(rows[len(rows) // 2])) is mm.Status.OK
                book.split(name, 3, 2)
        states = [book[name].state_dict() for book in books]
        assert states[1].pop("unmet") == 0
        assert len(states[1].pop("lot_rows")) == len(states[1]["lots"])
        assert states[0] == states[1]
    assert books[0].history.tobytes() == books[1].history.tobytes()


@pytest.mark.parametrize(
    ("error", "lots", "argument", "allowed"),
    [
        (UnknownName, [("zz", 1)], "lots[0]", "an open lot of X (Position.open_lots) and how much"),
        (UnknownName, [("a2", 1), ("a0", 1)], "lots[1]", "an open lot of X"),  # closed
        (UnknownName, [(mm.OpenLot(1, 1, 1, None), 1)], "lots[0]", "an open lot of X"),  # a row, but closed
        (UnknownName, [(mm.OpenLot(3, 1000, 3, b"zz"), 1)], "lots[0]", "an open lot of this book"),
        (UnknownName, [(mm.OpenLot(1, 1, 99, None), 1)], "lots[0]", "an open lot of this book"),
        (InvalidArgument, [("a2", 4)], "lots[0]", "at most the 3 lots that are open of it"),
        (InvalidArgument, [("a2", 3), ("a3", 3)], "lots[1]", "at most 2 lots: what the fill of -5 has"),
        (InvalidArgument, [("a2", 1), ("a2", 1)], "lots[1]", "another lot: this one is identified twice"),
        (InvalidArgument, [("a2", 0)], "lots[0]", "a number of lots > 0"),
        (InvalidArgument, [("a2", -1)], "lots[0]", "a number of lots > 0"),
        (InvalidArgument, [("a2", 1.5)], "lots[0]", "an integer number of lots"),
        (InvalidArgument, [(None, 1)], "lots[0]", "pairs of an open lot"),
        (InvalidArgument, ["a2"], "lots[0]", "pairs of an open lot"),
        (InvalidArgument, "a2", "lots", "pairs of an open lot"),
    ],
)
def test_lots_that_a_fill_cannot_close_are_refused(error, lots, argument, allowed):
    book = mm.Book([instrument()], cost="specific")
    book.fill("X", 1, 999, id="a0")
    book.fill("X", -1, 999)
    for k, qty in enumerate((2, 3, 4)):
        book.fill("X", qty, 1000, id=f"a{k + 1}")
    caught = refused(error, book, book.fill, "X", -5, 1010, id="b", lots=lots)
    assert caught.argument == argument
    assert allowed in str(caught)
    assert book.fill("X", -5, 1010, id="b") is mm.Status.OK  # the names went with it
    assert held(book) == [(b"a3", 4)]


def test_names_are_for_what_closes():
    book = three_lots()
    error = refused(InvalidArgument, book, book.fill, "X", 1, 1000, lots=[("a1", 1)])
    assert "none: 1 lots of X open, at a position of 9" in str(error)
    error = refused(InvalidArgument, book, book.fill, "Y", -1, 1000, lots=[("a1", 1)])
    assert "at a position of 0" in str(error)
    refused(InvalidArgument, book, book.suspend, "X", -1, 1000, lots=[("a1", 1)])
    for cost in ("average", "fifo", "lifo"):
        other = mm.Book([instrument()], cost=cost)
        other.fill("X", 1, 1000, id="a1")
        error = refused(Unsupported, other, other.fill, "X", -1, 1000, lots=[("a1", 1)])
        assert "cost='specific'" in str(error)
        refused(Unsupported, other, other.fill, "X", 1, 0, reference="a1", kind="identify")
        with pytest.raises(Unsupported):
            other["X"].open_lots  # noqa: B018
        assert other["X"].unmet == 0
    with pytest.raises(Unsupported, match="needs a history") as caught:
        mm.Book([instrument()], cost="specific", history="none")
    assert caught.value.argument == "cost"


def test_a_repetition_names_the_same_lots_or_none():
    book = three_lots()
    lots = [("a2", 3), ("a1", 1)]
    assert book.fill("X", -4, 1030, id="b", lots=lots) is mm.Status.OK
    before = book.snapshot()
    for again in (lots, lots[::-1], (), [(mm.OpenLot(0, 0, 1, None), 3), ("a1", 1)]):
        assert book.fill("X", -4, 1030, id="b", lots=again) is mm.Status.DUPLICATE
    assert book.snapshot() == before
    for other in ([("a2", 3)], [("a2", 2), ("a1", 1)], [("a3", 3), ("a1", 1)]):
        error = refused(ConflictError, book, book.fill, "X", -4, 1030, id="b", lots=other)
        assert (error.argument, error.value) == ("lots", b"b")
    book.fill("X", -1, 1030, id="c")
    refused(ConflictError, book, book.fill, "X", -1, 1030, id="c", lots=[("a3", 1)])
    refused(ConflictError, book, book.fill, "X", -4, 1031, id="b", lots=lots)


def test_a_bust_of_a_named_lot_falls_to_the_oldest_and_says_so():
    book = three_lots()
    book.fill("X", -3, 1030, id="b", lots=[("a3", 3)])
    assert book.bust("X", "a1") is mm.Status.OK  # no name is about it
    assert book.bust("X", "a3") is mm.Status.UNMET
    assert (held(book), book["X"].unmet) == ([], 3)  # the fill closed all of a2
    assert book["X"].realised == 3 * 20 * SCALE
    assert [(a.target, a.unmet) for a in book.adjustments()] == [(0, 0), (2, 3)]
    assert book.bust("X", "b") is mm.Status.OK  # and with the fill its names are gone
    assert (held(book), book["X"].unmet) == ([(b"a2", 3)], 0)


def test_corrections_keep_the_names_as_far_as_they_hold():
    book = three_lots()
    book.fill("X", -5, 1030, id="b", lots=[("a3", 3), ("a2", 2)])
    assert book.correct("X", "a3", qty=1, price=1021) is mm.Status.UNMET
    assert held(book) == [(b"a2", 1)]  # 1 of a3, 2 of a2, and for the 2 that are gone a1
    assert book["X"].unmet == 2
    assert book.correct("X", "a3", qty=4, price=1020) is mm.Status.OK
    assert (held(book), book["X"].unmet) == ([(b"a1", 2), (b"a2", 1), (b"a3", 1)], 0)
    assert book.correct("X", "b", qty=-4, price=1030) is mm.Status.UNMET  # the names are more than it closes
    assert (held(book), book["X"].unmet) == ([(b"a1", 2), (b"a2", 2), (b"a3", 1)], 1)
    assert book.correct("X", "b", qty=-7, price=1030) is mm.Status.OK
    assert (held(book), book["X"].unmet) == ([(b"a2", 1), (b"a3", 1)], 0)


def test_names_after_splits_and_changes_of_symbol():
    book = three_lots()
    book.split("X", 3)
    assert held(book) == [(b"a1", 6), (b"a2", 9), (b"a3", 12)]
    book.fill("X", -9, 340, lots=[("a2", 9)])
    book.fill("Y", 1, 70, id="a1")
    book.convert("X", "Y", 1, 4)  # 18 become 4: a1 1 and a3 3, by cumulated sums
    assert (held(book), held(book, "Y")) == ([], [(b"a1", 1), (b"a1", 1), (b"a3", 3)])
    error = refused(ConflictError, book, book.fill, "Y", -1, 70, lots=[("a1", 1)])
    assert "two open lots of Y have this id" in str(error)
    book.fill("Y", -1, 70, lots=[(book["Y"].open_lots[1], 1)])
    assert held(book, "Y") == [(b"a1", 1), (b"a3", 3)]
    assert [lot.row for lot in book["Y"].open_lots] == [6, 2]
    book.split("Y", 1, 2)  # a1 is too small for one, and gives the lot its name
    assert held(book, "Y") == [(b"a1", 2)]
    assert book.bust("X", "a2") is mm.Status.UNMET


def test_a_suspended_fill_names_its_lots_when_it_is_released():
    book = three_lots()
    book.suspend("X", -3, 1030, id="late")
    refused(UnknownName, book, book.release, 3, "X", lots=[("zz", 1)])
    assert book.release(3, "X", lots=[("a3", 3)]) is mm.Status.OK
    assert held(book) == [(b"a1", 2), (b"a2", 3), (b"a3", 1)]
    assert book.history["kind"].tolist() == [0, 0, 0, 3, 10, 4]
    assert book.release(3, "X") is mm.Status.DUPLICATE
    assert book.release(3, "X", lots=[("a3", 3)]) is mm.Status.DUPLICATE
    refused(ConflictError, book, book.release, 3, "X", lots=[("a3", 2)])
    assert book.bust("X", row=5) is mm.Status.OK
    assert held(book) == [(b"a1", 2), (b"a2", 3), (b"a3", 4)]


def test_names_in_arrays_are_records_before_their_fill():
    book = three_lots()
    rows = book.records(
        instrument=[0, 0, 0, 0],
        kind=[10, 10, 0, 0],
        qty=[2, 1, -4, -1],
        price=[0, 0, 1030, 1030],
        reference=["a3", "a2", "", ""],
        id=["", "", "b", ""],
    )
    assert book.apply(rows).tolist() == [0, 0, 0, 0]
    assert held(book) == [(b"a2", 2), (b"a3", 2)]
    before = book.snapshot()
    assert book.apply(rows[:3]).tolist() == [mm.Status.DUPLICATE] * 3
    assert book.snapshot() == before
    again = mm.Book(book.instruments, cost="specific")
    for rows_of_one in np.split(book.history, [1, 2, 3, 6]):  # a journal, cut anywhere but behind a name
        again.apply(rows_of_one)
    assert again.snapshot() == before
    error = refused(InvalidArgument, book, book.apply, rows[[0, 1, 3]])  # 3 named, 1 closed
    assert (error.index, error.argument) == (2, "lots[0]")
    rows["qty"][1] = 0
    error = refused(InvalidArgument, book, book.apply, rows)
    assert (error.index, error.argument) == (2, "lots[1]")
    rows["qty"][1], rows["id"][0] = 1, b"i"
    assert "without an id" in str(refused(InvalidArgument, book, book.apply, rows))
    rows["id"][0], rows["target"][0] = b"", 99
    refused(UnknownName, book, book.apply, rows)
    plain = mm.Book(book.instruments)
    assert "cost='specific'" in str(refused(Unsupported, plain, plain.apply, rows))
    error = refused(InvalidArgument, book, book.fill, "X", 0, 0, kind="identify", reference="a2")
    assert error.argument == "qty"
    error = refused(InvalidArgument, book, book.fill, "X", 1, 0, kind="identify", reference="a2", id="i")
    assert error.argument == "id"
    refused(UnknownName, book, book.fill, "X", 1, 0, kind="identify")
    refused(UnknownName, book, book.fill, "X", 1, 0, kind="identify", target=99)
    refused(UnknownName, book, book.bust, "X", row=3)  # a name is no fill


def test_a_name_waits_for_no_fill_beyond_its_array():
    """Nothing is pending after a call, so saving and restoring anywhere changes nothing."""
    book = three_lots()
    rows = book.records(
        instrument=[0, 0, 0, 1], kind=[10, 10, 0, 0], qty=[2, 1, -4, 5], price=[0, 0, 1030, 50],
        reference=["a3", "a2", "", ""],
    )  # fmt: skip
    for cut in (1, 2):
        error = refused(InvalidArgument, book, book.apply, rows[:cut])
        assert (error.index, error.argument) == (0, "kind")
        assert "followed, in one array, by the fill or release of X that closes the lot" in str(error)
        assert book.apply(rows[:cut], on_error="skip").tolist() == [mm.Status.INVALID] * cut
    refused(InvalidArgument, book, book.fill, "X", 1, 0, kind="identify", reference="a3")
    assert book.fill("X", -1, 1030) is mm.Status.OK  # the oldest: nothing was named for it
    assert held(book) == [(b"a1", 1), (b"a2", 3), (b"a3", 4)]
    assert book.apply(rows[[0, 1, 3]], on_error="skip").tolist() == [-1, -1, 0]  # another instrument's fill
    payment = rows[[0, 2]]
    payment["kind"][1] = 5
    assert book.apply(payment, on_error="skip").tolist() == [-1, 0]
    assert book.apply(rows).tolist() == [0] * 4
    assert held(book) == [(b"a2", 2), (b"a3", 2)]


def test_a_busted_release_is_in_suspense_again():
    book = mm.Book([instrument(), instrument("Y")])
    book.suspend("X", 3, 100, id="s")
    book.release(0, "X")
    assert book.bust("X", row=1) is mm.Status.OK
    assert (book.suspense, book["X"].net) == ((0,), 0)
    assert book.fill("X", 3, 100, id="s") is mm.Status.DUPLICATE
    assert book.release(0, "X") is mm.Status.OK  # again
    assert book.bust("X", "s") is mm.Status.OK
    book = mm.Book.from_bytes(book.to_bytes(), book.instruments)
    assert book.release(0, "Y") is mm.Status.OK  # it was the wrong instrument
    assert (book.suspense, book["X"].net, book["Y"].net) == ((), 0, 3)
    assert book.release(0, "Y") is mm.Status.DUPLICATE
    book.correct("Y", row=book.history.size - 1, qty=4, price=100)
    before = book.snapshot()
    rows = book.records(kind=[1, 0], qty=[0, 0], price=[0, 1], target=[6, 0], instrument=[1, 0])
    refused(InvalidArgument, book, book.apply, rows)  # the bust is taken back with the array
    assert (book.suspense, book.snapshot()) == ((), before)
    assert book.bust("Y", row=5) is mm.Status.OK
    assert book.dismiss(0) is mm.Status.OK
    assert (book.suspense, book["Y"].net) == ((), 0)
    refused(ConflictError, book, book.release, 0, "X")


def test_a_release_keeps_the_currency_of_the_fee():
    usd, xbt = mm.Currency("USD"), mm.Currency("XBT", unit="1e-8")
    book = mm.Book([instrument("A", currency=usd), instrument("C", currency=xbt)])
    for row, (name, currency) in enumerate([("A", "USD"), ("A", None), ("ZZ", "USD")]):
        book.suspend(name, 1, 10, 5, id=f"a{row}", fee_currency=currency)
    for row in range(3):
        assert book.release(row, "C") is mm.Status.OK
        assert (book["C"].fees, book["C"].other_fees) == (0, {"USD": 5 * (row + 1)})
    again = mm.Book.from_bytes(book.to_bytes(), book.instruments)
    assert again.snapshot() == book.snapshot()


def test_a_fill_suspended_before_a_split_is_not_released_in_lots_that_are_gone():
    book = mm.Book([instrument(), instrument("Y")])
    book.fill("X", 100, 1000)
    book.suspend("X", 100, 1000, id="s")
    book.split("X", 2)
    error = refused(ConflictError, book, book.release, 1, "X")
    assert "its lots became others since: dismiss it, and book it in present lots" in str(error)
    assert book.bust("X", row=2) is mm.Status.OK
    book.convert("X", "Y")
    refused(ConflictError, book, book.release, 1, "Y")
    assert book.release(1, "X") is mm.Status.OK  # lots of X are what they were
    assert (book["X"].net, book["Y"].net) == (100, 100)


@pytest.fixture
def suspending(cost):
    """A book that holds fills of N in suspense, and learns of N then."""
    usd, xbt = mm.Currency("USD"), mm.Currency("XBT", unit="1e-8")
    book = mm.Book([instrument(currency=usd)], cost, unknown="suspend", currencies=[xbt])
    book.fill("N", 3, 100, 5, id="a")
    book.fill("N", -1, 101, id="a")  # an id for each side
    book.fill("N", 2, 102)
    book.fill("M", 3, 100, id="a")
    book.add(instrument("N", currency=xbt))
    return book


def reloaded(book):
    return mm.Book.from_bytes(book.to_bytes(), book.instruments, book.currencies)


def test_what_was_suspended_under_a_name_is_known_when_its_instrument_is_added(suspending):
    book = suspending
    assert (book.suspense, book["N"].net, len(book.history)) == ((0, 1, 2, 3), 0, 4)
    journal = mm.Book(book.instruments, book.cost, unknown="suspend", currencies=book.currencies)
    journal.apply(book.history)
    for again in (book, reloaded(book), journal):
        assert again.fill("N", 3, 100, 5, id="a") is mm.Status.DUPLICATE
        assert again.fill("N", -1, 101, id="a") is mm.Status.DUPLICATE
        assert again.fill("N", 3, 100, 5, id="a", fee_currency="XBT") is mm.Status.DUPLICATE
        assert again.fill("N", 3, 100, 5, id="a", reference="r") is mm.Status.DUPLICATE
        error = refused(ConflictError, again, again.fill, "N", 3, 100, 6, id="a")
        assert "known with different content: suspended 3 lots at 100, fee 5" in str(error)
    assert book.release(0, "N") is mm.Status.OK
    assert book.fill("N", 3, 100, 5, id="a") is mm.Status.DUPLICATE
    assert book.fill("N", 3, 100, 5, id="a", reference="r") is mm.Status.DUPLICATE
    assert (book.suspense, book["N"].net, book["N"].fees) == ((1, 2, 3), 3, 5)
    assert book.bust("N", row=4) is mm.Status.OK  # the release: in suspense again
    assert book.release(0, "X") is mm.Status.OK
    assert book["X"].net == 3
    assert book.fill("N", 3, 100, 5, id="a") is mm.Status.DUPLICATE  # it was one of X
    assert reloaded(book).snapshot() == book.snapshot()


def test_a_fill_that_names_an_instrument_too_late_is_known_all_the_same(cost):
    """Another thread may add the instrument while a fill is on its way into suspense."""
    book = mm.Book([instrument()], cost, unknown="suspend")

    class Price:
        def __index__(self):
            book.add(instrument("N"))
            return 1000

    assert book.fill("N", 3, Price(), id="a") is mm.Status.SUSPENDED
    assert book.fill("N", 3, 1000, id="a") is mm.Status.DUPLICATE
    assert book.release(0, "N") is mm.Status.OK
    assert book.fill("N", 3, 1000, id="a") is mm.Status.DUPLICATE
    rows = book.records(instrument=-1, reference="N", qty=3, price=1000, id="a")
    assert book.apply(rows).tolist() == [mm.Status.DUPLICATE]
    assert book["N"].net == 3


def test_a_venue_busts_what_is_in_suspense_under_a_name_that_is_known_by_now(suspending):
    book = suspending
    error = refused(ConflictError, book, book.correct, "N", "a", qty=4, price=100)
    assert "it is still suspended: release it first (row 0)" in str(error)
    refused(InvalidArgument, book, book.bust, "N", "a")  # both sides have the id
    assert book.bust("N", "a", side="sold", own_id="b") is mm.Status.OK
    assert book.bust("N", "a", side="sold", own_id="b") is mm.Status.DUPLICATE
    assert book.suspense == (0, 2, 3)
    assert book.fill("N", -1, 101, id="a") is mm.Status.DUPLICATE
    refused(ConflictError, book, book.release, 1, "N")
    book.add(instrument("M"))
    assert book.bust("M", "a", own_id="b") is mm.Status.OK  # ids are each instrument's own
    assert book.dismiss(2) is mm.Status.OK
    assert book.suspense == (0,)
    assert reloaded(book).snapshot() == book.snapshot()


@pytest.mark.parametrize("name", ["N", "X"])  # unknown at first, and known
def test_a_bust_after_a_busted_release_is_about_the_fill(suspending, name):
    book = suspending
    book.suspend(name, 5, 1000, id="f")
    assert book.release(4, name) is mm.Status.OK
    assert book.bust(name, row=5) is mm.Status.OK  # released by mistake
    again = reloaded(book)
    book.add(instrument("O"))
    assert book.release(4, "O") is mm.Status.OK
    error = refused(ConflictError, book, book.bust, name, "f")
    assert "it is released: bust the release (row 7)" in str(error)
    assert again.bust(name, "f") is mm.Status.OK  # it is in suspense, and never was
    assert 4 not in again.suspense
    assert again.bust(name, "f") is mm.Status.DUPLICATE
    refused(ConflictError, again, again.release, 4, name)
    assert reloaded(again).snapshot() == again.snapshot()


def test_a_fill_is_not_released_in_lots_that_are_gone_in_steps(suspending):
    book = suspending
    book.suspend("X", 1, 1000, id="x")
    usd, xbt = book.currencies[1], book.currencies[0]
    for name, currency in [("O", xbt), ("P", xbt), ("Y", usd), ("Z", usd)]:
        book.add(instrument(name, currency=currency))
    for there, here, rows in [("N", "OP", (0, 2)), ("X", "YZ", (4,))]:
        assert book.convert(there, here[0], 2) is mm.Status.OK
        assert book.convert(here[0], here[1]) is mm.Status.OK
        for row in rows:  # with an id, and without
            for name in here:
                error = refused(ConflictError, book, book.release, row, name)
                assert "its lots became others since" in str(error)
    assert book.release(3, "P") is mm.Status.OK  # of M, of which nothing is known
    assert book.release(0, "N") is mm.Status.OK  # lots of N are what they were
    assert reloaded(book).snapshot() == book.snapshot()


def test_the_newest_of_two_with_one_id_is_known_under_the_name(cost):
    book = mm.Book([instrument()], cost, unknown="suspend", ids_window=2)
    for name, qty in [("N", 1), ("X", 1), ("X", 1), ("N", 2)]:
        book.fill(name, qty, 100, id="a" if name == "N" else None)
    assert book.fill("N", 2, 100, id="a") is mm.Status.DUPLICATE
    book.add(instrument("N"))
    assert book.fill("N", 2, 100, id="a") is mm.Status.DUPLICATE
    refused(ConflictError, book, book.fill, "N", 1, 100, id="a")


def test_a_conflict_says_what_is_different(book):
    book.fill("X", 1, 100, id="a", reference="r", order_id=3, liquidity="maker")
    book.fill("X", 1, 100, id="b", fee=1)
    own = {"fee": 2, "fee_currency": book.currencies[0]}  # which says no more than None
    error = refused(ConflictError, book, book.fill, "X", 1, 100, id="b", **own)
    assert str(error).endswith("given 1 lots at 100, fee 2, time 0")
    for other, text in [
        ({"reference": "s"}, "reference b'r', not b's'"),
        ({"order_id": 4}, "order_id 3, not 4"),
        ({"liquidity": "taker"}, "liquidity 1, not 2"),
    ]:
        same = {"reference": "r", "order_id": 3, "liquidity": "maker"}
        error = refused(ConflictError, book, book.fill, "X", 1, 100, id="a", **{**same, **other})
        assert str(error).endswith(f"given 1 lots at 100, fee 0, time 0, {text}")


def test_many_suspended_fills_are_released_and_loaded_in_little_time():
    """No release looks at all that came after: n of them are no n squared."""
    book = mm.Book([instrument()], unknown="suspend")
    n = 30_000
    rows = book.records(qty=1, price=100, instrument=-1, reference="N", kind=3, id=[f"{k}" for k in range(n)])
    assert (book.apply(rows) == mm.Status.SUSPENDED).all()
    book.add(instrument("N"))
    rows = book.records(qty=0, price=0, instrument=1, kind=4, target=np.arange(1, n + 1))
    assert (book.apply(rows) == 0).all()
    again = reloaded(book)
    assert (again["N"].net, again.suspense) == (n, ())


@pytest.mark.parametrize("unknown", ["refuse", "suspend"])
def test_an_index_beyond_the_book_would_be_anothers_later_and_is_refused(unknown):
    book = mm.Book([instrument()], unknown=unknown)
    for kind in (0, 3):
        fills = book.records(instrument=1, qty=2, price=100, fee=5, id="a", kind=kind)
        error = refused(UnknownName, book, book.apply, fills)
        assert (error.argument, error.value) == ("instrument", 1)
        assert ("-1 with the name" in error.allowed) is (unknown == "suspend" or kind == 3)


def test_a_fill_of_a_negative_index_is_of_no_instrument_and_keeps_its_fee():
    book = mm.Book([instrument()], unknown="suspend")
    fills = book.records(instrument=-7, qty=2, price=100, fee=5, id="a")
    assert book.apply(fills).tolist() == [mm.Status.SUSPENDED]
    assert book.history["instrument"].tolist() == [-1]
    assert reloaded(book).snapshot() == book.snapshot()
    assert book.release(0, "X") is mm.Status.OK
    assert (book["X"].net, book["X"].fees, book["X"].other_fees) == (2, 5, {})


def test_a_release_follows_every_conversion_of_what_the_fill_is_of():
    book = mm.Book([instrument(name) for name in "XYZV"])
    book.suspend("X", 5, 100, id="s")
    book.convert("X", "Y")
    book["X"].fill(1, 100)
    book.convert("X", "Z")
    book.convert("Z", "V", 10)
    for name in "YZV":
        error = refused(ConflictError, book, book.release, 0, name)
        assert "its lots became others since" in str(error)
    assert book.release(0, "X") is mm.Status.OK  # what X is now: its lots were never others

    book = mm.Book([instrument(name) for name in "XYZ"])
    book.suspend("X", 5, 100, id="s")
    book.convert("X", "Y")
    book["X"].fill(1, 100)
    book.convert("X", "Z", 10)
    book.convert("Z", "X")
    refused(ConflictError, book, book.release, 0, "X")

    book = mm.Book([instrument()])
    book.suspend("X", 5, 100)
    book.convert("X", "X")  # a lot for a lot
    assert book.release(0, "X") is mm.Status.OK


def test_one_own_id_of_two_busts_is_a_conflict_where_the_fills_have_none():
    book = mm.Book([instrument()])
    for _ in range(2):
        book.fill("X", 2, 100)
    assert book.bust("X", row=0, own_id="u") is mm.Status.OK
    assert book.bust("X", row=0, own_id="u") is mm.Status.DUPLICATE
    refused(ConflictError, book, book.bust, "X", row=1, own_id="u")
    for _ in range(2):
        book.fill("X", 2, 100)
    assert book.correct("X", row=3, qty=1, price=100, own_id="c") is mm.Status.OK
    refused(ConflictError, book, book.correct, "X", row=4, qty=1, price=100, own_id="c")


@pytest.mark.parametrize("suspended", ["X", "Y", "unknown"])
def test_a_bust_by_its_own_id_again_is_about_what_it_was_about(suspended):
    book = mm.Book([instrument(), instrument("Y")], unknown="suspend")
    if suspended == "unknown":
        book.fill("Q", 5, 100, id="a")
    else:
        book.suspend(suspended, 5, 100, id="a")
    book.release(0, "X")
    assert book.bust("X", "a", own_id="b") is mm.Status.OK  # of the release
    for _ in range(2):
        assert book.bust("X", "a", own_id="b") is mm.Status.DUPLICATE
        assert book.suspense == (0,)


def test_what_a_release_was_corrected_to_goes_with_it():
    book = mm.Book([instrument()], unknown="suspend")
    book.fill("Y", 5, 100, id="a")
    book.release(0, "X")
    corrected = {"qty": 6, "price": 101}
    assert book.correct("X", "a", own_id="c", **corrected) is mm.Status.OK
    assert book.correct("X", "a", own_id="c", **corrected) is mm.Status.DUPLICATE
    book.bust("X", row=1)
    book.release(0, "X")
    error = refused(ConflictError, book, book.correct, "X", "a", own_id="c", **corrected)
    assert "it is busted (row 3)" in str(error)
    assert book.correct("X", "a", own_id="d", **corrected) is mm.Status.OK
    assert (book["X"].net, book["X"].average_cost) == (6, 101)


def test_a_fill_is_named_by_its_id_or_by_its_row():
    book = mm.Book([instrument()])
    book.fill("X", 1, 100, id="a")
    assert refused(InvalidArgument, book, book.bust, "X", "a", row=0).argument == "row"
    assert refused(InvalidArgument, book, book.bust, "X").argument == "id"


def test_empty_lists_are_columns_and_masked_arrays_are_none(book):
    before = book.snapshot()
    book["X"].fill_batch([], [])
    assert len(book.records(qty=[], price=[])) == 0
    assert book.snapshot() == before
    refused(InvalidArgument, book, book["X"].fill_batch, [], np.array([]))  # of floats
    masked = np.ma.array([1, 2], mask=[False, True])
    assert "none of them masked" in str(refused(InvalidArgument, book, book["X"].fill_batch, masked, 5))
    refused(InvalidArgument, book, book.records, qty=1, price=1, id=np.ma.array([b"a"], mask=[True]))
    refused(InvalidArgument, book, book.apply, np.ma.array(book.records(qty=[1, 2], price=5)))


def test_an_id_with_a_zero_byte_is_refused_by_every_door(book):
    for id in ([b"a\0b"], np.array([b"ab", b"a\0b"])):
        error = refused(InvalidArgument, book, book.records, qty=[1] * len(id), price=1, id=id)
        assert "without zero bytes" in str(error)
    refused(InvalidArgument, book, book.fill, "X", 1, 1, id=b"a\0b")


def test_a_book_that_learned_of_an_instrument_is_restored_with_its_currencies(cost):
    """Those that were declared come first, whatever is added in one of them."""
    usd, xbt, bnb = mm.Currency("USD"), mm.Currency("XBT"), mm.Currency("BNB")
    book = mm.Book([instrument(currency=usd)], cost, currencies=[bnb, xbt])
    assert [c.name for c in book.currencies] == ["BNB", "XBT", "USD"]
    book.fill("X", 1, 100, 7, fee_currency="BNB")
    book.add(instrument("N", currency=xbt))
    book.fill("N", 1, 100, 3)
    for declared in ([bnb, xbt], book.currencies):
        again = mm.Book.from_bytes(book.to_bytes(), book.instruments, declared)
        assert again.snapshot() == book.snapshot()
    assert pickle.loads(pickle.dumps(book)).snapshot() == book.snapshot()


def test_what_a_correction_made_of_a_fill_may_be_repeated():
    book = mm.Book([instrument()])
    book.fill("X", 3, 1000, id="a")
    book.correct("X", "a", qty=4, price=1001, fee=2, own_id="c1")
    before = book.snapshot()
    assert book.fill("X", 4, 1001, 2, id="a") is mm.Status.DUPLICATE
    assert book.fill("X", 3, 1000, id="a") is mm.Status.DUPLICATE
    rows = book.records(qty=[4, 3], price=[1001, 1000], fee=[2, 0], id=["a", "a"])
    assert book.apply(rows).tolist() == [mm.Status.DUPLICATE] * 2
    assert book.snapshot() == before
    error = refused(ConflictError, book, book.fill, "X", 4, 1002, 2, id="a")
    assert "booked 4 lots at 1001, fee 2" in str(error)
    book.correct("X", "a", qty=5, price=1001)
    refused(ConflictError, book, book.fill, "X", 4, 1001, 2, id="a")  # in force no longer


def test_what_was_corrected_before_it_was_busted_is_known():
    book = mm.Book([instrument()])
    book.fill("X", 2, 1000, id="a")
    book.correct("X", "a", qty=2, price=1001, own_id="c1")
    book.correct("X", "a", qty=2, price=1002, own_id="c2")
    book.bust("X", "a", own_id="b")
    for price, own in ((1001, "c1"), (1002, "c2")):
        assert book.correct("X", "a", qty=2, price=price, own_id=own) is mm.Status.DUPLICATE
    assert book.apply(book.history).tolist() == [mm.Status.DUPLICATE] * 4
    for price in (1000, 1002):  # as it came, and as it was when it was busted
        assert book.fill("X", 2, price, id="a") is mm.Status.DUPLICATE
    refused(ConflictError, book, book.fill, "X", 2, 1003, id="a")
    refused(ConflictError, book, book.correct, "X", "a", qty=2, price=1003, own_id="c1")
    refused(ConflictError, book, book.correct, "X", "a", qty=2, price=1002, own_id="c3")
    assert book["X"].net == 0


@pytest.mark.parametrize("suspended", ["X", "Q"])
@pytest.mark.parametrize("currency", [None, "USD", "EUR"])
def test_a_suspended_fill_is_repeated_as_it_was_corrected_after_its_release(suspended, currency):
    usd, eur = mm.Currency("USD"), mm.Currency("EUR")
    both = [instrument(currency=usd), instrument("Y", currency=usd)]
    book = mm.Book(both, currencies=[eur], unknown="suspend")
    kind = {"kind": "suspend"} if suspended == "X" else {}
    book.fill(suspended, 3, 5, 7, id="a", fee_currency=currency, **kind)
    book.release(0, "Y")
    book.correct("Y", "a", qty=4, price=6, fee=8, fee_currency=currency)
    for name in dict.fromkeys([suspended, "Y"]):
        for qty, price, fee in ((3, 5, 7), (4, 6, 8)):
            repeated = book.fill(name, qty, price, fee, id="a", fee_currency=currency)
            assert repeated is mm.Status.DUPLICATE
        refused(ConflictError, book, book.fill, name, 4, 6, 9, id="a", fee_currency=currency)
    book.add(instrument("Q", currency=usd))
    if suspended == "Q":
        assert book.fill("Q", 4, 6, 8, id="a", fee_currency=currency) is mm.Status.DUPLICATE
    assert book["Y"].net == 4


def test_a_lot_that_was_refused_is_not_held_against_the_next_fill():
    book = mm.Book([instrument()])
    name = book.records(kind=10, qty=[1], price=[0], reference=["a"])
    error = refused(Unsupported, book, book.apply, np.concatenate([name, book.records(qty=[-1], price=[9])]))
    assert "cost='specific'" in str(error)
    for qty, price, cls, argument in [
        (0, 5, InvalidArgument, "qty"),
        (1, -5, InvalidArgument, "price"),
        (2**62, 2**62, OutOfBounds, "qty"),
    ]:
        error = refused(cls, book, book.fill, "X", qty, price)
        assert error.argument == argument
        assert "lots[0]" not in str(error)


def test_names_have_the_status_of_their_fill():
    book = three_lots()
    rows = book.records(kind=[10, 10, 0, 0], qty=[1, 1, -2, -1], price=[0, 0, 1030, 1030],
                        reference=["a2", "zz", "", ""])  # fmt: skip
    assert book.apply(rows, on_error="skip").tolist() == [mm.Status.UNKNOWN] * 3 + [0]
    assert held(book) == [(b"a1", 1), (b"a2", 3), (b"a3", 4)]


def test_a_refused_array_gives_back_what_its_names_closed():
    book = three_lots()
    book.fill("X", -1, 1030, lots=[("a2", 1)])
    rows = book.records(
        kind=[10, 0, 0, 10, 0, 0],
        qty=[2, -2, -3, 3, -3, 0],
        price=[0, 1030, 1030, 0, 1030, 1],
        reference=["a3", "", "", "a2", "", ""],
    )
    error = refused(InvalidArgument, book, book.apply, rows)  # 1 is left of a2
    assert error.index == 4
    rows["reference"][3], rows["qty"][3] = b"a3", 2
    error = refused(InvalidArgument, book, book.apply, rows)
    assert error.index == 5
    assert book.apply(rows, on_error="skip").tolist() == [0, 0, 0, 0, 0, mm.Status.INVALID]
    assert held(book) == []


def test_names_are_saved_with_the_book():
    book = three_lots()
    book.fill("X", -3, 1030, id="b", lots=[("a3", 1), ("a2", 2)])
    book.bust("X", "a2")
    again = mm.Book.from_bytes(book.to_bytes(), book.instruments)
    assert again.snapshot() == book.snapshot()
    assert again.to_bytes() == book.to_bytes()
    assert (again["X"].unmet, held(again)) == (2, [(b"a3", 3)])
    for each in (book, again):
        each.fill("X", -1, 1000, lots=[("a3", 1)])
    assert again.snapshot() == book.snapshot()
    assert repr(book).startswith("Book, specific lots, 4 fills")


def test_a_wrong_name_of_a_lot_is_refused_under_a_right_checksum():
    book = mm.Book([instrument()], cost="specific")
    for k in range(3):
        book.fill("X", 5, 1000, id=f"a{k}")
    book.fill("X", -2, 1000, lots=[("a1", 2)])
    block, at = book.to_bytes(), BOOK_HEADER + 120 + 16 * 6
    # before each lot the row that opened it, and how much of it is closed
    assert struct.unpack_from("<12q", block, at) == (0, 0, 5, 1000, 1, 2, 5, 1000, 2, 0, 5, 1000)
    records = at + 12 * 8
    for where, value in [
        *[(at + 8 * k, v) for k in range(12) for v in (-1, 3, 7, -(2**63))],
        *[(BOOK_HEADER + 104, v) for v in (-1, 1)],
        (BOOK_HEADER + 112, 1),  # FIFO
        (BOOK_HEADER + 112, 3),  # named, by the flags not
        *[(records + 3 * 96 + 88, v) for v in (0, 1, 3, 4, 99, -1)],  # another lot, or none
        *[(records + 3 * 96 + 16, v) for v in (0, 1, 3, -2, 2**63 - 1)],  # more or less of it
    ]:
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(resealed(block, where, "q", value), book.instruments)


def test_an_old_lot_outlasts_many_named_closes():
    book = mm.Book([instrument()], cost="specific")
    book.fill("X", 1, 1000, id="old")
    for i in range(3000):
        book.fill("X", 2, 1000 + i % 7, id=i)
        book.fill("X", -2, 1001, lots=[(i, 2)])
    assert held(book) == [(b"old", 1)]
    assert len(book.to_bytes()) < 96 * len(book.history) + 1000


# ---- more of what a position says ----


def test_a_fill_through_zero_closes_everything_and_opens_the_rest(book):  # fault 18
    position = book["X"]
    position.fill(3, 1000)
    position.fill(1, 1004)
    position.fill(-10, 1010)
    assert position.net == -6
    assert position.realised == (3 * 10 + 1 * 6) * SCALE
    assert position.cost == -6 * 1010 * SCALE
    assert position.average_cost == 1010
    position.fill(6, 1000)
    assert position.realised == (36 + 60) * SCALE


def test_realised_and_unrealised_are_cash_and_value(book):
    book.mark("X", 997)
    for qty, price in [(7, 1000), (-3, 1001), (5, 999), (-20, 1003), (1, 998), (10, 990)]:
        book["X"].fill(qty, price)
        p = book["X"]
        assert p.realised + p.unrealised == SCALE * (p.cash + 997 * p.net)


def test_money_is_exact_and_only_on_request():
    usdt = mm.Currency("USDT")
    btc = mm.Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=usdt)
    book = mm.Book([btc])
    book.fill("BTCUSDT", btc.lots("0.25"), btc.ticks("61700.1"), fee=usdt.units("3.085005"))
    book.mark("BTCUSDT", btc.ticks("61710.1"))
    assert book["BTCUSDT"].pnl() == {
        "realised": Decimal(0),
        "unrealised": Decimal("2.5"),
        "fees": Decimal("3.085005"),
        "payments": Decimal(0),
        "net": Decimal("-0.585005"),
    }


def test_money_is_exact_beyond_the_decimal_context():
    """Decimal arithmetic rounds to 28 digits unless told otherwise."""
    position = mm.Book([instrument(tick="0.00000001", lot="0.00000001")])["X"]
    position.fill(2**31 + 1, MAX)
    expected = Fraction((2**31 + 1) * MAX, 10**16)
    assert Fraction(position.money("cash")) == -expected
    assert len(position.money("cash").as_tuple().digits) > 28


def test_what_is_unknown_is_none_and_not_zero():
    book = mm.Book([instrument()])
    position = book["X"]
    assert (position.mark, position.unrealised, position.average_cost) == (None, 0, None)
    position.fill(1, 1000)
    assert position.unrealised is None
    assert position.pnl()["net"] is None
    assert position.money("unrealised") is None
    book.mark("X", 1001)
    assert position.pnl()["net"] == Decimal("0.01")
    with pytest.raises(InvalidArgument, match="what must be"):
        position.money("profit")


def test_totals_of_what_was_bought_and_sold(book):
    for qty in (3, -5, 4):
        book["X"].fill(qty, 10)
    p = book["X"]
    assert (p.bought, p.sold, p.fills, p.net) == (7, 5, 3, 2)


# ---- faults ----


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 1.0, "1", None, True, np.float64(2.0), Decimal(1), [1]]
)
@pytest.mark.parametrize("argument", ["qty", "price", "fee", "time"])
def test_only_integers_pass_the_doors(book, argument, value):  # fault 1
    good = {"qty": 1, "price": 1000, "fee": 0, "time": 0}
    error = refused(InvalidArgument, book, book["X"].fill, **{**good, argument: value})
    assert error.argument == argument
    refused(InvalidArgument, book, book.fill, "X", **{**good, argument: value})
    refused(InvalidArgument, book, book.mark, "X", value)


@pytest.mark.parametrize("one", [np.int64(1), np.int8(1), np.uint64(1)])
def test_integers_of_numpy_are_integers(book, one):
    assert book["X"].fill(one, one) is mm.Status.OK
    assert book["X"].net == 1


def test_a_nan_in_a_column_is_named_by_its_row(book):  # fault 1
    with pytest.raises(InvalidArgument, match=r"price\[2\] must be an integer, got nan") as caught:
        book.records(qty=[1, 1, 1, 1], price=[10.0, 11.0, np.nan, np.inf])
    assert caught.value.index == 2
    with pytest.raises(InvalidArgument, match="a column of integers"):
        book.records(qty=[1.0], price=[10])
    with pytest.raises(OutOfBounds, match=r"qty\[1\]"):
        book.records(qty=np.array([1, 2**63], np.uint64), price=10)


def test_size_zero_is_refused(book):  # fault 2
    assert refused(InvalidArgument, book, book["X"].fill, 0, 1000).argument == "qty"


def test_negative_prices_only_where_the_instrument_has_them(book):  # fault 3
    error = refused(InvalidArgument, book, book["X"].fill, 1, -3763)
    assert (error.argument, error.value) == ("price", -3763)
    refused(InvalidArgument, book, book.mark, "X", -3763)
    spread = book["S"]
    spread.fill(2, -3763)
    spread.fill(-1, -1000)
    book.mark("S", -500)
    assert spread.realised == (3763 - 1000) * SCALE
    assert spread.unrealised == (3763 - 500) * SCALE
    assert spread.average_cost == -3763


def test_price_zero_is_refused_unless_prices_may_be_negative(book):  # fault 4
    refused(InvalidArgument, book, book["X"].fill, 1, 0)
    refused(InvalidArgument, book, book.mark, "X", 0)
    assert book["S"].fill(1, 0) is mm.Status.OK


@pytest.mark.parametrize(
    ("qty", "price"),
    [
        (-(2**63), 1),  # its negative does not exist
        (2**63, 1),  # not an int64
        (1, 2**63),
        (MAX, MAX),  # the product needs 126 bits
        (2**40, 2**56),  # a value of 2**96 is the first that does not fit
        (-(2**40), 2**56),
    ],
)
def test_overflow_is_refused_before_anything_changes(book, qty, price):  # fault 8
    refused(OutOfBounds, book, book["X"].fill, qty, price)
    assert book["X"].fill(2**40, 2**56 - 1) is mm.Status.OK  # the last that does
    refused(OutOfBounds, book, book["X"].fill, qty, price)


def test_128_bits_are_exact_at_the_edges(book):  # fault 8
    position = book["X"]
    position.fill(2**33 - 1, MAX)
    assert position.cash == -(2**33 - 1) * MAX
    assert position.cost == (2**33 - 1) * MAX * SCALE
    refused(OutOfBounds, book, position.fill, 2, MAX)  # the sum of cash
    position.fill(-(2**33 - 1), MAX)
    assert (position.cash, position.realised) == (0, 0)
    refused(OutOfBounds, book, position.fill, MAX, 1)  # all that was ever bought
    position.fill(-(MAX - 2**33 + 1), 1)
    refused(OutOfBounds, book, position.fill, -1, 1)


def test_a_position_reaches_the_last_int64_and_no_further(book):
    position = book["X"]
    position.fill(MAX, 1)
    refused(OutOfBounds, book, position.fill, 1, 1)
    position.fill(-MAX, 2)
    position = book["S"]
    position.fill(-MAX, -1)
    refused(OutOfBounds, book, position.fill, -1, -1)
    assert (position.net, position.cost) == (-MAX, MAX * SCALE)


def test_the_smallest_prices_and_sizes_of_int64():
    spread = mm.Book([instrument("S", negative_prices=True)])
    refused(OutOfBounds, spread, spread["S"].fill, 1, -(2**63))  # the mark of an absent bid
    assert spread["S"].fill(1, -MAX) is mm.Status.OK
    assert spread["S"].cash == MAX
    assert spread["S"].fill(-MAX, 1) is mm.Status.OK
    assert spread["S"].net == 1 - MAX
    refused(OutOfBounds, spread, spread["S"].fill, -2, 1)


def test_a_mark_that_values_beyond_the_bounds_is_refused(book):
    book["X"].fill(2**40, 5)
    refused(OutOfBounds, book, book.mark, "X", 2**56)
    book.mark("X", 2**56 - 1)
    refused(OutOfBounds, book, book["X"].fill, 2**20, 5)  # the value of more would leave them


def test_no_instrument_is_none_of_the_book(book):
    book.fill("X", 1, 5, id="x")
    book.fill("X", 1, 5)
    for call, arguments, named in [
        (book.bust, (None, "x"), {}),
        (book.bust, (None,), {"row": 0}),
        (book.correct, (None, "x"), {"qty": 2, "price": 5}),
        (book.correct, (None,), {"row": 1, "qty": 2, "price": 5}),
        (book.release, (0, None), {}),
    ]:
        error = refused(UnknownName, book, call, *arguments, **named)
        assert str(error).startswith("instrument must be one of X")


def test_a_split_has_one_stamp_and_a_reference_that_is_one(book):
    book.fill("X", 5, 1000)
    split = partial(book.split, "X", 3, 2, in_lieu=10)
    for name, wrong in [("time", [1, 2]), ("receive_time", np.array([1, 2])), ("reference", "")]:
        refused(InvalidArgument, book, split, **{name: wrong})
    assert split(time=np.int64(7)) is mm.Status.OK


def test_a_statement_may_tell_what_is_zero(book):
    book.fill("X", 3, 5)
    told = {"net": 3, "other_fees": {"BNB": 0}, "payments": {"funding": {"USD": 0}}}
    assert book.reconcile({"X": told, "GONE": 0}) == []
    assert [d.instrument for d in book.reconcile({"X": told, "GONE": {"net": 0, "fees": 1}})] == ["GONE"]
    refused(InvalidArgument, book, book.reconcile, {"X": [3]})
    for question in (mm.ledger.entries, mm.ledger.adjustments, mm.ledger.breaches, mm.ledger.regressions):
        with pytest.raises(InvalidArgument, match="book must be a Book, got None"):
            question(None)


def test_the_same_fill_again_is_a_status(book):  # fault 9
    row = {"qty": 5, "price": 1000, "fee": 2, "time": 7, "id": "T1"}
    assert book["X"].fill(**row) is mm.Status.OK
    before = book.snapshot()
    assert book["X"].fill(**row) is mm.Status.DUPLICATE
    assert book.fill("X", **row, receive_time=99) is mm.Status.DUPLICATE  # when it came again is not content
    assert book.snapshot() == before
    assert len(book.history) == 1


@pytest.mark.parametrize(
    "change",
    [{"qty": 6}, {"price": 1001}, {"fee": 3}, {"time": 8}, {"liquidity": "maker"}, {"order_id": 1}],
)
def test_the_same_id_with_other_content_is_a_conflict(book, change):  # fault 10
    row = {"qty": 5, "price": 1000, "fee": 2, "time": 7, "id": "T1"}
    book.fill("X", **row)
    error = refused(ConflictError, book, book.fill, "X", **{**row, **change})
    assert error.argument == "id"
    assert error.value == b"T1"
    assert "booked 5 lots at 1000" in str(error)


def test_ids_are_unique_per_instrument_and_side(book):
    assert book["X"].fill(5, 1000, id="T1") is mm.Status.OK
    assert book["X"].fill(-5, 1000, id="T1") is mm.Status.OK
    assert book["S"].fill(5, 1000, id="T1") is mm.Status.OK
    assert book["X"].fill(5, 1000, id=b"T1") is mm.Status.DUPLICATE
    assert book["X"].fill(5, 1000) is mm.Status.OK  # no id: never a duplicate
    assert book["X"].fill(5, 1000) is mm.Status.OK
    assert book["X"].fill(1, 5, id=77) is mm.Status.OK
    assert book["X"].fill(1, 5, id="77") is mm.Status.DUPLICATE


@pytest.mark.parametrize("id", ["", "x" * 17, b"\0", "a\0b", 1.5, True, "ä" * 9])
def test_ids_that_do_not_fit_are_refused_and_never_cut(book, id):
    assert refused(InvalidArgument, book, book["X"].fill, 1, 1000, id=id).argument == "id"
    assert book["X"].fill(1, 1000, id="x" * 16) is mm.Status.OK
    if isinstance(id, str) and len(id) == 17:
        with pytest.raises(InvalidArgument, match="16 bytes"):
            book.records(qty=1, price=1, id=[id])


def test_every_id_of_a_long_history_is_found_again(cost):
    book = mm.Book([instrument()], cost=cost)
    n = 20000
    fills = book.records(
        qty=np.resize([3, -2, -1], n), price=np.arange(1, n + 1), id=np.arange(n).astype("S16")
    )
    assert not book.apply(fills[: n // 2]).any()
    assert (book.apply(fills) == np.repeat([1, 0], n // 2)).all()
    assert (book.apply(fills) == mm.Status.DUPLICATE).all()
    assert (book.history == fills).all()


@pytest.mark.parametrize("window", [2**63 - 1, 2**62 + 1, 2**62, 200])
def test_a_window_of_any_length_knows_its_ids(cost, window):
    book = mm.Book([instrument()], cost, ids_window=window)
    for id in range(200):
        assert book["X"].fill(1, 1000, id=id) is mm.Status.OK
    for id in range(200):
        assert book["X"].fill(1, 1000, id=id) is mm.Status.DUPLICATE
    more = book.records(qty=np.ones(500, int), price=1000, id=np.arange(200, 700))
    assert (book.apply(more) == mm.Status.OK).all()
    assert book["X"].fill(1, 1000, id=699) is mm.Status.DUPLICATE


def test_kinds_that_do_not_exist_are_refused(book):
    refused(InvalidArgument, book, book.fill, "X", 1, 1000, kind="trade")
    for kind in (11, -1):
        error = refused(InvalidArgument, book, book.apply, book.records(qty=1, price=1000, kind=kind))
        assert "0 to 10: new, bust" in str(error)


def test_rebates_and_other_currencies_have_their_own_pools():  # fault 19
    usdt, bnb = mm.Currency("USDT"), mm.Currency("BNB", unit="0.001")
    book = mm.Book([mm.Instrument("X", tick="0.1", currency=usdt)], currencies=[bnb])
    book.fill("X", 1, 1000, fee=-50)
    book.fill("X", 1, 1000, fee=7, fee_currency="BNB")
    book.fill("X", 1, 1000, fee=2, fee_currency=bnb)
    book.fill("X", 1, 1000, fee=3, fee_currency=usdt, id="own")
    position = book["X"]
    assert position.fees == -47
    assert position.other_fees == {"BNB": 9}
    assert position.money("fees") == Decimal("-0.00000047")
    assert (
        book.fill("X", 1, 1000, fee=3, id="own") is mm.Status.DUPLICATE
    )  # naming its own currency is the same
    refused(UnknownName, book, book.fill, "X", 1, 1000, fee=1, fee_currency="EUR")
    cents = mm.Currency("BNB", unit="0.01")
    error = refused(InvalidArgument, book, book.fill, "X", 1, 1000, fee=1, fee_currency=cents)
    assert str(error) == f"fee_currency must be {bnb!r} here, got {cents!r}"
    refused(UnknownName, book, book.apply, book.records(qty=1, price=1, fee_currency=2))
    fills = book.records(qty=[1, 1, 0], price=5, fee=[1, 2, 4], fee_currency=[0, -1, 0])
    refused(InvalidArgument, book, book.apply, fills)  # pools are undone too
    book.apply(fills[:2])
    assert (position.fees, position.other_fees) == (-45, {"BNB": 10})


def test_one_currency_name_has_one_unit():
    with pytest.raises(InvalidArgument, match="one unit for each currency"):
        mm.Book([instrument("X"), instrument("Y", currency=mm.Currency("USD", unit="0.01"))])


# ---- arrays ----


def test_a_batch_is_all_or_nothing(book):
    book.fill("X", 3, 1000, id="old")
    fills = book.records(qty=[1, -2, 0, 4], price=[1001, 1002, 1003, 1004], id=["a", "b", "c", "d"])
    error = refused(InvalidArgument, book, book.apply, fills)
    assert (error.argument, error.index) == ("qty", 2)
    assert "fills[2]" in str(error)
    assert book.apply(fills, on_error="skip").tolist() == [0, 0, mm.Status.INVALID, 0]
    assert book["X"].net == 6
    assert book["X"].fill(1, 1001, id="a") is mm.Status.DUPLICATE
    refused(InvalidArgument, book, book.apply, fills, on_error="some")


def test_a_conflict_within_a_batch_is_told_in_its_own_words(book):
    fills = book.records(qty=[1, 1], price=[10, 11], id=["a", "a"])
    assert "booked 1 lots at 10" in str(refused(ConflictError, book, book.apply, fills))
    fills["price"] = 10
    assert book.apply(fills).tolist() == [0, 1]


@pytest.mark.parametrize("history", ["none", "full"])
def test_columns_of_fills(book, history):
    if book.cost == "specific" and history == "none":
        return  # needs one
    book = mm.Book(book.instruments, cost=book.cost, history=history)
    once = mm.Book(book.instruments, cost=book.cost, history=history)
    position, qty, price = book["X"], np.resize([3, -2, -4, 5], 300), np.arange(100, 400)
    book.mark("X", 100)
    once.mark("X", 100)
    assert position.fill_batch(qty, price, fee=-3) is None
    position.fill_batch(7, np.arange(1, 3, dtype="u2"), [5, 6])
    position.fill_batch(np.int32(-1), 250)
    position.fill_batch(qty[:0], price[:0])
    for row in [
        *((q, p, -3) for q, p in zip(qty.tolist(), price.tolist(), strict=True)),
        (7, 1, 5),
        (7, 2, 6),
    ]:
        once["X"].fill(*row)
    once["X"].fill(-1, 250)
    assert book.snapshot() == once.snapshot()

    error = refused(InvalidArgument, book, position.fill_batch, [1, 2, 0], [100, 101, 102])
    assert (error.argument, error.index) == ("qty", 2)
    assert "fills[2]" in str(error)
    error = refused(InvalidArgument, book, position.fill_batch, qty, price - 298)
    assert (error.argument, error.index, error.value) == ("price", 0, -198)
    price[200] = 2**62
    error = refused(OutOfBounds, book, position.fill_batch, np.full(300, 2**40), price)
    assert error.index == 200
    for one, other in (([1, 2], [1, 2, 3]), ([1, 2], [1]), ([1], [1, 2]), ([], [1])):
        error = refused(InvalidArgument, book, position.fill_batch, one, other)
        assert error.allowed == "of one length"
    refused(InvalidArgument, book, position.fill_batch, [[1, 2]], 5)
    refused(InvalidArgument, book, position.fill_batch, [1.5], 5)
    refused(OutOfBounds, book, position.fill_batch, 1, 5, fee=2**63)


def test_what_a_fifo_queue_releases_at_once_has_a_bound_in_batches_too():
    """With prices of both signs the parts of a pool may be larger than the pool."""
    lots, ticks = 2**40, [2**56 // 20 * i for i in (12, -12, -12, 15)]
    for many in (False, True):
        position = mm.Book([instrument(negative_prices=True)], cost="fifo", history="none")["X"]
        for price in ticks:
            position.fill(lots, price)
        fills = [(-lots // 4, 1)] * 4 + [(1, 1)] * 4
        if many:
            position.fill_batch(*np.array(fills).T)
            with pytest.raises(OutOfBounds) as caught:
                position.fill_batch([1] * 8 + [-2 * lots] + [1] * 3, 1)
            assert caught.value.index == 8
        else:
            for fill in fills:
                position.fill(*fill)
            with pytest.raises(OutOfBounds):
                position.fill(-2 * lots, 1)
        assert (position.net, position.cost) == (3 * lots + 4, SCALE * (4 + sum(ticks[1:]) * lots))


def test_arrays_of_any_shape_in_memory_are_right_or_refused(book):  # fault 26
    n = 40
    fills = book.records(
        qty=np.resize([3, -2, -1, 4], n), price=np.arange(100, 100 + n), id=np.arange(n).astype("S16"), fee=-3
    )
    reference = mm.Book(book.instruments, cost=book.cost)
    reference.apply(fills)
    double = np.zeros(2 * n, mm.FILL)
    double[::2] = fills
    packed = np.zeros(n, np.dtype([("skew", "u1"), ("fill", mm.FILL)]))
    packed["fill"] = fills
    readonly = fills.copy()
    readonly.flags.writeable = False
    variants = {
        "strided": double[::2],
        "reversed twice": fills[::-1].copy()[::-1],
        "read-only": readonly,
        "byte-swapped": fills.astype(mm.FILL.newbyteorder()),
        "unaligned": packed["fill"],
    }
    for name, variant in variants.items():
        other = mm.Book(book.instruments, cost=book.cost)
        other.apply(variant)
        assert other.snapshot() == reference.snapshot(), name
    assert book.apply(fills[:0]).tolist() == []
    assert len(book.apply(np.zeros(0, mm.FILL), on_error="skip")) == 0
    for bad in (
        [(1, 2)],
        fills.tolist(),
        np.zeros(3),
        fills.reshape(2, -1),
        fills[["qty", "price"]],
        None,
        fills[0],
    ):
        refused(InvalidArgument, book, book.apply, bad)
    renamed = fills.astype([(("size" if n == "qty" else n), mm.FILL[n]) for n in mm.FILL.names])
    refused(InvalidArgument, book, book.apply, renamed)
    moved = np.zeros(
        2,
        [(n, mm.FILL[n]) for n in ("price", "qty", *[m for m in mm.FILL.names if m not in ("price", "qty")])],
    )
    refused(InvalidArgument, book, book.apply, moved)  # a cast by position would swap price and quantity


def test_instruments_out_of_range_in_an_array_are_refused(book):
    for index in (-1, 2, 2**31 - 1, -(2**31)):
        error = refused(UnknownName, book, book.apply, book.records(qty=1, price=1, instrument=index))
        assert (error.argument, error.index) == ("instrument", 0)


def test_records_are_made_from_columns(book):
    fills = book.records(instrument="S", qty=[1, 2], price=5, liquidity=1)
    assert fills["instrument"].tolist() == [1, 1]
    assert fills["fee_currency"].tolist() == [-1, -1]
    assert fills["price"].tolist() == [5, 5]
    assert len(book.records(qty=1, price=2)) == 1
    with pytest.raises(InvalidArgument, match="of one length"):
        book.records(qty=[1, 2, 3], price=[1, 2])
    with pytest.raises(UnknownName, match="column must be one of"):
        book.records(qty=1, price=1, size=1)
    with pytest.raises(InvalidArgument, match="liquidity must be 0"):
        book.apply(book.records(qty=1, price=1, liquidity=3))


def test_a_scalar_fill_leaves_the_record_of_an_array(book):
    other = mm.Book(book.instruments, cost=book.cost)
    book.fill("S", -3, 7, 4, time=1, receive_time=2, id="i", reference="r", order_id=9, liquidity="taker")
    columns = {"time": 1, "receive_time": 2, "id": ["i"], "reference": ["r"], "order_id": 9, "liquidity": 2}
    other.apply(other.records(instrument="S", qty=-3, price=7, fee=4, **columns))
    assert book.history == other.history
    assert book.snapshot() == other.snapshot()


def test_the_history_is_a_view_that_nobody_can_write_or_see_change(book):
    for i in range(5):
        book["X"].fill(1, 1000 + i, id=i)
    history = book.history
    kept = history.copy()
    with pytest.raises(ValueError, match="read-only"):
        history["qty"] = 0
    for view in (history, history.view(np.uint8), history["qty"], history[1:], book.snapshot().history):
        while isinstance(view, np.ndarray):  # and whatever it is a view of
            with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                view.flags.writeable = True
            view = view.base
        assert memoryview(view).readonly
        assert memoryview(memoryview(view).obj).readonly
    for i in range(5, 500):
        book["X"].fill(1, 1000 + i, id=i)
    with pytest.raises(InvalidArgument):
        book.apply(book.records(qty=[1, 0], price=1))
    assert (history == kept).all()
    assert len(history) == 5
    assert np.shares_memory(book.history, book.history)
    again = mm.Book(book.instruments, cost=book.cost)
    again.apply(book.history)
    assert again.snapshot() == book.snapshot()
    book.apply(book.history)  # its own memory: all duplicates
    assert again.snapshot() == book.snapshot()


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
def test_without_history_ids_are_refused_rather_than_forgotten(cost):
    book = mm.Book([instrument()], cost=cost, history="none")
    assert book["X"].fill(1, 1000) is mm.Status.OK
    refused(Unsupported, book, book["X"].fill, 1, 1000, id="a")
    refused(Unsupported, book, book.apply, book.records(qty=1, price=1000, id=["a"]))
    refused(InvalidArgument, book, book["X"].fill, 0, 1000)
    refused(OutOfBounds, book, book["X"].fill, MAX, MAX)
    refused(InvalidArgument, book, book.apply, book.records(qty=[1, 0], price=1000))
    book.apply(book.records(qty=[1, -3], price=1000))
    assert book["X"].net == -1
    assert len(book.history) == 0


@pytest.mark.parametrize("cost", ["fifo", "lifo"])
def test_a_long_queue_stays_small(cost):
    """The queue is compacted: a million fills of a market maker must not keep a million closed lots."""
    position = mm.Book([instrument()], cost=cost, history="none")["X"]
    for i in range(5000):
        position.fill(2, 1000 + i % 7)
        position.fill(-1 if i % 2 else -3, 1001)
    assert position.net == 0
    assert sys.getsizeof(position.lots) < 100


# ---- the book as an object ----


def test_names(book):
    assert list(book) == ["X", "S"]
    assert "X" in book
    assert len(book) == 2
    with pytest.raises(UnknownName, match="instrument must be one of X, S, got 'Y'") as caught:
        book["Y"]
    assert isinstance(caught.value, KeyError)
    for call in (lambda: book.fill("Y", 1, 1), lambda: book.mark("Y", 1), lambda: book[["X"]]):
        with pytest.raises(UnknownName):
            call()


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"instruments": []}, "instruments"),
        ({"instruments": "X"}, "instruments"),
        ({"instruments": [1]}, "instruments"),
        ({"instruments": instrument()}, "instruments"),
        ({"instruments": [instrument(), instrument()]}, "instruments"),
        ({"instruments": None}, "instruments"),
        ({"instruments": np.array(3)}, "instruments"),
        ({"instruments": [instrument()], "cost": "hifo"}, "cost"),
        ({"instruments": [instrument()], "cost": np.array([1, 2])}, "cost"),
        ({"instruments": [instrument()], "history": True}, "history"),
        ({"instruments": [instrument()], "history": np.array([])}, "history"),
        ({"instruments": [instrument()], "currencies": None}, "currencies"),
        ({"instruments": [instrument()], "currencies": "USD"}, "currencies"),
        ({"instruments": [instrument()], "currencies": [instrument()]}, "currencies"),
    ],
)
def test_wrong_books_name_the_argument(arguments, argument):
    with pytest.raises(InvalidArgument) as caught:
        mm.Book(**arguments)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    "value",
    [None, [], {}, set(), 1.5, float("nan"), 2**70, "\ud800", np.array([]), np.array([1, 2]), int, object()],
)
@pytest.mark.parametrize(
    "argument", ["qty", "price", "fee", "time", "receive_time", "order_id", "id", "reference", "liquidity",
                 "fee_currency", "kind"]
)  # fmt: skip
def test_whatever_a_fill_is_given_it_books_or_names_what_is_wrong(book, argument, value):
    arguments = {"qty": 1, "price": 1000, "id": "a", argument: value}
    if value is None and argument in ("id", "reference", "liquidity", "fee_currency"):
        assert book.fill("X", **arguments) is mm.Status.OK
        return
    with pytest.raises(Error, match=argument):
        book.fill("X", **arguments)


@pytest.mark.parametrize("column", ["qty", "fee", "id", "reference"])
@pytest.mark.parametrize(
    "value", [None, {}, "\ud800", ["é" * 9], [1.5], np.array([None, 0.5]), object(), mm.FILL]
)
def test_whatever_records_are_made_of_a_wrong_column_is_named(book, column, value):
    if column in ("id", "reference") and value is None:  # no text, there
        value = [["nested"], 1]
    with pytest.raises(Error, match=column):
        book.records(**{"qty": 1, "price": 1, column: value})


def test_ids_of_any_letters_are_the_same_in_an_array_and_in_a_call(book):
    assert book.fill("X", 1, 1000, id="é1") is mm.Status.OK
    assert book.apply(book.records(qty=[1], price=1000, id=["é1"])).tolist() == [mm.Status.DUPLICATE]
    mixed = [None, "é1", b"two", 3, np.int64(4), None]
    assert book.records(qty=1, price=1000, id=mixed)["id"].tolist() == [
        b"",
        "é1".encode(),
        b"two",
        b"3",
        b"4",
        b"",
    ]
    assert book.records(qty=1, price=1000, id=[1, 20])["id"].tolist() == [b"1", b"20"]


@pytest.mark.parametrize("value", [None, [], np.array([1, 2])])
def test_options_of_other_types_are_refused(book, value):
    with pytest.raises(InvalidArgument, match="on_error"):
        book.apply(book.records(qty=1, price=1), on_error=value)
    with pytest.raises(InvalidArgument, match="what must be"):
        book["X"].money(value)


def test_snapshots_are_values(book):
    first = book.snapshot()
    assert first == book.snapshot()
    assert hash(first) == hash(book.snapshot())
    book["X"].fill(1, 1000)
    second = book.snapshot()
    assert first != second
    assert first["X"]["net"] == 0
    first["X"]["net"] = 5  # a copy
    assert first["X"]["net"] == 0
    assert second.to_dict()["positions"]["X"]["cash"] == -1000
    assert list(second) == ["X", "S"]
    assert len(second) == 2
    assert "2" not in repr(first)
    assert first != "snapshot"
    book.mark("X", 1)
    assert book.snapshot() != second


def test_what_people_see(book):
    book["X"].fill(3, 1001, fee=25)
    book.mark("X", 1002)
    assert "+3 lots at 10.01" in repr(book["X"])
    title, head, first, second = repr(book).splitlines()
    assert title.endswith("1 fill")
    assert head.split()[:2] == ["instrument", "position"]
    assert first.split() == ["X", "+3", "10.01", "10.02", "0.00", "0.03", "0.00000025", "0.02999975", "USD"]
    assert second.split()[:4] == ["S", "0", "–", "–"]
    assert book.table()[0]["net"] == "0.02999975"
    odd = mm.Book([instrument("<b>")])
    assert "&lt;b&gt;" in odd._repr_html_()
    assert "<b>" not in odd._repr_html_()


def test_a_position_lives_on_without_its_book():
    position = mm.Book([instrument()])["X"]
    assert position.fill(1, 1000) is mm.Status.OK
    assert position.net == 1


def test_objects_cannot_be_made_half(book):
    for make in (mm.Position, lambda: mm.Position.__new__(mm.Position), lambda: mm.Book.__new__(mm.Book)):
        with pytest.raises(TypeError):
            make()
    with pytest.raises(TypeError):
        pickle.dumps(book["X"])
    with pytest.raises(TypeError):
        copy.copy(book["X"])


# ---- as bytes ----

BOOK_HEADER = 80  # bytes, as docs/saving.md has it; then 120 for each position
START = 24  # what the checksum covers begins here


def checksum(block):
    """FNV-1a, as published: offset basis and prime of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in block[START:]:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def resealed(block, at, layout, value):
    changed = bytearray(block)
    struct.pack_into(f"<{layout}", changed, at, value)
    struct.pack_into("<Q", changed, 16, checksum(changed))
    return bytes(changed)


def busy(cost, history):
    book = mm.Book(
        [instrument("X"), instrument("S", negative_prices=True)],
        cost=cost,
        history=history,
        currencies=[mm.Currency("BNB")],
    )
    ids = iter("abcdefg") if history == "full" else iter([None] * 7)
    for qty, price in [(3, 1000), (2, 1001), (-4, 1005), (-2, 1004)]:
        book.fill("X", qty, price, fee=2, id=next(ids), time=qty, reference="r", order_id=7)
    book.fill("S", -2, -5, fee=7, fee_currency="BNB", id=next(ids), liquidity="maker")
    book.fill("S", -1, 3, fee=-1)
    book.mark("X", 1003)
    return book


BUSY = [(cost, history) for cost in ("average", "fifo", "lifo") for history in ("full", "none")]


@pytest.mark.parametrize(("cost", "history"), BUSY)
def test_a_saved_book_is_the_book(cost, history):
    book = busy(cost, history)
    others = [
        mm.Book.from_bytes(memoryview(bytearray(book.to_bytes())), book.instruments, book.currencies),
        pickle.loads(pickle.dumps(book)),
        copy.copy(book),
    ]
    for other in others:
        assert other.to_bytes() == book.to_bytes()
        assert other.snapshot() == book.snapshot()
        assert (other.cost, other.currencies, repr(other)) == (book.cost, book.currencies, repr(book))
    assert others[0].history.tobytes() == book.history.tobytes()
    for b in (book, *others):
        b["X"].fill(3, 999)
        b.apply(b.records(qty=[1, -6, 2], price=[1000, 1001, 999]))
        b.mark("S", -7)
    assert all(other.snapshot() == book.snapshot() for other in others)
    assert others[0]["X"] is not others[1]["X"]


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
def test_a_saved_book_knows_its_ids(cost):
    book = busy(cost, "full")
    other = mm.Book.from_bytes(book.to_bytes(), book.instruments, book.currencies)
    fill = {"fee": 2, "id": "a", "time": 3, "reference": "r", "order_id": 7}
    assert other.fill("X", 3, 1000, **fill) is mm.Status.DUPLICATE
    refused(ConflictError, other, other.fill, "X", 3, 1001, **fill)
    assert other.fill("X", -3, 1000, **fill) is mm.Status.OK  # another side, another id
    with pytest.raises(Unsupported):
        pickle.loads(pickle.dumps(busy(cost, "none"))).fill("X", 1, 1000, id="a")


def test_an_empty_book_is_saved_too():
    for cost, history in BUSY:
        book = mm.Book([instrument()], cost=cost, history=history)
        assert pickle.loads(pickle.dumps(book)).snapshot() == book.snapshot()


@pytest.mark.parametrize(("cost", "history"), BUSY)
def test_any_changed_bit_and_any_cut_of_a_saved_book_is_refused(cost, history):
    book = busy(cost, history)
    block = book.to_bytes()
    for bit in range(8 * len(block)):
        changed = bytearray(block)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(changed, book.instruments, book.currencies)
    for cut in [block[:n] for n in range(len(block))] + [block + b"\0"]:
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(cut, book.instruments, book.currencies)


def test_what_is_no_saved_book_or_another_is_named():
    book = busy("fifo", "full")
    block = book.to_bytes()
    with pytest.raises(CorruptError, match="MMCB"):
        mm.Book.from_bytes(b"x" * 100, book.instruments)
    with pytest.raises(CorruptError, match="version 3"):
        mm.Book.from_bytes(resealed(block, 4, "I", 3), book.instruments)
    backwards = np.frombuffer(block, np.uint8)[::-1]
    for no_bytes in ("text", None, backwards):
        with pytest.raises(InvalidArgument, match="block must be contiguous bytes"):
            mm.Book.from_bytes(no_bytes, book.instruments)
    x, s = book.instruments
    for instruments, currencies in [
        ([s, x], book.currencies),
        ([x], book.currencies),
        ([x, s, instrument("Y")], book.currencies),
        ([x, instrument("S")], book.currencies),  # no negative prices
        ([x, instrument("Y", negative_prices=True)], book.currencies),
        ([x, s], ()),
        ([x, s], [mm.Currency("ETH")]),
    ]:
        with pytest.raises(InvalidArgument, match="instruments must be those of the book that was saved"):
            mm.Book.from_bytes(block, instruments, currencies)


# Offsets in mm_position: net 0, cash 8, cost 24, fees 40, mark 56, bought 64, sold 72, fills 80,
# lots_head 88, lots_tail 96, lots_used 104, method 112, flags 116.
@pytest.mark.parametrize(("cost", "history"), BUSY)
@pytest.mark.parametrize(
    ("at", "layout", "value"),
    [
        (32, "i", 0),
        (32, "i", -1),
        (32, "i", 2**31 - 1),
        (36, "i", 0),
        (36, "i", 32768),
        (36, "i", -1),
        (40, "i", 3),
        (44, "i", 2),
        (48, "q", -1),
        (48, "q", 2**62),
        (56, "q", -1),
        (56, "q", 2**63 - 1),
        (BOOK_HEADER + 0, "q", 7),
        (BOOK_HEADER + 0, "q", -(2**63)),
        (BOOK_HEADER + 16, "q", 2**32),  # cash of 2^96
        (BOOK_HEADER + 32, "q", 0),  # the cost of a long for a short at prices above 0
        (BOOK_HEADER + 56, "q", 0),
        (BOOK_HEADER + 56, "q", -3),
        (BOOK_HEADER + 120 + 56, "q", 5),  # a mark that was never set
        (BOOK_HEADER + 64, "q", -1),
        (BOOK_HEADER + 64, "q", 4),
        (BOOK_HEADER + 72, "q", 2**63 - 1),
        (BOOK_HEADER + 80, "q", -1),
        (BOOK_HEADER + 80, "q", 2**63 - 1),
        (BOOK_HEADER + 80, "q", 100),
        (BOOK_HEADER + 88, "q", 99),
        (BOOK_HEADER + 96, "q", -1),
        (BOOK_HEADER + 96, "q", 2**40),
        (BOOK_HEADER + 104, "q", 1),
        (BOOK_HEADER + 112, "i", 7),
        (BOOK_HEADER + 116, "i", 7),
        (BOOK_HEADER + 116, "i", 3),  # negative prices, which the instrument has not
        (BOOK_HEADER + 116, "i", 0),
        (BOOK_HEADER + 256, "q", 5),  # fees in the own currency, which belong into the position
    ],
)
def test_a_right_checksum_over_a_wrong_book_is_still_refused(cost, history, at, layout, value):
    book = busy(cost, history)
    changed = resealed(book.to_bytes(), at, layout, value)
    with pytest.raises(CorruptError):
        mm.Book.from_bytes(changed, book.instruments, book.currencies)


@pytest.mark.parametrize(("cost", "history"), BUSY)
def test_a_flat_position_has_no_cost(cost, history):
    book = mm.Book([instrument()], cost=cost, history=history)
    for qty in (5, -5):
        book["X"].fill(qty, 1000)
    with pytest.raises(CorruptError):
        mm.Book.from_bytes(resealed(book.to_bytes(), BOOK_HEADER + 24, "q", 1), book.instruments)


def test_wrong_lots_are_refused_under_a_right_checksum():
    book = mm.Book([instrument()], cost="fifo", history="none")
    for qty in (5, 4, -3):
        book["X"].fill(qty, 1000)
    block, at = book.to_bytes(), BOOK_HEADER + 120 + 16 * 6
    assert struct.unpack_from("<4q", block, at) == (5, 1000, 4, 1000)
    for where, layout, value in [
        (at, "q", 6),
        (at, "q", -5),
        (at, "q", 3),  # no more than what is closed of it
        (at, "q", -(2**63)),
        (at + 8, "q", 1001),
        (at + 8, "q", 0),
        (at + 8, "q", -(2**63)),
        (at + 16, "q", 0),
        (BOOK_HEADER + 104, "q", 2),
        (BOOK_HEADER + 104, "q", -1),
        (BOOK_HEADER + 104, "q", 2**63 - 1),
    ]:
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(resealed(block, where, layout, value), book.instruments)


def test_a_wrong_stack_of_lots_is_refused_under_a_right_checksum():
    book = mm.Book([instrument()], cost="lifo", history="none")
    for qty in (5, -2, 4, -1, 2):
        book["X"].fill(qty, 1000)
    block, at = book.to_bytes(), BOOK_HEADER + 120 + 16 * 6
    # before each lot what is below it, and how much of that is used
    assert struct.unpack_from("<12q", block, at) == (-1, 0, 5, 1000, 1, 2, 4, 1000, 3, 1, 2, 1000)
    assert mm.Book.from_bytes(block, book.instruments)["X"].lots == ((3, 1000), (3, 1000), (2, 1000))
    for where, value in [
        *[(at, v) for v in (0, 1, 5, -2, 2**63 - 1)],
        *[(at + 8, v) for v in (1, -1)],
        *[(at + 16, v) for v in (-5, 2, 6, -(2**63))],
        *[(at + 24, v) for v in (0, 999, -(2**63))],
        *[(at + 32, v) for v in (-1, 0, 2, 3, 5)],
        *[(at + 40, v) for v in (-1, 0, 1, 3, 5, 2**63 - 1)],
        *[(at + 64, v) for v in (-1, 1, 5)],
        *[(at + 72, v) for v in (0, 2, 4)],
        *[(at + 88, v) for v in (0, -(2**63))],
        *[(BOOK_HEADER + 88, v) for v in (0, 1, 3, 4, 6, -1, 2**63 - 1)],
        *[(BOOK_HEADER + 104, v) for v in (-1, 1, 2)],
        (BOOK_HEADER + 112, 16 << 32 | 1),  # FIFO, by the flags a stack
        (BOOK_HEADER + 112, 2),  # LIFO, by the flags none
    ]:
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(resealed(block, where, "q", value), book.instruments)


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
def test_a_history_that_leads_elsewhere_is_refused(cost):
    """Every field of every record counts, but for when and as what it reached us."""
    book = busy(cost, "full")
    block = book.to_bytes()
    n = len(book.history)
    for row in range(n):
        for name in mm.FILL.names:
            at = len(block) - (n - row) * mm.FILL.itemsize + mm.FILL.fields[name][1]
            layout = {"i8": "q", "i4": "i", "i2": "h", "i1": "b"}.get(mm.FILL[name].str[1:], "b")
            (old,) = struct.unpack_from(f"<{layout}", block, at)
            for new in {old + 1, 3, 0, -1, 99} - {old}:
                changed = resealed(block, at, layout, new)
                try:
                    other = mm.Book.from_bytes(changed, book.instruments, book.currencies)
                except CorruptError:
                    continue
                # A changed id, stamp or note leads to the same positions, and is kept as it is.
                assert name in (
                    "time",
                    "receive_time",
                    "order_id",
                    "id",
                    "reference",
                    "liquidity",
                    "target",
                )
                assert other.to_bytes() == changed
    start, rows = block[: len(block) - n * 96], block[len(block) - n * 96 :]
    twice = resealed(start + rows[:96] * 2 + rows[192:], 0, "I", 0x42434D4D)
    with pytest.raises(CorruptError, match="contradicts itself"):
        mm.Book.from_bytes(twice, book.instruments, book.currencies)


EDGES = st.sampled_from([0, 1, 2, 5, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1])


@pytest.mark.parametrize(("cost", "history"), BUSY)
@given(
    changes=st.lists(
        st.tuples(st.integers(4, 130), EDGES | st.integers(0, 2**64 - 1)), min_size=1, max_size=3
    )
)
def test_whatever_passes_the_check_can_be_booked_to(cost, history, changes):
    """Words changed anywhere under a right checksum: refused, or a book like any other."""
    book = busy(cost, history)
    block = bytearray(book.to_bytes())
    for word, value in changes:
        struct.pack_into("<Q", block, 8 * (word % (len(block) // 8)), value)
    struct.pack_into("<Q", block, 8, len(block))
    block = resealed(block, 0, "I", 0x42434D4D)
    try:
        other = mm.Book.from_bytes(block, book.instruments, book.currencies)
    except (CorruptError, InvalidArgument):
        return
    assert other.to_bytes() == block
    for name in other:
        for qty, price in [(1, 1000), (-1, 1001), (2**40, 7), (-(2**41), 9), (2**62, 3), (-(2**62), 5)]:
            with contextlib.suppress(OutOfBounds):
                other[name].fill(qty, price, fee=2**62)
        position = other[name]
        with contextlib.suppress(OutOfBounds):
            other.mark(name, 1000)
            assert position.realised + position.unrealised == (
                SCALE * (position.cash + 1000 * position.net) + position.carried
            )
        assert position.net == position.bought - position.sold
        assert repr(other)


def test_errors_are_the_errors_of_python_too(book):
    assert issubclass(OutOfBounds, OverflowError)
    with pytest.raises(OverflowError):
        book["X"].fill(2**70, 1)
    with pytest.raises(ValueError):
        book["X"].fill(0, 1)
    with pytest.raises(Error) as caught:
        book["X"].fill(0, 1)
    assert caught.value.code == "invalid"


def test_threads_may_share_a_book(cost):
    """Batches run without the GIL; scalar doors and readers wait for them, and no fill is lost."""
    book = mm.Book([instrument()], cost=cost)
    n, rounds = 4000, 10
    fills = book.records(qty=np.resize([2, -1], n), price=1000)
    book.mark("X", 1000)
    torn = []

    def batches():
        for _ in range(rounds):
            book.apply(fills)

    def scalars():
        for _ in range(n):
            book["X"].fill(1, 1000)

    def reader():
        for _ in range(300):
            now = book.snapshot()
            state = now["X"]
            open_lots = sum(qty for qty, _ in state["lots"]) if cost != "average" else state["net"]
            if not (
                state["bought"] - state["sold"] == state["net"] == open_lots
                and state["cash"] == -1000 * state["net"]
                and state["fills"] == len(now.history)
            ):
                torn.append(state)

    threads = [threading.Thread(target=f) for f in (batches, scalars, batches, reader)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert book["X"].net == 2 * rounds * n // 2 + n
    assert book["X"].fills == 2 * rounds * n + n == len(book.history)
    assert book["X"].cash == -1000 * book["X"].net
    assert not torn


def together(*calls):
    errors = []

    def guarded(call):
        try:
            call()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
def test_instruments_may_be_added_while_others_book(cost):
    """A new one moves all positions: nobody keeps a pointer over the wait for a batch."""
    book, rounds, n = mm.Book([instrument()], cost=cost, history="none"), 60, 2000
    fills, columns = book.records(qty=np.resize([2, -1], n), price=1000), np.resize([1, 1, -1], 300)

    def batches():
        for _ in range(rounds):
            book.apply(fills)

    def fill_batches():
        for _ in range(rounds):
            book["X"].fill_batch(columns, 1000)

    def adds(prefix):
        for k in range(rounds):
            book.add(instrument(f"{prefix}{k}"))

    together(batches, fill_batches, fill_batches, lambda: adds("A"), lambda: adds("B"))
    assert len(book) == 2 * rounds + 1
    assert book["X"].fills == rounds * (n + 600)
    assert book["X"].net == rounds * (n // 2 + 200)
    for name in list(book)[1:]:
        assert book[name].fill(1, 1000) is mm.Status.OK
        assert book[name].net == 1


def test_what_is_in_force_may_be_asked_while_batches_amend(cost):
    book, n, rounds = mm.Book([instrument()], cost=cost), 200, 8
    in_force, suspense = set(), set()

    def batches():
        for k in range(rounds):
            rows = book.records(qty=np.ones(2 * n, int), price=1000)
            rows["kind"] = np.repeat([0, 3], n)
            busts = book.records(qty=np.zeros(n, int), price=0, kind=1)
            busts["target"] = 3 * n * k + n // 2 + np.arange(n) + 1  # half of either
            book.apply(np.concatenate([rows, busts]))

    def reader():
        for _ in range(300):
            in_force.add(len(book.in_force))
            suspense.add(len(book.suspense))

    together(batches, reader, reader)
    half = n // 2
    assert in_force | suspense <= {half * k for k in range(rounds + 1)}
    assert (len(book.in_force), len(book.suspense)) == (half * rounds, half * rounds)


def test_the_examples_of_the_docs_run():
    """Pytest does not collect the docstrings of compiled modules."""
    done = doctest.testmod(mmcore.book)
    assert done.failed == 0
    assert done.attempted >= 30


def test_a_position_is_made_by_its_book():
    with pytest.raises(TypeError, match=r'^positions are made by a Book: take book\["name"\]$'):
        mm.Position()
