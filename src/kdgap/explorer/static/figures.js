"use strict";
// The figures that several views share: intervals, seeds, curves, tuning grids.

const pointTitle = (one) =>
  `${one.label}\n${signed(one.value)} pp ${interval(known(one.low) ? [one.low, one.high] : null)}\n${one.verdict ?? ""}`;

/** Letters of a label that has no room beside its line any more: it stands above. */
const LONG = 46;

/** Return entries with different labels: each has a line of its own. */
function distinct(entries) {
  const seen = new Map();
  return entries.map((one) => {
    const count = (seen.get(one.label) ?? 0) + 1;
    seen.set(one.label, count);
    return count > 1 ? { ...one, label: `${one.label} (${count})` } : one;
  });
}

/**
 * Differences with their intervals, one line each.
 * entries: {label, method, value, low, high, verdict}.
 */
function intervalChart(entries, about) {
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  const rows = distinct(entries.filter((one) => known(one.value)));
  if (!rows.length) return note("No difference could be computed.");
  const longest = Math.max(...rows.map((one) => one.label.length));
  const beside = wide() && longest < LONG;
  const least = Math.min(0, ...rows.map((one) => one.low ?? one.value));
  const most = Math.max(0, ...rows.map((one) => one.high ?? one.value));
  const letters = Math.floor((Math.min(760, room()) - 30) / 6.3);
  const short = (text) => (text.length > letters ? `${text.slice(0, letters - 1)}…` : text);
  const open = (one) => OPEN.includes(one.verdict);
  const colour = (one) => one.colour ?? colourOf(one.method);
  const marks = [
    // The band is drawn as far as the figure reaches, so that a small one does not widen it.
    Plot.rectX([0], {
      x1: Math.max(-margin, least - margin),
      x2: Math.min(margin, most + margin),
      fill: "var(--band)",
    }),
    Plot.ruleX([0], { stroke: "currentColor" }),
    Plot.ruleY(
      rows.filter((one) => known(one.low)),
      {
        x1: "low",
        x2: "high",
        y: "label",
        stroke: colour,
        strokeWidth: 2.5,
      },
    ),
    Plot.dot(rows, {
      x: "value",
      y: "label",
      r: 4.5,
      stroke: colour,
      strokeWidth: 2,
      fill: (one) => (open(one) ? "var(--paper)" : colour(one)),
      tip: true,
      title: pointTitle,
    }),
  ];
  if (!beside) {
    marks.push(
      Plot.text(rows, {
        y: "label",
        text: (one) => short(one.label),
        frameAnchor: "left",
        dy: -13,
        textAnchor: "start",
        fontSize: 11.5,
        stroke: "var(--paper)",
        fill: "currentColor",
        strokeWidth: 4,
      }),
    );
  }
  const scale = stretched(least, most, margin);
  const words = `${about.words ?? ""} The band is smaller than ±${margin} pp, the smallest effect of interest; an open point is not settled.${scale.type ? " The axis is stretched around zero." : ""}`;
  return figure(
    {
      height: 70 + rows.length * (beside ? 26 : 40),
      marginLeft: beside ? Math.min(320, 16 + 6.6 * longest) : 10,
      marginRight: 16,
      x: {
        label: "difference in percentage points →",
        grid: true,
        nice: true,
        ...scale,
      },
      y: { label: null, domain: rows.map((one) => one.label), axis: beside ? "left" : null },
      marks,
    },
    { ...about, words: words.trim(), rows },
  );
}

/** Return a scale that keeps small differences apart where others are many times as large. */
function stretched(least, most, margin) {
  if (Math.max(-least, most) < 15 * margin) return {};
  const ends = [1, 2, 5, 10, 25, 50, 100].flatMap((step) => [-step * 5 * margin, step * 5 * margin]);
  const ticks = [0, -margin, margin, -2.5 * margin, 2.5 * margin, ...ends].filter(
    (tick) => tick >= least && tick <= most,
  );
  return {
    type: "symlog",
    constant: 2 * margin,
    nice: false,
    ticks,
    tickFormat: (tick) => minus(String(Number(tick.toPrecision(3)))),
  };
}

/** An arm's seeds for a `seedChart`. */
const seedGroup = (arm, label) => ({
  label: label ?? armName(arm),
  method: arm.method,
  role: arm.role,
  values: arm.seeds.map((one) => ({ seed: one.seed, value: one[kdgap.study.primary].accuracy })),
});

