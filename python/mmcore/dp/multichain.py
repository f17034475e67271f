r"""Average reward where it depends on the start.

A set of states in which a policy can stay for ever, and in which each leads to each, is an **end
component**; the largest ones are disjoint, and every policy ends in them (de Alfaro 1997). Inside of one
the best gain is the same from all states. So a model with several is solved in two parts: each component by
itself, and then where to go: each component is made one node, which may be left, or stayed in for ever for
its gain,

    W(x) = max( gain(x) if x is a component,  max_j sum_k q(j, k) W(k) )    over the pairs j that lead out.

No policy can go round in this quotient for ever, since that would be a component, so W is found by policy
iteration with sparse LU, and bounded: let tau be the largest expected number of steps to the end, with
tau(x) - sum_k q(j, k) tau(k) >= c > 0 for all j as computed, rounding taken off. Where the computed W
violates its inequalities W >= gain, W >= sum q W by at most eps, W + eps tau / c satisfies them, and
whatever satisfies them is an upper bound, by induction along the steps to the end. The policy's own
equations bound it from below alike. Rows are scaled to sum to one; with k the longest row, that, the sums
over nodes and the product with W err by less than (3k + 8) 2^-53 max abs(W).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bellman import Pairs
from ..errors import NoConvergence

__all__ = ["Chains", "Found", "solve_by_components"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

ROUNDOFF = 2.0**-53
ROUNDS = 1000  # of policy iteration


class Chains:
    """Which state leads to which; what can be stayed in.

    Parameters
    ----------
    pairs : Pairs
        The model.
    """

    def __init__(self, pairs: Pairs) -> None:
        from scipy import sparse

        first, row, column, probability, reward, _ = pairs.arrays
        self.pairs, self.first = pairs, first
        self.matrix = sparse.csr_array((probability, column, row), shape=(pairs.n_pairs, pairs.n_states))
        self.reward = pairs.sign * reward
        self.feasible = np.isfinite(reward)
        self.state = np.repeat(np.arange(pairs.n_states), np.diff(first))
        self.component, self.stays = self._components()

    def classes(self, chosen: Ints) -> tuple[Ints, Bools]:
        """Class of each state under the pairs chosen, and for each class whether nothing leads out of it."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        rows = self.matrix[chosen].tocoo()
        real = rows.data > 0
        origin, target = self.state[chosen][rows.row[real]], rows.col[real]
        n = self.pairs.n_states
        edges = sparse.csr_array((np.ones(origin.size, dtype=np.int8), (origin, target)), shape=(n, n))
        count, label = connected_components(edges, connection="strong")
        closed = np.ones(count, dtype=bool)
        closed[label[origin[label[origin] != label[target]]]] = False
        return label.astype(np.int64), closed

    def _components(self) -> tuple[Ints, Bools]:
        """End component of each state (-1: none), and the pairs that stay in it."""
        alive = self.feasible.copy()
        while True:
            chosen = np.flatnonzero(alive)
            label, _ = self.classes(chosen)
            rows = self.matrix[chosen].tocoo()
            leads = (rows.data > 0) & (label[self.state[chosen][rows.row]] != label[rows.col])
            leaving = chosen[np.unique(rows.row[leads])]
            if not leaving.size:
                break
            alive[leaving] = False
        held = np.zeros(self.pairs.n_states, dtype=bool)
        held[self.state[alive]] = True
        component = np.full(self.pairs.n_states, -1)
        component[held] = np.unique(label[held], return_inverse=True)[1]
        return component, alive

    def value(self, policy: Ints, out: Floats) -> bool:
        """Write the relative values of a policy to `out`; False where it has several closed classes."""
        from scipy import sparse
        from scipy.sparse.linalg import splu

        if self.classes(policy)[1].sum() > 1:
            return False
        n = self.pairs.n_states
        # h(0) = 0: its column is free for the gain.
        equations: Any = sparse.eye_array(n, format="csr") - self.matrix[policy]
        gain: Any = sparse.csr_array(np.ones((n, 1)))
        equations = sparse.hstack([gain, equations[:, 1:]], format="csc")
        out[:] = splu(equations).solve(self.reward[policy])
        out[0] = 0.0
        return bool(np.isfinite(out).all())


