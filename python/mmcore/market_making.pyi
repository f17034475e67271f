from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["InventoryChain", "Regimes"]

@final
class InventoryChain:
    rate: NDArray[np.float64]
    bid: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
    ask: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]
    def __init__(
        self,
        rate: ArrayLike,
        bid: Sequence[ArrayLike],
        ask: Sequence[ArrayLike],
        *,
        discount: float = 1.0,
        independent: bool = False,
    ) -> None: ...
    @property
    def discount(self) -> float: ...
    @property
    def separates(self) -> bool: ...
    def __len__(self) -> int: ...
    def lines(self) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]: ...
    def backward(
        self,
        steps: int,
        terminal: ArrayLike = 0.0,
        *,
        values: NDArray[np.float64] | None = None,
        bid: NDArray[Any] | None = None,
        ask: NDArray[Any] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]: ...
    def stationary(
        self, *, limit: int = 1000
    ) -> tuple[NDArray[np.float64], NDArray[np.int16], NDArray[np.int16], float, int]: ...

@final
class Regimes:
    chains: tuple[InventoryChain, ...]
    def __init__(
        self,
        chains: Sequence[InventoryChain],
        change: ArrayLike | None = None,
        *,
        exclusive: bool = True,
        cross: ArrayLike | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def step(
        self, next: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.int16], NDArray[np.int16], NDArray[np.int16]]: ...
    def backward(
        self,
        steps: int,
        terminal: ArrayLike = 0.0,
        *,
        values: NDArray[np.float64] | None = None,
        bid: NDArray[Any] | None = None,
        ask: NDArray[Any] | None = None,
        take: NDArray[np.int16] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any], NDArray[np.int16]]: ...
