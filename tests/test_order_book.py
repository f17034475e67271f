"""The book that a snapshot and differences rebuild: right whenever it says that it is valid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcore.errors import InvalidArgument
from mmcore.events import NO_ASK, NO_BID
from mmcore.feeds.order_book import OrderBook

EMPTY = (NO_BID, 0, NO_ASK, 0)


def test_the_first_difference_straddles_the_snapshot():
    book = OrderBook()
    book.update(4, 8, [(97, 1)], [])
    book.update(8, 12, [(99, 4)], [(100, 0)])
    book.update(12, 13, [], [(100, 6)])
    assert book.top == EMPTY
    book.snapshot(10, [(98, 5)], [(100, 9), (101, 2)])
    assert (book.top, book.update_id) == ((99, 4, 100, 6), 13)
    assert book.levels() == ([(99, 4), (98, 5)], [(100, 6), (101, 2)])
    assert not book.odd


def test_a_snapshot_ahead_of_the_stream_waits_for_it():
    book = OrderBook()
    book.snapshot(10, [(98, 5)], [(101, 2)])
    book.update(5, 9, [(98, 77)], [])  # the snapshot holds it
    assert book.top == (98, 5, 101, 2)
    book.update(9, 11, [(98, 6)], [])
    assert (book.top, book.update_id, book.odd) == ((98, 6, 101, 2), 11, {})


def test_a_gap_makes_the_book_stale_until_a_snapshot():
    book = OrderBook()
    book.snapshot(10, [(98, 5)], [(101, 2)])
    book.update(10, 12, [], [(101, 3)])
    book.update(13, 14, [(98, 9)], [])
    assert (book.valid, book.top, book.levels()) == (False, EMPTY, ([], []))
    book.update(14, 15, [(97, 1)], [])
    book.snapshot(14, [(98, 9)], [(101, 3)])
    assert (book.valid, book.levels()) == (True, ([(98, 9), (97, 1)], [(101, 3)]))
    assert book.odd == {"gaps": 1}


def test_a_snapshot_that_came_before_the_gap_mends_it():
    book = OrderBook()
    book.snapshot(10, [(98, 5)], [(101, 2)])
    book.snapshot(14, [(98, 9)], [(101, 3)])
    assert (book.top, book.odd) == ((98, 5, 101, 2), {"unneeded snapshots": 1})
    book.update(13, 16, [(97, 4)], [])
    assert (book.levels(), book.update_id) == (([(98, 9), (97, 4)], [(101, 3)]), 16)
    assert book.odd == {"gaps": 1}
    book.snapshot(18, [(98, 1)], [])
    book.update(16, 19, [], [])  # beyond that snapshot, which can mend nothing any more
    book.update(20, 21, [], [])
    assert (book.valid, book.odd) == (False, {"gaps": 2, "unneeded snapshots": 1})


def test_a_snapshot_that_is_older_than_the_gap_does_not():
    book = OrderBook()
    book.snapshot(10, [(98, 5)], [(101, 2)])
    book.snapshot(12, [(98, 9)], [(101, 3)])
    book.update(13, 16, [(97, 4)], [])
    assert (book.valid, book.odd) == (False, {"gaps": 1, "older snapshots": 1})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((5, 6, [(100, 3), (99,)], []), r"bids\[1\] must be \(price.*got \(99,\)"),
        ((5, 6, [(100, 3)], None), "asks must be an iterable of .*got None"),
        ((5, 6, [(100, -1)], []), r"bids\[0\] .*got \(100, -1\)"),
        ((5, 6, [], [("a", 3)]), r"asks\[0\] .*got \('a', 3\)"),
        ((5, 6, [(100.5, 1)], []), r"bids\[0\] .*got \(100.5, 1\)"),
        ((5, 6, [(2**62, 1)], []), r"bids\[0\] "),
        ((5, 6, [(True, 1)], []), r"bids\[0\] "),
        ((5, 6, [3], []), r"bids\[0\] .*got 3"),
        ((5, 6.5, [], []), "last must be an integer, got 6.5"),
        ((None, 6, [], []), "previous must be an integer, got None"),
    ],
)
def test_what_is_no_level_is_refused(arguments, words):
    book = OrderBook()
    book.snapshot(5, [(99, 1)], [(101, 1)])
    with pytest.raises(InvalidArgument, match=words):
        book.update(*arguments)
    assert (book.top, book.update_id) == ((99, 1, 101, 1), 5)
    if arguments[0] is not None:
        with pytest.raises(InvalidArgument):
            OrderBook().snapshot(*arguments[1:])


def test_levels_may_be_of_any_integers():
    book = OrderBook()
    book.snapshot(np.int64(5), ((np.int32(99), np.uint8(1)),), iter([[101, 1]]))
    assert book.top == (99, 1, 101, 1)


def test_a_regress_makes_the_book_stale_and_a_repeat_does_not():
    book = OrderBook()
    book.snapshot(10, [(98, 5)], [(101, 2)])
    book.update(10, 12, [], [(101, 3)])
    book.update(10, 12, [], [(101, 3)])
    assert (book.valid, book.odd) == (True, {"repeats": 1})
    book.update(8, 10, [], [(101, 2)])
    assert (book.valid, book.odd) == (False, {"repeats": 1, "regressions": 1})


def test_a_snapshot_older_than_the_stream_is_refused():
    book = OrderBook()
    book.update(20, 22, [(98, 1)], [])
    book.snapshot(19, [(98, 5)], [(101, 2)])
    assert (book.valid, book.odd) == (False, {"older snapshots": 1})
    book.snapshot(20, [(98, 5)], [(101, 2)])  # ends where the difference begins
    assert (book.top, book.update_id) == ((98, 1, 101, 2), 22)
    book.snapshot(22, [], [])
    assert (book.valid, book.odd["unneeded snapshots"]) == (True, 1)


levels = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=4)
faults = st.sampled_from(["", "", "", "", "", "lose", "twice", "back", "snapshot", "old snapshot"])


@given(st.lists(st.tuples(st.integers(1, 3), levels, levels, faults), max_size=40))
def test_a_valid_book_is_the_true_one_whatever_is_lost(stream):
    """The oracle keeps the whole book after every update."""
    book, number = OrderBook(), 100
    true = {number: ({}, {})}
    sent = []
    for step, bids, asks, fault in stream:
        before, number = number, number + step
        sides = tuple(dict(side) for side in true[before])
        for side, changes in zip(sides, (bids, asks), strict=True):
            for price, size in changes:
                side[price] = size
                if not size:
                    del side[price]
        true[number] = sides
        sent.append((before, number, bids, asks))
        if fault != "lose":
            book.update(*sent[-1])
        if fault == "twice":
            book.update(*sent[-1])
        if fault == "back":
            book.update(*sent[len(sent) // 2])
        if "snapshot" in fault:
            known = sorted(true)
            at = known[-1] if fault == "snapshot" else known[len(known) // 2]
            book.snapshot(at, *(side.items() for side in true[at]))
        if book.valid:
            sides = tuple(dict(side) for side in book.levels())
            assert sides == true[book.update_id]
            bid, _, ask, _ = book.top
            assert bid == max(sides[0], default=NO_BID)
            assert ask == min(sides[1], default=NO_ASK)
        else:
            assert book.top == EMPTY
