"""The specification of calibration, on markets whose truth is known."""

import json
import math
import re
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest

import mmcore as mm
from mmcore.calibration import PARAMETERS, volatility
from mmcore.errors import InvalidArgument, MissingExtra, NotIdentified
from mmcore.events import HIDDEN, NO_BID
from mmcore.parameters import Parameter

SECOND = 1_000_000_000
STOCK = mm.Instrument("XYZ", tick="0.01")


def market(quotes, trades=(), kind=None):
    """Return events of quotes (time, bid, ask), trades (time, price, side[, stamp[, flags[, subtick]]])."""
    time, bid, ask = (np.array(c, dtype=np.int64) for c in zip(*quotes, strict=True))
    rows = [(t, p, s, *rest, *(t, 0, 0)[len(rest) :]) for t, p, s, *rest in trades]
    columns = [np.array(c, dtype=np.int64) for c in zip(*rows, strict=True)] or [np.zeros(0, np.int64)] * 6
    traded = mm.Trades(
        local_time=columns[0],
        price=columns[1],
        size=np.ones(len(rows), np.int64),
        side=columns[2],
        exchange_time=columns[3],
        flags=columns[4],
        subtick=columns[5],
    )
    return mm.Events(STOCK, kind, mm.Quotes(local_time=time, bid=bid, ask=ask), traded)


def still(seconds, trades=(), spread=2):
    """Return a market that stands at 1000 x (1000 + spread), then steps one tick up at its end."""
    end = seconds * SECOND
    return market([(0, 1000, 1000 + spread), (end, 1001, 1001 + spread)], trades)


def sample(counts, *, sides=(-1, 1), seconds=1000, spread=2):
    """Return a still market in which counts[j] orders of each side reach j ticks beyond the touch."""
    reaches = np.repeat(np.arange(len(counts)), counts)
    times = np.linspace(1, seconds * SECOND - 1, len(reaches) * len(sides)).astype(np.int64)
    rows = []
    for i, reach in enumerate(np.repeat(reaches, len(sides)).tolist()):
        side = sides[i % len(sides)]
        rows.append((int(times[i]), 1000 + spread + reach if side > 0 else 1000 - reach, side))
    return still(seconds, rows, spread)


def simulated(rng, A, k, seconds, sigma=50.0, busy=None, spread=None):
    """Return Brownian quotes, and orders whose reach is exponential, floored to the grid.

    Independent of mmcore.simulation. `busy` multiplies the rate within each of its equal parts of the time;
    `spread` draws the spread of each second (one or two ticks, as the mid has it, without).
    """
    n = int(seconds)
    time = np.arange(n + 1) * SECOND
    walk = np.concatenate([[0.0], np.cumsum(rng.normal(size=n))]) * sigma
    mid2 = 20_000_000 + np.round(2 * walk).astype(np.int64)
    width = 2 - mid2 % 2 if spread is None else spread(rng, n + 1)
    bid = (mid2 - width) // 2
    ask = bid + width
    mid2 = bid + ask
    rows = []
    for side, rate, decay in zip((-1, 1), A, k, strict=True):
        parts = np.ones(1) if busy is None else busy
        number = rng.poisson(rate * seconds * parts / len(parts))
        part = np.repeat(np.arange(len(parts)), number)
        when = ((part + rng.uniform(size=part.size)) * (seconds * SECOND / len(parts))).astype(np.int64)
        beyond = rng.exponential(1 / decay, part.size)
        quote = when // SECOND
        steps = np.floor(beyond - (ask - mid2 / 2)[quote]).astype(np.int64)
        traded = steps >= 0
        price = np.where(side > 0, ask[quote] + steps, bid[quote] - steps)
        rows.append(np.stack([when, price, np.full(part.size, side)], axis=1)[traded])
    table = np.concatenate(rows)
    table = table[np.argsort(table[:, 0], kind="stable")]
    trades = mm.Trades(
        local_time=table[:, 0], price=table[:, 1], size=np.ones(len(table), np.int64), side=table[:, 2]
    )
    return mm.Events(STOCK, None, mm.Quotes(local_time=time, bid=bid, ask=ask), trades)


# ---------------------------------------------------------------------------------------------------
# volatility


def test_sigma_is_the_root_of_the_mean_squared_move_per_second():
    mids = [1000, 1003, 1002, 1002, 1007]
    events = market([(i * SECOND, m - 1, m + 1) for i, m in enumerate(mids)])
    assert volatility(events, 1.0).sigma == math.sqrt((9 + 1 + 0 + 25) / 4)
    assert volatility(events, 2.0).sigma == math.sqrt((4 + 25) / 4)
    assert volatility(events, 1.0).increments == 4


