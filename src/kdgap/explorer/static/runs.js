"use strict";
// Every run as a row: filtered by words and by choice, sorted by any column.
const FILTERS = ["role", "teacher", "student", "method", "state"];

kdgap.views.runs = {
  title: "Runs",
  async draw(study, state) {
    const { rows, columns } = await kdgap.get("runs");
    const at = placesOf(columns);
    const chosen = (name) => state.get(name) ?? "";
    const words = wordsOf(chosen("q"));
    const fits = (row, name) => !chosen(name) || valuesOf(row, name, at).includes(chosen(name));
    const kept = rows.filter(
      (row) => FILTERS.every((name) => fits(row, name)) && (!words.length || finds(words, row, at)),
    );
    const active = FILTERS.filter(chosen).length;
    const table = runTable(study, rows, kept, at, state);
    const filters = FILTERS.map((name) => filter(name, rows, at, chosen(name)));
    const search = searchField(chosen("q"));
    const others = [
      choice("group", "group by", GROUPS, chosen("group"), (group) =>
        kdgap.change({ group, open: null, page: null }),
      ),
      linkButton(),
    ];
    const picker = (...choices) => el("div", { class: "picker" }, choices);
    return [
      el("h1", {}, "Runs"),
      // A phone shows runs first: of the choices only the one that finds anything.
      slim() ? picker(search) : picker(filters, search, others),
      slim() ? foldedChoices("filters", "Filters and groups", active, picker(filters, others)) : null,
      table.chooser,
      el(
        "p",
        { role: "status" },
        kept.length === rows.length
          ? counted(rows.length, "run")
          : `${kept.length.toLocaleString("en")} of ${counted(rows.length, "run")}`,
        words.length || active ? [" · ", link("show all", "runs")] : null,
      ),
      table.shown,
      table.picked,
    ];
  },
};

/** What somebody asks for: words, and phrases in quotes. */
const wordsOf = (text) =>
  [...text.toLowerCase().matchAll(/"([^"]+)"?|[^\s"]+/g)]
    .map(([word, phrase]) => ({ word, pattern: pattern(phrase ?? word, phrase !== undefined) }))
    .filter(({ word }) => word.trim());

/** A number and a phrase are found whole: 2 is neither in 0.2 nor in resnet20. */
function pattern(word, phrase) {
  const text = word.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  if (!phrase && !/^[\d.]+$/.test(word)) return new RegExp(text);
  return new RegExp(
    `${/^\d/.test(word) ? "(?<![\\w.])" : ""}${text}${/\d$/.test(word) ? "(?!\\w|\\.\\d)" : ""}`,
  );
}

/** Letters of an id from which on it is one: fewer are a word. */
const ID_LETTERS = 4;

/** Whether a row says every word somewhere in what is read of it, or its id begins so. */
function finds(words, row, at) {
  const slot = slotOf(row, at);
  const shown = ["parameters", "state", "remark"].map((name) => row[at[name]]);
  const text = [pairName(slot), methodName(slot.method), variantOf(slot), rolesText(row, at), ...shown]
    .filter(Boolean)
    .join("\n")
    .toLowerCase();
  const begins = (word) => word.length >= ID_LETTERS && row[at.id].startsWith(word);
  return words.every(({ word, pattern }) => pattern.test(text) || begins(word));
}

const placesOf = (columns) => Object.fromEntries(columns.map((name, index) => [name, index]));

/** What names the first slot of a row's run. */
const slotOf = (row, at) => Object.fromEntries([...PAIR, ...DETAILS].map((name) => [name, row[at[name]]]));

const rolesText = (row, at) => row[at.roles].join(" ");

/** What a row has of a filter: a run may play several roles. */
const valuesOf = (row, name, at) => (name === "role" ? row[at.roles] : [row[at[name]] ?? ""]);

