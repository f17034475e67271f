"""Orders: the fewest messages, what may never happen, and what the venue may say."""

import doctest
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import CapacityError, ConflictError, CorruptError, InvalidArgument, OutOfBounds
from mmcore.orders import ACTION

pytestmark = pytest.mark.compiled

SECOND = 10**9
QUOTE = (99, 102, 2, 2)


def plain(actions):
    return [(a.kind.name, a.side, a.price, a.size, a.order_id) for a in actions]


def tell(orders, kind, order_id, **fields):
    return orders.on_report(mm.Report(kind, order_id, **fields)).name


def standing(quote=QUOTE, **settings):
    """Both orders accepted: 1 is the bid, 2 the ask."""
    orders = mm.Orders(**settings)
    for action in orders.target(quote, now=0):
        tell(orders, "accepted", action.order_id)
    return orders


# ---- the fewest messages ----


def test_a_quote_becomes_two_orders_and_then_nothing():
    orders = mm.Orders()
    assert plain(orders.target(QUOTE, now=0)) == [("NEW", "bid", 99, 2, 1), ("NEW", "ask", 102, 2, 2)]
    assert orders.target(QUOTE, now=1) == ()
    assert [o.pending for o in orders.working] == [("new",), ("new",)]
    tell(orders, "accepted", 1)
    assert orders.target(QUOTE, now=2) == ()
    assert orders.sent == 2


@pytest.mark.parametrize("make", [tuple, list, np.array], ids=["tuple", "list", "array"])
def test_quotes_come_as_four_numbers(make):
    assert len(mm.Orders().target(make(QUOTE), now=0)) == 2


def test_quotes_come_from_a_quoter():
    quoter, buffer = mm.Quoter(mm.Affine(base=1.5)), mm.QuoteBuffer()
    quoter.quote_into(buffer, 100.5, 0)
    one, other = mm.Orders(), mm.Orders()
    assert one.target(quoter.quote(100.5, 0), now=0) == other.target(buffer, now=0)


def test_one_side_moves_by_one_amend():
    orders = standing()
    assert plain(orders.target((98, 102, 2, 2), now=1)) == [("AMEND", "bid", 98, 2, 1)]
    assert orders.target((98, 102, 2, 2), now=1) == ()
    assert tell(orders, "amended", 1, revision=1) == "OK"
    assert orders.working[0][2:5] == (98, 2, 0)


def test_an_absent_side_is_canceled():
    orders = standing()
    assert plain(orders.target((None, 102, 0, 2), now=1)) == [("CANCEL", "bid", 99, 2, 1)]


def test_a_smaller_size_keeps_the_place_and_a_larger_one_does_not_restart_for_a_fill():
    orders = standing(min_life=100)
    tell(orders, "fill", 1, filled=1)
    assert orders.target(QUOTE, now=1) == ()  # the rest keeps its place
    assert orders.target((99, 102, 1, 2), now=1000) == ()
    assert plain(orders.target((99, 102, 1, 1), now=1000)) == [("AMEND", "ask", 102, 1, 2)]
    tell(orders, "amended", 2)
    assert plain(orders.target((99, 102, 1, 3), now=1000)) == [("AMEND", "ask", 102, 3, 2)]


def test_a_smaller_size_within_the_hysteresis_stays_at_its_price():
    orders = standing(hysteresis=2)
    assert plain(orders.target((98, 103, 1, 2), now=1)) == [("AMEND", "bid", 99, 1, 1)]


def test_sizes_of_amends_are_whole_sizes():
    orders = standing()
    tell(orders, "fill", 1, filled=1)
    assert plain(orders.target((98, 102, 2, 2), now=1)) == [("AMEND", "bid", 98, 3, 1)]


def test_a_filled_order_is_replaced():
    orders = standing()
    tell(orders, "fill", 1, filled=2)
    assert orders.position == 2
    assert plain(orders.target(QUOTE, now=1)) == [("NEW", "bid", 99, 2, 3)]


