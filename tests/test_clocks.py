"""The clock's line against a linear program, brute force in fractions, and clocks that are known."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog

import mmcore as mm
from mmcore import clocks
from mmcore.errors import InvalidArgument, NotIdentified, OutOfBounds
from mmcore.events import QUOTE, TRADE
from mmcore.feeds import merge

STOCK = mm.Instrument("XYZ", tick="0.01")
S = 1_000_000_000
LIMIT = Fraction(500, 10**6)


def table(local, exchange, kind=None, clock="local"):
    """Return a table of quotes, and of trades where `kind` says so."""
    local, exchange = np.asarray(local), np.asarray(exchange)
    kind = np.full(len(local), QUOTE, dtype=np.uint8) if kind is None else np.asarray(kind, dtype=np.uint8)
    q, t = kind == QUOTE, kind == TRADE
    quotes = mm.Quotes(local[q], np.full(q.sum(), 99), np.full(q.sum(), 101), exchange_time=exchange[q])
    trades = mm.Trades(local[t], np.full(t.sum(), 100), np.ones(t.sum(), int), exchange_time=exchange[t])
    return mm.Events(STOCK, kind, quotes, trades, source={"clock": clock})


def simulated(seed, n=3000, offset=-1_270_000_000, ppm=35, seconds=600.0):
    """Return stamps of a clock that is known, with delays of 2 ms and more."""
    rng = np.random.default_rng(seed)
    true = np.sort(rng.integers(0, int(seconds * S), n)) + 1_723_161_255 * S
    delay = 2_000_000 + rng.exponential(3e6, n).astype(np.int64)
    arrival = np.maximum.accumulate(true + delay)
    return true, arrival + offset + (arrival - arrival[0]) * ppm // 10**6


# ---- the line


def objective(x, y, slope):
    """Return the sum of the heights above the highest line of this slope below all points."""
    gaps = [Fraction(b) - slope * a for a, b in zip(x, y, strict=True)]
    return sum(gaps) - len(gaps) * min(gaps)


small = st.lists(st.tuples(st.integers(0, 50), st.integers(-20, 20)), min_size=1, max_size=12)


@given(small, st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(2), Fraction(99)]))
def test_no_line_below_the_points_is_closer(points, largest):
    """Against every slope that two of the points have: exact, ties included."""
    points.sort()
    x, y = np.array(points).T
    at, rise, run = clocks._below(x - x[0], y, largest)
    slope = Fraction(rise, run)
    assert abs(slope) <= largest
    heights = [Fraction(int(b - y[at])) - slope * int(a - x[at]) for a, b in points]
    assert min(heights) == 0
    slopes = {Fraction(d - b, c - a) for a, b in points for c, d in points if c > a} | {Fraction(0)}
    allowed = [s for s in slopes if abs(s) <= largest] + [largest, -largest]
    best = min(objective(x.tolist(), y.tolist(), s) for s in allowed)
    assert objective(x.tolist(), y.tolist(), slope) == best
    equal = [s for s in allowed if objective(x.tolist(), y.tolist(), s) == best]
    assert abs(slope) == min(map(abs, equal))  # the flattest of the best


@pytest.mark.parametrize("seed", range(5))
def test_the_line_is_the_linear_programs(seed):
    exchange, local = simulated(seed, ppm=[-400, -3, 0, 7, 450][seed])
    (segment,) = clocks.estimate(exchange, local).segments
    x, y = (local - local[0]) / S, (local - exchange) / S
    # the highest line at the mean that lies below every point
    found = linprog(
        [-x.mean(), -1], A_ub=np.column_stack([x, np.ones_like(x)]), b_ub=y, bounds=[(None, None)] * 2
    )
    assert found.status == 0
    assert segment.skew == pytest.approx(1e6 * found.x[0], abs=1e-6)
    assert segment.offset == pytest.approx(S * found.x[1], abs=2)


@pytest.mark.parametrize("ppm", [-120, 0, 35])
def test_a_clock_that_is_known_is_found(ppm):
    """The least delay of 2 ms is part of the offset; the delays' excess has a mean of 3 ms over 3000 rows."""
    errors = []
    for seed in range(20):
        exchange, local = simulated(seed, ppm=ppm)
        (segment,) = clocks.estimate(exchange, local).segments
        errors.append(segment.skew - ppm / (1 + ppm / 1e6))  # per second of the local clock
        assert abs(segment.offset - (-1_270_000_000 + 2_000_000)) < 100_000
    # The envelope misses the floor by about 3 ms/3000 = 1 µs where rows are dense; over 600 s that is
    # 0.01 ppm. Unbiased: the mean over 20 markets is within four standard errors of 0.
    assert np.max(np.abs(errors)) < 0.5
    assert abs(np.mean(errors)) < 4 * np.std(errors, ddof=1) / np.sqrt(20)


