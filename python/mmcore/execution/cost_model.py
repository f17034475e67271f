r"""What an order costs in basis points, by Kissell's model.

The instantaneous cost is :math:`I^* = a_1 (Q/ADV)^{a_2}\sigma^{a_3}` basis points, and that of an order at
the rate POV is :math:`b_1 I^* POV^{a_4} + (1 - b_1) I^*`.

Source: Kissell, *The Science of Algorithmic Trading* (2013).
"""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import ArrayLike

from ..arrays import number, numbers, plain, together


class IStar:
    """Kissell's cost of an order, basis points; see :func:`i_star`."""

    __slots__ = ("instantaneous", "permanent", "temporary")

    def __init__(self, instantaneous: Any, temporary: Any, permanent: Any) -> None:
        self.instantaneous, self.temporary, self.permanent = instantaneous, temporary, permanent

    @property
    def cost(self) -> Any:
        """Market impact: temporary + permanent."""
        return self.temporary + self.permanent

    def __repr__(self) -> str:
        return f"IStar(instantaneous={self.instantaneous}, cost={self.cost})"


def i_star(
    quantity: ArrayLike,
    volume: ArrayLike,
    sigma: ArrayLike,
    participation: ArrayLike,
    *,
    a1: float = 708.0,
    a2: float = 0.55,
    a3: float = 0.71,
    a4: float = 0.5,
    b1: float = 0.98,
) -> IStar:
    """Kissell's I-Star cost model, basis points; all arguments may be arrays.

    Parameters
    ----------
    quantity, volume : array_like
        Size of the order and average daily volume, in the same unit.
    sigma : array_like
        Annual volatility as a decimal.
    participation : array_like
        Share of the volume while trading (POV), 0 to 1.
    a1, a2, a3, a4, b1 : float
        The model's coefficients.

    Examples
    --------
    >>> round(i_star(100_000, 1_000_000, 0.25, 0.2).cost, 4)
    34.1737
    """
    together(quantity=quantity, volume=volume, sigma=sigma, participation=participation)
    share = numbers("quantity", quantity, open_low=False) / numbers("volume", volume)
    pace = numbers("participation", participation, high=1.0, open_low=False)
    scale, power = number("a1", a1, open_low=False), number("a2", a2, -math.inf)
    lasting = 1.0 - number("b1", b1, high=1.0, open_low=False)
    instantaneous = (
        scale * share**power * numbers("sigma", sigma, open_low=False) ** number("a3", a3, -math.inf)
    )
    temporary = (1.0 - lasting) * instantaneous * pace ** number("a4", a4, -math.inf)
    permanent = lasting * instantaneous
    return IStar(*map(plain, (instantaneous, temporary, permanent)))
