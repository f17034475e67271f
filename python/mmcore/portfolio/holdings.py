"""Holdings that solve a mean-variance problem, with their certificate, and in whole lots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import refusal
from ..errors import InvalidArgument
from .covariances import as_vector

if TYPE_CHECKING:
    from .solving import MeanVariance

Floats = NDArray[np.float64]


class Portfolio:
    """Holdings that solve a mean-variance problem, and the certificate that they do.

    Attributes
    ----------
    weights : ndarray
        Holdings, in the budget's unit (shares of 1, or lots).
    risk_aversion : float
        The problem's λ; infinite for the minimum-variance end of a frontier, whose multipliers are those of
        ½xᵀΣx.
    residual : float
        Largest violation of the optimality conditions, relative to the size of the gradient's terms.
    budget_multiplier : float
        ν: what one more unit of budget adds to the objective; 0 without a budget.
    constraint_multipliers : dict of str to float
        What one more unit of each general limit that binds adds to the objective, by its name:
        ``constraints[0]``, ``groups['tech']``, ``leverage``, ``turnover``.
    variance, risk : float
        xᵀΣx and its root.
    expected_return, cost, net_return : float
        rᵀx; what it costs to trade here from the holdings; the one less the other.
    leverage, turnover : float
        Σ|x| and Σ|x − h|.
    objective : float
        ½λxᵀΣx − rᵀx + costs.
    active : ndarray of int8
        Which bound each asset is at.
    multipliers : ndarray
        What each bound, kink of a cost or limit on a sum holds against.
    """

    __slots__ = (
        "_problem",
        "_returns",
        "_rows",
        "budget_multiplier",
        "constraint_multipliers",
        "residual",
        "risk_aversion",
        "weights",
    )

    def __init__(
        self,
        problem: MeanVariance,
        weights: Floats,
        returns: Floats | None,
        risk_aversion: float,
        multiplier: float,
        residual: float,
        rows: Floats | None = None,
        constraint_multipliers: dict[str, float] | None = None,
    ) -> None:
        self._problem, self._returns, self._rows = problem, returns, rows
        self.constraint_multipliers = constraint_multipliers or {}
        self.weights, self.risk_aversion = weights, risk_aversion
        self.budget_multiplier, self.residual = multiplier, residual

    @property
    def variance(self) -> float:
        """Variance, xᵀΣx."""
        return float(self.weights @ (self._problem.covariance @ self.weights))

    @property
    def risk(self) -> float:
        """Standard deviation."""
        return math.sqrt(max(self.variance, 0.0))

    @property
    def expected_return(self) -> float:
        """Expected return rᵀx, before costs; 0 where no returns were given."""
        return 0.0 if self._returns is None else float(self._returns @ self.weights)

    @property
    def cost(self) -> float:
        """Cost of trading here from the holdings."""
        problem = self._problem
        if problem.holdings is None:
            return 0.0
        trade = np.abs(self.weights - problem.holdings)
        linear = 0.0 if problem.cost is None else float(problem.cost @ trade)
        return linear + (0.0 if problem.power_cost is None else float(problem.power_cost @ trade**1.5))

    @property
    def net_return(self) -> float:
        """Expected return less the cost of trading here."""
        return self.expected_return - self.cost

    @property
    def leverage(self) -> float:
        """Sum of the absolute holdings."""
        return float(np.abs(self.weights).sum())

    @property
    def turnover(self) -> float:
        """Sum of the absolute trades from the holdings; NaN where none were given."""
        holdings = self._problem.holdings
        return math.nan if holdings is None else float(np.abs(self.weights - holdings).sum())

    @property
    def objective(self) -> float:
        """½λxᵀΣx − rᵀx + costs."""
        return 0.5 * self.risk_aversion * self.variance - self.expected_return + self.cost

    @property
    def active(self) -> NDArray[np.int8]:
        """-1 for an asset at its lower bound, 1 at its upper one, 0 in between."""
        problem = self._problem
        at = np.zeros(len(self.weights), dtype=np.int8)
        if problem.bounded:
            at[self.weights <= problem.lower] = -1
            at[self.weights >= problem.upper] = 1
        return at

    @property
    def multipliers(self) -> Floats:
        """Gradient λΣx − r − ν of each asset, less the rows' multipliers.

        It is ≥ 0 at a lower bound and ≤ 0 at an upper one; a trade adds minus the slope of its cost, limits
        on leverage and turnover their multipliers.
        """
        returns, risk_aversion = self._returns, self.risk_aversion
        if risk_aversion == math.inf:
            returns, risk_aversion = None, 1.0
        found = self._problem.gradient(self.weights, returns, risk_aversion)
        return found - (self.budget_multiplier if self._rows is None else self._rows)

    def lots(self, instruments: Any, prices: ArrayLike) -> Lots:
        """Whole lots nearest to these holdings of money, and the risk of the rounding.

        Parameters
        ----------
        instruments : sequence of Instrument
            One for each asset: :class:`mmcore.Instrument`, linear contracts.
        prices : array_like
            Prices in each instrument's currency, one for each.
        """
        return Lots(self, instruments, prices)

    def __repr__(self) -> str:
        shown = np.array2string(self.weights, precision=4, threshold=8)
        return f"Portfolio({shown}, risk={self.risk:.6g}, residual={self.residual:.1e})"


class Lots:
    """A portfolio in whole lots.

    Attributes
    ----------
    lots : ndarray of int64
        Nearest to the target.
    target : ndarray of float
        The target in lots.
    rounding : ndarray of float
        Money that the rounding adds (or leaves out) in each asset.
    rounding_risk : float
        Standard deviation of the P&L of that difference, in the unit of the portfolio's risk.
    """

    def __init__(self, portfolio: Portfolio, instruments: Any, prices: ArrayLike) -> None:
        from ..instruments import Instrument

        n = len(portfolio.weights)
        price = as_vector("prices", prices, n)
        if (price <= 0.0).any():
            index = int(np.argmax(price <= 0.0))
            raise InvalidArgument(
                argument="prices", value=float(price[index]), allowed="numbers > 0", index=index
            )
        if not isinstance(instruments, Sequence) or isinstance(instruments, str):
            raise InvalidArgument(
                argument="instruments", value=instruments, allowed=f"a list of {n} instruments"
            )
        if len(instruments) != n:
            raise refusal("instruments", f"{len(instruments)} of them", f"{n} instruments")
        for index, instrument in enumerate(instruments):
            if not isinstance(instrument, Instrument):
                raise InvalidArgument(
                    argument="instruments", value=instrument, allowed="instances of Instrument", index=index
                )
            if instrument.kind != "linear":
                raise InvalidArgument(
                    argument="instruments", value=instrument.name, allowed="linear contracts", index=index
                )
        worth = price * np.array([float(i.lot) * float(i.multiplier) for i in instruments])
        self.target = portfolio.weights / worth
        if (np.abs(self.target) >= 2.0**53).any():
            index = int(np.argmax(np.abs(self.target)))
            raise InvalidArgument(
                argument="prices",
                value=float(price[index]),
                index=index,
                allowed="such that holdings are below 2**53 lots",
            )
        self.lots = np.rint(self.target).astype(np.int64)
        self.rounding = (self.lots - self.target) * worth
        covariance = portfolio._problem.covariance
        self.rounding_risk = math.sqrt(max(float(self.rounding @ covariance @ self.rounding), 0.0))

    def __repr__(self) -> str:
        return f"Lots({self.lots.tolist()}, rounding_risk={self.rounding_risk:.4g})"
