// Small helpers: elements, sentences, announcements.

export const $ = (id) => document.getElementById(id);

// el("a", {class: "x", href: "#", onclick: f}, "text", child): an element; text is never read as HTML.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const LOW = 0.3; // quality below which a code is unreliable, as in hashing/features/quality.py

export const number = (value) => value.toLocaleString("en");
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
export const bitsAway = (distance) => (distance === 0 ? "same code" : plural(distance, "bit"));
export const baseName = (path) => path.slice(path.lastIndexOf("/") + 1);

let spoken = 0;
// Say something to who cannot see the page; only the last of several in a row.
export function announce(text) {
  clearTimeout(spoken);
  spoken = setTimeout(() => { $("live").textContent = text; }, 250);
}

// An empty, failed or waiting state in place of a list.
export function showState(node, text, { bad = false, action = null } = {}) {
  node.className = bad ? "state bad" : "state";
  if (bad) node.setAttribute("role", "alert"); else node.removeAttribute("role");
  node.replaceChildren(el("p", {}, text));
  if (action) node.append(el("button", { type: "button", class: "button", onclick: action.run }, action.text));
  node.hidden = false;
}

export function ghosts(grid, count = 8) {
  grid.replaceChildren(...Array.from({ length: count }, () => el("li", { class: "ghost", "aria-hidden": "true" })));
}
