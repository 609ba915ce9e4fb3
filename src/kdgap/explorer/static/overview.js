"use strict";
// The answer first: the main claim, what it rests on, every gain and every claim at a glance.
kdgap.views.overview = {
  title: "Overview",
  async draw(study) {
    const { analysis } = study;
    if (!analysis) return [heading(study), ...waitingParts(study)];
    return [
      heading(study),
      el("div", { class: "beside" }, glanceSection(study), claimsSection(study)),
      gainsSection(study),
      ablationsSection(study),
      beforeBelieving(analysis),
      findingsPart(analysis),
      originSection(study),
    ];
  },
};

function heading(study) {
  const states = Object.entries(study.states).map(([state, count]) =>
    el("li", {}, link(`${count.toLocaleString("en")} ${state}`, "runs", { state })),
  );
  if (study.open_runs) states.push(el("li", {}, `${study.open_runs} open until selection ends`));
  const { done, total } = progressOf(study);
  const notes = study.analysis?.flags.length ?? 0;
  const warnings = notes ? el("li", {}, warningsButton(notes)) : null;
  const under = [study.paper, study.title ? study.name : null, study.described ? study.description : null];
  return el(
    "div",
    { class: "lead" },
    el("h1", {}, study.title ?? study.name),
    under.some(Boolean) ? el("p", { class: "measured" }, under.filter(Boolean).join(" · ")) : null,
    study.headline
      ? el(
          "div",
          { class: "beside" },
          headlinePart(study),
          slim()
            ? disclosure("trained", "What was trained", facts(study.trained))
            : el("div", { class: "trained" }, facts(study.trained)),
        )
      : null,
    el("ul", { class: "states" }, states.length ? states : el("li", {}, "no runs"), warnings),
    done < total
      ? el("p", {}, `${done} of ${counted(total, "run")} done. `, link(capital(undoneWords(study)), "live"))
      : null,
    study.marks.length ? el("p", { class: "marks" }, `Mind: ${study.marks.join("; ")}.`) : null,
  );
}

/** The answer in one sentence, with a way to what stands behind it. */
function headlinePart(study) {
  const { text, verdict, claim } = study.headline;
  const main = study.analysis?.contrasts.find(({ name }) => name === claim);
  const line = main && claimLine(main);
  return el(
    "p",
    { class: `headline ${verdict.replaceAll(" ", "-")}` },
    el("span", { "aria-hidden": "true" }, `${MARKS[verdict]} `),
    text.replace(/ (%|pp)/g, "\u00a0$1"),
    claim
      ? [" ", link("Why", "claim", { name: claim }, { "aria-label": "Why the main claim ends so" })]
      : null,
    line ? smallInterval(line, aroundBoth(line, study.analysis.settings.smallest_effect_pp), 320) : null,
  );
}

/** The ends of a scale that shows an interval and the smallest effect of interest, with room at both. */
function aroundBoth({ low, high }, margin) {
  const [least, most] = [Math.min(low, -margin), Math.max(high, margin)];
  const rim = (most - least) / 20;
  return [least - rim, most + rim];
}

