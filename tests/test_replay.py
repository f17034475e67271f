"""The replay loop: what fills when, what is known when, and what is refused."""

import copy
import pickle
import threading
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import CapacityError, InvalidArgument, NotIdentified, OutOfBounds, UnknownName, Unsupported
from mmcore.events import HIDDEN, NO_ASK, NO_BID, Events, Quotes, Trades
from mmcore.matching import DECISION, FILL_CONTEXT, Matching
from mmcore.replaying import REPLAY_PARAMETERS, RUN_PARAMETERS, default_gamma

pytestmark = pytest.mark.compiled

S = 1_000_000_000
STOCK = mm.Instrument("XYZ", tick="0.01")
ONE_TICK = mm.Affine(base=1.0, q_max=10)  # bid at 99, ask at 101 where the mid is 100


def trade(seconds, price, size=1, subtick=0, flags=0):
    return round(seconds * S), price, size, subtick, flags


def market(quotes, trades=(), instrument=STOCK):
    """Events from (second, bid, ask), None for an absent side, and rows of trade()."""
    q = np.array(
        [(round(t * S), NO_BID if b is None else b, NO_ASK if a is None else a) for t, b, a in quotes],
        dtype=np.int64,
    )
    t = np.array(trades, dtype=np.int64).reshape(len(trades), 5)
    return Events(
        instrument,
        None,
        Quotes(q[:, 0], q[:, 1], q[:, 2]),
        Trades(t[:, 0], t[:, 1], t[:, 2], subtick=t[:, 3], flags=t[:, 4]),
    )


def calm(*trades, until=10):
    """Ten seconds of a market that stays at 98 to 102."""
    return market([(0, 98, 102), (until, 98, 102)], trades)


def filled(events, quoter=ONE_TICK, **settings):
    """Return (second, quantity, price) of the fills."""
    fills = mm.replay(events, quoter, **settings).fills
    return [(int(f["receive_time"]) / S, int(f["qty"]), int(f["price"])) for f in fills]


# ---- when


def test_a_trade_at_the_stamp_of_a_decision_belongs_to_the_window_before():
    assert filled(calm(trade(0, 90), trade(5, 90)), interval=5.0) == [(5.0, 1, 99)]


def test_a_filled_side_stays_empty_until_the_next_decision():
    events = calm(trade(1, 90), trade(2, 90), trade(6, 90))
    assert filled(events, interval=5.0) == [(1.0, 1, 99), (6.0, 1, 99)]


def test_no_order_fills_before_it_is_live_nor_at_that_very_stamp():
    events = calm(trade(0.5, 90), trade(0.75, 90), trade(0.8, 90))
    assert filled(events, interval=10.0, latency=0.75) == [(0.8, 1, 99)]


def test_the_old_order_stands_until_the_new_one_is_live():
    events = market([(0, 98, 102), (1, 96, 100), (4, 96, 100)], [trade(1.2, 98), trade(1.8, 98)])
    # decided at 0 and 1: bid 99, then 97. With half a second on the way the old bid stands until 1.5.
    assert filled(events, interval=1.0, latency=0.5) == [(1.2, 1, 99)]
    assert filled(events, interval=1.0) == []


def test_a_side_in_flight_is_lost_when_the_order_it_replaces_is_filled():
    events = market([(0, 98, 102), (5, 98, 102)], [trade(1.2, 90), trade(1.8, 90), trade(2.8, 90)])
    # decided at 1, in flight until 1.5: its bid replaces an order that is gone at 1.2
    result = mm.replay(events, ONE_TICK, interval=1.0, latency=0.5)
    assert result.fills["receive_time"].tolist() == [1.2 * S, 2.8 * S]
    assert result.decisions["lost"].tolist() == [0, 1, 0, 0, 0]


def test_the_position_limit_holds_though_quotes_are_in_flight_when_fills_come():
    events = market([(0, 98, 102), (20, 98, 102)], [trade(0.05 + 0.1 * i, 90) for i in range(190)])
    quoter = mm.Affine(base=1.0, q_max=3)
    for latency in (0.0, 0.04, 0.3, 1.0, 5.0):
        result = mm.replay(events, quoter, interval=0.1, latency=latency)
        assert result.fill_context["inventory"].tolist()[-1] == 3
        assert result.fill_context["inventory"].max() == 3


