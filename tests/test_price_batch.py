"""Many quotes, or their prices, at once: to the bit those made one at a time, on every instruction set."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from mmcore import Affine, FeedAge, Limits, Obligations, Quoter, Table, cpu
from mmcore.errors import InvalidArgument

HERE = [name for name, runs in cpu.levels().items() if runs]
NO_BID, NO_ASK = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def level(request):
    if request.param not in HERE:
        pytest.skip(f"{request.param}: this machine, or this build, does not run it: untested here")
    before = cpu.level()
    cpu.use(request.param)
    yield request.param
    cpu.use(before)


def market(rng, n):
    """Arguments of a batch, most of them usual, some at the edges of what is computed straight."""
    scale = rng.choice(
        [1.0, 100.0, 6e5, 2.0**31, 2.0**32, 2.0**52, 1e300], n, p=[0.2, 0.2, 0.5, *[0.025] * 4]
    )
    reference = rng.choice([-1.0, 1.0], n) * scale * (1 + rng.normal(0, 1e-3, n))
    whole = rng.random(n) < 0.3
    reference[whole] = np.round(reference[whole]) + rng.choice(
        [0, 0.5, 2.0**-20, 2.0**-21, -(2.0**-21)], whole.sum()
    )
    for odd in (np.nan, np.inf, -np.inf, 2.0**31, -(2.0**31), -(2.0**31) - 2.0**-21, 0.0, -0.0):
        reference[rng.random(n) < 0.0005] = odd
    inventory = rng.integers(-60, 61, n).astype(float)
    part = rng.random(n) < 0.2
    inventory[part] += rng.normal(0, 1, part.sum())
    for odd in (np.nan, np.inf, -np.inf, 1e300, 40.0, -40.0, 50.0, 49.0, np.nextafter(39.0, 50)):
        inventory[rng.random(n) < 0.0005] = odd
    bid = np.full(n, NO_BID)
    near = np.abs(reference) < 2.0**52
    bid[near] = np.floor(reference[near]).astype(np.int64) + rng.integers(-5, 5, near.sum())
    ask = bid + rng.integers(1, 4, n)
    ask[~near] = NO_ASK
    bid[rng.random(n) < 0.05] = NO_BID
    ask[rng.random(n) < 0.05] = NO_ASK
    for odd in (2**52, 2**52 - 1, -(2**52), NO_ASK):
        bid[rng.random(n) < 0.0005] = odd
        ask[rng.random(n) < 0.0005] = -odd
    return reference, inventory, bid, ask


def policies(rng):
    """Affine policies of every sort, and what no straight loop can do."""
    base, slope = rng.uniform(-1, 5), rng.choice([0.0, 0.11, rng.uniform(0, 2)])
    yield Affine(base, slope, q_max=50)
    yield Affine(base, slope, q_max=float("inf"))
    yield Affine((base, 3.0), (slope, 0.3), q_max=51, order_size=3)
    yield Affine(base, slope, base_rate=0.01, slope_rate=1e-4, horizon=100.0, q_max=50)
    yield Affine(-3.0, slope, q_max=50)  # bid and ask meet
    for above in (0.0, 2.0**-20, 2.0**-15, 1.0):  # or nearly
        yield Affine((-2.0, 2.0 + above), slope, q_max=50)
    yield Table(rng.uniform(0, 3, 101), rng.uniform(0, 3, 101), q_max=50)


def quoters(policy):
    """The policy under each kind of rule."""
    yield Quoter(policy, limits=Limits(max_position=40))
    yield Quoter(policy)
    yield Quoter(policy, limits=Limits(max_position=40, shrink=True))
    yield Quoter(policy, obligations=Obligations(max_spread=4, min_size=1))
    yield Quoter(policy, feed_age=FeedAge(halt_after=2.0, widen_after=0.5, widen=1.0))
    scaled = Quoter(policy)
    scaled.volatility_scale = 1.7
    yield scaled
    halted = Quoter(policy)
    halted.halt()
    yield halted


def agree(quoter, *columns, **numbers):
    """Quotes and prices are those of quotes one by one, which a column of states asks for."""
    rows = quoter.quote_batch(*columns, **numbers)
    one_by_one = quoter.quote_batch(*columns, **numbers, state=np.zeros(rows.shape, np.int64))
    assert rows.tobytes() == one_by_one.tobytes()
    prices = quoter.price_batch(*columns, **numbers)
    assert prices.shape == (2, *rows.shape)
    assert prices.dtype == np.int64
    assert np.array_equal(prices[0], rows["bid"])
    assert np.array_equal(prices[1], rows["ask"])


@pytest.mark.parametrize("seed", range(3))
def test_prices_are_those_of_the_quotes(level, seed):
    rng = np.random.default_rng(seed)
    reference, inventory, bid, ask = market(rng, 20_000)
    usual = np.isfinite(reference) & (np.abs(reference) < 1e6)
    for policy in policies(rng):
        left = {"time_left": 33.3} if policy.horizon == 100.0 else {}
        for quoter in quoters(policy):
            agree(quoter, reference, inventory, bid, ask, **left)
            agree(quoter, reference, inventory, **left)
            agree(quoter, reference, 7, bid, ask, shift=0.3, target=2.0, **left)
            agree(quoter, reference[usual], 7.5, age=1.0, **left)
            agree(quoter, reference[usual], inventory[usual], age=3.0, **left)
            agree(quoter, 617000.3, inventory, 617000, None, **left)
            agree(quoter, reference, inventory, shift=rng.normal(0, 1, reference.size), **left)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["inventory", "shift", "target", "time_left", "age"])
def test_numbers_that_are_not_finite(level, name, value):
    reference = 100 + np.arange(2000) / 16
    for policy in (Affine(1.5, 0.0, q_max=50), Affine(1.5, 0.1)):
        quoter = Quoter(policy, feed_age=FeedAge(halt_after=2.0))
        agree(quoter, **({"reference": reference, "inventory": 3} | {name: value}))
        agree(quoter, **({"reference": reference, "inventory": reference - 150} | {name: value}))


def test_any_length_any_layout(level):
    quoter = Quoter(Affine(1.5, 0.11, q_max=50), limits=Limits(max_position=40))
    for n in (0, 1, 2, 3, 7, 511, 512, 513, 1025):
        agree(quoter, 100 + np.arange(n) / 3, np.arange(n) % 90 - 45)
    packed = np.zeros(1000, dtype=[("flag", "i1"), ("r", "f8"), ("b", ">i8")])  # unaligned, foreign order
    packed["r"] = np.linspace(90, 110, 1000)
    packed["b"] = np.floor(packed["r"]) - 1
    inventory = (np.arange(1000) % 100 - 50).astype(np.int8)
    agree(quoter, packed["r"], inventory, packed["b"])
    agree(quoter, packed["r"][::-3], inventory[::-3], bid=packed["b"][::-3])
    agree(quoter, packed["r"].reshape(10, 100), inventory.reshape(10, 100).T.copy().T, ask=111)
    agree(quoter, np.array([[90.25], [101.5]]), np.arange(3), ask=[[95, 96, 97]])
    assert quoter.price_batch(100.25, 3).tolist() == list(quoter.quote(100.25, 3))


@pytest.mark.parametrize("largest", [0, 0.5, 1, 1e17, 1e300, 8e307])
@pytest.mark.parametrize("q_max", [1, 50, float("inf")])
def test_bounds_however_far(largest, q_max):
    quoter = Quoter(Affine(1.5, 1e-3, q_max=q_max), limits=Limits(max_position=largest))
    around = np.array(
        [x * np.float64(s) for x in (0, 1, 18, largest) for s in (1, -1, 1 + 2**-52, 1 - 2**-53)]
    )
    for target in (0.0, 2.0, -1e17, 1e300):
        agree(quoter, np.full(len(around), 100.25), around, target=target)


def test_it_writes_where_it_is_told():
    quoter = Quoter(Affine(1.5, 0.25, q_max=10))
    reference, inventory = 100 + np.arange(6) / 4, np.arange(6) * 4.0 - 10
    want = quoter.price_batch(reference, inventory)
    out = np.zeros((2, 6), np.int64)
    assert quoter.price_batch(reference, inventory, out=out) is out
    assert np.array_equal(out, want)
    readonly = out.copy()
    readonly.flags.writeable = False
    for wrong in (np.zeros((2, 5), np.int64), np.zeros((6, 2), np.int64).T, np.zeros(12, np.int64), readonly):
        with pytest.raises(InvalidArgument, match="out"):
            quoter.price_batch(reference, inventory, out=wrong)
    for wrong in (np.zeros((2, 6)), np.zeros((2, 6), np.int32), np.zeros((2, 6), ">i8"), [[0] * 6] * 2):
        with pytest.raises(TypeError, match="out"):
            quoter.price_batch(reference, inventory, out=wrong)
    shared = np.zeros(18, np.int64)
    for begin in (0, 6, 12):
        taken = shared[begin : begin + 6].view(float)
        for mine in (taken, taken[::-1]):
            with pytest.raises(InvalidArgument, match="memory of its own"):
                quoter.price_batch(mine, inventory, out=shared[3:15].reshape(2, 6))
    assert not shared.any()
    apart = np.zeros(18, np.int64)
    assert np.array_equal(
        quoter.price_batch(apart[:6].view(float), 0, out=apart[6:].reshape(2, 6)), [[-2] * 6, [2] * 6]
    )


@pytest.mark.parametrize("width", ["u1", "u2", "u4", "u8", ">u2", ">u8"])
def test_unsigned_integers_are_those_of_any_width(width):
    quoter = Quoter(Table([[[0.5, 1.0, 9.0]], [[1.5, 2.0, 9.0]]], [[[9.0, 1.0, 0.5]]] * 2, q_max=1))
    signed = {"bid": np.array([100, 90, 100]), "ask": np.array([101, 101, 103]), "state": np.array([0, 1, 2])}
    unsigned = {name: column.astype(width) for name, column in signed.items()}
    np.testing.assert_array_equal(
        quoter.price_batch(100.5, 0, **unsigned), quoter.price_batch(100.5, 0, **signed)
    )
    np.testing.assert_array_equal(
        quoter.quote_batch(100.5, 0, **unsigned), quoter.quote_batch(100.5, 0, **signed)
    )
    np.testing.assert_array_equal(
        quoter.policy.depths_batch(0, state=unsigned["state"]),
        quoter.policy.depths_batch(0, state=signed["state"]),
    )
    one = np.array(1, width)
    assert quoter.policy.depths_batch(0, state=one)[0] == quoter.policy.depths(0, state=one)[0] == 2.0


def test_unsigned_integers_beyond_the_signed_ones_are_far_off():
    quoter, far = Quoter(Affine(base=1.5)), np.array([2**64 - 1], np.uint64)
    assert quoter.quote_batch(100.5, 0, ask=far)[0]["ask"] == quoter.quote(100.5, 0, ask=2**64 - 1).ask


def test_masked_elements_in_lists_are_refused():
    masked = np.ma.array([100.0, 101.0], mask=[0, 1])
    for reference in ([masked, masked], [100.0, np.ma.masked]):
        with pytest.raises(TypeError, match=r"^reference must be numbers, none of them masked"):
            Quoter(Affine(base=1.5)).price_batch(reference, 0)


def test_two_threads_price_at_once():
    quoter = Quoter(Affine(1.5, 0.11, q_max=50), limits=Limits(max_position=40))
    reference, inventory = 100 + np.arange(100_000) / 7, np.arange(100_000) % 120 - 60.0
    want = quoter.price_batch(reference, inventory)
    out = np.empty((4, 2, 50_000), np.int64)

    def work(i):
        half = slice(i % 2 * 50_000, (i % 2 + 1) * 50_000)
        for _ in range(20):
            quoter.price_batch(reference[half], inventory[half], out=out[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        assert np.array_equal(out[i], want[:, i % 2 * 50_000 : (i % 2 + 1) * 50_000])


# -- the choice of an instruction set ----------------------------------------------------------


def chosen(name):
    code = "from mmcore import cpu; print(cpu.level())"
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MMCORE_CPU": name}, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", HERE)
def test_the_environment_names_it(name):
    assert chosen(name).stdout.split() == [name]


def test_the_best_is_the_default():
    assert chosen("").stdout.split() == [HERE[-1]]


@pytest.mark.parametrize("name", ["sse9", "AVX2 ", *(set(cpu.levels()) - set(HERE))])
def test_what_does_not_run_here_is_refused(name):
    ran = chosen(name)
    assert ran.returncode == 1
    assert f"MMCORE_CPU must be what runs here: {', '.join(HERE)}, got {name!r}" in ran.stderr
    with pytest.raises(InvalidArgument, match="name must be what runs here"):
        cpu.use(name)
