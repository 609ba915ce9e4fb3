"use strict";
// Figures: one place for colours, names for screen readers, and what can be downloaded.
/** By a method's place, as in the report's figures; plain training has the first. */
const COLOURS = d3.range(8).map((place) => `var(--method-${place})`);
const TEACHERS = "var(--teacher)";
const SYMBOLS = {
  circle: d3.symbolCircle,
  square: d3.symbolSquare,
  triangle: d3.symbolTriangle,
  diamond: d3.symbolDiamond,
  wye: d3.symbolWye,
  star: d3.symbolStar,
};
const DASHES = [null, "6 3", "2 3", "9 3 2 3"];

/** Method → its place among the colours: the declared one, or else the next free, as in the report. */
function placesOfMethods() {
  const { methods } = kdgap.study;
  const names = [...new Set(["none", ...Object.keys(methods)])];
  const declared = new Map(
    names.map((name) => [name, methods[name]?.colour ?? (name === "none" ? 0 : null)]),
  );
  const taken = [...declared.values()];
  const free = d3.range(1, COLOURS.length).filter((place) => !taken.includes(place));
  const others = names.filter((name) => declared.get(name) === null);
  const next = (number) => (free.length ? free[number % free.length] : number);
  return new Map(names.map((name) => [name, declared.get(name) ?? next(others.indexOf(name))]));
}

const colourOf = (method) => COLOURS[(placesOfMethods().get(method) ?? 0) % COLOURS.length];

/** The colour of an arm: its method's, and one for all teachers. */
const colourOfArm = (arm) => (arm.role === "teacher" ? TEACHERS : colourOf(arm.method));

/** Colours of arms that are shown together: each its own, or where that is taken one of no method. */
function coloursOfArms(arms) {
  const used = [...placesOfMethods().keys()].map(colourOf);
  const spare = [...COLOURS.filter((colour) => !used.includes(colour)), TEACHERS, ...COLOURS];
  const taken = [];
  for (const arm of arms) {
    const own = colourOfArm(arm);
    taken.push([own, ...spare].find((colour) => !taken.includes(colour)) ?? own);
  }
  return taken;
}

const room = () => document.getElementById("main").clientWidth || 720;
const GAP = 24;
/** The room of one of several columns that are each at least 464 pixels wide; see `.charts`. */
const columnRoom = (most = Infinity) => {
  const columns = Math.max(1, Math.min(most, Math.floor((room() + GAP) / (464 + GAP))));
  return (room() - GAP * (columns - 1)) / columns;
};
/** Whether there is room for labels beside a figure. */
const wide = () => room() > 560;

/** How wide a figure is. */
const widthOf = ({ columns = 1 }) =>
  Math.max(280, Math.min(columns === 1 ? 760 : columnRoom(columns), room()));

/** Pixels between what is drawn and the frame. */
const EDGE = 10;

/** Return values, the first ones first, without those nearer than `gap` pixels to one that is kept. */
function apart(values, place, gap = 34) {
  const kept = [];
  for (const value of new Set(values))
    if (kept.every((other) => Math.abs(place(value) - place(other)) >= gap)) kept.push(value);
  return kept;
}

/**
 * Return a figure with its caption and downloads.
 * options: what Plot.plot takes; about: {name, title, words, legend, rows: objects for the CSV, whose
 * keys say the unit, columns: how many it may stand in one of}.
 */
function figure(options, about) {
  const width = widthOf(about);
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
  const tools = [
    button("SVG", () => download(`${about.name}.svg`, svgText(svg), "image/svg+xml"), { "data-key": "svg" }),
  ];
  if (about.rows?.length) {
    tools.push(
      button("CSV", () => download(`${about.name}.csv`, csvOf(about.rows), "text/csv"), {
        "data-key": "csv",
      }),
    );
  }
  const caption = [el("strong", {}, about.title), about.words ? `. ${about.words}` : ""];
  return el(
    "figure",
    { class: "chart", "data-key": about.name },
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
  // As many digits as any number here means, without the noise of floats.
  if (typeof value === "number")
    return String(Number.isInteger(value) ? value : Number(value.toPrecision(10)));
  const text = String(value).replace(/^([=+\-@\t\r])/, "'$1");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvLines = (lines) => `${lines.map((line) => line.map(csvField).join(",")).join("\n")}\n`;

function csvOf(rows) {
  const keys = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return csvLines([keys, ...rows.map((row) => keys.map((key) => row[key]))]);
}

function svgElement(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** What lines and symbols mean. series: {name, and method or colour, dash; or symbol, of `SYMBOLS`}. */
function legend(series) {
  return el(
    "ul",
    { class: "legend" },
    series.map((entry) => {
      const picture = { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" };
      const line = () => ({
        d: "M1 6 H25",
        stroke: entry.colour ?? colourOf(entry.method),
        "stroke-width": 3,
        "stroke-dasharray": entry.dash ?? "",
      });
      const mark = () => ({
        d: d3.symbol(SYMBOLS[entry.symbol], 56)(),
        transform: "translate(13 6)",
        fill: entry.colour ?? "var(--soft)",
      });
      const path = svgElement("path", entry.symbol ? mark() : line());
      return el("li", {}, svgElement("svg", picture, path), ` ${entry.name}`);
    }),
  );
}
