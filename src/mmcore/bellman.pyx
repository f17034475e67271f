"""The Bellman operator over state-action pairs: the kernels of bellman.h over NumPy arrays.

Nothing is copied: a :class:`Pairs` holds the caller's arrays and hands them to the kernels with the GIL
released. Checks of meaning and their words are in :mod:`mmcore.dp`.
"""
import numpy as np

from mmcore.errors import InvalidArgument

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t

__all__ = ["Keys", "Pairs", "Rows", "corrected", "scaled", "span"]


cdef const void *_index(array, bint wide, str argument) except? NULL:
    """Address of the first index; the array is kept alive by the caller."""
    cdef const int32_t[::1] narrow
    cdef const int64_t[::1] broad
    if array.dtype != (np.int64 if wide else np.int32):
        raise InvalidArgument(argument=argument, value=array.dtype, allowed="int32 or int64, like row")
    if array.size == 0:
        return NULL
    if wide:
        broad = array
        return &broad[0]
    narrow = array
    return &narrow[0]


cdef const double *_doubles(array) except? NULL:
    cdef const double[::1] view = array
    return &view[0] if view.shape[0] else NULL


cdef _size(str argument, int64_t got, int64_t wanted):
    if got != wanted:
        raise InvalidArgument(argument=argument, value=got, allowed=f"of length {wanted}")


@cython.final
cdef class Rows:
    """Where the rows of a policy's pairs are: they lie far apart in the model.

    Parameters
    ----------
    n_states : int
        States.
    width : int
        0: the model's own rows are read; else they are copied one after the other, in double and in single
        precision, and this is the number of successors of the longest.

    Notes
    -----
    Thread-safety: written by :meth:`Pairs.improve`; threads that improve different states may share one.
    """

    def __init__(self, int64_t n_states, int64_t width=0):
        if n_states < 1 or width < 0:
            raise InvalidArgument(argument="n_states, width", value=(n_states, width), allowed=">= 1, >= 0")
        # In one piece: of large ones, the system makes large pages.
        cdef char[::1] room = np.empty(n_states * (20 + 16 * width), dtype=np.int8)
        cdef int64_t s
        self._room = room
        self.c_rows.width = width
        self.c_states = n_states
        self.c_rows.reward = <double *>&room[0]
        self.c_rows.start = <int64_t *>(self.c_rows.reward + n_states)
        self.c_rows.probability = <double *>(self.c_rows.start + n_states)
        self.c_rows.single = <float *>(self.c_rows.probability + n_states * width)
        self.c_rows.column = <int32_t *>(self.c_rows.single + n_states * width)
        self.c_rows.length = self.c_rows.column + n_states * width
        for s in range(n_states):
            self.c_rows.reward[s], self.c_rows.start[s], self.c_rows.length[s] = 0, 0, 0

    @property
    def copied(self):
        """Whether the rows are copies."""
        return self.c_rows.width > 0


@cython.final
cdef class Keys:
    """What pairs are known to lack, so that those which lose need not be read; see bellman.h.

    Parameters
    ----------
    pairs : Pairs
        The pairs.

    Attributes
    ----------
    drift : float
        By how much a pair may have gained on another of its state since keys were begun: 0, and grown by
        whoever changes the values.
    most : float
        Bound of the expected value after every pair; to be set before :meth:`Pairs.improve`.
    gain : float
        Bound of the discounted expectation after a pair less that after the pair held; infinite at first. It
        is read where every state holds one.

    Notes
    -----
    Thread-safety: written by :meth:`Pairs.improve`; threads that improve different states may share one.
    """

    def __init__(self, Pairs pairs not None):
        cdef float[::1] room = np.empty(pairs.n_pairs + pairs.n_states, dtype=np.float32)
        self._of = pairs
        self._room = room
        self.c_keys.pair, self.c_keys.state = &room[0], &room[0] + pairs.c_mdp.n_pairs
        self.c_keys.top = pairs.c_extremes.reward
        self.c_keys.gain = INFINITY
        with nogil:
            mm_keys_begin(&pairs.c_mdp, &self.c_keys)

    @property
    def drift(self):
        """By how much a pair may have gained on another."""
        return self.c_keys.drift

    @drift.setter
    def drift(self, double drift):
        self.c_keys.drift = drift

    @property
    def most(self):
        """Bound of the expected value after every pair."""
        return self.c_keys.most

    @most.setter
    def most(self, double most):
        self.c_keys.most = most

    @property
    def gain(self):
        """By how much what is expected after a pair may exceed it after the pair held, discounted."""
        return self.c_keys.gain

    @gain.setter
    def gain(self, double gain):
        self.c_keys.gain = gain

    def reopen(self):
        """Have all states looked at again, after `drift`, `most` and `gain` were less than is proven."""
        with nogil:
            mm_keys_reopen(&self._of.c_mdp, &self.c_keys)

    def alive(self, const double[::1] value, const int64_t[::1] policy, double proven):
        """Count the pairs that may be optimal.

        Parameters
        ----------
        value, policy : ndarray, shape (n_states,)
            What the last :meth:`Pairs.improve` gave.
        proven : float
            What a pair must lack in it not to be optimal.
        """
        cdef int64_t count
        _size("value", value.shape[0], self._of.c_mdp.n_states)
        _size("policy", policy.shape[0], self._of.c_mdp.n_states)
        with nogil:
            count = mm_keys_alive(&self._of.c_mdp, &self.c_keys, &value[0], &policy[0], proven)
        return count


