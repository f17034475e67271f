"""A session that is saved, restored and resumed answers like one that was never interrupted.

Everything that a desk keeps goes through one file at a random moment: book, orders, quoter, and a strategy's
own state, its generator of random numbers included. From there the original and the restored session take
the same steps, each choosing them from what it finds in its own objects, and every answer and the final
state must agree to the last bit. Nothing says what is right here: other tests do; this one says "the same".
"""

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mmcore as mm
from mmcore.errors import Error

pytestmark = [
    pytest.mark.compiled,
    pytest.mark.filterwarnings("ignore::mmcore.errors.ApproximationWarning"),  # of parameters set on the way
]

NAMES = ("X", "S")


def answer(call, *args, **kw):
    """What a call answers, refusals included, as something that can be compared."""
    try:
        value = call(*args, **kw)
    except (Error, TypeError) as error:
        return type(error).__name__, str(error)
    return value.tolist() if isinstance(value, np.ndarray) else repr(value)


class Session:
    """What is saved, and the steps: one method each, which returns what the step answered."""

    STEPS = (
        *["fill", "target"] * 2,
        *["quote", "report"] * 3,
        *["market"] * 4,
        *["batch", "mark", "cancel_all", "reconcile", "settings", "set", "update"],
    )

    def __init__(self, book, orders, quoter, window, strategy):
        self.book, self.orders, self.quoter, self.window = book, orders, quoter, window
        self.strategy = strategy
        self.random = random.Random()
        self.random.setstate(strategy["random"])

    @property
    def parts(self):
        self.strategy["random"] = self.random.getstate()
        return {name: getattr(self, name) for name in ("book", "orders", "quoter", "window", "strategy")}

    def state(self):
        """Everything, to the last bit."""
        return (
            self.book.to_bytes(),
            self.orders.to_bytes(),
            self.quoter.policy.to_bytes(),
            repr(
                [
                    self.quoter,
                    self.quoter.__reduce__()[1:],
                    self.window.__reduce__()[1:],
                    self.quoter.version,
                    self.orders,
                    self.book.snapshot().to_dict(),
                ]
            ),
            {k: v.tobytes() if isinstance(v, np.ndarray) else repr(v) for k, v in self.strategy.items()},
        )

    def step(self):
        return getattr(self, self.random.choice(self.STEPS))()

    def fill(self):
        r, seen = self.random, self.strategy["seen"]
        if seen and r.random() < 0.3:  # the venue repeats itself, and now and then contradicts itself
            name, qty, price, fields = r.choice(seen)
            price += r.choice([0, 0, 1])
        else:
            name, qty = r.choice(NAMES), r.choice([-1, 1]) * r.choice([1, 2, 3, 7, 2**40, 0])
            price, fields = r.choice([1000, 1001, 999, -2, 2**50]), {"fee": r.randint(-3, 9)}
            if r.random() < 0.6:
                fields |= {"id": f"{len(seen)}", "time": self.strategy["now"], "liquidity": "maker"}
            if r.random() < 0.2:
                fields["fee_currency"] = "BNB"
            if r.random() < 0.1:
                fields["kind"] = r.choice(["bust", "correct"])
            seen.append((name, qty, price, fields))
        return answer(self.book.fill, name, qty, price, **fields)

    def batch(self):
        r, n = self.random, self.random.randint(1, 5)
        columns = {
            "instrument": [r.randint(0, 2) for _ in range(n)],
            "qty": [r.randint(-4, 4) for _ in range(n)],
            "price": [r.randint(998, 1003) for _ in range(n)],
            "id": [r.choice(["", "q", "w", "e"]) for _ in range(n)],
        }
        fills = self.book.records(**columns)
        return answer(self.book.apply, fills, on_error=r.choice(["none", "skip"]))

    def mark(self):
        return answer(self.book.mark, self.random.choice(NAMES), self.random.choice([1000, 1003, -4, 2**62]))

    def wanted(self):
        """A quote at the walk's price and the book's inventory, as a strategy asks for it."""
        r, s = self.random, self.strategy
        s["reference"] += r.gauss(0.0, 1.0)
        s["past"][r.randrange(len(s["past"]))] = s["reference"]
        ticks = int(s["reference"])
        touch = {"bid": ticks - r.randint(0, 2), "ask": ticks + r.randint(1, 3)}
        shift, age = s["past"].mean() - s["reference"], r.choice([0.0, 0.0, 0.3, 5.0])
        return self.quoter.quote(s["reference"], self.orders.position, **touch, shift=shift, age=age), touch

    def quote(self):
        r = self.random
        odd = {"time_left": r.choice([float("inf"), 0.5, -1.0]), "target": r.choice([0.0, 2.5])}
        explained = answer(self.quoter.explain, self.strategy["reference"], r.uniform(-9, 9), **odd)
        quote, touch = self.wanted()
        return repr(quote), quote.version, touch, explained

    def target(self):
        quote, touch = self.wanted()
        self.strategy["now"] += self.random.choice([0, 1, 30, 10**9])
        return answer(self.orders.target, quote, self.strategy["now"], **touch), repr(self.orders.held)

    def report(self):
        r, working = self.random, self.orders.working
        if not working:
            return None
        order = r.choice(working)
        kind = r.choice(["accepted", "accepted", "fill", "fill", "amended", "canceled", "rejected",
                         "amend_rejected", "cancel_rejected"])  # fmt: skip
        fields = {"filled": r.randint(order.filled, order.size)} if kind in ("fill", "canceled") else {}
        number = order.order_id + (r.random() < 0.05)
        return answer(self.orders.on_report, mm.Report(kind, number, **fields)), self.orders.exposure

    def cancel_all(self):
        return answer(self.orders.cancel_all, self.strategy["now"])

    def reconcile(self):
        listed = [tuple(order)[:5] for order in self.orders.working if order.filled < order.size]
        return answer(self.orders.reconcile, listed, self.orders.position, self.strategy["now"])

    def market(self):
        """Quotes and trades of others, for the window from which parameters are estimated."""
        r, s = self.random, self.strategy
        for _ in range(20):
            s["now"] += r.choice([0, 1, 10**8, 10**8, 10**9, 10**11 if r.random() < 0.05 else 0])
            bid, spread = 1000 + r.randint(-3, 3), r.choice([0, 1, 1, 2, 3, -1])
            if r.random() < 0.7:
                self.window.on_quote(s["now"], r.choice([bid, bid, bid, None]), bid + spread)
            else:
                side = r.choice([-1, 0, 1])
                price = bid + side * r.choice([0, 1, 1, 2, 3, 5])
                self.window.on_trade(s["now"], price, side, subtick=r.choice([0, 0, 500_000]))
        return self.window.time

    def update(self):
        found = answer(self.window.update, self.quoter, self.strategy["now"])
        told = self.window.estimate(self.strategy["now"]).record().tobytes()
        return found, self.quoter.version, told

    def set(self):
        r = self.random
        changes = {name: r.choice([0.3, 0.5, 0.7]) for name in r.sample(["sigma", "k", "A", "gamma"], 2)}
        left = {"time_left": r.uniform(0.0, 2.0)} if r.random() < 0.2 else {}
        return answer(self.quoter.set, **changes, **left), self.quoter.version

    def settings(self):
        r = self.random
        if r.random() < 0.4:
            self.quoter.halt("checked") if self.quoter.halted is None else self.quoter.resume()
        self.quoter.volatility_scale = r.choice([1.0, 0.7, 1.0 / 3.0])
        self.quoter.limits = mm.Limits(r.choice([None, 3, 4.5]), shrink=r.random() < 0.5)
        self.quoter.feed_age = r.choice([None, mm.FeedAge(2.0), mm.FeedAge(3.0, 0.1, 0.8)])
        self.quoter.obligations = mm.Obligations(
            max_spread=r.choice([None, 2, 5]), min_size=r.choice([None, 2])
        )
        self.orders.max_exposure = r.choice([6, 9])
        self.orders.hysteresis = r.randint(0, 2)


