// A 3D model from above on a canvas: points in their own colours, cameras as wedges. Drag, wheel, or arrow keys, + and -.

import { $ } from "./dom.js";

const canvas = $("cloud-canvas");
const figure = $("cloud");
const CAMERA = "#e8a33d";
let cloud = null;
let byHeight = [];
let look = { x: 0, y: 0, zoom: 1 };
let lit = -1;
let open = () => {};
let waiting = false;

export function clearCloud() { cloud = null; figure.hidden = true; }

// `answer` as /api/places/N/cloud gives it; `onPhoto(photo)` is called when a camera is clicked.
export function showCloud(answer, text, onPhoto) {
  cloud = answer;
  open = onPhoto;
  look = { x: 0, y: 0, zoom: 1 };
  byHeight = answer.z.map((_, index) => index).sort((a, b) => answer.z[a] - answer.z[b]); // the highest is drawn last
  $("cloud-text").textContent = `${text} Seen from above; the average viewing direction points up the page.`;
  canvas.setAttribute("aria-label", `${text} Arrow keys move the picture, plus and minus zoom, 0 shows the whole place.`);
  figure.hidden = false;
  draw();
}

// Mark the camera of a photo, -1 for none; and the photo of a camera under the pointer.
export function lightCamera(photo) {
  if (lit !== photo) { lit = photo; draw(); }
}

function frame() {
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = 0.9 * Math.min(width / Math.max(cloud.width, 1), height / Math.max(cloud.height, 1)) * look.zoom;
  return { width, height, scale, px: (x) => width / 2 + (x - look.x) * scale, py: (y) => height / 2 - (y - look.y) * scale };
}

function draw() {
  if (waiting || !cloud) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; if (cloud && !figure.hidden) paint(); });
}

function paint() {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const { width, height, px, py } = frame();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--dark");
  context.fillRect(0, 0, width, height);
  const dot = Math.min(5, (cloud.x.length < 4000 ? 2.4 : 1.7) * Math.sqrt(look.zoom));
  for (const index of byHeight) {
    const x = px(cloud.x[index]);
    const y = py(cloud.y[index]);
    if (x < -5 || y < -5 || x > width + 5 || y > height + 5) continue;
    context.fillStyle = `#${brighter(cloud.rgb[index]).toString(16).padStart(6, "0")}`;
    context.fillRect(x, y, dot, dot);
  }
  for (const camera of cloud.cameras) wedge(context, px(camera.at[0]), py(camera.at[1]), camera, camera.photo !== null && camera.photo === lit);
}

// Shadows would vanish on the dark ground.
const brighter = (rgb) => [16, 8, 0].reduce((sum, shift) => sum + (Math.min(255, 38 + 0.92 * ((rgb >> shift) & 255)) << shift), 0);

function wedge(context, x, y, camera, marked) {
  const [dx, dy] = [camera.looks[0], -camera.looks[1]];
  const length = marked ? 26 : 15;
  context.beginPath();
  context.moveTo(x, y);
  context.lineTo(x + length * (dx - 0.42 * dy), y + length * (dy + 0.42 * dx));
  context.lineTo(x + length * (dx + 0.42 * dy), y + length * (dy - 0.42 * dx));
  context.closePath();
  context.fillStyle = CAMERA;
  context.globalAlpha = marked || lit < 0 ? 0.92 : 0.35;
  context.fill();
  context.globalAlpha = 1;
  context.lineWidth = marked ? 2 : 1;
  context.strokeStyle = marked ? "#fff" : "#46320a";
  context.stroke();
}

function zoom(by, at = null) {
  const { width, height, scale } = frame();
  const next = Math.max(0.5, Math.min(40, look.zoom * by));
  if (at) { // what is under the pointer stays there
    const grown = scale * (next / look.zoom);
    look.x += (at.x - width / 2) * (1 / scale - 1 / grown);
    look.y -= (at.y - height / 2) * (1 / scale - 1 / grown);
  }
  look.zoom = next;
  draw();
}

const whole = () => { look = { x: 0, y: 0, zoom: 1 }; draw(); };

function cameraAt(x, y) {
  const { px, py } = frame();
  let best = null;
  for (const camera of cloud.cameras) {
    const distance = Math.hypot(px(camera.at[0]) + 9 * camera.looks[0] - x, py(camera.at[1]) - 9 * camera.looks[1] - y);
    if (camera.photo !== null && distance < 20 && (!best || distance < best.distance)) best = { distance, photo: camera.photo };
  }
  return best?.photo ?? -1;
}

const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
canvas.addEventListener("keydown", (event) => {
  if (!cloud || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key in KEYS) {
    const [x, y] = KEYS[event.key];
    look.x += (x * 60) / frame().scale;
    look.y += (y * 60) / frame().scale;
    draw();
  } else if (event.key === "+" || event.key === "=") zoom(1.3);
  else if (event.key === "-") zoom(1 / 1.3);
  else if (event.key === "0") whole();
  else return;
  event.preventDefault();
});
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && document.activeElement !== canvas) return; // a page that is scrolled past must go on scrolling
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), { x: event.offsetX, y: event.offsetY });
}, { passive: false });
let held = null;
canvas.addEventListener("pointerdown", (event) => { held = { x: event.clientX, y: event.clientY, moved: 0 }; canvas.setPointerCapture(event.pointerId); });
canvas.addEventListener("pointermove", (event) => {
  if (!cloud) return;
  if (!held) {
    const photo = cameraAt(event.offsetX, event.offsetY);
    canvas.style.cursor = photo < 0 ? "" : "pointer";
    lightCamera(photo);
    document.querySelectorAll("#place-grid .shot.lit").forEach((one) => one.classList.remove("lit"));
    document.querySelector(`#place-grid .shot[data-photo="${photo}"]`)?.classList.add("lit");
    return;
  }
  const { scale } = frame();
  look.x -= (event.clientX - held.x) / scale;
  look.y += (event.clientY - held.y) / scale;
  held = { x: event.clientX, y: event.clientY, moved: held.moved + Math.abs(event.clientX - held.x) + Math.abs(event.clientY - held.y) };
  canvas.classList.add("moving");
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  const photo = held && held.moved < 4 && cloud ? cameraAt(event.offsetX, event.offsetY) : -1;
  held = null;
  canvas.classList.remove("moving");
  if (photo >= 0) open(photo);
});
canvas.addEventListener("pointercancel", () => { held = null; canvas.classList.remove("moving"); });
$("zoom-in").addEventListener("click", () => zoom(1.5));
$("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
$("zoom-reset").addEventListener("click", whole);
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
