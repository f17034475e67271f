r"""Schedules in discrete time by the recursion of marginal costs.

With the cost :math:`\varphi(n) = \eta\tau^{-p} n^{1+p}` of a period's trade, optimality is a recursion for
its marginal cost m, :math:`m_k = m_{k+1} + 2\lambda\sigma^2\tau x_k - a\tau`, and :math:`n_k =
\varphi'^{-1}(m_k)`, cut to what the period may trade. From the end, where :math:`x_N = 0`, the holdings at
the start rise with :math:`m_N`: one root solves it, for any convex cost and any caps.

Source: Almgren, *Optimal execution with nonlinear impact functions* (2003), for impact of any power.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidArgument, NoConvergence

Floats = NDArray[np.float64]


def least_cost(
    quantity: float,
    times: Floats,
    eta: float,
    exponent: float,
    aversion: float,
    drift: float,
    most: ArrayLike | None,
) -> Floats:
    """Holdings in discrete time for the cost η·rate^p by the recursion of marginal costs, from the end."""
    from ..portfolio.covariances import as_vector

    n = len(times) - 1
    tau = float(times[-1]) / n
    way, whole = math.copysign(1.0, quantity), abs(quantity)
    caps = as_vector("most", math.inf if most is None else most, n, infinite=True)
    if (caps < 0.0).any() or caps.sum() < whole * (1.0 - 1e-12):
        raise InvalidArgument(
            argument="most",
            value=float(caps.min() if (caps < 0.0).any() else caps.sum()),
            allowed=f"numbers >= 0 with a sum of at least {whole:g}",
        )
    if whole == 0.0 or caps.sum() <= whole:
        return np.asarray(quantity - way * np.append(0.0, np.cumsum(np.minimum(caps, whole))))
    # in shares of the whole, and marginal costs in units of what selling all of it at once costs
    log_unit = math.log(eta * (1.0 + exponent)) + exponent * (math.log(whole) - math.log(tau))
    pull = _scaled(2.0 * aversion * tau * whole, log_unit)
    push = _scaled(drift * way * tau, log_unit)
    tops = np.minimum(caps[::-1] / whole, 1.0)
    most_marginal = (tops**exponent).tolist()
    tops, power = tops.tolist(), 1.0 / exponent

    def trade(k: int, marginal: float) -> float:
        if marginal <= 0.0:
            return 0.0
        return float(tops[k] if marginal >= most_marginal[k] else min(marginal**power, tops[k]))

    sold = np.array(shoot(trade, n, pull, push, 1.0, 1.0)[::-1])
    held = np.append(np.cumsum(sold[::-1])[::-1], 0.0)
    if not abs(held[0] - 1.0) <= 1e-9:
        raise NoConvergence(f"the trades' sum misses the quantity by a share of {held[0] - 1.0:.1e}")
    return np.asarray(quantity * (held / held[0]))


def _scaled(value: float, log_unit: float) -> float:
    """value·e^(−log_unit), at most what still has a square in double precision."""
    if value == 0.0:
        return 0.0
    return math.copysign(math.exp(min(math.log(abs(value)) - log_unit, 345.0)), value)


def shoot(
    trade: Callable[[int, float], float], n: int, pull: float, push: float, whole: float, beyond: float
) -> list[float]:
    """Trades from the last to the first that sum to ``whole``, by the recursion of marginal costs.

    ``trade(k, m)`` is what the k-th period from the end trades at the marginal cost m. The holdings at the
    start rise with the marginal cost at the end, which is bisected among all doubles: it may be smaller than
    any power of the holdings. The recursion forgets nothing: where the answers for two neighbouring doubles
    part, what they share is kept, and the marginal cost is bisected anew from there. Holdings of more than
    ``beyond`` never come back.
    """

    def path(k: int, held: float, marginal: float, full: bool) -> tuple[list[float], list[float], float]:
        trades, marginals = [], []
        for at in range(k, n):
            sold = trade(at, marginal)
            held += sold
            if full:
                trades.append(sold)
                marginals.append(marginal)
            elif abs(held) > beyond:
                break
            marginal += pull * held - push
        return trades, marginals, held

    idle, least = 0, _double(1)
    if push == 0.0 and whole > 0.0:
        # the last periods trade nothing where even the least marginal cost there is sells too much
        end = n
        while end - idle > 1:
            middle = (idle + end) // 2
            if path(middle, 0.0, least, False)[2] < whole:
                end = middle
            else:
                idle = middle
    found, held = [0.0] * idle, 0.0
    while True:
        low, high = _rank(-math.inf), _rank(math.inf)
        while high - low > 1:
            middle = (low + high) // 2
            if path(len(found), held, _double(middle), False)[2] < whole:
                low = middle
            else:
                high = middle
        less, marginals, short = path(len(found), held, _double(low), True)
        more, others, over = path(len(found), held, _double(high), True)
        with np.errstate(invalid="ignore"):
            near = np.abs(np.cumsum(np.subtract(more, less))) <= 1e-13
            near[:-1] &= np.abs(np.subtract(others, marginals))[1:] <= 1e-13 * (1.0 + np.abs(marginals[1:]))
        apart = np.flatnonzero(~near)
        share = min(max((whole - short) / (over - short), 0.0), 1.0) if over > short else 0.0
        if not apart.size or len(less) == 1:
            return found + [a + share * (b - a) for a, b in zip(less, more, strict=True)]
        keep = max(int(apart[0]), 1)
        found += less[:keep]
        held += sum(less[:keep])


def _rank(value: float) -> int:
    """Place of a double among all of them; 0 for zero."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits if bits >= 0 else -(bits & 0x7FFF_FFFF_FFFF_FFFF)


def _double(rank: int) -> float:
    """The double of this place."""
    value: float = struct.unpack("<d", struct.pack("<q", abs(rank)))[0]
    return value if rank >= 0 else -value
