"use strict";
// Figures: one place for colours, names for screen readers, and what can be downloaded.
const COLOURS = { none: "var(--plain)", logit: "var(--logit)", feature: "var(--feature)" };
const OTHERS = ["var(--other-1)", "var(--other-2)", "var(--other-3)", "var(--other-4)"];

const colourOf = (method) => {
  if (COLOURS[method]) return COLOURS[method];
  const others = Object.keys(kdgap.study.methods).filter((name) => !COLOURS[name]);
  return OTHERS[Math.max(0, others.indexOf(method)) % OTHERS.length];
};

/**
 * Return a figure with its caption and downloads.
 * options: what Plot.plot takes; about: {name, title, words, rows: objects for the CSV}.
 */
function figure(options, about) {
  const box = el("figure", { class: "chart" });
  const width = Math.max(300, Math.min(about.width ?? 720, document.getElementById("main").clientWidth || 720));
  const drawn = Plot.plot({ className: "plot", width, marginLeft: 52, ...options });
  const svg = drawn.tagName.toLowerCase() === "svg" ? drawn : drawn.querySelector("svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${about.title}. ${about.words ?? ""}`.trim());
  // What is drawn is told by the label and the table: not point by point.
  for (const part of svg.querySelectorAll("g[aria-label], [aria-description]")) {
    part.removeAttribute("aria-label");
    part.removeAttribute("aria-description");
  }
  box.append(drawn, el("figcaption", {}, el("strong", {}, about.title), about.words ? `. ${about.words}` : ""));
  const tools = [el("button", { type: "button", onclick: () => download(`${about.name}.svg`, svgText(svg), "image/svg+xml") }, "SVG")];
  if (about.rows?.length) {
    tools.push(el("button", { type: "button", onclick: () => download(`${about.name}.csv`, rowsText(about.rows), "text/csv") }, "CSV"));
  }
  box.append(el("p", { class: "tools" }, tools));
  return box;
}

/** Return a figure's SVG with its colours written out, so that it looks the same elsewhere. */
function svgText(svg) {
  const copied = svg.cloneNode(true);
  const style = getComputedStyle(document.documentElement);
  copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copied.setAttribute("font-family", "system-ui, sans-serif");
  copied.setAttribute("color", style.getPropertyValue("--ink").trim());
  const text = new XMLSerializer().serializeToString(copied);
  return text.replace(/var\((--[\w-]+)\)/g, (whole, name) => style.getPropertyValue(name).trim() || whole);
}

function rowsText(rows) {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const safe = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "number" ? String(value) : String(value).replace(/^([=+\-@\t\r])/, "'$1");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [keys.map(safe).join(","), ...rows.map((row) => keys.map((key) => safe(row[key])).join(","))].join("\n") + "\n";
}

/** Differences with their intervals, one line each. entries: {label, method, value, low, high, verdict}. */
function intervalChart(entries, about) {
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  const rows = entries.filter((one) => known(one.value));
  if (!rows.length) return el("p", { class: "note" }, "No difference could be computed.");
  const wide = document.getElementById("main").clientWidth > 560;
  const longest = Math.max(...rows.map((one) => one.label.length));
  const room = wide ? Math.min(300, 16 + 6.6 * longest) : 8;
  return figure({
    height: 60 + rows.length * (wide ? 26 : 40), marginLeft: room, marginRight: 16,
    x: { label: "difference in percentage points →", grid: true, nice: true },
    y: { label: null, domain: rows.map((one) => one.label), axis: wide ? "left" : null },
    marks: [
      Plot.rectX([0], { x1: -margin, x2: margin, fill: "var(--band)" }),
      Plot.ruleX([0], { stroke: "currentColor" }),
      Plot.ruleY(rows.filter((one) => known(one.low)), { x1: "low", x2: "high", y: "label", stroke: (one) => colourOf(one.method), strokeWidth: 2.5 }),
      Plot.dot(rows, { x: "value", y: "label", r: 4.5, fill: (one) => (one.verdict === "inconclusive" || one.verdict === "not established" ? "var(--paper)" : colourOf(one.method)), stroke: (one) => colourOf(one.method), strokeWidth: 2, tip: true, title: (one) => `${one.label}\n${signed(one.value)} pp ${interval([one.low, one.high])}\n${one.verdict}` }),
      ...(wide ? [] : [Plot.text(rows, { x: () => Math.min(...rows.map((one) => one.low ?? one.value)), y: "label", text: "label", dy: -13, textAnchor: "start", fontSize: 11 })]),
    ],
  }, { ...about, words: `${about.words ?? ""} The band is smaller than ±${margin} pp, the smallest effect of interest; an open point is not settled.`.trim(), rows });
}

/** Curves over epochs with their bands. series: {name, method, curve: {epoch, mean, low, high}, dash}. */
function curveChart(series, unit, about, scale = 1) {
  const points = series.flatMap((one) => one.curve.epoch.map((epoch, index) => ({
    series: one.name, epoch, mean: scale * one.curve.mean[index], low: scale * one.curve.low[index], high: scale * one.curve.high[index],
  })));
  if (!points.length) return el("p", { class: "note" }, `${about.title}: not recorded.`);
  const look = new Map(series.map((one) => [one.name, one]));
  const colour = (point) => look.get(point.series).colour ?? colourOf(look.get(point.series).method);
  const marks = series.map((one) => Plot.line(points.filter((point) => point.series === one.name), {
    x: "epoch", y: "mean", stroke: one.colour ?? colourOf(one.method), strokeWidth: 2, strokeDasharray: one.dash,
  }));
  const box = figure({
    height: 260, x: { label: "epoch →", ticks: 6 }, y: { label: `↑ ${unit}`, grid: true, nice: true, type: about.log ? "log" : "linear" },
    marks: [
      Plot.areaY(points, { x: "epoch", y1: "low", y2: "high", fill: colour, fillOpacity: 0.16, z: "series" }),
      ...marks,
      ...(points.length < 3 ? [Plot.dot(points, { x: "epoch", y: "mean", fill: colour })] : []),
      Plot.tip(points, Plot.pointer({ x: "epoch", y: "mean", title: (point) => `${point.series}\nepoch ${point.epoch}: ${fixed(point.mean, 4)}\n${fixed(point.low, 4)} to ${fixed(point.high, 4)}` })),
    ],
  }, { ...about, rows: points });
  box.prepend(legend(series));
  return box;
}

function legend(series) {
  return el("ul", { class: "legend" }, series.map((one) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    for (const [name, value] of Object.entries({ width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true" })) line.setAttribute(name, value);
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [name, value] of Object.entries({ d: "M1 5 H25", stroke: one.colour ?? colourOf(one.method), "stroke-width": 3, "stroke-dasharray": one.dash ?? "" })) path.setAttribute(name, value);
    line.append(path);
    return el("li", {}, line, ` ${one.name}`);
  }));
}
