"""Outside programs use the installed package: C and C++ by its headers, Cython by its declarations.

The folder stands alone, so that it can be run against an installed wheel with the source tree gone.
"""

import ctypes
import gc
import json
import math
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import mmcore

HERE = Path(__file__).resolve().parent
EXAMPLES = next((p / "examples/c" for p in HERE.parents if (p / "examples/c").is_dir()), None)
WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wpedantic",
    "-Wdouble-promotion",
    "-Werror",
]
STRICT = [*WARNINGS, "-O2", "-ffp-contract=off"]
LANGUAGES = [("cc", ["-std=c11"]), ("c++", ["-std=c++17", "-x", "c++"])]

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


def built(compiler, flags, source, program):
    """Compile with every warning an error; skip without a compiler."""
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    command = [
        compiler,
        *flags,
        *STRICT,
        f"-I{mmcore.get_include()}",
        source,
        "-o",
        program,
        "-lm",
        "-pthread",
    ]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    return program


def said(*command, **options):
    """Return what a program prints."""
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("compiler", "flags"), LANGUAGES)
def test_a_program_without_python_quotes_and_books(compiler, flags, tmp_path):
    program = built(compiler, flags, HERE / "quote.c", tmp_path / "quote")
    # depths at q = 2: 1.5 + 0.5 and 1.5 - 0.5
    assert said(program).split() == ["98", "101", "1"]


@pytest.mark.parametrize(("compiler", "flags"), LANGUAGES)
def test_each_header_stands_alone(compiler, flags, tmp_path):
    headers = sorted(Path(mmcore.get_include(), "mmcore").glob("*.h"))
    assert len(headers) > 10
    for header in headers:
        source = tmp_path / f"{header.stem}.c"
        source.write_text(f"#include <mmcore/{header.name}>\nint main(void) {{ return 0; }}\n")
        built(compiler, [*flags, "-Wno-unused-function"], source, tmp_path / header.stem)


