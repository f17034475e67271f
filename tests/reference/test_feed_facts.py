"""What the readers make of the real sets, against facts.json: numbers computed by other code.

Integers and decimal strings exactly, floats to 1e-12. Sums are made here in Python integers and
Fractions from the raw columns, so that nothing is shared with the code under test but the columns.
"""

import json
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from real_sets import QUOTED, TRADED, facts, load

import mmcore as mm
from mmcore.events import HIDDEN, NO_ASK, NO_BID, QUOTE, TRADE
from mmcore.feeds import consolidate

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module", params=QUOTED)
def case(request, shared):
    return load(request.param, shared, cache=False), facts(request.param, shared)


@pytest.fixture(scope="module", params=TRADED)
def traded(request, shared):
    return load(request.param, shared, cache=False), facts(request.param, shared)


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


def test_volume_notional_and_vwap(traded):
    events, facts = traded
    prices, sizes = trade_prices(events, facts), events.trades.size.tolist()
    assert Fraction(events.instrument.lot) * 10 ** facts["qty_decimals"] == 1
    assert sum(sizes) == facts["volume_int"]
    notional = sum(p * n for p, n in zip(prices, sizes, strict=True))
    assert notional == facts["notional_int"]
    unit = 10 ** facts["px_decimals"]
    assert decimals(Fraction(notional, sum(sizes) * unit), 10) == facts["vwap"]
    said = events.summary()
    assert (said["volume"], said["vwap"]) == (facts["volume_int"], facts["vwap"])
    assert said["repeated_quotes"] == facts["bbo_repeats"]
    seen = [(p, n) for p, n, ok in zip(prices, sizes, events.trades.visible.tolist(), strict=True) if ok]
    if "visible_vwap" in facts:
        volume = sum(n for _, n in seen)
        assert volume == facts["visible_volume_int"]
        assert decimals(Fraction(sum(p * n for p, n in seen), volume * unit), 10) == facts["visible_vwap"]
    else:
        assert len(seen) == len(prices)


def test_sides_extremes_and_off_grid_trades(traded):
    events, facts = traded
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


def test_taq_zero_prices_are_absent_sides(shared):
    """Of all venues, against the csv module."""
    raw = rows_of(shared / "data/taq_20180102/quotes_raw.csv.gz")
    venues = sorted({row["EX"] for row in raw})
    absent = 0
    for venue in venues:
        q = mm.load(shared / "data/taq_20180102/quotes_raw.csv.gz", venue=venue, cache=False).quotes
        its = [row for row in raw if row["EX"] == venue]
        assert len(q) == len(its)
        for side, name, none in (("bid", "BID", NO_BID), ("ask", "OFR", NO_ASK)):
            expected = [int(Fraction(row[name]) * 100) or none for row in its]
            assert getattr(q, side).tolist() == expected
            size = [int(row[f"{name}SIZ"]) * 100 if row[name] != "0" else 0 for row in its]
            assert getattr(q, f"{side}_size").tolist() == size
            absent += expected.count(none)
    assert absent == 27 + 45


def test_taq_venues_lock_and_cross_each_other(shared):
    """Not within a venue; among all, by a book of venues kept in Python."""
    raw = rows_of(shared / "data/taq_20180102/quotes_raw.csv.gz")
    venues = sorted({row["EX"] for row in raw})
    path = shared / "data/taq_20180102/quotes_raw.csv.gz"
    tables = [mm.load(path, venue=venue, cache=False) for venue in venues]
    for table in tables:
        assert not (table.quotes.crossed | table.quotes.locked).any()
    q = consolidate(*tables).quotes
    # Rows of one stamp come in the order of the tables.
    standing, crossed, locked = {}, 0, 0
    for row in sorted(raw, key=lambda row: (row["DT"], row["EX"])):
        standing[row["EX"]] = Fraction(row["BID"]), Fraction(row["OFR"])
        bid = max((b for b, _ in standing.values() if b), default=None)
        ask = min((a for _, a in standing.values() if a), default=None)
        if bid is not None and ask is not None:
            crossed, locked = crossed + (bid > ask), locked + (bid == ask)
    assert (int(q.crossed.sum()), int(q.locked.sum())) == (crossed, locked)
    assert crossed > 0
    assert locked > 0


def test_taq_repeats_are_kept_and_sub_penny_prices_whole(shared):
    quotes = rows_of(shared / "data/taq_20180102/quotes_raw.csv.gz")
    trades = rows_of(shared / "data/taq_20180102/trades_raw.csv.gz")
    assert len({tuple(row.values()) for row in quotes}) < len(quotes)
    fine = 0
    for venue in sorted({row["EX"] for row in trades}):
        t = mm.load(shared / "data/taq_20180102/trades_raw.csv.gz", venue=venue, cache=False).trades
        its = [Fraction(row["PRICE"]) * 100 for row in trades if row["EX"] == venue]
        exact = [
            price + Fraction(sub, 10**6)
            for price, sub in zip(t.price.tolist(), t.subtick.tolist(), strict=True)
        ]
        assert exact == its
        fine += int(np.count_nonzero(t.subtick))
    assert fine == 7932


def rows_of(path):
    import csv
    import gzip

    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_bitstamp_float_noise_is_quantised(shared):
    """759 values carry the noise of a binary float: neither refused nor truncated."""
    from mmcore.decimals import parse
    from mmcore.errors import InvalidArgument

    events, known = load("bitstamp_2015", shared, cache=False), facts("bitstamp_2015", shared)
    assert events.source["odd"] == {
        "numbers with the noise of a float": known["extra"]["float_noise_amounts"]
    }
    with pytest.raises(InvalidArgument, match="is not a multiple of"):
        parse(["1.7885566900000001"], "0.00000001")
    assert 178855669 in events.trades.size.tolist()
    assert 23661 in events.trades.price.tolist()


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
