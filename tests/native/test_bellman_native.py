"""The Bellman kernels as C and C++: strict compilers, and two threads under the thread sanitizer."""

import subprocess
from pathlib import Path

import pytest

from .building import CPP, STRICT, C, build, compiler, include, starts

HERE = Path(__file__).parent
FLAGS = ["-O2", *STRICT, include()]


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined", None])
def test_two_threads_race_nowhere_and_give_the_bits_of_one(tmp_path, sanitizer):
    cc = compiler(*C)
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g"] if sanitizer else []
    if sanitizer and not starts(cc, flags, tmp_path):
        pytest.skip(f"no {sanitizer} sanitizer here")
    build(
        cc, "-std=c11", *FLAGS, *flags, HERE / "bellman_threads.c", "-o", tmp_path / "run", "-pthread", "-lm"
    )
    ran = subprocess.run([tmp_path / "run"], capture_output=True, text=True, timeout=120)
    if sanitizer == "thread" and "unexpected memory mapping" in ran.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == "same bits\n"


def test_the_header_is_cpp_too(tmp_path):
    cxx = compiler(*CPP)
    source = tmp_path / "header.cpp"
    source.write_text('#include "mmcore/gmres.h"\nint main() { return 0; }\n')
    build(cxx, "-std=c++17", *FLAGS, source, "-o", tmp_path / "run")
