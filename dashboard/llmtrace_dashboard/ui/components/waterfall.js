const ROW = 30;

function duration(ms) {
  if (ms >= 60000) return Math.floor(ms / 60000) + " min " + Math.round((ms % 60000) / 1000) + " s";
  if (ms >= 1000) return (ms / 1000).toFixed(2) + " s";
  if (ms >= 10) return Math.round(ms) + " ms";
  return ms >= 0.1 ? ms.toFixed(1) + " ms" : Math.round(ms * 1000) + " µs";
}

// The round step (in ms) that makes about `most` marks.
function tickStep(total, most) {
  const minutes = [60000, 120000, 300000, 600000, 1800000, 3600000, 7200000, 21600000, 86400000];
  const small = Math.pow(10, Math.floor(Math.log10(total / most)));
  const round = [1, 2, 5, 10].map((factor) => factor * small).filter((step) => step < 60000);
  return [...round, ...minutes].find((step) => total / step <= most + 0.2) || total;
}

function tickText(ms) {
  if (ms >= 3600000) return +(ms / 3600000).toFixed(1) + " h";
  if (ms >= 60000) return +(ms / 60000).toFixed(1) + " min";
  return ms >= 1000 ? +(ms / 1000).toFixed(2) + " s" : +ms.toPrecision(3) + " ms";
}

