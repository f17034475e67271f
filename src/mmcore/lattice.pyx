"""The Hamilton-Jacobi-Bellman equation of one asset on an inventory lattice.

Every exact model with exponential fill intensities is one equation. Inventory stands on ``n`` nodes,
one order apart; ``z`` is the value per order (ticks) and ``tau`` the time left (s):

    dz[i]/dtau = rate[i] + up exp(k_bid x[i]) [i < n-1] + down exp(-k_ask x[i-1]) [i > 0],
    x[i] = z[i+1] - z[i].

Only the differences ``x`` set the quotes, so they are what is solved for: the stationary ones by a
recursion from both ends and Newton on the gain, those at a finite ``tau`` by an extrapolated linearly
implicit Euler method, which a signal (Ctrl-C) may interrupt. The models in :mod:`mmcore.models` build on
this; the kernels are in ``mmcore/lattice.h``.
"""
import numpy as np

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport isfinite
from libc.stdint cimport int64_t

from mmcore.errors import InvalidArgument, NoConvergence

from mmcore.quoting cimport (
    MM_INVALID,
    MM_MODEL_EXACT,
    MM_OK,
    c_parameters_of,
    mm_nodes_of,
    mm_parameters,
    mm_parameters_check,
    mm_parameters_init,
)

cdef extern from "mmcore/uniformisation.h" nogil:
    int64_t MM_UNIFORMISATION_WORK(int64_t n)
    double mm_uniformisation_growth(const mm_lattice *p, const double *x) noexcept
    int mm_uniformise(const mm_lattice *p, double span, double *x, double *value, double *work) noexcept

cdef extern from "mmcore/recalibration.h" nogil:
    ctypedef struct mm_affine_form:
        double base[2]
        double base_rate[2]
        double slope[2]
        double slope_rate[2]

    ctypedef struct mm_sides:
        double depth[2]

    double mm_static_half_spread(double curvature, double k) noexcept
    double mm_fill_constant(double curvature, double k) noexcept
    void mm_side_of(double curvature, double k, double a, double cost, double *depth, double *rate) noexcept
    int mm_affine_of(const mm_parameters *p, mm_affine_form *out, const char **wrong) noexcept
    int mm_problem_of(const mm_parameters *p, double *rate, double *rate_lo, mm_lattice *lattice,
                      mm_lattice_start *start, mm_sides *sides, const char **wrong) noexcept
    int mm_stationary_depths(const mm_parameters *p, double *bid, double *ask,
                             double *gain, double *residual, double *work, const char **wrong) noexcept

__all__ = [
    "Lattice", "affine_of", "evaluate", "fill_constant", "lattice_of", "side_of", "static_half_spread",
    "stationary_policies",
]


def static_half_spread(double curvature, double k):
    """Half-spread of who does not mind inventory, ticks: log(1 + x) / curvature, x = curvature / k.

    Parameters
    ----------
    curvature : float
        Risk aversion times order size (1/tick), >= 0; 0 gives 1/k.
    k : float
        Decay of the fill intensity (1/tick).

    Examples
    --------
    >>> static_half_spread(0.0, 2.0), static_half_spread(1e-18, 2.0)
    (0.5, 0.5)
    """
    return mm_static_half_spread(curvature, k)


def fill_constant(double curvature, double k):
    """The constant C of the Hamiltonian A C exp(-k s) / k: (1 + x)^-(1 + 1/x), x = curvature / k; 1/e at 0.

    Examples
    --------
    >>> round(fill_constant(0.0, 2.0), 15)
    0.367879441171442
    """
    return mm_fill_constant(curvature, k)


def side_of(double curvature, double k, double A, double cost):
    """What one side is worth: its depth at no inventory, ticks, and A C exp(-k cost), 1/s.

    Parameters
    ----------
    curvature, k : float
        As of :func:`static_half_spread`.
    A : float
        Fill intensity at the reference price, 1/s.
    cost : float
        Ticks per lot.

    Examples
    --------
    >>> side_of(0.0, 2.0, 1.0, 0.25)[0], round(side_of(0.0, 2.0, 1.0, 0.25)[1], 15)
    (0.75, 0.22313016014843)
    """
    cdef double depth, rate
    mm_side_of(curvature, k, A, cost, &depth, &rate)
    return depth, rate


