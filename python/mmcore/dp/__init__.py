"""Dynamic programs, V_t(x) = max_a { R_t(x, a) + E[V_{t+1}(f(x, a, w))] }, with certified solutions."""

from .mdp import MDP
from .solution import Solution

__all__ = ["MDP", "Solution"]