@pytest.mark.skipif(EXAMPLES is None, reason="needs the examples of the source tree")
def test_a_program_in_c_quotes_from_a_policy_that_python_wrote(tmp_path):
    program = built("cc", ["-std=c11"], EXAMPLES / "quote.c", tmp_path / "quote")
    policy, path = mmcore.Affine(base=1.5, slope=0.25), tmp_path / "policy.bin"
    path.write_bytes(policy.to_bytes())
    # depths at q = 3: 1.5 + 0.75 and 1.5 - 0.75
    assert said(program, path) == "98 x 102, 1 and 1 lots\n"
    path.write_bytes(policy.to_bytes()[:-1])
    refused = subprocess.run([program, path], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (1, "no policy\n")


@pytest.mark.skipif(EXAMPLES is None, reason="needs the examples of the source tree")
@pytest.mark.parametrize(("compiler", "flags"), LANGUAGES)
def test_the_desk_in_c_finds_the_market_that_it_makes_up(compiler, flags, tmp_path):
    words = said(built(compiler, flags, EXAMPLES / "desk.c", tmp_path / "desk")).replace(",", "").split()
    after = {word: words[i + 1 : i + 3] for i, word in enumerate(words)}
    # The market's A is 1.2 and k 0.4; its sigma of 0.5 is that of a mid which is then rounded to half ticks,
    # and two roundings, uniform over a tick, add 2/12 to the variance of a second.
    assert [float(x) for x in after["A"]] == pytest.approx([1.2, 1.2], rel=0.15)
    assert [float(x) for x in after["k"]] == pytest.approx([0.4, 0.4], rel=0.15)
    assert float(after["sigma"][0]) == pytest.approx(math.sqrt(0.25 + 2 / 12), rel=0.1)
    assert float(after["P&L"][0]) > 1000


@pytest.mark.skipif(EXAMPLES is None, reason="needs the examples of the source tree")
def test_the_desk_in_cpp_quotes_while_it_recalibrates(tmp_path):
    told = said(built("c++", ["-std=c++17"], EXAMPLES / "desk.cpp", tmp_path / "desk"))
    assert told.startswith("2000 recalibrations under 400000 quotes")


@pytest.mark.skipif(EXAMPLES is None, reason="needs the examples of the source tree")
@pytest.mark.parametrize(
    ("language", "example", "word"), [("C", "desk.c", "calibrated"), ("CXX", "desk.cpp", "recalibrations")]
)
def test_cmake_finds_the_package_and_the_flags_of_the_wheel(language, example, word, tmp_path):
    for program in ("cmake", {"C": "cc", "CXX": "c++"}[language]):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    version = mmcore.__version__
    (tmp_path / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.15)
project(desk {language})
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
find_package(mmcore {version} CONFIG REQUIRED)
add_executable(desk {EXAMPLES / example})
set_property(TARGET desk PROPERTY C_STANDARD 11)
set_property(TARGET desk PROPERTY CXX_STANDARD 17)
find_package(Threads REQUIRED)
target_link_libraries(desk mmcore::mmcore Threads::Threads)
message(STATUS "found mmcore ${{mmcore_VERSION}}")
"""
    )
    told = said("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-Dmmcore_DIR={mmcore.get_cmake_dir()}")
    assert f"found mmcore {version}" in told
    command = json.loads((tmp_path / "build/compile_commands.json").read_text())[0]["command"].split()
    assert {"-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"} <= set(command)
    said("cmake", "--build", tmp_path / "build")
    assert word in said(tmp_path / "build/desk")


SAME_BITS = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
AS_CL = [f"/clang:{flag}" for flag in SAME_BITS]


@pytest.mark.parametrize(
    ("name", "frontend", "flags"),
    [
        ("GNU", "GNU", SAME_BITS),
        ("Clang", "GNU", SAME_BITS),
        ("AppleClang", "GNU", SAME_BITS),
        ("ARMClang", "GNU", SAME_BITS),
        ("Clang", "MSVC", ["/fp:precise", *AS_CL]),
        ("IntelLLVM", "GNU", ["-fp-model=precise", *SAME_BITS]),  # its own default is that of -ffast-math
        ("IntelLLVM", "MSVC", ["/fp:precise", *AS_CL]),
        ("Intel", "", ["-fp-model=precise", "-no-fma"]),
        ("MSVC", "MSVC", ["/fp:precise"]),
        ("NVHPC", "", ["-Kieee", "-Mnofma"]),
        ("Other", "", []),
    ],
)
def test_cmake_gives_each_compiler_the_flags_that_it_takes(name, frontend, flags, tmp_path):
    """Of compilers that are not here: their names are all that is asked."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    (tmp_path / "CMakeLists.txt").write_text(
        f"""cmake_minimum_required(VERSION 3.15)
project(desk NONE)
set(CMAKE_CXX_COMPILER_ID "{name}")
set(CMAKE_CXX_COMPILER_FRONTEND_VARIANT "{frontend}")
find_package(mmcore CONFIG REQUIRED)
get_target_property(options mmcore::mmcore INTERFACE_COMPILE_OPTIONS)
file(WRITE "{tmp_path}/options" "${{options}}")
"""
    )
    command = ["cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-Dmmcore_DIR={mmcore.get_cmake_dir()}"]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    condition = re.compile(r"\$<\$<COMPILE_LANG_AND_ID:CXX,([\w,]+)>:([^>]*)>")
    options = condition.findall((tmp_path / "options").read_text())
    assert [given for names, given in options if name in names.split(",")] == [";".join(flags)] * bool(flags)
    assert ("does not know how Other" in ran.stderr) == (not flags)


