// The slider of distances, with the number of photos at each of them above it.

import { $, el, plural } from "./dom.js";

let within = [];
let calibrated = null;
let listener = () => {};

export function whenRadiusMoves(call) { listener = call; }
export const radius = () => Number($("radius").value);

// Set up the slider for an answer with counts. `suggested` is {radius, rate} or null. Returns the radius it stands at.
export function setRadius(counts, suggested, keep = null) {
  within = counts;
  calibrated = suggested;
  const bits = counts.length - 1;
  const slider = $("radius");
  slider.max = String(furthest(bits));
  const start = keep ?? suggested?.radius ?? nearestDozen();
  slider.value = String(Math.min(start, Number(slider.max)));
  draw();
  return radius();
}

// Beyond half of the bits codes are unrelated; show somewhat more than half, and what is calibrated in any case.
const furthest = (bits) => Math.max(Math.ceil(bits * 0.6), calibrated?.radius ?? 0);

function nearestDozen() {
  const most = within[within.length - 1];
  return Math.max(0, within.findIndex((count) => count >= Math.min(12, most)));
}

// Distance of the nearest photo, -1 where there is none.
export const nearest = () => within.findIndex((count) => count > 0);

// Distance of the nearest photo beyond the radius, -1 where there is none.
export const beyond = () => within.findIndex((count, distance) => distance > radius() && count > (within[radius()] ?? 0));

function draw() {
  const slider = $("radius");
  const top = Number(slider.max);
  const at = within.slice(0, top + 1).map((count, index) => count - (within[index - 1] ?? 0));
  const highest = Math.max(1, ...at);
  // square roots: a few near photos must stay visible beside thousands of far ones
  $("histogram").replaceChildren(...at.map((count, index) => {
    const bar = el("i", { class: index <= radius() ? "in" : "" });
    bar.style.height = count ? `${Math.max(4, 100 * Math.sqrt(count / highest))}%` : "0";
    return bar;
  }));
  describe();
}

function describe() {
  const value = radius();
  const text = `${plural(within[value] ?? 0, "photo")} within ${plural(value, "bit")}`;
  $("radius-value").textContent = `${value} of ${within.length - 1} bits`;
  $("radius").setAttribute("aria-valuetext", text);
  let note = text + ".";
  if (calibrated) {
    note += value === calibrated.radius ? " This is the calibrated radius" : ` Calibrated: ${calibrated.radius}`;
    note += calibrated.rate === null ? "." : `, at which ${percent(calibrated.rate)} of photos of other places come along.`;
  }
  $("radius-note").textContent = note;
}

const percent = (rate) => (rate > 0 ? `${(100 * rate).toPrecision(2)} %` : "none");

$("radius").addEventListener("input", () => {
  [...$("histogram").children].forEach((bar, index) => bar.classList.toggle("in", index <= radius()));
  describe();
  listener(radius());
});
