from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fields", "parse", "parse_floor"]

_Step = str | int | Decimal
_Rounding = Literal["exact", "floor", "ceil", "nearest"]
_Texts = Sequence[str | bytes | int | Decimal] | NDArray[Any]

def parse(values: _Texts, step: _Step = "1", rounding: _Rounding = "exact") -> NDArray[np.int64]: ...
def parse_floor(values: _Texts, step: _Step = "1") -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...

class Fields:
    text: bytes
    columns: int
    lines: NDArray[np.int64]
    def __init__(self, text: bytes, columns: int, delimiter: str = ",") -> None: ...
    def __len__(self) -> int: ...
    def integers(
        self, column: int, step: _Step = "1", rounding: _Rounding = "exact"
    ) -> NDArray[np.int64]: ...
    def integers_floor(
        self, column: int, step: _Step = "1"
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]: ...
    def strings(self, column: int) -> list[str]: ...
    def codes(self, column: int, codes: Mapping[str, int]) -> NDArray[np.int64]: ...