def test_hysteresis_keeps_what_is_near():
    orders = standing(hysteresis=1)
    assert orders.target((98, 103, 2, 2), now=1) == ()
    assert [h.name for h in orders.held] == ["HYSTERESIS", "HYSTERESIS"]
    assert len(orders.target((97, 103, 2, 2), now=1)) == 1


def test_hysteresis_never_keeps_what_would_cross():
    orders = standing(hysteresis=5)
    assert orders.target((98, 102, 2, 2), now=1, bid=97, ask=100) == ()
    assert plain(orders.target((98, 102, 2, 2), now=2, bid=97, ask=99)) == [("AMEND", "bid", 98, 2, 1)]
    orders = standing(hysteresis=5)
    assert plain(orders.target((95, 99, 2, 2), now=1)) == [("AMEND", "bid", 95, 2, 1)]  # meets the wanted ask
    orders = standing(hysteresis=5)
    assert plain(orders.target((90, 96, 2, 2), now=1)) == [("AMEND", "bid", 90, 2, 1)]
    assert orders.held[1].name == "OWN"  # the bid may still be at 99


def test_min_life_keeps_what_is_young():
    orders = standing(min_life=10)
    assert orders.target((98, 102, 2, 2), now=9) == ()
    assert orders.held[0].name == "LIFE"
    assert len(orders.target((98, 102, 2, 2), now=10)) == 1
    tell(orders, "amended", 1)
    assert orders.target((97, 102, 2, 2), now=19) == ()
    assert len(orders.target((97, 102, 2, 2), now=20)) == 1


def test_min_life_keeps_nothing_that_crosses_breaks_the_limit_or_is_not_wanted():
    orders = standing(min_life=10**6)
    assert plain(orders.target((98, 102, 2, 2), now=1, ask=99)) == [("AMEND", "bid", 98, 2, 1)]
    orders = standing(min_life=10**6, max_exposure=2)
    orders.max_exposure = 1
    assert [a[0:4] for a in plain(orders.target(QUOTE, now=1))] == [
        ("AMEND", "bid", 99, 1),
        ("AMEND", "ask", 102, 1),
    ]
    orders = standing(min_life=10**6)
    assert len(orders.target((None, None, 0, 0), now=1)) == 2


def test_without_amends_a_move_is_cancel_and_new():
    orders = standing(amend=False)
    assert plain(orders.target((98, 102, 2, 2), now=1)) == [
        ("CANCEL", "bid", 99, 2, 1),
        ("NEW", "bid", 98, 2, 3),
    ]
    assert orders.exposure == (4, 2)  # both bids count until the cancel is confirmed


def test_without_amends_the_new_order_waits_where_both_would_pass_the_limit():
    orders = standing(amend=False, max_exposure=3)
    assert plain(orders.target((98, 102, 2, 2), now=1)) == [("CANCEL", "bid", 99, 2, 1)]
    assert orders.target((98, 102, 2, 2), now=2) == ()
    assert mm.Held.EXPOSURE in orders.held[0]
    tell(orders, "canceled", 1, filled=0)
    assert plain(orders.target((98, 102, 2, 2), now=3)) == [("NEW", "bid", 98, 2, 3)]


# ---- exposure ----


def test_a_new_order_waits_until_it_fits_whole():
    orders = mm.Orders(max_exposure=3, position=2)
    assert plain(orders.target(QUOTE, now=0)) == [("NEW", "ask", 102, 2, 1)]
    assert orders.held[0].name == "EXPOSURE"


def test_an_amend_counts_the_larger_size_until_it_is_answered():
    orders = standing(max_exposure=5)
    orders.target((99, 102, 5, 1), now=1)
    assert orders.exposure == (5, 2)
    tell(orders, "amend_rejected", 1)
    tell(orders, "amended", 2)
    assert orders.exposure == (2, 1)


def test_a_cancel_in_flight_still_counts_and_may_be_overtaken_by_a_fill():
    orders = standing(max_exposure=2)
    orders.target((None, 102, 0, 2), now=1)
    assert orders.exposure == (2, 2)
    assert orders.target(QUOTE, now=2) == ()
    assert tell(orders, "fill", 1, filled=1) == "OK"
    assert (orders.position, orders.exposure) == (1, (2, 1))
    assert tell(orders, "canceled", 1, filled=2) == "OK"  # it filled more than we heard of
    assert (orders.position, orders.exposure) == (2, (2, 0))
    assert tell(orders, "fill", 1, filled=2) == "DUPLICATE"
    assert orders.position == 2


