"use strict";
// One configuration: its gain, every seed, fidelity, curves, the grid that it was chosen from.
function findArm(study, state) {
  const fits = (arm, keys) => keys.every((key) => (state.get(key) ?? "") === (arm[key] ?? ""));
  const exact = study.arms.filter((arm) => fits(arm, ["teacher", "student", "method", "role", "variant"]));
  const cell = state.get("cell");
  return exact.find((arm) => cell && arm.cell.startsWith(cell)) ?? exact[0];
}

kdgap.views.configuration = {
  title: "Configurations",
  async draw(study, state) {
    if (!study.arms.length) return [section("Configurations", el("p", {}, "No run that is judged is planned yet."))];
    const first = study.arms.find((arm) => arm.role === "final") ?? study.arms[0];
    const arm = findArm(study, state) ?? first;
    const gain = study.analysis?.gains.find((one) => arm.role === "final" && one.slot === arm.slot && one.cell === arm.cell);
    const document_ = await kdgap.get(`arm/${arm.number}`);
    const plain = gain ? baselineOf(study, gain) : null;
    const teacher = study.arms.find((one) => one.role === "teacher" && one.student === arm.teacher);
    const others = await Promise.all([plain, teacher].filter(Boolean).map((one) => kdgap.get(`arm/${one.number}`)));
    return [
      el("h1", {}, armName(arm)),
      picker(study, arm),
      gain ? gainFacts(study, gain) : facts([["test accuracy", `${spread(document_.mean, null)} % over ${counted(document_.n, "seed")}`], ["role", arm.role]]),
      el("p", {}, link("Compare it with another configuration", "compare", { a: arm.number, b: plain?.number ?? null })),
      seedSection(study, document_),
      curveSection([document_, ...others]),
      gain ? fidelitySection(gain) : null,
      gain ? classSection(gain) : null,
      gridSection(study, arm),
      gain?.diagnosis.length ? section("Why no gain was shown", diagnosisTable(gain)) : null,
      gain?.flags.length ? section("Mind", el("ul", { class: "mind" }, gain.flags.map((flag) => el("li", {}, flag.text)))) : null,
    ];
  },
};

function picker(study, arm) {
  const unique = (key, kept) => [...new Set(study.arms.filter(kept).map((one) => one[key] ?? ""))];
  const go = (wanted) => {
    // The nearest arm to what was asked: the changed key first, then as many others as fit.
    const score = (one) => Object.entries({ ...armState(arm), ...wanted }).reduce((sum, [key, value]) => sum + ((one[key] ?? "") === (value ?? "") ? (key in wanted ? 100 : 1) : 0), 0);
    const best = study.arms.reduce((a, b) => (score(b) > score(a) ? b : a));
    location.hash = kdgap.address("configuration", armState(best));
  };
  const same = (keys) => (one) => keys.every((key) => (one[key] ?? "") === (arm[key] ?? ""));
  const alike = study.arms.filter(same(["teacher", "student", "method", "role"]));
  return el("div", { class: "picker" },
    choice("teacher", unique("teacher", () => true).map((name) => [name, name || "none"]), arm.teacher ?? "", (teacher) => go({ teacher: teacher || null })),
    choice("student", unique("student", (one) => (one.teacher ?? "") === (arm.teacher ?? "")).map((name) => [name, name]), arm.student, (student) => go({ student })),
    choice("method", unique("method", (one) => (one.teacher ?? "") === (arm.teacher ?? "") && one.student === arm.student).map((name) => [name, methodName(name)]), arm.method, (method) => go({ method })),
    choice("role", unique("role", same(["teacher", "student", "method"])).map((name) => [name, name]), arm.role, (role) => go({ role })),
    alike.length > 1 ? choice("settings", alike.map((one) => [String(one.number), [one.variant, settingsText(one.parameters)].filter(Boolean).join(": ") || "as declared"]), String(arm.number), (number) => { location.hash = kdgap.address("configuration", armState(study.arms[Number(number)])); }) : null);
}

