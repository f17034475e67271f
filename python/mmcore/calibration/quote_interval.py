r"""The errors of a calibration carried to the quotes: "the half-spread is 6.2 ± 0.4 ticks".

A quote is a function of sigma, A and k. With :math:`p = (\ln\sigma, \ln A, \ln k)` and its covariance V,

``method="delta"``
    the quote's variance is :math:`g^T V g`, g the gradient by central differences (a step of 10^-4, so
    it is right to 10^-8); the interval is the estimate ± z standard errors.
``method="bootstrap"``
    models are built from draws of p, normal with covariance V; the error is their standard deviation and
    the interval their quantiles. It sees bends that the delta method does not; where both agree, the
    delta method's linear view is good enough.

The error of sigma is independent of those of A and k (prices and arrivals), those of both sides are taken as
independent of each other; A and k of one side go together, as the calibration found them. What is carried is
the error of measurement under the model: not that A, k or sigma may change tomorrow, and not that the
intensity may be no exponential.
"""

from __future__ import annotations

import html
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ApproximationWarning, InvalidArgument, NotIdentified
from ..parameters import Parameter
from .intensity import normal_quantile
from .market import Floats
from .options import OPTION

if TYPE_CHECKING:
    from .result import Calibration

__all__ = ["PARAMETERS", "QuoteInterval", "quote_interval"]

PARAMETERS = (
    OPTION["level"],
    Parameter(
        "method", str, default="delta", choices=("delta", "bootstrap"), doc="how errors reach the quotes"
    ),
    Parameter("inventory", float, default=0.0, unit="lots", doc="lots held"),
    Parameter("draws", int, default=1000, low=100, high=1_000_000, doc="models drawn by the bootstrap"),
    Parameter("seed", int, default=1, low=0, doc="seed of the bootstrap's random numbers"),
)
"""The options of :meth:`Calibration.quote_interval`."""

_CHECK = {p.name: p for p in PARAMETERS}
_STEP = 1e-4
_QUOTED = ("half_spread", "bid", "ask")


