"use strict";
// One claim: what became of it, why, and the runs behind it.
kdgap.views.claim = {
  title: null,
  under: "overview",
  async draw(study, state) {
    const claims = study.analysis?.contrasts ?? [];
    const named = claims.findIndex((claim) => claim.name === state.get("name"));
    const index = named >= 0 ? named : Number(state.get("n") ?? NaN);
    const claim = claims[index];
    if (!claim) return [el("h1", {}, "No such claim"), el("p", {}, link("Back to the overview", "overview"))];
    const own = study.claims[index];
    const { arms: numbers, reasons, words } = own;
    const arms = numbers.map((number) => (number === null ? null : study.arms[number]));
    const documents = await Promise.all(arms.filter(Boolean).map((arm) => kdgap.get(`arm/${arm.number}`)));
    const runs = await kdgap.get("runs");
    const later = index + 1 < claims.length ? claims[index + 1] : null;
    return [
      el(
        "div",
        { class: "lead" },
        el("h1", {}, claim.text),
        el("p", { class: "sentence" }, badge(claim.outcome), " ", postHoc(claim), " ", capital(own.summary)),
        el("p", { class: "tools" }, quoteButton(own)),
      ),
      section(
        "Why",
        sideBySide(
          [
            el(
              "ul",
              { class: "reasons" },
              reasons.map((text) => el("li", {}, text)),
            ),
            claim.post_hoc
              ? note("Post hoc: this claim, or how it is judged, was not locked before the first test.")
              : null,
          ],
          partsChart(study, claim, arms),
        ),
      ),
      section(
        "Every seed",
        sideBySide(
          seedChart(
            documents.map((arm, place) => seedGroup(arm, termName(claim, arms, place))),
            {
              name: `seeds-${claim.name}`,
              title: "Test accuracy of every seed in the claim",
              columns: 2,
            },
          ),
          [el("h3", {}, "What was tested"), whatWasTested(claim, words), termList(claim, arms, runs)],
        ),
      ),
      sideBySide(section("The numbers", claimFacts(study, claim, own)), sensitivitySection(study, claim)),
      mind(
        "Mind",
        claim.flags.map((flag) => flag.text),
      ),
      el(
        "p",
        { class: "onward" },
        link("All claims", "overview"),
        later ? [" · next: ", link(later.text, "claim", { name: later.name })] : null,
      ),
    ];
  },
};

const weightText = (weight) => `${signed(weight, 4).replace(/\.?0+$/, "")} ×`;

function termName(claim, arms, place) {
  const present = arms.map((arm, index) => [arm, claim.terms[index]]).filter(([arm]) => arm);
  return `${weightText(present[place][1].weight)} ${armName(present[place][0])}`;
}

/** The gains that a claim is made of, and the claim. */
function partsChart(study, claim, arms) {
  const gains =
    claim.measure === "gain"
      ? [...new Set(arms.filter((arm) => arm && known(arm.gain)).map((arm) => arm.gain))]
      : [];
  const lines = [
    ...gains.map((gain) => gainLine(study.analysis.gains[gain])),
    { ...claimLine(claim), label: gains.length ? "the claim: their weighted sum" : claim.text },
  ];
  return intervalChart(lines, {
    name: `claim-${claim.name}`,
    title: gains.length ? "The gains in the claim, and the claim" : "The claim with its interval",
    columns: 2,
    all: "of its kind",
  });
}

function whatWasTested(claim, words) {
  const sum = claim.measure === "gain" ? "gains over plain training" : "accuracies";
  return el("p", {}, `The claim is a weighted sum of ${sum}, and says ${words.says}.`);
}

function termList(claim, arms, runs) {
  const number = new Map(runs.rows.map((row, index) => [row[0], index]));
  const seed = runs.columns.indexOf("seed");
  const seeds = (term) =>
    term.runs
      .filter((id) => number.has(id))
      .slice(0, 100)
      .map((id, index) => [
        index ? ", " : "",
        link(
          `seed ${runs.rows[number.get(id)][seed]}`,
          "run",
          { id: id.slice(0, 16) },
          { "aria-label": `${term.slot}, seed ${runs.rows[number.get(id)][seed]}` },
        ),
      ]);
  return el(
    "ul",
    {},
    claim.terms.map((term, place) =>
      el(
        "li",
        {},
        `${weightText(term.weight)} `,
        arms[place] ? link(term.slot, "configuration", armState(arms[place])) : term.slot,
        ` (n = ${term.n}): `,
        term.runs.length ? seeds(term) : "no runs",
      ),
    ),
  );
}

const claimFacts = (study, claim, { words, tests_difference: testsDifference }) =>
  facts([
    [
      "estimate",
      `${signed(claim.estimate_pp)} pp ${claim.ci95_pp ? interval(claim.ci95_pp) : "without an interval"}`,
    ],
    known(claim.se_pp)
      ? ["standard error", `${fixed(claim.se_pp, 3)} pp with ${fixed(claim.df, 1)} degrees of freedom`]
      : null,
    known(claim.p_claim)
      ? [
          words.test,
          `${pValue(claim.p_claim)}; corrected for ${counted(claim.claims_in_family, "claim")} (Holm) ${pValue(claim.p_claim_holm)}`,
        ]
      : null,
    // Of a claim that something is above zero it is the same two-sided p.
    !testsDifference && known(claim.p_against_holm)
      ? ["p of its opposite", `${pValue(claim.p_against_holm)}, corrected (Holm)`]
      : null,
    [
      seedsTitle(study),
      claim.ci95_pp
        ? [
            `${seedsText(claim.seeds_needed_claim)}${claim.seeds_needed_claim === null ? "" : " a side"}, now ${claim.n_smallest}; `,
            link("see its power", "power", { of: `claim:${claim.name}` }),
          ]
        : DASH,
    ],
  ]);

function sensitivitySection(study, claim) {
  const own = (view) => view.contrasts.find((claimed) => claimed.name === claim.name);
  const views = study.analysis.sensitivity.filter(own).map((view) => ({ view: view.name, ...own(view) }));
  if (!views.length) return null;
  return section(
    "With other weights or another test",
    table(
      [
        col("view", "way of looking", (row) => row.view),
        num("estimate_pp", "estimate (pp)", (row) => row.estimate_pp, {
          show: (row, value) => withInterval(value, row.ci95_pp),
        }),
        ...ends((row) => row.ci95_pp),
        col("outcome", "outcome", (row) => row.outcome, { show: (row) => badge(row.outcome) }),
        num("p_claim_holm", "Holm p", (row) => row.p_claim_holm, {
          show: (row, p) => pValue(p),
          lesser: true,
        }),
      ],
      [{ view: "as declared", ...claim }, ...views],
      { name: `claim-${claim.name}-otherwise`, caption: "The same claim, judged in other ways" },
    ),
  );
}
