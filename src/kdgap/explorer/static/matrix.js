"use strict";
// Every configuration at a glance: gains by pair and method, and a list of all there is.
kdgap.views.matrix = {
  title: "Configurations",
  async draw(study, state) {
    if (!study.arms.length) return [el("h1", {}, "Configurations"), el("p", {}, "No run is planned yet.")];
    const atOnce = state.get("interval") === "all";
    const matrix = study.analysis?.gains.length ? [matrixSection(study, state, atOnce)] : [];
    return [
      el("h1", {}, "Configurations"),
      el("div", { class: "beside roomy" }, ...matrix, armsSection(study, state)),
    ];
  },
};

/** Half of an interval that is as wide to both sides, as text; nothing without one. */
const halfWidth = (pair) => (pair ? ` ± ${rounded((pair[1] - pair[0]) / 2, 2)}` : "");

/**
 * What the matrix shows: gains over plain training, or over the reference that the study names.
 * label: what they are over; arm(entry), other(entry): its arms; level(entry): mean and spread of the
 * other one; row(entry): its pair, and what tells its baseline from others of the pair.
 */
function comparedWith(study, state) {
  const { gains, reference_gains: entries = [], settings } = study.analysis;
  const key = (slot, configuration) => JSON.stringify([slot, configuration]);
  const places = new Map(gains.map((gain, index) => [key(gain.slot, gain.configuration), index]));
  const armBy = (slot, configuration) => armOfGain(study, places.get(key(slot, configuration)));
  const arm = (entry) => armBy(entry.slot, entry.configuration);
  const row = (entry) => {
    const apart = study.gains[places.get(key(entry.slot, entry.configuration))]?.apart;
    return apart ? `${pairName(entry)}, ${apart}` : pairName(entry);
  };
  if (state.get("over") !== "reference" || !entries.length)
    return {
      ...{ name: "matrix", suffix: "gain", label: "plain training", entries: gains, arm, row },
      other: (gain) => study.arms[arm(gain)?.baseline ?? NaN],
      level: (gain) => [gain.baseline_mean_pp, gain.baseline_std_pp],
      chosen: "",
    };
  return {
    ...{ name: "matrix-over-reference", suffix: "over_reference", label: settings.reference.label },
    ...{ entries, arm, row },
    other: (entry) => armBy(entry.reference_slot, entry.reference_configuration),
    level: (entry) => [entry.reference_mean_pp, entry.reference_std_pp],
    chosen: "reference",
  };
}

function matrixSection(study, state, atOnce) {
  const { settings, reference_gains: references = [] } = study.analysis;
  const narrow = slim();
  const compared = comparedWith(study, state);
  const { entries, label, suffix } = compared;
  const bounds = (gain) => (atOnce ? gain.ci95_simultaneous_pp : gain.ci95_pp);
  const methods = [...new Set(entries.map((gain) => gain.method))];
  // A paired test of other seeds of the reference has another level, and so a row of its own.
  const group = (entry) => JSON.stringify([compared.row(entry), compared.chosen && compared.level(entry)]);
  const rows = d3.groups(entries, group).map(([, own]) => ({
    name: compared.row(own[0]),
    own,
    valued: own.find((gain) => known(gain.gain_pp)) ?? own[0],
  }));
  const of = (row, method) => row.own.filter((gain) => gain.method === method);
  const chips = (row, method) => {
    const own = of(row, method);
    return own.map((gain) =>
      gainChip(gain, compared, bounds(gain), { named: narrow, several: own.length > 1 }),
    );
  };
  const only = (row, method) => (of(row, method).length === 1 ? of(row, method)[0] : null);
  const method = (name) =>
    [
      num(
        `${name}_${suffix}_pp`,
        methodName(name),
        (row) => d3.max(of(row, name), (gain) => gain.gain_pp) ?? null,
        {
          show: (row) => (of(row, name).length ? chips(row, name) : DASH),
          raw: narrow,
        },
      ),
      ...ends((row) => (only(row, name) ? bounds(only(row, name)) : null), { of: name }),
      col(`${name}_verdict`, "verdict", (row) => only(row, name)?.verdict ?? null, { raw: true }),
    ].flat();
  const all = col("gains", "gains", (row) => row.own.length, {
    show: (row) => methods.flatMap((name) => chips(row, name)),
  });
  const level = num("other_percent", `${label} (%)`, (row) => compared.level(row.valued)[0], {
    show: (row) => levelLink(row.valued, compared),
    lesser: true,
  });
  const caption = `Gains over ${label} (pp) ± half of the ${confidence()} interval; the mark is the verdict`;
  const about = {
    name: compared.name,
    title: `Gains over ${label} (pp) ± half of the ${confidence()} interval`,
    words: `${atOnce ? `Intervals that hold for all ${entries.length} gains at once` : "The interval of each gain by itself"}; n: seeds of the method, and of ${label}. Smallest effect of interest: ${settings.smallest_effect_pp} pp.`,
  };
  return section(
    "Every gain, by pair and method",
    el(
      "div",
      { class: "picker" },
      references.length
        ? choice(
            "over",
            "gains over",
            [
              ["", "plain training"],
              ["reference", referenceOf(study).label],
            ],
            compared.chosen,
            (over) => kdgap.change({ over, sort: null }),
          )
        : null,
      choice(
        "interval",
        "interval",
        [
          ["", "of each gain by itself"],
          ["all", `holding for all ${entries.length} at once`],
        ],
        atOnce ? "all" : "",
        (interval) => kdgap.change({ interval }),
      ),
      linkButton(),
    ),
    tintLegend(settings.smallest_effect_pp),
    el(
      "div",
      { class: "matrix" },
      table(
        [col("pair", "pair", (row) => row.name), level, ...(narrow ? [all] : []), ...methods.flatMap(method)],
        rows,
        {
          name: compared.name,
          caption,
          sort: state.get("sort") ?? "",
          onstate: kdgap.note,
          tools: (sorted) =>
            figureTools(
              () =>
                wholeFigure(matrixPicture(sorted(), methods, compared, bounds), {
                  ...about,
                  legend: tintEntries(settings.smallest_effect_pp),
                }),
              about,
            ),
        },
      ),
    ),
    references.length ? familiesNote(study) : null,
    compared.chosen ? unmatchedNotes(study) : null,
  );
}

