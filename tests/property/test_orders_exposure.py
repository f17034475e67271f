"""Worst-case exposure never passes the limit, whatever is acknowledged, filled, canceled, rejected or lost.

A venue that knows the truth stands on the other side of two channels that reorder, repeat and lose. After
every step: what could really happen <= what Orders says could happen <= the limit. The plain-Python twin
takes the same steps and must say the same.
"""

from collections import Counter

import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from orders_twin import Twin

import mmcore as mm

pytestmark = pytest.mark.compiled

SETTINGS = st.fixed_dictionaries(
    {
        "min_life": st.sampled_from([0, 0, 3, 20]),
        "hysteresis": st.integers(0, 2),
        "messages": st.lists(st.tuples(st.integers(2, 9), st.integers(1, 30)), max_size=2),
        "max_exposure": st.integers(0, 6),
        "position": st.integers(-2, 2),
        "amend": st.booleans(),
        "timeout": st.integers(1, 12),
        "retry": st.sampled_from([0, 4]),
    }
)
BIDS = st.tuples(st.integers(96, 101), st.integers(0, 4))
ASKS = st.tuples(st.integers(1, 5), st.integers(0, 4))
TOUCHES = st.none() | st.tuples(st.integers(97, 100), st.integers(1, 4))


class Venue:
    """The truth: orders, position, and what is on its way."""

    def __init__(self, position, cumulative):
        self.position, self.cumulative = position, cumulative
        self.orders = {}  # id: dict of side, price, size, filled, live
        self.messages, self.reports = [], []

    def say(self, kind, number, qty=None, **more):
        filled = self.orders[number]["filled"] if self.cumulative else None
        if not self.cumulative and kind != "fill":
            qty = None
        self.reports.append((kind, number, {"filled": filled, "qty": qty, **more}))

    def arrive(self, message, refuse):
        kind, side, price, size, number, revision, _ = message
        order = self.orders.get(number)
        if kind == "NEW":
            self.orders[number] = {
                "side": side,
                "price": price,
                "size": size,
                "filled": 0,
                "live": not refuse,
            }
            if refuse:
                self.say("rejected", number, reason=("post_only", "other")[price % 2])
            else:
                self.say("accepted", number)
        elif order is None:
            self.orders[number] = {"side": side, "price": price, "size": 0, "filled": 0, "live": False}
            self.say("cancel_rejected" if kind == "CANCEL" else "amend_rejected", number)
            del self.orders[number]
        elif kind == "CANCEL":
            self.say("canceled" if order["live"] else "cancel_rejected", number)
            order["live"] = False
        elif refuse or not order["live"]:
            self.say("amend_rejected", number, revision=revision)
        else:
            order["price"], order["size"] = price, size
            order["live"] = order["filled"] < size
            self.say("amended" if order["live"] else "canceled", number, revision=revision)

    def fill(self, number):
        order = self.orders[number]
        order["filled"] += 1
        order["live"] = order["filled"] < order["size"]
        self.position += 1 if order["side"] == "bid" else -1
        self.say("fill", number, qty=1)

    def list(self):
        """What the venue would answer now: its open orders and the position."""
        rows = [
            (n, o["side"], o["price"], o["size"], o["filled"]) for n, o in self.orders.items() if o["live"]
        ]
        return rows, self.position

    def forget(self, until):
        """What was sent so long ago has arrived or is lost."""
        self.messages = [message for message in self.messages if message[-1] > until]

    @property
    def live(self):
        return [number for number, order in self.orders.items() if order["live"]]

    def worst(self, side):
        """The position if everything that lives or is on its way fills, seen from the side."""
        lots = self.position if side == "bid" else -self.position
        sizes = Counter()
        for number in self.live:
            if self.orders[number]["side"] == side:
                sizes[number] = self.orders[number]["size"]
        for kind, where, _, size, number, *_ in self.messages:
            alive = number not in self.orders or self.orders[number]["live"]
            if where == side and kind != "CANCEL" and alive:
                sizes[number] = max(sizes[number], size)
        return lots + sum(size - self.orders.get(n, {"filled": 0})["filled"] for n, size in sizes.items())


def plain(actions):
    return [(a.kind.name, a.side, a.price, a.size, a.order_id, a.revision) for a in actions]


def same(orders, twin):
    assert orders.working == twin.working
    assert orders.position == twin.position
    assert orders.exposure == (twin.exposure(0), twin.exposure(1))
    assert orders.counts == twin.counts
    assert len(orders.suspect) == len(twin.suspect)
    assert (orders.next_id, orders.sent) == (twin.next_id, len(twin.times))


