"use strict";
// The answer first: what became of each claim and gain, and what to know before believing it.
kdgap.views.overview = {
  title: "Overview",
  async draw(study) {
    const { analysis } = study;
    const parts = [heading(study)];
    if (!analysis) {
      parts.push(section("Nothing to judge yet", el("p", {}, `${capital(study.reason)}. `, link("See the runs", "runs"), " or ", link("what is training now", "live"), ".")));
      if (study.warnings.length) parts.push(section("Before it begins", el("ul", {}, study.warnings.map((text) => el("li", {}, text)))));
      return parts;
    }
    if (analysis.contrasts.length) {
      parts.push(section("Claims", tally(analysis.contrasts.map((claim) => claim.outcome), ["established", "contradicted", "not established"]),
        el("ol", { class: "claims" }, analysis.contrasts.map((claim, number) => el("li", {},
          badge(claim.outcome), " ", postHoc(claim), " ", claim.sentence.replace(`: ${claim.outcome}; `, ": "), " ",
          link("what is behind it", "claim", { name: claim.name, n: number })))),
        bracketNote(analysis.settings)));
    }
    if (analysis.gains.length) {
      parts.push(section("Gains over plain training", tally(analysis.gains.map((gain) => gain.verdict), ["gain", "harm", "equivalent", "inconclusive"]), gainTable(study, "gains")));
      parts.push(intervalChart(analysis.gains.slice(0, 60).map(gainLine), { name: "gains", title: "Every gain with its interval", words: `Thick: ${level(analysis)} interval of each gain by itself.` }));
    } else {
      parts.push(section("Gains", el("p", {}, "No method was compared with a baseline yet.")));
    }
    if (analysis.flags.length) {
      parts.push(section("Before believing it", el("ul", { class: "mind" }, analysis.flags.map((flag) => el("li", {}, flag.text)))));
    }
    return parts;
  },
};

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const level = (analysis) => `${Number((100 * analysis.settings.confidence).toPrecision(6))} %`;

function heading(study) {
  const states = Object.entries(study.states).map(([state, count]) => el("li", {}, link(`${count.toLocaleString("en")} ${state}`, "runs", { state })));
  return el("div", { class: "lead" }, el("h1", {}, study.name), study.description ? el("p", {}, study.description) : null,
    el("ul", { class: "states" }, states.length ? states : el("li", {}, "no runs"), study.open_runs ? el("li", {}, `${study.open_runs} open until selection ends`) : null),
    study.marks.length ? el("p", { class: "marks" }, `Mind: ${study.marks.join("; ")}.`) : null);
}

function tally(found, order) {
  return el("p", { class: "tally" }, order.map((one) => [badge(one), ` ${found.filter((other) => other === one).length} `]));
}

function bracketNote(settings) {
  return el("p", { class: "note" }, `pp: percentage points of test accuracy. In brackets: the ${100 * settings.confidence} % interval of that difference by itself; what is said of it is corrected for ${counted(settings.claims_in_family, "claim")}.`);
}

const gainLine = (gain) => ({
  label: `${pairName(gain)}, ${methodName(gain.method)}`, method: gain.method, value: gain.gain_pp,
  low: gain.ci95_pp?.[0], high: gain.ci95_pp?.[1], verdict: gain.verdict,
});

/** The arm that a gain is about. */
const armOf = (study, gain) => study.arms.find((arm) => arm.role === "final" && arm.slot === gain.slot && arm.cell === gain.cell);
const baselineOf = (study, gain) => study.arms.find((arm) => arm.role === "baseline" && arm.runs.length && gain.baseline_runs.length && arm.student === gain.student && arm.n === gain.n_baseline);
const armState = (arm) => ({ teacher: arm.teacher, student: arm.student, method: arm.method, role: arm.role, variant: arm.variant || null, cell: arm.cell.slice(0, 12) });

