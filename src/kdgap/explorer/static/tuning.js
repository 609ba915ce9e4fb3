"use strict";
// The grid that a configuration was chosen from, and why it shows no gain.
function gridSection(study, arm) {
  const tuning = study.analysis?.selection.find((one) => samePair(one, arm));
  if (!tuning) return null;
  const chosen = JSON.stringify(tuning.winner);
  const tried = study.arms.filter((one) => one.role === "selection" && samePair(one, arm));
  const rows = tuning.candidates.map((one) => ({
    ...one,
    chosen: JSON.stringify(one.parameters) === chosen,
    arm: tried.find((other) => JSON.stringify(other.parameters) === JSON.stringify(one.parameters)),
  }));
  const values = (name) => new Set(rows.map((one) => one.parameters[name]));
  const names = [...new Set(rows.flatMap((one) => Object.keys(one.parameters)))];
  const varied = names.filter((name) => values(name).size > 1);
  const seeds = `${tuning.seeds.length === 1 ? "seed" : "seeds"} ${tuning.seeds.slice(0, 10).join(", ")}`;
  const caption = `Chosen on ${tuning.split === "test" ? "the test images" : "validation images"}, mean over ${seeds}`;
  return section(
    "The grid that it was chosen from",
    varied.length === 2
      ? gridChart(rows, varied, {
          name: "grid",
          title: "Validation accuracy (%) by hyper-parameters",
          words: "The chosen cell has a bold border.",
        })
      : null,
    table(
      [
        ...names.map((name) => num(name, name, (one) => one.parameters[name] ?? null)),
        pct("score", "validation (%)", (one) => one.score),
        col("chosen", "chosen", (one) => (one.chosen ? "yes" : "")),
        col("runs", "runs", (one) => one.runs?.length ?? 0, {
          show: (one, count) =>
            one.arm
              ? link(counted(count, "run"), "configuration", armState(one.arm), {
                  "aria-label": `runs with ${settingsText(one.parameters)}`,
                })
              : String(count),
        }),
      ],
      rows,
      { name: "grid", sort: "-score", caption },
    ),
  );
}

const diagnosisTable = (gain) =>
  table(
    [
      col("topic", "topic", (one) => one.topic),
      col("fact", "fact", (one) => one.fact),
      col("reading", "what it may mean", (one) => one.reading ?? ""),
      col(
        "remedy",
        "usual remedy",
        (one) => [one.remedy, one.source ? `(${one.source})` : null].filter(Boolean).join(" "),
        LESSER,
      ),
    ],
    gain.diagnosis,
    { name: "diagnosis", caption: "What the records show; only facts come from the runs" },
  );