def affordable(twin, settings):
    """Whatever was never canceled can be, at once, within every budget."""
    owed = sum(x.cancel_sent is None for side in (0, 1) for x in twin.orders(side))
    for n, window in settings["messages"]:
        assert sum(t > twin.now - window for t in twin.times) + owed <= n


@given(st.data(), SETTINGS, st.booleans())
def test_exposure_never_passes_the_limit(data, settings, cumulative):
    draw = data.draw
    settings["max_exposure"] = max(settings["max_exposure"], abs(settings["position"]))
    orders, twin = mm.Orders(**settings), Twin(**settings)
    venue, now, asked, lists = Venue(settings["position"], cumulative), 0, None, []
    for _ in range(draw(st.integers(1, 40), label="steps")):
        able = ["target", "target", "wait", "cancel_all", "save"]
        able += ["arrive"] * 3 * bool(venue.messages) + ["lose"] * bool(venue.messages)
        able += ["report"] * 3 * bool(venue.reports) + ["fill"] * 2 * bool(venue.live)
        if cumulative:  # without `filled`, fills must come, once, and before CANCELED
            able += ["lose_report", "repeat"] * bool(venue.reports)
            able += ["reconcile", "ask"] + ["answer"] * (asked is not None)
        step = draw(st.sampled_from(able), label="step")
        event(step)
        if step == "target":
            (bid, bid_size), (apart, ask_size) = draw(BIDS, label="bid"), draw(ASKS, label="ask")
            touch = draw(TOUCHES, label="touch")
            now += draw(st.integers(0, 2), label="ns")
            low, high = (None, None) if touch is None else (touch[0], touch[0] + touch[1])
            wish = (bid, bid + apart, bid_size, ask_size)
            expected = twin.target(*wish, now, low, high)
            sent = plain(orders.target(wish, now, low, high))
            assert sent == expected
            assert [{h.name for h in held} for held in orders.held] == twin.held
            for kind, side, price, *_ in sent:
                if kind != "CANCEL":
                    assert not meets(side, price, low, high)
            venue.messages += [(*message, now) for message in sent]
        elif step == "cancel_all":
            expected = twin.cancel_all(now)
            sent = plain(orders.cancel_all(now))
            assert sent == expected
            assert all(kind == "CANCEL" for kind, *_ in sent)
            venue.messages += [(*message, now) for message in sent]
        elif step == "wait":
            now += draw(st.integers(1, 25), label="ns")
        elif step == "save":
            orders = mm.Orders.from_bytes(orders.to_bytes())
        elif step in ("arrive", "lose"):
            message = venue.messages.pop(draw(st.integers(0, len(venue.messages) - 1), label="which"))
            if step == "arrive":
                venue.arrive(message, draw(st.booleans(), label="refuse"))
        elif step == "fill":
            venue.fill(draw(st.sampled_from(venue.live), label="which"))
        elif step == "ask":
            asked, lists = now, []
            orders.ask(now)
            twin.ask(now)
            venue.forget(asked - settings["timeout"])
        elif step in ("reconcile", "answer"):
            if step == "reconcile":  # as of now
                now += draw(st.sampled_from([0, 1, settings["timeout"]]), label="ns")
                lists = []
                venue.forget((now if asked is None else asked) - settings["timeout"])
            listed, position = draw(st.sampled_from([*lists, venue.list()]), label="list")
            expected = twin.reconcile(listed, position, now)
            if expected == "OK":
                orders.reconcile(listed, position, now)
            else:
                with pytest.raises(mm.errors.CapacityError):
                    orders.reconcile(listed, position, now)
            asked = None
        else:
            which = draw(st.integers(0, len(venue.reports) - 1), label="which") if cumulative else 0
            kind, number, fields = venue.reports[which]
            if step != "repeat":
                del venue.reports[which]
            if step != "lose_report":
                expected = twin.report(kind, number, **fields)
                assert orders.on_report(mm.Report(kind, number, **fields)).name == expected
        same(orders, twin)
        if twin.now is not None:
            affordable(twin, settings)
        for side, exposure in zip(("bid", "ask"), orders.exposure, strict=True):
            assert venue.worst(side) <= min(exposure, settings["max_exposure"])
            assert exposure <= settings["max_exposure"] or orders.suspect  # a list that leaves doubt
        if asked is not None:
            lists.append(venue.list())


def meets(side, price, low, high):
    return low is not None and (price >= high if side == "bid" else price <= low)
