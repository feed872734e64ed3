// Training: Dice against seconds, time to a target, Dice of each label.
{
  const holder = body("training"), runs = DATA.runs;
  if (!runs.length) holder.append(empty("No finished run yet: ", code("pdl-fit train OUT"), " trains a segmenter, and ", code("pdl report OUT"), " then shows its learning curve here."));
  else training(holder, runs);
  if (runs.length) failures(holder, DATA.worst);
  for (const series of DATA.out_of_fold ?? []) outOfFold(holder, series);
  if (DATA.runs_unread) holder.append(note(`${count(DATA.runs_unread, "further folder")} under runs/ hold no finished run.`));
}
function training(holder, runs) {
  const rows = runs.flatMap((r) => r.curve.filter((e) => e[1] != null).map(([s, dice]) => ({ run: r.name, schedule: r.schedule, s, dice })));
  const bests = runs.map((r) => d3.max(r.curve, (e) => e[1]) ?? 0);
  const target = el("input", { type: "number", id: "target", min: "0", max: "1", step: "0.001", value: (Math.floor(d3.min(bests) * 0.99 * 1000) / 1000).toFixed(3), oninput: update });
  // The first time at which the target is reached, linear between evaluations.
  function reached(run, dice) {
    const curve = run.curve.filter((e) => e[1] != null), k = curve.findIndex((e) => e[1] >= dice);
    if (k <= 0) return k < 0 ? null : curve[0][0];
    const [[s0, d0], [s1, d1]] = [curve[k - 1], curve[k]];
    return s0 + (s1 - s0) * (dice - d0) / (d1 - d0);
  }
  const curves = el("div"), times = el("div");
  const names = runs.map((r) => r.name);
  function plot() {
    const p = Plot.plot({
      width: 860, height: 376, marginLeft: 52, marginBottom: 46, grid: true, color: { domain: names, range: colours(names), legend: names.length > 1 },
      x: { label: "seconds of training", domain: [0, d3.max(rows, (r) => r.s)], nice: true }, y: { label: "mean validation Dice", domain: [Math.min(0.5, d3.min(rows, (r) => r.dice)), 1] },
      marks: [Plot.ruleY([+target.value], { stroke: css("--bad"), strokeDasharray: "5 4" }), Plot.text([[0, +target.value]], { text: [`target ${(+target.value).toFixed(3)}`], x: "0", y: "1", dy: -8, dx: 4, textAnchor: "start", fill: css("--bad") }),
        lines(rows, "run", names, { x: "s", y: "dice" }), Plot.dot(rows, { x: "s", y: "dice", fill: "run", r: 2.6 }),
        Plot.tip(rows, Plot.pointer({ x: "s", y: "dice", title: (r) => `${r.run}\n${r.s.toFixed(1)} s: Dice ${r.dice.toFixed(4)}`, fill: css("--card") }))],
    });
    const svg = p.querySelector(":scope > svg") ?? p;
    described(svg, `Learning curves of ${count(runs.length, "run")}: ${runs.map((r) => `${r.name} ends at ${figures(r.dice_mean)} after ${seconds(r.seconds)}`).join("; ")}`);
    return p;
  }
  function update() {
    curves.replaceChildren(plot());
    const found = runs.map((r) => [r, reached(r, +target.value)]);
    const conventional = found.filter(([r, s]) => r.schedule === "conventional" && s != null).map(([, s]) => s);
    const base = conventional.length ? d3.median(conventional) : null;
    const heads = [{ name: "run" }, { name: "schedule" }, { name: "seed", number: true }, { name: "final Dice", number: true }, { name: "training", number: true }, { name: "to the target", number: true }, { name: "conventional ÷ this", number: true }];
    times.replaceChildren(table(heads, found.map(([r, s]) => [r.name, r.schedule, String(r.seed), figures(r.dice_mean, 4), seconds(r.seconds), s == null ? "not reached" : seconds(s), base && s ? (base / s).toFixed(2) : "–"])),
      note(base == null ? "When a conventional run has reached the target, the last column shows the speed-up of each run." : "The last column divides the conventional runs' median time to the target by the run's own."));
  }
  redraws.push(update);
  const dice = runs.flatMap((r) => r.dice.map((value, i) => ({ run: r.name, label: r.labels[i], value })).filter((d) => d.value != null));
  const labels = [...new Set(runs.flatMap((r) => r.labels))];
  const boxes = chart("Final validation Dice of each label", labels.map((l) => `${l}: ${dice.filter((d) => d.label === l).map((d) => figures(d.value)).join(", ")}`).join("; "), () => ({
    height: 76 + 30 * labels.length, marginLeft: 20 + 6.6 * Math.min(24, d3.max(labels, (l) => l.length)), y: { label: null, domain: labels }, x: { label: "Dice, one dot per run", domain: [Math.min(0.5, d3.min(dice, (d) => d.value) ?? 0), 1], grid: true },
    color: { domain: names, range: colours(names) },
    marks: [...(runs.length > 2 ? [Plot.boxX(dice, { x: "value", y: "label", fill: css("--shade"), stroke: css("--soft"), r: 0 })] : []), Plot.dot(dice, { x: "value", y: "label", fill: "run", r: 4.5 }),
      Plot.tip(dice, Plot.pointer({ x: "value", y: "label", title: (d) => `${d.run}\n${d.label}: ${figures(d.value, 4)}`, fill: css("--card") }))],
  }), 640);
  holder.append(note("Validation cases only; time excludes evaluations. Compare runs by the seconds to the same Dice."),
    el("div", { class: "controls" }, el("label", { for: "target" }, "Target Dice"), target), curves, scroll("Runs", times), boxes);
  update();
}

