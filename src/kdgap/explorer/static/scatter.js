"use strict";
// Any column against any other, over runs or over configurations.
kdgap.views.scatter = {
  title: "Scatter",
  async draw(study, state) {
    const of = state.get("of") === "configurations" ? "configurations" : "runs";
    const every = of === "runs" ? await runEntries(study) : armEntries(study);
    const heading = el("h1", {}, "Any column against any other");
    if (!every.length) return [heading, el("p", {}, "No run is planned yet.")];
    const entries = every.filter((entry) =>
      SCATTER_FILTERS.every((name) => !state.get(name) || entry[name].includes(state.get(name))),
    );
    const quantities = (of === "runs" ? runQuantities(study) : armQuantities(study)).filter((quantity) =>
      every.some((entry) => !empty(quantity.value(entry))),
    );
    const kinds = SCATTER_KINDS.filter(({ value }) => new Set(every.map(value)).size > 1);
    const axes = [...quantities, ...kinds];
    const pick = (key, options, first) =>
      [state.get(key), ...first].map((name) => options.find((axis) => axis.key === name)).find(Boolean) ??
      options[0];
    const [x, y] = [pick("x", axes, FIRST_AXES[of][0]), pick("y", axes, FIRST_AXES[of][1])];
    const colour = pick("colour", [...kinds, ...quantities], ["method"]);
    const go = (key) => (value) => kdgap.change({ [key]: value, page: null });
    const axisChoice = (key, words, options, chosen) =>
      choice(
        key,
        words,
        options.map(({ key, title }) => [key, title]),
        chosen?.key,
        go(key),
      );
    const axisChoices = [
      choice(
        "of",
        "points are",
        [
          ["runs", "runs"],
          ["configurations", "configurations"],
        ],
        of,
        (of) => {
          location.hash = kdgap.address("scatter", { of });
        },
      ),
      axisChoice("x", "across", axes, x),
      axisChoice("y", "up", axes, y),
      axisChoice("colour", "colour", [...kinds, ...quantities], colour),
      linkButton(),
    ];
    const more = [
      scaleChoice("xscale", x, entries, state),
      scaleChoice("yscale", y, entries, state),
      SCATTER_FILTERS.map((name) => scatterFilter(name, every, state.get(name) ?? "")),
    ];
    return [
      heading,
      el(
        "p",
        {},
        "To look for what goes together. What is found by looking is no result: a claim that was declared before is.",
      ),
      ...scatterChoices(axisChoices, more, state),
      ...scatterParts(of, entries, { x, y, colour }, state),
    ];
  },
};

/** Scales and filters are folded away while none is chosen; on a phone, all choices are. */
function scatterChoices(axes, more, state) {
  const active = SCATTER_FILTERS.filter((name) => state.get(name)).length;
  const picker = (choices) => el("div", { class: "picker compact" }, choices);
  if (slim()) return [foldedChoices("choices", "Axes, scales and filters", active, picker([axes, more]))];
  const part = foldedChoices("scales", "Scales and filters", active, picker(more));
  part.open = active > 0 || ["xscale", "yscale"].some((key) => state.get(key));
  return [picker(axes), part];
}

const SCATTER_FILTERS = ["role", "student", "method"];
/** What both axes are of at first: the first of these that there is. */
const FIRST_AXES = {
  runs: [["validation"], ["test"]],
  configurations: [
    ["agreement", "validation"],
    ["gain", "mean"],
  ],
};

function scatterFilter(name, entries, chosen) {
  const values = [...new Set(entries.flatMap((entry) => entry[name]))]
    .filter(Boolean)
    .sort((a, b) => ordered(a, b, 1));
  const text = name === "method" ? methodName : (value) => value;
  return choice(
    name,
    `only ${name}`,
    [["", "any"], ...values.map((value) => [value, text(value)])],
    chosen,
    (value) => kdgap.change({ [name]: value, page: null }),
  );
}

/** Whether an axis can be logarithmic: numbers above zero of more than one size. */
const canBeLog = (axis, entries) => {
  const values = entries.map(axis.value).filter((value) => !empty(value));
  return !axis.kind && values.length > 1 && d3.min(values) > 0 && d3.max(values) > d3.min(values);
};

