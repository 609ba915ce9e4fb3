"use strict";
// One run: what was asked, what happened epoch by epoch, where it comes from, and how to repeat it.
kdgap.views.run = {
  title: null,
  async draw(study, state) {
    const { rows } = await kdgap.get("runs");
    const wanted = state.get("id");
    const number = wanted ? rows.findIndex((row) => row[0].startsWith(wanted)) : Number(state.get("n"));
    if (!(number >= 0 && number < rows.length)) return [section("No such run", el("p", {}, link("See the runs", "runs")))];
    const run = await kdgap.get(`run/${number}`);
    const slot = run.slots[0];
    const weights = study.primary;
    return [
      el("h1", {}, slot ? `${armName(slot)}, seed ${run.seed}` : `Run ${run.id.slice(0, 10)}`),
      facts([
        ["id", el("code", {}, run.id)],
        ["state", run.remark ? `${run.state}: ${run.remark}` : run.state],
        ["role", run.slots.map((one) => one.role).join(", ") || DASH],
        ["settings", settingsText(run.parameters) || "none"],
        ["test accuracy", `${percent(run.test.best?.accuracy)} % (best weights), ${percent(run.test.last?.accuracy)} % (last)`],
        ["validation", `${percent(run.validation.best)} %${run.validation.best_epoch ? ` in epoch ${run.validation.best_epoch}` : ""} of ${run.epochs ?? run.history.length}`],
        known(run.test[weights]?.top1_agreement) ? ["agreement with the teacher", `${percent(run.test[weights].top1_agreement)} %`] : null,
        ["configuration", run.slots.filter((one) => ["teacher", "baseline", "final", "ablation"].includes(one.role)).map((one, index) => [index ? ", " : "", link(armName(one), "configuration", armState({ ...one, cell: run.cell }))])],
        run.flags.length ? ["mind", run.flags.join("; ")] : null,
      ]),
      repeatSection(study, run),
      historySection(run),
      askedSection(run),
      filesSection(run),
    ];
  },
};

/** How to get the same numbers again. */
function repeatSection(study, run) {
  if (!run.asked?.spec) {
    return section("Where it comes from", facts([["files", run.paths.join(", ")]]));
  }
  const file = flatFile(run.asked.spec, run);
  return section("Repeat it",
    el("p", {}, "Save this as ", el("code", {}, "run.yaml"), ", then: ", el("code", {}, "kdgap train run.yaml"), ". The weights are the same bits on an equal environment."),
    el("pre", { tabindex: "0" }, el("code", {}, file)),
    el("p", { class: "tools" }, el("button", { type: "button", onclick: () => copy(file) }, "Copy"),
      el("button", { type: "button", onclick: () => download("run.yaml", file, "text/yaml") }, "run.yaml")));
}

/** A run's spec as the flat file that `kdgap train` reads. */
function flatFile(spec, run) {
  const { data, model, method, teacher, recipe } = spec;
  const keys = {
    model: model.name, stem: model.stem, width: model.width, kd_type: method.name, ...method.parameters,
    ...(teacher ? { teacher: teacher.model.name, teacher_weights: teacher.weights } : {}),
    data: data.name, image_size: data.image_size, augmentation: data.augmentation, split_seed: data.split_seed,
    val_size: data.val_size, limit: data.limit, epochs: recipe.epochs, batch_size: recipe.batch_size, lr: recipe.lr,
    eta_min: recipe.eta_min, momentum: recipe.momentum, nesterov: recipe.nesterov, weight_decay: recipe.weight_decay,
    clip_norm: recipe.clip_norm, clip_scope: recipe.clip_scope, precision: spec.precision, seed: spec.seed,
    threads: run.asked.environment?.threads, output_dir: `again/${run.id.slice(0, 10)}`,
  };
  return Object.entries(keys).filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => `${key}: ${typeof value === "string" && !/^[\w./-]+$/.test(value) ? JSON.stringify(value) : value}`).join("\n") + "\n";
}

