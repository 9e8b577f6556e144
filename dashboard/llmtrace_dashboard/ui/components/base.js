// Everything below writes text with textContent: what a span carries is never read as HTML.
function el(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined && text !== null) node.textContent = String(text);
  return node;
}

// Only paths of this dashboard become links, whatever the data says.
function ownPath(href) {
  return typeof href === "string" && /^\/(?!\/)[^\\]*$/.test(href) ? href : null;
}

// A plain click changes the page without a reload; any other click stays the browser's own.
function linkTo(node, href, go) {
  const path = ownPath(href);
  if (!path) return;
  node.setAttribute("href", path);
  node.addEventListener("click", (event) => {
    event.stopPropagation();
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(path);
  });
}

// Same data as before: leave the page as it is, so that a refresh does not disturb a reader.
function unchanged(root, data) {
  const text = JSON.stringify(data);
  if (root.dataset.rendered === text) return true;
  root.dataset.rendered = text;
  return false;
}
