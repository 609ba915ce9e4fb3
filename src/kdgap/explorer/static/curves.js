"use strict";
// Training curves of configurations over one another.
/** What is drawn of a history, by its key; onTest: what it is in a study that chose on the test images. */
const CURVES = {
  val_acc: { words: "validation accuracy", onTest: "accuracy on the test images", percent: true },
  train_acc: { words: "training accuracy", percent: true },
  val_loss: { words: "validation loss", onTest: "loss on the test images" },
  loss_total: { words: "training loss" },
  loss_ce: { words: "cross-entropy term" },
  loss_kd: { words: "distillation term" },
  grad_norm_max: { words: "largest gradient norm" },
  proj_grad_norm_max: { words: "largest gradient norm of the projections" },
};

/** What a curve is of, as the axis of a `curveChart`. */
const curveAxis = (key) => {
  const { words, onTest = words, percent = false } = CURVES[key];
  return { words: choosesOnTest() ? onTest : words, percent };
};

/** Curves of arms over one another: the first whole, the others dashed. */
function curveSection(arms) {
  const colours = coloursOfArms(arms);
  const several = arms.some((arm) => teachersOf(arm).length > 1);
  const of = several ? "runs" : "seeds";
  const series = (key) =>
    arms
      .map((arm, index) => ({
        name: arm.role === "baseline" ? `${arm.student}, plain` : armName(arm),
        dash: DASHES[index % DASHES.length],
        curve: arm.curves[key],
        colour: colours[index],
        of,
      }))
      .filter((line) => line.curve && line.curve.mean.some((value) => value !== 0));
  const drawn = Object.keys(CURVES)
    .map((key) => {
      const lines = series(key);
      const axis = curveAxis(key);
      const about = {
        name: `curve-${key}`,
        title: capital(axis.words),
        words: `Mean over ${of}, with the band from the lowest to the highest.`,
        columns: Infinity,
      };
      return lines.length ? curveChart(distinctNames(lines), axis, about) : null;
    })
    .filter(Boolean);
  const [first, second, ...rest] = drawn;
  if (!first) return section("Training", note("No history was recorded."));
  return section(
    "Training",
    el("div", { class: "charts" }, first, second),
    rest.length
      ? disclosure("more-curves", "Losses and gradient norms", el("div", { class: "charts" }, rest))
      : null,
  );
}

/** Series of which no two have one name: configurations may differ in their settings alone. */
const distinctNames = (series) =>
  distinct(series.map((line) => ({ ...line, label: line.name }))).map((line) => ({
    ...line,
    name: line.label,
  }));
