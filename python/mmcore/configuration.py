"""Configuration in TOML: one file describes a whole run, and every fault in it is told at once.

The sections and their keys are the parameters of the parts themselves
(:class:`~mmcore.parameters.Parameter`), so the file, ``--help``, the documentation and the errors
cannot disagree:

=================  ===================================================================
section            whose parameters
=================  ===================================================================
``[data]``         what is replayed: a path, or nothing for the simulated market
``[instrument]``   :class:`mmcore.Instrument`, where the feed does not know it
``[simulation]``   :class:`mmcore.SimulatedMarket`
``[calibration]``  :func:`mmcore.calibrate`
``[model]``        ``name`` and the parameters of that model
``[replay]``       :func:`mmcore.run`
``[report]``       where the page goes
=================  ===================================================================

A wrong file raises one :class:`ConfigurationError` that lists all faults, each with file, line, dotted
key, what is allowed and the name that was probably meant::

    mmcore.toml: 2 faults
      line 3: model.gama is not a key of [model]; did you mean model.gamma?
      line 7: replay.latency must be a finite number >= 0 (s), got -1
"""

from __future__ import annotations

import difflib
import math
import os
import re
import textwrap
import tomllib
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from .errors import InvalidArgument
from .feeds import FORMATS
from .files import naming, unwritable_page
from .parameters import Parameter, Relation

__all__ = [
    "DATA",
    "Configuration",
    "ConfigurationError",
    "Fault",
    "Section",
    "load",
    "loads",
    "model_class",
    "model_parameters",
    "script",
    "sections",
    "template",
    "unrelated",
]


