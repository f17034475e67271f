"""Market-making problems against general models that are written out from the definition, state by state.

What is compared shares no code with what it is compared to but the certificates: the models below are made of
fills, fees and rates in words, and solved by the general solvers.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.dp import MDP, MarketMakingProblem, Offers, Regime
from mmcore.errors import NoConvergence

ENDS = [{"horizon": 0.5}, {"discount_rate": 2.0}, {}]


def problem_of(seed, count, sizes, order_size, **options):
    """A random problem whose prices, rates, fees and penalties all differ."""
    rng = np.random.default_rng(seed)

    def side():
        n = int(rng.integers(1, 3))
        lots = rng.integers(1, 3, n) * order_size if sizes else None
        if sizes:
            lots[0] = order_size  # so that all inventories are reached
        return Offers(rng.normal(1.0, 0.7, n), rng.uniform(0.1, 2.0, n), lots)

    regimes = [
        Regime(
            side(),
            side(),
            running_penalty=rng.random() * 0.2,
            drift=rng.normal(),
            spread=1.0 + rng.random(),
            adverse_selection=(rng.normal() * 0.1, rng.normal() * 0.1),
        )
        for _ in range(count)
    ]
    if options.get("horizon"):
        options |= {"terminal_penalty": rng.random(), "liquidate": bool(rng.random() < 0.5)}
    return MarketMakingProblem(
        regimes,
        q_max=2 * order_size,
        dt=0.1,
        order_size=order_size,
        switching=rng.random((count, count)) if count > 1 else None,
        maker_fee=rng.normal() * 0.2,
        taker_fee=rng.random() * 0.2,
        **options,
    )


def offers_of(problem, regime):
    """(depth, chance, lots) of each offer of bid and ask; the last is none at all."""
    sides = []
    for side in (regime.bid, regime.ask):
        lots = np.full(side.depth.size, problem.order_size) if side.size is None else side.size
        listed = zip(side.depth.tolist(), (side.rate * problem.dt).tolist(), lots.tolist(), strict=True)
        sides.append([*listed, (0.0, 0.0, 0.0)])
    return sides


def step_by_hand(problem, m, q, bid, ask):
    """Reward of a step with these offers out, and the chance of each (regime, inventory) after it."""
    regime, dt = problem.regimes[m], problem.dt
    reward = (regime.drift * q - regime.running_penalty * q * q) * dt
    for (depth, chance, lots), adverse in zip((bid, ask), regime.adverse_selection, strict=True):
        reward += chance * (depth - problem.maker_fee - adverse) * lots
    others = {k: problem.switching[m][k] * dt for k in range(len(problem.regimes)) if k != m}
    after = dict.fromkeys(itertools.product(range(len(problem.regimes)), problem.inventories.tolist()), 0.0)
    if problem.fills == "exclusive":
        after[m, q] += 1 - bid[1] - ask[1] - sum(others.values())
        for k, chance in others.items():
            after[k, q] += chance
        for (_, chance, lots), sign in ((bid, 1), (ask, -1)):
            if chance:
                after[m, q + sign * lots] += chance
        return reward, after
    regimes = {**others, m: 1 - sum(others.values())}
    bought = {bid[2]: bid[1], 0.0: 1 - bid[1]} if bid[1] else {0.0: 1.0}
    sold = {ask[2]: ask[1], 0.0: 1 - ask[1]} if ask[1] else {0.0: 1.0}
    for (k, a), (b, x), (s, y) in itertools.product(regimes.items(), bought.items(), sold.items()):
        after[k, q + b - s] += a * x * y
    return reward, after


def discount_of(problem):
    return 1.0 if problem.discount_rate is None else math.exp(-problem.discount_rate * problem.dt)


def by_hand(problem):
    """Decide at once on market orders and offers: one action for each inventory crossed to and pair."""
    inventories, count = problem.inventories.tolist(), len(problem.regimes)
    states = list(itertools.product(range(count), inventories))
    place = {state: i for i, state in enumerate(states)}
    actions = max(math.prod(len(side) for side in offers_of(problem, regime)) for regime in problem.regimes)
    rewards = np.full((len(states), len(inventories) * actions), -np.inf)
    transitions = np.zeros((*rewards.shape, len(states)))
    for (m, q), s in place.items():
        regime = problem.regimes[m]
        for t, held in enumerate(inventories):
            if held != q and not problem.take:
                continue
            paid = abs(held - q) * (regime.spread / 2 + problem.taker_fee)
            for i, (bid, ask) in enumerate(itertools.product(*offers_of(problem, regime))):
                if held + bid[2] > problem.q_max or held - ask[2] < -problem.q_max:
                    continue
                reward, after = step_by_hand(problem, m, held, bid, ask)
                rewards[s, t * actions + i] = reward - paid
                for state, chance in after.items():
                    transitions[s, t * actions + i, place[state]] = chance
    return MDP(rewards, transitions, discount_of(problem))


def terminal_by_hand(problem):
    values = []
    for regime in problem.regimes:
        for q in problem.inventories.tolist():
            left = -problem.terminal_penalty * q * q
            if problem.liquidate:
                left -= abs(q) * (regime.spread / 2 + problem.taker_fee)
            values.append(left)
    return np.array(values)


def compare(problem, model, terminal):
    """Values agree within rounding, and the bounds of both hold the other's."""
    found = problem.solve(tol=1e-9)
    ours = found.solution
    if problem.horizon is not None:
        wanted = mm.dp.backward_induction(
            model, horizon=round(problem.horizon / problem.dt), terminal=terminal
        )
        value = ours.value.reshape(len(wanted.value), -1)
        np.testing.assert_allclose(value, wanted.value, rtol=0, atol=1e-11)
    elif problem.discount_rate is not None:
        wanted = model.solve("policy_iteration", tol=1e-10)
        np.testing.assert_allclose(ours.value.ravel(), wanted.value, rtol=0, atol=2e-9)
        assert (ours.lower.ravel() <= wanted.upper).all()
        assert (wanted.lower <= ours.upper.ravel()).all()
    else:
        wanted = mm.dp.average_reward(model, tol=1e-11)
        assert np.ndim(wanted.gain) == 0
        assert found.gain * problem.dt == pytest.approx(wanted.gain, abs=1e-9)
        assert float(ours.lower) * problem.dt <= float(wanted.upper)
        assert float(wanted.lower) <= float(ours.upper) * problem.dt


