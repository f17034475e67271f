"""Any feed → :class:`~mmcore.events.Events`: one function, :func:`load`.

============= ========================================================== =====================
format        what                                                       reader
============= ========================================================== =====================
lobster       message + orderbook files of one stock and day             :mod:`.lobster`
binance       websocket capture: bookTicker or depth, and trade          :mod:`.binance`
binance_files public files: trades, aggTrades, bookTicker                :mod:`.binance_files`
bitstamp      log of Bitstamp's order events                             :mod:`.bitstamp`
taq           quotes and trades in the columns of TAQ                    :mod:`.taq`
databento     DBN of trades, tbbo, mbp-… or mbo (extra ``databento``)    :mod:`.databento`
nautilus      quote or trade ticks of Nautilus (extra ``parquet``)       :mod:`.nautilus`
hftbacktest   npz of its events                                          :mod:`.hftbacktest`
csv           delimited text, Parquet or Arrow with a column map         :mod:`.csv`
events        what ``Events.save`` wrote                                 :mod:`mmcore.events`
============= ========================================================== =====================

gzip, xz, zip and zstd (extra ``zstd``) are unpacked as they are read, whatever the file is called.

What a feed is parsed into is kept as an event file in the cache folder and mapped into memory: no more than
a part of a feed is ever in memory, and a second run starts at once. A cached table is used only for the same
path, size and modification time of every file, the same format, instrument and options, and the same version
of the readers. The folder is ``$MMCORE_CACHE`` if set (``off`` turns caching off), else ``mmcore`` in the
user's cache folder. A cache that cannot be read or written is passed over: it never breaks a load.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CorruptError, Error, InvalidArgument, UnknownName
from ..events import Events
from ..files import naming
from ..parameters import expect
from .merging import consolidate, merge
from .table import SpoolError, Table

if TYPE_CHECKING:
    from ..instruments import Instrument
    from .text import Progress

__all__ = ["cache_folder", "clear_cache", "consolidate", "load", "merge"]

FORMATS = (  # and modules here, but for the last
    "lobster",
    "binance",
    "binance_files",
    "bitstamp",
    "taq",
    "databento",
    "nautilus",
    "hftbacktest",
    "csv",
    "events",
)
"""What ``format`` may be."""

# Raised whenever a reader changes what it makes of the same bytes.
_READERS = 7
_PAIRS = ("lobster", "taq")  # formats that may be named by a folder
_CAPTURE = re.compile(rb"\d{19} [\[{]")
_BITSTAMP = re.compile(rb"\d{13} (order_\w+|trade) \{")
_LOBSTER = re.compile(r"(^|_)(message|orderbook)(_\d+)?\.csv$", re.IGNORECASE)
_CSV = re.compile(r"\.csv$", re.IGNORECASE)
_CSV_ONLY = frozenset(
    ("columns", "delimiter", "header", "time_format", "sides", "kinds", "rounding", "sort", "where")
)
_SPLIT = ("binance_files", "nautilus", "csv", "taq")  # formats of which several files may be read as one
_log = logging.getLogger(__name__)


def load(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    format: str | None = None,
    instrument: Instrument | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    spool: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Events:
    r"""Open a feed of any known format.

    Parameters
    ----------
    path : path-like, or a sequence of them
        The file; for LOBSTER either file of the pair, their folder, or the part of the names they
        share. Several files of a format that comes split (binance_files, taq, nautilus, csv) are read as
        one, in this order.
    format : str, optional
        One of those in the table of :mod:`mmcore.feeds`.
        Told from the name and the first line when omitted. "csv" is what is called so, has our
        names in its first line, or comes with options that only its reader has.
    instrument : Instrument, optional
        Whose ticks and lots prices and sizes are counted in. LOBSTER has a default (0.01 USD, one
        share), and so have the Binance symbols of :data:`mmcore.feeds.binance.GRIDS`; CSV needs one.
    cache : bool
        Keep the parsed table in the cache folder, and use the one kept there.
    progress : callable, optional
        Called with (bytes read, bytes in all) while a feed is parsed.
    spool : path-like, optional
        A folder on whose disk the columns are gathered, in files without a name that are mapped, rather than
        in memory; they vanish with the table. The cache folder when omitted, where the table is kept there.
    **options
        The keyword arguments of the ``read`` of the format's module, such as
        :func:`mmcore.feeds.csv.read`.

    Returns
    -------
    Events
        In arrival order; ``events.clock_note`` says what is to be known about its stamps.

    Raises
    ------
    FileNotFoundError
        Nothing there.
    InvalidArgument, UnknownName
        What is wrong with the file or the arguments, with file and line.
    CorruptError
        A damaged or truncated file.
    OSError
        A file that cannot be read; a `spool` whose disk is full.

    Examples
    --------
    >>> import mmcore as mm, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "quotes.csv")
    ...     _ = path.write_text("time,bid,ask\n2024-08-08T12:00:00.5Z,99.99,100.02\n")
    ...     events = mm.load(path, instrument=mm.Instrument("XYZ", tick="0.01"), cache=False)
    >>> events.quotes.bid.tolist(), events.start_time
    ([9999], 1723118400500000000)
    """
    import inspect

    from ..instruments import Instrument

    several = path if isinstance(path, (list, tuple)) else (path,)
    if not several:
        raise InvalidArgument(argument="path", value=path, allowed="a path, or several")
    for one in several:
        expect("path", one, (str, os.PathLike), "a path")
    expect("instrument", instrument, (Instrument, type(None)), "an Instrument or None")
    expect("cache", cache, bool, "True or False")
    expect("spool", spool, (str, os.PathLike, type(None)), "a folder or None")
    if spool is not None and (not os.fspath(spool) or not os.path.isdir(spool)):
        raise InvalidArgument(argument="spool", value=os.fspath(spool), allowed="a folder that exists")
    expect("progress", progress, (Callable, type(None)), "a function of (bytes read, bytes in all), or None")
    if not all(map(os.fspath, several)):
        raise InvalidArgument(argument="path", value=path, allowed="a file or a folder")
    paths = [Path(one) for one in several]
    source = paths[0]
    for one in paths:
        if one.exists() and not (one.is_file() or one.is_dir()):
            raise InvalidArgument(
                f"{one}: a pipe or a device, which cannot be read twice: write it to a file first",
                argument="path",
                value=str(one),
            )
    if format is None:
        format = _guess(source, options)
    if not isinstance(format, str) or format not in FORMATS:
        raise InvalidArgument(argument="format", value=format, allowed=f"one of {', '.join(FORMATS)}")
    if len(paths) > 1 and format not in _SPLIT:
        raise InvalidArgument(
            f"{source}: several files are read as one in the formats {', '.join(_SPLIT)}, not in {format!r}",
            argument="path",
            value=str(source),
        )
    if format not in _PAIRS and source.is_dir():
        from .text import content

        raise InvalidArgument(
            f"{source}: a folder, while format {format!r} is one file; {content(source)}",
            argument="path",
            value=str(source),
        )
    if format == "events":
        if options or instrument is not None:
            given = ["instrument"] * (instrument is not None) + sorted(options)
            raise InvalidArgument(
                f"{source}: an event file holds its instrument and takes no options, got {', '.join(given)}: "
                f"leave {'it' if len(given) == 1 else 'them'} out",
                argument="path",
                value=str(source),
            )
        return Events.load(source)

    reader = importlib.import_module(f".{format}", __name__)
    if format in _PAIRS and len(paths) == 1:
        try:
            paths = reader.files(source)
        except FileNotFoundError as error:
            if format != "taq" and _holds_taq(source):
                error.add_note('format="taq" (--format taq) reads the quotes and trades in it')
            raise
    read: Callable[..., Events] = reader.read
    known = [p.name for p in inspect.signature(read).parameters.values() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UnknownName(f"{name!r} is no option of the {format} reader; {has}")

    kept = _cached(paths, format, instrument, options) if cache else None
    events = _open(kept) if kept is not None else None
    if events is None:

        def parse(folder: str | os.PathLike[str] | None) -> Events:
            with Table(folder) as table:
                return read(paths, instrument, progress, table, **options)

        folder = spool
        if folder is None and kept is not None and _made(kept.parent):
            folder = kept.parent
        try:
            events = parse(folder)
        except SpoolError as error:
            if spool is not None:
                raise
            _log.info("the feed is gathered in memory, for the cache folder is of no use: %s", error)
            events = parse(None)
        if kept is not None:
            events = _keep(events, kept)
    delays = events.source.get("latency")
    if delays and delays["median"] < 0:
        _log.warning("%s: %s", source, events.clock_note)
    return events


def _holds_taq(path: Path) -> bool:
    """Whether this is a folder that format "taq" finds something in."""
    from . import taq

    try:
        return path.is_dir() and bool(taq.files(path))
    except (OSError, Error):  # no such files, or one that cannot be opened
        return False


def _guess(path: Path, options: Mapping[str, Any]) -> str:
    """Tell the format from the name, the first line and the options; refuse what is none of them."""
    from . import nautilus, taq
    from .arrow import begins
    from .binance_files import NAME
    from .csv import looks_like_it
    from .databento import MAGIC
    from .text import asking, first_line, stem

    if not path.exists():
        pair = path.parent.is_dir() and any(f.name.startswith(path.name) for f in path.parent.iterdir())
        if not pair:
            raise FileNotFoundError(f"{path}: no such file or folder")
        return "lobster"  # what the names of a pair share
    if path.is_dir() or _LOBSTER.search(stem(path.name)):
        return "lobster"
    with naming(path), open(path, "rb") as file:
        start = file.read(8)
    if start == b"MMEVENTS":
        return "events"
    if path.suffix == ".npz":
        return "hftbacktest"
    if begins(start):
        return "csv" if "columns" in options or not nautilus.looks_like_it(path) else "nautilus"
    head = first_line(path).lstrip()
    if head.startswith(MAGIC):
        return "databento"
    if _CAPTURE.match(head):
        return "binance"
    if _BITSTAMP.match(head):
        return "bitstamp"
    if "columns" not in options:
        if NAME.match(path.name):
            return "binance_files"
        if taq.looks_like_it(head):
            return "taq"
    if _CSV.search(stem(path.name)) or not _CSV_ONLY.isdisjoint(options) or looks_like_it(head):
        return "csv"
    if not head:
        raise InvalidArgument(f"{path}: is empty", argument="path", value=str(path))
    raise asking(
        path,
        "unknown format; known are lobster (a folder, or a pair …_message_1.csv and …_orderbook_1.csv), "
        "binance (a websocket capture), binance_files (trades, aggTrades, bookTicker), bitstamp (a log of "
        "order events), taq (quotes and trades), databento (DBN), nautilus (Parquet), hftbacktest (npz), csv "
        "(delimited text) and events (what Events.save wrote); of delimited text say which column is which",
        "format",
        'pass format="csv" and columns={"time": …, "bid": …, "ask": …}: our name → theirs',
    )


# ---- the cache


def cache_folder() -> Path | None:
    """Return where parsed feeds are kept, or None where caching is turned off.

    ``$MMCORE_CACHE`` if set, else the platform's cache folder: ``$XDG_CACHE_HOME`` or ``~/.cache``,
    ``~/Library/Caches`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    chosen = os.environ.get("MMCORE_CACHE")
    if chosen is not None:
        return None if chosen.lower() in ("", "0", "off") else Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:  # no home, as in some containers
        return None
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"), "mmcore", "Cache")
    if sys.platform == "darwin":
        return home / "Library/Caches/mmcore"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache", "mmcore")


def clear_cache() -> int:
    """Delete every kept table; return how many there were."""
    folder = cache_folder()
    count = 0
    if folder is not None and folder.is_dir():
        for file in folder.glob("*.events"):
            file.unlink()
            count += 1
    return count


def _cached(
    paths: Sequence[Path], format: str, instrument: Instrument | None, options: dict[str, Any]
) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    files = []
    for path in paths:
        info = path.stat()
        files.append([str(path.resolve()), info.st_size, info.st_mtime_ns])
    try:
        key = json.dumps(
            [
                _READERS,
                format,
                files,
                instrument.to_dict() if instrument is not None else None,
                [[name, _spelt(value)] for name, value in sorted(options.items())],
            ]
        )
    except TypeError:  # an option that the reader will refuse
        return None
    stem = paths[0].name.partition(".")[0][:40]
    return folder / f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.events"


def _spelt(option: Any) -> Any:
    """Return an option for JSON, whose own mappings have no keys but texts: 1 and "1" are two columns."""
    if isinstance(option, Mapping):
        return {"": [[repr(key), _spelt(value)] for key, value in option.items()]}
    return option


def _open(kept: Path) -> Events | None:
    try:
        return Events.load(kept)
    except FileNotFoundError:
        return None
    except (OSError, CorruptError, ValueError) as error:
        _log.info("parsing again, for the kept table cannot be read: %s", error)
        return None


def _made(folder: Path) -> bool:
    """Make a folder; whether it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _log.info("there is no cache folder: %s", error)
        return False
    return True


def _keep(events: Events, kept: Path) -> Events:
    """Put a table into the cache; return it as it is mapped from there, or as it was where that fails."""
    try:
        kept.unlink(missing_ok=True)  # which could not be opened
        events.save(kept)
        return Events.load(kept, verify=False)
    except (OSError, CorruptError, TypeError, ValueError) as error:
        _log.info("the parsed feed could not be kept: %s", error)
        return events
