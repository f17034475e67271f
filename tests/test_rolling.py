"""Recalibrate: the window's estimates are calibrate's, however long it runs; live and replay are one."""

import ctypes
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.api import STRUCTS, address
from mmcore.errors import InvalidArgument, Unsupported
from mmcore.events import NO_ASK, NO_BID, Quotes, Trades

pytestmark = pytest.mark.compiled

S = 1_000_000_000
TICK = mm.Instrument("X", tick="1")


def market(rows, trades, end):
    """Events of quotes (time in ms, bid, ask) and trades (time in ms, price, side, stamp in ms, hidden)."""
    rows = [*rows, (end, *rows[-1][1:])]
    quotes = Quotes(
        local_time=[t * 1_000_000 for t, _, _ in rows],
        bid=[b for _, b, _ in rows],
        ask=[a for _, _, a in rows],
    )
    made = Trades(
        local_time=[t[0] * 1_000_000 for t in trades],
        exchange_time=[t[3] * 1_000_000 for t in trades],
        price=[t[1] for t in trades],
        size=[1] * len(trades),
        side=[t[2] for t in trades],
        flags=[t[4] for t in trades],
    )
    return mm.Events(TICK, None, quotes, made)


@st.composite
def markets(draw):
    """A market with wide and narrow, one-sided and crossed quotes, and orders of one or several trades."""
    random = draw(st.randoms(use_true_random=False))
    now, mid, rows, trades = 0, 1000, [(0, 999, 1001)], []
    for _ in range(draw(st.integers(20, 160))):
        now += random.choice([1, 7, 50, 400, 1000])
        if random.random() < 0.5:
            mid += random.choice([-2, -1, 0, 1, 2])
            half = random.choice([0, 1, 1, 1, 2, 3, 6])
            bid, ask = mid - half, mid + random.choice([0, 1, half])
            kind = random.random()
            if kind < 0.05:
                bid, ask = ask + 1, bid
            elif kind < 0.1:
                bid = NO_BID
            elif kind < 0.15:
                ask = NO_ASK
            rows.append((now, bid, ask))
        else:
            side = random.choice([-1, 1, 1, 0])
            stamp = now
            for _ in range(random.choice([1, 1, 2, 3])):
                reach = random.choice([0, 1, 2, 2, 3, 4, 5, 9])
                trades.append((now, mid + side * reach, side, stamp, int(random.random() < 0.05)))
                if random.random() < 0.3:
                    rows.append((now, mid - 1, mid + 1))
    return market(rows, trades, now + 1000)


def both(events, **options):
    """The window's estimate over all of the events, and calibrate's with the same range of depths."""
    span = int(events.end_time - events.start_time)
    window = Recalibrated(events, span, **options)
    found = mm.calibrate(
        events,
        min_depth=options["min_depth"],
        max_depth=options["max_depth"],
        sigma_interval=0.5,
        errors="independent",
    )
    return window, found


def Recalibrated(events, span, **options):
    every = span / S
    recalibrate = mm.Recalibrate(every, every, sigma_interval=0.5, **options)
    recalibrate.observe(events)
    return recalibrate.estimate(int(events.end_time))


def agree(estimate, found):
    row = estimate.record()
    sigma = found.volatility.sigma
    assert estimate.sigma == (None if sigma is None else pytest.approx(sigma, rel=1e-14))
    for side, fit in enumerate((found.bid, found.ask)):
        assert row["orders"][side] == fit.orders
        if fit.estimate is None or fit.orders < 12:  # of a handful the equation can have several solutions
            continue
        assert row["k"][side] == pytest.approx(fit.estimate[1], rel=1e-10)
        assert row["A"][side] == pytest.approx(fit.estimate[0], rel=1e-9)
        error_a = fit.estimate[0] * math.sqrt(fit.covariance[0, 0])
        assert row["A_error"][side] == pytest.approx(error_a, rel=1e-8)
        assert row["k_error"][side] == pytest.approx(math.sqrt(fit.covariance[1, 1]), rel=1e-8)
        assert row["covariance"][side] == pytest.approx(fit.estimate[0] * fit.covariance[0, 1], rel=1e-8)


@settings(max_examples=150, deadline=None)
@given(markets(), st.sampled_from([(1.0, 4.0), (0.5, 3.5), (1.5, 8.0), (2.0, 3.0)]))
def test_a_window_over_everything_says_what_calibrate_says(events, depths):
    agree(*both(events, min_depth=depths[0], max_depth=depths[1]))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(("A", "k"), [(1.0, 0.5), (4.0, 1.3), (20.0, 2.4), (300.0, 4.0)])
