"""``mmcore init``: a commented configuration and a strategy script, both from the parameters' metadata."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from ..configuration import MODEL, script, template
from .options import Command, Option, json_option, parameter_option

__all__ = ["command"]

EXAMPLES = """
mmcore init desk
mmcore init desk --model cj --force
"""


@click.command(
    "init",
    cls=Command,
    examples=EXAMPLES,
    short_help="Write a commented configuration and a strategy script.",
)
@click.argument("directory")
@parameter_option(MODEL, "Model", name="model")
@click.option(
    "--data",
    metavar="PATH",
    default=None,
    cls=Option,
    group="Data",
    help="market data to use; the simulated market when omitted",
)
@click.option("--force", is_flag=True, cls=Option, group="Output", help="replace files that exist")
@json_option
def command(directory: str, model: str | None, data: str | None, force: bool, as_json: bool) -> int:
    """Write a commented configuration and a strategy script.

    DIRECTORY is made if it does not exist. Both files are made from the same descriptions of the
    parameters as this help, and do the same.
    """
    from .screen import answer, paragraph, print_json, program

    folder = Path(directory)
    name = model or MODEL.default
    given = {} if data is None else {"data": {"path": _from(folder, data)}}
    files = {
        folder / "mmcore.toml": template(name, given),
        folder / "strategy.py": script(name, given),
    }
    if not force and (there := [str(path) for path in files if path.exists()]):
        raise click.UsageError(
            f"{' and '.join(there)} exist{'s' if len(there) == 1 else ''} already; --force replaces",
            click.get_current_context(),
        )
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8", newline="\n")
    if as_json:
        print_json({"written": [str(path) for path in files]})
        return 0
    config, strategy = files
    answer.print(f"Wrote {config} and {strategy}.", soft_wrap=True, markup=False)
    for words, command in (
        ("Run the configuration", [*program("mmcore"), "replay", "--config", str(config)]),
        ("Run the script, which does the same", [*program("python"), str(strategy)]),
    ):
        answer.print()
        paragraph(f"{words}:")
        answer.print(f"    {shlex.join(command)}", soft_wrap=True, markup=False)
    return 0


def _from(folder: Path, data: str) -> str:
    """Return the path of the data as the files in the folder must call it."""
    if not os.path.exists(data):
        raise click.UsageError(f"--data: {data}: no such file or folder", click.get_current_context())
    if os.path.isabs(data):
        return data
    return os.path.relpath(data, folder)
