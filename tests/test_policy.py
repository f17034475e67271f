"""Compiled policies: how depths are read, what is refused, and that their bytes are safe."""

import copy
import ctypes
import math
import pickle
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from no_scalars import NO_SCALARS, shown

import mmcore.quoting
from mmcore.errors import CorruptError, InvalidArgument
from mmcore.quoting import Affine, Policy, Quoter, Table, Why

pytestmark = pytest.mark.compiled

nan, inf = math.nan, math.inf


dyadic = st.integers(-4096, 4096).map(lambda n: n / 64)


def why(policy, inventory=0.0, **place):
    """The reasons a policy gives at one place."""
    return Quoter(policy).quote(1000.0, inventory, **place).why


# -- affine ----------------------------------------------------------------------------------


pairs = st.tuples(dyadic, dyadic)


@given(pairs, pairs, pairs, pairs, st.integers(-50, 50), st.integers(0, 64).map(lambda n: n / 8))
def test_affine_is_its_formula(base, slope, base_rate, slope_rate, q, tau):
    policy = Affine(base, slope, base_rate, slope_rate)
    level = [Fraction(base[i]) + Fraction(base_rate[i]) * Fraction(tau) for i in (0, 1)]
    steep = [Fraction(slope[i]) + Fraction(slope_rate[i]) * Fraction(tau) for i in (0, 1)]
    assert policy.depths(q, tau) == (float(level[0] + steep[0] * q), float(level[1] - steep[1] * q))


def test_a_scalar_serves_both_sides():
    assert Affine(1.5, 0.25).depths(2) == Affine((1.5, 1.5), (0.25, 0.25)).depths(2) == (2.0, 1.0)


def test_a_full_order_may_not_break_the_bound():
    policy = Affine(1.0, 0.5, q_max=6, order_size=2)
    assert policy.depths(4) == (3.0, -1.0)
    assert policy.depths(4.5) == (None, -1.25)
    assert policy.depths(6) == (None, -2.0)
    assert policy.depths(-6) == (-2.0, None)


def test_beyond_the_bound_only_the_reducing_side_is_left_and_read_at_the_bound():
    policy = Affine(1.0, 0.5, q_max=6, order_size=2)
    assert policy.depths(1e9) == (None, -2.0)
    assert policy.depths(-1e9) == (-2.0, None)


def test_a_finite_horizon_is_never_clamped():
    policy = Affine(1.0, 0.5, base_rate=0.25, horizon=10.0)
    assert not policy.stationary
    assert policy.depths(0, 10.0) == (3.5, 3.5)
    assert policy.depths(0, 0.0) == (1.0, 1.0)
    for time_left, reason in (
        (math.nextafter(10.0, inf), Why.BEYOND_HORIZON),
        (inf, Why.NO_STATIONARY),
        (-5e-324, Why.PAST_HORIZON),
        (-inf, Why.PAST_HORIZON),
        (nan, Why.TIME),
    ):
        assert policy.depths(0, time_left) == (None, None)
        assert why(policy, time_left=time_left) == reason


def test_without_rates_an_infinite_horizon_may_be_read():
    assert Affine(1.5).depths(0) == Affine(1.5).depths(0, 1e300) == (1.5, 1.5)
    assert Affine(1.5, stationary=False).depths(0) == (None, None)


def test_depths_that_overflow_are_absent_not_infinite():
    policy = Affine(1.0, 1e300)
    assert policy.depths(1e300) == (None, None)
    assert why(policy, 1e300) == Why.RANGE


@pytest.mark.parametrize("inventory", [nan, inf, -inf])
@pytest.mark.parametrize("policy", [Affine(1.0, 0.5), Table([1.0] * 3, [1.0] * 3, q_max=1)])
def test_an_inventory_that_is_no_number_gives_nothing(policy, inventory):
    assert policy.depths(inventory) == (None, None)
    assert why(policy, inventory) == Why.INVENTORY


