"""Markov decision processes: conventions, refusals, and every method against exact arithmetic."""

import re
import sys
import tracemalloc
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import mmcore as mm
from mmcore.bellman import Keys, Rows
from mmcore.dp import discounted
from mmcore.errors import InvalidArgument, ModelWarning

sys.path.insert(0, str(Path(__file__).parent))
from exact import garnet, optimal, rational, value_of

pytestmark = pytest.mark.compiled

METHODS = [
    ("value_iteration", "auto"),
    ("gauss_seidel", "auto"),
    ("modified_policy_iteration", "auto"),
    ("policy_iteration", "auto"),
    ("policy_iteration", "band"),
    ("policy_iteration", "sparse"),
    ("policy_iteration", "bicgstab"),
    ("policy_iteration", "gmres"),
    ("anderson", "auto"),
    ("auto", "auto"),
]


def certify(solution, true):
    """Check lower <= true <= upper, exactly."""
    for s, v in enumerate(true):
        assert Fraction(float(solution.lower[s])) <= v <= Fraction(float(solution.upper[s])), (s, solution)


@pytest.mark.parametrize(("method", "evaluator"), METHODS)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_states=st.integers(1, 3),
    n_actions=st.integers(1, 3),
    discount=st.sampled_from([0.0, 0.3, 0.9, 0.99]),
    tol=st.sampled_from([1e-2, 1e-6, 1e-9, 1e-14]),
    maximize=st.booleans(),
    scale=st.sampled_from([1.0, 1e-6, 1e8]),
)
def test_the_exact_value_lies_within_the_bounds_and_the_policy_is_as_good(
    method, evaluator, seed, n_states, n_actions, discount, tol, maximize, scale
):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, n_states, n_actions, 3)
    r = scale * (r - 0.5)
    r[rng.random(r.shape) < 0.2] = -np.inf if maximize else np.inf
    r[np.arange(n_states), rng.integers(0, n_actions, n_states)] = 0.25 * scale
    solution = mm.dp.MDP(r, p, discount, maximize=maximize).solve(
        method, tol * scale, evaluator=evaluator, max_iterations=20_000
    )
    true, policies = optimal(r, p, [discount], maximize)
    certify(solution, true)
    assert solution.stop_reason in ("tolerance", "rounding")
    if solution.stop_reason == "tolerance":
        assert max(solution.upper - solution.value) <= tol * scale
        assert max(solution.value - solution.lower) <= tol * scale
    else:
        assert solution.gap / 2 <= 1e-11 * scale / (1 - discount) ** 2
    value = value_of(solution.policy, rational(r), rational(p), [Fraction(discount)] * n_states)
    for s in range(n_states):  # the policy returned is worth what its bound says
        if maximize:
            assert value[s] >= Fraction(float(solution.lower[s]))
        else:
            assert value[s] <= Fraction(float(solution.upper[s]))
    alive = sum(len({policy[s] for policy in policies}) for s in range(n_states))
    assert solution.alive_actions >= alive  # no optimal action is ever eliminated
    if solution.policy_unique:
        assert [tuple(solution.policy)] == policies


@pytest.mark.parametrize(("method", "evaluator"), METHODS)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_discounts_may_differ_between_states(method, evaluator, seed):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, 4, 2, 3)
    discount = rng.choice([0.0, 0.5, 0.9, 0.95], 4)
    solution = mm.dp.MDP(r, p, discount).solve(method, 1e-7, evaluator=evaluator)
    certify(solution, optimal(r, p, discount)[0])
    assert solution.stop_reason == "tolerance"


@pytest.mark.filterwarnings("ignore::mmcore.errors.ModelWarning")
@given(seed=st.integers(0, 2**32 - 1), off=st.floats(-9e-10, 9e-10))
def test_the_bounds_hold_for_rows_as_stored_not_as_meant(seed, off):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, 3, 2, 3)
    p *= 1 + off
    solution = mm.dp.MDP(r, p, 0.99).solve("value_iteration", 1e-9)
    certify(solution, optimal(r, p, [0.99])[0])


def test_sums_that_are_one_within_tolerance_only_are_told():
    p = changed((1, 0), [0.0, 1 + 5e-10])
    with pytest.warns(ModelWarning, match=re.escape("within 5e-10 (in state 1, action 0: 1.0000000005)")):
        mm.dp.MDP(GOOD[0], p, 0.9)
    mm.dp.MDP([[1.0, -np.inf], [0.0, 2.0]], changed((0, 1), [9.0, 9.0]), 0.9)  # not read, so not told
    rng = np.random.default_rng(13)
    wide = rng.random((3, 100_000))  # what rounding alone does to long rows is nobody's fault
    wide /= wide.sum(axis=1)[:, None]
    rows = np.zeros((100_000, 1))
    mm.dp.MDP(rows, sparse.vstack([wide, sparse.eye_array(99_997, 100_000)], format="csr"), 0.5)


def test_bounds_hold_at_every_stage_of_the_iteration():
    rng = np.random.default_rng(3)
    r, p = garnet(rng, 4, 3, 2)
    model, true = mm.dp.MDP(r, p, 0.95), optimal(r, p, [0.95])[0]
    for method, evaluator in METHODS:
        for passes in range(1, 12):
            solution = model.solve(method, 1e-12, max_iterations=passes, evaluator=evaluator)
            certify(solution, true)


