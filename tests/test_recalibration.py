"""Quoter.set: other parameters in force, in place where a kernel compiles the model, whole and versioned."""

import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from no_scalars import NO_SCALARS, shown

import mmcore as mm
from mmcore.errors import InvalidArgument, Unsupported

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings(
        "ignore::mmcore.errors.ApproximationWarning"
    ),  # the paper's approximation is meant
]

EXACT = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=20)
CARTEA = mm.CarteaJaimungal(A=(1.0, 1.2), k=0.5, running_penalty=1e-3, q_max=12, order_size=2)
CLOSED = mm.GueantLehalleFernandezTapiaClosedForm(sigma=0.3, A=0.9, k=0.3, gamma=0.001, q_max=12)
PAPER = mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.1, horizon=1.0, q_max=12)
DISCOUNTED = mm.AvellanedaStoikov(sigma=2.0, k=1.5, gamma=0.01, omega=5.0, q_max=12)
FINITE = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=20, horizon=600.0)


def agrees(quoter, model, time_left=math.inf):
    """The policy in force has the depths that the model itself says; of a horizon, as its integrator errs."""
    tol = 1e-12 if model.horizon is None or math.isinf(time_left) else 1e-9
    q = np.arange(-model.q_max, model.q_max + 1, model.order_size)
    for got, said in zip(quoter.policy.depths_batch(q, time_left), model.depths(q, time_left), strict=True):
        np.testing.assert_allclose(got, said, rtol=tol, atol=tol / min(model.k))


positive = st.floats(0.05, 5.0)


pair = st.one_of(positive, st.tuples(positive, positive))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "sigma": st.floats(0.0, 3.0),
                "A": pair,
                "k": pair,
                "gamma": st.sampled_from([0.0, 1e-6, 1e-3, 0.05]),
                "fee": st.floats(-0.2, 0.2),
                "drift": st.sampled_from([0.0, 0.001, -0.01]),
                "impact": st.sampled_from([0.0, 0.2]),
                "objective": st.sampled_from(["exponential", "mean_variance"]),
            },
        ),
        max_size=4,
    )
)
def test_one_set_after_another_is_the_model_with_all_of_them(changes):
    quoter, model = mm.Quoter(EXACT), EXACT
    for turn, change in enumerate(changes, 2):
        quoter.set(**change)
        model = model.replace(**change)
        agrees(quoter, model)
        assert quoter.version == quoter.policy.version == quoter.quote(100.5, 0).version == turn
    assert quoter.model == model


@pytest.mark.parametrize(
    ("model", "change", "time_left"),
    [
        (
            CARTEA,
            {"A": 2.0, "running_penalty": 0.01, "adverse_selection": (0.1, 0.0), "sigma": 3.0},
            math.inf,
        ),
        (CLOSED, {"sigma": 0.4, "k": 0.31}, math.inf),
        (PAPER, {"sigma": 1.0, "gamma": 0.2, "A": 9.0}, 0.7),
        (DISCOUNTED, {"sigma": 1.5}, math.inf),
        (FINITE, {"gamma": 0.02}, 600.0),
        (FINITE, {"gamma": 0.02}, math.inf),
    ],
)
def test_every_model_can_be_set(model, change, time_left):
    quoter = mm.Quoter(model)
    quoter.set(**change)
    quoter.set()
    agrees(quoter, model.replace(**change), time_left)
    assert quoter.version == 3
    assert quoter.model == model.replace(**change)


@pytest.mark.parametrize("model", [FINITE, CARTEA.replace(horizon=50.0, terminal_penalty=0.2)])
def test_a_finite_horizon_is_quoted_from_the_row_that_is_needed(model):
    quoter = mm.Quoter(model)
    for time_left in (model.horizon, 7.5, 0.0):
        change = {"A": 1.0 + time_left / 100}
        quoter.set(time_left=time_left, **change)
        model = model.replace(**change)
        q = np.arange(-model.q_max, model.q_max + 1, model.order_size)
        for got, said in zip(quoter.policy.depths_batch(q), model.depths(q, time_left), strict=True):
            np.testing.assert_allclose(got, said, rtol=1e-11, atol=1e-11 / min(model.k))
    # The whole table again, and then a row: each from all that was set.
    quoter.set(k=0.4)
    assert quoter.policy.horizon == model.horizon
    quoter.set(time_left=7.5)
    bid, ask = model.replace(k=0.4).depths(4, 7.5)
    assert quoter.policy.depths(4) == pytest.approx((bid, ask), rel=1e-11)


