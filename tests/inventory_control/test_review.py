"""Periodic review with lost sales and random supply: published values, simulation, limits that are known."""

import math

import numpy as np
import pytest

from mmcore.errors import CapacityError, InvalidArgument, ModelWarning
from mmcore.inventory_control import Demand, newsvendor, optimal_s_S, periodic_review, review

pytestmark = pytest.mark.compiled


@pytest.mark.parametrize(
    ("stockout", "lead_time", "cost"),
    [(4, 1, 4.04), (4, 2, 4.40), (4, 3, 4.60), (9, 1, 5.44), (9, 2, 6.09)],
)
def test_lost_sales_of_zipkin_2008(stockout, lead_time, cost):
    """Table 3(a): Poisson demand of mean 5, holding cost 1; optimal costs to two digits."""
    found = periodic_review(1, stockout, Demand.poisson(5), lead_time=lead_time)
    assert found.cost == pytest.approx(cost, abs=0.0051)
    assert found.lower <= found.cost <= found.upper
    assert found.upper - found.lower <= 2e-6


def test_lost_sales_with_a_fixed_cost_of_bijvank_bhulai_and_huh_2015():
    """Table 1: lead time 2, h = 1, p = 14, K = 5, Poisson demand of mean 5: 11.463."""
    found = periodic_review(1, 14, Demand.poisson(5), order_cost=5, lead_time=2)
    assert found.cost == pytest.approx(11.463052, abs=5e-6)


def test_without_a_lead_time_lost_sales_are_a_newsvendors():
    """What is left is never more than a base stock, so that each period repeats the first."""
    for h, p, demand in ((1, 4, Demand.poisson(5)), (2, 3, Demand.negative_binomial(6, 4))):
        best = newsvendor(h, p, demand)
        found = periodic_review(h, p, demand)
        assert found.cost == pytest.approx(best.cost, rel=1e-7)
        assert found.order(0) == best.quantity


@pytest.mark.parametrize(("fixed", "lead_time"), [(0.5, 1), (20.0, 0), (20.0, 1), (20.0, 2)])
def test_backlogs_and_certain_supply_are_an_s_S_problem(fixed, lead_time):
    """The two engines share nothing but the demand: a renewal reward here, policy iteration there."""
    law = Demand.pmf([0, 1, 2, 3], [0.3, 0.3, 0.2, 0.2])
    exact = optimal_s_S(1, 9, fixed, law, lead_time=lead_time)
    found = periodic_review(1, 9, law, order_cost=fixed, lead_time=lead_time, lost_sales=False)
    assert found.cost == pytest.approx(exact.cost, abs=2e-6)
    assert found.cut < 1e-6


@pytest.mark.parametrize(("fails", "recovers"), [(0.1, 0.6), (0.3, 0.4), (0.05, 0.9)])
def test_disruptions_with_a_known_demand_in_closed_form(fails, recovers):
    """Snyder and Shen, section 9.4: cover n periods, n the p/(p + h) quantile of how long supply is out."""
    h, p, d = 1.0, 8.0, 2
    given = {"lost_sales": False, "disruption": fails, "recovery": recovers}
    found = periodic_review(h, p, Demand.pmf([d], [1.0]), **given)
    out = np.arange(60)  # periods since supply was up
    share = np.where(
        out == 0,
        recovers / (fails + recovers),
        fails * recovers / (fails + recovers) * (1 - recovers) ** np.maximum(out - 1, 0),
    )

    def cost(base):
        left = base - (out + 1) * d
        return share @ (h * np.maximum(left, 0) + p * np.maximum(-left, 0))

    exact = min(cost(base) for base in range(60))
    assert found.cost == pytest.approx(exact, abs=1e-6)
    for lowest in (None, 0, -2, -4, -8, -16):  # what is forgotten is in the bounds
        limited = periodic_review(h, p, Demand.pmf([d], [1.0]), lowest=lowest, **given)
        assert limited.lower <= exact + 1e-12
        assert limited.upper >= exact - 1e-12


def least_cost(h, p, pmf, fixed, price, paid, lead_time, good, order, low=-60, high=30):
    """The least average cost, by plain value iteration on a deep lattice: backlogs, lead times 0 and 1."""
    x, demand = np.arange(low, high + 1), np.arange(len(pmf))
    ways = [
        [math.comb(q, k) * good**k * (1 - good) ** (q - k) for k in range(order + 1)]
        for q in range(order + 1)
    ]
    ways, units = np.array(ways), np.arange(order + 1)
    charge = fixed * (units > 0) + price * units * (good if paid == "good" else 1.0)
    left = np.arange(low, high + order + 1)[:, None] - demand
    held = (h * np.maximum(left, 0) + p * np.maximum(-left, 0)) @ pmf
    v = np.zeros(len(x))
    for _ in range(20_000):
        after = v[np.clip(left, low, high) - low] @ pmf  # of each level before the demand
        level = np.arange(len(x))[:, None] + units
        if lead_time == 0:
            each = (held + after)[level] @ ways.T
        else:  # what comes, comes after the demand
            each = held[: len(x), None] + after[level] @ ways.T
        step = 0.5 * ((each + charge).min(axis=1) - v)
        v = v + step - step[-low]
        if np.ptp(step) < 1e-11:
            return 2.0 * step.mean()
    raise AssertionError("no convergence")


