// Groups of duplicates, bursts and places. They are shown; nothing is ever deleted.

import { get, revisionNow } from "./api.js";
import { $, announce, el, plural, showState } from "./dom.js";
import { arrowKeys, card } from "./grid.js";
import { view } from "./viewer.js";

const NAMES = { exact: "Exact duplicates", near: "Near-duplicates", burst: "Bursts", place: "Same place" };
let kind = null;
let next = null;
let listed = null; // revision that the list is of
let asking = 0; // of several requests under way only the last one is shown

// Groups of a kind; as they were where one comes back to them.
export async function listGroups(offset = 0, anew = false) {
  if (!offset && !anew && listed !== null && listed === revisionNow()) return;
  const list = $("groups-list");
  if (!offset) list.replaceChildren();
  $("groups-state").hidden = true;
  $("groups-more").hidden = true;
  const mine = ++asking;
  try {
    const answer = await get("/api/groups", { kind, offset, limit: 10 });
    if (mine !== asking) return;
    [kind, listed] = [answer.kind, answer.revision];
    next = answer.next;
    tabs(answer.kinds);
    $("groups-lead").textContent = `Photos that belong together${answer.radius === null ? "" : `, within ${plural(answer.radius, "bit")} of one of them`}. The framed photo is the best of its group. Nothing is ever deleted. ${answer.notes.join(" ")}`;
    const nodes = answer.groups.map(section);
    list.append(...nodes);
    $("groups-more").hidden = next === null;
    if (!answer.total) showState($("groups-state"), "There are no groups of this kind.");
    if (offset) nodes[0]?.querySelector(".shot")?.focus();
    else announce(`${NAMES[kind]}: ${plural(answer.total, "group")}`);
  } catch (problem) {
    if (mine !== asking) return;
    listed = null;
    const none = problem.status === 404;
    showState($("groups-state"), problem.message, { bad: !none, action: none ? null : { text: "Try again", run: () => listGroups(offset) } });
  }
}

function tabs(counts) {
  const focused = document.activeElement?.dataset?.kind;
  $("groups-kinds").replaceChildren(...Object.entries(counts).map(([name, count]) => el("button", {
    type: "button", class: "button", "data-kind": name, "aria-pressed": String(name === kind),
    onclick: () => { kind = name; listGroups(0, true); },
  }, `${NAMES[name]} (${count.toLocaleString("en")})`)));
  if (focused) $("groups-kinds").querySelector(`[data-kind="${focused}"]`)?.focus();
}

function section(group) {
  const grid = el("ul", { class: "grid", "aria-label": `Photos of group ${group.group}` });
  arrowKeys(grid);
  const add = (photos) => grid.append(...photos.map((photo) => {
    const node = card(photo, (chosen) => view(chosen, grid));
    if (photo.best) {
      node.classList.add("best");
      const shot = node.querySelector(".shot");
      shot.setAttribute("aria-label", `${shot.getAttribute("aria-label")}, best of its group`);
    }
    return node;
  }));
  add(group.photos);
  const node = el("section", { class: "group", "aria-label": `Group ${group.group}` },
    el("h2", {}, `${plural(group.total, "photo")}`), el("p", { class: "soft" }, `Best: ${group.why_best}`), grid);
  if (group.next !== null) node.append(moreOf(group, grid, add));
  return node;
}

function moreOf(group, grid, add) {
  let from = group.next;
  const button = el("button", { type: "button", class: "button more", onclick: async () => {
    button.disabled = true;
    try {
      const answer = await get(`/api/groups/${group.kind}/${group.group}`, { offset: from, limit: 100 });
      const first = grid.children.length;
      add(answer.photos);
      grid.querySelectorAll(".shot")[first]?.focus();
      from = answer.next;
      if (from === null) button.remove();
    } catch (problem) { announce(problem.message); } finally { button.disabled = false; }
  } }, "Show more of this group");
  return button;
}

$("groups-more").addEventListener("click", () => listGroups(next));
