"""What a book must survive, row by row of the table of faults."""

import itertools
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import mmcore as mm
from mmcore.book import _KINDS
from mmcore.errors import (
    ConflictError,
    CorruptError,
    Error,
    InvalidArgument,
    OutOfBounds,
    UnknownName,
    Unsupported,
)
from mmcore.ledger import Adjustment, Breach, Difference, regressions

pytestmark = pytest.mark.compiled

SCALE = 10**9
OK, DUPLICATE, SUSPENDED = mm.Status.OK, mm.Status.DUPLICATE, mm.Status.SUSPENDED
USD, CENT, EUR, XBT = (
    mm.Currency("USD"),
    mm.Currency("USC", unit="0.01"),
    mm.Currency("EUR"),
    mm.Currency("XBT"),
)
FILLS = [(3, 1000, "a"), (2, 1004, "b"), (-4, 1010, "c"), (5, 998, "d"), (-9, 1001, "e"), (4, 990, "f")]


@pytest.fixture(params=["average", "fifo", "lifo", "specific"])
def cost(request):
    return request.param


WITHOUT_HISTORY = ["average", "fifo", "lifo"]


def instruments():
    return [
        mm.Instrument("X", tick="0.01"),
        mm.Instrument("Y", tick="0.01"),
        mm.Instrument("E", "1", currency=EUR),
    ]


@pytest.fixture
def book(cost):
    return mm.Book(instruments(), cost)


def states(book):
    """All but in which rows the lots were opened: those of another history are others."""
    return [{k: v for k, v in book[n].state_dict().items() if k != "lot_rows"} for n in book]


def booked(cost, fills, name="X"):
    result = mm.Book(instruments(), cost)
    for qty, price, id in fills:
        assert result.fill(name, qty, price, fee=abs(qty), id=id) is OK
    return result


def refused(error, book, call, *args, **kw):
    before, block = book.snapshot(), book.to_bytes()
    with pytest.raises(error) as caught:
        call(*args, **kw)
    assert book.snapshot() == before
    assert book.to_bytes() == block
    return caught.value


# ---- 9, 10: ids ----


def test_row_9_the_same_id_and_content_has_no_effect_through_any_kind(book):
    again = [
        lambda: book.fill("X", 5, 1000, id="a"),
        lambda: book.payment("X", "funding", 7, id="a"),  # another kind, another id
        lambda: book.payment("X", "dividend", -7, id="a"),
        lambda: book.convert("X", "Y", 2, 1, id="a"),
    ]
    assert [call() for call in again] == [OK] * 4
    assert book.suspend("OLD", 5, 1000, id="a") is SUSPENDED
    before = book.snapshot()
    assert [call() for call in again] == [DUPLICATE] * 4
    assert book.suspend("OLD", 5, 1000, id="a") is DUPLICATE
    assert book.snapshot() == before


def test_row_9_a_fill_in_suspense_is_known(book):
    book.suspend("X", 5, 1000, id="a")
    assert book.fill("X", 5, 1000, id="a") is DUPLICATE  # it is held; never lost, never twice
    refused(ConflictError, book, book.fill, "X", 5, 1001, id="a")
    book.release(0, "X")
    assert book.fill("X", 5, 1000, id="a") is DUPLICATE
    assert book["X"].net == 5


def test_row_9_a_busted_fill_that_comes_again_stays_busted(book):
    book.fill("X", 5, 1000, id="a")
    book.bust("X", "a")
    assert book.fill("X", 5, 1000, id="a") is DUPLICATE
    assert book["X"].net == 0


def test_row_10_the_same_id_with_other_content_is_a_conflict_through_any_kind(book):
    book.fill("X", 5, 1000, id="a")
    book.payment("X", "funding", 7, id="a")
    book.convert("X", "Y", 2, 1, id="a")
    book.suspend("OLD", 5, 1000, id="a")
    refused(ConflictError, book, book.fill, "X", 5, 1001, id="a")
    refused(ConflictError, book, book.payment, "X", "funding", 8, id="a")
    refused(ConflictError, book, book.convert, "X", "X", 2, 1, id="a")
    error = refused(ConflictError, book, book.suspend, "OLD", 5, 1001, id="a")
    assert "suspended 5 lots at 1000" in str(error)


def test_row_9_the_memory_of_ids_is_a_window_that_is_saved(cost):
    book = mm.Book(instruments(), cost, ids_window=3)
    for k in range(5):
        book.fill("X", 1, 1000, id=k)
    books = [book, mm.Book.from_bytes(book.to_bytes(), book.instruments)]
    for b in books:
        assert [b.fill("X", 1, 1000, id=k) for k in (4, 3, 2)] == [DUPLICATE] * 3
        refused(ConflictError, b, b.fill, "X", 1, 1001, id=2)
        refused(UnknownName, b, b.bust, "X", 1)
        assert b.fill("X", 1, 1000, id=1) is OK  # forgotten: a new fill
        assert b.fill("X", 1, 1000, id=2) is OK  # four records back by now
        assert b.fill("X", 1, 1000, id=1) is DUPLICATE
        assert b.bust("X", row=1) is OK  # by its row for ever
        assert b["X"].net == 6
    assert books[0].snapshot() == books[1].snapshot()
    assert books[1].ids_window == 3


def test_row_9_a_window_forgets_nothing_early_and_takes_back_what_a_refused_array_added(cost):
    book = mm.Book(instruments(), cost, ids_window=100)
    n = 5000
    fills = book.records(qty=np.resize([1, 1, -2], n), price=1000, id=np.arange(n).astype("S16"))
    for part in np.split(fills, range(70, n, 70)):
        assert not book.apply(part).any()
        assert (book.apply(part) == DUPLICATE).all()
        bad = part.copy()
        bad["id"] = [b"x%d" % k for k in range(len(bad))]
        bad["qty"][-1] = 0
        refused(InvalidArgument, book, book.apply, bad)
        assert (book.apply(part) == DUPLICATE).all()
    refused(ConflictError, book, book.fill, "X", 9, 1000, id=n - 1)
    assert book.fill("X", 1, 1000, id=0) is OK


# ---- 11: busts ----


@pytest.mark.parametrize("gone", range(len(FILLS)))
def test_row_11_a_bust_is_a_replay_without_the_fill(cost, gone):
    book = booked(cost, FILLS)
    book.mark("X", 1002)
    assert book.bust("X", FILLS[gone][2], time=77) is OK
    other = booked(cost, [f for k, f in enumerate(FILLS) if k != gone])
    other.mark("X", 1002)
    assert states(book) == states(other)
    assert book.in_force.tobytes() == other.history.tobytes()
    before = booked(cost, FILLS)
    (change,) = book.adjustments()  # reported where the bust stands
    assert change == Adjustment(
        row=6,
        kind="bust",
        target=gone,
        time=77,
        instrument="X",
        net=-FILLS[gone][0],
        realised=other["X"].money("realised") - before["X"].money("realised"),
        fees=-USD.amount(abs(FILLS[gone][0])),
    )


def test_row_11_twice_busted_is_busted_and_the_record_stays(book):
    book.fill("X", 3, 1000, id="a")
    first = book.history.tobytes()
    assert book.bust("X", "a") is OK
    before = book.snapshot()
    assert book.bust("X", "a") is DUPLICATE
    assert book.bust("X", row=0) is DUPLICATE
    assert book.bust("X", "a", own_id="B7") is DUPLICATE
    assert book.snapshot() == before
    assert book.history.tobytes().startswith(first)  # nothing is rewritten
    assert book.history["kind"].tolist() == [0, 1]
    assert (book.history["qty"][1], book.history["reference"][1], book.history["target"][1]) == (3, b"a", 1)