def test_only_whole_windows_are_traded_and_the_rest_is_marked_at_the_last_mid():
    events = market([(0, 98, 102), (9, 108, 112)], [trade(3.5, 90), trade(8.5, 90)])
    result = mm.replay(events, ONE_TICK, interval=4.0)
    assert result.decisions["time"].tolist() == [0, 4 * S]
    assert result.totals.end_time == 8 * S
    assert result.fills["receive_time"].tolist() == [3.5 * S]
    assert result.attribution.total == Decimal("0.11")  # bought at 99, worth 110


def test_interval_zero_decides_after_every_quote_but_those_of_the_last_stamp():
    events = market([(0, 98, 102), (1, 99, 103), (1, 97, 101), (3, 97, 101), (3, 96, 100)], [trade(2, 90)])
    result = mm.replay(events, ONE_TICK, interval=0.0)
    assert result.decisions["time"].tolist() == [0, S, S]
    assert result.decisions["bid"].tolist() == [99, 100, 98]
    assert result.fills["price"].tolist() == [98]


# ---- what fills


@pytest.mark.parametrize(
    ("price", "subtick", "through", "touch"),
    [
        (98, 999_999, [1], [1]),  # a hair below our bid
        (99, 0, [], [1]),
        (99, 1, [], []),
        (100, 0, [], []),
        (100, 999_999, [], []),
        (101, 0, [], [-1]),
        (101, 1, [-1], [-1]),  # a hair above our ask
        (102, 0, [-1], [-1]),
    ],
)
def test_through_means_strictly_beyond_to_the_millionth_of_a_tick(price, subtick, through, touch):
    events = calm(trade(1, price, subtick=subtick))
    assert [qty for _, qty, _ in filled(events)] == through
    assert [qty for _, qty, _ in filled(events, fill="touch")] == touch


def test_a_trade_at_our_price_fills_up_to_its_size_and_one_beyond_it_fills_all():
    quoter = mm.Affine(base=1.0, q_max=10, order_size=5)
    events = calm(trade(1, 99, 2), trade(2, 99, 9), trade(3, 99, 9), trade(4, 102, 1))
    assert filled(events, quoter, interval=10.0, fill="touch") == [(1.0, 2, 99), (2.0, 3, 99), (4.0, -5, 101)]
    assert filled(events, quoter, interval=10.0) == [(4.0, -5, 101)]


def test_hidden_executions_fill_only_when_asked_to():
    events = calm(trade(1, 90, flags=HIDDEN))
    assert filled(events) == []
    assert filled(events, hidden=True) == [(1.0, 1, 99)]


# ---- what is known


def test_the_price_is_what_the_last_quote_says_rounded_outwards():
    events = market([(0, 98, 101), (0.5, 98, 103), (3, 98, 102)])
    d = mm.replay(events, mm.Affine(base=1.2, q_max=1)).decisions
    assert d["reference"].tolist() == [99.5, 100.5, 100.5]
    assert d["bid"].tolist() == [98, 99, 99]
    assert d["ask"].tolist() == [101, 102, 102]


def test_the_weighted_mid_leans_to_the_thinner_side():
    quotes = Quotes([0, 2 * S], [98, 98], [102, 102], [30, 30], [10, 10])
    events = Events(STOCK, None, quotes)
    d = mm.replay(events, ONE_TICK, reference="weighted").decisions
    assert d["reference"].tolist() == [101.0, 101.0]


def test_a_one_sided_market_is_not_quoted_and_the_report_says_why():
    events = market([(0, 98, 102), (1, None, 102), (3, 98, 102), (4, 98, 102)])
    result = mm.replay(events, ONE_TICK)
    assert result.decisions["bid_size"].tolist() == [1, 0, 0, 1]
    assert result.decisions["bid"].tolist() == [99, NO_BID, NO_BID, 99]
    assert np.isnan(result.decisions["reference"][1])
    assert result.presence.none == 0.5
    assert result.presence.reasons == {"the reference price is not finite": 0.5}


