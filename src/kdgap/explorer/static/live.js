"use strict";
// What is being trained now, how far it is, and what failed.
kdgap.views.live = {
  title: "Live",
  async draw(study) {
    const [live, runs] = await Promise.all([kdgap.get("live"), kdgap.get("runs")]);
    const at = Object.fromEntries(runs.columns.map((name, index) => [name, index]));
    const done = study.states.done ?? 0;
    const total = Object.values(study.states).reduce((sum, count) => sum + count, 0) + study.open_runs;
    const training = live.runners.flatMap((runner) => runner.runs.map((one) => ({ ...one, host: runner.host })));
    const failed = runs.rows.filter((row) => ["failed", "damaged", "blocked", "conflict"].includes(row[at.state]));
    const curves = await Promise.all(training.slice(0, 12).map(async (one) => ({ one, run: await kdgap.fresh(`run/${one.run}`) })));
    const series = curves.filter(({ run }) => run.history.length).map(({ run }, index) => ({
      name: `${run.slots[0] ? armName(run.slots[0]) : run.id.slice(0, 8)}, seed ${run.seed}`, method: run.slots[0]?.method ?? "none", dash: DASHES[index % 3],
      colour: ["var(--logit)", "var(--feature)", ...OTHERS][index % 6], curve: Object.fromEntries(["epoch", "mean", "low", "high"].map((key) => [key, run.history.map((entry) => (key === "epoch" ? entry.epoch : entry.val_acc))])),
    }));
    return [
      el("h1", {}, "Live"),
      el("p", { class: "progress" }, el("progress", { max: Math.max(1, total), value: done, "aria-label": "runs done" }), ` ${done} of ${counted(total, "run")} done`, study.open_runs ? `, ${study.open_runs} of them open until selection ends` : ""),
      section("Training now", training.length ? table([
        { key: "run", title: "run", value: (one) => runs.rows[one.run][0], show: (one, id) => link(describeRow(runs.rows[one.run], at), "run", { id: id.slice(0, 16) }) },
        { key: "epoch", title: "epoch", value: (one) => one.epoch, show: (one) => `${one.epoch} of ${one.epochs}`, numeric: true },
        { key: "step", title: "step", value: (one) => one.step, show: (one) => `${one.step} of ${one.steps}`, numeric: true, lesser: true },
        { key: "val_acc", title: "validation (%)", value: (one) => one.val_acc, show: (one, value) => percent(value), numeric: true },
        { key: "host", title: "machine", value: (one) => one.host, lesser: true },
      ], training, { name: "live", caption: "Runs in training" }) : el("p", {}, live.runners.length ? live.runners.map((runner) => `${runner.host}: ${runner.phase}`).join("; ") : kdgap.exported ? "This page is a copy: nothing is trained in it." : "Nothing is being trained.")),
      series.length ? curveChart(series, "validation accuracy (%)", { name: "live-curves", title: "Validation accuracy so far" }, 100) : null,
      failed.length ? section("Failures", table([
        { key: "run", title: "run", value: (row) => row[at.id], show: (row, id) => link(describeRow(row, at), "run", { id: id.slice(0, 16) }) },
        { key: "state", title: "state", value: (row) => row[at.state] }, { key: "remark", title: "why", value: (row) => row[at.remark] ?? "" },
      ], failed, { name: "failures", caption: "Runs that failed, are damaged, or wait for one that did" })) : section("Failures", el("p", {}, "None.")),
    ];
  },
};

const describeRow = (row, at) => `${row[at.teacher] ? `${row[at.teacher]} → ` : ""}${row[at.student]}, ${methodName(row[at.method])}, seed ${row[at.seed]}`;
