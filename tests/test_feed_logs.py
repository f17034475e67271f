"""Bitstamp's log and TAQ's columns, on samples made here."""

import gzip

import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, OutOfBounds, UnknownName
from mmcore.events import NO_ASK, NO_BID, QUOTE, TRADE

CREATED = 'order_created {"price": "236.47", "amount": "2.00000000", "id": 1, "order_type": 0}'
BOOK = 'order_book {"bids": [["236.47", "1.5"], ["236.20", "9"]], "asks": [["236.64", "3.79520000"]]}'


def log(folder, *records, start=1430438404518):
    path = folder / "day.log"
    path.write_text("".join(f"{start + i} {record}\n" for i, record in enumerate(records)))
    return path


def test_bitstamp_rows(tmp_path):
    path = log(
        tmp_path,
        CREATED,
        BOOK,
        'trade {"price": 236.61000000000001, "amount": 1.7885566900000001, "id": 1}',
        'trade {"price": 236.60999999999999, "amount": 0.29, "id": 2}',
        'order_book {"bids": [], "asks": [["236.70", "0.00000001"]]}',
        "order_deleted {}",
    )
    events = mm.load(path, cache=False)
    assert events.kind.tolist() == [QUOTE, TRADE, TRADE, QUOTE]
    q, t = events.quotes, events.trades
    assert (q.bid.tolist(), q.ask.tolist()) == ([23647, NO_BID], [23664, 23670])
    assert (q.bid_size.tolist(), q.ask_size.tolist()) == ([150000000, 0], [379520000, 1])
    # int(0.29 * 100) is 28, and truncating makes 23660 of 236.60999999999999
    assert (t.price.tolist(), t.size.tolist()) == ([23661, 23661], [178855669, 29000000])
    assert t.side.tolist() == [0, 0]
    assert t.local_time.tolist() == [1430438404520000000, 1430438404521000000]
    assert events.source["odd"] == {"numbers with the noise of a float": 3}
    assert events.source["ignored"] == {"order_created": 1, "order_deleted": 1}
    assert events.source["clock"] == "local"
    assert events.instrument == mm.Instrument("BTCUSD", tick="0.01", lot="0.00000001")


@pytest.mark.parametrize(
    ("record", "what"),
    [
        ('trade {"price": 236.615, "amount": 1}', r"line 2: price: '236.615' is not a multiple of 0.01, nor"),
        ('trade {"price": 236.6100001, "amount": 1}', r"line 2: price: .* nor within a millionth of one"),
        ('trade {"price": 236.61, "amount": 1e30}', r"line 2: amount: '1e30' is too large"),
        ('trade {"price": "x", "amount": 1}', r"line 2: price: 'x' is not a decimal number"),
        ('trade {"price": 1, "amount": 0}', r"line 2: size: is not above 0"),
        ('trade {"price": -1, "amount": 1}', r"line 2: price: is not above 0"),
        ('trade {"price": 2e16, "amount": 1}', r"line 2: price: .* ticks is beyond"),
        ('trade {"amount": 1}', r"line 2: is no trade message"),
        ('trade {"price": 1', r"line 2: is no trade message"),
        ('order_book {"bids": [["1"]], "asks": []}', r"line 2: is no order_book message"),
        ('order_book {"bids": [["-1", "1"]], "asks": []}', r"line 2: bid: is not above 0"),
        ("order_booked {}", r"line 2: 'order_booked' is not one of trade, order_book,"),
    ],
)
def test_bitstamp_refusals_name_file_and_line(tmp_path, record, what):
    with pytest.raises((InvalidArgument, OutOfBounds), match=what):
        mm.load(log(tmp_path, CREATED, record), format="bitstamp", cache=False)


