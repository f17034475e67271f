"""Options of the commands, made from the parameters' own metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import click

from ..configuration import DATA, INSTRUMENT, MODEL, MODELS, in_words, model_class, model_parameters
from ..errors import InvalidArgument
from ..parameters import Parameter

__all__ = [
    "Command",
    "Group",
    "Option",
    "config_options",
    "data_options",
    "json_option",
    "model_options",
    "option_name",
    "parameter_options",
    "percent",
]


_LAST = "Output"
"""The group that stands last in the help, and holds ``--help`` itself."""


class Value(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """The value of one parameter: converted and checked by the parameter itself."""

    def __init__(self, parameter: Parameter) -> None:
        self.parameter = parameter
        self.name = parameter.type.__name__

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return what stands behind the option in the help."""
        if self.parameter.choices:
            return "|".join(self.parameter.choices)
        kind = {float: "NUMBER", int: "INTEGER", str: "TEXT", bool: "true|false"}[self.parameter.type]
        return f"{kind}[,{kind}]" if self.parameter.pair else kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check a text of the command line."""
        if not isinstance(value, str):
            return value
        try:
            return self.parameter.check(self._read(value))
        except InvalidArgument:
            name = param.opts[0] if param is not None else self.parameter.name
            allowed = self.parameter.allowed.removesuffix(", or None")
            raise click.UsageError(f"{name} must be {allowed}, got {value!r}{percent(value)}", ctx) from None

    def _read(self, text: str) -> Any:
        kind = self.parameter.type
        if kind is str:
            return text
        if kind is bool:
            return {"true": True, "false": False}.get(text.lower(), text)
        if self.parameter.pair and "," in text:
            return [self._number(part) for part in text.split(",")]
        return self._number(text)

    def _number(self, text: str) -> Any:
        try:
            # An integer has no point: 100.00 is a price in currency, not in ticks.
            return int(text) if self.parameter.type is int else float(text)
        except ValueError:
            return text  # refused by the parameter, which says what is allowed


class Option(click.Option):
    """An option with the heading below which the help shows it."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class Command(click.Command):
    """A command whose help shows its options by groups and ends with examples that run."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; an option that would silently take the place of an earlier one is refused."""
        try:
            _, _, order = self.make_parser(ctx).parse_args(list(args))
        except click.NoSuchOption as error:
            del (error.possibilities or [])[1:]  # the closest comes first
            raise
        for parameter in order:
            # a flag says the same again, unless it has an opposite
            single = isinstance(parameter, Option) and not (
                parameter.multiple or (parameter.is_flag and not parameter.secondary_opts)
            )
            if single and order.count(parameter) > 1:
                name = " or ".join([parameter.opts[0], *parameter.secondary_opts[:1]])
                raise click.UsageError(f"{name} is given {order.count(parameter)} times", ctx)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            # The text above says what an argument is.
            record = None if isinstance(parameter, click.Argument) else parameter.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(parameter, "group", _LAST), []).append(record)
        if _LAST in groups:
            groups[_LAST] = groups.pop(_LAST)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records, col_max=26)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, one to a line, as they are typed."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    formatter.write(f"  {line.strip()}\n")


class Group(Command, click.Group):
    """Commands of their own below one command, each with those of its examples that call it."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take a command in."""
        super().add_command(cmd, name)
        if isinstance(cmd, Command):
            call = f" {name or cmd.name} "
            cmd.examples = "\n".join(line for line in self.examples.splitlines() if call in f"{line} ")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; where there are none, show the help."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def percent(text: str) -> str:
    """Return how a percentage is written, to be said where its text is refused; "" for other texts.

    Examples
    --------
    >>> percent("5 %"), percent("five")
    (': 0.05 for 5 %', '')
    """
    share = text.rstrip().removesuffix("%").strip()
    try:
        return f": {float(share) / 100.0:.12g} for {share} %" if "%" in text else ""
    except ValueError:
        return ""


def option_name(parameter: str) -> str:
    """Return the option of a parameter.

    Examples
    --------
    >>> option_name("q_max"), option_name("A")
    ('--q-max', '--A')
    """
    return "--" + parameter.replace("_", "-")


def parameter_option(
    parameter: Parameter, group: str, default: str | None = None, name: str | None = None
) -> Callable[[Any], Any]:
    """Make the option of one parameter; it stays None unless it is given."""
    words = in_words(parameter)
    details = []
    if parameter.unit:
        details.append(parameter.unit)
    if default is not None:
        details.append(default)
    elif not parameter.required and parameter.default is not None:
        details.append(f"default {shown(parameter.default)}")
    if details:
        words += f" [{'; '.join(details)}]"
    flags = [option_name(name or parameter.name), (name or parameter.name)]
    return click.option(*flags, cls=Option, group=group, type=Value(parameter), default=None, help=words)


def shown(value: Any) -> str:
    """Return a value as it is written on the command line and in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def parameter_options(
    parameters: Iterable[Parameter], group: str, leave_out: Iterable[str] = ()
) -> Callable[[Any], Any]:
    """Make the options of a list of parameters."""
    chosen = [p for p in parameters if p.name not in leave_out]

    def decorate(function: Any) -> Any:
        for parameter in reversed(chosen):
            function = parameter_option(parameter, group)(function)
        return function

    return decorate


def model_options(run: bool) -> Callable[[Any], Any]:
    """Make ``--model`` and the options of all models.

    Parameters
    ----------
    run : bool
        Whether a run fills in what is not given; else the models' own requirements stand.
    """
    found: dict[str, Parameter] = {}
    owners: dict[str, list[str]] = {}
    for model in MODELS:
        for parameter in model_parameters(model) if run else model_class(model).PARAMETERS:
            found.setdefault(parameter.name, parameter)
            owners.setdefault(parameter.name, []).append(model)

    def decorate(function: Any) -> Any:
        for name, parameter in reversed(found.items()):
            if len(owners[name]) < len(MODELS):
                parameter = replace(parameter, doc=f"{parameter.doc} ({', '.join(owners[name])} only)")
            function = parameter_option(parameter, "Model")(function)
        return parameter_option(MODEL, "Model", name="model")(function)

    return decorate


def data_options(function: Any) -> Any:
    """Add the path of the data, its format, its instrument, and what the simulated market needs."""
    from ..simulation import SimulatedMarket

    simulated = [p for p in SimulatedMarket.PARAMETERS if p.name in ("seed", "duration")]
    for parameter in reversed(simulated):
        words = replace(parameter, doc=f"simulated market: {parameter.doc}")
        function = parameter_option(words, "Data")(function)
    for parameter in reversed(INSTRUMENT):
        name = "instrument" if parameter.name == "name" else parameter.name
        function = parameter_option(parameter, "Data", name=name)(function)
    function = parameter_options(DATA, "Data", leave_out=("path",))(function)
    return click.argument("path", required=False, default=None)(function)


def config_options(function: Any) -> Any:
    """Add ``--config`` and ``--set``."""
    function = click.option(
        "--set",
        "changes",
        cls=Option,
        group="Configuration",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="set any key of the configuration; may be given again",
    )(function)
    return click.option(
        "--config",
        cls=Option,
        group="Configuration",
        metavar="FILE",
        default=None,
        help="TOML file that mmcore init writes; options override it",
    )(function)


def json_option(function: Any) -> Any:
    """Add ``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, cls=Option, group="Output", help="print JSON, and nothing else"
    )(function)