const scaleChoice = (key, axis, entries, state) =>
  canBeLog(axis, entries)
    ? choice(
        key,
        key === "xscale" ? "scale across" : "scale up",
        [
          ["", "linear"],
          ["log", "logarithmic"],
        ],
        state.get(key) === "log" ? "log" : "",
        (value) => kdgap.change({ [key]: value }),
      )
    : null;

/** Points that are drawn: of more, evenly chosen ones. */
const MOST_POINTS = 2000;

function scatterParts(of, entries, { x, y, colour }, state) {
  const there = entries.filter((entry) => !empty(x.value(entry)) && !empty(y.value(entry)));
  if (!there.length)
    return [el("p", {}, `None of ${counted(entries.length, "point")} has both ${x.title} and ${y.title}.`)];
  const step = Math.ceil(there.length / MOST_POINTS);
  const drawn = there.filter((_, index) => index % step === 0);
  const missing = entries.length - there.length;
  const words = [
    `${counted(there.length, of.slice(0, -1))}.`,
    missing ? `${counted(missing, "other")} without both numbers.` : null,
    step > 1 ? `Drawn is one in ${step}.` : null,
  ];
  return [
    el("p", { role: "status" }, words.filter(Boolean).join(" ")),
    el(
      "div",
      { class: "beside" },
      scatterChart(drawn, { x, y, colour }, state),
      el("div", {}, scatterTable(of, there, { x, y, colour }, state)),
    ),
  ];
}

const written = (axis, entry) => {
  const value = axis.value(entry);
  if (empty(value)) return DASH;
  if (axis.kind) return value;
  if (axis.key === "gain") return signed(value);
  if (axis.unit) return fixed(value, axis.digits);
  return Math.abs(value) >= 1e5 ? compact(value) : minus(String(Number(rounded(value, axis.digits))));
};

/** Colours of what is no method: with a symbol each where there are more. */
const KIND_COLOURS = ["--term-2", "--term-3", "--same", "--term-4", "--teacher", "--mind", "--soft"].map(
  (name) => `var(${name})`,
);

/** How points look by a column: {stroke, opacity, symbol: of an entry; legend}. */
function scatterLook(colour, entries) {
  if (!colour.kind) {
    const [low, high] = d3.extent(entries.map(colour.value).filter((value) => !empty(value)));
    const share = (entry) =>
      empty(colour.value(entry)) || !(low < high) ? 0 : (colour.value(entry) - low) / (high - low);
    const ends = entries.filter((entry) => [low, high].includes(colour.value(entry)));
    const text = (value) =>
      written(
        colour,
        ends.find((entry) => colour.value(entry) === value),
      );
    return {
      stroke: () => "var(--more)",
      opacity: (entry) => 0.12 + 0.88 * share(entry),
      symbol: () => "circle",
      legend: known(low)
        ? [
            {
              name: `${colour.title}: pale ${text(low)}, full ${text(high)}`,
              colour: "var(--more)",
              symbol: "circle",
            },
          ]
        : [],
    };
  }
  const names = [...new Set(entries.map(colour.value))];
  const methods = new Map(entries.map((entry) => [colour.value(entry), entry.slot.method]));
  const places = new Map(names.map((name, place) => [name, place]));
  const own = (name) =>
    colour.key === "method"
      ? colourOf(methods.get(name))
      : KIND_COLOURS[places.get(name) % KIND_COLOURS.length];
  const symbols = Object.keys(SYMBOLS);
  const symbol = (name) => symbols[places.get(name) % symbols.length];
  return {
    stroke: (entry) => own(colour.value(entry)),
    opacity: () => 0.35,
    symbol: (entry) => symbol(colour.value(entry)),
    legend: names.slice(0, 24).map((name) => ({ name, colour: own(name), symbol: symbol(name) })),
  };
}

