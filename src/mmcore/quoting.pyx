"""Quotes from a compiled policy, through the market's rules.

A policy says how far from a reference price to quote, given the inventory. It has one of two
shapes. :class:`Affine` is, with q the inventory in lots and tau the time left in seconds,

    delta_bid = base + base_rate*tau + (slope + slope_rate*tau)*q
    delta_ask = base + base_rate*tau - (slope + slope_rate*tau)*q

and :class:`Table` holds a depth, a size and a `take` per inventory, time left and state. Depths are
ticks from the reference price and may be negative: nothing is floored.

:class:`Quoter` turns depths into a quote that may be sent, in one fixed order:

    depths -> shift -> volatility scale -> age of the data -> limits -> passive rounding to ticks
           -> never cross the touch -> obligations -> bid < ask

With s the reference price, alpha the shift and v the volatility scale, the targets are
s + alpha - v*delta_bid and s + alpha + v*delta_ask, further out by w*sqrt(age) where :class:`FeedAge`
says so. They are rounded to multiples of 2^-20 ticks
(half to even), then floored (bid) or ceiled (ask), so that noise in the last bits never moves a
quote by a tick.

The market's state never raises: a side that may not be quoted is absent, and :class:`Why` says for
what reason. Everything computes with + - * / and integers only and gives the same bits everywhere.

>>> policy = Affine(base=1.5, slope=0.1, q_max=10)
>>> quoter = Quoter(policy)
>>> bid, ask = quoter.quote(100.25, 3, bid=100, ask=101)
>>> bid, ask
(98, 102)
"""

from enum import IntFlag
from html import escape
from math import frexp

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE
from cpython.buffer cimport PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check, PyFloat_CheckExact
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.number cimport PyIndex_Check
from cpython.ref cimport PyObject, Py_XDECREF, Py_XINCREF
from libc.math cimport INFINITY
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT64_MAX, uintptr_t
from libc.string cimport memcpy, memset

from mmcore.errors import CapacityError, CorruptError, InvalidArgument, NoConvergence, Unsupported, shown
from mmcore.parameters import bytes_like, masked, real, two_sides

from mmcore.arguments cimport read_int
from mmcore.cpu cimport c_cpu

cnp.import_array()

__all__ = [
    "CELL",
    "QUOTE",
    "Affine",
    "Explanation",
    "FeedAge",
    "Limits",
    "Obligations",
    "Policy",
    "Quote",
    "QuoteBuffer",
    "Quoter",
    "Table",
    "Why",
    "reasons",
]

cdef extern from *:
    const Py_ssize_t PY_SSIZE_T_MAX

cdef enum:
    NO_STATE = -1  # what None is: no policy has it

inf = INFINITY

# The defaults of the hot calls, as the objects that they are: compared by identity, they need no reading.
cdef object ZERO = 0.0
cdef object FIRST = 0
cdef object EVER = inf

# What an object made without its constructor reads: no states, so no depths.
cdef mm_policy EMPTY
EMPTY.bytes = sizeof(mm_policy)

QUOTE = np.dtype({
    "names": ["bid", "ask", "bid_size", "ask_size", "take", "version", "why"],
    "formats": ["i8", "i8", "i8", "i8", "i8", "u8", "u4"],
    "offsets": [0, 8, 16, 24, 32, 40, 48],
    "itemsize": sizeof(mm_quote),
})
"""NumPy type of a quote in arrays: prices in ticks (absent: the int64 minimum for a bid, maximum
for an ask), sizes in lots (absent: 0), :class:`Why` bits. The same bytes as ``mm_quote``."""

CELL = np.dtype({
    "names": ["depth", "size", "take"],
    "formats": [("f8", 2), ("i4", 2), "i4"],
    "offsets": [0, 16, 24],
    "itemsize": sizeof(mm_cell),
})
"""NumPy type of a table's cell: depths in ticks (absent: NaN), sizes and take in lots."""


class Why(IntFlag):
    """Why a quote is not the plain one: a set of bits, 0 when nothing happened.

    >>> why = Why.LIMIT_BID | Why.TOUCH_ASK
    >>> why.words
    ('buying would break the position limit', "the ask was raised so as not to meet the market's bid")
    >>> Why.LIMIT_BID in why
    True
    """

    REFERENCE = MM_WHY_REFERENCE
    CROSSED = MM_WHY_CROSSED
    HALTED = MM_WHY_HALTED
    LIMIT_BID = MM_WHY_LIMIT_BID
    LIMIT_ASK = MM_WHY_LIMIT_ASK
    NO_STATIONARY = MM_WHY_NO_STATIONARY
    PAST_HORIZON = MM_WHY_PAST_HORIZON
    BEYOND_HORIZON = MM_WHY_BEYOND_HORIZON
    TOUCH_BID = MM_WHY_TOUCH_BID
    TOUCH_ASK = MM_WHY_TOUCH_ASK
    OBLIGATION = MM_WHY_OBLIGATION
    TIGHTENED = MM_WHY_TIGHTENED
    INVENTORY = MM_WHY_INVENTORY
    STATE = MM_WHY_STATE
    RANGE = MM_WHY_RANGE
    SHRUNK = MM_WHY_SHRUNK
    POLICY_BID = MM_WHY_POLICY_BID
    POLICY_ASK = MM_WHY_POLICY_ASK
    SHIFT = MM_WHY_SHIFT
    TIME = MM_WHY_TIME
    APART = MM_WHY_APART
    STALE = MM_WHY_STALE
    WIDENED = MM_WHY_WIDENED

    @property
    def words(self):
        """The reasons in words, one text each."""
        return tuple([_WORDS[bit] for bit in Why if bit & self])


_WORDS = {
    Why.REFERENCE: "the reference price is not finite",
    Why.CROSSED: "the market's bid is above its ask",
    Why.HALTED: "quoting is halted",
    Why.LIMIT_BID: "buying would break the position limit",
    Why.LIMIT_ASK: "selling would break the position limit",
    Why.NO_STATIONARY: "no time left was given, and the policy holds only a finite horizon",
    Why.PAST_HORIZON: "the horizon has passed",
    Why.BEYOND_HORIZON: "the time left exceeds the policy's horizon",
    Why.TOUCH_BID: "the bid was lowered so as not to meet the market's ask",
    Why.TOUCH_ASK: "the ask was raised so as not to meet the market's bid",
    Why.OBLIGATION: "an obligation is not met",
    Why.TIGHTENED: "spread or size was changed to meet an obligation",
    Why.INVENTORY: "inventory or target is not finite",
    Why.STATE: "the policy has no such state",
    Why.RANGE: "a price is outside the range of 2^52 ticks",
    Why.SHRUNK: "a size was cut to what the limits leave",
    Why.POLICY_BID: "the policy quotes no bid at this inventory",
    Why.POLICY_ASK: "the policy quotes no ask at this inventory",
    Why.SHIFT: "the shift is not finite",
    Why.TIME: "the time left is not a number",
    Why.APART: "bid and ask met and were stepped apart",
    Why.STALE: "the market data are older than the bound",
    Why.WIDENED: "the depths were widened for the age of the market data",
}


_ABSENT = (
    Why.REFERENCE | Why.CROSSED | Why.HALTED | Why.NO_STATIONARY | Why.PAST_HORIZON | Why.BEYOND_HORIZON
    | Why.INVENTORY | Why.STATE | Why.RANGE | Why.SHIFT | Why.TIME | Why.STALE
)
_ABSENT_SIDE = {
    None: ~Why(0),
    "bid": _ABSENT | Why.LIMIT_BID | Why.POLICY_BID,
    "ask": _ABSENT | Why.LIMIT_ASK | Why.POLICY_ASK,
}


def reasons(why, side=None):
    """The bits of ``why`` in words; with a side, only those that can make it absent.

    Parameters
    ----------
    why : int
        :class:`Why` bits.
    side : {"bid", "ask"}, optional
        Which side is absent.

    Examples
    --------
    >>> reasons(Why.LIMIT_BID | Why.TOUCH_ASK, "bid")
    ('buying would break the position limit',)
    """
    if side not in _ABSENT_SIDE:
        raise refusal("side", side, "'bid', 'ask' or None")
    return Why(why & _ABSENT_SIDE[side]).words


# Exported in __pyx_capi__ for callers without a C compiler (numba, LowLevelCallable): the inline
# kernels of the headers do not appear there by themselves.

cdef uint32_t c_depths(const mm_policy *policy, double inventory, double time_left, int64_t state,
                       mm_cell *out) noexcept nogil:
    return mm_depths(policy, inventory, time_left, state, out)


cdef void c_quote_make(const mm_policy *policy, const mm_rules *rules, double reference, double inventory,
                       int64_t touch_bid, int64_t touch_ask, double shift, double target,
                       double time_left, int64_t state, double age, mm_quote *out) noexcept nogil:
    mm_quote_make(policy, rules, reference, inventory, touch_bid, touch_ask, shift, target, time_left, state,
                  age, out)


cdef int c_policy_check(const mm_policy *policy, uint64_t nbytes) noexcept nogil:
    return mm_policy_check(policy, nbytes)


# Arguments of the hot path. Floats and small ints, which users pass, are read in place; the rest
# goes through one slow function that names the argument.

cdef inline double as_number(object value, str name) except? -1.0:
    cdef int64_t small
    if PyFloat_CheckExact(value):
        return PyFloat_AS_DOUBLE(value)
    if PyLong_CheckExact(value) and read_int(value, &small):
        return <double>small
    return as_number_slow(value, name)


cdef double as_number_slow(object value, str name) except? -1.0:
    if PyFloat_Check(value):  # a NumPy double
        return PyFloat_AS_DOUBLE(value)
    try:
        if PyIndex_Check(value) and not cnp.PyArray_Check(value):
            return <double>float(value)
        if isinstance(value, (np.bool_, np.ndarray)) and value.dtype.kind == "b":
            value = value.astype(np.float64)
        return real(value)
    except OverflowError:  # an int beyond all doubles: market state, so no error
        return INFINITY if value > 0 else -INFINITY
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {shown(value)}") from None


cdef inline int64_t as_integer(object value, int64_t absent, str name) except? -1:
    cdef int64_t small
    if value is None:
        return absent
    if PyLong_CheckExact(value) and read_int(value, &small):
        return small
    return as_integer_slow(value, name)


cdef int64_t as_integer_slow(object value, str name) except? -1:
    if masked(value):
        raise TypeError(f"{name} must be an integer, got {shown(value)}")
    try:
        number = value.__index__()
    except (AttributeError, TypeError):
        if not isinstance(value, np.bool_):
            raise TypeError(f"{name} must be an integer, got {shown(value)}") from None
        number = int(value)
    # Saturated one short of the signs for an absent side: the meaning stays, and no price is near.
    if number > INT64_MAX:
        return INT64_MAX - 1
    if number < INT64_MIN:
        return INT64_MIN + 1
    return number


cdef object refusal(argument, value, allowed, index=None):
    return InvalidArgument(argument=argument, value=value, allowed=allowed, index=index)