def test_crossed_quotes_are_refused_counted_and_the_last_good_one_kept():
    events = market([(0, 98, 102), (0.5, 105, 101), (2, 98, 102)])
    result = mm.replay(events, ONE_TICK)
    assert result.totals.crossed == 1
    assert result.decisions["bid"].tolist() == [99, 99]


def test_a_finite_horizon_counts_down_to_the_end_of_quoting():
    policy = mm.Affine(base=1.0, base_rate=1.0, q_max=10, horizon=4.0, stationary=False)
    events = market([(0, 98, 102), (5.5, 98, 102)])
    result = mm.replay(events, policy)
    assert result.decisions["bid"].tolist() == [NO_BID, 95, 96, 97, 98]
    assert result.presence.bid_reasons == {"the time left exceeds the policy's horizon": 0.2}
    fixed = mm.replay(events, policy, time_left=2.0)
    assert set(fixed.decisions["bid"].tolist()) == {97}


def test_the_exchange_clock_plays_no_part():
    quotes = Quotes([0, 5 * S, 10 * S], [98, 98, 98], [102, 102, 102], exchange_time=[9 * S, 2 * S, 0])
    trades = Trades([1 * S, 6 * S], [90, 110], 1, exchange_time=[99 * S, -7 * S])
    result = mm.replay(Events(STOCK, None, quotes, trades), ONE_TICK, interval=5.0)
    assert result.fills["receive_time"].tolist() == [1 * S, 6 * S]
    assert result.fills["time"].tolist() == [99 * S, -7 * S]  # kept as a record


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_on_binance_the_stamps_of_the_exchange_change_nothing(shared):
    """Trap 1: local stamps are 1.27 s behind; whoever mixes the clocks sees the future."""
    events = mm.load(shared / "data" / "binance_usdm" / "ethusdt_20240808.gz")
    assert np.median(events.trades.exchange_time - events.trades.local_time) > S
    q, t = events.quotes, events.trades
    noise = np.random.default_rng(1).integers(-5 * S, 5 * S, len(t))
    other = Events(
        events.instrument,
        events.kind,
        Quotes(q.local_time, q.bid, q.ask, q.bid_size, q.ask_size),
        Trades(t.local_time, t.price, t.size, side=t.side, exchange_time=t.exchange_time + noise),
    )
    policy = mm.Affine(base=1.0, q_max=10)
    a, b = (mm.replay(e, policy, interval=0.1, latency=0.005) for e in (events, other))
    assert len(a.fills) > 100
    np.testing.assert_array_equal(a.decisions, b.decisions)
    np.testing.assert_array_equal(a.fills["receive_time"], b.fills["receive_time"])
    np.testing.assert_array_equal(a.fill_context, b.fill_context)


# ---- money


@pytest.mark.parametrize("rate", ["0.0002", "-0.00005", "0.000123456789"])
def test_fees_are_the_exact_rate_of_the_notional_rounded_half_to_even(rate):
    coin = mm.Instrument("BTC", tick="0.1", lot="0.001", currency=mm.Currency("USDT", unit="0.000001"))
    events = market(
        [(0, 616_998, 617_002), (9, 616_998, 617_002)],
        [trade(1, 616_000), trade(2, 618_000), trade(3, 616_000)],
        coin,
    )
    quoter = mm.Affine(base=1.0, q_max=21, order_size=7)
    result = mm.replay(events, quoter, maker_fee=rate)
    assert len(result.fills) == 3
    for fill in result.fills:
        notional = Fraction(abs(int(fill["qty"]) * int(fill["price"]))) * Fraction("0.0001")
        assert int(fill["fee"]) == round(notional * Fraction(rate) / Fraction("0.000001"))
    assert result.totals.fees == int(result.fills["fee"].sum())
    assert -result.attribution.fees == coin.currency.amount(result.totals.fees)


def test_a_float_rate_counts_as_the_decimal_it_prints_as():
    events = calm(trade(1, 90))
    results = [mm.replay(events, ONE_TICK, maker_fee=fee) for fee in (0.0002, "0.0002", Decimal("0.0002"))]
    assert {int(r.fills["fee"][0]) for r in results} == {99 * 2 * 100}  # 0.99 USD · 0.0002 in 1e-8 USD