def test_bitstamp_stamps_are_plausible_and_do_not_fall(tmp_path):
    for start in (1430438404, 1430438404518000, 10**19):
        with pytest.raises(InvalidArgument, match=r"line 1: .* is it in ms\?|line 1: does not start"):
            mm.load(log(tmp_path, BOOK, start=start), format="bitstamp", cache=False)
    path = tmp_path / "falls.log"
    path.write_text(f"1430438404518 {BOOK}\n\n1430438404517 {BOOK}\n")
    with pytest.raises(InvalidArgument, match=r"falls.log, line 3: stamp 1430438404517 is earlier than"):
        mm.load(path, format="bitstamp", cache=False)
    with pytest.raises(InvalidArgument, match="no order_book or trade; its messages: 1 of order_created"):
        mm.load(log(tmp_path, CREATED), cache=False)


def test_bitstamp_in_pieces(tmp_path, monkeypatch):
    import mmcore.feeds.text

    trades = [f'trade {{"price": 236.{i:02d}, "amount": 0.{i + 1:02d}}}' for i in range(60)]
    path = log(tmp_path, *trades)
    whole = mm.load(path, cache=False).trades
    monkeypatch.setattr(mmcore.feeds.text, "_BLOCK", 61)
    assert mm.load(path, cache=False).trades.price.tolist() == whole.price.tolist()


# ---- TAQ

QUOTES = """\
DT,EX,BID,BIDSIZ,OFR,OFRSIZ,SYMBOL
2018-01-02T14:30:00.000001Z,N,156.57,1,158.85,2,XXX
2018-01-02T14:30:00.000002Z,P,156.58,3,0,0,XXX
2018-01-02T14:30:00.000003Z,N,0,0,156.57,1,XXX
2018-01-02T14:30:00.000003Z,N,0,0,156.57,1,XXX
"""
TRADES = """\
DT,EX,SYMBOL,COND,SIZE,PRICE,CORR
2018-01-02T14:30:00.000001Z,N,XXX,FTI,2,157.8,0
2018-01-02T14:30:00.000002Z,N,XXX,FTI,2,157.8,8
2018-01-02T14:30:00.000003Z,N,XXX,F,2,157.8125,0
2018-01-02T14:30:00.000003Z,D,XXX,F,2,157.8,00
"""


def taq(folder, quotes=QUOTES, trades=TRADES):
    (folder / "q.csv.gz").write_bytes(gzip.compress(quotes.encode()))
    (folder / "t.csv").write_text(trades)
    return folder


def test_taq_rows(tmp_path):
    events = mm.load(taq(tmp_path), format="taq", venue="N", cache=False)
    assert events.kind.tolist() == [TRADE, QUOTE, TRADE, QUOTE, QUOTE]
    q, t = events.quotes, events.trades
    assert (q.bid.tolist(), q.bid_size.tolist()) == ([15657, NO_BID, NO_BID], [100, 0, 0])
    assert (q.ask.tolist(), q.ask_size.tolist()) == ([15885, 15657, 15657], [200, 100, 100])
    assert (t.price.tolist(), t.subtick.tolist()) == ([15780, 15781], [0, 250_000])
    assert events.source["ignored"] == {
        "quotes: EX = P": 1,
        "trades: CORR = 8": 1,
        "trades: EX = D": 1,
    }
    assert events.instrument == mm.Instrument("XXX", tick="0.01")
    assert events.source["clock"] == "exchange"


def test_taq_of_one_file_alone_and_by_its_header(tmp_path):
    taq(tmp_path)
    assert len(mm.load(tmp_path / "q.csv.gz", venue="P", cache=False).quotes) == 1
    assert len(mm.load([tmp_path / "t.csv", tmp_path / "q.csv.gz"], venue="N", cache=False)) == 5
    lots = mm.Instrument("XXX", tick="0.01", lot="2")
    assert mm.load(tmp_path / "t.csv", instrument=lots, venue="N", cache=False).trades.size.tolist() == [1, 1]
    assert mm.load(
        tmp_path / "q.csv.gz", instrument=lots, venue="P", cache=False
    ).quotes.bid_size.tolist() == [150]