cdef list _rounded(object pair):
    return [None if number is None else round(number, 6) for number in pair]


cdef object _whole(double number):
    """The number as people write it: whole lots without a point."""
    return int(number) if number - number == 0.0 and number == int(number) else number


def _finite(value, name, low=-INFINITY, phrase="a finite number"):
    try:
        number = value if PyFloat_CheckExact(value) else real(value)
    except (TypeError, ValueError, OverflowError):
        raise refusal(name, value, phrase) from None
    if not (number - number == 0.0 and number >= low):
        raise refusal(name, value, phrase)
    return number


_PAIR = "a finite number or a pair (bid, ask) of such"


def _pair(value, name):
    try:
        both = two_sides(value)
    except TypeError:
        raise refusal(name, value, _PAIR) from None
    if both is None:
        number = _finite(value, name, phrase=_PAIR)
        return number, number
    return tuple([_finite(number, name, phrase="a pair (bid, ask) of finite numbers") for number in both])


def _flag(value, name):
    if not isinstance(value, (bool, np.bool_)):
        raise refusal(name, value, "True or False")
    return bool(value)


def _lots(value, name):
    allowed = "a whole number of lots from 1 to 2147483647"
    number = _finite(value, name, 1.0, allowed)
    if number != int(number) or number > 2147483647:
        raise refusal(name, value, allowed)
    return number


def _bound(value, name, order_size):
    allowed = f"a multiple of order_size ({_whole(order_size)}) up to 2^52 lots"
    number = _finite(value, name, order_size, allowed)
    if number > MM_POLICY_LIMIT or number % order_size != 0.0:
        raise refusal(name, value, allowed)
    return number


def _time(value, name, low=0.0):
    if isinstance(value, float) and value == INFINITY:
        return value
    return _finite(value, name, low, f"seconds >= {low:g}, or inf")


def _index(value):
    """The integer; None for what is none, as an array of a fraction."""
    if masked(value):
        return None
    try:
        return value.__index__()
    except (AttributeError, TypeError):
        return None


def _version(value):
    number = _index(value)
    if number is None or not 0 <= number <= UINT64_MAX:
        raise refusal("version", value, "an integer from 0 to 2^64 - 1")
    return number


def _restore_policy(block):
    return Policy.from_bytes(block)


cdef const mm_policy *block_of(Policy policy) except NULL:
    """The block of a policy; raise where it was made without one."""
    if policy.c_policy == &EMPTY:
        raise TypeError("this policy was made without its constructor: it has no block")
    return policy.c_policy


cdef class Policy:
    """A compiled policy: one immutable block of bytes, read by the quoter.

    Made by :class:`Affine` and :class:`Table`, or :meth:`from_bytes`. The block has magic, version,
    size and checksum, is position-independent and can be written to a file or to shared memory.

    Thread-safety: immutable; share it freely.
    """

    def __cinit__(self, *args, **kwargs):
        self.c_policy = &EMPTY

    def __init__(self, *args, **kwargs):
        raise TypeError("Policy is made by Affine, Table or Policy.from_bytes")

    def __dealloc__(self):
        PyMem_Free(self.memory)

    cdef mm_policy *allocate(self, uint64_t nbytes) except NULL:
        """Zeroed memory for the block, aligned to a cache line."""
        if self.memory != NULL:
            raise TypeError("a policy is immutable: make a new one")
        if nbytes > <uint64_t>PY_SSIZE_T_MAX - MM_POLICY_ALIGN:
            raise CapacityError(f"a policy of {nbytes} bytes does not fit the address space")
        self.memory = PyMem_Malloc(nbytes + MM_POLICY_ALIGN)
        if self.memory == NULL:
            raise CapacityError(f"no memory for a policy of {nbytes} bytes")
        cdef uintptr_t at = <uintptr_t>self.memory
        at = (at + MM_POLICY_ALIGN - 1) // MM_POLICY_ALIGN * MM_POLICY_ALIGN
        memset(<void *>at, 0, nbytes)
        self.c_policy = <const mm_policy *>at
        return <mm_policy *>at

    cdef int seal(self, mm_policy *block, uint64_t nbytes) except -1:
        """Complete the header. Nothing writes to the block afterwards."""
        block.magic = MM_POLICY_MAGIC
        block.abi = MMCORE_ABI_VERSION
        block.bytes = nbytes
        block.checksum = mm_policy_checksum(block)
        if mm_policy_check(block, nbytes) != MM_OK:
            raise InvalidArgument(
                "the numbers of this policy are inconsistent: its own check refuses it", argument="policy"
            )
        return 0

    @classmethod
    def from_bytes(cls, block):
        """Return the policy that :meth:`to_bytes` wrote.

        Parameters
        ----------
        block : bytes-like
            The whole block; it is copied.

        Raises
        ------
        CorruptError
            When magic, version, size, checksum or structure is wrong: a cut or changed block.
        InvalidArgument
            When it is a policy of the other shape than the class that is asked.

        Examples
        --------
        >>> policy = Affine(base=1.5, slope=0.1, q_max=10)
        >>> Policy.from_bytes(policy.to_bytes()) == policy
        True
        """
        cdef Py_buffer view
        cdef mm_policy *target
        cdef Policy policy
        PyObject_GetBuffer(bytes_like(block), &view, PyBUF_SIMPLE)
        try:
            if <size_t>view.len < sizeof(mm_policy):
                raise CorruptError(f"a policy has at least {sizeof(mm_policy)} bytes, got {view.len}: cut")
            policy = Policy.__new__(Policy)
            target = policy.allocate(view.len)
            memcpy(target, view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        nbytes = view.len
        if target.magic != MM_POLICY_MAGIC:
            raise CorruptError("this is no mmcore policy: the first four bytes are not 'MMCP'")
        if target.abi != MMCORE_ABI_VERSION:
            raise CorruptError(f"a policy of version {target.abi}; this build reads {MMCORE_ABI_VERSION}")
        if target.bytes != <uint64_t>nbytes:
            raise CorruptError(f"the policy says it has {target.bytes} bytes, got {nbytes}: cut or extended")
        if target.checksum == 0:
            raise CorruptError("the policy has no checksum: one made in C is sealed by mm_policy_checksum")
        if mm_policy_check(target, nbytes) != MM_OK:
            raise CorruptError("the policy's checksum or structure is wrong: its bytes were changed")
        shape = Affine if target.kind == MM_AFFINE else Table
        if not issubclass(shape, cls):
            raise InvalidArgument(
                f"block must be {_ARTICLES[cls]}, and it is {_ARTICLES[shape]}",
                argument="block", value=shape.__name__, allowed=_ARTICLES[cls],
            )
        cdef Policy made = shape.__new__(shape)
        made.memory, made.c_policy = policy.memory, policy.c_policy
        policy.memory, policy.c_policy = NULL, &EMPTY
        return made

    def to_bytes(self):
        """The whole block as bytes; :meth:`from_bytes` reads it on any machine of the same byte order."""
        return (<const char *>block_of(self))[: self.c_policy.bytes]

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, <void *>block_of(self), self.c_policy.bytes, 1, flags)

    def __reduce__(self):
        return _restore_policy, (self.to_bytes(),)

    def __eq__(self, other):
        if not isinstance(other, Policy):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def __hash__(self):
        return hash(block_of(self).checksum)

    @property
    def nbytes(self):
        """Size of the block, bytes."""
        return self.c_policy.bytes

    @property
    def address(self):
        """Address of the block, for other compiled code; valid while the policy is alive."""
        return <uintptr_t>block_of(self)

    @property
    def version(self):
        """The number that every quote from this policy carries."""
        return self.c_policy.version

    @property
    def q_max(self):
        """Largest inventory, lots; inf when unbounded."""
        return self.c_policy.q_max

    @property
    def order_size(self):
        """Size of a full order, lots."""
        return self.c_policy.order_size

    @property
    def horizon(self):
        """Largest finite time left that is covered, seconds; inf when all are."""
        return self.c_policy.horizon

    @property
    def error(self):
        """Largest interpolation error that the builder measured, ticks."""
        return self.c_policy.error

    @property
    def stationary(self):
        """Whether an infinite time left may be read."""
        return bool(self.c_policy.flags & MM_STATIONARY)

    def depths(self, inventory, time_left=inf, state=0):
        """Depths (bid, ask) in ticks from the reference price; None where a side is absent.

        Parameters
        ----------
        inventory : float
            Lots, signed.
        time_left : float
            Seconds to the horizon; inf reads the stationary row.
        state : int
            Index of the table's state.

        Examples
        --------
        >>> policy = Affine(base=1.5, slope=0.25, q_max=10)
        >>> policy.depths(3)
        (2.25, 0.75)
        >>> policy.depths(10)
        (None, -1.0)
        """
        cdef mm_cell cell
        mm_depths(self.c_policy, as_number(inventory, "inventory"), as_number(time_left, "time_left"),
                  as_integer(state, NO_STATE, "state"), &cell)
        if cell.size[0] and cell.size[1]:
            return cell.depth[0], cell.depth[1]
        return cell.depth[0] if cell.size[0] else None, cell.depth[1] if cell.size[1] else None

    def depths_batch(self, inventory, time_left=inf, state=0):
        """Depths of many inventories: two float arrays (bid, ask), NaN where a side is absent.

        Parameters
        ----------
        inventory, time_left, state : array_like
            As in :meth:`depths`; broadcast against each other.

        Examples
        --------
        >>> bid, ask = Affine(base=1.5, slope=0.25, q_max=2).depths_batch([-2, 0, 2])
        >>> bid
        array([1. , 1.5, nan])
        """
        cdef Columns columns = Columns.__new__(Columns)
        columns.add_float(inventory, "inventory")
        columns.add_float(time_left, "time_left")
        columns.add_integer(state, NO_STATE, "state")
        columns.broadcast()
        bid, ask = np.empty(columns.shaped()), np.empty(columns.shaped())
        cdef double[::1] to_bid = bid.reshape(-1)
        cdef double[::1] to_ask = ask.reshape(-1)
        cdef Py_ssize_t i, n = columns.n
        cdef mm_cell cell
        cdef mm_column q = columns.column[0], tau = columns.column[1], s = columns.column[2]
        with nogil:
            for i in range(n):
                mm_depths(self.c_policy, mm_column_double(&q, i), mm_column_double(&tau, i),
                          mm_column_int64(&s, i), &cell)
                to_bid[i] = cell.depth[0]
                to_ask[i] = cell.depth[1]
        return bid, ask

    def plot(self, ax=None, *, time_left=None, side=None, state=0):
        """Draw the depths of bid and ask against inventory.

        A policy that changes with the time left is drawn at several of them, later ones paler; or, for one
        side, as a map of depth over time left and inventory.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        time_left : float or sequence of float, optional
            Seconds to the horizon; by default the stationary depths, or a few times left.
        side : {"bid", "ask"}, optional
            Draw the map of this side's depth.
        state : int
            Index of the table's state.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        InvalidArgument
            `side` is neither "bid" nor "ask", or the map is asked of a policy that does not change with time.
        """
        from mmcore.plots import plot_policy

        block_of(self)
        return plot_policy(self, ax, time_left, side, state)

    def _sample(self):
        """Inventories worth showing: the bounds, half-way and around zero."""
        q_max = block_of(self).q_max
        step = self.c_policy.order_size
        if q_max - q_max != 0.0:
            q_max = 2.0 * step
        half = q_max // (2.0 * step) * step
        return sorted({-q_max, -half, -step, 0.0, step, half, q_max})

    def _repr_html_(self):
        rows = []
        time_left = INFINITY if self.stationary else self.c_policy.horizon
        for q in self._sample():
            bid, ask = _rounded(self.depths(q, time_left))
            rows.append(
                f"<tr><td>{_whole(q)}</td><td>{'absent' if bid is None else bid}</td>"
                f"<td>{'absent' if ask is None else ask}</td></tr>"
            )
        at = "stationary" if self.stationary else f"{time_left:g} s left"
        return (
            f"<p><code>{escape(repr(self))}</code></p><table><caption>depths in ticks, {at}</caption>"
            "<thead><tr><th>inventory (lots)</th><th>bid</th><th>ask</th></tr></thead><tbody>"
            + "".join(rows) + "</tbody></table>"
        )


