"use strict";
// Tables that sort, copy and download; long ones show one page of rows at a time.
const PAGE_ROWS = 100;

const empty = (value) => value === null || value === undefined;

/** A column of texts, of numbers, of shares shown in percent; `more` holds what `table` takes. */
const col = (key, title, value, more = {}) => ({ key, title, value, ...more });
const num = (key, title, value, more = {}) => col(key, title, value, { numeric: true, ...more });
const pct = (key, title, value, more = {}) =>
  num(key, title, value, { show: (row, share) => percent(share), unit: "percent", scale: 100, ...more });
/** What a phone hides, and what every narrow window does; see explorer.css. */
const LESSER = { lesser: true };
const LEAST = { least: true };
/** What a phone shows below the name of its row, for want of a column. */
const UNDER = { under: true };
/** Whether the window is as narrow as a phone, so that two columns are better one. */
const slim = () => window.matchMedia("(max-width: 600px)").matches;
/** Both ends of an interval, for the CSV alone; of: what it is of, where a table has several. */
const ends = (pair, { of = null, unit = "pp", scale = 1 } = {}) =>
  ["low", "high"].map((side, end) =>
    col(of ? `${of}_${side}` : side, side, (row) => pair(row)?.[end] ?? null, { raw: true, unit, scale }),
  );
/** A difference with its interval, which may stand on a line of its own. */
const withInterval = (value, pair) => [
  signed(value),
  pair ? [" ", el("span", { class: "nobreak" }, interval(pair))] : "",
];

/** Order two values of a column: numbers by size, texts as people sort them, nothing last. */
function ordered(a, b, sign) {
  if (empty(a) || empty(b)) return empty(a) - empty(b);
  const by =
    typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true });
  return sign * by;
}

/** A column's value in the CSV: a share in percent, as its title says. */
function scaled(column, row) {
  const value = column.value(row);
  return known(value) && column.scale ? column.scale * value : value;
}

/**
 * Return a table.
 * columns: {key, title, value(row) → number, text or null, show(row, value) → node or text,
 *           numeric, lesser (hidden on a phone), least (hidden below 900 px), raw (in the CSV alone),
 *           under (below the name of its row on a phone),
 *           unit (which the key ends in there), scale (to that unit)}; rows: anything.
 * options: name (of the file), caption, sort ("key" or "-key"), page, onstate(changes), tall (its head
 * stays while its rows scroll), group ({of(row) → name, head(name, rows) → nodes, open: names}: rows are
 * folded below the name of their group), select (what `selection` returned: rows are chosen by a box),
 * tools(sorted) → more buttons below it; sorted(): its rows in the order in which they are shown.
 */
