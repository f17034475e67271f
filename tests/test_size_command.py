"""`mmcore size`: what it says is what the functions say."""

import gzip
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import mmcore as mm
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
    assert "lots from the target" in size("rebalance-band", *given).output


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
        ("date;AAA;BBB\n2020;0,01;0,02\n", "line 1: one column, 'date;AAA;BBB'"),
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
@pytest.mark.parametrize("numbers", [range(6), range(10, 0, -2), range(-6, 30, 7)])
def test_a_first_column_that_counts_is_no_asset(tmp_path, name, numbers):
    rows = ["0.01,0.02,-0.01", "0.02,-0.01,0.03", "-0.02,0.01,0.01", "0.01,0.01,0.02", "0.0,0.02,0.01"]
    path = tmp_path / "returns.csv"
    table = [f"{i},{row}" for i, row in zip(numbers, rows, strict=False)]
    path.write_text("\n".join([f"{name},AAA,BBB,CCC", *table]))
    assert list(told("mean-variance", path)["weights"]) == ["AAA", "BBB", "CCC"]
    if min(numbers) >= 0:  # one step of another length, and they are returns
        other = table[-1].replace(str(numbers[4]), "0.5", 1)
        path.write_text("\n".join([f"{name},AAA,BBB,CCC", *table[:-1], other]))
        assert name in told("mean-variance", path)["weights"]


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