def test_a_start_far_from_the_solution_leads_there_too():
    rng = np.random.default_rng(4)
    r, p = garnet(rng, 4, 3, 2)
    model, true = mm.dp.MDP(r, p, 0.9), optimal(r, p, [0.9])[0]
    for method, evaluator in METHODS:
        for start in (1e6 * rng.standard_normal(4), [float(v) for v in true]):
            solution = model.solve(method, 1e-8, start=start, evaluator=evaluator, max_iterations=10_000)
            certify(solution, true)
            assert solution.stop_reason == "tolerance"


@pytest.mark.parametrize("local", [None, 1, 3, 30])
def test_methods_agree_within_their_bounds_on_larger_models(local):
    rng = np.random.default_rng(5)
    r, p = garnet(rng, 300, 5, 4, local=local)
    model = mm.dp.MDP(r, p, 0.99)
    solutions = [model.solve(method, 1e-9, evaluator=evaluator) for method, evaluator in METHODS]
    for solution in solutions:
        assert solution.stop_reason == "tolerance"
        assert solution.policy_unique
        assert solution.alive_actions == 300
        assert (solution.policy == solutions[0].policy).all()
        assert (solution.lower <= solutions[0].upper).all()
        assert (solution.upper >= solutions[0].lower).all()


@given(seed=st.integers(0, 2**32 - 1))
def test_the_operator_contracts_is_monotone_and_shifts(seed):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, 12, 3, 4)
    pairs = mm.dp.MDP(r, p, 0.9).pairs
    v, w = 10 * rng.standard_normal((2, 12))

    def image(x):
        out, policy = np.empty(12), np.full(12, -1)
        pairs.improve(np.ascontiguousarray(x), out, policy)
        return out

    assert abs(image(v) - image(w)).max() <= 0.9 * abs(v - w).max() + 1e-12
    assert (image(np.maximum(v, w)) >= np.maximum(image(v), image(w)) - 1e-12).all()
    np.testing.assert_allclose(image(v + 7), image(v) + 0.9 * 7, rtol=0, atol=1e-12)
    np.testing.assert_allclose(image(v), (r + 0.9 * p @ v).max(axis=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("evaluator", ["bicgstab", "gmres"])
def test_policies_valued_roughly_do_not_follow_each_other_in_a_circle(evaluator):
    for seed in range(300):  # to a tenth of the residual, and no less, some of these never ended
        rng = np.random.default_rng(seed)
        p = np.zeros((12, 3, 12))
        for s, a in np.ndindex(12, 3):
            near = np.arange(max(0, s - 2), min(12, s + 3))
            p[s, a, rng.choice(near, 3, replace=False)] = rng.dirichlet(np.ones(3))
        model = mm.dp.MDP(rng.uniform(-1, 1, (12, 3)), p, 0.999)
        solution = model.solve("policy_iteration", 1e-6, evaluator=evaluator, max_iterations=300)
        assert solution.stop_reason == "tolerance", seed


def test_all_conventions_give_one_model():
    rng = np.random.default_rng(6)
    r, p = garnet(rng, 6, 3, 3)
    r[2, 1] = -np.inf
    rows = sparse.csr_matrix(p.reshape(18, 6))
    s, a = np.repeat(np.arange(6), 3), np.tile(np.arange(3), 6)
    mixed, keep = rng.permutation(18), np.isfinite(r.ravel())
    wide = rows.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    models = [
        mm.dp.MDP(r, p, 0.9),
        mm.dp.MDP(r, rows, 0.9),
        mm.dp.MDP(r, wide, 0.9),
        mm.dp.MDP(r, sparse.csr_array(rows), 0.9),
        mm.dp.MDP(r.ravel()[mixed], rows[mixed], 0.9, s[mixed], a[mixed]),
        mm.dp.MDP(r.ravel()[keep], rows[keep], 0.9, s[keep], a[keep]),
        mm.dp.MDP(r.ravel()[keep], p.reshape(18, 6)[keep], 0.9, s[keep], a[keep]),
        mm.dp.MDP.from_mdptoolbox(p.transpose(1, 0, 2), r, 0.9),
        mm.dp.MDP.from_mdptoolbox([sparse.csr_matrix(p[:, i]) for i in range(3)], r, 0.9),
        mm.dp.MDP(-r, p, 0.9, maximize=False),
    ]
    solutions = [model.solve() for model in models]
    for solution in solutions[:-1]:
        assert (solution.policy == solutions[0].policy).all()
        np.testing.assert_array_equal(solution.value, solutions[0].value)
    np.testing.assert_array_equal(solutions[-1].value, -solutions[0].value)
    np.testing.assert_array_equal(solutions[-1].lower, -solutions[0].upper)


def test_rewards_of_transitions_are_averaged():
    rng = np.random.default_rng(7)
    _, p = garnet(rng, 4, 2, 3)
    r = rng.random((2, 4, 4))
    model = mm.dp.MDP.from_mdptoolbox(p.transpose(1, 0, 2), r, 0.5)
    expected = (p.transpose(1, 0, 2) * r).sum(axis=2).T
    np.testing.assert_allclose(model.pairs.arrays[4].reshape(4, 2), expected, rtol=1e-14)


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_rows_are_used_without_a_copy(index):
    r, p = garnet(np.random.default_rng(8), 5, 2, 3)
    rows = sparse.csr_matrix(p.reshape(10, 5))
    rows.indices, rows.indptr = rows.indices.astype(index), rows.indptr.astype(index)
    model = mm.dp.MDP(r, rows, 0.9)
    _, row, column, probability, reward, _ = model.pairs.arrays
    for ours, theirs in ((row, rows.indptr), (column, rows.indices), (probability, rows.data), (reward, r)):
        assert np.shares_memory(ours, theirs)


GOOD = ([[1.0, 0.0], [0.0, 2.0]], np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.25, 0.75]]]))