def affine_of(model):
    """Depths of a model that are affine in inventory and in time left, as the kernel compiles them.

    Parameters
    ----------
    model : GueantLehalleFernandezTapia.closed_form or AvellanedaStoikov
        The latter with a horizon.

    Returns
    -------
    base, base_rate : tuple of float
        Bid and ask, ticks and ticks/s.
    slope, slope_rate : float
        Ticks per lot, and that per second.

    Raises
    ------
    InvalidArgument
        Where a coefficient is beyond numbers.

    Examples
    --------
    >>> from mmcore import AvellanedaStoikov
    >>> affine_of(AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.5, horizon=1.0))[1:]
    ((1.0, 1.0), 0.0, 2.0)
    """
    cdef mm_parameters p
    cdef mm_affine_form form
    cdef const char *wrong = NULL
    c_parameters_of(&p, model)
    if mm_affine_of(&p, &form, &wrong) != MM_OK:
        name = wrong.decode()
        raise InvalidArgument(argument=name, value=getattr(model, name),
                              allowed="such that the depths are numbers, given the other parameters")
    return ((form.base[0], form.base[1]), (form.base_rate[0], form.base_rate[1]), form.slope[0],
            form.slope_rate[0])


MOST_TERMS = 1e7  # of a uniformisation that was asked for: some seconds at 1,000 nodes

cdef double FEW_TERMS = 3000.0  # and the implicit method, which takes about as long on any lattice, is slower
# terms times nodes: less than a tenth of a second, within which no signal is looked for
cdef double SHORT = 1e8


cdef int lattice_stationary(const mm_lattice *p, double *x, double *gain, double *residual) noexcept nogil:
    return mm_lattice_stationary(p, x, gain, residual)


cdef int64_t lattice_work(int64_t n) noexcept nogil:
    return MM_LATTICE_WORK(n)


cdef int lattice_advance(const mm_lattice *p, double span, double tolerance, double *done, double *x,
                         double *value, double *step, double *work) noexcept nogil:
    return mm_lattice_advance(p, span, tolerance, done, x, value, step, work)


cdef int quoted_advance(const mm_quoted *p, double tolerance, double *done, double *x, double *value,
                        double *step, double *work) noexcept nogil:
    return mm_quoted_advance(p, tolerance, done, x, value, step, work)


cdef _finite(str argument, value, shape, str of_shape):
    """A read-only copy as float64 of the shape, all finite; or raise."""
    array = np.array(value, dtype=np.float64, order="C")
    if array.shape != shape:
        raise InvalidArgument(argument=argument, value=array.shape, allowed=f"of shape {of_shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise InvalidArgument(argument=argument, value=float(array.flat[wrong[0]]), allowed="finite",
                              index=int(wrong[0]))
    return array


cdef double _positive(str argument, value) except? -1:
    cdef double number = value
    if not (isfinite(number) and number > 0):
        raise InvalidArgument(argument=argument, value=value, allowed="a finite number > 0")
    return number


