"""The Bellman kernels as C and C++: strict compilers, and two threads under the thread sanitizer."""

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import mmcore as mm

HERE = Path(__file__).parent
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off", "-O2", f"-I{mm.get_include()}"]


def compiler(variable, *names):
    """Return the command of the C or C++ compiler, or skip."""
    configured = shlex.split(sysconfig.get_config_var(variable) or "")[:1]
    for name in [*configured, *names]:
        if found := shutil.which(name):
            return found
    return pytest.skip(f"needs a compiler ({', '.join(names)})")


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined", None])
def test_two_threads_race_nowhere_and_give_the_bits_of_one(tmp_path, sanitizer):
    cc = compiler("CC", "cc", "gcc", "clang")
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-g"] if sanitizer else []
    built = subprocess.run(
        [
            cc,
            "-std=c11",
            *STRICT,
            *flags,
            HERE / "bellman_threads.c",
            "-o",
            tmp_path / "run",
            "-pthread",
            "-lm",
        ],
        capture_output=True,
        text=True,
    )
    if sanitizer and built.returncode and "sanitize" in built.stderr + "lsan tsan":
        plain = subprocess.run(
            [
                cc,
                "-std=c11",
                *STRICT,
                HERE / "bellman_threads.c",
                "-o",
                tmp_path / "plain",
                "-pthread",
                "-lm",
            ],
            capture_output=True,
        )
        if plain.returncode == 0:
            pytest.skip(f"this compiler has no {sanitizer} sanitizer")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([tmp_path / "run"], capture_output=True, text=True, timeout=120)
    if sanitizer == "thread" and "unexpected memory mapping" in ran.stderr:
        pytest.skip("the thread sanitizer does not run on this kernel")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == "same bits\n"


def test_the_header_is_cpp_too(tmp_path):
    cxx = compiler("CXX", "c++", "g++", "clang++")
    source = tmp_path / "header.cpp"
    source.write_text('#include "mmcore/gmres.h"\nint main() { return 0; }\n')
    built = subprocess.run(
        [cxx, "-std=c++17", *STRICT, source, "-o", tmp_path / "run"], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr
