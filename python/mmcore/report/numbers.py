"""Numbers as people read them: grouped thousands, a true minus sign, the unit beside the figure.

Formatting only; nothing is computed here.
"""

from __future__ import annotations

import math
from decimal import Decimal
from numbers import Integral
from typing import Any

from ..instruments import money_text

__all__ = [
    "count",
    "fixed",
    "interval",
    "money",
    "percent",
    "plain",
    "seconds",
    "significant",
    "span",
    "stamp",
    "stamps",
]

MINUS = "−"
NONE = "–"
"""What a table shows where there is no value."""


def _signed(text: str) -> str:
    return text.replace("-", MINUS)


def count(value: Any) -> str:
    """A whole number with grouped thousands.

    Examples
    --------
    >>> count(57515)
    '57,515'
    """
    return NONE if value is None else _signed(f"{int(value):,}")


def significant(value: Any, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, without exponent where that stays readable.

    Examples
    --------
    >>> significant(0.0123456), significant(1234.56), significant(float("nan")), significant(2.5e-7)
    ('0.0123', '1,235', '–', '2.50e−7')
    """
    if value is None:
        return NONE
    number = float(value)
    if math.isnan(number):
        return NONE
    if math.isinf(number):
        return _signed("∞" if number > 0 else "-∞")
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(abs(number)))
    if exponent < -4 or exponent > 9:
        mantissa, _, power = f"{number:.{digits - 1}e}".partition("e")
        return _signed(f"{mantissa}e{int(power)}")
    return _signed(f"{number:,.{max(0, digits - 1 - exponent)}f}")


def money(amount: Decimal, places: int | None = None, *, sign: bool = False) -> str:
    """An amount of money as :func:`mmcore.instruments.money_text` writes it; ``sign`` writes a plus too.

    Examples
    --------
    >>> money(Decimal("-1234.5")), money(Decimal(12), sign=True), money(Decimal("0.00031")), money(Decimal(0))
    ('−1,234.50', '+12.00', '0.00031', '0.00')
    """
    return _signed(money_text(amount, "+," if sign else ",", places))


def fixed(value: Any, places: int = 2, *, sign: bool = False) -> str:
    """A number with a fixed number of decimals, for columns that are compared down the page.

    Examples
    --------
    >>> fixed(2.345, sign=True), fixed(-7.8), fixed(float("nan"))
    ('+2.35', '−7.80', '–')
    """
    if value is None or math.isnan(float(value)):
        return NONE
    return _signed(f"{float(value):{'+' if sign else ''},.{places}f}")


def percent(value: Any, places: int = 1) -> str:
    """A fraction as a percentage.

    Examples
    --------
    >>> percent(0.9345)
    '93.5 %'
    """
    if value is None or math.isnan(float(value)):
        return NONE
    return _signed(f"{100 * float(value):.{places}f} %")


def interval(low: Any, high: Any, digits: int = 3) -> str:
    """Both ends of an interval.

    Examples
    --------
    >>> interval(0.1, 0.25)
    '0.100 to 0.250'
    """
    if low is None or high is None or math.isnan(float(low)) or math.isnan(float(high)):
        return NONE
    return f"{significant(low, digits)} to {significant(high, digits)}"


def seconds(value: Any) -> str:
    """A duration of the size that settings and horizons have.

    Examples
    --------
    >>> seconds(0.1), seconds(60), seconds(3600), seconds(0.0005)
    ('0.1 s', '1 min', '1 h', '0.5 ms')
    """
    number = float(value)
    if math.isinf(number):
        return "∞"
    if 0 < abs(number) < 0.01:
        return f"{number * 1000:g} ms"
    for size, unit in ((3600, "h"), (60, "min")):
        if number >= size and number % size == 0:
            return f"{number / size:g} {unit}"
    return f"{number:g} s"


def span(nanoseconds: int) -> str:
    """A long duration in its two largest units, rounded to the second of them.

    Examples
    --------
    >>> span(23_400 * 10**9), span(345 * 10**9), span(12 * 10**9), span(5_850 * 10**9), span(86_390 * 10**9)
    ('6 h 30 min', '5 min 45 s', '12 s', '1 h 38 min', '1 d')
    """
    total = round(int(nanoseconds) / 1e9)
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for i, (size, unit) in enumerate(units):
        small, name = units[min(i + 1, len(units) - 1)]
        rounded = small * math.floor(total / small + 0.5)  # which may reach the unit above
        if rounded >= size:
            whole, rest = divmod(rounded, size)
            return f"{whole} {unit}" + (f" {rest // small} {name}" if rest else "")
    return f"{int(nanoseconds) / 1e9:.3g} s"


def stamp(nanoseconds: int) -> str:
    """A time in UTC, to the nearest second.

    Examples
    --------
    >>> stamp(1_340_285_400 * 10**9), stamp(1_340_285_399_700_000_000)
    ('2012-06-21 13:30:00', '2012-06-21 13:30:00')
    """
    from datetime import UTC, datetime

    return datetime.fromtimestamp((int(nanoseconds) + 500_000_000) // 10**9, UTC).strftime(
        "%Y-%m-%d %H:%M:%S"
    )


def stamps(start: int, end: int) -> str:
    """A span of time in UTC; the day is said once where both ends share it.

    Examples
    --------
    >>> stamps(1_340_285_400 * 10**9, 1_340_308_800 * 10**9)
    '2012-06-21 13:30:00 to 20:00:00'
    """
    first, last = stamp(start), stamp(end)
    return f"{first} to {last[11:] if first[:10] == last[:10] else last}"


def plain(value: Any) -> str:
    """Any setting as text: numbers with grouped digits, None as a dash, pairs joined.

    Examples
    --------
    >>> plain(None), plain(0.05), plain(True), plain((1.5, 2)), plain("mid"), plain("inf")
    ('–', '0.05', 'yes', '1.5, 2', 'mid', '∞')
    """
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return count(value)
    if isinstance(value, float):
        return _signed("∞" if math.isinf(value) and value > 0 else f"{value:.6g}")
    if isinstance(value, (tuple, list)):
        return ", ".join(plain(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {plain(v)}" for k, v in value.items())
    return "∞" if value == "inf" else str(value)
