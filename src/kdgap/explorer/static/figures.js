"use strict";
// The figures that several views share: intervals and seeds.

const pointTitle = (row) =>
  `${row.label}\n${signed(row.value)} pp ${interval(known(row.low) ? [row.low, row.high] : null)}${row.all ? `\nfor all at once ${interval(row.all)}` : ""}\n${row.verdict ?? ""}`;

/** Letters of a label that has no room beside its line any more: it stands above. */
const LONG = 46;

/** Labels above their lines, drawn last and with a halo, so that nothing strikes them through. */
function labelsAbove(rows, key, dy) {
  const letters = Math.floor((Math.min(760, room()) - 30) / 6.3);
  const short = (text) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
  return Plot.text(rows, {
    y: key,
    text: (row) => short(row[key]),
    frameAnchor: "left",
    dy,
    textAnchor: "start",
    fontSize: 11.5,
    stroke: "var(--paper)",
    fill: "currentColor",
    strokeWidth: 4,
  });
}

/** What is printed of a difference: its numbers, and its verdict with the seeds. */
const numbersOf = (row) =>
  [
    `${signed(row.value)}${known(row.low) ? ` ${interval([row.low, row.high])}` : ""}`,
    [row.verdict, row.n ? `n = ${row.n}` : null].filter(Boolean).join(" · "),
  ].filter(Boolean);

/** Words of lines, at the right of the frame; or below their labels, where there is no room. */
const wordsBeside = (rows, y, text, beside) =>
  Plot.text(rows, {
    ...{ y, fontSize: 11.5, fontVariant: "tabular-nums", textAnchor: "start", lineHeight: 1.1 },
    text: (row) => text(row).join(beside ? "\n" : " · "),
    ...(beside
      ? { frameAnchor: "right", dx: 8 }
      : { frameAnchor: "left", dy: -14, stroke: "var(--paper)", fill: "currentColor", strokeWidth: 4 }),
  });

/** Return entries with different labels: each has a line of its own. */
function distinct(entries) {
  const seen = new Map();
  return entries.map((entry) => {
    const count = (seen.get(entry.label) ?? 0) + 1;
    seen.set(entry.label, count);
    return count > 1 ? { ...entry, label: `${entry.label} (${count})` } : entry;
  });
}

/**
 * Differences with their intervals, one line each.
 * entries: {label, method, value, low, high, all: the interval that holds for all at once, verdict, n}.
 * about.all: what these are all of, such as "8 gains".
 */
