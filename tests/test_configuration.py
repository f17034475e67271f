"""Configuration files: what is right is read, and every fault of what is wrong is told with its place."""

import ast
import inspect
import runpy
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore
from mmcore.calibration import calibrate
from mmcore.configuration import (
    MODELS,
    SAMPLES,
    ConfigurationError,
    key_lines,
    load,
    loads,
    model_class,
    script,
    sections,
    template,
)
from mmcore.errors import InvalidArgument
from mmcore.replaying import REPLAY_PARAMETERS, default_gamma, replay, run
from mmcore.simulation import SimulatedMarket


def faults(text):
    with pytest.raises(ConfigurationError) as caught:
        loads(text, path="desk.toml")
    return caught.value


class TestReading:
    def test_only_what_stands_there_comes_back(self):
        found = loads("[model]\ngamma = 0.1\nA = [0.9, 1.1]\n[replay]\ninterval = 2\n")
        assert found["model"] == {"gamma": 0.1, "A": (0.9, 1.1)}
        assert found["replay"] == {"interval": 2.0}
        assert found["data"] == {}

    def test_exact_decimals_stay_exact(self):
        """A tick of 0.1 must not pass through a binary float."""
        assert loads("[instrument]\ntick = 0.10\nlot = 1")["instrument"] == {"tick": "0.10", "lot": "1"}

    def test_the_keys_are_those_of_the_chosen_model(self):
        text = '[model]\nname = "cj"\nrunning_penalty = 1e-4\n'
        assert loads(text)["model"]["running_penalty"] == 1e-4
        (fault,) = faults('[model]\nname = "glft"\nrunning_penalty = 1e-4\n').faults
        assert fault.key == "model.running_penalty"

    def test_a_model_without_gamma_refuses_it(self):
        (fault,) = faults('[model]\nname = "cj"\ngamma = 5\nrunning_penalty = 0.004\n').faults
        assert (fault.key, fault.line) == ("model.gamma", 3)

    def test_a_file_is_read(self, tmp_path):
        path = tmp_path / "desk.toml"
        path.write_text("[simulation]\nseed = 3\n")
        assert load(path)["simulation"] == {"seed": 3}

    def test_a_file_that_is_no_text(self, tmp_path):
        path = tmp_path / "desk.toml"
        path.write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigurationError, match="not UTF-8 text: byte 1 is 0xff"):
            load(path)

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "none.toml")


