"""Numbers that are none, or too large: rows 1 and 8 of the faults, at every door that takes them."""

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import Error, InvalidArgument, OutOfBounds

pytestmark = pytest.mark.compiled

NOT_FINITE = [np.nan, np.inf, -np.inf]
INSTRUMENT = mm.Instrument("X", tick="0.01", lot="0.001")
POLICY = mm.AvellanedaStoikov(sigma=2.0, k=0.3, gamma=0.1, horizon=60.0).policy()


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("door", ["ticks", "lots", "price", "quantity", "fill", "mark"])
def test_row_1_a_price_or_size_that_is_no_number(door, value):
    book = mm.Book([INSTRUMENT])
    before = book.snapshot()
    doors = {
        "ticks": lambda: INSTRUMENT.ticks(value),
        "lots": lambda: INSTRUMENT.lots(value),
        "price": lambda: INSTRUMENT.price(value),
        "quantity": lambda: INSTRUMENT.quantity(value),
        "fill": lambda: book.fill("X", value, 100),
        "mark": lambda: book.mark("X", value),
    }
    with pytest.raises(InvalidArgument) as refused:
        doors[door]()
    assert refused.value.argument in str(refused.value)
    assert refused.value.allowed in str(refused.value)
    assert book.snapshot() == before


ROWS = [
    (argument, value)
    for argument in ("reference", "inventory", "shift", "target", "time_left", "age")
    for value in NOT_FINITE
    # for ever; never heard of; not yet due
    if (argument, value) not in (("time_left", np.inf), ("age", np.inf), ("age", -np.inf))
]


@pytest.mark.parametrize(("argument", "value"), ROWS)
def test_row_1_one_row_of_many_is_not_quoted_and_says_why(argument, value):
    """What a market or a signal says is no argument to refuse: that row has no quote and a reason."""
    quoter = mm.Quoter(POLICY, feed_age=mm.FeedAge(halt_after=5.0))
    good = {"reference": 100.0, "inventory": 0.0, "shift": 0.0, "target": 0.0, "time_left": 9.0, "age": 0.0}
    given = {name: np.full(9, number) for name, number in good.items()}
    plain = quoter.quote_batch(**given)
    given[argument][4] = value
    quotes = quoter.quote_batch(**given)
    assert np.delete(quotes, 4).tolist() == np.delete(plain, 4).tolist()
    scalar = quoter.quote(**{**good, argument: value})
    assert (scalar.bid, scalar.ask, scalar.bid_size, scalar.ask_size) == (None, None, 0, 0)
    assert scalar.why
    assert quotes["why"][4] == scalar.why
    assert (quotes["bid_size"][4], quotes["ask_size"][4]) == (0, 0)


NUMBERS = [
    (door, value)
    for door in ("rewards", "transitions", "covariance", "returns")
    for value in NOT_FINITE
    if (door, value) != ("rewards", -np.inf)  # says that an action is not feasible
]


@pytest.mark.parametrize(("door", "value"), NUMBERS)
def test_row_1_one_number_of_an_array_is_named(door, value):
    """In what is computed from, one that is no number is refused with its place."""
    given = {
        "rewards": np.ones((3, 2)),
        "transitions": np.full((3, 2, 3), 1 / 3),
        "covariance": np.eye(3),
        "returns": np.zeros(3),
    }
    given[door][(1,) * given[door].ndim] = value
    doors = {
        "rewards": lambda: mm.dp.MDP(given["rewards"], given["transitions"], 0.9),
        "covariance": lambda: mm.portfolio.mean_variance(given["covariance"], given["returns"]),
    }
    doors |= {"transitions": doors["rewards"], "returns": doors["covariance"]}
    with pytest.raises(InvalidArgument) as refused:
        doors[door]()
    assert refused.value.argument.endswith(door)
    place = "[1, 1]" if door == "covariance" else "[1]" if door == "returns" else " of state 1, action 1 "
    assert f"{door}{place}" in str(refused.value)


LARGEST = 2**63 - 1


@pytest.mark.parametrize("price", [1, 2**32, LARGEST - 1, LARGEST])
@pytest.mark.parametrize("qty", [1, -1, 2**32, -(2**32), LARGEST, -LARGEST, LARGEST - 1, -(2**63)])
@pytest.mark.parametrize("cost", ["average", "fifo", "lifo"])
def test_row_8_products_are_exact_or_refused(qty, price, cost):
    book = mm.Book([INSTRUMENT], cost=cost)
    before = book.snapshot()
    if qty == -(2**63) or abs(qty * price) >= 2**96:
        with pytest.raises(OutOfBounds):
            book.fill("X", qty, price)
        assert book.snapshot() == before
        return
    book.fill("X", qty, price)
    assert book["X"].cash == -qty * price
    before = book.snapshot()
    if abs(qty) == LARGEST:
        with pytest.raises(OutOfBounds):  # position + fill
            book.fill("X", 1 if qty > 0 else -1, 1)
        assert book.snapshot() == before
    book.fill("X", -qty, price)
    assert (book["X"].net, book["X"].cash, book["X"].cost) == (0, 0, 0)


def test_row_8_a_sum_of_cash_stops_at_its_bound():
    """2^95 twice is 2^96, which is beyond; what was booked before stays."""
    book = mm.Book([INSTRUMENT])
    book.fill("X", 2**40, 2**55)
    before = book.snapshot()
    with pytest.raises(OutOfBounds):
        book.fill("X", 2**40, 2**55)
    assert book.snapshot() == before
    book.fill("X", -(2**40), 2**55)
    assert book["X"].cash == 0


@pytest.mark.parametrize("value", ["92233720368547758.08", "1e30", 2**70, -(2**63)])
def test_row_8_numbers_beyond_int64_ticks(value):
    with pytest.raises(Error) as refused:
        INSTRUMENT.ticks(value)
    assert isinstance(refused.value, InvalidArgument | OutOfBounds)


@pytest.mark.parametrize(
    ("price", "below", "above"), [("223.825", 22382, 22383), (223.8250001, 22382, 22383)]
)
def test_row_7_an_own_fill_off_the_tick_is_refused_unless_a_rounding_is_named(price, below, above):
    with pytest.raises(InvalidArgument, match=r"price must be a multiple of the tick 0\.01"):
        INSTRUMENT.ticks(price)
    assert [INSTRUMENT.ticks(price, rounding) for rounding in ("floor", "ceil")] == [below, above]
    with pytest.raises(InvalidArgument):
        mm.Book([INSTRUMENT]).fill("X", 1, price)  # a book counts in ticks
