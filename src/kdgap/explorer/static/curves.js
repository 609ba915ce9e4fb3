"use strict";
// Training curves of configurations over one another.
const CURVE_WORDS = {
  val_acc: ["validation accuracy (%)", 100],
  train_acc: ["training accuracy (%)", 100],
  val_loss: ["validation loss", 1],
  loss_total: ["training loss", 1],
  loss_ce: ["cross-entropy term", 1],
  loss_kd: ["distillation term", 1],
  grad_norm_max: ["largest gradient norm", 1],
  proj_grad_norm_max: ["largest gradient norm of the projections", 1],
};

/** What a curve is of: in a study that chose on the test images, these are its validation images. */
const curveWords = (words) =>
  choosesOnTest() ? words.replace(/^validation (\w+)/, "$1 on the test images") : words;

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
  const drawn = Object.entries(CURVE_WORDS)
    .map(([key, [words, scale]]) => {
      const lines = series(key);
      const unit = curveWords(words);
      const about = {
        name: `curve-${key}`,
        title: capital(unit.replace(" (%)", "")),
        words: `Mean over ${of}, with the band from the lowest to the highest.`,
        half: true,
      };
      return lines.length ? curveChart(distinctNames(lines), unit, about, scale) : null;
    })
    .filter(Boolean);
  const [first, second, ...rest] = drawn;
  if (!first) return section("Training", note("No history was recorded."));
  return section(
    "Training",
    el("div", { class: "charts" }, first, second),
    rest.length ? disclosure("Losses and gradient norms", el("div", { class: "charts" }, rest)) : null,
  );
}

/** Series of which no two have one name: configurations may differ in their settings alone. */
const distinctNames = (series) =>
  distinct(series.map((line) => ({ ...line, label: line.name }))).map((line) => ({ ...line, name: line.label }));
