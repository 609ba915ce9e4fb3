"use strict";
// One run: what was asked, what happened epoch by epoch, where it comes from, and how to repeat it.
kdgap.views.run = {
  title: null,
  under: "runs",
  async draw(study, state) {
    const { rows, columns } = await kdgap.get("runs");
    const wanted = state.get("id");
    const number = wanted
      ? rows.findIndex((row) => row[0].startsWith(wanted))
      : Number(state.get("n") ?? NaN);
    if (!(number >= 0 && number < rows.length))
      return [el("h1", {}, "No such run"), el("p", {}, link("See the runs", "runs"))];
    const run = await kdgap.get(`run/${number}`);
    const slot = run.slots[0];
    return [
      el("h1", {}, slot ? `${armName(slot)}, seed ${run.seed}` : `Run ${run.id.slice(0, 10)}`),
      siblings(study, run, rows, placesOf(columns)),
      sideBySide(
        runFacts(study, run, rows, placesOf(columns)),
        failureSection(study, run) ?? (run.repeat ? repeatSection(run) : originOfRun(study, run)),
      ),
      historySection(run),
      await runAgreementSection(study, run, rows, placesOf(columns)),
      run.repeat && !run.failure ? null : repeatSection(run),
      run.repeat || run.failure ? originOfRun(study, run) : null,
      logSection(run),
      filesSection(run),
    ];
  },
};

/** The runs that differ from this one in their seed alone. */
function siblings(study, run, rows, at) {
  const arm = study.arms.find((other) => other.runs.includes(run.number));
  if (!arm || arm.runs.length < 2) return null;
  const others = arm.runs.slice(0, 40).map((number, index) => {
    const seed = rows[number][at.seed];
    return [
      index ? " " : "",
      number === run.number
        ? el("strong", {}, String(seed))
        : link(
            String(seed),
            "run",
            { id: rows[number][at.id].slice(0, 16), ...curveState() },
            { "aria-label": `seed ${seed}` },
          ),
    ];
  });
  return el("p", { class: "onward" }, "Seeds of this configuration: ", others);
}

function runFacts(study, run, rows, at) {
  const shown = run.slots.filter((slot) => study.arms.some((arm) => sameSlot(arm, slot)));
  const test = (weights) => `${percent(run.test[weights]?.accuracy)} % (${weights} weights)`;
  const hash = (weights) => run.test[weights]?.weight_hash;
  return facts([
    [
      "id",
      [
        el("code", {}, run.id),
        study.origin === "import" ? ", the digest of what its file says" : ", the digest of what was asked",
      ],
    ],
    ["state", run.remark ? `${run.state}: ${run.remark}` : run.state],
    ["role", run.slots.map((slot) => slot.role).join(", ") || DASH],
    ["settings", settingsText(run.parameters) || "none"],
    teacherFact(run, rows, at),
    ablationFact(study, run),
    ["test accuracy", run.test.best || run.test.last ? `${test("best")}, ${test("last")}` : "not tested"],
    [
      choosesOnTest() ? "while training, on the test images" : "validation",
      known(run.validation.best)
        ? `${percent(run.validation.best)} %${run.validation.best_epoch ? ` in epoch ${run.validation.best_epoch}` : ""} of ${run.epochs ?? run.history.length}`
        : DASH,
    ],
    known(run.test[study.primary]?.top1_agreement)
      ? ["agreement with the teacher", `${percent(run.test[study.primary].top1_agreement)} %`]
      : null,
    hash("best")
      ? [
          "digest of the weights",
          ["best ", el("code", {}, hash("best")), ", last ", el("code", {}, hash("last") ?? DASH)],
        ]
      : null,
    shown.length
      ? [
          "configuration",
          shown.map((slot, index) => [
            index ? ", " : "",
            link(
              `${armName(slot)} (${slot.role})`,
              "configuration",
              armState({ ...slot, configuration: run.configuration }),
            ),
          ]),
        ]
      : null,
    run.notices.length ? ["mind", run.notices.map((notice) => notice.text).join("; ")] : null,
  ]);
}

/** The run whose weights taught this one. */
function teacherFact(run, rows, at) {
  const row = run.teacher === null ? null : rows[run.teacher];
  return row ? ["taught by", link(describeRow(row, at), "run", { id: row[at.id].slice(0, 16) })] : null;
}

