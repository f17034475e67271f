"""A problem as a TOML file, and a solution as a file of arrays: what ``mmcore solve`` reads and writes.

A market maker's problem has the keys of :class:`~mmcore.dp.MarketMakingProblem` below ``[problem]``, a
``[[regime]]`` for each state of the market with the keys of :class:`~mmcore.dp.Regime`, and below
``[regime.bid]`` and ``[regime.ask]`` what may be offered: ``depth`` with ``rate``, or with ``A`` and ``k``;
or ``spread`` with ``join``, ``improve`` and ``back``. Any other problem is ``[mdp]`` with the path of an
``.npz`` of arrays. ``[solve]`` holds the arguments of ``solve``.
"""

from __future__ import annotations

import inspect
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import finite
from ..configuration import ConfigurationError, Fault, key_lines, syntax_fault, text_of, unknown_key
from ..errors import CapacityError, CorruptError, InvalidArgument
from ..files import replacing, stored_arrays
from .average import average_reward
from .backward import backward_induction
from .market_making import MarketMakingProblem, MarketMakingSolution, Offers, Regime
from .mdp import MDP

__all__ = ["EXAMPLE", "ProblemFile", "load_problem", "parse_problem", "save_solution"]

EXAMPLE = """\
# A market maker's problem. Prices in ticks, sizes in lots, times in seconds.
#
#     mmcore solve problem.toml --plot policy.png --out solution.npz

[problem]
q_max = 10
dt = 0.1                   # a step; all rates times dt are probabilities
horizon = 40.0             # without it and liquidate: for ever, with a discount_rate or the best average
liquidate = true           # what is left at the horizon is traded away
take = true                # market orders may be sent at every step
maker_fee = 0.0
taker_fee = 0.1
# rates at which the market goes from one regime to another, 1/s; the diagonal is not read
switching = [[0.0, 0.1], [0.2, 0.0]]

[[regime]]
name = "one tick wide"
spread = 1
running_penalty = 0.02
bid = { spread = 1, join = 0.5 }

[[regime]]
name = "two ticks wide"
spread = 2
running_penalty = 0.02
bid = { spread = 2, join = 0.35, improve = 0.7 }

[solve]
tol = 1e-8
"""

_ARRAYS = ("rewards", "transitions", "data", "indices", "indptr", "s_indices", "a_indices", "terminal")
_MDP: dict[str, Any] = {
    "path": str,
    "discount": (int, float, list),
    "maximize": bool,
    "horizon": int,
    "average": bool,
}
_WORDS: dict[Any, str] = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    (int, float, list): "a number, or one for each state",
}
_OFFERS: tuple[tuple[Callable[..., Offers], tuple[str, ...]], ...] = (
    (Offers, ("depth", "rate", "size")),
    (Offers.exponential, ("A", "k", "depth", "size")),
    (Offers.touch, ("spread", "join", "improve", "back")),
)


@dataclass(frozen=True)
class ProblemFile:
    """What a file says: a problem, and how it is to be solved.

    Parameters
    ----------
    path : str
        The file.
    problem : MarketMakingProblem or MDP
        What is to be solved.
    options : dict
        Arguments of its ``solve``.
    horizon : int, optional
        Steps of an MDP with a finite horizon.
    average : bool
        Whether the average reward of an MDP is wanted.
    terminal : ndarray, optional
        Values of an MDP at the horizon.
    lines : mapping, optional
        The line of each key, by the names of its tables and its own; faults are told with it.
    """

    path: str
    problem: MarketMakingProblem | MDP
    options: dict[str, Any]
    horizon: int | None = None
    average: bool = False
    terminal: Any = None
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict, repr=False, compare=False)

    def solve(self, progress: Callable[[int, float, float], object] | None = None) -> Any:
        """Solve it as the file says.

        Parameters
        ----------
        progress : callable, optional
            Hears of each pass over an MDP: its number, residual and gap.

        Returns
        -------
        MarketMakingSolution, Solution or AverageSolution
            The first is a model: :class:`~mmcore.Quoter` takes it.

        Raises
        ------
        ConfigurationError
            A key of ``[solve]`` is not what its solver takes.
        """
        try:
            return self._solved(progress)
        except InvalidArgument as error:
            if error.argument not in self.options:
                raise
            key = f"solve.{error.argument}"
            fault = Fault(key, f"solve.{_in_toml(error)}", self.lines.get(("solve", error.argument)))
            raise ConfigurationError(self.path, [fault]) from None

    def _solved(self, progress: Callable[[int, float, float], object] | None) -> Any:
        if isinstance(self.problem, MarketMakingProblem):
            return self.problem.solve(**self.options)
        if self.horizon is not None:
            return backward_induction(self.problem, None, self.horizon, self.terminal, **self.options)
        if self.average:
            return average_reward(self.problem, **self.options)
        return self.problem.solve(**self.options, progress=progress)


