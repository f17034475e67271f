"""How to get out: schedules of execution, what they cost and what they risk.

Examples
--------
>>> schedule = AlmgrenChriss(1e6, horizon=5, periods=5, sigma=0.95, permanent=2.5e-7, temporary=2.5e-6,
...                          fixed=0.0625, risk_aversion=2e-6)
>>> schedule.holdings.round()
array([1000000.,  428599.,  182933.,   76296.,   27643.,       0.])
>>> schedule
AlmgrenChriss(quantity=1e+06, E=1.14072e+06, std=449368, half_life=1.18162)
"""

from .almgren_chriss import AlmgrenChriss, capped, unwind
from .basket import AlmgrenChrissBasket
from .cost_model import IStar, i_star
from .liquidation import limit_order_liquidation, market_order_liquidation
from .power_law import power_law
from .schedule import Schedule

__all__ = [
    "AlmgrenChriss",
    "AlmgrenChrissBasket",
    "IStar",
    "Schedule",
    "capped",
    "i_star",
    "limit_order_liquidation",
    "market_order_liquidation",
    "power_law",
    "unwind",
]
