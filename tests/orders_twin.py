"""mmcore.orders again, in plain Python: what is sent and what is believed, step for step."""

import copy

NEW, AMEND, CANCEL = "NEW", "AMEND", "CANCEL"
SLOTS, CLOSED, SETTLED = 8, 32, 2**52
FOREVER = 2**62 + 1


class Order:
    """One order that may be working."""

    def __init__(self, number, price, size, now, level=0, filled=0):
        self.number, self.price, self.size, self.filled = number, price, size, filled
        self.asked_for = None  # (price, size) of the amend in flight
        self.wanted = size - filled
        self.created = self.born = self.sent = now
        self.cancel_sent = None
        self.new = self.cancelling = self.doubted = False
        self.known = 0  # the report that first showed it at the venue
        self.revision, self.level = 0, level

    @property
    def at(self):
        return self.asked_for[0] if self.asked_for else self.price

    @property
    def total(self):
        return self.asked_for[1] if self.asked_for else self.size

    @property
    def leaves(self):
        return max(self.size, self.asked_for[1] if self.asked_for else 0, self.filled) - self.filled


class Twin:
    """The orders of both sides (0 bid, 1 ask). Slots matter only for the order of messages."""

    def __init__(
        self,
        *,
        min_life=0,
        hysteresis=0,
        messages=(),
        max_exposure=None,
        position=0,
        amend=True,
        timeout=10**9,
        retry=10**8,
        first_id=1,
    ):
        self.min_life, self.hysteresis, self.messages = min_life, hysteresis, list(messages)
        self.max_exposure = SETTLED if max_exposure is None else max_exposure
        self.position, self.amend, self.timeout, self.retry = position, amend, timeout, retry
        self.next_id = first_id
        self.slots = [[None] * SLOTS, [None] * SLOTS]
        self.closed = []  # [number, side, size, filled, ended, doubted], oldest first
        self.bars = [None, None]  # (price or None for all, until)
        self.times = []
        self.now = None
        self.suspect = set()
        self.doubt = [0, 0]
        self.reports = 0
        self.asked = None  # (ns, reports until then)
        self.counts = {"late": 0, "duplicates": 0, "unknown": 0, "strays": 0}
        self.held = [set(), set()]
        self.due = None  # when a wait of the last target ends, ns

    # ---- what stands ----

    def orders(self, side):
        return [x for x in self.slots[side] if x]

    def exposure(self, side):
        seen = (self.position, -self.position)[side] + self.doubt[1 - side]
        return seen + sum(x.leaves for x in self.orders(side))

    @staticmethod
    def meet(side, price, other):
        return other is not None and (price >= other if side == 0 else price <= other)

    @property
    def cancelable(self):
        return sum(not x.cancelling for side in (0, 1) for x in self.orders(side))

    def affords(self, need):
        """Whether so many messages may be sent; if not, the wait is for the last budget that frees them."""
        free = []
        for n, window in self.messages:
            moments = [self.now, *(t + window for t in self.times)]
            able = [
                m for m in moments if m >= self.now and sum(t > m - window for t in self.times) + need <= n
            ]
            free.append(min(able, default=FOREVER))
        if max(free, default=self.now) > self.now:
            self.wait(max(free))
            return False
        return True

    def wait(self, until):
        self.due = until if self.due is None else min(self.due, until)

    # ---- sending ----

    def send(self, kind, side, x):
        self.times.append(self.now)
        self.actions.append((kind, ("bid", "ask")[side], x.at, x.total, x.number, x.revision))

    def cancel(self, side, x):
        need = 1
        if x.cancel_sent is not None:
            if self.now - x.cancel_sent < self.timeout:
                self.wait(x.cancel_sent + self.timeout)
                return self.held[side].add("PENDING")
            need += sum(not y.cancelling and y is not x for s in (0, 1) for y in self.orders(s))
        if not self.affords(need):
            return self.held[side].add("BUDGET")
        x.cancelling, x.cancel_sent = True, self.now
        return self.send(CANCEL, side, x)

    def forbidden(self, side, price):
        held = set()
        for x in self.orders(1 - side):
            if self.meet(side, price, x.price) or self.meet(side, price, x.at):
                held.add("OWN")
        if self.bars[side]:
            barred, until = self.bars[side]
            if self.now < until and (barred is None or self.meet(side, price, barred)):
                self.wait(until)
                held.add("REJECTED")
        return held

    def open(self, side, price, size, touch):
        held = self.forbidden(side, price)
        if self.exposure(side) + size > self.max_exposure:
            held.add("EXPOSURE")
        if None not in self.slots[side]:
            held.add("SLOTS")
        if not held and not self.affords(2 + self.cancelable):
            held.add("BUDGET")
        if not held and self.meet(side, price, touch):
            held.add("TOUCH")
        self.held[side] |= held
        if held:
            return
        x = Order(self.next_id, price, size, self.now)
        x.new = True
        self.next_id += 1
        self.slots[side][self.slots[side].index(None)] = x
        self.send(NEW, side, x)

    def adjust(self, side, x, price, size, touch, opposite):
        """Bring x to the wish; True when it was canceled to be replaced."""
        left = max(x.total - x.filled, 0)
        allowed = self.max_exposure - (self.exposure(side) - x.leaves)
        unanswered = x.new or x.asked_for is not None
        overdue = unanswered and self.now - x.sent >= self.timeout
        crosses = self.meet(side, x.at, touch) or self.meet(side, x.at, opposite)
        breaks = left > allowed or (x.leaves > allowed and overdue)
        urgent = crosses or breaks
        if allowed <= 0:
            return self.cancel(side, x)
        if size > allowed:
            self.held[side].add("EXPOSURE")
            size = allowed
        cut = False
        if abs(x.at - price) <= self.hysteresis and not crosses:
            if size < left:
                price, cut = x.at, self.amend
            elif size <= x.wanted or size == left:
                if x.at != price:
                    self.held[side].add("HYSTERESIS")
                return self.cancel(side, x) if breaks and overdue else None
        if not (urgent or cut) and self.now - x.born < self.min_life:
            self.wait(x.born + self.min_life)
            return self.held[side].add("LIFE")
        if unanswered:
            if urgent or overdue:
                return self.cancel(side, x)
            self.wait(x.sent + self.timeout)
            return self.held[side].add("PENDING")
        if not self.amend and x.cancel_sent is not None and self.now - x.cancel_sent < self.timeout:
            self.wait(x.cancel_sent + self.timeout)
            return self.held[side].add("PENDING")
        stays = price == x.at and self.amend and not crosses
        held = set() if stays else self.forbidden(side, price)
        if not held and not self.affords(self.cancelable + (1 if self.amend else 2)):
            held = {"BUDGET"}
        if not held and not stays and self.meet(side, price, touch):
            held = {"TOUCH"}
        if held:
            self.held[side] |= held
            return self.cancel(side, x) if urgent else None
        if not self.amend:
            self.cancel(side, x)
            return x.cancelling
        if price != x.at or size > left:
            x.born = self.now
        x.asked_for, x.wanted, x.sent = (price, x.filled + size), size, self.now
        x.revision += 1
        return self.send(AMEND, side, x)

    def target(self, bid, ask, bid_size, ask_size, now, touch_bid=None, touch_ask=None):
        self.now, self.actions, self.held, self.due = now, [], [set(), set()], None
        price, size, touch = (bid, ask), (bid_size, ask_size), (touch_ask, touch_bid)
        standing = [x.at for x in self.orders(0) if not x.cancelling]
        first = 1 if standing and bid_size and bid > max(standing) else 0
        for side in (first, 1 - first):
            p, s, opposite = price[side], size[side], price[1 - side] if size[1 - side] else None
            able = [x for x in self.orders(side) if not x.cancelling] if s else []
            serving = min(able, key=lambda x: (abs(x.at - p), x.number), default=None)
            for x in self.orders(side):
                if x is not serving:
                    self.cancel(side, x)
            again = serving is None
            if serving:
                again = self.adjust(side, serving, p, s, touch[side], opposite) is True
            if s and again:
                self.open(side, p, s, touch[side])
        return self.actions

    def cancel_all(self, now):
        return self.target(None, None, 0, 0, now)

    # ---- reports ----

    def find(self, number):
        return next(((s, x) for s in (0, 1) for x in self.orders(s) if x.number == number), (None, None))

    def remember(self, number, side, size, filled, doubted=False):
        self.closed = [*self.closed, [number, side, size, filled, self.reports, doubted]][-CLOSED:]

    def close(self, side, x, filled=None):
        known = x.filled if filled is None else filled
        self.remember(x.number, side, x.size, known, x.doubted)
        self.slots[side][self.slots[side].index(x)] = None

    def move(self, side, lots, doubted=False):
        self.position += lots if side == 0 else -lots
        self.doubt[side] += lots if doubted else 0

    def report(
        self,
        kind,
        number,
        filled=None,
        qty=None,
        price=None,
        size=None,
        side=None,
        revision=None,
        reason=None,
    ):
        self.reports += 1
        where, x = self.find(number)
        side = None if side is None else ("bid", "ask").index(side)
        if x is None:
            return self.late(kind, number, filled, qty, side)
        if (side is not None and side != where) or (kind == "rejected" and not x.new):
            self.suspect.add("conflict")
            return "CONFLICT"
        more = 0
        if filled is not None:
            more = max(filled - x.filled, 0)
        elif kind == "fill":
            more = qty
        x.filled += more
        self.move(where, more, x.doubted)
        news = more > 0
        if more or kind == "amended":
            self.arrived(x)
        if kind == "accepted" and x.new:
            self.arrived(x)
            news = True
            x.price = x.price if price is None else price
            x.size = x.size if size is None else size
        elif kind in ("amended", "amend_rejected") and x.asked_for and revision in (None, x.revision):
            asked, x.asked_for, news = x.asked_for, None, True
            if kind == "amended":
                x.price = asked[0] if price is None else price
                x.size = asked[1] if size is None else size
            else:
                x.wanted = max(x.size - x.filled, 0)
                self.bar(where, asked[0], reason)
        elif kind == "rejected":
            self.bar(where, x.price, reason)
            self.close(where, x)
            return "OK"
        elif kind == "canceled":
            self.close(where, x)
            return "OK"
        elif kind == "cancel_rejected" and x.cancelling:
            x.cancelling, news = False, True
        if not news:
            self.counts["duplicates"] += 1
            return "DUPLICATE"
        if not x.leaves:
            if x.filled > x.size and (x.asked_for is None or x.filled > x.asked_for[1]):
                self.suspect.add("overfill")
            self.close(where, x)
        return "OK"

    def bar(self, side, price, reason):
        if self.retry:
            self.bars[side] = (price if reason == "post_only" else None, self.now + self.retry)

    def late(self, kind, number, filled, qty, side):
        known = [c for c in self.closed if c[0] == number]
        if known:
            c = known[-1]
            if side is not None and side != c[1]:
                return "CONFLICT"
            more = (filled or 0) - c[3]
            if kind == "fill" and filled is None:
                more = min(qty, c[2] - c[3])
            if more <= 0:
                self.counts["duplicates"] += 1
                return "DUPLICATE"
            c[3] += more
            self.move(c[1], more, c[5])
            self.counts["late"] += 1
            return "OK"
        more = qty or filled or 0
        if kind != "fill" or side is None or not more:
            self.counts["unknown"] += 1
            if kind == "fill":
                self.suspect.add("stray")
            return "UNKNOWN"
        self.move(side, more)
        self.remember(number, side, SETTLED, max(filled or 0, more))
        self.counts["strays"] += 1
        self.suspect.add("stray")
        return "OK"

    # ---- the venue's list ----

    def ask(self, now):
        self.now, self.asked = now, (now, self.reports)

    def arrived(self, x):
        x.new, x.known = False, x.known or max(self.reports, 1)

    def reconcile(self, listed, position, now):
        """`listed`: (number, side, price, size, filled). All or nothing, as the caller checks."""
        asked, before_it = self.asked or (now, self.reports)
        entries = {e[0]: e for e in listed}
        before = copy.deepcopy(self.__dict__)
        self.now, self.position, self.doubt, self.asked, doubted = now, position, [0, 0], None, False
        for c in self.closed:
            number, side, _, filled, ended, _ = c
            e = entries.get(number)
            c[5] = filled < SETTLED and ended > before_it and not e
            doubted |= c[5]
            if filled < SETTLED and ended > before_it:
                self.move(side, max(filled - (e[4] if e else 0), 0), c[5])
        for side in (0, 1):
            for x in self.orders(side):
                e = entries.get(x.number)
                x.doubted = False
                if e:
                    self.move(side, max(x.filled - e[4], 0))
                    x.filled = max(x.filled, e[4])
                    self.arrived(x)
                    if x.asked_for and (x.asked_for == (e[2], e[3]) or asked - x.sent >= self.timeout):
                        x.asked_for = None
                    if x.cancelling and asked - x.cancel_sent >= self.timeout:
                        x.cancelling = False
                    x.price, x.size = e[2], e[3]
                    if x.asked_for is None:
                        x.wanted = max(x.wanted, e[3] - e[4])
                    if not x.leaves:
                        self.close(side, x)
                elif asked - x.created >= self.timeout or 0 < x.known <= before_it:
                    self.close(side, x, SETTLED)
                else:
                    x.doubted = doubted = True
                    self.move(side, x.filled, True)
        for number, side, price, size, filled in listed:
            which = ("bid", "ask").index(side)
            known = [c for c in self.closed if c[0] == number]
            if self.find(number)[1] or (known and known[-1][3] < SETTLED and known[-1][4] > before_it):
                continue
            if None not in self.slots[which]:
                self.__dict__ = before
                return "CAPACITY"
            x = Order(number, price, size, asked, 0, filled)
            self.slots[which][self.slots[which].index(None)] = x
            self.arrived(x)
            self.next_id = max(self.next_id, number + 1)
        self.suspect = {"doubt"} if doubted else set()
        return "OK"

    # ---- to compare ----

    @property
    def working(self):
        rows = []
        for side in (0, 1):
            for x in sorted(self.orders(side), key=lambda x: x.number):
                pending = tuple(
                    w for w, on in (("new", x.new), ("amend", x.asked_for), ("cancel", x.cancelling)) if on
                )
                rows.append(
                    (
                        x.number,
                        ("bid", "ask")[side],
                        x.price,
                        x.size,
                        x.filled,
                        x.level,
                        pending,
                        *(x.asked_for or (None, None)),
                    )
                )
        return tuple(rows)
