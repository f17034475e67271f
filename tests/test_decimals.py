"""Decimal text to integers: exact, against Fraction; and delimited text against the csv module."""

import csv
import io
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mmcore.decimals import Fields, parse, parse_floor
from mmcore.errors import InvalidArgument, OutOfBounds

pytestmark = pytest.mark.compiled

STEPS = ["1", "0.01", "0.25", "0.1", "1e-8", "12.5", "0.00015", "100", "3", "0.000000001", "1000000000000"]

numbers = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "-", "+"]),
        st.from_regex(r"[0-9]{1,12}(\.[0-9]{0,18})?|\.[0-9]{1,18}", fullmatch=True),
        st.one_of(st.just(""), st.builds("{}{}".format, st.sampled_from("eE"), st.integers(-20, 8))),
    ),
)


@given(text=numbers, step=st.sampled_from(STEPS))
@example(text="0.29", step="0.01")  # int(0.29 * 100) is 28
@example(text="18866629.E5", step="1e-8")
@example(text="-0.0000000000000000001", step="1")
@example(text="4611686018427387904", step="1")
def test_every_rounding_agrees_with_fractions(text, step):
    value = Fraction(text) / Fraction(step)
    low = math.floor(value)
    try:
        assert parse([text], step, "floor").tolist() == [low]
    except OutOfBounds:
        # Refused beyond what is documented: 2**62 units of the step's last decimal, less one digit.
        last = Decimal(step).normalize().as_tuple().exponent
        assert abs(Fraction(text)) / Fraction(10) ** min(last, 0) >= 2**62 // 10 * 10
        return
    assert parse([text], step, "ceil").tolist() == [math.ceil(value)]
    assert parse([text], step, "nearest").tolist() == [round(value)]
    ticks, subticks = parse_floor([text], step)
    assert (ticks[0], subticks[0]) == (low, math.floor((value - low) * 10**6))
    if value.denominator == 1:
        assert parse([text], step).tolist() == [value]
    else:
        with pytest.raises(InvalidArgument, match="is not a multiple of"):
            parse([text], step)


@given(st.integers(-(10**12), 10**12), st.sampled_from(STEPS))
def test_round_trip_through_decimal(n, step):
    assume(abs(n) * Decimal(step) < 2**61)
    text = str(n * Decimal(step))
    assert parse([text], step).tolist() == [n]
    assert parse([text.encode()], step).tolist() == [n]
    assert parse([Decimal(text)], step).tolist() == [n]


@given(st.integers(1, 10**11), st.sampled_from([2, 3, 8]))
def test_float_noise_is_undone_by_nearest(n, places):
    """The shortest text of a float, and the one with 17 digits, come back to the integer they were."""
    if n * 10 ** (8 - places) > 10**12:
        n %= 10**6
    exact = Decimal(n).scaleb(-places)
    step = str(Decimal(1).scaleb(-places))
    for text in (repr(float(exact)), f"{float(exact):.17g}"):
        assert parse([text], step, "nearest").tolist() == [n]


def test_known_float_noise():
    assert parse(["236.61000000000001"], "0.01", "nearest").tolist() == [23661]
    assert parse(["1.7885566900000001"], "0.00000001", "nearest").tolist() == [178855669]
    assert parse(["236.60999999999999"], "0.01", "nearest").tolist() == [23661]
    assert parse(["236.60999999999999"], "0.01", "floor").tolist() == [23660]  # what truncation makes of it
    with pytest.raises(InvalidArgument):
        parse(["236.61000000000001"], "0.01")


def test_ties_go_to_even():
    assert parse(["0.5", "1.5", "2.5", "-0.5", "-1.5", "2.50000000000000001"], "1", "nearest").tolist() == [
        0,
        2,
        2,
        0,
        -2,
        3,
    ]


def test_lobster_times_drop_trailing_zeros():
    assert parse(["34200.18960767"], "0.000000001").tolist() == [34200189607670]
    assert parse(["35179.811566535"], "0.000000001").tolist() == [35179811566535]
    assert int(35179.811566535 * 1e9) != 35179811566535  # the float's product is off


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        ".",
        "+.",
        "1.2.3",
        "1,000",
        "0x10",
        "1_000",
        "nan",
        "inf",
        "1e",
        "1e+",
        "e5",
        "--1",
        "1 2",
        "½",
        "١",
    ],
)
def test_garbage_is_refused_with_its_row(text):
    with pytest.raises(InvalidArgument, match=r"row 2: .* is not a decimal number") as caught:
        parse(["1", "2", text, "4"])
    assert caught.value.index == 2
    assert caught.value.value == text


@pytest.mark.parametrize("text", ["9223372036854775807", "1e300", "1" + "0" * 400, "4611686018427387905"])
def test_overflow_is_refused_with_its_row(text):
    with pytest.raises(OutOfBounds, match=r"row 1: .* too large"):
        parse(["0", text])


