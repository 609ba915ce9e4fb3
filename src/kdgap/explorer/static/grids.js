"use strict";
// What selection tried, measured by the noise of seeds: which of it may be the best after all.

/** Standard errors behind the best at which a cell has no colour left; as in the report. */
const FADED = 4;

/** Every configuration that a tuning tried, with how far it is behind the best and its arm. */
function triedRows(study, tuning) {
  const { cells } = study.grids[study.analysis.selection.indexOf(tuning)];
  const tried = new Map(
    study.arms
      .filter((arm) => arm.role === "selection" && samePair(arm, tuning))
      .map((arm) => [JSON.stringify(arm.parameters), arm]),
  );
  return tuning.candidates.map((candidate, index) => {
    const key = JSON.stringify(candidate.parameters);
    const arm = tried.get(key);
    const chosen = key === JSON.stringify(tuning.winner) || Boolean(arm?.chosen);
    return { ...candidate, ...cells[index], chosen, arm, tuning };
  });
}

const epochOf = (tuning) => (tuning.metric === "last_val_acc" ? "last" : "best");

/** Hyper-parameters of some rows, and those of them that differ. */
function hyperparametersOf(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.parameters)))];
  const varied = names.filter((name) => new Set(rows.map((row) => row.parameters[name])).size > 1);
  return { names, varied };
}

/** How many configurations of a grid may be the best, and by which noise. */
const tieSentence = (study, tuning) => study.grids[study.analysis.selection.indexOf(tuning)].sentence;

/** The mark of a configuration in a grid. */
const tieText = (row) => {
  if (!known(row.behind_pp)) return "failed";
  if (row.behind_pp === 0) return "best";
  return `${row.may_be_best ? "≈ " : ""}−${rounded(row.behind_pp, 2)}`;
};

/** How strong the colour of a cell is: of the best whole, by its noise ever less; of no noise alike. */
const strengthOf = (row) => (known(row.behind_se) ? Math.max(0, 1 - row.behind_se / FADED) : 0.5);

/** Cells by one or two hyper-parameters. rows: of `triedRows`; varied: [down, across] or [across]. */
function gridChart(rows, varied, about) {
  if (!rows.some((row) => known(row.score))) return null;
  const [across, down = null] = [...varied].reverse();
  const value = (row, name) => row.parameters[name] ?? "none";
  const x = (row) => value(row, across);
  const y = (row) => (down ? value(row, down) : "");
  const count = (of) => new Set(rows.map(of)).size;
  const place = { x, y };
  return figure(
    {
      width: Math.min(90 + 92 * count(x), widthOf({ columns: Infinity })),
      height: 70 + 50 * count(y),
      marginLeft: down ? 64 : 16,
      x: { label: `${across} →`, type: "band" },
      y: { label: down, type: "band", ...(down ? {} : { axis: null }) },
      marks: [
        Plot.cell(rows, {
          ...{ ...place, inset: 1.5, fill: "var(--more)" },
          fillOpacity: (row) => (known(row.score) ? 0.04 + 0.56 * strengthOf(row) : 0),
          stroke: (row) => (row.chosen ? "var(--ink)" : "var(--line)"),
          strokeWidth: (row) => (row.chosen ? 3 : 1),
        }),
        Plot.text(rows, {
          ...{ ...place, dy: -8, fontSize: 12, fill: "var(--ink)" },
          text: (row) => percent(row.score),
          fontWeight: (row) => (row.chosen ? 700 : 400),
        }),
        Plot.text(rows, { ...{ ...place, dy: 8, fontSize: 11, fill: "var(--ink)" }, text: tieText }),
      ],
    },
    {
      ...about,
      rows: rows.map((row) => ({
        ...row.parameters,
        accuracy_percent: known(row.score) ? 100 * row.score : null,
        behind_pp: row.behind_pp,
        behind_standard_errors: row.behind_se,
        may_be_best: row.may_be_best,
        chosen: row.chosen,
      })),
    },
  );
}

/** How the cells of a grid are read. */
const gridNote = () =>
  note(
    `Below each accuracy stands how far it is behind the best (pp); ≈: tied with it. Colour fades with that distance in standard errors, to none at ${FADED}; where no noise is known, all cells are coloured alike. What was chosen has a bold border.`,
  );

/** One grid as a figure: cells of one or two hyper-parameters, lines of more; null where none varies. */
function gridFigure(study, tuning, rows, about) {
  const { varied } = hyperparametersOf(rows);
  if (!varied.length) return null;
  const all = { ...about, words: tieSentence(study, tuning) };
  return varied.length < 3 ? gridChart(rows, varied, all) : parallelChart(rows, varied, all);
}

