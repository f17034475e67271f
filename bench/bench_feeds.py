"""Feeds: a day of trades as CSV into exact integers, beside the readers of pandas, polars and Arrow.

A row is Binance's: id, price, size, value, stamp in ms, side. Ours end in the columns of an event table,
checked: whole ticks and lots, ns, in order. The others' end in floats and unchecked. All are timed in the
environment ``build/peers/feeds`` (``make peers``), in one process and thread, in turn. What unpacking costs
stands in a table of its own.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import mmcore as mm
from mmcore.decimals import Fields

from .harness import SMALL, Row, beside, compare, give, repeated

ROWS = 2_000 if SMALL else 200_000
INSTRUMENT = mm.Instrument("BTCUSDT", tick="0.1", lot="0.001")
LIMIT = 5.0
"""ns of CPU time a byte of text: 200 MB/s."""
NAMES = ["id", "price", "qty", "quote_qty", "time", "is_buyer_maker"]


def day() -> bytes:
    """Trades of a walk, as text."""
    rng = np.random.default_rng(1)
    time = 1723118400000 + np.cumsum(rng.integers(0, 50, ROWS))
    price = 617_000 + np.cumsum(rng.integers(-3, 4, ROWS))
    size, maker = rng.integers(1, 3000, ROWS), rng.integers(0, 2, ROWS)
    columns = (column.tolist() for column in (price, size, time, maker))
    return "".join(
        f"{5266583935 + i},{p // 10}.{p % 10},{n / 1000:.3f},{p * n / 10000:.4f},{t},{str(bool(m)).lower()}\n"
        for i, (p, n, t, m) in enumerate(zip(*columns, strict=True))
    ).encode()


def here() -> dict[str, list[Row]]:
    """Time what this environment has."""
    text = day()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "BTCUSDT-trades-2024-08-08.csv")
        path.write_bytes(text)
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(text, 6))

        def load(file: Path) -> mm.Events:
            return mm.load(file, format="binance_files", instrument=INSTRUMENT, cache=False)

        def columns() -> None:
            fields = Fields(text, 6)
            fields.integers(0)
            fields.integers(1, "0.1")
            fields.integers(2, "0.001")
            fields.integers(4)
            fields.codes(5, {"true": -1, "false": 1})

        cases: dict[str, Callable[[int], object]] = {
            "newlines counted": repeated(lambda: text.count(b"\n")),
            "mm.load: exact, checked, in order": repeated(lambda: load(path)),
            "Fields: five columns, exact": repeated(columns),
        }
        cases |= {name: repeated(work) for name, work in peers(path).items()}
        limits = {name: LIMIT for name in cases if name.startswith(("mm.", "Fields"))}
        found = compare(
            cases, floor="newlines counted", operations=1, rounds=15, per=len(text), limits=limits
        )
        unpacking: dict[str, Callable[[int], object]] = {
            "gzip unpacked alone": repeated(lambda: gzip.decompress(packed.read_bytes())),
            "mm.load, unpacking": repeated(lambda: load(packed)),
            "mm.load, unpacked before": repeated(lambda: load(path)),
        }
        more = compare(unpacking, floor="gzip unpacked alone", operations=1, rounds=15, per=len(text))
    size = f"{ROWS:,} trades as CSV, {len(text) / 1e6:.1f} MB, ns of CPU time per byte of text"
    return {f"{size} (5 is 200 MB/s)": found, f"the same, packed by gzip: {size}": more}


def peers(path: Path) -> dict[str, Callable[[], Any]]:
    """Return the readers of other packages that are here, on the same columns."""
    found: dict[str, Callable[[], Any]] = {}
    kept = ["id", "price", "qty", "time", "is_buyer_maker"]
    if find_spec("pandas"):
        import pandas

        found["pandas.read_csv: floats"] = lambda: pandas.read_csv(path, names=NAMES, usecols=kept)
    if find_spec("polars"):
        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        import polars

        places = [NAMES.index(name) for name in kept]
        found["polars.read_csv: floats"] = lambda: polars.read_csv(path, has_header=False, columns=places)
    if find_spec("pyarrow"):
        from pyarrow import csv

        read, convert = (
            csv.ReadOptions(column_names=NAMES, use_threads=False),
            csv.ConvertOptions(include_columns=kept),
        )
        found["pyarrow.csv.read_csv: floats"] = lambda: csv.read_csv(path, read, convert_options=convert)
    return found


def rows() -> dict[str, list[Row]]:
    """Return the tables of this benchmark."""
    return beside("feeds", "bench.bench_feeds") or here()


if __name__ == "__main__":
    give(here())
