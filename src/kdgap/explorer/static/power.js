"use strict";
// What n seeds can and cannot show of each claim and gain, from the spread that was seen.
kdgap.views.power = {
  title: "Power",
  async draw(study, state) {
    if (!study.analysis)
      return [
        el("h1", {}, "Power"),
        el(
          "p",
          {},
          "No spread over seeds is known yet: ",
          el("code", {}, "kdgap plan"),
          " says what the seeds would show by the study's guess.",
        ),
      ];
    const { seeds, entries, left_out } = await kdgap.get("power");
    if (!entries.length)
      return [el("h1", {}, "Power"), el("p", {}, "No claim and no gain can be judged yet.")];
    const named = entries.map((one) => ({ ...one, ...powerName(study, one) }));
    const chosen = named.find((one) => one.key === state.get("of")) ?? named[0];
    const nearest = (wanted) =>
      seeds.reduce((best, count) => (Math.abs(count - wanted) < Math.abs(best - wanted) ? count : best));
    const n = nearest(Number(state.get("n") ?? chosen.now));
    const options = ["claim", "gain"]
      .map((kind) => ({
        group: `${kind}s`,
        options: named.filter((one) => one.kind === kind).map((one) => [one.key, one.name]),
      }))
      .filter((group) => group.options.length);
    return [
      el("h1", {}, "Power"),
      el(
        "div",
        { class: "picker" },
        choice("of", options, chosen.key, (of) => kdgap.change({ of })),
        choice(
          "seeds a side",
          seeds.map((count) => [String(count), String(count)]),
          String(n),
          (count) => kdgap.change({ n: count }),
        ),
      ),
      el("p", { class: "sentence" }, powerSentence(study, chosen, n, seeds)),
      chosen.guessed ? note("Too few seeds to see a spread: the study's guess stands in its place.") : null,
      left_out ? note(`${left_out} more are not shown here.`) : null,
      el(
        "div",
        { class: "charts" },
        powerChart(study, named, chosen, n, seeds),
        smallestChart(study, named, chosen, n, seeds),
      ),
      section(`With ${n} seeds a side`, powerTable(study, named, seeds.indexOf(n))),
    ];
  },
};

function powerName(study, entry) {
  if (entry.kind === "claim") {
    const claim = study.analysis.contrasts[entry.index];
    return { key: `claim:${claim.name}`, name: claim.text, colour: "var(--ink)" };
  }
  const gain = study.analysis.gains[entry.index];
  return {
    key: `gain:${gain.slot}`,
    name: `${pairName(gain)}, ${methodName(gain.method)}`,
    colour: colourOf(gain.method),
  };
}

/** What a comparison's test asks: for a difference, or for there being none. */
const asksFor = (one, margin) =>
  one.says === "above"
    ? { truth: `A true difference of ${margin} pp is found`, least: "difference that is found" }
    : {
        truth: `Where there truly is no difference, this is shown by ${margin} pp`,
        least: "margin that is shown",
      };

function powerSentence(study, one, n, seeds) {
  const { settings } = study.analysis;
  const index = seeds.indexOf(n);
  const asks = asksFor(one, settings.smallest_effect_pp);
  const often = `in about ${Math.round(100 * one.power[index])} of 100 studies with ${n} seeds a side (now ${one.now})`;
  const needed =
    one.needed === null ? "no affordable number of seeds would reach" : `${one.needed} would reach`;
  const least = `The smallest ${asks.least} that often is ${fixed(one.smallest[index])} pp`;
  return `${asks.truth} ${often}, corrected for the others; ${needed} ${100 * settings.power} %. ${least}.`;
}

/** One line a comparison over seeds, the chosen one in front. */
function seedsChart(entries, chosen, n, seeds, value, y, about) {
  const rows = entries.flatMap((one) =>
    seeds.map((count, index) => ({ name: one.name, kind: one.kind, seeds: count, value: value(one, index) })),
  );
  const own = rows.filter((row) => row.name === chosen.name && row.kind === chosen.kind);
  return figure(
    {
      height: 300,
      x: {
        label: "seeds a side →",
        type: "log",
        ticks: seeds.filter((count) => ![4, 6, 12].includes(count)),
        tickFormat: "d",
      },
      y: { grid: true, ...y },
      marks: [
        ...about.rules,
        Plot.ruleX([n], { stroke: "var(--soft)", strokeDasharray: "2 3" }),
        Plot.line(rows, {
          x: "seeds",
          y: "value",
          z: (row) => row.kind + row.name,
          stroke: "var(--line)",
          strokeWidth: 1.2,
          clip: true,
        }),
        Plot.line(own, { x: "seeds", y: "value", stroke: chosen.colour, strokeWidth: 2.5, clip: true }),
        Plot.dot(own, { x: "seeds", y: "value", fill: chosen.colour, r: 3, clip: true }),
        Plot.tip(
          rows,
          Plot.pointer({
            x: "seeds",
            y: "value",
            title: (row) => `${row.name}\n${row.seeds} seeds a side: ${row.value.toFixed(2)} ${about.unit}`,
          }),
        ),
      ],
    },
    { ...about, rows, half: true },
  );
}

function powerChart(study, entries, chosen, n, seeds) {
  const { settings } = study.analysis;
  return seedsChart(
    entries,
    chosen,
    n,
    seeds,
    (one, index) => 100 * one.power[index],
    { label: "↑ power (%)", domain: [0, 100] },
    {
      name: "power",
      title: "How often it succeeds, by seeds",
      unit: "%",
      rules: [Plot.ruleY([100 * settings.power], { strokeDasharray: "4 3" })],
      words: `${asksFor(chosen, settings.smallest_effect_pp).truth}, after correction. Dashed: ${100 * settings.power} %, which the study asks for; pale: the others.`,
    },
  );
}

function smallestChart(study, entries, chosen, n, seeds) {
  const { settings } = study.analysis;
  const most = Math.max(4 * settings.smallest_effect_pp, chosen.smallest[Math.min(2, seeds.length - 1)]);
  return seedsChart(
    entries,
    chosen,
    n,
    seeds,
    (one, index) => one.smallest[index],
    { label: "↑ smallest (pp)", domain: [0, most] },
    {
      name: "smallest",
      title: `The smallest ${asksFor(chosen).least}, by seeds`,
      unit: "pp",
      rules: [Plot.ruleY([settings.smallest_effect_pp], { strokeDasharray: "4 3" })],
      words: `With ${100 * settings.power} % power. Dashed: ${settings.smallest_effect_pp} pp, the smallest effect of interest.`,
    },
  );
}

function powerTable(study, entries, index) {
  const { settings } = study.analysis;
  return table(
    [
      col("kind", "kind", (one) => one.kind, LESSER),
      col("of", "of", (one) => one.name, {
        show: (one, name) => link(name, "power", { of: one.key, n: kdgap.place().state.get("n") }),
      }),
      num("power", `succeeds at ${settings.smallest_effect_pp} pp (%)`, (one) => 100 * one.power[index], {
        show: (one, value) => value.toFixed(0),
      }),
      num("smallest", `smallest at ${100 * settings.power} % (pp)`, (one) => one.smallest[index], {
        show: (one, value) => fixed(value),
      }),
      num("needed", "seeds needed", (one) => one.needed, { show: (one, value) => value ?? "too many" }),
      num("now", "seeds now", (one) => one.now, LESSER),
    ],
    entries,
    { name: "power", caption: "What so many seeds can show, by claim and gain" },
  );
}
