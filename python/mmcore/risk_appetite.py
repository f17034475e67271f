r"""Risk aversion from what a trader can say: how much inventory, for how long, how much P&L noise.

:math:`\gamma` has no everyday meaning, but the stationary law of the inventory that it leads to has
(:mod:`mmcore.inventory`). Each of these targets is one equation in :math:`\ln\gamma`:

=====================================  ===========================================================
``inventory=50, probability=0.95``      within +-50 lots for 95 % of the time
``std=25``                              standard deviation of the inventory, lots
``half_life=1800``                      the inventory forgets half of a deviation in half an hour
``pnl_std=5000, over=3600``             standard deviation of the P&L over an hour, tick·lots
``spread=8``                            ask less bid at zero inventory, ticks
=====================================  ===========================================================

The search covers every :math:`\gamma` that makes a difference: from :math:`\alpha/\eta` so small that the
inventory feels nothing but its bounds (:math:`10^{-8} N^{-4}`, N orders to the bound) to so large that hardly
more than one order is ever held (:math:`10^6`). It walks over that range in 33 steps and finds the root
between the two that enclose it. More aversion means less inventory, quicker returns, less P&L noise and, as a
rule, a wider spread. The exception: where price risk is small, what :math:`\gamma` first does is to lower the
static half-spread :math:`\ln(1+\gamma\Delta/k)/(\gamma\Delta)`. Then two :math:`\gamma` have the same spread;
the smaller one is given, and a note says so.

Examples
--------
>>> import mmcore as mm
>>> market = {"sigma": 2.0, "A": 0.5, "k": 0.3}
>>> gamma = gamma_for(market, inventory=10, probability=0.95, q_max=50)
>>> print(f"{gamma:.4g}")
9.212e-05
>>> gamma.law.bound(0.95), round(gamma.law.probability(10), 9)
(10.0, 0.95)
>>> mm.GueantLehalleFernandezTapia(**market, gamma=gamma, q_max=50) == gamma.model
True
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ApproximationWarning, InvalidArgument
from .parameters import Parameter, expect

if TYPE_CHECKING:
    from .inventory import InventoryLaw
    from .models.model import Model

__all__ = ["TARGETS", "RiskAversion", "gamma_for"]

TARGETS = (
    Parameter(
        "inventory", float, default=None, low=0.0, unit="lots",
        doc="largest position, long or short, held for the given probability of the time",
    ),
    Parameter(
        "std", float, default=None, low=0.0, open_low=True, unit="lots",
        doc="standard deviation of the inventory",
    ),
    Parameter(
        "half_life", float, default=None, low=0.0, open_low=True, unit="s",
        doc="time in which the inventory forgets half of a deviation",
    ),
    Parameter(
        "pnl_std", float, default=None, low=0.0, open_low=True, unit="tick·lots",
        doc="standard deviation of the P&L over the given time",
    ),
    Parameter(
        "spread", float, default=None, low=0.0, open_low=True, unit="ticks",
        doc="ask less bid at zero inventory",
    ),
)  # fmt: skip
"""What :func:`gamma_for` can aim at: exactly one of these."""

_PROBABILITY = Parameter(
    "probability", float, low=0.0, high=1.0, open_low=True, open_high=True, doc="share of the time"
)
_OVER = Parameter("over", float, default=None, low=0.0, open_low=True, unit="s", doc="horizon of the P&L")
_STEPS = 33


class RiskAversion(float):
    """A risk aversion, 1/(tick·lot), that knows what it was chosen for; otherwise a float.

    Attributes
    ----------
    model : Model
        The model with this gamma.
    law : InventoryLaw
        The stationary law of its inventory.
    target : str
        What was asked for, in words.
    notes : list of str
        What a reader should know, in words.
    """

    model: Model
    law: InventoryLaw
    target: str
    notes: list[str]

    def __new__(
        cls, gamma: float, model: Model, target: str, session: float | None = None, notes: Any = ()
    ) -> Any:
        """Make the number, and find the law that it leads to."""
        self = super().__new__(cls, gamma)
        self.model, self.target = model, target
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ApproximationWarning)  # told once, by gamma_for
            self.law = model.inventory_law(session=session)
        self.notes = [*notes, *self.law.notes]
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        known = set(self.law.notes)
        own = tuple(note for note in self.notes if note not in known)
        return type(self), (float(self), self.model, self.target, self.law.session, own)

    def __repr__(self) -> str:
        law = repr(self.law)
        own = [f"note: {note}" for note in self.notes if note not in self.law.notes]
        return "\n".join([f"gamma = {float(self):.4g} per tick·lot, for {self.target}", law, *own])

    def __str__(self) -> str:
        return float.__repr__(self)

    def _repr_html_(self) -> str:
        own = "".join(f"<li>{note}</li>" for note in self.notes if note not in self.law.notes)
        return (
            f"<div><p><b>&gamma; = {float(self):.4g}</b> per tick·lot, for {self.target}</p></div>"
            + self.law._repr_html_()
            + (f"<ul>{own}</ul>" if own else "")
        )


def gamma_for(
    market: Any,
    *,
    inventory: float | None = None,
    probability: float = 0.95,
    std: float | None = None,
    half_life: float | None = None,
    pnl_std: float | None = None,
    over: float | None = None,
    spread: float | None = None,
    model: type[Model] | str = "GueantLehalleFernandezTapia",
    session: float | None = None,
    **parameters: Any,
) -> RiskAversion:
    """Find the risk aversion that meets one target in the long run.

    Parameters
    ----------
    market : Calibration, mapping or model
        Where sigma, A and k come from: a calibration, a dict of them, or a model whose gamma is replaced.
    inventory, probability : float
        Lots, and the share of the time that the inventory is within them, long or short.
    std : float
        Standard deviation of the inventory, lots.
    half_life : float
        Time in which the autocorrelation of the inventory falls to one half, seconds.
    pnl_std, over : float
        Standard deviation of the P&L, tick·lots (a currency amount divided by
        ``float(instrument.tick_value)``), over a time in seconds.
    spread : float
        Ask less bid at zero inventory, ticks.
    model : class or str
        An exact model with a gamma; not read when ``market`` is a model.
    session : float, optional
        Seconds that trading lasts: a relaxation time of more than a quarter of it is warned of.
    **parameters
        The model's other parameters: ``q_max``, ``order_size``, ``fee``, …

    Returns
    -------
    RiskAversion
        A float with ``.model``, ``.law`` and ``.notes``.

    Raises
    ------
    InvalidArgument
        Not exactly one target is given, or no gamma reaches it; the message says what can be reached.
    NotIdentified
        The calibration lacks a number.

    Warns
    -----
    ApproximationWarning
        The relaxation time exceeds a quarter of the session: the session never sees much of the long run.

    Examples
    --------
    The inventory is to forget half of a deviation within five minutes:

    >>> gamma = gamma_for({"sigma": 2.0, "A": 0.5, "k": 0.3}, half_life=300, q_max=50)
    >>> round(gamma.law.half_life, 6), f"{gamma.law.std:.1f} lots"
    (300.0, '8.9 lots')
    """
    given = {"inventory": inventory, "std": std, "half_life": half_life, "pnl_std": pnl_std, "spread": spread}
    aims = {p.name: p.check(given[p.name]) for p in TARGETS if given[p.name] is not None}
    names = ", ".join(p.name for p in TARGETS)
    if len(aims) != 1:
        raise InvalidArgument(
            f"give exactly one target of {names}; got {' and '.join(aims) or 'none'}",
            argument=next(iter(aims), "inventory"),
        )
    if (pnl_std is None) != (over is None):
        raise InvalidArgument(argument="over", value=over, allowed="given with pnl_std, and only then (s)")
    make = _maker(market, model, parameters)
    name, target = next(iter(aims.items()))
    aim = _AIMS[name](target, probability=_PROBABILITY.check(probability), over=_OVER.check(over))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ApproximationWarning)  # of models on the way
        gamma, notes = _root(make, aim)
    found: RiskAversion = RiskAversion(gamma, make(gamma), aim.words, session, notes)
    for note in found.law.notes:
        warnings.warn(note, ApproximationWarning, stacklevel=2)
    return found


@dataclass(frozen=True)
class _Aim:
    """One target: what to measure of a model, on a scale where it is smooth in ln gamma, and its words."""

    name: str
    target: float
    measure: Callable[[Model], float]
    words: str
    shown: Callable[[float], str]
    falls: bool = False
    """Whether the words' number falls where the measure rises."""
    turns: bool = False
    """Whether the measure may fall and rise again with gamma."""
    limit: float = 0.0
    """Lots within which the inventory is to be held."""


