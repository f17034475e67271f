"""The state of a session in one plain file: saved mid-session, resumed with identical behaviour.

:func:`save` writes named objects, :func:`restore` makes them anew. The file says what each object is and
holds its parts. It holds no code, and reading it runs none:

1. the line ``mmcore state 1 N``: the version of the format, and how many bytes follow this line;
2. one line of JSON, the manifest: ``names`` (the value that each saved name stands for), ``objects`` (each
   with its ``kind``, the ``version`` of that kind and its ``parts``) and ``sections`` (their lengths);
3. the sections, one after the other;
4. the SHA-256 of everything before, 32 bytes.

A value is a constant or number of JSON, a text, a list of values, or an object of JSON with one member:

==================  =================================================================================
``{"ref": i}``      the object of that index; objects refer to earlier ones only, and what was one
                    object when it was saved is one again
``{"section": i}``  bytes: the section of that index
``{"decimal": s}``  an exact decimal
``{"int": s}``      an integer beyond 64 bits, hexadecimal
``{"float": s}``    a float that is not finite: its IEEE 754 bits, hexadecimal
==================  =================================================================================

The kinds of objects are ``tuple``, ``list``, ``dict``, NumPy's ``array`` and ``scalar``, the classes of
:data:`KINDS` and the models of :mod:`mmcore.models`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from importlib import import_module
from operator import attrgetter
from typing import Any, Literal, NamedTuple, NoReturn

import numpy as np

from .errors import CorruptError, InvalidArgument, UnknownName, Unsupported
from .files import naming, replacing

__all__ = ["FORMAT", "KINDS", "Kind", "restore", "save"]

FORMAT = 1
"""Version of the format. Every later one keeps the form of the first line, and the SHA-256 at the end."""

_FIRST_LINE = re.compile(rb"mmcore state ([0-9]{1,9}) ([0-9]{1,18})\n")
_DIGEST = 32  # bytes of a SHA-256
_INT64 = range(-(2**63), 2**63)


class Kind(NamedTuple):
    """How a class becomes parts and is made of them again.

    Attributes
    ----------
    home : str
        The module of mmcore that has the class.
    parts : str
        Names of its parts: of the arguments of its pickle, of its attributes where it has none of its own.
    maker : str
        What takes the parts and makes the object, a name in ``home``; the class itself where empty.
    version : int
        Grows with every change of what the parts mean.
    """

    home: str
    parts: str
    maker: str = ""
    version: int = 1


KINDS = {
    "Currency": Kind("instruments", "name unit"),
    "Instrument": Kind("instruments", "name tick lot multiplier currency kind negative_prices"),
    "Book": Kind("book", "block instruments currencies", "Book.from_bytes"),
    "Orders": Kind("orders", "block instrument", "Orders.from_bytes"),
    "Affine": Kind("quoting", "block", "Affine.from_bytes"),
    "Table": Kind("quoting", "block", "Table.from_bytes"),
    "Limits": Kind("quoting", "max_position shrink"),
    "Obligations": Kind("quoting", "max_spread min_size"),
    "FeedAge": Kind("quoting", "halt_after widen_after widen"),
    "Quoter": Kind(
        "quoting",
        "policy instrument limits obligations halted volatility_scale model feed_age horizon",
        "_restore_quoter",
    ),
    "Recalibrate": Kind("rolling", "block used sigma_interval", "_restore_recalibrate"),
    "Calibration": Kind(
        "calibration",
        "method volatility bid ask pooled notes sample settings start_time end_time name instrument",
    ),
    "Volatility": Kind("calibration", "sigma standard_error log_variance interval increments excluded"),
    "Intensity": Kind(
        "calibration",
        "side A k estimate covariance depths counts rates low high exposure points orders chi_square "
        "degrees_of_freedom reason",
    ),
}
"""The classes that can be saved, by name. The models of :mod:`mmcore.models` need no entry."""

_PLAIN: dict[str, Callable[..., Any]] = {
    "tuple": lambda items: tuple(items),
    "list": lambda items: items,
    "dict": lambda keys, values: dict(zip(keys, values, strict=True)),
    "array": lambda dtype, shape, order, data: _array(dtype, shape, order, data),
    "scalar": lambda dtype, data: _array(dtype, [], "C", data)[()],
}

_ALLOWED = (
    "None, a bool, int, float, str, bytes, Decimal, NumPy array or scalar without Python objects, a tuple, "
    f"list or dict of what is allowed, a model of mmcore.models, or one of {', '.join(KINDS)}"
)


def _kind(name: str) -> Kind | None:
    """Return the kind of that name: from the table, or a model of :mod:`mmcore.models` and nowhere else."""
    if name in KINDS:
        return KINDS[name]
    from . import models

    return Kind("models", "parameters calibration", f"{name}._restored") if name in models.__all__ else None


def _home(kind: Kind) -> Any:
    return import_module(f"mmcore.{kind.home}")


def save(path: str | os.PathLike[str], /, **objects: Any) -> None:
    """Write objects into one file, from which :func:`restore` resumes with identical behaviour.

    The file appears whole or not at all; what was there before stays until then.

    Parameters
    ----------
    path : path-like
        The file; an existing one is replaced.
    **objects
        What to save, by name: :class:`Book`, :class:`Orders`, :class:`Quoter` and its parts (policies,
        models, :class:`Limits`, :class:`Obligations`, :class:`FeedAge`), :class:`Recalibrate`,
        :class:`Calibration`, :class:`Instrument`, :class:`Currency`, and plain values for the state of a
        strategy: None, bool, int, float, str, bytes, Decimal, NumPy arrays and scalars without Python
        objects, and tuples, lists and dicts of all these.
        What is one object in several places is one again when restored.

    Raises
    ------
    InvalidArgument
        Something else, named with its place; nothing was written.
    OSError
        The file cannot be written; what was there is as it was.

    Notes
    -----
    Thread-safety: a book is read at one moment, everything else must not change meanwhile. Save from the
    thread that writes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mmcore as mm
    >>> book = mm.Book([mm.Instrument("X", tick="0.01")])
    >>> book.fill("X", 2, 1000, id="a1")
    <Status.OK: 0>
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "session.state")
    ...     mm.save(path, book=book, strategy={"signal": 0.25, "day": "2024-08-08"})
    ...     state = mm.restore(path, book=mm.Book)
    >>> state["strategy"]["signal"], state["book"].fill("X", 2, 1000, id="a1")
    (0.25, <Status.DUPLICATE: 1>)
    """
    from . import __version__

    if not objects:
        raise InvalidArgument("save needs at least one object: save(path, book=book)", argument="objects")
    writer = _Writer()
    try:
        names = {name: writer.value(thing, name) for name, thing in objects.items()}
    except RecursionError:
        raise InvalidArgument("lists, tuples and dicts are nested too deeply", argument="objects") from None
    sizes = [len(section) for section in writer.sections]
    manifest = {"mmcore": __version__, "names": names, "objects": writer.objects, "sections": sizes}
    text = json.dumps(manifest, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    length = len(text) + sum(sizes) + _DIGEST
    digest = hashlib.sha256()
    with replacing(path) as file:
        for chunk in (f"mmcore state {FORMAT} {length}\n".encode(), text, *writer.sections):
            digest.update(chunk)
            file.write(chunk)
        file.write(digest.digest())


def restore(path: str | os.PathLike[str], /, **classes: type) -> dict[str, Any]:
    """Make the objects that :func:`save` wrote.

    Nothing of the file is used before its checksum was found right, and no code is ever taken from it.

    Parameters
    ----------
    path : path-like
        The file.
    **classes
        Names that the file must have, and the class of each: ``book=mm.Book``. A file of another program,
        or of another version of it, is then refused at once and not where the name is first used.

    Returns
    -------
    dict
        All objects by name, in the order in which they were saved.

    Raises
    ------
    CorruptError
        Not such a file, cut, extended, altered, or with contents that contradict themselves.
    Unsupported
        A newer format, a newer version of a kind, or a kind that this version does not know.
    UnknownName
        A name in ``classes`` that the file does not have.
    InvalidArgument
        An object of another class than named.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import mmcore as mm
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "session.state")
    ...     mm.save(path, limits=mm.Limits(max_position=50), count=3)
    ...     print(mm.restore(path, limits=mm.Limits))
    ...     path.write_bytes(path.read_bytes().replace(b"50", b"90")) and None
    ...     mm.restore(path)
    Traceback (most recent call last):
    mmcore.errors.CorruptError: ...session.state: the checksum is wrong: bytes were changed
    """
    for name, cls in classes.items():
        if not isinstance(cls, type):
            raise InvalidArgument(argument=name, value=cls, allowed="a class, as in book=mm.Book")
    with naming(path), open(path, "rb") as file:
        content = file.read()
    objects = _read(os.fspath(path), content)
    for name, cls in classes.items():
        if name not in objects:
            raise UnknownName(
                f"{path} has no {name}: it has {', '.join(objects)}",
                argument=name,
                value=name,
                allowed="one of " + ", ".join(objects),
            )
        if not isinstance(objects[name], cls):
            found, wanted = type(objects[name]).__name__, cls.__name__
            raise InvalidArgument(
                f"{name} of {path} is of class {found}, not {wanted}",
                argument=name,
                value=found,
                allowed=wanted,
            )
    return objects


# ---- writing ----


class _Writer:
    """Collects objects and sections."""

    def __init__(self) -> None:
        self.objects: list[dict[str, Any]] = []
        self.sections: list[bytes] = []
        self._places: dict[int, int | None] = {}  # id -> index in objects; None while its parts are collected
        self._kept: list[object] = []  # an id is unique only while its object lives

    def value(self, thing: Any, where: str) -> Any:
        """Return what stands for a value in the manifest."""
        cls = type(thing)
        if thing is None or cls is bool:
            return thing
        if cls is str:
            try:
                thing.encode()
            except UnicodeEncodeError:
                allowed = "a text without lone surrogates"
                raise InvalidArgument(argument=where, value=thing, allowed=allowed) from None
            return thing
        if cls is int:
            return thing if thing in _INT64 else {"int": hex(thing)}
        if cls is float:
            return thing if math.isfinite(thing) else {"float": struct.pack(">d", thing).hex()}
        if cls is Decimal:
            return {"decimal": str(thing)}
        if cls is bytes:
            self.sections.append(thing)
            return {"section": len(self.sections) - 1}
        return {"ref": self._place(thing, where)}

    def _place(self, thing: Any, where: str) -> int:
        """Return the index of an object, which is collected first where it is new."""
        if id(thing) not in self._places:
            self._kept.append(thing)
            self._places[id(thing)] = None
            name, version, parts = self._parts(thing, where)
            self._places[id(thing)] = len(self.objects)
            self.objects.append({"kind": name, "version": version, "parts": parts})
        place = self._places[id(thing)]
        if place is None:
            raise InvalidArgument(f"{where} contains itself", argument=where, allowed="no cycles")
        return place

    def _parts(self, thing: Any, where: str) -> tuple[str, int, dict[str, Any]]:
        cls = type(thing)
        if cls is tuple or cls is list:
            items = [self.value(item, f"{where}[{i}]") for i, item in enumerate(thing)]
            return cls.__name__, 1, {"items": items}
        if cls is dict:
            keys = [self.value(key, f"the key {key!r} of {where}") for key in thing]
            values = [self.value(item, f"{where}[{key!r}]") for key, item in thing.items()]
            return "dict", 1, {"keys": keys, "values": values}
        if cls is np.ndarray or isinstance(thing, np.generic):
            return self._array(thing, where)
        kind = _kind(cls.__name__)
        if kind is None or getattr(_home(kind), cls.__name__) is not cls:
            from .models.model import Model

            if isinstance(thing, Model):
                raise InvalidArgument(
                    f"{where} is a {cls.__name__}, which cannot be saved: save its compiled policy, "
                    f"model.policy(), or a quoter of that, Quoter(model.policy())",
                    argument=where,
                    value=cls,
                    allowed=_ALLOWED,
                )
            raise InvalidArgument(argument=where, value=cls, allowed=_ALLOWED)
        names = kind.parts.split()
        own = cls.__reduce__ is not object.__reduce__
        state = thing.__reduce__()[1] if own else [getattr(thing, name) for name in names]
        parts = {name: self.value(part, f"{where}.{name}") for name, part in zip(names, state, strict=True)}
        return cls.__name__, kind.version, parts

    def _array(self, thing: Any, where: str) -> tuple[str, int, dict[str, Any]]:
        array = np.asarray(thing)
        scalar = array is not thing
        try:
            descr = np.lib.format.dtype_to_descr(array.dtype)
            again = _dtype(json.loads(json.dumps(descr)))
        except (TypeError, ValueError):
            again = None
        if again != array.dtype or again.type is not (type(thing) if scalar else array.dtype.type):
            allowed = "of a dtype of numbers, texts, times or records of these, without Python objects"
            raise InvalidArgument(argument=where, value=array.dtype, allowed=allowed)
        order: Literal["C", "F"] = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        data = self.value(array.tobytes(order), where)
        if scalar:
            return "scalar", 1, {"dtype": descr, "data": data}
        return "array", 1, {"dtype": descr, "shape": list(array.shape), "order": order, "data": data}


# ---- reading ----


def _read(path: str, content: bytes) -> dict[str, Any]:
    """Check the whole file, then make its objects."""
    first = _FIRST_LINE.match(content)
    if first is None:
        raise CorruptError(
            f"{path}: no saved state: the first line is not 'mmcore state', a version, a length"
        )
    start = first.end()
    version, length = map(int, first.groups())
    if len(content) != start + length:
        should = f"should have {start + length} bytes, has {len(content)}"
        raise CorruptError(f"{path}: {should}: cut or extended")
    memory = memoryview(content)
    if length < _DIGEST or hashlib.sha256(memory[:-_DIGEST]).digest() != memory[-_DIGEST:]:
        raise CorruptError(f"{path}: the checksum is wrong: bytes were changed")
    if version > FORMAT:
        raise Unsupported(
            f"{path}: format {version} was written by a newer mmcore; this one reads up to {FORMAT}",
            argument="path",
            value=version,
            allowed=f"a format up to {FORMAT}",
        )
    try:
        end = content.index(b"\n", start) + 1
        manifest = json.loads(content[start:end], parse_constant=_refuse_constant)
        writer, names, objects = manifest["mmcore"], dict(manifest["names"]), list(manifest["objects"])
        sections = []
        for size in manifest["sections"]:
            if size < 0:
                raise ValueError(f"a section of {size} bytes")
            sections.append(content[end : end + size])
            end += size
        if end != len(content) - _DIGEST:
            raise ValueError("the sections do not fill the file")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise CorruptError(f"{path}: the manifest is not that of a saved state ({error!r})") from error
    reader = _Reader(sections)
    for i, node in enumerate(objects):
        reader.make(node, f"{path}: object {i}", writer)
    return reader.all(names, f"{path}: names")


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


class _Reader:
    """Makes objects, each of parts that are there already."""

    def __init__(self, sections: list[bytes]) -> None:
        self._sections = sections
        self._made: list[Any] = []

    def value(self, node: Any) -> Any:
        """Return the value that a node of the manifest stands for."""
        match node:
            case {"ref": int(i)} if 0 <= i < len(self._made):
                return self._made[i]
            case {"section": int(i)} if 0 <= i < len(self._sections):
                return self._sections[i]
            case {"decimal": str(text)}:
                return Decimal(text)
            case {"int": str(text)}:
                return int(text, 16)
            case {"float": str(text)}:
                return struct.unpack(">d", bytes.fromhex(text))[0]
            case dict():
                raise ValueError(f"{node} stands for nothing")
            case list():
                return [self.value(item) for item in node]
        return node

    def make(self, node: Any, where: str, writer: str) -> None:
        """Make the next object."""
        try:
            name, version, parts = node["kind"], node["version"], node["parts"]
            kind = None if name in _PLAIN else _kind(name)
            if name not in _PLAIN and kind is None:
                raise Unsupported(
                    f"{where} is a {name}, which this mmcore does not know (written by {writer})"
                )
            known = kind.version if kind else 1
            if version < 1:
                raise ValueError(f"version {version}")
            if version > known:
                raise Unsupported(
                    f"{where} is a {name} of version {version}; this mmcore reads up to {known} "
                    f"(written by {writer})"
                )
            where += f" ({name})"
            make = attrgetter(kind.maker or name)(_home(kind)) if kind else _PLAIN[name]
            self._made.append(make(**{part: self.value(item) for part, item in parts.items()}))
        except (MemoryError, Unsupported):
            raise
        except Exception as error:  # whatever a constructor says of parts that it cannot be made of
            raise CorruptError(f"{where}: {error}") from error

    def all(self, nodes: dict[str, Any], where: str) -> dict[str, Any]:
        """Return the values that nodes stand for, by name."""
        try:
            return {name: self.value(node) for name, node in nodes.items()}
        except Exception as error:
            raise CorruptError(f"{where}: {error}") from error


def _dtype(descr: Any) -> np.dtype[Any]:
    """Return the dtype that NumPy's file format describes so, JSON's lists standing for tuples."""

    def fields(node: Any) -> Any:
        if isinstance(node, str):
            return node
        return [
            (name if isinstance(name, str) else tuple(name), fields(inner), *map(tuple, shape))
            for name, inner, *shape in node
        ]

    dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(fields(descr))
    if dtype.hasobject:
        raise ValueError("Python objects in an array")
    return dtype


def _array(descr: Any, shape: list[int], order: Any, data: bytes) -> Any:
    dtype = _dtype(descr)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {tuple(shape)} and dtype {dtype} in {len(data)} bytes")
    return np.ndarray(tuple(shape), dtype, bytearray(data), order=order)
