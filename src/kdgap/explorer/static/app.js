"use strict";
// The frame: which view the address asks for, drawn; and drawn again when the study changes.
const LOOK_MS = 2000;
let drawing = 0;

function navigation(view) {
  const under = kdgap.views[view].under ?? view;
  const entries = Object.entries(kdgap.views).filter(([, one]) => one.title);
  document
    .getElementById("views")
    .replaceChildren(
      ...entries.map(([name, one]) =>
        el(
          "li",
          {},
          link(
            one.title,
            name,
            {},
            { "aria-current": name === view ? "page" : name === under ? "true" : null },
          ),
        ),
      ),
    );
}

/** What a reader has opened and where the focus is: kept while the same view is drawn again. */
function held(main) {
  const places = () => [...main.querySelectorAll("a, button, select, input, summary, [tabindex]")];
  const at = places().indexOf(document.activeElement);
  const words = at >= 0 ? document.activeElement.textContent : null;
  const cursor = document.activeElement?.selectionStart;
  const opened = [...main.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
  return () => {
    for (const summary of main.querySelectorAll("details > summary")) {
      if (opened.includes(summary.textContent)) summary.parentElement.open = true;
    }
    if (at < 0) return false;
    const now = places();
    const same = now[at]?.textContent === words || now[at]?.matches("select, input");
    const found = same ? now[at] : now.find((one) => one.textContent === words);
    found?.focus({ preventScroll: true });
    if (found && known(cursor) && found.setSelectionRange) found.setSelectionRange(cursor, cursor);
    return Boolean(found);
  };
}

/** Draw what the address asks for; a view that is overtaken by another is dropped. */
kdgap.draw = async ({ focus = false, keep = false } = {}) => {
  const mine = ++drawing;
  const { view, state } = kdgap.place();
  const main = document.getElementById("main");
  navigation(view);
  if (!keep) kdgap.tables.clear();
  let parts;
  try {
    kdgap.study = await kdgap.get("study");
    document.getElementById("name").textContent = kdgap.study.name;
    parts = (await kdgap.views[view].draw(kdgap.study, state)).filter(Boolean);
  } catch (error) {
    if (error instanceof StaleError && mine === drawing) {
      kdgap.documents.clear();
      setTimeout(() => kdgap.draw({ focus, keep }), 100);
      return;
    }
    parts = [
      el("h1", {}, "This view cannot be shown"),
      el("p", {}, String(error.message ?? error)),
      el(
        "p",
        {},
        button("Try again", () => kdgap.draw()),
      ),
    ];
  }
  if (mine !== drawing) return;
  const scroll = window.scrollY;
  const hold = held(main);
  main.replaceChildren(...parts);
  document.title = `${main.querySelector("h1").textContent} · ${kdgap.study?.name ?? "kdgap"}`;
  main.dataset.ready = main.dataset.view = view;
  const kept = keep && hold();
  if (keep) window.scrollTo(0, scroll);
  else window.scrollTo(0, 0);
  if (focus && !kept) main.focus({ preventScroll: true });
};

let shown = kdgap.place();
window.addEventListener("hashchange", () => {
  const now = kdgap.place();
  // A choice within a view keeps the reader's place; a link to another thing begins at its top.
  const other =
    now.view !== shown.view ||
    kdgap.views[now.view].title === null ||
    !document.activeElement?.closest("select, input");
  shown = now;
  kdgap.draw({ focus: other, keep: !other });
});
let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth === width) return; // a phone's bars come and go
  width = window.innerWidth;
  clearTimeout(kdgap.resized);
  kdgap.resized = setTimeout(() => kdgap.draw({ keep: true }), 250);
});
document.getElementById("skip").addEventListener("click", () => document.getElementById("main").focus());

const withoutTime = (live) => JSON.stringify(live, (key, value) => (key === "when" ? undefined : value));

/** While somebody looks, ask now and then whether the study changed. */
async function look() {
  if (document.visibilityState === "visible") {
    try {
      const before = kdgap.documents.has("live") ? await kdgap.get("live") : null;
      const now = await kdgap.fresh("live");
      const changed = kdgap.study && now.version !== kdgap.study.version;
      if (changed) {
        kdgap.documents.clear();
        kdgap.documents.set("live", Promise.resolve(now));
      }
      const moved = kdgap.place().view === "live" && (!before || withoutTime(before) !== withoutTime(now));
      if (changed || moved) await kdgap.draw({ keep: true });
    } catch {
      // The server is gone for now; what is shown stays.
    }
  }
  setTimeout(look, LOOK_MS);
}

kdgap.draw();
if (!kdgap.exported) setTimeout(look, LOOK_MS);