def test_messages_count_sides_whose_price_or_size_changes():
    events = market([(0, 98, 102), (2, 99, 103), (6, 99, 103)], [trade(3.5, 90)])
    result = mm.replay(events, ONE_TICK)
    # at 0 both sides; at 3 both move (the quote of second 2 is known to the decision at 2: so at 2);
    # at 4 the filled bid is placed again
    assert result.totals.messages == (3, 2)
    assert result.messages == 5


# ---- no look ahead, parameters included


def test_nothing_before_a_moment_depends_on_what_comes_after_it():
    events = mm.SimulatedMarket(duration=600.0, seed=5).events()
    cut = events.start_time + 300 * S
    rng = np.random.default_rng(7)
    head, tail = events.between(None, cut), events.between(cut, None)
    n = len(tail.trades)
    keep = rng.random(n) < 0.5
    q, t = tail.quotes, tail.trades
    late = np.concatenate([np.sort(rng.integers(cut, events.end_time, len(q) - 1)), q.local_time[-1:]])
    changed = Events(
        events.instrument,
        None,
        Quotes(
            *(
                np.concatenate(pair)
                for pair in (
                    (head.quotes.local_time, late),
                    (head.quotes.bid, q.bid + 40),
                    (head.quotes.ask, q.ask + 40),
                    (head.quotes.bid_size, q.bid_size),
                    (head.quotes.ask_size, q.ask_size),
                )
            )
        ),
        Trades(
            *(
                np.concatenate(pair)
                for pair in (
                    (head.trades.local_time, t.local_time[keep]),
                    (head.trades.price, t.price[keep] - 30),
                    (head.trades.size, t.size[keep]),
                    (head.trades.side, -t.side[keep]),
                    (head.trades.subtick, t.subtick[keep]),
                )
            )
        ),
        name=events.name,
    )
    assert changed.start_time == events.start_time
    assert changed.end_time == events.end_time
    for latency, interval in ((0.0, 1.0), (0.3, 0.25), (0.05, 0.0)):
        a, b = (mm.run(e, latency=latency, interval=interval) for e in (events, changed))
        assert repr(a.model) == repr(b.model)
        assert a.calibration.to_dict() == b.calibration.to_dict()
        past = [r.decisions[r.decisions["time"] < cut] for r in (a, b)]
        assert len(past[0]) > 100
        np.testing.assert_array_equal(*past)
        fills = [r.fills[r.fills["receive_time"] < cut] for r in (a, b)]
        assert len(fills[0]) > 10
        np.testing.assert_array_equal(*fills)
        paths = [r.pnl_path["total"][: len(p)] for r, p in zip((a, b), past, strict=True)]
        np.testing.assert_array_equal(*paths)
        assert len(a.fills) != len(b.fills)


# ---- the whole job


@pytest.fixture(scope="module")
def simulated():
    return mm.SimulatedMarket(duration=900.0, seed=3).events()


def test_run_calibrates_on_the_first_part_and_replays_the_rest(simulated):
    result = mm.run(simulated)
    assert result.sample == "out-of-sample"
    cut = simulated.start_time + (simulated.end_time - simulated.start_time) // 4
    assert result.calibration.end_time < cut <= result.decisions["time"][0]
    assert result.calibration.to_dict() == mm.calibrate(simulated.split(0.25)[0]).to_dict()
    assert result.attribution.unexplained == 0
    assert result.optimistic.fill == "touch"
    assert result.optimistic.optimistic is None
    assert len(result.optimistic.fills) >= len(result.fills)
    assert "out-of-sample" in repr(result)
    assert result.settings["model"] == "GueantLehalleFernandezTapia"


def test_run_on_the_span_of_its_calibration_is_labelled_in_sample(simulated):
    result = mm.run(simulated, train=1.0)
    assert result.sample == "in-sample"
    assert "in-sample" in repr(result)
    assert "in-sample" in result._repr_html_()
    assert result.summary()["sample"] == "in-sample"


def test_run_with_given_parameters_calibrates_nothing_and_replays_everything(simulated):
    result = mm.run(simulated, sigma=2.0, A=0.5, k=0.3, gamma=0.001)
    assert result.sample == "fixed parameters"
    assert result.calibration is None
    assert result.totals.first_time == simulated.quotes.local_time[0]
    assert (result.model.sigma, result.model.gamma) == (2.0, 0.001)