@cython.final
cdef class Lattice:
    """One equation on one lattice, ready to be solved.

    Parameters
    ----------
    rate : array_like of float, shape (n,)
        Running reward at each node, per order (ticks/s); n >= 2.
    up, down : float
        The Hamiltonian's factor on the bid and on the ask side (ticks/s), > 0.
    k_bid, k_ask : float
        Decay of the fill intensities (1/tick), > 0.

    Raises
    ------
    InvalidArgument
        Names the argument that is not finite or not positive.

    Notes
    -----
    Thread-safety: immutable; any number of threads may solve one lattice at once, and the GIL is
    released while they do.

    Examples
    --------
    Nobody minds inventory (all rates equal), three nodes: the gain is 2 cos(pi/4) / e.

    >>> import math
    >>> lattice = Lattice([0.0, 0.0, 0.0], up=1 / math.e, down=1 / math.e, k_bid=1.0, k_ask=1.0)
    >>> differences, gain, residual = lattice.stationary()
    >>> abs(gain - 2 * math.cos(math.pi / 4) / math.e) < 1e-15
    True
    """

    def __init__(self, rate, *, up, down, k_bid, k_ask):
        array = np.array(rate, dtype=np.float64, order="C")
        if array.ndim != 1 or array.size < 2:
            raise InvalidArgument(argument="rate", value=array.shape,
                                  allowed="an array of shape (n,), n >= 2")
        wrong = np.flatnonzero(~np.isfinite(array))
        if wrong.size:
            raise InvalidArgument(argument="rate", value=float(array[wrong[0]]), allowed="finite",
                                  index=int(wrong[0]))
        array.flags.writeable = False
        cdef const double[::1] view = array
        self._rate = array
        self.c_lattice.n = array.size
        self.c_lattice.rate = &view[0]
        self.c_lattice.up = _positive("up", up)
        self.c_lattice.down = _positive("down", down)
        self.c_lattice.k_bid = _positive("k_bid", k_bid)
        self.c_lattice.k_ask = _positive("k_ask", k_ask)
        self.c_start = mm_lattice_unknown(&self.c_lattice)

    @property
    def rate(self):
        """Running reward at each node (ticks/s), read-only."""
        return self._rate

    @property
    def up(self):
        """Factor of the bid side (ticks/s)."""
        return self.c_lattice.up

    @property
    def down(self):
        """Factor of the ask side (ticks/s)."""
        return self.c_lattice.down

    @property
    def k_bid(self):
        """Decay of the fill intensity of the bid (1/tick)."""
        return self.c_lattice.k_bid

    @property
    def k_ask(self):
        """Decay of the fill intensity of the ask (1/tick)."""
        return self.c_lattice.k_ask

    def __len__(self):
        return self.c_lattice.n

    def __repr__(self):
        p = self.c_lattice
        return f"Lattice(n={p.n}, up={p.up!r}, down={p.down!r}, k_bid={p.k_bid!r}, k_ask={p.k_ask!r})"

    def stationary(self):
        """Solve for infinite time left, where every node gains at the same rate.

        Returns
        -------
        differences : ndarray of float, shape (n - 1,)
            x[i] = z[i+1] - z[i] (ticks).
        gain : float
            dz/dtau at every node (ticks/s).
        residual : float
            Largest error of the n equations, relative to the terms in it.

        Raises
        ------
        NoConvergence
            Rounding or overflow stopped the iteration.
        """
        x = np.empty(self.c_lattice.n - 1)
        cdef double[::1] view = x
        cdef double gain = 0.0, residual = 0.0
        cdef mm_lattice_start start = self.c_start
        cdef int status
        with nogil:
            status = mm_lattice_stationary_from(&self.c_lattice, &start, &view[0], &gain, &residual)
        if status != MM_OK:
            raise NoConvergence(f"no stationary solution was found for {self!r}")
        return x, gain, residual

    def uniformise(self, start, double span, *, double value=0.0):
        """Solve as :meth:`evolve` does, by a series of positive terms: for equal k and not too long a time.

        The number of terms is about the fastest rate times the time, k max(-rate) span; where that is some
        thousands, this is the fastest way, and :meth:`evolve` takes it. Each difference is good to about
        1e-14 / k.

        Parameters
        ----------
        start : array_like of float, shape (n - 1,)
            Differences at the start (ticks).
        span : float
            Seconds, >= 0.
        value : float
            z of the middle node at the start (ticks).

        Returns
        -------
        differences : ndarray of float, shape (n - 1,)
            x after `span` seconds (ticks).
        middle : float
            z of the middle node then (ticks).

        Raises
        ------
        InvalidArgument
            An argument is not allowed; k_bid and k_ask differ; or there would be too many terms.
        NoConvergence
            A difference is beyond numbers.

        Examples
        --------
        >>> lattice = Lattice([-1.0, 0.0, -1.0], up=0.5, down=0.5, k_bid=1.0, k_ask=1.0)
        >>> x, _ = lattice.uniformise([0.0, 0.0], 3.0)
        >>> bool(x[0] == -x[1])
        True
        """
        cdef int64_t n = self.c_lattice.n
        cdef int status
        state = _finite("start", start, (n - 1,), f"({n - 1},)")
        if not (isfinite(span) and span >= 0 and isfinite(value)):
            raise InvalidArgument(argument="span" if isfinite(value) else "value",
                                  value=span if isfinite(value) else value, allowed="a finite number >= 0")
        if self.c_lattice.k_bid != self.c_lattice.k_ask:
            raise InvalidArgument(argument="k_ask", value=self.k_ask, allowed=f"k_bid, {self.k_bid!r}")
        cdef double[::1] x = state, w = np.empty(MM_UNIFORMISATION_WORK(n))
        terms = span * mm_uniformisation_growth(&self.c_lattice, &x[0])
        if not terms <= MOST_TERMS:
            raise InvalidArgument(argument="span", value=span,
                                  allowed=f"so short that {terms:.3g} terms become at most {MOST_TERMS:.3g}")
        with nogil:
            status = mm_uniformise(&self.c_lattice, span, &x[0], &value, &w[0])
        if status != MM_OK:
            raise NoConvergence(f"a difference left the range of numbers for {self!r}")
        return state, value

    def evolve(self, start, times, *, double value=0.0, double tolerance=1e-13, double first_step=0.0):
        """Solve for the given times left, from a known state at time left 0.

        By uniformisation where k is equal on both sides and few terms do, else by the implicit method.

        Parameters
        ----------
        start : array_like of float, shape (n - 1,)
            Differences at the start (ticks).
        times : array_like of float, shape (m,)
            Seconds after the start, ascending, >= 0.
        value : float
            z of the middle node, n // 2, at the start (ticks).
        tolerance : float
            Local error of k x in each step of the implicit method; the result is good to about 1e-12 / k.
        first_step : float
            Length of its first step (s); 0 finds one.

        Returns
        -------
        differences : ndarray of float, shape (m, n - 1)
            x at each time (ticks).
        middle : ndarray of float, shape (m,)
            z of the middle node at each time (ticks).
        next_step : float
            Length the next step would have (s).

        Raises
        ------
        InvalidArgument
            Names the argument, with the index of the first wrong element.
        NoConvergence
            The error could not be controlled.
        """
        cdef int64_t n = self.c_lattice.n, row = 0, rows
        cdef int status
        cdef double now = 0.0, done = 0.0, step = first_step
        state = _finite("start", start, (n - 1,), f"({n - 1},)")
        when = np.array(times, dtype=np.float64, order="C", ndmin=1)
        if when.ndim != 1:
            raise InvalidArgument(argument="times", value=when.shape, allowed="an array of shape (m,)")
        wrong = np.flatnonzero(~(np.isfinite(when) & (np.diff(when, prepend=0.0) >= 0)))
        if wrong.size:
            raise InvalidArgument(argument="times", value=float(when[wrong[0]]), index=int(wrong[0]),
                                  allowed="finite, >= 0 and ascending")
        if not (isfinite(value) and isfinite(first_step) and first_step >= 0):
            raise InvalidArgument(argument="first_step" if isfinite(value) else "value",
                                  value=first_step if isfinite(value) else value, allowed="a finite number")
        _positive("tolerance", tolerance)
        rows = when.size
        differences = np.empty((rows, n - 1))
        middle = np.empty(rows)
        cdef double[::1] x = state, w = np.empty(lattice_work(n)), z = middle
        cdef const double[::1] t = when
        cdef double[:, ::1] out = differences
        cdef double terms = 0.0
        if rows and self.c_lattice.k_bid == self.c_lattice.k_ask:
            terms = t[rows - 1] * mm_uniformisation_growth(&self.c_lattice, &x[0])
            if terms <= FEW_TERMS and terms * n <= SHORT:
                with nogil:
                    for row in range(rows):
                        status = mm_uniformise(&self.c_lattice, t[row] - now, &x[0], &value, &w[0])
                        if status != MM_OK:
                            break
                        out[row, :] = x
                        z[row], now = value, t[row]
                if status != MM_OK:
                    raise NoConvergence(f"a difference left the range of numbers for {self!r}")
                return differences, middle, step if step > 0 else t[rows - 1]
        while row < rows:
            with nogil:
                status = mm_lattice_advance(&self.c_lattice, t[row] - now, tolerance, &done, &x[0], &value,
                                            &step, &w[0])
            PyErr_CheckSignals()
            if status != MM_OK:
                raise NoConvergence(
                    f"the equation could not be advanced from time left {now + done:g} s for {self!r}"
                )
            if done == t[row] - now:
                out[row, :] = x
                z[row] = value
                now, done, row = t[row], 0.0, row + 1
        return differences, middle, step


