"""Laws of calibration that hold for every market, and brute-force oracles in exact fractions."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.calibration import volatility
from mmcore.calibration.intensity import at_least, order_statistic
from mmcore.calibration.market import Blocks, MarketOrders, Mids, Tally
from mmcore.events import HIDDEN, NO_ASK, NO_BID, QUOTE, SUBTICKS

ANY = mm.Instrument("XYZ", tick="0.01", negative_prices=True)
SECOND = 1_000_000_000
METHODS = st.sampled_from(["poisson", "reach", "window"])


@st.composite
def rows(draw):
    """Return rows of a feed: (time, "q", bid, ask) or (time, "t", price, subtick, side, stamp, flags)."""
    seed, size = draw(st.integers(0, 2**32)), draw(st.integers(0, 120))
    dirty, fast, wide = draw(st.booleans()), draw(st.booleans()), draw(st.integers(1, 8))
    rng = np.random.default_rng(seed)
    time, mid2, found = 0, 2000, []
    for _ in range(size):
        time += int(rng.integers(0, 3 if fast else 10)) * (SECOND // 4)
        if rng.random() < 0.5:
            mid2 += int(rng.integers(-3, 4))
            spread = int(rng.integers(0, wide)) * 2 + mid2 % 2
            bid, ask = (mid2 - spread) // 2, (mid2 + spread) // 2
            if dirty and rng.random() < 0.1:
                bid, ask = [(NO_BID, ask), (bid, NO_ASK), (NO_BID, NO_ASK), (ask + 1, bid)][rng.integers(4)]
            found.append((time, "q", bid, ask))
        else:
            side = int(rng.choice([-1, 1] if not dirty else [-1, 0, 1]))
            price = mid2 // 2 + (side or 1) * int(rng.geometric(0.2))
            below = int(rng.integers(SUBTICKS)) if dirty and rng.random() < 0.2 else 0
            flags = HIDDEN if dirty and rng.random() < 0.2 else 0
            found.append((time, "t", price, below, side, time // SECOND, flags))
    return found


def events(feed, *, price=lambda p, s: (p, s), swap=False, slow=1):
    """Make the table; `price` maps (tick, subtick), `swap` exchanges the sides, `slow` stretches time."""

    def side(value, absent):
        return value if value == absent else price(value, 0)[0]

    quotes, trades, kind = [], [], []
    for time, what, *rest in feed:
        kind.append(1 if what == "q" else 2)
        if what == "q":
            bid, ask = rest
            if swap:
                bid, ask = (NO_BID if ask == NO_ASK else -ask), (NO_ASK if bid == NO_BID else -bid)
            quotes.append((time * slow, side(bid, NO_BID), side(ask, NO_ASK)))
        else:
            at, below, way, stamp, flags = rest
            if swap:
                at, below, way = (-at, 0, -way) if not below else (-at - 1, SUBTICKS - below, -way)
            trades.append((time * slow, *price(at, below), way, stamp * slow, flags))
    q = np.array(quotes, dtype=np.int64).reshape(-1, 3).T
    t = np.array(trades, dtype=np.int64).reshape(-1, 6).T
    return mm.Events(
        ANY,
        np.array(kind, dtype=np.uint8),
        mm.Quotes(local_time=q[0], bid=q[1], ask=q[2]),
        mm.Trades(
            local_time=t[0], price=t[1], subtick=t[2], side=t[3], exchange_time=t[4], flags=t[5],
            size=np.ones(t.shape[1], np.int64),
        ),
    )  # fmt: skip


def brute_mid(feed, until):
    """Mid after `until` rows: crossed rows skipped, None where a side is absent."""
    mid = None
    for _, what, *rest in feed[:until]:
        if what == "q":
            bid, ask = rest
            if bid == NO_BID or ask == NO_ASK:
                mid = None
            elif bid <= ask:
                mid = Fraction(bid + ask, 2)
    return mid


def brute_orders(feed):
    """D1 in words, row by row: [side, reach] of every market order with a mid before it."""
    found, current = [], None
    for i, (_, what, *rest) in enumerate(feed):
        if what == "q":
            continue
        at, below, side, stamp, flags = rest
        if flags & HIDDEN:
            continue
        price = at + Fraction(below, SUBTICKS)
        if current is not None and current[:2] == [stamp, side]:
            current[2] = max(current[2], side * price)
        else:
            current = [stamp, side, side * price, brute_mid(feed, i)]
            found.append(current)
    return [(side, extreme - side * mid) for _, side, extreme, mid in found if side and mid is not None]


def brute_time(feed):
    """Time in which a mid is defined, ns."""
    stamps = [time for time, what, *_ in feed if what == "q"]
    total, place = 0, [i for i, row in enumerate(feed) if row[1] == "q"]
    for i, t0, t1 in zip(place, stamps, stamps[1:], strict=False):
        total += (t1 - t0) * (brute_mid(feed, i + 1) is not None)
    return total


@given(rows())
def test_reach_is_what_its_definition_says(feed):
    calibration = mm.calibrate(events(feed), "reach")
    orders = brute_orders(feed)
    seconds = brute_time(feed) / 1e9
    for fit, way in ((calibration.bid, -1), (calibration.ask, 1)):
        expected = [sum(side == way and reach >= d for side, reach in orders) for d in range(1, 11)]
        assert fit.counts.tolist() == expected
        assert fit.exposure == seconds or not seconds
    assert calibration.sample["at_or_inside_mid"] == sum(reach <= 0 for _, reach in orders)


def brute_depths(feed, way, depth):
    """Orders seen to reach a depth, and the ns in which it lay at or behind the touch, on the grid."""
    stops, current, seconds, count = [], None, 0, 0
    quotes = [i for i, row in enumerate(feed) if row[1] == "q"]

    def touch(until):  # of the last good two-sided quote: half spread and mid
        found = None
        for _, what, *rest in feed[:until]:
            if what == "q":
                bid, ask = rest
                if bid == NO_BID or ask == NO_ASK:
                    found = None
                elif bid <= ask:
                    found = Fraction(ask - bid, 2), Fraction(bid + ask, 2)
        return found

    def shows(state):
        return state is not None and state[0] <= depth and (depth - state[0]).denominator == 1

    for here, after in itertools.pairwise(quotes):
        seconds += (feed[after][0] - feed[here][0]) * shows(touch(here + 1))
    for i, (_, what, *rest) in enumerate(feed):
        if what == "q" or rest[4] & HIDDEN:
            continue
        price = rest[0] + Fraction(rest[1], SUBTICKS)
        if current is None or current[:2] != (rest[3], rest[2]):
            current = (rest[3], rest[2])
            stops.append([rest[2], price, touch(i)])
        elif rest[2] * price > rest[2] * stops[-1][1]:
            stops[-1][1] = price
    for side, price, state in stops:
        count += side == way and shows(state) and side * (price - state[1]) >= depth
    return count, seconds


@given(rows())
def test_rates_behind_the_touch_are_what_their_definition_says(feed):
    calibration = mm.calibrate(events(feed), min_depth=0.5)
    for fit, way in ((calibration.bid, -1), (calibration.ask, 1)):
        expected = [brute_depths(feed, way, Fraction(d)) for d in fit.depths]
        assert fit.counts.tolist() == [count for count, _ in expected]
        np.testing.assert_allclose(fit.rates, [n / (ns / 1e9) for n, ns in expected], rtol=1e-14)


@given(rows(), st.sampled_from([0.5, 1.0, 2.0]))
def test_windows_are_what_their_definition_says(feed, window):
    calibration = mm.calibrate(events(feed), "window", window=window)
    stamps = [time for time, what, *_ in feed if what == "q"]
    step = int(window * SECOND)
    cells = (stamps[-1] - stamps[0]) // step if stamps else 0
    counts, windows = np.zeros((2, 10), int), 0
    for g in (stamps[0] + j * step for j in range(cells)):
        mid = brute_mid(feed, sum(row[0] <= g for row in feed))
        if mid is None:
            continue
        windows += 1
        prices = [
            row[2] + Fraction(row[3], SUBTICKS)
            for row in feed
            if row[1] == "t" and g < row[0] <= g + step and not row[6] & HIDDEN
        ]
        for d in range(1, 11):
            counts[0, d - 1] += any(p < mid - d for p in prices)
            counts[1, d - 1] += any(p > mid + d for p in prices)
    assert calibration.sample["windows"] == windows
    assert calibration.bid.counts.tolist() == counts[0].tolist()
    assert calibration.ask.counts.tolist() == counts[1].tolist()


@given(rows(), st.sampled_from([0.25, 1.0, 3.0]))
def test_sigma_is_what_its_definition_says(feed, interval):
    stamps = [time for time, what, *_ in feed if what == "q"]
    step = int(interval * SECOND)
    grid = [stamps[0] + j * step for j in range((stamps[-1] - stamps[0]) // step + 1)] if stamps else []
    mids = [brute_mid(feed, sum(row[0] <= g for row in feed)) for g in grid]
    moves = [b - a for a, b in itertools.pairwise(mids) if a is not None and b is not None]
    measured = volatility(events(feed), interval)
    assert measured.increments == len(moves)
    if not any(moves):
        assert measured.sigma is None
    else:
        square = sum(move**2 for move in moves) / (Fraction(interval) * len(moves))
        assert measured.sigma == math.sqrt(square)


def numbers(calibration):
    """Return everything estimated, with absent values as NaN."""
    values = [calibration.sigma]
    for fit in (calibration.bid, calibration.ask, calibration.pooled):
        values += [fit.A, fit.k, *(fit.estimate or (None, None)), *fit.standard_errors]
    return np.array([math.nan if v is None else v for v in values])


@given(rows(), METHODS)
def test_exchanging_the_sides_exchanges_the_numbers_exactly(feed, method):
    straight = mm.calibrate(events(feed), method)
    mirrored = mm.calibrate(events(feed, swap=True), method)
    assert straight.sigma == mirrored.sigma
    for one, other in (
        (straight.bid, mirrored.ask),
        (straight.ask, mirrored.bid),
        (straight.pooled, mirrored.pooled),
    ):
        assert one.counts.tolist() == other.counts.tolist()
        assert (one.A, one.k, one.estimate, one.reason) == (other.A, other.k, other.estimate, other.reason)
        assert one.standard_errors == other.standard_errors


@given(rows(), METHODS, st.sampled_from([2, 4, 16]))
def test_a_slower_clock_scales_rates_alone(feed, method, slow):
    fast = mm.calibrate(events(feed), method)
    slowed = mm.calibrate(events(feed, slow=slow), method, sigma_interval=slow, window=slow)
    a, b = numbers(fast), numbers(slowed)
    unit = np.array([math.sqrt(slow), *([slow, 1, slow, 1, slow, 1] * 3)])
    np.testing.assert_allclose(b * unit, a, rtol=1e-13)
    assert fast.bid.counts.tolist() == slowed.bid.counts.tolist()


@given(rows(), st.integers(2, 9))
def test_a_finer_tick_scales_volatility_and_depths(feed, fine):
    def finer(tick, below):
        whole, rest = divmod(below * fine, SUBTICKS)
        return tick * fine + whole, rest

    coarse, scaled = events(feed), events(feed, price=finer)
    a, b = volatility(coarse).sigma, volatility(scaled).sigma
    assert (a is None) == (b is None)
    if a is not None:
        np.testing.assert_allclose(b, a * fine, rtol=1e-15)
    for method in ("reach", "window"):
        wide = mm.calibrate(scaled, method, max_depth=10 * fine)
        narrow = mm.calibrate(coarse, method)
        assert wide.bid.counts[fine - 1 :: fine].tolist() == narrow.bid.counts.tolist()


@given(rows(), st.integers(-(10**9), 10**9), METHODS)
def test_the_level_of_prices_does_not_matter(feed, shift, method):
    at = mm.calibrate(events(feed), method)
    moved = mm.calibrate(events(feed, price=lambda tick, below: (tick + 2 * shift, below)), method)
    np.testing.assert_array_equal(numbers(at), numbers(moved))


@given(rows(), METHODS, st.sampled_from([None, 3.0, 10.0]))
def test_no_number_is_zero_negative_or_infinite(feed, method, deepest):
    """What is not identified is None with a reason, never 0, -0.0, NaN or a number beside its interval."""
    calibration = mm.calibrate(events(feed), method, max_depth=deepest)
    assert calibration.sigma is None or 0 < calibration.sigma < math.inf
    for fit in (calibration.bid, calibration.ask, calibration.pooled):
        assert (fit.A is None) == (fit.k is None) == (not fit.identified) == (fit.reason is not None)
        if fit.identified:
            assert 0 < fit.A < math.inf
            assert 0 < fit.k < math.inf
            assert 1 / fit.k <= calibration.settings["max_depth"]
    for name, interval in calibration.intervals().items():
        if interval is not None:
            low, high = interval
            assert 0 < low <= high < math.inf, name
    assert calibration.identified == all(
        v is not None for v in (calibration.sigma, *calibration.A, *calibration.k)
    )
    assert repr(calibration)
    calibration.to_dict()


@given(rows())
def test_a_repeated_quote_changes_nothing(feed):
    doubled = [row for row in feed for _ in range(2 if row[1] == "q" else 1)]
    for method in ("poisson", "reach", "window"):
        once, twice = mm.calibrate(events(feed), method), mm.calibrate(events(doubled), method)
        np.testing.assert_array_equal(numbers(once), numbers(twice))


def test_the_oracle_sees_orders():
    """Guard the guards: the strategy above does make orders that reach, windows that are hit and dirt."""
    feed = [(0, "q", 10, 12), (1, "t", 14, 0, 1, 0, 0), (1, "t", 13, 5, 1, 0, 0), (2, "t", 9, 0, -1, 0, 0)]
    assert brute_orders(feed) == [(1, 3), (-1, 2)]
    assert events(feed).kind.tolist() == [QUOTE, 2, 2, 2]


def everything(calibration):
    """All that a calibration found, to the bit."""
    fits = [
        {
            name: value.tobytes() if isinstance(value, np.ndarray) else value
            for name, value in vars(fit).items()
        }
        for fit in (calibration.bid, calibration.ask, calibration.pooled)
    ]
    return repr((fits, calibration.volatility, calibration.notes, calibration.sample, calibration.settings))


@given(rows(), METHODS, st.integers(1, 30))
def test_no_number_depends_on_how_the_table_is_read(feed, method, piece):
    table = events(feed)
    whole = everything(mm.calibrate(table, method))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        assert everything(mm.calibrate(table, method)) == whole


@pytest.mark.parametrize("method", ["poisson", "reach", "window"])
def test_no_error_by_clusters_depends_on_how_the_table_is_read(method, monkeypatch):
    table = mm.SimulatedMarket(duration=1200.0, seed=4).events()
    whole = mm.calibrate(table, method)
    assert whole.settings["errors"] == "clustered"
    monkeypatch.setattr("mmcore.events._ROWS", 997)
    assert everything(mm.calibrate(table, method)) == everything(whole)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9), st.sampled_from([NO_BID, 8, 9, 10]), st.sampled_from([9, 10, 13, NO_ASK])
        ),
        min_size=1,
        max_size=25,
    ),
    st.integers(1, 5),
    st.integers(1, 7),
)
def test_time_with_a_mid_is_cut_as_a_clock_would_that_ticks_every_ns(steps, count, piece):
    time = np.cumsum([wait for wait, *_ in steps])
    quotes = mm.Quotes(time, [bid for _, bid, _ in steps], [ask for *_, ask in steps])
    spreads = []  # of each ns with a mid, and when it was
    for now in range(int(time[0]), int(time[-1])):
        known = [(b, a) for t, (_, b, a) in zip(time, steps, strict=True) if t <= now and b <= a]
        if known and known[-1][0] != NO_BID and known[-1][1] != NO_ASK:
            spreads.append((now, known[-1][1] - known[-1][0]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        mids = Mids.of(mm.Events(ANY, None, quotes))
        blocks = Blocks.of(mids, count)
    assert mids.open_time == len(spreads)
    each = len(spreads) // count
    held = np.round(blocks.seconds * 1e9).astype(int)
    for block in range(count):
        mine = spreads[block * each : (block + 1) * each if block < count - 1 else None]
        expected = Counter(spread for _, spread in mine)
        if each:
            assert {
                s: n for s, n in zip(mids.held[0].tolist(), held[block].tolist(), strict=True) if n
            } == expected
    if each:  # a block begins where the one before it has had its part
        assert blocks.times.tolist() == [spreads[block * each - 1][0] + 1 for block in range(1, count)]


@given(rows(), st.integers(1, 9))
def test_orders_are_counted_once_however_they_are_cut(feed, piece):
    table = events(feed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        found = MarketOrders.of(table, Mids.of(table))
    expected = Counter((side, math.floor(2 * reach)) for side, reach in brute_orders(feed))
    counted = Counter()
    for side, reach, count in zip(
        found.side.tolist(), found.reach.tolist(), found.count.tolist(), strict=True
    ):
        counted[side, reach] += count
    assert counted == expected


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 5)), max_size=40),
    st.integers(1, 9),
)
def test_a_tally_sums_by_key(rows, size):
    tally = Tally(2)
    for start in range(0, len(rows), size):
        a, b, amount = np.array(rows[start : start + size], dtype=np.int64).T
        tally.add((a, b), amount)
        tally._more = 1 << 20 if start % 2 else 0  # joined now and then
    expected = Counter()
    for *key, amount in rows:
        expected[tuple(key)] += amount
    a, b, amount = (column.tolist() for column in tally.sums())
    assert list(zip(zip(a, b, strict=True), amount, strict=True)) == sorted(expected.items())


@given(
    st.lists(st.tuples(st.integers(-9, 9), st.integers(1, 5)), min_size=1, max_size=20),
    st.floats(0.0, 1.0),
    st.lists(st.integers(-10, 10), max_size=5),
)
def test_order_statistics_of_counts_are_those_of_the_values(pairs, probability, levels):
    values, count = np.array(pairs).T
    every = np.repeat(values, count)
    assert order_statistic(values, count, probability) == np.quantile(every, probability, method="higher")
    found = at_least(values, count, np.array(levels, dtype=np.int64))
    assert found.tolist() == [int((every >= level).sum()) for level in levels]
