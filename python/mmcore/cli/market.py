"""From options and configuration to settings, and from settings to a market."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..configuration import (
    DATA,
    MODEL,
    REPORT,
    Configuration,
    ConfigurationError,
    Fault,
    load,
    loads,
    sections,
    unrelated,
)
from .options import option_name
from .screen import Stages

if TYPE_CHECKING:
    from ..events import Events

__all__ = ["ADVICE", "Settings", "open_market", "settings_of"]

Settings = dict[str, dict[str, Any]]
"""Section → key → value: only what was given."""

ADVICE = {
    "instrument": "--tick says it, or tick below [instrument] of a configuration (and lot and currency, "
    "where they are not 1 and USD)",
    "columns": "--columns 'time=ts,bid=b1,ask=a1' says it: our names = theirs, or the place counted from 0",
    "delimiter": "--delimiter says it, such as --delimiter ';' (or '\\t')",
    "format": "for delimited text: --format csv --columns 'time=ts,bid=b1,ask=a1' (our names = theirs)",
    "time_format": "--time-format says it; --date where the stamps count from midnight",
    "symbol": "--symbol names it",
    "venue": "--venue names it",
    "sides": "--sides 'B=1,S=-1' says it: the file's texts = +1 (buys), -1 (sells) or 0",
    "kinds": "--kinds 'Q=quote,T=trade' says it: the file's texts = ours",
    "sort": "--sort true puts the rows in order",
}
"""What to do on the command line about a feed's error, by the argument that would mend it."""

# Options that are not called like the key they set.
_KEYS = {"path": ("data", "path"), "model": ("model", "name"), "instrument": ("instrument", "name")}
# Options of the simulated market; its other parameters share their names with the model's.
_SIMULATION = ("seed", "duration")


def settings_of(
    config: str | None, changes: tuple[str, ...], given: dict[str, Any], page: bool = False
) -> Settings:
    """Lay the options over the configuration file.

    Parameters
    ----------
    config : str or None
        Path of a configuration.
    changes : tuple of str
        ``section.key=value`` each.
    given : dict
        Options by name; None where an option was not given.
    page : bool
        Whether the page of the configuration is to be written.

    Raises
    ------
    ConfigurationError
        The file or a change is wrong.
    click.UsageError
        An option does not belong to the model that was chosen.
    """
    settings: Settings = {}
    if config is not None:
        try:
            found = load(config, page=page)
        except FileNotFoundError as error:
            error.add_note("mmcore init DIR writes a configuration, DIR/mmcore.toml")
            raise
        settings = {name: dict(table) for name, table in found.values.items()}
        # The page stands beside the file, as it would if the file gave the default.
        beside = Path(config).with_name({p.name: p.default for p in REPORT}["path"])
        settings.setdefault("report", {}).setdefault("path", os.fspath(beside))
    model = given.get("model") or settings.get("model", {}).get("name", MODEL.default)
    for change in changes:
        for name, table in _change(change, model).values.items():
            settings.setdefault(name, {}).update(table)
            model = given.get("model") or settings.get("model", {}).get("name", model)
    if "model" in settings and settings["model"].get("name", model) != model:
        # Another model was asked for: keep what both have.
        names = {p.name for section in sections(model) if section.name == "model" for p in section.parameters}
        settings["model"] = {k: v for k, v in settings["model"].items() if k in names}
    places = {name: ("simulation", name) for name in _SIMULATION}
    for section in sections(model):
        if section.name not in ("simulation", "report"):
            places.update({p.name: (section.name, p.name) for p in section.parameters if p.name != "name"})
    places.update(_KEYS)
    for option, value in given.items():
        if value is None:
            continue
        if option not in places:
            raise click.UsageError(
                f"--{option.replace('_', '-')} is no parameter of --model {model}",
                click.get_current_context(),
            )
        section_name, key = places[option]
        settings.setdefault(section_name, {})[key] = value
    settings.setdefault("model", {})["name"] = model
    if "path" in settings.get("data", {}):
        for name in _SIMULATION:
            if given.get(name) is not None:
                raise click.UsageError(
                    f"--{name} is of the simulated market: leave it out where data are replayed",
                    click.get_current_context(),
                )
    for dotted, allowed, value in unrelated(settings, sections(model)):
        key = dotted.partition(".")[2]
        name = option_name(key) if key in given else dotted
        raise click.UsageError(
            f"{name} must be {allowed}, got {value}", click.get_current_context(silent=True)
        )
    return settings


