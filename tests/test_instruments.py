"""Currencies and instruments: the grid of prices and sizes, and what it is worth."""

import decimal
import json
import math
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument, OutOfBounds, Unsupported
from mmcore.instruments import money_places, money_text

BTC = mm.Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=mm.Currency("USDT"))

steps = st.decimals("1e-10", "1000", allow_nan=False, allow_infinity=False).filter(lambda d: d > 0)
counts = st.integers(-(2**63) + 1, 2**63 - 1)


# ---- the grid ----


@given(step=steps, n=counts)
def test_every_grid_point_is_read_back_from_its_text(step, n):
    x = mm.Instrument("X", tick=step, lot=step, negative_prices=True)
    assert x.ticks(str(x.price(n))) == n
    assert x.lots(x.quantity(n)) == n
    assert Fraction(x.price(n)) == n * Fraction(step)


@given(step=steps, value=st.decimals(-(10**8), 10**8, places=12))
def test_rounding_policies_are_those_of_fractions(step, value):
    x = mm.Instrument("X", tick=step, negative_prices=True)
    exact = Fraction(value) / Fraction(step)
    assume(abs(exact) < 2**62)
    assert x.ticks(value, rounding="floor") == math.floor(exact)
    assert x.ticks(value, rounding="ceil") == math.ceil(exact)
    assert x.ticks(value, rounding="nearest") == round(exact)
    if exact.denominator == 1:
        assert x.ticks(value) == exact
    else:
        with pytest.raises(InvalidArgument, match="a multiple of the tick"):
            x.ticks(value)


def test_nearest_takes_halves_to_even():
    assert [BTC.ticks(p, rounding="nearest") for p in ("0.05", "0.15", "0.25")] == [0, 2, 2]


@pytest.mark.parametrize("rounding", ["round", None, "FLOOR", 1, np.array([1, 2])])
def test_unknown_policies_are_refused(rounding):
    with pytest.raises(InvalidArgument, match="rounding must be one of 'exact', 'floor', 'ceil', 'nearest'"):
        BTC.ticks("1", rounding=rounding)


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "1,000", "1_000", "0x10", "1e", "--1", "١", "nan", "inf", "-Infinity", "1e9999999"],
)
def test_texts_that_are_no_finite_decimal_are_refused(text):
    for read in (BTC.ticks, BTC.lots, BTC.currency.units):
        with pytest.raises(InvalidArgument):
            read(text)


@pytest.mark.parametrize("text", ["61700.1", "+61700.10", " 61700.1 ", "6.17001e4", "617001E-1"])
def test_ways_to_write_a_price(text):
    assert BTC.ticks(text) == 617001


@pytest.mark.parametrize(
    "value",
    [None, True, b"1", [1], object(), 1j, int, np.array([1, 2]), Decimal("NaN"), Decimal("-Infinity")],
)
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidArgument) as caught:
        BTC.ticks(value)
    assert caught.value.argument == "price"


def test_huge_amounts_are_refused_at_once():
    for value in ("1e300", "1e-300", Decimal("1e-999999"), Decimal("1e999999"), "1" * 500):
        with pytest.raises(InvalidArgument):
            BTC.ticks(value)
    x = mm.Instrument("X", tick="1")
    assert x.ticks(2**63 - 1) == 2**63 - 1
    for value in (2**63, "9223372036854775808", 10**30):
        with pytest.raises(OutOfBounds):
            x.ticks(value)
    with pytest.raises(OutOfBounds):
        x.lots(-(2**63))


def test_negative_prices_only_where_the_instrument_has_them():
    with pytest.raises(InvalidArgument, match="BTCUSDT has no negative prices"):
        BTC.ticks("-0.1")
    wti = mm.Instrument("CLK0", tick="0.01", multiplier="1000", negative_prices=True)
    assert wti.ticks("-37.63") == -3763
    assert wti.price(-3763) == Decimal("-37.63")
    assert wti.money(-3763) == Decimal("-37630")
    assert BTC.lots("-0.25") == -250


# ---- floats ----


@given(n=st.integers(0, 2**41), tick=st.sampled_from(["0.1", "0.01", "0.05", "0.0001", "0.25", "1", "0.3"]))
def test_floats_that_mean_a_grid_point_are_that_point(n, tick):
    x = mm.Instrument("X", tick=tick)
    # Beyond 2**41 ticks the rounding of the double itself nears a thousandth of a tick, the most let pass.
    assert x.ticks(float(x.price(n))) == n  # the double nearest to the price
    assert x.ticks(n * float(tick)) == n  # and the usual way to make one


