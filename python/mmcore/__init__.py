"""Quoting core for market makers."""

from pathlib import Path as _Path

from .book import FILL, Book, Position, Snapshot, Status
from .calibration import Calibration, calibrate
from .events import Events, Quotes, Trades
from .feeds import load
from .instruments import Currency, Instrument
from .models import (
    AvellanedaStoikov,
    CarteaJaimungal,
    GueantLehalleFernandezTapia,
    GueantLehalleFernandezTapiaClosedForm,
)
from .quoting import Affine, Explanation, Limits, Obligations, Policy, Quote, QuoteBuffer, Quoter, Table, Why
from .replaying import replay, run
from .results import Result
from .simulation import SimulatedMarket, simulate

__all__ = [
    "FILL",
    "Affine",
    "AvellanedaStoikov",
    "Book",
    "Calibration",
    "CarteaJaimungal",
    "Currency",
    "Events",
    "Explanation",
    "GueantLehalleFernandezTapia",
    "GueantLehalleFernandezTapiaClosedForm",
    "Instrument",
    "Limits",
    "Obligations",
    "Policy",
    "Position",
    "Quote",
    "QuoteBuffer",
    "Quoter",
    "Quotes",
    "Result",
    "SimulatedMarket",
    "Snapshot",
    "Status",
    "Table",
    "Trades",
    "Why",
    "calibrate",
    "get_include",
    "load",
    "replay",
    "run",
    "simulate",
]

__version__ = "0.1.0"


def get_include() -> str:
    """Directory to pass to a C compiler: it holds ``mmcore/*.h``.

    Examples
    --------
    >>> import mmcore
    >>> mmcore.get_include().endswith("include")
    True
    """
    here = _Path(__file__).resolve().parent
    installed = here / "include"
    return str(installed if installed.is_dir() else here.parents[1] / "include")