function gainFacts(study, gain) {
  const { settings } = study.analysis;
  return el("div", {}, el("p", { class: "sentence" }, badge(gain.verdict), " ", gain.sentence),
    facts([
      ["gain", `${signed(gain.gain_pp)} pp ${interval(gain.ci95_pp)}; holding for all ${counted(gain.family, "gain")} at once ${interval(gain.ci95_simultaneous_pp)}`],
      ["accuracy", `${spread(gain.mean_pp, gain.std_pp)} % (n = ${gain.n}) against ${spread(gain.baseline_mean_pp, gain.baseline_std_pp)} % (n = ${gain.n_baseline}) of plain training`],
      ["p", `${pValue(gain.p)}; Holm ${pValue(gain.p_holm)}; permutation ${pValue(gain.p_permutation)}; smaller than ${settings.smallest_effect_pp} pp (TOST) ${pValue(gain.p_tost)}`],
      ["hyper-parameters", `${settingsText(gain.parameters) || "none"}; ${gain.tried === 1 ? "not tuned" : `the choice out of ${gain.tried}`}`],
      gain.paired ? ["seed by seed", `${signed(gain.paired.gain_pp)} pp ${interval(gain.paired.ci95_pp)}, p ${pValue(gain.paired.p)}`] : null,
    ]));
}

function seedSection(study, arm) {
  const weights = study.primary;
  return section("Every seed", table([
    { key: "seed", title: "seed", value: (one) => one.seed, show: (one) => link(String(one.seed), "run", { id: study.ids?.[one.run] ?? null, n: one.run }), numeric: true },
    { key: "state", title: "state", value: (one) => one.state, lesser: true },
    { key: "test", title: `test (%), ${weights}`, value: (one) => one[weights].accuracy, show: (one) => percent(one[weights].accuracy), numeric: true },
    { key: "other", title: weights === "best" ? "test (%), last" : "test (%), best", value: (one) => one[weights === "best" ? "last" : "best"].accuracy, show: (one, value) => percent(value), numeric: true, lesser: true },
    { key: "validation", title: "validation (%)", value: (one) => one.validation, show: (one, value) => percent(value), numeric: true },
    { key: "agreement", title: "agreement (%)", value: (one) => one[weights].top1_agreement, show: (one, value) => percent(value), numeric: true, lesser: true },
    { key: "kl_t4", title: "KL, T = 4", value: (one) => one[weights].kl_t4, show: (one, value) => fixed(value, 4), numeric: true, lesser: true },
    { key: "ece", title: "ECE (%)", value: (one) => one[weights].ece, show: (one, value) => percent(value), numeric: true, lesser: true },
  ], arm.seeds, { name: "seeds", caption: `Runs of ${armName(arm)}` }));
}

const CURVE_WORDS = {
  val_acc: ["validation accuracy (%)", 100], train_acc: ["training accuracy (%)", 100],
  loss_total: ["training loss", 1], grad_norm_max: ["largest gradient norm", 1],
  proj_grad_norm_max: ["largest gradient norm of the projections", 1],
};
const DASHES = [null, "6 3", "2 3"];

/** Curves of arms over one another: the first whole, the others dashed. */
function curveSection(arms) {
  const drawn = Object.entries(CURVE_WORDS).map(([key, [unit, scale]]) => {
    const series = arms.filter((arm) => arm.curves[key]).map((arm) => ({
      name: arm.role === "teacher" ? `teacher ${arm.student}` : arm.role === "baseline" ? `${arm.student}, plain` : armName(arm),
      method: arm.method, dash: DASHES[arms.indexOf(arm) % 3], curve: arm.curves[key],
      colour: arms.some((other, index) => index < arms.indexOf(arm) && other.method === arm.method) ? "var(--other-1)" : null,
    }));
    return series.length ? curveChart(series, unit, { name: `curve-${key}`, title: capital(unit.replace(" (%)", "")), words: "Mean over seeds, with the band from the lowest to the highest.", width: 520 }, scale) : null;
  }).filter(Boolean);
  return section("Training", drawn.length ? el("div", { class: "charts" }, drawn) : el("p", { class: "note" }, "No history was recorded."));
}

