"""The moving window of Recalibrate as bytes: it goes on exactly, and what is no window is refused."""

import contextlib
import copy
import pickle
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import CorruptError, InvalidArgument
from mmcore.rolling import _restore_recalibrate

pytestmark = pytest.mark.compiled

START = 24  # what the checksum covers begins here


def checksum(block):
    """FNV-1a, as published: offset basis and prime of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in block[START:]:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def fed(window, seed, n, now=10**18):
    """Put n rows of a market into the window; returns the time of the last."""
    r = random.Random(seed)
    for _ in range(n):
        now += r.choice([0, 0, 1, 10**7, 10**8, 10**9, 3 * 10**10 if r.random() < 0.02 else 0])
        bid, spread = 1000 + r.randint(-3, 3), r.choice([0, 1, 1, 2, 3, 9, -1])
        if r.random() < 0.6:
            window.on_quote(now, r.choice([bid, bid, None]), bid + spread)
        else:
            side = r.choice([-1, 0, 1])
            stamp = now - r.choice([0, 0, 5])
            window.on_trade(
                now, bid + side * r.randint(0, 6), side, exchange_time=stamp, subtick=r.choice([0, 7])
            )
    return now


def told(window, time):
    return window.estimate(time).record().tobytes()


settings = st.fixed_dictionaries(
    {
        "every": st.sampled_from([0.1, 1.0, 7.0]),
        "sigma_interval": st.sampled_from([0.05, 1.0, 30.0]),
        "max_depth": st.sampled_from([3.0, 8.5, 20.0]),
        "min_depth": st.sampled_from([0.5, 1.0, 2.0]),
        "pooled": st.booleans(),
    }
)


@given(
    settings,
    st.sampled_from([1, 3, 60, 230]),
    st.integers(0, 2**32),
    st.integers(0, 250),
    st.integers(1, 120),
)
def test_a_saved_window_goes_on_as_if_nothing_had_been(kw, buckets, seed, before, after):
    window = mm.Recalibrate(window=kw["every"] * buckets, **kw)
    now = fed(window, seed, before)
    if seed % 2:
        told(window, now)  # which accounts for the time up to now
    others = [pickle.loads(pickle.dumps(window)), copy.copy(window), window.copy()]
    assert {repr(other) for other in others} == {repr(window)}
    for other in (window, *others):
        last = fed(other, seed + 1, after, now)
    assert len({told(other, last + 10**9) for other in (window, *others)}) == 1
    states = [other.__reduce__()[1] for other in (window, *others)]
    assert all(state == states[0] for state in states)


def made_state():
    window = mm.Recalibrate(every=1.0, window=6.0, warmup=2.0, max_depth=4.0)
    fed(window, 3, 60)
    return window.__reduce__()[1]


@pytest.fixture(scope="module")
def state():
    return made_state()


def test_any_changed_bit_and_any_cut_is_refused(state):
    block, *rest = state
    for bit in range(8 * len(block)):
        changed = bytearray(block)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError):
            _restore_recalibrate(changed, *rest)
    for cut in [block[:n] for n in range(len(block))] + [block + b"\0"]:
        with pytest.raises(CorruptError):
            _restore_recalibrate(cut, *rest)
    for used in (-1, 10**6):
        with pytest.raises(CorruptError):
            _restore_recalibrate(block, used, *rest[1:])


EDGES = st.sampled_from([0, 1, 2, 5, 2**31, 2**32, 2**40, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1])
ALTERED = st.lists(st.tuples(st.integers(3, 400), EDGES | st.integers(0, 2**64 - 1)), min_size=1, max_size=3)


@given(changes=ALTERED, seed=st.integers(0, 99))
def test_whatever_passes_the_check_can_be_fed(changes, seed):
    """Words changed anywhere under a right checksum: refused, or a window like any other."""
    block, *rest = made_state()
    block = bytearray(block)
    for word, value in changes:
        struct.pack_into("<Q", block, 8 * (3 + (word - 3) % (len(block) // 8 - 3)), value)
    struct.pack_into("<Q", block, 16, checksum(block))
    try:
        window = _restore_recalibrate(bytes(block), *rest)
    except CorruptError:
        return
    assert window.__reduce__()[1][0] == block
    now = window.time or 0
    with contextlib.suppress(InvalidArgument):  # time may be at its end
        told(window, now)
        now = fed(window, seed, 80, now)
        told(window, now + 10**10)
        told(window, 2**62)
    assert repr(window)


def test_changed_counts_are_refused_under_a_right_checksum(state):
    """The window's sums are those of its buckets."""
    block, *rest = state
    width = 7 + 8  # deepest: 8 half ticks
    words = len(block) // 8 - width * (1 + 6 + 7)  # total, ring, blocks
    for at in range(words, words + width * 7):
        for change in (1, -1):
            changed = bytearray(block)
            (old,) = struct.unpack_from("<q", block, 8 * at)
            struct.pack_into("<q", changed, 8 * at, old + change)
            struct.pack_into("<Q", changed, 16, checksum(changed))
            with pytest.raises(CorruptError):
                _restore_recalibrate(bytes(changed), *rest)
