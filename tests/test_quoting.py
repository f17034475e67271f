"""The pipeline stage by stage, on numbers that can be checked by hand; and the doors to it."""

import copy
import doctest
import math
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import mmcore.quoting
from mmcore import AvellanedaStoikov, Currency, GueantLehalleFernandezTapia, Instrument
from mmcore.errors import CorruptError, InvalidArgument, Unsupported
from mmcore.quoting import (
    QUOTE,
    STAGES,
    Affine,
    FeedAge,
    Limits,
    Obligations,
    Quote,
    QuoteBuffer,
    Quoter,
    Table,
    Why,
    reasons,
)

pytestmark = pytest.mark.compiled

nan, inf = math.nan, math.inf
NO_BID, NO_ASK = -(2**63), 2**63 - 1


def flat(half_spread=1.0, **rules):
    """A quoter with the same depth everywhere."""
    return Quoter(Affine(half_spread), **rules)


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(mmcore.quoting).failed == 0
    assert doctest.testmod(mmcore.quoting).attempted > 40


# -- rounding ----------------------------------------------------------------------------------


def test_rounding_noise_never_moves_a_quote_by_a_tick():
    quoter = flat()
    naive_misses = 0
    for i in range(-20_000, 20_000):
        reference = (i * 0.1 - 0.3) / 0.1  # i - 3, and noise in the last bits
        naive_misses += math.floor(reference) != i - 3
        assert tuple(quoter.quote(reference, 0)) == (i - 4, i - 2)
    assert naive_misses > 1_000  # the mistake that quantising prevents


@pytest.mark.parametrize("sign", [1, -1])
def test_quanta_round_half_to_even(sign):
    quantum = 2.0**-20
    # A bid a fraction of a quantum below tick 100 belongs to the tick when it rounds up to it:
    # exactly half a quantum goes to the even multiple, which a whole tick is.
    quoter = flat(0.5)
    for below, inside in ((0.49, True), (0.5, True), (0.51, False), (1.0, False), (0.0, True), (-0.5, True)):
        target = sign * 100.0 - sign * below * quantum
        q = quoter.quote(target + sign * 0.5, 0)
        assert (q.bid if sign > 0 else q.ask) == sign * (100 if inside else 99)
    # an odd multiple plus a half goes up to the even one
    for n in (1, 3, 5):
        target = sign * (100.0 + (2**20 - n - 0.5) * quantum)  # n + 1/2 quanta below tick 101
        q = quoter.quote(target + sign * 0.5, 0)
        assert (q.bid if sign > 0 else q.ask) == sign * 100


def test_rounding_is_passive():
    assert tuple(flat(0.25).quote(100.5, 0)) == (100, 101)
    assert tuple(flat(0.25).quote(-100.5, 0)) == (-101, -100)
    assert tuple(flat(1.0).quote(100.0, 0)) == (99, 101)  # on the grid: stays


def test_prices_up_to_the_range_are_exact_and_beyond_it_absent():
    quoter = flat(1.0)
    for reference in (
        2**43 + 0.5,
        2**42 - 0.5,
        2**42 + 0.5,
        2**41,
        2**51 + 0.5,
        2**52 - 2.0,
        2**33 - 2.0**-19,
    ):
        for sign in (1, -1):
            bid, ask = quoter.quote(sign * reference, 0)
            assert bid == math.floor(Fraction(sign * reference) - 1)
            assert ask == math.ceil(Fraction(sign * reference) + 1)
    q = quoter.quote(2.0**52 - 1, 0)
    assert (q.bid, q.ask, q.why) == (2**52 - 2, None, Why.RANGE)
    for reference in (2.0**53, -(2.0**53), 1.7e308, -1.7e308, 10**400, -(10**400)):
        assert tuple(quoter.quote(reference, 0)) == (None, None)
    assert tuple(quoter.quote(1.7e308, 0, shift=1.7e308)) == (None, None)
    assert quoter.quote(1.7e308, 0, shift=1.7e308).why == Why.RANGE


# -- the touch ---------------------------------------------------------------------------------


def test_a_price_that_would_cross_is_held_back_by_one_tick():
    quoter = Quoter(Affine((-3.0, 1.0)))
    assert tuple(quoter.quote(100.0, 0, bid=99, ask=101)) == (100, 101)
    assert quoter.quote(100.0, 0, bid=99, ask=101).why == Why.TOUCH_BID
    quoter = Quoter(Affine((1.0, -3.0)))
    q = quoter.quote(100.0, 0, bid=99, ask=101)
    assert tuple(q) == (99, 100)
    assert q.why == Why.TOUCH_ASK


def test_joining_or_improving_the_touch_is_allowed():
    q = flat(1.0).quote(100.0, 0, bid=98, ask=102)
    assert (tuple(q), q.why) == ((99, 101), 0)
    assert tuple(flat(1.0).quote(100.0, 0, bid=99, ask=101)) == (99, 101)


def test_a_locked_touch_is_quoted_around():
    q = flat(0.0).quote(100.0, 0, bid=100, ask=100)
    assert tuple(q) == (99, 101)
    assert q.why == Why.TOUCH_BID | Why.TOUCH_ASK


def test_a_crossed_touch_gives_no_quote():
    q = flat().quote(100.0, 0, bid=101, ask=100)
    assert (tuple(q), q.why) == ((None, None), Why.CROSSED)


def test_an_absent_touch_binds_nothing():
    quoter = Quoter(Affine((-3.0, 9.0)))
    assert quoter.quote(100.0, 0).bid == 103
    assert quoter.quote(100.0, 0, bid=99).bid == 103
    assert quoter.quote(100.0, 0, ask=101).bid == 100
    assert quoter.quote(100.0, 0, bid=NO_BID, ask=NO_ASK).bid == 103


