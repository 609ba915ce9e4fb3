"use strict";
// What networks answered, image by image: confusions, calibration, disagreement, agreement, ensembles.
kdgap.views.predictions = {
  title: "Predictions",
  async draw(study, state) {
    const heading = el("h1", {}, "Predictions");
    const finals = study.arms.filter((arm) => arm.role === "final" && arm.n > 0);
    if (study.origin !== "study")
      return [heading, el("p", {}, "Result files of others hold no predictions of single images.")];
    if (!finals.length) return [heading, el("p", {}, "No distilled student has been tested yet.")];
    const asked = findArm(study, state);
    const arm = finals.includes(asked) ? asked : finals[0];
    const answers = await kdgap.get(`answers/${arm.number}`);
    const picked = choice(
      "arm",
      "configuration",
      finals.map((other) => [String(other.number), armName(other)]),
      String(arm.number),
      (number) => {
        location.hash = kdgap.address("predictions", armState(study.arms[Number(number)]));
      },
    );
    const head = [
      heading,
      el("div", { class: "picker" }, picked),
      el("p", { class: "onward" }, link("Its gain and every seed", "configuration", armState(arm))),
    ];
    if (answers.reason)
      return [
        ...head,
        el("p", {}, `There is nothing to show: ${answers.reason}.`),
        note("Runs that are tested from now on keep what their networks answer."),
      ];
    const own = await kdgap.get(`arm/${arm.number}`);
    return [
      ...head,
      el("p", { class: "sentence" }, answersSentence(answers)),
      confusionSection(answers),
      classSection(answers.class_differences, own),
      sideBySide(reliabilitySection(study, answers, arm), teacherSection(answers)),
      await imagesSection(answers, arm),
      ensembleSection(answers),
      agreementSection(answers),
    ];
  },
};

const SIDE_NAMES = { teacher: "teacher", plain: "plain training", distilled: "distilled" };

/** What changed, in one sentence: means over seeds of counted images. */
function answersSentence({ images, classes, pairs, outcomes, plain_outcomes: beside, left_out: shown }) {
  const many = (count) => rounded(count, 1);
  const parts = [`${images.toLocaleString("en")} test images.`];
  const most = pairs.find((pair) => known(pair.plain));
  if (most)
    parts.push(
      `The confusion that changed most: ${classes[most.label]} taken for ${classes[most.answer]}, ` +
        `${many(most.plain)} images of plain students and ${many(most.distilled)} of distilled ones, on average.`,
    );
  if (outcomes && beside) {
    const agree = (shares) => percent(shares.both_right + shares.both_wrong_alike);
    parts.push(
      `Distilled students answer ${agree(outcomes)} % of the images as their teacher does, plain ones ${agree(beside)} %.`,
    );
  }
  if (shown) parts.push(`${shown} Accuracy by class is of all.`);
  return parts.join(" ");
}

/** Cells of a square matrix. rows: {down, across, value, strength in [0, 1], colour}. */
function matrixChart(cells, { names, x, y, digits = 0, ...about }) {
  const size = Math.min(620, columnRoom(3));
  const longest = Math.max(...names.map((name) => name.length));
  const margin = Math.min(130, 22 + 6.4 * longest);
  const crowded = (size - margin) / names.length < 30;
  return figure(
    {
      width: size,
      height: size - margin + 46 + (crowded || longest > 4 ? Math.min(90, 6 * longest) : 0),
      marginLeft: margin,
      marginBottom: longest > 2 ? Math.min(110, 40 + 5 * longest) : 42,
      x: { label: x, domain: names, tickRotate: longest > 2 ? -45 : 0, labelAnchor: "right" },
      y: { label: y, domain: names, labelAnchor: "top" },
      marks: [
        Plot.cell(cells, {
          x: "across",
          y: "down",
          inset: 0.5,
          fill: "colour",
          fillOpacity: (cell) => 0.75 * cell.strength,
          stroke: "var(--line)",
          strokeWidth: 0.5,
          tip: true,
          title: "title",
        }),
        crowded
          ? null
          : Plot.text(
              cells.filter((cell) => cell.shown),
              { x: "across", y: "down", text: (cell) => cell.shown, fontSize: 11, fill: "var(--ink)" },
            ),
      ].filter(Boolean),
    },
    { ...about, columns: 3 },
  );
}

/** Every entry of a matrix, with the names of its row and column. */
const entriesOf = (matrix, names) =>
  matrix.flatMap((row, down) =>
    row.map((value, across) => ({ down: names[down], across: names[across], value, right: down === across })),
  );