@pytest.mark.parametrize("name", ["GueantLehalleFernandezTapia", "CarteaJaimungal", "AvellanedaStoikov"])
@pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning")
def test_run_takes_every_model_by_name(simulated, name):
    result = mm.run(simulated, model=name)
    assert type(result.model).__name__ == name
    assert len(result.fills) > 10
    assert np.abs(result.fill_context["inventory"]).max() <= 10


def test_run_passes_the_models_own_parameters_and_the_fee(simulated):
    result = mm.run(simulated, model="CarteaJaimungal", parameters={"running_penalty": 0.01})
    assert result.model.running_penalty == 0.01
    with_fee = mm.run(simulated, maker_fee="-0.0001")
    before = simulated.split(0.25)[0]
    fee = pytest.approx(-0.0001 * before.mid2[-1] / 2, rel=1e-12)
    assert tuple(with_fee.model.fee) == (fee, fee)


def test_run_says_what_the_data_do_not_identify():
    quiet = market([(t, 98, 102) for t in range(100)])
    with pytest.raises(NotIdentified, match="sigma, A and k yourself"):
        mm.run(quiet)


def test_the_default_gamma_holds_the_inventory_at_a_quarter_of_its_limit():
    """Oracle: detailed balance of the fill rates of the model's own depths."""
    for sigma, a, k, q_max, size in ((2.0, 0.5, 0.3, 10, 1), (0.3, 0.9, 0.3, 30, 5), (30.0, 0.7, 0.1, 10, 2)):
        gamma = default_gamma(sigma, a, k, q_max, size)
        model = mm.GueantLehalleFernandezTapia(
            sigma=sigma, A=a, k=k, gamma=gamma, q_max=q_max, order_size=size
        )
        levels = np.arange(-q_max, q_max + 1, size)
        law = [1.0]
        for q in levels[:-1]:
            up = np.exp(-k * model.depths(q)[0])
            down = np.exp(-k * model.depths(q + size)[1])
            law.append(law[-1] * up / down)
        law = np.array(law) / sum(law)
        assert np.sqrt(law @ levels**2) == pytest.approx(q_max / 4, rel=1e-8)


# ---- how it runs


