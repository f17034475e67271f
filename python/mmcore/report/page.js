// The page's behaviour: draws the charts for the span on the screen, keeps one time axis for all of
// them, follows the reader's colour scheme, and lets legends switch lines off. No requests, no eval.
(async () => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const page = read("page-data");

  // --- tables -----------------------------------------------------------------------------------
  const ABSENT = -(2 ** 31);

  function decode(column) {
    const text = atob(column.data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const whole = new Int32Array(bytes.buffer);
    const values = new Float64Array(whole.length);
    const { offset, scale } = column;
    for (let i = 0; i < whole.length; i++) values[i] = whole[i] === ABSENT ? NaN : offset + scale * whole[i];
    return values;
  }

  const tables = {};
  for (const [name, packed] of Object.entries(page.tables)) {
    const columns = {};
    for (const [key, column] of Object.entries(packed.columns)) columns[key] = decode(column);
    const t = columns.t;
    for (let i = 0; i < t.length; i++) t[i] += page.start;
    if (columns.bid && columns.ask && name === "market") columns.mid = columns.bid.map((b, i) => (b + columns.ask[i]) / 2);
    tables[name] = { columns, rows: t.length, shapes: packed.shapes };
  }

  // First index whose time is not below (or, with `after`, is above) the given one.
  function search(t, time, after) {
    let low = 0;
    let high = t.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (after ? t[middle] <= time : t[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // Rows to draw in [from, to): the first, the last and the extremes of each pixel column.
  function thin(table, from, to, buckets) {
    const { t } = table.columns;
    const n = to - from;
    if (n <= 2 * buckets) return Array.from({ length: n }, (_, i) => from + i);
    const begin = t[from];
    const width = (t[to - 1] - begin) / buckets || 1;
    const shapes = table.shapes.map((name) => table.columns[name]);
    const kept = [];
    for (let at = from; at < to; ) {
      const slice = Math.floor((t[at] - begin) / width);
      let end = at + 1;
      while (end < to && Math.floor((t[end] - begin) / width) === slice) end++;
      const rows = new Set([at, end - 1]);
      for (const y of shapes) {
        let lowest = -1;
        let highest = -1;
        for (let i = at; i < end; i++) {
          if (Number.isNaN(y[i])) continue;
          if (lowest < 0 || y[i] < y[lowest]) lowest = i;
          if (highest < 0 || y[i] > y[highest]) highest = i;
        }
        if (lowest >= 0) rows.add(lowest).add(highest);
      }
      kept.push(...[...rows].sort((a, b) => a - b));
      at = end;
    }
    return kept;
  }

  // Markers that would overlap become one: lots add up, the price is their average.
  function bin(table, from, to, buckets) {
    const { t, price, lots } = table.columns;
    const out = { t: [], price: [], lots: [], n: [], size: [] };
    const push = (time, value, sum, count, size) => {
      out.t.push(time);
      out.price.push(value);
      out.lots.push(sum);
      out.n.push(count);
      out.size.push(size);
    };
    if (to - from <= buckets / 2) {
      for (let i = from; i < to; i++) push(t[i], price[i], lots[i], 1, 9);
      return out;
    }
    const begin = t[from];
    const width = (t[to - 1] - begin) / buckets || 1;
    for (let at = from; at < to; ) {
      const slice = Math.floor((t[at] - begin) / width);
      let [count, sum, value, time] = [0, 0, 0, 0];
      for (; at < to && Math.floor((t[at] - begin) / width) === slice; at++) {
        count++;
        sum += lots[at];
        value += lots[at] * price[at];
        time += lots[at] * t[at];
      }
      push(time / sum, value / sum, sum, count, Math.min(12, 6 + Math.sqrt(count - 1)));
    }
    return out;
  }

  // --- charts -----------------------------------------------------------------------------------
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const swap = (text, map) => text.replace(/#[0-9a-f]{6}\b/g, (c) => map[c] ?? c);
  const toDark = Object.fromEntries(page.colours);
  const toLight = Object.fromEntries(page.colours.map(([l, d]) => [d, l]));
  const text = document.getElementById("charts-data").textContent;
  const { Document } = Bokeh.require("document");
  const doc = Document.from_json(JSON.parse(dark.matches ? swap(text, toDark) : text));
  document.documentElement.dataset.canvas = dark.matches ? "dark" : "light";

  function recolour(map) {
    for (const root of doc.roots()) {
      for (const model of root.references()) {
        for (const property of model) {
          if (property.is_unset || !property.attr.endsWith("color")) continue;
          const value = property.get_value();
          const colour = typeof value === "string" ? value : value?.value;
          if (typeof colour === "string" && colour in map) {
            model.setv({ [property.attr]: typeof value === "string" ? map[colour] : { value: map[colour] } });
          }
        }
      }
    }
  }

  dark.addEventListener("change", () => {
    // Browsers print in the light scheme and come back; the print style sheet inverts dark canvases.
    if (window.matchMedia("print").matches) return;
    recolour(dark.matches ? toDark : toLight);
    document.documentElement.dataset.canvas = dark.matches ? "dark" : "light";
  });

  const range = doc.get_model_by_name("time");
  const [first, last] = [range.start, range.end];

  function draw() {
    const width = document.querySelector(".chart.timed").clientWidth - 70;
    for (const view of page.views) {
      const source = doc.get_model_by_name(`data-${view.source}`);
      if (source == null) continue;
      const table = tables[view.table];
      const { t } = table.columns;
      const buckets = Math.max(20, Math.round(width / view.pixels));
      const from = view.mode === "bin" ? search(t, range.start, false) : Math.max(0, search(t, range.start, true) - 1);
      const to = view.mode === "bin" ? search(t, range.end, true) : Math.min(t.length, search(t, range.end, true) + 1);
      if (view.mode === "bin") {
        source.data = bin(table, from, to, buckets);
        continue;
      }
      const rows = thin(table, from, to, buckets);
      const data = {};
      for (const [name, column] of Object.entries(table.columns)) data[name] = Float64Array.from(rows, (i) => column[i]);
      source.data = data;
    }
    describe();
  }

  // --- the shared time axis ----------------------------------------------------------------------
  const clock = (ms) => {
    const digits = range.end - range.start < 10_000 ? 3 : 0;
    const iso = new Date(ms).toISOString();
    return iso.slice(11, digits ? 23 : 19);
  };
  const shown = document.getElementById("span");
  function describe() {
    if (shown) shown.textContent = `${clock(range.start)} – ${clock(range.end)}`;
    for (const button of document.querySelectorAll("[data-zoom]")) {
      const whole = range.start <= first && range.end >= last;
      const disabled =
        (whole && button.dataset.zoom !== "in") ||
        (button.dataset.zoom === "left" && range.start <= first) ||
        (button.dataset.zoom === "right" && range.end >= last);
      button.disabled = disabled;
    }
  }

  let waiting = 0;
  range.change.connect(() => {
    clearTimeout(waiting);
    waiting = setTimeout(draw, 40);
  });

  function show(start, end) {
    const width = Math.min(Math.max(end - start, 1), last - first);
    const begin = Math.min(Math.max(start, first), last - width);
    range.setv({ start: begin, end: begin + width });
  }
  const moves = {
    in: (a, w) => show(a + w / 4, a + (3 * w) / 4),
    out: (a, w) => show(a - w / 2, a + (3 * w) / 2),
    left: (a, w) => show(a - w / 2, a + w / 2),
    right: (a, w) => show(a + w / 2, a + (3 * w) / 2),
    all: () => show(first, last),
  };
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => moves[button.dataset.zoom](range.start, range.end - range.start));
  }
  for (const chart of document.querySelectorAll(".chart.timed")) {
    chart.addEventListener("dblclick", moves.all);
  }

  // --- legends -----------------------------------------------------------------------------------
  for (const key of document.querySelectorAll("[data-renderers]")) {
    key.addEventListener("click", () => {
      const on = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(on));
      for (const name of key.dataset.renderers.split(" ")) doc.get_model_by_name(name).visible = on;
    });
  }

  // --- paint -------------------------------------------------------------------------------------
  // A finger that drags scrolls the page; there the buttons zoom.
  if (window.matchMedia("(pointer: coarse)").matches) {
    for (const root of doc.roots()) root.toolbar.active_drag = null;
  }
  draw();
  await Bokeh.embed.add_document_standalone(
    doc,
    document.body,
    doc.roots().map((root) => document.getElementById(root.name)),
  );
  requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.painted = String(Math.round(performance.now()));
  }));
})().catch((error) => {
  for (const chart of document.querySelectorAll(".chart")) chart.textContent = `This chart could not be drawn: ${error.message}`;
  throw error;
});
