"""Several quoters in one pass: each result is the one that the quoter has alone, to the last bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument, UnknownName

SIDES = {"near": 1.0, "middle": 2.5, "far": 4.0}
QUOTERS = {name: mm.Affine(base=base, slope=0.2, q_max=6) for name, base in SIDES.items()}


@pytest.fixture(scope="module")
def events():
    # more than two shared chunks of rows
    return mm.SimulatedMarket(duration=9000.0, seed=3).events()


def same(one, other):
    for name in ("decisions", "fills", "fill_context"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name
    assert (one.totals, one.settings, one.sample) == (other.totals, other.settings, other.sample)


@pytest.mark.parametrize("settings", [{}, {"interval": 0.0, "latency": 0.03}, {"fill": "touch"}])
def test_equal_to_separate_replays(events, settings):
    assert len(events) > 2 << 13
    together = mm.replay(events, QUOTERS, **settings)
    assert list(together) == list(QUOTERS)
    for name, quoter in QUOTERS.items():
        same(together[name], mm.replay(events, quoter, **settings))
    assert len({len(result.fills) for result in together.values()}) == 3


@given(st.lists(st.floats(0.5, 6.0), min_size=1, max_size=4), st.sampled_from([0.0, 0.05, 0.4]))
def test_equal_to_separate_replays_whoever_quotes(depths, latency):
    events = mm.SimulatedMarket(duration=60.0, seed=8).events()
    quoters = [mm.Affine(base=depth, slope=0.1, q_max=4) for depth in depths]
    together = mm.replay(events, quoters, latency=latency)
    assert list(together) == list(range(len(depths)))
    for at, quoter in enumerate(quoters):
        same(together[at], mm.replay(events, quoter, latency=latency))


def test_the_columns_of_the_events_are_shared(events):
    for result in mm.replay(events, QUOTERS).values():
        assert result.events is events


def test_the_optimistic_bound_of_each(events):
    together = mm.replay(events, QUOTERS, optimistic=True)
    for name, quoter in QUOTERS.items():
        alone = mm.replay(events, quoter, optimistic=True)
        same(together[name], alone)
        same(together[name].optimistic, alone.optimistic)


def test_a_model_stays_with_its_result(events):
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=0.5, k=0.5, gamma=0.01, q_max=5)
    together = mm.replay(events, {"model": model, "policy": QUOTERS["near"]})
    assert (together["model"].model, together["policy"].model) == (model, None)


def test_progress_counts_the_rows_once(events):
    seen = []
    mm.replay(events, QUOTERS, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(set(seen))
    assert seen[-1] == (len(events), len(events))


def test_what_is_refused(events):
    with pytest.raises(InvalidArgument, match="quoter"):
        mm.replay(events, {})
    other = mm.Instrument("OTHER", tick="0.5")
    wrong = mm.Quoter(QUOTERS["near"], other)
    with pytest.raises(InvalidArgument, match="OTHER") as caught:
        mm.replay(events, {"right": QUOTERS["near"], "wrong": wrong})
    assert caught.value.__notes__ == ["(quoter 'wrong')"]
    with pytest.raises(UnknownName, match="'near', 'middle', 'far'"):
        mm.replay(events, QUOTERS)["fra"]


def test_what_people_see(events):
    together = mm.replay(events, {"<near>": QUOTERS["near"], "far": QUOTERS["far"]})
    text = str(together).splitlines()
    assert len(text) == 3
    assert len({len(line) for line in text}) == 1
    assert "&lt;near&gt;" in together._repr_html_()
    assert "<near>" in repr(together)
    found = json.loads(json.dumps(together.to_dict(), allow_nan=False))
    assert found["far"]["fills"] == len(together["far"].fills)
    assert not np.isnan(float(found["<near>"]["pnl"]["total"]))