def _change(text: str, model: str) -> Configuration:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot):
        raise click.UsageError(
            f"--set must be SECTION.KEY=VALUE, got {text!r}", click.get_current_context(silent=True)
        )
    # The model decides which keys [model] has, so it goes along.
    known = f'[model]\nname = "{model}"\n' if section == "model" and key != "name" else ""
    head = "" if section == "model" and known else f"[{section}]\n"
    lines = f"{known}{head}{key} = "
    faults: tuple[Fault, ...] = ()
    for written in (value, f'"{value}"'):  # a text may come without its quotes
        try:
            return loads(lines + written, path="--set", whole=False)
        except ConfigurationError as error:
            faults = faults or error.faults
    raise click.UsageError(
        f"--set: {'; '.join(str(replace(fault, line=None)) for fault in faults)}",
        click.get_current_context(silent=True),
    )


def open_market(settings: Settings, progress: Stages, *, all_phases: bool = False) -> Events:
    """Load the data that the settings name, or make the simulated market.

    Parameters
    ----------
    settings : mapping
        What was given.
    progress : Stages
        Told what is done.
    all_phases : bool
        Keep what lies outside continuous trading, too.
    """
    data = dict(settings.get("data", {}))
    path = data.pop("path", None)
    if path is None:
        if option := next((name for name in data if name != "cache"), None):
            name = option.replace("_", "-")
            raise click.UsageError(
                f"--{name} needs a PATH, or path below [data] of a configuration",
                click.get_current_context(silent=True),
            )
        from ..simulation import SimulatedMarket

        progress.start("simulate")
        return SimulatedMarket(**settings.get("simulation", {}), instrument=_instrument(settings)).events()
    from .. import clocks, feeds
    from ..sessions import Sessions

    for parameter in DATA:
        if parameter.reader is not None and parameter.name in data:
            data[parameter.name] = parameter.reader(data[parameter.name])
    if data.get("delimiter") == "\\t":
        data["delimiter"] = "\t"
    hours = data.pop("sessions", None)
    corrected = data.pop("correct_clock", False)
    sessions = None if hours is None else Sessions.load(hours)
    try:
        events = feeds.load(path, instrument=_instrument(settings), progress=progress.start("load"), **data)
    except FileNotFoundError as error:
        if not os.path.exists(path):
            error.add_note("PATH is a file or folder of market data; without one a simulated market is made")
        raise
    if corrected:
        events = clocks.correct(events)[0]
    return events if sessions is None or all_phases else events.during(sessions)


def _instrument(settings: Settings) -> Any:
    """Make the instrument that the settings describe; None where they say nothing."""
    given = dict(settings.get("instrument", {}))
    if not given:
        return None
    from ..errors import InvalidArgument
    from ..instruments import Currency, Instrument

    context = click.get_current_context(silent=True)
    if "tick" not in given:
        raise click.UsageError("an instrument needs its tick: give --tick", context)
    try:
        currency = Currency(given.pop("currency", "USD"))
        name = Path(settings.get("data", {}).get("path", "DATA")).name.partition(".")[0]
        return Instrument(given.pop("name", name), currency=currency, **given)
    except InvalidArgument as error:
        raise click.UsageError(
            f"{error.argument} must be {error.allowed}, got {error.value!r}", context
        ) from None