def test_row_11_unknown_ids_and_rows_are_refused(book):
    refused(UnknownName, book, book.bust, "X", "a")
    book.fill("X", 3, 1000, id="a")
    for call in (
        lambda: book.bust("Y", "a"),
        lambda: book.bust("X", "b"),
        lambda: book.bust("X", "a", side="sold"),
        lambda: book.bust("X", row=1),
        lambda: book.bust("X", row=-1),
        lambda: book.bust("Y", row=0),
        lambda: book.correct("X", "b", qty=1, price=1),
        lambda: book.correct("X", "a", qty=-1, price=1000),  # no sale has the id
    ):
        refused(UnknownName, book, call)
    refused(InvalidArgument, book, book.bust, "X")
    refused(InvalidArgument, book, book.bust, "X", "a", row=0)
    book.bust("X", "a")
    refused(UnknownName, book, book.bust, "X", row=1)  # a bust is not busted


def test_row_11_an_id_that_both_sides_have_needs_the_side(book):
    book.fill("X", 3, 1000, id="a")
    book.fill("X", -1, 1001, id="a")
    assert "both sides" in str(refused(InvalidArgument, book, book.bust, "X", "a"))
    assert book.bust("X", "a", side="sold") is OK
    assert book["X"].net == 3


def test_row_11_a_bust_that_would_leave_the_bounds_is_refused(book):
    book.fill("X", 2**62, 1, id="a")
    book.fill("X", -(2**62), 1, id="b")
    book.mark("X", 2**40)
    refused(OutOfBounds, book, book.bust, "X", "a")  # a short of 2**62 at that mark
    book.mark("X", 1)
    assert book.bust("X", "a") is OK
    book.fill("Y", 2**33, 2**62, id="a")
    book.fill("Y", -(2**33), 2**62, id="b")
    book.fill("Y", -(2**33), 2**62, id="c")
    book.fill("Y", 2**33, 2**62, id="d")
    refused(OutOfBounds, book, book.bust, "Y", "a")  # 2**96 of cash after the third
    assert book.bust("Y", "c") is OK


def test_row_11_busts_in_an_array_are_undone_with_it(book):
    book.fill("X", 3, 1000, id="a")
    rows = book.records(
        qty=[2, 0, 1, 0],
        price=[1001, 0, 1002, 0],
        kind=[0, 1, 0, 1],
        id=["b", "", "c", ""],
        reference=["", "a", "", "z"],
    )
    error = refused(UnknownName, book, book.apply, rows)
    assert (error.index, error.argument, error.value) == (3, "reference", b"z")
    assert book.apply(rows, on_error="skip").tolist() == [0, 0, 0, mm.Status.UNKNOWN]
    other = mm.Book(instruments(), book.cost)
    other.fill("X", 2, 1001, id="b")
    other.fill("X", 1, 1002, id="c")
    assert states(book) == states(other)


def test_row_11_a_bust_goes_through_a_conversion(cost):
    def run(ids):
        book = mm.Book(instruments(), cost)
        for qty, price, id in [(3, 1000, "a"), (4, 1010, "b"), (-1, 1020, "c")]:
            if id in ids:
                book.fill("X", qty, price, id=id)
        book.convert("X", "Y", 5, 2)
        book.fill("Y", -4, 400, id="d")
        return book

    book = run("abc")
    book.bust("X", "a")
    assert states(book) == states(run("bc"))
    assert [a.instrument for a in book.adjustments()] == ["X", "Y"]


def test_row_11_what_a_later_conversion_does_not_stand_with_is_named(book):
    book.fill("Y", 5, 100, id="y")
    book.fill("X", 3, 1000, id="x")
    book.fill("X", -2, 1000, id="s")
    book.convert("X", "Y")  # row 3
    error = refused(ConflictError, book, book.bust, "X", "x")  # two short would meet five long
    assert "conversion" in str(error)
    assert [book.bust("X", row=3), book.bust("X", "x"), book["X"].net, book["Y"].net] == [OK, OK, -2, 5]


@pytest.mark.parametrize("on_error", ["none", "skip"])
@pytest.mark.parametrize("first", [{"kind": 1, "target": 3}, {"kind": 2, "target": 3, "qty": 5, "price": 999},
                                   {"kind": 9, "target": 0, "qty": 3, "price": 2}])  # fmt: skip
def test_row_11_fills_after_a_replay_find_room_in_the_same_array(cost, first, on_error):
    """What is replayed takes the room of the queue that was made for them."""
    for new in range(40):
        book, other = (booked(cost, [(k + 1, 1000 + k, f"{k}") for k in range(10)]) for _ in range(2))
        rows = book.records(qty=np.arange(1, new + 2), price=900)
        for field, value in {"qty": 0, "price": 0, **first}.items():
            rows[field][0] = value
        assert book.apply(rows, on_error).tolist() == [OK] * (new + 1)
        for i in range(len(rows)):
            other.apply(rows[i : i + 1])
        assert book.snapshot() == other.snapshot()


def test_row_11_a_payment_is_busted_by_its_row(book):
    book.payment("X", "funding", 12)
    assert (book["X"].payments, book.bust("X", row=0), book["X"].payments) == (
        {"funding": {"USD": 12}},
        OK,
        {},
    )


# ---- 12: corrections ----


@pytest.mark.parametrize("which", range(len(FILLS)))
def test_row_12_a_correction_is_a_replay_with_the_fill_changed_in_its_place(cost, which):
    book = booked(cost, FILLS)
    qty, price, id = FILLS[which]
    changed = (2 * qty, price + 7, id)
    assert book.correct("X", id, qty=2 * qty, price=price + 7, fee=abs(2 * qty)) is OK
    other = booked(cost, [*FILLS[:which], changed, *FILLS[which + 1 :]])
    assert book["X"].state_dict() == other["X"].state_dict()
    assert [fill.tobytes() for fill in book.in_force] == [fill.tobytes() for fill in other.history]
    assert book.correct("X", id, qty=2 * qty, price=price + 7, fee=abs(2 * qty)) is DUPLICATE
    assert book.correct("X", id, qty=qty, price=price, fee=abs(qty)) is OK  # and back
    assert book["X"].state_dict() == booked(cost, FILLS)["X"].state_dict()


def test_row_12_a_busted_fill_and_the_other_side_are_not_corrected(book):
    book.fill("X", 3, 1000, id="a")
    refused(InvalidArgument, book, book.correct, "X", row=0, qty=-3, price=1000)
    refused(InvalidArgument, book, book.correct, "X", row=0, qty=0, price=1000)
    refused(InvalidArgument, book, book.correct, "X", "a", qty=3, price=0)
    refused(OutOfBounds, book, book.correct, "X", "a", qty=2**62, price=2**62)
    book.bust("X", "a")
    refused(ConflictError, book, book.correct, "X", "a", qty=3, price=1001)


def test_row_12_a_correction_in_another_currency_moves_the_fee(book):
    book.fill("X", 3, 1000, fee=5, id="a")
    book.correct("X", "a", qty=3, price=1000, fee=2, fee_currency="EUR")
    assert (book["X"].fees, book["X"].other_fees) == (0, {"EUR": 2})
    book.bust("X", "a")
    assert (book["X"].fees, book["X"].other_fees) == (0, {})


@pytest.mark.parametrize("cost", WITHOUT_HISTORY)
@pytest.mark.parametrize("empty", [True, False])
def test_row_11_and_12_need_a_history(cost, empty):
    book = mm.Book(instruments(), cost, history="none")
    book.payment("X", "funding", 5)
    if not empty:
        book["X"].fill(3, 1000)
    assert not book.keeps_history
    assert mm.Book(instruments(), cost).keeps_history
    refused(Unsupported, book, book.bust, "X", "a")
    refused(Unsupported, book, book.bust, "X", row=0)
    refused(Unsupported, book, book.correct, "X", "a", qty=1, price=1)
    refused(Unsupported, book, book.correct, "X", row=0, qty=1, price=1)
    refused(Unsupported, book, book.suspend, "X", 1, 1)
    refused(Unsupported, book, book.release, 0, "X")
    refused(Unsupported, book, book.dismiss, 0)
    for call in (book.entries, book.adjustments, lambda: regressions(book)):
        with pytest.raises(Unsupported):
            call()
    with pytest.raises(Unsupported):
        book.reconcile(book.records(qty=1, price=1, id=["a"]))
    for option in ({"ids_window": 5}, {"unknown": "suspend"}):
        with pytest.raises(Unsupported):
            mm.Book(instruments(), history="none", **option)