@pytest.mark.parametrize(
    ("bid", "ask"), [(2**52, None), (NO_ASK, NO_ASK), (None, -(2**52)), (NO_BID, NO_BID), (10**30, None)]
)
def test_a_touch_out_of_range_gives_no_quote(bid, ask):
    q = flat().quote(100.0, 0, bid=bid, ask=ask)
    assert tuple(q) == (None, None)
    assert Why.RANGE in q.why


# -- limits ------------------------------------------------------------------------------------


def test_limits_see_the_true_inventory_and_the_policy_the_distance_to_the_target():
    quoter = Quoter(Affine(2.0, 1.0, q_max=3), limits=Limits(max_position=5))
    q = quoter.quote(100.0, 5, target=5.0)
    assert (q.bid, q.ask) == (None, 102)  # depths of zero inventory, no room to buy
    assert q.why == Why.LIMIT_BID
    q = quoter.quote(100.0, -2, target=-5.0)
    assert (q.bid, q.ask) == (None, 99)  # the policy is at its own bound
    assert q.why == Why.POLICY_BID


def test_a_limit_counts_the_full_order():
    quoter = Quoter(Affine(1.0, order_size=4), limits=Limits(max_position=6))
    assert quoter.quote(100.0, 2).bid_size == 4
    assert quoter.quote(100.0, 2.5).bid_size == 0
    assert quoter.quote(100.0, 3).why == Why.LIMIT_BID
    assert quoter.quote(100.0, -3).why == Why.LIMIT_ASK
    assert tuple(quoter.quote(100.0, 50)) == (None, 101)
    assert tuple(quoter.quote(100.0, -50)) == (99, None)


def test_a_size_may_shrink_to_what_the_limit_leaves():
    quoter = Quoter(Affine(1.0, order_size=4), limits=Limits(max_position=6, shrink=True))
    assert [quoter.quote(100.0, q).bid_size for q in (2, 3, 4.5, 5, 5.5, 6, 7)] == [4, 3, 1, 1, 0, 0, 0]
    assert quoter.quote(100.0, 3).why == Why.SHRUNK
    assert quoter.quote(100.0, 5.5).why == Why.LIMIT_BID


def test_shrinking_also_reaches_the_policys_bound_at_the_last_full_depth():
    policy = Affine(1.0, 0.5, q_max=6, order_size=2)
    assert Quoter(policy).quote(100.0, 5).bid is None
    quoter = Quoter(policy, limits=Limits(shrink=True))
    q = quoter.quote(100.0, 5)
    assert (q.bid, q.bid_size, q.why) == (97, 1, Why.SHRUNK)  # read at 4: depth 3
    assert quoter.quote(100.0, 6).bid is None
    table = Table([1.0, 2.0, 3.0, 4.0, nan][::1], [nan, 3.0, 2.0, 1.0, 0.0], q_max=4, order_size=2)
    q = Quoter(table, limits=Limits(shrink=True)).quote(100.0, -3)
    assert (q.ask, q.ask_size) == (103, 1)


def test_a_take_counts_against_the_limit_before_the_resting_order():
    table = Table([1.0] * 9, [1.0] * 9, q_max=4, take=2)
    quoter = Quoter(table, limits=Limits(max_position=3))
    assert quoter.quote(100.0, 0).take == 2
    assert quoter.quote(100.0, 0).bid_size == 1
    assert quoter.quote(100.0, 1).take == 2
    assert quoter.quote(100.0, 1).bid_size == 0
    assert quoter.quote(100.0, 2).take == 0
    quoter.limits = Limits(max_position=3, shrink=True)
    q = quoter.quote(100.0, 2)
    assert (q.take, q.bid_size) == (1, 0)
    assert q.why == Why.SHRUNK | Why.LIMIT_BID


# -- obligations, and bid < ask ----------------------------------------------------------------


def test_a_spread_is_tightened_equally_and_an_odd_tick_reduces_the_inventory():
    quoter = flat(5.0, obligations=Obligations(max_spread=6))
    q = quoter.quote(100.0, 0)
    assert (tuple(q), q.why) == ((97, 103), Why.TIGHTENED)
    quoter.obligations = Obligations(max_spread=5)
    assert tuple(quoter.quote(100.0, 1)) == (97, 102)
    assert tuple(quoter.quote(100.0, -1)) == (98, 103)
    assert tuple(quoter.quote(100.0, 0)) == (98, 103)


def test_tightening_stops_at_the_touch_and_the_other_side_takes_the_rest():
    quoter = flat(5.0, obligations=Obligations(max_spread=2))
    assert tuple(quoter.quote(100.0, 0, ask=97)) == (96, 98)
    assert tuple(quoter.quote(100.0, 0, bid=103)) == (102, 104)


def test_an_obligation_that_cannot_be_met_is_flagged():
    q = flat(0.0, obligations=Obligations(max_spread=1)).quote(100.0, 0, bid=100, ask=100)
    assert (tuple(q), bool(q.why & Why.OBLIGATION)) == ((99, 101), True)
    one_sided = flat(1.0, obligations=Obligations(max_spread=9), limits=Limits(max_position=0))
    assert Why.OBLIGATION in one_sided.quote(100.0, 0).why
    halted = flat(1.0, obligations=Obligations(min_size=1))
    halted.halt()
    assert halted.quote(100.0, 0).why == Why.HALTED | Why.OBLIGATION