/** Test accuracy of every seed, one line an arm, with each arm's mean. */
function seedChart(given, about) {
  const groups = distinct(given);
  const rows = groups.flatMap((group) =>
    group.values
      .filter((one) => known(one.value))
      .map((one) => ({
        arm: group.label,
        seed: one.seed,
        accuracy: 100 * one.value,
        method: group.method,
        role: group.role,
      })),
  );
  if (!rows.length) return null;
  const colour = (row) => (row.role === "teacher" ? "var(--other-1)" : colourOf(row.method));
  const names = [...new Set(rows.map((row) => row.arm))];
  const longest = Math.max(...names.map((name) => name.length));
  const beside = wide() && longest < LONG;
  const means = names.map((arm) => {
    const own = rows.filter((row) => row.arm === arm);
    return { ...own[0], accuracy: d3.mean(own, (row) => row.accuracy) };
  });
  const marks = [
    Plot.tickX(means, {
      x: "accuracy",
      y: "arm",
      stroke: colour,
      strokeWidth: 2.5,
      insetTop: beside ? 4 : 10,
      insetBottom: beside ? 4 : 10,
    }),
    Plot.dot(rows, {
      x: "accuracy",
      y: "arm",
      r: 4.5,
      stroke: colour,
      strokeWidth: 1.5,
      fill: colour,
      fillOpacity: 0.25,
      tip: true,
      title: (row) => `${row.arm}\nseed ${row.seed}: ${row.accuracy.toFixed(2)} %`,
    }),
  ];
  if (!beside) {
    marks.push(
      Plot.text(means, {
        y: "arm",
        text: "arm",
        frameAnchor: "left",
        dy: -15,
        textAnchor: "start",
        fontSize: 11.5,
      }),
    );
  }
  return figure(
    {
      height: 70 + names.length * (beside ? 34 : 46),
      marginLeft: beside ? Math.min(320, 16 + 6.6 * longest) : 10,
      marginRight: 16,
      x: { label: "test accuracy (%) →", grid: true, nice: true },
      y: { label: null, domain: names, axis: beside ? "left" : null },
      marks,
    },
    { words: "One point a seed; the tick is the mean.", ...about, rows },
  );
}

const curvePoint = (point) =>
  `${point.series}\nepoch ${point.epoch}: ${fixed(point.mean, 4)}` +
  (point.low === point.high ? "" : `\n${fixed(point.low, 4)} to ${fixed(point.high, 4)}`);

/** Curves over epochs with their bands. series: {name, method, curve: {epoch, mean, low, high}, dash}. */
function curveChart(series, unit, about, scale = 1) {
  const colour = (one) => one.colour ?? colourOf(one.method);
  const points = series.flatMap((one) =>
    one.curve.epoch.map((epoch, index) => ({
      series: one.name,
      epoch,
      mean: scale * one.curve.mean[index],
      low: scale * one.curve.low[index],
      high: scale * one.curve.high[index],
    })),
  );
  if (!points.length) return note(`${about.title}: not recorded.`);
  const look = new Map(series.map((one) => [one.name, colour(one)]));
  const lines = series.map((one) =>
    Plot.line(
      points.filter((point) => point.series === one.name),
      {
        x: "epoch",
        y: "mean",
        stroke: colour(one),
        strokeWidth: 2,
        strokeDasharray: one.dash,
      },
    ),
  );
  const fill = (point) => look.get(point.series);
  return figure(
    {
      height: 260,
      marginTop: 24,
      x: {
        label: "epoch →",
        ticks: 6,
        tickFormat: (epoch) => (Number.isInteger(epoch) ? String(epoch) : ""),
      },
      y: { label: `↑ ${unit}`, grid: true, nice: true },
      marks: [
        Plot.areaY(points, { x: "epoch", y1: "low", y2: "high", fill, fillOpacity: 0.16, z: "series" }),
        ...lines,
        ...(points.length < 30 ? [Plot.dot(points, { x: "epoch", y: "mean", r: 2, fill })] : []),
        Plot.tip(points, Plot.pointer({ x: "epoch", y: "mean", title: curvePoint })),
      ],
    },
    { ...about, rows: points, legend: series },
  );
}

/** Validation accuracy of a grid of two hyper-parameters, as cells. rows: {parameters, score, chosen}. */
function gridChart(rows, [down, across], about) {
  const cells = rows
    .filter((row) => known(row.score))
    .map((row) => ({
      [down]: row.parameters[down],
      [across]: row.parameters[across],
      accuracy: 100 * row.score,
      chosen: row.chosen,
    }));
  if (!cells.length) return null;
  const [low, high] = d3.extent(cells, (cell) => cell.accuracy);
  const strong = (cell) => (cell.accuracy - low) / (high - low || 1) > 0.5;
  const count = (key) => new Set(cells.map((cell) => cell[key])).size;
  return figure(
    {
      width: Math.min(90 + 84 * count(across), room()),
      height: 70 + 44 * count(down),
      marginLeft: 64,
      x: { label: `${across} →`, type: "band" },
      y: { label: down, type: "band" },
      marks: [
        Plot.cell(cells, {
          x: across,
          y: down,
          inset: 1.5,
          fill: "var(--logit)",
          fillOpacity: (cell) => 0.08 + 0.82 * ((cell.accuracy - low) / (high - low || 1)),
          stroke: (cell) => (cell.chosen ? "var(--ink)" : "var(--line)"),
          strokeWidth: (cell) => (cell.chosen ? 3 : 1),
        }),
        Plot.text(cells, {
          x: across,
          y: down,
          text: (cell) => cell.accuracy.toFixed(2),
          fontSize: 12,
          fontWeight: (cell) => (cell.chosen ? 700 : 400),
          fill: (cell) => (strong(cell) ? "var(--on-strong)" : "var(--ink)"),
        }),
      ],
    },
    { ...about, rows: cells },
  );
}
