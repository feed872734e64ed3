// Experiments: ratio of seconds against the level, and Dice against the number of training cases.
{
  const holder = body("training"), { comparison, subsets } = DATA.experiments;
  if (comparison) compared(holder, comparison);
  if (subsets) fewCases(holder, subsets);
}

function interval(e, places = 2) { return `${e.mean.toFixed(places)} [${e.low.toFixed(places)}, ${e.high.toFixed(places)}]`; }

function compared(holder, comparison) {
  const { protocol, curves } = comparison, percent = (level) => `${Math.round(100 * level)}%`;
  const rows = curves.flatMap((curve) => curve.points.map((p) => ({ ...p, name: curve.name }))), names = curves.map((c) => c.name);
  const told = curves.map((c) => `${c.name} (${c.slower} over ${c.faster}): ${c.points.map((p) => `${percent(p.level)} ${interval(p)}`).join(", ")}`).join("; ");
  const plot = chart("Ratio of seconds to the same test Dice", told, () => ({
    height: 376, marginLeft: 52, color: { domain: names, legend: true, range: colours(names) },
    x: { label: "level: fraction of the plateau", tickFormat: percent, ticks: [...new Set(rows.map((r) => r.level))] }, y: { label: "ratio of seconds", type: "log", grid: true, tickFormat: (v) => String(v) },
    marks: [Plot.ruleY([1], { stroke: css("--soft") }), Plot.ruleX([protocol.headline], { stroke: css("--bad"), strokeDasharray: "5 4" }),
      Plot.areaY(rows, { x: "level", y1: "low", y2: "high", fill: "name", fillOpacity: 0.14 }), lines(rows, "name", names, { x: "level", y: "mean" }), Plot.dot(rows, { x: "level", y: "mean", fill: "name", r: 3 }),
      Plot.tip(rows, Plot.pointer({ x: "level", y: "mean", title: (r) => `${r.name} at ${percent(r.level)}\n${interval(r)}\nmissed: ${r.slower_missed} and ${r.faster_missed}`, fill: css("--card") }))],
  }), 760);
  const at = (curve) => curve.points.find((p) => p.level === protocol.headline);
  const ratios = table([{ name: "ratio" }, { name: "seconds of" }, { name: "over those of" }, { name: `at ${percent(protocol.headline)}`, number: true }, { name: "missed", number: true }, { name: "power for 1.2", number: true }],
    curves.map((c) => [c.name, c.slower, c.faster, interval(at(c)), `${at(c).slower_missed} and ${at(c).faster_missed}`, c.power == null ? "–" : c.power.toFixed(2)]));
  const factors = table([{ name: "factor" }, { name: "arm that differs from the best in it" }, { name: "its seconds over the best's", number: true }], comparison.contributions.map((c) => [c.factor, c.arm, interval(c)]));
  const dice = table([{ name: "arm" }, { name: "final test Dice", number: true }, { name: "difference from A", number: true }], comparison.dice.map((d) => [d.arm, figures(d.dice, 4), d.difference ? interval(d.difference, 4) : "–"]));
  holder.append(el("h3", {}, "Comparison of recipes"), plot,
    note(`Geometric means over ${count(protocol.seeds.length, "seed")}, bands: 95% over ${count(protocol.folds, "fold")} and seeds. Levels are read on test parts; a run that missed a level counts as twice the limit of ${seconds(comparison.limit_seconds)}.`),
    scroll("Ratios", ratios), scroll("Contributions", factors), scroll("Final test Dice", dice));
}

function fewCases(holder, subsets) {
  const orders = [...new Set(subsets.orders.map((o) => o.order))], names = ["random", ...orders];
  const means = [...subsets.random.map((r) => ({ ...r, order: "random" })), ...subsets.orders], draws = subsets.random.flatMap((r) => r.draws.map((dice) => ({ percent: r.percent, dice })));
  const told = `All ${subsets.training_cases} training cases: ${figures(subsets.all, 4)}; ${means.map((l) => `${l.order} ${l.percent}%: ${figures(l.dice, 4)}`).join(", ")}`;
  const plot = chart("Test Dice against the training cases kept", told, () => ({
    height: 376, marginLeft: 52, color: { domain: names, range: colours(names), legend: true },
    x: { label: "training cases kept, %", ticks: [...new Set(means.map((l) => l.percent))] }, y: { label: "mean test Dice", grid: true },
    marks: [Plot.ruleY([subsets.all], { stroke: css("--bad"), strokeDasharray: "5 4" }), Plot.areaY(subsets.random, { x: "percent", y1: "low", y2: "high", fill: css("--shade"), fillOpacity: 0.5 }),
      Plot.dot(draws, { x: "percent", y: "dice", stroke: css("--soft"), r: 2.4 }), lines(means, "order", names, { x: "percent", y: "dice" }), Plot.dot(means, { x: "percent", y: "dice", fill: "order", r: 3.4 }),
      Plot.tip(means, Plot.pointer({ x: "percent", y: "dice", title: (l) => `${l.order}, ${l.percent}% (${count(l.cases, "case")})\nDice ${figures(l.dice, 4)}`, fill: css("--card") }))],
  }), 760);
  holder.append(el("h3", {}, "How few training cases suffice"), plot,
    note(`${subsets.verdict}. ${count(subsets.test_cases, "test case")}, ${subsets.steps} steps for every run; dashed: all training cases; rings: single random draws; band: 95% of random draws.`));
}