def test_floats_are_never_truncated():
    """0.3 is below 3 ticks of 0.1 and 0.7 / 0.1 is 6.999…: int() and floor() lose a tick."""
    for policy in ("exact", "floor", "ceil", "nearest"):
        assert [BTC.ticks(p, rounding=policy) for p in (0.3, 0.7, 61700.1, 0.1 + 0.2)] == [3, 7, 617001, 3]


@given(x=st.floats(0, 1e12))
def test_floats_pass_exactly_by_the_stated_rule(x):
    exact = Fraction(x) / Fraction(1, 10)
    nearest = round(exact)
    off = abs(exact - nearest)
    bound = min(Fraction(1, 1000), Fraction(1, 10**9) + 8 * abs(exact) / 2**53)
    if off <= bound:
        assert BTC.ticks(x) == nearest
    else:
        with pytest.raises(InvalidArgument):
            BTC.ticks(x)
        assert BTC.ticks(x, rounding="floor") == math.floor(exact)
        assert BTC.ticks(x, rounding="ceil") == math.ceil(exact)


def test_floats_off_the_grid_too_large_or_not_finite_are_refused():
    for value in (61700.15, 0.1001, math.nan, math.inf, -math.inf, np.float64("nan")):
        with pytest.raises(InvalidArgument):
            BTC.ticks(value)
    for value in (1e15, 1e308):
        with pytest.raises(OutOfBounds, match=r"below 2\*\*50"):
            BTC.ticks(value)
    assert BTC.ticks("1e15") == 10**16


def test_numbers_of_numpy():
    assert BTC.ticks(np.float64(61700.1)) == 617001
    assert BTC.ticks(np.int64(3)) == 30
    with pytest.raises(InvalidArgument):  # a float32 cannot say 61700.1
        BTC.ticks(np.float32(61700.1))
    assert BTC.ticks(Fraction(1, 2)) == 5


# ---- construction ----


@pytest.mark.parametrize("value", [0, -1, "0", "-0.1", "nan", "inf", "", None, 0.1, True, "1e-999"])
@pytest.mark.parametrize("argument", ["tick", "lot", "multiplier"])
def test_steps_are_exact_decimals_above_zero(argument, value):
    """A float step is refused: 0.1 as a double is another number, and there is no grid yet to check it by."""
    with pytest.raises(InvalidArgument) as caught:
        mm.Instrument("X", **{"tick": "0.01", argument: value})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("name", ""),
        ("name", " X"),
        ("name", None),
        ("name", "a\nb"),
        ("currency", "USD"),
        ("kind", "quanto"),
        ("kind", np.array([1, 2])),
        ("negative_prices", 1),
    ],
)
def test_wrong_arguments_are_named(argument, value):
    with pytest.raises(InvalidArgument) as caught:
        mm.Instrument(**{"name": "X", "tick": "1", argument: value})
    assert caught.value.argument == argument


def test_currencies():
    usd = mm.Currency("USD", unit="0.01")
    assert usd.units("12.34") == 1234
    assert usd.units(12.34) == 1234
    assert usd.units("0.005", rounding="nearest") == 0
    assert usd.amount(-1234) == Decimal("-12.34")
    with pytest.raises(InvalidArgument, match=r"amount must be a multiple of the unit 0\.01"):
        usd.units("0.001")
    with pytest.raises(InvalidArgument, match="units must be an integer"):
        usd.amount(1.0)
    with pytest.raises(InvalidArgument):
        mm.Currency("USD", unit=0)


def test_values_are_frozen_equal_and_hashable():
    twin = mm.Instrument("BTCUSDT", tick=Decimal("0.10"), lot="1e-3", currency=mm.Currency("USDT"))
    assert twin == BTC
    assert hash(twin) == hash(BTC)
    assert mm.Instrument("BTCUSDT", tick="0.2") != BTC
    with pytest.raises(AttributeError):
        BTC.tick = Decimal(1)
    with pytest.raises(AttributeError):
        BTC.currency.unit = Decimal(1)


@pytest.mark.parametrize(
    "instrument",
    [
        BTC,
        mm.Instrument("CLK0", tick="0.01", multiplier=1000, negative_prices=True),
        mm.Instrument("XBTUSD", tick="0.5", kind="inverse", currency=mm.Currency("XBT", unit="1e-8")),
    ],
)
def test_descriptions_are_complete(instrument):
    data = json.loads(json.dumps(instrument.to_dict()))
    assert mm.Instrument.from_dict(data) == instrument
    assert eval(repr(instrument), {"Instrument": mm.Instrument, "Currency": mm.Currency}) == instrument
    assert "E" not in repr(instrument.currency.unit.__format__("f"))


# ---- money ----


