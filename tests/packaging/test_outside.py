"""Outside programs use the installed package: C and C++ by its headers, Cython by its declarations.

The folder stands alone, so that it can be run against an installed wheel with the source tree gone.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mmcore

HERE = Path(__file__).resolve().parent

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
import mmcore
setup(
    name="outside",
    ext_modules=cythonize(
        [Extension("outside", ["outside.pyx"], include_dirs=[mmcore.get_include()])], language_level="3"
    ),
)
"""

OUTSIDE = """
from mmcore.quoting cimport Policy, mm_cell, mm_depths

def depths(Policy policy, double inventory):
    cdef mm_cell cell
    mm_depths(policy.c_policy, inventory, 1.0, 0, &cell)
    return cell.depth[0], cell.depth[1]
"""


@pytest.mark.parametrize(
    ("compiler", "flags"),
    [
        ("cc", ["-std=c11"]),
        ("c++", ["-std=c++17", "-x", "c++"]),
    ],
)
def test_a_program_without_python_quotes_and_books(compiler, flags, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    program = tmp_path / "quote"
    subprocess.run(
        [compiler, *flags, "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{mmcore.get_include()}",
         str(HERE / "quote.c"), "-o", str(program), "-lm"],
        check=True,
    )  # fmt: skip
    said = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    # depths at q = 2: 1.5 + 0.5 and 1.5 - 0.5
    assert said.split() == ["98", "101", "1"]


def test_an_outside_cython_module_reads_a_policy(tmp_path):
    if not sysconfig.get_config_var("CC") and sys.platform != "win32":
        pytest.skip("needs a C compiler")
    (tmp_path / "setup.py").write_text(SETUP)
    (tmp_path / "outside.pyx").write_text(OUTSIDE)
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tmp_path, check=True, timeout=300
    )
    # A fresh process: the declarations alone must find the module.
    said = subprocess.run(
        [sys.executable, "-c",
         "import outside, mmcore; print(outside.depths(mmcore.Affine(base=(1.5, 2.0), slope=0.25), 2.0))"],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert said.strip() == "(2.0, 1.5)"
