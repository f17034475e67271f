"""The dynamic program of a market maker whose inventory moves by fills, on nodes one order apart.

In a step there is one offer out on each side. Offer i of the bid is filled with probability ``p[i]``, earns
``reward[i]`` and moves inventory up; those of the ask move it down. Where fills exclude each other,

    V'[s] = rate[s] + discount V[s] + max_i p_i (reward_i + discount (V[s+1] - V[s]))
                                    + max_j p_j (reward_j + discount (V[s-1] - V[s])),

and each maximum is the upper envelope of lines, of which every edge between nodes keeps the one in force.
:class:`InventoryChain` is one such problem, over a finite horizon (:meth:`~InventoryChain.backward`) or for
ever (:meth:`~InventoryChain.stationary`); :class:`Regimes` are several between which the market moves, with
market orders. :class:`mmcore.dp.MarketMakingProblem` builds on this; the kernels are in
``mmcore/market_making.h``.
"""
import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int16_t, int64_t

from mmcore.errors import CapacityError, InvalidArgument, NoConvergence, OutOfBounds, Unsupported

from mmcore.cpu cimport c_cpu, mm_cpu

cdef extern from "mmcore/types.h" nogil:
    enum:
        MM_OK
        MM_BID
        MM_ASK
        MM_UNSUPPORTED
        MM_OVERFLOW

cdef extern from "mmcore/market_making.h" nogil:
    ctypedef struct mm_offers:
        int64_t count
        const double *probability
        const double *reward
        const int64_t *lots

    ctypedef struct mm_envelope:
        int64_t count
        double *level
        double *slope
        double *from_ "from"
        int16_t *code

    ctypedef struct mm_making:
        int64_t n
        const double *rate
        double discount
        mm_offers offers[2]
        mm_envelope side[2]
        int plain
        int independent

    ctypedef struct mm_making_state:
        double *level
        double *up
        double *down
        int16_t *line[2]
        void *code[2]

    ctypedef struct mm_regimes:
        int64_t count
        const mm_making *chain
        const double *change
        int exclusive
        const double *cross

    int64_t MM_MAKING_WORK(int64_t n)
    void mm_envelope_build(const mm_offers *o, double discount, mm_envelope *e) noexcept
    void mm_making_begin(const mm_making *p, double *work, int width, mm_making_state *w) noexcept
    void mm_regimes_step(mm_cpu cpu, const mm_regimes *m, mm_making_state *w, const double *next, double *out,
                         int16_t *take, double *mixed) noexcept
    void mm_regimes_backward(mm_cpu cpu, const mm_regimes *m, mm_making_state *w, int64_t start, int64_t to,
                             double *values, void *bid, void *ask, int16_t *take, int16_t *taken,
                             double *mixed) noexcept
    int mm_making_iterate(const mm_making *p, mm_making_state *w, int64_t limit, double *v, double *gain,
                          int64_t *iterations, double *work) noexcept

__all__ = ["InventoryChain", "Regimes"]

cdef int64_t BLOCK = 1 << 26  # states and steps between two looks at signals: a tenth of a second


cdef _finite(str argument, value):
    """A read-only copy as float64, one axis, all finite; or raise."""
    array = np.array(value, dtype=np.float64, order="C")
    if array.ndim != 1:
        raise InvalidArgument(argument=argument, value=array.shape, allowed="an array of one axis")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise InvalidArgument(argument=argument, value=float(array[wrong[0]]), allowed="finite",
                              index=int(wrong[0]))
    array.flags.writeable = False
    return array


