"""Only what pyproject.toml cannot say: the extensions, and the shipping of .pxd and headers."""

import os
import shutil
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext as _build_ext
from setuptools.command.build_py import build_py as _build_py

MODULES = sorted(p.stem for p in Path("src/mmcore").glob("*.pyx"))

# Modules that need no GIL: what they hold is immutable, or belongs to one call. They say so where
# MMCORE_FREE_THREADED is set, as the workflows' free-threaded job does: no wheel claims what has not run.
FREE_THREADED = ["bellman", "decimals", "errors", "lattice", "market_making"]

DEBUG = os.environ.get("MMCORE_DEBUG") == "1"  # bounds checks, asserts, no optimisation
SANITIZE = os.environ.get("MMCORE_SANITIZE", "")  # "address", "undefined", "thread", or a list
COVERAGE = os.environ.get("MMCORE_COVERAGE") == "1"  # calls for a fuzzer, fuzz/coverage.c

# Floating point is part of the contract: no contraction into FMA, no fast-math, so that every
# build of every platform gives the same bits. Nobody reads errno or traps: without them loops that choose
# between two values vectorise, to the same bits.
UNIX = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fvisibility=hidden"]
UNIX += ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"] if DEBUG else ["-O3", "-g0"]
MSVC = ["/fp:precise", "/std:c11", "/experimental:c11atomics"] + (["/Od", "/Zi"] if DEBUG else ["/O2"])
if SANITIZE:
    UNIX += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=all"]
if COVERAGE:
    UNIX += ["-fsanitize-coverage=trace-pc,trace-cmp"]

# source tree -> place inside the installed package
PUBLIC = {
    **{p: f"mmcore/{p.name}" for p in sorted(Path("src/mmcore").glob("*.pxd"))},
    **{p: f"mmcore/include/mmcore/{p.name}" for p in sorted(Path("include/mmcore").glob("*.h"))},
}


class build_py(_build_py):
    """Ship the .pxd beside the extensions and the headers below ``mmcore/include``."""

    def _public(self):
        return {os.path.join(self.build_lib, dst): str(src) for src, dst in PUBLIC.items()}

    def run(self):
        super().run()
        if not self.editable_mode:
            for dst, src in self._public().items():
                self.mkpath(os.path.dirname(dst))
                self.copy_file(src, dst, preserve_mode=False)

    def get_source_files(self):  # -> sdist
        return super().get_source_files() + [str(p) for p in PUBLIC]

    def get_outputs(self, include_bytecode=True):
        return super().get_outputs(include_bytecode) + list(self._public())

    def get_output_mapping(self):  # -> strict editable installs link these
        return {**super().get_output_mapping(), **self._public()}


class build_ext(_build_ext):
    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        flags = MSVC if self.compiler.compiler_type == "msvc" else UNIX
        for ext in self.extensions:
            ext.extra_compile_args = flags + ext.extra_compile_args
            if SANITIZE:
                ext.extra_link_args = [f"-fsanitize={SANITIZE}"]
        super().build_extensions()

    def copy_extensions_to_source(self):
        # Editable installs: Cython searches sys.path for .pxd, so they stand beside the .so.
        super().copy_extensions_to_source()
        for src in PUBLIC:
            if src.suffix == ".pxd":
                dst = Path("python/mmcore", src.name)
                dst.unlink(missing_ok=True)
                try:
                    dst.symlink_to(os.path.relpath(src, dst.parent))
                except OSError:  # Windows without the symlink privilege
                    shutil.copyfile(src, dst)


def extension(name):
    return Extension(
        f"mmcore.{name}",
        [f"src/mmcore/{name}.pyx"],
        include_dirs=["include", numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=[str(p) for p in PUBLIC],
    )


def compiled(extensions, free_threaded=False):
    return cythonize(
        extensions,
        include_path=["src"],
        shared_utility_qualified_name="mmcore._cyutility",
        build_dir="build/cython",
        compiler_directives={
            "language_level": "3",
            "boundscheck": DEBUG,
            "wraparound": False,
            "cdivision": not DEBUG,
            "initializedcheck": DEBUG,
            "embedsignature": True,
            "auto_pickle": False,
            "freethreading_compatible": free_threaded,
        },
    )


setup(
    ext_modules=compiled([extension(name) for name in MODULES if name not in FREE_THREADED])
    + compiled(
        [
            *map(extension, FREE_THREADED),
            Extension("mmcore._cyutility", ["src/mmcore/_cyutility.c"]),  # written by cythonize
        ],
        os.environ.get("MMCORE_FREE_THREADED") == "1",
    ),
    cmdclass={"build_py": build_py, "build_ext": build_ext},
)
