"""One quote in C: the straight lines give the bytes of the whole pipeline, and sanitizers find nothing."""

import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

import mmcore as mm

SOURCE = Path(__file__).parent / "quote_paths.c"
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffp-contract=off", "-fno-math-errno"]
BUILDS = {
    "optimised": (["-O3"], 2_000_000),
    "address and undefined": (["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], 100_000),
}


@pytest.mark.parametrize("name", BUILDS)
def test_the_straight_lines_and_the_pipeline_quote_the_same(name, tmp_path):
    flags, n = BUILDS[name]
    configured = shlex.split(sysconfig.get_config_var("CC") or "")[:1]
    compiler = next(filter(None, map(shutil.which, [*configured, "cc", "gcc", "clang"])), None)
    if compiler is None:
        pytest.skip("needs a C compiler")
    program = tmp_path / "quote_paths"
    command = [compiler, *STRICT, *flags, f"-I{mm.get_include()}", str(SOURCE), "-o", str(program), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "-fsanitize" in " ".join(flags):
        pytest.skip("no sanitizer here")
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([program, str(n)], capture_output=True, text=True)
    if "unexpected memory mapping" in ran.stderr:  # the sanitizer cannot start on this kernel
        pytest.skip("no sanitizer here")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout) > n / 50
