"""A solved market maker's problem as a model: depths, value, policy."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import whole
from ..errors import CapacityError, InvalidArgument
from ..models.model import Floats, Model
from .solution import Solution

if TYPE_CHECKING:
    from ..quoting import Table
    from .market_making import MarketMakingProblem

_CELL_BYTES = 32  # of a tabulated policy


class MarketMakingSolution(Model):
    """A solved :class:`MarketMakingProblem`: depths, value and policy by inventory, time left and state.

    ``state`` is the index of the regime; with a lag, ``flying * regimes + regime``, where flying = 0 is that
    no quote is on its way, and :meth:`in_flight` says what else a state stands for. A decision stays in force
    for a step.

    Notes
    -----
    Thread-safety: immutable.
    """

    def __init__(
        self, problem: MarketMakingProblem, solution: Solution, take: NDArray[Any] | None = None
    ) -> None:
        super().__init__({})
        self.__dict__.update(
            problem=problem,
            solution=solution,
            horizon=problem.horizon,
            order_size=problem.order_size,
            q_max=problem.q_max,
            _take=take,
        )

    RELATIONS = ()  # the problem has checked them

    problem: MarketMakingProblem
    """What was solved."""
    solution: Solution
    """Values, offers taken (bid, ask; the last offer of a list is none at all) and their bounds."""
    q_max: int

    @property
    def parameters(self) -> dict[str, Any]:
        """The problem and its solution."""
        return {"problem": self.problem, "solution": self.solution, "take": self.__dict__["_take"]}

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        s = self.solution
        return f"MarketMakingSolution(q_max={self.q_max}, {s.method}: gap {s.gap:.3g}, {s.stop_reason})"

    @property
    def _has_stationary(self) -> bool:
        return self.horizon is None

    @property
    def states(self) -> int:
        """How many states there are besides inventory and time."""
        return int(np.prod(self._table().shape[1:-2]))

    @property
    def gain(self) -> float:
        """Average reward, tick·lots/s, where that was maximised."""
        s = self.solution
        if np.ndim(s.lower):
            raise InvalidArgument(
                argument="horizon", value=self.horizon, allowed="None, without a discount rate"
            )
        return 0.5 * (float(s.lower) + float(s.upper))

    def in_flight(self, state: int) -> list[tuple[float | None, float | None]]:
        """Depths of the quotes that are on their way in a state, (bid, ask), oldest first; [] without a lag.

        Examples
        --------
        >>> import mmcore as mm
        >>> regime = mm.dp.Regime(mm.dp.Offers([1.0, 2.0], [0.5, 0.3]), running_penalty=0.02)
        >>> m = mm.MarketMakingProblem(regime, q_max=2, dt=0.1, lag=1, horizon=1.0).solve()
        >>> m.states, m.in_flight(0), m.in_flight(8)
        (9, [(None, None)], [(1.0, 1.0)])
        """
        self._check_state(state)
        if not self.problem.lag:
            return []
        from .delayed_quotes import in_flight

        bid, ask = self.problem._parts["depths"][state % len(self.problem.regimes)]
        depths = [(bid[i], ask[j]) for i, j in in_flight(self.problem, state)]  # NaN: none
        return [(None if b != b else float(b), None if a != a else float(a)) for b, a in depths]

    def replace(self, **changes: Any) -> MarketMakingSolution:
        """Solve the problem anew with some of its arguments changed, to the usual tolerance.

        Raises
        ------
        InvalidArgument
            A name is not an argument of the problem, or a value is not allowed.
        """
        known = [f.name for f in fields(self.problem) if f.init]
        for name, value in changes.items():
            if name not in known:
                raise InvalidArgument(
                    f"{name} is not an argument of MarketMakingProblem: it has {', '.join(known)}",
                    argument=name,
                    value=value,
                )
        return replace(self.problem, **changes).solve()

    def _table(self) -> NDArray[Any]:
        """Offers by row (steps gone, or the only one), state and inventory: (rows, ..., n, 2)."""
        policy = self.solution.policy
        return policy if self.horizon is not None else policy[None]

    def _rows(self, time_left: Floats) -> NDArray[np.int64]:
        """Row of the decision in force; the last one is the horizon's."""
        if self.horizon is None:
            return np.zeros(time_left.shape, np.int64)
        rows = self._table().shape[0]
        epoch = self.problem.dt * self.problem.steps_of_decision
        gone = np.floor((self.horizon - time_left) / epoch * (1 + 1e-12) + 1e-9)
        return np.where(time_left == 0.0, rows, np.clip(gone.astype(np.int64), 0, rows - 1))

    def _decided(self, rows: NDArray[np.int64] | None = None) -> tuple[Floats, Floats, NDArray[np.int64]]:
        """Depths and sizes by row, state, inventory and side, and lots to cross the spread with.

        At the horizon nothing is quoted, and what is held is traded away where that is so.
        """
        table, n = self._table(), self.problem.nodes
        count = table.shape[0]
        if rows is None:
            rows = np.arange(count + (self.horizon is not None))
        kept, ends = np.minimum(rows, count - 1), rows == count
        depth, size = self._offered(table[kept].reshape(len(rows), -1, n, 2))
        taken = self.__dict__["_take"]
        crossed = np.zeros(depth.shape[:-1], np.int64)
        if taken is not None:
            crossed += taken.reshape(count, -1, n)[kept].astype(np.int64) * self.order_size
        depth[ends], size[ends] = math.nan, 0.0
        crossed[ends] = -self.problem.inventories.astype(np.int64) * self.problem.liquidate
        return depth, size, crossed

    def _offered(self, codes: NDArray[Any]) -> tuple[Floats, Floats]:
        """Depths and sizes of offers by row, state, inventory and side."""
        depth, size = np.full(codes.shape, math.nan), np.zeros(codes.shape)
        parts = self.problem._parts
        count = len(self.problem.regimes)
        for r in range(count):
            for side in (0, 1):
                those = codes[:, r::count, :, side]
                depth[:, r::count, :, side] = np.where(those < 0, math.nan, parts["depths"][r][side][those])
                size[:, r::count, :, side] = np.where(those < 0, 0.0, parts["sizes"][r][side][those])
        return depth, size

    def depths(self, inventory: Any, time_left: Any = math.inf, state: int = 0) -> tuple[Any, Any]:
        """Depths of bid and ask from the reference price, of the decision then in force; none at the horizon.

        Parameters
        ----------
        inventory : float or array_like
            Lots held; between orders, and beyond ``q_max``, that of the nearest inventory.
        time_left : float or array_like
            Seconds to the horizon; infinite where there is none.
        state : int
            Regime; with a lag, quotes in flight too (:meth:`in_flight`): none of them in 0.

        Returns
        -------
        bid, ask : float or None, or ndarray
            Ticks; an absent side is ``None``, in arrays NaN.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        self._check_state(state)
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        rows, at = np.unique(self._rows(tau), return_inverse=True)
        depth = self._decided(rows)[0][at.reshape(tau.shape), state, self._nodes(q)]
        if scalar:
            return tuple(None if math.isnan(x) else float(x) for x in depth.ravel())  # type: ignore[return-value]
        return depth[..., 0], depth[..., 1]

    def _check_state(self, state: int) -> None:
        """Refuse what is no index of a state: a negative one would count from the end."""
        if whole("state", state, 0) >= self.states:
            raise InvalidArgument(argument="state", value=state, allowed=f"at most {self.states - 1}")

    def _nodes(self, q: Floats) -> NDArray[np.int64]:
        at = np.rint((np.clip(q, -self.q_max, self.q_max) + self.q_max) / self.order_size)
        return at.astype(np.int64)

    def _depths(self, inventory: Floats, time_left: Floats) -> tuple[Floats, Floats]:
        bid, ask = self.depths(inventory, time_left)
        return bid, ask

    def value(self, inventory: Any, time_left: Any = math.inf, state: int = 0) -> Any:
        """Value beyond cash + inventory * price, tick·lots; of the nearest inventory, when the step began.

        Where the average reward was maximised, the difference to zero inventory in the first state.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        self._check_state(state)
        scalar = np.ndim(inventory) == 0 and np.ndim(time_left) == 0
        q, tau = self._check_place(inventory, time_left)
        values = self.solution.value
        values = values if self.horizon is not None else values[None]
        found = values.reshape(values.shape[0], -1, values.shape[-1])[self._rows(tau), state, self._nodes(q)]
        return float(found[0]) if scalar else found

    def take(self, inventory: float, time_left: float = math.inf, state: int = 0) -> int:
        """Lots to cross the spread with now, signed: at the horizon all that is held, if `liquidate` is set.

        Raises
        ------
        InvalidArgument
            An argument is not readable.
        """
        self._check_state(state)
        q, tau = self._check_place(inventory, time_left)
        return int(self._decided(self._rows(tau))[2][0, state, self._nodes(q)[0]])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that is decided: by time, state and inventory, as values are.

        Returns
        -------
        dict of str to ndarray
            ``inventory`` (lots) and ``time_left`` (seconds, of each decision, the first one first; the last
            is the horizon itself, where nothing is quoted); ``bid_depth``, ``ask_depth`` (ticks, NaN:
            absent), ``bid_size``, ``ask_size`` (lots) and ``take`` (lots to cross the spread with, signed),
            each of shape (times, states, inventories). The depths beside a `take` are those for the inventory
            before it: once it has traded, those of the inventory that it leads to count.
        """
        depth, size, crossed = self._decided()
        left = np.array([math.inf])
        if self.horizon is not None:
            epoch = self.problem.dt * self.problem.steps_of_decision
            left = np.append(self.horizon - epoch * np.arange(depth.shape[0] - 1), 0.0)
        found = {"inventory": self.problem.inventories, "time_left": left}
        for i, side in enumerate(("bid", "ask")):
            found[f"{side}_depth"] = depth[..., i]
            found[f"{side}_size"] = size[..., i]
        return found | {"take": crossed}

    def draw(self, figure: Any = None) -> Any:
        """Draw the depths of both sides, over time and inventory where there is a horizon, and the value.

        Parameters
        ----------
        figure : matplotlib Figure, optional
            Where to draw; a new one when omitted.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingExtra
            matplotlib is not installed (extra ``plot``).
        """
        from .pictures import draw_solution

        return draw_solution(self, figure)

    def policy(self, tol: float = 1e-3, max_bytes: int = 64 << 20) -> Table:
        """Compile into a table for the quoter.

        Two rows for each run of equal decisions, at its ends: the table goes from one decision to the next
        within a nanosecond, and is the decision in force at any other time. At the horizon it quotes nothing,
        and takes what `liquidate` trades away.

        Raises
        ------
        CapacityError
            The table would take more than `max_bytes`.
        """
        from ..quoting import Table

        depth, size, crossed = self._decided()
        knots = None
        if self.horizon is not None:
            problem, rows = self.problem, depth.shape[0]
            gone = problem.steps_of_decision * np.arange(rows - 1)[::-1]
            ends = np.append(0.0, np.round(problem.dt * ((problem.steps or 0) - gone), 9))
            starts = np.append(0.0, ends[:-1] + min(1e-9, 1e-3 * problem.dt))
            depth, size, crossed = depth[::-1], size[::-1], crossed[::-1]
            cells = np.concatenate([np.nan_to_num(depth, nan=-1e300), size, crossed[..., None]], axis=-1)
            change = (cells[1:] != cells[:-1]).reshape(rows - 1, -1).any(axis=1)
            first, last = np.flatnonzero(np.append(True, change)), np.flatnonzero(np.append(change, True))
            knots = np.stack([starts[first], ends[last]], axis=-1).ravel()
            rows_of = np.repeat(first, 2)
            if last[0] == 0:  # the horizon is an instant
                knots, rows_of = knots[1:], rows_of[1:]
            depth, size, crossed = depth[rows_of], size[rows_of], crossed[rows_of]
        needed = _CELL_BYTES * depth.size // 2
        if needed > max_bytes:
            raise CapacityError(
                f"the table would take {needed:,} bytes; max_bytes={max_bytes:,}: where that is wanted, "
                f"Quoter(model.policy(max_bytes={needed}))",
                argument="max_bytes",
                value=max_bytes,
            )
        axes = (1, 0, 2)
        return Table(
            *(np.ascontiguousarray(depth[..., side].transpose(axes)) for side in (0, 1)),
            q_max=self.q_max,
            order_size=self.order_size,
            time_left=knots,
            stationary=knots is None,
            bid_size=np.ascontiguousarray(size[..., 0].transpose(axes)),
            ask_size=np.ascontiguousarray(size[..., 1].transpose(axes)),
            take=np.ascontiguousarray(crossed.transpose(axes)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.problem, self.solution, self.__dict__["_take"])
