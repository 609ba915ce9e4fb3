"use strict";
// Figures: one place for colours, names for screen readers, and what can be downloaded.
const COLOURS = { none: "var(--plain)", logit: "var(--logit)", feature: "var(--feature)" };
const OTHERS = ["var(--other-1)", "var(--other-2)", "var(--other-3)", "var(--other-4)"];
const DASHES = [null, "6 3", "2 3", "9 3 2 3"];

const colourOf = (method) => {
  if (COLOURS[method]) return COLOURS[method];
  const others = Object.keys(kdgap.study.method_names).filter((name) => !COLOURS[name]);
  return OTHERS[Math.max(0, others.indexOf(method)) % OTHERS.length];
};

const room = () => document.getElementById("main").clientWidth || 720;
/** The room of one of two columns, where there are two; see `.charts`. */
const halfRoom = () => (room() >= 984 ? (room() - 24) / 2 : room());
/** Whether there is room for labels beside a figure. */
const wide = () => room() > 560;

/**
 * Return a figure with its caption and downloads.
 * options: what Plot.plot takes; about: {name, title, words, legend, rows: objects for the CSV, half:
 * whether it stands in one of two columns}.
 */
function figure(options, about) {
  const width = Math.max(280, Math.min(about.half ? halfRoom() : 760, room()));
  const axis = { labelOffset: 38, ...options.x };
  const drawn = Plot.plot({
    className: "plot",
    width,
    marginLeft: 52,
    marginBottom: 42,
    ...options,
    x: axis,
  });
  const svg = drawn.tagName.toLowerCase() === "svg" ? drawn : drawn.querySelector("svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${about.title}. ${about.words ?? ""}`.trim());
  // What is drawn is told by the label and the table: not point by point.
  for (const part of svg.querySelectorAll("g[aria-label], [aria-description]")) {
    part.removeAttribute("aria-label");
    part.removeAttribute("aria-description");
  }
  const tools = [button("SVG", () => download(`${about.name}.svg`, svgText(svg), "image/svg+xml"))];
  if (about.rows?.length) {
    tools.push(button("CSV", () => download(`${about.name}.csv`, csvOf(about.rows), "text/csv")));
  }
  const caption = [el("strong", {}, about.title), about.words ? `. ${about.words}` : ""];
  return el(
    "figure",
    { class: "chart" },
    about.legend ? legend(about.legend) : null,
    drawn,
    el("figcaption", {}, caption),
    el("p", { class: "tools" }, tools),
  );
}

/** Return a figure's SVG with its colours written out, so that it looks the same elsewhere. */
function svgText(svg) {
  const copied = svg.cloneNode(true);
  const style = getComputedStyle(svg);
  copied.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copied.setAttribute("font-family", "system-ui, sans-serif");
  copied.setAttribute("color", style.getPropertyValue("--ink").trim());
  const text = new XMLSerializer().serializeToString(copied);
  return text.replace(/var\((--[\w-]+)\)/g, (whole, name) => style.getPropertyValue(name).trim() || whole);
}

/** Return a field of a CSV: text that begins like a formula is made text for a spreadsheet too. */
function csvField(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = String(value).replace(/^([=+\-@\t\r])/, "'$1");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvLines = (lines) => `${lines.map((line) => line.map(csvField).join(",")).join("\n")}\n`;

function csvOf(rows) {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return csvLines([keys, ...rows.map((row) => keys.map((key) => row[key]))]);
}

function svgElement(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function legend(series) {
  return el(
    "ul",
    { class: "legend" },
    series.map((one) => {
      const stroke = one.colour ?? colourOf(one.method);
      const line = svgElement("path", {
        d: "M1 5 H25",
        stroke,
        "stroke-width": 3,
        "stroke-dasharray": one.dash ?? "",
      });
      const picture = { width: 26, height: 10, viewBox: "0 0 26 10", "aria-hidden": "true" };
      return el("li", {}, svgElement("svg", picture, line), ` ${one.name}`);
    }),
  );
}
