r"""Portfolios under general constraints: rows, leverage, turnover, and costs that grow faster than the trade.

**Problem.** With the risk tolerance :math:`t = 1/\lambda` and holdings h now,

.. math:: \min_x \tfrac12 x^T\Sigma x - t\Big(r^T x - \sum_j \kappa_j|z_j| - \pi_j|z_j|^{3/2}\Big),
          \qquad z = x - h,

s.t. low ≤ Ax ≤ high (the budget is a row), l ≤ x ≤ u, :math:`\sum|x_j| \le L`, :math:`\sum|z_j| \le T`.

**Optimality.** With multipliers y of the rows and μ of the two sums, the derivative of the Lagrangian in
:math:`x_j` jumps at :math:`h_j` (by twice :math:`t\kappa_j + \mu_T`) and at 0 (by twice :math:`\mu_L`).
Its value from the right is ≥ 0 unless x is at its upper bound, that from the left ≤ 0 unless at the lower.
That one sentence is the rule by which assets are pinned and freed, and the certificate.

**Method.** piqp solves the quadratic program in x, :math:`|x|` and :math:`|z|` to some nine digits: enough to
see which assets are pinned and which limits bind. Given those, the rest is a square system, solved to
rounding; pins and limits that it contradicts are exchanged. With the cost of the power 3/2 piqp solves
programs in which :math:`|z|^{3/2}` is replaced by the parabola that touches it from above at the last answer
(each halves the error of log z at least); the square system is then solved by Newton's method in
:math:`w = \mathrm{sign}(z)\sqrt{|z|}`, in which the cost's slope, :math:`\tfrac32\pi w`, is linear, and
which is regular at z = 0.

Source: Hunter and Lange, *A tutorial on MM algorithms* (2004), for majorisation; Almgren, Thum, Hauptmann and
Li, *Direct estimation of equity market impact* (2005), for costs of a power near 3/2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, MissingExtra, NoConvergence
from .constraints import Rows

__all__ = ["Constrained", "Optimum"]

Floats = NDArray[np.float64]

FREE, LOWER, UPPER, HELD, FLAT = 0, -1, 1, 2, 3
"""Where an asset is pinned: at a bound, at its present holding, at zero."""

_NEAR = (1e-8, 0.0, 1e-6, 1e-4)
"""How near to a pin counts as there, in the order in which it is tried."""

_DEAREST = 1e6
"""Most curvature of a trade's cost, in units of the problem, that the interior point is given."""


class Optimum:
    """Holdings with the multipliers of what binds, in the units of the problem as it was given."""

    __slots__ = ("leverage", "residual", "rows", "turnover", "x")

    def __init__(self, x: Floats, rows: Floats, leverage: float, turnover: float, residual: float) -> None:
        self.x, self.rows, self.residual = x, rows, residual
        self.leverage, self.turnover = leverage, turnover


class _State:
    """Pins of the assets, sides of the kinks that they are on, limits that bind, and the point reached."""

    def __init__(self, n: int, m: int) -> None:
        self.pin = np.zeros(n, dtype=np.int8)
        self.side = np.zeros((2, n))  # sign of x, and of x - h; 0 at the kink
        self.row = np.zeros(m, dtype=np.int8)  # -1: its low side binds, 1: its high side
        self.sum = np.zeros(2, dtype=bool)  # whether leverage and turnover bind
        self.x = np.zeros(n)
        self.z = np.zeros(n)  # x - h, in digits of its own: a dear trade may be less than x's rounding
        self.y = np.zeros(m)
        self.mu = np.zeros(2)

    def copy(self) -> _State:
        """Another with the same pins and limits, at the same point."""
        made = _State(len(self.x), len(self.y))
        made.x, made.z, made.y, made.mu = self.x, self.z, self.y, self.mu
        made.pin, made.side = self.pin.copy(), self.side.copy()
        made.row, made.sum = self.row.copy(), self.sum.copy()
        return made


