"use strict";
// Every claim at a glance: what it says, its interval, what became of it.
/** A difference with its interval, as small as a word; ends: of all that stand below each other; width: px. */
function smallInterval(row, [least, most], width = 120) {
  if (!known(row.low)) return null;
  const stretch = stretched([least, most], kdgap.study.analysis.settings.smallest_effect_pp, width - 4);
  const scale = stretch.type ? d3.scaleSymlog().constant(stretch.constant) : d3.scaleLinear();
  const place = scale.domain([least, most]).range([2, width - 2]);
  const line = (x1, x2, width, colour) =>
    svgElement("line", { x1, x2, y1: 8, y2: 8, "stroke-width": width, stroke: colour });
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  const fill = OPEN.includes(row.verdict) ? "var(--paper)" : "var(--ink)";
  const [low, high] = [place(Math.max(least, -margin)), place(Math.min(most, margin))];
  return svgElement(
    "svg",
    { width, height: 16, viewBox: `0 0 ${width} 16`, class: "small", "aria-hidden": "true" },
    svgElement("rect", { x: low, y: 0, width: Math.max(0, high - low), height: 16, fill: "var(--band)" }),
    svgElement("line", { x1: place(0), x2: place(0), y1: 0, y2: 16, stroke: "var(--soft)" }),
    line(place(row.low), place(row.high), 2.5, "var(--ink)"),
    svgElement("circle", { cx: place(row.value), cy: 8, r: 3.5, stroke: "var(--ink)", fill }),
  );
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
  const { settings } = study.analysis;
  const lines = new Map(claims.map((claim) => [claim, claimLine(claim)]));
  const drawn = [...lines.values()].filter((line) => known(line.low));
  const span = [
    Math.min(0, ...drawn.map((line) => line.low)),
    Math.max(0, ...drawn.map((line) => line.high)),
  ];
  const late = claims.filter((claim) => claim.post_hoc).length;
  const all = late === claims.length;
  const main = study.headline.claim;
  return section(
    "Claims",
    tally(claims, (claim) => claim.outcome, ["established", "contradicted", "not established"]),
    all ? el("p", {}, postHoc(claims[0]), " All of them: none was locked before the first test.") : null,
    table(
      [
        col("claim", "claim", (claim) => claim.text, {
          show: (claim, text) => [
            link(text, "claim", { name: claim.name }),
            claim.name === main && claims.length > 1
              ? [" ", el("small", { class: "under" }, "main claim")]
              : null,
            all || !claim.post_hoc ? null : [" ", postHoc(claim)],
          ],
        }),
        num("estimate_pp", "difference (pp)", (claim) => claim.estimate_pp, {
          show: (claim, value) => [
            el("span", { class: "lesser" }, smallInterval(lines.get(claim), span)),
            withInterval(value, claim.ci95_pp),
          ],
        }),
        ...ends((claim) => claim.ci95_pp),
        col("outcome", "outcome", (claim) => claim.outcome, { show: (claim, outcome) => badge(outcome) }),
        col("post_hoc", "post hoc", (claim) => String(claim.post_hoc), { raw: true }),
      ],
      claims,
      { name: "claims", caption: `Every claim with its ${confidence()} interval by itself` },
    ),
    note(`Outcomes are corrected for ${counted(settings.claims_in_family, "claim")}.`),
    disclosure(
      "sentences",
      "The claims in sentences",
      el(
        "ol",
        { class: "claims" },
        claims.map((claim, index) =>
          el(
            "li",
            { "data-key": claim.name },
            badge(claim.outcome),
            ` ${claim.text}: ${study.claims[index].summary} `,
            quoteButton(study.claims[index]),
          ),
        ),
      ),
    ),
    disclosure(
      "claims",
      "All claims in one figure",
      intervalChart([...lines.values()].slice(0, MOST_LINES), {
        name: "claims-in-a-figure",
        title: "Every claim with its interval",
        all: counted(study.analysis.settings.contrasts_in_family, "claim"),
      }),
    ),
  );
}
