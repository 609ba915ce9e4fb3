"use strict";
// Figures as files: SVG, PNG and PDF, each with its title, legend, words and origin inside.
const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';
/** Pixels around a saved figure, and how many of a PNG are one of the page: about 300 a printed inch. */
const AROUND = 14;
const FINE = 3;

/** The buttons below a figure that save it. whole(): it as `wholeFigure` returns it. */
const figureTools = (whole, about) => {
  const tool = (words, press) =>
    button(words, () => press().catch((error) => kdgap.say(`${words}: ${error.message}`)), {
      "data-key": words.toLowerCase(),
    });
  return [
    tool("SVG", async () => download(`${about.name}.svg`, svgText(whole()), "image/svg+xml")),
    tool("PNG", async () => save(`${about.name}.png`, await png(whole()))),
    tool("PDF", async () => save(`${about.name}.pdf`, await pdf(whole(), about))),
    about.rows?.length
      ? tool("CSV", async () => download(`${about.name}.csv`, csvOf(about.rows), "text/csv"))
      : null,
  ];
};

/** What measures texts of a size and weight. */
function measurer(size, weight) {
  const context = document.createElement("canvas").getContext("2d");
  context.font = `${weight} ${size}px ${FONT}`;
  return (text) => context.measureText(text).width;
}

/** Return the pixels that a text takes in one line. */
const textWidth = (text, size, weight = 400) => measurer(size, weight)(text);

