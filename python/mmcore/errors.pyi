from typing import Any

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

class Error(Exception):
    code: str
    argument: str | None
    value: Any
    allowed: str | None
    index: int | None
    def __init__(
        self,
        message: str | None = None,
        *,
        argument: str | None = None,
        value: Any = None,
        allowed: str | None = None,
        index: int | None = None,
    ) -> None: ...

class InvalidArgument(Error, ValueError): ...
class OutOfBounds(Error, OverflowError): ...
class ConflictError(Error, ValueError): ...
class Unsupported(Error, NotImplementedError): ...

class UnknownName(Error, KeyError):
    def __str__(self) -> str: ...

class CapacityError(Error, MemoryError): ...
class NoConvergence(Error, ArithmeticError): ...
class CorruptError(Error, ValueError): ...
class NotIdentified(Error, ValueError): ...

class MissingExtra(Error, ImportError):
    extra: str
    def __init__(self, feature: str, extra: str) -> None: ...

class ApproximationWarning(UserWarning): ...
class ModelWarning(UserWarning): ...
