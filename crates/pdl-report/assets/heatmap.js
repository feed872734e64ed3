// The matrix on a canvas: order, zoom, and a cursor that mouse and keyboard move.
function viridis() { return d3.range(256).map((i) => { const c = d3.rgb(d3.interpolateViridis(i / 255)); return [c.r, c.g, c.b]; }); }
{
  const holder = body("similarity");
  if (!MATRIX) holder.append(empty("No pairs yet: ", code("pdl compare OUT"), " compares every pair of cases."));
  else if (DATA.compared < FEWEST) {
    const pairs = d3.range(DATA.compared).flatMap((a) => d3.range(a).map((b) => [nameButton(b), nameButton(a), "≈ " + figures(pairValue(a, b))]));
    holder.append(note(`Fewer than ${FEWEST} cases were compared: their pairs are listed instead of plotted.`), table([{ name: "case" }, { name: "case" }, { name: METRIC, number: true }], pairs));
  } else heatmap(holder);
}
function heatmap(holder) {
  const n = DATA.compared, colours = viridis(), SIZE = 900;
  const last = (value) => value ?? Infinity;
  const byRank = (i) => last(CASES[i].rank), bySplit = (i) => SPLITS.indexOf(CASES[i].split);
  const orders = {
    rank: ["rank (then validation and test)", () => d3.sort(d3.range(n), bySplit, byRank)],
    cluster: ["cluster, then rank", () => d3.sort(d3.range(n), (i) => MATRIX.communities[i], bySplit, byRank)],
    patient: ["patient", () => d3.sort(d3.range(n), (i) => CASES[i].patient)],
    id: ["case id", () => d3.range(n)],
  };
  let order = orders.rank[1](), view = { x: 0, y: 0, size: n }, cursor = null, drag = null;
  const canvas = el("canvas", { width: SIZE, height: SIZE, tabindex: "0", role: "application", id: "heatmap",
    "aria-label": `Similarity of ${n} by ${n} cases. Arrow keys move the cursor, plus and minus zoom, 0 shows all, Enter opens the case of the row.` });
  const readout = el("div", { class: "readout", "aria-live": "polite", id: "readout" }, note("Point at a pair, or move the cursor with the arrow keys."));
  const whole = document.createElement("canvas");
  function paint() { // the whole matrix, a pixel a pair
    whole.width = whole.height = n;
    const context = whole.getContext("2d"), image = context.createImageData(n, n);
    for (let row = 0, at = 0; row < n; row++) for (let column = 0; column < n; column++, at += 4) {
      const [r, g, b] = colours[pairSimilarity(order[row], order[column])];
      image.data[at] = r; image.data[at + 1] = g; image.data[at + 2] = b; image.data[at + 3] = 255;
    }
    context.putImageData(image, 0, 0);
  }
  function show() {
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = view.size > SIZE;
    context.clearRect(0, 0, SIZE, SIZE);
    context.drawImage(whole, view.x, view.y, view.size, view.size, 0, 0, SIZE, SIZE);
    if (!cursor) return;
    const cell = SIZE / view.size, x = (cursor.column - view.x) * cell, y = (cursor.row - view.y) * cell, w = Math.max(cell, 5);
    context.lineWidth = 4; context.strokeStyle = "#000"; context.strokeRect(x - 2, y - 2, w + 4, w + 4);
    context.lineWidth = 2; context.strokeStyle = "#fff"; context.strokeRect(x - 2, y - 2, w + 4, w + 4);
  }
  function clamp() {
    view.size = Math.min(n, Math.max(Math.min(8, n), view.size));
    view.x = Math.min(n - view.size, Math.max(0, view.x));
    view.y = Math.min(n - view.size, Math.max(0, view.y));
  }
  function zoom(factor, column = view.x + view.size / 2, row = view.y + view.size / 2) {
    const before = view.size;
    view.size = Math.min(n, Math.max(Math.min(8, n), view.size * factor));
    view.x = column - (column - view.x) * view.size / before;
    view.y = row - (row - view.y) * view.size / before;
    clamp(); show();
  }
  function point(row, column, follow) {
    cursor = { row, column };
    const [a, b] = [order[row], order[column]];
    const value = a === b ? "the same case" : `${METRIC} ≈ ${figures(pairValue(a, b))}`;
    const where = (i) => `${CASES[i].rank == null ? SPLIT_NAMES[CASES[i].split] : `rank ${CASES[i].rank}`}, cluster ${MATRIX.communities[i] + 1}`;
    readout.replaceChildren(el("strong", {}, value), card(a, where(a)), ...(a === b ? [] : [card(b, where(b))]));
    if (follow) {
      if (column < view.x || column >= view.x + view.size) view.x = column - view.size / 2;
      if (row < view.y || row >= view.y + view.size) view.y = row - view.size / 2;
      clamp();
    }
    show();
  }
  function at(event) {
    const box = canvas.getBoundingClientRect();
    return { column: view.x + (event.clientX - box.left) / box.width * view.size, row: view.y + (event.clientY - box.top) / box.height * view.size };
  }
  const inside = (place) => Math.min(n - 1, Math.max(0, Math.floor(place)));
  canvas.addEventListener("pointerdown", (event) => { drag = at(event); canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointerup", () => { drag = null; });
  canvas.addEventListener("pointermove", (event) => {
    const here = at(event);
    if (drag && view.size < n) { view.x -= here.column - drag.column; view.y -= here.row - drag.row; clamp(); show(); }
    else point(inside(here.row), inside(here.column), false);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== canvas) return; // the page scrolls on
    event.preventDefault();
    const here = at(event);
    zoom(event.deltaY > 0 ? 1.25 : 0.8, here.column, here.row);
  }, { passive: false });
  canvas.addEventListener("dblclick", (event) => { const here = at(event); zoom(0.5, here.column, here.row); });
  canvas.addEventListener("keydown", (event) => {
    const { row, column } = cursor ?? { row: 0, column: 0 };
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (moves[event.key]) { const [r, c] = moves[event.key], step = event.shiftKey ? 10 : 1; point(inside(row + r * step), inside(column + c * step), true); }
    else if (event.key === "+" || event.key === "=") zoom(0.5, column, row);
    else if (event.key === "-") zoom(2, column, row);
    else if (event.key === "0") zoom(Infinity);
    else if (event.key === "Enter" && cursor) openCase(order[row]);
    else return;
    event.preventDefault();
  });
  const chooser = el("select", { id: "order", onchange: () => { order = orders[chooser.value][1](); cursor = null; paint(); show(); } },
    ...Object.entries(orders).map(([key, [name]]) => el("option", { value: key }, name)));
  const button = (name, factor) => el("button", { type: "button", onclick: () => zoom(factor) }, name);
  const ramp = el("div", { class: "ramp", style: `background:linear-gradient(to right,${d3.range(0, 1.01, 0.1).map((t) => d3.interpolateViridis(t)).join(",")})` });
  const [worst, best] = MATRIX.larger_is_alike ? [MATRIX.low, MATRIX.high] : [MATRIX.high, MATRIX.low];
  const legend = el("div", {}, ramp, el("div", { class: "ends" }, el("span", {}, `${METRIC} ${figures(worst)}, least similar`), el("span", {}, `${figures(best)}, most similar`)));
  const step = (MATRIX.high - MATRIX.low) / 510;
  holder.append(
    note(`${METRIC} of ${count(n * (n - 1) / 2, "pair")}. Click the matrix and use the mouse wheel (or double-click) to zoom, drag to move. Values are within ${step.toPrecision(1)} of the exact ones in pairs/. Clusters are Louvain communities of the most similar tenth of the pairs.`),
    el("div", { class: "controls" }, el("label", { for: "order" }, "Order by"), chooser, button("Zoom in", 0.5), button("Zoom out", 2), button("All", Infinity)),
    el("div", { class: "heat" }, el("div", {}, canvas, legend), readout));
  paint(); show();
}