def changed(where, value):
    p = GOOD[1].copy()
    p[where] = value
    return p


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((GOOD[0], changed((1, 0, 1), 0.9), 0.9), "state 1, action 0 sum to 0.9; allowed is 1 within 1e-09"),
        ((GOOD[0], changed((0, 1), [1.5, -0.5]), 0.9), "state 0, action 1 hold the probability -0.5"),
        ((GOOD[0], changed((0, 1, 0), np.nan), 0.9), "state 0, action 1 hold the probability nan"),
        (([[1.0, np.nan], [0.0, 2.0]], GOOD[1], 0.9), "rewards of state 0, action 1 must be finite"),
        (([[1.0, np.inf], [0.0, 2.0]], GOOD[1], 0.9), "rewards of state 0, action 1 .*best of all"),
        (([[1.0, 0.0], [-np.inf, -np.inf]], GOOD[1], 0.9), "state 1 without a feasible action"),
        ((GOOD[0], GOOD[1][:, :, :1], 0.9), "transitions must be of shape"),
        ((GOOD[0], GOOD[1], -0.1), "discount must be finite and >= 0, got -0.1"),
        ((GOOD[0], GOOD[1], [0.5, np.nan]), re.escape("discount[1] must be finite and >= 0, got nan")),
        ((GOOD[0], GOOD[1], [0.5, 0.5, 0.5]), "discount must be a number, or of shape"),
        (([1.0, 2.0], GOOD[1], 0.9), "rewards must be of shape"),
        (
            (np.ones(2), np.eye(2), 0.9, [0, 2], [0, 0]),
            re.escape("s_indices[1] must be below the number of states"),
        ),
        ((np.ones(2), np.eye(2), 0.9, [0, 0], [1, 1]), "name state 0, action 1 twice"),
        ((np.ones(2), np.eye(2), 0.9, [0, 0], [0, 1]), "state 1 without a feasible action"),
        ((np.ones(2), np.eye(2), 0.9, [0, 1], None), "go together"),
        ((np.ones(2), np.eye(2), 0.9, [0, 1], [0, -1]), re.escape("a_indices[1] must be >= 0, got -1")),
        (
            (np.ones(2), np.eye(2), 0.9, [0, 1], [0, 2**62]),
            re.escape(f"a_indices[1] must be at most {2**62 - 2}, for 2 states, got {2**62}"),
        ),
        (
            (np.ones(2), np.eye(2), 0.9, [0, 1], np.array([2**64 - 1, 0], dtype=np.uint64)),
            re.escape(f"a_indices[0] must be at most {2**62 - 2}, for 2 states, got {2**64 - 1}"),
        ),
    ],
)
def test_wrong_models_are_refused_by_state_and_action(arguments, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.dp.MDP(*arguments)


def test_successors_that_are_no_state_are_refused():
    rows = sparse.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]]))
    rows.indices[1] = 7
    with pytest.raises(InvalidArgument, match="state 1, action 0 lead to state 7; there are 0 to 1"):
        mm.dp.MDP([[0.0], [0.0]], rows, 0.9)


def test_row_pointers_that_do_not_ascend_are_refused():
    rows = sparse.csr_matrix(np.array([[0.0, 1.0], [1.0, 0.0]]))
    rows.indptr[1] = 5
    with pytest.raises(InvalidArgument, match="no compressed sparse rows"):
        mm.dp.MDP([[0.0], [0.0]], rows, 0.9)


def test_labels_are_in_the_message():
    with pytest.raises(InvalidArgument, match=re.escape("state 1 ('worn'), action 0 ('run') sum to 0.9")):
        mm.dp.MDP(GOOD[0], changed((1, 0, 1), 0.9), 0.9, states=["new", "worn"], actions=["run", "renew"])


@pytest.mark.parametrize("discount", [1.0, [0.5, 1.0], 1 - 1e-18, 1.5])
def test_without_a_contraction_nothing_can_be_certified(discount):
    with pytest.raises(InvalidArgument, match="discount must be below 1"):
        mm.dp.MDP(*GOOD, discount).solve()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "magic"}, "method must be auto or one of"),
        ({"tol": 0.0}, "tol must be a finite number > 0"),
        ({"tol": float("nan")}, "tol must be a finite number > 0"),
        ({"max_iterations": 0}, "max_iterations must be an integer >= 1"),
        ({"layout": "magic"}, 'layout must be "given" or "packed"'),
        ({"evaluator": "magic"}, "evaluator must be auto or one of"),
        ({"method": "anderson", "evaluator": "band"}, "evaluator is for"),
        ({"threads": 0}, "threads must be an integer >= 1"),
        ({"start": [0.0]}, "start must be of shape"),
        ({"start": [0.0, np.nan]}, re.escape("start[1] must be finite")),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InvalidArgument, match=words):
        mm.dp.MDP(*GOOD, 0.9).solve(**options)


