"""Decimal text to whole ticks, lots or ns: exactly, in bulk, and without a float on the way.

A price of 0.29 with a tick of 0.01 is 29 ticks. ``int(0.29 * 100)`` is 28; here the digits of the
text are accumulated as integers, and text off the grid is refused unless a rounding is asked for:

============= ===================================================================
``"exact"``   refuse it, naming the row (the default)
``"floor"``   towards minus infinity; :func:`parse_floor` keeps the remainder
``"ceil"``    towards plus infinity
``"nearest"`` nearest, half to even: for text that went through a binary float and
              back, such as ``"236.61000000000001"``
============= ===================================================================

Numbers are a sign, digits with at most one point, and an exponent, with blanks around. Anything
else ("nan", "1,000", "0x10", "") is refused.

:class:`Fields` cuts delimited text into rows and columns and parses a column at a time.

Examples
--------
>>> from mmcore.decimals import parse, parse_floor, Fields
>>> parse(["0.29", "61700.10"], step="0.01").tolist()
[29, 6170010]
>>> parse(["236.61000000000001"], step="0.01", rounding="nearest").tolist()
[23661]
>>> [column.tolist() for column in parse_floor(["223.825"], step="0.01")]
[[22382], [500000]]
>>> rows = Fields(b"34200.18960767,2238100\\n34200.5,2238200\\n", columns=2)
>>> rows.integers(0, step="0.000000001").tolist()
[34200189607670, 34200500000000]
"""

from decimal import Decimal, InvalidOperation

import numpy as np

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport INT64_MIN, int32_t, int64_t
from libc.string cimport memcmp

from mmcore.errors import InvalidArgument, OutOfBounds

cdef extern from "mmcore/types.h" nogil:
    enum:
        MM_OK
        MM_INVALID
        MM_OVERFLOW
        MM_UNSUPPORTED

__all__ = ["Fields", "cells", "parse", "parse_floor"]

cdef str _UNCLOSED = "a double quote is not closed at the end of its field"
cdef dict _ROUNDINGS = {"exact": MM_EXACT, "floor": MM_FLOOR, "ceil": MM_CEIL, "nearest": MM_NEAREST}


cdef int decimal(
    const char *text, int64_t size, const mm_grid *grid, int64_t *ticks, int32_t *subtick
) noexcept nogil:
    """Parse text[:size]; see ``mm_decimal``."""
    return mm_decimal(text, text + size, grid, ticks, subtick)


cdef mm_grid _grid(object step, object rounding) except *:
    cdef mm_grid grid
    if not isinstance(rounding, str) or rounding not in _ROUNDINGS:
        raise InvalidArgument(argument="rounding", value=rounding, allowed="one of " + ", ".join(_ROUNDINGS))
    if isinstance(step, float):
        raise InvalidArgument(argument="step", value=step, allowed="a decimal string, not a float")
    try:
        value = Decimal(step).normalize()
        finite = value.is_finite()
    except (InvalidOperation, TypeError, ValueError):
        finite = False
    if not finite or value <= 0:
        raise InvalidArgument(argument="step", value=step, allowed='a positive decimal string such as "0.01"')
    _, digits, exponent = value.as_tuple()
    if len(digits) + max(exponent, 0) > 13 or -exponent > MM_SCALE_MAX:
        raise InvalidArgument(argument="step", value=step, allowed="a decimal of at most 12 digits")
    whole = int("".join(map(str, digits))) * 10 ** max(exponent, 0)
    if whole > MM_STEP_MAX:
        raise InvalidArgument(argument="step", value=step, allowed="a decimal of at most 12 digits")
    grid.step = whole
    grid.scale = max(-exponent, 0)
    grid.rounding = _ROUNDINGS[rounding]
    return grid


