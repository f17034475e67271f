"""The report in a real browser, without a network: it opens, paints, zooms, and suits its reader."""

import re
from pathlib import Path

import numpy as np
import pytest

import mmcore as mm

pytest.importorskip("bokeh")

SECOND = 1_000_000_000

# What is on the canvases of each chart, inside Bokeh's shadow roots: how many pixels are drawn, and
# how bright the drawn ones are on average (0 to 255).
INK = """
Object.fromEntries([...document.querySelectorAll(".chart")].map((chart) => {
  const canvases = [];
  const walk = (node) => {
    for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
      if (child.nodeName === "CANVAS" && child.width) canvases.push(child);
      walk(child);
    }
  };
  walk(chart);
  let [drawn, bright] = [0, 0];
  for (const canvas of canvases) {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] > 128) {
        drawn++;
        bright += (data[i] + data[i + 1] + data[i + 2]) / 3;
      }
    }
  }
  return [chart.id, { drawn, bright: bright / drawn }];
}))
"""
MODEL = "Bokeh.documents.at(-1).get_model_by_name"
RANGE = f'[{MODEL}("time").start, {MODEL}("time").end]'


@pytest.fixture(scope="module")
def day():
    """Return a replay of a whole day as busy as AMZN's: 57,515 quotes and 23,400 decisions."""
    rng = np.random.default_rng(12)
    n, start = 57_515, 1_340_285_400 * SECOND
    time = start + np.sort(rng.integers(0, 23_401 * SECOND, n))
    time[-1] = start + 23_401 * SECOND
    mid = 22_000 + np.cumsum(rng.integers(-1, 2, n))
    half = rng.integers(2, 9, n)
    quotes = mm.Quotes(local_time=time, bid=mid - half, ask=mid + half, bid_size=100, ask_size=100)
    rows = np.sort(rng.choice(n, 11_419, replace=False))
    side = rng.choice([-1, 1], len(rows))
    trades = mm.Trades(
        local_time=time[rows] + 1, price=mid[rows] + side * rng.geometric(0.2, len(rows)), size=1, side=side
    )
    stock = mm.Instrument("XYZ", tick="0.01")
    events = mm.Events(stock, None, quotes, trades, name="a busy day")
    quoter = mm.Quoter(mm.Affine(base=(4.0, 4.0), slope=0.3, q_max=10.0))
    result = mm.replay(events, quoter, maker_fee="0.00001")
    assert len(result.decisions) > 23_000
    assert len(result.fills) > 2_000
    return result