# ---- 13: stamps ----


def test_row_13_fills_count_in_the_order_in_which_they_come(book):
    for qty, price, time in [(1, 1000, 30), (1, 1002, 10), (-1, 1005, 20)]:
        assert book.fill("X", qty, price, time=time) is OK
    left = {
        "average": (),
        "fifo": ((1, 1002),),
        "specific": ((1, 1002),),
        "lifo": ((1, 1000),),
    }  # the newest came last, not latest
    assert book["X"].lots == left[book.cost]
    assert regressions(book).tolist() == [1, 2]
    assert regressions(book, tolerance=10).tolist() == [1]
    assert regressions(book, tolerance=20).tolist() == []
    book.fill("X", 1, 1000, time=-(2**63))
    book.fill("X", 1, 1000, time=2**63 - 1)
    assert regressions(book, tolerance=20).tolist() == [3]
    assert regressions(book, tolerance=2**63 + 19).tolist() == [3]
    assert regressions(book, tolerance=2**63 + 30).tolist() == []
    assert regressions(book, tolerance=2**70).tolist() == []
    assert regressions(book, tolerance=np.int32(10)).tolist() == [1, 3]
    assert regressions(mm.Book(instruments())).tolist() == []
    for wrong in (-1, np.int64(-1), True, 1.5, "1", None, np.array([1])):
        with pytest.raises(InvalidArgument, match="tolerance"):
            regressions(book, tolerance=wrong)


# ---- 17: splits, dividends, new symbols, ticks and lots, rolls ----


@pytest.mark.parametrize(("new", "old"), [(2, 1), (3, 2), (1, 10), (7, 3)])
@pytest.mark.parametrize("sign", [1, -1])
def test_row_17_a_split_multiplies_lots_and_leaves_the_cost(book, new, old, sign):
    for qty, price in [(5, 1001), (2, 1004), (-3, 990), (9, 1013), (1, 7)]:
        book.fill("X", sign * qty, price)
    before = book["X"].state_dict()
    assert book.split("X", new, old) is OK
    after = book["X"].state_dict()
    assert after["net"] == sign * (14 * new // old)
    for same in ("cost", "cash", "fees", "carried", "fills", "payments"):
        assert after[same] == before[same]
    assert sum(Fraction(q) * p * SCALE for q, p in after["lots"]) == (
        after["cost"] if book.cost != "average" else 0
    )
    assert sum(q for q, _ in after["lots"]) == (after["net"] if book.cost != "average" else 0)
    book["X"].fill(-after["net"], 1000)  # and all of it comes back
    assert (book["X"].cost, book["X"].lots) == (0, ())


def test_row_17_the_odd_lot_is_paid_in_lieu_by_a_record_of_its_own():
    book = mm.Book([mm.Instrument("X", tick="0.01", currency=CENT)])
    book["X"].fill(5, 1000)
    refused(InvalidArgument, book, book.split, "X", 2, 1, in_lieu=3)
    assert book.split("X", 3, 2, in_lieu=334, id="S1") is OK
    assert book.split("X", 3, 2, in_lieu=334, id="S1") is DUPLICATE
    book["X"].fill(-1, 1000)
    assert book.split("X", 3, 2, in_lieu=334, id="S1") is DUPLICATE  # whatever is open now
    refused(ConflictError, book, book.split, "X", 3, 2, in_lieu=335, id="S1")
    book.bust("X", row=3)
    assert book.history["kind"].tolist() == [0, 9, 8, 0, 1]
    assert (book["X"].net, book["X"].cost, book["X"].payments) == (
        7,
        5000 * SCALE,
        {"in_lieu": {"USC": -334}},
    )
    book.mark("X", 666)
    assert book["X"].pnl()["net"] == Decimal("-0.04")  # 7 at 6.66 and 3.34 for 50.00


@pytest.mark.parametrize("field", ["time", "receive_time"])
@pytest.mark.parametrize("value", [1.7, "x", None, 2**70, float("nan")])
def test_row_17_a_split_takes_integers_with_a_payment_too(book, field, value):
    book.fill("X", 5, 1000)
    caught = refused(Error, book, book.split, "X", 3, 2, in_lieu=1, **{field: value})
    assert caught.argument == field


def test_row_17_less_than_one_new_lot_is_worth_what_is_paid_for_it(book):
    book["X"].fill(3, 1000)
    book.mark("X", 1000)
    book.split("X", 1, 10)
    position = book["X"]
    assert (position.net, position.cost, position.realised, position.mark) == (0, 0, -3000 * SCALE, None)
    book.payment("X", "in_lieu", -USD.units("30"))
    assert position.pnl()["net"] == 0


def test_row_17_a_dividend_is_its_own_pool(book):
    book["X"].fill(10, 1000)
    book.payment("X", "dividend", -250, id="D")
    book.payment("X", "dividend", -30, "EUR")
    assert book["X"].payments == {"dividend": {"USD": -250, "EUR": -30}}
    assert (book["X"].cash, book["X"].fees, book["X"].other_fees) == (-10000, 0, {})


@pytest.mark.parametrize("tick", ["0.005", "0.05", "0.003", "0.01"])
def test_row_17_a_new_tick_is_a_new_instrument_and_the_cost_goes_along(book, tick):
    for qty, price in [(7, 1001), (2, 1004), (-3, 990)]:
        book.fill("X", qty, price)
    old, records = book["X"].pnl(), book.history.tobytes()
    worth = Fraction(book["X"].money("cost"))
    book.add(mm.Instrument("X.2", tick=tick))
    assert book.convert("X", "X.2") is OK
    x, new = book["X"], book["X.2"]
    assert (x.net, x.cost, x.lots, new.net) == (0, 0, (), 6)
    left = worth - Fraction(new.money("cost"))  # what is no whole number of the new units: a result, not lost
    assert 0 <= left < Fraction(1, 10**9)
    assert Fraction(x.money("realised")) == Fraction(old["realised"]) - left
    assert new.realised == 0
    assert book.history.tobytes().startswith(records)  # at the old scale
    new.fill(-6, 1000)
    assert Fraction(x.money("realised")) + Fraction(new.money("realised")) == Fraction(
        x.money("cash")
    ) + Fraction(new.money("cash"))


def test_row_17_a_new_symbol_and_a_book_that_goes_on(book):
    book["X"].fill(5, 1000)
    with pytest.raises(InvalidArgument, match="a new name"):
        book.add(mm.Instrument("Y", tick="0.01"))
    with pytest.raises(UnknownName, match="currency must be one of"):
        book.add(mm.Instrument("Z", tick="0.01", currency=XBT))
    with pytest.raises(InvalidArgument, match="an Instrument"):
        book.add("Z")
    held = book["X"]
    for k in range(30):
        book.add(mm.Instrument(f"X{k}", tick="0.01"))
        book.convert("X" if k == 0 else f"X{k - 1}", f"X{k}", id="S")
    assert (held.net, book["X29"].net, book["X29"].average_cost) == (0, 5, 1000)
    held.fill(1, 1000)
    assert held.net == 1
    again = mm.Book.from_bytes(book.to_bytes(), book.instruments)
    assert again.snapshot() == book.snapshot()


def test_row_17_a_roll_is_two_trades_or_none(book):
    book["X"].fill(5, 1000)
    assert book.roll("X", "Y", close=1010, open=1013, fee=[1, 2], id="R") is OK
    assert book.roll("X", "Y", close=1010, open=1013, qty=5, fee=[1, 2], id="R") is DUPLICATE
    x, y = book["X"], book["Y"]
    assert (x.net, x.realised, x.fees) == (0, 50 * SCALE, 1)
    assert (y.net, y.average_cost, y.fees) == (5, 1013, 2)
    refused(InvalidArgument, book, book.roll, "Y", "X", close=1, open=0)


def test_row_17_open_quotes_are_dropped_and_new_ones_begin_at_the_new_position(book):
    """A fill that came while they were being cancelled is of old lots: booked before the split."""
    old = mm.Orders(book["X"].instrument)
    for action in old.target((99, 102, 4, 4), now=0):
        old.on_report(mm.Report("accepted", action.order_id))
    assert [(a.kind.name, a.order_id) for a in old.cancel_all(now=1)] == [("CANCEL", 1), ("CANCEL", 2)]
    assert old.cancel_all(now=2) == ()  # not again while they are on their way
    old.on_report(mm.Report("fill", 1, filled=3))
    book["X"].fill(3, 99)
    for order_id in (1, 2):
        old.on_report(mm.Report("canceled", order_id))
    assert (old.working, old.exposure, old.position) == ((), (3, -3), book["X"].net)
    assert book.split("X", 2, 1) is OK
    new = mm.Orders(book["X"].instrument, position=book["X"].net, first_id=old.next_id, max_exposure=8)
    assert [(a.side, a.size, a.order_id) for a in new.target((49, 52, 2, 8), now=3)] == [
        ("bid", 2, 3),
        ("ask", 8, 4),
    ]


def test_row_17_conversions_that_make_no_sense_are_refused(book):
    book["X"].fill(5, 1000)
    book["Y"].fill(-1, 1000)
    error = refused(InvalidArgument, book, book.convert, "X", "Y")  # it would close what was never traded
    assert (error.argument, error.value) == ("to", "Y")
    refused(InvalidArgument, book, book.convert, "X", "Y", 1, 2**62)  # nor for less than a lot
    refused(InvalidArgument, book, book.convert, "X", "E")
    refused(InvalidArgument, book, book.split, "X", 0, 1)
    refused(InvalidArgument, book, book.split, "X", 1, 0)
    refused(UnknownName, book, book.convert, "X", "Z")
    refused(OutOfBounds, book, book.split, "X", 2**62, 1)
    refused(UnknownName, book, book.apply, book.records(qty=1, price=1, kind=9, target=3))


# ---- 18, 19, 20 ----


def test_row_18_a_fill_through_zero_of_an_inverse_contract(cost):
    book = mm.Book([mm.Instrument("P", tick="0.5", currency=XBT, kind="inverse")], cost)
    book["P"].fill(100, 20000)
    book["P"].fill(-250, 25000)
    assert (book["P"].net, book["P"].average_cost) == (-150, 25000)
    assert book["P"].money("realised") == Decimal("0.002")  # 100 (1/10,000 - 1/12,500)


def test_row_19_fees_and_payments_are_never_added_across_currencies(book):
    book.fill("X", 1, 1000, fee=-50)
    book.fill("X", 1, 1000, fee=7, fee_currency="EUR")
    book.payment("X", "borrow", 3)
    book.payment("X", "borrow", 4, "EUR")
    book.payment("X", "funding", -9, "EUR")
    position = book["X"]
    assert (position.fees, position.other_fees) == (-50, {"EUR": 7})
    assert position.payments == {"borrow": {"USD": 3, "EUR": 4}, "funding": {"EUR": -9}}
    refused(UnknownName, book, book.payment, "X", "borrow", 1, "JPY")
    refused(InvalidArgument, book, book.payment, "X", "bribe", 1)
    book.payment("X", "funding", 2**63 - 1)
    book.mark("X", 1000)
    assert position.pnl()["net"] == -USD.amount(-50 + 3 + 2**63 - 1)


def test_row_20_a_fill_beyond_the_limit_is_booked_and_told_and_the_quote_stops(book):
    policy = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.3, gamma=0.01, q_max=20)
    quoter = mm.Quoter(policy, book.instruments[0], limits=mm.Limits(max_position=10))
    told = []
    book.watch({"X": {"position": 10, "notional": "145.00"}, "Y": {"notional": 7}}, told.append)
    assert book.fill("X", 8, 1000, time=5) is OK
    assert (told, book.breached) == ([], ())
    assert book.fill("X", 7, 1000, time=6) is OK
    assert told == [
        Breach(1, 6, "X", "position", 10, 15),
        Breach(1, 6, "X", "notional", Decimal("145.00"), Decimal("150.00")),
    ]
    assert (book["X"].net, book.breached) == (15, ("X",))
    quote = quoter.quote(1000.5, book["X"].net, bid=1000, ask=1001)
    assert quote.bid_size == 0
    assert quote.ask_size > 0
    assert mm.Why.LIMIT_BID in quote.why
    # less than before is no news; more of it is
    book.fill("X", -2, 1000, time=7)
    assert (len(told), book.breached) == (2, ("X",))
    book.fill("X", 1, 1000, time=8)
    assert told[2:] == [Breach(3, 8, "X", "position", 10, 14)]
    book.fill("X", -4, 1000, time=9)
    assert (len(told), book.breached) == (3, ())
    assert [(b.row, b.limit, b.ended) for b in book.breaches()] == [
        (1, "position", 4),
        (1, "notional", 2),
        (3, "position", 4),
    ]
    assert [replace(b, ended=None) for b in book.breaches()] == told
    assert mm.Why.LIMIT_BID in quoter.quote(1000.5, book["X"].net, bid=1000, ask=1001).why  # at it, no more