@cython.final
cdef class InventoryChain:
    """One problem: rewards of the nodes, and what may be offered on either side.

    Parameters
    ----------
    rate : array_like of float, shape (n,)
        Reward of a step at each node; n >= 2.
    bid, ask : (probability, reward) or (probability, reward, lots)
        Arrays of one length m, 1 <= m <= 32767, an offer each: the probability of a fill within a step,
        what the fill earns, and how many nodes it moves (1 when omitted). An offer of probability 0
        stands for quoting nothing. An offer that would leave the lattice does not fit, and where none fits
        the side is absent.
    discount : float
        Per step, 0 <= discount <= 1.
    independent : bool
        Whether both sides may be filled in one step; else at most one is.

    Raises
    ------
    InvalidArgument
        Names the argument: not finite, no probability, or bid and ask together above one.
    CapacityError
        There are more than 32767 offers on a side.

    Notes
    -----
    Thread-safety: immutable; any number of threads may solve one chain at once, and the GIL is released
    while they do.

    Examples
    --------
    One order of either side, three nodes, and a penalty on holding:

    >>> chain = InventoryChain([-0.1, 0.0, -0.1], ([0.5], [1.0]), ([0.5], [1.0]))
    >>> values, bid, ask = chain.backward(2)
    >>> values[0].tolist(), bid[0].tolist(), ask[0].tolist()
    ([1.1, 1.4, 1.1], [0, 0, -1], [-1, 0, 0])
    """

    cdef mm_making c_chain
    cdef object _keep
    cdef readonly object rate
    cdef readonly object bid
    cdef readonly object ask

    def __init__(self, rate, bid, ask, *, discount=1.0, independent=False):
        cdef const double[::1] r, p, e
        cdef const int64_t[::1] size
        cdef double[::1] lines
        cdef int16_t[::1] codes
        cdef mm_envelope *side
        cdef int i
        cdef int64_t m
        self.rate = _finite("rate", rate)
        if self.rate.size < 2:
            raise InvalidArgument(argument="rate", value=self.rate.shape, allowed="of shape (n,), n >= 2")
        r = self.rate
        if not 0.0 <= discount <= 1.0:
            raise InvalidArgument(argument="discount", value=discount, allowed=">= 0 and <= 1")
        self.c_chain.n, self.c_chain.rate, self.c_chain.discount = r.shape[0], &r[0], discount
        self.c_chain.independent = bool(independent)
        self.c_chain.plain = not independent
        self._keep, sides = [], []
        for i, (name, given) in enumerate((("bid", bid), ("ask", ask))):
            given = tuple(given)
            if len(given) not in (2, 3):
                raise InvalidArgument(argument=name, value=len(given),
                                      allowed="(probability, reward) or (probability, reward, lots)")
            chance, reward = _finite(name, given[0]), _finite(name, given[1])
            lots = np.array(given[2] if len(given) == 3 else np.ones(chance.size), dtype=np.float64)
            if not chance.size or chance.shape != reward.shape or chance.shape != lots.shape:
                raise InvalidArgument(argument=name, value=(chance.shape, reward.shape, lots.shape),
                                      allowed="arrays of one length, at least 1")
            if chance.size > 32767:
                raise CapacityError(f"{name} may hold at most 32767 offers, got {chance.size}", argument=name,
                                    value=chance.size)
            wrong = np.flatnonzero(~((chance >= 0.0) & (chance <= 1.0)))
            if wrong.size:
                raise InvalidArgument(argument=name, value=float(chance[wrong[0]]), index=int(wrong[0]),
                                      allowed="probabilities")
            wrong = np.flatnonzero(~((lots >= 1.0) & (lots == np.floor(lots)) & (lots < 2.0**31)))
            if wrong.size:
                raise InvalidArgument(argument=name, value=float(lots[wrong[0]]), index=int(wrong[0]),
                                      allowed="whole lots, >= 1")
            lots = lots.astype(np.int64)
            lots.flags.writeable = False
            p, e, size = chance, reward, lots
            m = p.shape[0]
            self.c_chain.offers[i].count = m
            self.c_chain.offers[i].probability = &p[0]
            self.c_chain.offers[i].reward = &e[0]
            self.c_chain.offers[i].lots = &size[0]
            self.c_chain.plain = self.c_chain.plain and bool((lots == 1).all())
            memory, small = np.empty(3 * m + 1), np.empty(m, dtype=np.int16)
            lines, codes = memory, small
            side = &self.c_chain.side[i]
            side.level, side.slope, side.from_ = &lines[0], &lines[m], &lines[2 * m]
            side.code = &codes[0]
            mm_envelope_build(&self.c_chain.offers[i], discount, side)
            self._keep += [memory, small]
            sides.append((chance, reward, lots))
        self.bid, self.ask = sides
        # a sum of two doubles that are apart is rounded: compared with what is left of one, which is exact
        # from a half on, as the larger of the two is
        most = sorted((self.bid[0].max(), self.ask[0].max()))
        if not independent and (most[0] > 1.0 - most[1] if most[1] >= 0.5 else False):
            raise InvalidArgument(argument="ask", value=float(self.ask[0].max()),
                                  allowed=f"at most 1 - {float(self.bid[0].max())!r}, since only one side is "
                                          "filled in a step")

    @property
    def discount(self):
        """Per step."""
        return self.c_chain.discount

    @property
    def separates(self):
        """Whether bid and ask are chosen one by one: single orders and exclusive fills."""
        return bool(self.c_chain.plain)

    def __len__(self):
        return self.c_chain.n

    def __repr__(self):
        return (f"InventoryChain(n={self.c_chain.n}, bid={self.c_chain.offers[0].count} offers, "
                f"ask={self.c_chain.offers[1].count} offers, discount={self.c_chain.discount!r})")

    def lines(self):
        """The lines in use on each side, for those who check them: (level, slope, from, code).

        Returns
        -------
        bid, ask : tuple of ndarray
            Line k is in force where ``from[k] <= x <= from[k + 1]``, x being by how much the value rises
            with the fill.
        """
        out = []
        for i in range(2):
            m, count = self.c_chain.offers[i].count, self.c_chain.side[i].count
            memory, small = self._keep[2 * i], self._keep[2 * i + 1]
            out.append((memory[:count].copy(), memory[m:m + count].copy(),
                        memory[2 * m:2 * m + count + 1].copy(), small[:count].copy()))
        return tuple(out)

    def backward(self, steps, terminal=0.0, *, values=None, bid=None, ask=None):
        """Solve over a finite horizon, by backward induction.

        Parameters
        ----------
        steps : int
            Decisions to take, >= 0.
        terminal : float or array_like, shape (n,)
            Value at the end.
        values : ndarray of float, shape (steps + 1, n), optional
            Where the values go; row t is with t steps gone.
        bid, ask : ndarray of int8 or int16, shape (steps, n), optional
            Where the offers taken go, counted as given; -1 where the side is absent.

        Returns
        -------
        values, bid, ask : ndarray
            Those given, or new ones.

        Raises
        ------
        InvalidArgument
            Names the argument.
        OutOfBounds
            Values left the range of numbers.
        """
        cdef mm_regimes m
        m.count, m.chain, m.change, m.cross, m.exclusive = 1, &self.c_chain, NULL, NULL, 1
        values, bid, ask, _ = _backward(&m, (), steps, terminal, values, bid, ask, None)
        return values, bid, ask

    def stationary(self, *, int64_t limit=1000):
        """Solve for ever, by policy iteration: discounted, or the average reward where the discount is 1.

        Returns
        -------
        value : ndarray of float, shape (n,)
            Value of each node; with discount 1 less that of the middle node.
        bid, ask : ndarray of int16, shape (n,)
            Offers taken; -1 where the side is absent.
        gain : float
            Average reward of a step; 0 where the discount is below 1.
        iterations : int
            Policies valued.

        Raises
        ------
        Unsupported
            Fills do not separate, or the gain depends on where inventory starts.
        NoConvergence
            `limit` policies were not enough.
        OutOfBounds
            Values leave the range of numbers.
        """
        cdef int64_t n = self.c_chain.n, iterations = 0
        cdef mm_making_state w
        cdef double gain = 0.0
        cdef int status
        if not self.c_chain.plain:
            raise Unsupported("policy iteration here is for one order at a time and exclusive fills")
        state, memory = np.zeros(n), np.empty(MM_MAKING_WORK(n) + 3 * n)
        codes = np.empty((2, n), dtype=np.int16)
        cdef double[::1] v = state, work = memory
        cdef int16_t[:, ::1] code = codes
        with nogil:
            mm_making_begin(&self.c_chain, &work[3 * n], 2, &w)
            w.code[MM_BID], w.code[MM_ASK] = &code[0, 0], &code[1, 0]
            code[:, :] = -1
            status = mm_making_iterate(&self.c_chain, &w, limit, &v[0], &gain, &iterations, &work[0])
        if status == MM_UNSUPPORTED:
            raise Unsupported("the gain depends on where inventory starts: some inventories cannot be left")
        if status == MM_OVERFLOW:
            raise OutOfBounds("the values leave the range of numbers")
        if status != MM_OK:
            raise NoConvergence(f"policy iteration did not end for {self!r}")
        if self.c_chain.discount == 1.0:
            middle = n // 2
            above, below = np.cumsum(state[middle:n - 1]), -np.cumsum(state[:middle][::-1])[::-1]
            state[:middle], state[middle], state[middle + 1:] = below, 0.0, above
        return state, codes[0], codes[1], gain, iterations


