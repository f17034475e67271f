"""The static plots: each draws the result's own numbers on the axes it is given."""

import sys

import numpy as np
import pytest

import mmcore as mm
from mmcore import plots
from mmcore.errors import InvalidArgument, MissingExtra, NotIdentified
from mmcore.plots import PLOTS, plot_result

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")


@pytest.fixture(scope="module")
def result():
    return mm.run(mm.SimulatedMarket(duration=900.0, seed=7).events(), orders={"hysteresis": 1})


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
    for panel in ax.child_axes or [ax]:
        assert panel.has_data()
        assert panel.get_ylabel() or panel.get_title(loc="left")
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


def test_every_fill_is_marked_where_they_are_few(ax):
    result = mm.replay(mm.SimulatedMarket(duration=90.0, seed=7).events(), mm.Affine(base=2.0, q_max=10))
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


def test_without_orders_there_are_no_messages_to_draw(result, ax):
    plain = mm.replay(result.events, mm.Affine(base=3.0, q_max=5))
    for what in ("messages", "life"):
        with pytest.raises(NotIdentified, match="without orders"):
            plain.plot(what, ax=ax)


def test_every_message_is_in_its_minute_and_every_order_in_the_histogram(result, ax):
    result.plot("messages", ax=ax)
    (line,) = ax.get_lines()
    assert line.get_ydata()[:-1].sum() == result.messages
    ax.clear()
    result.plot("life", ax=ax)
    assert sum(bar.get_height() for bar in ax.patches) == len(result.order_life.seconds)


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


# ---- everything else that people look at

MODEL = mm.GueantLehalleFernandezTapia(sigma=0.3, A=0.9, k=0.3, gamma=0.01, q_max=20)
FINITE = MODEL.replace(horizon=600.0)


@pytest.fixture(scope="module")
def window():
    recalibrate = mm.Recalibrate(every=10.0, window=600.0, warmup=300.0)
    recalibrate.observe(mm.SimulatedMarket(duration=600.0, seed=1).events())
    return recalibrate


@pytest.fixture(scope="module")
def book():
    usdt = mm.Currency("USDT")
    book = mm.Book(
        [
            mm.Instrument("BTCUSDT", tick="0.1", lot="0.001", currency=usdt),
            mm.Instrument("ETHUSDT", tick="0.01", lot="0.01", currency=usdt),
        ]
    )
    book.fill("BTCUSDT", 250, 617_001, fee=1_000_000, id="a")
    book.fill("BTCUSDT", -100, 617_010, id="b")
    book.mark("BTCUSDT", 617_005)
    return book


def explanation():
    quoter = mm.Quoter(MODEL, obligations=mm.Obligations(max_spread=6))
    quoter.volatility_scale = 1.5
    return quoter.explain(10_000.5, 3, bid=10_000, ask=10_001, shift=0.7)


def shown(result, window, book):
    """Everything with a picture, by name."""
    return {
        "table": MODEL.policy(),
        "table over time": FINITE.policy(),
        "affine": mm.Affine(base=1.5, slope=0.1),
        "model": MODEL,
        "quote": mm.Quoter(MODEL).quote(10_000.5, 3),
        "absent quote": mm.Quoter(MODEL).quote(float("nan"), 3),
        "explanation": explanation(),
        "absent explanation": mm.Quoter(MODEL).explain(float("nan"), 3),
        "law": MODEL.inventory_law(),
        "book": book,
        "position": book["BTCUSDT"],
        "empty position": book["ETHUSDT"],
        "calibration": result.calibration,
        "window": window,
        "estimate": window.estimate(window.time),
        "comparison": mm.compare(result, result),
    }


NAMES = ["table", "table over time", "affine", "model", "quote", "absent quote", "explanation",
         "absent explanation", "law", "book", "position", "empty position", "calibration", "window",
         "estimate", "comparison"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_what_people_look_at_draws_on_the_axes_it_is_given(result, window, book, ax, name):
    from matplotlib import pyplot as plt

    before = plt.get_fignums()
    assert shown(result, window, book)[name].plot(ax) is ax
    assert plt.get_fignums() == before
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("name", NAMES)
def test_what_people_look_at_is_html_in_a_notebook_and_plain_without_matplotlib(
    result, window, book, name, monkeypatch
):
    thing = shown(result, window, book)[name]
    assert "<table>" in thing._repr_html_()
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtra, match=r"mmcore-quoting\[plot\]"):
        thing.plot()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_a_policy_shows_its_depths(ax):
    policy = MODEL.policy()
    policy.plot(ax)
    inventory = np.arange(-20.0, 21.0)
    for side, depth in zip(("bid", "ask"), policy.depths_batch(inventory), strict=True):
        np.testing.assert_array_equal(lines(ax)[side].get_xdata(), inventory)
        np.testing.assert_array_equal(lines(ax)[side].get_ydata(), depth)