def lattice_of(model):
    """The equation of an exact model with exponential fill intensities, and what its quotes are made of.

    The kernel makes it, with what each number loses when it is rounded to a double: stationary depths then
    have the accuracy of the parameters.

    Parameters
    ----------
    model : GueantLehalleFernandezTapia or CarteaJaimungal

    Returns
    -------
    lattice : Lattice
    static : tuple of float
        Depth of the bid and of the ask where the value has no slope (ticks): half-spread and cost.

    Raises
    ------
    InvalidArgument
        Where a number is beyond the range of floating point.

    Examples
    --------
    >>> from mmcore import GueantLehalleFernandezTapia
    >>> lattice, static = lattice_of(GueantLehalleFernandezTapia(sigma=0.3, A=1, k=0.5, gamma=0, q_max=1))
    >>> lattice.rate.tolist(), static
    ([0.0, 0.0, 0.0], (2.0, 2.0))
    """
    cdef mm_parameters p
    cdef mm_sides sides
    cdef const char *wrong = NULL
    cdef Lattice made = Lattice.__new__(Lattice)
    c_parameters_of(&p, model)
    rate, rate_lo = np.empty(mm_nodes_of(&p)), np.empty(mm_nodes_of(&p))
    cdef double[::1] r = rate, lo = rate_lo
    if mm_problem_of(&p, &r[0], &lo[0], &made.c_lattice, &made.c_start, &sides, &wrong) != MM_OK:
        name = wrong.decode()
        value = getattr(model, name)
        raise InvalidArgument(
            f"{name}={value!r} is out of proportion to the other parameters: fill intensities, or the "
            "running reward at q_max, leave the range of floating point",
            argument=name, value=value, allowed="in proportion to the other parameters",
        )
    rate.flags.writeable = False
    made._rate, made._rate_lo = rate, rate_lo
    return made, (sides.depth[0], sides.depth[1])


