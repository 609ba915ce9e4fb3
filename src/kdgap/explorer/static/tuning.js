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
  const rows = triedRows(study, tuning);
  const seeds = `${tuning.seeds.length === 1 ? "seed" : "seeds"} ${tuning.seeds.slice(0, 10).join(", ")}`;
  return section(
    "The grid that it was chosen from",
    gridFigure(study, tuning, rows, {
      name: "grid-cells",
      title: `${capital(choiceWords(epochOf(tuning)))} (%), by hyper-parameters`,
    }) ?? note(tieSentence(study, tuning)),
    gridNote(),
    el("p", { class: "onward" }, link("All grids of the method", "tuning", { method: tuning.method })),
    triedTable(rows, {
      name: "grid",
      sort: "-accuracy",
      caption: `Chosen on ${choosingImages()}, mean over ${seeds}`,
    }),
  );
}

/** At most three causes, most evidence first, each with what to change. */
function causesSection(causes) {
  if (!causes.length) return null;
  const { command } = kdgap.study;
  const run = (sets) => `kdgap run ${command}/study.yaml --out ${command}-changed ${sets}`;
  const quoted = (text) =>
    text
      .split(" --set ")
      .map((set) => `--set '${set}'`)
      .join(" ");
  const change = (text) =>
    el(
      "span",
      { class: "command" },
      el("code", {}, `--set ${text}`),
      " ",
      copyButton(run(quoted(text)), "Copy command"),
    );
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
    note(
      "Facts are of these runs; readings are not tested here, and remedies are advice from the literature.",
      causes.some((cause) => cause.change)
        ? [" A change is tried in a study of its own: ", el("code", {}, run("--set …")), "."]
        : null,
    ),
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
