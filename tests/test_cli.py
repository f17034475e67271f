"""The command line, as people and programs use it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("click")
pytest.importorskip("rich")

import click
from click.testing import CliRunner

import mmcore
from mmcore import doctor
from mmcore.cli import main
from mmcore.cli.group import COMMANDS
from mmcore.cli.group import mmcore as group

SHORT = ("--duration", "300")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("MMCORE_CACHE", "off")
    # programs of their own start elsewhere: a relative PYTHONPATH would lead them astray
    monkeypatch.setenv("PYTHONPATH", str(Path(mmcore.__file__).parents[1]))
    return tmp_path


@pytest.fixture
def call(capsys):
    """Run a command; return exit code, standard output, standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(a) for a in arguments])
        captured = capsys.readouterr()
        return left.value.code or 0, captured.out, captured.err

    return run


def commands():
    context = click.Context(group)
    return {name: group.get_command(context, name) for name in group.list_commands(context)}


def child(*arguments, **kwargs):
    code = "from mmcore.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **kwargs,
    )


class TestHelp:
    def test_help_needs_no_numpy(self):
        code = (
            "import sys\nfrom mmcore.cli import main\n"
            "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
            "print(sorted({'numpy', 'scipy', 'rich.table', 'bokeh'} & set(sys.modules)))"
        )
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out.splitlines()[-1] == "[]"
        assert all(name in out for name in COMMANDS)

    def test_the_list_of_commands_says_what_the_commands_say(self):
        for name, command in commands().items():
            assert command.short_help == COMMANDS[name]
            assert command.help.startswith(COMMANDS[name])

    @pytest.mark.parametrize("name", COMMANDS)
    def test_help_shows_units_defaults_and_examples(self, call, name):
        code, out, err = call(name, "--help")
        assert (code, err) == (0, "")
        assert "Examples:" in out
        assert f"  mmcore {name}" in out
        assert max(map(len, out.splitlines())) <= 110
        assert "None" not in out

    @pytest.mark.parametrize(
        "line",
        [line.strip() for command in commands().values() for line in command.examples.strip().splitlines()],
    )
    def test_every_example_runs(self, call, line, monkeypatch):
        monkeypatch.setattr(doctor, "_processors", lambda seconds, progress: ())
        word, *arguments = shlex.split(line)
        assert word == "mmcore"
        if arguments[:2] == ["init", "desk"] and "--force" in arguments:
            call("init", "desk")
        if arguments[:2] == ["solve", "problem.toml"]:
            call("solve", "--example", "problem.toml")
        code, out, err = call(*arguments)
        assert (code, err) == (0, "")
        if "--json" in arguments:
            json.loads(out)

    def test_version(self, call):
        assert call("--version") == (0, f"mmcore {mmcore.__version__}\n", "")

    @pytest.mark.parametrize("group", ["feed", "size"])
    def test_a_group_alone_shows_its_help_and_its_commands_their_examples(self, call, group):
        code, out, err = call(group)
        assert (code, err) == (0, "")
        assert out == call(group, "--help")[1]
        examples = out.partition("Examples:\n")[2].split("\n")
        commands = {line.split()[2] for line in examples if line}
        assert len(commands) > 1
        for command in commands:
            mine = [line for line in examples if line.split()[2:3] == [command]]
            assert call(group, command, "--help")[1].partition("Examples:\n")[2].split("\n") == [*mine, ""]

    def test_no_arguments_show_the_help(self, call):
        code, out, err = call()
        assert (code, err) == (0, "")
        assert "Commands:" in out
        assert out == call("--help")[1]


