// One photo, large, with what is known of it.

import { get } from "./api.js";
import { $, baseName, el, LOW } from "./dom.js";
import { order, picture } from "./grid.js";

const dialog = $("viewer");
let around = [];
let shown = null;
let came = null;

// Open a photo; left and right step through the photos of `grid`.
export function view(photo, grid = null) {
  around = grid ? order(grid) : [photo];
  came = document.activeElement;
  if (!dialog.open) dialog.showModal();
  show(photo);
}

async function show(photo) {
  shown = photo;
  const at = around.indexOf(photo);
  $("viewer-back").disabled = at <= 0;
  $("viewer-next").disabled = at < 0 || at >= around.length - 1;
  $("viewer-similar").href = `#/similar/${photo}`;
  $("viewer-title").textContent = "Photo";
  $("viewer-facts").replaceChildren();
  $("viewer-place").hidden = true;
  try {
    const facts = await get(`/api/photos/${photo}`);
    if (shown !== photo) return;
    $("viewer-title").textContent = baseName(facts.name);
    picture($("viewer-picture"), photo, `Photo ${baseName(facts.name)}`, "large");
    const entry = document.querySelector(`.grid .shot[data-photo="${photo}"]`)?.closest("li");
    const distance = entry?.querySelector(".meta b")?.textContent;
    const rows = [
      ["File", facts.name],
      ["Distance", distance],
      ["Taken", facts.taken_at?.replace("T", " ")],
      ["Place", facts.place === null ? "none" : `${facts.place}`],
      ["Quality", facts.quality < LOW ? `${facts.quality.toFixed(2)}, its code is unreliable` : facts.quality.toFixed(2)],
    ];
    $("viewer-facts").replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
    $("viewer-place").hidden = facts.place === null;
    $("viewer-place").href = `#/places/${facts.place}`;
  } catch (problem) {
    if (shown === photo) $("viewer-picture").replaceChildren(el("p", { role: "alert" }, problem.message));
  }
}

function step(by) {
  const next = around[around.indexOf(shown) + by];
  if (next !== undefined) show(next);
}

$("viewer-back").addEventListener("click", () => step(-1));
$("viewer-next").addEventListener("click", () => step(1));
$("viewer-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog || event.target.closest("a")) dialog.close(); // beside the dialog, or away from it
});
dialog.addEventListener("close", () => {
  const there = document.querySelector(`section:not([hidden]) .grid .shot[data-photo="${shown}"]`);
  $("viewer-picture").replaceChildren();
  (there || came)?.focus();
});
