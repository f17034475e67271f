"""``mmcore doctor``: what this installation is, whether its parts agree, and its machine computes right."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..doctor import PARAMETERS, examine
from .options import Command, json_option, parameter_options

__all__ = ["command"]

EXAMPLES = """
mmcore doctor
mmcore doctor --seconds 60
mmcore doctor --json
"""


@click.command(
    "doctor",
    cls=Command,
    examples=EXAMPLES,
    short_help="Examine this installation and its machine.",
)
@parameter_options(PARAMETERS, "Processors")
@json_option
def command(as_json: bool, seconds: float | None) -> int:
    """Examine this installation and its machine.

    Every instruction set that this machine runs computes the same prices and values; the exit code is 1 where
    any of them differs by a bit. One that this machine cannot run is reported as untested. The environment
    variable MMCORE_CPU chooses another than the best.

    Every processor computes what is known to the bit. One that is failing does so without a word, and often
    only at times: where results are odd and do not come again, give it a minute or ten with --seconds. The
    exit code is 1 where any result was wrong.
    """
    from .screen import heading, note, paragraph, print_json, stages, table

    given = {} if seconds is None else {"seconds": seconds}
    with stages() as progress:
        found = examine(**given, progress=progress.start("compute"))
    if as_json:
        print_json({**asdict(found), "sound": found.sound})
        return 0 if found.sound else 1
    heading("Versions", found.machine)
    table(["part", "version"], list(found.versions.items()), left=(0, 1))
    paragraph(f"headers for C: {found.headers}", style="quiet")
    heading("Instruction sets", "of the loops over many numbers")
    words = {True: "the same bits", False: "other results", None: "untested"}
    rows = [
        (
            one.name,
            "in use"
            if one.in_use
            else "runs here"
            if one.runs
            else "not on this machine, or not in this build",
            words[one.agrees],
        )
        for one in found.instruction_sets
    ]
    table(["set", "here", "prices and values"], rows, left=(0, 1, 2))
    if found.right and not found.sound:
        note(
            "Instruction sets differ: this build is broken. Use MMCORE_CPU=baseline, and report it; or the "
            "machine fails, which --seconds 600 may show."
        )
    heading("Processors", "products, quotients and roots of doubles")
    counts = [
        ("any" if one.number is None else str(one.number), f"{one.results:,}", f"{one.wrong:,}")
        for one in found.processors
    ]
    table(["processor", "computed", "wrong"], counts)
    if not found.right:
        examples = ", ".join(one.example for one in found.processors if one.example)
        note(f"This machine computes wrong: {examples}. Trust no result of it, and have it replaced.")
    if found.extras:
        heading("Extras")
        extras = [
            (extra, ", ".join(f"{name} {version or 'missing'}" for name, version in parts.items()))
            for extra, parts in found.extras.items()
        ]
        table(["extra", "brings"], extras, left=(0, 1))
        missing = [extra for extra, parts in found.extras.items() if None in parts.values()]
        if missing:
            paragraph(
                f"pip install '.[{','.join(missing)}]' in a checkout brings what is missing.", style="quiet"
            )
    return 0 if found.sound else 1