def test_row_20_short_positions_and_all_that_moves_one_are_watched(book):
    told = []
    book.watch({"X": {"position": 10}, "Y": {"position": 10}}, told.append)
    book.fill("X", -11, 1000, id="a", time=1)
    book.bust("X", "a", time=2)
    book.fill("X", 9, 1000, id="b", time=3)
    book.correct("X", "b", qty=12, price=1000, time=4, receive_time=4)
    book.fill("X", -6, 1000, time=5)
    book.split("X", 2, time=6)
    book.convert("X", "Y", time=7)
    book.suspend("Z", -30, 1000, time=8)
    book.release(7, "Y")
    values = [(b.row, b.instrument, b.value, b.ended) for b in book.breaches()]
    assert values == [
        (0, "X", 11, 1),
        (3, "X", 12, 4),
        (5, "X", 12, 6),
        (6, "Y", 12, None),
        (8, "Y", 18, None),
    ]
    assert told == [replace(b, ended=None) for b in book.breaches()]
    assert book.breached == ("Y",)
    assert book.breaches({"E": {"position": 0}}) == []


@pytest.mark.parametrize(
    ("cost", "history"),
    [
        *((cost, "none") for cost in WITHOUT_HISTORY),
        *((cost, "full") for cost in (*WITHOUT_HISTORY, "specific")),
    ],
)
def test_row_20_every_door_tells(cost, history):
    book, told = mm.Book(instruments(), cost, history), []
    book.watch({"X": {"position": 10}}, lambda breach: told.append((breach.row, breach.value)))
    row = (lambda n: n) if history == "full" else (lambda n: None)
    book["X"].fill(11, 1000)
    book.fill("X", 1, 1000)
    book["X"].fill_batch([3, -1, 2], 1000)
    book.apply(book.records(qty=[1, 5, -5], price=1000))  # one step, whatever it goes through
    assert told == [(row(0), 11), (row(1), 12), (row(4), 16), (row(7), 17)]
    with pytest.raises(InvalidArgument):
        book.apply(book.records(qty=[9, 0], price=1000))
    assert len(told) == 4
    book.add(mm.Instrument("N", tick="0.01"))
    assert book.fill("N", 99, 1) is OK  # nobody asked
    assert book.watch({"X": {"position": 16}}, lambda breach: told.append(breach.most)) is None
    assert told[4:] == [16]  # what is exceeded already
    if history == "none":
        with pytest.raises(Unsupported):
            book.breaches()
    book.watch({}, print)
    assert (book.limits, book.breached, book.fill("X", 99, 1)) == ({}, (), OK)