/** What an ablation changed, and on which side of it the run is. */
function ablationFact(study, run) {
  const changes = run.slots.flatMap((slot) => {
    const ablation = study.analysis?.ablations.find(({ name }) => name === slot.ablation);
    return ablation
      ? [`${ablation.name}, ${slot.arm === "base" ? "before" : "after"} the change: ${ablation.change}`]
      : [];
  });
  return changes.length ? ["ablation", changes.join("; ")] : null;
}

function failureSection(study, run) {
  if (!run.failure) return null;
  const parts = Object.entries(run.failure).map(([key, value]) => [
    key,
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]);
  return section(
    "Why it failed",
    el("p", {}, run.remark),
    facts(parts),
    el("p", {}, cleaning(study), studyCommand(study, "run"), " tries it again."),
  );
}

/** How to get the same numbers again. */
function repeatSection(run) {
  const { repeat } = run;
  if (!repeat) {
    const imported = kdgap.study.origin === "import";
    return imported ? section("Repeat it", note("Imported: no command was recorded with it.")) : null;
  }
  const command = (key, text) =>
    el("p", { class: "command", "data-key": key }, el("code", {}, text), " ", copyButton(text));
  return section(
    "Repeat it",
    repeat.verify
      ? [
          el("p", {}, "Train it again beside the study, and compare bit for bit:"),
          command("verify", repeat.verify),
        ]
      : null,
    repeat.file
      ? [
          el(
            "p",
            {},
            repeat.verify ? "Or by itself: save this as " : "By itself: save this as ",
            el("code", {}, "run.yaml"),
            ". On an equal environment the weights are the same bits.",
          ),
          command("train", "kdgap train run.yaml"),
          disclosure("repeat", "run.yaml", el("pre", { tabindex: "0" }, el("code", {}, repeat.file))),
          el(
            "p",
            { class: "tools", "data-key": "file" },
            copyButton(repeat.file, "Copy the file"),
            button("run.yaml", () => download("run.yaml", repeat.file, "text/yaml"), { "data-key": "yaml" }),
          ),
        ]
      : el("p", {}, repeat.reason),
  );
}

/** Colours of what is no method: of terms of a loss, and the like. */
const TERMS = ["var(--term-1)", "var(--term-2)", "var(--term-3)", "var(--term-4)"];

function historySection(run) {
  const { history } = run;
  if (!history.length) return section("Training", note("No history was recorded."));
  const line = (key, part = null) => {
    const points = history
      .map((entry, index) => [entry.epoch ?? index + 1, part ? entry[key]?.[part] : entry[key]])
      .filter(([, value]) => known(value));
    const values = points.map(([, value]) => value);
    return { epoch: points.map(([epoch]) => epoch), mean: values, low: values, high: values };
  };
  const seriesOf = (name, colour, curve, dash = null) => ({ name, colour, dash, curve });
  const accuracy = [
    seriesOf(choosesOnTest() ? "test images" : "validation", "var(--ink)", line("val_acc")),
    seriesOf("training", TERMS[0], line("train_acc"), "6 3"),
  ];
  const losses = ["loss_total", "loss_ce", "loss_kd"].map((key, index) =>
    seriesOf(key.replace("loss_", ""), ["var(--ink)", ...TERMS][index], line(key), DASHES[index]),
  );
  const terms = [...new Set(history.flatMap((entry) => Object.keys(entry.term_grad_norm ?? {})))];
  const norms = [
    seriesOf("all parameters", "var(--ink)", line("grad_norm_max")),
    seriesOf("projections", TERMS[0], line("proj_grad_norm_max"), "6 3"),
    ...terms.map((term, index) =>
      seriesOf(
        `of ${term}`,
        TERMS[(index + 1) % TERMS.length],
        line("term_grad_norm", term),
        DASHES[(index + 1) % 4],
      ),
    ),
  ];
  const look = curveState();
  const some = (series) => series.filter((each) => each.curve.mean.some((value) => value > 0));
  const chart = (series, axis, name, title) =>
    some(series).length ? curveChart(some(series), axis, { name, title, columns: Infinity }, look) : null;
  return section(
    "Training",
    curvePicker(["part", "smooth", some(norms).length ? "norms" : null].filter(Boolean)),
    el(
      "div",
      { class: "charts" },
      chart(accuracy, { words: "accuracy", percent: true }, "accuracy", "Accuracy"),
      chart(losses, { words: "loss" }, "losses", "Loss and its terms"),
      chart(norms, { words: "gradient norm", norm: true }, "norms", "Gradient norms before clipping"),
    ),
    disclosure("epochs", `Every epoch (${history.length})`, epochTable(run)),
  );
}

