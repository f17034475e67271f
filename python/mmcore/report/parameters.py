"""How the parameters followed the market: sigma, A and k in force over time, and the half-spread they imply.

The 95 % intervals are those of :meth:`mmcore.Calibration.intervals`: of sigma and A on the logarithm, of k
plain. The half-spread at zero inventory is that of the policy in force; the errors of the estimate are
carried to it by the delta method, as :meth:`mmcore.Calibration.quote_interval` does: gradients by central
differences in ln sigma, ln A and ln k, the covariance of A and k within a side, sides and sigma independent
of each other (one pair of A and k where they were pooled).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..explaining import FIRST, followed, quoters, time_left

if TYPE_CHECKING:
    from ..results import Result

__all__ = ["TITLES", "Path", "Steps", "charts", "paths", "scale"]

Floats = NDArray[np.float64]

SOLVES = 400
"""At most so many policies are made anew for the half-spread; of more, evenly chosen ones."""

_STEP = 1e-4  # of the logarithms, for central differences

TITLES = {
    "sigma": ("Volatility, σ", "ticks/√s"),
    "A": ("Fill intensity at the mid, A", "1/s"),
    "k": ("Decay of the fill intensity, k", "1/tick"),
    "implied": ("Implied half-spread at zero inventory", "ticks"),
}
"""Title and unit of each path."""


@dataclass(frozen=True)
class Steps:
    """A number in force and its 95 % interval, NaN where it has none; the last entry is said twice."""

    value: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Path:
    """One or two numbers, by side, that change at the same times."""

    name: str
    time: NDArray[np.int64]
    sides: Mapping[str, Steps]


def paths(result: Result) -> list[Path]:
    """Return sigma, A, k (those that followed the market) and the half-spread that they imply.

    Empty where nothing followed the market. A path begins with the first decision, under the model's own
    numbers, and ends with the quoting.
    """
    if result.parameters is None:
        return []
    from ..calibration.intensity import normal_quantile

    z = normal_quantile(0.95)
    done = np.flatnonzero(result.parameters["status"] == 0)
    set_ = result.parameters[done]
    found = []
    for name in followed(result):
        given = getattr(result.model, name)
        values, errors = set_[name], set_[f"{name}_error"]
        sides = {}
        for i, side in enumerate(("bid", "ask") if values.ndim == 2 else ("",)):
            value, error = (values[:, i], errors[:, i]) if side else (values, errors)
            if name == "k":
                low, high = value - z * error, value + z * error
            else:
                factor = np.exp(z * error / value)
                low, high = value / factor, value * factor
            first = given[i] if isinstance(given, tuple) else given
            sides[side] = _steps(math.nan if first is None else float(first), value, low, high)
        found.append(Path(name, _times(result, set_["time"]), sides))
    half = _half_spread(result, done, z)
    return found if half is None else [*found, half]


def extent(path: Path) -> tuple[float, float]:
    """The ends of the bands of a path, NaN where there are none."""
    known = np.concatenate([part for steps in path.sides.values() for part in (steps.low, steps.high)])
    known = known[np.isfinite(known)]
    return (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)


def scale(path: Path) -> str:
    """The axis of a path: A can vary by orders of magnitude; within one, a linear axis says more numbers."""
    low, high = extent(path)
    return "log" if path.name == "A" and high > 10 * low else "linear"


def _times(result: Result, times: NDArray[np.int64]) -> NDArray[np.int64]:
    first, end = result.totals.first_time, result.totals.end_time
    return np.concatenate([[first], np.clip(times, first, end), [end]]).astype(np.int64)


def _steps(first: float, value: Floats, low: Floats, high: Floats) -> Steps:
    def whole(start: float, steps: Floats) -> Floats:
        path = np.append(start, steps)
        return np.append(path, path[-1])

    return Steps(whole(first, value), whole(math.nan, low), whole(math.nan, high))


def _half_spread(result: Result, done: NDArray[np.intp], z: float) -> Path | None:
    if len(done) > SOLVES:
        done = done[np.unique(np.linspace(0, len(done) - 1, SOLVES).astype(np.intp))]
    parameters = result.parameters
    assert parameters is not None
    times = _times(result, parameters["time"][done])
    left = time_left(result, times)
    value, error = np.full(len(done), math.nan), np.full(len(done), math.nan)
    first = math.nan
    for row, quoter in quoters(result, np.append(FIRST, done)):
        i = int(np.searchsorted(done, row)) if row != FIRST else FIRST
        seconds = float(left[i + 1])
        half = _half(quoter, seconds)
        if row == FIRST:
            first = half
        else:
            value[i] = half
            error[i] = _error(result, parameters[row], copy(quoter), seconds)
    if not np.isfinite(value).any():
        return None
    return Path("implied", times, {"": _steps(first, value, value - z * error, value + z * error)})


def _half(quoter: Any, seconds: float) -> float:
    bid, ask = quoter.policy.depths(0, seconds)
    return math.nan if bid is None or ask is None else 0.5 * (bid + ask) * quoter.volatility_scale


def _error(result: Result, known: Any, quoter: Any, seconds: float) -> float:
    """Standard error of the half-spread, by the delta method. `quoter` is changed."""
    names = followed(result)
    pooled = result.recalibrate is not None and result.recalibrate.pooled
    sides: list[tuple[int, ...]] = [(0, 1)] if pooled else [(0,), (1,)]

    def half(name: str, at: tuple[int, ...], factor: float) -> float:
        values: dict[str, Any] = {}
        for n in names:
            value = np.array(known[n], dtype=np.float64)
            if n == name:
                value[at or ...] *= factor
            values[n] = float(value) if value.ndim == 0 else (float(value[0]), float(value[1]))
        quoter.set(**values)
        return _half(quoter, seconds)

    def slope(name: str, at: tuple[int, ...]) -> float:
        if name not in names:
            return 0.0
        where: Any = (list(at),) if at else ()
        return (half(name, where, math.exp(_STEP)) - half(name, where, math.exp(-_STEP))) / (2 * _STEP)

    variance = (slope("sigma", ()) * known["sigma_error"] / known["sigma"]) ** 2 if "sigma" in names else 0.0
    for at in sides:
        a, k = float(known["A"][at[0]]), float(known["k"][at[0]])
        by_a, by_k = slope("A", at) / a, slope("k", at) / k
        variance += (by_a * known["A_error"][at[0]]) ** 2 + (by_k * known["k_error"][at[0]]) ** 2
        variance += 2 * by_a * by_k * known["covariance"][at[0]]
    return math.sqrt(max(float(variance), 0.0))


def charts(canvas: Any, result: Result) -> tuple[list[Any], list[Any]]:
    """Return the charts of the paths and the tables that the page draws them from."""
    from .charts import LIGHT, Chart, Key, Table, decades

    found, tables = [], []
    for path in paths(result):
        title, unit = TITLES[path.name]
        columns: dict[str, tuple[Floats, float]] = {}
        for side, steps in path.sides.items():
            columns |= {f"{part}{side}": (getattr(steps, part), 1.0) for part in ("value", "low", "high")}
        tables.append(Table(path.name, path.time, columns))
        plot = canvas.against_time(170, 0, scale(path))
        _readable(plot)
        if scale(path) == "log":
            plot.yaxis.ticker = decades(*extent(path))
        source = canvas.source(path.name, *columns)
        keys, told = [], []
        for side, colour in zip(path.sides, _colours(path), strict=True):
            slug = f"{path.name}-{side or 'both'}"
            low, high = f"low{side}", f"high{side}"
            look = {"color": LIGHT[colour], "source": source}
            plot.varea_step("t", low, high, step_mode="after", alpha=0.16, name=f"{slug}-band", **look)
            plot.step("t", f"value{side}", mode="after", line_width=1.8, name=slug, **look)
            keys.append(Key(side.capitalize() or "In force", colour, "line", (slug, f"{slug}-band")))
            told += [
                (side or "in force", f"@value{side}{{0,0.[0000]}} {unit}"),
                ("95 %", f"@{low}{{0,0.[0000]}} to @{high}{{0,0.[0000]}}"),
            ]
        canvas.hover(plot, source, f"value{next(iter(path.sides))}", told)
        found.append(
            Chart(
                path.name,
                title,
                unit,
                f"{title}: the number in force over time with its 95 % band.",
                plot,
                tuple(keys),
                170,
                _note(result, path),
            )
        )
    return found, tables


def _colours(path: Path) -> tuple[str, ...]:
    return ("bid", "ask") if len(path.sides) == 2 else ("spread" if path.name == "implied" else "ink",)


def _readable(plot: Any) -> None:
    from bokeh.models import NumeralTickFormatter

    plot.yaxis.formatter = NumeralTickFormatter(format="0,0.[0000]")


def _note(result: Result, path: Path) -> str:
    if path.name == "sigma":
        return (
            "The number in force, with the 95 % band of its estimate; before the first recalibration the "
            "model's own, without a band."
        )
    if path.name != "implied":
        return ""
    done = int(np.count_nonzero(result.parameters["status"] == 0)) if result.parameters is not None else 0
    text = "Of the policy in force; its 95 % band is what the errors of σ, A and k leave open."
    if done > SOLVES:
        text += f" Made anew for {SOLVES} of {done:,} recalibrations."
    return text
