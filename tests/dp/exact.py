"""Small dynamic programs in exact rational arithmetic: the oracle, which shares nothing with the kernels."""

from fractions import Fraction
from itertools import product

import numpy as np


def rational(array):
    """Return the floats of an array as the fractions they are; infinite ones as they are."""
    array = np.asarray(array, dtype=float)
    flat = [x if not np.isfinite(x) else Fraction(x) for x in array.ravel().tolist()]
    return np.array(flat, dtype=object).reshape(array.shape)


def eliminate(matrix, right):
    """Solve a linear system of fractions."""
    n = len(right)
    rows = [[*matrix[i], right[i]] for i in range(n)]
    for i in range(n):
        pivot = next(r for r in range(i, n) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for r in range(n):
            if r != i and rows[r][i] != 0:
                factor = rows[r][i]
                rows[r] = [x - factor * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [row[n] for row in rows]


def value_of(policy, rewards, transitions, discounts):
    """Value of a stationary policy, exactly: (I - discount P) v = r."""
    n = len(policy)
    matrix = [
        [Fraction(int(s == t)) - discounts[s] * transitions[s][policy[s]][t] for t in range(n)]
        for s in range(n)
    ]
    return eliminate(matrix, [rewards[s][policy[s]] for s in range(n)])


def optimal(rewards, transitions, discounts, maximize=True):
    """Value and the optimal policies by trying every policy, exactly."""
    r, p, d = rational(rewards), rational(transitions), rational(discounts)
    n, m = r.shape
    d = [d.flat[0]] * n if d.size == 1 else d
    feasible = [[a for a in range(m) if np.isfinite(float(r[s, a]))] for s in range(n)]
    values = {policy: value_of(policy, r, p, d) for policy in product(*feasible)}
    better = max if maximize else min
    best = [better(v[s] for v in values.values()) for s in range(n)]
    return best, [policy for policy, v in values.items() if v == best]


def garnet(rng, n_states, n_actions, successors, *, local=None):
    """Random model after Archibald et al. (1995): few successors, gaps of uniforms as probabilities."""
    p = np.zeros((n_states, n_actions, n_states))
    for s in range(n_states):
        near = range(n_states) if local is None else range(max(0, s - local), min(n_states, s + local + 1))
        for a in range(n_actions):
            to = rng.choice(list(near), min(successors, len(near)), replace=False)
            cuts = np.sort(rng.random(len(to) - 1))
            p[s, a, to] = np.diff(np.concatenate([[0.0], cuts, [1.0]]))
    return rng.random((n_states, n_actions)), p
