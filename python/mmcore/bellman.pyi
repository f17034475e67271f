from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Keys", "Pairs", "Rows", "corrected", "scaled", "span"]

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Singles = NDArray[np.float32]

@final
class Rows:
    def __init__(self, n_states: int, width: int = 0) -> None: ...
    @property
    def copied(self) -> bool: ...

@final
class Keys:
    drift: float
    most: float
    gain: float
    def __init__(self, pairs: Pairs) -> None: ...
    def reopen(self) -> None: ...
    def alive(self, value: _Floats, policy: _Ints, proven: float) -> int: ...

@final
class Pairs:
    def __init__(
        self,
        first: _Ints,
        row: NDArray[Any],
        column: NDArray[Any],
        probability: _Floats,
        reward: _Floats,
        discount: _Floats,
        sign: float = 1.0,
        n_columns: int = 0,
    ) -> None: ...
    @property
    def arrays(self) -> tuple[_Ints, NDArray[Any], NDArray[Any], _Floats, _Floats, _Floats]: ...
    @property
    def n_states(self) -> int: ...
    @property
    def n_pairs(self) -> int: ...
    @property
    def sign(self) -> float: ...
    def check(self, tolerance: float) -> tuple[int, dict[str, Any]]: ...
    def sample(self, states: int, v: _Floats, old: _Floats | None = None) -> tuple[float, float]: ...
    def improve(
        self,
        v: _Floats | None,
        out: _Floats,
        policy: _Ints,
        proven: float = 0.0,
        begin: int = 0,
        end: int = -1,
        offset: int = 0,
        rows: Rows | None = None,
        keys: Keys | None = None,
    ) -> tuple[float, float, int, int, int]: ...
    def evaluate(
        self,
        v: _Floats,
        out: _Floats,
        rows: Rows,
        begin: int = 0,
        end: int = -1,
    ) -> tuple[float, float]: ...
    def correct(
        self,
        residual: _Singles,
        x: _Singles,
        out: _Singles,
        rows: Rows,
        begin: int = 0,
        end: int = -1,
    ) -> tuple[float, float]: ...
    def band(self, rows: Rows, below: int, above: int, x: _Floats) -> int: ...
    def bicgstab(
        self, rows: Rows, tolerance: float, limit: int, x: _Floats, work: _Floats
    ) -> tuple[int, int, float]: ...
    def gmres(
        self, rows: Rows, tolerance: float, limit: int, x: _Floats, work: _Floats, restart: int = 4
    ) -> tuple[int, int, float]: ...

def scaled(a: _Floats, b: _Floats, scale: float, out: _Singles) -> None: ...
def corrected(a: _Floats, x: _Singles, scale: float, out: _Floats) -> None: ...
def span(a: _Floats, b: _Floats | None = None) -> tuple[float, float]: ...