function gainTable(study, name) {
  const { gains, settings } = study.analysis;
  return table([
    { key: "pair", title: "pair", value: pairName },
    { key: "method", title: "method", value: (gain) => methodName(gain.method), show: (gain, text) => { const arm = armOf(study, gain); return arm ? link(text, "configuration", armState(arm)) : text; } },
    { key: "n", title: "n", value: (gain) => gain.n, numeric: true, lesser: true },
    { key: "accuracy", title: "accuracy (%)", value: (gain) => gain.mean_pp, show: (gain) => spread(gain.mean_pp, gain.std_pp), numeric: true, lesser: true },
    { key: "gain_pp", title: "gain (pp)", value: (gain) => gain.gain_pp, show: (gain) => signed(gain.gain_pp), numeric: true },
    { key: "interval", title: `${level(study.analysis)} interval`, value: (gain) => gain.ci95_pp?.[0] ?? null, show: (gain) => interval(gain.ci95_pp), numeric: true },
    { key: "p", title: "p", value: (gain) => gain.p, show: (gain) => pValue(gain.p), numeric: true, lesser: true },
    { key: "p_holm", title: "Holm p", value: (gain) => gain.p_holm, show: (gain) => pValue(gain.p_holm) + (known(gain.p_holm) && gain.p_holm <= settings.alpha ? "*" : ""), numeric: true, lesser: true },
    { key: "verdict", title: "verdict", value: (gain) => gain.verdict, show: (gain) => badge(gain.verdict) },
    { key: "seeds_needed", title: "seeds needed", value: (gain) => (gain.verdict === "inconclusive" ? gain.seeds_needed : null), numeric: true, lesser: true },
    { key: "tried", title: "tried", value: (gain) => gain.tried, numeric: true, lesser: true },
  ], gains, { name, caption: "Gains over plain training, in percentage points" });
}

kdgap.views.claim = {
  title: null,
  async draw(study, state) {
    const claims = study.analysis?.contrasts ?? [];
    const claim = claims.find((one) => one.name === state.get("name")) ?? claims[Number(state.get("n"))];
    if (!claim) return [section("No such claim", el("p", {}, link("Back to the overview", "overview")))];
    const { settings, sensitivity } = study.analysis;
    const runs = await kdgap.get("runs");
    const number = new Map(runs.rows.map((row, index) => [row[0], index]));
    const terms = el("ul", {}, claim.terms.map((term) => el("li", {}, `${signed(term.weight, 2).replace(/\.?0+$/, "")} × ${term.slot} (n = ${term.n}): `,
      term.runs.filter((id) => number.has(id)).slice(0, 60).map((id, index) => [index ? ", " : "", link(`seed ${runs.rows[number.get(id)][7]}`, "run", { id: id.slice(0, 16) })]))));
    const views = sensitivity.map((view) => ({ view: view.name, ...view.contrasts.find((one) => one.name === claim.name) }));
    const own = { above: "that it is above zero", not_below: `that it is not below zero by ${settings.smallest_effect_pp} pp`, nothing: `that it is smaller than ${settings.smallest_effect_pp} pp in either direction` }[claim.says];
    return [
      el("div", { class: "lead" }, el("h1", {}, claim.text), el("p", {}, badge(claim.outcome), " ", postHoc(claim), " ", claim.sentence)),
      section("What was tested", el("p", {}, `The claim is a weighted sum of ${claim.measure === "gain" ? "gains" : "accuracies"}, and says ${own}.`), terms),
      section("The numbers", facts([
        ["estimate", `${signed(claim.estimate_pp)} pp ${interval(claim.ci95_pp)}`],
        ["p of the claim's own test", `${pValue(claim.p_claim)}; corrected for ${counted(claim.claims_in_family, "claim")} (Holm) ${pValue(claim.p_claim_holm)}`],
        ["p of its opposite", `${pValue(claim.p_against_holm)}, corrected`],
        ["seeds that its test needs", claim.seeds_needed_claim ? `${claim.seeds_needed_claim} a side, now ${claim.n_smallest}` : DASH],
      ])),
      section("Looked at otherwise", table([
        { key: "view", title: "way of looking", value: (one) => one.view },
        { key: "estimate_pp", title: "estimate (pp)", value: (one) => one.estimate_pp, show: (one) => `${signed(one.estimate_pp)} ${interval(one.ci95_pp)}`, numeric: true },
        { key: "outcome", title: "outcome", value: (one) => one.outcome, show: (one) => badge(one.outcome) },
      ], views, { name: `claim-${claim.name}`, caption: "The same claim, looked at otherwise" })),
      claim.flags.length ? section("Mind", el("ul", { class: "mind" }, claim.flags.map((flag) => el("li", {}, flag.text)))) : null,
    ];
  },
};

/** A list of what and how much. */
function facts(pairs) {
  return el("dl", { class: "facts" }, pairs.filter(Boolean).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