def test_long_samples_agree_too(A, k, pooled):
    events = mm.SimulatedMarket(sigma=1.0, A=A, k=k, duration=3600.0, seed=4).events()
    every = (events.end_time - events.start_time) / S
    recalibrate = mm.Recalibrate(
        every, every, sigma_interval=0.5, min_depth=1.0, max_depth=8.0, pooled=pooled
    )
    recalibrate.observe(events)
    row = recalibrate.estimate(int(events.end_time)).record()
    found = mm.calibrate(events, min_depth=1.0, max_depth=8.0, errors="independent")
    for side, fit in enumerate((found.pooled, found.pooled) if pooled else (found.bid, found.ask)):
        assert row["k"][side] == pytest.approx(fit.estimate[1], rel=1e-11)
        assert row["A"][side] == pytest.approx(fit.estimate[0], rel=1e-11)
        assert row["orders"][side] == fit.orders


@settings(max_examples=60, deadline=None)
@given(markets(), st.integers(1, 6), st.booleans())
def test_what_left_the_window_left_no_trace(events, buckets, jump):
    """After any history the window says what one says that saw the window's rows alone."""
    long = mm.Recalibrate(1.0, float(buckets), sigma_interval=0.5, max_depth=6.0)
    long.observe(events)
    at = -(-int(events.end_time) // S) * S
    if jump:  # silence, longer than the window
        at += 40 * S
    short = mm.Recalibrate(1.0, float(buckets), sigma_interval=0.5, max_depth=6.0)
    quote = [-1, NO_BID, NO_ASK]
    q, t = events.quotes, events.trades
    kinds, i, j = events.kind.tolist(), 0, 0
    begin, started = at - buckets * S, False
    for kind in [*kinds, None]:
        time = at if kind is None else int(q.local_time[i] if kind == 1 else t.local_time[j])
        if not started and time > begin:
            started = True
            if begin >= 0 and quote[0] >= 0:
                short.on_quote(max(begin, 0), *quote[1:])  # the state in which the window began
        if kind is None:
            break
        if kind == 1:
            if not (int(q.bid[i]) > int(q.ask[i])):
                quote = [time, int(q.bid[i]), int(q.ask[i])]
            if started:
                short.on_quote(time, int(q.bid[i]), int(q.ask[i]))
            i += 1
        else:
            if started:
                short.on_trade(
                    time,
                    int(t.price[j]),
                    int(t.side[j]),
                    exchange_time=int(t.exchange_time[j]),
                    hidden=bool(t.flags[j]),
                )
            j += 1
    a, b = long.estimate(at).record(), short.estimate(at).record()
    for name in ("orders", "seconds", "sigma"):
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    np.testing.assert_allclose(a["k"], b["k"], rtol=1e-12)
    np.testing.assert_allclose(a["A"], b["A"], rtol=1e-11)


def test_its_intervals_cover_the_truth():
    """Poisson orders: the errors between blocks are as wide as they must be, and no wider."""
    truth = {"sigma": 1.0, "A": (1.0, 1.0), "k": (0.5, 0.5)}
    off = {"sigma": [], "A": [], "k": []}
    for seed in range(60):
        events = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=900.0, seed=seed).events()
        recalibrate = mm.Recalibrate(9.0, 900.0, max_depth=8.0)
        recalibrate.observe(events)
        estimate = recalibrate.estimate(int(events.end_time))
        row = estimate.record()
        assert row["blocks"] >= 99
        for name in off:
            off[name] += np.atleast_1d((row[name] - truth[name]) / row[f"{name}_error"]).tolist()
    for name, scores in off.items():
        scores = np.array(scores)
        n = scores.size
        assert abs(scores.mean()) < 4 / math.sqrt(n), name
        assert 0.8 < scores.std() < 1.2, name  # 4 standard errors of a deviation from 120 scores: 0.26