function filter(name, rows, at, chosen) {
  const values = new Set(rows.flatMap((row) => valuesOf(row, name, at)));
  const sorted = [...values].filter(Boolean).sort((a, b) => ordered(a, b, 1));
  const text = name === "method" ? methodName : (value) => value;
  const options = [["", "any"], ...sorted.map((value) => [value, text(value)])];
  return choice(name, name, options, chosen, (value) => kdgap.change({ [name]: value, page: null }));
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
    placeholder: '"temperature 2" failed …',
    "aria-describedby": "search-hint",
    oninput: find,
  });
  field.value = text;
  return el(
    "div",
    { class: "choice" },
    el("label", { for: "search" }, "words"),
    field,
    el("small", { id: "search-hint" }, 'as shown, "a phrase", or how an id begins'),
  );
}

function runTable(study, every, rows, at, state) {
  // What no run has, such as the settings of an import without any, takes no room.
  const filled = (column) => every.some((row) => ![null, undefined, ""].includes(column.value(row)));
  const arms = armsOfRuns(study, every);
  const offered = [...runColumns(at).filter(filled), ...parameterColumns(study, arms)];
  const wanted = state.get("columns")?.split(" ");
  const first = slim() ? "student" : "id";
  const columns = wanted
    ? offered.map((column) => asWanted(column, column.key === first || wanted.includes(column.key)))
    : offered.filter((column) => !column.more);
  const key = (row) => row[at.id].slice(0, 16);
  const picks = (state.get("pick") ?? "").split(" ").filter(Boolean).slice(0, MOST_BESIDE);
  const picked = el("p", { class: "picked", role: "status" });
  const showPicked = (keys) => picked.replaceChildren(...pickedParts(keys));
  showPicked(picks);
  const chosen = selection({
    ...{ chosen: picks, most: MOST_BESIDE, key, name: (row) => describeRow(row, at) },
    changed: (keys) => {
      kdgap.note({ pick: keys.join(" ") });
      showPicked(keys);
    },
  });
  return {
    picked,
    chooser: columnChooser(offered, first, columns),
    shown: table(columns, rows, {
      name: "runs",
      caption: `Runs of ${study.name}; accuracies in percent`,
      sort: state.get("sort") ?? "",
      page: Number(state.get("page") ?? 0),
      onstate: kdgap.note,
      tall: true,
      group: groupOf(state, at, arms),
      select: chosen,
    }),
  };
}

function runColumns(at) {
  const titles = { ...COLUMN_TITLES, ...(choosesOnTest() ? { validation: "on the test images" } : {}) };
  const title = (name) => titles[name] ?? name;
  const text = (name, more) => col(name, title(name), (row) => row[at[name]] ?? "", more);
  const number = (name, more) => num(name, title(name), (row) => row[at[name]], more);
  const share = (name, more) => pct(name, title(name), (row) => row[at[name]], more);
  const to = (row, words) => link(words, "run", { id: row[at.id].slice(0, 16) });
  const narrow = slim();
  const raw = { raw: narrow };
  const whole = (row) => [
    to(row, pairName(slotOf(row, at))),
    " ",
    el("small", { class: "under" }, methodName(row[at.method])),
  ];
  return [
    text("id", { ...raw, title: "run", show: (row, id) => to(row, id.slice(0, 10)) }),
    col("role", "role", (row) => rolesText(row, at), UNDER),
    text("teacher", raw),
    text("student", narrow ? { title: "pair", show: whole } : {}),
    text("method", { ...raw, show: (row, name) => methodName(name) }),
    text("parameters", UNDER),
    col("variant", "variant", (row) => variantOf(slotOf(row, at)), {
      ...LEAST,
      show: (row, variant) => breakable(variant),
    }),
    number("seed"),
    text("state"),
    share("validation", LEAST),
    share("test_best"),
    share("test_last", LEAST),
    share("agreement", LEAST),
    number("epochs", LEAST),
    text("remark", LEAST),
  ];
}

const COLUMN_TITLES = { parameters: "settings", test_best: "test, best", test_last: "test, last" };

/** A run's row in words. */
function describeRow(row, at) {
  const slot = slotOf(row, at);
  const details = [variantOf(slot), row[at.parameters]].filter(Boolean).join("; ");
  return `${pairName(slot)}, ${methodName(slot.method)}${details ? ` (${details})` : ""}, seed ${row[at.seed]}`;
}
