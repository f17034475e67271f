"""Our own positions, exactly: what was traded, what it cost, what it earned.

A fill of n lots (signed, bought > 0) at p ticks moves the position by n and the cash by −n·p tick·lot. The
cost pool C holds what the open lots cost, in 10⁻⁹ tick·lot and signed like the position. With the mark m,

    realised   = 10⁹·cash + C
    unrealised = 10⁹·m·net − C

so realised + unrealised = 10⁹·(cash + m·net) at every step, to the last digit, by construction. The cost
basis only says what a close takes out of the pool: under **average cost** C·closed/net, rounded once, half
to even, with the residue left in the pool (an average need not terminate: buy 2 at 1000 and 1 at 1002), so
that closing the rest returns everything; under **FIFO** the price of the oldest lots, under **LIFO** that of
the newest, under **specific identification** that of the lots which the fill names, and of the oldest for the
rest, where nothing is ever rounded. A fill that crosses zero closes everything and opens the remainder
at its own price.

Of an inverse contract cash counts 10⁻⁹ units of the currency, and n lots at p ticks are worth −n·s/p of them
for its constant s, rounded once: that stands for n·p above. A conversion takes the cost of the open lots
along to another instrument: what it took away less what it brought is **carried**, and a part of realised.

All state is integer: lots, ticks, 128-bit cash, cost and fees. |cash| and |m·net| stay below 2⁹⁶ tick·lot; a
fill that would leave the bounds is refused before anything changes. Money appears on request, as Decimals,
through the instrument.

Examples
--------
>>> import mmcore as mm
>>> book = mm.Book([mm.Instrument("X", tick="0.01")])
>>> position = book["X"]
>>> for qty, price in [(2, 1000), (1, 1002), (-1, 1005)]:
...     position.fill(qty, price)
<Status.OK: 0>
<Status.OK: 0>
<Status.OK: 0>
>>> book.mark("X", 1004)
>>> position.realised, position.unrealised          # 1e-9 tick·lot
(4333333333, 6666666667)
>>> position.fill(-2, 1004)
<Status.OK: 0>
>>> position.pnl()["realised"]
Decimal('0.11')
"""

import enum
import html
from collections import namedtuple
import operator
from fractions import Fraction

import numpy as np

from mmcore.errors import (
    CapacityError,
    ConflictError,
    CorruptError,
    InvalidArgument,
    OutOfBounds,
    UnknownName,
    Unsupported,
    shown,
)
from mmcore.parameters import bytes_like, masked, two_sides

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.pythread cimport (
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_release_lock,
    PyThread_type_lock,
    WAIT_LOCK,
)
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from mmcore.arguments cimport read_int

__all__ = ["FILL", "Book", "OpenLot", "Position", "Snapshot", "Status"]


cdef int64_t SCALE = 1000000000
cdef int64_t INT64_MAX = 0x7FFFFFFFFFFFFFFF

FILL = np.dtype(
    [
        ("time", "=i8"),
        ("receive_time", "=i8"),
        ("qty", "=i8"),
        ("price", "=i8"),
        ("fee", "=i8"),
        ("order_id", "=i8"),
        ("id", "S16"),
        ("reference", "S16"),
        ("instrument", "=i4"),
        ("fee_currency", "=i2"),
        ("liquidity", "i1"),
        ("kind", "i1"),
        ("target", "=i8"),
    ]
)
"""The fill record: ``mm_fill`` of ``mmcore/book.h``, 96 bytes.

``time`` (of the event) and ``receive_time`` in ns; ``qty`` in signed lots; ``price`` in ticks; ``fee`` in
currency units, paid > 0; ``instrument`` and ``fee_currency`` are indices in the book, the latter −1 for the
instrument's own; ``liquidity`` 0 unknown, 1 maker, 2 taker. ``kind`` is 0 new, 1 bust, 2 correct, 3 suspend,
4 release, 5 funding, 6 borrow, 7 dividend, 8 in lieu, 9 convert, 10 identify; what ``target`` and the other
fields mean to each is in ``docs/ledger.md``. :meth:`Book.records` makes them.
"""

_ELSEWHERE = "paid in others"
_LEFT = ("instrument", "currency", _ELSEWHERE)  # columns of texts in the table
_LIQUIDITY = {None: 0, "maker": 1, "taker": 2}
_KINDS = {
    name: kind for kind, name in enumerate(
        ["new", "bust", "correct", "suspend", "release",
         "funding", "borrow", "dividend", "in_lieu", "convert", "identify"]
    )
}
_KIND_NAMES = list(_KINDS)
_METHODS = {"average": MM_AVERAGE, "fifo": MM_FIFO, "lifo": MM_LIFO, "specific": MM_SPECIFIC}
_PAYMENTS = ("funding", "borrow", "dividend", "in_lieu")
_SIDES = {None: 0, "bought": 1, "sold": -1}
_NO_NEGATIVE = "no negative prices (negative_prices=False)"


class Status(enum.IntEnum):
    """What became of a fill: below 0 it was refused and nothing changed."""

    OK = MM_OK
    DUPLICATE = MM_DUPLICATE
    SUSPENDED = MM_SUSPENDED
    UNMET = MM_UNMET
    INVALID = MM_INVALID
    OVERFLOW = MM_OVERFLOW
    CONFLICT = MM_CONFLICT
    UNSUPPORTED = MM_UNSUPPORTED
    UNKNOWN = MM_UNKNOWN

    def __str__(self):
        return self.name


cdef object _OK = Status.OK
cdef object _DUPLICATE = Status.DUPLICATE
cdef tuple _ACCEPTED = (Status.OK, Status.DUPLICATE, Status.SUSPENDED, Status.UNMET)


class OpenLot(namedtuple("OpenLot", "qty price row id")):
    """An open lot, as :attr:`Position.open_lots` shows it and :meth:`Book.fill` takes it.

    Thread-safety: immutable.

    Attributes
    ----------
    qty : int
        Signed lots that are open.
    price : int or Fraction
        Ticks.
    row : int
        Of the fill that opened it, in :attr:`Book.history`.
    id : bytes or None
        The fill's.
    """

    __slots__ = ()


# ---- the cimport API ----

cdef void position_init(mm_position *p, int32_t method, int negative_prices) noexcept nogil:
    mm_position_init(p, method, negative_prices)


cdef int position_fill(
    mm_position *p, mm_lot *lots, int64_t capacity, int64_t qty, int64_t price, int64_t fee
) noexcept nogil:
    return mm_position_fill(p, lots, capacity, qty, price, fee)


cdef int position_mark(mm_position *p, int64_t mark) noexcept nogil:
    return mm_position_mark(p, mark)


cdef void position_compact(mm_position *p, mm_lot *lots) noexcept nogil:
    mm_position_compact(p, lots)


cdef void position_realised(const mm_position *p, mm_i128 *out) noexcept nogil:
    out[0] = mm_position_realised(p)


cdef int position_unrealised(const mm_position *p, mm_i128 *out) noexcept nogil:
    return mm_position_unrealised(p, out)


cdef int notional_fee(int64_t qty, int64_t price, int64_t num, int64_t den, int64_t *fee) noexcept nogil:
    return mm_notional_fee(qty, price, num, den, fee)


# ---- conversions ----

cdef mm_i128 _i128(object value):
    cdef mm_i128 a
    a.lo = value & 0xFFFFFFFFFFFFFFFF
    a.hi = value >> 64
    return a


cdef object _int(mm_i128 a):
    if a.hi == (-1 if <int64_t>a.lo < 0 else 0):
        return <int64_t>a.lo
    return (<object>a.hi << 64) | <object>a.lo


cdef int64_t _i64_of(object value, str argument, str unit) except? -1:
    # bool, float, Decimal, text: all refused. A float price here is nearly always a currency amount.
    if isinstance(value, (bool, np.bool_)) or masked(value):
        raise InvalidArgument(argument=argument, value=value, allowed=f"an integer number of {unit}")
    try:
        number = operator.index(value)
    except TypeError:
        hint = {"ticks": " (instrument.ticks converts)", "lots": " (instrument.lots converts)"}.get(unit, "")
        raise InvalidArgument(
            argument=argument, value=value, allowed=f"an integer number of {unit}{hint}"
        ) from None
    if not -0x8000000000000000 <= number <= 0x7FFFFFFFFFFFFFFF:
        raise OutOfBounds(f"{argument} must fit into int64, got {shown(value)}",
                          argument=argument, value=value, allowed="an int64")
    return number


cdef inline int64_t _i64(object value, str argument, str unit) except? -1:
    cdef int64_t number
    if PyLong_CheckExact(value) and read_int(value, &number):
        return number
    return _i64_of(value, argument, unit)


def _ratio(argument, lots):
    """Read one of the numbers of a conversion: new lots for old ones."""
    if _i64(lots, argument, "lots of a ratio") <= 0:
        raise InvalidArgument(argument=argument, value=lots, allowed="a number of lots > 0")
    return lots