function intervalChart(entries, about) {
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  const rows = distinct(entries.filter((entry) => known(entry.value))).map((row) => ({
    ...row,
    all: row.all && row.all[0] === row.low && row.all[1] === row.high ? null : row.all, // a family of one
  }));
  if (!rows.length) return note("No difference could be computed.");
  const letters = (texts) => 6.6 * Math.max(...texts.map((text) => text.length));
  const left = Math.min(320, 16 + letters(rows.map((row) => row.label)));
  const right = 12 + letters(rows.flatMap(numbersOf));
  // Names and numbers stand beside their lines where that leaves the lines room enough.
  const width = widthOf(about);
  const beside = width - left - right > 200 && left < 16 + 6.6 * LONG;
  const ends = rows.flatMap((row) => [row.low ?? row.value, row.high ?? row.value, ...(row.all ?? [])]);
  const [least, most] = d3.extent([0, ...ends]);
  const open = (row) => row.open ?? OPEN.includes(row.verdict);
  const colour = (row) => row.colour ?? colourOf(row.method);
  const line = (x1, x2, strokeWidth, filter) =>
    Plot.ruleY(rows.filter(filter), { x1, x2, y: "label", stroke: colour, strokeWidth });
  const marks = [
    Plot.rectX([0], { x1: -margin, x2: margin, fill: "var(--band)" }),
    Plot.ruleX([0], { stroke: "currentColor" }),
    line(
      (row) => row.all[0],
      (row) => row.all[1],
      THIN,
      (row) => row.all,
    ),
    line("low", "high", THICK, (row) => known(row.low)),
    Plot.dot(rows, {
      x: "value",
      y: "label",
      r: 4.5,
      stroke: colour,
      strokeWidth: 2,
      fill: (row) => (open(row) ? "var(--paper)" : colour(row)),
      tip: true,
      title: pointTitle,
    }),
  ];
  if (!beside) marks.push(labelsAbove(rows, "label", -28));
  marks.push(wordsBeside(rows, "label", numbersOf, beside));
  const [marginLeft, marginRight] = beside ? [left, right] : [10, 16];
  const domain = [Math.min(least, -margin), Math.max(most, margin)];
  const scale = stretched(domain, margin, width - marginLeft - marginRight - 2 * EDGE);
  const words = `${about.words ?? ""}${scale.type ? " The axis is stretched around zero." : ""}`.trim();
  return figure(
    {
      height: 70 + rows.length * (beside ? 34 : 56),
      marginTop: beside ? undefined : 34,
      marginLeft,
      marginRight,
      insetLeft: EDGE,
      insetRight: EDGE,
      x: {
        label: "difference in percentage points →",
        grid: true,
        nice: true,
        ...scale,
      },
      y: { label: null, domain: rows.map((row) => row.label), axis: beside ? "left" : null },
      marks,
    },
    { ...about, words, rows: rows.map(differenceRow), legend: intervalLegend(rows, open, margin, about.all) },
  );
}

/** Pixels of a line that holds by itself, and of one that holds for all lines at once. */
const THICK = 2.5;
const THIN = 1;

/** What the lines and points of an `intervalChart` mean: what is in it alone. */
const intervalLegend = (rows, open, margin, all) =>
  [
    rows.some((row) => known(row.low))
      ? { name: `${confidence()} interval of each by itself`, width: THICK }
      : null,
    rows.some((row) => row.all)
      ? { name: `${confidence()} interval for all${all ? ` ${all}` : ""} at once`, width: THIN }
      : null,
    rows.some((row) => !open(row)) ? { name: "settled", point: "full" } : null,
    rows.some(open) ? { name: "not settled", point: "open" } : null,
    { name: `smaller than ±${margin} pp, the smallest effect of interest`, band: true },
  ].filter(Boolean);

/** A difference in a CSV. */
const differenceRow = (row) => ({
  label: row.label,
  value_pp: row.value,
  low_pp: row.low,
  high_pp: row.high,
  low_all_pp: row.all?.[0],
  high_all_pp: row.all?.[1],
  verdict: row.verdict,
  n: row.n,
});

/** Return a scale that keeps small differences apart where others are many times as large. */
function stretched([least, most], margin, pixels) {
  if (Math.max(-least, most) < 15 * margin) return {};
  const constant = 2 * margin;
  const place = d3.scaleSymlog([least, most], [0, pixels]).constant(constant);
  const far = [500, 250, 125, 50, 25, 10, 5].flatMap((step) => [-step * margin, step * margin]);
  const inner = [-margin, margin, -2.5 * margin, 2.5 * margin];
  const within = [...inner, ...far].filter((tick) => tick > least && tick < most);
  return {
    type: "symlog",
    constant,
    domain: [least, most],
    nice: false,
    ticks: apart([0, ...within], place),
    tickFormat: (tick) => minus(String(Number(tick.toPrecision(3)))),
  };
}

/** An arm's seeds for a `seedChart`, as they are judged: a seed's is the mean over its teachers. */
const seedGroup = (arm, label, colour) => ({
  label: label ?? armName(arm),
  colour: colour ?? colourOfArm(arm),
  mean: arm.mean,
  std: arm.std,
  n: arm.n,
  teachers: teachersOf(arm).length,
  left_out: arm.left_out,
  values: arm.means.map((mean) => ({ seed: mean.seed, value: mean[kdgap.study.primary] })),
});