def test_the_value_of_a_tick_lot():
    es = mm.Instrument("ESZ4", tick="0.25", multiplier="50")
    assert es.tick_value == Decimal("12.50")
    assert es.money(4) == 50
    assert es.money(Fraction(1, 8)) == Decimal("1.5625")
    with pytest.raises(InvalidArgument, match="decimals end"):
        es.money(Fraction(1, 3))
    assert mm.Instrument("X", tick="0.3").money(Fraction(1, 3)) == Decimal("0.1")


@given(tick=steps, lot=steps, n=st.integers(-(2**127), 2**127), places=st.integers(0, 9))
def test_money_is_exact_whatever_the_decimal_context(tick, lot, n, places):
    x = mm.Instrument("X", tick=tick, lot=lot)
    with decimal.localcontext(prec=5):
        money = x.money(Fraction(n, 10**places))
    assert Fraction(money) == Fraction(n, 10**places) * Fraction(tick) * Fraction(lot)


@given(amount=st.decimals(allow_nan=False, allow_infinity=False, places=12) | st.integers().map(Decimal))
def test_the_text_of_money_is_exact_without_exponent_and_with_two_decimals_at_least(amount):
    text = money_text(amount, "+,")
    assert Fraction(text.replace(",", "")) == Fraction(amount)
    assert re.fullmatch(r"[+-]?\d{1,3}(,\d{3})*\.(\d\d|\d+[1-9])", text)
    assert text[0] == ("+" if amount > 0 else "-" if amount < 0 else "0")
    places = len(text.partition(".")[2])
    assert money_places(amount, Decimal(0)) == places
    assert money_text(amount, places=places + 3).replace("-", "") == text.strip("+-").replace(",", "") + "000"


@pytest.mark.parametrize("unit", ["0.00000001", "0.01", "1"])
def test_no_money_is_shown_with_an_exponent(unit):
    """Decimal writes a zero of eight decimals as 0E-8."""
    x = mm.Instrument("X", tick="0.1", lot="0.00000001", currency=mm.Currency("USDT", unit=unit))
    assert repr(x.money(0)) == repr(x.currency.amount(0)) == "Decimal('0.00')"
    position = mm.Book([x])["X"]
    assert set(map(repr, position.pnl().values())) == {"Decimal('0.00')"}
    position.fill(10, 5, fee=3)
    position.fill(-10, 5, fee=-3)
    assert set(map(repr, position.pnl().values())) == {"Decimal('0.00')"}
    assert "0.00 USDT" in repr(position)


@pytest.mark.parametrize("lot", ["1", "0.001", "0.00000001"])
@pytest.mark.parametrize("tick", ["0.1", "0.01"])
def test_gamma_gives_the_same_price_on_every_grid(lot, tick):
    """A reservation price moves by γσ²τ·q: with q in lots and σ in ticks it is the same move in money."""
    x = mm.Instrument("BTC", tick=tick, lot=lot)
    gamma, sigma, coins = 1e-4, 25.0, 3.0  # per USD, USD/sqrt(s), BTC
    in_ticks = x.gamma(per_currency=gamma) * (sigma / float(tick)) ** 2 * (coins / float(lot))
    assert in_ticks * float(tick) == pytest.approx(gamma * sigma**2 * coins, rel=1e-14)


def test_gamma_of_the_design():
    assert BTC.gamma(per_currency=1e-6) == float(Fraction(1e-6) / 10**4)  # rounded once
    assert BTC.gamma(per_currency=0) == 0
    for value in (-1e-9, math.nan, math.inf, "1", True, None, 10**400):
        with pytest.raises(InvalidArgument, match="per_currency"):
            BTC.gamma(per_currency=value)


@given(rate=st.decimals("-0.01", "0.01", places=6), qty=st.integers(1, 10**6), price=st.integers(1, 10**7))
def test_a_fee_is_a_rate_of_the_money(rate, qty, price):
    num, den = BTC.fee_ratio(rate)
    units = Fraction(rate) * Fraction(BTC.money(qty * price)) / Fraction(BTC.currency.unit)
    assert Fraction(qty * price * num, den) == units


def test_fee_rates_that_do_not_fit_are_refused():
    with pytest.raises(OutOfBounds):
        BTC.fee_ratio("0.12345678901234567890123456789")
    with pytest.raises(InvalidArgument):
        BTC.fee_ratio(0.0002)
    assert BTC.fee_ratio("-0.0001") == (-1, 1)


def test_inverse_contracts_refuse_money_by_name():
    x = mm.Instrument("XBTUSD", tick="0.5", kind="inverse")
    assert x.ticks("61700.5") == 123401
    for call in (lambda: x.money(1), lambda: x.tick_value, lambda: x.gamma(1.0), lambda: x.fee_ratio("0.1")):
        with pytest.raises(Unsupported, match="inverse"):
            call()
