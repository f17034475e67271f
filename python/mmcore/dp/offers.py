"""What a market maker may quote in one regime of the market: offers with their chances and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import number, real
from ..errors import InvalidArgument
from ..math import exp_product
from ..models.model import Floats
from ..parameters import expect


def _column(name: str, given: ArrayLike, length: int | None = None) -> Floats:
    """One number or more as an array that nobody writes to, of that length where there is one."""
    array = np.array(real(name, given, "finite numbers, at least one"), ndmin=1)
    if array.ndim != 1 or not array.size or not np.isfinite(array).all():
        raise InvalidArgument(argument=name, value=given, allowed="finite numbers, at least one")
    if length is not None and array.size != length:
        allowed = f"as many numbers as there are depths, {length}"
        raise InvalidArgument(argument=name, value=array.tolist(), allowed=allowed)
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Offers:
    """What may be offered on one side: depths, the rates at which they are filled, sizes.

    Parameters
    ----------
    depth : array_like
        From the reference price, ticks; negative beyond it.
    rate : array_like
        Fills per second, >= 0.
    size : array_like
        Lots, whole orders; one order where omitted.

    Examples
    --------
    >>> Offers.exponential(A=0.9, k=0.3, depth=[1, 2]).rate.round(4).tolist()
    [0.6667, 0.4939]
    >>> Offers.touch(2, join=0.35, improve=0.7).depth.tolist()  # a spread of two ticks
    [1.0, 0.0]
    """

    depth: Floats
    rate: Floats
    size: Floats | None = None
    spread: float | None = None

    def __post_init__(self) -> None:
        depth = _column("depth", self.depth)
        object.__setattr__(self, "depth", depth)
        object.__setattr__(self, "rate", _column("rate", self.rate, depth.size))
        if self.size is not None:
            size = np.full(depth.size, self.size) if np.ndim(self.size) == 0 else self.size
            object.__setattr__(self, "size", _column("size", size, depth.size))
        if self.spread is not None:
            number("spread", self.spread, open_low=False)
        if (self.rate < 0).any():
            raise InvalidArgument(argument="rate", value=float(self.rate.min()), allowed=">= 0 (1/s)")
        if self.size is not None and not ((self.size >= 1) & (self.size == np.floor(self.size))).all():
            raise InvalidArgument(argument="size", value=self.size.tolist(), allowed="whole lots >= 1")

    @classmethod
    def exponential(cls, A: float, k: float, depth: ArrayLike, size: ArrayLike | None = None) -> Offers:
        """Offers that are filled at the rate A exp(-k depth)."""
        number("A", A)
        number("k", k)
        ticks = _column("depth", depth)
        return cls(ticks, A * exp_product(-k, ticks), size)  # type: ignore[arg-type]

    @classmethod
    def touch(
        cls,
        spread: float,
        *,
        join: float | None = None,
        improve: float | None = None,
        back: Sequence[float] = (),
    ) -> Offers:
        """Offers around the touch of a market whose mid is the reference price.

        Parameters
        ----------
        spread : float
            Ticks, >= 1.
        join : float, optional
            Fills per second at the touch.
        improve : float, optional
            One tick inside, which a spread of one tick has no room for.
        back : sequence of float
            One, two, ... ticks outside.
        """
        number("spread", spread, 1.0, open_low=False)
        if improve is not None and spread < 2:
            raise InvalidArgument(
                argument="improve", value=improve, allowed="None where the spread is one tick"
            )
        back = [] if np.size(back) == 0 else _column("back", back).tolist()
        offers = [] if join is None else [(spread / 2, join)]
        offers += [] if improve is None else [(spread / 2 - 1, improve)]
        offers += [(spread / 2 + 1 + i, rate) for i, rate in enumerate(back)]
        if not offers:
            raise InvalidArgument(argument="join", value=join, allowed="a rate, unless another is given")
        depth, rate = zip(*offers, strict=True)
        return cls(depth, rate, spread=spread)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Regime:
    """One state of the market: volatility, imbalance, width of the spread, signal.

    Parameters
    ----------
    bid : Offers
        What may be offered on the bid.
    ask : Offers, optional
        On the ask; as the bid where omitted.
    running_penalty : float
        phi, ticks/(lot·s), >= 0: holding q lots costs phi q² a second. (gamma sigma²/2 of a risk-averse
        market maker whose price has volatility sigma here.)
    drift : float
        Of the reference price, ticks/s.
    spread : float, optional
        Of the market, ticks: a market order pays half of it. Where omitted, that of the offers if they have
        one (:meth:`Offers.touch`), else one tick.
    adverse_selection : float or (float, float)
        What each lot filled at the bid, and at the ask, loses by the move of the reference price that comes
        with the market order, ticks. Prices are a martingale here (but for `drift`): the order, and the move,
        would have come without us, so that what is held already neither gains nor loses by it on average.
    name : str
        For people.
    """

    bid: Offers
    ask: Any = None
    running_penalty: float = 0.0
    drift: float = 0.0
    spread: float | None = None
    adverse_selection: float | tuple[float, float] = 0.0
    name: str = ""

    def __post_init__(self) -> None:
        if self.ask is None:
            object.__setattr__(self, "ask", self.bid)
        for side in ("bid", "ask"):
            expect(side, getattr(self, side), Offers, "Offers")
        number("running_penalty", self.running_penalty, open_low=False)
        given = {"spread": self.spread, "bid": self.bid.spread, "ask": self.ask.spread}
        spreads = {name: spread for name, spread in given.items() if spread is not None} or {"spread": 1.0}
        for spread in spreads.values():
            number("spread", spread, open_low=False)
        if len(set(spreads.values())) > 1:
            told = ", ".join(f"{name} {spread:g}" for name, spread in spreads.items())
            allowed = "that of the offers of both sides"
            raise InvalidArgument(
                f"spread must be {allowed}, got {told}", argument="spread", value=spreads, allowed=allowed
            )
        object.__setattr__(self, "spread", next(iter(spreads.values())))
        number("drift", self.drift, -math.inf)
        pair = (
            self.adverse_selection
            if isinstance(self.adverse_selection, tuple)
            else (self.adverse_selection,) * 2
        )
        if len(pair) != 2:
            raise InvalidArgument(
                argument="adverse_selection", value=pair, allowed="a number, or a pair for bid and ask"
            )
        for one in pair:
            number("adverse_selection", one, -math.inf)
        object.__setattr__(self, "adverse_selection", pair)
