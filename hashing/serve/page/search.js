// Search by a photo that was dropped, pasted or chosen, or by a photo of the collection.

import { get, Problem, revisionNow, sendPhoto, thumbnail } from "./api.js";
import { $, announce, baseName, bitsAway, el, ghosts, plural, showState } from "./dom.js";
import { arrowKeys, fill } from "./grid.js";
import { beyond, nearest, radius, setRadius, whenRadiusMoves } from "./radius.js";
import { view } from "./viewer.js";

let info = null;
let asked = null; // what is searched with: {file} or {photo}, then also {code, space}
let hits = [];
let next = null;
let running = new AbortController();
const grid = $("grid");
const open = (photo) => view(photo, grid);
arrowKeys(grid);

export function setInfo(answer) { info = answer; }

// The first view: what was searched with a file of one's own is still there, else photos to begin with.
export function home() {
  if (asked?.file || (!asked && grid.querySelector(".shot"))) return;
  clear();
  start();
}

// Search again, after the collection has changed.
export function again() {
  if (asked?.file) return searchFile(asked.file, radius());
  return asked ? searchPhoto(asked.photo, radius()) : start();
}

// One photo of each of the largest places, in the order of their numbers, with how many more photos they have.
async function onePerPlace() {
  const { places, total } = await get("/api/places", { limit: 12 });
  const shown = places.sort((a, b) => a.place - b.place);
  const each = total > shown.length ? `each of the ${shown.length} largest of ${total} places` : "each place";
  $("results-lead").textContent = `Choose a photo to see which of the collection show the same place or object. Or begin with one of these, one photo of ${each}, with how many more it has:`;
  const covers = await Promise.all(shown.map((one) => get(`/api/photos/${one.covers[0]}`)));
  return covers.map((cover, at) => ({ ...cover, more: shown[at].photos - 1 }));
}

// Nothing asked yet: offer some photos of the collection to begin with.
export async function start() {
  if (asked) return;
  $("results-title").textContent = "Find the same place again";
  $("results-lead").textContent = info.photos
    ? "Choose a photo to see which of the collection show the same place or object. Or begin with one of these:"
    : "";
  if (!info.photos) {
    showState($("results-state"), "The index is empty. Encode some photos and index them: hashpipe encode PHOTOS, then hashpipe index build.");
    return;
  }
  ghosts(grid, 8);
  try {
    const photos = info.places > 1 ? await onePerPlace() : (await get("/api/photos", { limit: 12 })).photos;
    if (asked) return;
    fill(grid, photos, (photo) => { location.hash = `#/similar/${photo}`; });
  } catch (problem) { if (!asked) failed(problem, start); }
}

export function searchFile(file, keep = null) {
  const limit = info.limits.upload_bytes;
  if (file.size > limit) {
    return refuse(`${file.name || "The file"} has ${Math.round(file.size / 1e6)} MB; at most ${Math.round(limit / 1e6)} MB can be searched with.`);
  }
  asked = { file };
  preview(URL.createObjectURL(file), "The photo you search with", file.name || "Photo from the clipboard");
  return run((signal) => sendPhoto(file, { counts: true, limit: 48 }, signal, () => {
    $("results-lead").textContent = "Many photos are being searched for; yours waits its turn.";
  }), keep, () => searchFile(file, keep));
}

// The results of a photo; they are left as they are where one comes back to them.
export function showSimilar(photo) {
  if (asked?.photo === photo && asked.revision === revisionNow() && $("results-state").className !== "state bad") return undefined;
  return searchPhoto(photo);
}

export function searchPhoto(photo, keep = null) {
  asked = { photo };
  preview(thumbnail(photo, "large"), "The photo of the collection that you search with", "");
  return run((signal) => get(`/api/photos/${photo}/similar`, { counts: true, limit: 48 }, signal), keep, () => searchPhoto(photo, keep));
}

function preview(source, alt, name) {
  const image = $("chosen");
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.onerror = () => { image.hidden = true; };
  image.src = source;
  image.alt = alt;
  image.hidden = false;
  $("drop").classList.add("filled");
  $("choose-text").textContent = "Choose another photo";
  $("asked-name").textContent = name;
}

