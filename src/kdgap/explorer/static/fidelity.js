"use strict";
// How closely students follow their teachers, and accuracy class by class; columns in percent.
const FIDELITY = {
  top1_agreement: { title: "agreement (%)", scale: 100, digits: 2 },
  kl_t1: { title: "KL at T = 1 (nats)", scale: 1, digits: 4 },
  kl_t4: { title: "KL at T = 4 (nats)", scale: 1, digits: 4 },
  ece: { title: "calibration error (%)", scale: 100, digits: 2 },
};

/** A share in percent, without the last digits that the product invents. */
const hundredfold = (share) => (known(share) ? Number((100 * share).toPrecision(12)) : null);
const hundred = (pair) => (pair ? pair.map(hundredfold) : null);

function fidelitySection(gain) {
  if (!gain.fidelity) return section("Fidelity to the teacher", note("Not recorded."));
  const { fidelity } = gain;
  const rows = Object.entries(FIDELITY)
    .filter(([key]) => fidelity[key])
    .map(([key, look]) => ({
      ...look,
      student: fidelity[key],
      plain: fidelity.baseline?.[key],
      difference: fidelity.difference?.[key],
    }));
  const value = (row, measured) => {
    const mean = measured?.mean ?? measured?.difference;
    return known(mean) ? Number((row.scale * mean).toPrecision(12)) : null;
  };
  const pair = (row, measured) =>
    measured?.ci95?.map((end) => Number((row.scale * end).toPrecision(12))) ?? null;
  const shown = (write) => (key) => (row, value) => {
    const both = pair(row, row[key]);
    if (!known(value)) return DASH;
    return (
      write(value, row.digits) + (both ? ` [${both.map((end) => write(end, row.digits)).join(", ")}]` : "")
    );
  };
  const column = (key, title, write, more) => [
    num(key, title, (row) => value(row, row[key]), { show: shown(write)(key), ...more }),
    ...ends((row) => pair(row, row[key]), { of: key, unit: null }),
  ];
  return section(
    "Fidelity to the teacher",
    table(
      [
        col("measure", "measure", (row) => row.title),
        col("unit", "unit", (row) => (row.scale === 100 ? "percent" : "nats"), { raw: true }),
        ...column("student", "student", fixed),
        ...column("plain", "plain training", fixed),
        ...column("difference", "difference", signed, UNDER),
      ],
      rows,
      {
        name: "fidelity",
        caption: "How closely the student follows its teacher, mean over seeds with interval",
      },
    ),
  );
}

/** Accuracy by class of an arm; its difference to plain training where both were recorded. */
function classSection(differences, arm) {
  const rows = Object.entries(arm.classes)
    .filter(([, accuracy]) => accuracy)
    .map(([name, accuracy]) => ({ name, accuracy, apart: differences?.[name] }));
  if (!rows.length) return null;
  const some = rows.some((row) => row.apart);
  return section(
    "Accuracy by class",
    sideBySide(
      some ? classChart(rows, "plain training", colourOfArm(arm)) : null,
      table(
        [
          col("class", "class", (row) => row.name),
          ...classColumns("accuracy", "accuracy (%)", (row) => row.accuracy),
          ...(some ? classDifferenceColumns("against plain training (pp)") : []),
        ],
        rows,
        {
          name: "classes",
          caption: `Mean over seeds with interval; intervals of ${rows.length} classes, not corrected`,
        },
      ),
    ),
  );
}

/** An arm's accuracy by class, with its interval. */
const classColumns = (key, title, of) => [
  pct(key, title, (row) => of(row).mean, {
    show: (row) => percent(of(row).mean) + percents(of(row).ci95),
  }),
  ...ends((row) => of(row).ci95, { of: key, unit: "percent", scale: 100 }),
];

/** The difference of two arms by class, with its interval. */
const classDifferenceColumns = (title) => [
  num("difference", title, (row) => hundredfold(row.apart?.difference), {
    show: (row, value) => (row.apart ? withInterval(value, hundred(row.apart.ci95)) : DASH),
    unit: "pp",
  }),
  ...ends((row) => row.apart?.ci95, { of: "difference", scale: 100 }),
];

/** Differences by class; settled is what the interval that holds for all classes at once says. */
function classChart(rows, other, colour) {
  const lines = rows
    .filter((row) => row.apart)
    .slice(0, 40)
    .map((row) => {
      const [low, high] = hundred(row.apart.ci95) ?? [null, null];
      const all = hundred(row.apart.ci95_simultaneous);
      const differs = all !== null && (all[0] > 0 || all[1] < 0);
      return {
        ...{ label: row.name, colour, value: hundredfold(row.apart.difference), low, high, all },
        verdict: differs ? "differs" : "not shown to differ",
        open: !differs,
      };
    });
  return intervalChart(lines, {
    name: "class-differences",
    title: `Accuracy by class, minus ${other}`,
    columns: 2,
    all: `${rows.length} classes`,
  });
}
