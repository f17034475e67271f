"""Dynamic programs, V_t(x) = max_a { R_t(x, a) + E[V_{t+1}(f(x, a, w))] }, with certified solutions."""

from .average import AverageSolution, average_reward
from .backward import backward_induction
from .callables import Grid, Space, from_model, lagged, refinement_estimate
from .market_making import MarketMakingProblem, MarketMakingSolution, Offers, Regime
from .matrix_free import MatrixFree
from .mdp import MDP
from .ordering import replenishment
from .problem_file import ProblemFile, load_problem
from .solution import Solution

__all__ = [
    "MDP",
    "AverageSolution",
    "Grid",
    "MarketMakingProblem",
    "MarketMakingSolution",
    "MatrixFree",
    "Offers",
    "ProblemFile",
    "Regime",
    "Solution",
    "Space",
    "average_reward",
    "backward_induction",
    "from_model",
    "lagged",
    "load_problem",
    "refinement_estimate",
    "replenishment",
]