def test_an_own_order_is_never_met():
    orders = standing()
    moved = orders.target((105, 108, 2, 2), now=1)
    assert plain(moved) == [("AMEND", "ask", 108, 2, 2)]
    assert orders.held[0].name == "OWN"
    tell(orders, "amended", 2)
    assert plain(orders.target((105, 108, 2, 2), now=1)) == [("AMEND", "bid", 105, 2, 1)]


def test_nothing_is_sent_into_the_touch():
    orders = mm.Orders()
    assert plain(orders.target(QUOTE, now=0, bid=98, ask=99)) == [("NEW", "ask", 102, 2, 1)]
    assert orders.held[0].name == "TOUCH"
    assert len(orders.target(QUOTE, now=0, bid=98, ask=100)) == 1  # the quote is the same, the touch is not


def test_an_order_that_the_touch_has_reached_goes_even_where_the_quote_asks_for_it():
    orders = standing()
    assert plain(orders.target(QUOTE, now=1, bid=98, ask=99)) == [("CANCEL", "bid", 99, 2, 1)]


# ---- budgets ----


def test_a_budget_leaves_a_cancel_for_every_order():
    orders = mm.Orders(messages=[(5, SECOND)])
    assert len(orders.target(QUOTE, now=0)) == 2  # 2 sent, 2 set aside
    for order_id in (1, 2):
        tell(orders, "accepted", order_id)
    assert len(orders.target((98, 103, 2, 2), now=1)) == 1  # 3 sent, 2 set aside
    assert orders.held[1].name == "BUDGET"
    assert len(orders.cancel_all(now=2)) == 2


@pytest.mark.parametrize("now", [SECOND - 1, SECOND])
def test_windows_are_half_open(now):
    orders = mm.Orders(messages=[(2, SECOND)])
    assert len(orders.target((99, None, 1, 0), now=0)) == 1
    tell(orders, "accepted", 1)
    assert len(orders.target((98, None, 1, 0), now=now)) == (now == SECOND)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(90, 99)), min_size=1, max_size=60))
def test_no_window_holds_more_than_its_budget(steps):
    budgets, now, sent = [(3, 7), (5, 20)], 0, []
    orders = mm.Orders(messages=budgets)
    for ns, bid in steps:
        now += ns
        for action in orders.target((bid, None, 1, 0), now=now):
            sent.append(now)
            tell(orders, "accepted" if action.kind == mm.ActionKind.NEW else "amended", action.order_id)
    sent += [now] * len(orders.cancel_all(now))
    for n, window in budgets:
        assert all(sum(t <= s < t + window for s in sent) <= n for t in sent)
    assert not orders.working or orders.working[0].pending == ("cancel",)


def test_the_same_quote_is_sent_once_the_budget_allows():
    orders = mm.Orders(messages=[(3, 100)])
    assert len(orders.target(QUOTE, now=0)) == 1
    assert orders.target(QUOTE, now=99) == ()
    assert len(orders.target(QUOTE, now=100)) == 1


# ---- what the venue says ----


def test_a_post_only_reject_bars_its_price_and_better_ones_for_a_while():
    orders = mm.Orders(retry=10)
    orders.target((99, None, 1, 0), now=0)
    assert tell(orders, "rejected", 1, reason="post_only") == "OK"
    assert orders.working == ()
    assert orders.target((99, None, 1, 0), now=1) == ()
    assert orders.target((100, None, 1, 0), now=2) == ()
    assert orders.held[0].name == "REJECTED"
    assert plain(orders.target((98, None, 1, 0), now=3)) == [("NEW", "bid", 98, 1, 2)]
    tell(orders, "accepted", 2)
    assert orders.target((99, None, 1, 0), now=9) == ()
    assert len(orders.target((99, None, 1, 0), now=10)) == 1


