"""``mmcore calibrate``: volatility and fill intensity of a market, with errors."""

from __future__ import annotations

from typing import Any

import click

from .. import calibration
from .options import Command, config_options, data_options, json_option, parameter_options

__all__ = ["command"]

EXAMPLES = """
mmcore calibrate
mmcore calibrate --seed 7 --duration 600
mmcore calibrate --method window --window 2 --json
"""


@click.command(
    "calibrate",
    cls=Command,
    examples=EXAMPLES,
    short_help="Measure volatility and fill intensity, with errors.",
)
@data_options
@parameter_options(calibration.PARAMETERS, "Calibration")
@config_options
@json_option
def command(config: str | None, changes: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Measure volatility and fill intensity, with errors.

    PATH is a file or folder of market data; without one the simulated market is measured, whose true
    parameters are known. The exit code is 1 when the data do not identify the parameters.
    """
    from .market import open_market, settings_of
    from .screen import kept_warnings, print_json, stages

    settings = settings_of(config, changes, given)
    with stages() as progress, kept_warnings():
        events = open_market(settings, progress)
        progress.start("calibrate")
        found = calibration.calibrate(events, **settings.get("calibration", {}))
    if as_json:
        print_json(found.to_dict())
    else:
        from .tables import show_calibration, show_market

        show_market(events)
        show_calibration(found)
    return 0 if found.identified else 1
