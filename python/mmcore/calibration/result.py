"""What a calibration found: values, errors, intervals, notes, tables and pictures."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, NotIdentified
from .intensity import Intensity, normal_quantile
from .market import Floats
from .options import OPTION
from .sigma import Volatility

if TYPE_CHECKING:
    from .quote_interval import QuoteInterval

RATES = np.dtype(
    [
        ("depth", "f8"),
        ("count", "i8"),
        ("observed", "f8"),
        ("low", "f8"),
        ("high", "f8"),
        ("fitted", "f8"),
        ("fitted_low", "f8"),
        ("fitted_high", "f8"),
    ]
)
"""One row of :attr:`Calibration.rates`: depth in ticks, a count, and rates in 1/s."""


METHOD_NAMES = {
    "poisson": "Poisson maximum likelihood",
    "reach": "least squares on the reach of market orders",
    "window": "least squares on hits in fixed windows",
}


@dataclass(frozen=True)
class Calibration:
    """Volatility and fill intensity of one market over one span, with their errors.

    Made by :func:`calibrate`. Pairs are (bid, ask); ``A[0]`` is the rate of sell market orders.

    Attributes
    ----------
    method : str
        "poisson", "reach" or "window".
    volatility : Volatility
        sigma with its error and the grid it was measured on.
    bid, ask, pooled : Intensity
        The fits of each side, and of both together.
    notes : list of str
        What a reader should know before using the numbers, in words.
    sample : dict
        What the data held: orders, windows, and everything left out, counted.
    settings : dict
        The options in force.
    start_time, end_time : int
        The span of the events, local ns.
    name : str
        Name of the events or the instrument.

    Notes
    -----
    Thread-safety: immutable; share it freely.

    Examples
    --------
    >>> import mmcore as mm
    >>> calibration = mm.calibrate(mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, seed=1).events())
    >>> calibration.identified, calibration.method
    (True, 'poisson')
    >>> calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.01, q_max=5).calibration is calibration
    True
    """

    method: str
    volatility: Volatility
    bid: Intensity
    ask: Intensity
    pooled: Intensity
    notes: list[str]
    sample: dict[str, Any]
    settings: dict[str, Any]
    start_time: int
    end_time: int
    name: str = ""
    instrument: Any = field(default=None, repr=False, compare=False)

    @property
    def sigma(self) -> float | None:
        """Volatility, ticks/√s; None when not identified."""
        return self.volatility.sigma

    @property
    def A(self) -> tuple[float | None, float | None]:
        """Scale of the fill intensity (bid, ask), 1/s; None where not identified."""
        return self.bid.A, self.ask.A

    @property
    def k(self) -> tuple[float | None, float | None]:
        """Decay of the fill intensity (bid, ask), 1/tick; None where not identified."""
        return self.bid.k, self.ask.k

    @property
    def identified(self) -> bool:
        """Whether sigma, and A and k of both sides, are all given."""
        return self.sigma is not None and self.bid.identified and self.ask.identified

    @property
    def standard_errors(self) -> dict[str, float | None]:
        """Standard errors by name: sigma, A_bid, A_ask, k_bid, k_ask; None where not identified."""
        (a_bid, k_bid), (a_ask, k_ask) = self.bid.standard_errors, self.ask.standard_errors
        return {
            "sigma": self.volatility.standard_error,
            "A_bid": a_bid,
            "A_ask": a_ask,
            "k_bid": k_bid,
            "k_ask": k_ask,
        }

    @property
    def covariance(self) -> dict[str, Floats | None]:
        """Covariance matrix of (ln A, k) for "bid", "ask" and "pooled"; None where not identified."""
        return {f.side: f.covariance if f.identified else None for f in (self.bid, self.ask, self.pooled)}

    @property
    def depths(self) -> Floats:
        """Depths at which rates are listed, ticks from the mid."""
        return self.bid.depths

    @property
    def rates(self) -> NDArray[Any]:
        """Observed and fitted rates: a record array of shape (2, depths), row 0 the bid.

        Fields: ``depth`` (ticks), ``count``, ``observed``, ``low``, ``high`` (exact limits at the level of
        the calibration), ``fitted``, ``fitted_low``, ``fitted_high``; rates in 1/s. The fit is NaN where
        there is none.
        """
        table = np.zeros((2, self.depths.size), RATES)
        for row, fit in zip(table, (self.bid, self.ask), strict=True):
            row["depth"], row["count"] = fit.depths, fit.counts
            row["observed"], row["low"], row["high"] = fit.rates, fit.low, fit.high
            row["fitted"], row["fitted_low"], row["fitted_high"] = fit.curve(
                fit.depths, self.settings["level"]
            )
        return table

    def intervals(self, level: float = 0.95) -> dict[str, tuple[float, float] | None]:
        """Confidence intervals by name: sigma, A_bid, A_ask, k_bid, k_ask; None where not identified.

        Those of sigma and A are taken on the logarithm, so they stay positive.

        Parameters
        ----------
        level : float
            Confidence level, strictly between 0 and 1.

        Raises
        ------
        InvalidArgument
            ``level`` is outside (0, 1).
        """
        z = normal_quantile(OPTION["level"].check(level))
        values = {"sigma": self.sigma, "A_bid": self.A[0], "A_ask": self.A[1]}
        values |= {"k_bid": self.k[0], "k_ask": self.k[1]}
        result: dict[str, tuple[float, float] | None] = {}
        for name, error in self.standard_errors.items():
            value = values[name]
            if value is None or error is None:
                result[name] = None
            elif name.startswith("k"):
                result[name] = value - z * error, value + z * error
            else:
                factor = math.exp(z * error / value)
                result[name] = value / factor, value * factor
        return result

    def model(self, cls: Any, **parameters: Any) -> Any:
        """Build a model from sigma, A and k.

        Parameters
        ----------
        cls : type
            A model class; what its ``PARAMETERS`` do not name is not passed, nor what is optional there and
            not identified here. Where it takes pairs it gets (bid, ask), elsewhere the fit of both sides
            pooled.
        **parameters
            The model's other parameters; sigma, A or k given here replace the calibrated ones.

        Returns
        -------
        object
            ``cls(sigma=..., A=..., k=..., **parameters)``; its ``calibration`` is this one.

        Raises
        ------
        NotIdentified
            The class needs a number that the data did not identify.
        """
        if not callable(cls) or not hasattr(cls, "PARAMETERS"):
            allowed = "a model class, such as mmcore.GueantLehalleFernandezTapia"
            raise InvalidArgument(argument="cls", value=cls, allowed=allowed)
        described = {p.name: p for p in cls.PARAMETERS}
        values: dict[str, Any] = {}
        missing: list[str] = []
        for name in ("sigma", "A", "k"):
            if name not in described or name in parameters:
                continue
            if name == "sigma":
                found: list[Any] = [self.sigma]
                reasons = [self.volatility.reason] if self.volatility.reason else []
            else:
                fits = (self.bid, self.ask) if described[name].pair else (self.pooled,)
                found = [getattr(fit, name) for fit in fits]
                reasons = [f"{fit.side}: {fit.reason}" for fit in fits if fit.reason]
            if not reasons:
                values[name] = found[0] if len(found) == 1 else tuple(found)
            elif described[name].required:
                missing += reasons
        if missing:
            what = "; ".join(dict.fromkeys(missing))
            advice = "Pass sigma, A and k yourself"
            if self.sample.get("trades") != 0:
                advice = (
                    "Calibrate on a longer span, fit a wider range of depths (max_depth), try another "
                    "method, or pass sigma, A and k yourself"
                )
            raise NotIdentified(f"the data do not identify what {cls.__name__} needs ({what}). {advice}")
        from ..models.model import Model

        made = cls(**values, **parameters)
        if values and isinstance(made, Model):
            made._keep_calibration(self)  # a replay then knows what the model had seen
        return made

    def quote_interval(
        self,
        cls: Any,
        inventory: float = 0.0,
        *,
        time_left: float = math.inf,
        level: float = 0.95,
        method: str = "delta",
        draws: int = 1000,
        seed: int = 1,
        **parameters: Any,
    ) -> QuoteInterval:
        """Carry the errors of sigma, A and k to a model's quotes.

        Parameters
        ----------
        cls : type
            A model class, as for :meth:`model`.
        inventory : float
            Lots held.
        time_left : float
            Seconds to the horizon; infinite is stationary.
        level : float
            Confidence level of the intervals.
        method : {"delta", "bootstrap"}
            Linear propagation, or models built from random draws (``draws`` of them, by ``seed``).
        **parameters
            The model's other parameters. One of sigma, A and k given here is taken as known.

        Returns
        -------
        QuoteInterval
            Half-spread and depths with standard errors and intervals, in words when printed.

        Raises
        ------
        NotIdentified
            The class needs a number that the data did not identify.
        InvalidArgument
            An option is outside its range.

        Examples
        --------
        >>> import mmcore as mm
        >>> market = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=7200, seed=3)
        >>> calibration = mm.calibrate(market.events())
        >>> calibration.quote_interval(mm.GueantLehalleFernandezTapia, gamma=0.01, q_max=20)
        At 0 lots the half-spread is 2.034 ± 0.024 ticks, 95 % interval 1.987 to 2.081
        bid: 2.059 ± 0.033 ticks, 95 % interval 1.994 to 2.124
        ask: 2.009 ± 0.034 ticks, 95 % interval 1.943 to 2.075
        the error comes from A and k of the ask (50 %), A and k of the bid (50 %)
        """
        from .quote_interval import quote_interval

        return quote_interval(self, cls, inventory, time_left, level, method, draws, seed, parameters)

    def table(self) -> list[tuple[str, float | None, float | None, float | None, float | None, str]]:
        """Rows (name, value, standard error, low, high, unit) at the calibration's level."""
        limits = self.intervals(self.settings["level"])
        errors = self.standard_errors
        rows = []
        for name, value, unit in (
            ("sigma", self.sigma, "ticks/√s"),
            ("A_bid", self.A[0], "1/s"),
            ("A_ask", self.A[1], "1/s"),
            ("k_bid", self.k[0], "1/tick"),
            ("k_ask", self.k[1], "1/tick"),
        ):
            low, high = limits[name] or (None, None)
            rows.append((name, value, errors[name], low, high, unit))
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, texts, lists and dicts, ready for JSON."""

        def fit(f: Intensity) -> dict[str, Any]:
            a_error, k_error = f.standard_errors
            return {
                "identified": f.identified,
                "reason": f.reason,
                "A": f.A,
                "k": f.k,
                "A_standard_error": a_error,
                "k_standard_error": k_error,
                "covariance_log_A_k": f.covariance.tolist()
                if f.identified and f.covariance is not None
                else None,
                "orders": f.orders,
                "points": f.points,
                "exposure": f.exposure,
                "chi_square": f.chi_square,
                "degrees_of_freedom": f.degrees_of_freedom,
                "p_value": f.p_value,
                "depths": f.depths.tolist(),
                "counts": f.counts.tolist(),
                "rates": [r if math.isfinite(r) else None for r in f.rates.tolist()],
            }

        return {
            "name": self.name,
            "method": self.method,
            "identified": self.identified,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "settings": dict(self.settings),
            "sigma": self.sigma,
            "sigma_standard_error": self.volatility.standard_error,
            "sigma_increments": self.volatility.increments,
            "intervals": {
                n: list(i) if i else None for n, i in self.intervals(self.settings["level"]).items()
            },
            "bid": fit(self.bid),
            "ask": fit(self.ask),
            "pooled": fit(self.pooled),
            "sample": dict(self.sample),
            "notes": list(self.notes),
        }

    def _heading(self) -> str:
        seconds = (self.end_time - self.start_time) / 1e9
        name = f" of {self.name}" if self.name else ""
        return f"Calibration{name} over {seconds:,.0f} s by {METHOD_NAMES[self.method]}"

    def _cells(self) -> list[tuple[str, str, str, str, str]]:
        cells = []
        for name, value, error, low, high, unit in self.table():
            if value is None:
                cells.append((name, "not identified", "", "", unit))
                continue
            text = "" if error is None else f"± {error:.2g}"
            span = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
            cells.append((name, f"{value:.4g}", text, span, unit))
        return cells

    def __repr__(self) -> str:
        level = f"{100 * self.settings['level']:g} % interval"
        cells = [("", "value", "error", level, "unit"), *self._cells()]
        widths = [max(len(row[i]) for row in cells) for i in range(5)]
        lines = [self._heading()]
        lines += [
            "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        level = f"{100 * self.settings['level']:g} % interval"
        head = "".join(f"<th>{c}</th>" for c in ("", "value", "error", level, "unit"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in self._cells()
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<div><p>{html.escape(self._heading())}</p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>" + (f"<ul>{notes}</ul>" if notes else "") + "</div>"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw observed rates with their intervals, and the fits with their bands, both sides.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure when omitted.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed.
        """
        from ..plots import plot_calibration

        return plot_calibration(self, ax)
