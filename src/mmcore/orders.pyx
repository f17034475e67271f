"""From the quote that is wanted to the fewest order messages.

:class:`Orders` holds what we have at the venue, or on the way there, on both sides of one instrument.
:meth:`Orders.target` compares it with a quote and returns the messages that bring it there;
:meth:`Orders.on_report` takes in what the venue says. Live trading and replay use the same object.

Exposure. With P the position and L the lots that the orders of a side may still fill,

    R_bid = P + L_bid        R_ask = -P + L_ask

nothing is sent that would bring R above ``max_exposure``. An order counts from when it is sent until its
end is confirmed; an amend counts the larger of both sizes until it is answered; a cancel in flight and a
lost message change nothing. A fill moves lots from L to P and leaves R of its side unchanged, so no
interleaving of fills, answers and losses can pass the limit.

Sizes of orders are whole sizes, what is filled included (OrderQty of FIX), so that an amend cannot buy
more than was meant when a fill crosses it on the way. Prices are ticks, sizes lots, times int64 ns.

>>> import mmcore as mm
>>> quoter = mm.Quoter(mm.Affine(base=2.0, q_max=5))
>>> orders = Orders(max_exposure=5, hysteresis=1)
>>> for action in orders.target(quoter.quote(100.5, 0), now=0):
...     print(action)
Action(NEW bid 1 @ 98, order_id=1)
Action(NEW ask 1 @ 103, order_id=2)
>>> for order_id in (1, 2):
...     orders.on_report(Report("accepted", order_id))
<Status.OK: 0>
<Status.OK: 0>
>>> orders.target(quoter.quote(101.5, 0), now=1)        # one tick away: near enough
()
>>> orders.target(quoter.quote(102.5, 0), now=2)
(Action(AMEND ask 1 @ 105, order_id=2), Action(AMEND bid 1 @ 100, order_id=1))
"""

import html
from collections import namedtuple
from enum import IntEnum, IntFlag

import numpy as np

from mmcore.book import Status
from mmcore.errors import CapacityError, ConflictError, CorruptError, InvalidArgument, OutOfBounds, shown
from mmcore.parameters import bytes_like, masked

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MIN
from libc.string cimport memcpy, memset

from mmcore.arguments cimport read_int
from mmcore.quoting cimport MM_ASK, MM_BID, MM_NO_ASK, MM_NO_BID, MMCORE_ABI_VERSION, Quote, QuoteBuffer

__all__ = ["ACTION", "Action", "ActionKind", "Held", "OpenOrder", "Orders", "Report", "ReportKind"]

cdef extern from "mmcore/types.h" nogil:
    int MM_OK
    int MM_DUPLICATE
    int MM_INVALID
    int MM_OVERFLOW
    int MM_CONFLICT
    int MM_UNKNOWN
    int MM_CAPACITY

ACTION = np.dtype(
    [
        ("order_id", "=i8"),
        ("price", "=i8"),
        ("size", "=i8"),
        ("kind", "=i4"),
        ("side", "=i4"),
        ("level", "=i4"),
        ("revision", "=i4"),
    ]
)
"""The action as a record: ``mm_action`` of ``mmcore/orders.h``, 40 bytes; side 0 bid, 1 ask."""


class ActionKind(IntEnum):
    """What to send."""

    NEW = MM_ACTION_NEW
    AMEND = MM_ACTION_AMEND
    CANCEL = MM_ACTION_CANCEL


class ReportKind(IntEnum):
    """What the venue says. An order that expires, or that the venue ends, is CANCELED."""

    ACCEPTED = MM_REPORT_ACCEPTED
    FILL = MM_REPORT_FILL
    AMENDED = MM_REPORT_AMENDED
    CANCELED = MM_REPORT_CANCELED
    REJECTED = MM_REPORT_REJECTED
    AMEND_REJECTED = MM_REPORT_AMEND_REJECTED
    CANCEL_REJECTED = MM_REPORT_CANCEL_REJECTED


class Held(IntFlag):
    """Why what stands is not what was asked for: a set of bits, 0 when it is.

    >>> (Held.LIFE | Held.PENDING).words
    ('the order is younger than min_life', 'an answer is awaited')
    """

    HYSTERESIS = MM_HELD_HYSTERESIS
    LIFE = MM_HELD_LIFE
    BUDGET = MM_HELD_BUDGET
    PENDING = MM_HELD_PENDING
    EXPOSURE = MM_HELD_EXPOSURE
    OWN = MM_HELD_OWN
    TOUCH = MM_HELD_TOUCH
    REJECTED = MM_HELD_REJECTED
    SLOTS = MM_HELD_SLOTS

    @property
    def words(self):
        """The reasons in words, one text each."""
        return tuple([_WORDS[bit] for bit in Held if bit & self])


