"""Why a quote of a replay was there: the decision made again is the decision that was logged."""

import math

import numpy as np
import pytest

import mmcore as mm
from mmcore import explaining
from mmcore.errors import InvalidArgument
from mmcore.explaining import FIRST, explanations, in_force

pytestmark = pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning")

QUANTUM = 2.0**-20  # ticks, in which contributions are counted
EXACT = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.003, q_max=6)

FINITE = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.003, q_max=6, horizon=900.0)


@pytest.fixture(scope="module")
def events():
    return mm.SimulatedMarket(duration=600.0, seed=11).events()


@pytest.fixture(scope="module")
def followed(events):
    """Parameters that follow the market every five seconds."""
    return mm.run(events, recalibrate=5.0)


def follower():
    return mm.Recalibrate(every=7.0, window=140.0, warmup=70.0)


CASES = {
    "a policy": lambda e: mm.replay(e, mm.Affine(base=2.0, slope=0.3, q_max=4)),
    "latency": lambda e: mm.replay(e, mm.Affine(base=1.0, slope=0.3, q_max=4), latency=0.4),
    "every quote": lambda e: mm.replay(e, EXACT, interval=0.0, recalibrate=follower()),
    "weighted": lambda e: mm.replay(e, EXACT, reference="weighted", recalibrate=follower()),
    "pooled": lambda e: mm.replay(
        e, EXACT, recalibrate=mm.Recalibrate(every=10.0, window=100.0, pooled=True)
    ),
    "counting down": lambda e: mm.replay(
        e, mm.AvellanedaStoikov(sigma=1.0, k=0.5, gamma=0.01, horizon=900.0, q_max=6), recalibrate=follower()
    ),
    "as if for ever": lambda e: mm.replay(e, FINITE, recalibrate=follower()),
    "row by row": lambda e: mm.replay(e, FINITE, time_left=30.0, recalibrate=follower()),
    "a time left": lambda e: mm.replay(
        e, mm.AvellanedaStoikov(sigma=1.0, k=0.5, gamma=0.01, horizon=900.0, q_max=6), time_left=300.0
    ),
    "rules": lambda e: mm.replay(
        e,
        mm.Quoter(
            EXACT,
            limits=mm.Limits(max_position=3),
            obligations=mm.Obligations(max_spread=4),
            feed_age=mm.FeedAge(halt_after=1.5, widen_after=0.2, widen=2.0),
        ),
    ),
}


def logged(result, row):
    """Prices (bid, ask) of a decision; None where absent."""
    d = result.decisions[row]
    return tuple(int(d[side]) if d[f"{side}_size"] else None for side in ("bid", "ask"))


@pytest.mark.parametrize("case", CASES)
def test_every_decision_made_again_is_the_one_that_was_logged(events, case):
    result = CASES[case](events)
    d = result.decisions
    seen = 0
    for row, why in explanations(result, np.arange(len(d))):
        known, quote = d[row], why.quote
        assert (quote.bid_size, quote.ask_size) == (known["bid_size"], known["ask_size"])
        assert quote.why == known["why"]
        assert tuple(quote) == logged(result, row)
        for terms, price in zip((why.bid, why.ask), quote, strict=True):
            if price is not None:
                assert sum(terms.values()) == price
                assert terms["reference"] == known["reference"] or case == "weighted"
        seen += 1
    assert seen == len(d) > 300
    if result.parameters is not None:
        assert (result.parameters["status"] == 0).sum() > 20


@pytest.mark.realdata
def test_every_decision_of_a_real_day_is_explained_with_its_quote(shared):
    result = mm.run(mm.load(shared / "data" / "lobster_amzn"))
    d = result.decisions
    assert (result.parameters["status"] == 0).sum() > 250
    for row, why in explanations(result, np.arange(len(d))):
        assert tuple(why.quote) == logged(result, row)
        assert why.quote.why == d["why"][row]


def test_it_is_the_explanation_of_the_model_in_force(followed):
    d, parameters = followed.decisions, followed.parameters
    rows = np.linspace(0, len(d) - 1, 25).astype(int)
    for row, why in explanations(followed, rows):
        known = d[row]
        done = np.flatnonzero((parameters["status"] == 0) & (parameters["time"] <= known["time"]))
        model = followed.model
        if len(done):
            now = parameters[done[-1]]
            model = model.replace(sigma=float(now["sigma"]), A=tuple(now["A"]), k=tuple(now["k"]))
        again = mm.Quoter(model, limits=followed.quoter.limits).explain(
            known["reference"], int(known["inventory"]), int(known["touch_bid"]), int(known["touch_ask"])
        )
        for found, expected in ((why.bid, again.bid), (why.ask, again.ask)):
            assert found.keys() == expected.keys()
            for stage in found:
                assert abs(found[stage] - expected[stage]) <= QUANTUM


def test_of_many_recalibrations_only_those_asked_for_are_made_again(followed, monkeypatch):
    rows = np.arange(0, len(followed.decisions), 37)
    whole = dict(explanations(followed, rows))
    monkeypatch.setattr(explaining, "RETRACED", 2)
    for row, why in explanations(followed, rows):
        for found, expected in ((why.bid, whole[row].bid), (why.ask, whole[row].ask)):
            for stage in expected:
                assert abs(found[stage] - expected[stage]) <= QUANTUM


def test_an_estimate_is_in_force_from_its_own_moment_on(followed):
    parameters = followed.parameters
    done = np.flatnonzero(parameters["status"] == 0)
    at = parameters["time"][done[3]]
    assert in_force(followed, [at - 1, at, at + 1]).tolist() == [done[2], done[3], done[3]]
    assert in_force(followed, [parameters["time"][done[0]] - 1]).tolist() == [FIRST]


def test_a_moment_is_answered_by_the_quote_that_was_live(events):
    result = mm.replay(events, mm.Affine(base=1.0, slope=0.3, q_max=4), latency=0.4)
    d = result.decisions
    for row in (0, 100, len(d) - 1):
        live = int(d["live_time"][row])
        assert logged(result, row) == tuple(result.explain(live).quote)
    assert logged(result, 99) == tuple(result.explain(int(d["live_time"][100]) - 1).quote)


@pytest.mark.parametrize("time", ["before", "after", True, 1.5, None])
def test_a_moment_without_quotes_is_refused(events, time):
    result = mm.replay(events, mm.Affine(base=1.0, q_max=4))
    first, end = int(result.decisions["live_time"][0]), result.totals.end_time
    wrong = {"before": first - 1, "after": end + 1}.get(time, time)
    with pytest.raises(InvalidArgument, match=str(end)) as refused:
        result.explain(wrong)
    assert refused.value.argument == "time"


def test_what_is_asked_does_not_change_the_result(followed):
    before = (followed.quoter.version, followed.quoter.policy)
    followed.explain(followed.totals.end_time)
    assert (followed.quoter.version, followed.quoter.policy) == before
    assert math.isfinite(followed.quoter.policy.depths(0)[0])