@pytest.fixture(scope="module")
def whole_day(day, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("day") / "report.html"
    day.report(path)
    return path


@pytest.fixture(scope="module")
def run_result():
    """Return a whole job: calibration, model, replay and the optimistic bound."""
    return mm.run(mm.SimulatedMarket(duration=1200.0, seed=3).events(), orders={"hysteresis": 1})


@pytest.fixture(scope="module")
def whole_job(run_result, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("job") / "report.html"
    run_result.report(path)
    return path


def test_a_whole_day_fits_five_megabytes(whole_day):
    assert whole_day.stat().st_size <= 5_000_000


@pytest.mark.browser
def test_it_opens_without_a_network_and_without_complaints(tab, whole_day, record_property):
    tab.open(whole_day)
    record_property("paint_ms", tab.run("document.documentElement.dataset.painted"))
    assert tab.requests == [whole_day.as_uri()]
    assert tab.complaints == []


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_every_chart_is_painted_in_the_readers_colours(tab, whole_job, width, scheme):
    tab.emulate(width, 1000, scheme)
    tab.open(whole_job)
    ink = tab.run(INK)
    assert len(ink) == 15
    for name, chart in ink.items():
        assert chart["drawn"] > 1000, name
        # Dark ink on a light page and the other way round: nothing is drawn in the page's own shade.
        assert chart["bright"] < 200 if scheme == "light" else chart["bright"] > 90, (name, chart)
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.complaints == []


@pytest.mark.browser
def test_the_charts_follow_a_change_of_scheme(tab, whole_job):
    colour = f'{MODEL}("mid").glyph.line_color.value'
    tab.open(whole_job)
    assert tab.run(colour) == "#1f2328"
    tab.emulate(scheme="dark")
    tab.wait(f'{colour} === "#e6e9ed"')
    tab.emulate(scheme="light")
    tab.wait(f'{colour} === "#1f2328"')


@pytest.mark.browser
def test_a_drag_on_one_chart_zooms_all_to_single_rows(tab, whole_day, day):
    tab.open(whole_day)
    start, end = tab.run(RANGE)
    coarse = tab.run(f'{MODEL}("data-market").data.t.length')
    assert coarse < len(day.events.quotes) / 5
    tab.run("document.getElementById('chart-inventory').scrollIntoView()")
    box = tab.run("(() => { const b = document.getElementById('chart-inventory').getBoundingClientRect();"
                  " return [b.x, b.y, b.width, b.height]; })()")  # fmt: skip
    x, y, width, height = box
    tab.drag((x + 0.50 * width, y + height / 2), (x + 0.51 * width, y + height / 2))
    tab.wait(f"{RANGE}[1] - {RANGE}[0] < {(end - start) / 50}")
    tab.wait(f'{MODEL}("data-market").data.t.length < {coarse / 4}')
    low, high = tab.run(RANGE)
    # One row before and after, so that the steps reach the edges.
    time = day.events.quotes.local_time / 1e6
    inside = np.flatnonzero((time > low) & (time <= high))
    shown = np.array(tab.run(f'Array.from({MODEL}("data-market").data.t)'))
    rows = np.arange(inside[0] - 1, inside[-1] + 2)
    np.testing.assert_allclose(shown, time[rows], rtol=0, atol=0.101)  # embedded to 0.1 ms
    mid = np.array(tab.run(f'Array.from({MODEL}("data-market").data.mid)'))
    np.testing.assert_allclose(mid, day.events.quotes.mid2[rows] * 0.005, rtol=1e-12)
    figures = ("price", "inventory", "pnl", "half-spread")
    assert all(tab.run(f'{MODEL}("chart-{name}").x_range === {MODEL}("time")') for name in figures)
    tab.run("document.querySelector('[data-zoom=all]').click()")
    tab.wait(f"{RANGE}[1] - {RANGE}[0] === {end - start}")
    tab.wait(f'{MODEL}("data-market").data.t.length === {coarse}')


@pytest.mark.browser
def test_a_finger_scrolls_and_a_mouse_zooms(tab, whole_job):
    for width, tool in ((1400, "BoxZoomTool"), (420, None)):
        tab.emulate(width)
        tab.open(whole_job)
        assert tab.run(f'{MODEL}("chart-price").toolbar.active_drag?.type ?? null') in (
            tool,
            "auto" if tool else None,
        )
        active = tab.run(f'{MODEL}("chart-price").toolbar.tools.find((t) => t.type === "BoxZoomTool").active')
        assert active is (tool is not None)


@pytest.mark.browser
def test_thinned_lines_keep_their_extremes(tab, whole_day, day):
    tab.open(whole_day)
    path = day.pnl_path
    for name, column in (
        ("spread", "spread"),
        ("revaluation", "inventory"),
        ("fees", "fees"),
        ("total", "total"),
    ):
        values = tab.run(f'Array.from({MODEL}("data-pnl").data["{name}"])')
        exact, tolerance = path[column], np.ptp(path[column]) / 2**31
        assert len(values) < len(exact)
        for kept, whole in (
            (min(values), exact.min()),
            (max(values), exact.max()),
            (values[0], exact[0]),
            (values[-1], exact[-1]),
        ):
            assert abs(kept - whole) <= tolerance + 1e-12


@pytest.mark.browser
def test_dense_fills_become_few_markers_that_still_count_every_fill(tab, whole_day, day):
    tab.open(whole_day)
    for side, sign in (("buys", 1), ("sells", -1)):
        data = tab.run(f'(({{n, lots, price}}) => ({{n, lots, price}}))({MODEL}("data-{side}").data)')
        mine = day.fills["qty"] * sign > 0
        assert len(data["n"]) < mine.sum() / 4
        assert sum(data["n"]) == mine.sum()
        assert sum(data["lots"]) == np.abs(day.fills["qty"][mine]).sum()
        prices = day.fills["price"][mine] * 0.01
        assert prices.min() <= min(data["price"])
        assert max(data["price"]) <= prices.max()


@pytest.mark.browser
def test_a_tooltip_tells_the_values_in_force(tab, whole_job, run_result):
    tab.open(whole_job)
    tab.run("document.getElementById('chart-inventory').scrollIntoView({block: 'center'})")
    box = "document.getElementById('chart-inventory').getBoundingClientRect()"
    x, y, width, height = tab.run(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")
    tooltip = """(() => {
      const found = [];
      const walk = (node) => {
        for (const child of [...(node.shadowRoot?.children ?? []), ...node.children]) {
          if (child.classList.contains("bk-Tooltip")) found.push((child.shadowRoot ?? child).textContent);
          walk(child);
        }
      };
      walk(document);
      return found.join(" ");
    })()"""
    for step in range(3):
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + width / 2 + step, y=y + height / 3)
    tab.wait(f"{tooltip}.includes('lots')")
    said = tab.run(tooltip)
    held = int(re.search(r"inventory\D*?(-?\d+) lots", said).group(1))
    assert held in run_result.inventory_path[1]


@pytest.mark.browser
def test_a_legend_hides_its_line(tab, whole_job):
    tab.open(whole_job)
    button = "document.querySelector('[data-renderers=touch]')"
    assert tab.run(f"{button}.getAttribute('aria-pressed')") == "true"
    tab.run(f"{button}.click()")
    assert tab.run(f"{button}.getAttribute('aria-pressed')") == "false"
    assert tab.run(f'{MODEL}("touch").visible') is False
    tab.run(f"{button}.click()")
    assert tab.run(f'{MODEL}("touch").visible') is True


@pytest.mark.browser
def test_the_zoom_keys_stop_at_the_ends(tab, whole_job):
    tab.open(whole_job)
    key = "document.querySelector('[data-zoom={}]')"
    start, end = tab.run(RANGE)
    assert tab.run(f"{key.format('out')}.disabled")
    tab.run(f"{key.format('in')}.click()")
    assert tab.run(f"{RANGE}[1] - {RANGE}[0]") == pytest.approx((end - start) / 2)
    for _ in range(3):
        tab.run(f"{key.format('left')}.click()")
    assert tab.run(f"{RANGE}[0]") == start
    tab.run(f"{key.format('out')}.click()")
    assert tab.run(RANGE) == [start, end]


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints(tab, whole_job, scheme):
    tab.emulate(scheme=scheme)
    tab.open(whole_job)
    pdf = tab.pdf()
    assert pdf.startswith(b"%PDF")
    assert len(pdf) > 50_000
    tab.emulate(scheme=scheme, media="print")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run("getComputedStyle(document.querySelector('.zoom')).display") == "none"
    assert tab.complaints == []


# ---- why was the quote there?

SAID = "document.getElementById('why-said').textContent"


def explained(tab):
    """What the page tells of its moment: contributions by side and stage, prices, reasons."""
    rows = tab.run("""[...document.querySelectorAll("#why-table tbody tr")].map((tr) => [
      tr.cells[0].textContent,
      ...[1, 2].map((i) => tr.cells[i].querySelector("data")?.value ?? tr.cells[i].textContent)
    ])""")
    reasons = tab.run("[...document.querySelectorAll('#why-reasons li')].map((li) => li.textContent)")
    return {name: (bid, ask) for name, bid, ask in rows}, reasons


def type_moment(tab, text):
    tab.run(f"document.getElementById('why-moment').value = {text!r}")
    tab.run("document.getElementById('why-ask').click()")


def clock(ns):
    return np.datetime_as_string(np.datetime64(int(ns), "ns"), unit="us")[11:]


def agrees(tab, result, ns):
    """The page tells of a moment what Python does, to the last bit."""
    why = result.explain(ns)
    told, reasons = explained(tab)
    for i, (terms, price) in enumerate(zip((why.bid, why.ask), why.quote, strict=True)):
        for stage, term in terms.items():
            if stage in told:
                assert float(told[stage][i]) == term, stage
            else:
                assert term == 0, stage
        assert told["quote, ticks"][i] == ("absent" if price is None else str(price))
    assert told["size, lots"] == (f"{why.quote.bid_size:,}", f"{why.quote.ask_size:,}")
    assert reasons[: len(why.reasons)] == list(why.reasons)
    return told


@pytest.mark.browser
def test_any_moment_typed_is_explained_as_python_does(tab, whole_job, run_result):
    tab.open(whole_job)
    assert (run_result.parameters["status"] == 0).any()
    n = len(run_result.decisions)
    for row in (0, n // 10, n // 3, n // 2, n - n // 5, n - 1):
        ns = int(run_result.decisions["live_time"][row]) + 250_000_000
        type_moment(tab, clock(ns))
        agrees(tab, run_result, ns)
        held = run_result.decisions["inventory"][row]
        assert f"at an inventory of {held:+d} lots".replace("+0", "0").replace("-", "−") in tab.run(SAID)
        done = run_result.parameters["time"][run_result.parameters["status"] == 0]
        since = done[done <= run_result.decisions["time"][row]]
        assert ("in force since" in tab.run(SAID)) is (len(since) > 0)
        if len(since):
            assert f"in force since {clock(since[-1])[:12]}" in tab.run(SAID)
    assert tab.complaints == []


@pytest.mark.browser
def test_the_waterfall_leads_to_the_quotes(tab, whole_job, run_result):
    tab.open(whole_job)
    d = run_result.decisions
    row = int(np.flatnonzero((d["bid_size"] > 0) & (d["ask_size"] > 0))[40])
    type_moment(tab, clock(d["live_time"][row] + 1_000_000))
    why = run_result.explain(int(d["live_time"][row]))
    for side, terms in (("bid", why.bid), ("ask", why.ask)):
        bars = tab.run(
            "(({left, right, term, stage}) => ({left, right, term, stage}))"
            f'({MODEL}("data-why-{side}").data)'
        )
        assert bars["term"] == [terms[stage] for stage in bars["stage"]]
        np.testing.assert_allclose(np.subtract(bars["right"], bars["left"]), np.abs(bars["term"]))
        (end,) = tab.run(f'Array.from({MODEL}("data-why-{side}-quote").data.x)')
        assert end == d[side][row] - d["reference"][row]
        assert tab.run(f'Array.from({MODEL}("data-why-{side}-quote").data.price)') == [d[side][row]]
    touch = tab.run(f'Array.from({MODEL}("data-why-touch").data.x)')
    assert touch == [d["touch_bid"][row] - d["reference"][row], d["touch_ask"][row] - d["reference"][row]]


@pytest.mark.browser
def test_a_click_on_a_chart_asks_why(tab, whole_day, day):
    tab.open(whole_day)
    start, end = tab.run(RANGE)
    before = tab.run(SAID)
    tab.run("document.getElementById('chart-inventory').scrollIntoView({block: 'center'})")
    box = "document.getElementById('chart-inventory').getBoundingClientRect()"
    x, y, width, height = tab.run(f"(({{x, y, width, height}}) => [x, y, width, height])({box})")
    for kind in ("mousePressed", "mouseReleased"):
        at = {"x": x + 0.6 * width, "y": y + height / 2}
        tab.call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)
    tab.wait(f"{SAID} !== {before!r}")
    assert tab.run(RANGE) == [start, end]
    mark = "[...Bokeh.documents.at(-1).roots()[0].references()].find((m) => m.name === 'moment')"
    moment = tab.run(f"{mark}.location")
    assert 0.5 < (moment - start) / (end - start) < 0.65
    agrees(tab, day, round(moment * 1e6))
    tab.run("document.getElementById('why-go').click()")
    assert 0 <= tab.run("document.getElementById('why').getBoundingClientRect().top") < 200


@pytest.mark.browser
def test_steps_go_from_decision_to_decision_and_from_fill_to_fill(tab, whole_job, run_result):
    tab.open(whole_job)
    d = run_result.decisions
    filled = np.unique(run_result.fill_context["decision"])
    shown = "document.getElementById('why-moment').value"
    assert tab.run(shown) == clock(d["live_time"][filled[0]])[:12]
    assert any("filled at" in reason for reason in explained(tab)[1])
    step = "document.querySelector('[data-step=\"{}\"]').click()"
    tab.run(step.format("fill"))
    assert tab.run(shown) == clock(d["live_time"][filled[1]])[:12]
    tab.run(step.format("1"))
    assert tab.run(shown) == clock(d["live_time"][filled[1] + 1])[:12]
    tab.run(step.format("-fill"))
    tab.run(step.format("-fill"))
    tab.run(step.format("-fill"))
    assert tab.run(shown) == clock(d["live_time"][filled[0]])[:12]


@pytest.mark.browser
@pytest.mark.parametrize("text", ["noon", "", "25", "00:00:01", "23:59:59"])
def test_a_moment_without_quotes_is_told_not_guessed(tab, whole_job, text):
    tab.open(whole_job)
    table = explained(tab)
    type_moment(tab, text)
    assert tab.run("document.getElementById('why-moment').getAttribute('aria-invalid')") == "true"
    assert "There were quotes from" in tab.run(SAID)
    assert explained(tab) == table
    assert tab.complaints == []