def configured(folder, lists):
    """Configure a project that has one source of each language, and return how that went."""
    for program in ("cmake", "cc", "c++"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    for name, text in lists.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        for suffix in ("c", "cpp"):
            (folder / name).with_name(f"program.{suffix}").write_text("#include <mmcore/types.h>\n")
    command = ["cmake", "-S", folder, "-B", folder / "build", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    return subprocess.run(
        [*command, f"-Dmmcore_DIR={mmcore.get_cmake_dir()}"], capture_output=True, text=True
    )


FOUND = "find_package(mmcore CONFIG REQUIRED)\n"
MADE = "add_library({0} OBJECT program.{1})\ntarget_link_libraries({0} mmcore::mmcore)\n"


@pytest.mark.parametrize(
    "lists",
    [
        {
            "CMakeLists.txt": f"project(top C)\n{FOUND}add_subdirectory(sub)\n{MADE.format('one', 'c')}",
            "sub/CMakeLists.txt": f"project(sub CXX)\n{FOUND}{MADE.format('two', 'cpp')}",
        },
        *(
            {
                "CMakeLists.txt": f"project(top C)\n{FOUND}enable_language(CXX)\n{again}"
                + MADE.format("one", "c")
                + MADE.format("two", "cpp")
            }
            for again in ("", FOUND)
        ),
    ],
    ids=["directory", "later", "found again"],
)
def test_cmake_gives_its_flags_to_a_language_that_comes_later(lists, tmp_path):
    lists["CMakeLists.txt"] = "cmake_minimum_required(VERSION 3.15)\n" + lists["CMakeLists.txt"]
    ran = configured(tmp_path, lists)
    assert ran.returncode == 0, ran.stderr
    commands = json.loads((tmp_path / "build/compile_commands.json").read_text())
    assert sorted(Path(made["file"]).suffix for made in commands) == [".c", ".cpp"]
    for made in commands:
        assert set(SAME_BITS) <= set(made["command"].split())


def test_cmake_finds_nothing_before_a_project_has_a_compiler(tmp_path):
    lists = f"cmake_minimum_required(VERSION 3.15)\n{FOUND}project(top C)\n{MADE.format('one', 'c')}"
    ran = configured(tmp_path, {"CMakeLists.txt": lists})
    assert ran.returncode != 0
    assert "find_package(mmcore) after project()" in " ".join(ran.stderr.split())


def test_cmake_takes_the_versions_that_a_range_holds(tmp_path):
    here = [int(part) for part in mmcore.__version__.split(".")[:3]]
    version, later = mmcore.__version__, ".".join(map(str, [*here[:2], here[2] + 1]))
    for asked, found in {
        f"0.0.1...{version}": True,
        f"0.0.1...<{later}": True,
        f"0.0.1...<{version}": False,
        "0.0.1...0.0.9": False,
        f"{later}...99": False,
        f"{version} EXACT": True,
        f"{later}": False,
        "0.0.1": True,
    }.items():
        find = f"find_package(mmcore {asked} CONFIG REQUIRED)\n"
        lists = f"cmake_minimum_required(VERSION 3.19)\nproject(top C)\n{find}"
        ran = configured(tmp_path, {"CMakeLists.txt": lists})
        assert (ran.returncode == 0) == found, asked + ran.stderr


def test_the_table_of_functions_calls_the_kernels():
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = get(mmcore._C_API, b"mmcore._C_API")
    abi, size = (ctypes.c_uint32 * 2).from_address(table)
    kernels = list(mmcore.api.KERNELS)
    assert abi == 1
    assert size == 8 + ctypes.sizeof(ctypes.c_void_p) * len(kernels)
    pointers = (ctypes.c_void_p * len(kernels)).from_address(table + 8)
    assert list(pointers) == [mmcore.api.address(name) for name in kernels]
    depth = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    policy = mmcore.Affine(base=(1.5, 2.0), slope=0.25)
    at = {
        side: depth(pointers[kernels.index(f"mm_{side}_depth")])(2.0, policy.address)
        for side in ("bid", "ask")
    }
    assert (at["bid"], at["ask"]) == policy.depths(2.0) == (2.0, 1.5)


def test_scipy_integrates_a_depth_of_a_policy_that_nobody_else_holds():
    from scipy.integrate import quad

    bid = mmcore.api.depth_function(mmcore.Affine(base=(1.5, 2.0), slope=0.25), "bid")
    gc.collect()
    assert quad(bid, -2.0, 2.0)[0] == pytest.approx(6.0)
    with pytest.raises(ValueError, match='side must be "bid" or "ask"'):
        mmcore.api.depth_function(mmcore.Affine(base=(1.5, 2.0)), "both")
    path = mmcore.Affine(base=(1.5, 2.0), base_rate=0.1, horizon=60)
    with pytest.raises(ValueError, match=r"policy must be stationary.*got Affine"):
        mmcore.api.depth_function(path, "bid")
    with pytest.raises(TypeError):
        mmcore.api.depth_function(None, "bid")
    with pytest.raises(TypeError):
        mmcore.api.rules(None)
    with pytest.raises(ValueError, match="name must be one of"):
        mmcore.api.address("mm_nothing")


def test_the_header_says_the_version():
    types = Path(mmcore.get_include(), "mmcore/types.h").read_text()
    assert f'#define MMCORE_VERSION "{mmcore.__version__}"' in types


def test_an_outside_cython_module_reads_a_policy(tmp_path):
    compiler = shlex.split(sysconfig.get_config_var("CC") or "")[:1]
    if sys.platform != "win32" and not (compiler and shutil.which(compiler[0])):
        pytest.skip("needs the C compiler that made this Python")
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
