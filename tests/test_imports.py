"""What an import costs, counted in modules: no clock is asked."""

import subprocess
import sys

import pytest

HEAVY = ("scipy.stats", "matplotlib", "bokeh", "click", "rich", "pandas")


def loaded(code):
    """Names of the modules that a fresh interpreter holds after the code, less those it starts with."""
    told = "import sys; before = set(sys.modules)\n" + code + "\nprint(*sorted(set(sys.modules) - before))"
    return subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True
    ).stdout.split()


def heavy(modules):
    return {name for name in modules if name.startswith(HEAVY)}


def test_importing_mmcore_loads_less_than_importing_numpy():
    ours, numpy = loaded("import mmcore"), loaded("import numpy")
    assert [name for name in ours if name.startswith(("mmcore", "numpy", "scipy"))] == ["mmcore"]
    assert len(ours) <= 1.3 * len(numpy)


def test_no_public_name_loads_what_is_heavy():
    modules = loaded("import mmcore\nfor name in mmcore.__all__: getattr(mmcore, name)")
    assert "mmcore.inventory_control" in modules  # the loop did look
    assert heavy(modules) == set()


@pytest.mark.parametrize(
    "use",
    [
        "mm.eoq(1, 1, 1), mm.rebalance_band(1, 1, capital_charge=1), mm.wagner_whitin([1, 2], 1, 1)",
        "mm.newsvendor(1, 9, mm.Demand.gamma(4, 2)), mm.optimal_s_S(1, 9, 5, mm.Demand.poisson(4))",
        "mm.optimal_reorder_quantity(1, 9, 5, 4, 1, std=2)",
        "mm.inventory_control.finite_horizon(3, 1, 9, 5, mm.Demand.normal(10, 2))",
        "mm.inventory_control.periodic_review(1, 4, mm.Demand.poisson(2), lead_time=2)",
        "mm.kelly([0.1], [[0.1]]), mm.volatility_limit(1, 1, 1)",
        "mm.efficient_frontier([[2.0, 0.0], [0.0, 1.0]], [1.0, 2.0])",
        "mm.AlmgrenChriss(100, 600, 10, 2.0, temporary=5.0, risk_aversion=1e-4).holdings",
    ],
)
def test_sizing_never_loads_what_is_heavy(use):
    assert heavy(loaded(f"import mmcore as mm\n{use}")) == set()


def test_portfolios_load_what_optimises_where_they_have_use_for_it():
    modules = loaded(
        "import mmcore as mm\n"
        "mm.mean_variance([[2.0, 0.0], [0.0, 1.0]], [1.0, 2.0])\n"
        "mm.efficient_frontier([[2.0, 0.0], [0.0, 1.0]], [1.0, 2.0])"
    )
    assert "mmcore.portfolio.descent" in modules
    assert "scipy.optimize" not in modules
