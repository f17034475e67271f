"""The static plots: each draws the result's own numbers on the axes it is given."""

import sys

import numpy as np
import pytest

import mmcore as mm
from mmcore.errors import InvalidArgument, MissingExtra, NotIdentified
from mmcore.plots import PLOTS, plot_result

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


@pytest.fixture(scope="module")
def result():
    return mm.run(mm.SimulatedMarket(duration=900.0, seed=7).events())


@pytest.fixture
def ax():
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


@pytest.mark.parametrize("what", PLOTS)
def test_every_plot_draws_on_the_axes_it_is_given(result, ax, what):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    assert result.plot(what, ax=ax) is ax
    assert plt.get_fignums() == before
    assert ax.has_data()
    assert ax.get_ylabel()
    ax.figure.canvas.draw()  # labels and ticks are made only now


def test_without_axes_a_figure_is_made(result):
    from matplotlib import pyplot as plt

    axes = result.plot("inventory")
    assert axes.figure.number in plt.get_fignums()
    plt.close(axes.figure)


def test_the_pnl_lines_end_at_the_attribution(result, ax):
    plot_result(result, "pnl", ax)
    ends = {line.get_label(): line.get_ydata()[-1] for line in ax.get_lines()}
    a = result.attribution
    for label, amount in (
        ("spread captured", a.spread),
        ("inventory revaluation", a.inventory),
        ("fees", a.fees),
        ("net P&L", a.total),
    ):
        assert ends[label] == pytest.approx(float(amount), rel=1e-12, abs=1e-12)


def test_every_fill_is_marked(result, ax):
    plot_result(result, "mid", ax)
    markers = {c.get_label(): c.get_offsets() for c in ax.collections}
    tick = float(result.instrument.tick)
    for label, mine in (("buys", result.fills["qty"] > 0), ("sells", result.fills["qty"] < 0)):
        np.testing.assert_allclose(markers[label][:, 1], result.fills["price"][mine] * tick)


def test_an_unknown_plot_lists_the_known_ones(result):
    with pytest.raises(InvalidArgument, match="'histogram'") as refused:
        result.plot("pie")
    assert refused.value.argument == "what"


def test_given_parameters_have_no_calibration_to_draw(ax):
    events = mm.SimulatedMarket(duration=60.0, seed=1).events()
    outcome = mm.replay(events, mm.Quoter(mm.Affine(base=(2.0, 2.0))))
    with pytest.raises(NotIdentified, match="no calibration"):
        outcome.plot("calibration", ax=ax)


def test_without_matplotlib_the_error_names_the_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtra, match=r"mmcore-quoting\[plot\]"):
        result.plot("pnl")


def test_the_histogram_shows_the_predicted_law(result, ax):
    plot_result(result, "histogram", ax)
    (line,) = ax.get_lines()
    law = result.model.inventory_law()
    assert line.get_xdata().tolist() == law.inventories.tolist()
    assert line.get_ydata() == pytest.approx(law.pmf, rel=1e-9)


def test_without_a_model_nothing_is_predicted(result, ax):
    alone = mm.replay(result.events, mm.Affine(base=3.0, slope=0.1, q_max=5))
    assert alone.inventory_law is None
    alone.plot("histogram", ax=ax)
    assert not ax.get_lines()
