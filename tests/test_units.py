"""Units are written in one way, wherever people meet them."""

import re
from pathlib import Path

import pytest

import mmcore
from mmcore import calibration, comparing, configuration, inventory, risk_appetite, simulation

ROOT = Path(__file__).resolve().parents[1]
UNITS = {
    "", "ticks", "lots", "s", "1/s", "1/tick", "ticks/√s", "ticks/s", "ticks/lot", "ticks per lot",
    "1/(tick·lot)", "ticks/(lot·s)", "tick·lots", "currency", "units", "of notional",
}  # fmt: skip
"""Every unit of a parameter: one spelling each."""

OTHERWISE = r"sqrt\(s\)|\btick lots\b|(?:\/\(|per |\d )tick lot\b|\(lot s\)|ticks·lots|\d%|:\.?\d?%}"
"""Spellings of those, and of a percentage, that are not used."""


def parameters():
    for model in configuration.MODELS:
        for section in configuration.sections(model):
            yield from section.parameters
        yield from configuration.model_class(model).PARAMETERS
    yield from comparing.COMPARE_PARAMETERS
    for module in (calibration, inventory, risk_appetite, simulation):
        for value in vars(module).values():
            if isinstance(value, tuple):
                yield from (p for p in value if isinstance(p, mmcore.parameters.Parameter))


def test_every_parameter_has_a_unit_of_the_list():
    found = {p.unit for p in parameters()}
    assert found <= UNITS
    assert {"ticks/√s", "1/(tick·lot)", "ticks/(lot·s)", "tick·lots"} <= found


@pytest.mark.parametrize("folder", ["python/mmcore", "src/mmcore", "docs", "README.md"])
def test_sources_and_documents_write_units_in_one_way(folder):
    place = ROOT / folder
    if not place.exists():
        pytest.skip(f"{folder} is not here: a wheel is tested without the source")
    files = (
        [place] if place.is_file() else [p for p in place.rglob("*") if p.suffix in (".py", ".pyx", ".md")]
    )
    assert files
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not re.search(OTHERWISE, line), f"{file.name}:{number}: {line.strip()}"