@cython.final
cdef class Affine(Policy):
    """Depths that are affine in the inventory, with coefficients affine in the time left.

    ``delta_bid = base + base_rate*tau + (slope + slope_rate*tau)*q`` and
    ``delta_ask = base + base_rate*tau - (slope + slope_rate*tau)*q``: a positive slope lowers both
    prices of a long.

    Parameters
    ----------
    base : float or (float, float)
        Depth at zero inventory, ticks; a pair is (bid, ask).
    slope : float or (float, float)
        Ticks per lot.
    base_rate, slope_rate : float or (float, float)
        Change per second of time left: ticks/s and ticks/(lot·s).
    q_max : float
        Inventory bound, lots: a multiple of ``order_size``, or inf.
    order_size : float
        Size of each order, whole lots.
    horizon : float
        Largest time left that may be read, seconds.
    stationary : bool, optional
        Whether ``time_left=inf`` may be read; by default when both rates are zero, and possible
        only then.
    version : int
        Carried by every quote.

    Raises
    ------
    InvalidArgument
        Names the argument, the value and what is allowed.

    Notes
    -----
    Thread-safety: immutable; share it freely.

    Examples
    --------
    >>> Affine(base=(1.5, 1.25), slope=0.125, q_max=10).depths(-2)
    (1.25, 1.5)
    """

    def __init__(self, base, slope=0.0, base_rate=0.0, slope_rate=0.0, q_max=inf, order_size=1.0,
                 horizon=inf, stationary=None, *, version=1):
        pairs = [_pair(base, "base"), _pair(slope, "slope"), _pair(base_rate, "base_rate"),
                 _pair(slope_rate, "slope_rate")]
        order_size = _lots(order_size, "order_size")
        if not (isinstance(q_max, float) and q_max == INFINITY):
            q_max = _bound(q_max, "q_max", order_size)
        horizon = _time(horizon, "horizon")
        version = _version(version)
        steady = pairs[2] == (0.0, 0.0) and pairs[3] == (0.0, 0.0)
        if stationary is None:
            stationary = steady
        else:
            stationary = _flag(stationary, "stationary")
            if stationary and not steady:
                raise refusal("stationary", stationary, "false where base_rate or slope_rate is not zero")
        cdef mm_policy *block = self.allocate(sizeof(mm_policy))
        cdef int side
        block.kind = MM_AFFINE
        block.flags = MM_STATIONARY if stationary else 0
        block.version = version
        block.q_max = q_max
        block.order_size = order_size
        block.horizon = horizon
        block.n_states = 1
        for side in range(2):
            block.base[side] = pairs[0][side]
            block.slope[side] = pairs[1][side]
            block.base_rate[side] = pairs[2][side]
            block.slope_rate[side] = pairs[3][side]
        self.seal(block, sizeof(mm_policy))

    @property
    def base(self):
        """Depths (bid, ask) at zero inventory and no time left, ticks."""
        return self.c_policy.base[0], self.c_policy.base[1]

    @property
    def slope(self):
        """Slopes (bid, ask) in the inventory, ticks per lot."""
        return self.c_policy.slope[0], self.c_policy.slope[1]

    @property
    def base_rate(self):
        """Change of the base per second of time left, ticks/s."""
        return self.c_policy.base_rate[0], self.c_policy.base_rate[1]

    @property
    def slope_rate(self):
        """Change of the slope per second of time left, ticks/(lot·s)."""
        return self.c_policy.slope_rate[0], self.c_policy.slope_rate[1]

    def __repr__(self):
        parts = [f"base={self.base}", f"slope={self.slope}"]
        if not (self.stationary and self.base_rate == self.slope_rate == (0.0, 0.0)):
            parts += [f"base_rate={self.base_rate}", f"slope_rate={self.slope_rate}"]
        parts += [f"q_max={_whole(self.q_max)}", f"order_size={_whole(self.order_size)}"]
        if self.horizon != INFINITY:
            parts.append(f"horizon={self.horizon:g}")
        return f"Affine({', '.join(parts)})"


def _array(values, name, allowed="an array of numbers, none of them masked"):
    """An array of floats of its own: what is None is NaN, what is no number is refused."""
    given = type(values).__name__
    try:
        array = as_array(values, name, "numbers")
        given = f"{given} of {array.dtype}"
        if array.dtype.kind == "O":
            each = [np.nan if number is None else as_number(number, name) for number in array.flat]
            return np.array(each, np.float64).reshape(array.shape)
    except TypeError:
        raise refusal(name, given, allowed) from None
    if array.dtype.kind not in "iufb":
        raise refusal(name, given, allowed)
    return array.astype(np.float64, order="C")


def _grid(values, name, shape=None):
    array = _array(values, name)
    if shape is not None and array.shape != shape:
        raise refusal(name, array.shape, f"an array of the shape of bid, {shape}")
    wild = ~(np.isnan(array) | (np.abs(array) <= MM_POLICY_LIMIT))
    if wild.any():
        index = int(np.flatnonzero(wild)[0])
        raise refusal(
            name, float(array.reshape(-1)[index]), "within 2^52 ticks, or NaN where absent",
            index
        )
    return array


def _lot_grid(values, name, shape, low):
    allowed = f"whole lots that broadcast to the shape of bid, {shape}"
    array = _array(values, name, f"{allowed}, none of them masked")
    try:
        array = np.broadcast_to(array, shape)
    except ValueError:
        raise refusal(name, array.shape, allowed) from None
    wild = ~((array >= low) & (array <= 2147483647) & (array == np.floor(array)))
    if wild.any():
        index = int(np.flatnonzero(wild)[0])
        raise refusal(
            name, float(array.reshape(-1)[index]), f"whole lots from {low} to 2147483647",
            index
        )
    return array.astype(np.int32)