def load_problem(path: str | os.PathLike[str]) -> ProblemFile:
    """Read and check a problem that is a TOML file, as ``mmcore solve`` does.

    Parameters
    ----------
    path : path-like
        ``mmcore solve --example FILE`` writes one.

    Returns
    -------
    ProblemFile
        Its ``problem``, and ``solve()``.

    Raises
    ------
    ConfigurationError
        The file is wrong; every fault that can be told at once is.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> import mmcore as mm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "problem.toml")
    ...     path.write_text(EXAMPLE) and None
    ...     model = load_problem(path).solve()
    >>> quote = mm.Quoter(model).quote(100.5, inventory=0, bid=100, ask=101, time_left=40.0)
    >>> quote.bid, quote.ask
    (100, 101)
    """
    return parse_problem(text_of(path), os.fspath(path))


def parse_problem(text: str, name: str = "problem.toml") -> ProblemFile:
    """Check the text of a file; see :func:`load_problem`.

    Examples
    --------
    >>> parse_problem(EXAMPLE).solve().depths(3, 40.0)
    (None, 0.5)
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fault = syntax_fault(error, text)
        if len(re.findall(r"(?m)^\s*\[{1,2}\s*regime\s*\]", text)) > 1 and re.search(
            r"\(.regime.,\) twice|overwrite a value", fault.message
        ):
            fault = replace(fault, message=f"{fault.message}; each of several regimes begins with [[regime]]")
        raise ConfigurationError(name, [fault]) from None
    reader = _Reader(name, key_lines(text))
    known = ("problem", "regime", "mdp", "solve")
    reader.known("", document, known)
    kinds = [kind for kind in ("problem", "mdp") if kind in document]
    if not kinds:
        reader.fault("", "there must be a [problem] with its [[regime]], or an [mdp]")
    elif len(kinds) > 1:
        reader.fault("mdp", "only one of [problem] and [mdp] may be in a file: remove the other")
    elif kinds == ["mdp"] and "regime" in document:
        reader.fault("regime", "[[regime]] belongs to a [problem]: an [mdp] has none")
    reader.stop()
    made = reader.market_making(document) if kinds == ["problem"] else reader.mdp(document, Path(name).parent)
    reader.stop()
    assert made is not None
    return made


def _in_toml(error: InvalidArgument | CapacityError) -> str:
    """Words of an error in those of a file, where nothing is None."""
    words = re.sub(r", got None\b", ", and is left out", str(error))
    return re.sub(r"\bNone\b", "left out", words).replace("True or False", "true or false")


class _Reader:
    """Reads tables into objects and gathers what is wrong."""

    def __init__(self, path: str, lines: dict[tuple[str, ...], int]) -> None:
        self.path, self.lines = path, lines
        self.faults: list[Fault] = []

    def line(self, key: str) -> int | None:
        """The line of a key, or of the nearest table that it is in."""
        parts = tuple(key.split("."))
        for n in range(len(parts), 0, -1):
            for path in (parts[:n], tuple(part for part in parts[:n] if not part.isdigit())):
                if path in self.lines:
                    return self.lines[path]
        return None

    def fault(self, key: str, what: str) -> None:
        self.faults.append(Fault(key, what, self.line(key)))

    def stop(self) -> None:
        if self.faults:
            raise ConfigurationError(self.path, sorted(self.faults, key=lambda f: f.line or 0))

    def known(self, place: str, table: Any, names: Iterable[str]) -> bool:
        """Whether it is a table; keys that do not exist are faults."""
        if not isinstance(table, Mapping):
            self.fault(place, f"{place} must be a table of keys, got {table!r}")
            return False
        names = list(names)
        for name in table:
            if name not in names:
                key = f"{place}.{name}" if place else name
                what = f"{key} is not a key of [{place}]" if place else f"[{key}] is not a section"
                self.faults.append(unknown_key(key, what, self.line(key), names, "{}"))
        return True

    def made(self, place: str, make: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call a constructor; what it refuses is a fault of its key."""
        parameters = inspect.signature(make).parameters.values()
        needed = [p.name for p in parameters if p.default is p.empty and p.name not in arguments]
        for name in needed:
            self.fault(place, f"{place}.{name} is missing")
        if needed:
            return None
        try:
            return make(**arguments)
        except (InvalidArgument, CapacityError) as error:
            key = f"{place}.{error.argument}" if error.argument in arguments else place
            words = _in_toml(error)
            named = key != place and words.startswith(f"{error.argument} ")
            self.fault(key, f"{place}.{words}" if named else f"{key}: {words}")
        return None

    def offers(self, place: str, table: Any) -> Any:
        every = dict.fromkeys(name for _, names in _OFFERS for name in names)
        before = len(self.faults)
        if not self.known(place, table, every) or len(self.faults) > before:
            return None
        for make, names in _OFFERS:
            if set(table) <= set(names):
                return self.made(place, make, table)
        forms = "depth and rate, or depth, A and k, or spread with join, improve, back"
        self.fault(place, f"{place} must have {forms}; got {', '.join(table)}")
        return None

    def regime(self, place: str, table: Any) -> Any:
        before = len(self.faults)
        if not self.known(place, table, [f.name for f in fields(Regime)]):
            return None
        given = dict(table)
        for side in ("bid", "ask"):
            if side in given:
                given[side] = self.offers(f"{place}.{side}", given[side])
            elif side == "bid":
                self.fault(place, f"{place}.bid is missing: what may be offered")
        if not isinstance(given.get("name", ""), str):
            self.fault(f"{place}.name", f"{place}.name must be a text, got {given['name']!r}")
        selection = given.get("adverse_selection")
        if isinstance(selection, list):
            given["adverse_selection"] = tuple(selection)
        return None if len(self.faults) > before else self.made(place, Regime, given)

    def market_making(self, document: Mapping[str, Any]) -> ProblemFile | None:
        names = [f.name for f in fields(MarketMakingProblem) if f.init and f.name != "regimes"]
        self.known("problem", document["problem"], names)
        listed = document.get("regime", [])
        if isinstance(listed, Mapping):
            listed = [listed]
        if not listed:
            self.fault("problem", "there must be a [[regime]] at least")
        regimes = [self.regime(f"regime.{i}", table) for i, table in enumerate(listed)]
        options = self.options(document, MarketMakingProblem.solve)
        if "horizon" in document["problem"]:
            self.only_tol(options)
        if self.faults:
            return None
        problem = self.made("problem", MarketMakingProblem, {"regimes": regimes, **document["problem"]})
        return None if problem is None else ProblemFile(self.path, problem, options, lines=self.lines)

    def options(self, document: Mapping[str, Any], solve: Callable[..., Any]) -> dict[str, Any]:
        given = document.get("solve", {})
        names = [
            n for n in inspect.signature(solve).parameters if n not in ("self", "model", "progress", "start")
        ]
        if not self.known("solve", given, names):
            return {}
        for name in set(names) & set(given):
            value = given[name]
            default = inspect.signature(solve).parameters[name].default
            kind = int if default is None else type(default)
            right = isinstance(value, (int, float) if kind is float else kind)
            if isinstance(value, bool) or not right:
                self.fault(f"solve.{name}", f"solve.{name} must be {_WORDS[kind]}, got {value!r}")
        return {name: value for name, value in given.items() if name in names}

    def only_tol(self, options: Mapping[str, Any]) -> None:
        """Refuse what a finite horizon has no use for."""
        for name in options:
            if name != "tol":
                self.fault(f"solve.{name}", f"solve.{name} must be left out where there is a horizon")

    def mdp(self, document: Mapping[str, Any], folder: Path) -> ProblemFile | None:
        table = document["mdp"]
        if not self.known("mdp", table, _MDP):
            return None
        for name, kind in _MDP.items():
            if name in table and (
                isinstance(table[name], bool) is not (kind is bool) or not isinstance(table[name], kind)
            ):
                self.fault(f"mdp.{name}", f"mdp.{name} must be {_WORDS[kind]}, got {table[name]!r}")
        if table.get("average") is True and "horizon" in table:
            self.fault("mdp.average", "mdp.average must be left out where there is a horizon")
        if table.get("average") is True and table.get("discount", 1) != 1:
            self.fault("mdp.discount", "mdp.discount must be left out where rewards are averaged")
        if not {"discount", "horizon"} & set(table) and not table.get("average"):
            self.fault("mdp", "mdp must have a discount below 1, or a horizon in steps, or average = true")
        listed = table.get("discount")
        listed = listed if isinstance(listed, list) else [listed]
        largest = max((d for d in listed if type(d) in (int, float)), default=0.0)
        if largest >= 1 and "horizon" not in table and not table.get("average"):
            self.fault(
                "mdp.discount",
                f"mdp.discount must be below 1 in every state, got {largest}: else give a horizon in steps, "
                f"or average = true in place of a discount",
            )
        if isinstance(table.get("horizon"), int) and table["horizon"] < 1:
            self.fault("mdp.horizon", f"mdp.horizon must be an integer >= 1, got {table['horizon']}")
        if self.faults:
            return None
        if "path" not in table:
            self.fault("mdp", "mdp.path is missing: an .npz with rewards and transitions")
            return None
        try:
            arrays = stored_arrays(folder / str(table["path"]))
        except (OSError, CorruptError) as error:
            self.fault("mdp.path", f"mdp.path: {error}")
            return None
        if "" in arrays:
            self.fault("mdp.path", f"mdp.path: {table['path']}: a single array, not an .npz of several")
            return None
        for name in arrays:
            if name not in _ARRAYS:
                self.faults.append(
                    unknown_key(name, f"{name} is not an array of a model", None, _ARRAYS, "{}")
                )
        for name, array in arrays.items():
            counts = name in ("indices", "indptr")
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            if not isinstance(array, np.ndarray) or array.dtype.kind not in ("iu" if counts else "biuf"):
                allowed = "integers" if counts else "numbers"
                self.fault("mdp.path", f"mdp.path: {name} must be an array of {allowed}, got {kind}")
            elif name in ("data", "indices", "indptr") and array.ndim != 1:
                self.fault("mdp.path", f"mdp.path: {name} must have one axis, got {array.ndim}")
        if self.faults:
            return None
        horizon, average = table.get("horizon"), table.get("average", False)
        transitions: Any = arrays.get("transitions")
        if transitions is None and all(name in arrays for name in ("data", "indices", "indptr")):
            from scipy.sparse import csr_array

            rows, columns = len(arrays["indptr"]) - 1, int(np.max(arrays["indices"], initial=0)) + 1
            rewards = arrays.get("rewards")
            states = len(rewards) if rewards is not None and rewards.ndim == 2 else columns
            parts = arrays["data"], arrays["indices"], arrays["indptr"]
            try:
                transitions = csr_array(parts, shape=(rows, states))
            except (ValueError, OverflowError) as error:
                self.fault("mdp.path", f"mdp.path: data, indices and indptr are no sparse matrix: {error}")
                return None
        for name, there in (("rewards", "rewards" in arrays), ("transitions", transitions is not None)):
            if not there:
                self.fault("mdp.path", f"mdp.path: the file has no {name}")
        options = self.options(document, average_reward if average else MDP.solve)
        if horizon is not None:
            self.only_tol(options)
        elif "terminal" in arrays:
            self.fault("mdp.path", "mdp.path: the file has terminal, which is for a horizon")
        if self.faults:
            return None
        given: dict[str, Any] = {
            "rewards": arrays["rewards"],
            "transitions": transitions,
            "discount": table.get("discount", 1.0),
            **{n: arrays[n] for n in ("s_indices", "a_indices") if n in arrays},
            **({"maximize": table["maximize"]} if "maximize" in table else {}),
        }
        model = self.made("mdp", MDP, given)
        if model is None:
            return None
        terminal = arrays.get("terminal")
        if terminal is not None:
            try:
                finite("terminal", terminal, (model.n_states,))
            except InvalidArgument as error:
                self.fault("mdp.path", f"mdp.path: {error}")
                return None
        return ProblemFile(self.path, model, options, horizon, bool(average), terminal, self.lines)


def save_solution(path: str | os.PathLike[str], found: Any) -> None:
    """Write a solution and its bounds as an ``.npz``, whole or not at all.

    Parameters
    ----------
    path : path-like
        Where.
    found : Solution, AverageSolution or MarketMakingSolution
        What was found; of the last values and bounds by time, state and inventory, and its
        :meth:`~mmcore.dp.MarketMakingSolution.arrays` in place of the policy.
    """
    solution = found.solution if isinstance(found, MarketMakingSolution) else found
    arrays = {
        name: np.asarray(getattr(solution, name)) for name in ("value", "policy", "lower", "upper", "gap")
    }
    if isinstance(found, MarketMakingSolution):
        del arrays["policy"]
        decided = found.arrays()
        for name in ("value", "lower", "upper"):
            if arrays[name].ndim:  # a gain has none
                arrays[name] = arrays[name].reshape(decided["take"].shape)
        arrays |= decided
    words = ("method", "why", "stop_reason", "elapsed", "iterations", "residual")
    arrays |= {name: np.asarray(getattr(solution, name)) for name in words if hasattr(solution, name)}
    with replacing(Path(path)) as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its flag has a name too
