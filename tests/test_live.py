"""The example of a running desk: stopped and resumed it is the desk that was never stopped."""

import asyncio
import importlib.util
import os
import signal
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
    monkeypatch.setattr(live, "LOSS_LIMIT", -50)  # ticks times lots: not enough of a gain
    desk = desk_of(live, events)
    why = asyncio.run(live.run(desk, events))
    assert "the loss passed" in why
    assert not desk.venue.resting
    assert why in capsys.readouterr().out


def test_after_the_loss_limit_it_stays_stopped_until_that_is_lifted(live, events, monkeypatch, tmp_path):
    monkeypatch.setattr(live, "LOSS_LIMIT", -50)
    desk = desk_of(live, events)
    why = asyncio.run(live.run(desk, events))
    desk.save(tmp_path / "desk.state")
    again = live.Desk.resume(tmp_path / "desk.state")
    row, sent = again.state["row"], again.orders.sent
    assert 0 < row < len(events)
    assert asyncio.run(live.run(again, events)) == why
    assert (again.state["row"], again.orders.sent) == (row, sent)
    monkeypatch.setattr(live, "LOSS_LIMIT", 5_000)
    again.lift()
    assert again.loss == 0
    assert asyncio.run(live.run(again, events)) == "the feed ended"
    assert again.orders.sent > sent


def other_instrument(events):
    instrument = mm.Instrument("OTHER", tick="0.01")
    return mm.Events(instrument, events.kind, events.quotes, events.trades, name=events.name)


def other_name(events):
    return mm.Events(events.instrument, events.kind, events.quotes, events.trades, name="another day")


def other_span(events):
    return mm.SimulatedMarket(duration=120.0, seed=3).events()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (other_instrument, "this state is of DEMO, and the feed of OTHER"),
        (other_name, "not of another day from"),
        (other_span, "this state is of the feed"),
    ],
)
def test_a_state_goes_on_with_its_own_feed_alone(live, events, other, words):
    desk = desk_of(live, events)
    asyncio.run(live.run(desk, events, most=1000))
    before = content(desk)
    with pytest.raises(ValueError, match=words):
        asyncio.run(live.run(desk, other(events)))
    assert content(desk) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--state", "/nodir/x"], "--state must be in a folder that exists, got '/nodir/x'"),
        (["nothere"], "nothere: no such file or folder"),
    ],
)
def test_what_cannot_work_is_said_before_the_session(live, monkeypatch, capsys, arguments, words):
    monkeypatch.setattr("sys.argv", ["live.py", *arguments])
    with pytest.raises(SystemExit) as left:
        live.main()
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_the_command_stops_and_says_how_to_go_on(live, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(live, "SMALL", True)
    monkeypatch.setattr(live, "LOSS_LIMIT", -10)
    monkeypatch.setattr("sys.argv", ["live.py", "--state", str(tmp_path / "desk.state")])
    live.main()
    with pytest.raises(SystemExit) as left:
        live.main()
    assert left.value.code == 1
    assert "--lift goes on" in capsys.readouterr().err


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


def test_a_feed_that_fails_leaves_nothing_in_the_market(live, events, monkeypatch):
    whole = live.feed

    async def failing(*arguments):
        async for item in whole(*arguments):
            if item[0] == 700:
                raise ConnectionError("gone")
            yield item

    monkeypatch.setattr(live, "feed", failing)
    desk = desk_of(live, events)
    assert asyncio.run(live.run(desk, events)) == "the feed failed: ConnectionError('gone')"
    assert desk.state["row"] == 700
    assert not desk.venue.resting
    assert not desk.orders.working


def test_a_desk_that_fails_leaves_nothing_in_the_market(live, events, monkeypatch):
    desk = desk_of(live, events)
    trade = desk.on_trade
    monkeypatch.setattr(desk, "on_trade", lambda *given: 1 / 0 if desk.state["row"] > 500 else trade(*given))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(live.run(desk, events))
    assert not desk.venue.resting


@pytest.mark.skipif(not hasattr(signal, "SIGTERM") or os.name == "nt", reason="no such signals here")
def test_a_quiet_market_does_not_keep_it_from_stopping(live):
    quotes = mm.Quotes(local_time=[0, 10**9, 10**13], bid=[99, 99, 99], ask=[101, 101, 101])
    events = mm.Events(mm.Instrument("QUIET", tick="0.01"), None, quotes)
    desk = desk_of(live, events)
    seen = []
    act = desk.act

    def told(now):
        seen.append(now)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        act(now)

    desk.act = told
    assert asyncio.run(live.run(desk, events, speed=50.0)) == "stopped"
    assert len(seen) < 20  # heartbeats come at their time, not all at once
    assert not desk.orders.working
