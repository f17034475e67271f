"""One description of each parameter: type, default, range, unit and doc, written once.

Everything that speaks of a parameter is made from its :class:`Parameter`: the checks of the
constructors, the errors, ``--help``, the commented configuration of ``mmcore init`` and the docs.

A model lists its parameters in a tuple::

    PARAMETERS = (
        Parameter("sigma", float, unit="ticks/√s", low=0.0, doc="volatility of the mid price"),
        Parameter("gamma", float, unit="1/(tick·lot)", low=0.0, doc="risk aversion"),
    )

and checks what it was given with :meth:`Parameter.check`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InvalidArgument

__all__ = [
    "REQUIRED",
    "WHOLE_ORDERS",
    "Parameter",
    "Relation",
    "bytes_like",
    "expect",
    "expect_together",
    "masked",
    "real",
    "two_sides",
]


def expect(argument: str, value: object, kind: Any, allowed: str) -> None:
    """Refuse an argument that is not of this type (or of one of a tuple of types), by name.

    Examples
    --------
    >>> expect("sort", "yes", bool, "True or False")
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: sort must be True or False, got 'yes'
    """
    if not isinstance(value, kind):
        raise InvalidArgument(argument=argument, value=value, allowed=allowed)


def bytes_like(block: Any) -> memoryview:
    """Return a view of the bytes of a saved block, or refuse what has none.

    Examples
    --------
    >>> bytes_like(b"MMCB").nbytes
    4
    """
    with suppress(TypeError):
        view = memoryview(block)
        if view.c_contiguous:
            return view
    raise InvalidArgument(argument="block", value=type(block).__name__, allowed="contiguous bytes")


def masked(value: Any) -> bool:
    """Whether it is a masked number of NumPy's, which has one under its mask.

    Examples
    --------
    >>> masked(np.ma.array(3, mask=True)), masked(np.ma.array(3)), masked(3)
    (True, False, False)
    """
    return isinstance(value, np.ma.MaskedArray) and value.ndim == 0 and bool(value.mask)


def real(value: Any) -> float:
    """Return the float of one number, or raise TypeError, ValueError or OverflowError.

    Booleans, texts and bytes are none, nor are complex numbers, times and masked ones of NumPy. A
    zero-dimensional array is the number that it holds.

    Examples
    --------
    >>> from fractions import Fraction
    >>> real(Fraction(1, 4))
    0.25
    >>> real(True)
    Traceback (most recent call last):
    TypeError: not a number: True
    """
    if isinstance(value, float):
        return float(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "O")  # of NumPy's types alone
    if kind not in "iufO" or getattr(value, "shape", ()) != () or masked(value):
        raise TypeError(f"not a number: {value!r}")
    one = value.item() if kind == "O" and hasattr(value, "shape") else value
    # float() reads texts and buffers as well
    if isinstance(one, bool) or not (hasattr(type(one), "__float__") or hasattr(type(one), "__index__")):
        raise TypeError(f"not a number: {value!r}")
    return float(one)


def two_sides(value: Any) -> tuple[Any, Any] | None:
    """Return the two elements of a pair (bid, ask); None for no sequence; raise TypeError for another.

    Examples
    --------
    >>> two_sides([1, 2]), two_sides(1)
    ((1, 2), None)
    """
    texts_and_unordered = (str, bytes, bytearray, memoryview, Set, Mapping)
    if (
        isinstance(value, texts_and_unordered)
        or not hasattr(value, "__len__")
        or getattr(value, "shape", None) == ()
    ):
        return None
    if len(value) != 2:
        raise TypeError("not a pair")
    bid, ask = value
    return bid, ask


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Any = _Required()
"""Default of a parameter that has none."""


@dataclass(frozen=True)
class Parameter:
    """Type, default, range, unit and doc of one parameter.

    Parameters
    ----------
    name : str
        The argument's name; the same in Python, TOML, the command line and the docs.
    type : type
        ``float``, ``int``, ``bool`` or ``str``.
    default : object
        Value when omitted; :data:`REQUIRED` when there is none. ``None`` makes it optional.
    low, high : float
        Bounds; ``open_low`` and ``open_high`` exclude them.
    finite : bool
        Whether infinities are refused.
    unit : str
        Unit in plain text, ``""`` for pure numbers.
    doc : str
        One sentence without a full stop.
    pair : bool
        True where ``(bid, ask)`` is accepted and a scalar is used for both sides.
    choices : tuple of str
        The allowed values of a ``str`` parameter.
    form : str
        What the text of a ``str`` parameter must be, as a phrase.
    reader : callable, optional
        Reads such a text; raises ValueError or ArithmeticError where it has not that form.

    Examples
    --------
    >>> k = Parameter("k", float, unit="1/tick", low=0.0, open_low=True, doc="decay of the fill intensity")
    >>> k.check(2)
    2.0
    >>> k.check(-1)
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: k must be a finite number > 0 (1/tick), got -1
    """

    name: str
    type: type
    default: Any = REQUIRED
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    finite: bool = True
    unit: str = ""
    doc: str = ""
    pair: bool = False
    choices: tuple[str, ...] = ()
    form: str = "a text"
    reader: Callable[[str], object] | None = None

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is REQUIRED

    @property
    def allowed(self) -> str:
        """What is allowed, as a phrase for errors and docs."""
        if self.choices:
            return "one of " + ", ".join(repr(c) for c in self.choices)
        if self.type is bool:
            return "true or false"
        if self.type is str:
            return self.form
        noun = (
            "an integer"
            if self.type is int
            else "a finite number"
            if self.finite
            else "a number, inf or -inf"
        )
        bounds = []
        form = ".0f" if self.type is int else "g"
        if self.low != -math.inf:
            bounds.append(f"{'>' if self.open_low else '>='} {self.low:{form}}")
        if self.high != math.inf:
            bounds.append(f"{'<' if self.open_high else '<='} {self.high:{form}}")
        phrase = " ".join([noun, " and ".join(bounds)]).strip()
        if self.pair:
            phrase += ", or a pair (bid, ask) of such"
        if self.unit:
            phrase += f" ({self.unit})"
        if self.default is None:
            phrase += ", or None"
        return phrase

    def check(self, value: Any) -> Any:
        """Return ``value`` converted to the parameter's type, or raise.

        Raises
        ------
        InvalidArgument
            Names the argument, the value and what is allowed.
        """
        if value is None and self.default is None:
            return None
        if self.pair:
            try:
                both = two_sides(value)
            except TypeError:
                raise self._refuse(value) from None
            if both is None:
                return (one := self._check_one(value, value)), one
            return self._check_one(both[0], value), self._check_one(both[1], value)
        return self._check_one(value, value)

    def _check_one(self, value: Any, given: Any) -> Any:
        if self.type is bool:
            if not isinstance(value, bool):
                raise self._refuse(given)
            return value
        if self.type is str:
            if not isinstance(value, str) or (self.choices and value not in self.choices):
                raise self._refuse(given)
            if self.reader is not None:
                try:
                    self.reader(value)
                except (ValueError, ArithmeticError):
                    raise self._refuse(given) from None
            return value
        try:
            number = real(value)
        except (TypeError, ValueError, OverflowError):
            raise self._refuse(given) from None
        if math.isnan(number) or (self.finite and math.isinf(number)):
            raise self._refuse(given)
        if self.type is int:
            if number != int(number):
                raise self._refuse(given)
            number = int(value)
        if (number <= self.low if self.open_low else number < self.low) or (
            number >= self.high if self.open_high else number > self.high
        ):
            raise self._refuse(given)
        return number

    def _refuse(self, value: Any) -> InvalidArgument:
        return InvalidArgument(argument=self.name, value=value, allowed=self.allowed)


@dataclass(frozen=True)
class Relation:
    """What several parameters must satisfy together.

    Parameters
    ----------
    names : tuple of str
        The parameters; the first is the one that is refused.
    holds : callable
        Takes their values in this order.
    allowed : callable
        Takes them too; returns what is allowed of the first, as a phrase.
    yields : bool
        Whether a default of the first gives way: then only a given one is held to it.

    Examples
    --------
    >>> WHOLE_ORDERS.fault({"q_max": 10, "order_size": 3})
    'a multiple of order_size, 3 lots'
    """

    names: tuple[str, ...]
    holds: Callable[..., bool]
    allowed: Callable[..., str]
    yields: bool = False

    def fault(self, values: Mapping[str, Any]) -> str | None:
        """Return what is allowed of the first parameter where the relation does not hold; None where it does.

        It holds where the first one is None: not given, or chosen by us.
        """
        given = [values[name] for name in self.names]
        return None if given[0] is None or self.holds(*given) else self.allowed(*given)


WHOLE_ORDERS = Relation(
    ("q_max", "order_size"),
    lambda q_max, order_size: q_max % order_size == 0,
    lambda _, order_size: f"a multiple of order_size, {order_size} lots",
)
"""The bound of the inventory is reached by whole orders."""


def expect_together(relations: Iterable[Relation], values: Mapping[str, Any]) -> None:
    """Refuse the first parameter whose relation to others does not hold.

    Examples
    --------
    >>> expect_together((WHOLE_ORDERS,), {"q_max": 10, "order_size": 3})
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: q_max must be a multiple of order_size, 3 lots, got 10
    """
    for relation in relations:
        allowed = relation.fault(values)
        if allowed is not None:
            raise InvalidArgument(
                argument=relation.names[0], value=values[relation.names[0]], allowed=allowed
            )
