"""What a dynamic program decides, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtra
from ..report.charts import LIGHT

if TYPE_CHECKING:
    from .market_making import MarketMakingSolution
    from .solution import Solution

__all__ = ["draw_passes", "draw_solution"]

MOST_TIMES = 400
MOST_STATES = 6


def draw_solution(found: MarketMakingSolution, figure: Any = None) -> Any:
    """Draw the depths of both sides and the value; see :meth:`mmcore.dp.MarketMakingSolution.draw`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("pictures", "plot") from None
    arrays = found.arrays()
    states = min(found.states, len(found.problem.regimes), MOST_STATES)
    if figure is None:
        figure = Figure(figsize=(11.0, 2.6 + 3.0 * states), layout="constrained")
    grid = figure.add_gridspec(states + 1, 2, height_ratios=[3.0] * states + [2.4])
    names = [regime.name or f"regime {i}" for i, regime in enumerate(found.problem.regimes)]
    for state in range(states):
        for i, side in enumerate(("bid", "ask")):
            ax = figure.add_subplot(grid[state, i])
            words = f", {names[state]}" if states > 1 or found.problem.regimes[state].name else ""
            ax.set_title(f"{side.capitalize()} depth{words}", fontsize="small", loc="left")
            if len(arrays["time_left"]) > 1:
                _depth_map(ax, arrays, side, state)
            else:
                ax.step(
                    arrays["inventory"], arrays[f"{side}_depth"][0, state], where="mid", color=LIGHT[side]
                )
                sent = arrays["take"][0, state] * (1 if side == "bid" else -1) > 0
                if sent.any():
                    kind = "bought" if side == "bid" else "sold"
                    where = {"transform": ax.get_xaxis_transform(), "color": LIGHT["muted"], "alpha": 0.25}
                    ax.fill_between(arrays["inventory"], 0, 1, where=sent, step="mid", linewidth=0, **where)
                    ax.set_title(f"shaded: {kind} at the market", fontsize="small", loc="right")
                ax.set_xlabel("inventory, lots")
                ax.set_ylabel("depth, ticks")
                ax.grid(color=LIGHT["grid"])
            ax.spines[["top", "right"]].set_visible(False)
    _values(figure.add_subplot(grid[states, :]), found, arrays["inventory"], names[:states])
    return figure


def _depth_map(ax: Any, arrays: dict[str, Any], side: str, state: int) -> None:
    """Depths over time left and inventory; hatched where market orders are sent."""
    times, inventory = arrays["time_left"][:-1], arrays["inventory"]  # without the instant of the horizon
    rows = np.unique(np.linspace(0, len(times) - 1, MOST_TIMES).astype(np.intp))
    shown = np.concatenate([arrays["bid_depth"].ravel(), arrays["ask_depth"].ravel()])
    limits = (np.nanmin(shown), np.nanmax(shown)) if np.isfinite(shown).any() else (0.0, 1.0)
    picture = ax.pcolormesh(
        times[rows],
        inventory,
        arrays[f"{side}_depth"][rows, state].T,
        shading="nearest",
        cmap="viridis",
        vmin=limits[0],
        vmax=limits[1],
        rasterized=True,  # else a vector picture has a path for each cell, with seams between them
    )
    ax.figure.colorbar(picture, ax=ax, label="ticks; white: absent")
    ax.set_xlabel("time left, s")
    ax.set_ylabel("inventory, lots")
    sent = (arrays["take"][rows, state] * (1 if side == "bid" else -1) > 0).T
    if sent.any():
        ax.contourf(
            times[rows], inventory, sent.astype(float), levels=[0.5, 1.5], colors="none", hatches=["///"]
        )
        kind = "bought" if side == "bid" else "sold"
        ax.set_title(f"hatched: {kind} at the market", fontsize="small", loc="right")


def _values(ax: Any, found: MarketMakingSolution, inventory: Any, names: list[str]) -> None:
    """The value when it begins, by regime, with its proven bounds."""
    solution = found.solution
    colours = [LIGHT["ink"], LIGHT["bid"], LIGHT["ask"], LIGHT["spread"], LIGHT["muted"], LIGHT["touch"]]
    value = solution.value.reshape(-1, found.states, len(inventory))[0]
    for state, name in enumerate(names):
        ax.plot(inventory, value[state], color=colours[state], linewidth=1.6, label=name)
        if np.ndim(solution.lower):
            low, high = (
                a.reshape(-1, found.states, len(inventory))[0] for a in (solution.lower, solution.upper)
            )
            ax.fill_between(inventory, low[state], high[state], color=colours[state], alpha=0.2, linewidth=0)
    what = "Value beyond cash and mark" if np.ndim(solution.lower) else "Value relative to zero inventory"
    proven = "true values" if np.ndim(solution.lower) else "the gain per second"
    ax.set_title(f"{what}; {proven} proven within {solution.gap:.2g}", fontsize="small", loc="left")
    ax.set_xlabel("inventory, lots")
    ax.set_ylabel("tick·lots")
    ax.grid(color=LIGHT["grid"])
    ax.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        ax.legend(frameon=False, fontsize="small")


def draw_passes(solution: Solution, history: Sequence[tuple[float, float]]) -> Any:
    """Draw the values with their bounds, and how residual and gap fell from pass to pass.

    Parameters
    ----------
    solution : Solution
        Of any model.
    history : sequence of (float, float)
        Residual and gap of each pass, where that took passes.

    Returns
    -------
    matplotlib.figure.Figure
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("pictures", "plot") from None
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    axes = figure.subplots(1, 2 if history else 1, squeeze=False)[0]
    value = np.atleast_2d(solution.value)[0]
    axes[0].plot(value, color=LIGHT["ink"], linewidth=1.2)
    if np.ndim(solution.lower):
        low, high = (np.atleast_2d(bound)[0] for bound in (solution.lower, solution.upper))
        axes[0].fill_between(np.arange(len(value)), low, high, color=LIGHT["bid"], alpha=0.3, linewidth=0)
    axes[0].set_title(f"Values; proven within {solution.gap:.2g}", fontsize="small", loc="left")
    axes[0].set_xlabel("state")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    if history:
        residual, gap = np.array(history).T
        passes = np.arange(1, len(history) + 1)
        axes[1].semilogy(passes, np.where(gap > 0, gap, np.nan), color=LIGHT["ask"], label="upper - lower")
        axes[1].semilogy(
            passes, np.where(residual > 0, residual, np.nan), color=LIGHT["bid"], label="residual"
        )
        axes[1].set_title("How far it was after each pass", fontsize="small", loc="left")
        axes[1].set_xlabel("pass")
        axes[1].legend(frameon=False, fontsize="small")
    for ax in axes:
        ax.grid(color=LIGHT["grid"])
        ax.spines[["top", "right"]].set_visible(False)
    return figure
