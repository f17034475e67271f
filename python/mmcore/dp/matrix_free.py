"""Models from functions whose table of transitions would not fit: computed anew in every pass.

Only the rows of the policy are kept, one for each state instead of one for each action, and valued by
iteration between two passes. Everything else, the bounds included, is as for models in memory: the chunks of
the table go through the same kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import finite
from ..bellman import Pairs, Rows
from .callables import Functions
from .certificate import Contraction
from .checks import checked, discounts
from .solution import Solution

__all__ = ["MatrixFree"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class MatrixFree:
    """A model of functions that is never written out.

    Parameters
    ----------
    states, actions, shocks, probabilities, reward, transition, discount, maximize
        As for :func:`mmcore.dp.from_model`.
    max_states : int
        More states are refused, with their number.

    Notes
    -----
    Every number is looked at once, when the model is made; the functions must go on to return the same.
    :func:`~mmcore.dp.backward_induction` takes such a model too. :func:`~mmcore.dp.average_reward` and
    :func:`~mmcore.dp.lagged` need the table that :func:`~mmcore.dp.from_model` makes.

    Examples
    --------
    >>> import numpy as np, mmcore as mm
    >>> model = mm.dp.MatrixFree(
    ...     range(1000), [0, 1], [-1, 1], [0.5, 0.5],
    ...     reward=lambda x, a, w: -a * 1.0 - (x / 1000) ** 2,
    ...     transition=lambda x, a, w: np.clip(np.where(a, x // 2, x) + w, 0, 999),
    ...     discount=0.9,
    ... )
    >>> solution = model.solve(tol=1e-6)
    >>> solution.stop_reason, int(solution.policy.argmax())  # from where on halving pays
    ('tolerance', 387)
    """

    stored = False

    def __init__(
        self,
        states: Any,
        actions: Any,
        shocks: Any,
        probabilities: Any,
        reward: Callable[[Any, Any, Any], ArrayLike],
        transition: Callable[[Any, Any, Any], Any],
        discount: ArrayLike = 1.0,
        *,
        maximize: bool = True,
        max_states: int = 100_000_000,
    ) -> None:
        functions = Functions(
            states, actions, shocks, probabilities, reward, transition, maximize, max_states
        )
        self.states, self.actions = functions.states, functions.actions
        self.n_states, self.n_actions = functions.shape
        self.maximize = bool(maximize)
        self.discount = discounts(discount, self.n_states)
        self.pairs = Computed(functions, self.discount)
        found = self.pairs.extremes()
        # Where rows are not kept, elimination is not for them.
        self.extremes = {**found, "below": self.n_states, "above": self.n_states}
        self.contraction = Contraction.of(
            (found["sum_low"], found["sum_high"]),
            (float(self.discount.min()), float(self.discount.max())),
            found["reward"],
            found["successors"],
        )

    def __repr__(self) -> str:
        return f"MatrixFree({self.n_states:,} states, {self.n_actions:,} actions)"

    def actions_of(self, pairs: Ints) -> Ints:
        """Actions of the pairs of a policy."""
        return pairs % self.n_actions

    def solve(
        self,
        method: str = "auto",
        tol: float = 1e-8,
        *,
        max_iterations: int | None = None,
        start: ArrayLike | None = None,
        evaluator: str = "auto",
        progress: Callable[[int, float, float], object] | None = None,
    ) -> Solution:
        """Solve the discounted problem; as :meth:`mmcore.dp.MDP.solve`, and certified alike.

        Without its `layout`, as rows of the policy lie next to each other anyway, and without `threads`, as
        most of a pass is the functions' own time. `evaluator` is ``"bicgstab"`` or ``"gmres"``.
        """
        from .discounted import solve

        return solve(
            self,
            method=method,
            tol=tol,
            max_iterations=max_iterations,
            start=None if start is None else finite("start", start, (self.n_states,)),
            evaluator=evaluator,
            layout="given",
            threads=1,
            progress=progress,
        )


class Computed:
    """What :class:`mmcore.bellman.Pairs` does, in chunks; pair j is action j % m of state j // m."""

    def __init__(self, functions: Functions, discount: Floats) -> None:
        self.functions, self.discount = functions, discount
        self.n_states, self.m = functions.shape
        self.n_pairs = self.n_states * self.m
        self.sign = 1.0 if functions.maximize else -1.0
        self.kept: tuple[Pairs, Rows] | None = None  # one pair for each state

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": None}  # the next pass finds it

    def _chunk(self, begin: int, end: int) -> Pairs:
        reward, rows = self.functions.table(begin, end)
        first = np.arange(end - begin + 1, dtype=np.int64) * self.m
        discount = self.discount if self.discount.size == 1 else self.discount[begin:end]
        row = rows.indptr.astype(rows.indices.dtype, copy=False)
        return Pairs(first, row, rows.indices, rows.data, reward.ravel(), discount, self.sign, self.n_states)

    def extremes(self) -> dict[str, Any]:
        """Look at every number once."""
        seen: dict[str, Any] = {}
        for begin, end in self.functions.chunks():

            def words(state: int, pair: int, begin: int = begin) -> str:
                action = "" if pair < 0 else f", action {self.functions.actions[pair % self.m]!r}"
                return f"state {self.functions.states[begin + state]!r}{action}"

            found = checked(self._chunk(begin, end), words)
            for name in ("sum_high", "reward", "successors"):
                seen[name] = max(seen.get(name, found[name]), found[name])
            seen["sum_low"] = min(seen.get("sum_low", found["sum_low"]), found["sum_low"])
        return seen

    def improve(
        self,
        v: Floats | None,
        out: Floats,
        policy: Ints,
        proven: float = 0.0,
        rows: None = None,
        keys: None = None,
    ) -> tuple[float, float, int, int, int]:
        """One pass; keeps the rows of the policy."""
        low, high, changed, living, read = np.inf, -np.inf, 0, 0, 0
        rewards, columns, probabilities, lengths = [], [], [], []
        for begin, end in self.functions.chunks():
            pairs = self._chunk(begin, end)
            shift = begin * self.m
            chosen = policy[begin:end] - shift
            seen = pairs.improve(v, out[begin:end], chosen, proven, offset=begin)
            policy[begin:end] = chosen + shift
            low, high = min(low, seen[0]), max(high, seen[1])
            changed, living, read = changed + seen[2], living + seen[3], read + seen[4]
            _, row, column, probability, reward, _ = pairs.arrays
            length = np.diff(row)[chosen]
            starts = np.repeat(row[chosen] - np.concatenate([[0], np.cumsum(length)[:-1]]), length)
            take = np.arange(starts.size) + starts
            rewards.append(reward[chosen])
            columns.append(column[take])
            probabilities.append(probability[take])
            lengths.append(length)
        column = np.concatenate(columns)
        row = np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(column.dtype)
        kept = Pairs(
            np.arange(self.n_states + 1),
            row,
            column,
            np.concatenate(probabilities),
            np.concatenate(rewards),
            self.discount,
            self.sign,
        )
        self.kept = kept, Rows(self.n_states)
        kept.improve(None, np.empty(self.n_states), np.full(self.n_states, -1), rows=self.kept[1])
        return low, high, changed, living, read

    def evaluate(self, v: Floats, out: Floats, rows: None) -> tuple[float, float]:
        """Sweep with the policy of the last pass."""
        assert self.kept is not None
        return self.kept[0].evaluate(v, out, self.kept[1])

    def bicgstab(
        self, rows: None, tolerance: float, limit: int, x: Floats, work: Floats
    ) -> tuple[int, int, float]:
        """Value the policy of the last pass."""
        assert self.kept is not None
        return self.kept[0].bicgstab(self.kept[1], tolerance, limit, x, work)

    def gmres(
        self, rows: None, tolerance: float, limit: int, x: Floats, work: Floats
    ) -> tuple[int, int, float]:
        """Value the policy of the last pass."""
        assert self.kept is not None
        return self.kept[0].gmres(self.kept[1], tolerance, limit, x, work)
