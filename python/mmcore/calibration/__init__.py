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
    from the mid, or half ticks when the mid lies between two ticks, and the counts on that lattice are
    independent Poisson variables with means ``T_h A (e^{-kd} - e^{-k(d+1)})``, where T_h is the time the
    mid spent at that parity. The smallest depth used is ``min_depth`` and everything at or beyond
    ``max_depth`` is one open cell. Given the number of orders, each step from one depth to the next is a
    Bernoulli trial: with F stops and S continuations, k = ln(1 + F/S), which is the geometric estimate
    (treating floored reaches as continuous is wrong by 17 % at k = 0.3). Its bias, +1/(n-1) for small
    samples, is removed exactly (to a term (1 - e^-k)^F) by k = 1/(S+1) + ... + 1/(S+F-1). A is the number
    of orders over ``sum_h T_h e^{-k d_h}``, with d_h the smallest lattice depth. Least
    squares on logarithms of the counts has twice the standard deviation.
``method="reach"``
    N(d) = orders with reach >= d, lambda(d) = N(d) / T, and a least-squares line through ln lambda on
    whole ticks. Counts at different depths are nested, not independent: their covariance,
    ``cov(ln N(d), ln N(d')) = 1/N(d)`` for d <= d', is carried into the errors.
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
at least 1 tick (inside the spread every order reaches the touch, whatever k is). The other methods use
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
from .options import PARAMETERS
from .result import Calibration
from .sigma import Volatility, volatility

__all__ = ["PARAMETERS", "Calibration", "Intensity", "Volatility", "calibrate", "volatility"]
