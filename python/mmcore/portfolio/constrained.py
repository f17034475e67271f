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
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument, MissingExtra, NoConvergence
from .constraints import Rows
from .covariances import Spectrum, earns_without_risk
from .descent import descend

__all__ = ["Constrained", "Optimum"]

Floats = NDArray[np.float64]

FREE, LOWER, UPPER, HELD, FLAT = 0, -1, 1, 2, 3
"""Where an asset is pinned: at a bound, at its present holding, at zero."""

_NEAR = 1e-8
"""How near to a pin counts as there."""

_DEAR = 1e3
"""Linear costs beyond, in units of the other terms, are split into what is never paid and what is always."""

_DEAREST = 1e6
"""Most curvature of a trade's cost, in units of the problem, that the interior point is given."""


class Optimum:
    """Holdings with the multipliers of what binds, in the units of the problem as it was given."""

    __slots__ = ("leverage", "residual", "rows", "turnover", "x")

    def __init__(self, x: Floats, rows: Floats, leverage: float, turnover: float, residual: float) -> None:
        self.x, self.rows, self.residual = x, rows, residual
        self.leverage, self.turnover = leverage, turnover


class State:
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

    def copy(self) -> State:
        """Another with the same pins and limits, at the same point."""
        made = State(len(self.x), len(self.y))
        made.x, made.z, made.y, made.mu = self.x, self.z, self.y, self.mu
        made.pin, made.side = self.pin.copy(), self.side.copy()
        made.row, made.sum = self.row.copy(), self.sum.copy()
        return made