class TestFaults:
    def test_every_fault_at_once_with_line_key_allowed_and_meant(self):
        error = faults(
            "# a desk\n"
            "[model]\n"
            "gama = 0.1\n"
            'name = "glf"\n'
            "q_max = 2.5\n"
            "\n"
            "[replay]\n"
            "latency = -1  # s\n"
            'fill = "tuch"\n'
            "[modle]\n"
            "x = 1\n"
        )
        assert str(error) == (
            "desk.toml: 6 faults\n"
            "  line 3: model.gama is not a key of [model]; did you mean model.gamma?\n"
            "  line 4: model.name must be one of 'glft', 'glft-closed-form', 'cj', 'as', got 'glf'; "
            "did you mean 'glft'?\n"
            "  line 5: model.q_max must be an integer >= 1 (lots), got 2.5\n"
            "  line 8: replay.latency must be a finite number >= 0 (s), got -1\n"
            "  line 9: replay.fill must be one of 'through', 'touch', got 'tuch'; did you mean 'touch'?\n"
            "  line 10: [modle] is not a section; did you mean [model]?"
        )
        assert [fault.line for fault in error.faults] == [3, 4, 5, 8, 9, 10]
        assert isinstance(error, InvalidArgument)
        assert error.code == "configuration"

    def test_a_fault_of_the_syntax_has_its_line(self):
        (fault,) = faults("[model]\ngamma = \n").faults
        assert fault.line == 2
        assert "not TOML" in fault.message

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("gamma = 1", "line 1: gamma stands outside of the sections; it belongs below [model]"),
            ("sigma = 1", "it belongs below [simulation] or [model]"),
            ("zzz = 1", "zzz stands outside of the sections; there are data, instrument"),
            (
                '[model]\nname = "cj"\ngamma = 1',
                "not a key of [model] for cj, but for glft, glft-closed-form, as",
            ),
            ("[model]\nomega = 1", "model.omega is not a key of [model] for glft, but for as"),
            ("[replay]\nlatency = inf", "replay.latency must be a finite number >= 0 (s), got inf"),
            ("model = 3", "model must be a section, written [model], got 3"),
            ("[model]\nzzzz = 1", "model.zzzz is not a key of [model]; there are name, q_max"),
            ("[model]\ngamma = true", "got true"),
            ("[model]\ngamma = nan", "model.gamma must be a finite number >= 0"),
            ("[model]\nA = [1, 2, 3]", "got [1, 2, 3]"),
            ("[model]\nA = {bid = 1}", "got a table"),
            ("[simulation]\nseed = 1979-05-27", "simulation.seed must be an integer >= 0"),
            ("[model]\nGamma = 1", "did you mean model.gamma?"),
        ],
    )
    def test_kinds_of_faults(self, text, words):
        assert words in str(faults(text))

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('[orders]\nmessages = "20/1s"', "line 2: orders.messages must be budgets n/seconds"),
            ('[orders]\nmessages = "1/10"', "n >= 2: one to open an order, one to cancel"),
            (
                "[orders]\nmin_life = 500000000",
                "orders.min_life must be a finite number >= 0 and <= 86400 (s)",
            ),
            (
                "[calibration]\nmin_depth = 10\nmax_depth = 5",
                "line 3: calibration.max_depth must be at least",
            ),
            ("[calibration]\nmax_depth = 1.5", "max_depth must be at least min_depth + 1 = 2 ticks, got 1.5"),
            (
                "[model]\nq_max = 10\norder_size = 3",
                "line 2: model.q_max must be a multiple of order_size, 3 lots",
            ),
            (
                "[model]\norder_size = 3",
                "line 1: model.q_max must be a multiple of order_size, 3 lots, got 10",
            ),
            (
                '[model]\nname = "as"\nhorizon = 9\nomega = 1',
                "line 4: model.omega must be left out where horizon",
            ),
            (
                "[replay]\nlatency = 0.6\n[orders]\ntimeout = 1.0",
                "line 4: orders.timeout must be at least 1.2 s: an answer takes 2 * latency, got 1.0",
            ),
            (
                '[instrument]\ntick = "a"',
                "instrument.tick must be an exact decimal > 0, such as 0.01, got 'a'",
            ),
            ("[instrument]\nlot = 0", "instrument.lot must be an exact decimal > 0"),
            ('[data]\ncolumns = "time=ts;bid=b1"', "data.columns must be pairs our=theirs"),
            ('[data]\nwhere = "symbol"', "data.where must be pairs column=text"),
            ('[data]\nkinds = "T=fill"', "data.kinds must be pairs text=kind"),
            ('[data]\nsides = "B=buy"', "data.sides must be pairs text=side"),
            # What comes again would replace what was said before it.
            ('[data]\ncolumns = "time=ts,time=bid"', "each of ours once, got 'time=ts,time=bid'"),
            ('[data]\nkinds = "Q=quote,Q=trade"', "each text once, got 'Q=quote,Q=trade'"),
            ('[data]\nsides = "B=1,B=-1"', "each text once, got 'B=1,B=-1'"),
        ],
    )
    def test_what_keys_must_satisfy_together_is_told_among_the_others(self, text, expected):
        assert expected in str(faults(text))
        error = faults(text + "\n[report]\npaht = 1")
        assert expected in str(error)
        assert len(error.faults) == 2

    def test_a_key_with_a_fault_of_its_own_is_told_once(self):
        assert len(faults("[model]\nq_max = 0\norder_size = 3").faults) == 1

    def test_without_orders_no_answer_is_waited_for(self):
        """Nor where none is given, which is then as long as it must be."""
        for more in ("", "\n[orders]\nhysteresis = 1"):
            assert loads("[replay]\nlatency = 0.6" + more)["replay"] == {"latency": 0.6}

    def test_a_part_is_not_held_against_the_defaults(self):
        assert loads("[model]\norder_size = 3", whole=False)["model"] == {"order_size": 3}

    def test_a_page_that_cannot_be_written_is_told_among_the_others(self, tmp_path):
        path = tmp_path / "desk.toml"
        path.write_text('[model]\ngama = 1\n[report]\npath = "nowhere/page.html"\n')
        with pytest.raises(ConfigurationError, match=r"line 4: report\.path must be in a folder") as caught:
            load(path, page=True)
        assert len(caught.value.faults) == 2
        path.write_text('[report]\npath = "nowhere/page.html"\n')
        assert load(path)["report"]
        path.write_text('[report]\npath = "nowhere/page.html"\nenabled = false\n')
        assert load(path, page=True)["report"]

    def test_an_unknown_model_does_not_hide_the_other_faults(self):
        assert len(faults('[model]\nname = "x"\ngama = 1').faults) == 2