def rows_of(model):
    """The pairs of a model of one action, and the rows of its policy."""
    n = model.n_states
    kept = Rows(n)
    model.pairs.improve(None, np.empty(n), np.full(n, -1), rows=kept)
    return model.pairs, kept


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 30),
    restart=st.integers(1, 12),
    discount=st.sampled_from([0.0, 0.5, 0.99]),
    wide=st.booleans(),
)
def test_gmres_tells_its_residual_which_never_rises(seed, n, restart, discount, wide):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, n, 2, 4)
    rows = sparse.csr_matrix(p.reshape(2 * n, n))
    if wide:
        rows.indices, rows.indptr = rows.indices.astype(np.int64), rows.indptr.astype(np.int64)
    policy = 2 * np.arange(n) + rng.integers(0, 2, n)
    matrix, right = np.eye(n) - discount * p.reshape(2 * n, n)[policy], r.ravel()[policy]
    pairs, kept = rows_of(mm.dp.MDP(right[:, None], rows[policy], discount))
    start = 10 * rng.standard_normal(n)
    lengths = []
    for limit in (1, 5, 20, 2000):
        x, work = start.copy(), np.empty((restart + 1) * (n + restart + 3))
        status, products, residual = pairs.gmres(kept, 1e-11, limit, x, work, restart)
        true = right - matrix @ x
        assert residual == pytest.approx(abs(true).max(), rel=1e-6, abs=1e-12)
        assert products <= limit + 1
        assert (status == 0) == (residual <= 1e-11)
        lengths.append(np.linalg.norm(true))
    assert (np.diff(lengths) <= 1e-12 * lengths[0]).all()
    if restart >= n:  # a cycle is then a direct method: but for rounding, one or two end it
        assert lengths[-1] <= 1e-9


def test_gmres_by_its_definition():
    """The least residual of the Krylov space, found by a dense least-squares solver."""
    rng = np.random.default_rng(12)
    r, p = garnet(rng, 25, 1, 5)
    (pairs, kept), matrix = rows_of(mm.dp.MDP(r, p, 0.95)), np.eye(25) - 0.95 * p[:, 0]
    for restart in (1, 3, 7):
        x = np.zeros(25)
        work = np.empty((restart + 1) * (28 + restart))
        pairs.gmres(kept, 1e-300, restart + 1, x, work, restart)
        space = np.stack([np.linalg.matrix_power(matrix, k) @ r[:, 0] for k in range(restart)], axis=1)
        best = np.linalg.lstsq(matrix @ space, r[:, 0], rcond=None)[0]
        np.testing.assert_allclose(x, space @ best, rtol=1e-8)


def test_infeasible_rows_are_not_read():
    p = GOOD[1].copy()
    p[0, 1] = [np.nan, -3.0]
    model = mm.dp.MDP([[1.0, -np.inf], [0.0, 2.0]], p, 0.5)
    certify(model.solve(), optimal([[1.0], [2.0]], GOOD[1][[0, 1], [0, 1]][:, None], [0.5])[0])


def test_iterations_run_out_honestly():
    r, p = garnet(np.random.default_rng(9), 50, 3, 3, local=1)
    solution = mm.dp.MDP(r, p, 0.99).solve("value_iteration", 1e-9, max_iterations=3)
    assert (solution.stop_reason, solution.iterations) == ("iterations", 3)
    assert solution.gap > 1e-9


def test_ties_are_alive_and_the_policy_is_not_called_unique():
    solution = mm.dp.MDP([[1.0, 1.0]], [[[1.0], [1.0]]], 0.9).solve()
    assert solution.alive_actions == 2
    assert not solution.policy_unique


@pytest.mark.parametrize("method", ["value_iteration", "policy_iteration", "modified_policy_iteration"])
def test_threads_change_no_bit(method):
    r, p = garnet(np.random.default_rng(10), 101, 4, 5)
    model = mm.dp.MDP(r, p, 0.97)
    alone = model.solve(method)
    for threads in (2, 3, 200):
        shared = model.solve(method, threads=threads)
        assert shared.value.tobytes() == alone.value.tobytes()
        assert (shared.policy == alone.policy).all()
        assert (shared.iterations, shared.alive_actions) == (alone.iterations, alone.alive_actions)


@pytest.mark.parametrize("method", ["policy_iteration", "modified_policy_iteration"])
@given(seed=st.integers(0, 2**32 - 1))
def test_packed_rows_are_the_rows(method, seed):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, 20, 4, 6)
    p[::3, :, :] = np.roll(np.eye(20)[::3, None, :], 1, axis=2)  # rows of different lengths
    model = mm.dp.MDP(r, p, 0.95)
    given, packed = (model.solve(method, layout=layout, evaluator="auto") for layout in ("given", "packed"))
    assert (given.policy == packed.policy).all()
    np.testing.assert_allclose(given.value, packed.value, rtol=0, atol=1e-8)
    assert packed.stop_reason == "tolerance"