def test_row_20_what_a_notice_raises_takes_nothing_back_and_bad_limits_change_nothing(book):
    def stop(breach):
        raise KeyboardInterrupt(breach.instrument)

    book.watch({"X": {"position": 3, "notional": "1e3"}}, stop)
    with pytest.raises(KeyboardInterrupt):
        book.fill("X", 4, 1000, id="a")
    assert (book["X"].net, len(book.history), book.fill("X", 4, 1000, id="a")) == (4, 1, DUPLICATE)
    limits = book.limits
    assert limits == {"X": {"position": 3, "notional": Decimal(1000)}}
    for bad in (
        None,
        {"X": 3},
        {"X": {}},
        {"X": {"lots": 3}},
        {"X": {"position": -1}},
        {"X": {"position": "2.5"}},
        {"X": {"position": 2.0}},
        {"X": {"notional": float("nan")}},
        {"X": {"notional": "-1"}},
    ):
        assert refused(InvalidArgument, book, book.watch, bad, print).argument.startswith("limits")
    refused(UnknownName, book, book.watch, {"Q": {"position": 1}}, print)
    assert refused(InvalidArgument, book, book.watch, limits, None).argument == "notice"
    assert book.limits == limits


def test_row_20_the_notional_of_an_inverse_contract_is_in_coin(cost):
    book, told = mm.Book([mm.Instrument("P", tick="0.5", currency=XBT, kind="inverse")], cost), []
    book.watch({"P": {"notional": "0.01"}}, told.append)
    book.fill("P", 99, 20000)
    assert told == []
    book.fill("P", 2, 20000)
    assert [b.value for b in told] == [Decimal("0.0101")]


# ---- 21: suspense ----


def test_row_21_fills_of_unknown_instruments_are_refused_or_suspended_and_never_lost(cost):
    refusing = mm.Book(instruments(), cost)
    refused(UnknownName, refusing, refusing.fill, "Z", 1, 1000)
    refused(UnknownName, refusing, refusing.apply, refusing.records(qty=1, price=1, instrument=7))
    book = mm.Book(instruments(), cost, unknown="suspend")
    assert book.fill("Z", 3, 1000, fee=2, id="a", time=5) is SUSPENDED
    assert book.fill("Z", 3, 1000, fee=2, id="a", time=5) is DUPLICATE
    assert book.fill("W", 3, 1000, fee=2, id="a", time=5) is SUSPENDED  # another name, another fill
    beyond = book.records(qty=[1, 2], price=[10, 11], instrument=[0, 7])  # it may be another's later
    assert refused(UnknownName, book, book.apply, beyond).index == 1
    rows = book.records(qty=[1, 2], price=[10, 11], instrument=[0, -1])
    assert book.apply(rows).tolist() == [OK, SUSPENDED]
    assert book.suspense == (0, 1, 3)
    assert book.history["reference"][[0, 1]].tolist() == [b"Z", b"W"]
    assert book["X"].net == 1
    refused(InvalidArgument, book, book.fill, "a name of many letters", 1, 1)
    refused(InvalidArgument, book, book.fill, "Z", 1, 1, reference="r")
    again = mm.Book.from_bytes(book.to_bytes(), book.instruments)
    assert (again.suspense, again.fill("V", 1, 1)) == ((0, 1, 3), SUSPENDED)


def test_row_21_release_and_dismissal_are_records(book):
    book.suspend("X", 3, 1000, fee=2, id="late", time=5, order_id=9)
    book.suspend("Z", 4, 1001, id="stray")
    book.fill("X", 1, 1010)
    assert book.release(0, "X", receive_time=6) is OK
    assert book.release(0, "X") is DUPLICATE
    assert book.dismiss(1, time=8) is OK
    assert book.dismiss(1) is DUPLICATE
    assert book.suspense == ()
    assert book.history["kind"].tolist() == [3, 3, 0, 4, 1]
    released = book.history[3]
    assert (released["qty"], released["time"], released["receive_time"], released["order_id"]) == (3, 5, 6, 9)
    assert (book["X"].net, book["X"].fees) == (4, 2)
    if book.cost != "average":
        assert book["X"].lots == ((1, 1010), (3, 1000))  # it counts from where it is released
    for call in (
        lambda: book.release(0, "Y"),
        lambda: book.release(1, "X"),
        lambda: book.dismiss(0),
        lambda: book.bust("X", row=0),
    ):
        refused(ConflictError, book, call)
    for call in (lambda: book.release(2, "X"), lambda: book.dismiss(2), lambda: book.dismiss(9)):
        refused(UnknownName, book, call)
    refused(InvalidArgument, book, book.release, "0", "X")
    assert book.bust("X", "late") is OK  # a released fill is a fill
    assert book["X"].net == 1


@pytest.mark.parametrize("settled", ["kept", "released", "dismissed"])
def test_row_21_a_fill_in_suspense_is_saved_when_its_name_is_an_instrument_later(cost, settled):
    """Its fee was in the instrument's own currency before anybody knew which that is."""
    book = mm.Book(instruments()[:2], cost, unknown="suspend")
    rows = book.records(qty=2, price=1000, fee=3, instrument=-1, reference="Z", fee_currency=0, id=["a"])
    assert book.apply(rows).tolist() == [SUSPENDED]
    book.add(mm.Instrument("Z", tick="0.01"))
    if settled == "released":
        assert book.release(0, "Z") is OK
    elif settled == "dismissed":
        assert book.dismiss(0) is OK
    again = mm.Book.from_bytes(book.to_bytes(), book.instruments, book.currencies)
    assert again.snapshot() == book.snapshot()
    assert again.suspense == book.suspense
    assert book["Z"].fees == (3 if settled == "released" else 0)


@pytest.mark.parametrize("currency", [0, -1])
@pytest.mark.parametrize("kind", ["new", "suspend"])
def test_row_9_a_fill_in_suspense_is_known_when_its_name_is_an_instrument_later(cost, currency, kind):
    """The currency that it named turns out to be the instrument's own, which is the same as naming none."""
    book = mm.Book(instruments(), cost, unknown="suspend")
    rows = book.records(qty=2, price=1000, fee=3, instrument=-1, reference="Z", fee_currency=0, id=["a"])
    assert book.apply(rows).tolist() == [SUSPENDED]
    book.add(mm.Instrument("Z", tick="0.01"))
    rows["instrument"], rows["reference"], rows["fee_currency"] = 3, b"", currency
    rows["kind"] = _KINDS[kind]
    before = book.snapshot()
    assert book.apply(rows).tolist() == [DUPLICATE]
    assert book.snapshot() == before
    for name, other in (("fee", 4), ("fee_currency", 1)):  # 1: EUR
        changed = rows.copy()
        changed[name] = other
        refused(ConflictError, book, book.apply, changed)
    assert book.suspense == (0,)


def test_row_21_a_fill_that_its_instrument_cannot_have_stays_in_suspense(book):
    book.suspend("Z", 1, -5, id="a")
    assert "price" in str(refused(InvalidArgument, book, book.release, 0, "X"))
    book.fill("Y", 1, 7, id="a")
    book.suspend("Z", 1, 7, id="b")
    book.suspend("Z", 1, 7, id="c")
    book.fill("Y", 1, 7, id="c")
    refused(ConflictError, book, book.release, 4 - 1, "Y")  # booked there meanwhile
    assert book.suspense == (0, 2, 3)


# ---- statements ----


