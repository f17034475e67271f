"""Saved states: what goes into the file, what comes out, and what is refused."""

import contextlib
import dataclasses
import decimal
import hashlib
import inspect
import itertools
import json
import math
import os
import random
import re
import struct
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import mmcore as mm
from mmcore import models, quoting, rolling, saving
from mmcore.errors import ApproximationWarning, CorruptError, InvalidArgument, UnknownName, Unsupported

DOC = Path(__file__).resolve().parents[1] / "docs" / "saving.md"
USDT = mm.Currency("USDT", unit="0.000001")
BTC = mm.Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=USDT)


def there_and_back(thing, folder):
    path = Path(folder, "thing")
    mm.save(path, thing=thing)
    return mm.restore(path)["thing"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.state"


@pytest.fixture(scope="module")
def calibration():
    return mm.calibrate(mm.SimulatedMarket(duration=1800, seed=2).events())


def made_book():
    book = mm.Book([BTC], cost="fifo", currencies=[mm.Currency("BNB")])
    for i, (qty, price) in enumerate([(3, 617001), (2, 617011), (-4, 617005)]):
        book.fill("BTCUSDT", qty, price, fee=12, id=f"a{i}", time=i)
    book.mark("BTCUSDT", 617010)
    return book


@pytest.fixture
def book():
    return made_book()


def same(a, b):
    """Equal to the last bit, classes and order included."""
    if type(a) is not type(b):
        return False
    if type(a) is int:
        return a == b
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, np.ndarray):
        layout = a.flags.c_contiguous == b.flags.c_contiguous and a.flags.f_contiguous == b.flags.f_contiguous
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()) and layout
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, (mm.Quoter, mm.Recalibrate)):
        return same(a.__reduce__()[1], b.__reduce__()[1])
    if isinstance(a, models.model.Model):
        return same(a.parameters, b.parameters) and same(a.calibration, b.calibration)
    if hasattr(a, "to_bytes") and not isinstance(a, int):
        return a.to_bytes() == b.to_bytes()
    return a == b and repr(a) == repr(b)


# ---- the doors ----


def test_names_come_back_in_their_order(path, book):
    mm.save(path, zebra=1, book=book, apple=None)
    state = mm.restore(path)
    assert list(state) == ["zebra", "book", "apple"]
    assert (state["zebra"], state["apple"]) == (1, None)
    mm.save(path, path="a name like any other")
    assert mm.restore(path, path=str) == {"path": "a name like any other"}
    assert os.listdir(path.parent) == [path.name]


def test_names_and_classes_can_be_demanded(path, book):
    mm.save(path, book=book, policy=mm.Affine(base=1.0), count=3)
    assert list(mm.restore(path, book=mm.Book, policy=mm.Policy, count=int)) == ["book", "policy", "count"]
    with pytest.raises(UnknownName, match="has no orders: it has book, policy, count") as unknown:
        mm.restore(path, orders=mm.Orders)
    assert unknown.value.argument == "orders"
    with pytest.raises(InvalidArgument, match=r"policy of .* is of class Affine, not Table") as wrong:
        mm.restore(path, policy=mm.Table)
    assert (wrong.value.argument, wrong.value.value, wrong.value.allowed) == ("policy", "Affine", "Table")
    with pytest.raises(InvalidArgument, match=r"book must be a class, as in book=mm.Book"):
        mm.restore(path, book=book)


def test_nothing_to_save_and_nowhere_to_save_are_refused(path, tmp_path):
    with pytest.raises(InvalidArgument, match="at least one object"):
        mm.save(path)
    with pytest.raises(FileNotFoundError):
        mm.save(tmp_path / "none" / "state", count=1)
    with pytest.raises(OSError, match=re.escape(f"Is a directory: '{tmp_path}'")):
        mm.save(tmp_path, count=1)
    with pytest.raises(FileNotFoundError):
        mm.restore(path)
    assert os.listdir(tmp_path) == []


class Mine:
    pass


class Book:
    """Of another module: its name is not enough."""


