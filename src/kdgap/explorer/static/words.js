"use strict";
// Numbers and verdicts in words, as the report writes them.
const MARKS = {
  gain: "▲",
  harm: "▼",
  equivalent: "≈",
  inconclusive: "?",
  established: "✓",
  contradicted: "✗",
  "not established": "?",
};
const OPEN = ["inconclusive", "not established"];
const DASH = "–";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const minus = (text) => text.replace("-", "−");
/**
 * A number with so many digits after its point, rounded as Python's format() does, so that sentences
 * and tables agree. Both look at the double's own value; a tie goes to the even digit, where toFixed
 * takes it away from zero. value × 10^d is a whole number and a half just where value × 2^(d + 1) is odd.
 * What arithmetic left behind the twelfth significant digit is dropped first, as `numbers.decimals` does.
 */
function rounded(exact, digits) {
  const value = Number(exact.toPrecision(12));
  const text = value.toFixed(digits);
  const tie = Math.abs(value * 2 ** (digits + 1)) % 2 === 1;
  if (!tie || Number(text.at(-1)) % 2 === 0) return text;
  return `${value < 0 ? "-" : ""}${(Math.abs(value) - 0.5 * 10 ** -digits).toFixed(digits)}`;
}
const fixed = (value, digits = 2) => (known(value) ? minus(rounded(value, digits)) : DASH);
const percent = (share) => (known(share) ? rounded(100 * share, 2) : DASH);
const signed = (value, digits = 2) => {
  if (!known(value)) return DASH;
  const text = rounded(value, digits);
  return Number(text) === 0 ? `+${(0).toFixed(digits)}` : minus((Number(text) > 0 ? "+" : "") + text);
};
const interval = (pair) => (pair ? `[${signed(pair[0])}, ${signed(pair[1])}]` : DASH);
const percents = (pair) => (pair ? ` [${pair.map(percent).join(", ")}]` : "");
const pValue = (p) => {
  if (!known(p)) return DASH;
  if (p < 0.0001) return "< 0.0001";
  return rounded(p, p >= 0.001 ? 3 : 4);
};
const spread = (mean, std) =>
  known(mean) ? rounded(mean, 2) + (known(std) ? ` ± ${rounded(std, 2)}` : "") : DASH;
const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
/** A count from 100 on, rounded to three digits as Python rounds it: a tie goes to the even digit. */
function threeDigits(count) {
  const step = 10 ** (Number(count.toExponential().split("e")[1]) - 2);
  const rest = count % step;
  const steps = (count - rest) / step;
  const up = 2 * rest > step || (2 * rest === step && steps % 2 === 1);
  return (steps + (up ? 1 : 0)) * step;
}
const compact = (count) => {
  if (!known(count)) return DASH;
  const units = [
    [1e12, "T"],
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ];
  // What rounds to 1,000 of a unit is one of the next: 999,600 is 1.00 M.
  const whole = count < 100 ? count : threeDigits(count);
  const [scale, unit] = units.find(([least]) => whole >= least) ?? [1, ""];
  return scale === 1 ? String(count) : `${(whole / scale).toPrecision(3)} ${unit}`;
};
const bytes = (count) => (count >= 1e3 ? `${compact(count)}B` : `${count} B`);
const lower = (text) => text.charAt(0).toLowerCase() + text.slice(1);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
/** A long name, which may break after each "_". */
const breakable = (text) =>
  text.split(/(?<=_)/).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
const methodName = (name) => kdgap.study.methods[name]?.label ?? name;
const pairName = (pair) => (pair.teacher ? `${pair.teacher} → ${pair.student}` : pair.student);
const settingsText = (parameters) =>
  Object.entries(parameters ?? {})
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
const confidence = () => `${Number((100 * kdgap.study.analysis.settings.confidence).toPrecision(6))} %`;

/** Seeds that a test needs. */
const seedsText = (count) => (count === null ? "too many" : count > 1000 ? "over 1,000" : String(count));
/** What they are needed for. */
const seedsTitle = (study) => {
  const { power, smallest_effect_pp } = study.analysis.settings;
  return `seeds for ${Number((100 * power).toPrecision(6))} % power at ${smallest_effect_pp} pp`;
};

/** What a slot is named by: the pair and method, and of selection and ablations what is tried there. */
const PAIR = ["teacher", "student", "method"];
const DETAILS = ["candidate", "ablation", "arm"];
const sameIn = (keys) => (a, b) => keys.every((key) => a[key] === b[key]);
const samePair = sameIn(PAIR);
const sameSlot = sameIn(["role", ...PAIR, ...DETAILS]);

/** What tells a slot from others of its role, pair and method, for people. */
const variantOf = ({ candidate, ablation, arm }) => (ablation ? `${ablation}: ${arm}` : candidate);