def _of_law(read: Callable[[InventoryLaw], float], model: Model) -> float:
    return math.log(max(read(model.inventory_law()), 1e-300))


def _inventory(target: float, probability: float, **_: Any) -> _Aim:
    # the share of time beyond, which keeps its digits when it is small
    return _Aim(
        "inventory",
        math.log1p(-probability),
        partial(_of_law, lambda law: law.beyond(target)),
        f"an inventory within {target:g} lots {100 * probability:g} % of the time",
        lambda value: f"{100 * -math.expm1(value):.6g} % of the time",
        falls=True,
        limit=target,
    )


def _std(target: float, **_: Any) -> _Aim:
    return _Aim(
        "std",
        math.log(target),
        partial(_of_law, lambda law: law.std),
        f"an inventory with a standard deviation of {target:g} lots",
        lambda value: f"{math.exp(value):.4g} lots",
    )


def _half_life(target: float, **_: Any) -> _Aim:
    return _Aim(
        "half_life",
        math.log(target),
        partial(_of_law, lambda law: law.half_life),
        f"an inventory with a half-life of {target:g} s",
        lambda value: f"{math.exp(value):.4g} s",
    )


def _pnl_std(target: float, over: float, **_: Any) -> _Aim:
    return _Aim(
        "pnl_std",
        math.log(target),
        partial(_of_law, lambda law: law.pnl_std(over)),
        f"a P&L with a standard deviation of {target:g} tick·lots over {over:g} s",
        lambda value: f"{math.exp(value):.4g} tick·lots",
    )