def test_a_size_is_raised_where_the_limits_allow():
    quoter = flat(1.0, obligations=Obligations(min_size=3), limits=Limits(max_position=4))
    q = quoter.quote(100.0, 0)
    assert (q.bid_size, q.ask_size, q.why) == (3, 3, Why.TIGHTENED)
    q = quoter.quote(100.0, 2)
    assert (q.bid_size, q.ask_size, q.why) == (1, 3, Why.TIGHTENED | Why.OBLIGATION)


def test_a_quote_that_would_cross_itself_is_stepped_apart():
    quoter = Quoter(Affine(-2.0, 0.0))  # bid target 102, ask target 98
    q = quoter.quote(100.0, 0)
    assert (tuple(q), q.why) == ((99, 100), Why.APART)
    assert tuple(quoter.quote(100.0, 1)) == (99, 100)
    assert tuple(quoter.quote(100.0, -1)) == (100, 101)
    assert tuple(flat(0.0).quote(100.0, 3)) == (99, 100)  # they meet: the bid of a long steps back
    assert tuple(flat(0.0).quote(100.0, -3)) == (100, 101)


# -- signal, volatility, halt, inputs that are no numbers --------------------------------------


def test_shift_moves_both_prices_and_volatility_scales_the_depths_only():
    quoter = flat(2.0)
    assert tuple(quoter.quote(100.0, 0, shift=3.0)) == (101, 105)
    quoter.volatility_scale = 2.0
    assert tuple(quoter.quote(100.0, 0, shift=3.0)) == (99, 107)
    quoter.volatility_scale = 0.5
    assert tuple(quoter.quote(100.0, 0)) == (99, 101)
    for value in (-1.0, nan, inf, "2"):
        with pytest.raises(InvalidArgument, match="volatility_scale"):
            quoter.volatility_scale = value
    assert quoter.volatility_scale == 0.5


@pytest.mark.parametrize("value", [nan, inf, -inf])
@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("reference", Why.REFERENCE),
        ("inventory", Why.INVENTORY),
        ("shift", Why.SHIFT),
        ("target", Why.INVENTORY),
    ],
)
def test_an_argument_that_is_no_number_gives_no_quote_and_no_exception(argument, reason, value):
    q = flat().quote(**({"reference": 100.0, "inventory": 0} | {argument: value}))
    assert (tuple(q), q.why) == ((None, None), reason)


@pytest.mark.parametrize("state", [None, -1, 1, 2**70])
def test_a_state_that_the_policy_does_not_have_is_quoted_nothing(state):
    quoter = flat()
    q = quoter.quote(100.0, 0, state=state)
    assert (tuple(q), q.why) == ((None, None), Why.STATE)
    assert quoter.quote_batch([100.0], 0, state=state)["why"].tolist() == [int(Why.STATE)]
    assert quoter.policy.depths(0, state=state) == (None, None)


def test_several_reasons_are_all_told():
    quoter = flat()
    quoter.halt("maintenance")
    q = quoter.quote(nan, inf, bid=5, ask=4, shift=nan, time_left=-1.0, state=3)
    assert q.why == (
        Why.HALTED | Why.REFERENCE | Why.INVENTORY | Why.CROSSED | Why.SHIFT | Why.PAST_HORIZON | Why.STATE
    )


def test_halting_and_resuming():
    quoter = flat()
    before = quoter.quote(100.0, 0)
    quoter.halt("news at 14:30")
    q = quoter.quote(100.0, 0)
    assert (tuple(q), q.why, quoter.halted) == ((None, None), Why.HALTED, "news at 14:30")
    assert quoter.explain(100.0, 0).reasons == ("quoting is halted: news at 14:30",)
    quoter.resume()
    assert quoter.quote(100.0, 0) == before
    for reason in ("", None, 3):
        with pytest.raises(InvalidArgument, match="reason"):
            quoter.halt(reason)
    assert quoter.halted is None


# -- known mistakes of public code -------------------------------------------------------------

MODELS = [
    GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=20),
    AvellanedaStoikov(sigma=0.3, k=0.3, gamma=0.01, horizon=600.0),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_long_quotes_lower_and_a_short_higher(model):
    """The skew with the wrong sign, as published more than once, adds to the inventory."""
    quoter = Quoter(model)
    long, none, short = (quoter.quote(1000.0, q, time_left=300.0) for q in (15, 0, -15))
    if isinstance(model, GueantLehalleFernandezTapia):
        assert quoter.quote(1000.0, 15) == long  # no horizon: any time left reads the same
    assert long.bid < none.bid < short.bid
    assert long.ask < none.ask < short.ask


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_no_inventory_makes_a_model_cross_itself(model):
    quoter = Quoter(model)
    for inventory in range(-60, 61):
        for reference in (1000.0, 1000.5, 1000.9999):
            q = quoter.quote(reference, inventory, time_left=600.0)
            assert q.bid is None or q.ask is None or q.bid < q.ask


# -- units (design, section 4) -----------------------------------------------------------------