@pytest.mark.parametrize("model", [EXACT, CARTEA, CLOSED, PAPER, DISCOUNTED, FINITE])
@pytest.mark.parametrize(
    ("name", "value"),
    [("k", v) for v in (0.0, -1, math.nan, math.inf, "a", None, True, (0.1,), (0.1, math.nan), (0.1, 0))]
    + [("no_such", 1.0), ("q_max", 5), ("order_size", 2), ("horizon", 3.0)],
)
def test_a_bad_value_is_named_and_leaves_the_policy_in_force(model, name, value):
    quoter = mm.Quoter(model)
    quoter.set(k=0.35 if model is not PAPER else 1.4)
    before = quoter.policy.to_bytes(), quoter.version, quoter.model
    with pytest.raises(InvalidArgument) as caught:
        quoter.set(A=1.5, **{name: value})
    assert caught.value.argument == name
    assert (quoter.policy.to_bytes(), quoter.version, quoter.model) == before
    quoter.set(A=1.5)
    assert quoter.version == before[1] + 1


@pytest.mark.parametrize(
    ("model", "name"), [(CARTEA, "gamma"), (EXACT, "running_penalty"), (CLOSED, "horizon")]
)
def test_a_parameter_of_another_model_is_refused(model, name):
    """Though the kernels, which share a struct, know it."""
    quoter = mm.Quoter(model)
    with pytest.raises(InvalidArgument, match=name):
        quoter.set(A=1.5, **{name: 0.1})
    assert (quoter.version, quoter.model) == (1, model)
    finite = mm.Quoter(model.replace(horizon=9.0) if model is CARTEA else FINITE)
    with pytest.raises(InvalidArgument, match=name):
        finite.set(time_left=3.0, **{name: 0.1})
    assert finite.version == 1


BEYOND = [
    (EXACT, {"fee": 1e6}, "fee"),
    (EXACT, {"impact": 1e6}, "impact"),
    (EXACT, {"sigma": 1e200}, "sigma"),
    (EXACT, {"gamma": 1e306}, "gamma"),
    (EXACT, {"drift": 1e308}, "drift"),
    (CARTEA, {"fee": 1e6}, "fee"),
    (CARTEA, {"adverse_selection": -1e6}, "adverse_selection"),
    (CARTEA, {"running_penalty": 1e308}, "running_penalty"),
]


@pytest.mark.parametrize(("model", "change", "name"), BEYOND)
def test_numbers_beyond_the_solver_leave_the_policy_in_force(model, change, name):
    """And nothing of what was refused comes into force with the next change, the first or a later one."""
    for sets in (0, 1):
        quoter = mm.Quoter(model)
        for _ in range(sets):
            quoter.set(A=2.0)
        with pytest.raises(InvalidArgument, match=name) as caught:
            quoter.set(k=0.7, **change)
        assert caught.value.argument == name
        assert quoter.version == 1 + sets
        agrees(quoter, model.replace(A=2.0) if sets else model)
        quoter.set(A=1.5)
        agrees(quoter, model.replace(A=1.5))
        assert quoter.model == model.replace(A=1.5)


def test_what_cannot_be_set_says_why():
    with pytest.raises(Unsupported, match="made from a policy"):
        mm.Quoter(mm.Affine(base=1.0)).set(sigma=1.0)
    for model in (EXACT, PAPER, DISCOUNTED):
        with pytest.raises(Unsupported, match="time_left"):
            mm.Quoter(model).set(time_left=1.0)
    for wrong in (-1.0, 601.0, math.nan, math.inf, "soon"):
        with pytest.raises(InvalidArgument, match="time_left"):
            mm.Quoter(FINITE).set(time_left=wrong)

    class Own:
        def policy(self):
            return mm.Affine(base=1.0)

    with pytest.raises(Unsupported, match="no method replace"):
        mm.Quoter(Own()).set(width=2.0)


def test_a_model_of_ones_own_is_compiled_anew():
    class Fixed:
        def __init__(self, half=1.0):
            self.half = half

        def policy(self):
            return mm.Affine(base=self.half)

        def replace(self, **changes):
            return Fixed(**{"half": self.half, **changes})

    quoter = mm.Quoter(Fixed())
    for turn, half in enumerate((2.0, 3.0, 4.0), 2):
        quoter.set(half=half)
        assert tuple(quoter.quote(100.0, 0)) == (100 - half, 100 + half)
        assert quoter.version == turn


def test_a_policy_taken_before_stays_as_it_was():
    quoter = mm.Quoter(EXACT)
    taken = [quoter.policy]
    for sigma in (0.4, 0.5, 0.6):
        quoter.set(sigma=sigma)
        taken.append(quoter.policy)
        assert quoter.policy is taken[-1]
    for sigma, policy in zip((0.3, 0.4, 0.5, 0.6), taken, strict=True):
        assert policy.depths(3) == pytest.approx(EXACT.replace(sigma=sigma).depths(3), rel=1e-12)
        assert mm.Policy.from_bytes(policy.to_bytes()) == policy