@dataclass
class Found:
    """What maximises signed rewards: bounds of the gain from each state, pairs, relative values.

    `component` holds for each state the end component that the policy stays in for ever, -1 where it leaves.
    """

    lower: Floats
    upper: Floats
    policy: Ints
    relative: Floats
    iterations: int
    residual: float
    component: Ints
    reasons: set[str]


def solve_by_components(
    chains: Chains,
    solve_one: Callable[[Any, Ints], tuple[float, float, Ints, int, float, str]],
) -> Found:
    """Solve a model of several end components.

    Parameters
    ----------
    chains : Chains
        The model.
    solve_one : callable
        Given the rewards, rows and states of the pairs of one component, returns the bounds of its gain, its
        policy as places among the pairs of each state, passes, residual and why it stopped.
    """
    n, component = chains.pairs.n_states, chains.component
    count = int(component.max()) + 1
    low, high = np.full(count, -np.inf), np.full(count, -np.inf)
    policy = np.full(n, -1, dtype=np.int64)
    iterations, residual, reasons = 1, 0.0, {"tolerance"}
    inside = np.flatnonzero(chains.stays)
    of = component[chains.state[inside]]
    order = np.argsort(of, kind="stable")
    bounds = np.searchsorted(of[order], np.arange(count + 1))
    members = np.bincount(component[component >= 0], minlength=count)
    for c in range(count):
        pairs = inside[order[bounds[c] : bounds[c + 1]]]
        states = chains.state[pairs]
        if members[c] == 1:  # it pays the same for ever
            best = int(pairs[chains.reward[pairs].argmax()])
            low[c] = high[c] = chains.reward[best]
            policy[states[0]] = best
            continue
        low[c], high[c], policy[np.unique(states)], passes, off, reason = solve_one(chains, pairs)
        iterations, residual = iterations + passes, max(residual, off)
        reasons.add(reason)
    lower, upper, policy, ends = _destinations(chains, low, high, policy)
    gain = (lower + upper) / 2
    relative = _relative_values(chains, policy, gain)
    return Found(lower, upper, policy, relative, iterations, residual, np.where(ends, component, -1), reasons)


def _destinations(
    chains: Chains, low: Floats, high: Floats, policy: Ints
) -> tuple[Floats, Floats, Ints, Bools]:
    """Solve the quotient: bounds of the gain from each state, the policy, and where it stays for ever."""
    from scipy import sparse

    n, count, component = chains.pairs.n_states, low.size, chains.component
    node = component.copy()
    free = np.flatnonzero(component < 0)
    node[free] = count + np.arange(free.size)
    nodes = count + free.size
    leaving = np.flatnonzero(chains.feasible & ~chains.stays)
    whole: Any = sparse.csr_array((np.ones(n), (np.arange(n), node)), shape=(n, nodes))
    rows = sparse.csr_array(chains.matrix[leaving] @ whole)
    rows = sparse.csr_array(sparse.diags_array(1 / np.asarray(rows.sum(axis=1))) @ rows)
    # Stopping is the last option of a component.
    owner = np.concatenate([node[chains.state[leaving]], np.arange(count)])
    pair = np.concatenate([leaving, np.full(count, -1)])
    order = np.lexsort((pair < 0, owner))
    options = _Options(
        owner[order],
        sparse.csr_array(sparse.vstack([rows, sparse.csr_array((count, nodes))], format="csr")[order]),
        nodes,
    )
    pair = pair[order]
    paid, least = (
        np.where(pair < 0, bound[np.minimum(options.owner, count - 1)], 0.0) for bound in (high, low)
    )
    longest = int(np.diff(chains.matrix.indptr).max())
    error = (3 * longest + 8) * ROUNDOFF * (1 + 1e-6)
    steps, _ = options.best(np.ones(pair.size))
    margin = float((steps[options.owner] - options.rows @ steps).min()) - error * float(steps.max())
    above, chosen = options.best(paid)
    below = options.worth(chosen, least)
    if not margin > 0.5 or not np.isfinite(above).all():
        raise NoConvergence(
            "the gain from each start cannot be bounded: a policy may take more steps than floating point "
            f"can count to where it ends ({steps.max():.3g})"
        )
    share = steps / margin * (1 + 8 * ROUNDOFF)
    size = float(np.abs(np.concatenate([above, below])).max())
    over = max(float((paid + options.rows @ above - above[options.owner]).max()), 0.0) + 2 * error * size
    under = max(float((below - least[chosen] - options.rows[chosen] @ below).max()), 0.0) + 2 * error * size
    tiny = 4 * ROUNDOFF * size + 1e-300
    if not options.rows.nnz:
        over = under = tiny = 0.0
    upper, lower = above + over * share + tiny, below - under * share - tiny
    taken = pair[chosen]
    policy = policy.copy()
    policy[free] = taken[count:]
    ends = (component >= 0) & (taken[node] < 0)
    left = taken[:count][taken[:count] >= 0]
    _head_for(chains, policy, left, ends)
    return lower[node], upper[node], policy, ends


