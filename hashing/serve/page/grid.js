// A grid of photos: pictures that come when they are needed, placeholders for those that cannot, arrow keys.

import { sentence, thumbnail } from "./api.js";
import { baseName, bitsAway, el, LOW, plural } from "./dom.js";

// Fill `holder` with a photo, or with the sentence that says why it cannot be shown.
export function picture(holder, photo, alt, size = "small") {
  const image = el("img", { alt, loading: size === "small" ? "lazy" : "eager", decoding: "async" });
  image.addEventListener("load", () => image.classList.add("there"));
  image.addEventListener("error", async () => {
    let why = "The server does not answer.";
    try {
      const response = await fetch(thumbnail(photo, size));
      why = response.ok ? "The picture cannot be shown." : await sentence(response);
    } catch { /* the sentence above is the one to show */ }
    image.replaceWith(el(size === "small" ? "span" : "p", { class: "missing" }, size === "small" ? short(why) : why));
  });
  image.src = thumbnail(photo, size);
  holder.replaceChildren(image);
}

const short = (why) => why.split(";")[0].replace(/\.$/, "");

function label(entry) {
  const parts = [baseName(entry.name)];
  if (entry.distance !== undefined) parts.push(`${bitsAway(entry.distance)}${entry.distance ? " away" : ""}`);
  parts.push(entry.place === null ? "in no place" : `place ${entry.place}`);
  return parts.join(", ");
}

// One photo: {photo, name, place, quality, distance?, here?, more?}; `here`: its place is what is shown already; `more`:
// how many further photos its place has.
// `open(photo)` is called when it is chosen.
export function card(entry, open) {
  const shot = el("button", { type: "button", class: "shot", "data-photo": entry.photo, "aria-label": label(entry), onclick: () => open(entry.photo) });
  picture(shot, entry.photo, "");
  const place = entry.place === null || entry.here ? null : el("a", { href: `#/places/${entry.place}`, tabindex: "-1", "aria-label": `Place ${entry.place}, which ${baseName(entry.name)} shows` }, `Place ${entry.place}`);
  const left = entry.distance !== undefined ? el("b", {}, bitsAway(entry.distance)) : null;
  const flat = entry.quality < LOW ? el("span", { class: "tag", title: "Flat, blurred or tiny: its code is unreliable." }, "unreliable") : null;
  const more = entry.more === undefined ? null : el("span", { class: "soft" }, entry.more ? `+ ${plural(entry.more, "photo")}` : "its only photo");
  const meta = left || place || flat ? el("div", { class: "meta" }, left, flat, place, more) : null;
  return el("li", { class: "card" }, shot, meta, el("p", { class: "name", title: entry.name }, baseName(entry.name)));
}

// Show entries in a grid, keeping the cards that stay, so that nothing flickers while a slider moves.
export function fill(grid, entries, open) {
  const kept = new Map([...grid.children].filter((node) => node.entryKey).map((node) => [node.entryKey, node]));
  const nodes = entries.map((entry) => {
    const key = `${entry.photo}/${entry.distance}/${entry.place}`;
    const node = kept.get(key) || card(entry, open);
    node.entryKey = key;
    return node;
  });
  const focused = grid.contains(document.activeElement) ? document.activeElement : null;
  grid.replaceChildren(...nodes);
  if (focused?.isConnected) focused.focus({ preventScroll: true });
}

// Tab reaches one photo of a grid, then its place, then what comes after the grid; arrow keys, Home and End move inside.
export function arrowKeys(grid) {
  const shots = () => [...grid.querySelectorAll(".shot, .mosaic")];
  const move = (event) => {
    const all = shots();
    const at = all.findIndex((one) => one === document.activeElement || one.closest("li").contains(document.activeElement));
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const top = all[0].getBoundingClientRect().top;
    const second = all.findIndex((one) => one.getBoundingClientRect().top > top + 2);
    const columns = second < 0 ? all.length : second;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: all.length - 1 - at };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const next = all[Math.max(0, Math.min(all.length - 1, at + steps[event.key]))];
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  };
  const oneStop = () => {
    const all = shots();
    const current = all.find((one) => one.closest("li").contains(document.activeElement)) || all.find((one) => one.tabIndex === 0) || all[0];
    for (const one of all) {
      one.tabIndex = one === current ? 0 : -1;
      const place = one.closest("li").querySelector(".meta a");
      if (place) place.tabIndex = one.tabIndex;
    }
  };
  grid.addEventListener("keydown", move);
  grid.addEventListener("focusin", oneStop);
  new MutationObserver(oneStop).observe(grid, { childList: true });
}

// Photo ids in the order they are shown, for stepping from one to the next.
export const order = (grid) => [...grid.querySelectorAll(".shot[data-photo]")].map((one) => Number(one.dataset.photo));