# -- table -----------------------------------------------------------------------------------


def test_cells_on_the_lattice_are_returned_as_they_are():
    bid, ask = [0.1, 0.2, 0.3, 0.4, nan], [nan, 0.7, 0.6, 0.5, 0.4]
    table = Table(bid, ask, q_max=4, order_size=2)
    assert list(table.inventories) == [-4, -2, 0, 2, 4]
    for q, b, a in zip((-4, -2, 0, 2, 4), bid, ask, strict=True):
        assert table.depths(q) == (None if b != b else b, None if a != a else a)


def test_between_inventories_depths_are_linear():
    table = Table([1.0, 2.0, 4.0], [8.0, 4.0, 2.0], q_max=4, order_size=4, bid_size=1, ask_size=1)
    assert table.depths(1) == (2.5, 3.5)
    assert table.depths(-3) == (1.25, 7.0)


def test_an_absent_cell_does_not_spread_to_its_neighbours():
    table = Table([1.0, 2.0, 3.0, nan, nan], [nan, nan, 3.0, 2.0, 1.0], q_max=2)
    assert table.depths(0) == (3.0, 3.0)
    assert table.depths(-1) == (2.0, None)
    assert table.depths(-0.5) == (2.5, None)  # between a present and an absent ask
    assert table.depths(1) == (None, 2.0)


def test_between_knots_depths_are_linear_in_time():
    table = Table(
        [[1.0, 1.0, nan], [2.0, 2.0, nan], [6.0, 6.0, nan]], [[nan, 1.0, 1.0]] * 3,
        q_max=1, time_left=[0.0, 1.0, 5.0], stationary=False,
    )  # fmt: skip
    assert table.horizon == 5.0
    assert [table.depths(0, t)[0] for t in (0, 0.25, 1, 2, 5)] == [1.0, 1.25, 2.0, 3.0, 6.0]
    assert table.depths(0, 5.001) == (None, None)
    assert why(table, time_left=5.001) == Why.BEYOND_HORIZON
    assert why(table) == Why.NO_STATIONARY


@pytest.mark.parametrize("n", [1, 2, 3, 15, 16, 17, 18, 31, 33, 255, 256, 257, 258, 1000, 4097])
def test_any_number_of_knots_any_time(n):
    rng = np.random.default_rng(n)
    knots = np.concatenate([[0.0], np.cumsum(rng.exponential(1.0, n - 1) ** 3 + 1e-9)])
    depths = np.tile(rng.normal(0, 1, (n, 1)), 3)
    table = Table(depths, depths, q_max=1, time_left=knots, stationary=False)
    times = np.concatenate([knots, (knots[1:] + knots[:-1]) / 2, rng.uniform(0, knots[-1], 100)])
    bid, _ = table.depths_batch(np.zeros(times.size), times)
    np.testing.assert_allclose(bid, np.interp(times, knots, depths[:, 0]), rtol=0, atol=1e-13)
    assert np.array_equal(bid[:n], depths[:, 0])


def test_the_stationary_row_is_read_at_infinity_and_between_last_knot_and_horizon():
    rows = [[1.0] * 3, [2.0] * 3, [9.0] * 3]
    table = Table(rows, rows, q_max=1, time_left=[0.0, 1.0])
    assert table.depths(0) == (9.0, 9.0)
    assert table.depths(0, 1.0) == (2.0, 2.0)
    assert table.depths(0, 1.5) == (None, None)
    longer = Table(rows, rows, q_max=1, time_left=[0.0, 1.0], horizon=3.0)
    assert longer.depths(0, 1.5) == (9.0, 9.0)
    assert longer.depths(0, 3.5) == (None, None)


def test_without_knots_every_time_is_stationary():
    table = Table([1.0] * 3, [2.0] * 3, q_max=1)
    assert table.horizon == inf
    assert table.depths(0) == table.depths(0, 0.0) == table.depths(0, 1e9) == (1.0, 2.0)


