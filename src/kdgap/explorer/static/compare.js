"use strict";
// Any two configurations: what differs between them, and their difference, seeds, curves and classes.
kdgap.views.compare = {
  title: "Compare",
  async draw(study, state) {
    const tested = study.arms.filter(isComparable);
    if (tested.length < 2)
      return [el("h1", {}, "Compare"), el("p", {}, "Two configurations with test results are needed.")];
    if (!study.analysis) return [el("h1", {}, "Compare"), el("p", {}, `${capital(study.reason)}.`)];
    const at = (key, other) =>
      state.get(key) ? study.arms.find((arm) => armKey(arm) === state.get(key)) : other;
    const a = at("a", tested.find((arm) => arm.role === "final") ?? tested[0]);
    const b = at("b", study.arms[a?.baseline ?? NaN] ?? tested.find((arm) => arm !== a));
    if (!a || !b)
      return [el("h1", {}, "No such configuration"), el("p", {}, link("Compare others", "compare"))];
    const [first, second, differences] = await Promise.all([
      kdgap.get(`arm/${a.number}`),
      kdgap.get(`arm/${b.number}`),
      kdgap.get(`compare/${a.number}`),
    ]);
    const comparison = differences.others.find((other) => other.arm === b.number);
    const both = a === b ? [first] : [first, second];
    const colours = coloursOfArms(both);
    return [
      el("h1", {}, "Compare"),
      el("div", { class: "picker" }, comparePick(study, 0, a, b), comparePick(study, 1, b, a)),
      section(
        "Difference in test accuracy",
        known(comparison?.value)
          ? differenceParts(study, a, b, comparison)
          : el("p", {}, whyNoDifference(a, b, comparison)),
      ),
      sideBySide(
        a === b ? null : section("What differs", settingsBeside(study, first, second)),
        section(
          "Every seed",
          seedChart(
            both.map((arm, side) => seedGroup(arm, `${SIDES[side]}: ${armName(arm)}`, colours[side])),
            { name: "compare-seed-points", title: "Test accuracy of every seed", columns: 2 },
          ),
          seedsBeside(first, second, study.primary),
        ),
      ),
      curveSection(both),
      classDifferences(first, second, comparison),
    ];
  },
};

const SIDES = ["first", "second"];

/** What names an arm here; numbers change when a study grows. */
const armKey = (arm) =>
  [arm.role, ...[...PAIR, ...DETAILS].map((key) => arm[key]), arm.configuration.slice(0, 12)].join("|");
const compareState = (a, b) => ({ a: armKey(a), b: b ? armKey(b) : null });

/** Whether an arm has test results of its own: what selection tried is judged on validation alone. */
const isComparable = (arm) => arm.n > 0 && arm.role !== "selection";

/** The choice of one side; what cannot be compared is left out, unless the address names it. */
function comparePick(study, side, own, other) {
  const offered = study.arms.filter((arm) => isComparable(arm) || arm === own);
  const roles = [...new Set(offered.map((arm) => arm.role))];
  const text = (arm) => `${armSettings(arm)}${isComparable(arm) ? "" : " (cannot be compared)"}`;
  const options = roles.map((role) => ({
    group: role,
    options: offered.filter((arm) => arm.role === role).map((arm) => [armKey(arm), text(arm)]),
  }));
  return choice(SIDES[side], SIDES[side], options, armKey(own), (chosen) => {
    const keys = [chosen, armKey(other)];
    kdgap.change(side === 0 ? { a: keys[0], b: keys[1] } : { a: keys[1], b: keys[0] });
  });
}

function whyNoDifference(a, b, comparison) {
  if (a === b) return "Choose two that differ.";
  if (comparison?.shared)
    return `They have ${counted(comparison.shared, "run")} in common: these are no two samples to compare.`;
  if (comparison?.no_interval) return `This study compares seed by seed, and ${comparison.no_interval}.`;
  const reasons = [a, b]
    .filter((arm) => !isComparable(arm))
    .map((arm) => {
      const why =
        arm.role === "selection"
          ? `was tried in selection, which is judged on ${choosingImages()} alone`
          : "has no test result that counts";
      return `${armSettings(arm)} ${why}`;
    });
  return reasons.length
    ? `${capital([...new Set(reasons)].join("; "))}.`
    : "No difference could be computed.";
}

/** What a verdict is called between two that are no method and its plain training. */
const APART = { gain: "higher", harm: "lower" };

function differenceParts(study, a, b, comparison) {
  const { settings } = study.analysis;
  const verdictHere = (a.baseline === b.number ? null : APART[comparison.verdict]) ?? comparison.verdict;
  const value = {
    label: "first − second",
    colour: coloursOfArms([a, b])[0],
    value: comparison.value,
    low: comparison.ci95?.[0],
    high: comparison.ci95?.[1],
    verdict: comparison.ci95 ? verdictHere : null,
    n: comparison.n.join(", "),
  };
  const names = [
    link(armName(a), "configuration", armState(a)),
    " minus ",
    link(armName(b), "configuration", armState(b)),
  ];
  const sentence = comparison.no_interval
    ? [`${signed(comparison.value)} pp, no interval: ${comparison.no_interval}. `, "It is ", names, "."]
    : [
        badge(comparison.verdict, verdictHere),
        ` ${signed(comparison.value)} pp ${interval(comparison.ci95)}: `,
        names,
        ".",
      ];
  const tests = `p ${pValue(comparison.p)}; smaller than ${settings.smallest_effect_pp} pp (TOST) ${pValue(comparison.p_tost)}; `;
  const seeds =
    settings.test === "paired"
      ? `${comparison.n[0]} seeds that both have`
      : `${comparison.n.join(" and ")} seeds`;
  const words = [
    el("p", { class: "sentence" }, sentence),
    el("p", { class: "tools" }, quoteButton({ quote: comparisonQuote(a, b, comparison, verdictHere) })),
    note(
      `One comparison by itself, chosen by looking, and so post hoc and not corrected for the others that could have been chosen. ${comparison.no_interval ? "" : tests}${seeds}.`,
    ),
    comparison.flags.length ? bullets(comparison.flags, { class: "mind" }) : null,
  ];
  const figure = intervalChart([value], {
    name: "difference",
    title: comparison.ci95 ? "The difference with its interval" : "The difference",
    columns: 2,
  });
  return sideBySide(words, figure);
}

