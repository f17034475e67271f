"""Parameters that follow the market: calibration over a moving window, live and in replay.

:class:`Recalibrate` takes in quotes and trades as they come and puts new parameters into a quoter every so
often. Time is cut into buckets of ``every`` seconds; each keeps whole numbers that are enough for the
estimates (squared moves, orders, where they stopped, time by spread), so that the sums over the window are
exact however long it runs. The estimates are those of :func:`mmcore.calibrate` (``method="poisson"``, see its
equations) from the rows of the window, over a fixed range of depths; the errors allow for clusters of orders,
by blocks of a hundredth of the window.

>>> import mmcore as mm
>>> market = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=1800.0, seed=1)
>>> recalibrate = Recalibrate(every=10.0, window=900.0, warmup=300.0)
>>> recalibrate.observe(market.events())
>>> recalibrate.estimate(recalibrate.time).identified
True
"""

import numpy as np

from mmcore.errors import CapacityError, CorruptError, InvalidArgument, NotIdentified, Unsupported, shown
from mmcore.parameters import bytes_like, masked

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport INT64_MIN
from libc.string cimport memcpy

from mmcore.quoting cimport MM_ASK, MM_BID, MM_INVALID, MM_NO_ASK, MM_NO_BID, MM_OK

__all__ = ["ESTIMATE", "Estimate", "Recalibrate"]

ESTIMATE = np.dtype(
    [
        ("time", "=i8"),
        ("sigma", "=f8"),
        ("sigma_error", "=f8"),
        ("A", "=f8", 2),
        ("k", "=f8", 2),
        ("A_error", "=f8", 2),
        ("k_error", "=f8", 2),
        ("covariance", "=f8", 2),
        ("seconds", "=f8"),
        ("orders", "=i8", 2),
        ("identified", "=i4"),
        ("blocks", "=i4"),
    ]
)
"""An estimate as a record: ``mm_estimate`` of ``mmcore/calibration.h``; pairs are (bid, ask)."""

if ESTIMATE.itemsize != sizeof(mm_estimate):
    raise ImportError("the record types of Python and C differ: build again")

cdef double NS = 1e9
cdef int64_t LIMIT = 1 << 60
cdef tuple ALL = ("sigma", "A", "k")


cdef int rolling_quote(mm_rolling *rolling, int64_t time, int64_t bid, int64_t ask) noexcept nogil:
    return mm_rolling_quote(rolling, time, bid, ask)


cdef int rolling_trade(mm_rolling *rolling, int64_t stamp, int64_t time, int64_t price, int32_t subtick,
                       int32_t side, uint8_t flags) noexcept nogil:
    return mm_rolling_trade(rolling, stamp, time, price, subtick, side, flags)


cdef int rolling_estimate(mm_rolling *rolling, int64_t time, mm_estimate *out) noexcept nogil:
    return mm_rolling_estimate(rolling, time, out)


def _seconds(value, name, low=0.0):
    allowed = f"a finite number > {low:g} (s)" if low == 0.0 else f"a finite number >= {low:g} (s)"
    if isinstance(value, (str, bytes, bool)):
        raise InvalidArgument(argument=name, value=value, allowed=allowed)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(argument=name, value=value, allowed=allowed) from None
    if not (1e-9 <= number <= 1e9 and number >= low):
        raise InvalidArgument(argument=name, value=value, allowed=allowed + ", from 1e-9 to 1e9")
    return number


def _half_ticks(value, name, low):
    allowed = f"a multiple of half a tick from {low:g} to 10000"
    if isinstance(value, (str, bytes, bool)):
        raise InvalidArgument(argument=name, value=value, allowed=allowed)
    try:
        number = 2 * float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(argument=name, value=value, allowed=allowed) from None
    if not (2 * low <= number <= 20_000) or number != int(number):
        raise InvalidArgument(argument=name, value=value, allowed=allowed)
    return int(number)


cdef int64_t as_stamp(object value, str name) except? -1:
    if isinstance(value, bool) or masked(value) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer number of ns, got {shown(value)}")
    number = value.__index__()
    if not 0 <= number <= 4 * LIMIT:
        raise InvalidArgument(argument=name, value=value, allowed="ns since the epoch, from 0 to 2^62")
    return number


cdef int64_t as_ticks(object value, int64_t absent, str name) except? -1:
    if value is None:
        return absent
    if isinstance(value, bool) or masked(value) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer number of ticks, or None, got {shown(value)}")
    number = value.__index__()
    if number == absent:
        return absent
    if not -LIMIT < number < LIMIT:
        raise InvalidArgument(argument=name, value=value, allowed="ticks within 2^60, or None")
    return number