@cython.final
cdef class Table(Policy):
    """Depths in cells, addressed by inventory, time left and state.

    Inventories run from ``-q_max`` to ``q_max`` in equal steps; between them, and between the knots
    of time, depths are interpolated linearly. A NaN depth is an absent side and does not spread to
    its neighbours.

    Parameters
    ----------
    bid, ask : array_like
        Depths in ticks: ``(n_q,)``, ``(n_rows, n_q)`` or ``(n_states, n_rows, n_q)``.
    q_max : float
        Inventory bound, lots: a multiple of ``order_size``.
    order_size : float
        Size of a full order, whole lots.
    time_left : array_like, optional
        Knots of time left, one per row, ascending from 0, seconds; None when there is only the
        stationary row.
    stationary : bool
        Whether the last row, beyond the knots, is the stationary one.
    bid_size, ask_size : array_like, optional
        Lots, broadcast to the shape of ``bid``; ``order_size`` by default. 0 makes a side absent.
    take : array_like, optional
        Lots to cross the spread with now, signed, broadcast to the shape of ``bid``.
    error : float
        Largest interpolation error, ticks, as measured by the builder.
    horizon : float, optional
        Largest finite time left that may be read, seconds: the last knot by default. A stationary
        table may go beyond it, up to inf; there it reads the stationary row.
    version : int
        Carried by every quote.

    Raises
    ------
    InvalidArgument
        Names the argument, the value and what is allowed.

    Notes
    -----
    Thread-safety: immutable; share it freely.

    Examples
    --------
    >>> nan = float("nan")
    >>> table = Table([0.5, 1.0, nan], [nan, 1.0, 0.5], q_max=1)
    >>> table.depths(0)
    (1.0, 1.0)
    >>> table.depths(1)
    (None, 0.5)
    """

    def __init__(self, bid, ask, *, q_max, order_size=1.0, time_left=None, stationary=True, bid_size=None,
                 ask_size=None, take=None, error=0.0, horizon=None, version=1):
        bid = _grid(bid, "bid")
        if bid.ndim not in (1, 2, 3):
            raise refusal("bid", bid.shape, "of shape (n_q,), (n_rows, n_q) or (n_states, n_rows, n_q)")
        ask = _grid(ask, "ask", bid.shape)
        order_size = _lots(order_size, "order_size")
        q_max = _bound(q_max, "q_max", order_size)
        error = _finite(error, "error", 0.0, "a finite number >= 0 (ticks)")
        version = _version(version)
        shape = (1,) * (3 - bid.ndim) + bid.shape
        n_states, n_rows, n_q = shape
        steps = 2.0 * q_max / order_size
        if n_q < 2 or (n_q - 1) % steps != 0.0 or order_size % ((n_q - 1) // steps) != 0.0:
            raise refusal(
                "bid", bid.shape,
                f"of {int(steps) + 1} inventories along the last axis (from -{_whole(q_max)} to "
                f"{_whole(q_max)} in steps of {_whole(order_size)}), or finer in whole lots"
            )
        stationary = _flag(stationary, "stationary")
        if time_left is None:
            knots = np.empty(0)
            if not stationary:
                raise refusal("time_left", None, "knots where stationary is false")
        else:
            knots = _array(time_left, "time_left") + 0.0  # -0.0 becomes 0.0
            if (
                knots.ndim != 1 or knots.size == 0 or knots[0] != 0.0 or not np.isfinite(knots).all()
                or not (np.diff(knots) > 0.0).all()
            ):
                raise refusal("time_left", time_left, "ascending finite seconds that begin with 0")
        n_knots = knots.size
        if n_rows != n_knots + stationary:
            rows = f"{n_knots} knots" + (" and the stationary row" if stationary else "")
            raise refusal("bid", bid.shape, f"of {n_knots + stationary} rows ({rows})")
        if max(shape) > 2147483647:
            raise CapacityError(f"each axis of a table holds at most 2147483647 cells, got shape {bid.shape}")
        last = float(knots[n_knots - 1]) if n_knots else INFINITY
        if horizon is None:
            horizon = last
        else:
            horizon = _time(horizon, "horizon")
            if n_knots and (horizon < last or (horizon != last and not stationary)):
                raise refusal(
                    "horizon", horizon,
                    f"at least the last knot ({last:g} s)" if stationary else f"the last knot ({last:g} s)"
                )
        sizes = []
        for name, given, depth in (("bid_size", bid_size, bid), ("ask_size", ask_size, ask)):
            size = _lot_grid(order_size if given is None else given, name, bid.shape, 0)
            size[np.isnan(depth)] = 0
            depth[size == 0] = np.nan
            sizes.append(size)
        takes = _lot_grid(0 if take is None else take, "take", bid.shape, -2147483647)
        if not (sizes[0].any() or sizes[1].any() or takes.any()):
            raise refusal("bid", "all NaN", "a depth somewhere, on either side")

        cdef uint64_t knots_at, cells_at
        cdef uint64_t nbytes = mm_table_layout(n_states, n_rows, n_knots, n_q, &knots_at, &cells_at)
        if nbytes == 0:
            raise CapacityError(f"a table of shape {shape} does not fit the address space")
        cells = np.zeros(shape, CELL)
        cells["depth"][..., 0] = bid.reshape(shape)
        cells["depth"][..., 1] = ask.reshape(shape)
        cells["size"][..., 0] = sizes[0].reshape(shape)
        cells["size"][..., 1] = sizes[1].reshape(shape)
        cells["take"] = takes.reshape(shape)
        cdef mm_policy *block = self.allocate(nbytes)
        cdef const double[::1] from_knots = knots
        cdef const unsigned char[::1] from_cells = cells.reshape(-1).view(np.uint8)
        block.kind = MM_TABLE
        block.flags = MM_STATIONARY if stationary else 0
        block.version = version
        block.q_max = q_max
        block.order_size = order_size
        block.horizon = horizon
        block.error = error
        block.n_states, block.n_rows, block.n_knots, block.n_q = n_states, n_rows, n_knots, n_q
        block.q_step = 2.0 * q_max / (n_q - 1)
        block.knots_at = knots_at
        block.cells_at = cells_at
        if n_knots:
            memcpy(<char *>block + knots_at, &from_knots[0], n_knots * sizeof(double))
        memcpy(<char *>block + cells_at, &from_cells[0], from_cells.shape[0])
        self.seal(block, nbytes)

    @property
    def cells(self):
        """All cells, read-only: an array of :data:`CELL` of shape (n_states, n_rows, n_q)."""
        shape = (self.c_policy.n_states, self.c_policy.n_rows, self.c_policy.n_q)
        count = shape[0] * shape[1] * shape[2]
        return np.frombuffer(self, CELL, count, self.c_policy.cells_at).reshape(shape)

    @property
    def time_left(self):
        """The knots of time left, seconds, read-only; empty when there is only the stationary row."""
        if self.c_policy.n_knots == 0:
            return np.empty(0)
        return np.frombuffer(self, np.float64, self.c_policy.n_knots, self.c_policy.knots_at)

    @property
    def inventories(self):
        """The lattice of inventories, lots."""
        return np.arange(self.c_policy.n_q) * self.c_policy.q_step - self.c_policy.q_max

    def __repr__(self):
        p = self.c_policy
        parts = [f"q_max={_whole(p.q_max)}", f"order_size={_whole(p.order_size)}", f"{p.n_q} inventories"]
        if p.n_states > 1:
            parts.append(f"{p.n_states} states")
        if p.n_knots:
            row = " and a stationary row" if self.stationary else ""
            parts.append(f"{p.n_knots} times to {self.time_left[p.n_knots - 1]:g} s{row}")
        else:
            parts.append("stationary")
        if p.error:
            parts.append(f"error={p.error:.2g}")
        parts.append(f"{p.bytes:,} bytes")
        return f"Table({', '.join(parts)})"


_ARTICLES = {Affine: "an Affine", Table: "a Table"}


@cython.final
cdef class Limits:
    """Bounds that the true inventory must keep, whatever the policy says.

    Parameters
    ----------
    max_position : float, optional
        Largest absolute position in lots that a fill may lead to; None: no limit.
    shrink : bool
        Whether an order that would break a bound is cut to what the bound leaves; otherwise that
        side is absent. It holds for the policy's own ``q_max`` too: nearer to it than one ``order_size`` the
        policy has no depth for the side that leads there, so what is left of an order is priced as the last
        whole one is, at the inventory ``q_max - order_size`` (the bid) or ``order_size - q_max`` (the ask).

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> Limits(max_position=50)
    Limits(max_position=50, shrink=False)
    """

    def __init__(self, max_position=None, shrink=False):
        if max_position is None or (isinstance(max_position, float) and max_position == INFINITY):
            self.c_max_position = INFINITY
        else:
            self.c_max_position = _finite(max_position, "max_position", 0.0, "lots >= 0, or None")
        self.shrink = _flag(shrink, "shrink")

    @property
    def max_position(self):
        """Lots, or None."""
        return None if self.c_max_position == INFINITY else _whole(self.c_max_position)

    def __eq__(self, other):
        if not isinstance(other, Limits):
            return NotImplemented
        return (self.max_position, self.shrink) == (other.max_position, other.shrink)

    def __hash__(self):
        return hash((self.max_position, self.shrink))

    def __reduce__(self):
        return Limits, (self.max_position, self.shrink)

    def __repr__(self):
        return f"Limits(max_position={self.max_position}, shrink={self.shrink})"


@cython.final
cdef class Obligations:
    """What a market maker has promised: a largest spread, a least size.

    They are checked last. A spread is tightened as far as the touch allows: each tick of it is a better
    quote, though the promise may remain unmet. A size is raised to ``min_size`` where the limits and the
    policy's ``q_max`` leave room for all of it, and left as it is otherwise: part of the way would be more
    risk, and the promise no less broken. An absent side stays absent. What remains unmet sets
    :attr:`Why.OBLIGATION`.

    Parameters
    ----------
    max_spread : int, optional
        Ticks, at least 1.
    min_size : int, optional
        Lots on each side, at least 1.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> promise = Obligations(max_spread=4, min_size=10)
    >>> quoter = Quoter(Affine(base=1.5), limits=Limits(max_position=12), obligations=promise)
    >>> quoter.quote(100.5, 2)
    Quote(bid=99, ask=102, bid_size=10, ask_size=10, why=TIGHTENED)
    >>> quoter.quote(100.5, 3)
    Quote(bid=99, ask=102, bid_size=1, ask_size=10, why=OBLIGATION|TIGHTENED)
    """

    def __init__(self, max_spread=None, min_size=None):
        self.c_max_spread = self.check(max_spread, "max_spread", "ticks")
        self.c_min_size = self.check(min_size, "min_size", "lots")

    cdef int64_t check(self, object value, str name, str unit) except -1:
        if value is None:
            return 0
        allowed = f"an integer number of {unit} from 1 to 2^52, or None"
        number = None if isinstance(value, bool) else _index(value)
        if number is None or not 1 <= number <= <int64_t>MM_POLICY_LIMIT:
            raise refusal(name, value, allowed)
        return number

    @property
    def max_spread(self):
        """Ticks, or None."""
        return self.c_max_spread or None

    @property
    def min_size(self):
        """Lots, or None."""
        return self.c_min_size or None

    def __eq__(self, other):
        if not isinstance(other, Obligations):
            return NotImplemented
        return (self.max_spread, self.min_size) == (other.max_spread, other.min_size)

    def __hash__(self):
        return hash((self.max_spread, self.min_size))

    def __reduce__(self):
        return Obligations, (self.max_spread, self.min_size)

    def __repr__(self):
        return f"Obligations(max_spread={self.max_spread}, min_size={self.min_size})"


@cython.final
cdef class FeedAge:
    """What a quote does when the market data behind it are old: it widens, and then halts.

    The age is an argument of :meth:`Quoter.quote`: seconds since what the reference price was made from. One
    below 0 counts as 0: where the clock of the stamps is ahead of yours, take the difference out first.
    A reference that is `age` seconds old has since moved by sigma*sqrt(age), one standard deviation; so
    ``widen=sigma`` keeps each depth as far from where the price may be as from where it was.

    Parameters
    ----------
    halt_after : float, optional
        Seconds; older data give no quote, with :attr:`Why.STALE`. None: never.
    widen_after : float, optional
        Seconds; older data add ``widen * sqrt(age)`` to both depths, with :attr:`Why.WIDENED`. None: never.
    widen : float
        Ticks per square root of a second.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> quoter = Quoter(Affine(base=1.5), feed_age=FeedAge(halt_after=2.0, widen_after=0.1, widen=4.0))
    >>> [tuple(quoter.quote(100.5, 0, age=age)) for age in (0.05, 0.25)]
    [(99, 102), (97, 104)]
    >>> quoter.quote(100.5, 0, age=3.0).why.words
    ('the market data are older than the bound',)
    """

    def __init__(self, halt_after=None, widen_after=None, widen=0.0):
        self.c_halt_after = _age(halt_after, "halt_after")
        self.c_widen_after = _age(widen_after, "widen_after")
        self.c_widen = _finite(widen, "widen", 0.0, "a finite number >= 0 (ticks/√s)")
        if widen_after is None and self.c_widen:
            raise refusal("widen_after", None, "given, in seconds > 0, where widen is")
        if widen_after is not None and not self.c_widen:
            raise refusal("widen", widen, "a finite number > 0 (ticks/√s) where widen_after is given")

    @property
    def halt_after(self):
        """Seconds, or None."""
        return self.c_halt_after or None

    @property
    def widen_after(self):
        """Seconds, or None."""
        return self.c_widen_after or None

    @property
    def widen(self):
        """Ticks per square root of a second."""
        return self.c_widen

    def __eq__(self, other):
        if not isinstance(other, FeedAge):
            return NotImplemented
        return self.__reduce__() == other.__reduce__()

    def __hash__(self):
        return hash(self.__reduce__())

    def __reduce__(self):
        return FeedAge, (self.halt_after, self.widen_after, self.widen)

    def __repr__(self):
        return f"FeedAge(halt_after={self.halt_after}, widen_after={self.widen_after}, widen={self.widen:g})"


def _age(value, name):
    """Seconds, 0.0 for None."""
    if value is None:
        return 0.0
    allowed = "a finite number > 0 (s), or None"
    number = _finite(value, name, 0.0, allowed)
    if not number > 0.0:
        raise refusal(name, value, allowed)
    return number


cdef inline object bid_of(const mm_quote *c):
    return c.price[0] if c.size[0] else None


cdef inline object ask_of(const mm_quote *c):
    return c.price[1] if c.size[1] else None


cdef str quote_text(const mm_quote *c):
    parts = [f"bid={bid_of(c)}", f"ask={ask_of(c)}", f"bid_size={c.size[0]}", f"ask_size={c.size[1]}"]
    if c.take:
        parts.append(f"take={c.take}")
    if c.why:
        parts.append("why=" + "|".join([bit.name for bit in Why if bit & c.why]))
    return ", ".join(parts)


cdef str quote_html(const mm_quote *c):
    cdef int side
    rows = ""
    for side, name in ((0, "bid"), (1, "ask")):
        price = c.price[side] if c.size[side] else "absent"
        rows += f"<tr><th>{name}</th><td>{price}</td><td>{c.size[side]}</td></tr>"
    reasons = "".join([f"<li>{escape(text)}</li>" for text in Why(c.why).words])
    take = f"<p>take {c.take} lots now</p>" if c.take else ""
    return (
        "<table><thead><tr><th></th><th>price (ticks)</th><th>size (lots)</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{take}" + (f"<ul>{reasons}</ul>" if reasons else "")
    )


def _restore_quote(state):
    cdef Quote quote = Quote.__new__(Quote)
    try:
        bid, ask, bid_size, ask_size, take, version, why = [number.__index__() for number in state]
        quote.c.price[0], quote.c.price[1] = bid, ask
        quote.c.size[0], quote.c.size[1] = bid_size, ask_size
        quote.c.take, quote.c.version, quote.c.why = take, version, why
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise CorruptError(f"a pickled quote holds seven integers, got {state!r}") from None
    return quote


@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Quote:
    """A quote: prices in ticks or None, sizes in lots; unpacks as ``bid, ask``.

    Made by :meth:`Quoter.quote`.

    Thread-safety: immutable.
    """

    def __init__(self):
        raise TypeError("quotes are made by Quoter.quote")

    @property
    def bid(self):
        """Ticks; None when absent."""
        return bid_of(&self.c)

    @property
    def ask(self):
        """Ticks; None when absent."""
        return ask_of(&self.c)

    @property
    def bid_size(self):
        """Lots; 0 when absent."""
        return self.c.size[0]

    @property
    def ask_size(self):
        """Lots; 0 when absent."""
        return self.c.size[1]

    @property
    def take(self):
        """Lots to cross the spread with now, signed."""
        return self.c.take

    @property
    def version(self):
        """Version of the policy that made the quote."""
        return self.c.version

    @property
    def why(self):
        """The reasons, a :class:`Why`."""
        return Why(self.c.why)

    def __iter__(self):
        return iter((bid_of(&self.c), ask_of(&self.c)))

    def __len__(self):
        return 2

    cdef tuple state(self):
        return (self.c.price[0], self.c.price[1], self.c.size[0], self.c.size[1], self.c.take, self.c.version,
                self.c.why)

    def __eq__(self, other):
        if not isinstance(other, Quote):
            return NotImplemented
        return self.state() == (<Quote>other).state()

    def __hash__(self):
        return hash(self.state())

    def __reduce__(self):
        return _restore_quote, (self.state(),)

    def __repr__(self):
        return f"Quote({quote_text(&self.c)})"

    def _repr_html_(self):
        return quote_html(&self.c)

    def plot(self, ax=None, *, bid=None, ask=None):
        """Draw a ladder: the sizes at the prices of both sides, and the market's touch where it is given.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        bid, ask : int, optional
            The market's touch, ticks.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from mmcore.plots import plot_quote

        return plot_quote(self, ax, bid, ask)


@cython.final
cdef class QuoteBuffer:
    """A quote that :meth:`Quoter.quote_into` overwrites: no allocation at all.

    Starts with both sides absent. Thread-safety: one writer.

    Examples
    --------
    >>> buffer = QuoteBuffer()
    >>> Quoter(Affine(base=1.5)).quote_into(buffer, 100.25, 0)
    >>> buffer.bid, buffer.ask
    (98, 102)
    """

    def __cinit__(self):
        self.c.price[0] = MM_NO_BID
        self.c.price[1] = MM_NO_ASK

    @property
    def bid(self):
        """Ticks; None when absent."""
        return bid_of(&self.c)

    @property
    def ask(self):
        """Ticks; None when absent."""
        return ask_of(&self.c)

    @property
    def bid_size(self):
        """Lots; 0 when absent."""
        return self.c.size[0]

    @property
    def ask_size(self):
        """Lots; 0 when absent."""
        return self.c.size[1]

    @property
    def take(self):
        """Lots to cross the spread with now, signed."""
        return self.c.take

    @property
    def version(self):
        """Version of the policy that made the quote."""
        return self.c.version

    @property
    def why(self):
        """The reasons, a :class:`Why`."""
        return Why(self.c.why)

    def quote(self):
        """An immutable copy."""
        cdef Quote copy = Quote.__new__(Quote)
        copy.c = self.c
        return copy

    def __iter__(self):
        return iter((bid_of(&self.c), ask_of(&self.c)))

    def __repr__(self):
        return f"QuoteBuffer({quote_text(&self.c)})"

    def _repr_html_(self):
        return quote_html(&self.c)


@cython.final
@cython.freelist(4)
@cython.no_gc
cdef class Columns:
    """The arguments of a batch: numbers and arrays as columns of one length.

    A number is a column of stride 0. Arrays are held until the object goes.
    """

    cdef mm_column column[MM_QUOTE_COLUMNS]
    cdef double number[MM_QUOTE_COLUMNS]
    cdef int64_t integer[MM_QUOTE_COLUMNS]
    cdef PyObject *array[MM_QUOTE_COLUMNS]  # owned; NULL for a number
    cdef int used
    cdef Py_ssize_t n
    cdef object shape  # of the rows; None where it is (n,)

    def __dealloc__(self):
        cdef int i
        for i in range(self.used):
            Py_XDECREF(self.array[i])

    cdef inline int add_float(self, object value, str name) except -1:
        cdef int i = self.used
        if PyFloat_CheckExact(value) or PyLong_CheckExact(value):
            self.number[i] = as_number(value, name)
            return self.add(NULL, &self.number[i])
        if is_array_of(value, cnp.NPY_DOUBLE):
            return self.add(<PyObject *>value, NULL)
        return self.add_floats(value, name)

    cdef int add_floats(self, object value, str name) except -1:
        value = as_array(value, name, "numbers")
        if value.dtype.kind == "O":
            each = [as_number(number, name) for number in value.flat]
            value = np.array(each, np.float64).reshape(value.shape)
        elif value.dtype.kind not in "iufb":
            raise TypeError(f"{name} must be numbers, got an array of {value.dtype}")
        value = value.astype(np.float64, copy=False)
        return self.add(<PyObject *>value, NULL)

    cdef inline int add_integer(self, object value, int64_t absent, str name) except -1:
        cdef int i = self.used
        if value is None or PyLong_CheckExact(value):
            self.integer[i] = as_integer(value, absent, name)
            return self.add(NULL, &self.integer[i])
        if is_array_of(value, cnp.NPY_INT64):
            return self.add(<PyObject *>value, NULL)
        return self.add_integers(value, absent, name)

    cdef int add_integers(self, object value, int64_t absent, str name) except -1:
        value = as_array(value, name, "integers")
        if value.dtype.kind == "O":
            each = [as_integer(number, absent, name) for number in value.flat]
            value = np.array(each, np.int64).reshape(value.shape)
        elif value.dtype.kind not in "iub":
            raise TypeError(f"{name} must be integers, got an array of {value.dtype}")
        if value.dtype.kind == "u" and value.dtype.itemsize == 8:
            value = np.asarray(np.minimum(value, INT64_MAX - 1))  # of one number it makes a scalar
        value = value.astype(np.int64, copy=False)
        return self.add(<PyObject *>value, NULL)

    cdef inline int add(self, PyObject *array, const void *scalar) noexcept:
        Py_XINCREF(array)
        self.array[self.used] = array
        self.column[self.used].data = scalar
        self.column[self.used].stride = 0
        self.used += 1
        return 0

    cdef int add_market(self, reference, inventory, bid, ask, shift, target, time_left, state,
                        age) except -1:
        """All the arguments of a quote, and their common shape."""
        self.add_float(reference, "reference")
        self.add_float(inventory, "inventory")
        self.add_integer(bid, MM_NO_BID, "bid")
        self.add_integer(ask, MM_NO_ASK, "ask")
        self.add_float(shift, "shift")
        self.add_float(target, "target")
        self.add_float(time_left, "time_left")
        self.add_integer(state, NO_STATE, "state")
        self.add_float(age, "age")
        return self.broadcast()

    cdef int broadcast(self) except -1:
        """Find the common shape and where rows stand; raise when the shapes do not fit."""
        cdef int i
        cdef cnp.ndarray array
        self.n = -1
        for i in range(self.used):
            if self.array[i] != NULL:
                array = <cnp.ndarray>self.array[i]
                if cnp.PyArray_NDIM(array) != 1 or self.n not in (-1, cnp.PyArray_DIM(array, 0)):
                    self.n = -1
                    break
                self.n = cnp.PyArray_DIM(array, 0)
        if self.n < 0:
            self.flatten()
        for i in range(self.used):
            if self.array[i] != NULL:
                array = <cnp.ndarray>self.array[i]
                self.column[i].data = cnp.PyArray_DATA(array)
                self.column[i].stride = cnp.PyArray_STRIDE(array, 0)
        return 0

    cdef int flatten(self) except -1:
        """Broadcast the arrays, each to one axis."""
        cdef int i
        cdef list shapes = [(<object>self.array[i]).shape for i in range(self.used) if self.array[i] != NULL]
        try:
            self.shape = np.broadcast_shapes(*shapes)
        except ValueError:
            raise refusal("the arrays", shapes, "of shapes that broadcast against each other") from None
        self.n = 1
        for size in self.shape:
            self.n *= size
        for i in range(self.used):
            if self.array[i] != NULL:
                flat = np.broadcast_to(<object>self.array[i], self.shape).reshape(-1)
                Py_XDECREF(self.array[i])
                Py_XINCREF(<PyObject *>flat)
                self.array[i] = <PyObject *>flat
        return 0

    cdef tuple shaped(self):
        return (self.n,) if self.shape is None else self.shape

    cdef int accept(self, cnp.ndarray out, int sides) except -1:
        """Refuse an array of the right type that these rows cannot be written to: of the rows' shape, behind
        an axis of both sides where there are two."""
        cdef int i, axis = sides - 1
        cdef const char *low
        cdef const char *high
        cdef const char *block = <const char *>cnp.PyArray_DATA(out)
        cdef const char *end = block + cnp.PyArray_NBYTES(out)
        cdef bint fits = (
            cnp.PyArray_NDIM(out) == axis + 1 and cnp.PyArray_DIM(out, axis) == self.n
            and (axis == 0 or cnp.PyArray_DIM(out, 0) == 2) if self.shape is None
            else (<object>out).shape == (2,) * axis + self.shape
        )
        if not (fits and cnp.PyArray_IS_C_CONTIGUOUS(out) and cnp.PyArray_ISWRITEABLE(out)):
            raise refusal("out", f"shape {(<object>out).shape}",
                          f"a contiguous, writable array of shape {(2,) * axis + self.shaped()}")
        for i in range(self.used):
            low = high = <const char *>self.column[i].data
            if self.column[i].stride > 0:
                high += (self.n - 1) * self.column[i].stride
            else:
                low += (self.n - 1) * self.column[i].stride
            if self.n and low < end and high + 8 > block:
                raise refusal("out", "memory of another argument", "memory of its own")
        return 0


cdef Py_ssize_t FEW_PRICES = 2048  # up to which the GIL is kept: giving it up and taking it costs as much


cdef inline bint is_array_of(object value, int kind):
    """Is it an array of this type in the machine's byte order?"""
    return (cnp.PyArray_CheckExact(value) and cnp.PyArray_TYPE(<cnp.ndarray>value) == kind
            and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray>value))


