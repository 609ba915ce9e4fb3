"use strict";
// One configuration: its gain, every seed, fidelity, curves, the grid that it was chosen from.
kdgap.views.configuration = {
  title: null,
  under: "matrix",
  keeps: true,
  async draw(study, state) {
    if (!study.arms.length) return [el("h1", {}, "Configurations"), el("p", {}, "No run is planned yet.")];
    const arm = findArm(study, state);
    if (!arm) return [el("h1", {}, "No such configuration"), el("p", {}, link("See all", "matrix"))];
    const gain = known(arm.gain) ? study.analysis?.gains[arm.gain] : null;
    const beside = [arm.baseline, ...arm.teachers].filter(known).slice(0, 3);
    const [own, ...others] = await Promise.all(
      [arm.number, ...beside].map((number) => kdgap.get(`arm/${number}`)),
    );
    const shown = [own, ...others];
    const colours = coloursOfArms(shown);
    return [
      el("h1", {}, armName(arm)),
      picker(study, arm),
      ...(gain ? gainParts(study, gain, own) : [armFacts(study, arm)]),
      el("p", { class: "onward" }, compareLinks(study, arm, gain)),
      section(
        "Every seed",
        sideBySide(
          seedChart(
            shown.map((other, index) => seedGroup(other, armName(other), colours[index])),
            { name: "seed-points", title: "Test accuracy of every seed", columns: 2 },
          ),
          seedTable(study, own),
        ),
      ),
      curveSection(shown),
      sideBySide(gain ? fidelitySection(gain) : null, gridSection(study, arm)),
      classSection(gain?.fidelity?.per_class_difference, own),
      gain?.diagnosis.length ? section("Everything the records show of it", diagnosisTable(gain)) : null,
      mind("Mind", gain ? gainNotes(study, gain) : []),
    ];
  },
};

/** What names an arm in an address: a link outlives a study that grows. */
const armState = (arm) => ({
  teacher: arm.teacher,
  student: arm.student,
  method: arm.method,
  role: arm.role,
  candidate: arm.candidate,
  ablation: arm.ablation,
  arm: arm.arm,
  configuration: arm.configuration.slice(0, 12),
});

/** The arm that an address names; of several, the one that fits best; null where none does. */
function findArm(study, state) {
  const named = [...state].filter(([key]) => ["role", ...PAIR].includes(key));
  const fits = study.arms.filter((arm) => named.every(([key, value]) => (arm[key] ?? "") === value));
  const configuration = state.get("configuration");
  const score = (arm) =>
    2 * (arm.role === (state.get("role") ?? "final")) +
    d3.sum(DETAILS, (key) => arm[key] === (state.get(key) ?? "")) +
    Boolean(configuration && arm.configuration.startsWith(configuration));
  return d3.greatest(fits, (a, b) => score(a) - score(b)) ?? null;
}

function compareLinks(study, arm, gain) {
  const other = study.arms[arm.baseline ?? arm.teachers[0] ?? NaN];
  const { teacher, student, method, role } = arm;
  return [
    isComparable(arm) ? [link("Compare it with another", "compare", compareState(arm, other)), " · "] : null,
    link("Its runs", "runs", { teacher, student, method, role }),
    role === "final" && study.origin === "study"
      ? [" · ", link("What it predicts, image by image", "predictions", armState(arm))]
      : null,
    gain ? [" · ", link("What more seeds would show", "power", { of: gainKey(study, gain) })] : null,
  ];
}