_WORDS = {
    Held.HYSTERESIS: "the price is within the hysteresis",
    Held.LIFE: "the order is younger than min_life",
    Held.BUDGET: "no message is left in a window",
    Held.PENDING: "an answer is awaited",
    Held.EXPOSURE: "it would pass max_exposure, all in flight counted",
    Held.OWN: "it could trade with an order of our own",
    Held.TOUCH: "it would cross the market's touch",
    Held.REJECTED: "the venue rejected such an order less than retry ago",
    Held.SLOTS: "too many orders await the end of their cancel, or all ids up to 2^62 are given",
}
_SUSPICIONS = {
    MM_SUSPECT_STRAY: "a fill of an order that is not known",
    MM_SUSPECT_OVERFILL: "an order was filled beyond its size",
    MM_SUSPECT_CONFLICT: "a report that contradicts what was known",
    MM_SUSPECT_DOUBT: "the venue's list came while orders were on their way: it may hold their fills",
}
_PENDING = {MM_PENDING_NEW: "new", MM_PENDING_AMEND: "amend", MM_PENDING_CANCEL: "cancel"}
_KIND_NAMES = {kind: kind.name for kind in ActionKind}
_REPORT_KINDS = {kind.name.lower(): kind for kind in ReportKind}
_REASONS = {None: MM_REASON_OTHER, "other": MM_REASON_OTHER, "post_only": MM_REASON_POST_ONLY}

cdef tuple SIDES = ("bid", "ask")
cdef tuple NOTHING = ()
cdef object OK = Status.OK
cdef object DUPLICATE = Status.DUPLICATE


# ---- the cimport API ----

cdef int orders_target(mm_orders *orders, const mm_quote *quote, int64_t touch_bid, int64_t touch_ask,
                       int64_t now, mm_action *actions) noexcept nogil:
    return mm_orders_target(orders, quote, touch_bid, touch_ask, now, actions)


cdef int orders_cancel_all(mm_orders *orders, int64_t now, mm_action *actions) noexcept nogil:
    return mm_orders_cancel_all(orders, now, actions)


cdef int orders_report(mm_orders *orders, const mm_report *report) noexcept nogil:
    return mm_orders_report(orders, report)


cdef int orders_ask(mm_orders *orders, int64_t now) noexcept nogil:
    return mm_orders_ask(orders, now)


cdef int orders_reconcile(mm_orders *orders, const mm_open_order *list, int64_t n, int64_t position,
                          int64_t now) noexcept nogil:
    return mm_orders_reconcile(orders, list, n, position, now)


# ---- arguments ----

cdef inline int64_t as_int64(object value, str name, int64_t low, int64_t high, str allowed) except? -1:
    cdef int64_t number
    if PyLong_CheckExact(value) and read_int(value, &number) and low <= number <= high:
        return number
    return as_int64_slow(value, name, low, high, allowed)


cdef int64_t as_int64_slow(object value, str name, int64_t low, int64_t high, str allowed) except? -1:
    # A float here is nearly always a currency amount or seconds: refused, not rounded.
    if isinstance(value, bool) or masked(value) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be {allowed}, got {shown(value)}")
    number = value.__index__()
    if not low <= number <= high:
        raise InvalidArgument(argument=name, value=value, allowed=allowed)
    return number


cdef inline int64_t as_price(object value, str name, int64_t absent) except? -1:
    if value is None:
        return absent
    return as_int64(value, name, 1 - MM_TICK_LIMIT, MM_TICK_LIMIT - 1, "ticks within 2^52")


cdef inline int64_t as_lots(object value, str name) except? -1:
    return as_int64(value, name, 0, MM_LOTS_LIMIT, "lots from 0 to 2^52")


cdef inline int64_t as_duration(object value, str name) except? -1:
    return as_int64(value, name, 0, MM_DURATION_LIMIT, "an integer number of ns, 0 to 2^61")


cdef inline int64_t as_time(object value, str name) except? -1:
    return as_int64(value, name, 0, MM_TIME_LIMIT, "an integer number of ns, 0 to 2^62")


cdef inline int64_t as_id(object value, str name) except? -1:
    return as_int64(value, name, 1, MM_TIME_LIMIT, "an integer from 1 to 2^62")


cdef inline int64_t as_position(object value) except? -1:
    return as_int64(value, "position", -MM_LOTS_LIMIT, MM_LOTS_LIMIT, "lots within 2^52")


cdef int as_side(object value, str name) except -1:
    if value == "bid":
        return MM_BID
    if value == "ask":
        return MM_ASK
    raise InvalidArgument(argument=name, value=value, allowed="'bid' or 'ask'")


cdef int64_t as_exposure(object value) except? -1:
    return MM_LOTS_LIMIT if value is None else as_lots(value, "max_exposure")


cdef int as_quote(object value, mm_quote *out) except -1:
    """Read four numbers: bid, ask, bid_size, ask_size. The price of an absent side is not looked at."""
    cdef int side
    try:
        bid, ask, bid_size, ask_size = value
    except (TypeError, ValueError):
        raise TypeError(
            f"quote must be a Quote, a QuoteBuffer or (bid, ask, bid_size, ask_size), got {shown(value)}"
        ) from None
    memset(out, 0, sizeof(mm_quote))
    out.size[0] = as_lots(bid_size, "bid_size")
    out.size[1] = as_lots(ask_size, "ask_size")
    out.price[0] = as_price(bid if out.size[0] else None, "bid", MM_NO_BID)
    out.price[1] = as_price(ask if out.size[1] else None, "ask", MM_NO_ASK)
    for side, price in enumerate((bid, ask)):
        if out.size[side] and price is None:
            raise InvalidArgument(argument=SIDES[side], value=None, allowed="ticks where the size is not 0")
    return 0