function table(columns, rows, options) {
  const below = slim() ? columns.filter((column) => column.under && !column.raw) : [];
  const visible = columns.filter((column) => !column.raw && !below.includes(column));
  const box = el("div", { class: "table", "data-key": options.name });
  const { group, select } = options;
  const begun = { sort: options.sort ?? "", page: options.page ?? 0, open: new Set(group?.open) };
  // How a table is sorted stays while its view is drawn again; the address may hold it instead.
  const state = (!options.onstate && kdgap.tables.get(options.name)) || begun;
  kdgap.tables.set(options.name, state);
  const notify = options.onstate ?? (() => {});
  const classes = (column) =>
    ["numeric", "lesser", "least"]
      .filter((key) => column[key])
      .map((key) => (key === "numeric" ? "n" : key))
      .join(" ") || null;
  const shown = (column, row) => {
    const value = column.value(row);
    return column.show ? column.show(row, value) : (value ?? DASH);
  };

  function sorted() {
    const column = visible.find(({ key }) => key === state.sort.replace(/^-/, ""));
    if (!column) return rows;
    const sign = state.sort.startsWith("-") ? -1 : 1;
    const ranked = rows.map((row, index) => [column.value(row), index, row]);
    ranked.sort(([a, i], [b, j]) => ordered(a, b, sign) || i - j);
    return ranked.map(([, , row]) => row);
  }

  /** What is shown, a line each: a row, or the name of a group, whose rows follow where it is open. */
  function lines() {
    const rows = sorted().map((row) => ({ row }));
    if (!group) return rows;
    const groups = [...d3.group(rows, ({ row }) => group.of(row))].sort(([a], [b]) => ordered(a, b, 1));
    return groups.flatMap(([name, own]) => [
      { group: name, rows: own.map(({ row }) => row) },
      ...(state.open.has(name) ? own : []),
    ]);
  }

  function groupLine({ group: name, rows: own }) {
    const open = state.open.has(name);
    const press = () => {
      if (open) state.open.delete(name);
      else state.open.add(name);
      notify({ open: [...state.open].join("~") || null });
      draw(`.group [data-key="${CSS.escape(`group ${name}`)}"]`);
    };
    const more = { "data-key": `group ${name}`, "aria-expanded": String(open) };
    const mark = el("span", { "aria-hidden": "true" }, open ? "▾ " : "▸ ");
    return el(
      "tr",
      { class: "group" },
      el(
        "th",
        { colspan: visible.length, scope: "rowgroup" },
        button([mark, name || "none"], press, more),
        " ",
        group.head(name, own),
      ),
    );
  }

  function head(column) {
    const key = state.sort.replace(/^-/, "");
    const up = key === column.key && !state.sort.startsWith("-");
    const order = key !== column.key ? "none" : up ? "ascending" : "descending";
    const press = () => {
      state.sort = up ? `-${column.key}` : column.key;
      state.page = 0;
      notify({ sort: state.sort, page: null });
      draw(`thead [data-key="${CSS.escape(column.key)}"]`);
    };
    const arrow = el(
      "span",
      { "aria-hidden": "true" },
      { none: "", ascending: " ↑", descending: " ↓" }[order],
    );
    return el(
      "th",
      { scope: "col", class: classes(column), "aria-sort": order },
      button([column.title, arrow], press, { "data-key": column.key }),
    );
  }

  function pager(count) {
    const pages = Math.ceil(count / PAGE_ROWS);
    if (pages < 2) return "";
    const turn = (by, key, words) => {
      const press = () => {
        state.page += by;
        notify({ page: state.page || null });
        draw(`.pager [data-key="${key}"]`);
        kdgap.say(`Page ${state.page + 1} of ${pages}`);
      };
      const to = state.page + by;
      // Not `disabled`: the button that was pressed keeps the focus at either end.
      const off = to < 0 || to >= pages;
      return button(words, off ? () => {} : press, { "data-key": key, "aria-disabled": off ? "true" : null });
    };
    return el(
      "p",
      { class: "pager" },
      turn(-1, "earlier", "← earlier"),
      ` page ${state.page + 1} of ${pages} `,
      turn(1, "later", "later →"),
    );
  }

  function markdown() {
    const text = (part) => (part instanceof Node ? part.textContent : String(part ?? ""));
    const cell = (column, row) => [shown(column, row)].flat(Infinity).map(text).join("");
    const safe = (words) => words.replace(/([\\|`*_<>[\]])/g, "\\$1").replace(/\s+/g, " ");
    const line = (cells) => `| ${cells.map(safe).join(" | ")} |`;
    const rule = `|${visible.map((column) => (column.numeric ? "--:" : "---")).join("|")}|`;
    const body = sorted().map((row) => line(visible.map((column) => cell(column, row))));
    return [line(visible.map((column) => column.title)), rule, ...body].join("\n");
  }

  const csv = () =>
    csvLines([
      columns.map((column) => (column.unit ? `${column.key}_${column.unit}` : column.key)),
      ...sorted().map((row) => columns.map((column) => scaled(column, row))),
    ]);

  function draw(focused = null) {
    const all = lines();
    const last = Math.max(0, Math.ceil(all.length / PAGE_ROWS) - 1);
    state.page = Math.min(Math.max(0, state.page), last);
    const page = all.slice(state.page * PAGE_ROWS, (state.page + 1) * PAGE_ROWS);
    const under = (row) =>
      below
        .filter((column) => ![null, undefined, ""].includes(column.value(row)))
        .map((column) => el("small", { class: "under" }, `${column.title}: `, shown(column, row)));
    const cells = (row) =>
      visible.map((column, index) =>
        el(
          index ? "td" : "th",
          { class: classes(column), scope: index ? null : "row" },
          index || !select ? null : select.box(row),
          shown(column, row),
          index ? null : under(row),
        ),
      );
    const grid = el(
      "table",
      {},
      el("caption", {}, options.caption),
      el("thead", {}, el("tr", {}, visible.map(head))),
      el(
        "tbody",
        {},
        page.map((line) => (line.row ? el("tr", {}, cells(line.row)) : groupLine(line))),
      ),
    );
    const tools = el(
      "p",
      { class: "tools" },
      copyButton(markdown, "Copy as Markdown"),
      button("CSV", () => download(`${options.name}.csv`, csv(), "text/csv"), { "data-key": "csv" }),
      options.tools?.(sorted),
    );
    const region = {
      class: options.tall ? "scroll tall" : "scroll",
      role: "region",
      tabindex: "0",
      "data-key": "scroll",
      "aria-label": options.caption,
    };
    box.replaceChildren(el("div", region, grid), pager(all.length), tools);
    if (focused) box.querySelector(focused)?.focus();
  }
  draw();
  return box;
}

/**
 * Rows that are chosen by a box each. chosen: keys; most: how many at once; key(row), name(row): of a row;
 * changed(keys): called after each choice.
 */
function selection({ chosen, most, key, name, changed }) {
  const keys = new Set(chosen.slice(0, most));
  const press = (row) => (event) => {
    if (!event.target.checked) keys.delete(key(row));
    else if (keys.size < most) keys.add(key(row));
    else {
      event.target.checked = false;
      kdgap.say(`No more than ${most} can be chosen`);
    }
    changed([...keys]);
  };
  const box = (row) => {
    const field = el("input", {
      ...{ type: "checkbox", "data-key": `choose ${key(row)}`, "aria-label": `Choose ${name(row)}` },
      onchange: press(row),
    });
    field.checked = keys.has(key(row));
    return field;
  };
  return { box };
}
