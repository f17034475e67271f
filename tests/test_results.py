"""The numbers of a result, each against an independent computation."""

import json
import math
import re
import tracemalloc
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument
from mmcore.events import NO_ASK, Events, Quotes, Trades
from mmcore.matching import DECISION, FILL_CONTEXT, DecisionLog
from mmcore.results import FEW, HORIZONS, Attribution, Presence, Result, Totals

S = 1_000_000_000
STOCK = mm.Instrument("XYZ", tick="0.01")


@pytest.fixture(scope="module")
def simulated():
    """A replay of 40 minutes with latency, fees and partial fills."""
    events = mm.SimulatedMarket(duration=2400.0, seed=11).events()
    return mm.run(events, latency=0.1, interval=0.5, maker_fee="0.00001", order_size=2, fill="touch", q_max=8)


def made(events, fills, *, end, first=0):
    """Build a Result from (ns, qty, price) fills, without a replay: the statistics see nothing else."""
    records = np.zeros(len(fills), dtype=mm.FILL)
    context = np.zeros(len(fills), dtype=FILL_CONTEXT)
    for i, (time, qty, price) in enumerate(fills):
        records[i]["time"] = records[i]["receive_time"] = time
        records[i]["qty"], records[i]["price"] = qty, price
    context["inventory"] = np.cumsum(records["qty"])
    totals = Totals(
        first_time=first, end_time=end, last_time=end, cash=0, net=int(records["qty"].sum()), mid2=0,
        spread2=0, revaluation2=0, fees=0, bought=0, sold=0, messages=(0, 0), crossed=0,
    )  # fmt: skip
    return Result(
        events=events,
        quoter=None,
        settings={"interval": 1.0, "fill": "through"},
        decisions=np.zeros(0, dtype=DECISION),
        fills=records,
        fill_context=context,
        totals=totals,
    )


