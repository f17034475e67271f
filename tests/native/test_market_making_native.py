"""The market-making kernels in C: the same bits in each thread and build, and sanitizers find nothing."""

import subprocess
from pathlib import Path

import pytest

from .building import CHECKED, C, compiler, include

SOURCE = Path(__file__).parent / "market_making.c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-ffp-contract=off"]
BUILDS = {
    "plain": ["-O3"],
    "one level": ["-O3", "-DMMCORE_ONE_LEVEL"],
    "not optimised": ["-O0"],
    "address and undefined": ["-O1", "-g", *CHECKED],
    "thread": ["-O1", "-g", "-fsanitize=thread"],
}


def run(flags, folder):
    """Return what the program prints, or None where this compiler cannot link or start it so."""
    command = [compiler(*C), *STRICT, *flags, include(), str(SOURCE), "-o", str(folder / "solve")]
    built = subprocess.run([*command, "-lm", "-lpthread"], capture_output=True, text=True)
    if built.returncode:
        assert "-fsanitize" in " ".join(flags), built.stderr
        return None
    ran = subprocess.run([folder / "solve"], capture_output=True, text=True)
    if "unexpected memory mapping" in ran.stderr:  # the sanitizer cannot start on this kernel
        return None
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("name", BUILDS)
def test_every_build_and_thread_finds_the_same_bits(name, tmp_path):
    plain, found = run(BUILDS["plain"], tmp_path), run(BUILDS[name], tmp_path)
    if found is None:
        pytest.skip(f"no sanitizer here: {name}")
    assert len(set(plain)) == 1
    assert found == plain
