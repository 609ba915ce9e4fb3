"use strict";
// The frame: which view the address asks for, drawn; and drawn again when the study changes.
const LOOK_MS = 2000;
const BUSY_MS = 300;
let drawing = 0;
let settled = 0;
let failed = false;

function navigation(view) {
  const under = kdgap.views[view].under ?? view;
  const entries = Object.entries(kdgap.views).filter(([, { title }]) => title);
  const list = document.getElementById("views");
  list.replaceChildren(
    ...entries.map(([name, { title }]) =>
      el(
        "li",
        {},
        link(title, name, {}, { "aria-current": name === view ? "page" : name === under ? "true" : null }),
      ),
    ),
  );
  // On a phone the list is one line that scrolls; what is shown is in sight when it changes.
  const current = list.querySelector("[aria-current]");
  if (current && list.dataset.view !== view)
    list.scrollLeft = current.offsetLeft - list.offsetLeft - (list.clientWidth - current.offsetWidth) / 2;
  list.dataset.view = view;
}

const FOCUSABLE = "a, button, select, input, summary, [tabindex]";

/** What a reader has opened and where the focus is: kept while the same view is drawn again. */
function held(main) {
  const [focused] =
    elementsByName(main, FOCUSABLE).find(([, element]) => element === document.activeElement) ?? [];
  const cursor = document.activeElement?.selectionStart;
  const opened = elementsByName(main, "details").flatMap(([name, details]) => (details.open ? [name] : []));
  const scrolled = elementsByName(main, ".scroll").filter(([, part]) => part.scrollTop || part.scrollLeft);
  const places = scrolled.map(([name, part]) => [name, part.scrollTop, part.scrollLeft]);
  return () => {
    for (const [name, details] of elementsByName(main, "details"))
      if (opened.includes(name)) details.open = true;
    const parts = new Map(elementsByName(main, ".scroll"));
    for (const [name, top, left] of places) parts.get(name)?.scrollTo(left, top);
    const again = new Map(elementsByName(main, FOCUSABLE)).get(focused);
    again?.focus({ preventScroll: true });
    if (again && known(cursor) && again.setSelectionRange) again.setSelectionRange(cursor, cursor);
    return Boolean(again);
  };
}

/** What a view was drawn from. */
async function sourceOf(names) {
  const answers = await Promise.allSettled([...names].map((name) => kdgap.documents.get(name)));
  return [location.hash, window.innerWidth, ...answers.map((answer) => answer.value)];
}

const withoutTime = (value) =>
  JSON.stringify(value, (key, part) => (["when", "version"].includes(key) ? undefined : part));

/** Whether two views would be the same: then none is drawn anew, and selected text stays selected. */
const sameSource = (before, now) =>
  before?.length === now.length &&
  now.every((part, index) => part === before[index] || withoutTime(part) === withoutTime(before[index]));

/** Say that a view is being read, where that takes long: the old one would stand under a new name. */
function waiting(main, mine, keep) {
  return setTimeout(() => {
    if (mine !== drawing) return;
    main.setAttribute("aria-busy", "true");
    if (keep) return;
    delete main.dataset.ready;
    main.replaceChildren(el("p", {}, "Reading …"));
  }, BUSY_MS);
}

/** Return the parts of a view; null where documents of two versions were read. */
async function partsOf(view, state) {
  try {
    kdgap.study = await kdgap.get("study");
    document.getElementById("name").textContent = kdgap.study.name;
    const parts = await kdgap.views[view].draw(kdgap.study, state);
    failed = false;
    return parts.filter(Boolean);
  } catch (error) {
    if (error instanceof StaleError) return null;
    failed = true;
    return [
      el("h1", {}, "This view cannot be shown"),
      el("p", {}, String(error.message ?? error)),
      el(
        "p",
        {},
        button("Try again", () => kdgap.draw()),
      ),
    ];
  }
}

/**
 * Draw what the address asks for; a view that is overtaken by another is dropped.
 * keep: what is open, the keyboard and the place; scroll: the place in pixels.
 */
