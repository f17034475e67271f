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
    const iso = new Date(digits ? ms : 1000 * Math.round(ms / 1000)).toISOString();
    return iso.slice(11, digits ? 23 : 19);
  };
  const shown = document.getElementById("span");
  function describe() {
    if (shown) shown.textContent = `${clock(range.start)} – ${clock(range.end)}`;
    enable();
  }

  // At once, so that a key pressed right after another is not lost.
  function enable() {
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
    enable();
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

  // --- why was the quote there? ------------------------------------------------------------------
  // The columns of page.why are Quoter.explain's own numbers; here they are added up and shown.
  async function unpack({ data, rows, columns }) {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const table = {};
    columns.forEach((name, c) => {
      const octets = new Uint8Array(8 * rows);
      for (let b = 0; b < 8; b++) for (let i = 0; i < rows; i++) octets[8 * i + b] = planes[(8 * c + b) * rows + i];
      table[name] = new Float64Array(octets.buffer);
    });
    for (const name of ["t", "until", "filledbid", "filledask"]) table[name] = table[name].map((t) => t + page.start);
    return table;
  }

  const number = (value, digits, sign) =>
    value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: sign ? "exceptZero" : "auto" }).replace("-", "−");
  // To the millisecond, cut; with the day where there are several. Half a microsecond mends the double.
  const day = (ms) => new Date(ms).toISOString().slice(0, 10);
  const stamp = (ms) => new Date(Math.floor(ms + 5e-4)).toISOString().slice(day(first) === day(last) ? 11 : 0, 23).replace("T", " ");
  const element = (name, text, type) => Object.assign(document.createElement(name), { textContent: text, className: type ?? "" });
  const byId = (id) => document.getElementById(id);

  function explainer(why, table) {
    const { t, until } = table;
    const at = (name, row) => (name in table ? table[name][row] : 0);
    const present = (name, row) => !Number.isNaN(at(name, row));
    let [moment, row] = [0, 0];

    // Stages that were reached on a side, with what they contribute; of a price only what was left of it.
    function terms(side) {
      const found = [];
      for (const stage of why.stages) {
        const priced = !["reference", "depth", "shift", "volatility", "age"].includes(stage);
        if (!present(`depth${side}`, row) || (priced && !present(`rounding${side}`, row))) break;
        found.push([stage, at(stage + side, row)]);
      }
      return found;
    }

    function draw(both, shown) {
      const offset = { bid: 0.2, ask: -0.2 };
      const stages = [...shown, "quote"];
      doc.get_model_by_name("why-stages").setv({ factors: [...stages].reverse() });
      const reference = (both.bid[0] ?? both.ask[0] ?? ["reference", NaN])[1];
      const drawn = [];
      for (const side of ["bid", "ask"]) {
        const bars = { y: [], left: [], right: [], stage: [], term: [], after: [] };
        const links = { x: [], top: [], bottom: [] };
        const ends = { x: [], y: [], price: [] };
        let price = 0;
        let before = null;
        for (const [stage, term] of both[side]) {
          if (!shown.includes(stage)) continue;
          const from = price;
          price += term;
          drawn.push(price - reference);
          const y = [stage, offset[side]];
          if (before != null) {
            for (const [key, value] of Object.entries({ y, left: Math.min(from, price) - reference, right: Math.max(from, price) - reference, stage, term, after: price })) bars[key].push(value);
            for (const [key, value] of Object.entries({ x: from - reference, top: before, bottom: y })) links[key].push(value);
          }
          before = y;
        }
        if (present(`rounding${side}`, row) && before != null) {
          const y = ["quote", offset[side]];
          for (const [key, value] of Object.entries({ x: price - reference, top: before, bottom: y })) links[key].push(value);
          for (const [key, value] of Object.entries({ x: price - reference, y, price })) ends[key].push(value);
        }
        for (const [name, data] of Object.entries({ "": bars, "-links": links, "-quote": ends })) doc.get_model_by_name(`data-why-${side}${name}`).data = data;
      }
      const touch = ["marketbid", "marketask"].map((name) => at(name, row) - reference).filter((x) => !Number.isNaN(x));
      doc.get_model_by_name("data-why-touch").data = {
        x: touch, top: touch.map(() => [stages[0], 0.4]), bottom: touch.map(() => ["quote", -0.4]),
      };
      drawn.push(...touch);
      const [low, high] = [Math.min(0, ...drawn), Math.max(0, ...drawn)];
      const room = 0.06 * (high - low) || 1;
      doc.get_model_by_name("why-ticks").setv({ start: low - room, end: high + room });
    }

    function tell(both, shown) {
      const body = byId("why-table").tBodies[0];
      body.replaceChildren();
      const line = (name, values, meaning, type) => {
        const tr = element("tr", "", type);
        const head = element("th", name);
        head.scope = "row";
        tr.append(head, ...values, element("td", meaning, "text wrap"));
        body.append(tr);
      };
      const cell = (value, text) => {
        const td = element("td", "", value === 0 ? "zero" : "");
        td.append(Object.assign(element("data", text), { value: String(value) }));
        return td;
      };
      const none = () => element("td", "");
      for (const stage of shown) {
        const values = ["bid", "ask"].map((side) => {
          const found = both[side].find(([name]) => name === stage);
          return found ? cell(found[1], number(found[1], 4, stage !== "reference")) : none();
        });
        line(stage, values, why.meanings[stage]);
      }
      const prices = ["bid", "ask"].map((side) => (present(`rounding${side}`, row) ? both[side].reduce((sum, [, term]) => sum + term, 0) : null));
      line("quote, ticks", prices.map((p) => (p == null ? element("td", "absent") : cell(p, number(p, 0)))), "the price sent", "last");
      line("quote", prices.map((p) => element("td", p == null ? "" : number(p * why.tick, page.places))), "the same in currency");
      const [bid, ask] = why.cases[at("case", row)].sizes;
      line("size, lots", [bid, ask].map((size) => element("td", number(size, 0))), "");
      const touch = ["marketbid", "marketask"].map((name) => at(name, row));
      line("market, ticks", touch.map((p) => element("td", Number.isNaN(p) ? "absent" : number(p, 0))), "the touch then");
      const reasons = [...why.cases[at("case", row)].reasons];
      for (const side of ["bid", "ask"]) {
        if (at(`lost${side}`, row)) reasons.push(`the ${side} was lost in flight: the side was filled meanwhile`);
        if (present(`filled${side}`, row)) reasons.push(`the ${side} was filled at ${stamp(at(`filled${side}`, row))}`);
      }
      byId("why-reasons").replaceChildren(...reasons.map((text) => element("li", text)));
      const [since, values] = why.policies.rows[at("policy", row)];
      const known = why.policies.names.flatMap(([name, unit], i) => (values[i] == null ? [] : [`${name} ${values[i].join(" (bid) and ")}${values[i].length > 1 ? " (ask)" : ""} ${unit}`]));
      const decided = why.latency ? `, decided at ${stamp(t[row] - why.latency)}` : "";
      const said = [`Live from ${stamp(t[row])} to ${stamp(until[row])}${decided}, at an inventory of ${number(at("inventory", row), 0, true)} lots.`];
      if (moment >= until[row] && t.length < why.of) {
        said.unshift(`${number(t.length, 0)} of ${number(why.of, 0)} decisions are explained, and the one live at ${stamp(moment)} is not among them; this is the one before it.`);
      }
      if (known.length) said.push(`Parameters in force${since == null ? "" : ` since ${stamp(page.start + since)}`}: ${known.join(", ")}.`);
      byId("why-said").textContent = said.join(" ");
    }

    function show(time) {
      [moment, row] = [time, search(t, time, true) - 1];
      const both = { bid: terms("bid"), ask: terms("ask") };
      const shown = why.stages.filter((stage) => ["reference", "depth"].includes(stage)
        || ["bid", "ask"].some((side) => both[side].some(([name, term]) => name === stage && term !== 0)));
      draw(both, shown);
      tell(both, shown);
      byId("why-moment").value = stamp(time);
      byId("why-moment").setAttribute("aria-invalid", "false");
      byId("why-go").textContent = `Why at ${stamp(time)}?`;
      for (const mark of marks) mark.setv({ location: time, visible: true });
    }

    function ask(time) {
      if (time >= t[0] && time <= last) return show(time);
      byId("why-moment").setAttribute("aria-invalid", "true");
      byId("why-said").textContent = `There were quotes from ${stamp(t[0])} to ${stamp(last)}: type a moment between, as hours:minutes:seconds${day(first) === day(last) ? "" : ", after the day where it is another"}.`;
    }

    // Hours, minutes and seconds of the day that is shown; a day before them where there are several.
    function parse(said) {
      const found = /^\s*(?:(\d{4}-\d\d-\d\d)[ T])?(\d{1,2}):(\d{1,2})(?::(\d{1,2}(?:\.(\d*))?))?\s*$/.exec(said);
      if (!found) return NaN;
      const [, date, hours, minutes, seconds, fraction] = found;
      const midnight = Date.parse(`${date ?? day(moment)}T00:00:00Z`);
      const within = midnight + 3_600_000 * Number(hours) + 60_000 * Number(minutes);
      // Stamps on the page are cut to milliseconds: one that is typed is all of its last digit.
      const digits = fraction?.length ?? 0;
      return within + 1000 * Number(seconds ?? 0) + (digits < 3 ? 0 : 999 / 10 ** digits);
    }

    const filled = (i) => present("filledbid", i) || present("filledask", i);
    const next = (step, fits) => {
      for (let i = row + step; i >= 0 && i < t.length; i += step) if (fits(i)) return show(t[i]);
    };
    const steps = { "-1": () => next(-1, () => true), 1: () => next(1, () => true), "-fill": () => next(-1, filled), fill: () => next(1, filled) };
    for (const button of document.querySelectorAll("[data-step]")) button.addEventListener("click", steps[button.dataset.step]);
    const asked = () => ask(parse(byId("why-moment").value));
    byId("why-ask").addEventListener("click", asked);
    byId("why-moment").addEventListener("keydown", (event) => {
      if (event.key === "Enter") asked();
    });
    byId("why-go").addEventListener("click", () => byId("why").scrollIntoView());
    const marks = [...new Set(doc.roots().flatMap((root) => [...root.references()]))].filter((model) => model.name === "moment");
    for (const chart of document.querySelectorAll(".chart.timed")) {
      doc.get_model_by_name(chart.id).on_event("tap", (event) => ask(Math.min(Math.max(event.x, t[0]), last)));
    }
    show(t[Math.max(0, t.findIndex((_, i) => filled(i)))]);
  }

  // --- paint -------------------------------------------------------------------------------------
  // A finger that drags scrolls the page; there the buttons zoom.
  if (window.matchMedia("(pointer: coarse)").matches) {
    for (const root of doc.roots()) root.toolbar.active_drag = null;
  }
  draw();
  const explained = page.why == null ? null : unpack(page.why).then((table) => explainer(page.why, table)).catch((error) => {
    document.getElementById("why-said").textContent = `The quotes can't be explained in this browser: ${error.message}`;
    console.error(error);
  });
  await Bokeh.embed.add_document_standalone(
    doc,
    document.body,
    doc.roots().map((root) => document.getElementById(root.name)),
  );
  await explained;
  requestAnimationFrame(() => requestAnimationFrame(() => {
    document.documentElement.dataset.painted = String(Math.round(performance.now()));
  }));
})().catch((error) => {
  for (const chart of document.querySelectorAll(".chart")) chart.textContent = `This chart could not be drawn: ${error.message}`;
  throw error;
});
