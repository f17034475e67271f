"""A market maker that runs all day: a feed, a desk and a venue, with a kill switch and a saved state.

    python examples/live.py                                # a simulated capture, as fast as it goes
    python examples/live.py capture.gz --max-depth 80      # a recorded websocket capture; depths in ticks
    python examples/live.py capture.gz --speed 1           # at real speed
    python examples/live.py capture.gz --state desk.state  # resumes where it was stopped
    python examples/live.py capture.gz --state desk.state --lift    # goes on after a stop by the loss limit

The feed is a task of its own and hands its rows over through a bounded queue: where the desk is slower, the
feed waits. Between rows it tells the time, so that the desk sees its data grow old and halts. Ctrl-C, SIGTERM
or a loss limit throw the kill switch: no quotes any more, every order canceled, the state saved. A state goes
on with its own feed alone, and after the loss limit only when that is lifted. The venue is a paper one, which
answers at once and fills what a trade goes through; put yours in its place.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import mmcore as mm
from mmcore.files import unwritable

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
HEARTBEAT = 100_000_000  # ns: how often a quiet feed tells the time
MOST_WAITING = 1000  # rows
WARM = 60.0  # s: of data before the first quote
LOSS_LIMIT = 5_000  # ticks times lots


class PaperVenue:
    """Answers at once; a trade strictly through an order fills it."""

    def __init__(self, resting: dict[int, tuple[str, int, int]] | None = None) -> None:
        self.resting = dict(resting or {})  # order id: side, price, whole size

    def send(self, action: mm.Action) -> mm.Report:
        """Take a message; return the report on it."""
        if action.kind is mm.ActionKind.CANCEL:
            gone = self.resting.pop(action.order_id, None)
            return mm.Report("canceled" if gone else "cancel_rejected", action.order_id)
        new = action.kind is mm.ActionKind.NEW
        if not new and action.order_id not in self.resting:
            return mm.Report("amend_rejected", action.order_id)
        self.resting[action.order_id] = (action.side, action.price, action.size)
        return mm.Report("accepted" if new else "amended", action.order_id)

    def trade(self, price: int) -> list[tuple[int, str, int, int]]:
        """Return the orders that a trade at ``price`` fills: id, side, price, size."""
        through = [
            (order, *what)
            for order, what in self.resting.items()
            if (price < what[1] if what[0] == "bid" else price > what[1])
        ]
        for order, *_ in through:
            del self.resting[order]
        return through


class Desk:
    """Everything that decides, and all of the state: what `save` writes is what `resume` goes on from."""

    def __init__(
        self, instrument: mm.Instrument, model: mm.GueantLehalleFernandezTapia, max_depth: float = 10.0
    ) -> None:
        self.venue = PaperVenue()
        self.book = mm.Book([instrument])
        self.orders = mm.Orders(
            instrument,
            min_life=50_000_000,
            hysteresis=1,
            messages=[(50, 10**9), (1000, 60 * 10**9)],
            max_exposure=model.q_max,
        )
        self.quoter = mm.Quoter(
            model,
            instrument,
            limits=mm.Limits(max_position=model.q_max),
            feed_age=mm.FeedAge(halt_after=2.0, widen_after=0.5, widen=model.sigma),
        )
        self.recalibrate = mm.Recalibrate(every=1.0, window=300.0, warmup=WARM, max_depth=max_depth)
        self.state = {
            "feed": None, "row": 0, "heard": 0, "bid": None, "ask": None, "fills": 0, "stale": 0,
            "stopped": None, "loss_counts_from": 0.0,
        }  # fmt: skip
        self.quote = mm.QuoteBuffer()

    @property
    def name(self) -> str:
        """The instrument's name."""
        return self.book.instruments[0].name

    def follow(self, events: mm.Events) -> None:
        """Read this feed: the first one given, and no other after it: a row of another means nothing."""
        if events.instrument != self.book.instruments[0]:
            raise ValueError(f"this state is of {self.name}, and the feed of {events.instrument.name}")
        feed = {"name": events.name, "start": int(events.start_time), "end": int(events.end_time)}
        known = self.state["feed"] or feed
        if feed != known:
            ours, theirs = ("{name} from {start} to {end} ns".format(**one) for one in (known, feed))
            raise ValueError(f"this state is of the feed {ours}, and not of {theirs}")
        self.state["feed"] = feed

    def on_quote(self, now: int, bid: int | None, ask: int | None) -> None:
        """See the market move, and answer."""
        self.recalibrate.on_quote(now, bid, ask)
        self.state |= {"heard": now, "bid": bid, "ask": ask}
        self.act(now)

    def on_trade(self, now: int, exchange_time: int, price: int, side: int) -> None:
        """See a trade, which may be ours."""
        self.recalibrate.on_trade(now, price, side, exchange_time=exchange_time)
        for order, way, at, size in self.venue.trade(price):
            left = size - sum(o.filled for o in self.orders.working if o.order_id == order)
            self.state["fills"] += 1
            self.book.fill(
                self.name, left if way == "bid" else -left, at, time=exchange_time, receive_time=now,
                order_id=order, id=self.state["fills"], liquidity="maker",
            )  # fmt: skip
            self.orders.on_report(mm.Report("fill", order, filled=size))

    def act(self, now: int) -> None:
        """From what is known to the orders that stand."""
        bid, ask = self.state["bid"], self.state["ask"]
        self.recalibrate.update(self.quoter, now)
        two_sided = bid is not None and ask is not None
        reference = (bid + ask) / 2 if two_sided and self.warm else float("nan")
        age = (now - self.state["heard"]) / 1e9
        self.quoter.quote_into(self.quote, reference, self.orders.position, bid, ask, age=age)
        self.state["stale"] += mm.Why.STALE in self.quote.why
        self.send(self.orders.target(self.quote, now, bid, ask))
        if two_sided and self.book[self.name].net:
            self.book.mark(self.name, (bid + ask) // 2)

    def send(self, actions: tuple[mm.Action, ...]) -> None:
        """Send messages in their order, and take in what the venue says."""
        for action in actions:
            self.orders.on_report(self.venue.send(action))

    @property
    def warm(self) -> bool:
        """Whether parameters of this market have been put in force."""
        return self.quoter.version > 1

    @property
    def profit(self) -> float:
        """Ticks times lots, at the mark."""
        position = self.book[self.name]
        return (position.realised + (position.unrealised or 0)) / 1e9

    @property
    def loss(self) -> float:
        """Ticks times lots, since the limit was last lifted."""
        return self.state["loss_counts_from"] - self.profit

    def lift(self) -> None:
        """Quote again after a stop by the loss limit; the loss counts from here."""
        self.state |= {"stopped": None, "loss_counts_from": self.profit}

    def kill(self, why: str, now: int) -> None:
        """Stop quoting and leave nothing in the market."""
        self.quoter.halt(why)
        while self.orders.working:
            actions = self.orders.cancel_all(now)
            if not actions:  # the budget of messages is spent: a cancel is due when it is not
                now += 10_000_000
            self.send(actions)

    def save(self, path: Path) -> None:
        """Write everything, whole or not at all."""
        mm.save(
            path, book=self.book, orders=self.orders, quoter=self.quoter, recalibrate=self.recalibrate,
            resting=self.venue.resting, state=self.state,
        )  # fmt: skip

    @classmethod
    def resume(cls, path: Path) -> "Desk":
        """Go on from what was saved."""
        found = mm.restore(path, book=mm.Book, orders=mm.Orders, quoter=mm.Quoter, recalibrate=mm.Recalibrate)
        desk = cls.__new__(cls)
        desk.book, desk.orders, desk.quoter = found["book"], found["orders"], found["quoter"]
        desk.recalibrate, desk.state = found["recalibrate"], found["state"]
        desk.venue, desk.quote = PaperVenue(found["resting"]), mm.QuoteBuffer()
        desk.quoter.resume()
        return desk


async def feed(events: mm.Events, begin: int, speed: float) -> AsyncIterator[tuple]:
    """Give the rows from ``begin`` on as a websocket would: row, time and content; the time when it is quiet.

    Where a side of the market is absent, its price is None. ``speed`` 0 does not wait.
    """
    quotes, trades = events.quotes, events.trades
    kind = events.kind.tolist()
    q = kind[:begin].count(1)
    t = begin - q
    first = last = None
    start = time.monotonic()

    async def until(now: int) -> None:
        if speed:
            await asyncio.sleep(max(0.0, (now - first) / 1e9 / speed - (time.monotonic() - start)))

    for row in range(begin, len(kind)):
        is_quote = kind[row] == 1
        now = int(quotes.local_time[q] if is_quote else trades.local_time[t])
        first = now if first is None else first
        last = now if last is None else last
        while last + HEARTBEAT < now:
            last += HEARTBEAT
            await until(last)
            yield row, last, ()
        last = now
        await until(now)
        if is_quote:
            touch = int(quotes.bid[q]), int(quotes.ask[q])
            there = int(quotes.bid_size[q]), int(quotes.ask_size[q])
            yield row, now, tuple(p if n else None for p, n in zip(touch, there, strict=True))
            q += 1
        else:
            yield row, now, (int(trades.exchange_time[t]), int(trades.price[t]), int(trades.side[t]))
            t += 1


async def produce(rows: AsyncIterator[tuple], queue: asyncio.Queue) -> None:
    """Put the rows into the queue, and why there are no more; where it is full, wait for the desk."""
    why = "the feed ended"
    try:
        async for item in rows:
            await queue.put(item)
    except asyncio.CancelledError:
        why = "stopped"
    except Exception as error:  # whatever it is, the desk must hear of it
        why = f"the feed failed: {error!r}"
    await queue.put(why)


async def run(desk: Desk, events: mm.Events, speed: float = 0.0, most: int | None = None) -> str:
    """Let the desk run until the feed ends, it is stopped or ``most`` rows are done: say which."""
    desk.follow(events)
    if desk.state["stopped"]:
        return desk.state["stopped"]
    queue: asyncio.Queue = asyncio.Queue(MOST_WAITING)
    producer = asyncio.create_task(produce(feed(events, desk.state["row"], speed), queue))
    stop = asyncio.Event()

    def stopped() -> None:
        stop.set()
        producer.cancel()  # it may be asleep until the next row

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError):  # no such signals here
            loop.add_signal_handler(number, stopped)
    done, why, now, widest = 0, "the desk failed", 0, 0
    try:
        while not isinstance(item := await queue.get(), str):
            row, now, content = item
            if len(content) == 2:
                desk.on_quote(now, *content)
            elif content:
                desk.on_trade(now, *content)
            else:
                desk.act(now)
            if content:
                desk.state["row"], done = row + 1, done + 1
            widest = max(widest, queue.qsize())
            if done == most:
                why = "paused"
                break
            if stop.is_set():
                why = "stopped"
                break
            if desk.loss > LOSS_LIMIT:
                desk.state["stopped"] = why = f"the loss passed {LOSS_LIMIT:,} ticks x lots"
                break
        else:
            why = item
    finally:
        producer.cancel()
        while not producer.done():  # it may wait for room
            with contextlib.suppress(asyncio.QueueEmpty):
                queue.get_nowait()
            await asyncio.sleep(0)
        if why != "paused":
            desk.kill(why, now)
            print(f"{done:,} rows, at most {widest:,} waiting: {why}")
    return why


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("capture", nargs="?", help="a recorded feed; a simulated one by default")
    parser.add_argument("--speed", type=float, default=0.0, help="times real speed; 0: as fast as it goes")
    parser.add_argument("--max-depth", type=float, default=10.0, help="how far orders are followed, ticks")
    parser.add_argument("--state", type=Path, help="where the state is saved, and resumed from")
    parser.add_argument("--lift", action="store_true", help="go on after a stop by the loss limit")
    given = parser.parse_args()
    if given.state and (allowed := unwritable(given.state)):  # found out now, not after the session
        parser.error(f"--state must be {allowed}, got '{given.state}'")
    try:
        if given.capture:
            events = mm.load(given.capture)
        else:
            events = mm.SimulatedMarket(duration=120.0 if SMALL else 900.0, seed=1).events()
        if given.state and given.state.exists():
            desk = Desk.resume(given.state)
            print(f"resumed at row {desk.state['row']:,}")
        else:
            # A guess to begin with: nothing is quoted before parameters of this market are in force.
            desk = Desk(
                events.instrument,
                mm.GueantLehalleFernandezTapia(sigma=1.0, A=1.0, k=0.5, gamma=0.001, q_max=20),
                given.max_depth,
            )
        desk.follow(events)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if given.lift:
        desk.lift()
    if desk.state["stopped"]:
        parser.exit(1, f"stopped: {desk.state['stopped']}; --lift goes on, and counts the loss from here\n")
    began = time.perf_counter()
    try:
        asyncio.run(run(desk, events, given.speed))
    finally:
        if given.state:
            desk.save(given.state)
    took = time.perf_counter() - began
    print(
        f"{took:.1f} s, parameters of version {desk.quoter.version:,}, {desk.orders.sent:,} messages, "
        f"{desk.state['fills']:,} fills, {desk.state['stale']:,} quotes withheld for old data"
    )
    print(desk.book)


if __name__ == "__main__":
    main()