kdgap.draw = async ({ focus = false, keep = false, scroll = 0 } = {}) => {
  const mine = ++drawing;
  const asked = location.hash;
  const { view, state } = kdgap.place();
  const main = document.getElementById("main");
  navigation(view);
  if (!keep) kdgap.tables.clear();
  kdgap.read = new Set();
  const busy = waiting(main, mine, keep);
  const parts = await partsOf(view, state);
  const source = parts && (await sourceOf(kdgap.read));
  clearTimeout(busy);
  if (mine !== drawing) return;
  // Also where a reader sorted or turned a page meanwhile, which the address notes.
  if (!parts || asked !== location.hash) {
    if (!parts) kdgap.documents.clear();
    setTimeout(() => mine === drawing && kdgap.draw({ focus, keep, scroll }), 100);
    return;
  }
  main.removeAttribute("aria-busy");
  if (!keep || !sameSource(kdgap.source, source)) show(main, view, parts, { focus, keep, scroll });
  kdgap.source = source;
  main.dataset.ready = view;
  settled = mine;
  notePlace();
};

/** Put a view in the place of what was shown. */
function show(main, view, parts, { focus, keep, scroll }) {
  const place = keep ? window.scrollY : scroll;
  const hold = held(main);
  main.replaceChildren(...parts);
  explainTerms(main, kdgap.study?.glossary ?? {});
  main.dataset.view = view;
  document.title = `${main.querySelector("h1").textContent} · ${kdgap.study?.name ?? "kdgap"}`;
  const kept = keep && hold();
  window.scrollTo(0, place);
  if (focus && !kept) main.focus({ preventScroll: true });
}

// A step back leads to where the reader was: each entry of the history knows its place.
history.scrollRestoration = "manual";
const notePlace = () => {
  if (drawing === settled && history.state?.scroll !== window.scrollY)
    history.replaceState({ scroll: window.scrollY }, "");
};
window.addEventListener("scroll", () => {
  clearTimeout(kdgap.scrolled);
  kdgap.scrolled = setTimeout(notePlace, 150);
});
document.addEventListener("click", notePlace, { capture: true });

let shown = kdgap.place();
window.addEventListener("hashchange", () => {
  clearTimeout(kdgap.scrolled);
  const now = kdgap.place();
  const scroll = history.state?.scroll;
  // A choice within a view keeps the reader's place; a link to another thing begins at its top.
  const other =
    now.view !== shown.view ||
    (kdgap.views[now.view].title === null && !kdgap.views[now.view].keeps) ||
    known(scroll) ||
    !document.activeElement?.closest("select, input");
  shown = now;
  kdgap.draw({ focus: other, keep: !other, scroll });
});
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone's bars come and go
  width = window.innerWidth;
  clearTimeout(kdgap.resized);
  kdgap.resized = setTimeout(() => kdgap.draw({ keep: true }), 250);
});
document.getElementById("skip").addEventListener("click", () => document.getElementById("main").focus());

// Paper folds nothing away. What was folded is known by its name: a view may be drawn meanwhile.
let unfolded = [];
const allFolded = () => elementsByName(document.getElementById("main"), "details");
window.addEventListener("beforeprint", () => {
  const folded = allFolded().filter(([, details]) => !details.open);
  unfolded = folded.map(([name]) => name);
  for (const [, details] of folded) details.open = true;
});
window.addEventListener("afterprint", () => {
  for (const [name, details] of allFolded()) if (unfolded.includes(name)) details.open = false;
});

/** Say since when there is no answer, beside what is shown; nothing while there is one. */
function lost(gone) {
  const place = document.getElementById("lost");
  if (!gone) place.replaceChildren();
  if (!gone || place.childNodes.length) return;
  const since = new Date().toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  const command = el("code", {}, `kdgap explore ${kdgap.study?.command ?? "…"}`);
  place.append(`Not connected since ${since}; `, command, " starts it again.");
}

/** While somebody looks, ask now and then whether the study changed. */
async function look() {
  if (document.visibilityState === "visible") {
    try {
      const before = kdgap.documents.has("live") ? await kdgap.get("live") : null;
      const now = await kdgap.fresh("live");
      lost(false);
      const changed = kdgap.study && now.version !== kdgap.study.version;
      if (changed) {
        kdgap.documents.clear();
        kdgap.documents.set("live", Promise.resolve(now));
      }
      const moved = kdgap.place().view === "live" && (!before || withoutTime(before) !== withoutTime(now));
      if (changed || moved || failed) await kdgap.draw({ keep: true });
    } catch (error) {
      // What is shown stays. An answer that is none, such as a refusal, is no lost connection.
      if (error instanceof TypeError) lost(true);
    }
  }
  setTimeout(look, LOOK_MS);
}

kdgap.draw({ scroll: history.state?.scroll });
if (!kdgap.exported) setTimeout(look, LOOK_MS);