@cython.final
cdef class Pairs:
    """State-action pairs, each with a reward and a row of successors.

    Parameters
    ----------
    first : ndarray of int64, shape (n_states + 1,)
        Pairs of state s are ``first[s]`` to ``first[s + 1] - 1``.
    row, column : ndarray of int32 or of int64
        Successors of pair j are ``column[row[j]:row[j + 1]]``.
    probability : ndarray of float64
        Their probabilities.
    reward : ndarray of float64, shape (n_pairs,)
        Reward of each pair; -inf (+inf where `sign` is -1): infeasible.
    discount : ndarray of float64, shape (1,) or (n_states,)
        One for all states, or one each.
    sign : float
        1 to maximise; -1 to minimise, where all values are minus the cost.
    n_columns : int
        States that values are given for; `n_states` where 0.

    Notes
    -----
    Thread-safety: immutable; any number of threads may sweep at once, each into arrays of its own or over
    its own range of states. The GIL is released meanwhile.

    Examples
    --------
    Two states; stay for 1 in the second, or wait in the first:

    >>> import numpy as np
    >>> pairs = Pairs(np.array([0, 1, 2]), np.array([0, 1, 2]), np.array([1, 1]), np.array([1.0, 1.0]),
    ...               np.array([0.0, 1.0]), np.array([0.5]))
    >>> value, policy = np.zeros(2), np.full(2, -1)
    >>> pairs.improve(np.array([1.0, 2.0]), value, policy)
    (0.0, 0.0, 2, 2, 2)
    >>> value
    array([1., 2.])
    """

    def __init__(self, first, row, column, probability, reward, discount, sign=1.0, n_columns=0):
        cdef const int64_t[::1] starts = first
        cdef int64_t n = first.size - 1
        if n < 1:
            raise InvalidArgument(argument="first", value=first.size, allowed="of length 2 or more")
        self._arrays = (first, row, column, probability, reward, discount)
        self.c_mdp.n_states = n
        self.c_mdp.n_pairs = reward.size
        self.c_mdp.n_columns = n_columns or n
        self.c_mdp.first = &starts[0]
        _size("row", row.size, reward.size + 1)
        _size("probability", probability.size, column.size)
        if discount.size != 1:
            _size("discount", discount.size, n)
        self.c_mdp.wide = row.dtype == np.int64
        self.c_mdp.row = _index(row, self.c_mdp.wide, "row")
        self.c_mdp.column = _index(column, self.c_mdp.wide, "column")
        self.c_mdp.probability = _doubles(probability)
        self.c_mdp.reward = _doubles(reward)
        self.c_mdp.discount = _doubles(discount)
        self.c_mdp.discount_step = 0 if discount.size == 1 else 1
        self.c_mdp.sign = sign
        self.c_entries = column.size

    def __reduce__(self):
        return Pairs, (*self._arrays, self.c_mdp.sign, self.c_mdp.n_columns)

    @property
    def arrays(self):
        """The arrays given: first, row, column, probability, reward, discount."""
        return self._arrays

    @property
    def n_states(self):
        """States whose pairs these are."""
        return self.c_mdp.n_states

    @property
    def n_pairs(self):
        """State-action pairs, feasible or not."""
        return self.c_mdp.n_pairs

    @property
    def sign(self):
        """1 to maximise, -1 to minimise."""
        return self.c_mdp.sign

    def check(self, double tolerance):
        """Read every number once.

        Returns
        -------
        fault : int
            0, or the code of what is wrong (MM_MDP_FIRST, ... of bellman.h).
        found : dict
            Extremes: `sum_low`, `sum_high`, `reward`, `successors`, `below`, `above`, `pairs`, `feasible`;
            and `state`, `pair`, `entry`, `value` of the fault.
        """
        cdef int fault
        with nogil:
            fault = mm_mdp_check(&self.c_mdp, self.c_entries, tolerance, &self.c_extremes)
        return fault, self.c_extremes

    def sample(self, int64_t states, const double[::1] v, const double[::1] old=None):
        """Look at some states.

        Parameters
        ----------
        states : int
            How many.
        v, old : ndarray of float, shape (n_columns,)
            What to expect: `v`, or `v` - `old`.

        Returns
        -------
        most : float
            Largest expectation after a pair of theirs.
        gain : float
            Largest discounted difference between pairs of one state.
        """
        cdef mm_mdp_sample sample
        cdef const double *other = NULL
        if not 1 <= states <= self.c_mdp.n_states:
            raise InvalidArgument(argument="states", value=states, allowed=f"1 to {self.c_mdp.n_states}")
        _size("v", v.shape[0], self.c_mdp.n_columns)
        if old is not None:
            _size("old", old.shape[0], self.c_mdp.n_columns)
            other = &old[0]
        with nogil:
            mm_mdp_look(&self.c_mdp, states, &v[0], other, &sample)
        return sample.most, sample.gain

    def improve(self, const double[::1] v, double[::1] out, int64_t[::1] policy, double proven=0.0,
                int64_t begin=0, int64_t end=-1, int64_t offset=0, Rows rows=None, Keys keys=None):
        """Write Tv of the states `begin` to `end` - 1 to `out`, and the pairs that attain it to `policy`.

        Parameters
        ----------
        v : ndarray of float, shape (n_columns,), or None
            Values; `out` itself for a Gauss-Seidel sweep; None: all 0.
        out : ndarray of float, shape (n_states,)
            New values.
        policy : ndarray of int, shape (n_states,)
            Pairs; the one held is kept where it ties.
        proven : float
            Without keys: what a pair must lack to be counted as not alive.
        begin, end : int
            Range of states; all by default.
        offset : int
            State s of these pairs is ``v[offset + s]``.
        rows : Rows, optional
            Kept those of `policy`; begun with a policy of -1.
        keys : Keys, optional
            With rows: pairs that are known to lose are not read. Not used where `v` is None.

        Returns
        -------
        low, high : float
            Range of new value less old.
        changed : int
            States whose pair changed.
        alive : int
            Pairs read that may be optimal.
        read : int
            Pairs whose successors were read.
        """
        cdef int64_t n = self.c_mdp.n_states, widest = 1, s
        cdef const mm_policy_rows *kept = NULL
        cdef mm_sweep sweep
        cdef const mm_keys *known = NULL
        cdef const double *values = NULL
        cdef const double *old = NULL
        if end < 0:
            end = n
        if not 0 <= begin < end <= n:
            raise InvalidArgument(argument="begin, end", value=(begin, end),
                                  allowed=f"0 <= begin < end <= {n}")
        if rows is not None:
            kept = self._rows(rows)
        if v is not None:
            _size("v", v.shape[0], self.c_mdp.n_columns)
            values, old = &v[0], &v[0] + offset
        _size("out", out.shape[0], n)
        _size("policy", policy.shape[0], n)
        if not 0 <= offset <= self.c_mdp.n_columns - n:
            raise InvalidArgument(argument="offset", value=offset, allowed=f"0 to {self.c_mdp.n_columns - n}")
        if keys is not None and v is not None:
            if rows is None:
                raise InvalidArgument(argument="rows", value=None, allowed="Rows where there are keys")
            if keys._of is not self:
                raise InvalidArgument("keys are of other pairs", argument="keys")
            known = &keys.c_keys
        for s in range(begin, end):
            widest = max(widest, self.c_mdp.first[s + 1] - self.c_mdp.first[s])
        if known is not NULL:
            widest = MM_BELLMAN_KEYED_ROOM(widest)
        cdef double[::1] numbers = np.empty(widest)
        cdef int64_t[::1] picked = np.empty(2 * widest, dtype=np.int64)
        with nogil:
            if known is not NULL:
                mm_bellman_improve_keyed(&self.c_mdp, begin, end, values, &out[0], &policy[0], kept, known,
                                         &numbers[0], &picked[0], widest, &sweep)
            else:
                mm_bellman_improve(&self.c_mdp, begin, end, values, old, &out[0], &policy[0], kept, proven,
                                   &numbers[0], &sweep)
        return sweep.low, sweep.high, sweep.changed, sweep.alive, sweep.read

    def evaluate(self, const double[::1] v, double[::1] out, Rows rows, int64_t begin=0, int64_t end=-1):
        """Write reward + discount E[v] of the pairs of a policy to `out`; the range of new less old.

        Parameters
        ----------
        v, out : ndarray of float, shape (n_states,)
            Values before and after; the same array for a Gauss-Seidel sweep.
        rows : Rows
            The rows of the policy.
        begin, end : int
            Range of states; all by default.
        """
        cdef mm_sweep sweep
        cdef const mm_policy_rows *kept = self._rows(rows)
        if end < 0:
            end = self.c_mdp.n_states
        _size("v", v.shape[0], self.c_mdp.n_columns)
        _size("out", out.shape[0], self.c_mdp.n_states)
        if not 0 <= begin < end <= self.c_mdp.n_states or self.c_mdp.n_columns != self.c_mdp.n_states:
            raise InvalidArgument(argument="begin, end", value=(begin, end),
                                  allowed="a range of all the states")
        with nogil:
            mm_bellman_evaluate(&self.c_mdp, begin, end, kept, &v[0], &out[0], &sweep)
        return sweep.low, sweep.high

    def correct(self, const float[::1] residual, const float[::1] x, float[::1] out, Rows rows,
                int64_t begin=0, int64_t end=-1):
        """Write residual + discount E[x] of the pairs of a policy to `out`; the range of new less old.

        Where the residual is that of v, reward + discount E[v] - v, sweeps from v lead to v + x.

        Parameters
        ----------
        residual, x, out : ndarray of float32, shape (n_states,)
            Residual; correction before and after.
        rows : Rows
            The rows of the policy, copied.
        begin, end : int
            Range of states; all by default.
        """
        cdef mm_sweep sweep
        cdef const mm_policy_rows *kept = self._rows(rows)
        if end < 0:
            end = self.c_mdp.n_states
        if not rows.c_rows.width:
            raise InvalidArgument(argument="rows", value=0, allowed="copies")
        _size("residual", residual.shape[0], self.c_mdp.n_columns)
        _size("x", x.shape[0], self.c_mdp.n_columns)
        _size("out", out.shape[0], self.c_mdp.n_states)
        if not 0 <= begin < end <= self.c_mdp.n_states or self.c_mdp.n_columns != self.c_mdp.n_states:
            raise InvalidArgument(argument="begin, end", value=(begin, end),
                                  allowed="a range of all the states")
        with nogil:
            mm_bellman_correct(&self.c_mdp, begin, end, kept, &residual[0], &x[0], &out[0], &sweep)
        return sweep.low, sweep.high

    def band(self, Rows rows, int64_t below, int64_t above, double[::1] x):
        """Solve for the value of a policy whose successors lie in a band, into `x`; the kernel's status."""
        cdef int status
        cdef const mm_policy_rows *kept = self._rows(rows)
        _size("x", x.shape[0], self.c_mdp.n_states)
        if below < 0 or above < 0:
            raise InvalidArgument(argument="below, above", value=(below, above), allowed=">= 0")
        cdef double[::1] band = np.empty(MM_BELLMAN_BAND_WORK(self.c_mdp.n_states, below, above))
        with nogil:
            status = mm_bellman_band(&self.c_mdp, kept, below, above, &band[0], &x[0])
        return status

    def bicgstab(self, Rows rows, double tolerance, int64_t limit, double[::1] x, double[::1] work):
        """Improve `x` towards the value of the policy whose rows these are.

        Returns
        -------
        status : int
            0, or MM_NO_CONVERGENCE.
        products : int
            Products with the matrix.
        residual : float
            Largest |reward + discount E[x] - x|, as the recurrence knows it.
        """
        cdef int status
        cdef int64_t products = 0
        cdef double residual = 0.0
        cdef const mm_policy_rows *kept = self._rows(rows)
        _size("x", x.shape[0], self.c_mdp.n_states)
        _size("work", work.shape[0], MM_BELLMAN_BICGSTAB_WORK(self.c_mdp.n_states))
        with nogil:
            status = mm_bellman_bicgstab(&self.c_mdp, kept, tolerance, limit, &x[0], &work[0], &products,
                                         &residual)
        return status, products, residual

    def gmres(self, Rows rows, double tolerance, int64_t limit, double[::1] x, double[::1] work,
              int64_t restart=4):
        """Improve `x` towards the value of the policy whose rows these are; returns as `bicgstab`.

        The residual is that of `x` as it is, computed anew after each cycle of `restart` products. `work` has
        room for ``(restart + 1) * (n_states + restart + 3)`` numbers.
        """
        cdef int status
        cdef int64_t products = 0
        cdef double residual = 0.0
        cdef const mm_policy_rows *kept = self._rows(rows)
        if restart < 1:
            raise InvalidArgument(argument="restart", value=restart, allowed=">= 1")
        _size("x", x.shape[0], self.c_mdp.n_states)
        _size("work", work.shape[0], MM_BELLMAN_GMRES_WORK(self.c_mdp.n_states, restart))
        with nogil:
            status = mm_bellman_gmres(&self.c_mdp, kept, tolerance, limit, restart, &x[0], &work[0],
                                      &products, &residual)
        return status, products, residual

    cdef const mm_policy_rows *_rows(self, Rows rows) except NULL:
        """The rows' struct, which hold nothing but rows of these pairs."""
        _size("rows", rows.c_states, self.c_mdp.n_states)
        if self.c_extremes.successors > 2**31 - 1:
            raise InvalidArgument(argument="row", value=self.c_extremes.successors,
                                  allowed="at most 2**31 - 1 successors of a pair")
        if rows.c_rows.width and (rows.c_rows.width < self.c_extremes.successors
                                  or self.c_mdp.n_columns > 2**31 - 1):
            raise InvalidArgument(argument="rows", value=rows.c_rows.width,
                                  allowed="as wide as the longest row, with int32 states")
        if rows._of is None:
            rows._of = self
        elif rows._of is not self:
            raise InvalidArgument("rows are of other pairs", argument="rows")
        return &rows.c_rows