cdef bint has_masked(object value, int axes) except -1:
    """Is an element masked, also of an array in a list, or in lists in it?"""
    if isinstance(value, (list, tuple)):
        for each in value:
            if PyFloat_CheckExact(each) or PyLong_CheckExact(each):
                continue
            if axes and has_masked(each, axes - 1):
                return True
        return False
    return cnp.PyArray_Check(value) and not cnp.PyArray_CheckExact(value) and np.ma.is_masked(value)


cdef object shown_array(object value):
    """An array of a wrong type as a message shows it: by its type."""
    return f"one of {value.dtype}" if isinstance(value, np.ndarray) else shown(value)


cdef object as_array(object value, str name, str kind):
    """The array of an argument of a batch, whose elements are then read as those of a single call."""
    if has_masked(value, 3):  # asarray gives what is behind a mask
        raise TypeError(f"{name} must be {kind}, none of them masked, got {shown(value)}")
    try:
        return np.asarray(value)
    except ValueError:  # lists of different lengths
        raise TypeError(f"{name} must be {kind}, got {shown(value)}") from None


STAGES = (
    "reference", "depth", "shift", "volatility", "age", "rounding", "touch", "obligation",
    "bid < ask",
)


cdef dict contributions(const mm_trace *trace, int side):
    """What each stage adds to a side, ticks: exact differences of the quantised stages."""
    cdef int stage
    cdef double target
    cdef list targets = []
    cdef list prices = []
    for stage in range(MM_TARGETS):
        target = trace.target[stage][side]
        if target != target:
            return {}
        targets.append(min(max(target, 1.0 - MM_POLICY_LIMIT), MM_POLICY_LIMIT - 1.0))
    for stage in range(MM_PRICES):
        if trace.price[stage][side] in (MM_NO_BID, MM_NO_ASK):
            break
        prices.append(trace.price[stage][side])
    # 2^-20 ticks, or coarser for prices beyond 2^32, so that every difference fits a double. (A depth
    # beyond all prices that a volatility scale of 0 undoes is held to 2^52 above.)
    exponent = frexp(max([abs(number) for number in targets + prices]))[1]
    # Multiples of a power of two, below 2^53 of them, are exact in doubles, and so are their differences.
    unit = 2.0 ** max(-20, exponent - 52)
    stages = [round(target / unit) * unit for target in targets] + [float(price) for price in prices]
    terms = [stages[0]] + [after - before for before, after in zip(stages, stages[1:], strict=False)]
    return dict(zip(STAGES, terms, strict=False))