def test_states_address_their_own_cells():
    cells = np.arange(6.0).reshape(2, 1, 3)
    table = Table(cells, cells, q_max=1)
    assert table.depths(0, state=0) == (1.0, 1.0)
    assert table.depths(0, state=1) == (4.0, 4.0)
    for state in (-1, 2, 2**40, -(2**63), 10**30):
        assert table.depths(0, state=state) == (None, None)
        assert why(table, state=state) == Why.STATE
    assert why(Affine(1.0), state=1) == Why.STATE


def test_the_lattice_may_be_finer_than_the_order():
    table = Table(np.arange(9.0), np.arange(9.0)[::-1], q_max=4, order_size=2, bid_size=2, ask_size=2)
    assert table.depths(-1) == (3.0, 5.0)
    assert table.depths(3) == (None, 1.0)


def test_sizes_and_takes_interpolate_to_the_smaller():
    table = Table([1.0] * 5, [1.0] * 5, q_max=2, bid_size=[5, 3, 1, 1, 1], ask_size=1, take=[4, 2, 0, -1, -3])
    quoter = Quoter(table)
    assert quoter.quote(100.0, -2).bid_size == 0  # five lots from -2 would end above q_max
    assert quoter.quote(100.0, -1).bid_size == 3
    assert quoter.quote(100.0, -0.5).bid_size == 1
    assert [quoter.quote(100.0, q).take for q in (-2, -1.5, -0.5, 0.5, 1.5, 2)] == [4, 2, 0, 0, -1, -3]


def test_a_size_of_zero_is_an_absent_side():
    table = Table([1.0] * 3, [1.0] * 3, q_max=1, bid_size=[1, 0, 0])
    assert table.depths(-1) == (1.0, None)
    assert table.depths(0) == (None, 1.0)
    assert np.isnan(table.cells["depth"][0, 0, 1, 0])


def test_a_batch_of_depths_is_its_rows():
    rng = np.random.default_rng(5)
    bid = rng.normal(size=(2, 3, 9))
    bid[rng.random(bid.shape) < 0.2] = nan
    table = Table(bid, bid[..., ::-1], q_max=4, time_left=[0.0, 1.0], horizon=9.0)
    q, tau, state = rng.uniform(-6, 6, (40, 1)), np.array([0.0, 0.3, 1.0, 4.0, inf, 10.0, -1.0]), 1
    batch = table.depths_batch(q, tau, state)
    assert batch[0].shape == batch[1].shape == (40, 7)
    for i in range(40):
        for j in range(7):
            single = table.depths(q[i, 0], tau[j], state)
            for side in (0, 1):
                assert batch[side][i, j] == single[side] or (
                    single[side] is None and np.isnan(batch[side][i, j])
                )


# -- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("base", {"base": nan}),
        ("base", {"base": (1.0, inf)}),
        ("base", {"base": (1.0, 2.0, 3.0)}),
        ("base", {"base": "1.5"}),
        ("slope", {"slope": -inf}),
        ("slope", {"slope": None}),
        ("base_rate", {"base_rate": (nan, 0.0)}),
        ("slope_rate", {"slope_rate": inf}),
        ("q_max", {"q_max": 0}),
        ("q_max", {"q_max": -5}),
        ("q_max", {"q_max": nan}),
        ("q_max", {"q_max": 5, "order_size": 2}),
        ("q_max", {"q_max": 2.0**53}),
        ("order_size", {"order_size": 0}),
        ("order_size", {"order_size": 0.5}),
        ("order_size", {"order_size": -1}),
        ("order_size", {"order_size": 2**31}),
        ("order_size", {"order_size": nan}),
        ("horizon", {"horizon": -1.0}),
        ("horizon", {"horizon": nan}),
        ("stationary", {"base_rate": 1.0, "stationary": True}),
        ("version", {"version": -1}),
        ("version", {"version": 2**64}),
        ("version", {"version": 1.5}),
    ],
)
def test_affine_refuses_and_names(argument, arguments):
    with pytest.raises(InvalidArgument, match=rf"^{argument} must be") as caught:
        Affine(**({"base": 1.0} | arguments))
    assert caught.value.argument == argument


