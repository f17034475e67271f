"""A feed that is gathered on the disk, part by part, is the table that is made in memory at once."""

import errno
import gzip
import io
import json
import mmap
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import ConflictError, InvalidArgument
from mmcore.events import QUOTE, Events, Quotes, Trades
from mmcore.feeds import csv, databento, hftbacktest, table, text
from mmcore.feeds.binance import _delays
from mmcore.feeds.table import Table

STOCK = mm.Instrument("XYZ", tick="0.01")
START = 1723118400 * 10**9
ROWS = 400


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


def csv_of_both(folder):
    rng = random.Random(1)
    lines = ["time,kind,bid,ask,price,size,side"]
    for n in range(ROWS):
        stamp = f"{1723118400 + n // 3}.5"  # three rows of one stamp each
        price = rng.randrange(9_900, 10_100) / 100
        if rng.random() < 0.4:
            lines.append(f"{stamp},t,,,{price:.2f},{rng.randrange(1, 9)},b")
        else:
            lines.append(f"{stamp},q,{price - 0.01:.2f},{price + 0.01:.2f},,,")
    (folder / "both.csv").write_text("\n".join(lines))
    return folder / "both.csv", {"instrument": STOCK}


def csv_out_of_order(folder):
    path, options = csv_of_both(folder)
    head, *lines = path.read_text().splitlines()
    random.Random(2).shuffle(lines)
    path.write_text("\n".join([head, *lines]))
    return path, options | {"sort": True}


def binance_rows(start, count):
    ids = range(start, start + count)
    return "\n".join(f"{n},{100 + n % 7}.00,1.5,150,{1723118400000 + 7 * n},{n % 2 == 0}" for n in ids)


