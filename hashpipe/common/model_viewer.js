// A 3D model on a canvas: points in their own colours, cameras as pyramids. Turned, moved and zoomed by mouse, touch or
// keys. Parallel projection and a depth buffer draw tens of thousands of points without WebGL and without a library.

const CAMERA = "#e8a33d";
const ABOVE = { yaw: 0, pitch: Math.PI / 2, zoom: 1, x: 0, y: 0 };
const FRONT = { ...ABOVE, pitch: 0.25 };
export const HELP = "Arrow keys turn the model, with Shift they move it; plus and minus zoom; 0 shows it from above, 1 from the front.";

// Draw models on `canvas`. onPhoto(photo): the camera of a photo was clicked. onPoint(photo): the pointer is over one, -1 for none.
export function modelViewer(canvas, { onPhoto = () => {}, onPoint = () => {} } = {}) {
  let cloud = null; // as /api/places/N/cloud gives it
  let look = { ...ABOVE };
  let middle = 0; // height that the model turns about
  let lit = -1;
  let waiting = false;

  function draw() {
    if (waiting || !cloud) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; if (cloud && canvas.clientWidth) paint(); });
  }

  // What is right, up and towards the viewer of a point, in units of the model; then pixels of the canvas.
  function frame() {
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = 0.9 * Math.min(width / Math.max(cloud.width, 1), height / Math.max(cloud.height, 1)) * look.zoom;
    const [cy, sy, cp, sp] = [Math.cos(look.yaw), Math.sin(look.yaw), Math.cos(look.pitch), Math.sin(look.pitch)];
    const turned = (x, y, z) => {
      const away = x * sy + y * cy;
      return [x * cy - y * sy, away * sp + z * cp, z * sp - away * cp];
    };
    const pixel = ([right, up]) => [width / 2 + (right - look.x) * scale, height / 2 - (up - look.y) * scale];
    return { width, height, scale, turned, pixel };
  }

  function paint() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const { width, height, scale, turned, pixel } = frame();
    const [columns, rows] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(canvas).getPropertyValue("--dark") || "#16181c";
    context.fillRect(0, 0, columns, rows);
    const picture = context.getImageData(0, 0, columns, rows);
    const nearest = new Float32Array(columns * rows).fill(-Infinity);
    const dot = Math.max(2, Math.round(Math.min(5, (cloud.x.length < 4000 ? 2.4 : 1.7) * Math.sqrt(look.zoom)) * ratio));
    for (let index = 0; index < cloud.x.length; index++) {
      const at = turned(cloud.x[index], cloud.y[index], cloud.z[index] - middle);
      const [x, y] = pixel(at).map((value) => Math.round(value * ratio));
      if (x < -dot || y < -dot || x >= columns || y >= rows) continue;
      const rgb = cloud.rgb[index];
      for (let row = Math.max(0, y); row < Math.min(rows, y + dot); row++) {
        for (let column = Math.max(0, x); column < Math.min(columns, x + dot); column++) {
          const to = row * columns + column;
          if (nearest[to] > at[2]) continue;
          nearest[to] = at[2];
          picture.data[4 * to] = brighter(rgb >> 16);
          picture.data[4 * to + 1] = brighter((rgb >> 8) & 255);
          picture.data[4 * to + 2] = brighter(rgb & 255);
        }
      }
    }
    context.putImageData(picture, 0, 0);
    context.scale(ratio, ratio);
    for (const camera of cloud.cameras) pyramid(context, camera, turned, pixel, scale);
  }

  function pyramid(context, camera, turned, pixel, scale) {
    const marked = camera.photo !== null && camera.photo === lit;
    const [length, half] = [marked ? 26 : 15, 0.42].map((value, at) => (at ? value : value / scale));
    const level = Math.sqrt(Math.max(0, 1 - camera.tilt ** 2));
    const ahead = [camera.looks[0] * level, camera.looks[1] * level, camera.tilt];
    const side = [camera.looks[1], -camera.looks[0], 0];
    const up = [-camera.looks[0] * camera.tilt, -camera.looks[1] * camera.tilt, level];
    const corner = (right, high) => pixel(turned(...[0, 1, 2].map((axis) =>
      [camera.at[0], camera.at[1], camera.z - middle][axis]
      + length * (ahead[axis] + half * (right * side[axis] + 0.75 * high * up[axis])))));
    const tip = pixel(turned(camera.at[0], camera.at[1], camera.z - middle));
    const base = [corner(1, 1), corner(1, -1), corner(-1, -1), corner(-1, 1)];
    context.globalAlpha = marked || lit < 0 ? 0.92 : 0.35;
    context.fillStyle = CAMERA;
    context.lineWidth = marked ? 2 : 1;
    context.strokeStyle = marked ? "#fff" : "#46320a";
    base.forEach((one, at) => shape(context, [tip, one, base[(at + 1) % 4]]));
    shape(context, base);
    context.globalAlpha = 1;
  }

  function shape(context, corners) {
    context.beginPath();
    corners.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    context.fill();
    context.stroke();
  }

  function turn(yaw, pitch) {
    look.yaw += yaw;
    look.pitch = Math.max(-0.3, Math.min(Math.PI / 2, look.pitch + pitch));
    draw();
  }

  function move(right, up) { // pixels
    const { scale } = frame();
    look.x -= right / scale;
    look.y -= up / scale;
    draw();
  }

  function zoom(by, at = null) {
    const { width, height, scale } = frame();
    const next = Math.max(0.5, Math.min(40, look.zoom * by));
    if (at) { // what is under the pointer stays there
      const gain = 1 / scale - look.zoom / (scale * next);
      look.x += (at.x - width / 2) * gain;
      look.y -= (at.y - height / 2) * gain;
    }
    look.zoom = next;
    draw();
  }

  const above = () => { look = { ...ABOVE }; draw(); };
  const front = () => { look = { ...FRONT }; draw(); };

  function cameraAt(x, y) {
    const { scale, turned, pixel } = frame();
    let best = null;
    for (const camera of cloud.cameras) {
      const level = Math.sqrt(Math.max(0, 1 - camera.tilt ** 2)) * 9 / scale;
      const [cx, cy] = pixel(turned(camera.at[0] + level * camera.looks[0], camera.at[1] + level * camera.looks[1], camera.z - middle + camera.tilt * 9 / scale));
      const distance = Math.hypot(cx - x, cy - y);
      if (camera.photo !== null && distance < 20 && (!best || distance < best.distance)) best = { distance, photo: camera.photo };
    }
    return best?.photo ?? -1;
  }

  const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("keydown", (event) => {
    if (!cloud || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in KEYS) {
      const [x, y] = KEYS[event.key];
      if (event.shiftKey) move(-60 * x, -60 * y);
      else turn(0.16 * x, 0.12 * y);
    } else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") above();
    else if (event.key === "1") front();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("wheel", (event) => {
    if (!cloud || (!event.ctrlKey && document.activeElement !== canvas)) return; // a page that is scrolled past must go on scrolling
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), { x: event.offsetX, y: event.offsetY });
  }, { passive: false });

  const held = new Map(); // pointers that are down
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (!held.size) moved = 0;
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!cloud) return;
    const before = held.get(event.pointerId);
    if (!before) {
      const photo = cameraAt(event.offsetX, event.offsetY);
      canvas.style.cursor = photo < 0 ? "" : "pointer";
      viewer.light(photo);
      onPoint(photo);
      return;
    }
    const [right, down] = [event.clientX - before.x, event.clientY - before.y];
    const other = [...held].find(([pointer]) => pointer !== event.pointerId)?.[1];
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    moved += Math.abs(right) + Math.abs(down);
    canvas.classList.add("moving");
    if (other) { // two fingers: what lies between them grows with their distance
      const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
      move(right / 2, -down / 2);
      zoom(apart({ x: event.clientX, y: event.clientY }) / apart(before));
    } else if (event.shiftKey || event.buttons > 1) move(right, -down);
    else turn(right * 0.009, down * 0.009);
  });
  const release = (event) => {
    const clicked = held.delete(event.pointerId) && event.type === "pointerup" && moved < 4 && cloud;
    if (!held.size) canvas.classList.remove("moving");
    const photo = clicked ? cameraAt(event.offsetX, event.offsetY) : -1;
    if (photo >= 0) onPhoto(photo);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("contextmenu", (event) => { if (moved >= 4) event.preventDefault(); });
  new ResizeObserver(draw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  const viewer = {
    show(next) {
      cloud = next;
      const heights = [...next.z].sort((a, b) => a - b);
      middle = heights.length ? heights[heights.length >> 1] : 0;
      lit = -1;
      above();
    },
    clear() { cloud = null; },
    light(photo) { if (lit !== photo) { lit = photo; draw(); } },
    turn, zoom, above, front,
  };
  return viewer;
}

// Shadows would vanish on the dark ground.
const brighter = (value) => Math.min(255, 38 + 0.92 * value);