ROW = [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("argument", "arguments"),
    [
        ("bid", {"bid": [1.0, 1.0], "ask": [1.0, 1.0]}),
        ("bid", {"bid": 1.0}),
        ("bid", {"bid": np.ones((1, 1, 1, 3))}),
        ("bid", {"bid": ["a", "b", "c"]}),
        ("bid", {"bid": [1.0, inf, 1.0]}),
        ("bid", {"bid": [1.0, -1e16, 1.0]}),
        ("bid", {"bid": [nan] * 3, "ask": [nan] * 3}),
        ("bid", {"bid": [1.0] * 4, "ask": [1.0] * 4}),
        ("bid", {"bid": [1.0] * 5, "ask": [1.0] * 5}),  # finer, but not in whole lots
        ("bid", {"bid": [ROW] * 2, "ask": [ROW] * 2}),
        ("bid", {"bid": [ROW] * 2, "ask": [ROW] * 2, "time_left": [0.0, 1.0]}),
        ("ask", {"ask": [1.0, 1.0]}),
        ("ask", {"ask": [1.0, 1.0, -inf]}),
        ("q_max", {"q_max": 0}),
        ("q_max", {"q_max": inf}),
        ("q_max", {"q_max": 1.5}),
        ("order_size", {"order_size": 0.5}),
        ("time_left", {"stationary": False}),
        ("time_left", {"time_left": [1.0], "stationary": False}),
        ("time_left", {"time_left": [0.0, 0.0]}),
        ("time_left", {"time_left": [0.0, 2.0, 1.0]}),
        ("time_left", {"time_left": [0.0, inf]}),
        ("time_left", {"time_left": [0.0, nan]}),
        ("time_left", {"time_left": []}),
        ("horizon", {"time_left": [0.0], "stationary": False, "horizon": 1.0}),
        ("horizon", {"bid": [ROW] * 3, "ask": [ROW] * 3, "time_left": [0.0, 2.0], "horizon": 1.0}),
        ("horizon", {"horizon": -1.0}),
        ("bid_size", {"bid_size": [1, 1]}),
        ("bid_size", {"bid_size": -1}),
        ("bid_size", {"bid_size": 1.5}),
        ("ask_size", {"ask_size": 2.0**31}),
        ("ask_size", {"ask_size": nan}),
        ("take", {"take": 0.5}),
        ("take", {"take": -(2.0**31)}),
        ("error", {"error": -1.0}),
        ("error", {"error": nan}),
    ],
)
def test_table_refuses_and_names(argument, arguments):
    with pytest.raises(InvalidArgument, match=rf"^{argument}(\[\d+\])? must be") as caught:
        Table(**({"bid": ROW, "ask": ROW, "q_max": 1} | arguments))
    assert caught.value.argument == argument


MASKED = np.ma.array([1.0, 5.0, 1.0], mask=[0, 1, 0])
NO_NUMBERS = {
    "masked": MASKED,
    "masked in a list": [1.0, np.ma.masked, 1.0],
    "lengths of time": np.array([1, 2, 3], "m8[ns]"),
    "dates": np.array([1, 2, 3], "M8[ns]"),
    "texts": ["1", "2", "3"],
    "texts as objects": np.array(["1", "2", "3"], object),
    "bytes": [b"1", b"2", b"3"],
    "complex": np.array([1 + 9j, 2, 3]),
    "ragged": [[1.0], [1.0, 2.0]],
}


