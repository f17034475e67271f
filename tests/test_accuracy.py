"""The stated accuracy of the formulas, on fewer points than the table of docs/accuracy.md."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
accuracy = pytest.importorskip("bench.accuracy")


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("quantity", accuracy.QUANTITIES, ids=lambda q: q.label)
def test_the_largest_error_found_is_within_the_bound(quantity):
    error, at = quantity.worst(points=300, climbs=6, seed=99)
    assert error <= quantity.bound, at


def test_the_measure_sees_errors():
    """The same quantity, taken as if the formula were another in the sixteenth digit."""
    quantity = next(q for q in accuracy.QUANTITIES if q.kernel == "half_spread")
    off = accuracy.Quantity(
        quantity.kernel,
        "off",
        quantity.domain,
        lambda c, k: (quantity.terms(c, k)[0] * (1 + accuracy.mpf(2) ** -49),),
        4,
    )
    assert off.worst(points=50, climbs=0, seed=1)[0] > 7


def test_exact_depths_keep_fourteen_digits():
    error, at = accuracy.stationary_depths(20, seed=2)
    assert error * 2.0**-53 < 2e-14, at