def test_a_statement_is_compared_and_nothing_adjusted(book):
    book.fill("X", 5, 1000, fee=3, id="a")
    book.fill("Y", 2, 1000, fee=1, fee_currency="EUR", id="b")
    before = book.snapshot()
    assert book.reconcile({"X": 5, "Y": {"net": 2, "other_fees": {"EUR": 1}}}) == []
    assert book.reconcile({"X": {"net": 4, "fees": 3}, "Z": 1}) == [
        Difference("X", "net", 5, 4),
        Difference("Y", "net", 2, None),
        Difference("Z", "net", None, 1),
    ]
    theirs = book.records(
        instrument=[0, 1, 1], qty=[5, 2, -1], price=[1001, 1000, 9], fee=[3, 1, 0], id=["a", "b", "c"]
    )
    usd, eur = ([c.name for c in book.currencies].index(name) for name in ("USD", "EUR"))
    theirs["fee_currency"] = [-1, eur, usd]
    differences = [
        Difference("X", "fill, bought, a", (5, 1000, 3, -1), (5, 1001, 3, -1)),
        Difference("Y", "fill, sold, c", None, (-1, 9, 0, -1)),
    ]
    assert book.reconcile(theirs) == differences
    assert book.reconcile(theirs.astype(theirs.dtype.newbyteorder())) == differences
    theirs["price"][0], theirs["fee_currency"][0] = 1000, usd
    assert book.apply(theirs[:2]).tolist() == [DUPLICATE] * 2
    assert book.reconcile(theirs[:2]) == []
    for wrong in (None, [1], {"X": {"profit": 1}}, book.records(qty=1, price=1), np.zeros(3)):
        with pytest.raises(InvalidArgument):
            book.reconcile(wrong)
    assert book.snapshot() == before


# ---- inverse contracts ----


def test_the_inverse_contract_of_a_published_example():
    """BitMEX's contract guide: 1,000 contracts of 1 USD long at 1,000, sold at 1,250: 0.2 XBT.

    Deribit's inverse futures (10 USD a contract): 100 contracts long at 10,000, out at 12,000: 100 * 10 *
    (1/10,000 - 1/12,000) = 0.01666 BTC.
    """
    book = mm.Book([mm.Instrument("XBTUSD", tick="0.5", currency=XBT, kind="inverse")])
    book["XBTUSD"].fill(1000, 2000)
    book.mark("XBTUSD", 2500)
    assert book["XBTUSD"].money("unrealised") == Decimal("0.2")
    book["XBTUSD"].fill(-1000, 2500)
    assert book["XBTUSD"].pnl()["net"] == Decimal("0.2")
    perpetual = mm.Instrument("BTC-PERPETUAL", tick="0.5", multiplier="10", currency=XBT, kind="inverse")
    book = mm.Book([perpetual])
    book["BTC-PERPETUAL"].fill(100, 20000)
    book["BTC-PERPETUAL"].fill(-100, 24000)
    earned = Fraction(book["BTC-PERPETUAL"].money("realised"))
    assert abs(earned - Fraction(1, 60)) <= Fraction(1, 10**17)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_entry_of_an_inverse_contract_is_harmonic(cost, sign):
    book = mm.Book([mm.Instrument("P", tick="0.5", lot="100", currency=XBT, kind="inverse")], cost)
    position = book["P"]
    position.fill(sign * 3, 20001)
    position.fill(sign * 5, 30001)
    exact = 8 / (Fraction(3, 20001) + Fraction(5, 30001))
    assert abs(position.average_cost / exact - 1) < Fraction(1, 10**14)
    unit = Fraction(1, 10**17)  # 1e-9 of the coin's smallest unit
    coin = Fraction(100 * 2)
    book.mark("P", 25000)
    expected = sign * coin * (Fraction(3, 20001) + Fraction(5, 30001) - Fraction(8, 25000))
    assert abs(Fraction(position.money("unrealised")) - expected) <= 2 * unit
    position.fill(-sign * 8, 25000)
    assert abs(Fraction(position.money("realised")) - expected) <= 2 * unit
    assert (position.cost, position.realised) == (0, SCALE * position.cash)


def test_inverse_contracts_refuse_what_they_cannot_have():
    with pytest.raises(InvalidArgument, match="negative_prices"):
        mm.Instrument("P", tick="0.5", kind="inverse", negative_prices=True)
    far = mm.Instrument("P", tick="1e-30", currency=mm.Currency("C", unit="1e-30"), kind="inverse")
    with pytest.raises(OutOfBounds, match="too far"):
        mm.Book([far])
    book = mm.Book([mm.Instrument("P", tick="0.5", currency=XBT, kind="inverse"), *instruments()])
    refused(InvalidArgument, book, book["P"].fill, 1, 0)
    refused(InvalidArgument, book, book["P"].fill, 0, 1)
    refused(InvalidArgument, book, book["P"].fill, 1, -1)
    refused(InvalidArgument, book, book.mark, "P", 0)
    refused(InvalidArgument, book, book.convert, "P", "X")
    refused(OutOfBounds, book, book["P"].fill, 2**62, 1)
    book["P"].fill(2**40, 2**40)
    refused(OutOfBounds, book, book.mark, "P", 1)


# ---- every refusal ----

GOOD = {"qty": 1, "price": 1000}
REFUSALS = [
    (InvalidArgument, {"qty": 0}),
    (InvalidArgument, {"price": 0}),
    (InvalidArgument, {"liquidity": 3}),
    (InvalidArgument, {"kind": 11}),
    (OutOfBounds, {"qty": 2**62, "price": 2**62}),
    (ConflictError, {"id": "a"}),
    (UnknownName, {"instrument": 5}),
    (UnknownName, {"fee_currency": 9}),
    (UnknownName, {"kind": 1, "reference": "z"}),
    (UnknownName, {"kind": 1, "target": 99}),
    (UnknownName, {"kind": 1, "target": -1}),
    (UnknownName, {"kind": 2, "reference": "z"}),
    (UnknownName, {"kind": 4, "target": 1}),
    (UnknownName, {"kind": 9, "target": 9}),
    (InvalidArgument, {"kind": 1, "qty": 0, "reference": "both"}),
    (InvalidArgument, {"kind": 2, "qty": -1, "target": 1}),
    (InvalidArgument, {"kind": 2, "price": 0, "target": 1}),
    (InvalidArgument, {"kind": 3, "qty": 0}),
    (InvalidArgument, {"kind": 9, "qty": 0}),
    (InvalidArgument, {"kind": 9, "target": 2}),
    (ConflictError, {"kind": 2, "reference": "gone"}),
    (ConflictError, {"kind": 3, "id": "a"}),
    (ConflictError, {"kind": 1, "target": 5}),
    (ConflictError, {"kind": 4, "target": 5, "instrument": 1}),
    (OutOfBounds, {"kind": 2, "qty": 2**62, "price": 2**62, "target": 1}),
    (OutOfBounds, {"kind": 9, "qty": 2**62, "price": 1}),
]


# Book.fill has names for the others.
BY_FILL = [
    (error, change)
    for error, change in REFUSALS
    if not {"instrument", "fee_currency", "liquidity"} & set(change) and change.get("kind") != 11
]


@pytest.mark.parametrize(
    ("door", "error", "change"),
    [("fill", *refusal) for refusal in BY_FILL]
    + [(door, *refusal) for door in ("apply", "apply after others") for refusal in REFUSALS],
)
def test_every_refusal_is_coded_and_leaves_the_book_as_it_was(book, error, change, door):
    book.fill("X", 7, 1000, id="a")
    book.fill("X", 7, 1000, id="both")
    book.fill("X", -7, 1000, id="both")
    book.fill("X", 7, 1000, id="gone")
    book.suspend("X", 7, 1000, id="late")
    book.bust("X", "gone")
    book.release(4, "X")
    row = book.records(**{**GOOD, **{k: [v] if isinstance(v, str) else v for k, v in change.items()}})
    if door == "fill":
        kind = list(_KINDS)[change.get("kind", 0)]
        caught = refused(error, book, book.fill, **{"instrument": "X", **GOOD, **change, "kind": kind})
    elif door == "apply":
        caught = refused(error, book, book.apply, row)
        assert caught.index == 0
    else:
        others = book.records(
            qty=[1, 0, 0], price=[900, 0, 0], fee=[1, 0, 5], kind=[0, 1, 5], target=[0, 3, 0]
        )
        caught = refused(error, book, book.apply, np.concatenate([others, row]))
        assert caught.index == 3
    assert type(caught) is error
    assert isinstance(caught, Error)
    assert caught.code == error.code
    assert caught.argument
    assert caught.allowed
    assert str(caught)