class Explanation:
    """Where a quote's prices come from: the contribution of each stage to the price, in ticks.

    Made by :meth:`Quoter.explain`. The contributions of a side add up to its price exactly; they
    are multiples of 2^-20 ticks. A depth is a distance from the reference: it lowers the bid and
    raises the ask, so ``bid["depth"]`` is the policy's bid depth with its sign turned. Stages that
    change neither side are left out when it is shown; :attr:`bid` and :attr:`ask` hold them.

    Attributes
    ----------
    quote : Quote
        The quote explained.
    bid, ask : dict of str to float
        Contribution by stage; stages that were not reached are missing.
    reasons : tuple of str
        The bits of ``quote.why`` in words.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> explanation = Quoter(Affine(base=1.5, slope=0.25)).explain(100.25, 3, shift=0.5)
    >>> explanation.bid["depth"], explanation.bid["shift"], explanation.bid["rounding"]
    (-2.25, 0.5, -0.5)
    >>> sum(explanation.bid.values()) == explanation.quote.bid
    True
    """

    __slots__ = ("_instrument", "_sizes", "ask", "bid", "quote", "reasons")

    CAPTION = "contribution to the price, ticks"
    """What the table's first rows show."""

    def __init__(self, quote, bid, ask, reasons, sizes, instrument):
        self.quote = quote
        self.bid = bid
        self.ask = ask
        self.reasons = reasons
        self._sizes = sizes
        self._instrument = instrument

    def __reduce__(self):
        return Explanation, (self.quote, self.bid, self.ask, self.reasons, self._sizes, self._instrument)

    def rows(self):
        """The table's rows: (name, bid, ask), each a text."""
        def cell(terms, name):
            if name not in terms:
                return ""
            if terms[name] == 0.0:
                return "0"
            return f"{terms[name]:.6f}" if name == "reference" else f"{terms[name]:+.6f}"

        quote = self.quote
        table = [
            (name, cell(self.bid, name), cell(self.ask, name)) for name in STAGES
            if name in ("reference", "depth") or self.bid.get(name) or self.ask.get(name)
        ]
        prices = ["absent" if price is None else str(price) for price in quote]
        table.append(("price (ticks)", *prices))
        if self._instrument is not None:
            show = self._instrument.price
            table.append(("price", *["absent" if price is None else str(show(price)) for price in quote]))
        if self._sizes is not None:
            (policy_bid, policy_ask), (limited_bid, limited_ask) = self._sizes
            table.append(("policy size", str(policy_bid), str(policy_ask)))
            if (limited_bid, limited_ask) != (policy_bid, policy_ask):
                table.append(("within the limits", str(limited_bid), str(limited_ask)))
        table.append(("size (lots)", str(quote.bid_size), str(quote.ask_size)))
        return table

    def __repr__(self):
        rows = [(self.CAPTION, "bid", "ask"), *self.rows()]
        widths = [max([len(row[i]) for row in rows]) for i in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        if self.quote.take:
            lines.append(f"take {self.quote.take} lots now")
        return "\n".join(lines + [f"- {reason}" for reason in self.reasons])

    def _repr_html_(self):
        rows = "".join([
            f"<tr><th>{escape(a)}</th><td>{escape(b)}</td><td>{escape(c)}</td></tr>"
            for a, b, c in self.rows()
        ])
        reasons = "".join([f"<li>{escape(reason)}</li>" for reason in self.reasons])
        take = f"<p>take {self.quote.take} lots now</p>" if self.quote.take else ""
        return (
            f"<table><thead><tr><th>{self.CAPTION}</th><th>bid</th><th>ask</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
            + take + (f"<ul>{reasons}</ul>" if reasons else "")
        )

    def plot(self, ax=None):
        """Draw the contributions as a waterfall: from the reference price, stage by stage, to both prices.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from mmcore.plots import plot_explanation

        return plot_explanation(self, ax)


_KERNELS = {
    "exact": MM_MODEL_EXACT,
    "cartea_jaimungal": MM_MODEL_CARTEA_JAIMUNGAL,
    "closed_form": MM_MODEL_CLOSED_FORM,
    "avellaneda_stoikov": MM_MODEL_AVELLANEDA_STOIKOV,
}
_ROWS = ("exact", "cartea_jaimungal")  # kernels that compile a row of a finite horizon
_FIXED = ("q_max", "order_size", "horizon", "omega")  # the shape and size of a policy's memory
_UNREAD = {MM_MODEL_CARTEA_JAIMUNGAL: ("sigma",), MM_MODEL_AVELLANEDA_STOIKOV: ("A",)}


cdef Policy _copy(const mm_policy *block, uint64_t version):
    """An immutable policy of the same numbers, with its checksum."""
    cdef Policy copy = (Affine if block.kind == MM_AFFINE else Table).__new__(
        Affine if block.kind == MM_AFFINE else Table
    )
    cdef mm_policy *target = copy.allocate(block.bytes)
    memcpy(target, block, block.bytes)
    target.version = version
    copy.seal(target, block.bytes)
    return copy


def _fixed(model, name, value):
    return refusal(
        name, value, f"left as it is ({getattr(model, name, None)}): set() keeps the policy's shape, so make "
        "a new quoter"
    )


def _parameter(model, name):
    for parameter in model.PARAMETERS:
        if parameter.name == name:
            return parameter
    from difflib import get_close_matches

    names = [p.name for p in model.PARAMETERS if p.name not in _FIXED]
    close = get_close_matches(name, names, 1)
    known = f"did you mean {close[0]}?" if close else f"it has {', '.join(names)}"
    raise InvalidArgument(
        f"{name} is not a parameter of {type(model).__name__}; {known}",
        argument=name, allowed=f"one of {', '.join(names)}",
    )


cdef int put_pair(double *out, object value) except -1:
    if PyFloat_CheckExact(value):
        out[0] = out[1] = PyFloat_AS_DOUBLE(value)
    else:
        out[0], out[1] = value
    return 0


cdef object put(mm_parameters *p, object model, str name, object value):
    """Write a parameter of the model into the kernel's struct; return what was written, to be kept.

    A float is written as it is, and the kernel checks its range; anything else is what the model's
    constructor makes of it, so that nobody's array is kept.
    """
    if name not in model.__dict__:  # though kernels of other models may have it
        _parameter(model, name)
    if not PyFloat_CheckExact(value):
        value = _parameter(model, name).check(value)
    if name in _UNREAD.get(p.model, ()):  # the kernel does not look at it
        value = _parameter(model, name).check(value)
        if value is None:
            return None
    if name == "sigma":
        p.sigma = value
    elif name == "A":
        put_pair(p.A, value)
    elif name == "k":
        put_pair(p.k, value)
    elif name == "gamma":
        p.gamma = value
    elif name == "drift":
        p.drift = value
    elif name == "fee":
        put_pair(p.fee, value)
    elif name == "impact":
        p.impact = value
    elif name == "running_penalty":
        p.running_penalty = value
    elif name == "terminal_penalty":
        p.terminal_penalty = value
    elif name == "adverse_selection":
        put_pair(p.adverse_selection, value)
    elif name == "objective":
        mean_variance = _parameter(model, name).check(value) == "mean_variance"
        p.objective = MM_MEAN_VARIANCE if mean_variance else MM_EXPONENTIAL
    elif name == "q_max":
        p.q_max = value
    elif name == "order_size":
        p.order_size = value
    elif name == "horizon":
        p.horizon = value
    else:
        _parameter(model, name)  # says what there is
    return value


cdef int c_parameters_of(mm_parameters *p, object model) except -1:
    mm_parameters_init(p, _KERNELS[model._kernel])
    for parameter in model.PARAMETERS:
        value = getattr(model, parameter.name)
        if value is not None:
            put(p, model, parameter.name, value)
        elif parameter.name == "q_max":
            p.q_max = INFINITY
    return 0


@cython.final
cdef class Quoter:
    """Quotes from a policy, under the market's rules.

    Parameters
    ----------
    policy : Policy or model
        A compiled policy, or a model: anything with a method ``policy()`` that returns one.
    instrument : Instrument, optional
        Only for showing prices in currency; the quoter works in ticks and lots.
    limits : Limits, optional
        Bounds on the true inventory.
    obligations : Obligations, optional
        Promises that are checked last.
    feed_age : FeedAge, optional
        What old market data do to the quote.

    Notes
    -----
    Thread-safety: one writer (``set``, ``halt``, ``resume`` and the settable attributes); any number of
    threads may quote.

    Examples
    --------
    >>> quoter = Quoter(Affine(base=1.5, slope=0.25, q_max=10), limits=Limits(max_position=5))
    >>> quoter.quote(100.25, 0, bid=100, ask=101)
    Quote(bid=98, ask=102, bid_size=1, ask_size=1)
    >>> quoter.quote(100.25, 5, bid=100, ask=101)
    Quote(bid=None, ask=101, bid_size=0, ask_size=1, why=LIMIT_BID)
    """

    def __cinit__(self, *args, **kwargs):
        self.live.block[0] = self.live.block[1] = &EMPTY
        self.c_rules.max_position = INFINITY
        self.c_rules.volatility_scale = 1.0

    def __init__(self, policy, instrument=None, limits=None, obligations=None, feed_age=None):
        if self._policy is not None:
            raise TypeError("a quoter is made once: set() changes its parameters")
        # By what is used, not by class: the compiled modules know nothing of the Python layer.
        if instrument is not None and not hasattr(instrument, "price"):
            raise refusal("instrument", instrument, "an Instrument, or None")
        if not isinstance(policy, Policy):
            compile_policy = getattr(policy, "policy", None)
            if not callable(compile_policy) or isinstance(policy, type):
                got = type(policy).__name__
                if isinstance(policy, type):
                    got = f"the class {policy.__name__} itself"
                raise TypeError(f"policy must be a policy or a model with a method policy(), got {got}")
            self._model = policy
            policy = compile_policy()
            if not isinstance(policy, Policy):
                raise TypeError(
                    f"the model's policy() must return an Affine or a Table, got {type(policy).__name__}"
                )
        block_of(policy)
        self.limits = limits
        self.obligations = obligations
        self.feed_age = feed_age
        self._policy = policy
        self.live.block[0] = self.live.block[1] = <mm_policy *>(<Policy>policy).c_policy
        self.instrument = instrument

    def __dealloc__(self):
        PyMem_Free(self.memory)

    cdef Policy in_force(self):
        """The policy in force: a copy of its own where the block may be written to again."""
        cdef const mm_policy *block = mm_live_block(&self.live)
        if self._policy is None:
            raise TypeError("this quoter has no policy: it was made without its constructor")
        if block != self._policy.c_policy and block.version != self._policy.c_policy.version:
            self._policy = _copy(block, block.version)
        return self._policy

    @property
    def policy(self):
        """The policy in force, immutable: a later :meth:`set` does not change it."""
        return self.in_force()

    @property
    def model(self):
        """The model of the policy in force, with its parameters now; None where a policy was given."""
        if self._changes:
            self._model = self._model.replace(**self._changes)
            self._changes = None
        return self._model

    def set(self, *, time_left=None, **changes):
        """Recalibrate: put other parameters of the model in force, on the hot path.

        Stationary exact models and closed forms are compiled in place by ``mmcore/recalibration.h``, in time
        proportional to ``q_max`` and without an allocation after the first; every other model is compiled
        anew (``model.replace(...).policy()``), which can take milliseconds and more. Either way the policy
        is published at once: a quote comes from the old one or from the new one, and says by its
        ``version`` from which. The shape is fixed: ``q_max``, ``order_size`` and the horizon are refused.

        Parameters
        ----------
        time_left : float, optional
            For an exact model with a finite horizon, in place: put the row with so many seconds left in
            force. It is quoted whatever time left a quote asks for, until the next call.
        **changes : float or (bid, ask)
            Parameters of the model by name: ``sigma``, ``A``, ``k``, ``gamma``, ``drift``, ``fee``, ...

        Raises
        ------
        InvalidArgument
            Names the parameter, its value and what is allowed. The policy in force stays, version and all.
        Unsupported
            The quoter was made from a policy, so that there is no model.
        NoConvergence
            The numbers are beyond the range of the solver; the policy in force stays.

        Examples
        --------
        >>> import mmcore as mm
        >>> quoter = Quoter(mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=30))
        >>> quoter.quote(100.5, 5), quoter.version
        (Quote(bid=96, ask=104, bid_size=1, ask_size=1), 1)
        >>> quoter.set(sigma=0.6, k=(0.25, 0.3))
        >>> quoter.quote(100.5, 5), quoter.version
        (Quote(bid=95, ask=104, bid_size=1, ask_size=1), 2)
        >>> quoter.set(sigma=-1)
        Traceback (most recent call last):
        mmcore.errors.InvalidArgument: sigma must be a finite number >= 0 (ticks/√s), got -1
        >>> quoter.version, quoter.model.sigma
        (2, 0.6)
        """
        if self._model is None:
            raise Unsupported(
                "this quoter was made from a policy, which has no parameters: make it from a model",
                argument="self",
            )
        kernel = getattr(self._model, "_kernel", None)
        finite = getattr(self._model, "horizon", None) is not None and kernel in _ROWS
        if time_left is not None and not finite:
            raise Unsupported(
                "time_left puts a row of an exact model with a finite horizon in force, and this is "
                f"{self._model!r}", argument="time_left", value=time_left,
            )
        if kernel is not None and (time_left is not None or not finite):
            self.recalibrate(changes, time_left)
            return
        model = self.model
        if not hasattr(model, "replace"):
            raise Unsupported(
                f"{type(model).__name__} has no method replace(), so its parameters can't be set",
                argument="self",
            )
        for name in changes:
            if name in _FIXED:
                raise _fixed(model, name, changes[name])
        model = model.replace(**changes)
        cdef Policy made = _copy((<Policy?>model.policy()).c_policy, self.version + 1)
        if self.memory != NULL:
            for name, value in changes.items():
                put(&self.live.parameters, model, name, value)
        self._before, self._policy, self._model = self._policy, made, model
        mm_live_publish(&self.live, <mm_policy *>made.c_policy)

    cdef int recalibrate(self, dict changes, object time_left) except -1:
        cdef mm_parameters p
        cdef const char *wrong = NULL
        cdef int status
        if self.memory == NULL:  # the shape is that of the model in force, and so are the parameters
            c_parameters_of(&p, self._model)
            self.begin(&p)
        p = self.live.parameters
        for name, value in changes.items():
            if name in _FIXED:
                raise _fixed(self._model, name, value)
            changes[name] = put(&p, self._model, name, value)
        if time_left is not None:
            p.horizon = _finite(time_left, "time_left", 0.0, f"seconds from 0 to {self._model.horizon:g}")
            if p.horizon > self._model.horizon:
                raise refusal("time_left", time_left, f"seconds from 0 to {self._model.horizon:g}")
        status = mm_parameters_check(&p, &wrong)
        cdef bint allowed = status == MM_OK
        if allowed:
            status = mm_live_set(&self.live, &p, &wrong)
        if status == MM_OK:
            if changes:
                self._changes = {**self._changes, **changes} if self._changes else changes
            return 0
        if status == MM_INVALID:
            argument = wrong.decode()
            value = changes.get(argument, getattr(self._model, argument, None))
            raise refusal(
                argument, value, "in proportion to the other parameters, within the range of floating point"
                if allowed else _parameter(self._model, argument).allowed
            )
        raise NoConvergence(
            f"no policy was found for {changes!r}: the numbers are beyond the range of the solver"
        )

    cdef Quoter follower(self):
        """A copy whose policy other compiled code recalibrates in place."""
        kernel = getattr(self.model, "_kernel", None)
        if kernel is None:
            raise Unsupported(
                "recalibration in a replay needs a model that is compiled in place (exact models, closed "
                f"forms, Avellaneda-Stoikov with a horizon), and this is {self._model!r}",
                argument="recalibrate",
            )
        cdef Quoter copy = _restore_quoter(*self.__reduce__()[1])
        cdef mm_parameters p
        c_parameters_of(&p, copy._model)
        if copy.memory == NULL:
            copy.begin(&p)
        return copy

    cdef int begin(self, const mm_parameters *p) except -1:
        """Take the memory of all recalibrations to come."""
        cdef uint64_t nbytes = mm_recalibration_bytes(p)
        cdef uint64_t rounded = (nbytes + MM_POLICY_ALIGN - 1) // MM_POLICY_ALIGN * MM_POLICY_ALIGN
        cdef uint64_t work = 0 if nbytes <= sizeof(mm_policy) else sizeof(double) * MM_RECALIBRATION_WORK(
            <size_t>mm_nodes_of(p)
        )
        cdef uintptr_t at
        cdef int i
        cdef void *memory = PyMem_Malloc(2 * rounded + work + MM_POLICY_ALIGN) if nbytes else NULL
        if memory == NULL:
            raise CapacityError(f"no memory for two policies of {nbytes} bytes")
        at = (<uintptr_t>memory + MM_POLICY_ALIGN - 1) // MM_POLICY_ALIGN * MM_POLICY_ALIGN
        for i in range(2):
            self.live.memory[i] = <mm_policy *>(at + i * rounded)
            mm_recalibration_begin(p, self.live.memory[i], nbytes)
        self.live.work = <double *>(at + 2 * rounded)
        self.memory = memory
        self.live.parameters = p[0]
        self._before = self._policy
        return 0

    @property
    def limits(self):
        """The :class:`Limits`; settable, None for none."""
        return self._limits

    @limits.setter
    def limits(self, value):
        if value is None:
            value = Limits()
        if not isinstance(value, Limits):
            raise TypeError(f"limits must be mmcore.Limits or None, got {type(value).__name__}")
        self._limits = value
        self.c_rules.max_position = (<Limits>value).c_max_position
        self.c_rules.shrink = (<Limits>value).shrink

    @property
    def obligations(self):
        """The :class:`Obligations`; settable, None for none."""
        return self._obligations

    @obligations.setter
    def obligations(self, value):
        if value is None:
            value = Obligations()
        if not isinstance(value, Obligations):
            raise TypeError(f"obligations must be mmcore.Obligations or None, got {type(value).__name__}")
        self._obligations = value
        self.c_rules.max_spread = (<Obligations>value).c_max_spread
        self.c_rules.min_size = (<Obligations>value).c_min_size

    @property
    def feed_age(self):
        """The :class:`FeedAge`; settable, None for none."""
        return self._feed_age

    @feed_age.setter
    def feed_age(self, value):
        if value is None:
            value = FeedAge()
        if not isinstance(value, FeedAge):
            raise TypeError(f"feed_age must be mmcore.FeedAge or None, got {type(value).__name__}")
        self._feed_age = value
        self.c_rules.halt_after = (<FeedAge>value).c_halt_after
        self.c_rules.widen_after = (<FeedAge>value).c_widen_after
        self.c_rules.widen = (<FeedAge>value).c_widen

    @property
    def volatility_scale(self):
        """Factor on the depths, 1 by default: the market's volatility now over the policy's."""
        return self.c_rules.volatility_scale

    @volatility_scale.setter
    def volatility_scale(self, value):
        self.c_rules.volatility_scale = _finite(value, "volatility_scale", 0.0, "a finite number >= 0")

    @property
    def version(self):
        """Version of the policy in force; every quote carries it."""
        return mm_live_block(&self.live).version

    def halt(self, reason="halted"):
        """Stop quoting: both sides absent, with :attr:`Why.HALTED`, until :meth:`resume`.

        Parameters
        ----------
        reason : str
            For people; :meth:`explain` repeats it.
        """
        if not isinstance(reason, str) or not reason:
            raise refusal("reason", reason, "a text that says why")
        self.halted = reason
        self.c_rules.halted = 1

    def resume(self):
        """Quote again after :meth:`halt`."""
        self.halted = None
        self.c_rules.halted = 0

    cdef inline int make(self, mm_quote *out, object reference, object inventory, object bid, object ask,
                         object shift, object target, object time_left, object state, object age) except -1:
        cdef double s = as_number(reference, "reference"), q = as_number(inventory, "inventory")
        cdef int64_t b = as_integer(bid, MM_NO_BID, "bid"), a = as_integer(ask, MM_NO_ASK, "ask")
        if shift is ZERO and target is ZERO and time_left is EVER and state is FIRST and age is ZERO:
            mm_live_quote(&self.live, &self.c_rules, s, q, b, a, 0.0, 0.0, INFINITY, 0, 0.0, out)
            return 0
        mm_live_quote(
            &self.live, &self.c_rules, s, q, b, a, as_number(shift, "shift"), as_number(target, "target"),
            as_number(time_left, "time_left"), as_integer(state, NO_STATE, "state"), as_number(age, "age"),
            out,
        )
        return 0

    def quote(self, reference, inventory, bid=None, ask=None, shift=0.0, target=0.0, time_left=inf, state=0,
              age=0.0):
        """The quote now.

        Parameters
        ----------
        reference : float
            Reference price, ticks: mid, micro-price or your fair value.
        inventory : float
            Position, lots, signed.
        bid, ask : int or None
            The market's touch, ticks; None when that side is empty.
        shift : float
            Added to both prices, ticks: a signal.
        target : float
            Wanted inventory, lots: the policy is read at ``inventory - target``; limits see the true
            inventory.
        time_left : float
            Seconds to the horizon; inf reads the stationary policy.
        state : int
            Index of the policy's state; with one that it does not have, or None, nothing is quoted.
        age : float
            Seconds since the market data that the reference price was made from; see :class:`FeedAge`.

        Returns
        -------
        Quote
            Sides that may not be quoted are absent; ``why`` says for what reason.

        Raises
        ------
        TypeError
            For an argument of a wrong type; never on a state of the market.

        Examples
        --------
        >>> quoter = Quoter(Affine(base=1.5, slope=0.25))
        >>> bid, ask = quoter.quote(100.25, 3, bid=100, ask=101)
        >>> bid, ask
        (98, 101)
        >>> quoter.quote(float("nan"), 3).why.words
        ('the reference price is not finite',)
        """
        cdef Quote out = Quote.__new__(Quote)
        self.make(&out.c, reference, inventory, bid, ask, shift, target, time_left, state, age)
        return out

    def quote_into(self, QuoteBuffer out not None, reference, inventory, bid=None, ask=None, shift=0.0,
                   target=0.0, time_left=inf, state=0, age=0.0):
        """:meth:`quote` into a :class:`QuoteBuffer`, without an allocation."""
        self.make(&out.c, reference, inventory, bid, ask, shift, target, time_left, state, age)

    def quote_batch(self, reference, inventory, bid=None, ask=None, shift=0.0, target=0.0, time_left=inf,
                    state=0, age=0.0, out=None):
        """Many quotes at once, from one policy, with the GIL released.

        Parameters
        ----------
        reference, inventory, bid, ask, shift, target, time_left, state, age : array_like
            As in :meth:`quote`, each element of an array too; numbers and arrays broadcast against each
            other. Absent touches in an array are the int64 minimum (bid) and maximum (ask), or None in one of
            objects. Masked elements are refused.
        out : ndarray of QUOTE, optional
            Where to write: contiguous and of the broadcast shape.

        Returns
        -------
        ndarray of QUOTE
            Row by row the same bits as :meth:`quote`.

        Examples
        --------
        >>> quotes = Quoter(Affine(base=1.5, slope=0.25)).quote_batch(100.25, [-2, 0, 2])
        >>> quotes["bid"], quotes["ask"]
        (array([99, 98, 98]), array([103, 102, 102]))
        """
        cdef Columns columns = Columns.__new__(Columns)
        columns.add_market(reference, inventory, bid, ask, shift, target, time_left, state, age)
        if out is None:
            out = np.empty(columns.shaped(), QUOTE)
        elif not isinstance(out, np.ndarray) or out.dtype != QUOTE:
            raise TypeError(f"out must be an array of dtype mmcore.quoting.QUOTE, got {shown_array(out)}")
        else:
            columns.accept(out, 1)
        cdef mm_quote *quotes = <mm_quote *>cnp.PyArray_DATA(<cnp.ndarray>out)
        cdef Policy policy = self.in_force()
        cdef mm_rules rules = self.c_rules
        with nogil:
            mm_quote_blocks(c_cpu(), policy.c_policy, &rules, columns.n, columns.column, quotes)
        return out

    def price_batch(self, reference, inventory, bid=None, ask=None, shift=0.0, target=0.0, time_left=inf,
                    state=0, age=0.0, out=None):
        """The prices of :meth:`quote_batch` alone, several times as fast for an affine policy.

        Parameters
        ----------
        reference, inventory, bid, ask, shift, target, time_left, state, age : array_like
            As in :meth:`quote_batch`.
        out : ndarray of int64, shape (2, ...), optional
            Where to write: contiguous, and none of the arrays given.

        Returns
        -------
        ndarray of int64, shape (2, ...)
            Bids and asks, ticks; the int64 minimum (bid) and maximum (ask) where :meth:`quote` has none.

        Examples
        --------
        >>> bid, ask = Quoter(Affine(base=1.5, slope=0.25)).price_batch(100.25, [-2, 0, 2])
        >>> bid, ask
        (array([99, 98, 98]), array([103, 102, 102]))
        """
        cdef Columns columns = Columns.__new__(Columns)
        cdef cnp.npy_intp dims[2]
        columns.add_market(reference, inventory, bid, ask, shift, target, time_left, state, age)
        if out is None and columns.shape is None:
            dims[0], dims[1] = 2, columns.n
            out = cnp.PyArray_EMPTY(2, dims, cnp.NPY_INT64, 0)
        elif out is None:
            out = np.empty((2, *columns.shape), np.int64)
        elif not is_array_of(out, cnp.NPY_INT64):
            raise TypeError(f"out must be an array of dtype int64, got {shown_array(out)}")
        else:
            columns.accept(out, 2)
        cdef int64_t *prices = <int64_t *>cnp.PyArray_DATA(<cnp.ndarray>out)
        cdef Policy policy = self.in_force()
        cdef mm_rules rules = self.c_rules
        if columns.n <= FEW_PRICES:
            mm_price_rows(c_cpu(), policy.c_policy, &rules, columns.n, columns.column, prices,
                          prices + columns.n)
        else:
            with nogil:
                mm_price_rows(c_cpu(), policy.c_policy, &rules, columns.n, columns.column, prices,
                              prices + columns.n)
        return out

    def explain(self, reference, inventory, bid=None, ask=None, shift=0.0, target=0.0, time_left=inf,
                state=0, age=0.0):
        """Where the prices of :meth:`quote` come from; same arguments.

        Returns
        -------
        Explanation
            Shows as a table; its contributions add up to the prices exactly.

        Examples
        --------
        >>> Quoter(Affine(base=1.5, slope=0.25)).explain(100.25, 3, bid=100, ask=101, shift=0.5)
        contribution to the price, ticks         bid         ask
        reference                         100.250000  100.250000
        depth                              -2.250000   +0.750000
        shift                              +0.500000   +0.500000
        rounding                           -0.500000   +0.500000
        price (ticks)                             98         102
        policy size                                1           1
        size (lots)                                1           1
        """
        cdef Quote quote = Quote.__new__(Quote)
        cdef mm_trace trace
        memset(&trace, 0xff, sizeof(trace))  # every target a NaN: a stage not reached
        cdef Policy policy = self.in_force()
        mm_quote_explain(
            policy.c_policy, &self.c_rules,
            as_number(reference, "reference"), as_number(inventory, "inventory"),
            as_integer(bid, MM_NO_BID, "bid"), as_integer(ask, MM_NO_ASK, "ask"), as_number(shift, "shift"),
            as_number(target, "target"), as_number(time_left, "time_left"),
            as_integer(state, NO_STATE, "state"), as_number(age, "age"), &quote.c, &trace,
        )
        sizes = None
        if trace.policy_size[0] >= 0:
            sizes = (
                (trace.policy_size[0], trace.policy_size[1]), (trace.limited_size[0], trace.limited_size[1])
            )
        reasons = list(Why(quote.c.why).words)
        if self.halted is not None:
            reasons[reasons.index(_WORDS[Why.HALTED])] += f": {self.halted}"
        return Explanation(quote, contributions(&trace, 0), contributions(&trace, 1), tuple(reasons), sizes,
                           self.instrument)

    def __reduce__(self):
        return _restore_quoter, (self.policy, self.instrument, self._limits, self._obligations, self.halted,
                                 self.volatility_scale, self.model, self._feed_age, self._horizon())

    def _horizon(self):
        """That of recalibrations in place (s); None before the first."""
        return None if self.memory == NULL else self.live.parameters.horizon

    def __repr__(self):
        parts = [repr(self.in_force())]
        if self.instrument is not None:
            parts.append(getattr(self.instrument, "name", repr(self.instrument)))
        if self._limits != Limits():
            parts.append(f"limits={self._limits!r}")
        if self._obligations != Obligations():
            parts.append(f"obligations={self._obligations!r}")
        if self._feed_age != FeedAge():
            parts.append(f"feed_age={self._feed_age!r}")
        if self.volatility_scale != 1.0:
            parts.append(f"volatility_scale={self.volatility_scale:g}")
        if self.halted is not None:
            parts.append(f"halted={self.halted!r}")
        return f"Quoter({', '.join(parts)})"


def _restore_quoter(policy, instrument, limits, obligations, halted, volatility_scale, model=None,
                    feed_age=None, horizon=None):
    cdef Quoter quoter = Quoter(policy, instrument, limits, obligations, feed_age)
    cdef mm_parameters p
    quoter._model = model
    if horizon is not None:
        c_parameters_of(&p, model)
        p.horizon = _time(horizon, "horizon")
        quoter.begin(&p)
    quoter.volatility_scale = volatility_scale
    if halted is not None:
        quoter.halt(halted)
    return quoter
