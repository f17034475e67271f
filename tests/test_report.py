"""The report: one file, no requests, nobody else's markup, and figures that are the result's own."""

import base64
import copy
import dataclasses
import itertools
import json
import math
import re
import sys
import zlib
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import mmcore as mm
from mmcore import report
from mmcore.errors import InvalidArgument, MissingExtra
from mmcore.explaining import explanations as explained
from mmcore.report import charts, contents, explanations, numbers, parameters
from mmcore.report.thinning import thin
from mmcore.results import Markout

pytest.importorskip("bokeh")

HOSTILE = "</script><img src=x onerror=alert(1)>&\"'"


class Page(HTMLParser):
    """What a browser would see: elements with attributes, and the texts of those with a class."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.scripts: dict[str, str] = {}
        self.styles: list[str] = []
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        element = (tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in ("meta", "path", "circle"):
            self._open.append(element)

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        if not self._open:
            return
        tag, attributes = self._open[-1]
        if tag == "script":
            self.scripts[attributes.get("id", str(len(self.scripts)))] = data
        elif tag == "style":
            self.styles.append(data)
        elif data.strip():
            for name in [tag, *attributes.get("class", "").split()]:
                self.texts.setdefault(name, []).append(data.strip())


@pytest.fixture(scope="module")
def events():
    return mm.SimulatedMarket(duration=900.0, seed=7).events()


@pytest.fixture(scope="module")
def result(events):
    return mm.run(events)


@pytest.fixture(scope="module")
def written(result, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    result.report(path)
    return path


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text(encoding="utf-8"))


def replay(events, depth=2.0, **arguments):
    return mm.replay(events, mm.Quoter(mm.Affine(base=(depth, depth), slope=0.0, q_max=20.0)), **arguments)


def drawn(page, table, column):
    """Decode one embedded column, independently of page.js."""
    packed = json.loads(page.scripts["page-data"])["tables"][table]["columns"][column]
    whole = np.frombuffer(base64.b64decode(packed["data"]), "<i4").astype(float)
    whole[whole == -(2**31)] = np.nan
    return packed["offset"] + packed["scale"] * whole


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form", "audio", "video")
        assert not {"src", "href", "srcset", "action", "data", "poster", "background"} & attributes.keys(), (
            tag
        )
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
    for style in page.styles:
        assert "url(" not in style
        assert "@import" not in style


def test_the_page_forbids_itself_every_request(page):
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none';")
    assert "http" not in policies[0]
    assert "unsafe-eval" not in policies[0]


def test_names_are_text_never_markup(events, tmp_path):
    named = mm.Events(events.instrument, events.kind, events.quotes, events.trades, name=HOSTILE)
    path = tmp_path / "hostile.html"
    replay(named).report(path)
    page = Page(path.read_text(encoding="utf-8"))
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert any(HOSTILE in text for text in page.texts["sub"])
    for text in (page.scripts["page-data"], page.scripts["charts-data"]):
        assert "<" not in text
        json.loads(text)


def test_headline_figures_are_the_books_and_add_up_on_the_page(result, page):
    values = {}
    for tile in contents.tiles(result):
        values[tile.label] = tile.value
        assert tile.value in page.texts["dd"] + page.texts.get("good", []) + page.texts.get("bad", [])
    net, spread, inventory, fees = (
        Decimal(values[name].replace(",", "").replace("−", "-"))
        for name in ("Net P&L", "Spread captured", "Inventory revaluation", "Fees")
    )
    a = result.attribution
    assert (net, spread, inventory, fees) == (a.total, a.spread, a.inventory, a.fees)
    assert net == spread + inventory + fees
    assert values["Unexplained"] == "0.00"
    assert values["Fills"] == f"{len(result.fills):,}"


def test_a_rounded_half_is_shown_in_full():
    # -25.645 shown with two decimals is -25.64, and no longer the sum of 24.32 and -49.97.
    assert numbers.money(Decimal("-25.645"), 3) == "−25.645"
    assert numbers.money(Decimal("1E-8")) == "0.00000001"


@pytest.mark.parametrize(
    ("arguments", "label"), [({}, "out-of-sample"), ({"train": 1.0}, "in-sample"), (None, "fixed parameters")]
)
def test_the_sample_stands_beside_the_title(events, arguments, label, tmp_path):
    outcome = replay(events) if arguments is None else mm.run(events, **arguments)
    assert outcome.sample == label
    outcome.report(tmp_path / "r.html")
    page = Page((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert page.texts["sample"] == [label]
    assert label in page.texts["title"][0]
    if label == "in-sample":
        assert outcome.sample_note in page.texts["li"]


def test_calibration_notes_come_first(result):
    note = "one tick wide: the continuous model does not describe it"
    warned = copy.copy(result)
    warned.calibration = dataclasses.replace(result.calibration, notes=[note])
    assert contents.notes(warned)[0] == f"Calibration: {note}."


def test_charts_and_tables_speak_to_those_who_do_not_see_them(page):
    pictures = [a for _, a in page.elements if a.get("role") == "img"]
    assert len(pictures) >= 8
    assert all(len(a["aria-label"]) > 20 for a in pictures)
    assert all(a.get("scope") for tag, a in page.elements if tag == "th")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    html = next(a for tag, a in page.elements if tag == "html")
    assert html["lang"] == "en"


def test_embedded_columns_are_exact(result, page):
    tick = float(result.instrument.tick)
    d = result.decisions
    for side in ("bid", "ask"):
        expected = np.where(d[f"{side}_size"] > 0, d[side] * tick, np.nan)
        np.testing.assert_allclose(drawn(page, "quotes", side)[:-1], expected, rtol=1e-14)
    path = result.pnl_path
    for name, column in (
        ("spread", "spread"),
        ("revaluation", "inventory"),
        ("fees", "fees"),
        ("total", "total"),
    ):
        reach = np.ptp(path[column])
        np.testing.assert_allclose(drawn(page, "pnl", name), path[column], rtol=0, atol=reach / 2**31 + 1e-12)
    np.testing.assert_array_equal(drawn(page, "inventory", "inventory")[:-1], result.inventory_path[1])
    buys = result.fills["qty"] > 0
    np.testing.assert_array_equal(drawn(page, "buys", "lots"), result.fills["qty"][buys])
    start = json.loads(page.scripts["page-data"])["start"]
    time = drawn(page, "quotes", "t") + start
    ends = np.append(d["live_time"], result.totals.end_time)  # the last quote is drawn to its end
    assert np.all(np.abs(time - ends / 1e6) < 0.01)  # ms


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e-8])
def test_packed_integers_keep_every_digit_and_absence(scale):
    values = np.array([617_000.0, np.nan, 617_001.0, 617_000.0 + 2**31 - 3])
    packed = charts.Table("x", np.arange(4), {"y": (values, scale)}).pack(0)["columns"]["y"]
    whole = np.frombuffer(base64.b64decode(packed["data"]), "<i4").astype(np.int64)
    assert whole[1] == -(2**31)
    assert packed["scale"] == scale
    assert (whole[[0, 2, 3]] == [0, 1, 2**31 - 3]).all()


def test_long_tables_are_thinned_and_keep_their_extremes(monkeypatch):
    monkeypatch.setattr(charts, "MAX_ROWS", 1000)
    rng = np.random.default_rng(5)
    values = np.cumsum(rng.integers(-3, 4, 50_000)).astype(float)
    table = charts.Table("x", np.arange(50_000) * 10**6, {"y": (values, 1.0)}).pack(0)
    assert 500 < table["rows"] <= 1000
    y = (
        np.frombuffer(base64.b64decode(table["columns"]["y"]["data"]), "<i4")
        + table["columns"]["y"]["offset"]
    )
    assert (y.min(), y.max(), y[0], y[-1]) == (values.min(), values.max(), values[0], values[-1])


@given(
    st.lists(st.integers(0, 30), min_size=2, max_size=300),
    st.integers(1, 20),
    st.integers(1, 40),
    st.randoms(use_true_random=False),
)
def test_thinning_draws_the_same_envelope(gaps, buckets, piece, random):
    time = np.cumsum(gaps)
    values = np.array([random.choice([float(random.randint(-9, 9)), np.nan]) for _ in gaps])
    kept = thin(time, [values], buckets)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmcore.events._ROWS", piece)
        assert thin(time, [values], buckets).tolist() == kept.tolist()
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == len(time) - 1
    if len(time) <= 2 * buckets or time[0] == time[-1]:
        assert len(kept) == len(time)
        return
    assert len(kept) <= 4 * buckets
    edges = [int(time[0] + (time[-1] - time[0]) * i / buckets) for i in range(1, buckets)]
    slices = np.searchsorted(np.sort(edges), time, side="right")
    for s in np.unique(slices):
        rows = np.flatnonzero(slices == s)
        mine = kept[np.isin(kept, rows)]
        assert mine[0] == rows[0]
        assert mine[-1] == rows[-1]
        if not np.isnan(values[rows]).all():
            assert np.nanmin(values[mine]) == np.nanmin(values[rows])
            assert np.nanmax(values[mine]) == np.nanmax(values[rows])


def test_a_replay_with_orders_shows_what_stood_its_messages_and_their_lives(events, tmp_path):
    outcome = replay(events, orders={"hysteresis": 1, "max_exposure": 5}, latency=0.3)
    outcome.report(tmp_path / "orders.html")
    page = Page((tmp_path / "orders.html").read_text(encoding="utf-8"))
    charts_drawn = {a["id"] for _, a in page.elements if a.get("role") == "img"}
    assert {"chart-messages", "chart-life"} <= charts_drawn
    assert drawn(page, "messages", "sent")[:-1].sum() == outcome.messages
    counts = outcome.message_counts
    assert counts.rejected["amend"] + counts.rejected["new"] > 0
    for number in (counts.new, counts.amend, counts.cancel, *counts.rejected.values()):
        assert numbers.count(number) in page.texts["td"]
    assert any(str(outcome.order_life) in text for text in page.texts["small"])
    time = drawn(page, "quotes", "t") * 1e6 + json.loads(page.scripts["page-data"])["start"] * 1e6
    bid = drawn(page, "quotes", "bid") / float(outcome.instrument.tick)
    stood = outcome.standing
    for row in range(0, len(time) - 1, 11):
        moment = (time[row] + time[row + 1]) / 2
        prices = stood.price[(stood.side == 0) & (stood.start < moment) & (stood.end > moment)]
        assert bid[row] == pytest.approx(prices.max()) if len(prices) else np.isnan(bid[row])


def test_a_replay_without_fills_has_a_report(events, tmp_path):
    outcome = replay(events, depth=10_000.0)
    assert len(outcome.fills) == 0
    outcome.report(tmp_path / "empty.html")
    page = Page((tmp_path / "empty.html").read_text(encoding="utf-8"))
    assert "nothing was filled" in page.texts["verdict"][0]


def test_every_setting_is_explained_and_shown_without_python(result):
    rows = contents.settings_table(result).rows
    assert {row[0] for row in rows} >= set(result.settings)
    for name, value, meaning in rows:
        assert meaning, name
        assert not re.search(r"None|\w\(|\w=", value + meaning), (value, meaning)


def test_an_optimistic_replay_says_so(events):
    assert any("optimistic bound" in note for note in contents.notes(replay(events, fill="touch")))


def test_the_bound_stands_beside_the_result(result, page):
    cells = page.texts["td"]
    places = contents.places(result)
    for outcome in (result, result.optimistic):
        assert numbers.money(outcome.attribution.total, places, sign=True) in cells
        assert numbers.count(len(outcome.fills)) in cells


def renderer(chart, name):
    """Return the columns of one renderer of a chart, and its glyph."""
    (found,) = (r for r in chart.figure.renderers if r.name == name)
    return found.data_source.data, found.glyph


def test_markouts_without_an_interval_do_not_set_the_scale():
    nan = math.nan
    sure = Markout(1.0, 50, 0, 2.0, 1.0, 3.0, 9)
    few = Markout(60.0, 2, 48, -500.0, nan, nan, 2)
    none = Markout(300.0, 0, 50, nan, nan, nan, 0)
    rows = {"all": (sure, few, none), "bid": (sure, few, none), "ask": (sure, sure, none)}
    chart = charts.markout_chart(charts.Canvas(0, 10**9), rows)
    low, high = chart.figure.y_range.start, chart.figure.y_range.end
    assert -1 < low < 0
    assert 3 < high < 4
    data, glyph = renderer(chart, "markout-all-few")
    assert data["mean"].tolist()[0] == -500  # the tooltip tells it
    assert low < data["y"][0] < 0  # drawn at the edge
    assert glyph.fill_color is None
    assert renderer(chart, "markout-all")[0]["mean"].tolist() == [2.0]
    only_few = charts.markout_chart(charts.Canvas(0, 10**9), dict.fromkeys(rows, (few, few)))
    assert only_few.figure.y_range.start < -500
    assert charts.markout_chart(charts.Canvas(0, 10**9), dict.fromkeys(rows, (none,)))


def test_rates_from_a_few_fills_do_not_set_the_scale():
    columns = {
        "depth": [1.0, 2.0, 3.0], "rate": [0.5, 0.2, 1600.0], "low": [0.4, 0.1, 40.0],
        "high": [0.6, 0.3, 9000.0], "fitted": [0.5, 0.3, 0.2], "assumed": [0.6, 0.4, 0.3],
        "fills": [100, 40, 1], "exposure": [200.0, 200.0, 6e-4], "sure": [True, True, False],
    }  # fmt: skip
    chart = charts.intensity_chart(charts.Canvas(0, 10**9), "realised", "", "", [("Bid", "bid", columns)])
    low, high = chart.figure.y_range.start, chart.figure.y_range.end
    assert (low, high) == pytest.approx((0.1 / 1.15, 0.6 * 1.15))
    data, glyph = renderer(chart, "realised-bid-few")
    assert (data["rate"].tolist(), data["exposure"].tolist()) == ([1600.0], [6e-4])
    assert low < data["y"][0] < high
    assert glyph.fill_color is None
    assert renderer(chart, "realised-bid")[0]["y"].tolist() == [0.5, 0.2]


def test_without_bokeh_the_error_names_the_extra_and_nothing_is_written(result, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "bokeh.document", None)
    with pytest.raises(MissingExtra, match=r"mmcore-quoting\[report\]"):
        result.report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_a_report_that_fails_leaves_the_old_one(result, monkeypatch, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("<!DOCTYPE html>yesterday")

    def broken(_):
        raise RuntimeError("half way")

    monkeypatch.setattr(report, "page", broken)
    with pytest.raises(RuntimeError, match="half way"):
        report.write_report(result, path)
    assert [p.name for p in Path(tmp_path).iterdir()] == ["report.html"]
    assert path.read_text() == "<!DOCTYPE html>yesterday"


def test_a_page_takes_the_place_of_a_page_alone(result, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", lambda _: "<!doctype html>today")
    page, empty, data, link = (tmp_path / name for name in ("page", "empty", "data.csv", "link"))
    page.write_text("<!DOCTYPE html>yesterday")
    empty.touch()
    data.write_text("time,bid,ask\n")
    link.symlink_to(data)
    for path in (page, empty):
        result.report(path)
        assert path.read_text() == "<!doctype html>today"
    for path in (data, link):
        with pytest.raises(
            InvalidArgument, match="path must be a new file or an HTML page: delete what is there"
        ):
            result.report(path)
        assert data.read_text() == "time,bid,ask\n"


def test_a_folder_is_no_place_for_a_report(result, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "page", None)  # refused before the page is made
    for place, allowed in (
        (tmp_path, "a file, not a folder"),
        (tmp_path / "no" / "r", "in a folder that exists"),
    ):
        with pytest.raises(InvalidArgument, match=f"path must be {allowed}, got"):
            result.report(place)
    assert list(tmp_path.iterdir()) == []


def test_contrast_of_lines_and_text():
    # Web Content Accessibility Guidelines 2.1: 4.5:1 for text, 3:1 for graphics.
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one, other):
        high, low = sorted((luminance(one), luminance(other)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for name, pair in charts.COLOURS.items():
        for colour, background in zip(pair, ("#ffffff", "#14181d"), strict=True):
            if name not in ("grid", "axis", "touch"):
                assert contrast(colour, background) >= 4.5, (name, colour)


# ---- why the quotes were there


def columns(packed):
    """Decode the embedded explanations, independently of page.js."""
    octets = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8)
    planes = octets.reshape(len(packed["columns"]), 8, packed["rows"])
    values = np.ascontiguousarray(planes.transpose(0, 2, 1)).view("<f8")[..., 0]
    return dict(zip(packed["columns"], values, strict=True))


def test_every_decision_is_explained_with_the_quoters_own_numbers(result, page):
    packed = json.loads(page.scripts["page-data"])["why"]
    table = columns(packed)
    d = result.decisions
    assert packed["rows"] == packed["of"] == len(d)
    np.testing.assert_array_equal(table["inventory"], d["inventory"])
    start = result.totals.first_time
    assert np.abs(table["t"] * 1e6 - (d["live_time"] - start)).max() < 1  # ns
    for row, why in explained(result, np.arange(0, len(d), 29)):
        for side, terms in (("bid", why.bid), ("ask", why.ask)):
            for stage in packed["stages"]:
                assert table[stage + side][row] == pytest.approx(
                    terms.get(stage, math.nan), abs=0, nan_ok=True
                )
            assert all(term == 0 for stage, term in terms.items() if stage not in packed["stages"])
        case = packed["cases"][int(table["case"][row])]
        assert case == {
            "reasons": list(why.reasons),
            "sizes": [why.quote.bid_size, why.quote.ask_size],
        }
    for side, sign in (("bid", 1), ("ask", -1)):
        filled = np.unique(result.fill_context["decision"][result.fills["qty"] * sign > 0])
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(table[f"filled{side}"])), filled)


def test_the_policies_in_force_are_told_with_their_parameters(result, page):
    packed = json.loads(page.scripts["page-data"])["why"]
    policy = columns(packed)["policy"].astype(int)
    assert len(np.unique(policy)) > 3
    for row in np.unique(policy):
        since, values = packed["policies"]["rows"][str(row)]
        if row < 0:
            assert since is None
            continue
        known = result.parameters[row]
        assert since == pytest.approx((known["time"] - result.totals.first_time) / 1e6)
        assert values[0] == pytest.approx([known["sigma"]], rel=1e-4)
        assert values[1] == pytest.approx(known["A"].tolist(), rel=1e-4)


def test_of_many_decisions_those_behind_fills_and_even_ones_are_explained(result, monkeypatch):
    monkeypatch.setattr(explanations, "MOMENTS", 120)
    rows = explanations.chosen(result)
    filled = np.unique(result.fill_context["decision"])
    assert len(filled) > 60
    assert 120 <= len(rows) <= 240
    assert (np.diff(rows) > 0).all()
    assert np.isin(rows, filled).sum() >= min(len(filled), 120)
    assert np.diff(rows).max() < len(result.decisions) / 20
    packed = explanations.embedded(result)
    assert (packed["rows"], packed["of"]) == (len(rows), len(result.decisions))


def test_every_stage_has_its_words():
    from mmcore.quoting import STAGES

    assert tuple(explanations.MEANINGS) == STAGES


# ---- parameters that followed the market


def test_parameter_paths_are_what_was_in_force(result, page):
    done = result.parameters[result.parameters["status"] == 0]
    assert len(done) > 5
    found = {path.name: path for path in parameters.paths(result)}
    assert list(found) == ["sigma", "A", "k", "implied"]
    sigma = found["sigma"].sides[""]
    assert sigma.value[1:-1].tolist() == done["sigma"].tolist()
    assert sigma.value[0] == result.model.sigma
    assert math.isnan(sigma.low[0])
    z = 1.959963984540054
    for i, side in enumerate(("bid", "ask")):
        a, k = found["A"].sides[side], found["k"].sides[side]
        assert a.value[1:-1].tolist() == done["A"][:, i].tolist()
        error = done["A_error"][:, i] / done["A"][:, i]
        np.testing.assert_allclose(np.log(a.high[1:-1] / a.low[1:-1]), 2 * z * error, rtol=1e-9)
        np.testing.assert_allclose(k.high[1:-1] - k.low[1:-1], 2 * z * done["k_error"][:, i], rtol=1e-9)
    for name, path in found.items():
        assert len(path.time) == len(next(iter(path.sides.values())).value)
        assert (np.diff(path.time) >= 0).all()
        for side, steps in path.sides.items():
            np.testing.assert_allclose(drawn(page, name, f"value{side}"), steps.value, rtol=1e-6)


def test_the_implied_half_spread_is_the_models_and_its_band_that_of_random_draws(result):
    done = result.parameters[result.parameters["status"] == 0]
    implied = parameters.paths(result)[-1].sides[""]
    now = done[len(done) // 2]
    at = 1 + len(done) // 2

    def half(sigma, a, k):
        return result.model.replace(sigma=sigma, A=tuple(a), k=tuple(k)).half_spread

    assert implied.value[at] == pytest.approx(half(now["sigma"], now["A"], now["k"]), rel=1e-10)
    rng = np.random.default_rng(5)
    sides = [
        rng.multivariate_normal(
            [now["A"][i], now["k"][i]],
            [[now["A_error"][i] ** 2, now["covariance"][i]], [now["covariance"][i], now["k_error"][i] ** 2]],
            800,
        )
        for i in (0, 1)
    ]
    sigma = rng.normal(now["sigma"], now["sigma_error"], 800)
    found = [half(s, (b[0], a[0]), (b[1], a[1])) for s, b, a in zip(sigma, *sides, strict=True)]
    error = (implied.high[at] - implied.low[at]) / (2 * 1.959963984540054)
    # Of 800 draws a standard deviation has a relative error of 2.5 %; the rest is curvature.
    assert error == pytest.approx(np.std(found, ddof=1), rel=0.12)


def test_many_recalibrations_are_made_anew_at_even_ones(result, monkeypatch):
    monkeypatch.setattr(parameters, "SOLVES", 4)
    whole, few = parameters.paths(result)[0], parameters.paths(result)[-1]
    assert len(few.time) == 4 + 2
    assert np.isin(few.time, whole.time).all()


def test_without_recalibration_there_are_no_paths(events):
    fixed = replay(events)
    assert parameters.paths(fixed) == []
    assert parameters.charts(charts.Canvas(0, 10**9), fixed) == ([], [])


@pytest.mark.parametrize(("factor", "axis"), [(1.05, "linear"), (1.3, "log")])
def test_an_intensity_has_decades_where_it_spans_one(factor, axis):
    """Within a decade a logarithmic axis would have one number, or none."""
    steps = parameters.Steps(*(np.geomspace(1.0, factor**10, 11) * wide for wide in (1.0, 0.9, 1.1)))
    path = parameters.Path("A", np.arange(11), {"bid": steps})
    assert parameters.extent(path) == pytest.approx((0.9, 1.1 * factor**10))
    assert parameters.scale(path) == axis
    assert parameters.scale(dataclasses.replace(path, name="k")) == "linear"
    unknown = parameters.Steps(np.ones(2), *np.full((2, 2), np.nan))
    assert parameters.scale(dataclasses.replace(path, sides={"bid": unknown})) == "linear"


def test_the_share_that_was_filled_says_of_what(events):
    """Of quotes that a decision each replaced, or of orders that stayed: the two shares are not alike."""
    free, sent = replay(events), replay(events, orders={"hysteresis": 1})
    labels = [[tile.label for tile in contents.tiles(r)] for r in (free, sent)]
    assert "Quotes filled" in labels[0]
    assert "Orders filled" in labels[1]
    assert [contents.fill_rate_table(r).head[0] for r in (free, sent)] == ["Quotes", "Orders"]


def test_a_feed_without_trades_is_told_and_its_axis_of_money_is_readable(events):
    quiet = mm.Events(events.instrument, None, events.quotes, mm.Trades(local_time=[], price=[], size=[]))
    result = replay(quiet)
    (note,) = contents.notes(result)
    assert note.startswith("This feed has no trades")
    # Around nothing Bokeh shows -1 to 1 by halves, which without decimals would be 1 1 0 0.
    assert report._money_places(result) == 1


def test_the_span_on_the_page_is_that_of_the_data(result):
    """Whole windows end before the last quote, at which the inventory is marked; the zoom shows that end."""
    t = result.totals
    assert t.end_time < t.last_time
    assert numbers.stamps(t.first_time, t.last_time) in report._subtitle(result)
    assert f"in {numbers.span(t.last_time - t.first_time)}:" in contents.verdict(result)


def test_nothing_depends_on_how_the_events_are_read(tmp_path, monkeypatch):
    events = mm.SimulatedMarket(duration=900.0, seed=6).events()
    monkeypatch.setattr(charts, "MAX_ROWS", 3000)  # so that the market is thinned

    def told():
        result = mm.run(events, maker_fee="0.00001", latency=0.05)
        result.report(tmp_path / "report.html")
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        return result.summary(), json.loads(page.scripts["page-data"])

    whole = told()
    assert whole[1]["tables"]["market"]["rows"] < 3000 < len(events.quotes) / 2
    monkeypatch.setattr("mmcore.events._ROWS", 501)
    assert told() == whole
