"use strict";
// How closely students follow their teachers, and accuracy class by class.
const FIDELITY = {
  top1_agreement: ["agreement (%)", 100, 2],
  kl_t1: ["KL at T = 1 (nats)", 1, 4],
  kl_t4: ["KL at T = 4 (nats)", 1, 4],
  ece: ["calibration error (%)", 100, 2],
};

function fidelitySection(gain) {
  if (!gain.fidelity) return section("Fidelity to the teacher", note("Not recorded."));
  const { fidelity } = gain;
  const rows = Object.entries(FIDELITY)
    .filter(([key]) => fidelity[key])
    .map(([key, [title, scale, digits]]) => ({
      title,
      scale,
      digits,
      own: fidelity[key],
      plain: fidelity.baseline?.[key],
      difference: fidelity.difference?.[key],
    }));
  const ends = (row, pair, write) =>
    pair ? ` [${pair.map((end) => write(row.scale * end, row.digits)).join(", ")}]` : "";
  const shown = (row, one) =>
    one ? fixed(row.scale * one.mean, row.digits) + ends(row, one.ci95, fixed) : DASH;
  const apart = (row) =>
    row.difference
      ? signed(row.scale * row.difference.difference, row.digits) + ends(row, row.difference.ci95, signed)
      : DASH;
  return section(
    "Fidelity to the teacher",
    table(
      [
        col("measure", "measure", (row) => row.title),
        num("student", "student", (row) => row.own.mean * row.scale, { show: (row) => shown(row, row.own) }),
        num("plain", "plain training", (row) => (row.plain ? row.plain.mean * row.scale : null), {
          show: (row) => shown(row, row.plain),
        }),
        num(
          "difference",
          "difference",
          (row) => (row.difference ? row.difference.difference * row.scale : null),
          { show: apart, lesser: true },
        ),
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
    .filter(([, one]) => one)
    .map(([name, one]) => ({ name, one, apart: differences?.[name] }));
  if (!rows.length) return null;
  const some = rows.some((row) => row.apart);
  return section(
    "Accuracy by class",
    some ? classChart(rows, "plain training", arm.method) : null,
    table(
      [
        col("class", "class", (row) => row.name),
        num("accuracy", "accuracy (%)", (row) => 100 * row.one.mean, {
          show: (row) => percent(row.one.mean) + percents(row.one.ci95),
        }),
        ...(some
          ? [
              num(
                "difference",
                "against plain training (pp)",
                (row) => (row.apart ? 100 * row.apart.difference : null),
                { show: (row) => classApart(row.apart) },
              ),
            ]
          : []),
      ],
      rows,
      {
        name: "classes",
        caption: `Mean over seeds with interval; intervals of ${rows.length} classes, not corrected`,
      },
    ),
  );
}

const hundred = (pair) => (pair ? pair.map((end) => 100 * end) : null);
const classApart = (apart) =>
  apart ? `${signed(100 * apart.difference)}${apart.ci95 ? ` ${interval(hundred(apart.ci95))}` : ""}` : DASH;

/** Differences by class, with intervals that hold for all classes at once. */
function classChart(rows, other, method) {
  const lines = rows
    .filter((row) => row.apart)
    .slice(0, 40)
    .map((row) => {
      const [low, high] = hundred(row.apart.ci95_simultaneous) ?? [null, null];
      return {
        label: row.name,
        method,
        value: 100 * row.apart.difference,
        low,
        high,
        verdict: low > 0 || high < 0 ? "differs" : "not established",
      };
    });
  return intervalChart(lines, {
    name: "class-differences",
    title: `Accuracy by class, minus ${other}`,
    words: `Lines hold for all ${rows.length} classes at once.`,
  });
}
