"""What disks, pipes and full folders do to files: every reader and writer of ours against all of it.

What is read is right, or refused with an error that names the file; never a crash, another kind of error, or
fewer rows without a word. What each format can notice of itself:

======= ==================================================================================================
CHECKED every cut, and every changed bit that matters: it has checksums and a length
WHOLE   every cut, for it says where it ends; another number in the place of a number looks like one
LINES   a cut within a row is refused, or counted in ``source["odd"]`` where the rest of it is a row; a file
        that ends with a row is a shorter file
RECORDS every cut within a record; a file that ends with a record is a shorter file
======= ==================================================================================================

Cuts, and the changed bits in the rest, leave what stands before them as it is.
"""

import builtins
import errno
import gzip
import io
import lzma
import os
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm
from mmcore import event_file
from mmcore.cli.returns import read_returns
from mmcore.dp.problem_file import save_solution
from mmcore.errors import CorruptError, Error, InvalidArgument

STOCK = mm.Instrument("XYZ", tick="0.01")
COIN = mm.Instrument("COIN", tick="0.1", lot="0.001")
START = 1609160400 * 10**9
ROWS = 12
CHECKED, WHOLE, LINES, RECORDS = "checked", "whole", "lines", "records"
UNENDED = "last lines without an end"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setenv("MMCORE_CACHE", "off")


@dataclass
class Sample:
    """A file, what its format can notice, how it is read, and what else must stand beside it."""

    name: str
    data: bytes
    notices: str
    options: dict
    beside: tuple = ()

    def read(self, path):
        return mm.load(path, **self.options)

    def content(self, read):
        return [c.tolist() for part in (read.quotes, read.trades) for c in part.columns().values()]

    def write(self, folder, data=None):
        for name, other in self.beside:
            (folder / name).write_bytes(other)
        path = folder / self.name
        path.write_bytes(self.data if data is None else data)
        return path


class State(Sample):
    """A saved session."""

    def read(self, path):
        return mm.restore(path)

    def content(self, read):
        return repr(read)


class Returns(Sample):
    """Returns of assets."""

    def read(self, path):
        return read_returns(str(path), False)

    def content(self, read):
        return [read[0], *read[1].T.tolist()]


QUOTED = "time,bid,ask,bid_size,ask_size\n" + "".join(
    f"{1723118400 + i},1.{10 + i},2,3,{40 + i}\n" for i in range(ROWS)
)


def plain():
    return Sample("rows.csv", QUOTED.encode(), LINES, {"format": "csv", "instrument": STOCK})


def packed(pack, notices, end):
    return Sample(f"rows.csv.{end}", pack(QUOTED.encode()), notices, {"instrument": STOCK})


def zipped(data):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("rows.csv", data)
    return held.getvalue()


def zstd(data):
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        zstd = pytest.importorskip("backports.zstd")
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def depth():
    lines = ['1723161255000000000 {"lastUpdateId":5,"bids":[["9.9","1.000"]],"asks":[["10.0","1.000"]]}']
    lines += [
        f'172316125500000000{i} {{"e":"depthUpdate","s":"COIN","T":1723161256310,"pu":{i + 4},"U":{i + 5},'
        f'"u":{i + 5},"b":[["9.9","{i + 1}.000"]],"a":[]}}'
        for i in range(1, 10)
    ]
    options = {"format": "binance", "instrument": COIN, "quotes": "depth"}
    return Sample("depth", "".join(line + "\n" for line in lines).encode(), LINES, options)


def binance_files():
    text = "".join(f"{i},10.{i % 10},0.001,0,{1723161600000 + i},true\n" for i in range(ROWS))
    return Sample("t.csv", text.encode(), LINES, {"format": "binance_files", "instrument": COIN})


def bitstamp():
    text = "".join(
        f'{1430438404518 + i} trade {{"price": 236.{10 + i}, "amount": 0.5}}\n' for i in range(ROWS)
    )
    return Sample("log", text.encode(), LINES, {"format": "bitstamp"})


def taq():
    text = "DT,EX,BID,BIDSIZ,OFR,OFRSIZ,SYMBOL\n" + "".join(
        f"2018-01-02T14:30:{10 + i}.000001Z,N,99.{10 + i},1,100,2,XXX\n" for i in range(ROWS)
    )
    return Sample("taq.csv", text.encode(), LINES, {"format": "taq", "venue": "N"})


