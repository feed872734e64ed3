// The cohort: figures, shapes, spacings, labels, findings.
{
  const s = DATA.summary, usable = CASES.filter((c) => c.status !== "rejected");
  const tile = (value, name) => el("div", { class: "tile" }, el("b", {}, String(value)), el("span", {}, name));
  const tiles = [
    tile((s.found - s.rejected).toLocaleString("en"), "usable cases"), tile(s.patients.toLocaleString("en"), "patients"),
    ...s.splits.map(([split, cases, patients]) => tile(cases.toLocaleString("en"), `${SPLIT_NAMES[split]}, ${count(patients, "patient")}`)),
    ...(s.unlabelled ? [tile(s.unlabelled.toLocaleString("en"), "unlabelled")] : []),
    tile(s.rejected + s.failed, "rejected or failed"), tile(s.labels.length, s.labels.length === 1 ? "label" : "labels"),
  ];
  if (DATA.curriculum) tiles.push(tile(DATA.curriculum.spacing_mm.map((mm) => +mm.toFixed(2)).join(" × "), "mm, prepared (x, y, z)"));
  const parts = [el("div", { class: "tiles" }, ...tiles)];
  if (DATA.compared < DATA.all_compared)
    parts.push(note(`Totals count all cases; pictures, charts and the table show ${DATA.compared.toLocaleString("en")} of ${DATA.all_compared.toLocaleString("en")}: those that the audit names, and others evenly through the curriculum.`));

  const axes = ["x", "y", "z"];
  const long = (key) => usable.flatMap((c) => (c[key] ?? []).map((value, i) => ({ axis: axes[i], value })));
  const alone = (rows) => new Set(rows.map((r) => r.value)).size === 1; // one value needs an axis, too
  const jitter = (values) => ({
    height: 166, marginLeft: 28, y: { label: null, domain: axes }, x: { grid: true, nice: true, inset: 8, label: values.label, ...(alone(values.data) ? { domain: [0, 2 * values.data[0].value] } : {}) },
    marks: [Plot.boxX(values.data, { x: "value", y: "axis", fill: css("--shade"), stroke: css("--soft"), r: 0 }),
      Plot.dot(values.data, Plot.groupY({ x: "first" }, { y: "axis", x: "value", z: "value", r: 2.2, fill: css("--accent"), fillOpacity: 0.75 }))],
  });
  const charts = [];
  if (usable.length < FEWEST) parts.push(note(`Charts of shape, spacing and volume need at least ${FEWEST} usable cases; the table at the end lists the values.`));
  else {
    const shapes = long("shape"), spacings = long("spacing");
    const ends = (rows) => axes.map((axis) => { const v = rows.filter((r) => r.axis === axis).map((r) => r.value); return `${axis} ${d3.min(v)} to ${d3.max(v)}`; }).join(", ");
    charts.push(chart("Shape as stored", `Voxels along each axis: ${ends(shapes)}`, () => jitter({ data: shapes, label: "voxels" })));
    charts.push(chart("Spacing as stored", `Millimetres along each axis: ${ends(spacings)}`, () => jitter({ data: spacings, label: "mm" })));
    const volumes = usable.flatMap((c) => c.labels.map(([value, ml]) => ({ label: LABELS.get(value).name, ml, id: c.id, split: c.split }))).filter((d) => d.ml > 0);
    if (volumes.length) {
      const names = [...LABELS.values()].map((l) => l.name), left = 18 + 6.4 * Math.min(24, d3.max(names, (n) => n.length));
      const present = names.map((name) => `${name} in ${count(volumes.filter((v) => v.label === name).length, "case")}`);
      charts.push(chart("Volume of each label", `Volume of each label: ${present.join(", ")}`, () => ({
        height: 76 + 26 * names.length, marginLeft: left, y: { label: null, domain: names, tickFormat: (n) => n.length > 24 ? n.slice(0, 23) + "…" : n },
        x: { type: "log", grid: true, inset: 8, label: "ml (logarithmic)", ticks: 4, tickFormat: "~g" },
        marks: [Plot.boxX(volumes, { x: "ml", y: "label", fill: css("--shade"), stroke: css("--soft"), r: 2 })],
      }), 420));
    }
  }
  const carried = s.carried.map((name, i) => [name, d3.rollups(usable, (v) => v.length, (c) => c.carried[i] ?? "(blank)")]).filter(([, groups]) => groups.length <= 12);
  const kinds = Object.entries(s.modalities).length > 1 ? [["modality", Object.entries(s.modalities)]] : [];
  for (const [name, groups] of [...kinds, ...carried]) {
    charts.push(chart(`Cases by ${name}`, groups.map(([value, n]) => `${value}: ${n}`).join(", "), () => ({
      height: 66 + 24 * groups.length, marginLeft: 110, y: { label: null }, x: { label: "cases", grid: true },
      marks: [Plot.barX(groups, { y: "0", x: "1", fill: css("--accent"), sort: { y: "-x" } }), Plot.text(groups, { y: "0", x: "1", text: "1", dx: 4, textAnchor: "start" })],
    })));
  }
  parts.push(el("div", { class: "charts" }, ...charts), el("h3", {}, "Findings"));
  if (!s.findings.length) parts.push(empty("No findings."));
  else {
    const rows = s.findings.map((f) => {
      const sentences = f.examples.map(([id, message]) => el("li", {}, id ? `${id}: ` : "", message));
      const rest = f.cases - f.examples.length;
      const first = f.examples[0];
      const more = f.examples.length > 1 ? el("details", {}, el("summary", {}, rest > 0 ? `${f.examples.length} of ${f.cases}` : `all ${f.examples.length}`), el("ul", {}, ...sentences)) : null;
      return [code(f.code), f.stage, f.cases ? f.cases.toLocaleString("en") : "cohort", el("div", {}, (first[0] ? `${first[0]}: ` : "") + first[1], more)];
    });
    parts.push(scroll("Findings", table([{ name: "finding" }, { name: "stage" }, { name: "cases", number: true }, { name: "first" }], rows)));
  }
  body("cohort").append(...parts);
  document.getElementById("footer").append(`Generated by pdl ${DATA.pdl} from the tables of a curation folder. Charts: D3 and Observable Plot, both under the ISC licence.`);
}
