"""Instruments and currencies: the only place where ticks and lots meet money.

Everything else in mmcore counts: prices in ticks, sizes in lots, cash in tick·lot. With tick t, lot l
and multiplier m (all exact decimals), one tick·lot of a linear contract is worth

    t · l · m  units of its currency,

which is :attr:`Instrument.tick_value`; money is a count times that, and a risk aversion γ per unit of
currency becomes γ · t · l · m per tick·lot. Conversions are exact: an amount off the grid is refused
unless a rounding policy is named.

Floats are accepted where they can only mean a grid point: with n = x / step, abs(n) < 2⁵⁰ and
abs(n − round(n)) ≤ min(10⁻³, 10⁻⁹ + 8·2⁻⁵³·abs(n)). So ``61700.1`` is a price on a grid of 0.1 although no
binary fraction equals it, and nothing is ever truncated.

Amounts of money have one form wherever they are shown: exact, without an exponent, with two decimals
and as many more as the amount has (:func:`money_text`).
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np

from .errors import InvalidArgument, OutOfBounds, Unsupported
from .parameters import masked

__all__ = ["ROUNDINGS", "Currency", "Instrument", "money_places", "money_text"]

ROUNDINGS = ("exact", "floor", "ceil", "nearest")
"""Rounding policies of conversions to the grid; ``"nearest"`` takes halves to even."""

KINDS = ("linear", "inverse")

INT64_MAX = 2**63 - 1
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?", re.ASCII)
# Further out no amount of money lies; the bound keeps 1e999999 from becoming a million digits.
_MAX_EXPONENT = 200
_HUGE = 10**_MAX_EXPONENT


def _refuse(argument: str, value: object, allowed: str) -> InvalidArgument:
    return InvalidArgument(argument=argument, value=value, allowed=allowed)


def _decimal(argument: str, value: object) -> Decimal:
    """Read an exact, finite decimal from a text, an int or a Decimal."""
    allowed = "an exact decimal: a text like '0.01', an int or a Decimal"
    if isinstance(value, str):
        text = value.strip()
        if not _DECIMAL.fullmatch(text):
            raise _refuse(argument, value, allowed)
        number = Decimal(text)
    elif isinstance(value, Decimal):
        number = value
    elif isinstance(value, bool) or masked(value):
        raise _refuse(argument, value, allowed)
    else:
        try:
            number = Decimal(operator.index(value))  # type: ignore[arg-type]
        except TypeError:
            raise _refuse(argument, value, allowed) from None
    if not number.is_finite():
        raise _refuse(argument, value, "finite")
    exponent = number.as_tuple().exponent
    if (number and abs(number.adjusted()) > _MAX_EXPONENT) or abs(int(exponent)) > 2 * _MAX_EXPONENT:
        raise _refuse(argument, value, f"an amount between 1e-{_MAX_EXPONENT} and 1e{_MAX_EXPONENT}")
    return number


def _positive(argument: str, value: object) -> Decimal:
    number = _decimal(argument, value)
    if number <= 0:
        raise _refuse(argument, value, "> 0")
    return number


def _split(number: Decimal) -> tuple[int, int]:
    """Return (n, e) with number = n · 10ᵉ. Arithmetic on Decimals would round to the context's 28 digits."""
    sign, digits, exponent = number.as_tuple()
    return int(Decimal((sign, digits, 0))), int(exponent)


def _join(n: int, exponent: int) -> Decimal:
    """Make n · 10ᵉ, exactly, without an exponent where it is positive."""
    if exponent > 0:
        n, exponent = n * 10**exponent, 0
    return Decimal(f"{n}E{exponent}")


def _product(*numbers: Decimal) -> Decimal:
    n, exponent = 1, 0
    for number in numbers:
        m, e = _split(number)
        n, exponent = n * m, exponent + e
    return _join(n, exponent)


