"""hftbacktest, in the environment of ``make peers``: a strategy that quotes through mmcore, and replays."""

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEER = ROOT / "build/peers/hftbacktest/bin/python"


pytestmark = pytest.mark.skipif(not PEER.exists(), reason="needs build/peers/hftbacktest: make peers")

REPLAYED = """
import json, sys
from bench.hftbacktest_replay import GOALS, cases, market
events = market(300.0, seed=int(sys.argv[1]))
print(json.dumps({i: {name: case().tolist() for name, case in cases(events, i).items()} for i in GOALS}))
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_replay_has_the_fills_of_a_backtest_one_by_one(seed):
    """Trade-through, no latency, an affine policy: equal in time, side and price, at each cadence."""
    told = subprocess.run(
        [PEER, "-c", REPLAYED, str(seed)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'python'}{os.pathsep}{ROOT}"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(told)
    assert set(found) == {"0.1", "0.01", "0.001"}
    for fills in found.values():
        ours = fills["replay"]
        assert {side for _, side, _ in ours} == {-1, 1}
        assert len(ours) > 80
        assert fills.keys() == {
            "replay",
            "replay, with a record of each decision",
            "hftbacktest",
            "hftbacktest, orders looked at after fills alone",
        }
        assert all(other == ours for other in fills.values())


def test_a_strategy_trades_the_same_with_the_formula_inlined_and_with_both_forms_of_ours():
    told = subprocess.run(
        [PEER, "-m", "bench.hftbacktest_peer", "20", "1"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "python")},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = json.loads(told)
    assert found["same"]
    assert found["steps"] == 2000
    assert found["account"][2] > 20  # fills
