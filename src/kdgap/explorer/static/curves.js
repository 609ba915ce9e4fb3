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

/** Curves of arms over one another: the first whole, the others dashed. */
function curveSection(arms) {
  const series = (key) =>
    arms
      .map((arm, index) => ({
        name: arm.role === "baseline" ? `${arm.student}, plain` : armName(arm),
        method: arm.method,
        dash: DASHES[index % DASHES.length],
        curve: arm.curves[key],
        // Two arms of one method would have one colour.
        colour: arms.slice(0, index).some((other) => other.method === arm.method)
          ? OTHERS[(index - 1) % OTHERS.length]
          : null,
      }))
      .filter((one) => one.curve && one.curve.mean.some((value) => value !== 0));
  const drawn = Object.entries(CURVE_WORDS)
    .map(([key, [unit, scale]]) => {
      const found = series(key);
      const about = {
        name: `curve-${key}`,
        title: capital(unit.replace(" (%)", "")),
        words: "Mean over seeds, with the band from the lowest to the highest.",
        half: true,
      };
      return found.length ? curveChart(found, unit, about, scale) : null;
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
