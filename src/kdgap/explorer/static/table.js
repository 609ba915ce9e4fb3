"use strict";
// Tables that sort, filter, copy and download; long ones show one page of rows at a time.
const PAGE_ROWS = 100;

/**
 * Return a table.
 * columns: {key, title, value(row) → number, text or null, show(row, value) → node or text,
 *           numeric, lesser (hidden on a phone)}; rows: anything.
 * options: name (of the file), caption, sort ("key" or "-key"), page, onstate(changes).
 */
function table(columns, rows, options) {
  const box = el("div", { class: "table" });
  const state = { sort: options.sort ?? "", page: options.page ?? 0 };
  const told = options.onstate ?? (() => {});

  function sorted() {
    const key = state.sort.replace(/^-/, "");
    const column = columns.find((one) => one.key === key);
    if (!column) return rows;
    const sign = state.sort.startsWith("-") ? -1 : 1;
    const ranked = rows.map((row, index) => [column.value(row), index, row]);
    ranked.sort(([a, i], [b, j]) => {
      if (a === null || a === undefined || b === null || b === undefined) {
        return (a === null || a === undefined) - (b === null || b === undefined) || i - j;
      }
      return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true })) || i - j;
    });
    return ranked.map(([, , row]) => row);
  }

  function head(column) {
    const key = state.sort.replace(/^-/, "");
    const up = key === column.key && !state.sort.startsWith("-");
    const order = key !== column.key ? "none" : up ? "ascending" : "descending";
    const press = () => {
      state.sort = up ? `-${column.key}` : column.key;
      state.page = 0;
      told({ sort: state.sort, page: null });
      draw(column.key);
    };
    return el("th", { scope: "col", class: classes(column), "aria-sort": order },
      el("button", { type: "button", onclick: press, "data-key": column.key }, column.title,
        el("span", { "aria-hidden": "true" }, { none: "", ascending: " ↑", descending: " ↓" }[order])));
  }

  const classes = (column) => [column.numeric ? "n" : "", column.lesser ? "lesser" : ""].join(" ").trim() || null;

  function cell(column, row, first) {
    const value = column.value(row);
    const shown = column.show ? column.show(row, value) : value ?? DASH;
    return el(first ? "th" : "td", { class: classes(column), scope: first ? "row" : null }, shown);
  }

  function pager(count) {
    const pages = Math.ceil(count / PAGE_ROWS);
    if (pages < 2) return null;
    const turn = (by, words) => el("button", {
      type: "button", disabled: state.page + by < 0 || state.page + by >= pages,
      onclick: () => { state.page += by; told({ page: state.page || null }); draw(); kdgap.say(`Page ${state.page + 1} of ${pages}`); },
    }, words);
    return el("p", { class: "pager" }, turn(-1, "← earlier"), ` page ${state.page + 1} of ${pages} `, turn(1, "later →"));
  }

  const plain = (column, row) => {
    const value = column.value(row);
    return value === null || value === undefined ? "" : String(value);
  };
  const shownText = (column, row) => {
    const shown = column.show ? column.show(row, column.value(row)) : column.value(row) ?? DASH;
    return shown instanceof Node ? shown.textContent : [shown].flat(Infinity).map((part) => (part instanceof Node ? part.textContent : part ?? "")).join("");
  };

  function markdown() {
    const safe = (text) => text.replace(/([\\|`*_<>[\]])/g, "\\$1").replace(/\s+/g, " ");
    const line = (cells) => `| ${cells.map(safe).join(" | ")} |`;
    const rule = `|${columns.map((column) => (column.numeric ? "--:" : "---")).join("|")}|`;
    return [line(columns.map((column) => column.title)), rule,
      ...sorted().map((row) => line(columns.map((column) => shownText(column, row))))].join("\n");
  }

  function csv() {
    // A cell that begins like a formula is text for a spreadsheet; numbers stay numbers.
    const safe = (text, number) => {
      const inert = !number && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
      return /[",\r\n]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
    };
    const line = (row) => columns.map((column) => safe(plain(column, row), typeof column.value(row) === "number")).join(",");
    return [columns.map((column) => safe(column.key, false)).join(","), ...sorted().map(line)].join("\n") + "\n";
  }

  function draw(focused = null) {
    const all = sorted();
    const pages = Math.max(1, Math.ceil(all.length / PAGE_ROWS));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    const shown = all.slice(state.page * PAGE_ROWS, (state.page + 1) * PAGE_ROWS);
    const tools = el("p", { class: "tools" },
      el("button", { type: "button", onclick: () => copy(markdown()) }, "Copy as Markdown"),
      el("button", { type: "button", onclick: () => download(`${options.name}.csv`, csv(), "text/csv") }, "CSV"));
    box.replaceChildren(
      el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": options.caption },
        el("table", {}, el("caption", {}, options.caption),
          el("thead", {}, el("tr", {}, columns.map(head))),
          el("tbody", {}, shown.map((row) => el("tr", {}, columns.map((column, index) => cell(column, row, index === 0))))))),
      pager(all.length) ?? "", tools);
    if (focused) box.querySelector(`button[data-key="${focused}"]`)?.focus();
  }
  draw();
  return box;
}
