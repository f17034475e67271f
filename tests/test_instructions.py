"""No hot kernel takes more instructions than on record, unless the record says why."""

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_no_kernel_takes_more_instructions_than_on_record(monkeypatch, tmp_path):
    specification = importlib.util.spec_from_file_location("instructions", ROOT / "bench/instructions.py")
    instructions = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(instructions)
    if not instructions.can_count():
        pytest.skip("needs a C compiler and valgrind")
    if os.environ.get("LD_PRELOAD") or os.environ.get("MMCORE_SANITIZE"):
        pytest.skip("under a sanitizer")
    known = instructions.recorded().get(instructions.machine())
    if known is None:
        pytest.skip(f"no counts on record for {instructions.machine()}")
    monkeypatch.chdir(tmp_path)
    now = instructions.count()
    assert now.keys() == known.keys()
    risen = {k: (known[k], n) for k, n in now.items() if n > known[k] * (1 + instructions.RISE)}
    assert not risen, f"{risen}: where it is meant, python -m bench.instructions --record REASON"