class TestFeed:
    def test_inspect_says_what_is_odd_and_what_was_left_out(self, call, place):
        (place / "q.csv").write_text(
            "time,EX,bid,ask\n2024-01-01T00:00:00Z,N,1,2\n2024-01-01T00:00:01Z,P,1,2\n"
            "2024-01-01T00:00:01Z,N,3,2\n2024-01-01T00:00:01Z,N,3,2\n2024-01-01T00:01:01Z,N,0,2\n"
        )
        (place / "t.csv").write_text("time,price,size,id\n1704067200,1.005,2,7\n1704067201,2,1,9\n")
        code, out, err = call("feed", "inspect", "t.csv", "--tick", "0.01")
        assert (code, err) == (0, "")
        for words in (
            "1.00 to 2.00, on average 1.3367",
            "volume",
            "off grid trades",
            "missing ids",
            "kept",
        ):
            assert words in out
        code, out, err = call("feed", "inspect", "q.csv", "--tick", "0.01", "--json")
        found = json.loads(out)
        assert (found["crossed_quotes"], found["one_sided_quotes"], found["duplicate_quotes"]) == (2, 1, 1)
        assert found["longest_silence"] == 60.0
        assert found["source"]["files"] == ["q.csv"]
        code, out, err = call("feed", "inspect", "none.csv")
        assert (code, out) == (2, "")
        assert "none.csv" in err

    def test_a_feed_without_oddities_says_nothing(self, call, place):
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n1704067201,1,3\n")
        assert "nothing" in call("feed", "inspect", "q.csv", "--tick", "0.01")[1]

    def test_convert_writes_a_file_that_every_command_reads(self, call, place):
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n1704067201,1,3\n")
        code, out, err = call("feed", "convert", "q.csv", "--tick", "0.01", "--out", "q.events", "--json")
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert told == {
            "path": "q.events", "bytes": (place / "q.events").stat().st_size, "quotes": 2, "trades": 0,
        }  # fmt: skip
        code, out, err = call("feed", "inspect", "q.events")
        assert (code, err) == (0, "")
        assert "q.csv" in out
        assert mmcore.load(place / "q.events").quotes.ask.tolist() == [200, 300]
        for arguments in (("--out", "no/q.events"), ()):
            code, out, err = call("feed", "convert", "q.csv", "--tick", "0.01", *arguments)
            assert (code, out) == (2, "")
            assert "--out" in err

    @pytest.mark.parametrize("out", ["q.csv", "./q.csv", "q.events", "notes.txt"])
    def test_convert_destroys_neither_its_source_nor_another_file(self, call, place, out):
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n")
        (place / "notes.txt").write_text("of the day")
        source = "q.csv"
        if out == "q.events":
            assert call("feed", "convert", source, "--tick", "0.01", "--out", out)[0] == 0
            assert call("feed", "convert", source, "--tick", "0.01", "--out", out)[0] == 0  # replaced
            source = out
        before = (place / out).read_bytes()
        options = () if source == out else ("--tick", "0.01")
        code, printed, err = call("feed", "convert", source, *options, "--out", out)
        assert (code, printed) == (2, "")
        assert "--out must be " in err
        assert ("new file or an event file" if out == "notes.txt" else "another file than PATH") in err
        assert (place / out).read_bytes() == before

    @pytest.fixture
    def no_rows(self, place):
        """Events of hftbacktest, of which only the exchange's half is there."""
        names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
        data = np.zeros(2, [(name, "f8" if name in ("px", "qty", "fval") else "i8") for name in names])
        data["ev"] = 1 << 31
        np.savez(place / "x.npz", data=data)
        return "x.npz", "--tick", "0.01"

    def test_a_feed_of_no_rows_is_inspected_and_not_converted(self, call, place, no_rows):
        code, out, err = call("feed", "inspect", *no_rows)
        assert (code, err) == (0, "")
        assert "0 quotes, 0 trades\n" in out
        assert "2   the exchange's half   left out" in out
        code, out, err = call("feed", "inspect", *no_rows, "--json")
        found = json.loads(out)
        assert (code, found["quotes"], found["trades"], found["start"]) == (0, 0, 0, None)
        before = {file.name for file in place.iterdir()}
        for form in ((), ("--json",)):
            code, _, err = call("feed", "convert", *no_rows, "--out", "x.events", *form)
            assert code == 2
            assert "x.npz: no quotes or trades, so nothing to write; left out: the exchange's half (2)" in err
            assert {file.name for file in place.iterdir()} == before

    @pytest.mark.skipif(sys.platform == "win32", reason="has no /dev/null")
    def test_convert_writes_no_device_and_reads_nothing_for_it(self, call, place, monkeypatch):
        monkeypatch.setattr("mmcore.cli.market.open_market", None)
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n")
        code, _, err = call("feed", "convert", "q.csv", "--tick", "0.01", "--out", "/dev/null")
        assert code == 2
        assert "--out must be a file, not a pipe or a device, got '/dev/null'" in err

    @pytest.fixture
    def two_clocks(self, place):
        """Quotes of two clocks, ours behind by 2 s, one of them before the open, and hours in New York."""
        (place / "q.csv").write_text(
            "local_time,exchange_time,bid,ask\n"
            "2024-11-04T14:00:00Z,2024-11-04T14:00:02Z,3,2\n"
            "2024-11-04T15:00:00Z,2024-11-04T15:00:02Z,1,2\n"
            "2024-11-04T15:00:01Z,2024-11-04T15:00:03Z,1,2\n"
        )
        (place / "hours.toml").write_text(
            'zone = "America/New_York"\n'
            'regular = [["08:00", "pre_open"], ["09:30", "continuous"], ["16:00", "closed"]]\n'
        )
        return "q.csv", "--tick", "0.01"

    def test_inspect_compares_the_clocks_and_counts_by_phase(self, call, two_clocks):
        code, out, err = call("feed", "inspect", *two_clocks, "--sessions", "hours.toml")
        assert (code, err) == (0, "")
        for words in ("-2,000.000 ms", "+0.000 ppm", "negative latencies"):
            assert words in out
        assert re.search(r"pre open +1 +0 +1 +0\n +continuous +2 +0 +0 +0\n", out)
        found = json.loads(call("feed", "inspect", *two_clocks, "--sessions", "hours.toml", "--json")[1])
        assert found["phases"]["pre_open"] == {"quotes": 1, "trades": 0, "crossed": 1, "locked": 0}
        assert found["clock"]["segments"][0]["offset"] == -2_000_000_000
        assert found["negative_latencies"] == 3
        found = json.loads(call("feed", "inspect", "--duration", "60", "--json")[1])
        assert (found["clock"], found["phases"]) == (None, None)  # one stamp a row; no hours

    def test_inspect_says_what_a_correction_left_and_which_mean_is_which(self, call, two_clocks, place):
        with (place / "q.csv").open("a") as file:  # one that was longer on its way
            file.write("2024-11-04T15:00:03Z,2024-11-04T15:00:04.5Z,1,2\n")
        out = call("feed", "inspect", *two_clocks)[1]
        assert "what the correction left" not in out
        out = " ".join(call("feed", "inspect", *two_clocks, "--correct-clock", "true")[1].split())
        assert "what the correction left of local − exchange" in out
        assert re.search(r"mean spread \S+ ticks over time", out)
        assert "over the quotes" in out

    def test_inspect_says_how_long_a_side_is_absent_and_its_units(self, call, place):
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n1704067201,,2\n1704067204,1,2\n")
        out = " ".join(call("feed", "inspect", "q.csv", "--tick", "0.01", "--lot", "0.5")[1].split())
        assert "a side is absent 75.0 % of the time" in out
        found = json.loads(call("feed", "inspect", "q.csv", "--tick", "0.01", "--lot", "0.5", "--json")[1])
        assert (found["tick"], found["lot"], found["without_market"]) == ("0.01", "0.5", 0.75)

    def test_an_event_file_with_a_tick_is_told_to_leave_it_out(self, call, place):
        (place / "q.csv").write_text("time,bid,ask\n1704067200,1,2\n")
        assert call("feed", "convert", "q.csv", "--tick", "0.01", "--out", "q.events")[0] == 0
        for option in (("--tick", "0.01"), ("--columns", "bid=x")):
            code, _, err = call("feed", "inspect", "q.events", *option)
            assert code == 2
            assert "leave it out" in err
            assert "says it" not in err

    def test_a_semicolon_asks_for_the_delimiter(self, call, place):
        (place / "q.csv").write_text("time;bid;ask\n1704067200;1;2\n")
        code, _, err = call("feed", "inspect", "q.csv", "--tick", "0.01")
        assert code == 2
        assert "--delimiter" in err

    def test_data_are_read_on_the_exchanges_clock_and_in_continuous_trading(self, call, two_clocks, place):
        options = ("--correct-clock", "true", "--sessions", "hours.toml", "--out", "q.events", "--json")
        code, out, err = call("feed", "convert", *two_clocks, *options)
        assert (code, err, json.loads(out)["quotes"]) == (0, "", 2)
        events = mmcore.load(place / "q.events")
        assert (events.quotes.local_time == events.quotes.exchange_time).all()
        assert events.source["clock_correction"]["negative_before"] == 3
        assert events.source["ignored"] == {"quotes outside continuous": 1}

    @pytest.mark.parametrize(
        ("text", "what"),
        [(None, "none.toml"), ("zone = 3", "none.toml: has no regular"), ("=", "not a TOML")],
    )
    def test_hours_that_cannot_be_read_are_told(self, call, two_clocks, place, text, what):
        if text is not None:
            (place / "none.toml").write_text(text)
        code, out, err = call("feed", "inspect", *two_clocks, "--sessions", "none.toml")
        assert (code, out) == (2, "")
        assert what in err

    def test_the_group_alone_shows_its_help(self, call):
        code, out, err = call("feed")
        assert (code, err) == (0, "")
        assert "inspect" in out
        assert "convert" in out