def test_tiny_and_huge_exponents_end():
    assert parse(["0e999999999999", "1e-999999999999"], "1", "floor").tolist() == [0, 0]
    assert parse(["1e-999999999999", "-1e-999999999999"], "1", "ceil").tolist() == [1, 0]


def test_a_float_is_refused():
    with pytest.raises(InvalidArgument, match="lost the digits"):
        parse([0.29], "0.01")
    with pytest.raises(InvalidArgument, match="not a float"):
        parse(["0.29"], 0.01)


@pytest.mark.parametrize("step", ["0", "-0.01", "nan", "x", "", "0.1234567890123", "10000000000000", "1e-70"])
def test_a_step_that_is_no_grid_is_refused(step):
    with pytest.raises(InvalidArgument, match="step must be"):
        parse(["1"], step)


def test_a_rounding_that_does_not_exist_is_refused():
    with pytest.raises(InvalidArgument, match="one of exact, floor, ceil, nearest"):
        parse(["1"], "1", "round")


def test_arrays_of_text():
    assert parse(np.array(["1.5", "2"]), "0.5").tolist() == [3, 4]
    assert parse(np.array([b"1.5", b"2"]), "0.5").tolist() == [3, 4]
    assert parse([], "0.5").tolist() == []


# ---- rows and columns

cell = st.text(st.characters(codec="ascii", exclude_characters='"\r\n,;\t '), max_size=6)


@given(
    st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(cell, min_size=n, max_size=n), max_size=8)),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_fields_agree_with_the_csv_module(table, delimiter, newline, quoted):
    table = [row for row in table if delimiter.join(row).strip()]
    out = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(out, delimiter=delimiter, lineterminator=newline, quoting=quoting).writerows(table)
    width = len(table[0]) if table else 1
    for text in (out.getvalue(), out.getvalue().removesuffix(newline)):
        fields = Fields(text.encode(), width, delimiter)
        expected = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
        assert len(fields) == len(expected)
        assert [fields.strings(i) for i in range(width)] == [
            [row[i] for row in expected] for i in range(width)
        ]


def test_blank_lines_are_skipped_and_lines_counted():
    fields = Fields(b"\n1, 2 \n\n  \r\n3,4", 2)
    assert fields.lines.tolist() == [1, 4]
    assert fields.integers(1).tolist() == [2, 4]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (b"1,2\n1,2,3\n", 1, "has 3 fields instead of 2"),
        (b"1,2\n\n1\n", 2, "has 1 fields instead of 2"),
        (b'1,2\n"1,2\n', 1, "double quote"),
        (b'1,"2"x\n', 0, "double quote"),
    ],
)
def test_ragged_rows_are_refused_with_their_line(text, line, what):
    with pytest.raises(InvalidArgument, match=what) as caught:
        Fields(text, 2)
    assert caught.value.index == line
    assert f"line {line + 1}" in str(caught.value)


def test_a_column_of_names():
    fields = Fields(b"buy\nsell\nhold\n", 1)
    with pytest.raises(InvalidArgument, match="row 2: 'hold' is not one of 'buy', 'sell'"):
        fields.codes(0, {"buy": 1, "sell": -1})


@pytest.mark.parametrize("values", [None, 5, 1.5, np.array(1)])
def test_what_is_no_sequence_is_refused(values):
    with pytest.raises(InvalidArgument, match="values must be a sequence of decimal texts"):
        parse(values)


def test_a_sequence_that_lies_about_its_length_is_read_to_its_end():
    class Sequence(list):
        def __len__(self):
            return 1

    assert parse(Sequence(["1"] * 1000)).tolist() == [1] * 1000


def test_half_of_a_surrogate_pair_is_no_number():
    with pytest.raises(InvalidArgument, match=r"row 1: '\\ud800' is not a decimal number"):
        parse(["1", "\ud800"])


@pytest.mark.parametrize("columns", [2**40, 2**62])
def test_more_columns_than_the_text_has_fields_take_no_memory(columns):
    with pytest.raises(InvalidArgument, match=f"line 1: has 2 fields instead of {columns}"):
        Fields(b"1,2\n3,4\n5,6\n7,8", columns)
    assert len(Fields(b"", columns)) == 0


def test_a_column_that_does_not_exist():
    with pytest.raises(InvalidArgument, match="column"):
        Fields(b"1,2\n", 2).integers(2)
    with pytest.raises(InvalidArgument, match="column"):
        Fields(b"1,2\n", 2).strings(-1)