def test_another_reject_bars_every_price():
    orders = mm.Orders(retry=10)
    orders.target((99, None, 1, 0), now=0)
    tell(orders, "rejected", 1)
    assert orders.target((50, None, 1, 0), now=9) == ()
    assert len(orders.target((50, None, 1, 0), now=10)) == 1


def test_a_rejected_amend_leaves_the_order_as_it_was():
    orders = standing(retry=10)
    orders.target((100, 102, 2, 2), now=0)
    tell(orders, "amend_rejected", 1, reason="post_only")
    assert orders.working[0][2:5] == (99, 2, 0)
    assert orders.target((100, 102, 2, 2), now=1) == ()


def test_a_late_fill_of_a_canceled_order_counts():
    orders = standing()
    orders.cancel_all(now=1)
    tell(orders, "canceled", 1)
    assert tell(orders, "fill", 1, qty=1) == "OK"
    assert (orders.position, orders.counts["late"]) == (1, 1)
    assert tell(orders, "fill", 1, filled=2) == "OK"
    assert tell(orders, "fill", 1, qty=1) == "DUPLICATE"  # beyond its size: a repetition
    assert orders.position == 2


def test_a_late_answer_to_an_earlier_amend_is_told_by_its_revision():
    orders = standing(timeout=10, max_exposure=9)
    orders.target((99, 102, 9, 2), now=1)
    orders.reconcile([(1, "bid", 99, 2), (2, "ask", 102, 2)], position=0, now=20)  # lost, it seems
    orders.target((98, 102, 3, 2), now=20)
    assert tell(orders, "amended", 1, revision=1) == "DUPLICATE"
    assert orders.working[0].pending == ("amend",)
    assert tell(orders, "amended", 1, revision=2) == "OK"
    assert orders.working[0][2:4] == (98, 3)


def test_fills_of_others_move_the_position():
    orders = standing()
    assert tell(orders, "fill", 77, qty=3) == "UNKNOWN"
    assert tell(orders, "fill", 78, qty=3, side="ask") == "OK"
    assert tell(orders, "canceled", 79) == "UNKNOWN"
    assert (orders.position, orders.counts["strays"], orders.counts["unknown"]) == (-3, 1, 2)
    assert orders.suspect == ("a fill of an order that is not known",)


def test_contradictions_change_nothing():
    orders = standing()
    before = orders.working
    assert tell(orders, "rejected", 1) == "CONFLICT"
    assert tell(orders, "fill", 1, filled=1, side="ask") == "CONFLICT"
    assert (orders.working, orders.position) == (before, 0)
    assert orders.suspect


def test_more_than_the_size_is_booked_and_suspected():
    orders = standing()
    assert tell(orders, "fill", 1, filled=3) == "OK"
    assert (orders.position, len(orders.working)) == (3, 1)
    assert orders.suspect == ("an order was filled beyond its size",)


def test_the_venue_may_accept_another_price_and_size():
    orders = mm.Orders()
    orders.target((99, None, 5, 0), now=0)
    tell(orders, "accepted", 1, price=98, size=4)
    assert orders.working[0][2:4] == (98, 4)


def test_an_unanswered_cancel_is_sent_again_after_the_timeout():
    orders = standing(timeout=10)
    assert len(orders.cancel_all(now=5)) == 2
    assert orders.cancel_all(now=14) == ()
    assert not orders.overdue(14)
    assert orders.overdue(15)
    assert len(orders.cancel_all(now=15)) == 2


def test_a_refused_cancel_is_not_repeated_at_once():
    orders = standing(timeout=10)
    orders.cancel_all(now=5)
    tell(orders, "cancel_rejected", 1)
    assert orders.cancel_all(now=6) == ()
    assert plain(orders.cancel_all(now=15))[0] == ("CANCEL", "bid", 99, 2, 1)


def test_repeated_cancels_leave_those_of_the_other_orders():
    orders = standing(messages=[(5, 1000)], timeout=10)
    assert len(orders.target((None, 102, 0, 2), now=1)) == 1
    assert len(orders.target((None, 102, 0, 2), now=11)) == 1  # the fourth; the fifth is the ask's
    assert orders.target((None, 102, 0, 2), now=21) == ()
    assert plain(orders.cancel_all(now=22)) == [("CANCEL", "ask", 102, 2, 2)]


