"""Compilers, and programs in C built over the headers, for the tests of this folder."""

import shlex
import shutil
import subprocess
import sysconfig

import pytest

import mmcore as mm

C, CPP = ("CC", "cc", "gcc", "clang"), ("CXX", "c++", "g++", "clang++")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-ffp-contract=off"]
CHECKED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def compiler(variable, *names):
    """Return the command of the C or C++ compiler, or skip: one that takes the flags of gcc and clang."""
    configured = shlex.split(sysconfig.get_config_var(variable) or "")[:1]
    for name in [*configured, *names]:
        if found := shutil.which(name):
            return found
    return pytest.skip(f"needs one of {', '.join(names)}")


def include():
    return f"-I{mm.get_include()}"


def build(command, *arguments):
    done = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def starts(cc, flags, folder):
    """Whether a program built with these flags, a sanitizer's, links and runs at all."""
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    tried = subprocess.run([cc, *flags, folder / "empty.c", "-o", folder / "empty"], capture_output=True)
    return tried.returncode == 0 and subprocess.run([folder / "empty"]).returncode == 0


def sanitizers(cc, folder):
    """Return the flags of the sanitizers that this compiler can link."""
    return CHECKED if starts(cc, CHECKED, folder) else []
