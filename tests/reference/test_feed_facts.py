"""What the readers make of the real sets, against facts.json: numbers computed by other code.

Integers and decimal strings exactly, floats to 1e-12. Sums are made here in Python integers and
Fractions from the raw columns, so that nothing is shared with the code under test but the columns.
"""

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import mmcore as mm
from mmcore.events import HIDDEN, QUOTE, TRADE

pytestmark = pytest.mark.realdata

SETS = {
    "lobster_amzn": "lobster_amzn",
    "binance_usdm_ethusdt": "binance_usdm/ethusdt_20240808.gz",
    "binance_usdm_btcusdt": "binance_usdm/btcusdt_20240808.gz",
}


@pytest.fixture(scope="module", params=sorted(SETS))
def case(request, shared):
    facts = json.loads((shared / "data/facts.json").read_text())[request.param]
    return mm.load(shared / "data" / SETS[request.param], cache=False), facts


def decimals(value: Fraction, places: int) -> str:
    """Return a Fraction as facts.json writes it: rounded half to even, trailing zeros kept."""
    whole = round(value * 10**places)
    sign, whole = "-" * (whole < 0), abs(whole)
    return f"{sign}{whole // 10**places}.{whole % 10**places:0{places}d}"


def price_unit(events, facts) -> int:
    """Return the ticks' size in facts.json's integer price unit."""
    unit = Fraction(events.instrument.tick) * 10 ** facts["px_decimals"]
    assert unit == facts["tick"]
    return int(unit)


def trade_prices(events, facts) -> list[int]:
    """Return the prices in the same unit, off-grid ones included."""
    unit = price_unit(events, facts)
    out = []
    for price, sub in zip(events.trades.price.tolist(), events.trades.subtick.tolist(), strict=True):
        value = (price + Fraction(sub, 1_000_000)) * unit
        assert value.denominator == 1
        out.append(int(value))
    return out


def test_rows(case):
    events, facts = case
    assert len(events.quotes) == facts["n_quotes"]
    assert len(events.trades) == facts["n_trades"]
    assert int(events.trades.visible.sum()) == facts["n_trades_visible"]
    assert np.count_nonzero(events.kind == QUOTE) == facts["n_quotes"]
    assert np.count_nonzero(events.kind == TRADE) == facts["n_trades"]


def test_stamps(case):
    events, facts = case
    midnight = events.source.get("midnight", 0)  # LOBSTER counts from it
    time = events.quotes.local_time - midnight
    assert (int(time[0]), int(time[-1])) == (facts["quote_t0"], facts["quote_t1"])
    assert (int(time[-1]) - int(time[0])) / 10**9 == facts["span_s"]
    assert np.count_nonzero(time[1:] < time[:-1]) == facts["quote_time_ooo"]
    assert np.count_nonzero(time[1:] == time[:-1]) == facts["quote_same_ts"]
    assert (np.diff(events.local_time) >= 0).all()


def test_quotes(case):
    events, facts = case
    q = events.quotes
    assert q.two_sided.all()
    assert np.count_nonzero(q.crossed) == facts["crossed"]
    assert np.count_nonzero(q.locked) == facts["locked"]
    same = np.ones(len(q) - 1, dtype=bool)
    for column in (q.bid, q.ask, q.bid_size, q.ask_size):
        same &= column[1:] == column[:-1]
    assert np.count_nonzero(same) == facts["bbo_repeats"]


def test_spread_and_mid_weighted_by_time(case):
    events, facts = case
    bid, ask, time = (
        column.tolist() for column in (events.quotes.bid, events.quotes.ask, events.quotes.local_time)
    )
    held = [after - before for before, after in pairwise(time)]
    span = time[-1] - time[0]
    tick = Fraction(events.instrument.tick)
    spread = Fraction(sum((a - b) * dt for a, b, dt in zip(ask, bid, held, strict=False)), span)
    mid = Fraction(sum((a + b) * dt for a, b, dt in zip(ask, bid, held, strict=False)), 2 * span)
    assert decimals(spread * tick, 10) == facts["tw_spread"]
    assert decimals(mid * tick, 10) == facts["tw_mid"]
    assert float(spread) == pytest.approx(facts["tw_spread_ticks"], rel=1e-12, abs=0)
    ticks = [a - b for a, b in zip(ask, bid, strict=True)]
    assert min(ticks) == facts["spread_min_ticks"]
    assert max(ticks) == facts["spread_max_ticks"]
    mean = float(Fraction(sum(ticks), len(ticks)))
    assert mean == pytest.approx(facts["spread_mean_event_ticks"], rel=1e-12, abs=0)
    said = events.summary()["spread"]
    assert (said["min"], said["max"]) == (min(ticks), max(ticks))
    assert said["mean"] == pytest.approx(mean, rel=1e-12)
    assert said["time_weighted"] == pytest.approx(float(spread), rel=1e-12)