class Constrained:
    """A problem with general constraints, made ready for several returns and risk tolerances.

    Parameters
    ----------
    covariance : ndarray
        Σ, checked by the caller.
    rows : Rows
        The budget and the general constraints.
    lower, upper : ndarray
        Bounds, possibly infinite.
    holdings, cost, power_cost : ndarray
        h, κ and π.
    leverage, turnover : float
        L and T; infinite: no limit.
    singular : bool
        Whether the covariance is: then steps are the least that meet the conditions, lest they run along its
        null space.
    """

    def __init__(
        self,
        covariance: Floats,
        rows: Rows,
        lower: Floats,
        upper: Floats,
        holdings: Floats,
        cost: Floats,
        power_cost: Floats,
        leverage: float,
        turnover: float,
        singular: bool = False,
    ) -> None:
        n = len(covariance)
        self.singular = singular
        self.rows = rows
        self.leverage, self.turnover = leverage, turnover
        finite = np.concatenate([rows.low, rows.high, lower, upper, holdings, [leverage, turnover]])
        finite = np.abs(finite[np.isfinite(finite)])
        # holdings in units of `size`, variances in units of their mean: the numbers below are near one; a
        # power of two, so that the way back rounds nothing
        most = float(finite.max(initial=0.0))
        self.size = 2.0 ** math.ceil(math.log2(most)) if most > 0.0 else 1.0
        self.variance = float(covariance.diagonal().mean()) or 1.0
        self.row_size = np.abs(rows.matrix).max(axis=1, initial=0.0)
        self.row_size[self.row_size == 0.0] = 1.0
        self.q = 0.5 * (covariance + covariance.T) / self.variance
        self.a = rows.matrix / self.row_size[:, None]
        self.low = rows.low / (self.row_size * self.size)
        self.high = rows.high / (self.row_size * self.size)
        self.lower, self.upper, self.held = lower / self.size, upper / self.size, holdings / self.size
        self.cost, self.power = cost, power_cost
        self.limits = np.array([leverage, turnover]) / self.size
        self.centres = np.array([np.zeros(n), self.held])
        self._last: _State | None = None

    def solve(self, returns: Floats | None, tolerance: float) -> Optimum:
        """Solve for these returns and this risk tolerance; 0 is the least variance, whatever the costs."""
        scale = tolerance / (self.variance * self.size)
        gain = np.zeros(len(self.q)) if returns is None else returns * scale
        # a large tolerance makes a linear program of it: then its terms are the unit
        unit = max(1.0, float(np.abs(gain).max()))
        form, gain = self.q / unit, gain / unit
        price = self.cost * (scale / unit)
        power = self.power * (scale / unit * np.sqrt(self.size))
        problem = _Program(self, form, gain, price, power)
        found: tuple[_State, float] | None = None
        if self._last is not None:
            found = problem.refine(self._last, rounds=8)
        for near in _NEAR:
            if found is not None and found[1] <= 1e-12:
                break
            again = problem.refine(problem.by_interior_point(near), rounds=40)
            found = again if found is None or again[1] < found[1] else found
        assert found is not None
        state, residual = found
        if not residual <= 1e-9:
            why = "the problem is too ill-conditioned"
            if power.max(initial=0.0) > _DEAREST:
                why = "trades that power_cost makes so dear vanish in rounding; equal bounds rule them out"
            raise NoConvergence(f"the answer's residual is {residual:.1e}: {why}")
        self._last = state
        back = unit * self.variance * self.size
        return Optimum(
            state.x * self.size,
            state.y * back / self.row_size,
            -float(state.mu[0]) * back,
            -float(state.mu[1]) * back,
            residual,
        )

    def infeasible(self) -> InvalidArgument | None:
        """Return what to raise when no portfolio meets the constraints: the ones that exclude each other."""
        from scipy.optimize import linprog

        n, m = len(self.q), len(self.a)
        lifted = np.isfinite(self.limits)
        k = int(lifted.sum())
        # x, then |x| and |x - h| where they are limited, then what each row and each sum is short of
        matrix, right, names = [], [], []

        def add(part: Floats, at: int, bound: float, name: str, elastic: int | None) -> None:
            line = np.zeros(n + k * n + m + k)
            line[at : at + len(part)] = part
            if elastic is not None:
                line[n + k * n + elastic] = -1.0
            matrix.append(line)
            right.append(bound)
            names.append(name)

        for i in range(m):
            if np.isfinite(self.high[i]):
                add(self.a[i], 0, float(self.high[i]), self.rows.names[i], i)
            if np.isfinite(self.low[i]):
                add(-self.a[i], 0, -float(self.low[i]), self.rows.names[i], i)
        for place, which in enumerate(np.flatnonzero(lifted).tolist()):
            at = n + place * n
            add(np.ones(n), at, float(self.limits[which]), ("leverage", "turnover")[which], m + place)
            for j in range(n):
                for sign in (1.0, -1.0):
                    add(np.array([sign]), j, sign * float(self.centres[which, j]), "", None)
                    matrix[-1][at + j] = -1.0
        objective = np.concatenate([np.zeros(n + k * n), np.ones(m + k)])
        bounds = [*zip(self.lower, self.upper, strict=True), *[(0.0, None)] * (k * n + m + k)]
        found = linprog(objective, A_ub=np.array(matrix), b_ub=np.array(right), bounds=bounds)
        if found.status != 0 or found.fun is None or found.fun <= 1e-9:
            return None
        short = float(found.fun) * self.size
        guilty = [
            name
            for name, value in zip(names, found.ineqlin.marginals, strict=True)
            if name and abs(value) > 1e-9
        ]
        for name, side in (("lower", found.lower), ("upper", found.upper)):
            guilty += [f"{name}[{j}]" for j in np.flatnonzero(np.abs(side.marginals[:n]) > 1e-9)]
        guilty = list(dict.fromkeys(guilty))
        listed = ", ".join(guilty[:8]) + (f" and {len(guilty) - 8} more" if len(guilty) > 8 else "")
        return InvalidArgument(
            f"no portfolio meets all of {listed}: together they are short by {short:.6g}",
            argument=guilty[0] if guilty else None,
        )