async function run(request, keep, retry) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  $("problem").hidden = true;
  $("results-state").hidden = true;
  $("more").hidden = true;
  $("asked").hidden = true;
  $("results-title").textContent = "Nearest photos";
  $("results-lead").textContent = "Searching …";
  $("results").setAttribute("aria-busy", "true");
  ghosts(grid);
  try {
    const answer = await request(signal);
    asked = { ...asked, code: answer.query.code, same: answer.query.same, space: answer.space, revision: answer.revision };
    const suggested = info.radius === null ? null : { radius: info.radius, rate: info.false_match_rate };
    setRadius(answer.within, suggested, keep);
    if (answer.query.name) {
      const { name, place } = answer.query;
      $("asked-name").replaceChildren(name, ...(place === null ? [] : [" · ", el("a", { href: `#/places/${place}` }, `Place ${place}`)]));
    }
    if (answer.note) { $("problem").textContent = answer.note; $("problem").hidden = false; }
    bits(answer.query.code, answer.bits);
    $("asked").hidden = false;
    take(answer, false);
  } catch (problem) { if (problem.name !== "AbortError") failed(problem, retry); } finally {
    if (!signal.aborted) $("results").setAttribute("aria-busy", "false");
  }
}

function take(answer, append) {
  hits = append ? [...hits, ...answer.results] : answer.results;
  next = answer.next;
  show();
}

// What is known already is shown at once; more is fetched when the radius asks for it.
function show() {
  const inside = hits.filter((hit) => hit.distance <= radius());
  const complete = next === null || inside.length < hits.length;
  fill(grid, inside, open);
  $("more").hidden = complete;
  const lead = inside.length ? `The nearest ${inside[0].distance ? `is ${bitsAway(inside[0].distance)} away` : "has the same code"}.` : "";
  const further = complete && inside.length && beyond() >= 0 ? ` The next beyond the radius is ${plural(beyond(), "bit")} away.` : "";
  $("results-lead").textContent = lead + further;
  $("results-state").hidden = inside.length > 0;
  if (!inside.length) {
    const away = nearest();
    if (away < 0) showState($("results-state"), "There is no other photo in this collection.");
    else showState($("results-state"), `No photo within ${plural(radius(), "bit")}. The nearest is ${plural(away, "bit")} away.`, { action: { text: `Widen to ${plural(away, "bit")}`, run: () => widen(away) } });
  }
  announce($("radius").getAttribute("aria-valuetext") + ". " + lead);
}

function widen(value) {
  const slider = $("radius");
  slider.max = String(Math.max(Number(slider.max), value));
  slider.value = String(value);
  slider.dispatchEvent(new Event("input"));
  slider.focus();
}

async function more() {
  $("more").disabled = true;
  const mine = asked;
  try {
    const first = hits.length;
    const source = mine.photo === undefined ? "/api/search" : `/api/photos/${mine.photo}/similar`;
    const key = mine.photo === undefined ? { code: mine.code, same: mine.same, space: mine.space } : {};
    const answer = await get(source, { ...key, offset: next, limit: 48 });
    if (mine !== asked) return; // something else has been searched for meanwhile
    take(answer, true);
    grid.querySelectorAll(".shot")[first]?.focus();
  } catch (problem) { if (mine === asked) failed(problem, again); } finally { $("more").disabled = false; }
}

function failed(problem, retry) {
  grid.replaceChildren();
  $("more").hidden = true;
  $("results-lead").textContent = "";
  const theirs = problem instanceof Problem && [400, 413, 415, 422].includes(problem.status);
  if (theirs) return refuse(problem.message);
  showState($("results-state"), problem.message, { bad: true, action: { text: "Try again", run: retry } });
}

// The file is at fault: say so beside it, and let another one be chosen.
function refuse(sentence) {
  clear();
  $("problem").textContent = sentence;
  $("problem").hidden = false;
  start();
}

function clear() {
  running.abort();
  asked = null;
  grid.replaceChildren();
  $("asked").hidden = true;
  $("chosen").hidden = true;
  $("drop").classList.remove("filled");
  $("choose-text").textContent = "Choose a photo";
  $("problem").hidden = true;
  $("results-state").hidden = true;
  $("more").hidden = true;
  $("results").setAttribute("aria-busy", "false");
}

function bits(code, count) {
  const on = (index) => (parseInt(code.substr(2 * (index >> 3), 2), 16) >> (index & 7)) & 1; // least significant first
  $("bits").replaceChildren(...Array.from({ length: Math.min(count, 512) }, (_, index) => el("i", { class: on(index) ? "on" : "" })));
  $("code").textContent = code;
}

whenRadiusMoves(() => show());
$("more").addEventListener("click", more);
