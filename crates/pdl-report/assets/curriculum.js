// The curriculum: thumbnails in rank order, a border at each stage.
{
  const parts = [], c = DATA.curriculum;
  if (!c) parts.push(empty("Not ranked yet: ", code("pdl rank OUT"), " creates the curriculum."));
  else {
    const p = c.parameters, r = c.ranking;
    const ranked = d3.sort(d3.range(CASES.length).filter((i) => CASES[i].rank != null), (i) => CASES[i].rank);
    const left = d3.range(CASES.length).filter((i) => CASES[i].left_out);
    parts.push(el("p", {}, `${count(r.ranked || ranked.length, "training case")} in the order “${p.order}”, scored by ${p.score} ${p.metric.toUpperCase()}; ${count(c.stages.length, "stage")}. Of each case: axial, coronal and sagittal plane where most is labelled; the patient's right is on the left.`));
    const stages = c.stages.map((s) => ({ ...s, from: s.stage ? c.stages[s.stage - 1].active_cases : 0 }));
    const scores = ranked.map((i) => ({ rank: CASES[i].rank, score: CASES[i].score, id: CASES[i].id })).filter((d) => d.score != null);
    if (scores.length < FEWEST) parts.push(note(`The plot of scores needs at least ${FEWEST} training cases.`));
    else
      parts.push(chart("Score by rank", `Score falls from ${figures(scores[0].score)} to ${figures(scores.at(-1).score)} over ${scores.length} ranks; stages begin after ranks ${stages.slice(1).map((s) => s.from).join(", ") || "none"}`, () => ({
        height: 206, marginLeft: 55, x: { label: "rank" }, y: { label: "score", grid: true, nice: true },
        marks: [Plot.ruleX(stages.slice(1), { x: (s) => s.from + 0.5, stroke: css("--soft"), strokeDasharray: "4 3" }),
          Plot.dot(scores, { x: "rank", y: "score", r: scores.length > 200 ? 1.8 : 3, fill: css("--accent") }),
          Plot.tip(scores, Plot.pointer({ x: "rank", y: "score", title: (d) => `${d.id}\nrank ${d.rank}, score ${figures(d.score, 4)}`, fill: css("--card") }))],
      }), 760));
    const outlines = el("input", { type: "checkbox", id: "outlines", checked: true, onchange: (e) => document.documentElement.classList.toggle("no-outlines", !e.target.checked) });
    if (DATA.thumbnails) parts.push(el("div", { class: "controls" }, el("label", { for: "outlines" }, outlines, " label contours"), channelSwitch(), labelLegend()));
    const strips = el("div", { class: "stages" });
    parts.push(strips);
    for (const s of stages) {
      const own = ranked.filter((i) => CASES[i].stage === s.stage);
      const cards = own.map((i) => card(i, `${CASES[i].rank}${CASES[i].tune ? " · tuning" : ""}`));
      const title = `Stage ${s.stage}: from epoch ${s.first_epoch} on, ${s.active_cases} cases`;
      strips.append(el("div", { class: "stage" }, el("h3", {}, title), el("div", { class: "strip" }, ...cards)));
    }
    if (left.length) parts.push(el("div", { class: "stage rest" }, el("h3", {}, `Excluded: ${count(left.length, "training case")}`), el("div", { class: "strip" }, ...left.map((i) => card(i, CASES[i].left_out)))));
  }
  body("curriculum").append(...parts);
}
