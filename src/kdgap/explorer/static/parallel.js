"use strict";
// Parallel coordinates: each configuration of a grid as a line over its hyper-parameters and accuracy.

/** Keys of the address that narrow a hyper-parameter begin so. */
const NARROWED = "at.";

function parallelSection(rows, varied, state) {
  if (!varied.length) return null;
  const values = (name) => [...new Set(rows.map((row) => String(row.parameters[name] ?? "none")))];
  const wanted = Object.fromEntries(
    varied.map((name) => [name, state.get(NARROWED + name)]).filter(([, value]) => value),
  );
  const ties = state.get("only") === "ties";
  const fits = (row) =>
    (!ties || row.may_be_best) &&
    Object.entries(wanted).every(([name, value]) => String(row.parameters[name] ?? "none") === value);
  const sorted = (name) => values(name).sort((a, b) => ordered(a, b, 1));
  return section(
    "Every configuration as a line",
    el(
      "div",
      { class: "picker" },
      varied.map((name) =>
        choice(
          NARROWED + name,
          name,
          [["", "any"], ...sorted(name).map((value) => [value, value])],
          wanted[name] ?? "",
          (value) => kdgap.change({ [NARROWED + name]: value }),
        ),
      ),
      choice(
        "only",
        "strong lines",
        [
          ["", "all"],
          ["ties", "those that may be best"],
        ],
        ties ? "ties" : "",
        (only) => kdgap.change({ only }),
      ),
    ),
    parallelChart(
      rows,
      varied,
      { name: "parallel", title: "Hyper-parameters and accuracy of everything tried" },
      fits,
    ),
  );
}

/** Where a value stands on its axis, from 0 at the bottom to 1; with the ticks to write. */
function parallelAxis(rows, name, value, text) {
  const values = [...new Set(rows.map(value))].filter((part) => part !== null);
  const numbers = values.every((part) => typeof part === "number");
  if (numbers && values.length > 12) {
    const scale = d3.scaleLinear(d3.extent(values), [0.03, 0.97]);
    return {
      name,
      place: (row) => scale(value(row)),
      ticks: scale.ticks(5).map((at) => [scale(at), text(at)]),
    };
  }
  // The values of a grid stand evenly, as in its cells.
  const sorted = values.sort((a, b) => ordered(a, b, 1));
  const scale = d3.scalePoint(sorted.map(String), [0.03, 0.97]);
  return {
    name,
    place: (row) => scale(String(value(row))),
    ticks: sorted.map((part) => [scale(String(part)), text(part)]),
  };
}

const parallelPoint = (row) =>
  `${pairName(row.tuning)}\n${settingsText(row.parameters)}\n${percent(row.score)} %, ${tieText(row)}`;

/** Values beside their axis, on its left (-1) or right (1). */
const tickTexts = (ticks, side) =>
  Plot.text(ticks, {
    ...{ x: "axis", y: "at", text: "text", dx: 6 * side, textAnchor: side < 0 ? "end" : "start" },
    ...{ fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4 },
  });

/** Lines over hyper-parameters and accuracy. rows: of `triedRows`; fits: which are strong. */
function parallelChart(rows, varied, about, fits = () => true) {
  const scored = rows.filter((row) => known(row.score));
  if (!scored.length) return null;
  const scores = scored.map((row) => 100 * row.score);
  const [low, high] = d3.extent(scores);
  const outcome = d3.scaleLinear(low < high ? [low, high] : [low - 1, high + 1], [0.03, 0.97]);
  const axes = [
    ...varied.map((name) => parallelAxis(scored, name, (row) => row.parameters[name] ?? "none", String)),
    {
      name: "accuracy (%)",
      place: (row) => outcome(100 * row.score),
      ticks: outcome.ticks(5).map((at) => [outcome(at), String(at)]),
    },
  ];
  const names = axes.map((axis) => axis.name);
  const points = scored.flatMap((row, line) =>
    axes.map((axis) => ({ line, row, axis: axis.name, at: axis.place(row), strong: fits(row) })),
  );
  const ticks = axes.flatMap((axis) => axis.ticks.map(([at, text]) => ({ axis: axis.name, at, text })));
  const looks = { true: "var(--more)", false: "var(--less)", null: "var(--soft)" };
  const colour = ({ row }) => looks[row.may_be_best];
  const lines = (strong) =>
    Plot.line(
      points.filter((point) => point.strong === strong),
      {
        ...{ x: "axis", y: "at", z: "line", curve: "bump-x" },
        stroke: strong ? colour : "var(--line)",
        strokeWidth: ({ row }) => (strong && row.chosen ? 3.5 : strong ? 1.6 : 1),
        strokeDasharray: null,
        strokeOpacity: strong ? 0.85 : 0.7,
      },
    );
  return figure(
    {
      height: 300,
      marginLeft: 48,
      marginRight: 60,
      marginTop: 26,
      marginBottom: 12,
      x: { type: "point", padding: 0.1, domain: names, axis: "top", label: null, tickSize: 0 },
      y: { domain: [0, 1], axis: null },
      marks: [
        Plot.ruleX(names, { stroke: "var(--soft)" }),
        lines(false),
        lines(true),
        // The values of the last axis stand to its right, where no line is.
        tickTexts(
          ticks.filter((tick) => tick.axis !== names.at(-1)),
          -1,
        ),
        tickTexts(
          ticks.filter((tick) => tick.axis === names.at(-1)),
          1,
        ),
        Plot.tip(
          points.filter((point) => point.strong),
          Plot.pointer({ x: "axis", y: "at", title: ({ row }) => parallelPoint(row) }),
        ),
      ],
    },
    {
      ...about,
      words:
        about.words ??
        "A line is a configuration. Teal may be the best of its grid, brown is behind by more than the noise of seeds, thick was chosen, grey is narrowed away.",
      legend: [
        { name: "may be the best of its grid", colour: "var(--more)" },
        { name: "behind", colour: "var(--less)" },
      ],
      rows: scored.map((row) => ({
        pair: pairName(row.tuning),
        ...row.parameters,
        accuracy_percent: 100 * row.score,
        may_be_best: row.may_be_best,
        chosen: row.chosen,
      })),
    },
  );
}
