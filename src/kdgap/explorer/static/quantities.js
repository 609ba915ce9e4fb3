"use strict";
// What runs and configurations have that can stand on an axis, or be a colour.
const kindAxis = (key, title, value) => ({ key, title, value, kind: true });
const SCATTER_KINDS = [
  kindAxis("method", "method", (entry) => methodName(entry.slot.method)),
  kindAxis("role", "role", (entry) => entry.slot.role),
  kindAxis("student", "student", (entry) => entry.slot.student),
  kindAxis("teacher", "teacher", (entry) => entry.slot.teacher ?? "none"),
  kindAxis("pair", "pair", (entry) => pairName(entry.slot)),
  kindAxis("state", "state", (entry) => entry.state[0]),
];

const quantityAxis = (key, title, unit, value, digits = 2) => ({ key, title, unit, value, digits });

/** Every run as a point. */
async function runEntries(study) {
  const { rows, columns } = await kdgap.get("runs");
  const at = placesOf(columns);
  const arms = armsOfRuns(study, rows);
  return rows.map((row) => ({
    ...{ row, at, arm: arms.get(row), slot: { ...slotOf(row, at), role: row[at.roles][0] } },
    ...{ role: row[at.roles], student: [row[at.student]], method: [row[at.method]], state: [row[at.state]] },
  }));
}

/** Every configuration as a point. */
const armEntries = (study) =>
  study.arms.map((arm) => ({
    ...{ arm, slot: arm, gain: known(arm.gain) ? study.analysis?.gains[arm.gain] : null },
    ...{ role: [arm.role], student: [arm.student], method: [arm.method], state: ["any"] },
  }));

const entryName = (entry) =>
  entry.row ? describeRow(entry.row, entry.at) : `${armSettings(entry.arm)}, ${entry.arm.role}`;
const entryPlace = (entry) =>
  entry.row ? ["run", { id: entry.row[entry.at.id].slice(0, 16) }] : ["configuration", armState(entry.arm)];

/** What networks cost, and hyper-parameters: the same of runs and of configurations. */
function sharedQuantities(study) {
  const model = (of, key) => (entry) => study.models[entry.slot[of]]?.[key] ?? null;
  const names = [...new Set(study.arms.flatMap((arm) => Object.keys(arm.parameters)))];
  const numbers = names.filter((name) => study.arms.some((arm) => typeof arm.parameters[name] === "number"));
  const ratio = (entry) => {
    const [own, teacher] = [model("student", "parameters")(entry), model("teacher", "parameters")(entry)];
    return own && teacher ? teacher / own : null;
  };
  const setting = (name) => (entry) => {
    const value = entry.arm?.parameters[name];
    return typeof value === "number" ? value : null;
  };
  return [
    ...numbers.map((name) => quantityAxis(`set.${name}`, name, null, setting(name), 4)),
    quantityAxis("parameters", "student's parameters", null, model("student", "parameters"), 0),
    quantityAxis("flops", "student's FLOPs for one image", null, model("student", "flops"), 0),
    quantityAxis("ratio", "teacher's parameters over the student's", null, ratio),
  ];
}

function runQuantities(study) {
  const cell =
    (name, scale) =>
    ({ row, at }) =>
      known(row[at[name]]) ? scale * row[at[name]] : null;
  const share = (key, title, name) => quantityAxis(key, `${title} (%)`, "percent", cell(name, 100));
  const other = study.primary === "best" ? "last" : "best";
  return [
    share("test", `test accuracy, ${study.primary} weights`, `test_${study.primary}`),
    share("test_other", `test accuracy, ${other} weights`, `test_${other}`),
    quantityAxis("validation", choiceTitle("best"), "percent", cell("validation", 100)),
    share("agreement", "agreement with the teacher", "agreement"),
    quantityAxis("epochs", "epochs", null, cell("epochs", 1), 0),
    quantityAxis("seed", "seed", null, cell("seed", 1), 0),
    ...sharedQuantities(study),
  ];
}

function armQuantities(study) {
  const gain = (value) => (entry) => (entry.gain ? (value(entry.gain) ?? null) : null);
  const fidelity = (key, scale) =>
    gain(({ fidelity }) => (known(fidelity?.[key]?.mean) ? scale * fidelity[key].mean : null));
  return [
    quantityAxis("mean", "test accuracy (%)", "percent", ({ arm }) => arm.mean),
    {
      ...quantityAxis(
        "gain",
        "gain (pp)",
        "pp",
        gain(({ gain_pp }) => gain_pp),
      ),
      bounds: gain(({ ci95_pp }) => ci95_pp),
    },
    quantityAxis("std", "standard deviation over seeds (pp)", "pp", ({ arm }) => arm.std),
    quantityAxis("n", "seeds", null, ({ arm }) => arm.n, 0),
    quantityAxis(
      "validation",
      choosesOnTest() ? "on the test images (%)" : "validation (%)",
      "percent",
      ({ arm }) => (known(arm.validation) ? 100 * arm.validation : null),
    ),
    quantityAxis(
      "baseline",
      "plain training (%)",
      "percent",
      gain(({ baseline_mean_pp }) => baseline_mean_pp),
    ),
    quantityAxis("agreement", "agreement with the teacher (%)", "percent", fidelity("top1_agreement", 100)),
    quantityAxis("kl", "KL to the teacher, T = 4 (nats)", "nats", fidelity("kl_t4", 1), 4),
    quantityAxis("ece", "calibration error (%)", "percent", fidelity("ece", 100)),
    ...sharedQuantities(study),
  ];
}