@pytest.mark.parametrize("make", ["exact", "finite", "affine"])
def test_the_same_position_in_coin_quotes_the_same_price_in_any_units(make):
    """Lots of 1, 0.001 and 1e-8 coin, ticks of 0.1 and 0.01: gamma is the only conversion."""
    sigma, A, k, gamma = 0.75, 1.5, 4.0, 2e-3
    position, order, bound = 30, 10, 100
    prices = []
    for lot in ("1", "0.001", "0.00000001"):
        for tick in ("0.1", "0.01"):
            btc = Instrument("BTCUSDT", tick=tick, lot=lot, currency=Currency("USDT"))
            step = float(tick)
            units = {
                "sigma": sigma / step, "k": k * step, "gamma": btc.gamma(per_currency=gamma),
                "order_size": btc.lots(order), "q_max": btc.lots(bound),
            }  # fmt: skip
            if make == "affine":
                slope = units["gamma"] * units["sigma"] ** 2 * 60.0
                c = math.log1p(units["gamma"] * units["order_size"] / units["k"])
                c /= units["gamma"] * units["order_size"]
                policy = Affine(
                    c + slope * units["order_size"] / 2,
                    slope,
                    q_max=units["q_max"],
                    order_size=units["order_size"],
                )
            elif make == "exact":
                policy = GueantLehalleFernandezTapia(A=A, **units).policy()
            else:
                policy = GueantLehalleFernandezTapia(A=A, horizon=60.0, **units).policy(tol=1e-6)
            time_left = 60.0 if make == "finite" else inf
            depths = policy.depths(btc.lots(position), time_left)
            explained = Quoter(policy, btc).explain(1234.5 / step, btc.lots(position), time_left=time_left)
            target = [math.fsum(list(side.values())[:4]) * step for side in (explained.bid, explained.ask)]
            assert target == pytest.approx(
                [1234.5 - depths[0] * step, 1234.5 + depths[1] * step], abs=2**-20 * step
            )
            prices.append([d * step for d in depths])
    # log1p and the solvers see arguments that differ in the last bits
    assert prices == [pytest.approx(prices[0], rel=1e-9)] * 6


# -- arguments ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number",
    [
        100,
        np.float64(100),
        np.float32(100),
        np.int64(100),
        Decimal(100),
        Fraction(100),
        np.array(100.0),
        True * 100,
    ],
)
def test_numbers_of_any_kind_are_taken(number):
    assert tuple(flat().quote(number, number, shift=number)) == (199, 201)


@pytest.mark.parametrize("integer", [100, np.int64(100), np.int32(100), np.uint8(100)])
def test_integers_of_any_kind_are_taken_for_the_touch(integer):
    assert tuple(flat(0.0).quote(100.5, 0, bid=integer, ask=integer)) == (99, 101)


@pytest.mark.parametrize("name", ["reference", "inventory", "shift", "target", "time_left"])
@pytest.mark.parametrize("value", ["100", None, b"1", [1.0], 1j, object()])
def test_a_wrong_type_raises_and_is_named(name, value):
    arguments = {"reference": 100.0, "inventory": 0} | {name: value}
    quoter = flat()
    for call in (quoter.quote, quoter.explain, lambda **kw: quoter.quote_into(QuoteBuffer(), **kw)):
        with pytest.raises(TypeError, match=f"^{name} must be a number"):
            call(**arguments)


@pytest.mark.parametrize("name", ["bid", "ask", "state"])
@pytest.mark.parametrize("value", ["100", 100.0, nan, Decimal(100), [1]])
def test_a_touch_that_is_no_integer_raises_and_is_named(name, value):
    with pytest.raises(TypeError, match=f"^{name} must be an integer"):
        flat().quote(100.0, 0, **{name: value})


def test_positions_of_the_arguments():
    quoter = Quoter(Table(np.ones((2, 1, 3)), np.ones((2, 1, 3)), q_max=1))
    by_name = quoter.quote(
        reference=100.5, inventory=1, bid=100, ask=101, shift=2.0, target=1.0, time_left=5.0, state=1
    )
    assert quoter.quote(100.5, 1, 100, 101, 2.0, 1.0, 5.0, 1) == by_name
    with pytest.raises(TypeError):
        quoter.quote(100.5)
    with pytest.raises(TypeError):
        quoter.quote(100.5, 1, price=3)


def test_a_model_is_compiled_and_anything_else_refused():
    class Model:
        def policy(self):
            return Affine(1.5)

    assert Quoter(Model()).policy == Affine(1.5)
    for wrong in (None, 3, "policy", object()):
        with pytest.raises(TypeError, match="policy"):
            Quoter(wrong)

    class Wrong:
        def policy(self):
            return 3

    with pytest.raises(TypeError, match="Affine or a Table"):
        Quoter(Wrong())
    for argument in ("limits", "obligations"):
        with pytest.raises(TypeError, match=argument):
            Quoter(Affine(1.0), **{argument: 5})


@pytest.mark.parametrize("value", [-1, nan, -inf, "5", True])
def test_limits_refuse_and_name(value):
    with pytest.raises(InvalidArgument, match="max_position"):
        Limits(max_position=value)


def test_limits_and_obligations_are_values():
    assert Limits(5) == Limits(max_position=5.0) != Limits(5, shrink=True)
    assert Limits(inf).max_position is None
    assert Obligations(3) == Obligations(max_spread=3) != Obligations(min_size=3)
    assert len({Limits(5), Limits(5), Limits()}) == 2
    for thing in (Limits(5, True), Limits(), Obligations(3, 4), Obligations()):
        assert pickle.loads(pickle.dumps(thing)) == copy.copy(thing) == thing
        assert eval(repr(thing)) == thing
        for name in ("max_position", "shrink", "max_spread"):
            with pytest.raises(AttributeError):
                setattr(thing, name, 1)
    with pytest.raises(InvalidArgument, match="shrink"):
        Limits(5, shrink=1)
    for name in ("max_spread", "min_size"):
        for value in (0, -1, 1.5, "3", True, 2**53):
            with pytest.raises(InvalidArgument, match=name):
                Obligations(**{name: value})


# -- Quote -------------------------------------------------------------------------------------


