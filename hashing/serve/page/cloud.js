// The 3D model of a place: the shared viewer, its buttons, and the photos that its cameras are.

import { $ } from "./dom.js";
import { HELP, modelViewer } from "./model_viewer.js";

const canvas = $("cloud-canvas");
const figure = $("cloud");
let open = () => {};

const viewer = modelViewer(canvas, {
  onPhoto: (photo) => open(photo),
  onPoint: (photo) => {
    document.querySelectorAll("#place-grid .shot.lit").forEach((one) => one.classList.remove("lit"));
    document.querySelector(`#place-grid .shot[data-photo="${photo}"]`)?.classList.add("lit");
  },
});

export function clearCloud() { viewer.clear(); figure.hidden = true; }

// `answer` as /api/places/N/cloud gives it; `onPhoto(photo)` is called when a camera is clicked.
export function showCloud(answer, text, onPhoto) {
  open = onPhoto;
  $("cloud-text").textContent = `${text} Seen from above; the average viewing direction points up the page. Drag to turn it.`;
  canvas.setAttribute("aria-label", `${text} ${HELP}`);
  figure.hidden = false;
  viewer.show(answer);
}

// Mark the camera of a photo, -1 for none.
export const lightCamera = viewer.light;

$("zoom-in").addEventListener("click", () => viewer.zoom(1.5));
$("zoom-out").addEventListener("click", () => viewer.zoom(1 / 1.5));
$("zoom-reset").addEventListener("click", viewer.above);
$("cloud-front").addEventListener("click", viewer.front);
