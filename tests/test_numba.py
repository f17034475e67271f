"""Inside numba: the same bits as from Python, also from a cache in a new process; refused without numba."""

import math
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm

pytest.importorskip("numba")

import numba

from mmcore.numba import (
    NO_ASK,
    NO_BID,
    POSITION,
    depths,
    fill,
    mark,
    new_position,
    policy_block,
    profit,
    pure,
    quote,
    rules_of,
)

POLICIES = {
    "affine": mm.Affine(base=(1.5, 2.25), slope=(0.25, 0.125), q_max=9),
    "finite": mm.AvellanedaStoikov(sigma=2, gamma=0.1, k=1.5, horizon=60).policy(),
    "table": mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=8).policy(),
}


@numba.njit
def all_depths(policy, inventory, time_left):
    out = np.empty((inventory.size, 2))
    for i in range(inventory.size):
        out[i, 0], out[i, 1] = depths(policy, inventory[i], time_left[i])
    return out


@numba.njit
def all_quotes(policy, rules, reference, inventory, bid, ask, shift, target, time_left, age, out):
    for i in range(inventory.size):
        q = quote(
            policy,
            rules,
            reference[i],
            inventory[i],
            bid[i],
            ask[i],
            shift[i],
            target[i],
            time_left[i],
            0,
            age[i],
        )
        out[i, 0], out[i, 1] = q.price
        out[i, 2], out[i, 3] = q.size
        out[i, 4], out[i, 5], out[i, 6] = q.take, q.version, q.why


PATH = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=8, horizon=600).policy()
RULES = {
    "plain": {},
    "all": {
        "limits": mm.Limits(max_position=6, shrink=True),
        "obligations": mm.Obligations(max_spread=6, min_size=1),
        "feed_age": mm.FeedAge(halt_after=3, widen_after=1, widen=0.5),
    },
}


def loop_of(quote):
    @numba.njit
    def run(policy, rules, reference, inventory, bid, ask, shift, target, time_left, age, out):
        for i in range(inventory.size):
            q = quote(
                policy,
                rules,
                reference[i],
                inventory[i],
                bid[i],
                ask[i],
                shift[i],
                target[i],
                time_left[i],
                0,
                age[i],
            )
            out[i, 0], out[i, 1] = q.price
            out[i, 2], out[i, 3] = q.size
            out[i, 4], out[i, 5], out[i, 6] = q.take, q.version, q.why

    return run


@numba.njit
def pure_depths(policy, inventory, time_left):
    out = np.empty((inventory.size, 2))
    for i in range(inventory.size):
        out[i, 0], out[i, 1] = pure.depths(policy, inventory[i], time_left[i])
    return out


RUN_PURE = loop_of(pure.quote)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("name", [*POLICIES, "path"])
def test_the_twins_without_calls_are_equal_to_the_bit(name, rules):
    """Any state of the market and of the feed: far prices, crossed and absent touches, NaN, every reason."""
    policy, n = {**POLICIES, "path": PATH}[name], 200_000
    rng = np.random.default_rng(5)
    quoter = mm.Quoter(policy, **RULES[rules])
    reference = rng.choice([1e4, 1e6, 123456.75, 3e9, -5e9, 4.6e15], n) + rng.normal(0, 3, n).round(2)
    inventory = rng.integers(-11, 12, n) + rng.choice([0.0, 0.5], n)
    bid = np.floor(reference).astype(np.int64) - rng.integers(0, 3, n)
    ask = bid + rng.integers(-1, 4, n)
    bid[::17], ask[::19] = NO_BID, NO_ASK
    shift, target = rng.normal(0, 1, n), rng.integers(-2, 3, n).astype(float)
    left = np.where(
        rng.random(n) < 0.5, rng.uniform(0, 61, n), rng.choice([math.inf, -1, 0, math.nan, 600, 601], n)
    )
    age = rng.choice([0, 0.5, 2, 4, math.nan], n)
    reference[::101], inventory[::103], shift[::107] = math.nan, math.inf, math.inf
    given = (reference, inventory, bid, ask, shift, target, left, age)
    got, want = np.zeros((2, n, 7), dtype=np.int64)
    RUN_PURE(pure.policy_of(policy), pure.rules_of(quoter), *given, got)
    all_quotes(policy_block(policy), rules_of(quoter), *given, want)
    assert np.array_equal(got, want)
    assert len(np.unique(got[:, 6])) > 40  # many reasons
    found = pure_depths(pure.policy_of(policy), inventory, left)
    assert np.array_equal(found, all_depths(policy_block(policy), inventory, left), equal_nan=True)