class TestReplay:
    def test_the_first_command(self, call, place):
        code, out, err = call("replay", *SHORT)
        assert (code, err) == (0, "")
        for part in (
            "DEMO",
            "Calibration",
            "Policy",
            "One quote, explained",
            "Fills",
            "Profit",
            "Markouts",
            "Report",
        ):
            assert f"\n{part}" in out
        assert "out-of-sample" in out
        assert "unexplained" in out
        assert "report.html" in out
        assert (place / "report.html").stat().st_size > 100_000
        assert max(map(len, out.splitlines())) <= 80

    def test_a_rate_from_a_few_fills_is_no_number(self, call):
        """Two orders stood at the touch for half a second: the table says for how long, and gives no rate."""
        found = json.loads(call("replay", "--no-report", "--json")[1])["fill_rates"]
        out = call("replay", "--no-report")[1]
        rows = {tuple(line.split()[:2]): line.split()[2:] for line in out.splitlines()}
        few = [rate for rate in found if 0 < rate["filled"] < 5]
        assert few
        for rate in few:
            orders, filled, share, exposure, unit, per_second, *interval = rows[rate["side"], rate["place"]]
            assert (orders, filled, share, per_second) == (str(rate["orders"]), str(rate["filled"]), "–", "–")
            assert float(exposure) == pytest.approx(rate["exposure"], rel=0.01)
            assert unit == "s"
            assert len(interval) == 3
        assert "too few to tell a rate" in out

    def test_json_is_json_alone_and_adds_up(self, call):
        code, out, err = call("replay", *SHORT, "--json", "--no-report", "--maker-fee", "-0.0001")
        assert (code, err) == (0, "")
        found = json.loads(out)
        from decimal import Decimal

        pnl = {name: Decimal(found["pnl"][name]) for name in ("spread", "inventory", "fees", "total")}
        assert pnl["spread"] + pnl["inventory"] + pnl["fees"] == pnl["total"]
        assert Decimal(found["pnl"]["unexplained"]) == 0
        assert pnl["fees"] > 0
        assert found["sample"] == "out-of-sample"
        assert found["calibration"]["identified"] is True
        assert found["report"] is None
        assert found["settings"]["maker_fee"] == "-0.0001"

    def test_options_reach_the_run(self, call):
        arguments = (
            "--sigma",
            1,
            "--A",
            "1,0.9",
            "--k",
            0.5,
            "--gamma",
            0.02,
            "--q-max",
            6,
            "--latency",
            0.01,
        )
        code, out, _ = call("replay", *SHORT, *arguments, "--interval", 2, "--no-report", "--json")
        found = json.loads(out)
        assert code == 0
        assert found["sample"] == "fixed parameters"
        assert found["calibration"] is None
        assert found["settings"]["latency"] == 0.01
        assert found["settings"]["interval"] == 2.0
        assert abs(found["inventory"]["max"]) <= 6

    def test_it_equals_the_library(self, call):
        found = json.loads(call("replay", *SHORT, "--seed", 5, "--json", "--no-report")[1])
        result = mmcore.run(mmcore.SimulatedMarket(seed=5, duration=300).events())
        assert found["pnl"] == result.summary()["pnl"]
        assert found["fills"] == len(result.fills)

    def test_in_sample_is_said(self, call):
        assert "in-sample" in call("replay", *SHORT, "--train", 1, "--no-report")[1]

    def test_an_approximation_out_of_its_range_is_a_note(self, call):
        arguments = ("--model", "as", "--horizon", "600", "--no-report")
        code, out, err = call("replay", *SHORT, *arguments)
        assert (code, err) == (0, "")
        assert "note  Avellaneda-Stoikov's approximation" in out

    def test_configuration_and_options_over_it(self, call, place):
        assert call("init", "desk")[0] == 0
        config = place / "desk" / "mmcore.toml"
        config.write_text(
            config.read_text()
            .replace("# seed = 1", "seed = 4")
            .replace("# duration = 3600.0", "duration = 300")
        )
        plain = json.loads(call("replay", "--config", config, "--json", "--no-report")[1])
        same = json.loads(call("replay", *SHORT, "--seed", 4, "--json", "--no-report")[1])
        assert plain["pnl"] == same["pnl"]
        changed = json.loads(call("replay", "--config", config, "--seed", 5, "--json", "--no-report")[1])
        assert changed["pnl"] != same["pnl"]
        by_set = json.loads(
            call("replay", "--config", config, "--set", "simulation.seed=5", "--json", "--no-report")[1]
        )
        assert by_set["pnl"] == changed["pnl"]

    def test_orders_by_option_and_by_configuration(self, call, place):
        options = ("--hysteresis", 1, "--min-life", 0.5, "--messages", "5/1, 100/60", "--max-exposure", 4)
        code, out, err = call("replay", *SHORT, *options, "--no-report", "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        orders = mmcore.Orders(
            hysteresis=1, min_life=10**9 // 2, messages=[(5, 10**9), (100, 60 * 10**9)], max_exposure=4
        )
        events = mmcore.SimulatedMarket(duration=300).events()
        assert found["orders"] == mmcore.run(events, orders=orders).summary()["orders"]
        assert found["settings"]["messages"] == "5/1, 100/60"
        config = place / "orders.toml"
        config.write_text(
            "[simulation]\nduration = 300\n"
            '[orders]\nhysteresis = 1\nmin_life = 0.5\nmessages = "5/1, 100/60"\nmax_exposure = 4\n'
        )
        same = json.loads(call("replay", "--config", config, "--no-report", "--json")[1])
        assert (same["orders"], same["pnl"]) == (found["orders"], found["pnl"])
        code, out, _ = call("replay", *SHORT, *options, "--no-report")
        assert code == 0
        assert "\nOrder messages" in out
        assert f"{found['messages']:,}" in out
        assert max(map(len, out.splitlines())) <= 80
        code, _, err = call("replay", *SHORT, "--messages", "many", "--no-report")
        assert code == 2
        assert "messages must be budgets n/seconds" in err

    def test_report_of_the_configuration(self, call, place):
        config = place / "mine.toml"
        config.write_text('[simulation]\nduration = 300\n[report]\npath = "mine.html"\n')
        call("replay", "--config", config)
        assert (place / "mine.html").exists()
        config.write_text("[simulation]\nduration = 300\n[report]\nenabled = false\n")
        (place / "mine.html").unlink()
        assert "none was written" in call("replay", "--config", config)[1]
        assert [p.name for p in place.iterdir()] == ["mine.toml"]

    def test_a_path_is_read(self, call, place):
        lines = ["ts,what,b,a,price,size,side"]
        for i in range(200):
            second, seller = 1_700_000_000 + i, i % 3 == 2
            lines.append(f"{second},quote,{99 + i % 2},{101 + i % 2},,,")
            lines.append(f"{second}.5,trade,,,{98 if seller else 102},1,{'s' if seller else 'b'}")
        (place / "feed.csv").write_text("\n".join(lines))
        columns = "time=ts,kind=what,bid=b,ask=a,price=price,size=size,side=side"
        arguments = ("feed.csv", "--tick", 1, "--columns", columns, "--time-format", "s")
        fixed = ("--sigma", 1, "--A", 1, "--k", 1, "--gamma", 0.1)
        code, out, err = call("replay", *arguments, *fixed, "--json", "--no-report")
        assert (code, err) == (0, ""), out
        assert json.loads(out)["trades"] == 200

    def test_a_path_of_several_markets_in_other_words(self, call, place):
        lines = ["ts,sym,venue,what,b,a,price,size,side"]
        for i in range(200):
            second, seller = 1_700_000_000 + i, i % 3 == 2
            for symbol, venue in (("X", "N"), ("X", "Q"), ("X", "Z"), ("Y", "N")):
                lines.append(f"{second},{symbol},{venue},Q,{99 + i % 2},{101 + i % 2},,,")
                aggressor = "offer" if seller else "lift"
                lines.append(f"{second}.5,{symbol},{venue},T,,,{98 if seller else 102},1,{aggressor}")
        (place / "feed.csv").write_text("\n".join(lines))
        columns = "time=ts,kind=what,bid=b,ask=a,price=price,size=size,side=side"
        arguments = ("feed.csv", "--tick", 1, "--columns", columns, "--time-format", "s", "--sort", "true")
        words = ("--kinds", "Q=quote,T=trade", "--sides", "lift=1,offer=-1", "--where", "sym=X,2=N,2=Q")
        code, _, err = call("feed", "convert", *arguments, *words, "--out", "x.events")
        assert (code, err) == (0, "")
        trades = mmcore.load(place / "x.events").trades
        assert np.bincount(trades.side + 1).tolist() == [2 * 66, 0, 2 * 134]


