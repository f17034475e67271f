"""What is fuzzed runs on its seeds, the kept inputs, and cuts and changes of them: no fuzzer needed."""

import inspect
import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
if not (ROOT / "fuzz").is_dir():  # the tests of an installed package
    pytest.skip("needs the folder fuzz of the sources", allow_module_level=True)
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "property")]
try:
    from fuzz.__main__ import main
    from fuzz.targets import TARGETS
finally:
    del sys.path[:2]

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "property")  # where the properties are
    target = TARGETS[name]
    kept = sorted((ROOT / "fuzz" / "corpus" / name).glob("*"))
    for data in [*target.seeds(), *(path.read_bytes() for path in kept)]:
        target.run(data)


PARSERS = [name for name in TARGETS if name.startswith("read_")]


@pytest.mark.parametrize("name", PARSERS)
def test_a_seed_is_not_refused(name):
    """What is refused at its first line shows the fuzzer nothing of what lies behind."""
    for seed in TARGETS[name].seeds():
        inspect.unwrap(TARGETS[name].run)(seed)


@pytest.mark.parametrize("arguments", [["--again", "file"], ["--second", "1", "--what"], ["read_nothing"]])
def test_the_command_line_refuses_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", PARSERS)
def test_cut_and_changed(name):
    """Every cut of a short seed, and changed, doubled and lost bytes."""
    target, draw = TARGETS[name], random.Random(name)
    for seed in target.seeds():
        for at in {draw.randrange(len(seed)) for _ in range(15)}:
            target.run(seed[:at])
            target.run(seed[:at] + bytes([seed[at] ^ 1 << draw.randrange(8)]) + seed[at + 1 :])
            target.run(seed[:at] + seed[max(0, at - 8) : at] * 2 + seed[at:])
            target.run(seed[:at] + seed[at + draw.randrange(1, 9) :])


def test_a_refusal_is_told_from_a_fault():
    """The harness itself: what is no error of mmcore goes through."""
    from fuzz.targets import target
    from mmcore.errors import InvalidArgument

    def boom(data):
        raise {b"a": InvalidArgument("x"), b"b": ZeroDivisionError()}[data]

    boom.__name__ = "read_boom"
    try:
        target()(boom)
        run = TARGETS["read_boom"].run
        run(b"a")
        with pytest.raises(ZeroDivisionError):
            run(b"b")
    finally:
        TARGETS.pop("read_boom", None)
