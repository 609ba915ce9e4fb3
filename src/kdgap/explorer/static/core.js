"use strict";
// Documents, the page's address, and elements: what every view stands on.
const kdgap = {
  views: {},
  waiting: new Map(),
  documents: new Map(),
  tables: new Map(),
  read: new Set(),
  study: null,
};

// --- documents: from the server, or from scripts beside an exported page -----------------------

/** Where an exported page has its data; null where a server is asked. */
kdgap.exported = document.querySelector('meta[name="kdgap-data"]')?.content ?? null;

/** Called by the data scripts of an exported page. */
kdgap.receive = (name, value) => {
  kdgap.waiting.get(name)?.resolve(value);
};

function fromScript(name) {
  return new Promise((resolve, reject) => {
    kdgap.waiting.set(name, { resolve });
    const script = document.createElement("script");
    script.src = `${kdgap.exported}/${name}.js`;
    script.onload = () => {
      script.remove();
      kdgap.waiting.delete(name);
      reject(new Error(`data/${name}.js holds no document`)); // unless it was received
    };
    script.onerror = () => reject(new Error(`data/${name}.js cannot be read`));
    document.head.append(script);
  });
}

/** The study changed while the page was reading it. */
class StaleError extends Error {}

async function fromServer(name) {
  const answer = await fetch(`data/${name}.json`);
  if (!answer.ok) throw new Error(`${name}: the server says ${answer.status}`);
  const value = await answer.json();
  // Numbers of runs and arms hold within one version: parts of two do not fit together.
  if (!["study", "live"].includes(name) && value.version !== kdgap.study?.version) throw new StaleError();
  return value;
}

/** Return a document; asked for once, until the study changes. */
kdgap.get = (name) => {
  kdgap.read.add(name);
  if (!kdgap.documents.has(name)) {
    const pending = kdgap.exported ? fromScript(name) : fromServer(name);
    pending.catch(() => kdgap.documents.delete(name));
    kdgap.documents.set(name, pending);
  }
  return kdgap.documents.get(name);
};

/** Return a document as it is now. */
kdgap.fresh = (name) => {
  if (!kdgap.exported) kdgap.documents.delete(name);
  return kdgap.get(name);
};

// --- the address: #view?key=value, so that a link shows the same --------------------------------

kdgap.place = () => {
  const [view, query = ""] = location.hash.replace(/^#/, "").split(/\?(.*)/s);
  return { view: Object.hasOwn(kdgap.views, view) ? view : "overview", state: new URLSearchParams(query) };
};

kdgap.address = (view, state = {}) => {
  const kept = Object.entries(state).filter(([, value]) => ![null, undefined, ""].includes(value));
  const query = new URLSearchParams(kept.map(([key, value]) => [key, String(value)])).toString();
  return `#${view}${query ? `?${query}` : ""}`;
};

const changed = (changes) => {
  const { view, state } = kdgap.place();
  return kdgap.address(view, { ...Object.fromEntries(state), ...changes });
};

/** Go to the present address with some keys changed; Back returns. */
kdgap.change = (changes) => {
  location.hash = changed(changes);
};

/** Note changed keys in the address, without a step in the history and without drawing. */
kdgap.note = (changes) => history.replaceState(history.state, "", changed(changes));

// --- elements ------------------------------------------------------------------------------------

/** Make an element. Children are nodes or text; text is never markup. */
function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  const kept = children.flat(Infinity).filter((child) => ![null, undefined, false].includes(child));
  element.append(...kept);
  return element;
}

const link = (text, view, state, more = {}) => el("a", { href: kdgap.address(view, state), ...more }, text);
const section = (title, ...children) => el("section", {}, el("h2", {}, title), ...children);
const note = (...children) => el("p", { class: "note" }, ...children);
const bullets = (texts, attributes = {}) =>
  el(
    "ul",
    attributes,
    texts.map((text) => el("li", {}, text)),
  );
/** Parts beside one another where there is room, such as a figure and its words; no column for what is not there. */
const sideBySide = (...parts) => {
  const there = parts.filter(Boolean).map((part) => (Array.isArray(part) ? el("div", {}, part) : part));
  return there.length > 1 ? el("div", { class: "beside" }, there) : (there[0] ?? null);
};
/** Something folded away; key: names it in its view, whatever its title says. */
const disclosure = (key, title, ...children) =>
  el("details", { "data-key": key }, el("summary", {}, title), ...children);
/** The same for choices: its title says how many filters are active, also while it is closed. */
const foldedChoices = (key, title, active, ...children) =>
  disclosure(key, active ? `${title} (${counted(active, "filter")} active)` : title, ...children);
const button = (text, onclick, more = {}) => el("button", { type: "button", onclick, ...more }, text);

/** A list of what and how much. */
const facts = (pairs) =>
  el(
    "dl",
    { class: "facts" },
    pairs.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
  );

/** What a reader has to know before believing something; null where there is nothing. */
const mind = (title, texts) => (texts.length ? section(title, bullets(texts, { class: "mind" })) : null);

/**
 * What names each element of a selector, with the element, however its words change: its data-key, id,
 * address or tag, the data-keys around it, and its place among those that are named alike.
 */
function elementsByName(root, selector) {
  const counts = new Map();
  return [...root.querySelectorAll(selector)].map((element) => {
    const keys = [element.dataset.key ?? (element.id || element.getAttribute("href") || element.localName)];
    for (let outer = element.parentElement; outer !== root; outer = outer.parentElement)
      if (outer.dataset.key) keys.push(outer.dataset.key);
    const alike = JSON.stringify(keys);
    const count = counts.get(alike) ?? 0;
    counts.set(alike, count + 1);
    return [`${alike} ${count}`, element];
  });
}

/** Say something to a screen reader, and to nobody else. */
kdgap.say = (text) => {
  document.getElementById("announcement").textContent = text;
};

/** Hand a blob over as a file. */
function save(name, blob) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** Hand a text over as a file. */
const download = (name, text, type) => save(name, new Blob([text], { type: `${type};charset=utf-8` }));

/** Copy a text; where the browser gives no clipboard, through a field that is gone at once. */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = el("textarea", { "aria-hidden": "true", class: "hidden" });
    field.value = text;
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  kdgap.say("Copied");
}

/** A button that copies a text and says so on itself. */
const copyButton = (text, words = "Copy", key = "copy") => {
  const press = async (event) => {
    const pressed = event.currentTarget;
    await copy(typeof text === "function" ? text() : text);
    pressed.textContent = "Copied";
    setTimeout(() => {
      pressed.textContent = words;
    }, 1500);
  };
  return button(words, press, { "data-key": key });
};

/** Copies the address: what was chosen is in it, and comes back from it. Stands beside choices. */
const linkButton = () =>
  el(
    "div",
    { class: "choice" },
    el("span", {}, "this view"),
    copyButton(() => location.href, "Copy link"),
  );

/** A choice with its label; key: names it in its view; `options` are [value, text] pairs, or {group, options}. */
function choice(key, label, options, chosen, onchange) {
  const option = ([value, text]) => el("option", { value, selected: value === chosen }, text);
  const field = el(
    "select",
    { "data-key": key, onchange: (event) => onchange(event.target.value) },
    options.map((entry) =>
      Array.isArray(entry)
        ? option(entry)
        : el("optgroup", { label: entry.group }, entry.options.map(option)),
    ),
  );
  return el("label", { class: "choice" }, el("span", {}, label), field);
}