cdef object _refusal(int status, int64_t row, object text, object step):
    if isinstance(text, bytes):
        text = text.decode("ascii", "backslashreplace")
    if status == MM_OVERFLOW:
        return OutOfBounds(
            f"row {row}: {text!r} is too large for 64 bits in steps of {step}",
            argument="values", value=text, index=row)
    allowed = f"a multiple of {step}" if status == MM_UNSUPPORTED else "a decimal number"
    return InvalidArgument(f"row {row}: {text!r} is not {allowed}",
                           argument="values", value=text, allowed=allowed, index=row)


cdef _parse_objects(
    object values, object step, const mm_grid *grid, int64_t[::1] ticks, int32_t[::1] subticks
):
    cdef int64_t row = 0
    cdef Py_ssize_t size
    cdef const char *text
    cdef int status
    cdef int64_t value = 0
    cdef int32_t sub = 0
    for item in values:
        if isinstance(item, (int, Decimal)) and not isinstance(item, bool):
            item = str(item)
        if isinstance(item, bytes):
            text = PyBytes_AS_STRING(item)
            size = PyBytes_GET_SIZE(item)
        elif isinstance(item, str):
            try:
                text = PyUnicode_AsUTF8AndSize(item, &size)
            except UnicodeEncodeError:  # half of a surrogate pair
                raise _refusal(MM_INVALID, row, item, step) from None
        else:
            raise InvalidArgument(
                argument="values", index=row, value=item,
                allowed="decimal text (a float has lost the digits)")
        status = mm_decimal(text, text + size, grid, &value, &sub)
        if status != MM_OK:
            raise _refusal(status, row, item, step)
        ticks[row] = value
        subticks[row] = sub
        row += 1


cdef tuple _parsed(object values, object step, object rounding):
    cdef mm_grid grid = _grid(step, rounding)
    if isinstance(values, (str, bytes)):
        raise InvalidArgument(argument="values", value=values, allowed="a sequence of decimal texts")
    try:
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        n = len(values)
    except TypeError:
        raise InvalidArgument(
            argument="values", value=values, allowed="a sequence of decimal texts"
        ) from None
    ticks = np.empty(n, dtype=np.int64)
    subticks = np.empty(n, dtype=np.int32)
    _parse_objects(values, step, &grid, ticks, subticks)
    return ticks, subticks


def parse(values, step="1", rounding="exact"):
    """Return each text as a whole number of steps.

    Parameters
    ----------
    values : sequence of str, bytes, int or Decimal
        Decimal numbers. Floats are refused: their digits are already lost.
    step : str, int or Decimal
        The grid: a price tick, a lot, or "0.000000001" for ns from seconds. At most 12 digits.
    rounding : {"exact", "floor", "ceil", "nearest"}
        What becomes of a number off the grid.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    InvalidArgument
        Not a number, or off the grid under "exact"; ``.index`` is the row.
    OutOfBounds
        Beyond 2**62 units of the last decimal of `step`.

    Examples
    --------
    >>> parse(["0.29", "-1.5e2"], step="0.01").tolist()
    [29, -15000]
    >>> parse(["1", "2.505"], step="0.01")
    Traceback (most recent call last):
    mmcore.errors.InvalidArgument: row 1: '2.505' is not a multiple of 0.01
    """
    return _parsed(values, step, rounding)[0]


def parse_floor(values, step="1"):
    """Return each text as whole steps, rounded down, and the rest in millionths of a step.

    The rest is rounded down too: only a remainder finer than a millionth of a step is lost.

    Parameters
    ----------
    values : sequence of str, bytes, int or Decimal
        Decimal numbers.
    step : str, int or Decimal
        The grid.

    Returns
    -------
    ticks : ndarray of int64
    subticks : ndarray of int32
        In [0, 1000000).

    Examples
    --------
    >>> [column.tolist() for column in parse_floor(["0.125", "-0.125"], step="0.01")]
    [[12, -13], [500000, 500000]]
    """
    return _parsed(values, step, "floor")