cdef object not_possible(mm_orders *orders, const mm_quote *quote, int64_t now):
    """The exception for what the kernel refused."""
    if now < orders.now:
        return InvalidArgument(argument="now", value=now, allowed=f"at least the last time, {orders.now} ns")
    return InvalidArgument(
        argument="quote", value=(quote.price[0], quote.price[1], quote.size[0], quote.size[1]),
        allowed="bid < ask, sizes from 0 to 2^52 and prices within 2^52 ticks",
    )


# ---- records ----

@cython.final
@cython.freelist(64)
@cython.no_gc
cdef class Action:
    """One message to send.

    Made by :class:`Orders`.

    Thread-safety: immutable.
    """

    def __init__(self):
        raise TypeError("actions are made by Orders.target and Orders.cancel_all")

    @property
    def kind(self):
        """What to send: an :class:`ActionKind`."""
        return ActionKind(self.c.kind)

    @property
    def side(self):
        """The text "bid" or "ask"."""
        return SIDES[self.c.side]

    @property
    def price(self):
        """Ticks; of a cancel, those of the order."""
        return self.c.price

    @property
    def size(self):
        """The whole size of the order in lots, what is filled included."""
        return self.c.size

    @property
    def level(self):
        """Which rung of a ladder: 0."""
        return self.c.level

    @property
    def order_id(self):
        """Our number of the order."""
        return self.c.order_id

    @property
    def revision(self):
        """Number of amends of the order so far: 0 for NEW, then 1, 2, …"""
        return self.c.revision

    cdef tuple state(self):
        return (self.c.kind, self.c.side, self.c.price, self.c.size, self.c.level, self.c.order_id,
                self.c.revision)

    def __eq__(self, other):
        if not isinstance(other, Action):
            return NotImplemented
        return self.state() == (<Action>other).state()

    def __hash__(self):
        return hash(self.state())

    def record(self):
        """Return the action as a record of dtype :data:`ACTION`.

        Examples
        --------
        >>> action, = Orders().target((99, None, 1, 0), now=0)
        >>> action.record()["price"].item()
        99
        """
        return np.frombuffer(PyBytes_FromStringAndSize(<char *>&self.c, sizeof(mm_action)), ACTION)[0]

    def __repr__(self):
        return (f"Action({_KIND_NAMES[self.c.kind]} {SIDES[self.c.side]} {self.c.size} @ {self.c.price}, "
                f"order_id={self.c.order_id})")


@cython.final
@cython.no_gc
cdef class Report:
    """What the venue says about an order.

    Parameters
    ----------
    kind : ReportKind or str
        ``"accepted"``, ``"fill"``, ``"amended"``, ``"canceled"`` (also for expired), ``"rejected"``,
        ``"amend_rejected"``, ``"cancel_rejected"``.
    order_id : int
        Our number of the order.
    filled : int, optional
        Lots of the order filled so far (CumQty). With it reports may come in any order and be repeated.
    qty : int, optional
        Lots of this fill, for venues that do not state ``filled``.
    price, size : int, optional
        Of an acceptance or amend: ticks and whole size in lots as the venue has them; as asked by default.
    side : {"bid", "ask"}, optional
        Needed for fills of orders that are not ours.
    revision : int, optional
        Of the amend that is answered: tells a late answer from the one awaited.
    reason : {"post_only", "other"}, optional
        Of a rejection: "post_only" where the order would have traded at once.

    Notes
    -----
    Thread-safety: immutable.

    Examples
    --------
    >>> Report("fill", 7, filled=3)
    Report('fill', 7, filled=3)
    """

    def __cinit__(self, kind, order_id, *, filled=None, qty=None, price=None, size=None, side=None,
                  revision=None, reason=None):
        if isinstance(kind, str):
            if kind not in _REPORT_KINDS:
                allowed = f"one of {', '.join(_REPORT_KINDS)}"
                raise InvalidArgument(argument="kind", value=kind, allowed=allowed)
            self.c.kind = _REPORT_KINDS[kind]
        elif isinstance(kind, ReportKind):
            self.c.kind = kind
        else:
            raise TypeError(f"kind must be a ReportKind or its name, got {shown(kind)}")
        self.c.order_id = as_id(order_id, "order_id")
        self.c.filled = self.c.price = self.c.size = MM_NOT_STATED
        self.c.side = self.c.revision = -1
        if filled is not None:
            self.c.filled = as_int64(filled, "filled", 0, MM_LOTS_LIMIT - 1, "lots from 0 to 2^52 - 1")
        if qty is not None:
            self.c.qty = as_int64(qty, "qty", 1, MM_LOTS_LIMIT - 1, "lots from 1 to 2^52 - 1")
        if kind == ReportKind.FILL or kind == "fill":
            if filled is None and qty is None:
                raise InvalidArgument(
                    "a fill needs filled (lots of the order so far) or qty (lots of this fill)",
                    argument="filled", allowed="lots",
                )
        if price is not None:
            self.c.price = as_price(price, "price", 0)
        if size is not None:
            self.c.size = as_lots(size, "size")
        if side is not None:
            self.c.side = as_side(side, "side")
        if revision is not None:
            self.c.revision = <int32_t>as_int64(revision, "revision", 0, 0x7FFFFFFF, "0, 1, 2, …")
        if reason not in _REASONS:
            raise InvalidArgument(argument="reason", value=reason, allowed="'post_only', 'other' or None")
        self.c.reason = _REASONS[reason]

    @property
    def kind(self):
        """What happened: a :class:`ReportKind`."""
        return ReportKind(self.c.kind)

    @property
    def order_id(self):
        """Our number of the order."""
        return self.c.order_id

    @property
    def filled(self):
        """Lots of the order filled so far; None where not stated."""
        return None if self.c.filled == MM_NOT_STATED else self.c.filled

    @property
    def qty(self):
        """Lots of this fill; None where not stated."""
        return self.c.qty or None

    @property
    def price(self):
        """Ticks; None where not stated."""
        return None if self.c.price == MM_NOT_STATED else self.c.price

    @property
    def size(self):
        """Whole size in lots; None where not stated."""
        return None if self.c.size == MM_NOT_STATED else self.c.size

    @property
    def side(self):
        """The text "bid" or "ask"; None where not stated."""
        return None if self.c.side < 0 else SIDES[self.c.side]

    @property
    def revision(self):
        """Of the amend that is answered; None where not stated."""
        return None if self.c.revision < 0 else self.c.revision

    @property
    def reason(self):
        """Of a rejection: "post_only" or None."""
        return "post_only" if self.c.reason == MM_REASON_POST_ONLY else None

    cdef tuple state(self):
        return (self.c.kind, self.c.order_id, self.c.filled, self.c.qty, self.c.price, self.c.size,
                self.c.side, self.c.revision, self.c.reason)

    def __eq__(self, other):
        if not isinstance(other, Report):
            return NotImplemented
        return self.state() == (<Report>other).state()

    def __hash__(self):
        return hash(self.state())

    def __repr__(self):
        stated = [f"{name}={value!r}"
                  for name in ("filled", "qty", "price", "size", "side", "revision", "reason")
                  if (value := getattr(self, name)) is not None]
        return f"Report({', '.join([repr(self.kind.name.lower()), str(self.c.order_id), *stated])})"