class TestLines:
    def test_strings_comments_and_brackets_are_no_keys(self):
        lines = key_lines(
            "# [a]\n"
            "[model] # x\n"
            'name = "a # [b]"\n'
            "'quoted key' = 1\n"
            "pair = [0.9, # k = 1\n"
            "  1.1]\n"
            "d.e = 3\n"
            'text = """\n'
            "[fake]\n"
            "k = 1\n"
            '"""\n'
            "[ replay . 'x y' ]\n"
            "t = {a = 1}\n"
        )
        assert lines == {
            ("model",): 2,
            ("model", "name"): 3,
            ("model", "quoted key"): 4,
            ("model", "pair"): 5,
            ("model", "d"): 7,
            ("model", "d", "e"): 7,
            ("model", "text"): 8,
            ("replay",): 12,
            ("replay", "x y"): 12,
            ("replay", "x y", "t"): 13,
        }

    def test_tables_of_an_array_are_counted(self):
        lines = key_lines("[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\nx = 3\n[a.b]\n[[a.c]]\nz = 4\n[[a.c]]\nz = 5\n")
        assert lines == {
            ("a",): 1,
            ("a", "0"): 1,
            ("a", "0", "x"): 2,
            ("a", "0", "b"): 3,
            ("a", "0", "b", "y"): 4,
            ("a", "1"): 5,
            ("a", "1", "x"): 6,
            ("a", "1", "b"): 7,
            ("a", "1", "c"): 8,
            ("a", "1", "c", "0"): 8,
            ("a", "1", "c", "0", "z"): 9,
            ("a", "1", "c", "1"): 10,
            ("a", "1", "c", "1", "z"): 11,
        }

    texts = st.text(st.sampled_from("ab#=[]{}'\"\\ ,.1"), max_size=12)

    @given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz"), texts), max_size=12))
    def test_generated_files(self, entries):
        """Any strings as values: each key is found on the line on which it was written."""
        tables = {}
        for table, key, value in entries:
            tables.setdefault(table, {})[key] = value
        lines, expected = [], {}
        for table, keys in tables.items():
            lines.append(f"[{table}]")
            expected[(table,)] = len(lines)
            for i, (key, value) in enumerate(keys.items()):
                escaped = value.replace("\\", "\\\\").replace('"', '\\"')
                expected[table, key] = len(lines) + 1
                if i % 2:
                    lines += [f'{key} = """', f'{escaped}"""']
                else:
                    lines.append(f'{key} = "{escaped}"  # [c] d = 1')
        text = "\n".join(lines)
        assert {table: dict(keys) for table, keys in tomllib.loads(text).items()} == tables
        assert key_lines(text) == expected