def test_a_batch_and_a_replay_use_one_policy():
    quoter = mm.Quoter(EXACT)
    quoter.set(sigma=0.5)
    rows = quoter.quote_batch(np.full(100, 100.5), np.arange(100) % 20)
    assert set(rows["version"]) == {2}
    for row, inventory in zip(rows[:20], range(20), strict=True):
        assert (row["bid"], row["ask"]) == tuple(quoter.quote(100.5, inventory))
    events = mm.SimulatedMarket(duration=60.0, seed=1).events()
    same = mm.replay(events, mm.Quoter(EXACT.replace(sigma=0.5)))
    assert mm.replay(events, quoter).attribution == same.attribution


def test_a_pickled_quoter_goes_on():
    quoter = mm.Quoter(EXACT, feed_age=mm.FeedAge(halt_after=1.0))
    quoter.set(sigma=0.5)
    copy = pickle.loads(pickle.dumps(quoter))
    assert copy.policy == quoter.policy
    assert copy.model == quoter.model
    assert copy.feed_age == quoter.feed_age
    for each in (quoter, copy):
        each.set(k=0.4)
    assert copy.policy == quoter.policy
    assert copy.quote(100.5, 3, age=2.0).why == mm.Why.STALE


@pytest.mark.parametrize("kind", [list, np.array])
@pytest.mark.parametrize(
    ("model", "name", "pair", "later"),
    [
        (EXACT, "k", [0.3, 0.4], 2.0),
        (EXACT, "A", [0.9, 0.8], -1.0),
        (EXACT, "fee", [0.1, 0.2], math.nan),
        (CARTEA, "adverse_selection", [0.1, 0.2], 3.0),
        (CLOSED, "k", [0.3, 0.4], 2.0),
        (PAPER, "k", [1.5, 1.4], 2.0),
        (PAPER, "A", [0.9, 0.8], -1.0),
        (DISCOUNTED, "k", [1.5, 1.4], 2.0),
        (FINITE, "k", [0.3, 0.4], 2.0),
    ],
)
def test_what_was_set_stays_whatever_becomes_of_the_callers_array(model, name, pair, later, kind):
    expected = model.replace(**{name: tuple(pair)})
    given, constructed = kind(pair), kind(pair)
    quoter = mm.Quoter(model)
    quoter.set(**{name: given})
    made = mm.Quoter(type(model)(**{**model.parameters, name: constructed}))
    given[0] = constructed[0] = later
    for each in (quoter, made, pickle.loads(pickle.dumps(quoter))):
        assert each.model == expected
        each.set(sigma=model.sigma or 0.2)
        assert each.model == expected.replace(sigma=model.sigma or 0.2)
    time_left = 1.0 if model in (PAPER, FINITE) else math.inf
    assert quoter.policy.depths(0, time_left) == made.policy.depths(0, time_left)


def test_what_was_set_is_kept_as_plain_floats():
    quoter = mm.Quoter(EXACT)
    quoter.set(
        k=np.array([0.25, 0.5], np.float32), sigma=np.array(0.5), A=np.array(0.75), gamma=np.float64(0.02)
    )
    assert (quoter.model.k, quoter.model.A) == ((0.25, 0.5), (0.75, 0.75))
    held = [quoter.model.sigma, quoter.model.gamma, *quoter.model.k, *quoter.model.A]
    assert {type(number) for number in held} == {float}


@pytest.mark.parametrize("name", ["sigma", "k", "A", "fee", "drift"])
@pytest.mark.parametrize(
    "value",
    [
        *NO_SCALARS,
        np.array([[0.5], [0.5]]),
        np.ma.array([0.5, 0.5], mask=[0, 1]),
        np.array([1, 2], "m8[ns]"),
        [0.5, np.True_],
        ["0.5", "0.25"],
        (0.5, 0.25, 0.125),
    ],
    ids=shown,
)
def test_what_is_no_number_is_refused_by_models_and_set_alike(name, value):
    quoter = mm.Quoter(EXACT)
    for refuse in (lambda: EXACT.replace(**{name: value}), lambda: quoter.set(**{name: value})):
        with pytest.raises(InvalidArgument, match=f"^{name} must be") as caught:
            refuse()
        assert caught.value.argument == name
    assert (quoter.version, quoter.model) == (1, EXACT)


