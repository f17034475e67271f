"""Errors with stable codes: what was given, what is allowed, what to do.

Every refusal of mmcore is one of these classes. Each carries ``code`` (stable, machine-readable),
``argument``, ``value``, ``allowed`` and, for arrays, ``index``; each is also the built-in exception
a Python programmer would expect (:class:`ValueError`, :class:`OverflowError`, ...).

The compiled modules raise them too, so this module is compiled and depends on nothing.
"""

__all__ = [
    "ApproximationWarning",
    "CapacityError",
    "ConflictError",
    "CorruptError",
    "Error",
    "InvalidArgument",
    "MissingExtra",
    "ModelWarning",
    "NoConvergence",
    "NotIdentified",
    "OutOfBounds",
    "UnknownName",
    "Unsupported",
]


_SHOWN = 200  # characters


def shown(value):
    """The value as a message shows it: a NumPy number as the number that it is, what is long by its ends."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        if getattr(value, "mask", False):
            return "masked"
        value = value.item()
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits
        return f"{type(value).__name__} of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN // 2]}…{text[-_SHOWN // 4:]}"


class Error(Exception):
    """Base of all mmcore errors.

    Parameters
    ----------
    message : str, optional
        The whole sentence; made from the other arguments when omitted.
    argument : str, optional
        Name of the argument that was refused.
    value : object, optional
        What was given.
    allowed : str, optional
        What is allowed, as a phrase: ``"a finite number > 0"``.
    index : int, optional
        Position in the array that was given.

    Examples
    --------
    >>> from mmcore.errors import InvalidArgument
    >>> raise InvalidArgument(argument="sigma", value=-1.0, allowed="a finite number > 0")
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: sigma must be a finite number > 0, got -1.0
    """

    code = "error"

    def __init__(self, message=None, *, argument=None, value=None, allowed=None, index=None):
        if message is None:
            at = "" if index is None else f"[{index}]"
            message = f"{argument}{at} must be {allowed}, got {shown(value)}"
        super().__init__(message)
        self.argument = argument
        self.value = value
        self.allowed = allowed
        self.index = index


class InvalidArgument(Error, ValueError):
    """An argument is outside what is allowed."""

    code = "invalid"


class OutOfBounds(Error, OverflowError):
    """The result would leave the stated bounds of the exact arithmetic; nothing was changed."""

    code = "overflow"


class ConflictError(Error, ValueError):
    """A known id came again with different content."""

    code = "conflict"


class Unsupported(Error, NotImplementedError):
    """A kind of record or contract that this version refuses by name."""

    code = "unsupported"


class UnknownName(Error, KeyError):
    """An instrument, order, column or id that was never declared."""

    code = "unknown"

    def __str__(self):
        return Exception.__str__(self)


class CapacityError(Error, MemoryError):
    """The result needs more memory than allowed; the message says how much."""

    code = "capacity"


class NoConvergence(Error, ArithmeticError):
    """An iteration did not reach its tolerance."""

    code = "no_convergence"


class CorruptError(Error, ValueError):
    """A file or block of bytes whose magic, version, size or checksum is wrong."""

    code = "corrupt"


class NotIdentified(Error, ValueError):
    """The data do not identify what was asked for."""

    code = "not_identified"


class MissingExtra(Error, ImportError):
    """A feature needs an optional dependency; the message names the extra to install."""

    code = "missing_extra"

    def __init__(self, feature, extra):
        super().__init__(
            f"{feature} needs an optional dependency: pip install 'mmcore-quoting[{extra}]' adds it to what "
            f"is installed, '.[{extra}]' in a checkout too"
        )
        self.extra = extra


class ApproximationWarning(UserWarning):
    """A closed-form approximation is used outside the range where it is good."""


class ModelWarning(UserWarning):
    """A model is solved as it stands, and is perhaps not what was meant."""