class TestWriting:
    def test_units_keep_their_case(self):
        assert ": s, ms, us, ns, iso or a strptime pattern" in template()

    @pytest.mark.parametrize("model", MODELS)
    def test_the_template_names_every_parameter_and_changes_nothing(self, model):
        text = template(model)
        found = loads(text)
        assert found.values["model"] == {"name": model}
        assert all(not table for name, table in found.values.items() if name != "model")
        for section in sections(model):
            for parameter in section.parameters:
                assert f"\n# {parameter.name} = " in text or f"\n{parameter.name} = " in text
                if parameter.unit:
                    assert parameter.unit in text
        assert max(map(len, text.splitlines())) <= 110

    @pytest.mark.parametrize("model", MODELS)
    def test_the_template_with_every_comment_taken_away_is_valid(self, model):
        either = {"model": {"horizon"} if model == "as" else set()}
        found = loads(uncommented(template(model), either))
        given = sum(len(table) for table in found.values.values())
        assert given == sum(len(section.parameters) for section in sections(model)) - len(either["model"])

    @pytest.mark.parametrize("model", MODELS)
    def test_every_parameter_without_a_default_has_an_example_and_no_other(self, model):
        for section in sections(model):
            examples = SAMPLES.get(section.name, {})
            for parameter in section.parameters:
                if parameter.default is None:
                    assert parameter.check(examples[parameter.name]) not in (None, "")
                else:
                    assert parameter.name not in examples
        assert loads(template(model)).values.keys() >= SAMPLES.keys()

    @pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning")
    @pytest.mark.parametrize("model", MODELS)
    def test_the_examples_belong_together(self, model, tmp_path):
        """A file with every comment taken away runs on the data that it describes, and on the simulated."""
        alone = {
            "data": {
                "symbol",
                "quotes",
                "venue",
                "scale",
                "sessions",
                "correct_clock",
                "where",
                "kinds",
                "sides",
            },
            "model": {"horizon"} if model == "as" else set(),
        }
        text = uncommented(template(model), alone)
        (tmp_path / "mmcore.toml").write_text(text.replace("duration = 3600.0", "duration = 300.0"))
        settings = load(tmp_path / "mmcore.toml").values
        quotes = ["seconds;best_bid;best_ask"]
        quotes += [f"{i / 2:.1f};1.10{i % 7:03d};1.10{i % 7 + 2:03d}" for i in range(120)]
        (tmp_path / "quotes.csv").write_text("\n".join(quotes))
        data = settings["data"]
        assert data["path"] == str(tmp_path / "quotes.csv")
        data["columns"] = dict(pair.split("=") for pair in data["columns"].split(","))
        currency = mmcore.Currency(settings["instrument"].pop("currency"))
        recorded = mmcore.load(
            data.pop("path"),
            instrument=mmcore.Instrument(currency=currency, **settings["instrument"]),
            **data,
        )
        simulated = SimulatedMarket(**settings["simulation"]).events()
        chosen = settings["model"]
        del chosen["name"]
        own = {"q_max", "order_size", "gamma", "sigma", "A", "k"} & chosen.keys()
        for events in (recorded, simulated):
            result = run(
                events,
                model=MODELS[model],
                calibration=settings["calibration"],
                parameters={name: value for name, value in chosen.items() if name not in own},
                **{name: chosen[name] for name in own},
                **settings["replay"],
                orders=settings["orders"],
            )
            assert len(result.decisions) > 10
            assert (result.decisions["bid_size"] > 0).mean() > 0.5

    def test_the_examples_of_the_model_are_what_a_run_finds_on_the_simulated_market(self):
        """σ, A and k are the market's; γ is the one that a run chooses with them, to one digit."""
        examples = SAMPLES["model"]
        truth = {p.name: p.default for p in SimulatedMarket.PARAMETERS}
        assert {name: examples[name] for name in ("sigma", "A", "k")} == {
            n: truth[n] for n in ("sigma", "A", "k")
        }
        gamma = default_gamma(truth["sigma"], truth["A"], truth["k"], 10)
        assert examples["gamma"] == pytest.approx(gamma, rel=0.1)
        assert examples["running_penalty"] == pytest.approx(gamma / 2, rel=0.1)

    def test_units_and_bounds_are_plain(self):
        assert "an integer >= 1 and <= 1000000 (ticks)" in template()

    @pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning")
    @pytest.mark.parametrize("model", MODELS)
    def test_the_script_does_what_the_file_does(self, model, tmp_path, monkeypatch, capsys):
        """Same parameters, same result, from wherever it runs."""
        # what is compared does not need an hour of market
        short = script(model).replace("SimulatedMarket(seed=1)", "SimulatedMarket(seed=1, duration=900)")
        (tmp_path / "strategy.py").write_text(short)
        (tmp_path / "mmcore.toml").write_text(template(model, {"simulation": {"duration": 900.0}}))
        monkeypatch.chdir("/")
        by_script = runpy.run_path(str(tmp_path / "strategy.py"), run_name="__main__")["result"]
        assert "unexplained 0.00" in capsys.readouterr().out
        settings = load(tmp_path / "mmcore.toml").values
        chosen = settings["model"]
        by_file = run(
            SimulatedMarket(**settings["simulation"]).events(),
            model=MODELS[chosen.pop("name")],
            maker_fee=0.0,
            **chosen,
        )
        assert by_script.model.parameters == by_file.model.parameters
        assert by_script.summary() == by_file.summary()

    def test_the_script_uses_what_was_given(self):
        text = script("glft", {"data": {"path": "feed.csv"}, "model": {"gamma": 0.02, "q_max": 7}})
        ast.parse(text)
        assert 'mm.load(Path(__file__).parent / "feed.csv")' in text
        assert "gamma=0.02," in text
        assert "q_max=7," in text