def ragged(rng, n, wide=False):
    """Return a model of ragged pairs, infeasible ones among them, that minimises or not, and its arrays."""
    count = rng.integers(1, 7, n)
    state = np.repeat(np.arange(n), count)
    rows = [rng.choice(n, rng.integers(1, min(n, 7) + 1), replace=False) for _ in state]
    row = np.concatenate([[0], np.cumsum([len(each) for each in rows])])
    sign = rng.choice([-1.0, 1.0])
    reward = rng.choice([1.0, 30.0]) * rng.random(state.size)
    if rng.random() < 0.5:
        reward = np.round(reward, 1)  # ties
    lost = (rng.random(state.size) < 0.2) & (np.arange(state.size) > np.searchsorted(state, state))
    reward[lost] = -sign * np.inf
    weight = np.concatenate([rng.dirichlet(np.ones(len(each))) for each in rows])
    kind = np.int64 if wide else np.int32
    table = sparse.csr_matrix((weight, np.concatenate(rows), row), shape=(state.size, n))
    table.indices, table.indptr = table.indices.astype(kind), table.indptr.astype(kind)
    action = np.arange(state.size) - np.searchsorted(state, state)
    discount = rng.uniform(0.2, 0.97, n) if rng.random() < 0.5 else 0.95
    return mm.dp.MDP(reward, table, discount, state, action, maximize=sign > 0)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), wide=st.booleans(), packed=st.booleans())
def test_pairs_that_keys_say_lose_do_lose(seed, n, wide, packed):
    rng = np.random.default_rng(seed)
    model = ragged(rng, n, wide)
    pairs, contraction = model.pairs, model.contraction
    rows, keys = Rows(n, model.extremes["successors"] if packed else 0), Keys(pairs)
    v, policy = np.zeros(n), np.full(n, -1)
    pairs.improve(None, v, policy, rows=rows, keys=keys)
    top = contraction.rounding(1e3)
    for _ in range(12):
        keys.most = contraction.expected(float(v.max()))
        whole, best, out = np.empty(n), policy.copy(), np.empty(n)
        *_, every = pairs.improve(v, whole, best)
        low, high, _, _, read = pairs.improve(v, out, policy, rows=rows, keys=keys)
        assert (out == whole).all()  # to the last bit
        assert (policy == best).all()
        assert read <= every + n
        assert (low, high) == ((out - v).min(), (out - v).max())
        again = np.empty(n)
        pairs.evaluate(v, again, rows)
        assert (again == out).all()  # the rows are those of the policy
        for proven in (0.0, 0.1, 1.0):  # counted by the definition, and no pair missed
            lacks = lacking(model, v)
            assert keys.alive(out, policy, proven) >= (lacks < proven - 1e-5 * (1 + lacks)).sum()
        new = out + rng.choice([0.0, 1e-3, 1.0]) * rng.standard_normal(n)
        keys.drift += contraction.closing(float((new - v).min()), float((new - v).max())) + 3 * top
        v = new


def alike(rng, size):
    """Return a model slow to mix whose rewards, of this size, differ in the eighth digit."""
    r, p = garnet(rng, 12, 6, 3)
    return mm.dp.MDP(size * (1.0 + 1e-8 * rng.standard_normal(r.shape)), p, 1.0 - 1e-13)


@pytest.mark.parametrize(("size", "misses"), [(1e-37, True), (1.01 * discounted.KEYED_SIZES[0], False)])
def test_noise_pays_for_the_rounding_of_keys(size, misses):
    """Driven as by `solve`: where rewards are smaller than it allows, keys are float32 denormals and miss."""
    rng, missed = np.random.default_rng(5), 0
    for _ in range(60):
        model = alike(rng, size)
        pairs, contraction = model.pairs, model.contraction
        known = discounted._Known(pairs, contraction, hurry=False)
        rows, v, policy = Rows(12), np.zeros(12), np.full(12, -1)
        pairs.improve(None, v, policy, rows=rows, keys=known.keys)
        for _ in range(10):
            known.at(v, v.max())
            noise = contraction.rounding(np.abs(v).max())
            whole, out = np.empty(12), np.empty(12)
            pairs.improve(v, whole, policy.copy())
            pairs.improve(v, out, policy, rows=rows, keys=known.keys)
            missed += bool((whole - out > noise).any())
            known.keys.drift += contraction.closing((out - v).min(), (out - v).max()) + 3 * noise
            v = out
    assert (missed > 0) == misses