@pytest.mark.parametrize("name", POLICIES)
def test_quotes_are_those_of_python_to_the_bit(name):
    policy, n = POLICIES[name], 200_000
    rng = np.random.default_rng(1)
    quoter = mm.Quoter(
        policy,
        limits=mm.Limits(max_position=6, shrink=True),
        obligations=mm.Obligations(max_spread=6, min_size=1),
        feed_age=mm.FeedAge(halt_after=3, widen_after=1, widen=0.5),
    )
    reference = rng.choice([1e4, 1e6, 123456.75], n) + rng.normal(0, 3, n).round(2)
    inventory = rng.integers(-11, 12, n).astype(float)
    bid = np.floor(reference).astype(np.int64) - rng.integers(0, 3, n)
    ask = bid + rng.integers(0, 4, n)
    bid[::17], ask[::19] = NO_BID, NO_ASK
    shift, target = rng.normal(0, 1, n), rng.integers(-2, 3, n).astype(float)
    left = rng.uniform(0, 61, n) if name == "finite" else np.full(n, math.inf)
    age = rng.choice([0, 0.5, 2, 4], n)
    reference[::101] = math.nan
    out = np.zeros((n, 7), dtype=np.int64)
    all_quotes(
        policy_block(policy), rules_of(quoter), reference, inventory, bid, ask, shift, target, left, age, out
    )
    want = quoter.quote_batch(
        reference, inventory, bid, ask, shift=shift, target=target, time_left=left, age=age
    )
    for column, field in enumerate(want.dtype.names):
        np.testing.assert_array_equal(out[:, column], want[field].astype(np.int64), err_msg=field)
    assert len(np.unique(out[:, 6])) > 10  # many reasons
    got = all_depths(policy_block(policy), inventory, left)
    for i in range(0, n, 997):
        want = [math.nan if depth is None else depth for depth in policy.depths(inventory[i], left[i])]
        assert np.array_equal(got[i], want, equal_nan=True)


def test_a_version_of_64_bits_is_whole():
    quoter = mm.Quoter(mm.Affine(base=1.5, version=2**64 - 1))
    told = version_of(policy_block(quoter), rules_of(quoter)), quoter.quote(100.0, 0).version
    assert told == (2**64 - 1, 2**64 - 1)


@numba.njit
def version_of(policy, rules):
    return quote(policy, rules, 100.0, 0.0).version


@numba.njit
def bid_by_symbol(policy, rules, mid):
    return quote(policy, rules, mid, 0.0).price[0]


@numba.njit(parallel=True)
def bids_by_symbol(policy, rules, mids, out):
    for i in numba.prange(len(mids)):
        out[i] = bid_by_symbol(policy, rules, mids[i])


@pytest.mark.parametrize("name", ["affine", "table"])
def test_prange_quotes_through_a_function_of_ones_own(name):
    quoter = mm.Quoter(POLICIES[name])
    mids, out = np.linspace(90, 110, 101), np.zeros(101, np.int64)
    bids_by_symbol(policy_block(quoter), rules_of(quoter), mids, out)
    np.testing.assert_array_equal(out, quoter.price_batch(mids, 0.0)[0])
    policy, rules = pure.policy_of(quoter), pure.rules_of(quoter)

    @numba.njit
    def bid(mid):
        return pure.quote(policy, rules, mid, 0.0).price[0]

    @numba.njit(parallel=True)
    def bids(mids, out):
        for i in numba.prange(len(mids)):
            out[i] = bid(mids[i])

    out[:] = 0
    bids(mids, out)
    np.testing.assert_array_equal(out, quoter.price_batch(mids, 0.0)[0])


