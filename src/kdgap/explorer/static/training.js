"use strict";
// How configurations trained: their curves over one another, and minus plain training.
/** What the loss of an arm is made of: of two that differ in it, the losses are not one quantity. */
const lossOf = (arm) => (arm.method === "none" ? "plain" : `${arm.method} ${JSON.stringify(arm.parameters)}`);

const UNLIKE =
  "Not one quantity: plain training has the cross-entropy alone, and each method and setting adds terms of its own. Compare shapes, not heights; the cross-entropy term is one quantity of all.";

/** Curves of arms over one another: the first whole, the others dashed. */
function curveSection(arms) {
  const look = curveState();
  const colours = coloursOfArms(arms);
  const lineOf = (arm, index, curve, of) => ({
    name: `${arm.role === "baseline" ? `${arm.student}, plain` : armName(arm)}, n = ${curve?.runs}`,
    dash: DASHES[index % DASHES.length],
    colour: colours[index],
    ...{ arm, curve, of },
  });
  const several = arms.some((arm) => teachersOf(arm).length > 1);
  const apart = arms.some((arm) => Object.keys(arm.over_plain).length);
  const minus = apart && look.minus === "plain";
  const chart = (key, lines, words) => {
    if (!lines.length) return null;
    const axis = { ...curveAxis(key), minus };
    const title = `${capital(axis.words)}${minus ? " minus plain training" : ""}`;
    const about = { name: `curve-${key}`, title, words, columns: Infinity };
    return curveChart(distinctNames(lines), axis, about, look);
  };
  const recorded = (key) => {
    const of = several ? "runs" : "seeds";
    const lines = arms
      .map((arm, index) => lineOf(arm, index, arm.curves[key], of))
      .filter((line) => line.curve && line.curve.mean.some((value) => value !== 0));
    const unlike = CURVES[key].total && new Set(lines.map((line) => lossOf(line.arm))).size > 1;
    const band = `Mean over ${of}, with the band from the lowest to the highest.`;
    return chart(key, lines, unlike ? `${UNLIKE} ${band}` : band);
  };
  const difference = (key) => {
    const lines = arms
      .map((arm, index) => lineOf(arm, index, arm.over_plain[key], "seeds"))
      .filter((line) => line.curve);
    const paired = lines.every((line) => line.curve.paired);
    const how = paired
      ? "Each seed minus plain training of the same seed"
      : "No seed is shared: each minus the mean of plain training, whose own spread the band does not show";
    return chart(key, lines, `${how}; mean over seeds, with the band from the lowest to the highest.`);
  };
  const drawn = Object.keys(CURVES)
    .map(minus ? difference : recorded)
    .filter(Boolean);
  if (!drawn.length) return section("Training", note("No history was recorded."));
  const first = minus ? drawn : drawn.slice(0, 2);
  const rest = drawn.slice(first.length);
  const curves = arms.flatMap((arm) => arm.curves.val_acc ?? arm.curves.loss_total ?? []);
  const choices = [
    "part",
    apart ? "minus" : null,
    "smooth",
    minus || !arms.some((arm) => arm.curves.grad_norm_max) ? null : "norms",
    !minus && unlikeLengths(curves) ? "over" : null,
  ];
  return section(
    "Training",
    curvePicker(choices.filter(Boolean)),
    minus
      ? note(
          "Total losses, distillation terms and gradient norms are not drawn here: of a distilled and a plain student they are not one quantity.",
        )
      : null,
    el("div", { class: "charts" }, first),
    rest.length
      ? disclosure("more-curves", "Losses and gradient norms", el("div", { class: "charts" }, rest))
      : null,
  );
}
