"""Recalibration in C against the models: the same depths, in place, whole and versioned."""

import ctypes
import math
import re
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm

from .building import CPP, STRICT, C, build, compiler, include, sanitizers

HERE = Path(__file__).parent

PAIR = ctypes.c_double * 2
EXACT, CARTEA_JAIMUNGAL, CLOSED_FORM, AVELLANEDA_STOIKOV = 1, 2, 3, 4
INVALID, UNSUPPORTED, CAPACITY, NO_CONVERGENCE = -1, -4, -6, -7


class Parameters(ctypes.Structure):
    _fields_ = (
        ("bytes", ctypes.c_uint32),
        ("model", ctypes.c_int32),
        ("objective", ctypes.c_int32),
        ("reserved", ctypes.c_int32),
        ("sigma", ctypes.c_double),
        ("A", PAIR),
        ("k", PAIR),
        ("gamma", ctypes.c_double),
        ("q_max", ctypes.c_double),
        ("order_size", ctypes.c_double),
        ("fee", PAIR),
        ("drift", ctypes.c_double),
        ("impact", ctypes.c_double),
        ("running_penalty", ctypes.c_double),
        ("adverse_selection", PAIR),
        ("horizon", ctypes.c_double),
        ("terminal_penalty", ctypes.c_double),
    )


def parameters(kind, model):
    p = Parameters(ctypes.sizeof(Parameters), kind, horizon=np.inf)
    for name, _ in Parameters._fields_[4:]:
        value = getattr(model, name, None)
        if value is not None:
            setattr(p, name, PAIR(*value) if isinstance(value, tuple) else value)
    p.objective = getattr(model, "objective", "exponential") == "mean_variance"
    if model.q_max is None:
        p.q_max = np.inf
    return p


class Live:
    """Two blocks and the work memory, which nothing allocates again."""

    def __init__(self, library, p):
        self.c, self.size = library, library.bytes_of(ctypes.byref(p))
        assert self.size
        self.memory = np.zeros(2 * self.size + 192, np.uint8)
        at = -self.memory.ctypes.data % 64
        self.blocks = [self.memory[at : at + self.size]]
        at += -(-self.size // 64) * 64
        self.blocks.append(self.memory[at : at + self.size])
        self.work = np.zeros(library.work_of(ctypes.byref(p)))
        first, second = (ctypes.c_void_p(b.ctypes.data) for b in self.blocks)
        work = ctypes.c_void_p(self.work.ctypes.data)
        assert library.begin(ctypes.byref(p), first, second, ctypes.c_uint64(self.size), work) == 0

    def set(self, p):
        wrong = ctypes.c_char_p()
        status = self.c.set(ctypes.byref(p), ctypes.byref(wrong))
        return status, wrong.value and wrong.value.decode()

    def depths(self, q, time_left=np.inf):
        out = PAIR()
        assert self.c.depths(ctypes.c_double(q), ctypes.c_double(time_left), out) & 0xFF == 0
        return out[0], out[1]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    cc, out = compiler(*C), tmp_path_factory.mktemp("c") / "recalibration.so"
    flags = ["-std=c11", "-O3", *STRICT, "-shared", "-fPIC"]
    build(cc, *flags, include(), HERE / "recalibration.c", "-o", out, "-lm")
    c = ctypes.CDLL(str(out))
    c.bytes_of.restype = c.version.restype = ctypes.c_uint64
    c.torn.restype = c.work_of.restype = ctypes.c_int64
    return c


def same(live, model, nodes, time_left=np.inf):
    bid, ask = model.depths(np.asarray(nodes, float), time_left)
    got = np.array([live.depths(q, time_left) for q in nodes]).T
    scale = 1 / min(model.k)
    for mine, theirs in zip(got, (bid, ask), strict=True):
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(theirs))
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12 * scale)