def test_fills_are_booked_as_by_a_position():
    position, random_ = new_position(), random.Random(2)
    book = mm.Book([mm.Instrument("X", tick="0.01")])
    twin = book["X"]
    for _ in range(3000):
        lots, price = random_.choice([-5, -1, 1, 2, 7]), random_.randrange(1, 10**6)
        assert fill(position, lots, price) == 0
        twin.fill(lots, price)
    assert mark(position, 777) == 0
    book.mark("X", 777)
    assert int(position[0]["net"]) == twin.net
    assert profit(position) == (twin.realised + twin.unrealised) / 10**9
    before = position.copy()
    assert fill(position, 0, 5) == -1  # MM_INVALID, and nothing changed
    assert fill(position, 1, -5) == -1
    assert (position == before).all()


@numba.njit
def one(policy, rules):
    return quote(policy, rules, 100.0, 1.0).price


@numba.njit
def booked(position):
    return fill(position, 1, 100)


@numba.njit
def booked_with(position, qty, price, fee):
    return fill(position, qty, price, fee)


@numba.njit
def marked(position, price):
    return mark(position, price)


@numba.njit
def touched(policy, rules, touch_bid, touch_ask):
    return quote(policy, rules, 100.0, 0.0, touch_bid, touch_ask).price


@numba.njit
def of_state(policy, rules, state):
    return quote(policy, rules, 100.0, 0.0, state=state).price


@numba.njit
def depths_of_state(policy, state):
    return depths(policy, 0.0, np.inf, state)


@pytest.mark.parametrize("wrong", [100.9, 100.0, np.float32(1), np.uint64(2**63 + 5), True, None])
@pytest.mark.parametrize("name", ["qty", "price", "fee", "mark", "touch_bid", "touch_ask", "state", "depths"])
def test_what_is_counted_is_refused_as_anything_but_an_integer(name, wrong):
    """A cast would book 100.9 at 100, and let 2^63 + 5 wrap round."""
    position = new_position()
    quoter = mm.Quoter(POLICIES["affine"])
    policy, rules = policy_block(quoter), rules_of(quoter)
    given = {"qty": 10, "price": 100, "fee": 0, "touch_bid": 99, "touch_ask": 102, name: wrong}
    qty, price, fee, touch_bid, touch_ask = list(given.values())[:5]
    argument = {"mark": "price", "depths": "state"}.get(name, name)
    call = {
        "mark": lambda: marked(position, wrong),
        "state": lambda: of_state(policy, rules, wrong),
        "depths": lambda: depths_of_state(policy, wrong),
        "touch_bid": lambda: touched(policy, rules, touch_bid, touch_ask),
        "touch_ask": lambda: touched(policy, rules, touch_bid, touch_ask),
    }.get(name, lambda: booked_with(position, qty, price, fee))
    with pytest.raises(numba.TypingError, match=rf"{argument} must be a whole number of .* got "):
        call()
    assert (position == new_position()).all()


def test_integers_of_every_width_are_counted():
    position = new_position()
    quoter = mm.Quoter(POLICIES["affine"])
    assert booked_with(position, np.int8(-3), np.uint32(4_000_000_000), np.int16(-2)) == 0
    assert (int(position[0]["net"]), int(position[0]["fees"]["lo"])) == (-3, 2**64 - 2)
    assert marked(position, np.uint8(255)) == 0
    assert int(position[0]["mark"]) == 255
    with_touch = touched(policy_block(quoter), rules_of(quoter), np.int32(97), np.uint8(99))
    quote_ = quoter.quote(100.0, 0, 97, 99)
    assert with_touch == (quote_.bid, quote_.ask)