/** The ids of the runs that taught an arm's. */
const teachersOf = (arm) => [...new Set(arm.seeds.map((run) => run.teacher?.id).filter(Boolean))];

/** What a reader has to know of the points of a `seedChart`. */
function seedWords(groups) {
  const several = groups.some((group) => group.teachers > 1);
  const out = groups
    .filter((group) => group.left_out.length)
    .map((group) => ` ${leftOut(group.left_out)}, of ${group.label}.`);
  return `One point a seed${several ? ", its mean over teachers" : ""}; the tick is the mean, printed with the standard deviation.${out.join("")}`;
}

const leftOut = (seeds) =>
  `Not counted, as the run of a teacher is missing: ${seeds.length === 1 ? "seed" : "seeds"} ${seeds.join(", ")}`;

/** Whether labels stand beside their lines, and not above. */
const labelsBeside = (names) => wide() && Math.max(...names.map((name) => name.length)) < LONG;

/** The frame of a figure with a line for each name, over test accuracies in percent. */
const accuracyFrame = (names, values, marginRight = 16) => {
  const beside = labelsBeside(names);
  return {
    marginLeft: beside ? Math.min(320, 16 + 6.6 * Math.max(...names.map((name) => name.length))) : 10,
    marginRight: beside ? marginRight : 16,
    insetLeft: EDGE,
    insetRight: EDGE,
    x: { label: "test accuracy (%) →", grid: true, nice: true, ...levelled(values) },
    y: { label: null, domain: names, axis: beside ? "left" : null },
  };
};

/** Test accuracy of every seed, one line an arm, with each arm's mean. */
function seedChart(entries, about) {
  const groups = distinct(entries).filter((group) => group.values.some((mean) => known(mean.value)));
  if (!groups.length) return null;
  const rows = groups.flatMap((group) =>
    group.values
      .filter((mean) => known(mean.value))
      .map((mean) => ({ arm: group.label, seed: mean.seed, accuracy: mean.value, group })),
  );
  const names = groups.map((group) => group.label);
  const means = groups.map((group) => ({ arm: group.label, accuracy: group.mean, group }));
  const beside = labelsBeside(names);
  const stroke = (row) => row.group.colour;
  const marks = [
    Plot.tickX(means, {
      ...{ x: "accuracy", y: "arm", stroke, strokeWidth: 2.5 },
      insetTop: beside ? 4 : 22,
      insetBottom: beside ? 4 : 22,
    }),
    Plot.dot(rows, {
      ...{ x: "accuracy", y: "arm", r: 4.5, stroke, strokeWidth: 1.5, fill: stroke, fillOpacity: 0.25 },
      tip: true,
      title: (row) =>
        `${row.arm}\nseed ${row.seed}: ${rounded(row.accuracy, 2)} %${row.group.teachers > 1 ? `, mean over ${row.group.teachers} teachers` : ""}`,
    }),
  ];
  if (!beside) marks.push(labelsAbove(means, "arm", -28));
  const printed = ({ group }) => [`${spread(group.mean, group.std)} %`, `n = ${group.n}`];
  const shown = means.filter((row) => known(row.accuracy));
  marks.push(wordsBeside(shown, "arm", printed, beside));
  return figure(
    {
      ...accuracyFrame(
        names,
        rows.map((row) => row.accuracy),
        104,
      ),
      height: 70 + names.length * (beside ? 34 : 60),
      marginTop: beside ? undefined : 34,
      marks,
    },
    {
      words: seedWords(groups),
      ...about,
      rows: rows.map((row) => ({ arm: row.arm, seed: row.seed, accuracy_percent: row.accuracy })),
    },
  );
}

/** Room around values that are all one, whose ticks would else be of nothing. */
function levelled(values) {
  const [low, high] = d3.extent(values);
  const around = Math.abs(low) / 50 || 1;
  return low < high ? {} : { domain: [low - around, low + around] };
}