def test_a_quote_is_a_value():
    quoter = flat()
    q = quoter.quote(100.0, 0)
    assert (q.bid, q.ask, q.bid_size, q.ask_size, q.take, q.why, q.version) == (99, 101, 1, 1, 0, 0, 1)
    assert q == quoter.quote(100.0, 0)
    assert hash(q) == hash(quoter.quote(100.0, 0))
    assert q != quoter.quote(101.0, 0)
    assert q != (99, 101)
    assert pickle.loads(pickle.dumps(q)) == copy.copy(q) == q
    assert len(q) == 2
    assert repr(q) == "Quote(bid=99, ask=101, bid_size=1, ask_size=1)"
    for name in ("bid", "ask", "bid_size", "why", "other"):
        with pytest.raises(AttributeError):
            setattr(q, name, 1)
    with pytest.raises(TypeError, match=r"Quoter\.quote"):
        Quote()
    assert Quoter(Affine(1.0, version=2**64 - 1)).quote(100.0, 0).version == 2**64 - 1


@pytest.mark.parametrize(
    "state", [None, (), (1,) * 6, (1,) * 8, (None,) * 7, (2**70,) * 7, (1.5,) * 7, 5, "seven..", b"seven.."]
)
def test_a_pickle_of_another_form_is_no_quote(state):
    class Forged:
        def __reduce__(self):
            return flat().quote(100.0, 0).__reduce__()[0], (state,)

    if state == b"seven..":  # bytes are seven integers, too
        assert pickle.loads(pickle.dumps(Forged())).version == ord(".")
        return
    with pytest.raises(CorruptError, match="a pickled quote holds seven integers, got"):
        pickle.loads(pickle.dumps(Forged()))


@pytest.mark.parametrize(
    "use",
    [
        repr,
        pickle.dumps,
        copy.copy,
        lambda quoter: quoter.policy,
        lambda quoter: quoter.explain(100.0, 0),
        lambda quoter: quoter.quote_batch([100.0], 0),
    ],
)
def test_a_quoter_made_without_its_constructor_says_so(use):
    quoter = Quoter.__new__(Quoter)
    assert quoter.quote(100.0, 0).bid is None
    with pytest.raises(TypeError, match="made without its constructor"):
        use(quoter)


def test_a_quoter_made_without_its_constructor_has_no_quotes():
    quoter, buffer = Quoter.__new__(Quoter), QuoteBuffer()
    for given in ({}, {"time_left": 0.0}, {"state": -1}, {"bid": 99, "ask": 101, "age": 3.0}):
        quoter.quote_into(buffer, 100.0, 0, **given)
        assert tuple(buffer) == tuple(quoter.quote(100.0, 0, **given)) == (None, None)
    for use in (
        lambda: quoter.price_batch([100.0], 0),
        lambda: quoter.set(sigma=1.0),
        lambda: quoter._repr_html_() if hasattr(quoter, "_repr_html_") else repr(quoter),
    ):
        with pytest.raises((TypeError, Unsupported)):
            use()
    quoter.halt()
    quoter.resume()
    quoter.limits = Limits(3)
    assert (quoter.version, quoter.model, quoter.limits) == (0, None, Limits(3))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_explanation_comes_back_from_every_pickle(protocol):
    btc = Instrument("BTC", tick="0.1", lot="1", currency=Currency("USD"))
    quoter = Quoter(Affine(base=1.5, slope=0.25), btc, limits=Limits(3, shrink=True))
    told = quoter.explain(100.25, 3, bid=100, ask=101, shift=0.5)
    for thing in (told, told.quote, quoter.policy, quoter.limits, Why.CROSSED):
        again = pickle.loads(pickle.dumps(thing, protocol))
        assert repr(again) == repr(thing)
        assert type(again) is type(thing)
    again = pickle.loads(pickle.dumps(told, protocol))
    assert (again.quote, again.bid, again.ask, again.reasons) == (
        told.quote,
        told.bid,
        told.ask,
        told.reasons,
    )
    assert repr(copy.deepcopy(told)) == repr(told)


@pytest.mark.parametrize(
    ("arguments", "argument", "words"),
    [
        ({"widen_after": 0.3, "widen": 0}, "widen", "widen must be a finite number > 0.* got 0"),
        ({"widen_after": 0.3}, "widen", "where widen_after is given, got 0.0"),
        (
            {"widen": 0.3},
            "widen_after",
            "widen_after must be given, in seconds > 0, where widen is, got None",
        ),
        ({"widen_after": 0, "widen": 0.3}, "widen_after", "widen_after must be a finite number > 0"),
        ({"widen_after": 1, "widen": -1}, "widen", "widen must be a finite number >= 0"),
    ],
)
def test_the_age_of_a_feed_names_the_argument_at_fault(arguments, argument, words):
    with pytest.raises(InvalidArgument, match=words) as refused:
        FeedAge(**arguments)
    assert refused.value.argument == argument


def test_a_size_is_raised_to_the_obligation_whole_or_not_at_all():
    """Part of the way would be more risk, and the promise no less broken."""
    for room in range(1, 12):
        quoter = flat(limits=Limits(room), obligations=Obligations(min_size=10))
        q = quoter.quote(100.0, 0)
        met = room >= 10
        assert (q.bid_size, q.ask_size) == ((10, 10) if met else (1, 1))
        assert (Why.OBLIGATION in q.why, Why.TIGHTENED in q.why) == (not met, met)
    absent = flat(limits=Limits(10), obligations=Obligations(min_size=10)).quote(100.0, 10)
    assert (absent.bid, absent.bid_size, absent.ask_size) == (None, 0, 10)  # it stays absent