def uncommented(text, alone=None):
    """Take the # away from every key, but for those of `alone` (section → names)."""
    lines, section = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        name = line.removeprefix("# ").partition(" = ")[0]
        if line.startswith("# ") and name.isidentifier() and " = " in line:
            line = line if name in (alone or {}).get(section, ()) else line[2:]
        lines.append(line)
    return "\n".join(lines)


class TestPaths:
    def test_relative_paths_count_from_the_folder_of_the_file(self, tmp_path, monkeypatch):
        (tmp_path / "desk").mkdir()
        file = tmp_path / "desk" / "mmcore.toml"
        file.write_text('[data]\npath = "../feeds/x.csv"\n[report]\npath = "out/page.html"\n')
        monkeypatch.chdir(tmp_path)
        for name in (file, "desk/mmcore.toml"):
            found = load(name)
            assert (tmp_path / found["data"]["path"]).resolve() == tmp_path / "feeds" / "x.csv"
            assert (tmp_path / found["report"]["path"]).resolve() == tmp_path / "desk" / "out" / "page.html"

    def test_absolute_paths_and_texts_stay(self, tmp_path):
        (tmp_path / "a.toml").write_text(f"[data]\npath = '{tmp_path / 'x.csv'}'\nsymbol = \"x\"\n")
        assert load(tmp_path / "a.toml")["data"] == {"path": str(tmp_path / "x.csv"), "symbol": "x"}
        assert loads('[data]\npath = "x.csv"')["data"]["path"] == "x.csv"


class TestOneSource:
    """Names and defaults in the metadata are those of the functions they describe."""

    @pytest.mark.parametrize("model", MODELS)
    def test_models(self, model):
        cls = model_class(model)
        self.compare(cls.__init__, cls.PARAMETERS)

    def test_functions(self):
        found = {section.name: section.parameters for section in sections()}
        self.compare(calibrate, found["calibration"])
        self.compare(SimulatedMarket.__init__, found["simulation"])
        self.compare(replay, REPLAY_PARAMETERS)
        self.compare(run, found["replay"])

    @staticmethod
    def compare(function, parameters):
        signature = inspect.signature(function).parameters
        for parameter in parameters:
            default = signature[parameter.name].default
            if parameter.required:
                assert default is inspect.Parameter.empty
            else:
                assert default == parameter.default