def quotes_of(times, mid2):
    mid2 = np.asarray(mid2)
    return Events(STOCK, None, Quotes(np.asarray(times), mid2 // 2 - 1, mid2 - mid2 // 2 + 1))


# ---- memory


def test_decisions_are_counted_without_being_spelt_out_and_then_kept_once():
    events = quotes_of([0, 9 * S], [200, 202])
    result = mm.replay(events, mm.Affine(base=1.5, q_max=5), interval=0.001)
    log = result._decided
    assert isinstance(log, DecisionLog)
    assert len(log) > 8000 > 100 * len(log.records)
    assert result.summary()["decisions"] == len(log)
    assert len(result.decisions) == len(log)
    assert result.decisions is result._decided  # the log is let go


# ---- money


def test_attribution_adds_up_and_speaks(simulated):
    a = simulated.attribution
    assert a.spread + a.inventory + a.fees + a.unexplained == a.total
    assert a.unexplained == 0
    assert a.fees < 0
    book = mm.Book([simulated.instrument])
    book.apply(simulated.fills)  # the records are those of the book
    position, t = book[simulated.instrument.name], simulated.totals
    assert (t.net, t.bought, t.sold) == (position.net, position.bought, position.sold)
    cash = sum(-int(f["qty"]) * int(f["price"]) for f in simulated.fills)
    assert (t.cash, t.fees) == (cash, int(simulated.fills["fee"].sum()))
    assert str(a).endswith("unexplained 0.00 USD")


MONEY = r"[+-]?(?:\d{1,3}(?:,\d{3})*|\d+)\.(?:\d\d|\d+[1-9])"
"""Two decimals, or more that do not end with zeros; no exponent."""


def test_money_has_one_form_in_every_view(simulated):
    """The texts of an amount differ in sign, grouping and column only."""
    a, c = simulated.attribution, simulated.instrument.currency.name
    parts = (a.spread, a.inventory, a.fees, a.total, a.unexplained)
    again = json.loads(json.dumps(simulated.summary()))
    texts = [again["pnl"][name] for name in ("spread", "inventory", "fees", "total", "unexplained")]
    assert [Decimal(text) for text in texts] == list(parts)
    for row in again["by_period"]["rows"]:
        texts += [text for name, text in row["pnl"].items() if name != "currency"]
    texts.append(again["drawdown"])
    said = re.findall(rf"(\S+) {c}\b", repr(simulated))
    assert [Decimal(text.replace(",", "")) for text in said[:5]] == list(parts)
    table = str(simulated.by_hour(None)).splitlines()[1:]
    texts += said + [cell for line in table for cell in line.split()[1:5]]
    compared = mm.compare(simulated, simulated)
    texts += [*re.findall(rf"(\S+) {c}\b", repr(compared)), compared.to_dict()["total"]["amount"]]
    assert len(texts) > 30
    for text in texts:
        assert re.fullmatch(MONEY, text), text


def test_attribution_against_the_definition(simulated):
    """Spread and revaluation again from the events alone, as fractions."""
    fills, context, events = simulated.fills, simulated.fill_context, simulated.events
    q = events.quotes
    quote_before = []
    seen = trades = 0
    for kind in events.kind.tolist():
        if kind == 1:
            seen += 1
        else:
            quote_before.append(seen - 1)
            trades += 1
    spread = sum(
        Fraction(int(f["qty"])) * (Fraction(int(q.mid2[quote_before[c["trade"]]]), 2) - int(f["price"]))
        for f, c in zip(fills, context, strict=True)
    )
    assert simulated.attribution.spread == STOCK.money(spread) * 1 if events.instrument == STOCK else True
    assert simulated.totals.spread2 == 2 * spread
    value = sum(
        int(f["qty"]) * (int(q.mid2[-1]) - int(q.mid2[quote_before[c["trade"]]]))
        for f, c in zip(fills, context, strict=True)
    )
    assert simulated.totals.revaluation2 == value


def test_money_is_exact_beyond_the_digits_of_a_double_and_of_the_decimal_context():
    a = Attribution(
        Decimal("0.1") + 10**9, -Decimal(10**9), Decimal("-1e-8"), Decimal("0.09999999"), Decimal(0)
    )
    assert "total +0.09999999" in str(a)
    coin = mm.Instrument(
        "C", tick="0.0000000001", lot="0.0000000001", currency=mm.Currency("X", unit="1e-18")
    )
    price = 2**50
    quotes = Quotes([0, 3 * S], [price - 2, price + 1], [price + 2, price + 6])
    events = Events(coin, None, quotes, Trades([S], [price - 5], [9]))
    result = mm.replay(events, mm.Affine(base=1.0, q_max=2**30 + 1, order_size=2**30 + 1), maker_fee="0.0001")
    n = 2**30 + 1
    fee = round(Fraction(n * (price - 1)) * Fraction("1e-20") * Fraction("0.0001") / Fraction("1e-18"))
    total = Fraction(n * (2 * price + 7), 2) - n * (price - 1)
    assert Fraction(result.attribution.total) == total * Fraction("1e-20") - fee * Fraction("1e-18")
    assert result.attribution.unexplained == 0


def test_drawdown_is_the_largest_fall_over_the_path(simulated):
    d, t, instrument = simulated.decisions, simulated.totals, simulated.instrument
    half, unit = Fraction(instrument.money(Fraction(1, 2))), Fraction(instrument.currency.unit)
    path = [Fraction(0)]
    for row in d:
        path.append(half * (int(row["spread2"]) + int(row["revaluation2"])) - unit * int(row["fees"]))
    path.append(half * (t.spread2 + t.revaluation2) - unit * t.fees)
    high, worst = path[0], Fraction(0)
    for value in path:
        high = max(high, value)
        worst = max(worst, high - value)
    assert worst > 0
    assert Fraction(simulated.drawdown.amount) == worst
    assert simulated.drawdown.peak_time <= simulated.drawdown.trough_time
    assert Fraction(simulated.attribution.total) == path[-1]
    assert simulated.pnl_path["total"][-1] == pytest.approx(float(path[-1]), rel=1e-12)


# ---- markouts


def test_markouts_by_hand():
    # the mid is 100, from second 2 on 103, from second 5 on 101
    events = quotes_of([0, 2 * S, 5 * S, 9 * S], [200, 206, 202, 202])
    result = made(events, [(1 * S, 2, 99), (4 * S, -1, 104), (8 * S, 1, 100)], end=9 * S)
    one, three = result.markouts((1.0, 3.0))
    # after 1 s: 2 lots at 103-99, 1 at 104-101, 1 at 101-100
    assert (one.n, one.missing, one.mean) == (3, 0, (2 * 4 + 3 + 1) / 4)
    # after 3 s: 103-99 twice, 104-101, and the last beyond the data
    assert (three.n, three.missing, three.mean) == (2, 1, (2 * 4 + 3) / 3)
    assert math.isnan(three.low)
    marks = result.markouts((1.0,))
    assert [m.mean for m in marks.bid] == [(2 * 4 + 1) / 3]
    assert [m.mean for m in marks.ask] == [3.0]
    zero = result.markouts((0.0,))[0]
    assert zero.mean == (2 * 1 + 1 * 1 + 1 * 1) / 4


def test_a_one_sided_market_at_the_horizon_is_missing_not_the_last_mid():
    quotes = Quotes([0, 2 * S, 4 * S], [99, 99, 99], [101, NO_ASK, 101])
    result = made(Events(STOCK, None, quotes), [(1 * S, 1, 99)], end=4 * S)
    rows = result.markouts((0.5, 1.5, 3.0, 3.5))
    assert [(r.n, r.missing) for r in rows] == [(1, 0), (0, 1), (1, 0), (0, 1)]
    assert math.isnan(rows[1].mean)


def test_crossed_quotes_give_no_mid_and_the_one_before_stays():
    quotes = Quotes([0, 2 * S, 4 * S], [99, 150, 99], [101, 149, 101])
    result = made(Events(STOCK, None, quotes), [(1 * S, 1, 99)], end=4 * S)
    assert result.markouts((1.5,))[0].mean == 1.0


def test_markout_intervals_cover_the_truth_although_fills_overlap():
    """On a driftless walk the true markout is the distance of the fill from the mid: 1 tick."""
    rng = np.random.default_rng(2024)
    covered = naive = 0
    rounds, seconds = 400, 4000
    times = np.arange(seconds + 31) * S
    for _ in range(rounds):
        steps = rng.integers(0, 2, len(times)) * 2 - 1
        mid = 10_000 + np.cumsum(steps)
        at = np.sort(rng.integers(0, seconds, 600))
        fills = [(int(times[i]), 1, int(mid[i]) - 1) for i in at]
        events = Events(STOCK, None, Quotes(times, mid - 1, mid + 1))
        row = made(events, fills, end=int(times[-1])).markouts((30.0,))[0]
        assert row.missing == 0
        covered += row.low <= 1.0 <= row.high
        values = mid[at + 30] - (mid[at] - 1)
        naive += abs(values.mean() - 1) <= 1.96 * values.std() / math.sqrt(len(values))
    # 5 standard errors of a share around 0.95: sqrt(.95*.05/400)*5 = 0.054
    assert covered / rounds >= 0.95 - 0.054
    assert naive / rounds < 0.8


def test_horizons_of_a_wrong_type_are_named(simulated):
    with pytest.raises(InvalidArgument, match="horizons must be a sequence of finite numbers >= 0"):
        simulated.markouts(-1)


@pytest.mark.parametrize("horizon", [-1.0, float("nan"), float("inf"), "x"])
def test_a_wrong_horizon_is_refused(simulated, horizon):
    with pytest.raises(InvalidArgument, match="horizons"):
        simulated.markouts((1.0, horizon))


# ---- inventory


def test_the_histogram_weighs_by_time():
    events = quotes_of([0, 10 * S], [200, 200])
    result = made(events, [(1 * S, 2, 99), (4 * S, -3, 101), (9 * S, 1, 99)], end=10 * S)
    levels, share = result.inventory_histogram()
    assert levels.tolist() == [-1, 0, 2]
    assert share.tolist() == [0.5, 0.2, 0.3]


def test_the_histogram_takes_memory_by_the_fills_not_by_the_lots():
    """A coin counted in lots of 1e-8 is held in hundreds of millions of them."""
    fills = [(1 * S, 7 * 10**12, 99), (4 * S, -9 * 10**12, 101), (9 * S, 3, 99)]
    result = made(quotes_of([0, 10 * S], [200, 200]), fills, end=10 * S)
    tracemalloc.start()
    levels, share = result.inventory_histogram()
    middles, bars, width = result.inventory_bars()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert levels.tolist() == [-2 * 10**12, -2 * 10**12 + 3, 0, 7 * 10**12]
    assert share.tolist() == [0.5, 0.1, 0.1, 0.3]
    mean = 0.3 * 7e12 - 0.6 * 2e12
    assert len(bars) <= 400
    assert bars.sum() == pytest.approx(1.0, rel=1e-12)
    assert float(middles @ bars) == pytest.approx(mean, abs=width)
    (whole,) = result.by_hour(100.0)
    assert whole.mean == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("most", [400, 3, 2, 1])
def test_bars_hold_the_time_of_their_levels(most):
    events = quotes_of([0, 10 * S], [200, 200])
    result = made(events, [(1 * S, 4, 99), (4 * S, -6, 101), (9 * S, 2, 99)], end=10 * S)  # 0, 4, -2, 0
    middles, bars, width = result.inventory_bars(most)
    levels, share = result.inventory_histogram()
    expected = {400: (2, [-2, 0, 2, 4]), 3: (4, [-1, 3]), 2: (4, [-1, 3]), 1: (8, [1])}[most]
    assert (width, middles.tolist()) == expected
    for middle, bar in zip(middles, bars, strict=True):
        assert bar == pytest.approx(share[np.abs(levels - middle) < width / 2].sum(), abs=1e-15)


def ehrenfest(rng, n, rate, seconds):
    """Urns: of n balls each moves at `rate`; the mean decays at 2·rate exactly. Returns (ns, step)."""
    time, q, fills = 0.0, 0, []
    while True:
        time += rng.exponential(1 / (n * rate))
        if time >= seconds:
            return fills
        step = 1 if rng.random() < (n - 2 * q) / (2 * n) else -1
        q += step
        fills.append((int(time * S), step, 100))


def test_the_half_life_is_found_within_its_error():
    rng = np.random.default_rng(5)
    rate, seconds = 0.02, 40_000
    fills = ehrenfest(rng, 10, rate, seconds)
    result = made(quotes_of([0, seconds * S], [200, 200]), fills, end=seconds * S)
    decay = 2 * rate
    error = math.sqrt(2 * decay / seconds)  # of the rate of an Ornstein-Uhlenbeck process
    found = math.log(2) / result.half_life
    assert abs(found - decay) < 5 * error


def test_a_random_walk_has_no_half_life():
    rng = np.random.default_rng(3)
    n = 5000
    steps = rng.integers(0, 2, n) * 2 - 1
    fills = [(i * S + 1, int(step), 100) for i, step in enumerate(steps)]
    assert made(quotes_of([0, n * S], [200, 200]), fills, end=n * S).half_life is None
    assert made(quotes_of([0, n * S], [200, 200]), [], end=n * S).half_life is None


# ---- orders


def test_fill_rates_and_presence_against_a_walk_over_time(simulated):
    """Each order's life by hand: live from its arrival to its last fill, its successor, or the end."""
    from scipy.stats import poisson

    d, fills, context, end = (
        simulated.decisions, simulated.fills, simulated.fill_context, simulated.totals.end_time,
    )  # fmt: skip
    lives = {}
    for side, sign in (("bid", 1), ("ask", -1)):
        for i, row in enumerate(d):
            if row[f"{side}_size"] == 0 or row["lost"] >> (sign < 0) & 1 or row["live_time"] >= end:
                continue
            stop = min(int(d["live_time"][i + 1]) if i + 1 < len(d) else end, end)
            edge = sign * (int(row[side]) - int(row[f"touch_{side}"]))
            place = "inside" if edge > 0 else "at" if edge == 0 else "behind"
            lives[side, i] = [int(row["live_time"]), stop, place, 0]
    for f, c in zip(fills, context, strict=True):
        life = lives["bid" if f["qty"] > 0 else "ask", int(c["decision"])]
        life[3] += abs(int(f["qty"]))
        assert ("inside", "at", "behind")[c["place"]] == life[2]
        if c["complete"]:
            life[1] = int(f["receive_time"])
    for rate in simulated.fill_rates:
        mine = [v for (side, _), v in lives.items() if side == rate.side and v[2] == rate.place]
        assert rate.orders == len(mine)
        assert rate.filled == sum(v[3] > 0 for v in mine)
        assert rate.lots == sum(v[3] for v in mine)
        assert rate.exposure == pytest.approx(sum(v[1] - v[0] for v in mine) / S, rel=1e-12)
        if rate.exposure:
            assert poisson.cdf(rate.filled, rate.high * rate.exposure) == pytest.approx(0.025, rel=1e-9)
            if rate.filled:
                assert poisson.sf(rate.filled - 1, rate.low * rate.exposure) == pytest.approx(0.025, rel=1e-9)
            else:
                assert rate.low == 0
        else:
            assert math.isnan(rate.low)
        assert rate.estimable == (rate.filled >= FEW)
    span = end - simulated.totals.first_time
    for side, other in (("bid", "ask"), ("ask", "bid")):
        shown = sum(v[1] - v[0] for (s, _), v in lives.items() if s == side) / span
        p = simulated.presence
        assert p.both + getattr(p, side) == pytest.approx(shown, rel=1e-9)
        assert sum(getattr(p, f"{other}_reasons").values()) == pytest.approx(
            p.none + getattr(p, side), rel=1e-9
        )
    assert "lost in flight: the side was filled meanwhile" in simulated.presence.reasons


def test_intensity_bins_hold_all_exposure_and_hits_and_exact_intervals(simulated):
    from scipy.stats import poisson

    hit = {
        (f["qty"] > 0, int(c["decision"]))
        for f, c in zip(simulated.fills, simulated.fill_context, strict=True)
    }
    for side in ("bid", "ask"):
        bins = [b for b in simulated.intensity if b.side == side]
        assert sum(b.fills for b in bins) == sum((side == "bid") == bought for bought, _ in hit)
        for b in bins:
            assert b.low_depth <= b.depth < b.high_depth
            assert b.realised == b.fills / b.exposure
            assert poisson.cdf(b.fills, b.high * b.exposure) == pytest.approx(0.025, rel=1e-9)
            if b.fills:
                assert poisson.sf(b.fills - 1, b.low * b.exposure) == pytest.approx(0.025, rel=1e-9)
            else:
                assert b.low == 0.0
            a, k = (x[side == "ask"] for x in (simulated.model.A, simulated.model.k))
            assert a * math.exp(-k * b.high_depth) < b.assumed <= a * math.exp(-k * b.low_depth) * (1 + 1e-12)


# ---- the market


@pytest.mark.realdata
def test_realised_volatility_is_that_of_the_facts(shared):
    facts = json.loads((shared / "data" / "facts.json").read_text())["lobster_amzn"]
    folder = shared / "data" / "lobster_amzn"
    events = mm.load(next(folder.glob("*message_1.csv")))
    result = mm.replay(events, mm.Affine(base=5.0, q_max=10))
    assert result.sigma_realised == pytest.approx(100 * facts["sigma_abs_1s"], rel=1e-12)


# ---- what people look at


def test_the_summary_is_json_and_every_view_names_the_sample(simulated):
    text = json.dumps(simulated.summary(), allow_nan=False)
    again = json.loads(text)
    assert again["sample"] == "out-of-sample"
    assert again["pnl"]["unexplained"] == "0.00"
    assert Decimal(again["pnl"]["total"]) == simulated.attribution.total
    assert [row["horizon"] for row in again["markouts"]["both"]] == list(HORIZONS)
    for view in (repr(simulated), simulated._repr_html_()):
        assert "out-of-sample" in view
        assert "unexplained 0.00 " in view
    assert len(str(simulated.markouts()).splitlines()) == 1 + len(HORIZONS)


def test_a_replay_without_a_fill_has_a_result_too():
    result = mm.replay(quotes_of([0, 5 * S], [200, 200]), mm.Affine(base=1.0, q_max=1))
    assert result.attribution.total == 0
    assert str(result.attribution).startswith("spread captured 0.00 USD")
    assert result.drawdown.amount == 0
    assert result.half_life is None
    assert result.sigma_realised == 0.0
    assert all(row.n == 0 and math.isnan(row.mean) for row in result.markouts())
    assert result.inventory_histogram()[0].tolist() == [0]
    json.dumps(result.summary(), allow_nan=False)
    assert "Result" in repr(result)


# ---- what the fill rule leaves of the intensity, and the bound


def test_a_fill_through_is_expected_one_tick_further_than_the_intensity_counts(simulated):
    events = mm.SimulatedMarket(duration=1200.0, seed=2).events()
    k = {"bid": 0.5, "ask": 0.25}
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=(0.5, 0.25), gamma=0.01, q_max=5)
    result = mm.replay(events, model)
    assert result.intensity
    for row in result.intensity:
        assert row.expected == pytest.approx(row.assumed * math.exp(-k[row.side]), rel=1e-12)
    assert any("61 % (bid) and 78 % (ask)" in note for note in result.notes)
    assert result.summary()["notes"] == result.notes
    assert result.summary()["intensity"][0]["expected"] == result.intensity[0].expected
    touched = mm.replay(events, model, fill="touch")
    assert all(row.expected == row.assumed for row in touched.intensity)
    assert not any("through our price" in note for note in touched.notes)


def test_an_intensity_of_trades_strictly_beyond_a_depth_is_expected_as_it_is():
    events = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=3600.0, seed=2).events()
    first, rest = events.split(0.5)
    calibration = mm.calibrate(first, method="window", max_depth=6)
    result = mm.replay(rest, calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.01, q_max=5))
    assert result.calibration is calibration
    assert all(row.expected == row.assumed for row in result.intensity)
    assert not result.notes


