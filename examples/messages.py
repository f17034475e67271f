"""How many order messages a quote costs, and what fewer of them cost: minimum life against hysteresis.

A fixed half-spread of 4 ticks is quoted through a simulated market; answers are immediate, and a trade
strictly through our price fills us. Run it: python examples/messages.py
"""

import os

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
SECONDS = 300.0 if SMALL else 3600.0
HALF_SPREAD = 4.0  # ticks
LIVES = (0, 1_000_000_000, 10_000_000_000)  # ns
TICKS = (0, 1, 2)

QUOTE = 1
ANSWER = {
    mm.ActionKind.NEW: mm.ReportKind.ACCEPTED,
    mm.ActionKind.AMEND: mm.ReportKind.AMENDED,
    mm.ActionKind.CANCEL: mm.ReportKind.CANCELED,
}


def obey(orders: mm.Orders, quote: mm.QuoteBuffer, now: int, bid: int, ask: int) -> None:
    """Send what the quote needs; the venue answers at once."""
    while actions := orders.target(quote, now, bid, ask):
        for action in actions:
            orders.on_report(mm.Report(ANSWER[action.kind], action.order_id))


def trade_through(orders: mm.Orders, book: mm.Book, price: int, now: int) -> None:
    """Fill what the trade went through."""
    for order in orders.working:
        through = price < order.price if order.side == "bid" else price > order.price
        if through:
            lots = order.size - order.filled
            orders.on_report(mm.Report("fill", order.order_id, filled=order.size))
            book.fill("SIM", lots if order.side == "bid" else -lots, order.price, time=now)


def run(events: mm.Events, min_life: int, hysteresis: int) -> tuple[int, int, float]:
    """Return messages, fills and the profit in ticks, marked at the last mid."""
    orders = mm.Orders(min_life=min_life, hysteresis=hysteresis, max_exposure=10)
    book = mm.Book([mm.Instrument("SIM", tick="1")])
    quoter = mm.Quoter(mm.Affine(base=HALF_SPREAD), limits=mm.Limits(max_position=10))
    quote = mm.QuoteBuffer()
    bids, asks = events.quotes.bid.tolist(), events.quotes.ask.tolist()
    quote_times, trade_times = events.quotes.local_time.tolist(), events.trades.local_time.tolist()
    prices = events.trades.price.tolist()
    q = t = 0
    for kind in events.kind.tolist():
        if kind == QUOTE:
            mid = (bids[q] + asks[q]) / 2
            quoter.quote_into(quote, mid, orders.position, bids[q], asks[q])
            obey(orders, quote, quote_times[q], bids[q], asks[q])
            q += 1
        else:
            trade_through(orders, book, prices[t], trade_times[t])
            t += 1
    position = book["SIM"]
    return orders.sent, position.fills, float(position.cash + position.net * mid)


def main() -> None:
    """Print the table."""
    events = mm.SimulatedMarket(duration=SECONDS, seed=1).events()
    print(f"{SECONDS:g} s of a simulated market, half-spread {HALF_SPREAD:g} ticks, at most 10 lots")
    print(f"{'min_life':>9} {'hysteresis':>11} {'messages':>9} {'fills':>6} {'profit':>9}")
    for min_life in LIVES:
        for hysteresis in TICKS:
            messages, fills, profit = run(events, min_life, hysteresis)
            life = f"{min_life / 1e9:g} s"
            print(f"{life:>9} {hysteresis:>11} {messages:>9,} {fills:>6,} {profit:>9,.1f}")


if __name__ == "__main__":
    main()
