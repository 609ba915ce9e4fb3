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
        gain,
        index,
        pair: pairName(gain),
        teacher: gain.teacher ?? "none",
        method: gain.method,
        name: methodName(gain.method),
        gain_pp: gain.gain_pp,
        low: gain.ci95_pp?.[0] ?? null,
        high: gain.ci95_pp?.[1] ?? null,
        parameters: student.parameters ?? null,
        flops: student.flops ?? null,
        ratio: student.parameters && teacher.parameters ? teacher.parameters / student.parameters : null,
        gap_pp:
          known(accuracy) && known(gain.baseline_mean_pp) ? 100 * accuracy - gain.baseline_mean_pp : null,
      };
    });
}

const MARGINS = { marginLeft: 52, marginRight: 20, inset: 30 };

/** Return places in pixels, as near to the given ones as `gap` pixels between neighbours allow. */
function spreadOut(places, gap) {
  const order = d3.range(places.length).sort((i, j) => places[i] - places[j] || i - j);
  // Less the gaps before it, a place must not fall behind the last: runs that would, share their mean.
  const runs = [];
  for (const [rank, index] of order.entries()) {
    runs.push({ sum: places[index] - rank * gap, count: 1 });
    while (runs.length > 1 && runs.at(-1).sum / runs.at(-1).count < runs.at(-2).sum / runs.at(-2).count) {
      const { sum, count } = runs.pop();
      runs.at(-1).sum += sum;
      runs.at(-1).count += count;
    }
  }
  const moved = runs.flatMap(({ sum, count }) => Array(count).fill(sum / count));
  const spaced = [];
  for (const [rank, index] of order.entries()) spaced[index] = moved[rank] + rank * gap;
  return spaced;
}

/** The horizontal scale of a figure in two columns, in pixels. */
function capacityScale(values, type) {
  const [low, high] = d3.extent(values);
  const alone = type === "log" ? [low / 2, high * 2] : [low - 1, high + 1];
  const pixels =
    widthOf({ columns: Infinity }) - MARGINS.marginLeft - MARGINS.marginRight - 2 * MARGINS.inset;
  const scale = type === "log" ? d3.scaleLog() : d3.scaleLinear();
  return scale.domain(low < high ? [low, high] : alone).range([0, pixels]);
}

/** Values of an axis to write: those that are there where they are few, or else round ones. */
function capacityTicks(values, scale, type) {
  const few = [...new Set(values)].sort((a, b) => a - b);
  const [low, high] = scale.domain();
  if (few.length <= 6) return apart([few[0], few.at(-1), ...few], scale, 44);
  if (type === "linear") return apart(scale.ticks(6), scale, 44);
  const powers = d3.range(Math.floor(Math.log10(low)), Math.ceil(Math.log10(high)) + 1);
  const round = [1, 5, 2].flatMap((step) => powers.map((power) => step * 10 ** power));
  const within = apart(
    round.filter((tick) => tick >= low && tick <= high),
    scale,
    44,
  );
  return within.length > 1 ? within : [low, high];
}

const capacityPoint = ({ pair, name, gain_pp, low, high, gain }) =>
  `${pair}, ${name}\n${signed(gain_pp)} pp ${interval(known(low) ? [low, high] : null)}\n${verdictText(gain)}`;

function capacityMarks(rows, symbolOf) {
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  const stroke = (row) => colourOf(row.method);
  const fill = (row) => (isOpen(row.gain) ? "var(--paper)" : stroke(row));
  return [
    Plot.rectY([0], { y1: -margin, y2: margin, fill: "var(--band)" }),
    Plot.ruleY([0], { stroke: "currentColor" }),
    Plot.ruleX(
      rows.filter((row) => known(row.low)),
      { x: "at", y1: "low", y2: "high", stroke, strokeWidth: 2 },
    ),
    Plot.dot(rows, { x: "at", y: "gain_pp", r: 4.5, symbol: symbolOf, fill, stroke, strokeWidth: 2 }),
    // One for all points: neighbours would each show theirs.
    Plot.tip(rows, Plot.pointer({ x: "at", y: "gain_pp", title: capacityPoint })),
  ];
}

function capacityChart(rows, key, words, type) {
  const title = `Gain against ${words}`;
  if (!rows.length) return note(`${title}: not known.`);
  const methods = [...new Set(rows.map((row) => row.method))];
  const teachers = [...new Set(rows.map((row) => row.teacher))];
  const symbols = Object.keys(SYMBOLS);
  const symbolOf = (row) => symbols[teachers.indexOf(row.teacher) % symbols.length];
  const values = rows.map((row) => row[key]);
  const scale = capacityScale(values, type);
  const gap = Math.min(12, scale.range()[1] / rows.length);
  const places = spreadOut(values.map(scale), gap);
  const placed = rows.map((row, index) => ({ ...row, at: scale.invert(places[index]) }));
  const shown = {
    gap_pp: (value) => minus(String(Number(value.toFixed(2)))),
    ratio: (value) => String(Number(value.toPrecision(3))),
  };
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  return figure(
    {
      height: 280,
      marginLeft: MARGINS.marginLeft,
      marginRight: MARGINS.marginRight,
      insetLeft: MARGINS.inset,
      insetRight: MARGINS.inset,
      x: {
        type,
        domain: scale.domain(),
        label: `${words} →`,
        ticks: capacityTicks(values, scale, type),
        tickFormat: shown[key] ?? compact,
        tickSize: 6,
      },
      y: { label: "↑ gain (pp)", grid: true, nice: true },
      marks: capacityMarks(placed, symbolOf),
    },
    {
      name: `capacity-${key}`,
      title,
      words: `Lines: ${confidence()} interval of each gain by itself. The band is smaller than ±${margin} pp, the smallest effect of interest; an open point is not settled. Points that would touch stand beside each other.`,
      rows: rows.map(capacityRow),
      columns: Infinity,
      legend: [
        ...methods.map((method) => ({ name: methodName(method), method })),
        ...(teachers.length > 1
          ? teachers.map((teacher) => ({
              name: `teacher ${teacher}`,
              symbol: symbolOf({ teacher }),
            }))
          : []),
      ],
    },
  );
}

/** A point in a CSV. */
const capacityRow = ({ pair, name, gain_pp, low, high, gain, parameters, flops, ratio, gap_pp }) => ({
  ...{ pair, method: name, gain_pp, low_pp: low, high_pp: high, verdict: gain.verdict },
  ...{ parameters, flops, ratio, gap_pp },
});

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
      num("parameters", "parameters", (row) => row.parameters, { show: (row, value) => compact(value) }),
      num("flops", "FLOPs", (row) => row.flops, { show: (row, value) => compact(value), lesser: true }),
      num("ratio", "teacher / student", (row) => row.ratio, {
        show: (row, value) => fixed(value, 1),
        lesser: true,
      }),
      num("gap_pp", "gap (pp)", (row) => row.gap_pp, { show: (row, value) => signed(value), lesser: true }),
      num("gain_pp", "gain (pp)", (row) => row.gain_pp, {
        show: (row, value) => withInterval(value, known(row.low) ? [row.low, row.high] : null),
      }),
      ...ends((row) => [row.low, row.high], { of: "gain" }),
      col("verdict", "verdict", (row) => row.gain.verdict, {
        show: (row) => gainBadge(row.gain),
        lesser: true,
      }),
    ],
    rows,
    {
      name: "capacity",
      caption:
        "Gains by capacity of the student and gap: the teacher that taught minus the plainly trained students",
    },
  );
