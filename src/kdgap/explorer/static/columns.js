"use strict";
// Which columns a table of runs has, how its rows are grouped, and which are chosen to be compared.

/** Runs that can be looked at beside one another. */
const MOST_BESIDE = 8;

/** What rows of runs can be grouped by: [in the address, in words]. */
const GROUPS = [
  ["", "nothing"],
  ["configuration", "configuration"],
  ["role", "role"],
  ["pair", "pair"],
  ["student", "student"],
  ["method", "method"],
  ["settings", "settings"],
  ["state", "state"],
  ["seed", "seed"],
];

/** Row → the arm that its run belongs to: of several the first, as arms that are judged stand first. */
function armsOfRuns(study, rows) {
  const arms = new Map();
  for (const arm of study.arms)
    for (const number of arm.runs) if (!arms.has(rows[number])) arms.set(rows[number], arm);
  return arms;
}

/** A column for each hyper-parameter, shown where it is asked for. */
const parameterColumns = (study, arms) =>
  [...new Set(study.arms.flatMap((arm) => Object.keys(arm.parameters)))].map((name) =>
    num(`set.${name}`, name, (row) => arms.get(row)?.parameters[name] ?? null, { more: true }),
  );

/** A column as it was asked for: seen at any width, or in no way but the CSV. */
const asWanted = (column, wanted) =>
  wanted ? { ...column, raw: false, lesser: false, least: false, under: false } : { ...column, raw: true };

/** Boxes for the columns; the first names its row and stays. */
function columnChooser(offered, first, shown) {
  const seen = new Set(shown.filter((column) => !column.raw).map((column) => column.key));
  const choosable = offered.filter((column) => column.key !== first && (!slim() || column.key !== "id"));
  const box = (column) => {
    const press = (event) => {
      const keys = choosable
        .map(({ key }) => key)
        .filter((key) => (key === column.key ? event.target.checked : seen.has(key)));
      kdgap.change({ columns: keys.join(" ") || first, page: null });
    };
    const field = el("input", { type: "checkbox", "data-key": column.key, onchange: press });
    field.checked = seen.has(column.key);
    return el("label", {}, field, column.title);
  };
  return disclosure(
    "columns",
    "Columns",
    el("fieldset", {}, el("legend", {}, "Columns that are shown"), choosable.map(box)),
    el(
      "p",
      { class: "tools" },
      button("As at first", () => kdgap.change({ columns: null }), { "data-key": "columns-again" }),
    ),
  );
}

/** How rows are grouped, as `table` takes it; nothing where they are not. */
function groupOf(state, at, arms) {
  const by = state.get("group");
  const slot = (row) => slotOf(row, at);
  const of = {
    configuration: (row) => (arms.get(row) ? armTitle(arms.get(row)) : row[at.state]),
    role: (row) => rolesText(row, at),
    pair: (row) => pairName(slot(row)),
    student: (row) => row[at.student],
    method: (row) => methodName(row[at.method]),
    settings: (row) => row[at.parameters],
    state: (row) => row[at.state],
    seed: (row) => `seed ${row[at.seed]}`,
  }[by];
  if (!of) return null;
  return {
    of,
    head: (name, rows) => groupWords(rows, at, by === "configuration" ? arms.get(rows[0]) : null),
    open: (state.get("open") ?? "").split("~").filter(Boolean),
  };
}

const armTitle = (arm) => `${armSettings(arm)} · ${arm.role}`;

/** How many runs a group has and what became of them; of a configuration, its accuracy. */
function groupWords(rows, at, arm) {
  const states = d3.rollups(
    rows,
    (own) => own.length,
    (row) => row[at.state],
  );
  const mixed = states.length > 1 || states[0][0] !== "done";
  return el(
    "span",
    { class: "measured" },
    counted(rows.length, "run"),
    mixed ? `: ${states.map(([state, count]) => `${count} ${state}`).join(", ")}` : null,
    arm && known(arm.mean) ? ` · test ${spread(arm.mean, arm.std)} % (n = ${arm.n})` : null,
    arm
      ? [
          " · ",
          link("configuration", "configuration", armState(arm), {
            "aria-label": `configuration ${armTitle(arm)}`,
          }),
        ]
      : null,
  );
}

/** What can be done with the runs that were chosen. */
function pickedParts(keys) {
  if (!keys.length) return [];
  const none = () => kdgap.change({ pick: null });
  return [
    el("strong", {}, `${counted(keys.length, "run")} chosen`),
    " · ",
    keys.length > 1
      ? link("Compare curves and settings", "beside", { runs: keys.join(" ") })
      : "choose another to compare",
    " · ",
    button("Choose none", none, { class: "as-link", "data-key": "none" }),
  ];
}
