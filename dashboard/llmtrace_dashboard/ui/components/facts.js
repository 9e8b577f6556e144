export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".lt");
  if (unchanged(root, data)) return;
  const go = (path) => setTriggerValue("go", path);
  const parts = [];
  if (data.title) {
    const title = el(data.small ? "h3" : "h2", "facts-title" + (data.small ? " small" : ""));
    title.appendChild(el("span", "", data.title));
    for (const badge of data.badges || []) title.appendChild(el("span", "badge " + badge.tone, badge.text));
    parts.push(title);
  }
  if (data.lead) parts.push(el("p", "facts-lead", data.lead));
  if (data.facts && data.facts.length) {
    const list = el("dl", "facts-list");
    for (const fact of data.facts) {
      const item = el("div");
      item.appendChild(el("dt", "", fact.label));
      const value = el("dd", fact.mono ? "mono" : "");
      const text = el(fact.href ? "a" : "span", (fact.href ? "link" : "") + (fact.tone ? " tone-" + fact.tone : ""), fact.text);
      if (fact.href) linkTo(text, fact.href, go);
      if (fact.title) value.title = fact.title;
      value.appendChild(text);
      if (fact.copy) {
        const button = el("button", "copy", "Copy");
        button.type = "button";
        button.setAttribute("aria-label", "Copy " + fact.label);
        button.addEventListener("click", () => {
          navigator.clipboard.writeText(fact.copy).then(
            () => { button.textContent = "Copied"; },
            () => { button.textContent = "Press Ctrl+C"; window.getSelection().selectAllChildren(text); },
          );
        });
        value.appendChild(button);
      }
      item.appendChild(value);
      list.appendChild(item);
    }
    parts.push(list);
  }
  if (data.strip) {
    const strip = el("div", "strip");
    for (const item of data.strip) {
      const link = el("a", item.tone);
      linkTo(link, item.href, go);
      link.appendChild(el("span", "badge " + item.tone, item.badge));
      link.appendChild(el("span", "what", item.text));
      link.appendChild(el("span", "when muted", item.when));
      strip.appendChild(link);
    }
    parts.push(strip);
  }
  root.replaceChildren(...parts);
}
