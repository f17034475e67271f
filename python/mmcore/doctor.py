"""What this installation is and can do, and whether its parts agree: ``mmcore doctor``.

>>> found = examine()
>>> found.sound
True
"""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from . import __version__, cpu, get_include
from .market_making import InventoryChain
from .quoting import Affine, Limits, Quoter

__all__ = ["Examination", "InstructionSet", "examine"]

DISTRIBUTION = "mmcore-quoting"
ROWS = 20_000


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
    """

    versions: dict[str, str]
    machine: str
    headers: str
    instruction_sets: tuple[InstructionSet, ...]
    extras: dict[str, dict[str, str | None]]

    @property
    def sound(self) -> bool:
        """Whether every instruction set that runs here gives the same bits."""
        return all(one.agrees is not False for one in self.instruction_sets)


def examine() -> Examination:
    """Examine this installation; takes some milliseconds.

    Returns
    -------
    Examination
        Versions, extras, and the instruction sets with what a comparison of their results gave.
    """
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
        versions, f"{platform.machine()}, {platform.platform(terse=True)}", get_include(), sets, _extras()
    )


def _agrees(name: str) -> bool:
    """Whether prices are those of quotes one at a time, and the values of a program those of the baseline."""
    rng = np.random.default_rng(0)
    reference, inventory = rng.normal(617_000.0, 50.0, ROWS), rng.integers(-60, 61, ROWS).astype(float)
    bid = np.floor(reference).astype(np.int64) - rng.integers(0, 5, ROWS)
    quoter = Quoter(Affine(1.5, 0.11, q_max=50), limits=Limits(max_position=40))
    rows = quoter.quote_batch(reference, inventory, bid, bid + 2)
    offers = np.linspace(0.5, 0.05, 20), np.arange(1.0, 21.0)
    chain = InventoryChain(-1e-3 * np.arange(-50.0, 51.0) ** 2, offers, offers)
    found = []
    for one in ("baseline", name):
        cpu.use(one)
        values = chain.backward(200)[0]
        found.append((quoter.price_batch(reference, inventory, bid, bid + 2).tobytes(), values.tobytes()))
    want = np.stack([rows["bid"], rows["ask"]]).tobytes(), found[0][1]
    return found[0] == found[1] == want


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
