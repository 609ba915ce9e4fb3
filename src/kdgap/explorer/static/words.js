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
const fixed = (value, digits = 2) => (known(value) ? minus(value.toFixed(digits)) : DASH);
const percent = (share) => (known(share) ? (100 * share).toFixed(2) : DASH);
const signed = (value, digits = 2) => {
  if (!known(value)) return DASH;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? `+${(0).toFixed(digits)}` : minus((Number(text) > 0 ? "+" : "") + text);
};
const interval = (pair) => (pair ? `[${signed(pair[0])}, ${signed(pair[1])}]` : DASH);
const percents = (pair) => (pair ? ` [${pair.map(percent).join(", ")}]` : "");
const pValue = (p) => {
  if (!known(p)) return DASH;
  if (p < 0.0001) return "< 0.0001";
  return p >= 0.001 ? p.toFixed(3) : p.toFixed(4);
};
const spread = (mean, std) =>
  known(mean) ? mean.toFixed(2) + (known(std) ? ` ± ${std.toFixed(2)}` : "") : DASH;
const counted = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
const size = (count) => {
  if (!known(count)) return DASH;
  const [scale, unit] = [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ].find(([one]) => count >= one) ?? [1, ""];
  return scale === 1 ? String(count) : `${(count / scale).toPrecision(3)} ${unit}`;
};
const bytes = (count) => (count >= 1e3 ? `${size(count)}B` : `${count} B`);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const methodName = (name) => kdgap.study.method_names[name] ?? name;
const pairName = (one) => (one.teacher ? `${one.teacher} → ${one.student}` : one.student);
const settingsText = (parameters) =>
  Object.entries(parameters ?? {})
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
const confidence = () => `${Number((100 * kdgap.study.analysis.settings.confidence).toPrecision(6))} %`;

/** What an arm is, for people. */
const armName = (arm) =>
  arm.role === "teacher" && !arm.teacher
    ? `${arm.student} (teacher)`
    : `${pairName(arm)}, ${methodName(arm.method)}${arm.variant ? ` (${arm.variant})` : ""}`;

/** The same with its hyper-parameters, where several differ in them alone. */
const armSettings = (arm) => [armName(arm), settingsText(arm.parameters)].filter(Boolean).join("; ");

const badge = (verdict, words = verdict) =>
  el(
    "span",
    { class: `badge ${verdict.replaceAll(" ", "-")}` },
    el("span", { "aria-hidden": "true" }, `${MARKS[verdict] ?? "·"} `),
    words,
  );
/** The same for a gain, which says so where an equivalence rests on one test alone. */
const gainBadge = (gain) => {
  const alone = (gain.flags ?? []).some((flag) => flag.code === "equivalence-uncorrected");
  return badge(gain.verdict, alone ? `${gain.verdict}, uncorrected` : gain.verdict);
};
const postHoc = (claim) => (claim.post_hoc ? el("span", { class: "posthoc" }, "post hoc") : null);

/** "1 h 5 min", "12 s". */
const duration = (seconds) => {
  if (!known(seconds)) return DASH;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
};
