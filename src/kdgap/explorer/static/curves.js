"use strict";
// Curves over epochs, and how a reader wants to look at them; the address keeps what was chosen.
/** What is drawn of a history, by its key; onTest: what it is in a study that chose on the test images. */
const CURVES = {
  val_acc: { words: "validation accuracy", onTest: "accuracy on the test images", percent: true },
  train_acc: { words: "training accuracy", percent: true },
  val_loss: { words: "validation loss", onTest: "loss on the test images" },
  loss_total: { words: "training loss", total: true },
  loss_ce: { words: "cross-entropy term" },
  loss_kd: { words: "distillation term", total: true },
  grad_norm_max: { words: "largest gradient norm", norm: true },
  proj_grad_norm_max: { words: "largest gradient norm of the projections", norm: true },
};

/** What a curve is of, as the axis of a `curveChart`. */
const curveAxis = (key) => {
  const { words, onTest = words, percent = false, norm = false } = CURVES[key];
  return { words: choosesOnTest() ? onTest : words, percent, norm };
};

/** The ways to look at curves, by their keys in the address; the first of each is what a link without it shows. */
const CURVE_CHOICES = {
  part: ["training", { "": "all of it", last: "the last third" }],
  minus: ["curves", { "": "as recorded", plain: "minus plain training" }],
  smooth: ["smoothing", { "": "none", 5: "over 5 epochs", 15: "over 15 epochs" }],
  norms: ["gradient norms", { "": "log scale", linear: "linear scale" }],
  over: ["axis", { "": "epochs", share: "share of each training" }],
};

/** What the address says of curves: kept on the way to another configuration or run. */
const curveState = () => {
  const { state } = kdgap.place();
  const kept = (key) => (Object.hasOwn(CURVE_CHOICES[key][1], state.get(key) ?? "") ? state.get(key) : null);
  return Object.fromEntries(Object.keys(CURVE_CHOICES).map((key) => [key, kept(key)]));
};

const curvePicker = (keys) =>
  el(
    "div",
    { class: "picker" },
    keys.map((key) => {
      const [label, options] = CURVE_CHOICES[key];
      return choice(`curves-${key}`, label, Object.entries(options), curveState()[key] ?? "", (value) =>
        kdgap.change({ [key]: value || null }),
      );
    }),
  );

/** Whether curves end at different epochs. */
const unlikeLengths = (curves) => new Set(curves.map(({ epoch }) => epoch.at(-1))).size > 1;

/** Return the points of a curve as a reader wants to look at it, each at its place `x`. */
function looked({ epoch, mean, low, high }, look) {
  const reach = look.smooth ? (Number(look.smooth) - 1) / 2 : 0;
  const around = (values, index) => d3.mean(values.slice(Math.max(0, index - reach), index + reach + 1));
  const last = epoch.at(-1);
  return epoch
    .map((at, index) => ({
      epoch: at,
      x: look.share ? (100 * at) / last : at,
      mean: around(mean, index),
      low: around(low, index),
      high: around(high, index),
    }))
    .filter((point) => look.part !== "last" || point.epoch > (2 * last) / 3 || last < 3);
}

/** What was done to curves before they were drawn, in words. */
const lookWords = (look) =>
  [
    look.part === "last" ? "The last third of each training." : null,
    look.smooth
      ? `Smoothed: each value is the mean of ${look.smooth} epochs around it, of fewer at the ends.`
      : null,
  ].filter(Boolean);

/** What a point of a curve says, in the unit of its axis. */
const curvePoint = (axis) => (point) => {
  const write = (value) => (axis.minus ? signed : fixed)(value, axis.percent ? 2 : 4);
  const unit = axis.percent ? (axis.minus ? " pp" : " %") : "";
  const band = point.low === point.high ? "" : ` (${point.of} ${write(point.low)} to ${write(point.high)})`;
  return `${point.series}\nepoch ${point.epoch}: ${write(point.mean)}${unit}${band}`;
};

