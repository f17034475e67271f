"""``mmcore feed``: what a file of market data holds, and its conversion to an event file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import Error, InvalidArgument
from ..event_file import MAGIC
from ..files import irreplaceable, unwritable
from .options import Command, Group, Option, config_options, data_options, json_option

if TYPE_CHECKING:
    from ..events import Events

__all__ = ["command"]

EXAMPLES = """
mmcore feed inspect
mmcore feed inspect --seed 7 --duration 600 --json
mmcore feed convert --duration 600 --out market.events
"""


@click.group(
    "feed",
    cls=Group,
    examples=EXAMPLES,
    short_help="Inspect market data, and convert them.",
)
def command() -> None:
    """Inspect market data, and convert them.

    Formats, their options and what is refused: docs/feeds.md.
    """


@command.command("inspect", cls=Command, short_help="What a file holds, and what is odd.")
@data_options
@config_options
@json_option
def inspect(config: str | None, changes: tuple[str, ...], as_json: bool, **given: Any) -> int:
    """Say what a file holds, its statistics, and everything odd in it.

    PATH is a file or folder of market data; without one the simulated market is inspected. Where rows have a
    stamp of the exchange's and one of ours, the clocks are compared; with --sessions rows are counted by
    phase of trading.
    """
    from ..clocks import clock_of
    from ..sessions import Sessions
    from .market import open_market, settings_of
    from .screen import kept_warnings, print_json, stages

    settings = settings_of(config, changes, given)
    hours = settings.get("data", {}).get("sessions")
    with stages() as progress, kept_warnings():
        events = open_market(settings, progress, all_phases=True)
        try:
            clock = clock_of(events)
        except Error:  # one stamp a row, or stamps that are no pair of clocks
            clock = None
        phases = None if hours is None else Sessions.load(hours).count(events)
    if as_json:
        told = {"clock": clock and clock.to_dict(), "phases": phases, "source": events.source}
        print_json({**events.summary(), **told})
    else:
        from .tables import show_feed

        show_feed(events, clock, phases)
    return 0


@command.command("convert", cls=Command, short_help="Write an event file, to be mapped.")
@data_options
@click.option(
    "--out",
    cls=Option,
    group="Output",
    metavar="FILE",
    required=True,
    help="event file to write; one that is there is replaced, another file is not",
)
@config_options
@json_option
def convert(config: str | None, changes: tuple[str, ...], out: str, as_json: bool, **given: Any) -> int:
    """Write market data as an event file, which opens at once and is mapped rather than read.

    PATH is a file or folder of market data; without one the simulated market is written. Every command
    and mm.load take the event file in its place. PATH is read in parts, so that a day of any
    size fits into memory; the disk holds the columns twice for a while. What has no quotes or trades is not
    written.
    """
    from ..events import Events
    from .market import open_market, settings_of
    from .screen import kept_warnings, print_json, stages

    settings = settings_of(config, changes, given)
    settings.setdefault("data", {})
    path = settings["data"].get("path")
    device = Path(out).exists() and not (Path(out).is_file() or Path(out).is_dir())
    allowed = "a file, not a pipe or a device" if device else unwritable(out)
    if allowed is None and path is not None and Path(out).exists() and Path(path).exists():
        allowed = "another file than PATH, which would be lost" if Path(out).samefile(path) else None
    allowed = allowed or irreplaceable(out, MAGIC, "an event file")
    if allowed is not None:
        raise InvalidArgument(argument="--out", value=out, allowed=allowed)
    if path is not None:
        settings["data"]["cache"] = False  # the event file is what the cache would hold
        settings["data"]["spool"] = Path(out).resolve().parent
    with stages() as progress, kept_warnings():
        events = open_market(settings, progress)
        if not len(events):
            raise _nothing(events, path)
        progress.start("write")
        events.save(out)
        progress.start("verify")
        written = Events.load(out)
    told = {"path": out, "bytes": Path(out).stat().st_size, "quotes": len(written.quotes)}
    told["trades"] = len(written.trades)
    if as_json:
        print_json(told)
    else:
        from .screen import paragraph
        from .tables import show_market

        show_market(written)
        paragraph(f"Written and verified: {out}, {told['bytes']:,} bytes.")
    return 0


def _nothing(events: Events, path: str | None) -> InvalidArgument:
    """Return the error of a table without rows, with what was read and is not in it."""
    said = f"{events.name if path is None else path}: no quotes or trades, so nothing to write"
    for word, key in (("left out", "ignored"), ("odd", "odd")):
        if counts := events.source.get(key):
            said += f"; {word}: " + ", ".join(f"{what} ({count:,})" for what, count in counts.items())
    return InvalidArgument(said, argument="path", value=path)
