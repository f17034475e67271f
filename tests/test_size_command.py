"""`mmcore size`: what it says is what the functions say."""

import gzip
import json
import math
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mmcore as mm
from mmcore.errors import ModelWarning
from mmcore.execution import AlmgrenChriss
from mmcore.inventory_control import Demand, base_stock_service, eoq, newsvendor, optimal_s_S, rebalance_band


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
    assert found["lots_cost"] == pytest.approx(1300 * 8 / 304 + 0.225 * 304 / 2, rel=1e-14)
    few = told("eoq", "--demand", 3, "--order-cost", 8, "--holding-cost", 60, "--production-rate", 12)
    assert (few["lots"], few["lots_cost"]) == (1, pytest.approx(3 * 8 / 1 + 60 * (1 - 3 / 12) / 2, rel=1e-14))
    assert "304.04678" in size("eoq", *given).output


@pytest.mark.parametrize(
    ("text", "demand"),
    [
        ("normal:120,10", Demand.normal(120, 10)),
        ("poisson:120", Demand.poisson(120)),
        ("gamma:2,3", Demand.gamma(2, 3)),
        ("lognormal:0.1,0.05", Demand.lognormal(0.1, 0.05)),  # no whole units
        ("lognormal:1e7,1e5", Demand.lognormal(1e7, 1e5)),
    ],
)
def test_newsvendors(text, demand):
    found = told("newsvendor", "--demand", text, "--holding-cost", 2, "--stockout-cost", 18)
    expected = newsvendor(2, 18, demand)
    assert (found["quantity"], found["cost"]) == (expected.quantity, expected.cost)


def test_base_stocks_over_a_lead_time():
    costs = ("--holding-cost", 2, "--stockout-cost", 18)
    found = told("newsvendor", "--demand", "poisson:12", *costs, "--lead-time", 3)
    law = Demand.poisson(12)
    expected = newsvendor(2, 18, law.over(4))
    assert (found["quantity"], found["cost"]) == (expected.quantity, expected.cost)
    assert found["fill_rate"] == base_stock_service(expected.quantity, law, lead_time=3).fill_rate


def test_bands():
    given = ("--turnover", 0.05, "--cost", 3, "--sigma", 2, "--risk-aversion", 1e-4)
    expected = rebalance_band(0.05, 3, sigma=2, risk_aversion=1e-4)
    found = told("rebalance-band", *given)
    assert (found["band"], found["lots"], found["cost"]) == (expected.quantity, 39, expected.cost)
    assert found["lots_cost"] == pytest.approx(0.05 * 3 / 39 + 2e-4 * 39 / 2, rel=1e-14)
    output = size("rebalance-band", *given).output
    assert "lots from the target" in output
    assert "tick·lots a second, of the whole number" in output


