"""Holdings over time, and what follows from their expected cost and variance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, numbers, plain, refusal
from ..errors import InvalidArgument
from ..parameters import Parameter

Floats = NDArray[np.float64]

HORIZON = Parameter("horizon", float, low=0.0, open_low=True, doc="time to the end")
PERIODS = Parameter("periods", int, low=1, high=10_000_000, default=None, doc="trades; None: continuous time")
SIGMA = Parameter("sigma", float, low=0.0, doc="volatility of the price, per root of time")
PERMANENT = Parameter("permanent", float, low=0.0, default=0.0, doc="permanent impact")
TEMPORARY = Parameter("temporary", float, low=0.0, open_low=True, doc="temporary impact")
FIXED = Parameter("fixed", float, default=0.0, low=0.0, doc="cost of each unit")
RISK_AVERSION = Parameter("risk_aversion", float, default=0.0, low=0.0, doc="price of variance")
QUANTITY = Parameter("quantity", float, doc="units to sell; negative: to buy")
DRIFT = Parameter("drift", float, default=0.0, doc="expected drift of the price")


class Risk:
    """What follows from the expected cost E and the variance V of a schedule."""

    risk_aversion: float
    if TYPE_CHECKING:

        @property
        def expected_cost(self) -> float: ...

        @property
        def variance(self) -> float: ...

    @property
    def std(self) -> float:
        """√V, money."""
        return math.sqrt(self.variance)

    @property
    def utility(self) -> float:
        """E + λV, money."""
        return float(self.expected_cost + self.risk_aversion * self.variance)

    def value_at_risk(self, probability: float = 0.95) -> float:
        """Cost that is not exceeded with this probability: E + z√V."""
        return float(self.expected_cost + quantile(probability) * self.std)


class Schedule:
    """Holdings over time, and what a quoter and a desk ask of them.

    Parameters
    ----------
    times, holdings : array_like
        Ascending times from 0 and the units held there; in between holdings are interpolated.
    """

    def __init__(self, times: ArrayLike, holdings: ArrayLike) -> None:
        self.times = np.array(numbers("times", times, -math.inf))
        self.holdings = np.array(numbers("holdings", holdings, -math.inf))
        if self.times.ndim != 1 or self.times.shape != self.holdings.shape or len(self.times) < 2:
            raise refusal("holdings", f"shape {self.holdings.shape}", "as many numbers as times, at least 2")
        if not (np.diff(self.times) > 0.0).all() or self.times[0] != 0.0:
            raise InvalidArgument(argument="times", value=self.times[0], allowed="ascending from 0")

    @property
    def trades(self) -> Floats:
        """Units sold in each period; negative where bought."""
        return -np.diff(self.holdings)

    def at(self, time: ArrayLike) -> Any:
        """Return the holdings at these times since the start: linear in between, the ends outside."""
        return plain(np.interp(numbers("time", time, -math.inf), self.times, self.holdings))

    def as_target(self, start: float = 0.0) -> Callable[[float], float]:
        """Return a function of the clock: the inventory to aim at, for ``Quoter.quote(target=…)``.

        Before the start it is what the schedule begins with, after the end what it leaves.

        Parameters
        ----------
        start : float
            Time on that clock at which the schedule begins.
        """
        begins = number("start", start, -math.inf)
        return lambda now: float(self.at(now - begins))

    def must_cross(self, now: float, inventory: float, start: float = 0.0) -> int:
        """Whole lots to take now so that the inventory is not behind the schedule.

        Negative: sell. What is ahead of the schedule is left alone. As the target does, the schedule stands
        still before its start and after its end: then all that is left is behind. Part of a lot stays where a
        whole one would take the inventory across zero and the schedule is on its side, or at zero.

        Parameters
        ----------
        now : float
            Time on the clock of :meth:`as_target`.
        inventory : float
            Lots held.
        start : float
            Time on that clock at which the schedule begins.
        """
        held, clock = number("inventory", inventory, -math.inf), number("now", now, -math.inf)
        way = math.copysign(1.0, self.holdings[0] - self.holdings[-1])
        aim, few = self.as_target(start)(clock), 1e-9 * max(1.0, abs(held))
        behind = way * (held - aim)
        lots = math.ceil(behind - few) if behind > 0.0 else 0
        if way * held > 0.0 and way * aim >= 0.0:
            lots = min(lots, math.floor(way * held + few))
        return -int(way) * lots

    def __repr__(self) -> str:
        return f"Schedule({self.holdings[0]:g} to {self.holdings[-1]:g} over {self.times[-1]:g})"


def quantile(probability: float) -> float:
    from scipy.special import ndtri

    if not (isinstance(probability, (int, float)) and 0.0 < probability < 1.0):
        raise InvalidArgument(argument="probability", value=probability, allowed="strictly between 0 and 1")
    return float(ndtri(probability))
