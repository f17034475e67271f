"""The options of a calibration, each described once."""

from __future__ import annotations

from ..parameters import Parameter, Relation

MAX_DEPTH = 1e12
"""Largest depth that can be asked for, ticks."""

PARAMETERS = (
    Parameter(
        "method",
        str,
        default="poisson",
        choices=("poisson", "reach", "window"),
        doc="how the fill intensity is estimated",
    ),
    Parameter(
        "sigma_interval",
        float,
        default=1.0,
        low=1e-9,
        unit="s",
        doc="spacing of the time grid on which the volatility is measured",
    ),
    Parameter(
        "window",
        float,
        default=1.0,
        low=1e-9,
        unit="s",
        doc="length of the windows of method 'window'",
    ),
    Parameter(
        "min_depth",
        float,
        default=None,
        low=0.5,
        high=MAX_DEPTH,
        unit="ticks",
        doc="smallest depth from the mid that enters the fit; None adapts it to the market (1 for 'reach' "
        "and 'window')",
    ),
    Parameter(
        "max_depth",
        float,
        default=None,
        low=1.5,
        high=MAX_DEPTH,
        unit="ticks",
        doc="largest depth that enters the fit; None adapts it to the market (10 for 'reach' and 'window')",
    ),
    Parameter(
        "errors",
        str,
        default="clustered",
        choices=("clustered", "independent"),
        doc="whether the errors of A and k allow for orders that come in clusters",
    ),
    Parameter(
        "level",
        float,
        default=0.95,
        low=0.0,
        high=1.0,
        open_low=True,
        open_high=True,
        doc="confidence level of the intervals, and of the test whether k is identified",
    ),
)
"""The options of :func:`mmcore.calibrate`."""

RELATIONS = (
    Relation(
        ("max_depth", "min_depth"),
        lambda high, low: high >= (low or 1.0) + 1,
        lambda _, low: f"at least min_depth + 1 = {(low or 1.0) + 1:g} ticks, or None",
    ),
)
"""What they must satisfy together."""

OPTION = {p.name: p for p in PARAMETERS}
"""The same by name."""