function picker(study, arm) {
  const same = (keys) => (other) => keys.every((key) => (other[key] ?? "") === (arm[key] ?? ""));
  const unique = (key, kept) => [...new Set(study.arms.filter(kept).map((other) => other[key] ?? ""))];
  const go = (wanted) => {
    // The nearest arm to what was asked: the changed key first, then as many others as fit.
    const nearest = Object.entries({ ...armState(arm), ...wanted });
    const score = (other) =>
      d3.sum(nearest, ([key, value]) =>
        (other[key] ?? "") === (value ?? "") ? (key in wanted ? 100 : 1) : 0,
      );
    location.hash = kdgap.address("configuration", {
      ...armState(study.arms.reduce((a, b) => (score(b) > score(a) ? b : a))),
      ...curveState(),
    });
  };
  const choose = (key, kept, text = (name) => name || "none") =>
    choice(
      key,
      key,
      unique(key, kept).map((name) => [name, text(name)]),
      arm[key] ?? "",
      (value) => go({ [key]: value || null }),
    );
  const alike = study.arms.filter(same(["teacher", "student", "method", "role"]));
  const settings = (other) => {
    const text = settingsText(other.parameters);
    if (other.role !== "selection")
      return [variantOf(other), text].filter(Boolean).join(": ") || "as declared";
    const chosenBy = `${percent(other.validation)} % ${choiceWords(other.validation_epoch)}`;
    return `${text || variantOf(other)}${known(other.validation) ? ` (${chosenBy})` : ""}`;
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
          "arm",
          arm.role !== "selection" && alike.some(variantOf) ? "variant" : "hyper-parameters",
          alike.map((other) => [String(other.number), settings(other)]),
          String(arm.number),
          (number) => {
            location.hash = kdgap.address("configuration", {
              ...armState(study.arms[Number(number)]),
              ...curveState(),
            });
          },
        )
      : null,
  );
}

/** The verdict, why it is so and what to do next, and its numbers; a phone has no column for the second. */
function gainParts(study, gain, arm) {
  const why = causesSection(study.gains[arm.gain].causes);
  const [first, rest] = [gainSentence(study, gain, arm), gainFacts(study, gain, arm)];
  return slim()
    ? [...first, why, ...rest].flat(Infinity).filter(Boolean)
    : [sideBySide([...first, ...rest], why)];
}

const gainSentence = (study, gain, arm) => [
  el("p", { class: "sentence" }, gainBadge(gain), " ", study.gains[arm.gain].sentence),
  el("p", { class: "tools" }, quoteButton(study.gains[arm.gain])),
];

function gainFacts(study, gain, arm) {
  const { settings } = study.analysis;
  const { fidelity, paired } = gain;
  const accuracy = spread(gain.mean_pp, gain.std_pp);
  const plain = spread(gain.baseline_mean_pp, gain.baseline_std_pp);
  const tuned = gain.tried === 1 ? "not tuned" : `the choice out of ${gain.tried}`;
  return [
    referenceSentences(study, gain),
    gainPicture(study, gain),
    facts([
      [
        "gain",
        `${signed(gain.gain_pp)} pp ${interval(gain.ci95_pp)}; holding for all ${counted(gain.family, "gain")} at once ${interval(gain.ci95_simultaneous_pp)}`,
      ],
      ...referenceFacts(study, gain),
      [
        "accuracy",
        `${accuracy} % (n = ${gain.n}) against ${plain} % (n = ${gain.n_baseline}) of plain training`,
      ],
      known(fidelity?.teacher_accuracy)
        ? ["teacher", `${percent(fidelity.teacher_accuracy)} % ${teacherWords(arm)}`]
        : null,
      [
        "p",
        `${pValue(gain.p)}; Holm ${pValue(gain.p_holm)}; permutation ${pValue(gain.p_permutation)}; smaller than ${settings.smallest_effect_pp} pp (TOST) ${pValue(gain.p_tost)}`,
      ],
      ["hyper-parameters", `${settingsText(gain.parameters) || "none"}; ${tuned}`],
      paired
        ? ["seed by seed", `${signed(paired.gain_pp)} pp ${interval(paired.ci95_pp)}, p ${pValue(paired.p)}`]
        : null,
    ]),
  ];
}

const teacherWords = (arm) => {
  const count = teachersOf(arm).length;
  return count > 1
    ? `mean test accuracy of the ${count} checkpoints that taught`
    : "test accuracy of the checkpoint that taught";
};

