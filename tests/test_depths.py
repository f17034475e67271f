"""Reading policies: what is known exactly, what is found, what is refused."""

import math

import numpy as np
import pytest

import mmcore as mm
from mmcore.depths import Depths
from mmcore.errors import CapacityError, InvalidArgument

Q = np.arange(-3.0, 4.0)


class Rule:
    """One function of inventory and time left for both sides, mirrored."""

    def __init__(self, depth, **attributes):
        self.depth = depth
        self.__dict__.update(attributes)

    def depths(self, inventory, time_left):
        return self.depth(inventory, time_left), self.depth(-inventory, time_left)


def worst(rule, times, bid, horizon):
    """Largest error of linear interpolation at random times; False where presence differs."""
    tau = np.random.default_rng(5).uniform(0, horizon, 5000)
    i = np.searchsorted(times, tau)
    share = (tau - times[i - 1]) / (times[i] - times[i - 1])
    found = bid[i - 1, 2] + share * (bid[i, 2] - bid[i - 1, 2])
    exact = np.array([rule.depths(Q[2], t)[0] for t in tau], dtype=float)
    return np.array_equal(np.isnan(found), np.isnan(exact)) and np.nanmax(np.abs(found - exact))


@pytest.mark.parametrize(
    "depth",
    [
        lambda q, tau: 1.0 + 0.1 * q,
        lambda q, tau: 1.0 + math.sin(tau) + 0.1 * q * tau,
        lambda q, tau: 1.0 if tau % 2.0 < 1.0 else 3.0,  # it looks constant at 0, 5 and 10, and halfway
        lambda q, tau: None if 3.0 <= tau < 3.4 else 1.0,
        lambda q, tau: (None if tau < 0.7 else 1.0) if q < 0 else 2.0,
        lambda q, tau: abs(tau - 4.3),
        lambda q, tau: math.log(tau + 1e-3),
        lambda q, tau: math.inf if tau > 8 else 1.0,  # too far to be filled
    ],
)
def test_a_rule_is_linear_between_the_times_found(depth):
    rule = Rule(depth)
    times, bid, ask = Depths(rule).along(Q, 10.0, tol=1e-6)
    assert times[0] == 0.0
    assert times[-1] == 10.0
    assert (np.diff(times) > 0).all()
    if depth(0.0, 9.0) == math.inf:
        rule = Rule(lambda q, tau: None if tau > 8 else 1.0)
    error = worst(rule, times, bid, 10.0)
    assert error is not False
    assert error < 1.5e-6
    assert np.isnan(bid[:, -1]).all()
    assert np.isnan(ask[:, 0]).all()
    np.testing.assert_array_equal(bid[:, ::-1], ask)


def test_no_more_times_than_it_takes():
    assert Depths(Rule(lambda q, tau: 1.0 + 0.1 * q * tau)).along(Q, 10.0)[0].tolist() == [0.0, 10.0]
    times = Depths(Rule(lambda q, tau: 1.0 if tau % 2.0 < 1.0 else 3.0)).along(Q, 9.5)[0]
    assert times.size == 2 + 2 * 9
    np.testing.assert_allclose(times[1:-1].reshape(-1, 2).mean(axis=1), np.arange(1.0, 10.0), atol=1e-11)


def test_what_is_announced_is_read_on_both_sides():
    """A pulse too short to be found by itself."""

    def pulse(q, tau):
        return 5.0 if 0.3 <= tau < 0.3001 else 1.0

    for announced in ((0.3, 0.3001), [0.3001, 0.3, 0.3, math.inf, -1.0], np.array([0.3, 0.3001, 20.0])):
        times, bid, _ = Depths(Rule(pulse, time_left=announced)).along(Q, 10.0)
        inside = times[bid[:, 2] == 5.0]
        assert inside.max() - inside.min() == pytest.approx(1e-4, abs=1e-15)
        assert worst(Rule(pulse), times, bid, 10.0) == 0.0


def test_tables_and_affine_policies_are_known_exactly():
    model = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=3, horizon=60.0)
    table = model.policy()
    times, bid, _ = Depths(table).along(Q, 60.0)
    np.testing.assert_array_equal(times, table.time_left)
    np.testing.assert_array_equal(bid, table.depths_batch(Q[None, :], times[:, None])[0])
    times, bid, _ = Depths(mm.Affine(base=1.0, slope=0.1, slope_rate=0.01)).along(Q, 60.0)
    assert times.tolist() == [0.0, 60.0]
    np.testing.assert_allclose(bid[1, :-1], 1.0 + (0.1 + 0.01 * 60) * Q[:-1], rtol=1e-15)


def test_a_model_is_read_as_it_is_or_compiled():
    model = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=3, horizon=60.0)
    q, tau = np.array([0.0, 3.0]), np.array([59.0, 1.0])
    np.testing.assert_array_equal(Depths(model)(q, tau), np.array(model.depths(q, tau)))
    compiled = Depths(model, tol=1e-4)
    assert compiled.policy.error <= 1e-4
    assert (compiled.q_max, compiled.order_size, compiled.horizon) == (3.0, 1.0, 60.0)


def test_a_rule_that_never_rests_is_refused():
    class Noise:
        generator = np.random.default_rng(3)

        def depths_batch(self, inventory, time_left):
            return self.generator.uniform(size=(2, inventory.size))

    with pytest.raises(CapacityError, match="bend so often"):
        Depths(Noise()).along(np.arange(-300.0, 301.0), 10.0)


@pytest.mark.parametrize(
    "policy", [None, 3.0, "policy", Rule, mm.Affine, object(), [1.0, 2.0], Rule(None, depths=4.0)]
)
def test_what_has_no_depths_is_refused(policy):
    with pytest.raises(InvalidArgument) as refused:
        Depths(policy)
    assert refused.value.argument == "policy"


@pytest.mark.parametrize(
    "attributes",
    [
        {"order_size": 0.0},
        {"order_size": math.inf},
        {"order_size": "one"},
        {"q_max": -1.0},
        {"q_max": math.nan},
        {"horizon": "long"},
        {"horizon": 0.0},
        {"time_left": "noon"},
        {"time_left": [1.0, math.nan]},
        {"time_left": [[1.0], [2.0, 3.0]]},
    ],
)
def test_attributes_that_make_no_sense_are_refused(attributes):
    with pytest.raises(InvalidArgument, match=next(iter(attributes))):
        Depths(Rule(lambda q, tau: 1.0, **attributes))


@pytest.mark.parametrize(
    "pair", [None, 1.0, (1.0,), (1.0, 2.0, 3.0), (1.0, "far"), (-math.inf, 1.0), ([1.0, 2.0], 1.0)]
)
def test_what_is_no_pair_of_depths_is_refused(pair):
    class Wrong:
        def depths(self, inventory, time_left):
            return pair

    class WrongBatch:
        def depths_batch(self, inventory, time_left):
            return pair

    with pytest.raises(InvalidArgument, match="pair") as refused:
        Depths(Wrong())(Q, Q)
    assert refused.value.argument == "policy"
    with pytest.raises(InvalidArgument, match="pair"):
        Depths(WrongBatch())(Q, Q)