def test_a_position_that_may_not_be_written_to_is_not():
    block = new_position().tobytes()
    kept = np.frombuffer(block, POSITION)
    for write in (lambda: booked(kept), lambda: marked(kept, 5), lambda: fill(kept, 5, 100)):
        with pytest.raises(numba.TypingError, match="position must be an array that may be written to"):
            write()
    assert block == new_position().tobytes()
    assert profit(kept) == 0  # may be read


def test_what_is_no_array_is_told_where_to_get_one():
    quoter = mm.Quoter(POLICIES["affine"])
    policy, rules = policy_block(quoter), rules_of(quoter)
    for wrong in (None, 3):
        with pytest.raises(numba.TypingError, match="policy must be the array that policy_block returns"):
            one(wrong, rules)
    for wrong in (None, rules[0]):
        with pytest.raises(numba.TypingError, match="rules must be the array that rules_of returns"):
            one(policy, wrong)
    with pytest.raises(numba.TypingError, match="position must be the array that new_position returns"):
        booked(new_position()[0])


def test_negative_prices_are_for_positions_that_have_them():
    """As of an instrument: without them the kernel refuses, with them it books what a position books."""
    plain, position = new_position(), new_position(negative_prices=True)
    book = mm.Book([mm.Instrument("X", tick="0.01", negative_prices=True)])
    twin = book["X"]
    assert fill(plain, 3, 0) == fill(plain, 3, -3763) == mark(plain, -1) == -1
    assert (plain == new_position()).all()
    for lots, price in ((3, -3763), (-1, 0), (-4, 12), (1, -5)):
        assert fill(position, lots, price) == 0
        twin.fill(lots, price)
    assert mark(position, -2) == 0
    book.mark("X", -2)
    assert int(position[0]["net"]) == twin.net == -1
    assert profit(position) == (twin.realised + twin.unrealised) / 10**9 == 3 * 3763 + 48 + 5 + 2
    with pytest.raises(ValueError, match="negative_prices must be True or False, got 1"):
        new_position(1)


@pytest.mark.parametrize("method", [1, 2])
def test_positions_at_another_cost_basis_are_refused(method):
    """FIFO and LIFO need lots; the kernel would book a LIFO position at average cost."""
    position = new_position()
    fill(position, 3, 100)
    position["method"] = method
    before = position.copy()
    assert fill(position, 2, 100) < 0
    assert (position == before).all()


