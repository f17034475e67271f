r"""Volatility and fill intensity from market data, with errors and the courage to say "not identified".

**The problem.** Every model of this package needs three numbers of a market: the volatility sigma of
the mid price (ticks/√s) and, per side, the scale A (1/s) and decay k (1/tick) of the rate at
which a quote at depth d from the mid is filled, ``lambda(d) = A exp(-k d)``. ``A_bid`` is the rate of
*sell* market orders, which fill our bid.

**Volatility.** With the mid of the last quote stamped at or before each point of the grid
``t_first + j D``,

    sigma = sqrt( sum (mid_{j+1} - mid_j)^2 / (D n) ).

The sum is taken in integers (half ticks), so sigma depends on nothing but the mids at the grid points:
however a feed cuts a move into rows, sigma is the same to the last bit. The variance of the squared
increments is estimated with their autocorrelation (Newey & West 1987, Bartlett weights, lag
4 (n/100)^(2/9), never below the value for independent increments), because volatility clusters and
increments have fat tails; the error of sigma follows by the delta method.

**Fill intensity.** A *market order* is a run of consecutive visible trades with one exchange stamp and
one side; its *reach* is how far its extreme price lies from the mid in force before it, in ticks.

``method="poisson"`` (default)
    maximum likelihood of Poisson counts. Quotes can only stand on ticks, so an order seen at reach d
    would have filled every quote up to d and none at d + 1: reaches live on the lattice of whole ticks
    from the mid, or half ticks when the mid lies between two ticks. Nothing is seen nearer than the touch:
    an order that stops there says that it reaches the half spread h of its moment and no more, and a depth
    has been exposed only while it lay at or behind the touch. With T_h the time at each half spread, the
    orders that come at half spread h and reach d >= h are independent Poisson variables with means
    ``T_h A (e^{-kd} - e^{-k(d+1)})``. Time at different half spreads thus tells k as well: the nearer the
    touch, the more orders come. The smallest depth used is ``min_depth``, which stands for the touch where
    that is nearer; everything at or beyond ``max_depth`` is one open cell, and time at which the touch
    leaves no tick before it is not used, nor are its orders.

    Given the number N of orders, each step from one depth to the next is a Bernoulli trial. With F stops,
    S continuations and the orders' starts d_i, the maximum lies at

        k = ln(1 + F/S*),   S* = S + sum_i d_i - N D(k),   D(k) = sum_h T_h h e^{-kh} / W(k),
        W(k) = sum_h T_h e^{-kh},

    where D is the mean start that is due: S* is how many ticks the orders go beyond it. At one half spread
    that is the geometric estimate (treating floored reaches as continuous is wrong by 17 % at k = 0.3). Its
    bias, +1/(n-1) for small samples, is removed exactly (to a term (1 - e^-k)^F) by the sum of 1/(S* + i)
    over i = 1 ... F-1 instead of the logarithm; where starts vary, what is left of the bias to first order
    (Cox & Snell 1968) is corrected in S* as well. A is ``N / W(k)``. Least squares on logarithms of the
    counts has twice the standard deviation.
``method="reach"``
    N(d) = orders with reach >= d, lambda(d) = N(d) / T, and a least-squares line through ln lambda on
    whole ticks. Counts at different depths are nested, not independent: their covariance,
    ``cov(ln N(d), ln N(d')) = 1/N(d)`` for d <= d', is carried into the errors. T is all the time with
    a mid: inside the spread this is the rate at which orders that trade anyway would have met the quote,
    which is less than ``A exp(-k d)``.
``method="window"``
    for each window (g, g + W] a hit at d is a visible trade *strictly* beyond the mid at g by d ticks;
    lambda = -ln(1 - hits/n) / W and the same line, with the covariance of nested binomials. This is the
    rate for a quote that is posted and left for W seconds, so the mid's own movement is part of it.

**Errors.** Market orders come in clusters. By default the errors of A and k are therefore those of a sum
over blocks of time (50 to 100 of them, independent of each other): the influence of each block on the
estimate is summed and squared. ``errors="independent"`` takes those of the likelihood instead (Fisher's
for "poisson"), which assume that every order ignores the others; so do
samples of fewer than 250 orders a side.

**What is identified.** A number is given only where data carry it. k is identified when its interval
excludes zero *and* 1/k, the depth around which every model would quote, lies within the depths that were
fitted; otherwise the curve is too flat on that range and both A (its value at depth 0) and k are None.
The range therefore adapts to the market under ``"poisson"``: ``max_depth=None`` is the depth that only a
fraction e^-2 of the orders reach, ``min_depth=None`` the half spread of the narrowest hundredth of the time,
at least 1 tick (nearer depths are seen too seldom to speak for the market). The other methods use
their definition's 1 to 10 ticks. A poor fit, clustered arrivals and a market whose spread is nearly always
one tick do not void the numbers but are said in ``notes``.

Examples
--------
>>> import mmcore as mm
>>> calibration = mm.calibrate(mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, seed=1).events())
>>> calibration.identified
True
>>> [low < 1.0 < high for low, high in [calibration.intervals(0.99)["sigma"]]]
[True]
"""

from __future__ import annotations

from .estimation import calibrate
from .intensity import Intensity
from .options import PARAMETERS, RELATIONS
from .result import Calibration
from .sigma import Volatility, volatility

__all__ = ["PARAMETERS", "RELATIONS", "Calibration", "Intensity", "Volatility", "calibrate", "volatility"]