def test_an_unanswered_order_waits_and_is_canceled_after_the_timeout_where_it_is_wrong():
    orders = mm.Orders(timeout=10)
    orders.target((99, None, 1, 0), now=0)
    assert orders.target((98, None, 1, 0), now=9) == ()
    assert orders.held[0].name == "PENDING"
    assert plain(orders.target((98, None, 1, 0), now=10)) == [("CANCEL", "bid", 99, 1, 1)]


# ---- reconcile ----


def test_reconcile_closes_what_is_gone_and_adopts_what_is_not_known():
    orders = standing(timeout=10)
    orders.reconcile([mm.OpenOrder(9, "ask", 103, 4, 1)], position=2, now=20)
    assert orders.working == (mm.OpenOrder(9, "ask", 103, 4, 1),)
    assert (orders.position, orders.next_id) == (2, 10)
    assert tell(orders, "fill", 1, filled=2) == "DUPLICATE"  # the position holds it
    assert plain(orders.target((99, 103, 2, 3), now=20)) == [("NEW", "bid", 99, 2, 10)]


def test_reconcile_does_not_judge_what_may_not_have_arrived():
    orders = mm.Orders(timeout=10, max_exposure=2)
    orders.target((99, None, 2, 0), now=0)
    orders.reconcile([], position=0, now=9)
    assert orders.exposure == (2, 0)
    orders.reconcile([], position=0, now=10)
    assert orders.exposure == (0, 0)


@pytest.mark.parametrize("wrong", [None, 3])
def test_reconcile_wants_a_list(wrong):
    with pytest.raises(TypeError, match=f"open_orders must be an iterable of OpenOrder .*got {wrong}"):
        mm.Orders().reconcile(wrong, position=1, now=5)


def test_reconcile_adds_what_was_filled_after_the_list_was_made():
    orders = standing()
    tell(orders, "fill", 1, filled=2)
    orders.ask(20)
    tell(orders, "fill", 2, filled=1)
    orders.target((None, 102, 0, 2), now=30)
    orders.reconcile([(2, "ask", 102, 2)], position=2, now=40)
    assert (orders.position, orders.working[0].filled, orders.suspect) == (1, 1, ())


def test_a_young_order_that_was_at_the_venue_and_is_not_listed_is_gone():
    orders = mm.Orders(max_exposure=10)
    orders.target((99, None, 2, 0), now=0)
    tell(orders, "accepted", 1)
    tell(orders, "fill", 1, filled=1)
    orders.reconcile([], position=2, now=3)  # its last report is still on its way
    assert tell(orders, "fill", 1, filled=2) == "DUPLICATE"
    assert (orders.position, orders.exposure, orders.suspect) == (2, (2, -2), ())


@pytest.mark.parametrize("filled_before", [True, False])
def test_fills_that_a_list_may_hold_are_counted_for_the_worse(filled_before):
    """Nothing tells whether the bid came too late for the list, or was filled before it."""
    orders = mm.Orders(max_exposure=10, timeout=100)
    orders.target((99, None, 2, 0), now=0)
    orders.reconcile([], position=2 if filled_before else 0, now=3)
    assert orders.suspect
    tell(orders, "fill", 1, filled=2)
    listed = 2 if filled_before else 0
    assert (orders.position, orders.exposure) == (listed + 2, (listed + 2, -listed))
    sent = plain(orders.target((90, 101, 0, 14), now=4))
    assert sent == []
    assert "EXPOSURE" in orders.held[1].name  # 14 would pass the limit if 0 is true
    orders.reconcile([], position=2, now=100)
    assert (orders.position, orders.exposure, orders.suspect) == (2, (2, -2), ())