@dataclass(frozen=True)
class QuoteInterval:
    """Quotes with the errors that the calibration leaves in them; ticks from the reference price.

    Attributes
    ----------
    estimates, standard_errors : dict
        By name: "half_spread" (half the distance between the quotes), "bid", "ask" (depths); absent
        where a side is not quoted.
    intervals : dict
        (low, high) at ``level``, by name.
    shares : dict
        Share of the half-spread's variance (of the quoted side's, where there is one only) that each
        calibrated number contributes: "sigma", "A and k of the bid", …
    inventory : float
        Lots held.
    level : float
        Confidence level.
    method : str
        "delta" or "bootstrap".
    model : Model
        Made from the calibrated numbers themselves.
    """

    estimates: dict[str, float]
    standard_errors: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    shares: dict[str, float]
    inventory: float
    level: float
    method: str
    model: Any

    @property
    def half_spread(self) -> tuple[float, float] | None:
        """Estimate and standard error of half the distance between the quotes, ticks."""
        return self._both("half_spread")

    @property
    def bid(self) -> tuple[float, float] | None:
        """Estimate and standard error of the bid's depth, ticks; None where it is not quoted."""
        return self._both("bid")

    @property
    def ask(self) -> tuple[float, float] | None:
        """Estimate and standard error of the ask's depth, ticks; None where it is not quoted."""
        return self._both("ask")

    def _both(self, name: str) -> tuple[float, float] | None:
        return (self.estimates[name], self.standard_errors[name]) if name in self.estimates else None

    def _rows(self) -> list[tuple[str, str]]:
        names = {"half_spread": "half-spread", "bid": "bid", "ask": "ask"}
        rows = []
        for name, value in self.estimates.items():
            error, (low, high) = self.standard_errors[name], self.intervals[name]
            digits = _digits(error)
            span = f"{100 * self.level:g} % interval {low:.{digits}f} to {high:.{digits}f}"
            rows.append((names[name], f"{value:.{digits}f} ± {error:.{digits}f} ticks, {span}"))
        return rows

    def _causes(self) -> str:
        named = sorted(self.shares.items(), key=lambda item: -item[1])
        seen = [f"{name} ({100 * share:.0f} %)" for name, share in named if share >= 0.005]
        return "the error comes from " + (
            ", ".join(seen) or "nowhere: these quotes depend on none of the numbers"
        )

    def __str__(self) -> str:
        rows = self._rows()
        lines = [f"At {self.inventory:g} lots the {name} is {text}" for name, text in rows[:1]]
        lines += [f"{name}: {text}" for name, text in rows[1:]]
        return "\n".join([*lines, self._causes()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in self._rows())
        return (
            f"<div><p>Quotes at {self.inventory:g} lots</p><table><tbody>{body}</tbody></table>"
            f"<p>{html.escape(self._causes())}</p></div>"
        )


def quote_interval(
    calibration: Calibration,
    cls: Any,
    inventory: float,
    time_left: float,
    level: float,
    method: str,
    draws: int,
    seed: int,
    parameters: dict[str, Any],
) -> QuoteInterval:
    """Carry the calibration's errors to the quotes; see :meth:`Calibration.quote_interval`."""
    given = {"level": level, "method": method, "inventory": inventory, "draws": draws, "seed": seed}
    checked = {name: _CHECK[name].check(value) for name, value in given.items()}
    inventory = checked["inventory"]
    try:
        time_left = float(time_left)  # the model says which are allowed
    except (TypeError, ValueError, OverflowError):
        allowed = "a number >= 0 (s), or inf for the stationary solution"
        raise InvalidArgument(argument="time_left", value=time_left, allowed=allowed) from None
    model = calibration.model(cls, **parameters)  # says what is missing
    blocks = _blocks(calibration, cls, parameters)
    if not blocks:
        raise InvalidArgument(
            "sigma, A and k were all given: nothing of the calibration is left whose error could be carried",
            argument="parameters",
        )

    def build(shifts: Floats) -> Any:
        values: dict[str, Any] = {}
        at = 0
        for block in blocks:
            block.put(values, shifts[at : at + len(block.names)])
            at += len(block.names)
        for name in ("A", "k"):
            if isinstance(values.get(name), dict):
                pair = getattr(calibration, name)
                values[name] = tuple(values[name].get(i, pair[i]) for i in (0, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ApproximationWarning)  # told once, of the estimate's model
            return calibration.model(cls, **{**parameters, **values})

    def quotes(made: Any) -> Floats:
        bid, ask = made.depths(inventory, time_left)
        bid, ask = (math.nan if depth is None else depth for depth in (bid, ask))
        return np.array([0.5 * (bid + ask), bid, ask])

    sizes = [len(block.names) for block in blocks]
    covariance = np.zeros((sum(sizes), sum(sizes)))
    for block, end in zip(blocks, np.cumsum(sizes), strict=True):
        covariance[end - len(block.names) : end, end - len(block.names) : end] = block.covariance
    estimate = quotes(model)
    gradient = _gradient(lambda shift: quotes(build(shift)), sum(sizes))
    variance = np.einsum("iq,ij,jq->q", gradient, covariance, gradient)
    error = np.sqrt(variance)
    z = normal_quantile(checked["level"])
    low, high = estimate - z * error, estimate + z * error
    main = int(np.flatnonzero(np.isfinite(estimate))[0])
    shares = {}
    for block, end in zip(blocks, np.cumsum(sizes), strict=True):
        g = gradient[end - len(block.names) : end, main]
        shares[block.title] = float(g @ block.covariance @ g) / (float(variance[main]) or 1.0)
    if checked["method"] == "bootstrap":
        rng = np.random.Generator(np.random.PCG64(checked["seed"]))
        shifts = rng.multivariate_normal(np.zeros(sum(sizes)), covariance, checked["draws"], method="eigh")
        drawn = np.array([quotes(build(shift)) for shift in shifts])
        error = drawn.std(axis=0, ddof=1)
        tail = 0.5 * (1.0 - checked["level"])
        low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    seen = [(i, name) for i, name in enumerate(_QUOTED) if math.isfinite(estimate[i])]
    return QuoteInterval(
        estimates={name: float(estimate[i]) for i, name in seen},
        standard_errors={name: float(error[i]) for i, name in seen},
        intervals={name: (float(low[i]), float(high[i])) for i, name in seen},
        shares=shares,
        inventory=inventory,
        level=checked["level"],
        method=checked["method"],
        model=model,
    )


@dataclass(frozen=True)
class _Block:
    """Calibrated numbers whose errors go together: their logarithms' covariance, and where they belong."""

    title: str
    names: tuple[str, ...]
    values: tuple[float, ...]
    side: int | None
    covariance: Floats

    def put(self, into: dict[str, Any], shift: Floats) -> None:
        """Add the numbers, shifted on the logarithm, to the arguments of a model."""
        for name, value, s in zip(self.names, self.values, shift, strict=True):
            moved = value * math.exp(s)
            if self.side is None:
                into[name] = moved
            else:
                into.setdefault(name, {})[self.side] = moved


def _blocks(calibration: Calibration, cls: Any, parameters: dict[str, Any]) -> list[_Block]:
    described = {p.name: p for p in cls.PARAMETERS}
    free = [name for name in ("sigma", "A", "k") if name in described and name not in parameters]
    blocks = []
    if "sigma" in free and calibration.sigma is not None:
        error = calibration.volatility.standard_error
        if error is None:
            raise NotIdentified(
                "the error of sigma is not known: calibrate on a longer span", argument="sigma"
            )
        blocks.append(
            _Block(
                "sigma",
                ("sigma",),
                (calibration.sigma,),
                None,
                np.array([[(error / calibration.sigma) ** 2]]),
            )
        )
    names = tuple(name for name in ("A", "k") if name in free)
    if names:
        paired = described[names[0]].pair
        for side, fit in enumerate((calibration.bid, calibration.ask) if paired else (calibration.pooled,)):
            if fit.A is None or fit.k is None or fit.covariance is None:
                continue  # optional in this class, or model() has said so
            to_log = np.diag([1.0, 1.0 / fit.k])  # of (ln A, k)
            chosen = [("A", "k").index(name) for name in names]
            covariance = (to_log @ fit.covariance @ to_log)[np.ix_(chosen, chosen)]
            of = f"of the {fit.side}" if paired else "of both sides"
            values = tuple(getattr(fit, name) for name in names)
            blocks.append(
                _Block(f"{' and '.join(names)} {of}", names, values, side if paired else None, covariance)
            )
    return blocks


def _gradient(function: Callable[[Floats], Floats], n: int) -> Floats:
    """Rows: derivatives of the function at 0 by central differences."""
    rows = [function(_STEP * row) - function(-_STEP * row) for row in np.eye(n)]
    return np.array(rows) / (2.0 * _STEP)


def _digits(error: float) -> int:
    """Decimals that show an error with two digits."""
    return min(max(1 - math.floor(math.log10(error)), 0), 9) if error > 0.0 else 3
