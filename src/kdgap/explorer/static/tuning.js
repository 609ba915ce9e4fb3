"use strict";
// The grid that a configuration was chosen from, and why it shows no gain.

/** Whether epochs and hyper-parameters were chosen on the test images. */
const choosesOnTest = () => kdgap.study.chosen_on === "test";
const choosingImages = () => (choosesOnTest() ? "the test images" : "validation images");
/** The accuracy that chose, of the `best` or `last` epoch, in words. */
const choiceWords = (epoch) =>
  `${choosesOnTest() ? "accuracy on the test images" : "validation accuracy"}, ${epoch} epoch`;
/** The same as the title of a column. */
const choiceTitle = (epoch) => `${choosesOnTest() ? "on the test images" : "validation"} (%), ${epoch} epoch`;

function gridSection(study, arm) {
  const tuning = study.analysis?.selection.find((tuned) => samePair(tuned, arm));
  if (!tuning) return null;
  const tried = study.arms.filter((other) => other.role === "selection" && samePair(other, arm));
  const rows = tuning.candidates.map((candidate) => {
    const own = tried.find(
      (other) => JSON.stringify(other.parameters) === JSON.stringify(candidate.parameters),
    );
    const won = JSON.stringify(candidate.parameters) === JSON.stringify(tuning.winner);
    return { ...candidate, chosen: won || Boolean(own?.chosen), arm: own };
  });
  const values = (name) => new Set(rows.map((row) => row.parameters[name]));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.parameters)))];
  const varied = names.filter((name) => values(name).size > 1);
  const seeds = `${tuning.seeds.length === 1 ? "seed" : "seeds"} ${tuning.seeds.slice(0, 10).join(", ")}`;
  const epoch = tuning.metric === "last_val_acc" ? "last" : "best";
  return section(
    "The grid that it was chosen from",
    varied.length === 2
      ? gridChart(rows, varied, {
          name: "grid-cells",
          title: `${capital(choiceWords(epoch))} (%), by hyper-parameters`,
          words: "The chosen cell has a bold border.",
        })
      : null,
    table(
      [
        ...names.map((name) => num(name, name, (row) => row.parameters[name] ?? null)),
        pct("accuracy", choiceTitle(epoch), (row) => row.score),
        col("chosen", "chosen", (row) => (row.chosen ? "yes" : "")),
        col("runs", "runs", (row) => row.runs?.length ?? 0, {
          show: (row, count) =>
            row.arm
              ? link(counted(count, "run"), "configuration", armState(row.arm), {
                  "aria-label": `runs with ${settingsText(row.parameters)}`,
                })
              : String(count),
        }),
      ],
      rows,
      {
        name: "grid",
        sort: "-accuracy",
        caption: `Chosen on ${choosingImages()}, mean over ${seeds}`,
      },
    ),
  );
}

/** Accuracy that chose, of a grid of two hyper-parameters, as cells. rows: {parameters, score, chosen}. */
function gridChart(rows, [down, across], about) {
  const cells = rows
    .filter((row) => known(row.score))
    .map((row) => ({
      [down]: row.parameters[down],
      [across]: row.parameters[across],
      accuracy: 100 * row.score,
      chosen: row.chosen,
    }));
  if (!cells.length) return null;
  const [low, high] = d3.extent(cells, (cell) => cell.accuracy);
  const strong = (cell) => (cell.accuracy - low) / (high - low || 1) > 0.5;
  const count = (key) => new Set(cells.map((cell) => cell[key])).size;
  return figure(
    {
      width: Math.min(90 + 84 * count(across), room()),
      height: 70 + 44 * count(down),
      marginLeft: 64,
      x: { label: `${across} →`, type: "band" },
      y: { label: down, type: "band" },
      marks: [
        Plot.cell(cells, {
          x: across,
          y: down,
          inset: 1.5,
          fill: "var(--method-1)",
          fillOpacity: (cell) => 0.08 + 0.82 * ((cell.accuracy - low) / (high - low || 1)),
          stroke: (cell) => (cell.chosen ? "var(--ink)" : "var(--line)"),
          strokeWidth: (cell) => (cell.chosen ? 3 : 1),
        }),
        Plot.text(cells, {
          x: across,
          y: down,
          text: (cell) => rounded(cell.accuracy, 2),
          fontSize: 12,
          fontWeight: (cell) => (cell.chosen ? 700 : 400),
          fill: (cell) => (strong(cell) ? "var(--on-strong)" : "var(--ink)"),
        }),
      ],
    },
    {
      ...about,
      rows: cells.map(({ accuracy, ...cell }) => ({ ...cell, accuracy_percent: accuracy })),
    },
  );
}

/** At most three causes, most evidence first, each with what to change. */
function causesSection(causes) {
  if (!causes.length) return null;
  const change = (text) =>
    el("span", { class: "command" }, el("code", {}, `--set ${text}`), " ", copyButton(`--set ${text}`));
  return section(
    "Why, and what next",
    el(
      "ol",
      { class: "causes" },
      causes.map((cause) =>
        el(
          "li",
          { "data-key": cause.topic },
          el("strong", {}, capital(cause.reading ?? cause.topic)),
          `: ${cause.fact}. Usual remedy: ${cause.remedy}. `,
          cause.change ? change(cause.change) : null,
          cause.source ? el("small", { class: "under" }, cause.source) : null,
        ),
      ),
    ),
    note("Facts are of these runs; readings are not tested here, and remedies are advice from the literature."),
  );
}

const diagnosisTable = (gain) =>
  table(
    [
      col("topic", "topic", (fact) => fact.topic),
      col("fact", "fact", (fact) => fact.fact),
      col("reading", "what it may mean", (fact) => fact.reading ?? ""),
      col(
        "remedy",
        "usual remedy",
        (fact) => [fact.remedy, fact.source ? `(${fact.source})` : null].filter(Boolean).join(" "),
        UNDER,
      ),
    ],
    gain.diagnosis,
    { name: "diagnosis", caption: "What the records show; only facts come from the runs" },
  );