def test_a_policy_that_changes_with_time_shows_it(ax):
    policy = FINITE.policy()
    policy.plot(ax)
    drawn = lines(ax)
    assert {"bid, 0 s left", "bid, stationary"} < drawn.keys()
    np.testing.assert_array_equal(
        drawn["ask, 0 s left"].get_ydata(), policy.depths_batch(np.arange(-20.0, 21.0), 0.0)[1]
    )
    ax.clear()
    policy.plot(ax, time_left=[2.0, 10.0])
    assert {label for label in lines(ax) if label.startswith("bid")} == {"bid, 2 s left", "bid, 10 s left"}


def test_a_map_shows_one_side_over_time_left_and_inventory(ax):
    policy = FINITE.policy()
    policy.plot(ax, side="ask")
    (mesh,) = ax.collections
    inventory, times = np.arange(-20.0, 21.0), np.linspace(0.0, policy.time_left[-1], 201)
    expected = policy.depths_batch(inventory[:, None], times[None, :])[1]
    np.testing.assert_array_equal(np.ma.filled(mesh.get_array(), np.nan).reshape(expected.shape), expected)
    with pytest.raises(InvalidArgument, match="'bid', 'ask' or None"):
        policy.plot(ax, side="both")
    with pytest.raises(InvalidArgument, match="does not change"):
        MODEL.policy().plot(ax, side="bid")


def test_a_waterfall_ends_at_the_quote(ax):
    why = explanation()
    why.plot(ax)
    for side, price in zip(("bid", "ask"), why.quote, strict=True):
        assert lines(ax)[side].get_xdata()[0] == price - 10_000.5
    steps = sorted(bar.get_width() for bar in ax.patches)
    expected = [
        term
        for terms in (why.bid, why.ask)
        for stage, term in terms.items()
        if stage != "reference" and (why.bid[stage] or why.ask[stage])
    ]
    np.testing.assert_allclose(steps, sorted(expected))


def test_a_ladder_shows_sizes_at_prices(ax):
    quote = mm.Quoter(MODEL).quote(10_000.5, 3)
    quote.plot(ax, bid=10_000, ask=10_001)
    bars = [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in ax.patches]
    assert bars == [(quote.bid, -quote.bid_size), (quote.ask, quote.ask_size)]
    assert {"market bid", "market ask"} < {text.get_text() for text in ax.texts}


def test_the_bars_of_a_law_are_its_shares(ax):
    law = MODEL.inventory_law()
    law.plot(ax)
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(1.0, abs=1e-4)
    low, high = law.interval()
    inside = [bar for bar in ax.patches if low <= bar.get_x() + bar.get_width() / 2 <= high]
    assert sum(bar.get_height() for bar in inside) >= 0.95


def test_a_book_shows_its_money(book, ax):
    book.plot(ax)
    pnl = book["BTCUSDT"].pnl()
    heights = [bar.get_height() for bar in ax.patches]
    for part, sign in (("realised", 1), ("unrealised", 1), ("fees", -1)):
        assert sign * float(pnl[part]) in heights
    assert lines(ax)["net"].get_ydata()[0] == float(pnl["net"])


def test_an_estimates_band_is_that_of_random_draws(window, ax):
    estimate = window.estimate(window.time)
    estimate.plot(ax, max_depth=8.0)
    record = estimate.record()
    rng = np.random.default_rng(3)
    for s, band in enumerate(ax.collections):
        a, k = rng.multivariate_normal(
            [record["A"][s], record["k"][s]],
            [
                [record["A_error"][s] ** 2, record["covariance"][s]],
                [record["covariance"][s], record["k_error"][s] ** 2],
            ],
            20_000,
        ).T
        edge = band.get_paths()[0].vertices
        at = edge[np.isclose(edge[:, 0], 4.0)][:, 1]
        spread = np.std(np.log(a) - 4.0 * k)
        assert np.log(at.max() / at.min()) == pytest.approx(2 * 1.96 * spread, rel=0.03)


def test_a_window_without_data_has_nothing_to_draw():
    with pytest.raises(NotIdentified, match="no data"):
        mm.Recalibrate().plot()


def test_parameters_that_did_not_follow_have_no_path(ax):
    events = mm.SimulatedMarket(duration=60.0, seed=1).events()
    with pytest.raises(NotIdentified, match="recalibrate"):
        mm.replay(events, mm.Affine(base=2.0)).plot("parameters", ax=ax)


def test_dense_fills_become_few_markers_at_their_average(result, ax):
    """They stand for all of the lots, and hide neither the mid nor the quotes."""
    result.plot("mid", ax)
    for markers, mine in zip(ax.collections, (result.fills["qty"] > 0, result.fills["qty"] < 0), strict=True):
        price, time = result.fills["price"][mine], result.fills["receive_time"][mine]
        drawn = np.asarray(markers.get_offsets())
        assert len(price) > len(drawn) == len(markers.get_sizes()) <= 60
        tick = float(result.instrument.tick)
        assert (price.min() * tick - 1e-9 <= drawn[:, 1]).all()
        assert (drawn[:, 1] <= price.max() * tick + 1e-9).all()
        assert markers.get_sizes().max() > markers.get_sizes().min()
        assert np.all(np.diff(drawn[:, 0]) > 0)
        assert drawn[0, 0] >= time[0] / 86_400e9 - 1e-9


