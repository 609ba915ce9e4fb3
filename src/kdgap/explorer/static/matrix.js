"use strict";
// Every configuration at a glance: gains by pair and method, and a list of all there is.
kdgap.views.matrix = {
  title: "Configurations",
  async draw(study, state) {
    if (!study.arms.length) return [el("h1", {}, "Configurations"), el("p", {}, "No run is planned yet.")];
    const atOnce = state.get("interval") === "all";
    return [
      el("h1", {}, "Configurations"),
      study.analysis?.gains.length ? matrixSection(study, state, atOnce) : null,
      armsSection(study, state),
    ];
  },
};

/** Multiples of the smallest effect of interest at which a colour begins. */
const STEPS = [1, 2, 4, 8];

/** A number's step on the scale of colours: 0 within the smallest effect, else ±1 to ±4. */
function tintOf(value) {
  const margin = kdgap.study.analysis.settings.smallest_effect_pp;
  return Math.sign(value) * d3.bisectRight(STEPS, Math.abs(value) / margin);
}

/** The class of a step: `more-2`, `less-1`, `level`. */
const tintClass = (step) => (step === 0 ? "level" : `${step > 0 ? "more" : "less"}-${Math.abs(step)}`);

/** Half of an interval that is as wide to both sides, as text; nothing without one. */
const halfWidth = (pair) => (pair ? ` ± ${rounded((pair[1] - pair[0]) / 2, 2)}` : "");

function matrixSection(study, state, atOnce) {
  const { gains, settings } = study.analysis;
  const narrow = slim();
  const bounds = (gain) => (atOnce ? gain.ci95_simultaneous_pp : gain.ci95_pp);
  const places = new Map(gains.map((gain, index) => [gain, index]));
  const methods = [...new Set(gains.map((gain) => gain.method))];
  const rows = [...d3.group(gains, pairName)].map(([name, own]) => ({ name, own }));
  const of = (row, method) => row.own.filter((gain) => gain.method === method);
  const chips = (row, method) =>
    of(row, method).map((gain) => gainChip(study, gain, places.get(gain), bounds(gain), narrow));
  const only = (row, method) => (of(row, method).length === 1 ? of(row, method)[0] : null);
  const method = (name) =>
    [
      num(
        `${name}_gain_pp`,
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
  const plain = num("plain_percent", "plain training (%)", (row) => row.own[0].baseline_mean_pp, {
    show: (row) => plainLink(study, row.own[0], places),
    lesser: true,
  });
  return section(
    "Every gain, by pair and method",
    el(
      "div",
      { class: "picker" },
      choice(
        "interval",
        "interval",
        [
          ["", "of each gain by itself"],
          ["all", `holding for all ${gains.length} at once`],
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
        [col("pair", "pair", (row) => row.name), plain, ...(narrow ? [all] : []), ...methods.flatMap(method)],
        rows,
        {
          name: "matrix",
          caption: `Gains over plain training (pp) ± half of the ${confidence()} interval; the mark is the verdict`,
          sort: state.get("sort") ?? "",
          onstate: kdgap.note,
        },
      ),
    ),
  );
}

/** Plain training of a pair's student, which leads to it. */
function plainLink(study, gain, places) {
  const text = spread(gain.baseline_mean_pp, gain.baseline_std_pp);
  const arm = study.arms[armOfGain(study, places.get(gain))?.baseline ?? NaN];
  if (!arm) return text;
  return link(text, "configuration", armState(arm), {
    "aria-label": `${text}, plain training of ${gain.student}`,
  });
}

/** A gain as a coloured link to its configuration: filled where it is settled, else with an edge alone. */
function gainChip(study, gain, index, bounds, named) {
  const arm = armOfGain(study, index);
  const several = ofOneSlot(study, gain) > 1;
  const tint = known(gain.gain_pp) ? tintClass(tintOf(gain.gain_pp)) : "level";
  const words = [
    el("span", { "aria-hidden": "true" }, `${MARKS[gain.verdict] ?? "·"} `),
    el("strong", {}, `${signed(gain.gain_pp)}${halfWidth(bounds)}`),
    el(
      "span",
      { class: "hidden" },
      ` pp, ${verdictText(gain)}, ${pairName(gain)}, ${methodName(gain.method)}`,
    ),
    named ? el("small", { class: "under" }, methodName(gain.method)) : null,
    several ? el("small", { class: "under" }, settingsText(gain.parameters)) : null,
  ];
  const look = { class: `tint ${tint}${isOpen(gain) ? " open" : ""}` };
  return arm ? link(words, "configuration", armState(arm), look) : el("span", look, words);
}

/** What the colours mean, in the unit of the gains. */
function tintLegend(margin) {
  const number = (value) => minus(String(Number(value.toPrecision(3))));
  const signs = (sign) =>
    STEPS.map((step, index) => ({
      step: sign * (index + 1),
      text: `${sign > 0 ? "from +" : "from "}${number(sign * step * margin)}`,
    }));
  const levels = [...signs(-1).reverse(), { step: 0, text: `within ±${number(margin)}` }, ...signs(1)];
  return el(
    "ul",
    { class: "legend", "aria-label": "Colours" },
    levels.map(({ step, text }) => el("li", {}, el("span", { class: `tint ${tintClass(step)}` }, text))),
    el("li", {}, el("span", { class: "tint more-2 open" }, "edge alone: not settled")),
    el("li", {}, "pp; the smallest effect of interest is in the middle"),
  );
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