/** The axis of values: norms on a log scale, where each tick is written out. */
function valueAxis(points, axis, log) {
  const ends = points.flatMap((point) => [point.low, point.mean, point.high]);
  const unit = axis.percent ? (axis.minus ? " (pp)" : " (%)") : "";
  const label = `↑ ${axis.words}${axis.minus ? " minus plain training" : ""}${unit}${log ? ", log scale" : ""}`;
  if (!log) return { label, grid: true, nice: true, ...levelled(ends) };
  const [low, high] = d3.extent(ends);
  const domain = low < high ? [low, high] : [low / 2, 2 * high];
  const decades = d3.range(Math.floor(Math.log10(domain[0])), Math.ceil(Math.log10(domain[1])) + 1);
  const inside = (steps) =>
    decades
      .flatMap((decade) => steps.map((step) => Number((step * 10 ** decade).toPrecision(1))))
      .filter((tick) => tick >= domain[0] && tick <= domain[1]);
  const ticks = [[1, 2, 5], [1]].map(inside).find((marks) => marks.length < 8) ?? inside([1]);
  return { label, type: "log", domain, grid: true, ticks: ticks.length ? ticks : domain, tickFormat: "~g" };
}

/**
 * Curves over epochs with their bands. series: {name, method or colour, dash, of: what the band is over,
 * curve: {epoch, mean, low, high}}; axis: {words, percent: whether values are shares, shown in percent,
 * norm: whether they are gradient norms, minus: whether they are differences}; look: of `curveState`.
 */
function curveChart(series, axis, about, look = {}) {
  const colour = (line) => line.colour ?? colourOf(line.method);
  const scale = axis.percent ? 100 : 1;
  const log = Boolean(axis.norm) && look.norms !== "linear";
  // Ends of training lie apart where trainings are unlike long: there each is seen on its own.
  const share = unlikeLengths(series.map((line) => line.curve)) && Boolean(look.over || look.part);
  const every = series.flatMap((line) =>
    looked(line.curve, { ...look, share }).map((point) => ({
      ...point,
      series: line.name,
      mean: scale * point.mean,
      low: scale * point.low,
      high: scale * point.high,
      of: line.of ?? "seeds",
    })),
  );
  const points = log ? every.filter((point) => point.low > 0) : every;
  if (!points.length) return note(`${about.title}: not recorded.`);
  const looks = new Map(series.map((line) => [line.name, colour(line)]));
  const lines = series.map((line) =>
    Plot.line(
      points.filter((point) => point.series === line.name),
      { x: "x", y: "mean", stroke: colour(line), strokeWidth: 2, strokeDasharray: line.dash },
    ),
  );
  const fill = (point) => looks.get(point.series);
  const left = every.length - points.length;
  const words = [
    about.words,
    ...lookWords(look),
    left ? `Left out, as a log scale has no zero: ${counted(left, "point")}.` : null,
  ];
  return figure(
    {
      height: 260,
      marginTop: 24,
      insetLeft: EDGE,
      insetRight: EDGE,
      x: {
        label: share ? "share of each training (%) →" : "epoch →",
        ticks: 6,
        tickFormat: (epoch) => (Number.isInteger(epoch) ? String(epoch) : ""),
      },
      y: valueAxis(points, axis, log),
      marks: [
        axis.minus ? Plot.ruleY([0], { stroke: "currentColor" }) : null,
        Plot.areaY(points, { x: "x", y1: "low", y2: "high", fill, fillOpacity: 0.16, z: "series" }),
        ...lines,
        ...(points.length < 30 ? [Plot.dot(points, { x: "x", y: "mean", r: 2, fill })] : []),
        Plot.tip(points, Plot.pointer({ x: "x", y: "mean", title: curvePoint(axis) })),
      ].filter(Boolean),
    },
    {
      ...about,
      words: words.filter(Boolean).join(" "),
      rows: points.map((point) => curveRow(point, axis, look)),
      legend: series,
    },
  );
}

/** A point of a curve in a CSV, as it is drawn; a curve of one run has no band. */
function curveRow(point, axis, look) {
  const unit = axis.percent ? (axis.minus ? "_pp" : "_percent") : "";
  const { series, epoch, mean, low, high } = point;
  const smoothed = look.smooth ? { smoothed_over_epochs: Number(look.smooth) } : {};
  return { series, epoch, [`mean${unit}`]: mean, [`low${unit}`]: low, [`high${unit}`]: high, ...smoothed };
}

/** Series of which no two have one name: configurations may differ in their settings alone. */
const distinctNames = (series) =>
  distinct(series.map((line) => ({ ...line, label: line.name }))).map((line) => ({
    ...line,
    name: line.label,
  }));