/** Where a method has no gain over the reference, and why. */
const unmatchedNotes = (study) =>
  study.analysis.flags
    .filter((flag) => ["several-references", "no-reference"].includes(flag.code))
    .map((flag) => note(`${capital(flag.text)}.`));

/** The accuracy that the gains of a pair are over, which leads to its configuration. */
function levelLink(gain, compared) {
  const text = spread(...compared.level(gain));
  const arm = compared.other(gain);
  if (!arm) return text;
  return link(text, "configuration", armState(arm), {
    "aria-label": `${text}, ${compared.label} of ${arm.teacher ? pairName(arm) : gain.student}`,
  });
}

/** What a gain's chip begins with: its verdict as a mark, its number, and half of its interval. */
const chipWords = (gain, bounds) => [
  `${MARKS[gain.verdict] ?? "·"} `,
  `${signed(gain.gain_pp)}${halfWidth(bounds)}`,
];

/** A gain as a coloured link to its configuration: filled where it is settled, else with an edge alone. */
function gainChip(gain, compared, bounds, { named, several }) {
  const arm = compared.arm(gain);
  const [mark, number] = chipWords(gain, bounds);
  const over = compared.chosen ? ` over ${compared.label}` : "";
  const words = [
    el("span", { "aria-hidden": "true" }, mark),
    el("strong", {}, number),
    el(
      "span",
      { class: "hidden" },
      ` pp, ${verdictText(gain)}, ${pairName(gain)}, ${methodName(gain.method)}${over}`,
    ),
    named ? el("small", { class: "under" }, methodName(gain.method)) : null,
    several ? el("small", { class: "under" }, settingsText(gain.parameters)) : null,
  ];
  const look = { class: `tint ${tintClass(stepOf(gain))}${isOpen(gain) ? " open" : ""}` };
  return arm ? link(words, "configuration", armState(arm), look) : el("span", look, words);
}

/** Everything that has runs, also what no gain is about. */
function armsSection(study, state) {
  const roles = [...new Set(study.arms.map((arm) => arm.role))];
  const role = roles.includes(state.get("role")) ? state.get("role") : "";
  const rows = study.arms.filter((arm) => !role || arm.role === role);
  const narrow = slim();
  const name = (arm) =>
    link(pairName(arm), "configuration", armState(arm), { "aria-label": `${arm.role}: ${armSettings(arm)}` });
  const filled = (value) => rows.some((arm) => ![null, ""].includes(value(arm)));
  const column = (key, title, value, more = {}) =>
    col(key, title, value, { ...more, raw: more.raw || !filled(value) });
  return section(
    "Every configuration",
    el(
      "div",
      { class: "picker" },
      choice("role", "role", [["", "any"], ...roles.map((name) => [name, name])], role, (role) =>
        kdgap.change({ role, page: null }),
      ),
    ),
    table(
      [
        col("pair", "pair", pairName, { show: name }),
        column("role", "role", (arm) => arm.role, UNDER),
        column("method", "method", (arm) => methodName(arm.method), narrow ? UNDER : {}),
        column("variant", "variant", variantOf, { ...UNDER, show: (arm, text) => breakable(text) }),
        column("settings", "settings", (arm) => settingsText(arm.parameters), UNDER),
        column("test", "test accuracy (%)", (arm) => arm.mean, {
          ...{ numeric: true, unit: "percent" },
          show: (arm) => spread(arm.mean, arm.std),
        }),
        column(
          "validation",
          choosesOnTest() ? "on the test images (%)" : "validation (%)",
          (arm) => arm.validation,
          {
            ...{ numeric: true, unit: "percent", scale: 100, lesser: true },
            show: (arm, share) => percent(share),
          },
        ),
        num("n", "n", (arm) => arm.n, LESSER),
        num("runs", "runs", (arm) => arm.runs.length, LESSER),
      ],
      rows,
      {
        name: "arms",
        caption: "Configurations, small students first",
        sort: state.get("arms") ?? "",
        page: Number(state.get("page") ?? 0),
        onstate: ({ sort, page }) =>
          kdgap.note({
            ...(sort === undefined ? {} : { arms: sort }),
            ...(page === undefined ? {} : { page }),
          }),
      },
    ),
  );
}