positive = st.floats(0.05, 5.0)
pairs = st.one_of(positive.map(lambda x: (x, x)), st.tuples(positive, positive))
exact = st.fixed_dictionaries(
    {
        "sigma": st.floats(0.0, 3.0),
        "A": pairs,
        "k": pairs,
        "gamma": st.sampled_from([0.0, 1e-6, 1e-3, 0.05, 0.5]),
        "fee": st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
        "drift": st.sampled_from([0.0, 0.001, -0.01]),
        "impact": st.sampled_from([0.0, 0.2]),
        "objective": st.sampled_from(["exponential", "mean_variance"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(exact, min_size=1, max_size=3), st.integers(1, 25), st.sampled_from([1, 3]))
def test_one_after_another_they_quote_as_the_models_do(library, values, n, size):
    models = [mm.GueantLehalleFernandezTapia(**v, q_max=n * size, order_size=size) for v in values]
    live = Live(library, parameters(EXACT, models[0]))
    for turn, model in enumerate(models, 1):
        assert live.set(parameters(EXACT, model)) == (0, None)
        assert library.version() == turn
        same(live, model, range(-n * size, n * size + 1, size))


@pytest.mark.parametrize("q_max", [math.nan, math.inf, -5.0, 0.0, 2.0**31])
def test_refused_parameters_need_no_memory(library, q_max):
    p = parameters(EXACT, mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=8))
    assert library.work_of(ctypes.byref(p)) > 2 * 17
    p.q_max = q_max
    assert (library.work_of(ctypes.byref(p)), library.bytes_of(ctypes.byref(p))) == (0, 0)


def test_parameters_of_an_older_version_are_told_by_their_bytes(library):
    model = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=8)
    live, p = Live(library, parameters(EXACT, model)), parameters(EXACT, model)
    p.bytes = 8
    assert live.set(p) == (UNSUPPORTED, "bytes")
    p.bytes, p.model = ctypes.sizeof(p), 9
    assert live.set(p) == (UNSUPPORTED, "model")


@pytest.mark.parametrize("off", [1, 8, 32])
def test_a_block_out_of_line_is_refused_and_left(library, off):
    p = parameters(EXACT, mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=8))
    size = library.bytes_of(ctypes.byref(p))
    memory = np.full(size + 192, 7, np.uint8)
    at = memory.ctypes.data + -memory.ctypes.data % 64
    assert library.begin_one(ctypes.byref(p), ctypes.c_void_p(at + off), ctypes.c_uint64(size)) == INVALID
    assert (memory == 7).all()
    assert library.begin_one(ctypes.byref(p), ctypes.c_void_p(at), ctypes.c_uint64(size)) == 0


def test_rules_begin_as_none(library):
    """Whatever the memory held: no limit at 5 lots, depths as they are, data of any age."""
    policy, price = mm.Affine(base=3.5), (ctypes.c_int64 * 3)()
    library.without_rules(ctypes.c_void_p(policy.address), price)
    assert list(price) == [997, 1004, 0]


def test_rates_many_powers_apart_do_not_take_for_ever(library):
    """A horizon that needs more than a million steps is told, in a second, and nothing was changed."""
    model = mm.GueantLehalleFernandezTapia(sigma=0.77, A=(0.4, 0.42), k=(1.09, 1.5), gamma=0.013, q_max=19)
    p = parameters(EXACT, model)
    p.horizon = 1e6
    live = Live(library, p)
    assert live.set(p) == (0, None)
    before = live.depths(3), library.version()
    p.k = PAIR(1.09, 1e6)
    assert live.set(p)[0] == NO_CONVERGENCE
    assert (live.depths(3), library.version()) == before


@pytest.mark.parametrize("drift", [0.0, 1e-4])
def test_five_thousand_lots(library, drift):
    model = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=5000, drift=drift)
    live = Live(library, parameters(EXACT, model))
    assert live.set(parameters(EXACT, model))[0] == 0
    same(live, model, range(-5000, 5001, 7))


def test_cartea_jaimungal_and_the_closed_forms(library):
    for kind, model, at in [
        (
            CARTEA_JAIMUNGAL,
            mm.CarteaJaimungal(
                A=(1.0, 1.2),
                k=0.5,
                running_penalty=1e-3,
                drift=0.01,
                adverse_selection=(0.1, 0.2),
                fee=0.05,
                q_max=12,
                order_size=2,
            ),
            np.inf,
        ),
        (
            CLOSED_FORM,
            mm.GueantLehalleFernandezTapiaClosedForm(
                sigma=0.3, A=(0.9, 1.1), k=(0.3, 0.31), gamma=0.001, drift=1e-3, impact=0.1, fee=0.2, q_max=12
            ),
            np.inf,
        ),
        (AVELLANEDA_STOIKOV, mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0, q_max=12), 0.4),
    ]:
        live = Live(library, parameters(kind, model))
        assert live.set(parameters(kind, model)) == (0, None)
        same(live, model, range(-12, 13, 2), at)


BASE = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=20)


@pytest.mark.parametrize(
    ("name", "value"),
    [(n, v) for n in ("sigma", "gamma", "impact") for v in (-1.0, np.nan, np.inf)]
    + [(n, PAIR(0.9, v)) for n in ("A", "k") for v in (0.0, -1.0, np.nan, np.inf)]
    + [("drift", np.inf), ("fee", PAIR(np.nan, 0.0)), ("order_size", 0.5), ("q_max", 0.0), ("objective", 7)],
)
def test_a_bad_value_leaves_both_blocks_and_the_version(library, name, value):
    p = parameters(EXACT, BASE)
    live = Live(library, p)
    assert live.set(p)[0] == 0
    before = [bytes(block) for block in live.blocks]
    setattr(p, name, value)
    assert live.set(p) == (INVALID, name)
    assert [bytes(block) for block in live.blocks] == before
    assert library.version() == 1
    assert live.set(parameters(EXACT, BASE))[0] == 0