def binance_trades(folder):
    paths = []
    # The second file begins in the first, misses ids, and has one out of order twice.
    second = binance_rows(ROWS - 50, 40) + "\n" + binance_rows(ROWS - 10, 20) + "\n"
    third = [binance_rows(n, 1) for n in (ROWS + 20, ROWS + 19, ROWS + 22, ROWS + 19, ROWS + 20, ROWS + 23)]
    late = [
        row.replace(str(1723118400000 + 7 * (ROWS + 19)), str(1723118400000 + 7 * (ROWS + 20)))
        for row in third
    ]
    for name, content in (("08", binance_rows(0, ROWS)), ("09", second + "\n".join(late))):
        paths.append(folder / f"BTCUSDT-trades-2024-08-{name}.zip")
        with zipfile.ZipFile(paths[-1], "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("rows.csv", content)
    return paths, {}


def binance_aggregated(folder):
    rows = [
        f"{n},100.00,1.5,{-1 if n == 9 else n},{-1 if n == 9 else n},{1723118400000 + n},true"
        for n in range(ROWS)
    ]
    path = folder / "BTCUSDT-aggTrades-2024-08-08.csv"
    path.write_text("agg_trade_id,price,quantity,first,last,time,maker\n" + "\n".join(rows))
    return path, {}


def binance_ticker(folder):
    rows = [
        f"{3 * n},{100 + n % 5}.0,2.000,101.5,0.5,{1723118400000 + n},{1723118400001 + n}"
        for n in range(ROWS)
    ]
    path = folder / "BTCUSDT-bookTicker-2024-08-08.csv"
    path.write_text("\n".join(rows))
    return path, {}


def capture(folder, extra=()):
    rng = random.Random(3)
    lines = []
    for n in range(ROWS):
        local, theirs = START + n * 10**6, 1723118400000 + n - rng.randrange(-4, 9)
        if n % 3 == 0:
            data = {
                "e": "trade",
                "s": "BTCUSDT",
                "T": theirs,
                "p": "100.1",
                "q": "0.5",
                "X": "MARKET",
                "m": True,
            }
        elif n % 7 == 0:
            data = {"e": "aggTrade", "s": "BTCUSDT"}
        else:
            data = {
                "e": "bookTicker",
                "s": "BTCUSDT",
                "T": theirs,
                "b": f"{100 + n % 9}.0",
                "B": "1",
                "a": "120",
                "A": "2",
            }
        lines.append(f"{local} {json.dumps({'stream': 'btcusdt@' + data['e'], 'data': data})}")
    path = folder / "btcusdt.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path, {}


def capture_of_depth(folder):
    lines = [f'{START} {{"lastUpdateId":0,"T":1723118400000,"bids":[["100.0","1"]],"asks":[["101.0","1"]]}}']
    for n in range(1, ROWS):
        data = {
            "e": "depthUpdate",
            "s": "BTCUSDT",
            "T": 1723118400000 + n,
            "U": n,
            "u": n,
            "pu": n - 1 - (n == 200),
        }
        data |= {"b": [[f"{98 + n % 3}.0", str(n % 5)]], "a": []}
        lines.append(f"{START + n * 10**6} {json.dumps({'stream': 'btcusdt@depth', 'data': data})}")
        if n == 220:
            snapshot = {"lastUpdateId": n, "T": 1723118400999, "bids": [["99.0", "1"]], "asks": []}
            lines.append(f"{START + n * 10**6} {json.dumps(snapshot, separators=(',', ':'))}")
    path = folder / "depth.txt"
    path.write_text("\n".join(lines))
    return path, {"quotes": "depth"}


def bitstamp(folder):
    lines = []
    for n in range(ROWS):
        what = 'order_deleted {"id": 1}'
        if n % 3 == 0:
            what = 'trade {"price": 236.61000000000001, "amount": 0.5, "id": 1}'
        elif n % 3 == 1:
            what = f'order_book {{"bids": [["236.{n % 60}", "1.5"]], "asks": [["236.64", "3.79"]]}}'
        lines.append(f"{1430438404518 + n // 2} {what}")
    path = folder / "orders.log"
    path.write_text("\n".join(lines))
    return path, {}


def taq(folder):
    stamps = [f"2018-01-02T14:30:{n // 4 % 60:02d}.0000{n // 4:02d}Z" for n in range(240)]
    quotes = [f"{stamp},N,156.57,1,158.85,2,XXX" for stamp in stamps] + [
        "2018-01-02T14:31:00Z,N,0,0,1,1,XXX"
    ] * 9
    trades = [f"{stamp},{'NP'[n % 2]},XXX,,2,157.8{n % 3},{n % 5}" for n, stamp in enumerate(stamps)]
    (folder / "q.csv").write_text("DT,EX,BID,BIDSIZ,OFR,OFRSIZ,SYMBOL\n" + "\n".join(quotes))
    (folder / "t.csv").write_text("DT,EX,SYMBOL,COND,SIZE,PRICE,CORR\n" + "\n".join(trades))
    return folder, {"format": "taq", "venue": "N"}


def parquet(folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    bids = pa.array([100.25 + n % 4 for n in range(ROWS)])
    found = pa.table({"time": pa.array([START + n for n in range(ROWS)]), "bid": bids, "ask": bids})
    pq.write_table(found, folder / "rows.parquet")
    return folder / "rows.parquet", {"instrument": STOCK}


def dbn_of(folder):
    dbn = pytest.importorskip("databento_dbn")
    made = np.zeros(ROWS, np.dtype(dbn.MBP1Msg._dtypes))
    made["length"], made["rtype"], made["side"] = made.dtype.itemsize // 4, 1, b"B"
    made["action"] = np.array([b"A", b"T", b"F"])[np.arange(ROWS) % 3]
    made["ts_recv"], made["ts_event"] = START + np.arange(ROWS), START - 5
    made["price"] = made["bid_px_00"] = 25 * 10**7 * (400 + np.arange(ROWS) % 9)
    made["ask_px_00"], made["size"], made["bid_sz_00"], made["ask_sz_00"] = 10**12, 3, 1, 2
    head = dbn.Metadata(
        dataset="GLBX.MDP3", schema=dbn.Schema("mbp-1"), start=START, stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID, symbols=[], partial=[], not_found=[], mappings=[], version=3,
    ).encode()  # fmt: skip
    (folder / "records.dbn").write_bytes(bytes(head) + made.tobytes())
    return folder / "records.dbn", {"instrument": mm.Instrument("ESH1", tick="0.25")}


def lobster(folder):
    rng = random.Random(7)
    messages, books = [], []
    for n in range(ROWS):
        kind = rng.choice((1, 3, 4, 4, 5, 6, 7))
        price = rng.choice((-1, 0, 1)) if kind == 7 else 100 * rng.randrange(9_900, 10_100)
        messages.append(f"34200.{n // 3:04},{kind},{n},{n % 9 + 1},{price},{rng.choice((-1, 1))}")
        # the rows of the two files differ in length, so that their parts never end together
        books.append(f"{1000000 + 100 * (n % 7)},{n + 1},{999000 - 100 * (n % 5)},5" + ",1000000,1,1,1" * 2)
    (folder / "XYZ_2012-06-21_34200000_57600000_message_3.csv").write_text("\n".join(messages))
    (folder / "XYZ_2012-06-21_34200000_57600000_orderbook_3.csv").write_text("\n".join(books) + "\n")
    return folder, {}


def npz(folder):
    rng = random.Random(8)
    data = np.zeros(
        ROWS,
        [
            (n, "f8" if n in ("px", "qty") else "i8")
            for n in ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
        ],
    )
    for n in range(ROWS):
        kind, side = rng.choice((1, 1, 1, 2, 3, 4, 5, 7)), rng.choice((1 << 29, 1 << 28))
        data[n] = (
            rng.choice((1, 3)) << 30 | side | kind,
            START + n,
            START + n // 3,
            rng.randrange(90, 99) / 100,
            rng.randrange(1, 9),
            0,
            0,
            0,
        )
    np.savez_compressed(folder / "day.npz", data=data)
    return folder / "day.npz", {"instrument": STOCK}


FEEDS = (
    lobster,
    npz,
    csv_of_both,
    csv_out_of_order,
    binance_trades,
    binance_aggregated,
    binance_ticker,
    capture,
    capture_of_depth,
    bitstamp,
    taq,
    parquet,
    dbn_of,
)


@pytest.mark.parametrize("feed", FEEDS, ids=lambda feed: feed.__name__)
def test_a_table_gathered_on_the_disk_in_small_parts_is_the_table_in_memory(tmp_path, monkeypatch, feed):
    source = tmp_path / "source"
    source.mkdir()
    path, options = feed(source)
    whole = mm.load(path, **options)
    assert len(whole) >= 100
    whole.save(tmp_path / "whole.events")

    parts = []
    add = Table.add
    monkeypatch.setattr(Table, "add", lambda self, part: (parts.append(len(part)), add(self, part))[1])
    monkeypatch.setattr(text, "_BLOCK", 512)
    monkeypatch.setattr(databento, "_RECORDS", 7)
    monkeypatch.setattr(hftbacktest, "_ROWS", 7)
    monkeypatch.setattr(table, "_AHEAD", 11)
    monkeypatch.setattr("mmcore.events._ROWS", 13)
    spool = tmp_path / "spool"
    spool.mkdir()
    streamed = mm.load(path, spool=spool, **options)
    assert len(parts) > (1 if feed is parquet else 10)
    assert sum(parts) == len(whole)
    streamed.save(tmp_path / "streamed.events")
    assert (tmp_path / "streamed.events").read_bytes() == (tmp_path / "whole.events").read_bytes()
    assert streamed.source == whole.source
    assert list(spool.iterdir()) == []
    columns = [streamed.kind, *streamed.quotes.columns().values(), *streamed.trades.columns().values()]
    for column in columns:
        assert not column.flags.writeable
        base = column
        while isinstance(base, np.ndarray):
            base = base.base
        assert not len(column) or isinstance(base.obj, mmap.mmap)


def test_ids_that_are_odd_are_told_by_hand(tmp_path):
    paths, _ = binance_trades(tmp_path)
    events = mm.load(paths, spool=tmp_path)
    # 0 to ROWS + 9, then 20, 19, 22, 23 beyond ROWS; 50 of the overlap, and 19 and 20 a second time
    assert len(events.trades) == ROWS + 10 + 4
    assert events.source["ignored"] == {"repeated ids": 50 + 2}
    assert events.source["odd"] == {
        "ids out of order": 1,
        "last lines without an end": 2,
        "missing ids": 9 + 1,
    }


@pytest.mark.parametrize("block", [64, 1 << 20])
@pytest.mark.parametrize("sort", [False, True])
@given(data=st.data())
def test_repeats_and_regressions_are_those_of_a_dictionary(tmp_path_factory, block, sort, data):
    """Any sequence of ids against the rule in its plainest form."""
    ids = data.draw(st.lists(st.integers(-5, 20), min_size=1, max_size=40))
    stamps = [data.draw(st.integers(0, 3)) for _ in ids] if sort else [0] * len(ids)
    stamp_of = dict(zip(reversed(ids), reversed(stamps), strict=True))  # of the first time
    conflict = data.draw(st.booleans())
    rows = [(number, stamp_of[number], number % 4 + 1) for number in ids]
    if conflict:
        at = data.draw(st.integers(0, len(ids) - 1))
        rows[at] = (rows[at][0], rows[at][1], 9)
    seen, kept, late, highest, again = {}, [], 0, None, False
    for number, *content in rows:
        if number in seen:
            again |= seen[number] != content
            continue
        seen[number] = content
        kept.append(content)
        late += highest is not None and number < highest
        highest = number if highest is None else max(highest, number)
    path = tmp_path_factory.mktemp("ids") / "rows.csv"
    lines = [f"{1723118400 + stamp},100,{size},{number}" for number, stamp, size in rows]
    path.write_text("time,price,size,id\n" + "\n".join(lines))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(text, "_BLOCK", block)
        for options in ({}, {"spool": path.parent}):
            if again:
                with pytest.raises(ConflictError, match="came again with another size"):
                    mm.load(path, instrument=STOCK, sort=sort, cache=False, **options)
                continue
            events = mm.load(path, instrument=STOCK, sort=sort, cache=False, **options)
            expected = sorted(kept, key=lambda content: content[0])
            assert events.trades.size.tolist() == [size for _, size in expected]
            missing = max(seen) - min(seen) + 1 - len(seen)
            odd = {name: events.source["odd"].get(name, 0) for name in ("ids out of order", "missing ids")}
            assert odd == {"ids out of order": late, "missing ids": missing}
            assert events.source["ignored"].get("repeated ids", 0) == len(rows) - len(kept)


@given(
    times=st.lists(
        st.tuples(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 9), max_size=12)),
        max_size=6,
    ),
    size=st.integers(1, 9),
    spooled=st.booleans(),
)
def test_sorting_and_merging_are_those_of_python(tmp_path_factory, times, size, spooled):
    folder = tmp_path_factory.mktemp("spool") if spooled else None
    parts, rows = [], []
    for quotes, trades in times:
        q = Quotes(sorted(quotes), bid=[len(rows) + 1] * len(quotes), ask=[9**9] * len(quotes))
        t = Trades(sorted(trades), price=[len(rows) + 1] * len(trades), size=[1] * len(trades))
        part = Events(STOCK, None, q, t)
        rows += [(int(time), int(kind)) for time, kind in zip(part.local_time, part.kind, strict=True)]
        parts.append(part)
    with pytest.MonkeyPatch.context() as patched, Table(folder) as sorting, Table(folder) as merging:
        patched.setattr(table, "_AHEAD", size)
        patched.setattr("mmcore.events._ROWS", size)
        for part in parts:
            sorting.add(part)
        sorting.sort()
        events = sorting.events(STOCK, source={})
        # Each kind at once, as a reader of two files has them.
        for which in ("quotes", "trades"):
            every = [getattr(part, which) for part in parts if len(getattr(part, which))]
            stamps = sorted(time for one in every for time in one.local_time.tolist())
            if stamps and which == "quotes":
                merging.add(Events(STOCK, None, Quotes(stamps, [1] * len(stamps), [2] * len(stamps))))
            elif stamps:
                merging.add(Events(STOCK, None, None, Trades(stamps, [1] * len(stamps), [1] * len(stamps))))
        merging.merge()
        merged = merging.events(STOCK, source={})
        expected = sorted(rows, key=lambda row: row[0])
        found = list(zip(events.local_time.tolist(), events.kind.tolist(), strict=True))
        assert found == expected
        for own, column in (("quotes", "bid"), ("trades", "price")):
            all_rows = [
                (time, number)
                for part in parts
                for time, number in zip(
                    getattr(part, own).local_time, getattr(getattr(part, own), column), strict=True
                )
            ]
            got = getattr(events, own).columns()[column].tolist()
            assert got == [int(number) for _, number in sorted(all_rows, key=lambda row: row[0])]
        whole = sorted(rows, key=lambda row: (row[0], row[1] == QUOTE))
        assert list(zip(merged.local_time.tolist(), merged.kind.tolist(), strict=True)) == whole