class TestCalibrate:
    def test_what_is_measured(self, call):
        code, out, err = call("calibrate")
        assert (code, err) == (0, "")
        assert "±" in out
        assert "95 % interval" in out

    def test_json(self, call):
        found = json.loads(call("calibrate", "--json")[1])
        assert found["identified"] is True
        assert found["bid"]["A"] > 0

    def test_the_answer_is_no(self, call):
        """Exit code 1, a table that says so, no number."""
        code, out, err = call("calibrate", "--duration", 3)
        assert (code, err) == (1, "")
        assert "not identified" in out
        code, out, _ = call("calibrate", "--duration", 3, "--json")
        assert code == 1
        assert json.loads(out)["identified"] is False

    def test_a_replay_that_is_not_identified(self, call):
        code, out, err = call("replay", "--duration", 8, "--no-report", "--json")
        assert code == 1
        assert err.startswith("error: ")
        assert json.loads(out)["error"]["code"] == "not_identified"


class TestQuote:
    ARGUMENTS = ("--sigma", 1, "--A", 1, "--k", 0.5, "--gamma", 0.01)

    def test_the_explanation_adds_up_to_the_quote(self, call):
        code, out, _ = call("quote", *self.ARGUMENTS, "--inventory", 3, "--reference", 100.25, "--json")
        found = json.loads(out)
        assert code == 0
        for side in ("bid", "ask"):
            assert sum(found["explanation"][side].values()) == found["quote"][side]

    def test_it_equals_the_library(self, call):
        model = mmcore.GueantLehalleFernandezTapia(sigma=1, A=1, k=0.5, gamma=0.01)
        expected = mmcore.Quoter(model).quote(100.25, -4, bid=100, ask=101)
        found = json.loads(
            call(
                "quote",
                *self.ARGUMENTS,
                "--inventory",
                -4,
                "--reference",
                100.25,
                "--bid",
                100,
                "--ask",
                101,
                "--json",
            )[1]
        )["quote"]
        assert (found["bid"], found["ask"]) == tuple(expected)

    def test_no_quote_is_a_no(self, call):
        code, out, _ = call("quote", *self.ARGUMENTS, "--reference", 100.25, "--max-position", 0)
        assert code == 1
        assert "position limit" in out

    def test_needed_options_are_listed_at_once(self, call):
        code, _, err = call("quote", "--gamma", 0.1)
        assert code == 2
        for name in ("--sigma", "--A", "--k", "--reference"):
            assert name in err

    def test_an_option_of_another_model(self, call):
        code, _, err = call("quote", *self.ARGUMENTS, "--omega", 1, "--reference", 1)
        assert code == 2
        assert "--omega: no parameter of --model glft" in err