// On which validation cases the best run fails, drawn against predicted.
function failures(holder, worst) {
  const parts = worst?.cases.map((c) => el("figure", { class: "failure" },
    el("img", { src: `data:image/jpeg;base64,${c.picture}`, width: 504, height: 336, loading: "lazy",
      alt: `${c.case}: axial, coronal and sagittal planes; reference labels above, predictions below; mean Dice ${figures(c.dice_mean)}` }),
    el("figcaption", {}, INDEX.has(c.case) ? nameButton(INDEX.get(c.case)) : c.case, el("strong", {}, ` Dice ${figures(c.dice_mean)}`),
      el("span", { class: "note" }, ` (${c.dice.map(([name, dice]) => `${name} ${figures(dice)}`).join(", ")})`)))) ?? [];
  if (!parts.length) holder.append(el("h3", {}, "Worst validation cases"), empty("No run has an evaluation of single cases: ", code("pdl-fit evaluate OUT/runs/NAME"), " does it."));
  else holder.append(caseBoxes(worst), ...detection(worst), el("h3", {}, "Worst validation cases"), note(`The ${parts.length} worst of ${count(worst.of, "case")} of the run ${worst.run}: reference labels above, predictions below, on the images' own grids.`),
    labelLegend(), el("div", { class: "failures", id: "failures" }, ...parts));
}

// Dice of every case by the network of the fold in which it was held out; the lowest may have wrong labels.
function outOfFold(holder, series) {
  const labels = [...new Set(series.cases.flatMap((c) => c.dice.map(([name]) => name)))], most = 20;
  const heads = [{ name: "case" }, { name: "fold", number: true }, { name: "mean Dice", number: true }, ...labels.map((name) => ({ name, number: true }))];
  const row = (c) => { const of = new Map(c.dice); return [INDEX.has(c.case) ? nameButton(INDEX.get(c.case)) : c.case, String(c.fold), figures(c.dice_mean, 4), ...labels.map((name) => figures(of.get(name) ?? null))]; };
  holder.append(el("h3", {}, `Out-of-fold Dice, ${series.run}`), scroll("Out-of-fold Dice", table(heads, series.cases.slice(0, most).map(row))),
    note(`The lowest ${Math.min(most, series.cases.length)} of ${count(series.cases.length, "case")}, each predicted by the network of the fold in which it was held out (${series.folds} folds): check their labels first. out_of_fold.parquet has all.`));
}

// Whether structures are found where they are, and not drawn where they are not.
function detection(worst) {
  if (!worst.detection.length) return [];
  const of = (n, all) => all ? `${n} of ${all}` : "–", ml = (v) => v == null ? "–" : v.toFixed(2);
  const heads = [{ name: "label" }, { name: "found, of cases with it", number: true }, { name: "missed, ml", number: true }, { name: "clear, of cases without it", number: true }, { name: "drawn there, ml", number: true }];
  return [el("h3", {}, "Detection"), scroll("Detection", table(heads, worst.detection.map((d) => [d.name, of(d.found, d.with), ml(d.false_negative_ml), of(d.clear, d.without), ml(d.false_positive_ml)]))),
    note(`Validation cases of the run ${worst.run} that were annotated for the label; volumes are means over the cases with it (missed) and without it (drawn there).`)];
}

function caseBoxes(worst) {
  const labels = Object.keys(worst.dice), rows = labels.flatMap((label) => worst.dice[label].map((value) => ({ label, value })));
  return chart(`Validation Dice of each case, ${worst.run}`, labels.map((l) => `${l}: median ${figures(d3.median(worst.dice[l]))}, ${count(worst.dice[l].length, "case")}`).join("; "), () => ({
    height: 76 + 30 * labels.length, marginLeft: 20 + 6.6 * Math.min(24, d3.max(labels, (l) => l.length)), y: { label: null, domain: labels },
    x: { label: "Dice, one dot per case", domain: [Math.min(0.5, d3.min(rows, (r) => r.value) ?? 0), 1], nice: true, grid: true },
    marks: [Plot.boxX(rows, { x: "value", y: "label", fill: css("--shade"), stroke: css("--soft"), r: 0 }), Plot.dot(rows, { x: "value", y: "label", fill: css("--accent"), fillOpacity: 0.6, r: 2.6 })],
  }), 640);
}
