"""The surface that other programs build on, as text: compared with ``surface.txt`` by the tests.

A line that goes or changes breaks somebody; one that comes is a promise. Either belongs in the commit that
makes it: ``python tests/packaging/surface.py > tests/packaging/surface.txt``.
"""

import enum
import importlib
import inspect
import pkgutil
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mmcore

STRUCT = re.compile(r"typedef struct (mm_\w+) \{(.*?)\n\} \1;", re.S)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
FIELD = re.compile(r"\*?(\w+)(?:\[[^\]]*\])*$")
DECLARATION = re.compile(r"^ *(?:cdef class|cdef|ctypedef|cpdef|[\w ]+[ *]mm_\w+\()")


def names():
    """Public names of every module, with their parameters."""
    yield f"as Python {sys.version_info.major}.{sys.version_info.minor} tells them"
    modules = ["mmcore"]
    for found in pkgutil.walk_packages(mmcore.__path__, "mmcore."):
        if not any(part.startswith("_") for part in found.name.split(".")) and ".cli" not in found.name:
            modules.append(found.name)
    for name in sorted(modules):
        if name.split(".")[:2] == ["mmcore", "numba"]:
            continue  # needs an extra, and its functions are compiled by it
        module = importlib.import_module(name)
        for public in sorted(getattr(module, "__all__", ())):
            yield from described(f"{name}.{public}", getattr(module, public))


def described(path, value):
    """Lines of a function, a class with its methods, or a value."""
    if inspect.isclass(value) and issubclass(value, enum.Enum):
        yield f"enum {path}"
        yield from (f"  {name} {member.value}" for name, member in value.__members__.items())
    elif inspect.isclass(value):
        yield f"class {path}{parameters(value)}"
        members = {}  # those of bases that are ours too
        for base in reversed(value.__mro__):
            members.update(vars(base) if base.__module__.startswith("mmcore") else {})
        for name, member in sorted(members.items()):
            if name.startswith("_"):
                continue
            member = getattr(member, "__func__", member)
            yield f"  {name}{parameters(member) if callable(member) else ''}"
    elif callable(value):
        yield f"def {path}{parameters(value)}"
    else:
        yield f"value {path}"


def parameters(value):
    """Names of the parameters, with a star where they must be named and = where they may be left out."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        line = (getattr(value, "__doc__", None) or "").split("\n", 1)[0]
        found = re.match(r"[\w.]+\((.*)\)", line)
        return f"({re.sub(r'=[^,]*', '=', found[1])})" if found else ""
    marks, starred = [], False
    for p in signature.parameters.values():
        if p.kind is p.KEYWORD_ONLY and not starred:
            marks.append("*")
            starred = True
        if p.kind is p.VAR_POSITIONAL:
            starred = True
        prefix = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        marks.append(f"{prefix}{p.name}{'' if p.default is p.empty else '='}")
    return f"({', '.join(marks)})"


def structs(compiler):
    """Size of each C struct and offset of each of its fields."""
    include = Path(mmcore.get_include(), "mmcore")
    lines = ["#include <stdio.h>", "#include <stddef.h>"]
    body = []
    for header in sorted(include.glob("*.h")):
        lines.append(f"#include <mmcore/{header.name}>")
        for name, fields in STRUCT.findall(COMMENT.sub("", header.read_text())):
            if name == "mm_api":
                continue
            body.append(f'printf("struct {name} %zu\\n", sizeof({name}));')
            for declared in re.sub(r"struct \{.*?\}", "struct_", fields, flags=re.S).split(";"):
                for part in declared.split(","):
                    found = FIELD.search(part.strip())
                    if found and part.strip():
                        field = found[1]
                        body.append(f'printf("  {field} %zu\\n", offsetof({name}, {field}));')
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "structs.c")
        source.write_text("\n".join([*lines, "int main(void) {", *body, "return 0; }"]))
        program = Path(place, "structs")
        subprocess.run(
            [compiler, "-std=c11", "-w", f"-I{include.parent}", source, "-o", program, "-lm"], check=True
        )
        yield from subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def declarations():
    """What the .pxd files declare."""
    for path in sorted(Path(mmcore.__file__).parent.glob("*.pxd")):
        for line in path.read_text().splitlines():
            if DECLARATION.match(line):
                yield f"{path.name}: {' '.join(line.split('#')[0].split())}"


def symbols():
    """Symbols that the extensions export, by nm."""
    for path in sorted(Path(mmcore.__file__).parent.glob("*.so")):
        told = subprocess.run(
            ["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True
        )
        for symbol in sorted(line.split()[-1] for line in told.stdout.splitlines()):
            if not symbol.startswith("_"):  # the linker's own
                yield f"{path.name.split('.')[0]}: {symbol}"


def surface():
    """Return the parts, each a list of lines; None for what this machine cannot tell."""
    compiler = shutil.which("cc")
    return {
        "Python": list(names()),
        "kernels": [f"{name}: {form}" for name, form in mmcore.api.KERNELS.items()],
        "structs": list(structs(compiler)) if compiler and sys.maxsize > 2**32 else None,
        "declarations": list(declarations()),
        "symbols": list(symbols()) if shutil.which("nm") and sys.platform == "linux" else None,
    }


if __name__ == "__main__":
    for title, lines in surface().items():
        print(f"# {title}", *(lines or []), sep="\n")
