// The cases on a plane, by classical multidimensional scaling.
{
  const holder = body("map");
  if (!MATRIX) holder.append(empty("The map needs pairs, and there are none yet."));
  else if (DATA.compared < FEWEST) holder.append(empty(`A map needs at least ${FEWEST} cases; ${DATA.compared} were compared.`));
  else {
    const points = d3.range(DATA.compared).map((i) => ({ i, id: CASES[i].id, x: MATRIX.points[i][0], y: MATRIX.points[i][1] }));
    const carried = DATA.summary.carried.map((name, k) => [name, (i) => CASES[i].carried[k] ?? "(blank)"]);
    const candidates = [["split", (i) => SPLIT_NAMES[CASES[i].split]], ["stage", (i) => CASES[i].stage == null ? "none" : `stage ${CASES[i].stage}`],
      ["cluster", (i) => `cluster ${MATRIX.communities[i] + 1}`], ["modality", (i) => CASES[i].modality], ...carried];
    const groups = candidates.filter(([, of]) => { const found = new Set(points.map((p) => of(p.i))).size; return found <= 12; });
    const chooser = el("select", { id: "colour", onchange: redrawMap }, ...groups.map(([name]) => el("option", { value: name }, name)));
    const box = el("div", { id: "scatter" });
    const symbols = ["circle", "triangle", "square"];
    function make() {
      const [name, of] = groups.find(([name]) => name === chooser.value) ?? groups[0];
      const values = name === "split" ? SPLITS.map((s) => SPLIT_NAMES[s]).filter((s) => points.some((p) => of(p.i) === s))
        : [...new Set(points.map((p) => of(p.i)))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const range = name === "split" ? SPLITS.filter((s) => values.includes(SPLIT_NAMES[s])).map((s) => css(`--${s}`))
        : name === "stage" ? stageColours(values) : values.length <= palette().length ? palette().slice(0, values.length) : values.map((_, k) => d3.interpolateTurbo((k + 0.5) / values.length));
      const text = (p) => `${p.id}\n${name}: ${of(p.i)}` + (CASES[p.i].rank == null ? "" : `\nrank ${CASES[p.i].rank}`);
      const extent = (key) => d3.extent(points, (p) => p[key]);
      const plot = Plot.plot({
        width: 860, height: 560, marginLeft: 56, marginBottom: 46, grid: true, color: { domain: values, range, legend: true },
        symbol: { domain: SPLITS, range: symbols },
        x: { label: `first axis (${(MATRIX.kept[0] * 100).toFixed(0)}% of the variance)`, domain: extent("x"), nice: true },
        y: { label: `second axis (${(MATRIX.kept[1] * 100).toFixed(0)}%)`, domain: extent("y"), nice: true },
        marks: [
          Plot.dot(points, { x: "x", y: "y", fill: (p) => of(p.i), symbol: (p) => CASES[p.i].split, r: points.length > 300 ? 3.5 : 5, stroke: css("--card"), strokeWidth: 0.7 }),
          Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: text, fill: css("--card") })),
        ],
      });
      const svg = plot.querySelector(":scope > svg") ?? plot;
      described(svg, `Map of ${points.length} cases coloured by ${name}; groups: ${values.map((v) => `${v} ${points.filter((p) => of(p.i) === v).length}`).join(", ")}`);
      svg.addEventListener("click", () => { if (plot.value) openCase(plot.value.i); });
      return plot;
    }
    function stageColours(values) {
      const shades = values.length - (values.includes("none") ? 1 : 0);
      return values.map((v) => v === "none" ? css("--soft") : d3.interpolateViridis(0.05 + 0.85 * (values.filter((w) => w !== "none").indexOf(v) / Math.max(1, shades - 1))));
    }
    function redrawMap() { box.replaceChildren(make()); }
    holder.append(
      note(`Nearby cases are similar: classical multidimensional scaling of distances, ${METRIC.endsWith("MSE") ? "the square roots of MSE" : `the square roots of the difference in ${METRIC} to identical cases`}. Circles: training; triangles: validation; squares: test. Click a case to open it.`),
      el("div", { class: "controls" }, el("label", { for: "colour" }, "Coloured by"), chooser), box);
    drawn(box, make);
  }
}
