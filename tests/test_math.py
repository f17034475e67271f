"""The logarithm and the exponential: near enough, in order, and the same bits whoever compiles them."""

import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
import mmcore.math as elementary

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
derivation = pytest.importorskip("bench.elementary")

HEADER = Path(mm.get_include(), "mmcore/math.h")
FUNCTIONS = {name: getattr(elementary, name) for name in ("log", "log1p", "exp", "expm1")}
ULPS = {"log": 0.61, "log1p": 0.61, "exp": 0.56, "expm1": 0.65}
REGIONS = {
    "log": [(1e-320, 1e308), (0.5, 2.0), (0.7, 0.72), (1.38, 1.42), (0.999, 1.001)],
    "log1p": [(1e-320, 1e308), (0.3, 0.5), (1e-9, 1e-3)],
    "exp": [(1e-20, 709.7), (0.2, 0.5)],
    "expm1": [(1e-320, 709.7), (0.2, 1.5), (1e-9, 1e-3)],
}
EDGES = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    5e-324,
    2.0**-1022,
    1.0,
    -1.0,
    -1.0 + 2.0**-53,
    710.0,
    -746.0,
]
EDGES += [1.7976931348623157e308, -1.7976931348623157e308, 709.782712893384, -708.4, -745.2, -2.0, 2.0**-54]

pytestmark = pytest.mark.compiled


def sample(name, n, seed):
    """Random arguments from each region, of either sign where the function has both."""
    rng = np.random.default_rng(seed)
    parts = [np.exp(rng.uniform(math.log(low), math.log(high), n)) for low, high in REGIONS[name]]
    x = np.concatenate(parts)
    if name == "log":
        return x
    if name == "log1p":
        return np.concatenate([x, -x[x < 1]])
    return np.concatenate([x, -x[x < 740]])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_stay_below_the_stated_bound(name):
    x = sample(name, 1500, seed=1)
    exact = getattr(mpmath, name)
    with mpmath.workdps(60):
        for at, got in zip(x.tolist(), FUNCTIONS[name](x).tolist(), strict=True):
            want = exact(mpmath.mpf(at))
            unit = mpmath.mpf(float(np.spacing(abs(float(want)))))
            bound = ULPS[name] if abs(want) > 2.0**-1021 else 1.0  # a subnormal result is rounded twice
            assert abs(got - want) <= bound * unit, (at, got)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_ends_of_the_domain(name):
    with np.errstate(all="ignore"):
        want = getattr(np, name)(np.array(EDGES))
    got = FUNCTIONS[name](np.array(EDGES))
    for x, ours, theirs in zip(EDGES, got.tolist(), want.tolist(), strict=True):
        assert math.isnan(ours) == math.isnan(theirs), x
        if not math.isnan(ours):
            assert math.isclose(ours, theirs, rel_tol=3e-16, abs_tol=5e-324), x
            assert math.copysign(1.0, ours) == math.copysign(1.0, theirs), x
        assert np.float64(FUNCTIONS[name](x)).tobytes() == np.float64(ours).tobytes()


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "bits", [0x7FF8000000000000, 0xFFF8000000000000, 0x7FF800000000BEEF, 0x7FF0000000000001]
)
def test_nan_is_always_the_same(name, bits):
    x = np.array([bits], np.uint64).view(np.float64)
    assert FUNCTIONS[name](x).view(np.uint64)[0] == 0x7FF8000000000000


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_never_fall_between_neighbouring_arguments(name):
    """On runs of doubles that follow each other, at random places."""
    starts = sample(name, 60, seed=2)
    steps = np.arange(20_000, dtype=np.int64)
    for start in starts.tolist():
        run = (np.float64(start).view(np.int64) + steps).view(np.float64)
        run = run[np.isfinite(run)]
        y = FUNCTIONS[name](run)
        rises = np.diff(y) >= 0 if start > 0 else np.diff(y) <= 0
        assert rises.all(), (start, run[:-1][~rises][:3])