def test_a_table_whose_parts_overlap_is_refused_unless_it_is_sorted():
    with Table() as parts:
        for time in (20, 10):
            parts.add(Events(STOCK, None, Quotes([time], [99], [101])))
        with pytest.raises(InvalidArgument, match="local_time"):
            parts.events(STOCK, source={})


@given(st.lists(st.integers(-(2**40), 2**40), max_size=50), st.integers(2, 9))
def test_the_median_delay_is_that_of_a_sort(delays, bins):
    exchange = np.arange(len(delays), dtype=np.int64)
    order = np.argsort(exchange + np.array(delays, dtype=np.int64), kind="stable")
    local = (exchange + np.array(delays, dtype=np.int64))[order]
    one = np.ones(len(delays), dtype=np.int64)
    quotes = Quotes(local, one, one, exchange_time=exchange[order])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.feeds.binance._BINS", bins)
        found = _delays(quotes, Trades([], [], []))
    there = sorted(delay for delay in delays if delay)
    expected = {"min": there[0], "median": there[len(there) // 2], "max": there[-1]} if there else None
    assert found == expected


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    path, options = csv_of_both(tmp_path)
    spool = tmp_path / "spool"
    spool.mkdir()

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(
        table.tempfile, "TemporaryFile", lambda **_: Full(os.open(spool, os.O_TMPFILE | os.O_RDWR), "r+")
    )
    with pytest.raises(OSError, match="No space left on device") as caught:
        mm.load(path, spool=spool, **options)
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(spool)
    assert list(spool.iterdir()) == []


def test_a_spool_is_a_folder(tmp_path):
    path, options = csv_of_both(tmp_path)
    for wrong in ("", path, tmp_path / "none"):
        with pytest.raises(InvalidArgument, match="spool must be a folder that exists"):
            mm.load(path, spool=wrong, **options)


def convert(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "mmcore", "feed", "convert", *map(str, arguments)],
        capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


def test_the_command_writes_what_load_makes(tmp_path):
    path, _ = csv_of_both(tmp_path)
    done = convert(path, "--tick", "0.01", "--out", tmp_path / "day.events", "--json")
    assert done.returncode == 0, done.stderr
    mm.load(path, instrument=mm.Instrument("both", tick="0.01")).save(tmp_path / "loaded.events")
    assert (tmp_path / "day.events").read_bytes() == (tmp_path / "loaded.events").read_bytes()
    assert json.loads(done.stdout)["bytes"] == (tmp_path / "day.events").stat().st_size


@pytest.mark.skipif(os.name == "nt", reason="limits of a process are of POSIX")
@pytest.mark.parametrize(("limit", "named"), [(100, ""), (5000, "/day.events")])  # of a column, and of all
def test_a_conversion_that_fails_keeps_the_file_that_was_there(tmp_path, limit, named):
    path, _ = csv_of_both(tmp_path)
    old = mm.load(path, instrument=STOCK, cache=False).between(0, 0)
    old.save(tmp_path / "day.events")
    before = (tmp_path / "day.events").read_bytes()
    import resource

    done = convert(
        path, "--tick", "0.01", "--out", tmp_path / "day.events",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{tmp_path}{named}: File too large" in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["both.csv", "day.events"]
    assert (tmp_path / "day.events").read_bytes() == before


def test_a_conversion_that_is_interrupted_leaves_nothing(tmp_path):
    path, options = csv_of_both(tmp_path)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mm.load(path, spool=tmp_path, progress=interrupt, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["both.csv"]


def test_layouts_are_added_one_after_the_other(tmp_path):
    path, _ = csv_of_both(tmp_path)
    with Table() as parts:
        source, note = csv.add([path], STOCK, csv.Layout(), None, parts)
    assert source["files"] == ["both.csv"]
    assert "one clock" in note


def test_the_memory_of_a_conversion_and_of_a_replay_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "_BLOCK", 1 << 15)
    monkeypatch.setattr("mmcore.events._ROWS", 1 << 10)
    policy = mm.Quoter(mm.Affine(base=1.0, q_max=10), STOCK)
    peaks = {"convert": [], "show": [], "replay": []}
    for rows in (30_000, 120_000):
        path, out = tmp_path / "rows.csv", tmp_path / f"{rows}.events"
        lines = (f"{START + n * 10**5},{n % 3 + 99},{n % 3 + 101},{n}" for n in range(rows))
        path.write_text("time,bid,ask,id\n" + "\n".join(lines))

        def peak_of(job):
            tracemalloc.start()
            try:
                return job(), tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

        def converted(path=path, out=out):
            mm.load(path, instrument=STOCK, spool=tmp_path).save(out)
            return Events.load(out)

        events, peak = peak_of(converted)
        peaks["convert"].append(peak)
        peaks["show"].append(peak_of(events.summary)[1])
        peaks["replay"].append(peak_of(lambda events=events: mm.replay(events, policy, interval=2.0))[1])
        assert len(events) == rows
    for small, large in peaks.values():
        assert large < small + 100_000  # of the 4.4 MB that there are more
