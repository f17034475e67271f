"""The kernels as C: native against portable arithmetic, Python's integers, sanitizers, C++."""

import ctypes
import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mmcore as mm

from .building import CPP, STRICT, C, build, compiler, include, sanitizers

HERE = Path(__file__).parent


@pytest.mark.parametrize("optimise", ["-O1", "-O3"])
def test_native_and_portable_paths_give_the_same_bits(tmp_path, optimise):
    cc = compiler(*C)
    flags = ["-std=c11", optimise, "-g", *STRICT, *(sanitizers(cc, tmp_path) if optimise == "-O1" else [])]
    for prefix, extra in [("native_", []), ("portable_", ["-DMM_NO_INT128"])]:
        out = tmp_path / f"{prefix}.o"
        build(cc, *flags, *extra, f"-DPREFIX={prefix}", include(), "-c", HERE / "book_ops.c", "-o", out)
    program = tmp_path / "twins"
    objects = [tmp_path / "native_.o", tmp_path / "portable_.o"]
    build(cc, *flags, include(), HERE / "book_twins.c", *objects, "-o", program)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 1_000_000


def test_a_ledger_in_plain_c(tmp_path):
    """Batches undone, books loaded, the same bits with and without the compiler's 128-bit integers."""
    cc, sums = compiler(*C), set()
    for name, extra in [("native", sanitizers(cc, tmp_path)), ("portable", ["-DMM_NO_INT128", "-O2"])]:
        program = tmp_path / name
        build(cc, "-std=c11", "-g", *STRICT, *extra, include(), HERE / "ledger.c", "-o", program)
        done = subprocess.run([program], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        sums.add(done.stdout)
    assert len(sums) == 1


@pytest.mark.parametrize("extra", [[], ["-DMM_NO_INT128"]], ids=["native", "portable"])
def test_headers_are_valid_cplusplus(tmp_path, extra):
    cxx = compiler(*CPP)
    source = tmp_path / "book.cpp"
    source.write_text('#include <mmcore/ledger.h>\nstatic_assert(sizeof(mm_fill) == 96, "the record");\n')
    build(cxx, "-std=c++17", *STRICT, *extra, include(), "-c", source, "-o", tmp_path / "book.o")


# ---- against Python's integers ----


class I128(ctypes.Structure):
    _fields_ = (("lo", ctypes.c_uint64), ("hi", ctypes.c_int64))

    @classmethod
    def of(cls, number):
        return cls(number & (2**64 - 1), number >> 64)

    def __int__(self):
        return (self.hi << 64) | self.lo


@pytest.fixture(scope="module", params=["native", "portable"])
def ops(request, tmp_path_factory):
    """Return the kernels as a callable: ``ops("muldiv", I128, ...)``."""
    cc = compiler(*C)
    prefix, library = f"{request.param}_", tmp_path_factory.mktemp("native") / f"{request.param}.so"
    extra = ["-DMM_NO_INT128"] if request.param == "portable" else []
    flags = ["-std=c11", "-O2", *STRICT, *extra, f"-DPREFIX={prefix}", "-shared", "-fPIC"]
    build(cc, *flags, include(), HERE / "book_ops.c", "-o", library)
    loaded = ctypes.CDLL(str(library))
    types = {int: ctypes.c_int64, float: ctypes.c_double}
    getattr(loaded, f"{prefix}to_double").restype = ctypes.c_double

    def call(name, *arguments):
        passed = [
            ctypes.byref(a) if isinstance(a, ctypes.Structure) else types[type(a)](a) for a in arguments
        ]
        return getattr(loaded, prefix + name)(*passed)

    call.library, call.prefix = loaded, prefix
    return call


words = st.integers(-(2**63), 2**63 - 1) | st.sampled_from(
    [0, 1, -1, 2**32, -(2**32), 2**63 - 1, -(2**63), 2**62, 10**9]
)
wides = (
    st.integers(-(2**127), 2**127 - 1)
    | words
    | st.sampled_from([2**127 - 1, -(2**127), 2**64, -(2**64), 2**96])
)
divisors = st.integers(1, 2**63 - 1) | st.sampled_from([1, 2, 3, 2**31, 2**32, 2**32 + 1, 2**62, 2**63 - 1])


def wrap(number):
    return (number + 2**127) % 2**128 - 2**127


@given(a=wides, b=wides, m=words)
def test_sums_and_products_are_those_of_integers(ops, a, b, m):
    x, out = I128.of(a), I128()
    ops("add", x, I128.of(b), out)
    assert int(out) == wrap(a + b)
    ops("sub", x, I128.of(b), out)
    assert int(out) == wrap(a - b)
    ops("neg", x, out)
    assert int(out) == wrap(-a)
    ops("scale", x, m, out)
    assert int(out) == wrap(a * m)
    assert ops("cmp", x, I128.of(b)) == (a > b) - (a < b)
    if b > 0:
        assert ops("within", x, I128.of(b)) == (abs(a) < b)
    for name, args, exact in [("add_checked", (I128.of(b),), a + b), ("scale_checked", (m,), a * m)]:
        out = I128.of(77)
        refused = ops(name, x, *args, out)
        assert refused == (wrap(exact) != exact)
        assert int(out) == (77 if refused else exact)


@given(a=words, b=words)
def test_64_bit_products_and_sums(ops, a, b):
    out, word = I128(), ctypes.c_int64(77)
    ops("mul", a, b, out)
    assert int(out) == a * b
    refused = getattr(ops.library, ops.prefix + "add_i64")(
        ctypes.c_int64(a), ctypes.c_int64(b), ctypes.byref(word)
    )
    assert refused == (not -(2**63) <= a + b < 2**63)
    assert word.value == (77 if refused else a + b)


@given(a=wides, b=words, d=divisors)
@example(a=5, b=1, d=2)
@example(a=-7, b=1, d=2)
@example(a=2**127 - 1, b=2**63 - 1, d=2**63 - 1)
@example(a=-(2**127), b=-1, d=1)
@example(a=-(2**127), b=1, d=1)
def test_muldiv_rounds_half_to_even(ops, a, b, d):
    exact, out = round(Fraction(a * b, d)), I128.of(77)
    refused = ops("muldiv", I128.of(a), b, d, out)
    assert refused == (not -(2**127) <= exact < 2**127)
    assert int(out) == (77 if refused else exact)


@given(hi=st.integers(0, 2**64 - 1), lo=st.integers(0, 2**64 - 1), d=st.integers(1, 2**64 - 1))
@example(hi=2**63 - 1, lo=2**64 - 1, d=2**63)
@example(hi=2**64 - 2, lo=2**64 - 1, d=2**64 - 1)
@example(hi=0xFFFFFFFE00000000, lo=0, d=0xFFFFFFFF00000001)
def test_long_division(ops, hi, lo, d):
    rest, divide = ctypes.c_uint64(), getattr(ops.library, ops.prefix + "div_u128")
    divide.restype = ctypes.c_uint64
    hi %= d
    q = divide(ctypes.c_uint64(hi), ctypes.c_uint64(lo), ctypes.c_uint64(d), ctypes.byref(rest))
    assert (q, rest.value) == divmod(hi << 64 | lo, d)


@given(a=wides, d=st.integers(1, 2**64 - 1))
@example(a=-(2**127), d=1)
@example(a=-(2**127), d=2**64 - 1)
@example(a=-1, d=2)
def test_division_goes_towards_zero(ops, a, d):
    out, rest = I128.of(77), ctypes.c_uint64()
    divide = getattr(ops.library, ops.prefix + "divide")
    divide(ctypes.byref(I128.of(a)), ctypes.c_uint64(d), ctypes.byref(rest), ctypes.byref(out))
    q, r = divmod(abs(a), d)
    assert (int(out), rest.value) == (-q if a < 0 else q, r)


@given(a=wides)
@example(a=2**53 + 1)
@example(a=(2**53 + 1) << 40)
@example(a=((2**53 + 1) << 40) + 1)
@example(a=2**127 - 1)
def test_to_double_rounds_to_nearest(ops, a):
    assert ops("to_double", I128.of(a)) == float(a)  # Python's own conversion is correctly rounded
    word = ctypes.c_int64(77)
    refused = getattr(ops.library, ops.prefix + "to_i64")(ctypes.byref(I128.of(a)), ctypes.byref(word))
    assert refused == (not -(2**63) <= a < 2**63)
    assert word.value == (77 if refused else a)


@given(x=st.floats() | wides.map(float) | st.integers(-9, 9).map(lambda i: i / 2))
@example(x=0.5)
@example(x=1.5)
@example(x=-2.5)
@example(x=0.49999999999999994)
@example(x=2.0**127)
@example(x=-(2.0**127))
@example(x=float("nan"))
@example(x=float("-inf"))
def test_from_double_rounds_half_to_even(ops, x):
    out = I128.of(77)
    refused = ops("from_double", x, out)
    exact = round(x) if x == x and abs(x) != float("inf") else None
    assert refused == (exact is None or not -(2**127) <= exact < 2**127)
    assert int(out) == (77 if refused else exact)


@given(qty=words, price=words, num=words, den=divisors)
def test_fees_are_the_rounded_rate_of_the_notional(ops, qty, price, num, den):
    fee, exact = ctypes.c_int64(77), round(Fraction(abs(qty * price) * num, den))
    status = getattr(ops.library, ops.prefix + "notional_fee")(
        *map(ctypes.c_int64, (qty, price, num, den)), ctypes.byref(fee)
    )
    fits = -(2**63) <= exact < 2**63
    assert status == (0 if fits else mm.Status.OVERFLOW)
    assert fee.value == (exact if fits else 77)


def test_fee_without_a_denominator_is_refused(ops):
    fee = ctypes.c_int64(77)
    for den in (0, -1):
        status = getattr(ops.library, ops.prefix + "notional_fee")(
            *map(ctypes.c_int64, (1, 1, 1, den)), ctypes.byref(fee)
        )
        assert (status, fee.value) == (mm.Status.INVALID, 77)


def test_the_record_is_laid_out_as_in_numpy(ops):
    layout = (ctypes.c_int64 * 14)()
    getattr(ops.library, ops.prefix + "layout")(layout)
    assert list(layout) == [mm.FILL.itemsize, *(mm.FILL.fields[name][1] for name in mm.FILL.names)]
    assert struct.calcsize("6q16s16sihbbq") == 96