class Table(mm.models.AvellanedaStoikov):
    pass


class Deeper(list):
    pass


cycle = [1]
cycle.append({"again": cycle})
deep = []
for _ in range(100_000):
    deep = [deep]


@pytest.mark.parametrize(
    ("thing", "where"),
    [
        (Mine(), "state"),
        (Mine, "state"),
        ({"a": [1, Mine()]}, "state['a'][1]"),
        ((0, {(1, "b"): {2, 3}}), "state[1][(1, 'b')]"),
        ({frozenset(): 1}, "the key frozenset() of state"),
        (Book(), "state"),
        (Table(sigma=1.0, k=1.0, gamma=0.1, horizon=1.0), "state"),
        (Deeper(), "state"),
        (1j, "state"),
        (mm.Status.OK, "state"),
        (print, "state"),
        (np.array([None]), "state"),
        (np.zeros(2, [("a", "O")]), "state"),
        (np.ma.zeros(2), "state"),
        (np.zeros(2, [("a", "i4")]).view(np.recarray), "state"),
        (np.zeros(2, np.dtype((np.record, [("a", "i4")]))), "state"),
        (np.zeros(2, {"names": ["a", "b"], "formats": ["i4", "i4"], "offsets": [0, 2]}), "state"),
        ("\ud83d", "state"),
        (mm.Book([BTC]).snapshot(), "state"),
        (mm.Book([BTC])["BTCUSDT"], "state"),
        (mm.Quoter(type("Model", (), {"policy": lambda _: mm.Affine(base=1.0)})()), "state.model"),
        (cycle, "state[1]['again']"),
    ],
)
def test_what_cannot_be_saved_is_named_and_the_old_file_stays(path, thing, where):
    mm.save(path, count=1)
    with pytest.raises(InvalidArgument) as caught:
        mm.save(path, before=1, state=thing, after=2)
    assert caught.value.argument == where
    assert str(caught.value).startswith(where)
    assert mm.restore(path) == {"count": 1}
    assert os.listdir(path.parent) == [path.name]


def test_what_is_allowed_is_said_with_the_refusal(path):
    with pytest.raises(InvalidArgument) as caught:
        mm.save(path, state=Mine())
    for word in ("Decimal", "NumPy array", "Book", "Quoter", "a model of mmcore.models"):
        assert word in caught.value.allowed


def test_endless_nesting_is_refused(path):
    with pytest.raises(InvalidArgument, match="nested too deeply"):
        mm.save(path, state=deep)


# ---- plain values ----

