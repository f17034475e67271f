"""`mmcore size`: what it says is what the functions say."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import mmcore as mm
from mmcore.execution import AlmgrenChriss
from mmcore.inventory_control import Demand, eoq, newsvendor


def size(*arguments):
    from mmcore.cli.group import mmcore

    return CliRunner().invoke(mmcore, ["size", *map(str, arguments)])


def told(*arguments):
    ran = size(*arguments, "--json")
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def test_order_quantities():
    given = ("--demand", 1300, "--order-cost", 8, "--holding-cost", 0.225)
    found = told("eoq", *given)
    assert found["quantity"] == pytest.approx((2 * 1300 * 8 / 0.225) ** 0.5, rel=1e-14)
    late = told("eoq", *given, "--backorder-cost", 0.5)
    assert late["cost"] == eoq(1300, 8, 0.225, backorder_cost=0.5).cost < found["cost"]
    assert "304.04678" in size("eoq", *given).output


@pytest.mark.parametrize(
    ("text", "demand"),
    [
        ("normal:120,10", Demand.normal(120, 10)),
        ("poisson:120", Demand.poisson(120)),
        ("gamma:2,3", Demand.gamma(2, 3)),
    ],
)
def test_newsvendors(text, demand):
    found = told("newsvendor", "--demand", text, "--holding-cost", 2, "--stockout-cost", 18)
    expected = newsvendor(2, 18, demand)
    assert (found["quantity"], found["cost"]) == (expected.quantity, expected.cost)


@pytest.fixture
def returns(tmp_path):
    random = np.random.default_rng(2)
    table = 0.01 * random.standard_normal((60, 3)) + [0.0, 0.001, 0.002]
    lines = ["date,A,B,C", *(f"day {i},{a!r},{b!r},{c!r}" for i, (a, b, c) in enumerate(table.tolist()))]
    path = tmp_path / "returns.csv"
    path.write_text("\n".join(lines))
    return path, table


def test_portfolios_from_a_file(returns, tmp_path):
    pytest.importorskip("matplotlib")
    path, table = returns
    picture = tmp_path / "frontier.png"
    found = told("mean-variance", path, "--risk-aversion", 5, "--plot", picture)
    covariance, mean = np.cov(table, rowvar=False), table.mean(axis=0)
    expected = mm.mean_variance(covariance, mean, risk_aversion=5, lower=0.0, upper=1.0)
    assert list(found["weights"]) == ["A", "B", "C"]
    np.testing.assert_allclose(list(found["weights"].values()), expected.weights, rtol=1e-12)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "conditions of optimality hold" in size("mean-variance", path).output


def test_schedules(tmp_path):
    pytest.importorskip("matplotlib")
    options = ("--quantity", 1e6, "--horizon", 5, "--periods", 5, "--sigma", 0.95, "--temporary", 2.5e-6)
    found = told("execution", *options, "--risk-aversion", 1e-7, "--plot", tmp_path / "schedule.png")
    expected = AlmgrenChriss(1e6, 5, 5, 0.95, temporary=2.5e-6, risk_aversion=1e-7)
    assert found["expected_cost"] == expected.expected_cost
    assert found["holdings"] == expected.holdings.tolist()
    assert (tmp_path / "schedule.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eoq", "--demand", 5), "needed, but not given: --order-cost"),
        (
            ("newsvendor", "--demand", "normal:1", "--holding-cost", 1, "--stockout-cost", 1),
            "one of normal:a,b",
        ),
        (("mean-variance", "--target-risk", 1e-5), "target_risk must be at least"),
        (("mean-variance", "--risk-aversion", 1, "--target-risk", 1), "a risk aversion or one target"),
        (("mean-variance", "--plot", "/nodir/x.png"), "--plot must be"),
        (("execution", "--quantity", 1), "--horizon"),
    ],
)
def test_what_is_wrong_is_said(arguments, words):
    ran = size(*arguments)
    assert ran.exit_code == 2
    assert words in ran.output + ran.stderr
