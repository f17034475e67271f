"""From events to a :class:`Calibration`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidArgument
from ..events import SUBTICKS
from .intensity import Intensity, Windows, blocks_of, fit_poisson, fit_reach, fit_window, on_lattice
from .market import Bools, Ints, MarketOrders, Mids, weighted_quantile
from .options import OPTION
from .result import Calibration
from .sigma import Volatility, volatility_of

if TYPE_CHECKING:
    from ..events import Events

SIDES = ("bid", "ask")
ONE_TICK_SHARE = 0.8
"""Share of time with a spread of one tick from which a market counts as one tick wide."""


def calibrate(
    events: Events,
    method: str = "poisson",
    *,
    sigma_interval: float = 1.0,
    window: float = 1.0,
    min_depth: float | None = None,
    max_depth: float | None = None,
    errors: str = "clustered",
    level: float = 0.95,
) -> Calibration:
    """Estimate sigma, A and k from market data.

    Parameters
    ----------
    events : Events
        Quotes and trades of one instrument.
    method : str
        "poisson" (default), "reach" or "window"; see the module's text.
    sigma_interval : float
        Spacing of the volatility's time grid, s.
    window : float
        Length of the windows of ``method="window"``, s.
    min_depth, max_depth : float
        Range of depths that are fitted, ticks from the mid. None adapts to the market under "poisson" and
        means 1 and 10 for the other methods.
    errors : str
        "clustered" (default) takes the errors of A and k from how blocks of time differ; "independent" from
        the likelihood, as if every order (or window) were independent of the others. Short samples always
        use the second; ``settings["errors"]`` says which was used.
    level : float
        Confidence level of intervals and of the test whether k is identified.

    Returns
    -------
    Calibration
        With ``identified=False`` and the reasons in ``notes`` where the data do not identify a number.

    Raises
    ------
    InvalidArgument
        An option is outside its range.

    Examples
    --------
    >>> import mmcore as mm
    >>> market = mm.SimulatedMarket(sigma=1.0, A=1.0, k=0.5, duration=3600, seed=1)
    >>> calibration = mm.calibrate(market.events())
    >>> calibration.identified
    True
    >>> low, high = calibration.intervals(0.99)["k_bid"]
    >>> low < 0.5 < high
    True

    A market where nothing trades:

    >>> quotes = mm.Quotes(local_time=[0, 10**9, 2 * 10**9], bid=[99, 100, 99], ask=[101, 102, 101])
    >>> silent = mm.Events(market.instrument, None, quotes, mm.Trades(local_time=[], price=[], size=[]))
    >>> calibration = mm.calibrate(silent)
    >>> calibration.identified, calibration.sigma, calibration.k
    (False, 1.0, (None, None))
    >>> calibration.notes[0]
    'bid: not identified: this feed has no trades: no market order reaches a depth of 1 (ticks from the mid)'
    """
    given = {
        "method": method,
        "sigma_interval": sigma_interval,
        "window": window,
        "min_depth": min_depth,
        "max_depth": max_depth,
        "errors": errors,
        "level": level,
    }
    settings: dict[str, Any] = {name: OPTION[name].check(value) for name, value in given.items()}
    low, high = settings["min_depth"] or 1.0, settings["max_depth"]
    if high is not None and high < low + 1:
        raise InvalidArgument(
            argument="max_depth",
            value=max_depth,
            allowed=f"at least min_depth + 1 = {low + 1:g} ticks, or None",
        )

    mids = Mids.of(events)
    orders = MarketOrders.of(events, mids)
    sigma = volatility_of(mids, settings["sigma_interval"])
    durations = np.where(mids.defined, mids.durations, 0)
    open_time = int(durations.sum())
    undefined = mids.span - open_time
    one_tick = int(durations[mids.spread == 1].sum()) / max(open_time, 1)
    sample: dict[str, Any] = {
        "seconds": mids.span / 1e9,
        "seconds_without_mid": undefined / 1e9,
        "crossed_quotes": mids.crossed,
        "one_tick_share": one_tick,
        "trades": len(events.trades),
        "market_orders": orders.total,
        "at_or_inside_mid": orders.inside,
        "unknown_side": orders.unknown_side,
        "without_mid": orders.without_mid,
        "hidden_trades": orders.hidden,
    }
    if method == "poisson":
        fits = _poisson_fits(orders, mids, durations, settings, sample)
    else:
        fits = _line_fits(events, orders, mids, open_time, settings, sample)
    if not sample["trades"]:
        fits = [replace(fit, reason=f"this feed has no trades: {fit.reason}") for fit in fits]
    notes = _notes(sigma, fits, sample, settings)
    if errors == "clustered" and settings["errors"] == "independent" and any(f.identified for f in fits):
        notes.append(
            "the sample is too short to measure how orders cluster: the errors of A and k take them as "
            "independent, and are too small if they are not"
        )
    return Calibration(
        method,
        sigma,
        fits[0],
        fits[1],
        fits[2],
        notes,
        sample,
        settings,
        int(events.start_time) if len(events) else 0,
        int(events.end_time) if len(events) else 0,
        str(getattr(events, "name", "") or getattr(events.instrument, "name", "") or ""),
        events.instrument,
    )


def _poisson_fits(
    orders: MarketOrders, mids: Mids, durations: Ints, settings: dict[str, Any], sample: dict[str, Any]
) -> list[Intensity]:
    """Fit each side and both; put the range of depths that was used into the settings."""
    low2, high = settings["min_depth"], settings["max_depth"]
    if low2 is None:
        # Inside the spread every order goes at least to the touch: depths nearer than the half spread ever
        # is (but for a hundredth of the time) say nothing of the decay.
        low2 = max(2, weighted_quantile(mids.spread, durations, 0.01))
        if high is not None:
            low2 = min(low2, math.floor(2 * high) - 2)
    else:
        low2 = math.ceil(2 * low2)
    depth = on_lattice(orders.reach, orders.parity)
    if high is None:
        far = depth[depth >= low2]
        # The order at the quantile is the last one that is seen to stop: the range ends one tick beyond it,
        # else the range, being chosen by the sample, would bias k downwards.
        last = int(np.quantile(far, -math.expm1(-2), method="higher")) if far.size else low2
        high2 = max(low2 + 4, last + 2)
    else:
        high2 = math.floor(2 * high)
    settings["min_depth"], settings["max_depth"] = low2 / 2, high2 / 2
    masks = _by_side(orders)
    block, blocks = _order_blocks(orders, mids, depth >= low2, settings, sample)
    odd = (mids.mid2 & 1) == 1
    by_parity = int(durations[~odd].sum()) / 1e9, int(durations[odd].sum()) / 1e9
    return [
        fit_poisson(
            side,
            orders.reach[mask],
            orders.parity[mask],
            block[mask],
            blocks,
            (by_parity[0] * share, by_parity[1] * share),
            low2,
            high2,
            settings["level"],
            high is None,
        )
        for side, mask, share in zip((*SIDES, "pooled"), masks, (1, 1, 2), strict=True)
    ]


def _line_fits(
    events: Events,
    orders: MarketOrders,
    mids: Mids,
    open_time: int,
    settings: dict[str, Any],
    sample: dict[str, Any],
) -> list[Intensity]:
    """Fit each side and both by D1 or D2, on the whole ticks of the range."""
    low, high = settings["min_depth"] or 1.0, settings["max_depth"] or 10.0
    depths = np.arange(math.ceil(low), max(math.floor(high), math.ceil(low)) + 1, dtype=np.int64)
    settings["min_depth"], settings["max_depth"] = float(depths[0]), float(depths[-1])
    level = settings["level"]
    sides = (*SIDES, "pooled")
    if settings["method"] == "reach":
        block, blocks = _order_blocks(
            orders, mids, orders.reach >= 2 * SUBTICKS * depths[0], settings, sample
        )
        return [
            fit_reach(side, orders.reach[mask], block[mask], blocks, depths, share * open_time / 1e9, level)
            for side, mask, share in zip(sides, _by_side(orders), (1, 1, 2), strict=True)
        ]
    clustered = settings["errors"] == "clustered"
    windows = Windows.of(events, mids, settings["window"], depths, clustered)
    sample |= {"windows": windows.count, "windows_without_mid": windows.excluded}
    settings["errors"] = "clustered" if len(windows.shares) > 1 else "independent"
    hits = (*windows.hits, windows.hits.sum(axis=0))
    return [
        fit_window(side, h, windows.shares, n * windows.count, depths, settings["window"], level)
        for side, h, n in zip(sides, hits, (1, 1, 2), strict=True)
    ]


def _by_side(orders: MarketOrders) -> tuple[Bools, Bools, Bools]:
    """Which orders fill our bid, our ask, either."""
    return orders.side < 0, orders.side > 0, orders.side != 0


def _order_blocks(
    orders: MarketOrders, mids: Mids, used: Bools, settings: dict[str, Any], sample: dict[str, Any]
) -> tuple[Ints, int]:
    """Cut the time with a defined mid into equal blocks: each order's block, and how many.

    Puts the ratio of variance to mean of the orders per block (1 for Poisson arrivals) into the sample.
    """
    fewest = min(int(np.count_nonzero(used & mask)) for mask in _by_side(orders)[:2])
    blocks = blocks_of(fewest)
    sample["clustering"] = None
    if not blocks:
        settings["errors"] = "independent"
        return np.zeros(orders.time.size, np.int64), 0
    clock = mids.open_time(orders.time)
    edges = np.arange(1, blocks, dtype=np.int64) * (int(mids.open_time(np.array([mids.last]))[0]) // blocks)
    block = np.searchsorted(edges, clock, side="right").astype(np.int64)
    counts = np.bincount(block[used], minlength=blocks)
    sample["clustering"] = float(counts.var(ddof=1) / counts.mean())
    if settings["errors"] == "independent":
        return np.zeros(orders.time.size, np.int64), 0
    return block, blocks


def _notes(
    sigma: Volatility, fits: list[Intensity], sample: dict[str, Any], settings: dict[str, Any]
) -> list[str]:
    notes = [sigma.reason] if sigma.reason else []
    notes += [f"{fit.side}: not identified: {fit.reason}" for fit in fits[:2] if fit.reason]
    if fits[2].identified and not (fits[0].identified and fits[1].identified):
        notes.append("both sides pooled are identified: models with one A and k for both sides can be built")
    if sample["one_tick_share"] >= ONE_TICK_SHARE:
        notes.append(
            f"the spread is one tick {100 * sample['one_tick_share']:.0f} % of the time: prices there do not "
            "move continuously and fills depend on the queue, which a model of continuous depths does not "
            "describe"
        )
    for fit in fits[:2]:
        if (
            fit.identified
            and fit.dispersion is not None
            and fit.dispersion > 2
            and (fit.p_value or 0) < 0.001
        ):
            notes.append(_misfit(fit, settings))
    clustering = sample.get("clustering")
    if clustering is not None and clustering > 2:
        effect = (
            "the errors of A and k allow for it"
            if settings["errors"] == "clustered"
            else f"the errors of A are nearer {math.sqrt(clustering):.1f} times those given"
        )
        notes.append(
            f"market orders come in clusters: counts over blocks of time vary {clustering:.3g} times as much "
            f"as Poisson counts; {effect}"
        )
    if sample["market_orders"] and sample["at_or_inside_mid"] > 0.01 * sample["market_orders"]:
        notes.append(
            f"{100 * sample['at_or_inside_mid'] / sample['market_orders']:.0f} % of the market orders trade "
            "at or inside the mid before them: quotes and trades of this feed are out of step, so the "
            "reaches are measured from a stale mid"
        )
    if sample["unknown_side"]:
        cure = "" if settings["method"] == "window" else "; method='window' needs no side"
        notes.append(f"{sample['unknown_side']} market orders of unknown side are left out{cure}")
    if sample["without_mid"]:
        notes.append(f"{sample['without_mid']} market orders came while no mid was defined and are left out")
    if sample["seconds_without_mid"] > 0:
        notes.append(f"{sample['seconds_without_mid']:.6g} s without a two-sided market are left out")
    if sample["crossed_quotes"]:
        notes.append(
            f"{sample['crossed_quotes']} crossed quotes are left out; the last good one stays in force"
        )
    return notes


def _misfit(fit: Intensity, settings: dict[str, Any]) -> str:
    """Say how far the exponential is from what was seen, and where it is farthest."""
    fitted = fit.curve(fit.depths)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((fit.rates > 0) & np.isfinite(fit.rates), fit.rates / fitted, 1.0)
    worst = int(np.argmax(np.abs(np.log(ratio))))
    return (
        f"{fit.side}: an exponential describes the intensity poorly (chi-square {fit.dispersion:.3g} per "
        f"degree of freedom); {fit.depths[worst]:g} ticks from the mid the observed rate is "
        f"{ratio[worst]:.2g} times the fitted one. Read A and k as the best exponential between "
        f"{settings['min_depth']:g} and {settings['max_depth']:g} ticks"
    )