class _Split:
    """A problem without its dear costs, and what was split off: multipliers, slopes, costs that are left."""

    def __init__(
        self, setting: Constrained, rows: Floats, sums: Floats, slopes: Floats, price: Floats
    ) -> None:
        self.setting, self.rows, self.sums, self.slopes, self.price = setting, rows, sums, slopes, price


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
        self.rows, self.names = rows, rows.names
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
        self._last: State | None = None
        self._bounded_for = np.zeros(0)  # returns found to have no such direction

    def solve(self, returns: Floats | None, tolerance: float) -> Optimum:
        """Solve for these returns and this risk tolerance; 0 is the least variance, whatever the costs."""
        if returns is not None and tolerance:
            self.refuse_earnings(returns)
        scale = tolerance / (self.variance * self.size)
        gain = np.zeros(len(self.q)) if returns is None else returns * scale
        # a large tolerance makes a linear program of it: then its terms are the unit
        unit = max(1.0, float(np.abs(gain).max()))
        form, gain = self.q / unit, gain / unit
        price = self.cost * (scale / unit)
        power = self.power * (scale / unit * np.sqrt(self.size))
        dear = _DEAR * (self.room(self.held) * float(form.diagonal().max()) + float(np.abs(gain).max()))
        while True:
            part = self._without_dear(price, dear)
            problem = Program(part.setting, form, gain - part.slopes, part.price, power)
            state, residual = problem.solved(self._last if part.setting is self else None)
            y, mu = part.rows.copy(), part.sums.copy()
            y += state.y[: len(y)]
            mu += state.mu
            mu[part.sums > 0.0] -= state.y[len(y) :]
            if part.setting is self or self._unpaid(part, problem.slope(state, gain, y), state, price, mu):
                break
            dear *= 1e3
        if not residual <= 1e-9:
            why = "the problem is too ill-conditioned"
            if power.max(initial=0.0) > _DEAREST:
                why = "trades that power_cost makes so dear vanish in rounding; equal bounds rule them out"
            raise NoConvergence(f"the answer's residual is {residual:.1e}: {why}")
        if part.setting is self:
            self._last = state
        back = unit * self.variance * self.size
        x = state.x * self.size
        return Optimum(x, y * back / self.row_size, -float(mu[0]) * back, -float(mu[1]) * back, residual)

    def _without_dear(self, price: Floats, dear: float) -> _Split:
        """Part linear costs beyond ``dear`` from the problem: they would take the digits of the rest.

        The trades that the limits demand are the cheapest ones: a linear program, whose multipliers are split
        off. With these, the slopes between 0, the holding and the bounds are none, small, or so steep that
        nothing goes there: then there is a bound. Where a sum has a large multiplier, no holding can change
        its side of that sum's kink, and the limit is a row.
        """
        whole = _Split(self, np.zeros(len(self.a)), np.zeros(2), np.zeros(len(price)), price)
        if price.max() <= dear or not dear:
            return whole
        from scipy.optimize import linprog

        n = len(price)
        matrix, right, names, bounds = self._inequalities(priced=True)
        sized = np.concatenate([np.zeros(matrix.shape[1] - n), price / dear])
        found = linprog(sized, A_ub=matrix, b_ub=right, bounds=bounds.tolist())
        if found.status != 0:
            if (error := self.infeasible()) is not None:
                raise error
            return whole
        forces, few = dear * np.asarray(found.ineqlin.marginals), 1e-13 * price.max()
        rows, sums = np.zeros(len(self.a)), np.zeros(2)
        for name, which in (("leverage", 0), ("turnover", 1)):
            if name in names:
                sums[which] = -forces[names.index(name)]
        high, low = np.flatnonzero(np.isfinite(self.high)), np.flatnonzero(np.isfinite(self.low))
        rows[high] += forces[: len(high)]
        rows[low] -= forces[len(high) : len(high) + len(low)]
        for i in np.flatnonzero(np.abs(rows) > dear):  # they are costs, and costs are equal to the last digit
            near = np.abs(np.abs(rows[i]) - price)
            if near.min() <= few:
                rows[i] = np.copysign(price[near.argmin()], rows[i])
        # the slopes below, between and above 0 and the holding
        nodes = np.sort([np.zeros(n), self.held], axis=0)
        sides = np.array([[-np.ones(n), np.where(self.held > 0.0, 1.0, -1.0), np.ones(n)]] * 2)
        sides[1, 1] = -sides[0, 1]
        steep = sides[0] * sums[0] + sides[1] * (price + sums[1]) - rows @ self.a
        # what is not large may as well be found with the rest
        rows[np.abs(rows) <= dear], sums[sums <= dear] = 0.0, 0.0
        made = copy(self)
        made.lower = np.where(steep[0] <= -dear, np.maximum(nodes[0], self.lower), self.lower)
        made.lower = np.where(steep[1] <= -dear, np.maximum(nodes[1], self.lower), made.lower)
        made.lower = np.where(steep[2] <= -dear, self.upper, np.minimum(made.lower, self.upper))
        made.upper = np.where(steep[2] >= dear, np.minimum(nodes[1], self.upper), self.upper)
        made.upper = np.where(steep[1] >= dear, np.minimum(nodes[0], self.upper), made.upper)
        made.upper = np.where(steep[0] >= dear, self.lower, np.maximum(made.upper, made.lower))
        one = (made.lower >= self.held) | (made.upper <= self.held)
        side = np.where([made.lower >= 0.0, made.lower >= self.held], 1.0, -1.0)
        slopes = side[0] * sums[0] + np.where(one, side[1] * (price + sums[1]), 0.0) - rows @ self.a
        slopes[(np.abs(slopes) <= few) | (made.lower >= made.upper)] = 0.0
        made.low, made.high = self.low.copy(), self.high.copy()
        made.low[rows < 0.0], made.high[rows > 0.0] = self.high[rows < 0.0], self.low[rows > 0.0]
        tight = np.flatnonzero(sums)
        full = self.limits[tight] + (side * self.centres).sum(axis=1)[tight]
        made.a = np.vstack([self.a, side[tight]])
        made.low, made.high = np.concatenate([made.low, full]), np.concatenate([made.high, full])
        made.names = self.names + [("leverage", "turnover")[which] for which in tight]
        made.limits = np.where(sums > 0.0, np.inf, self.limits)
        return _Split(made, rows, sums, slopes, np.where(one, 0.0, price))

    def _unpaid(self, part: _Split, smooth: Floats, state: State, price: Floats, mu: Floats) -> bool:
        """Say whether each bound that stands for a cost holds with less force than that cost."""
        s, few = part.setting, 1e-10 * price.max()
        up, down = s.upper < self.upper, s.lower > self.lower
        jumps = np.array([np.zeros(len(price)), price]) + mu[:, None]
        off = np.array([state.x, state.z])
        right = smooth + (jumps * np.where(off >= 0.0, 1.0, -1.0)).sum(axis=0)
        left = smooth + (jumps * np.where(off > 0.0, 1.0, -1.0)).sum(axis=0)
        up, down = up & (state.x >= s.upper), down & (state.x <= s.lower)
        return bool(right[up].min(initial=0.0) >= -few and left[down].max(initial=0.0) <= few)

    def room(self, x: Floats) -> float:
        """Size of the holdings, or of what they are the difference of: their rounding is a share of it.

        Where all of that is nothing it is what the interior point can see, in the unit of the limits.
        """
        equal = self.low[self.low == self.high]
        return max(1e-8, *(float(np.abs(part).max(initial=0.0)) for part in (x, self.held, equal)))

    def _inequalities(
        self, priced: bool = False, cone: bool = False
    ) -> tuple[Floats, Floats, list[str], NDArray[np.float64]]:
        """Return the limits as Gv ≤ right over v = (x, its sizes), the rows' names, and the bounds of v.

        Sizes are |x| and |x - h|, where they are limited or (the latter) priced; the rows that make them have
        no name. Of a ``cone`` all sides are 0: it holds the directions in which nothing ever stops.
        """
        n = len(self.q)
        lifted = np.flatnonzero(np.isfinite(self.limits) | [False, priced])
        width = n * (1 + len(lifted))
        blocks, right, names = [np.zeros((0, width))], [np.zeros(0)], []
        for sign, sides in ((1.0, self.high), (-1.0, self.low)):
            kept = np.flatnonzero(np.isfinite(sides))
            block = np.zeros((len(kept), width))
            block[:, :n] = sign * self.a[kept]
            blocks.append(block)
            right.append(sign * sides[kept])
            names += [self.names[i] for i in kept]
        for place, which in enumerate(lifted.tolist()):
            at = n * (1 + place)
            if np.isfinite(self.limits[which]):
                block = np.zeros((1, width))
                block[0, at : at + n] = 1.0
                blocks.append(block)
                right.append(self.limits[which : which + 1])
                names.append(("leverage", "turnover")[which])
            for sign in (1.0, -1.0):
                block = np.zeros((n, width))
                block[:, :n], block[:, at : at + n] = sign * np.eye(n), -np.eye(n)
                blocks.append(block)
                right.append(sign * self.centres[which])
                names += [""] * n
        bounds = np.full((width, 2), np.inf)
        bounds[:n, 0], bounds[:n, 1], bounds[n:, 0] = self.lower, self.upper, 0.0
        sides = np.concatenate(right)
        if cone:
            bounds[:n] = np.where(np.isfinite(bounds[:n]), 0.0, [-1.0, 1.0])
            sides = np.zeros(len(sides))
        return np.vstack(blocks), sides, names, bounds

    def infeasible(self) -> InvalidArgument | None:
        """Return what to raise when no portfolio meets the constraints: the ones that exclude each other."""
        from scipy.optimize import linprog

        n = len(self.q)
        matrix, right, names, bounds = self._inequalities()
        elastic = -np.eye(len(names))[:, [bool(name) for name in names]]  # what each limit is short of
        k = elastic.shape[1]
        found = linprog(
            np.concatenate([np.zeros(matrix.shape[1]), np.ones(k)]),
            A_ub=np.hstack([matrix, elastic]),
            b_ub=right,
            bounds=[*bounds.tolist(), *[(0.0, np.inf)] * k],
        )
        if found.status != 0 or found.fun is None or found.fun <= 1e-9:
            return None
        short = float(found.fun) * self.size
        forces = np.abs(found.ineqlin.marginals)
        pushing = {name for name, force in zip(names, forces, strict=True) if force > 1e-9}
        guilty = [name for name in dict.fromkeys((*self.names, "leverage", "turnover")) if name in pushing]
        for name, side in (("lower", found.lower), ("upper", found.upper)):
            guilty += [f"{name}[{j}]" for j in np.flatnonzero(np.abs(side.marginals[:n]) > 1e-9)]
        listed = ", ".join(guilty[:8]) + (f" and {len(guilty) - 8} more" if len(guilty) > 8 else "")
        return InvalidArgument(
            f"no portfolio meets all of {listed}: together they are short by {short:.6g}",
            argument=guilty[0] if guilty else None,
        )

    def nearest(self, x: Floats) -> Floats | None:
        """Return a portfolio that meets the limits, with the least sum of differences from x."""
        from scipy.optimize import linprog

        n = len(x)
        matrix, right, _, bounds = self._inequalities()
        rest = np.zeros((n, matrix.shape[1] - n))
        off = [np.hstack([sign * np.eye(n), rest, -np.eye(n)]) for sign in (1.0, -1.0)]
        found = linprog(
            np.concatenate([np.zeros(matrix.shape[1]), np.ones(n)]),
            A_ub=np.vstack([np.hstack([matrix, np.zeros((len(matrix), n))]), *off]),
            b_ub=np.concatenate([right, x, -x]),
            bounds=[*bounds.tolist(), *[(0.0, np.inf)] * n],
            options={"primal_feasibility_tolerance": 1e-10},
        )
        return None if found.x is None else np.asarray(found.x[:n], dtype=np.float64)

    def highest(self, gain: Floats, price: Floats, at: Floats | None = None) -> Floats | None:
        """Return what earns most after linear costs within the limits; None where that has no end.

        With ``at``, of those only that have its covariances with all assets, and so no risk beside it.
        """
        from scipy.optimize import linprog

        n = len(gain)
        matrix, right, _, bounds = self._inequalities(priced=True)
        rest = matrix.shape[1] - n
        unit = max(float(np.abs(gain).max()), float(price.max())) or 1.0
        lines = np.zeros((0, n)) if at is None else self.q
        size = np.abs(lines).max(axis=1, initial=0.0)
        lines = lines[size > 0.0] / size[size > 0.0, None]
        found = linprog(
            np.concatenate([-gain, np.zeros(rest - n), price]) / unit,
            A_ub=matrix,
            b_ub=right,
            A_eq=np.hstack([lines, np.zeros((len(lines), rest))]) if len(lines) else None,
            b_eq=lines @ at / self.size if at is not None and len(lines) else None,
            bounds=bounds.tolist(),
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        return None if found.x is None else np.asarray(found.x[:n] * self.size, dtype=np.float64)

    def refuse_earnings(self, returns: Floats) -> None:
        """Raise where a direction without risk earns without end.

        Asked of the returns alone: how far the interior point would follow it depends on their units.
        """
        if not self.singular or np.array_equal(returns, self._bounded_for):
            return
        direction = self.endless(returns, self.cost, self.power)
        if direction is not None:
            earned = returns @ direction - self.cost @ np.abs(direction)
            raise self.infeasible() or earns_without_risk(direction, float(earned))
        self._bounded_for = returns.copy()

    @cached_property
    def riskless(self) -> Floats:
        """Directions without risk, orthonormal."""
        return Spectrum(self.q, 0.0).null

    def endless(self, gain: Floats, price: Floats, power: Floats) -> Floats | None:
        """Return a direction without risk that earns more than it costs, and that nothing ever bounds."""
        from scipy.optimize import linprog

        n, k, unit = len(gain), self.riskless.shape[1], float(np.abs(gain).max())
        matrix, right, _, bounds = self._inequalities(priced=True, cone=True)
        bounds[:n][power > 0.0] = 0.0
        if not k or not unit or not bounds[:n].any():
            return None
        # what takes all that is earned on a trade a billion times as large is dear enough
        gain, price = gain / unit, np.minimum(price / unit, 1e9)
        risky = np.linalg.qr(self.riskless, mode="complete")[0][:, k:].T
        rest = matrix.shape[1] - n
        found = linprog(
            np.concatenate([-gain, np.zeros(rest - n), price]),
            A_ub=matrix,
            b_ub=right,
            A_eq=np.hstack([risky, np.zeros((len(risky), rest))]) if len(risky) else None,
            b_eq=np.zeros(len(risky)) if len(risky) else None,
            bounds=bounds.tolist(),
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        if found.x is None:
            return None
        direction = self.riskless @ (found.x[:n] @ self.riskless)
        # to rounding nothing where it is that
        direction[np.abs(direction) <= 1e-12 * np.abs(direction).max()] = 0.0
        return direction if gain @ direction - price @ np.abs(direction) > 1e-9 else None


class Program:
    """One problem in units of its own: ½xᵀQx − gᵀx + Σ p|x − h| + w|x − h|^(3/2) within the limits."""

    def __init__(
        self, setting: Constrained, form: Floats, gain: Floats, price: Floats, power: Floats
    ) -> None:
        self.setting, self.form, self.gain, self.price, self.power = setting, form, gain, price, power
        self.kinked = np.array([np.zeros(len(gain), dtype=bool), price > 0.0])

    # -- the interior point --------------------------------------------------------------------------

    def by_interior_point(self, near: float) -> State:
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

    def _quadratic(self, curve: Floats) -> State:
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
        # a solver that stopped short is left to what follows
        if status != piqp.PIQP_SOLVED and (error := s.infeasible()) is not None:
            raise error
        result = solver.result
        return self._read(result, equal, loose, lifted, n, m)

    def _read(self, result: Any, equal: Any, loose: Any, lifted: list[bool], n: int, m: int) -> State:
        """Read pins and binding limits off the interior point: what is nearer to its limit than it costs."""
        s = self.setting
        state = State(n, m)
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
            close &= (state.pin == FREE) | (off < np.abs(x - self.pinned(state)))
            state.pin[close] = (FLAT, HELD)[which]
            at += 2 * n + int(np.isfinite(s.limits[which]))
        return state

    # -- to rounding ---------------------------------------------------------------------------------

    def solved(self, last: State | None) -> tuple[State, float]:
        """Return the optimum and its residual, from the last one or the interior point's."""
        state, residual = (last, math.inf) if last is None else self.refine(last, rounds=8)
        if residual > 1e-12:
            start = self.by_interior_point(_NEAR)
            state, residual = self.refine(start, rounds=40)
            x = self.setting.nearest(start.x) if residual > 1e-12 else None
            for slide in () if x is None else (False, True):
                if residual > 1e-12:
                    fresh = State(len(start.x), len(self.setting.a))
                    again = descend(self, fresh, np.asarray(x) - self.setting.held, slide)
                    wrong, _ = self.judge(again)
                    if wrong < residual:
                        state, residual = again, wrong
        assert state is not None
        return state, residual

    def refine(self, start: State, rounds: int) -> tuple[State, float]:
        """Solve the square system of the pins, exchanging what it contradicts; return the best state."""
        state, best, least = start, start, np.inf
        for _ in range(rounds):
            state = self.settled(state)
            residual, exchanged = self.judge(state)
            if residual < least:
                best, least = state, residual
            if residual <= 1e-14:
                break
            if exchanged is None:
                break
            state = exchanged
        return best, float(least)

    def pinned(self, state: State) -> Floats:
        """Return holdings with those that are pinned where they are pinned."""
        s = self.setting
        x = state.x.copy()
        for pin, value in ((LOWER, s.lower), (UPPER, s.upper), (HELD, s.held)):
            x = np.where(state.pin == pin, value, x)
        return np.where(state.pin == FLAT, 0.0, x)

    def slope(self, state: State, gain: Floats, y: Floats) -> Floats:
        """Return the derivative without the kinks, for these linear terms and these rows' multipliers."""
        smooth = self.form @ state.x - gain - y @ self.setting.a[: len(y)]
        return np.asarray(smooth + 1.5 * self.power * _root(state.z))

    def settled(self, start: State) -> State:
        """Newton's method for the free assets and the multipliers of what binds."""
        s = self.setting
        state = State(len(start.x), len(start.y))
        state.pin, state.side, state.row, state.sum = start.pin, start.side, start.row, start.sum
        state.x = self.pinned(start)
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
        state.z[free] = np.where(powered & (np.abs(z) <= _NEAR), np.clip(z, -most, most), z)
        state.x[free] = s.held[free] + state.z[free]
        w = np.where(powered, _root(state.z[free]), state.z[free])
        system = np.zeros((nf + nr + ns, nf + nr + ns))
        block = self.form[np.ix_(free, free)]
        system[:nf, nf : nf + nr] = -s.a[np.ix_(rows, free)].T
        system[:nf, nf + nr :] = side[np.ix_(sums, free)].T

        def defect() -> Floats:
            slope = self.slope(state, self.gain, state.y)[free] + self.price[free] * side[1, free]
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
            # slopes and limits each by the size of their own terms; slopes to rounding, while a limit of
            # trades that are nothing has all digits
            terms = max(pull, float(np.abs(state.y).max(initial=0.0)), float(state.mu.max()))
            per = np.concatenate([np.full(nf, terms), np.ones(nr + ns)])
            few = np.concatenate([np.full(nf, 4e-16), np.zeros(nr + ns)])

            def miss(wrong: Floats, per: Floats = per, few: Floats = few) -> float:
                return float((np.abs(wrong / per) - few).max(initial=0.0))

            before, size = (w, state.y, state.mu, state.x, state.z), miss(wrong)
            length = 1.0
            for _ in range(12 if powered.any() else 1):
                w = before[0] - length * step[:nf]
                state.y, state.mu, state.x, state.z = (part.copy() for part in before[1:])
                state.y[rows] -= length * step[nf : nf + nr]
                state.mu[sums] -= length * step[nf + nr :]
                state.z[free] = np.where(powered, w * np.abs(w), w)
                state.x[free] = s.held[free] + state.z[free]
                wrong = defect()
                if miss(wrong) <= size:
                    break
                length *= 0.5
            if miss(wrong) >= size:
                # nothing is left but rounding: the one before is as good
                w, state.y, state.mu, state.x, state.z = before
                wrong = defect()
                break
        # the limits to rounding: what Newton's last step has left of them, a small trade's share being small
        if nf and np.abs(wrong[nf:]).max(initial=0.0) > 0.0:
            share = np.where(powered, w * w, 1.0)
            rest = limits[:, free] * (share / scale[:, None])
            state.z[free] -= share * np.linalg.lstsq(rest, wrong[nf:], rcond=1e-13)[0]
            state.x[free] = s.held[free] + state.z[free]
        return state

    def _counts(self, state: State) -> Any:
        """Where the side of a kink matters: where it costs, or its limit binds."""
        return self.kinked | state.sum[:, None]

    def _jumps(self, state: State) -> Floats:
        """By how much the derivative jumps to either side of each kink."""
        return np.array([np.zeros(len(self.price)), self.price]) + (state.mu * state.sum)[:, None]

    def face(self, state: State) -> Floats:
        """Return the derivative on the sides of the kinks that the state is on."""
        smooth = self.slope(state, self.gain, state.y)
        return np.asarray(smooth + (self._jumps(state) * state.side).sum(axis=0))

    def _slopes(self, state: State) -> tuple[Floats, Floats]:
        """Derivatives from the right and from the left."""
        x, centres = state.x, self.setting.centres
        smooth, jump = self.slope(state, self.gain, state.y), self._jumps(state)
        right = smooth + (jump * np.where(x >= centres, 1.0, -1.0)).sum(axis=0)
        left = smooth + (jump * np.where(x > centres, 1.0, -1.0)).sum(axis=0)
        return right, left

    def judge(self, state: State) -> tuple[float, State | None]:
        """Return the relative violation of the optimality conditions, and the state that answers it."""
        s, x = self.setting, state.x
        right, left = self._slopes(state)
        free = state.pin == FREE
        room = s.room(x)
        scale = (
            np.abs(self.form @ x).max()
            + np.abs(self.gain).max()
            + self.price[free].max(initial=0.0)
            + np.abs(state.y).max(initial=0.0)
            + state.mu.max()
        )
        # a portfolio without risk cancels all of them: then a thousandth of what they could be
        most = room * float(self.form.diagonal().max()) + float(np.abs(self.gain).max())
        most = most or float((self.price + 1.5 * self.power * math.sqrt(room)).max())
        scale = max(float(scale), 1e-3 * most) or 1.0
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
        # nor may a sum push that is short of its limit, as where all that it holds is pinned
        unspent = np.where(state.sum, np.minimum(state.mu / scale, -longer), 0.0)
        residual = max(
            falls.max(),
            rises.max(),
            out.max(),
            over.max(initial=0.0),
            under.max(initial=0.0),
            wrong_way.max(initial=0.0),
            idle.max(initial=0.0),
            float(unspent.max()),
            float(longer.max()),
            float(backward.max()),
        )
        after = state.copy()
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
