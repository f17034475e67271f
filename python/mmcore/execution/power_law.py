"""Schedules for temporary impact of any power of the rate.

Source: Almgren, *Optimal execution with nonlinear impact functions* (2003).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import Unsupported
from ..parameters import Parameter
from .marginal_costs import least_cost
from .schedule import DRIFT, HORIZON, PERIODS, QUANTITY, RISK_AVERSION, SIGMA, TEMPORARY, Schedule


def power_law(
    quantity: float,
    horizon: float,
    sigma: float,
    temporary: float,
    risk_aversion: float,
    exponent: float = 0.6,
    points: int = 201,
    *,
    periods: int | None = None,
    most: ArrayLike | None = None,
    drift: float = 0.0,
) -> Schedule:
    r"""Return Almgren's (2003) schedule for the temporary impact η·|rate|^p.

    In continuous time :math:`\int \eta\,|v|^{1+p} + \lambda\sigma^2 x^2\,dt` is minimised. Energy is
    conserved along the optimum, :math:`\eta p\,v^{1+p} = \lambda\sigma^2 x^2 + c`: time is an integral over
    holdings, and c is found so that all of it takes the horizon. Where even c = 0 is quicker (p > 1 ends in
    finite time) the rest is idle.

    Parameters
    ----------
    quantity, horizon, sigma, risk_aversion
        As in :class:`AlmgrenChriss`.
    temporary : float
        η.
    exponent : float
        p > 0; 1 is the linear model, 0.6 what Almgren et al. (2005) measured.
    points : int
        Times at which the schedule is given, in continuous time.
    periods : int, optional
        Trades, in discrete time: then :math:`\sum \eta\tau^{-p}|n_k|^{1+p} + \lambda\sigma^2\tau x_k^2 -
        a\tau x_k` is minimised, in trades of the quantity's side.
    most : array_like, optional
        Largest trade of each period, or one number for all; needs ``periods``.
    drift : float
        a, as in :class:`AlmgrenChriss`; needs ``periods``.

    Examples
    --------
    >>> power_law(100, 4, 1.0, 0.1, 0.1, periods=4, most=60).trades.round(1)
    array([60. , 35.1,  3.9,  1. ])
    """
    from scipy.optimize import brentq

    quantity, horizon, sigma = QUANTITY.check(quantity), HORIZON.check(horizon), SIGMA.check(sigma)
    eta, risk = TEMPORARY.check(temporary), RISK_AVERSION.check(risk_aversion)
    p = Parameter("exponent", float, low=0.0, open_low=True, high=10.0).check(exponent)
    count = Parameter("points", int, low=2, high=1_000_000).check(points)
    n = PERIODS.check(periods)
    drift = DRIFT.check(drift)
    if n is not None:
        times = np.arange(n + 1) / n * horizon
        return Schedule(times, least_cost(quantity, times, eta, p, risk * sigma**2, drift, most))
    if most is not None or drift:
        raise Unsupported("a cap or a drift of the power law in continuous time: give periods")
    times = np.linspace(0.0, horizon, count)
    whole = abs(quantity)
    stiffness = risk * sigma**2 * whole**2
    if whole == 0.0 or stiffness == 0.0:
        return Schedule(times, quantity * (1.0 - times / horizon))
    # y = x / X, w = v / X: η p X^(1+p) w^(1+p) = λσ²X² (y² + e²)
    power = 1.0 / (1.0 + p)
    pace = (stiffness / (eta * p * whole ** (1.0 + p))) ** power
    node, weight = np.polynomial.legendre.leggauss(64)

    def duration(log_e: float) -> float:
        # ∫ dy / (y² + e²)^power with y = e sinh(s): smooth in s
        e = math.exp(log_e)
        edges = np.linspace(0.0, math.asinh(1.0 / e), 9)
        half, middle = 0.5 * np.diff(edges), 0.5 * (edges[1:] + edges[:-1])
        s = middle[:, None] + half[:, None] * node
        log_cosh = np.abs(s) + np.log1p(np.exp(-2.0 * np.abs(s))) - math.log(2.0)
        value = np.exp((1.0 - 2.0 * power) * (log_cosh + log_e))
        return float((half[:, None] * weight * value).sum() / pace)

    low, high = -300.0, 300.0
    if duration(low) <= horizon:
        log_e = low
    else:
        log_e = float(brentq(lambda v: math.log(duration(v) / horizon), low, high, xtol=1e-13))
    # time to fall from 1 to y on a fine grid in s, inverted by Newton from an interpolation
    e = math.exp(log_e)
    y = np.empty(count)
    y[0], y[-1] = 1.0, 0.0
    top = math.asinh(1.0 / e)
    grid = np.linspace(0.0, top, 4001)
    half = 0.5 * np.diff(grid)
    s = 0.5 * (grid[1:] + grid[:-1])[:, None] + half[:, None] * node[None, :]
    log_cosh = s + np.log1p(np.exp(-2.0 * s)) - math.log(2.0)
    piece = (half[:, None] * weight * np.exp((1.0 - 2.0 * power) * (log_cosh + log_e))).sum(axis=1) / pace
    passed = np.append(0.0, np.cumsum(piece[::-1]))  # from the top down
    inner = np.interp(times[1:-1], passed, grid[::-1])
    for _ in range(4):
        # the exact time at the nearest grid point, and the smooth rest by its midpoint rule and Newton
        k = np.clip(np.searchsorted(passed, times[1:-1], side="right") - 1, 0, len(piece) - 1)
        anchor = grid[::-1][k]
        span = anchor - inner
        mid = (inner + 0.5 * span)[:, None] - 0.5 * span[:, None] * node
        rate = np.exp((1.0 - 2.0 * power) * (np.logaddexp(mid, -mid) - math.log(2.0) + log_e))
        now = passed[k] + 0.5 * span * (rate @ weight) / pace
        here = np.exp((1.0 - 2.0 * power) * (np.logaddexp(inner, -inner) - math.log(2.0) + log_e)) / pace
        inner = np.clip(inner + (now - times[1:-1]) / here, 0.0, top)
    y[1:-1] = e * np.sinh(inner)
    return Schedule(times, quantity * y)
