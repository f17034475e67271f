"""The sets of ``facts.json``, each loaded as the README of the data selects its rows."""

import json
from pathlib import Path
from typing import Any

import mmcore as mm

__all__ = ["QUOTED", "TRADED", "WITH_SIDES", "facts", "load"]

WITH_SIDES = ("lobster_amzn", "binance_usdm_ethusdt", "binance_usdm_btcusdt")
"""Sets whose trades say who came."""
TRADED = (*WITH_SIDES, "taq_xxx_20180102", "bitstamp_2015")
"""Sets with trades."""
QUOTED = (*TRADED, "fx_eurusd_2020")
"""All sets."""

_SESSION = (1514903400 * 10**9, 1514926800 * 10**9)  # 14:30 to 21:00 UTC on 2018-01-02, both included


def facts(name: str, shared: Path) -> dict[str, Any]:
    """Return what other code computed from a set."""
    found: dict[str, Any] = json.loads((shared / "data/facts.json").read_text())[name]
    return found


def load(name: str, shared: Path, **options: Any) -> mm.Events:
    """Load a set."""
    data = shared / "data"
    if name == "taq_xxx_20180102":
        events = mm.load(data / "taq_20180102", format="taq", venue="N", **options)
        return events.between(_SESSION[0], _SESSION[1] + 1)
    if name == "fx_eurusd_2020":
        return mm.load(
            data / "fx_quotes/quote_tick_data.csv",
            instrument=mm.Instrument("EURUSD", tick="0.00001"),
            columns={"time": 0, "bid": 1, "ask": 2},
            header=False,
            time_format="%Y%m%d %H%M%S%f",
            **options,
        )
    place = {
        "lobster_amzn": "lobster_amzn",
        "binance_usdm_ethusdt": "binance_usdm/ethusdt_20240808.gz",
        "binance_usdm_btcusdt": "binance_usdm/btcusdt_20240808.gz",
        "bitstamp_2015": "bitstamp_2015/2015-05-01.log.xz",
    }[name]
    return mm.load(data / place, **options)
