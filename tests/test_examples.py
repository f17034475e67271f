"""Every script in examples/ runs from an empty folder and says something."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda p: p.name)
def test_example_runs(script, tmp_path):
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "MMCORE_EXAMPLE": "small"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip()


REBALANCING = next(script for script in EXAMPLES if script.name == "portfolio_rebalancing.py")


def rebalanced(path):
    return subprocess.run(
        [sys.executable, str(REBALANCING), str(path)],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_an_example_reads_names_with_commas_and_other_stamps(tmp_path):
    """The seconds of the first column are no stock, which a note says."""
    random = np.random.default_rng(6)
    price = 100.0 * np.exp(np.cumsum(0.01 * random.standard_normal((800, 4)), axis=0))
    path = tmp_path / "prices.csv"
    rows = [f"{86_400 * (10_000 + day)},{','.join(map(repr, row))}" for day, row in enumerate(price.tolist())]
    path.write_text("\n".join(['ts,"Acme, Inc",B,C,D', *rows]))
    ran = rebalanced(path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.startswith("note: column 'ts' is taken for an index")
    assert "4 stocks, 799 days" in ran.stdout


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (None, "No such file or directory"),
        (["2020-01-03,1,2", "2020-01-02,1,2", "2020-01-01,1,2", "2019-12-31,1,2"], "are newest first"),
        (["2020-01-01,1,2", "2020-01-02,1,2", "2020-01-03,,2", "2020-01-04,1,2"], "line 4: A: the field is"),
        (["2020-01-01,1,2", "2020-01-02,1,2", "2020-01-03,1,2", "2020-01-04,1,2"], "the first month needs"),
    ],
)
def test_an_example_refuses_bad_prices_in_a_line(rows, words, tmp_path):
    path = tmp_path / "prices.csv"
    if rows is not None:
        path.write_text("\n".join(["date,A,B", *rows]))
    ran = rebalanced(path)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith(str(path))
    assert words in line


def test_each_picture_of_the_documents_is_in_the_gallery_below_what_makes_it():
    root = Path(__file__).resolve().parents[1]
    gallery = (root / "docs" / "gallery.md").read_text(encoding="utf-8")
    *parts, rest = re.split(r"!\[[^]]+\]\(pictures/([^)]+)\)", gallery)
    assert not rest.strip()
    assert sorted(parts[1::2]) == sorted(path.name for path in (root / "docs" / "pictures").iterdir())
    for above, name in zip(parts[::2], parts[1::2], strict=True):
        script = re.search(r"`python (examples/\w+\.py)`", above)
        if script is not None:
            assert (root / script[1]).is_file()
        else:
            assert re.search(rf"^mmcore .* --plot {re.escape(name)}$", above, re.M), name
