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

/** The room for what is shown: within the margins of the page. */
const room = () => {
  const main = document.getElementById("main");
  const { paddingLeft, paddingRight } = getComputedStyle(main);
  return main.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) || 720;
};
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
  const caption = [el("strong", {}, about.title), about.words ? `. ${about.words}` : ""];
  return el(
    "figure",
    { class: "chart", "data-key": about.name },
    about.legend ? legend(about.legend) : null,
    drawn,
    el("figcaption", {}, caption),
    el(
      "p",
      { class: "tools" },
      figureTools(() => wholeFigure(svg, about), about),
    ),
  );
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

/**
 * The picture of an entry of a legend, in 26 by 12 pixels. entry: method or colour, with dash and width for
 * a line; symbol, of `SYMBOLS`; point: "full" or "open"; tint, of `tintLook`; or band.
 */
function legendPicture(entry) {
  const colour = entry.colour ?? (entry.method ? colourOf(entry.method) : "currentColor");
  if (entry.symbol) {
    const d = d3.symbol(SYMBOLS[entry.symbol], 56)();
    return [svgElement("path", { d, transform: "translate(13 6)", fill: entry.colour ?? "var(--soft)" })];
  }
  if (entry.tint) return tintPicture(entry.tint, 26, 12);
  if (entry.band) return [svgElement("rect", { width: 26, height: 12, fill: "var(--band)" })];
  if (entry.point) {
    const fill = entry.point === "open" ? "var(--paper)" : colour;
    return [svgElement("circle", { cx: 13, cy: 6, r: 4.5, stroke: colour, "stroke-width": 2, fill })];
  }
  const dash = entry.dash ? { "stroke-dasharray": entry.dash } : {};
  return [svgElement("path", { d: "M1 6 H25", stroke: colour, "stroke-width": entry.width ?? 3, ...dash })];
}

/** What lines and symbols mean. entries: as `legendPicture` has them, each with its name. */
function legend(entries) {
  const size = { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" };
  return el(
    "ul",
    { class: "legend" },
    entries.map((entry) => el("li", {}, svgElement("svg", size, ...legendPicture(entry)), ` ${entry.name}`)),
  );
}
