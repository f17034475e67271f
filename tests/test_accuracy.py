"""The stated accuracy of the formulas, on fewer points than the table of docs/accuracy.md."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
accuracy = pytest.importorskip("bench.accuracy")
compiles = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@compiles
@pytest.mark.parametrize("quantity", accuracy.QUANTITIES, ids=lambda q: q.label)
def test_the_largest_error_found_is_within_the_bound(quantity):
    error, at = quantity.worst(points=300, climbs=6, seed=99)
    assert error <= quantity.bound, at


@compiles
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


@pytest.mark.parametrize("draw", [accuracy.draw, accuracy.draw_alike], ids=["anywhere", "sides alike"])
@pytest.mark.parametrize(("most", "models", "seed"), [(30, 60, 2), (400, 6, 3)])
def test_stationary_depths_are_within_the_bound_of_a_sum(most, models, seed, draw):
    error, at = accuracy.stationary_depths(models, seed, most, draw)
    assert error <= 4, at


FAINT = {"sigma": 4.720783151636075e-07, "A": 3.7389818907571673e-06, "gamma": 0.002209735102741798}
ALIKE = [  # logarithms of the sides, each rounded, left 10 to 2,599 units of the first four
    {**FAINT, "k": (4.016448053361397e-10, 4.0164480533851376e-10), "q_max": 20},
    {**FAINT, "k": (4.016448053361397e-10, 4.0164480533851376e-10), "q_max": 100},
    {**FAINT, "k": (4.016448053361397e-10, 4.0164480533851376e-10), "q_max": 400},
    {"sigma": 1.163e-10, "A": 3.546e-4, "gamma": 3e4, "k": (0.3, 0.3000000001653427), "q_max": 200},
    {
        "sigma": 1.498218920366884e-07,
        "A": 4.6721494119581137e-4,
        "k": (2.823651540889426e-09, 2.7843045421711067e-09),
        "gamma": 4.242233749991288,
        "q_max": 24,
        "order_size": 2,
    },
]


@pytest.mark.parametrize("given", ALIKE, ids=lambda given: f"Q = {given['q_max']}")
def test_depths_between_sides_that_are_nearly_alike(given):
    model = accuracy.mm.GueantLehalleFernandezTapia(**given)
    policy = model.policy()
    assert accuracy.depth_errors(model, *policy.depths_batch(policy.inventories))[0] <= 4


@pytest.mark.parametrize("seed", range(3))
def test_a_policy_that_was_set_has_the_bits_of_a_new_one(seed):
    """Whatever was in force before."""
    rng = accuracy.np.random.default_rng(seed)
    models = [accuracy.mm.GueantLehalleFernandezTapia(**given) for given in ALIKE]
    while len(models) < 60:
        try:
            model = rng.choice([accuracy.draw, accuracy.draw_alike])(rng, 100)
            model.policy()
        except ValueError:
            continue
        models.append(model)
    for model in models:
        quoter = accuracy.mm.Quoter(model)
        for factor in (*accuracy.np.exp(rng.normal(size=2) * rng.choice([1e-6, 1e-2, 1])), 1.0):
            quoter.set(A=tuple(factor * a for a in model.A))
        assert quoter.policy.cells.tobytes() == model.policy().cells.tobytes(), model


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
