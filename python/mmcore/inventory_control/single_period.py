r"""One period's demand: the newsvendor, and base stocks.

With h for each unit left over and p for each one short, the cost of Q is :math:`h\,E(Q - D)^+ + p\,n(Q)`,
with :math:`n(Q) = E(D - Q)^+`; the best Q is the p/(p + h) quantile of demand. A sale that is lost costs its
margin and goodwill, p; it makes no difference to one period whether it is lost or made later.

A **base stock** S is ordered up to in every period. What a period then costs is the newsvendor's cost with
demand over the lead time and the period, :meth:`Demand.over`; so its best S is the newsvendor's.

Source: Snyder and Shen (2019), chapter 4.

Examples
--------
>>> newsvendor(2, 18, Demand.normal(120, 10)).quantity
132.815515655446
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..arrays import numbers, plain, together
from ..errors import InvalidArgument
from .demand import Demand

__all__ = ["NewsvendorResult", "fractile", "newsvendor"]


class NewsvendorResult(NamedTuple):
    """What :func:`newsvendor` finds; floats, or arrays."""

    quantity: Any
    """The order quantity, or base-stock level."""
    cost: Any
    """Expected cost."""
    service_level: Any
    """Probability of no shortage."""
    fill_rate: Any
    """Share of demand that is met."""


def fractile(h: Any, p: Any) -> Any:
    """p/(p + h), the critical fractile; refused where it is not a probability between 0 and 1."""
    share = p / (p + h)
    if not np.all((share > 0.0) & (share < 1.0)):
        index = int(np.argmin((share > 0.0) & (share < 1.0))) if np.ndim(share) else None
        value = float(np.broadcast_to(p, np.shape(share)).flat[index or 0])
        allowed = "within 1e16 times holding_cost, either way"
        raise InvalidArgument(argument="stockout_cost", value=value, allowed=allowed, index=index)
    return share


def newsvendor(
    holding_cost: ArrayLike, stockout_cost: ArrayLike, demand: Any, quantity: ArrayLike | None = None
) -> NewsvendorResult:
    """Find the best quantity for one period's demand; the base stock, for demand over lead time and period.

    Parameters
    ----------
    holding_cost : array_like
        h > 0, for each unit left over.
    stockout_cost : array_like
        p > 0, for each unit short.
    demand : Demand or frozen distribution of scipy.stats
        Demand of the period; for a base stock with lead time L, ``demand.over(L + 1)``.
    quantity : array_like, optional
        A quantity >= 0 to value in place of the best.

    Returns
    -------
    NewsvendorResult
        ``quantity``, ``cost``, ``service_level``, ``fill_rate``.

    Warns
    -----
    ModelWarning
        Where more than 1e-3 of demand is negative, as of a normal one whose deviation is large beside its
        mean: that is taken for units that come back, and adds to what is left over.

    Examples
    --------
    >>> newsvendor(2, 18, Demand.normal(120, 10)).quantity
    132.815515655446
    >>> newsvendor(2, 18, Demand.poisson(120)).quantity
    134.0
    """
    h, p = numbers("holding_cost", holding_cost), numbers("stockout_cost", stockout_cost)
    d = Demand.of(demand)
    d._refuse_without_mean()
    d._warn_of_returns(depth=1)
    given = None if quantity is None else np.asarray(numbers("quantity", quantity, open_low=False))
    together(holding_cost=h, stockout_cost=p, demand=d.mean, quantity=given)
    q = d.quantile(fractile(h, p)) if given is None else given
    short = d.shortage(q)
    # no demand is met in full
    filled = 1.0 - short / np.where(np.asarray(d.mean) > 0.0, d.mean, np.inf)
    return NewsvendorResult(
        plain(q), plain(h * np.asarray(d.left_over(q)) + p * short), d.cdf(q), plain(filled)
    )