def test_markers_are_averages_by_lots():
    n = 400
    rng = np.random.default_rng(3)
    time, price, qty = np.sort(rng.integers(0, 10**12, n)), rng.integers(90, 110, n), rng.integers(1, 9, n)
    at, value, size = plots._merged(time, price, qty)
    slices = np.minimum((time - time[0]) * 60 // (time[-1] - time[0]), 59)
    for i, one in enumerate(np.unique(slices)):
        mine = slices == one
        assert value[i] == pytest.approx(np.average(price[mine], weights=qty[mine]))
        assert at[i] == pytest.approx(np.average(time[mine], weights=qty[mine]), abs=2)
        assert size[i] == pytest.approx(min(12, 4 + (mine.sum() - 1) ** 0.5) ** 2)
    few = plots._merged(time[:9], price[:9], qty[:9])
    assert (few[0].tolist(), few[1].tolist()) == (time[:9].tolist(), price[:9].tolist())


def test_a_frontier_is_drawn_through_its_turning_points(ax):
    covariance = [[0.04, 0.01, 0.0], [0.01, 0.09, 0.02], [0.0, 0.02, 0.16]]
    f = mm.efficient_frontier(covariance, [0.05, 0.08, 0.12])
    assert f.plot(ax, names=["A", "B", "C"]) is ax
    drawn = lines(ax)
    curve = drawn["efficient frontier"]
    np.testing.assert_allclose(drawn["turning points"].get_xydata(), np.column_stack([f.risks, f.returns]))
    between = np.interp(f.returns, curve.get_ydata(), curve.get_xdata())
    np.testing.assert_allclose(between, f.risks, rtol=1e-4)
    np.testing.assert_allclose(drawn["assets"].get_xdata(), [0.2, 0.3, 0.4])
    assert sorted(text.get_text() for text in ax.texts) == ["A", "B", "C"]
    with pytest.raises(InvalidArgument, match="names must be one for each of 3 assets"):
        f.plot(ax, names=["A"])


def test_a_frontier_without_an_end_is_drawn_to_the_highest_asset(ax):
    f = mm.efficient_frontier([[0.04, 0.01], [0.01, 0.09]], [0.05, 0.08], lower=None)
    f.plot(ax)
    assert lines(ax)["efficient frontier"].get_ydata()[-1] == pytest.approx(0.08, rel=1e-12)


def test_points_of_a_frontier_with_costs(ax):
    limits = {"holdings": [0.5, 0.5], "cost": 0.01}
    f = mm.efficient_frontier(
        [[0.04, 0.01], [0.01, 0.09]], [0.05, 0.08], targets=[0.06, 0.065, 0.07], **limits
    )
    f.plot(ax)
    assert lines(ax)["efficient portfolios"].get_ydata().tolist() == f.returns.tolist()
    assert f.at(target_return=0.065).weights == pytest.approx(f.weights[1], abs=1e-12)
    assert f.at(target_risk=float(f.risks[1])).weights == pytest.approx(f.weights[1], abs=1e-9)
    assert f.at(risk_aversion=float(1 / f.risk_tolerance[1])).risk == pytest.approx(f.risks[1], rel=1e-9)
    with pytest.raises(InvalidArgument, match="give one of"):
        f.at()


def test_names_of_a_frontier_do_not_lie_over_each_other():
    """Of sixty assets the most held are named, and all of three are."""
    from matplotlib.figure import Figure

    random = np.random.default_rng(1)
    for n in (3, 60):
        returns = random.normal(0.01, 0.02, n)
        factor = random.normal(size=(n, 4))
        frontier = mm.efficient_frontier(factor @ factor.T + np.diag(random.uniform(1, 3, n)), returns)
        ax = Figure(layout="constrained").subplots()
        frontier.plot(ax, names=[f"asset {i}" for i in range(n)])
        ax.figure.draw_without_rendering()
        boxes = [text.get_window_extent() for text in ax.texts]
        assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
        named = {int(text.get_text().split()[1]) for text in ax.texts}
        assert int(np.argmax(frontier.weights.max(axis=0))) in named
        assert len(named) == 3 if n == 3 else 10 < len(named) < 60


def test_points_of_a_frontier_are_drawn_as_points():
    from matplotlib.figure import Figure

    covariance, returns = np.diag([1.0, 2.0, 3.0]), [0.1, 0.2, 0.3]
    points = mm.efficient_frontier(
        covariance, returns, holdings=[1.0, 0.0, 0.0], cost=0.01, targets=[0.15, 0.2, 0.25]
    )
    ax = points.plot(Figure().subplots())
    drawn = {line.get_label(): line for line in ax.get_lines()}
    assert drawn["efficient portfolios"].get_linestyle() == "None"
    assert "efficient frontier" not in drawn
    assert ax.get_ylabel() == "expected return after costs"
    whole = mm.efficient_frontier(covariance, returns).plot(Figure().subplots())
    assert whole.get_ylabel() == "expected return"