def _times(amount: int | Fraction, number: Decimal) -> Decimal:
    """Return amount · number as an exact Decimal; refuse where the decimals do not end."""
    n, exponent = _split(number)
    if isinstance(amount, int):
        return _join(amount * n, exponent)
    product = amount * n
    rest, places = product.denominator, {2: 0, 5: 0}
    for prime in places:
        while rest % prime == 0:
            rest //= prime
            places[prime] += 1
    if rest != 1:
        raise _refuse("amount", amount, "a fraction whose decimals end")
    shift = max(places.values())
    return _join(int(product * 10**shift), exponent - shift)


def trimmed(amount: Decimal) -> Decimal:
    """Return the same amount of money with two decimals, and more only where they are not zero.

    Examples
    --------
    >>> trimmed(Decimal("0E-8")), trimmed(Decimal("2.5000")), trimmed(Decimal("0.1250"))
    (Decimal('0.00'), Decimal('2.50'), Decimal('0.125'))
    """
    n, exponent = _split(amount)
    while exponent < -2 and n % 10 == 0:
        n, exponent = n // 10, exponent + 1
    if exponent > -2:
        n, exponent = n * 10 ** (exponent + 2), -2
    return _join(n, exponent)


def money_places(*amounts: Decimal) -> int:
    """Return the decimals with which amounts that stand below each other are exact: two at least.

    Examples
    --------
    >>> money_places(Decimal("24.325"), Decimal("-49.97"), Decimal(0))
    3
    """
    return max((-int(trimmed(amount).as_tuple().exponent) for amount in amounts), default=2)


def money_text(amount: Decimal, style: str = "", places: int | None = None) -> str:
    """Write an amount of money: without an exponent, and with two decimals at least.

    Parameters
    ----------
    amount : Decimal
        In currency.
    style : str
        "," groups thousands; "+" writes a plus too, except before zero.
    places : int, optional
        Decimals, see :func:`money_places`; as many as the amount has when omitted.

    Examples
    --------
    >>> money_text(Decimal("-1234.5"), ","), money_text(Decimal("32.2"), "+"), money_text(Decimal(0), "+")
    ('-1,234.50', '+32.20', '0.00')
    >>> money_text(Decimal("0.00000031")), money_text(Decimal(12), places=3)
    ('0.00000031', '12.000')
    """
    exact = trimmed(amount)
    if not exact:
        style = style.replace("+", "")
    return format(exact, f"{style}f" if places is None else f"{style}.{places}f")


def _count(argument: str, value: object, step: Decimal, rounding: str, noun: str) -> int:
    """How many steps ``value`` is: exactly, or by the rounding policy named."""
    if not isinstance(rounding, str) or rounding not in ROUNDINGS:
        raise _refuse("rounding", rounding, "one of " + ", ".join(map(repr, ROUNDINGS)))
    if isinstance(value, Fraction):
        exact = value / Fraction(step)
    elif isinstance(value, (float, np.floating)):
        number = float(value)
        if not math.isfinite(number):
            raise _refuse(argument, value, "finite")
        exact = Fraction(number) / Fraction(step)
        nearest = round(exact)
        off = abs(exact - nearest)
        size = abs(exact)
        if size >= 2**50:
            raise OutOfBounds(
                f"{argument}={value!r} is {Decimal(round(size)):.2e} {noun}s of {step}: floats are accepted "
                "below 2**50, give a text or a Decimal"
            )
        if off <= min(Fraction(1, 1000), Fraction(1, 10**9) + size / 2**50):
            return nearest
    else:
        exact = Fraction(_decimal(argument, value)) / Fraction(step)
    if exact.denominator == 1:
        count = exact.numerator
    elif rounding == "floor":
        count = math.floor(exact)
    elif rounding == "ceil":
        count = math.ceil(exact)
    elif rounding == "nearest":
        count = round(exact)
    else:
        allowed = f"a multiple of the {noun} {step} (or name a rounding: 'floor', 'ceil', 'nearest')"
        raise _refuse(argument, value, allowed)
    if abs(count) > INT64_MAX:
        raise OutOfBounds(f"{argument}={value!r} is more than 2**63 - 1 {noun}s of {step}")
    return count


