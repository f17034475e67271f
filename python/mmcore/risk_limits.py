r"""How large a position may be: limits in units of risk, of growth, of the market's volume, and of capital.

Each is one line of arithmetic with a definition that can be checked:

- **volatility** (:func:`volatility_limit`): a budget R of P&L deviation over a horizon T allows
  :math:`q = R/(\sigma\sqrt T)` lots: twice the volatility, half the limit;
- **budgets** (:func:`risk_budget_limits`): the same for several instruments that share a budget, split by
  weights or counted with their correlations;
- **growth** (:func:`kelly`): the holdings that maximise expected log growth, :math:`f = \Sigma^{-1}\mu`
  (times a fraction); for a bet, :func:`kelly_bet`;
- **volume** (:func:`capacity`): what can be traded in a time at a share of the volume;
- **margin** (:func:`margin_limit`): what the capital can carry.

:func:`whole_lots` rounds any of them down.

Sizes are in lots, prices in ticks, times in seconds, money in tick·lots; all arguments may be arrays.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .arrays import number, numbers, plain, together
from .errors import InvalidArgument

__all__ = [
    "capacity",
    "kelly",
    "kelly_bet",
    "margin_limit",
    "risk_budget_limits",
    "volatility_limit",
    "whole_lots",
]

Floats = NDArray[np.float64]


def volatility_limit(
    risk: ArrayLike, sigma: ArrayLike, horizon: ArrayLike, most: ArrayLike | None = None
) -> Any:
    r"""Return the largest inventory whose P&L deviates by no more than a budget: :math:`R/(\sigma\sqrt T)`.

    Parameters
    ----------
    risk : array_like
        R > 0, tick·lots: one standard deviation (divide a value at risk by its quantile).
    sigma : array_like
        Volatility now, ticks/√s; > 0.
    horizon : array_like
        T > 0, seconds: how long it takes to get out.
    most : array_like, optional
        Limit in lots that holds in the quietest market too.

    Returns
    -------
    float or ndarray
        Lots; :func:`whole_lots` rounds them down for ``Limits(max_position=…)``.

    Examples
    --------
    >>> volatility_limit(6000, sigma=2.0, horizon=900), volatility_limit(6000, sigma=4.0, horizon=900)
    (100.0, 50.0)
    """
    r, s, t = numbers("risk", risk), numbers("sigma", sigma), numbers("horizon", horizon)
    top = None if most is None else numbers("most", most, open_low=False)
    together(risk=r, sigma=s, horizon=t, most=top)
    limit = r / (s * np.sqrt(t))
    return plain(limit if top is None else np.minimum(limit, top))


def risk_budget_limits(
    risk: float, covariance: ArrayLike, horizon: float, weights: ArrayLike | None = None, joint: bool = True
) -> Floats:
    r"""Split a budget of P&L deviation over instruments, as position limits.

    Limit i is :math:`R w_i/(\sigma_i\sqrt T)`, scaled so that the budget holds when all limits are used at
    once in the worst combination of long and short (``joint``); else each instrument alone keeps its share.

    Parameters
    ----------
    risk : float
        Budget R, tick·lots.
    covariance : array_like, shape (n, n)
        Of price changes per second, ticks²/s.
    horizon : float
        Seconds.
    weights : array_like, optional
        Shares of the budget; equal by default.
    joint : bool
        Count correlations. The worst of the signs is found by trying them, for up to 20 instruments.

    Examples
    --------
    >>> risk_budget_limits(100, [[4.0, 0.0], [0.0, 1.0]], 25, joint=False)
    array([ 5., 10.])
    >>> risk_budget_limits(100, [[4.0, 2.0], [2.0, 1.0]], 25)
    array([ 5., 10.])
    """
    from .portfolio.covariances import as_matrix, as_vector, refuse

    matrix = as_matrix(covariance)
    refuse(matrix, advice="")
    n = len(matrix)
    share = np.full(n, 1.0 / n) if weights is None else as_vector("weights", weights, n)
    if (share < 0.0).any() or abs(share.sum() - 1.0) > 1e-9:
        raise InvalidArgument(argument="weights", value=weights, allowed="numbers >= 0 with sum 1")
    deviation = np.sqrt(matrix.diagonal())
    if not (deviation > 0.0).all():
        index = int(np.argmin(deviation))
        raise InvalidArgument(argument="covariance", value=0.0, allowed="positive variances", index=index)
    budget, time = number("risk", risk), number("horizon", horizon)
    limits = budget * share / (deviation * math.sqrt(time))
    if not joint:
        return np.asarray(limits)
    if n > 20:
        raise InvalidArgument(argument="joint", value=True, allowed="False for more than 20 instruments")
    # a convex form has its largest value on a box at a corner; corners come in pairs of opposite signs
    corner = np.arange(2 ** (n - 1))[:, None] >> np.arange(n) & 1
    held = (1.0 - 2.0 * corner) * limits
    worst = math.sqrt(float(np.einsum("ij,ij->i", held @ matrix, held).max()) * time)
    return np.asarray(limits * (budget / worst))


def kelly(expected_returns: ArrayLike, covariance: ArrayLike, fraction: float = 1.0) -> Floats:
    r"""Holdings that maximise expected log growth, in continuous time: fraction · Σ⁻¹μ.

    Parameters
    ----------
    expected_returns : array_like, shape (n,)
        Excess returns per unit of time.
    covariance : array_like, shape (n, n)
    fraction : float
        0 < fraction <= 1: half of it keeps three quarters of the growth at half the risk.

    Returns
    -------
    ndarray
        Shares of wealth; their sum is free.

    Examples
    --------
    >>> kelly([0.04], [[0.04]], fraction=0.5)
    array([0.5])
    """
    from .portfolio import mean_variance
    from .portfolio.covariances import as_matrix, refuse

    part = number("fraction", fraction, high=1.0)
    matrix = as_matrix(covariance)
    refuse(matrix, advice="")
    try:
        return mean_variance(matrix, expected_returns, 1.0 / part, budget=None).weights
    except InvalidArgument as error:
        if error.argument != "covariance":
            raise
        raise InvalidArgument(
            "the covariance has a direction without risk that earns a return: growth has no maximum",
            argument="covariance",
        ) from None


def kelly_bet(probability: ArrayLike, win: ArrayLike, loss: ArrayLike = 1.0, fraction: float = 1.0) -> Any:
    r"""Share of wealth to stake where a unit wins ``win`` with this probability and loses ``loss`` else.

    :math:`f = p/l - (1 - p)/w`, and 0 where that is negative: there is no growth in the bet.

    Examples
    --------
    >>> round(kelly_bet(0.6, 1.0), 12)
    0.2
    """
    p = numbers("probability", probability, high=1.0, open_low=False)
    w, x = numbers("win", win), numbers("loss", loss)
    together(probability=p, win=w, loss=x)
    part = number("fraction", fraction, high=1.0)
    return plain(part * np.maximum(p / x - (1.0 - p) / w, 0.0))


def capacity(volume: ArrayLike, participation: ArrayLike, time: ArrayLike) -> Any:
    """Lots that can be traded in a time at a share of the market's volume.

    Parameters
    ----------
    volume : array_like
        Lots per second that trade in the market without us.
    participation : array_like
        Our share of the volume that then trades: 0 <= share < 1, so that we trade share/(1 - share) of it.
    time : array_like
        Seconds.

    Examples
    --------
    >>> capacity(volume=2.0, participation=0.2, time=600)
    300.0
    """
    v, t = numbers("volume", volume, open_low=False), numbers("time", time, open_low=False)
    share = numbers("participation", participation, open_low=False)
    if not (np.asarray(share) < 1.0).all():
        raise InvalidArgument(argument="participation", value=participation, allowed="numbers >= 0 and < 1")
    together(volume=v, participation=share, time=t)
    return plain(v * t * share / (1.0 - share))


def margin_limit(
    capital: ArrayLike, margin_rate: ArrayLike, price: ArrayLike, stress: ArrayLike = 0.0
) -> Any:
    """Lots that capital can carry: margin, and a move of the price against them, both paid.

    Parameters
    ----------
    capital : array_like
        Money, tick·lots (currency: divide by ``instrument.tick_value``).
    margin_rate : array_like
        Margin as a share of the notional.
    price : array_like
        Ticks.
    stress : array_like
        Ticks that the price may move against the position before margin is called.

    Examples
    --------
    >>> margin_limit(1_000_000, 0.1, 5_000, stress=500)
    1000.0
    """
    money = numbers("capital", capital, open_low=False)
    rate, at = numbers("margin_rate", margin_rate), numbers("price", price)
    move = numbers("stress", stress, open_low=False)
    together(capital=money, margin_rate=rate, price=at, stress=move)
    return plain(money / (rate * at + move))


def whole_lots(limit: ArrayLike) -> Any:
    """Round limits down to whole lots, so that none is exceeded.

    Parameters
    ----------
    limit : array_like
        Lots >= 0, below 2^53: what the other functions of this module return.

    Returns
    -------
    int or ndarray of int64

    Examples
    --------
    >>> whole_lots(volatility_limit(6000, sigma=[2.0, 2.1, 4.0], horizon=900))
    array([100,  95,  50])
    """
    lots = np.floor(numbers("limit", limit, high=2.0**53 - 1.0, open_low=False))
    return int(lots) if np.ndim(lots) == 0 else lots.astype(np.int64)
