"""Portfolios: mean-variance with limits and costs, the exact efficient frontier, target inventories."""

from .covariances import exponentially_weighted, sample_covariance, shrunk_covariance
from .frontier import Frontier, FrontierPoints, efficient_frontier
from .holdings import Lots, Portfolio
from .solving import MeanVariance, mean_variance, target_inventories

__all__ = [
    "Frontier",
    "FrontierPoints",
    "Lots",
    "MeanVariance",
    "Portfolio",
    "efficient_frontier",
    "exponentially_weighted",
    "mean_variance",
    "sample_covariance",
    "shrunk_covariance",
    "target_inventories",
]