def test_a_spread_is_tightened_as_far_as_the_touch_allows():
    quoter = flat(5.0, obligations=Obligations(max_spread=4))
    assert tuple(quoter.quote(100.0, 0, bid=90, ask=110)) == (98, 102)
    q = quoter.quote(100.0, 0, bid=104, ask=97)
    assert q.why & Why.CROSSED
    q = quoter.quote(100.0, 0, bid=101, ask=102)  # the ask could go to 102, the bid to 101
    assert (q.ask - q.bid, Why.OBLIGATION in q.why) == (4, False)


def test_what_is_left_of_an_order_is_priced_as_the_last_whole_one():
    """With `shrink`, nearer to the bound than one order: at +-(q_max - order_size), on both shapes."""
    sloped = Affine(base=(10.0, 12.0), slope=(0.5, 0.25), q_max=9, order_size=3)
    cells = [20.0, 17.0, 14.0, 11.0, 8.0, 5.0, nan]
    table = Table(cells, cells[::-1], q_max=9, order_size=3)
    for policy in (sloped, table):
        quoter = Quoter(policy, limits=Limits(shrink=True))
        whole = quoter.quote(1000.0, 6), quoter.quote(1000.0, -6)
        assert (whole[0].bid_size, whole[1].ask_size) == (3, 3)
        for left in (1, 2):
            q = quoter.quote(1000.0, 9 - left)
            assert (q.bid, q.bid_size) == (whole[0].bid, left)
            q = quoter.quote(1000.0, left - 9)
            assert (q.ask, q.ask_size) == (whole[1].ask, left)
        assert quoter.quote(1000.0, 9).bid is None


NUMBERS = [
    Decimal("100.5"), Fraction(201, 2), np.float32(100.5), np.longdouble(100.5), np.array(100.5),
    np.ma.array(100.5),
]  # fmt: skip
INTEGERS = [100, np.int16(100), np.uint64(2**64 - 1), True, np.True_, 10**400, -(10**400)]
NEITHER = [
    1j, np.complex64(100 + 1j), np.complex128(100 + 1j), np.ma.masked, "100", b"100", np.str_("100"),
    np.timedelta64(5, "s"), object(),
]  # fmt: skip
FLOATS, WHOLE = ("reference", "inventory", "shift", "age"), ("bid", "state")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in FLOATS for value in NUMBERS + INTEGERS]
    + [(name, value) for name in WHOLE for value in INTEGERS]
    + [("bid", None), ("state", None)],
)
def test_a_batch_takes_what_a_single_quote_takes(name, value):
    quoter, given = flat(), {"reference": 100.0, "inventory": 0}
    want = quoter.quote(**given | {name: value})
    for array in (value, [value], np.array([value, value], dtype=object)):
        for row in np.atleast_1d(quoter.quote_batch(**given | {name: array})):
            assert row["why"] == want.why
            assert row["bid"] == (NO_BID if want.bid is None else want.bid)
            assert row["ask"] == (NO_ASK if want.ask is None else want.ask)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name in FLOATS for value in [*NEITHER, None]]
    + [(name, value) for name in WHOLE for value in NUMBERS + NEITHER],
)
def test_a_batch_refuses_what_a_single_quote_refuses(name, value):
    quoter, given = flat(), {"reference": 100.0, "inventory": 0}
    with pytest.raises(TypeError, match=f"^{name} must be"):
        quoter.quote(**given | {name: value})
    for array in (value, np.array([value], dtype=object)):
        with pytest.raises(TypeError, match=f"^{name} must be"):
            quoter.quote_batch(**given | {name: array})


def test_masked_elements_are_refused_not_read():
    """What stands behind a mask is no market data."""
    quoter = flat()
    for dtype, name in ((float, "reference"), (np.int64, "bid"), (np.int64, "state")):
        masked = np.ma.array([100, 101], mask=[False, True], dtype=dtype)
        given = {"reference": 100.0, "inventory": 0}
        for batch in (quoter.quote_batch, quoter.price_batch):
            with pytest.raises(TypeError, match=f"{name} must be .*none of them masked"):
                batch(**given | {name: masked})
        masked.mask = False
        with_none = quoter.quote_batch(**given | {name: masked})
        assert (with_none == quoter.quote_batch(**given | {name: masked.data})).all()


def test_none_among_objects_is_an_absent_touch():
    quoter = flat()
    got = quoter.quote_batch(100.0, 0, bid=[100, None], ask=[None, 101])
    want = [quoter.quote(100.0, 0, bid=100), quoter.quote(100.0, 0, ask=101)]
    assert [(row["bid"], row["ask"]) for row in got] == [tuple(q) for q in want]
    with pytest.raises(TypeError, match="reference must be a number, got None"):
        quoter.quote_batch([100.0, None], 0)
    with pytest.raises(TypeError, match=r"bid must be an integer, got 1\.5"):
        quoter.quote_batch(100.0, 0, bid=[None, 1.5])
    with pytest.raises(TypeError, match="reference must be numbers"):
        quoter.quote_batch([[1.0], [1.0, 2.0]], 0)


def test_quotes_keep_their_content_while_others_are_made():
    quoter = flat()
    kept = [quoter.quote(float(i), 0) for i in range(1000)]
    assert [q.bid for q in kept] == [i - 1 for i in range(1000)]