def _given(price):
    if price is None:
        raise TypeError("price must be an integer number of ticks, got None")
    return price


@cython.final
cdef class Estimate:
    """What a window tells of sigma, A and k, with standard errors.

    Made by :class:`Recalibrate`. Pairs are (bid, ask); ``A[0]`` is the rate of sell market orders.

    Thread-safety: immutable.
    """

    def __init__(self):
        raise TypeError("estimates are made by Recalibrate.estimate")

    @property
    def time(self):
        """End of the window, ns."""
        return self.c.time

    @property
    def sigma(self):
        """Volatility of the mid, ticks/√s; None when it did not move."""
        return self.c.sigma if self.c.identified & MM_IDENTIFIED_SIGMA else None

    @property
    def A(self):
        """Fill intensity at the mid (bid, ask), 1/s; None for a side that is not identified."""
        return self.pair(self.c.A)

    @property
    def k(self):
        """Decay of the fill intensity (bid, ask), 1/tick; None for a side that is not identified."""
        return self.pair(self.c.k)

    @property
    def sigma_error(self):
        """Standard error of sigma, ticks/√s; None when not identified."""
        return self.c.sigma_error if self.c.identified & MM_IDENTIFIED_SIGMA else None

    @property
    def A_error(self):
        """Standard errors of A, 1/s."""
        return self.pair(self.c.A_error)

    @property
    def k_error(self):
        """Standard errors of k, 1/tick."""
        return self.pair(self.c.k_error)

    @property
    def orders(self):
        """Market orders that reached the range: of sellers (they fill bids), of buyers."""
        return self.c.orders[MM_BID], self.c.orders[MM_ASK]

    @property
    def seconds(self):
        """Time of the window in which depths of the range were observed, s."""
        return self.c.seconds

    @property
    def identified(self):
        """Whether sigma, and A and k of both sides, are given."""
        return mm_estimate_whole(&self.c) != 0

    cdef tuple pair(self, const double *values):
        return (
            values[MM_BID] if self.c.identified & MM_IDENTIFIED_BID else None,
            values[MM_ASK] if self.c.identified & MM_IDENTIFIED_ASK else None,
        )

    def record(self):
        """Return the estimate as a record of dtype :data:`ESTIMATE`, unidentified numbers and all."""
        return np.frombuffer((<char *>&self.c)[: sizeof(mm_estimate)], ESTIMATE)[0]

    def __eq__(self, other):
        if not isinstance(other, Estimate):
            return NotImplemented
        return self.record().tobytes() == other.record().tobytes()

    def __hash__(self):
        return hash(self.record().tobytes())

    def __repr__(self):
        def interval(value, error):
            return "not identified" if value is None else f"{value:.4g} ± {error:.2g}"

        sides = "; ".join([
            f"{side} A {interval(a, ae)}, k {interval(k, ke)}"
            for side, a, ae, k, ke in zip(
                ("bid", "ask"), self.A, self.A_error, self.k, self.k_error, strict=True
            )
        ])
        return f"Estimate(sigma {interval(self.sigma, self.sigma_error)}; {sides})"

    def _repr_html_(self):
        def row(name, value, error, unit):
            cells = ("not identified", "") if value is None else (f"{value:.4g}", f"± {error:.2g}")
            return f"<tr><th>{name}</th><td>{cells[0]}</td><td>{cells[1]}</td><td>{unit}</td></tr>"

        rows = row("sigma", self.sigma, self.sigma_error, "ticks/√s")
        for name, values, errors, unit in (
            ("A", self.A, self.A_error, "1/s"), ("k", self.k, self.k_error, "1/tick")
        ):
            for side, value, error in zip(("bid", "ask"), values, errors, strict=True):
                rows += row(f"{name}, {side}", value, error, unit)
        sold, bought = self.orders
        caption = f"Estimate from {sold:,} orders of sellers and {bought:,} of buyers, {self.seconds:,.0f} s"
        head = "<tr><th></th><th>value</th><th>error</th><th>unit</th></tr>"
        return (
            f"<table><caption>{caption}</caption><thead>{head}</thead><tbody>{rows}</tbody></table>"
        )

    def plot(self, ax=None, *, min_depth=0.0, max_depth=None):
        """Draw the fill intensities A·exp(-k·depth) of both sides with their 95 % bands.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure when omitted.
        min_depth, max_depth : float
            Range of depths, ticks; by default to where the steeper curve has fallen to a twentieth.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        NotIdentified
            Neither side is identified.
        """
        from mmcore.plots import plot_estimate

        return plot_estimate(self, ax, min_depth, max_depth)


