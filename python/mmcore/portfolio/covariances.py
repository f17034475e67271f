"""Estimates of a covariance, and what one must be: square, finite, symmetric, positive semidefinite.

One that is not positive semidefinite is refused with its smallest eigenvalue, and repaired on request only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import number, real, refusal
from ..errors import InvalidArgument, MissingExtra

__all__ = [
    "ESTIMATORS",
    "REPAIRS",
    "EarnsWithoutRisk",
    "as_matrix",
    "as_vector",
    "earns_without_risk",
    "exponentially_weighted",
    "refuse",
    "repaired",
    "sample_covariance",
    "shrunk_covariance",
]

Floats = NDArray[np.float64]

REPAIRS = ("clip",)
"""What ``repair=`` may ask for: ``"clip"`` raises negative eigenvalues to zero."""

_SYMMETRY = 1e-10
LARGEST, SMALLEST = 1e150, 1e-150
"""Variances beyond, or all below, have no squares: they want another unit."""


def as_matrix(covariance: Any) -> Floats:
    """Return the covariance as a square float matrix; its values are checked by who uses them."""
    allowed = "a square matrix of real numbers"
    matrix = real("covariance", covariance, allowed)
    shape = matrix.shape
    if len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
        raise refusal("covariance", f"shape {shape}", allowed)
    return matrix


def as_vector(name: str, value: Any, n: int, infinite: bool = False) -> Floats:
    """Return n finite floats (or infinite ones, where allowed), one for each asset: a copy of those given.

    A scalar is repeated.
    """
    allowed = f"{n} numbers, or one for all"
    vector = real(name, value, allowed).copy()
    if vector.shape != (n,):
        if vector.shape:
            raise refusal(name, f"shape {vector.shape}", allowed)
        vector = np.full(n, vector)
    wrong = np.isnan(vector) if infinite else ~np.isfinite(vector)
    if wrong.any():
        index = int(np.argmax(wrong))
        allowed = "numbers" if infinite else "finite numbers"
        raise InvalidArgument(argument=name, value=float(vector[index]), allowed=allowed, index=index)
    return vector


def smallest_eigenvalue(matrix: Floats) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue."""
    from scipy.linalg import eigvalsh

    values = eigvalsh(matrix)
    return float(values[0]), float(values[-1])


_CLIP = "; repair='clip' raises negative ones to zero"


def refuse(matrix: Floats, advice: str = _CLIP) -> bool:
    """Raise what is wrong with a covariance; return True where nothing is, but it is singular to rounding.

    ``advice`` is what the caller has for one that is not positive semidefinite.
    """
    wrong = ~np.isfinite(matrix)
    if wrong.any():
        i, j = np.unravel_index(int(np.argmax(wrong)), matrix.shape)
        raise InvalidArgument(
            f"covariance[{i}, {j}] must be finite, got {matrix[i, j]}", argument="covariance", index=int(i)
        )
    largest = float(np.abs(matrix).max())
    if largest > LARGEST or 0.0 < largest < SMALLEST:
        raise InvalidArgument(
            f"covariance must have a largest entry from {SMALLEST:g} to {LARGEST:g}, got {largest:g}: choose "
            "another unit of the returns",
            argument="covariance",
        )
    difference = np.abs(matrix - matrix.T)
    if difference.max() > _SYMMETRY * largest:
        i, j = np.unravel_index(int(np.argmax(difference)), matrix.shape)
        raise InvalidArgument(
            f"covariance must be symmetric, got {matrix[i, j]} at [{i}, {j}] and {matrix[j, i]} "
            f"at [{j}, {i}]",
            argument="covariance",
            index=int(i),
        )
    low, high = smallest_eigenvalue(matrix)
    if low < -10.0 * len(matrix) * np.finfo(float).eps * max(high, 0.0) or high < 0.0:
        raise InvalidArgument(
            f"covariance must be positive semidefinite, its smallest eigenvalue is {low:.6g} (the largest "
            f"{high:.6g}){advice}",
            argument="covariance",
        )
    return bool(low <= 10.0 * len(matrix) * np.finfo(float).eps * high)