@pytest.mark.parametrize("lead_time", [0, 1])
@pytest.mark.parametrize(("good", "fixed", "paid"), [(0.7, 0.0, "good"), (0.5, 3.0, "ordered")])
def test_what_is_forgotten_is_in_the_bounds(lead_time, good, fixed, paid):
    pmf = [0.55, 0.25, 0.2]
    exact = least_cost(1.9, 3.0, np.array(pmf), fixed, 0.3, paid, lead_time, good, order=16)
    given = {"order_cost": fixed, "purchase_cost": 0.3, "paid": paid, "lead_time": lead_time, "good": good}
    law = Demand.pmf([0, 1, 2], pmf)
    best = periodic_review(1.9, 3.0, law, lost_sales=False, **given)
    assert best.cost == pytest.approx(exact, abs=1e-6)
    assert best.upper - best.lower <= 2e-6
    widths = []
    for lowest in (-1, -3, -6, -12):
        found = periodic_review(1.9, 3.0, law, lost_sales=False, lowest=lowest, **given)
        assert found.lower - 1e-9 <= exact <= found.upper + 1e-9
        widths.append(found.upper - found.lower)
    assert (np.diff(widths) < 1e-9).all()
    assert widths[-1] < 1e-3


def test_a_limit_of_orders_and_a_lowest_level():
    """Deep enough, a limit is as in a model that is deeper still; and the bounds tell where it is not."""
    law, given = Demand.pmf([1, 2], [0.6, 0.4]), {"lost_sales": False, "largest_order": 3}
    deep = periodic_review(1, 5, law, disruption=0.2, recovery=0.6, lowest=-150, **given)
    best = periodic_review(1, 5, law, disruption=0.2, recovery=0.6, **given)
    shallow = periodic_review(1, 5, law, disruption=0.2, recovery=0.6, lowest=-8, **given)
    assert best.cost == pytest.approx(deep.cost, abs=1e-6)
    assert shallow.cost < deep.cost - 0.05
    assert shallow.lower < deep.cost < shallow.upper


@pytest.mark.parametrize("supply", [{"good": 0.8}, {"good": 0.6, "disruption": 0.1, "recovery": 0.5}])
@pytest.mark.parametrize("lead_time", [0, 1])
def test_what_is_no_good_may_be_paid(supply, lead_time):
    """Each good unit takes 1/good of them: with backlogs the price changes nothing else (Wald)."""
    law, price = Demand.pmf([0, 1, 2], [0.3, 0.4, 0.3]), 0.7
    given = {"lost_sales": False, "lead_time": lead_time, **supply}
    free, goods, ordered = (
        periodic_review(1, 6, law, purchase_cost=c, paid=paid, **given)
        for c, paid in ((0.0, "good"), (price, "good"), (price, "ordered"))
    )
    assert goods.cost == pytest.approx(free.cost + price * law.mean, abs=3e-6)
    assert ordered.cost == pytest.approx(free.cost + price * law.mean / supply["good"], abs=3e-6)


@pytest.mark.parametrize("paid", ["good", "ordered"])
def test_what_is_paid_when_sales_are_lost_and_it_is_played(paid):
    law = Demand.pmf([0, 1, 2, 3], [0.2, 0.3, 0.3, 0.2])
    policy = periodic_review(1, 7, law, purchase_cost=2.0, paid=paid, good=0.6, lead_time=1)
    rng = np.random.default_rng(11)
    charged = {"price": 2.0, "pays_all": paid == "ordered"}
    mean, error = simulated(policy, 1, 7, 0.0, law, 1, True, 0.6, 100_000, rng, **charged)
    assert abs(mean - policy.cost) < 4 * error
    assert error < 0.02 * policy.cost


