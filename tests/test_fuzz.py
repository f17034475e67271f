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
    from fuzz.__main__ import FILES, KEPT, _chosen, main
    from fuzz.targets import TARGETS
finally:
    del sys.path[:2]

pytestmark = pytest.mark.compiled


CORPUS = ROOT / "fuzz" / "corpus"


def target_of(name):
    """Return a target; skip where the package that it needs is not installed."""
    if TARGETS[name].needs:
        pytest.importorskip(TARGETS[name].needs)
    return TARGETS[name]


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs(name, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "property")  # where the properties are
    target = target_of(name)
    kept = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    assert 0 < sum(map(len, kept)) <= KEPT
    assert len(kept) <= FILES
    for data in [*target.seeds(), *kept]:
        target.run(data)


def test_what_is_kept_is_of_targets():
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


def test_what_reaches_the_most_is_kept():
    control = "4\n0\na\nb\nc\nd\nSTARTED 0 3\nFT 0 1 2\nCOV 0 9\nSTARTED 1 8001\nFT 1 1 2 3 4 5\n"
    control += "STARTED 2 2\nFT 2 2 3 4\nSTARTED 3 1\nFT 3 1 2\n"
    assert _chosen(control) == [Path("c"), Path("d")]  # b is too large, and d smaller than a
    with pytest.raises(RuntimeError, match="keeps nothing"):
        _chosen("1\n0\na\nSTARTED 0 8001\nFT 0 1\n")


PARSERS = [name for name in TARGETS if name.startswith("read_")]


@pytest.mark.parametrize("name", PARSERS)
def test_a_seed_is_not_refused(name):
    """What is refused at its first line shows the fuzzer nothing of what lies behind."""
    target = target_of(name)
    for seed in target.seeds():
        inspect.unwrap(target.run)(seed)


@pytest.mark.parametrize("arguments", [["--again", "file"], ["--second", "1", "--what"], ["read_nothing"]])
def test_the_command_line_refuses_what_it_does_not_know(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("name", PARSERS)
def test_cut_and_changed(name):
    """Every cut of a short seed, and changed, doubled and lost bytes."""
    target, draw = target_of(name), random.Random(name)
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
