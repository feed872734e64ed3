// What all sections use: the data, elements, colours, pictures of cases.
const DATA = JSON.parse(document.getElementById("data").textContent);
const CASES = DATA.cases;
const INDEX = new Map(CASES.map((c, i) => [c.id, i]));
const LABELS = new Map(DATA.summary.labels.map(([value, name], i) => {
  const colour = `rgb(${DATA.label_colours[i].join(" ")})`;
  // Where a colour repeats, contours are dashed.
  const first = DATA.label_colours.findIndex((other) => other.join() === DATA.label_colours[i].join());
  return [value, { name, colour, dashed: first < i }];
}));
const SPLITS = ["train", "val", "test"];
const SPLIT_NAMES = { train: "training", val: "validation", test: "test" };
const FEWEST = 4; // of fewer cases a chart says less than a sentence
const redraws = [];

// An element: attributes, then children; texts become text, never markup.
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") node.style.cssText = value;
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value != null) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}
function body(section) { return document.querySelector(`#${section} .body`); }
function note(...text) { return el("p", { class: "note" }, ...text); }
function empty(...text) { return el("p", { class: "empty" }, ...text); }
function code(text) { return el("code", {}, text); }
function count(n, one, many = one + "s") { return `${n.toLocaleString("en")} ${n === 1 ? one : many}`; }
function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function splitColours() { return SPLITS.map((split) => css(`--${split}`)); }
function figures(value, digits = 3) { return value == null || !Number.isFinite(value) ? "–" : value.toFixed(digits); }
function seconds(s) { return s < 120 ? `${s.toFixed(1)} s` : s < 7200 ? `${(s / 60).toFixed(1)} min` : `${(s / 3600).toFixed(1)} h`; }
function mean(list) { return list.reduce((a, b) => a + b, 0) / list.length; }

// Twelve colours for light and for dark pages. The first eight can be distinguished with any colour
// vision (Okabe and Ito); each further one is at least 49 from all others in CIELAB.
function palette() {
  return dark() ? ["#56b4e9", "#e69f00", "#2fc79a", "#f0e442", "#cc79a7", "#ff8552", "#9ecae9", "#bdbdbd", "#ff00ff", "#00ff00", "#7777ff", "#449900"]
    : ["#0072b2", "#d55e00", "#009e73", "#9a7b00", "#a8477f", "#e69f00", "#56b4e9", "#666666", "#0000ff", "#ff44ff", "#00bb00", "#002299"];
}
// The colours of the names, repeated where there are more.
function colours(names) { const all = palette(); return names.map((_, i) => all[i % all.length]); }
// A line for each name in `by`; where colours repeat, lines are dashed, longer for each repetition.
function lines(rows, by, names, options) {
  const round = (name) => Math.floor(names.indexOf(name) / palette().length);
  return d3.range(Math.ceil(names.length / palette().length)).map((k) =>
    Plot.line(rows.filter((row) => round(row[by]) === k), { ...options, stroke: by, strokeWidth: 2, ...(k ? { strokeDasharray: `${4 * k} 3` } : {}) }));
}
function dark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

