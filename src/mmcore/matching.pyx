"""The replay loop: events -> quoter -> resting orders -> fills -> book, without the GIL.

The rules (one clock, what is in flight, what fills) are those of ``mmcore/matching.h``. People use
:func:`mmcore.replay`, which checks its arguments, drives :class:`Matching` and returns a result.
"""
import numpy as np

from libc.stdint cimport INT64_MIN, int8_t, int32_t, int64_t, uint8_t, uint16_t
from libc.string cimport memset

from mmcore.book cimport mm_fill, mm_i128
from mmcore.orders cimport MM_TIME_LIMIT, Orders, mm_orders_ring
from mmcore.quoting cimport Quoter
from mmcore.rolling cimport Recalibrate

from mmcore.book import FILL
from mmcore.errors import InvalidArgument, OutOfBounds, Unsupported
from mmcore.events import pieces
from mmcore.rolling import ESTIMATE

cdef extern from "mmcore/types.h" nogil:
    enum:
        MM_OK
        MM_OVERFLOW
        MM_UNSUPPORTED
        MM_CAPACITY

__all__ = ["DECISION", "FILL_CONTEXT", "MESSAGE", "PARAMETERS", "STANDING", "DecisionLog", "Matching"]

DECISION = np.dtype(
    [(name, "<i8") for name in ("time", "live_time")]
    + [("reference", "<f8")]
    + [(name, "<i8") for name in ("touch_bid", "touch_ask", "bid", "ask", "bid_size", "ask_size", "inventory",
                                  "spread2", "revaluation2", "fees")]
    + [("why", "<u4"), ("lost", "<u4")]
)
"""NumPy type of a decision record, ``mm_decision`` in C."""

FILL_CONTEXT = np.dtype({
    "names": ["touch_bid", "touch_ask", "mid2", "inventory", "decision", "trade", "place", "complete"],
    "formats": ["<i8"] * 6 + ["|i1"] * 2,
    "offsets": [0, 8, 16, 24, 32, 40, 48, 49],
    "itemsize": sizeof(mm_fill_context),
})
"""NumPy type of what stood around a fill, ``mm_fill_context`` in C."""

PARAMETERS = np.dtype([*((name, ESTIMATE[name]) for name in ESTIMATE.names), ("version", "=u8"),
                       ("status", "=i4"), ("reserved", "=i4")])
"""NumPy type of a recalibration, ``mm_recalibrated`` in C: the estimate, the version of the policy in force
from then on, and a status: 0 set, below 0 not (-5 where the window did not identify all parameters)."""

MESSAGE = np.dtype(
    [(name, "<i8") for name in ("time", "live_time", "order_id", "price", "size", "decision")]
    + [("revision", "<i4")]
    + [(name, "|i1") for name in ("kind", "side", "answer", "reason")]
)
"""NumPy type of an order message, ``mm_message`` in C."""

STANDING = np.dtype(
    [(name, "<i8") for name in ("time", "end_time", "order_id", "price", "size", "decision")]
    + [("side", "<i4"), ("reserved", "<i4")]
)
"""NumPy type of what stood at the venue, ``mm_standing`` in C."""

if (DECISION.itemsize != sizeof(mm_decision) or FILL.itemsize != sizeof(mm_fill)
        or PARAMETERS.itemsize != sizeof(mm_recalibrated)
        or MESSAGE.itemsize != sizeof(mm_message) or STANDING.itemsize != sizeof(mm_standing)):
    raise ImportError("the record types of Python and C differ: build again")


cdef int replay_run(mm_replay *r, const mm_events *e, int64_t stop) noexcept nogil:
    return mm_replay_run(r, e, stop)


cdef const int64_t *_i8(str name, const int64_t[::1] column, int64_t n) except? NULL:
    if column.shape[0] != n:
        raise InvalidArgument(argument=name, value=column.shape[0], allowed=f"of length {n}")
    return &column[0] if n else NULL


