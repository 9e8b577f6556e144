function cellContent(box, cell, go) {
  const target = cell.href ? el("a", "link") : el("span");
  if (cell.href) linkTo(target, cell.href, go);
  if (cell.badge) target.className += " badge " + cell.badge;
  if (cell.tone) target.className += " tone-" + cell.tone;
  if (cell.mono) target.className += " mono";
  target.textContent = cell.text;
  box.appendChild(target);
  if (cell.sub) box.appendChild(el("span", "sub", cell.sub));
  if (cell.title) box.title = cell.title;
  if (typeof cell.bar === "number") {
    const bar = el("span", "bar");
    const fill = el("i");
    fill.style.width = Math.max(0, Math.min(1, cell.bar)) * 100 + "%";
    bar.appendChild(fill);
    box.appendChild(bar);
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".lt");
  if (unchanged(root, data)) return;
  const go = (path) => setTriggerValue("go", path);
  const box = el("div", "table-box");
  const table = el("table");
  table.setAttribute("aria-label", data.label);
  const head = el("tr");
  for (const column of data.columns) {
    const th = el("th", column.align === "right" ? "right" : "", column.label);
    th.scope = "col";
    if (column.help) th.title = column.help;
    head.appendChild(th);
  }
  const thead = el("thead");
  thead.appendChild(head);
  table.appendChild(thead);
  const body = el("tbody");
  for (const row of data.rows) {
    const tr = el("tr");
    if (ownPath(row.href)) {
      tr.className = "go";
      tr.addEventListener("click", (event) => {
        if (window.getSelection().toString()) return;
        if (event.metaKey || event.ctrlKey) window.open(row.href, "_blank", "noopener");
        else go(row.href);
      });
    }
    row.cells.forEach((cell, index) => {
      const column = data.columns[index];
      const td = el("td", [column.align === "right" ? "right" : "", column.fit || ""].join(" "));
      cellContent(td, cell, go);
      tr.appendChild(td);
    });
    body.appendChild(tr);
  }
  if (!data.rows.length) {
    const tr = el("tr");
    const td = el("td", "empty", data.empty);
    td.colSpan = data.columns.length;
    tr.appendChild(td);
    body.appendChild(tr);
  }
  table.appendChild(body);
  box.appendChild(table);
  root.replaceChildren(box);
}
