// The audit: leaks between splits, labels that differ from the vote of similar cases, labels and
// groups by split, domain shift.
{
  const parts = [], a = DATA.audit;
  const reasons = { "same-patient": "one patient in the cohort", "same-file": "identical file", "same-image": "near-duplicate", "stands-out": "far more similar than to any other patient", "moved-image": "near-duplicate after flip or shift",
    "one-person": "agree after alignment as images of one person do" };
  if (!a) parts.push(empty("Not audited yet: ", code("pdl audit OUT"), " searches for leaks between the splits."));
  else {
    const joined = a.links.length - a.leaks;
    const merged = DATA.joined_patients;
    const nothing = merged.length ? `No leaks left: ${count(merged.length, "patient")} with two or more ids ${merged.length === 1 ? "is" : "are"} treated as one` : "No leaks found between the splits";
    parts.push(el("div", { class: `verdict ${a.leaks ? "bad" : merged.length ? "mended" : "good"}` }, a.leaks ? `${count(a.leaks, "pair")} of cases leak between the splits` : nothing));
    if (merged.length)
      parts.push(el("h3", {}, "Patients treated as one"), scroll("Patients treated as one", table([{ name: "ids in the cohort" }, { name: "cases" }],
        merged.map((m) => [m.names.join(", "), m.cases.join(", ")]))), note("Each counts as one patient, in one split. Check the pictures of their cases: are they the same person?"));
    if (!a.leaks) parts.push(note("A clean audit is no proof: two images of one person can differ too much to be recognised."));
    if (a.drift) parts.push(el("p", {}, `Training and test cases: ${(a.drift.own_split_share * 100).toFixed(1)}% of the nearest neighbours are in the case's own split, ${(a.drift.expected_share * 100).toFixed(1)}% for random divisions of the same patients (p = ${figures(a.drift.p_value)}).`));
    if (a.links.length) {
      const name = (id) => INDEX.has(id) ? nameButton(INDEX.get(id)) : id;
      const shown = a.links.slice(0, 200);
      parts.push(el("h3", {}, `Pairs that seem to be of one patient: ${a.leaks} in two splits, ${joined} in one`), scroll("Pairs of one patient", table(
        [{ name: "case" }, { name: "split" }, { name: "case" }, { name: "split" }, { name: "why" }, { name: "SSIM", number: true }],
        shown.map((l) => [name(l.case_a), SPLIT_NAMES[l.split_a], name(l.case_b), SPLIT_NAMES[l.split_b], reasons[l.reason] ?? l.reason, l.ssim == null ? "–" : figures(l.ssim)]))));
      if (shown.length < a.links.length) parts.push(note(`The first 200 of ${a.links.length}; audit.json lists all.`));
    }
    if (a.labels?.labels.length) {
      const name = (id) => INDEX.has(id) ? nameButton(INDEX.get(id)) : id;
      const why = { side: "another label or the other side is there", place: "lies elsewhere or has another shape", size: "larger or smaller", missing: "absent", extra: "no similar case has it" };
      const ml = (v) => figures(v), decided = { right: "right", wrong: "wrong" };
      parts.push(el("h3", {}, "Labels that differ from what similar cases lead one to expect, worst first"), scroll("Labels to look at", table(
        [{ name: "case" }, { name: "label" }, { name: "why" }, { name: "score", number: true }, { name: "Dice with the vote", number: true }, { name: "ml", number: true }, { name: "ml expected", number: true }, { name: "shift x, y, z in mm" }, { name: "reviewed" }],
        a.labels.labels.map((l) => [name(l.case_id), l.name ?? LABELS.get(l.label)?.name ?? `label ${l.label}`, why[l.reason] ?? "–", l.score == null ? "–" : figures(l.score), figures(l.dice), ml(l.volume_ml), ml(l.expected_ml), l.shift_mm.map((v) => v.toFixed(1)).join(", "), decided[l.decision] ?? "–"]))),
        note("The nearest cases of other patients, aligned, vote on each label. Write yes or no into the column right of label-review.csv; the next audit keeps it."));
    }
    const sides = [];
    if (a.balance.length) {
      const values = [...new Set(a.balance.map((b) => b.label))];
      const cell = (label, split) => { const b = a.balance.find((b) => b.label === label && b.split === split); return b ? `${b.present} of ${b.annotated}` : "–"; };
      sides.push(el("div", {}, el("h3", {}, "Cases in which a label is present, of those in which it is annotated"), scroll("Labels by split", table(
        [{ name: "label" }, ...SPLITS.map((s) => ({ name: SPLIT_NAMES[s], number: true }))],
        values.map((v) => [LABELS.get(v)?.name ?? `label ${v}`, ...SPLITS.map((s) => cell(v, s))])))));
    }
    if (a.groups?.length) {
      const keys = [...new Set(a.groups.map((g) => JSON.stringify([g.column, g.value])))].map((k) => JSON.parse(k));
      const cell = (column, value, split) => a.groups.find((g) => g.column === column && g.value === value && g.split === split)?.cases ?? 0;
      sides.push(el("div", {}, el("h3", {}, "Groups by split"), scroll("Groups by split", table(
        [{ name: "column" }, { name: "value" }, ...SPLITS.map((s) => ({ name: SPLIT_NAMES[s], number: true }))],
        keys.map(([column, value]) => [column, value, ...SPLITS.map((s) => String(cell(column, value, s)))])))));
    }
    parts.push(el("div", { class: "columns" }, ...sides));
    if (a.findings.length) parts.push(el("h3", {}, "Findings"), el("ul", {}, ...a.findings.map((f) => el("li", {}, f.message))));
  }
  body("audit").append(...parts);
}