def test_sigma_is_the_same_however_a_feed_cuts_a_move():
    """One snapshot, rows of equal stamps, and half-moves 20 µs apart with no grid point between."""
    rng = np.random.default_rng(1)
    times = np.arange(1, 400) * (SECOND * 37 // 100) + SECOND // 1000
    moves = rng.integers(-5, 6, size=times.size)
    state = [(0, 10_000, 10_003)]
    cuts = {"snapshot": list(state), "equal stamps": list(state), "half-moves": list(state)}
    bid, ask = state[0][1:]
    for t, move in zip(times.tolist(), moves.tolist(), strict=True):
        cuts["snapshot"].append((t, bid + move, ask + move))
        between = (bid + min(move, 0), ask + max(move, 0))  # one side first: the spread opens, then closes
        cuts["equal stamps"] += [(t, *between), (t, bid + move, ask + move)]
        early = t - 20_000
        assert early // SECOND == t // SECOND  # no grid point in [early, t]
        cuts["half-moves"] += [(early, *between), (t, bid + move, ask + move)]
        bid, ask = bid + move, ask + move
    sigmas = {name: volatility(market(rows), 1.0) for name, rows in cuts.items()}
    assert sigmas["snapshot"].sigma > 0
    assert sigmas["snapshot"] == sigmas["equal stamps"] == sigmas["half-moves"]


def test_a_mid_that_does_not_move_has_no_volatility_to_offer():
    flat = volatility(market([(0, 10, 12), (9 * SECOND, 10, 12)]))
    assert (flat.sigma, flat.standard_error, flat.increments) == (None, None, 9)
    assert "did not move" in flat.reason
    short = volatility(market([(0, 10, 12), (SECOND // 2, 11, 13)]))
    assert (short.sigma, short.increments) == (None, 0)
    assert "no full interval" in short.reason


def test_a_mid_that_is_undefined_is_left_out_and_counted():
    rows = [
        (0, 10, 12),
        (SECOND, 14, 16),
        (2 * SECOND, NO_BID, 16),
        (3 * SECOND, 20, 22),
        (4 * SECOND, 21, 23),
    ]
    measured = volatility(market(rows))
    assert (measured.increments, measured.excluded) == (2, 2)
    assert measured.sigma == math.sqrt((16 + 1) / 2)
    calibration = mm.calibrate(market(rows))
    assert calibration.sample["seconds_without_mid"] == 1.0
    assert any("1 s without a two-sided market" in note for note in calibration.notes)


def test_a_crossed_quote_leaves_the_last_good_one_in_force():
    rows = [(0, 10, 12), (SECOND, 11, 13), (SECOND + 1, 90, 80), (2 * SECOND, 12, 14)]
    assert volatility(market(rows)).sigma == 1.0
    calibration = mm.calibrate(market(rows))
    assert calibration.sample["crossed_quotes"] == 1
    assert any("1 crossed quotes are left out" in note for note in calibration.notes)


def test_the_sum_of_squares_is_exact_beyond_int64():
    step = 3_037_000_499_973
    events = market([(i * SECOND, 10**13 + step * (i % 2), 10**13 + step * (i % 2)) for i in range(6)])
    assert volatility(events).sigma == step


def test_equal_moves_do_not_pretend_to_certainty():
    """Ten moves of one tick have a sample variance of squares of zero; the error is then the normal law's."""
    events = market([(i * SECOND, 10 + i % 2, 12 + i % 2) for i in range(11)])
    assert volatility(events).standard_error == pytest.approx(1 / math.sqrt(2 * 10), rel=1e-14)


# ---------------------------------------------------------------------------------------------------
# what a market order is


def reaches(events):
    calibration = mm.calibrate(events, "reach")
    return (
        calibration.sample["market_orders"],
        calibration.bid.counts.tolist(),
        calibration.ask.counts.tolist(),
    )


def test_an_order_is_a_run_of_one_stamp_and_one_side_and_reaches_its_worst_price():
    # mid 1001; three prints of one buy order; the mid is the one before the first print
    events = still(10, [(5, 1002, 1, 5), (6, 1005, 1, 5), (7, 1003, 1, 5)])
    assert reaches(events) == (1, [0] * 10, [1, 1, 1, 1, 0, 0, 0, 0, 0, 0])


def test_the_same_stamp_and_side_after_a_trade_on_the_other_side_is_a_new_order():
    events = still(10, [(5, 1003, 1, 5), (5, 1000, -1, 5), (5, 1002, 1, 5)])
    assert reaches(events) == (3, [1] + [0] * 9, [2, 1] + [0] * 8)


def test_quotes_between_the_prints_of_one_order_do_not_split_it():
    quotes = [(0, 1000, 1002), (5, 1001, 1003), (10 * SECOND, 1001, 1003)]
    events = market(quotes, [(5, 1002, 1, 5), (5, 1004, 1, 5)], kind=[1, 2, 1, 2, 1])
    assert reaches(events) == (1, [0] * 10, [1, 1, 1] + [0] * 7)  # from 1001, not from 1002


def test_the_mid_before_an_order_is_that_of_arrival_not_of_equal_stamps():
    quotes = [(0, 1000, 1002), (5, 1006, 1008), (10 * SECOND, 1001, 1003)]
    before = market(quotes, [(5, 1008, 1)], kind=[1, 2, 1, 1])
    after = market(quotes, [(5, 1008, 1)], kind=[1, 1, 2, 1])
    assert sum(mm.calibrate(before, "reach").ask.counts) == 7
    assert sum(mm.calibrate(after, "reach").ask.counts) == 1


def test_hidden_trades_do_not_count_and_do_not_split():
    events = still(10, [(5, 1002, 1, 5), (5, 1009, 1, 5, HIDDEN), (5, 1003, 1, 5)])
    assert reaches(events) == (1, [0] * 10, [1, 1] + [0] * 8)
    assert mm.calibrate(events).sample["hidden_trades"] == 1


def test_what_cannot_be_used_is_counted_and_said():
    quotes = [(2, NO_BID, 1002), (4, 1000, 1002), (10 * SECOND, 1000, 1002)]
    events = market(quotes, [(1, 1000, -1), (3, 1002, 1), (5, 1002, 0), (6, 1001, 1), (7, 1005, 1)])
    calibration = mm.calibrate(events, "reach")
    sample = calibration.sample
    assert (sample["market_orders"], sample["without_mid"], sample["unknown_side"]) == (4, 2, 1)
    assert sample["at_or_inside_mid"] == 1
    assert any("2 market orders came while no mid was defined" in note for note in calibration.notes)
    assert any("1 market orders of unknown side are left out" in note for note in calibration.notes)
    assert any("at or inside the mid" in note for note in calibration.notes)


def test_off_grid_prices_are_compared_exactly():
    """At 0.999999 ticks beyond a depth an order does not reach the next one; at 1 it does."""
    buy = still(10, [(5, 1003, 1, 5, 0, 999_999), (9, 1004, 1, 9)])
    assert reaches(buy)[2] == [2, 2, 1] + [0] * 7
    sell = still(10, [(5, 998, -1, 5, 0, 1), (9, 998, -1, 9)])
    assert reaches(sell)[1] == [2, 2, 1] + [0] * 7


def test_a_window_is_open_at_its_start_closed_at_its_end_and_strict_in_price():
    trades = [
        (0, 1100, 1),  # at the start of the first window: in none
        (SECOND, 1003, 1),  # at its end: in the first, beyond 1 tick, not beyond 2
        (SECOND + 1, 999, -1),  # in the second
        (3 * SECOND + 1, 900, -1),  # after the last full window
    ]
    quotes = [(0, 1000, 1002), (3 * SECOND + SECOND // 2, 1000, 1002)]
    calibration = mm.calibrate(market(quotes, trades), "window")
    assert calibration.sample["windows"] == 3
    assert calibration.ask.counts.tolist() == [1] + [0] * 9
    assert calibration.bid.counts.tolist() == [1] + [0] * 9
    assert calibration.pooled.rates[0] == pytest.approx(math.log(3 / 2), rel=1e-14)


# ---------------------------------------------------------------------------------------------------
# the Poisson estimate

COUNTS = [520, 340, 210, 160, 90, 61, 44, 23, 20, 11, 6, 9]


def test_it_is_the_maximum_of_the_poisson_likelihood_but_for_its_bias():
    """SciPy maximises the likelihood of the cells directly; ours differs by the bias correction alone."""
    from scipy.optimize import minimize

    seconds, cells = 1000, 8
    fit = mm.calibrate(sample(COUNTS, seconds=seconds), max_depth=1 + cells, errors="independent").bid
    seen = np.array([*COUNTS[:cells], sum(COUNTS[cells:])], dtype=float)
    depth = np.arange(1, cells + 2)

    def minus_log_likelihood(x):
        reach = np.exp(x[0] - np.exp(x[1]) * depth) * seconds
        mean = np.append(reach[:-1] - reach[1:], reach[-1])
        return float(mean.sum() - seen @ np.log(mean))

    best = minimize(
        minus_log_likelihood, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-10}
    )
    a, k = math.exp(best.x[0]), math.exp(best.x[1])

    stops = sum(COUNTS[:cells])
    steps = sum(j * n for j, n in enumerate(COUNTS[:cells])) + cells * sum(COUNTS[cells:])
    assert math.log(1 + stops / steps) == pytest.approx(k, rel=1e-6)
    assert sum(COUNTS) / seconds * math.exp(k) == pytest.approx(a, rel=1e-6)
    unbiased = float(sum(Fraction(1, i) for i in range(steps + 1, steps + stops)))
    assert fit.k == pytest.approx(unbiased, rel=1e-13)
    assert fit.orders == sum(COUNTS)

    # Fisher's errors: the inverse Hessian at the maximum, which lies 1/stops away
    def surface(log_a, decay):
        reach = [mpmath.exp(log_a - decay * int(d)) * seconds for d in depth]
        mean = [x - y for x, y in zip(reach, [*reach[1:], mpmath.mpf(0)], strict=True)]
        return mpmath.fsum(m - int(n) * mpmath.log(m) for m, n in zip(mean, seen, strict=True))

    with mpmath.workdps(40):
        at = (mpmath.log(a), mpmath.mpf(k))
        hessian = mpmath.matrix(2, 2)
        for i in range(2):
            for j in range(2):
                order = tuple((i == m) + (j == m) for m in range(2))
                hessian[i, j] = mpmath.diff(surface, at, order)
        inverse = hessian**-1
    expected = np.array([[float(inverse[i, j]) for j in range(2)] for i in range(2)])
    np.testing.assert_allclose(fit.covariance, expected, rtol=3 / stops)


@pytest.mark.parametrize("k", [0.05, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("n", [10, 30])
def test_the_estimate_of_k_is_unbiased_in_small_samples(n, k):
    """Exact expectation over the negative binomial law of the continuations; 1/mean is off by 1/(n - 1)."""
    with mpmath.workdps(40):
        stop, go = 1 - mpmath.exp(-k), mpmath.exp(-k)
        probability, harmonic, plain = stop**n, mpmath.harmonic(n - 1), mpmath.mpf(0)
        expected = mass = mpmath.mpf(0)
        s = 0
        while mass < 1 - mpmath.mpf(10) ** -15:
            expected += probability * harmonic  # H(s + n - 1) - H(s)
            if s:
                plain += probability * n / mpmath.mpf(s)
            mass += probability
            probability *= go * (n + s) / (s + 1)
            harmonic += 1 / mpmath.mpf(s + n) - 1 / mpmath.mpf(s + 1)
            s += 1
        lost = mpmath.nsum(lambda j: stop**j / j, [n, mpmath.inf])
        assert abs(expected - (k - lost)) < 1e-12
        if k == 0.05:  # nearly continuous: the plain estimate is off by 1/(n - 1), 11.1 % and 3.4 %
            assert plain / k - 1 > 0.9 / (n - 1)


@pytest.mark.parametrize(
    ("k", "naive", "half_tick"), [(0.3, 0.166, -0.007), (1.0, 0.718, -0.076), (2.0, 2.195, -0.238)]
)
def test_reaches_floored_to_ticks_do_not_bias_it(k, naive, half_tick):
    """The known mistakes: 1/mean of the floored reach, and 1/(mean + 1/2); theirs are the biases stated."""
    n = 4_000_000
    tail = np.exp(-k * np.arange(200))
    counts = np.diff(np.round(n * tail), append=0.0) * -1
    mean = float(counts @ np.arange(200)) / n
    assert 1 / mean / k - 1 == pytest.approx(naive, abs=1e-3)
    assert 1 / (mean + 0.5) / k - 1 == pytest.approx(half_tick, abs=1e-3)

    small = np.round(counts / 200).astype(int)
    small = small[: int(np.flatnonzero(small)[-1]) + 1]
    fit = mm.calibrate(sample(small.tolist()), max_depth=1 + len(small), errors="independent").bid
    assert abs(fit.k - k) < fit.standard_errors[1]


def trials(number, seed, A, k, seconds, **options):
    """Return estimates and whether each interval covers, over simulated markets."""
    rng = np.random.default_rng(seed)
    busy, spread = options.pop("busy", None), options.pop("spread", None)
    truth = {"sigma": 50.0, "A_bid": A[0], "A_ask": A[1], "k_bid": k[0], "k_ask": k[1]}
    values, covered = [], []
    for _ in range(number):
        bursts = None if busy is None else rng.gamma(1 / busy, busy, size=seconds // 20)
        calibration = mm.calibrate(simulated(rng, A, k, seconds, busy=bursts, spread=spread), **options)
        assert calibration.identified
        values.append([calibration.sigma, *calibration.A, *calibration.k])
        intervals = calibration.intervals(0.95)
        covered.append([intervals[name][0] <= value <= intervals[name][1] for name, value in truth.items()])
    return np.array(values), np.array(covered), np.array(list(truth.values()))


SPREADS = {
    "one or two": None,
    "fixed": lambda rng, n: np.full(n, 5),
    "alternating": lambda rng, n: np.where(np.arange(n) % 2, 4, 2),
    "random": lambda rng, n: rng.geometric(0.2, n),
    "in two halves": lambda rng, n: np.where(np.arange(n) < n // 2, 2, 7),
}
"""Spread of each second, ticks."""


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize(("seconds", "errors"), [(300, "independent"), (1200, "clustered")])
def test_on_simulated_markets_it_is_unbiased_and_its_intervals_cover(seconds, errors, spread):
    """Counting time inside the spread as exposure is off by 16 % (A) and 13 % (k) where it alternates."""
    number = 400
    options = {"errors": errors, "spread": SPREADS[spread]}
    values, covered, truth = trials(number, 7, (1.0, 0.7), (0.3, 0.5), seconds, **options)
    z = (values.mean(axis=0) - truth) / (values.std(axis=0, ddof=1) / math.sqrt(number))
    assert np.abs(z).max() < 3.5  # one in 2000 per number
    rate = covered.mean(axis=0)
    error = math.sqrt(0.95 * 0.05 / number)
    assert (rate > 0.93 - 2 * error).all(), rate
    assert (rate < 0.97 + 2 * error).all(), rate


def test_a_depth_is_exposed_only_while_it_lies_at_or_behind_the_touch():
    """Ten seconds two ticks wide, thirty seconds six ticks wide, two seconds five ticks wide."""
    quotes = [(0, 1000, 1002), (10, 998, 1004), (40, 998, 1003), (42, 998, 1003)]
    trades = [
        (1, 1002, 1),  # at the touch, 1 tick from the mid
        (2, 1004, 1),  # walks on to 3
        (11, 1004, 1),  # at the touch, 3 ticks from the mid: what it would do at 1 is not known
        (12, 1006, 1),  # 5 ticks
        (41, 1003, 1),  # 2.5 ticks from the mid between two ticks
        (13, 1003, 1),  # inside the spread: no market order of this book
    ]
    scaled = [(t * SECOND, *rest) for t, *rest in sorted(trades)]
    calibration = mm.calibrate(
        market([(t * SECOND, *rest) for t, *rest in quotes], scaled), min_depth=1, max_depth=6
    )
    ask = calibration.ask
    seen = dict(
        zip(ask.depths.tolist(), zip(ask.counts.tolist(), ask.rates.tolist(), strict=True), strict=True)
    )
    assert seen == {
        1.0: (2, 2 / 10), 2.0: (1, 1 / 10),
        3.0: (3, 3 / 40), 4.0: (1, 1 / 40), 5.0: (1, 1 / 40), 6.0: (0, 0.0),
        2.5: (1, 1 / 2), 3.5: (0, 0.0), 4.5: (0, 0.0), 5.5: (0, 0.0),
    }  # fmt: skip
    assert calibration.sample["inside_touch"] == 1
    assert "1 market orders trade inside the spread before them and are left out" in calibration.notes
    assert ask.exposure == 42.0
    narrow = mm.calibrate(market([(t * SECOND, *rest) for t, *rest in quotes], scaled), max_depth=3).ask
    assert narrow.exposure == 10.0  # a touch 3 ticks away leaves no step to be seen within 3 ticks
    assert narrow.orders == 2


def widening(counts):
    """Return 300 s two ticks wide and 700 s five ticks wide; counts of buys by spread and ticks walked."""
    rows = []
    for (start, ask, seconds), walks in zip(((0, 1002, 300), (300, 1003, 700)), counts, strict=True):
        walk = np.repeat(np.arange(len(walks)), walks)
        times = (start + seconds * (np.arange(walk.size) + 0.5) / walk.size) * SECOND
        rows += [(int(t), ask + int(w), 1) for t, w in zip(times, walk, strict=True)]
    end = 1000 * SECOND
    return market([(0, 1000, 1002), (300 * SECOND, 998, 1003), (end, 999, 1004)], rows)


def test_where_the_spread_varies_it_is_the_maximum_of_the_likelihood_of_all_cells():
    """The likelihood over spreads and ticks walked, maximised by SciPy, and Fisher's errors, at 40 digits."""
    from scipy.optimize import minimize

    walks = ([300, 190, 130, 80, 55, 90], [280, 160, 120, 140])  # the last of each: walks that far or farther
    fit = mm.calibrate(widening(walks), max_depth=6.0, errors="independent").ask
    cells = [  # seconds, depth, the next depth or infinity, orders
        (seconds, start + j, start + j + 1 if j + 1 < len(counts) else math.inf, n)
        for seconds, start, counts in zip((300, 700), (1.0, 2.5), walks, strict=True)
        for j, n in enumerate(counts)
    ]

    def mean(log_a, k, seconds, near, far, exp):
        return seconds * exp(log_a) * (exp(-k * near) - (0 if far == math.inf else exp(-k * far)))

    def minus_log_likelihood(x):
        means = [mean(x[0], math.exp(x[1]), *cell[:3], math.exp) for cell in cells]
        return sum(m - cell[3] * math.log(m) for m, cell in zip(means, cells, strict=True))

    best = minimize(
        minus_log_likelihood, [0.0, -1.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-10}
    )
    log_a, k = best.x[0], math.exp(best.x[1])
    orders = sum(sum(w) for w in walks)
    assert fit.orders == orders
    assert fit.estimate[1] == pytest.approx(k, rel=1 / orders)  # but for the bias that is removed
    assert math.log(fit.estimate[0]) == pytest.approx(log_a, abs=3 / orders)

    with mpmath.workdps(40):

        def surface(a, decay):
            means = [mean(a, decay, *cell[:3], mpmath.exp) for cell in cells]
            return mpmath.fsum(m - cell[3] * mpmath.log(m) for m, cell in zip(means, cells, strict=True))

        hessian = mpmath.matrix(2, 2)
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            hessian[i, j] = mpmath.diff(
                surface, (mpmath.mpf(log_a), mpmath.mpf(k)), tuple((i == m) + (j == m) for m in range(2))
            )
        inverse = hessian**-1
    expected = np.array([[float(inverse[i, j]) for j in range(2)] for i in range(2)])
    np.testing.assert_allclose(fit.covariance, expected, rtol=5 / orders)


def test_the_first_order_bias_is_removed_where_the_spread_varies():
    """The mean of many small samples, whose maxima of the likelihood are off by many of its errors."""
    from scipy.optimize import brentq

    from mmcore.calibration.intensity import Starts, decay

    rng, k, number = np.random.default_rng(2), 0.5, 6000
    starts = Starts(0.5, np.array([0.0, 1.5]), np.array([50.0, 50.0]))  # touches 0.5 and 2 ticks away
    found, rough = [], []
    for _ in range(number):
        reach = rng.exponential(1 / k, rng.poisson(60))
        touch = np.where(rng.random(reach.size) < 0.5, 0.5, 2.0)
        seen = reach >= touch
        ticks, orders = float((touch + np.floor(reach - touch) - 0.5)[seen].sum()), int(seen.sum())
        found.append(decay(starts, orders, orders, ticks))

        def score(x, orders=orders, ticks=ticks):
            late = math.exp(-1.5 * x)
            return orders / math.expm1(x) - ticks + orders * 1.5 * late / (1 + late)

        rough.append(brentq(score, 1e-3, 20))
    error = np.std(found) / math.sqrt(number)
    assert abs(np.mean(found) - k) < 4 * error
    assert np.mean(rough) - k > 6 * error


def test_a_spread_that_changes_with_the_hour_is_no_clustering():
    """The rate at the touch falls sevenfold at noon, as A exp(-k d) says: the two kinds of error agree."""
    rng = np.random.default_rng(3)
    noon = {"spread": lambda _, n: 2 + 10 * (np.arange(n) > n // 2)}
    events = simulated(rng, (2.0, 2.0), (0.4, 0.4), 20_000, **noon)
    clustered, independent = (mm.calibrate(events, errors=errors) for errors in ("clustered", "independent"))
    assert clustered.sample["clustering"] < 1.6
    assert not any("clusters" in note for note in clustered.notes)
    for name, error in clustered.standard_errors.items():
        assert error == pytest.approx(independent.standard_errors[name], rel=0.35)  # 100 blocks: 7 % each


@pytest.mark.parametrize("ticks", [1.0, 1e6, 2.0**36])
def test_what_is_fitted_takes_memory_by_the_data_not_by_the_depths(ticks):
    """A finer tick, or a max_depth without end, makes the same fit of the same orders."""
    import tracemalloc

    rng = np.random.default_rng(8)
    walk = np.floor(rng.exponential(3.0 * ticks, 600)).astype(np.int64)
    times = np.arange(1, 601) * SECOND
    base = int(1000 * ticks)
    events = market(
        [(0, base - int(ticks), base + int(ticks)), (601 * SECOND, base, base + 2)],
        zip(times, base + int(ticks) + walk, np.ones(600, int), strict=True),
    )
    tracemalloc.start()
    adaptive, deep = mm.calibrate(events), mm.calibrate(events, max_depth=1e12)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    for fit in (adaptive.ask, deep.ask):
        assert fit.k * ticks == pytest.approx(1 / 3, rel=0.15)
        assert fit.depths.size <= 60


@pytest.mark.parametrize("method", ["reach", "window"])
def test_a_line_through_more_depths_than_memory_allows_is_refused(method):
    with pytest.raises(InvalidArgument, match=r"max_depth must be at most 1001 ticks: .* got 100000000.0"):
        mm.calibrate(sample(COUNTS), method, min_depth=2, max_depth=1e8)
    assert mm.calibrate(sample(COUNTS), method, min_depth=2, max_depth=1001).bid.depths.size == 1000


def test_reaches_at_the_ends_of_the_prices_do_not_wrap_round():
    odd = mm.Instrument("XYZ", tick="0.01", negative_prices=True)
    quotes = mm.Quotes(local_time=[0, SECOND], bid=[-(2**60)] * 2, ask=[-(2**60)] * 2)
    trades = mm.Trades(local_time=[1, 2], price=[2**60, -(2**60)], size=[1, 1], side=[1, -1])
    calibration = mm.calibrate(mm.Events(odd, None, quotes, trades), "reach")
    assert calibration.ask.counts.tolist() == [1] * 10
    assert calibration.sample["at_or_inside_mid"] == 1


def test_a_touch_too_far_away_to_tell_the_rate_at_the_mid_says_so():
    calibration = mm.calibrate(sample(COUNTS, spread=20_000))
    assert "too far away to tell A" in calibration.bid.reason
    assert not calibration.identified


def test_harmonic_sums_of_real_numbers_are_exact():
    from mmcore.calibration.intensity import harmonic

    with mpmath.workdps(40):
        for after in (-0.999, -0.5, 0.0, 7.25, 99.9, 100.0, 1e3, 1e9, 1e18):
            for terms in (1, 2, 10, 10**6):
                exact = mpmath.psi(0, mpmath.mpf(after) + terms + 1) - mpmath.psi(0, mpmath.mpf(after) + 1)
                assert harmonic(after, terms) == pytest.approx(float(exact), rel=1e-13)


def test_errors_allow_for_orders_that_come_in_clusters():
    """Rates that vary by a factor within 20 s bursts: independent errors cover A half the time."""
    number = 200
    arguments = number, 11, (1.0, 1.0), (0.4, 0.4), 2400
    _, naive, _ = trials(*arguments, errors="independent", busy=1.0)
    _, honest, _ = trials(*arguments, errors="clustered", busy=1.0)
    assert naive[:, 1:3].mean() < 0.6
    assert honest[:, 1:3].mean() > 0.86  # 0.91 where blocks are hardly longer than the bursts


def test_a_sample_too_short_to_measure_clusters_says_so():
    short, asked = (mm.calibrate(sample([60, 40, 30, 20]), errors=e) for e in ("clustered", "independent"))
    assert short.settings["errors"] == "independent"
    assert short.standard_errors == asked.standard_errors
    assert any("too short to measure how orders cluster" in note for note in short.notes)
    assert not any("too short" in note for note in asked.notes)


def test_least_squares_on_logarithms_has_about_twice_the_standard_deviation():
    """The setting of the theory: A = 0.9, k = 0.3, 600 s, depths to 20; counts of separate depths."""
    rng = np.random.default_rng(3)
    ours, theirs = [], []
    for _ in range(300):
        events = mm.SimulatedMarket(
            sigma=0.5, A=0.9, k=0.3, spread=2, duration=600, refresh=0.0, seed=int(rng.integers(2**31))
        ).events()
        ours.append(mm.calibrate(events, max_depth=20).bid.estimate[1])
        theirs.append(mm.calibrate(events, "reach", max_depth=20).bid.estimate[1])
    ratio = np.std(theirs) / np.std(ours)
    assert 1.6 < ratio < 2.4  # the theory's 0.0137 / 0.0068, within four errors of 300 trials


def test_exact_limits_of_a_count_are_the_published_ones():
    """Garwood's limits for 0 and 10 events at 95 %: (0, 3.689), (4.795, 18.39)."""
    fit = mm.calibrate(sample([0, 10], seconds=1), "reach", max_depth=3).bid
    assert fit.counts.tolist() == [10, 10, 0]
    np.testing.assert_allclose(fit.low, [4.795, 4.795, 0.0], atol=5e-4)
    np.testing.assert_allclose(fit.high, [18.39, 18.39, 3.689], atol=5e-3)


# ---------------------------------------------------------------------------------------------------
# not identified

FLAT = [0] * 12 + [40]  # forty orders of each side, all reaching 13 ticks


@pytest.mark.parametrize(
    ("method", "events", "words"),
    [
        ("poisson", still(100), "no market order reaches a depth of 1"),
        ("reach", still(100), "no trade reaches a depth of 1"),
        ("window", still(100), "no trade reaches a depth of 1"),
        ("poisson", sample([50]), "the same depth only"),
        ("reach", sample([50]), "one depth only"),
        ("window", sample([0, 50]), "one depth only"),
        ("reach", sample(FLAT), "all counts are equal"),
        ("window", sample(FLAT), "all counts are equal"),
        ("poisson", sample([1, 1]), "is not above zero"),
        ("reach", sample([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 400]), "is not above zero"),
        ("reach", sample([30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 900]), "nearly flat"),
        ("window", sample([0] * 12 + [2000]), "every window is hit at every depth"),
        ("poisson", sample([50], spread=3), "the same depth only"),
    ],
)
def test_what_the_data_do_not_identify_is_refused_in_words(method, events, words):
    calibration = mm.calibrate(events, method)
    assert not calibration.identified
    assert calibration.A == (None, None)
    assert calibration.k == (None, None)
    assert calibration.sigma is not None
    for side in ("bid", "ask"):
        assert any(
            note.startswith(f"{side}: not identified: ") and words in note for note in calibration.notes
        )
        assert calibration.covariance[side] is None
        assert calibration.intervals()[f"k_{side}"] is None
        assert calibration.standard_errors[f"A_{side}"] is None
    assert "not identified" in repr(calibration)
    assert "nan" not in json.dumps(calibration.to_dict(), allow_nan=False)
    with pytest.raises(NotIdentified, match="do not identify what Asymmetric needs"):
        calibration.model(Asymmetric)


def test_a_range_that_is_too_narrow_says_what_to_do():
    events = simulated(np.random.default_rng(5), (1.0, 1.0), (0.05, 0.05), 3000)
    narrow = mm.calibrate(events, max_depth=6)
    assert not narrow.identified
    assert "raise max_depth" in narrow.notes[0]
    assert mm.calibrate(events).identified


def test_no_events_at_all():
    calibration = mm.calibrate(mm.Events(STOCK, None))
    assert not calibration.identified
    assert calibration.sigma is None
    assert calibration.notes[0].startswith("sigma is not identified")
    assert repr(calibration)
    assert mm.calibrate(mm.Events(STOCK, None), "window").sample["windows"] == 0


@pytest.mark.parametrize("method", ["poisson", "reach", "window"])
def test_a_single_quote_is_no_time_to_count_in(method):
    events = market([(5, 1000, 1002)], [(6, 1003, 1), (7, 1009, 1), (8, 995, -1), (9, 999, -1)])
    calibration = mm.calibrate(events, method)
    assert not calibration.pooled.identified
    assert "no span of time" in calibration.bid.reason
    json.dumps(calibration.to_dict(), allow_nan=False)


def test_one_side_alone_does_not_pass_for_both():
    calibration = mm.calibrate(sample(COUNTS, sides=(-1,)))
    assert calibration.bid.identified
    assert not calibration.ask.identified
    assert not calibration.identified
    assert calibration.k[1] is None
    assert calibration.model(Symmetric).k == calibration.pooled.k
    with pytest.raises(NotIdentified, match="ask: no market order"):
        calibration.model(Asymmetric)


def test_a_market_one_tick_wide_is_said_to_be_beyond_the_model():
    assert any("spread is one tick 100 % of the time" in n for n in mm.calibrate(still(10, spread=1)).notes)
    assert not any("one tick" in n for n in mm.calibrate(still(10, spread=2)).notes)


def test_a_curve_that_is_no_exponential_is_said_to_be_none():
    calibration = mm.calibrate(sample([2000, 10, 10, 10, 10, 100, 100, 500]), max_depth=9)
    assert any("an exponential describes the intensity poorly" in note for note in calibration.notes)
    assert calibration.bid.dispersion > 10
    assert calibration.bid.p_value < 1e-6
    good = mm.calibrate(mm.SimulatedMarket(seed=4, duration=7200).events())
    assert good.notes == []
    assert good.bid.p_value > 1e-3


# ---------------------------------------------------------------------------------------------------
# the result


class Symmetric:
    PARAMETERS = (Parameter("sigma", float), Parameter("k", float), Parameter("gamma", float))

    def __init__(self, *, sigma, k, gamma=0.0):
        self.sigma, self.k, self.gamma = sigma, k, gamma


class Asymmetric:
    PARAMETERS = (
        Parameter("sigma", float),
        Parameter("A", float, pair=True),
        Parameter("k", float, pair=True),
    )

    def __init__(self, *, sigma, A, k):
        self.sigma, self.A, self.k = sigma, A, k


@pytest.fixture(scope="module")
def known():
    """Return the calibration of a simulated hour."""
    return mm.calibrate(mm.SimulatedMarket(sigma=1.0, A=(1.0, 1.5), k=(0.5, 0.7), seed=2).events())


def test_a_model_gets_what_its_parameters_name(known):
    both = known.model(Asymmetric)
    assert (both.sigma, both.A, both.k) == (known.sigma, known.A, known.k)
    one = known.model(Symmetric, gamma=0.1)
    assert (one.sigma, one.k, one.gamma) == (known.sigma, known.pooled.k, 0.1)
    assert known.model(Symmetric, k=2.0).k == 2.0


def test_a_given_value_stands_in_for_what_is_not_identified():
    calibration = mm.calibrate(still(100))
    assert calibration.model(Asymmetric, A=1.0, k=0.5).k == 0.5


def test_what_a_model_can_do_without_is_left_to_its_default():
    class Optional:
        PARAMETERS = (Parameter("sigma", float), Parameter("A", float, default=None))

        def __init__(self, *, sigma, A=None):
            self.sigma, self.A = sigma, A

    assert mm.calibrate(still(100)).model(Optional).A is None
    assert mm.calibrate(sample(COUNTS)).model(Optional).A > 0


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (mm.GueantLehalleFernandezTapia, {"gamma": 0.01, "q_max": 10}),
        (mm.CarteaJaimungal, {"running_penalty": 0.001, "q_max": 10}),
        (mm.AvellanedaStoikov, {"gamma": 0.01, "horizon": 10.0}),
    ],
)
def test_every_model_of_the_package_can_be_built(known, cls, options):
    bid, ask = known.model(cls, **options).depths(0, time_left=10.0)
    assert 0 < bid < 10
    assert 0 < ask < 10


def test_intervals_are_centred_on_the_estimates_and_widen_with_the_level(known):
    narrow, wide = known.intervals(0.5), known.intervals(0.99)
    values = dict(
        zip(("sigma", "A_bid", "A_ask", "k_bid", "k_ask"), (known.sigma, *known.A, *known.k), strict=True)
    )
    for name, value in values.items():
        assert 0 < wide[name][0] < narrow[name][0] < value < narrow[name][1] < wide[name][1]
    assert known.k[0] + 1.959963984540054 * known.standard_errors["k_bid"] == known.intervals()["k_bid"][1]
    with pytest.raises(InvalidArgument, match="level must be"):
        known.intervals(1.0)


def test_a_curve_is_drawn_at_numbers_only(known):
    fit = known.bid
    for value in (None, "x", [[1], [1, 2]], math.nan, math.inf, 1e300, 10**400, 1j):
        with pytest.raises(InvalidArgument, match="depths must be finite numbers"):
            fit.curve(value)
    for value in (0.0, 1.0, None, "0.9"):
        with pytest.raises(InvalidArgument, match="level must be"):
            fit.curve([1.0], value)
    _, low, high = fit.curve([0.0, 1e12])  # far away the band is as wide as floats
    assert low.tolist()[1] == 0.0
    assert high.tolist()[1] in (0.0, math.inf)


@pytest.mark.parametrize("level", [1e-300, 0.5, 1 - 2**-53])
def test_any_level_between_its_bounds_has_an_interval(known, level):
    low, high = known.intervals(level)["k_bid"]
    assert low <= known.k[0] <= high
    assert math.isfinite(high)


def test_covariance_is_of_the_logarithm_of_a_and_k(known):
    covariance = known.covariance["bid"]
    assert known.standard_errors["A_bid"] == pytest.approx(
        known.A[0] * math.sqrt(covariance[0, 0]), rel=1e-15
    )
    assert known.standard_errors["k_bid"] == math.sqrt(covariance[1, 1])
    assert covariance[0, 1] > 0  # the line turns about the middle of the depths


def test_rates_list_what_was_seen_beside_the_fit(known):
    rates = known.rates
    assert rates.shape == (2, known.depths.size)
    assert rates["depth"][0].tolist() == known.depths.tolist()
    assert (rates["low"] <= rates["observed"]).all()
    assert (rates["observed"] <= rates["high"]).all()
    assert (rates["fitted_low"] < rates["fitted"]).all()
    assert (rates["fitted"] < rates["fitted_high"]).all()
    for side in (0, 1):
        np.testing.assert_allclose(
            rates[side]["fitted"], known.A[side] * np.exp(-known.k[side] * known.depths), rtol=1e-12
        )
        np.testing.assert_allclose(rates[side]["count"] / 3600, rates[side]["observed"], rtol=0.01)


def test_the_table_is_readable_and_to_dict_is_json(known):
    text = repr(known)
    assert text.startswith(
        "Calibration of simulated market, seed 2 over 3,600 s by Poisson maximum likelihood"
    )
    for word in ("sigma", "A_bid", "k_ask", "ticks/√s", "1/tick", "95 % interval", "±"):
        assert word in text
        assert word in known._repr_html_()
    plain = json.loads(json.dumps(known.to_dict(), allow_nan=False))
    assert plain["sigma"] == known.sigma
    assert plain["bid"]["k"] == known.k[0]
    assert plain["settings"]["method"] == "poisson"
    assert [row[0] for row in known.table()] == ["sigma", "A_bid", "A_ask", "k_bid", "k_ask"]


def test_it_keeps_the_span_it_was_made_on(known):
    events = mm.SimulatedMarket(sigma=1.0, A=(1.0, 1.5), k=(0.5, 0.7), seed=2).events()
    assert (known.start_time, known.end_time) == (events.start_time, events.end_time)


@pytest.mark.parametrize("events", [sample(COUNTS), sample([50]), sample(FLAT), still(10)])
@pytest.mark.parametrize("method", ["poisson", "reach", "window"])
def test_the_picture_draws_whatever_was_found(events, method):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    axes = mm.calibrate(events, method).plot()
    axes.figure.canvas.draw()
    assert axes.get_xlabel() == "depth from the mid, ticks"
    plt.close(axes.figure)


def test_without_matplotlib_the_picture_names_the_extra(known, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtra, match=r"mmcore-quoting\[plot\]"):
        known.plot()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"method": "ols"}, "method must be one of 'poisson', 'reach', 'window', got 'ols'"),
        ({"sigma_interval": 0.0}, "sigma_interval must be"),
        ({"window": -1.0}, "window must be"),
        ({"level": 1.0}, "level must be"),
        ({"max_depth": 1.5}, "max_depth must be at least min_depth"),
        ({"min_depth": 5.0, "max_depth": 5.5}, "max_depth must be at least min_depth"),
        ({"errors": "none"}, "errors must be one of"),
        ({"max_depth": math.nan}, "max_depth must be"),
        ({"max_depth": 1e300}, "max_depth must be a finite number >= 1.5 and <= 1e+12 (ticks)"),
        ({"min_depth": 1e300}, "min_depth must be a finite number >= 0.5 and <= 1e+12 (ticks)"),
    ],
)
def test_a_wrong_option_is_refused_by_name(option, words):
    with pytest.raises(InvalidArgument, match=re.escape(words)):
        mm.calibrate(still(10), **option)


@pytest.mark.parametrize("option", [{"sigma_interval": 1e-9}, {"window": 1e-9, "method": "window"}])
def test_a_grid_without_end_is_refused_before_it_is_made(option):
    with pytest.raises(InvalidArgument, match="at least 5e-07 s: 20,000,000 steps in all"):
        mm.calibrate(still(10), **option)


def test_a_path_is_not_taken_for_events():
    with pytest.raises(
        InvalidArgument, match=r"events must be an mmcore.Events; mmcore.load\(path\) makes one"
    ):
        mm.calibrate("data/AMZN")


def test_each_option_is_described_once():
    import inspect

    signature = inspect.signature(mm.calibrate)
    assert [p.name for p in PARAMETERS] == list(signature.parameters)[1:]
    for parameter in PARAMETERS:
        assert signature.parameters[parameter.name].default == parameter.default
        assert parameter.doc


@pytest.mark.parametrize("method", ["poisson", "reach", "window"])
def test_a_feed_of_quotes_alone_is_said_to_have_no_trades(method):
    full = mm.SimulatedMarket(duration=600.0, seed=1).events()
    quotes = mm.Events(full.instrument, None, full.quotes)
    calibration = mm.calibrate(quotes, method=method)
    assert calibration.sigma is not None
    assert not calibration.identified
    assert calibration.notes[0].startswith("bid: not identified: this feed has no trades: ")
    assert calibration.bid.reason.startswith("this feed has no trades")
    with pytest.raises(NotIdentified, match="bid: this feed has no trades"):
        calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=10)
    assert "no trades" not in " ".join(mm.calibrate(full, method=method).notes)


def test_the_error_of_sigma_allows_for_volatility_that_stays():
    """A variance of mean 1 that is drawn anew every minute, for four hours: sigma is within its interval."""
    random = np.random.default_rng(4)
    runs, seconds, stays = 60, 14_400, 60
    within = 0
    for _ in range(runs):
        variance = np.repeat(random.gamma(1.0, 1.0, seconds // stays), stays)
        mid = 10**6 + np.cumsum(
            np.rint(20.0 * random.standard_normal(seconds) * np.sqrt(variance)).astype(int)
        )
        time = np.arange(seconds) * 10**9
        quotes = mm.Quotes(local_time=time, bid=mid - 1, ask=mid + 1)
        found = volatility(mm.Events(mm.Instrument("X", tick="1"), None, quotes))
        within += abs(math.log(found.sigma / 20.0)) < 1.96 * found.standard_error / found.sigma
    assert 0.83 * runs <= within  # 95 % less 2.6 % and four binomial standard errors; it was 57 %