cdef bytes _text(bytes text, int64_t start, int64_t stop):
    """Return a field; a quote stands before one that stood within quotes."""
    cdef bytes field = text[start:stop]
    if start > 0 and text[start - 1] == 34 and b'""' in field:
        return field.replace(b'""', b'"')
    return field


def cells(bytes line not None, str delimiter=","):
    """Return the fields of one row as text, cut as :class:`Fields` cuts, however many there are.

    Parameters
    ----------
    line : bytes
        The row; what follows its end is not read.
    delimiter : str
        One ASCII character.

    Returns
    -------
    list of str
        UTF-8; other bytes as backslash escapes. Of an empty line nothing.

    Raises
    ------
    InvalidArgument
        A quote that is not closed.

    Examples
    --------
    >>> cells(b' "Time, UTC", bid,ask')
    ['Time, UTC', 'bid', 'ask']
    """
    cdef char separator = _separator(delimiter)
    cdef int64_t most = line.count(separator) + 1, line_of, field
    cdef int64_t[::1] starts = np.empty(most, dtype=np.int64)
    cdef int64_t[::1] stops = np.empty(most, dtype=np.int64)
    cdef mm_fields_result result = mm_fields(
        PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), separator, most, 1, &starts[0], &stops[0], &line_of)
    if result.bad_fields < 0:
        raise InvalidArgument(_UNCLOSED, argument="line", value=line.decode("utf-8", "backslashreplace"))
    if result.status == MM_OK:  # as many as there can be, or none
        most = most * result.rows
    else:
        most = result.bad_fields
    found = [_text(line, starts[field], stops[field]) for field in range(most)]
    return [text.decode("utf-8", "backslashreplace") for text in found]


cdef char _separator(str delimiter) except 0:
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\0\r\n':
        raise InvalidArgument(argument="delimiter", value=delimiter, allowed="one ASCII character")
    return <char>ord(delimiter)


