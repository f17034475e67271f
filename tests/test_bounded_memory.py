"""A feed of any length is converted and replayed in the memory that a short one needs.

A process does its job on a short feed first, so that all it ever imports is there, and then may take so many
bytes more of memory that is its own (``RLIMIT_DATA``), which the job on a long one has to make do with. What
is mapped from files does not count: that is what the system takes back whenever it wants.
"""

import csv
import subprocess
import sys

import numpy as np
import pytest

import mmcore as mm
from mmcore.events import QUOTE, Events, Quotes, Trades
from mmcore.feeds.table import Table

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere RLIMIT_DATA does not count mappings"
)

STOCK = mm.Instrument("XYZ", tick="0.01")
START = 1723118400 * 10**9
DAY = 3600 * 10**9
MEGABYTE = 1 << 20

BOUNDED = """
import re, resource, sys
from pathlib import Path
from mmcore.cli import main

def run(arguments):
    try:
        main(arguments)
    except SystemExit as done:
        if done.code:
            sys.exit(done.code)

more, arguments = int(sys.argv[1]), sys.argv[2:]
at = arguments.index("SHORT,LONG")
short, long = ([*arguments[:at], path, *arguments[at + 2:]] for path in arguments[at + 1].split(","))
run(short)
own = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + more, own + more))
run(long)
"""


def bounded(more, command, short, long, *options):
    """Run a command on two feeds, the second one with so many bytes more than the first one left in use."""
    done = subprocess.run(
        [sys.executable, "-c", BOUNDED, str(more), *command, "SHORT,LONG", f"{short},{long}", *options],
        capture_output=True,
        text=True,
        check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "MMCORE_CACHE": "off", "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-2000:]


def market(folder, rows):
    """An hour of a walk, as an event file: the more rows, the closer they stand."""
    rng = np.random.default_rng(1)
    path = folder / f"{rows}.events"
    step, mid = DAY // rows, 100_000
    with Table(folder) as table:
        for start in range(0, rows, 1 << 18):
            n = min(1 << 18, rows - start)
            time = START + step * np.arange(start, start + n)
            trade = rng.random(n) < 0.2
            walk = mid + np.cumsum(np.where(rng.random(n) < 5_000 / rows, rng.choice([-1, 1], n), 0))
            mid = int(walk[-1])
            half, side = rng.integers(1, 3, n), rng.choice(np.array([-1, 1], dtype=np.int8), n)
            quote = ~trade
            quotes = Quotes(time[quote], (walk - half)[quote], (walk + half)[quote])
            reach = side[trade] * rng.geometric(0.4, n)[trade]
            trades = Trades(time[trade], walk[trade] + reach, np.ones(len(reach), np.int64), side[trade])
            table.add(Events(STOCK, np.where(trade, 2, QUOTE), quotes, trades))
        table.events(STOCK, source={}).save(path)
    return path


def test_the_replay_command(tmp_path):
    short, long = market(tmp_path, 100_000), market(tmp_path, 4_000_000)
    assert long.stat().st_size > 170 * MEGABYTE
    report = str(tmp_path / "report.html")
    bounded(64 * MEGABYTE, ["replay"], short, long, "--report", report, "--json")


def delimited(path, rows):
    with open(path, "w") as file:
        print("time,bid,ask,bid_size,ask_size", file=file)
        line = "{},{}.99,{}.01,5,7".format
        file.writelines(line(START + 1000 * n, 98 + n % 2, 101 + n % 3) + "\n" for n in range(rows))
    return path, ("--tick", "0.01")


def lobster(path, rows):
    path.mkdir()
    name = "XYZ_2012-06-21_34200000_57600000_{}_1.csv"
    with open(path / name.format("message"), "w") as file:
        csv.writer(file).writerows(
            (f"34200.{n:09}", 1 + 3 * (n % 5 == 0), n, 5, 1000100, 1) for n in range(rows)
        )
    with open(path / name.format("orderbook"), "w") as file:
        csv.writer(file).writerows((1000100, 5, 999900 - 100 * (n % 3), 7) for n in range(rows))
    return path, ()


def npz(path, rows):
    names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
    data = np.zeros(rows, list(zip(names, ("u8", "i8", "i8", "f8", "f8", "u8", "i8", "f8"), strict=True)))
    data["ev"] = 3 << 30 | np.where(np.arange(rows) % 4, 1 | 1 << 29, 2 | 1 << 28)
    data["exch_ts"] = data["local_ts"] = START + np.arange(rows)
    data["px"], data["qty"] = 100, 1 + np.arange(rows) % 3
    np.savez_compressed(path.with_suffix(".npz"), data=data)
    return path.with_suffix(".npz"), ("--tick", "0.01")


@pytest.mark.parametrize(("feed", "rows"), [(delimited, 1_000_000), (lobster, 700_000), (npz, 400_000)])
def test_the_convert_command(tmp_path, feed, rows):
    (short, options), (long, _) = feed(tmp_path / "short", 10_000), feed(tmp_path / "long", rows)
    out = tmp_path / "day.events"
    bounded(40 * MEGABYTE, ["feed", "convert"], short, long, "--out", str(out), "--json", *options)
    assert len(Events.load(out)) >= rows


def test_load_into_the_cache(tmp_path):
    """The table is mapped from the cache before it was ever in memory."""
    (short, _), (long, _) = (
        delimited(tmp_path / "short.csv", 10_000),
        delimited(tmp_path / "long.csv", 1_000_000),
    )
    code = f"""
import re, resource
from pathlib import Path
import mmcore as mm
stock = mm.Instrument("XYZ", tick="0.01")
mm.load({str(short)!r}, instrument=stock)
own = int(re.search(r"VmData:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + {40 * MEGABYTE}, own + {40 * MEGABYTE}))
print(len(mm.load({str(long)!r}, instrument=stock)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={"OPENBLAS_NUM_THREADS": "1", "MMCORE_CACHE": str(tmp_path / "cache"), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["1000000"]
    assert len(list((tmp_path / "cache").iterdir())) == 2
