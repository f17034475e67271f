"""TAQ's columns, on samples made here."""

import gzip

import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, UnknownName
from mmcore.events import NO_BID, QUOTE, TRADE

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


def test_a_folder_of_taq_taken_for_another_says_the_format(tmp_path):
    for format in (None, "lobster"):
        with pytest.raises(FileNotFoundError, match="a folder without a LOBSTER pair") as caught:
            mm.load(taq(tmp_path), format=format, cache=False)
        assert caught.value.__notes__ == ['format="taq" (--format taq) reads the quotes and trades in it']
    (tmp_path / "r.csv.gz").write_bytes(b"\x1f\x8b damaged")
    (tmp_path / "none").mkdir()
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="a folder without a LOBSTER pair") as caught:
            mm.load(folder, cache=False)
        assert not hasattr(caught.value, "__notes__")


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


HEAD = "DT,EX,BID,BIDSIZ,OFR,OFRSIZ\n"


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("-10.00,1,10.01,2", "bid: is not above 0"),
        ("10.00,1,-10.01,2", "ask: is not above 0"),
        ("10.00,-1,10.01,2", "bid size: is negative"),
    ],
)
def test_taq_prices_and_sizes_below_0_are_refused(tmp_path, row, what):
    good = "2018-01-02T14:30:00Z,N,,,0,2\n"  # no price, and a price of 0
    (tmp_path / "q.csv").write_text(f"{HEAD}{good}2018-01-02T14:30:01Z,N,{row}\n")
    with pytest.raises(InvalidArgument, match=f"q.csv, line 3: {what}"):
        mm.load(tmp_path / "q.csv", cache=False)
    (tmp_path / "q.csv").write_text(HEAD + good)
    assert not mm.load(tmp_path / "q.csv", cache=False).quotes.two_sided.any()


def test_taq_prices_below_0_of_an_instrument_that_has_them(tmp_path):
    (tmp_path / "q.csv").write_text(HEAD + "2018-01-02T14:30:00Z,N,-10.00,1,0,2\n")
    spread = mm.Instrument("A-B", tick="0.01", negative_prices=True)
    q = mm.load(tmp_path / "q.csv", instrument=spread, cache=False).quotes
    assert (q.bid.tolist(), q.ask.tolist()) == ([-1000], [0])


def test_taq_sizes_off_the_lot_are_told_in_shares(tmp_path):
    (tmp_path / "q.csv").write_text(HEAD + "2018-01-02T14:30:00Z,N,10.00,7,10.01,2\n")
    sevens = mm.Instrument("T", tick="0.01", lot="7")
    with pytest.raises(InvalidArgument, match=r"line 2: ask_size: '2' times 100 is not a multiple of 7$"):
        mm.load(tmp_path / "q.csv", instrument=sevens, cache=False)
