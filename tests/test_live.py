"""The example of a running desk: stopped and resumed it is the desk that was never stopped."""

import asyncio
import importlib.util
from pathlib import Path

import pytest

import mmcore as mm

PATH = Path(__file__).resolve().parents[1] / "examples" / "live.py"


@pytest.fixture(scope="module")
def live():
    spec = importlib.util.spec_from_file_location("live", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def events():
    return mm.SimulatedMarket(duration=240.0, seed=3).events()


def desk_of(live, events):
    model = mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.001, q_max=20)
    return live.Desk(events.instrument, model)


def content(desk):
    return (
        desk.book.snapshot(), desk.orders.to_bytes(), desk.quoter.policy.to_bytes(), desk.venue.resting,
        desk.state,
    )  # fmt: skip


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_stopped_and_resumed_it_is_the_desk_that_was_never_stopped(live, events, share, tmp_path):
    whole = desk_of(live, events)
    asyncio.run(live.run(whole, events, most=len(events)))
    assert whole.state["fills"] > 20
    part = desk_of(live, events)
    asyncio.run(live.run(part, events, most=int(share * len(events))))
    part.save(tmp_path / "desk.state")
    again = live.Desk.resume(tmp_path / "desk.state")
    assert content(again) == content(part)
    asyncio.run(live.run(again, events, most=len(events) - again.state["row"]))
    assert content(again) == content(whole)


def test_the_kill_switch_leaves_no_order_and_no_quote(live, events):
    desk = desk_of(live, events)
    asyncio.run(live.run(desk, events, most=len(events) // 2))
    assert desk.orders.working
    now = int(events.end_time)
    desk.kill("test", now)
    assert not desk.orders.working
    assert not desk.venue.resting
    desk.on_quote(now + 1, 99, 101)
    assert desk.quote.why == mm.Why.HALTED
    assert not desk.orders.working


def test_a_loss_beyond_the_limit_throws_it(live, events, monkeypatch, capsys):
    monkeypatch.setattr(live, "LOSS_LIMIT", 50)  # ticks times lots: not enough of a gain
    desk = desk_of(live, events)
    why = asyncio.run(live.run(desk, events))
    assert "the loss passed" in why
    assert not desk.venue.resting
    assert why in capsys.readouterr().out


def test_old_data_halt_it(live):
    """A feed that falls silent: the heartbeat tells the time, the depths widen, and then nothing stands."""
    events = mm.SimulatedMarket(duration=120.0, seed=3).events()
    desk = desk_of(live, events)
    asyncio.run(live.run(desk, events, most=len(events)))
    assert desk.orders.working
    heard = desk.state["heard"]
    desk.act(heard + 1_000_000_000)
    assert mm.Why.WIDENED in desk.quote.why
    desk.act(heard + 2_100_000_000)
    assert mm.Why.STALE in desk.quote.why
    assert not desk.orders.working


def test_the_feed_waits_for_the_desk(live, events, monkeypatch):
    """Back-pressure: the queue never holds more than it may."""
    monkeypatch.setattr(live, "MOST_WAITING", 7)
    desk = desk_of(live, events)
    seen = []
    act = desk.act

    def slow(now):
        act(now)
        seen.append(now)

    desk.act = slow
    asyncio.run(live.run(desk, events, most=500))
    assert desk.state["row"] == 500
    assert seen == sorted(seen)