/** Return the lines that a text takes in so many pixels. */
function textLines(text, width, size, weight = 400) {
  const measure = measurer(size, weight);
  const lines = [""];
  for (const word of text.split(/\s+/).flatMap((part) => part.match(/.{1,60}/gu) ?? [])) {
    const longer = lines.at(-1) ? `${lines.at(-1)} ${word}` : word;
    if (!lines.at(-1) || measure(longer) <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** Where a figure comes from: the last line of a saved one. */
const originWords = () =>
  [kdgap.study.title ?? kdgap.study.name, kdgap.study.paper, kdgap.study.analysis?.made_with]
    .filter(Boolean)
    .join(" · ");

/** Return one SVG of a figure with everything that the page shows around it, colours written out. */
function wholeFigure(svg, about) {
  const [inner, drawn] = ["width", "height"].map((key) => Number(svg.getAttribute(key)));
  const parts = [];
  let y = AROUND;
  const words = (text, size, more = {}) => {
    for (const line of textLines(text, inner, size, more["font-weight"])) {
      y += 1.35 * size;
      parts.push(svgElement("text", { x: AROUND, y, "font-size": size, ...more }, line));
    }
  };
  words(about.title, 15, { "font-weight": 600 });
  y += 6;
  if (about.legend) {
    const entries = about.legend.map((entry) => ({ entry, lines: textLines(entry.name, inner - 40, 12) }));
    const widths = entries.map(({ lines }) => 34 + Math.max(...lines.map((line) => 6.6 * line.length)));
    let x = 0;
    y += 4;
    for (const [index, { entry, lines }] of entries.entries()) {
      if (x && x + widths[index] > inner) [x, y] = [0, y + 17];
      const picture = legendPicture(entry);
      parts.push(svgElement("g", { transform: `translate(${AROUND + x} ${y})` }, ...picture));
      for (const [row, line] of lines.entries()) {
        y += row ? 15 : 0;
        parts.push(svgElement("text", { x: AROUND + x + 32, y: y + 10, "font-size": 12 }, line));
      }
      x += widths[index] + 12;
    }
    y += 24;
  }
  const group = svgElement("g", { transform: `translate(${AROUND} ${y})` });
  for (const name of ["fill", "font-size", "text-anchor"])
    if (svg.hasAttribute(name)) group.setAttribute(name, svg.getAttribute(name));
  group.setAttribute("font-size", "12"); // as the page's style has it
  for (const child of svg.children) if (child.localName !== "style") group.append(child.cloneNode(true));
  parts.push(group);
  y += drawn;
  if (about.words) words(about.words, 12, { fill: "var(--soft)" });
  words(originWords(), 11, { fill: "var(--soft)" });
  const [width, height] = [inner + 2 * AROUND, Math.ceil(y + AROUND)];
  const whole = svgElement(
    "svg",
    {
      ...{ xmlns: "http://www.w3.org/2000/svg", width, height, viewBox: `0 0 ${width} ${height}` },
      "font-family": FONT.replaceAll('"', "'"),
      fill: "currentColor",
    },
    svgElement("title", {}, about.title),
    svgElement("desc", {}, [about.words, originWords()].filter(Boolean).join(" ")),
    svgElement("rect", { width, height, fill: "var(--paper)" }),
    ...parts,
  );
  // A picture that is made for a file alone is nowhere on the page, and has no style of its own.
  return withColours(whole, getComputedStyle(svg.isConnected ? svg : document.documentElement));
}

/** Write the page's colours into every attribute: another program knows nothing of them. */
function withColours(root, style) {
  const ink = style.getPropertyValue("--ink").trim();
  for (const element of [root, ...root.querySelectorAll("*")]) {
    for (const { name, value } of [...element.attributes]) {
      const written = value
        .replace(/var\((--[\w-]+)\)/g, (whole, key) => style.getPropertyValue(key).trim() || whole)
        .replaceAll("currentColor", ink);
      if (written !== value) element.setAttribute(name, written);
    }
    for (const name of ["aria-hidden", "class"]) element.removeAttribute(name);
  }
  return root;
}

const svgText = (svg) => new XMLSerializer().serializeToString(svg);

/** Return a figure drawn on a canvas. */
async function canvasOf(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = el("canvas", { width: FINE * image.width, height: FINE * image.height });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

async function png(svg) {
  const canvas = await canvasOf(svg);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Load one of the page's own scripts, once, when it is first needed. */
const ownScript = (() => {
  const loaded = new Map();
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  return (name) => {
    if (!loaded.has(name)) {
      const pending = new Promise((resolve, reject) => {
        const script = el("script", { src: `${base}${name}` });
        script.onload = resolve;
        script.onerror = () => reject(new Error(`${name} cannot be read`));
        document.head.append(script);
      });
      pending.catch(() => loaded.delete(name));
      loaded.set(name, pending);
    }
    return loaded.get(name);
  };
})();

/**
 * Return a figure as a PDF of its own size: lines and letters, none of them a picture. A name in
 * letters that the font lacks would be lost, so a figure with one is a picture in its PDF.
 */
async function pdf(svg, about) {
  for (const name of ["jspdf.umd.min", "svg2pdf.umd.min", "dejavu-sans-condensed"])
    await ownScript(`vendor/${name}.js`);
  // Letters are measured by the browser, which has to know the font for that.
  const face = new FontFace(
    "figure",
    Uint8Array.from(atob(kdgap.font), (byte) => byte.charCodeAt(0)),
  );
  document.fonts.add(await face.load());
  const [width, height] = ["width", "height"].map((key) => 0.75 * svg.getAttribute(key)); // points
  const orientation = width > height ? "landscape" : "portrait";
  const file = new jspdf.jsPDF({ unit: "pt", format: [width, height], orientation, compress: true });
  file.setProperties({ title: about.title, subject: about.words ?? "", creator: originWords() });
  file.addFileToVFS("figure.ttf", kdgap.font);
  file.addFont("figure.ttf", "figure", "normal");
  file.setFont("figure", "normal");
  const { codeMap } = file.getFont().metadata.cmap.unicode;
  const lacking = [...svg.textContent].some((letter) => letter > " " && !codeMap[letter.codePointAt(0)]);
  if (lacking) file.addImage((await canvasOf(svg)).toDataURL("image/png"), "PNG", 0, 0, width, height);
  else await file.svg(forPdf(svg), { x: 0, y: 0, width, height });
  return file.output("blob");
}

/** Return a figure as the PDF's writer understands it: in its one font, halos below their letters. */
function forPdf(svg) {
  svg.setAttribute("font-family", "figure");
  for (const element of svg.querySelectorAll("[font-family]")) element.removeAttribute("font-family");
  for (const element of svg.querySelectorAll("[font-weight]")) element.removeAttribute("font-weight");
  for (const element of svg.querySelectorAll("[paint-order]")) {
    element.removeAttribute("paint-order");
    element.before(element.cloneNode(true));
    element.setAttribute("stroke", "none");
  }
  return svg;
}
