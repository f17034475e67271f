r"""Models from functions: what happens, in the problem's own words.

A model is a reward R(x, a, w) and a transition f(x, a, w), vectorised over states x, actions a and shocks w:

    V(x) = max_a sum_w prob(w) { R(x, a, w) + discount V(f(x, a, w)) }.

States, actions and shocks are each one axis or a product of axes. An axis is a list of labels, any that
compare equal, or a :class:`Grid` of a continuous variable, between whose points V is interpolated linearly
(multilinearly on several). Interpolation is an average with weights >= 0 that sum to one: the discretised
model is a Markov decision process like any other and its certificate holds for it. How far the discretised
model is from the continuous one is another question: :func:`refinement_estimate` answers it by Richardson's
comparison with half the points, an estimate and no bound.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arrays import real, whole
from ..errors import CapacityError, InvalidArgument
from ..parameters import expect
from .checks import SUM_TOLERANCE
from .mdp import MDP
from .solution import Solution

__all__ = ["Grid", "Space", "from_model", "lagged", "refinement_estimate"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNK = 1 << 20  # transitions looked at in one go
MAX_STATES = 10_000_000


@dataclass(frozen=True, eq=False)
class Grid:
    """A continuous variable, known at points and linear between them.

    Parameters
    ----------
    points : array_like of float
        Ascending; two or more.
    outside : str
        ``"error"``: leaving the grid is refused; ``"clip"``: it ends at the nearest point.

    Examples
    --------
    >>> Grid([0.0, 1.0, 3.0]).points
    array([0., 1., 3.])
    """

    points: ArrayLike
    outside: str = "error"

    def __post_init__(self) -> None:
        points = np.array(real("points", self.points, "two or more finite numbers, ascending"))
        if (
            points.ndim != 1
            or points.size < 2
            or not (np.isfinite(points).all() and (np.diff(points) > 0).all())
        ):
            raise InvalidArgument(
                argument="points", value=self.points, allowed="two or more finite numbers, ascending"
            )
        if self.outside not in ("error", "clip"):
            raise InvalidArgument(argument="outside", value=self.outside, allowed='"error" or "clip"')
        object.__setattr__(self, "points", points)


class Space:
    """A product of axes.

    Parameters
    ----------
    axes : Grid, sequence of labels, or mapping of name to either
        One axis without a name; or named axes, of which the last runs fastest.

    Examples
    --------
    >>> space = Space({"inventory": range(-1, 2), "regime": ["calm", "wild"]})
    >>> len(space), space[3]
    (6, (0, 'wild'))
    >>> space.index((0, "wild"))
    3
    """

    def __init__(self, axes: Any) -> None:
        named = axes if isinstance(axes, Mapping) else {"": axes}
        if not named:
            raise InvalidArgument(argument="axes", value=axes, allowed="one or more axes")
        self.names = list(named)
        self.grids = [axis if isinstance(axis, Grid) else None for axis in named.values()]
        self.labels: list[NDArray[Any]] = []
        for name, axis in named.items():
            unordered = isinstance(axis, (set, frozenset))
            if unordered or isinstance(axis, str) or not isinstance(axis, (Grid, Iterable)):
                raise InvalidArgument(
                    argument=f"axis {name!r}" if name else "axes",
                    value=axis,
                    allowed="a Grid, or a list of labels" + (", in an order" if unordered else ""),
                )
            values = np.asarray(axis.points if isinstance(axis, Grid) else list(axis))
            if values.ndim != 1:  # labels that are sequences themselves
                whole = np.empty(len(values), dtype=object)
                whole[:] = [tuple(value) for value in values.tolist()]
                values = whole
            if not values.size or len(set(values.tolist())) != values.size:
                raise InvalidArgument(
                    argument=f"axis {name!r}" if name else "axes",
                    value=axis,
                    allowed="one or more labels, each once",
                )
            self.labels.append(values)
        self.shape = tuple(values.size for values in self.labels)
        self._order = [np.argsort(values, kind="stable") for values in self.labels]

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __getitem__(self, index: int) -> object:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} elements, asked for {index}")
        parts = tuple(
            values[i].item() if hasattr(values[i], "item") else values[i]
            for values, i in zip(self.labels, np.unravel_index(index, self.shape), strict=True)
        )
        return parts if self.names != [""] else parts[0]

    def index(self, label: object) -> int:
        """Index of an element."""
        parts = (label,) if self.names == [""] else label
        if not isinstance(parts, tuple) or len(parts) != len(self.names):
            raise InvalidArgument(
                argument="label", value=label, allowed=f"a tuple, one for each of {self.names}"
            )
        where = [np.flatnonzero(values == part) for values, part in zip(self.labels, parts, strict=True)]
        if not all(found.size for found in where):
            raise InvalidArgument(argument="label", value=label, allowed=f"an element of {self!r}")
        return int(np.ravel_multi_index([int(found[0]) for found in where], self.shape))

    def __repr__(self) -> str:
        return (
            "Space("
            + " x ".join(
                f"{name + ': ' if name else ''}{size}"
                for name, size in zip(self.names, self.shape, strict=True)
            )
            + ")"
        )

    def at(self, index: Ints) -> Any:
        """Elements as the functions see them: an array, or a namespace with one array for each axis."""
        parts = [
            values[i] for values, i in zip(self.labels, np.unravel_index(index, self.shape), strict=True)
        ]
        return (
            parts[0] if self.names == [""] else SimpleNamespace(**dict(zip(self.names, parts, strict=True)))
        )

    def locate(
        self, elements: Any, shape: tuple[int, ...], words: Callable[[int], str]
    ) -> tuple[Ints, Floats]:
        """Indices and weights, of shape (corners, *shape), of the points whose average an element is."""
        if self.names == [""]:
            parts = [elements]
        elif isinstance(elements, (Mapping, SimpleNamespace)):
            given = dict(elements) if isinstance(elements, Mapping) else vars(elements)
            if set(given) != set(self.names):
                raise InvalidArgument(
                    argument="transition", value=sorted(given), allowed=f"axes {self.names}"
                )
            parts = [given[name] for name in self.names]
        else:
            parts = list(elements) if isinstance(elements, Iterable) else [elements]
            if len(parts) != len(self.names):
                raise InvalidArgument(
                    argument="transition", value=len(parts), allowed=f"one array for each of {self.names}"
                )
        sides = []  # of each axis: what each corner adds, and its weight
        stride = len(self)
        for k, part in enumerate(parts):
            stride //= self.shape[k]
            wide = self._wide(k, part, shape)
            sides.append([(i * stride, w) for i, w in self._between(k, wide, words)])
        index, weight = [], []
        for corner in product(*sides):
            index.append(np.broadcast_to(sum(i for i, _ in corner), shape))
            total: Any = 1.0
            for _, w in corner:
                total = total * w
            weight.append(np.broadcast_to(np.asarray(total, dtype=np.float64), shape))
        return np.array(index, dtype=np.int64), np.array(weight)

    def _wide(self, k: int, part: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        """Broadcast what a transition says of one axis."""
        try:
            if self.grids[k] is not None:
                part = real("what transition(x, a, w) returns", part)
            return np.broadcast_to(np.asarray(part), shape)
        except InvalidArgument:
            raise
        except ValueError:
            name = f" for {self.names[k]}" if self.names[k] else ""
            raise InvalidArgument(
                f"transition(x, a, w) must return{name} what broadcasts to (states, actions, shocks) = "
                f"{shape}, got shape {np.shape(part)}; {_shapes('x, a, w', shape)}",
                argument="transition",
                value=np.shape(part),
                allowed=f"a function whose result broadcasts to {shape}",
            ) from None

    def _between(self, k: int, value: NDArray[Any], words: Callable[[int], str]) -> list[tuple[Any, Any]]:
        labels, grid, order = self.labels[k], self.grids[k], self._order[k]
        name = f" {self.names[k]}" if self.names[k] else ""
        if grid is None:
            try:
                place = np.minimum(np.searchsorted(labels, value, sorter=order), labels.size - 1)
            except TypeError:
                place = np.zeros(value.shape, dtype=np.int64)
            found = order[place]
            wrong = np.flatnonzero(np.asarray(labels[found] != value).ravel())
            if wrong.size:
                at = int(wrong[0])
                given = value.ravel()[at : at + 1].tolist()[0]
                raise InvalidArgument(
                    f"transition{name} from {words(at)} leads to {given!r}, which is no state",
                    argument=f"transition{name}",
                    value=given,
                )
            return [(found, 1.0)]
        x = np.asarray(value, dtype=np.float64)
        wrong = np.flatnonzero(
            ~np.isfinite(x).ravel()
            | ((grid.outside == "error") & ((x < labels[0]) | (x > labels[-1])).ravel())
        )
        if wrong.size:
            at = int(wrong[0])
            raise InvalidArgument(
                f"transition{name} from {words(at)} leads to {float(x.ravel()[at])!r}, outside of the grid "
                f"{labels[0]:g} to {labels[-1]:g}; outside='clip' ends at its edge",
                argument=f"transition{name}",
                value=float(x.ravel()[at]),
            )
        x = np.clip(x, labels[0], labels[-1])
        left = np.clip(np.searchsorted(labels, x, side="right") - 1, 0, labels.size - 2)
        weight = (x - labels[left]) / (labels[left + 1] - labels[left])
        return [(left, 1 - weight), (left + 1, weight)]


def from_model(
    states: Any,
    actions: Any,
    shocks: Any,
    probabilities: ArrayLike | Callable[[Any, Any], ArrayLike],
    reward: Callable[[Any, Any, Any], ArrayLike],
    transition: Callable[[Any, Any, Any], Any],
    discount: ArrayLike = 1.0,
    *,
    maximize: bool = True,
    max_states: int = MAX_STATES,
) -> MDP:
    """Make a model from functions of state, action and shock.

    Parameters
    ----------
    states, actions, shocks : Space, Grid, sequence of labels, or mapping of name to Grid or labels
        What x, a and w range over. Only states may be continuous.
    probabilities : array_like of shape (W,), or callable
        Of each shock; or a function ``probabilities(x, a)`` of the arrays that `reward` gets, broadcast to
        (S, A, W): their last axis, of length 1, is the shocks'. So stack along it with ``np.concatenate``.
    reward : callable
        ``reward(x, a, w)``, called once for many states: x is an array of shape (S, 1, 1), a of (1, A, 1), w
        of (1, 1, W), or a namespace with one such array for each named axis, and what it returns is broadcast
        to (S, A, W). So it is written with ``np.where`` for if and ``np.minimum`` for min. -inf: the action
        is not feasible there (+inf for costs).
    transition : callable
        ``transition(x, a, w)`` -> the next state: an array, or a mapping, namespace or sequence with one for
        each axis. Where the reward says that the action is not feasible it may be anything on the grid.
    discount : float or array_like of shape (S,)
        Per step.
    maximize : bool
        False: rewards are costs.
    max_states : int
        More states are refused, with their number.

    Returns
    -------
    MDP
        With `states` and `actions` as labels.

    Raises
    ------
    InvalidArgument
        Names the function, the state, the action and the shock.
    CapacityError
        The number of states is above `max_states`.

    Examples
    --------
    Sell from a stock of 2, price 1 or 2 with equal chance known when deciding, 0.9 a step:

    >>> import numpy as np, mmcore as mm
    >>> model = mm.dp.from_model(
    ...     states={"stock": range(3), "price": [1, 2]},
    ...     actions={"sell": [0, 1]},
    ...     shocks=[1, 2],  # the next price
    ...     probabilities=[0.5, 0.5],
    ...     reward=lambda x, a, w: np.where(a.sell <= x.stock, a.sell * x.price, -np.inf),
    ...     transition=lambda x, a, w: {"stock": np.maximum(x.stock - a.sell, 0), "price": w},
    ...     discount=0.9,
    ... )
    >>> solution = model.solve()
    >>> solution.value.round(3).reshape(3, 2)
    array([[0.   , 0.   ],
           [1.636, 2.   ],
           [2.975, 3.636]])
    """
    problem = Functions(states, actions, shocks, probabilities, reward, transition, maximize, max_states)
    n, m = problem.shape
    rewards = np.empty((n, m))
    pieces = []
    for begin, end in problem.chunks():
        rewards[begin:end], rows = problem.table(begin, end)
        pieces.append(rows)
    from scipy import sparse

    matrix = sparse.vstack(pieces, format="csr") if len(pieces) > 1 else pieces[0]
    return MDP(
        rewards,
        matrix,
        discount,
        maximize=maximize,
        states=problem.states,  # type: ignore[arg-type]
        actions=problem.actions,  # type: ignore[arg-type]
    )


class Functions:
    """The functions of :func:`from_model`, whose tables are made for a range of states at a time."""

    def __init__(
        self,
        states: Any,
        actions: Any,
        shocks: Any,
        probabilities: Any,
        reward: Callable[[Any, Any, Any], ArrayLike],
        transition: Callable[[Any, Any, Any], Any],
        maximize: bool,
        max_states: int,
    ) -> None:
        named = {"states": states, "actions": actions, "shocks": shocks}
        self.states, self.actions, self.shocks = (_space(*one) for one in named.items())
        expect("maximize", maximize, (bool, np.bool_), "True or False")
        for argument, space in (("actions", self.actions), ("shocks", self.shocks)):
            if any(space.grids):
                raise InvalidArgument(f"{argument} must be labels: a Grid is for states", argument=argument)
        self.shape = len(self.states), len(self.actions)
        self.reward, self.transition, self.maximize = reward, transition, maximize
        if self.shape[0] > whole("max_states", max_states, 1):
            raise CapacityError(
                f"the model has {self.shape[0]:,} states; allowed are {max_states:,} (max_states)"
            )
        for argument, function in (("reward", reward), ("transition", transition)):
            if not callable(function):
                raise InvalidArgument(argument=argument, value=function, allowed="a function of (x, a, w)")
        k = len(self.shocks)
        self.function = probabilities if callable(probabilities) else None
        self.fixed = None if callable(probabilities) else real("probabilities", probabilities)
        if self.fixed is not None and self.fixed.shape != (k,):
            raise InvalidArgument(
                argument="probabilities", value=self.fixed.shape, allowed=f"of shape ({k},)"
            )
        if self.fixed is not None:
            _check_probabilities(self.fixed, "")

    def chunks(self) -> list[tuple[int, int]]:
        """Ranges of states whose transitions are looked at in one go."""
        n, m = self.shape
        step = max(1, CHUNK // (m * len(self.shocks)))
        return [(begin, min(begin + step, n)) for begin in range(0, n, step)]

    def table(self, begin: int, end: int) -> tuple[Floats, Any]:
        """Rewards (states, actions) and sparse rows of the states `begin` to `end` - 1."""
        shape = (end - begin, self.shape[1], len(self.shocks))
        x = _shaped(self.states.at(np.arange(begin, end)), (shape[0], 1, 1))
        a = _shaped(self.actions.at(np.arange(shape[1])), (1, shape[1], 1))
        w = _shaped(self.shocks.at(np.arange(shape[2])), (1, 1, shape[2]))

        def words(flat: int) -> str:
            i, j, k = (int(part) for part in np.unravel_index(flat, shape))
            return f"state {self.states[begin + i]!r}, action {self.actions[j]!r}, shock {self.shocks[k]!r}"

        weight = np.broadcast_to(self.fixed, shape) if self.fixed is not None else None
        if self.function is not None:
            weight = _broadcast(
                "probabilities", "x, a", shape, _call("probabilities", self.function, (x, a), "x, a", shape)
            )
        assert weight is not None
        reward = _call("reward", self.reward, (x, a, w), "x, a, w", shape)
        rewards = _expected(_broadcast("reward", "x, a, w", shape, reward), weight, self.maximize, words)
        if self.function is not None:
            off = np.abs(weight.sum(axis=2) - 1) > SUM_TOLERANCE
            wrong = np.argwhere((off | ~(weight >= 0).all(axis=2)) & np.isfinite(rewards))
            if wrong.size:
                i, j = (int(part) for part in wrong[0])
                place = f" in state {self.states[begin + i]!r}, action {self.actions[j]!r}"
                _check_probabilities(weight[i, j], place)
        to = _call("transition", self.transition, (x, a, w), "x, a, w", shape)
        return rewards, _rows(self.states, to, weight, rewards, shape, words)


def _check_probabilities(chances: Floats, place: str) -> None:
    """Refuse chances of the shocks that are none, or do not sum to one."""
    allowed = f"numbers >= 0 that sum to 1 within {SUM_TOLERANCE:g}"
    if not ((chances >= 0).all() and abs(chances.sum() - 1) <= SUM_TOLERANCE):
        told = reprlib.repr(chances.tolist())
        raise InvalidArgument(
            f"probabilities must be {allowed}, got {told}{place}, of sum {float(chances.sum())!r}",
            argument="probabilities",
            value=chances,
            allowed=allowed,
        )


def _space(argument: str, axes: Any) -> Space:
    """Make a space of what was given for an argument, which a refusal names."""
    if isinstance(axes, Space):
        return axes
    try:
        return Space(axes)
    except InvalidArgument as error:
        raise InvalidArgument(
            f"{argument}: {error}", argument=argument, value=axes, allowed=error.allowed
        ) from None


def _shapes(arguments: str, shape: tuple[int, ...]) -> str:
    """Say how the functions are called."""
    n, m, k = shape
    of = {"x": f"x of shape ({n}, 1, 1)", "a": f"a of shape (1, {m}, 1)", "w": f"w of shape (1, 1, {k})"}
    return f"it is called once for many, with {', '.join(of[name] for name in arguments.split(', '))}"


def _call(name: str, function: Callable[..., Any], given: Any, arguments: str, shape: tuple[int, ...]) -> Any:
    """Call a function of the model; what it raises is told, and of arrays with the shapes they had."""
    try:
        return function(*given)
    except Exception as error:
        hint = ""
        if isinstance(error, (ArithmeticError, IndexError, TypeError, ValueError)):
            shapes = _shapes(arguments, shape).capitalize()
            hint = f". {shapes}: use np.where for if, np.minimum for min, and so on"
        raise InvalidArgument(
            f"{name}({arguments}) raised {type(error).__name__}: {error}{hint}",
            argument=name,
            value=function,
            allowed="a function of arrays",
        ) from error


def _broadcast(name: str, arguments: str, shape: tuple[int, ...], value: Any) -> Floats:
    """Broadcast what a function returned over states, actions and shocks."""
    array = real(f"what {name}({arguments}) returns", value)
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise InvalidArgument(
            f"{name}({arguments}) must return what broadcasts to (states, actions, shocks) = {shape}, got "
            f"shape {array.shape}; {_shapes(arguments, shape)}",
            argument=name,
            value=array.shape,
            allowed=f"a function whose result broadcasts to {shape}",
        ) from None


def _shaped(elements: Any, shape: tuple[int, ...]) -> Any:
    if isinstance(elements, SimpleNamespace):
        return SimpleNamespace(**{name: part.reshape(shape) for name, part in vars(elements).items()})
    return elements.reshape(shape)


def _expected(value: Floats, weight: Floats, maximize: bool, words: Callable[[int], str]) -> Floats:
    """Mean over the shocks; infinite where an infinite reward has a chance."""
    wrong = np.flatnonzero((np.isnan(value) | (value == (np.inf if maximize else -np.inf))).ravel())
    if wrong.size:
        at = int(wrong[0])
        raise InvalidArgument(
            f"reward of {words(at)} must be finite, or infinitely bad, got {float(value.flat[at])!r}",
            argument="reward",
            value=float(value.flat[at]),
        )
    bad = np.isinf(value)
    mean = (np.where(bad, 0.0, value) * weight).sum(axis=2)
    mean[(bad & (weight > 0)).any(axis=2)] = -np.inf if maximize else np.inf
    return np.asarray(mean)


def _rows(
    space: Space,
    to: Any,
    weight: Floats,
    reward: Floats,
    shape: tuple[int, ...],
    words: Callable[[int], str],
) -> Any:
    from scipy import sparse

    index, share = space.locate(to, shape, words)
    data = share * weight
    data = np.where(np.isfinite(reward)[None, :, :, None], data, 0.0)
    rows = shape[0] * shape[1]
    flat = np.moveaxis(index, 0, -1).reshape(rows, -1)
    entries = np.moveaxis(data, 0, -1).reshape(rows, -1)
    pointers = np.arange(rows + 1) * flat.shape[1]
    kind = np.int32 if max(pointers[-1], len(space)) < 2**31 else np.int64
    matrix = sparse.csr_array(
        (entries.ravel(), flat.ravel().astype(kind), pointers.astype(kind)), shape=(rows, len(space))
    )
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def refinement_estimate(fine: Solution, coarse: Solution, shape: Sequence[int], order: int = 2) -> Floats:
    """Estimate the discretisation error of `fine`, from a solution on every other point of its grids.

    Richardson's comparison: where the error falls like the `order`-th power of the spacing, a fraction
    1 / (2^order - 1) of the difference between the two solutions is what remains. An estimate, not a bound.

    Parameters
    ----------
    fine, coarse : Solution
        Values on the grid, and on every other point of each axis of it, ends included.
    shape : sequence of int
        Points of the fine grid on each axis; odd.
    order : int
        2 for linear interpolation of a smooth value.

    Returns
    -------
    ndarray of float
        Estimated error of `fine` at the points of the coarse grid.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> fine = SimpleNamespace(value=np.array([0.0, 1.0, 4.0]))
    >>> coarse = SimpleNamespace(value=np.array([0.0, 4.3]))
    >>> refinement_estimate(fine, coarse, [3]).round(6)
    array([0. , 0.1])
    """
    sizes = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if any(not isinstance(size, (int, np.integer)) for size in sizes) or any(
        size % 2 == 0 or size < 3 for size in sizes
    ):
        raise InvalidArgument(argument="shape", value=sizes, allowed="odd numbers of points, 3 or more")
    if fine.value.size != math.prod(sizes):
        raise InvalidArgument(argument="fine", value=fine.value.size, allowed=f"{math.prod(sizes)} values")
    on = fine.value.reshape(sizes)[tuple(slice(None, None, 2) for _ in sizes)]
    if on.size != coarse.value.size:
        raise InvalidArgument(argument="coarse", value=coarse.value.size, allowed=f"{on.size} values")
    return np.asarray(np.abs(on - coarse.value.reshape(on.shape)) / (2**order - 1))


def lagged(model: MDP, delay: int, *, fallback: int | None = None, max_states: int = MAX_STATES) -> MDP:
    """Return the model whose actions take effect `delay` steps after they are chosen.

    A state is the model's state and the pipeline of the `delay` actions that are under way, oldest first;
    choosing action a appends it, and the oldest one acts, with its reward and its transition.

    Parameters
    ----------
    model : MDP
        With one list of actions for all states (infeasible ones may be marked by their reward).
    delay : int
        Steps, >= 0.
    fallback : int, optional
        Action that acts instead where the one that is due is not feasible. Without it such a model is
        refused.
    max_states : int
        States, (actions)^delay x states, above which it is refused.

    Returns
    -------
    MDP
        State ``s * n_actions**delay + code``, where code is the pipeline as a number of base n_actions, the
        oldest first; labels are (state, (oldest, ..., newest)).

    Examples
    --------
    >>> import mmcore as mm
    >>> model = mm.dp.MDP([[1.0, 0.0], [0.0, 2.0]], [[[1, 0], [0, 1]], [[0, 1], [1, 0]]], 0.9)
    >>> late = mm.dp.lagged(model, delay=1)
    >>> late.n_states, late.states[1]
    (4, (0, (1,)))
    """
    expect(
        "model",
        model,
        MDP,
        "an MDP: without a table, make the actions under way axes of the states of a MatrixFree",
    )
    delay = whole("delay", delay, 0)
    n, m = model.n_states, model.n_actions
    first, row, column, probability, reward, discount = model.pairs.arrays
    if model._action is not None and model.pairs.n_pairs != n * m:
        raise InvalidArgument(
            "model must have one list of actions for all states: mark what is not feasible by its reward",
            argument="model",
        )
    if fallback is not None and not whole("fallback", fallback, 0) < m:
        raise InvalidArgument(argument="fallback", value=fallback, allowed=f"an action, 0 to {m - 1}")
    if delay == 0:
        return model
    whole("max_states", max_states, 1)
    codes = 1
    for _ in range(delay if m > 1 else 0):
        codes *= m
        if n * codes > max_states:
            total = f" = {n * m**delay:,}" if delay * math.log10(m) < 20 else ""
            raise CapacityError(
                f"a delay of {delay} makes {m}^{delay} x {n:,}{total} states; allowed are "
                f"{max_states:,} (max_states)"
            )
    state = np.repeat(np.arange(n), codes)
    code = np.tile(np.arange(codes), n)
    due = first[state] + code // (codes // m)
    lost = ~np.isfinite(reward[due])
    if lost.any():
        if fallback is None:
            s, a = int(state[lost][0]), int((due - first[state])[lost][0])
            raise InvalidArgument(
                f"action {a} is not feasible in state {s}, where it may fall due: give a fallback "
                f"action that acts instead",
                argument="fallback",
            )
        due = np.where(lost, first[state] + fallback, due)
        lost = ~np.isfinite(reward[due])
        if lost.any():
            raise InvalidArgument(
                f"the fallback action {fallback} is not feasible in state {int(state[lost][0])}",
                argument="fallback",
                value=fallback,
            )
    # The rows of pair (x, code, a): those of the action due, to (successor, code without it and with a).
    pair = np.repeat(due, m)
    added = np.repeat(code % (codes // m), m) * m + np.tile(np.arange(m), n * codes)
    length = np.diff(row)[pair].astype(np.int64)
    begin = np.concatenate([[0], np.cumsum(length)])
    take = np.arange(begin[-1]) - np.repeat(begin[:-1] - row[:-1][pair], length)
    to = column[take].astype(np.int64) * codes + np.repeat(added, length)
    from scipy import sparse

    matrix = sparse.csr_array((probability[take], to, begin), shape=(pair.size, n * codes))
    return MDP(
        reward[pair].reshape(n * codes, m),
        matrix,
        discount if discount.size == 1 else np.repeat(discount, codes),
        maximize=model.maximize,
        states=_Pipelines(model, delay),
        actions=model.actions,
    )


class _Pipelines(Sequence[object]):
    """Labels of the states of a lagged model, made when asked for."""

    def __init__(self, model: MDP, delay: int) -> None:
        self.model, self.shape = model, (model.n_states, *(model.n_actions,) * delay)

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"there are {len(self)} states, asked for {index}")
        state, *pipeline = (int(i) for i in np.unravel_index(index, self.shape))
        labels, names = self.model.states, self.model.actions
        return (
            state if labels is None else labels[state],
            tuple(a if names is None else names[a] for a in pipeline),
        )
