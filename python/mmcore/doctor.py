"""What this installation is and can do, whether its parts agree, and whether the machine computes right.

``mmcore doctor`` on the command line.

>>> found = examine()
>>> found.instruction_sets[0].name, found.instruction_sets[0].agrees
('baseline', True)
"""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from importlib import metadata
from typing import Any

import numpy as np

from . import __version__, cpu, get_include
from .market_making import InventoryChain
from .parameters import Parameter
from .quoting import Affine, Limits, Quoter

__all__ = ["Examination", "InstructionSet", "Processor", "examine"]

DISTRIBUTION = "mmcore-quoting"
ROWS = 20_000

PARAMETERS = (
    Parameter(
        "seconds", float, 0.1, low=0.0, high=1e6, unit="s", doc="how long to look for a processor that fails"
    ),
)


@dataclass(frozen=True)
class InstructionSet:
    """One set that wide loops are compiled for.

    Attributes
    ----------
    name : str
        ``"baseline"``, ``"avx2"`` or ``"avx512"``.
    runs : bool
        Whether this machine and this build run it.
    in_use : bool
        Whether it is the one that loops use now.
    agrees : bool or None
        Whether prices and values computed with it are those of the plain kernels, to the bit; None: it does
        not run here, and is untested.
    """

    name: str
    runs: bool
    in_use: bool
    agrees: bool | None


@dataclass(frozen=True)
class Processor:
    """How one processor computed products, quotients and roots of doubles that are known to the bit.

    Attributes
    ----------
    number : int or None
        As the system counts processors; None: any, where the system does not let one be chosen.
    results : int
        Results that were compared.
    wrong : int
        How many of them were not the double nearest to the exact result.
    example : str or None
        The first of these.
    """

    number: int | None
    results: int
    wrong: int
    example: str | None


@dataclass(frozen=True)
class Examination:
    """What :func:`examine` found.

    Attributes
    ----------
    versions : dict of str to str
        Of mmcore, Python and the libraries that mmcore needs.
    machine : str
        Architecture and system.
    headers : str
        Directory for a C compiler, :func:`mmcore.get_include`.
    instruction_sets : tuple of InstructionSet
        From the baseline up.
    extras : dict of str to dict of str to (str or None)
        Optional dependencies by extra: the version installed, None where it is missing.
    processors : tuple of Processor
        Those that this process may run on.
    """

    versions: dict[str, str]
    machine: str
    headers: str
    instruction_sets: tuple[InstructionSet, ...]
    extras: dict[str, dict[str, str | None]]
    processors: tuple[Processor, ...]

    @property
    def right(self) -> bool:
        """Whether every processor computed right."""
        return not any(one.wrong for one in self.processors)

    @property
    def sound(self) -> bool:
        """Whether all instruction sets that run here give the same bits, and all processors were right."""
        return self.right and all(one.agrees is not False for one in self.instruction_sets)


def examine(seconds: float = 0.1, *, progress: Callable[[int, int], None] | None = None) -> Examination:
    """Examine this installation, and the machine that it runs on.

    A processor that is failing returns wrong results without a word, and often only at times: the longer the
    examination, the more likely it is seen.

    Parameters
    ----------
    seconds : float, optional
        How long every processor computes. They do so beside each other.
    progress : callable, optional
        Called with (milliseconds passed, milliseconds in all).

    Returns
    -------
    Examination
        Versions, extras, the instruction sets with what a comparison of their results gave, processors.
    """
    seconds = PARAMETERS[0].check(seconds)
    in_use = cpu.level()
    try:
        sets = tuple(
            InstructionSet(name, runs, name == in_use, _agrees(name) if runs else None)
            for name, runs in cpu.levels().items()
        )
    finally:
        cpu.use(in_use)
    locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    versions = {
        "mmcore": __version__,
        "Python": platform.python_version() + ("" if locked else ", without the GIL"),
        **{name: _version(name.lower()) or "missing" for name in ("NumPy", "SciPy")},
    }
    return Examination(
        versions,
        f"{platform.machine()}, {platform.platform(terse=True)}",
        get_include(),
        sets,
        _extras(),
        _processors(seconds, progress),
    )


