"""The replay with orders again, in plain Python: a queue of events, and a venue beside the twin of Orders."""

import heapq
from dataclasses import dataclass
from fractions import Fraction

from orders_twin import Twin as Orders
from replay_markets import rows_of

from mmcore.events import HIDDEN, NO_ASK, NO_BID

ARRIVE, KNOW, DECIDE, LOOK = range(4)  # what comes first at one moment
SIDES = ("bid", "ask")


@dataclass
class Message:
    """What was sent, and what the venue said."""

    time: int
    arrives: int
    kind: str
    side: str
    price: int
    size: int
    number: int
    revision: int
    decision: int
    answer: str | None = None
    reason: str | None = None


@dataclass
class Resting:
    """An order at the venue. `since` orders those at one price."""

    number: int
    side: str
    price: int
    size: int
    filled: int
    since: int
    stood: list


class Twin:
    """All that a replay with orders says, computed from its rules."""

    def __init__(self, events, quoter, setting, orders, limit=None):
        self.quoter, self.s, self.limit = quoter, setting, limit
        self.interval = int(Fraction(str(setting.interval)) * 10**9)
        self.latency = int(Fraction(repr(setting.latency)) * 10**9)
        rate = Fraction(setting.maker_fee) * Fraction(events.instrument.tick_value)
        self.fee_rate = rate / Fraction(events.instrument.currency.unit)
        self.settings = orders
        self.orders = Orders(**orders)
        self.queue, self.added = [], 0
        self.decisions, self.messages, self.fills, self.contexts, self.stood = [], [], [], [], []
        self.resting, self.arrivals = [], 0
        self.held = []
        self.stale = False
        self.look_wanted = None  # the one look that is still to come
        self.touch = (NO_BID, NO_ASK, 0, 0)
        self.mid2 = None
        self.net = self.cash = self.fees = self.spread2 = self.revaluation2 = 0
        self.worst = [0, 0]
        self.walk(events)

    # ---- time ----

    def add(self, time, what, thing=None):
        self.added += 1
        heapq.heappush(self.queue, (time, what, self.added, thing))

    def walk(self, events):
        q, t = events.quotes, events.trades
        rows, first, self.end = rows_of(events)
        if self.interval:
            last_quote = self.end
            self.end = first + (last_quote - first) // self.interval * self.interval
            for g in range(first, self.end, self.interval):
                self.add(g, DECIDE)
        for what, time, row in rows:
            self.catch_up(time)
            if what == "quote":
                bid, ask = int(q.bid[row]), int(q.ask[row])
                if bid > ask:
                    continue
                self.touch = (bid, ask, int(q.bid_size[row]), int(q.ask_size[row]))
                if bid != NO_BID and ask != NO_ASK:
                    if self.mid2 is not None:
                        self.revaluation2 += self.net * (bid + ask - self.mid2)
                    self.mid2 = bid + ask
                if not self.interval and first <= time < self.end:
                    later = []
                    while self.queue and self.queue[0][0] <= time:
                        event = heapq.heappop(self.queue)
                        if event[1] == KNOW:
                            self.know(event[0], event[3])
                        else:
                            later.append(event)
                    for event in later:
                        heapq.heappush(self.queue, event)
                    self.decide(time)
            elif time <= self.end and (self.s.hidden or not t.flags[row] & HIDDEN):
                self.trade(t, row, time)
            self.check()
        self.catch_up(self.end)
        for x in self.resting:
            x.stood[1] = self.end

    def catch_up(self, time):
        while self.queue and self.queue[0][0] < min(time, self.end):
            at, what, serial, thing = heapq.heappop(self.queue)
            if what == ARRIVE:
                self.arrive(thing)
            elif what == KNOW:
                self.know(at, thing)
            elif what == DECIDE:
                self.decide(at)
            elif serial == self.look_wanted:
                self.look(at)
            self.check()

    # ---- ours ----

    def decide(self, time):
        bid, ask, bid_size, ask_size = self.touch
        if bid == NO_BID or ask == NO_ASK:
            reference = float("nan")
        elif self.s.reference == "mid":
            reference = (bid + ask) / 2
        else:
            reference = float(bid) + float(ask - bid) * (
                float(bid_size) / (float(bid_size) + float(ask_size))
            )
        known = self.orders.position
        sides = {"bid": None if bid == NO_BID else bid, "ask": None if ask == NO_ASK else ask}
        quote = self.quoter.quote(reference, known, **sides)
        self.decisions.append(
            {
                "time": time,
                "live_time": time + self.latency,
                "reference": reference,
                "touch_bid": bid,
                "touch_ask": ask,
                "bid": NO_BID if quote.bid is None else quote.bid,
                "ask": NO_ASK if quote.ask is None else quote.ask,
                "bid_size": quote.bid_size,
                "ask_size": quote.ask_size,
                "inventory": known,
                "spread2": self.spread2,
                "revaluation2": self.revaluation2,
                "fees": self.fees,
                "why": int(quote.why),
                "lost": 0,
            }
        )
        self.held.append(None)
        self.quote = (quote.bid, quote.ask, quote.bid_size, quote.ask_size)
        self.stale = False
        self.look(time)

    def look(self, time):
        bid, ask = self.touch[:2]
        sent = self.orders.target(
            *self.quote, time, None if bid == NO_BID else bid, None if ask == NO_ASK else ask
        )
        for kind, side, price, size, number, revision in list(sent):
            m = Message(
                time, time + self.latency, kind, side, price, size, number, revision, len(self.decisions) - 1
            )
            self.messages.append(m)
            self.add(m.arrives, ARRIVE, m)
        if self.decisions[-1]["time"] == time:
            self.held[-1] = [set(held) for held in self.orders.held]
        self.look_wanted = None
        if "TOUCH" in self.orders.held[0] | self.orders.held[1]:
            self.stale = True
            return
        if sent:
            self.want_look(time)
        elif self.orders.due is not None:
            self.want_look(self.orders.due)

    def want_look(self, time):
        self.add(time, LOOK)
        self.look_wanted = self.added

    def know(self, time, thing):
        if isinstance(thing, Message):
            revision = thing.revision if thing.kind == "AMEND" else None
            self.orders.report(
                thing.answer, thing.number, side=thing.side, revision=revision, reason=thing.reason
            )
            if not self.stale:
                self.want_look(time)
        else:
            number, side, lots = thing
            assert self.orders.report("fill", number, qty=lots, side=side) == "OK"
            self.stale, self.look_wanted = True, None

    # ---- the venue ----

    def arrive(self, m):
        order = next((x for x in self.resting if x.number == m.number), None)
        bid, ask = self.touch[:2]
        crosses = m.price >= ask if m.side == "bid" else m.price <= bid
        if m.kind == "NEW":
            m.answer = "rejected" if crosses else "accepted"
            if not crosses:
                self.rest(m, 0)
        elif order is None:
            m.answer = "amend_rejected" if m.kind == "AMEND" else "cancel_rejected"
            crosses = False
        elif m.kind == "CANCEL" or m.size <= order.filled:
            m.answer = "canceled"
            self.leave(order, m.arrives)
        elif m.price == order.price and m.size <= order.size:
            m.answer, order.size = "amended", m.size
        elif crosses:
            m.answer = "amend_rejected"
        else:
            m.answer = "amended"
            self.leave(order, m.arrives)
            self.rest(m, order.filled)
        if m.answer.endswith("rejected") and crosses and m.kind != "CANCEL":
            m.reason = "post_only"
        self.add(m.arrives + self.latency, KNOW, m)

    def rest(self, m, filled):
        stood = [m.arrives, None, m.number, m.price, m.size - filled, m.decision, SIDES.index(m.side)]
        self.stood.append(stood)
        self.arrivals += 1
        self.resting.append(Resting(m.number, m.side, m.price, m.size, filled, self.arrivals, stood))

    def leave(self, order, time):
        order.stood[1] = time
        self.resting.remove(order)

    def trade(self, t, row, time):
        value = Fraction(int(t.price[row])) + Fraction(int(t.subtick[row]), 1_000_000)
        size = int(t.size[row])
        for side, sign in (("bid", 1), ("ask", -1)):
            queue = sorted(
                (x for x in self.resting if x.side == side), key=lambda x: (-sign * x.price, x.since)
            )
            for x in queue:
                lots = x.size - x.filled
                if value == x.price and self.s.fill == "touch":
                    lots = min(lots, size)
                    size -= lots
                elif sign * value >= sign * x.price:
                    lots = 0
                if lots:
                    self.fill(t, row, time, x, sign, lots)

    def fill(self, t, row, time, x, sign, lots):
        x.filled += lots
        self.net += sign * lots
        self.cash -= sign * lots * x.price
        fee = round(self.fee_rate * lots * x.price)
        self.fees += fee
        self.spread2 += sign * lots * (self.mid2 - 2 * x.price)
        self.fills.append((int(t.exchange_time[row]), time, sign * lots, x.price, fee, x.number))
        force = max(i for i, d in enumerate(self.decisions) if d["live_time"] < time)
        better = sign * (x.price - self.decisions[force][f"touch_{x.side}"])
        place = 0 if better > 0 else 1 if better == 0 else 2
        done = x.filled == x.size
        self.contexts.append((*self.touch[:2], self.mid2, self.net, force, row, place, int(done)))
        if done:
            self.leave(x, time)
        self.add(time + self.latency, KNOW, (x.number, x.side, lots))

    # ---- the law ----

    def check(self):
        """What could happen at worst: the position, what rests and what is on its way."""
        for side, sign in ((0, 1), (1, -1)):
            open_lots = {}
            for x in self.resting:
                if x.side == SIDES[side]:
                    open_lots[x.number] = x.size - x.filled
            filled = {x.number: x.filled for x in self.resting}
            for m in self.messages:
                flying = m.answer is None and m.side == SIDES[side] and m.kind != "CANCEL"
                if flying and (m.kind == "NEW" or m.number in filled):
                    left = m.size - filled.get(m.number, 0)
                    open_lots[m.number] = max(open_lots.get(m.number, 0), left)
            worst = sign * self.net + sum(open_lots.values())
            self.worst[side] = max(self.worst[side], worst)
            if self.limit is not None:
                assert worst <= self.limit, (side, worst)