@given(st.floats(-700, 700), st.floats(-1e-3, 1e-3))
def test_products_in_the_exponent_lose_nothing(x, y):
    with mpmath.workdps(60):
        want = mpmath.exp(mpmath.mpf(x) * mpmath.mpf(y))
        assert abs(elementary.exp_product(x, y) - want) <= 0.56 * float(np.spacing(float(want)))


@given(st.floats(1e-15, 1e15), st.floats(-19, 19))
def test_powers(x, y):
    with mpmath.workdps(60):
        want = mpmath.mpf(x) ** mpmath.mpf(y)
        assert abs(elementary.pow(x, y) - want) <= (0.6 + abs(y) / 32) * float(np.spacing(float(want)))


def test_powers_of_what_is_not_positive_and_finite_are_nan():
    assert all(math.isnan(elementary.pow(x, 2.0)) for x in (0.0, -1.0, math.inf, math.nan))
    assert (elementary.pow(1e300, 1e300), elementary.pow(1e300, -1e300)) == (math.inf, 0.0)


def test_arrays_keep_their_shape_and_are_not_written_to():
    x = np.arange(1.0, 7.0).reshape(2, 3)
    x.setflags(write=False)
    assert elementary.log(x[:, ::2]).tolist() == [[math.log(v) for v in row] for row in ([1, 3], [4, 6])]
    assert elementary.exp_product(x[:, :1], [0.0, 0.0]).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert elementary.exp([]).shape == (0,)


def test_the_constants_are_those_that_the_derivation_finds():
    written = re.findall(r"#define MM_(LN2_\w+|INVERSE_LN2|LOG_\d|EXP_\d) (\S+)", HEADER.read_text())
    found = {f"MM_{name}": float.fromhex(value) for name, value in written}
    assert found == derivation.derived()


