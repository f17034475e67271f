from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag
from typing import Any, Literal, NamedTuple, Self, SupportsIndex, TypeAlias, final

import numpy as np

from .book import Status
from .instruments import Instrument
from .quoting import Quote, QuoteBuffer

__all__ = ["ACTION", "Action", "ActionKind", "Held", "OpenOrder", "Orders", "Report", "ReportKind"]

_Side: TypeAlias = Literal["bid", "ask"]
_Kind: TypeAlias = Literal[
    "accepted", "fill", "amended", "canceled", "rejected", "amend_rejected", "cancel_rejected"
]
_Quote: TypeAlias = (
    Quote
    | QuoteBuffer
    | tuple[SupportsIndex | None, SupportsIndex | None, SupportsIndex, SupportsIndex]
    | Sequence[int]
)
_Listed: TypeAlias = (
    OpenOrder | tuple[int, _Side, int, int] | tuple[int, _Side, int, int, int] | Sequence[Any]
)

ACTION: np.dtype[np.void]

class ActionKind(IntEnum):
    NEW = 1
    AMEND = 2
    CANCEL = 3

class ReportKind(IntEnum):
    ACCEPTED = 1
    FILL = 2
    AMENDED = 3
    CANCELED = 4
    REJECTED = 5
    AMEND_REJECTED = 6
    CANCEL_REJECTED = 7

class Held(IntFlag):
    HYSTERESIS = 1
    LIFE = 2
    BUDGET = 4
    PENDING = 8
    EXPOSURE = 16
    OWN = 32
    TOUCH = 64
    REJECTED = 128
    SLOTS = 256
    @property
    def words(self) -> tuple[str, ...]: ...

@final
class Action:
    def __init__(self, *args: object, **kwargs: object) -> None: ...
    @property
    def kind(self) -> ActionKind: ...
    @property
    def side(self) -> _Side: ...
    @property
    def price(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def level(self) -> int: ...
    @property
    def order_id(self) -> int: ...
    @property
    def revision(self) -> int: ...
    def __hash__(self) -> int: ...
    def record(self) -> np.void: ...

@final
class Report:
    def __new__(
        cls,
        kind: ReportKind | _Kind,
        order_id: SupportsIndex,
        *,
        filled: SupportsIndex | None = None,
        qty: SupportsIndex | None = None,
        price: SupportsIndex | None = None,
        size: SupportsIndex | None = None,
        side: _Side | None = None,
        revision: SupportsIndex | None = None,
        reason: Literal["post_only", "other"] | None = None,
    ) -> Self: ...
    @property
    def kind(self) -> ReportKind: ...
    @property
    def order_id(self) -> int: ...
    @property
    def filled(self) -> int | None: ...
    @property
    def qty(self) -> int | None: ...
    @property
    def price(self) -> int | None: ...
    @property
    def size(self) -> int | None: ...
    @property
    def side(self) -> _Side | None: ...
    @property
    def revision(self) -> int | None: ...
    @property
    def reason(self) -> Literal["post_only"] | None: ...
    def __hash__(self) -> int: ...

class OpenOrder(NamedTuple):
    order_id: int
    side: _Side
    price: int
    size: int
    filled: int = 0
    level: int = 0
    pending: tuple[Literal["new", "amend", "cancel"], ...] = ()
    new_price: int | None = None
    new_size: int | None = None

@final
class Orders:
    def __init__(
        self,
        instrument: Instrument | None = None,
        *,
        min_life: SupportsIndex = 0,
        hysteresis: SupportsIndex = 0,
        messages: Iterable[tuple[SupportsIndex, SupportsIndex]] = (),
        max_exposure: SupportsIndex | None = None,
        position: SupportsIndex = 0,
        amend: bool = True,
        timeout: SupportsIndex = 1_000_000_000,
        retry: SupportsIndex = 100_000_000,
        first_id: SupportsIndex = 1,
    ) -> None: ...
    @property
    def instrument(self) -> Instrument | None: ...
    def target(
        self,
        quote: _Quote,
        now: SupportsIndex,
        bid: SupportsIndex | None = None,
        ask: SupportsIndex | None = None,
    ) -> tuple[Action, ...]: ...
    def cancel_all(self, now: SupportsIndex) -> tuple[Action, ...]: ...
    def on_report(self, report: Report) -> Status: ...
    def ask(self, now: SupportsIndex) -> None: ...
    def reconcile(
        self,
        open_orders: Iterable[_Listed],
        position: SupportsIndex,
        now: SupportsIndex,
    ) -> None: ...
    def overdue(self, now: SupportsIndex) -> bool: ...
    @property
    def suspect(self) -> tuple[str, ...]: ...
    @property
    def working(self) -> tuple[OpenOrder, ...]: ...
    @property
    def position(self) -> int: ...
    @property
    def exposure(self) -> tuple[int, int]: ...
    @property
    def held(self) -> tuple[Held, Held]: ...
    @property
    def due(self) -> int | None: ...
    @property
    def sent(self) -> int: ...
    @property
    def counts(self) -> dict[str, int]: ...
    @property
    def messages(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def max_exposure(self) -> int | None: ...
    @max_exposure.setter
    def max_exposure(self, value: SupportsIndex | None) -> None: ...
    @property
    def min_life(self) -> int: ...
    @min_life.setter
    def min_life(self, value: SupportsIndex) -> None: ...
    @property
    def hysteresis(self) -> int: ...
    @hysteresis.setter
    def hysteresis(self, value: SupportsIndex) -> None: ...
    @property
    def timeout(self) -> int: ...
    @property
    def retry(self) -> int: ...
    @property
    def amend(self) -> bool: ...
    @property
    def settings(self) -> dict[str, Any]: ...
    @property
    def next_id(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(
        cls, block: bytes | bytearray | memoryview, instrument: Instrument | None = None
    ) -> Orders: ...
    def _repr_html_(self) -> str: ...