def test_the_skew_is_bounded_and_may_be_left_out():
    exchange, local = simulated(1, ppm=700)
    assert clocks.estimate(exchange, local).segments[0].skew == 500.0
    assert clocks.estimate(exchange, local, max_skew=1000.0).segments[0].skew == pytest.approx(700, abs=1)
    (flat,) = clocks.estimate(exchange, local, max_skew=0).segments
    assert (flat.skew, flat.offset) == (0.0, int((local - exchange).min()))


@given(
    st.lists(st.integers(-(2**53) + 1, 2**53 - 1), min_size=1, max_size=20),
    st.integers(-(2**53), 2**53),
    st.integers(1, 2**53 - 1),
)
def test_multiples_are_exact(x, rise, run):
    assume(abs(rise) < run)
    quotient, rest = clocks._multiples(np.array(x, dtype=np.int64), rise, run)
    assert [divmod(value * rise, run) for value in x] == list(
        zip(quotient.tolist(), rest.tolist(), strict=True)
    )


def test_blocks_change_nothing(monkeypatch):
    exchange, local = simulated(4, n=500)
    whole = clocks.estimate(exchange, local)
    monkeypatch.setattr(clocks, "_BLOCK", 7)
    assert clocks.estimate(exchange, local) == whole


# ---- steps


@pytest.mark.parametrize("jump", [-S, -150_000_000, 150_000_000, 37 * S])
@pytest.mark.parametrize("at", [1, 400, 2999])
def test_a_step_of_our_clock_is_found_at_its_row(jump, at):
    exchange, local = simulated(2)
    stepped = local.copy()
    stepped[at:] += jump
    fell = bool(stepped[at] < stepped[at - 1])
    clock = clocks.estimate(exchange, stepped)
    if (jump > 0 and at == 2999) or (jump < 0 and at == 1 and not fell):
        # One row that came late is no step; one that came too early is.
        assert len(clock.segments) == 1
        return
    first, second = clock.segments
    assert (first.start, first.stop, second.start, second.stop) == (0, at, at, 3000)
    assert abs(second.step - jump) < 20_000_000
    assert second.stepped == ("local" if fell else None)
    assert (clock.correct(stepped) >= exchange).all()


def test_a_second_that_the_exchange_repeats_is_a_step():
    """Its clock shows 23:59:59 twice at a leap second; ours counts on."""
    exchange, local = simulated(3, offset=0, ppm=0, seconds=60.0)
    at = 1500
    exchange = exchange.copy()
    exchange[at:] -= S
    first, second = clocks.estimate(exchange, local).segments
    assert (second.start, second.stepped) == (at, "exchange")
    assert second.step == pytest.approx(S, abs=1_000_000)
    assert first.skew == pytest.approx(0, abs=1)


def test_long_delays_in_a_few_rows_are_no_step():
    exchange, local = simulated(5)
    late = local.copy()
    late[1000:1020] += 300_000_000
    late = np.maximum.accumulate(late)
    assert len(clocks.estimate(exchange, late).segments) == 1