/** A comparison as others quote it. */
function comparisonQuote(a, b, comparison, verdict) {
  const { settings } = kdgap.study.analysis;
  const test = settings.test === "paired" ? "the paired t of equal seeds" : "Welch's t";
  const found = comparison.ci95
    ? `${signed(comparison.value)} pp ${interval(comparison.ci95)}; ${verdict}`
    : `${signed(comparison.value)} pp, no interval: ${comparison.no_interval}`;
  const by = comparison.ci95 ? `; ${confidence()} interval by ${test}` : "";
  return `${armSettings(a)} minus ${armSettings(b)}: ${found}. (n = ${comparison.n.join(" and ")} seeds, ${kdgap.study.primary} weights${by}; post hoc: chosen by looking, and not corrected.)`;
}

/** Names, settings and accuracy of two arms beside one another; what differs is bold and says so. */
function settingsBeside(study, first, second) {
  const both = [first, second];
  const keys = [...new Set(both.flatMap((arm) => Object.keys(arm.parameters)))];
  const row = (what, of, more = {}) => ({ what, values: both.map(of), ...more });
  const rows = [
    row("role", (arm) => arm.role),
    row("teacher", (arm) => arm.teacher ?? "none"),
    row("student", (arm) => arm.student),
    row("method", (arm) => methodName(arm.method)),
    ...keys.map((key) => row(key, (arm) => arm.parameters[key] ?? "none")),
    ...(both.some((arm) => arm.ablation) ? [row("ablation", ablationSide)] : []),
    row("epochs", (arm) => arm.epochs.join(", ") || DASH),
    row(
      `test accuracy (%), ${study.primary} weights`,
      (arm) => `${spread(arm.mean, arm.std)} (n = ${arm.n})`,
      {
        result: true,
      },
    ),
  ];
  const differs = ({ values, result }) => !result && String(values[0]) !== String(values[1]);
  const side = (index) =>
    col(SIDES[index], SIDES[index], (each) => each.values[index], {
      show: (each, value) => (differs(each) ? el("strong", {}, String(value)) : String(value)),
    });
  return table(
    [
      col("what", "what", (each) => each.what),
      side(0),
      side(1),
      col("differs", "differs", (each) => (each.result ? DASH : differs(each) ? "yes" : "no")),
    ],
    rows,
    { name: "compare-settings", caption: "Both configurations; bold where they differ" },
  );
}

/** What an arm of an ablation is. */
function ablationSide(arm) {
  if (!arm.ablation) return "none";
  return arm.arm === "changed" && arm.change ? `${variantOf(arm)}: ${arm.change}` : variantOf(arm);
}

function seedsBeside(first, second, weights) {
  const by = new Map();
  for (const [side, arm] of [first, second].entries()) {
    for (const mean of arm.means)
      by.set(mean.seed, { ...(by.get(mean.seed) ?? { seed: mean.seed }), [SIDES[side]]: mean[weights] });
  }
  const rows = [...by.values()].filter((row) => known(row.first) || known(row.second));
  if (!rows.length) return null;
  const apart = (row) => (known(row.first) && known(row.second) ? row.first - row.second : null);
  const side = (key) =>
    num(key, `${key} (%)`, (row) => row[key] ?? null, {
      show: (row, value) => fixed(value),
      unit: "percent",
    });
  return table(
    [
      num("seed", "seed", (row) => row.seed),
      side("first"),
      side("second"),
      num("difference", "difference (pp)", apart, { show: (row, value) => signed(value), unit: "pp" }),
    ],
    rows.sort((x, y) => x.seed - y.seed),
    {
      name: "compare-seeds",
      caption: [first, second].some((arm) => teachersOf(arm).length > 1)
        ? "Test accuracy by seed, mean over teachers"
        : "Test accuracy by seed",
    },
  );
}

function classDifferences(first, second, comparison) {
  const rows = Object.entries(comparison?.classes ?? {}).map(([name, apart]) => ({
    name,
    apart,
    first: first.classes[name],
    second: second.classes[name],
  }));
  if (!rows.length) return null;
  return section(
    "Accuracy by class",
    sideBySide(
      classChart(rows, "the second's", coloursOfArms([first, second])[0]),
      table(
        [
          col("class", "class", (row) => row.name),
          ...SIDES.flatMap((side) => classColumns(side, `${side} (%)`, (row) => row[side])),
          ...classDifferenceColumns("difference (pp)"),
        ],
        rows,
        { name: "compare-classes", caption: "Means over seeds; intervals of each class by itself" },
      ),
    ),
  );
}