def lobster(which):
    start = "X_2012-06-21_34200000_57600000_"
    files = {
        "message": "".join(f"{34200 + i}.5,1,{i},20,1000{i % 10}00,1\n" for i in range(ROWS)),
        "orderbook": "".join(f"1001500,100,1000{i % 10}00,2{i}\n" for i in range(ROWS)),
    }
    other = "orderbook" if which == "message" else "message"
    beside = ((f"{start}{other}_1.csv", files[other].encode()),)
    # The other file says how many rows there are.
    return Sample(f"{start}{which}_1.csv", files[which].encode(), WHOLE, {"format": "lobster"}, beside)


def databento():
    dbn = pytest.importorskip("databento_dbn")
    said = dbn.Metadata(
        dataset="GLBX.MDP3", start=START, stype_in=dbn.SType.RAW_SYMBOL, stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema("mbo"), symbols=["ESH1"], partial=[], not_found=[], mappings=[], version=3,
    )  # fmt: skip
    rows = np.zeros(ROWS + 1, dbn.MBOMsg._dtypes)
    rows["length"], rows["rtype"], rows["flags"] = rows.dtype.itemsize // 4, 160, 128
    rows["ts_recv"] = rows["ts_event"] = START + np.arange(ROWS + 1)
    rows["action"], rows["side"] = [b"R"] + [b"A"] * ROWS, [b"N"] + [b"A", b"B"] * (ROWS // 2)
    rows["order_id"], rows["size"] = np.arange(ROWS + 1), 3
    rows["price"] = 10**9 * (
        50 + np.where(rows["side"] == b"A", 20 - np.arange(ROWS + 1), np.arange(ROWS + 1))
    )
    data = bytes(said.encode()) + rows.tobytes()
    return Sample("day.dbn", data, RECORDS, {"format": "databento", "instrument": STOCK})


def hftbacktest():
    names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    rows = np.zeros(ROWS, list(zip(names, ("u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"), strict=True)))
    rows["ev"], rows["px"], rows["qty"] = 1 << 30 | 1 << 29 | 2, 9.9, 1.5
    rows["exch_ts"] = rows["local_ts"] = 1723118400 * 10**9 + np.arange(ROWS)
    held = io.BytesIO()
    np.savez(held, data=rows)
    return Sample("day.npz", held.getvalue(), CHECKED, {"instrument": COIN})


def table(ending):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    made = pa.table({"time": START + np.arange(ROWS), "bid": [1.5] * ROWS, "ask": np.arange(ROWS) + 2})
    held = io.BytesIO()
    if ending == "parquet":
        pq.write_table(made, held, store_schema=False)
    else:
        with pa.ipc.new_file(held, made.schema) as file:
            file.write_table(made)
    return Sample(f"rows.{ending}", held.getvalue(), WHOLE, {"instrument": STOCK})


def nautilus():
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    stamps = {"ts_event": START + np.arange(ROWS), "ts_init": START + np.arange(ROWS)}
    number = pa.array([10**10] * ROWS, pa.int64())
    made = pa.table({"price": number, "size": number, "aggressor_side": [1] * ROWS} | stamps)
    said = {"instrument_id": "XYZ.SIM", "price_precision": "2", "size_precision": "1"}
    held = io.BytesIO()
    pq.write_table(made.replace_schema_metadata(said), held)
    return Sample("ticks.parquet", held.getvalue(), WHOLE, {"format": "nautilus"})


def written(save):
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder, "file"))
        return Path(folder, "file").read_bytes()


def table_of(rows):
    return mm.Events(STOCK, None, mm.Quotes(START + np.arange(rows), [99] * rows, [101] * rows))


SAMPLES = {
    "csv": plain,
    "csv.gz": lambda: packed(lambda data: gzip.compress(data, mtime=0), CHECKED, "gz"),
    "csv.xz": lambda: packed(lzma.compress, CHECKED, "xz"),
    "csv.zip": lambda: packed(zipped, CHECKED, "zip"),
    "csv.zst": lambda: packed(zstd, CHECKED, "zst"),
    "binance depth": depth,
    "binance files": binance_files,
    "bitstamp": bitstamp,
    "taq": taq,
    "lobster messages": lambda: lobster("message"),
    "lobster order book": lambda: lobster("orderbook"),
    "databento": databento,
    "hftbacktest": hftbacktest,
    "parquet": lambda: table("parquet"),
    "arrow": lambda: table("arrow"),
    "nautilus": nautilus,
    "events": lambda: Sample("day.events", written(table_of(ROWS).save), CHECKED, {}),
    "state": lambda: State("kept", written(lambda path: mm.save(path, x=[1, 2.5], model=STOCK)), CHECKED, {}),
    "returns": lambda: Returns(
        "r.csv", ("A,B\n" + "".join(f"0.0{i},-0.1{i}\n" for i in range(ROWS))).encode(), LINES, {}
    ),
}


