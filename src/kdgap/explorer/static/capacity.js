"use strict";
// Gains against how large the student is, and how far ahead its teacher.
kdgap.views.capacity = {
  title: "Capacity",
  async draw(study) {
    const gains = (study.analysis?.gains ?? []).filter((gain) => known(gain.gain_pp));
    if (!gains.length) return [section("Capacity", el("p", {}, "No gain is known yet."))];
    const rows = gains.map((gain) => ({
      pair: pairName(gain), method: gain.method, name: methodName(gain.method), gain_pp: gain.gain_pp, low: gain.ci95_pp?.[0] ?? gain.gain_pp, high: gain.ci95_pp?.[1] ?? gain.gain_pp, verdict: gain.verdict,
      parameters: study.models[gain.student]?.parameters ?? null, flops: study.models[gain.student]?.flops ?? null,
      gap_pp: known(gain.fidelity?.teacher_accuracy) && known(gain.baseline_mean_pp) ? 100 * gain.fidelity.teacher_accuracy - gain.baseline_mean_pp : null,
    }));
    const charts = [
      ["parameters", "the student's parameters", "log"], ["flops", "the student's FLOPs for one image", "log"],
      ["gap_pp", "teacher minus plain student (pp)", "linear"],
    ].map(([key, words, type]) => capacityChart(rows.filter((row) => known(row[key])), key, words, type));
    return [
      el("h1", {}, "Capacity"), el("p", {}, "Does a larger student gain more? A trend in these figures is no test: a claim, declared as a difference of gains, is. ", link("See the claims", "overview"), "."),
      el("div", { class: "charts" }, charts), section("In numbers", table([
        { key: "pair", title: "pair", value: (row) => row.pair }, { key: "method", title: "method", value: (row) => row.name },
        { key: "parameters", title: "parameters", value: (row) => row.parameters, show: (row, value) => size(value), numeric: true },
        { key: "flops", title: "FLOPs", value: (row) => row.flops, show: (row, value) => size(value), numeric: true, lesser: true },
        { key: "gap_pp", title: "gap (pp)", value: (row) => row.gap_pp, show: (row, value) => signed(value), numeric: true },
        { key: "gain_pp", title: "gain (pp)", value: (row) => row.gain_pp, show: (row) => `${signed(row.gain_pp)} ${interval([row.low, row.high])}`, numeric: true },
      ], rows, { name: "capacity", caption: "Gains by capacity of the student and gap to the teacher" })),
    ];
  },
};

function capacityChart(rows, key, words, type) {
  if (!rows.length) return el("p", { class: "note" }, `${capital(words)}: not known.`);
  // Points of one x stand beside each other: each method a little to a side, in pixels.
  const methods = [...new Set(rows.map((row) => row.method))];
  const beside = (method) => 6 * (methods.indexOf(method) - (methods.length - 1) / 2);
  const box = figure({
    height: 280, marginBottom: 42, x: { type, label: `${words} →`, nice: true, ...(type === "log" ? { tickFormat: "~s", ticks: 4 } : {}) },
    y: { label: "↑ gain (pp)", grid: true, nice: true },
    marks: [Plot.ruleY([0]), ...methods.flatMap((method) => {
      const own = rows.filter((row) => row.method === method);
      return [
        Plot.ruleX(own, { x: key, y1: "low", y2: "high", dx: beside(method), stroke: colourOf(method), strokeWidth: 2 }),
        Plot.dot(own, { x: key, y: "gain_pp", dx: beside(method), r: 4.5, fill: colourOf(method), tip: true, title: (row) => `${row.pair}, ${row.name}\n${signed(row.gain_pp)} pp ${interval([row.low, row.high])}\n${row.verdict}` }),
      ];
    })],
  }, { name: `capacity-${key}`, title: `Gain against ${words}`, words: "With the interval of each gain by itself.", rows, width: 520 });
  box.prepend(legend(methods.map((method) => ({ name: methodName(method), method }))));
  return box;
}