/** What was measured, over how much, and what counts as an effect: before any verdict. */
function measuredWords(study) {
  const { gains, settings } = study.analysis;
  const seeds = gains.map((gain) => gain.n).filter((n) => n > 0);
  const [least, most] = d3.extent(seeds);
  const taught = gains.filter((gain) => gain.teacher); // a control has no pair of its own
  const pairs = new Set((taught.length ? taught : gains).map(pairName)).size;
  const methods = new Set(gains.map((gain) => gain.method)).size;
  const product = pairs * methods === gains.length;
  return [
    `test accuracy, ${study.primary} weights`,
    seeds.length ? (least === most ? counted(most, "seed") : `${least} to ${most} seeds`) : null,
    gains.length ? `${counted(pairs, "pair")}${product ? " × " : ", "}${counted(methods, "method")}` : null,
    `smallest effect of interest ${settings.smallest_effect_pp}\u00a0pp`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What is to be seen of runs that are not done. */
function undoneWords({ states }) {
  if (states.running) return "what is training now";
  return TROUBLE.some((state) => states[state]) ? "what failed" : "what is left to train";
}

const warningsButton = (count) =>
  button(
    `${counted(count, "thing")} to know before believing it`,
    () => {
      const title = document.querySelector("#before h2");
      title.scrollIntoView();
      title.focus({ preventScroll: true });
    },
    { class: "as-link", "data-key": "warnings" },
  );

function beforeBelieving(analysis) {
  const words = ({ code, text }) =>
    code === "failures" ? [text, " (", link("see Live", "live"), ")"] : text;
  const part = mind("Before believing it", analysis.flags.map(words));
  part?.setAttribute("id", "before");
  part?.querySelector("h2").setAttribute("tabindex", "-1");
  return part;
}

const progressOf = (study) => ({
  done: study.states.done ?? 0,
  total: Object.values(study.states).reduce((sum, count) => sum + count, 0) + study.open_runs,
});
const progressBar = (done, total, label = "runs done") =>
  el("progress", { max: Math.max(1, total), value: done, "aria-label": label });

function waitingParts(study) {
  const elsewhere = [link("See the runs", "runs"), " or ", link(undoneWords(study), "live"), "."];
  return [
    section("Nothing to judge yet", el("p", {}, `${capital(study.reason)}. `, elsewhere)),
    mind(
      "Before it begins",
      study.notices.map((notice) => notice.text),
    ),
  ];
}

/** How many entries have each verdict, and how many of these not in every way of looking. */
const tally = (entries, verdictOf, order) =>
  el(
    "p",
    { class: "tally" },
    order.map((verdict) => {
      const those = entries.filter((entry) => verdictOf(entry) === verdict);
      const unlike = those.filter((entry) => entry.flags.some((flag) => flag.code === "sensitive")).length;
      const alone = verdict === "equivalent" ? those.filter(uncorrected).length : 0;
      const doubts = [
        unlike ? `${unlike} of them not in every way of looking` : null,
        alone ? `${alone} of them before correction only` : null,
      ].filter(Boolean);
      const more = doubts.length ? ` (${doubts.join("; ")})` : "";
      return el("span", {}, badge(verdict), ` ${those.length}${more}`);
    }),
  );

const claimLine = (claim) => ({
  label: claim.text,
  colour: "var(--ink)",
  value: claim.estimate_pp,
  low: claim.ci95_pp?.[0],
  high: claim.ci95_pp?.[1],
  all: claim.ci95_simultaneous_pp,
  verdict: claim.outcome,
  n: sidesOf(claim),
});

/** Every gain in one figure. */
function glanceSection(study) {
  const { gains } = study.analysis;
  if (!gains.length) return section("Gains", el("p", {}, "No method was compared with a baseline yet."));
  return section(
    "Every gain over plain training",
    el("p", { class: "measured" }, measuredWords(study)),
    tally(gains, (gain) => gain.verdict, ["gain", "harm", "equivalent", "inconclusive"]),
    intervalChart(gains.slice(0, MOST_LINES).map(gainLine), {
      name: "gains-in-a-figure",
      title: "Every gain with its interval",
      columns: 2,
      all: counted(study.analysis.settings.gains_in_family, "gain"),
    }),
    gains.length > MOST_LINES ? note(`The first ${MOST_LINES} of ${gains.length}; the table has all.`) : null,
  );
}

/** Lines of a figure; what is more is in the table. */
const MOST_LINES = 60;

const gainLine = (gain) => ({
  label: gainName(kdgap.study, gain),
  method: gain.method,
  value: gain.gain_pp,
  low: gain.ci95_pp?.[0],
  high: gain.ci95_pp?.[1],
  all: gain.ci95_simultaneous_pp,
  verdict: verdictText(gain),
  open: isOpen(gain),
  n: sidesOf(gain),
});

/** The seeds of both sides of a difference, as the report prints them. */
const sidesOf = ({ n, n_baseline, n_reference }) => [n, n_baseline ?? n_reference].filter(known).join(", ");

/** The arm that a gain is about, by its place among the gains. */
const armOfGain = (study, index) => study.arms.find((arm) => arm.gain === index);

function gainsSection(study) {
  if (!study.analysis.gains.length) return null;
  return section("The gains in numbers", gainTable(study), familiesNote(study));
}

function gainTable(study) {
  const { gains } = study.analysis;
  const narrow = slim();
  const place = new Map(gains.map((gain, index) => [gain, armOfGain(study, index)]));
  const method = (gain) =>
    link(methodName(gain.method), "configuration", armState(place.get(gain)), {
      "aria-label": `${methodName(gain.method)}, ${gainName(study, gain)}`,
    });
  const settings = (gain) => {
    const apart = apartWords(study, gain);
    return apart ? [" ", el("small", { class: "under" }, apart)] : null;
  };
  const corrected = (key, title, more) =>
    num(key, title, (gain) => gain[key], { show: (gain, p) => pValue(p), ...more });
  return table(
    [
      col("pair", "pair", pairName, {
        show: (gain, pair) => [
          pair,
          narrow ? [" ", el("span", { class: "under" }, method(gain)), settings(gain)] : null,
        ],
      }),
      col("method", "method", (gain) => methodName(gain.method), {
        show: (gain) => [method(gain), settings(gain)],
        raw: narrow,
      }),
      num("gain_pp", `gain (pp) with its ${confidence()} interval`, (gain) => gain.gain_pp, {
        show: (gain, value) => withInterval(value, gain.ci95_pp),
      }),
      ...ends((gain) => gain.ci95_pp),
      col("verdict", "verdict", (gain) => gain.verdict, { show: gainBadge }),
      ...referenceColumns(study),
      num("n", "n", (gain) => gain.n, LESSER),
      num("accuracy", "accuracy (%)", (gain) => gain.mean_pp, {
        show: (gain) => spread(gain.mean_pp, gain.std_pp),
        unit: "percent",
        least: true,
      }),
      corrected("p", "p", LEAST),
      corrected("p_holm", "Holm p", LESSER),
      num("seeds_needed", seedsTitle(study), (gain) => (unsettled(gain) ? gain.seeds_needed : null), {
        show: (gain) => (unsettled(gain) ? seedsText(gain.seeds_needed) : DASH),
        least: true,
      }),
      num("tried", "tried", (gain) => gain.tried, LEAST),
    ],
    gains,
    { name: "gains", caption: "Gains over plain training, in percentage points" },
  );
}

/** Whether seeds are an answer, as in the report: to what is open, and not to a lack of runs. */
const unsettled = (gain) => OPEN.includes(gain.verdict) && Boolean(gain.ci95_pp);

/** Leads to both sides of an ablation, compared. */
function ablationLink(study, name) {
  const side = (which) => study.arms.find((arm) => arm.ablation === name && arm.arm === which);
  const [a, b] = [side("changed"), side("base")];
  return a
    ? el("a", { href: kdgap.address("compare", compareState(a, b)) }, breakable(name))
    : breakable(name);
}

function ablationsSection(study) {
  const { ablations } = study.analysis;
  if (!ablations.length) return null;
  const accuracy = (side, title) =>
    num(side, title, (row) => row[side]?.mean_pp ?? null, {
      show: (row) =>
        row[side] ? `${spread(row[side].mean_pp, row[side].std_pp)} (n\u00a0=\u00a0${row[side].n})` : DASH,
      unit: "percent",
      least: true,
    });
  const narrow = slim();
  const under = (row) => (narrow ? [" ", el("small", { class: "under" }, row.change)] : null);
  const verdict = (row) => (known(row.effect_pp) ? row.verdict : "no result");
  return section(
    "Ablations",
    table(
      [
        col("name", "ablation", (row) => row.name, {
          show: (row, name) => [ablationLink(study, name), under(row)],
        }),
        col("change", "change", (row) => row.change, { raw: narrow }),
        num("effect_pp", "effect (pp): after − before", (row) => row.effect_pp, {
          show: (row, value) => withInterval(value, row.ci95_pp),
        }),
        ...ends((row) => row.ci95_pp),
        col("verdict", "verdict", verdict, { show: (row, value) => badge(value) }),
        col("slot", "of", (row) => row.slot, LEAST),
        accuracy("base", "before (%)"),
        accuracy("changed", "after (%)"),
        num("p_holm", "Holm p", (row) => row.p_holm, { show: (row, p) => pValue(p), least: true }),
      ],
      ablations,
      { name: "ablations", caption: "What one changed setting does to test accuracy" },
    ),
  );
}