/** How many settings of a gain's pair and method were judged: an import may have several. */
const ofOneSlot = (study, gain) => study.analysis.gains.filter((other) => samePair(other, gain)).length;
/** Where there are several, a gain's settings, and what tells its baseline apart. */
const apartWords = (study, gain) => {
  if (ofOneSlot(study, gain) < 2) return "";
  const { apart } = study.gains[study.analysis.gains.indexOf(gain)] ?? {};
  return [settingsText(gain.parameters), apart].filter(Boolean).join("; ");
};
/** A gain's pair and method, with that. */
const gainName = (study, gain) => {
  const apart = apartWords(study, gain);
  return `${pairName(gain)}, ${methodName(gain.method)}${apart ? ` (${apart})` : ""}`;
};

/** What an arm is, for people. */
const armName = (arm) =>
  arm.role === "teacher" && !arm.teacher
    ? `${arm.student} (teacher)`
    : `${pairName(arm)}, ${methodName(arm.method)}${variantOf(arm) ? ` (${variantOf(arm)})` : ""}`;

/** The same with its hyper-parameters, where several differ in them alone. */
const armSettings = (arm) => [armName(arm), settingsText(arm.parameters)].filter(Boolean).join("; ");

const badge = (verdict, words = verdict) =>
  el(
    "span",
    { class: `badge ${verdict.replaceAll(" ", "-")}` },
    el("span", { "aria-hidden": "true" }, `${MARKS[verdict] ?? "·"} `),
    words,
  );
/** Whether an equivalence rests on one test alone: corrected for the others it is not settled. */
const uncorrected = (gain) => (gain.flags ?? []).some((flag) => flag.code === "equivalence-uncorrected");
const verdictText = (gain) => (uncorrected(gain) ? `${gain.verdict}, uncorrected` : gain.verdict);
/** Whether more seeds could tell: drawn as an open point. */
const isOpen = (gain) => OPEN.includes(gain.verdict) || uncorrected(gain);
/** The same for a gain, which says so where an equivalence rests on one test alone. */
const gainBadge = (gain) => badge(gain.verdict, verdictText(gain));
/** Copies a verdict's sentence with its numbers, how they were found, and what to cite. */
const quoteButton = (entry) =>
  copyButton(`${entry.quote} ${kdgap.study.citation}`, "Copy sentence with citation", "quote");
const postHoc = (claim) => (claim.post_hoc ? el("span", { class: "posthoc" }, "post hoc") : null);

/** "4.2 s", "3 min 20 s", "2 h 05 min", "3.5 days". */
const duration = (seconds) => {
  if (!known(seconds)) return DASH;
  if (seconds < 59.95) return `${rounded(seconds, 1)} s`; // what rounds to 60.0 s is a minute
  const whole = Number(rounded(seconds, 0));
  const minutes = Math.floor(whole / 60);
  const two = (count) => String(count).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(whole % 60)} s`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const [days, tenths] = rounded(minutes / (24 * 60), 1).split(".");
  return `${Number(days).toLocaleString("en")}.${tenths} days`;
};

/** Elements whose words are names, or are pressed: no term is explained in them. */
const UNEXPLAINED = "svg, code, a, dfn, .headline, h1, h2, h3, button, select, input, label, summary, nav";

/** Explains each term of the glossary where it is first met below an element. */
function explainTerms(root, glossary) {
  const names = Object.keys(glossary).sort((a, b) => b.length - a.length);
  const unmet = new Map(names.map((name) => [name.toLowerCase(), name]));
  // A term that was met is found still where another is a part of it: no "run" in a "smoke run".
  const pattern = () => {
    const left = names.filter((name) =>
      [...unmet.keys()].some((other) => name.toLowerCase().includes(other)),
    );
    const words = left.map((name) => name.replace(/[^\w\s]/g, "\\$&")).join("|");
    return new RegExp(`(?<![\\w/.-])(${words})s?(?![\\w/-]|\\.\\w)`, "gi");
  };
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  let words = pattern();
  for (let node = walker.nextNode(); node && unmet.size; node = walker.nextNode()) {
    if (node.parentElement.closest(UNEXPLAINED)) continue;
    words.lastIndex = 0;
    for (let match = words.exec(node.data); match; match = words.exec(node.data)) {
      const name = unmet.get(match[1].toLowerCase());
      if (!name) continue;
      unmet.delete(match[1].toLowerCase());
      words = pattern();
      const word = node.splitText(match.index);
      word.splitText(match[0].length);
      const explained = el("dfn", { title: glossary[name] });
      word.replaceWith(explained);
      explained.append(word);
      walker.currentNode = word;
      break;
    }
  }
}
