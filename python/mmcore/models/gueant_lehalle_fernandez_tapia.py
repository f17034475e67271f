r"""Guéant, Lehalle and Fernandez-Tapia: optimal quotes with inventory bounds.

The market maker maximises :math:`E[-e^{-\gamma (X_T + q_T S_T)}]` while
:math:`|q| \le q_{max}` (*Dealing with the inventory risk*, Mathematics and Financial Economics 2013), or
with ``objective="mean_variance"`` :math:`E[X_T + q_T S_T - \frac{\gamma}{2}\int\sigma^2 q^2 dt]` (the
:math:`\xi = 0` of Guéant, *Optimal market making*, Applied Mathematical Finance 2017). In the equation of
:mod:`.exponential_intensity`:

.. math:: r_i = \frac{\mu q_i - \gamma\sigma^2 q_i^2 / 2}{\Delta}, \quad
    s = \text{fee} + \frac{\text{impact}}{2}, \quad a = \frac{\text{impact}}{2\Delta},
    \quad z(0) = -\frac{\text{impact}\; q^2}{2\Delta^2}.

The impact: a fill of :math:`\Delta` lots moves the mid against us by ``impact`` ticks. A bought order then
changes the value by :math:`\Delta(\delta - \text{fee}) - (q + \Delta)\,\text{impact} + \theta(q + \Delta) -
\theta(q)`, and with :math:`\theta = \Delta z + a q^2` this is
:math:`\Delta(\delta - s + z_{i+1} - z_i)`; a sold one alike.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

from ..errors import ApproximationWarning, InvalidArgument
from ..lattice import affine_of, side_of
from ..parameters import Parameter, Relation
from .exponential_intensity import ExponentialIntensity
from .model import Floats, Model

if TYPE_CHECKING:
    from ..quoting import Affine

__all__ = ["GueantLehalleFernandezTapia", "GueantLehalleFernandezTapiaClosedForm"]

SIGMA = Parameter("sigma", float, low=0.0, unit="ticks/√s", doc="volatility of the reference price")
INTENSITY = Parameter(
    "A",
    float,
    low=0.0,
    open_low=True,
    unit="1/s",
    pair=True,
    doc="rate of fills of a quote at the reference price",
)
DECAY = Parameter(
    "k", float, low=0.0, open_low=True, unit="1/tick", pair=True, doc="decay of that rate with the depth"
)
GAMMA = Parameter("gamma", float, low=0.0, unit="1/(tick·lot)", doc="risk aversion")
Q_MAX = Parameter("q_max", int, default=50, low=1, unit="lots", doc="largest position, long or short")
BOUND = Parameter(
    "q_max",
    int,
    default=None,
    low=1,
    unit="lots",
    doc="largest position, long or short; without one, no bound",
)
ORDER_SIZE = Parameter("order_size", int, default=1, low=1, unit="lots", doc="size of every order")
HORIZON = Parameter(
    "horizon",
    float,
    default=None,
    low=0.0,
    open_low=True,
    unit="s",
    doc="end of trading; without one, stationary",
)
FEE = Parameter(
    "fee",
    float,
    default=0.0,
    pair=True,
    unit="ticks per lot",
    doc="fee of a maker's fill; a rebate is negative",
)
DRIFT = Parameter("drift", float, default=0.0, unit="ticks/s", doc="expected drift of the reference price")
IMPACT = Parameter(
    "impact", float, default=0.0, low=0.0, unit="ticks", doc="how far a fill moves the mid against us"
)
OBJECTIVE = Parameter(
    "objective",
    str,
    default="exponential",
    choices=("exponential", "mean_variance"),
    doc="exponential utility of the final wealth, or its mean less a running variance penalty",
)


class GueantLehalleFernandezTapia(ExponentialIntensity):
    """The exact optimal quotes under exponential fill intensities and inventory bounds.

    Parameters
    ----------
    sigma : float
        Volatility of the reference price, ticks/√s, >= 0.
    A, k : float or (bid, ask)
        A quote at depth d is filled at the rate A exp(-k d); 1/s and 1/tick, > 0. ``A[0]`` is the rate of
        sell market orders, which fill our bid.
    gamma : float
        Risk aversion, 1/(tick·lot), >= 0; see :meth:`mmcore.Instrument.gamma`.
    q_max : int
        Largest position, lots; a multiple of ``order_size``.
    order_size : int
        Lots of every order.
    horizon : float, optional
        End of trading, seconds away; without one the solution is stationary.
    fee : float or (bid, ask)
        Fee of a maker's fill, ticks per lot; a rebate is negative.
    drift : float
        Expected drift of the reference price, ticks/s.
    impact : float
        How far a fill moves the mid against us, ticks, >= 0.
    objective : {"exponential", "mean_variance"}
        Exponential utility of the final wealth, or its mean less gamma/2 times the running variance.

    Raises
    ------
    InvalidArgument
        Names the first argument that is not allowed, its value and what is.

    Examples
    --------
    The parameters of the paper's figures 1-3:

    >>> model = GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=30)
    >>> [round(depth, 5) for depth in model.depths(5)]
    [3.65348, 2.97252]
    >>> model.depths(30)[0] is None
    True
    """

    PARAMETERS = (
        SIGMA, INTENSITY, DECAY, GAMMA, Q_MAX, ORDER_SIZE, HORIZON, FEE, DRIFT, IMPACT, OBJECTIVE,
    )  # fmt: skip
    _kernel = "exact"

    sigma: float
    gamma: float
    fee: tuple[float, float]
    drift: float
    impact: float
    objective: str

    def __init__(
        self,
        *,
        sigma: float,
        A: float | tuple[float, float],
        k: float | tuple[float, float],
        gamma: float,
        q_max: int = 50,
        order_size: int = 1,
        horizon: float | None = None,
        fee: float | tuple[float, float] = 0.0,
        drift: float = 0.0,
        impact: float = 0.0,
        objective: str = "exponential",
    ) -> None:
        super().__init__(locals())

    @property
    def _curvature(self) -> float:
        return self.gamma if self.objective == "exponential" else 0.0

    @property
    def _cost(self) -> tuple[float, float]:
        return self.fee[0] + 0.5 * self.impact, self.fee[1] + 0.5 * self.impact

    @property
    def _penalty(self) -> float:
        return 0.5 * self.gamma * self.sigma * self.sigma * self.order_size

    @property
    def _bend(self) -> tuple[float, float]:
        return 0.5 * self.impact / self.order_size, 0.0

    def closed_form(self) -> GueantLehalleFernandezTapiaClosedForm:
        """The closed-form approximation with the same parameters.

        Warns
        -----
        ApproximationWarning
            When alpha/eta > 0.1.
        """
        given = {p.name: getattr(self, p.name) for p in GueantLehalleFernandezTapiaClosedForm.PARAMETERS}
        return GueantLehalleFernandezTapiaClosedForm(**given)


class GueantLehalleFernandezTapiaClosedForm(Model):
    r"""The closed-form approximation of the stationary quotes: affine in inventory.

    .. math:: \delta^b = c + s + \frac{w}{2}(2q + \Delta) - b, \quad
        \delta^a = c + s - \frac{w}{2}(2q - \Delta) + b, \quad
        w = \sqrt{\frac{\gamma\sigma^2}{\Delta (U k_b^2 + D k_a^2)}},

    with :math:`b = \mu w/(\gamma\sigma^2)` when both sides are alike (section 4 of the paper, eq. 4.6-4.9
    of Guéant 2017); unequal sides by the quadratic expansion of Bergault, Evangelista, Guéant and Vieira.
    Good when alpha/eta is small: at 0.1 the skew at zero inventory is 6 % too small, at 1 it is 20 %.

    Parameters are those of :class:`GueantLehalleFernandezTapia` but for ``horizon``, and ``q_max`` may be
    ``None``: no bound.

    Raises
    ------
    InvalidArgument
        Names the first argument that is not allowed, its value and what is.

    Warns
    -----
    ApproximationWarning
        When alpha/eta > 0.1.

    Examples
    --------
    >>> model = GueantLehalleFernandezTapiaClosedForm(sigma=0.4, A=0.9, k=0.3, gamma=0.01)
    >>> [round(depth, 6) for depth in model.depths(5)]
    [3.776665, 2.871787]
    """

    PARAMETERS = (
        SIGMA, INTENSITY, DECAY, GAMMA,
        BOUND,
        ORDER_SIZE, FEE, DRIFT, IMPACT, OBJECTIVE,
    )  # fmt: skip
    RELATIONS = (
        Relation(
            ("q_max", "order_size"),
            lambda q_max, order_size: q_max >= order_size,
            lambda _, order_size: f">= order_size, {order_size} lots",
        ),
    )
    _kernel = "closed_form"

    sigma: float
    A: tuple[float, float]
    k: tuple[float, float]
    gamma: float
    q_max: int | None
    fee: tuple[float, float]
    drift: float
    impact: float
    objective: str
    horizon = None

    def __init__(
        self,
        *,
        sigma: float,
        A: float | tuple[float, float],
        k: float | tuple[float, float],
        gamma: float,
        q_max: int | None = None,
        order_size: int = 1,
        fee: float | tuple[float, float] = 0.0,
        drift: float = 0.0,
        impact: float = 0.0,
        objective: str = "exponential",
    ) -> None:
        super().__init__(locals())
        variance = self.gamma * self.sigma * self.sigma
        if variance == 0.0 and self.drift != 0.0:
            raise InvalidArgument(
                "a drift needs gamma > 0 and sigma > 0 in the closed form: without aversion to inventory it "
                "would be held without bound",
                argument="drift",
                value=drift,
            )
        affine_of(self)  # refuses what has no depths
        if self.alpha_over_eta > 0.1:
            warnings.warn(
                f"the closed form is used at alpha/eta = {self.alpha_over_eta:.3g}; above 0.1 its skew is "
                "off by more than 6 %: GueantLehalleFernandezTapia is exact",
                ApproximationWarning,
                stacklevel=2,
            )

    @property
    def alpha_over_eta(self) -> float:
        """Aversion to inventory over the fill rate, k gamma sigma^2 order_size / (2 A C exp(-k cost))."""
        curvature = self.order_size * (self.gamma if self.objective == "exponential" else 0.0)
        cost = [fee + 0.5 * self.impact for fee in self.fee]
        factor = (side_of(curvature, k, A, s)[1] / k for k, A, s in zip(self.k, self.A, cost, strict=True))
        return 0.5 * self.gamma * self.sigma * self.sigma * self.order_size / min(factor)

    @property
    def slope(self) -> float:
        """Ticks that the quotes move per lot of inventory."""
        return affine_of(self)[2]

    @property
    def _base(self) -> tuple[float, float]:
        return affine_of(self)[0]

    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        return self.policy().depths_batch(inventory, time_left)

    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Affine:
        """Compile into an affine policy; nothing is approximated further, so ``tol`` has no effect."""
        from ..quoting import Affine

        return Affine(
            base=self._base,
            slope=self.slope,
            q_max=math.inf if self.q_max is None else self.q_max,
            order_size=self.order_size,
        )