/** A table of what was tried; several: whether rows are of several pairs. */
function triedTable(rows, about, several = false) {
  const { names } = hyperparametersOf(rows);
  const epochs = [...new Set(rows.map((row) => epochOf(row.tuning)))];
  return table(
    [
      several ? col("pair", "pair", (row) => pairName(row.tuning)) : null,
      ...names.map((name) => num(name, name, (row) => row.parameters[name] ?? null)),
      pct("accuracy", choiceTitle(epochs.length === 1 ? epochs[0] : "best or last"), (row) => row.score),
      num("behind_pp", "behind the best (pp)", (row) => row.behind_pp, {
        show: (row, value) => (known(value) ? rounded(value, 2) : DASH),
      }),
      num("behind_standard_errors", "in standard errors", (row) => row.behind_se, {
        show: (row, value) => fixed(value, 1),
        lesser: true,
      }),
      col("may_be_best", "may be best", (row) =>
        row.may_be_best === null ? DASH : row.may_be_best ? "yes" : "no",
      ),
      col("chosen", "chosen", (row) => (row.chosen ? "yes" : "")),
      col("runs", "runs", (row) => row.runs?.length ?? 0, {
        show: (row, count) =>
          row.arm
            ? link(counted(count, "run"), "configuration", armState(row.arm), {
                "aria-label": `runs with ${settingsText(row.parameters)}, ${pairName(row.tuning)}`,
              })
            : String(count),
      }),
    ].filter(Boolean),
    rows,
    about,
  );
}

kdgap.views.tuning = {
  title: "Tuning",
  async draw(study, state) {
    const all = study.analysis?.selection ?? [];
    if (!all.length)
      return [el("h1", {}, "Tuning"), el("p", {}, "No hyper-parameter was chosen by selection, or not yet.")];
    const methods = [...new Set(all.map((tuning) => tuning.method))];
    const method = methods.includes(state.get("method")) ? state.get("method") : methods[0];
    const place = (tuning) => study.arms.findIndex((arm) => samePair(arm, tuning)); // small students first
    const own = d3.sort(
      all.filter((tuning) => tuning.method === method),
      place,
    );
    const pairs = own.map(pairName);
    const pair = pairs.includes(state.get("pair")) ? state.get("pair") : "";
    const shown = own.filter((tuning) => !pair || pairName(tuning) === pair);
    const rows = shown.flatMap((tuning) => triedRows(study, tuning));
    const { varied } = hyperparametersOf(rows);
    const go = (key) => (value) => kdgap.change({ [key]: value, page: null });
    return [
      el("h1", {}, "Tuning"),
      el(
        "p",
        {},
        "How far the choice of hyper-parameters is a choice at all: differences are measured by what another seed would have changed.",
      ),
      el(
        "div",
        { class: "picker" },
        choice(
          "method",
          "method",
          methods.map((name) => [name, methodName(name)]),
          method,
          go("method"),
        ),
        choice("pair", "pair", [["", "every pair"], ...pairs.map((name) => [name, name])], pair, go("pair")),
        linkButton(),
      ),
      section(
        "Grid by grid",
        gridNote(),
        el(
          "div",
          { class: "charts" },
          shown.slice(0, MOST_GRIDS).map((tuning) => gridPart(study, tuning)),
        ),
        shown.length > MOST_GRIDS
          ? note(`The first ${MOST_GRIDS} of ${shown.length}; choose a pair to see its grid.`)
          : null,
      ),
      parallelSection(rows, varied, state),
      section(
        "In numbers",
        triedTable(
          rows,
          {
            name: "tried",
            caption: `Everything tried of ${methodName(method)}, by accuracy on ${choosingImages()}`,
            sort: state.get("sort") ?? "-accuracy",
            page: Number(state.get("page") ?? 0),
            onstate: kdgap.note,
          },
          true,
        ),
      ),
    ];
  },
};

/** Grids that are drawn at once. */
const MOST_GRIDS = 12;

function gridPart(study, tuning) {
  const name = `grid-${study.analysis.selection.indexOf(tuning)}`;
  const title = `${pairName(tuning)}: ${choiceWords(epochOf(tuning))} (%)`;
  const drawn = gridFigure(study, tuning, triedRows(study, tuning), { name, title, columns: Infinity });
  return drawn ?? note(`${title}: one configuration was tried.`);
}