class TestInit:
    def test_files_run_and_are_not_overwritten(self, call, place):
        code, out, err = call("init", "desk", "--model", "cj")
        assert (code, err) == (0, "")
        assert "replay --config" in out
        script = place / "desk" / "strategy.py"
        script.write_text("mine")
        code, _, err = call("init", "desk")
        assert code == 2
        assert "--force" in err
        assert script.read_text() == "mine"
        assert call("init", "desk", "--force", "--json")[0] == 0
        assert script.read_text() != "mine"

    def test_json(self, call):
        found = json.loads(call("init", "desk", "--json")[1])
        assert [os.path.basename(path) for path in found["written"]] == ["mmcore.toml", "strategy.py"]

    def test_the_printed_commands_work_where_the_user_is(self, place):
        """With no mmcore on the PATH; both do the same, and the page lies beside the configuration."""
        env = {**os.environ, "PATH": os.defpath}
        made = subprocess.run(
            [sys.executable, "-m", "mmcore", "init", "a desk"],
            capture_output=True, text=True, check=True, env=env,
        )  # fmt: skip
        commands = [line.strip() for line in made.stdout.splitlines() if line.startswith("    ")]
        assert len(commands) == 2
        said = []
        for command in commands:
            ran = subprocess.run(
                shlex.split(command), capture_output=True, text=True, check=False, env=env, timeout=120
            )
            assert (ran.returncode, ran.stderr) == (0, ""), command
            said.append(ran.stdout)
        assert (place / "a desk" / "report.html").exists()
        assert not (place / "report.html").exists()
        totals = [re.search(r"total +(\S+)", text)[1] for text in said]
        assert totals[0] == totals[1]

    def test_a_program_is_called_by_its_name_only_where_the_shell_finds_it(self, place, monkeypatch):
        from mmcore.cli.screen import program

        tool = place / "bin" / "mmcore"
        tool.parent.mkdir()
        tool.write_text("#!/bin/sh\n")
        tool.chmod(0o755)
        monkeypatch.setattr(sys, "argv", [str(tool)])
        monkeypatch.setenv("PATH", os.defpath)
        assert program("mmcore") == [os.path.join("bin", "mmcore")]
        monkeypatch.setenv("PATH", str(tool.parent))
        assert program("mmcore") == ["mmcore"]
        other = place / "other"
        other.mkdir()
        monkeypatch.chdir(other)
        monkeypatch.setenv("PATH", os.defpath)
        assert program("mmcore") == [str(tool)]
        monkeypatch.setattr(sys, "argv", ["-c"])
        assert program("mmcore") == [*program("python"), "-m", "mmcore"]

    def test_data_are_found_from_the_folder_that_is_made(self, call, place):
        rows = ["time,bid,ask", *(f"{i},{99 + i % 3},{101 + i % 3}" for i in range(100))]
        (place / "q.csv").write_text("\n".join(rows))
        assert call("init", "desk", "--data", "q.csv")[0] == 0
        fixed = ("--sigma", 1, "--A", 1, "--k", 1, "--gamma", 0.1, "--no-report")
        options = ("--tick", 1, "--date", "2024-01-02", *fixed)
        code, out, err = call("replay", "--config", "desk/mmcore.toml", *options)
        assert (code, err) == (0, "")
        assert "100 quotes" in out
        assert (place / "desk" / "strategy.py").read_text().count('Path(__file__).parent / "../q.csv"') == 1
        code, _, err = call("init", "other", "--data", "nothing.csv")
        assert code == 2
        assert "--data: nothing.csv: no such file or folder" in err