@pytest.mark.parametrize("argument", ["bid", "ask", "bid_size", "ask_size", "take", "time_left"])
@pytest.mark.parametrize("values", NO_NUMBERS.values(), ids=NO_NUMBERS.keys())
def test_a_table_reads_numbers_only(argument, values):
    arguments = {"bid": ROW, "ask": ROW, "q_max": 1}
    if argument == "time_left":
        arguments |= {"bid": [ROW] * 4, "ask": [ROW] * 4}
    with pytest.raises(
        InvalidArgument, match=rf"^{argument} must be .*numbers|{argument} must be whole lots"
    ):
        Table(**(arguments | {argument: values}))


def test_a_table_of_rows_with_a_mask_is_refused_and_one_without_is_read():
    rows = [np.ma.array(ROW), MASKED]
    with pytest.raises(InvalidArgument, match=r"^bid must be"):
        Table(rows, [ROW] * 2, q_max=1, time_left=[0.0])
    rows[1] = np.ma.array(MASKED.data)
    table = Table(rows, np.ma.array([ROW] * 2), q_max=1, time_left=np.ma.array([-0.0]))
    assert table.depths(0, 0.0) == (1.0, 1.0)
    assert repr(table.time_left) == "array([0.])"
    assert Table([Fraction(1, 2), 1, None], [None, 1, 0.5], q_max=1).depths(1) == (None, 0.5)


@pytest.mark.parametrize("value", NO_SCALARS, ids=shown)
@pytest.mark.parametrize(
    ("argument", "make"),
    [
        ("base", lambda v: Affine(base=v)),
        ("slope_rate", lambda v: Affine(base=1.0, slope_rate=v)),
        ("q_max", lambda v: Affine(base=1.0, q_max=v)),
        ("order_size", lambda v: Affine(base=1.0, order_size=v)),
        ("horizon", lambda v: Affine(base=1.0, horizon=v)),
        ("error", lambda v: Table(ROW, ROW, q_max=1, error=v)),
        ("max_position", mmcore.quoting.Limits),
        ("halt_after", mmcore.quoting.FeedAge),
        ("widen", lambda v: mmcore.quoting.FeedAge(1.0, 1.0, v)),
        ("volatility_scale", lambda v: setattr(Quoter(Affine(base=1.0)), "volatility_scale", v)),
    ],
)
def test_what_is_no_number_is_refused_where_one_is_wanted(argument, make, value):
    with pytest.raises(InvalidArgument, match=f"^{argument} must be"):
        make(value)


@pytest.mark.parametrize(
    "value",
    [v for v in NO_NUMBERS if not isinstance(v, bool) and getattr(v, "dtype", None) is not np.dtype(bool)],
    ids=shown,
)
def test_a_quote_refuses_what_is_no_number(value):
    with pytest.raises(TypeError, match=r"^reference must be a number"):
        Quoter(Affine(base=1.0)).quote(value, 0)


def test_arrays_without_an_axis_are_the_number_they_hold():
    for one in (np.array(1.5), np.array(1.5, np.float32), np.array(Fraction(3, 2), object)):
        assert Affine(base=one, slope=one, q_max=np.array(3)) == Affine(base=1.5, slope=1.5, q_max=3)
        assert Affine(base=[one, 2.0]) == Affine(base=(1.5, 2.0))
        assert Quoter(Affine(base=1.0)).quote(one, 0) == Quoter(Affine(base=1.0)).quote(1.5, 0)


@pytest.mark.parametrize("value", ["false", 0, np.array([1, 2]), np.array(True)], ids=shown)
def test_stationary_is_true_or_false(value):
    for make in (lambda: Table(ROW, ROW, q_max=1, stationary=value), lambda: Affine(1.0, stationary=value)):
        with pytest.raises(InvalidArgument, match=r"^stationary must be True or False"):
            make()


@pytest.mark.parametrize("value", [np.array(1.5), np.array([1, 2]), "1"], ids=shown)
def test_integers_are_refused_by_name(value):
    with pytest.raises(InvalidArgument, match=r"^version must be"):
        Affine(1.0, version=value)
    with pytest.raises(InvalidArgument, match=r"^min_size must be"):
        mmcore.quoting.Obligations(min_size=value)