def test_replay_and_a_live_loop_are_the_same():
    """The same rows, one by one in Python, give the same parameters, policies and quotes to the last bit."""
    events = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=240.0, seed=2).events()
    first, rest = events.split(0.5)
    model = mm.GueantLehalleFernandezTapia(sigma=2.0, A=0.5, k=0.8, gamma=0.01, q_max=10)
    seen = mm.Recalibrate(2.0, 60.0, 20.0, max_depth=8.0)
    seen.observe(first)
    result = mm.replay(rest, model, interval=1.0, recalibrate=seen)

    live, quoter = seen.copy(), mm.Quoter(model)
    q, t = rest.quotes, rest.trades
    i = j = 0
    decisions = result.decisions
    estimates, quotes = [], []
    kinds = rest.kind.tolist()
    rows = []
    for kind in kinds:
        rows.append((int(q.local_time[i]), "q", i) if kind == 1 else (int(t.local_time[j]), "t", j))
        i, j = i + (kind == 1), j + (kind == 2)
    at = 0
    for d in decisions:
        while at < len(rows) and rows[at][0] <= d["time"]:
            when, what, n = rows[at]
            if what == "q":
                live.on_quote(when, int(q.bid[n]), int(q.ask[n]))
            else:
                live.on_trade(when, int(t.price[n]), int(t.side[n]), exchange_time=int(t.exchange_time[n]))
            at += 1
        found = live.update(quoter, int(d["time"]))
        if found is not None:
            estimates.append(found.record())
        quotes.append(quoter.quote(d["reference"], d["inventory"], int(d["touch_bid"]), int(d["touch_ask"])))
    assert [(x.bid, x.ask) for x in quotes] == [
        (int(d["bid"]) if d["bid_size"] else None, int(d["ask"]) if d["ask_size"] else None)
        for d in decisions
    ]
    parameters = result.parameters
    assert len(parameters) >= 55
    assert (parameters["status"] == 0).all()
    assert len(estimates) == len(parameters)
    for row, estimate in zip(parameters, estimates, strict=True):
        for name in estimate.dtype.names:
            np.testing.assert_array_equal(row[name], estimate[name])
    assert quoter.version == parameters["version"][-1]


def test_the_future_does_not_change_past_parameters():
    events = mm.SimulatedMarket(duration=300.0, seed=5).events()
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=10)
    follow = mm.Recalibrate(1.0, 60.0, 10.0, max_depth=8.0)
    whole = mm.replay(events, model, recalibrate=follow)
    early, _ = events.split(0.5)
    part = mm.replay(early, model, recalibrate=follow)
    n = len(part.parameters)
    assert n > 100
    assert whole.parameters[:n].tobytes() == part.parameters.tobytes()
    m = len(part.decisions)
    assert whole.decisions[:m].tobytes() == part.decisions.tobytes()
    assert follow.time is None  # a replay goes on from a copy


def test_parameters_follow_a_market_that_changes():
    calm = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=900.0, seed=6)
    wild = mm.SimulatedMarket(sigma=3.0, A=2.0, k=0.25, duration=900.0, seed=7)
    a, b = calm.events(), wild.events()
    recalibrate = mm.Recalibrate(1.0, 300.0, max_depth=12.0)
    recalibrate.observe(a)
    before = recalibrate.estimate(int(a.end_time))
    shift = int(a.end_time) - int(b.start_time) + 1
    q, t = b.quotes, b.trades
    later = mm.Events(
        b.instrument,
        b.kind,
        Quotes(local_time=q.local_time + shift, bid=q.bid, ask=q.ask),
        Trades(local_time=t.local_time + shift, price=t.price, size=t.size, side=t.side, subtick=t.subtick),
    )
    recalibrate.observe(later)
    after = recalibrate.estimate(int(later.end_time))
    for estimate, market in ((before, calm), (after, wild)):
        assert abs(estimate.sigma - market.sigma) < 5 * estimate.sigma_error
        for k, error in zip(estimate.k, estimate.k_error, strict=True):
            assert abs(k - np.mean(market.k)) < 5 * error


def test_update_waits_for_the_warmup_and_for_its_turn():
    events = mm.SimulatedMarket(duration=120.0, seed=1).events()
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=10)
    quoter, recalibrate = mm.Quoter(model), mm.Recalibrate(10.0, 60.0, 30.0, max_depth=8.0)
    start = int(events.start_time)
    assert recalibrate.update(quoter, start) is None
    recalibrate.observe(events)
    now = int(events.end_time)
    assert recalibrate.update(quoter, now) is not None
    assert recalibrate.update(quoter, now + 1) is None
    assert quoter.version == 2
    # A window without trades identifies nothing: the parameters in force stay.
    found = recalibrate.update(quoter, now + 500 * S)
    assert found is not None
    assert not found.identified
    assert found.k == (None, None)
    assert quoter.version == 2


def test_a_copy_and_a_pickle_go_on_alike():
    events = mm.SimulatedMarket(duration=200.0, seed=1).events()
    first, rest = events.split(0.5)
    a = mm.Recalibrate(1.0, 60.0, max_depth=8.0)
    a.observe(first)
    b, c = a.copy(), pickle.loads(pickle.dumps(a))
    for each in (a, b, c):
        each.observe(rest)
    end = int(events.end_time)
    assert a.estimate(end) == b.estimate(end) == c.estimate(end)
    assert repr(c) == repr(a)


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 0.0},
        {"every": math.nan},
        {"every": "1"},
        {"every": 7.0, "window": 60.0},
        {"window": math.inf},
        {"warmup": 4000.0},
        {"warmup": 0.5},
        {"sigma_interval": -1.0},
        {"min_depth": 0.3},
        {"min_depth": 0.0},
        {"max_depth": 1.5},
        {"max_depth": 1e9},
        {"pooled": 1},
        {"every": 1e-6, "window": 1800.0},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InvalidArgument) as caught:
        mm.Recalibrate(**wrong)
    assert caught.value.argument in wrong