// Draws now, and again when light turns to dark.
function drawn(holder, make) {
  const draw = () => holder.replaceChildren(make());
  redraws.push(draw);
  draw();
  return holder;
}
function redraw() { redraws.forEach((draw) => draw()); }
const theme = document.getElementById("theme");
theme.addEventListener("change", () => {
  if (theme.value) document.documentElement.dataset.theme = theme.value;
  else delete document.documentElement.dataset.theme;
  redraw();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

// Says what a chart shows; to a screen reader it is one picture, so its parts keep their names to themselves.
function described(svg, description) {
  for (const part of svg.querySelectorAll("[aria-label], [aria-description]")) {
    part.dataset.mark = part.getAttribute("aria-label");
    part.removeAttribute("aria-label");
    part.removeAttribute("aria-description");
  }
  svg.classList.add("plot-svg");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", description);
}

// A chart with a heading and words for those who do not see it.
function chart(title, description, make, width = 340) {
  const holder = el("div");
  drawn(holder, () => {
    const plot = Plot.plot({ width, marginBottom: 46, ...make() });
    const svg = plot.tagName === "svg" ? plot : plot.querySelector(":scope > svg:last-of-type");
    described(svg, description);
    return plot;
  });
  return el("figure", { style: `width:${width}px` }, el("h3", {}, title), holder);
}

// Pictures. A sheet is a JPEG of the images below a clear PNG of the outlines.
const sheets = [];
if (DATA.thumbnails) {
  const url = (base64, type) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
    return URL.createObjectURL(new Blob([bytes], { type }));
  };
  for (const [jpeg, png] of DATA.thumbnails.sheets) sheets.push([url(jpeg, "image/jpeg"), url(png, "image/png")]);
  const rules = sheets.map(([grey, outline], i) =>
    `.sheet-${i}{background-image:url(${outline}),url(${grey})}.no-outlines .sheet-${i}{background-image:none,url(${grey})}`);
  // Another channel is shown by the class channel-N of the document.
  DATA.thumbnails.further_channels.forEach((channel, n) => channel.forEach((jpeg, i) => {
    const [grey, outline] = [url(jpeg, "image/jpeg"), sheets[i][1]], at = `.channel-${n + 1}`;
    rules.push(`${at} .sheet-${i}{background-image:url(${outline}),url(${grey})}${at}.no-outlines .sheet-${i}{background-image:none,url(${grey})}`);
  }));
  document.head.append(el("style", {}, rules.join("")));
}
function channelSwitch() {
  const names = DATA.thumbnails.channels;
  if (!names.length) return null;
  const show = (e) => {
    const classes = document.documentElement.classList;
    names.forEach((_, n) => classes.toggle(`channel-${n}`, String(n) === e.target.value));
  };
  return el("label", { for: "channel" }, "channel ",
    el("select", { id: "channel", onchange: show }, ...names.map((name, n) => el("option", { value: String(n) }, name))));
}
function picture(index, zoom = 1) {
  if (!DATA.thumbnails || index >= DATA.compared) return null;
  const { side, per_sheet } = DATA.thumbnails;
  const sheet = Math.floor(index / per_sheet), row = index % per_sheet;
  const rows = Math.min(per_sheet, DATA.compared - sheet * per_sheet);
  const [w, h] = [3 * side * zoom, side * zoom];
  const position = `0 -${row * h}px`, size = `${w}px ${rows * h}px`;
  return el("span", {
    class: `thumb sheet-${sheet}`, role: "img", "aria-label": `${CASES[index].id}: axial, coronal, sagittal`,
    style: `width:${w}px;height:${h}px;background-position:${position},${position};background-size:${size},${size}`,
  });
}
function nameButton(index) {
  return el("button", { class: "link", type: "button", onclick: () => openCase(index) }, CASES[index].id);
}
function card(index, value) {
  return el("div", { class: "card" }, picture(index), nameButton(index), value ? el("span", { class: "value" }, value) : null);
}
function labelLegend() {
  const items = [...LABELS.values()].map(({ name, colour, dashed }) =>
    el("span", {}, el("span", { class: "swatch", style: dashed ? `border:2px dashed ${colour}` : `background:${colour}` }), name));
  return el("div", { class: "legend" }, ...items);
}

// The matrix: values of pairs by numbers of cases.
const MATRIX = DATA.matrix;
const BYTES = MATRIX ? Uint8Array.from(atob(MATRIX.values), (c) => c.charCodeAt(0)) : null;
const METRIC = MATRIX ? MATRIX.metric.toUpperCase().replace("_", " ") : "";
function place(a, b) { const n = DATA.compared; return a * (2 * n - a - 1) / 2 + b - a - 1; }
function byteOf(a, b) { return a === b ? (MATRIX.larger_is_alike ? 255 : 0) : a < b ? BYTES[place(a, b)] : BYTES[place(b, a)]; }
function pairValue(a, b) { return MATRIX.low + byteOf(a, b) / 255 * (MATRIX.high - MATRIX.low); }
function pairSimilarity(a, b) { return MATRIX.larger_is_alike ? byteOf(a, b) : 255 - byteOf(a, b); }

function table(heads, rows, className = "") {
  const cell = (name, value, i) => el(name, heads[i].number ? { class: "number" } : {}, value ?? "–");
  return el("table", { class: className },
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col", class: head.number ? "number" : null }, head.name)))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map((value, i) => cell("td", value, i))))));
}
function scroll(label, ...children) { return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children); }

// All about one case.
function openCase(index) {
  const c = CASES[index], dialog = document.getElementById("case");
  const facts = [
    ["patient", c.patient], ["split", SPLIT_NAMES[c.split]], ["modality", c.modality], ["status", c.status],
    ["shape", c.shape.join(" × ") + " voxels"], ["spacing", c.spacing.join(" × ") + " mm"], ["stored axes grow to", c.orientation],
    ["labels", c.labels.map(([value, ml]) => `${LABELS.get(value)?.name ?? value} ${ml} ml`).join(", ") || "none"],
    ["rank", c.rank == null ? c.left_out ?? "none" : `${c.rank}, from stage ${c.stage} on`], ["score", figures(c.score, 4)],
    ["found", c.findings.join(", ") || "nothing"], ...DATA.summary.carried.map((name, i) => [name, c.carried[i] ?? "–"]),
  ];
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const parts = [el("div", { class: "bar", style: "padding:0" }, el("h2", { id: "case-title" }, c.id), close), picture(index, DATA.thumbnails?.side === 48 ? 4 : 3)];
  parts.push(el("dl", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])));
  if (MATRIX && index < DATA.compared) {
    const others = d3.range(DATA.compared).filter((i) => i !== index).sort((i, j) => pairSimilarity(index, j) - pairSimilarity(index, i));
    parts.push(el("h3", {}, `Nearest neighbours by ${METRIC}`), el("div", { class: "strip" }, ...others.slice(0, 3).map((i) => card(i, "≈ " + figures(pairValue(index, i))))));
  }
  dialog.replaceChildren(...parts.filter(Boolean));
  if (!dialog.open) dialog.showModal();
}
