"""One quote in C: the straight lines give the bytes of the whole pipeline, and sanitizers find nothing."""

import subprocess
from pathlib import Path

import pytest

from .building import CHECKED, STRICT, C, build, compiler, include, starts

SOURCE = Path(__file__).parent / "quote_paths.c"
FLAGS = ["-std=c11", *STRICT, "-Wconversion", "-fno-math-errno", include()]
STRAIGHT = 0.114  # of the draws, counted in two million
BUILDS = {
    "optimised": (["-O3"], 2_000_000),
    "address and undefined": (["-O1", *CHECKED], 100_000),
}


@pytest.mark.parametrize("name", BUILDS)
def test_the_straight_lines_and_the_pipeline_quote_the_same(name, tmp_path):
    flags, n = BUILDS[name]
    cc, program = compiler(*C), tmp_path / "quote_paths"
    if name != "optimised" and not starts(cc, flags, tmp_path):
        pytest.skip("no sanitizer here")
    build(cc, *FLAGS, *flags, SOURCE, "-o", program, "-lm")
    ran = subprocess.run([program, str(n)], capture_output=True, text=True)
    if "unexpected memory mapping" in ran.stderr:  # the sanitizer cannot start on this kernel
        pytest.skip("no sanitizer here")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout) > 0.8 * STRAIGHT * n
