"""``mmcore replay``: the whole main job, from data to the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..configuration import MODELS
from ..files import unwritable_page
from ..messages import ORDERS_PARAMETERS
from ..replaying import REPLAY_PARAMETERS, RUN_PARAMETERS, WALK_PARAMETERS
from .options import (
    Command,
    Option,
    config_options,
    data_options,
    json_option,
    model_options,
    parameter_options,
)

if TYPE_CHECKING:
    from .screen import Stages

__all__ = ["command"]

EXAMPLES = """
mmcore replay
mmcore replay --seed 7 --gamma 0.01 --q-max 20 --report seven.html
mmcore replay --model cj --interval 2 --latency 0.005 --no-report
mmcore replay --maker-fee 0.0001 --json --no-report
mmcore replay --latency 0.01 --hysteresis 1 --min-life 0.5 --messages 20/1 --max-exposure 10
"""

_RUN = tuple(p.name for p in RUN_PARAMETERS if p.name != "model")


@click.command(
    "replay",
    cls=Command,
    examples=EXAMPLES,
    short_help="Make a market on recorded or simulated data, and report.",
)
@data_options
@model_options(run=True)
@parameter_options((*WALK_PARAMETERS, *REPLAY_PARAMETERS), "Replay")
@parameter_options(ORDERS_PARAMETERS, "Orders (any of these replays the order messages too)")
@config_options
@click.option(
    "--report",
    metavar="FILE",
    default=None,
    cls=Option,
    group="Output",
    help="where the page goes [default report.html]",
)
@click.option("--no-report", is_flag=True, cls=Option, group="Output", help="write no page")
@json_option
def command(
    config: str | None,
    changes: tuple[str, ...],
    report: str | None,
    no_report: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Make a market on recorded or simulated data, and report.

    The first part of the data calibrates the model; the rest is replayed against its quotes. PATH is a
    file or folder of market data; without one a simulated market is made.
    """
    from ..replaying import run
    from .market import open_market, settings_of
    from .screen import kept_warnings, print_json, stages

    settings = settings_of(config, changes, given, page=report is None and not no_report)
    model = dict(settings["model"])
    name = model.pop("name")
    page = _page(settings.get("report", {}), report, no_report)
    with stages() as progress, kept_warnings() as notes:
        events = open_market(settings, progress)
        progress.start("calibrate")
        result = run(
            events,
            model=MODELS[name],
            calibration=settings.get("calibration"),
            parameters={key: value for key, value in model.items() if key not in _RUN},
            orders=settings.get("orders") or None,
            progress=_Replaying(progress),
            **{key: value for key, value in model.items() if key in _RUN},
            **settings.get("replay", {}),
        )
        if page is not None:
            progress.start("report")
            result.report(page)
    if as_json:
        found = result.calibration
        print_json(
            {
                **result.summary(),
                "calibration": None if found is None else found.to_dict(),
                "notes": [*result.notes, *notes],
                "report": None if page is None else str(page),
            }
        )
    else:
        from .tables import show_replay

        show_replay(events, result, name, page, notes)
    return 0


class _Replaying:
    """Progress of the replay, whose first word ends the stage before it."""

    def __init__(self, progress: Stages) -> None:
        self._progress = progress
        self._advance: Callable[[int, int], None] | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._advance is None:
            self._advance = self._progress.start("replay")
        self._advance(done, total)


def _page(settings: dict[str, Any], report: str | None, no_report: bool) -> Path | None:
    if no_report:
        if report is not None:
            raise click.UsageError(
                "--report and --no-report exclude each other", click.get_current_context(silent=True)
            )
        return None
    if report is None and not settings.get("enabled", True):
        return None
    page = Path(report or settings.get("path", "report.html"))
    if allowed := unwritable_page(page):  # found out now, not after the replay
        raise click.UsageError(
            f"--report must be {allowed}, got '{page}'", click.get_current_context(silent=True)
        )
    return page
