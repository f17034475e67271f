"""A strategy of hftbacktest that quotes through mmcore, in an environment that ``make peers`` makes."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEER = ROOT / "build/peers/hftbacktest/bin/python"


@pytest.mark.skipif(not PEER.exists(), reason="needs build/peers/hftbacktest: make peers")
def test_a_strategy_trades_the_same_with_the_formula_inlined_and_with_both_forms_of_ours():
    told = subprocess.run(
        [PEER, ROOT / "bench/hftbacktest_peer.py", "20", "1"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(told)
    assert found["same"]
    assert found["steps"] == 2000
    assert found["account"][2] > 20  # fills