def _spread(target: float, **_: Any) -> _Aim:
    return _Aim(
        "spread",
        target,
        lambda model: 2.0 * model.half_spread,
        f"a spread of {target:g} ticks at zero inventory",
        lambda value: f"{value:.4g} ticks",
        turns=True,
    )


_AIMS: dict[str, Callable[..., _Aim]] = {
    "inventory": _inventory,
    "std": _std,
    "half_life": _half_life,
    "pnl_std": _pnl_std,
    "spread": _spread,
}


def _maker(market: Any, model: Any, parameters: dict[str, Any]) -> Callable[[float], Any]:
    """Return what builds the model for a gamma."""
    from . import models
    from .calibration import Calibration
    from .models.exponential_intensity import ExponentialIntensity
    from .models.model import Model

    expect(
        "market", market, (Model, Mapping, Calibration), "a Calibration, a model, or a dict of sigma, A and k"
    )
    if isinstance(market, Model):
        cls: Any = type(market)
    else:
        cls = getattr(models, model, None) if isinstance(model, str) else model
    exact = isinstance(cls, type) and issubclass(cls, ExponentialIntensity)
    if not exact or "gamma" not in {p.name for p in cls.PARAMETERS}:
        raise InvalidArgument(
            argument="market" if isinstance(market, Model) else "model",
            value=getattr(cls, "__name__", model),
            allowed="an exact model with a gamma: GueantLehalleFernandezTapia",
        )
    if "gamma" in parameters:
        raise InvalidArgument("gamma is what gamma_for finds: leave it out", argument="gamma")

    def make(gamma: float) -> Model:
        if isinstance(market, Model):
            return market.replace(**parameters, gamma=gamma)
        if isinstance(market, Mapping):
            return cls(**{**market, **parameters, "gamma": gamma})  # type: ignore[no-any-return]
        return market.model(cls, **parameters, gamma=gamma)  # type: ignore[no-any-return]

    return make


def _walk(excess: Callable[[float], float], grid: Any, whole: bool) -> tuple[Any, Any]:
    """Values along the grid, ascending; walked from the top, where laws are narrow and quick to find.

    Unless the whole is asked for, it ends where the sign changes.
    """
    values: list[float] = []
    for x in grid[::-1]:
        values.append(excess(x))
        if not whole and len(values) > 1 and np.sign(values[-1]) != np.sign(values[-2]):
            break
    return grid[-len(values) :], np.array(values[::-1])


def _root(make: Callable[[float], Any], aim: _Aim) -> tuple[float, list[str]]:
    """Smallest gamma that meets the aim, and notes."""
    from scipy.optimize import brentq, minimize_scalar

    first = make(1.0)
    if not first.sigma > 0.0:
        raise InvalidArgument(
            "without price risk (sigma = 0) no risk aversion makes a difference to the inventory",
            argument="sigma",
            value=first.sigma,
        )
    if aim.name == "inventory" and aim.limit >= first.q_max:
        raise InvalidArgument(
            argument="inventory",
            value=aim.limit,
            allowed=f"below q_max, {first.q_max} lots: it is never beyond",
        )
    orders = first.q_max / first.order_size

    def excess(log_gamma: float) -> float:
        return aim.measure(make(math.exp(log_gamma))) - aim.target

    def at_ratio(log_ratio: float) -> float:
        return float(
            brentq(lambda x: math.log(make(math.exp(x)).alpha_over_eta) - log_ratio, -200.0, 200.0, xtol=1e-3)
        )

    ends = at_ratio(math.log(1e-8) - 4.0 * math.log(orders)), at_ratio(math.log(1e6))
    grid, values = _walk(excess, np.linspace(*ends, _STEPS), whole=aim.turns)
    turns = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if aim.turns and not turns.size:
        # a turning point between two steps may reach further than the steps
        nearest, sign = int(np.argmin(np.abs(values))), float(np.sign(values[0]))
        bounds = grid[max(nearest - 1, 0)], grid[min(nearest + 1, _STEPS - 1)]
        best = minimize_scalar(
            lambda x: sign * excess(x), bounds=bounds, method="bounded", options={"xatol": 1e-9}
        )
        grid, values = np.insert(grid, nearest, best.x), np.insert(values, nearest, excess(best.x))
        order = np.argsort(grid)
        grid, values = grid[order], values[order]
        turns = np.flatnonzero(np.sign(values[:-1]) != np.sign(values[1:]))
    if not turns.size:
        reached = sorted((float(values.min()) + aim.target, float(values.max()) + aim.target))
        raise InvalidArgument(
            f"no gamma gives {aim.words}: with these parameters it can be anything from "
            f"{aim.shown(reached[aim.falls])} to {aim.shown(reached[1 - aim.falls])}",
            argument=aim.name,
        )
    at = int(turns[0])
    root = float(brentq(excess, grid[at], grid[at + 1], xtol=1e-14, rtol=4 * np.finfo(float).eps))
    notes = []
    if turns.size > 1:
        notes.append("a larger gamma meets the target too; this is the smallest that does")
    return math.exp(root), notes