class _Program:
    """One problem in units of its own: ½xᵀQx − gᵀx + Σ p|x − h| + w|x − h|^(3/2) within the limits."""

    def __init__(
        self, setting: Constrained, form: Floats, gain: Floats, price: Floats, power: Floats
    ) -> None:
        self.setting, self.form, self.gain, self.price, self.power = setting, form, gain, price, power
        self.kinked = np.array([np.zeros(len(gain), dtype=bool), price > 0.0])

    # -- the interior point --------------------------------------------------------------------------

    def by_interior_point(self, near: float) -> _State:
        """Solve by piqp; for costs of the power 3/2 by parabolas from above.

        What is this near to a kink or a bound counts as pinned there, where the force that holds it leaves
        doubt.
        """
        held, self.near = self.setting.held, near
        if not self.power.any():
            return self._quadratic(np.zeros(len(held)))
        state = self._quadratic(1.5 * self.power)  # as if all trades had the size of the problem
        for _ in range(40):
            trade = np.maximum(np.abs(state.x - held), 1e-14)
            state = self._quadratic(1.5 * self.power / np.sqrt(trade))
            # a trade that began too small doubles its digits from step to step: seen in its root first
            moved = np.abs(np.sqrt(np.abs(state.x - held)) - np.sqrt(trade))
            if moved.max() <= 1e-4 * np.sqrt(np.abs(state.x).max()):
                break
        return state

    def _quadratic(self, curve: Floats) -> _State:
        """Solve with ½·curve·(x − h)² in place of the power costs."""
        try:
            import piqp
        except ImportError:
            raise MissingExtra("a portfolio with general constraints", "qp") from None

        s = self.setting
        n, m = self.form.shape[0], len(s.a)
        # |x| and |x - h| are variables where they cost or are limited
        lifted = [bool(np.isfinite(s.limits[0])), bool(np.isfinite(s.limits[1]) or self.price.any())]
        k = sum(lifted)
        size = n + k * n
        form = np.zeros((size, size), order="F")
        form[:n, :n] = self.form
        # beyond what shows in the solver's digits a dearer trade would only spoil those of the multipliers
        curve = np.minimum(curve, _DEAREST)
        form[np.arange(n), np.arange(n)] += curve
        linear = np.zeros(size)
        linear[:n] = -self.gain - curve * s.held
        equal = s.low == s.high
        loose = np.flatnonzero(~equal & (np.isfinite(s.low) | np.isfinite(s.high)))
        blocks, lows, highs = [np.zeros((len(loose), size))], [s.low[loose]], [s.high[loose]]
        blocks[0][:, :n] = s.a[loose]
        for place, which in enumerate(np.flatnonzero(lifted).tolist()):
            at = n + place * n
            if which == 1:
                linear[at : at + n] = self.price
            for sign in (1.0, -1.0):
                block = np.zeros((n, size))
                block[:, :n] = sign * np.eye(n)
                block[:, at : at + n] = -np.eye(n)
                blocks.append(block)
                lows.append(np.full(n, -np.inf))
                highs.append(sign * s.centres[which])
            if np.isfinite(s.limits[which]):
                line = np.zeros((1, size))
                line[0, at : at + n] = 1.0
                blocks.append(line)
                lows.append(np.array([-np.inf]))
                highs.append(s.limits[which : which + 1])
        g = np.asfortranarray(np.vstack(blocks))
        a = np.zeros((int(equal.sum()), size), order="F")
        a[:, :n] = s.a[equal]
        wide = np.full(k * n, np.inf)
        solver = piqp.DenseSolver()
        solver.settings.eps_abs = solver.settings.eps_rel = 1e-10
        solver.settings.eps_duality_gap_abs = solver.settings.eps_duality_gap_rel = 1e-10
        solver.setup(
            form,
            linear,
            a if len(a) else None,
            s.low[equal] if len(a) else None,
            g if len(g) else None,
            np.concatenate(lows) if len(g) else None,
            np.concatenate(highs) if len(g) else None,
            np.concatenate([s.lower, -wide]),
            np.concatenate([s.upper, wide]),
        )
        status = solver.solve()
        if status != piqp.PIQP_SOLVED:
            self._explain(status == piqp.PIQP_DUAL_INFEASIBLE)
        result = solver.result
        return self._read(result, equal, loose, lifted, n, m)

    def _explain(self, unbounded: bool) -> None:
        """Raise what is wrong where something is; a solver that stopped short is left to what follows."""
        if (error := self.setting.infeasible()) is not None:
            raise error
        if unbounded:
            raise InvalidArgument(
                "the covariance has a direction without risk that earns a return: bound the holdings",
                argument="covariance",
            )

    def _read(self, result: Any, equal: Any, loose: Any, lifted: list[bool], n: int, m: int) -> _State:
        """Read pins and binding limits off the interior point: what is nearer to its limit than it costs."""
        s = self.setting
        state = _State(n, m)
        x = state.x = np.array(result.x[:n])
        state.z = x - s.held
        state.y[equal] = -np.asarray(result.y)
        state.row[equal] = 1
        below, above = np.asarray(result.z_l), np.asarray(result.z_u)
        state.y[loose] = below[: len(loose)] - above[: len(loose)]
        value = s.a @ x
        for i in loose:
            if value[i] - s.low[i] < state.y[i]:
                state.row[i] = -1
            elif s.high[i] - value[i] < -state.y[i]:
                state.row[i] = 1
        state.pin[x - s.lower < np.maximum(np.asarray(result.z_bl)[:n], self.near)] = LOWER
        state.pin[s.upper - x < np.maximum(np.asarray(result.z_bu)[:n], self.near)] = UPPER
        state.side = np.sign(x - s.centres)
        at = len(loose)
        for which in np.flatnonzero(lifted).tolist():
            if np.isfinite(s.limits[which]):
                state.mu[which] = max(float(above[at + 2 * n]), 0.0)
                state.sum[which] = s.limits[which] - np.abs(x - s.centres[which]).sum() < state.mu[which]
            force = np.minimum(above[at : at + n], above[at + n : at + 2 * n])
            off = np.abs(x - s.centres[which])
            close = (off < np.maximum(force, self.near)) & (self.kinked[which] | state.sum[which])
            # where a bound or another kink is close as well, the closest
            close &= (state.pin == FREE) | (off < np.abs(x - self._pinned(state)))
            state.pin[close] = (FLAT, HELD)[which]
            at += 2 * n + int(np.isfinite(s.limits[which]))
        return state

    # -- to rounding ---------------------------------------------------------------------------------

    def refine(self, start: _State, rounds: int) -> tuple[_State, float]:
        """Solve the square system of the pins, exchanging what it contradicts; return the best state."""
        state, best, least = start, start, np.inf
        tried: set[int] = set()
        for _ in range(rounds):
            state = self._settled(state)
            residual, exchanged = self._judge(state)
            if residual < least:
                best, least = state, residual
            if residual <= 1e-14:
                break
            if exchanged is None:
                exchanged = None if residual <= 1e-12 else self._loosened(state, tried)
                if exchanged is None:
                    break
            state = exchanged
        return best, float(least)

    def _loosened(self, state: _State, tried: set[int]) -> _State | None:
        """Free the asset that is pinned with the least force: too few are free to meet the limits."""
        s, x = self.setting, state.x
        right, left = self._slopes(state)
        force = np.minimum(np.where(x < s.upper, right, np.inf), np.where(x > s.lower, -left, np.inf))
        force[state.pin == FREE] = np.inf
        force[list(tried)] = np.inf
        j = int(force.argmin())
        if force[j] == np.inf:
            return None
        tried.add(j)
        after = state.copy()
        after.pin[j] = FREE
        upward = x[j] < s.upper[j] and (right[j] <= -left[j] or x[j] <= s.lower[j])
        at_kink = x[j] == s.centres[:, j]
        after.side[:, j] = np.where(at_kink, 1.0 if upward else -1.0, np.sign(x[j] - s.centres[:, j]))
        return after

    def _pinned(self, state: _State) -> Floats:
        s = self.setting
        x = state.x.copy()
        for pin, value in ((LOWER, s.lower), (UPPER, s.upper), (HELD, s.held)):
            x = np.where(state.pin == pin, value, x)
        return np.where(state.pin == FLAT, 0.0, x)

    def _slope(self, state: _State) -> Floats:
        """Return the derivative without the kinks."""
        smooth = self.form @ state.x - self.gain - state.y @ self.setting.a
        return np.asarray(smooth + 1.5 * self.power * _root(state.z))

    def _settled(self, start: _State) -> _State:
        """Newton's method for the free assets and the multipliers of what binds."""
        s = self.setting
        state = _State(len(start.x), len(start.y))
        state.pin, state.side, state.row, state.sum = start.pin, start.side, start.row, start.sum
        state.x = self._pinned(start)
        state.z = np.where(start.pin == FREE, start.z, state.x - s.held)
        state.y = np.where(state.row != 0, start.y, 0.0)
        state.mu = np.where(state.sum, start.mu, 0.0)
        free, rows, sums = (
            np.flatnonzero(state.pin == FREE),
            np.flatnonzero(state.row),
            np.flatnonzero(state.sum),
        )
        nf, nr, ns = len(free), len(rows), len(sums)
        side = np.where(self._counts(state), state.side, 0.0)
        # the limits in terms of the trades: what is left to do for them, nothing where that is rounding
        limits = np.vstack([s.a[rows], side[sums]])
        sides = np.concatenate([np.where(state.row[rows] < 0, s.low[rows], s.high[rows]), s.limits[sums]])
        held = np.vstack([np.tile(s.held, (nr, 1)), s.held - s.centres[sums]])
        target = sides - (limits * held).sum(axis=1)
        size = np.abs(sides) + (np.abs(limits) * np.abs(held)).sum(axis=1)
        target[np.abs(target) <= 4.0 * np.finfo(float).eps * size] = 0.0
        powered = self.power[free] > 0.0
        # dear trades are small: each in its own unit, a limit in that of the largest trade that it holds, and
        # none begun larger than that where the interior point's digits do not show it
        pull = float(np.abs(self.form @ state.x - self.gain).max()) or 1.0
        unit = np.where(powered, np.minimum(pull / np.where(powered, 1.5 * self.power[free], 1.0), 1.0), 1.0)
        part = np.abs(limits[:, free]) > 0.0
        scale = np.maximum((part * unit**2).max(axis=1, initial=0.0), np.abs(target))
        scale[scale == 0.0] = 1.0
        most = np.maximum((part * scale[:, None]).max(axis=0, initial=0.0), unit**2)
        z = state.z[free]
        state.z[free] = np.where(powered & (np.abs(z) <= _NEAR[0]), np.clip(z, -most, most), z)
        w = np.where(powered, _root(state.z[free]), state.z[free])
        system = np.zeros((nf + nr + ns, nf + nr + ns))
        block = self.form[np.ix_(free, free)]
        system[:nf, nf : nf + nr] = -s.a[np.ix_(rows, free)].T
        system[:nf, nf + nr :] = side[np.ix_(sums, free)].T

        def defect() -> Floats:
            slope = self._slope(state)[free] + self.price[free] * side[1, free]
            slope += state.mu @ (side * state.sum[:, None])[:, free]
            return np.concatenate([slope, (limits @ state.z - target) / scale])

        wrong = defect()
        for _ in range(100 if powered.any() else 3):
            stretch = unit * np.where(powered, 2.0 * np.abs(w), 1.0)
            dear = 1.5 * self.power[free] * unit
            system[:nf, :nf] = block * stretch + np.diag(np.where(powered, dear, 0.0))
            system[nf:, :nf] = limits[:, free] * (stretch / scale[:, None])
            step = _solved(system, wrong, s.singular)
            step[:nf] *= unit
            # slopes and limits each by the size of their own terms
            terms = max(pull, float(np.abs(state.y).max(initial=0.0)), float(state.mu.max()))
            per = np.concatenate([np.full(nf, terms), np.ones(nr + ns)])
            before, size = (w, state.y, state.mu, state.x, state.z), np.abs(wrong / per).max(initial=0.0)
            length = 1.0
            for _ in range(12 if powered.any() else 1):
                w = before[0] - length * step[:nf]
                state.y, state.mu, state.x, state.z = (part.copy() for part in before[1:])
                state.y[rows] -= length * step[nf : nf + nr]
                state.mu[sums] -= length * step[nf + nr :]
                state.z[free] = np.where(powered, w * np.abs(w), w)
                state.x[free] = s.held[free] + state.z[free]
                wrong = defect()
                if np.abs(wrong / per).max(initial=0.0) <= size:
                    break
                length *= 0.5
            if np.abs(wrong / per).max(initial=0.0) >= size:
                # nothing is left but rounding: the one before is as good
                w, state.y, state.mu, state.x, state.z = before
                wrong = defect()
                break
        # the limits to rounding: what Newton's last step has left of them, a small trade's share being small
        if nf and np.abs(wrong[nf:]).max(initial=0.0) > 0.0:
            share = np.where(powered, np.maximum(w * w, unit**2), 1.0)
            rest = limits[:, free] * (share / scale[:, None])
            state.z[free] -= share * np.linalg.lstsq(rest, wrong[nf:], rcond=1e-13)[0]
            state.x[free] = s.held[free] + state.z[free]
        return state

    def _counts(self, state: _State) -> Any:
        """Where the side of a kink matters: where it costs, or its limit binds."""
        return self.kinked | state.sum[:, None]

    def _jumps(self, state: _State) -> Floats:
        """By how much the derivative jumps to either side of each kink."""
        return np.array([np.zeros(len(self.price)), self.price]) + (state.mu * state.sum)[:, None]

    def _slopes(self, state: _State) -> tuple[Floats, Floats]:
        """Derivatives from the right and from the left."""
        x, centres = state.x, self.setting.centres
        smooth, jump = self._slope(state), self._jumps(state)
        right = smooth + (jump * np.where(x >= centres, 1.0, -1.0)).sum(axis=0)
        left = smooth + (jump * np.where(x > centres, 1.0, -1.0)).sum(axis=0)
        return right, left

    def _judge(self, state: _State) -> tuple[float, _State | None]:
        """Return the relative violation of the optimality conditions, and the state that answers it."""
        s, x = self.setting, state.x
        right, left = self._slopes(state)
        jump = self._jumps(state)
        scale = (
            np.abs(self.form @ x).max()
            + np.abs(self.gain).max()
            + jump.max()
            + np.abs(state.y).max(initial=0.0)
        )
        # a portfolio without risk cancels all of them: then a thousandth of what they could be
        deviation = np.sqrt(np.maximum(self.form.diagonal(), 0.0))
        scale = max(float(scale), 1e-3 * float(deviation.max() * (deviation @ np.abs(x))), 1e-14)
        room = np.abs(x).max() or 1.0
        few = 1e-13
        falls = np.where(x < s.upper, np.maximum(-right / scale, 0.0), 0.0)
        rises = np.where(x > s.lower, np.maximum(left / scale, 0.0), 0.0)
        out = np.maximum(np.maximum(s.lower - x, x - s.upper), 0.0) / room
        value = s.a @ x
        size = np.abs(s.a) @ np.abs(x) + room
        over, under = (value - s.high) / size, (s.low - value) / size
        length = np.abs(x - s.centres).sum(axis=1)
        longer = np.where(np.isfinite(s.limits), (length - s.limits) / (length + room), -np.inf)
        # a limit may push its own way only
        equal = s.low == s.high
        wrong_way = (
            np.where(equal, 0.0, np.where(state.row > 0, state.y, -state.y) * (state.row != 0)) / scale
        )
        backward = np.where(state.sum, -state.mu, 0.0) / scale
        idle = np.where(
            (state.row != 0) & ~equal, np.abs(value - np.where(state.row < 0, s.low, s.high)) / size, 0.0
        )
        residual = max(
            falls.max(),
            rises.max(),
            out.max(),
            over.max(initial=0.0),
            under.max(initial=0.0),
            wrong_way.max(initial=0.0),
            idle.max(initial=0.0),
            float(longer.max()),
            float(backward.max()),
        )
        after = state.copy()
        free = state.pin == FREE
        after.pin[free & (s.lower - x > few * room)] = LOWER
        after.pin[free & (x - s.upper > few * room)] = UPPER
        for which, pin in ((0, FLAT), (1, HELD)):
            crossed = (
                free & self._counts(state)[which] & (state.side[which] * (x - s.centres[which]) < -few * room)
            )
            after.pin[crossed] = pin
        loosened = ~free & ((falls > few) | (rises > few))
        after.pin[loosened] = FREE
        upward = np.where(falls > few, 1.0, -1.0)
        after.side = np.where(
            loosened,
            np.where(np.abs(x - s.centres) <= few * room, upward, np.sign(x - s.centres)),
            after.side,
        )
        after.row[(state.row == 0) & (over > few)] = 1
        after.row[(state.row == 0) & (under > few)] = -1
        after.row[wrong_way > few] = 0
        came = ~state.sum & (longer > few)
        after.sum = (state.sum | came) & ~(backward > few)
        for which in np.flatnonzero(came).tolist():
            side = np.sign(x - s.centres[which])
            after.side[which] = np.where(side == 0.0, 1.0, side)
        same = (
            (after.pin == state.pin).all()
            and (after.side == state.side).all()
            and (after.row == state.row).all()
            and (after.sum == state.sum).all()
        )
        return float(max(residual, 0.0)), None if same else after


def _root(z: Floats) -> Floats:
    """Root of the size, with the sign: the slope of |z|^(3/2), but for 3/2."""
    return np.asarray(np.copysign(np.sqrt(np.abs(z)), z))


def _solved(system: Floats, right: Floats, singular: bool) -> Floats:
    """Solve; where the conditions depend on each other, the least change that meets them."""
    if not len(right):
        return right
    if not singular:
        try:
            found = np.asarray(np.linalg.solve(system, right), dtype=np.float64)
            if np.abs(system @ found - right).max() <= 1e-10 * (np.abs(right).max() + 1e-300):
                return found
        except np.linalg.LinAlgError:
            pass
    return np.asarray(np.linalg.lstsq(system, right, rcond=1e-13)[0], dtype=np.float64)