function historySection(run) {
  const { history } = run;
  if (!history.length) return section("Training", el("p", { class: "note" }, "No history was recorded."));
  const line = (key, part = null) => {
    const points = history.map((entry, index) => [entry.epoch ?? index + 1, part ? entry[key]?.[part] : entry[key]]).filter(([, value]) => known(value));
    return { epoch: points.map(([epoch]) => epoch), mean: points.map(([, value]) => value), low: points.map(([, value]) => value), high: points.map(([, value]) => value) };
  };
  const one = (name, colour, curve, dash = null) => ({ name, colour, dash, curve });
  const accuracy = [one("validation", "var(--logit)", line("val_acc")), one("training", "var(--feature)", line("train_acc"), "6 3")];
  const losses = ["loss_total", "loss_ce", "loss_kd"].map((key, index) => one(key.replace("loss_", ""), ["var(--ink)", "var(--logit)", "var(--feature)"][index], line(key), DASHES[index]));
  const terms = [...new Set(history.flatMap((entry) => Object.keys(entry.term_grad_norm ?? {})))];
  const norms = [one("all parameters", "var(--ink)", line("grad_norm_max")), one("projections", "var(--feature)", line("proj_grad_norm_max"), "6 3"),
    ...terms.map((term, index) => one(`of ${term}`, ["var(--logit)", ...OTHERS][index % 5], line("term_grad_norm", term), DASHES[(index + 1) % 3]))];
  const some = (series) => series.filter((each) => each.curve.mean.some((value) => value > 0));
  const chart = (series, unit, name, title, scale = 1) => (some(series).length ? curveChart(some(series), unit, { name, title, width: 520 }, scale) : null);
  return section("Training", el("div", { class: "charts" },
    chart(accuracy, "accuracy (%)", "accuracy", "Accuracy", 100), chart(losses, "loss", "losses", "Loss and its terms"), chart(norms, "gradient norm", "norms", "Gradient norms before clipping")),
    table([
      { key: "epoch", title: "epoch", value: (entry) => entry.epoch ?? null, numeric: true },
      ...["val_acc", "train_acc"].map((key) => ({ key, title: key === "val_acc" ? "validation (%)" : "training (%)", value: (entry) => entry[key] ?? null, show: (entry, value) => percent(value), numeric: true })),
      ...["loss_total", "loss_ce", "loss_kd", "grad_norm_max", "lr"].map((key) => ({ key, title: key.replaceAll("_", " "), value: (entry) => entry[key] ?? null, show: (entry, value) => fixed(value, 4), numeric: true, lesser: key !== "loss_total" })),
    ], history, { name: `history-${run.id.slice(0, 10)}`, caption: "Every epoch" }));
}

function askedSection(run) {
  if (!run.asked) return null;
  const { provenance = {}, environment = {}, data = {} } = run.asked;
  return section("Where it comes from", facts([
    ["code", `kdgap ${provenance.kdgap ?? DASH}, revision ${provenance.revision ?? DASH}`],
    ["machine", Object.entries(environment).map(([key, value]) => `${key} ${value}`).join(", ")],
    ["libraries", Object.entries(provenance.packages ?? {}).map(([key, value]) => `${key} ${value}`).join(", ")],
    ["data", `${data.name ?? DASH}, fingerprint ${data.fingerprint ?? DASH}`],
    run.timing ? ["time", `${duration(run.timing.seconds)}, finished ${run.timing.finished ?? DASH}`] : null,
    run.failure ? ["failure", JSON.stringify(run.failure)] : null,
  ]), run.attempts ? el("details", {}, el("summary", {}, "Attempts"), el("pre", { tabindex: "0" }, run.attempts)) : null);
}

function filesSection(run) {
  if (!run.files?.length) return null;
  const folder = run.paths[0];
  return section("Files", table([
    { key: "name", title: "file", value: (file) => file.name, show: (file) => (kdgap.exported ? file.name : el("a", { href: `files/${[...folder.split("/"), file.name].map(encodeURIComponent).join("/")}`, download: file.name }, file.name)) },
    { key: "bytes", title: "bytes", value: (file) => file.bytes, show: (file, value) => value.toLocaleString("en"), numeric: true },
    { key: "sha256", title: "SHA-256, as committed", value: (file) => run.hashes?.[file.name] ?? "", show: (file, value) => (value ? el("code", {}, value) : DASH) },
  ], run.files, { name: "files", caption: `Files in ${folder}` }));
}