def test_another_shape_or_model_is_refused(library):
    p = parameters(EXACT, BASE)
    live = Live(library, p)
    p.q_max = 21
    assert live.set(p) == (CAPACITY, "q_max")
    p.q_max, p.model = 20, CLOSED_FORM
    assert live.set(p) == (CAPACITY, "model")
    p.model, p.horizon = AVELLANEDA_STOIKOV, 60.0
    assert live.set(p) == (CAPACITY, "model")
    p.horizon, p.model = np.inf, 9
    assert live.set(p)[0] == UNSUPPORTED
    p.model, p.gamma, p.fee = EXACT, 0.01, PAIR(1e6, 1e6)  # A exp(-k fee) underflows
    assert live.set(p) == (INVALID, "fee")


def test_another_horizon_is_refused_where_it_is_fixed(library):
    p = parameters(
        AVELLANEDA_STOIKOV, mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0, q_max=20)
    )
    live = Live(library, p)
    p.horizon = 2.0
    assert live.set(p) == (CAPACITY, "horizon")
    p.model, p.horizon, p.A = CLOSED_FORM, np.inf, PAIR(0.9, 0.9)
    assert live.set(p) == (CAPACITY, "model")


def test_a_reader_sees_one_policy_or_the_other(library):
    even, odd = parameters(EXACT, BASE), parameters(EXACT, BASE.replace(k=0.03))
    live = Live(library, even)
    assert live.set(odd)[0] == 0  # version 1
    prices = (ctypes.c_int64 * 2)()
    for parity, model in enumerate((BASE, BASE.replace(k=0.03))):
        prices[parity] = int(np.floor(1e6 - model.depths(0)[0]))
    found = []
    readers = [
        threading.Thread(target=lambda: found.append(library.torn(ctypes.c_int64(2_000_000), prices)))
        for _ in range(2)
    ]
    for thread in readers:
        thread.start()
    assert library.alternate(ctypes.c_int64(100_000), ctypes.byref(even), ctypes.byref(odd)) == 0
    for thread in readers:
        thread.join()
    assert found == [0, 0]
    assert library.version() == 100_001


def test_under_sanitizers_and_as_cpp(tmp_path):
    cc, cxx = compiler(*C), compiler(*CPP)
    source = (HERE / "recalibration.c").read_text()
    (tmp_path / "as.cpp").write_text(source)
    build(cxx, "-std=c++17", "-O1", *STRICT, include(), "-c", tmp_path / "as.cpp", "-o", tmp_path / "as.o")
    main = """
#include <stdlib.h>
int main(void) {
  const double q_max[] = {1, 2, 50, 700};
  for (int i = 0; i < 4; ++i) {
    mm_parameters p;
    const char *wrong;
    mm_parameters_init(&p, MM_MODEL_EXACT);
    p.sigma = p.k[0] = p.k[1] = 0.3, p.A[0] = p.A[1] = 0.9, p.gamma = 0.01, p.q_max = q_max[i];
    const uint64_t bytes = mm_recalibration_bytes(&p);
    void *a = aligned_alloc(64, (bytes + 63) / 64 * 64), *b = aligned_alloc(64, (bytes + 63) / 64 * 64);
    double *work = (double *)malloc(sizeof(double) * (size_t)MM_RECALIBRATION_WORK(mm_nodes_of(&p)));
    if (begin(&p, a, b, bytes, work))
      return 1;
    for (int turn = 0; turn < 300; ++turn) {
      p.drift = 0.01 * (turn % 3 - 1), p.k[1] = turn % 2 ? 0.3 : 0.31, p.gamma = 0.002 * (turn % 5);
      if (set(&p, &wrong))
        return 2;
    }
    free(a), free(b), free(work);
  }
  return 0;
}
"""
    (tmp_path / "main.c").write_text(source + main)
    flags = ["-std=c11", "-O1", "-g", *STRICT, *sanitizers(cc, tmp_path)]
    build(cc, *flags, include(), tmp_path / "main.c", "-o", tmp_path / "main", "-lm")
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_kernels_call_no_allocator():
    for name in ("recalibration.h", "lattice.h"):
        text = (Path(mm.get_include()) / "mmcore" / name).read_text()
        assert not re.search(r"\b(malloc|calloc|realloc|alloca|free)\s*\(", text)
