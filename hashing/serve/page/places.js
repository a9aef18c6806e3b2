// The list of places, and one place with its 3D points and photos.

import { get, revisionNow, thumbnail } from "./api.js";
import { clearCloud, lightCamera, showCloud } from "./cloud.js";
import { $, announce, el, ghosts, number, plural, showState } from "./dom.js";
import { arrowKeys, fill } from "./grid.js";
import { view } from "./viewer.js";

arrowKeys($("places-grid"));
arrowKeys($("place-grid"));
let places = [];
let nextPlaces = null;
let listed = null; // revision of the list that is shown
let asking = 0; // of several requests for the list only the last one is shown
let place = null; // {number, photos, next}

// The list; as it was where one comes back to it.
export async function listPlaces(offset = 0) {
  if (!offset && listed !== null && listed === revisionNow() && $("places-state").hidden) return;
  if (!offset) { ghosts($("places-grid"), 6); places = []; }
  $("places-state").hidden = true;
  const mine = ++asking;
  try {
    const answer = await get("/api/places", { offset, limit: 24 });
    if (mine !== asking) return;
    places = [...places, ...answer.places];
    listed = answer.revision;
    nextPlaces = answer.next;
    $("places-lead").textContent = answer.total ? `${plural(answer.total, "place")} that 3D reconstruction told apart, those with most photos first.` : "";
    $("places-grid").replaceChildren(...places.map(tile));
    $("places-more").hidden = nextPlaces === null;
    if (!answer.total) showState($("places-state"), "No places are known. Run hashpipe pairs build on the photos to find them.");
    if (offset) $("places-grid").querySelectorAll(".mosaic")[offset]?.focus();
  } catch (problem) { if (mine === asking) { listed = null; broken("places", problem, () => listPlaces(offset)); } }
}

function tile(one) {
  const images = one.covers.map((photo) => el("img", { src: thumbnail(photo), alt: "", loading: "lazy", onerror: (event) => { event.target.hidden = true; } }));
  const shown = images.length < 5 ? images.slice(0, 1) : images;
  const text = `Place ${one.place}`;
  return el("li", {},
    el("a", { class: `mosaic${images.length < 5 ? " few" : ""}`, href: `#/places/${one.place}`, "aria-label": `${text}, ${plural(one.photos, "photo")}` }, shown),
    el("div", { class: "meta" }, el("b", {}, text), el("span", { class: "soft" }, `${plural(one.photos, "photo")}${one.models.length ? "" : ", no 3D"}`)));
}

export async function showPlace(id) {
  place = { id, photos: [], next: null };
  $("place-title").textContent = `Place ${id}`;
  $("place-lead").textContent = "";
  $("place-state").hidden = true;
  $("cloud-none").hidden = true;
  $("place-more").hidden = true;
  clearCloud();
  ghosts($("place-grid"));
  const photos = photosFrom(0);
  await Promise.all([photos, cloud(id, photos)]);
}

async function photosFrom(offset) {
  const mine = place;
  $("place-more").hidden = true;
  try {
    const answer = await get(`/api/places/${mine.id}`, { offset, limit: 60 });
    if (mine !== place) return;
    place.photos = [...place.photos, ...answer.photos];
    place.next = answer.next;
    $("place-lead").textContent = `${plural(answer.total, "photo")}${answer.models.length > 1 ? `, ${answer.models.length} separate 3D models` : ""}.`;
    fill($("place-grid"), place.photos.map((photo) => ({ ...photo, here: true })), (photo) => view(photo, $("place-grid")));
    $("place-more").hidden = place.next === null;
    if (offset) $("place-grid").querySelectorAll(".shot")[offset]?.focus();
    else announce(`Place ${mine.id}, ${plural(answer.total, "photo")}`);
  } catch (problem) { if (mine === place) broken("place", problem, () => showPlace(mine.id)); }
}

async function cloud(id, photos) {
  const mine = place;
  try {
    const answer = await get(`/api/places/${id}/cloud`);
    if (mine !== place) return;
    const sample = answer.total > answer.x.length ? ` (${number(answer.x.length)} shown)` : "";
    showCloud(answer, `Place ${id}: ${plural(answer.total, "3D point")}${sample}, ${plural(answer.cameras.length, "camera")}.`, (photo) => view(photo, $("place-grid")));
  } catch (problem) {
    await photos;
    if (mine !== place || problem.status === undefined || !$("place-state").hidden) return; // said there already
    $("cloud-none").textContent = problem.message;
    $("cloud-none").hidden = false;
  }
}

function broken(which, problem, retry) {
  $(`${which}-grid`).replaceChildren();
  const unknown = problem.status === 404;
  showState($(`${which}-state`), problem.message, { bad: !unknown, action: unknown ? null : { text: "Try again", run: retry } });
}

const light = (event) => lightCamera(Number(event.target.closest?.(".shot")?.dataset.photo ?? -1));
for (const kind of ["focusin", "pointerover"]) $("place-grid").addEventListener(kind, light);
for (const kind of ["focusout", "pointerleave"]) $("place-grid").addEventListener(kind, () => lightCamera(-1));
$("places-more").addEventListener("click", () => listPlaces(nextPlaces));
$("place-more").addEventListener("click", () => photosFrom(place.next));
