// Which view is shown, by the part of the address after #.

import { get, whenIndexChanges } from "./api.js";
import { $, el, plural, showState } from "./dom.js";
import { acceptPhotos } from "./drop.js";
import { listGroups } from "./groups.js";
import { listPlaces, showPlace } from "./places.js";
import { again, home, searchFile, setInfo, showSimilar } from "./search.js";
import { watch } from "./watch.js";

const VIEWS = ["search", "places", "place", "groups"];

function show(view, title) {
  for (const one of VIEWS) $(`view-${one}`).hidden = one !== view;
  document.title = `${title} · hashpipe`;
  const current = { search: "#/", places: "#/places", place: "#/places", groups: "#/groups" }[view];
  for (const link of document.querySelectorAll("nav a")) {
    if (link.getAttribute("href") === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function route() {
  const [, view = "", id = ""] = location.hash.split("/");
  if (view === "similar" && /^\d+$/.test(id)) { show("search", "Similar photos"); return showSimilar(Number(id)); }
  if (view === "places" && /^\d+$/.test(id)) { show("place", `Place ${id}`); return showPlace(Number(id)); }
  if (view === "places") { show("places", "Places"); return listPlaces(); }
  if (view === "groups") { show("groups", "Groups"); return listGroups(); }
  show("search", "Search");
  return home();
}

async function load() {
  const info = await get("/api/info");
  setInfo(info);
  $("counts").textContent = `${plural(info.photos, "photo")}${info.places ? ` · ${plural(info.places, "place")}` : ""}`;
  $("to-groups").hidden = !info.groups;
  $("about").textContent = `hashpipe ${info.version} · ${info.bits}-bit codes · index ${info.revision}`;
  return info;
}

function changed() {
  load().then((info) => {
    const button = el("button", { type: "button", class: "button", onclick: () => { $("notice").hidden = true; refresh(); } }, "Show it as it is now");
    $("notice").replaceChildren(el("span", {}, `The collection has changed: ${plural(info.photos, "photo")} now.`), button);
    $("notice").hidden = false;
  }).catch(() => {});
}

const refresh = () => { forget(); return $("view-search").hidden ? route() : again(); };

// Where one was in each view, so that going back leads there: an element that had the focus, and how far down.
const left = new Map();
const forget = () => left.clear();

async function go(from) {
  left.set(new URL(from).hash || "#/", { focused: document.activeElement, down: window.scrollY });
  const here = location.hash || "#/";
  const shown = route();
  const back = left.get(here);
  if (back?.focused?.isConnected && back.focused.checkVisibility() && $("main").contains(back.focused)) {
    back.focused.focus({ preventScroll: true });
    window.scrollTo(0, back.down);
  } else {
    $("main").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }
  await shown;
}

async function begin() {
  try {
    await load();
  } catch (problem) {
    show("search", "Search");
    showState($("results-state"), problem.message, { bad: true, action: { text: "Try again", run: () => location.reload() } });
    return;
  }
  whenIndexChanges(changed);
  acceptPhotos((file) => {
    $("viewer").close();
    if (location.hash !== "#/" && location.hash !== "") history.pushState(null, "", "#/");
    show("search", "Search");
    searchFile(file);
  });
  history.scrollRestoration = "manual";
  window.addEventListener("hashchange", (event) => go(event.oldURL));
  document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); $("main").focus(); });
  watch();
  route();
}

begin();
