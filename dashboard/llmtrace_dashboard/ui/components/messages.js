export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".lt");
  if (unchanged(root, data)) return;
  const turns = data.turns.map((turn) => {
    const box = el("section", "turn " + turn.side);
    const header = el("header", "", turn.role);
    if (turn.note) header.appendChild(el("span", "muted", turn.note));
    box.appendChild(header);
    for (const part of turn.parts) {
      const item = el("div", "part " + part.kind);
      if (part.title) item.appendChild(el("span", "kind", part.title));
      if (part.body) {
        const body = el("pre", part.code ? "body code" : "body", part.body);
        if (!part.code) body.style.fontFamily = "inherit";
        body.tabIndex = 0;
        item.appendChild(body);
      }
      if (part.note) item.appendChild(el("div", "part-note", part.note));
      box.appendChild(item);
    }
    return box;
  });
  root.replaceChildren(...turns);
}
