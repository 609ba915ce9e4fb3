"use strict";
// Any two arms: their difference with its interval, their curves over one another, their classes.
kdgap.views.compare = {
  title: "Compare",
  async draw(study, state) {
    const tested = study.arms.filter((arm) => arm.n > 0);
    if (tested.length < 2) return [section("Compare", el("p", {}, "Two configurations with test results are needed."))];
    const at = (key, other) => study.arms[Number(state.get(key) ?? NaN)] ?? other;
    const a = at("a", tested.find((arm) => arm.role === "final") ?? tested[0]);
    const b = at("b", tested.find((arm) => arm.role === "baseline" && arm.student === a.student && arm !== a) ?? tested.find((arm) => arm !== a));
    const options = study.arms.map((arm) => [String(arm.number), `${arm.role}: ${armName(arm)}${arm.role === "ablation" ? "" : ` ${settingsText(arm.parameters)}`}`]);
    const [one, two, differences] = await Promise.all([kdgap.get(`arm/${a.number}`), kdgap.get(`arm/${b.number}`), kdgap.get(`compare/${a.number}`)]);
    const found = differences.others.find((other) => other.arm === b.number);
    return [
      el("h1", {}, "Compare"),
      el("div", { class: "picker" }, choice("first", options, String(a.number), (number) => kdgap.change({ a: number })), choice("second", options, String(b.number), (number) => kdgap.change({ b: number }))),
      section("Difference in test accuracy", a === b || !found ? el("p", {}, "Choose two that differ.") : differenceParts(study, a, b, found)),
      curveSection([one, two]),
      classDifferences(one, two),
      section("Seeds side by side", table([
        { key: "seed", title: "seed", value: (row) => row.seed, numeric: true },
        { key: "first", title: "first (%)", value: (row) => row.first, show: (row, value) => percent(value), numeric: true },
        { key: "second", title: "second (%)", value: (row) => row.second, show: (row, value) => percent(value), numeric: true },
        { key: "difference", title: "difference (pp)", value: (row) => (known(row.first) && known(row.second) ? 100 * (row.first - row.second) : null), show: (row, value) => signed(value), numeric: true },
      ], seedsBeside(one, two, study.primary), { name: "compare-seeds", caption: "Test accuracy by seed" })),
    ];
  },
};

function differenceParts(study, a, b, found) {
  return [
    el("p", { class: "sentence" }, badge(found.verdict), ` ${signed(found.value)} pp ${interval(found.ci95)}: ${armName(a)} minus ${armName(b)}.`),
    el("p", { class: "note" }, `One comparison by itself, chosen by looking, and so post hoc and not corrected for the others that could have been chosen. p ${pValue(found.p)}; smaller than ${study.analysis?.settings.smallest_effect_pp} pp (TOST) ${pValue(found.p_tost)}; ${found.n.join(" and ")} seeds.`),
    intervalChart([{ label: "first − second", method: a.method, value: found.value, low: found.ci95?.[0], high: found.ci95?.[1], verdict: found.verdict }], { name: "difference", title: "The difference with its interval" }),
    found.flags.length ? el("ul", { class: "mind" }, found.flags.map((flag) => el("li", {}, flag))) : null,
  ];
}

function seedsBeside(one, two, weights) {
  const by = new Map();
  for (const [key, arm] of [["first", one], ["second", two]]) {
    for (const seed of arm.seeds) by.set(seed.seed, { ...(by.get(seed.seed) ?? { seed: seed.seed }), [key]: seed[weights].accuracy });
  }
  return [...by.values()].sort((x, y) => x.seed - y.seed);
}

function classDifferences(one, two) {
  const names = Object.keys(one.classes ?? {}).filter((name) => name in (two.classes ?? {}));
  if (!names.length) return null;
  return section("Accuracy by class", table([
    { key: "class", title: "class", value: (name) => name },
    { key: "first", title: "first (%)", value: (name) => 100 * one.classes[name], show: (name, value) => fixed(value), numeric: true },
    { key: "second", title: "second (%)", value: (name) => 100 * two.classes[name], show: (name, value) => fixed(value), numeric: true },
    { key: "difference", title: "difference (pp)", value: (name) => 100 * (one.classes[name] - two.classes[name]), show: (name, value) => signed(value), numeric: true },
  ], names, { name: "compare-classes", caption: "Means over seeds; differences without intervals" }));
}