function fidelitySection(gain) {
  if (!gain.fidelity) return section("Fidelity to the teacher", el("p", { class: "note" }, "Not recorded."));
  const names = { top1_agreement: ["agreement (%)", 100, 2], kl_t1: ["KL at T = 1 (nats)", 1, 4], kl_t4: ["KL at T = 4 (nats)", 1, 4], ece: ["calibration error (%)", 100, 2] };
  const rows = Object.entries(names).map(([key, [title, scale, digits]]) => ({ title, scale, digits, own: gain.fidelity[key], plain: gain.fidelity.baseline?.[key], difference: gain.fidelity.difference?.[key] })).filter((row) => row.own);
  const shown = (row, measure) => (measure ? `${(row.scale * measure.mean).toFixed(row.digits)}${measure.ci95 ? ` [${measure.ci95.map((end) => (row.scale * end).toFixed(row.digits)).join(", ")}]` : ""}` : DASH);
  return section("Fidelity to the teacher", table([
    { key: "measure", title: "measure", value: (row) => row.title },
    { key: "student", title: "student", value: (row) => row.own.mean * row.scale, show: (row) => shown(row, row.own), numeric: true },
    { key: "plain", title: "plain training", value: (row) => (row.plain ? row.plain.mean * row.scale : null), show: (row) => shown(row, row.plain), numeric: true },
    { key: "difference", title: "difference", value: (row) => (row.difference ? row.difference.difference * row.scale : null), show: (row) => (row.difference ? `${signed(row.scale * row.difference.difference, row.digits)}${row.difference.ci95 ? ` [${row.difference.ci95.map((end) => signed(row.scale * end, row.digits)).join(", ")}]` : ""}` : DASH), numeric: true, lesser: true },
  ], rows, { name: "fidelity", caption: "How closely the student follows its teacher, mean over seeds with interval" }));
}

function classSection(gain) {
  const own = gain.fidelity?.per_class_accuracy;
  if (!own) return null;
  const difference = gain.fidelity.per_class_difference ?? {};
  const rows = Object.entries(own).map(([name, measure]) => ({ name, measure, difference: difference[name] }));
  return section("Accuracy by class", table([
    { key: "class", title: "class", value: (row) => row.name },
    { key: "accuracy", title: "accuracy (%)", value: (row) => 100 * row.measure.mean, show: (row) => `${percent(row.measure.mean)}${row.measure.ci95 ? ` [${row.measure.ci95.map(percent).join(", ")}]` : ""}`, numeric: true },
    { key: "difference", title: "against plain training (pp)", value: (row) => (row.difference ? 100 * row.difference.difference : null), show: (row) => (row.difference ? `${signed(100 * row.difference.difference)}${row.difference.ci95 ? ` [${row.difference.ci95.map((end) => signed(100 * end)).join(", ")}]` : ""}` : DASH), numeric: true },
  ], rows, { name: "classes", caption: `Mean over seeds with interval; ${counted(rows.length, "class").replace("classs", "classes")}, intervals uncorrected` }));
}

function gridSection(study, arm) {
  const tuning = study.analysis?.selection.find((one) => one.teacher === arm.teacher && one.student === arm.student && one.method === arm.method);
  if (!tuning) return null;
  const names = [...new Set(tuning.candidates.flatMap((one) => Object.keys(one.parameters)))];
  const chosen = JSON.stringify(tuning.winner);
  return section("The grid that it was chosen from", table([
    ...names.map((name) => ({ key: name, title: name, value: (one) => one.parameters[name] ?? null, numeric: true })),
    { key: "score", title: "validation (%)", value: (one) => one.score, show: (one, value) => percent(value), numeric: true },
    { key: "chosen", title: "chosen", value: (one) => (JSON.stringify(one.parameters) === chosen ? "yes" : "") },
  ], tuning.candidates, { name: "grid", sort: "-score", caption: `Chosen on ${tuning.split === "test" ? "the test images" : "validation images"}, mean over ${tuning.seeds.length === 1 ? "seed" : "seeds"} ${tuning.seeds.slice(0, 10).join(", ")}` }));
}

function diagnosisTable(gain) {
  return table([
    { key: "topic", title: "topic", value: (one) => one.topic },
    { key: "fact", title: "fact", value: (one) => one.fact },
    { key: "reading", title: "what it may mean", value: (one) => one.reading ?? "" },
    { key: "remedy", title: "usual remedy", value: (one) => [one.remedy, one.source ? `(${one.source})` : null].filter(Boolean).join(" "), lesser: true },
  ], gain.diagnosis, { name: "diagnosis", caption: "What the records show; only facts come from the runs" });
}
