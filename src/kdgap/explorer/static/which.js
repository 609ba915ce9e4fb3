"use strict";
// Which method for a student: everything that was trained of it on one scale, and what to use.
kdgap.views.which = {
  title: "Which method?",
  async draw(study, state) {
    const { students } = await kdgap.get("rank");
    if (!students.length)
      return [
        el("h1", {}, "Which method?"),
        el("p", {}, "No student has results of plain training and of a method yet."),
      ];
    const asked = students.findIndex((ranking) => ranking.key === state.get("student"));
    const shown = asked >= 0 ? [students[asked]] : students;
    const options = [["", "every student"], ...students.map((ranking) => [ranking.key, ranking.key])];
    return [
      el("h1", {}, "Which method?"),
      students.length > 1
        ? el(
            "div",
            { class: "picker" },
            choice("student", "student", options, asked >= 0 ? students[asked].key : "", (student) =>
              kdgap.change({ student }),
            ),
          )
        : null,
      ...shown.map((ranking) => rankingSection(study, ranking)),
    ];
  },
};

function rankingSection(study, ranking) {
  return section(
    `For ${ranking.key}`,
    el(
      "p",
      { class: `headline ${ranking.settled ? "established" : "not-established"}` },
      el("span", { "aria-hidden": "true" }, `${ranking.settled ? "✓" : "?"} `),
      ranking.recommendation.replace(/ (%|pp)/g, "\u00a0$1"),
    ),
    el(
      "div",
      { class: "beside" },
      el("div", {}, rankingChart(ranking)),
      el("div", {}, rankingTable(study, ranking)),
    ),
    disclosure(`pairs-${ranking.key}`, "Every two compared", pairTable(ranking)),
    mind(
      "Mind",
      ranking.flags.map((flag) => flag.text),
    ),
  );
}

/** Means with their intervals on one scale; an open point is shown not to be the best. */
function rankingChart(ranking) {
  const rows = ranking.places.map((place) => ({
    name: place.name,
    method: place.method,
    mean: place.level.mean_pp,
    low: place.level.ci95_pp?.[0],
    high: place.level.ci95_pp?.[1],
    n: place.level.n,
    out: !place.may_be_best,
  }));
  const names = rows.map((row) => row.name);
  const beside = labelsBeside(names);
  const plain = rows.find((row) => row.method === "none");
  const stroke = (row) => colourOf(row.method);
  const marks = [
    plain ? Plot.ruleX([plain.mean], { stroke: "var(--soft)", strokeDasharray: "4 3" }) : null,
    Plot.ruleY(
      rows.filter((row) => known(row.low)),
      { x1: "low", x2: "high", y: "name", stroke, strokeWidth: 2.5 },
    ),
    Plot.dot(rows, {
      ...{ x: "mean", y: "name", r: 4.5, stroke, strokeWidth: 2 },
      fill: (row) => (row.out ? "var(--paper)" : stroke(row)),
      tip: true,
      title: (row) =>
        `${row.name}\n${fixed(row.mean)} %${known(row.low) ? ` [${fixed(row.low)}, ${fixed(row.high)}]` : ""}, n = ${row.n}`,
    }),
  ].filter(Boolean);
  if (!beside) marks.push(labelsAbove(rows, "name", -28));
  const printed = (row) => [
    `${fixed(row.mean)}${known(row.low) ? ` [${fixed(row.low)}, ${fixed(row.high)}]` : ""} %`,
    `${row.out ? "not the best" : "may be best"} · n = ${row.n}`,
  ];
  marks.push(wordsBeside(rows, "name", printed, beside));
  return figure(
    {
      ...accuracyFrame(
        names,
        rows.flatMap((row) => [row.low ?? row.mean, row.high ?? row.mean]),
        160,
      ),
      height: 70 + rows.length * (beside ? 34 : 56),
      marginTop: beside ? undefined : 34,
      marks,
    },
    {
      name: `which-${ranking.key}`,
      columns: 2,
      title: `Test accuracy of everything trained of ${ranking.key}`,
      words: `Points: means over seeds; lines: their ${confidence()} intervals; dashed: plain training. An open point is shown not to be the best.`,
      rows: rows.map((row) => ({
        name: row.name,
        mean_percent: row.mean,
        low_percent: row.low,
        high_percent: row.high,
        n: row.n,
      })),
    },
  );
}

/** In how many of 100 pairs of seeds the first is better, with the interval. */
const share = ({ improves, improves_ci95: ends }) => {
  if (!known(improves)) return DASH;
  const whole = (value) => rounded(100 * value, 0);
  return `${whole(improves)}${ends ? ` [${ends.map(whole).join(", ")}]` : ""}`;
};

function rankingTable(study, ranking) {
  return table(
    [
      col("name", "method", (place) => place.name, {
        show: (place, name) =>
          known(place.arm) ? link(name, "configuration", armState(study.arms[place.arm])) : name,
      }),
      num("over_plain_pp", "over plain (pp)", (place) => place.over_plain_pp, {
        show: (place, value) => (known(value) ? withInterval(value, place.over_plain_ci95_pp) : DASH),
      }),
      ...ends((place) => place.over_plain_ci95_pp, { of: "over_plain" }),
      num("over_best_pp", "minus the best of the others (pp)", (place) => place.over_best_pp, {
        show: (place, value) => withInterval(value, place.over_best_ci95_pp),
        lesser: true,
      }),
      ...ends((place) => place.over_best_ci95_pp, { of: "over_best" }),
      col("may_be_best", "may be best", (place) => (place.may_be_best ? "yes" : "no")),
      num("improves", "beats plain (%)", (place) => place.improves, {
        show: share,
        ...UNDER,
        scale: 100,
        unit: "percent",
      }),
      num("cost", "cost", (place) => place.cost, {
        show: (place, cost) => (known(cost) ? `${rounded(cost, 1)} ×` : DASH),
        ...UNDER,
      }),
      num("n", "n", (place) => place.level.n, LEAST),
    ],
    ranking.places,
    {
      name: `which-${ranking.key}`,
      caption: `Everything trained of ${ranking.key}. Minus the best of the others: holds for all at once (${confidence()}). Beats plain: share of the pairs of seeds. Cost: computation of a step beside plain training, what the method's own loss takes left out.`,
    },
  );
}

const pairTable = (ranking) =>
  table(
    [
      col("first", "first", (pair) => ranking.places[pair.first].name),
      col("second", "second", (pair) => ranking.places[pair.second].name),
      num("difference_pp", "first − second (pp)", (pair) => pair.difference_pp, {
        show: (pair, value) => withInterval(value, pair.ci95_pp),
      }),
      ...ends((pair) => pair.ci95_pp),
      col("verdict", "verdict", (pair) => pair.verdict_text, {
        show: (pair, words) => badge(pair.verdict, words),
      }),
      num("p_holm", "Holm p", (pair) => pair.p_holm, { show: (pair, p) => pValue(p), lesser: true }),
      num("improves", "first beats second (%)", (pair) => pair.improves, {
        show: share,
        ...UNDER,
        scale: 100,
        unit: "percent",
      }),
      num("seeds_needed", seedsTitle(kdgap.study), (pair) => pair.seeds_needed, {
        show: (pair, count) => seedsText(count),
        least: true,
      }),
    ],
    ranking.pairs,
    {
      name: `which-${ranking.key}-pairs`,
      caption: `Every two trained of ${ranking.key}. Corrected over ${counted(ranking.pairs.length, "pair")}; a gain is of the first over the second`,
    },
  );