QUOTE_ALL = "quote --sigma 1 --A 1 --k 0.3 --gamma 0.001 --reference 100.5"
QUOTE_AS = "quote --model as --sigma 2 --k 1.5 --gamma 0.1 --horizon 1 --reference 100"


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("qoute", "'qoute' is not a command; did you mean quote?"),
            ("quote --gamma -1", "--gamma must be a finite number >= 0 (1/(tick·lot)), got '-1'"),
            ("replay --fill tuch", "--fill must be one of 'through', 'touch', got 'tuch'"),
            ("replay --q-max 2.5", "--q-max must be an integer >= 1 (lots), got '2.5'"),
            ("replay --A 1,2,3", "--A must be"),
            ("replay --order-size 3 --q-max 10 --no-report", "a multiple of order_size"),
            ("replay --running-penalty 1 --no-report", "--running-penalty is no parameter of --model glft"),
            ("replay --model cj --gamma 5 --running-penalty 0.004", "--gamma is no parameter of --model cj"),
            ("replay --model cj --set model.gamma=5", "model.gamma is not a key of [model]"),
            ("replay --set simulation.sede=3", "did you mean simulation.seed?"),
            ("replay --set nonsense", "--set must be SECTION.KEY=VALUE, got 'nonsense'"),
            ("replay --report nowhere/report.html", "--report must be in a folder that exists"),
            ("replay --report .", "--report must be a file, not a folder, got '.'"),
            ("replay --report a.html --no-report", "exclude each other"),
            ("replay --symbol BTCUSDT", "--symbol needs a PATH, or path below [data]"),
            (
                "calibrate --min-depth 5 --max-depth 2",
                "--max-depth must be at least min_depth + 1 = 6 ticks, got 2.0",
            ),
            ("calibrate ''", "path must be a file or a folder, got ''"),
            ("replay --config none.toml", "none.toml: no such file or folder"),
            ("calibrate none.csv", "none.csv"),
            ("calibrate --methd x", "--methd"),
            ("solve none.toml", "none.toml: no such file or folder"),
            ("init", "Missing argument"),
            ("replay --messages 20", "--messages must be budgets n/seconds such as '50/1, 1000/60'"),
            ("replay --messages 1/10", "n >= 2: one to open an order, one to cancel"),
            ("replay --min-life 500000000", "--min-life must be a finite number >= 0 and <= 86400 (s)"),
            (
                "replay --latency 0.6 --timeout 1",
                "--timeout must be at least 1.2 s: an answer takes 2 * latency",
            ),
            ("replay --order-size 3", "--q-max must be a multiple of order_size, 3 lots, got 10"),
            ("replay --set model.order_size=3", "--q-max must be a multiple of order_size, 3 lots, got 10"),
            (
                "replay --set calibration.max_depth=1.5",
                "calibration.max_depth must be at least min_depth + 1 = 2",
            ),
            (
                "replay q.csv --tick 1 --columns 'time=ts;bid=b1'",
                "--columns must be pairs our=theirs such as",
            ),
            (
                "replay q.csv --seed 3",
                "--seed is of the simulated market: leave it out where data are replayed",
            ),
            ("calibrate q.csv --duration 9", "--duration is of the simulated market"),
            ("replay q.csv --tick x", "--tick must be an exact decimal > 0, such as 0.01, got 'x'"),
            (f"{QUOTE_ALL} --bid 100.00", "--bid must be an integer (ticks), got '100.00'"),
            (f"{QUOTE_AS} --time-left 5", "--time-left must be at most the horizon, 1 s, got 5"),
        ],
    )
    def test_one_readable_line_and_exit_code_2(self, call, arguments, words):
        code, out, err = call(*shlex.split(arguments))
        assert code == 2, out + err
        assert out == ""
        assert err.startswith("error: ")
        assert words in err.splitlines()[0]
        assert len(err.splitlines()) <= 2
        assert "Traceback" not in err

    def test_a_misspelt_option_is_told_the_closest_alone(self, call):
        code, _, err = call("replay", "--gama", 0.1)
        assert code == 2
        assert re.findall("--[a-z-]+", err.splitlines()[0]) == ["--gama", "--gamma"]

    def test_a_folder_of_taq_says_its_format(self, call, place):
        (place / "quotes.csv").write_text("DT,EX,BID,BIDSIZ,OFR,OFRSIZ\n")
        code, _, err = call("feed", "inspect", place)
        assert code == 2
        assert "--format taq" in err.splitlines()[1]

    @pytest.mark.parametrize(
        ("arguments", "hint"),
        [
            ("replay nothere", "PATH is a file or folder of market data"),
            ("replay --config nofile.toml", "mmcore init DIR writes a configuration"),
            ("replay --messages 20", "see mmcore replay --help"),
            ("replay --order-size 3", "see mmcore replay --help"),
            ("replay q.csv --tick 1 --columns 'time=ts;bid=b1'", "see mmcore replay --help"),
            ("replay q.csv --tick 1 --columns time=ts", "--columns 'time=ts,bid=b1,ask=a1' says it"),
        ],
    )
    def test_a_second_line_says_what_to_do(self, call, place, arguments, hint):
        (place / "q.csv").write_text("time,bid,ask\n1,2,3\n")
        _, _, err = call(*shlex.split(arguments))
        assert hint in err.splitlines()[1]

    def test_a_set_key_may_need_one_that_the_file_has(self, call, place):
        (place / "mmcore.toml").write_text("[model]\nq_max = 9\n[simulation]\nduration = 300.0\n")
        code, _, err = call("replay", "--config", "mmcore.toml", "--set", "model.order_size=3", "--no-report")
        assert (code, err) == (0, "")

    def test_a_page_that_is_written_elsewhere_is_no_fault_of_the_file(self, call, place):
        (place / "mmcore.toml").write_text(
            '[report]\npath = "nowhere/a.html"\n[simulation]\nduration = 300.0\n'
        )
        for options in (["--no-report"], ["--report", "b.html"]):
            assert call("replay", "--config", "mmcore.toml", *options)[0] == 0
        code, _, err = call("replay", "--config", "mmcore.toml")
        assert code == 2
        assert "line 2: report.path must be in a folder that exists" in err

    def test_a_feed_without_trades(self, call, place):
        """Nothing can fill a quote there: no result is shown as if it said something."""
        rows = ["time,bid,ask", *(f"{i},{99 + i % 3},{101 + i % 3}" for i in range(100))]
        (place / "q.csv").write_text("\n".join(rows))
        feed = ("q.csv", "--tick", 1, "--date", "2024-01-02", "--no-report")
        code, _, err = call("replay", *feed)
        assert code == 1
        assert "a feed without trades tells of no fill" in err
        assert "longer span" not in err
        code, _, err = call("replay", *feed, "--gamma", 0.1)
        assert code == 1
        assert "longer span" not in err
        code, out, _ = call("replay", *feed, "--sigma", 1, "--A", 1, "--k", 1)
        assert code == 0
        assert "note  This feed has no trades, and only a trade fills a quote" in out

    def test_a_latency_longer_than_the_data(self, call):
        out = call("replay", *SHORT, "--latency", 5000, "--no-report")[1]
        assert "no quote reached the market" in " ".join(out.split())
        assert "no quote reached the market" not in call("replay", *SHORT, "--no-report")[1]

    @pytest.mark.parametrize("model", ["glft", "glft-closed-form", "cj", "as"])
    def test_no_price_risk_is_allowed_where_the_help_says_so(self, call, model):
        fixed = ("--sigma", 0, "--A", 1, "--k", 0.5, "--no-report")
        more = {"cj": ("--running-penalty", 0.01), "as": ("--gamma", 0.01, "--horizon", 300)}
        code, _, err = call("replay", *SHORT, *fixed, "--model", model, *more.get(model, ("--gamma", 0.01)))
        assert (code, err) == (0, "")

    @pytest.mark.parametrize(
        ("name", "text", "options", "words", "advice"),
        [
            ("f.csv", "ts,b,a\n1,2,3\n", "--tick 1", "f.csv: needs a time", "--columns 'time="),
            ("f.csv", "time,bid,ask\n1,2,3\n", "", "f.csv: a CSV does not say its tick", "--tick says it"),
            ("f.csv", "time,bid,ask\nx,2,3\n", "--tick 1", "f.csv, line 2: time: cannot", "--time-format"),
            ("f.csv", "time,bid,ask\n1,2\n", "--tick 1", "f.csv, line 2: has 2 fields instead", ""),
            ("f.csv", "time,bid,ask\n1,2,x\n", "--tick 1 --time-format s --date 2024-01-02",
             "f.csv, line 2: ask: 'x' is not a decimal number", ""),
            ("f.csv", "time,bid,ask\n2,2,3\n1,2,3\n", "--tick 1 --date 2024-01-02",
             "f.csv, line 3: time: earlier", "--sort true"),
            ("f.csv", "", "--tick 1", "f.csv: is empty", ""),
            ("f.csv", "time,bid,ask\n1,2,3\n", "--tick x",
             "tick must be an exact decimal > 0, such as 0.01, got 'x'", "see "),
            ("f.json", "{}", "", "f.json: unknown format; known are lobster", "--format csv --columns"),
            ("f.gz", '1723161255000000001 {"e":"trade","s":"X","T":17}\n', "",
             "f.gz, line 1: is not a bookTicker or trade message: its stamp T is 17", ""),
            ("f.gz", '1723161255000000001 {"e":"trade","s":"X"}\n', "",
             "f.gz, line 1: is not a bookTicker or trade message: it has no 'm'", ""),
            ("f.gz", '1723161255000000001 {"e":"trade",\n', "", "its JSON is broken at character 34", ""),
            ("f.gz", '1723161255000000001 {"e":"trade","s":"XRPUSDT","m":true,"p":"1","q":"1"}\n', "",
             "the tick and lot of XRPUSDT are not known here", "--tick says it"),
            ("f.gz", '1723161255000000001 {"stream":"x@depth"}\n', "",
             "f.gz: no bookTicker or trade message; its messages: 1 of x@depth", ""),
        ],
    )  # fmt: skip
    def test_a_feeds_errors_are_sentences_and_say_which_option_helps(
        self, call, place, name, text, options, words, advice
    ):
        (place / name).write_text(text)
        code, out, err = call("calibrate", name, *shlex.split(options))
        assert (code, out) == (2, "")
        first, *rest = err.splitlines()
        assert words in first
        assert len(rest) == bool(advice)
        assert advice in "".join(rest)
        # no class names, no dictionaries, no calls: nothing that only a Python programmer reads
        assert not re.search(r"\b\w+(Error|Exception)\b|\{'|=\w+\(|\w=\{|\bNone\b|\bDecimal\b", err)

    def test_a_wrong_configuration_lists_every_fault(self, call, place):
        (place / "bad.toml").write_text("[model]\ngama = 1\n[replay]\nlatency = -1\n")
        code, out, err = call("replay", "--config", "bad.toml", "--json")
        assert code == 2
        assert "line 2: model.gama is not a key of [model]; did you mean model.gamma?" in err
        assert "line 4: replay.latency must be a finite number >= 0 (s), got -1" in err
        error = json.loads(out)["error"]
        assert error["code"] == "configuration"
        assert [fault["line"] for fault in error["faults"]] == [2, 4]

    def test_a_report_in_the_place_of_a_folder_is_refused_before_the_work(self, call, place, monkeypatch):
        (place / "out").mkdir()
        monkeypatch.setattr("mmcore.replaying.run", None)
        code, _, err = call("replay", *SHORT, "--report", "out")
        assert code == 2
        assert "--report must be a file, not a folder, got 'out'" in err
        assert [path.name for path in place.iterdir()] == ["out"]

    def test_a_report_in_the_place_of_data_or_settings_is_refused(self, call, place):
        given = {"day.csv": "time,bid,ask\n", "mine.toml": '[report]\npath = "day.csv"\n'}
        for name, text in given.items():
            (place / name).write_text(text)
        words = "must be a new file or an HTML page: delete what is there, or name another, got"
        for arguments in (
            ("day.csv", "--tick", "1", "--report", "day.csv"),
            ("--config", "mine.toml", "--report", "mine.toml"),
            ("--config", "mine.toml"),
        ):
            code, _, err = call("replay", *arguments)
            assert code == 2
            assert words in err
        assert {path.name: path.read_text() for path in place.iterdir()} == given

    def test_our_own_faults_are_not_hidden(self, monkeypatch):
        from mmcore.cli import calibrate

        def broken(*_, **__):
            raise ZeroDivisionError

        monkeypatch.setattr(calibrate.calibration, "calibrate", broken)
        with pytest.raises(ZeroDivisionError):
            main(["calibrate", *SHORT])

    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_a_missing_extra_names_itself(self, missing):
        code = f"import sys; sys.modules[{missing!r}] = None; from mmcore.cli import main; main(['replay'])"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 2
        assert len(ran.stderr.splitlines()) == 1
        assert "pip install 'mmcore-quoting[cli]' adds it" in ran.stderr
        assert "'.[cli]' in a checkout" in ran.stderr

    def test_a_missing_report_extra(self):
        code = "import sys; sys.modules['bokeh'] = None; from mmcore.cli import main; "
        code += f"main({['replay', *SHORT]!r})"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert ran.returncode == 2
        assert "mmcore-quoting[report]" in ran.stderr
        assert "Traceback" not in ran.stderr


