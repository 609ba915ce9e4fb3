"use strict";
// Gains against how large the student is, and how far ahead its teacher.
kdgap.views.capacity = {
  title: "Capacity",
  async draw(study) {
    const rows = capacityRows(study);
    if (!rows.length) return [el("h1", {}, "Capacity"), el("p", {}, "No gain is known yet.")];
    const axes = [
      ["parameters", "the student's parameters", "log"],
      ["flops", "the student's FLOPs for one image", "log"],
      ["gap_pp", "teacher minus plain student (pp)", "linear"],
      ["ratio", "teacher's parameters over the student's", "log"],
    ];
    return [
      el("h1", {}, "Capacity"),
      el(
        "p",
        {},
        "Does a larger student gain more? A trend in these figures is no test: a claim, declared as a difference of gains, is. ",
        link("See the claims", "overview"),
        ".",
      ),
      el(
        "div",
        { class: "charts" },
        axes.map(([key, words, type]) =>
          capacityChart(
            rows.filter((row) => known(row[key])),
            key,
            words,
            type,
          ),
        ),
      ),
      section("In numbers", capacityTable(study, rows)),
    ];
  },
};

function capacityRows(study) {
  return (study.analysis?.gains ?? [])
    .map((gain, index) => ({ gain, index }))
    .filter(({ gain }) => known(gain.gain_pp))
    .map(({ gain, index }) => {
      const student = study.models[gain.student] ?? {};
      const teacher = study.models[gain.teacher] ?? {};
      const accuracy = gain.fidelity?.teacher_accuracy;
      return {
        index,
        pair: pairName(gain),
        teacher: gain.teacher,
        method: gain.method,
        name: methodName(gain.method),
        gain_pp: gain.gain_pp,
        low: gain.ci95_pp?.[0] ?? null,
        high: gain.ci95_pp?.[1] ?? null,
        verdict: gain.verdict,
        parameters: student.parameters ?? null,
        flops: student.flops ?? null,
        ratio: student.parameters && teacher.parameters ? teacher.parameters / student.parameters : null,
        gap_pp:
          known(accuracy) && known(gain.baseline_mean_pp) ? 100 * accuracy - gain.baseline_mean_pp : null,
      };
    });
}

function capacityChart(rows, key, words, type) {
  const title = `Gain against ${words}`;
  if (!rows.length) return note(`${title}: not known.`);
  const methods = [...new Set(rows.map((row) => row.method))];
  // Points of one place stand beside each other, in pixels.
  const places = d3.group(rows, (row) => row[key]);
  const marks = rows.flatMap((row) => {
    const here = places.get(row[key]);
    const dx = 8 * (here.indexOf(row) - (here.length - 1) / 2);
    const colour = colourOf(row.method);
    return [
      Plot.ruleX([row], { x: key, y1: "low", y2: "high", dx, stroke: colour, strokeWidth: 2 }),
      Plot.dot([row], {
        x: key,
        y: "gain_pp",
        dx,
        r: 4.5,
        fill: OPEN.includes(row.verdict) ? "var(--paper)" : colour,
        stroke: colour,
        strokeWidth: 2,
        tip: true,
        title: (one) =>
          `${one.pair}, ${one.name}\n${signed(one.gain_pp)} pp ${interval(known(one.low) ? [one.low, one.high] : null)}\n${one.verdict}`,
      }),
    ];
  });
  const ticks = places.size <= 6 ? [...places.keys()].sort((a, b) => a - b) : 5;
  const shown = { gap_pp: (value) => fixed(value), ratio: (value) => fixed(value, 1) }[key] ?? size;
  return figure(
    {
      height: 280,
      insetLeft: 30,
      insetRight: 30,
      x: { type, label: `${words} →`, ticks, tickFormat: shown, tickSize: 6 },
      y: { label: "↑ gain (pp)", grid: true, nice: true },
      marks: [Plot.ruleY([0], { stroke: "currentColor" }), ...marks],
    },
    {
      name: `capacity-${key}`,
      title,
      words: `Lines: ${confidence()} interval of each gain by itself; an open point is not settled.`,
      rows,
      half: true,
      legend: methods.map((method) => ({ name: methodName(method), method })),
    },
  );
}

const capacityTable = (study, rows) =>
  table(
    [
      col("pair", "pair", (row) => row.pair),
      col("method", "method", (row) => row.name, {
        show: (row, name) =>
          link(name, "configuration", armState(armOfGain(study, row.index)), {
            "aria-label": `${name}, ${row.pair}`,
          }),
      }),
      num("parameters", "parameters", (row) => row.parameters, { show: (row, value) => size(value) }),
      num("flops", "FLOPs", (row) => row.flops, { show: (row, value) => size(value), lesser: true }),
      num("ratio", "teacher / student", (row) => row.ratio, {
        show: (row, value) => fixed(value, 1),
        lesser: true,
      }),
      num("gap_pp", "gap (pp)", (row) => row.gap_pp, { show: (row, value) => signed(value), lesser: true }),
      num("gain_pp", "gain (pp)", (row) => row.gain_pp, {
        show: (row, value) => withInterval(value, known(row.low) ? [row.low, row.high] : null),
      }),
      ...ends((row) => [row.low, row.high]),
      col("verdict", "verdict", (row) => row.verdict, {
        show: (row, verdict) => badge(verdict),
        lesser: true,
      }),
    ],
    rows,
    { name: "capacity", caption: "Gains by capacity of the student and gap to the teacher" },
  );
