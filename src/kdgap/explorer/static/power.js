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
    const asked = state.get("of");
    // A link may name a pair and a method alone, where one study has several settings of them.
    const chosen =
      named.find((one) => one.key === asked) ??
      (asked ? named.find((one) => one.key.startsWith(`${asked}#`)) : named[0]);
    if (!chosen)
      return [
        el("h1", {}, "No such claim or comparison"),
        el("p", {}, `Nothing here is called “${asked}”. `, link("See the power of all", "power")),
        left_out ? moreLeft(left_out) : null,
      ];
    const wanted = Number(state.get("n") ?? chosen.now);
    const n = d3.least(seeds, (count) => Math.abs(count - wanted));
    return [
      el("h1", {}, "Power"),
      powerPicker(named, chosen, seeds, n),
      el(
        "p",
        { class: "sentence" },
        powerSentence(study, chosen, n, chosen.power[seeds.indexOf(n)], chosen.smallest[seeds.indexOf(n)]),
      ),
      n === wanted ? null : note(`Shown for ${n} seeds a side, the nearest to ${state.get("n")}.`),
      chosen.guessed ? note("Too few seeds to see a spread: the study's guess stands in its place.") : null,
      left_out ? moreLeft(left_out) : null,
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

const moreLeft = (count) => note(`${count} more are not shown here.`);

function powerPicker(named, chosen, seeds, n) {
  const options = ["claim", "gain"]
    .map((kind) => ({
      group: `${kind}s`,
      options: named.filter((one) => one.kind === kind).map((one) => [one.key, one.name]),
    }))
    .filter((group) => group.options.length);
  return el(
    "div",
    { class: "picker" },
    choice("of", options, chosen.key, (of) => kdgap.change({ of })),
    choice(
      "seeds a side",
      seeds.map((count) => [String(count), String(count)]),
      String(n),
      (count) => kdgap.change({ n: count }),
    ),
  );
}

/** What names a gain in an address: of several settings of one pair and method, each its own. */
const gainKey = (study, gain) =>
  `gain:${gain.slot}${ofOneSlot(study, gain) > 1 ? `#${gain.configuration.slice(0, 12)}` : ""}`;

function powerName(study, entry) {
  if (entry.kind === "claim") {
    const claim = study.analysis.contrasts[entry.index];
    return { key: `claim:${claim.name}`, name: claim.text, colour: "var(--ink)" };
  }
  const gain = study.analysis.gains[entry.index];
  return { key: gainKey(study, gain), name: gainName(study, gain), colour: colourOf(gain.method) };
}

/** The power that a study asks for: so many of 100 studies. */
const target = (study) => Number((100 * study.analysis.settings.power).toPrecision(6));

function powerSentence(study, one, n, power, smallest) {
  const { settings } = study.analysis;
  const { truly, event, least } = one.words;
  const often = `in about ${rounded(100 * power, 0)} of 100 studies`;
  const now = n === one.now ? `${n} seeds a side, as now` : `${n} seeds a side (now ${one.now})`;
  const first = truly ? `${truly}${event} ${often} with ${now}.` : `With ${now}, ${event} ${often}.`;
  const other = `${least} ${fixed(smallest)} pp`;
  const goal = `${target(study)} of 100`;
  const needed =
    one.needed === null
      ? `No number of seeds that anybody trains reaches ${goal}; ${other} does.`
      : `${goal} need ${seedsText(one.needed)} seeds a side, or ${other}.`;
  const family = settings[`${one.kind}s_in_family`];
  return `${first} ${needed}${family > 1 ? ` Corrected for ${counted(family, one.kind)}.` : ""}`;
}

/** Ticks of the seeds: those that every study has, and the last one. */
const seedTicks = (seeds) => {
  const last = seeds.at(-1);
  return [...[2, 3, 5, 10, 15, 20, 30, 50, 80, 120].filter((count) => 1.3 * count < last), last];
};

/** One line a comparison over seeds, the chosen one in front. */
function seedsChart(entries, chosen, n, seeds, value, y, about) {
  const rows = entries.flatMap((one) =>
    seeds.map((count, index) => ({
      key: one.key,
      name: one.name,
      kind: one.kind,
      seeds: count,
      [y.key]: value(one, index),
    })),
  );
  const own = rows.filter((row) => row.key === chosen.key);
  const at = { x: "seeds", y: y.key, clip: true };
  return figure(
    {
      height: 300,
      x: {
        label: "seeds a side →",
        // A log axis leaves out labels of its own choice, this one none; of numbers this large they are one.
        type: "symlog",
        constant: 0.001,
        ticks: seedTicks(seeds),
        tickFormat: (count) => String(count),
      },
      y: { grid: true, label: y.label, domain: y.domain },
      marks: [
        ...about.rules,
        Plot.ruleX([n], { stroke: "var(--soft)", strokeDasharray: "2 3" }),
        Plot.line(rows, { ...at, z: "key", stroke: "var(--line)", strokeWidth: 1.2 }),
        Plot.line(own, { ...at, stroke: chosen.colour, strokeWidth: 2.5 }),
        Plot.dot(
          own.filter((row) => row.seeds === n),
          { ...at, fill: chosen.colour, r: 4 },
        ),
        Plot.tip(
          rows,
          Plot.pointer({
            x: "seeds",
            y: y.key,
            title: (row) => `${row.name}\n${row.seeds} seeds a side: ${fixed(row[y.key])} ${about.unit}`,
          }),
        ),
      ],
    },
    { ...about, rows: rows.map(({ key, ...row }) => row), half: true },
  );
}

function powerChart(study, entries, chosen, n, seeds) {
  const { truly, event } = chosen.words;
  return seedsChart(
    entries,
    chosen,
    n,
    seeds,
    (one, index) => 100 * one.power[index],
    { key: "power_percent", label: "↑ power (%)", domain: [0, 100] },
    {
      name: "power-by-seeds",
      title: "How often it succeeds, by seeds",
      unit: "%",
      rules: [Plot.ruleY([target(study)], { strokeDasharray: "4 3" })],
      words: `How often ${truly ? "it is shown: " : ""}${lower(truly)}${event}, after correction. Dashed: ${target(study)} %, which the study asks for; pale: the others.`,
    },
  );
}

function smallestChart(study, entries, chosen, n, seeds) {
  const { smallest_effect_pp: margin } = study.analysis.settings;
  const most = Math.max(4 * margin, chosen.smallest[Math.min(2, seeds.length - 1)]);
  const what = chosen.words.chart;
  return seedsChart(
    entries,
    chosen,
    n,
    seeds,
    (one, index) => one.smallest[index],
    { key: "smallest_pp", label: "↑ smallest (pp)", domain: [0, most] },
    {
      name: "smallest-by-seeds",
      title: `The smallest ${what} in ${target(study)} of 100 studies, by seeds`,
      unit: "pp",
      rules: [Plot.ruleY([margin], { strokeDasharray: "4 3" })],
      words: `Dashed: ${margin} pp, the smallest effect of interest; pale: the others.`,
    },
  );
}

function powerTable(study, entries, index) {
  const margin = study.analysis.settings.smallest_effect_pp;
  return table(
    [
      col("of", "of", (one) => one.name, {
        show: (one, name) => link(name, "power", { of: one.key, n: kdgap.place().state.get("n") }),
      }),
      col("kind", "kind", (one) => one.kind, LESSER),
      num("power", `succeeds at ${margin} pp (%)`, (one) => 100 * one.power[index], {
        unit: "percent",
        show: (one, value) => rounded(value, 0),
      }),
      num("smallest", `smallest at ${target(study)} % (pp)`, (one) => one.smallest[index], {
        unit: "pp",
        show: (one, value) => fixed(value),
        lesser: true,
      }),
      num("seeds_needed", seedsTitle(study), (one) => one.needed, {
        show: (one, value) => seedsText(value),
      }),
      num("seeds_now", "seeds now", (one) => one.now, LESSER),
    ],
    entries,
    { name: "power", caption: "What so many seeds can show, by claim and gain" },
  );
}