def scaled(const double[::1] a, const double[::1] b, double scale, float[::1] out):
    """Write (a - b) * scale to `out`.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty(2, dtype=np.float32)
    >>> scaled(np.array([1.0, 5.0]), np.array([2.0, 2.0]), 0.5, out)
    >>> out
    array([-0.5,  1.5], dtype=float32)
    """
    _size("b", b.shape[0], a.shape[0])
    _size("out", out.shape[0], a.shape[0])
    with nogil:
        mm_bellman_residual(a.shape[0], &a[0], &b[0], scale, &out[0])


def corrected(const double[::1] a, const float[::1] x, double scale, double[::1] out):
    """Write a + x / scale to `out`.

    Examples
    --------
    >>> import numpy as np
    >>> out = np.empty(2)
    >>> corrected(np.array([2.0, 2.0]), np.array([-0.5, 1.5], dtype=np.float32), 0.5, out)
    >>> out
    array([1., 5.])
    """
    _size("x", x.shape[0], a.shape[0])
    _size("out", out.shape[0], a.shape[0])
    with nogil:
        mm_bellman_corrected(a.shape[0], &a[0], &x[0], scale, &out[0])


def span(const double[::1] a, const double[::1] b=None):
    """Smallest and largest of a - b, or of a.

    Examples
    --------
    >>> import numpy as np
    >>> span(np.array([1.0, 5.0]), np.array([2.0, 2.0]))
    (-1.0, 3.0)
    """
    cdef double low = 0.0, high = 0.0
    cdef const double *other = NULL
    if b is not None:
        _size("b", b.shape[0], a.shape[0])
        other = &b[0]
    with nogil:
        mm_range(a.shape[0], &a[0], other, &low, &high)
    return low, high
