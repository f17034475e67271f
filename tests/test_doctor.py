"""The examination of an installation."""

import json

import pytest

from mmcore import cpu, doctor

click = pytest.importorskip("click", reason="the command line needs the extra cli")


def call(*arguments, capsys):
    from mmcore.cli import main

    with pytest.raises(SystemExit) as left:
        main(arguments)
    return left.value.code, capsys.readouterr().out


def test_every_set_that_runs_here_is_compared():
    before = cpu.level()
    found = doctor.examine()
    assert cpu.level() == before
    assert {one.name: one.runs for one in found.instruction_sets} == cpu.levels()
    assert [one.name for one in found.instruction_sets if one.in_use] == [before]
    assert all(one.agrees is (True if one.runs else None) for one in found.instruction_sets)
    assert found.sound


def test_it_says_what_is_there(capsys):
    code, out = call("doctor", capsys=capsys)
    assert code == 0
    for words in ("mmcore", "NumPy", "baseline", "in use", "the same bits", "headers for C", "click"):
        assert words in out
    code, out = call("doctor", "--json", capsys=capsys)
    told = json.loads(out)
    assert (code, told["sound"]) == (0, True)
    assert told["extras"]["cli"]["click"]


def test_a_missing_extra_is_told(capsys, monkeypatch):
    versions = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "bokeh" else versions(name))
    assert "bokeh missing" in call("doctor", capsys=capsys)[1]


def test_another_result_is_told(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_agrees", lambda name: name != "baseline")
    code, out = call("doctor", capsys=capsys)
    assert code == 1
    assert "other results" in out
    assert "this build is broken" in out


@pytest.mark.parametrize("name", ["price_batch", "backward"])
def test_a_difference_of_one_bit_is_found(name, monkeypatch):
    class Broken:
        """The class of that name, one result of which is off by a bit at the last set."""

        def __init__(self, *arguments, **named):
            self.made = original(*arguments, **named)

        def __getattr__(self, called):
            def method(*arguments):
                found = getattr(self.made, called)(*arguments)
                if called == name and cpu.level() != "baseline":
                    changed = found if name == "price_batch" else found[0]
                    changed.view("i8").flat[-1] ^= 1
                return found

            return method

    home = "Quoter" if name == "price_batch" else "InventoryChain"
    original = getattr(doctor, home)
    monkeypatch.setattr(doctor, home, Broken)
    for one in doctor.examine().instruction_sets:
        assert one.agrees is (None if not one.runs else one.name == "baseline")
