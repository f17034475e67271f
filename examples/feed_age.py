"""What a quote on old data costs: it stays, it widens with the age of the data, or it halts.

The age is the time since the last quote of the book. Each rule is replayed on the data as they are, and
with the quotes lost for ten seconds of every minute while trading goes on. A markout is what a fill is worth
so much later, in ticks per lot, with its 95 % interval. Run it on a simulated market, or on your data:
python examples/feed_age.py [PATH]
"""

import math
import os
import sys

import numpy as np

import mmcore as mm

SMALL = os.environ.get("MMCORE_EXAMPLE") == "small"
HORIZONS = (10.0, 30.0)  # s
AGES = (0.3, 1.0, 3.0)  # s
LOST, EVERY = 10, 60  # s


def main() -> None:
    """Print both tables."""
    path = sys.argv[1] if len(sys.argv) > 1 else None
    simulated = mm.SimulatedMarket(duration=600.0 if SMALL else 7200.0, A=1.0, k=0.3, seed=1)
    first, rest = (simulated.events() if path is None else mm.load(path)).split(0.25)
    sigma = float(mm.calibrate(first).sigma)
    half_spread = float(np.median(first.quotes.ask - first.quotes.bid)) / 2
    rules = {"stays": None}
    rules |= {f"widens by σ√age, {age:g} s": mm.FeedAge(None, age, sigma) for age in AGES}
    rules |= {f"halts, {age:g} s": mm.FeedAge(age) for age in AGES}
    quoters = {
        name: mm.Quoter(mm.Affine(base=half_spread), limits=mm.Limits(max_position=10), feed_age=rule)
        for name, rule in rules.items()
    }
    print(f"{rest.name}: half-spread {half_spread:g} ticks, σ {sigma:.3g} ticks/√s")
    for title, events in {
        "as it is": rest,
        f"{LOST} s lost of every {EVERY} s": with_gaps(rest),
    }.items():
        horizons = "".join(f"{f'markout {h:g} s':>19}" for h in HORIZONS)
        print(f"\n{title + ':':<24}{'quoted':>8}{'fills':>7}{'profit, ticks':>15}{horizons}")
        for name, result in mm.replay(events, quoters, interval=0.1).items():
            profit = float(result.attribution.total / events.instrument.tick_value)
            markouts = {m.horizon: m for m in result.markouts()}
            worth = "".join(f"{told(markouts[h]):>19}" for h in HORIZONS)
            print(f"{name:<24}{result.presence.both:8.1%}{len(result.fills):7,}{profit:15,.0f}{worth}")


def with_gaps(events: mm.Events) -> mm.Events:
    """Return the same market with its quotes lost now and then."""
    since = events.quotes.local_time - events.start_time
    kept = since % (EVERY * 10**9) < (EVERY - LOST) * 10**9
    quotes = mm.Quotes(**{name: column[kept] for name, column in events.quotes.columns().items()})
    return mm.Events(events.instrument, None, quotes, events.trades)


def told(markout: mm.results.Markout) -> str:
    """A mean and its interval, ticks per lot."""
    spread = (markout.high - markout.low) / 2
    return f"{markout.mean:+.2f} ± {spread:.2f}" if math.isfinite(spread) else f"{markout.mean:+.2f}"


if __name__ == "__main__":
    main()