def simulated(
    policy,
    h,
    p,
    fixed,
    demand,
    lead_time,
    lost,
    good,
    periods,
    rng,
    fails=0.0,
    recovers=1.0,
    price=0.0,
    pays_all=False,
):
    """Average cost of playing a policy, and its standard error from batches."""
    stock, pipeline, up = 0, [0] * max(lead_time - 1, 0), True
    draws = demand.quantile(rng.uniform(1e-12, 1 - 1e-12, periods)).astype(int)
    costs = np.empty(periods)
    for t, asked in enumerate(draws):
        q = policy.order(stock, *pipeline, up=up)
        due = (pipeline.pop(0) if lead_time > 1 else q) if lead_time else q
        if lead_time > 1:
            pipeline.append(q)
        due *= up
        comes = rng.binomial(due, good)
        at_hand = stock + (comes if lead_time == 0 else 0)
        left = at_hand - asked
        costs[t] = h * max(left, 0) + p * max(-left, 0) + fixed * (due > 0)
        costs[t] += price * (due if pays_all else comes)
        stock = (max(left, 0) if lost else left) + (comes if lead_time else 0)
        stock = max(stock, policy.lowest)
        up = rng.uniform() >= fails if up else rng.uniform() < recovers
    batches = costs.reshape(50, -1).mean(axis=1)
    return costs.mean(), batches.std(ddof=1) / math.sqrt(len(batches))


@pytest.mark.parametrize(
    ("lead_time", "lost", "good", "fixed"),
    [(0, False, 0.7, 4.0), (1, True, 0.8, 0.0), (2, True, 1.0, 6.0), (2, False, 0.8, 0.0)],
)
def test_the_policy_costs_what_is_said_when_it_is_played(lead_time, lost, good, fixed):
    law = Demand.pmf([0, 1, 2, 3], [0.2, 0.3, 0.3, 0.2])
    policy = periodic_review(
        1,
        7,
        law,
        order_cost=fixed,
        lead_time=lead_time,
        lost_sales=lost,
        good=good,
        lowest=None if lost else -20,
    )
    mean, error = simulated(
        policy, 1, 7, fixed, law, lead_time, lost, good, 100_000, np.random.default_rng(lead_time)
    )
    assert abs(mean - policy.cost) < 4 * error
    assert error < 0.02 * policy.cost


@pytest.mark.parametrize(("lead_time", "lost"), [(0, False), (1, True), (2, True)])
def test_a_policy_with_disruptions_costs_what_is_said_when_it_is_played(lead_time, lost):
    law = Demand.pmf([0, 1, 2, 3], [0.2, 0.3, 0.3, 0.2])
    supply = {"disruption": 0.15, "recovery": 0.5}
    policy = periodic_review(
        1,
        7,
        law,
        order_cost=3.0,
        lead_time=lead_time,
        lost_sales=lost,
        lowest=None if lost else -40,
        **supply,
    )
    rng = np.random.default_rng(20 + lead_time)
    mean, error = simulated(policy, 1, 7, 3.0, law, lead_time, lost, 1.0, 100_000, rng, *supply.values())
    assert abs(mean - policy.cost) < 4 * error
    assert error < 0.02 * policy.cost


def test_a_less_reliable_supply_costs_more():
    law = Demand.poisson(4)
    by_yield = [periodic_review(1, 9, law, good=g, largest_order=25).cost for g in (1.0, 0.9, 0.7)]
    by_supplier = [periodic_review(1, 9, law, disruption=f, recovery=0.7).cost for f in (0.0, 0.1, 0.3)]
    assert by_yield == sorted(by_yield)
    assert by_supplier == sorted(by_supplier)


def test_orders_fall_with_stock_and_with_what_is_under_way():
    """Zipkin (2008): monotone, and by no more than a unit for a unit; the newer order counts for more."""
    found = periodic_review(1, 9, Demand.poisson(5), lead_time=2)
    q = found.orders
    by_stock, by_order = np.diff(q, axis=0), np.diff(q, axis=1)
    assert ((by_stock <= 0) & (by_stock >= -1)).all()
    assert ((by_order <= 0) & (by_order >= -1)).all()
    assert (q[:-1, 1:] <= q[1:, :-1]).all()


def test_the_limits_make_no_difference():
    one = periodic_review(1, 14, Demand.poisson(5), order_cost=30, lead_time=1)
    other = periodic_review(1, 14, Demand.poisson(5), order_cost=30, lead_time=1, largest_order=60)
    assert one.cost == pytest.approx(other.cost, abs=1e-6)
    bound = periodic_review(1, 14, Demand.poisson(5), order_cost=30, lead_time=1, largest_order=6)
    assert bound.orders.max() == 6
    assert bound.cost > one.cost + 0.1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"holding_cost": 0}, "holding_cost must be a finite number > 0, got 0"),
        ({"stockout_cost": math.nan}, "stockout_cost must be a finite number > 0, got nan"),
        ({"stockout_cost": 1e20}, "stockout_cost must be within 1e16 times holding_cost"),
        ({"demand": "poisson"}, "demand must be a Demand"),
        ({"demand": Demand.pmf([0], [1])}, "demand must be not always 0"),
        ({"demand": Demand.pmf([0.5], [1])}, "demand must be of whole units"),
        ({"demand": Demand.pmf([-1, 1], [0.5, 0.5])}, "demand must be not negative"),
        ({"order_cost": -1}, "order_cost must be a finite number >= 0, got -1"),
        ({"purchase_cost": "1"}, "purchase_cost must be a finite number >= 0, got '1'"),
        ({"lead_time": 1.5}, "lead_time must be an integer"),
        ({"lost_sales": 1}, "lost_sales must be True or False, got 1"),
        ({"good": 0.0}, "good must be a finite number > 0 and <= 1, got 0"),
        ({"disruption": 1.0}, "disruption must be"),
        ({"recovery": 0.0}, "recovery must be"),
        ({"largest_order": 0}, "largest_order must be an integer >= 1, got 0"),
        ({"max_states": 0}, "max_states must be an integer >= 1, got 0"),
        ({"tol": -1.0}, "tol"),
        ({"lowest": 1}, "lowest must be an integer <= 0, got 1"),
        ({"paid": "received"}, "paid must be 'good' or 'ordered', got 'received'"),
    ],
)
def test_bad_input_is_named(changed, words):
    problem = {"holding_cost": 1, "stockout_cost": 4, "demand": Demand.poisson(2)}
    with pytest.raises(InvalidArgument, match=words):
        periodic_review(**{**problem, **changed})