function epochTable(run) {
  const titles = {
    val_acc: choosesOnTest() ? "on the test images (%)" : "validation (%)",
    train_acc: "training (%)",
  };
  const plain = ["loss_total", "loss_ce", "loss_kd", "grad_norm_max", "proj_grad_norm_max", "lr"];
  const recorded = (key) => run.history.some((entry) => known(entry[key]));
  return table(
    [
      num("epoch", "epoch", (entry) => entry.epoch ?? null),
      ...Object.keys(titles)
        .filter(recorded)
        .map((key) => pct(key, titles[key], (entry) => entry[key] ?? null)),
      ...plain.filter(recorded).map((key) => ({
        key,
        title: key.replaceAll("_", " "),
        value: (entry) => entry[key] ?? null,
        show: (entry, value) => fixed(value, 4),
        numeric: true,
        lesser: key !== "loss_total",
      })),
    ],
    run.history,
    { name: `history-${run.id.slice(0, 10)}`, caption: "Every epoch" },
  );
}

/** Where a run comes from: code, machine, libraries and data; of an import, its file. */
function originOfRun(study, run) {
  const file = ["files", run.paths.join(", ") || DASH];
  if (!run.asked) {
    const { source } = study.analysis?.provenance ?? {};
    return section(
      "Where it comes from",
      facts([
        file,
        source ? ["imported from", [`${source.path}, SHA-256 `, el("code", {}, source.sha256)]] : null,
        run.environment ? ["machine", run.environment] : null,
      ]),
    );
  }
  const { provenance = {}, environment = {}, data = {} } = run.asked;
  const listed = (values) =>
    Object.entries(values ?? {})
      .map(([key, value]) => `${key} ${value}`)
      .join(", ");
  return section(
    "Where it comes from",
    facts([
      file,
      [
        "code",
        [
          `kdgap ${provenance.kdgap ?? DASH}, revision ${provenance.revision ?? "unknown"}, source `,
          el("code", {}, provenance.source_sha256 ?? DASH),
        ],
      ],
      ["machine", listed(environment)],
      ["libraries", listed(provenance.packages)],
      ["data", [`${data.name ?? DASH}, fingerprint `, el("code", {}, data.fingerprint ?? DASH)]],
      run.timing
        ? ["time", `${duration(run.timing.seconds)}, finished ${run.timing.finished ?? DASH}`]
        : null,
      run.timing?.test_openings?.length
        ? [
            "test images opened",
            run.timing.test_openings.map((opening) => `${opening.when} by ${opening.by}`).join(", "),
          ]
        : null,
    ]),
    disclosure(
      "spec",
      "The whole spec",
      el("pre", { tabindex: "0" }, JSON.stringify(run.asked.spec, null, 2)),
    ),
  );
}

function logSection(run) {
  if (!run.attempts?.length) return null;
  return section(
    "Log",
    table(
      [
        col("when", "when", (attempt) => attempt.began ?? attempt.when ?? ""),
        col("what", "what", (attempt) =>
          attempt.began
            ? `begun${attempt.from?.some(Boolean) ? ` from epoch ${attempt.from[0] + 1}, step ${attempt.from[1]}` : ""}`
            : (attempt.ended ?? ""),
        ),
        col("where", "where", (attempt) => (attempt.host ? `${attempt.host}, process ${attempt.pid}` : "")),
      ],
      run.attempts,
      { name: `log-${run.id.slice(0, 10)}`, caption: "Attempts to train it" },
    ),
  );
}

function filesSection(run) {
  if (!run.files?.length) return null;
  const folder = run.paths[0].split("/");
  const address = (name) => `files/${[...folder, name].map(encodeURIComponent).join("/")}`;
  return section(
    "Files",
    table(
      [
        col("name", "file", (file) => file.name, {
          show: (file) =>
            kdgap.exported
              ? file.name
              : el("a", { href: address(file.name), download: file.name }, file.name),
        }),
        num("bytes", "size", (file) => file.bytes, { show: (file, value) => bytes(value) }),
        col("sha256", "SHA-256, as committed", (file) => run.hashes?.[file.name] ?? "", {
          show: (file, value) => (value ? el("code", {}, value) : DASH),
        }),
      ],
      run.files,
      { name: "files", caption: `Files in ${run.paths[0]}` },
    ),
    ...(run.passed_over ?? []).map((text) => el("p", { class: "note" }, text)),
  );
}