def test_volume_notional_and_vwap(case):
    events, facts = case
    prices, sizes = trade_prices(events, facts), events.trades.size.tolist()
    assert Fraction(events.instrument.lot) * 10 ** facts["qty_decimals"] == 1
    assert sum(sizes) == facts["volume_int"]
    notional = sum(p * n for p, n in zip(prices, sizes, strict=True))
    assert notional == facts["notional_int"]
    unit = 10 ** facts["px_decimals"]
    assert decimals(Fraction(notional, sum(sizes) * unit), 10) == facts["vwap"]
    seen = [(p, n) for p, n, ok in zip(prices, sizes, events.trades.visible.tolist(), strict=True) if ok]
    if "visible_vwap" in facts:
        volume = sum(n for _, n in seen)
        assert volume == facts["visible_volume_int"]
        assert decimals(Fraction(sum(p * n for p, n in seen), volume * unit), 10) == facts["visible_vwap"]
    else:
        assert len(seen) == len(prices)


def test_sides_extremes_and_off_grid_trades(case):
    events, facts = case
    t = events.trades
    assert int(t.size[t.side == 1].sum()) == facts["buy_vol"]
    assert int(t.size[t.side == -1].sum()) == facts["sell_vol"]
    assert int(t.size[t.side == 0].sum()) == facts["unknown_side_vol"]
    prices = trade_prices(events, facts)
    places = facts["px_decimals"]
    assert decimals(Fraction(min(prices), 10**places), places) == facts["px_min"]
    assert decimals(Fraction(max(prices), 10**places), places) == facts["px_max"]
    assert np.count_nonzero(t.subtick) == facts["offgrid_trades"]


# ---- the traps of the data's README


def test_binance_local_clock_runs_behind_and_is_the_only_clock(shared):
    for name in ("ethusdt", "btcusdt"):
        events = mm.load(shared / f"data/binance_usdm/{name}_20240808.gz", cache=False)
        behind = np.concatenate(
            [rows.exchange_time - rows.local_time for rows in (events.quotes, events.trades)]
        )
        assert behind.min() > 1_100_000_000
        assert 1_260_000_000 < np.median(behind) < 1_280_000_000
        assert "1.269 s behind" in events.clock_note
        # Merging by the exchange's stamps of trades and the local stamps of quotes would move trades.
        assert (np.diff(events.local_time) >= 0).all()
        assert len(np.unique(events.trades.exchange_time)) < len(events.trades) / 2


def test_lobster_trade_stands_before_the_quote_it_leaves_behind(shared):
    events = mm.load(shared / "data/lobster_amzn", cache=False)
    trade_rows = np.flatnonzero(events.kind == TRADE)
    quote_after = np.cumsum(events.kind == QUOTE)[trade_rows]  # index of the next quote row
    q, t = events.quotes, events.trades
    assert (q.local_time[quote_after] == t.local_time).all()
    # A visible trade executes at the touch that stood before its own row, not after it.
    ok = (t.flags & HIDDEN == 0) & (quote_after > 0)
    before = quote_after[ok] - 1
    touch = np.where(t.side[ok] > 0, q.ask[before], q.bid[before])
    assert (touch == t.price[ok]).all()
    size = np.where(t.side[ok] > 0, q.ask_size[before], q.bid_size[before])
    assert (t.size[ok] <= size).all()


def test_lobster_hidden_trades_change_no_quote(shared):
    events = mm.load(shared / "data/lobster_amzn", cache=False)
    hidden = np.flatnonzero(events.kind == TRADE)[events.trades.flags & HIDDEN != 0]
    after = np.cumsum(events.kind == QUOTE)[hidden]
    after = after[after > 0]
    q = events.quotes
    for column in (q.bid, q.ask, q.bid_size, q.ask_size):
        assert (column[after] == column[after - 1]).all()
    assert len(hidden) == 2445


def test_eurusd_quotes_through_the_column_map(shared):
    facts = json.loads((shared / "data/facts.json").read_text())["fx_eurusd_2020"]
    events = mm.load(
        shared / "data/fx_quotes/quote_tick_data.csv",
        instrument=mm.Instrument("EURUSD", tick="0.00001"),
        columns={"time": 0, "bid": 1, "ask": 2},
        header=False,
        time_format="%Y%m%d %H%M%S%f",
        cache=False,
    )
    q = events.quotes
    assert len(q) == facts["n_quotes"]
    assert (int(q.local_time[0]), int(q.local_time[-1])) == (facts["quote_t0"], facts["quote_t1"])
    held, spread = np.diff(q.local_time).tolist(), (q.ask - q.bid).tolist()
    total = Fraction(sum(s * dt for s, dt in zip(spread, held, strict=False)), sum(held))
    assert decimals(total * Fraction("0.00001"), 10) == facts["tw_spread"]
    assert (min(spread), max(spread)) == (facts["spread_min_ticks"], facts["spread_max_ticks"])


