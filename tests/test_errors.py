"""Every refusal of an argument names it, so that a program can tell which one it was."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm
from mmcore import errors

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("python/mmcore/**/*.py"), *ROOT.glob("src/mmcore/*.pyx")])


def calls(text, name):
    """Yield the line and the arguments of each call that makes a `name`, with their brackets matched."""
    for found in re.finditer(rf"(?<!class ){name}\(", text):
        depth, at = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            at += 1
        yield text.count("\n", 0, found.start()) + 1, text[found.end() : at - 1]


@pytest.mark.skipif(not SOURCES, reason="needs the sources")
def test_refusals_name_their_argument():
    unnamed = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in SOURCES
        for line, arguments in calls(path.read_text(encoding="utf-8"), "InvalidArgument")
        if arguments and not re.search(r"\bargument\s*=|\*\*", arguments)
    ]
    assert unnamed == []


def test_codes_are_one_word_each_and_their_own():
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.Error)]
    codes = {c.__name__: c.code for c in classes}
    assert len(set(codes.values())) == len(codes)
    assert codes == {
        "Error": "error",
        "InvalidArgument": "invalid",
        "OutOfBounds": "overflow",
        "ConflictError": "conflict",
        "Unsupported": "unsupported",
        "UnknownName": "unknown",
        "CapacityError": "capacity",
        "NoConvergence": "no_convergence",
        "CorruptError": "corrupt",
        "NotIdentified": "not_identified",
        "MissingExtra": "missing_extra",
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.float64(1.5), "1.5"),
        (np.array(2), "2"),
        (np.ma.masked, "masked"),
        ("x" * 197, "'" + "x" * 197 + "'"),
        ("x" * 1000, "'" + "x" * 99 + "…" + "x" * 49 + "'"),
        (10**9000, "int of thousands of digits"),
        ((10**9000, 1), "tuple of thousands of digits"),
    ],
    ids=["number", "array", "masked", "short", "long", "digits", "pair"],
)
def test_a_message_shows_any_value_and_no_page_of_it(value, shown):
    error = errors.InvalidArgument(argument="sigma", value=value, allowed="a finite number")
    assert str(error) == f"sigma must be a finite number, got {shown}"
    assert error.value is value


HUGE = 10**9000


@pytest.mark.compiled
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: mm.Book([mm.Instrument("X", tick="0.01")])["X"].fill(HUGE, 1), errors.OutOfBounds),
        (lambda: mm.Quoter(mm.Affine(1.0)).quote([[HUGE], [1, 2]], 0), TypeError),
        (lambda: mm.Quoter(mm.Affine(1.0)).quote(1.0, 0, bid=[HUGE, [1]]), TypeError),
    ],
    ids=["fill", "number", "integer"],
)
def test_every_door_shows_a_value_of_thousands_of_digits(call, error):
    with pytest.raises(error, match="of thousands of digits"):
        call()