@dataclass(frozen=True)
class Section:
    """One table of the file: its name, what it is for, its parameters, and what they satisfy together."""

    name: str
    doc: str
    parameters: tuple[Parameter, ...]
    relations: tuple[Relation, ...] = ()

    def __getitem__(self, name: str) -> Parameter:
        """Return the parameter called ``name``."""
        for parameter in self.parameters:
            if parameter.name == name:
                return parameter
        raise KeyError(name)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a file.

    Parameters
    ----------
    key : str
        Dotted key, ``"model.gamma"``; empty for a fault of the syntax.
    message : str
        The whole sentence, with what is allowed.
    line : int or None
        Counted from 1; None when there is none (a key that is missing from an absent section).
    suggestion : str or None
        The key or value that was probably meant.
    """

    key: str
    message: str
    line: int | None = None
    suggestion: str | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        meant = "" if self.suggestion is None else f"; did you mean {self.suggestion}?"
        return f"{place}{self.message}{meant}"


class ConfigurationError(InvalidArgument):
    """A configuration file is wrong; :attr:`faults` lists everything that is.

    Parameters
    ----------
    path : str
        The file's name as it was given.
    faults : sequence of Fault
        In the order of the file.
    """

    code = "configuration"

    def __init__(self, path: str, faults: Iterable[Fault]) -> None:
        self.path = path
        self.faults = tuple(faults)
        number = len(self.faults)
        heading = f"{path}: {number} fault{'s' if number != 1 else ''}"
        super().__init__("\n".join([heading, *(f"  {fault}" for fault in self.faults)]), argument="config")


@dataclass(frozen=True)
class Configuration:
    """What a file says: only the keys that stand in it, checked and converted.

    Parameters
    ----------
    path : str
        Where it came from.
    values : dict
        Section name → key → value.

    Examples
    --------
    >>> configuration = loads('''
    ... [simulation]
    ... seed = 7
    ... ''')
    >>> configuration["simulation"], configuration["report"]
    ({'seed': 7}, {})
    """

    path: str
    values: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getitem__(self, section: str) -> dict[str, Any]:
        """Return the keys given in one section; empty when there are none."""
        return dict(self.values.get(section, {}))


# ---- what a file may hold


Lines = dict[tuple[str, ...], int]
"""Table and key → the line where it stands, counted from 1."""


def _amount(text: str) -> None:
    value = Decimal(text)
    if not (value.is_finite() and value > 0):
        raise ValueError(text)


def _column_map(text: str) -> dict[str, str | int]:
    """Read pairs ``our=theirs``; a column of theirs may be its place, counted from 0.

    Examples
    --------
    >>> _column_map("time=ts,bid=3")
    {'time': 'ts', 'bid': 3}
    """
    return {ours: _column(theirs) for ours, theirs in _map(text).items()}


def _side_map(text: str) -> dict[str, int]:
    """Read pairs ``text=side``: who sent the order that a trade's text stands for.

    Examples
    --------
    >>> _side_map("B=1,S=-1,X=0")
    {'B': 1, 'S': -1, 'X': 0}
    """
    sides = {"1": 1, "+1": 1, "-1": -1, "0": 0}
    found = _map(text)
    if not all(side in sides for side in found.values()):
        raise ValueError(text)
    return {theirs: sides[side] for theirs, side in found.items()}


def _kind_map(text: str) -> dict[str, str]:
    """Read pairs ``text=kind``: what a row is whose text that is.

    Examples
    --------
    >>> _kind_map("Q=quote,T=trade")
    {'Q': 'quote', 'T': 'trade'}
    """
    found = _map(text)
    if not all(kind in ("quote", "trade") for kind in found.values()):
        raise ValueError(text)
    return found


def _row_filter(text: str) -> dict[str | int, list[str]]:
    """Read pairs ``column=text``: the rows to keep; a column that comes again has several texts.

    Examples
    --------
    >>> _row_filter("symbol=X,venue=A,venue=B")
    {'symbol': ['X'], 'venue': ['A', 'B']}
    >>> _row_filter("condition=")
    {'condition': ['']}
    """
    found: dict[str | int, list[str]] = {}
    for column, kept in _pairs(text):
        found.setdefault(_column(column), []).append(kept)
    return found


def _map(text: str) -> dict[str, str]:
    """Read pairs whose left sides differ.

    Examples
    --------
    >>> _map("time=ts,time=bid")
    Traceback (most recent call last):
    ValueError: time
    """
    found: dict[str, str] = {}
    for left, right in _pairs(text):
        if left in found or not right:
            raise ValueError(left)
        found[left] = right
    return found


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for pair in text.split(","):
        left, equals, right = (part.strip() for part in pair.partition("="))
        if not (left and equals) or "=" in right:
            raise ValueError(pair)
        found.append((left, right))
    return found


def _column(text: str) -> str | int:
    return int(text) if text.isdigit() else text


DATA = (
    Parameter(
        "path", str, default=None, doc="file or folder of market data; the simulated market when omitted"
    ),
    Parameter(
        "format",
        str,
        default=None,
        choices=FORMATS,
        doc="format of the data; told from the files when omitted",
    ),
    Parameter("cache", bool, default=True, doc="keep the parsed data, so that the next run starts at once"),
    Parameter("symbol", str, default=None, doc="which one, of several (binance, taq, databento)"),
    Parameter("scale", str, default=None, doc="what prices are multiplied with, a power of ten (nautilus)"),
    Parameter("venue", str, default=None, doc="which one, of several (taq, databento)"),
    Parameter(
        "quotes",
        str,
        default=None,
        choices=("bookTicker", "depth"),
        doc="stream that the quotes come from, bookTicker when omitted (binance)",
    ),
    Parameter("date", str, default=None, doc="day from whose midnight the stamps count (lobster, csv)"),
    Parameter(
        "columns",
        str,
        default=None,
        form="pairs our=theirs such as 'time=ts,bid=b1,ask=a1', each of ours once",
        reader=_column_map,
        doc="which column is which, such as time=ts,bid=b1,ask=a1: our names and theirs, or the places "
        "counted from 0 (csv)",
    ),
    Parameter(
        "where",
        str,
        default=None,
        form="pairs column=text such as 'symbol=X', a column again for each further text",
        reader=_row_filter,
        doc="the rows to keep, by the texts of columns, such as symbol=X,venue=A,venue=B (csv)",
    ),
    Parameter(
        "kinds",
        str,
        default=None,
        form="pairs text=kind such as 'Q=quote,T=trade', quote or trade, each text once",
        reader=_kind_map,
        doc="which text of the column kind is which, such as Q=quote,T=trade (csv)",
    ),
    Parameter(
        "sides",
        str,
        default=None,
        form="pairs text=side such as 'B=1,S=-1,X=0', 1, -1 or 0, each text once",
        reader=_side_map,
        doc="which text of the column side is a buyer's, 1, or a seller's, -1, such as B=1,S=-1 (csv)",
    ),
    Parameter("delimiter", str, default=None, doc="one character between the columns (csv)"),
    Parameter("header", bool, default=True, doc="whether the first line names the columns (csv)"),
    Parameter(
        "time_format",
        str,
        default=None,
        doc="form of the stamps: s, ms, us, ns, iso or a strptime pattern (csv)",
    ),
    Parameter(
        "rounding",
        str,
        default=None,
        choices=("exact", "nearest", "floor", "ceil"),
        doc="what becomes of prices off the tick and sizes off the lot (csv)",
    ),
    Parameter("sort", bool, default=False, doc="put rows in the order of their stamps (csv)"),
    Parameter(
        "correct_clock", bool, default=False, doc="put local stamps on the exchange's clock, by both stamps"
    ),
    Parameter(
        "sessions",
        str,
        default=None,
        doc="TOML file of trading hours; the market is absent outside continuous trading",
    ),
)


def _exact(name: str, doc: str, unit: str = "") -> Parameter:
    form = "an exact decimal > 0, such as 0.01"
    return Parameter(name, str, default=None, unit=unit, doc=doc, form=form, reader=_amount)


INSTRUMENT = (
    Parameter("name", str, default=None, doc="name of what is traded"),
    _exact(
        "tick",
        "smallest step of the price; with it the rest, where not given, is lot 1, multiplier 1 and USD",
        unit="currency",
    ),
    _exact("lot", "smallest step of the size", unit="units"),
    _exact("multiplier", "units of the underlying in one unit"),
    Parameter("currency", str, default=None, doc="in which the price is quoted"),
)

REPORT = (
    Parameter("path", str, default="report.html", doc="file of the report"),
    Parameter("enabled", bool, default=True, doc="whether a report is written"),
)

MODELS = {
    "glft": "GueantLehalleFernandezTapia",
    "glft-closed-form": "GueantLehalleFernandezTapiaClosedForm",
    "cj": "CarteaJaimungal",
    "as": "AvellanedaStoikov",
}
"""Short names of the models, and their classes."""

MODEL = Parameter(
    "name",
    str,
    default="glft",
    choices=tuple(MODELS),
    doc="Guéant-Lehalle-Fernandez-Tapia (exact, or its closed form), Cartea-Jaimungal, Avellaneda-Stoikov",
)

MEASURED = ("sigma", "A", "k")
"""Parameters of a model that calibration measures when they are not given."""

CHOSEN = {
    "running_penalty": "when omitted, gamma*sigma^2/2 with the gamma that the other models choose",
    "omega": "when omitted, chosen so that its skew is that of the exact policy",
    "fee": "when omitted, maker_fee of the price before the replay",
}
"""Parameters of a model that a run chooses when they are not given, and how."""

PATHS = (("data", "path"), ("data", "sessions"), ("report", "path"))
"""Keys that hold a path: a relative one counts from the folder of the file."""

SAMPLES: dict[str, dict[str, Any]] = {
    # A file of quotes with stamps in seconds after midnight, in another desk's names.
    "data": {
        "path": "quotes.csv",
        "format": "csv",
        "symbol": "BTCUSDT",
        "venue": "N",
        "scale": "0.01",
        "quotes": "bookTicker",
        "date": "2024-01-02",
        "columns": "time=seconds,bid=best_bid,ask=best_ask",
        "where": "symbol=EURUSD",
        "kinds": "Q=quote,T=trade",
        "sides": "B=1,S=-1",
        "delimiter": ";",
        "time_format": "s",
        "rounding": "nearest",
        "sessions": "hours.toml",
    },
    "instrument": {"name": "EURUSD", "tick": "0.00001", "lot": "1000", "multiplier": "1", "currency": "USD"},
    "calibration": {"min_depth": 1.0, "max_depth": 10.0},
    # The simulated market as it is, and what a run chooses there.
    "model": {
        "gamma": 0.009,
        "sigma": 1.0,
        "A": 1.0,
        "k": 0.5,
        "horizon": 3600.0,
        "running_penalty": 0.0045,
        "omega": 0.06,
        "fee": 0.0,
    },
    "replay": {"time_left": 1800.0},
    "orders": {"messages": "50/1, 1000/60", "max_exposure": 10},
}
"""What a file shows for parameters without a default: values that belong together, section → key → value."""


def model_class(name: str) -> Any:
    """Return the class of a model by its short name.

    Examples
    --------
    >>> model_class("glft").__name__
    'GueantLehalleFernandezTapia'
    """
    from . import models

    return getattr(models, MODELS[MODEL.check(name)])


def model_parameters(name: str) -> tuple[Parameter, ...]:
    """Return the parameters of a model within a run, which measures or chooses what is not given.

    Examples
    --------
    >>> {p.name: p.default for p in model_parameters("glft")}["q_max"]
    10
    """
    from .replaying import RUN_PARAMETERS

    chosen = {p.name: p for p in RUN_PARAMETERS if p.name != "model"}
    own = {p.name: p for p in model_class(name).PARAMETERS}
    if "gamma" not in own:
        del chosen["gamma"]
    # The run needs A for its choice of gamma, even where the model itself has none.
    described = {**{p.name: p for p in model_class("glft").PARAMETERS if p.name in MEASURED}, **own}
    found = []
    for parameter in {**chosen, **described}.values():
        if parameter.name in MEASURED:
            words = f"{parameter.doc}; calibrated when omitted"
            parameter = replace(parameter, default=None, doc=words)
        elif parameter.name in CHOSEN:
            words = f"{parameter.doc}; {CHOSEN[parameter.name]}"
            parameter = replace(parameter, default=None, doc=words)
        elif parameter.name in chosen:
            parameter = chosen[parameter.name]
        found.append(parameter)
    return tuple(found)


def sections(model: str = MODEL.default) -> tuple[Section, ...]:
    """Return the sections of a configuration, with the parameters of one model.

    Parameters
    ----------
    model : str
        Short name of the model.

    Examples
    --------
    >>> [section.name for section in sections()]
    ['data', 'instrument', 'simulation', 'calibration', 'model', 'replay', 'orders', 'report']
    """
    from . import calibration
    from .messages import ORDERS_PARAMETERS, ORDERS_RELATIONS
    from .replaying import REPLAY_PARAMETERS, RUN_RELATIONS, WALK_PARAMETERS
    from .simulation import SimulatedMarket

    return (
        Section("data", "The market data to replay.", DATA),
        Section(
            "instrument", "Grid and currency of the data, where the feed does not know them.", INSTRUMENT
        ),
        Section(
            "simulation", "The simulated market, used when no data are named.", SimulatedMarket.PARAMETERS
        ),
        Section(
            "calibration",
            "How volatility and fill intensity are measured.",
            calibration.PARAMETERS,
            calibration.RELATIONS,
        ),
        Section(
            "model",
            "The model that is solved for quotes.",
            (MODEL, *model_parameters(model)),
            tuple(dict.fromkeys((*RUN_RELATIONS, *model_class(model).RELATIONS))),
        ),
        Section("replay", "How the market is replayed.", (*WALK_PARAMETERS, *REPLAY_PARAMETERS)),
        Section(
            "orders",
            "Any key here replays the order messages too: which are sent, when, and how the venue answers.",
            ORDERS_PARAMETERS,
            ORDERS_RELATIONS,
        ),
        Section("report", "The page that is written at the end.", REPORT),
    )


# ---- reading


def load(path: str | os.PathLike[str], *, page: bool = False) -> Configuration:
    """Read and check a configuration file.

    Relative paths in it count from its own folder, wherever the program runs.

    Parameters
    ----------
    path : path-like
        A TOML file; ``mmcore init`` writes one.
    page : bool
        Whether the page of ``[report]`` is to be written: a place where it cannot be is a fault then.

    Raises
    ------
    ConfigurationError
        The file is wrong; lists every fault.
    OSError
        The file cannot be read.
    """
    values, lines, faults = _read(text_of(path))
    for section, key in PATHS:
        if key in (table := values.get(section, {})):
            table[key] = os.fspath(Path(path).parent / table[key])
    report = values.get("report", {})
    asked = page and "path" in report and report.get("enabled", True)
    if asked and (allowed := unwritable_page(report["path"])):
        what = f"report.path must be {allowed}, got {report['path']!r}"
        faults.append(Fault("report.path", what, lines.get(("report", "path"))))
    return _checked(os.fspath(path), values, faults + _unrelated_faults(values, lines, faults))


def text_of(path: str | os.PathLike[str]) -> str:
    """Return what stands in a TOML file; refuse what is not UTF-8, which TOML is."""
    try:
        with naming(path):
            return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        what = f"not UTF-8 text: byte {error.start + 1} is 0x{error.object[error.start]:02x}"
        raise ConfigurationError(os.fspath(path), [Fault("", what)]) from None


def loads(text: str, path: str = "mmcore.toml", *, whole: bool = True) -> Configuration:
    r"""Check the text of a configuration file.

    Parameters
    ----------
    text : str
        TOML.
    path : str
        Name for the errors.
    whole : bool
        Whether this is all that will be said. Else what keys must satisfy together is left to
        :func:`unrelated`.

    Raises
    ------
    ConfigurationError
        The text is wrong; lists every fault.

    Examples
    --------
    >>> loads("[replay]\nlatency = -1\n[modle]\ngamma = 0.1")
    Traceback (most recent call last):
    mmcore.configuration.ConfigurationError: mmcore.toml: 2 faults
      line 2: replay.latency must be a finite number >= 0 (s), got -1
      line 3: [modle] is not a section; did you mean [model]?
    """
    values, lines, faults = _read(text)
    if whole:
        faults += _unrelated_faults(values, lines, faults)
    return _checked(path, values, faults)


def _checked(path: str, values: dict[str, dict[str, Any]], faults: list[Fault]) -> Configuration:
    """Return what a file says, or refuse it with its faults in their order; those without a line last."""
    if faults:
        raise ConfigurationError(path, sorted(faults, key=lambda f: math.inf if f.line is None else f.line))
    return Configuration(path, values)


def _unrelated_faults(
    values: dict[str, dict[str, Any]], lines: Lines, faults: Iterable[Fault]
) -> list[Fault]:
    wrong = {fault.key for fault in faults}
    found = []
    for key, allowed, value in unrelated(
        values, sections(values.get("model", {}).get("name", MODEL.default)), wrong
    ):
        section, _, name = key.partition(".")
        line = lines.get((section, name), lines.get((section,)))
        found.append(Fault(key, f"{key} must be {allowed}, got {_shown(value)}", line))
    return found


def _read(text: str) -> tuple[dict[str, dict[str, Any]], Lines, list[Fault]]:
    """Return the values of a text, the lines of its keys, and what is wrong with it."""
    try:
        document = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        return {}, {}, [syntax_fault(error, text)]
    lines = key_lines(text)
    faults: list[Fault] = []
    values: dict[str, dict[str, Any]] = {}
    asked = document.get("model", {})
    name = asked.get("name", MODEL.default) if isinstance(asked, Mapping) else MODEL.default
    known = {section.name: section for section in sections(name if name in MODELS else MODEL.default)}
    for key, table in document.items():
        line = lines.get((key,))
        if key not in known:
            homes = [f"[{s.name}]" for s in known.values() if any(p.name == key for p in s.parameters)]
            if isinstance(table, Mapping):
                faults.append(unknown_key(key, f"[{key}] is not a section", line, known, "[{}]"))
            elif homes:
                what = f"{key} stands outside of the sections; it belongs below {' or '.join(homes)}"
                faults.append(Fault(key, what, line))
            else:
                faults.append(unknown_key(key, f"{key} stands outside of the sections", line, known, "[{}]"))
        elif not isinstance(table, Mapping):
            faults.append(Fault(key, f"{key} must be a section, written [{key}], got {_shown(table)}", line))
        else:
            values[key] = _check_section(known[key], table, lines, faults)
    if name in MODELS and isinstance(asked, Mapping):
        required = {p.name for p in known["model"].parameters if p.required} - set(asked)
        faults += [
            Fault(f"model.{p.name}", f"model.{p.name} is missing: {p.allowed}", lines.get(("model",)))
            for p in known["model"].parameters
            if p.name in required
        ]
    return values, lines, faults


def unrelated(
    values: Mapping[str, Mapping[str, Any]], known: Iterable[Section], wrong: Container[str] = ()
) -> Iterator[tuple[str, str, Any]]:
    """Find what values do not satisfy together.

    Parameters
    ----------
    values : mapping
        Section name → key → value; what is not given has its default.
    known : iterable of Section
        As of :func:`sections`.
    wrong : container of str
        Dotted keys with a fault of their own: what they would satisfy cannot be told.

    Yields
    ------
    tuple
        Dotted key, what is allowed, and the value.

    Examples
    --------
    >>> list(unrelated({"model": {"order_size": 3}}, sections()))
    [('model.q_max', 'a multiple of order_size, 3 lots', 10)]
    """
    known = tuple(known)
    for section in known:
        if not values.get(section.name):
            continue  # all defaults, which go together
        # A relation may name a parameter of another section: the latency of the replay.
        homes = (section, *(other for other in known if other is not section))
        refused = set()
        for relation in section.relations:
            places = [
                next(s for s in homes if any(p.name == n for p in s.parameters)) for n in relation.names
            ]
            keys = [f"{home.name}.{name}" for home, name in zip(places, relation.names, strict=True)]
            if keys[0] in refused or any(key in wrong for key in keys):
                continue
            if relation.yields and relation.names[0] not in values[section.name]:
                continue
            found = {
                name: values.get(home.name, {}).get(name, home[name].default)
                for home, name in zip(places, relation.names, strict=True)
            }
            if (allowed := relation.fault(found)) is not None:
                refused.add(keys[0])
                yield keys[0], allowed.removesuffix(", or None"), found[relation.names[0]]


def _check_section(
    section: Section, table: Mapping[str, Any], lines: Lines, faults: list[Fault]
) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for name, value in table.items():
        line = lines.get((section.name, name), lines.get((section.name,)))
        key = f"{section.name}.{name}"
        try:
            parameter = section[name]
        except KeyError:
            what = f"{key} is not a key of [{section.name}]"
            names = [p.name for p in section.parameters]
            if section.name == "model" and (owners := _owners(name)):
                chosen = table.get("name", MODEL.default)
                faults.append(Fault(key, f"{what} for {chosen}, but for {', '.join(owners)}", line))
                continue
            faults.append(unknown_key(key, what, line, names, section.name + ".{}"))
            continue
        try:
            checked[name] = parameter.check(_plain(value, parameter.type))
        except InvalidArgument:
            # "or None" is Python's way to leave a key out.
            allowed = parameter.allowed.removesuffix(", or None")
            meant = None
            if isinstance(value, str) and parameter.choices:
                close = difflib.get_close_matches(value, parameter.choices, 1)
                meant = repr(close[0]) if close else None
            faults.append(Fault(key, f"{key} must be {allowed}, got {_shown(value)}", line, meant))
    return checked


def _owners(name: str) -> list[str]:
    """Return the models that have a parameter of this name."""
    return [model for model in MODELS if any(p.name == name for p in model_parameters(model))]


def unknown_key(key: str, what: str, line: int | None, names: Iterable[str], form: str) -> Fault:
    """Make the fault of a name that does not exist: suggest the nearest, or list what there is."""
    names = list(names)
    last = key.rpartition(".")[2]
    folded = {name.lower(): name for name in names}
    close = difflib.get_close_matches(last.lower(), folded, 1)
    if close:
        return Fault(key, what, line, form.format(folded[close[0]]))
    return Fault(key, f"{what}; there are {', '.join(names)}", line)


def _plain(value: Any, kind: type) -> Any:
    """Convert the exact decimals of the reader to what the parameters take: a text keeps every digit."""
    if isinstance(value, list):
        return [_plain(item, kind) for item in value]
    if kind is str and isinstance(value, (Decimal, int)) and not isinstance(value, bool):
        return str(value)
    return float(value) if isinstance(value, Decimal) else value


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return str(value if value.is_finite() else float(value))
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, Mapping):
        return "a table"
    return repr(value)


def syntax_fault(error: tomllib.TOMLDecodeError, text: str) -> Fault:
    """Make the fault of a text that is not TOML, with what was meant where that is plain."""
    message, _, place = str(error).partition(" (at ")
    found = re.match(r"line (\d+), column (\d+)", place)
    if not found:
        return Fault("", f"not TOML: {message}, up to the end of the file")
    line, column = int(found[1]), int(found[2])
    bare = re.match(r"([+-]?)(\.\d+)", text.split("\n")[line - 1][column - 1 :])
    return Fault("", f"not TOML: {message}", line, f"{bare[1]}0{bare[2]}" if bare else None)


_KEY = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_TOKEN = re.compile(
    rf"""
    (?P<space>[ \t\r]+|\#[^\n]*)
  | (?P<newline>\n)
  | (?P<string>\"{{3}}(?:[^\\]|\\.)*?\"{{3,5}}|'{{3}}.*?'{{3,5}})
  | (?P<key>{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def key_lines(text: str) -> Lines:
    """Find the line of each key and table of a text that is known to be TOML.

    The reader of the standard library tells no positions. Since the text has been parsed, it is
    enough to split it into strings, keys and marks: a key is what stands before ``=``, or within
    the brackets that begin a statement. Tables of an array, ``[[name]]``, are counted: what the second
    holds lies below ``("name", "1")``.
    """
    lines: Lines = {}
    line = 1
    table: tuple[str, ...] = ()
    depth = 0  # brackets and braces of a value
    start = True  # of a statement
    header: tuple[str, ...] | None = None
    in_header = doubled = False
    count: dict[tuple[str, ...], int] = {}  # tables of each array
    pending: tuple[tuple[str, ...], int] | None = None
    for token in _TOKEN.finditer(text):
        what, mark = token.lastgroup, token[0]
        if what == "newline":
            if depth == 0:
                start, in_header, pending = True, False, None
        elif what == "key" and in_header and header is None:
            header = _split_key(mark)
            table = ()
            for i, part in enumerate(header, 1):
                table += (part,)
                lines.setdefault(table, line)
                if doubled and i == len(header):
                    count[table] = count.get(table, -1) + 1
                if table in count:
                    table += (str(count[table]),)
                    lines.setdefault(table, line)
        elif what == "key" and start:
            pending, start = (_split_key(mark), line), False
        elif what == "other" and mark == "[" and start:
            in_header, doubled, header, start = True, False, None, False
        elif what == "other" and mark == "[" and in_header and header is None:
            doubled = True
        elif what == "other" and mark == "=" and pending is not None and depth == 0:
            path = table + pending[0]
            for i in range(1, len(path) + 1):
                lines.setdefault(path[:i], pending[1])
            pending = None
        elif what == "other" and not in_header:
            depth += (mark in "[{") - (mark in "]}")
        line += mark.count("\n")
    return lines


def _split_key(text: str) -> tuple[str, ...]:
    parts = re.findall(_KEY, text)
    return tuple(tomllib.loads(f"x = {p}")["x"] if p[0] in "\"'" else p for p in parts)


# ---- writing


def template(model: str = MODEL.default, given: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Return a commented configuration: every parameter with type, default, range, unit and doc.

    A parameter that is not given stands there as a comment with its default, so that the file says
    what may be said and changes nothing.

    Parameters
    ----------
    model : str
        Short name of the model.
    given : mapping, optional
        Values to write, section → key → value.

    Examples
    --------
    >>> text = template(given={"simulation": {"seed": 7}})
    >>> loads(text)["simulation"]
    {'seed': 7}
    """
    values = {section: dict(table) for section, table in (given or {}).items()}
    values.setdefault("model", {}).setdefault("name", model)
    lines = [
        "# Configuration of mmcore: one file describes a whole run.",
        "#",
        "#     mmcore replay --config mmcore.toml",
        "#",
        "# Each key stands with what it means, what is allowed and its default: take the # away to set it.",
        "# A key that is not set by default shows an example. Relative paths count from the folder of this",
        "# file; options on the command line override it. Prices in ticks, sizes in lots, times in seconds.",
    ]
    for section in sections(model):
        lines += ["", "", f"[{section.name}]", f"# {section.doc}"]
        for parameter in section.parameters:
            lines += ["", *_described(parameter)]
            table = values.get(section.name, {})
            if parameter.name in table:
                lines.append(f"{parameter.name} = {_toml(table[parameter.name])}")
            else:
                example = SAMPLES.get(section.name, {}).get(parameter.name, parameter.default)
                lines.append(f"# {parameter.name} = {_toml(example)}")
    return "\n".join(lines) + "\n"


def _described(parameter: Parameter) -> list[str]:
    allowed = parameter.allowed.removesuffix(", or None")
    if parameter.type is str and parameter.unit:
        allowed += f" ({parameter.unit})"
    if parameter.default is None:
        default = "not set by default"
    else:
        default = f"default {_toml(parameter.default)}"
    doc = in_words(parameter)
    words = f"{doc[:1].upper()}{doc[1:]}."
    wrapped = textwrap.wrap(words, 98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)
    indent = "#   "
    wrapped += textwrap.wrap(
        f"{allowed}; {default}", 110, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return wrapped


def in_words(parameter: Parameter) -> str:
    """Return the doc of a parameter for people who leave a key out where Python says None.

    Examples
    --------
    >>> in_words(Parameter("depth", float, default=None, doc="largest depth; None adapts it"))
    'largest depth; when omitted, it adapts'
    """
    doc = parameter.doc
    for python, words in (("None adapts it", "it adapts"), ("None is ", ""), ("None chooses ", "")):
        doc = doc.replace(python, f"when omitted, {words}")
    return doc


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return repr(value)


def script(model: str = MODEL.default, given: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Return a short strategy script that does what the :func:`template` does, in the public interface."""
    found = {section.name: section for section in sections(model)}
    values = {section: dict(table) for section, table in (given or {}).items()}
    cls = MODELS[model]
    own = {p.name for p in model_class(model).PARAMETERS}

    def argument(section: str, name: str) -> list[str]:
        parameter = found[section][name]
        value = values.get(section, {}).get(name, parameter.default)
        unit = f" ({parameter.unit})" if parameter.unit else ""
        line = f"    {name}={_toml(value) if isinstance(value, str) else repr(value)},"
        words = f"# {parameter.doc}{unit}"
        if len(line) + 2 + len(words) <= 100:
            return [f"{line}  {words}"]
        return [*textwrap.wrap(words, 100, initial_indent="    ", subsequent_indent="    # "), line]

    def arguments(section: str, *names: str) -> list[str]:
        return [line for name in names for line in argument(section, name)]

    events = ["events = mm.SimulatedMarket(seed=1).events()"]
    imports = ["import mmcore as mm"]
    if "path" in values.get("data", {}):
        path = Path(values["data"]["path"])
        place = _toml(path.as_posix())
        if not path.is_absolute():
            place = f"Path(__file__).parent / {place}"
            imports = ["from pathlib import Path", "", *imports]
        events = [f"events = mm.load({place})"]
    averse = [name for name in ("gamma", "running_penalty") if name in own]
    halved = [f"{name}=result.model.{name} / 2" for name in averse]
    halved += ["omega=result.model.omega"] if "omega" in own else []
    run_names = ("q_max", "order_size", *(name for name in ("gamma",) if name in own))
    others = {
        name: value
        for name, value in values.get("model", {}).items()
        if name not in ("name", *run_names, *MEASURED)
    }
    measured = [name for name in MEASURED if name in values.get("model", {})]
    return "\n".join(
        [
            '"""A market maker in a few lines: change the numbers and run it again.',
            "",
            "As it stands it does what `mmcore replay --config mmcore.toml` does beside it.",
            '"""',
            "",
            *imports,
            "",
            '# What is traded: a market made by code, or your own data: mm.load("path")',
            *events,
            "",
            "# How the market is replayed",
            "rules = dict(",
            *arguments("replay", "interval", "latency", "fill", "maker_fee"),
            ")",
            "",
            "# Calibrate on the first part, solve the model, and replay the rest against its quotes",
            "result = mm.run(",
            "    events,",
            f"    model=mm.{cls},",
            *arguments("replay", "train", "recalibrate"),
            *arguments("model", *run_names, *measured),
            f"    parameters={others!r},  # others of the model, by name",
            "    **rules,",
            ")",
            "print(result.calibration)",
            "print(result.model)",
            "",
            "# One quote, with each step explained",
            'print(result.quoter.explain(float(result.decisions["reference"][0]), 0))',
            "print(result)",
            "",
            "# The same market against a quoter of your own: here the model, half as averse to inventory",
            "bolder = result.calibration.model(",
            f"    mm.{cls},",
            f"    {', '.join(halved)},",
            "    q_max=result.model.q_max,",
            "    order_size=result.model.order_size,",
            ")",
            "quoter = mm.Quoter(bolder, events.instrument, limits=result.quoter.limits)",
            "other = mm.replay(result.events, quoter, recalibrate=result.recalibrate, **rules)",
            'print("Half as averse:", mm.compare(other, result))',
            "",
        ]
    )