def test_taq_zero_prices_are_absent_sides(shared):
    """Quotes of one venue in the regular session, as facts.json selects them."""
    facts = json.loads((shared / "data/facts.json").read_text())["taq_xxx_20180102"]
    path = shared / "data/taq_20180102/quotes_raw.csv.gz"
    stock = mm.Instrument("XXX", tick="0.01")
    columns = {"time": "DT", "bid": "BID", "ask": "OFR", "bid_size": "BIDSIZ", "ask_size": "OFRSIZ"}
    events = mm.load(path, instrument=stock, columns=columns, cache=False)
    import csv
    import gzip

    with gzip.open(path, "rt", newline="") as file:
        raw = list(csv.DictReader(file))
    assert len(events.quotes) == len(raw)
    zero = np.array([Fraction(row["BID"]) == 0 or Fraction(row["OFR"]) == 0 for row in raw])
    assert zero.any()
    assert not events.quotes.two_sided[zero].any()
    session = (events.quotes.local_time >= 1514903400 * 10**9) & (
        events.quotes.local_time <= 1514926800 * 10**9
    )
    chosen = session & np.array([row["EX"] == "N" for row in raw]) & events.quotes.two_sided
    assert np.count_nonzero(chosen) == facts["n_quotes"]
    ticks = (events.quotes.ask - events.quotes.bid)[chosen]
    assert (ticks.min(), ticks.max()) == (facts["spread_min_ticks"], facts["spread_max_ticks"])


def test_bitstamp_float_noise_is_quantised(shared):
    """759 values carry the noise of a binary float: neither refused nor truncated."""
    import lzma

    from mmcore.decimals import parse
    from mmcore.errors import InvalidArgument

    facts = json.loads((shared / "data/facts.json").read_text())["bitstamp_2015"]
    with lzma.open(shared / "data/bitstamp_2015/2015-05-01.log.xz", "rt") as file:
        lines = [line.split(" ", 2)[2] for line in file if line.split(" ", 2)[1] == "trade"]
    trades = [json.loads(line, parse_float=str, parse_int=str) for line in lines]
    price = parse([t["price"] for t in trades], "0.01", "nearest").tolist()
    size = parse([t["amount"] for t in trades], "0.00000001", "nearest").tolist()
    assert len(trades) == facts["n_trades"]
    assert sum(size) == facts["volume_int"]
    assert sum(p * s for p, s in zip(price, size, strict=True)) == facts["notional_int"]
    with pytest.raises(InvalidArgument, match="is not a multiple of"):
        parse([t["amount"] for t in trades], "0.00000001")


@pytest.mark.parametrize(("name", "tick", "comparable"), [("ethusdt", "0.01", 551), ("btcusdt", "0.1", 629)])
def test_binance_book_rebuilt_equals_the_ticker_at_every_comparable_update(shared, name, tick, comparable):
    """The ticker of the same update number, in all 1,180 cases; decimals are read by Fraction here."""
    import gzip

    from mmcore.feeds.order_book import OrderBook

    def integers(levels):
        return [(int(Fraction(price) / Fraction(tick)), int(Fraction(size) * 1000)) for price, size in levels]

    path = shared / f"data/binance_usdm/{name}_20240808.gz"
    book = OrderBook()
    tops, tickers, changes = {}, {}, []
    with gzip.open(path, "rt") as file:
        for text in file:
            stamp, message = int(text[:19]), json.loads(text[20:])
            data = message.get("data", message)
            if "lastUpdateId" in data:
                book.snapshot(data["lastUpdateId"], integers(data["bids"]), integers(data["asks"]))
            elif data["e"] == "depthUpdate":
                book.update(data["pu"], data["u"], integers(data["b"]), integers(data["a"]))
            elif data["e"] == "bookTicker":
                (bid,), (ask,) = integers([[data["b"], data["B"]]]), integers([[data["a"], data["A"]]])
                tickers[data["u"]] = (*bid, *ask)
                continue
            else:
                continue
            if book.valid:
                bid, _, ask, _ = tops[book.update_id] = book.top
                assert bid < ask
                if not changes or changes[-1][1:] != book.top:
                    changes.append((stamp, *book.top))
    assert not book.odd
    both = tops.keys() & tickers.keys()
    assert len(both) == comparable
    assert all(tops[number] == tickers[number] for number in both)
    q = mm.load(path, quotes="depth", cache=False).quotes
    columns = (q.local_time, q.bid, q.bid_size, q.ask, q.ask_size)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == changes