@pytest.mark.parametrize(("size", "kept"), [(1e-37, False), (1e-24, True), (1e22, True), (1e23, False)])
def test_keys_are_kept_where_a_float32_holds_them(size, kept, monkeypatch):
    improve, seen = discounted._Passes.improve, []

    def spied(self, v, out, policy, proven, rows, keys):
        seen.append(keys is not None)
        return improve(self, v, out, policy, proven, rows, keys)

    monkeypatch.setattr(discounted._Passes, "improve", spied)
    alike(np.random.default_rng(5), size).solve("policy_iteration", evaluator="bicgstab", max_iterations=3)
    assert seen
    assert set(seen) == {kept}


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 60), packed=st.booleans(), hurried=st.integers(1, 4))
def test_passes_on_guesses_leave_keys_that_prove(seed, n, packed, hurried):
    rng = np.random.default_rng(seed)
    model = ragged(rng, n)
    pairs, contraction = model.pairs, model.contraction
    rows, keys = Rows(n, model.extremes["successors"] if packed else 0), Keys(pairs)
    v, policy, drift = np.zeros(n), np.full(n, -1), 0.0
    pairs.improve(None, v, policy, rows=rows, keys=keys)
    for i in range(10):
        guessed = i < hurried
        if i == hurried:
            keys.reopen()
            keys.drift, keys.gain = drift, np.inf
        keys.most = contraction.expected(float(v.max()))
        if guessed:
            keys.most = float(rng.uniform(v.min(), v.max()))
            keys.gain = float(rng.choice([0.0, 0.1, 1.0]))
        whole, out = np.empty(n), np.empty(n)
        pairs.improve(v, whole, policy.copy())
        before, held = policy.copy(), np.empty(n)
        pairs.evaluate(v, held, rows)
        pairs.improve(v, out, policy, rows=rows, keys=keys)
        assert (out >= held).all()
        assert (policy[out == held] == before[out == held]).all()
        if guessed:
            assert (out <= whole).all()
        else:
            assert (out == whole).all()  # to the last bit
        pairs.evaluate(v, held, rows)
        assert (held == out).all()  # the rows are those of the policy
        new = out + rng.choice([0.0, 1e-3, 1.0]) * rng.standard_normal(n)
        closing = contraction.closing(float((new - v).min()), float((new - v).max()))
        closing += 3 * contraction.rounding(1e3)
        drift += closing
        keys.drift = keys.drift + closing * rng.random() if guessed else drift
        v = new


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), wide=st.booleans())
def test_a_sample_tells_of_the_states_it_looks_at(seed, n, wide):
    rng = np.random.default_rng(seed)
    model, v, old = ragged(rng, n, wide), rng.random(n), rng.random(n)
    first, row, column, probability, reward, discount = model.pairs.arrays
    rows = sparse.csr_matrix((probability, column, row), shape=(reward.size, n))
    for states in (1, (n + 1) // 2, n):
        for values, x in (((v,), v), ((v, old), v - old)):
            after = np.where(np.isinf(reward), np.nan, rows @ x)
            seen = sorted({int((i * 0.6180339887498949) % 1 * n) for i in range(states)})
            each = [after[first[s] : first[s + 1]] for s in seen]
            most, gain = model.pairs.sample(states, *values)
            assert most == pytest.approx(max(map(np.nanmax, each)), abs=1e-14)
            own = np.broadcast_to(discount, n)[seen]
            apart = [d * (np.nanmax(e) - np.nanmin(e)) for d, e in zip(own, each, strict=True)]
            assert gain == pytest.approx(max(apart), abs=1e-14)
    for states in (0, n + 1):
        with pytest.raises(InvalidArgument, match="states must be 1 to"):
            model.pairs.sample(states, v)


@contextmanager
def hurry(sample=1):
    """However small the model, passes are hurried where they may be, by so many states; yields which were."""
    seen = []
    improve = discounted._Passes.improve

    def spied(self, v, out, policy, proven, rows, keys):
        seen.append(keys is not None and keys.gain < np.inf)
        return improve(self, v, out, policy, proven, rows, keys)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(discounted, "HURRIED", 1)
        patch.setattr(discounted, "SAMPLE", sample)
        patch.setattr(discounted._Passes, "improve", spied)
        yield seen


KEYED = [each for each in METHODS if each[0] in ("policy_iteration", "modified_policy_iteration")]


@pytest.mark.parametrize(("method", "evaluator"), KEYED)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_states=st.integers(1, 3),
    n_actions=st.integers(1, 4),
    discount=st.sampled_from([0.3, 0.9, 0.99]),
    tol=st.sampled_from([1e-2, 1e-9, 1e-14]),
    maximize=st.booleans(),
)
def test_hurried_passes_certify_nothing_and_spoil_nothing(
    method, evaluator, seed, n_states, n_actions, discount, tol, maximize
):
    rng = np.random.default_rng(seed)
    r, p = garnet(rng, n_states, n_actions, 3)
    model, (true, policies) = (
        mm.dp.MDP(r, p, discount, maximize=maximize),
        optimal(r, p, [discount], maximize),
    )
    with hurry() as seen:
        solution = model.solve(method, tol, evaluator=evaluator)
        assert solution.iterations == len(seen)
        for limit in range(1, 6):
            limited = model.solve(method, tol, evaluator=evaluator, max_iterations=limit)
            certify(limited, true)
            assert limited.iterations <= limit
            assert not seen[-1]  # the last pass bounds
    certify(solution, true)
    assert solution.stop_reason in ("tolerance", "rounding")
    alive = sum(len({policy[s] for policy in policies}) for s in range(n_states))
    assert solution.alive_actions >= alive
    if solution.policy_unique:
        assert [tuple(solution.policy)] == policies


@pytest.mark.parametrize("method", ["policy_iteration", "modified_policy_iteration"])
@pytest.mark.parametrize("layout", ["given", "packed"])
def test_what_no_sample_shows_is_found_nevertheless(method, layout):
    """Three states of 3,000 have a way to a treasure, for a reward now that is worse than any other."""
    rng = np.random.default_rng(14)
    n, m, discount = 3_000, 4, 0.9
    seen = {int((i * 0.6180339887498949) % 1 * n) for i in range(discounted.SAMPLE)}
    treasure, *ways = sorted(set(range(n)) - seen)[500:504]
    r, column = rng.random((n, m)), rng.integers(0, n, (n, m, 5))
    column[column == treasure] += 1
    weight = rng.dirichlet(np.ones(5), (n, m))
    r[treasure], column[treasure] = 1000.0, treasure
    r[ways, 2], column[ways, 2] = -900.0, treasure
    rows = sparse.csr_matrix((weight.ravel(), column.ravel(), np.arange(0, n * m * 5 + 1, 5)), (n * m, n))
    model = mm.dp.MDP(r, rows, discount)
    with hurry(len(seen)) as hurried:
        found = model.solve(method, 1e-8, layout=layout)
    assert any(hurried)
    assert found.stop_reason == "tolerance"
    plain = model.solve("value_iteration", 1e-9)
    assert (found.lower <= plain.upper).all()
    assert (found.upper >= plain.lower).all()
    assert (found.policy[ways] == 2).all()
    np.testing.assert_allclose(found.value[[treasure, *ways]], [1e4, *[-900 + 0.9e4] * 3], rtol=1e-9)
    again = [model.solve(method, 1e-8, layout=layout, threads=k) for k in (1, 2, 3)]
    assert len({each.value.tobytes() + each.lower.tobytes() for each in again}) == 1
    assert len({(each.iterations, each.alive_actions) for each in again}) == 1