def evaluate(rate, *, A, k, cost, double curvature, times, bid, ask, start, double tolerance=1e-9):
    """Value of quoting given depths, rather than the best ones, on the lattice.

    The depths go linearly from one time left to the next; the value solves

        dz[i]/dtau = rate[i] + A_bid exp(-k_bid bid[i]) u(bid[i] - cost_bid + z[i+1] - z[i])
                             + A_ask exp(-k_ask ask[i]) u(ask[i] - cost_ask + z[i-1] - z[i]),

    u(y) = (1 - exp(-curvature y)) / curvature, or y where the curvature is 0.

    Parameters
    ----------
    rate : array_like of float, shape (n,)
        Running reward at each node, per order (ticks/s).
    A, k, cost : (bid, ask)
        Fill intensity A exp(-k depth) (1/s, 1/tick) and what a fill costs (ticks per lot).
    curvature : float
        Risk aversion times order size (1/tick), >= 0.
    times : array_like of float, shape (m,)
        Times left (s), ascending from 0; m >= 2.
    bid, ask : array_like of float, shape (m, n)
        Depths at those times (ticks); NaN where a side is absent. A bid at the last node and an ask at
        the first are not read.
    start : array_like of float, shape (n,)
        z at time left 0 (ticks).
    tolerance : float
        Local error of k z in each step.

    Returns
    -------
    z : ndarray of float, shape (n,)
        The value per order at the last time (ticks).

    Raises
    ------
    InvalidArgument
        Names the argument that is not allowed.
    NoConvergence
        The error could not be controlled, or the expected utility is minus infinity to the computer.
    """
    cdef mm_quoted p
    cdef double step = 0.0, done = 0.0, value
    cdef int status
    cdef int64_t row = 0
    when = np.array(times, dtype=np.float64, order="C")
    if (when.ndim != 1 or when.size < 2 or when[0] != 0.0
            or not (np.isfinite(when).all() and (np.diff(when) > 0).all())):
        raise InvalidArgument(argument="times", value=times,
                              allowed="two or more finite times, ascending from 0")
    reward = np.array(rate, dtype=np.float64, order="C")
    if reward.ndim != 1 or reward.size < 2:
        raise InvalidArgument(argument="rate", value=reward.shape, allowed="an array of shape (n,), n >= 2")
    reward = _finite("rate", reward, reward.shape, "(n,)")
    p.n = reward.size
    z = _finite("start", start, (p.n,), f"({p.n},)")
    depths = []
    for name, given in (("bid", bid), ("ask", ask)):
        array = np.array(given, dtype=np.float64, order="C")
        if array.shape != (when.size, p.n) or np.isinf(array).any():
            raise InvalidArgument(argument=name, value=array.shape,
                                  allowed=f"of shape ({when.size}, {p.n}), finite or NaN")
        depths.append(array)
    cdef const double[::1] r = reward, t = when
    cdef const double[:, ::1] b = depths[0], a = depths[1]
    differences = np.diff(z)
    value = z[p.n // 2]
    cdef double[::1] x = differences, work = np.empty(lattice_work(p.n))
    p.rate = &r[0]
    p.a_bid, p.a_ask = _positive("A", A[0]), _positive("A", A[1])
    p.k_bid, p.k_ask = _positive("k", k[0]), _positive("k", k[1])
    p.cost_bid, p.cost_ask = cost[0], cost[1]
    p.curvature = curvature
    if not (isfinite(p.cost_bid) and isfinite(p.cost_ask)):
        raise InvalidArgument(argument="cost", value=cost, allowed="finite")
    if not (isfinite(curvature) and curvature >= 0):
        raise InvalidArgument(argument="curvature", value=curvature, allowed="a finite number >= 0")
    _positive("tolerance", tolerance)
    while row + 1 < t.shape[0]:
        p.bid[0], p.bid[1] = &b[row, 0], &b[row + 1, 0]
        p.ask[0], p.ask[1] = &a[row, 0], &a[row + 1, 0]
        p.span = t[row + 1] - t[row]
        with nogil:
            status = mm_quoted_advance(&p, tolerance, &done, &x[0], &value, &step, &work[0])
        PyErr_CheckSignals()
        if status != MM_OK:
            raise NoConvergence(
                f"the value of these depths could not be followed from time left {t[row] + done:g} s on"
            )
        if done == p.span:
            done, row = 0.0, row + 1
    z[p.n // 2] = value
    z[p.n // 2 + 1:] = value + np.cumsum(differences[p.n // 2:])
    z[:p.n // 2] = value - np.cumsum(differences[:p.n // 2][::-1])[::-1]
    return z


def stationary_policies(*, sigma, A, k, gamma, q_max, order_size=1, bid=None, ask=None):
    """Stationary depths of many exact models of Guéant, Lehalle and Fernandez-Tapia, one after another.

    Parameters
    ----------
    sigma, A, k, gamma : array_like of float, shape (m,)
        As of :class:`mmcore.GueantLehalleFernandezTapia`, alike on both sides; broadcast.
    q_max, order_size : int
        Lots; of all models.
    bid, ask : ndarray of float, shape (m, n), optional
        Where the depths go, n = 2 q_max / order_size + 1.

    Returns
    -------
    bid, ask : ndarray of float, shape (m, n)
        Depths by inventory from -q_max (ticks); NaN where a side is absent.
    gain : ndarray of float, shape (m,)
        Growth of the value, tick·lots/s.
    residual : ndarray of float, shape (m,)
        Largest error of the n equations of each model, relative to the terms in it.

    Raises
    ------
    InvalidArgument
        Names the argument, with the index of the model.
    NoConvergence
        Rounding or overflow stopped the iteration for a model.

    Examples
    --------
    >>> from mmcore import GueantLehalleFernandezTapia
    >>> bid, ask, gain, residual = stationary_policies(sigma=0.3, A=0.9, k=[0.3, 0.4], gamma=0.01, q_max=30)
    >>> one = GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.4, gamma=0.01, q_max=30)
    >>> bool(abs(bid[1, 35] - one.depths(5)[0]) < 1e-12), bool(residual.max() < 1e-13)
    (True, True)
    """
    cdef mm_parameters p
    cdef const char *wrong = NULL
    cdef int status = MM_OK
    cdef bint in_range = True
    cdef int64_t i = 0, m, n
    columns, m = {}, 1
    for name, given in (("sigma", sigma), ("A", A), ("k", k), ("gamma", gamma)):
        try:
            column = np.atleast_1d(np.array(given, dtype=np.float64))
        except (TypeError, ValueError):
            raise InvalidArgument(
                argument=name, value=given, allowed="a number, or an array of numbers"
            ) from None
        if column.ndim != 1 or not column.size or (m > 1 and column.size not in (1, m)):
            raise InvalidArgument(
                argument=name, value=column.shape,
                allowed=f"of shape ({m},), as the arguments before it, or a number" if m > 1
                else "of shape (m,), m >= 1"
            )
        m = max(m, column.size)
        columns[name] = column
    columns = {name: np.array(np.broadcast_to(column, m)) for name, column in columns.items()}
    for name, lots in (("q_max", q_max), ("order_size", order_size)):
        if isinstance(lots, bool) or not (isinstance(lots, (int, np.integer)) and 1 <= lots < 2**22):
            raise InvalidArgument(argument=name, value=lots, allowed="an integer from 1 to 2^22 - 1 (lots)")
    if q_max % order_size:
        raise InvalidArgument(argument="q_max", value=q_max,
                              allowed=f"a multiple of order_size, {order_size}")
    n = 2 * (q_max // order_size) + 1
    out = []
    for name, given in (("bid", bid), ("ask", ask)):
        if given is None:
            given = np.empty((m, n))
        elif not (isinstance(given, np.ndarray) and given.shape == (m, n) and given.dtype == np.float64
                  and given.flags.c_contiguous and given.flags.writeable):
            is_array = isinstance(given, np.ndarray)
            raise InvalidArgument(argument=name,
                                  value=f"{given.dtype} of shape {given.shape}" if is_array else given,
                                  allowed=f"a writeable contiguous array of float64 and shape ({m}, {n})")
        out.append(given)
    if np.may_share_memory(*out):
        raise InvalidArgument(argument="ask", value="memory of bid", allowed="memory of its own")
    gains, residuals = np.empty(m), np.empty(m)
    cdef const double[::1] s = columns["sigma"], a = columns["A"], decay = columns["k"], g = columns["gamma"]
    cdef double[:, ::1] b = out[0], o = out[1]
    cdef double[::1] gain = gains, off = residuals, work = np.empty(2 * n)
    mm_parameters_init(&p, MM_MODEL_EXACT)
    p.q_max, p.order_size = q_max, order_size
    with nogil:
        while i < m:
            p.sigma, p.gamma = s[i], g[i]
            p.A[0] = p.A[1] = a[i]
            p.k[0] = p.k[1] = decay[i]
            status = mm_parameters_check(&p, &wrong)
            in_range = status == MM_OK
            if not in_range:
                break
            status = mm_stationary_depths(&p, &b[i, 0], &o[i, 0], &gain[i], &off[i], &work[0], &wrong)
            if status != MM_OK:
                break
            i += 1
    if status == MM_INVALID and wrong is not NULL:
        from mmcore.models import GueantLehalleFernandezTapia  # says what it allows, once

        name = wrong.decode()
        allowed, = [one.allowed for one in GueantLehalleFernandezTapia.PARAMETERS if one.name == name]
        if in_range:
            allowed = "in proportion to the other parameters, within the range of floating point"
        given = columns.get(name)
        raise InvalidArgument(argument=name, value=q_max if given is None else float(given[i]), index=int(i),
                              allowed=allowed)
    if status != MM_OK:
        raise NoConvergence(f"no stationary solution was found for model {i}")
    gains *= order_size
    return out[0], out[1], gains, residuals