def test_an_order_that_ended_since_the_list_was_asked_for_is_in_doubt():
    orders = mm.Orders(max_exposure=10)
    orders.target((99, None, 2, 0), now=0)
    orders.ask(5)
    tell(orders, "fill", 1, filled=2)
    orders.reconcile([], position=0, now=9)  # made before the fill, or else we had sold two more
    assert (orders.position, orders.exposure) == (2, (2, 0))
    assert orders.suspect
    assert tell(orders, "fill", 1, filled=2) == "DUPLICATE"
    orders.reconcile([], position=2, now=10)
    assert (orders.position, orders.exposure, orders.suspect) == (2, (2, -2), ())
    with pytest.raises(InvalidArgument, match="at least the last time, 10"):
        orders.ask(9)


@pytest.mark.parametrize(
    ("entries", "error", "words"),
    [
        ([(1, "ask", 99, 2)], ConflictError, "another order"),
        ([(7, "bid", 99, 2), (7, "bid", 98, 2)], ConflictError, "twice"),
        ([(i, "bid", 99, 2) for i in range(10, 19)], CapacityError, "8 orders on one side"),
        ([(i, "bid", 99, 2) for i in range(10, 30)], CapacityError, "16"),
        ([(7, "buy", 99, 2)], InvalidArgument, r"open_orders\[0\].side"),
        ([(7, "bid", 99, 2, 2)], InvalidArgument, r"filled must be lots below|filled must be below"),
        ([(7, "bid")], TypeError, r"open_orders\[0\]"),
    ],
)
def test_reconcile_is_all_or_nothing(entries, error, words):
    orders = standing()
    before = orders.to_bytes()
    with pytest.raises(error, match=words):
        orders.reconcile(entries, position=1, now=5)
    assert orders.to_bytes() == before


# ---- refusals ----


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((QUOTE, 4), InvalidArgument, "now must be at least the last time, 5 ns"),
        ((QUOTE, -1), InvalidArgument, "now"),
        ((QUOTE, 6.0), TypeError, "now must be an integer number of ns"),
        (((102, 99, 1, 1), 6), InvalidArgument, "bid < ask"),
        (((99, 99, 1, 1), 6), InvalidArgument, "bid < ask"),
        (((99, 102, -1, 1), 6), InvalidArgument, "bid_size"),
        (((99, 102, 2**60, 1), 6), InvalidArgument, "bid_size"),
        (((99.5, 102, 1, 1), 6), TypeError, "bid must be ticks"),
        (((None, 102, 1, 1), 6), InvalidArgument, "bid must be ticks where the size is not 0"),
        (((2**52, None, 1, 0), 6), InvalidArgument, "bid"),
        ((99, 6), TypeError, "quote must be"),
        ((QUOTE, 6, "99"), TypeError, "bid must be ticks"),
    ],
)
def test_target_refuses_and_changes_nothing(arguments, error, words):
    orders = standing()
    orders.target(QUOTE, now=5)
    before = orders.to_bytes()
    with pytest.raises(error, match=words):
        orders.target(*arguments)
    assert orders.to_bytes() == before


def test_time_never_runs_backwards_even_where_nothing_changes():
    orders = standing()
    assert orders.target(QUOTE, now=7) == ()
    assert orders.target(QUOTE, now=8) == ()
    for call in (lambda: orders.target(QUOTE, now=7), lambda: orders.cancel_all(now=7)):
        with pytest.raises(InvalidArgument, match="8 ns"):
            call()


