r"""Schedules of Almgren and Chriss for a basket whose prices move together.

With price covariance C per unit of time, and symmetric matrices H of temporary and G of permanent impact, the
sums of :mod:`mmcore.execution.almgren_chriss` hold in vectors, :math:`\tilde H = H - \tfrac12 G\tau`. In the
coordinates :math:`z = U^T\tilde H^{1/2} x`, with :math:`U\Lambda U^T = \tilde H^{-1/2} C\tilde H^{-1/2}`,
cost and risk fall apart into one problem of Almgren and Chriss for each z, with unit impact and the variance
:math:`\Lambda_i`.

Source: Almgren and Chriss, *Optimal execution of portfolio transactions* (2000).
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import refusal
from ..errors import InvalidArgument
from .almgren_chriss import AlmgrenChriss
from .schedule import HORIZON, PERIODS, RISK_AVERSION, Risk, Schedule

Floats = NDArray[np.float64]


class AlmgrenChrissBasket(Risk):
    """The optimal schedule of a basket whose prices move together.

    Parameters
    ----------
    quantities : array_like, shape (n,)
        Units to sell of each; negative: to buy.
    horizon : float
        T.
    periods : int or None
        N; None for continuous time.
    covariance : array_like, shape (n, n)
        Of the price changes per unit of time, price²/time; positive semidefinite.
    temporary, permanent : array_like
        H and G: one number, one for each, or a symmetric matrix (the impact of one on another's price).
    fixed : array_like
        ε of each. It is paid on all that is traded, but does not keep a hedge from being traded both ways.
    risk_aversion : float
        λ ≥ 0.
    drift : array_like
        Expected drift of each price.

    Attributes
    ----------
    times : ndarray, shape (N + 1,)
    holdings, trades : ndarray, shape (N + 1, n) and (N, n)
        In continuous time on 201 points.
    half_lives : ndarray, shape (n,)
        1/κ of the basket's modes, ascending.
    expected_cost, variance, std, utility : float
        E, V, √V and E + λV.

    Examples
    --------
    A short position in a correlated asset, worth keeping as a hedge while the other is sold:

    >>> prices = [[1.0, 0.9], [0.9, 1.0]]
    >>> basket = AlmgrenChrissBasket([100, 0], 4, 4, prices, temporary=0.5, risk_aversion=0.2)
    >>> basket.holdings.round(1)
    array([[100. ,   0. ],
           [ 57.2, -14.5],
           [ 32. , -14.2],
           [ 14.6,  -8.1],
           [  0. ,   0. ]])
    """

    def __init__(
        self,
        quantities: ArrayLike,
        horizon: float,
        periods: int | None,
        covariance: ArrayLike,
        temporary: ArrayLike,
        permanent: ArrayLike = 0.0,
        fixed: ArrayLike = 0.0,
        risk_aversion: float = 0.0,
        drift: ArrayLike = 0.0,
    ) -> None:
        from ..portfolio.covariances import as_matrix, as_vector, refuse

        self.covariance = as_matrix(covariance)
        refuse(self.covariance, advice="")
        n = len(self.covariance)
        self.quantities = as_vector("quantities", quantities, n)
        self.horizon, self.periods = HORIZON.check(horizon), PERIODS.check(periods)
        self.risk_aversion = RISK_AVERSION.check(risk_aversion)
        self.temporary, self.permanent = (
            _impact("temporary", temporary, n),
            _impact("permanent", permanent, n),
        )
        self.fixed, self.drift = as_vector("fixed", fixed, n), as_vector("drift", drift, n)
        if (self.fixed < 0.0).any():
            index = int(np.argmax(self.fixed < 0.0))
            raise InvalidArgument(
                argument="fixed", value=float(self.fixed[index]), allowed="numbers >= 0", index=index
            )
        least = float(np.linalg.eigvalsh(self.permanent)[0])
        if least < -1e-12 * np.abs(self.permanent).max():
            raise refusal("permanent", f"one with {least:g}", "a matrix with eigenvalues >= 0")
        tau = 0.0 if self.periods is None else self.horizon / self.periods
        values, vectors = np.linalg.eigh(self.temporary - 0.5 * tau * self.permanent)
        if not values[0] > 0.0:
            raise refusal(
                "temporary",
                f"one with {values[0]:g}",
                "a matrix whose eigenvalues are > 0, less permanent * horizon / (2 periods)",
            )
        back = vectors / np.sqrt(values) @ vectors.T  # H̃^(−1/2)
        risks, turn = np.linalg.eigh(back @ self.covariance @ back)
        to = turn.T @ (vectors * np.sqrt(values)) @ vectors.T
        self._from = back @ turn
        push = self._from.T @ self.drift
        # eigenvalues that are zero but for rounding carry no risk
        risks = np.where(risks > 1e-14 * risks.max(initial=0.0), risks, 0.0)
        self._modes = [
            AlmgrenChriss(
                float(q),
                self.horizon,
                self.periods,
                math.sqrt(risk),
                temporary=1.0,
                risk_aversion=self.risk_aversion,
                drift=float(a),
            )
            for q, risk, a in zip(to @ self.quantities, risks, push, strict=True)
        ]
        self.times = self._modes[0].times
        self.holdings = np.stack([mode.holdings for mode in self._modes], axis=1) @ self._from.T
        self.holdings[0], self.holdings[-1] = self.quantities, 0.0
        self.half_lives = np.sort([mode.half_life for mode in self._modes])

    @property
    def trades(self) -> Floats:
        """Units sold in each period; negative where bought."""
        return np.asarray(-np.diff(self.holdings, axis=0))

    def __getitem__(self, index: int) -> Schedule:
        """Schedule of one asset, with its target for the quoter."""
        return Schedule(self.times, self.holdings[:, index])

    @cached_property
    def expected_cost(self) -> float:
        """E, money."""
        standing = 0.5 * float(self.quantities @ self.permanent @ self.quantities)
        paid = float(self.fixed @ np.abs(self.trades).sum(axis=0))
        return standing + paid + sum(mode.expected_cost for mode in self._modes)

    @cached_property
    def variance(self) -> float:
        """V, money squared."""
        return float(sum(mode.variance for mode in self._modes))

    def __repr__(self) -> str:
        return (
            f"AlmgrenChrissBasket({len(self.quantities)} assets, E={self.expected_cost:.6g}, "
            f"std={self.std:.6g}, half_lives={self.half_lives[0]:.6g} to {self.half_lives[-1]:.6g})"
        )


def _impact(name: str, value: ArrayLike, n: int) -> Floats:
    """Return a symmetric matrix of impact from a number, one for each asset, or the matrix."""
    from ..portfolio.covariances import as_vector

    if np.ndim(value) != 2:
        return np.diag(as_vector(name, value, n))
    matrix = np.asarray(value, dtype=np.float64)
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise refusal(name, f"shape {matrix.shape}", f"finite numbers, {n} by {n}")
    if np.abs(matrix - matrix.T).max() > 1e-12 * np.abs(matrix).max():
        raise refusal(name, "an unequal pair", "symmetric: otherwise a round trip would earn money")
    return matrix
