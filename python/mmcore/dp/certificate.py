r"""Bounds of the true value from one Bellman sweep, proven in exact arithmetic and widened by what rounding
does.

Write T for the Bellman operator of the model as it is stored, V* for its fixed point, d = Tv - v.

**Contraction.** Let B_lo <= discount(s) sum_k p(k) <= B_hi < 1 for every feasible pair: stored rows do not
sum to one exactly, and discounts may differ. T is monotone, and T(v + c) <= Tv + B c, where B is B_hi for c
>= 0 and B_lo for c < 0. With D >= max d and c = D / (1 - B), of the sign of D, T(v + c) <= v + D + B c = v +
c; applying T again and again gives V* <= v + c, and once more V* <= T(v + c) <= Tv + B c = Tv + B / (1 - B)
D. Below alike: V* >= Tv + B / (1 - B) D' for D' <= min d, B as for the sign of D' (MacQueen 1966; Porteus
1971). The policy that attains Tv has a value above the same lower bound.

**Rounding.** With u = 2^-53 and m successors, the computed sum of products differs from sum p v by at most
((1 + u)^m - 1) sum |p| |v|, in any order of summation; times the discount and plus the reward, the computed
(Tv)(s) errs by at most ((1 + u)^(m+2) - 1) (|r| + discount sum |p| |v|). Computing d adds u |Tv - v|.
Together less than

    eps = (m + 4) u (|r| + (1 + B_hi) |v|) (1 + 2 (m + 4) u),      largest |r| and |v|, (m + 4) u < 0.1.

So max d <= computed max d + eps, and V* <= computed Tv + eps + B / (1 - B) (computed max d + eps)
<= computed Tv + B / (1 - B) max d + eps / (1 - B_hi). The sums B_lo and B_hi are computed too, with a
relative error of (m + 1) u: they are moved outwards by that. The few operations on the bounds
themselves are covered by the factors and terms marked so below, and products that underflow, each by at most
2^-1075, by 1e-300.

**Pairs that are not read** (``mm_keys`` of bellman.h) were found to lose to the pair held, whose value is
computed: by what they lacked when they were read and what v has changed since, widened by eps in
:mod:`mmcore.dp.discounted`; or because r + discount max v is below that value. The latter takes three
roundings, each of at most u (|r| + B_hi |v|): a pair may win by 3 u (|r| + B_hi |v|) and not be seen, which
is within eps, as m >= 1. (Keys are float32, rounded towards reading.) Passes that go by guesses are never
bounded with; what a pair lacked in one of them is kept with a drift that is no more than the proven one, so
that less is concluded from it later than could be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Contraction", "margins"]

ROUNDOFF = 2.0**-53
UNDERFLOW = 1e-300


def margins(value: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """What to take off and add to each row of values that err by `error` at most: bounds are rounded too."""
    rounded = np.where(error > 0, 2 * np.spacing(np.abs(value).max(axis=1)), 0.0)
    return (error + rounded)[:, None]


@dataclass(frozen=True)
class Contraction:
    """What the bounds need to know of a model.

    Parameters
    ----------
    sum_low, sum_high : float
        Bounds of the sums of the rows.
    discount_low, discount_high : float
        Smallest and largest discount.
    reward : float
        Largest |reward|.
    successors : int
        Longest row.
    """

    sum_low: float
    sum_high: float
    discount_low: float
    discount_high: float
    reward: float
    successors: int

    @classmethod
    def of(
        cls,
        sums: tuple[float, float],
        discounts: tuple[float, float],
        reward: float,
        successors: int,
    ) -> Contraction:
        """Make it from computed row sums, which are moved outwards by their rounding errors."""
        error = 2 * (successors + 1) * ROUNDOFF
        return cls(sums[0] * (1 - error), sums[1] * (1 + error), *discounts, reward, successors)

    @property
    def low(self) -> float:
        """B_lo."""
        return self.discount_low * self.sum_low * (1 - 4 * ROUNDOFF)

    @property
    def high(self) -> float:
        """B_hi."""
        return self.discount_high * self.sum_high * (1 + 4 * ROUNDOFF)

    def rounding(self, size: float) -> float:
        """Bound of the error of one computed sweep, where |v| <= `size`."""
        terms = (self.successors + 4) * ROUNDOFF
        return terms * (self.reward + (1 + self.high) * size) * (1 + 2 * terms + 1e-12) + UNDERFLOW

    def bounds(self, low: float, high: float, size: float) -> tuple[float, float, float]:
        """Return (below, above, rounding): the true value lies between computed Tv + below and Tv + above.

        Parameters
        ----------
        low, high : float
            Computed smallest and largest Tv - v.
        size : float
            Largest |v|.
        """
        rounding = self.rounding(size) / (1 - self.high)
        # Tv + bound is rounded once more, and so are the operations here.
        rounding += 4 * ROUNDOFF * (size + max(abs(low), abs(high)))
        rounding *= 1 + 1e-12
        above = self._scaled(high) + rounding
        below = -self._scaled(-low) - rounding
        last = 8 * ROUNDOFF * (abs(above) + abs(below))
        return below - last, above + last, rounding

    def shift(self, low: float, high: float) -> float:
        """What to add to Tv, which is Tv - v in `low` to `high` away from v.

        The middle of the bounds, where all states have one discount. Where not, states that remember little
        would be thrown off by it: then no further than all the bounds say.
        """
        if self.discount_low == self.discount_high:
            return (self._scaled(high) - self._scaled(-low)) / 2
        return self.certain_shift(low, high)

    def certain_shift(self, low: float, high: float) -> float:
        """What both bounds say is missing, or too much, in every state: no error grows by it."""
        return max(-self._scaled(-low), 0.0) + min(self._scaled(high), 0.0)

    def expected(self, highest: float) -> float:
        """Return what no row's sum p v exceeds where no v exceeds `highest`."""
        bound = (self.sum_high if highest >= 0 else self.sum_low) * highest
        return bound + 2 * ROUNDOFF * abs(bound) + UNDERFLOW

    def _scaled(self, change: float) -> float:
        """B / (1 - B) change, with the B that makes it larger where it is positive and smaller where not."""
        bound = self.high if change >= 0 else self.low
        return bound / (1 - bound) * change

    def _wider(self, low: float, high: float) -> tuple[float, float]:
        above = self.discount_high * (self.sum_high if high >= 0 else self.sum_low) * high
        below = self.discount_high * (self.sum_low if low >= 0 else self.sum_high) * low
        return below, above

    def closing(self, low: float, high: float) -> float:
        """By how much a pair can gain on another of its state while v changes by `low` to `high`.

        discount(s) (sum p(j) dv - sum p(i) dv) <= discount(s) (sum_j high - sum_i low), which is largest for
        the largest discount, as the bracket is not negative.
        """
        below, above = self._wider(low, high)
        return max(above - below, 0.0) * (1 + 8 * ROUNDOFF) + (
            8 * ROUNDOFF * (abs(above) + abs(below)) + UNDERFLOW
        )
