"use strict";
// The scale of colours of gains, and the matrix of gains as a picture for files.

/** Multiples of the smallest effect of interest at which a colour begins. */
const STEPS = [1, 2, 4, 8];

/** A gain's step on the scale of colours: 0 within the smallest effect or unknown, else ±1 to ±4. */
function stepOf(gain) {
  if (!known(gain.gain_pp)) return 0;
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  return Math.sign(gain.gain_pp) * d3.bisectRight(STEPS, Math.abs(gain.gain_pp) / margin);
}

/** The class of a step: `more-2`, `less-1`, `level`. */
const tintClass = (step) => (step === 0 ? "level" : `${step > 0 ? "more" : "less"}-${Math.abs(step)}`);

/** Every step of the scale with its words, from the most below to the most above. */
function tintLevels(margin) {
  const number = (value) => minus(String(Number(value.toPrecision(3))));
  const signs = (sign) =>
    STEPS.map((step, index) => ({
      step: sign * (index + 1),
      text: `${sign > 0 ? "from +" : "from "}${number(sign * step * margin)}`,
    }));
  return [...signs(-1).reverse(), { step: 0, text: `within ±${number(margin)}` }, ...signs(1)];
}

const EDGE_ALONE = "edge alone: not settled";

/** What the colours mean, in the unit of the gains. */
const tintLegend = (margin) =>
  el(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    tintLevels(margin).map(({ step, text }) =>
      el("li", {}, el("span", { class: `tint ${tintClass(step)}` }, text)),
    ),
    el("li", {}, el("span", { class: "tint more-2 open" }, EDGE_ALONE)),
    el("li", {}, "pp; the smallest effect of interest is in the middle"),
  );

/** The same for the file of a picture, as `legend` has entries. */
const tintEntries = (margin) => [
  ...tintLevels(margin).map(({ step, text }) => ({ name: `${text} pp`, tint: tintLook(step) })),
  { name: EDGE_ALONE, tint: { ...tintLook(2), open: true } },
];

/** How a step looks, as the style sheet has it: {hue, strength: in [0, 1]}. */
function tintLook(step) {
  const sample = el("span", { class: `tint ${tintClass(step)}` });
  document.getElementById("main").append(sample);
  const style = getComputedStyle(sample);
  const [hue, strength] = ["--hue", "--strength"].map((name) => style.getPropertyValue(name).trim());
  sample.remove();
  return { hue, strength: parseFloat(strength) / 100 };
}

/** The shape of a tint, in parts of an SVG: filled, or with an edge alone. */
function tintPicture({ hue, strength, open }, width, height) {
  const edge = Math.min(6, width / 4);
  const box = { width, height, rx: 3 };
  const strong = { fill: hue, "fill-opacity": open ? strength + 0.25 : strength };
  if (!open) return [svgElement("rect", { ...box, ...strong })];
  return [
    svgElement("rect", { ...box, fill: "none", stroke: "var(--soft)", "stroke-dasharray": "3 2" }),
    svgElement("rect", { width: edge, height, ...strong }),
  ];
}

/** Pixels of a line of text in the picture, between its columns, and around the words of a chip. */
const [LINE, BETWEEN, WITHIN] = [16, 14, 6];

/**
 * The matrix as an SVG: its rows as the page has them, each gain with its verdict and its seeds.
 * methods: the columns; compared: what `comparedWith` returned; bounds(gain): its interval.
 */
function matrixPicture(rows, methods, compared, bounds) {
  const cells = rows.map((row) => [
    { lines: [[row.name]] },
    { lines: [[spread(...compared.level(row.valued))]] },
    ...methods.map((method) => {
      const own = row.own.filter((gain) => gain.method === method);
      return own.length
        ? { chips: own.map((gain) => chipOf(gain, bounds, own.length > 1)) }
        : { lines: [[DASH]] };
    }),
  ]);
  const heads = ["pair", `${compared.label} (%)`, ...methods.map(methodName)];
  const widest = (lines) => Math.max(...lines.map((words) => textWidth(words.join(""), 12, 600)));
  const linesOf = (cell) => cell.lines ?? cell.chips.flatMap((chip) => chip.lines);
  const widths = heads.map((head, column) =>
    Math.ceil(
      Math.max(textWidth(head, 12, 600), ...cells.map((row) => widest(linesOf(row[column])) + 2 * WITHIN)),
    ),
  );
  const xs = d3.cumsum([0, ...widths.map((width) => width + BETWEEN)]);
  const width = Math.max(420, xs.at(-1) - BETWEEN);
  const parts = heads.map((head, column) => textAt(xs[column], LINE, head, { "font-weight": 600 }));
  let y = LINE + 8;
  for (const row of cells) {
    parts.push(svgElement("path", { d: `M0 ${y} H${width}`, stroke: "var(--line)", "stroke-width": 1 }));
    y += 6;
    const heights = row.map((cell, column) => placed(cell, xs[column], y, widths[column], parts));
    y += Math.max(...heights) + 4;
  }
  return svgElement("svg", { width, height: Math.ceil(y) }, ...parts);
}

/** A gain of the picture: {tint, lines: each the parts of one line}. */
const chipOf = (gain, bounds, several) => ({
  tint: { ...tintLook(stepOf(gain)), open: isOpen(gain) },
  lines: [
    chipWords(gain, bounds(gain)),
    [`${verdictText(gain)} · n = ${sidesOf(gain)}`],
    ...(several ? [[settingsText(gain.parameters)]] : []),
  ],
});

const textAt = (x, y, words, more = {}) => svgElement("text", { x, y, "font-size": 12, ...more }, words);

/** Put a cell's shapes and words among the parts; return the pixels that it takes downwards. */
function placed(cell, x, y, width, parts) {
  let down = 0;
  for (const { tint, lines } of cell.chips ?? [cell]) {
    const height = LINE * lines.length + (tint ? 6 : 0);
    if (tint)
      parts.push(
        svgElement("g", { transform: `translate(${x} ${y + down})` }, ...tintPicture(tint, width, height)),
      );
    for (const [index, words] of lines.entries()) {
      const more = tint && !index ? { "font-weight": 600 } : {};
      parts.push(
        textAt(x + (tint ? WITHIN + 4 : 0), y + down + LINE * (index + 1) - 2, words.join(""), more),
      );
    }
    down += height + 4;
  }
  return down;
}
