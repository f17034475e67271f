r"""Cartea and Jaimungal: quotes under running and terminal inventory penalties.

The market maker maximises :math:`E[X_T + q_T (S_T - \alpha q_T) - \phi\int q^2 dt]` (Cartea, Jaimungal and
Penalva, *Algorithmic and High-Frequency Trading*, 2015, chapter 10). Buy market orders arrive at the rate
:math:`A_a` and move the mid up by :math:`\epsilon_a`, sell orders at :math:`A_b` and move it down by
:math:`\epsilon_b`, whether or not they fill us; one fills our quote at depth :math:`\delta` with
probability :math:`e^{-k\delta}`. In the equation of :mod:`.exponential_intensity`:

.. math:: r_i = \frac{(\mu + \epsilon_a A_a - \epsilon_b A_b) q_i - \phi q_i^2}{\Delta}, \quad
    c = \frac{1}{k}, \quad C = \frac{1}{e}, \quad s = \epsilon + \text{fee}, \quad a = 0, \quad
    z(0) = -\frac{\alpha q^2}{\Delta}.

The order size. When a buy order comes the value changes by :math:`q\epsilon_a`, and if it takes our
:math:`\Delta` lots by :math:`\Delta(S + \delta) - \Delta(S + \epsilon_a) + \theta(q - \Delta) - \theta(q)`
more, which with :math:`\theta = \Delta z` is :math:`\Delta(\delta - \epsilon_a + z_{i-1} - z_i)`. The rate
times this, maximised over :math:`\delta` and divided by :math:`\Delta`, is the equation's last term: so
:math:`\epsilon` and :math:`c` don't scale with the order size, and the penalties enter as
:math:`\phi q^2/\Delta` and :math:`\alpha q^2/\Delta`.
"""

from __future__ import annotations

from ..parameters import Parameter
from .exponential_intensity import ExponentialIntensity
from .gueant_lehalle_fernandez_tapia import DECAY, DRIFT, FEE, HORIZON, INTENSITY, ORDER_SIZE, Q_MAX

__all__ = ["CarteaJaimungal"]


class CarteaJaimungal(ExponentialIntensity):
    """The exact optimal quotes of a risk-neutral market maker with inventory penalties.

    Parameters
    ----------
    A, k : float or (bid, ask)
        Market orders arrive at the rate A (1/s) and fill a quote at depth d with probability exp(-k d);
        ``A[0]`` is the rate of sell orders, which fill our bid.
    running_penalty : float
        phi, ticks/(lot·s), >= 0.
    terminal_penalty : float
        alpha, ticks/lot, >= 0.
    adverse_selection : float or (bid, ask)
        How far a market order moves the mid, ticks: down after a sell order (which hits the bid), up
        after a buy order.
    drift : float
        Expected drift of the reference price, ticks/s.
    q_max, order_size : int
        Largest position and size of every order, lots.
    horizon : float, optional
        End of trading, seconds away; without one the solution is stationary.
    fee : float or (bid, ask)
        Fee of a maker's fill, ticks per lot.
    sigma : float, optional
        Volatility, ticks/√s; kept for simulations, the quotes don't depend on it.

    Raises
    ------
    InvalidArgument
        Names the first argument that is not allowed, its value and what is.

    Examples
    --------
    >>> model = CarteaJaimungal(
    ...     A=1.0, k=100.0, running_penalty=1e-5, terminal_penalty=1e-4, q_max=3, horizon=30.0
    ... )
    >>> [round(depth, 8) for depth in model.depths(1, time_left=30.0)]
    [0.01275557, 0.00917776]
    """

    PARAMETERS = (
        INTENSITY,
        DECAY,
        Parameter(
            "running_penalty", float, default=0.0, low=0.0, unit="ticks/(lot·s)",
            doc="penalty on the squared inventory while it is held",
        ),
        Parameter(
            "terminal_penalty", float, default=0.0, low=0.0, unit="ticks/lot",
            doc="penalty on the squared inventory at the horizon",
        ),
        Parameter(
            "adverse_selection", float, default=0.0, pair=True, unit="ticks",
            doc="how far a market order moves the mid: down after a sell order, up after a buy order",
        ),
        DRIFT,
        Q_MAX,
        ORDER_SIZE,
        HORIZON,
        FEE,
        Parameter(
            "sigma", float, default=None, low=0.0, unit="ticks/√s",
            doc="volatility of the reference price; the quotes don't depend on it",
        ),
    )  # fmt: skip
    _kernel = "cartea_jaimungal"

    running_penalty: float
    terminal_penalty: float
    adverse_selection: tuple[float, float]
    drift: float
    fee: tuple[float, float]
    sigma: float | None

    def __init__(
        self,
        *,
        A: float | tuple[float, float],
        k: float | tuple[float, float],
        running_penalty: float = 0.0,
        terminal_penalty: float = 0.0,
        adverse_selection: float | tuple[float, float] = 0.0,
        drift: float = 0.0,
        q_max: int = 50,
        order_size: int = 1,
        horizon: float | None = None,
        fee: float | tuple[float, float] = 0.0,
        sigma: float | None = None,
    ) -> None:
        super().__init__(locals())

    @property
    def _curvature(self) -> float:
        return 0.0

    @property
    def _cost(self) -> tuple[float, float]:
        return self.adverse_selection[0] + self.fee[0], self.adverse_selection[1] + self.fee[1]

    @property
    def _penalty(self) -> float:
        return self.running_penalty * self.order_size

    @property
    def _bend(self) -> tuple[float, float]:
        return 0.0, -self.terminal_penalty
