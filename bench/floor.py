"""The floor of a scalar call: an empty compiled method, built with the flags of mmcore itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from sysconfig import get_config_var
from typing import Any

__all__ = ["empty"]

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

flags = ["-O3", "-g0", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
extension = Extension("empty", ["empty.pyx"], extra_compile_args=flags)
directives = {"boundscheck": False, "wraparound": False, "cdivision": True, "initializedcheck": False}
setup(ext_modules=cythonize([extension], compiler_directives=directives))
"""


def empty() -> Any:
    """Return an ``Empty`` of bench/empty.pyx, compiled when it changed."""
    source = Path(__file__).with_name("empty.pyx")
    place = Path("build/bench/empty")
    library = place / f"empty{get_config_var('EXT_SUFFIX')}"
    if not library.exists() or library.stat().st_mtime < source.stat().st_mtime:
        place.mkdir(parents=True, exist_ok=True)
        (place / "empty.pyx").write_text(source.read_text())
        (place / "setup.py").write_text(SETUP)
        command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
        subprocess.run(command, cwd=place, check=True, stdout=subprocess.DEVNULL)
    spec = spec_from_file_location("empty", library)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Empty()
