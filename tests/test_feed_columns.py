"""What a price and a size may be, for the reader of every format."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.events import NO_ASK, NO_BID, PRICE_LIMIT
from mmcore.feeds.columns import quoted_side, subticks, traded

STOCK = mm.Instrument("XYZ", tick="0.01")
SPREAD = mm.Instrument("XYZ", tick="0.01", negative_prices=True)


class Refused(Exception):
    pass


def refuse(row, what):
    raise Refused(row, what)


def numbers(*values):
    return np.array(values, dtype=np.int64)


@given(st.integers(1, 2**62).flatmap(lambda tick: st.tuples(st.integers(0, tick - 1), st.just(tick))))
@example((2**43, 2**43 + 1))
@example((2**62 - 1, 2**62))
def test_what_is_left_of_a_price_is_rounded_down_to_millionths_of_a_tick(left):
    rest, tick = left
    made = subticks(numbers(rest), tick)
    assert (made.tolist(), made.dtype) == ([floor(Fraction(rest, tick) * 10**6)], np.int32)


@pytest.mark.parametrize(("side", "none"), [("bid", NO_BID), ("ask", NO_ASK)])
@pytest.mark.parametrize("instrument", [STOCK, SPREAD])
def test_what_stands_where_a_side_is_absent_does_not_count(side, none, instrument):
    price, size = numbers(-(2**63), 2**63 - 1, 0, 7, PRICE_LIMIT), numbers(5, -5, 5, 0, 1)
    absent = np.array([True, True, True, False, False])
    made = quoted_side(side, price, size, absent, instrument, refuse)
    assert {name: column.tolist() for name, column in made.items()} == {
        side: [none] * 4 + [PRICE_LIMIT],
        f"{side}_size": [0] * 4 + [1],
    }


@pytest.mark.parametrize(
    ("price", "size", "what"),
    [
        (0, 1, "is not above 0"),
        (-1, 1, "is not above 0"),
        (PRICE_LIMIT + 1, 1, f"{PRICE_LIMIT + 1} ticks is beyond ±2**60: is the tick right?"),
        (-PRICE_LIMIT - 1, 1, f"{-PRICE_LIMIT - 1} ticks is beyond ±2**60: is the tick right?"),
    ],
)
@pytest.mark.parametrize("instrument", [STOCK, SPREAD])
def test_a_price_that_cannot_be_is_refused_as_a_quote_and_as_a_trade(price, size, what, instrument):
    given = numbers(1, price), numbers(1, size)
    none, whole = np.zeros(2, dtype=bool), np.zeros(2, dtype=np.int32)
    calls = {
        "ask": lambda: quoted_side("ask", *given, none, instrument, refuse),
        "price": lambda: traded(given[0], whole, given[1], instrument, refuse),
    }
    for name, call in calls.items():
        if instrument.negative_prices and "above" in what:
            assert next(iter(call().values())).tolist() == [1, price]
        else:
            with pytest.raises(Refused) as caught:
                call()
            assert caught.value.args == (1, f"{name}: {what}")


def test_a_trade_below_a_tick_and_sizes():
    part = traded(numbers(0), np.array([1], dtype=np.int32), numbers(1), STOCK, refuse)
    assert (part["price"].tolist(), part["subtick"].tolist()) == ([0], [1])
    whole = np.zeros(2, dtype=np.int32)
    for size in (0, -1):
        with pytest.raises(Refused, match="1, 'size: is not above 0'"):
            traded(numbers(5, 5), whole, numbers(1, size), STOCK, refuse)
    with pytest.raises(Refused, match="1, 'bid size: is negative'"):
        quoted_side("bid", numbers(5, 5), numbers(0, -1), np.zeros(2, dtype=bool), STOCK, refuse)
