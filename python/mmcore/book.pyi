from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any, Literal, NamedTuple, SupportsIndex, TypeAlias, final

import numpy as np
import numpy.typing as npt

from .instruments import Currency, Instrument
from .ledger import Adjustment, Breach, Difference, Entry

__all__ = ["FILL", "Book", "OpenLot", "Position", "Snapshot", "Status"]

_Id: TypeAlias = str | bytes | SupportsIndex | None
_FillArray: TypeAlias = np.ndarray[Any, np.dtype[np.void]]
_Kind: TypeAlias = Literal[
    "new",
    "bust",
    "correct",
    "suspend",
    "release",
    "funding",
    "borrow",
    "dividend",
    "in_lieu",
    "convert",
    "identify",
]
_Liquidity: TypeAlias = Literal["maker", "taker"] | None
_What: TypeAlias = Literal["realised", "unrealised", "cash", "cost", "fees"]

FILL: np.dtype[np.void]
_KINDS: dict[str, int]

def _records(fills: _FillArray, argument: str = "fills") -> _FillArray: ...

class Status(IntEnum):
    OK = 0
    DUPLICATE = 1
    SUSPENDED = 2
    UNMET = 3
    INVALID = -1
    OVERFLOW = -2
    CONFLICT = -3
    UNSUPPORTED = -4
    UNKNOWN = -5

class OpenLot(NamedTuple):
    qty: int
    price: int | Fraction
    row: int
    id: bytes | None

_Lots: TypeAlias = Iterable[tuple[OpenLot | _Id, SupportsIndex]]

@final
class Position:
    @property
    def instrument(self) -> Instrument: ...
    @property
    def net(self) -> int: ...
    @property
    def cash(self) -> int: ...
    @property
    def cost(self) -> int: ...
    @property
    def realised(self) -> int: ...
    @property
    def unrealised(self) -> int | None: ...
    @property
    def fees(self) -> int: ...
    @property
    def other_fees(self) -> dict[str, int]: ...
    @property
    def payments(self) -> dict[str, dict[str, int]]: ...
    @property
    def carried(self) -> int: ...
    @property
    def mark(self) -> int | None: ...
    @property
    def bought(self) -> int: ...
    @property
    def sold(self) -> int: ...
    @property
    def fills(self) -> int: ...
    @property
    def average_cost(self) -> Fraction | None: ...
    @property
    def lots(self) -> tuple[tuple[int, int | Fraction], ...]: ...
    @property
    def open_lots(self) -> tuple[OpenLot, ...]: ...
    @property
    def unmet(self) -> int: ...
    def fill(
        self,
        qty: SupportsIndex,
        price: SupportsIndex,
        fee: SupportsIndex = 0,
        time: SupportsIndex = 0,
        id: _Id = None,
    ) -> Status: ...
    def fill_batch(self, qty: npt.ArrayLike, price: npt.ArrayLike, fee: npt.ArrayLike = 0) -> None: ...
    def set_mark(self, ticks: SupportsIndex) -> None: ...
    def money(self, what: _What) -> Decimal | None: ...
    def pnl(self) -> dict[str, Decimal | None]: ...
    @property
    def _totals(self) -> dict[str, Any]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def _repr_html_(self) -> str: ...
    def plot(self, ax: Any = None) -> Any: ...

@final
class Snapshot:
    @property
    def cost(self) -> str: ...
    @property
    def history(self) -> _FillArray: ...
    def __getitem__(self, key: str, /) -> dict[str, Any]: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def __hash__(self) -> int: ...
    def to_dict(self) -> dict[str, Any]: ...

