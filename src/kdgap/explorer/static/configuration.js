"use strict";
// One configuration: its gain, every seed, fidelity, curves, the grid that it was chosen from.
kdgap.views.configuration = {
  title: "Configurations",
  async draw(study, state) {
    if (!study.arms.length) return [el("h1", {}, "Configurations"), el("p", {}, "No run is planned yet.")];
    const arm = findArm(study, state);
    if (!arm) return [el("h1", {}, "No such configuration"), el("p", {}, link("See all", "configuration"))];
    const gain = known(arm.gain) ? study.analysis?.gains[arm.gain] : null;
    const beside = [arm.baseline, ...arm.teachers].filter(known).slice(0, 3);
    const [own, ...others] = await Promise.all(
      [arm.number, ...beside].map((number) => kdgap.get(`arm/${number}`)),
    );
    return [
      el("h1", {}, armName(arm)),
      picker(study, arm),
      gain ? gainFacts(study, gain) : armFacts(study, arm),
      el("p", { class: "onward" }, compareLinks(study, arm)),
      section(
        "Every seed",
        seedChart(
          [own, ...others].map((one) => seedGroup(one)),
          { name: "seeds", title: "Test accuracy of every seed" },
        ),
        seedTable(study, own),
      ),
      curveSection([own, ...others]),
      gain ? fidelitySection(gain) : null,
      classSection(gain?.fidelity?.per_class_difference, own),
      gridSection(study, arm),
      gain?.diagnosis.length ? section("Why no gain was shown", diagnosisTable(gain)) : null,
      mind(
        "Mind",
        (gain?.flags ?? []).map((flag) => flag.text),
      ),
    ];
  },
};

/** What names an arm in an address: a link outlives a study that grows. */
const armState = (arm) => ({
  teacher: arm.teacher,
  student: arm.student,
  method: arm.method,
  role: arm.role,
  variant: arm.variant || null,
  cell: arm.cell.slice(0, 12),
});

/** Whether two are of one teacher, student and method. */
const samePair = (one, other) => ["teacher", "student", "method"].every((key) => one[key] === other[key]);

/** The arm that an address names; of several, the one that fits best; null where none does. */
function findArm(study, state) {
  const asked = [...state].filter(([key]) => ["teacher", "student", "method", "role"].includes(key));
  const fits = study.arms.filter((arm) => asked.every(([key, value]) => (arm[key] ?? "") === value));
  const cell = state.get("cell");
  const score = (arm) =>
    2 * (arm.role === (state.get("role") ?? "final")) +
    (arm.variant === (state.get("variant") ?? "")) +
    Boolean(cell && arm.cell.startsWith(cell));
  return d3.greatest(fits, (a, b) => score(a) - score(b)) ?? null;
}

const compareLinks = (study, arm) => [
  link(
    "Compare it with another",
    "compare",
    compareState(arm, study.arms[arm.baseline ?? arm.teachers[0] ?? NaN]),
  ),
  " · ",
  link("Its runs", "runs", {
    teacher: arm.teacher,
    student: arm.student,
    method: arm.method,
    role: arm.role,
  }),
  known(arm.gain) ? [" · ", link("What more seeds would show", "power", { of: `gain:${arm.slot}` })] : null,
];

function picker(study, arm) {
  const same = (keys) => (one) => keys.every((key) => (one[key] ?? "") === (arm[key] ?? ""));
  const unique = (key, kept) => [...new Set(study.arms.filter(kept).map((one) => one[key] ?? ""))];
  const go = (wanted) => {
    // The nearest arm to what was asked: the changed key first, then as many others as fit.
    const asked = Object.entries({ ...armState(arm), ...wanted });
    const score = (one) =>
      d3.sum(asked, ([key, value]) => ((one[key] ?? "") === (value ?? "") ? (key in wanted ? 100 : 1) : 0));
    location.hash = kdgap.address(
      "configuration",
      armState(study.arms.reduce((a, b) => (score(b) > score(a) ? b : a))),
    );
  };
  const choose = (key, kept, text = (name) => name || "none") =>
    choice(
      key,
      unique(key, kept).map((name) => [name, text(name)]),
      arm[key] ?? "",
      (value) => go({ [key]: value || null }),
    );
  const alike = study.arms.filter(same(["teacher", "student", "method", "role"]));
  const settings = (one) => {
    const text = settingsText(one.parameters);
    if (one.role !== "selection") return [one.variant, text].filter(Boolean).join(": ") || "as declared";
    return `${text || one.variant}${known(one.validation) ? ` (validation ${percent(one.validation)} %)` : ""}`;
  };
  return el(
    "div",
    { class: "picker" },
    choose("teacher", () => true),
    choose("student", same(["teacher"])),
    choose("method", same(["teacher", "student"]), methodName),
    choose("role", same(["teacher", "student", "method"])),
    alike.length > 1
      ? choice(
          "hyper-parameters",
          alike.map((one) => [String(one.number), settings(one)]),
          String(arm.number),
          (number) => {
            location.hash = kdgap.address("configuration", armState(study.arms[Number(number)]));
          },
        )
      : null,
  );
}

