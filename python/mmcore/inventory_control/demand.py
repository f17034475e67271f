"""Distributions of demand: mean, quantiles, probabilities, and the expected shortage E(D - x)^+.

The shortage comes in closed form from the families' own functions of SciPy's ``special``, and by quadrature
for a distribution of ``scipy.stats``, which is imported by nobody here: whoever has such a distribution has
done so.

Source: Snyder and Shen (2019), appendix C; Hadley and Whitin, *Analysis of Inventory Systems* (1963).

Examples
--------
>>> Demand.normal(120, 10).shortage(120)
3.989422804014327
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import numbers, plain, together
from ..errors import CapacityError, InvalidArgument, ModelWarning, NoConvergence

__all__ = ["LARGEST", "Demand"]

LARGEST = 1 << 22
"""Most units that are counted one by one."""

CONVOLVED = 1 << 16  # units of a sum of periods: the work grows with their square
BELOW = 1e-4  # share of a demand that may lie below 0 where units are counted
RETURNED = 1e-3  # share of a demand that may lie below 0 without a warning where it counts as such
MOVED = 1e-6  # share of its mean by which demand may change without a warning where it is counted
STEPS = 256  # of a standard deviation, in which a sum of continuous demands is counted
SUMMED = 1 << 18  # most such steps

Floats = NDArray[np.float64]


class Demand:
    """A distribution of demand: its mean, quantiles, and the expected shortage n(x) = E(D - x)^+.

    Made by :meth:`normal`, :meth:`lognormal`, :meth:`gamma`, :meth:`poisson`, :meth:`negative_binomial`,
    :meth:`empirical` and :meth:`pmf`; or :meth:`of` a frozen distribution of scipy. Parameters may be arrays.

    Attributes
    ----------
    mean, std : float or ndarray
    discrete : bool
        Whether demand is a whole number of units.
    support : (ndarray, ndarray) or None
        Values and probabilities, where demand is given by them.

    Examples
    --------
    >>> d = Demand.poisson(20)
    >>> d.quantile(0.9), round(d.shortage(26), 6)
    (26.0, 0.218643)
    """

    def __init__(
        self,
        name: str,
        mean: Any,
        std: Any,
        discrete: bool,
        quantile: Any,
        cdf: Any,
        shortage: Any,
        several: Callable[[float], Demand] | None = None,
        left_over: Any = None,
    ) -> None:
        self.name, self.mean, self.std, self.discrete = name, mean, std, discrete
        self._quantile, self._cdf, self._shortage, self._several = quantile, cdf, shortage, several
        self._left_over = left_over
        self.support: tuple[Floats, Floats] | None = None
        self._chance: Callable[[Floats], Any] | None = None  # of each count, where it is known by itself

    def __repr__(self) -> str:
        return f"Demand({self.name}, mean={self.mean!r}, std={self.std!r})"

    def quantile(self, probability: ArrayLike) -> Any:
        """Return the smallest demand whose distribution function is at least this.

        Examples
        --------
        >>> Demand.poisson(20).quantile([0.5, 0.9]).tolist()
        [20.0, 26.0]
        """
        p = np.asarray(numbers("probability", probability, -math.inf))
        if not ((p > 0.0) & (p < 1.0)).all():
            raise InvalidArgument(
                argument="probability", value=probability, allowed="strictly between 0 and 1"
            )
        return plain(self._quantile(p))

    def cdf(self, x: ArrayLike) -> Any:
        """P(D <= x).

        Examples
        --------
        >>> round(Demand.poisson(1).cdf(0), 12)
        0.367879441171
        """
        return plain(self._cdf(np.asarray(numbers("x", x, -math.inf))))

    def shortage(self, x: ArrayLike) -> Any:
        """E(D - x)^+, the loss function n(x).

        Examples
        --------
        >>> round(Demand.poisson(1).shortage(1), 12)
        0.367879441171
        """
        return plain(self._shortage(np.asarray(numbers("x", x, -math.inf))))

    def left_over(self, x: ArrayLike) -> Any:
        """E(x - D)^+, which is n(x) + x - E D without the digits that the difference loses.

        Examples
        --------
        >>> round(Demand.poisson(1).left_over(1), 12)
        0.367879441171
        """
        at = np.asarray(numbers("x", x, -math.inf))
        if self._left_over is None:
            return plain(np.maximum(at - self.mean + self._shortage(at), 0.0))
        return plain(self._left_over(at))

    def probabilities(self, most: int) -> Floats:
        """P(D = 0), …, P(D = most); where demand is continuous, of the nearest whole number.

        Examples
        --------
        >>> Demand.pmf([0, 2], [0.25, 0.75]).probabilities(2).tolist()
        [0.25, 0.0, 0.75]
        """
        if self._chance is not None:
            return np.asarray(self._chance(np.arange(most + 1.0)))
        edge = np.arange(-1, most + 1) + (0.0 if self.discrete else 0.5)
        return np.asarray(np.maximum(np.diff(self._cdf(edge)), 0.0))  # far out rounding may turn it about

    def table(self) -> Floats:
        """P(D = 0), P(D = 1), … as far as a double can tell, with sum 1; of the nearest whole number.

        A heavy tail is counted until the units beyond are 1e-15 of mean demand, or 2^22 have been counted.

        Warns
        -----
        ModelWarning
            Where demand is continuous and of so few units that to count them moves its mean by more than 1e-6
            of it: smaller units, with costs to match, make the difference as small as you like.

        Raises
        ------
        InvalidArgument
            Where more than 1e-4 of demand is negative, or demand is given by numbers that are not whole.
        CapacityError
            Where 2^22 units are not enough: more than 1e-7 of mean demand is beyond them.

        Examples
        --------
        >>> Demand.normal(4, 1).table().round(4).tolist()[1:8]
        [0.006, 0.0606, 0.2417, 0.3829, 0.2417, 0.0606, 0.006]
        """
        return self._table(depth=2)

    def _table(self, depth: int) -> Floats:
        """The table; `depth`: see :meth:`_warn_of_counting`."""
        self._refuse_uncountable()
        self._refuse_negative()
        p = self.probabilities(self._top())
        self._warn_of_counting(p, depth)
        return _without_tail(p)

    def _warn_of_counting(self, p: Floats, depth: int) -> None:
        """Warn where a continuous demand is not what it was once it is counted: these are the chances.

        `depth`: functions between this and the caller's line, which is what the warning points to.
        """
        if self.discrete:
            return
        ends = np.array([-0.5, p.size - 0.5])  # what is beyond is left out on purpose
        mean = float(-np.diff(self._shortage(ends) + ends * (1.0 - self._cdf(ends)))[0])
        counted = float(p @ np.arange(p.size))
        if self.std < 1.0 or abs(counted - mean) > MOVED * self.mean:
            spread = float(np.sqrt(p @ np.square(np.arange(p.size) - counted)))
            warnings.warn(
                f"{self.name} demand of mean {self.mean:.6g} and standard deviation {self.std:.6g} is "
                f"counted in whole units, which makes its mean {counted:.6g} and its standard deviation "
                f"{spread:.6g}: give it in smaller units, and the costs of such a unit",
                ModelWarning,
                stacklevel=depth + 2,
            )

    def _warn_of_returns(self, depth: int) -> None:
        """Warn where more than 1e-3 of a demand is negative; `depth` as above."""
        below = float(np.max(self._cdf(np.asarray(-1.0 if self.discrete else 0.0))))
        if below > RETURNED:
            warnings.warn(
                f"{below:.2g} of {self.name} demand is below 0 and counts as units that come back: lognormal "
                f"or gamma demand has none",
                ModelWarning,
                stacklevel=depth + 2,
            )

    def _top(self) -> int:
        """Units that are counted: beyond them is 1e-15 of the mean, or 1e-7 where that is too many."""
        if self.support is not None:
            top = int(self.support[0][-1])
        else:
            top = math.ceil(self.mean + 40.0 * (self.std if math.isfinite(self.std) else self.mean) + 60.0)
            while top < LARGEST and self.shortage(top) > 1e-15 * self.mean:
                top = min(2 * top, LARGEST)
        beyond = 0.0 if top < LARGEST else float(self.shortage(LARGEST)) / self.mean
        if beyond > 1e-7:
            raise CapacityError(
                f"more than {LARGEST} units are needed: beyond them is {beyond:.2g} of mean demand, of which "
                f"1e-7 may be left out: count in larger units"
            )
        return min(top, LARGEST)

    def _refuse_uncountable(self) -> None:
        """Raise InvalidArgument for an array of distributions, and for values between the whole numbers."""
        if np.ndim(self.mean):
            raise InvalidArgument(
                argument="demand", value=self, allowed="one distribution, not an array of them"
            )
        if self.support is not None and not self.discrete:
            raise InvalidArgument(argument="demand", value=self, allowed="of whole units")

    def _refuse_negative(self, half: float = -0.5) -> None:
        """Raise InvalidArgument where more than 1e-4 of demand is negative: of continuous one, below this."""
        under = float(self._cdf(np.asarray(-1.0 if self.discrete else half)))
        if under > BELOW:
            raise InvalidArgument(
                argument="demand", value=self, allowed=f"not negative, while {under:.2g} of it is"
            )

    def _refuse_without_mean(self) -> None:
        """Raise InvalidArgument where nothing is demanded on the whole: no share of it could be met."""
        mean = np.asarray(self.mean)
        if not np.all((mean > 0.0) | ((mean == 0.0) & (np.asarray(self._cdf(np.asarray(-1e-300))) == 0.0))):
            raise InvalidArgument(argument="demand", value=self, allowed="of a mean > 0, or always 0")

    def over(self, periods: float) -> Demand:
        """Demand of several periods, each independent of the others.

        Parameters
        ----------
        periods : float
            A whole number; any positive one for normal, gamma, Poisson and negative binomial demand. Other
            continuous demand is summed in steps of 1/256 of its standard deviation, larger ones where they
            would be more than 262,144, with its mean. The tail that is left out is some 1e-13 of probability.
            The distribution function of two periods is off by less than 1e-6 where the density is smooth
            (gamma of shape 2.5), by 4e-6 where it jumps (exponential); a density without bound at 0 (gamma of
            shape 0.3) makes it 1e-2 there, 8e-4 beyond the first step and 2e-5 beyond a hundred.

        Raises
        ------
        CapacityError
            Where whole units are more than 65,536, or steps of 1/16 of a standard deviation more than
            262,144.

        Examples
        --------
        >>> Demand.poisson(3).over(2), Demand.pmf([0, 1], [0.5, 0.5]).over(2).table().tolist()
        (Demand(poisson, mean=6.0, std=2.449489742783178), [0.25, 0.5, 0.25])
        """
        n = numbers("periods", periods)
        if self._several is not None:
            return self._several(n)
        if np.ndim(n) or n != int(n):
            raise InvalidArgument(
                argument="periods", value=periods, allowed=f"whole for demand of {self.name}"
            )
        if n == 1:
            return self
        if self.support is None and not self.discrete:
            return self._in_steps(int(n))
        p = self.table()
        if (len(p) - 1) * int(n) > CONVOLVED:
            raise CapacityError(
                f"demand over {int(n)} periods needs more than {CONVOLVED} units: count in larger units"
            )
        total = np.ones(1)
        for bit in f"{int(n):b}":  # doubling: each squares, and a one adds a period
            total = np.convolve(total, total)
            if bit == "1":
                total = np.convolve(total, p)
        return Demand.pmf(np.arange(len(total)), total / total.sum())

    def _in_steps(self, n: int) -> Demand:
        """Demand of so many periods, continuous like this one, from the powers of its transform in steps."""
        self._refuse_uncountable()
        spread = self.std if math.isfinite(self.std) else self.mean
        step = spread / STEPS
        self._refuse_negative(-0.5 * step)
        while True:
            scaled = Demand(
                self.name,
                self.mean / step,
                self.std / step,
                False,
                None,
                lambda x, step=step: self._cdf(step * x),
                lambda x, step=step: self._shortage(step * x) / step,
            )
            excess = 2.0
            with suppress(CapacityError):
                p = _without_tail(scaled.probabilities(scaled._top()), 1e-15)
                excess = 1.01 * (len(p) - 1) * n / SUMMED
                if excess <= 1.01:
                    break
            step *= excess
            if step > spread / 16.0:
                raise CapacityError(
                    f"{self.name} demand over {n} periods needs more than {SUMMED} steps of 1/16 of its "
                    f"standard deviation, {spread:.6g}"
                )

        size = 1 << (n * (len(p) - 1)).bit_length()
        total = np.fft.irfft(np.fft.rfft(p, size) ** n, size)
        total = _without_tail(np.where(total > 1e-16, total, 0.0), 1e-15)  # less is rounding
        return self._smoothed(n * self.mean / float(total @ np.arange(len(total))), total)

    def _smoothed(self, step: float, p: Floats) -> Demand:
        """Continuous demand of which each multiple of a step has the share of the step around it."""
        edge = step * (np.arange(p.size + 1) - 0.5)
        below = np.append(np.minimum(np.append(0.0, np.cumsum(p[:-1])), 1.0), 1.0)
        above = np.append(np.cumsum(p[::-1])[::-1], 0.0)
        area = 0.5 * step * (above[1:] + above[:-1])
        short = np.append(np.cumsum(area[::-1])[::-1], 0.0)
        mean = step * float(p @ np.arange(p.size))
        square = float(p @ (step * np.arange(p.size) - mean) ** 2) + step * step / 12.0

        def shortage(x: Any) -> Any:
            k = np.clip(np.searchsorted(edge, x, side="right"), 1, p.size)
            inside = np.interp(x, edge, above)
            beyond = short[k] + 0.5 * (edge[k] - x) * (inside + above[k])
            return np.where(x >= edge[-1], 0.0, np.where(x <= edge[0], mean - x, beyond))

        return Demand(
            self.name,
            mean,
            math.sqrt(square),
            False,
            lambda q: np.interp(q, below, edge),
            lambda x: np.interp(x, edge, below),
            shortage,
        )

    # -- the families ------------------------------------------------------------------------------

    @classmethod
    def normal(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Normal demand."""
        from scipy.special import ndtr, ndtri

        m, s = numbers("mean", mean, -math.inf), numbers("std", std)
        together(mean=m, std=s)

        def shortage(x: Any) -> Any:
            z = (x - m) / s
            return s * (np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) - z * ndtr(-z))

        return cls(
            "normal",
            m,
            s,
            False,
            lambda p: m + s * ndtri(p),
            lambda x: ndtr((x - m) / s),
            shortage,
            lambda n: cls.normal(n * m, np.sqrt(n) * s),
            lambda x: shortage(2.0 * m - x),
        )

    @classmethod
    def lognormal(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Lognormal demand with this mean and standard deviation (of demand, not of its logarithm)."""
        from scipy.special import ndtr, ndtri

        m, s = numbers("mean", mean), numbers("std", std)
        together(mean=m, std=s)
        v = np.sqrt(np.log1p((s / m) ** 2))
        u = np.log(m) - 0.5 * v * v

        def z(x: Any) -> Any:
            with np.errstate(divide="ignore"):
                return (np.log(np.maximum(x, 0.0)) - u) / v

        def shortage(x: Any) -> Any:
            return m * ndtr(v - z(x)) - x * ndtr(-z(x))

        def left_over(x: Any) -> Any:
            return np.maximum(x * ndtr(z(x)) - m * ndtr(z(x) - v), 0.0)

        return cls(
            "lognormal",
            m,
            s,
            False,
            lambda p: np.exp(u + v * ndtri(p)),
            lambda x: ndtr(z(x)),
            shortage,
            None,
            left_over,
        )

    @classmethod
    def gamma(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Gamma demand with this mean and standard deviation."""
        from scipy.special import gammainc, gammaincc, gammaincinv

        m, s = numbers("mean", mean), numbers("std", std)
        together(mean=m, std=s)
        a, scale = (m / s) ** 2, s * s / m

        def shortage(x: Any) -> Any:
            y = np.maximum(x, 0.0) / scale
            return m * gammaincc(a + 1.0, y) - x * gammaincc(a, y)

        def cdf(x: Any) -> Any:
            return gammainc(a, np.maximum(x, 0.0) / scale)

        def several(n: Any) -> Demand:
            return cls.gamma(n * m, np.sqrt(n) * s)

        def left_over(x: Any) -> Any:
            y = np.maximum(x, 0.0) / scale
            return np.maximum(x * gammainc(a, y) - m * gammainc(a + 1.0, y), 0.0)

        return cls(
            "gamma", m, s, False, lambda p: scale * gammaincinv(a, p), cdf, shortage, several, left_over
        )

    @classmethod
    def poisson(cls, mean: ArrayLike) -> Demand:
        """Poisson demand."""
        from scipy.special import gammainc, gammaincc, pdtrik

        m = numbers("mean", mean)

        def above(k: Any) -> Any:  # P(D > k)
            return np.where(k < 0.0, 1.0, gammainc(np.maximum(np.floor(k), 0.0) + 1.0, m))

        def cdf(x: Any) -> Any:
            return np.where(x < 0.0, 0.0, gammaincc(np.maximum(np.floor(x), 0.0) + 1.0, m))

        def shortage(x: Any) -> Any:
            k = np.floor(x)
            return m * above(k - 1.0) - x * above(k)

        def quantile(p: Any) -> Any:
            k = np.maximum(np.ceil(pdtrik(p, m)), 0.0)
            return np.where((k > 0.0) & (cdf(k - 1.0) >= p), k - 1.0, k)

        def left_over(x: Any) -> Any:
            return np.maximum(x * cdf(x) - m * cdf(np.floor(x) - 1.0), 0.0)

        return cls(
            "poisson",
            m,
            plain(np.sqrt(m)),
            True,
            quantile,
            cdf,
            shortage,
            lambda n: cls.poisson(n * m),
            left_over,
        )

    @classmethod
    def negative_binomial(cls, mean: ArrayLike, std: ArrayLike) -> Demand:
        """Negative binomial demand: over-dispersed counts, std² > mean."""
        from scipy.special import betainc, betaincc, nbdtrik

        m, s = numbers("mean", mean), numbers("std", std)
        together(mean=m, std=s)
        if not np.all(s * s > m):
            raise InvalidArgument(argument="std", value=std, allowed="above the root of the mean")
        p = m / (s * s)
        r = m * p / (1.0 - p)

        def above(k: Any, shape: Any) -> Any:
            return np.where(k < 0.0, 1.0, betaincc(shape, np.maximum(np.floor(k), 0.0) + 1.0, p))

        def below(x: Any, shape: Any) -> Any:  # P(D <= x)
            return np.where(x < 0.0, 0.0, betainc(shape, np.maximum(np.floor(x), 0.0) + 1.0, p))

        def cdf(x: Any) -> Any:
            return below(x, r)

        def left_over(x: Any) -> Any:
            return np.maximum(x * below(x, r) - m * below(np.floor(x) - 1.0, r + 1.0), 0.0)

        def shortage(x: Any) -> Any:
            # d·P_r(d) = mean·P_{r+1}(d − 1)
            k = np.floor(x)
            return m * above(k - 1.0, r + 1.0) - x * above(k, r)

        def quantile(q: Any) -> Any:
            k = np.maximum(np.ceil(nbdtrik(q, r, p)), 0.0)
            return np.where((k > 0.0) & (cdf(k - 1.0) >= q), k - 1.0, k)

        def several(n: Any) -> Demand:
            return cls.negative_binomial(n * m, np.sqrt(n) * s)

        return cls("negative binomial", m, s, True, quantile, cdf, shortage, several, left_over)

    @classmethod
    def pmf(cls, values: ArrayLike, probabilities: ArrayLike) -> Demand:
        """Demand with these values and probabilities."""
        v = np.asarray(numbers("values", values, -math.inf))
        p = np.asarray(numbers("probabilities", probabilities, open_low=False))
        if v.ndim != 1 or not len(v):
            raise InvalidArgument(argument="values", value=values, allowed="one number at least")
        if p.shape != v.shape or abs(float(p.sum()) - 1.0) > 1e-9:
            raise InvalidArgument(
                argument="probabilities",
                value=probabilities,
                allowed="numbers >= 0 with sum 1, one per value",
            )
        order = np.argsort(v)
        v, p = v[order], p[order] / p.sum()
        mean = float(p @ v)
        std = math.sqrt(float(p @ (v - mean) ** 2))
        total = np.cumsum(p)
        after, worth = (
            np.append(np.cumsum(p[::-1])[::-1], 0.0),
            np.append(np.cumsum((p * v)[::-1])[::-1], 0.0),
        )

        def quantile(q: Any) -> Any:
            return v[np.minimum(np.searchsorted(total, q * (1.0 - 1e-15)), len(v) - 1)]

        def cdf(x: Any) -> Any:
            return np.append(0.0, total)[np.searchsorted(v, x, side="right")]

        def shortage(x: Any) -> Any:
            k = np.searchsorted(v, x, side="right")
            return worth[k] - x * after[k]

        earned = np.append(0.0, np.cumsum(p * v))

        def left_over(x: Any) -> Any:
            k = np.searchsorted(v, x, side="right")
            return np.maximum(x * np.append(0.0, total)[k] - earned[k], 0.0)

        whole = bool((v == np.rint(v)).all())
        found = cls("pmf", mean, std, whole, quantile, cdf, shortage, None, left_over)
        found.support = v, p
        return found

    @classmethod
    def empirical(cls, sample: ArrayLike) -> Demand:
        """Demand as it was seen: each observation as likely as another."""
        x = np.asarray(numbers("sample", sample, -math.inf)).ravel()
        if not x.size:
            raise InvalidArgument(argument="sample", value=sample, allowed="at least one number")
        values, counts = np.unique(x, return_counts=True)
        return cls.pmf(values, counts / x.size)

    @classmethod
    def of(cls, distribution: Any) -> Demand:
        """Take a frozen distribution of scipy.stats, or a Demand as it is."""
        if isinstance(distribution, Demand):
            return distribution
        if not all(hasattr(distribution, name) for name in ("cdf", "ppf", "sf", "mean", "std")):
            raise InvalidArgument(
                argument="demand",
                value=distribution,
                allowed="a Demand or a frozen distribution of scipy.stats",
            )
        discrete = hasattr(distribution, "pmf")
        law = getattr(getattr(distribution, "dist", None), "name", "scipy")
        moments = distribution.mean(), distribution.std()
        if np.ndim(moments[0]) or not math.isfinite(moments[0]):
            allowed = "one distribution, not an array of them" if np.ndim(moments[0]) else "of a finite mean"
            raise InvalidArgument(argument="demand", value=law, allowed=allowed)
        mean, std = map(float, moments)
        far = math.ceil(max(mean, 0.0) + 40.0 * (std if math.isfinite(std) else mean)) + 60
        heavy = distribution.sf(far) > 1e-16
        if discrete and heavy and distribution.support()[0] >= 0:
            counted = cls("scipy", mean, std, True, *_counted(distribution, mean))
            counted._chance = distribution.pmf
            return counted

        def one(x: float) -> float:
            if discrete:
                k = np.arange(math.floor(x), max(far, math.ceil(x) + 1))
                above = distribution.sf(k)
                return float(above[1:].sum() + above[0] * (math.floor(x) + 1 - x))
            from scipy.integrate import quad

            if not heavy:
                return float(quad(distribution.sf, x, math.inf, epsabs=1e-13, epsrel=1e-12, limit=200)[0])
            edge = max(float(far), 2.0 * abs(x))
            near, tail = _area(distribution, x, 1.0, edge), _area(distribution, edge, edge, math.inf)
            value, error = near[0] + tail[0], near[1] + tail[1]
            if error > 1e-6 * value:
                raise NoConvergence(f"the expected shortage of {law} demand above {x:g} is not resolved")
            return value

        return cls(
            "scipy",
            mean,
            std,
            discrete,
            distribution.ppf,
            distribution.cdf,
            np.vectorize(one, otypes=[float]),
        )


def _without_tail(p: Floats, nothing: float = 1e-18) -> Floats:
    """Probabilities with sum 1, as far as those beyond come to nothing."""
    tail = np.cumsum(p[::-1])[::-1]
    p = p[: int(np.flatnonzero(tail > nothing)[-1]) + 1]
    return np.asarray(p / p.sum())


def _area(distribution: Any, start: float, scale: float, end: float) -> tuple[float, float]:
    """Area below a heavy tail, and its error; in the logarithm of the distance powers are smooth."""
    from scipy.integrate import quad

    def height(z: float) -> float:
        return float(scale * math.exp(z) * distribution.sf(start + scale * math.expm1(z)))

    top = 600.0 if end == math.inf else math.log1p((end - start) / scale)
    found: Any = quad(height, 0.0, top, epsabs=0.0, epsrel=1e-11, limit=200, full_output=1)
    return float(found[0]), float(found[1])


def _counted(distribution: Any, mean: float) -> tuple[Any, Any, Any]:
    """Quantile, distribution function and shortage of heavy-tailed counts, by a table of their chances."""
    k = np.arange(LARGEST + 1.0)
    p = distribution.pmf(k)
    # from the end, lest small chances be lost in the sum of the large ones
    beyond = max(1.0 - float(p.sum()), 0.0), max(mean - float((k * p).sum()), 0.0)
    above = np.cumsum(np.append(p, beyond[0])[::-1])[::-1]
    worth = np.cumsum(np.append(k * p, beyond[1])[::-1])[::-1]

    def place(x: Any) -> Any:
        return np.clip(np.floor(x), -1.0, LARGEST).astype(np.int64) + 1

    def cdf(x: Any) -> Any:
        return 1.0 - above[place(x)]

    def shortage(x: Any) -> Any:
        return np.maximum(worth[place(x)] - x * above[place(x)], 0.0)

    return distribution.ppf, cdf, shortage
