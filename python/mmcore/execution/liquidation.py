r"""Liquidation with market orders, and with limit orders.

Continuous time, running penalty φ on the squared inventory, terminal penalty α, and with market orders the
temporary impact k and the permanent impact b of the rate of trading; with limit orders the arrivals λ of
market orders that fill us at depth δ with probability :math:`e^{-\kappa\delta}`.

Source: Cartea, Jaimungal and Penalva, *Algorithmic and High-Frequency Trading* (2015), 6.5 and 8.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import number, numbers
from ..errors import InvalidArgument
from ..parameters import Parameter
from .schedule import HORIZON, PERMANENT, QUANTITY, TEMPORARY, Schedule

Floats = NDArray[np.float64]


def market_order_liquidation(
    quantity: float,
    horizon: float,
    temporary: float,
    permanent: float = 0.0,
    running_penalty: float = 0.0,
    terminal_penalty: float = math.inf,
    times: ArrayLike | None = None,
) -> tuple[Schedule, Floats]:
    r"""Liquidate with market orders in continuous time (Cartea, Jaimungal and Penalva 2015, 6.5).

    With :math:`\gamma = \sqrt{\phi/k}` and :math:`\zeta = (\alpha - b/2 + \sqrt{k\phi})/(\alpha - b/2 -
    \sqrt{k\phi})` holdings are :math:`Q(t) = N(\zeta e^{\gamma(T-t)} - e^{-\gamma(T-t)})/(\zeta e^{\gamma T}
    - e^{-\gamma T})`. Both are written in the hyperbolic functions of the time left, which have no pole.

    Parameters
    ----------
    quantity, horizon : float
        N and T.
    temporary, permanent : float
        k and b: the price moves by k·rate for the trade, and drifts by −b·rate.
    running_penalty : float
        φ, on the squared inventory.
    terminal_penalty : float
        α: what is left sells at a discount of α for each unit squared; infinite: nothing may be left.
    times : array_like, optional
        Ascending from 0 to ``horizon``; 201 by default.

    Returns
    -------
    schedule : Schedule
    rate : ndarray
        Units sold per unit of time at those times.

    Examples
    --------
    >>> schedule, rate = market_order_liquidation(1.0, 1.0, 0.001, 0.001, 0.001, 100.0, times=[0, 0.5, 1])
    >>> schedule.holdings.round(6), rate.round(6)
    (array([1.00000e+00, 4.43413e-01, 9.00000e-06]), array([1.313028, 0.959509, 0.850907]))
    """
    n, whole = QUANTITY.check(quantity), HORIZON.check(horizon)
    k, b = TEMPORARY.check(temporary), PERMANENT.check(permanent)
    phi = number("running_penalty", running_penalty, open_low=False)
    endless = np.ndim(terminal_penalty) == 0 and terminal_penalty == math.inf
    alpha = math.inf if endless else number("terminal_penalty", terminal_penalty, -math.inf)
    if alpha < 0.5 * b:
        raise InvalidArgument(
            argument="terminal_penalty", value=terminal_penalty, allowed=f"at least permanent/2 = {0.5 * b:g}"
        )
    t = np.linspace(0.0, whole, 201) if times is None else np.asarray(numbers("times", times, -math.inf))
    if t.size and t.max() > whole:
        raise InvalidArgument(
            argument="times", value=float(t.max()), allowed=f"ascending from 0 to horizon, {whole:g}"
        )
    left = whole - t
    # Q ∝ sinh γτ + r cosh γτ and Q' alike, r = √(kφ)/(α − b/2); divided by γ so that φ = 0 is the limit
    gamma = math.sqrt(phi / k)
    slack = 0.0 if alpha == math.inf else k / (alpha - 0.5 * b) if alpha > 0.5 * b else math.inf
    if slack == math.inf:
        # no penalty is left over at the end: Q ∝ cosh γτ
        if gamma == 0.0:
            return Schedule(t, np.full(len(t), n)), np.zeros(len(t))
        scale = 1.0 + math.exp(-2.0 * gamma * whole)
        decay = np.exp(-gamma * t)
        q = n * decay * (1.0 + np.exp(-2.0 * gamma * left)) / scale
        return Schedule(t, q), n * gamma * decay * -np.expm1(-2.0 * gamma * left) / scale
    decay = np.exp(-gamma * t)
    even = 0.5 * (1.0 + np.exp(-2.0 * gamma * left))  # cosh γτ e^(−γτ)
    odd = left * _expm1_ratio(2.0 * gamma * left)  # sinh γτ e^(−γτ) / γ
    at_start = whole * float(_expm1_ratio(np.array(2.0 * gamma * whole)))
    bottom = at_start + slack * 0.5 * (1.0 + math.exp(-2.0 * gamma * whole))
    holdings = n * decay * (odd + slack * even) / bottom
    rate = n * decay * (even + slack * gamma * gamma * odd) / bottom
    return Schedule(t, holdings), rate


def _expm1_ratio(x: Floats) -> Floats:
    """(1 − e^−x)/x, 1 at 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(x > 0.0, -np.expm1(-x) / x, 1.0)


def limit_order_liquidation(
    quantity: int, arrival_rate: float, decay: float, terminal_penalty: float, time_left: ArrayLike
) -> Floats:
    r"""Depths of the limit orders that liquidate q = 1, …, quantity lots (Cartea et al. 2015, 8.2).

    :math:`\delta(q) = (1 + \ln(w_q/w_{q-1}))/\kappa` with :math:`w_q = \sum_{n \le q} (\lambda\tau/e)^n
    e^{-\kappa\alpha(q-n)^2}/n!`, summed in logarithms.

    Parameters
    ----------
    quantity : int
        Lots.
    arrival_rate : float
        λ, market orders per unit of time.
    decay : float
        κ: an order at depth δ is filled by one with probability exp(−κδ).
    terminal_penalty : float
        α: q lots left at the end sell at a discount of αq each.
    time_left : array_like
        τ ≥ 0.

    Returns
    -------
    ndarray, shape (..., quantity)
        Depth for each inventory from 1.

    Examples
    --------
    >>> limit_order_liquidation(3, 5 / 6, 100.0, 0.001, 60.0).round(6)
    array([0.0396  , 0.032683, 0.028643])
    """
    from scipy.special import gammaln, logsumexp

    most = Parameter("quantity", int, low=1, high=2000).check(quantity)
    lam = Parameter("arrival_rate", float, low=0.0, open_low=True).check(arrival_rate)
    kappa = Parameter("decay", float, low=0.0, open_low=True).check(decay)
    alpha = Parameter("terminal_penalty", float, low=0.0).check(terminal_penalty)
    tau = np.asarray(numbers("time_left", time_left, open_low=False))
    n = np.arange(most + 1)
    with np.errstate(divide="ignore"):
        log_term = np.log(lam * tau)[..., None] - 1.0
    power = np.where(n > 0, n * np.where(n > 0, log_term, 0.0), 0.0) - gammaln(n + 1.0)
    short = np.subtract.outer(n, n)
    penalty = np.where(short >= 0, -kappa * alpha * short.astype(float) ** 2, -np.inf)
    log_w = logsumexp(power[..., None, :] + penalty, axis=-1)
    return np.asarray((1.0 + np.diff(log_w, axis=-1)) / kappa)