@cython.final
cdef class Regimes:
    """Problems on the same nodes between which the market moves, and market orders.

    Parameters
    ----------
    chains : sequence of InventoryChain
        One for each regime; of one length and one discount.
    change : array_like of float, shape (m, m), optional
        ``change[i, j]``: probability that the next step is in regime j. Needed where there are several.
    exclusive : bool
        A change of regime and a fill exclude each other; otherwise they are independent.
    cross : array_like of float, shape (m,), optional
        What a market order of one node costs in each regime, > 0; None: there are none.

    Raises
    ------
    InvalidArgument
        Names the argument; rows of `change` must sum to one to rounding.

    Notes
    -----
    Thread-safety: immutable, as :class:`InventoryChain`.
    """

    cdef mm_regimes c_regimes
    cdef object _keep, _memory
    cdef readonly tuple chains

    def __init__(self, chains, change=None, *, exclusive=True, cross=None):
        cdef const double[::1] flat, cost
        cdef InventoryChain chain
        self.chains = tuple(chains)
        count = len(self.chains)
        if not count:
            raise InvalidArgument(argument="chains", value=0, allowed="at least one")
        for i, one in enumerate(self.chains):
            if not isinstance(one, InventoryChain) or len(one) != len(self.chains[0]) \
                    or one.discount != self.chains[0].discount:
                raise InvalidArgument(argument="chains", value=one, index=i,
                                      allowed="InventoryChains of one length and one discount")
        memory = np.zeros(count * sizeof(mm_making), dtype=np.uint8)
        cdef unsigned char[::1] raw = memory
        cdef mm_making *place = <mm_making *>&raw[0]
        for i in range(count):
            chain = self.chains[i]
            place[i] = chain.c_chain
        self._memory = memory
        self.c_regimes.count, self.c_regimes.chain = count, place
        self.c_regimes.exclusive = bool(exclusive)
        self._keep = []
        if count > 1 or change is not None:
            matrix = np.array(change if change is not None else np.nan, dtype=np.float64)
            if matrix.shape != (count, count) or not (matrix >= 0.0).all() \
                    or not (np.abs(matrix.sum(axis=1) - 1.0) <= 1e-12).all():
                raise InvalidArgument(argument="change", value=change,
                                      allowed=f"of shape ({count}, {count}), with rows of sum one")
            if exclusive and count > 1:
                for i, one in enumerate(self.chains):
                    if one.bid[0].max() + one.ask[0].max() > matrix[i, i] + 1e-12:
                        raise InvalidArgument(
                            argument="change", value=float(matrix[i, i]), index=i,
                            allowed="such that fills and changes of regime have at most probability one"
                        )
            flat = np.ascontiguousarray(matrix).reshape(-1)
            self._keep.append(np.asarray(flat))
            self.c_regimes.change = &flat[0]
        if cross is not None:
            price = _finite("cross", cross)
            if price.shape != (count,) or not (price > 0.0).all() or len(self.chains[0]) > 32767:
                raise InvalidArgument(argument="cross", value=cross,
                                      allowed=f"of shape ({count},), > 0, with at most 32767 nodes")
            cost = price
            self._keep.append(price)
            self.c_regimes.cross = &cost[0]

    def __len__(self):
        return self.c_regimes.count

    def step(self, next):
        """One step back, from the value of what may come next.

        Parameters
        ----------
        next : array_like of float, shape (m, n)

        Returns
        -------
        value : ndarray of float, shape (m, n)
        bid, ask, take : ndarray of int16, shape (m, n)
            Offers taken (-1: absent), and by how many nodes market orders move inventory first.
        """
        m, n = self.c_regimes.count, self.c_regimes.chain[0].n
        given = np.array(next, dtype=np.float64, ndmin=2)
        codes = np.empty((2, 1, m, n), np.int16)
        values, bid, ask, take = _backward(&self.c_regimes, (m,), 1, given, None, codes[0], codes[1], None)
        return values[0], bid[0], ask[0], take[0]

    def backward(self, steps, terminal=0.0, *, values=None, bid=None, ask=None, take=None):
        """Solve over a finite horizon; :meth:`InventoryChain.backward` with an axis of regimes.

        Returns
        -------
        values : ndarray of float, shape (steps + 1, m, n)
        bid, ask : ndarray of int8 or int16, shape (steps, m, n)
        take : ndarray of int16, shape (steps, m, n)
            By how many nodes market orders move inventory before the quotes go out.
        """
        return _backward(&self.c_regimes, (self.c_regimes.count,), steps, terminal, values, bid, ask, take)


