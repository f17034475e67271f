"""``mmcore solve``: a dynamic program from a file, with proven bounds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ..errors import CapacityError
from ..files import unwritable
from .options import Command, Option, json_option

if TYPE_CHECKING:
    from ..dp import MarketMakingSolution
    from .screen import Stages

__all__ = ["command"]

EXAMPLES = """
mmcore solve
mmcore solve --example problem.toml
mmcore solve problem.toml --plot policy.png --out solution.npz
mmcore solve problem.toml --json
"""

MOST_REGIMES = 6  # that are shown
MOST_CELLS = 10_000  # states and inventories that are told in JSON

STOPPED = {
    "tolerance": "as close as asked for",
    "rounding": "as close as floating point can prove",
    "iterations": "the limit of passes was reached first",
}


@click.command(
    "solve", cls=Command, examples=EXAMPLES, short_help="Solve a dynamic program, with proven bounds."
)
@click.argument("path", required=False, type=click.Path(dir_okay=False))
@click.option(
    "--example", cls=Option, group="Problem", metavar="FILE", help="write the example, to begin with"
)
@click.option(
    "--out", cls=Option, group="Output", metavar="FILE", help="write values, policy and bounds (.npz)"
)
@click.option("--plot", cls=Option, group="Output", metavar="FILE", help="draw them (.png, .pdf, .svg)")
@json_option
def command(path: str | None, example: str | None, out: str | None, plot: str | None, as_json: bool) -> int:
    """Solve a dynamic program, with proven bounds.

    PATH is a TOML file with a market maker's problem, or with the arrays of any Markov decision process:
    docs/problem-files.md has the keys. Without one the example is solved. The exit code is 1 when the bounds
    are wider than asked for. Over a long horizon rounding adds up: where that is "as close as floating point
    can prove", raise tol of [solve].
    """
    from ..dp import MarketMakingSolution
    from ..dp.problem_file import EXAMPLE, load_problem, parse_problem, save_solution
    from ..dp.solution import averaged, middle
    from .screen import kept_warnings, print_json, program, stages

    for option, given, ends in (
        ("--example", example, ()),
        ("--out", out, (".npz",)),
        ("--plot", plot, (".png", ".pdf", ".svg")),
    ):
        if given is None:
            continue
        allowed = unwritable(Path(given))
        if ends and Path(given).suffix.lower() not in ends:
            allowed = f"a file that ends in {' or '.join(ends)}"
        if allowed is not None:
            raise click.UsageError(
                f"{option} must be {allowed}, got '{given}'", click.get_current_context(silent=True)
            )
    if example is not None:
        others = {"PATH": path is not None, "--out": out is not None, "--plot": plot is not None}
        for name, stands in (others | {"--json": as_json}).items():
            if stands:
                raise click.UsageError(
                    f"--example writes a file and solves nothing: leave {name} out",
                    click.get_current_context(silent=True),
                )
        if Path(example).exists():
            raise click.UsageError(
                f"{example} exists: remove it, or name another file", click.get_current_context(silent=True)
            )
        Path(example).write_text(EXAMPLE, encoding="utf-8")
        click.echo(f"{example}: solve it with {' '.join(program('mmcore'))} solve {example}")
        return 0
    with stages() as progress, kept_warnings() as notes:
        file = load_problem(path) if path is not None else parse_problem(EXAMPLE, "the example")
        tol = file.options.get("tol", 1e-8)
        passes = _Passes(progress, tol)
        try:
            found = file.solve(passes)
        except MemoryError as error:
            raise CapacityError(f"{file.path}: the solution does not fit into memory ({error})") from None
    solution = found.solution if isinstance(found, MarketMakingSolution) else found
    if out is not None:
        save_solution(out, found)
    if plot is not None:
        _picture(plot, found, passes.history)
    if as_json:
        words = ("gap", "iterations", "residual", "alive_actions", "stop_reason", "method", "why", "elapsed")
        print_json(
            {
                "problem": file.path,
                **{name: getattr(solution, name) for name in words},
                "policy_unique": solution.policy_unique if _tells_unique(found) else None,
                "tol": tol,
                **({"gain": middle(solution)} if averaged(solution) else {}),
                "first": _first(found, solution),
                "out": out,
                "plot": plot,
                "notes": notes,
            }
        )
    else:
        _show(file.path, found, tol, notes, [name for name in (out, plot) if name is not None])
    return 0 if solution.stop_reason == "tolerance" else 1


class _Passes:
    """Progress of a solver, by how much of the way from the first gap to the tolerance is done."""

    def __init__(self, progress: Stages, tol: float) -> None:
        self._advance = progress.start("solve")
        self._tol = tol
        self.history: list[tuple[float, float]] = []

    def __call__(self, number: int, residual: float, gap: float) -> None:
        self.history.append((residual, gap))
        first = self.history[0][1]
        if gap > 0 and first > 2 * self._tol:
            done = math.log(first / gap) / math.log(first / (2 * self._tol))
            self._advance(round(1000 * min(max(done, 0.0), 1.0)), 1000)


def _tells_unique(found: Any) -> bool:
    """Whether it was looked at how many policies are optimal; not of averages, nor with market orders."""
    from ..dp.solution import averaged

    taking = hasattr(found, "problem") and (found.problem.take or found.problem.lag > 0)
    return not taking and not averaged(getattr(found, "solution", found))


def _first(found: Any, solution: Any) -> Any:
    """What is decided first, state by state, for programs; None where that is much."""
    from ..dp import MarketMakingSolution
    from ..dp.solution import averaged

    bounds = () if averaged(solution) else ("lower", "upper")
    if not isinstance(found, MarketMakingSolution):
        told = {name: np.atleast_2d(getattr(solution, name))[0] for name in ("value", "policy", *bounds)}
        return told if len(told["value"]) <= MOST_CELLS else None
    arrays = found.arrays()
    shape = arrays["take"].shape
    if shape[1] * shape[2] > MOST_CELLS:
        return None
    arrays |= {name: getattr(solution, name).reshape(shape) for name in ("value", *bounds)}
    names = [regime.name for regime in found.problem.regimes]
    each = [name for name in arrays if arrays[name].ndim == 3]
    return {
        "time_left": arrays["time_left"][0],
        "inventory": arrays["inventory"],
        "states": [
            {"name": names[state % len(names)], **{name: arrays[name][0, state] for name in each}}
            for state in range(shape[1])
        ],
    }


def _show(path: str, found: Any, tol: float, notes: list[str], written: list[str]) -> None:
    from ..dp import MarketMakingSolution
    from ..dp.solution import averaged, farthest, middle
    from .screen import heading, note, number, paragraph, table

    solution = found.solution if isinstance(found, MarketMakingSolution) else found
    market_making = isinstance(found, MarketMakingSolution)
    heading("Problem", path)
    if market_making:
        paragraph(_described(found))
    else:
        states = solution.value.shape[-1]
        steps = f", {solution.value.shape[0] - 1} steps" if solution.value.ndim > 1 else ""
        paragraph(f"{states:,} states{steps}.")
    heading("Solution", f"{solution.method.replace('_', ' ')}, {solution.elapsed:.3g} s")
    paragraph(f"{solution.why[:1].upper()}{solution.why[1:]}.")
    gain = middle(solution) if averaged(solution) else None
    of = "Every true value" if gain is None else "The gain"
    unit = " per second" if market_making else ""
    if gain is not None and gain.ndim:
        paragraph(
            f"The gain depends on where one starts: from {number(gain.min(), 10)} to "
            f"{number(gain.max(), 10)}."
        )
    elif gain is not None:
        paragraph(f"The gain{unit} is {number(float(gain), 10)}.")
    paragraph(
        f"{of} lies between proven bounds, at most {farthest(solution):.2g} off: "
        f"{STOPPED[solution.stop_reason]} (tol {tol:g})."
    )
    only = ""
    if _tells_unique(found):
        only = "; one policy is optimal" if solution.policy_unique else "; other policies may be as good"
    passes = "1 pass" if solution.iterations == 1 else f"{solution.iterations:,} passes"
    paragraph(f"{passes}, residual {solution.residual:.2g}{only}.")
    for words in notes:
        note(words)
    if market_making:
        _show_depths(found)
    else:
        value, policy = (np.atleast_2d(a)[0] for a in (solution.value, solution.policy))
        shown = range(min(len(value), 10))
        heading("Policy", "of the first states" if len(value) > 10 else "")
        columns = {
            "action": [str(policy[s]) for s in shown],
            "value": [number(value[s], 8) for s in shown],
        }
        if gain is not None and gain.ndim:
            columns["gain"] = [number(gain[s], 8) for s in shown]
        table(["state", *columns], list(zip(map(str, shown), *columns.values(), strict=True)))
    for name in written:
        paragraph(name)


def _described(found: MarketMakingSolution) -> str:
    """A market maker's problem in words."""
    p = found.problem
    count = len(p.regimes)
    words = [f"Inventories from {-p.q_max} to {p.q_max} lots"]
    words += [f"{count} regimes"] if count > 1 else []
    words += [f"steps of {p.dt:g} s to a horizon of {p.horizon:g} s" if p.horizon else f"steps of {p.dt:g} s"]
    if p.horizon is None:
        rate = p.discount_rate
        words += [
            "for ever, the best average" if rate is None else f"for ever, discounted at {rate:g} a second"
        ]
    words += ["with market orders"] if p.take else []
    words += [f"quotes are live {p.lag} step{'s' if p.lag > 1 else ''} late"] if p.lag else []
    return ", ".join(words) + "."


