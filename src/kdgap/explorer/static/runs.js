"use strict";
// Every run as a row: filtered by words and by choice, sorted by any column.
const FILTERS = ["role", "teacher", "student", "method", "state"];

kdgap.views.runs = {
  title: "Runs",
  async draw(study, state) {
    const { rows, columns } = await kdgap.get("runs");
    const at = placesOf(columns);
    const chosen = (name) => state.get(name) ?? "";
    const words = chosen("q").toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (row, name) =>
      !chosen(name) || (row[at[name]] ?? "").split(name === "role" ? " " : "\n").includes(chosen(name));
    const said = (row) =>
      row
        .map((value) => value ?? "")
        .join(" ")
        .toLowerCase();
    const kept = rows.filter(
      (row) =>
        FILTERS.every((name) => fits(row, name)) &&
        (!words.length || words.every((word) => said(row).includes(word))),
    );
    const filtered = words.length || FILTERS.some(chosen);
    return [
      el("h1", {}, "Runs"),
      el(
        "div",
        { class: "picker" },
        FILTERS.map((name) => filter(name, rows, at, chosen(name))),
        searchField(chosen("q")),
      ),
      el(
        "p",
        { role: "status" },
        kept.length === rows.length
          ? counted(rows.length, "run")
          : `${kept.length.toLocaleString("en")} of ${counted(rows.length, "run")}`,
        filtered ? [" · ", link("show all", "runs")] : null,
      ),
      runTable(study, kept, at, state),
    ];
  },
};

const placesOf = (columns) => Object.fromEntries(columns.map((name, index) => [name, index]));

function filter(name, rows, at, chosen) {
  const values = new Set(rows.flatMap((row) => (row[at[name]] ?? "").split(name === "role" ? " " : "\n")));
  const sorted = [...values].filter(Boolean).sort((a, b) => ordered(a, b, 1));
  const text = name === "method" ? methodName : (one) => one;
  return choice(name, [["", "any"], ...sorted.map((one) => [one, text(one)])], chosen, (value) =>
    kdgap.change({ [name]: value, page: null }),
  );
}

function searchField(text) {
  let typed;
  const find = (event) => {
    const { value } = event.target;
    clearTimeout(typed);
    typed = setTimeout(() => {
      kdgap.note({ q: value, page: null });
      kdgap.draw({ keep: true });
    }, 200);
  };
  const field = el("input", {
    type: "search",
    id: "search",
    placeholder: "id, settings, remark …",
    oninput: find,
  });
  field.value = text;
  return el("label", { class: "choice", for: "search" }, el("span", {}, "words"), field);
}

function runTable(study, rows, at, state) {
  const title = (name) => COLUMN_TITLES[name] ?? name;
  const text = (name, more) => col(name, title(name), (row) => row[at[name]] ?? "", more);
  const number = (name, more) => num(name, title(name), (row) => row[at[name]], more);
  const share = (name, more) => pct(name, title(name), (row) => row[at[name]], more);
  return table(
    [
      col("id", "run", (row) => row[at.id], {
        show: (row, id) => link(id.slice(0, 10), "run", { id: id.slice(0, 16) }),
      }),
      text("role"),
      text("teacher", LESSER),
      text("student"),
      text("method", { show: (row, name) => methodName(name) }),
      text("parameters", LESSER),
      text("variant", LESSER),
      number("seed"),
      text("state"),
      share("validation", LESSER),
      share("test_best"),
      share("test_last", LESSER),
      share("agreement", LESSER),
      number("epochs", LESSER),
      text("remark", LESSER),
    ],
    rows,
    {
      name: "runs",
      caption: `Runs of ${study.name}; accuracies in percent`,
      sort: state.get("sort") ?? "",
      page: Number(state.get("page") ?? 0),
      onstate: kdgap.note,
    },
  );
}

const COLUMN_TITLES = { parameters: "settings", test_best: "test, best", test_last: "test, last" };

/** A run's row in words. */
function describeRow(row, at) {
  const pair = row[at.teacher] ? `${row[at.teacher]} → ${row[at.student]}` : row[at.student];
  const details = [row[at.variant], row[at.parameters]].filter(Boolean).join("; ");
  return `${pair}, ${methodName(row[at.method])}${details ? ` (${details})` : ""}, seed ${row[at.seed]}`;
}