@pytest.mark.parametrize("end", ENDS)
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 2),
    sizes=st.booleans(),
    order_size=st.sampled_from([1, 3]),
    take=st.booleans(),
    fills=st.sampled_from(["exclusive", "independent"]),
)
def test_the_problem_is_the_model_written_out(end, seed, count, sizes, order_size, take, fills):
    problem = problem_of(seed, count, sizes, order_size, take=take, fills=fills, **end)
    compare(problem, by_hand(problem), terminal_by_hand(problem))


@pytest.mark.parametrize("in_flight", ["one", "all"])
@pytest.mark.parametrize("end", ENDS)
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 2),
    fills=st.sampled_from(["exclusive", "independent"]),
)
def test_a_lag_of_one_step_is_a_state_that_holds_what_was_sent(in_flight, end, seed, count, fills):
    rng = np.random.default_rng(seed)
    regimes = [
        Regime(
            Offers(rng.normal(1.0, 0.5, 2), rng.random(2)),
            Offers(rng.normal(1.0, 0.5, 1), rng.random(1)),
            running_penalty=rng.random() * 0.2,
            adverse_selection=0.1,
        )
        for _ in range(count)
    ]
    problem = MarketMakingProblem(
        regimes,
        q_max=2,
        dt=0.1,
        switching=rng.random((count, count)) if count > 1 else None,
        maker_fee=-0.1,
        fills=fills,
        lag=1,
        in_flight=in_flight,
        **end,
    )
    pairs = list(itertools.product(range(3), range(2)))[
        ::-1
    ]  # the last of each side is none: none of both first
    states = list(itertools.product(pairs, range(count), problem.inventories.tolist()))
    place = {state: i for i, state in enumerate(states)}
    rewards = np.empty((len(states), len(pairs)))
    transitions = np.zeros((*rewards.shape, len(states)))
    for (live, m, q), s in place.items():
        bid, ask = (side[i] for side, i in zip(offers_of(problem, regimes[m]), live, strict=True))
        none = (0.0, 0.0, 0.0)  # what would break the bound is not filled
        bid, ask = bid if q + bid[2] <= 2 else none, ask if q - ask[2] >= -2 else none
        reward, after = step_by_hand(problem, m, q, bid, ask)
        for a, sent in enumerate(pairs):
            rewards[s, a] = reward
            for (k, held), chance in after.items():
                transitions[s, a, place[sent, k, held]] += chance
    compare(problem, MDP(rewards, transitions, discount_of(problem)), np.zeros(len(states)))


