from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .models.model import Model

__all__ = [
    "Lattice",
    "affine_of",
    "evaluate",
    "fill_constant",
    "lattice_of",
    "side_of",
    "static_half_spread",
    "stationary_policies",
]

def affine_of(model: Model) -> tuple[tuple[float, float], tuple[float, float], float, float]: ...
def static_half_spread(curvature: float, k: float) -> float: ...
def fill_constant(curvature: float, k: float) -> float: ...
def lattice_of(model: Model) -> tuple[Lattice, tuple[float, float]]: ...
def side_of(curvature: float, k: float, A: float, cost: float) -> tuple[float, float]: ...

MOST_TERMS: float

@final
class Lattice:
    def __init__(self, rate: ArrayLike, *, up: float, down: float, k_bid: float, k_ask: float) -> None: ...
    @property
    def rate(self) -> NDArray[np.float64]: ...
    @property
    def up(self) -> float: ...
    @property
    def down(self) -> float: ...
    @property
    def k_bid(self) -> float: ...
    @property
    def k_ask(self) -> float: ...
    def __len__(self) -> int: ...
    def stationary(self) -> tuple[NDArray[np.float64], float, float]: ...
    def uniformise(
        self, start: ArrayLike, span: float, *, value: float = 0.0
    ) -> tuple[NDArray[np.float64], float]: ...
    def evolve(
        self,
        start: ArrayLike,
        times: ArrayLike,
        *,
        value: float = 0.0,
        tolerance: float = 1e-13,
        first_step: float = 0.0,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]: ...

def evaluate(
    rate: ArrayLike,
    *,
    A: tuple[float, float],
    k: tuple[float, float],
    cost: tuple[float, float],
    curvature: float,
    times: ArrayLike,
    bid: ArrayLike,
    ask: ArrayLike,
    start: ArrayLike,
    tolerance: float = 1e-9,
) -> NDArray[np.float64]: ...
def stationary_policies(
    *,
    sigma: ArrayLike,
    A: ArrayLike,
    k: ArrayLike,
    gamma: ArrayLike,
    q_max: int,
    order_size: int = 1,
    bid: NDArray[np.float64] | None = None,
    ask: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
