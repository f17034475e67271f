"""The ledger as it is told in words, in unbounded integers and Fractions: what the kernel must equal.

Every record is kept as it came, with what became of it. A position is what a list of records makes of an
empty one, so a bust is nothing but a shorter list. Profit is booked as an accountant does, close by close;
the kernel's identities are not used. Bounds are not known here: they are tested elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import mmcore as mm

SCALE = 10**9
OK, DUPLICATE, SUSPENDED, UNMET, INVALID, CONFLICT, UNKNOWN = (
    mm.Status.OK,
    mm.Status.DUPLICATE,
    mm.Status.SUSPENDED,
    mm.Status.UNMET,
    mm.Status.INVALID,
    mm.Status.CONFLICT,
    mm.Status.UNKNOWN,
)
PAYMENTS = ("funding", "borrow", "dividend", "in_lieu")


class Content(NamedTuple):
    """What a fill says of itself."""

    qty: int
    price: int
    fee: int = 0
    fee_currency: str | None = None
    time: int = 0


@dataclass
class Record:
    kind: str
    instrument: str
    content: Content
    id: str | None = None
    to: str | int | None = None  # of a conversion; what a bust or a correction is about: an id, or else a row
    fate: Content | str | None = None  # a correction, "busted", "released"
    released_to: str | None = None
    source: int | None = None  # the row that it is about: of a release the suspended fill, of a bust the fill
    said: list = field(default_factory=list)  # its corrections, each with its own id
    closes: tuple = ()  # (row of the fill that opened the lot, size): the lots that a fill names


@dataclass
class Account:
    """One position."""

    net: int = 0
    cash: int = 0
    pool: int = 0
    realised: int = 0
    fees: int = 0
    bought: int = 0
    sold: int = 0
    fills: int = 0
    carried: int = 0
    paid: dict = field(default_factory=dict)  # (kind, currency) -> units
    lots: list = field(default_factory=list)  # [signed size, cost, used, price, row]: oldest first
    unmet: int = 0  # lots that were named and are gone


def part(cost, used, size):
    return round(Fraction(cost * used, size)) if used else 0


class Oracle:
    def __init__(self, instruments, cost="average", unknown="refuse", ids_window=None):
        self.instruments = {i.name: i for i in instruments}
        self.cost, self.suspends, self.window = cost, unknown == "suspend", ids_window
        self.records: list[Record] = []
        self.known: dict[tuple, int] = {}
        self.accounts = {name: Account() for name in self.instruments}
        self.marks: dict[str, int] = {}
        self.inverse = {i.name: self.coins(i.name) for i in instruments if i.kind == "inverse"}

    def add(self, instrument):
        """What was suspended under its name is known to be of it from here on."""
        name = instrument.name
        self.instruments[name] = instrument
        self.accounts[name] = Account()
        if instrument.kind == "inverse":
            self.inverse[name] = self.coins(name)
        self.known = {
            self.key(r.kind, r.instrument, r.content.qty, r.id): row
            for row, r in enumerate(self.records)
            if r.id is not None
        }

    def own(self, name):
        """The name of a record's instrument: "?N" where N was unknown, until it is known."""
        return name[1:] if name[0] == "?" and name[1:] in self.instruments else name

    # ---- the numbers of one instrument ----

    def cash_unit(self, name):
        i = self.instruments[name]
        if i.kind == "inverse":
            return Fraction(i.currency.unit) / SCALE
        return Fraction(i.tick) * Fraction(i.lot) * Fraction(i.multiplier)

    def coins(self, name):
        """What a lot of an inverse contract is worth at one tick, in units of cash."""
        i = self.instruments[name]
        return Fraction(i.lot) * Fraction(i.multiplier) / Fraction(i.tick) / self.cash_unit(name)

    def value(self, name, qty, price):
        if name not in self.inverse:
            return qty * price
        coins = self.inverse[name]
        return round(Fraction(-qty * coins.numerator, price * coins.denominator))

    def valid(self, name, content):
        return content.qty != 0 and (content.price > 0 or self.instruments[name].negative_prices)

    def unrealised(self, name):
        a = self.accounts[name]
        if a.net == 0:
            return 0
        return SCALE * self.value(name, a.net, self.marks[name]) - a.pool if name in self.marks else None

    # ---- effects ----

    def fill(self, name, c, accounts, row, closes=()):
        a = accounts[name]
        value, sign = self.value(name, c.qty, c.price), 1 if c.qty > 0 else -1
        closing = min(abs(c.qty), abs(a.net)) if a.net * sign < 0 else 0
        opening = sign * (abs(c.qty) - closing)
        bought = (
            SCALE * value if not closing else SCALE * self.value(name, opening, c.price) if opening else 0
        )
        if closing:
            named = self.take_named(a, closing, closes)
            released = named + self.release(a, closing - sum(self.taken))
            if closing == abs(a.net):
                released = a.pool
                a.lots.clear()
            a.pool -= released
            a.realised += bought - SCALE * value - released
        a.unmet += sum(size for _, size in closes) - (sum(self.taken) if closing else 0)
        if opening:
            a.pool += bought
            if self.cost != "average":
                a.lots.append([opening, bought, 0, c.price, row])
        a.net += c.qty
        a.cash -= value
        a.bought, a.sold, a.fills = a.bought + max(c.qty, 0), a.sold + max(-c.qty, 0), a.fills + 1
        own = self.instruments[name].currency.name
        if c.fee_currency in (None, own):
            a.fees += c.fee
        else:
            key = "fees", c.fee_currency
            a.paid[key] = a.paid.get(key, 0) + c.fee

    def take_named(self, a, closing, closes):
        """Close each lot that is named, as far as it is there; `taken` is how much of each."""
        released, self.taken = 0, []
        for row, wanted in closes:
            here = [k for k, lot in enumerate(a.lots) if lot[4] == row]
            left = abs(a.lots[here[0]][0]) - a.lots[here[0]][2] if here else 0
            self.taken.append(min(wanted, left, closing - sum(self.taken)))
            if self.taken[-1]:
                released += self.take(a, here[0], self.taken[-1])
        return released

    def take(self, a, at, n):
        """Close n of the lot at a place of the list: what that costs."""
        size, cost, used, *_ = a.lots[at]
        a.lots[at][2] += n
        if used + n == abs(size):
            a.lots.pop(at)
        return part(cost, used + n, abs(size)) - part(cost, used, abs(size))

    def release(self, a, closing):
        if self.cost == "average":
            return part(a.pool, closing, abs(a.net))
        released = 0
        while closing:
            at = -1 if self.cost == "lifo" else 0
            n = min(abs(a.lots[at][0]) - a.lots[at][2], closing)
            released += self.take(a, at, n)
            closing -= n
        return released

    def pay(self, name, kind, c, accounts):
        key = kind, c.fee_currency or self.instruments[name].currency.name
        accounts[name].paid[key] = accounts[name].paid.get(key, 0) + c.fee

    def convert(self, name, to, new, old, accounts):
        """Old lots are dealt into new ones; the cost goes along in whole units of the new cash."""
        a, b = accounts[name], accounts[to]
        if a is not b and a.net * b.net < 0:
            raise ArithmeticError("against an open position")
        sign = -1 if a.net < 0 else 1
        whole = abs(a.net) * new // old
        ratio = self.cash_unit(name) / self.cash_unit(to)

        def brought(cost):
            units = abs(cost) // ratio.denominator * ratio.numerator
            return units if cost >= 0 else -units

        dealt, held, spent, cost, lots = 0, 0, 0, 0, []
        for size, paid, used, _, row in a.lots if whole else []:
            held += abs(size) - used
            spent += paid - part(paid, used, abs(size))
            due = held * new // old
            if due > dealt or not lots:
                lots.append([0, 0, 0, None, row])
            lots[-1][0] += sign * (due - dealt)
            lots[-1][1] += brought(spent) - cost
            dealt, cost = due, brought(spent)
        # a first lot too small for one leaves its cost to the next
        merged = []
        for lot in lots:
            if merged and merged[-1][0] == 0:
                merged[-1] = [lot[0], merged[-1][1] + lot[1], 0, None, merged[-1][4]]
            else:
                merged.append(lot)
        pool = brought(a.pool) if whole else 0
        moved = pool / ratio
        a.realised -= a.pool - int(moved)
        if a is b:
            change = sign * whole - a.net
            a.bought, a.sold = a.bought + max(change, 0), a.sold + max(-change, 0)
        else:
            a.bought, a.sold = a.bought + max(-a.net, 0), a.sold + max(a.net, 0)
            b.bought, b.sold = b.bought + max(sign * whole, 0), b.sold + max(-sign * whole, 0)
            a.carried += int(moved)
            b.carried -= pool
        a.net, a.pool, a.lots = 0, 0, []
        b.net += sign * whole
        b.pool += pool
        b.lots += merged

    def effect(self, record, accounts, row):
        content = record.fate if isinstance(record.fate, Content) else record.content
        if record.kind in ("new", "release") and record.fate != "busted":
            self.fill(record.instrument, content, accounts, row, record.closes)
        elif record.fate == "busted":
            pass
        elif record.kind in PAYMENTS:
            self.pay(record.instrument, record.kind, content, accounts)
        elif record.kind == "convert":
            self.convert(record.instrument, record.to, content.qty, content.price, accounts)

    def replay(self):
        accounts = {name: Account() for name in self.instruments}
        for row, record in enumerate(self.records):
            self.effect(record, accounts, row)
        self.accounts = accounts

    # ---- records ----

    def key(self, kind, instrument, qty, id):
        kind = "fill" if kind in ("new", "suspend", "release") else kind
        return kind, self.own(instrument), qty < 0, id

    def find(self, key):
        row = self.known.get(key)
        recent = row is not None and (self.window is None or row >= len(self.records) - self.window)
        return row if recent else None

    def put(self, record):
        for _, size in record.closes:  # each is a record of its own, before the fill
            self.records.append(Record("identify", record.instrument, Content(size, 0)))
        if record.id is not None:
            self.known[self.key(record.kind, record.instrument, record.content.qty, record.id)] = len(
                self.records
            )
        self.records.append(record)
        self.effect(record, self.accounts, len(self.records) - 1)
        return SUSPENDED if record.kind == "suspend" else OK

    def seen(self, record):
        """DUPLICATE or CONFLICT for a known id."""
        if record.id is None:
            return None
        row = self.find(self.key(record.kind, record.instrument, record.content.qty, record.id))
        if row is None:
            return None
        known, here = self.records[row], self.own(record.instrument)  # whose currency may be known by now
        same = self.plain(here, record.content) == self.plain(here, known.content)
        if (now := self.corrected(row)) is not None:
            content, where = now  # the fee's currency is left out where it is that of the release
            here = here if here in self.instruments else where
            content = content._replace(fee_currency=content.fee_currency or self.currency(where))
            theirs = record.content.fee_currency or self.currency(here)
            same = same or record.content._replace(fee_currency=theirs) == content
        same = same and known.to == record.to
        if known.kind == "suspend":  # the lots of its release are another instrument's
            same_lots = record.closes == ()
        else:
            same_lots = self.same_lots(known, record.closes)
        return DUPLICATE if same and same_lots else CONFLICT

    def currency(self, name):
        return self.instruments[name].currency.name

    def corrected(self, row):
        """The last correction of the fill of a row, of a suspended one in its release, and its instrument."""
        record = self.records[row]
        if record.kind == "suspend":
            for later in self.records[row:]:
                if later.kind == "release" and later.source == row and later.fate != "busted":
                    record = later
        lost = record.kind != "new" and record.fate == "busted"
        return None if lost or not record.said else (record.said[-1][0], record.instrument)

    def same_lots(self, known, closes):
        """Venues repeat a fill without its lots; what is named is named in any order."""
        return closes == () or sorted(closes) == sorted(known.closes)

    def refused(self, name, content, closes):
        """Why a new fill cannot close the lots that it names; None: it can."""
        a = self.accounts[name]
        left = abs(content.qty)
        for k, (row, size) in enumerate(closes):
            if a.net * content.qty >= 0:
                return INVALID
            there = [abs(lot[0]) - lot[2] for lot in a.lots if lot[4] == row]
            if not there:
                return UNKNOWN
            if row in [r for r, _ in closes[:k]] or size > there[0] or size > left:
                return INVALID
            left -= size
        return None

    def new(self, name, content, id=None, kind="new", closes=()):
        if name not in self.instruments and kind == "new":
            if not self.suspends:
                return UNKNOWN
            kind = "suspend"
        content = self.plain(name, content)
        where = name if name in self.instruments else "?" + name  # the name of nothing known
        record = Record(kind, where, content, id, closes=closes)
        if kind == "suspend" and content.qty == 0:
            return INVALID
        if (seen := self.seen(record)) is not None:
            return seen
        if kind == "new" and (refused := self.refused(name, content, closes)) is not None:
            return refused
        if kind == "new" and not self.valid(name, content):
            return INVALID
        return self.put(record)

    def plain(self, name, content):
        """A fee in the instrument's own currency may be named or not."""
        i = self.instruments.get(name)
        own = i is not None and content.fee_currency == i.currency.name
        return content._replace(fee_currency=None) if own else content

    def about(self, name, id, row, side, kinds=("new", "release", "suspend")):
        """The row that a bust or a correction is about, or a status."""
        if row is not None:
            fine = 0 <= row < len(self.records) and self.records[row].kind in kinds
            there = self.records[row].instrument if fine else None
            return row if fine and name in (there, self.own(there)) else UNKNOWN
        found = [self.find(self.key("new", name, s, id)) for s in (-1, 1) if side in (0, s)]
        found = [f for f in found if f is not None]
        if len(found) != 1:
            return INVALID if found else UNKNOWN
        record = self.records[found[0]]  # after a busted release the fill itself is meant
        return record.source if record.kind == "release" and record.fate == "busted" else found[0]

    def again(self, kind, name, id, row, side, own):
        """The row that a record with this own id was about before, if it named the fill by the same id."""
        for s in (-1, 1):
            if row is None and own is not None and side in (0, s):
                known = self.find(self.key(kind, name, s, own))
                if known is not None and self.records[known].to == id:
                    return self.records[known].source
        return row

    def bust(self, name, id=None, row=None, side=0, own=None, time=0):
        before = self.again("bust", name, id, row, side, own)
        about = self.about(name, id, before, side, ("new", "release", "suspend", "convert", *PAYMENTS))
        if isinstance(about, mm.Status):
            return about
        record = self.records[about]
        if record.fate == "released":
            return CONFLICT
        if record.fate == "busted":
            return DUPLICATE
        if before is None and record.kind == "suspend":  # found by its id, past a busted release
            name = record.instrument
        now = record.fate if isinstance(record.fate, Content) else record.content
        by = Record("bust", name, now._replace(time=time), own, source=about)
        status = self.amend(record, "busted", by)
        if record.kind == "release" and status >= 0 and status != DUPLICATE:
            old = self.records[record.source]  # as if it had never been: in suspense again
            old.fate, old.released_to, old.closes = None, None, ()
        return status

    def correct(self, name, content, id=None, row=None, own=None):
        side = 1 if content.qty > 0 else -1 if content.qty < 0 else 0
        row = self.about(name, id, self.again("correct", name, id, row, side, own), side)
        if isinstance(row, mm.Status):
            return row
        record, content = self.records[row], self.plain(name, content)
        if record.kind == "suspend" or record.fate == "busted":
            return DUPLICATE if record.kind == "new" and (content, own) in record.said else CONFLICT
        if (content.qty < 0) != (record.content.qty < 0) or not self.valid(name, content):
            return INVALID
        if record.said and record.said[-1] == (content, own):
            return DUPLICATE
        status = self.amend(record, content, Record("correct", name, content, own, source=row))
        if status >= 0 and status != DUPLICATE:
            record.said.append((content, own))
        return status

    @property
    def suspense(self):
        return tuple(i for i, r in enumerate(self.records) if r.kind == "suspend" and r.fate is None)

    def release_to(self, row, name, closes=()):
        if not (0 <= row < len(self.records) and self.records[row].kind == "suspend"):
            return UNKNOWN
        old = self.records[row]
        if old.fate == "busted":
            return CONFLICT
        if old.fate == "released":
            same = old.released_to == name and self.same_lots(old, closes)
            return DUPLICATE if same else CONFLICT
        content, now = old.content, self.own(old.instrument)
        if content.fee_currency is None and old.instrument in self.instruments:
            content = content._replace(fee_currency=self.instruments[old.instrument].currency.name)
        record = Record("release", name, self.plain(name, content), old.id, closes=closes, source=row)
        if record.id is not None:
            known = self.find(self.key("new", name, record.content.qty, record.id))
            if known not in (None, row) and self.records[known].source != row:
                return CONFLICT
        reached = {now}  # where its lots may have gone
        for later in self.records[row:]:
            if later.kind == "convert" and later.fate != "busted":
                if later.instrument == later.to and later.content.qty == later.content.price:
                    continue  # a lot for a lot
                if later.to == name and later.instrument in reached | {name}:
                    return CONFLICT  # its lots are others now
                if later.instrument in reached:
                    reached.add(later.to)
        if (refused := self.refused(name, record.content, closes)) is not None:
            return refused
        if not self.valid(name, record.content):
            return INVALID
        old.fate, old.released_to, old.closes = "released", name, closes
        return self.put(record)

    def dismiss(self, row):
        if not (0 <= row < len(self.records) and self.records[row].kind == "suspend"):
            return UNKNOWN
        return self.bust(self.records[row].instrument, row=row)

    def payment(self, name, kind, amount, currency=None, id=None, time=0):
        record = Record(kind, name, self.plain(name, Content(0, 0, amount, currency, time)), id)
        return self.put(record) if (seen := self.seen(record)) is None else seen

    def conversion(self, name, to, new, old, id=None, time=0):
        record = Record("convert", name, Content(new, old, 0, None, time), id, to)
        if new < 1 or old < 1:
            return INVALID
        if (seen := self.seen(record)) is not None:
            return seen
        a, b = self.accounts[name], self.accounts[to]
        one, other = self.instruments[name], self.instruments[to]
        if one.currency != other.currency or one.kind != other.kind:
            return INVALID
        if one.negative_prices != other.negative_prices:
            return INVALID
        if name != to and a.net * b.net < 0:
            return INVALID
        self.marks.pop(name, None)
        return self.put(record)

    def amend(self, record, fate, by):
        """All or nothing: a later conversion may not stand with it."""
        by.to = by.source if record.id is None else record.id
        if (seen := self.seen(by)) is not None:
            return seen
        before, record.fate = record.fate, fate
        accounts = self.accounts
        try:
            self.replay()
        except ArithmeticError:
            record.fate, self.accounts = before, accounts
            return CONFLICT
        if by.id is not None:
            self.known[self.key(by.kind, by.instrument, by.content.qty, by.id)] = len(self.records)
        self.records.append(by)
        more = any(self.accounts[name].unmet > accounts[name].unmet for name in accounts)
        return UNMET if more else OK

    def mark(self, name, price):
        if price <= 0 and not self.instruments[name].negative_prices:
            return INVALID
        self.marks[name] = price
        return OK

    # ---- what a position shows ----

    def state(self, name):
        a, own = self.accounts[name], self.instruments[name].currency.name
        paid = {key: units for key, units in a.paid.items() if units}
        payments = {kind: {c: u for (k, c), u in paid.items() if k == kind} for kind in PAYMENTS}
        assert ("fees", own) not in paid
        named = self.cost == "specific"
        return {
            "net": a.net,
            "cash": a.cash,
            "cost": a.pool,
            "fees": a.fees,
            "other_fees": {c: u for (k, c), u in paid.items() if k == "fees"},
            "payments": {kind: pool for kind, pool in payments.items() if pool},
            "carried": a.carried,
            "mark": self.marks.get(name),
            "bought": a.bought,
            "sold": a.sold,
            "fills": a.fills,
            "lots": tuple(
                (size - used if size > 0 else size + used, price or self.price(name, size, cost))
                for size, cost, used, price, _ in a.lots
            ),
            **({"lot_rows": tuple(lot[4] for lot in a.lots), "unmet": a.unmet} if named else {}),
        }

    def price(self, name, size, cost):
        """The price in ticks at which `size` lots cost that much."""
        i = self.instruments[name]
        if i.kind == "linear":
            return Fraction(cost, SCALE * size)
        return -size * self.inverse[name] * SCALE / cost if cost else None