@cython.final
cdef class Fields:
    """Rows and columns of delimited text, parsed a column at a time.

    Blanks and one pair of double quotes around a field are left out; between them a delimiter is text, and a
    doubled quote stands for one. A row is a line: no field holds its end. Empty lines are skipped.

    Parameters
    ----------
    text : bytes
        Whole rows; the last one may lack its newline.
    columns : int
        Fields that every row must have.
    delimiter : str
        One ASCII character.

    Attributes
    ----------
    lines : ndarray of int64
        The 0-based line of each row in `text`.

    Raises
    ------
    InvalidArgument
        A row with another number of fields, or a quote that is not closed; ``.index`` is the line.

    Notes
    -----
    Thread-safety: immutable; may be read from any number of threads.

    Examples
    --------
    >>> f = Fields(b"a;1.5\\n\\nb;2\\n", columns=2, delimiter=";")
    >>> len(f), f.strings(0), f.integers(1, step="0.5").tolist(), f.lines.tolist()
    (2, ['a', 'b'], [3, 4], [0, 2])
    """

    cdef readonly bytes text
    cdef readonly int64_t columns
    cdef readonly object lines
    cdef int64_t[::1] _starts
    cdef int64_t[::1] _stops
    cdef int64_t _rows

    def __init__(self, bytes text not None, int64_t columns, str delimiter=","):
        cdef mm_fields_result result
        cdef int64_t size = PyBytes_GET_SIZE(text)
        cdef int64_t capacity
        cdef const char *at = PyBytes_AS_STRING(text)
        cdef char separator
        cdef int64_t[::1] starts, stops, line_of
        if columns < 1:
            raise InvalidArgument(argument="columns", value=columns, allowed="at least 1")
        separator = _separator(delimiter)
        capacity = text.count(b"\n") + 1
        # Rows are whole when the next one begins, so that no more fields are noted than the text can have.
        fields = max(1, min(<object>capacity * columns, capacity + size))
        lines = np.empty(capacity, dtype=np.int64)
        starts = np.empty(fields, dtype=np.int64)
        stops = np.empty(fields, dtype=np.int64)
        line_of = lines
        with nogil:
            result = mm_fields(
                at, size, separator, columns, capacity, &starts[0], &stops[0], &line_of[0])
        if result.status != MM_OK:
            if result.bad_fields < 0:
                message = f"line {result.lines + 1}: {_UNCLOSED}"
            else:
                message = f"line {result.lines + 1}: has {result.bad_fields} fields instead of {columns}"
            raise InvalidArgument(message, argument="text", index=result.lines)
        self.text = text
        self.columns = columns
        self.lines = lines[: result.rows]
        self._starts = starts
        self._stops = stops
        self._rows = result.rows

    def __len__(self):
        return self._rows

    cdef int64_t _column(self, int64_t column) except -1:
        if not 0 <= column < self.columns:
            raise InvalidArgument(argument="column", value=column, allowed=f"in [0, {self.columns})")
        return column

    cdef bytes _field(self, int64_t row, int64_t column):
        cdef int64_t at = row * self.columns + column
        return _text(self.text, self._starts[at], self._stops[at])

    cdef tuple _numbers(self, int64_t column, object step, object rounding, bint missing):
        cdef mm_grid grid = _grid(step, rounding)
        cdef const char *base = PyBytes_AS_STRING(self.text)
        cdef const char *start
        cdef const char *stop
        cdef int64_t row = 0, at
        cdef int status = MM_OK
        self._column(column)
        ticks = np.empty(self._rows, dtype=np.int64)
        subticks = np.empty(self._rows, dtype=np.int32)
        cdef int64_t[::1] ticks_view = ticks
        cdef int32_t[::1] subticks_view = subticks
        with nogil:
            for row in range(self._rows):
                at = row * self.columns + column
                start = base + self._starts[at]
                stop = base + self._stops[at]
                status = mm_decimal(start, stop, &grid, &ticks_view[row], &subticks_view[row])
                if status != MM_OK:
                    if not (missing and status == MM_INVALID and mm_is_missing(start, stop)):
                        break
                    status = MM_OK
                    ticks_view[row] = INT64_MIN
                    subticks_view[row] = 0
        if status != MM_OK:
            raise _refusal(status, row, self._field(row, column), step)
        return ticks, subticks

    def integers(self, int64_t column, step="1", rounding="exact", bint missing=False):
        """Return a column as whole steps: :func:`parse` of its fields.

        With `missing`, what says that there is no number (nothing, NaN, NA, N/A, null, None) becomes the
        smallest int64, which no number does.
        """
        return self._numbers(column, step, rounding, missing)[0]

    def integers_floor(self, int64_t column, step="1"):
        """Return a column as whole steps and millionths: :func:`parse_floor` of its fields."""
        return self._numbers(column, step, "floor", False)

    def stamps(self, int64_t column):
        """Return a column of ISO 8601 stamps as ns since the epoch; UTC where they name no zone.

        Raises
        ------
        InvalidArgument
            A text of another form, or no such day or hour; ``.index`` is the row.
        OutOfBounds
            Before 1677-09-21 or after 2262-04-11, which int64 ns do not hold.

        Examples
        --------
        >>> Fields(b"1970-01-02T00:00:00.5Z\\n1970-01-02 01:00+01\\n", columns=1).stamps(0).tolist()
        [86400500000000, 86400000000000]
        """
        cdef const char *base = PyBytes_AS_STRING(self.text)
        cdef int64_t row = 0, at
        cdef int status = MM_OK
        self._column(column)
        out = np.empty(self._rows, dtype=np.int64)
        cdef int64_t[::1] view = out
        with nogil:
            for row in range(self._rows):
                at = row * self.columns + column
                status = mm_iso_stamp(base + self._starts[at], base + self._stops[at], &view[row])
                if status != MM_OK:
                    break
        if status != MM_OK:
            text = self._field(row, column).decode("utf-8", "backslashreplace")
            if status == MM_OVERFLOW:
                raise OutOfBounds(
                    f"row {row}: {text!r} is outside 1677-09-21 to 2262-04-11",
                    argument="values", value=text, index=row)
            raise InvalidArgument(
                f"row {row}: {text!r} is not an ISO 8601 stamp",
                argument="values", value=text, allowed="an ISO 8601 stamp", index=row)
        return out

    def strings(self, int64_t column):
        """Return a column as a list of str (UTF-8; other bytes as backslash escapes)."""
        cdef int64_t row
        self._column(column)
        return [self._field(row, column).decode("utf-8", "backslashreplace") for row in range(self._rows)]

    def codes(self, int64_t column, dict codes not None, other=None):
        """Return a column of names as integers.

        Parameters
        ----------
        column : int
            Which column.
        codes : dict of str to int
            What each text stands for.
        other : int, optional
            What every other text stands for; without it they are refused.

        Raises
        ------
        InvalidArgument
            A text that is not in `codes`; ``.index`` is the row.

        Examples
        --------
        >>> Fields(b"buy\\nsell\\n", columns=1).codes(0, {"buy": 1, "sell": -1}).tolist()
        [1, -1]
        """
        # As they stand in the text: within quotes a quote is doubled.
        codes = {**codes, **{key.replace('"', '""'): code for key, code in codes.items() if '"' in key}}
        cdef list names = [key.encode("utf-8", "surrogatepass") for key in codes]
        cdef int64_t count = len(names), row = 0, at, size, k
        cdef const char *base = PyBytes_AS_STRING(self.text)
        cdef const char *text
        cdef bytes joined = b"".join(names)
        cdef const char *known = PyBytes_AS_STRING(joined)
        cdef int64_t[::1] ends = np.cumsum([0] + [len(name) for name in names], dtype=np.int64)
        cdef int64_t[::1] values = np.array([*codes.values(), 0 if other is None else other], dtype=np.int64)
        cdef bint strict = other is None
        cdef bint found = True
        self._column(column)
        out = np.empty(self._rows, dtype=np.int64)
        cdef int64_t[::1] view = out
        with nogil:
            for row in range(self._rows):
                at = row * self.columns + column
                text = base + self._starts[at]
                size = self._stops[at] - self._starts[at]
                found = not strict
                for k in range(count):
                    if ends[k + 1] - ends[k] == size and memcmp(known + ends[k], text, <size_t>size) == 0:
                        view[row] = values[k]
                        found = True
                        break
                else:
                    view[row] = values[count]
                if not found:
                    break
        if not found:
            refused = self._field(row, column).decode("utf-8", "backslashreplace")
            raise InvalidArgument(
                f"row {row}: {refused!r} is not one of {', '.join(map(repr, codes))}",
                argument="values", value=refused, allowed="one of " + ", ".join(map(repr, codes)), index=row)
        return out

    def take(self, rows):
        """Return these rows, in this order, of the same text.

        Parameters
        ----------
        rows : array_like of int
            Places in [0, len(self)).

        Examples
        --------
        >>> Fields(b"1\\n2\\n3\\n", columns=1).take([2, 0]).integers(0).tolist()
        [3, 1]
        """
        places = np.asarray(rows)
        if places.ndim != 1 or (places.size and places.dtype.kind not in "iu"):
            raise InvalidArgument(argument="rows", value=rows, allowed="a vector of integers")
        places = places.astype(np.int64)
        wrong = (places < 0) | (places >= self._rows)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InvalidArgument(
                argument="rows", index=at, value=int(places[at]), allowed=f"in [0, {self._rows})")
        cdef Fields part = Fields.__new__(Fields)
        part.text = self.text
        part.columns = self.columns
        part.lines = self.lines[places]
        part._rows = len(places)
        shape = (self._rows, self.columns)
        cells = self._rows * self.columns
        part._starts = np.asarray(self._starts)[:cells].reshape(shape)[places].ravel()
        part._stops = np.asarray(self._stops)[:cells].reshape(shape)[places].ravel()
        return part