cdef object _int(mm_i128 value):
    return (int(value.hi) << 64) + int(value.lo)


def _bytes(records):
    """Return the records as rows of bytes: NumPy copies those at once, but structures field by field."""
    return records.view(np.uint8).reshape(len(records), -1)


def _copied(records, n):
    return _bytes(records)[:n].copy().reshape(-1).view(records.dtype)


def _moved(records, n, capacity, dtype):
    """Return room for `capacity` records, the first `n` of which are those there were."""
    array = np.empty(capacity, dtype=dtype)
    if n:
        _bytes(array)[:n] = _bytes(records)[:n]
    return array


class DecisionLog:
    """Decisions as they were logged: a record stands for all in a row that know the same.

    Parameters
    ----------
    records : ndarray of DECISION
        Of each such row of decisions the first.
    numbers : ndarray of int64
        Its number.
    n : int
        Decisions.
    interval : int
        ns between them.

    Notes
    -----
    Thread-safety: immutable; may be read from any number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from mmcore.matching import DECISION, DecisionLog
    >>> log = DecisionLog(np.zeros(2, DECISION), np.array([0, 3]), 5, 10)
    >>> len(log), log.array()["time"].tolist()
    (5, [0, 10, 20, 0, 10])
    """

    def __init__(self, records, numbers, int64_t n, int64_t interval):
        self.records, self.numbers, self.n, self.interval = records, numbers, n, interval

    def __len__(self):
        return self.n

    def array(self):
        """Return a record for each decision."""
        cdef const uint8_t[::1] records
        cdef const int64_t[::1] numbers
        cdef uint8_t[::1] out
        cdef int64_t n_records = len(self.records), n = self.n, interval = self.interval
        if n_records == n:
            return self.records
        found = np.empty(n, dtype=DECISION)
        records, numbers, out = self.records.view(np.uint8), self.numbers, found.view(np.uint8)
        with nogil:
            mm_decisions_expand(<const mm_decision *>&records[0], &numbers[0], n_records, n, interval,
                                <mm_decision *>&out[0])
        found.flags.writeable = False
        return found