@pytest.mark.parametrize("price", [99, 102, 2**60, 2**63 - 1, -(2**63), None])
def test_the_price_of_a_side_that_is_absent_is_not_looked_at(price):
    """What a side of size 0 crosses is no quote of two sides; so rows of quote_batch may be given."""
    orders, twin = mm.Orders(), mm.Orders()
    assert plain(orders.target((102, price, 1, 0), now=0)) == [("NEW", "bid", 102, 1, 1)]
    twin.target((102, None, 1, 0), now=0)
    assert orders.to_bytes() == twin.to_bytes()
    other = mm.Orders()
    assert plain(other.target((price, 99, 0, 1), now=0)) == [("NEW", "ask", 99, 1, 1)]
    for quote in ((102, 99, 1, 1), (99, 99, 1, 1)):
        with pytest.raises(InvalidArgument, match="quote must be bid < ask"):
            orders.target(quote, now=1)
    with pytest.raises(InvalidArgument, match="ask must be ticks where the size is not 0"):
        orders.target((99, None, 1, 1), now=1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_life": 2**61 + 1}, r"min_life must be an integer number of ns, 0 to 2\^61"),
        ({"timeout": 2**70}, r"timeout must be an integer number of ns, 0 to 2\^61"),
        ({"hysteresis": 2**52 + 1}, r"hysteresis must be ticks from 0 to 2\^52"),
        ({"messages": [(2**31, 1)]}, r"messages\[0\]\[0\] must be from 2 .* to 2\^31 - 1"),
        ({"messages": [(2, 1), (2, 2**61 + 1)]}, r"messages\[1\]\[1\] must be .* 1 to 2\^61"),
    ],
)
def test_bounds_from_above_are_said(settings, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.Orders(**settings)


def test_the_last_id_is_given_once_and_then_nothing_new_is_sent():
    orders = mm.Orders(first_id=2**62)
    (bid,) = orders.target(QUOTE, now=0)
    assert (bid.order_id, bid.side, bid.price) == (2**62, "bid", 99)
    assert orders.held[1].name == "SLOTS"
    assert tell(orders, "fill", 2**62, filled=1) == "OK"
    assert mm.Orders.from_bytes(orders.to_bytes()).to_bytes() == orders.to_bytes()


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"min_life": -1}, InvalidArgument, "min_life"),
        ({"min_life": 0.5}, TypeError, "min_life must be an integer number of ns"),
        ({"hysteresis": -1}, InvalidArgument, "hysteresis"),
        ({"messages": [(1, 10)]}, InvalidArgument, "one to open an order, one to cancel it"),
        ({"messages": [(2, 0)]}, InvalidArgument, r"messages\[0\]\[1\]"),
        ({"messages": [2]}, InvalidArgument, r"messages\[0\] must be pairs"),
        ({"messages": [(2, 1)] * 9}, InvalidArgument, "at most 8"),
        ({"max_exposure": -1}, InvalidArgument, "max_exposure"),
        ({"max_exposure": 1.5}, TypeError, "max_exposure"),
        ({"position": 2**53}, InvalidArgument, "position"),
        ({"first_id": 0}, InvalidArgument, "first_id"),
        ({"amend": 1}, TypeError, "amend"),
    ],
)
def test_constructor_refuses(settings, error, words):
    with pytest.raises(error, match=words):
        mm.Orders(**settings)