@pytest.fixture(params=SAMPLES)
def sample(request):
    return SAMPLES[request.param]()


# ---- reading


@contextmanager
def through(path, raw):
    """Let `path` be read through a raw file of one's own."""
    opened = builtins.open

    def replaced(file, mode="r", *rest, **kw):
        if os.fspath(file) == os.fspath(path) and mode == "rb":
            return io.BufferedReader(raw(file), 64)
        return opened(file, mode, *rest, **kw)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", replaced)
        yield


@pytest.mark.parametrize("most", [1, 7])
def test_short_reads_change_nothing(tmp_path, sample, most):
    """Pipes and network drives give fewer bytes than asked for."""

    class Drip(io.FileIO):
        def readinto(self, buffer):
            return super().readinto(memoryview(buffer)[:most])

    path = sample.write(tmp_path)
    whole = sample.content(sample.read(path))
    assert len(str(whole)) > ROWS
    with through(path, Drip):
        assert sample.content(sample.read(path)) == whole


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_failing_disk_is_an_error_of_the_system_that_names_the_file(tmp_path, sample, share):
    path = sample.write(tmp_path)
    bad = min(int(share * len(sample.data)), len(sample.data) - 1)

    met = []

    class Failing(io.FileIO):
        def readinto(self, buffer):
            at = self.tell()
            if at <= bad < at + len(buffer):
                if at == bad:
                    met.append(at)
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                buffer = memoryview(buffer)[: bad - at]
            return super().readinto(buffer)

        def readall(self):
            return b"".join(iter(lambda: self.read(64), b""))

        def read(self, size=-1):
            held = bytearray(size)
            return bytes(held[: self.readinto(held)])

    whole = sample.content(sample.read(path))
    refused = None
    with through(path, Failing):
        try:
            assert sample.content(sample.read(path)) == whole  # the rest lies between columns
        except (OSError, CorruptError) as error:
            refused = error
    assert bool(met) == bool(refused)
    if isinstance(refused, OSError):
        assert (refused.errno, refused.filename) == (errno.EIO, str(path))
    elif refused:  # a zip's directory is looked for from its end, and zipfile takes no answer for none
        assert sample.name.endswith(("zip", "npz"))
        assert str(path) in str(refused)
    assert met or sample.notices == CHECKED


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file of Linux's that cannot be read")
@pytest.mark.parametrize("format", [f for f in mm.feeds.FORMATS if f != "lobster"])
def test_a_file_of_the_system_that_cannot_be_read(format):
    """Whose first byte is no memory: EIO; its size is told as 0."""
    expected = (OSError, CorruptError)  # the latter of what needs a size
    with pytest.raises(expected, match="/proc/self/mem"):
        mm.load("/proc/self/mem", format=format, instrument=None if format == "events" else STOCK)


