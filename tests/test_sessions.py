"""Phases by the wall clock, and tables of some phases, each against a walk through time or rows."""

import pickle
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import InvalidArgument
from mmcore.events import NO_ASK, NO_BID, QUOTE, TRADE

STOCK = mm.Instrument("XYZ", tick="0.01")
S = 1_000_000_000
MINUTE = 60 * S
QUARTER = 15 * MINUTE

AUCTIONS = [
    ("07:15", "pre_open"),
    ("09:00", "opening_auction"),
    ("09:15", "continuous"),
    ("12:00", "intraday_auction"),
    ("12:15", "continuous"),
    ("16:00", "closing_auction"),
    ("16:15", "post_trading"),
    ("18:00", "closed"),
]
OVERNIGHT = [("-1d 16:45", "pre_open"), ("-1d 17:00", "continuous"), ("16:00", "closed")]
# Moments that are skipped, or come twice, on the nights of a change.
SMALL_HOURS = [
    ("01:30", "pre_open"),
    ("02:15", "continuous"),
    ("02:45", "closing_auction"),
    ("23:00", "closed"),
]


def ns(text, zone="UTC"):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * S


def walked(zone, sessions, first, quarters):
    """Return the phase at every quarter of an hour: each moment is when the wall clock first shows it.

    Parameters
    ----------
    sessions : dict of date to moments
    first : datetime
        UTC; a midnight before the first moment.
    """
    clock = ZoneInfo(zone)
    grid = [first + i * timedelta(minutes=15) for i in range(quarters)]
    shown = [at.astimezone(clock).replace(tzinfo=None) for at in grid]
    phases = [0] * quarters
    for day, moments in sorted(sessions.items()):
        begins = []
        for text, phase in moments:
            hours, minutes = map(int, text[-5:].split(":"))
            target = datetime.combine(day, datetime.min.time()) + timedelta(hours=hours, minutes=minutes)
            target -= timedelta(days=text.startswith("-1d"))
            begins.append((next(i for i, at in enumerate(shown) if at >= target), phase))
        for at, phase in begins:
            phases[at:] = [mm.Phase[phase.upper()]] * (quarters - at)
    return [int(at.timestamp()) * S for at in grid], phases


@pytest.mark.parametrize("moments", [AUCTIONS, OVERNIGHT, SMALL_HOURS])
@pytest.mark.parametrize(
    ("zone", "first"),
    [
        ("America/New_York", datetime(2024, 3, 5, tzinfo=UTC)),  # 10 March: 2:00 is 3:00
        ("America/New_York", datetime(2024, 10, 29, tzinfo=UTC)),  # 3 November: 2:00 is 1:00
        ("Europe/London", datetime(2024, 3, 26, tzinfo=UTC)),
        ("Europe/London", datetime(2024, 10, 22, tzinfo=UTC)),
        ("Australia/Lord_Howe", datetime(2024, 10, 1, tzinfo=UTC)),  # by half an hour
        ("Australia/Lord_Howe", datetime(2024, 4, 2, tzinfo=UTC)),
        ("Asia/Kathmandu", datetime(2024, 10, 1, tzinfo=UTC)),  # UTC+5:45
    ],
)
def test_phases_follow_the_wall_clock_over_its_changes(zone, first, moments):
    mask = "1111111"
    days = [first.date() + timedelta(days=i) for i in range(2, 10)]
    times, phases = walked(zone, dict.fromkeys(days, moments), first, 12 * 96)
    sessions = mm.Sessions(zone, moments, weekmask=mask)
    inside = slice(4 * 96, 9 * 96)  # where the walk knows all sessions
    assert sessions.phases(times[inside]).tolist() == phases[inside]
    # A nanosecond before a moment is the phase before it.
    for at, before in zip(times[inside], phases[inside.start - 1 :], strict=False):
        if sessions.phase(at) != before:
            assert sessions.phase(at - 1) == before


