// Which view is shown, by the part of the address after #.

import { get, whenIndexChanges } from "./api.js";
import { $, el, plural, showState } from "./dom.js";
import { acceptPhotos } from "./drop.js";
import { listGroups } from "./groups.js";
import { listPlaces, showPlace } from "./places.js";
import { again, home, searchFile, searchPhoto, setInfo } from "./search.js";

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
  window.scrollTo(0, 0);
  if (view === "similar" && /^\d+$/.test(id)) { show("search", "Similar photos"); return searchPhoto(Number(id)); }
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

const refresh = () => ($("view-search").hidden ? route() : again());

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
  window.addEventListener("hashchange", () => { route(); $("main").focus({ preventScroll: true }); });
  route();
}

begin();