cdef int _set_text(char *out, object value, str argument) except -1:
    """Write an id of 1 to 16 bytes; an int is written in decimals, None as zero bytes."""
    cdef bytes raw
    if value is None:
        memset(out, 0, 16)
        return 0
    if isinstance(value, bytes):
        raw = bytes(value)
    elif isinstance(value, str):
        try:
            raw = value.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            allowed = "a text of whole characters"
            raise InvalidArgument(argument=argument, value=value, allowed=allowed) from None
    else:
        try:
            none = isinstance(value, bool) or masked(value)
            raw = b"" if none else str(operator.index(value)).encode()
        except (TypeError, ValueError):  # ValueError: thousands of digits
            raw = b""
        if not raw:
            raise InvalidArgument(argument=argument, value=value, allowed="a text, bytes, an int or None")
    if not 0 < PyBytes_GET_SIZE(raw) <= 16 or b"\0" in raw:
        raise InvalidArgument(argument=argument, value=value, allowed="1 to 16 bytes without zero bytes")
    memset(out, 0, 16)
    memcpy(out, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return 0


cdef object _text(const char *raw):
    return (<bytes>raw[:16]).rstrip(b"\0")


def _records(fills, argument="fills"):
    """Return a contiguous native FILL array of one dimension: the argument itself where it is one."""
    allowed = "an array of dtype mmcore.FILL (see Book.records)"
    if not isinstance(fills, np.ndarray) or isinstance(fills, np.ma.MaskedArray):
        raise InvalidArgument(argument=argument, value=type(fills).__name__, allowed=allowed)
    if fills.ndim != 1:
        raise InvalidArgument(argument=argument, value=fills.shape, allowed="an array of one dimension")
    if fills.dtype != FILL:
        # Structured casts match fields by position: only a change of byte order is let through.
        if fills.dtype.names is None or fills.dtype.newbyteorder("=") != FILL:
            raise InvalidArgument(argument=argument, value=fills.dtype, allowed=allowed)
        fills = fills.astype(FILL)
    fills = np.ascontiguousarray(fills)
    # NumPy takes a record of packed fields for aligned wherever it stands.
    return fills if fills.ctypes.data % 8 == 0 else fills.copy()


cdef const mm_fill *_fills_of(object array) except? NULL:
    cdef const unsigned char[::1] raw
    if len(array) == 0:
        return NULL
    raw = array.view(np.uint8)
    return <const mm_fill *>&raw[0]


cdef tuple _items(object values, str argument, str allowed):
    try:
        if not isinstance(values, (str, bytes)):
            return tuple(values)
    except TypeError:
        pass
    raise InvalidArgument(argument=argument, value=values, allowed=allowed)


cdef object _code(dict codes, object value, str argument, str allowed):
    try:
        return codes[value]
    except (KeyError, TypeError, ValueError):  # the latter two: not hashable
        raise InvalidArgument(argument=argument, value=value, allowed=allowed) from None


cdef object _named(dict known, object name, str argument):
    """What an instrument's name stands for."""
    try:
        return known[name]
    except (KeyError, TypeError, ValueError):  # the latter two: not hashable
        names = list(known)
        listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise UnknownName(argument=argument, value=name, allowed=f"one of {listed}") from None


cdef str _row_of(int64_t n):
    return f"a row of the history, 0 to {n - 1}" if n else "a row of the history, which is empty"


def _texts(name, values):
    """Return the values as texts of bytes, at most 16 each, as :func:`_set_text` writes them."""
    cdef char raw[16]
    allowed = "texts of at most 16 bytes"
    if isinstance(values, np.ma.MaskedArray):
        raise InvalidArgument(argument=name, value=values, allowed=f"{allowed}, none of them masked")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise InvalidArgument(argument=name, value=values, allowed=allowed) from None
    if array.dtype.kind == "O":
        flat = np.zeros(array.size, FILL[name])
        for i, value in enumerate(array.ravel().tolist()):
            _set_text(raw, value, name)
            flat[i] = _text(raw)
        return flat.reshape(array.shape)
    if array.dtype.kind in "iu":
        array = array.astype("U")
    if array.dtype.kind == "U":
        try:
            array = np.char.encode(array, "utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair
            raise InvalidArgument(argument=name, value=values, allowed=allowed) from None
    if array.dtype.kind != "S" or array.dtype.itemsize > 16:
        raise InvalidArgument(argument=name, value=array.dtype, allowed=allowed)
    octets = np.ascontiguousarray(array).view(np.uint8).reshape(array.size, array.dtype.itemsize)
    bad = np.flatnonzero(((octets[:, :-1] == 0) & (octets[:, 1:] != 0)).any(axis=1))
    if len(bad):
        at, allowed = int(bad[0]), "1 to 16 bytes without zero bytes"
        raise InvalidArgument(argument=name, value=array.reshape(-1)[at], allowed=allowed, index=at)
    return array


def _column(name, values):
    """Return the values as integers that fit the field of FILL; else name the first that does not."""
    if isinstance(values, np.ma.MaskedArray):
        allowed = "a column of integers, none of them masked"
        raise InvalidArgument(argument=name, value=values, allowed=allowed)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise InvalidArgument(argument=name, value=values, allowed="a column of integers") from None
    if array.shape == (0,) and not isinstance(values, np.ndarray):  # a list, which says no type
        array = array.astype(np.int64)
    flat = np.atleast_1d(array)
    if array.dtype.kind not in "iu":
        bad = np.flatnonzero(~np.isfinite(flat)) if array.dtype.kind == "f" else flat[:0]
        if len(bad):
            at = int(bad[0])
            raise InvalidArgument(argument=name, value=float(flat[at]), allowed="an integer", index=at)
        raise InvalidArgument(argument=name, value=array.dtype, allowed="a column of integers")
    if np.can_cast(array.dtype, FILL[name]):
        return array
    low, high = np.iinfo(FILL[name]).min, np.iinfo(FILL[name]).max
    bad = np.flatnonzero((flat > high) | (flat < low))
    if len(bad):
        at, allowed = int(bad[0]), f"within {FILL[name]}"
        raise OutOfBounds(argument=name, value=int(flat[at]), allowed=allowed, index=at)
    return array


def _length(arrays):
    """Return the shape of columns, of which single numbers stand for all rows."""
    shapes = {a.shape for a in arrays.values() if a.ndim} or {(1,)}
    shape = next(iter(shapes))
    if len(shapes) > 1 or len(shape) != 1:
        raise InvalidArgument(
            argument="columns", value={n: a.shape for n, a in arrays.items()}, allowed="of one length"
        )
    return shape


def _table(arrays):
    """Return the FILL array of some columns, its fees in the instruments' currencies but where they say."""
    result = np.zeros(_length(arrays), FILL)
    result["fee_currency"] = -1
    for name, array in arrays.items():
        result[name] = array
    return result


def _contract(instrument):
    """The numbers of ``mm_contract``: scale, per, units of the currency in one of cash (num, den)."""
    cash = Fraction(instrument.cash_unit) / Fraction(instrument.currency.unit)
    scale = Fraction(0)
    if instrument.kind == "inverse":
        scale = Fraction(instrument.lot) * Fraction(instrument.multiplier) / Fraction(instrument.tick)
        scale /= Fraction(instrument.cash_unit)
    if max(cash.numerator, cash.denominator, scale.denominator) > INT64_MAX or scale.numerator >> 126:
        raise OutOfBounds(
            f"{instrument.name}: tick, lot and multiplier are too far from the unit of "
            f"{instrument.currency!r}: their ratio must fit into int64",
            argument="instruments", value=instrument.name, allowed="a ratio that fits into int64",
        )
    return scale.numerator, scale.denominator, cash.numerator, cash.denominator


# ---- the memory of a book ----

@cython.final
cdef class _History:
    """Owns the memory of a history and shows it read-only: no array over it can be made writeable."""

    cdef mm_fill *data
    cdef int64_t capacity

    def __cinit__(self, int64_t capacity):
        self.data = NULL if capacity < 1 else <mm_fill *>calloc(<size_t>capacity, sizeof(mm_fill))
        if self.data == NULL:
            size = capacity * <object>sizeof(mm_fill)
            raise CapacityError(f"no memory for a history of {capacity} fills ({size} bytes)")
        self.capacity = capacity

    def __dealloc__(self):
        free(self.data)

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.data, self.capacity * sizeof(mm_fill), 1, flags)


@cython.final
cdef class _Ledger:
    """Owns the structs. Positions and the book share it, so neither has to keep the other alive."""

    cdef mm_book c
    cdef mm_ledger l            # around c
    cdef mm_contract *contracts
    cdef char *instrument_names
    cdef int16_t *currency
    cdef mm_position *saved
    cdef mm_i128 *saved_pools
    cdef object history_array   # where c.history points; earlier arrays live on in views of them
    cdef object watch           # told how positions change; None: nobody is
    cdef int32_t method
    cdef bint keeps_history
    cdef bint busy              # a batch is running without the GIL
    cdef PyThread_type_lock lock

    def __cinit__(self, int32_t n_currencies, int32_t method, bint history):
        memset(&self.c, 0, sizeof(mm_book))
        memset(&self.l, 0, sizeof(mm_ledger))
        self.l.book = &self.c
        self.c.n_currencies = n_currencies
        self.method = method
        self.lock = PyThread_allocate_lock()
        if not self.lock:
            raise MemoryError
        self.keeps_history = history
        if history:
            self.reserve_history(16)

    def __dealloc__(self):
        cdef int32_t i
        if self.c.lots:
            for i in range(self.c.n_instruments):
                free(self.c.lots[i])
        free(self.c.positions)
        free(self.saved)
        free(self.c.lots)
        free(self.c.lots_capacity)
        free(self.c.pools)
        free(self.saved_pools)
        free(self.currency)
        free(self.contracts)
        free(self.instrument_names)
        free(self.l.trial)
        free(self.l.trial_pools)
        free(self.l.amended)
        free(self.c.slots)
        if self.lock:
            PyThread_free_lock(self.lock)

    cdef int extend(self, int32_t extra) except -1:
        """Make room for `extra` more instruments, to be filled in. All memory comes first."""
        cdef int32_t old = self.c.n_instruments, n = old + extra, m = self.c.n_currencies
        cdef int32_t i, plane
        cdef size_t pools = <size_t>mm_ledger_pools(n, m)
        cdef mm_position *positions = <mm_position *>calloc(n, sizeof(mm_position))
        cdef mm_position *saved = <mm_position *>calloc(n, sizeof(mm_position))
        cdef mm_position *trial = <mm_position *>calloc(n, sizeof(mm_position))
        cdef mm_lot **lots = <mm_lot **>calloc(n, sizeof(mm_lot *))
        cdef int64_t *capacity = <int64_t *>calloc(n, sizeof(int64_t))
        cdef mm_i128 *kept = <mm_i128 *>calloc(pools, sizeof(mm_i128))
        cdef mm_i128 *saved_pools = <mm_i128 *>calloc(pools, sizeof(mm_i128))
        cdef mm_i128 *trial_pools = <mm_i128 *>calloc(pools, sizeof(mm_i128))
        cdef int16_t *currency = <int16_t *>calloc(n, sizeof(int16_t))
        cdef mm_contract *contracts = <mm_contract *>calloc(n, sizeof(mm_contract))
        cdef char *names = <char *>calloc(n, MM_NAME)
        cdef mm_book before = self.c
        if (not positions or not saved or not trial or not lots or not capacity or not kept
                or not saved_pools or not trial_pools or not currency or not contracts or not names):
            for memory in [<size_t>positions, <size_t>saved, <size_t>trial, <size_t>lots, <size_t>capacity,
                           <size_t>kept, <size_t>saved_pools, <size_t>trial_pools, <size_t>currency,
                           <size_t>contracts, <size_t>names]:
                free(<void *><size_t>memory)
            raise CapacityError(f"no memory for {n} instruments")
        self.c.pools = kept
        self.c.n_instruments = n
        if old:
            memcpy(positions, before.positions, <size_t>old * sizeof(mm_position))
            memcpy(lots, before.lots, <size_t>old * sizeof(mm_lot *))
            memcpy(capacity, before.lots_capacity, <size_t>old * sizeof(int64_t))
            memcpy(currency, self.currency, <size_t>old * sizeof(int16_t))
            memcpy(contracts, self.contracts, <size_t>old * sizeof(mm_contract))
            memcpy(names, self.instrument_names, <size_t>old * MM_NAME)
            for plane in range(MM_PLANES):
                memcpy(mm_ledger_pool(&self.c, plane, 0, 0), mm_ledger_pool(&before, plane, 0, 0),
                       <size_t>old * m * sizeof(mm_i128))
            memcpy(mm_ledger_carried(&self.c, 0), mm_ledger_carried(&before, 0),
                   <size_t>old * sizeof(mm_i128))
        free(before.positions)
        free(self.saved)
        free(self.l.trial)
        free(before.lots)
        free(before.lots_capacity)
        free(before.pools)
        free(self.saved_pools)
        free(self.l.trial_pools)
        free(self.currency)
        free(self.contracts)
        free(self.instrument_names)
        self.c.positions = positions
        self.saved = saved
        self.l.trial = trial
        self.c.lots = lots
        self.c.lots_capacity = capacity
        self.saved_pools = saved_pools
        self.l.trial_pools = trial_pools
        self.currency = currency
        self.c.currency = currency
        self.contracts = contracts
        self.l.contracts = contracts
        self.instrument_names = names
        self.c.names = names
        for i in range(old, n):
            mm_position_init(&self.c.positions[i], self.method, False)
        return 0

    cdef void declare(
        self, int32_t i, bytes name, int16_t currency, tuple contract, bint inverse, bint negative
    ):
        """Fill in what instrument i is: ``contract`` is of :func:`_contract`."""
        scale, per, num, den = contract
        self.contracts[i].scale = _i128(scale)
        self.contracts[i].per = per
        self.contracts[i].unit_num = num
        self.contracts[i].unit_den = den
        self.currency[i] = currency
        mm_position_init(&self.c.positions[i], self.method, negative)
        if inverse:
            self.c.positions[i].flags |= MM_INVERSE
        self.settle()
        if PyBytes_GET_SIZE(name) <= MM_NAME:  # by a longer one nothing is suspended
            memcpy(self.instrument_names + i * MM_NAME, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
            mm_book_named(&self.c, i)

    cdef inline void settle(self) noexcept:
        """Wait until no batch runs: every door passes here before it looks at the structs."""
        while self.busy:
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)
                PyThread_release_lock(self.lock)

    cdef int reserve_lots(self, int32_t i, int64_t extra) except -1:
        """Make room for the entries of `extra` fills in the queue of lots of instrument i."""
        cdef mm_position *p = &self.c.positions[i]
        cdef int64_t capacity = self.c.lots_capacity[i]
        cdef mm_lot *lots
        if p.flags & (MM_STACK | MM_NAMED):
            extra *= 2
        if p.method == MM_AVERAGE or p.lots_tail + extra <= capacity:
            return 0
        mm_position_compact(p, self.c.lots[i])
        if p.lots_tail + extra > capacity // 2:  # else half is free, and the fills pay for moving the rest
            capacity = max(2 * capacity, p.lots_tail + extra, 16)
            lots = <mm_lot *>realloc(self.c.lots[i], <size_t>capacity * sizeof(mm_lot))
            if lots == NULL:
                raise CapacityError(f"no memory for a queue of {capacity} lots")
            self.c.lots[i] = lots
            self.c.lots_capacity[i] = capacity
        return 0

    cdef int reserve_history(self, int64_t extra) except -1:
        """Make room for `extra` records, and for their ids at a load of at most one half."""
        cdef int64_t n = self.c.n_history, capacity, n_slots, known
        cdef int64_t *slots
        cdef _History records
        if n + extra > self.c.history_capacity:
            capacity = max(2 * self.c.history_capacity, n + extra)
            records = _History(capacity)
            array = np.frombuffer(records, FILL)
            # The allocation may have let another thread in, which books.
            if self.busy or n != self.c.n_history:
                self.settle()
                return self.reserve_history(extra)
            if n:
                memcpy(records.data, self.c.history, <size_t>n * sizeof(mm_fill))
            self.c.history = records.data
            self.c.history_capacity = capacity
            self.history_array = array
        if 2 * (n - self.c.ids_from + extra) > self.c.n_slots:
            known = self.c.history_capacity
            if self.c.ids_window and self.c.ids_window < (known - extra) // 2:
                known = 2 * self.c.ids_window + extra  # twice: the slots are filled anew once in a window
            n_slots = 64
            while n_slots < 2 * known:
                n_slots *= 2
            slots = <int64_t *>malloc(<size_t>n_slots * sizeof(int64_t))
            if slots == NULL:
                raise CapacityError(f"no memory for {n_slots} slots of fill ids")
            memset(slots, 0xFF, <size_t>n_slots * sizeof(int64_t))  # -1: empty
            free(self.c.slots)
            self.c.slots = slots
            self.c.n_slots = n_slots
            mm_ids_enter(&self.c)
        return 0

    cdef bint reserve_amended(self, int64_t extra) noexcept nogil:
        """Make room for `extra` more amendments."""
        cdef int64_t capacity = max(2 * self.l.amended_capacity, self.l.n_amended + extra, 16)
        cdef mm_amendment *amended
        if self.l.n_amended + extra <= self.l.amended_capacity:
            return True
        amended = <mm_amendment *>realloc(self.l.amended, <size_t>capacity * sizeof(mm_amendment))
        if amended == NULL:
            return False
        self.l.amended = amended
        self.l.amended_capacity = capacity
        return True

    cdef bint grow_lots(self, int32_t i) noexcept nogil:
        """Double the room of the queue of lots of instrument i, whose entries stay where they are."""
        cdef int64_t capacity = max(2 * self.c.lots_capacity[i], 16)
        cdef mm_lot *lots
        lots = <mm_lot *>realloc(self.c.lots[i], <size_t>capacity * sizeof(mm_lot))
        if lots == NULL:
            return False
        self.c.lots[i] = lots
        self.c.lots_capacity[i] = capacity
        return True

    cdef bint grow(self) noexcept nogil:
        """Make the room that MM_CAPACITY asked for: in a queue of lots, or for an amendment."""
        if self.l.full >= 0:
            return self.grow_lots(self.l.full)
        return self.l.n_amended == self.l.amended_capacity and self.reserve_amended(1)

    cdef int64_t run(self, const mm_fill *rows, int64_t n, bint stop, int8_t *status) noexcept nogil:
        """``mm_ledger_apply`` with memory: MM_CAPACITY when there is no more."""
        cdef int64_t done = mm_ledger_apply(&self.l, rows, n, stop, status)
        while done < n and status[done] == MM_CAPACITY and self.grow():
            done += mm_ledger_apply(&self.l, rows + done, n - done, stop, status + done)
        return done

    cdef _Ledger copy(self, int32_t first, int32_t n, bint lots=True):
        """Return the state of n instruments at one moment, without ids, in a ledger that nobody books to.

        Making Python objects can let another thread in, which books and moves the queues: what is read of a
        ledger piece by piece is read of a copy.
        """
        cdef _Ledger copy = _Ledger(self.c.n_currencies, self.method, False)
        cdef mm_position *p
        cdef mm_position flat
        cdef int32_t i, plane
        copy.extend(n)
        self.settle()
        # From here on nothing lets another thread in.
        memcpy(copy.c.positions, self.c.positions + first, <size_t>n * sizeof(mm_position))
        memcpy(copy.contracts, self.contracts + first, <size_t>n * sizeof(mm_contract))
        memcpy(copy.currency, self.currency + first, <size_t>n * sizeof(int16_t))
        for plane in range(MM_PLANES):
            memcpy(mm_ledger_pool(&copy.c, plane, 0, 0), mm_ledger_pool(&self.c, plane, first, 0),
                   <size_t>n * self.c.n_currencies * sizeof(mm_i128))
        memcpy(mm_ledger_carried(&copy.c, 0), mm_ledger_carried(&self.c, first), <size_t>n * sizeof(mm_i128))
        copy.c.ids_window = self.c.ids_window
        copy.l.suspends = self.l.suspends
        copy.c.n_history = self.c.n_history
        copy.c.history = self.c.history
        copy.history_array = self.history_array
        copy.keeps_history = self.keeps_history
        for i in range(n):
            p = &copy.c.positions[i]
            if not lots:
                p.lots_head = p.lots_tail = 0
                continue
            flat = p[0]
            mm_lots_flatten(&flat, self.c.lots[first + i], NULL)
            if flat.lots_tail > 0:
                copy.c.lots[i] = <mm_lot *>malloc(<size_t>flat.lots_tail * sizeof(mm_lot))
                if copy.c.lots[i] == NULL:
                    raise CapacityError(f"no memory for a copy of {flat.lots_tail} open lots")
            mm_lots_flatten(p, self.c.lots[first + i], copy.c.lots[i])
        return copy

    cdef int64_t known(self, const char *id, int32_t instrument, int64_t side, int kind=MM_NEW) noexcept:
        """The row of the fill, or of what is of another kind, with this id on a side; -1: unknown."""
        cdef mm_fill key
        if not self.keeps_history:
            return -1
        memset(&key, 0, sizeof(key))
        memcpy(key.id, id, 16)
        key.instrument = instrument
        key.kind = kind
        key.qty = side
        return mm_ids_known(&self.c, mm_ids_find(&self.c, &key))

    cdef object history(self):
        """Return the fills booked so far, read-only, over the ledger's memory."""
        self.settle()
        if not self.keeps_history:
            result = np.zeros(0, FILL)
        else:
            result = self.history_array[:self.c.n_history]
        result.flags.writeable = False
        return result

    cdef object amended_by(self, object rows):
        """Return for each row of the history the one that says what became of it, all at one moment."""
        result = np.array(rows, np.int64)
        cdef int64_t[::1] by = result
        cdef Py_ssize_t i
        self.settle()
        # From here on nothing lets another thread in, which would move the amendments.
        for i in range(by.shape[0]):
            by[i] = mm_ledger_in_force(&self.l, by[i])
        return result

    cdef object in_force(self):
        """Return the fills that count: see :attr:`Book.in_force`."""
        history = self.history()
        rows = np.flatnonzero(np.isin(history["kind"], (MM_NEW, MM_RELEASE)))
        by = self.amended_by(rows)
        history = self.history()  # an amendment may be newer than the first look
        result = history[by]
        result["id"], result["reference"] = history["id"][rows], history["reference"][rows]
        result["kind"] = result["target"] = 0
        return result[history["kind"][by] != MM_BUST]

    cdef int fill(self, mm_fill *f, object names=None) except? -100:
        """Book one record: the status. Memory comes first, so that a failure to get it changes nothing.

        ``names`` is a FILL array of the lots that it identifies, with room for the record behind them.
        """
        cdef const mm_fill *rows = f
        cdef int64_t n = 1
        cdef int32_t i
        cdef int8_t status = MM_OK
        cdef int8_t[::1] each
        cdef int8_t *out = &status
        if names is not None:
            n = len(names)
            rows = _fills_of(names)
            memcpy(<void *>&rows[n - 1], f, sizeof(mm_fill))
            each = np.zeros(n, np.int8)
            out = &each[0]
        self.settle()
        if self.keeps_history:
            self.reserve_history(n)
        before = None if self.watch is None else self.positions()
        if f.kind == MM_NEW and 0 <= f.instrument < self.c.n_instruments:
            self.reserve_lots(f.instrument, n)
        else:
            for i in range(self.c.n_instruments):
                mm_position_compact(&self.c.positions[i], self.c.lots[i])
        if n == 1 and f.kind == MM_NEW and 0 <= f.instrument < self.c.n_instruments:
            status = mm_ledger_record(&self.l, f)
        else:
            self.run(rows, n, True, out)
            status = out[n - 1]
        if before is not None and status >= 0:
            self.tell(before, f.time)
        return status

    cdef bytes positions(self):
        return PyBytes_FromStringAndSize(
            <const char *>self.c.positions, self.c.n_instruments * <Py_ssize_t>sizeof(mm_position)
        )

    cdef int tell(self, bytes before, int64_t time) except -1:
        """Tell who watches how the last records changed the positions, which were as in ``before``."""
        cdef bytes after = self.positions()
        cdef const mm_position *was = <const mm_position *>PyBytes_AS_STRING(before)
        cdef const mm_position *now = <const mm_position *>PyBytes_AS_STRING(after)
        cdef int64_t row = self.c.n_history - 1
        cdef Py_ssize_t i
        if self.keeps_history:
            time = self.c.history[row].time
        # What is read from here on is ours, so another thread may book.
        for i in range(PyBytes_GET_SIZE(before) // <Py_ssize_t>sizeof(mm_position)):
            if memcmp(&was[i], &now[i], sizeof(mm_position)) != 0:
                self.watch(i, (was[i].net, _int(was[i].cost)), (now[i].net, _int(now[i].cost)),
                           row if self.keeps_history else None, time)
        return 0

    cdef inline void begin(self) noexcept:
        """Let nobody else at the structs: what follows books without the GIL."""
        self.busy = True
        PyThread_acquire_lock(self.lock, WAIT_LOCK)  # free, or held for an instant by a thread that waits

    cdef inline void end(self) noexcept:
        self.busy = False
        PyThread_release_lock(self.lock)

    cdef object apply(self, object fills, int stop, tuple names):
        """Book records: a status for each. With `stop`, the first refused raises and none is booked."""
        cdef mm_book *c = &self.c
        cdef const mm_fill *rows
        cdef int64_t n = len(fills), i, done, before
        cdef int8_t[::1] status
        cdef int8_t *out
        cdef int64_t *counts
        result = np.zeros(n, np.int8)
        if n == 0:
            return result
        rows = _fills_of(fills)
        status = result
        out = &status[0]
        self.settle()
        # All memory first: after this nothing can fail half way. The queues come last, since a new array may
        # run a garbage collection, and with it another thread that books.
        if self.keeps_history:
            self.reserve_history(n)
        if c.positions[0].method != MM_AVERAGE:
            counts = <int64_t *>calloc(c.n_instruments, sizeof(int64_t))
            if counts == NULL:
                raise MemoryError
            try:
                if c.n_instruments == 1:
                    counts[0] = n
                else:
                    for i in range(n):
                        if 0 <= rows[i].instrument < c.n_instruments:
                            counts[rows[i].instrument] += 1
                for i in range(c.n_instruments):
                    self.reserve_lots(<int32_t>i, counts[i])
            finally:
                free(counts)
        before = c.n_history
        known = None if self.watch is None else self.positions()
        memcpy(self.saved, c.positions, <size_t>c.n_instruments * sizeof(mm_position))
        memcpy(self.saved_pools, c.pools,
               <size_t>mm_ledger_pools(c.n_instruments, c.n_currencies) * sizeof(mm_i128))
        self.begin()
        with nogil:
            done = self.run(rows, n, stop, out)
        refused = None
        try:
            if done < n:
                # Judged before the undo: a conflict may be with an earlier row of the same array.
                refused = _refusal(self, out[done], &rows[done], names, done)
        finally:
            if done < n:
                mm_ledger_undo(&self.l, before, self.saved, self.saved_pools)
            self.end()
        if refused is not None:
            raise refused
        if known is not None:
            self.tell(known, rows[n - 1].time)
        return result

    cdef int apply_columns(self, int32_t index, object qty, object price, object fee, tuple names) except -1:
        """Book columns of int64 of one length to a position without history, all or none."""
        cdef const int64_t[::1] q = qty, p = price, f = fee
        cdef mm_position *state
        cdef mm_position saved
        cdef mm_fill record
        cdef int64_t n = q.shape[0], booked
        cdef int status
        self.settle()
        state = &self.c.positions[index]  # not before: a new instrument moves it
        if state.flags & MM_SPECIAL or self.watch is not None:
            records = _table({"qty": qty, "price": price, "fee": fee})
            records["instrument"] = index
            self.apply(records, True, names)
            return 0
        self.reserve_lots(index, n)
        saved = state[0]
        self.begin()
        with nogil:
            status = mm_position_fills(state, self.c.lots[index], self.c.lots_capacity[index], n,
                                       &q[0], &p[0], &f[0], sizeof(int64_t), &booked)
            if status != MM_OK:
                state[0] = saved
        self.end()
        if status == MM_OK:
            return 0
        memset(&record, 0, sizeof(record))
        record.qty, record.price, record.fee = q[booked], p[booked], f[booked]
        record.instrument = index
        record.fee_currency = -1
        raise _refusal(self, status, &record, names, booked)


cdef dict _pools(_Ledger ledger, int plane, int32_t index, tuple currencies):
    """Read a ledger that nobody books to."""
    cdef mm_i128 *pool = mm_ledger_pool(&ledger.c, plane, index, 0)
    return {c.name: _int(pool[i]) for i, c in enumerate(currencies) if pool[i].lo or pool[i].hi}


cdef dict _other_fees(_Ledger ledger, int32_t index, tuple currencies):
    return _pools(ledger, 0, index, currencies)


cdef dict _payments(_Ledger ledger, int32_t index, tuple currencies):
    pools = {kind: _pools(ledger, 1 + plane, index, currencies) for plane, kind in enumerate(_PAYMENTS)}
    return {kind: pool for kind, pool in pools.items() if pool}


cdef object _unit_price(mm_contract *contract, int32_t flags, object qty, object cost):
    """The price in ticks at which `qty` lots cost `cost`: of an inverse contract the harmonic one."""
    if flags & MM_INVERSE:
        return Fraction(-qty * _int(contract.scale) * SCALE, contract.per * cost) if cost else None
    return Fraction(cost, SCALE * qty)


cdef tuple _lots(_Ledger ledger, int32_t index):
    """Read a ledger that nobody books to."""
    cdef mm_position *p = &ledger.c.positions[index]
    cdef mm_lot *lots = ledger.c.lots[index]
    cdef mm_contract *contract = &ledger.contracts[index]
    cdef mm_i128 cost
    cdef int64_t between = 1 if p.flags & (MM_STACK | MM_NAMED) else 0, i = between, used, entries
    result = []
    while i < p.lots_tail:
        used = mm_lot_used(p, lots, i)
        entries = mm_lot_cost(contract, p.flags, lots, i, &cost)
        price = lots[i].price if entries == 1 else _unit_price(contract, p.flags, lots[i].qty, _int(cost))
        result.append((lots[i].qty + (used if lots[i].qty < 0 else -used), price))
        i += entries + between
    return tuple(result)


cdef tuple _lot_rows(_Ledger ledger, int32_t index):
    """The rows of the history that opened the lots. Read a ledger that nobody books to."""
    cdef mm_position *p = &ledger.c.positions[index]
    cdef mm_lot *lots = ledger.c.lots[index]
    cdef mm_i128 cost
    cdef int64_t i = 1
    result = []
    while i < p.lots_tail:
        result.append(lots[i - 1].qty)
        i += mm_lot_cost(&ledger.contracts[index], p.flags, lots, i, &cost) + 1
    return tuple(result)


cdef dict _totals(_Ledger ledger, int32_t index, tuple currencies):
    """Read a ledger that nobody books to."""
    cdef mm_position *p = &ledger.c.positions[index]
    unmet = {"unmet": p.lots_used} if p.flags & MM_NAMED else {}
    return {
        "net": p.net, "cash": _int(p.cash), "cost": _int(p.cost), "fees": _int(p.fees),
        "other_fees": _other_fees(ledger, index, currencies),
        "payments": _payments(ledger, index, currencies),
        "carried": _int(mm_ledger_carried(&ledger.c, index)[0]),
        "mark": p.mark if p.flags & MM_HAS_MARK else None, "bought": p.bought, "sold": p.sold,
        "fills": p.fills, **unmet,
    }


cdef dict _state(_Ledger ledger, int32_t index, tuple currencies):
    """Read a ledger that nobody books to."""
    state = {**_totals(ledger, index, currencies), "lots": _lots(ledger, index)}
    if ledger.c.positions[index].flags & MM_NAMED:
        state["lot_rows"] = _lot_rows(ledger, index)
    return state


cdef object _lots_refusal(_Ledger ledger, int status, const mm_fill *f, str name, str at, object index):
    """Make the exception of a fill that is refused for a lot that it identifies."""
    cdef int64_t k = ledger.l.fault - 1, i, lot, total = 0
    cdef const mm_fill *rows = ledger.c.history + ledger.c.n_history
    cdef mm_position *p = &ledger.c.positions[f.instrument]
    cdef object value = _text(rows[k].reference)
    if rows[k].target:  # as it was found, or given
        value = f"row {rows[k].target - 1}"
        if 0 < rows[k].target <= ledger.c.n_history:
            value = _text(ledger.c.history[rows[k].target - 1].id) or value
    value = (value, <object>rows[k].qty)
    cls = InvalidArgument
    if rows[k].qty <= 0:
        allowed = "a number of lots > 0"
    elif mm_fill_has_id(&rows[k]):
        allowed = f"without an id of its own ({_text(rows[k].id)!r})"
    elif status == MM_UNKNOWN:
        cls, allowed = UnknownName, f"an open lot of {name} (Position.open_lots) and how much of it to close"
    elif status == MM_CONFLICT:
        cls, allowed = ConflictError, f"an OpenLot (Position.open_lots): two open lots of {name} have this id"
    elif p.net == 0 or (p.net < 0) == (f.qty < 0):
        allowed = f"none: {f.qty} lots of {name} open, at a position of {p.net}"
    else:
        for i in range(k):
            total += rows[i].qty
        lot = mm_named_find(p, ledger.c.lots[f.instrument], rows[k].target - 1)
        if any([rows[i].target == rows[k].target for i in range(k)]):
            allowed = "another lot: this one is identified twice"
        elif lot >= 0 and rows[k].qty > mm_named_left(ledger.c.lots[f.instrument], lot):
            left = mm_named_left(ledger.c.lots[f.instrument], lot)
            allowed = f"at most the {left} lots that are open of it"
        else:
            allowed = f"at most {abs(f.qty) - total} lots: what the fill of {f.qty} has left to close"
    return cls(f"{at}lots[{k}] must be {allowed}, got {value!r}", argument=f"lots[{k}]", value=value,
               allowed=allowed, index=index)


cdef str _unsettled(_Ledger ledger, const mm_fill *f, tuple names):
    """Why a bust, a correction or a release is in conflict with what is known."""
    cdef mm_fill record = f[0]
    cdef int64_t row, force, side, known
    cdef const mm_fill *now
    mm_ledger_repeat(&ledger.l, &record)
    row = record.target - 1
    if row < 0:
        for side in range(-1, 2, 2):
            if f.qty == 0 or (f.qty < 0) == (side < 0):
                row = max(row, ledger.known(f.reference, f.instrument, side))
    force = mm_ledger_in_force(&ledger.l, row)
    now = &ledger.c.history[force]
    if record.target == 0 and ledger.c.history[row].kind == MM_RELEASE and now.kind == MM_BUST:
        row = ledger.c.history[row].target - 1
        force = mm_ledger_in_force(&ledger.l, row)
    now = &ledger.c.history[force]
    if now.kind == MM_RELEASE and force != row:
        if f.kind != MM_RELEASE:
            return f"it is released: bust the release (row {force})"
        if now.instrument != f.instrument:
            return f"it is released to {names[now.instrument]} (row {force})"
        return f"it is released with other lots that it closes (row {force})"
    if now.kind == MM_BUST and f.kind != MM_BUST:
        what = "dismissed" if ledger.c.history[row].kind == MM_SUSPEND else "busted"
        return f"it is {what} (row {force})"
    if f.kind == MM_RELEASE:
        known = ledger.known(ledger.c.history[row].id, f.instrument, ledger.c.history[row].qty)
        if known >= 0 and known != row and ledger.c.history[known].target - 1 != row:
            where = "is suspended" if ledger.c.history[known].kind == MM_SUSPEND else "was booked"
            return f"a fill with its id {where} meanwhile (row {known})"
        return "its lots became others since: dismiss it, and book it in present lots with an id of its own"
    if f.kind == MM_CORRECT and now.kind == MM_SUSPEND:
        return f"it is still suspended: release it first (row {row})"
    if mm_fill_has_id(f):
        return f"the id {_text(f.id)!r} of the {_KIND_NAMES[f.kind]} is known with different content"
    return "a later conversion does not stand with that: bust it first"


cdef object _refusal(
    _Ledger ledger, int status, const mm_fill *f, tuple names, object index, bint door=False
):
    """Make the exception of a refused record; the ledger is as it was before the record.

    With ``door`` what the record is about was given as ``id`` or ``row``, not as fields of it.
    """
    cdef const mm_fill *known
    cdef int64_t slot
    at = "" if index is None else f"fills[{index}]: "
    target, reference = ("row", "id") if door else ("target", "reference")
    name = f"instrument {f.instrument}"
    if 0 <= f.instrument < len(names):
        name = names[f.instrument]
    elif f.kind in (MM_NEW, MM_SUSPEND) and f.reference[0]:
        name = _text(f.reference).decode(errors="replace")

    def say(cls, argument, value, allowed):
        return cls(f"{at}{argument} must be {allowed}, got {value!r}", argument=argument, value=value,
                   allowed=allowed, index=index)

    def unsupported(message, argument, value, allowed):
        return Unsupported(at + message, argument=argument, value=value, allowed=allowed, index=index)

    kind = _KIND_NAMES[f.kind] if 0 <= f.kind < MM_KINDS else None
    if ledger.l.fault and status != MM_UNSUPPORTED:
        return _lots_refusal(ledger, status, f, name, at, index)
    if status == MM_INVALID:
        if kind is None:
            return say(InvalidArgument, "kind", f.kind, f"0 to {MM_KINDS - 1}: " + ", ".join(_KIND_NAMES))
        if not 0 <= f.liquidity <= MM_TAKER:
            return say(InvalidArgument, "liquidity", f.liquidity, "0 (unknown), 1 (maker) or 2 (taker)")
        if f.kind == MM_CONVERT:
            if f.qty <= 0 or f.price <= 0:
                return say(InvalidArgument, "qty" if f.qty <= 0 else "price", min(f.qty, f.price),
                           "a number of lots > 0")
            return say(InvalidArgument, "target", f.target,
                       f"an instrument like {name}, in its currency, without lots of the other sign")
        if f.kind == MM_IDENTIFY:
            if f.qty <= 0:
                return say(InvalidArgument, "qty", f.qty, "a number of lots > 0")
            if mm_fill_has_id(f):
                return say(InvalidArgument, "id", _text(f.id),
                           "none: what identifies a lot has no id of its own")
            return say(InvalidArgument, "kind", kind,
                       f"followed, in one array, by the fill or release of {name} that closes the lot")
        if f.kind == MM_BUST:
            return say(InvalidArgument, "qty", f.qty,
                       f"the sign of the fill: both sides of {name} know the id {_text(f.reference)!r}")
        if f.kind == MM_CORRECT and (
            f.price > 0 or ledger.c.positions[f.instrument].flags & MM_NEGATIVE_PRICES
        ):
            return say(InvalidArgument, "qty", f.qty, "a number of lots on the side of the fill")
        if f.kind == MM_RELEASE:
            return say(InvalidArgument, target, f.target - door, f"a suspended fill at a price of {name}")
        if f.qty == 0:
            return say(InvalidArgument, "qty", 0, "a number of lots other than 0")
        return say(InvalidArgument, "price", f.price, f"> 0: {name} has {_NO_NEGATIVE}")
    if status == MM_UNKNOWN:
        named = f.kind in (MM_BUST, MM_SUSPEND) or (f.kind == MM_NEW and ledger.l.suspends)
        if f.instrument >= ledger.c.n_instruments or (f.instrument < 0 and not named):
            allowed = f"an index below {ledger.c.n_instruments}"
            if named:
                allowed += ", or -1 with the name of an unknown one as the reference"
            return say(UnknownName, "instrument", f.instrument, allowed)
        if not -1 <= f.fee_currency < ledger.c.n_currencies:
            allowed = f"-1 or an index below {ledger.c.n_currencies}"
            return say(UnknownName, "fee_currency", f.fee_currency, allowed)
        if f.kind == MM_CONVERT:
            return say(UnknownName, "target", f.target, f"an index below {ledger.c.n_instruments}")
        if f.target or f.kind == MM_RELEASE:
            what = "suspended fill" if f.kind == MM_RELEASE else f"fill of {name}"
            where = f"the row of a {what}" if door else f"the number of a {what}, from 1"
            return say(UnknownName, target, f.target - door, where)
        if f.qty and ledger.known(f.reference, f.instrument, -f.qty) >= 0:
            sides = ("bought", "sold") if f.qty < 0 else ("sold", "bought")
            argument, value = ("side", sides[1]) if door and f.kind == MM_BUST else ("qty", f.qty)
            return say(UnknownName, argument, value,
                       f"on the side of the fill: {sides[0]} with the id {_text(f.reference)!r} in {name}")
        return say(UnknownName, reference, _text(f.reference), f"the id of a fill of {name} that is known")
    if status == MM_UNSUPPORTED:
        if f.kind == MM_IDENTIFY or ledger.l.fault:
            return unsupported("lots can be identified only in a book with cost='specific'", "kind", kind,
                               "any other kind")
        if MM_BUST <= f.kind <= MM_RELEASE:
            message = f"a book with history='none' cannot {kind} fills: keep the history ('full')"
            return unsupported(message, "kind", kind, "'new'")
        return unsupported(
            "a book with history='none' cannot recognise ids: give none, or keep the history ('full')",
            "id", _text(f.id), "no id",
        )
    if status == MM_CAPACITY:
        return CapacityError(f"{at}no memory for the record", index=index)
    if status == MM_CONFLICT and f.kind in (MM_BUST, MM_CORRECT, MM_RELEASE):
        about = f.target - door if f.target else _text(f.reference)
        return ConflictError(
            f"{at}{kind} of {target if f.target else reference} {about!r} of {name}: "
            + _unsettled(ledger, f, names),
            argument=target if f.target else reference, value=about, allowed="a fill that is in force",
            index=index,
        )
    if status == MM_CONFLICT:
        slot = mm_ids_find(&ledger.c, f)
        known = &ledger.c.history[ledger.c.slots[slot]]
        if 0 <= f.instrument < ledger.c.n_instruments and mm_fill_same_content(
            known, f, ledger.c.currency[f.instrument]
        ):
            return ConflictError(
                f"{at}id {_text(f.id)!r} of {name} is known with other lots that it closes",
                argument="lots", value=_text(f.id), allowed="a new id, the same lots, or none", index=index,
            )
        slot = mm_ledger_in_force(&ledger.l, ledger.c.slots[slot])
        if ledger.c.history[slot].kind == MM_CORRECT:
            known = &ledger.c.history[slot]
        alike = [-1, ledger.c.currency[f.instrument] if 0 <= f.instrument < ledger.c.n_instruments else -1]
        fields = [("order_id", known.order_id, f.order_id), ("liquidity", known.liquidity, f.liquidity)]
        if known.fee_currency not in alike or f.fee_currency not in alike:
            fields.append(("fee_currency", known.fee_currency, f.fee_currency))
        if known.instrument >= 0 and known.kind != MM_RELEASE:  # else a name had the reference's place
            fields.append(("reference", _text(known.reference), _text(f.reference)))
        others = "".join([
            f", {field} {there!r}, not {here!r}" for field, there, here in fields if there != here
        ])
        return ConflictError(
            f"{at}id {_text(f.id)!r} of {name} is known with different content: "
            f"{'suspended' if known.kind == MM_SUSPEND else 'booked'} {known.qty} lots at {known.price}, "
            f"fee {known.fee}, time {known.time}; "
            f"given {f.qty} lots at {f.price}, fee {f.fee}, time {f.time}{others}",
            argument="id", value=_text(f.id), allowed="a new id, or the same content", index=index,
        )
    what = f"{kind} in {name}"
    if f.kind == MM_NEW:
        what = f"{f.qty} lots of {name} at {f.price} ticks, fee {f.fee}"
    return OutOfBounds(
        f"{at}{what}: the totals would leave their bounds "
        "(|net|, bought, sold < 2**63; |cash|, |mark*net|, |cost| < 2**96 tick·lot)",
        argument="qty", value=(f.qty, f.price), allowed="a fill within the bounds", index=index,
    )


# ---- what people hold ----

@cython.final
cdef class Position:
    """One instrument of a book: its fills, its cost, its profit. Got from ``book["name"]``.

    Thread-safety: methods may be called from any thread that holds the GIL; each is atomic, and waits while a
    batch of the same book runs. A sequence of calls is not: guard it with a lock of yours.

    Examples
    --------
    >>> import mmcore as mm
    >>> position = mm.Book([mm.Instrument("X", tick="0.01", lot="10")])["X"]
    >>> position.fill(3, 1001)
    <Status.OK: 0>
    >>> position.net, position.cash, position.average_cost
    (3, -3003, Fraction(1001, 1))
    >>> position
    <Position X: +3 lots at 10.01, realised 0.00, fees 0.00 USD>
    """

    cdef _Ledger ledger
    cdef mm_position *state
    cdef int32_t index
    cdef tuple names, currencies
    cdef readonly object instrument
    """The instrument."""

    def __cinit__(self, _Ledger ledger=None, int32_t index=0, instrument=None, tuple names=(),
                  tuple currencies=()):
        if ledger is None:
            raise TypeError('positions are made by a Book: take book["name"]')
        if not 0 <= index < ledger.c.n_instruments:
            raise IndexError(index)
        self.ledger = ledger
        self.index = index
        self.place()
        self.instrument = instrument
        self.names = names
        self.currencies = currencies

    cdef void place(self):
        """Find the struct, which moves when the ledger gets more instruments."""
        self.state = &self.ledger.c.positions[self.index]

    cdef Position frozen(self):
        """Return the position as it is at this moment, which no fill will change."""
        return Position(self.ledger.copy(self.index, 1), 0, self.instrument, self.names, self.currencies)

    def fill(self, qty, price, fee=0, time=0, id=None):
        """Book a fill: the fast door.

        Parameters
        ----------
        qty : int
            Lots, signed: bought > 0.
        price : int
            Ticks.
        fee : int
            Units of the instrument's currency; paid > 0, a rebate < 0.
        time : int
            Of the event, ns since the epoch, UTC.
        id : str, bytes or int, optional
            The venue's id, at most 16 bytes, unique per instrument and side; an int stands for its decimals.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` when a fill with this id and content is already booked: no effect.

        Raises
        ------
        InvalidArgument
            ``qty`` 0, a price <= 0 where the instrument has none such, or anything that is not an integer.
        OutOfBounds
            A total would leave its bounds.
        ConflictError
            A known id with different content.
        Unsupported
            An id, when the book keeps no history to recognise it by.
        """
        cdef int64_t q = _i64(qty, "qty", "lots"), p = _i64(price, "price", "ticks")
        cdef int64_t f = _i64(fee, "fee", "currency units"), t = _i64(time, "time", "ns")
        cdef mm_fill record
        cdef int status = MM_OK
        cdef _Ledger ledger = self.ledger
        cdef bint recorded = id is not None or ledger.keeps_history or ledger.watch is not None
        if not recorded:
            ledger.settle()
            recorded = self.state.flags & MM_SPECIAL
        if not recorded:
            if self.state.method == MM_FIFO:
                ledger.reserve_lots(self.index, 1)
            status = mm_position_fill(
                self.state, ledger.c.lots[self.index], ledger.c.lots_capacity[self.index], q, p, f
            )
            if status == MM_OK:
                return _OK
        memset(&record, 0, sizeof(record))
        record.time = t
        record.qty = q
        record.price = p
        record.fee = f
        record.instrument = self.index
        record.fee_currency = -1
        if recorded:
            if id is not None:
                _set_text(record.id, id, "id")
            status = ledger.fill(&record)
            if status == MM_OK:
                return _OK
            if status == MM_DUPLICATE:
                return _DUPLICATE
        raise _refusal(ledger, status, &record, self.names, None)

    def fill_batch(self, qty, price, fee=0):
        """Book fills in order, all or none: to the bit as one by one, and many times as fast.

        Parameters
        ----------
        qty, price, fee : array of int
            As in :meth:`fill`; a single number stands for all.

        Raises
        ------
        InvalidArgument, OutOfBounds
            As in :meth:`fill`, of the first refused one, ``index`` in the error; the position is as it was.

        Examples
        --------
        >>> import mmcore as mm
        >>> position = mm.Book([mm.Instrument("X", tick="0.01")], history="none")["X"]
        >>> position.fill_batch([2, 1, -1], [1000, 1002, 1005], fee=1)
        >>> position.net, position.realised, position.fees
        (2, 4333333333, 3)
        """
        arrays = {"qty": _column("qty", qty), "price": _column("price", price), "fee": _column("fee", fee)}
        if self.ledger.keeps_history:
            records = _table(arrays)
            records["instrument"] = self.index
            self.ledger.apply(records, True, self.names)
            return
        shape = _length(arrays)
        if shape[0] > 0:
            qty, price, fee = (
                np.require(np.broadcast_to(a, shape), np.int64, ["C", "A"]) for a in arrays.values()
            )
            self.ledger.apply_columns(self.index, qty, price, fee, self.names)

    def set_mark(self, ticks):
        """Value the position at ``ticks`` from now on; what :meth:`Book.mark` calls.

        Raises
        ------
        InvalidArgument
            Not an integer, or <= 0 where the instrument has no such prices.
        OutOfBounds
            The value would reach 2⁹⁶ units of :attr:`cash`.
        """
        cdef int64_t mark = _i64(ticks, "mark", "ticks")
        self.ledger.settle()
        cdef int status = mm_contract_mark(self.state, &self.ledger.contracts[self.index], mark)
        if status == MM_INVALID:
            raise InvalidArgument(
                argument="mark", value=ticks,
                allowed=f"> 0: {self.instrument.name} has {_NO_NEGATIVE}"
            )
        if status != MM_OK:
            raise OutOfBounds(
                f"mark={ticks} values {self.state.net} lots at 2**96 units of cash or more",
                argument="mark", value=ticks, allowed="a value below 2**96 units of cash",
            )

    @property
    def net(self):
        """Position in lots, long > 0."""
        self.ledger.settle()
        return self.state.net

    @property
    def cash(self):
        """Received minus paid, without fees, in tick·lot; inverse contracts in 10⁻⁹ currency units."""
        self.ledger.settle()
        return _int(self.state.cash)

    @property
    def cost(self):
        """Cost of what is open, in 10⁻⁹ tick·lot, signed like the position.

        Of an inverse contract in 10⁻⁹ of :attr:`cash`, signed against the position: a long owes coin.
        """
        self.ledger.settle()
        return _int(self.state.cost)

    @property
    def realised(self):
        """Profit of what was closed, without fees, in 10⁻⁹ of :attr:`cash`."""
        self.ledger.settle()
        cdef mm_i128 own = mm_position_realised(self.state)
        cdef mm_i128 carried = mm_ledger_carried(&self.ledger.c, self.index)[0]
        return _int(own) + _int(carried)

    @property
    def unrealised(self):
        """Profit of what is open at the mark, in 10⁻⁹ of :attr:`cash`; None for an open one without mark."""
        cdef mm_i128 value
        self.ledger.settle()
        if mm_contract_unrealised(self.state, &self.ledger.contracts[self.index], &value) != MM_OK:
            return None
        return _int(value)

    @property
    def fees(self):
        """Fees paid in the instrument's currency, in its units; a balance of rebates is negative."""
        self.ledger.settle()
        return _int(self.state.fees)

    @property
    def other_fees(self):
        """Fees paid in other currencies: a dict from name to units, never added across currencies."""
        return _other_fees(self.ledger.copy(self.index, 1, False), 0, self.currencies)

    @property
    def payments(self):
        """What was paid otherwise than for lots, as ``{kind: {currency: units}}``; received < 0.

        The kinds are ``"funding"``, ``"borrow"``, ``"dividend"`` and ``"in_lieu"``; a pool of 0 is left out.
        """
        return _payments(self.ledger.copy(self.index, 1, False), 0, self.currencies)

    @property
    def carried(self):
        """Cost that conversions took away less what they brought, in 10⁻⁹ of :attr:`cash`.

        It is part of :attr:`realised`, so that lots that move to another instrument change no profit.
        """
        self.ledger.settle()
        return _int(mm_ledger_carried(&self.ledger.c, self.index)[0])

    @property
    def mark(self):
        """Ticks at which the position is valued; None before the first :meth:`Book.mark`."""
        self.ledger.settle()
        return self.state.mark if self.state.flags & MM_HAS_MARK else None

    @property
    def bought(self):
        """Lots that came in so far: bought, or by a conversion."""
        self.ledger.settle()
        return self.state.bought

    @property
    def sold(self):
        """Lots that went out so far: sold, or by a conversion."""
        self.ledger.settle()
        return self.state.sold

    @property
    def fills(self):
        """Number of fills in force."""
        self.ledger.settle()
        return self.state.fills

    @property
    def average_cost(self):
        """Cost of one open lot in ticks, a Fraction; None when flat.

        Of an inverse contract the entry price: the harmonic mean, weighted by lots, of what is open.
        """
        self.ledger.settle()
        if self.state.net == 0:
            return None
        return _unit_price(&self.ledger.contracts[self.index], self.state.flags, <object>self.state.net,
                           _int(self.state.cost))

    @property
    def lots(self):
        """Open lots, oldest first: (signed lots, ticks) each; empty under average cost.

        After a conversion the price may be a Fraction.
        """
        return _lots(self.ledger.copy(self.index, 1), 0)

    @property
    def open_lots(self):
        """Open lots and what opened them, oldest first: an :class:`OpenLot` each (``cost="specific"``).

        After a conversion a lot has the name of the oldest one in it.

        Raises
        ------
        Unsupported
            Under another cost: lots have no names there.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")], cost="specific")
        >>> book.fill("X", 2, 1000, id="a1"), book.fill("X", 3, 1010, id="a2")
        (<Status.OK: 0>, <Status.OK: 0>)
        >>> book["X"].open_lots[1]
        OpenLot(qty=3, price=1010, row=1, id=b'a2')
        """
        if self.ledger.method != MM_SPECIFIC:
            raise Unsupported("lots have names only in a book with cost='specific'", argument="cost",
                              allowed="'specific'")
        now = self.ledger.copy(self.index, 1)
        history = now.history()
        return tuple([
            OpenLot(qty, price, row, history["id"][row].item() or None)
            for (qty, price), row in zip(_lots(now, 0), _lot_rows(now, 0))
        ])

    @property
    def unmet(self):
        """Lots that fills identify and, since a bust or a correction, do not close: the oldest instead.

        What each bust and correction added is in :meth:`Book.adjustments`; 0 under another cost.
        """
        self.ledger.settle()
        return self.state.lots_used if self.state.flags & MM_NAMED else 0

    def money(self, what):
        """Return an amount in the instrument's currency, as an exact Decimal.

        Parameters
        ----------
        what : {"realised", "unrealised", "cash", "cost", "fees"}
            The property of this name.

        Returns
        -------
        Decimal or None
            None where the property is None.
        """
        if not isinstance(what, str) or what not in ("realised", "unrealised", "cash", "cost", "fees"):
            raise InvalidArgument(
                argument="what", value=what, allowed="'realised', 'unrealised', 'cash', 'cost' or 'fees'"
            )
        if what == "fees":
            return self.instrument.currency.amount(self.fees)
        if what == "cash":
            return self.instrument.worth(self.cash)
        amount = getattr(self, what)
        return None if amount is None else self.instrument.worth(Fraction(amount, SCALE))

    def pnl(self):
        """Return realised, unrealised, fees, payments and net profit in the instrument's currency, exactly.

        Returns
        -------
        dict of str to Decimal
            ``net`` = realised + unrealised − fees − payments; it and ``unrealised`` are None while an open
            position has no mark. Fees and payments in other currencies are in :attr:`other_fees` and
            :attr:`payments`, and not part of it.
        """
        cdef Position now = self.frozen()
        instrument = self.instrument
        own = instrument.currency.name
        payments = sum(pool.get(own, 0) for pool in now.payments.values())
        result = {"realised": now.money("realised"), "unrealised": now.money("unrealised"),
                  "fees": now.money("fees"), "payments": instrument.currency.amount(payments), "net": None}
        if result["unrealised"] is not None:
            paid = (now.fees + payments) * Fraction(instrument.currency.unit) / Fraction(instrument.cash_unit)
            result["net"] = instrument.worth(Fraction(now.realised + now.unrealised, SCALE) - paid)
        return result

    def state_dict(self):
        """Return all of the state as integers; ``mark`` may be None, ``lots`` is a tuple of pairs.

        With ``cost="specific"`` also ``lot_rows``, the rows that opened the lots, and ``unmet``.
        """
        return _state(self.ledger.copy(self.index, 1), 0, self.currencies)

    def __repr__(self):
        cdef Position now = self.frozen()
        row = _row(now)
        at = f" at {row['average cost']}" if now.net else ""
        unrealised = f", unrealised {row['unrealised']}" if now.net and now.mark is not None else ""
        others = f", in others {row[_ELSEWHERE]}" if row[_ELSEWHERE] else ""
        return (
            f"<Position {self.instrument.name}: {now.net:+d} lots{at}, "
            f"realised {row['realised']}{unrealised}, fees {row['fees']} {row['currency']}{others}>"
        )

    def _repr_html_(self):
        return _html(_rows([self.frozen()]), f"Position, {self.fills} fill{'' if self.fills == 1 else 's'}")

    def plot(self, ax=None):
        """Draw the fills of the book's history at their prices, the average cost and the mark.

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
        from mmcore.plots import plot_position

        return plot_position(self, ax)

    @property
    def _totals(self):
        """The state without the lots, which take as long as there are many."""
        return _totals(self.ledger.copy(self.index, 1, False), 0, self.currencies)

    @property
    def _history(self):
        """The fills of this instrument that count."""
        fills = self.ledger.in_force()
        return fills[fills["instrument"] == self.index]


def _rows(positions):
    """Rows of a table; payments and other currencies only where there are any."""
    rows = [_row(position) for position in positions]
    present = {"payments": any(position.payments for position in positions),
               _ELSEWHERE: any(row[_ELSEWHERE] for row in rows)}
    return [{k: v for k, v in row.items() if present.get(k, True)} for row in rows]


def _elsewhere(Position position):
    """What was paid, as fees or otherwise, in other currencies than the instrument's own: a text."""
    own = position.instrument.currency.name
    units = {currency.name: currency for currency in position.currencies}
    paid = {}
    for pool in [position.other_fees, *position.payments.values()]:
        for name, amount in pool.items():
            if name != own:
                paid[name] = paid.get(name, 0) + amount
    return ", ".join([f"{units[name].text(units[name].amount(n))} {name}" for name, n in paid.items()])


def _row(Position position):
    instrument = position.instrument
    average = position.average_cost
    if average is not None:
        # A thousandth of a tick is enough to read; position.average_cost is exact.
        average = instrument.price(1) * round(average * 1000) / 1000
    mark = None if position.mark is None else instrument.price(position.mark)
    amounts = {"average cost": average, "mark": mark, **position.pnl()}
    text = instrument.currency.text
    return {
        "instrument": instrument.name,
        "position": f"{position.net:+d}" if position.net else "0",
        **{name: "–" if amount is None else text(amount) for name, amount in amounts.items()},
        "currency": instrument.currency.name,
        _ELSEWHERE: _elsewhere(position),
    }


@cython.final
cdef class Snapshot:
    """All of a book's state at one moment: immutable, comparable, indexed by instrument.

    Thread-safety: immutable.

    Examples
    --------
    >>> import mmcore as mm
    >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
    >>> before = book.snapshot()
    >>> book["X"].fill(1, 1000)
    <Status.OK: 0>
    >>> book.snapshot() == before, book.snapshot()["X"]["net"]
    (False, 1)
    """

    cdef readonly str cost
    """``"average"``, ``"fifo"``, ``"lifo"`` or ``"specific"``."""
    cdef readonly object history
    """The fills booked so far: a read-only FILL array."""
    cdef dict states

    def __cinit__(self, str cost, dict states, history):
        self.cost = cost
        self.states = states
        self.history = history

    def __getitem__(self, name):
        return dict(_named(self.states, name, "instrument"))

    def __iter__(self):
        return iter(self.states)

    def __len__(self):
        return len(self.states)

    def __eq__(self, other):
        if not isinstance(other, Snapshot):
            return NotImplemented
        a, b = <Snapshot>self, <Snapshot>other
        return (
            a.cost == b.cost and a.states == b.states and len(a.history) == len(b.history)
            and a.history.tobytes() == b.history.tobytes()
        )

    def __hash__(self):
        totals = tuple((name, s["net"], s["cash"]) for name, s in self.states.items())
        return hash((self.cost, totals, self.history.tobytes()))

    def to_dict(self):
        """Return ``{"cost": …, "positions": {name: state}}``, a state as of :meth:`Position.state_dict`."""
        return {"cost": self.cost, "positions": {name: dict(state) for name, state in self.states.items()}}

    def __repr__(self):
        nets = ", ".join(f"{name} {state['net']:+d}" for name, state in self.states.items())
        return f"<Snapshot {self.cost}, {sum(s['fills'] for s in self.states.values())} fills: {nets}>"


@cython.final
cdef class Book:
    """Our positions in a set of instruments, kept exactly.

    Parameters
    ----------
    instruments : iterable of Instrument
        With distinct names, linear or inverse.
    cost : {"average", "fifo", "lifo", "specific"}
        What a close takes out of the cost pool: the average, the cost of the oldest or the newest lots, or
        that of the lots which the fill names (:meth:`fill`), and of the oldest for what it does not.
    history : {"full", "none"}
        ``"full"`` keeps every record, so that a fill that comes twice is recognised by its id, and can be
        busted and corrected; ``"none"`` keeps totals only, and refuses ids and all that needs a history.
    currencies : iterable of Currency
        In which fees may be paid. Those of the instruments are known anyway, and stand behind these in
        :attr:`currencies`.
    unknown : {"refuse", "suspend"}
        What to do with fills of instruments that the book does not have: refuse them, or keep them in
        :attr:`suspense`.
    ids_window : int, optional
        An id is known as long as its record is among the last ``ids_window``; always when omitted.

    Raises
    ------
    InvalidArgument
        No instruments, a name twice, or an unknown option.
    OutOfBounds
        An instrument whose tick, lot and multiplier are too far from its currency's unit.

    Notes
    -----
    Thread-safety: methods may be called from any thread that holds the GIL, and each is atomic. :meth:`apply`
    releases the GIL while it books; other calls to the same book and its positions wait for it. The array
    given to :meth:`apply` must not be written meanwhile.

    Examples
    --------
    >>> import mmcore as mm
    >>> book = mm.Book([mm.Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=mm.Currency("USDT"))])
    >>> book.fill("BTCUSDT", 250, 617001, fee=12340, id="a1", liquidity="maker")
    <Status.OK: 0>
    >>> book.fill("BTCUSDT", 250, 617001, fee=12340, id="a1", liquidity="maker")
    <Status.DUPLICATE: 1>
    >>> book.mark("BTCUSDT", 617101)
    >>> book
    Book, average cost, 1 fill
    instrument  position  average cost      mark  realised  unrealised       fees        net  currency
    BTCUSDT         +250      61700.10  61710.10      0.00        2.50  0.0001234  2.4998766  USDT
    """

    cdef _Ledger ledger
    cdef tuple names
    cdef dict by_name
    cdef dict order
    cdef readonly tuple instruments
    """The instruments, in the order of their indices."""
    cdef readonly tuple currencies
    """The currencies, in the order of their indices."""
    cdef readonly str cost
    """``"average"``, ``"fifo"``, ``"lifo"`` or ``"specific"``."""
    cdef readonly object ids_window
    """How many records back an id is known; None: always."""

    def __cinit__(
        self, instruments, cost="average", history="full", currencies=(), unknown="refuse", ids_window=None
    ):
        method = _code(_METHODS, cost, "cost", "'average', 'fifo', 'lifo' or 'specific'")
        if not isinstance(history, str) or history not in ("full", "none"):
            raise InvalidArgument(argument="history", value=history, allowed="'full' or 'none'")
        if not isinstance(unknown, str) or unknown not in ("refuse", "suspend"):
            raise InvalidArgument(argument="unknown", value=unknown, allowed="'refuse' or 'suspend'")
        window = 0 if ids_window is None else _i64(ids_window, "ids_window", "records")
        if ids_window is not None and window < 1:
            raise InvalidArgument(argument="ids_window", value=ids_window, allowed="None or a number > 0")
        if history == "none" and (window or unknown == "suspend" or cost == "specific"):
            name, value = ("ids_window", ids_window) if window else ("unknown", unknown)
            if cost == "specific":
                name, value = "cost", cost
            raise Unsupported(
                f"{name}={value!r} needs a history: a book with history='none' keeps no records",
                argument=name, value=value, allowed="history='full'",
            )
        allowed = "a list of at least one Instrument"
        self.instruments = _items(instruments, "instruments", allowed)
        if not self.instruments:
            raise InvalidArgument(argument="instruments", value=[], allowed=allowed)
        for instrument in self.instruments:
            # By what is used, not by class: the compiled modules know nothing of the Python layer.
            if not hasattr(instrument, "negative_prices"):
                raise InvalidArgument(argument="instruments", value=instrument, allowed=allowed)
        self.names = tuple(i.name for i in self.instruments)
        if len(set(self.names)) != len(self.names):
            twice = next(n for n in self.names if self.names.count(n) > 1)
            raise InvalidArgument(argument="instruments", value=twice, allowed="distinct names")
        allowed = "a list of Currency"
        known = {}
        for currency in [*_items(currencies, "currencies", allowed), *[i.currency for i in self.instruments]]:
            if not hasattr(currency, "unit"):
                raise InvalidArgument(argument="currencies", value=currency, allowed=allowed)
            if known.setdefault(currency.name, currency) != currency:
                raise InvalidArgument(
                    argument="currencies", value=currency.name, allowed="one unit for each currency"
                )
        self.currencies = tuple(known.values())
        if len(self.currencies) > 32767:  # the record's int16
            raise InvalidArgument(argument="currencies", value=len(self.currencies), allowed="at most 32767")
        self.order = {name: i for i, name in enumerate(known)}
        self.cost = cost
        contracts = [_contract(i) for i in self.instruments]
        self.ledger = _Ledger(len(known), method, history == "full")
        self.ledger.l.suspends = unknown == "suspend"
        self.ledger.c.ids_window = window
        self.ids_window = window or None
        self.ledger.extend(<int32_t>len(self.names))
        self.by_name = {}
        for i, instrument in enumerate(self.instruments):
            self.declare(<int32_t>i, instrument, contracts[i])

    cdef void declare(self, int32_t i, object instrument, tuple contract):
        self.ledger.declare(i, instrument.name.encode(errors="surrogatepass"),
                            self.order[instrument.currency.name], contract, instrument.kind == "inverse",
                            bool(instrument.negative_prices))
        self.by_name[instrument.name] = Position(self.ledger, i, instrument, self.names, self.currencies)

    cdef Position position(self, object name, str argument="instrument"):
        return _named(self.by_name, name, argument)

    def __getitem__(self, name):
        return self.position(name)

    def __contains__(self, name):
        return name in self.by_name

    def __iter__(self):
        return iter(self.names)

    def __len__(self):
        return len(self.names)

    cdef int16_t currency_index(self, object currency, str argument="fee_currency") except -2:
        if currency is None:
            return -1
        name = getattr(currency, "name", currency)
        if isinstance(name, str) and name in self.order:
            i = self.order[name]
            known = self.currencies[i]
            # Fees are integers of the unit: those of another unit would be booked by a power of ten off.
            if name is not currency and known != currency:
                raise InvalidArgument(argument=argument, value=currency, allowed=f"{known!r} here")
            return i
        listed = ", ".join(c.name for c in self.currencies)
        raise UnknownName(argument=argument, value=currency, allowed=f"None or one of {listed}")

    def fill(
        self, instrument, qty, price, fee=0, *, time=0, receive_time=0, id=None, reference=None, order_id=0,
        liquidity=None, fee_currency=None, kind="new", target=0, lots=(),
    ):
        """Book a fill, or a record of another kind, with all its fields.

        Parameters
        ----------
        instrument : str
            Name in the book.
        qty, price, fee, time, id
            As in :meth:`Position.fill`; the fee in units of ``fee_currency``.
        receive_time : int
            When it reached us, ns. Not part of the content that tells a duplicate from a conflict.
        reference : str, bytes or int, optional
            Anything of at most 16 bytes.
        order_id : int
            Our order.
        liquidity : {None, "maker", "taker"}
            What we were.
        fee_currency : str or Currency, optional
            The instrument's own by default.
        kind : {"new", "bust", "correct", "suspend", "release", "funding", …}
            What the record is: see :data:`FILL`. The methods named like the kinds write them.
        target : int
            What some kinds are about.
        lots : iterable of (lot, qty)
            Under ``cost="specific"`` which open lots a fill closes, and how much of each, > 0: a lot is the
            id of the fill that opened it, or an :class:`OpenLot`. The oldest make up for the rest of what the
            fill closes [1]_.

        Returns
        -------
        Status
            ``OK``, ``DUPLICATE``, or ``SUSPENDED`` for a fill that is kept in :attr:`suspense`. A repetition
            without ``lots`` is a duplicate, one with other lots a conflict.

        Raises
        ------
        UnknownName
            An instrument, currency or record that the book does not have; a lot that is not open.
        Unsupported
            An id, or a kind that needs one, without history; lots under another cost.
        InvalidArgument, OutOfBounds, ConflictError
            As in :meth:`Position.fill`; also lots of a fill that opens, a lot twice, more of one than is
            open, more than the fill closes; an id that two open lots have.

        References
        ----------
        .. [1] 26 CFR 1.1012-1(c)(1): lots that are not adequately identified are the earliest ones.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")], cost="specific")
        >>> for id, price in [("a1", 1000), ("a2", 1010), ("a3", 1020)]:
        ...     status = book.fill("X", 2, price, id=id)
        >>> book.fill("X", -4, 1030, id="b1", lots=[("a3", 2), ("a2", 1)])   # and 1 of the oldest
        <Status.OK: 0>
        >>> [(lot.id, lot.qty) for lot in book["X"].open_lots], book["X"].money("realised")
        ([(b'a1', 1), (b'a2', 1)], Decimal('0.70'))
        """
        cdef mm_fill record
        memset(&record, 0, sizeof(record))
        record.kind = _code(_KINDS, kind, "kind", "one of " + ", ".join(map(repr, _KINDS)))
        _set_text(record.reference, reference, "reference")
        if (record.kind == MM_SUSPEND or (record.kind == MM_NEW and self.ledger.l.suspends)) and (
            isinstance(instrument, str) and instrument not in self.by_name
        ):
            # A name that nothing is known of: kept with the fill.
            if reference is not None:
                raise InvalidArgument(
                    argument="reference", value=reference,
                    allowed=f"None: that of a suspended fill is its instrument's name, {instrument!r}",
                )
            record.instrument = -1
            _set_text(record.reference, instrument, "instrument")
        else:
            record.instrument = self.position(instrument).index
        record.qty = _i64(qty, "qty", "lots")
        record.price = _i64(price, "price", "ticks")
        record.fee = _i64(fee, "fee", "currency units")
        record.time = _i64(time, "time", "ns")
        record.receive_time = _i64(receive_time, "receive_time", "ns")
        record.order_id = _i64(order_id, "order_id", "an order")
        _set_text(record.id, id, "id")
        record.target = _i64(target, "target", "a record")
        record.liquidity = _code(_LIQUIDITY, liquidity, "liquidity", "'maker', 'taker' or None")
        record.fee_currency = self.currency_index(fee_currency)
        return self.book(&record, self.identified(&record, lots))

    cdef object identified(self, const mm_fill *record, object lots):
        """Make the records of the lots that a fill closes; None where it names none."""
        allowed = "pairs of an open lot, by its id or as an OpenLot, and a number of lots > 0"
        lots = _items(lots, "lots", allowed)
        if not lots:
            return None
        if self.ledger.method != MM_SPECIFIC:
            raise Unsupported(f"lots can be named only in a book with cost='specific', not {self.cost!r}",
                              argument="lots", value=lots, allowed="() with this cost")
        if record.kind not in (MM_NEW, MM_RELEASE) or record.instrument < 0:
            raise InvalidArgument(argument="lots", value=lots,
                                  allowed="() but for a fill or a release, which closes them")
        cdef char raw[16]
        result = np.zeros(len(lots) + 1, FILL)  # and the fill
        result["kind"], result["instrument"], result["fee_currency"] = MM_IDENTIFY, record.instrument, -1
        result["time"], result["receive_time"] = record.time, record.receive_time
        for k, pair in enumerate(lots):
            at = f"lots[{k}]"
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise InvalidArgument(argument=at, value=pair, allowed=f"one of {allowed}")
            lot, qty = pair
            if isinstance(lot, OpenLot):
                row = _i64(lot.row, at, "a row of the history")
                if not 0 <= row < self.ledger.c.n_history or (
                    lot.id is not None and lot.id != _text(self.ledger.c.history[row].id)
                ):
                    raise UnknownName(argument=at, value=lot, allowed="an open lot of this book")
                result["target"][k] = row + 1
            elif lot is None:
                raise InvalidArgument(argument=at, value=pair, allowed=f"one of {allowed}")
            else:
                _set_text(raw, lot, at)
                result["reference"][k] = _text(raw)
            number = _i64(qty, at, "lots")
            if number <= 0:
                raise InvalidArgument(argument=at, value=pair, allowed=f"one of {allowed}")
            result["qty"][k] = number
        return result

    cdef object book(self, mm_fill *record, object names=None, bint door=False):
        cdef int status = self.ledger.fill(record, names)
        if status < 0:
            raise _refusal(self.ledger, status, record, self.names, None, door)
        return _ACCEPTED[status]

    cdef object about(self, int kind, Position position, object id, object row, dict fields):
        """Book a record about an earlier one: by the id of the fill, or by its row in the history; without a
        position about a suspended fill, which may belong to none.
        """
        cdef mm_fill record
        if id is not None and row is not None:
            raise InvalidArgument(argument="row", value=row, allowed="left out where the id is given")
        if id is None and row is None:
            raise InvalidArgument(argument="id", value=id, allowed="given, or else the row of the history")
        memset(&record, 0, sizeof(record))
        record.kind = kind
        record.fee_currency = -1
        if row is not None:
            record.target = _i64(row, "row", "a row of the history") + 1
            self.ledger.settle()
            if self.ledger.keeps_history and not 0 < record.target <= self.ledger.c.n_history:
                raise UnknownName(argument="row", value=row, allowed=_row_of(self.ledger.c.n_history))
        if position is not None:
            record.instrument = position.index
        elif self.ledger.keeps_history:
            record.instrument = self.ledger.c.history[record.target - 1].instrument
        else:  # any is refused
            record.instrument = -1
        _set_text(record.reference, id, "id")
        record.qty = _i64(fields.get("qty", 0), "qty", "lots")
        record.price = _i64(fields.get("price", 0), "price", "ticks")
        record.fee = _i64(fields.get("fee", 0), "fee", "currency units")
        record.time = _i64(fields.get("time", 0), "time", "ns")
        record.receive_time = _i64(fields.get("receive_time", 0), "receive_time", "ns")
        record.order_id = _i64(fields.get("order_id", 0), "order_id", "an order")
        record.liquidity = _code(
            _LIQUIDITY, fields.get("liquidity"), "liquidity", "'maker', 'taker' or None"
        )
        record.fee_currency = self.currency_index(fields.get("fee_currency"))
        _set_text(record.id, fields.get("own_id"), "own_id")
        return self.book(&record, self.identified(&record, fields.get("lots", ())), True)

    def bust(self, instrument, id=None, *, row=None, side=None, time=0, receive_time=0, own_id=None):
        """Take back a fill: from now on all is as if it had never been.

        Parameters
        ----------
        instrument : str
            Name in the book.
        id : str, bytes or int
            The fill's; or
        row : int
            its row in :attr:`history`: for a fill without id, a payment, a conversion.
        side : {None, "bought", "sold"}
            Of the fill: needed when both sides know the id.
        time, receive_time : int
            Of the bust, ns.
        own_id : str, bytes or int, optional
            The id of the bust itself.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` when the fill is busted already. ``UNMET``: the bust stands, but there
            are fills that close named lots (``cost="specific"``) which are gone with it; they close the
            oldest instead. :attr:`Position.unmet` counts these lots.

        Raises
        ------
        UnknownName
            No fill of this id, or it is out of the window of ids.
        ConflictError
            The fill was suspended and released (bust the release), or a later conversion does not stand
            without it (bust that first).
        OutOfBounds
            Without the fill a total would have left its bounds.
        Unsupported
            A book without history.

        Notes
        -----
        The state becomes that of a replay of the history without the fill: FIFO lots are dealt anew, and the
        cost is what it would be. It takes as long as booking the history. What the profit changes by is in
        :meth:`adjustments`.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book.fill("X", 2, 1000, id="a1"), book.fill("X", -1, 1010, id="a2")
        (<Status.OK: 0>, <Status.OK: 0>)
        >>> book.bust("X", "a1"), book.bust("X", "a1")
        (<Status.OK: 0>, <Status.DUPLICATE: 1>)
        >>> book["X"].net, book["X"].average_cost
        (-1, Fraction(1010, 1))
        """
        qty = _code(_SIDES, side, "side", "'bought', 'sold' or None")
        fields = {"qty": qty, "time": time, "receive_time": receive_time, "own_id": own_id}
        return self.about(MM_BUST, self.position(instrument), id, row, fields)

    def correct(
        self, instrument, id=None, *, qty, price, fee=0, row=None, time=0, receive_time=0, order_id=0,
        liquidity=None, fee_currency=None, own_id=None,
    ):
        """Give a fill another content: from now on all is as if it had come so.

        Parameters
        ----------
        instrument, id, row, receive_time, own_id
            As in :meth:`bust`.
        qty, price, fee, time, order_id, liquidity, fee_currency
            All of what the fill should have been, as in :meth:`fill`; the side stays, and so do the lots
            that it closes, as far as it still can.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` for the correction that is in force; ``UNMET`` as in :meth:`bust`.

        Raises
        ------
        ConflictError
            The fill is busted.
        UnknownName, OutOfBounds, Unsupported, InvalidArgument
            As in :meth:`bust` and :meth:`fill`.
        """
        fields = {
            "qty": qty, "price": price, "fee": fee, "time": time, "receive_time": receive_time,
            "order_id": order_id, "liquidity": liquidity, "fee_currency": fee_currency, "own_id": own_id,
        }
        return self.about(MM_CORRECT, self.position(instrument), id, row, fields)

    # ---- suspense ----

    def suspend(self, instrument, qty, price, fee=0, **fields):
        """Keep a fill without booking it: one that came late, or for an order that nobody knows.

        Parameters
        ----------
        instrument : str
            A name, of the book or not: one that it does not have has at most 16 bytes.
        qty, price, fee, **fields
            As in :meth:`fill`.

        Returns
        -------
        Status
            ``SUSPENDED``, or ``DUPLICATE``. The fill is a record of the history; no position knows it.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book.suspend("X.OLD", 2, 1000, id="a1")
        <Status.SUSPENDED: 2>
        >>> book.suspense, book.release(0, "X"), book.suspense, book["X"].net
        ((0,), <Status.OK: 0>, (), 2)
        """
        return self.fill(instrument, qty, price, fee, **fields, kind="suspend")

    @property
    def suspense(self):
        """Rows of the history that hold suspended fills, neither released nor dismissed: a tuple of int."""
        rows = np.flatnonzero(self.ledger.history()["kind"] == MM_SUSPEND)
        return tuple(rows[self.ledger.amended_by(rows) == rows].tolist())

    def release(self, row, instrument, *, receive_time=0, lots=()):
        """Book the suspended fill of a row to an instrument: a fill like any other, from here on.

        Parameters
        ----------
        row : int
            Of the suspended fill, in :attr:`history`.
        instrument : str
            Name in the book.
        receive_time : int
            Of the release, ns.
        lots : iterable of (lot, qty)
            Which open lots the fill closes, as in :meth:`fill`.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` when it is released to this instrument already.

        Raises
        ------
        UnknownName
            No suspended fill, or an instrument that the book does not have.
        ConflictError
            It was dismissed, or released to another instrument, or its id was booked meanwhile; or its lots
            became others since: the instrument was split, or the fill's own converted into it.
        """
        fields = {"receive_time": receive_time, "lots": lots}
        return self.about(MM_RELEASE, self.position(instrument), None, row, fields)

    def dismiss(self, row, *, time=0, receive_time=0):
        """Settle the suspended fill of a row as none of ours: the record of a bust.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` when it is dismissed already.

        Raises
        ------
        UnknownName
            No suspended fill.
        ConflictError
            It was released: bust that.
        """
        history = self.ledger.history()
        at = _i64(row, "row", "a row of the history")
        if self.ledger.keeps_history and not (
            0 <= at < len(history) and history["kind"][at] == MM_SUSPEND
        ):
            raise UnknownName(argument="row", value=row, allowed="the row of a suspended fill")
        return self.about(MM_BUST, None, None, row, {"time": time, "receive_time": receive_time})

    # ---- payments and conversions ----

    def payment(
        self, instrument, kind, amount, currency=None, *, time=0, receive_time=0, id=None, reference=None
    ):
        """Book a payment that is no trade into the instrument's pool of its kind and currency.

        Parameters
        ----------
        instrument : str
            Whose position it is for.
        kind : {"funding", "borrow", "dividend", "in_lieu"}
            Funding of a perpetual, cost of borrowed stock, a cash dividend, cash for the fraction of a lot.
        amount : int
            Units of the currency: paid > 0, received < 0, as with fees.
        currency : str or Currency, optional
            The instrument's own by default.

        Returns
        -------
        Status

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01", currency=mm.Currency("USD", unit="0.01"))])
        >>> book.payment("X", "dividend", -250, id="2024Q1")
        <Status.OK: 0>
        >>> book["X"].payments, book["X"].pnl()["net"]
        ({'dividend': {'USD': -250}}, Decimal('2.50'))
        """
        if not isinstance(kind, str) or kind not in _PAYMENTS:
            raise InvalidArgument(
                argument="kind", value=kind, allowed="one of " + ", ".join(map(repr, _PAYMENTS))
            )
        _i64(amount, "amount", "currency units")
        self.currency_index(currency, "currency")
        return self.fill(
            instrument, 0, 0, amount, time=time, receive_time=receive_time, id=id, reference=reference,
            fee_currency=currency, kind=kind,
        )

    def convert(
        self, instrument, to, new=1, old=1, *, time=0, receive_time=0, id=None, reference=None
    ):
        """Turn the open lots of an instrument into lots of another: a new symbol, tick or lot.

        Parameters
        ----------
        instrument, to : str
            Names in the book (:meth:`add` adds one) of one currency, kind and sign of prices.
        new, old : int
            ``new`` lots for each ``old`` ones.

        Returns
        -------
        Status

        Raises
        ------
        InvalidArgument
            Numbers below 1, an instrument unlike the other, or ``to`` is open on the other side.
        OutOfBounds
            Lots or cost would leave their bounds.

        Notes
        -----
        Nothing is traded and nothing earned: the cost of the open lots goes along, to the last digit. Records
        before keep the old instrument and its scale. Lots that are no whole number are rounded towards 0;
        their cost stays with the rest, and what is paid for them is a payment ``"in_lieu"``.
        """
        lots, per = _ratio("new", new), _ratio("old", old)
        try:
            return self.fill(
                instrument, lots, per, time=time, receive_time=receive_time, id=id, reference=reference,
                kind="convert", target=self.position(to, "to").index,
            )
        except InvalidArgument as error:
            if error.argument != "target":
                raise
            raise InvalidArgument(argument="to", value=to, allowed=error.allowed) from None

    def split(
        self, instrument, new, old=1, *, in_lieu=None, time=0, receive_time=0, id=None, reference=None
    ):
        """Book a split: ``new`` lots for each ``old`` ones of the same instrument, at the same cost.

        Parameters
        ----------
        in_lieu : int, optional
            Units of the currency received for the fraction of a lot that is left over: a record of its own.

        Returns
        -------
        Status

        Raises
        ------
        InvalidArgument
            ``in_lieu`` where no fraction is left, or as in :meth:`convert`.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01", currency=mm.Currency("USD", unit="0.01"))])
        >>> book["X"].fill(5, 1000)
        <Status.OK: 0>
        >>> book.split("X", 3, 2, in_lieu=334)            # 7 and a half
        <Status.OK: 0>
        >>> book["X"].net, book["X"].average_cost, book["X"].payments
        (7, Fraction(5000, 7), {'in_lieu': {'USD': -334}})
        """
        cdef Position position = self.position(instrument)
        cdef char own[16]
        cdef char own_reference[16]
        if in_lieu is None:
            return self.convert(
                instrument, instrument, new, old, time=time, receive_time=receive_time, id=id,
                reference=reference,
            )
        lots, per = [_ratio(argument, given) for argument, given in [("new", new), ("old", old)]]
        _set_text(own, id, "id")
        _set_text(own_reference, reference, "reference")
        again = id is not None and self.ledger.known(own, position.index, 1, MM_CONVERT) >= 0
        if position.net * lots % per == 0 and not again:
            raise InvalidArgument(argument="in_lieu", value=in_lieu, allowed="None: no fraction is left")
        rows = self.records(
            instrument=position.index, kind=[MM_CONVERT, MM_IN_LIEU], qty=[lots, 0], price=[per, 0],
            target=[position.index, 0], fee=[0, -_i64(in_lieu, "in_lieu", "currency units")],
            time=_i64(time, "time", "ns"), receive_time=_i64(receive_time, "receive_time", "ns"), id=[id, id],
            reference=[reference, reference],
        )
        return Status(int(self.apply(rows).min()))

    def roll(
        self, instrument, to, *, close, open, qty=None, fee=0, fee_currency=None, liquidity=None, time=0,
        receive_time=0, id=None, lots=(),
    ):
        """Trade out of one contract and into another: two fills, both or none.

        Parameters
        ----------
        instrument, to : str
            The contract that is left, and another one that is entered.
        close, open : int
            The two prices, ticks of either.
        qty : int, optional
            Lots that move, signed like the position and no more than it; all of it when omitted.
        fee : int or pair of int
            Of either fill.
        fee_currency, liquidity
            Of both fills, as in :meth:`fill`.
        id : str, bytes or int, optional
            Of both fills.
        lots : iterable of (lot, qty)
            Which open lots are left, as in :meth:`fill`.

        Returns
        -------
        Status
            ``OK``, or ``DUPLICATE`` for a roll that is booked with this id: without ``qty`` it is the one
            that was booked, whatever is open now.

        Raises
        ------
        InvalidArgument
            Nothing is open, ``qty`` is of the other sign or more than is open, ``to`` is ``instrument``; or
            as in :meth:`fill`.
        UnknownName, OutOfBounds, ConflictError, Unsupported
            As in :meth:`fill`.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("Z4", tick="0.25"), mm.Instrument("H5", tick="0.25")])
        >>> book["Z4"].fill(5, 1000)
        <Status.OK: 0>
        >>> book.roll("Z4", "H5", close=1010, open=1013, id="r"), book["Z4"].net, book["H5"].net
        (<Status.OK: 0>, 0, 5)
        >>> book.roll("Z4", "H5", close=1010, open=1013, id="r")
        <Status.DUPLICATE: 1>
        """
        cdef Position old = self.position(instrument), new = self.position(to, "to")
        cdef mm_fill record
        cdef int64_t row, booked = 0, side
        if old is new:
            raise InvalidArgument(argument="to", value=to, allowed="another instrument than the one left")
        prices = [_i64(close, "close", "ticks"), _i64(open, "open", "ticks")]
        try:
            fees = two_sides(fee) or (fee, fee)
        except TypeError:
            raise InvalidArgument(argument="fee", value=fee, allowed="an int or a pair of ints") from None
        fees = [_i64(one, "fee", "currency units, or a pair of them") for one in fees]
        for position, argument, price in zip((old, new), ("close", "open"), prices, strict=True):
            if price <= 0 and not position.instrument.negative_prices:
                raise InvalidArgument(argument=argument, value=price,
                                      allowed=f"> 0: {position.instrument.name} has {_NO_NEGATIVE}")
        memset(&record, 0, sizeof(record))
        _set_text(record.id, id, "id")
        net = old.net
        if id is not None:
            for side in range(-1, 2, 2):
                row = self.ledger.known(record.id, old.index, side)
                if row >= 0 and self.ledger.known(record.id, new.index, -side) >= 0:
                    booked = -self.ledger.c.history[row].qty
        moved = (booked or net) if qty is None else _i64(qty, "qty", "lots")
        if not booked:
            if not net:
                raise InvalidArgument(argument="instrument", value=instrument, allowed="one with open lots")
            if not 0 < (moved if net > 0 else -moved) <= abs(net):
                sign = "+" if net > 0 else "-"
                raise InvalidArgument(argument="qty", value=qty,
                                      allowed=f"None, or {sign}1 to {net:+d}: what is open of {instrument}")
            side = 1 if moved < 0 else -1
            if id is not None and max(
                self.ledger.known(record.id, old.index, side), self.ledger.known(record.id, new.index, -side)
            ) >= 0:
                raise ConflictError(f"id {_text(record.id)!r} is another fill's: a roll has both or none",
                                    argument="id", value=id, allowed="a new id")
        record.instrument = old.index
        record.time, record.receive_time = _i64(time, "time", "ns"), _i64(receive_time, "receive_time", "ns")
        liquidity = _code(_LIQUIDITY, liquidity, "liquidity", "'maker', 'taker' or None")
        rows = self.records(
            instrument=[old.index, new.index], qty=[-moved, moved], price=prices, fee=fees,
            fee_currency=self.currency_index(fee_currency), liquidity=liquidity, time=time,
            receive_time=receive_time, id=[id, id],
        )
        closes = self.identified(&record, lots)
        if closes is not None:
            rows = np.concatenate([closes[:-1], rows])
        return Status(int(self.apply(rows)[-2:].min()))

    def add(self, instrument):
        """Add an instrument, at the end: a new listing, or a new version of one (:meth:`convert`).

        Fills that were suspended under its name stay in :attr:`suspense`, to be released; what the venue
        repeats of them is known under the instrument from here on.

        Parameters
        ----------
        instrument : Instrument
            With a new name, in a currency of the book.

        Raises
        ------
        InvalidArgument
            Not an Instrument, or a name that the book has.
        UnknownName
            A currency that the book does not have.
        OutOfBounds
            As for :class:`Book`.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book["X"].fill(5, 1000)
        <Status.OK: 0>
        >>> book.add(mm.Instrument("X.2", tick="0.005"))
        >>> book.convert("X", "X.2")
        <Status.OK: 0>
        >>> book["X.2"].net, book["X.2"].average_cost, book["X"].net
        (5, Fraction(2000, 1), 0)
        """
        cdef Position position
        if not hasattr(instrument, "negative_prices"):
            raise InvalidArgument(argument="instrument", value=instrument, allowed="an Instrument")
        name, currency = instrument.name, instrument.currency
        if name in self.by_name:
            raise InvalidArgument(argument="instrument", value=name, allowed="a new name")
        if currency not in self.currencies:
            listed = ", ".join(map(repr, self.currencies))
            raise UnknownName(argument="currency", value=currency, allowed=f"one of {listed}")
        contract = _contract(instrument)
        self.ledger.settle()
        if name in self.by_name:  # another thread was faster
            raise InvalidArgument(argument="instrument", value=name, allowed="a new name")
        self.ledger.extend(1)
        for position in self.by_name.values():  # at once: making objects can let another thread in
            position.place()
        self.names += (name,)
        self.instruments += (instrument,)
        self.declare(<int32_t>(len(self.names) - 1), instrument, contract)
        for position in self.by_name.values():
            position.names = self.names

    # ---- what happened ----

    @property
    def keeps_history(self):
        """Whether the book keeps every record (``history="full"``)."""
        return self.ledger.keeps_history

    @property
    def in_force(self):
        """The fills that count, in order: an array of FILL like a history without busts and corrections.

        A corrected fill has its last content under its own id, and a released one stands where it was
        released. A new book to which they are booked has these positions, but for payments and conversions,
        and for the lots that fills name, whose records are in :attr:`history`. Where an ``ids_window`` let an
        id come twice it refuses the second: book the history to it instead.

        Raises
        ------
        Unsupported
            A book with ``history="none"``: it keeps no fills.
        """
        if not self.ledger.keeps_history:
            raise Unsupported("in_force of a book with history='none': it keeps no fills", argument="history",
                              value="none", allowed="'full'")
        return self.ledger.in_force()

    def entries(self):
        """Return the history as double entries: see :func:`mmcore.ledger.entries`."""
        from mmcore.ledger import entries

        return entries(self)

    def adjustments(self):
        """Return what busts, corrections and releases changed: see :func:`mmcore.ledger.adjustments`."""
        from mmcore.ledger import adjustments

        return adjustments(self)

    # ---- limits ----

    def watch(self, limits, notice):
        """Be told at once when a record leaves a limit exceeded, and by more than before it.

        The fill is booked all the same: it happened. What would lead there is refused before it is sent, by
        the :class:`Limits` of a quoter.

        Parameters
        ----------
        limits : mapping
            By instrument ``{"position": lots, "notional": money}``, or one of the two: the most of |net|, and
            of what the open lots cost, in the instrument's currency (text, int or Decimal). They take the
            place of those before; an empty mapping ends the watch.
        notice : callable
            Called with each :class:`mmcore.ledger.Breach`, after the record is booked and before the call
            that booked it returns; and from here for what is exceeded already. An array that :meth:`apply`
            books is one step. What it raises reaches the caller, and takes nothing back.

        Raises
        ------
        InvalidArgument
            Anything else.
        UnknownName
            An instrument that the book does not have.

        Notes
        -----
        Limits are the owner's, like the instruments: a saved book does not hold them, and the one that is
        restored is given them again. :meth:`breaches` lists all that ever were, from the history.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book.watch({"X": {"position": 10, "notional": "500"}}, lambda breach: print(breach.value, "lots"))
        >>> book.fill("X", 8, 1000), book.breached
        (<Status.OK: 0>, ())
        >>> book.fill("X", 4, 1000), book.breached
        12 lots
        (<Status.OK: 0>, ('X',))
        """
        from mmcore.ledger import _limits, _Watch

        if not callable(notice):
            raise InvalidArgument(argument="notice", value=notice, allowed="something to call")
        watch = _Watch(self, _limits(self, limits), notice)
        self.ledger.watch = watch if watch.limits else None
        self.told(watch)

    cdef object told(self, object watch):
        """Return what ``watch`` makes of the state as it is."""
        cdef Position position
        cdef _Ledger now = self.ledger.copy(0, len(self.names), False)
        cdef int64_t last = now.c.n_history - 1
        cdef mm_position *p
        row, time = (last, now.c.history[last].time) if last >= 0 else (None, 0)
        result = []
        for name in watch.limits:
            position = self.by_name[name]
            p = &now.c.positions[position.index]
            result += watch(position.index, (0, 0), (p.net, _int(p.cost)), row, time)
        return result

    @property
    def limits(self):
        """The limits of :meth:`watch`: ``{instrument: {"position": int, "notional": Decimal}}``."""
        return {} if self.ledger.watch is None else {k: dict(v) for k, v in self.ledger.watch.limits.items()}

    @property
    def breached(self):
        """Names of the instruments that exceed one of :attr:`limits` now: a tuple."""
        from mmcore.ledger import _Watch

        exceeded = self.told(_Watch(self, self.limits, None))
        return tuple(dict.fromkeys([breach.instrument for breach in exceeded]))

    def breaches(self, limits=None):
        """Return the records that exceeded limits: see :func:`mmcore.ledger.breaches`."""
        from mmcore.ledger import breaches

        return breaches(self, limits)

    def reconcile(self, statement):
        """Compare with somebody else's statement: see :func:`mmcore.ledger.reconcile`."""
        from mmcore.ledger import reconcile

        return reconcile(self, statement)

    def records(self, *, qty, price, instrument=0, **columns):
        """Make a FILL array for :meth:`apply` from columns of integers; scalars are repeated.

        Parameters
        ----------
        qty, price : array of int
            Signed lots and ticks.
        instrument : str, int or array of int
            Name or index.
        **columns
            Any other field of :data:`FILL`; ``fee_currency`` is the instrument's own by default.

        Raises
        ------
        InvalidArgument
            A column that does not hold integers (the first NaN is named by its index), or of another length.
        UnknownName
            An instrument or column that does not exist.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book.apply(book.records(qty=[2, 1, -3], price=[1000, 1002, 1005], fee=1)).tolist()
        [0, 0, 0]
        """
        if isinstance(instrument, str):
            instrument = self.position(instrument).index
        columns = {"qty": qty, "price": price, "instrument": instrument, **columns}
        arrays = {}
        for name, values in columns.items():
            if name not in FILL.names:
                raise UnknownName(argument="column", value=name, allowed="one of " + ", ".join(FILL.names))
            arrays[name] = _texts(name, values) if FILL[name].kind == "S" else _column(name, values)
        return _table(arrays)

    def apply(self, fills, on_error="none"):
        """Book an array of fills, or records of any kind, in order.

        Parameters
        ----------
        fills : array of FILL
            Any byte order and stride; read-only is fine.
        on_error : {"none", "skip"}
            With ``"none"`` a refused row refuses the whole array: nothing is booked, the error names the row.
            With ``"skip"`` the other rows are booked and the refused ones have their status. Records that
            identify lots have that of the fill directly behind them, without which they are refused.

        Returns
        -------
        array of int8
            A :class:`Status` for each row.

        Raises
        ------
        InvalidArgument, OutOfBounds, ConflictError, Unsupported, UnknownName
            Of the first refused row, ``index`` in the error, when ``on_error="none"``; the book is as it was.

        Notes
        -----
        Every bust and correction replays the history up to it: k of them in one array take as long as k
        calls.
        """
        if not isinstance(on_error, str) or on_error not in ("none", "skip"):
            raise InvalidArgument(argument="on_error", value=on_error, allowed="'none' or 'skip'")
        return self.ledger.apply(_records(fills), on_error == "none", self.names)

    def mark(self, instrument, ticks):
        """Value the position in ``instrument`` at ``ticks`` from now on.

        Raises
        ------
        UnknownName
            An instrument that the book does not have.
        InvalidArgument
            Not an integer, or <= 0 where the instrument has no such prices.
        OutOfBounds
            The value would reach 2⁹⁶ units of :attr:`Position.cash`.
        """
        self.position(instrument).set_mark(ticks)

    @property
    def history(self):
        """The fills booked so far, in order: a read-only FILL array over the book's memory.

        It shows what was booked when it was taken; later fills do not change it.
        """
        return self.ledger.history()

    def snapshot(self):
        """Return the state as an immutable :class:`Snapshot`."""
        cdef _Ledger now = self.ledger.copy(0, len(self.names))
        states = {name: _state(now, i, self.currencies) for i, name in enumerate(self.names)}
        return Snapshot(self.cost, states, now.history())

    cdef uint64_t names_checksum(self):
        """Tell these instruments and currencies, and their order, from others."""
        texts = [
            f"{i.name}\0{i.currency.name}\0{bool(i.negative_prices)}\0{i.kind}\0{_contract(i)}"
            for i in self.instruments
        ]
        cdef bytes text = "\0".join([*texts, *[c.name for c in self.currencies]]).encode()
        return mm_checksum(MM_CHECKSUM_START, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))

    def to_bytes(self):
        """The whole state but instruments and currencies as bytes, with magic, version, size and checksum.

        Examples
        --------
        >>> import mmcore as mm
        >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
        >>> book.fill("X", 2, 1000, id="a1")
        <Status.OK: 0>
        >>> again = mm.Book.from_bytes(book.to_bytes(), book.instruments)
        >>> again.fill("X", 2, 1000, id="a1"), again.snapshot() == book.snapshot()
        (<Status.DUPLICATE: 1>, True)
        """
        cdef uint64_t names = self.names_checksum()
        cdef _Ledger now = self.ledger.copy(0, len(self.names))
        cdef Py_ssize_t nbytes = mm_book_header(&now.l, names).bytes
        cdef bytes block = PyBytes_FromStringAndSize(NULL, nbytes)
        mm_book_save(&now.l, names, <mm_book_block *>PyBytes_AS_STRING(block))
        return block

    @classmethod
    def from_bytes(cls, block, instruments, currencies=()):
        """Return the book that :meth:`to_bytes` wrote: it goes on exactly from there.

        A history is booked anew, and must lead to the positions that were saved.

        Parameters
        ----------
        block : bytes-like
            The whole block; it is copied.
        instruments, currencies : iterable of Instrument, iterable of Currency
            Those of the book that was saved, in its order.

        Raises
        ------
        CorruptError
            When magic, version, size, checksum or content is wrong: a cut, changed or newer block.
        InvalidArgument
            Other instruments or currencies than those saved.
        """
        cdef Py_buffer view
        cdef mm_book_block *copy
        cdef mm_book_parts parts
        cdef Book book
        cdef size_t nbytes
        cdef int64_t k, amendments
        cdef int32_t i
        cdef int status
        PyObject_GetBuffer(bytes_like(block), &view, PyBUF_SIMPLE)
        nbytes = <size_t>view.len
        copy = <mm_book_block *>malloc(max(nbytes, sizeof(mm_book_block)))
        if copy != NULL:
            memcpy(copy, view.buf, nbytes)
        PyBuffer_Release(&view)
        if copy == NULL:
            raise CapacityError(f"no memory for {nbytes} bytes")
        try:
            if nbytes < sizeof(mm_book_block):
                least = sizeof(mm_book_block)
                raise CorruptError(f"a saved book has at least {least} bytes, got {nbytes}: cut")
            if copy.magic != MM_BOOK_MAGIC:
                raise CorruptError("this is no saved book: the first four bytes are not 'MMCB'")
            if copy.version != MM_BOOK_VERSION:
                raise CorruptError(f"a book of version {copy.version}; this build reads {MM_BOOK_VERSION}")
            if mm_book_block_check(copy, nbytes) != MM_OK:
                raise CorruptError("the saved book is cut or changed: size, checksum or content is wrong")
            book = Book(instruments, list(_METHODS)[copy.method],
                        "full" if copy.keeps_history else "none", currencies,
                        "suspend" if copy.suspends else "refuse", copy.ids_window or None)
            if copy.names != book.names_checksum():
                raise InvalidArgument(
                    argument="instruments", value=[*book.names, *[c.name for c in book.currencies]],
                    allowed="those of the book that was saved, in its order, with its currencies",
                )
            if copy.keeps_history:
                book.ledger.reserve_history(copy.n_history)
            parts = mm_book_block_parts(copy)
            amendments = 0
            for k in range(copy.n_history):
                amendments += MM_BUST <= parts.history[k].kind <= MM_RELEASE
            if not book.ledger.reserve_amended(amendments):
                raise CapacityError(f"no memory for {amendments} amendments")
            for i in range(copy.n_instruments):
                book.ledger.reserve_lots(
                    i, parts.positions[i].fills if copy.keeps_history else parts.positions[i].lots_tail
                )
            with nogil:
                status = mm_book_load(copy, &book.ledger.l)
                while status == MM_CAPACITY and book.ledger.grow_lots(book.ledger.l.full):
                    status = mm_book_load(copy, &book.ledger.l)
            if status == MM_CAPACITY:
                raise CapacityError("no memory for the saved book's open lots")
            if status != MM_OK:
                raise CorruptError("the saved book contradicts itself: its fills give other positions")
            return book
        finally:
            free(copy)

    def __reduce__(self):
        return Book.from_bytes, (self.to_bytes(), self.instruments, self.currencies)

    def table(self):
        """Return what ``repr`` shows: a list with a dict of texts for each instrument.

        The average cost is rounded to a thousandth of a tick; everything else is exact. Fees and payments in
        other currencies than an instrument's, which are no part of its ``net``, are a column of their own,
        ``"paid in others"``, where there are any.
        """
        cdef _Ledger now = self.ledger.copy(0, len(self.names))
        return _rows([
            Position(now, i, instrument, self.names, self.currencies)
            for i, instrument in enumerate(self.instruments)
        ])

    def _title(self):
        n = sum(self.position(name).fills for name in self.names)
        basis = {"average": "average cost", "specific": "specific lots"}.get(self.cost, self.cost.upper())
        return f"Book, {basis}, {n} fill{'' if n == 1 else 's'}"

    def __repr__(self):
        rows = self.table()
        lines = [self._title()]
        widths = {k: max(len(k), *(len(r[k]) for r in rows)) for k in rows[0]}
        for row in [{k: k for k in widths}, *rows]:
            cells = [row[k].ljust(w) if k in _LEFT else row[k].rjust(w) for k, w in widths.items()]
            lines.append("  ".join(cells).rstrip())
        return "\n".join(lines)

    def _repr_html_(self):
        return _html(self.table(), self._title())

    def plot(self, ax=None):
        """Draw realised and unrealised P&L and fees by instrument, and their sum.

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
        from mmcore.plots import plot_book

        return plot_book(self, ax)


def _html(rows, title):
    """The rows of a book's table, each a dict of texts."""
    def line(tag, cells):
        side = {k: "left" if k in _LEFT else "right" for k in cells}
        return "<tr>" + "".join(
            f'<{tag} style="text-align:{side[k]}">{html.escape(v)}</{tag}>' for k, v in cells.items()
        ) + "</tr>"

    head = line("th", {k: k for k in rows[0]})
    body = "".join([line("td", row) for row in rows])
    caption = f"<caption>{html.escape(title)}</caption>"
    return f"<table>{caption}<thead>{head}</thead><tbody>{body}</tbody></table>"