def test_statuses_of_c_have_their_classes():
    codes = {
        e.code for e in (InvalidArgument, OutOfBounds, ConflictError, UnknownName, Unsupported, CorruptError)
    }
    assert codes == {"invalid", "overflow", "conflict", "unknown", "unsupported", "corrupt"}
    assert {s.name.lower() for s in mm.Status if s < 0} <= codes


def test_any_cut_or_changed_bit_of_a_full_history_is_refused(cost):
    book = booked(cost, FILLS)
    book.payment("X", "funding", 3, "EUR")
    book.split("X", 3, 2)
    book.suspend("Z", 1, 2, id="z")
    book.bust("X", "b")
    block = book.to_bytes()
    assert mm.Book.from_bytes(block, book.instruments).to_bytes() == block
    for bit in itertools.chain(range(0, 8 * len(block), 7), range(640)):
        changed = bytearray(block)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            mm.Book.from_bytes(changed, book.instruments)


# ---- rolls, messages, statements: what a newcomer met ----


def named(error, argument, value, *words):
    assert (error.argument, error.value) == (argument, value), error
    assert all(word in str(error) for word in words), error


@pytest.mark.parametrize("side", [1, -1])
def test_a_roll_moves_no_more_than_is_open_and_the_right_way(book, side):
    book["X"].fill(3 * side, 1000)
    for qty in (4 * side, -side, 99 * side, -(2**63), 0):
        error = refused(InvalidArgument, book, book.roll, "X", "Y", close=1010, open=1013, qty=qty)
        named(error, "qty", qty, f"to {3 * side:+d}", "open of X")
    named(
        refused(InvalidArgument, book, book.roll, "X", "X", close=1, open=1), "to", "X", "another instrument"
    )
    named(
        refused(InvalidArgument, book, book.roll, "Y", "X", close=1, open=1), "instrument", "Y", "open lots"
    )
    named(refused(InvalidArgument, book, book.roll, "X", "Y", close=0, open=1), "close", 0, "> 0: X")
    named(refused(InvalidArgument, book, book.roll, "X", "Y", close=1, open=-1), "open", -1, "> 0: Y")
    assert book.roll("X", "Y", close=1010, open=1013, qty=2 * side) is OK
    assert (book["X"].net, book["Y"].net) == (side, 2 * side)


@pytest.mark.parametrize("side", [1, -1])
def test_a_roll_that_is_sent_again_is_a_duplicate_whatever_is_open_now(book, side):
    book["X"].fill(3 * side, 1000)
    roll = {"close": 1010, "open": 1013, "id": "r"}
    assert book.roll("X", "Y", **roll) is OK
    for opened in (0, 5, -7):
        if opened:
            book["X"].fill(opened, 1000)
        before = book.snapshot()
        assert book.roll("X", "Y", **roll) is DUPLICATE
        assert book.roll("X", "Y", **roll, qty=3 * side) is DUPLICATE
        assert book.snapshot() == before
        refused(ConflictError, book, book.roll, "X", "Y", **{**roll, "open": 1014})
        refused(ConflictError, book, book.roll, "X", "Y", **roll, qty=2 * side)


@pytest.mark.parametrize(
    "fee",
    [
        (1,),
        [1, 2, 3],
        np.array([1, 2, 3]),
        "ab",
        b"ab",
        bytearray(b"ab"),
        None,
        {1, 2},
        {},
        3.0,
        True,
        (True, 1),
        (3, None),
        np.array([1.0, 2.0]),
        (2**63, 1),
    ],
)
def test_the_fees_of_a_roll_are_one_or_two(fee):
    book = mm.Book(instruments())
    book.fill("X", 5, 1000)
    assert refused(Error, book, book.roll, "X", "Y", close=1, open=1, fee=fee).argument == "fee"


@pytest.mark.parametrize("fee", [np.array(3), (np.int8(3), np.uint64(3)), np.array([3, 3]), [3, 3], 3])
def test_the_fees_of_a_roll_are_integers_of_any_kind(fee):
    class Price:
        def __index__(self):
            return 7

    book = mm.Book(instruments())
    book.fill("X", 5, 1000)
    assert book.roll("X", "Y", close=Price(), open=Price(), fee=fee) is OK
    assert (book["X"].fees, book["Y"].fees) == (3, 3)


def test_what_is_masked_is_no_number(book):
    book.fill("X", 3, 1000, id="a")
    missing = np.ma.array(3, mask=True)
    calls = {
        "qty": lambda: book.fill("X", missing, 5),
        "price": lambda: book.fill("X", 1, missing),
        "fee": lambda: book.fill("X", 1, 5, missing),
        "id": lambda: book.fill("X", 1, 5, id=missing),
        "reference": lambda: book.suspend("X", 1, 5, reference=missing),
        "order_id": lambda: book.fill("X", 1, 5, order_id=missing),
        "time": lambda: book["X"].fill(1, 5, time=missing),
        "amount": lambda: book.payment("X", "funding", missing),
        "mark": lambda: book.mark("X", missing),
        "row": lambda: book.bust("X", row=missing),
        "new": lambda: book.split("X", missing, 1),
    }
    for argument, call in calls.items():
        error = refused(InvalidArgument, book, call)
        assert error.argument == argument
        assert str(error).endswith("got masked")
    assert book.fill("X", np.ma.array(1), np.ma.array(5)) is OK
    for call in (book["X"].instrument.price, book["X"].instrument.lots, book["X"].instrument.money):
        with pytest.raises(InvalidArgument, match="got masked"):
            call(missing)


def test_names_and_rows_that_are_none_are_told_by_what_there_is(book):
    book.fill("X", 1, 5)
    named(refused(UnknownName, book, book.roll, "X", "Q", close=1, open=1), "to", "Q", "one of X, Y")
    named(refused(UnknownName, book, book.convert, "X", "Q"), "to", "Q", "one of X, Y")
    named(refused(UnknownName, book, lambda: book.snapshot()["Q"]), "instrument", "Q", "one of X, Y")
    named(refused(UnknownName, book, book.mark, [1], 1), "instrument", [1], "one of X, Y")
    named(refused(UnknownName, book, book.bust, "X", row=1), "row", 1, "a row of the history, 0 to 0")


def test_a_roll_says_who_was_paid_what_and_which_lots_it_leaves():
    book = mm.Book(instruments(), "specific")
    for id, price in [("a", 1000), ("b", 1010)]:
        book.fill("X", 2, price, id=id)
    roll = {"close": 1020, "open": 1030, "qty": 2, "id": "r", "lots": [("b", 2)]}
    paid = {"fee": (3, 4), "fee_currency": "EUR", "liquidity": "maker"}
    assert book.roll("X", "Y", **roll, **paid) is OK
    assert book.roll("X", "Y", **roll, **paid) is DUPLICATE
    assert (book["X"].lots, book["X"].realised, book["Y"].lots) == (((2, 1000),), 20 * SCALE, ((2, 1030),))
    assert (book["X"].other_fees, book["Y"].other_fees) == ({"EUR": 3}, {"EUR": 4})
    assert book.history["liquidity"].tolist() == [0, 0, 0, 1, 1]
    other = mm.Book(instruments())
    other["X"].fill(2, 1000, id="b")
    refused(Unsupported, other, other.roll, "X", "Y", close=1, open=1, lots=[("b", 2)])


@pytest.mark.parametrize(("name", "qty", "price"), [("X", -5, 1010), ("Y", 5, 1013)])
def test_a_roll_with_the_id_of_another_fill_is_refused_whole(book, name, qty, price):
    book["X"].fill(10, 1000)
    book.fill(name, qty, price, id="r")
    refused(ConflictError, book, book.roll, "X", "Y", close=1010, open=1013, qty=5, id="r")