KEYS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals().filter(lambda d: not d.is_snan())  # which has no hash
)
SCALARS = KEYS | st.just(Decimal("sNaN"))
DTYPES = (
    hnp.boolean_dtypes()
    | hnp.integer_dtypes(endianness="=")
    | hnp.integer_dtypes(endianness=">")
    | hnp.floating_dtypes(sizes=(16, 32, 64))  # a long double has bytes that mean nothing
    | hnp.complex_number_dtypes(sizes=(64, 128))
    | hnp.byte_string_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.datetime64_dtypes()
    | hnp.timedelta64_dtypes()
)
ARRAYS = hnp.arrays(
    DTYPES | hnp.array_dtypes(DTYPES, allow_subarrays=True) | hnp.nested_dtypes(DTYPES),
    hnp.array_shapes(min_dims=0, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    SCALARS | ARRAYS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS | st.tuples(KEYS, KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(thing=PLAIN)
def test_plain_values_come_back_to_the_last_bit(thing, tmp_path_factory):
    assert same(there_and_back(thing, tmp_path_factory.getbasetemp()), thing)


@given(array=ARRAYS, order=st.sampled_from("CF"), step=st.sampled_from([1, 2, -1]))
def test_arrays_of_any_layout_and_their_scalars_come_back(array, order, step, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp()
    array = np.asarray(array, order=order)
    array = array[::step] if array.ndim else array
    back = there_and_back(array, folder)
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable
    assert back.flags.aligned
    if array.flags.c_contiguous or array.flags.f_contiguous:
        assert same(back, array)
    for scalar in array.reshape(-1)[:2]:
        if isinstance(scalar, np.generic):  # a field of the dtype may be an array
            assert same(there_and_back(scalar, folder), scalar)


@pytest.mark.parametrize(
    "thing",
    [
        10**5000,
        -(2**63),
        2**63,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        struct.unpack("d", struct.pack("Q", 0xFFF8000000000123))[0],
        Decimal("-0.00"),
        Decimal("1E+30"),
        Decimal("sNaN12"),
        Decimal("1" * 60),
        "\N{NO-BREAK SPACE}\n\0🙂",
        np.float64(0.1),
        np.zeros(3, mm.FILL),
        np.zeros((2, 0), quoting.QUOTE),
        np.zeros(2, quoting.CELL),
        np.zeros(2, np.dtype([("é", "u1"), ("b", "f8", (2, 3))], align=True)),
        np.broadcast_to(np.float32(2.0), (3, 2)).copy(),
        random.Random(7).getstate(),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_values_at_the_edge_come_back(tmp_path, thing):
    assert same(there_and_back(thing, tmp_path), thing)


def test_the_context_of_decimals_changes_nothing(tmp_path):
    with decimal.localcontext() as context:
        context.prec = 2
        assert same(there_and_back(Decimal("1.23456789"), tmp_path), Decimal("1.23456789"))


def test_what_was_one_object_is_one_again(path, book):
    shared, arrays = [1, 2], np.zeros(3)
    quoter = mm.Quoter(mm.Affine(base=2.0), BTC)
    strategy = {"book": book, "notes": [shared, shared], "quoter": quoter, "view": arrays}
    mm.save(path, book=book, strategy=strategy, notes=shared, arrays=(arrays, arrays.copy()))
    state = mm.restore(path)
    assert state["strategy"]["book"] is state["book"]
    assert state["strategy"]["notes"][0] is state["strategy"]["notes"][1] is state["notes"]
    assert state["strategy"]["view"] is state["arrays"][0]
    assert state["arrays"][0] is not state["arrays"][1]
    assert state["strategy"]["quoter"].instrument is state["book"].instruments[0]
    assert state["book"].instruments[0] == BTC


# ---- the classes ----


def models_of_all_kinds(calibration):
    yield calibration.model(mm.GueantLehalleFernandezTapia, gamma=0.001, q_max=5)
    yield mm.GueantLehalleFernandezTapia(
        sigma=1.0, A=(1.0, 1.5), k=0.3, gamma=0.01, q_max=6, order_size=2, horizon=30.0, fee=(0.1, -0.2)
    )
    yield mm.GueantLehalleFernandezTapiaClosedForm(sigma=0.3, A=0.9, k=0.3, gamma=0.01)
    yield mm.CarteaJaimungal(
        A=(1.0, 1.3), k=(2.0, 1.0), running_penalty=0.1, terminal_penalty=0.2, q_max=4, horizon=20.0
    )
    yield mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, omega=3.0, q_max=10)


def objects_of_all_kinds(calibration, book):
    orders = mm.Orders(BTC, messages=[(6, 100)], max_exposure=4, hysteresis=1)
    orders.target((617000, 617003, 2, 2), now=10)
    yield from (USDT, BTC, book, orders, mm.Orders(), calibration, calibration.bid, calibration.volatility)
    yield mm.Currency("ODD", unit="1E+2")
    yield mm.Instrument("S", tick="0.05", multiplier="1E-3", kind="inverse")
    yield mm.Instrument("N", tick="0.05", multiplier="1E-3", negative_prices=True)
    yield from (mm.Limits(), mm.Limits(7.5, shrink=True), mm.Obligations(), mm.Obligations(4, 10))
    yield from (mm.FeedAge(), mm.FeedAge(halt_after=2.0, widen_after=0.1, widen=0.7))
    yield from (mm.Affine(base=(1.5, 1.25), slope=0.1, slope_rate=0.01, horizon=60.0, version=2**64 - 1),)
    window = mm.Recalibrate(every=1.0, window=60.0, sigma_interval=0.5, calibration=calibration)
    window.on_quote(10**18, 99, 101)
    window.on_trade(10**18 + 10**9, 99, -1)
    yield window
    for model in models_of_all_kinds(calibration):
        yield model
        yield model.policy()
        quoter = mm.Quoter(model, BTC, mm.Limits(3), mm.Obligations(max_spread=9))
        quoter.volatility_scale = 1.0 / 3.0
        quoter.halt("lunch")
        yield quoter
        set_since = mm.Quoter(model, BTC, feed_age=mm.FeedAge(halt_after=1.0))
        set_since.set(k=0.31)
        yield set_since
    yield mm.Quoter(mm.Affine(base=1.0))


def test_every_class_comes_back_to_the_last_bit(tmp_path, calibration, book):
    seen = set()
    for thing in objects_of_all_kinds(calibration, book):
        back = there_and_back(thing, tmp_path)
        assert same(back, thing), thing
        assert repr(back) == repr(thing)
        seen.add(type(thing).__name__)
    assert seen == {*saving.KINDS, *models.__all__}


def test_every_part_of_a_class_is_named(calibration):
    """A field, or an argument of a pickle, that is added must be added to the table."""
    for name, kind in saving.KINDS.items():
        cls = getattr(saving._home(kind), name)
        if dataclasses.is_dataclass(cls):
            fields = [f.name for f in dataclasses.fields(cls) if not f.name.startswith("_")]
            assert kind.parts.split() == fields, name
    for name, maker in [("Quoter", quoting._restore_quoter), ("Recalibrate", rolling._restore_recalibrate)]:
        assert saving.KINDS[name].parts.split() == [*inspect.signature(maker).parameters]
    for thing in (mm.Limits(3, True), mm.Obligations(4, 10), mm.FeedAge(2.0, 0.1, 0.7)):
        parts = saving.KINDS[type(thing).__name__].parts.split()
        assert thing.__reduce__()[1] == tuple(getattr(thing, part) for part in parts)


def test_a_restored_model_does_not_warn_again(path):
    with pytest.warns(ApproximationWarning):
        model = mm.AvellanedaStoikov(sigma=2.0, k=1.5, A=1e-3, gamma=0.1, horizon=1.0)
    mm.save(path, model=model)
    assert mm.restore(path)["model"] == model  # warnings are errors here


def test_a_calibration_works_as_before(path, calibration):
    mm.save(path, calibration=calibration)
    back = mm.restore(path, calibration=mm.Calibration)["calibration"]
    assert back.to_dict() == calibration.to_dict()
    assert back.intervals(0.9) == calibration.intervals(0.9)
    made = [c.model(mm.GueantLehalleFernandezTapia, gamma=0.01, q_max=5) for c in (back, calibration)]
    assert made[0].policy().to_bytes() == made[1].policy().to_bytes()


def test_a_fresh_process_goes_on(path, book):
    quoter = mm.Quoter(mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.3, gamma=0.01, q_max=20), BTC)
    orders = mm.Orders(BTC, max_exposure=9, hysteresis=1)
    orders.target((617000, 617003, 2, 2), now=10)
    mm.save(path, book=book, quoter=quoter, orders=orders, now=11)
    steps = (
        "quote = quoter.quote(617003.5, book['BTCUSDT'].net, bid=617003, ask=617004)\n"
        "out = [quote, orders.target(quote, now=now), orders.on_report(mm.Report('fill', 1, filled=1))]\n"
        "out += [book.fill('BTCUSDT', 3, 617001, fee=12, id='a0', time=0)]\n"
        "out += [book.fill('BTCUSDT', -2, 617009, id='b'), book.to_bytes().hex(), orders.to_bytes().hex()]\n"
    )
    here = {"mm": mm, "book": book, "quoter": quoter, "orders": orders, "now": 11}
    exec(steps, here)
    program = (
        "import mmcore as mm, sys\n"
        "state = mm.restore(sys.argv[1], book=mm.Book, quoter=mm.Quoter, orders=mm.Orders, now=int)\n"
        f"globals().update(state)\n{steps}print(out)"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(here["out"])


def test_a_process_that_is_killed_while_it_saves_leaves_a_whole_state(path):
    program = (
        "import mmcore as mm, sys, itertools, numpy as np\n"
        "for i in itertools.count():\n"
        "    mm.save(sys.argv[1], count=i, numbers=np.full(300_000, i))\n"
        "    if i == 1: print('begun', flush=True)"
    )
    last = 0
    for delay in (0.0, 0.02, 0.07, 0.15):
        with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"begun" + os.linesep.encode()
            time.sleep(delay)
            process.kill()
        state = mm.restore(path, count=int)
        assert (state["numbers"] == state["count"]).all()
        last = max(last, state["count"])
    assert last > 1  # it was saved more than once before it was killed


# ---- refused files ----


def sealed(manifest, sections=(), version=1):
    """A file with a right length and checksum, whatever it holds."""
    text = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
    body = text + b"\n" + b"".join(sections)
    content = b"mmcore state %d %d\n" % (version, len(body) + 32) + body
    return content + hashlib.sha256(content).digest()


def manifest(*objects, **names):
    return {"mmcore": "0.1.0", "names": names, "objects": list(objects), "sections": []}


def test_any_changed_bit_and_any_cut_is_refused(path):
    book = mm.Book([mm.Instrument("X", tick="1")])
    book["X"].fill(1, 1000)
    mm.save(path, book=book)
    content = path.read_bytes()
    with open(path, "r+b", buffering=0) as file:
        for bit in range(8 * len(content)):
            at = bit // 8
            file.seek(at)
            file.write(bytes([content[at] ^ 1 << bit % 8]))
            with pytest.raises(CorruptError, match=re.escape(str(path))):
                mm.restore(path)
            file.seek(at)
            file.write(content[at : at + 1])
    assert mm.restore(path)["book"].snapshot() == book.snapshot()
    for cut in [content[:n] for n in range(len(content))] + [content + b"\0", content + content]:
        path.write_bytes(cut)
        with pytest.raises(CorruptError, match=re.escape(str(path))):
            mm.restore(path)


@given(data=st.data())
def test_a_file_that_was_damaged_anyhow_is_refused(data, calibration, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "damaged"
    mm.save(path, calibration=calibration, book=made_book())
    content = path.read_bytes()
    places = st.integers(0, len(content))
    a, b = sorted(data.draw(st.tuples(places, places)))
    kind = data.draw(st.sampled_from(["overwritten", "lost", "inserted", "moved"]))
    changed = {
        "overwritten": lambda: content[:a] + data.draw(st.binary(min_size=1, max_size=40)) + content[b:],
        "lost": lambda: content[:a] + content[b:],
        "inserted": lambda: content[:a] + data.draw(st.binary(min_size=1, max_size=40)) + content[a:],
        "moved": lambda: content[a:b] + content[:a] + content[b:],
    }[kind]()
    path.write_bytes(changed)
    if changed == content:
        assert list(mm.restore(path)) == ["calibration", "book"]
    else:
        with pytest.raises(CorruptError):
            mm.restore(path)


def test_what_is_wrong_is_said(path, book):
    mm.save(path, book=book)
    content = path.read_bytes()
    n = len(content)
    for changed, message in [
        (b"", "no saved state"),
        (b"PK\3\4" + content, "no saved state"),
        (content[:-1], f"should have {n} bytes, has {n - 1}: cut or extended"),
        (content + b"\n", f"should have {n} bytes, has {n + 1}: cut or extended"),
        (content.replace(b"BTC", b"ETC"), "the checksum is wrong: bytes were changed"),
        (content.replace(b"state 1", b"state 2"), "the checksum is wrong"),
    ]:
        path.write_bytes(changed)
        with pytest.raises(CorruptError, match=message):
            mm.restore(path)


def test_what_is_newer_is_refused_by_name(path):
    currency = {"kind": "Currency", "version": 2, "parts": {"name": "USD"}}
    for content, message in [
        (
            sealed(b"whatever comes", version=2),
            "format 2 was written by a newer mmcore; this one reads up to 1",
        ),
        (
            sealed(manifest(currency)),
            r"object 0 is a Currency of version 2; this mmcore reads up to 1 .*0\.1\.0",
        ),
        (
            sealed(manifest({"kind": "Ladder", "version": 1, "parts": {}})),
            "object 0 is a Ladder, which .* not know",
        ),
        (sealed(manifest({"kind": "list", "version": 2, "parts": {}})), "a list of version 2"),
    ]:
        path.write_bytes(content)
        with pytest.raises(Unsupported, match=message):
            mm.restore(path)


@pytest.mark.parametrize(
    "kind",
    ["object", "Model", "os.system", "builtins.eval", "Position", "_restore_quoter", "ABC", "__init__", ""],
)
def test_a_file_can_name_no_class_beyond_the_table(path, kind):
    path.write_bytes(sealed(manifest({"kind": kind, "version": 1, "parts": {"block": "echo"}})))
    with pytest.raises(Unsupported):
        mm.restore(path)


LIST = {"kind": "list", "version": 1, "parts": {"items": []}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"mmcore": "0.1.0", "names": {}, "objects": [], "sections": []',
        b'{"mmcore": "0.1.0", "names": {"x": NaN}, "objects": [], "sections": []}',
        b'{"mmcore": "0.1.0", "names": {"x": ' + b"1" * 5000 + b'}, "objects": [], "sections": []}',
        {**manifest(), "names": []} | {"names": [1]},
        {**manifest(), "names": 1},
        {**manifest(), "objects": 1},
        {**manifest(), "objects": {"a": 1}},
        {**manifest(), "sections": [1]},
        {**manifest(), "sections": [-1, 1]},
        {**manifest(), "sections": [0.0]},
        {**manifest(), "sections": ["0"]},
        {"mmcore": "0.1.0"},
        manifest(x={"ref": 0}),
        manifest(LIST, x={"ref": -1}),
        manifest(LIST, x={"ref": 1}),
        manifest(LIST, x={"ref": "0"}),
        manifest(LIST, x={"ref": 0.0}),
        manifest(x={"section": 0}),
        manifest(x={"decimal": "one"}),
        manifest(x={"decimal": 1}),
        manifest(x={"int": "0xg"}),
        manifest(x={"float": "00"}),
        manifest(x={"float": "zz"}),
        manifest(x={"code": "print()"}),
        manifest(x={}),
        manifest({"kind": "list", "version": 1, "parts": {"items": [{"ref": 0}]}}),  # itself
        manifest({"kind": "list", "version": 1, "parts": {"items": [{"ref": 1}]}}, LIST),
        manifest({"kind": "list", "version": 0, "parts": {"items": []}}),
        manifest({"kind": "list", "version": "1", "parts": {"items": []}}),
        manifest({"kind": ["list"], "version": 1, "parts": {}}),
        manifest({"kind": "list", "version": 1, "parts": {}}),
        manifest({"kind": "list", "version": 1, "parts": {"items": [], "more": 1}}),
        manifest({"kind": "list", "version": 1}),
        manifest("list"),
        manifest({"kind": "dict", "version": 1, "parts": {"keys": [1], "values": []}}),
        manifest(LIST, {"kind": "dict", "version": 1, "parts": {"keys": [{"ref": 0}], "values": [1]}}),
        manifest({"kind": "Currency", "version": 1, "parts": {"name": "USD", "unit": {"decimal": "-1"}}}),
        manifest({"kind": "Currency", "version": 1, "parts": {"name": "USD", "unit": {"decimal": "NaN"}}}),
        manifest({"kind": "Limits", "version": 1, "parts": {"max_position": -1, "shrink": False}}),
        manifest({"kind": "Quoter", "version": 1, "parts": {"policy": 1}}),
        manifest(
            {"kind": "Book", "version": 1, "parts": {"block": "MMCB", "instruments": 1, "currencies": 1}}
        ),
        manifest(
            {"kind": "AvellanedaStoikov", "version": 1, "parts": {"parameters": 1, "calibration": None}}
        ),
    ],
)
def test_contents_that_make_no_sense_are_refused_under_a_right_checksum(path, content):
    path.write_bytes(sealed(content))
    with pytest.raises(CorruptError, match=re.escape(str(path))):
        mm.restore(path)


@pytest.mark.parametrize(
    ("dtype", "shape", "order"),
    [
        ("|O", [1], "C"),
        ([["a", "|O"]], [1], "C"),
        ("<f8", [2], "C"),
        ("<f8", [-1], "C"),
        ("<f8", [-1, -1], "C"),
        ("<f8", [2**70, 0], "C"),
        ("<f8", ["1"], "C"),
        ("<f8", [1.0], "C"),
        ("<f8", 1, "C"),
        ("<f8", [1], "Z"),
        ("<f9", [1], "C"),
        ("nonsense", [1], "C"),
        ([["a"]], [1], "C"),
        ([["a", "<f8", [-1]]], [1], "C"),
        (None, [1], "C"),
        (8, [1], "C"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(path, dtype, shape, order):
    parts = {"dtype": dtype, "shape": shape, "order": order, "data": {"section": 0}}
    made = manifest({"kind": "array", "version": 1, "parts": parts})
    path.write_bytes(sealed({**made, "sections": [8]}, [b"\0" * 8]))
    with pytest.raises(CorruptError, match=r"object 0 .array."):
        mm.restore(path)


def test_blocks_are_checked_below_the_files_checksum(path, book):
    """A writer that computes SHA-256 can still not make a book, orders or a policy that is none."""
    orders = mm.Orders(BTC)
    mm.save(path, book=book, orders=orders, policy=mm.Affine(base=1.0))
    content = path.read_bytes()
    _, text, rest = content.split(b"\n", 2)
    for magic, kind in [(b"MMCB", "Book"), (b"MMCO", "Orders"), (b"MMCP", "Affine")]:
        at = rest.index(magic) + 40
        changed = text + b"\n" + rest[:at] + bytes([rest[at] ^ 1]) + rest[at + 1 : -32]
        path.write_bytes(sealed(text, [changed[len(text) + 1 :]]))
        with pytest.raises(CorruptError, match=f"object [0-9]+ .{kind}."):
            mm.restore(path)


@given(data=st.data())
@settings(max_examples=300)
def test_a_manifest_that_was_tampered_with_is_refused_or_read_and_nothing_else(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "tampered"
    quoter = mm.Quoter(mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0), BTC)
    mm.save(path, book=made_book(), quoter=quoter, state={"a": [1.5, Decimal("0.1")], "b": np.zeros(2)})
    _, text, rest = path.read_bytes().split(b"\n", 2)
    changed = json.loads(text)
    nodes = []

    def collect(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            nodes.append((node, key))
            if isinstance(node[key], (dict, list)):
                collect(node[key])

    collect(changed)
    values = [node[key] for node, key in nodes]
    odd = (
        st.none()
        | st.booleans()
        | st.integers(-3, 90)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
    )
    for _ in range(data.draw(st.integers(1, 3))):
        node, key = data.draw(st.sampled_from(nodes))
        with contextlib.suppress(KeyError, IndexError):
            if data.draw(st.booleans()):
                node[key] = data.draw(odd | st.sampled_from(values).map(lambda v: json.loads(json.dumps(v))))
            else:
                del node[key]
    path.write_bytes(sealed(changed, [rest[:-32]]))
    with contextlib.suppress(CorruptError, Unsupported):
        assert isinstance(mm.restore(path), dict)


# ---- for other programs ----


def test_another_program_can_read_the_file(path, book):
    """By docs/saving.md alone: JSON, SHA-256 and offsets."""
    mm.save(path, book=book, state={"gamma": 0.1, "levels": np.arange(3.0)})
    content = path.read_bytes()
    first, text, rest = content.split(b"\n", 2)
    assert first == b"mmcore state 1 %d" % (len(content) - len(first) - 1)
    assert content[-32:] == hashlib.sha256(content[:-32]).digest()
    manifest = json.loads(text)
    objects, starts = manifest["objects"], np.cumsum([0, *manifest["sections"]])
    section = [rest[a:b] for a, b in itertools.pairwise(starts)]
    assert starts[-1] == len(rest) - 32

    state = objects[manifest["names"]["state"]["ref"]]["parts"]
    assert (state["keys"], state["values"][0]) == (["gamma", "levels"], 0.1)
    levels = objects[state["values"][1]["ref"]]["parts"]
    assert (levels["dtype"], levels["shape"], levels["order"]) == ("<f8", [3], "C")
    assert struct.unpack("<3d", section[levels["data"]["section"]]) == (0.0, 1.0, 2.0)

    saved = objects[manifest["names"]["book"]["ref"]]
    assert (saved["kind"], saved["version"]) == ("Book", 1)
    instrument = objects[objects[saved["parts"]["instruments"]["ref"]]["parts"]["items"][0]["ref"]]["parts"]
    assert (instrument["name"], instrument["tick"]) == ("BTCUSDT", {"decimal": "0.1"})
    block = section[saved["parts"]["block"]["section"]]
    magic, version, size, _, _, n, m, method, kept, n_lots, n_fills = struct.unpack_from(
        "<4sIQQQiiiiqq", block
    )
    assert (magic, version, size, n, m, method, kept, n_fills) == (b"MMCB", 2, len(block), 1, 2, 1, 1, 3)
    layout = "<q QqQqQq qqqqqqq ii"
    net, cash, cash_hi, *_ = struct.unpack_from(layout, block, 80)
    assert (net, cash + (cash_hi << 64)) == (1, book["BTCUSDT"].cash)
    queue = 80 + 120 * n + 16 * n * (5 * m + 1)
    lots = struct.unpack_from("<qq", block, queue)
    assert lots == (2, 617011)  # of which `lots_used` is closed
    assert n_lots == 1
    fills = np.frombuffer(block, mm.FILL, n_fills, queue + 16 * n_lots)
    assert fills.tobytes() == book.history.tobytes()
    assert len(block) == queue + 16 * n_lots + 96 * n_fills


def test_the_page_shows_what_happens(tmp_path, monkeypatch):
    import doctest

    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(DOC), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert result.attempted > 5
    assert result.failed == 0


def test_equal_states_make_equal_files(tmp_path, book):
    """No clock, no addresses: the file is a function of the state."""
    for name in ("a", "b"):
        mm.save(tmp_path / name, book=book, state={"x": math.pi})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    mm.save(tmp_path / "c", **mm.restore(tmp_path / "a"))
    assert (tmp_path / "c").read_bytes() == (tmp_path / "a").read_bytes()


def test_a_solved_problem_is_saved_as_its_policy(tmp_path):
    regime = mm.dp.Regime(mm.dp.Offers.touch(1, join=0.5), running_penalty=0.02)
    model = mm.dp.MarketMakingProblem(regime, q_max=2, dt=0.1).solve()
    with pytest.raises(
        InvalidArgument, match=r"q\.model is a MarketMakingSolution.*Quoter\(model\.policy\(\)\)"
    ):
        mm.save(tmp_path / "s", q=mm.Quoter(model))
    mm.save(tmp_path / "s", q=mm.Quoter(model.policy()))
    quoter = mm.restore(tmp_path / "s")["q"]
    quote = quoter.quote(100.5, inventory=0, bid=100, ask=101)
    assert (quote.bid, quote.ask) == (100, 101)