function row(span, state, total) {
  const node = el("div", "wf-row");
  node.style.top = state.position * ROW + "px";
  node.id = "wf-" + span.id;
  node.setAttribute("role", "treeitem");
  node.setAttribute("aria-level", span.depth + 1);
  node.setAttribute("aria-setsize", state.count);
  node.setAttribute("aria-posinset", state.position + 1);
  node.setAttribute("aria-selected", state.selected ? "true" : "false");
  node.setAttribute("aria-label", [span.name, ...(span.note ? [span.note] : []), span.service, duration(span.ms), span.error ? "error" : ""].join(", "));
  if (span.children) node.setAttribute("aria-expanded", state.folded ? "false" : "true");
  if (state.selected) node.classList.add("selected");
  if (state.active) node.classList.add("active");
  const name = el("div", "wf-name");
  name.style.paddingLeft = 10 + Math.min(span.depth, 14) * 14 + "px";
  name.appendChild(el("span", "fold" + (span.children ? (state.folded ? " shut" : " open") : "")));
  const dot = el("span", "dot");
  dot.style.background = span.color;
  name.appendChild(dot);
  const text = el("span", "text", span.name);
  text.title = span.name + " · " + span.service;
  name.appendChild(text);
  if (span.note) {
    const note = el("span", "note " + span.tone, span.note);
    note.title = span.note;
    name.appendChild(note);
  }
  if (span.error) name.appendChild(el("span", "err", "error"));
  node.appendChild(name);
  const line = el("div", "wf-line");
  const left = (span.at / total) * 100;
  const width = (span.ms / total) * 100;
  const bar = el("div", "wf-bar" + (span.error ? " error" : ""));
  bar.style.left = left + "%";
  bar.style.width = width + "%";
  bar.style.background = span.color;
  line.appendChild(bar);
  if (span.ttft !== null && span.ttft <= span.ms) {
    const mark = el("div", "wf-ttft");
    mark.style.left = ((span.at + span.ttft) / total) * 100 + "%";
    mark.title = "First token after " + duration(span.ttft);
    line.appendChild(mark);
  }
  const time = el("span", "wf-time", duration(span.ms));
  time.style.left = Math.min(left + width, 100) + "%";
  line.appendChild(time);
  node.appendChild(line);
  return node;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".lt");
  const state = root.state || (root.state = { folded: new Set(), active: null, trace: null });
  if (unchanged(root, data)) return;
  if (state.trace !== data.trace) {
    state.folded = new Set();
    state.trace = data.trace;
  }
  state.active = data.selected || state.active;
  const keepTop = root.querySelector(".wf-scroll") && state.renderedTrace === data.trace ? root.querySelector(".wf-scroll").scrollTop : null;
  state.renderedTrace = data.trace;

  const box = el("div", "wf");
  const head = el("div", "wf-head");
  head.appendChild(el("div", "", data.spans.length.toLocaleString("en") + (data.spans.length === 1 ? " span" : " spans")));
  const axis = el("div", "wf-axis");
  // As many marks as have room.
  const marks = () => {
    const step = tickStep(data.total, Math.max(1, Math.min(5, Math.floor(axis.clientWidth / 75))));
    const labels = [];
    for (let at = 0; at <= data.total * 0.97; at += step) {
      const label = el("span", "", at === 0 ? "0" : tickText(at));
      label.style.left = (at / data.total) * 100 + "%";
      labels.push(label);
    }
    axis.replaceChildren(...labels);
  };
  head.appendChild(axis);
  box.appendChild(head);
  const scroll = el("div", "wf-scroll");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "tree");
  scroll.setAttribute("aria-label", "Spans of the trace");
  box.appendChild(scroll);
  const canvas = el("div");
  canvas.style.position = "relative";
  scroll.appendChild(canvas);

  let visible = [];
  const layOut = () => {
    visible = [];
    let hiddenBelow = Infinity;
    for (const span of data.spans) {
      if (span.depth > hiddenBelow) continue;
      hiddenBelow = state.folded.has(span.id) ? span.depth : Infinity;
      visible.push(span);
    }
    canvas.style.height = visible.length * ROW + "px";
    scroll.style.height = Math.min(visible.length, 14) * ROW + "px";
  };
  const choose = (span) => {
    state.active = span.id;
    data.selected = span.id;
    setTriggerValue("span", span.id);
    paint();
  };
  const fold = (span, on) => {
    if (!span.children) return;
    if (on) state.folded.add(span.id);
    else state.folded.delete(span.id);
    layOut();
    paint();
  };
  // Only the rows in sight are in the document: thousands of spans scroll like ten.
  const paint = () => {
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW) - 6);
    const last = Math.min(visible.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / ROW) + 6);
    const rows = [];
    for (let position = first; position < last; position += 1) {
      const span = visible[position];
      const node = row(
        span,
        { position, count: visible.length, selected: span.id === data.selected, active: span.id === state.active, folded: state.folded.has(span.id) },
        data.total,
      );
      node.addEventListener("click", (event) => {
        if (event.target.classList.contains("fold") && span.children) fold(span, !state.folded.has(span.id));
        else choose(span);
      });
      rows.push(node);
    }
    canvas.replaceChildren(...rows);
    if (state.active) scroll.setAttribute("aria-activedescendant", "wf-" + state.active);
  };
  const reveal = (position) => {
    const top = position * ROW;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (top + ROW > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = top + ROW - scroll.clientHeight;
  };
  scroll.addEventListener("scroll", paint);
  scroll.addEventListener("keydown", (event) => {
    const position = Math.max(0, visible.findIndex((span) => span.id === state.active));
    const span = visible[position];
    const moves = { ArrowDown: position + 1, ArrowUp: position - 1, Home: 0, End: visible.length - 1, PageDown: position + 10, PageUp: position - 10 };
    if (event.key in moves) {
      const next = Math.max(0, Math.min(visible.length - 1, moves[event.key]));
      state.active = visible[next].id;
      reveal(next);
      paint();
    } else if (event.key === "ArrowLeft") fold(span, true);
    else if (event.key === "ArrowRight") fold(span, false);
    else if (event.key === "Enter" || event.key === " ") choose(span);
    else return;
    event.preventDefault();
  });

  const legend = el("div", "wf-legend");
  for (const service of data.services) {
    const item = el("span");
    const dot = el("i");
    dot.style.background = service.color;
    item.appendChild(dot);
    item.appendChild(document.createTextNode(service.name));
    legend.appendChild(item);
  }
  if (data.spans.some((span) => span.ttft !== null)) {
    const item = el("span");
    item.appendChild(el("i", "mark"));
    item.appendChild(document.createTextNode("first token"));
    legend.appendChild(item);
  }
  root.replaceChildren(box, legend);
  marks();
  layOut();
  if (keepTop !== null) scroll.scrollTop = keepTop;
  else if (state.active) reveal(Math.max(0, visible.findIndex((span) => span.id === state.active)));
  paint();
}
