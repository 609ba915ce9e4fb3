"use strict";
// Every run as a row: filtered by words and by choice, sorted by any column.
kdgap.views.runs = {
  title: "Runs",
  async draw(study, state) {
    const { rows, columns } = await kdgap.get("runs");
    const at = Object.fromEntries(columns.map((name, index) => [name, index]));
    const values = (name, split = (text) => [text]) => [...new Set(rows.flatMap((row) => split(row[at[name]] ?? "")))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const chosen = (name) => state.get(name) ?? "";
    const words = (state.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    const kept = rows.filter((row) => ["teacher", "student", "method", "state"].every((name) => !chosen(name) || row[at[name]] === chosen(name))
      && (!chosen("role") || row[at.role].split(" ").includes(chosen("role")))
      && words.every((word) => row.some((value) => String(value ?? "").toLowerCase().includes(word))));
    const pick = (name, options) => choice(name, [["", "any"], ...options.map((one) => [one, name === "method" ? methodName(one) : one])], chosen(name), (value) => kdgap.change({ [name]: value, page: null }));
    let typed;
    const search = el("input", {
      type: "search", id: "search", value: state.get("q") ?? "", placeholder: "id, settings, remark …",
      oninput: (event) => { clearTimeout(typed); typed = setTimeout(() => kdgap.change({ q: event.target.value, page: null }), 300); },
    });
    const number = (name, show) => ({ key: name, title: COLUMN_TITLES[name], value: (row) => row[at[name]], show, numeric: true });
    const text = (name, more = {}) => ({ key: name, title: COLUMN_TITLES[name] ?? name, value: (row) => row[at[name]] ?? "", ...more });
    return [
      el("h1", {}, "Runs"),
      el("div", { class: "picker" }, pick("role", values("role", (roles) => roles.split(" "))), pick("teacher", values("teacher")), pick("student", values("student")), pick("method", values("method")), pick("state", values("state")),
        el("label", { class: "choice", for: "search" }, el("span", {}, "words"), search)),
      el("p", { role: "status" }, kept.length === rows.length ? counted(rows.length, "run") : `${kept.length.toLocaleString("en")} of ${counted(rows.length, "run")}`),
      table([
        { key: "id", title: "run", value: (row) => row[at.id], show: (row, id) => link(id.slice(0, 10), "run", { id: id.slice(0, 16) }) },
        text("role"), text("teacher", { lesser: true }), text("student"), { ...text("method"), show: (row, name) => methodName(name) },
        text("parameters", { lesser: true }), number("seed"), text("state"),
        { ...number("validation", (row, value) => percent(value)), lesser: true },
        number("test_best", (row, value) => percent(value)),
        { ...number("test_last", (row, value) => percent(value)), lesser: true },
        { ...number("agreement", (row, value) => percent(value)), lesser: true },
        { ...number("epochs"), lesser: true }, text("remark", { lesser: true }),
      ], kept, {
        name: "runs", caption: `Runs of ${study.name}; accuracies in percent`, sort: state.get("sort") ?? "",
        page: Number(state.get("page") ?? 0),
        onstate: (changes) => { kdgap.quiet = true; kdgap.change(changes); },
      }),
    ];
  },
};

const COLUMN_TITLES = {
  parameters: "settings", validation: "validation", test_best: "test, best", test_last: "test, last",
  agreement: "agreement", seed: "seed", epochs: "epochs", remark: "remark",
};
