from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from .events import Events
from .orders import Orders
from .quoting import Quoter
from .rolling import Recalibrate

DECISION: np.dtype[np.void]
FILL_CONTEXT: np.dtype[np.void]
MESSAGE: np.dtype[np.void]
STANDING: np.dtype[np.void]
PARAMETERS: np.dtype[np.void]

class DecisionLog:
    records: NDArray[np.void]
    numbers: NDArray[np.int64] | None
    n: int
    interval: int
    def __init__(
        self, records: NDArray[np.void], numbers: NDArray[np.int64] | None, n: int, interval: int
    ) -> None: ...
    def __len__(self) -> int: ...
    def array(self) -> NDArray[np.void]: ...

@disjoint_base
class Matching:
    def __init__(
        self,
        events: Events,
        quoter: Quoter,
        *,
        interval: int,
        latency: int,
        first: int,
        last: int,
        end: int,
        time_left: float,
        expiry: int,
        fee: tuple[int, int],
        touch: bool,
        weighted: bool,
        hidden: bool,
        recalibrate: Recalibrate | None = None,
        orders: Orders | None = ...,
        decisions: int = ...,
        fills: int | None = ...,
    ) -> None: ...
    @property
    def parameters(self) -> NDArray[np.void] | None: ...
    def run(self, stop: int) -> int: ...
    def finish(
        self,
    ) -> tuple[
        DecisionLog,
        NDArray[np.void],
        NDArray[np.void],
        dict[str, Any],
        tuple[NDArray[np.void], NDArray[np.void], NDArray[np.uint16]] | None,
    ]: ...

__all__ = ["DECISION", "FILL_CONTEXT", "MESSAGE", "PARAMETERS", "STANDING", "DecisionLog", "Matching"]
