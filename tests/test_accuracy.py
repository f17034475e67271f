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


@pytest.mark.parametrize(("most", "models", "seed"), [(30, 60, 2), (400, 6, 3)])
def test_stationary_depths_are_within_the_bound_of_a_sum(most, models, seed):
    error, at = accuracy.stationary_depths(models, seed, most)
    assert error <= 4, at


def test_the_solution_that_depths_are_measured_by_is_that_of_an_eigenvalue():
    """With k equal on both sides the equation is linear in e^(k z): its largest eigenvalue, by mpmath."""
    with accuracy.mp.workdps(accuracy.DIGITS):
        mpf = accuracy.mpf
        k, up, down = mpf(2), mpf("0.5"), mpf("0.3")
        rate = [mpf(i) / 7 - mpf(i * i) / 5 for i in range(-3, 4)]
        matrix = accuracy.mp.matrix(7)
        for i in range(7):
            matrix[i, i] = rate[i]
            if i < 6:
                matrix[i, i + 1], matrix[i + 1, i] = up, down
        values, vectors = accuracy.mp.eig(matrix)
        top = max(range(7), key=lambda i: accuracy.mp.re(values[i]))
        level = [accuracy.mp.log(abs(vectors[i, top])) / k for i in range(7)]
        x = accuracy.differences(rate, up, down, k, k, values[top].real)
        for i in range(6):
            assert abs(x[i] - (level[i + 1] - level[i])) < mpf(10) ** -40


def test_the_measure_of_depths_sees_an_error_of_eight_units():
    model = accuracy.mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=5)
    policy = model.policy()
    bid, ask = policy.depths_batch(policy.inventories)
    assert accuracy.depth_errors(model, bid, ask)[0] < 4
    bid[3] += 8 * 2.0**-53 * (abs(bid[3]) + 3)
    assert accuracy.depth_errors(model, bid, ask)[0] > 4
