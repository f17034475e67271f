from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pairs", "Rows", "alive", "span"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.float32]

@final
class Rows:
    def __init__(self, n_states: int, width: int) -> None: ...

@final
class Pairs:
    def __init__(
        self,
        first: Ints,
        row: NDArray[Any],
        column: NDArray[Any],
        probability: Floats,
        reward: Floats,
        discount: Floats,
        sign: float = 1.0,
        n_columns: int = 0,
    ) -> None: ...
    @property
    def arrays(self) -> tuple[Ints, NDArray[Any], NDArray[Any], Floats, Floats, Floats]: ...
    @property
    def n_states(self) -> int: ...
    @property
    def n_pairs(self) -> int: ...
    @property
    def sign(self) -> float: ...
    def check(self, tolerance: float) -> tuple[int, dict[str, Any]]: ...
    def improve(
        self,
        v: Floats | None,
        out: Floats,
        policy: Ints,
        key: Keys | None = None,
        proven: float = 0.0,
        drift: float = 0.0,
        begin: int = 0,
        end: int = -1,
        offset: int = 0,
        rows: Rows | None = None,
    ) -> tuple[float, float, int, int, int]: ...
    def evaluate(
        self,
        v: Floats,
        out: Floats,
        policy: Ints,
        begin: int = 0,
        end: int = -1,
        rows: Rows | None = None,
    ) -> tuple[float, float]: ...
    def band(self, policy: Ints, below: int, above: int, x: Floats) -> int: ...
    def bicgstab(
        self,
        policy: Ints,
        tolerance: float,
        limit: int,
        x: Floats,
        work: Floats,
        rows: Rows | None = None,
    ) -> tuple[int, int, float]: ...

def alive(key: Keys, proven: float) -> int: ...
def span(a: Floats, b: Floats | None = None) -> tuple[float, float]: ...