class _Options:
    """The pairs of the quotient, sorted by node: sub-stochastic rows; every policy comes to an end."""

    def __init__(self, owner: Ints, rows: Any, nodes: int) -> None:
        self.owner, self.rows, self.nodes = owner, rows, nodes
        self.first = np.searchsorted(owner, np.arange(nodes + 1))

    def worth(self, chosen: Ints, paid: Floats) -> Floats:
        """Value of a policy."""
        from scipy import sparse
        from scipy.sparse.linalg import splu

        equations = sparse.eye_array(self.nodes, format="csr") - self.rows[chosen]
        return np.asarray(splu(sparse.csc_array(equations)).solve(paid[chosen]))

    def best(self, paid: Floats) -> tuple[Floats, Ints]:
        """Largest value, and options that attain it, by policy iteration."""
        chosen = self.first[1:] - 1
        size = float(np.abs(paid[np.isfinite(paid)]).max(initial=0.0))
        for _ in range(ROUNDS):
            value = self.worth(chosen, paid)
            gains = paid + self.rows @ value
            top = np.maximum.reduceat(gains, self.first[:-1])
            better = top > value + 1e-12 * (size + np.abs(value))
            if not better.any():
                break
            attains = np.flatnonzero(gains == top[self.owner])
            at, which = np.unique(self.owner[attains], return_index=True)
            chosen = np.where(better[at], attains[which], chosen)
        return value, chosen


def _head_for(chains: Chains, policy: Ints, exits: Ints, ends: Bools) -> None:
    """In components that are left, lead every state to the one where the way out is."""
    to_do = (chains.component >= 0) & ~ends
    policy[chains.state[exits]] = exits
    reached = np.zeros(to_do.size, dtype=bool)
    reached[chains.state[exits]] = True
    stays = np.flatnonzero(chains.stays & to_do[chains.state])
    inside = chains.matrix[stays]
    while True:
        nearer = (inside @ reached.astype(float) > 0) & ~reached[chains.state[stays]]
        found, which = np.unique(chains.state[stays[nearer]], return_index=True)
        if not found.size:
            return
        policy[found] = stays[np.flatnonzero(nearer)[which]]
        reached[found] = True


def _relative_values(chains: Chains, policy: Ints, gain: Floats) -> Floats:
    """Relative values of the policy: g + h = r + P h, 0 in the first state of each closed class.

    States that are only passed through take the pair that is best for h among those that lead to the same
    gain; `policy` is changed so.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    n = policy.size
    size = float(np.abs(chains.reward[chains.feasible]).max(initial=0.0))
    scale = 1e-9 * size
    passing = chains.component < 0
    ahead = chains.matrix @ gain
    tight = np.flatnonzero(chains.feasible & passing[chains.state] & (ahead >= gain[chains.state] - scale))
    for _ in range(ROUNDS):
        label, closed = chains.classes(policy)
        firsts = np.unique(label, return_index=True)[1][closed]
        keep = np.ones(n)
        keep[firsts] = 0.0
        equations = sparse.eye_array(n, format="csr") - sparse.diags_array(keep) @ chains.matrix[policy]
        relative = np.asarray(splu(sparse.csc_array(equations)).solve(keep * (chains.reward[policy] - gain)))
        if not tight.size:
            break
        state = chains.state[tight]
        gains = chains.reward[tight] - gain[state] + chains.matrix[tight] @ relative
        top = np.full(n, -np.inf)
        np.maximum.at(top, state, gains)
        better = top > relative + 1e-9 * (size + np.abs(relative))
        attains = tight[(gains == top[state]) & better[state]]
        if not attains.size:
            break
        policy[chains.state[attains[::-1]]] = attains[::-1]
    return relative
