"""Bitstamp's log, on samples made here."""

import pytest

import mmcore as mm
from mmcore.errors import ConflictError, InvalidArgument, OutOfBounds
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


def test_bitstamp_trades_told_twice_are_one(tmp_path):
    once = 'trade {"price": 236.61, "amount": 0.5, "id": 7}'
    events = mm.load(log(tmp_path, BOOK, once, once, once.replace("7", "8")), cache=False)
    assert (len(events.trades), events.source["ignored"]) == (2, {"repeated ids": 1})
    with pytest.raises(ConflictError, match=r"day.log, line 3: trade id 7 came again with other content"):
        mm.load(log(tmp_path, BOOK, once, once.replace("0.5", "0.6")), cache=False)


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


def test_bitstamp_touch_is_the_best_level_with_a_size(tmp_path):
    levels = '{"bids": [["236.47", "0"], ["236.40", "2"], ["236.46", "1"]], "asks": [["236.5", "3"]]}'
    worst = '{"bids": [["236.40", "2"]], "asks": [["236.70", "4"], ["0", "1"], ["236.5", "3"]]}'
    none = '{"bids": [["236.47", "0.0"]], "asks": []}'
    path = log(tmp_path, BOOK, *(f"order_book {book}" for book in (levels, worst, none)))
    events = mm.load(path, cache=False)
    q = events.quotes
    assert q.bid.tolist() == [23647, 23646, 23640, NO_BID]
    assert q.ask.tolist() == [23664, 23650, 23650, NO_ASK]
    assert (q.bid_size[1], q.ask_size[2]) == (100000000, 300000000)
    assert events.source["odd"] == {"books whose first level is not the touch": 3}


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
