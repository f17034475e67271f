"""Quoting core for market makers."""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .assumptions import Sensitivity, sensitivity
    from .book import FILL, Book, OpenLot, Position, Snapshot, Status
    from .calibration import Calibration, calibrate
    from .comparing import Comparison, compare
    from .dp import MarketMakingProblem
    from .events import Events, Quotes, Trades
    from .execution import AlmgrenChriss, Schedule, unwind
    from .feeds import load
    from .instruments import Currency, Instrument
    from .inventory import InventoryLaw, inventory_law
    from .inventory_control import (
        Demand,
        eoq,
        newsvendor,
        optimal_reorder_quantity,
        optimal_s_S,
        rebalance_band,
        wagner_whitin,
    )
    from .models import (
        AvellanedaStoikov,
        CarteaJaimungal,
        GueantLehalleFernandezTapia,
        GueantLehalleFernandezTapiaClosedForm,
    )
    from .orders import Action, ActionKind, Held, OpenOrder, Orders, Report, ReportKind
    from .portfolio import (
        Frontier,
        MeanVariance,
        Portfolio,
        efficient_frontier,
        mean_variance,
        target_inventories,
    )
    from .quoting import (
        Affine,
        Explanation,
        FeedAge,
        Limits,
        Obligations,
        Policy,
        Quote,
        QuoteBuffer,
        Quoter,
        Table,
        Why,
    )
    from .replaying import replay, run
    from .results import Result, Results
    from .risk_appetite import RiskAversion, gamma_for
    from .risk_limits import kelly, volatility_limit
    from .rolling import Estimate, Recalibrate
    from .saving import restore, save
    from .sessions import Phase, Sessions
    from .simulation import SimulatedMarket, simulate

__all__ = [
    "FILL",
    "Action",
    "ActionKind",
    "Affine",
    "AlmgrenChriss",
    "AvellanedaStoikov",
    "Book",
    "Calibration",
    "CarteaJaimungal",
    "Comparison",
    "Currency",
    "Demand",
    "Estimate",
    "Events",
    "Explanation",
    "FeedAge",
    "Frontier",
    "GueantLehalleFernandezTapia",
    "GueantLehalleFernandezTapiaClosedForm",
    "Held",
    "Instrument",
    "InventoryLaw",
    "Limits",
    "MarketMakingProblem",
    "MeanVariance",
    "Obligations",
    "OpenLot",
    "OpenOrder",
    "Orders",
    "Phase",
    "Policy",
    "Portfolio",
    "Position",
    "Quote",
    "QuoteBuffer",
    "Quoter",
    "Quotes",
    "Recalibrate",
    "Report",
    "ReportKind",
    "Result",
    "Results",
    "RiskAversion",
    "Schedule",
    "Sensitivity",
    "Sessions",
    "SimulatedMarket",
    "Snapshot",
    "Status",
    "Table",
    "Trades",
    "Why",
    "calibrate",
    "compare",
    "efficient_frontier",
    "eoq",
    "gamma_for",
    "get_cmake_dir",
    "get_include",
    "inventory_law",
    "kelly",
    "load",
    "mean_variance",
    "newsvendor",
    "optimal_reorder_quantity",
    "optimal_s_S",
    "rebalance_band",
    "replay",
    "restore",
    "run",
    "save",
    "sensitivity",
    "simulate",
    "target_inventories",
    "unwind",
    "volatility_limit",
    "wagner_whitin",
]

__version__ = "0.1.0"

# Where each public name lives. Names are imported when they are first used: `import mmcore` costs
# nothing, and `mmcore --help` does not wait for NumPy.
_HOMES = {
    "book": "FILL Book OpenLot Position Snapshot Status",
    "calibration": "Calibration calibrate",
    "comparing": "Comparison compare",
    "dp": "MarketMakingProblem",
    "events": "Events Quotes Trades",
    "execution": "AlmgrenChriss Schedule unwind",
    "feeds": "load",
    "instruments": "Currency Instrument",
    "inventory": "InventoryLaw inventory_law",
    "inventory_control": "Demand eoq newsvendor optimal_reorder_quantity optimal_s_S rebalance_band "
    "wagner_whitin",
    "models": "AvellanedaStoikov CarteaJaimungal GueantLehalleFernandezTapia "
    "GueantLehalleFernandezTapiaClosedForm",
    "orders": "Action ActionKind Held OpenOrder Orders Report ReportKind",
    "portfolio": "Frontier MeanVariance Portfolio efficient_frontier mean_variance target_inventories",
    "quoting": "Affine Explanation FeedAge Limits Obligations Policy Quote QuoteBuffer Quoter Table Why",
    "replaying": "replay run",
    "results": "Result Results",
    "risk_appetite": "RiskAversion gamma_for",
    "risk_limits": "kelly volatility_limit",
    "rolling": "Estimate Recalibrate",
    "saving": "restore save",
    "sessions": "Phase Sessions",
    "assumptions": "Sensitivity sensitivity",
    "simulation": "SimulatedMarket simulate",
}
_HOME = {name: module for module, names in _HOMES.items() for name in names.split()}


if not TYPE_CHECKING:  # type checkers read the imports above instead

    def __getattr__(name: str) -> object:
        if name in _HOME:
            value = getattr(_import_module(f".{_HOME[name]}", __name__), name)
            globals()[name] = value  # the next look-up does not come here
            return value
        if name == "_C_API":  # the capsule that PyCapsule_Import asks for
            return _import_module(".api", __name__)._C_API
        if not name.startswith("_"):
            try:
                return _import_module(f".{name}", __name__)
            except ModuleNotFoundError as error:
                if error.name != f"{__name__}.{name}":
                    raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


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


def get_cmake_dir() -> str:
    """Directory of the CMake package: ``cmake -Dmmcore_DIR=...``, then ``find_package(mmcore CONFIG)``.

    Examples
    --------
    >>> import mmcore
    >>> mmcore.get_cmake_dir().endswith("cmake")
    True
    """
    return str(_Path(__file__).resolve().parent / "cmake")