@cython.final
cdef class Recalibrate:
    """Calibration over a moving window, and when to put it in force.

    Parameters
    ----------
    every : float
        Seconds between recalibrations.
    window : float
        Seconds of market data that each is made from: a multiple of ``every``.
    warmup : float, optional
        Seconds of data before the first one; the whole window by default.
    sigma_interval : float
        Seconds between the mids whose moves make sigma.
    min_depth, max_depth : float
        Range of depths that are fitted, ticks from the mid, in halves: an order that reaches ``max_depth`` is
        not followed further, and time at which the touch leaves no tick before it is left out.
    pooled : bool
        One A and k for both sides, from the orders of both.
    calibration : Calibration, optional
        Takes ``sigma_interval``, ``min_depth`` and ``max_depth`` from one that was made before, which chose
        them by the market.

    Raises
    ------
    InvalidArgument
        Names the argument that is outside what is allowed.

    Notes
    -----
    The same object serves live trading (:meth:`on_quote`, :meth:`on_trade`, :meth:`update`) and replay
    (``mmcore.replay(..., recalibrate=...)``, which goes on from a copy of it: :meth:`observe` earlier data
    to begin with a full window).

    Thread-safety: one thread at a time.

    Examples
    --------
    >>> import mmcore as mm
    >>> events = mm.SimulatedMarket(duration=1200.0, seed=1).events()
    >>> first, rest = events.split(0.5)
    >>> recalibrate = Recalibrate(every=1.0, window=600.0, warmup=300.0)
    >>> recalibrate.observe(first)
    >>> model = mm.calibrate(first).model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=20)
    >>> result = mm.replay(rest, model, recalibrate=recalibrate)
    >>> len(result.parameters)
    600
    """

    def __cinit__(self, every=1.0, window=1800.0, warmup=None, *, sigma_interval=1.0, min_depth=1.0,
                  max_depth=20.0, pooled=False, calibration=None):
        cdef mm_rolling_settings *s = &self.c.settings
        every, window = _seconds(every, "every"), _seconds(window, "window")
        buckets = round(window / every)
        if buckets < 1 or abs(buckets * every - window) > 1e-9 * window:
            raise InvalidArgument(argument="window", value=window,
                                  allowed=f"a multiple of every={every:g} (s)")
        if buckets > 1_000_000:
            raise InvalidArgument(argument="window", value=window,
                                  allowed=f"at most a million times every={every:g} (s)")
        warmup = window if warmup is None else _seconds(warmup, "warmup", every)
        if warmup > window:
            raise InvalidArgument(argument="warmup", value=warmup,
                                  allowed=f"at most the window, {window:g} (s)")
        if not isinstance(pooled, (bool, np.bool_)):
            raise InvalidArgument(argument="pooled", value=pooled, allowed="True or False")
        if calibration is not None:
            known = calibration.settings
            sigma_interval, min_depth, max_depth = (
                known[name] for name in ("sigma_interval", "min_depth", "max_depth")
            )
        self.sigma_interval = _seconds(sigma_interval, "sigma_interval")
        s.every = round(every * NS)
        s.buckets = buckets
        s.grid = round(self.sigma_interval * NS)
        s.nearest = _half_ticks(min_depth, "min_depth", 0.5)
        s.deepest = _half_ticks(max_depth, "max_depth", 0.5 * s.nearest + 1)
        s.pooled = pooled
        s.warmup = round(warmup * NS)
        self.begin(s[0])

    cdef int begin(self, mm_rolling_settings settings) except -1:
        """An empty window of these settings."""
        cdef int64_t words = mm_rolling_words(&settings)
        PyMem_Free(self.words)
        self.words = <int64_t *>PyMem_Malloc(words * sizeof(int64_t)) if words else NULL
        if self.words == NULL:
            raise CapacityError(f"no memory for a window of {words} numbers")
        mm_rolling_init(&self.c, &settings, self.words)
        return 0

    def __dealloc__(self):
        PyMem_Free(self.words)

    @property
    def every(self):
        """Seconds between recalibrations."""
        return self.c.settings.every / NS

    @property
    def window(self):
        """Seconds of market data behind each."""
        return self.c.settings.every * self.c.settings.buckets / NS

    @property
    def warm(self):
        """Seconds of data before the first."""
        return self.c.settings.warmup / NS

    @property
    def min_depth(self):
        """The nearest depth that is fitted, ticks from the mid."""
        return 0.5 * self.c.settings.nearest

    @property
    def max_depth(self):
        """The farthest, ticks from the mid."""
        return 0.5 * self.c.settings.deepest

    @property
    def pooled(self):
        """Whether both sides share A and k."""
        return self.c.settings.pooled != 0

    @property
    def time(self):
        """Up to when the data have gone in, ns; None before the first row."""
        return None if self.c.origin == INT64_MIN else self.c.now

    cdef int take(self, int status, int64_t time) except -1:
        if status == MM_INVALID:
            since = "0" if self.c.origin == INT64_MIN else f"the last, {self.c.now} ns,"
            raise InvalidArgument(argument="time", value=time, allowed=f"ns from {since} to 2^62")
        return 0

    def on_quote(self, time, bid, ask):
        """Take in a quote.

        Parameters
        ----------
        time : int
            When it reached us, ns; never falls.
        bid, ask : int or None
            Ticks; None where that side is empty. A crossed quote is refused and the last good one stays.
        """
        cdef int64_t t = as_stamp(time, "time")
        self.take(
            mm_rolling_quote(&self.c, t, as_ticks(bid, MM_NO_BID, "bid"), as_ticks(ask, MM_NO_ASK, "ask")), t
        )

    def on_trade(self, time, price, side, *, exchange_time=None, subtick=0, hidden=False):
        """Take in a trade.

        Parameters
        ----------
        time : int
            When it reached us, ns; never falls.
        price : int
            Ticks.
        side : int
            1 when a buyer, −1 when a seller sent the market order; 0 when not known.
        exchange_time : int, optional
            Trades of one stamp and side are one market order; ``time`` by default.
        subtick : int
            Millionths of a tick above ``price``.
        hidden : bool
            Against a hidden order: left out.
        """
        cdef int64_t t = as_stamp(time, "time")
        cdef int64_t stamp = t if exchange_time is None else as_stamp(exchange_time, "exchange_time")
        if side not in (-1, 0, 1):
            raise InvalidArgument(argument="side", value=side, allowed="1, -1 or 0")
        if isinstance(subtick, bool) or not hasattr(subtick, "__index__") or not 0 <= subtick < 1_000_000:
            raise InvalidArgument(argument="subtick", value=subtick, allowed="an integer from 0 to 999999")
        self.take(
            mm_rolling_trade(&self.c, stamp, t, as_ticks(_given(price), MM_NO_BID, "price"), subtick, side,
                             MM_TRADE_HIDDEN if hidden else 0), t
        )

    def observe(self, events):
        """Take in a table of events, as if row by row.

        Parameters
        ----------
        events : Events
            Later than what has gone in already.

        Raises
        ------
        InvalidArgument
            A row is earlier than what has gone in; what came before it has gone in.
        """
        quotes, trades = events.quotes, events.trades
        cdef const uint8_t[::1] kind = np.ascontiguousarray(events.kind, np.uint8)
        cdef const int64_t[::1] qt = np.ascontiguousarray(quotes.local_time, np.int64)
        cdef const int64_t[::1] bid = np.ascontiguousarray(quotes.bid, np.int64)
        cdef const int64_t[::1] ask = np.ascontiguousarray(quotes.ask, np.int64)
        cdef const int64_t[::1] stamp = np.ascontiguousarray(trades.exchange_time, np.int64)
        cdef const int64_t[::1] tt = np.ascontiguousarray(trades.local_time, np.int64)
        cdef const int64_t[::1] price = np.ascontiguousarray(trades.price, np.int64)
        cdef const int32_t[::1] subtick = np.ascontiguousarray(trades.subtick, np.int32)
        cdef const signed char[::1] side = np.ascontiguousarray(trades.side, np.int8)
        cdef const uint8_t[::1] flags = np.ascontiguousarray(trades.flags, np.uint8)
        cdef Py_ssize_t i, q = 0, t = 0, n = kind.shape[0]
        cdef int64_t time = 0
        cdef int status = MM_OK
        with nogil:
            for i in range(n):
                if kind[i] == 1:
                    time = qt[q]
                    status = mm_rolling_quote(&self.c, time, bid[q], ask[q])
                    q += 1
                else:
                    time = tt[t]
                    status = mm_rolling_trade(&self.c, stamp[t], time, price[t], subtick[t], side[t],
                                              flags[t])
                    t += 1
                if status == MM_INVALID:
                    break
        self.take(status, time)

    cdef Estimate estimate_at(self, int64_t time):
        cdef Estimate found = Estimate.__new__(Estimate)
        self.take(mm_rolling_estimate(&self.c, time, &found.c), time)
        return found

    def estimate(self, time):
        """Return what the window that ends at ``time`` tells: whole steps, and what has begun since.

        Between two steps up to ``every`` seconds less than the window are left; :meth:`update` and replays
        look at the ends of steps.

        Parameters
        ----------
        time : int
            ns; all rows up to it have gone in.

        Returns
        -------
        Estimate
        """
        return self.estimate_at(as_stamp(time, "time"))

    def update(self, Quoter quoter not None, time):
        """Put new parameters in force when they are due.

        Parameters
        ----------
        quoter : Quoter
            Made from a model; those of sigma, A and k that the model has are set.
        time : int
            ns; all rows up to it have gone in.

        Returns
        -------
        Estimate or None
            What was put in force: made at the end of the last full `every` seconds. None when there is none
            newer than the last. Where the window does not identify all of them (see
            :attr:`Estimate.identified`) nothing is set: the parameters in force stay.

        Raises
        ------
        InvalidArgument, NoConvergence
            The quoter refused the numbers: the parameters in force stay.
        """
        cdef int64_t t = as_stamp(time, "time")
        mm_rolling_make(&self.c, t)
        if self.c.made == self.used:
            return None
        self.used = self.c.made
        cdef Estimate found = Estimate.__new__(Estimate)
        found.c = self.c.latest
        if mm_estimate_whole(&found.c):
            quoter.set(**{name: getattr(found, name) for name in _wanted(quoter)})
        return found

    def _repr_html_(self):
        from html import escape

        text = f"<p><code>{escape(repr(self))}</code></p>"
        return text if self.time is None else text + self.estimate(self.time)._repr_html_()

    def plot(self, ax=None):
        """Draw what the window tells now: :meth:`Estimate.plot` over the range of depths that is fitted.

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
        NotIdentified
            Nothing is identified, or no data have gone in.
        """
        if self.time is None:
            raise NotIdentified("no data have gone in: nothing is known of sigma, A and k")
        return self.estimate(self.time).plot(ax, min_depth=self.min_depth, max_depth=self.max_depth)

    def copy(self):
        """Return an object that goes on from the same state."""
        cdef Recalibrate other = Recalibrate()
        other.begin(self.c.settings)
        memcpy(other.words, self.words, mm_rolling_words(&self.c.settings) * sizeof(int64_t))
        other.c = self.c
        mm_rolling_place(&other.c, other.words)
        other.sigma_interval = self.sigma_interval
        other.used = self.used
        return other

    def __reduce__(self):
        cdef Py_ssize_t nbytes = mm_rolling_bytes(&self.c.settings)
        cdef bytes block = PyBytes_FromStringAndSize(NULL, nbytes)
        mm_rolling_save(&self.c, <mm_rolling_saved *>PyBytes_AS_STRING(block))
        return _restore_recalibrate, (block, self.used, self.sigma_interval)

    def __repr__(self):
        return (
            f"Recalibrate(every={self.every:g}, window={self.window:g}, warmup={self.warm:g}, "
            f"min_depth={self.min_depth:g}, max_depth={self.max_depth:g}"
            + (f", sigma_interval={self.sigma_interval:g}" if self.sigma_interval != 1.0 else "")
            + (", pooled=True" if self.pooled else "") + ")"
        )