QUOTE = ("quote", "--sigma", "1", "--A", "1", "--k", "0.3", "--gamma", "0.001", "--reference", "100.5")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end no program there")
class TestPipes:
    @pytest.mark.parametrize(
        "arguments",
        [
            ("--help",),
            ("calibrate", "--help"),
            ("--version",),
            ("calibrate", *SHORT),
            ("calibrate", *SHORT, "--json"),
            QUOTE,
        ],
    )
    @pytest.mark.parametrize("unbuffered", ["", "1"])
    def test_a_reader_that_leaves_ends_the_program_without_a_word(self, arguments, unbuffered):
        ours, theirs = os.pipe()
        os.close(ours)
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        code = "from mmcore.cli import main; main()"
        ran = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            stdout=theirs, stderr=subprocess.PIPE, check=False, env=env, text=True, timeout=120,
        )  # fmt: skip
        os.close(theirs)
        assert ran.stderr == ""
        assert ran.returncode == -signal.SIGPIPE  # 141 to a shell

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
    @pytest.mark.parametrize("arguments", [("--help",), ("calibrate", *SHORT, "--json"), QUOTE])
    def test_an_output_that_cannot_be_written_is_one_line(self, arguments):
        code = "from mmcore.cli import main; main()"
        with open("/dev/full", "w") as full:
            ran = subprocess.run(
                [sys.executable, "-c", code, *arguments],
                stdout=full, stderr=subprocess.PIPE, check=False, text=True, timeout=120,
            )  # fmt: skip
        assert ran.stderr == "error: No space left on device\n"
        assert ran.returncode == 2

    def test_the_signal_is_as_it_was_when_a_caller_goes_on(self, call):
        before = signal.getsignal(signal.SIGPIPE)
        assert call("--version")[0] == 0
        assert signal.getsignal(signal.SIGPIPE) == before


