"use strict";
// The frame: which view the address asks for, drawn; and drawn again when the study changes.
let drawing = 0;
const LOOK_MS = 2000;

function navigation(view) {
  const entries = Object.entries(kdgap.views).filter(([, one]) => one.title);
  document.getElementById("views").replaceChildren(...entries.map(([name, one]) =>
    el("li", {}, link(one.title, name, {}, { "aria-current": name === view ? "page" : null }))));
}

/** Draw what the address asks for; a view that is overtaken by another is dropped. */
async function draw({ focus = false, keep = false } = {}) {
  if (kdgap.quiet) { kdgap.quiet = false; return; }
  const mine = ++drawing;
  const { view, state } = kdgap.place();
  const main = document.getElementById("main");
  navigation(view);
  const scroll = window.scrollY;
  const held = document.activeElement?.id;
  const chosen = document.activeElement?.selectionStart;
  try {
    kdgap.study = await kdgap.get("study");
    document.getElementById("name").textContent = kdgap.study.name;
    const parts = (await kdgap.views[view].draw(kdgap.study, state)).filter(Boolean);
    if (mine !== drawing) return;
    main.replaceChildren(...parts);
    document.title = `${main.querySelector("h1")?.textContent ?? kdgap.views[view].title} · kdgap`;
  } catch (error) {
    if (mine !== drawing) return;
    main.replaceChildren(section("This view cannot be shown", el("p", {}, String(error.message ?? error)), el("p", {}, el("button", { type: "button", onclick: () => draw() }, "Try again"))));
  }
  main.dataset.ready = view;
  const again = held && document.getElementById(held);
  if (keep) window.scrollTo(0, scroll);
  if (again && held !== "main") { again.focus(); if (chosen !== undefined && again.setSelectionRange) again.setSelectionRange(chosen, chosen); }
  else if (focus) { main.focus({ preventScroll: true }); window.scrollTo(0, 0); }
}

let shown = kdgap.place().view;
window.addEventListener("hashchange", () => {
  const { view } = kdgap.place();
  const other = view !== shown || ["run", "configuration", "claim"].includes(view);
  shown = view;
  draw({ focus: other, keep: !other });
});
window.addEventListener("resize", () => { clearTimeout(kdgap.resized); kdgap.resized = setTimeout(() => draw({ keep: true }), 250); });
document.getElementById("skip").addEventListener("click", () => document.getElementById("main").focus());

/** While somebody looks, ask now and then whether the study changed. */
async function look() {
  if (document.visibilityState === "visible") {
    try {
      const now = await kdgap.fresh("live");
      const changed = kdgap.study && now.version !== kdgap.study.version;
      if (changed) kdgap.documents.clear();
      if (changed || kdgap.place().view === "live") await draw({ keep: true });
    } catch { /* the server is gone for now; what is shown stays */ }
  }
  setTimeout(look, LOOK_MS);
}

draw();
if (!kdgap.exported) setTimeout(look, LOOK_MS);