def test_a_refused_cell_is_named_by_its_index():
    with pytest.raises(InvalidArgument) as caught:
        Table([1.0, 1.0, inf], ROW, q_max=1)
    assert caught.value.index == 2


def test_a_policy_is_immutable():
    policy = Table(ROW, ROW, q_max=1)
    for name in ("q_max", "version", "stationary", "cells", "anything"):
        with pytest.raises(AttributeError):
            setattr(policy, name, 1)
    assert not policy.cells.flags.writeable
    assert memoryview(policy).readonly
    before = policy.to_bytes()
    with pytest.raises(TypeError, match="immutable"):
        policy.__init__([2.0] * 3, [2.0] * 3, q_max=1)
    assert policy.to_bytes() == before


@pytest.mark.parametrize("shape", [Policy, Affine, Table])
def test_whatever_is_asked_of_an_unmade_policy_is_safe(shape):
    """Its bytes would be no policy and its address nobody's: refused. What it tells, it tells of nothing."""
    policy = shape.__new__(shape)
    other = Affine(base=1.0)
    for use in (
        Policy.to_bytes,
        memoryview,
        hash,
        pickle.dumps,
        copy.copy,
        Quoter,
        lambda p: p == other,
        lambda p: p.address,
        Policy._repr_html_,
        Policy.plot,
        *([lambda p: p.cells] if shape is Table else []),
    ):
        with pytest.raises(TypeError, match="made without its constructor"):
            use(policy)
    assert policy.depths(0) == policy.depths(math.inf, 3.0, 7) == (None, None)
    assert np.isnan(policy.depths_batch([-1, 0, 1], 0.0)).all()
    assert (policy.q_max, policy.order_size, policy.horizon, policy.error, policy.version) == (0, 0, 0, 0, 0)
    assert not policy.stationary
    assert repr(policy)
    if shape is Table:
        assert policy.time_left.size == policy.inventories.size == 0


def test_the_cells_outlive_their_policy():
    cells = Table(ROW, ROW, q_max=1).cells
    assert cells["depth"].tolist() == [[[[1.0, 1.0]] * 3]]


def test_policy_itself_has_no_constructor_and_an_unmade_policy_quotes_nothing():
    with pytest.raises(TypeError, match="Affine, Table"):
        Policy()
    for kind in (Affine, Table):
        hollow = kind.__new__(kind)
        assert hollow.depths(0) == (None, None)
    assert Quoter.__new__(Quoter).quote(100.0, 0).bid is None


# -- bytes -------------------------------------------------------------------------------------

AFFINE = Affine((1.5, 1.25), (0.25, 0.5), q_max=8, order_size=2, version=7)
TABLE = Table(
    [[0.5, 1.0, nan], [0.75, 1.25, nan], [1.0, 1.5, nan]], [[nan, 1.0, 0.5]] * 3,
    q_max=3, order_size=3, time_left=[0.0, 2.0], error=0.001, take=[[1, 0, -1]] * 3, version=9,
)  # fmt: skip
POLICIES = [AFFINE, TABLE]


def fnv1a(block: bytes) -> int:
    """FNV-1a of all but the checksum, as architecture.md defines it."""
    value = 0xCBF29CE484222325
    for byte in block[:16] + block[24:]:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def resealed(block: bytes, offset: int, layout: str, *values) -> bytes:
    """The block with a field changed and a right checksum."""
    changed = bytearray(block)
    struct.pack_into("=" + layout, changed, offset, *values)
    struct.pack_into("=Q", changed, 16, fnv1a(bytes(changed)))
    return bytes(changed)