UNPAID = Regime(Offers([1.0], [0.5]), running_penalty=0.1)


@pytest.mark.parametrize("take", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_where_quoting_never_pays_inventory_is_given_up_and_the_gain_is_nothing(count, take):
    problem = MarketMakingProblem(
        [UNPAID] * count,
        q_max=2,
        dt=0.1,
        maker_fee=2.0,
        take=take,
        switching=np.full((count, count), 0.5) if count > 1 else None,
    )
    model = problem.solve()
    assert model.gain == pytest.approx(0.0, abs=1e-9)
    assert model.depths(0) == (None, None)
    assert model.take(2) == -2 if take else model.depths(2) == (None, 1.0)
    compare(problem, by_hand(problem), None)


def test_gains_that_differ_are_refused_with_what_keeps_inventories_apart():
    one_side = Regime(Offers([1.0], [0.5]), Offers([1.0], [0.0]), running_penalty=0.1)
    for lag in (0, 1):
        with pytest.raises(
            mm.errors.Unsupported, match=r"from inventory \+2 to inventory \+1 and back.* 5 such sets"
        ):
            MarketMakingProblem(one_side, q_max=2, dt=0.1, lag=lag).solve()
    with pytest.raises(mm.errors.Unsupported, match="inventory -2 in regime 0 to inventory -2 in regime 1"):
        MarketMakingProblem([UNPAID, UNPAID], q_max=2, dt=0.1, switching=np.zeros((2, 2))).solve()
    # The general solver says what each start is worth: buy until it costs more to hold.
    hand = by_hand(MarketMakingProblem(one_side, q_max=2, dt=0.1))
    with pytest.warns(mm.errors.ModelWarning, match="depends on where one starts"):
        gain = mm.dp.average_reward(hand).gain
    np.testing.assert_allclose(gain, [0, 0, 0, -0.01, -0.04], atol=1e-9)
    # A regime that is left for good may lead to it.
    left = MarketMakingProblem([UNPAID, UNPAID], q_max=2, dt=0.1, switching=[[0, 0.5], [0, 0]])
    compare(left, by_hand(left), None)


def test_with_a_lag_state_0_has_nothing_on_its_way():
    regime = Regime(Offers([1.0, 2.0], [0.5, 0.3]), running_penalty=0.02)
    for flights in ("one", "all"):
        problem = MarketMakingProblem(regime, q_max=3, dt=0.1, lag=2, horizon=2.0, in_flight=flights)
        model = problem.solve()
        flying = 2 if flights == "all" else 1
        assert model.in_flight(0) == [(None, None)] * flying
        told = [tuple(model.in_flight(s)) for s in range(model.states)]
        assert len(set(told)) == model.states == 9**flying
        # With nothing on its way for a step, the first step earns the penalty alone.
        assert model.value(0, 2.0, 0) <= min(model.value(0, 2.0, s) for s in range(model.states)) + 1e-12


def test_rewards_beyond_floating_point_are_told_with_a_lag_too():
    regime = Regime(Offers([1e307], [0.5]))
    for end in ({"horizon": 1000.0}, {"discount_rate": 1e-3}):
        with pytest.raises(NoConvergence, match="range of floating point"):
            MarketMakingProblem(regime, q_max=5, dt=0.1, lag=1, **end).solve()