@final
class Book:
    def __new__(
        cls,
        instruments: Iterable[Instrument],
        cost: Literal["average", "fifo", "lifo", "specific"] = "average",
        history: Literal["full", "none"] = "full",
        currencies: Iterable[Currency] = (),
        unknown: Literal["refuse", "suspend"] = "refuse",
        ids_window: SupportsIndex | None = None,
    ) -> Book: ...
    @property
    def ids_window(self) -> int | None: ...
    @property
    def instruments(self) -> tuple[Instrument, ...]: ...
    @property
    def currencies(self) -> tuple[Currency, ...]: ...
    @property
    def cost(self) -> str: ...
    @property
    def keeps_history(self) -> bool: ...
    @property
    def history(self) -> _FillArray: ...
    def __getitem__(self, key: str, /) -> Position: ...
    def __contains__(self, key: object, /) -> bool: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...
    def fill(
        self,
        instrument: str,
        qty: SupportsIndex,
        price: SupportsIndex,
        fee: SupportsIndex = 0,
        *,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        id: _Id = None,
        reference: _Id = None,
        order_id: SupportsIndex = 0,
        liquidity: _Liquidity = None,
        fee_currency: str | Currency | None = None,
        kind: _Kind = "new",
        target: SupportsIndex = 0,
        lots: _Lots = (),
    ) -> Status: ...
    def bust(
        self,
        instrument: str,
        id: _Id = None,
        *,
        row: SupportsIndex | None = None,
        side: Literal["bought", "sold"] | None = None,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        own_id: _Id = None,
    ) -> Status: ...
    def correct(
        self,
        instrument: str,
        id: _Id = None,
        *,
        qty: SupportsIndex,
        price: SupportsIndex,
        fee: SupportsIndex = 0,
        row: SupportsIndex | None = None,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        order_id: SupportsIndex = 0,
        liquidity: _Liquidity = None,
        fee_currency: str | Currency | None = None,
        own_id: _Id = None,
    ) -> Status: ...
    def suspend(
        self, instrument: str, qty: SupportsIndex, price: SupportsIndex, fee: SupportsIndex = 0, **fields: Any
    ) -> Status: ...
    @property
    def suspense(self) -> tuple[int, ...]: ...
    def release(
        self, row: SupportsIndex, instrument: str, *, receive_time: SupportsIndex = 0, lots: _Lots = ()
    ) -> Status: ...
    def dismiss(
        self, row: SupportsIndex, *, time: SupportsIndex = 0, receive_time: SupportsIndex = 0
    ) -> Status: ...
    def payment(
        self,
        instrument: str,
        kind: Literal["funding", "borrow", "dividend", "in_lieu"],
        amount: SupportsIndex,
        currency: str | Currency | None = None,
        *,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        id: _Id = None,
        reference: _Id = None,
    ) -> Status: ...
    def convert(
        self,
        instrument: str,
        to: str,
        new: SupportsIndex = 1,
        old: SupportsIndex = 1,
        *,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        id: _Id = None,
        reference: _Id = None,
    ) -> Status: ...
    def split(
        self,
        instrument: str,
        new: SupportsIndex,
        old: SupportsIndex = 1,
        *,
        in_lieu: SupportsIndex | None = None,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        id: _Id = None,
        reference: _Id = None,
    ) -> Status: ...
    def roll(
        self,
        instrument: str,
        to: str,
        *,
        close: SupportsIndex,
        open: SupportsIndex,
        qty: SupportsIndex | None = None,
        fee: npt.ArrayLike = 0,
        fee_currency: str | Currency | None = None,
        liquidity: _Liquidity = None,
        time: SupportsIndex = 0,
        receive_time: SupportsIndex = 0,
        id: _Id = None,
        lots: _Lots = (),
    ) -> Status: ...
    def add(self, instrument: Instrument) -> None: ...
    @property
    def in_force(self) -> _FillArray: ...
    def entries(self) -> list[Entry]: ...
    def adjustments(self) -> list[Adjustment]: ...
    def watch(self, limits: Mapping[str, Mapping[str, Any]], notice: Callable[[Breach], object]) -> None: ...
    @property
    def limits(self) -> dict[str, dict[str, int | Decimal]]: ...
    @property
    def breached(self) -> tuple[str, ...]: ...
    def breaches(self, limits: Mapping[str, Mapping[str, Any]] | None = None) -> list[Breach]: ...
    def reconcile(self, statement: Any) -> list[Difference]: ...
    def records(
        self,
        *,
        qty: npt.ArrayLike,
        price: npt.ArrayLike,
        instrument: str | npt.ArrayLike = 0,
        **columns: npt.ArrayLike,
    ) -> _FillArray: ...
    def apply(
        self, fills: _FillArray, on_error: Literal["none", "skip"] = "none"
    ) -> npt.NDArray[np.int8]: ...
    def mark(self, instrument: str, ticks: SupportsIndex) -> None: ...
    def snapshot(self) -> Snapshot: ...
    def to_bytes(self) -> bytes: ...
    @classmethod
    def from_bytes(
        cls,
        block: bytes | bytearray | memoryview,
        instruments: Iterable[Instrument],
        currencies: Iterable[Currency] = (),
    ) -> Book: ...
    def table(self) -> list[dict[str, str]]: ...
    def _repr_html_(self) -> str: ...
    def plot(self, ax: Any = None) -> Any: ...
