r"""The depths of anything that quotes: policies, models, rules of one's own.

What reads a policy without owning it (:func:`mmcore.inventory_law`, :func:`mmcore.simulate`, certainty
equivalents) asks for one of

``depths_batch(inventory, time_left)``
    elementwise for arrays, NaN where a side is absent, as :class:`mmcore.Affine` and :class:`mmcore.Table`
    have it;
``depths(inventory, time_left)``
    for two numbers, ``None`` or NaN where a side is absent: the least that a rule of one's own needs.

Optional attributes say more: ``order_size`` and ``q_max`` (lots; 1 and no bound where there are none),
``horizon`` (the longest time left that can be read, s) and ``time_left``, the times left in seconds at which
depths jump, bend, come or go. A :class:`~mmcore.Table` has its knots there: between them its depths are
linear in time, as an affine policy's are everywhere, so these two are known exactly. Of a rule only what is
read is known; see :meth:`Depths.along`.

Examples
--------
A rule that stops quoting a minute before the end, and says so:

>>> class Rule:
...     time_left = (60.0,)
...     def depths(self, inventory, time_left):
...         return (1 + inventory / 10, 1 - inventory / 10) if time_left > 60 else (None, None)
>>> depths = Depths(Rule())
>>> depths(np.array([0.0, 5.0]), np.array([100.0, 30.0]))
array([[ 1., nan],
       [ 1., nan]])
>>> times, bid, ask = depths.along(np.array([-1.0, 0.0, 1.0]), 3600.0)
>>> f"from {times[np.isfinite(bid[:, 0])].min():.9f} s on, and no more below"
'from 60.000000000 s on, and no more below'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CapacityError, InvalidArgument

__all__ = ["Depths"]

Floats = NDArray[np.float64]

_MOST = 1 << 22
"""Most depths of one side that are read along the time left."""
_FINEST = 1e-12
"""Share of the horizon to which a jump that was not announced is found."""
_PROBES = 64
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


class Depths:
    """Depths of a policy, a model or a rule, as arrays.

    Parameters
    ----------
    policy : object
        See the module's documentation.
    tol : float, optional
        A model is compiled first, to this interpolation error in time (ticks); without it, its own depths
        are read.

    Attributes
    ----------
    order_size, q_max, horizon : float
        Lots, lots and seconds; 1, infinite and infinite where the policy does not say.
    knots : ndarray
        Times left at which the depths jump, bend, come or go, as far as the policy says; ascending.
    linear : bool
        Whether they are linear in time in between.

    Raises
    ------
    InvalidArgument
        There are no depths to read, or an attribute is not what it is read for.
    """

    def __init__(self, policy: Any, tol: float | None = None) -> None:
        from .models.model import Model
        from .quoting import Affine, Table

        if (
            tol is not None
            and not hasattr(policy, "depths_batch")
            and callable(getattr(policy, "policy", None))
        ):
            policy = policy.policy(tol=tol, max_bytes=1 << 32)
        batch: Any = getattr(policy, "depths_batch", policy.depths if isinstance(policy, Model) else None)
        single: Any = getattr(policy, "depths", None)
        if isinstance(policy, type) or not (callable(batch) or callable(single)):
            raise InvalidArgument(
                argument="policy", value=type(policy).__name__, allowed="a policy or a model with depths"
            )
        self.policy = policy
        self._read = batch if callable(batch) else _elementwise(single)
        self.linear = isinstance(policy, (Affine, Table))
        self.order_size = self._number("order_size", 1.0)
        self.q_max = self._number("q_max", math.inf)
        self.horizon = self._number("horizon", math.inf)
        given = getattr(policy, "time_left", None)
        try:
            knots = np.unique(np.asarray([] if given is None else given, dtype=np.float64))
            wrong = bool(np.isnan(knots).any())
        except (TypeError, ValueError):
            wrong = True
        if wrong:
            raise InvalidArgument(
                f"the policy's time_left must be numbers (s), got {given!r}", argument="policy", value=policy
            )
        self.knots = knots[(knots > 0.0) & (knots < math.inf)]

    def _number(self, name: str, default: float) -> float:
        given = getattr(self.policy, name, None)
        if given is None:
            return default
        try:
            number = float(given)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (number > 0.0 and (name != "order_size" or number < math.inf)):
            raise InvalidArgument(
                f"the policy's {name} must be a number > 0, got {given!r}",
                argument="policy",
                value=self.policy,
            )
        return number

    def __call__(self, inventory: Floats, time_left: Floats) -> Floats:
        """Rows of bid and ask, ticks, for arrays of one shape; NaN where absent, which +inf is too.

        Raises
        ------
        InvalidArgument
            What the policy returned is no pair of depths.
        """
        shape = inventory.shape
        found = self._read(inventory, time_left)
        try:
            bid, ask = found
            depths = np.empty((2, *shape))
            depths[0], depths[1] = bid, ask
        except (TypeError, ValueError):
            depths = np.full((2, *shape), -math.inf)
        if (depths == -math.inf).any():
            raise InvalidArgument(
                f"the depths of {type(self.policy).__name__} must be a pair (bid, ask) of numbers, None or "
                "NaN where a side is absent",
                argument="policy",
                value=self.policy,
            )
        depths[depths == math.inf] = math.nan
        return depths

    def along(self, inventory: Floats, horizon: float, tol: float = 1e-7) -> tuple[Floats, Floats, Floats]:
        """Times left from 0 to the horizon, and depths there between which they are linear to within tol.

        A rule is read on both sides of the times left that it announces, and wherever else it takes: between
        88 times that keep no rhythm, intervals are divided until the depths at two points within are those
        of the chord, and a side is absent in all of them or in none. A jump that was not announced is so
        found to 10^-12 of the horizon. What comes and goes between two readings (less than a hundredth of
        the horizon) is not seen unless it is announced.

        Parameters
        ----------
        inventory : ndarray, shape (n,)
            Lots, ascending. The bid at the last and the ask at the first are not read: they would leave.
        horizon : float
            Seconds.
        tol : float
            Ticks.

        Returns
        -------
        times : ndarray, shape (m,)
        bid, ask : ndarray, shape (m, n)

        Raises
        ------
        CapacityError
            They bend so often that more than 4,194,304 depths would be needed.
        """
        n = inventory.size

        def rows(times: Floats) -> Floats:
            tau, q = (x.ravel() for x in np.meshgrid(times, inventory, indexing="ij"))
            found = self(q, tau).reshape(2, times.size, n).transpose(1, 0, 2)
            found[:, 0, -1] = found[:, 1, 0] = math.nan
            return found

        inner = self.knots[self.knots < horizon]
        if not self.linear:
            rhythm = np.arange(1, _PROBES + 1) * _GOLDEN % 1.0
            probes = horizon * np.concatenate([rhythm, 0.5 ** np.arange(1, 25)])
            inner = np.concatenate([np.nextafter(inner, 0.0), np.nextafter(inner, math.inf), probes])
        times = np.unique(np.concatenate([[0.0], inner, [horizon]]))
        kept = [(times, rows(times))]
        left, right = (times[:-1], kept[0][1][:-1]), (times[1:], kept[0][1][1:])
        size = times.size
        while not self.linear:
            wide = right[0] - left[0] > _FINEST * horizon
            (a, at_a), (b, at_b) = ((t[wide], at[wide]) for t, at in (left, right))
            if not a.size:
                break
            points, found, bends = [], [], np.isnan(at_a) != np.isnan(at_b)
            for share in (1.0 - _GOLDEN, _GOLDEN):
                points.append(a + share * (b - a))
                found.append(rows(points[-1]))
                off = np.abs(found[-1] - (at_a + share * (at_b - at_a)))
                bends |= (off > tol) | (np.isnan(found[-1]) != np.isnan(at_a))
            which = bends.any(axis=(1, 2))
            (p, at_p), (q, at_q) = ((t[which], at[which]) for t, at in zip(points, found, strict=True))
            kept += [(p, at_p), (q, at_q)]
            size += 2 * p.size
            if size * n > _MOST:
                raise CapacityError(
                    f"the depths of {type(self.policy).__name__} bend so often in {horizon:g} s that more "
                    f"than {_MOST:,} of them would be needed: take a shorter horizon or a smaller lattice",
                    argument="policy",
                    value=self.policy,
                )
            left = np.concatenate([a[which], p, q]), np.concatenate([at_a[which], at_p, at_q])
            right = np.concatenate([p, q, b[which]]), np.concatenate([at_p, at_q, at_b[which]])
        times = np.concatenate([t for t, _ in kept])
        order = np.argsort(times)
        times, table = _thinned(times[order], np.concatenate([at for _, at in kept])[order], 1e-3 * tol)
        return times, table[:, 0], table[:, 1]


def _elementwise(single: Callable[[float, float], Any]) -> Callable[[Floats, Floats], Any]:
    """Return for arrays what a rule is for two numbers; what is no pair stays what it is."""

    def read(inventory: Floats, time_left: Floats) -> Any:
        pairs = [single(q, tau) for q, tau in zip(inventory.tolist(), time_left.tolist(), strict=True)]
        try:
            return np.array([(bid, ask) for bid, ask in pairs], dtype=np.float64).reshape(-1, 2).T
        except (TypeError, ValueError):
            return None

    return read


def _thinned(times: Floats, table: Floats, tol: float) -> tuple[Floats, Floats]:
    """Leave out times at which the depths are those of the chord between the times beside them."""
    first = 1
    while times.size > 2 and first < 3:
        i = np.arange(first, times.size - 1, 2)
        share = ((times[i] - times[i - 1]) / (times[i + 1] - times[i - 1]))[:, None, None]
        off = np.abs(table[i] - (table[i - 1] + share * (table[i + 1] - table[i - 1])))
        there = ~np.isnan(table)
        same = (there[i] == there[i - 1]) & (there[i] == there[i + 1])
        fits = (same & ~(off > tol)).all(axis=(1, 2))
        times, table = np.delete(times, i[fits]), np.delete(table, i[fits], axis=0)
        first = 1 if fits.any() else first + 1
    return times, table
