// Looks now and then whether the server still answers, and whether it could open the newest index.

import { get } from "./api.js";
import { $ } from "./dom.js";

const EVERY = 20_000; // milliseconds, while the page is looked at
const notice = $("trouble");
let timer = 0;

function say(text) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

async function look() {
  clearTimeout(timer);
  if (document.visibilityState === "visible") {
    try {
      say((await get("/api/health")).problem || "");
    } catch (problem) { say(problem.message); }
  }
  timer = setTimeout(look, EVERY);
}

export function watch() {
  document.addEventListener("visibilitychange", look);
  look();
}
