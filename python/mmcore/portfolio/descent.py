r"""From a feasible portfolio down to the best one, face by face: for what an interior point leaves undecided.

Where limits meet in more ways than there are free assets (a vertex, a tie), which of them push is no question
of distances, and the multipliers are not those of a square system. They are those of a linear program, the
steepest way down within the limits that are tight:

.. math:: \min_{d^+, d^-} \sum_j f'_j(x_j+)\,d^+_j - f'_j(x_j-)\,d^-_j \quad\text{s.t.}\quad
          0 \le d^\pm \le 1,\ \text{tight limits let } d = d^+ - d^- \text{ pass} .

Its least value is 0 exactly at the optimum, and its multipliers are then the portfolio's. Else d is the way
to go: along it to its lowest point, and from there to the lowest point of the face reached, stopping at what
is met on the way, which is tight from then on. Each round ends lower than the one before: none comes twice.

Source: Zoutendijk, *Methods of Feasible Directions* (1960), for the linear program; Fletcher, *Practical
Methods of Optimization* (1987), chapter 10, for active sets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .constrained import Program, State

__all__ = ["descend"]

Floats = NDArray[np.float64]

_TIGHT = 1e-13
"""Share of the holdings within which a limit is tight, and a holding on its node."""

_STEEP: Any = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class _Descent:
    """A point on its way down, by the trades z = x - h."""

    def __init__(self, problem: Program, z: Floats) -> None:
        self.problem, self.z = problem, z
        s = problem.setting
        self.near = _TIGHT * s.room(s.held + z)
        # where the slope jumps: a kink that costs, or whose sum is limited, and the bounds
        kinks = np.where(problem.kinked | np.isfinite(s.limits)[:, None], s.centres - s.held, np.inf)
        self.nodes = np.vstack([s.lower - s.held, kinks[::-1], s.upper - s.held])
        self.snap()

    @property
    def x(self) -> Floats:
        """Holdings."""
        found: Floats = self.problem.setting.held + self.z
        return found

    def snap(self) -> None:
        """Put what is near a node on it."""
        off = np.abs(self.nodes - self.z)
        at = off.argmin(axis=0)
        on = off.min(axis=0) <= self.near
        self.z = np.where(on, self.nodes[at, np.arange(len(at))], self.z)

    def slopes(self) -> tuple[Floats, Floats]:
        """Derivatives to the right and to the left, without multipliers."""
        smooth = self.smooth(self.z)
        price = self.problem.price
        return (
            smooth + price * np.where(self.z >= 0.0, 1.0, -1.0),
            smooth + price * np.where(self.z > 0.0, 1.0, -1.0),
        )

    def smooth(self, z: Floats) -> Floats:
        """Derivative of all but the kinks."""
        p = self.problem
        root = np.copysign(np.sqrt(np.abs(z)), z)
        return np.asarray(p.form @ (p.setting.held + z) - p.gain + 1.5 * p.power * root)

    def tight(self) -> tuple[Any, Any, Any]:
        """Say which rows are at their low side, which at their high one, and which sums at their limit."""
        s, x = self.problem.setting, self.x
        value, room = s.a @ x, self.near * (1.0 + np.abs(s.a).sum(axis=1))
        length = np.abs(x - s.centres).sum(axis=1)
        return value - s.low <= room, s.high - value <= room, s.limits - length <= self.near * len(x)

    def way(self) -> tuple[Floats, float, Floats, Floats]:
        """Return the steepest way down, how steep it is, and the multipliers of rows and sums."""
        from scipy.optimize import linprog

        s, x = self.problem.setting, self.x
        n = len(x)
        right, left = self.slopes()
        steep = max(float(np.abs(right).max()), float(np.abs(left).max())) or 1.0
        low, high, full = self.tight()
        equal, few = low & high, np.where(low, -1.0, 1.0)
        bent = (low | high) & ~equal
        longer = np.concatenate([np.where(x >= s.centres, 1.0, -1.0), np.where(x > s.centres, -1.0, 1.0)], 1)
        above = np.concatenate([few[bent, None] * np.hstack([s.a, -s.a])[bent], longer[full]])
        # by the trades, which are on their bounds to the last digit: holdings may be off by rounding
        most = np.concatenate([self.z < self.nodes[-1], self.z > self.nodes[0]]).astype(float)
        found = linprog(
            np.concatenate([right, -left]) / steep,
            A_ub=above if len(above) else None,
            b_ub=np.zeros(len(above)) if len(above) else None,
            A_eq=np.hstack([s.a, -s.a])[equal] if equal.any() else None,
            b_eq=np.zeros(int(equal.sum())) if equal.any() else None,
            bounds=np.column_stack([np.zeros(2 * n), most]).tolist(),
            options=_STEEP,
        )
        y, mu = np.zeros(len(s.a)), np.zeros(2)
        if found.x is None or found.fun is None:
            return np.zeros(n), 0.0, y, mu
        y[equal] = steep * found.eqlin.marginals if equal.any() else 0.0
        if len(above):
            forces = steep * np.asarray(found.ineqlin.marginals)
            y[bent] = few[bent] * forces[: int(bent.sum())]
            mu[full] = -forces[int(bent.sum()) :]
        return found.x[:n] - found.x[n:], -float(found.fun), y, mu

    def room(self, step: Floats) -> tuple[float, int]:
        """Return how far a step can go, in its own length, and the node's asset that stops it, or -1."""
        s, x = self.problem.setting, self.x
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (self.nodes - self.z) / step
        away[~(away > 0.0) | (np.abs(self.nodes - self.z) <= self.near)] = np.inf
        first = away.min(axis=0)
        length, asset = float(first.min()), int(first.argmin())
        rate, value = s.a @ step, s.a @ x
        size = 1e-13 * (np.abs(s.a) @ np.abs(step))
        low, high, full = self.tight()
        sums = (np.where(x == s.centres, np.sign(step), np.sign(x - s.centres)) * step).sum(axis=1)
        lengths = np.abs(x - s.centres).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            for gap in (
                np.where((rate > size) & ~high, (s.high - value) / rate, np.inf),
                np.where((rate < -size) & ~low, (s.low - value) / rate, np.inf),
                np.where((sums > 1e-13 * np.abs(step).sum()) & ~full, (s.limits - lengths) / sums, np.inf),
            ):
                least = float(gap.min(initial=np.inf))
                if least < length:
                    length, asset = max(least, 0.0), -1
        return length, asset

    def move(self, step: Floats, length: float, asset: int) -> None:
        """Go this far, onto the node that ends it."""
        self.z = self.z + length * step
        if asset >= 0:
            nodes = self.nodes[:, asset]
            self.z[asset] = nodes[np.abs(nodes - self.z[asset]).argmin()]
        self.snap()

    def along(self, step: Floats) -> bool:
        """Go to the lowest point along a step; say whether there is one, and it is elsewhere."""
        right, left = self.slopes()
        kinks = np.where(step > 0.0, right, left) - self.smooth(self.z)

        def slope(length: float) -> float:
            return float(step @ (self.smooth(self.z + length * step) + kinks))

        most, asset = self.room(step)
        end = most
        if math.isinf(most):
            end = 1.0
            while slope(end) < 0.0 and end < 1e12:
                end *= 8.0
            if slope(end) < 0.0:
                return False
        if slope(end) > 0.0:
            if slope(0.0) >= 0.0:
                return False
            from scipy.optimize import bisect, brentq

            few: Any = {"xtol": 1e-16 * end, "rtol": 1e-13}
            root, found = brentq(slope, 0.0, end, full_output=True, disp=False, **few)
            # far below the end, where the slope is that of a root, halving is sure of its rounds
            end, asset = float(root if found.converged else bisect(slope, 0.0, end, **few)), -1
        self.move(step, end, asset)
        return end > 0.0

    def state(self, fresh: State) -> State:
        """Return the pins, sides and limits of where it stands."""
        s, x = self.problem.setting, self.x
        fresh.x, fresh.z = x, self.z.copy()
        off = np.abs(self.nodes - self.z)
        on = off.min(axis=0) == 0.0
        fresh.pin = np.where(on, np.array([-1, 2, 3, 1])[off.argmin(axis=0)], 0).astype(np.int8)
        fresh.x = self.problem.pinned(fresh)  # to the last digit
        fresh.side = np.sign(np.where(np.abs(x - s.centres) <= self.near, 0.0, x - s.centres))
        low, high, full = self.tight()
        fresh.row = np.where(high, 1, np.where(low, -1, 0)).astype(np.int8)
        fresh.sum = full
        return fresh

    def value(self) -> float:
        """Objective, in the problem's unit."""
        p, x, size = self.problem, self.x, np.abs(self.z)
        return float(0.5 * x @ p.form @ x - p.gain @ x + p.price @ size + p.power @ size**1.5)

    def beyond(self) -> float:
        """By how much the limits are exceeded: what the interior point has left of them, or rounding."""
        s, x = self.problem.setting, self.x
        value, length = s.a @ x, np.abs(x - s.centres).sum(axis=1)
        over = np.concatenate([value - s.high, s.low - value, length - s.limits])
        return float(over[over > 0.0].sum())

    def settle(self, fresh: State, slide: bool) -> None:
        """Go to the lowest point of the face; what is met on the way makes it a smaller one.

        ``slide`` goes first where the face falls without risk, and has no lowest point of its own.
        """
        for _ in range(2 * len(self.z) + 2):
            goal = self.problem.settled(self.state(fresh.copy()))
            free = goal.pin == 0
            # what is left of the slopes is such a way
            left = np.where(free, self.problem.face(goal), 0.0)
            steep = max(float(np.abs(part).max()) for part in self.slopes())
            if slide and np.abs(left).max() > 1e-9 * steep and self.along(-left / np.abs(left).max()):
                continue
            step = np.where(free, goal.z - self.z, 0.0)
            if not np.isfinite(step).all() or not step.any():
                return
            # to come back within the limits may cost what to leave them had gained
            before, start = self.value() + 2.0 * steep * self.beyond(), self.z
            length, asset = self.room(step)
            if length >= 1.0:
                self.z = np.where(step != 0.0, goal.z, self.z)
                self.snap()
            else:
                self.move(step, length, asset)
            if self.value() > before + 1e-13 * (abs(before) + 1e-3):
                self.z = start
                return
            if length >= 1.0:
                return


def descend(problem: Program, fresh: State, z: Floats, slide: bool = False) -> State:
    """Return the state at the optimum, from feasible trades z; ``fresh`` is an empty one."""
    at = _Descent(problem, z)
    at.settle(fresh, slide)
    for _ in range(4 * len(z) + 30):
        step, steep, y, mu = at.way()
        if steep <= 1e-10 or not at.along(step):
            break
        at.settle(fresh, slide)
    state = at.state(fresh.copy())
    state.y, state.mu = y, mu
    return state