def test_rows_out_of_order_by_less_than_a_step_are_counted():
    exchange, local = simulated(6, seconds=6.0)
    mixed = local.copy()
    mixed[10], mixed[11] = local[11], local[10] - 1
    clock = clocks.estimate(exchange, mixed)
    assert (len(clock.segments), clock.out_of_order) == (1, 1)


# ---- the correction


rows = st.lists(
    st.tuples(st.integers(0, 10**12), st.integers(-(10**10), 10**10), st.booleans()), min_size=1, max_size=30
)


@given(rows, st.integers(0, 10**7), st.sampled_from([0.0, 20.0, 500.0]), st.sampled_from([10**6, 10**9]))
def test_a_correction_keeps_the_order_and_leaves_nothing_negative(found, delay, max_skew, step):
    found.sort(key=lambda row: row[0])
    local = np.array([row[0] for row in found])
    exchange = local - np.array([row[1] for row in found])
    kind = [TRADE if row[2] else QUOTE for row in found]
    events = table(local, exchange, kind)
    own = local != exchange
    if not own.any():
        with pytest.raises(NotIdentified):
            clocks.correct(events)
        return
    corrected, report = clocks.correct(events, minimum_delay=delay, max_skew=max_skew, step=step)
    assert corrected.kind.tolist() == kind
    now = np.empty(len(local), dtype=np.int64)
    theirs = now.copy()
    for which, part in ((QUOTE, corrected.quotes), (TRADE, corrected.trades)):
        now[np.array(kind) == which] = part.local_time
        theirs[np.array(kind) == which] = part.exchange_time
    assert (np.diff(now) >= 0).all()
    assert (now[own] >= exchange[own] + delay).all()
    assert (theirs[own] == exchange[own]).all()
    assert (theirs[~own] == now[~own]).all()
    assert report.negative_before == np.count_nonzero(local < exchange)
    assert report.negative_after == 0
    assert abs(report.largest_change) == np.abs(now - local).max()
    if report.held == 0:  # the least delay of each segment is what it is said to be
        for segment in report.clock.segments:
            part = slice(segment.start, segment.stop)
            assert (now[part] - exchange[part])[own[part]].min() == delay


def test_a_table_that_is_corrected_says_so_and_is_not_corrected_again():
    exchange, local = simulated(7)
    corrected, report = clocks.correct(table(local, exchange))
    assert corrected.source["clock"] == "corrected"
    assert corrected.source["clock_correction"] == report.to_dict()
    assert report.to_dict()["clock"]["segments"][0]["skew"] == report.clock.segments[0].skew
    assert str(report) == corrected.clock_note
    assert "offset -1.268 s, skew +34.996 ppm" in corrected.clock_note
    with pytest.raises(InvalidArgument, match="corrected already"):
        clocks.correct(corrected)


def test_a_corrected_table_is_saved_with_its_report(tmp_path):
    exchange, local = simulated(8, n=50)
    corrected, report = clocks.correct(table(local, exchange))
    corrected.save(tmp_path / "corrected.events")
    assert mm.Events.load(tmp_path / "corrected.events").source["clock_correction"] == report.to_dict()


def test_one_market_seen_through_two_clocks_is_one_after_correction():
    """Two captures of one exchange; each event comes to both with its own delay."""
    exchange, local = simulated(9, offset=-1_270_000_000, ppm=-6)
    _, other = simulated(9, offset=4 * S, ppm=200)
    both = merge(table(local, exchange), table(other, exchange), clock="corrected")
    assert both.source["clock"] == "corrected"
    late = both.quotes.local_time - both.quotes.exchange_time
    assert late.min() == 0
    assert late.max() < 60_000_000
    # Of trades by the exchange's stamps alone: known when they happened, never before the quotes' clock.
    theirs = table(exchange[:5], exchange[:5], [TRADE] * 5, clock="exchange")
    mixed = merge(table(local, exchange), theirs, clock="corrected")
    assert mixed.trades.local_time.tolist() == exchange[:5].tolist()


