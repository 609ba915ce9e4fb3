"use strict";
// What n seeds can and cannot show, from the spread that was seen.
kdgap.views.power = {
  title: "Power",
  async draw(study, state) {
    const power = study.power ?? [];
    if (!power.length) return [section("Power", el("p", {}, "No spread over seeds is known yet: `kdgap plan` says what it would show by the study's guess."))];
    const { settings } = study.analysis;
    const counts = power[0].seeds;
    const chosen = counts.reduce((best, count) => (Math.abs(count - Number(state.get("n") ?? 5)) < Math.abs(best - Number(state.get("n") ?? 5)) ? count : best));
    const index = counts.indexOf(chosen);
    const lines = power.flatMap((one) => counts.map((count, place) => ({ name: `${pairName(one)}, ${methodName(one.method)}`, method: one.method, seeds: count, power: 100 * one.power[place] })));
    return [
      el("h1", {}, "Power"),
      el("p", {}, `A true gain of ${settings.smallest_effect_pp} pp, the smallest of interest, is found in so many of 100 studies with n seeds a side, after correction for ${counted(settings.gains_in_family, "gain")}.`),
      figure({ height: 300, x: { label: "seeds a side →", type: "log", ticks: counts, tickFormat: "d" }, y: { label: "↑ power (%)", domain: [0, 100], grid: true },
        marks: [Plot.ruleY([100 * settings.power], { strokeDasharray: "4 3" }), Plot.ruleX([chosen], { stroke: "var(--soft)" }), Plot.line(lines, { x: "seeds", y: "power", z: "name", stroke: (one) => colourOf(one.method), strokeWidth: 1.8 }), Plot.tip(lines, Plot.pointer({ x: "seeds", y: "power", title: (one) => `${one.name}\n${one.seeds} seeds: ${one.power.toFixed(0)} %` }))] },
      { name: "power", title: "Power by seeds", words: `Dashed: ${100 * settings.power} %, which the study asks for.`, rows: lines }),
      choice("seeds a side", counts.map((count) => [String(count), String(count)]), String(chosen), (n) => kdgap.change({ n })),
      section(`With ${chosen} seeds a side`, table([
        { key: "pair", title: "pair", value: pairName }, { key: "method", title: "method", value: (one) => methodName(one.method) },
        { key: "power", title: `finds ${settings.smallest_effect_pp} pp (%)`, value: (one) => 100 * one.power[index], show: (one, value) => value.toFixed(0), numeric: true },
        { key: "smallest", title: `found with ${100 * settings.power} % (pp)`, value: (one) => one.smallest[index], show: (one, value) => fixed(value), numeric: true },
        { key: "needed", title: "seeds needed", value: (one) => one.needed, show: (one, value) => value ?? "too many", numeric: true },
      ], power, { name: "power", caption: "What so many seeds can show, by gain" })),
    ];
  },
};
