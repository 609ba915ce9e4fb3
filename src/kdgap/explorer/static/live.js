"use strict";
// What is being trained now, how far it is, and what failed.
const TROUBLE = ["failed", "damaged", "blocked", "conflict"];

kdgap.views.live = {
  title: "Live",
  async draw(study) {
    const [live, runs] = await Promise.all([kdgap.get("live"), kdgap.get("runs")]);
    if (live.version !== study.version) throw new StaleError();
    const at = placesOf(runs.columns);
    const training = live.runners.flatMap((runner) =>
      runner.runs.map((run) => ({ ...run, host: runner.host })),
    );
    const troubled = runs.rows.filter((row) => TROUBLE.includes(row[at.state]));
    return [
      el("h1", {}, "Live"),
      progressPart(study, live),
      section("Stages", stageTable(study, runs, at)),
      section(
        "Training now",
        training.length ? trainingTable(training, runs, at) : el("p", {}, idleWords(live, study)),
        await liveCurves(training),
      ),
      section("Failures", troubled.length ? failureTable(troubled, at) : el("p", {}, "None.")),
    ];
  },
};

function progressPart(study, live) {
  const { done, total } = progressOf(study);
  const parts = [`${done.toLocaleString("en")} of ${counted(total, "run")} done`];
  const troubled = d3.sum(TROUBLE, (state) => study.states[state] ?? 0);
  if (troubled) parts.push(`${troubled.toLocaleString("en")} failed or blocked`);
  if (study.open_runs) parts.push(`${study.open_runs} open until selection ends`);
  // The bar is of the work: half of a long run is more of it than a short one that is done.
  const going = known(live.share) && done + troubled < total;
  const bar = going ? progressBar(live.share, 1, "work done") : progressBar(done, total);
  if (going) parts.unshift(`${Math.floor(100 * live.share)} % of the work`);
  if (live.left > 0) parts.push(`about ${duration(live.left)} left`);
  return el("p", { class: "progress" }, bar, ` ${parts.join(" · ")}`);
}

function idleWords(live, study) {
  if (kdgap.exported) return "This page is a copy: nothing is trained in it.";
  if (live.runners.length) return live.runners.map((runner) => `${runner.host}: ${runner.phase}`).join("; ");
  if (study.origin === "import") return "Nothing: these runs were imported.";
  const { done, total } = progressOf(study);
  if (done === total) return "Nothing is being trained: every planned run is done.";
  const again = ["Nothing is being trained. ", studyCommand(study, "run"), " goes on"];
  if (!study.states.failed && !study.states.damaged) return [...again, "."];
  return [...again, "; ", ...cleaning(study), "it is tried again."];
}

const studyCommand = (study, verb) => el("code", {}, `kdgap ${verb} ${study.command}`);

/** How to be rid of runs that failed, up to what then comes. */
const cleaning = (study) => [studyCommand(study, "clean"), " lists what failed, and removes it so that "];

/** How far each role is; a run counts in every role that it plays. */
function stageTable(study, runs, at) {
  const roles = (row) => (row[at.roles].length ? row[at.roles] : ["single"]);
  const every = [...new Set([...study.roles, ...runs.rows.flatMap(roles)])];
  const stages = every.map((role) => [role, runs.rows.filter((row) => roles(row).includes(role))]);
  const several = runs.rows.some((row) => row[at.roles].length > 1);
  const open = study.open_runs ? " Roles of runs that are still open have no number yet." : "";
  const count = (rows, states) => rows.filter((row) => states.includes(row[at.state])).length;
  return table(
    [
      col("stage", "role", ([role]) => role, { show: ([role]) => link(role, "runs", { role }) }),
      num("done", "done", ([, rows]) => count(rows, ["done"])),
      num("planned", "planned", ([, rows]) => rows.length || null),
      num("trouble", "failed or blocked", ([, rows]) => count(rows, TROUBLE)),
      col("share", "progress", ([, rows]) => (rows.length ? count(rows, ["done"]) / rows.length : null), {
        show: ([role, rows], value) =>
          rows.length ? progressBar(value * rows.length, rows.length, `${role} done`) : DASH,
        lesser: true,
      }),
    ],
    stages,
    {
      name: "stages",
      caption: `How far each role is${several ? "; a run that plays several counts in each" : ""}.${open}`,
    },
  );
}

const trainingTable = (training, runs, at) =>
  table(
    [
      col("run", "run", (run) => runs.rows[run.run][at.id], {
        show: (run, id) => link(describeRow(runs.rows[run.run], at), "run", { id: id.slice(0, 16) }),
      }),
      num("epoch", "epoch", (run) => run.epoch, { show: (run) => `${run.epoch} of ${run.epochs}` }),
      num("step", "step", (run) => run.step, { show: (run) => `${run.step} of ${run.steps}`, lesser: true }),
      pct("val_acc", `${choosesOnTest() ? "on the test images" : "validation"} (%)`, (run) => run.val_acc),
      col("host", "machine", (run) => run.host, LESSER),
    ],
    training,
    { name: "live", caption: "Runs in training" },
  );

/** Curves in one figure; their colours say the method, and a point says its run. */
const MOST_CURVES = 40;

async function liveCurves(training) {
  const shown = training.slice(0, MOST_CURVES);
  const runs = await Promise.all(shown.map((run) => kdgap.fresh(`run/${run.run}`)));
  const dashes = new Map();
  const series = runs
    .filter((run) => run.history.length)
    .map((run) => {
      const method = run.slots[0]?.method ?? "none";
      const before = dashes.get(method) ?? 0;
      dashes.set(method, before + 1);
      const values = run.history.map((entry) => entry.val_acc);
      const name = run.slots[0] ? armName(run.slots[0]) : run.id.slice(0, 8);
      // What selection tries is named by its settings.
      const settings = run.slots[0]?.candidate ? "" : settingsText(run.parameters);
      return {
        name: `${name}${settings ? ` (${settings})` : ""}, seed ${run.seed}`,
        method,
        dash: DASHES[before % DASHES.length],
        curve: { epoch: run.history.map((entry) => entry.epoch), mean: values, low: values, high: values },
      };
    });
  const axis = curveAxis("val_acc");
  const more = training.length > shown.length ? `The first ${shown.length} of ${training.length} runs.` : "";
  return series.length
    ? curveChart(series, axis, { name: "live-curves", title: `${capital(axis.words)} so far`, words: more })
    : null;
}

const failureTable = (rows, at) =>
  table(
    [
      col("run", "run", (row) => row[at.id], {
        show: (row, id) => link(describeRow(row, at), "run", { id: id.slice(0, 16) }),
      }),
      col("state", "state", (row) => row[at.state]),
      col("remark", "why", (row) => row[at.remark] ?? ""),
    ],
    rows,
    { name: "failures", caption: "Runs that failed, are damaged, or wait for one that did" },
  );
