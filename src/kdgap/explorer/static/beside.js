"use strict";
// Chosen runs beside one another: their settings, results and curves.
kdgap.views.beside = {
  title: null,
  under: "runs",
  async draw(study, state) {
    const { rows, columns } = await kdgap.get("runs");
    const at = placesOf(columns);
    const several = (key) => (state.get(key) ?? "").split(" ").filter(Boolean).slice(0, MOST_BESIDE);
    const keys = several("runs");
    const numbers = keys.length
      ? keys.map((key) => rows.findIndex((row) => row[at.id].startsWith(key)))
      : several("n").map(Number);
    const there = numbers.filter((number) => rows[number]);
    const heading = el("h1", {}, "Runs side by side");
    const pick = there.map((number) => rows[number][at.id].slice(0, 16)).join(" ");
    const others = link("Choose runs", "runs", { pick });
    if (there.length < 2)
      return [heading, el("p", {}, "Two runs or more are needed, each chosen by its box. ", others)];
    const runs = await Promise.all(there.map((number) => kdgap.get(`run/${number}`)));
    const shown = runs.map((run, index) => ({
      ...{ run, row: rows[there[index]], key: `run ${index + 1}` },
      name: `run ${index + 1}: ${describeRow(rows[there[index]], at)}`,
    }));
    return [
      heading,
      el(
        "p",
        { class: "onward" },
        link("Choose others", "runs", { pick }),
        " · ",
        copyButton(() => location.href, "Copy link"),
      ),
      el(
        "ol",
        { class: "beside-runs" },
        shown.map(({ row }) =>
          el("li", {}, link(describeRow(row, at), "run", { id: row[at.id].slice(0, 16) })),
        ),
      ),
      section("What they are and reached", besideTable(study, shown, at)),
      besideCurves(study, shown),
      besideSpecs(shown),
    ];
  },
};

/** A row for each thing that runs have, a column a run; what differs is bold and says so. */
function besideRows(shown, rows, about) {
  const differs = ({ values, result }) => !result && new Set(values.map(String)).size > 1;
  return table(
    [
      col("what", "what", (each) => each.what),
      ...shown.map(({ key }, index) =>
        col(key.replace(" ", "_"), key, (each) => each.values[index], {
          show: (each, value) => (differs(each) ? el("strong", {}, String(value)) : String(value)),
        }),
      ),
      col("differs", "differs", (each) => (each.result ? DASH : differs(each) ? "yes" : "no"), LESSER),
    ],
    rows,
    about,
  );
}

function besideTable(study, shown, at) {
  const line = (what, of, more = {}) => ({ what, values: shown.map(of), ...more });
  const result = (what, of) => line(what, of, { result: true });
  const settings = [...new Set(shown.flatMap(({ run }) => Object.keys(run.parameters)))];
  const test = (weights) =>
    result(`test accuracy (%), ${weights} weights`, ({ run }) => percent(run.test[weights]?.accuracy));
  return besideRows(
    shown,
    [
      line("pair", ({ row }) => pairName(slotOf(row, at))),
      line("method", ({ row }) => methodName(row[at.method])),
      line("role", ({ row }) => rolesText(row, at)),
      line("variant", ({ row }) => variantOf(slotOf(row, at)) || "none"),
      line("seed", ({ run }) => run.seed),
      ...settings.map((name) => line(name, ({ run }) => run.parameters[name] ?? "none")),
      line("epochs", ({ run }) => run.epochs ?? DASH),
      line("state", ({ run }) => run.state),
      result(choiceTitle("best"), ({ run }) => percent(run.validation.best)),
      ...[...new Set([study.primary, "best", "last"])].map(test),
      result("agreement with the teacher (%)", ({ run }) => percent(run.test[study.primary]?.top1_agreement)),
    ],
    { name: "beside-runs", caption: "The runs; bold where they differ" },
  );
}

/** The epochs of a run as a curve, whose band is none. */
function ownCurve(run, key) {
  const points = run.history
    .map((entry, index) => [entry.epoch ?? index + 1, entry[key]])
    .filter(([, value]) => known(value));
  const mean = points.map(([, value]) => value);
  return { epoch: points.map(([epoch]) => epoch), mean, low: mean, high: mean };
}

/** Curves of the runs: a colour for each configuration, a dash for each run of it. */
function besideCurves(study, shown) {
  const arms = shown.map(
    ({ run }) => study.arms.find((arm) => arm.runs.includes(run.number)) ?? run.slots[0],
  );
  const different = [...new Set(arms)];
  const colours = coloursOfArms(different.map((arm) => arm ?? { role: "single", method: "" }));
  const within = arms.map((arm, index) => arms.slice(0, index).filter((other) => other === arm).length);
  const unlike = different.length > 1;
  const drawn = Object.keys(CURVES).map((key) => {
    const series = shown
      .map(({ run, name }, index) => ({
        name,
        colour: colours[different.indexOf(arms[index])],
        dash: DASHES[within[index] % DASHES.length],
        curve: ownCurve(run, key),
      }))
      .filter(({ curve }) => curve.mean.some((value) => value !== 0));
    const axis = curveAxis(key);
    const words =
      key.startsWith("loss_") && unlike
        ? "Each loss is that of its own method and settings: these are not one quantity, so compare shapes, not heights."
        : "A colour for each configuration, a dash for each of its runs.";
    const about = { name: `beside-${key}`, title: capital(axis.words), words, columns: Infinity };
    return series.length ? curveChart(series, axis, about) : null;
  });
  const curves = drawn.filter(Boolean);
  return section(
    "Training",
    curves.length ? el("div", { class: "charts" }, curves) : note("No history was recorded."),
  );
}

/** What a value within a spec is called, and its text: one pair for each that is no list of others. */
function flattened(value, path = "") {
  if (value === null || typeof value !== "object") return [[path, String(value)]];
  if (Array.isArray(value)) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, part]) => flattened(part, path ? `${path}.${key}` : key));
}

/** Everything that was asked of the runs, where that is recorded. */
function besideSpecs(shown) {
  const specs = shown.map(({ run }) => new Map(flattened(run.asked?.spec ?? {})));
  if (!specs.some((spec) => spec.size > 1)) return null;
  const keys = [...new Set(specs.flatMap((spec) => [...spec.keys()]))].filter(Boolean);
  const rows = keys.map((key) => ({ what: key, values: specs.map((spec) => spec.get(key) ?? "none") }));
  const other = rows.filter(({ values }) => new Set(values).size > 1);
  return section(
    "Everything that was asked",
    other.length
      ? besideRows(shown, other, { name: "beside-asked", caption: "Fields of the specs that differ" })
      : el("p", {}, "The same of all of them."),
    disclosure(
      "specs",
      `All ${rows.length} fields`,
      besideRows(shown, rows, { name: "beside-specs", caption: "Every field of the specs" }),
    ),
  );
}