class TestScreen:
    def test_click_runner(self):
        result = CliRunner().invoke(group, ["replay", *SHORT, "--no-report"], env={"NO_COLOR": "1"})
        assert result.exit_code == 0
        assert "\x1b[" not in result.output

    @pytest.mark.parametrize("width", [40, 60, 80, 120])
    def test_widths(self, width):
        """Whatever the width, no line is longer and no figure is cut or broken."""
        ran = child("replay", *SHORT, "--no-report", env={**os.environ, "COLUMNS": str(width)})
        assert (ran.returncode, ran.stderr) == (0, "")
        assert max(map(len, ran.stdout.splitlines())) <= width
        assert "…" not in ran.stdout
        wide = child("replay", *SHORT, "--no-report", env={**os.environ, "COLUMNS": "200"}).stdout
        figures = re.compile(r"\d[\d.,:]*")
        assert set(figures.findall(ran.stdout)) == set(figures.findall(wide))

    @pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
    def test_a_terminal_that_cannot_write_greek_is_no_error(self, encoding):
        env = {**os.environ, "PYTHONIOENCODING": encoding}
        for arguments in (("calibrate", *SHORT), ("calibrate", *SHORT, "--json"), ("replay", "--help")):
            ran = child(*arguments, env=env, encoding=encoding, errors="replace")
            assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr

    def test_as_a_program_of_its_own(self):
        ran = child("calibrate", *SHORT, "--json")
        assert (ran.returncode, ran.stderr) == (0, "")
        assert json.loads(ran.stdout)["identified"] is True

    @pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
    def test_progress_goes_to_the_terminal_and_the_answer_to_the_pipe(self):
        import pty

        ours, theirs = pty.openpty()
        code = "from mmcore.cli import main; main()"
        env = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80"}
        with subprocess.Popen(
            [sys.executable, "-c", code, "replay", *SHORT, "--json"],
            stdout=subprocess.PIPE, stderr=theirs, env=env,
        ) as process:  # fmt: skip
            os.close(theirs)
            shown = b""
            while True:
                try:
                    piece = os.read(ours, 65536)
                except OSError:  # the other end is closed
                    break
                if not piece:
                    break
                shown += piece
            answer = process.stdout.read()
        os.close(ours)
        assert process.returncode == 0
        json.loads(answer)
        text = shown.decode()
        for stage in ("simulate", "calibrate", "replay", "report"):
            assert stage in text

    def test_a_reader_that_leaves_is_no_error(self):
        code = "from mmcore.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "calibrate", *SHORT], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            process.stdout.close()
            errors = process.stderr.read()
        assert errors == b""


def test_the_package_imports_nothing_until_it_is_used():
    code = "import sys, mmcore; assert 'numpy' not in sys.modules; "
    code += "assert set(mmcore.__all__) <= set(dir(mmcore))"
    subprocess.run([sys.executable, "-c", code], check=True)
    for name in mmcore.__all__:
        assert getattr(mmcore, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        mmcore.nothing  # noqa: B018


def test_prices_have_the_decimals_of_the_tick(capsys):
    """61712.0 beside 61716.1: not a price of other digits."""
    from mmcore.cli.tables import show_explanation

    coin = mmcore.Instrument("COIN", tick="0.1", lot="0.001")
    show_explanation(mmcore.Quoter(mmcore.Affine(base=20.0), coin).explain(617140.0, 0, 617139, 617181), {})
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["price", "61712.0", "61716.0"] in rows


def test_an_option_given_twice_is_refused():
    ran = CliRunner().invoke(group, ["solve", "--plot", "a.png", "--plot", "b.png"])
    assert ran.exit_code == 2
    assert "--plot is given 2 times" in ran.output