def test_ordering_up_to():
    given = ("--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9, "--order-cost", 64)
    assert list(told("order-up-to", *given).values())[:3] == list(optimal_s_S(1, 9, 64, Demand.poisson(20)))
    late = told("order-up-to", *given, "--lead-time", 2)
    assert late["cost"] == optimal_s_S(1, 9, 64, Demand.poisson(20), lead_time=2).cost


@pytest.mark.parametrize(
    "arguments",
    [
        ("eoq", "--demand", 1300, "--order-cost", 8, "--holding-cost", 0.2, "--backorder-cost", 1),
        ("rebalance-band", "--turnover", 0.05, "--cost", 3, "--capital-charge", 1e-4),
        ("newsvendor", "--demand", "gamma:20,5", "--holding-cost", 1, "--stockout-cost", 9),
        ("newsvendor", "--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9, "--quantity", 3),
        (
            *("order-up-to", "--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9),
            *("--order-cost", 64, "--lead-time", 2),
        ),
    ],
)
def test_pictures(arguments, tmp_path):
    pytest.importorskip("matplotlib")
    picture = tmp_path / "costs.png"
    found = told(*arguments, "--plot", picture)
    assert found["plot"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert str(picture) in size(*arguments, "--plot", picture).output.replace("\n", "").replace("  ", "")


def test_alone_it_says_what_there_is():
    ran = size()
    assert ran.exit_code == 0
    assert all(name in ran.output for name in ("eoq", "rebalance-band", "order-up-to", "Examples:"))


def shown():
    """The commands of the help of `mmcore size` and of each command below it, and of the documents."""
    from mmcore.cli.size import command

    helps = {"size": size("--help"), **{name: size(name, "--help") for name in command.commands}}
    for name, ran in helps.items():
        lines = [line.strip() for line in ran.output.partition("Examples:")[2].splitlines()]
        lines = [line for line in lines if line]
        assert lines, name
        assert all(line.startswith(f"mmcore size{' ' + name if name != 'size' else ''} ") for line in lines)
        yield from lines
    for page in (Path(__file__).parents[1] / "docs").glob("*.md"):
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S):
            yield from (line for line in block.splitlines() if line.startswith("mmcore size "))


def test_every_command_that_is_shown_runs(returns, monkeypatch):
    path, _ = returns
    monkeypatch.chdir(path.parent)
    lines = list(shown())
    assert any("returns.csv" in line for line in lines)  # a document's
    for line in lines:
        ran = size(*shlex.split(line, comments=True)[2:])
        assert ran.exit_code == 0, (line, ran.output)


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


def test_limits_of_groups_and_of_single_assets(returns, tmp_path):
    pytest.importorskip("piqp")
    path, table = returns
    options = ("--risk-aversion", 1, "--cap", "C:0.3", "--group", "A, C:0.4:", "--group", "B,C::0.7")
    found = told("mean-variance", path, *options)
    weights = found["weights"]
    assert weights["C"] == 0.3
    assert weights["A"] + weights["C"] >= 0.4 - 1e-15
    assert weights["B"] + weights["C"] == pytest.approx(0.7, abs=1e-15)
    expected = mm.mean_variance(
        *(np.cov(table, rowvar=False), table.mean(axis=0), 1.0),
        lower=0.0,
        upper=[1.0, 1.0, 0.3],
        groups={"A, C": ([0, 2], 0.4, None), "B, C": ([1, 2], None, 0.7)},
    )
    assert list(weights.values()) == pytest.approx(expected.weights, abs=1e-14)
    assert list(found["groups"]) == ["B,C::0.7"]
    assert list(found["groups"].values()) == pytest.approx(list(expected.constraint_multipliers.values()))
    told_of = size("mean-variance", path, *options).output
    assert "B, C: 0.7000 together, a limit that binds." in told_of
    assert "A, C: 0.6000 together." in told_of
    pytest.importorskip("matplotlib")
    told("mean-variance", path, *options, "--plot", tmp_path / "frontier.png")
    assert (tmp_path / "frontier.png").stat().st_size > 5000


def test_limits_that_exclude_each_other_are_named_as_they_were_typed(returns):
    pytest.importorskip("piqp")
    path, _ = returns
    for limits, words in (
        (("--cap", "C:0.1", "--group", "C:0.2:"), "all of --group C:0.2:, --cap C:0.1: together"),
        (("--group", "A, C::0.3", "--upper", 0.4), "all of a sum of 1, --group A, C::0.3, --upper (B): tog"),
        (("--group", "A,C::0.3", "--lower", 0.2), "of --group A,C::0.3, --lower (A), --lower (C): together"),
    ):
        ran = size("mean-variance", path, *limits)
        assert ran.exit_code == 2
        assert words in ran.stderr
        assert "[" not in ran.stderr


def test_names_may_hold_commas_colons_and_other_letters(returns):
    pytest.importorskip("piqp")
    path, table = returns
    rows = "\n".join(f"{a!r},{b!r},{c!r}" for a, b, c in table.tolist())
    path.write_text(f'"Acme, Inc.",B:C,Ünï "x"\n{rows}\n'.replace('Ünï "x"', '"Ünï ""x"""'), encoding="utf-8")
    options = ("--cap", "Acme, Inc.:0.4", "--cap", 'Ünï "x":0.5', "--group", 'Acme, Inc., Ünï "x":0.2:0.6')
    weights = told("mean-variance", path, *options)["weights"]
    assert list(weights) == ["Acme, Inc.", "B:C", 'Ünï "x"']
    expected = mm.mean_variance(
        *(np.cov(table, rowvar=False), table.mean(axis=0), 1.0),
        lower=0.0,
        upper=[0.4, 1.0, 0.5],
        groups={"both": ([0, 2], 0.2, 0.6)},
    )
    assert list(weights.values()) == pytest.approx(expected.weights, abs=1e-14)
    ran = size("mean-variance", path, "--group", "Acme, B:C:0.2:0.6")
    assert "no asset 'Acme'; there are Acme, Inc.; B:C; Ünï" in ran.stderr


def test_prices_are_told_from_returns(tmp_path):
    """What may be either is not guessed; a price below 1 is a price."""
    random = np.random.default_rng(5)
    price = np.exp(np.cumsum(0.02 * random.standard_normal((40, 2)), axis=0)) * [0.5, 0.01]
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(["t,A,B", *(f"d{i},{a!r},{b!r}" for i, (a, b) in enumerate(price.tolist()))]))
    ran = size("mean-variance", path)
    assert ran.exit_code == 2
    assert "line 2: all numbers are above 0: say whether they are --prices or --returns" in ran.stderr
    made = price[1:] / price[:-1] - 1.0
    expected = mm.mean_variance(np.cov(made, rowvar=False), made.mean(axis=0), 3, lower=0.0, upper=1.0)
    found = told("mean-variance", path, "--prices", "--risk-aversion", 3)
    assert list(found["weights"].values()) == pytest.approx(expected.weights, rel=1e-9)
    assert "2 assets, returns of 39 periods, made of prices" in size("mean-variance", path, "--prices").output
    taken = mm.mean_variance(np.cov(price, rowvar=False), price.mean(axis=0), 3, lower=0.0, upper=1.0)
    assert told("mean-variance", path, "--returns", "--risk-aversion", 3)["risk"] == pytest.approx(taken.risk)
    path.write_text("t,A,B\na,1,2\nb,1.5,0\nc,1,2\nd,1,2\n")
    ran = size("mean-variance", path, "--prices")
    assert "line 3: B: '0' is no price above 0: are these --returns?" in ran.stderr
    path.write_text("t,A,B\na,1,2\nb,1.5,0.5\nc,1,2\n")
    assert "line 4: 3 rows of prices: four are needed" in size("mean-variance", path, "--prices").stderr
    path.write_text("t,A,B\na,0.1,-0.2\nb,0.1,0.2\nc,-0.1,0\n")
    assert "2 assets, returns of 3 periods" in size("mean-variance", path).output


def test_a_model_that_is_perhaps_not_meant_is_noted():
    costs = ("--holding-cost", 1, "--stockout-cost", 9)
    found = told("newsvendor", "--demand", "normal:20,50", *costs)
    (note,) = found["notes"]
    assert note.startswith("0.34 of normal demand is below 0 and counts as units that come back")
    ran = size("order-up-to", "--demand", "lognormal:0.3,0.1", *costs, "--order-cost", 1)
    assert "note  lognormal demand of mean 0.3 and standard deviation 0.1 is counted" in ran.output
    assert told("order-up-to", "--demand", "poisson:20", *costs, "--order-cost", 64)["notes"] == []
    small = told("newsvendor", "--demand", "lognormal:0.3,0.1", *costs, "--lead-time", 2)
    assert small["quantity"] == newsvendor(1, 9, Demand.lognormal(0.3, 0.1).over(3)).quantity
    assert small["notes"] == []


def test_a_spread_that_counting_moves_is_named():
    """The mean of a normal demand about a whole number stays where it was."""
    z = 2.0**-0.5 / 0.3
    spread = (math.erfc(0.5 * z) + 3.0 * math.erfc(1.5 * z)) ** 0.5
    words = f"which makes its mean 5 and its standard deviation {spread:.6g}: give it in smaller units"
    with pytest.warns(ModelWarning, match=words):
        Demand.normal(5, 0.3).table()


def test_orders_that_cost_nothing_or_all(tmp_path):
    costs = ("--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9)
    found = told("order-up-to", *costs, "--order-cost", 0)
    assert (found["s"], found["S"]) == (25, 26)
    assert found["cost"] == pytest.approx(newsvendor(1, 9, Demand.poisson(20)).cost)
    ran = size("order-up-to", *costs, "--order-cost", 1e12)
    assert ran.exit_code == 2
    assert "at an order cost of 1e+12; allowed are 65,536: count in larger units, of 102" in ran.stderr


def test_a_cap_alone_needs_no_other_solver(returns):
    path, _ = returns
    assert told("mean-variance", path, "--risk-aversion", 1, "--cap", "C:0.3")["weights"]["C"] == 0.3


def test_a_schedule_without_aversion_has_no_half_life():
    given = ("execution", "--quantity", 100, "--horizon", 4, "--sigma", 1, "--temporary", 0.1)
    plain = size(*given).output
    assert "inf" not in plain
    assert "no aversion to risk hurries it." in " ".join(plain.split())
    still = ("execution", "--quantity", 100, "--horizon", 4, "--sigma", 0, "--temporary", 0.1)
    calm = " ".join(size(*still, "--risk-aversion", 1).output.split())
    assert "no risk hurries it." in calm
    assert "no aversion" not in calm
    assert "falls by e in" in " ".join(size(*given, "--risk-aversion", 0.01).output.split())


HEAD = "date,AAA,BBB,CCC\n"
ROWS = ["2020-01-01,0.01,0.02,-0.01\n", "2020-01-02,0.0,0.0,0.02\n", "2020-01-03,0.005,-0.01,0.01\n"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + ROWS[0] + ROWS[1].replace(",0.0,", ",,", 1) + ROWS[2], "line 3: AAA: the field is empty"),
        (HEAD + ROWS[0] + "2020-01-02,0.0,0.0\n" + ROWS[2], "line 3: 3 fields, not the 4"),
        (HEAD + ROWS[0] + "2020-01-02,0,0,0,0\n" + ROWS[2], "line 3: 5 fields, not the 4"),
        (HEAD + "".join(ROWS) + "2020-01-04,nan,0,0\n", "line 5: AAA: 'nan' is not a finite number"),
        (HEAD + "\n" + ROWS[0] + ROWS[1] + "x,1%,2%,0\n", "line 5: AAA: '1%' is not a finite number"),
        ("AAA,BBB\n1%,0.1\n2%,0.1\n0%,0.2\n", "line 2: AAA: '1%' is not"),
        ("AAA,BBB\n,0.1\n,0.1\n,0.2\n", "line 2: AAA: the field is empty"),
        (HEAD + ROWS[0] + "2020-01-02,0,-2.5,0\n" + ROWS[2], "line 3: BBB: '-2.5' loses more than all"),
        (
            "date,AAA,BBB\na,0.1,50\nb,0.2,50.5\nc,0.1,51\n",
            "line 2: BBB: all above 1, as prices are: --prices",
        ),
        ("20200101,AAA,BBB\n1,0,0\n", "line 1: '20200101' is a number"),
        ("0.01,0.02\n0.02,0.01\n0,0.03\n", "line 1: '0.01' is a number: the first line names the columns"),
        (
            "date;AAA;BBB\n2020;0,01;0,02\n",
            "line 1: one column, 'date;AAA;BBB', whose names seem to be separated by semicolons: a line",
        ),
        (
            "date\tAAA\n2020\t0.01\n",
            "line 1: one column, 'date\\tAAA', whose names seem to be separated by tabs",
        ),
        (HEAD + ROWS[0] + ROWS[1], "line 3: 2 rows of returns: three are needed"),
        (HEAD, "line 1: 0 rows of returns"),
        ("", "line 1: the file is empty"),
        ("date,AAA\na,0\nb,0.1\nc,0.2\n", "line 1: one asset, 'AAA'"),
        ("date,AAA,AAA\na,0,0\nb,0.1,0\nc,0.2,0\n", "line 1: 'AAA' twice"),
        ("date,AAA,\na,0,0\nb,0.1,0\nc,0.2,0\n", "line 1: column 3 has no name"),
        (b"date,AAA,B\na,0,0\nb,\xff,0\n", "line 3: not text in UTF-8"),
    ],
)
def test_a_file_that_is_no_table_of_returns_is_refused_by_line(tmp_path, text, words):
    path = tmp_path / "returns.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ran = size("mean-variance", path)
    assert ran.exit_code == 2
    assert f"error: {path}, {words}" in ran.stderr


@pytest.mark.parametrize("name", ["idx", "t", "#", "Unnamed: 0"])
@pytest.mark.parametrize("numbers", [range(6), range(-6, 30, 7)])
def test_a_first_column_that_counts_is_no_asset(tmp_path, name, numbers):
    rows = ["0.01,0.02,-0.01", "0.02,-0.01,0.03", "-0.02,0.01,0.01", "0.01,0.01,0.02", "0.0,0.02,0.01"]
    path = tmp_path / "returns.csv"
    table = [f"{i},{row}" for i, row in zip(numbers, rows, strict=False)]
    path.write_text("\n".join([f"{name},AAA,BBB,CCC", *table]))
    found = told("mean-variance", path)
    assert list(found["weights"]) == ["AAA", "BBB", "CCC"]
    note = f"column '{name}' is taken for an index and passed over; with --no-index it is an asset"
    assert found["notes"] == [note]
    assert f"note {note}" in " ".join(size("mean-variance", path).output.split())
    every = told("mean-variance", path, "--no-index", "--returns") if min(numbers) >= 0 else found
    assert list(every["weights"]) == [name, "AAA", "BBB", "CCC"][min(numbers) < 0 :]
    if min(numbers) >= 0:  # one that is not whole, and they are returns
        other = table[-1].replace(str(numbers[4]), "0.5", 1)
        path.write_text("\n".join([f"{name},AAA,BBB,CCC", *table[:-1], other]))
        assert name in told("mean-variance", path)["weights"]


GAPS = {
    "epoch": [1577836800 + 60 * i + 60_000 * (i > 30) for i in range(60)],
    "milliseconds": [1577836800000 + 60_000 * i + 10**7 * (i > 30) for i in range(60)],
    "fractions": [1577836800.5 + 60 * i for i in range(60)],
    "excel": [43831 + i + 2 * (i // 5) for i in range(60)],
}


@pytest.mark.parametrize("stamps", GAPS.values(), ids=GAPS)
@pytest.mark.parametrize("name", ["open_time", "ts", "t", "unix", "epoch", "n", "excel", "Unnamed: 0"])
def test_stamps_with_gaps_are_no_asset_whatever_their_name(tmp_path, name, stamps):
    """The answer is that of the file without them; newest first they are refused."""
    random = np.random.default_rng(4)
    price = 100.0 * np.exp(np.cumsum(0.001 + 0.01 * random.standard_normal((60, 3)), axis=0))
    rows = [",".join(map(repr, row)) for row in price.tolist()]
    alone, path = tmp_path / "alone.csv", tmp_path / "stamped.csv"
    alone.write_text("\n".join(["A,B,C", *rows]))
    lines = [f"{stamp},{row}" for stamp, row in zip(stamps, rows, strict=True)]
    path.write_text("\n".join([f"{name},A,B,C", *lines]))
    options = ("--prices", "--risk-aversion", 3)
    found = told("mean-variance", path, *options)
    assert found["weights"] == told("mean-variance", alone, *options)["weights"]
    assert found["notes"] == [
        f"column {name!r} is taken for an index and passed over; with --no-index it is an asset"
    ]
    path.write_text("\n".join([f"{name},A,B,C", *lines[::-1]]))
    newest = size("mean-variance", path, *options)
    assert newest.exit_code == 2
    assert "prices that are newest first make returns that are wrong" in newest.stderr
    assert newest.stderr.splitlines()[0].endswith("oldest first; with --no-index it is an asset")


def test_what_names_the_periods_can_be_said(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("GOLD,A,when\n1990,10,4\n1991,11,1\n1992,10,3\n1993,12,8\n1994,11,6\n")
    taken = told("mean-variance", path, "--prices")
    assert list(taken["weights"]) == ["A", "when"]
    assert taken["notes"] == [
        "column 'GOLD' is taken for an index and passed over; with --no-index it is an asset"
    ]
    every = told("mean-variance", path, "--prices", "--no-index")
    assert list(every["weights"]) == ["GOLD", "A", "when"]
    assert every["notes"] == []
    last = told("mean-variance", path, "--prices", "--index", "when")
    assert list(last["weights"]) == ["GOLD", "A"]
    assert last["notes"] == []
    path.write_text("A,B\n104,1\n103,2\n102,1\n101,2\n")
    alone = size("mean-variance", path, "--prices").stderr
    assert "line 1: one asset, 'B', beside the index 'A': a portfolio needs two" in alone
    assert list(told("mean-variance", path, "--prices", "--no-index")["weights"]) == ["A", "B"]
    for options, words in (
        (("--index", "C"), "line 1: no column is called 'C', the index; there are A; B"),
        (("--index", "A", "--no-index"), "give --index or --no-index, not both"),
        (("--index", "A"), "one asset, 'B'"),
    ):
        ran = size("mean-variance", path, "--prices", *options)
        assert ran.exit_code == 2
        assert words in ran.stderr
    assert "say what PATH holds: give a PATH" in size("mean-variance", "--no-index").stderr


def test_stamps_that_stand_twice_are_no_asset_either(tmp_path):
    path = tmp_path / "prices.csv"
    words = "'1580515200' twice: column 'ts' must name each period once"
    assert words in _prices(path, "ts", [1580428800, 1580515200, 1580515200, 1580601600]).stderr


@pytest.mark.parametrize("name", ["prices.csv", "lower.csv", "upper/risk_aversion.csv", "budget.csv", "caps"])
def test_a_path_in_an_error_is_the_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("A,B\n1,2\n,3\n4,5\n6,7\n")
    ran = size("mean-variance", name, "--prices")
    assert ran.stderr.startswith(f"error: {name}, line 3: A: the field is empty")


def test_an_error_of_a_demand_shows_what_was_typed():
    costs = ("--holding-cost", 1, "--stockout-cost", 9, "--order-cost", 4)
    ran = size("order-up-to", "--demand", "normal:10,10", *costs)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("error: --demand must be not negative, while 0.1")
    assert "got 'normal:10,10'" in ran.stderr
    assert "Demand(" not in ran.stderr


def _prices(path, name, periods):
    rows = ["10,20,5", "11,19,5.5", "10.5,21,5.25", "12,20.5,5"]
    lines = [f"{period},{row}" for period, row in zip(periods, rows, strict=True)]
    path.write_text("\n".join([f"{name},A,B,C", *lines, ""]))
    return size("mean-variance", path, "--prices", "--json")


DAYS = ["2020-01-30", "2020-01-31", "2020-02-01", "2020-02-02"]


@pytest.mark.parametrize(
    ("name", "periods"),
    [
        ("date", DAYS),
        ("t", [f"{day}T09:30:00Z" for day in DAYS]),
        ("t", [f"{day} 09:30:00.5+01:00" for day in DAYS]),
        ("date", [day.replace("-", "") for day in DAYS]),
        ("Date", ["2020-01", "2020-02", "2020-10", "2021-01"]),
        ("date", [43860, 43861, 43890, 43891]),  # a spreadsheet's days
        ("time", [1580342400, 1580428800.5, 1580515200, 1580601600]),
    ],
)
def test_prices_whose_dates_do_not_rise_are_refused(name, periods, tmp_path):
    path = tmp_path / "prices.csv"
    assert _prices(path, name, periods).exit_code == 0
    newest = _prices(path, name, periods[::-1])
    a, b, c, d = map(str, periods)
    words = (
        f"{path}, line 3: {c!r} stands below {d!r}: prices that are newest first make returns that are wrong"
    )
    assert newest.exit_code == 2
    assert f"error: {words}: sort the rows by column {name!r}, oldest first" in newest.stderr
    mixed = _prices(path, name, [a, c, b, d])
    assert f"line 4: {b!r} stands below {c!r}: prices that are in no order" in mixed.stderr
    twice = _prices(path, name, [a, b, b, d])
    assert f"line 4: {b!r} twice: column {name!r} must name each period once" in twice.stderr


def test_periods_that_begin_again_are_in_order(tmp_path):
    """Months do, and rise; all of them falling do not."""
    path = tmp_path / "prices.csv"
    assert _prices(path, "month", [11, 12, 1, 2]).exit_code == 0
    assert _prices(path, "year", [2020, 2020, 2021, 2021]).exit_code == 0
    for falling in ([2023, 2022, 2021, 2020], [2021, 2021, 2020, 2020]):
        assert "newest first" in _prices(path, "year", falling).stderr
    (note,) = json.loads(_prices(path, "date", ["02/01/20", "01/01/20", "31/12/19", "30/12/19"]).stdout)[
        "notes"
    ]
    assert note == (
        "column 'date' is taken for an index and passed over, for its texts are no ISO dates: the rows are "
        "taken for oldest first"
    )


def test_returns_may_stand_in_any_order_but_not_twice(tmp_path):
    path = tmp_path / "returns.csv"
    rows = ["0.01,-0.02", "0.02,0.01", "-0.01,0.0", "0.0,0.01"]
    made = [f"{day},{row}" for day, row in zip(DAYS, rows, strict=True)]
    path.write_text("\n".join(["date,A,B", *made]))
    rising = told("mean-variance", path)
    path.write_text("\n".join(["date,A,B", *made[::-1]]))
    falling = told("mean-variance", path)
    assert rising["notes"] == falling["notes"] == []
    assert falling["expected_return"] == pytest.approx(rising["expected_return"], rel=1e-12)
    path.write_text("\n".join(["date,A,B", *made, made[1]]))
    assert told("mean-variance", path)["notes"] == [
        "column 'date' names '2020-01-31' twice (line 6): both rows count"
    ]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no paths of pipes")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_pipe_is_read(returns, pack):
    path, _ = returns
    source, sink = os.pipe()
    try:
        with open(sink, "wb") as file:
            file.write(pack(path.read_bytes()))
        assert told("mean-variance", f"/dev/fd/{source}") == told("mean-variance", path)
    finally:
        os.close(source)


def test_what_is_simulated_is_declared(returns):
    path, _ = returns
    (note,) = told("mean-variance")["notes"]
    assert note == "without a PATH the returns are those of a simulated market of 8 assets"
    output = size("mean-variance").output
    assert "a simulated market of 8 assets, returns of 1,000 periods" in output
    assert "simulated" not in size("mean-variance", path).output


def test_limits_that_do_not_bind_are_noted(returns):
    path, _ = returns
    plain = told("mean-variance", path, "--risk-aversion", 1)
    long = "does not bind: where no weight is below 0, none is above 1"
    for given, note in (
        (("--upper", 1.5), f"--upper 1.5 {long}"),
        (("--cap", "C:40"), f"--cap C:40 {long}"),
    ):
        found = told("mean-variance", path, "--risk-aversion", 1, *given)
        assert note in found["notes"]
        assert found["weights"] == plain["weights"]
    tight = told("mean-variance", path, "--risk-aversion", 1, "--upper", 0.4, "--cap", "C:1.5")
    assert tight["weights"]["C"] == 0.4
    assert "--cap C:1.5 does not bind: --upper is 0.4" in tight["notes"]
    short = told("mean-variance", path, "--risk-aversion", 1, "--lower", -1, "--cap", "C:1.5")
    assert short["weights"]["C"] == 1.5
    assert not any("does not bind" in note for note in short["notes"])
    slack = told("mean-variance", path, "--target-risk", 1.5)
    assert (
        f"--target-risk 1.5 does not bind: the portfolio of the largest return has {slack['risk']:.4g}"
        in (slack["notes"])
    )
    low = told("mean-variance", path, "--target-return", -1)
    assert "--target-return -1 does not bind: the portfolio of the least risk has" in low["notes"][-1]
    bound = told("mean-variance", path, "--target-return", 0.001)
    assert not any("does not bind" in note for note in bound["notes"])


def test_rows_of_a_schedule_that_are_left_out_are_counted():
    given = ("execution", "--quantity", 6000, "--horizon", 4, "--sigma", 1, "--temporary", 0.1)
    whole = size(*given, "--periods", 60).output
    assert "rows" not in whole
    assert len(re.findall(r"^ +[0-9.]+ +[0-9,.]+(?: +[0-9,.]+| *)$", whole, re.M)) == 61
    cut = size(*given, "--periods", 61).output
    assert "11 of 62 rows; --json has all." in cut
    assert len(re.findall(r"^ +[0-9.]+ +[0-9,.]+(?: +[0-9,.]+| *)$", cut, re.M)) == 11


def _rows(output):
    """The table of a schedule: time, held and traded; nothing was traded at the start."""
    found = re.findall(r"^ +([0-9.e-]+) +(-?[0-9,.e+-]+)(?: +(-?[0-9,.e+-]+)| *)$", output, re.M)
    return [[float(cell.replace(",", "") or "nan") for cell in row] for row in found]


@pytest.mark.parametrize("quantity", [0.25, -0.25, 1e-5, 100, -6000, 1234567.5, 0.123456789, 1e40])
@pytest.mark.parametrize("periods", [6, 200])
def test_amounts_of_a_schedule_have_their_digits(quantity, periods):
    given = ("execution", f"--quantity={quantity}", "--horizon", 60, "--sigma", 20, "--risk-aversion", 1e-5)
    given += ("--periods", periods, "--temporary", 100)
    found = told(*given)
    assert found["notes"] == []
    np.testing.assert_array_equal(found["trades"], -np.diff(found["holdings"]))
    assert math.fsum(found["trades"]) == pytest.approx(quantity, rel=1e-12)
    output = size(*given).output
    rows = np.array(_rows(output))
    assert rows[0, 1] == quantity
    at = [int(np.argmin(np.abs(np.array(found["times"]) - time))) for time in rows[:, 0]]
    held = np.array(found["holdings"])[at]
    np.testing.assert_allclose(rows[:, 1], held, rtol=0, atol=6e-6 * abs(quantity))
    sign = -1 if quantity > 0 else 1
    np.testing.assert_allclose(rows[1:, 2], sign * np.diff(held), rtol=0, atol=6e-6 * abs(quantity))
    assert ("sold" if quantity > 0 else "bought") in output
    assert np.isnan(rows[0, 2])


def test_one_is_no_plural(tmp_path):
    given = ("execution", "--horizon", 5, "--sigma", 1, "--temporary", 1)
    assert "1 unit in 5" in size(*given, "--quantity", 1).output
    assert "1.5 units in 5" in size(*given, "--quantity", 1.5).output
    path = tmp_path / "prices.csv"
    path.write_text("A,B\n1,2\n")
    assert "line 2: 1 row of prices: four are needed" in size("mean-variance", path, "--prices").stderr
    assert repr(mm.efficient_frontier(np.eye(2), [0.1, 0.1])).startswith("Frontier(1 turning point, ")


def test_bounds_may_be_infinite(tmp_path):
    rows = [f"{a:.4f},{b:.4f}" for a, b in np.random.default_rng(0).normal(0.01, 0.1, (50, 2))]
    path = tmp_path / "returns.csv"
    path.write_text("\n".join(["AAA,BBB", *rows]))
    table = np.array([row.split(",") for row in rows], dtype=float)
    free = mm.mean_variance(np.cov(table, rowvar=False), table.mean(axis=0), 0.1)
    found = told("mean-variance", path, "--risk-aversion", 0.1, "--lower=-inf", "--upper", "inf")
    assert list(found["weights"].values()) == pytest.approx(free.weights, rel=1e-9)
    assert max(free.weights) > 1
    assert "must be a number, inf or -inf" in size("mean-variance", path, "--upper", "nan").stderr


@pytest.mark.parametrize("name", ["picture.txt", "picture", "picture.html"])
def test_a_picture_of_no_known_kind_is_refused_at_once(tmp_path, name):
    ran = size("eoq", "--demand", 1, "--order-cost", 1, "--holding-cost", 1, "--plot", tmp_path / name)
    assert ran.exit_code == 2
    assert "--plot must be a name that ends in .png, .pdf or .svg" in ran.stderr


@pytest.mark.parametrize("name", ["date", "", "Date", "time"])
@pytest.mark.parametrize("stamp", ["2020-01-0{}", "2020010{}", "{}"])
def test_a_first_column_of_periods_is_no_asset(tmp_path, name, stamp):
    lines = [f"{name},AAA,BBB,CCC\n"]
    lines += [stamp.format(i) + row[row.index(",") :] for i, row in enumerate(ROWS)]
    path = tmp_path / "returns.csv"
    path.write_text("\ufeff" + "".join(lines), encoding="utf-8")
    assert list(told("mean-variance", path)["weights"]) == ["AAA", "BBB", "CCC"]
    with gzip.open(tmp_path / "returns.csv.gz", "wt") as file:
        file.write("".join(row[row.index(",") + 1 :] for row in lines))
    assert list(told("mean-variance", file.name)["weights"]) == ["AAA", "BBB", "CCC"]


def test_schedules(tmp_path):
    pytest.importorskip("matplotlib")
    options = ("--quantity", 1e6, "--horizon", 5, "--periods", 5, "--sigma", 0.95, "--temporary", 2.5e-6)
    found = told("execution", *options, "--risk-aversion", 1e-7, "--plot", tmp_path / "schedule.png")
    expected = AlmgrenChriss(1e6, 5, 5, 0.95, temporary=2.5e-6, risk_aversion=1e-7)
    assert found["expected_cost"] == expected.expected_cost
    assert found["holdings"] == expected.holdings.tolist()
    slow = told("execution", *options, "--risk-aversion", 1e-5, "--most", 3e5)
    assert slow["holdings"][:3] == pytest.approx([1e6, 7e5, 4e5], rel=1e-12)
    assert slow["expected_cost"] == expected.replace(risk_aversion=1e-5, most=3e5).expected_cost
    assert (tmp_path / "schedule.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("eoq", "--demand", 5), "needed, but not given: --order-cost"),
        (
            ("newsvendor", "--demand", "normal:1", "--holding-cost", 1, "--stockout-cost", 1),
            "--demand must be one of normal:mean,std",
        ),
        (("mean-variance", "--target-risk", 1e-5), "error: --target-risk must be at least"),
        (("mean-variance", "--target-return", 5), "error: --target-return must be at most"),
        (
            ("mean-variance", "--upper", 0.1),
            "--lower, --upper and --cap must let the weights sum to 1: those of 8 assets sum to 0 to 0.8",
        ),
        (("mean-variance", "--lower", 2), "error: --upper: 1 is below --lower, 2"),
        (
            ("mean-variance", "--lower", 0.05, "--cap", "asset 3:0"),
            "error: --cap asset 3:0: 0 is below --lower, 0.05",
        ),
        (("mean-variance", "--prices", "--returns"), "--prices or --returns is given 2 times"),
        (("mean-variance", "--target-risk", 0), "--target-risk must be a finite number > 0, got '0'"),
        (("mean-variance", "--target-risk", -1), "--target-risk must be a finite number > 0, got '-1'"),
        (("mean-variance", "--group", "asset 1,asset 3:inf:"), "a low side below inf and a high side above"),
        (("mean-variance", "--target-risk", "5%"), "> 0, got '5%': 0.05 for 5 %"),
        (("mean-variance", "--cap", "asset 1:12.5%"), "ASSET:MOST, got 'asset 1:12.5%': 0.125 for 12.5 %"),
        (("mean-variance", "--group", "asset 1::50 %"), "got 'asset 1::50 %': 0.5 for 50 %"),
        (("mean-variance", "--prices"), "--prices and --returns say what PATH holds: give a PATH"),
        (
            ("mean-variance", "--group", "asset 1:0.5:0.4"),
            "--group asset 1:0.5:0.4: the least is above the most",
        ),
        (("mean-variance", "--cap", "X:0.1"), "--cap X:0.1: no asset 'X'; there are asset 1; asset 2"),
        (("mean-variance", "--cap", "asset 1"), "--cap must be ASSET:MOST, got 'asset 1'"),
        (("mean-variance", "--cap", "asset 1:"), "--cap must be ASSET:MOST, got 'asset 1:'"),
        (("mean-variance", "--cap", "asset 1,asset 2:1"), "no asset 'asset 1,asset 2'"),
        (("mean-variance", "--cap", "asset 1:nan"), "--cap must be ASSET:MOST, got"),
        (
            ("mean-variance", "--cap", "asset 1:0.1", "--cap", "asset 1:0.2"),
            "--cap asset 1:0.2: the same twice",
        ),
        (("mean-variance", "--group", "asset 1:0.1"), "--group must be ASSETS:LEAST:MOST, got 'asset 1:0.1'"),
        (("mean-variance", "--group", "asset 1,asset 1::1"), "--group asset 1,asset 1::1: the same twice"),
        (
            ("mean-variance", "--group", "asset 1,asset 2::0.5", "--group", "asset 2,asset 1:0.1:"),
            "--group asset 2,asset 1:0.1:: the same twice",
        ),
        (
            ("mean-variance", "--upper", 0.12, "--cap", "asset 1:0.1"),
            "--lower, --upper and --cap must let the weights sum to 1: those of 8 assets sum to 0 to 0.94",
        ),
        (
            ("eoq", "--demand", 5, "--order-cost", 1, "--holding-cost", 1, "--production-rate", 4),
            "error: --production-rate must be above demand, got 4",
        ),
        (
            ("execution", "--quantity", 9, "--horizon", 1, "--sigma", 1, "--temporary", 1, "--most", 3),
            "--most is of a period's trade: give --periods",
        ),
        (
            (
                *("execution", "--quantity", 9, "--horizon", 1, "--sigma", 1, "--temporary", 1),
                *("--most", 2, "--periods", 4),
            ),
            "--most must be numbers >= 0 with a sum of at least 9, got 8",
        ),
        (("mean-variance", "--risk-aversion", 1, "--target-risk", 1), "a risk aversion or one target"),
        (("mean-variance", "--plot", "/nodir/x.png"), "--plot must be"),
        (("execution", "--quantity", 1), "--horizon"),
        (("execution", "--quantity", 1e300), "--quantity must be a finite number >= -1e+60 and <= 1e+60"),
        (
            ("execution", "--quantity", 1, "--horizon", 1e-300, "--sigma", 1, "--temporary", 1e10),
            "the expected cost is beyond the range of numbers",
        ),
        (("execution", "--quantity", 1, "--horizon", 1, "--sigma", 1), "--temporary (temporary impact)"),
        (("eoq", "--demand", 0), "--demand must be a finite number > 0 (units/time), got '0'"),
        (
            ("rebalance-band", "--turnover", 1, "--cost", 1),
            "give --capital-charge or --impact, or --sigma and",
        ),
        (
            ("rebalance-band", "--turnover", 1, "--cost", 1, "--sigma", 1e60, "--risk-aversion", 1),
            "capital charge, γσ²/2 and impact of a lot must be a finite number > 0, of a size from",
        ),
        (("order-up-to", "--demand", "poisson:-1"), "needed, but not given"),
        (("order-up-to", "--order-cost", -1), "--order-cost must be a finite number >= 0, got '-1'"),
        (
            (
                *("newsvendor", "--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9),
                *("--quantity", -5),
            ),
            "--quantity must be a finite number >= 0, got '-5'",
        ),
        (
            ("newsvendor", "--demand", "normal:1,-1", "--holding-cost", 1, "--stockout-cost", 1),
            "--demand normal:1,-1: std must be a finite number > 0, got -1",
        ),
        (("newsvendor", "--lead-time", -1), "--lead-time must be an integer >= 0"),
    ],
)
def test_what_is_wrong_is_said(arguments, words):
    ran = size(*arguments)
    assert ran.exit_code == 2
    assert words in ran.stderr
    assert f"see mmcore size {arguments[0]} --help" in ran.stderr


@pytest.mark.parametrize(
    ("demand", "chosen", "least", "most"),
    [
        ("lognormal:1,100", (), 0, 4),
        ("normal:120,10", (), 80, 160),
        ("poisson:20", ("--quantity", 3), 3, 50),
        ("lognormal:1,100", ("--quantity", 30), 0, 120),
    ],
)
def test_the_picture_of_a_newsvendor_is_round_the_optimum(demand, chosen, least, most, tmp_path, monkeypatch):
    """Best and chosen quantity are within it, and neither is squeezed to the side by a tail."""
    pytest.importorskip("matplotlib")
    from mmcore.cli import size as module

    figure, ax = module._figure()
    monkeypatch.setattr(module, "_figure", lambda: (figure, ax))
    given = ("newsvendor", "--demand", demand, "--holding-cost", 1, "--stockout-cost", 9)
    best = told(*given)["quantity"]
    found = told(*given, *chosen, "--plot", tmp_path / "costs.png")
    low, high = ax.get_xlim()
    assert least <= low <= min(best, found["quantity"])
    assert max(best, found["quantity"]) <= high <= most


@pytest.mark.parametrize("lead_time", [0, 2])
def test_the_picture_of_a_stock_shows_orders_where_they_are_due(lead_time, tmp_path, monkeypatch):
    """Each jump of the position begins at s or below and ends at S."""
    pytest.importorskip("matplotlib")
    from mmcore.cli import size as module

    figure, ax = module._figure()
    monkeypatch.setattr(module, "_figure", lambda: (figure, ax))
    found = told(
        *("order-up-to", "--demand", "poisson:20", "--holding-cost", 1, "--stockout-cost", 9),
        *("--order-cost", 64, "--lead-time", lead_time, "--plot", tmp_path / "stock.png"),
    )
    drawn = {line.get_label(): np.reshape(line.get_ydata(), (-1, 2)) for line in ax.get_lines()}
    assert ("with what is on order" in drawn) == bool(lead_time)
    before, after = drawn.get("with what is on order", drawn["stock"]).T
    assert ((before <= found["s"]) == (after > before)).all()
    assert (after[after > before] == found["S"]).all()
    assert (after > before).sum() > 5