def test_an_absent_side_shows():
    q = Quoter(Affine(1.0, q_max=1)).quote(100.0, 1)
    assert repr(q) == "Quote(bid=None, ask=101, bid_size=0, ask_size=1, why=POLICY_BID)"
    assert "absent" in q._repr_html_()
    assert q.why.words == ("the policy quotes no bid at this inventory",)
    assert "take=-2" in repr(Quoter(Table([1.0] * 3, [1.0] * 3, q_max=1, take=-2)).quote(100.0, 0))


def test_every_reason_has_words():
    assert {len(bit.words) for bit in Why} == {1}
    everything = Why(sum(Why))
    assert len(everything.words) == len(set(everything.words)) == len(Why)
    assert set(reasons(everything, "bid")) & set(reasons(everything, "ask")) < set(everything.words)
    assert reasons(0) == ()
    with pytest.raises(InvalidArgument, match="side"):
        reasons(1, "both")


def test_a_buffer_is_overwritten_in_place():
    quoter, buffer = flat(), QuoteBuffer()
    assert tuple(buffer) == (None, None)
    assert quoter.quote_into(buffer, 100.0, 0) is None
    kept = buffer.quote()
    quoter.quote_into(buffer, nan, 0)
    assert (tuple(buffer), buffer.why) == ((None, None), Why.REFERENCE)
    assert tuple(kept) == (99, 101)
    assert repr(buffer) == "QuoteBuffer(bid=None, ask=None, bid_size=0, ask_size=0, why=REFERENCE)"
    with pytest.raises(TypeError):
        quoter.quote_into(None, 100.0, 0)


# -- batch -------------------------------------------------------------------------------------


def test_arrays_broadcast():
    quoter = Quoter(Affine(1.0, 0.25))
    assert quoter.quote_batch(100.0, 0).shape == ()
    assert quoter.quote_batch(np.zeros(0), 0).shape == (0,)
    assert quoter.quote_batch(np.zeros((0, 3)), np.zeros(3)).shape == (0, 3)
    grid = quoter.quote_batch(np.array([[100.0], [200.0]]), np.arange(3), bid=[[90], [190]])
    assert grid.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            single = quoter.quote(100.0 * (i + 1), j, bid=90 + 100 * i)
            assert (grid[i, j]["bid"], grid[i, j]["ask"]) == tuple(single)
    with pytest.raises(InvalidArgument, match="broadcast"):
        quoter.quote_batch(np.zeros(2), np.zeros(3))


def test_arrays_of_any_layout_are_read_right():
    quoter = Quoter(Affine(1.0, 0.25))
    reference = np.random.default_rng(1).uniform(90, 110, 24)
    inventory = np.arange(24) % 7 - 3
    plain = quoter.quote_batch(reference, inventory, ask=inventory + 103)
    packed = np.zeros(24, dtype=[("flag", "i1"), ("r", "f8"), ("a", ">i8")])  # unaligned, foreign order
    packed["r"], packed["a"] = reference, inventory + 103
    readonly = reference.copy()
    readonly.flags.writeable = False
    for r, q, a in (
        (reference[::-1].copy()[::-1], inventory.astype(np.int8), inventory + 103),
        (reference.astype(">f8"), inventory.astype(float), (inventory + 103).astype(">i4")),
        (packed["r"], list(inventory), packed["a"]),
        (readonly, inventory.astype(np.float32), (inventory + 103).astype(np.uint64)),
        (np.repeat(reference, 2)[::2], inventory, list(inventory + 103)),
        (reference.reshape(4, 6), inventory.reshape(4, 6), (inventory + 103).reshape(4, 6)),
        (reference.reshape(6, 4).T.copy().T, inventory.reshape(6, 4), (inventory + 103).reshape(6, 4)),
    ):
        assert quoter.quote_batch(r, q, ask=a).tobytes() == plain.tobytes()


def test_a_batch_writes_where_it_is_told():
    quoter = flat()
    out = np.zeros(3, QUOTE)
    assert quoter.quote_batch([1.0, 2.0, nan], 0, out=out) is out
    assert out["bid"].tolist() == [0, 1, NO_BID]
    assert out["ask"].tolist() == [2, 3, NO_ASK]
    assert out["why"].tolist() == [0, 0, Why.REFERENCE]
    readonly = np.zeros(3, QUOTE)
    readonly.flags.writeable = False
    for wrong in (np.zeros(2, QUOTE), np.zeros(6, QUOTE)[::2], np.zeros((3, 1), QUOTE), readonly):
        with pytest.raises(InvalidArgument, match="out"):
            quoter.quote_batch([1.0, 2.0, nan], 0, out=wrong)
    for wrong in (np.zeros(3), [0] * 3, "out"):
        with pytest.raises(TypeError, match="out"):
            quoter.quote_batch([1.0, 2.0, nan], 0, out=wrong)


def test_a_batch_refuses_wrong_types_and_names_them():
    quoter = flat()
    for name, value in (
        ("reference", ["a"]),
        ("inventory", np.array([None])),
        ("shift", "x"),
        ("target", [1j]),
    ):
        with pytest.raises(TypeError, match=f"^{name} must be"):
            quoter.quote_batch(**({"reference": 1.0, "inventory": 0} | {name: value}))
    for name in ("bid", "ask", "state"):
        with pytest.raises(TypeError, match=f"^{name} must be integers"):
            quoter.quote_batch(1.0, 0, **{name: np.array([1.0])})
    huge = quoter.quote_batch(1.0, 0, bid=np.array([2**64 - 1], dtype=np.uint64))
    assert huge["why"] == Why.RANGE


def test_the_record_has_the_layout_of_the_struct():
    assert QUOTE.itemsize == 56
    assert [QUOTE.fields[name][1] for name in QUOTE.names] == [0, 8, 16, 24, 32, 40, 48]


