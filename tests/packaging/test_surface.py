"""Nothing that other programs build on changes unseen: names, parameters, structs, declarations, symbols."""

import difflib
import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
AGAIN = "python tests/packaging/surface.py > tests/packaging/surface.txt"


@pytest.fixture(scope="module")
def surface():
    specification = importlib.util.spec_from_file_location("surface", HERE / "surface.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.surface()


@pytest.mark.parametrize("part", ["Python", "kernels", "structs", "declarations", "symbols"])
def test_the_surface_is_the_one_on_record(surface, part):
    if surface[part] is None:
        pytest.skip("needs a C compiler on a 64-bit machine, and nm on Linux")
    kept = (HERE / "surface.txt").read_text().split(f"# {part}\n", 1)[1].split("\n# ", 1)[0].splitlines()
    if part == "Python" and kept[0] != surface[part][0]:
        pytest.skip(f"on record {kept[0]}")
    change = list(difflib.unified_diff(kept, surface[part], "on record", "now", lineterm="", n=1))
    assert not change, "\n".join([*change, f"Where this is meant: {AGAIN}"])
