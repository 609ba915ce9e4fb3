"use strict";
// Numbers and verdicts in words, as the report writes them.
const METHODS = { none: "plain training", logit: "Logit-KD", feature: "Feature-KD" };
const MARKS = {
  gain: "▲", harm: "▼", equivalent: "≈", inconclusive: "?",
  established: "✓", contradicted: "✗", "not established": "?",
};
const DASH = "–";

const known = (value) => value !== null && value !== undefined && Number.isFinite(value);
const minus = (text) => text.replace("-", "−");
const fixed = (value, digits = 2) => (known(value) ? minus(value.toFixed(digits)) : DASH);
const percent = (share) => (known(share) ? (100 * share).toFixed(2) : DASH);
const signed = (value, digits = 2) => {
  if (!known(value)) return DASH;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? `+${(0).toFixed(digits)}` : minus((Number(text) > 0 ? "+" : "") + text);
};
const interval = (pair) => (pair ? `[${signed(pair[0])}, ${signed(pair[1])}]` : DASH);
const pValue = (p) => (!known(p) ? DASH : p < 0.0001 ? "< 0.0001" : p >= 0.001 ? p.toFixed(3) : p.toFixed(4));
const spread = (mean, std) => (known(mean) ? mean.toFixed(2) + (known(std) ? ` ± ${std.toFixed(2)}` : "") : DASH);
const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const size = (count) => (!known(count) ? DASH
  : count >= 1e9 ? `${(count / 1e9).toPrecision(3)} G` : count >= 1e6 ? `${(count / 1e6).toPrecision(3)} M`
  : count >= 1e3 ? `${(count / 1e3).toPrecision(3)} k` : String(count));
const methodName = (name) => METHODS[name] ?? name;
const pairName = (one) => (one.teacher ? `${one.teacher} → ${one.student}` : one.student);
const settingsText = (parameters) => Object.entries(parameters ?? {}).map(([key, value]) => `${key} ${value}`).join(", ");

/** What an arm is, for people. */
const armName = (arm) => `${pairName(arm)}, ${methodName(arm.method)}${arm.variant ? ` (${arm.variant})` : ""}`;

const badge = (verdict) => el("span", { class: `badge ${verdict.replaceAll(" ", "-")}` },
  el("span", { "aria-hidden": "true" }, `${MARKS[verdict] ?? "·"} `), verdict);
const postHoc = (claim) => (claim.post_hoc ? el("span", { class: "posthoc" }, "post hoc") : null);

/** "1 h 5 min", "12 s". */
const duration = (seconds) => {
  if (!known(seconds)) return DASH;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};