@pytest.mark.parametrize(
    ("arguments", "fields", "words"),
    [
        (("filled", 1), {}, "kind must be one of accepted"),
        (("fill", 1), {}, "a fill needs filled"),
        (("fill", 1), {"qty": 0}, "qty"),
        (("fill", 0), {"qty": 1}, "order_id"),
        (("fill", 1), {"qty": 1, "side": "buy"}, "side must be 'bid' or 'ask'"),
        (("rejected", 1), {"reason": "margin"}, "reason"),
    ],
)
def test_reports_refuse(arguments, fields, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.Report(*arguments, **fields)


def test_a_position_beyond_all_bounds_is_refused():
    orders = mm.Orders(position=2**52)
    with pytest.raises(OutOfBounds):
        tell(orders, "fill", 1, qty=1, side="bid")
    assert orders.position == 2**52


# ---- as bytes, and to look at ----


def test_saved_orders_go_on_exactly_from_there():
    orders = standing(min_life=5, hysteresis=1, messages=[(6, 100), (9, 1000)], max_exposure=4)
    orders.target((97, 104, 2, 2), now=10)
    other = mm.Orders.from_bytes(orders.to_bytes())
    third = pickle.loads(pickle.dumps(orders))
    for now, bid in [(11, 96), (20, 95), (400, 94), (2000, 93)]:
        answers = [o.target((bid, bid + 6, 2, 1), now=now) for o in (orders, other, third)]
        assert answers[0] == answers[1] == answers[2]
    assert orders.to_bytes() == other.to_bytes() == third.to_bytes()


def test_changed_cut_and_newer_blocks_are_refused():
    block = standing(messages=[(6, 100)]).to_bytes()
    for at in range(0, len(block), 13):
        changed = bytearray(block)
        changed[at] ^= 1
        with pytest.raises(CorruptError):
            mm.Orders.from_bytes(changed)
    for cut in (b"", block[:20], block[:-1], block + b"\0"):
        with pytest.raises(CorruptError):
            mm.Orders.from_bytes(cut)


def test_what_people_look_at():
    instrument = mm.Instrument("<X>", tick="0.01")
    orders = mm.Orders(instrument, max_exposure=2)
    orders.target(QUOTE, now=0)
    tell(orders, "accepted", 1)
    orders.target((98, 102, 3, 2), now=1)
    assert (
        repr(orders)
        == "Orders(<X>, position=0, exposure=(2, 2), bid 2 @ 99, amend sent, ask 2 @ 102, new sent)"
    )
    page = orders._repr_html_()
    assert "&lt;X&gt;" in page
    assert "99 (0.99)" in page
    assert "2 @ 98" in page
    assert "limit 2" in page
    assert "would pass max_exposure" in page


def test_actions_are_immutable_values():
    one, other = (mm.Orders().target(QUOTE, now=0) for _ in range(2))
    assert one == other
    assert len({*one, *other}) == 2
    with pytest.raises(AttributeError):
        one[0].price = 1
    record = one[1].record()
    assert record.dtype == ACTION
    assert record.item() == (2, 102, 2, 1, 1, 0, 0)


def test_settings_can_be_read_and_changed():
    orders = standing(min_life=7, hysteresis=2, messages=[(6, 100)], timeout=8, retry=9, amend=False)
    assert (orders.min_life, orders.hysteresis, orders.messages) == (7, 2, ((6, 100),))
    assert (orders.timeout, orders.retry, orders.amend, orders.max_exposure) == (8, 9, False, None)
    orders = standing(hysteresis=3, min_life=7)
    assert orders.target((98, 102, 2, 2), now=1) == ()
    orders.hysteresis = orders.min_life = 0
    assert len(orders.target((98, 102, 2, 2), now=1)) == 1
    with pytest.raises(InvalidArgument):
        orders.max_exposure = -1


def test_the_examples_of_the_docstrings_run():
    """Pytest does not collect the docstrings of compiled modules."""
    done = doctest.testmod(mm.orders)
    assert done.failed == 0
    assert done.attempted >= 20


# ---- a whole day ----


@pytest.mark.realdata
def test_a_fixed_half_spread_sends_42662_messages_on_the_amazon_day(shared):
    events = mm.load(shared / "data" / "lobster_amzn")
    quotes, mid2 = events.quotes, np.asarray(events.mid2)
    bid, ask = (mid2 - 8) // 2, -((-mid2 - 8) // 2)  # floor(mid - 4), ceil(mid + 4)
    changes = 2 + np.count_nonzero(np.diff(bid)) + np.count_nonzero(np.diff(ask))
    assert changes == 42_662

    def messages(**settings):
        orders = mm.Orders(**settings)
        answers = {
            mm.ActionKind.NEW: "accepted",
            mm.ActionKind.AMEND: "amended",
            mm.ActionKind.CANCEL: "canceled",
        }
        rows = (quotes.local_time, bid, ask, quotes.bid, quotes.ask)
        for now, low, high, touch_bid, touch_ask in zip(*(column.tolist() for column in rows), strict=True):
            while actions := orders.target((low, high, 1, 1), now, touch_bid, touch_ask):
                for action in actions:
                    orders.on_report(mm.Report(answers[action.kind], action.order_id))
        return orders.sent

    assert messages() == changes
    assert messages(hysteresis=1) < changes
    assert messages(min_life=SECOND) < changes


def test_arguments_of_a_wrong_type_are_named():
    with pytest.raises(InvalidArgument, match="instrument must be an Instrument, or None, got 'BTC'"):
        mm.Orders("BTC")
    for messages in ("20/1", 20):
        with pytest.raises(InvalidArgument, match=r"messages must be a list of pairs \(n, ns\), such as"):
            mm.Orders(messages=messages)
