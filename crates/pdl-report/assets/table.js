// All cases: sorted by a click on a head, filtered by text, split and status.
{
  const holder = body("cases"), shown = CASES.map((c, i) => i);
  const volume = (c) => c.labels.map(([value, ml]) => `${LABELS.get(value)?.name ?? value} ${ml}`).join(", ");
  const columns = [
    { name: "case", value: (c) => c.id }, { name: "patient", value: (c) => c.patient }, { name: "split", value: (c) => c.split },
    { name: "rank", value: (c) => c.rank, number: true }, { name: "score", value: (c) => c.score, number: true, text: (c) => figures(c.score, 4) }, { name: "stage", value: (c) => c.stage, number: true },
    { name: "modality", value: (c) => c.modality }, { name: "shape", value: (c) => c.shape.reduce((a, b) => a * b, 1), text: (c) => c.shape.join(" × ") },
    { name: "spacing, mm", value: (c) => c.spacing.reduce((a, b) => a * b, 1), text: (c) => c.spacing.join(" × ") }, { name: "axes", value: (c) => c.orientation },
    { name: "labels, ml", value: (c) => d3.sum(c.labels, (l) => l[1]), text: volume }, { name: "status", value: (c) => c.status },
    { name: "found", value: (c) => c.findings.join(" ") || null }, ...DATA.summary.carried.map((name, i) => ({ name, value: (c) => c.carried[i] })),
  ];
  let sort = { column: 0, up: true };
  const text = el("input", { type: "search", id: "filter", placeholder: "id, patient, finding …", oninput: fill });
  const choice = (id, name, values) => [el("label", { for: id }, name), el("select", { id, onchange: fill }, el("option", { value: "" }, "all"), ...values.map((v) => el("option", {}, v)))];
  const [splitLabel, split] = choice("split", "Split", SPLITS), [statusLabel, status] = choice("status", "Status", ["ok", "warning", "unlabelled", "rejected"]);
  const said = el("span", { class: "note", role: "status", id: "matching" }), rows = el("tbody");
  const heads = columns.map((column, k) => el("th", { scope: "col", class: column.number ? "number" : null },
    el("button", { type: "button", onclick: () => { sort = { column: k, up: sort.column === k ? !sort.up : true }; fill(); } }, column.name)));
  const haystack = CASES.map((c) => columns.map((column) => (column.text ?? column.value)(c)).join(" ").toLowerCase());
  function compare(i, j) {
    const of = columns[sort.column].value, [a, b] = [of(CASES[i]), of(CASES[j])];
    if (a == null || b == null) return (a == null) - (b == null); // blanks come last either way
    const order = typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return sort.up ? order : -order;
  }
  function fill() {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = shown.filter((i) => (!split.value || CASES[i].split === split.value) && (!status.value || CASES[i].status === status.value) && words.every((w) => haystack[i].includes(w)));
    found.sort(compare);
    rows.replaceChildren(...found.map((i) => el("tr", {}, ...columns.map((column, k) => k === 0 ? el("td", { class: "id" }, nameButton(i))
      : el("td", column.number ? { class: "number" } : {}, String((column.text ?? column.value)(CASES[i]) ?? "–"))))));
    heads.forEach((head, k) => {
      head.setAttribute("aria-sort", k !== sort.column ? "none" : sort.up ? "ascending" : "descending");
      head.firstChild.textContent = columns[k].name + (k !== sort.column ? "" : sort.up ? " ▲" : " ▼");
    });
    said.textContent = `${found.length.toLocaleString("en")} of ${CASES.length.toLocaleString("en")} cases`;
  }
  holder.append(el("div", { class: "controls" }, el("label", { for: "filter" }, "Filter"), text, splitLabel, split, statusLabel, status, said),
    scroll("Table of cases", el("table", { id: "case-table" }, el("thead", {}, el("tr", {}, ...heads)), rows)));
  fill();
}