# -- explain -----------------------------------------------------------------------------------


def test_each_stage_is_told_apart():
    quoter = flat(2.0)
    quoter.volatility_scale = 1.5
    e = quoter.explain(100.25, 0, bid=104, shift=0.5)
    assert e.quote == quoter.quote(100.25, 0, bid=104, shift=0.5)
    assert tuple(e.bid) == tuple(e.ask) == STAGES
    assert list(e.bid.values()) == [100.25, -2.0, 0.5, -1.0, 0.0, -0.75, 0.0, 0.0, 0.0]
    assert list(e.ask.values()) == [100.25, 2.0, 0.5, 1.0, 0.0, 0.25, 1.0, 0.0, 0.0]
    assert math.fsum(e.bid.values()) == e.quote.bid == 97
    assert math.fsum(e.ask.values()) == e.quote.ask == 105
    assert e.reasons == ("the ask was raised so as not to meet the market's bid",)


def test_the_last_stages_are_told_apart():
    e = flat(5.0, obligations=Obligations(max_spread=6)).explain(100.0, 0)
    assert (e.bid["obligation"], e.ask["obligation"]) == (2.0, -2.0)
    e = Quoter(Affine(-1.0)).explain(100.0, 0)
    assert (e.bid["bid < ask"], e.ask["bid < ask"]) == (-2.0, 1.0)


def test_an_explanation_is_exact_at_any_price():
    for reference in (100.1, 2**31 + 0.1, 2**33 + 0.3, 2**45 + 0.7, 2**51 + 0.5, -(2**51) - 0.5):
        e = Quoter(Affine(1 / 3, 0.1)).explain(reference, 7, shift=-0.7)
        for price, terms in ((e.quote.bid, e.bid), (e.quote.ask, e.ask)):
            assert sum(map(Fraction, terms.values())) == price
            assert math.fsum(terms.values()) == price


def test_the_table_says_what_its_numbers_are_and_leaves_out_what_changes_nothing():
    e = Quoter(Affine(base=1.5, slope=0.25)).explain(100.5, 3)
    bid_depth, ask_depth = Affine(base=1.5, slope=0.25).depths(3)
    assert (e.bid["depth"], e.ask["depth"]) == (-bid_depth, ask_depth)
    assert e.bid["volatility"] == e.ask["volatility"] == 0.0
    assert [row[0] for row in e.rows()][:3] == ["reference", "depth", "rounding"]
    for shown in (repr(e), e._repr_html_()):
        assert "contribution to the price, ticks" in shown
        assert "volatility" not in shown


def test_a_depth_beyond_all_prices_is_still_explained_exactly():
    for slope in (2.0, 1e290):
        quoter = Quoter(Affine(0.0, slope))
        quoter.volatility_scale = 0.0
        e = quoter.explain(95.0, 2.0**52)
        assert (e.quote.bid, e.quote.ask) == (94, 95)
        for price, terms in ((e.quote.bid, e.bid), (e.quote.ask, e.ask)):
            assert sum(map(Fraction, terms.values())) == price


def test_a_side_that_is_absent_is_explained_as_far_as_it_came():
    e = Quoter(Affine(1.0, q_max=5), limits=Limits(max_position=2)).explain(100.0, 2)
    assert tuple(e.bid) == STAGES[:5]
    assert e.quote.bid is None
    e = Quoter(Affine(1.0, q_max=5)).explain(100.0, 5)
    assert e.bid == {}
    assert tuple(e.ask) == STAGES
    e = flat().explain(nan, 0)
    assert e.bid == e.ask == {}
    assert "the reference price is not finite" in repr(e)


def test_an_explanation_shows_prices_in_currency():
    btc = Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=Currency("USDT"))
    e = Quoter(Affine(1.5), btc).explain(617000.5, 0)
    text, html = repr(e), e._repr_html_()
    assert "61699.9" in text
    assert "61700.2" in text
    assert "617000.500000" in text
    assert html.startswith("<table>")
    assert "bid &lt; ask" in Quoter(Affine(-1.0)).explain(100.0, 0)._repr_html_()
    assert "61699.9" in html
    shown = repr(Quoter(Table([1.0] * 3, [1.0] * 3, q_max=1, take=-2)).explain(100.0, 0))
    assert "take -2 lots now" in shown


def test_a_quoter_travels_and_describes_itself():
    quoter = flat(1.0, limits=Limits(5), obligations=Obligations(max_spread=9))
    quoter.volatility_scale = 1.25
    quoter.halt("test")
    again = pickle.loads(pickle.dumps(quoter))
    assert repr(again) == repr(quoter)
    assert (again.halted, again.volatility_scale, again.limits) == ("test", 1.25, Limits(5))
    assert again.quote(100.0, 0) == quoter.quote(100.0, 0)
    assert "limits=Limits(max_position=5" in repr(quoter)
    assert quoter.version == 1


def test_an_instrument_of_a_wrong_type_is_named():
    with pytest.raises(InvalidArgument, match="instrument must be an Instrument, or None, got 'BTC'"):
        mmcore.Quoter(mmcore.Affine(base=1.0), "BTC")


def test_a_parameter_that_does_not_exist_is_named_with_the_one_meant():
    quoter = mmcore.Quoter(mmcore.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=10))
    with pytest.raises(InvalidArgument, match=r"sgma is not a parameter of .*; did you mean sigma?"):
        quoter.set(sgma=1)
    with pytest.raises(InvalidArgument, match=r"zzz is not a parameter of .*; it has sigma, A, k"):
        quoter.set(zzz=1)
    assert quoter.version == 1