class OpenOrder(namedtuple("OpenOrder", "order_id side price size filled level pending new_price new_size",
                           defaults=(0, 0, (), None, None))):
    """An order at the venue: an entry of its list, or of :attr:`Orders.working`.

    Parameters
    ----------
    order_id : int
        Our number.
    side : {"bid", "ask"}
        Which side.
    price, size, filled : int
        Ticks; whole size and what of it is filled, lots.
    level : int
        Rung of a ladder.
    pending : tuple of str
        What is awaited: "new", "amend", "cancel"; empty when all is confirmed.
    new_price, new_size : int or None
        What an amend in flight asks for.

    Notes
    -----
    Thread-safety: immutable.
    """

    __slots__ = ()


# ---- the orders ----

@cython.final
cdef class Orders:
    """What we have at the venue on both sides of one instrument, and what to send next.

    Parameters
    ----------
    instrument : Instrument, optional
        Only for showing prices in currency.
    min_life : int
        ns that an order stays at its price. An order that would cross, break the limit or is not wanted at
        all goes at once.
    hysteresis : int
        Ticks that an order may be away from the wanted price and stay.
    messages : sequence of (int, int)
        Budgets (n, ns): at most n messages in any window of so many ns; n >= 2. One message of each is set
        aside for every order that could still need a cancel, so that all can be pulled at once.
    max_exposure : int, optional
        Lots: largest position on either side that fills of all orders, working or in flight, could lead to.
    position : int
        Lots that we have now, signed.
    amend : bool
        Whether the venue amends orders. If not: cancel and new, at once where ``max_exposure`` allows both.
    timeout : int
        ns after which a message without an answer was either lost or carried out: a cancel is sent again, an
        order whose price is no longer wanted is canceled, and :meth:`overdue` says that
        :meth:`reconcile` is due.
    retry : int
        ns without a new attempt at a price that the venue rejected as post-only, or at any price where the
        reason was another.
    first_id : int
        Number of the first order. Numbers only grow; a session after another goes on where it ended.

    Notes
    -----
    Thread-safety: one writer; properties may be read from any thread that holds the GIL, each whole. A
    sequence of calls is not: guard it with a lock of yours.

    Examples
    --------
    >>> orders = Orders(min_life=50_000_000, hysteresis=1, messages=[(10, 10**9)], max_exposure=3)
    >>> orders.target((99, 102, 2, 2), now=0)
    (Action(NEW bid 2 @ 99, order_id=1), Action(NEW ask 2 @ 102, order_id=2))
    >>> orders.on_report(Report("fill", 1, filled=2))
    <Status.OK: 0>
    >>> orders.target((98, 102, 2, 2), now=10**8), orders.held[0].words
    ((), ('it would pass max_exposure, all in flight counted',))
    >>> orders.position, orders.exposure
    (2, (2, 0))
    """

    def __cinit__(self, *args, **kwargs):
        cdef mm_orders_settings settings
        memset(&settings, 0, sizeof(settings))
        settings.max_exposure = MM_LOTS_LIMIT
        mm_orders_init(&self.c, &settings, 0, 1, NULL)

    def __init__(self, instrument=None, *, min_life=0, hysteresis=0, messages=(), max_exposure=None,
                 position=0, amend=True, timeout=1_000_000_000, retry=100_000_000, first_id=1):
        cdef mm_orders_settings settings
        cdef int64_t start, first
        cdef int32_t i
        memset(&settings, 0, sizeof(settings))
        settings.max_exposure = as_exposure(max_exposure)
        settings.min_life = as_duration(min_life, "min_life")
        settings.hysteresis = as_int64(hysteresis, "hysteresis", 0, MM_TICK_LIMIT, "ticks from 0 to 2^52")
        settings.timeout = as_duration(timeout, "timeout")
        settings.retry = as_duration(retry, "retry")
        if not isinstance(amend, bool):
            raise TypeError(f"amend must be True or False, got {shown(amend)}")
        settings.amend = amend
        # By what is used, not by class: the compiled modules know nothing of the Python layer.
        if instrument is not None and not hasattr(instrument, "price"):
            raise InvalidArgument(argument="instrument", value=instrument, allowed="an Instrument, or None")
        allowed = "a list of pairs (n, ns), such as [(50, 10**9)] for 50 in a second"
        if isinstance(messages, str):
            raise InvalidArgument(argument="messages", value=messages, allowed=allowed)
        try:
            budgets = list(messages)
        except TypeError:
            raise InvalidArgument(argument="messages", value=messages, allowed=allowed) from None
        if len(budgets) > MM_ORDERS_BUDGETS:
            raise InvalidArgument(
                argument="messages", value=messages, allowed=f"at most {MM_ORDERS_BUDGETS} budgets"
            )
        settings.n_budgets = len(budgets)
        for i, budget in enumerate(budgets):
            try:
                n, window = budget
            except (TypeError, ValueError):
                raise InvalidArgument(
                    argument="messages", value=budget, allowed="pairs (n, ns)", index=i
                ) from None
            settings.budgets[i].n = as_int64(n, f"messages[{i}][0]", 2, 0x7FFFFFFF,
                                             "from 2 (one to open an order, one to cancel it) to 2^31 - 1")
            settings.budgets[i].window = as_int64(window, f"messages[{i}][1]", 1, MM_DURATION_LIMIT,
                                                  "an integer number of ns, 1 to 2^61")
        start, first = as_position(position), as_id(first_id, "first_id")
        self.reserve(mm_orders_ring(&settings))
        mm_orders_init(&self.c, &settings, start, first, self.c.ring)
        self.instrument = instrument

    def __dealloc__(self):
        PyMem_Free(self.c.ring)

    cdef int reserve(self, int64_t n) except -1:
        """Zeroed memory for the send times, in place of what there was."""
        cdef int64_t *ring = <int64_t *>PyMem_Malloc(<size_t>max(n, 1) * sizeof(int64_t))
        if ring == NULL:
            raise CapacityError(f"no memory for the times of {n} messages")
        memset(ring, 0, <size_t>max(n, 1) * sizeof(int64_t))
        PyMem_Free(self.c.ring)
        self.c.ring = ring
        return 0

    cdef tuple answer(self, int n, const mm_action *actions):
        cdef list made = []
        cdef Action action
        cdef int i
        for i in range(n):
            action = Action.__new__(Action)
            action.c = actions[i]
            made.append(action)
        return tuple(made)

    def target(self, quote, now, bid=None, ask=None):
        """What to send so that the quote stands; an empty tuple when nothing is to be sent.

        Parameters
        ----------
        quote : Quote, QuoteBuffer or (bid, ask, bid_size, ask_size)
            The quote that is wanted; a size of 0 pulls the side, and its price is not looked at. Nor is
            ``take``.
        now : int
            ns; never before the last call's.
        bid, ask : int, optional
            The market's touch, ticks: an order that meets it goes at once, whatever its life, and none is
            sent there.

        Returns
        -------
        tuple of Action
            Send them in this order. From here on they count as in flight.

        Raises
        ------
        InvalidArgument
            Time runs backwards, or the quote is none (bid >= ask on two sides, a size below 0); nothing was
            changed.

        Examples
        --------
        >>> orders = Orders()
        >>> action, = orders.target((99, None, 1, 0), now=0)
        >>> action.kind.name, action.side, action.price, action.size, action.order_id
        ('NEW', 'bid', 99, 1, 1)
        """
        cdef mm_action actions[16]
        cdef mm_quote made
        cdef const mm_quote *wanted
        cdef int64_t touch_bid = MM_NO_BID, touch_ask = MM_NO_ASK, at = as_time(now, "now")
        cdef int n
        if type(quote) is Quote:
            wanted = &(<Quote>quote).c
        elif type(quote) is QuoteBuffer:
            wanted = &(<QuoteBuffer>quote).c
        else:
            as_quote(quote, &made)
            wanted = &made
        if bid is not None:
            touch_bid = as_price(bid, "bid", MM_NO_BID)
        if ask is not None:
            touch_ask = as_price(ask, "ask", MM_NO_ASK)
        n = mm_orders_target(&self.c, wanted, touch_bid, touch_ask, at, actions)
        if n == 0:
            return NOTHING
        if n < 0:
            raise not_possible(&self.c, wanted, at)
        return self.answer(n, actions)

    def cancel_all(self, now):
        """Cancel whatever may be working; the reserve of the budgets is enough for it.

        Parameters
        ----------
        now : int
            ns; never before the last call's.

        Returns
        -------
        tuple of Action

        Examples
        --------
        >>> orders = Orders()
        >>> _ = orders.target((99, 102, 1, 1), now=0)
        >>> orders.cancel_all(now=1)
        (Action(CANCEL bid 1 @ 99, order_id=1), Action(CANCEL ask 1 @ 102, order_id=2))
        """
        cdef mm_action actions[16]
        cdef mm_quote none
        cdef int64_t at = as_time(now, "now")
        cdef int n = mm_orders_cancel_all(&self.c, at, actions)
        if n < 0:
            memset(&none, 0, sizeof(none))
            raise not_possible(&self.c, &none, at)
        return self.answer(n, actions) if n else NOTHING

    def on_report(self, Report report not None):
        """Take in what the venue says.

        Parameters
        ----------
        report : Report
            Where it states ``filled``, reports may come in any order and be repeated. Where fills come with
            ``qty`` alone, each must come once, and CANCELED after the order's fills.

        Returns
        -------
        Status
            OK; DUPLICATE: known already, no effect; UNKNOWN: no such order of ours (a fill that names its
            side moves the position all the same, and is OK); CONFLICT: it contradicts what is known, and
            nothing was changed. ``suspect`` remembers what asks for :meth:`reconcile`.

        Raises
        ------
        OutOfBounds
            The position would leave ±2^52 lots; nothing was changed.
        """
        cdef int status = mm_orders_report(&self.c, &report.c)
        if status == MM_OK:
            return OK
        if status == MM_DUPLICATE:
            return DUPLICATE
        if status == MM_OVERFLOW:
            raise OutOfBounds(argument="report", value=report, allowed="a position within 2^52 lots")
        return Status(status)

    def ask(self, now):
        """Say that the venue is asked for its list: :meth:`reconcile` knows then what may have come since.

        Parameters
        ----------
        now : int
            ns; never before the last call's.

        Examples
        --------
        >>> orders = Orders()
        >>> _ = orders.target((99, 102, 1, 1), now=0)
        >>> orders.ask(now=2 * 10**9)
        >>> orders.reconcile([(2, "ask", 102, 1)], position=1, now=2 * 10**9 + 30_000)
        """
        if mm_orders_ask(&self.c, as_time(now, "now")) != MM_OK:
            allowed = f"at least the last time, {self.c.now} ns"
            raise InvalidArgument(argument="now", value=now, allowed=allowed)

    def reconcile(self, open_orders, position, now):
        """Settle with the venue's list of open orders and its position, both as of one moment.

        The moment is any since :meth:`ask`. Where that was not called, it is now: after all reports so far
        and before all to come.

        Parameters
        ----------
        open_orders : iterable of OpenOrder or (order_id, side, price, size[, filled])
            All open orders of this instrument. Those that are not known become ours.
        position : int
            Lots, signed.
        now : int
            ns; never before the last call's.

        Raises
        ------
        InvalidArgument, ConflictError, CapacityError, OutOfBounds
            A wrong entry; an id twice or with another side; more orders than there is room for; a position
            beyond 2^52 lots. Nothing was changed.

        Notes
        -----
        What was filled of listed orders after the list was made is added to the position. An order that is
        not listed is gone if a report had shown it at the venue before, or if it was sent ``timeout`` before.
        Of the others nobody can tell whether they had not arrived yet or `position` holds their fills
        already: they count on, their fills are added, ``exposure`` counts those where they are worse, and
        ``suspect`` asks for another list.

        Examples
        --------
        >>> orders = Orders()
        >>> _ = orders.target((99, 102, 1, 1), now=0)
        >>> orders.reconcile([(2, "ask", 102, 1)], position=1, now=2 * 10**9)    # the bid was filled
        >>> orders
        Orders(position=1, exposure=(1, 0), ask 1 @ 102)
        """
        cdef int64_t at = as_time(now, "now")
        cdef int64_t net = as_position(position)
        cdef mm_open_order list[16]
        cdef int64_t n = 0
        cdef int status
        try:
            entries = iter(open_orders)
        except TypeError:
            raise TypeError(
                f"open_orders must be an iterable of OpenOrder or (order_id, side, price, size[, filled]), "
                f"got {shown(open_orders)}"
            ) from None
        for entry in entries:
            if n == 2 * MM_ORDERS_SLOTS:
                raise CapacityError(f"more than {n} open orders: cancel some first")
            try:
                order = OpenOrder(*entry)
            except TypeError:
                raise TypeError(
                    f"open_orders[{n}] must be an OpenOrder or (order_id, side, price, size[, filled]), "
                    f"got {shown(entry)}"
                ) from None
            name = f"open_orders[{n}]."
            list[n].order_id = as_id(order.order_id, name + "order_id")
            list[n].side = as_side(order.side, name + "side")
            list[n].price = as_price(order.price, name + "price", 0)
            list[n].size = as_int64(order.size, name + "size", 1, MM_LOTS_LIMIT, "lots from 1 to 2^52")
            list[n].filled = as_int64(order.filled, name + "filled", 0, list[n].size - 1, "below the size")
            list[n].level = <int32_t>as_int64(order.level, name + "level", 0, 0x7FFFFFFF, "0, 1, 2, …")
            n += 1
        status = mm_orders_reconcile(&self.c, list, n, net, at)
        if status == MM_OK:
            return
        if status == MM_CONFLICT:
            raise ConflictError("open_orders has an id twice, or with the side of another order of that id",
                                argument="open_orders")
        if status == MM_CAPACITY:
            raise CapacityError(
                f"more than {MM_ORDERS_SLOTS} orders on one side: cancel some at the venue first"
            )
        if status == MM_OVERFLOW:
            raise OutOfBounds(
                argument="position", value=position, allowed="within 2^52 lots with the newer fills"
            )
        raise InvalidArgument(argument="now", value=now, allowed=f"at least the last time, {self.c.now} ns")

    def overdue(self, now):
        """Whether a message has waited for its answer for ``timeout``: then :meth:`reconcile`.

        Parameters
        ----------
        now : int
            ns.
        """
        return bool(mm_orders_overdue(&self.c, as_time(now, "now")))

    @property
    def suspect(self):
        """What the reports could not explain since the last :meth:`reconcile`, in words."""
        return tuple([text for bit, text in _SUSPICIONS.items() if self.c.suspect & bit])

    @property
    def working(self):
        """The orders that may be working, as :class:`OpenOrder`; bids first, then by number."""
        cdef mm_order *x
        cdef int side, i
        found = []
        for side in range(2):
            for i in range(MM_ORDERS_SLOTS):
                x = &self.c.slots[side][i]
                if x.id:
                    amending = x.pending & MM_PENDING_AMEND
                    found.append((side, x.id, OpenOrder(
                        x.id, SIDES[side], x.price, x.size, x.filled, x.level,
                        tuple([word for bit, word in _PENDING.items() if x.pending & bit]),
                        x.new_price if amending else None, x.new_size if amending else None,
                    )))
        return tuple([order for _, _, order in sorted(found)])

    @property
    def position(self):
        """Lots, signed."""
        return self.c.position

    @property
    def exposure(self):
        """Worst cases (bid, ask), lots: the position if all bids fill; minus it if all asks do."""
        return mm_orders_exposure(&self.c, MM_BID), mm_orders_exposure(&self.c, MM_ASK)

    @property
    def held(self):
        """Why what stands is not what was asked for last: a pair (bid, ask) of :class:`Held`."""
        return Held(self.c.held[0]), Held(self.c.held[1])

    @property
    def due(self):
        """When :meth:`target` is to be asked again although nothing has changed, ns; None: not by itself.

        A wait ends then: for ``min_life``, a budget, ``timeout`` or ``retry``. After messages, and where the
        touch holds a side back, it is now.

        Examples
        --------
        >>> orders = Orders(min_life=100)
        >>> for order in orders.target((99, None, 1, 0), now=0):
        ...     _ = orders.on_report(Report("accepted", order.order_id))
        >>> orders.target((98, None, 1, 0), now=1), orders.due
        ((), 100)
        """
        if self.c.due > MM_TIME_LIMIT:
            return None
        return max(self.c.due, self.c.now, 0)

    @property
    def sent(self):
        """Messages so far."""
        return self.c.messages

    @property
    def counts(self):
        """Reports that were late, duplicates, unknown, or strays (fills of orders that are not ours)."""
        return {"late": self.c.late, "duplicates": self.c.duplicates, "unknown": self.c.unknown,
                "strays": self.c.strays}

    @property
    def messages(self):
        """The budgets, as pairs (n, ns)."""
        cdef int32_t i
        return tuple([(self.c.settings.budgets[i].n, self.c.settings.budgets[i].window)
                      for i in range(self.c.settings.n_budgets)])

    @property
    def max_exposure(self):
        """Lots; None for no limit; settable: what breaks it is cut or canceled by the next target."""
        return None if self.c.settings.max_exposure == MM_LOTS_LIMIT else self.c.settings.max_exposure

    @max_exposure.setter
    def max_exposure(self, value):
        self.c.settings.max_exposure = as_exposure(value)
        self.c.due = INT64_MIN

    @property
    def min_life(self):
        """An order's least time at its price in ns; settable."""
        return self.c.settings.min_life

    @min_life.setter
    def min_life(self, value):
        self.c.settings.min_life = as_duration(value, "min_life")
        self.c.due = INT64_MIN

    @property
    def hysteresis(self):
        """Ticks; settable."""
        return self.c.settings.hysteresis

    @hysteresis.setter
    def hysteresis(self, value):
        self.c.settings.hysteresis = as_int64(value, "hysteresis", 0, MM_TICK_LIMIT, "ticks from 0 to 2^52")
        self.c.due = INT64_MIN

    @property
    def timeout(self):
        """How long an answer is waited for, ns."""
        return self.c.settings.timeout

    @property
    def retry(self):
        """How long a rejected price is left alone, ns."""
        return self.c.settings.retry

    @property
    def amend(self):
        """Whether the venue amends orders."""
        return bool(self.c.settings.amend)

    @property
    def settings(self):
        """The arguments that make orders of the same settings, without orders and position.

        Examples
        --------
        >>> orders = Orders(hysteresis=1, max_exposure=3)
        >>> _ = orders.target((99, 102, 1, 1), now=0)
        >>> fresh = Orders(**orders.settings)
        >>> fresh.max_exposure, fresh.sent
        (3, 0)
        """
        names = ("min_life", "hysteresis", "messages", "max_exposure", "amend", "timeout", "retry")
        return {name: getattr(self, name) for name in names}

    @property
    def next_id(self):
        """Number of the next order."""
        return self.c.next_id

    def to_bytes(self):
        """The whole state but the instrument as bytes, with magic, version, size and checksum.

        Examples
        --------
        >>> orders = Orders(max_exposure=3)
        >>> _ = orders.target((99, 102, 1, 1), now=0)
        >>> Orders.from_bytes(orders.to_bytes()).working == orders.working
        True
        """
        cdef uint64_t nbytes = mm_orders_bytes(&self.c)
        cdef mm_orders_block *block = <mm_orders_block *>PyMem_Malloc(nbytes)
        if block == NULL:
            raise CapacityError(f"no memory for {nbytes} bytes")
        try:
            mm_orders_save(&self.c, block)
            return PyBytes_FromStringAndSize(<char *>block, <Py_ssize_t>nbytes)
        finally:
            PyMem_Free(block)

    @classmethod
    def from_bytes(cls, block, instrument=None):
        """Return the orders that :meth:`to_bytes` wrote: they go on exactly from there.

        Parameters
        ----------
        block : bytes-like
            The whole block; it is copied.
        instrument : Instrument, optional
            Only for showing prices in currency.

        Raises
        ------
        CorruptError
            When magic, version, size, checksum or content is wrong: a cut, changed or newer block.
        """
        cdef Py_buffer view
        cdef mm_orders_block *copy
        cdef int64_t *ring
        cdef Orders orders
        cdef size_t nbytes
        PyObject_GetBuffer(bytes_like(block), &view, PyBUF_SIMPLE)
        nbytes = <size_t>view.len
        copy = <mm_orders_block *>PyMem_Malloc(max(nbytes, sizeof(mm_orders_block)))
        if copy != NULL:
            memcpy(copy, view.buf, nbytes)
        PyBuffer_Release(&view)
        if copy == NULL:
            raise CapacityError(f"no memory for {nbytes} bytes")
        try:
            if nbytes < sizeof(mm_orders_block):
                least = sizeof(mm_orders_block)
                raise CorruptError(f"saved orders have at least {least} bytes, got {nbytes}: cut")
            if copy.magic != MM_ORDERS_MAGIC:
                raise CorruptError("these are no saved orders: the first four bytes are not 'MMCO'")
            if copy.abi != MMCORE_ABI_VERSION:
                raise CorruptError(f"orders of version {copy.abi}; this build reads {MMCORE_ABI_VERSION}")
            if mm_orders_block_check(copy, nbytes) != MM_OK:
                raise CorruptError("the saved orders are cut or changed: size, checksum or content is wrong")
            orders = Orders()
            orders.reserve(copy.orders.capacity)
            ring = orders.c.ring
            mm_orders_load(copy, &orders.c, ring)
            orders.instrument = instrument
            return orders
        finally:
            PyMem_Free(copy)

    def __reduce__(self):
        return Orders.from_bytes, (self.to_bytes(), self.instrument)

    cdef list table(self):
        """Rows of texts: side, price, open, filled, state."""
        rows = []
        for order in self.working:
            price = str(order.price)
            if self.instrument is not None:
                price += f" ({self.instrument.price(order.price)})"
            state = " and ".join(f"{word} sent" for word in order.pending) or "working"
            if order.new_price is not None:
                state += f": {order.new_size} @ {order.new_price}"
            rows.append((str(order.order_id), order.side, price, str(order.size), str(order.filled), state))
        return rows

    def __repr__(self):
        parts = [f"position={self.c.position}", f"exposure={self.exposure}"]
        if self.instrument is not None:
            parts.insert(0, self.instrument.name)
        for order in self.working:
            pending = "".join(f", {word} sent" for word in order.pending)
            parts.append(f"{order.side} {order.size - order.filled} @ {order.price}{pending}")
        return f"Orders({', '.join(parts)})"

    def _repr_html_(self):
        def line(tag, cells):
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        name = "" if self.instrument is None else html.escape(f"{self.instrument.name}: ")
        limit = "no limit" if self.max_exposure is None else f"limit {self.max_exposure}"
        bid, ask = self.exposure
        caption = (f"{name}position {self.c.position}, worst case {bid} long, {ask} short ({limit}), "
                   f"{self.c.messages} messages")
        notes = [f"{SIDES[side]}: {text}" for side in range(2) for text in self.held[side].words]
        notes = [*notes, *self.suspect]
        return (
            f"<table><caption>{caption}</caption><thead>"
            + line("th", ("order", "side", "price (ticks)", "size (lots)", "filled", "state"))
            + "</thead><tbody>" + "".join([line("td", row) for row in self.table()])
            + "</tbody></table>"
            + "".join(f"<p>{html.escape(note)}</p>" for note in notes)
        )