class EarnsWithoutRisk(InvalidArgument):
    """Nothing bounds the holdings along a direction without risk that earns.

    Attributes
    ----------
    direction : ndarray
        The way in which it earns.
    earned : float
        What it earns.
    """

    direction: Floats
    earned: float


def earns_without_risk(direction: Floats, earned: float) -> EarnsWithoutRisk:
    """Return what to raise where this direction earns so much, one way or the other, and has no end."""
    gain = abs(earned) / float(np.abs(direction).sum())
    error = EarnsWithoutRisk(
        f"the covariance has a direction without risk that earns a return, {gain:.6g} for each unit traded: "
        "bound the holdings",
        argument="covariance",
    )
    error.direction, error.earned = math.copysign(1.0, earned) * direction, abs(earned)
    return error


class Spectrum:
    """A singular covariance by its eigenvectors, each asset in the unit of its own deviation.

    Parameters
    ----------
    covariance : ndarray
        Σ, positive semidefinite.
    shift : float
        With a budget a multiple of 11' may be added: it adds a constant to the objective.

    Attributes
    ----------
    null : ndarray, shape (n, k)
        Orthonormal directions without risk, which change no budget: none where the answer is unique.
    """

    def __init__(self, covariance: Floats, shift: float) -> None:
        from scipy.linalg import eigh

        lifted = covariance + shift
        deviation = np.sqrt(np.maximum(lifted.diagonal(), 0.0))
        most = float(deviation.max()) or 1.0
        self._unit = 1.0 / np.where(deviation > 1e-15 * most, deviation, most)
        values, vectors = eigh(lifted * self._unit[:, None] * self._unit)
        kept = values > 10.0 * len(values) * np.finfo(float).eps * values[-1]
        self._values, self._vectors = values[kept], vectors[:, kept]
        self.null: Floats = np.linalg.qr(vectors[:, ~kept] * self._unit[:, None])[0]

    def solve(self, right: Floats) -> Floats:
        """Solve (Σ + shift·11')x = right, as far as that can be: the x of the least norm."""
        found = self._unit * (self._vectors @ ((self._vectors.T @ (self._unit * right)) / self._values))
        return np.asarray(found - self.null @ (self.null.T @ found))


def repaired(matrix: Floats, repair: str | None) -> Floats:
    """Return the nearest positive semidefinite matrix (in the Frobenius norm) where that was asked for."""
    if repair is None:
        return matrix
    if repair not in REPAIRS:
        raise InvalidArgument(argument="repair", value=repair, allowed="None or 'clip'")
    from scipy.linalg import eigh

    if not np.isfinite(matrix).all():
        refuse(matrix)
    values, vectors = eigh(0.5 * (matrix + matrix.T))
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    return half @ half.T


ESTIMATORS = {
    "ledoit_wolf": "LedoitWolf",
    "oas": "OAS",
    "shrunk": "ShrunkCovariance",
    "graphical_lasso": "GraphicalLasso",
    "minimum_determinant": "MinCovDet",
}
"""Estimators of scikit-learn by the names that they have here."""


def _observations(returns: Any) -> Floats:
    allowed = "real numbers, one row per observation"
    x = real("returns", returns, allowed)
    if x.ndim != 2 or not x.size:
        raise refusal("returns", f"shape {x.shape}", allowed)
    wrong = ~np.isfinite(x)
    if wrong.any():
        i, j = (int(at) for at in np.argwhere(wrong)[0])
        raise InvalidArgument(
            f"returns[{i}, {j}] must be finite, got {x[i, j]}", argument="returns", value=x[i, j], index=i
        )
    if np.abs(x).max() > LARGEST:
        i, j = (int(at) for at in np.argwhere(np.abs(x) > LARGEST)[0])
        raise InvalidArgument(
            f"returns[{i}, {j}] must be within ±{LARGEST:g}, got {x[i, j]}: its square has no double",
            argument="returns",
            value=x[i, j],
            index=i,
        )
    return x


def _several(x: Floats, centred: bool) -> None:
    """Refuse a single observation around a mean of its own."""
    if len(x) == 1 and not centred:
        raise refusal("returns", "1 observation", "at least 2 of them, or the mean known")