def test_progress_is_told_and_may_stop_the_replay(simulated):
    seen = []
    mm.run(simulated, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mm.replay(simulated, ONE_TICK, progress=stop)


def test_the_logs_grow_as_they_must():
    n = 20_000
    trades = [trade(0.5 + i, 90 if i % 2 else 110) for i in range(n)]
    result = mm.replay(calm(*trades, until=n + 1), ONE_TICK, interval=1.0)
    assert len(result.fills) == n
    assert len(result.decisions) == n + 1
    assert result.totals.net == 0
    assert result.attribution.total == STOCK.money(n)  # one tick each


@pytest.mark.parametrize(
    ("stamp", "lost"),
    [
        (10.6, [9, 10]),  # 8 is live since 10.5
        (18.6, [17]),  # 18 is not live before the end
        (19.6, []),
    ],
)
def test_a_record_of_the_log_stands_for_decisions_that_share_their_fate(stamp, lost):
    quotes = [(0.25 * i, 98, 102) for i in range(81)]
    result = mm.replay(market(quotes, [trade(stamp, 90)]), ONE_TICK, interval=1.0, latency=2.5)
    d = result.decisions
    assert d["time"].tolist() == [i * S for i in range(20)]
    assert (d["live_time"] - d["time"] == 2.5 * S).all()
    assert np.flatnonzero(d["lost"]).tolist() == lost
    assert set(d["lost"][lost].tolist()) <= {1}
    assert (d["inventory"] == (d["time"] > stamp * S)).all()
    assert result.fill_context["decision"].tolist() == [int(stamp - 2.5)]


def test_what_repeats_the_touch_takes_no_record():
    n = 5000
    quotes = [(0.01 * i, 98 + i // 1000, 102 + i // 1000) for i in range(n)]
    events = market(quotes, [trade(7.005, 90), trade(31.005, 120)])
    span = {"first": 0, "last": 49 * S, "end": 50 * S, "time_left": np.inf, "expiry": 0, "fee": (0, 1)}
    rules = {"touch": False, "weighted": False, "hidden": False}
    matching = Matching(events, mm.Quoter(ONE_TICK), interval=S // 100, latency=0, **span, **rules)
    for stop in range(0, len(events) + 333, 333):
        matching.run(stop)
    log = matching.finish()[0]
    assert len(log) == len(log.array()) == 4901
    assert log.numbers.tolist() == [0, 701, 1000, 2000, 3000, 3101, 4000]


def test_threads_may_replay_the_same_events_and_quoter(simulated):
    quoter = mm.Quoter(ONE_TICK, simulated.instrument)
    found = [None] * 4

    def work(i):
        found[i] = mm.replay(simulated, quoter, interval=0.1)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in found[1:]:
        np.testing.assert_array_equal(found[0].decisions, result.decisions)


def test_the_records_are_read_only_and_laid_out_as_the_header_says():
    assert (DECISION.itemsize, FILL_CONTEXT.itemsize) == (112, 56)
    result = mm.replay(calm(trade(1, 90)), ONE_TICK)
    for array in (result.decisions, result.fills, result.fill_context):
        with pytest.raises(ValueError, match="read-only"):
            array["price" if "price" in array.dtype.names else array.dtype.names[0]][0] = 1


# ---- what is refused


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("interval", -1.0),
        ("interval", float("nan")),
        ("interval", float("inf")),
        ("interval", 1e-10),
        ("interval", "1"),
        ("interval", 11.0),  # longer than the data
        ("latency", -0.001),
        ("latency", 1e10),
        ("fill", "maybe"),
        ("maker_fee", "a lot"),
        ("maker_fee", "nan"),
        ("maker_fee", 0.5),
        ("maker_fee", None),
        ("reference", "last"),
        ("hidden", 1),
        ("time_left", -1.0),
        ("time_left", float("nan")),
        ("events", "events"),
    ],
)
def test_a_wrong_argument_is_named_with_what_is_allowed(argument, value):
    arguments = {"events": calm(), "quoter": ONE_TICK} | {argument: value}
    with pytest.raises(InvalidArgument) as caught:
        mm.replay(**arguments)
    assert caught.value.argument == argument
    assert caught.value.allowed in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("train", 0.0),
        ("train", 1.5),
        ("q_max", 0),
        ("order_size", 3),
        ("gamma", -1.0),
        ("k", 0.0),
        ("A", (1.0,)),
    ],
)
def test_run_refuses_a_wrong_argument_by_name(simulated, argument, value):
    with pytest.raises(InvalidArgument) as caught:
        mm.run(simulated, **{argument: value})
    assert caught.value.argument in (argument, "q_max")


def test_an_unknown_model_is_told_the_known_ones(simulated):
    with pytest.raises(UnknownName, match="GueantLehalleFernandezTapia"):
        mm.run(simulated, model="Gueant")


def test_markets_that_cannot_be_replayed_are_refused():
    with pytest.raises(InvalidArgument, match="no quote with both sides"):
        mm.replay(market([(0, 98, None), (1, None, 102)]), ONE_TICK)
    with pytest.raises(CapacityError, match="interval"):
        mm.replay(calm(until=1000), ONE_TICK, interval=1e-6)
    other = mm.Quoter(ONE_TICK, mm.Instrument("XYZ", tick="0.05"))
    with pytest.raises(InvalidArgument, match="tick"):
        mm.replay(calm(), other)


def test_a_policy_that_crosses_the_spread_is_refused_by_name():
    policy = mm.Table([1.0] * 3, [1.0] * 3, q_max=1, take=[1, 0, -1])
    assert mm.replay(calm(), policy).totals.net == 0  # flat: it never wants to cross
    with pytest.raises(Unsupported, match="cross the spread"):
        mm.replay(calm(trade(1, 90)), policy)


def test_money_beyond_the_exact_arithmetic_is_refused_not_wrapped():
    high = 2**60 - 8
    events = market([(0, high, high + 4), (2, high, high + 4)])
    with pytest.raises(OutOfBounds, match="row 0"):
        mm.replay(events, ONE_TICK)


