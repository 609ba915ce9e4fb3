"use strict";
// Who answers alike: networks of a configuration, single runs, and all seeds together.
function ensembleSection(answers) {
  const rows = sidesWithAnswers(answers).map((side) => ({ name: SIDE_NAMES[side], ...answers[side] }));
  return section(
    "All seeds together",
    table(
      [
        col("networks", "networks", (row) => row.name),
        num("count", "how many", (row) => row.runs.length),
        pct("alone", "one alone (%)", (row) => row.accuracy),
        pct("ensemble", "together (%)", (row) => row.ensemble, {
          show: (row, value) => (known(value) ? percent(value) + percents(row.ensemble_ci95) : DASH),
        }),
        ...ends((row) => row.ensemble_ci95, { of: "ensemble", unit: "percent", scale: 100 }),
        num(
          "more",
          "more (pp)",
          (row) => (known(row.ensemble) ? hundredfold(row.ensemble - row.accuracy) : null),
          {
            show: (row, value) => signed(value),
          },
        ),
      ],
      rows,
      {
        name: "ensembles",
        caption: `Accuracy of the mean probabilities of all seeds; its interval is over the draw of test images (Wilson, ${confidence()})`,
      },
    ),
  );
}

/** Who agrees with whom: mean shares of equal answers between sides, and every two networks. */
function agreementSection({ agreement: { sides, seeds, shares }, ...answers }) {
  const present = Object.keys(SIDE_NAMES).filter((side) => sides.includes(side));
  const counts = d3.rollup(
    sides,
    (same) => same.length,
    (side) => side,
  );
  const cut = present.some((side) => answers[side].runs.length > counts.get(side));
  const first = cut ? `, the first ${d3.max(counts.values())} of each kind` : "";
  const several = seeds.some((seed) => seed.includes("/"));
  const between = (first, second) => {
    const values = [];
    for (const [a, own] of sides.entries())
      for (const [b, other] of sides.entries())
        if (a !== b && own === first && other === second) values.push(shares[a][b]);
    return values.length ? d3.mean(values) : null;
  };
  const pairs = present.flatMap((first, place) =>
    present.slice(place).map((second) => ({
      name:
        first === second ? `two of ${SIDE_NAMES[first]}` : `${SIDE_NAMES[first]} and ${SIDE_NAMES[second]}`,
      share: between(first, second),
    })),
  );
  const names = seeds.map((seed, place) => `${SIDE_NAMES[sides[place]]} ${seed}`.trim());
  const cells = entriesOf(shares, names);
  const least = d3.min(cells, (cell) => cell.value);
  return section(
    "Who agrees with whom",
    el(
      "div",
      { class: "beside" },
      matrixChart(
        cells.map((cell) => ({
          ...cell,
          colour: cell.right ? "var(--band)" : "var(--method-1)",
          strength: cell.right ? 1 : (cell.value - least) / (1 - least || 1),
          shown: cell.right ? "" : rounded(100 * cell.value, 0),
          title: `${cell.down} and ${cell.across}\n${percent(cell.value)} % of the images answered alike`,
        })),
        {
          ...{ names, x: null, y: null },
          name: "agreement",
          title: "Test images answered alike, in percent",
          words: `Every two networks${first}, right or wrong. Numbers are seeds${several ? ", of student/teacher" : ""}.`,
          rows: cells.map(({ down, across, value }) => ({ first: down, second: across, alike: value })),
        },
      ),
      table(
        [col("pair", "networks", (row) => row.name), pct("alike", "answered alike (%)", (row) => row.share)],
        pairs.filter((pair) => known(pair.share)),
        {
          name: "agreement-means",
          caption:
            `Mean share of test images answered alike, over every two networks${first}` +
            (several ? "; a student beside every teacher, not its own alone" : ""),
        },
      ),
    ),
  );
}

/** How a run's answers compare with every other run's; for the view of one run. */
async function runAgreementSection(study, run, rows, at) {
  if (study.origin !== "study" || !run.test.best) return null;
  const { others, most } = await kdgap.get(`agreement/${run.number}`);
  if (!others?.length) return null;
  return section(
    "Who answers alike",
    table(
      [
        col("run", "run", (other) => describeRow(rows[other.run], at), {
          show: (other, name) => link(name, "run", { id: rows[other.run][at.id].slice(0, 16) }),
        }),
        pct("alike", "answered alike (%)", (other) => other.share),
      ],
      others,
      {
        name: "run-agreement",
        caption:
          "Test images that this run and another answer alike, right or wrong" +
          (others.length < most ? "" : `; the first ${most} runs, those of its student before others`),
      },
    ),
  );
}