cdef class Matching:
    """One replay in progress: the kernel's state and the memory it writes to.

    Parameters
    ----------
    events : Events
        Whose columns are read in place.
    quoter : Quoter
        Its policy and rules as they are now; later changes of the quoter are not seen.
    interval, latency : int
        ns; interval 0 decides after every quote row.
    first, last, end : int
        First and last moment of a decision; when all orders are pulled (ns).
    time_left : float
        Seconds, the same for each decision; NaN counts down to `expiry`.
    expiry : int
        ns.
    fee : tuple of int
        (num, den) of ``Instrument.fee_ratio``.
    touch : bool
        The optimistic fill rule.
    weighted : bool
        Reference: mid weighted by the sizes.
    hidden : bool
        Whether hidden executions fill too.
    recalibrate : Recalibrate, optional
        Lets the policy follow the market, from a copy of its state.
    orders : Orders, optional
        Whose settings turn the quotes into messages; it is only read. None: each quote replaces what stands.
    decisions, fills : int, optional
        Records to make room for at first; by default a fill for each trade, up to a million. With orders
        also two messages a decision, up to two millions. Memory that is not written to is not taken.

    Raises
    ------
    InvalidArgument
        A column or a number that the kernel cannot run with.

    Notes
    -----
    Thread-safety: one thread at a time; a second one is refused while the first runs.
    """

    def __init__(self, events, Quoter quoter not None, *, int64_t interval, int64_t latency, int64_t first,
                 int64_t last, int64_t end, double time_left, int64_t expiry, fee, bint touch, bint weighted,
                 bint hidden, Recalibrate recalibrate=None, Orders orders=None, int64_t decisions=4096,
                 fills=None):
        cdef mm_replay_setup setup
        cdef int64_t[::1] ring
        cdef mm_events *e = &self.c_events
        cdef const uint8_t[::1] kind = events.kind
        cdef const int32_t[::1] subtick
        cdef const int8_t[::1] side
        cdef const uint8_t[::1] flags
        if interval < 0 or latency < 0:
            raise InvalidArgument(argument="interval, latency", value=(interval, latency), allowed=">= 0 ns")
        if not first <= end or last > end:
            raise InvalidArgument(argument="first, last, end", value=(first, last, end),
                                  allowed="first <= end and last <= end")
        quotes, trades = events.quotes, events.trades
        subtick, side, flags = trades.subtick, trades.side, trades.flags
        e.rows, e.quotes, e.trades = kind.shape[0], len(quotes), len(trades)
        e.kind = &kind[0] if e.rows else NULL
        e.quote_time = _i8("quotes.local_time", quotes.local_time, e.quotes)
        e.bid = _i8("quotes.bid", quotes.bid, e.quotes)
        e.ask = _i8("quotes.ask", quotes.ask, e.quotes)
        e.bid_size = _i8("quotes.bid_size", quotes.bid_size, e.quotes)
        e.ask_size = _i8("quotes.ask_size", quotes.ask_size, e.quotes)
        e.trade_exchange_time = _i8("trades.exchange_time", trades.exchange_time, e.trades)
        e.trade_time = _i8("trades.local_time", trades.local_time, e.trades)
        e.price = _i8("trades.price", trades.price, e.trades)
        e.size = _i8("trades.size", trades.size, e.trades)
        if not subtick.shape[0] == side.shape[0] == flags.shape[0] == e.trades:
            raise InvalidArgument(argument="trades", value=(subtick.shape[0], side.shape[0], flags.shape[0]),
                                  allowed=f"columns of length {e.trades}")
        e.side = &side[0] if e.trades else NULL
        e.subtick = &subtick[0] if e.trades else NULL
        e.flags = &flags[0] if e.trades else NULL
        cdef int64_t n_quotes = 0
        for rows in pieces(e.rows):
            n_quotes += np.count_nonzero(events.kind[rows] == 1)
        if n_quotes != e.quotes or e.rows - n_quotes != e.trades:
            raise InvalidArgument(argument="events.kind", value=(n_quotes, e.rows - n_quotes),
                                  allowed=f"{e.quotes} quotes (1) and {e.trades} trades (2)")
        # the views above end here; the columns themselves must outlive the run
        self._columns = (events.kind, quotes, trades)
        memset(&setup, 0, sizeof(setup))
        setup.interval, setup.latency = interval, latency
        setup.first, setup.last, setup.end = first, last, end
        setup.countdown = time_left != time_left
        setup.time_left, setup.expiry = time_left, expiry
        setup.fee_num, setup.fee_den = fee
        setup.touch, setup.weighted, setup.hidden = touch, weighted, hidden
        self._policy = quoter.in_force()
        mm_replay_init(&self.c_replay, &setup, self._policy.c_policy, &quoter.c_rules,
                       events.instrument.negative_prices)
        self._decisions = self._numbers = self._fills = self._contexts = self._recalibrated = None
        self._messages = self._standing = self._held = None
        if recalibrate is not None:
            self._follow(quoter, recalibrate, first, last)
        if orders is not None:
            if first < 0 or end > MM_TIME_LIMIT:
                raise InvalidArgument(argument="events", value=(first, end),
                                      allowed="between 0 and 2^62 ns, where orders can be timed")
            self._ring = np.zeros(max(mm_orders_ring(&orders.c.settings), 1), dtype=np.int64)
            ring = self._ring
            if mm_venue_init(&self.c_venue, &orders.c.settings, latency, &ring[0]) != MM_OK:
                raise InvalidArgument(argument="timeout", value=orders.c.settings.timeout,
                                      allowed=f"at least {2 * latency} ns: an answer takes 2 * latency")
            self.c_replay.venue = &self.c_venue
            messages = min(2 * max(decisions, 1), 1 << 21) + MM_ORDERS_ACTIONS
            self._room_of_orders(messages, messages)
        self._room(max(decisions, 1) + MM_REPLAY_CUTS + 1,
                   max(min(e.trades, 2 * decisions, 1 << 20) if fills is None else fills, 1))

    cdef int _follow(self, Quoter quoter, Recalibrate recalibrate, int64_t first, int64_t last) except -1:
        """Let the policy of a private copy of the quoter follow the market."""
        cdef mm_follower *f = &self.c_follower
        cdef uint8_t[::1] view
        cdef int64_t every = recalibrate.c.settings.every
        memset(f, 0, sizeof(mm_follower))
        self._quoter, self._window = quoter.follower(), recalibrate.copy()
        model = quoter._model
        names = [parameter.name for parameter in model.PARAMETERS]
        f.parameters = (
            MM_FOLLOW_SIGMA * ("sigma" in names) | MM_FOLLOW_A * ("A" in names)
            | MM_FOLLOW_K * ("k" in names)
        )
        f.row = getattr(model, "horizon", None) is not None and model._has_stationary
        f.live = &self._quoter.live
        f.rolling, f.used = self._window.c, self._window.used
        if f.rolling.origin != INT64_MIN and self.c_events.rows and (
            min(self.c_events.quote_time[0] if self.c_events.quotes else first,
                self.c_events.trade_time[0] if self.c_events.trades else first) < f.rolling.now
        ):
            raise InvalidArgument(
                "recalibrate has seen data from within the replayed span: it would look ahead",
                argument="recalibrate", value=f.rolling.now,
            )
        f.capacity = (last - first) // every + 2
        self._recalibrated = np.zeros(f.capacity, PARAMETERS)
        if f.capacity:
            view = self._recalibrated.view(np.uint8)
            f.log = <mm_recalibrated *>&view[0]
        self.c_replay.follower = f
        return 0

    @property
    def parameters(self):
        """The recalibrations so far, one record of dtype :data:`PARAMETERS` each; None: none are made."""
        if self._recalibrated is None:
            return None
        found = self._recalibrated[:self.c_follower.n]
        found.flags.writeable = False
        return found

    cdef int _room(self, int64_t decisions, int64_t fills) except -1:
        """Move what was logged into arrays of at least these lengths."""
        cdef uint8_t[::1] view
        cdef int64_t[::1] numbers
        cdef uint16_t[:, ::1] held
        cdef mm_replay *r = &self.c_replay
        if decisions > r.decision_capacity:
            self._decisions = _moved(self._decisions, r.n_records, decisions, DECISION)
            view = self._decisions.view(np.uint8)
            r.decisions, r.decision_capacity = <mm_decision *>&view[0], decisions
            if r.venue == NULL and r.setup.interval:  # on a grid, of which a record may stand for a stretch
                self._numbers = numbers = _moved(self._numbers, r.n_records, decisions, np.int64)
                r.numbers = &numbers[0]
            if r.venue != NULL:
                self._held = held = _moved(self._held, r.n_decisions, decisions, (np.uint16, 2))
                r.held = &held[0, 0]
        if fills > r.fill_capacity:
            self._fills = _moved(self._fills, r.n_fills, fills, FILL)
            self._contexts = _moved(self._contexts, r.n_fills, fills, FILL_CONTEXT)
            view = self._fills.view(np.uint8)
            r.fills = <mm_fill *>&view[0]
            view = self._contexts.view(np.uint8)
            r.contexts, r.fill_capacity = <mm_fill_context *>&view[0], fills
        return 0

    cdef int _room_of_orders(self, int64_t messages, int64_t standing) except -1:
        cdef uint8_t[::1] view
        cdef mm_venue *v = &self.c_venue
        if messages > v.message_capacity:
            self._messages = _moved(self._messages, v.n_messages, messages, MESSAGE)
            view = self._messages.view(np.uint8)
            v.messages, v.message_capacity = <mm_message *>&view[0], messages
        if standing > v.standing_capacity:
            self._standing = _moved(self._standing, v.n_standing, standing, STANDING)
            view = self._standing.view(np.uint8)
            v.standing, v.standing_capacity = <mm_standing *>&view[0], standing
        return 0

    cdef int _enlarge(self) except -1:
        """Double what is full, or nearly: a step may log several records."""
        cdef mm_replay *r = &self.c_replay
        cdef mm_venue *v = &self.c_venue
        cdef int64_t fills = mm_replay_fills_of_a_trade(r)
        self._room(2 * r.decision_capacity + MM_REPLAY_CUTS if mm_replay_log_is_full(r) else 0,
                   2 * r.fill_capacity + fills if r.n_fills > r.fill_capacity - fills else 0)
        if r.venue != NULL:
            self._room_of_orders(
                2 * v.message_capacity if v.n_messages > v.message_capacity - MM_ORDERS_ACTIONS else 0,
                2 * v.standing_capacity if v.n_standing >= v.standing_capacity else 0,
            )
        return 0

    def run(self, int64_t stop):
        """Walk the rows up to `stop` (exclusive); returns the row reached.

        Raises
        ------
        OutOfBounds
            A sum of money would leave ±2⁶¹ half tick·lots, or a price ±2⁵⁹ ticks.
        Unsupported
            The policy asks to cross the spread.
        """
        cdef mm_replay *r = &self.c_replay
        cdef int status
        if self._busy:
            raise InvalidArgument("this replay runs in another thread", argument="self")
        self._busy = True
        try:
            while True:
                with nogil:
                    status = replay_run(r, &self.c_events, stop)
                if status != MM_CAPACITY:
                    break
                self._enlarge()
        finally:
            self._busy = False
        if status == MM_UNSUPPORTED:
            raise Unsupported(
                "the policy asks to cross the spread (take), which a replay does not do", argument="quoter"
            )
        if status == MM_OVERFLOW:
            raise OutOfBounds(f"row {r.row}: prices or money beyond the bounds of the exact arithmetic",
                              argument="events", index=r.row)
        if status != MM_OK:
            raise InvalidArgument(f"row {r.row}: the fill was refused (status {status})", argument="events",
                                  index=r.row)
        return r.row

    def finish(self):
        """Let what was in flight before the end take effect.

        Returns (decisions, fills, contexts, totals, logs): a :class:`DecisionLog`, two arrays and a dict;
        with orders `logs` holds the messages, what stood, and what held the sides of each decision back,
        else it is None.
        """
        cdef mm_replay *r = &self.c_replay
        if r.row != self.c_events.rows:
            raise InvalidArgument(f"only {r.row} of {self.c_events.rows} rows were replayed", argument="self")
        mm_replay_finish(r)
        totals = {
            "cash": _int(r.position.cash),
            "net": r.position.net,
            "mid2": r.mid2,
            "spread2": r.spread2,
            "revaluation2": r.revaluation2,
            "fees": _int(r.position.fees),
            "bought": r.position.bought,
            "sold": r.position.sold,
            "messages": (r.messages[0], r.messages[1]),
            "crossed": r.crossed,
        }
        records = self._decisions[:r.n_records]
        numbers = None if r.numbers == NULL else self._numbers[:r.n_records]
        found = [_copied(self._fills, r.n_fills), _copied(self._contexts, r.n_fills)]
        logs = None
        if r.venue != NULL:
            logs = (self._messages[:r.venue.n_messages], self._standing[:r.venue.n_standing],
                    self._held[:r.n_decisions])
        for array in (records, *found, *(logs or ())):
            array.flags.writeable = False
        log = DecisionLog(records, numbers, r.n_decisions, r.setup.interval)
        return (log, *found, totals, logs)