cdef _into(str name, array, shape, kinds):
    """The caller's array, if it can be written to as it stands; or raise."""
    if not (isinstance(array, np.ndarray) and array.shape == shape and array.dtype in kinds
            and array.flags.c_contiguous and array.flags.writeable):
        raise InvalidArgument(
            argument=name, value=getattr(array, "shape", array),
            allowed=f"a writeable contiguous array of shape {shape} and type {' or '.join(map(str, kinds))}"
        )
    return array


cdef _backward(const mm_regimes *m, tuple regimes, steps, terminal, values, bid, ask, take):
    cdef int64_t n = m.chain[0].n, count = m.count, t, to, block
    cdef int64_t size = MM_MAKING_WORK(n)
    cdef mm_cpu cpu = c_cpu()
    cdef int width
    if not (isinstance(steps, (int, np.integer)) and steps >= 0):
        raise InvalidArgument(argument="steps", value=steps, allowed="an integer >= 0")
    t = steps
    start = np.array(terminal, dtype=np.float64)
    try:
        start = np.broadcast_to(start, (*regimes, n))
    except ValueError:
        raise InvalidArgument(argument="terminal", value=start.shape,
                              allowed=f"a number or of shape {(*regimes, n)}") from None
    if not np.isfinite(start).all():
        raise InvalidArgument(argument="terminal", value=terminal, allowed="finite")
    most = max([m.chain[r].offers[i].count for r in range(count) for i in range(2)])
    kinds = [np.dtype(np.int8)] * (most <= 128) + [np.dtype(np.int16)]
    shape = (steps, *regimes, n)
    floats = [np.dtype(np.float64)]
    rows = (steps + 1, *regimes, n)
    values = np.empty(rows) if values is None else _into("values", values, rows, floats)
    kind = kinds[0] if bid is None and ask is None else (ask if bid is None else bid).dtype
    bid = np.empty(shape, kind) if bid is None else _into("bid", bid, shape, kinds)
    ask = np.empty(shape, kind) if ask is None else _into("ask", ask, shape, [bid.dtype])
    if take is None:
        take = np.zeros(shape, np.int16) if m.cross is not NULL or regimes else None
    else:
        take = _into("take", take, shape, [np.dtype(np.int16)])
        take[...] = 0
    width = bid.dtype.itemsize
    values[steps] = start
    memory = np.empty(count * size + n)
    states, taken = np.empty(count * sizeof(mm_making_state), np.uint8), np.zeros(count * n, np.int16)
    cdef double[::1] work = memory, flat = values.reshape(-1)
    cdef unsigned char[::1] raw = states
    cdef mm_making_state *w = <mm_making_state *>&raw[0]
    cdef int16_t[::1] spare = taken, crossed = taken if take is None else take.reshape(-1)
    cdef const unsigned char[::1] b, a
    cdef int64_t r
    cdef void *to_bid = NULL
    cdef void *to_ask = NULL
    cdef int16_t *to_take = NULL
    if t:
        b, a = bid.reshape(-1).view(np.uint8), ask.reshape(-1).view(np.uint8)
        to_bid, to_ask = <void *>&b[0], <void *>&a[0]
        to_take = NULL if take is None else &crossed[0]
    for r in range(count):
        mm_making_begin(&m.chain[r], &work[r * size], width, &w[r])
    block = max(1, BLOCK // (n * count))
    while t:
        to = max(0, t - block)
        with nogil:
            mm_regimes_backward(cpu, m, w, t, to, &flat[0], to_bid, to_ask, to_take, &spare[0],
                                &work[count * size])
        PyErr_CheckSignals()
        t = to
    if not np.isfinite(values[0]).all():
        raise OutOfBounds("the values leave the range of numbers")
    return values, bid, ask, take
