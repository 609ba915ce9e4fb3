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
    const named = entries.map((entry) => ({ ...entry, ...powerName(study, entry) }));
    const key = state.get("of");
    // A link may name a pair and a method alone, where one study has several settings of them.
    const chosen =
      named.find((entry) => entry.key === key) ??
      (key ? named.find((entry) => entry.key.startsWith(`${key}#`)) : named[0]);
    if (!chosen)
      return [
        el("h1", {}, "No such claim or comparison"),
        el("p", {}, `Nothing here is called “${key}”. `, link("See the power of all", "power")),
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
      sideBySide(
        [powerChart(study, named, chosen, n, seeds), smallestChart(study, named, chosen, n, seeds)],
        section(`With ${n} seeds a side`, powerTable(study, named, seeds.indexOf(n))),
      ),
    ];
  },
};

const moreLeft = (count) => note(`${count} more are not shown here.`);

function powerPicker(named, chosen, seeds, n) {
  const options = ["claim", "gain"]
    .map((kind) => ({
      group: `${kind}s`,
      options: named.filter((entry) => entry.kind === kind).map((entry) => [entry.key, entry.name]),
    }))
    .filter((group) => group.options.length);
  return el(
    "div",
    { class: "picker" },
    choice("of", "of", options, chosen.key, (of) => kdgap.change({ of })),
    choice(
      "n",
      "seeds a side",
      seeds.map((count) => [String(count), String(count)]),
      String(n),
      (count) => kdgap.change({ n: count }),
    ),
  );
}

/** What names a gain in an address: of several settings of one pair and method, each its own. */
const gainKey = (study, gain) =>
  `gain:${PAIR.map((key) => gain[key]).join("|")}${ofOneSlot(study, gain) > 1 ? `#${gain.configuration.slice(0, 12)}` : ""}`;

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

function powerSentence(study, entry, n, power, smallest) {
  const { settings } = study.analysis;
  const { truly, event, least } = entry.words;
  const often = `in about ${rounded(100 * power, 0)} of 100 studies`;
  const now = n === entry.now ? `${n} seeds a side, as now` : `${n} seeds a side (now ${entry.now})`;
  const first = truly ? `${truly}${event} ${often} with ${now}.` : `With ${now}, ${event} ${often}.`;
  const other = `${least} ${fixed(smallest)} pp`;
  const goal = `${target(study)} of 100`;
  const needed =
    entry.needed === null
      ? `No number of seeds that anybody trains reaches ${goal}; ${other} does.`
      : `${goal} need ${seedsText(entry.needed)} seeds a side, or ${other}.`;
  const family = settings[`${entry.kind}s_in_family`];
  return `${first} ${needed}${family > 1 ? ` Corrected for ${counted(family, entry.kind)}.` : ""}`;
}

/** Ticks of the seeds: those that every study has, and the last one. */
const seedTicks = (seeds) => {
  const last = seeds.at(-1);
  return [...[2, 3, 5, 10, 15, 20, 30, 50, 80, 120].filter((count) => 1.3 * count < last), last];
};

/** One line a comparison over seeds, the chosen one in front. */
function seedsChart(entries, chosen, n, seeds, value, y, about) {
  const rows = entries.flatMap((entry) =>
    seeds.map((count, index) => ({
      key: entry.key,
      name: entry.name,
      kind: entry.kind,
      seeds: count,
      [y.key]: value(entry, index),
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
    { ...about, rows: rows.map(({ key, ...row }) => row), columns: 2 },
  );
}

function powerChart(study, entries, chosen, n, seeds) {
  const { truly, event } = chosen.words;
  return seedsChart(
    entries,
    chosen,
    n,
    seeds,
    (entry, index) => 100 * entry.power[index],
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
    (entry, index) => entry.smallest[index],
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
      col("of", "of", (entry) => entry.name, {
        show: (entry, name) => link(name, "power", { of: entry.key, n: kdgap.place().state.get("n") }),
      }),
      col("kind", "kind", (entry) => entry.kind, LESSER),
      num("power", `succeeds at ${margin} pp (%)`, (entry) => 100 * entry.power[index], {
        unit: "percent",
        show: (entry, value) => rounded(value, 0),
      }),
      num("smallest", `smallest at ${target(study)} % (pp)`, (entry) => entry.smallest[index], {
        unit: "pp",
        show: (entry, value) => fixed(value),
        lesser: true,
      }),
      num("seeds_needed", seedsTitle(study), (entry) => entry.needed, {
        show: (entry, value) => seedsText(value),
      }),
      num("seeds_now", "seeds now", (entry) => entry.now, LESSER),
    ],
    entries,
    { name: "power", caption: "What so many seeds can show, by claim and gain" },
  );
}
