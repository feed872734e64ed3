// The most and least similar pairs, near-duplicates and outliers.
{
  const holder = body("extremes"), parts = [];
  if (!MATRIX) parts.push(empty("There are no pairs yet."));
  else if (DATA.compared < FEWEST) parts.push(empty(`With fewer than ${FEWEST} cases the most and the least similar pairs are the same: `, code("pdl similar OUT CASE"), " prints them."));
  else {
    const same = (a, b) => CASES[a].patient === CASES[b].patient;
    const pair = ([a, b, value]) => el("div", { class: "pair" }, card(a, SPLIT_NAMES[CASES[a].split]), card(b, SPLIT_NAMES[CASES[b].split]),
      el("strong", {}, `${METRIC} ${figures(value, 4)}`), same(a, b) ? el("span", { class: "note" }, " same patient") : null);
    const column = (title, list, none) => el("div", {}, el("h3", {}, title), list.length ? el("div", { class: "strip" }, ...list) : empty(none));
    const outliers = DATA.curriculum?.ranking.outliers.filter((o) => INDEX.has(o.case_id)) ?? [];
    const groups = DATA.duplicates.map((g) => el("div", { class: "pair" }, ...g.cases.filter((id) => INDEX.has(id)).map((id) => card(INDEX.get(id), SPLIT_NAMES[CASES[INDEX.get(id)].split])),
      el("strong", {}, `${METRIC} up to ${figures(d3.max(g.pairs, (p) => p[2]), 4)}`)));
    parts.push(el("div", { class: "columns" },
      column("Most similar", MATRIX.nearest.slice(0, 6).map(pair), "No pairs."),
      column("Least similar", MATRIX.farthest.slice(0, 6).map(pair), "No pairs.")),
      el("div", { class: "columns" },
        column(`Near-duplicates (SSIM of at least ${DATA.duplicate_threshold.toFixed(2)})`, groups.slice(0, 12), "No pair is that similar."),
        column("Outliers among the training cases", outliers.slice(0, 12).map((o) => card(INDEX.get(o.case_id), `distance ${figures(o.distance)}`)),
          DATA.curriculum ? "No training case is far from its nearest neighbours." : "Not ranked yet.")));
    if (groups.length > 12) parts.push(note(`12 of ${groups.length} groups are shown; `, code("pdl duplicates OUT"), " lists all."));
  }
  holder.append(...parts);
}