PROGRAM = """
#include <stdio.h>
#include "mmcore/math.h"
static uint64_t state = 1;
static uint64_t next(void) {
  uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}
static double x[1024], y[4][1024];
int main(void) {
  uint64_t sum = MM_CHECKSUM_START;
  for (int turn = 0; turn < 500; ++turn) {
    for (int i = 0; i < 1024; ++i) /* any bits, and numbers within +-750 */
      x[i] = i % 2 ? mm_double_of(next()) : (double)(int64_t)next() * (750.0 / 9223372036854775808.0);
    for (int i = 0; i < 1024; ++i)
      y[0][i] = mm_log(x[i]);
    for (int i = 0; i < 1024; ++i)
      y[1][i] = mm_log1p(x[i]);
    for (int i = 0; i < 1024; ++i)
      y[2][i] = mm_exp(x[i]);
    for (int i = 0; i < 1024; ++i)
      y[3][i] = mm_expm1(x[i]);
    sum = mm_checksum(sum, y, sizeof y);
    for (int i = 0; i < 1024; ++i)
      y[0][i] = mm_pow(x[i], x[(i + 2) % 1024]);
    sum = mm_checksum(sum, y[0], sizeof y[0]);
  }
  printf("%016llx\\n", (unsigned long long)sum);
  return 0;
}
"""
BUILDS = [
    ["-std=c11", "-O0"],
    ["-std=c11", "-O3"],
    ["-std=c11", "-O3", "-fno-trapping-math", "-fno-math-errno"],
    ["-std=c11", "-O3", "-fno-trapping-math", "-march=native"],
    ["-x", "c++", "-std=c++17", "-O2"],
]


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_every_build_gives_the_same_bits(tmp_path):
    (tmp_path / "bits.c").write_text(PROGRAM)
    sums = []
    for flags in BUILDS:
        program = tmp_path / "bits"
        command = ["cc", *flags, "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffp-contract=off"]
        subprocess.run(
            [*command, f"-I{mm.get_include()}", str(tmp_path / "bits.c"), "-o", str(program)], check=True
        )
        sums.append(subprocess.run([program], check=True, capture_output=True, text=True).stdout)
    assert len(set(sums)) == 1


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-ffinite-math-only"])
@pytest.mark.parametrize("header", ["types", "math", "quoting"])
def test_builds_that_would_change_bits_are_refused(tmp_path, header, flag):
    (tmp_path / "fast.c").write_text(f'#include "mmcore/{header}.h"\n')
    command = ["cc", "-std=c11", flag, "-c", f"-I{mm.get_include()}", "fast.c", "-o", "fast.o"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode != 0
    assert "without -ffast-math" in told.stderr


LOOSE = [
    "-ffast-math -fno-finite-math-only",
    "-funsafe-math-optimizations",
    "-fassociative-math -fno-signed-zeros -fno-trapping-math",
    "-freciprocal-math",
    "-fno-signed-zeros",
]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC")
@pytest.mark.parametrize("standard", ["c11", "gnu11", "c++17", "gnu++17"])
def test_gcc_tells_of_other_arithmetic_than_ieee(tmp_path, standard):
    (tmp_path / "empty.c").write_text('#include "mmcore/types.h"\n')
    language = "c++" if "++" in standard else "c"
    command = ["gcc", f"-std={standard}", "-O2", "-x", language, "-fsyntax-only", f"-I{mm.get_include()}"]
    macros = subprocess.run(["gcc", "-dM", "-E", "-x", "c", "-"], input="", capture_output=True, text=True)
    if "__clang__" in macros.stdout:
        pytest.skip("gcc is Clang here")
    for flags in LOOSE:
        told = subprocess.run(
            [*command, *flags.split(), "empty.c"], cwd=tmp_path, capture_output=True, text=True
        )
        assert told.returncode != 0, flags
        assert "mmcore needs IEEE arithmetic" in told.stderr
    for flags in (
        "",
        "-ffp-contract=off -fno-math-errno -fno-trapping-math",
        "-frounding-math -march=native",
    ):
        subprocess.run([*command, *flags.split(), "empty.c"], cwd=tmp_path, check=True)


EXACT = {"ceil", "fabs", "floor", "nearbyint", "rint", "round", "sqrt", "trunc"}  # the same in every library
LIBM = {
    "acos",
    "asin",
    "atan",
    "atan2",
    "cbrt",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "fma",
    "hypot",
}
LIBM |= {"lgamma", "log", "log10", "log1p", "log2", "pow", "sin", "sinh", "tan", "tanh", "tgamma"}


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("nm") is None, reason="reads ELF files with nm")
def test_compiled_modules_take_nothing_inexact_from_the_c_library():
    modules = sorted(Path(elementary.__file__).parent.glob("*.so"))
    assert len(modules) > 8
    for module in modules:
        told = subprocess.run(
            ["nm", "-D", "--undefined-only", module], check=True, capture_output=True, text=True
        )
        names = {line.split()[-1].partition("@")[0] for line in told.stdout.splitlines()}
        assert not {n.removeprefix("__").removesuffix("_finite") for n in names} & LIBM, module.name


numba = pytest.importorskip("numba")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_numba_twins_are_equal_to_the_bit(name):
    from mmcore.numba import elementary as twins

    function = getattr(twins, name)

    @numba.njit
    def run(x):
        out = np.empty_like(x)
        for i in range(x.size):
            out[i] = function(x[i])
        return out

    rng = np.random.default_rng(3)
    x = np.concatenate(
        [
            rng.integers(0, 2**64, 600_000, dtype=np.uint64).view(np.float64),  # any bits
            sample(name, 100_000, seed=4),
            rng.uniform(-750, 750, 300_000),
            EDGES,
        ]
    )
    assert np.array_equal(run(x).view(np.uint64), FUNCTIONS[name](x).view(np.uint64))


def test_the_twins_have_the_constants_of_the_header():
    from mmcore.numba import elementary as twins

    written = re.findall(r"#define MM_(\w+) (-?0x1[.\w]*p[+-]\d+)", HEADER.read_text())
    assert len(written) == 21
    assert all(getattr(twins, name) == float.fromhex(value) for name, value in written)