def _name(argument: str, value: object) -> str:
    if not isinstance(value, str) or not value or value != value.strip() or not value.isprintable():
        raise _refuse(argument, value, "a printable, non-empty text without surrounding spaces")
    return value


@dataclass(frozen=True, init=False, repr=False)
class Currency:
    """A currency and the unit in which its amounts are counted.

    Parameters
    ----------
    name : str
        ``"USD"``, ``"USDT"``, …
    unit : str, int or Decimal
        The smallest amount that is told apart; fees are integers of it.

    Raises
    ------
    InvalidArgument
        For an empty name, or a unit that is not an exact decimal > 0.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> usdt = Currency("USDT", unit="0.00000001")
    >>> usdt.units("0.1")
    10000000
    >>> usdt.amount(-2000000)
    Decimal('-0.02')
    """

    name: str
    unit: Decimal

    def __init__(self, name: str, unit: str | int | Decimal = "0.00000001") -> None:
        object.__setattr__(self, "name", _name("name", name))
        object.__setattr__(self, "unit", _positive("unit", unit))

    def __repr__(self) -> str:
        return f"Currency({self.name!r}, unit='{self.unit:f}')"

    def units(self, amount: object, rounding: str = "exact") -> int:
        """Count an amount of money in units.

        Parameters
        ----------
        amount : str, int, Decimal, Fraction or float
            In currency; floats by the rule of the module.
        rounding : {"exact", "floor", "ceil", "nearest"}
            What to do off the grid; ``"exact"`` refuses.

        Raises
        ------
        InvalidArgument
            Off the grid, not finite, or not a number.
        OutOfBounds
            Beyond int64.
        """
        return _count("amount", amount, self.unit, rounding, "unit")

    def amount(self, units: int) -> Decimal:
        """Return the money in ``units``, exactly."""
        return trimmed(_times(_integer("units", units), self.unit))

    def text(self, amount: Decimal) -> str:
        """Write an amount of money as it is shown everywhere: see :func:`money_text`."""
        return money_text(amount)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description; :meth:`from_dict` reads it."""
        return {"name": self.name, "unit": f"{self.unit:f}"}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Currency:
        """Make a currency from what :meth:`to_dict` returned."""
        return cls(**data)


_USD = Currency("USD")


def _integer(argument: str, value: object) -> int:
    try:
        if not isinstance(value, bool) and not masked(value):
            number = operator.index(value)  # type: ignore[arg-type]
            if abs(number) < _HUGE:
                return number
            raise _refuse(argument, value, f"an integer within 1e{_MAX_EXPONENT}")
    except TypeError:
        pass
    raise _refuse(argument, value, "an integer")


@dataclass(frozen=True, init=False, repr=False)
class Instrument:
    """What is traded: its grid of prices and sizes, and what they are worth.

    Parameters
    ----------
    name : str
        Unique within a book.
    tick : str, int or Decimal
        Smallest step of the price, in currency per unit of quantity.
    lot : str, int or Decimal
        Smallest step of the quantity.
    multiplier : str, int or Decimal
        Units of the underlying in one unit of quantity.
    currency : Currency
        In which the price is quoted and the profit arises.
    kind : {"linear", "inverse"}
        The multiplier of an ``"inverse"`` contract is in the currency of the price (dollars), and
        ``currency`` is the coin in which its profit arises: n lots from price p to P earn
        n · lot · multiplier · (1/p − 1/P). Books keep them; what cannot price them refuses them by name.
    negative_prices : bool
        Whether prices at or below zero are allowed (calendar spreads, WTI on 2020-04-20): to be booked, read
        from a feed or replayed. A quoter asks for whatever its policy and rules come to.

    Raises
    ------
    InvalidArgument
        Names the argument that is not what it must be.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> usdt = Currency("USDT")
    >>> btc = Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=usdt)
    >>> btc.ticks("61700.1"), btc.lots("0.25"), btc.tick_value
    (617001, 250, Decimal('0.0001'))
    >>> btc.price(617001)
    Decimal('61700.1')
    >>> btc.ticks("61700.15")
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: price must be a multiple of the tick 0.1 (or name a rounding: 'floor', 'ceil', 'nearest'), got '61700.15'
    >>> btc.ticks("61700.15", rounding="floor")
    617001
    >>> btc.money(250 * 617001)
    Decimal('15425.025')
    """  # noqa: E501

    name: str
    tick: Decimal
    lot: Decimal
    multiplier: Decimal
    currency: Currency
    kind: str
    negative_prices: bool
    _tick_value: Decimal = field(compare=False)

    def __init__(
        self,
        name: str,
        tick: str | int | Decimal,
        lot: str | int | Decimal = "1",
        multiplier: str | int | Decimal = "1",
        currency: Currency = _USD,
        kind: str = "linear",
        negative_prices: bool = False,
    ) -> None:
        put = object.__setattr__
        put(self, "name", _name("name", name))
        put(self, "tick", _positive("tick", tick))
        put(self, "lot", _positive("lot", lot))
        put(self, "multiplier", _positive("multiplier", multiplier))
        if not isinstance(currency, Currency):
            raise _refuse("currency", currency, "a Currency")
        put(self, "currency", currency)
        if not isinstance(kind, str) or kind not in KINDS:
            raise _refuse("kind", kind, "one of " + ", ".join(map(repr, KINDS)))
        put(self, "kind", kind)
        if not isinstance(negative_prices, bool):
            raise _refuse("negative_prices", negative_prices, "True or False")
        if negative_prices and kind == "inverse":
            raise _refuse(
                "negative_prices", negative_prices, "False: an inverse contract divides by its price"
            )
        put(self, "negative_prices", negative_prices)
        put(self, "_tick_value", _product(self.tick, self.lot, self.multiplier))

    def __repr__(self) -> str:
        text = f"{self.name!r}, tick='{self.tick:f}', lot='{self.lot:f}'"
        text += f", multiplier='{self.multiplier:f}'" if self.multiplier != 1 else ""
        text += f", currency={self.currency!r}"
        text += f", kind={self.kind!r}" if self.kind != "linear" else ""
        text += ", negative_prices=True" if self.negative_prices else ""
        return f"Instrument({text})"

    # ---- the grid ----

    def ticks(self, price: object, rounding: str = "exact") -> int:
        """Count a price in ticks.

        Parameters
        ----------
        price : str, int, Decimal, Fraction or float
            In currency; floats by the rule of the module.
        rounding : {"exact", "floor", "ceil", "nearest"}
            What to do off the grid; ``"exact"`` refuses, ``"nearest"`` takes halves to even.

        Raises
        ------
        InvalidArgument
            Off the grid, not finite, not a number, or negative where the instrument has no such prices.
        OutOfBounds
            Beyond int64; for floats beyond 2⁵⁰.
        """
        count = _count("price", price, self.tick, rounding, "tick")
        if count < 0 and not self.negative_prices:
            raise _refuse("price", price, f">= 0: {self.name} has no negative prices (negative_prices=False)")
        return count

    def price(self, ticks: int) -> Decimal:
        """Return the price at ``ticks``, in currency, exactly."""
        return _times(_integer("ticks", ticks), self.tick)

    def lots(self, quantity: object, rounding: str = "exact") -> int:
        """Count a quantity in lots; arguments and errors as in :meth:`ticks`, sizes may be negative."""
        return _count("quantity", quantity, self.lot, rounding, "lot")

    def quantity(self, lots: int) -> Decimal:
        """Return the quantity of ``lots``, exactly."""
        return _times(_integer("lots", lots), self.lot)

    # ---- money ----

    @property
    def tick_value(self) -> Decimal:
        """Currency per tick·lot: tick × lot × multiplier."""
        self._linear("tick_value")
        return self._tick_value

    @property
    def cash_unit(self) -> Decimal:
        """Currency per unit of the cash of a book: a tick·lot; for inverse contracts 10⁻⁹ currency units."""
        return self._tick_value if self.kind == "linear" else _product(self.currency.unit, Decimal("1e-9"))

    def worth(self, cash: int | Fraction) -> Decimal:
        """Return what an amount of the cash of a book is worth, in currency, exactly.

        Raises
        ------
        InvalidArgument
            For a fraction whose decimals do not end.

        Examples
        --------
        >>> xbt = Instrument("XBTUSD", tick="0.5", currency=Currency("XBT"), kind="inverse")
        >>> xbt.cash_unit, xbt.worth(25 * 10**9)
        (Decimal('1E-17'), Decimal('2.5E-7'))
        """
        amount = cash if isinstance(cash, Fraction) else _integer("cash", cash)
        return trimmed(_times(amount, self.cash_unit))

    def money(self, tick_lots: int | Fraction) -> Decimal:
        """Return what ``tick_lots`` tick·lots are worth, in currency, exactly.

        Raises
        ------
        InvalidArgument
            For a fraction whose decimals do not end.
        """
        self._linear("money")
        return self.worth(tick_lots if isinstance(tick_lots, Fraction) else _integer("tick_lots", tick_lots))

    def gamma(self, per_currency: float) -> float:
        """Convert a risk aversion from 1/currency to 1/(tick·lot), the unit of the models.

        This is the only conversion between money and a model's units: the models are homogeneous, so the
        same γ per currency gives the same prices whatever the tick and the lot are.

        Examples
        --------
        >>> Instrument("BTCUSDT", tick="0.1", lot="0.001").gamma(per_currency=0.01)
        1e-06
        """
        self._linear("gamma")
        number = per_currency
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise _refuse("per_currency", per_currency, "a finite number >= 0")
        try:
            if math.isfinite(number) and number >= 0:
                return float(Fraction(number) * Fraction(self._tick_value))
        except OverflowError:  # of the number, or of the product
            pass
        raise _refuse(
            "per_currency", per_currency, "a finite number >= 0, and its product with the tick's value"
        )

    def fee_ratio(self, rate: str | int | Decimal) -> tuple[int, int]:
        """Return (num, den) such that a fee is abs(qty · price) · num / den currency units.

        Parameters
        ----------
        rate : str, int or Decimal
            Of the notional, an exact decimal: ``"0.0002"`` is two basis points; a rebate is negative.

        Raises
        ------
        InvalidArgument
            For a rate that is not an exact decimal.
        OutOfBounds
            When the ratio does not fit two int64.

        Examples
        --------
        >>> btc = Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=Currency("USDT"))
        >>> btc.fee_ratio("0.0002")
        (2, 1)
        """
        self._linear("fee_ratio")
        number = Fraction(_decimal("rate", rate))
        ratio = number * Fraction(self._tick_value) / Fraction(self.currency.unit)
        if max(abs(ratio.numerator), ratio.denominator) > INT64_MAX:
            raise OutOfBounds(
                f"rate={rate!r} of {self.name} is {ratio} units of {self.currency.unit} per tick·lot: "
                "numerator and denominator must fit into int64"
            )
        return ratio.numerator, ratio.denominator

    def _linear(self, what: str) -> None:
        if self.kind != "linear":
            raise Unsupported(
                f"{what} of {self.name}: {self.kind} contracts are not supported yet",
                argument="kind",
                value=self.kind,
            )

    # ---- records ----

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able description; :meth:`from_dict` reads it."""
        return {
            "name": self.name,
            "tick": f"{self.tick:f}",
            "lot": f"{self.lot:f}",
            "multiplier": f"{self.multiplier:f}",
            "currency": self.currency.to_dict(),
            "kind": self.kind,
            "negative_prices": self.negative_prices,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Instrument:
        """Make an instrument from what :meth:`to_dict` returned."""
        return cls(**{**data, "currency": Currency.from_dict(data["currency"])})
