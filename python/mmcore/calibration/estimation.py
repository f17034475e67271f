"""From events to a :class:`Calibration`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InvalidArgument
from ..parameters import expect_together
from .intensity import (
    Intensity,
    Range,
    Windows,
    blocks_of,
    fit_poisson,
    fit_reach,
    fit_window,
    nearest,
    on_lattice,
    order_statistic,
)
from .market import Blocks, Bools, Exposure, Floats, MarketOrders, Mids
from .options import OPTION, RELATIONS
from .result import Calibration
from .sigma import Volatility, volatility_of

if TYPE_CHECKING:
    from ..events import Events

SIDES = ("bid", "ask")
MAX_DEPTHS = 1000
"""Most depths to which the line of methods "reach" and "window" is fitted."""
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
    expect_together(RELATIONS, settings)

    mids = Mids.of(events)
    orders = MarketOrders.of(events, mids)
    sigma = volatility_of(mids, settings["sigma_interval"])
    spread, held = mids.held
    sample: dict[str, Any] = {
        "seconds": mids.span / 1e9,
        "seconds_without_mid": (mids.span - mids.open_time) / 1e9,
        "crossed_quotes": mids.crossed,
        "one_tick_share": int(held[spread == 1].sum()) / max(mids.open_time, 1),
        "trades": len(events.trades),
        "market_orders": orders.total,
        "at_or_inside_mid": orders.inside,
        "unknown_side": orders.unknown_side,
        "without_mid": orders.without_mid,
        "hidden_trades": orders.hidden,
    }
    if method != "window":
        sample["clustering"] = None
    if method == "poisson":
        fits = _poisson_fits(events, orders, mids, settings, sample)
    else:
        fits = _line_fits(events, orders, mids, settings, sample)
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
    events: Events, orders: MarketOrders, mids: Mids, settings: dict[str, Any], sample: dict[str, Any]
) -> list[Intensity]:
    """Fit each side and both; put the range of depths that was used into the settings."""
    low2, high = settings["min_depth"], settings["max_depth"]
    exposure = Exposure.of(mids)
    if low2 is None:
        # Nearer depths lie behind the touch less than a hundredth of the time: too seldom to speak for it.
        low2 = max(2, exposure.quantile(0.01))
        if high is not None:
            low2 = min(low2, math.floor(2 * high) - 2)
    else:
        low2 = math.ceil(2 * low2)
    depth = on_lattice(orders.reach, orders.touch)
    if high is None:
        far = depth >= nearest(orders.touch, low2)
        # The order at the quantile is the last one that is seen to stop: the range ends one tick beyond it,
        # else the range, being chosen by the sample, would bias k downwards.
        last = order_statistic(depth[far], orders.count[far], -math.expm1(-2)) if far.any() else low2
        high2 = max(low2 + 4, last + 2)
    else:
        high2 = math.floor(2 * high)
    settings["min_depth"], settings["max_depth"] = low2 / 2, high2 / 2
    sample["inside_touch"] = int(orders.count[depth < orders.touch].sum())
    span = Range(low2, high2, exposure)
    orders, blocks = _by_block(events, orders, mids, span.reached(depth, orders.touch), settings)
    depth = on_lattice(orders.reach, orders.touch)
    clustered = blocks if settings["errors"] == "clustered" else Blocks.of(mids, 0)
    fits = [
        fit_poisson(
            side,
            depth[mask],
            orders.touch[mask],
            orders.block[mask],
            orders.count[mask],
            clustered,
            span,
            sides,
            settings["level"],
            high is None,
        )
        for side, mask, sides in zip((*SIDES, "pooled"), _by_side(orders), (1, 1, 2), strict=True)
    ]
    if blocks and (estimate := fits[2].estimate) is not None:
        due = blocks.seconds @ span.relative_rate(estimate[1])
        sample["clustering"] = _clustering(orders, span.reached(depth, orders.touch), due)
    return fits


def _line_fits(
    events: Events,
    orders: MarketOrders,
    mids: Mids,
    settings: dict[str, Any],
    sample: dict[str, Any],
) -> list[Intensity]:
    """Fit each side and both by D1 or D2, on the whole ticks of the range."""
    low, high = settings["min_depth"] or 1.0, settings["max_depth"] or 10.0
    first, last = math.ceil(low), max(math.floor(high), math.ceil(low))
    if last - first >= MAX_DEPTHS:
        raise InvalidArgument(
            argument="max_depth",
            value=high,
            allowed=f"at most {first + MAX_DEPTHS - 1} ticks: {MAX_DEPTHS} whole ticks from min_depth on, "
            f"each of which method={settings['method']!r} fits",
        )
    depths = np.arange(first, last + 1, dtype=np.int64)
    settings["min_depth"], settings["max_depth"] = float(depths[0]), float(depths[-1])
    level = settings["level"]
    sides = (*SIDES, "pooled")
    if settings["method"] == "reach":
        orders, blocks = _by_block(events, orders, mids, orders.reach >= 2 * depths[0], settings)
        if blocks:
            used = orders.reach >= 2 * depths[0]
            sample["clustering"] = _clustering(orders, used, np.diff(blocks.edges))
        clustered = len(blocks) if settings["errors"] == "clustered" else 0
        seconds = mids.open_time / 1e9
        return [
            fit_reach(
                side,
                orders.reach[mask],
                orders.block[mask],
                orders.count[mask],
                clustered,
                depths,
                share * seconds,
                level,
            )
            for side, mask, share in zip(sides, _by_side(orders), (1, 1, 2), strict=True)
        ]
    windows = Windows.of(events, mids, settings["window"], depths, settings["errors"] == "clustered")
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


def _by_block(
    events: Events, orders: MarketOrders, mids: Mids, used: Bools, settings: dict[str, Any]
) -> tuple[MarketOrders, Blocks]:
    """Cut the time with a defined mid into equal blocks, and count the orders by them.

    No blocks, and ``settings["errors"]`` is independent, where there are too few orders to measure clusters.
    """
    blocks = Blocks.of(
        mids, blocks_of(min(int(orders.count[used & mask].sum()) for mask in _by_side(orders)[:2]))
    )
    if not blocks:
        settings["errors"] = "independent"
        return orders, blocks
    return MarketOrders.of(events, mids, blocks.times), blocks


def _clustering(orders: MarketOrders, used: Bools, due: Floats) -> float:
    """Variance of the orders per block over that of Poisson counts, whose means are as `due`."""
    due = due / due.sum() * orders.count[used].sum()
    counts = np.bincount(orders.block[used], orders.count[used], due.size)[due > 0]
    due = due[due > 0]
    return float(np.sum((counts - due) ** 2 / due)) / max(due.size - 1, 1)


def _mostly(share: float) -> str:
    """Return a share as a percentage that is 100 only where nothing is left.

    Examples
    --------
    >>> _mostly(0.97), _mostly(0.9961), _mostly(0.99996), _mostly(1.0)
    ('97 %', '99.6 %', '99.9 %', '100 %')
    """
    return f"{100 * share:.0f} %" if share < 0.99 or share == 1.0 else f"{math.floor(1000 * share) / 10} %"


def _notes(
    sigma: Volatility, fits: list[Intensity], sample: dict[str, Any], settings: dict[str, Any]
) -> list[str]:
    notes = [sigma.reason] if sigma.reason else []
    notes += [f"{fit.side}: not identified: {fit.reason}" for fit in fits[:2] if fit.reason]
    if fits[2].identified and not (fits[0].identified and fits[1].identified):
        notes.append("both sides pooled are identified: models with one A and k for both sides can be built")
    if sample["one_tick_share"] >= ONE_TICK_SHARE:
        notes.append(
            f"the spread is one tick {_mostly(sample['one_tick_share'])} of the time: prices there do not "
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
    if inside := sample.get("inside_touch", 0):
        notes.append(f"{inside} market orders trade inside the spread before them and are left out")
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