def lacking(model, v):
    """Return by how much each pair falls short of the best of its state."""
    first, row, column, probability, reward, discount = model.pairs.arrays
    state = np.repeat(np.arange(first.size - 1), np.diff(first))
    after = sparse.csr_matrix((probability, column, row), shape=(reward.size, v.size)) @ v
    q = model.pairs.sign * reward + np.broadcast_to(discount, v.size)[state] * after
    return np.maximum.reduceat(q, first[:-1])[state] - q


def test_keys_count_the_pairs_that_may_be_optimal():
    model = mm.dp.MDP([[0.0, 1.0, 1.0], [5.0, 0.0, 4.0]], np.full((2, 3, 2), 0.5), 0.5)
    keys, rows = Keys(model.pairs), Rows(2)
    value, policy = np.empty(2), np.full(2, -1)
    model.pairs.improve(None, value, policy, rows=rows, keys=keys)
    assert [keys.alive(value, policy, proven) for proven in (0.0, 0.5, 1.0, 2.0, 9.0)] == [3, 3, 5, 5, 6]
    v, out = np.array([1.0, 3.0]), np.empty(2)  # every pair expects 2, none more than 3
    keys.most = 3.0
    model.pairs.improve(v, out, policy, rows=rows, keys=keys)
    assert [keys.alive(out, policy, proven) for proven in (0.25, 2.0, 9.0)] == [3, 5, 6]


@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
def test_corrections_are_sweeps_but_for_single_precision(seed, wide):
    rng = np.random.default_rng(seed)
    n = 40
    model = ragged(rng, n, wide)
    rows, policy, v = Rows(n, model.extremes["successors"]), np.full(n, -1), rng.random(n)
    out, spare = np.empty(n), np.empty(n)
    model.pairs.improve(v, out, policy, rows=rows)
    residual = (out - v).astype(np.float32)
    x, new = residual, np.empty(n, dtype=np.float32)
    for _ in range(5):
        assert model.pairs.evaluate(out, spare, rows) == ((spare - out).min(), (spare - out).max())
        low, high = model.pairs.correct(residual, x, new, rows)
        change = (spare - out).min(), (spare - out).max()
        out, spare, x, new = spare, out, new, np.empty(n, dtype=np.float32)
        size = abs(residual).max() + abs(x).max()
        np.testing.assert_allclose(v + x, out, rtol=0, atol=40 * 2.0**-24 * size)
        np.testing.assert_allclose((low, high), change, rtol=0, atol=80 * 2.0**-24 * size)


def test_corrections_need_copies():
    model = mm.dp.MDP(*GOOD, 0.9)
    rows, x = Rows(2), np.zeros(2, dtype=np.float32)
    model.pairs.improve(None, np.empty(2), np.full(2, -1), rows=rows)
    with pytest.raises(InvalidArgument, match="rows must be copies"):
        model.pairs.correct(x, x, x.copy(), rows)


@given(
    seed=st.integers(0, 2**32 - 1),
    wide=st.booleans(),
    method=st.sampled_from(["modified_policy_iteration", "policy_iteration"]),
    scale=st.sampled_from([1e-290, 1.0, 1e30]),
)
def test_a_packed_model_is_certified_whatever_its_shape_and_scale(seed, wide, method, scale):
    rng = np.random.default_rng(seed)
    unit = ragged(rng, 30, wide)
    model = unit.with_rewards(scale * unit.pairs.arrays[4])
    plain = model.solve("value_iteration", 1e-7 * scale)
    one, two = (model.solve(method, 1e-7 * scale, layout="packed", threads=k) for k in (1, 2))
    assert plain.stop_reason == one.stop_reason == "tolerance"
    assert (one.lower <= plain.upper).all()
    assert (one.upper >= plain.lower).all()
    assert one.value.tobytes() == two.value.tobytes()
    assert one.lower.tobytes() == two.lower.tobytes()
    assert one.alive_actions >= plain.policy.size


def test_vectors_beyond_the_result():
    rng = np.random.default_rng(3)
    n, m = 5_000, 10
    rows = np.repeat(np.arange(n), m)
    near = np.clip(rows[:, None] + np.argsort(rng.random((n * m, 41)), axis=1)[:, :8] - 20, 0, n - 1)
    pointers = np.arange(0, 8 * n * m + 1, 8)
    table = sparse.csr_matrix((rng.dirichlet(np.ones(8), n * m).ravel(), near.ravel(), pointers), (n * m, n))
    model = mm.dp.MDP(rng.random((n, m)), table, 0.99)
    for method, evaluator, allowed in [
        ("value_iteration", "auto", 2.1),
        ("anderson", "auto", 12.1),
        ("policy_iteration", "bicgstab", 12.1),
        ("policy_iteration", "gmres", 12.1),
    ]:
        model.solve(method, 1e-6, evaluator=evaluator)
        tracemalloc.start()
        found = model.solve(method, 1e-6, evaluator=evaluator)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        results = sum(each.nbytes for each in (found.value, found.policy, found.lower, found.upper))
        assert peak - results <= 8 * n * allowed + 100_000, (method, evaluator)