def cuts(data):
    """Cuts all over a file, at each of its last bytes, and where rows of DBN end."""
    ends = range(len(data) - 56, 0, -56)
    return sorted({*range(0, len(data), max(1, len(data) // 80)), *range(len(data) - 12, len(data)), *ends})


def test_every_cut_is_refused_or_told(tmp_path, sample):
    whole = sample.content(sample.read(sample.write(tmp_path)))
    read = 0
    for size in cuts(sample.data):
        part = sample.data[:size]
        path = sample.write(tmp_path, part)
        try:
            found = sample.read(path)
        except Error:
            continue
        read += 1
        ended = part.endswith(b"\n")
        source = {} if isinstance(sample, Returns) else found.source
        told = any(what.endswith(UNENDED) for what in source.get("odd", ()))
        assert sample.notices in (LINES, RECORDS) or (told and sample.options.get("format") == "lobster")
        if sample.notices == LINES and not ended and not isinstance(sample, Returns):
            # A message in JSON ends with its bracket: what is left of one is refused, or of no kind.
            assert told or part.endswith(b"}") or "unknown" in source["ignored"]
        for name, column in zip(sample.content(found), whole, strict=True):
            sure = name[:-1] if told or isinstance(sample, Returns) else name
            assert sure == column[: len(sure)]
    assert read > 3 or sample.notices not in (LINES, RECORDS)
    with pytest.raises((Error, OSError)):
        sample.read(sample.write(tmp_path, b""))


def test_flipped_bits_are_refused_or_seen_as_what_they_are(tmp_path, sample):
    """Never a crash or another kind of error; and where there are checksums nothing else than what was."""
    whole = sample.content(sample.read(sample.write(tmp_path)))
    read = 0
    for place in range(0, len(sample.data) * 8, max(1, len(sample.data) * 8 // 150) | 1):
        data = bytearray(sample.data)
        data[place // 8] ^= 1 << place % 8
        try:
            found = sample.read(sample.write(tmp_path, bytes(data)))
        except (Error, FileNotFoundError):
            continue
        read += 1
        if sample.notices == CHECKED:
            assert sample.content(found) == whole
        elif not isinstance(sample, Returns):
            assert (np.diff(found.local_time) >= 0).all()
    assert read > 0 or sample.notices == CHECKED


def test_what_is_not_there_and_what_is_a_folder_are_named(tmp_path, sample):
    path = sample.write(tmp_path)
    path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        sample.read(path)
    assert path.name in str(caught.value)
    path.mkdir()
    with pytest.raises((InvalidArgument, OSError)) as caught:
        sample.read(path)
    assert path.name in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="no users here")
def test_what_may_not_be_read_is_named(sample):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = sample.write(Path(folder))
        whole = sample.content(sample.read(path))
        path.chmod(0)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError) as caught:
                sample.read(path)
        finally:
            if root:
                os.seteuid(0)
        assert caught.value.filename == str(path)
        path.chmod(0o600)
        assert sample.content(sample.read(path)) == whole


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
@pytest.mark.parametrize("format", [None, *mm.feeds.FORMATS])
def test_a_pipe_is_refused_at_once(tmp_path, format):
    """A feed's first lines are read before it is; a pipe would wait for ever, or have lost them."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((InvalidArgument, FileNotFoundError), match="pipe"):
        mm.load(tmp_path / "pipe", format=format, instrument=None if format == "events" else STOCK)


# ---- writing


N = 800
SOLVED = mm.dp.MDP(np.random.default_rng(1).uniform(size=(N, 1)), np.full((N, 1, N), 1 / N), 0.5)


WRITERS = {
    "events": lambda path: table_of(2000).save(path),
    "state": lambda path: mm.save(path, data=bytes(20_000)),
    "solution": lambda path: save_solution(path, SOLVED.solve()),
}


@contextmanager
def little_room(size=4096):
    """No file may grow beyond so many bytes, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, writer):
    path = tmp_path / "file"
    for there in (False, True):
        if there:
            path.write_bytes(event_file.MAGIC)  # which every writer may replace
        with little_room(), pytest.raises(OSError) as caught:
            WRITERS[writer](path)
        assert caught.value.errno == errno.EFBIG
        assert caught.value.filename == str(path)
        assert os.listdir(tmp_path) == (["file"] if there else [])
    assert path.read_bytes() == event_file.MAGIC
    WRITERS[writer](path)
    assert path.stat().st_size > 4096


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_device_is_named(writer):
    with pytest.raises(OSError) as caught:
        WRITERS[writer]("/dev/full")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")


def test_a_full_disk_under_the_cache_changes_nothing(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setenv("MMCORE_CACHE", str(cache))
    sample = SAMPLES["csv"]()
    path = sample.write(tmp_path)
    with little_room(512):
        found = sample.read(path)
    assert os.listdir(cache) == []
    assert sample.content(sample.read(path)) == sample.content(found)
    assert len(os.listdir(cache)) == 1


@pytest.mark.parametrize("out", ["out/day.events", "/dev/full"])
def test_the_command_that_converts_says_that_there_is_no_room(tmp_path, monkeypatch, capsys, out):
    from mmcore.cli import main

    if out == "/dev/full" and not os.path.exists(out):
        pytest.skip("needs a device that is full")
    monkeypatch.chdir(tmp_path)
    path = SAMPLES["csv"]().write(tmp_path)
    (tmp_path / "out").mkdir()
    with little_room(512), pytest.raises(SystemExit) as left:
        main(["feed", "convert", str(path), "--instrument", "XYZ", "--tick", "0.01", "--out", out])
    assert left.value.code
    assert out in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == []
