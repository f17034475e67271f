"""Volatility, D1 and D2 on real data against numbers computed by independent code."""

from pathlib import Path
from typing import Any

import pytest
from real_sets import QUOTED, TRADED, WITH_SIDES, facts, load

import mmcore as mm
from mmcore.calibration import volatility

pytestmark = pytest.mark.realdata


def opened(name: str, shared: Path) -> tuple[mm.Events, dict[str, Any], float]:
    """Return the events of one set, its facts and its tick."""
    events = load(name, shared, cache=False)
    return events, facts(name, shared), float(events.instrument.tick)


@pytest.fixture(scope="module", params=WITH_SIDES)
def market(request: pytest.FixtureRequest, shared: Path) -> tuple[mm.Events, dict[str, Any], float]:
    return opened(request.param, shared)


@pytest.fixture(scope="module", params=TRADED)
def traded(request: pytest.FixtureRequest, shared: Path) -> tuple[mm.Events, dict[str, Any], float]:
    return opened(request.param, shared)


@pytest.fixture(scope="module", params=QUOTED)
def quoted(request: pytest.FixtureRequest, shared: Path) -> tuple[mm.Events, dict[str, Any], float]:
    return opened(request.param, shared)


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-12, abs=0.0)


@pytest.mark.parametrize("interval", [1, 10, 60])
def test_volatility(quoted, interval):
    events, facts, tick = quoted
    measured = volatility(events, interval)
    assert measured.increments == facts[f"n_ret_{interval}s"]
    assert measured.sigma * tick == near(facts[f"sigma_abs_{interval}s"])
    assert measured.log_variance == near(facts[f"rv_{interval}s"])


def test_reach_of_market_orders(market):
    events, facts, _ = market
    calibration = mm.calibrate(events, "reach")
    assert calibration.sample["market_orders"] == facts["D1_market_orders"]
    assert calibration.sample["at_or_inside_mid"] == facts["D1_at_or_inside_mid"]
    pooled = calibration.pooled
    assert pooled.counts.tolist() == facts["D1_counts"]
    assert pooled.points == facts["D1_fit"]["npts"]
    assert pooled.estimate == (near(facts["D1_fit"]["A"]), near(facts["D1_fit"]["k"]))
    assert (calibration.bid.counts + calibration.ask.counts).tolist() == facts["D1_counts"]


@pytest.mark.parametrize("window", [1, 5])
def test_hits_in_windows(traded, window):
    events, facts, _ = traded
    calibration = mm.calibrate(events, "window", window=window)
    assert calibration.sample["windows"] == facts[f"D2_W{window}_windows"]
    pooled, fit = calibration.pooled, facts[f"D2_W{window}_fit"]
    assert pooled.counts.tolist() == facts[f"D2_W{window}_hits"]
    assert pooled.points == fit["npts"]
    assert pooled.estimate == (near(fit["A"]), near(fit["k"]))


def test_what_is_identified_and_what_is_said(market):
    """Ten ticks span the decay on AMZN, not on BTCUSDT, whose reaches go to hundreds of ticks."""
    events, facts, _ = market
    one_tick = facts["name"].startswith("binance")
    default, reach, window = (mm.calibrate(events, method) for method in ("poisson", "reach", "window"))

    # the default adapts its range to the market and always sees the decay
    assert default.identified
    assert all(k * default.settings["max_depth"] > 1 for k in default.k)
    assert any("one tick" in note for note in default.notes) == one_tick
    assert any("clusters" in note for note in default.notes)

    assert reach.identified == ("btcusdt" not in facts["name"])
    assert window.identified == (not one_tick)
    for calibration in (reach, window):
        for fit in (calibration.bid, calibration.ask):
            if not fit.identified:
                assert fit.A is None
                assert fit.k is None
                assert any(note.startswith(f"{fit.side}: not identified") for note in calibration.notes)


def test_the_first_part_alone_is_what_a_split_calibrates_on(market):
    """No number depends on a row beyond the span that was given."""
    events, _, _ = market
    first, _ = events.split(0.5)
    assert (
        mm.calibrate(first).to_dict()
        == mm.calibrate(events.between(events.start_time, first.end_time + 1)).to_dict()
    )