POLICIES = [
    mm.Affine(base=(1.5, 1.25), slope=0.25, base_rate=0.1, slope_rate=0.01, q_max=6, horizon=60.0),
    mm.GueantLehalleFernandezTapia(sigma=1.0, A=(1.0, 1.2), k=0.5, gamma=0.01, q_max=8),
    mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.01, q_max=8, order_size=2, horizon=3.0),
    mm.CarteaJaimungal(A=1.0, k=0.5, running_penalty=0.01, terminal_penalty=0.1, q_max=5, horizon=2.0),
    mm.AvellanedaStoikov(sigma=1.0, k=0.5, gamma=0.1, horizon=1.0),
]


def started(seed, cost, history, policy, messages):
    usd = mm.Currency("USD")
    x = mm.Instrument("X", tick="0.01", currency=usd)
    s = mm.Instrument("S", tick="0.05", lot="0.1", currency=usd, negative_prices=True)
    return Session(
        mm.Book([x, s], cost=cost, history=history, currencies=[mm.Currency("BNB", unit="1E-18")]),
        mm.Orders(x, messages=messages, max_exposure=9, min_life=20),
        mm.Quoter(policy, x),
        mm.Recalibrate(
            every=2.0, window=seed % 3 * 100 + 20.0, warmup=10.0, max_depth=8.0, pooled=seed % 2 == 0
        ),
        {
            "random": random.Random(seed).getstate(),
            "reference": 1000.5,
            "now": 0,
            "seen": [],
            "past": np.full(5, 1000.5),
        },
    )


@given(
    seed=st.integers(0, 2**32),
    before=st.integers(0, 150),
    after=st.integers(1, 150),
    cost=st.sampled_from(["average", "fifo", "lifo"]),
    history=st.sampled_from(["full", "full", "none"]),
    policy=st.sampled_from(POLICIES),
    messages=st.sampled_from([(), [(9, 100)], [(6, 50), (20, 10**9)]]),
)
@settings(max_examples=120)
def test_a_resumed_session_goes_on_as_if_nothing_had_been(
    seed, before, after, cost, history, policy, messages
):
    original = started(seed, cost, history, policy, messages)
    for _ in range(before):
        original.step()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "session.state")
        mm.save(path, **original.parts)
        state = original.state()
        resumed = Session(**mm.restore(path, book=mm.Book, quoter=mm.Quoter, strategy=dict))
    assert original.state() == resumed.state() == state  # saving itself changes nothing
    for _ in range(after):
        assert original.step() == resumed.step()
    assert original.state() == resumed.state()


def test_the_steps_reach_what_they_are_for():
    """The law above would hold for a session in which nothing happens."""
    seen = set()
    for seed in range(12):
        session = started(seed, "fifo", "full", POLICIES[1], [(20, 10**9)])
        for _ in range(300):
            seen.update(str(session.step()).replace("(", " ").replace("'", " ").split())
    errors = {"ConflictError", "Unsupported", "OutOfBounds", "UnknownName", "InvalidArgument"}
    words = errors | {"<Status.DUPLICATE:", "NEW", "AMEND", "CANCEL", "Estimate"}
    assert words <= seen, words - seen