def test_taq_of_several_venues_or_symbols_asks_which(tmp_path):
    with pytest.raises(
        InvalidArgument, match=r"q.csv.gz, line 3: EX: 'P', and 'N' before it: name one"
    ) as caught:
        mm.load(taq(tmp_path), format="taq", cache=False)
    assert caught.value.argument == "venue"
    assert "pass venue='P'" in caught.value.__notes__
    other = QUOTES.replace("1,XXX\n", "1,YYY\n")
    with pytest.raises(InvalidArgument, match=r"q.csv.gz, line 4: SYMBOL: 'YYY', and 'XXX' before it"):
        mm.load(taq(tmp_path, other), format="taq", venue="N", cache=False)
    events = mm.load(taq(tmp_path, other), format="taq", venue="N", symbol="XXX", cache=False)
    assert (len(events.quotes), events.source["ignored"]["quotes: SYMBOL = YYY"]) == (1, 2)


def test_taq_columns_are_told_by_their_whole_names(tmp_path):
    """TR_CORR is not CORR, SYMBOL_ROOT not SYMBOL."""
    trades = TRADES.replace("SYMBOL", "SYMBOL_ROOT").replace("CORR", "TR_CORR")
    events = mm.load(taq(tmp_path, trades=trades) / "t.csv", venue="N", cache=False)
    assert events.trades.size.tolist() == [2, 2, 2]
    assert events.source["ignored"] == {"trades: EX = D": 1}


def test_taq_refusals(tmp_path):
    folder = taq(tmp_path)
    with pytest.raises(InvalidArgument, match=r"t.csv: a second file of trades"):
        mm.load([folder / "t.csv", folder / "t.csv"], format="taq", cache=False)
    with pytest.raises(UnknownName, match="'venu' is no option of the taq reader; it has venue, symbol"):
        mm.load(folder / "t.csv", venu="N", cache=False)
    with pytest.raises(InvalidArgument, match="venue must be a text or None, got 5"):
        mm.load(folder / "t.csv", venue=5, cache=False)
    (folder / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InvalidArgument, match=r"x.csv: has not the columns of TAQ"):
        mm.load(folder / "x.csv", format="taq", cache=False)
    (folder / "none").mkdir()
    with pytest.raises(
        FileNotFoundError, match="no quotes or trades in the columns of TAQ; it holds no file"
    ):
        mm.load(folder / "none", format="taq", cache=False)
    wrong = TRADES.replace("157.8125", "x")
    with pytest.raises(InvalidArgument, match=r"t.csv, line 4: price: 'x' is not a decimal number"):
        mm.load(taq(tmp_path, trades=wrong) / "t.csv", venue="N", cache=False)


def test_consolidating_venues():
    stock = mm.Instrument("XYZ", tick="0.01")

    def venue(times, bids, asks, sizes):
        return mm.Events(
            stock, None, mm.Quotes(times, bids, asks, sizes, sizes), source={"clock": "exchange"}
        )

    one = venue([10, 30, 50], [99, 98, NO_BID], [101, 103, NO_ASK], [1, 2, 0])
    two = venue([20, 30], [99, 103], [100, 104], [5, 6])
    trades = mm.Events(stock, None, None, mm.Trades([30], [100], [7]), source={"clock": "exchange"})
    events = mm.feeds.consolidate(one, trades, two)
    q = events.quotes
    assert q.local_time.tolist() == [10, 20, 30, 30, 50]
    assert q.bid.tolist() == [99, 99, 99, 103, 103]
    assert q.bid_size.tolist() == [1, 6, 5, 6, 6]
    assert q.ask.tolist() == [101, 100, 100, 103, 104]
    assert q.ask_size.tolist() == [1, 5, 5, 2, 6]
    assert (q.crossed.tolist(), q.locked.tolist()) == ([False] * 5, [False] * 3 + [True, False])
    assert events.kind.tolist() == [QUOTE, QUOTE, TRADE, QUOTE, QUOTE, QUOTE]
