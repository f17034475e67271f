"""Other packages' answers to random models; skipped where `make agree` has not made their environment."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
agree = pytest.importorskip("bench.agree")

RIGHT = [
    "quantecon, discounted: value_iteration",
    "quantecon, discounted: modified_policy_iteration",
    "quantecon, discounted: policy_iteration",
    "quantecon, finite: backward_induction",
    "pymdptoolbox, discounted: PolicyIteration",
    "pymdptoolbox, finite: FiniteHorizon",
    "pymdptoolbox, average: RelativeValueIteration",
    "mdpsolver, average policy: pi",
]


def test_all_methods_of_ours_agree_within_their_bounds():
    found = agree.ours(agree.random_models(6, seed=1))
    assert [np.shape(found[kind]) for kind in ("discounted", "finite", "average")] == [
        (6, 12),
        (6, 21, 12),
        (6,),
    ]


def test_packages_agree_where_they_are_right(tmp_path):
    if not agree.PEERS.exists():
        pytest.skip("no environment build/peers/programs: `make agree` makes it")
    given = agree.random_models(6, seed=2)
    table = agree.compare(given, agree.ours(given), agree.ask(given, tmp_path))
    for name in RIGHT:
        if name in table:  # else the package could not be installed
            assert table[name]["right"] == 6, (name, table[name])