def test_parameters_are_described_once_and_their_defaults_are_the_functions():
    import inspect

    for function, described in (
        (mm.replay, REPLAY_PARAMETERS),
        (mm.run, (*REPLAY_PARAMETERS, *RUN_PARAMETERS)),
    ):
        signature = inspect.signature(function).parameters
        for parameter in described:
            assert signature[parameter.name].default == parameter.default, parameter.name
            assert parameter.doc


# ---- where the parameters come from


def labelled(calibrated_on, replayed):
    model = mm.calibrate(calibrated_on).model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=10)
    return mm.replay(replayed, mm.Quoter(model, replayed.instrument))


def test_a_replay_knows_what_its_model_had_seen_of_the_market(simulated):
    first, rest = simulated.split(0.5)
    before = labelled(first, rest)
    assert before.sample == "out-of-sample"
    assert before.model.calibration is before.calibration
    assert before.calibration.end_time < before.totals.first_time
    assert before.sample_note not in before.notes
    assert "before this span" in before.sample_note

    same = labelled(rest, rest)
    assert same.sample == "in-sample"
    assert "on this same span" in same.notes[0]
    overlapping = labelled(simulated.split(0.6)[0], rest)
    assert overlapping.sample == "in-sample"
    assert "overlaps" in overlapping.notes[0]
    after = labelled(rest, first)
    assert after.sample == "in-sample"
    assert "later data" in after.notes[0]
    assert "looked ahead" in after.notes[0]


def test_a_calibration_that_ends_with_the_first_decision_had_seen_nothing_of_what_follows():
    events = market([(i, 99 + i % 2, 101 + i % 2) for i in range(41)])
    calibration = mm.calibrate(events.between(None, 20 * S + 1))
    model = calibration.model(mm.GueantLehalleFernandezTapia, A=1.0, k=0.5, gamma=0.01, q_max=5)
    rest = events.between(20 * S, None)
    assert calibration.end_time == rest.start_time
    assert mm.replay(rest, model).sample == "out-of-sample"
    assert mm.replay(events.between(19 * S, None), model).sample == "in-sample"


def test_parameters_of_unknown_origin_are_called_just_that(simulated):
    first, rest = simulated.split(0.5)
    model = mm.calibrate(first).model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=10)
    other = mm.Instrument("other", tick=simulated.instrument.tick)
    elsewhere = mm.Events(other, rest.kind, rest.quotes, rest.trades)
    for events, quoter in (
        (rest, mm.Affine(base=2.0, q_max=10)),
        (rest, mm.Quoter(model.policy(), rest.instrument)),
        (rest, mm.GueantLehalleFernandezTapia(**model.parameters)),
        (elsewhere, model),
    ):
        result = mm.replay(events, quoter)
        assert result.sample == "fixed parameters"
        assert result.calibration is None
        assert result.sample_note == "The parameters were given; where they come from is not known here."


def test_a_model_keeps_its_calibration_but_is_equal_to_one_with_the_same_numbers(simulated):
    calibration = mm.calibrate(simulated)
    model = calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=10)
    twin = mm.GueantLehalleFernandezTapia(**model.parameters)
    assert twin.calibration is None
    assert (model == twin, hash(model) == hash(twin), repr(model) == repr(twin)) == (True, True, True)
    assert model.replace(gamma=0.002).calibration is calibration
    assert model.replace(sigma=9.0).calibration is calibration
    assert model.replace(sigma=9.0, A=1.0, k=0.5).calibration is None
    assert calibration.model(type(model), sigma=9.0, A=1.0, k=0.5, gamma=0.001, q_max=10).calibration is None
    assert pickle.loads(pickle.dumps(model)).calibration.to_dict() == calibration.to_dict()
    quoter = mm.Quoter(model, simulated.instrument)
    assert quoter.model is model
    assert copy.copy(quoter).model == model
    assert mm.Quoter(model.policy()).model is None


def test_a_gamma_that_nothing_reads_is_refused():
    events = mm.SimulatedMarket(duration=120, seed=1).events()
    with pytest.raises(InvalidArgument, match=r"gamma must be left out where running_penalty is given"):
        mm.run(events, model="CarteaJaimungal", gamma=5.0, parameters={"running_penalty": 0.004})
