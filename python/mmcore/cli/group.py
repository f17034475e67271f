"""The group of commands: each is imported when it is called, and every error leaves through one door."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import MutableMapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

__all__ = ["COMMANDS", "LazyGroup", "mmcore"]

COMMANDS = {
    "replay": "Make a market on recorded or simulated data, and report.",
    "calibrate": "Measure volatility and fill intensity, with errors.",
    "quote": "Quote once, and explain every step.",
    "solve": "Solve a dynamic program, with proven bounds.",
    "size": "Size an order, a portfolio, an execution.",
    "feed": "Inspect market data, and convert them.",
    "init": "Write a commented configuration and a strategy script.",
    "doctor": "Examine this installation and its machine.",
}
"""The commands and what they do; each lives in the module of its name."""

ANSWER_IS_NO = 1
BAD_INPUT = 2


class LazyGroup(click.Group):
    """A group whose commands are imported on demand, so that ``--help`` imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of the command."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"{__package__}.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that does not exist is refused with the one that was meant."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, COMMANDS, 1)
            meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"{name!r} is not a command; {meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run, and turn whatever goes wrong into one line on standard error and an exit code."""
        arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
        try:
            code = super().main(
                arguments, prog_name, complete_var, False, windows_expand_args=windows_expand_args, **extra
            )
            if sys.stdout is not None:
                sys.stdout.flush()
        except BaseException as error:
            failure = _failure(error)
            if failure is None:
                raise
            code = _tell(failure, as_json="--json" in arguments)
        _settle()
        sys.exit(code if isinstance(code, int) else 0)


class _Failure:
    """What is told about an error: an exit code, a message, a hint, and fields for machines."""

    def __init__(self, exit_code: int, message: str, hint: str = "", **fields: Any) -> None:
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.fields = fields


def _failure(error: BaseException) -> _Failure | None:
    """Judge an error; None when it is a fault of ours, whose traceback must be seen."""
    from ..errors import Error, MissingExtra, NotIdentified

    if isinstance(error, click.exceptions.Exit):
        return _Failure(error.exit_code, "")
    if isinstance(error, click.UsageError):
        hint = f"see {error.ctx.command_path} --help" if error.ctx is not None else ""
        return _Failure(BAD_INPUT, error.format_message(), hint, code="usage")
    if isinstance(error, click.ClickException):
        return _Failure(BAD_INPUT, error.format_message(), code="usage")
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return _Failure(130, "interrupted", code="interrupted")
    if isinstance(error, Error):
        exit_code = ANSWER_IS_NO if isinstance(error, NotIdentified) else BAD_INPUT
        fields: dict[str, Any] = {
            name: value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
            for name, value in (
                ("argument", error.argument),
                ("value", error.value),
                ("allowed", error.allowed),
            )
            if value is not None
        }
        if faults := getattr(error, "faults", None):
            fields["faults"] = [vars(fault) for fault in faults]
        if isinstance(error, MissingExtra):
            fields["extra"] = error.extra
        from .market import ADVICE

        message = str(error).replace(", or None", "")  # Python's way to leave an option out
        return _Failure(exit_code, message, ADVICE.get(error.argument or "", ""), code=error.code, **fields)
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        what = "no such file or folder" if isinstance(error, FileNotFoundError) else error.strerror
        message = f"{name}{what}" if error.strerror else str(error)
        return _Failure(BAD_INPUT, message, "; ".join(getattr(error, "__notes__", ())), code="file")
    return None


def _tell(failure: _Failure, as_json: bool) -> int:
    from .screen import errors

    if failure.message:
        errors.print(f"[error]error:[/] {_escaped(failure.message)}", soft_wrap=True)
        if failure.hint:
            errors.print(f"[quiet]{_escaped(failure.hint)}[/]", soft_wrap=True)
        if as_json:
            fields: MutableMapping[str, Any] = {**failure.fields, "message": failure.message}
            with suppress(OSError):  # the failure may be that of standard output itself
                print(json.dumps({"error": fields}, default=str), flush=True)
    return failure.exit_code


def _settle() -> None:
    """Let what standard output still holds go out, or nowhere: no failure at the very end can be caught."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from .. import __version__

        print(f"mmcore {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `mmcore replay`: it needs no data. Each command has its own --help with examples.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
def mmcore() -> None:
    """Make markets: calibrate, solve, quote and replay, exactly."""