def _wanted(Quoter quoter):
    """Those of sigma, A and k that the quoter's model has."""
    known = getattr(quoter._model, "PARAMETERS", None)
    if known is None:
        raise Unsupported(
            "the quoter must be made from a model with parameters sigma, A or k to be recalibrated",
            argument="quoter",
        )
    names = {parameter.name for parameter in known}
    return tuple([name for name in ALL if name in names])


def _restore_recalibrate(block, int64_t used, double sigma_interval):
    cdef Py_buffer view
    cdef mm_rolling_saved *copy
    cdef Recalibrate made = Recalibrate()
    cdef size_t nbytes
    PyObject_GetBuffer(bytes_like(block), &view, PyBUF_SIMPLE)
    nbytes = <size_t>view.len
    copy = <mm_rolling_saved *>PyMem_Malloc(nbytes)
    if copy != NULL:
        memcpy(copy, view.buf, nbytes)
    PyBuffer_Release(&view)
    if copy == NULL:
        raise CapacityError(f"no memory for {nbytes} bytes")
    try:
        if mm_rolling_saved_check(copy, nbytes) != MM_OK or not 0 <= used <= copy.rolling.made:
            raise CorruptError("the saved window is cut or changed: size, checksum or content is wrong")
        made.begin(copy.rolling.settings)
        mm_rolling_load(copy, &made.c, made.words)
    finally:
        PyMem_Free(copy)
    made.used, made.sigma_interval = used, sigma_interval
    return made