def test_states_that_are_none_are_named():
    found = periodic_review(1, 4, Demand.poisson(2), lead_time=2)
    with pytest.raises(InvalidArgument, match=r"stock must be a state of the model: stock from 0 to"):
        found.order(-1, 0)
    with pytest.raises(InvalidArgument, match="pipeline must be 1 orders under way"):
        found.order(1)
    with pytest.raises(InvalidArgument, match="pipeline must be 1 orders under way, got"):
        found.order(1, 0, 0)

    with pytest.raises(InvalidArgument, match=r"stock must be an integer, got 5.5"):
        found.order(5.5, 4)
    with pytest.raises(InvalidArgument, match=r"pipeline must be an integer, got 0.5"):
        found.order(5, 0.5)


@pytest.mark.parametrize(
    "changed",
    [
        {"lead_time": 6},
        {"order_cost": 1e6},
        {"stockout_cost": 1e5, "order_cost": 1e6},
        {"good": 1e-6},
        {"good": 1e-3, "lost_sales": False},
        {"max_states": 1},
    ],
)
def test_what_does_not_fit_is_refused_before_it_is_made(changed):
    with pytest.raises(CapacityError, match=r"allowed are [\d,]+ \(max_states\) and 500 times that"):
        periodic_review(**{"holding_cost": 1, "stockout_cost": 4, "demand": Demand.poisson(5), **changed})


@pytest.mark.parametrize(
    ("largest_order", "supply", "least"),
    [
        (1, {}, "2"),
        (2, {}, "2"),
        (3, {"good": 0.5}, "4"),
        (3, {"disruption": 0.5, "recovery": 0.5}, "4"),
    ],
)
def test_a_backlog_that_grows_without_end_has_no_cost(largest_order, supply, least):
    with pytest.raises(InvalidArgument, match=f"largest_order must be more than {least}: what is owed grows"):
        periodic_review(1, 4, Demand.poisson(2), lost_sales=False, largest_order=largest_order, **supply)


@pytest.mark.parametrize("tol", [1.0, 0.2, 0.02])
@pytest.mark.parametrize("supply", [{}, {"good": 0.8}, {"disruption": 0.1, "recovery": 0.5}])
def test_bounds_are_within_the_tolerance_of_the_cost(supply, tol, monkeypatch):
    """From a lowest level that is too high, lowered until what is forgotten is little enough."""
    limits = review._Review.limits
    monkeypatch.setattr(review._Review, "limits", lambda self: (-2, *limits(self)[1:]))
    found = periodic_review(1, 9, Demand.poisson(2), lost_sales=False, tol=tol, **supply)
    assert found.cut > 0.0
    assert found.upper - tol <= found.cost <= found.lower + tol


def test_what_proves_the_bound_is_not_counted_among_the_states():
    problem = {"lead_time": 2, "lost_sales": False}
    found = periodic_review(1, 9, Demand.poisson(1), **problem)
    same = periodic_review(1, 9, Demand.poisson(1), max_states=found.orders.size, **problem)
    assert (same.cost, same.lower, same.upper) == (found.cost, found.lower, found.upper)
    with pytest.raises(CapacityError, match="max_states"):
        periodic_review(1, 9, Demand.poisson(1), max_states=found.orders.size - 1, **problem)


def test_orders_that_only_just_keep_up():
    certain = Demand.pmf([2], [1.0])
    with pytest.warns(ModelWarning, match="depends on where one starts"):
        assert periodic_review(1, 4, certain, lost_sales=False, largest_order=2).cost == 0.0
    lost = periodic_review(1, 4, Demand.poisson(2), largest_order=1)  # nothing grows where sales are lost
    assert lost.upper - lost.lower < 2e-6
