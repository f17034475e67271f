r"""Periodic review as a Markov decision process: lost sales, lead times, supply that fails or falls short.

Where demand is backlogged and supply is certain one number, the inventory position, says all, and the
policies of :mod:`~mmcore.inventory_control.reorder_up_to` are optimal. Where sales are lost, or what comes is
random, the stock on hand and each order under way count for themselves, and nothing but a dynamic program is
exact. It is :func:`mmcore.dp.from_model`, lagged by :func:`mmcore.dp.lagged` and solved by
:func:`mmcore.dp.average_reward`, with its certificate.

A period begins with x units on hand, what is due included; q are ordered, of which the lead time L says how
many periods later they are on hand (0: at once); demand D takes what it can, the rest is lost or owed:

.. math:: h\,(x - D)^+ + p\,(D - x)^+ + K\,1_{q > 0} + c\,q, \qquad x' = (x - D)^+ + q_{t-L+1}.

Each unit ordered may be good with a probability only (binomial yield), and a supplier, once down, may stay so
for periods: what is due then does not come (with a lead time of 0 or 1 that is what is ordered then, so that
no order can be placed while he is down). Whether he is up is known when an order is placed. What does not
come is not charged; what is no good is charged by the unit where orders are paid, and not where goods are. K
is charged where something was due and the supplier was up.

Levels end at a highest and, with backlogs, a lowest: what goes beyond is cut off. The highest level and the
largest order are widened until nothing that is reached from an empty start touches them. What is owed beyond
the lowest level is forgotten, and both bounds hold in spite of that:

- No policy of the unbounded problem costs less than the lower one, for the relative values, extended as a
  constant below the lowest level, still satisfy Odoni's inequality there: one pass over a deeper model shows
  by how much, and deeper still each unit only adds p a period.
- The policy may be played as if what is forgotten were owed by somebody else, who orders a unit for each that
  he owes until it is good. He pays p for each unit and period, and for orders at most what he would alone:
  :math:`\kappa` for each unit. So the upper bound is the model's and :math:`\kappa` times the units that are
  forgotten in a period. Where orders are limited the two share the limit: there :math:`\kappa` also counts
  the time in which the largest orders make up for the whole backlog, which is an estimate.

Source: Zipkin, *Operations Research* 56 (2008), 1256-1263; Bijvank, Bhulai and Huh, *European Journal of
Operational Research* 241 (2015), 381-390; Snyder and Shen (2019), chapter 9.

Examples
--------
>>> from mmcore.inventory_control import Demand
>>> policy = periodic_review(1, 4, Demand.poisson(5), lead_time=2)
>>> round(policy.cost, 2), policy.order(5, 4)
(4.4, 6)
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import number
from ..errors import CapacityError, InvalidArgument
from ..parameters import Parameter, expect
from .demand import Demand
from .single_period import fractile

if TYPE_CHECKING:
    from ..dp import MDP, AverageSolution

__all__ = ["ReviewPolicy", "periodic_review"]

Floats = NDArray[np.float64]

NEGLIGIBLE = 1e-12  # share of mean demand that lies beyond the largest one that is counted
TRANSITIONS = 500  # outcomes of a state and an order that are tabled, for each of the states allowed


@dataclass(frozen=True, eq=False)
class ReviewPolicy:
    """The best order in each state, and what it costs.

    Parameters
    ----------
    cost, lower, upper : float
        Cost per period in the long run, and bounds of the least cost within the highest level and the largest
        order; what the lowest level forgets is in them. They are proven, but that the part of it in `upper`
        is estimated where both `largest_order` is given and demand is backlogged.
    orders : ndarray of int
        Units to order: an axis of stock on hand, from `lowest` up; one for whether the supplier is up (0:
        down), where it may be down; one for each order under way, the oldest first.
    lead_time : int
        Every period of it but the first makes an axis.
    lowest : int
        The stock on hand of the first entry: 0 where sales are lost.
    cut : float
        Share of periods that end at the lowest level, where demand is backlogged: what is owed beyond it is
        forgotten. 0 where sales are lost.
    solution : AverageSolution
        The dynamic program's.
    """

    cost: float
    lower: float
    upper: float
    orders: NDArray[np.int64]
    lead_time: int
    lowest: int
    cut: float
    solution: AverageSolution

    def __repr__(self) -> str:
        states = " x ".join(str(n) for n in self.orders.shape)
        apart = f"bounds {self.upper - self.lower:.1g} apart"
        return f"ReviewPolicy(cost={self.cost:.10g}, {states} states, {apart})"

    def order(self, stock: int, *pipeline: int, up: bool = True) -> int:
        """Units to order, given the stock on hand and the orders under way, the oldest first.

        Parameters
        ----------
        stock : int
            Units on hand at the start of the period, what is due included.
        *pipeline : int
            Orders under way; as many as the lead time less one.
        up : bool
            Whether the supplier is up.
        """
        for name, value in (("stock", stock), *(("pipeline", units) for units in pipeline)):
            Parameter(name, int).check(value)
        under_way = max(self.lead_time - 1, 0)
        if len(pipeline) != under_way:
            raise InvalidArgument(
                argument="pipeline", value=pipeline, allowed=f"{under_way} orders under way"
            )
        supplier = (int(up),) if self.orders.ndim - 1 > under_way else ()
        at = (stock - self.lowest, *supplier, *pipeline)
        if not all(0 <= i < n for i, n in zip(at, self.orders.shape, strict=True)):
            raise InvalidArgument(
                argument="stock",
                value=(stock, *pipeline),
                allowed=f"a state of the model: stock from {self.lowest} to "
                f"{self.lowest + self.orders.shape[0] - 1}, orders up to {self.orders.shape[-1] - 1}",
            )
        return int(self.orders[at])


def periodic_review(
    holding_cost: float,
    stockout_cost: float,
    demand: Any,
    *,
    order_cost: float = 0.0,
    purchase_cost: float = 0.0,
    paid: str = "good",
    lead_time: int = 0,
    lost_sales: bool = True,
    good: float = 1.0,
    disruption: float = 0.0,
    recovery: float = 1.0,
    largest_order: int | None = None,
    lowest: int | None = None,
    tol: float = 1e-6,
    max_states: int = 200_000,
) -> ReviewPolicy:
    """Find the best orders of a periodic review with whole units, at the least average cost.

    Parameters
    ----------
    holding_cost, stockout_cost : float
        h and p > 0: of a unit left, and of a unit lost, or owed for a period.
    demand : Demand or frozen distribution of scipy.stats
        Of a period; a continuous one is taken to the nearest whole number.
    order_cost, purchase_cost : float
        K and c >= 0, for each order and for each unit of one that comes. With backlogs c makes no difference
        to what is best.
    paid : {"good", "ordered"}
        Whether c is paid for the good units of what comes, or for all that were ordered.
    lead_time : int
        L >= 0.
    lost_sales : bool
        False: demand is backlogged.
    good : float
        Probability, in (0, 1], that a unit ordered is good.
    disruption, recovery : float
        Probability that a supplier who is up fails in a period, in [0, 1), and that one who is down recovers,
        in (0, 1]. Independent availability a is ``disruption=1 - a, recovery=a``.
    largest_order : int, optional
        Most units of an order: a limit of the problem. Found, by default, so that it makes no difference.
    lowest : int, optional
        With backlogs, the level at which more backlog is forgotten; by default so low that the cost is within
        `tol`. What a given one does to the cost is in the bounds: see also `cut`.
    tol : float
        Bound of the error of the cost.
    max_states : int
        More are refused, with their number: lead times above 4 seldom fit.

    Returns
    -------
    ReviewPolicy

    Warns
    -----
    ModelWarning
        Where whole units are too large for a continuous demand: see :meth:`Demand.table`.

    Raises
    ------
    InvalidArgument
        Names the argument, the value and what is allowed: a largest order that does not keep up with
        backlogged demand, among others.
    CapacityError
        The model has more than `max_states` states, or 500 times as many outcomes of a state and an order.

    Examples
    --------
    A unit ordered is good four times in five; what is asked for and not there is owed:

    >>> from mmcore.inventory_control import Demand
    >>> policy = periodic_review(1, 9, Demand.poisson(4), lost_sales=False, good=0.8)
    >>> policy, [policy.order(x) for x in (0, 2, 4, 8)]
    (ReviewPolicy(cost=4.13409..., 49 states, bounds ... apart), [9, 6, 3, 0])

    A supplier who fails in one period of ten, and is back in half of those that follow:

    >>> policy = periodic_review(1, 9, Demand.poisson(4), disruption=0.1, recovery=0.5)
    >>> [policy.order(3, up=up) for up in (True, False)]
    [5, 0]
    """
    least = None if lowest is None else int(Parameter("lowest", int, high=0).check(lowest))
    most = None if largest_order is None else int(Parameter("largest_order", int, low=1).check(largest_order))
    expect("lost_sales", lost_sales, bool, "True or False")
    if paid not in ("good", "ordered"):
        raise InvalidArgument(argument="paid", value=paid, allowed="'good' or 'ordered'")
    law = Demand.of(demand)
    review = _Review(
        h=number("holding_cost", holding_cost),
        p=number("stockout_cost", stockout_cost),
        fixed=number("order_cost", order_cost, open_low=False),
        price=number("purchase_cost", purchase_cost, open_low=False),
        pays_all=paid == "ordered",
        demand=_shortened(law._table(depth=2)),
        delay=int(Parameter("lead_time", int, low=0, high=64).check(lead_time)),
        good=number("good", good, high=1.0),
        fails=number("disruption", disruption, high=math.nextafter(1.0, 0.0), open_low=False),
        recovers=number("recovery", recovery, high=1.0),
        lost=lost_sales,
        max_states=int(Parameter("max_states", int, low=1).check(max_states)),
    )
    if review.demand.size == 1:
        raise InvalidArgument(argument="demand", value=law, allowed="not always 0")
    if most is not None and not lost_sales:
        review.refuse_growing(most)
    bottom, highest, order = review.limits()
    if not lost_sales and least is not None:
        bottom = least
    order = order if most is None else most
    tol = number("tol", tol)
    while True:
        model = review.model(bottom, highest, order)
        # with backlogs what is forgotten may take the other half
        solution = review.solve(model, tol if lost_sales else tol / 2.0)
        shape = review.shape(highest - bottom + 1, order + 1)
        empty = np.ravel_multi_index(
            (-bottom, *((1,) if review.fails else ()), *(0,) * review.under_way), shape
        )
        seen = _reached(model, solution.policy, empty)
        stock = np.unravel_index(seen, shape)[0] + bottom
        full = stock + (solution.policy[seen] if review.delay == 0 else 0) >= highest
        at_most = most is None and bool((solution.policy[seen] >= order).any())
        if full.any() or at_most:
            highest = math.ceil(1.5 * highest) if full.any() else highest
            order = math.ceil(1.5 * order) if at_most else order
            continue
        lower, upper, cost = (
            float(np.broadcast_to(gain, model.n_states)[empty])
            for gain in (solution.lower, solution.upper, solution.gain)
        )
        if lost_sales:
            cut = 0.0
            break
        share = _long_run(model, solution.policy, seen)
        cut = float(share[stock == bottom].sum())
        below, forgotten = review.beyond(bottom, highest, order, solution, seen, share)
        more = forgotten * review.owed_apart(bottom, most) if forgotten > 0.0 else 0.0
        if least is not None or max(lower - below, more) <= tol / 2.0:
            lower, upper = min(lower, below), upper + more
            break
        bottom = math.floor(1.5 * bottom)
    return ReviewPolicy(
        cost=cost,
        lower=lower,
        upper=upper,
        orders=solution.policy.reshape(shape),
        lead_time=review.delay,
        lowest=bottom,
        cut=cut,
        solution=solution,
    )


@dataclass(frozen=True)
class _Review:
    """Costs, demand and supply of a problem, and its models within given limits."""

    h: float
    p: float
    fixed: float
    price: float
    pays_all: bool
    demand: Floats
    delay: int
    good: float
    fails: float
    recovers: float
    lost: bool
    max_states: int

    @property
    def under_way(self) -> int:
        """Orders under way when a period begins, but for the one that is due."""
        return max(self.delay - 1, 0)

    def shape(self, levels: int, orders: int) -> tuple[int, ...]:
        """Axes of the states: stock on hand, the supplier where he may be down, each order under way."""
        return (levels, *((2,) if self.fails else ()), *(orders,) * self.under_way)

    def limits(self) -> tuple[int, int, int]:
        """Lowest and highest level and largest order to begin with."""
        # periods that the supplier is seldom down for longer
        down = math.ceil(math.log(1e-3) / math.log1p(-min(self.recovers, 0.999))) if self.fails else 0
        law = Demand.pmf(np.arange(self.demand.size), self.demand)
        covered = law.over(self.delay + 1 + down)
        cycle = math.sqrt(2.0 * float(law.mean) * self.fixed / self.h)
        highest = math.ceil(float(covered.quantile(max(fractile(self.h, self.p), 0.5))) + cycle) + 2
        order = math.ceil((float(law.over(1 + down).quantile(0.9)) + cycle) / self.good) + 2
        lowest = 0 if self.lost else -math.ceil((float(covered.quantile(1.0 - 1e-9)) + cycle) / self.good)
        return lowest, highest, order

    def refuse_growing(self, most: int) -> None:
        """Raise InvalidArgument where orders of at most so many let the backlog grow without end."""
        up = self.recovers / (self.fails + self.recovers)
        mean = float(self.demand @ np.arange(self.demand.size))
        certain = self.good == 1.0 and not self.fails and bool((self.demand == 1.0).any())
        # the tail that is cut has no part in the mean; at equality chance alone drives the backlog away
        room = 1e-9 * mean
        if most * self.good * up < mean + (-room if certain else room):
            raise InvalidArgument(
                argument="largest_order",
                value=most,
                allowed=f"more than {mean / (self.good * up):.6g}: what is owed grows without end otherwise",
            )

    def refuse_large(self, levels: int, order: int) -> None:
        """Raise CapacityError before a model is made that is too large."""
        states = math.prod(self.shape(levels, order + 1))
        supplier = 2 if self.fails else 1
        outcomes = self.demand.size * supplier * (order + 1 if self.good < 1.0 else 1)
        transitions = levels * supplier * (order + 1) * outcomes
        if states > self.max_states or transitions > TRANSITIONS * self.max_states:
            raise CapacityError(
                f"{levels:,} levels of stock and orders of up to {order:,} units make {states:,} states, "
                f"with {transitions:,} outcomes of one and an order; allowed are {self.max_states:,} "
                f"(max_states) and {TRANSITIONS} times that: count in larger units"
            )

    def model(self, lowest: int, highest: int, order: int) -> MDP:
        """The dynamic program: stock on hand, the supplier, and the orders under way."""
        from ..dp import from_model, lagged

        self.refuse_large(highest - lowest + 1, order)
        states: dict[str, Any] = {"stock": range(lowest, highest + 1)}
        shocks: dict[str, Any] = {"demand": range(self.demand.size)}
        if self.fails:
            states["up"] = shocks["up"] = [0, 1]
        if self.good < 1.0:
            shocks["bad"] = range(order + 1)
        bad = self._bad(order)

        def chance(x: Any, a: Any) -> Any:
            found = self.demand[None, None, :]
            if self.fails:
                next_up = np.where(x.up == 1, 1.0 - self.fails, self.recovers)
                both = np.concatenate([1.0 - next_up, next_up], axis=2)
                found = (found[..., :, None] * both[..., None, :]).reshape(*both.shape[:2], -1)
            if self.good < 1.0:
                spoilt = bad[a[..., 0]]
                found = (found[..., :, None] * spoilt[..., None, :]).reshape(found.shape[0], a.shape[1], -1)
            return found

        def comes(x: Any, a: Any, w: Any) -> Any:
            arrived = np.maximum(a - w.bad, 0) if self.good < 1.0 else a
            return arrived * x.up if self.fails else arrived

        def after(x: Any, a: Any, w: Any) -> Any:
            """Stock less demand, before what comes later."""
            return x.stock + (comes(x, a, w) if self.delay == 0 else 0) - w.demand

        def cost(x: Any, a: Any, w: Any) -> Any:
            left = after(x, a, w)
            charged = (a * x.up if self.fails else a) if self.pays_all else comes(x, a, w)
            paid = self.fixed * ((a > 0) & (x.up == 1) if self.fails else a > 0) + self.price * charged
            total = paid + self.h * np.maximum(left, 0) + self.p * np.maximum(-left, 0)
            # what is at hand at once has to fit
            return np.where((self.delay == 0) & (x.stock + a > highest), np.inf, total)

        def following(x: Any, a: Any, w: Any) -> Any:
            left = after(x, a, w)
            left = np.maximum(left, 0) if self.lost else left
            left = np.clip(left + (comes(x, a, w) if self.delay else 0), lowest, highest)
            return {"stock": left, "up": w.up} if self.fails else {"stock": left}

        base = from_model(
            states,
            range(order + 1),
            shocks,
            chance,
            cost,
            following,
            maximize=False,
            max_states=self.max_states,
        )
        return lagged(base, self.under_way, max_states=self.max_states)

    def beyond(
        self,
        bottom: int,
        highest: int,
        order: int,
        solution: AverageSolution,
        seen: NDArray[np.int64],
        share: Floats,
    ) -> tuple[float, float]:
        """What is forgotten below the lowest level: a lower bound of the cost in spite of it, units a period.

        The deeper model goes as far down as a period's demand comes, and an order comes up again. It is
        allowed as many states a level as the other.
        """
        from ..dp.average import gain_bounds

        more = max(order, self.demand.size - 1)
        levels = highest - bottom + 1
        allowed = math.ceil(self.max_states * (levels + more) / levels)
        deeper = replace(self, max_states=allowed).model(bottom - more, highest, order)
        per_level = math.prod(self.shape(1, order + 1))

        def extended(values: NDArray[Any]) -> NDArray[Any]:
            return np.concatenate([np.tile(values[:per_level], more), values])

        lower, _ = gain_bounds(deeper, extended(solution.value))
        depth = np.repeat(np.arange(more, 0, -1.0), per_level)
        rows = deeper.transition_matrix(extended(solution.policy))[seen + more * per_level]
        return lower, float(share @ (rows[:, : depth.size] @ depth))

    def owed_apart(self, bottom: int, most: int | None) -> float:
        """Most that a unit costs that is owed apart from the rest, and ordered until it is good."""
        share = self.recovers / (self.fails + self.recovers)
        # chance that the supplier is up when an order is due that is placed while he is up
        up = share + (1.0 - share) * (1.0 - self.fails - self.recovers) ** self.under_way
        tries = 1.0 / (self.good * up) if self.good * up > 0.0 else math.inf
        wait = tries * (max(self.delay, 1) + (1.0 / self.recovers if self.fails else 0.0))
        if most is not None:
            rate = most * self.good * share - float(self.demand @ np.arange(self.demand.size))
            # a limit that only just keeps up does so where chance has no part
            wait += (self.demand.size - bottom) / rate if rate > 0.0 else 0.0
        return self.p * wait + tries * (self.fixed + self.price)

    def _bad(self, order: int) -> Floats:
        """Probability that so many of an order are bad: a row for each order."""
        from scipy.special import gammaln, xlog1py, xlogy

        n, k = np.arange(order + 1)[:, None], np.arange(order + 1)
        ways = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
        table = np.exp(ways + xlog1py(k, -self.good) + xlogy(np.maximum(n - k, 0), self.good))
        table = np.where(k <= n, table, 0.0)
        return np.asarray(table / table.sum(axis=1, keepdims=True))

    def solve(self, model: MDP, tol: float) -> AverageSolution:
        """The least average cost."""
        from ..dp import average_reward

        # elimination fills in where orders under way make many dimensions
        method = "auto" if model.n_states <= 3000 else "relative_value_iteration"
        return average_reward(model, method, tol)


def _shortened(p: Floats) -> Floats:
    """Without a negligible tail, whose chance the largest demand that is kept takes over."""
    tail = np.cumsum(p[::-1])[::-1]
    beyond = np.append(np.cumsum(tail[:0:-1])[::-1], 0.0)  # E(D - k)^+
    most = int(np.argmax(beyond <= NEGLIGIBLE * beyond[0]))
    return np.append(p[:most], tail[most])


def _reached(model: MDP, policy: NDArray[Any], start: Any) -> NDArray[np.int64]:
    """States that a policy comes to."""
    from scipy.sparse.csgraph import breadth_first_order

    found = breadth_first_order(model.transition_matrix(policy), int(start), return_predecessors=False)
    return np.asarray(found, dtype=np.int64)


def _long_run(model: MDP, policy: NDArray[Any], seen: NDArray[np.int64]) -> Floats:
    """Share of the time, in the long run, that is spent in each of the states that are reached."""
    from scipy.sparse import csc_array, eye_array, vstack
    from scipy.sparse.linalg import spsolve

    chain = model.transition_matrix(policy)[seen][:, seen]
    balance = (eye_array(seen.size) - chain.T).tocsr()[1:]
    whole = vstack([csc_array(np.ones((1, seen.size))), balance], format="csc")
    law = spsolve(whole, np.concatenate([[1.0], np.zeros(seen.size - 1)]))
    return np.clip(law, 0.0, 1.0)