function confusionSection({ matrix, classes, pairs, plain }) {
  const figures = matrix
    ? [
        matrix.plain ? countsChart(matrix.plain, classes, "plain") : null,
        countsChart(matrix.distilled, classes, "distilled"),
        matrix.plain ? changeChart(matrix, classes) : null,
      ]
    : [];
  const rows = pairs.map((pair) => ({
    ...pair,
    name: `${classes[pair.label]} taken for ${classes[pair.answer]}`,
    change: known(pair.plain) ? pair.distilled - pair.plain : null,
  }));
  const count = (value) => (known(value) ? rounded(value, 1) : DASH);
  return section(
    "Which class is taken for which",
    figures.length ? el("div", { class: "charts" }, figures) : null,
    rows.length
      ? table(
          [
            col("confusion", "confusion", (row) => row.name),
            num("plain", "plain (images)", (row) => row.plain, { show: (row, value) => count(value) }),
            num("distilled", "distilled (images)", (row) => row.distilled, {
              show: (row, value) => count(value),
            }),
            num("change", "change (images)", (row) => row.change, {
              show: (row, value) => signed(value, 1),
            }),
          ],
          rows,
          {
            name: "confusions",
            caption: plain
              ? "The confusions that changed most: images, mean over seeds; no test is made of a single one"
              : "The most frequent confusions: images, mean over seeds",
          },
        )
      : note("No image of one class is taken for another."),
  );
}

/** One confusion matrix: right answers on the diagonal, confusions coloured by their share of a class. */
function countsChart(matrix, classes, side) {
  const sums = new Map(classes.map((name, place) => [name, d3.sum(matrix[place])]));
  const share = (entry) => entry.value / (sums.get(entry.down) || 1);
  const cells = entriesOf(matrix, classes);
  const most = d3.max(cells, (entry) => (entry.right ? 0 : share(entry))) || 1;
  return matrixChart(
    cells.map((entry) => ({
      ...entry,
      colour: entry.right ? "var(--band)" : "var(--method-2)",
      strength: entry.right ? 1 : share(entry) / most,
      shown: entry.value >= 0.05 ? rounded(entry.value, entry.value < 10 ? 1 : 0) : "",
      title: `${entry.down} answered as ${entry.across}\n${rounded(entry.value, 1)} images, ${percent(share(entry))} % of the class`,
    })),
    {
      ...{ names: classes, x: "answer →", y: "↓ right class" },
      name: `confusion-${side}`,
      title: `Confusion matrix, ${SIDE_NAMES[side]}`,
      words: "Images, mean over seeds; confusions coloured by their share of the class.",
      rows: cells.map(({ down, across, value }) => ({ right_class: down, answer: across, images: value })),
    },
  );
}

/** What distillation changed: more right answers and fewer confusions are one colour, the rest another. */
function changeChart(matrix, classes) {
  const cells = entriesOf(matrix.distilled, classes).map((entry, place) => {
    const before = matrix.plain[Math.floor(place / classes.length)][place % classes.length];
    return { ...entry, before, change: entry.value - before };
  });
  const most = d3.max(cells, (cell) => Math.abs(cell.change)) || 1;
  const better = (cell) => (cell.right ? cell.change > 0 : cell.change < 0);
  return matrixChart(
    cells.map((cell) => ({
      ...cell,
      colour: better(cell) ? "var(--method-1)" : "var(--method-2)",
      strength: Math.abs(cell.change) / most,
      shown: Math.abs(cell.change) >= 0.05 ? signed(cell.change, 1).replace(/\.0$/, "") : "",
      title: `${cell.down} answered as ${cell.across}\n${rounded(cell.before, 1)} → ${rounded(cell.value, 1)} images`,
    })),
    {
      ...{ names: classes, x: "answer →", y: "↓ right class" },
      name: "confusion-change",
      title: "Distilled minus plain",
      words: "Images, mean over seeds. Blue is better: more right answers, fewer confusions.",
      rows: cells.map(({ down, across, change }) => ({
        right_class: down,
        answer: across,
        change_images: change,
      })),
    },
  );
}

const sidesWithAnswers = (answers) => Object.keys(SIDE_NAMES).filter((side) => answers[side]);

/** The colour of a side beside an arm: teachers', plain training's, and the arm's own. */
const sideColour = (side, arm) =>
  side === "teacher" ? TEACHERS : side === "plain" ? colourOf("none") : colourOf(arm.method);

