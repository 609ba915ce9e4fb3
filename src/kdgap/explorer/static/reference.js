"use strict";
// Gains over the reference that a study names, beside those over plain training.
/** The method that the others are compared with, if the study names one. */
const referenceOf = (study) => study.analysis?.settings.reference ?? null;
/** The gains of a gain's arm over the reference: of a method without a teacher, one in each pair. */
const overReference = (study, gain) =>
  (study.analysis.reference_gains ?? []).filter(
    (entry) => entry.slot === gain.slot && entry.configuration === gain.configuration,
  );
const isReference = (study, gain) => gain.method === referenceOf(study)?.method;

/** What both corrections are over, where a reference is named. */
function familiesNote(study) {
  const reference = referenceOf(study);
  if (!reference) return null;
  const { gains_in_family: family } = study.analysis.settings;
  return note(
    `Corrected (Holm) over ${counted(family, "gain")} over plain training, and over ${reference.gains_in_family} over ${reference.label}, a family apart. Over ${reference.label}, a gain is better than it and a harm worse.`,
  );
}

/** The cell of a method over the reference: each number with its interval and verdict. */
function referenceCell(study, gain) {
  if (isReference(study, gain)) return "the reference";
  const entries = overReference(study, gain);
  if (!entries.length) return DASH;
  return entries.map((entry) =>
    el(
      "div",
      {},
      entry.teacher === gain.teacher ? null : el("span", { class: "under" }, `in ${pairName(entry)}: `),
      withInterval(entry.gain_pp, entry.ci95_pp),
      " ",
      gainBadge(entry),
    ),
  );
}

/** Columns of the gain table over the reference; the CSV has number, interval and verdict apart. */
function referenceColumns(study) {
  const reference = referenceOf(study);
  if (!reference) return [];
  const only = (gain) => {
    const entries = overReference(study, gain);
    return entries.length === 1 ? entries[0] : null;
  };
  return [
    num("over_reference_pp", `over ${reference.label} (pp)`, (gain) => only(gain)?.gain_pp ?? null, {
      show: (gain) => referenceCell(study, gain),
    }),
    ...ends((gain) => only(gain)?.ci95_pp, { of: "over_reference" }),
    col("over_reference_verdict", "verdict", (gain) => only(gain)?.verdict ?? null, { raw: true }),
  ];
}

/** What is said of a method over the reference, or that it is the reference. */
function referenceSentences(study, gain) {
  if (isReference(study, gain))
    return note("This is the reference that the other methods are compared with.");
  const entries = study.analysis.reference_gains ?? [];
  return overReference(study, gain).map((entry) => {
    const words = study.reference_gains[entries.indexOf(entry)];
    return [
      el("p", { class: "sentence" }, gainBadge(entry), " ", words.sentence),
      el("p", { class: "tools" }, quoteButton(words)),
    ];
  });
}

const referenceFacts = (study, gain) =>
  overReference(study, gain).map((entry) => [
    `over ${referenceOf(study).label}`,
    `${entry.teacher === gain.teacher ? "" : `in ${pairName(entry)}: `}${signed(entry.gain_pp)} pp ${interval(entry.ci95_pp)}; holding for all ${entry.family} at once ${interval(entry.ci95_simultaneous_pp)}; p ${pValue(entry.p)}, Holm ${pValue(entry.p_holm)}; n = ${entry.n} against ${entry.n_reference}`,
  ]);

/** What to know of a gain, and of the same method over the reference what is not said of both. */
function gainNotes(study, gain) {
  const shown = [...gain.flags];
  const over = overReference(study, gain)
    .flatMap((entry) => entry.flags)
    .filter((flag) => {
      const known = shown.some((other) => other.code === flag.code && other.text === flag.text);
      if (!known) shown.push(flag);
      return !known;
    });
  const label = referenceOf(study)?.label;
  return [...gain.flags.map((flag) => flag.text), ...over.map((flag) => `over ${label}: ${flag.text}`)];
}

/** The lines of a figure beside the one of the gain over plain training. */
const referenceLines = (study, gain) =>
  overReference(study, gain).map((entry) => ({
    ...gainLine(entry),
    label: `over ${referenceOf(study).label}${entry.teacher === gain.teacher ? "" : `, ${pairName(entry)}`}`,
  }));