def test_the_expected_intensity_is_the_one_that_a_simulated_market_realises():
    market = mm.SimulatedMarket(sigma=0.5, A=1.0, k=0.5, duration=20_000.0, seed=5)
    model = mm.GueantLehalleFernandezTapia(sigma=0.5, A=1.0, k=0.5, gamma=1e-3, q_max=20)
    rows = mm.replay(market.events(), model, interval=0.0).intensity
    fills = sum(row.fills for row in rows)
    expected, assumed = (sum(getattr(r, n) * r.exposure for r in rows) for n in ("expected", "assumed"))
    assert abs(fills - expected) < 4 * math.sqrt(expected)
    assert assumed - fills > 10 * math.sqrt(assumed)


def test_the_optimistic_bound_is_there_without_being_asked_for_and_of_the_rules_as_they_were():
    events = mm.SimulatedMarket(duration=600.0, seed=4).events()
    quoter = mm.Quoter(mm.Affine(base=1.5, slope=0.1, q_max=8), limits=mm.Limits(max_position=3))
    settings = {"latency": 0.05, "interval": 0.5, "maker_fee": "0.0001", "time_left": 5.0}
    asked = mm.replay(events, quoter, optimistic=True, **settings).optimistic
    result = mm.replay(events, quoter, **settings)
    quoter.limits = mm.Limits(max_position=8)
    quoter.halt("over")
    bound = result.optimistic
    assert bound is result.optimistic
    assert (bound.fill, bound.settings) == ("touch", asked.settings)
    assert (bound.sample, bound.optimistic) == (result.sample, None)
    np.testing.assert_array_equal(bound.fills, asked.fills)
    np.testing.assert_array_equal(bound.decisions, asked.decisions)
    assert result.summary()["optimistic"]["fills"] == len(asked.fills)