def test_wrong_rows_are_refused_and_change_nothing():
    recalibrate = mm.Recalibrate(1.0, 60.0)
    recalibrate.on_quote(5 * S, 99, 101)
    for call in (
        lambda: recalibrate.on_quote(4 * S, 99, 101),
        lambda: recalibrate.on_quote(-1, 99, 101),
        lambda: recalibrate.on_quote(6 * S, 2**62, 101),
        lambda: recalibrate.on_trade(4 * S, 99, -1),
        lambda: recalibrate.on_trade(6 * S, 99, 2),
        lambda: recalibrate.on_trade(6 * S, 99, 1, subtick=-1),
        lambda: recalibrate.estimate(4 * S),
    ):
        with pytest.raises(InvalidArgument):
            call()
    for call in (
        lambda: recalibrate.on_quote(6.0, 99, 101),
        lambda: recalibrate.on_quote(6 * S, 99.5, 101),
        lambda: recalibrate.on_trade(6 * S, None, 1),
    ):
        with pytest.raises(TypeError):
            call()
    assert recalibrate.time == 5 * S
    assert recalibrate.estimate(5 * S).identified is False


@pytest.mark.parametrize("time", [2**62, -(2**61)])
def test_in_c_times_end_where_differences_would(time):
    def kernel(name, result, *arguments):
        return ctypes.CFUNCTYPE(result, *arguments)(address(f"mm_rolling_{name}"))

    i64, at = ctypes.c_int64, ctypes.c_void_p
    window = (ctypes.c_uint64 * (STRUCTS["mm_rolling"] // 8))()
    settings = (i64 * 7)(2**61 // 11 - 1, 10, 2**61 - 1, 2**61 - 1, 2, 8, 0)
    words = (i64 * kernel("words", i64, at)(ctypes.byref(settings)))()
    assert kernel("init", ctypes.c_int, at, at, at)(ctypes.byref(window), ctypes.byref(settings), words) == 0
    quote = kernel("quote", ctypes.c_int, at, i64, i64, i64)
    trade = kernel("trade", ctypes.c_int, at, i64, i64, i64, ctypes.c_int32, ctypes.c_int32, ctypes.c_uint8)
    estimate = kernel("estimate", ctypes.c_int, at, i64, at)
    found = (ctypes.c_uint8 * STRUCTS["mm_estimate"])()
    beyond, w = time + (1 if time > 0 else -1), ctypes.byref(window)

    def refused():
        before = bytes(window), bytes(words)
        for wrong in (beyond, 2**63 - 1, -(2**63)):
            assert (
                quote(w, wrong, 99, 101) == trade(w, 0, wrong, 99, 0, 1, 0) == estimate(w, wrong, found) == -1
            )
        assert (bytes(window), bytes(words)) == before

    refused()
    assert quote(w, -(2**61), 99, 101) == quote(w, time, 99, 102) == 0
    assert trade(w, 0, time, 2**63 - 1, 0, 1, 0) == trade(w, 1, time, -(2**63), 0, -1, 0) == 0
    assert estimate(w, time, found) == 0
    refused()


def test_what_cannot_follow_says_why():
    events = mm.SimulatedMarket(duration=100.0, seed=1).events()
    follow = mm.Recalibrate(1.0, 60.0)
    with pytest.raises(Unsupported):
        mm.replay(events, mm.Affine(base=1.0), recalibrate=follow)
    with pytest.raises(Unsupported):
        follow.observe(events), follow.update(mm.Quoter(mm.Affine(base=1.0)), int(events.end_time))
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=10)
    with pytest.raises(InvalidArgument, match="look ahead"):
        mm.replay(events, model, recalibrate=follow)  # it has seen these events
    with pytest.raises(InvalidArgument, match="recalibrate"):
        mm.replay(events, model, recalibrate=60.0)


def test_a_horizon_counts_down_while_parameters_follow():
    events = mm.SimulatedMarket(duration=120.0, seed=1).events()
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.05, q_max=5, horizon=200.0)
    result = mm.replay(events, model, recalibrate=mm.Recalibrate(10.0, 60.0, 20.0), time_left=50.0)
    last = result.parameters[-1]
    then = model.replace(sigma=last["sigma"], A=tuple(last["A"]), k=tuple(last["k"]))
    d = result.decisions[-1]
    bid, ask = then.depths(d["inventory"], 50.0)
    assert d["bid"] == min(math.floor(d["reference"] - bid), d["touch_ask"] - 1)
    assert d["ask"] == max(math.ceil(d["reference"] + ask), d["touch_bid"] + 1)
