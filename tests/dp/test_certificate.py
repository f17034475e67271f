"""The bounds' ingredients, one by one, in exact arithmetic."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import mmcore as mm

pytestmark = pytest.mark.compiled


def one_row(rng, m, n):
    """Return a model of n states, each with one row of m successors that sums to one nearly."""
    p = rng.random((n, m)) ** 4
    p /= p.sum(axis=1, keepdims=True)
    column = np.array([np.sort(rng.choice(n, m, replace=False)) for _ in range(n)])
    rows = sparse.csr_array((p.ravel(), column.ravel(), np.arange(0, n * m + 1, m)), shape=(n, n))
    return mm.dp.MDP(rng.standard_normal((n, 1)), rows, 0.97), p, column


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.sampled_from([1, 2, 3, 7, 40]),
    scale=st.sampled_from([0.0, 1.0, 1e9]),
)
def test_a_computed_sweep_errs_by_no_more_than_the_bound_and_the_bound_is_no_fable(seed, m, scale):
    rng = np.random.default_rng(seed)
    n = 40
    model, p, column = one_row(rng, m, n)
    v = scale * (1 + 1e-3 * rng.standard_normal(n))
    out, policy = np.empty(n), np.full(n, -1)
    model.pairs.improve(v, out, policy)
    errors = []
    for s in range(n):
        mean = sum(Fraction(float(w)) * Fraction(float(v[k])) for w, k in zip(p[s], column[s], strict=True))
        exact = Fraction(float(model.pairs.arrays[4][s])) + Fraction(0.97) * mean
        errors.append(abs(Fraction(float(out[s])) - exact))
    bound = Fraction(model.contraction.rounding(float(np.abs(v).max())))
    assert max(errors) <= bound
    if scale:
        assert bound <= 30 * m * max(max(errors), Fraction(scale * 2.0**-53))


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), m=st.sampled_from([1, 2, 10, 40]))
def test_exact_row_sums_lie_within_theirs(seed, m):
    model, p, _ = one_row(np.random.default_rng(seed), m, 40)
    for row in p:
        total = sum(Fraction(float(w)) for w in row)
        assert Fraction(model.contraction.sum_low) <= total <= Fraction(model.contraction.sum_high)
        assert Fraction(model.contraction.low) <= Fraction(0.97) * total <= Fraction(model.contraction.high)


@given(
    low=st.floats(-1e6, 1e6),
    width=st.floats(0, 1e6),
    high_sum=st.floats(1, 1 + 1e-9),
    low_sum=st.floats(1 - 1e-9, 1),
    discount=st.floats(0.0, 0.999),
)
def test_bounds_are_those_of_the_proof_or_wider(low, width, low_sum, high_sum, discount):
    """B / (1 - B) times the range, B as the sign says, in fractions."""
    contraction = mm.dp.certificate.Contraction(low_sum, high_sum, discount, discount, 1.0, 5)
    high = low + width
    below, above, _ = contraction.bounds(low, high, 1e7)
    b_low, b_high = Fraction(discount) * Fraction(low_sum), Fraction(discount) * Fraction(high_sum)

    def scaled(change, b):
        return b / (1 - b) * Fraction(change)

    assert Fraction(above) >= scaled(high, b_high if high >= 0 else b_low)
    assert Fraction(below) <= scaled(low, b_low if low >= 0 else b_high)


@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(0, 1e3),
    sums=st.tuples(st.floats(1 - 1e-9, 1), st.floats(1, 1 + 1e-9)),
    discount=st.floats(0, 1.5),
    own=st.floats(0, 1),
)
def test_no_pair_closes_in_by_more_than_that(low, width, sums, discount, own):
    contraction = mm.dp.certificate.Contraction(*sums, 0.0, discount, 1.0, 5)
    high = low + width
    most = max(
        Fraction(own) * Fraction(discount) * (Fraction(a) * Fraction(high) - Fraction(b) * Fraction(low))
        for a in sums
        for b in sums
    )
    assert Fraction(contraction.closing(low, high)) >= most