def test_arrays_of_the_right_size_that_are_something_else_are_refused():
    quoter = mm.Quoter(POLICIES["table"])
    policy, rules, position = policy_block(quoter), rules_of(quoter), new_position()
    for byte in (0, 4):  # magic, ABI version
        wrong = policy.copy()
        wrong[byte] += 1
        with pytest.raises(ValueError, match="policy must be a whole block of ABI version 1"):
            one(wrong, rules)
    spread = np.zeros(2 * policy.size, np.uint8)
    spread[::2] = policy
    signed, wide = policy.view(np.int8), policy.view(np.int64)
    for wrong in (spread[::2], signed, wide, policy.reshape(1, -1)):
        with pytest.raises(ValueError, match="policy must be a whole block"):
            one(wrong, rules)
    for wrong in (np.zeros(rules.nbytes // 8), position, rules.reshape(1, 1)):
        with pytest.raises(ValueError, match="rules must be an array of one record"):
            one(policy, wrong)
    for wrong in (np.zeros(position.nbytes // 8), rules):
        with pytest.raises(ValueError, match="position must be an array of one record"):
            booked(wrong)
    for wrong in (position[:0], np.zeros(3), rules):
        with pytest.raises(ValueError, match="position must be an array of one record"):
            profit(wrong)


@pytest.mark.parametrize(
    "fills",
    [
        [(3 * 10**8, 61_700_000_001, 61_700_000_002)],
        [(10**9 + 1, 10**10 + 1, 10**10 + 2)],
        [(2**45, 2**48 - 1, 2**48), (-(2**45) + 3, 2**48 + 5, 2**48 - 9)],
        [(-7, 5, 2), (7, 3, 9)],
    ],
)
def test_profit_is_the_nearest_float(fills):
    position, cash = new_position(np.True_), 0
    assert profit(position) == 0
    for qty, price, ticks in fills:
        assert (fill(position, qty, price), np.isnan(profit(position))) == (0, position[0]["flags"] & 1 == 0)
        assert mark(position, ticks) == 0
        cash -= qty * price
        assert profit(position) == float(cash + int(position[0]["net"]) * ticks)


CALLS = {
    "state": lambda door: numba.njit(lambda p, r, x: door(p, r, 100.5, 0.0, state=x)),
    "touch_bid": lambda door: numba.njit(lambda p, r, x: door(p, r, 100.5, 0.0, touch_bid=x)),
    "touch_ask": lambda door: numba.njit(lambda p, r, x: door(p, r, 100.5, 0.0, touch_ask=x)),
}


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [("state", 0.5), ("state", np.nan), ("state", np.uint64(0)), ("touch_bid", 99.0), ("touch_ask", True)],
)
def test_the_twins_take_the_same_types(argument, wrong):
    quoter = mm.Quoter(POLICIES["affine"])
    for door, policy, rules in (
        (quote, policy_block(quoter), rules_of(quoter)),
        (pure.quote, pure.policy_of(quoter), pure.rules_of(quoter)),
    ):
        call = CALLS[argument](door)
        with pytest.raises(numba.TypingError, match=f"{argument} must be a whole number"):
            call(policy, rules, wrong)


def test_arrays_that_are_too_short_are_refused():
    quoter = mm.Quoter(POLICIES["table"])
    policy, rules = policy_block(quoter), rules_of(quoter)
    bid, ask = quoter.quote(100.0, 1)
    assert one(policy, rules) == (bid, ask)
    for wrong in (policy[:100], policy[:-1], policy[:0], np.zeros(1000, np.uint8)):
        with pytest.raises(ValueError, match="policy must be a whole block"):
            one(wrong.copy(), rules)
    for wrong in (rules[:0], np.zeros(1), np.zeros(2, rules.dtype)):
        with pytest.raises(ValueError, match="rules must be an array of one record"):
            one(policy, wrong)
    with pytest.raises(ValueError, match="position must be an array of one record"):
        booked(new_position()[:0])
    with pytest.raises(ValueError, match="policy must be a Policy or a Quoter"):
        policy_block(3)
    with pytest.raises(ValueError, match="quoter must be a Quoter"):
        rules_of(quoter.policy)


CACHED = """
import sys
import numpy as np, numba
import mmcore as mm
from mmcore.numba import depths, policy_block

@numba.njit(cache=True)
def total(policy, n):
    t = 0.0
    for q in range(-n, n + 1):
        bid, ask = depths(policy, float(q))
        t += bid + ask
    return t

print(total(policy_block(mm.Affine(base=1.5, slope=0.25)), 4), sum(total.stats.cache_hits.values()))
"""


def test_a_cache_serves_the_next_process(tmp_path):
    (tmp_path / "strategy.py").write_text(CACHED)
    said = [
        subprocess.run(
            [sys.executable, "strategy.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.split()
        for _ in range(2)
    ]
    assert said == [["27.0", "0"], ["27.0", "1"]]


def test_the_page_on_linking_tells_what_its_loop_does():
    """Bought at 98 and 96, sold at 103, one lot left at 100."""
    page = (Path(__file__).resolve().parents[1] / "docs" / "linking.md").read_text(encoding="utf-8")
    code = page.split("```text\nimport numpy")[1].split("```")[0]
    names = {}
    exec("import numpy" + code, names)
    assert names["told"] == (0, 9.0, 1) == (0, 103 - 98 - 96 + 100.0, 1)
    assert "# (0, 9.0, 1)" in code


def test_without_numba_the_extra_is_named():
    program = "import sys; sys.modules['numba'] = None; import mmcore.numba"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 1
    assert "'mmcore-quoting[numba]'" in ran.stderr