@pytest.mark.parametrize("policy", POLICIES)
def test_bytes_round_trip(policy):
    block = policy.to_bytes()
    assert len(block) == policy.nbytes
    assert bytes(policy) == block
    magic, abi, nbytes, checksum, version = struct.unpack_from("=4sIQQQ", block)
    assert (magic, abi, nbytes, checksum) == (b"MMCP", 1, len(block), fnv1a(block))
    assert version == policy.version
    for read in (Policy, type(policy)):
        again = read.from_bytes(block)
        assert type(again) is type(policy)
        assert again == policy
        assert hash(again) == hash(policy)
        assert again.address % 64 == 0
        assert again.address != policy.address
        assert repr(again) == repr(policy)
        assert again.depths(0, 1.5) == policy.depths(0, 1.5)
    assert Policy.from_bytes(bytearray(block)) == Policy.from_bytes(memoryview(block)) == policy
    assert pickle.loads(pickle.dumps(policy)) == copy.deepcopy(policy) == policy


@pytest.mark.parametrize("policy", POLICIES)
def test_every_flipped_bit_is_found(policy):
    block = policy.to_bytes()
    for i in range(len(block)):
        for bit in range(8):
            flipped = bytearray(block)
            flipped[i] ^= 1 << bit
            with pytest.raises(CorruptError):
                Policy.from_bytes(flipped)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_cut_and_extension_is_found(policy):
    block = policy.to_bytes()
    for n in range(len(block)):
        with pytest.raises(CorruptError):
            Policy.from_bytes(block[:n])
    with pytest.raises(CorruptError, match="extended"):
        Policy.from_bytes(block + b"\0")


OFFSETS = {
    "kind": 32, "flags": 36, "q_max": 40, "order_size": 48, "horizon": 56, "error": 64, "base": 72,
    "slope_rate": 120, "n_states": 136, "n_rows": 140, "n_knots": 144, "n_q": 148, "q_step": 152,
    "knots_at": 160, "cells_at": 168,
}  # fmt: skip


@pytest.mark.parametrize(
    ("policy", "field", "layout", "value"),
    [
        (AFFINE, "kind", "i", 0),
        (AFFINE, "kind", "i", 2),
        (AFFINE, "flags", "i", 3),
        (AFFINE, "q_max", "d", nan),
        (AFFINE, "q_max", "d", 1.0),
        (AFFINE, "order_size", "d", 2.5),
        (AFFINE, "order_size", "d", 2.0**31),
        (AFFINE, "order_size", "d", nan),
        (AFFINE, "q_max", "d", 9.5),
        (AFFINE, "q_max", "d", 2.0**53),
        (AFFINE, "horizon", "d", -1.0),
        (AFFINE, "error", "d", nan),
        (AFFINE, "base", "d", inf),
        (AFFINE, "slope_rate", "d", 1.0),  # and stationary
        (AFFINE, "n_states", "i", 2),
        (TABLE, "kind", "i", 1),
        (TABLE, "n_states", "i", 2),
        (TABLE, "n_states", "i", -1),
        (TABLE, "n_rows", "i", 2),
        (TABLE, "n_knots", "i", 3),
        (TABLE, "n_knots", "i", 2**31 - 1),
        (TABLE, "n_q", "i", 2**31 - 1),
        (TABLE, "n_q", "i", 1),
        (TABLE, "q_step", "d", 1.0),
        (TABLE, "q_step", "d", 0.0),
        (TABLE, "q_max", "d", 2.0**60),
        (TABLE, "q_max", "d", inf),
        (TABLE, "knots_at", "Q", 2**63),
        (TABLE, "cells_at", "Q", 2**63),
        (TABLE, "horizon", "d", 1.0),
    ],
)
def test_a_right_checksum_over_a_wrong_structure_is_still_refused(policy, field, layout, value):
    with pytest.raises(CorruptError):
        Policy.from_bytes(resealed(policy.to_bytes(), OFFSETS[field], layout, value))


