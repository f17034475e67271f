"""What a dynamic program decides, drawn with matplotlib (extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtra
from ..report.charts import LIGHT
from .solution import averaged, farthest, middle

if TYPE_CHECKING:
    from .market_making import MarketMakingSolution
    from .solution import Solution

__all__ = ["draw_passes", "draw_solution"]

MOST_TIMES = 400
MOST_STATES = 6

_KIND = {"bid": "bought", "ask": "sold"}


def draw_solution(found: MarketMakingSolution, figure: Any = None) -> Any:
    """Draw the depths of both sides and the value; see :meth:`mmcore.dp.MarketMakingSolution.draw`."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("a picture", "plot") from None
    arrays = found.arrays()
    states = min(found.states, len(found.problem.regimes), MOST_STATES)
    if figure is None:
        figure = Figure(figsize=(11.0, 2.6 + 3.0 * states), layout="constrained")
    if states < len(found.problem.regimes):
        figure.suptitle(f"The first {states} of {len(found.problem.regimes)} regimes", fontsize="medium")
    half = found.order_size / 2
    edges = np.append(arrays["inventory"] - half, arrays["inventory"][-1] + half)
    grid = figure.add_gridspec(states + 1, 2, height_ratios=[3.0] * states + [2.4])
    names = [regime.name or f"regime {i}" for i, regime in enumerate(found.problem.regimes)]
    for state in range(states):
        for i, side in enumerate(("bid", "ask")):
            ax = figure.add_subplot(grid[state, i])
            words = f", {names[state]}" if states > 1 or found.problem.regimes[state].name else ""
            ax.set_title(f"{side.capitalize()} depth{words}", fontsize="small", loc="left")
            draw = _depth_map if found.horizon is not None else _depth_steps
            draw(ax, arrays, edges, side, state)
            ax.spines[["top", "right"]].set_visible(False)
    _values(figure.add_subplot(grid[states, :]), found, arrays["inventory"], names[:states])
    return figure


def _depth_steps(ax: Any, arrays: dict[str, Any], edges: Any, side: str, state: int) -> None:
    """Depths by inventory where there is no horizon; shaded where market orders are sent."""
    ax.stairs(arrays[f"{side}_depth"][0, state], edges, baseline=None, color=LIGHT[side], linewidth=1.5)
    sent = arrays["take"][0, state] * (1 if side == "bid" else -1) > 0
    if sent.any():
        where = {"transform": ax.get_xaxis_transform(), "color": LIGHT["muted"], "alpha": 0.25}
        ax.fill_between(_ends(edges), 0, 1, where=np.repeat(sent, 2), linewidth=0, **where)
        ax.set_title(f"shaded: {_KIND[side]} at the market", fontsize="small", loc="right")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel("inventory, lots")
    ax.set_ylabel("depth, ticks")
    ax.grid(color=LIGHT["grid"])


def _depth_map(ax: Any, arrays: dict[str, Any], edges: Any, side: str, state: int) -> None:
    """Depths over time left and inventory; hatched where market orders are sent."""
    times = arrays["time_left"]  # the last is the instant of the horizon: the end of the decision before it
    rows = np.unique(np.linspace(0, len(times) - 2, MOST_TIMES).astype(np.intp))
    shown = np.concatenate([arrays["bid_depth"].ravel(), arrays["ask_depth"].ravel()])
    limits = (np.nanmin(shown), np.nanmax(shown)) if np.isfinite(shown).any() else (0.0, 1.0)
    cells = np.append(times[rows], times[-1])  # a decision is in force until the next is taken
    picture = ax.pcolormesh(
        cells,
        edges,
        arrays[f"{side}_depth"][rows, state].T,
        shading="flat",
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
        corners = sent.repeat(2, axis=0).repeat(2, axis=1).astype(float)
        ax.contourf(_ends(cells), _ends(edges), corners, levels=[0.5, 1.5], colors="none", hatches=["///"])
        ax.set_title(f"hatched: {_KIND[side]} at the market", fontsize="small", loc="right")


def _ends(edges: Any) -> Any:
    """Both ends of each cell."""
    return np.repeat(edges, 2)[1:-1]


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
    beyond, relative = "Value beyond cash and mark", "Value relative to zero inventory"
    ax.set_title(_proven(solution, beyond, relative, " per second"), fontsize="small", loc="left")
    ax.set_xlabel("inventory, lots")
    ax.set_ylabel("tick·lots")
    ax.grid(color=LIGHT["grid"])
    ax.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        ax.legend(frameon=False, fontsize="small")


def _proven(solution: Solution, values: str, relative: str, per: str = "") -> str:
    """What is drawn, and how far it, or the gain where that is what is bounded, can be off."""
    off = f"at most {farthest(solution):.2g} off"
    if not averaged(solution):
        return f"{values}; proven to be {off}"
    low, high = np.min(middle(solution)), np.max(middle(solution))
    gain = f"{low:.6g}" if np.ndim(solution.lower) == 0 else f"{low:.6g} to {high:.6g} by the start"
    return f"{relative}; the gain{per}, {gain}, is {off}"


def draw_passes(solution: Solution, history: Sequence[tuple[float, float]]) -> Any:
    """Draw the values with their bounds, and how residual and gap fell, or the gain where it differs.

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
        raise MissingExtra("a picture", "plot") from None
    figure = Figure(figsize=(11.0, 4.0), layout="constrained")
    gains = averaged(solution) and np.ndim(solution.lower) > 0
    axes = figure.subplots(1, 2 if history or gains else 1, squeeze=False)[0]
    value = np.atleast_2d(solution.value)[0]
    axes[0].plot(value, color=LIGHT["ink"], linewidth=1.2)
    if not averaged(solution):
        low, high = (np.atleast_2d(bound)[0] for bound in (solution.lower, solution.upper))
        axes[0].fill_between(np.arange(len(value)), low, high, color=LIGHT["bid"], alpha=0.3, linewidth=0)
    axes[0].set_title(_proven(solution, "Values", "Relative values"), fontsize="small", loc="left")
    axes[0].set_xlabel("state")
    for ax in axes:
        ax.xaxis.get_major_locator().set_params(integer=True)
    if gains:
        axes[1].plot(middle(solution), color=LIGHT["ink"], marker=".", linestyle="")
        axes[1].set_title("Gain a step, by the state one starts in", fontsize="small", loc="left")
        axes[1].set_xlabel("state")
    elif history:
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
