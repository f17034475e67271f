"""``mmcore doctor``: what this installation is, what it can do, and whether its parts agree."""

from __future__ import annotations

from dataclasses import asdict

import click

from .options import Command, json_option

__all__ = ["command"]

EXAMPLES = """
mmcore doctor
mmcore doctor --json
"""


@click.command(
    "doctor",
    cls=Command,
    examples=EXAMPLES,
    short_help="Examine this installation: versions, extras, instruction sets.",
)
@json_option
def command(as_json: bool) -> int:
    """Examine this installation: versions, extras, instruction sets.

    Every instruction set that this machine runs computes the same prices and values; the exit code is 1 where
    any of them differs by a bit. One that this machine cannot run is reported as untested. The environment
    variable MMCORE_CPU chooses another than the best.
    """
    from ..doctor import examine
    from .screen import heading, note, paragraph, print_json, table

    found = examine()
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
    if not found.sound:
        note("Instruction sets differ: this build is broken. Use MMCORE_CPU=baseline, and report it.")
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