def _agrees(name: str) -> bool:
    """Whether quotes and prices are those made one at a time, and a program's values the baseline's."""
    rng = np.random.default_rng(0)
    reference, inventory = rng.normal(617_000.0, 50.0, ROWS), rng.integers(-60, 61, ROWS).astype(float)
    bid = np.floor(reference).astype(np.int64) - rng.integers(0, 5, ROWS)
    quoter = Quoter(Affine(1.5, 0.11, q_max=50), limits=Limits(max_position=40))
    each = np.zeros(ROWS, np.int64)  # with states in a column quotes are made one at a time
    rows = quoter.quote_batch(reference, inventory, bid, bid + 2, state=each)
    offers = np.linspace(0.5, 0.05, 20), np.arange(1.0, 21.0)
    chain = InventoryChain(-1e-3 * np.arange(-50.0, 51.0) ** 2, offers, offers)
    found = []
    for one in ("baseline", name):
        cpu.use(one)
        values = chain.backward(200)[0]
        prices = quoter.price_batch(reference, inventory, bid, bid + 2)
        quotes = quoter.quote_batch(reference, inventory, bid, bid + 2)
        found.append((prices.tobytes(), quotes.tobytes(), values.tobytes()))
    want = np.stack([rows["bid"], rows["ask"]]).tobytes(), rows.tobytes(), found[0][2]
    return found[0] == found[1] == want


def _processors(seconds: float, progress: Callable[[int, int], None] | None) -> tuple[Processor, ...]:
    """Let each processor compute the same for some seconds, in a thread that stays on it."""
    pinned = hasattr(os, "sched_setaffinity")
    numbers = sorted(os.sched_getaffinity(0)) if pinned else [None] * (os.cpu_count() or 1)
    tasks = _tasks()
    end = time.monotonic() + seconds

    def compute(number: int | None) -> Processor:
        if number is not None:
            os.sched_setaffinity(0, {number})  # of this thread
        results, wrong, example = 0, 0, None
        while not results or time.monotonic() < end:
            for text, operation, operands, exact in tasks:
                found = operation(*operands)
                results += ROWS
                for at in np.flatnonzero(found != exact).tolist():
                    wrong += 1
                    asked = text.format(*(int(one[at]) for one in operands))
                    example = example or f"{asked} gave {found[at]:.17g}, not {exact[at]:.17g}"
        return Processor(number, results, wrong, example)

    with ThreadPoolExecutor(len(numbers)) as pool:
        computing = [pool.submit(compute, number) for number in numbers]
        while progress and (left := end - time.monotonic()) > 0:
            progress(round(1000 * (seconds - left)), round(1000 * seconds))
            time.sleep(min(left, 0.1))
        return tuple(one.result() for one in computing)


def _tasks() -> list[tuple[str, Any, tuple[Any, ...], Any]]:
    """Operations on whole numbers, and the doubles nearest to their results, by decimal arithmetic."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(1, 1 << 26, (2, ROWS))
    with localcontext(Context(prec=40)):
        whole = [(Decimal(x), Decimal(y)) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
        quotients, roots = zip(*((float(x / y), float(x.sqrt())) for x, y in whole), strict=True)
    products = (a * b).astype(np.float64)
    a, b = a.astype(np.float64), b.astype(np.float64)
    return [
        ("{} * {}", np.multiply, (a, b), products),
        ("{} / {}", np.divide, (a, b), np.array(quotients)),
        ("sqrt({})", np.sqrt, (a,), np.array(roots)),
    ]


def _extras() -> dict[str, dict[str, str | None]]:
    """Optional dependencies by extra; those of development are left out."""
    extras: dict[str, dict[str, str | None]] = {}
    try:
        required = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a source tree that was not installed
        return extras
    for line in required:
        match = re.fullmatch(r"([\w.-]+)[^;]*; .*extra == ['\"](\w+)['\"].*", line)
        if match and match[2] not in ("all", "test", "lint") and match[1] != DISTRIBUTION:
            extras.setdefault(match[2], {})[match[1]] = _version(match[1])
    return extras


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