def _show_depths(found: MarketMakingSolution) -> None:
    from .screen import heading, paragraph, table
    from .tables import depth_cell, shown_inventories

    arrays = found.arrays()
    left = arrays["time_left"][0]
    count = len(found.problem.regimes)
    for state, regime in enumerate(found.problem.regimes[:MOST_REGIMES]):
        told = [regime.name] if regime.name else []
        told += [f"{left:g} s before the horizon"] if math.isfinite(left) else []
        heading("Policy", ", ".join(told))
        rows = []
        for q in shown_inventories(found.q_max, found.order_size):
            at = round((q + found.q_max) / found.order_size)
            depths = [float(arrays[f"{side}_depth"][0, state, at]) for side in ("bid", "ask")]
            cells = [depth_cell(None if math.isnan(depth) else depth) for depth in depths]
            taken = int(arrays["take"][0, state, at])
            value = found.solution.value.reshape(-1, found.states, len(arrays["inventory"]))[0, state, at]
            rows.append((f"{q:+g}" if q else "0", *cells, f"{taken:+d}" if taken else "", f"{value:.4f}"))
        columns = ["inventory", "bid depth", "ask depth", "at the market", "value"]
        if not any(row[3] for row in rows):
            columns.pop(3)
            rows = [(*row[:3], row[4]) for row in rows]
        table(columns, rows, left=())
    if count > MOST_REGIMES:
        paragraph(f"The first {MOST_REGIMES} of {count} regimes are shown; --out writes all.")
    paragraph("Depths in ticks from the reference price, values in tick·lots.", style="quiet")


def _picture(path: str, found: Any, history: list[tuple[float, float]]) -> None:
    from ..dp import MarketMakingSolution
    from ..dp.pictures import draw_passes

    figure = found.draw() if isinstance(found, MarketMakingSolution) else draw_passes(found, history)
    figure.savefig(path, dpi=110)