function scatterChart(entries, { x, y, colour }, state) {
  const look = scatterLook(colour, entries);
  const points = entries.map((entry) => ({ entry, x: x.value(entry), y: y.value(entry) }));
  const names = [x, y].map((axis) =>
    axis.kind ? Math.max(...entries.map((entry) => axis.value(entry).length)) : 0,
  );
  const axisOf = (axis, key, label) => ({
    label,
    grid: true,
    ...(axis.kind
      ? { type: "point" }
      : canBeLog(axis, entries) && state.get(`${key}scale`) === "log"
        ? { type: "log", nice: false, ticks: 6, tickFormat: compact }
        : {
            nice: true,
            ticks: 6,
            ...levelled(points.map((point) => point[key])),
            ...(axis.key.match(/^(parameters|flops)$/) ? { tickFormat: compact } : {}),
          }),
  });
  const tilted = x.kind && names[0] * new Set(points.map((point) => point.x)).size * 7 > room() - 120;
  const drawn = figure(
    {
      height: wide() ? 420 : 320,
      insetLeft: EDGE,
      insetRight: EDGE,
      insetTop: EDGE,
      insetBottom: EDGE,
      marginLeft: y.kind ? Math.min(220, 24 + 6.6 * names[1]) : 56,
      marginBottom: tilted ? Math.min(150, 40 + 4.2 * names[0]) : 42,
      marginRight: 24,
      x: { ...axisOf(x, "x", `${x.title} →`), ...(tilted ? { tickRotate: -40, label: null } : {}) },
      y: axisOf(y, "y", y.kind ? null : `↑ ${y.title}`),
      marks: [
        ...boundsOf(points, x, y, look),
        Plot.dot(points, {
          ...{ x: "x", y: "y", r: entries.length > 500 ? 2.5 : 4.5 },
          symbol: (point) => look.symbol(point.entry),
          stroke: (point) => look.stroke(point.entry),
          fill: (point) => look.stroke(point.entry),
          fillOpacity: (point) => look.opacity(point.entry),
        }),
        Plot.tip(
          points,
          Plot.pointer({
            ...{ x: "x", y: "y" },
            title: ({ entry }) =>
              `${entryName(entry)}\n${x.title}: ${written(x, entry)}\n${y.title}: ${written(y, entry)}\nclick to open`,
          }),
        ),
      ],
    },
    {
      name: "scatter",
      title: `${capital(y.title)} against ${lower(x.title)}`,
      words: "A press on a point opens it; the table leads to the same.",
      legend: look.legend,
      columns: 2,
      rows: points.map(({ entry }) => scatterRow(entry, [x, y, colour])),
    },
  );
  // The chart says which point the pointer is nearest to.
  const svg = drawn.querySelector("svg.plot");
  svg?.addEventListener("click", () => {
    if (svg.value) location.hash = kdgap.address(...entryPlace(svg.value.entry));
  });
  return drawn;
}

/** Intervals of an axis whose numbers have some. */
function boundsOf(points, x, y, look) {
  const some = (axis) =>
    points.flatMap((point) => {
      const ends = axis.bounds?.(point.entry);
      return ends ? [{ ...point, low: ends[0], high: ends[1] }] : [];
    });
  const stroke = (point) => look.stroke(point.entry);
  return [
    Plot.ruleX(some(y), { x: "x", y1: "low", y2: "high", stroke, strokeOpacity: 0.5 }),
    Plot.ruleY(some(x), { y: "y", x1: "low", x2: "high", stroke, strokeOpacity: 0.5 }),
  ];
}

/** A point in a CSV: its name and its columns. */
const scatterRow = (entry, axes) => ({
  name: entryName(entry),
  ...Object.fromEntries(axes.map((axis) => [axisKey(axis), axis.value(entry)])),
});
const axisKey = (axis) => (axis.unit ? `${axis.key}_${axis.unit}` : axis.key);

function scatterTable(of, entries, { x, y, colour }, state) {
  const column = (axis) =>
    axis.kind
      ? col(axis.key, axis.title, axis.value)
      : num(axis.key, axis.title, axis.value, { show: (entry) => written(axis, entry), unit: axis.unit });
  const axes = [...new Set([x, y, colour])];
  return table(
    [
      col("name", of.slice(0, -1), entryName, { show: (entry, name) => link(name, ...entryPlace(entry)) }),
      ...axes.map(column),
    ],
    entries,
    {
      name: "points",
      caption: `The points of the figure`,
      sort: state.get("sort") ?? "",
      page: Number(state.get("page") ?? 0),
      onstate: kdgap.note,
    },
  );
}
