r"""How much to order and when: the textbook's models of inventory, and their trading form.

- a known demand at a constant rate: `eoq`, `quantity_discount`; for a desk, `rebalance_band`;
- a known demand by period: `wagner_whitin`;
- one period, or a base stock: `newsvendor`, `base_stock`, `base_stock_service`;
- periodic review with a fixed cost: `optimal_s_S`, `policy_cost`, `power_approximation`, `finite_horizon`;
- continuous review: `optimal_reorder_quantity`, `reorder_cost`, `approximate_reorder_quantity`,
  `reorder_point`, `reorder_service`;
- lost sales with a lead time, suppliers who fail or fall short: `periodic_review`;
- random yield and disruptions in closed form: `eoq_with_yield`, `eoq_with_disruptions`,
  `newsvendor_with_yield`.

Random demand is a `Demand`, or a frozen distribution of ``scipy.stats``.

Examples
--------
>>> eoq(1300, 8, 0.225)
OrderQuantity(quantity=304.047, cycle_time=0.233882, cost=68.4105)
>>> optimal_s_S(1, 9, 64, Demand.poisson(20))
Policy(s=14, S=62, cost=49.17303...)
"""

from .demand import Demand
from .horizon import FiniteHorizon, finite_horizon
from .lot_sizes import LotSizes, wagner_whitin
from .order_quantity import OrderQuantity, eoq, quantity_discount, rebalance_band
from .reorder_quantity import (
    ReorderQuantity,
    approximate_reorder_quantity,
    optimal_reorder_quantity,
    reorder_cost,
)
from .reorder_up_to import Policy, optimal_s_S, policy_cost, power_approximation
from .review import ReviewPolicy, periodic_review
from .service_levels import ServiceLevels, base_stock, base_stock_service, reorder_point, reorder_service
from .single_period import NewsvendorResult, newsvendor
from .supply import eoq_with_disruptions, eoq_with_yield, newsvendor_with_yield

__all__ = [
    "Demand",
    "FiniteHorizon",
    "LotSizes",
    "NewsvendorResult",
    "OrderQuantity",
    "Policy",
    "ReorderQuantity",
    "ReviewPolicy",
    "ServiceLevels",
    "approximate_reorder_quantity",
    "base_stock",
    "base_stock_service",
    "eoq",
    "eoq_with_disruptions",
    "eoq_with_yield",
    "finite_horizon",
    "newsvendor",
    "newsvendor_with_yield",
    "optimal_reorder_quantity",
    "optimal_s_S",
    "periodic_review",
    "policy_cost",
    "power_approximation",
    "quantity_discount",
    "rebalance_band",
    "reorder_cost",
    "reorder_point",
    "reorder_service",
    "wagner_whitin",
]
