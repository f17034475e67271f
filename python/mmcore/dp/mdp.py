"""Finite Markov decision processes, as everybody stores them.

The model is a list of state-action pairs, those of a state together, each with a reward and a sparse row of
successors:

    V(s) = max over the pairs j of s of  { r(j) + discount(s) sum_k p(j, k) V(column(j, k)) }.

A table of states by actions is the regular case (pair s * A + a), the pairs of quantecon's `DiscreteDP` the
ragged one. Compressed sparse rows are used as they are: int32 or int64 indices and float64 numbers are not
copied. Every number is looked at once, when the model is made; what cannot be right is refused with the state
and the action where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import finite, real
from ..bellman import Pairs
from ..errors import InvalidArgument
from ..parameters import expect
from .certificate import Contraction
from .checks import checked, discounts
from .solution import Solution

__all__ = ["MDP"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class MDP:
    """A Markov decision process with finitely many states and actions.

    Parameters
    ----------
    rewards : array_like
        Shape (S, A); or (L,) for the pairs of `s_indices` and `a_indices`. -inf: the action is not feasible
        (where costs are minimised, +inf).
    transitions : array_like or scipy sparse matrix
        Shape (S, A, S); or (S * A, S), row s * A + a; or (L, S). Rows of actions that are not feasible are
        not read. Rows sum to one within 1e-9; the certificates hold for the rows as they are, and a sum that
        is more than 1e-12 off is warned of.
    discount : float or array_like of shape (S,)
        Per step, >= 0; one for each state where it differs. Discounted problems need it below 1.
    s_indices, a_indices : array_like of int, shape (L,), optional
        State and action of each pair, as for quantecon's ``DiscreteDP(R, Q, beta, s_indices, a_indices)``.
    maximize : bool
        False: `rewards` are costs, and values are least expected costs.
    states, actions : sequence, optional
        Labels, for messages and for people; indices by default.

    Raises
    ------
    InvalidArgument
        Names the argument, and the state and action where a number is wrong.

    Warns
    -----
    ModelWarning
        Where rows sum to one only within 1e-9.

    Notes
    -----
    Thread-safety: immutable, may be solved by any number of threads at once. The caller's arrays must not
    change while the model lives.

    Examples
    --------
    A machine that is new or worn: run it, which earns 3 or 1, or renew it for 2.

    >>> import mmcore as mm
    >>> model = mm.dp.MDP(
    ...     [[3.0, -2.0], [1.0, -2.0]],
    ...     [[[0.5, 0.5], [1.0, 0.0]], [[0.0, 1.0], [1.0, 0.0]]],
    ...     discount=0.9,
    ... )
    >>> solution = model.solve(tol=1e-10)
    >>> solution.policy  # renew when worn
    array([0, 1])
    >>> solution.value.round(4), solution.policy_unique
    (array([14.4828, 11.0345]), True)

    The true values lie between ``solution.lower`` and ``solution.upper``.
    """

    stored = True  # the transitions are in memory

    def __init__(
        self,
        rewards: ArrayLike,
        transitions: Any,
        discount: ArrayLike,
        s_indices: ArrayLike | None = None,
        a_indices: ArrayLike | None = None,
        *,
        maximize: bool = True,
        states: Sequence[object] | None = None,
        actions: Sequence[object] | None = None,
    ) -> None:
        reward = real("rewards", rewards)
        if (s_indices is None) != (a_indices is None):
            raise InvalidArgument(
                "s_indices and a_indices go together: give both, or neither for a table of states by actions",
                argument="s_indices" if s_indices is None else "a_indices",
            )
        order: Ints | None = None
        if s_indices is None:
            if reward.ndim != 2 or 0 in reward.shape:
                raise InvalidArgument(
                    argument="rewards",
                    value=reward.shape,
                    allowed="of shape (S, A), or (L,) with s_indices and a_indices",
                )
            n_states, n_actions = reward.shape
            first = np.arange(n_states + 1, dtype=np.int64) * n_actions
            self._action: Ints | None = None
        else:
            first, self._action, order = _ragged(reward, s_indices, a_indices, transitions)
            n_states, n_actions = first.size - 1, int(self._action.max()) + 1
        row, column, probability = _rows(transitions, reward, n_states)
        flat = np.require(reward, requirements=["C", "A"]).reshape(-1)
        if order is not None:
            flat, (row, column, probability) = flat[order], _reordered(order, row, column, probability)
        self._n_actions = n_actions
        self.states = _labels("states", states, n_states)
        self.actions = _labels("actions", actions, n_actions)
        expect("maximize", maximize, (bool, np.bool_), "True or False")
        self.maximize = bool(maximize)
        self.discount = discounts(discount, n_states)
        self._adopt(Pairs(first, row, column, probability, flat, self.discount, 1.0 if maximize else -1.0))

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._adopt(self.pairs)  # what was looked at once is looked at again: it may come from a file

    def _adopt(self, pairs: Pairs) -> None:
        """Keep the pairs, once they have been looked at."""
        self.pairs = pairs
        found = checked(pairs, self._words)
        self.extremes = found
        self.contraction = Contraction.of(
            (found["sum_low"], found["sum_high"]),
            (float(self.discount.min()), float(self.discount.max())),
            found["reward"],
            found["successors"],
        )

    @classmethod
    def from_mdptoolbox(cls, P: Any, R: Any, discount: float, **options: Any) -> MDP:
        """Take the conventions of pymdptoolbox: transitions (A, S, S), rewards (S,), (S, A) or (A, S, S).

        Parameters
        ----------
        P : array_like or sequence of A sparse matrices
            ``P[a][s, t]``: probability of going from s to t.
        R : array_like or sequence of A sparse matrices
            Reward of a state, of a state and action, or of each transition.
        discount : float
            Per step.
        **options
            As for :class:`MDP`.

        Examples
        --------
        >>> import mmcore as mm
        >>> P = [[[0.5, 0.5], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]]
        >>> mm.dp.MDP.from_mdptoolbox(P, [[3.0, -2.0], [1.0, -2.0]], 0.9).solve().policy
        array([0, 1])
        """
        from scipy import sparse

        if not hasattr(P, "__iter__"):
            raise InvalidArgument(argument="P", value=P, allowed="of shape (A, S, S)")
        matrices = [_matrix(f"P[{a}]", p) for a, p in enumerate(P)]
        n_actions = len(matrices)
        n_states = matrices[0].shape[0] if matrices else 0
        for a, matrix in enumerate(matrices):
            if matrix.shape != (n_states, n_states):
                raise InvalidArgument(
                    argument=f"P[{a}]", value=matrix.shape, allowed=f"of shape {(n_states, n_states)}"
                )
        if not n_states:
            raise InvalidArgument(argument="P", value=np.shape(P), allowed="of shape (A, S, S)")
        listed = hasattr(R, "__iter__") and not sparse.issparse(R)
        given: list[Any] = list(R) if listed else [R]
        if len(given) == n_actions and all(np.ndim(r) == 2 or sparse.issparse(r) for r in given):
            columns = [
                np.asarray(p.multiply(r).sum(axis=1)).ravel() for p, r in zip(matrices, given, strict=True)
            ]
            rewards = np.stack(columns, axis=1)
        else:
            rewards = real("R", R)
            if rewards.shape == (n_states,):
                rewards = np.repeat(rewards[:, None], n_actions, axis=1)
        if rewards.shape != (n_states, n_actions):
            raise InvalidArgument(
                argument="R",
                value=rewards.shape,
                allowed=f"of shape (S,), (S, A) or (A, S, S), S = {n_states}",
            )
        stacked = sparse.vstack(matrices, format="csr")
        order = np.arange(n_states * n_actions).reshape(n_actions, n_states).T.ravel()
        return cls(rewards, stacked[order], discount, **options)

    @property
    def n_states(self) -> int:
        """Number of states."""
        return self.pairs.n_states

    @property
    def n_actions(self) -> int:
        """Number of actions, counted over all states."""
        return int(self._n_actions)

    def __repr__(self) -> str:
        d = self.discount
        discount = f"{d[0]:g}" if d.size == 1 else f"{d.min():g} to {d.max():g}"
        return (
            f"MDP({self.n_states:,} states, {self.n_actions:,} actions, {self.pairs.n_pairs:,} pairs, "
            f"{self.pairs.arrays[2].size:,} successors, discount {discount})"
        )

    def _words(self, state: int, pair: int) -> str:
        """Say which state and action a pair is."""
        action = ""
        if pair >= 0:
            a = pair - int(self.pairs.arrays[0][state]) if self._action is None else int(self._action[pair])
            action = f", action {a}" if self.actions is None else f", action {a} ({self.actions[a]!r})"
        label = "" if self.states is None else f" ({self.states[state]!r})"
        return f"state {state}{label}{action}"

    def actions_of(self, pairs: Ints) -> Ints:
        """Actions of the pairs of a policy; `pairs` is used up."""
        if self._action is not None:
            return self._action[pairs]
        pairs -= self.pairs.arrays[0][:-1]
        return pairs

    def pair_of(self, policy: ArrayLike) -> Ints:
        """Pairs of a policy that is given as one action for each state.

        Raises
        ------
        InvalidArgument
            Names the state whose action does not exist or is not feasible.
        """
        real("policy", policy, f"integers of shape ({self.n_states},)")
        actions = np.asarray(policy)
        first, reward = self.pairs.arrays[0], self.pairs.arrays[4]
        if actions.shape != (self.n_states,) or not np.issubdtype(actions.dtype, np.integer):
            raise InvalidArgument(
                argument="policy", value=actions.shape, allowed=f"integers of shape ({self.n_states},)"
            )
        if self._action is None:
            found = first[:-1] + actions
            missing = (actions < 0) | (found >= first[1:])
        else:  # actions ascend within a state
            stride = self.n_actions
            codes = np.repeat(np.arange(self.n_states), np.diff(first)) * stride + self._action
            wanted = np.arange(self.n_states) * stride + actions
            found = np.minimum(np.searchsorted(codes, wanted), codes.size - 1)
            missing = (codes[found] != wanted) | (actions < 0) | (actions >= stride)
        wrong = np.flatnonzero(missing | ~np.isfinite(reward[np.where(missing, 0, found)]))
        if wrong.size:
            s = int(wrong[0])
            raise InvalidArgument(
                argument="policy", value=int(actions[s]), index=s, allowed=f"a feasible action of state {s}"
            )
        return np.asarray(found, dtype=np.int64)

    def with_rewards(self, rewards: ArrayLike) -> MDP:
        """Return the same model with other rewards; transitions are shared.

        Parameters
        ----------
        rewards : array_like of float
            Shape (S, A) where all states have as many actions, or one for each pair in their order.

        Examples
        --------
        >>> import mmcore as mm
        >>> model = mm.dp.MDP([[1.0]], [[[1.0]]], 0.5)
        >>> model.with_rewards([[3.0]]).solve().value.round(6)
        array([6.])
        """
        first, row, column, probability, old, discount = self.pairs.arrays
        table = real("rewards", rewards)
        n, actions = self.n_states, np.diff(first)
        shapes = [(old.size,)] + ([(n, int(actions[0]))] if (actions == actions[0]).all() else [])
        if table.shape not in shapes:
            raise InvalidArgument(
                argument="rewards",
                value=table.shape,
                allowed=f"of shape {' or '.join(map(str, reversed(shapes)))}",
            )
        reward = np.require(table, requirements=["C", "A"]).reshape(-1)
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._adopt(Pairs(first, row, column, probability, reward, discount, self.pairs.sign))
        return other

    def transition_matrix(self, policy: ArrayLike) -> Any:
        """Transitions under a policy, as a scipy CSR array of shape (S, S)."""
        from scipy import sparse

        _, row, column, probability, *_ = self.pairs.arrays
        n = self.n_states
        whole = sparse.csr_array((probability, column, row), shape=(self.pairs.n_pairs, n), copy=False)
        return whole[self.pair_of(policy)]

    def solve(
        self,
        method: str = "auto",
        tol: float = 1e-8,
        *,
        max_iterations: int | None = None,
        start: ArrayLike | None = None,
        evaluator: str = "auto",
        layout: str = "given",
        threads: int = 1,
        progress: Callable[[int, float, float], object] | None = None,
    ) -> Solution:
        """Solve the discounted problem, to a bound on the true error.

        Parameters
        ----------
        method : str
            ``"auto"``, ``"value_iteration"``, ``"gauss_seidel"``, ``"modified_policy_iteration"``,
            ``"policy_iteration"`` or ``"anderson"``.
        tol : float
            Bound of the true sup-norm error of the values returned.
        max_iterations : int, optional
            Passes over the model; by default 100 more than shrink an error by 2⁻⁶⁴ at this discount: from a
            `start` that is far off, more may be needed.
        start : array_like of float, shape (S,), optional
            Values to start from; 0 by default.
        evaluator : str
            For policy iteration: ``"auto"``, ``"band"``, ``"sparse"`` (LU of SciPy), ``"bicgstab"`` or
            ``"gmres"`` (restarted, with five vectors).
        layout : str
            ``"packed"`` copies the rows of the policy, which lie far apart in the model, next to each other:
            sweeps with a policy are quicker, for S x (longest row) x 16 bytes.
        threads : int
            Threads that share the passes over the model, at most 256; the result is the same for any number.
        progress : callable, optional
            Called after each pass with its number, the residual and the gap of the bounds; after one that
            proves nothing, as the first may, with those last proven.

        Returns
        -------
        Solution

        Raises
        ------
        InvalidArgument
            Where the discount is not below 1, or an argument is not allowed.
        """
        from .discounted import solve

        return solve(
            self,
            method=method,
            tol=tol,
            max_iterations=max_iterations,
            start=None if start is None else finite("start", start, (self.n_states,)),
            evaluator=evaluator,
            layout=layout,
            threads=threads,
            progress=progress,
        )


def _matrix(argument: str, given: Any) -> Any:
    """Return transitions of one action as compressed sparse rows."""
    from scipy import sparse

    if not sparse.issparse(given):
        given = np.atleast_2d(real(argument, given, "a matrix"))
    return sparse.csr_array(given)


def _labels(argument: str, labels: Sequence[object] | None, n: int) -> Sequence[object] | None:
    if labels is not None and (not hasattr(labels, "__len__") or len(labels) != n):
        raise InvalidArgument(argument=argument, value=labels, allowed=f"a sequence of {n} labels")
    return labels


def _ragged(
    reward: Floats, s_indices: ArrayLike, a_indices: ArrayLike | None, transitions: Any
) -> tuple[Ints, Ints, Ints | None]:
    """First pair of each state, action of each pair, and the order that sorts the pairs (None: sorted)."""
    listed = (("s_indices", s_indices), ("a_indices", a_indices))
    for argument, given in listed:
        real(argument, given, "an array of integers")
    s, a = (np.asarray(given) for _, given in listed)
    for argument, value in (("s_indices", s), ("a_indices", a)):
        if value.shape != reward.shape or value.ndim != 1 or not value.size:
            raise InvalidArgument(
                argument=argument, value=value.shape, allowed=f"of shape (L,) like rewards, {reward.shape}"
            )
        if not np.issubdtype(value.dtype, np.integer):
            raise InvalidArgument(argument=argument, value=value.dtype, allowed="integers")
        if value.min() < 0:
            at = int(value.argmin())
            raise InvalidArgument(argument=argument, value=int(value[at]), index=at, allowed=">= 0")
    shape = transitions.shape if hasattr(transitions, "shape") else real("transitions", transitions).shape
    if len(shape) != 2:
        raise InvalidArgument(argument="transitions", value=shape, allowed=f"of shape ({s.size}, S)")
    n_states = int(shape[1])
    if s.max() >= n_states:
        at = int(s.argmax())
        raise InvalidArgument(
            argument="s_indices",
            value=int(s[at]),
            index=at,
            allowed=f"below the number of states, {n_states}",
        )
    most = np.iinfo(np.int64).max // n_states - 1  # a pair is known by state * actions + action
    if a.max() > most:
        at = int(a.argmax())
        raise InvalidArgument(
            argument="a_indices",
            value=int(a[at]),
            index=at,
            allowed=f"at most {most}, for {n_states} states",
        )
    s, a = s.astype(np.int64, copy=False), a.astype(np.int64, copy=False)
    code = s * (int(a.max()) + 1) + a
    order = None
    if not (np.diff(code) > 0).all():
        order = np.argsort(code, kind="stable")
        s, a, code = s[order], a[order], code[order]
        twice = np.flatnonzero(np.diff(code) == 0)
        if twice.size:
            at = int(twice[0])
            raise InvalidArgument(
                f"s_indices and a_indices name state {s[at]}, action {a[at]} twice: each pair may stand once",
                argument="s_indices",
                value=int(s[at]),
            )
    first = np.searchsorted(s, np.arange(n_states + 1)).astype(np.int64)
    return first, a, order


def _rows(transitions: Any, reward: Floats, n_states: int) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    """Compressed sparse rows, one for each reward; those of the caller where they are in this form."""
    from scipy import sparse

    n_pairs = reward.size
    if sparse.issparse(transitions):
        matrix: Any = transitions.tocsr()  # type: ignore[attr-defined]
    else:
        dense = real("transitions", transitions)
        allowed = (*reward.shape, n_states)
        if dense.shape not in (allowed, (n_pairs, n_states)):
            raise InvalidArgument(argument="transitions", value=dense.shape, allowed=f"of shape {allowed}")
        matrix = sparse.csr_array(dense.reshape(n_pairs, n_states))
    if matrix.shape != (n_pairs, n_states):
        raise InvalidArgument(
            argument="transitions", value=matrix.shape, allowed=f"of shape {(n_pairs, n_states)}"
        )
    column = np.require(matrix.indices, requirements=["C", "A"])
    if column.dtype not in (np.int32, np.int64):
        column = column.astype(np.int64)
    row = np.require(matrix.indptr, column.dtype, ["C", "A"])
    return row, column, np.require(matrix.data, np.float64, ["C", "A"])


def _reordered(
    order: Ints, row: NDArray[Any], column: NDArray[Any], probability: Floats
) -> tuple[NDArray[Any], NDArray[Any], Floats]:
    length = np.diff(row)[order]
    begin = np.concatenate([[0], np.cumsum(length)]).astype(row.dtype)
    take = np.arange(begin[-1]) - np.repeat(begin[:-1] - row[:-1][order], length)
    return begin, column[take], probability[take]
