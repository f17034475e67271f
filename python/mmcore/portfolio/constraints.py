"""General constraints of a portfolio as named rows: low ≤ Ax ≤ high, the budget among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import real, refusal
from ..errors import InvalidArgument
from .covariances import as_vector

__all__ = ["Rows"]

Floats = NDArray[np.float64]


class Rows:
    """Linear constraints, one a row.

    Parameters
    ----------
    n : int
        Number of assets.
    budget : float or None
        A first row, the sum of the holdings, unless None.
    constraints : LinearConstraint, (A, low, high) or a list of them
        As in :class:`scipy.optimize.LinearConstraint`: equal sides make an equality, an infinite one none.
    groups : mapping of str to (members, low, high)
        Members by their numbers, or by a mask; None for a side without a limit.

    Attributes
    ----------
    names : list of str
        What errors and results call them: ``budget``, ``constraints[0]``, ``groups['tech']``.
    matrix, low, high : ndarray
        The rows and their sides.
    """

    def __init__(
        self, n: int, budget: float | None, constraints: Any = None, groups: Mapping[str, Any] | None = None
    ) -> None:
        self.names: list[str] = []
        matrices, lows, highs = [np.empty((0, n))], [np.empty(0)], [np.empty(0)]
        if budget is not None:
            self.names.append("budget")
            matrices.append(np.ones((1, n)))
            lows.append(np.array([budget]))
            highs.append(np.array([budget]))
        several = constraints if isinstance(constraints, list) else [constraints]
        for given in several if constraints is not None else []:
            a, low, high = self._sides(n, given)
            self.names += [
                f"constraints[{len(self.names) - (budget is not None) + i}]" for i in range(len(a))
            ]
            matrices.append(a)
            lows.append(low)
            highs.append(high)
        if groups is not None and not isinstance(groups, Mapping):
            raise InvalidArgument(
                argument="groups", value=groups, allowed="a dict of names to (members, low, high)"
            )
        for name, group in (groups or {}).items():
            row, low, high = self._group(n, f"groups[{name!r}]", group)
            self.names.append(f"groups[{name!r}]")
            matrices.append(row)
            lows.append(low)
            highs.append(high)
        self.matrix, self.low, self.high = np.vstack(matrices), np.concatenate(lows), np.concatenate(highs)
        wrong = (self.low > self.high) | (self.low == np.inf) | (self.high == -np.inf)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise InvalidArgument(
                f"{self.names[i]} must have a low side below inf and a high side above -inf, the low one "
                f"at most the high one, got {self.low[i]:g} and {self.high[i]:g}",
                argument=self.names[i],
            )

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def _sides(n: int, given: Any) -> tuple[Floats, Floats, Floats]:
        if hasattr(given, "A") and hasattr(given, "lb") and hasattr(given, "ub"):
            given = (given.A, given.lb, given.ub)
        if not isinstance(given, tuple) or len(given) != 3:
            raise InvalidArgument(
                argument="constraints", value=given, allowed="a LinearConstraint, (A, low, high) or a list"
            )
        a = np.atleast_2d(real("constraints", given[0], "rows of real numbers, low and high sides"))
        if a.ndim != 2 or a.shape[1] != n:
            raise refusal("constraints", f"rows of shape {a.shape}", f"rows of {n} numbers")
        if not np.isfinite(a).all():
            i, j = np.argwhere(~np.isfinite(a))[0]
            raise InvalidArgument(
                argument="constraints", value=float(a[i, j]), allowed="rows of finite numbers", index=int(i)
            )
        low, high = (as_vector("constraints", side, len(a), infinite=True) for side in given[1:])
        return a, low, high

    @staticmethod
    def _group(n: int, name: str, group: Any) -> tuple[Floats, Floats, Floats]:
        if not isinstance(group, (tuple, list)) or len(group) != 3:
            raise InvalidArgument(argument=name, value=group, allowed="(members, low, high)")
        members = np.asarray(group[0])
        row = np.zeros((1, n))
        if members.dtype == np.bool_ and members.shape == (n,):
            row[0, members] = 1.0
        else:
            if members.ndim != 1 or not members.size or members.dtype.kind not in "iu":
                raise InvalidArgument(
                    argument=name, value=group[0], allowed=f"a list of assets' numbers or a mask of {n}"
                )
            wrong = (members < 0) | (members >= n)
            if wrong.any() or len(np.unique(members)) != len(members):
                at = int(members[np.argmax(wrong)]) if wrong.any() else group[0]
                raise InvalidArgument(
                    argument=name, value=at, allowed=f"different assets' numbers from 0 to {n - 1}"
                )
            row[0, members] = 1.0
        low = as_vector(name, -np.inf if group[1] is None else group[1], 1, infinite=True)
        high = as_vector(name, np.inf if group[2] is None else group[2], 1, infinite=True)
        return row, low, high
