"""Configuration files: what is right is read, and every fault of what is wrong is told with its place."""

import ast
import inspect
import runpy
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcore.calibration import calibrate
from mmcore.configuration import (
    MODELS,
    ConfigurationError,
    _key_lines,
    load,
    loads,
    model_class,
    script,
    sections,
    template,
)
from mmcore.errors import InvalidArgument
from mmcore.replaying import replay, run
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
        with pytest.raises(ConfigurationError, match="not UTF-8"):
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
            ("gamma = 1", "[gamma] stands outside of the sections"),
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

    def test_an_unknown_model_does_not_hide_the_other_faults(self):
        assert len(faults('[model]\nname = "x"\ngama = 1').faults) == 2


class TestLines:
    def test_strings_comments_and_brackets_are_no_keys(self):
        lines = _key_lines(
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
        assert _key_lines(text) == expected


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
        """The examples in it are allowed values, except that a text stands empty."""
        lines = []
        for line in template(model).splitlines():
            if line.startswith("# ") and " = " in line and not line.startswith("#  "):
                name, _, value = line[2:].partition(" = ")
                if name.isidentifier() and value != '""':
                    line = line[2:]
            lines.append(line)
        found = loads("\n".join(lines))
        given = sum(len(table) for table in found.values.values())
        total = sum(len(section.parameters) for section in sections(model))
        texts = sum(
            p.type is str and not p.choices and p.default is None
            for s in sections(model)
            for p in s.parameters
        )
        assert given == total - texts

    @pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning")
    @pytest.mark.parametrize("model", MODELS)
    def test_the_script_runs(self, model, tmp_path, monkeypatch, capsys):
        path = tmp_path / "strategy.py"
        # what is tested is the script, not an hour of market
        path.write_text(
            script(model).replace("SimulatedMarket(seed=1)", "SimulatedMarket(seed=1, duration=900)")
        )
        monkeypatch.chdir(tmp_path)
        runpy.run_path(str(path), run_name="__main__")
        assert "unexplained 0" in capsys.readouterr().out

    def test_the_script_uses_what_was_given(self):
        text = script("glft", {"data": {"path": "feed.csv"}, "model": {"gamma": 0.02, "q_max": 7}})
        ast.parse(text)
        assert "mm.load('feed.csv')" in text
        assert "gamma=0.02," in text
        assert "max_position=7" in text


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
        for function in (replay, run):
            known = inspect.signature(function).parameters
            self.compare(function, [p for p in found["replay"] if p.name in known])
        assert {p.name for p in found["replay"]} <= set(inspect.signature(run).parameters)

    @staticmethod
    def compare(function, parameters):
        signature = inspect.signature(function).parameters
        for parameter in parameters:
            default = signature[parameter.name].default
            if parameter.required:
                assert default is inspect.Parameter.empty
            else:
                assert default == parameter.default