def test_local_stamps_alone_cannot_be_corrected():
    ours = table([1, 2], [1, 2])
    with pytest.raises(NotIdentified, match="no row has two stamps"):
        merge(ours, table([1], [1], clock="exchange"), clock="corrected")
    nothing = mm.Events(STOCK, None, source={"clock": "local"})
    assert len(merge(nothing, table([5], [6]), clock="corrected")) == 1


@pytest.mark.parametrize(
    ("exchange", "local", "error", "what"),
    [
        ([1], [2, 3], InvalidArgument, "exchange_time must be as long as local_time"),
        ([1.5], [2], InvalidArgument, "exchange_time must be an array of integers"),
        ([1_723_161_255], [1_723_161_255 * S], InvalidArgument, r"\[0\] must be within 104 days .* in ns\?"),
        ([-(2**63)], [2**63 - 1], InvalidArgument, r"\[0\] must be within 104 days"),
        ([0, 2**53], [1, 2**53 + 1], OutOfBounds, "estimate shorter spans"),
        ([], [], NotIdentified, "no row has two stamps"),
    ],
)
def test_stamps_that_are_no_pair_of_clocks_are_refused(exchange, local, error, what):
    with pytest.raises(error, match=what):
        clocks.estimate(exchange, local)


@pytest.mark.parametrize(
    ("name", "value"), [("max_skew", -1.0), ("max_skew", float("nan")), ("step", 0), ("minimum_delay", -1)]
)
def test_arguments_outside_their_range_are_refused_by_name(name, value):
    with pytest.raises(InvalidArgument, match=name):
        clocks.correct(table([1, 2], [2, 3]), **{name: value})
    with pytest.raises(InvalidArgument, match="events must be Events"):
        clocks.correct([1, 2])


def test_the_offset_of_a_segment_at_other_stamps():
    (segment,) = clocks.estimate([0, 100 * S], [S, 101 * S + 1000]).segments
    assert segment.offsets([S, 51 * S, 101 * S, 201 * S]).tolist() == [S, S + 499, S + 999, S + 1999]
    with pytest.raises(InvalidArgument, match=r"local_time\[0\] must be within 104 days"):
        segment.offsets([2**60])


@pytest.mark.realdata
@pytest.mark.parametrize("symbol", ["ethusdt", "btcusdt"])
def test_a_real_capture_behind_by_1_27_s(shared, symbol):
    """The linear program's line; the two captures are of one machine and agree on its clock."""
    events = mm.load(shared / f"data/binance_usdm/{symbol}_20240808.gz", cache=False)
    corrected, report = clocks.correct(events)
    (segment,) = report.clock.segments
    parts = (events.quotes, events.trades)
    local = np.concatenate([part.local_time for part in parts])
    exchange = np.concatenate([part.exchange_time for part in parts])
    x, y = (local - local.min()) / S, (local - exchange) / S
    found = linprog(
        [-x.mean(), -1], A_ub=np.column_stack([x, np.ones_like(x)]), b_ub=y, bounds=[(None, None)] * 2
    )
    assert segment.skew == pytest.approx(1e6 * found.x[0], abs=1e-5)
    assert segment.offset == pytest.approx(S * found.x[1], abs=2)
    assert -1.275e9 < segment.offset < -1.265e9
    assert -6.5 < segment.skew < -5.0
    assert (report.negative_before, report.negative_after) == (len(events), 0)
    assert report.held == 0
    delays = np.concatenate([p.local_time - p.exchange_time for p in (corrected.quotes, corrected.trades)])
    assert delays.min() == 0
    assert np.median(delays) < 5_000_000  # against -1.269 s before
