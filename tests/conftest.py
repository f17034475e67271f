"""Shared fixtures: where the real data is, and hypothesis profiles."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mmcore import doctor

# A machine that gates a change draws the same examples each time; people's machines explore.
settings.register_profile(
    "default",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize="CI" in os.environ,
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=2000)
settings.register_profile("sanitized", parent=settings.get_profile("default"), max_examples=20)
settings.load_profile(os.environ.get("MMCORE_HYPOTHESIS", "default"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference numbers and real data, beside the checkout; skip without it."""
    place = Path(os.environ.get("MMCORE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"needs the shared reference data at {place} (set MMCORE_SHARED to point elsewhere)")
    return place


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Say of a failure whether the machine computes wrong while it happens."""
    report = yield
    if report.failed and not (found := doctor.examine(0.5)).right:
        report.sections.append(("this machine computes wrong", str(found.processors)))
    return report