def test_auto_says_what_it_takes_and_why():
    rng = np.random.default_rng(11)
    for local, discount, method, words in [
        (1, 0.99, "policy_iteration (band)", "Thomas"),
        (2, 0.99, "policy_iteration (band)", "within 2 states below"),
        (None, 0.99, "policy_iteration (bicgstab)", "scattered"),
        (None, 0.3, "value_iteration", "halves the error"),
    ]:
        r, p = garnet(rng, 60, 2, 3, local=local)
        solution = mm.dp.MDP(r, p, discount).solve()
        assert solution.method == method
        assert words in solution.why


MACHINE = np.array([[3.0, -2.0], [1.0, -2.0]]), [[[0.5, 0.5], [1, 0]], [[0, 1], [1, 0]]]


@pytest.mark.parametrize("method", ["auto", "policy_iteration", "modified_policy_iteration", "anderson"])
@pytest.mark.parametrize("scale", [1e-60, 1e37, 1e39, 1e60])
def test_rewards_beyond_single_precision(method, scale):
    rewards, transitions = MACHINE
    found = mm.dp.MDP(rewards * scale, transitions, 0.9).solve(method, tol=1e-9 * scale)
    np.testing.assert_allclose(found.value / scale, [420 / 29, 320 / 29], rtol=1e-9)
    assert found.policy.tolist() == [0, 1]


@pytest.mark.parametrize("method", ["auto", "policy_iteration", "modified_policy_iteration", "anderson"])
@pytest.mark.parametrize("start", [[0.0, 1e39], [1e300, 0.0]])
def test_a_start_far_away(method, start):
    rewards, transitions = MACHINE
    found = mm.dp.MDP(rewards, transitions, 0.9).solve(method, start=start)
    if method != "anderson":  # which may be at its limit before it is there
        np.testing.assert_allclose(found.value, [420 / 29, 320 / 29], rtol=1e-9)
    assert (found.lower <= [420 / 29, 320 / 29]).all()
    assert (found.upper >= [420 / 29, 320 / 29]).all()


@pytest.mark.parametrize("scale", [1.0, 1e-24, 1e-26, 1e-41, 1e-45, 1e-60])
@pytest.mark.parametrize("method", ["policy_iteration", "modified_policy_iteration", "value_iteration"])
def test_rewards_of_any_size_have_right_bounds(method, scale):
    """By hand: to and fro, for 3/4 there and -1/2 back, is worth more than either rest."""
    rewards = np.array([[-0.5, -0.25], [0.0, 0.75]])
    transitions = [[[0, 1], [1, 0]], [[0, 1], [1, 0]]]
    solved = mm.dp.MDP(rewards * scale, transitions, 0.9).solve(method, tol=1e-12 * scale)
    there = (Fraction(3, 4) - Fraction(9, 10) / 2) / (1 - Fraction(81, 100))
    here = Fraction(-1, 2) + Fraction(9, 10) * there
    assert solved.policy.tolist() == [0, 1]
    for state, value in enumerate((here, there)):
        exact = float(value) * scale
        assert solved.lower[state] <= exact * (1 + 1e-15) + 1e-75
        assert solved.upper[state] >= exact * (1 - 1e-15) - 1e-75
        assert solved.value[state] == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize(("n", "discount"), [(5, 0.99), (6, 0.97), (10, 0.98), (40, 0.95)])
def test_gauss_seidel_on_a_cycle_against_its_order(n, discount):
    """Each state leads to the one before it: a sweep in place brings nothing forward but round the end."""
    transitions = np.zeros((n, 1, n))
    transitions[np.arange(n), 0, np.arange(n) - 1] = 1.0
    rewards = np.zeros((n, 1))
    rewards[0] = 1.0
    solved = mm.dp.MDP(rewards, transitions, discount).solve("gauss_seidel")
    assert solved.stop_reason == "tolerance"
    np.testing.assert_allclose(solved.value, discount ** np.arange(n) / (1 - discount**n), atol=2e-8)


def test_gauss_seidel_moves_to_the_middle_where_that_helps():
    """A chain that mixes at once forgets all but the constant: sweeps alone would take 200 to lose it."""
    rng = np.random.default_rng(3)
    model = mm.dp.MDP(rng.normal(size=(50, 4)), rng.dirichlet(np.ones(50), size=(50, 4)), 0.95)
    assert model.solve("gauss_seidel", tol=1e-9).iterations <= 40


@pytest.mark.parametrize("method", ["value_iteration", "gauss_seidel", "anderson", "policy_iteration"])
def test_what_is_not_feasible_is_never_alive(method):
    rewards = [[1.0, -np.inf], [1.0, -np.inf]]
    solved = mm.dp.MDP(rewards, [[[1, 0], [1, 0]], [[0, 1], [1, 0]]], 0.9).solve(method)
    assert (solved.alive_actions, solved.policy_unique) == (2, True)