def test_weekends_holidays_and_days_of_their_own():
    special = {"2024-11-29": [("09:15", "continuous"), ("13:00", "closed")], date(2024, 11, 30): AUCTIONS}
    sessions = mm.Sessions(
        "America/New_York", AUCTIONS, holidays=["2024-11-28", date(2024, 12, 25)], special=special
    )
    noon = {day: sessions.phase(ns(f"2024-11-{day}T11:00", "America/New_York")).name for day in range(25, 31)}
    assert [noon[day] for day in range(25, 31)] == ["CONTINUOUS"] * 3 + ["CLOSED"] + ["CONTINUOUS"] * 2
    assert sessions.phase(ns("2024-11-29T13:00", "America/New_York")) == mm.Phase.CLOSED
    assert sessions.phase(ns("2024-11-29T12:59", "America/New_York")) == mm.Phase.CONTINUOUS
    assert sessions.phase(ns("2024-11-30T12:00", "America/New_York")) == mm.Phase.INTRADAY_AUCTION
    assert sessions.phase(ns("2024-12-01T11:00", "America/New_York")) == mm.Phase.CLOSED


def test_a_session_overnight_belongs_to_the_day_of_its_close():
    sessions = mm.Sessions("America/Chicago", OVERNIGHT, holidays=["2024-11-05"])

    def at(text):
        return sessions.phase(ns(text, "America/Chicago")).name

    assert at("2024-11-03T16:44") == "CLOSED"  # a Sunday
    assert at("2024-11-03T16:45") == "PRE_OPEN"
    assert at("2024-11-04T15:59") == "CONTINUOUS"
    assert at("2024-11-04T17:30") == "CLOSED"  # the session of the holiday would have begun
    assert at("2024-11-05T17:30") == "CONTINUOUS"  # that of the sixth
    assert at("2024-11-08T17:30") == "CLOSED"  # Friday evening