def test_what_is_paid_in_other_currencies_is_shown(book):
    book["X"].fill(1, 1000)
    assert all("others" not in text for text in (repr(book), repr(book["X"]), book._repr_html_()))
    book.fill("X", -1, 1100, fee=10, fee_currency="EUR")
    book.payment("X", "funding", 5, "EUR")
    assert book["X"].pnl()["net"] == Decimal("1.00")  # without them
    for text in (repr(book), repr(book["X"]), book._repr_html_(), book["X"]._repr_html_()):
        amount = EUR.text(EUR.amount(15))
        assert "in others" in text
        assert f"{amount} EUR" in text
    assert [row["paid in others"] for row in book.table()] == [f"{amount} EUR", "", ""]


def test_a_statement_that_contradicts_itself_is_refused(book):
    book["X"].fill(1, 1000, id="a")
    twice = book.records(qty=[1, 1], price=[1007, 1000], id=["a", "a"])
    error = refused(InvalidArgument, book, book.reconcile, twice)
    named(error, "statement", b"a", "X, bought", "1007", "1000")
    assert book.reconcile(book.records(qty=[1, 1], price=1000, id=["a", "a"])) == []


def test_a_statement_from_json_is_read_as_it_is_meant():
    book = mm.Book(instruments(), "fifo", currencies=[XBT])
    book.fill("X", 2, 1000, fee=7, fee_currency="XBT")
    book.fill("X", 3, 1001)
    assert book.reconcile({"X": {"lots": [[2, 1000], [3, 1001]], "other_fees": {"XBT": 7}}}) == []
    assert book.reconcile({"X": {"lots": [[2, 1000]]}}) == [
        Difference("X", "lots", ((2, 1000), (3, 1001)), ((2, 1000),))
    ]
    for value in ("5", 5.0, True, Decimal(5)):
        named(refused(InvalidArgument, book, book.reconcile, {"X": value}), "statement['X']['net']", value)
        at = "statement['Z']['net']"  # of the book or not
        named(refused(InvalidArgument, book, book.reconcile, {"X": 5, "Z": {"net": value}}), at, value)
    named(
        refused(InvalidArgument, book, book.reconcile, {"X": {"lots": [[2, "1000"]]}}),
        "statement['X']['lots'][0][1]",
        "1000",
    )


def test_differences_of_fills_come_in_the_order_of_the_book(book):
    for name, id in [("Y", 1), ("X", 2), ("E", 3), ("Y", 4)]:
        book.fill(name, 1, 1000, id=id)
    theirs = book.records(instrument=[1, 0, 2], qty=1, price=1001, id=[4, 5, 3])
    names = [difference.instrument for difference in book.reconcile(theirs)]
    assert names == ["X", "X", "Y", "Y", "E"]


def test_the_side_that_is_wrong_is_named(book):
    book["X"].fill(3, 1000, id="a")
    error = refused(UnknownName, book, book.correct, "X", "a", qty=-3, price=1000)
    named(error, "qty", -3, "bought with the id b'a' in X")
    named(refused(UnknownName, book, book.bust, "X", "a", side="sold"), "side", "sold", "bought")
    named(refused(UnknownName, book, book.bust, "X", "z", side="sold"), "id", b"z", "known")


def test_a_conflict_says_its_cause(book):
    book["X"].fill(3, 1000, id="a")
    book["X"].fill(4, 1000, id="b")
    book.suspend("X", 1, 1000, id="s")  # row 2
    book.suspend("X", 1, 1000, id="t")
    book.suspend("X", 1, 1000, id="u")
    book.bust("X", "a", own_id="k")  # row 5
    book.release(2, "X")  # row 6
    book.dismiss(4)  # row 7

    def conflict(argument, value, cause, call, *args, **fields):
        named(refused(ConflictError, book, call, *args, **fields), argument, value, cause)

    conflict("id", b"a", "it is busted (row 5)", book.correct, "X", "a", qty=1, price=1)
    conflict("row", 0, "it is busted (row 5)", book.correct, "X", row=0, qty=1, price=1)
    conflict("row", 2, "bust the release (row 6)", book.dismiss, 2)
    conflict("row", 2, "it is released to X (row 6)", book.release, 2, "Y")
    conflict("id", b"t", "release it first (row 3)", book.correct, "X", "t", qty=1, price=1)
    conflict("row", 4, "it is dismissed (row 7)", book.release, 4, "X")
    conflict("id", b"b", "the id b'k' of the bust is known", book.bust, "X", "b", own_id="k")
    rows = book.records(qty=1, price=1, kind=2, target=1)
    named(refused(ConflictError, book, book.apply, rows), "target", 1, "fills[0]: correct of target 1")


def test_arguments_are_called_what_they_are_called_where_they_were_given(book):
    book["X"].fill(3, 1000, id="a")
    named(refused(InvalidArgument, book, book.payment, "X", "funding", 1.5), "amount", 1.5)
    named(refused(UnknownName, book, book.payment, "X", "funding", 1, "JPY"), "currency", "JPY")
    for in_lieu in ({}, {"in_lieu": 3}):
        named(refused(InvalidArgument, book, book.split, "X", 0, **in_lieu), "new", 0, "> 0")
        named(refused(InvalidArgument, book, book.split, "X", 2, -1, **in_lieu), "old", -1, "> 0")
        error = refused(InvalidArgument, book, book.split, "X", 1.5, **in_lieu)
        named(error, "new", 1.5)
        assert "instrument.lots" not in str(error)
    named(refused(InvalidArgument, book, book.convert, "X", "Y", 1, 0), "old", 0)
    book.bust("X", "a")
    named(refused(UnknownName, book, book.bust, "Y", row=1), "row", 1, "the row of a fill of Y, got 1")
    book.suspend("OLD", 1, 5, id="y")
    error = refused(ConflictError, book, book.suspend, "OLD", 2, 5, id="y")
    assert "of OLD is known" in str(error)


def test_a_lot_that_is_refused_is_called_by_its_id():
    book = mm.Book(instruments(), "specific")
    book["X"].fill(1, 1000, id="a1")
    named(refused(InvalidArgument, book, book.fill, "X", -2, 1, lots=[("a1", 2)]), "lots[0]", (b"a1", 2))


def test_records_without_a_time_say_nothing_of_the_order(book):
    for time in (0, 30, 0, 20, 0, 40):
        book["X"].fill(1, 1000, time=time)
    assert regressions(book).tolist() == [3]
    assert regressions(book, tolerance=10).tolist() == []


def test_without_history_there_are_no_fills_in_force_to_show():
    book = mm.Book(instruments(), history="none")
    book["X"].fill(1, 1000)
    with pytest.raises(Unsupported, match="keeps no fills"):
        book.in_force  # noqa: B018


@pytest.mark.parametrize("status", mm.Status)
def test_a_status_prints_its_name(status):
    assert (str(status), f"{status}", int(status)) == (status.name, status.name, status.value)


def test_a_new_currency_comes_with_a_new_book_that_books_the_history_of_the_old_one(cost):
    book = mm.Book(instruments(), cost, unknown="suspend")
    for qty, price, id in FILLS:
        book.fill("X", qty, price, id=id)
    book.fill("OLD", 1, 5, fee=2, fee_currency="EUR", id="s")
    book.split("X", 2)
    book.bust("X", "f")
    late = ("Y", 1, 1000, 3)
    for call in (book.fill, book.suspend):
        named(refused(UnknownName, book, call, *late, fee_currency="XBT"), "fee_currency", "XBT", "USD, EUR")
    again = mm.Book(book.instruments, cost, currencies=[*book.currencies, XBT], unknown="suspend")
    again.apply(book.history)
    assert again.snapshot() == book.snapshot()
    assert again.fill(*late, fee_currency="XBT") is OK