@given(
    st.datetimes(datetime(1678, 1, 1), datetime(2261, 12, 31)),
    st.sampled_from(["", "Z", " Z", "+00:00", "-0530", "+14", "-00:30"]),
    st.sampled_from("T "),
    st.integers(0, 9),
)
def test_stamps_agree_with_datetime(when, zone, between, places):
    digits = f"{when.microsecond:06d}000"[:places]
    text = f"{when:%Y-%m-%d}".rjust(10, "0") + between + f"{when:%H:%M:%S}{'.' * bool(digits)}{digits}{zone}"
    got = Fields(text.encode(), 1).stamps(0).tolist()
    offset = when.replace(tzinfo=UTC)
    if zone.strip() not in ("", "Z"):
        sign, hours, minutes = zone[0], int(zone[1:3]), int(zone[3:].strip(":") or 0)
        offset -= timedelta(hours=hours, minutes=minutes) * (-1 if sign == "-" else 1)
    seconds = (offset.replace(microsecond=0) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    assert got == [seconds * 10**9 + int(digits.ljust(9, "0"))]


def test_every_day_of_the_calendar():
    day = date(1678, 1, 1)
    days = [day + timedelta(days=i) for i in range((date(2261, 12, 31) - day).days)]
    got = Fields("\n".join(f"{day} 00:00" for day in days).encode(), 1).stamps(0)
    assert (got // (86400 * 10**9)).tolist() == [(day - date(1970, 1, 1)).days for day in days]


@pytest.mark.parametrize(
    "text",
    [
        "", "2024", "2024-01-01", "2024-01-01T", "2024-01-01T1:00", "2024-01-01T01", "2024-01-01T01:0",
        "2024-13-01T00:00", "2024-00-01T00:00", "2024-01-32T00:00", "2024-01-00T00:00", "2023-02-29T00:00",
        "1900-02-29T00:00", "2024-04-31T00:00", "2024-01-01T24:00", "2024-01-01T00:60", "2024-01-01T00:00:61",
        "2024-01-01T00:00:00.", "2024-01-01T00:00:00.1234567890", "2024-01-01T00:00:00ZZ", "0000-01-01T00:00",
        "2024-01-01T00:00:00+", "2024-01-01T00:00:00+1", "2024-01-01T00:00:00+01:", "2024-01-01T00:00+01:2",
        "2024-01-01T00:00:00+24:00", "2024/01/01T00:00", "2024-01-01x00:00", "-024-01-01T00:00",
        "２024-01-01T00:00",
    ],
)  # fmt: skip
def test_what_is_no_stamp_is_refused(text):
    fields = Fields(f"2024-01-01T00:00,1\n{text},1\n".encode(), 2)
    with pytest.raises(InvalidArgument, match=r"row 1: .* is not an ISO 8601 stamp") as caught:
        fields.stamps(0)
    assert caught.value.index == 1


def test_stamps_at_the_ends_of_int64_and_a_leap_second():
    def stamps(*texts):
        return Fields("\n".join(texts).encode(), 1).stamps(0).tolist()

    assert stamps("2262-04-11T23:47:15.999999999Z") == [9223372035999999999]
    assert stamps("1677-09-21T00:12:44Z") == [-9223372036000000000]
    assert stamps("2016-12-31T23:59:60Z") == stamps("2017-01-01T00:00:00Z")
    for text in ("2262-04-11T23:47:16Z", "1677-09-21T00:12:43Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00"):
        with pytest.raises(OutOfBounds, match=r"row 0: .* is outside 1677-09-21 to 2262-04-11"):
            stamps(text)


def test_missing_numbers_are_told_from_wrong_ones():
    words = ["", "nan", "NaN", "NA", "n/a", "NULL", "None", " nan ", '""']
    fields = Fields("\n".join(f"{word},1" for word in [*words, "0"]).encode(), 2)
    assert fields.integers(0, missing=True).tolist() == [-(2**63)] * len(words) + [0]
    with pytest.raises(InvalidArgument, match="row 0: '' is not a decimal number"):
        fields.integers(0)
    for word in ("nans", "nul", "n", "na/", "x", "@", "-", '"na "', '"nan "', '" "'):
        with pytest.raises(InvalidArgument, match=r"row 0: .* is not a decimal number"):
            Fields(f"{word},1\n".encode(), 2).integers(0, missing=True)


@given(st.lists(st.tuples(st.integers(-99, 99), st.sampled_from("ab")), max_size=20), st.data())
def test_taking_rows_is_taking_them_from_every_column(rows, data):
    fields = Fields("".join(f"{n},{word}\n\n" for n, word in rows).encode(), 2)
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=9)) if rows else []
    part = fields.take(places)
    assert part.integers(0).tolist() == [rows[i][0] for i in places]
    assert part.strings(1) == [rows[i][1] for i in places]
    assert part.codes(1, {"a": 5}, other=-7).tolist() == [5 if rows[i][1] == "a" else -7 for i in places]
    assert part.lines.tolist() == [2 * i for i in places]


def test_rows_that_do_not_exist_are_refused():
    fields = Fields(b"1\n2\n", 1)
    for wrong, what in (
        ([2], r"rows\[0\] must be in \[0, 2\)"),
        ([0, -1], r"rows\[1\]"),
        ([[0]], "a vector"),
    ):
        with pytest.raises(InvalidArgument, match=what):
            fields.take(wrong)
    with pytest.raises(InvalidArgument, match="a vector of integers"):
        fields.take([0.5])


def test_the_examples_of_the_docstrings():
    import doctest

    import mmcore.decimals

    result = doctest.testmod(mmcore.decimals)
    assert result.attempted > 10
    assert result.failed == 0