function reliabilitySection(study, answers, arm) {
  const sides = sidesWithAnswers(answers);
  const points = sides.flatMap((side) => {
    const { counts, confidence: sure, accuracy } = answers[side].reliability;
    return counts
      .map((count, bin) => ({ side, bin, count, sure: sure[bin], right: accuracy[bin] }))
      .filter((point) => point.count);
  });
  const most = d3.max(points, (point) => point.count);
  const stroke = (point) => sideColour(point.side, arm);
  const drawn = figure(
    {
      ...{ height: 380, marginLeft: 56 },
      x: { label: "confidence (%) →", domain: [0, 100], grid: true },
      y: { label: "↑ right answers (%)", domain: [0, 100], grid: true },
      marks: [
        Plot.line(
          [
            [0, 0],
            [100, 100],
          ],
          { stroke: "var(--soft)", strokeDasharray: "4 3" },
        ),
        Plot.line(points, {
          ...{ x: (point) => 100 * point.sure, y: (point) => 100 * point.right, z: "side" },
          stroke,
          strokeWidth: 1.5,
          strokeOpacity: 0.6,
        }),
        Plot.dot(points, {
          ...{ x: (point) => 100 * point.sure, y: (point) => 100 * point.right },
          r: (point) => 2 + 8 * Math.sqrt(point.count / most),
          fill: stroke,
          fillOpacity: 0.75,
          tip: true,
          title: (point) =>
            `${SIDE_NAMES[point.side]}\nconfidence ${percent(point.sure)} %, right ${percent(point.right)} %\n${counted(point.count, "answer")}`,
        }),
      ],
      r: { type: "identity" },
    },
    {
      name: "reliability",
      columns: 2,
      title: "Reliability: confidence against right answers",
      words:
        "Below the dashed line answers are surer than they are right. Points: bins of equal width, larger with more answers; all seeds together.",
      legend: sides.map((side) => ({ name: SIDE_NAMES[side], colour: sideColour(side, arm) })),
      rows: points.map((point) => ({
        ...{ networks: point.side, bin: point.bin + 1, answers: point.count },
        confidence: point.sure,
        right: point.right,
      })),
    },
  );
  return section("How sure, and how often right", drawn);
}

const OUTCOMES = {
  both_right: "both right",
  teacher_only: "teacher alone right",
  student_only: "student alone right",
  both_wrong_alike: "both wrong, alike",
  both_wrong_apart: "both wrong, differently",
};

function teacherSection({ outcomes, plain_outcomes: beside }) {
  if (!outcomes) return null;
  const rows = Object.entries(OUTCOMES).map(([key, name]) => ({
    name,
    distilled: outcomes[key],
    plain: beside?.[key] ?? null,
  }));
  return section(
    "Student and teacher on the same image",
    table(
      [
        col("outcome", "outcome", (row) => row.name),
        pct("distilled", "distilled (% of images)", (row) => row.distilled),
        pct("plain", "plain (% of images)", (row) => row.plain),
        num(
          "change",
          "change (pp)",
          (row) => (known(row.plain) ? hundredfold(row.distilled - row.plain) : null),
          {
            show: (row, value) => signed(value),
          },
        ),
      ],
      rows,
      {
        name: "outcomes",
        caption: "How students and their teacher answer the same test images, mean over seeds",
      },
    ),
  );
}

/** The images on which most students disagree with their teacher, as small pictures. */
async function imagesSection(answers, arm) {
  const { disputed, classes } = answers;
  if (!disputed.length) return null;
  const drawn = await kdgap.get(`images/${arm.number}`);
  const word = (image) => [
    el("strong", {}, classes[image.label]),
    `; teacher: ${classes[image.teacher]}, distilled: ${classes[image.distilled]}`,
    known(image.plain) ? `, plain: ${classes[image.plain]}` : "",
    ` (${percent(image.share).replace(/\.00$/, "")} % disagree)`,
  ];
  const tile = (image, place) => {
    const [left, top] = [
      (place % drawn.columns) * drawn.tile,
      Math.floor(place / drawn.columns) * drawn.tile,
    ];
    const rows = Math.ceil(disputed.length / drawn.columns);
    const size = { width: drawn.columns * drawn.tile, height: rows * drawn.tile };
    const picture = svgElement("image", { href: drawn.picture, ...size });
    const box = {
      viewBox: `${left} ${top} ${drawn.tile} ${drawn.tile}`,
      width: 72,
      height: 72,
      "aria-hidden": "true",
    };
    return el("li", {}, svgElement("svg", box, picture), el("span", {}, word(image)));
  };
  const listed = drawn.picture ? disputed : disputed.slice(0, 12);
  return section(
    "Images on which students and teacher disagree",
    drawn.picture
      ? el("ul", { class: "thumbnails" }, listed.map(tile))
      : [
          bullets(listed.map((image) => [`image ${image.index}: `, word(image)])),
          note(`Pictures of them are not here: ${drawn.reason}.`),
        ],
    note(
      `${counted(listed.length, "image")}, the most disputed first. In bold the right class, then what most networks of a side answer.`,
    ),
  );
}
