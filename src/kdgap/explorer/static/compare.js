"use strict";
// Any two configurations: their difference with its interval, their curves, seeds and classes.
kdgap.views.compare = {
  title: "Compare",
  async draw(study, state) {
    const tested = study.arms.filter((arm) => arm.n > 0 && arm.role !== "selection");
    if (tested.length < 2)
      return [el("h1", {}, "Compare"), el("p", {}, "Two configurations with test results are needed.")];
    if (!study.analysis) return [el("h1", {}, "Compare"), el("p", {}, `${capital(study.reason)}.`)];
    const at = (key, other) =>
      state.get(key) ? study.arms.find((arm) => armKey(arm) === state.get(key)) : other;
    const a = at("a", tested.find((arm) => arm.role === "final") ?? tested[0]);
    const b = at("b", study.arms[a?.baseline ?? NaN] ?? tested.find((arm) => arm !== a));
    if (!a || !b)
      return [el("h1", {}, "No such configuration"), el("p", {}, link("Compare others", "compare"))];
    const roles = [...new Set(study.arms.map((arm) => arm.role))];
    const options = roles.map((role) => ({
      group: role,
      options: study.arms.filter((arm) => arm.role === role).map((arm) => [armKey(arm), armSettings(arm)]),
    }));
    const [one, two, differences] = await Promise.all([
      kdgap.get(`arm/${a.number}`),
      kdgap.get(`arm/${b.number}`),
      kdgap.get(`compare/${a.number}`),
    ]);
    const found = differences.others.find((other) => other.arm === b.number);
    const pick = (label, arm, key) =>
      choice(label, options, armKey(arm), (chosen) => kdgap.change({ ...compareState(a, b), [key]: chosen }));
    return [
      el("h1", {}, "Compare"),
      el("div", { class: "picker" }, pick("first", a, "a"), pick("second", b, "b")),
      section(
        "Difference in test accuracy",
        known(found?.value) ? differenceParts(study, a, b, found) : el("p", {}, whyNoDifference(a, b, found)),
      ),
      section(
        "Every seed",
        seedChart([seedGroup(one, `first: ${armName(one)}`), seedGroup(two, `second: ${armName(two)}`)], {
          name: "compare-seeds",
          title: "Test accuracy of every seed",
        }),
        seedsBeside(one, two, study.primary),
      ),
      curveSection(a === b ? [one] : [one, two]),
      classDifferences(one, two, found),
    ];
  },
};

/** What names an arm here; numbers change when a study grows. */
const armKey = (arm) => [arm.role, arm.slot, arm.cell.slice(0, 12)].join("|");
const compareState = (a, b) => ({ a: armKey(a), b: b ? armKey(b) : null });

function whyNoDifference(a, b, found) {
  if (a === b) return "Choose two that differ.";
  if (found?.shared)
    return `They have ${counted(found.shared, "run")} in common: these are no two samples to compare.`;
  const of = [a, b].filter((arm) => arm.n === 0 || arm.role === "selection").map(armSettings);
  return `What selection tried is judged on validation images alone, and runs that are not done have no test result: ${of.join(" and ")}.`;
}

function differenceParts(study, a, b, found) {
  const { settings } = study.analysis;
  const value = {
    label: "first − second",
    method: a.method,
    value: found.value,
    low: found.ci95?.[0],
    high: found.ci95?.[1],
    verdict: found.verdict,
  };
  return [
    el(
      "p",
      { class: "sentence" },
      badge(found.verdict, { gain: "higher", harm: "lower" }[found.verdict]),
      ` ${signed(found.value)} pp ${interval(found.ci95)}: `,
      link(armName(a), "configuration", armState(a)),
      " minus ",
      link(armName(b), "configuration", armState(b)),
      ".",
    ),
    note(
      `One comparison by itself, chosen by looking, and so post hoc and not corrected for the others that could have been chosen. p ${pValue(found.p)}; smaller than ${settings.smallest_effect_pp} pp (TOST) ${pValue(found.p_tost)}; ${found.n.join(" and ")} seeds.`,
    ),
    intervalChart([value], { name: "difference", title: "The difference with its interval" }),
    found.flags.length ? bullets(found.flags, { class: "mind" }) : null,
  ];
}

function seedsBeside(one, two, weights) {
  const by = new Map();
  for (const [key, arm] of [
    ["first", one],
    ["second", two],
  ]) {
    for (const seed of arm.seeds)
      by.set(seed.seed, { ...(by.get(seed.seed) ?? { seed: seed.seed }), [key]: seed[weights].accuracy });
  }
  const apart = (row) => (known(row.first) && known(row.second) ? 100 * (row.first - row.second) : null);
  return table(
    [
      num("seed", "seed", (row) => row.seed),
      pct("first", "first (%)", (row) => row.first ?? null),
      pct("second", "second (%)", (row) => row.second ?? null),
      num("difference", "difference (pp)", apart, { show: (row, value) => signed(value) }),
    ],
    [...by.values()].sort((x, y) => x.seed - y.seed),
    { name: "compare-seeds", caption: "Test accuracy by seed" },
  );
}

function classDifferences(one, two, found) {
  const rows = Object.entries(found?.classes ?? {}).map(([name, apart]) => ({
    name,
    apart,
    first: one.classes[name],
    second: two.classes[name],
  }));
  if (!rows.length) return null;
  return section(
    "Accuracy by class",
    classChart(rows, "the second's", one.method),
    table(
      [
        col("class", "class", (row) => row.name),
        num("first", "first (%)", (row) => 100 * row.first.mean, { show: (row) => percent(row.first.mean) }),
        num("second", "second (%)", (row) => 100 * row.second.mean, {
          show: (row) => percent(row.second.mean),
        }),
        num("difference", "difference (pp)", (row) => 100 * row.apart.difference, {
          show: (row) => classApart(row.apart),
        }),
      ],
      rows,
      { name: "compare-classes", caption: "Means over seeds; intervals of each class by itself" },
    ),
  );
}