def sample_covariance(returns: Any, mean: Any = None) -> Floats:
    r"""Sample covariance.

    .. math:: \Sigma = \frac1{T-1}\sum_t (x_t - \bar x)(x_t - \bar x)^T,

    or with 1/T around a known mean. With fewer observations than assets it is singular, which all of this
    package takes.

    Parameters
    ----------
    returns : array_like, shape (T, n)
    mean : array_like, optional
        Known means (often 0); the sample's by default.

    Returns
    -------
    ndarray, shape (n, n)
        In the unit of the returns, squared, per observation.

    Raises
    ------
    InvalidArgument
        The returns are not finite numbers in rows, or a single one without a known mean.

    Examples
    --------
    >>> sample_covariance([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]])
    array([[1., 0.],
           [0., 3.]])
    """
    x = _observations(returns)
    _several(x, mean is not None)
    count = len(x) - (mean is None)
    centred = x - (x.mean(axis=0) if mean is None else as_vector("mean", mean, x.shape[1]))
    return np.asarray(centred.T @ centred / count)


def shrunk_covariance(returns: Any, method: str = "ledoit_wolf", **options: Any) -> Floats:
    """Estimate a covariance with scikit-learn (extra ``ml``).

    Parameters
    ----------
    returns : array_like, shape (T, n)
    method : {"ledoit_wolf", "oas", "shrunk", "graphical_lasso", "minimum_determinant"}
        Ledoit and Wolf (2004); Chen, Wiesel, Eldar and Hero (2010); a shrinkage of your own; Friedman, Hastie
        and Tibshirani (2008); Rousseeuw (1984).
    **options
        Options of scikit-learn's class: ``assume_centered``, ``shrinkage``, ``alpha``, ``random_state``.

    Returns
    -------
    ndarray, shape (n, n)
        In the unit of the returns, squared, per observation. scikit-learn divides by T, not by T - 1.

    Raises
    ------
    MissingExtra
        scikit-learn is absent.
    InvalidArgument
        The returns are not finite numbers in rows; the method or an option is unknown.

    Examples
    --------
    >>> x = [[1.0, 0.2], [-1.0, 0.1], [0.5, -0.3], [-0.5, 0.0]]
    >>> shrunk_covariance(x, "shrunk", shrinkage=1.0).round(6)
    array([[0.33, 0.  ],
           [0.  , 0.33]])
    """
    x = _observations(returns)
    _several(x, bool(options.get("assume_centered")))
    if method not in ESTIMATORS:
        raise InvalidArgument(argument="method", value=method, allowed=" or ".join(map(repr, ESTIMATORS)))
    try:
        from sklearn import covariance as estimators
    except ImportError:
        raise MissingExtra("an estimator of scikit-learn", "ml") from None
    try:
        found = getattr(estimators, ESTIMATORS[method])(**options).fit(x)
    except (TypeError, ValueError, FloatingPointError) as error:
        raise InvalidArgument(
            f"scikit-learn refuses {method!r} with {options}: {error}", argument="options"
        ) from None
    matrix = np.asarray(found.covariance_, dtype=np.float64)
    return 0.5 * (matrix + matrix.T)


def exponentially_weighted(returns: Any, half_life: float, mean: Any = None) -> Floats:
    r"""Covariance with weights that halve every ``half_life`` observations, the newest last.

    .. math:: \Sigma = \sum_t w_t (x_t - \mu)(x_t - \mu)^T, \qquad w_t \propto 2^{-(T-t)/h}, \ \sum_t w_t = 1.

    Parameters
    ----------
    returns : array_like, shape (T, n)
    half_life : float
        In observations; infinite gives equal weights 1/T.
    mean : array_like, optional
        Known means (often 0); the weighted means by default.

    Examples
    --------
    >>> exponentially_weighted([[1.0], [-1.0], [1.0]], half_life=1, mean=0.0)
    array([[1.]])
    """
    x = _observations(returns)
    _several(x, mean is not None)
    if half_life != math.inf:
        half_life = number("half_life", half_life)
    weight = np.exp2((np.arange(len(x)) - (len(x) - 1.0)) / half_life)
    weight /= weight.sum()
    centre = weight @ x if mean is None else as_vector("mean", mean, x.shape[1])
    half = (x - centre) * np.sqrt(weight)[:, None]
    return np.asarray(half.T @ half)
