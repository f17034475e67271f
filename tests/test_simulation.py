"""The simulated market does what its head says, to Monte Carlo error; the experiments are exact laws."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmcore.errors import CapacityError, InvalidArgument, NoConvergence
from mmcore.instruments import Instrument
from mmcore.simulation import START_TIME, SimulatedMarket, Symmetric, simulate

SIGMAS = 5.0  # a test of a random quantity may fail once in two million runs; seeds are fixed anyway


def mids(events, seconds):
    times = np.arange(events.start_time, events.end_time + 1, round(seconds * 1e9))
    row = np.searchsorted(events.quotes.local_time, times, "right") - 1
    return events.quotes.mid2[row] / 2


def orders(events):
    """Reach of each market order beyond the mid before it, and its side; by plain loops."""
    quotes, trades = events.quotes, events.trades
    found = []
    last, mid = None, math.nan
    for time, price, side in zip(trades.local_time, trades.price, trades.side, strict=True):
        if last == (time, side):
            found[-1][0] = max(found[-1][0], side * (price - mid))
        else:
            row = np.searchsorted(quotes.local_time, time, "left") - 1
            mid = quotes.mid2[row] / 2
            found.append([side * (price - mid), side])
        last = (time, side)
    return np.array(found)


@pytest.fixture(scope="module")
def market():
    return SimulatedMarket(
        sigma=1.5, A=(1.2, 0.8), k=(0.4, 0.6), spread=4, duration=20_000, seed=3, refresh=0.5
    )


@pytest.fixture(scope="module")
def events(market):
    return market.events()


@pytest.fixture(scope="module")
def reach(events):
    return orders(events)


class TestMarket:
    def test_equal_seeds_give_equal_markets(self):
        one, two, other = (SimulatedMarket(duration=30, seed=seed).events() for seed in (5, 5, 6))
        for name, column in one.quotes.columns().items():
            assert np.array_equal(column, two.quotes.columns()[name])
        for name, column in one.trades.columns().items():
            assert np.array_equal(column, two.trades.columns()[name])
        assert not np.array_equal(one.trades.local_time, other.trades.local_time)

    @pytest.mark.parametrize("seconds", [0.2, 1.0, 7.0, 60.0])
    def test_variance_of_the_mid_is_that_of_the_model_on_every_grid(self, events, market, seconds):
        """A rounded Brownian motion would show sigma^2 + 1/6 on short grids."""
        steps = np.diff(mids(events, seconds))
        square = steps**2
        error = square.std() / math.sqrt(len(square)) * 2  # moves on neighbouring grid steps share a wait
        assert abs(square.mean() - market.sigma**2 * seconds) < SIGMAS * error

    def test_waits_between_moves_have_the_laplace_transform_of_the_exit_time(self, events, market):
        quotes = events.quotes
        moved = np.flatnonzero(np.diff(quotes.bid) != 0) + 1
        waits = np.diff(quotes.local_time[moved]) / 1e9
        assert len(waits) > 40_000
        for rate in (0.3, 1.0, 4.0, 20.0):
            sample = np.exp(-rate * waits)
            expected = 1 / math.cosh(math.sqrt(2 * rate) / market.sigma)
            assert abs(sample.mean() - expected) < SIGMAS * sample.std() / math.sqrt(len(waits))
        sign = np.sign(np.diff(quotes.bid)[moved - 1])
        assert set(np.abs(np.diff(quotes.bid)[moved - 1])) == {1}
        assert abs(sign.mean()) < SIGMAS / math.sqrt(len(sign))

    @pytest.mark.parametrize("depth", [2, 3, 4, 6, 9])
    @pytest.mark.parametrize("side", [0, 1])
    def test_rate_of_orders_that_reach_a_depth(self, market, reach, depth, side):
        mine = reach[reach[:, 1] == (-1, 1)[side], 0]
        expected = market.A[side] * math.exp(-market.k[side] * depth) * market.duration
        assert abs(np.count_nonzero(mine >= depth) - expected) < SIGMAS * math.sqrt(expected)
        assert market.rate(depth)[side] * market.duration == pytest.approx(expected, rel=1e-14)
        through = np.count_nonzero(mine > depth)
        expected = market.rate(depth, "through")[side] * market.duration
        assert abs(through - expected) < SIGMAS * math.sqrt(expected)

    def test_inside_the_spread_the_rate_is_that_of_the_touch(self, market, reach):
        assert market.rate(0.5) == market.rate(2.0) == market.order_rates
        assert reach[:, 0].min() == 2.0

    def test_an_odd_spread_has_its_grid_at_half_ticks(self):
        market = SimulatedMarket(A=2.0, k=0.5, spread=3, duration=20_000, refresh=0.0, seed=2)
        reach = orders(market.events())[:, 0]
        assert set(reach % 1) == {0.5}
        for depth in (1.5, 2.5, 4.5):
            expected = 2 * 2.0 * math.exp(-0.5 * depth) * 20_000
            assert abs(np.count_nonzero(reach >= depth) - expected) < SIGMAS * math.sqrt(expected)

    def test_trades_stand_at_the_touch_and_then_at_every_tick_beyond(self, events):
        quotes, trades = events.quotes, events.trades
        row = np.searchsorted(quotes.local_time, trades.local_time, "left") - 1
        touch = np.where(trades.side > 0, quotes.ask[row], quotes.bid[row])
        beyond = trades.side * (trades.price - touch)
        first = np.r_[True, (np.diff(trades.local_time) != 0) | (np.diff(trades.side) != 0)]
        assert (beyond[first] == 0).all()
        assert (np.diff(beyond)[~first[1:]] == 1).all()
        assert (beyond >= 0).all()

    def test_rows_are_merged_by_time_and_span_the_duration(self, events, market):
        assert (np.diff(events.quotes.local_time) >= 0).all()
        assert (np.diff(events.trades.local_time) >= 0).all()
        assert events.start_time == START_TIME
        assert events.duration == market.duration
        assert (events.quotes.ask - events.quotes.bid == market.spread).all()
        assert len(events) == len(events.quotes) + len(events.trades)

    def test_a_quote_row_changes_something(self, events):
        quotes = events.quotes
        moved = np.diff(quotes.bid) != 0
        both = (np.diff(quotes.bid_size) != 0) & (np.diff(quotes.ask_size) != 0)
        assert not (both & ~moved).any()

    def test_mean_sizes(self):
        events = SimulatedMarket(quote_size=5, trade_size=2, duration=5000, seed=4).events()
        for sizes, mean in ((events.quotes.bid_size, 5.0), (events.trades.size, 2.0)):
            assert sizes.min() == 1
            # sizes are held over rows: a tenth of the rows at least are draws of their own
            assert abs(sizes.mean() - mean) < SIGMAS * sizes.std() / math.sqrt(len(sizes) / 10)

    def test_the_calibration_recovers_the_parameters(self):
        from mmcore.calibration import calibrate

        market = SimulatedMarket(seed=11)
        found = calibrate(market.events())
        assert found.identified
        errors = found.standard_errors
        assert abs(found.sigma - market.sigma) < 4 * errors["sigma"]
        for i, side in enumerate(("bid", "ask")):
            assert abs(found.A[i] - market.A[i]) < 4 * errors[f"A_{side}"]
            assert abs(found.k[i] - market.k[i]) < 4 * errors[f"k_{side}"]

    def test_without_volatility_the_touch_stands_still(self):
        events = SimulatedMarket(sigma=0.0, duration=60).events()
        assert set(events.quotes.bid) == {9999}

    def test_an_instrument_of_ones_own(self):
        mine = Instrument("MINE", tick="0.5")
        assert SimulatedMarket(duration=1, instrument=mine).events().instrument is mine

    def test_a_price_that_falls_to_zero_is_refused_unless_allowed(self):
        arguments = {"sigma": 5.0, "duration": 100, "start": 3, "seed": 1}
        with pytest.raises(InvalidArgument, match="start must keep the price above zero"):
            SimulatedMarket(**arguments).events()
        spread = Instrument("SPREAD", tick="0.01", negative_prices=True)
        assert SimulatedMarket(**arguments, instrument=spread).events().quotes.bid.min() <= 0

    def test_a_giant_market_is_refused_before_it_is_made(self):
        with pytest.raises(CapacityError, match="rows"):
            SimulatedMarket(sigma=1000.0, duration=1e6).events()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sigma", -1.0), ("sigma", math.nan), ("A", 0.0), ("A", (1.0, -1.0)), ("k", 0.0), ("spread", 0),
            ("spread", 1.5), ("duration", 0.0), ("duration", math.inf), ("seed", -1), ("refresh", -1.0),
            ("quote_size", 0.5), ("trade_size", 0.0), ("start", "x"),
        ],
    )  # fmt: skip
    def test_refusals_name_the_argument(self, name, value):
        with pytest.raises(InvalidArgument) as caught:
            SimulatedMarket(**{name: value})
        assert caught.value.argument == name

    @settings(max_examples=30)
    @given(
        st.floats(0, 5), st.floats(0.05, 3), st.floats(0.1, 3), st.integers(1, 12), st.floats(0.1, 40),
        st.integers(0, 2**63),
    )  # fmt: skip
    def test_any_parameters_give_a_consistent_market(self, sigma, A, k, spread, duration, seed):
        market = SimulatedMarket(sigma=sigma, A=A, k=k, spread=spread, duration=duration, seed=seed)
        events = market.events()
        row = np.searchsorted(events.quotes.local_time, events.trades.local_time, "left") - 1
        assert (row >= 0).all()
        inside = (events.trades.price > events.quotes.bid[row]) & (
            events.trades.price < events.quotes.ask[row]
        )
        assert not inside.any()
        assert (events.quotes.bid < events.quotes.ask).all()


WORLD = {"sigma": 2.0, "A": 140.0, "k": 1.5, "horizon": 1.0}


class TestExperiment:
    @pytest.mark.parametrize("dt", [None, 0.005])
    def test_constant_depths_have_known_moments(self, dt):
        """Independent Poisson (or binomial) fills: mean and variance by hand."""
        depth, horizon = 0.75, 1.0
        outcome = simulate(Symmetric(depth), **WORLD, dt=dt, paths=20_000, seed=1)
        rate = 140.0 * math.exp(-1.5 * depth)
        p = 0.0 if dt is None else rate * dt
        each = rate * (1 - p)  # variance of one side's fills per second
        checks = [
            (outcome.mean_profit, 2 * rate * depth),
            (outcome.mean_inventory, 0.0),
            (outcome.std_inventory, math.sqrt(2 * each)),
        ]
        for estimate, expected in checks:
            assert abs(estimate.value - expected) < SIGMAS * estimate.standard_error
        # E of the integral of q^2 is the variance rate times T^2/2 (the sum over steps, on a grid)
        grid = horizon**2 / 2 if dt is None else dt * sum(dt * i for i in range(1, 201))
        square = outcome.inventory_square
        error = square.std() / math.sqrt(len(square))
        assert abs(square.mean() - 2 * each * grid) < SIGMAS * error
        variance = outcome.profit.var()
        expected = 2 * each * depth**2 + 4.0 * 2 * each * grid
        assert (
            abs(variance - expected)
            < SIGMAS * 2 * outcome.std_profit.value * outcome.std_profit.standard_error
        )
        assert outcome.average_spread.value == pytest.approx(2 * depth, rel=1e-12)
        assert outcome.average_spread.standard_error == 0.0

    def test_the_event_driven_chain_is_the_limit_of_the_grid(self):
        class Skewed:
            def depths_batch(self, q, tau):
                return 0.6 + 0.3 * q * tau, 0.6 - 0.3 * q * tau

        exact = simulate(Skewed(), **WORLD, paths=10_000, seed=2)
        fine = simulate(Skewed(), **WORLD, dt=0.0005, paths=3000, seed=3)
        for name in ("mean_profit", "std_profit", "std_inventory"):
            one, two = getattr(exact, name), getattr(fine, name)
            assert abs(one.value - two.value) < 4 * math.hypot(one.standard_error, two.standard_error)

    def test_the_certainty_equivalent_of_a_riskless_seller(self):
        """Depths so deep on one side, no volatility: profit = depth * Poisson, CE in closed form."""

        class AskOnly:
            def depths_batch(self, q, tau):
                return np.full(len(q), math.nan), np.full(len(q), 1.0)

        gamma = 0.3
        outcome = simulate(AskOnly(), sigma=0.0, A=5.0, k=1.0, horizon=10.0, paths=20_000, seed=4)
        rate = 5.0 * math.exp(-1.0) * 10.0
        expected = rate * -math.expm1(-gamma) / gamma
        found = outcome.certainty_equivalent(gamma)
        assert abs(found.value - expected) < SIGMAS * found.standard_error
        neutral = outcome.certainty_equivalent(0.0)
        assert abs(neutral.value - rate) < SIGMAS * neutral.standard_error
        assert math.isnan(outcome.average_spread.value)

    def test_order_size_and_initial_inventory_count(self):
        class Pair:
            order_size = 3.0

            def depths(self, q, tau):
                return (1.0 if q < 6 else None), (1.0 if q > -6 else None)

        outcome = simulate(Pair(), sigma=1.0, A=5.0, k=0.5, horizon=5.0, initial_inventory=3.0, paths=500)
        assert set(np.unique(outcome.final_inventory)) <= {-6.0, -3.0, 0.0, 3.0, 6.0}
        assert (outcome.captured % 3.0 == 0).all()

    def test_equal_seeds_give_equal_experiments(self):
        one, two = (simulate(Symmetric(0.7), **WORLD, paths=50, seed=9) for _ in range(2))
        assert np.array_equal(one.profit, two.profit)

    def test_a_model_or_policy_is_taken(self):
        from mmcore.models import GueantLehalleFernandezTapia

        model = GueantLehalleFernandezTapia(sigma=2.0, A=140.0, k=1.5, gamma=0.1, q_max=20, horizon=1.0)
        one = simulate(model, **WORLD, paths=200, dt=0.005)
        two = simulate(model.policy(), **WORLD, paths=200, dt=0.005)
        assert np.array_equal(one.profit, two.profit)

    def test_a_pulse_is_announced_or_refused(self):
        class Pulse:
            def depths(self, q, tau):
                return (-3.0 if 0.680 < tau < 0.686 else 2.0), None

        with pytest.raises(NoConvergence, match="time_left of the policy, or give dt"):
            simulate(Pulse(), **WORLD, paths=50)
        announced = Pulse()
        announced.time_left = (0.680, 0.686)
        outcome = simulate(announced, **WORLD, paths=4000)
        expected = 140.0 * (0.994 * math.exp(-3.0) + 0.006 * math.exp(4.5))
        assert abs(outcome.fills.mean() - expected) < SIGMAS * math.sqrt(expected / 4000)

    def test_jumps_that_nobody_announced_are_found(self):
        class Steps:
            def depths_batch(self, q, tau):
                return np.where(tau % 0.1 < 0.03, 0.5, 3.0), np.full(len(q), math.nan)

        outcome = simulate(Steps(), **WORLD, paths=4000)
        expected = 140.0 * (0.3 * math.exp(-0.75) + 0.7 * math.exp(-4.5))
        assert abs(outcome.fills.mean() - expected) < SIGMAS * math.sqrt(expected / 4000)

    @pytest.mark.parametrize("k", [(0.3, 0.6), (1.0, 0.2)])
    @pytest.mark.parametrize(
        "more", [{}, {"drift": 0.05, "fee": (0.1, -0.2)}, {"impact": 0.3, "A": (0.5, 5.0)}]
    )
    def test_unequal_sides_whose_depths_turn_next_to_the_horizon(self, k, more):
        """The certainty equivalent comes from a linear equation; the mean does when gamma is 0."""
        from mmcore.models import GueantLehalleFernandezTapia

        model = GueantLehalleFernandezTapia(
            **{"sigma": 0.3, "A": (0.9, 1.4), "k": k, "gamma": 1e-3, "q_max": 10, "horizon": 60.0, **more}
        )
        market = {"A": model.A, "k": k, "horizon": 60.0}
        outcome = simulate(model, sigma=0.3, paths=4000, seed=4, **market)
        plain = GueantLehalleFernandezTapia(sigma=0.0, A=model.A, k=k, gamma=0.0, q_max=10, horizon=60.0)
        mean = plain.certainty_equivalent(model.policy())
        captured = outcome.captured
        assert abs(captured.mean() - mean) < 4 * captured.std() / math.sqrt(4000)

    def test_a_steep_terminal_penalty(self):
        """Rates of e^120 per second next to the horizon: whoever is long there is flat at once."""
        from mmcore.models import CarteaJaimungal

        model = CarteaJaimungal(A=1.0, k=2.0, terminal_penalty=3.0, q_max=10, horizon=9.0)
        outcome = simulate(model, sigma=1.0, A=1.0, k=2.0, horizon=9.0, paths=2000, initial_inventory=10.0)
        assert (outcome.final_inventory == 0.0).mean() > 0.99
        expected = CarteaJaimungal(A=1.0, k=2.0, q_max=10).certainty_equivalent(
            model.policy(), 10, horizon=9.0
        )
        assert abs(outcome.captured.mean() - expected) < 4 * outcome.captured.std() / math.sqrt(2000)

    def test_a_horizon_that_the_policy_does_not_cover_is_refused(self):
        from mmcore.models import GueantLehalleFernandezTapia

        model = GueantLehalleFernandezTapia(sigma=2.0, A=140.0, k=1.5, gamma=0.1, q_max=20, horizon=0.5)
        with pytest.raises(InvalidArgument, match="which the policy covers") as refused:
            simulate(model, **WORLD)
        assert refused.value.argument == "horizon"

    @pytest.mark.parametrize(
        ("name", "value"),
        [("sigma", -1), ("A", 0), ("k", math.inf), ("horizon", 0), ("dt", -0.1), ("dt", 0.3), ("paths", 1)],
    )
    def test_refusals_name_the_argument(self, name, value):
        with pytest.raises(InvalidArgument) as caught:
            simulate(Symmetric(1.0), **{**WORLD, name: value})
        assert caught.value.argument == name

    def test_something_without_depths_is_refused(self):
        with pytest.raises(InvalidArgument, match="policy"):
            simulate(object(), **WORLD)