def test_intervals_are_whole_and_those_that_touch_are_one():
    sessions = mm.Sessions("UTC", AUCTIONS)
    start, end = ns("2024-11-01T10:00"), ns("2024-11-04T13:00")  # Friday to Monday
    found = (sessions.intervals(start, end) - ns("2024-11-01T00:00")) // MINUTE
    day = 3 * 1440
    expected = [[555, 720], [735, 960], [day + 555, day + 720], [day + 735, day + 960]]
    assert found.tolist() == expected
    both = sessions.intervals(start, end, ["continuous", mm.Phase.INTRADAY_AUCTION])
    assert ((both - ns("2024-11-01T00:00")) // MINUTE).tolist() == [[555, 960], [day + 555, day + 960]]
    always = mm.Sessions("UTC", [("00:00", "continuous"), ("24:00", "closed")], weekmask="1111111")
    assert len(always.intervals(start, end)) == 1
    assert always.phases([start, ns("2024-11-02T00:00"), ns("2024-11-02T00:00") - 1]).tolist() == [3, 3, 3]
    assert sessions.intervals(ns("2024-11-02T00:00"), ns("2024-11-03T00:00")).tolist() == []
    assert sessions.phases([]).tolist() == []


def test_any_array_of_integers_and_other_processes_will_do():
    sessions = mm.Sessions("Europe/London", AUCTIONS)
    stamps = np.arange(ns("2024-11-04T00:00"), ns("2024-11-06T00:00"), QUARTER)
    phases = sessions.phases(stamps).tolist()
    swapped = stamps.astype(">i8")
    swapped.flags.writeable = False
    assert sessions.phases(swapped).tolist() == phases
    assert sessions.phases(np.repeat(stamps, 2)[::2]).tolist() == phases
    assert sessions.phases(stamps[::-1]).tolist() == phases[::-1]
    again = pickle.loads(pickle.dumps(sessions))
    assert again == sessions
    assert again.phases(stamps).tolist() == phases
    # 21 September 1677, a Tuesday, at 0:12 UTC; noon on a Friday; 11 April 2262, a Friday, at 23:47 UTC.
    ends = sessions.phases([-(2**63), ns("2024-11-01T11:00"), 2**63 - 1])
    assert ends.tolist() == [mm.Phase.CLOSED, mm.Phase.CONTINUOUS, mm.Phase.CLOSED]


def test_the_numbers_of_fix():
    """TradingSessionSubID (625): 1 pre-trading, 2 opening, 3 continuous, 4 closing, 5 post, 6 intraday."""
    names = [mm.Phase(i).name for i in range(1, 8)]
    assert names[:3] == ["PRE_OPEN", "OPENING_AUCTION", "CONTINUOUS"]
    assert names[3:] == ["CLOSING_AUCTION", "POST_TRADING", "INTRADAY_AUCTION", "QUIESCENT"]
    assert [phase.name for phase in mm.Phase if phase.auction] == [
        "PRE_OPEN",
        "OPENING_AUCTION",
        "CLOSING_AUCTION",
        "INTRADAY_AUCTION",
    ]


@pytest.mark.parametrize(
    ("given", "argument", "what"),
    [
        ({"zone": "Mars/Olympus"}, "zone", "a time zone that this system knows"),
        ({"zone": "../../etc/passwd"}, "zone", "a time zone that this system knows"),
        ({"zone": 1}, "zone", "the name of a time zone"),
        ({"weekmask": "111110"}, "weekmask", "seven of 0 and 1"),
        ({"regular": "09:30"}, "regular", r"several \(time, phase\)"),
        ({"regular": ["09:30"]}, "regular", "pairs of a time and a phase"),
        ({"regular": [("9:30", "closed")]}, "regular", "a time such as"),
        ({"regular": [("09:60", "closed")]}, "regular", "a time such as"),
        ({"regular": [("24:01", "closed")]}, "regular", "a time such as"),
        ({"regular": [("09:30", "open")]}, "regular", "one of closed, pre_open, opening_auction, continuous"),
        ({"regular": [("09:30", "continuous")]}, "regular", '"closed" at its end'),
        (
            {"regular": [("17:00", "continuous"), ("16:00", "closed")]},
            "regular",
            "later than 17:00 .*-1d 17:00",
        ),
        ({"holidays": "2024-11-28"}, "holidays", "several days"),
        ({"holidays": ["28/11/2024"]}, "holidays", "days such as 2024-11-28"),
        ({"special": [("2024-11-29", [])]}, "special", "a mapping of days to phases"),
        ({"special": {"2024-11-29": [("13:00", "continuous")]}}, r"special\[2024-11-29\]", '"closed" at its'),
    ],
)
def test_hours_that_are_none_are_refused_by_name(given, argument, what):
    with pytest.raises(InvalidArgument, match=f"^{argument}.*{what}"):
        mm.Sessions(**({"zone": "UTC", "regular": AUCTIONS} | given))


def test_sessions_that_overlap_are_refused():
    long = mm.Sessions("UTC", [("-1d 15:00", "continuous"), ("16:00", "closed")])
    with pytest.raises(InvalidArgument, match=r"sessions overlap: one begins at 2024-11-0.T15:00:00"):
        long.phase(ns("2024-11-06T12:00"))
    with pytest.raises(InvalidArgument, match="phases must be one of closed"):
        mm.Sessions("UTC", AUCTIONS).intervals(0, 1, "open")
    with pytest.raises(InvalidArgument, match="phases must be one phase or several"):
        mm.Sessions("UTC", AUCTIONS).intervals(0, 1, [])
    with pytest.raises(InvalidArgument, match="time must be an array of integers"):
        mm.Sessions("UTC", AUCTIONS).phases([0.5])


def test_a_file_of_hours(tmp_path):
    path = tmp_path / "hours.toml"
    path.write_text(
        'zone = "America/New_York"\nregular = [["09:30", "continuous"], ["16:00", "closed"]]\n'
        'holidays = [2024-11-28, "2024-12-25"]\n[special]\n2024-11-29 = [["09:30", "continuous"], ["13:00", '
        '"closed"]]\n'
    )
    sessions = mm.Sessions.load(path)
    assert sessions == mm.Sessions(
        "America/New_York",
        [("09:30", "continuous"), ("16:00", "closed")],
        holidays=["2024-12-25", "2024-11-28"],
        special={"2024-11-29": [("09:30", "continuous"), ("13:00", "closed")]},
    )
    assert mm.Sessions(**sessions.to_dict()) == sessions
    for text, what in (
        ("zone = ", "not a TOML file"),
        ('zone = "UTC"', "has no regular"),
        ('zone = "UTC"\nregular = []\nhours = 1', "'hours' is none of zone, regular"),
        ('zone = "UTC"\nregular = [["9", "closed"]]', "hours.toml: regular must be a time such as"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidArgument, match=what):
            mm.Sessions.load(path)


# ---- tables


DAY = mm.Sessions("UTC", [("00:01", "pre_open"), ("00:02", "continuous"), ("00:04", "closed")])
HALVES = mm.Sessions(
    "UTC",
    [("00:01", "continuous"), ("00:02", "intraday_auction"), ("00:03", "continuous"), ("00:04", "closed")],
)


def walk(events, sessions, wanted):
    """Return (stamp, kind, place or None) of a table of some phases, row by row."""
    out, present, quote, trade = [], False, 0, 0
    ends = [int(end) for _, end in sessions.intervals(0, int(events.local_time[-1]), wanted)]
    for kind, stamp in zip(events.kind.tolist(), events.local_time.tolist(), strict=True):
        while ends and ends[0] <= stamp:
            end = ends.pop(0)
            if present:
                out.append((end, QUOTE, None))
            present = False
        rows, at = (events.quotes, quote) if kind == QUOTE else (events.trades, trade)
        inside = all(
            sessions.phase(int(t)).name.lower() in wanted
            for t in (rows.local_time[at], rows.exchange_time[at])
        )
        if kind == QUOTE:
            quote += 1
            if inside or present:
                out.append((stamp, QUOTE, at if inside else None))
            present = inside
        else:
            trade += 1
            if inside:
                out.append((stamp, TRADE, at))
    return out


rows = st.lists(st.tuples(st.integers(0, 100), st.integers(-20, 20), st.booleans()), min_size=1, max_size=25)


@given(
    rows,
    st.sampled_from([DAY, HALVES]),
    st.sampled_from([["continuous"], ["continuous", "intraday_auction"]]),
)
def test_a_table_of_some_phases_is_what_a_walk_finds(found, sessions, wanted):
    """Stamps on a grid of 3 s over five minutes, so that many fall on the moments themselves."""
    found.sort(key=lambda row: row[0])
    local = np.array([row[0] for row in found]) * 3 * S
    exchange = np.maximum(local - np.array([row[1] for row in found]) * S, 0)
    kind = np.where([row[2] for row in found], TRADE, QUOTE).astype(np.uint8)
    q, t = kind == QUOTE, kind == TRADE
    quotes = mm.Quotes(
        local[q], 100 + np.arange(q.sum()), 500 + np.arange(q.sum()), exchange_time=exchange[q]
    )
    trades = mm.Trades(local[t], 100 + np.arange(t.sum()), [1] * t.sum(), exchange_time=exchange[t])
    events = mm.Events(STOCK, kind, quotes, trades)
    got = events.during(sessions, wanted)
    expected = walk(events, sessions, wanted)
    assert list(zip(got.local_time.tolist(), got.kind.tolist(), strict=True)) == [
        (stamp, kind) for stamp, kind, _ in expected
    ]
    kept = [place for _, kind, place in expected if kind == QUOTE]
    assert got.quotes.bid.tolist() == [NO_BID if place is None else 100 + place for place in kept]
    assert got.quotes.ask.tolist() == [NO_ASK if place is None else 500 + place for place in kept]
    assert got.trades.price.tolist() == [100 + place for _, kind, place in expected if kind == TRADE]
    left = got.source["ignored"]
    assert sum(left.values()) == len(events) - sum(place is not None for _, _, place in expected)


def test_nothing_is_quoted_nor_filled_outside_continuous_trading():
    quotes = mm.Quotes(np.arange(0, 300, 5) * S, [99] * 60, [101] * 60)
    trades = mm.Trades(np.arange(2, 300, 5) * S, [90, 110] * 30, [1] * 60)
    events = mm.Events(STOCK, None, quotes, trades)
    inside = events.during(HALVES)
    result = mm.replay(inside, mm.Affine(base=1.0, q_max=10), interval=1.0)
    trading = [(60, 120), (180, 240)]
    stamps = result.fills["receive_time"] // S
    assert len(stamps) > 10
    assert all(any(a <= t < b for a, b in trading) for t in stamps)
    decided = result.decisions["time"] // S
    quoted = (result.decisions["bid_size"] + result.decisions["ask_size"]) > 0
    assert all(q == any(a <= t < b for a, b in trading) for t, q in zip(decided, quoted, strict=True))
    # Position and P&L go on over the pause.
    assert result.attribution.unexplained == 0


def test_events_are_counted_by_phase_of_the_exchanges_stamps():
    quotes = mm.Quotes(
        [100 * S, 130 * S, 250 * S], [99, 102, 101], [101] * 3, exchange_time=[0, 90 * S, 130 * S]
    )
    trades = mm.Trades([130 * S], [100], [1], exchange_time=[119 * S])
    assert DAY.count(mm.Events(STOCK, None, quotes, trades)) == {
        "closed": {"quotes": 1, "trades": 0, "crossed": 0, "locked": 0},
        "pre_open": {"quotes": 1, "trades": 1, "crossed": 1, "locked": 0},
        "continuous": {"quotes": 1, "trades": 0, "crossed": 0, "locked": 1},
    }
    nothing = mm.Events(STOCK, None)
    assert (DAY.count(nothing), len(nothing.during(DAY))) == ({}, 0)


@pytest.mark.realdata
def test_a_real_day_of_nasdaq(shared):
    """LOBSTER's files are cut to 9:30-16:00 in New York: all of it is continuous, by the exchange's clock."""
    hours = mm.Sessions("America/New_York", [("09:30", "continuous"), ("16:00", "closed")])
    events = mm.load(shared / "data/lobster_amzn", cache=False)
    counts = hours.count(events)
    assert list(counts) == ["continuous"]
    assert counts["continuous"]["quotes"] == len(events.quotes)
    inside = events.during(hours)
    assert inside.kind.tolist() == events.kind.tolist()
    early = mm.Sessions(
        "America/New_York",
        hours.regular,
        special={"2012-06-21": [("09:30", "continuous"), ("13:00", "closed")]},
    )
    cut = ns("2012-06-21T13:00", "America/New_York")
    half = events.during(early)
    before = events.between(None, cut)
    assert len(half.trades) == len(before.trades)
    assert len(half.quotes) == len(before.quotes) + 1
    assert (half.end_time, int(half.quotes.bid[-1])) == (cut, NO_BID)


@pytest.mark.realdata
def test_a_real_day_of_taq(shared):
    """14:30 to 21:00 UTC is 9:30 to 16:00 in New York in January; what lies outside is counted."""
    events = mm.load(shared / "data/taq_20180102", format="taq", venue="N", cache=False)
    hours = mm.Sessions("America/New_York", [("09:30", "continuous"), ("16:00", "closed")])
    start, end = ns("2018-01-02T14:30"), ns("2018-01-02T21:00")
    counts = hours.count(events)
    inside = [
        int(np.count_nonzero((r.local_time >= start) & (r.local_time < end)))
        for r in (events.quotes, events.trades)
    ]
    assert [counts["continuous"]["quotes"], counts["continuous"]["trades"]] == inside
    assert counts["closed"]["quotes"] == len(events.quotes) - inside[0]
    assert len(events.during(hours).trades) == inside[1]