def test_readers_in_other_threads_see_whole_policies():
    quoter = mm.Quoter(EXACT)
    wide = EXACT.replace(k=0.03)
    price = {0: math.floor(1e6 - wide.depths(0)[0]), 1: math.floor(1e6 - EXACT.depths(0)[0])}
    wrong = []

    def read():
        for _ in range(3000):
            rows = quoter.quote_batch(np.full(20, 1e6), 0)
            if {(v % 2, b) for v, b in zip(rows["version"], rows["bid"], strict=True)} - set(price.items()):
                wrong.append(rows)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    while any(thread.is_alive() for thread in readers):
        quoter.set(k=0.03)
        quoter.set(k=0.3)
    for thread in readers:
        thread.join()
    assert not wrong


def test_old_data_widen_and_then_halt():
    quoter = mm.Quoter(mm.Affine(base=1.5), feed_age=mm.FeedAge(halt_after=4.0, widen_after=0.5, widen=2.0))
    plain = quoter.quote(100.5, 0)
    assert tuple(plain) == (99, 102)
    assert quoter.quote(100.5, 0, age=0.5) == plain  # not older than the bound
    wide = quoter.quote(100.5, 0, age=2.25)  # 2 * sqrt(2.25) = 3 ticks
    assert (tuple(wide), wide.why) == ((96, 105), mm.Why.WIDENED)
    assert quoter.explain(100.5, 0, age=2.25).bid["age"] == -3.0
    for age in (4.5, math.inf, math.nan):
        gone = quoter.quote(100.5, 0, age=age)
        assert tuple(gone) == (None, None)
        assert gone.why == mm.Why.STALE
    assert quoter.quote(100.5, 0, age=-1.0) == plain  # clocks apart: not old
    quoter.feed_age = None
    assert quoter.quote(100.5, 0, age=1e9) == plain


def test_a_desk_that_gains_nothing_at_its_best_inventory_is_made_anew():
    """There the ask is filled at a rate beyond numbers: nothing flows, and nothing is wrong with that."""
    given = {"k": (3.2, 11.4), "adverse_selection": (24.0, 55.0), "q_max": 91, "order_size": 7}
    live = mm.Quoter(mm.CarteaJaimungal(A=1e-6, running_penalty=0.6, **given))
    live.set(running_penalty=9e-14, A=3e-6)
    made = mm.Quoter(live.model)
    for ours, theirs in zip(
        made.policy.depths_batch(made.policy.inventories),
        live.policy.depths_batch(live.policy.inventories),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)
    A, (k, _) = 3e-6, given["k"]
    lean, q = A * (55.0 - 24.0), np.arange(-91, 91, 7)
    lost = (lean * (91.0 - q) - 9e-14 * (91.0**2 - q * q)) / 7  # by an order less, at the rate of fills:
    bid = made.policy.depths_batch(q)[0]
    np.testing.assert_allclose(A / k * np.exp(-k * bid), lost, rtol=1e-12)
    assert live.model.gain == pytest.approx(lean * 91 - 9e-14 * 91**2, rel=1e-15)


@pytest.mark.parametrize(
    "wrong",
    [
        {"halt_after": 0.0},
        {"halt_after": -1},
        {"halt_after": math.nan},
        {"widen_after": 1.0},
        {"widen": 1.0},
        {"widen_after": 1.0, "widen": -1.0},
        {"widen_after": math.inf, "widen": 1.0},
    ],
)
def test_a_wrong_feed_age_is_refused(wrong):
    with pytest.raises(InvalidArgument):
        mm.FeedAge(**wrong)
    with pytest.raises(TypeError, match="feed_age"):
        mm.Quoter(mm.Affine(base=1.0), feed_age=wrong)


def test_a_replay_halts_on_old_data():
    """Quotes come in pairs, 1 s apart; decisions every 0.25 s see ages of 0 to 0.75 s and more."""
    from mmcore.events import Quotes, Trades

    s = 1_000_000_000
    times = [0, s, 2 * s, 3 * s, 4 * s]
    events = mm.Events(
        mm.Instrument("X", tick="1"),
        None,
        Quotes(local_time=times, bid=[99] * 5, ask=[101] * 5),
        Trades(local_time=[s // 2], price=[100], size=[1]),
    )
    quoter = mm.Quoter(mm.Affine(base=2.0), feed_age=mm.FeedAge(halt_after=0.6, widen_after=0.4, widen=4.0))
    rows = mm.replay(events, quoter, interval=0.25).decisions
    assert [int(why) for why in rows["why"][:5]] == [0, 0, mm.Why.WIDENED, mm.Why.STALE, 0]
    assert rows["bid"][2] == math.floor(100 - 2 - 4 * math.sqrt(0.5))