function gainFacts(study, gain) {
  const { settings } = study.analysis;
  return el(
    "div",
    {},
    el("p", { class: "sentence" }, badge(gain.verdict), " ", gain.sentence),
    facts([
      [
        "gain",
        `${signed(gain.gain_pp)} pp ${interval(gain.ci95_pp)}; holding for all ${counted(gain.family, "gain")} at once ${interval(gain.ci95_simultaneous_pp)}`,
      ],
      [
        "accuracy",
        `${spread(gain.mean_pp, gain.std_pp)} % (n = ${gain.n}) against ${spread(gain.baseline_mean_pp, gain.baseline_std_pp)} % (n = ${gain.n_baseline}) of plain training`,
      ],
      known(gain.fidelity?.teacher_accuracy)
        ? [
            "teacher",
            `${percent(gain.fidelity.teacher_accuracy)} % test accuracy of the checkpoint that taught`,
          ]
        : null,
      [
        "p",
        `${pValue(gain.p)}; Holm ${pValue(gain.p_holm)}; permutation ${pValue(gain.p_permutation)}; smaller than ${settings.smallest_effect_pp} pp (TOST) ${pValue(gain.p_tost)}`,
      ],
      [
        "hyper-parameters",
        `${settingsText(gain.parameters) || "none"}; ${gain.tried === 1 ? "not tuned" : `the choice out of ${gain.tried}`}`,
      ],
      gain.paired
        ? [
            "seed by seed",
            `${signed(gain.paired.gain_pp)} pp ${interval(gain.paired.ci95_pp)}, p ${pValue(gain.paired.p)}`,
          ]
        : null,
    ]),
  );
}

/** Facts of an arm that no gain is about: teachers, baselines, ablations, what selection tried. */
function armFacts(study, arm) {
  const winner =
    arm.role === "selection" ? study.arms.find((one) => one.role === "final" && samePair(one, arm)) : null;
  return facts([
    [
      "role",
      arm.role === "selection"
        ? `tried in selection${arm.n ? "" : "; judged on validation images alone"}`
        : arm.role,
    ],
    known(arm.mean)
      ? ["test accuracy", `${spread(arm.mean, arm.std)} % (n = ${arm.n}), ${study.primary} weights`]
      : null,
    known(arm.validation)
      ? ["validation accuracy", `${percent(arm.validation)} %, mean over ${counted(arm.runs.length, "run")}`]
      : null,
    ["hyper-parameters", settingsText(arm.parameters) || "none"],
    winner
      ? [
          "chosen",
          winner.cell === arm.cell
            ? "yes"
            : [
                "no: ",
                link(settingsText(winner.parameters) || armName(winner), "configuration", armState(winner)),
              ],
        ]
      : null,
  ]);
}

function seedTable(study, arm) {
  const weights = study.primary;
  const other = weights === "best" ? "last" : "best";
  return table(
    [
      num("seed", "seed", (one) => one.seed, {
        show: (one) =>
          link(String(one.seed), "run", { id: one.id.slice(0, 16) }, { "aria-label": `seed ${one.seed}` }),
      }),
      col("state", "state", (one) => one.state, LESSER),
      pct("test", `test (%), ${weights}`, (one) => one[weights].accuracy),
      pct("other", `test (%), ${other}`, (one) => one[other].accuracy, LESSER),
      pct("validation", "validation (%)", (one) => one.validation),
      pct("agreement", "agreement (%)", (one) => one[weights].top1_agreement, LESSER),
      num("kl_t4", "KL, T = 4", (one) => one[weights].kl_t4, {
        show: (one, value) => fixed(value, 4),
        lesser: true,
      }),
      pct("ece", "ECE (%)", (one) => one[weights].ece, LESSER),
    ],
    arm.seeds,
    { name: "seeds", caption: `Runs of ${armName(arm)}` },
  );
}