def test_wrong_knots_and_cells_are_refused_under_a_right_checksum():
    block = TABLE.to_bytes()
    knots_at, cells_at = struct.unpack_from("=QQ", block, OFFSETS["knots_at"])
    for at, layout, value in (
        (knots_at, "d", 1.0),
        (knots_at + 8, "d", 0.0),
        (knots_at + 8, "d", nan),
        (cells_at, "d", inf),
        (cells_at, "d", nan),  # a size without a depth
        (cells_at + 16, "i", 0),  # a depth without a size
        (cells_at + 16, "i", -1),
        (cells_at + 24, "i", -(2**31)),
    ):
        with pytest.raises(CorruptError):
            Policy.from_bytes(resealed(block, at, layout, value))


def test_a_policy_of_the_other_shape_or_version_is_named():
    with pytest.raises(InvalidArgument, match=r"^block must be a Table, and it is an Affine$"):
        Table.from_bytes(AFFINE.to_bytes())
    with pytest.raises(InvalidArgument, match=r"^block must be an Affine, and it is a Table$"):
        Affine.from_bytes(Table([1.0] * 3, [1.0] * 3, q_max=1).to_bytes())
    with pytest.raises(CorruptError, match="version 2"):
        Policy.from_bytes(resealed(AFFINE.to_bytes(), 4, "I", 2))
    with pytest.raises(CorruptError, match="MMCP"):
        Policy.from_bytes(b"x" * 400)
    with pytest.raises(InvalidArgument, match="block must be contiguous bytes"):
        Policy.from_bytes("text")
    unsealed = bytearray(AFFINE.to_bytes())
    struct.pack_into("=Q", unsealed, 16, 0)  # as a policy that was made in C
    with pytest.raises(CorruptError, match="is sealed by mm_policy_checksum"):
        Policy.from_bytes(unsealed)


def test_equality_is_that_of_the_bytes():
    assert Affine(1.0) == Affine(1.0)
    assert Affine(1.0) != Affine(1.0, version=2)
    assert Affine(1.0) != 1.0
    assert len({Affine(1.0), Affine(1.0), Affine(2.0)}) == 2


# -- what people and other compiled code see ---------------------------------------------------


def test_attributes():
    assert (AFFINE.q_max, AFFINE.order_size, AFFINE.horizon, AFFINE.error) == (8.0, 2.0, inf, 0.0)
    assert (AFFINE.base, AFFINE.slope) == ((1.5, 1.25), (0.25, 0.5))
    assert (TABLE.q_max, TABLE.order_size, TABLE.horizon, TABLE.error) == (3.0, 3.0, 2.0, 0.001)
    assert TABLE.stationary
    assert TABLE.time_left.tolist() == [0.0, 2.0]
    assert TABLE.cells.shape == (1, 3, 3)


def test_repr_is_short_and_html_shows_depths():
    assert repr(AFFINE) == "Affine(base=(1.5, 1.25), slope=(0.25, 0.5), q_max=8, order_size=2)"
    assert repr(TABLE).startswith(
        "Table(q_max=3, order_size=3, 3 inventories, 2 times to 2 s and a stationary row"
    )
    for policy in POLICIES:
        html = policy._repr_html_()
        assert "<table>" in html
        assert "absent" in html
        assert "nan" not in html


def exported(name, *types):
    """A function of __pyx_capi__ as a ctypes call."""
    capsule = mmcore.quoting.__pyx_capi__[name]
    signature = ctypes.pythonapi.PyCapsule_GetName
    signature.restype, signature.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(*types)(pointer(capsule, signature(capsule)))


def test_compiled_callers_find_the_kernel_at_run_time():
    c_depths = exported("c_depths", ctypes.c_uint32, ctypes.c_void_p, ctypes.c_double, ctypes.c_double,
                        ctypes.c_int64, ctypes.c_void_p)  # fmt: skip
    cell = np.zeros((), mmcore.quoting.CELL)
    assert c_depths(AFFINE.address, 2.0, inf, 0, cell.ctypes.data) == 0
    assert tuple(cell["depth"]) == AFFINE.depths(2)
    assert tuple(cell["size"]) == (2, 2)
    check = exported("c_policy_check", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)
    assert check(TABLE.address, TABLE.nbytes) == 0