# ---- presence in words


def test_the_shares_of_presence_add_up_to_the_whole_in_words_too(simulated):
    for p in (
        simulated.presence,
        Presence(0.5005, 0.2, 0.2995, 0.0),
        Presence(1 / 3, 1 / 3, 0.0, 1 / 3),
        Presence(0.0, 0.0, 0.0, 1.0),
    ):
        shares = [Decimal(text) for text in re.findall(r"([0-9.]+) %", p.text)]
        assert sum(shares) == 100
        for share, exact in zip(shares, (p.both, p.bid + p.ask, p.none), strict=True):
            assert abs(float(share) - 100 * exact) <= 0.1 + 1e-9


def test_each_side_says_why_it_was_absent_and_leaves_out_what_took_no_time(simulated):
    p = simulated.presence
    assert len(p.absences) == 2
    for line, absent in zip(p.absences, (p.none + p.ask, p.none + p.bid), strict=True):
        head, *reasons = re.split(": |; ", line.replace("flight: ", "flight, "))
        assert head.endswith(f"{100 * absent:.1f} % of the time")
        assert all(not reason.endswith(" 0.0 %") for reason in reasons)
        assert sum(float(r.rsplit(" ", 2)[1]) for r in reasons) == pytest.approx(100 * absent, abs=0.3)
    assert Presence(1.0, 0.0, 0.0, 0.0, {}, {"filled": 0.0}, {}).absences == []


@pytest.mark.parametrize(("A", "said"), [(1.0, None), (8.0, "%"), (0.1, "%")])
def test_a_model_that_the_fills_contradict_is_told(A, said):
    events = mm.SimulatedMarket(A=1.0, k=0.5, duration=1800.0, seed=5).events()
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=A, k=0.5, gamma=0.01, q_max=5)
    notes = [note for note in mm.replay(events, model).notes if note.startswith("Fills came at")]
    assert bool(notes) == bool(said)
    if said:  # 1/8 or 10 times
        shares = [float(word) for word in notes[0].replace("%", "").split() if word[0].isdigit()]
        assert shares == [pytest.approx(100.0 / A, rel=0.25)] * 2