/** A gain on an axis, beside the band of what is too small to matter. */
const gainPicture = (study, gain) =>
  known(gain.gain_pp)
    ? intervalChart(
        [
          {
            ...gainLine(gain),
            label: overReference(study, gain).length ? "over plain training" : "gain",
          },
          ...referenceLines(study, gain),
        ],
        {
          name: "gain",
          title: "The gain with its interval",
          columns: 2,
          all: "of its kind",
        },
      )
    : null;

/** Facts of an arm that no gain is about: teachers, baselines, ablations, what selection tried. */
const armFacts = (study, arm) =>
  facts([
    [
      "role",
      arm.role === "selection"
        ? `tried in selection${arm.n ? "" : `; judged on ${choosingImages()} alone`}`
        : arm.role,
    ],
    arm.change
      ? ["changed", arm.arm === "base" ? `nothing; on the other side ${arm.change}` : arm.change]
      : null,
    known(arm.mean)
      ? ["test accuracy", `${spread(arm.mean, arm.std)} % (n = ${arm.n}), ${study.primary} weights`]
      : null,
    known(arm.validation)
      ? [
          choiceWords(arm.validation_epoch),
          `${percent(arm.validation)} %, mean over ${counted(arm.validated, "run")}`,
        ]
      : null,
    ["hyper-parameters", settingsText(arm.parameters) || "none"],
    arm.role === "selection" ? ["chosen", chosenWords(study, arm)] : null,
  ]);

/** Whether what selection tried was chosen, and what was instead. */
function chosenWords(study, arm) {
  if (arm.chosen === null) return "nothing is chosen yet";
  if (arm.chosen) return "yes";
  const finals = study.arms.filter((other) => other.role === "final" && samePair(other, arm));
  const links = finals.map((final, index) => [
    index ? "; " : ": ",
    link(settingsText(final.parameters) || armName(final), "configuration", armState(final)),
  ]);
  return ["no", links];
}

/** Every run of an arm; where several teachers taught, a seed has a run of each. */
function seedTable(study, arm) {
  const weights = study.primary;
  const other = weights === "best" ? "last" : "best";
  const several = teachersOf(arm).length > 1;
  const label = (run) =>
    several && run.teacher ? `seed ${run.seed}, teacher of seed ${run.teacher.seed}` : `seed ${run.seed}`;
  const toTeacher = ({ teacher }) =>
    teacher
      ? link(
          `seed ${teacher.seed}`,
          "run",
          { id: teacher.id.slice(0, 16) },
          { "aria-label": `teacher of seed ${teacher.seed}` },
        )
      : DASH;
  return [
    table(
      [
        num("seed", "seed", (run) => run.seed, {
          show: (run) =>
            link(String(run.seed), "run", { id: run.id.slice(0, 16) }, { "aria-label": label(run) }),
        }),
        several
          ? num("teacher_seed", "teacher", (run) => run.teacher?.seed ?? null, { show: toTeacher })
          : null,
        col("state", "state", (run) => run.state, LESSER),
        pct(`test_${weights}`, `test (%), ${weights}`, (run) => run[weights].accuracy),
        pct(`test_${other}`, `test (%), ${other}`, (run) => run[other].accuracy, LESSER),
        pct("validation", choiceTitle("best"), (run) => run.validation),
        pct("agreement", "agreement (%)", (run) => run[weights].top1_agreement, LESSER),
        num("kl_t4_nats", "KL, T = 4 (nats)", (run) => run[weights].kl_t4, {
          show: (run, value) => fixed(value, 4),
          lesser: true,
        }),
        pct("ece", "ECE (%)", (run) => run[weights].ece, LESSER),
      ].filter(Boolean),
      arm.seeds,
      { name: "seed-runs", caption: `Runs of ${armName(arm)}` },
    ),
    arm.left_out.length ? note(`${leftOut(arm.left_out)}.`) : null,
  ];
}
