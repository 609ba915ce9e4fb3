"use strict";
// The answer first: what became of each claim and gain, and what to know before believing it.
kdgap.views.overview = {
  title: "Overview",
  async draw(study) {
    const { analysis } = study;
    if (!analysis) return [heading(study), ...waitingParts(study)];
    return [
      heading(study),
      claimsSection(study),
      gainsSection(study),
      ablationsSection(study),
      mind(
        "Before believing it",
        analysis.flags.map((flag) => flag.text),
      ),
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
  return el(
    "div",
    { class: "lead" },
    el("h1", {}, study.name),
    study.description ? el("p", {}, study.description) : null,
    el("ul", { class: "states" }, states.length ? states : el("li", {}, "no runs")),
    done < total
      ? el(
          "p",
          {},
          progressBar(done, total),
          ` ${done} of ${counted(total, "run")} done. `,
          link("What is training now", "live"),
        )
      : null,
    study.marks.length ? el("p", { class: "marks" }, `Mind: ${study.marks.join("; ")}.`) : null,
  );
}

const progressOf = (study) => ({
  done: study.states.done ?? 0,
  total: Object.values(study.states).reduce((sum, count) => sum + count, 0) + study.open_runs,
});
const progressBar = (done, total, label = "runs done") =>
  el("progress", { max: Math.max(1, total), value: done, "aria-label": label });

function waitingParts(study) {
  const elsewhere = [link("See the runs", "runs"), " or ", link("what is training now", "live"), "."];
  return [
    section("Nothing to judge yet", el("p", {}, `${capital(study.reason)}. `, elsewhere)),
    mind("Before it begins", study.warnings),
  ];
}

const tally = (found, order) =>
  el(
    "p",
    { class: "tally" },
    order.map((one) => [badge(one), ` ${found.filter((other) => other === one).length} `]),
  );

const claimLine = (claim) => ({
  label: claim.text,
  colour: "var(--ink)",
  value: claim.estimate_pp,
  low: claim.ci95_pp?.[0],
  high: claim.ci95_pp?.[1],
  verdict: claim.outcome,
});

/** The part of a claim's sentence that follows the claim and its outcome, which stand beside it. */
function claimRest(claim) {
  const quoted = `“${claim.text.replace(/\.$/, "")}”: `;
  const rest = claim.sentence.startsWith(quoted) ? claim.sentence.slice(quoted.length) : claim.sentence;
  return rest.startsWith(`${claim.outcome}; `) ? rest.slice(claim.outcome.length + 2) : rest;
}

function claimsSection(study) {
  const claims = study.analysis.contrasts;
  if (!claims.length) {
    return section(
      "Claims",
      el(
        "p",
        {},
        "None is declared. A claim is a difference of gains or accuracies, said before the runs are seen.",
      ),
    );
  }
  const line = (claim) =>
    el(
      "li",
      {},
      badge(claim.outcome),
      " ",
      postHoc(claim),
      " ",
      link(claim.text, "claim", { name: claim.name }),
      `: ${claimRest(claim)}`,
    );
  const { settings } = study.analysis;
  const corrected = `outcomes are corrected for ${counted(settings.claims_in_family, "claim")}.`;
  return section(
    "Claims",
    tally(
      claims.map((claim) => claim.outcome),
      ["established", "contradicted", "not established"],
    ),
    el("ol", { class: "claims" }, claims.map(line)),
    note(
      `pp: percentage points of test accuracy. In brackets: the ${confidence()} interval of that difference by itself; ${corrected} Each claim leads to why it ends as it does.`,
    ),
    disclosure(
      "All claims in one figure",
      intervalChart(claims.slice(0, 60).map(claimLine), {
        name: "claims",
        title: "Every claim with its interval",

        words: `Lines: ${confidence()} interval of each difference by itself.`,
      }),
    ),
  );
}

const gainLine = (gain) => ({
  label: `${pairName(gain)}, ${methodName(gain.method)}`,
  method: gain.method,
  value: gain.gain_pp,
  low: gain.ci95_pp?.[0],
  high: gain.ci95_pp?.[1],
  verdict: gain.verdict,
});

/** The arm that a gain is about, by its place among the gains. */
const armOfGain = (study, index) => study.arms.find((arm) => arm.gain === index);

function gainsSection(study) {
  const { gains } = study.analysis;
  if (!gains.length) return section("Gains", el("p", {}, "No method was compared with a baseline yet."));
  return section(
    "Gains over plain training",
    tally(
      gains.map((gain) => gain.verdict),
      ["gain", "harm", "equivalent", "inconclusive"],
    ),
    gainTable(study),
    intervalChart(gains.slice(0, 60).map(gainLine), {
      name: "gains",
      title: "Every gain with its interval",
      words: `Lines: ${confidence()} interval of each gain by itself.`,
    }),
  );
}

function gainTable(study) {
  const { gains } = study.analysis;
  const place = new Map(gains.map((gain, index) => [gain, armOfGain(study, index)]));
  return table(
    [
      col("pair", "pair", pairName),
      col("method", "method", (gain) => methodName(gain.method), {
        show: (gain, name) =>
          link(name, "configuration", armState(place.get(gain)), {
            "aria-label": `${name}, ${pairName(gain)}`,
          }),
      }),
      num("n", "n", (gain) => gain.n, LESSER),
      num("accuracy", "accuracy (%)", (gain) => gain.mean_pp, {
        show: (gain) => spread(gain.mean_pp, gain.std_pp),
        lesser: true,
      }),
      num("gain_pp", `gain (pp) with its ${confidence()} interval`, (gain) => gain.gain_pp, {
        show: (gain, value) => withInterval(value, gain.ci95_pp),
      }),
      ...ends((gain) => gain.ci95_pp),
      num("p", "p", (gain) => gain.p, { show: (gain, p) => pValue(p), lesser: true }),
      num("p_holm", "Holm p", (gain) => gain.p_holm, { show: (gain, p) => pValue(p), lesser: true }),
      col("verdict", "verdict", (gain) => gain.verdict, { show: gainBadge }),
      num(
        "seeds_needed",
        "seeds needed",
        (gain) => (gain.verdict === "inconclusive" ? gain.seeds_needed : null),
        LESSER,
      ),
      num("tried", "tried", (gain) => gain.tried, LESSER),
    ],
    gains,
    { name: "gains", caption: "Gains over plain training, in percentage points" },
  );
}

/** Leads to both sides of an ablation, compared. */
function ablationLink(study, name) {
  const side = (which) =>
    study.arms.find((arm) => arm.role === "ablation" && arm.variant === `${name}: ${which}`);
  const [a, b] = [side("changed"), side("base")];
  return a ? link(name, "compare", compareState(a, b)) : name;
}

function ablationsSection(study) {
  const { ablations } = study.analysis;
  if (!ablations.length) return null;
  const mean = (side) => (row) => row[side]?.mean_pp ?? null;
  const shown = (side) => (row) =>
    row[side] ? `${spread(row[side].mean_pp, row[side].std_pp)} (n = ${row[side].n})` : DASH;
  return section(
    "Ablations",
    table(
      [
        col("name", "ablation", (row) => row.name, { show: (row, name) => ablationLink(study, name) }),
        col("slot", "of", (row) => row.slot, LESSER),
        col("change", "change", (row) => row.change),
        num("base", "before (%)", mean("base"), { show: shown("base"), lesser: true }),
        num("changed", "after (%)", mean("changed"), { show: shown("changed"), lesser: true }),
        num("effect_pp", "effect (pp)", (row) => row.effect_pp, {
          show: (row, value) => withInterval(value, row.ci95_pp),
        }),
        ...ends((row) => row.ci95_pp),
        num("p_holm", "Holm p", (row) => row.p_holm, { show: (row, p) => pValue(p), lesser: true }),
        col("verdict", "verdict", (row) => row.verdict, { show: (row, verdict) => badge(verdict) }),
      ],
      ablations,
      { name: "ablations", caption: "What one changed setting does to test accuracy" },
    ),
  );
}

function findingsPart(analysis) {
  if (!analysis.findings.length) return null;
  const line = (finding) => el("li", {}, `${finding.text}: `, finding.paths.join(", "));
  return disclosure(
    `What the import found odd (${analysis.findings.length})`,
    el("ul", {}, analysis.findings.slice(0, 200).map(line)),
  );
}

/** Where a study comes from: data, code, machines, and the digests of what was declared. */
function originSection(study) {
  const origin = study.analysis.provenance;
  const pairs = (found) =>
    Object.entries(found ?? {})
      .filter(([, value]) => value !== null && typeof value !== "object")
      .map(([key, value]) => `${key} ${value}`)
      .join(", ");
  const digest = (text) => el("code", {}, text);
  return section(
    "Where it comes from",
    facts([
      ["judged by", study.analysis.made_with],
      origin.source ? ["files", [`${origin.source.path}, SHA-256 `, digest(origin.source.sha256)]] : null,
      origin.data ? ["data", pairs(origin.data)] : null,
      origin.data_fingerprint ? ["data fingerprint", digest(origin.data_fingerprint.fingerprint)] : null,
      origin.recipe ? ["recipe", `${pairs(origin.recipe)}, precision ${origin.precision}`] : null,
      origin.code
        ? [
            "trained by",
            [
              `kdgap ${origin.code.kdgap}, revision ${origin.code.revision ?? "unknown"}, source `,
              digest(origin.code.source_sha256 ?? DASH),
            ],
          ]
        : null,
      origin.environments?.length ? ["machines", origin.environments.join("; ")] : null,
      origin.preregistration
        ? [
            "locked before the first test",
            ["claims, seeds and statistics, SHA-256 ", digest(origin.preregistration)],
          ]
        : null,
      origin.claims
        ? ["claims from", [`${origin.claims.name}, SHA-256 `, digest(origin.claims.sha256)]]
        : null,
    ]),
  );
}
